"""Vectorised random choices that the simulator is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Codes = NDArray[np.int64]
Reals = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class GroupedChoice:
    """Weighted choices within many groups at once.

    The weights of all groups lie behind each other on one line; a group is an interval of it, so that a choice is one
    binary search whatever the number of groups.

    Parameters
    ----------
    item : int ndarray of shape (n_items,)
        The items, sorted by group.
    line : float ndarray of shape (n_items + 1,)
        Cumulated weights.
    start : int ndarray of shape (n_groups + 1,)
        Where each group begins among the items.

    Examples
    --------
    >>> choice = GroupedChoice.among(group=[0, 1, 1], weight=[1.0, 1.0, 3.0])
    >>> choice.at(np.array([0, 1, 1]), np.array([0.9, 0.1, 0.9]))
    array([0, 1, 2])
    """

    item: Codes
    line: Reals
    start: Codes

    @classmethod
    def among(cls, group: ArrayLike, weight: ArrayLike) -> GroupedChoice:
        """Choose between items 0, 1, ... that each belong to a group; no group may be empty."""
        groups = np.asarray(group, dtype=np.int64)
        item = np.argsort(groups, kind="stable")
        line = np.concatenate([[0.0], np.cumsum(np.asarray(weight, dtype=float)[item])])
        start = np.searchsorted(groups[item], np.arange(groups.max() + 2))
        return cls(item, line, start)

    @classmethod
    def columns(cls, weights: Reals) -> GroupedChoice:
        """Choose a column of a table whose rows are the groups."""
        n_groups, n_columns = weights.shape
        flat = cls.among(np.repeat(np.arange(n_groups), n_columns), weights.ravel())
        return cls(flat.item % n_columns, flat.line, flat.start)

    def at(self, group: Codes, uniform: Reals) -> Codes:
        """The item of each group at a place in [0, 1) of its interval: the same place gives the same item."""
        first, end = self.start[group], self.start[group + 1]
        low, high = self.line[first], self.line[end]
        found = np.searchsorted(self.line, low + uniform * (high - low), side="right") - 1
        return self.item[np.clip(found, first, end - 1)]  # rounding may step over the border of a group

    def draw(self, group: Codes, rng: np.random.Generator) -> Codes:
        """An item of each group."""
        return self.at(group, rng.random(len(group)))


def pick(options: ArrayLike, n: int, rng: np.random.Generator, weights: ArrayLike | None = None) -> Codes:
    """Draw n codes from a few options, with the given relative weights."""
    codes = np.asarray(options, dtype=np.int64)
    relative = np.ones(len(codes)) if weights is None else np.asarray(weights, dtype=float)
    return rng.choice(codes, size=n, p=relative / relative.sum())


def zipf_weights(n: int, exponent: float, rng: np.random.Generator) -> Reals:
    """Popularities that fall with rank as rank**-exponent, in random order."""
    weights: Reals = rng.permutation(np.arange(1, n + 1, dtype=float) ** -exponent)
    return weights


def episodes(n: int, low: int, high: int, rng: np.random.Generator) -> Codes:
    """Split n rows into consecutive episodes of `low` to `high` rows (the last may be shorter).

    Examples
    --------
    >>> episodes(5, 2, 2, np.random.default_rng(0))
    array([0, 0, 1, 1, 2])
    """
    sizes = rng.integers(low, high + 1, size=n // low + 1)
    return np.repeat(np.arange(len(sizes)), sizes)[:n]


def since_start(gaps: Reals, episode: Codes) -> Reals:
    """Time since the first row of the own episode, where gaps[i] lies between row i - 1 and row i.

    Examples
    --------
    >>> since_start(np.array([5.0, 1.0, 2.0, 7.0, 1.0]), np.array([0, 0, 0, 1, 1]))
    array([0., 1., 3., 0., 1.])
    """
    total = np.cumsum(gaps)
    first = np.searchsorted(episode, episode)
    return total - total[first]
