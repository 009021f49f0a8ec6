"""Which rows of a report alert, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from vae_anomaly._rules import alert_share
from vae_anomaly.decision._labelled import Booleans, Floats
from vae_anomaly.decision.calibration import Calibration
from vae_anomaly.decision.calibration_rows import as_segments
from vae_anomaly.decision.guarantee import percent
from vae_anomaly.errors import ParameterError


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of rows, and what was decided.

    Parameters
    ----------
    score, threshold : float64 ndarray of shape (n_rows,)
        In nats.
    p_value, risk : float64 ndarray of shape (n_rows,) or None
        None without calibration.
    group : object ndarray of shape (n_rows,) or None
        Segments.
    """

    score: Floats
    threshold: Floats
    p_value: Floats | None = None
    risk: Floats | None = None
    group: NDArray[Any] | None = None

    @cached_property
    def alert(self) -> Booleans:
        """Which rows alert."""
        return np.asarray(self.score > self.threshold)

    def ranked(self) -> NDArray[np.intp]:
        """The rows that alert, the furthest above its threshold first; ties in the order of the rows."""
        rows = np.flatnonzero(self.alert)
        return rows[np.argsort(-(self.score - self.threshold)[rows], kind="stable")]


def vae_of(detector: Any) -> Any:
    """The fitted `VAEDetector` that scores, whether it is calibrated or not.

    Raises
    ------
    ParameterError
        There is none.
    """
    from vae_anomaly.detector import VAEDetector  # torch is for those who use it

    check_is_fitted(detector)
    inner = detector.estimator_ if calibration_of(detector) else detector
    inner = inner.estimator if isinstance(inner, FrozenEstimator) else inner
    if not isinstance(inner, VAEDetector):
        raise ParameterError(
            "The 'detector' parameter of a report must be a fitted VAEDetector or a CalibratedDetector of one, which "
            f"know the reasons of their scores. Got {type(inner).__name__} instead."
        )
    return inner


def calibration_of(detector: Any) -> Calibration | None:
    """The calibration of a detector, if it has one."""
    found = getattr(detector, "calibration_", None)
    return found if isinstance(found, Calibration) else None


def scored(detector: Any, X: Any, groups: ArrayLike | None) -> Scored:
    """Score rows with a fitted detector, and decide.

    Parameters
    ----------
    detector : VAEDetector or CalibratedDetector of one
        Fitted.
    X : table of shape (n_rows, n_features)
        With the columns of fit alone.
    groups : array-like of shape (n_rows,), optional
        Segments, for a calibration that has thresholds for them.
    """
    score = np.asarray(vae_of(detector).anomaly_score(X), dtype=np.float64)
    calibration = calibration_of(detector)
    group = None if groups is None else as_segments(groups, len(score))
    if calibration is None:
        return Scored(score, np.full(len(score), -float(detector.offset_)), group=group)
    found = (calibration.thresholds, calibration.p_value, calibration.risk_score)
    threshold, p_value, risk = (of(score, group) for of in found)
    return Scored(score, threshold, p_value, risk, group)


def decision(detector: Any) -> str:
    """By what a row alerts, in words."""
    calibration = calibration_of(detector)
    if calibration is None:
        share = alert_share(detector.contamination)
        return f"the threshold of the fit: {percent(share)} of the training rows score above it; it is not calibrated"
    segments = f", with thresholds for {len(calibration.segments)} segments" if calibration.segments else ""
    return f"{calibration.guarantee.asked}{segments}"
