import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, norm

from vae_anomaly.decision.thresholds import CalibrationRows, Contamination, DiscoveryRate, FalseAlarmRate
from vae_anomaly.errors import ParameterError, TableError

N_REPETITIONS = 1_000


def allowed(share, repetitions=N_REPETITIONS):
    """The most failures of so many repetitions that a true share of failures shows in all but one of 10,000 tests."""
    return int(binom.ppf(1 - 1e-4, repetitions, share))


def rows_of(score, **columns):
    return CalibrationRows.from_arrays(score, **columns)


# False-alarm rate: the bound


@pytest.mark.parametrize(
    ("alpha", "confidence", "n"),
    [(0.01, 0.95, 299), (0.01, 0.95, 5_000), (0.001, 0.95, 2_995), (0.05, 0.8, 200), (0.2, 0.99, 100)],
)
def test_the_false_alarm_rate_exceeds_alpha_in_no_more_calibrations_than_the_confidence_says(alpha, confidence, n):
    rng = np.random.default_rng(1)
    rule = FalseAlarmRate(alpha, confidence)
    truth = np.array([1 - rule.calibrate(rows_of(rng.random(n))).threshold for _ in range(N_REPETITIONS)])
    assert (truth > alpha).sum() <= allowed(1 - confidence)
    if n == 5_000:  # with rows to spare the bound is not just safe but sharp: no lower threshold would hold
        assert (truth > alpha).sum() >= allowed(1 - confidence) // 4
        assert truth.mean() > 0.7 * alpha


def test_one_in_a_thousand_takes_2995_rows_and_one_less_is_refused():
    rng = np.random.default_rng(2)
    score = rng.random(2_995)
    assert FalseAlarmRate(0.001).calibrate(rows_of(score)).threshold == score.max()
    with pytest.raises(TableError, match=r"at least 2,995 .* found 2,994"):
        FalseAlarmRate(0.001).calibrate(rows_of(score[1:]))


@given(st.floats(0.001, 0.6), st.floats(0.5, 0.999))
def test_the_rows_that_the_error_names_are_the_fewest_that_do(alpha, confidence):
    rule = FalseAlarmRate(alpha, confidence)
    needed = int(np.ceil(np.log1p(-confidence) / np.log1p(-alpha)))
    score = np.arange(float(needed))
    assert rule.calibrate(rows_of(score)).threshold is not None
    if needed > 1:
        with pytest.raises(TableError, match=f"at least {needed:,} "):
            rule.calibrate(rows_of(score[1:]))


@given(st.integers(50, 400), st.floats(0.05, 0.4), st.floats(0.5, 0.9))
def test_the_threshold_is_the_lowest_that_the_binomial_bound_allows(n, alpha, confidence):
    score = np.arange(float(n))
    threshold = FalseAlarmRate(alpha, confidence).calibrate(rows_of(score)).threshold
    n_above = int((score > threshold).sum())
    assert binom.cdf(n_above, n, alpha) <= 1 - confidence < binom.cdf(n_above + 1, n, alpha)


def test_with_ties_the_rate_still_holds():
    rng = np.random.default_rng(3)
    values = np.array([0.0, 1.0, 2.0, 3.0])
    share = np.array([0.6, 0.36, 0.035, 0.005])
    rule = FalseAlarmRate(0.01)
    thresholds = [rule.calibrate(rows_of(rng.choice(values, 600, p=share))).threshold for _ in range(500)]
    truth = np.array([share[values > threshold].sum() for threshold in thresholds])
    assert (truth > 0.01).sum() <= allowed(0.05, 500)


def test_a_constant_score_never_alerts_and_the_report_says_so():
    calibration = FalseAlarmRate(0.01).calibrate(rows_of(np.full(1_000, 7.0)))
    assert not calibration.alerts(np.full(10_000, 7.0)).any()
    assert "same score" in str(calibration.guarantee)


def test_the_interval_ends_at_alpha_or_below_it():
    rng = np.random.default_rng(4)
    report = FalseAlarmRate(0.02).calibrate(rows_of(rng.random(3_000), y=np.zeros(3_000))).guarantee
    low, high = report.interval
    assert low < report.estimate < high <= 0.02
    assert report.quantity == "false-alarm rate"


# False-alarm rate: labels and contamination


def mixture(rng, n, share, shift=4.0):
    y = rng.random(n) < share
    return rng.normal(size=n) + shift * y, y


