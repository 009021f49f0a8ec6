"""Order statistics, exact bounds of shares, and the sentences that rules have in common."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc
from scipy.stats import beta

from vae_anomaly._params import to_json
from vae_anomaly.decision._labelled import Floats
from vae_anomaly.decision.calibration_rows import CalibrationRows
from vae_anomaly.decision.guarantee import Guarantee
from vae_anomaly.errors import TableError

CONFIDENCE = 0.95
"""Of the interval of a rule that has no confidence of its own."""

_MOST = 1e18
"""Rows that nobody has."""

EXCHANGEABLE = (
    "the rows to come are drawn like the calibration rows, which were not trained on, and independently of each other "
    "(payments of one card are not); drift breaks this"
)
OF_GROUPS = (
    "the rows to come are drawn like the calibration rows, which were not trained on, and their groups independently "
    "of each other; drift breaks this"
)
LIKELIHOOD_RATIO = (
    "the weights are true likelihood ratios; bounds are by the effective number of rows, so they are approximate"
)
UNUSED_CONTAMINATION = (
    "the contamination that was stated is not used by this rule: it does not say which of the highest scores are the "
    "anomalies'"
)
UNUSED_WEIGHTS = "weights count for p-values only; this rule sets its threshold without them"


def order_statistic(score: Floats, n_above: int) -> float:
    """The least score that at most `n_above` of the scores are above; below all of them if all may be.

    Examples
    --------
    >>> order_statistic(np.array([1.0, 2.0, 3.0, 3.0]), n_above=1)
    3.0
    """
    if n_above >= len(score):
        return float(np.nextafter(score.min(), -np.inf))
    place = len(score) - 1 - n_above
    return float(np.partition(score, place)[place])


def weighted_order_statistic(score: Floats, weight: Floats, share: float) -> float:
    """The least score above which lies at most `share` of the weight.

    Examples
    --------
    >>> weighted_order_statistic(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 2.0]), share=0.5)
    2.0
    """
    order = np.argsort(-score, kind="stable")
    descending, reached = score[order], np.cumsum(relative(weight[order]))
    last_of_ties = np.append(descending[1:] != descending[:-1], True)
    levels, above_or_at = descending[last_of_ties], reached[last_of_ties]
    above = np.append(0.0, above_or_at[:-1])
    return float(levels[np.searchsorted(above, share * reached[-1], side="right") - 1])


def weighted_bound(
    score: Floats, weight: Floats, rate: float, confidence: float, cluster: NDArray[np.intp] | None = None
) -> tuple[float, float, float]:
    """The least score that a share of at most `rate` is above, at about `confidence`; that share; effective rows.

    The effective rows are those of the tail: as many equal ones as have the variance of the weight at or above the
    threshold; but not more than those of all rows, as a tail of light rows alone would make any number of them. Where
    not even the highest score will do, it and a share of 1 come back.

    Examples
    --------
    >>> weighted_bound(np.arange(300.0), np.ones(300), rate=0.01, confidence=0.95)
    (299.0, 0.0, 300.0)
    """
    order = np.argsort(-score, kind="stable")
    order = order[weight[order] > 0]
    descending, weights = score[order], relative(weight[order])
    last_of_ties = np.append(descending[1:] != descending[:-1], True)
    levels, reached = descending[last_of_ties], np.cumsum(weights)[last_of_ties]
    share = np.append(0.0, reached[:-1]) / reached[-1]
    tail = share <= rate
    of_tail = (reached[-1] * reached / np.cumsum(np.square(weights))[last_of_ties])[tail]
    n = np.minimum(of_tail, effective_rows(weight, cluster))
    hits = share[tail] * n
    holds = betainc(n - hits, hits + 1, 1 - rate) <= 1 - confidence  # P(Binomial(n, rate) <= hits), for any real n
    if not holds[0]:
        return float(levels[0]), 1.0, float(n[0])
    chosen = (len(holds) if holds.all() else int(holds.argmin())) - 1
    return float(levels[chosen]), float(share[chosen]), float(n[chosen])


def effective_rows(weight: Floats, cluster: NDArray[np.intp] | None = None) -> float:
    """Kish's number of equal rows with the variance that these weights give; a cluster counts as one row.

    That is the least that rows of clusters can say, as if those of one were all alike (Kish: Survey Sampling, 1965).

    Examples
    --------
    >>> effective_rows(np.array([1.0, 1.0, 0.0])), effective_rows(np.ones(4), np.array([0, 0, 1, 1]))
    (2.0, 2.0)
    """
    equal = relative(weight)
    units: Floats = equal if cluster is None else np.bincount(cluster, equal).astype(np.float64)
    return float(units.sum() ** 2 / np.square(units).sum())


def relative(weight: Floats) -> Floats:
    """Weights beside the largest of them: only their ratios tell anything, and no square of theirs is out of range.

    Examples
    --------
    >>> relative(np.array([1e300, 5e299]))
    array([1. , 0.5])
    """
    beside: Floats = weight / weight.max()
    return beside


def rows_at_top(score: Floats, weight: Floats | None, cluster: NDArray[np.intp] | None = None) -> float:
    """How many equal rows say as much of the rarest rate as these do: all of them, if they weigh the same.

    It is what `weighted_bound` takes for their number where no row is above the threshold.

    Examples
    --------
    >>> score = np.array([1.0, 2.0, 3.0])
    >>> rows_at_top(score, None), rows_at_top(score, np.array([2.0, 2.0, 4.0]))
    (3.0, 2.0)
    """
    if weight is None:
        return float(len(score)) if cluster is None else effective_rows(np.ones(len(score)), cluster)
    most, counts = effective_rows(weight, cluster), weight > 0
    score, weight = score[counts], relative(weight[counts])
    top = weight[score == score.max()]
    return min(most, float(weight.sum() * top.sum() / np.square(top).sum()))


def clopper_pearson(n_hits: float, n_rows: float, confidence: float) -> tuple[float, float]:
    """Exact lower and upper bound of a share, each at `confidence` (Clopper & Pearson 1934).

    Examples
    --------
    >>> low, high = clopper_pearson(0, 2_995, confidence=0.95)
    >>> low, round(high, 6)
    (0.0, 0.001)
    """
    low = float(beta.ppf(1 - confidence, n_hits, n_rows - n_hits + 1)) if n_hits > 0 else 0.0
    high = float(beta.ppf(confidence, n_hits + 1, n_rows - n_hits)) if n_hits < n_rows else 1.0
    return low, high


def guarantee_of(
    rule: object,
    rows: CalibrationRows,
    threshold: float | None,
    *,
    asked: str,
    quantity: str,
    holds: str,
    estimate: float | None = None,
    interval: tuple[float, float] | None = None,
    confidence: float = CONFIDENCE,
    assumptions: Iterable[str] = (),
    remarks: Iterable[str] = (),
    n_effective: float | None = None,
) -> Guarantee:
    """A report with the counts of the rows, and with what ties, constant scores and clusters do.

    `n_effective` is the number of equal rows that the bounds go by, of a rule that counts a cluster as one row.
    """
    n_anomalies = None if rows.y is None else int(rows.y.sum())
    return Guarantee(
        rule=written(rule),
        asked=asked,
        quantity=quantity,
        threshold=threshold,
        n_rows=len(rows),
        n_normal=None if n_anomalies is None else len(rows) - n_anomalies,
        n_anomalies=n_anomalies,
        n_alerts=None if threshold is None else int((rows.score > threshold).sum()),
        estimate=estimate,
        interval=interval,
        confidence=confidence,
        holds=holds,
        assumptions=(EXCHANGEABLE if rows.cluster is None or n_effective is None else OF_GROUPS, *assumptions),
        remarks=(*remarks, *_about_clusters(rows, n_effective), *_about_ties(rows.score, threshold)),
    )


def written(rule: object) -> str:
    """A rule as it would be written, its numbers without NumPy's names, as a file has them.

    Examples
    --------
    >>> from vae_anomaly.decision.thresholds import Contamination
    >>> written(Contamination(np.float64(0.01)))
    'Contamination(share=0.01)'
    """
    if not is_dataclass(rule):
        return repr(rule)
    params = (f"{field.name}={to_json(getattr(rule, field.name))!r}" for field in fields(rule))
    return f"{type(rule).__name__}({', '.join(params)})"


def _about_clusters(rows: CalibrationRows, n_effective: float | None) -> tuple[str, ...]:
    if rows.cluster is None:
        return ()
    n_clusters = len(np.unique(rows.cluster))
    if n_effective is None:
        return (
            f"the rows come from {n_clusters:,} groups, whose rows resemble each other; this rule takes rows as "
            "independent, so what is promised is approximate, and bounds are too close",
        )
    return (
        f"the rows come from {n_clusters:,} groups, whose rows resemble each other: the bounds count them like "
        f"{n_effective:,.0f} independent rows, as if those of a group were all alike, and are approximate",
    )


def _about_ties(score: Floats, threshold: float | None) -> tuple[str, ...]:
    if threshold is None:
        return ()
    n_tied = int((score == threshold).sum())
    if n_tied == len(score):
        return ("every calibration row has the same score, so only a row that scores above it will ever alert",)
    if n_tied > 1:
        return (f"{n_tied:,} calibration rows tie with the threshold and do not alert",)
    return ()


_COLUMNS = {"y": "labels (y: 1 anomaly, 0 normal)", "time": "the time of each row", "amount": "the amount of each row"}


def needed(rule: object, rows: CalibrationRows, name: str) -> NDArray[Any]:
    """A column of the rows that the rule cannot do without."""
    column: NDArray[Any] | None = getattr(rows, name)
    if column is None:
        raise TableError(f"{rule!r} needs {_COLUMNS[name]}, found none. Give it, or choose another rule.")
    return column


def floor_of(count: float) -> int:
    """A count rounded down, but not for what binary fractions leave off: 0.29 of 100 rows are 29.

    Examples
    --------
    >>> floor_of(0.29 * 100), floor_of(2.9)
    (29, 2)
    """
    return math.floor(min(count + 1e-9 * max(1.0, count), _MOST))


def ceil_of(count: float) -> int:
    """A count rounded up, which may be beyond all numbers.

    Examples
    --------
    >>> ceil_of(2.1), ceil_of(math.inf) > 10**17
    (3, True)
    """
    return math.ceil(min(count, _MOST))
