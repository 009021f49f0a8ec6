"""Sum, mean, spread and maximum of stretches of rows, to the last bit the same whatever rows lie around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from vae_anomaly._behavior.timeline import Integers, Stretches

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """What is known of the numbers in each of several stretches.

    Parameters
    ----------
    count, total, mean : float64 ndarray of shape (n,)
        How many numbers there are, their sum and their mean, each 0 where there are none.
    squares : float64 ndarray of shape (n,)
        Sum of the squared differences from the mean.
    maximum : float64 ndarray of shape (n,)
        −∞ where there are no numbers.
    """

    count: Floats
    total: Floats
    mean: Floats
    squares: Floats
    maximum: Floats

    @classmethod
    def of(cls, values: Floats) -> Moments:
        """Of each number by itself; NaN is none."""
        given = ~np.isnan(values)
        value = np.where(given, values, 0.0)
        return cls(
            given.astype(np.float64), value, value.copy(), np.zeros(len(values)), np.where(given, values, -np.inf)
        )

    @classmethod
    def none(cls, n: int) -> Moments:
        """Of stretches without a number."""
        return cls.of(np.full(n, np.nan))

    def merged(self, other: Moments) -> Moments:
        """Of each stretch and its neighbour together (Chan, Golub and LeVeque, 1979)."""
        count = self.count + other.count
        share = np.divide(other.count, count, out=np.zeros(len(count)), where=count > 0)
        apart = other.mean - self.mean
        squares = self.squares + other.squares + apart * apart * self.count * share
        maximum = np.maximum(self.maximum, other.maximum)
        return Moments(count, self.total + other.total, self.mean + apart * share, squares, maximum)

    def std(self) -> Floats:
        """Standard deviation with n − 1, NaN for fewer than two numbers."""
        variance = np.full(len(self.count), np.nan)
        np.divide(self.squares, self.count - 1, out=variance, where=self.count > 1)
        return np.asarray(np.sqrt(variance))

    def __getitem__(self, rows: slice | Integers) -> Moments:
        return Moments(*(getattr(self, field.name)[rows] for field in fields(self)))

    def put(self, rows: Integers, values: Moments) -> None:
        """Replace those of some stretches."""
        for field in fields(self):
            getattr(self, field.name)[rows] = getattr(values, field.name)


def moments_of(values: Floats, stretches: Sequence[Stretches]) -> list[Moments]:
    """The moments of stretches of `values`.

    A stretch of 13 numbers is put together from 1, 4 and 8 neighbours. How is told by its own numbers alone, so a
    stretch has the same moments in every table that it is part of: differences of running sums, which are faster,
    would not, and lose digits.

    Parameters
    ----------
    values : float64 ndarray of shape (n_rows,)
        NaN where there is no number.
    stretches : sequence of Stretches
        Some in each of several windows.

    Returns
    -------
    list of Moments
        For each of `stretches`.

    Examples
    --------
    >>> found = moments_of(np.array([1.0, 2.0, np.nan, 6.0]), [Stretches(np.array([0, 1]), np.array([4, 2]))])
    >>> found[0].mean, found[0].std(), found[0].maximum
    (array([3., 2.]), array([2.64575131,        nan]), array([6., 2.]))
    """
    blocks = Moments.of(values)
    found = [Moments.none(len(each.start)) for each in stretches]
    begun = [each.start.copy() for each in stretches]
    longest = max((int(each.length.max(initial=0)) for each in stretches), default=0)
    for level in range(longest.bit_length()):
        size = 1 << level
        if level:
            blocks = blocks[: -(size >> 1)].merged(blocks[size >> 1 :])  # each begins where its first half does
        for each, moments, at in zip(stretches, found, begun, strict=True):
            rows = np.flatnonzero(each.length & size)
            moments.put(rows, moments[rows].merged(blocks[at[rows]]))
            at[rows] += size
    return found
