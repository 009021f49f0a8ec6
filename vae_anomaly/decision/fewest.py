"""The fewest columns of a row that must be other for it not to alert.

Whatever a set of columns would be changed to, a judge says what the row would then score. Sets grow from the best ones
of one column less, several of which are kept so that two columns that are odd together are found; large ones grow by
several columns at once. What turned out not to be needed is put back. Every row is searched for by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Booleans: TypeAlias = NDArray[np.bool_]
Places: TypeAlias = NDArray[np.intp]
Judge: TypeAlias = Callable[[Places, Booleans], Floats]
"""From rows, and for each a set of columns that is changed, to scores."""

WIDTH = 3
"""Sets of one size that are grown further."""

_ONE_BY_ONE = 4
"""Columns up to which sets grow by one."""

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
    chosen, score = _grown(judge, free, threshold)
    limit = threshold.copy()
    late = np.flatnonzero(score > threshold)
    if len(late):
        before = judge(late, np.zeros_like(free[late]))
        score[late] = np.minimum(score[late], before)
        chosen[late[score[late] == before]] = False
        limit[late] = score[late] + _HARDLY * (before - score[late])
    return _pruned(judge, chosen, score, limit)


def _grown(judge: Judge, free: Booleans, threshold: Floats) -> tuple[Booleans, Floats]:
    """Sets that reach the threshold, or the lowest score on the way to all columns."""
    chosen, lowest = np.zeros_like(free), np.full(len(free), np.inf)
    rows, sets = np.arange(len(free)), np.zeros_like(free)
    for size in count(1):
        rows, parent, column = _one_more(rows, sets, free)
        sets = _with(sets[parent], column)
        rows, sets, parent, column = _distinct(rows, sets, parent, column)
        if not len(rows):
            return chosen, lowest
        score = judge(rows, sets)
        order = np.lexsort((score, rows))
        first = order[_rank(rows[order]) == 0]
        better = first[score[first] < lowest[rows[first]]]
        chosen[rows[better]], lowest[rows[better]] = sets[better], score[better]
        order = order[lowest[rows[order]] > threshold[rows[order]]]
        if size < _ONE_BY_ONE:
            kept = order[_rank(rows[order]) < WIDTH]
            rows, sets = rows[kept], sets[kept]
        else:
            rows, sets = _by_several(rows[order], sets[order], parent[order], column[order])
    raise AssertionError("unreachable")


def _one_more(rows: Places, sets: Booleans, free: Booleans) -> tuple[Places, Places, Places]:
    """Each set with each other free column: the row, the number of the set, and the column."""
    parent, column = np.nonzero(free[rows] & ~sets)
    return rows[parent], parent, column


def _with(sets: Booleans, column: Places) -> Booleans:
    sets = sets.copy()
    sets[np.arange(len(sets)), column] = True
    return sets


def _distinct(rows: Places, sets: Booleans, *beside: Places) -> tuple[NDArray[Any], ...]:
    """Each set of a row once: two sets that differ by one column have a common next one."""
    keyed = np.concatenate([rows.astype(np.int64).view(np.uint8).reshape(len(rows), 8), np.packbits(sets, axis=1)], 1)
    _, first = np.unique(keyed, axis=0, return_index=True)
    first.sort()
    return rows[first], sets[first], *(array[first] for array in beside)


def _rank(group: Places) -> Places:
    """Place of each item within its group, where the items of a group lie together."""
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    return np.arange(len(group)) - np.repeat(starts, np.diff(starts, append=len(group)))


def _by_several(rows: Places, sets: Booleans, parent: Places, column: Places) -> tuple[Places, Booleans]:
    """The set that the best of each row came from, with the columns that made it better, a third as many as it has.

    The candidates come best first for each row.
    """
    best = np.flatnonzero(_rank(rows) == 0)
    of_best = np.repeat(best, np.diff(best, append=len(rows)))
    alike = parent == parent[of_best]
    rows, sets, column = rows[alike], sets[alike], column[alike]
    rank = _rank(rows)
    grown = sets[rank == 0]
    wanted = rank <= np.repeat(grown.sum(axis=1) // 3, np.diff(np.flatnonzero(rank == 0), append=len(rows)))
    grown[(np.cumsum(rank == 0) - 1)[wanted], column[wanted]] = True
    return rows[rank == 0], grown


def _pruned(judge: Judge, chosen: Booleans, score: Floats, threshold: Floats) -> tuple[Booleans, Floats]:
    """The sets without the columns that can be put back, those that are needed least first."""
    chosen, score = chosen.copy(), score.copy()
    active = np.flatnonzero(chosen.sum(axis=1) > 1)
    while len(active):
        rows, column, found = _put_back(judge, chosen, active)
        rank = _rank(rows)
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
