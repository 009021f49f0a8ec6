"""Rates rarer than one in the number of rows: peaks over a threshold, by the generalised Pareto distribution."""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import FitError, genpareto, norm

from vae_anomaly._params import Number, check_params
from vae_anomaly.decision._counts import (
    CONFIDENCE,
    UNUSED_CONTAMINATION,
    UNUSED_WEIGHTS,
    clopper_pearson,
    floor_of,
    guarantee_of,
    order_statistic,
)
from vae_anomaly.decision._labelled import Floats
from vae_anomaly.decision.calibration import Calibration, calibrated, reference
from vae_anomaly.decision.calibration_rows import CalibrationRows
from vae_anomaly.decision.guarantee import percent
from vae_anomaly.errors import CalibrationWarning, TableError

_MAX_SHARE = 0.1
_MIN_PEAKS, _MAX_PEAKS = 50, 5_000
_MIN_DISTINCT = 0.8
_MIN_FIT = 0.05
_N_SIMULATED = 199
_ENOUGH = 250
"""Rows beyond the threshold that settle it without a model: their number varies by 6 %."""

_RATE = {"rate": (Number(0, 0.05, open_low=True),)}


@dataclass(frozen=True)
class TailFit:
    """A generalised Pareto distribution of the scores above a level.

    Parameters
    ----------
    level : float
        Where the tail begins.
    n_peaks : int
        Scores above it.
    share : float
        Share of the scores above it.
    shape, scale : float
        Of the distribution of what they exceed it by; a larger shape is a heavier tail, and 0 the exponential.
    fit : float
        p-value of the goodness of fit; small where the tail is none of this kind.
    """

    level: float
    n_peaks: int
    share: float
    shape: float
    scale: float
    fit: float

    def quantile(self, rate: float) -> float:
        """The score that a share `rate` of rows is above."""
        return self.level + float(genpareto.isf(rate / self.share, self.shape, scale=self.scale))

    def rate(self, score: float) -> float:
        """The share of rows above a score, which is not below `level`."""
        return self.share * float(genpareto.sf(score - self.level, self.shape, scale=self.scale))

    def log_rate_error(self, score: float) -> float:
        """Standard error of ``log(rate(score))``, by the delta method.

        It is that of the maximum-likelihood estimates (Smith 1987), and of the share of peaks.
        """
        y, xi, k = (score - self.level) / self.scale, self.shape, self.n_peaks
        if abs(xi) < 1e-6:
            by_shape, by_scale = y**2 / 2, y
        else:
            by_shape = math.log1p(xi * y) / xi**2 - y / (xi * (1 + xi * y))
            by_scale = y / (1 + xi * y)  # of log(scale)
        variance = (by_shape**2 * (1 + xi) ** 2 - 2 * by_shape * by_scale * (1 + xi) + by_scale**2 * 2 * (1 + xi)) / k
        return math.sqrt(max(variance, 0.0) + (1 - self.share) / k)


def fit_tail(score: ArrayLike, min_peaks: int = _MIN_PEAKS) -> TailFit:
    """Fit the upper tail of scores.

    The highest tenth of the scores are the peaks, at most 5,000 of them; while the goodness of fit refuses them, half
    as many. The parameters are the most likely ones. Goodness of fit is by the Anderson-Darling statistic with the
    parameters of probability-weighted moments, beside those of 199 simulated tails (with a fixed seed).

    Parameters
    ----------
    score : array of shape (n_rows,)
        Finite anomaly scores.
    min_peaks : int, default=50
        With fewer peaks there is no fit.

    Returns
    -------
    TailFit
        The tail with the most peaks whose fit has a p-value of 0.05 or more.

    Raises
    ------
    TableError
        There is no such tail: too few rows, too many ties, a bounded tail, or a fit that is refused.

    References
    ----------
    Pickands: Statistical Inference Using Extreme Order Statistics (1975). Davison, Smith: Models for Exceedances over
    High Thresholds (1990). Hosking, Wallis: Parameter and Quantile Estimation for the Generalized Pareto Distribution
    (1987). Choosing the level by tests of fit: Bader, Yan, Zhang: Automated Threshold Selection for Extreme Value
    Analysis via Ordered Goodness-of-fit Tests (2018).

    Examples
    --------
    >>> tail = fit_tail(np.random.default_rng(0).exponential(size=5_000))
    >>> tail.n_peaks, round(tail.quantile(1e-4), 1)  # in truth 9.2
    (250, 9.3)
    """
    ascending = np.sort(CalibrationRows.from_arrays(score).score)
    n_peaks = min(int(_MAX_SHARE * len(ascending)), _MAX_PEAKS)
    if n_peaks < min_peaks:
        raise TableError(f"too few rows: {len(ascending):,} rows have {n_peaks} peaks, and a fit takes {min_peaks}")
    reason = ""
    while n_peaks >= min_peaks:
        level = float(ascending[-n_peaks - 1])
        beyond = ascending[-n_peaks:] - level
        beyond = beyond[beyond > 0]
        found = _fitted(beyond, len(beyond) / len(ascending), level) if len(beyond) >= min_peaks else "ties"
        if isinstance(found, TailFit):
            return found
        reason, n_peaks = found, n_peaks // 2
    raise TableError(reason)


