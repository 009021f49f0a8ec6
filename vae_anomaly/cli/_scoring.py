"""Chunks of rows to scored chunks, whatever cells are in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vae_anomaly._scored_columns import ALERT, added_columns
from vae_anomaly._segments import known_segments
from vae_anomaly.cli._options import ERROR, MISSING, Reading
from vae_anomaly.cli._rows import anomaly_scores
from vae_anomaly.cli._tally import Outcome
from vae_anomaly.decision.calibration import BatchRule
from vae_anomaly.errors import TableError
from vae_anomaly.table.bad_cells import REMEDY, BadCell, bad_cells, emptied
from vae_anomaly.table.chunk import Chunk

if TYPE_CHECKING:
    from vae_anomaly._calibration_file import StoredCalibration
    from vae_anomaly.detector import VAEDetector


@dataclass(frozen=True, eq=False)
class Scorer:
    """What turns chunks into scored ones.

    Parameters
    ----------
    detector : VAEDetector
        Fitted.
    stored : StoredCalibration or None
        By what rows alert, if the model has a calibration.
    reading : Reading
        How the files are written.
    bad_rows : {"error", "skip", "missing"}
        What to do with a row that has a cell that cannot be read.
    whole : WholeRun or None
        Scores and alerts of all rows, where which rows alert, or are explained, depends on all of them.
    """

    detector: VAEDetector
    stored: StoredCalibration | None
    reading: Reading
    bad_rows: str = ERROR
    whole: WholeRun | None = None

    def __call__(self, chunk: Chunk) -> Outcome:
        """Score a chunk.

        Raises
        ------
        TableError
            If a column is not as in fit, or a cell cannot be read and that is to be an error.
        """
        if not chunk.table.num_rows:
            return self._outcome(chunk, np.empty(0), {})
        counts = {} if self.whole is None else self.whole.emptied_of(chunk)
        try:
            return self._outcome(chunk, self._scores(chunk, chunk.table), counts)
        except TableError:
            known = [name for name in chunk.table.column_names if name in self.detector.schema_.names]
            cells = bad_cells(self.detector.schema_, self.reading.for_model(chunk.table.select(known)))
            if not cells:
                raise
        return self._without(chunk, cells)

    def _without(self, chunk: Chunk, cells: list[BadCell]) -> Outcome:
        """The chunk without its bad cells, or without their rows."""
        if self.bad_rows == ERROR:
            raise chunk.bad_row(cells[0].row, cells[0].reason, REMEDY).error()
        if self.bad_rows == MISSING:
            counts: dict[str, int] = {}
            for cell in cells:
                counts[cell.column] = counts.get(cell.column, 0) + 1
            return self._outcome(chunk, self._scores(chunk, emptied(chunk.table, cells)), counts)
        reasons: dict[int, str] = {}
        for cell in cells:
            reasons[cell.row] = f"{reasons[cell.row]}; {cell.reason}" if cell.row in reasons else cell.reason
        return self(chunk.without({row: chunk.bad_row(row, reason, REMEDY) for row, reason in reasons.items()}))

    def _scores(self, chunk: Chunk, table: pa.Table) -> NDArray[np.float64]:
        found = None if self.whole is None else self.whole.scores_of(chunk)
        return anomaly_scores(self.detector, table, self.reading) if found is None else found

    def _outcome(self, chunk: Chunk, score: NDArray[np.float64], counts: Mapping[str, int]) -> Outcome:
        group, strangers = None, []
        if self.stored is not None:
            known = self.stored.calibration.segments
            group = known_segments(chunk.table, known, self.stored.segment_column)
            strangers = [] if group is None else [name for name in group if name not in known]
        alert = None if self.whole is None else self.whole.alerts_of(chunk)
        columns = added_columns(self.detector, self.stored, score, group, alert)
        added = pa.table({name: pa.array(values) for name, values in columns.items()})
        return Outcome(chunk, added, score, columns[ALERT], counts, strangers)


class WholeRun:
    """Scores of all rows, kept until the last is known, and then which of them alert.

    Parameters
    ----------
    outcomes : iterable of Outcome
        Of all chunks.
    stored : StoredCalibration or None
        By what rows alert, if the model has a calibration; its rule may decide by all rows together.
    """

    def __init__(self, outcomes: Iterator[Outcome], stored: StoredCalibration | None) -> None:
        batch = stored if decides_together(stored) else None
        index, score, alert = [], [], []
        group: list[NDArray[np.object_]] = []
        self._emptied: dict[int, Mapping[str, int]] = {}
        for outcome in outcomes:
            if outcome.emptied:
                self._emptied[outcome.chunk.start.total] = outcome.emptied
            index.append(outcome.chunk.index)
            score.append(outcome.score)
            alert.append(outcome.alert)
            if batch is not None:
                names = known_segments(outcome.chunk.table, batch.calibration.segments, batch.segment_column)
                group += [] if names is None else [names]
        self.index, self.score, self.alert = np.concatenate(index), np.concatenate(score), np.concatenate(alert)
        if batch is not None:
            self.alert = batch.calibration.alerts(self.score, np.concatenate(group) if group else None)

    def scores_of(self, chunk: Chunk) -> NDArray[np.float64] | None:
        """The scores of a chunk; None if some of its rows had none."""
        rows = self._rows(chunk)
        return None if rows is None else self.score[rows]

    def alerts_of(self, chunk: Chunk) -> NDArray[np.bool_] | None:
        """Which of its rows alert."""
        rows = self._rows(chunk)
        return None if rows is None else self.alert[rows]

    def emptied_of(self, chunk: Chunk) -> Mapping[str, int]:
        """The cells of it that were taken as missing."""
        return self._emptied.get(chunk.start.total, {})

    def _rows(self, chunk: Chunk) -> slice | None:
        if not len(chunk.index):
            return slice(0, 0)
        first, last = np.searchsorted(self.index, chunk.index[[0, -1]])
        found = slice(int(first), int(last) + 1)
        return found if np.array_equal(self.index[found], chunk.index) else None


def decides_together(stored: StoredCalibration | None) -> bool:
    """Whether which rows alert depends on all of them."""
    return stored is not None and isinstance(stored.calibration.rule, BatchRule)
