"""Thresholds within scikit-learn: its checks, routing and pipelines, and detectors of the other direction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from vae_anomaly import (
    CalibratedDetector,
    Contamination,
    DiscoveryRate,
    FalseAlarmRate,
    ParameterError,
    PyODAdapter,
    TableError,
    VAEDetector,
)

TINY = {"n_members": 2, "hidden": (16,), "latent": 2, "max_steps": 16, "batch_size": 16}
FOREST = IsolationForest(n_estimators=20)

BY_THE_BATCH = {
    "check_methods_subset_invariance": "whether a row alerts depends on the rows that are judged with it",
    "check_outliers_fit_predict": "rows like those that it was calibrated on make no discovery",
    "check_outliers_train": "rows like those that it was calibrated on make no discovery, and there is no offset_",
}


def normal_rows(n_rows=1_000, seed=0, n_columns=3):
    return np.random.default_rng(seed).normal(size=(n_rows, n_columns))


# ---------------------------------------------------------------- scikit-learn's checks


def excepted(estimator):
    return BY_THE_BATCH if isinstance(estimator.rule, DiscoveryRate) else {}


@pytest.mark.filterwarnings("ignore::vae_anomaly.errors.VaeAnomalyWarning")
@parametrize_with_checks(
    [
        CalibratedDetector(FOREST),
        CalibratedDetector(FOREST, Contamination(0.3), cv=3),
        CalibratedDetector(FOREST, DiscoveryRate(0.3), cv=3),
        CalibratedDetector(make_pipeline(StandardScaler(), OneClassSVM()), FalseAlarmRate(0.5, 0.5)),
        CalibratedDetector(VAEDetector(**TINY), Contamination(0.3), cv=2),
    ],
    expected_failed_checks=excepted,
)
def test_checks(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore::vae_anomaly.errors.VaeAnomalyWarning")
@pytest.mark.parametrize("name", BY_THE_BATCH)
def test_no_check_is_excepted_that_would_pass(name):
    estimator = CalibratedDetector(FOREST, DiscoveryRate(0.3), cv=3)
    checks = [check for instance, check in estimator_checks_generator(estimator) if check.func.__name__ == name]
    assert checks
    for check in checks:
        with pytest.raises(AssertionError):
            check(clone(estimator))


def test_the_tags_are_those_of_the_detector():
    assert get_tags(CalibratedDetector(VAEDetector())).input_tags.allow_nan
    assert get_tags(CalibratedDetector(FOREST)).input_tags == get_tags(FOREST).input_tags
    assert get_tags(CalibratedDetector()).estimator_type == "outlier_detector"
    assert get_tags(CalibratedDetector(object())).estimator_type == "outlier_detector"  # refused in fit, not before


# ---------------------------------------------------------------- pipelines and metadata


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_metadata_reaches_the_threshold_through_a_pipeline(routing):
    rng = np.random.default_rng(0)
    country = rng.choice(["DE", "FR"], size=4_000)
    X = rng.normal(size=(4_000, 2)) * np.where(country == "FR", 3.0, 1.0)[:, None]
    time = np.datetime64("2026-01-01") + np.arange(4_000)
    detector = CalibratedDetector(FOREST, FalseAlarmRate(0.05))
    detector.set_fit_request(groups=True, time="when", amount=True, split_groups=False)
    detector.set_predict_request(groups=True)
    detector.set_decision_function_request(groups="segment")
    pipeline = make_pipeline(StandardScaler(), detector).fit(X, groups=country, when=time, amount=np.ones(4_000))
    fitted = pipeline[-1]
    assert set(fitted.segment_thresholds_) == {"DE", "FR"}
    np.testing.assert_array_equal(fitted.calibration_rows_, np.arange(3_000, 4_000))  # the latest
    scaled = pipeline[:-1].transform(X)
    np.testing.assert_array_equal(pipeline.predict(X, groups=country), fitted.predict(scaled, country))
    decision = pipeline.decision_function(X, segment=country)
    np.testing.assert_array_equal(decision, fitted.decision_function(scaled, country))
    assert (decision != pipeline.decision_function(X)).any()
    both = clone(pipeline).fit_predict(X, groups=country, when=time)
    np.testing.assert_array_equal(both, pipeline.predict(X, groups=country))


def test_what_nobody_asked_for_is_refused(routing):
    detector = CalibratedDetector(FOREST).fit(normal_rows(1_500), groups=["x"] * 1_500)  # its own go without a request
    assert set(detector.segment_thresholds_) == {"x"}
    with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        CalibratedDetector(OneClassSVM()).fit(normal_rows(1_500), sample_weight=np.ones(1_500))
    with pytest.raises(UnsetMetadataPassedError, match="groups"):
        make_pipeline(CalibratedDetector(FOREST)).fit(normal_rows(1_500), groups=["x"] * 1_500)


def test_arguments_of_the_detector_are_cut_to_its_rows(routing):
    class Weighted(OneClassSVM):
        def fit(self, X, y=None, sample_weight=None, time=None):
            assert y is None
            np.testing.assert_array_equal(sample_weight, X[:, 0] + 1)
            assert (time is None) == (not self.shrinking)
            if time is not None:
                np.testing.assert_array_equal(time, X[:, 0].astype("datetime64[D]"))
            return super().fit(X, sample_weight=sample_weight)

    X = np.column_stack([np.random.default_rng(0).permutation(1_500), np.ones(1_500)]).astype(float)
    beside = {"time": X[:, 0].astype("datetime64[D]"), "sample_weight": X[:, 0] + 1}
    inner = Weighted(shrinking=False).set_fit_request(sample_weight=True, time=False)
    for cv in (0.25, ShuffleSplit(1, random_state=0)):
        CalibratedDetector(inner, cv=cv, rule=Contamination(0.1)).fit(X, **beside)
    inner = Weighted().set_fit_request(sample_weight=True, time=True)
    CalibratedDetector(inner).fit(X, **beside)


def test_without_routing_other_arguments_are_refused():
    with pytest.raises(ValueError, match="enable_metadata_routing=True"):
        CalibratedDetector(FOREST).fit(normal_rows(400), sample_weight=np.ones(400))


def test_frames_go_from_step_to_step_around_and_within_it():
    X = pd.DataFrame(normal_rows(1_500), columns=["a", "b", "c"])
    inside = make_pipeline(StandardScaler(), FOREST).set_output(transform="pandas")
    detector = CalibratedDetector(inside, random_state=3).fit(X)
    assert detector.estimator_[-1].feature_names_in_.tolist() == ["a", "b", "c"]
    outside = make_pipeline(StandardScaler(), CalibratedDetector(FOREST, random_state=3)).set_output(transform="pandas")
    assert outside.fit(X)[-1].feature_names_in_.tolist() == ["a", "b", "c"]
    assert outside.predict(X).shape == (1_500,)


def test_it_is_shown_with_the_detector_in_it():
    assert "IsolationForest" in CalibratedDetector(FOREST)._repr_html_()
    assert "FalseAlarmRate(alpha=0.01" in repr(CalibratedDetector(FOREST, FalseAlarmRate(0.01)))


# ---------------------------------------------------------------- the other direction


class HigherIsWorse(OutlierMixin, BaseEstimator):
    """A detector whose scores are anomaly scores, with as much or little beside them as `shows` says."""

    def __init__(self, shows="flags"):
        self.shows = shows

    def fit(self, X, y=None):
        self.mean_ = np.mean(X, axis=0)
        if self.shows == "attributes":
            self.decision_scores_ = self.score_samples(X)
        return self

    def score_samples(self, X):
        return np.linalg.norm(X - self.mean_, axis=1)

    def predict(self, X):
        worse = self.score_samples(X) > 2.5
        if self.shows == "zero and one":
            return worse.astype(int)
        return np.where(worse & (self.shows == "flags"), -1, 1)

    def decision_function(self, X):
        return (2.5 - self.score_samples(X)) if self.shows == "decision" else self.score_samples(X)


WRAPPED = {
    "itself": lambda detector: detector,
    "pipeline": lambda detector: make_pipeline(StandardScaler(), detector),
    "nested": lambda detector: make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), detector)),
    "search": lambda detector: GridSearchCV(detector, {}, scoring=lambda fitted, X, y=None: 0.0, cv=2),
    "frozen": lambda detector: FrozenEstimator(clone(detector).fit(normal_rows(seed=1))),
}


@pytest.mark.parametrize("cv", [0.5, 3, "prefit"])
@pytest.mark.parametrize("wrapped", WRAPPED)
@pytest.mark.parametrize(
    ("shows", "why"),
    [
        ("attributes", "it has 'decision_scores_'"),
        ("zero and one", r"its predict gives \[0, 1\], not -1"),
        ("flags", "the rows that its predict flags score higher"),
        ("decision", "its decision_function falls where its score_samples rises"),
    ],
)
def test_a_detector_of_the_other_direction_is_refused_with_how_to_wrap_it(shows, why, wrapped, cv):
    inner = WRAPPED[wrapped](HigherIsWorse(shows))
    X = normal_rows()
    if cv == "prefit":
        inner.fit(X, None)
    with pytest.raises(ParameterError, match=rf"Those of HigherIsWorse .*{why}.*PyODAdapter\(detector\)"):
        CalibratedDetector(inner, FalseAlarmRate(0.05), cv=cv).fit(X)


def test_a_density_may_number_its_parts_and_needs_no_flags():
    X = normal_rows()
    detector = CalibratedDetector(KernelDensity(), FalseAlarmRate(0.05)).fit(X)
    assert detector.predict([[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]]).tolist() == [1, -1]


class LikePyOD(BaseEstimator):
    """PyOD's convention, and no more of scikit-learn than it has."""

    def __init__(self, contamination=0.1):
        self.contamination = contamination

    def fit(self, X, y=None):
        assert y is None
        self.mean_ = X.mean(axis=0)
        self.decision_scores_ = self.decision_function(X)
        self.threshold_ = np.quantile(self.decision_scores_, 1 - self.contamination)
        self.labels_ = (self.decision_scores_ > self.threshold_).astype(int)
        return self

    def decision_function(self, X):
        return np.linalg.norm(X - self.mean_, axis=1)

    def predict(self, X):
        return (self.decision_function(X) > self.threshold_).astype(int)