def test_with_labels_only_normal_rows_count():
    rng = np.random.default_rng(5)
    score, y = mixture(rng, 4_000, 0.1)
    rule = FalseAlarmRate(0.01)
    labelled = rule.calibrate(rows_of(score, y=y))
    assert labelled.threshold == rule.calibrate(rows_of(score[~y])).threshold
    assert labelled.guarantee.n_anomalies == y.sum()


@pytest.mark.parametrize("shift", [6.0, 1.0, 0.0], ids=["far", "near", "alike"])
def test_unlabelled_anomalies_that_score_no_lower_leave_the_false_alarm_rate_below_alpha(shift):
    rng = np.random.default_rng(6)
    rule, c = FalseAlarmRate(0.02), 0.01
    thresholds = [rule.calibrate(rows_of(mixture(rng, 2_000, c, shift)[0])).threshold for _ in range(500)]
    normal = norm.sf(thresholds)
    assert (normal > 0.02).sum() <= allowed(0.05, 500)
    if shift == 6.0:  # conservative, as the report says
        assert (normal > (0.02 - c) / (1 - c)).sum() <= allowed(0.05, 500)
        many = norm.sf(rule.calibrate(rows_of(mixture(rng, 200_000, c, shift)[0])).threshold)
        assert many == pytest.approx((0.02 - c) / (1 - c), rel=0.1)


def test_unlabelled_anomalies_that_score_lower_cost_no_more_than_the_report_says():
    rng = np.random.default_rng(7)
    rule, c = FalseAlarmRate(0.05), 0.3
    normal = norm.sf([rule.calibrate(rows_of(mixture(rng, 2_000, c, -6.0)[0])).threshold for _ in range(500)])
    assert (normal > 0.05).sum() > 250  # the plain bound is broken, so the test of the wider one has teeth
    assert (normal > 0.05 / (1 - c)).sum() <= allowed(0.05, 500)


def test_a_stated_contamination_is_trimmed_and_both_bounds_hold():
    rng = np.random.default_rng(8)
    alpha, c = 0.02, 0.05
    plain = [FalseAlarmRate(alpha).calibrate(rows_of(mixture(rng, 2_000, c, 8.0)[0])).threshold for _ in range(500)]
    trimmed = [
        FalseAlarmRate(alpha).calibrate(rows_of(mixture(rng, 2_000, c, 8.0)[0], contamination=c)).threshold
        for _ in range(500)
    ]
    assert (norm.sf(trimmed) > alpha).sum() <= allowed(0.05, 500)
    assert norm.sf(trimmed).mean() > 0.5 * alpha > 100 * norm.sf(plain).mean()
    hidden = [
        FalseAlarmRate(alpha).calibrate(rows_of(mixture(rng, 2_000, c, -8.0)[0], contamination=c)).threshold
        for _ in range(500)
    ]
    assert (norm.sf(hidden) > alpha).sum() > 250
    assert (norm.sf(hidden) > alpha + c / (1 - c)).sum() <= allowed(0.05, 500)


def test_the_report_says_which_bound_is_meant():
    score = np.random.default_rng(9).random(2_000)
    said = [
        FalseAlarmRate(0.02).calibrate(rows_of(score, **given)).guarantee
        for given in ({}, {"contamination": 0.05}, {"y": np.zeros(2_000)})
    ]
    assert "2 % / (1 - c)" in said[0].holds
    assert "at most 6.9 % of all rows" in said[1].holds
    assert "at most 7.26 % whatever they do" in said[1].holds
    assert "at most 2 % of the normal rows" in said[2].holds
    assert said[0].quantity == said[1].quantity == "alert rate"


# False-alarm rate: weights


def test_weights_move_the_threshold_to_where_the_rows_to_come_are():
    rng = np.random.default_rng(10)
    rule, n_over = FalseAlarmRate(0.05), 0
    for _ in range(500):
        old = rng.normal(size=2_000)
        threshold = rule.calibrate(rows_of(old, weight=np.exp(0.5 * old - 0.125))).threshold  # N(0, 1) to N(0.5, 1)
        n_over += norm.sf(threshold - 0.5) > 0.05
    assert n_over <= allowed(0.06, 500)  # approximate, so one in a hundred more is let pass
    assert norm.sf(rule.calibrate(rows_of(old)).threshold - 0.5) > 0.05


