"""The search for the nearest row that does not alert: which columns to change, and then as little as possible.

A set of columns is judged by hiding it from the model, filling it with what is likeliest beside the other cells, and
scoring the row that this makes; so two columns that are odd together are judged together. From the smallest set that
brings the score down, numbers and dates then go back towards what they were for as long as the row does not alert.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vae_anomaly._editable import Dates, Levels
from vae_anomaly._editing import Booleans, Editor, Floats, Places, Rows
from vae_anomaly.decision.fewest import fewest_changes
from vae_anomaly.model.nearest import likeliest_cells
from vae_anomaly.table.layout import EncodedTable
from vae_anomaly.training.device import exact_products

_HALVINGS = 12
_FULL_CIRCLE = np.float32(2 * np.pi)
_DAY = 86_400.0


@dataclass(frozen=True)
class Fill:
    """How a set of cells is filled.

    Parameters
    ----------
    rounds : int
        How often: from the second time on the model sees what it filled in before.
    shift : float
        What numbers and angles are moved by, in standard deviations and radians.
    other_levels : bool
        Whether a level has to be another than the observed one.
    """

    rounds: int = 2
    shift: float = 0.0
    other_levels: bool = False


USUAL = (Fill(),)
ALL = (Fill(), Fill(1), Fill(4), Fill(other_levels=True), Fill(shift=0.7), Fill(shift=-0.7))
"""Where the likeliest cells don't help: known frauds can look as usual as can be."""


@dataclass(frozen=True)
class Judge:
    """Says what rows would score with sets of their columns changed.

    Parameters
    ----------
    detector : VAEDetector
        Fitted.
    editor : Editor
        Of the table that the rows are from.
    observed : Rows
        The rows as they are.
    fills : tuple of Fill
        Of which the best counts.
    """

    detector: Any
    editor: Editor
    observed: Rows
    fills: tuple[Fill, ...] = USUAL

    def __call__(self, rows: Places, sets: Booleans) -> Floats:
        """The anomaly scores."""
        return self.changed(rows, sets)[1]

    def changed(self, rows: Places, sets: Booleans) -> tuple[Rows, Floats]:
        """The rows with the sets changed, and their anomaly scores."""
        observed = self.observed[rows]
        best, lowest = observed.copy(), np.full(len(rows), np.inf)
        for fill in self.fills:
            found = self._filled(observed, sets, fill)
            score = self.score(found)
            better = score < lowest
            best.put(better, found[better])
            lowest[better] = score[better]
        return best, lowest

    def score(self, rows: Rows) -> Floats:
        """The anomaly scores of rows."""
        return np.asarray(-self.detector._scores(rows.table))

    def without(self, found: Rows, row: Places, column: Places) -> tuple[Floats, Rows]:
        """What changed rows score with one cell of each left as it was, and these rows."""
        alone = np.arange(found.cells.shape[1]) == column[:, None]
        rows = self.editor.restored(found[row], self.observed[row], alone)
        return self.score(rows), rows

    def _filled(self, observed: Rows, sets: Booleans, fill: Fill) -> Rows:
        avoid = observed.table.codes if fill.other_levels else None
        seen = self.editor.hidden(observed, sets)
        for _ in range(fill.rounds):
            with exact_products():
                likeliest = likeliest_cells(self.detector.model_, seen, avoid)
            found = self.editor.likely(observed, sets, _shifted(likeliest, np.float32(fill.shift)))
            seen = found.table
        return found


def _shifted(table: EncodedTable, by: np.float32) -> EncodedTable:
    return EncodedTable(table.values + by, (table.angles + by) % _FULL_CIRCLE, table.codes) if by else table


def nearest(detector: Any, editor: Editor, observed: Rows, free: Booleans, threshold: Floats) -> Rows:
    """Change rows so that they do not alert.

    Parameters
    ----------
    detector : VAEDetector
        Fitted.
    editor : Editor
        Of the table that the rows are from.
    observed : Rows
        Rows that alert.
    free : bool ndarray of shape (n_columns,)
        Which columns may be changed.
    threshold : float64 ndarray of shape (n_rows,)
        Highest anomaly score that does not alert.

    Returns
    -------
    Rows
        Where no change reaches the threshold, the rows whose score is lowest.
    """
    gap = np.isnan(observed.cells)
    fills = ALL if detector.known_head_ is not None else USUAL
    found, score = _with_fewest(Judge(detector, editor, observed, fills), free & ~gap, threshold)
    # A gap is no evidence: only where that does not help it is filled too, and everything else is tried.
    late = np.flatnonzero(score > threshold)
    if len(late):
        judge = Judge(detector, editor, observed[late], ALL)
        rows, lower = _with_fewest(judge, np.broadcast_to(free, (len(late), len(free))), threshold[late])
        better = lower < score[late]
        found.put(late[better], rows[better])
        score[late[better]] = lower[better]
    done = np.flatnonzero(score <= threshold)
    if len(done):
        judge, limit = Judge(detector, editor, observed[done]), threshold[done]
        needed = _with_needed(judge, found[done], limit)
        found.put(done, _with_needed(judge, _shortened(judge, needed, limit), limit))
    return found


