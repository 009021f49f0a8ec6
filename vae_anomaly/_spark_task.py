"""What a Spark worker does with the rows of its partitions, and what is checked of a frame before there are any."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vae_anomaly._calibration_file import StoredCalibration, stored_calibration
from vae_anomaly._scored_columns import ALERT, added_columns, added_names, reason_columns, reason_names
from vae_anomaly._segments import known_segments
from vae_anomaly.artifact import Artifact, read_artifact
from vae_anomaly.decision.calibration import BatchRule
from vae_anomaly.errors import ParameterError, SchemaMismatchError, TableError
from vae_anomaly.table.bad_cells import bad_cells, emptied
from vae_anomaly.table.encoding import TableEncoder
from vae_anomaly.table.schema import Schema

if TYPE_CHECKING:
    from pyspark import Broadcast
    from pyspark.sql import DataFrame

    from vae_anomaly.detector import VAEDetector

ERROR, MISSING = BAD_ROWS = ("error", "missing")
_MODELS_KEPT = 4
_ARROW: Final = {"f": pa.float64(), "b": pa.bool_(), "O": pa.string()}


@dataclass(frozen=True, eq=False)
class Model:
    """A model file in use.

    Parameters
    ----------
    detector : VAEDetector
        Fitted.
    stored : StoredCalibration or None
        What decides; without it the detector's own `offset_` does.
    """

    detector: VAEDetector
    stored: StoredCalibration | None

    @classmethod
    def load(cls, path: Path, device: str) -> Model:
        """Read a model file, which is audited first."""
        from vae_anomaly.detector import VAEDetector

        artifact = read_artifact(path)
        _check_knows_no_past(artifact, path)
        return cls(VAEDetector.load(path, device=device), stored_calibration(artifact))

    @property
    def schema(self) -> Schema:
        """What fit learnt of the columns."""
        return self.detector.schema_

    def used(self, table: pa.Table) -> pa.Table:
        """The columns that the detector reads, in the order of fit: those of an array have their place alone."""
        return table.select([name for name in self.schema.names if name in table.column_names])


_models: dict[tuple[str, str], Model] = {}
"""The models of this worker, by the digest of their file and their device."""


@dataclass(frozen=True, eq=False)
class Task:
    """What a worker does with its partitions.

    Parameters
    ----------
    held : Broadcast of bytes
        The model file.
    digest : str
        Its SHA-256.
    device, n_reasons, conditional, bad_rows
        As for `score`.
    """

    held: Broadcast[bytes]
    digest: str
    device: str
    n_reasons: int
    conditional: bool
    bad_rows: str

    def scored(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows of a partition, with the added columns."""
        model, start = self._model(), 0
        for batch in batches:
            try:
                yield self._with_columns(model, batch)
            except TableError as error:
                raise type(error)(f"{_place(start, batch.num_rows)}: {error}") from None
            start += batch.num_rows

    def _model(self) -> Model:
        """The model, loaded by the first task of a worker that needs it."""
        key = (self.digest, self.device)
        if key not in _models:
            import torch

            torch.set_num_threads(1)  # Spark counts on one core for each task
            while len(_models) >= _MODELS_KEPT:
                del _models[next(iter(_models))]
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "model.vaea")
                path.write_bytes(self.held.value)
                _models[key] = Model.load(path, self.device)
        return _models[key]

    def _with_columns(self, model: Model, batch: pa.RecordBatch) -> pa.RecordBatch:
        table = pa.Table.from_batches([batch])
        used, score = self._scores(model, model.used(table))
        stored = model.stored
        group = None if stored is None else known_segments(table, stored.calibration.segments, stored.segment_column)
        columns: dict[str, NDArray[Any]] = added_columns(model.detector, stored, score, group)
        if self.n_reasons:
            columns |= self._reasons(model, used, np.flatnonzero(columns[ALERT]))
        arrays = [*batch.columns, *(pa.array(column, _ARROW[column.dtype.kind]) for column in columns.values())]
        return pa.RecordBatch.from_arrays(arrays, [*batch.schema.names, *columns])

    def _scores(self, model: Model, used: pa.Table) -> tuple[pa.Table, NDArray[np.float64]]:
        """Scores, and the rows as they were read for them."""
        if not used.num_rows:
            return used, np.empty(0)
        try:
            return used, model.detector.anomaly_score(used)
        except TableError:
            cells = bad_cells(model.schema, used) if self.bad_rows == MISSING else []
            if not cells:
                raise
        used = emptied(used, cells)
        return used, model.detector.anomaly_score(used)

    def _reasons(self, model: Model, used: pa.Table, rows: NDArray[np.intp]) -> dict[str, NDArray[np.object_]]:
        if not len(rows):
            names = [name for rank in range(1, self.n_reasons + 1) for name in reason_names(rank)]
            return {name: np.full(used.num_rows, None, dtype=object) for name in names}
        some = used.take(pa.array(rows))
        reasons = model.detector.explain(some, self.n_reasons, conditional=self.conditional)
        return reason_columns(reasons, rows, used.num_rows, self.n_reasons)


