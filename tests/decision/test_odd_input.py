"""What nobody means to give, and somebody will: it is refused in words, or it works."""

import datetime as dt
import json
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from vae_anomaly.decision.alert_counts import count_alerts
from vae_anomaly.decision.budget import BudgetStream, top_k_per_period
from vae_anomaly.decision.calibration_rows import CalibrationRows, as_scores, as_segments, as_times
from vae_anomaly.decision.conformal import recency_weights
from vae_anomaly.decision.segments import calibrate_segments
from vae_anomaly.decision.stored import from_parts, to_parts
from vae_anomaly.decision.thresholds import (
    AlertBudget,
    Contamination,
    DiscoveryRate,
    ExpectedCost,
    FalseAlarmRate,
    FBeta,
    PrecisionAt,
    RecallAt,
    TailRate,
)
from vae_anomaly.errors import CalibrationWarning, ParameterError, TableError, VaeAnomalyError

UTC = dt.UTC
NOON = dt.datetime(2026, 3, 1, 12)


def objects(*values):
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


@pytest.mark.parametrize(
    "time",
    [
        ["2026-03-01T12:00Z"],
        ["2026-03-01", "2026-03-01T12:00:00+01:00"],
        objects(NOON, NOON.replace(tzinfo=UTC)),
        objects(pd.NaT, pd.Timestamp(NOON, tz="UTC")),
        pl.Series([NOON.replace(tzinfo=UTC)]),
        pa.array([NOON], pa.timestamp("us", "Europe/Paris")),
        pd.Series([NOON]).dt.tz_localize("UTC"),
    ],
    ids=["Z", "offset", "mixed", "after a gap", "polars", "pyarrow", "pandas"],
)
def test_a_time_zone_is_refused_wherever_it_stands(time):
    with pytest.raises(TableError, match="without a time zone"):
        as_times(time)


@pytest.mark.parametrize(
    ("time", "told"),
    [
        (np.array(["2500-01-01"], "datetime64[s]"), "between 1678-01-01 and 2262-01-01: found 2500"),
        (["2026-03-01", "1000-01-01"], "found 1000-01-01T00:00:00 at row 1"),
        ([dt.date(9999, 12, 31)], "found 9999"),
        (objects(dt.date(2026, 3, 1), 5), "found int"),
        (objects(NOON, pd.NaT), "row 1 and 1 in all have none"),
        (objects(None, pd.NA, np.nan, NOON), "row 0 and 3 in all have none"),
        (objects(NOON, [1, 2]), "found list"),
    ],
    ids=["datetimes", "text", "dates", "a number", "a gap", "gaps", "a list"],
)
def test_what_is_no_time_or_too_far_away_is_never_another_time(time, told):
    with pytest.raises(TableError, match=told):
        as_times(time)


def test_nanoseconds_and_the_ends_of_the_scale_are_kept():
    text = ["1678-01-01T00:00:00.000000001", "2026-03-01T12:30:00.123456789", "2261-12-31T23:59:59.999999999"]
    assert as_times(text).astype(str).tolist() == text
    assert as_times(np.array(text, "datetime64[ns]")).astype(str).tolist() == text


@pytest.mark.parametrize(
    "score",
    [
        [10**400, 1],
        [1 + 2j],
        np.array(["2026-03-01"], "datetime64[D]"),
        [[1.0, 2.0], [3.0]],
        np.zeros((2, 1)),
        ["high"],
    ],
    ids=["a huge integer", "complex", "dates", "ragged", "a table", "text"],
)
def test_what_is_no_column_of_numbers_is_refused(score):
    with pytest.raises(TableError, match="'score' must"):
        as_scores(score)
    with pytest.raises(TableError):
        CalibrationRows.from_arrays([1.0, 2.0], y=score)


@pytest.mark.parametrize("name", ["amount", "weight"])
def test_numbers_that_cannot_be_added_up_are_refused(name):
    with pytest.raises(TableError, match=f"Every '{name}' must be small enough for their sum: found 1e\\+308 at row 1"):
        CalibrationRows.from_arrays([1.0, 2.0], **{name: [1.0, 1e308]})


@pytest.mark.parametrize(
    ("group", "names"),
    [
        (objects(True, 1, 1.0, "1"), ["True", "1", "1", "1"]),
        (objects(1, True), ["1", "True"]),
        (["<NA>", "nan"], ["<NA>", "nan"]),
        (objects(np.float32(276), np.float64("nan"), pd.NA), ["276", None, None]),
        ([-0.0, 2.5], ["0", "2.5"]),
    ],
)
def test_names_of_segments_do_not_depend_on_the_rows_beside_them(group, names):
    assert as_segments(group).tolist() == names


@pytest.mark.parametrize("group", [objects([1], [2, 3]), objects({}), [[1], [2, 3]]], ids=["lists", "dicts", "ragged"])
def test_what_names_no_segment_is_refused(group):
    with pytest.raises(TableError, match="'group' must"):
        as_segments(group)


def test_a_column_of_segments_of_another_length_is_refused_without_segments_too():
    calibration = Contamination(0.5).calibrate(CalibrationRows.from_arrays([1.0, 2.0]))
    with pytest.raises(TableError, match="'group' must have one entry for each of the 2 rows"):
        calibration.alerts([1.0, 2.0], ["a"])


