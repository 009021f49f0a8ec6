"""A model file in use: rows to scores, decisions and reasons, as the library gives them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vae_anomaly._calibration_file import StoredCalibration, stored_calibration
from vae_anomaly._segments import known_segments, thresholds_of
from vae_anomaly.artifact import Artifact, read_artifact
from vae_anomaly.errors import OutputError
from vae_anomaly.pipelines import check_knows_past, stored_behavior, write_with_behavior
from vae_anomaly.serving.past import ServedPast
from vae_anomaly.serving.wanted import WantedColumns
from vae_anomaly.table.io import check_target
from vae_anomaly.table.layout import EncodedTable

if TYPE_CHECKING:
    from vae_anomaly.detector import VAEDetector

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Decided:
    """What is said of each row.

    Parameters
    ----------
    score : float64 ndarray of shape (n_rows,)
        Higher is more anomalous, in nats.
    alert : bool ndarray of shape (n_rows,)
        Whether it is above the threshold of its row.
    p_value, risk_score : float64 ndarray of shape (n_rows,) or None
        Of a calibrated model.
    n_by_rest : int
        Rows whose segment has no threshold of its own, so that they have that of the rest.
    """

    score: Floats
    alert: NDArray[np.bool_]
    p_value: Floats | None = None
    risk_score: Floats | None = None
    n_by_rest: int = 0


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A detector, its calibration if it has one, and the columns that both want.

    Parameters
    ----------
    file : str
        Name of the model file.
    detector : VAEDetector
        Fitted.
    stored : StoredCalibration or None
        What decides; without it the detector's own `offset_` does.
    wanted : WantedColumns
        What a request must have.
    versions : dict of str to str
        What wrote the file.
    past : ServedPast or None
        What gives rows their features, if the model knows the past of cards.
    state : (Path, Artifact) or None
        Where to write the model at the end, with what is remembered then, and what was read of it.
    """

    file: str
    detector: VAEDetector
    stored: StoredCalibration | None
    wanted: WantedColumns
    versions: dict[str, str]
    past: ServedPast | None = None
    state: tuple[Path, Artifact] | None = None

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, device: str = "auto", update_state: str | os.PathLike[str] | None = None
    ) -> ServedModel:
        """Read a model file, which is audited first.

        Raises
        ------
        ModelFileError
            It is no model file, or its calibration has segments of a column that it does not name.
        ParameterError
            Rows are to be remembered by a model that knows no past.
        OutputError
            There is a file already where the model is to be written at the end.
        """
        from vae_anomaly.detector import VAEDetector

        artifact = read_artifact(path)
        stored = stored_calibration(artifact)
        detector = VAEDetector.load(path, device=device)
        column = stored.segment_column if stored is not None and stored.calibration.segments else None
        if stored is not None and column is None:
            known_segments(pa.table({}), stored.calibration.segments, column)  # refuse now what no request could change
        behavior = stored_behavior(artifact)
        if update_state is not None:
            check_knows_past(artifact)
            _check_is_new(Path(update_state))
        state = None if update_state is None else (Path(update_state), artifact)
        past = None if behavior is None else ServedPast(behavior, remembers=state is not None)
        wanted = (WantedColumns.of if past is None else past.wanted)(detector.schema_, column)
        return cls(Path(path).name, detector, stored, wanted, dict(artifact.manifest["versions"]), past, state)

    def write_state(self) -> None:
        """Write the model with the rows remembered that were scored, if that was asked for.

        Raises
        ------
        OutputError
            The file has come to be meanwhile, or cannot be written.
        """
        if self.state is not None and self.past is not None:
            path, artifact = self.state
            write_with_behavior(path, artifact, self.past.behavior, overwrite=False)

    def encode(self, table: pa.Table, *, scored: bool) -> tuple[pa.Table, EncodedTable]:
        """The rows with all that the detector takes, the features of their past too, and as the network reads them.

        Every request is read by itself, so that an odd cell of one cannot change how another is read.

        Parameters
        ----------
        table : pyarrow.Table
            The wanted columns.
        scored : bool
            Whether they are to be remembered, if the model remembers.
        """
        with nullcontext(table) if self.past is None else self.past.features(table, scored=scored) as whole:
            return whole, self.detector._encode(self._as_fitted(whole))

    def scores(self, rows: Sequence[EncodedTable]) -> list[Floats]:
        """Anomaly scores of the rows of several requests, which go through the network together.

        A row's score does not depend on its neighbours, to the last bit.
        """
        together = EncodedTable(
            *(np.concatenate([getattr(table, block) for table in rows]) for block in ("values", "angles", "codes"))
        )
        ends = np.cumsum([len(table) for table in rows])
        return np.split(-self.detector._scores(together), ends[:-1])

    def decided(self, table: pa.Table, score: Floats) -> Decided:
        """Alerts by the calibration, or by `offset_`; a rule that decides by the batch takes the request for one."""
        if self.stored is None:
            return Decided(score, score > -self.detector.offset_)
        calibration = self.stored.calibration
        group = known_segments(table, calibration.segments, self.stored.segment_column)
        return Decided(
            score,
            calibration.alerts(score, group),
            calibration.p_value(score, group),
            calibration.risk_score(score, group),
            0 if group is None else sum(name not in calibration.segments for name in group),
        )

    def reasons(self, table: pa.Table, rows: NDArray[np.intp], n_reasons: int, conditional: bool) -> list[Any]:
        """The reasons of some rows, as JSON values; `row` counts in the whole table, from 0."""
        if not len(rows):
            return []
        some = self._as_fitted(table.take(pa.array(rows)))
        frame = self.detector.explain(some, n_reasons, conditional=conditional)
        frame["row"] = rows[frame["row"].to_numpy()]
        return [{name: _plain(value) for name, value in line.items()} for line in frame.to_dict("records")]

    def columns(self) -> list[dict[str, Any]]:
        """The columns that requests may have, as JSON values; of a past those that features are made of."""
        of_schema = {column.name: (str(column.kind), column.dtype) for column in self.detector.schema_.columns}
        kinds, dtypes = self.wanted.kinds, self.wanted.dtypes
        names = list(of_schema)
        if self.past is not None:
            names = [*kinds, *(name for name in of_schema if name in self.wanted.known and name not in kinds)]
        cards = []
        for name in names:
            kind, dtype = of_schema[name] if name in of_schema else ("source", dtypes[name])
            cards.append({"name": name, "kind": kind, "dtype": dtype, "required": name in kinds})
        return cards

    def thresholds(self) -> dict[str, Any]:
        """What rows alert by, as JSON values."""
        stored = self.stored
        calibration, column = (None, None) if stored is None else (stored.calibration, stored.segment_column)
        return thresholds_of(-self.detector.offset_, calibration, column)

    def _as_fitted(self, table: pa.Table) -> Any:
        """The modelled columns; without their names for a detector that was fitted on an array."""
        modelled = table.select(list(self.wanted.modelled))
        return modelled if self.detector.schema_.named else modelled.to_pandas().to_numpy()


def _check_is_new(path: Path) -> None:
    """Raise an `OutputError` now if a model could not be written there when the server ends."""
    if path.exists():
        raise OutputError(
            f"{path}: expected the name of a new file for --update-state, found one that is there. Name another."
        )
    check_target(path)


def _plain(value: Any) -> Any:
    """A cell in a type that JSON has: dates in ISO, decimals as text, nothing for what is no number."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
