"""Scores of rows that a detector has not learnt from. Detectors are fitted here, and never on labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.metadata_routing import (
    _raise_for_params,
    _routing_enabled,
    get_routing_for_object,
    process_routing,
)
from sklearn.utils.validation import _check_method_params, check_is_fitted

from vae_anomaly._adapters import check_direction, innermost, normality
from vae_anomaly._splits import Split, calibration_rows
from vae_anomaly.errors import ParameterError

_COMPARED = 500
"""Rows, at most, on which the detectors of folds and of all rows are compared."""

_COMPARABLE = 40
"""Rows of a fold from which they are: what learns from fewer scores as chance has it."""

_MOST_SHIFT = 0.5
_MOST_RATIO = 2.5
"""Isolation forests, neighbours, ellipses, densities and VAEs stay below half of these from a few hundred rows on, and
below them on 60; one-class SVMs lie beyond."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The detector to use, the positions of the rows to calibrate on, and their anomaly scores."""

    estimator: Any
    rows: NDArray[np.intp]
    score: NDArray[np.float64]


def of_fitted(estimator: Any, X: Any) -> HeldOut:
    """Every row, scored by a detector that came fitted.

    Raises
    ------
    NotFittedError
        It is not.
    """
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise NotFittedError(
            f'cv="prefit" needs a fitted detector: found {type(estimator).__name__} without a fit. Fit it first; '
            "clones and searches drop a fit unless it is held by sklearn.frozen.FrozenEstimator."
        ) from error
    score = _score(estimator, X)
    return HeldOut(estimator, np.arange(len(score)), score)


def fit_arguments(
    owner: Any, estimator: Any, named: Mapping[str, Any], further: Mapping[str, Any]
) -> Mapping[str, Any]:
    """What metadata routing hands on to the `fit` of the detector.

    Parameters
    ----------
    owner : CalibratedDetector
        It routes.
    estimator : object
        The detector; it may request arguments that `owner` goes by itself.
    named, further : mapping of str to object
        Arguments that `owner` knows, where None was not given, and those that it does not.
    """
    _raise_for_params(further, owner, "fit")
    if not _routing_enabled():
        return {}
    given = {name: value for name, value in named.items() if value is not None}
    wanted = get_routing_for_object(estimator).consumes("fit", given)
    routed: Any = process_routing(owner, "fit", **further, **{name: given[name] for name in wanted})
    return dict(routed["estimator"]["fit"])


def seeded(estimator: Any, random_state: Any) -> Any:
    """A clone whose seeds are drawn from `random_state` wherever they are None; itself if nothing is to be drawn."""
    if random_state is None or isinstance(estimator, FrozenEstimator):
        return estimator
    draw = check_random_state(random_state)
    fresh = clone(estimator)
    params = sorted(fresh.get_params().items())
    unset = [name for name, value in params if value is None and name.rpartition("__")[2] == "random_state"]
    return fresh.set_params(**{name: draw.randint(np.iinfo(np.int32).max) for name in unset})


def of_splits(estimator: Any, X: Any, parts: Sequence[Split], params: Mapping[str, Any]) -> HeldOut:
    """The calibration rows of each split, scored by a clone that learnt from its other rows.

    The detector to use is the one of a single split; of several splits it is one more, which learns from all rows.
    """
    scores, before = [], []
    for part in parts:
        fitted = _learnt(estimator, X, part.train, params)
        scores.append(_score(fitted, _safe_indexing(X, part.calibration)))
        if len(parts) > 1:
            some = part.train[:: -(-len(part.train) // _COMPARED)]
            before.append((some, normality(fitted, _safe_indexing(X, some))))
    if len(parts) > 1:
        fitted = _learnt(estimator, X, None, params)
        _check_one_scale(fitted, X, before)
    rows = calibration_rows(parts)
    order = np.argsort(rows)
    return HeldOut(fitted, rows[order], np.concatenate(scores)[order])


def _check_one_scale(estimator: Any, X: Any, before: Sequence[tuple[NDArray[np.intp], NDArray[np.float64]]]) -> None:
    """Raise where the detector of all rows scores on another scale than those of the folds.

    Compared on rows that both learnt from. Those of a OneClassSVM, for one, grow with the number of its rows: a
    threshold from its folds would hold for none of its scores.
    """
    shifts, ratios = [], []
    for rows, score in before:
        if len(rows) < _COMPARABLE:
            continue
        now = normality(estimator, _safe_indexing(X, rows))
        (low, middle, high), (low_now, middle_now, high_now) = (np.quantile(v, (0.25, 0.5, 0.75)) for v in (score, now))
        narrow, wide = sorted((high - low, high_now - low_now))
        if wide > 0:
            shifts.append(abs(middle_now - middle) / wide)
            ratios.append(wide / narrow if narrow > 0 else np.inf)
    if shifts and (np.median(shifts) > _MOST_SHIFT or np.median(ratios) > _MOST_RATIO):
        raise ParameterError(
            "Cross-fitting needs scores on one scale, however many rows were learnt from: from the folds to all rows, "
            f"found those of {type(innermost(estimator)).__name__} to move by {np.median(shifts):.2g} times their "
            f"interquartile range, and that to change by a factor of {np.median(ratios):.2g}. Hold out a share "
            "(cv=0.25) instead."
        )


def _learnt(estimator: Any, X: Any, rows: NDArray[np.intp] | None, params: Mapping[str, Any]) -> Any:
    fresh = clone(estimator)
    if isinstance(fresh, FrozenEstimator):
        return fresh
    part = X if rows is None else _safe_indexing(X, rows)
    return fresh.fit(part, **_check_method_params(X, params, indices=rows))


def _score(estimator: Any, X: Any) -> NDArray[np.float64]:
    score = normality(estimator, X)
    check_direction(estimator, X, score)
    return -score