def test_many_rows_of_little_weight_are_few():
    score, weight = np.arange(5_000.0), np.append(np.full(4_950, 1e-6), np.ones(50))
    with pytest.raises(TableError, match=r"at least 299 effective .* found 50 effective rows of 5,000"):
        FalseAlarmRate(0.01).calibrate(rows_of(score, weight=weight))


def recency_of(n_rows, half_life):
    """Rows of one an hour, whose weights halve every so many days."""
    return np.exp2(-(n_rows - 1 - np.arange(n_rows)) / 24 / half_life)


@pytest.mark.parametrize("half_life", [1, 4])
def test_light_rows_at_the_top_do_not_make_up_for_few_that_weigh(half_life):
    score, weight = np.random.default_rng(16).permutation(4_000).astype(float), recency_of(4_000, half_life)
    score[:40] += 10_000  # the oldest rows are the highest: each weighs next to nothing, and all alike
    with pytest.raises(TableError, match=rf"found {69 * half_life} effective rows of 4,000"):
        FalseAlarmRate(0.01).calibrate(rows_of(score, weight=weight))


@pytest.mark.parametrize("half_life", [8, 60])
def test_the_false_alarm_rate_holds_by_recency_weights(half_life):
    rng, weight, n_over = np.random.default_rng(17), recency_of(4_000, half_life), 0
    for _ in range(500):
        n_over += FalseAlarmRate(0.01).calibrate(rows_of(rng.random(4_000), weight=weight)).threshold < 0.99
    assert n_over <= allowed(0.05, 500)


def test_rows_of_one_group_count_as_one():
    rng, card = np.random.default_rng(18), np.repeat(np.arange(200), 10)
    rule, over = FalseAlarmRate(0.02), {True: 0, False: 0}
    for _ in range(500):
        score = rng.normal(size=200)[card] + 1e-3 * rng.normal(size=2_000)  # payments of a card are nearly alike
        for told in over:
            calibration = rule.calibrate(rows_of(score, cluster=card if told else None))
            over[told] += norm.sf(calibration.threshold) > 0.02
    assert over[True] <= allowed(0.05, 500)
    assert over[False] > 75  # three times the promised share, as long as rows are taken to be independent
    assert "200 groups" in str(rule.calibrate(rows_of(score, cluster=card)).guarantee)
    assert "(payments of one card are not)" in str(rule.calibrate(rows_of(score)).guarantee)
    with pytest.raises(TableError, match=r"at least 299 effective .* found 200 effective rows of 2,000"):
        FalseAlarmRate(0.01).calibrate(rows_of(score, cluster=card))
    alone = rule.calibrate(rows_of(score, cluster=np.arange(2_000)))
    assert alone.threshold == rule.calibrate(rows_of(score)).threshold


def test_equal_weights_are_no_weights():
    score = np.random.default_rng(11).normal(size=3_000)
    for rule in (FalseAlarmRate(0.01), Contamination(0.01)):
        weighted = rule.calibrate(rows_of(score, weight=np.full(3_000, 0.25)))
        assert weighted.threshold == rule.calibrate(rows_of(score)).threshold


# Contamination


@given(st.integers(10, 500), st.integers(1, 99))
def test_the_share_of_the_rows_alerts(n, percent):
    share = percent / 100
    score = np.random.default_rng(n).permutation(n).astype(float)
    if percent * n < 100:
        with pytest.raises(TableError, match="calibration rows"):
            Contamination(share).calibrate(rows_of(score))
    else:
        calibration = Contamination(share).calibrate(rows_of(score))
        assert calibration.alerts(score).sum() == percent * n // 100 == calibration.guarantee.n_alerts


# Discovery rate


@pytest.mark.parametrize("method", ["bh", "by"])
def test_the_false_discovery_rate_holds_for_independent_scores(method):
    rng = np.random.default_rng(12)
    rule, m, n_anomalies = DiscoveryRate(0.2, method), 400, 40
    shares, found = [], []
    for _ in range(500):
        calibration = rule.calibrate(rows_of(rng.normal(size=2_000)))
        alerts = calibration.alerts(np.append(rng.normal(size=m - n_anomalies), rng.normal(4, 1, n_anomalies)))
        shares.append(alerts[: m - n_anomalies].sum() / max(1, alerts.sum()))
        found.append(alerts[m - n_anomalies :].mean())
    slack = 3.7 * np.std(shares) / np.sqrt(500)
    assert np.mean(shares) <= 0.2 + slack
    assert np.mean(found) > 0.5
    if method == "bh":  # sharp: the rate is fdr times the share of normal rows
        assert np.mean(shares) == pytest.approx(0.2 * 0.9, abs=slack)


