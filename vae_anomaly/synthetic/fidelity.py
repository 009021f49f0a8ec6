"""How near synthetic columns, and pairs of them, come to real ones."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import ks_2samp, rankdata

from vae_anomaly.synthetic.comparable import Comparable, Floats

PEARSON_OF_RANKS, RATIO, CRAMER = "rank correlation", "correlation ratio", "Cramér's V"


def column_distances(rows: Comparable) -> pd.DataFrame:
    """Compare each column of the tables after the first with that of the first.

    Parameters
    ----------
    rows : Comparable
        Real, synthetic and, where there are some, held-out rows.

    Returns
    -------
    DataFrame
        A line for each column, as `SyntheticQuality.columns` describes it.
    """
    real, synthetic, *held_out = rows.tables
    lines = []
    for index, column in enumerate(rows.columns):
        level = bool(rows.is_level[index])
        cells, others = real[:, index], synthetic[:, index]
        line = {
            "column": column.name,
            "kind": str(column.kind),
            "distance": _distance(cells, others, level),
            "real_missing": float(np.isnan(cells).mean()),
            "synthetic_missing": float(np.isnan(others).mean()),
            "outside": _outside(cells, others, level),
        }
        if held_out:
            line["held_out_distance"] = _distance(cells, held_out[0][:, index], level)
        lines.append(line)
    return pd.DataFrame(lines)


def pair_differences(rows: Comparable) -> pd.DataFrame:
    """Compare the association of each pair of columns.

    Parameters
    ----------
    rows : Comparable
        As of `column_distances`.

    Returns
    -------
    DataFrame
        A line for each pair, as `SyntheticQuality.pairs` describes it.
    """
    found = [associations(cells, rows.is_level) for cells in rows.tables]
    first, second = np.triu_indices(len(rows.columns), k=1)
    names = np.array(rows.names, dtype=object)
    n_levels = rows.is_level[first].astype(int) + rows.is_level[second]
    frame = pd.DataFrame(
        {
            "first": names[first],
            "second": names[second],
            "measure": np.array([PEARSON_OF_RANKS, RATIO, CRAMER], dtype=object)[n_levels],
            "real": found[0][first, second],
            "synthetic": found[1][first, second],
        }
    )
    frame["difference"] = (frame["synthetic"] - frame["real"]).abs()
    if len(found) > 2:
        frame["held_out_difference"] = (found[2][first, second] - frame["real"]).abs()
    return frame


def associations(cells: Floats, is_level: NDArray[np.bool_]) -> Floats:
    """How much each pair of columns has to do with each other, 0 where one of them does not vary.

    Ranks of numbers are correlated (Spearman 1904). Of a number and levels it is the correlation ratio of its ranks,
    and of levels Cramér's V; both without what they would be by chance (Kelley 1935; Bergsma 2013), which is much where
    there are many levels. A missing level is one more level; a row whose number is missing is left out.

    Parameters
    ----------
    cells : float64 ndarray of shape (n_rows, n_columns)
        As of `Comparable.tables`.
    is_level : bool ndarray of shape (n_columns,)
        Which columns hold levels.

    Returns
    -------
    float64 ndarray of shape (n_columns, n_columns)
        Symmetric. Correlations lie in [-1, 1], the others in [0, 1].

    Examples
    --------
    >>> shop = np.array([0.0, 1.0, 2.0] * 20)
    >>> amount = shop * 10 + np.arange(60) / 60
    >>> cells = np.column_stack([shop, shop, amount, -amount])
    >>> associations(cells, np.array([True, True, False, False]))[:3, 1:].round(2)
    array([[ 1.  ,  0.94,  0.94],
           [ 1.  ,  0.94,  0.94],
           [ 0.94,  1.  , -1.  ]])
    """
    n_columns = cells.shape[1]
    found = np.eye(n_columns)
    numbers, levels = np.flatnonzero(~is_level), np.flatnonzero(is_level)
    ranks = pd.DataFrame(cells[:, numbers]).corr(method="spearman").to_numpy()
    found[np.ix_(numbers, numbers)] = np.nan_to_num(ranks)
    codes = np.nan_to_num(cells, nan=-1.0)[:, levels].astype(np.int64) + 1
    for place, index in enumerate(levels):
        for number in numbers:
            seen = ~np.isnan(cells[:, number])
            ratio = _correlation_ratio(codes[seen, place], cells[seen, number])
            found[index, number] = found[number, index] = ratio
    for (a, first), (b, second) in combinations(enumerate(levels), 2):
        found[first, second] = found[second, first] = _cramers_v(codes[:, a], codes[:, b])
    return found


def _correlation_ratio(codes: NDArray[np.int64], numbers: Floats) -> float:
    """Share of the variance of ranks that lies between levels, as its root."""
    n_rows = len(numbers)
    counts = np.bincount(codes)
    n_levels = int((counts > 0).sum())
    if n_levels < 2 or n_rows <= n_levels:
        return 0.0
    ranks = np.asarray(rankdata(numbers)) - (n_rows + 1) / 2
    total = float(ranks @ ranks)
    if total == 0:
        return 0.0
    sums = np.bincount(codes, ranks)[counts > 0]
    within = 1.0 - float((sums**2 / counts[counts > 0]).sum()) / total
    return float(np.sqrt(max(0.0, 1.0 - within * (n_rows - 1) / (n_rows - n_levels))))


def _cramers_v(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    n_rows, width = len(first), int(second.max()) + 1
    pairs, counts = np.unique(first * width + second, return_counts=True)
    of_first, of_second = np.bincount(first), np.bincount(second)
    k, m = ((counted > 0).sum() for counted in (of_first, of_second))
    if min(k, m) < 2 or n_rows < 2:
        return 0.0
    expected = of_first[pairs // width] * of_second[pairs % width].astype(np.float64)
    phi2 = float((counts**2 / expected).sum()) - 1.0
    by_chance = (k - 1) * (m - 1) / (n_rows - 1)
    most = min(n - 1 - (n - 1) ** 2 / (n_rows - 1) for n in (k, m))
    return float(np.sqrt(min(max(0.0, phi2 - by_chance) / most, 1.0))) if most > 0 else 0.0


def _distance(real: Floats, other: Floats, is_level: bool) -> float:
    """Of the present cells: Kolmogorov-Smirnov's of numbers, half the sum of differences of shares of levels."""
    real, other = real[~np.isnan(real)], other[~np.isnan(other)]
    if not len(real) or not len(other):
        return float(len(real) != len(other))
    if not is_level:
        return float(ks_2samp(real, other, method="asymp").statistic)
    n_levels = int(max(real.max(), other.max())) + 1
    shares = (np.bincount(cells.astype(np.int64), minlength=n_levels) / len(cells) for cells in (real, other))
    return float(np.abs(np.subtract(*shares)).sum() / 2)


def _outside(real: Floats, other: Floats, is_level: bool) -> float:
    """Share of the present cells that are no level of the real ones, or not within their range."""
    real, other = real[~np.isnan(real)], other[~np.isnan(other)]
    if not len(other):
        return 0.0
    if is_level or not len(real):
        return float((~np.isin(other, real)).mean())
    return float(((other < real.min()) | (other > real.max())).mean())
