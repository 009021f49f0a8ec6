"""How near synthetic rows come to the rows that they were made of, beside rows that were not used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu

from vae_anomaly.synthetic.comparable import Comparable, Floats, drawn

HELD_OUT, OTHER_REAL = "held-out rows", "other real rows"
_MOST_QUERIES, _MOST_REFERENCES = 2_000, 50_000
_ROWS_AT_ONCE = 100  # a table of distances of so many rows to all references is held in memory
_NEAR_PERCENT = 5


@dataclass(frozen=True)
class Privacy:
    """How near rows come to their nearest real row, the distance to closest record.

    A distance is Gower's (1971), with the ranks of numbers (Podani 1999): the mean over the columns of the share of
    real cells that lie between two numbers, and 0 or 1 for equal or different levels. 0 is a copy, 1 as far as can be.

    Parameters
    ----------
    beside : {"held-out rows", "other real rows"}
        What synthetic rows are measured beside: held-out rows; without any, each real row and the others.
    median, fifth_percentile : float
        Of the distances of synthetic rows.
    beside_median, beside_fifth_percentile : float
        Of the distances of the rows beside.
    probability_closer : float
        That a synthetic row lies nearer to its nearest real row than a row beside to its own, ties counted half: 0.5
        where they are as near, 1 where synthetic rows hug real ones.
    share_within_fifth_percentile : float
        Of synthetic rows that are nearer than all but 5 % of the rows beside: 0.05 where they are as near, or less.
    n_copies, beside_n_copies : int
        Rows that equal a real row in every column, among all rows.
    share_copies, beside_share_copies : float
        Their shares.
    """

    beside: str
    median: float
    fifth_percentile: float
    beside_median: float
    beside_fifth_percentile: float
    probability_closer: float
    share_within_fifth_percentile: float
    n_copies: int
    beside_n_copies: int
    share_copies: float
    beside_share_copies: float


def privacy(rows: Comparable, seed: int) -> Privacy:
    """Measure the distances of at most 2,000 rows of each sort to at most 50,000 real ones; count all copies.

    Parameters
    ----------
    rows : Comparable
        Real, synthetic and, where there are some, held-out rows.
    seed : int
        Of the draws.
    """
    rng = np.random.default_rng([seed, 3])
    real, synthetic, *held_out = rows.tables
    references = drawn(real, _MOST_REFERENCES, rng)
    scale = _Places(references, rows.is_level)
    distances = scale.nearest(drawn(synthetic, _MOST_QUERIES, rng))
    if held_out:
        beside = scale.nearest(drawn(held_out[0], _MOST_QUERIES, rng))
    else:
        beside = scale.nearest_others(rng.permutation(len(references))[:_MOST_QUERIES])
    copies, beside_copies = _copies(real, synthetic), _copies(real, held_out[0] if held_out else None)
    near = np.percentile(beside, _NEAR_PERCENT)
    return Privacy(
        beside=HELD_OUT if held_out else OTHER_REAL,
        median=float(np.median(distances)),
        fifth_percentile=float(np.percentile(distances, _NEAR_PERCENT)),
        beside_median=float(np.median(beside)),
        beside_fifth_percentile=float(near),
        probability_closer=float(mannwhitneyu(beside, distances).statistic / (len(beside) * len(distances))),
        share_within_fifth_percentile=float((distances < near).mean()),
        n_copies=int(copies.sum()),
        beside_n_copies=int(beside_copies.sum()),
        share_copies=float(copies.mean()),
        beside_share_copies=float(beside_copies.mean()),
    )


class _Places:
    """Rows as the places of their cells among those of reference rows."""

    def __init__(self, references: Floats, is_level: NDArray[np.bool_]) -> None:
        self._is_level = is_level
        self._sorted = [np.sort(column[~np.isnan(column)]) for column in references[:, ~is_level].T]
        self._references = self._placed(references)

    def nearest(self, rows: Floats) -> Floats:
        """The distance of each row to its nearest reference."""
        placed = self._placed(rows)
        return np.concatenate([self._distances(placed[part]).min(axis=1) for part in _parts(len(placed))])

    def nearest_others(self, which: NDArray[np.int64]) -> Floats:
        """The distance of references to their nearest other one; 1 where there is none."""
        found = []
        for numbers in (which[part] for part in _parts(len(which))):
            distances = self._distances(self._references[numbers])
            distances[np.arange(len(numbers)), numbers] = 1.0
            found.append(distances.min(axis=1))
        return np.concatenate(found)

    def _placed(self, rows: Floats) -> Floats:
        """Numbers as the share of references below, ties in the middle, NaN where missing; a gap is a level, -1."""
        placed = np.nan_to_num(rows, nan=-1.0)
        for index, known in zip(np.flatnonzero(~self._is_level), self._sorted, strict=True):
            below, up_to = (np.searchsorted(known, rows[:, index], side=side) for side in ("left", "right"))
            placed[:, index] = np.where(np.isnan(rows[:, index]), np.nan, (below + up_to) / 2 / max(len(known), 1))
        return placed

    def _distances(self, rows: Floats) -> Floats:
        level, n_levels = self._is_level, int(self._is_level.sum())
        total = np.zeros((len(rows), len(self._references)))
        if n_levels:
            total += n_levels * np.asarray(cdist(rows[:, level], self._references[:, level], "hamming"))
        if n_levels < len(level):
            total += _between_numbers(rows[:, ~level], self._references[:, ~level])
        return np.asarray(total / len(level))


def _between_numbers(mine: Floats, theirs: Floats) -> Floats:
    """Sums of differences: two gaps are alike, and a gap is 1 away from any number."""
    found = np.asarray(cdist(np.nan_to_num(mine), np.nan_to_num(theirs), "cityblock"))
    here, there = (np.isnan(cells).astype(np.float64) for cells in (mine, theirs))
    if here.any() or there.any():  # a gap at 0 is off from a number by its place, and what that lacks of 1 is added
        found += here @ np.nan_to_num(1.0 - theirs).T + np.nan_to_num(1.0 - mine) @ there.T
    return found


def _copies(real: Floats, others: Floats | None) -> NDArray[np.bool_]:
    """Which rows equal a real one in every column; without others, which real ones equal another real one."""
    both = real if others is None else np.concatenate([real, others])
    _, which = np.unique(np.nan_to_num(both, nan=np.inf), axis=0, return_inverse=True)
    counts = np.bincount(which[: len(real)], minlength=int(which.max()) + 1)
    return np.asarray(counts[which] > 1 if others is None else counts[which[len(real) :]] > 0)


def _parts(n_rows: int) -> list[slice]:
    return [slice(start, start + _ROWS_AT_ONCE) for start in range(0, n_rows, _ROWS_AT_ONCE)]
