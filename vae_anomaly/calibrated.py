"""Any outlier detector with a threshold in the operator's units, set on rows that the detector has not seen."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import Tags, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.validation import check_is_fitted

from vae_anomaly._adapters import check_scores_rows, normality
from vae_anomaly._alerts import ranked_alerts
from vae_anomaly._calibration_file import KeptInModelFile
from vae_anomaly._explaining_calibrated import ExplainedByEstimator
from vae_anomaly._found import FoundByCalibration
from vae_anomaly._held_out import HeldOut, fit_arguments, of_fitted, of_splits, seeded
from vae_anomaly._params import Instance, Number, OneOf, check_params
from vae_anomaly._splits import Beside, Splitter, calibration_rows, described, splits
from vae_anomaly._wishes import (
    RuleOrNone,
    check_needs,
    columns_beside,
    in_memory,
    rehearse,
    scored,
    usual_rule,
    whole_groups,
)
from vae_anomaly.decision.calibration import Calibration, ThresholdRule
from vae_anomaly.decision.calibration_rows import CalibrationRows
from vae_anomaly.decision.segments import calibrate_segments
from vae_anomaly.errors import TableError

_TRUST = "that the detector has not learnt from the calibration rows is taken on trust"

_PARAMS = {
    "rule": (RuleOrNone(),),
    "cv": (Number(0, 1, open_low=True, open_high=True), Number(2, integer=True), Splitter(), OneOf(("prefit",))),
    "assumed_contamination": (Number(0, 0.5), OneOf((None,))),
    "use_y": (OneOf((True, False)),),
    "min_segment_rows": (Number(1, integer=True),),
    "random_state": (
        Number(0, 2**32 - 1, integer=True),
        Instance((np.random.RandomState,), "a RandomState"),
        OneOf((None,)),
    ),
}


class CalibratedDetector(FoundByCalibration, ExplainedByEstimator, KeptInModelFile, OutlierMixin, BaseEstimator):
    """Outlier detector whose threshold keeps to a wish, such as a false-alarm rate or a number of alerts a day.

    The detector learns from one part of the rows, and the threshold is set on the other. Any outlier detector with
    scikit-learn's API will do, a pipeline that ends in one included. It never gets labels.

    Parameters
    ----------
    estimator : outlier detector or None, default=None
        With `score_samples`, or `decision_function`, for rows that it has not seen. None: `VAEDetector()`.
    rule : ThresholdRule or None, default=None
        What is wished for. None: ``FalseAlarmRate(0.01)``, at most one normal row in 100 at 95 % confidence; with fewer
        than the 299 calibration rows that this takes, the lowest rate that they bear out, and a warning that names it.
    cv : float, int, splitter or "prefit", default=0.25
        Rows to calibrate on. A share in (0, 1) is held out: at random, in whole groups where `split_groups` are given,
        or the latest rows where `time` is. With a number of folds, 2 or more, each fold is scored by a detector that
        learnt from the others (from earlier rows where `time` is given) and the detector in use learns from all rows:
        for small tables, and approximate; scores that depend on the number of rows, as a OneClassSVM's do, are refused.
        A splitter of scikit-learn holds out one part or several in the same way, `TimeOrderedSplit` with a delay of the
        labels, by `time` or a column. "prefit": `estimator` is fitted and every row calibrates.
    assumed_contamination : float in [0, 0.5] or None, default=None
        Share of anomalies assumed among calibration rows without labels, by which `FalseAlarmRate` allows so many more
        alerts. None: not known. Leave it so unless the ranking is nearly perfect: it is a bet that every anomaly scores
        above the threshold, and where some don't, as of most frauds, normal rows alert in their place. Labels of a few
        hundred rows do better. (scikit-learn's `contamination` is a share to flag; here that is the rule
        ``Contamination(share)``.)
    use_y : bool, default=False
        Let the `y` of `fit` tell normal rows from anomalies in the calibration even if `rule` can do without.
    min_segment_rows : int, default=200
        Calibration rows from which a segment of `groups` has a threshold of its own. The rows of the others, the rest,
        have one together, for which the smallest segments join them where they are too few.
    random_state : int, RandomState or None, default=0
        Seed of the splits, and of a detector that has none of its own. Unlike elsewhere in scikit-learn the default is
        a fixed seed, so that two fits on the same rows agree.

    Attributes
    ----------
    estimator_ : object
        The fitted detector in use.
    rule_ : ThresholdRule
        The rule in use.
    calibration_ : Calibration
        What the rule made of the calibration rows.
    calibration_rows_ : ndarray of int
        Positions in `fit` of the rows that were held out, and calibrated on until `recalibrate`; a file has none.
    report_ : Guarantee
        What is guaranteed, on how many rows, with its interval, and what is assumed. Print it.
    threshold_ : float
        Anomaly score above which a row alerts that is scored without `groups`: of all rows together. Not there for a
        rule that decides by the batch, such as `DiscoveryRate`.
    segment_thresholds_ : dict of str to float
        Threshold of each segment that has one of its own.
    rest_threshold_ : float
        That of the rows in other segments, small, unseen and missing ones; `threshold_` where no segment has one.
    offset_ : float
        ``-threshold_``: without `groups`, ``decision_function(X) = score_samples(X) - offset_``.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, where `X` had any.

    See Also
    --------
    PyODAdapter : Makes a detector of PyOD usable here.
    sklearn.model_selection.TunedThresholdClassifierCV : The same idea for classifiers; it refuses outlier detectors.

    Notes
    -----
    A guarantee holds for rows like the calibration rows. Preprocessing that learns from rows belongs into `estimator`,
    as a pipeline: in front of this one it would see the calibration rows.

    For `GridSearchCV`, score the ranking: a search by labels takes ``scoring=lambda fitted, X, y:
    average_precision_score(y, fitted.anomaly_score(X))``. The name ``scoring="average_precision"`` would measure the
    reverse, by `decision_function`, which is lower for anomalies. The detectors learn without `y` all the same. Without
    metadata routing, the `groups` of ``GridSearchCV.fit(X, y, groups=...)`` go to its splitter and not to this
    detector, and other arguments to every `fit`.

    With metadata routing (``sklearn.set_config(enable_metadata_routing=True)``) `groups`, `split_groups`, `amount` and
    `time` can be requested by ``set_fit_request``, `groups` also by ``set_predict_request``, and further arguments of
    `fit` go to the detector if it requests them.

    Papadopoulos et al. (2002), "Inductive confidence machines for regression", for the split; Vovk (2015),
    "Cross-conformal predictors", for cross-fitting, less its last step: the detector in use learns from all rows.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import IsolationForest
    >>> from vae_anomaly import CalibratedDetector, Contamination, FalseAlarmRate
    >>> X = np.random.default_rng(0).normal(size=(4_000, 3))
    >>> detector = CalibratedDetector(IsolationForest(random_state=0), FalseAlarmRate(0.01)).fit(X)
    >>> new = np.random.default_rng(1).normal(size=(10_000, 3))
    >>> bool((detector.predict(new) == -1).mean() <= 0.01)
    True
    >>> detector.predict([[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]]), detector.risk_score([[0.0, 0.0, 0.0]]).round()
    (array([ 1, -1]), array([4.]))

    The threshold changes without another fit:

    >>> detector = detector.recalibrate(new, rule=Contamination(0.05))
    >>> detector.alerts(new).shape
    (500, 5)
    """

    calibration_rows_: NDArray[np.intp]

    def __init__(
        self,
        estimator: Any = None,
        rule: ThresholdRule | None = None,
        *,
        cv: Any = 0.25,
        assumed_contamination: float | None = None,
        use_y: bool = False,
        min_segment_rows: int = 200,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.estimator = estimator
        self.rule = rule
        self.cv = cv
        self.assumed_contamination = assumed_contamination
        self.use_y = use_y
        self.min_segment_rows = min_segment_rows
        self.random_state = random_state

    # ---------------------------------------------------------------- fitting

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        groups: Any = None,
        split_groups: Any = None,
        amount: Any = None,
        time: Any = None,
        **fit_params: Any,
    ) -> Self:
        """Let the detector learn from one part of the rows, and set the threshold on the other.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Whatever the detector takes.
        y : array-like of shape (n_samples,), optional
            1 for an anomaly, 0 for a normal row. The detector never sees it. It counts in the calibration only if the
            rule needs labels or `use_y` is set; otherwise it is ignored, as pipelines hand on whatever they were given.
        groups : array-like of shape (n_samples,), optional
            Segment of each row, such as its country: each segment with enough rows gets a threshold of its own, and the
            rest one together.
        split_groups : array-like of shape (n_samples,), optional
            Rows of one value, such as those of a card, are never parted between learning and calibrating. As they
            resemble each other, they count as one row in a bound of shares: 1 % then takes 299 cards.
        amount : array-like of shape (n_samples,), optional
            What each row is worth, for rules that weigh it.
        time : array-like of shape (n_samples,), optional
            When each row came: rules go by it, and a share or a number of folds as `cv` calibrates on later rows than
            the detector learnt from.
        **fit_params : dict
            Routed to the `fit` of the detector, where metadata routing is on.

        Returns
        -------
        self : CalibratedDetector
            Fitted. After an error, an earlier fit is as it was.

        Raises
        ------
        ParameterError
            A parameter is outside its domain, or the detector cannot score new rows or scores them the other way round.
        TableError
            The rows are too few for the rule, a column beside `X` does not fit it, or a score is NaN.
        """
        check_params("CalibratedDetector", self.get_params(deep=False), _PARAMS)
        check_scores_rows(self._unfitted())
        X = in_memory(X)
        given = {"group": groups, "amount": amount, "time": time, "contamination": self.assumed_contamination}
        columns = columns_beside(X, self._labels(y), cluster=whole_groups(split_groups, X), **given)
        check_needs(self.rule, columns)
        beside = Beside(columns.time, columns.cluster)
        named = {"groups": groups, "split_groups": split_groups, "amount": amount, "time": time}
        params = fit_arguments(self, self._unfitted(), named, fit_params)
        held_out, how = self._held_out(X, y, columns, beside, params)
        rows = scored(columns.take(held_out.rows), held_out.score)
        self._adopt(held_out.estimator, self.rule, self._calibrated(self.rule, rows, how))
        self.calibration_rows_ = held_out.rows
        return self

    def recalibrate(
        self,
        X: Any,
        y: Any = None,
        *,
        rule: ThresholdRule | None = None,
        groups: Any = None,
        split_groups: Any = None,
        amount: Any = None,
        time: Any = None,
        sample_weight: Any = None,
    ) -> Self:
        """Set the threshold again, on other rows or for another wish; the detector stays as it is, to the last bit.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows that the detector has not learnt from.
        y : array-like of shape (n_samples,), optional
            1 for an anomaly, 0 for a normal row. Given here, it counts.
        rule : ThresholdRule, optional
            What is wished for; as before if left out.
        groups, amount, time : array-like of shape (n_samples,), optional
            As in `fit`.
        split_groups : array-like of shape (n_samples,), optional
            Rows of one value, such as those of a card, resemble each other and count as one in a bound of shares.
        sample_weight : array-like of shape (n_samples,), optional
            How much each row resembles those to come, such as `recency_weights`, for covariate shift.

        Returns
        -------
        self : CalibratedDetector
            With the new threshold. After an error it is as it was.

        Raises
        ------
        ParameterError
            The rule is none.
        TableError
            As in `fit`.
        """
        check_is_fitted(self)
        rule = self._wish if rule is None else rule
        check_params("CalibratedDetector.recalibrate", {"rule": rule}, {"rule": _PARAMS["rule"]})
        X = in_memory(X)
        given = {"group": groups, "amount": amount, "time": time, "contamination": self.assumed_contamination}
        columns = columns_beside(X, y, weight=sample_weight, cluster=whole_groups(split_groups, X), **given)
        check_needs(rule, columns)
        self._adopt(self.estimator_, rule, self._calibrated(rule, scored(columns, self.anomaly_score(X)), _TRUST))
        return self

    def fit_predict(self, X: Any, y: Any = None, **params: Any) -> NDArray[np.int64]:
        """Fit, and flag the same rows.

        Parameters
        ----------
        X, y, **params
            As in `fit`; `groups` serve for both.

        Returns
        -------
        flags : ndarray of shape (n_samples,)
            -1 for alerts, 1 for the others. The rows that the detector learnt from are among them.
        """
        return self.fit(X, y, **params).predict(X, groups=params.get("groups"))

    # ---------------------------------------------------------------- scoring

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """Score rows: higher is more normal.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the columns of `fit`.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Those of the detector, in its own unit.

        Raises
        ------
        TableError
            A score is NaN.
        """
        check_is_fitted(self)
        return normality(self.estimator_, X)

    def anomaly_score(self, X: Any) -> NDArray[np.float64]:
        """Score rows the other way round: higher is more anomalous.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the columns of `fit`.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            ``-score_samples(X)``; a row alerts where it is above the threshold.
        """
        return -self.score_samples(X)

    def decision_function(self, X: Any, groups: Any = None) -> NDArray[np.float64]:
        """Distance from the threshold: negative for alerts.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the columns of `fit`. For a rule that decides by the batch, the rows of a whole period.
        groups : array-like of shape (n_samples,), optional
            Segment of each row: small, unseen and missing ones have the threshold of the rest. Without `groups` that of
            all rows holds.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            ``score_samples(X) - offset_``; with `groups`, ``-segment_thresholds_[segment]`` or ``-rest_threshold_`` in
            place of `offset_`. For a rule that decides by the batch, ``score_samples`` less that of
            the most anomalous row in the batch that does not alert.
        """
        return -self._fitted.margin(self.anomaly_score(X), groups) + 0.0  # + 0.0 makes -0.0 0.0

    def predict(self, X: Any, groups: Any = None) -> NDArray[np.int64]:
        """Flag the rows that alert.

        Parameters
        ----------
        X, groups
            As in `decision_function`.

        Returns
        -------
        flags : ndarray of shape (n_samples,)
            -1 for alerts, 1 for the others.
        """
        return np.where(self._fitted.alerts(self.anomaly_score(X), groups), -1, 1)

    def p_value(self, X: Any, groups: Any = None) -> NDArray[np.float64]:
        """How rare a row is: share of the calibration rows that score as high, its own place counted.

        Parameters
        ----------
        X, groups
            As in `decision_function`.

        Returns
        -------
        p : ndarray of shape (n_samples,)
            Conformal p-values in (0, 1]: of normal rows at most a share p has a p-value of p or less.
        """
        return self._fitted.p_value(self.anomaly_score(X), groups)

    def risk_score(self, X: Any, groups: Any = None) -> NDArray[np.float64]:
        """The p-value in points: 250 for each factor of ten, from 0 to 1000.

        Parameters
        ----------
        X, groups
            As in `decision_function`.

        Returns
        -------
        points : ndarray of shape (n_samples,)
            500 where 1 normal row in 100 scores as high, 750 for 1 in 1,000, 1000 for 1 in 10,000 or fewer.
        """
        return self._fitted.risk_score(self.anomaly_score(X), groups)

    def alerts(self, X: Any, groups: Any = None) -> pd.DataFrame:
        """The rows that alert, the furthest above its threshold first.

        Parameters
        ----------
        X, groups
            As in `decision_function`.

        Returns
        -------
        alerts : DataFrame of shape (n_alerts, 5 or 6)
            `row` (position in `X`), `group` where `groups` are given, `anomaly_score`, `threshold`, `p_value` and
            `risk_score`. Indexed like `X` if that is a pandas frame. Rows that tie are in the order of `X`.
        """
        return ranked_alerts(self._fitted, X, self.anomaly_score(X), groups)

    # ---------------------------------------------------------------- scikit-learn

    def get_metadata_routing(self) -> MetadataRouter:
        """Metadata that `fit` and `predict` take themselves, and those that go to the detector.

        Returns
        -------
        routing : MetadataRouter
            See scikit-learn's user guide.
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        router: MetadataRouter = MetadataRouter(owner=self).add_self_request(self)
        return router.add(estimator=self._unfitted(), method_mapping=mapping)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        with suppress(AttributeError, TypeError, ValueError):  # a detector that is not of scikit-learn has no tags
            inner = get_tags(self._unfitted())
            tags.input_tags, tags.non_deterministic = deepcopy(inner.input_tags), inner.non_deterministic
        return tags

    # ---------------------------------------------------------------- the parts of a fit

    @property
    def _fitted(self) -> Calibration:
        check_is_fitted(self)
        return self.calibration_

    def _unfitted(self) -> Any:
        if self.estimator is not None:
            return self.estimator
        from vae_anomaly.detector import VAEDetector  # torch is for those who use it

        return VAEDetector()

    def _labels(self, y: Any) -> Any:
        """`y` if it is to be used; pipelines hand on whatever they were given."""
        if self.use_y and y is None:
            raise TableError("use_y=True needs labels: found none. Give y, or leave use_y out.")
        return y if self.use_y or (self.rule is not None and "y" in self.rule.needs) else None

    def _held_out(self, X: Any, y: Any, columns: CalibrationRows, beside: Beside, params: Any) -> tuple[HeldOut, str]:
        """Scores of the calibration rows, and how they were had."""
        if isinstance(self.cv, str):
            return of_fitted(self._unfitted(), X), _TRUST
        parts = splits(self.cv, X, y, len(columns), beside, self.random_state)
        rehearse(self.rule, columns, calibration_rows(parts))
        held_out = of_splits(seeded(self._unfitted(), self.random_state), X, parts, params)
        return held_out, described(parts, len(columns), beside, self.cv)

    def _calibrated(self, rule: ThresholdRule | None, rows: CalibrationRows, remark: str) -> Calibration:
        calibration = calibrate_segments(usual_rule(rows) if rule is None else rule, rows, self.min_segment_rows)
        return replace(calibration, guarantee=calibration.guarantee.with_remarks(remark))
