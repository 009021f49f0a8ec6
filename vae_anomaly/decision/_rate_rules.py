"""Rules that wish for a share of rows: of false alarms, of alerts, or of false alarms among the alerts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import ClassVar

import numpy as np
from scipy.stats import binom

from vae_anomaly._params import Number, check_params
from vae_anomaly.decision._counts import (
    CONFIDENCE,
    LIKELIHOOD_RATIO,
    UNUSED_CONTAMINATION,
    ceil_of,
    clopper_pearson,
    effective_rows,
    floor_of,
    guarantee_of,
    order_statistic,
    relative,
    weighted_bound,
    weighted_order_statistic,
)
from vae_anomaly.decision._labelled import Booleans, Floats
from vae_anomaly.decision.calibration import Calibration, calibrated
from vae_anomaly.decision.calibration_rows import CalibrationRows
from vae_anomaly.decision.conformal import FDR_RULES, Method, step_up
from vae_anomaly.decision.guarantee import percent
from vae_anomaly.errors import TableError

SHARE = (Number(0, 1, open_low=True, open_high=True),)
"""What a rate, a share or a confidence may be."""


@dataclass(frozen=True)
class FalseAlarmRate:
    """At most a share `alpha` of normal rows alerts, at a confidence, whatever the distribution of the scores.

    The threshold is the lowest calibration score s_(n-m), with m rows above it, for which
    P(Binomial(n, alpha) <= m) <= 1 - confidence. It takes ceil(log(1 - confidence) / log(1 - alpha)) rows: 299 for 1 %
    and 2,995 for 0.1 %, at 95 %.

    Rows labelled normal count, if there are labels. Without them the bound is on the alerts among all rows: normal rows
    then alert at most as often if anomalies do not score lower on the whole, at most (alpha - c) / (1 - c) of them if
    all anomalies score above the threshold (so the rule is conservative by up to about c), and at most alpha / (1 - c)
    of them whatever anomalies do, c being the share of anomalies. If the calibration rows state a contamination c, the
    bound on all rows is c + alpha (1 - c) instead, which makes alpha hold for normal rows if every anomaly scores above
    the threshold, and alpha + c / (1 - c) whatever they do.

    Parameters
    ----------
    alpha : float
        Share of false alarms, in (0, 1).
    confidence : float, default=0.95
        Share of calibrations in which the bound holds, in (0, 1).

    References
    ----------
    Wilks: Determination of Sample Sizes for Setting Tolerance Limits (1941). Clopper, Pearson: The Use of Confidence or
    Fiducial Limits Illustrated in the Case of the Binomial (1934).

    Examples
    --------
    >>> rows = CalibrationRows.from_arrays(np.arange(3_000.0), y=np.zeros(3_000))
    >>> FalseAlarmRate(0.001).calibrate(rows).threshold  # of 3,000 rows none may be above it
    2999.0
    """

    alpha: float
    confidence: float = CONFIDENCE
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        check_params("FalseAlarmRate", asdict(self), {"alpha": SHARE, "confidence": SHARE})

    def calibrate(self, rows: CalibrationRows) -> Calibration:
        """Set the threshold.

        Parameters
        ----------
        rows : CalibrationRows
            Held-out rows. Labels, contamination and weights are used if they are there.

        Returns
        -------
        Calibration
            With the exact bound in its report. With weights it is approximate: n is then their effective number.

        Raises
        ------
        TableError
            There are too few rows; the message says how many it takes.
        """
        score, weight, cluster = rows.normal_score, rows.normal_weight, rows.normal_cluster
        contamination = rows.contamination or 0.0 if rows.y is None else 0.0
        target = contamination + self.alpha * (1 - contamination)
        if weight is None and cluster is None:
            n: float = len(score)
            threshold = order_statistic(score, self._n_above(target, len(score)))
            share = float((score > threshold).mean())
        else:
            weight = np.ones(len(score)) if weight is None else weight
            threshold, share, n = weighted_bound(score, weight, target, self.confidence, cluster)
            if share > target:
                raise self._too_few(target, n, len(score))
        guarantee = guarantee_of(
            self,
            rows,
            threshold,
            asked=f"at most {percent(self.alpha)} of normal rows alert, at {percent(self.confidence)} confidence",
            quantity="alert rate" if rows.y is None else "false-alarm rate",
            holds=self._holds(rows, target),
            estimate=share,
            interval=clopper_pearson(share * n, n, self.confidence),
            confidence=self.confidence,
            assumptions=self._assumptions(rows),
            n_effective=n,
        )
        return calibrated(self, rows, guarantee)

    def _n_above(self, target: float, n: int) -> int:
        """The most rows that may be above the threshold, or an error that says how many rows it takes."""
        n_above = int(binom.ppf(1 - self.confidence, n, target))
        if binom.cdf(n_above, n, target) > 1 - self.confidence:
            n_above -= 1
        if n_above < 0:
            raise self._too_few(target, n)
        return n_above

    def _too_few(self, target: float, n: float, of: int | None = None) -> TableError:
        needed = ceil_of(math.log1p(-self.confidence) / math.log1p(-target))
        rows, found = "calibration rows", f"{n:,.0f}"
        if of is not None:  # a number like 298.7 is none of 299
            rows, found = "effective calibration rows", f"{math.floor(n):,} effective rows of {of:,}"
            found += ", as light rows say little, and rows of one group no more than one row"
        return TableError(
            f"{self!r} needs at least {needed:,} {rows} that stand for normal ones, found {found}. Give "
            "more rows, or ask for a larger alpha or a lower confidence; TailRate models rarer rates from few rows."
        )

    def _holds(self, rows: CalibrationRows, target: float) -> str:
        confidence, alpha = percent(self.confidence), percent(self.alpha)
        if rows.y is not None:
            return f"with {confidence} confidence at most {alpha} of the normal rows to come alert"
        bound = f"with {confidence} confidence at most {percent(target)} of all rows to come alert"
        c = rows.contamination
        if not c:
            return (
                f"{bound}; of the normal rows at most {alpha} if anomalies do not score lower on the whole, at most "
                f"({alpha} - c) / (1 - c) if all of them score above the threshold, and at most {alpha} / (1 - c) "
                "whatever they do, c being the share of anomalies"
            )
        return (
            f"{bound}; of the normal rows at most {alpha} if all anomalies ({percent(c)} of the rows, as assumed) "
            f"score above the threshold, and at most {percent(target / (1 - c))} whatever they do"
        )

    def _assumptions(self, rows: CalibrationRows) -> Iterator[str]:
        if rows.y is None and rows.contamination:
            yield f"{percent(rows.contamination)} of the calibration rows are anomalies, and of the rows to come too"
        if rows.weight is not None:
            yield LIKELIHOOD_RATIO


@dataclass(frozen=True)
class Contamination:
    """A share of all rows alerts, as scikit-learn's ``contamination`` does, but on held-out rows.

    Parameters
    ----------
    share : float
        Share of rows above the threshold, in (0, 1).

    Examples
    --------
    >>> rows = CalibrationRows.from_arrays(np.arange(1_000.0))
    >>> int(Contamination(0.01).calibrate(rows).alerts(np.arange(1_000.0)).sum())
    10
    """

    share: float
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        check_params("Contamination", asdict(self), {"share": SHARE})

    def calibrate(self, rows: CalibrationRows) -> Calibration:
        """Set the threshold.

        Parameters
        ----------
        rows : CalibrationRows
            Held-out rows. Weights are used if they are there.

        Returns
        -------
        Calibration
            At most the share of the calibration rows is above the threshold, and as many as ties allow.

        Raises
        ------
        TableError
            There are too few rows for one alert among them.
        """
        if self.share * len(rows) < 1:
            raise TableError(
                f"{self!r} needs at least {ceil_of(1 / self.share):,} calibration rows, found {len(rows):,}. Give "
                "more rows, ask for a larger share, or use TailRate, which models rarer rates from few rows."
            )
        weight = np.ones(len(rows)) if rows.weight is None else rows.weight
        n = effective_rows(weight, rows.cluster)
        if rows.weight is None:
            threshold = order_statistic(rows.score, floor_of(self.share * len(rows)))
        else:
            threshold = weighted_order_statistic(rows.score, weight, self.share)
        share = float(np.average(rows.score > threshold, weights=relative(weight)))
        guarantee = guarantee_of(
            self,
            rows,
            threshold,
            asked=f"{percent(self.share)} of the rows alert",
            quantity="alert rate",
            holds="the share of rows to come that alert lies within the bounds; nothing is said of false alarms",
            estimate=share,
            interval=clopper_pearson(share * n, n, CONFIDENCE),
            assumptions=() if rows.weight is None else (LIKELIHOOD_RATIO,),
            n_effective=n,
        )
        return calibrated(self, rows, guarantee)


@dataclass(frozen=True)
class DiscoveryRate:
    """At most a share `fdr` of the alerts is false, on average: a step-up procedure on a batch's conformal p-values.

    There is no threshold: whether a row alerts depends on the rows that are judged with it. `Calibration.thresholds`
    gives the highest score of a batch that does not alert, and `margin` the distance from it. Judge the rows of a
    whole period together; a row alone alerts where its p-value is at most `fdr`.

    Parameters
    ----------
    fdr : float
        False-discovery rate, in (0, 1).
    method : "bh" or "by", default="bh"
        Benjamini-Hochberg, or Benjamini-Yekutieli for dependent rows; see `step_up`.

    References
    ----------
    As in `step_up`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> calibration = DiscoveryRate(0.1).calibrate(CalibrationRows.from_arrays(rng.normal(size=10_000)))
    >>> int(calibration.alerts(np.append(rng.normal(size=990), np.full(10, 6.0))).sum())
    15
    """

    fdr: float
    method: Method = "bh"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        check_params("DiscoveryRate", asdict(self), FDR_RULES)

    def rejects(self, p: Floats) -> Booleans:
        """Which rows of a batch alert, by their p-values."""
        return step_up(p, self.fdr, self.method)

    def calibrate(self, rows: CalibrationRows) -> Calibration:
        """Keep the scores that p-values need.

        Parameters
        ----------
        rows : CalibrationRows
            Held-out rows. Labels and weights are used if they are there; a contamination is not.

        Returns
        -------
        Calibration
            Whose `threshold` is None.

        Raises
        ------
        TableError
            There are too few rows for any alert.
        """
        dependence = "are independent of each other" if self.method == "bh" else "may depend on each other"
        guarantee = guarantee_of(
            self,
            rows,
            None,
            asked=f"at most {percent(self.fdr)} of the alerts are false, on average over calibrations and batches",
            quantity="false-discovery rate",
            holds=self._holds(rows),
            assumptions=self._assumptions(rows, dependence),
            remarks=(UNUSED_CONTAMINATION,) if rows.y is None and rows.contamination else (),
        )
        calibration = calibrated(self, rows, guarantee)
        return replace(calibration, guarantee=guarantee.with_remarks(self._about_resolution(calibration)))

    def _about_resolution(self, calibration: Calibration) -> str:
        n, least = len(calibration.score), float(calibration.p_value([np.inf])[0])
        one_by_one = floor_of(self.fdr / least)
        if one_by_one < 1:
            raise TableError(
                f"{self!r} needs at least {ceil_of(1 / self.fdr) - 1:,} calibration rows that stand for normal ones, "
                f"found {n:,}, which show no p-value below {least:.2g}. Give more rows, or ask for a larger fdr."
            )
        if self.method == "by":  # which takes fdr / (1 + 1/2 + ... + 1/m) for fdr among m rows
            one_by_one = self._alone(one_by_one, least)
        m = 10 * one_by_one
        takes = ceil_of(m * least / self.fdr * (1.0 if self.method == "bh" else _harmonic(m)) - 1e-9)
        return (
            f"{n:,} rows show no p-value below {least:.2g}: one row above all of them alerts among up to "
            f"{one_by_one:,} rows judged together; among {m:,} rows it takes {takes:,} such rows"
        )

    def _alone(self, most: int, least: float) -> int:
        """The most rows among which one of the least p-value alerts by Benjamini-Yekutieli."""
        m = np.arange(1, most + 1)
        return int((m * np.cumsum(1 / m) * least <= self.fdr * (1 + 1e-9)).sum())

    def _holds(self, rows: CalibrationRows) -> str:
        bound = f"the expected share of normal rows among the alerts of a batch is at most {percent(self.fdr)}"
        if rows.y is not None:
            return bound
        return f"{bound} if anomalies do not score lower on the whole; the more of them there are, the less it is"

    def _assumptions(self, rows: CalibrationRows, dependence: str) -> Iterator[str]:
        yield f"the rows of a batch {dependence}, given the detector"
        if rows.weight is not None:
            yield LIKELIHOOD_RATIO


def _harmonic(m: int) -> float:
    return float((1 / np.arange(1, m + 1)).sum())
