"""The fewest columns of a row that must be other for it not to alert.

Whatever a set of columns would be changed to, a judge says what the row would then score. Sets grow by one column from
the best ones of one column less, several of which are kept so that two columns that are odd together are found. Where
many columns are odd, sets grow by as many as cover half of what the row is above its threshold. What turned out not to
be needed is put back. Every row is searched for by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Booleans: TypeAlias = NDArray[np.bool_]
Places: TypeAlias = NDArray[np.intp]
Judge: TypeAlias = Callable[[Places, Booleans], Floats]
"""From rows, and for each a set of columns that is changed, to scores."""

WIDTH = 3
"""Sets of one size that are grown further."""

_ONE_BY_ONE, _FEW = 4, 3
"""Columns up to which sets grow by one, and that must cover half of what is above the threshold for that."""

_HARDLY = 0.05
"""Share of what a set lowers a score by that is worth no other column, where the threshold is out of reach."""


def fewest_changes(judge: Judge, free: Booleans, threshold: Floats) -> tuple[Booleans, Floats]:
    """Find, for each row, a small set of columns whose change brings the score down to the threshold.

    Parameters
    ----------
    judge : callable
        ``judge(rows, sets)``: the anomaly score of each of these rows, by their numbers, with a set of its columns
        changed; `sets` is a bool ndarray of shape (n_asked, n_columns).
    free : bool ndarray of shape (n_rows, n_columns)
        Which columns may be changed.
    threshold : float64 ndarray of shape (n_rows,)
        Highest score that does not alert.

    Returns
    -------
    chosen : bool ndarray of shape (n_rows, n_columns)
        The sets. None of their columns can be left out alone. Where no set reaches the threshold, the one with the
        lowest score, less the columns that hardly lower it; no column where none does.
    score : float64 ndarray of shape (n_rows,)
        With these changed.

    Examples
    --------
    Three columns that each add to a score, as long as they are not changed:

    >>> nats = np.array([[1.0, 7.0, 5.0], [9.0, 0.5, 0.5]])
    >>> chosen, score = fewest_changes(lambda rows, sets: (nats[rows] * ~sets).sum(axis=1), nats > 0, np.full(2, 3.0))
    >>> chosen.tolist(), score.tolist()
    ([[False, True, True], [True, False, False]], [1.0, 1.0])
    """
    before = judge(np.arange(len(free)), np.zeros_like(free))
    chosen, score = _grown(judge, free, threshold, before)
    limit = np.where(score <= threshold, threshold, score + _HARDLY * (before - score))
    return _pruned(judge, chosen, score, limit)


@dataclass(frozen=True)
class _Sets:
    """Sets that were judged, row by row, the best of a row first.

    Parameters
    ----------
    row : intp ndarray of shape (n_sets,)
        Of which row.
    chosen : bool ndarray of shape (n_sets, n_columns)
        The sets.
    score : float64 ndarray of shape (n_sets,)
        The row's, with the set changed.
    column, parent : intp ndarray of shape (n_sets,)
        Which column came last, and the number of the set without it.
    gain, above : float64 ndarray of shape (n_sets,)
        How far the column lowers the score, and how far it was above the threshold before.
    """

    row: Places
    chosen: Booleans
    score: Floats
    column: Places
    parent: Places
    gain: Floats
    above: Floats

    def __getitem__(self, some: Places | Booleans) -> _Sets:
        return _Sets(*(array[some] for array in vars(self).values()))

    @property
    def first(self) -> Places:
        """Number of the best set of the same row."""
        starts = np.flatnonzero(np.diff(self.row, prepend=-1))
        return np.repeat(starts, np.diff(starts, append=len(self.row)))

    @property
    def rank(self) -> Places:
        """Place among the sets of the row, from 0."""
        return np.arange(len(self.row)) - self.first


def _grown(judge: Judge, free: Booleans, threshold: Floats, before: Floats) -> tuple[Booleans, Floats]:
    """Sets that reach the threshold, or the lowest score on the way to all columns."""
    chosen, lowest = np.zeros_like(free), before.copy()
    row, sets, score = np.arange(len(free)), chosen.copy(), before
    while len(row):
        found = _one_more(judge, free, threshold, row, sets, score)
        best = found[found.rank == 0]
        _keep_lower(chosen, lowest, best.row, best.chosen, best.score)
        row, sets, score = _next(judge, found[lowest[found.row] > threshold[found.row]])
        _keep_lower(chosen, lowest, row, sets, score)
        late = lowest[row] > threshold[row]
        row, sets, score = row[late], sets[late], score[late]
    return chosen, lowest


def _keep_lower(chosen: Booleans, lowest: Floats, row: Places, sets: Booleans, score: Floats) -> None:
    better = score < lowest[row]
    chosen[row[better]], lowest[row[better]] = sets[better], score[better]


def _one_more(judge: Judge, free: Booleans, threshold: Floats, row: Places, sets: Booleans, score: Floats) -> _Sets:
    """Each set with each other free column of its row; of sets that come out alike the first."""
    parent, column = np.nonzero(free[row] & ~sets)
    row, before, grown = row[parent], score[parent], sets[parent]
    grown[np.arange(len(grown)), column] = True
    keys = np.concatenate([row.astype(np.int64)[:, None].view(np.uint8), np.packbits(grown, axis=1)], axis=1)
    some = np.unique(keys, axis=0, return_index=True)[1]
    found = judge(row[some], grown[some]) if len(some) else np.zeros(0)
    gain, above = before[some] - found, before[some] - threshold[row[some]]
    judged = _Sets(row[some], grown[some], found, column[some], parent[some], gain, above)
    return judged[np.lexsort((judged.column, judged.score, judged.row))]


def _next(judge: Judge, found: _Sets) -> tuple[Places, Booleans, Floats]:
    """Sets to grow from, and their scores: the best few of a row, or a larger one where many columns are needed."""
    of_best = found.parent == found.parent[found.first]
    gain = np.where(of_best, np.maximum(found.gain, 0.0), 0.0)
    needed = (gain > 0) & (_covered(gain, found.rank) < found.above / 2)
    n_needed = np.bincount(found.row, needed)[found.row] if len(found.row) else np.zeros(0)
    size = found.chosen.sum(axis=1)
    few = (size < _ONE_BY_ONE) & (n_needed < _FEW)
    best, larger = found[few & (found.rank < WIDTH)], found[~few & of_best]
    wanted = larger.rank < np.maximum(n_needed, 1 + size // 3)[~few & of_best]
    single = larger.rank == 0
    grown, row = larger.chosen[single], larger.row[single]
    grown[(np.cumsum(single) - 1)[wanted], larger.column[wanted]] = True
    score = judge(row, grown) if len(row) else np.zeros(0)
    return np.append(best.row, row), np.append(best.chosen, grown, axis=0), np.append(best.score, score)


def _covered(gain: Floats, rank: Places) -> Floats:
    """Sum of the gains before each in its row: row by row, so that no other row has a part in its rounding."""
    table = np.zeros((np.count_nonzero(rank == 0), rank.max(initial=0) + 1))
    place = np.cumsum(rank == 0) - 1, rank
    table[place] = gain
    return np.asarray((np.cumsum(table, axis=1) - table)[place])


def _pruned(judge: Judge, chosen: Booleans, score: Floats, threshold: Floats) -> tuple[Booleans, Floats]:
    """The sets without the columns that can be put back, those that are needed least first."""
    chosen, score = chosen.copy(), score.copy()
    active = np.flatnonzero(chosen.sum(axis=1) > 1)
    while len(active):
        rows, column, found = _put_back(judge, chosen, active)
        rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
        fine = (rank == 0) & (found <= threshold[rows])
        active = rows[fine]
        score[active] = found[fine]
        sets = chosen.copy()
        sets[active, column[fine]] = False
        for n_columns in 2 ** np.arange(1, chosen.shape[1].bit_length()):
            some = active[chosen[active].sum(axis=1) > max(n_columns, _ONE_BY_ONE)]
            fewer = chosen.copy()
            fewer[rows[rank < n_columns], column[rank < n_columns]] = False
            found = judge(some, fewer[some]) if len(some) else np.zeros(0)
            some, found = some[found <= threshold[some]], found[found <= threshold[some]]
            sets[some], score[some] = fewer[some], found
        chosen = sets
        active = active[chosen[active].sum(axis=1) > 1]
    return chosen, score


def _put_back(judge: Judge, chosen: Booleans, active: Places) -> tuple[Places, Places, Floats]:
    """For each row its columns, the least needed first, and the score without each."""
    number, column = np.nonzero(chosen[active])
    rows = active[number]
    sets = chosen[rows]
    sets[np.arange(len(sets)), column] = False
    found = judge(rows, sets)
    order = np.lexsort((found, rows))
    return rows[order], column[order], found[order]