def _fitted(beyond: Floats, share: float, level: float) -> TailFit | str:
    """The fit, or why there is none."""
    if len(np.unique(beyond)) < _MIN_DISTINCT * len(beyond):
        return "ties"
    fit = _goodness(beyond)
    if fit < _MIN_FIT:
        return f"the peaks are not generalised Pareto (p = {fit:.2g})"
    unit = float(beyond.mean())  # scores may be of any size, the optimiser's steps are not
    try:
        with np.errstate(all="ignore"):
            shape, _, scale = genpareto.fit(beyond / unit, floc=0)
    except FitError as error:
        return f"no fit was found ({error})"
    if not -0.5 < shape < 2 or not scale > 0:
        return f"the tail has the shape {shape:.2g}, beyond what can be estimated"
    return TailFit(level, len(beyond), share, float(shape), float(scale) * unit, fit)


def _goodness(beyond: Floats) -> float:
    """Parametric bootstrap of the Anderson-Darling statistic; `beyond` is ascending."""
    shape, _ = _moments(beyond)
    rng = np.random.default_rng(0)
    simulated = np.sort(genpareto.rvs(shape, size=(_N_SIMULATED, len(beyond)), random_state=rng), axis=-1)
    as_bad = int((_anderson_darling(simulated) >= _anderson_darling(beyond)).sum())
    return (1 + as_bad) / (1 + _N_SIMULATED)


def _moments(beyond: Floats) -> tuple[Floats, Floats]:
    """Shape and scale by probability-weighted moments, of rows of ascending peaks (Hosking & Wallis 1987)."""
    k = beyond.shape[-1]
    mean = beyond.mean(axis=-1)
    weighted = (beyond * (1 - (np.arange(1, k + 1) - 0.35) / k)).mean(axis=-1)
    return 2 - mean / (mean - 2 * weighted), 2 * mean * weighted / (mean - 2 * weighted)


def _anderson_darling(beyond: Floats) -> Floats:
    k = beyond.shape[-1]
    shape, scale = _moments(beyond)
    log_above = genpareto.logsf(beyond, shape[..., None], scale=scale[..., None])
    log_above = np.clip(log_above, math.log(1e-12), -1e-12)
    log_below = np.log(-np.expm1(log_above))
    statistic: Floats = -k - ((2 * np.arange(1, k + 1) - 1) * (log_below + log_above[..., ::-1])).sum(axis=-1) / k
    return statistic


