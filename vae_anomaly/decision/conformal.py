"""Conformal p-values: how rare a score is among calibration rows, without a model of the scores."""

from __future__ import annotations

import datetime as dt
import math
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import false_discovery_control

from vae_anomaly._params import Number, OneOf, Rule, check_params
from vae_anomaly.decision._labelled import Booleans, Floats
from vae_anomaly.decision.calibration_rows import CalibrationRows, as_scores, as_times
from vae_anomaly.errors import ParameterError, TableError

Method: TypeAlias = Literal["bh", "by"]
"""Benjamini-Hochberg or Benjamini-Yekutieli."""

POINTS_PER_DECADE = 250.0
"""Points of the risk score for each factor of ten in the false-alarm rate."""

FDR_RULES: dict[str, tuple[Rule, ...]] = {
    "fdr": (Number(0, 1, open_low=True, open_high=True),),
    "method": (OneOf(("bh", "by")),),
}
"""What the two parameters of a step-up procedure may be."""

_TEST_WEIGHT = {"test_weight": (Number(0, open_low=True, open_high=True),)}


def conformal_p_values(
    calibration_scores: ArrayLike, scores: ArrayLike, weight: ArrayLike | None = None, test_weight: float = 1.0
) -> Floats:
    """Share of calibration rows that score at least as high, the row itself counted.

    For a row that is exchangeable with the calibration rows, P(p <= t) <= t for every t, whatever the scores.

    Parameters
    ----------
    calibration_scores : array of shape (n_calibration,)
        Anomaly scores of rows that were not trained on. Finite.
    scores : array of shape (n_rows,)
        Anomaly scores of the rows that are judged. NaN is refused.
    weight : array of shape (n_calibration,), optional
        For covariate shift: how much likelier each calibration row is among the rows that are judged, up to one
        factor. `recency_weights` gives them by age.
    test_weight : float, default=1.0
        Weight of a judged row on the same scale.

    Returns
    -------
    float64 ndarray of shape (n_rows,)
        In (0, 1]: ``(1 + #{calibration >= score}) / (n + 1)``, or with weights
        ``(test_weight + sum of weights of calibration >= score) / (test_weight + sum of weights)``.

    Raises
    ------
    TableError
        A score is missing, or weights are negative or of another length.
    ParameterError
        The test weight is not above 0.

    References
    ----------
    Vovk, Gammerman, Shafer: Algorithmic Learning in a Random World (2005). With weights: Tibshirani, Foygel Barber,
    Candes, Ramdas: Conformal Prediction Under Covariate Shift (2019); Barber, Candes, Ramdas, Tibshirani: Conformal
    Prediction Beyond Exchangeability (2023).

    Examples
    --------
    >>> conformal_p_values([1.0, 2.0, 3.0], [0.0, 2.5, 9.0])
    array([1.  , 0.5 , 0.25])
    """
    check_params("conformal_p_values", {"test_weight": test_weight}, _TEST_WEIGHT)
    rows = CalibrationRows.from_arrays(calibration_scores, weight=weight)
    order = np.argsort(rows.score, kind="stable")
    weights = None if rows.weight is None else rows.weight[order]
    return sorted_p_values(rows.score[order], weights, as_scores(scores), test_weight)


def sorted_p_values(calibration: Floats, weight: Floats | None, scores: Floats, test_weight: float = 1.0) -> Floats:
    """`conformal_p_values` of arrays that are checked, the calibration scores in ascending order."""
    below = np.searchsorted(calibration, scores, side="left")
    p: Floats
    if weight is None:
        p = (len(calibration) - below + 1) / (len(calibration) + 1)
    else:
        from_there = np.append(np.cumsum(weight[::-1])[::-1], 0.0)
        p = (from_there[below] + test_weight) / (from_there[0] + test_weight)
    return p


