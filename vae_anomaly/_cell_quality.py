"""How well cells are told: what a model expects of one part of a table, held against what is there.

The members' distributions are averaged, as in `vae_anomaly._expecting`: what they expect together is the mixture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import i0e, i1e, stdtr
from scipy.stats import vonmises

from vae_anomaly.model.explaining import Outlook
from vae_anomaly.table.layout import FIRST_LEVEL, RARE, UNSEEN, Part, PartKind

Floats = NDArray[np.float64]

LEVELS = (0.5, 0.8, 0.95)
"""Shares of what is expected, of which it is told how many cells lie within."""

_LEAST = 1e-12
"""Concentration of an angle from which on it has a direction, and probability that counts."""


@dataclass(frozen=True)
class CellQuality:
    """How well the cells of one part are told; NaN for what a part of its kind does not have.

    Parameters
    ----------
    n_observed : int
        Cells that are there.
    rmse : float
        Of numbers, the root of the mean squared error of what is expected on average, in standard deviations of the
        training rows; of angles that of the chord between the directions, in a radius of 1.
    cross_entropy, baseline_cross_entropy : float
        Of codes, mean −log p of the cells, and that of their own shares, in nats.
    accuracy, baseline_accuracy : float
        Of codes, the share of cells that are the likeliest symbol, and that of the commonest symbol.
    explained : float
        1 less the squared error over that of the mean, or less the cross-entropy over that of the shares.
    coverage : tuple of float
        Share of the cells within what has each of `LEVELS` of what is expected.
    """

    n_observed: int
    rmse: float = np.nan
    cross_entropy: float = np.nan
    baseline_cross_entropy: float = np.nan
    accuracy: float = np.nan
    baseline_accuracy: float = np.nan
    explained: float = np.nan
    coverage: tuple[float, ...] = (np.nan,) * len(LEVELS)


def cell_quality(part: Part, outlook: Outlook, cells: NDArray[np.generic], dof: float) -> CellQuality:
    """Hold what is expected against the cells.

    Parameters
    ----------
    part : Part
        Of the layout.
    outlook : Outlook
        What the members expect of it.
    cells : ndarray of shape (n,)
        The observed cells, as they are encoded.
    dof : float
        Degrees of freedom of numbers.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ones = np.ones((20_000, 1))
    >>> told = Outlook(0, np.arange(20_000), (0 * ones, ones))  # t with 1,000 degrees of freedom: nearly a normal
    >>> found = cell_quality(Part(0, PartKind.VALUE), told, rng.normal(size=20_000), 1_000.0)
    >>> round(found.rmse, 2), bool(np.allclose(found.coverage, LEVELS, atol=0.01))
    (1.0, True)
    """
    if not len(cells):
        return CellQuality(0)
    if part.kind is PartKind.VALUE:
        return _of_numbers(outlook.numbers, cells.astype(np.float64), dof)
    if part.kind is PartKind.ANGLE:
        return _of_angles(outlook.numbers, cells.astype(np.float64))
    return _of_codes(part, outlook.numbers, cells.astype(np.int64))


def _of_numbers(members: Sequence[Floats], cells: Floats, dof: float) -> CellQuality:
    location, scale = members
    below = stdtr(dof, (cells[:, None] - location) / scale).mean(axis=1)
    error, spread = ((cells - location.mean(axis=1)) ** 2).mean(), cells.var()
    within = np.abs(2 * below - 1)  # the smallest share around the median that reaches the cell
    return CellQuality(
        len(cells), float(np.sqrt(error)), explained=_explained(error, spread), coverage=_coverage(within, within)
    )


def _of_angles(members: Sequence[Floats], cells: Floats) -> CellQuality:
    eta = members[0] + 1j * members[1]
    kappa = np.maximum(np.abs(eta), _LEAST)
    # Of each member the mean vector, of length I₁(κ) / I₀(κ): their mean points where the mixture does.
    mean = np.angle((eta / kappa * i1e(kappa) / i0e(kappa)).mean(axis=1))
    away = np.abs(np.angle(np.exp(1j * (cells - mean))))
    ends = [vonmises.cdf(mean[:, None] + side * away[:, None], kappa, loc=np.angle(eta)) for side in (1, -1)]
    within = np.asarray(ends[0] - ends[1]).mean(axis=1)
    error, spread = (2 - 2 * np.cos(away)).mean(), 2 - 2 * np.abs(np.exp(1j * cells).mean())
    return CellQuality(
        len(cells), float(np.sqrt(error)), explained=_explained(error, spread), coverage=_coverage(within, within)
    )


def _of_codes(part: Part, numbers: Sequence[Floats], codes: NDArray[np.int64]) -> CellQuality:
    _, likeliest, own, likelier = numbers
    symbols = codes - (RARE if part.has_rare else FIRST_LEVEL)
    unseen = codes == UNSEEN
    known = np.maximum(own[:, 0], _LEAST) * (1 - part.unseen_probability)
    cross_entropy = -np.log(np.where(unseen, part.unseen_probability, known)).mean()
    shares = np.unique(codes, return_counts=True)[1] / len(codes)
    entropy = -(shares * np.log(shares)).sum()
    reached = np.where(unseen, 1.0, likelier[:, 0])
    return CellQuality(
        len(codes),
        cross_entropy=float(cross_entropy),
        baseline_cross_entropy=float(entropy),
        accuracy=float((likeliest[:, 0] == symbols).mean()),
        baseline_accuracy=float(shares.max()),
        explained=_explained(cross_entropy, entropy),
        coverage=_coverage(reached, np.where(unseen, 1.0, reached + own[:, 0])),
    )


def _explained(loss: float, of_baseline: float) -> float:
    return float(1 - loss / of_baseline) if of_baseline > _LEAST else np.nan


def _coverage(low: Floats, high: Floats) -> tuple[float, ...]:
    """How many cells lie within each share; one that takes the share from low to high counts as far as it is in it."""
    width = np.maximum(high - low, _LEAST)
    return tuple(float(np.clip((level - low) / width, 0, 1).mean()) for level in LEVELS)
