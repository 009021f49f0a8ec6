import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_anomaly.decision import thresholds
from vae_anomaly.decision.thresholds import (
    RULES,
    AlertBudget,
    BatchRule,
    CalibrationRows,
    Contamination,
    DiscoveryRate,
    ExpectedCost,
    FalseAlarmRate,
    FBeta,
    PrecisionAt,
    RecallAt,
    TailRate,
    rule_from_json,
    rule_to_json,
)
from vae_anomaly.errors import ParameterError, TableError

EVERY_RULE = (
    FalseAlarmRate(0.05, 0.8),
    AlertBudget(3, "day"),
    AlertBudget(2, per=50),
    DiscoveryRate(0.2),
    DiscoveryRate(0.2, "by"),
    ExpectedCost(30, 2),
    ExpectedCost("amount", 2.0),
    ExpectedCost(30, 2, prevalence=0.05),
    FBeta(2.0),
    PrecisionAt(0.3),
    RecallAt(0.5),
    TailRate(0.01),
    Contamination(0.03),
)
every_rule = pytest.mark.parametrize("rule", EVERY_RULE, ids=repr)
N = 800


def some_rows(seed=0, decimals=9):
    rng = np.random.default_rng(seed)
    y = rng.random(N) < 0.1
    return CalibrationRows.from_arrays(
        np.round(rng.gumbel(size=N) + 3 * y, decimals),
        y=y,
        amount=rng.lognormal(3, 1, N),
        time=np.datetime64("2026-03-01") + np.sort(rng.integers(0, 20 * 1_440, N)).astype("timedelta64[m]"),
    )


def mapped(rows, function):
    return CalibrationRows(function(rows.score), rows.y, rows.amount, rows.time)


def test_every_rule_is_known_and_tried_here():
    assert {type(rule).__name__ for rule in EVERY_RULE} == set(RULES)
    assert set(RULES) < set(thresholds.__all__)


@every_rule
def test_a_rule_is_what_its_json_says(rule):
    assert rule_from_json(rule_to_json(rule)) == rule


@pytest.mark.parametrize(
    "document",
    [
        None,
        {"rule": "Magic"},
        {"alpha": 0.1},
        {"rule": "FalseAlarmRate"},
        {"rule": "FalseAlarmRate", "alpha": 2.0},
        {"rule": "FalseAlarmRate", "alpha": 0.1, "beta": 1.0},
        {"rule": ["FalseAlarmRate"]},
    ],
)
def test_what_is_no_rule_is_refused(document):
    with pytest.raises(ParameterError, match=r"rule|alpha"):
        rule_from_json(document)


@every_rule
def test_what_a_rule_needs_is_what_it_refuses_to_go_without(rule):
    rows = some_rows()
    for name in ("y", "time", "amount"):
        columns = {key: None if key == name else getattr(rows, key) for key in ("y", "time", "amount")}
        if name in rule.needs:
            with pytest.raises(TableError, match="needs"):
                rule.calibrate(CalibrationRows(rows.score, **columns))
        else:
            rule.calibrate(CalibrationRows(rows.score, **columns))


@every_rule
def test_alerts_margin_and_report_agree(rule):
    rows = some_rows(decimals=1)  # with ties
    if isinstance(rule, TailRate):
        rows = some_rows()
    calibration = rule.calibrate(rows)
    alerts, margin = calibration.alerts(rows.score), calibration.margin(rows.score)
    np.testing.assert_array_equal(alerts, margin > 0)
    if isinstance(rule, BatchRule):
        assert calibration.threshold is calibration.guarantee.n_alerts is None
    else:
        np.testing.assert_array_equal(alerts, rows.score > calibration.threshold)
        np.testing.assert_array_equal(margin, rows.score - calibration.threshold)
        assert calibration.guarantee.n_alerts == alerts.sum()
    report = calibration.guarantee
    assert (report.n_rows, report.n_anomalies, report.n_normal) == (N, rows.y.sum(), (~rows.y).sum())
    if report.interval is not None:
        assert report.interval[0] <= report.estimate <= report.interval[1]
    assert repr(rule) in str(report)


