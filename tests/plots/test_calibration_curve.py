"""Calibration curves: the line is the share of p-values, and the band holds as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from scipy.stats import binom
from sklearn.ensemble import IsolationForest

from vae_anomaly import CalibratedDetector, DiscoveryRate, FalseAlarmRate, ParameterError, TableError
from vae_anomaly.decision.conformal import conformal_p_values
from vae_anomaly.plots import CalibrationCurveDisplay

LEVELS = np.array([0.002, 0.01, 0.05, 0.3, 1.0])


def from_predictions(p_value, *given, **named):
    plt.close("all")
    return CalibrationCurveDisplay.from_predictions(p_value, *given, **named)


def test_the_line_is_the_share_of_rows_up_to_each_p_value():
    p_value = np.round(np.random.default_rng(0).uniform(size=3_000), 3)
    display = from_predictions(p_value)
    x, y = display.line_.get_data()
    assert y == pytest.approx([(p_value <= level).mean() for level in x])
    assert (np.diff(x) >= 0).all()
    assert (x[-1], y[-1]) == (1, 1)
    assert display.share(0.05) == (p_value <= 0.05).mean()


def test_anomalies_are_left_out_if_they_are_known():
    rng = np.random.default_rng(0)
    normal, anomalies = rng.uniform(size=500), rng.uniform(0, 0.01, 50)
    both, y = np.append(normal, anomalies), np.repeat([0, 1], [500, 50])
    with_labels, alone = from_predictions(both, y), from_predictions(normal)
    assert (with_labels.line_.get_xydata() == alone.line_.get_xydata()).all()
    assert from_predictions(both).share(0.01) > alone.share(0.01)
    assert with_labels.ax_.get_ylabel() == "observed share of the normal rows"


def test_the_band_has_as_many_counts_as_it_says():
    low, high = from_predictions(np.linspace(0.01, 1, 400)).band(LEVELS)
    within = binom.cdf(np.round(high * 400), 400, LEVELS) - binom.cdf(np.round(low * 400) - 1, 400, LEVELS)
    assert (within >= 0.95).all()
    assert ((low <= LEVELS) & (high >= np.minimum(LEVELS, 1 - 1e-12))).all()


def test_the_band_with_calibration_rows_holds_over_calibrations_and_that_without_does_not():
    rng = np.random.default_rng(3)
    n_calibration, n_rows, n_times = 200, 1_000, 600
    display = from_predictions(np.linspace(0.01, 1, n_rows), n_calibration=n_calibration)
    without = from_predictions(np.linspace(0.01, 1, n_rows))
    share = np.empty((n_times, len(LEVELS)))
    for i in range(n_times):
        p_value = conformal_p_values(rng.normal(size=n_calibration), rng.normal(size=n_rows))
        share[i] = [(p_value <= level).mean() for level in LEVELS]

    def held(of):
        low, high = of.band(LEVELS)
        return ((share >= low - 1e-12) & (share <= high + 1e-12)).mean(axis=0)

    assert (held(display) >= 0.925).all()
    assert held(without)[2] < 0.8
    assert display.band(LEVELS)[1][0] == 0  # 200 rows give no p-value as small as that
    assert [bound[-1] for bound in display.band(LEVELS)] == [1, 1]


def detector_and_rows(rule):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(3_000, 2))
    forest = IsolationForest(n_estimators=20, random_state=0)
    return CalibratedDetector(forest, rule).fit(X[:1_500]), X[1_500:]


def test_the_threshold_of_a_detector_is_where_its_alerts_are():
    detector, X = detector_and_rows(FalseAlarmRate(0.02))
    display = CalibrationCurveDisplay.from_estimator(detector, X)
    ((level, share),) = display.dots_.get_xydata()
    assert share == pytest.approx((detector.predict(X) == -1).mean())
    assert level == pytest.approx(display.levels["FalseAlarmRate"])
    assert display.n_calibration == len(detector.calibration_.score)
    low, high = display.band(np.array([level]))
    assert low <= share <= high
    assert list(CalibrationCurveDisplay.from_estimator(detector, X, X[:, 0] > 2).levels) == ["FalseAlarmRate"]


def test_a_rule_that_decides_by_the_batch_has_no_level():
    detector, X = detector_and_rows(DiscoveryRate(0.1))
    assert CalibrationCurveDisplay.from_estimator(detector, X).levels == {}


def test_segments_have_p_values_of_their_own():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(3_000, 2))
    group = np.where(np.arange(3_000) % 2, "web", "shop")
    forest = IsolationForest(n_estimators=20, random_state=0)
    detector = CalibratedDetector(forest, FalseAlarmRate(0.02), min_segment_rows=100).fit(
        X[:1_500], groups=group[:1_500]
    )
    display = CalibrationCurveDisplay.from_estimator(detector, X[1_500:], groups=group[1_500:])
    assert (display.p_value == np.sort(detector.p_value(X[1_500:], groups=group[1_500:]))).all()
    assert (display.levels, display.n_calibration) == ({}, None)


def test_a_detector_without_calibration_is_refused():
    X = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(ParameterError, match=r"fitted CalibratedDetector.*Got IsolationForest"):
        CalibrationCurveDisplay.from_estimator(IsolationForest(n_estimators=5).fit(X), X)
    assert not plt.get_fignums()


@pytest.mark.parametrize("p_value", [[1.0], [0.0, 0.0], [1e-300, 1.0], np.ones(50), np.full(50, 0.01)], ids=repr)
@pytest.mark.parametrize("n_calibration", [None, 1, 99])
def test_awkward_p_values_are_drawn(p_value, n_calibration):
    _, ax = plt.subplots(figsize=(4, 3), layout="constrained")
    levels = {"a": 1.0, "$ and $ 📱": 1e-6, "x" * 200: 0.5}
    display = CalibrationCurveDisplay.from_predictions(p_value, levels=levels, n_calibration=n_calibration, ax=ax)
    ax.figure.canvas.draw()
    assert display.line_.get_ydata()[-1] == 1


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"p_value": []}, TableError, "at least one row"),
        ({"p_value": [0.5], "y": [1]}, TableError, "labelled 0"),
        ({"p_value": [0.5, 1.5]}, TableError, r"lie in \[0, 1\]"),
        ({"p_value": [np.nan]}, TableError, "NaN at row 0"),
        ({"p_value": [0.5], "y": [0, 1]}, TableError, "one entry for each"),
        ({"p_value": [0.5], "levels": {"a": 0.0}}, ParameterError, "A level must be"),
        ({"p_value": [0.5], "n_calibration": 0}, ParameterError, "'n_calibration' parameter"),
    ],
)
def test_p_values_that_cannot_be_drawn_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        CalibrationCurveDisplay.from_predictions(**given)
    assert not plt.get_fignums()


def test_many_rows_are_thinned_and_still_on_the_curve():
    p_value = np.random.default_rng(0).uniform(size=200_000)
    display = from_predictions(p_value)
    x, y = display.line_.get_data()
    assert len(x) <= 2_001
    assert y[::50] == pytest.approx([(p_value <= level).mean() for level in x[::50]])
