"""Rows sorted by entity and time: which rows are the past of a row, and what can be counted there.

Every row's past is a stretch of sorted rows, whose bounds never go back from one row to the next. That is why whole
columns are counted at once, without a loop over rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stretches:
    """For each sorted row the rows from `start` up to, not including, `stop`."""

    start: Integers
    stop: Integers

    @property
    def length(self) -> Integers:
        """How many rows there are in each."""
        return self.stop - self.start

    def of(self, rows: Integers) -> Stretches:
        """Those of some of the rows."""
        return Stretches(self.start[rows], self.stop[rows])


@dataclass(frozen=True, eq=False)
class Timeline:
    """Rows sorted by entity, then time, then arrival.

    Parameters
    ----------
    order : int64 ndarray of shape (n_rows,)
        Where each sorted row stood in the order of arrival.
    entity : int64 ndarray of shape (n_rows,)
        Codes of the entities, sorted.
    time : int64 ndarray of shape (n_rows,)
        Of the sorted rows.
    """

    order: Integers
    entity: Integers
    time: Integers

    @classmethod
    def of(cls, entity: NDArray[Any], time: Integers) -> Timeline:
        """Sort rows that are in the order of arrival, which breaks ties.

        Examples
        --------
        >>> Timeline.of(np.array([1, 0, 1, 1]), np.array([5, 9, 3, 5])).order
        array([1, 2, 0, 3])
        """
        order = np.lexsort((time, entity))  # stable
        return cls(order, entity[order].astype(np.int64), time[order])

    def past(self, length: int | None, delay: int) -> Stretches:
        """The past of each row: what was at most `length` ago and is known after `delay`.

        Parameters
        ----------
        length : int or None
            Microseconds; a row from exactly so long ago is too old. None has no end.
        delay : int
            Microseconds for which nothing is known of a row. The window ends so long ago, and has its whole length.

        Examples
        --------
        >>> timeline = Timeline.of(np.zeros(4, int), np.array([0, 5, 5, 10]))
        >>> timeline.past(10, 0).start, timeline.past(10, 0).stop
        (array([0, 0, 0, 1]), array([0, 1, 2, 3]))
        >>> timeline.past(None, 5).stop
        array([0, 1, 1, 3])
        """
        here = np.arange(len(self.order), dtype=np.int64)
        stop = self._first_after(delay) if delay else here
        return Stretches(self._first_of_entity if length is None else self._first_after(length + delay), stop)

    @cached_property
    def _first_of_entity(self) -> Integers:
        return np.searchsorted(self.entity, self.entity, side="left")

    def _first_after(self, age: int) -> Integers:
        """For each row the first of its entity that is less than `age` old."""
        ticks, tick, place = self._ticks
        first = np.searchsorted(ticks, ticks - age, side="right")
        return np.searchsorted(place, self.entity * (len(ticks) + 1) + first[tick], side="left")

    @cached_property
    def _ticks(self) -> tuple[Integers, Integers, Integers]:
        """Distinct times, the number of each row's, and one sorted number for entity and time."""
        ticks, tick = np.unique(self.time, return_inverse=True)
        return ticks, tick, self.entity * (len(ticks) + 1) + tick

    def distinct(self, key: NDArray[Any], pasts: Sequence[Stretches]) -> list[Integers]:
        """How many different keys the stretches have; keys below 0 are missing.

        A row is the last of its key in a stretch while the stretch reaches it, and not yet its successor. As bounds
        never go back, these stretches are neighbours: each row adds one from the first of them to the last.

        Examples
        --------
        >>> timeline = Timeline.of(np.zeros(4, int), np.arange(4))
        >>> timeline.distinct(np.array([7, 8, 7, 7]), [timeline.past(None, 0)])
        [array([0, 1, 2, 2])]
        """
        n_rows, successor = len(self.order), self._successor(key)
        here = np.arange(n_rows, dtype=np.int64)
        found = []
        for past in pasts:
            reached = np.append(np.searchsorted(past.stop, here, side="right"), n_rows)
            left = np.searchsorted(past.start, here, side="right")
            until = np.minimum(left, reached[successor])
            counts = (key >= 0) & (until > reached[:-1])
            begins, ends = (np.bincount(at[counts], minlength=n_rows + 1)[:n_rows] for at in (reached[:-1], until))
            found.append(np.cumsum(begins - ends))
        return found

    def _successor(self, key: NDArray[Any]) -> Integers:
        """The next row of the same entity and key, or the number of rows."""
        successor = np.full(len(self.order), len(self.order), dtype=np.int64)
        by_pair = np.lexsort((key, self.entity))
        before, after = by_pair[:-1], by_pair[1:]
        same = (self.entity[before] == self.entity[after]) & (key[before] == key[after])
        successor[before[same]] = after[same]
        return successor

    def occurrences(self, key: NDArray[Any], rows: Integers, stop: Integers) -> Integers:
        """How often each of `rows`' entity had the same key before the row `stop`.

        Examples
        --------
        >>> timeline = Timeline.of(np.zeros(4, int), np.arange(4))
        >>> timeline.occurrences(np.array([7, 8, 7, 7]), np.array([2, 3]), np.array([2, 3]))
        array([1, 2])
        """
        n_rows = len(self.order)
        by_pair = np.lexsort((key, self.entity))
        entity, of_key = self.entity[by_pair], key[by_pair]
        is_first = np.ones(n_rows, dtype=bool)
        is_first[1:] = (entity[1:] != entity[:-1]) | (of_key[1:] != of_key[:-1])
        pair = np.cumsum(is_first) - 1
        pair_of = np.empty(n_rows, dtype=np.int64)
        pair_of[by_pair] = pair
        place = pair * (n_rows + 1) + by_pair
        found = np.searchsorted(place, pair_of[rows] * (n_rows + 1) + stop, side="left")
        return found - np.flatnonzero(is_first)[pair_of[rows]]