def test_by_holds_where_scores_depend_on_each_other():
    rng = np.random.default_rng(13)
    rule, shares = DiscoveryRate(0.3, "by"), []
    for _ in range(500):
        calibration = rule.calibrate(rows_of(rng.normal(size=1_000)))
        common = rng.normal()
        sign = np.where(np.arange(100) % 2, 1.0, -1.0)  # half the rows move against the other half
        normal = np.sqrt(0.8) * common * sign + np.sqrt(0.2) * rng.normal(size=100)
        alerts = calibration.alerts(np.append(normal, rng.normal(4, 1, 20)))
        shares.append(alerts[:100].sum() / max(1, alerts.sum()))
    assert np.mean(shares) <= 0.3 + 3.7 * np.std(shares) / np.sqrt(500)


@pytest.mark.parametrize("shift", [7.0, 2.0])
def test_contaminated_rows_make_discoveries_rarer_and_a_stated_contamination_does_not_undo_it(shift):
    rng, rule, c, shares = np.random.default_rng(15), DiscoveryRate(0.1), 0.05, []
    for _ in range(500):
        calibrating, (judged, y) = mixture(rng, 2_000, c, shift)[0], mixture(rng, 400, c, shift)
        calibration = rule.calibrate(rows_of(calibrating, contamination=c))
        alerts = calibration.alerts(judged)
        shares.append(alerts[~y].sum() / max(1, alerts.sum()))
        np.testing.assert_array_equal(alerts, rule.calibrate(rows_of(calibrating)).alerts(judged))
    assert np.mean(shares) <= 0.1
    assert "contamination that was stated is not used" in str(calibration.guarantee)


@pytest.mark.parametrize("method", ["bh", "by"])
def test_the_report_tells_how_many_discoveries_it_takes(method):
    calibration = DiscoveryRate(0.1, method).calibrate(rows_of(np.arange(999.0)))
    said = str(calibration.guarantee).replace(",", "")
    alone, among, takes = map(int, re.search(r"up to (\d+) rows .* among (\d+) rows it takes (\d+)", said).groups())
    assert among == 10 * alone > takes >= 10

    def judged(n_rows, n_high):
        return calibration.alerts(np.where(np.arange(n_rows) < n_high, 1e9, -1.0)).sum()

    assert (judged(alone, 1), judged(alone + 1, 1)) == (1, 0)
    assert (judged(among, takes), judged(among, takes - 1)) == (takes, 0)


def test_the_margin_of_a_batch_is_above_zero_exactly_for_its_alerts():
    rng = np.random.default_rng(14)
    calibration = DiscoveryRate(0.1).calibrate(rows_of(rng.normal(size=2_000)))
    assert calibration.threshold is None
    for batch in (rng.normal(size=50), np.append(rng.normal(size=90), np.full(10, 9.0)), np.full(5, 9.0), []):
        alerts = calibration.alerts(batch)
        np.testing.assert_array_equal(alerts, calibration.rule.rejects(calibration.p_value(batch)))
        np.testing.assert_array_equal(alerts, calibration.margin(batch) > 0)
    assert calibration.alerts(np.full(5, 9.0)).all()


def test_too_few_rows_for_any_discovery_are_refused():
    DiscoveryRate(0.1).calibrate(rows_of(np.arange(9.0)))
    with pytest.raises(TableError, match=r"at least 9 calibration rows .* found 8"):
        DiscoveryRate(0.1).calibrate(rows_of(np.arange(8.0)))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: FalseAlarmRate(0.0),
        lambda: FalseAlarmRate(1.0),
        lambda: FalseAlarmRate(float("nan")),
        lambda: FalseAlarmRate(0.01, confidence=1.0),
        lambda: Contamination(0.0),
        lambda: DiscoveryRate(1.0),
        lambda: DiscoveryRate(0.1, "holm"),
    ],
)
def test_a_parameter_outside_its_domain_is_refused_at_once(wrong):
    with pytest.raises(ParameterError, match="parameter of"):
        wrong()
