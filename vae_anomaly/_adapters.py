"""What other libraries' detectors say of a row, in scikit-learn's direction: higher is more normal."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils.validation import check_is_fitted, validate_data

from vae_anomaly.errors import ParameterError, TableError

_REMEDY = "Wrap it: PyODAdapter(detector) turns PyOD's direction round; turn that of any other by a class of your own."
_EXTREMES = 100
"""Rows at either end of the scores on which the direction is checked."""


class PyODAdapter(OutlierMixin, BaseEstimator):
    """A PyOD detector behind scikit-learn's outlier detector API.

    PyOD's ``decision_function`` is higher for anomalies and its ``predict`` gives 1 for them and 0 for the others;
    scikit-learn's are the other way round. Any detector with `fit`, `decision_function` (higher is more anomalous) and
    a fitted `threshold_` will do. PyOD itself is not imported.

    Parameters
    ----------
    detector : object
        A detector of PyOD. `fit` fits a clone; one that is fitted already can be used as it is.

    Attributes
    ----------
    detector_ : object
        The fitted clone; not there if `detector` came fitted.
    offset_ : float
        The negative of the detector's own `threshold_`: ``decision_function(X) = score_samples(X) - offset_``.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, where `X` had any.

    See Also
    --------
    CalibratedDetector : Gives any detector a threshold on rows that it has not seen.

    Notes
    -----
    Zhao, Nasrullah & Li (2019), "PyOD: a Python toolbox for scalable outlier detection", for the convention.

    Examples
    --------
    >>> import numpy as np
    >>> from vae_anomaly import PyODAdapter
    >>> class Distance:  # stands for a detector of PyOD, such as pyod.models.ecod.ECOD
    ...     def get_params(self, deep=False):
    ...         return {}
    ...     def fit(self, X, y=None):
    ...         self.threshold_ = np.quantile(self.decision_function(X), 0.9)
    ...         return self
    ...     def decision_function(self, X):
    ...         return np.linalg.norm(X, axis=1)
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> detector = PyODAdapter(Distance()).fit(X)
    >>> detector.predict([[0, 0, 0], [9, 9, 9]])
    array([ 1, -1])
    """

    detector_: Any
    n_features_in_: int

    def __init__(self, detector: Any) -> None:
        self.detector = detector

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit a clone of the detector.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numbers, none of them missing.
        y : ignored
            Never handed on: some detectors of PyOD would learn from it.

        Returns
        -------
        self : PyODAdapter
            Fitted.

        Raises
        ------
        ParameterError
            The detector has no `threshold_` after its fit.
        """
        rows = validate_data(self, X, dtype=np.float64)
        detector = clone(self.detector)
        detector.fit(rows)
        if not hasattr(detector, "threshold_"):
            raise ParameterError(
                "The 'detector' parameter of PyODAdapter must be a detector with a 'threshold_' after its fit, as "
                f"those of PyOD have. Got {type(self.detector).__name__} instead."
            )
        self.detector_ = detector
        return self

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Score rows: higher is more normal.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows with the columns of `fit`.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            The negative of the detector's ``decision_function``, in its own unit.
        """
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        return -np.asarray(self._fitted.decision_function(rows), dtype=np.float64)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Distance from the detector's own threshold: negative for anomalies.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows with the columns of `fit`.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            ``score_samples(X) - offset_``.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Flag rows that score above the detector's own threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows with the columns of `fit`.

        Returns
        -------
        flags : ndarray of shape (n_samples,)
            -1 for anomalies, 1 for the others.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    @property
    def offset_(self) -> float:
        """The negative of the detector's own threshold."""
        return -float(self._fitted.threshold_)

    @property
    def _fitted(self) -> Any:
        return self.__dict__.get("detector_", self.detector)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self._fitted, "threshold_")


