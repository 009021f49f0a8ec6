"""A calibration as the contents of a model file, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.decision._counts import written
from vae_anomaly.decision._labelled import Floats
from vae_anomaly.decision.calibration import BatchRule, Calibration
from vae_anomaly.decision.guarantee import Guarantee
from vae_anomaly.decision.thresholds import rule_from_json, rule_to_json
from vae_anomaly.errors import ModelFileError, ParameterError

_PARTS = {"rule", "segments", "rest", "report"}
_INTACT = "Use the file as it was first written, or calibrate again."


def to_parts(calibration: Calibration) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """A calibration as JSON values and arrays.

    Returns
    -------
    document : dict
        The rule, the report, and the rules of the segments and of the rest, as JSON values.
    arrays : dict of str to float64 ndarray
        The calibration scores, ascending, and their weights if there are any, of all rows, of each segment and of the
        rest.

    Examples
    --------
    >>> from vae_anomaly.decision.thresholds import CalibrationRows, Contamination
    >>> document, arrays = to_parts(Contamination(0.5).calibrate(CalibrationRows.from_arrays([2.0, 1.0])))
    >>> document["rule"], arrays
    ({'rule': 'Contamination', 'share': 0.5}, {'score': array([1., 2.])})
    """
    arrays = _arrays("", calibration)
    rules = {}
    for place, (name, part) in enumerate(calibration.segments.items()):
        arrays |= _arrays(f"segment{place}.", part)
        rules[name] = rule_to_json(part.rule)
    rest = calibration.rest
    if rest is not None:
        arrays |= _arrays("rest.", rest)
    return {
        "rule": rule_to_json(calibration.rule),
        "segments": rules,
        "rest": None if rest is None else rule_to_json(rest.rule),
        "report": calibration.guarantee.to_json(),
    }, arrays


def from_parts(document: Any, arrays: dict[str, NDArray[Any]]) -> Calibration:
    """Read what `to_parts` wrote, after an audit: a file is data.

    Raises
    ------
    ModelFileError
        A part is missing, unknown, of another type, not finite or out of order.
    """
    if not isinstance(document, dict) or set(document) != _PARTS:
        found = sorted(map(str, document)) if isinstance(document, dict) else type(document).__name__
        raise ModelFileError(f"A calibration must be an object with {sorted(_PARTS)}. Found {found}.")
    pooled = Guarantee.from_json(document["report"])
    reports, rules = dict(pooled.segments), document["segments"]
    if not isinstance(rules, dict) or list(rules) != list(reports):
        raise ModelFileError(f"The segments of a calibration must be those of its report, {list(reports)}. {_INTACT}")
    if (pooled.rest is None) != (document["rest"] is None) or (pooled.rest is not None and not reports):
        raise ModelFileError(f"A calibration must have a rest where its report has one, beside segments. {_INTACT}")
    parts = {name: _part(rules[name], reports[name], f"segment{place}.", arrays) for place, name in enumerate(reports)}
    rest = None if pooled.rest is None else _part(document["rest"], pooled.rest, "rest.", arrays)
    calibration = replace(_part(document["rule"], pooled, "", arrays), segments=parts, rest=rest)
    expected = set(to_parts(calibration)[1])
    if set(arrays) != expected:
        raise ModelFileError(
            f"A calibration must have the arrays {sorted(expected)}. Found {sorted(arrays)}. {_INTACT}"
        )
    return calibration


def _arrays(prefix: str, calibration: Calibration) -> dict[str, NDArray[Any]]:
    both = {"score": calibration.score, "weight": calibration.weight}
    return {f"{prefix}{name}": array for name, array in both.items() if array is not None}


def _part(rule: Any, report: Guarantee, prefix: str, arrays: dict[str, NDArray[Any]]) -> Calibration:
    try:
        known = rule_from_json(rule)
    except ParameterError as error:
        raise ModelFileError(f"The rule of a calibration is none: {error} {_INTACT}") from error
    if report.rule != written(known):
        raise ModelFileError(f"The rule of a calibration must be that of its report, {report.rule}. Found {known!r}.")
    if (report.threshold is None) != isinstance(known, BatchRule):
        raise ModelFileError(f"{known!r} cannot have the threshold {report.threshold}. {_INTACT}")
    score = _checked(f"{prefix}score", arrays)
    if (score[1:] < score[:-1]).any():
        raise ModelFileError(f"The calibration scores {prefix}score must be in ascending order. {_INTACT}")
    if f"{prefix}weight" not in arrays:
        return Calibration(known, report, score)
    weight = _checked(f"{prefix}weight", arrays)
    if weight.shape != score.shape or (weight < 0).any():
        raise ModelFileError(f"{prefix}weight must have a number of 0 or more for each score. {_INTACT}")
    return Calibration(known, report, score, weight)


def _checked(name: str, arrays: dict[str, NDArray[Any]]) -> Floats:
    array = arrays.get(name)
    if array is None or array.dtype != np.float64 or array.ndim != 1 or not np.isfinite(array).all():
        found = "none" if array is None else f"{array.dtype} of shape {array.shape}"
        raise ModelFileError(
            f"A calibration needs an array {name!r} of finite float64, one row. Found {found}. {_INTACT}"
        )
    return array