@parametrize_with_checks([PyODAdapter(LikePyOD())])
def test_checks_of_the_adapter(estimator, check):
    check(estimator)


def test_the_adapter_turns_the_direction_and_nothing_else():
    X = normal_rows()
    adapted = PyODAdapter(LikePyOD()).fit(X)
    np.testing.assert_array_equal(adapted.score_samples(X), -adapted.detector_.decision_function(X))
    np.testing.assert_array_equal(adapted.predict(X) == -1, adapted.detector_.predict(X) == 1)
    np.testing.assert_array_equal(adapted.decision_function(X), adapted.score_samples(X) - adapted.offset_)
    prefit = PyODAdapter(LikePyOD().fit(X))
    detector = CalibratedDetector(prefit, FalseAlarmRate(0.05), cv="prefit").fit(normal_rows(seed=1))
    np.testing.assert_array_equal(detector.score_samples(X), adapted.score_samples(X))
    with pytest.raises(
        ParameterError, match=r"must be a detector with a 'threshold_' after its fit.*Got StandardScaler"
    ):
        PyODAdapter(StandardScaler()).fit(X)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("module", ["iforest.IForest", "ecod.ECOD"])
def test_detectors_of_pyod_are_refused_as_they_are_and_kept_to_the_rate_in_the_adapter(module):
    pytest.importorskip("pyod")
    home, _, name = module.rpartition(".")
    pyod_class = getattr(pytest.importorskip(f"pyod.models.{home}"), name)
    X, fresh = normal_rows(3_000), normal_rows(5_000, seed=1)
    with pytest.raises(ParameterError, match=rf"Those of {name} .*PyODAdapter"):
        CalibratedDetector(pyod_class(), FalseAlarmRate(0.05)).fit(X)
    detector = CalibratedDetector(PyODAdapter(pyod_class()), FalseAlarmRate(0.05)).fit(X)
    assert 0.02 < (detector.predict(fresh) == -1).mean() <= 0.05
    np.testing.assert_array_equal(detector.anomaly_score(fresh), detector.estimator_.detector_.decision_function(fresh))
    if name == "IForest":  # its own parameters can be searched, and its seed is set
        search = GridSearchCV(
            CalibratedDetector(PyODAdapter(pyod_class())),
            {"estimator__detector__max_samples": [8, 64]},
            scoring=lambda fitted, X, y=None: float(fitted.estimator.detector.max_samples),
        ).fit(X)
        assert search.best_estimator_.estimator_.detector_.max_samples == 64
        again = clone(search.best_estimator_).fit(X)
        np.testing.assert_array_equal(again.score_samples(fresh), search.best_estimator_.score_samples(fresh))


def test_scores_that_are_not_one_a_row_are_refused():
    class Wide(HigherIsWorse):
        def score_samples(self, X):
            return np.ones((len(X), 2))

    with pytest.raises(TableError, match=r"Wide must give one score a row: found an array of shape \(250, 2\)"):
        CalibratedDetector(Wide(), FalseAlarmRate(0.05)).fit(normal_rows())