def check_scores_rows(estimator: Any) -> None:
    """Raise unless `estimator`, fitted or not, is one whose scores can have a threshold.

    Raises
    ------
    ParameterError
        It scores no new rows, or is no outlier detector.
    """
    kind, name = _kind(estimator), type(innermost(estimator)).__name__
    if not hasattr(estimator, "fit") or isinstance(estimator, type):
        raise ParameterError(f"{_EXPECTED}. Got {estimator!r} instead.")
    if kind in ("classifier", "regressor", "clusterer"):
        raise ParameterError(f"{_EXPECTED}. Got {name}, a {kind}, instead.")
    if not (hasattr(estimator, "score_samples") or hasattr(estimator, "decision_function")):
        remedy = f"Set {name}(novelty=True)." if hasattr(innermost(estimator), "novelty") else "Choose another."
        raise ParameterError(
            f"{_EXPECTED}, which has score_samples or decision_function for new rows. {name} has neither. {remedy}"
        )


_EXPECTED = "The 'estimator' parameter of CalibratedDetector must be an outlier detector"


def normality(estimator: Any, X: Any) -> NDArray[np.float64]:
    """What a fitted detector says of each row; higher is more normal if it keeps to scikit-learn's direction."""
    score = estimator.score_samples(X) if hasattr(estimator, "score_samples") else estimator.decision_function(X)
    score = np.asarray(score, dtype=np.float64)
    if score.ndim != 1:
        raise TableError(
            f"{type(innermost(estimator)).__name__} must give one score a row: found an array of shape {score.shape}. "
            "Wrap it, so that it does."
        )
    missing = np.isnan(score)
    if missing.any():
        raise TableError(
            f"{type(innermost(estimator)).__name__} must give every row a score: found NaN at row {missing.argmax()} "
            f"and in {int(missing.sum())} of {len(score)} rows. Fill in or drop what it cannot score."
        )
    return score


def check_direction(estimator: Any, X: Any, score: NDArray[np.float64]) -> None:
    """Raise where a fitted detector's higher scores mean more anomalous.

    It is told by PyOD's fitted attributes, and by what the detector itself says of the rows at either end of its
    scores: flags of 0 and 1, flagged rows above the others, or a decision function that runs against the scores.

    Parameters
    ----------
    estimator : object
        A fitted detector.
    X : table
        Rows.
    score : ndarray of shape (n_samples,)
        Their `normality`.

    Raises
    ------
    ParameterError
        The direction is the other way round; the message says how to wrap the detector.
    """
    inner = innermost(estimator)
    if hasattr(inner, "decision_scores_"):
        _reversed(inner, "it has 'decision_scores_', as PyOD's detectors have, whose higher scores are anomalies")
    order = np.argsort(score, kind="stable")
    ends = np.unique(np.concatenate([order[:_EXTREMES], order[-_EXTREMES:]]))
    rows, found = _safe_indexing(X, ends), score[ends]
    middle = (found.min() + found.max()) / 2
    if hasattr(estimator, "predict") and _kind(estimator) != "density_estimator":
        flags = np.asarray(estimator.predict(rows))
        if not np.isin(flags, (-1, 1)).all():
            _reversed(
                inner, f"its predict gives {np.unique(flags)[:3].tolist()}, not -1 for anomalies and 1 for others"
            )
        if len(np.unique(flags)) == 2 and found[flags == -1].mean() > found[flags == 1].mean():
            _reversed(inner, "the rows that its predict flags score higher than the others")
    if hasattr(estimator, "decision_function") and found.min() < found.max():
        decision = np.asarray(estimator.decision_function(rows))
        if decision[found <= middle].mean() > decision[found > middle].mean():
            _reversed(inner, "its decision_function falls where its score_samples rises")


def innermost(estimator: Any) -> Any:
    """The detector itself, out of its pipelines, searches and frozen estimators."""
    while True:
        if hasattr(estimator, "steps"):
            estimator = estimator.steps[-1][1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif type(estimator).__name__ == "FrozenEstimator":
            estimator = estimator.estimator
        else:
            return estimator


def _kind(estimator: Any) -> str | None:
    with suppress(AttributeError, TypeError):  # what is not of scikit-learn has no tags
        kind: str | None = get_tags(estimator).estimator_type
        return kind
    return None


def _reversed(inner: Any, why: str) -> None:
    raise ParameterError(
        f"{_EXPECTED} whose higher scores are more normal, as scikit-learn's are. Those of {type(inner).__name__} seem "
        f"to be the other way round: {why}. {_REMEDY}"
    )
