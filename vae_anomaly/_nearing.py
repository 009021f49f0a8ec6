"""The search for the nearest row that does not alert: which columns to change, and then as little as possible.

From the smallest set of columns that brings the score down, numbers and dates go back towards what they were for as
long as the row does not alert. No row takes more columns than the simplest search would change: it is tried as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vae_anomaly._editable import Dates, Levels
from vae_anomaly._editing import Booleans, Editor, Floats, Places, Rows
from vae_anomaly._judging import ALL, USUAL, Judge
from vae_anomaly.decision.fewest import fewest_changes

_HALVINGS = 12
_DAY = 86_400.0
_SHORT_OF = 1e-4
"""Nats below the threshold at which numbers stop: another machine's scores differ in their last digits."""


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
        found.put(done, _with_needed(judge, _shortened(judge, found[done], limit - _SHORT_OF), limit))
    return found


def _with_fewest(judge: Judge, free: Booleans, threshold: Floats) -> tuple[Rows, Floats]:
    """The rows with the fewest changes that were found, and their scores; the lowest ones where none is enough."""
    chosen, _ = fewest_changes(judge, free, threshold)
    found = _with_needed(judge, judge.changed(np.arange(len(free)), chosen)[0], threshold)
    score, n_changed = judge.score(found), found.differ(judge.observed).sum(axis=1)
    unsettled = np.flatnonzero((score > threshold) | (n_changed > 1))
    other = _with_needed(judge, _with_most_surprising(judge, free, threshold, unsettled), threshold)
    other_score, fewer = judge.score(other), other.differ(judge.observed).sum(axis=1) < n_changed
    better = np.where((score <= threshold) & (other_score <= threshold), fewer, other_score < score)
    found.put(better, other[better])
    return found, np.where(better, other_score, score)


def _with_most_surprising(judge: Judge, free: Booleans, threshold: Floats, active: Places) -> Rows:
    """Some rows with the most surprising cell as reconstructed; then with the one that is so in what this makes; ..."""
    found, free = judge.observed.copy(), free.copy()
    active = active[free[active].any(axis=1)]
    while len(active):
        rows = found[active]
        column = np.where(free[active], judge.surprisal(rows), -np.inf).argmax(axis=1)
        rows = judge.likely(rows, np.arange(free.shape[1]) == column[:, None], rows.table)
        found.put(active, rows)
        free[active, column] = False
        active = active[(judge.score(rows) > threshold[active]) & free[active].any(axis=1)]
    return found


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
        wanted = day - day % _DAY + time % _DAY
        rows = judge.editor.towards(found[where], number, np.full(len(where), True), wanted, observed)
        fine = judge.score(rows) <= threshold[where]
        found.put(where[fine], rows[fine])


def _halve(judge: Judge, found: Rows, threshold: Floats, moved: Booleans) -> None:
    """Bring the numbers that were moved back towards the observed ones, all of a row by the same share of the way."""
    where = np.flatnonzero(moved.any(axis=1))
    if not len(where):
        return
    editor, observed, moved, end = judge.editor, judge.observed[where].cells, moved[where], found[where].cells
    numbers = np.flatnonzero(moved.any(axis=0)).tolist()
    start = observed.copy()
    for number in numbers:
        start[:, number] = editor.columns[number].possible(start[:, number], start[:, number])
    low, high = np.zeros(len(where)), np.ones(len(where))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        rows = found[where]
        for number in numbers:
            some = moved[:, number]
            wanted = (start[:, number] + middle * (end[:, number] - start[:, number]))[some]
            rows = editor.towards(rows, number, some, wanted, observed[some, number])
        fine = judge.score(rows) <= threshold[where]
        found.put(where[fine], rows[fine])
        low, high = np.where(fine, low, middle), np.where(fine, middle, high)