def _with_fewest(judge: Judge, free: Booleans, threshold: Floats) -> tuple[Rows, Floats]:
    chosen, _ = fewest_changes(judge, free, threshold)
    return judge.changed(np.arange(len(free)), chosen)


def _with_needed(judge: Judge, found: Rows, threshold: Floats) -> Rows:
    """The rows without the changes that can be left out with all others as they are."""
    found = found.copy()
    active = np.arange(len(found))
    while len(active):
        number, column = np.nonzero(found[active].differ(judge.observed[active]))
        several = np.bincount(number, minlength=len(active))[number] > 1
        row, column = active[number[several]], column[several]
        if not len(row):
            break
        score, without = judge.without(found, row, column)
        order = np.lexsort((score, row))
        best = order[np.unique(row[order], return_index=True)[1]]
        best = best[score[best] <= threshold[row[best]]]
        active = row[best]
        found.put(active, without[best])
    return found


def _shortened(judge: Judge, found: Rows, threshold: Floats) -> Rows:
    """The rows with numbers and dates as near to the observed ones as the threshold lets them: first all, then each."""
    found = found.copy()
    columns = judge.editor.columns
    for number, column in enumerate(columns):
        if isinstance(column, Dates):
            _try_parts(judge, found, threshold, number, column)
    moved = found.differ(judge.observed) & ~np.isnan(judge.observed.cells) & ~np.isnan(found.cells)
    for number, column in enumerate(columns):
        near = np.abs(found.cells[:, number] - judge.observed.cells[:, number]) < _DAY
        moved[:, number] &= ~np.bool_(isinstance(column, Levels)) & (near | ~np.bool_(isinstance(column, Dates)))
    _halve(judge, found, threshold, moved & (moved.sum(axis=1) > 1)[:, None])
    place = np.cumsum(moved, axis=1)
    for n in range(1, place.max() + 1):
        _halve(judge, found, threshold, moved & (place == n))
    return found


def _try_parts(judge: Judge, found: Rows, threshold: Floats, number: int, column: Dates) -> None:
    """Keep the day of a date, or else its time, where that is enough."""
    where = np.flatnonzero(found.differ(judge.observed)[:, number] & ~np.isnan(judge.observed.cells[:, number]))
    for keep_day in (False, True):
        if not len(where):
            return
        observed, end = judge.observed.cells[where, number], found.cells[where, number]
        day, time = (observed, end) if keep_day else (end, observed)
        rows = judge.editor.towards(found[where], number, day - day % _DAY + time % _DAY, observed)
        fine = judge.score(rows) <= threshold[where]
        found.put(where[fine], rows[fine])


def _halve(judge: Judge, found: Rows, threshold: Floats, moved: Booleans) -> None:
    """Bring the numbers that were moved back towards the observed ones, all of a row by the same share of the way."""
    where = np.flatnonzero(moved.any(axis=1))
    if not len(where):
        return
    editor, observed, end = judge.editor, judge.observed[where], found[where].cells
    start = observed.cells.copy()
    for number in np.flatnonzero(moved.any(axis=0)).tolist():
        start[:, number] = editor.columns[number].possible(start[:, number], start[:, number])
    low, high = np.zeros(len(where)), np.ones(len(where))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        rows = found[where]
        for number in np.flatnonzero(moved.any(axis=0)).tolist():
            wanted = start[:, number] + middle * (end[:, number] - start[:, number])
            step = editor.towards(rows, number, wanted, observed.cells[:, number])
            rows = editor.restored(rows, step, moved[where])
        fine = judge.score(rows) <= threshold[where]
        found.put(where[fine], rows[fine])
        low, high = np.where(fine, low, middle), np.where(fine, middle, high)