@dataclass(frozen=True)
class TailRate:
    """A rate of alerts that is too rare for the number of calibration rows to show it, by a model of the tail.

    From 5,000 rows, 1e-4 was met within a factor of 2 in 63 % of 500 calibrations on Student-t (3 degrees of freedom),
    59 % on log-normal and 53 % on Gaussian scores, and within a factor of 3 in 77 to 87 %; the report has the standard
    error. Where the tail cannot be fitted, a warning says so and the threshold is that of the calibration rows
    themselves, with its exact bounds.

    Rows labelled normal count, if there are labels. Anomalies among unlabelled rows lengthen the tail, which raises the
    threshold: false alarms are then rarer than the rate, or the fit is refused. A contamination that the calibration
    rows state is not used, as it does not say which of the highest scores are the anomalies'.

    Parameters
    ----------
    rate : float
        Share of rows above the threshold, in (0, 0.05].

    References
    ----------
    As in `fit_tail`. For thresholds of detectors: Siffer, Fouque, Termier, Largouet: Anomaly Detection in Streams with
    Extreme Value Theory (2017).

    Examples
    --------
    >>> rows = CalibrationRows.from_arrays(np.random.default_rng(0).exponential(size=5_000))
    >>> round(TailRate(1e-4).calibrate(rows).threshold, 1)  # in truth 9.2
    9.3
    """

    rate: float
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        check_params("TailRate", asdict(self), _RATE)

    def calibrate(self, rows: CalibrationRows) -> Calibration:
        """Set the threshold.

        Parameters
        ----------
        rows : CalibrationRows
            Held-out rows. Labels are used if they are there; a contamination is not.

        Returns
        -------
        Calibration
            With the fit, its goodness and its standard error in the report.

        Warns
        -----
        CalibrationWarning
            The tail could not be fitted; the report says what holds instead.
        """
        score, _ = reference(rows)
        if self.rate * len(score) >= _ENOUGH:
            return self._empirical(rows, f"no model was needed: {len(score):,} rows show the rate themselves")
        try:
            tail = fit_tail(score, max(_MIN_PEAKS, math.ceil(2 * self.rate * len(score))))
        except TableError as error:
            calibration = self._empirical(
                rows, f"the tail could not be fitted ({error}), so the rows' own quantile holds"
            )
            warnings.warn(
                f"{self!r} could not fit the tail of {len(score):,} scores: {error}. The threshold "
                f"{calibration.threshold:.6g} is from the rows themselves, and up to "
                f"{percent((calibration.guarantee.interval or (0.0, 1.0))[1])} of rows to come may be above it. Give "
                "more rows or a score that is finer, or use FalseAlarmRate.",
                CalibrationWarning,
                stacklevel=2,
            )
            return calibration
        return self._modelled(rows, tail)

    def _modelled(self, rows: CalibrationRows, tail: TailFit) -> Calibration:
        threshold = tail.quantile(self.rate)
        error = tail.log_rate_error(threshold)
        spread = math.exp(float(norm.ppf(CONFIDENCE)) * error)
        guarantee = guarantee_of(
            self,
            rows,
            threshold,
            asked=self._asked(),
            quantity=self._quantity(rows),
            holds="the rate lies within the bounds if the tail is generalised Pareto, as far as the fit can tell",
            estimate=self.rate,
            interval=(self.rate / spread, min(1.0, self.rate * spread)),
            assumptions=(f"scores above {tail.level:.6g} follow a generalised Pareto distribution, further out too",),
            remarks=(
                f"{tail.n_peaks:,} peaks, shape {tail.shape:.3f}, scale {tail.scale:.4g}, goodness of fit p = "
                f"{tail.fit:.2g}; standard error of the rate: a factor of {math.exp(error):.2f}",
                *self._remarks(rows),
            ),
        )
        return calibrated(self, rows, guarantee)

    def _empirical(self, rows: CalibrationRows, reason: str) -> Calibration:
        score, _ = reference(rows)
        threshold = order_statistic(score, floor_of(self.rate * len(score)))
        n_above = int((score > threshold).sum())
        guarantee = guarantee_of(
            self,
            rows,
            threshold,
            asked=self._asked(),
            quantity=self._quantity(rows),
            holds="the rate lies within the exact bounds, whatever the distribution of the scores",
            estimate=n_above / len(score),
            interval=clopper_pearson(n_above, len(score), CONFIDENCE),
            remarks=(reason, *self._remarks(rows)),
        )
        return calibrated(self, rows, guarantee)

    def _asked(self) -> str:
        return f"{percent(self.rate)} of rows alert, one in {1 / self.rate:,.0f}"

    @staticmethod
    def _quantity(rows: CalibrationRows) -> str:
        return "alert rate" if rows.y is None else "false-alarm rate"

    @staticmethod
    def _remarks(rows: CalibrationRows) -> tuple[str, ...]:
        said = []
        if rows.y is None:
            said.append("anomalies among unlabelled rows raise the threshold, so false alarms are rarer than the rate")
            if rows.contamination:
                said.append(UNUSED_CONTAMINATION)
        if rows.weight is not None:
            said.append(UNUSED_WEIGHTS)
        return tuple(said)