@every_rule
@settings(max_examples=5)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_rows_changes_nothing(rule, seed):
    rows = some_rows()
    shuffled = rows.take(np.random.default_rng(seed).permutation(N))
    one, other = rule.calibrate(rows), rule.calibrate(shuffled)
    if isinstance(rule, ExpectedCost):  # sums of costs round by their order
        assert one.threshold == other.threshold
        assert one.guarantee.estimate == pytest.approx(other.guarantee.estimate)
    else:
        assert one.guarantee == other.guarantee
    np.testing.assert_array_equal(one.score, other.score)


@pytest.mark.parametrize("rule", [rule for rule in EVERY_RULE if not isinstance(rule, TailRate)], ids=repr)
@pytest.mark.parametrize("function", [np.exp, lambda s: 5 * s - 3, lambda s: s**3], ids=["exp", "linear", "cube"])
def test_an_increasing_map_of_the_score_maps_the_decisions(rule, function):
    rows = some_rows(decimals=1)
    one, other = rule.calibrate(rows), rule.calibrate(mapped(rows, function))
    score = some_rows(seed=1).score
    np.testing.assert_array_equal(one.alerts(score), other.alerts(function(score)))
    np.testing.assert_array_equal(one.p_value(score), other.p_value(function(score)))
    if one.threshold is not None and one.threshold >= rows.score.min():
        assert other.threshold == function(one.threshold)


@pytest.mark.parametrize(
    "wishes",
    [
        [FalseAlarmRate(alpha) for alpha in (0.01, 0.02, 0.1, 0.5)],
        [FalseAlarmRate(0.05, confidence) for confidence in (0.99, 0.95, 0.8, 0.5)],
        [AlertBudget(n) for n in (0.1, 1, 5, 100)],
        [RecallAt(recall) for recall in (0.1, 0.5, 0.9, 1.0)],
        [PrecisionAt(precision) for precision in (0.9, 0.6, 0.3, 0.05)],
        [ExpectedCost(missed, 1) for missed in (1.5, 5, 30, 1_000)],
        [ExpectedCost(missed, 1, prevalence=0.01) for missed in (1.5, 5, 30, 1_000)],
        [TailRate(rate) for rate in (1e-5, 1e-4, 1e-3, 0.05)],
        [Contamination(share) for share in (0.01, 0.05, 0.3, 0.9)],
    ],
    ids=lambda wishes: type(wishes[0]).__name__,
)
def test_a_larger_wish_never_raises_the_threshold(wishes):
    rows = some_rows()
    found = [rule.calibrate(rows).threshold for rule in wishes]
    assert all(lower <= higher for higher, lower in itertools.pairwise(found))
    assert found[-1] < found[0]


def test_p_values_are_by_normal_rows_or_by_all_whatever_contamination_is_stated():
    rows = some_rows()
    score = some_rows(seed=1).score
    normal, every = np.sort(rows.score[~rows.y]), np.sort(rows.score)

    def expected(reference):
        return np.array([(1 + (reference >= s).sum()) / (1 + len(reference)) for s in score])

    for columns, reference in (
        ({"y": rows.y}, normal),
        ({}, every),
        ({"contamination": 0.1}, every),
    ):
        calibration = Contamination(0.1).calibrate(CalibrationRows.from_arrays(rows.score, **columns))
        np.testing.assert_allclose(calibration.p_value(score), expected(reference))
        np.testing.assert_allclose(
            calibration.risk_score(score), np.minimum(1000, -250 * np.log10(expected(reference)))
        )


def test_infinite_scores_alert_and_nan_is_refused():
    calibration = FalseAlarmRate(0.05).calibrate(some_rows())
    np.testing.assert_array_equal(calibration.alerts([np.inf, -np.inf]), [True, False])
    for method in (calibration.alerts, calibration.margin, calibration.p_value, calibration.risk_score):
        with pytest.raises(TableError, match="NaN at row 1"):
            method([0.0, np.nan])
        assert len(method([])) == 0
    batch = DiscoveryRate(0.1).calibrate(some_rows())
    assert np.isfinite(batch.margin([0.0, 0.0])).all()
    assert not np.isnan(batch.margin([np.inf, 0.0, -np.inf])).any()
