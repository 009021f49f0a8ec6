"""Scores and thresholds to draw, from detectors, calibrations and numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from vae_anomaly._adapters import check_direction, normality
from vae_anomaly._params import Number
from vae_anomaly.decision._labelled import Floats
from vae_anomaly.decision.calibration import Calibration
from vae_anomaly.errors import ParameterError

Thresholds: TypeAlias = Mapping[str, float | Calibration]


def places_of(thresholds: Thresholds | None, score: Floats) -> dict[str, float]:
    """Where each threshold lies; a calibration with segments has one for each of them and for the rest.

    Raises
    ------
    ParameterError
        A threshold is neither a calibration nor a finite number.

    Examples
    --------
    >>> places_of({"by hand": 3}, np.zeros(2))
    {'by hand': 3.0}
    """
    if thresholds is not None and not isinstance(thresholds, Mapping):
        raise ParameterError(
            "The 'thresholds' parameter must be a mapping of names to numbers or calibrations, such as "
            f"{{'false alarms': detector.calibration_}}. Got {thresholds!r} instead."
        )
    return {label: place for name, given in (thresholds or {}).items() for label, place in _places(name, given, score)}


def anomaly_scores(detector: Any, X: Any) -> Floats:
    """Scores of a fitted detector, higher for anomalies.

    Raises
    ------
    ParameterError
        Its own scores are higher for anomalies already, as PyOD's are.
    TableError
        A score is NaN.
    """
    score = normality(detector, X)
    if not hasattr(detector, "calibration_"):  # which has been looked at when it was fitted
        check_direction(detector, X, score)
    return -score


def calibrations_of(detector: Any) -> dict[str, Calibration]:
    """The calibration of a detector under the name of its rule; nothing if it has none."""
    calibration = getattr(detector, "calibration_", None)
    return {type(calibration.rule).__name__: calibration} if isinstance(calibration, Calibration) else {}


def _places(name: str, given: Any, score: Floats) -> Iterator[tuple[str, float]]:
    if isinstance(given, Calibration):
        if given.threshold is None:
            yield _of_batch(name, given, score)
        else:
            yield name, given.threshold
        parts = [*given.segments.items(), *((("the rest", given.rest),) if given.rest is not None else ())]
        for segment, part in parts:
            if part.threshold is not None:
                yield f"{name}: {segment}", part.threshold
    elif Number().allows(given) and math.isfinite(given):
        yield name, float(given)
    else:
        raise ParameterError(f"A threshold must be a finite number or a Calibration. Got {name!r}: {given!r} instead.")


def _of_batch(name: str, calibration: Calibration, score: Floats) -> tuple[str, float]:
    """The highest score of these rows that does not alert, or the highest of all."""
    alerts = calibration.alerts(score)
    finite = np.isfinite(score)
    spared = score[finite & ~alerts]
    if not len(spared):
        return f"{name} (all of these rows alert)", float(score[finite].min()) if finite.any() else 0.0
    return f"{name} (on these rows)" if alerts.any() else f"{name} (no alert on these rows)", float(spared.max())
