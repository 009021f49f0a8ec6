import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly.decision.budget import BudgetStream, top_k_per_period
from vae_anomaly.decision.periods import mean_bounds, n_periods
from vae_anomaly.decision.thresholds import AlertBudget, CalibrationRows
from vae_anomaly.errors import ParameterError, TableError

START = np.datetime64("2026-03-02T00:00:00")


def times(rng, n, days, offset_hours=0.0):
    seconds = np.sort(rng.uniform(0, days * 86_400, n)) + offset_hours * 3_600
    return START + seconds.astype("timedelta64[s]")


@pytest.mark.parametrize("offset_hours", [0.0, 15.5], ids=["whole days", "parts of days"])
def test_a_budget_is_met_within_one_alert_a_day_on_stationary_data(offset_hours):
    rng = np.random.default_rng(0)
    budget, n_days, per_day = 5, 60, 1_000
    means = []
    for _ in range(500):
        rows = CalibrationRows.from_arrays(
            rng.random(n_days * per_day), time=times(rng, n_days * per_day, n_days, offset_hours)
        )
        means.append((1 - AlertBudget(budget).calibrate(rows).threshold) * per_day)  # of the days to come, exactly
    assert np.abs(np.array(means) - budget).max() <= 1.2  # 1 in 500 is 3.1 of its standard errors
    assert (np.abs(np.array(means) - budget) <= 1).mean() >= 0.99
    assert np.mean(means) == pytest.approx(budget, rel=0.02)


def test_the_interval_holds_the_mean_of_days_to_come_as_often_as_it_says():
    rng = np.random.default_rng(1)
    low, high = 0, 0
    for _ in range(500):
        rows = CalibrationRows.from_arrays(rng.random(7_000), time=times(rng, 7_000, 7))
        calibration = AlertBudget(3).calibrate(rows)
        mean = (1 - calibration.threshold) * 1_000
        low += mean < calibration.guarantee.interval[0]
        high += mean > calibration.guarantee.interval[1]
    assert max(low, high) <= 45  # 25 expected at most, and four standard errors


@pytest.mark.parametrize("n_days", [7, 30])
def test_the_interval_holds_where_alerts_come_in_bursts_too(n_days):
    rng = np.random.default_rng(2)
    low, high, independent = 0, 0, 0
    for _ in range(500):
        rows_of_day = rng.poisson(200 * rng.gamma(2.0, 0.5, n_days))  # the variance of their means is a half
        day = np.repeat(np.arange(n_days), rows_of_day)
        time = START + day.astype("timedelta64[D]") + rng.integers(0, 1_440, len(day)).astype("timedelta64[m]")
        calibration = AlertBudget(20).calibrate(CalibrationRows.from_arrays(rng.random(len(day)), time=time))
        mean = (1 - calibration.threshold) * 200
        low += mean < calibration.guarantee.interval[0]
        high += mean > calibration.guarantee.interval[1]
        independent += (
            mean > mean_bounds(np.array([calibration.guarantee.n_alerts]), np.array([float(n_days)]), 0.95)[1]
        )
    assert max(low, high) <= 45  # 25 expected, and four standard errors
    assert min(low, high) >= 5  # and no wider than it need be
    assert independent >= 100  # as long as bursts are left out of account


def test_few_days_say_that_the_bounds_take_alerts_to_be_independent():
    rng = np.random.default_rng(3)
    for n_days, told in ((3, "independently of each other (Poisson)"), (9, "alerts of 9 vary (Student's t)")):
        rows = CalibrationRows.from_arrays(rng.random(2_000), time=times(rng, 2_000, n_days))
        assert told in str(AlertBudget(10).calibrate(rows).guarantee)


def test_bursts_of_rows_show_by_time_and_not_by_the_order_of_the_table():
    score, time = np.append(np.zeros(900), np.ones(100)), START + np.arange(1_000).astype("timedelta64[m]")
    order = np.random.default_rng(4).permutation(1_000)
    burst = AlertBudget(10, per=100).calibrate(CalibrationRows.from_arrays(score[order], time=time[order]))
    even = AlertBudget(10, per=100).calibrate(CalibrationRows.from_arrays(score[order]))
    assert burst.guarantee.interval[1] > 2 * even.guarantee.interval[1]


def test_the_parts_of_the_first_and_last_day_count_by_what_usually_comes_then():
    rng = np.random.default_rng(2)
    assert n_periods(times(rng, 50_000, 3.0, 18.0), "day") == pytest.approx(3.0, abs=0.02)
    assert n_periods(times(rng, 50_000, 1.0, 12.0), "day") == pytest.approx(1.0, abs=0.02)
    assert n_periods(times(rng, 50_000, 0.5, 0.25), "hour") == pytest.approx(12.0, abs=0.02)
    office = START + (np.arange(5)[:, None] * 24 * 60 + 9 * 60 + np.arange(480)).ravel().astype("timedelta64[m]")
    assert n_periods(office, "day") == 5.0  # though from the first row to the last there are but 4 days and 8 hours


