import numpy as np
import pytest
from scipy.stats import binom, norm

from vae_anomaly.decision.segments import calibrate_segments
from vae_anomaly.decision.stored import from_parts, to_parts
from vae_anomaly.decision.thresholds import (
    AlertBudget,
    CalibrationRows,
    Contamination,
    DiscoveryRate,
    ExpectedCost,
    FalseAlarmRate,
    PrecisionAt,
    RecallAt,
)
from vae_anomaly.errors import ParameterError, TableError

START = np.datetime64("2026-03-02T00:00:00")
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


SIZES = {"DE": 6_000, "FR": 3_000, "web": 240, **{f"small {i}": 150 for i in range(6)}}


def many_segments(seed, sizes=None, n_days=28):
    """Scores that lie higher the smaller the segment is; "FR" comes late only, and some rows have no segment."""
    rng, sizes = np.random.default_rng(seed), sizes or SIZES
    group = np.repeat(list(sizes), list(sizes.values())).astype(object)
    score = rng.gumbel(size=len(group)) - np.log([sizes[name] for name in group])
    y = rng.random(len(group)) < 0.05
    score[y] += 3.0
    first = np.where(group == "FR", 3 * n_days // 4, 0)
    time = START + (rng.uniform(first, n_days) * 86_400).astype("timedelta64[s]")
    amount = rng.lognormal(4.0, 1.0, len(group))
    group[rng.random(len(group)) < 0.01] = None
    order = np.argsort(time, kind="stable")
    columns = {"y": y, "amount": amount, "time": time, "group": group}
    return score[order], {name: column[order] for name, column in columns.items()}


def unlabelled(score, columns):
    return CalibrationRows.from_arrays(score, time=columns["time"], group=columns["group"])


@pytest.mark.parametrize("sizes", [SIZES, {"DE": 9_000, "FR": 500, "few": 30}], ids=["many", "few left"])
@pytest.mark.parametrize(
    ("rule", "share"),
    [
        (AlertBudget(20), 560),
        (AlertBudget(2, "hour"), 1_344),
        (AlertBudget(30, per=1_000), 0.03),
        (Contamination(0.02), 0.02),
    ],
    ids=repr,
)
def test_the_thresholds_of_segments_and_rest_keep_the_wish_together(rule, share, sizes):
    for seed in range(5):
        score, columns = many_segments(seed, sizes)
        rows = unlabelled(score, columns)
        calibration = calibrate_segments(rule, rows)
        asked = share * len(rows) if share < 1 else share
        n_thresholds = len(calibration.segments) + 1
        assert 2 <= n_thresholds <= 4
        n_found = int(calibration.alerts(score, rows.group).sum())
        assert asked - n_thresholds <= n_found <= asked + 1e-9 * asked
        if isinstance(rule, AlertBudget):  # it is handed out to the last alert
            assert n_found == calibration.guarantee.n_alerts
        parts = [*calibration.segments.values(), calibration.rest]
        assert sum(part.guarantee.n_rows for part in parts) == len(rows)
        n_alerts = sum(part.guarantee.n_alerts for part in parts)
        assert f"together, {n_alerts:,} of the calibration rows alert" in str(calibration.guarantee)


def test_what_labels_bear_out_holds_over_segments_and_rest_together():
    score, columns = many_segments(0)
    rows = CalibrationRows.from_arrays(score, **columns)
    for rule in (RecallAt(0.7), PrecisionAt(0.5), FalseAlarmRate(0.02), ExpectedCost("amount", 5.0)):
        calibration = calibrate_segments(rule, rows)
        assert calibration.rest is not None
        alerts, pooled = calibration.alerts(score, rows.group), calibration.alerts(score)
        if isinstance(rule, RecallAt):
            assert alerts[rows.y].mean() >= 0.7
        elif isinstance(rule, PrecisionAt):
            assert rows.y[alerts].mean() >= 0.5
        elif isinstance(rule, FalseAlarmRate):
            assert alerts[~rows.y].mean() <= 0.02
        else:
            lost = np.where(rows.y, rows.amount, 0.0)
            assert np.where(alerts, 5.0, lost).sum() <= np.where(pooled, 5.0, lost).sum()


def test_the_false_alarm_rate_holds_in_the_rest_on_fresh_rows():
    rng, rates = np.random.default_rng(0), []
    place = np.repeat([0.0, 1.0, 2.0, 3.0, 4.0], [1_000, 120, 120, 120, 120])
    group = np.where(place == 0, "large", place.astype(str))
    for _ in range(500):
        rows = CalibrationRows.from_arrays(rng.normal(size=len(place)) + place, group=group)
        calibration = calibrate_segments(FalseAlarmRate(0.02), rows)
        assert list(calibration.segments) == ["large"]
        rates.append(norm.sf(calibration.rest.threshold - np.arange(1, 5)).mean())
    assert (np.array(rates) > 0.02).sum() <= binom.ppf(1 - 1e-4, 500, 0.05)


def test_small_unseen_and_missing_segments_have_the_threshold_of_the_rest_and_no_segments_that_of_all():
    rng = np.random.default_rng(5)
    score, group = segmented(rng, 2_000)
    group = group.astype(object)
    group[:90], group[90:160] = "rare", None
    rows = CalibrationRows.from_arrays(score, group=group)
    calibration = calibrate_segments(FalseAlarmRate(0.02), rows, 150)
    assert list(calibration.segments) == sorted(LOCATION)
    rest = FalseAlarmRate(0.02).calibrate(rows.take(np.arange(160)))
    judged, names = np.linspace(-3, 3, 3), ["rare", None, "new"]
    assert (calibration.thresholds(judged, names) == rest.threshold).all()
    np.testing.assert_array_equal(calibration.p_value(judged, names), rest.p_value(judged))
    assert (calibration.thresholds(judged) == calibration.threshold).all()
    assert calibration.threshold == FalseAlarmRate(0.02).calibrate(CalibrationRows.from_arrays(score)).threshold
    report = str(calibration.guarantee)
    assert "fewer than 150 rows, and so in the rest: 1 segment (rare)" in report
    assert "without a segment, and so in the rest: 70 rows" in report
    assert "the rest     threshold" in report


def test_a_segment_that_the_rule_refuses_is_in_the_rest_and_the_report_says_why():
    score = np.arange(1_500.0)
    rows = CalibrationRows.from_arrays(score, group=np.repeat(["large", "b", "a"], [700, 400, 400]))
    calibration = calibrate_segments(FalseAlarmRate(0.005), rows)  # takes 598 rows
    assert list(calibration.segments) == ["large"]
    assert calibration.rest.guarantee.n_rows == 800
    assert "segment 'a' is in the rest, because" in str(calibration.guarantee)
    assert "found 400" in str(calibration.guarantee)
    with pytest.raises(TableError, match="598"):
        calibrate_segments(FalseAlarmRate(0.005), rows.take(np.arange(500)))


def test_the_smallest_segments_join_a_rest_that_is_too_small():
    rng = np.random.default_rng(7)
    group = np.repeat(["tiny", "s", "m", "l"], [40, 250, 1_000, 3_000])
    rows = CalibrationRows.from_arrays(rng.normal(size=len(group)), group=group)
    calibration = calibrate_segments(FalseAlarmRate(0.02), rows)
    assert list(calibration.segments) == ["l", "m"]
    assert calibration.rest.guarantee.n_rows == 290
    assert "the others being too few (40 rows, where a threshold takes 200), also in the rest: 1 segment (s)" in str(
        calibration.guarantee
    )
    larger = calibrate_segments(FalseAlarmRate(0.005), rows)  # takes 598 rows, which is more than tiny and s have
    assert list(larger.segments) == ["l"]
    alone = calibrate_segments(FalseAlarmRate(0.02), rows.take(np.arange(290)))
    assert not alone.segments
    assert alone.rest is None
    assert alone.threshold == FalseAlarmRate(0.02).calibrate(rows.take(np.arange(290))).threshold
    assert "no segment has a threshold of its own" in str(alone.guarantee)


def test_a_segment_of_which_nothing_stands_for_normal_rows_is_in_the_rest():
    rng = np.random.default_rng(8)
    score, group = rng.normal(size=1_200), np.repeat(["a", "b", "frauds", "old"], 300)
    y, weight = group == "frauds", np.where(group == "old", 0.0, 1.0)
    for rule in (Contamination(0.02), AlertBudget(5, per=100), FalseAlarmRate(0.05), DiscoveryRate(0.2)):
        calibration = calibrate_segments(rule, CalibrationRows.from_arrays(score, y=y, group=group))
        assert list(calibration.segments) == ["b", "old"]  # a has joined
        weighted = calibrate_segments(rule, CalibrationRows.from_arrays(score, weight=weight, group=group))
        assert list(weighted.segments) == ["b", "frauds"]
        assert "normal and has a weight" in str(weighted.guarantee)
        for part in (calibration, weighted):
            document, arrays = to_parts(part)
            np.testing.assert_array_equal(
                from_parts(document, arrays).p_value(score, group), part.p_value(score, group)
            )


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


@pytest.mark.parametrize("rule", [AlertBudget(20), AlertBudget(17, per=1_000)], ids=repr)
def test_a_budget_is_spent_over_many_segments_and_the_report_counts_them_all(rule):
    rng = np.random.default_rng(7)
    group = rng.integers(0, 72, 20_000)
    time = START + np.sort(rng.integers(0, 7 * 1_440, 20_000)).astype("timedelta64[m]")
    rows = CalibrationRows.from_arrays(rng.normal(size=20_000) + group, time=time, group=group)
    calibration = calibrate_segments(rule, rows)
    assert len(calibration.segments) == 72
    pooled = int(rule.calibrate(rows).alerts(rows.score).sum())
    assert calibration.alerts(rows.score, rows.group).sum() == pooled  # rounded down in each it would be 14 of 20
    name, n_asked = ("day", "19.86") if rule.per == "day" else ("1,000 rows", "17")
    assert f"together, {pooled:,} of" in str(calibration.guarantee)
    assert f": alerts per {name} {n_asked}" in str(calibration.guarantee)
    shares = {len(part.score): part.guarantee.n_alerts for part in calibration.segments.values()}
    quota = {n_rows: pooled * n_rows / 20_000 for n_rows in shares}
    assert all(abs(shares[n_rows] - quota[n_rows]) < 1 for n_rows in shares)


def test_rows_without_segments_and_a_floor_that_is_none():
    rows = CalibrationRows.from_arrays(np.arange(500.0))
    assert not calibrate_segments(Contamination(0.1), rows).segments
    with pytest.raises(ParameterError, match="min_rows"):
        calibrate_segments(Contamination(0.1), rows, 0)