def recency_weights(time: ArrayLike, half_life: dt.timedelta | np.timedelta64) -> Floats:
    """Weights that halve with age, for calibration rows that drift.

    Parameters
    ----------
    time : array of shape (n_rows,)
        When each calibration row came.
    half_life : timedelta
        Age at which a row counts half, above 0.

    Returns
    -------
    float64 ndarray of shape (n_rows,)
        In (0, 1]; the latest row has 1, like a row that comes just after it.

    Raises
    ------
    TableError
        A time is missing.
    ParameterError
        The half-life is no time span above 0.

    References
    ----------
    Barber, Candes, Ramdas, Tibshirani: Conformal Prediction Beyond Exchangeability (2023): any fixed weights are valid,
    and what is lost under drift is at most the weighted distance of each row's distribution from that of the new row.

    Examples
    --------
    >>> recency_weights(["2026-03-01", "2026-03-02", "2026-03-03"], np.timedelta64(1, "D"))
    array([0.25, 0.5 , 1.  ])
    """
    times = as_times(time)
    try:
        span = float(np.timedelta64(half_life) / np.timedelta64(1, "us"))
    except (OverflowError, TypeError, ValueError):  # no time span, or one of months, which have no fixed length
        span = math.nan
    if not isinstance(half_life, dt.timedelta | np.timedelta64) or not span > 0:
        raise ParameterError(
            "The 'half_life' parameter of recency_weights must be a datetime.timedelta or numpy.timedelta64 above 0, "
            f"in days or less. Got {half_life!r} instead."
        )
    if not len(times):
        raise TableError("Expected times of calibration rows, found none.")
    coarse = times.astype("datetime64[us]")  # nanoseconds of several centuries do not fit in 64 bits
    age = (coarse.max() - coarse) / np.timedelta64(1, "us") / span
    weights: Floats = np.exp2(-age)
    return weights


def step_up(p: ArrayLike, fdr: float, method: Method = "bh") -> Booleans:
    """Rows that a step-up procedure calls anomalies, so that the share of normal rows among them is limited.

    Parameters
    ----------
    p : array of shape (n_rows,)
        p-values of a whole batch.
    fdr : float
        False-discovery rate, in (0, 1): the expected share of normal rows among the alerts.
    method : "bh" or "by", default="bh"
        Benjamini-Hochberg, for p-values that are independent or positively dependent (conformal p-values of
        independent rows are); Benjamini-Yekutieli for any dependence, at the price of a factor of about
        log(n_rows) + 0.58.

    Returns
    -------
    bool ndarray of shape (n_rows,)
        True for an alert.

    Raises
    ------
    TableError
        A p-value is no number in [0, 1].
    ParameterError
        fdr is no number in (0, 1), or the method is not known.

    References
    ----------
    Benjamini, Hochberg: Controlling the False Discovery Rate (1995). Benjamini, Yekutieli: The Control of the False
    Discovery Rate in Multiple Testing under Dependency (2001). For conformal p-values: Bates, Candes, Lei, Romano,
    Sesia: Testing for Outliers with Conformal p-values (2023).

    Examples
    --------
    >>> step_up([0.001, 0.8, 0.03, 0.02], fdr=0.05)
    array([ True, False,  True,  True])
    """
    check_params("step_up", {"fdr": fdr, "method": method}, FDR_RULES)
    values = _probabilities(p)
    if not len(values):
        return np.zeros(0, dtype=bool)
    adjusted: Floats = false_discovery_control(values, method=method)
    return adjusted <= fdr


def risk_score(p: ArrayLike) -> Floats:
    """A p-value as points from 0 to 1000, tied to the false-alarm rate: 250 for each factor of ten.

    500 is a score that one normal row in 100 reaches, 750 one in 1,000, and 1000 one in 10,000 or fewer. n calibration
    rows cannot show a p-value below 1/(n + 1): 999 rows reach 750 points, and 1000 points take 9,999 rows.

    Parameters
    ----------
    p : array of shape (n_rows,)
        p-values.

    Returns
    -------
    float64 ndarray of shape (n_rows,)
        ``min(1000, -250 log10 p)``.

    Raises
    ------
    TableError
        A p-value is no number in [0, 1].

    Examples
    --------
    >>> risk_score([1.0, 0.01, 0.001, 1e-9])
    array([   0.,  500.,  750., 1000.])
    """
    values = _probabilities(p)
    return np.minimum(1000.0, POINTS_PER_DECADE * np.log10(1 / np.maximum(values, 1e-9)))


def _probabilities(p: ArrayLike) -> Floats:
    values = as_scores(p)
    if len(values) and not (values.min() >= 0 and values.max() <= 1):
        raise TableError(f"p-values must lie in [0, 1]: found {values.min():g} to {values.max():g}. Give p-values.")
    return values