def test_a_missing_alert_is_refused():
    for missing in (
        pd.array([True, pd.NA], dtype="boolean"),
        [True, None],
        [True, float("nan")],
        objects(True, "False"),
    ):
        with pytest.raises(TableError, match="'alert' must be True"):
            count_alerts(missing, ["2026-03-01"] * 2)


def test_weights_by_age_over_centuries_and_by_spans_without_a_fixed_length():
    ends = ["1700-01-01", "2250-01-01"]
    np.testing.assert_array_equal(recency_weights(ends, dt.timedelta(days=1)), [0.0, 1.0])
    old, new = recency_weights(ends, dt.timedelta(days=365 * 550))
    assert (old, new) == (pytest.approx(0.5, abs=1e-3), 1.0)
    for wrong in (np.timedelta64(1, "M"), np.timedelta64("NaT"), 5, "1 day", dt.timedelta(0)):
        with pytest.raises(ParameterError, match="half_life"):
            recency_weights(ends, wrong)


def test_periods_of_more_rows_than_can_be_counted():
    assert BudgetStream(0.0, 1, 10**30).alerts([1.0, 1.0]).tolist() == [True, False]
    assert top_k_per_period([1.0, 2.0], None, 1, 10**30).tolist() == [False, True]
    calibration = AlertBudget(10**29, 10**30).calibrate(CalibrationRows.from_arrays(np.arange(20.0)))
    assert calibration.alerts(np.arange(20.0)).sum() == 2


@pytest.mark.parametrize("unit", [1e-300, 0.5, 1e300])
def test_only_the_ratios_of_weights_tell_anything(unit):
    rng = np.random.default_rng(0)
    score, weight = rng.normal(size=900), rng.choice([0.25, 0.5, 1.0], 900)
    for rule in (FalseAlarmRate(0.02), Contamination(0.02), DiscoveryRate(0.2), AlertBudget(3, per=100)):
        one, other = (rule.calibrate(CalibrationRows.from_arrays(score, weight=w)) for w in (weight, unit * weight))
        assert other.threshold == one.threshold
        np.testing.assert_allclose(other.p_value(score), one.p_value(score), rtol=1e-12)
        assert str(other.guarantee) == str(one.guarantee)


RULES = (
    *(
        FalseAlarmRate(0.01),
        FalseAlarmRate(0.5, 0.5),
        FalseAlarmRate(1e-320),
        Contamination(0.5),
        Contamination(1e-320),
    ),
    *(AlertBudget(1), AlertBudget(1e308), AlertBudget(1e-320), AlertBudget(10**300), AlertBudget(1, per=2)),
    *(DiscoveryRate(0.5), DiscoveryRate(1e-320), DiscoveryRate(0.9, "by"), TailRate(1e-320), TailRate(0.05)),
    *(ExpectedCost(1e300, 1e-300), ExpectedCost(10, 1, 0.5, 0.5000001), ExpectedCost("amount", 1, 1e-9)),
    *(FBeta(1_000), FBeta(0.001), PrecisionAt(1.0), RecallAt(1e-320), RecallAt(1.0)),
)
SCORES = {
    **{f"{n} rows": np.random.default_rng(n).normal(size=n) for n in (1, 2, 3, 300)},
    "zeros of either sign": np.array([0.0, -0.0] * 150),
    "the largest numbers": np.repeat([-1.7e308, 1.7e308], 150),
    "the smallest numbers": np.arange(300) * 5e-324,
}
BESIDE = {
    "nothing": lambda n: {},
    "labels": lambda n: {"y": np.arange(n) % 2 == 1},
    "heavy weights": lambda n: {"weight": np.append(1e300, np.zeros(n - 1))},
    "light weights": lambda n: {"weight": np.full(n, 1e-300)},
    "contamination": lambda n: {"contamination": 0.5},
    "segments": lambda n: {"group": np.arange(n) % 2},
}


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("of", SCORES)
def test_a_calibration_of_any_rows_is_refused_or_decides_prints_and_is_kept(of, beside):
    score = SCORES[of]
    columns = {"amount": np.full(len(score), 1e300), "time": np.datetime64("2026-03-01") + np.arange(len(score))}
    n_calibrated = 0
    for rule in RULES:
        rows = CalibrationRows.from_arrays(score, **columns, **BESIDE[beside](len(score)))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CalibrationWarning)
                calibration = calibrate_segments(rule, rows, 1)
        except VaeAnomalyError:
            continue
        n_calibrated += 1
        judged, group = np.append(score, [np.inf, -np.inf]), np.arange(len(score) + 2) % 3
        np.testing.assert_array_equal(calibration.alerts(judged, group), calibration.margin(judged, group) > 0)
        assert calibration.thresholds([], []).shape == calibration.p_value([]).shape == (0,)
        document, arrays = to_parts(calibration)
        again = from_parts(json.loads(json.dumps(document, allow_nan=False)), arrays)
        assert str(again.guarantee) == str(calibration.guarantee)
    assert n_calibrated >= (1 if len(score) > 1 else 0)
