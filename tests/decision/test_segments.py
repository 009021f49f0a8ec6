import numpy as np
import pytest
from scipy.stats import binom, norm

from vae_anomaly.decision.segments import calibrate_segments
from vae_anomaly.decision.thresholds import (
    AlertBudget,
    CalibrationRows,
    Contamination,
    DiscoveryRate,
    FalseAlarmRate,
    RecallAt,
)
from vae_anomaly.errors import ParameterError, TableError

LOCATION = {"DE": 0.0, "FR": 2.0, "web": -5.0}


def segmented(rng, n):
    group = rng.choice(list(LOCATION), n, p=[0.5, 0.3, 0.2])
    return rng.normal(size=n) + np.array([LOCATION[name] for name in group]), group


def test_the_false_alarm_rate_holds_in_each_segment():
    rng = np.random.default_rng(0)
    rule, truth = FalseAlarmRate(0.02), {name: [] for name in LOCATION}
    pooled = []
    for _ in range(500):
        score, group = segmented(rng, 2_000)
        calibration = calibrate_segments(rule, CalibrationRows.from_arrays(score, group=group))
        found = calibration.thresholds(np.zeros(3), list(LOCATION))
        for name, threshold in zip(LOCATION, found, strict=True):
            truth[name].append(norm.sf(threshold - LOCATION[name]))
        pooled.append(norm.sf(calibration.threshold - LOCATION["FR"]))
    for rates in truth.values():
        assert (np.array(rates) > 0.02).sum() <= binom.ppf(1 - 1e-4, 500, 0.05)
    assert np.mean(pooled) > 0.03  # which one threshold for all does not


def test_each_segment_is_calibrated_as_if_it_were_alone():
    score, group = segmented(np.random.default_rng(1), 3_000)
    for rule in (FalseAlarmRate(0.02), Contamination(0.05), DiscoveryRate(0.1)):
        calibration = calibrate_segments(rule, CalibrationRows.from_arrays(score, group=group))
        judged, of = segmented(np.random.default_rng(2), 500)
        for name in LOCATION:
            alone = rule.calibrate(CalibrationRows.from_arrays(score[group == name]))
            np.testing.assert_array_equal(
                calibration.p_value(judged, of)[of == name], alone.p_value(judged[of == name])
            )
            if alone.threshold is not None:
                assert (calibration.thresholds(judged, of)[of == name] == alone.threshold).all()
        np.testing.assert_array_equal(calibration.alerts(judged, of), calibration.margin(judged, of) > 0)


def test_a_batch_is_stepped_up_over_all_its_segments():
    score, group = segmented(np.random.default_rng(3), 3_000)
    calibration = calibrate_segments(DiscoveryRate(0.1), CalibrationRows.from_arrays(score, group=group))
    judged, of = segmented(np.random.default_rng(4), 300)
    judged[:20] += 5
    expected = calibration.rule.rejects(calibration.p_value(judged, of))
    assert expected.any()
    np.testing.assert_array_equal(calibration.alerts(judged, of), expected)


def test_small_unseen_and_missing_segments_have_the_pooled_threshold():
    rng = np.random.default_rng(5)
    score, group = segmented(rng, 2_000)
    group = group.astype(object)
    group[:50], group[50:80] = "rare", None
    calibration = calibrate_segments(FalseAlarmRate(0.02), CalibrationRows.from_arrays(score, group=group), 100)
    assert list(calibration.segments) == sorted(LOCATION)
    found = calibration.thresholds(np.zeros(3), ["rare", None, "new"])
    assert (found == calibration.threshold).all()
    assert (calibration.thresholds(np.zeros(2)) == calibration.threshold).all()
    assert "1 segment(s) with fewer than 100 rows have the pooled threshold (rare)" in str(calibration.guarantee)
    plain = FalseAlarmRate(0.02).calibrate(CalibrationRows.from_arrays(score))
    assert calibration.threshold == plain.threshold


def test_a_segment_that_the_rule_refuses_has_the_pooled_threshold_and_the_report_says_why():
    score = np.arange(1_000.0)
    group = np.repeat(["large", "small"], [700, 300])
    rows = CalibrationRows.from_arrays(score, group=group)
    calibration = calibrate_segments(FalseAlarmRate(0.005), rows)  # takes 598 rows
    assert list(calibration.segments) == ["large"]
    assert "segment 'small' has the pooled threshold, because" in str(calibration.guarantee)
    assert "found 300" in str(calibration.guarantee)
    one_class = CalibrationRows.from_arrays(score, y=score >= 900, group=group)
    assert list(calibrate_segments(RecallAt(0.5), one_class).segments) == ["small"]
    with pytest.raises(TableError, match="598"):
        calibrate_segments(FalseAlarmRate(0.005), rows.take(np.arange(500)))


def test_a_budget_is_one_for_all_segments():
    rng = np.random.default_rng(6)
    score, group = segmented(rng, 20_000)
    time = np.datetime64("2026-03-01") + np.sort(rng.integers(0, 20 * 1_440, 20_000)).astype("timedelta64[m]")
    for budget, n_all in ((AlertBudget(30), 600), (AlertBudget(30, per=1_000), 600)):
        calibration = calibrate_segments(budget, CalibrationRows.from_arrays(score, time=time, group=group))
        alerts = calibration.alerts(score, group)
        assert alerts.sum() == pytest.approx(n_all, abs=5)
        for name in LOCATION:
            assert alerts[group == name].mean() == pytest.approx(0.03, abs=0.001)


def test_rows_without_segments_and_a_floor_that_is_none():
    rows = CalibrationRows.from_arrays(np.arange(500.0))
    assert not calibrate_segments(Contamination(0.1), rows).segments
    with pytest.raises(ParameterError, match="min_rows"):
        calibrate_segments(Contamination(0.1), rows, 0)