def _check_knows_no_past(artifact: Artifact, path: Path) -> None:
    """Raise a `ParameterError` for a model that sets rows against earlier ones, which no worker sees together."""
    if artifact.behavior is not None:
        raise ParameterError(
            f"{path}: expected a model that takes rows as they are, found one that knows the past of cards. A Spark"
            " frame is scored in parts, and a card's earlier rows may lie in any of them. Score the rows with"
            " vae-anomaly score; or give them their features in one process, in order of time"
            " (load_pipeline(MODEL)[0].update), and score those with the detector by itself"
            " (load_pipeline(MODEL)[-1].save)."
        )


def _place(start: int, n_rows: int) -> str:
    from pyspark import TaskContext

    context = TaskContext.get()
    partition = "" if context is None else f"Partition {context.partitionId()}, "
    return f"{partition}rows {start + 1:,} to {start + n_rows:,}, counted anew"


def added_fields(stored: StoredCalibration | None, n_reasons: int) -> list[tuple[str, Any]]:
    """The names and Spark types of the columns that are added."""
    from pyspark.sql.types import BooleanType, DoubleType, StringType

    scores = [(name, BooleanType() if name == ALERT else DoubleType()) for name in added_names(stored)]
    names = [name for rank in range(1, n_reasons + 1) for name in reason_names(rank)]
    return [*scores, *((name, StringType()) for name in names)]


def check_rule(stored: StoredCalibration | None) -> None:
    """Raise a `ParameterError` for a rule that decides by rows that no worker sees together."""
    if stored is not None and isinstance(stored.calibration.rule, BatchRule):
        raise ParameterError(
            f"A Spark frame is scored in parts, and {stored.calibration.rule!r} decides by all rows together. Calibrate"
            " the model again by a rule with a threshold, such as FalseAlarmRate or AlertBudget, or score one day's"
            " rows with vae-anomaly score."
        )


def check_columns(df: DataFrame, model: Model, added: list[str]) -> None:
    """Raise what scoring would raise for every row, before a job starts."""
    lower = [name.lower() for name in df.columns]  # Spark looks columns up so
    twice = sorted({name for name in df.columns if lower.count(name.lower()) > 1})
    if twice:
        raise TableError(f"Expected every column name once, found several columns named {twice}. Rename or drop them.")
    taken = [name for name in df.columns if name.lower() in added]
    if taken:
        raise TableError(f"Expected no columns named {' or '.join(map(repr, added))}, found {taken}. Rename them.")
    row = _row_of_gaps(df)
    missing = [name for name in model.schema.modelled if name not in row.column_names]
    if missing:
        raise SchemaMismatchError(
            f"The columns of the Spark frame differ from those seen in fit: {len(missing)} missing. Add or rename"
            f" columns; others may stay:\n{model.schema.diff(row)}"
        )
    for column in model.schema.modelled_columns:
        _check_type(Schema((column,), model.schema.n_rows), row.select([column.name]))
    if model.stored is not None:
        known_segments(row, model.stored.calibration.segments, model.stored.segment_column)


def _check_type(schema: Schema, row: pa.Table) -> None:
    try:
        TableEncoder(schema, owner="VAEDetector").encode(row)
    except SchemaMismatchError:
        raise SchemaMismatchError(
            f"A column of the Spark frame cannot be read as in fit. Cast it:\n{schema.diff(row)}"
        ) from None


def _row_of_gaps(df: DataFrame) -> pa.Table:
    """A row of the columns of a frame without their cells; of the frame nothing is computed for it.

    Raises
    ------
    TableError
        A column is of a type that Arrow does not have.
    """
    from pyspark.errors import PySparkException

    try:
        schema = df.sparkSession.createDataFrame([], df.schema).toArrow().schema
    except PySparkException as error:
        if "UNSUPPORTED" not in str(error):
            raise
        raise TableError(
            f"Expected columns of types that Arrow has, found another: {error}. Cast or drop it."
        ) from None
    return pa.table({field.name: pa.nulls(1, field.type) for field in schema})
