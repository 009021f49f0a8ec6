"""Numbers and times of day of many values: what the decoder leaves of them, and how they come as they do in fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from vae_anomaly._sampler.levels import Bins
from vae_anomaly.model.sampling import Given
from vae_anomaly.table.layout import EncodedTable

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

_TAIL = ndtr(np.linspace(-3.5, -2.7, 24))
SHARES = np.concatenate([[0.0], _TAIL, np.linspace(0, 1, 402)[2:-2], 1 - _TAIL[::-1], [1.0]])
"""Shares of rows at which distributions are kept: denser in their tails."""

NOT_ROUNDED = -1
_BINS = 16
_MOST_DECIMALS, _ROUNDED_SHARE, _LOOKED_AT = 9, 0.995, 1000
_FULL_CIRCLE = 2 * np.pi


@dataclass(frozen=True, eq=False)
class Continuous:
    """A column of many values.

    Parameters
    ----------
    column, place : int
        Which of the modelled columns, and where in its block of parts.
    is_time : bool
        Whether it is the time of day of a date, and so an angle.
    residual : float64 ndarray of shape (n_shares,)
        Quantiles of what the decoder leaves of the rows of fit, in its own units of spread.
    raw, value : float64 ndarray of shape (n_shares,)
        Quantiles of what is drawn, as the decoder has it, and of the cells of fit, which they become.
    decimals : int
        Of the cells; `NOT_ROUNDED` where they have no precision of their own.
    """

    column: int
    place: int
    is_time: bool
    residual: Floats
    raw: Floats
    value: Floats
    decimals: int

    def left(self, given: Given, table: EncodedTable) -> Floats:
        """What the decoder leaves of rows, in its units of spread."""
        return self.left_of(given, (table.angles if self.is_time else table.values)[:, self.place])

    def left_of(self, given: Given, encoded: Floats | NDArray[np.float32]) -> Floats:
        """What the decoder leaves of encoded cells."""
        if self.is_time:
            off = (encoded - given.direction[:, self.place] + np.pi) % _FULL_CIRCLE - np.pi
            return np.asarray(off * np.sqrt(given.concentration[:, self.place]))
        return np.asarray((encoded - given.loc[:, self.place]) / given.scale[:, self.place])

    def drawn(self, given: Given, normal: Floats) -> Floats:
        """Encoded cells, from normal numbers that stand for what the decoder leaves."""
        left = np.interp(ndtr(normal), SHARES, self.residual)
        if self.is_time:
            turned = given.direction[:, self.place] + left / np.sqrt(given.concentration[:, self.place])
            return np.asarray(turned % _FULL_CIRCLE)
        return np.asarray(given.loc[:, self.place] + given.scale[:, self.place] * left)

    def ranks(self, raw: Floats) -> Floats:
        """The shares of rows below encoded cells that are drawn."""
        return np.asarray(np.interp(raw, self.raw, SHARES))

    def cells(self, ranks: Floats) -> Floats:
        """Cells of the table."""
        cells = np.interp(ranks, SHARES, self.value)
        return cells if self.decimals == NOT_ROUNDED else np.round(cells, self.decimals) + 0.0

    def bins(self, place: int) -> Bins:
        """Its ranges, of like shares of rows as far as values do not repeat; `place` among the columns of its kind."""
        edges = np.unique(self.value[np.searchsorted(SHARES, np.arange(1, _BINS) / _BINS)])
        edges = edges[edges < self.value[-1]]
        below = SHARES[np.searchsorted(self.value, edges, side="right") - 1]
        return Bins(self.column, place, self.is_time, edges, np.concatenate([[0.0], below, [1.0]]))

    def fixed(self, given: Given, cell: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """The normal numbers that stand for one cell, and the log of how densely they lie there, in nats."""
        low, high = (np.searchsorted(self.value, cell, side=side) for side in ("left", "right"))
        if high > low:  # many rows have this very cell
            place = rng.uniform(low, high - 1, len(given))
            raw = np.interp(place, np.arange(len(self.raw)), self.raw)
        else:
            raw = np.full(len(given), np.interp(cell, self.value, self.raw))
        left = self.left_of(given, raw)
        share = np.interp(left, self.residual, SHARES, left=SHARES[1] / 2, right=1 - SHARES[1] / 2)
        normal = ndtri(share.clip(1e-9, 1 - 1e-9))
        # Far from what the decoder expects, densities fall as those of its own tails do.
        beyond = np.maximum(0.0, np.maximum(left - self.residual[-1], self.residual[0] - left))
        spread = np.gradient(self.residual, ndtri(SHARES.clip(1e-6, 1 - 1e-6)))
        slope = np.maximum(np.interp(left, self.residual, spread), 1e-6)
        scale = 1 / np.sqrt(given.concentration[:, self.place]) if self.is_time else given.scale[:, self.place]
        return normal, -np.log(slope * scale) - 2 * np.log1p(beyond)


def normal_scores(left: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Quantiles of what is left of rows, and the normal numbers that stand for it; missing ones are drawn."""
    present = ~np.isnan(left)
    if not present.any():
        return np.zeros(len(SHARES)), rng.standard_normal(len(left))
    some = np.sort(left[present])
    quantiles = some[np.rint(SHARES * (len(some) - 1)).astype(np.intp)]
    normal = rng.standard_normal(len(left))
    order = np.argsort(left[present], kind="stable")
    ranks = np.empty(len(order))
    ranks[order] = (np.arange(len(order)) + 0.5) / len(order)
    normal[present] = ndtri(ranks)
    return quantiles, normal


def as_kept(quantiles: Floats) -> Floats:
    """As a model file keeps them: a model that was saved draws the same rows."""
    return quantiles.astype(np.float32).astype(np.float64)


def quantiles_of(cells: Floats) -> Floats:
    """Quantiles of cells, each of which is one of them."""
    rising = np.sort(cells)
    return (
        np.asarray(rising[np.rint(SHARES * (len(rising) - 1)).astype(np.intp)])
        if len(rising)
        else np.zeros(len(SHARES))
    )


def decimals_of(cells: Floats) -> int:
    """Decimals that nearly all of some cells do with."""
    some = cells[:_LOOKED_AT]
    for n in range(_MOST_DECIMALS + 1):
        if len(some) and (np.abs(np.round(some, n) - some) <= 1e-9 * np.abs(some)).mean() >= _ROUNDED_SHARE:
            return n
    return NOT_ROUNDED