def test_without_a_whole_day_between_the_time_that_passes_counts():
    rng, n = np.random.default_rng(5), 9_000
    night = times(rng, n, 9 / 24, 20.0)  # from 20:00 to 5:00
    assert n_periods(night, "day") == pytest.approx(9 / 24, abs=0.01)
    calibration = AlertBudget(20).calibrate(CalibrationRows.from_arrays(rng.random(n), time=night))
    assert (1 - calibration.threshold) * n * 24 / 9 == pytest.approx(20, abs=10)  # 57 a day, had it been one day
    assert "no row is of a day between" in str(calibration.guarantee)
    week = CalibrationRows.from_arrays(rng.random(n), time=times(rng, n, 7.0))
    assert "no row is of a day between" not in str(AlertBudget(20).calibrate(week).guarantee)
    assert n_periods(START + np.array([0, 0, 1]).astype("timedelta64[D]"), "day") == 2.0  # of dates, whole days


def test_empty_days_between_count():
    dates = START + np.array([0, 0, 1, 8, 9]).astype("timedelta64[D]")
    assert n_periods(dates, "day") == 10.0


@given(st.permutations(range(12)))
def test_the_order_of_rows_does_not_matter_for_a_budget(order):
    score = np.arange(12.0)
    time = START + np.arange(0, 72, 6).astype("timedelta64[h]")
    rows = CalibrationRows.from_arrays(score, time=time)
    shuffled = rows.take(np.array(order))
    assert AlertBudget(2).calibrate(shuffled).threshold == AlertBudget(2).calibrate(rows).threshold


def test_rows_of_one_period_too_few_periods_and_no_time_are_refused():
    score, day = np.arange(100.0), np.full(100, START)
    with pytest.raises(TableError, match=r"more than one day.*Give rows of several"):
        AlertBudget(5).calibrate(CalibrationRows.from_arrays(score, time=day))
    with pytest.raises(TableError, match="the time of each row"):
        AlertBudget(5).calibrate(CalibrationRows.from_arrays(score))
    week = START + (np.arange(100) % 7).astype("timedelta64[D]")
    with pytest.raises(TableError, match="20 periods or more"):
        AlertBudget(0.05).calibrate(CalibrationRows.from_arrays(score, time=week))
    with pytest.raises(ParameterError, match="less than 'per'"):
        AlertBudget(50, per=50)
    for wrong in ({"n": 0}, {"n": -1}, {"n": 5, "per": "month"}, {"n": 1, "per": 1.5}):
        with pytest.raises(ParameterError, match="AlertBudget"):
            AlertBudget(**wrong)


def test_a_budget_per_number_of_rows_needs_no_time():
    score = np.random.default_rng(3).permutation(10_000).astype(float)
    calibration = AlertBudget(20, per=1_000).calibrate(CalibrationRows.from_arrays(score))
    assert calibration.alerts(score).sum() == 200
    assert AlertBudget(20, per=1_000).needs == frozenset()
    assert calibration.guarantee.estimate == 20


def test_more_budget_than_rows_alerts_on_every_row():
    week = START + (np.arange(100) % 7).astype("timedelta64[D]")
    rows = CalibrationRows.from_arrays(np.arange(100.0), time=week)
    calibration = AlertBudget(1_000).calibrate(rows)
    assert calibration.alerts(rows.score).all()
    assert "every row alerts" in str(calibration.guarantee)


# Hard limits


def by_hand(score, period, threshold, n):
    made, alerts = {}, []
    for value, place in zip(score, period, strict=True):
        alerts.append(value > threshold and made.get(place, 0) < n)
        made[place] = made.get(place, 0) + alerts[-1]
    return np.array(alerts, dtype=bool)


stream = st.lists(st.tuples(st.integers(0, 6).map(float), st.integers(0, 30)), max_size=40)


@given(stream, st.integers(1, 4), st.sampled_from(["day", "hour", 5]), st.lists(st.integers(0, 40), max_size=5))
def test_a_stream_alerts_as_a_loop_over_its_rows_would_however_it_is_cut(rows, n, per, cuts):
    score = np.array([value for value, _ in rows])
    hours = np.cumsum([step / 4 for _, step in rows])
    time = START + (np.array(hours) * 3_600).astype("timedelta64[s]")
    period = {"day": hours // 24, "hour": hours // 1, 5: np.arange(len(rows)) // 5}[per]
    expected = by_hand(score, period, 2.0, n)
    limited = BudgetStream(2.0, n, per)
    parts = zip(np.split(score, sorted(cuts)), np.split(time, sorted(cuts)), strict=True)
    found = [limited.alerts(part, when) for part, when in parts]
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_a_stream_refuses_rows_of_an_earlier_period():
    limited = BudgetStream(0.0, 1)
    limited.alerts([1.0], ["2026-03-02"])
    with pytest.raises(TableError, match="order of time"):
        limited.alerts([1.0], ["2026-03-01"])
    with pytest.raises(TableError, match="needs the time"):
        limited.alerts([1.0])


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), max_size=30), st.integers(1, 4))
def test_the_top_of_each_period_is_its_highest_scores_the_earlier_row_first(rows, n):
    score = np.array([float(value) for value, _ in rows])
    day = np.array([day for _, day in rows], dtype=int)
    alerts = top_k_per_period(score, START + day.astype("timedelta64[D]"), n)
    for one in set(day.tolist()):
        of_day = np.flatnonzero(day == one)
        expected = sorted(of_day, key=lambda row: (-score[row], row))[:n]
        assert set(of_day[alerts[of_day]]) == set(expected)
    np.testing.assert_array_equal(
        top_k_per_period(score, None, n, per=7).sum(),
        sum(min(n, len(part)) for part in np.split(score, range(7, len(score), 7)) if len(part)),
    )
