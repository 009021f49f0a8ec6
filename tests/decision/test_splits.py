"""Splits by time: what is learnt from is over before the labels' delay, and what is judged comes after it."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import IsolationForest
from sklearn.metrics import make_scorer, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline

from vae_anomaly import (
    BehaviorFeatures,
    CalibratedDetector,
    Contamination,
    ParameterError,
    TableError,
    TimeOrderedSplit,
)
from vae_anomaly.decision.splits import known_cards

START = np.datetime64("2026-03-01")
HOUR = np.timedelta64(1, "h")


def hours(n, seed=0):
    """Times in whole hours, out of order and with ties."""
    rng = np.random.default_rng(seed)
    return START + rng.integers(0, 28 * 24, n) * HOUR


WINDOWS = st.fixed_dictionaries(
    {
        "n_splits": st.integers(1, 4),
        "test_size": st.sampled_from(["6h", "1D", "3D", "7D"]),
        "train_size": st.sampled_from([None, "5h", "2D", "7D"]),
        "delay": st.sampled_from([None, "1h", "1D", "7D"]),
    }
)


def length(text):
    return np.timedelta64(0, "h") if text is None else pd.Timedelta(text).to_timedelta64()


@settings(max_examples=150, deadline=None)
@given(times=st.lists(st.integers(0, 28 * 24), min_size=1, max_size=60), windows=WINDOWS)
def test_no_test_row_is_earlier_than_the_delay_after_the_rows_learnt_from(times, windows):
    times = START + np.array(times) * HOUR
    splitter = TimeOrderedSplit(**windows)
    try:
        found = list(splitter.split(times, groups=times))
    except TableError:  # a window without rows, which another test is about
        return
    assert len(found) == splitter.get_n_splits() == windows["n_splits"]
    size, train_size, delay = (length(windows[name]) for name in ("test_size", "train_size", "delay"))
    before = None
    for train, test in found:
        assert len(train) > 0
        assert len(test) > 0
        assert times[test].min() - times[train].max() > delay
        assert times[test].max() - times[test].min() < size
        if windows["train_size"] is not None:
            assert times[train].max() - times[train].min() < train_size
        for rows in (train, test):  # rows of one time are never parted
            others = np.setdiff1d(np.arange(len(times)), rows)
            assert not np.isin(times[others], times[rows]).any()
        assert before is None or times[test].min() > before
        before = times[test].max()
    assert times.max() in times[found[-1][1]]  # the latest rows are judged


def test_windows_part_no_time_and_cover_what_they_say():
    times = hours(2_000)
    day = (times - START) // np.timedelta64(24, "h")
    splitter = TimeOrderedSplit(2, train_size="7D", delay="7D", test_size="7D")
    for number, (train, test) in enumerate(splitter.split(times, groups=times)):
        np.testing.assert_array_equal(train, np.flatnonzero((day >= 7 * number) & (day < 7 * number + 7)))
        np.testing.assert_array_equal(test, np.flatnonzero((day >= 7 * number + 14) & (day < 7 * number + 21)))
    ((train, test),) = TimeOrderedSplit(1, test_size="7D", delay="1D", end="2026-03-22").split(times, groups=times)
    np.testing.assert_array_equal(train, np.flatnonzero(day < 13))
    np.testing.assert_array_equal(test, np.flatnonzero((day >= 14) & (day < 21)))


def test_the_order_of_the_rows_has_no_say():
    times = hours(500)
    shuffled = np.random.default_rng(1).permutation(500)
    splitter = TimeOrderedSplit(3, test_size="5D", delay="2D")
    for one, other in zip(
        splitter.split(times, groups=times), splitter.split(None, groups=times[shuffled]), strict=True
    ):
        for rows, others in zip(one, other, strict=True):
            np.testing.assert_array_equal(rows, np.sort(shuffled[others]))


def test_a_row_at_a_boundary_belongs_to_what_begins_there():
    times = np.array(
        ["2026-03-01", "2026-03-08", "2026-03-15T00:00", "2026-03-14T23:59:59.999999999"], "datetime64[ns]"
    )
    splitter = TimeOrderedSplit(1, train_size="7D", delay="7D", test_size="7D", end="2026-03-22")
    ((train, test),) = splitter.split(times, groups=times)
    assert (train.tolist(), test.tolist()) == ([0], [2])


def test_small_windows_end_with_the_hour():
    times = START + np.arange(10) * HOUR
    ((train, test),) = TimeOrderedSplit(1, test_size="2h", delay="1h").split(times, groups=times)
    assert (train.tolist(), test.tolist()) == ([0, 1, 2, 3, 4, 5, 6], [8, 9])


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, pa.table], ids=["pandas", "polars", "pyarrow"])
def test_times_may_be_a_column_of_any_frame(frame):
    times = hours(200)
    X = frame({"paid at": times.astype("datetime64[us]"), "amount": np.arange(200.0)})
    by_name = TimeOrderedSplit(2, test_size=dt.timedelta(days=7), time="paid at").split(X)
    by_group = TimeOrderedSplit(2, test_size=np.timedelta64(7, "D")).split(X, groups=times)
    for one, other in zip(by_name, by_group, strict=True):
        np.testing.assert_array_equal(np.concatenate(one), np.concatenate(other))


def test_scikit_learn_searches_and_validates_by_it():
    times, rng = hours(400), np.random.default_rng(2)
    X = pd.DataFrame({"amount": rng.normal(size=400), "rate": rng.normal(size=400)})
    y = (X["amount"] > 1.5).astype(int)
    scoring = make_scorer(lambda y, score: roc_auc_score(y, -score), response_method="decision_function")
    splitter = TimeOrderedSplit(2, test_size="7D", delay="2D")
    forest = IsolationForest(n_estimators=5, random_state=0)
    search = GridSearchCV(forest, {"max_samples": [16, 64]}, cv=splitter, scoring=scoring).fit(X, y, groups=times)
    assert search.n_splits_ == 2
    with sklearn.config_context(enable_metadata_routing=True):
        found = cross_validate(forest, X, y, cv=splitter, scoring=scoring, params={"groups": times})
    plain = cross_validate(forest, X, y, cv=splitter, scoring=scoring, groups=times)
    np.testing.assert_array_equal(found["test_score"], plain["test_score"])


def test_a_threshold_is_set_on_rows_after_the_delay():
    times = np.sort(hours(400))
    X = pd.DataFrame({"at": times, "amount": np.random.default_rng(3).normal(size=400)})
    splitter = TimeOrderedSplit(1, test_size="7D", delay="7D", time="at")
    forest = IsolationForest(n_estimators=5, random_state=0).set_params(max_features=1)

    class Amounts(IsolationForest):
        def fit(self, X, y=None, sample_weight=None):
            return super().fit(X[["amount"]])

        def score_samples(self, X):
            return super().score_samples(X[["amount"]])

    detector = CalibratedDetector(Amounts(**forest.get_params()), Contamination(0.1), cv=splitter).fit(X)
    ((_, test),) = splitter.split(X)
    np.testing.assert_array_equal(detector.calibration_rows_, test)
    by_time = CalibratedDetector(forest, Contamination(0.1), cv=TimeOrderedSplit(1, test_size="7D", delay="7D"))
    np.testing.assert_array_equal(by_time.fit(X[["amount"]], time=times).calibration_rows_, test)
    with pytest.raises(ParameterError, match="needs the time of each row"):
        by_time.fit(X[["amount"]])


def test_a_pipeline_with_a_past_is_validated_by_time():
    times = np.sort(hours(400))
    X = pd.DataFrame({"card": np.arange(400) % 7, "at": times, "amount": np.random.default_rng(4).normal(50, 9, 400)})
    past = BehaviorFeatures("card", "at", "amount", windows=("1D",), features=("count", "hour"))
    pipeline = make_pipeline(past, IsolationForest(n_estimators=5, random_state=0))
    splitter = TimeOrderedSplit(2, test_size="7D", delay="1D", time="at")
    found = cross_validate(pipeline, X, np.arange(400) % 9 == 0, cv=splitter, scoring="roc_auc", error_score="raise")
    assert len(found["test_score"]) == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"n_splits": 5},
            "to learn from before 5 test windows that end at 2026-03-29 00:00:00, found none: the 200 rows",
        ),
        ({"n_splits": 10**15}, "to learn from before 1,000,000,000,000,000 test windows"),
        ({"delay": "30D"}, "to learn from before 2026-02-"),
        ({"end": "2027-01-01"}, "to be judged on in the test window from 2026-12-18 00:00:00"),
        ({"end": "2026-02-01"}, "to learn from before 2 test windows"),
    ],
)
def test_a_window_without_rows_is_told(given, message):
    times = hours(200)
    splitter = TimeOrderedSplit(**{"n_splits": 2, "test_size": "7D", **given})
    with pytest.raises(TableError, match=message):
        list(splitter.split(times, groups=times))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.array(["2026-03-01", "NaT"], "datetime64[D]"), "must be known for every row"),
        (np.array([3.0, 4.0]), "'time'"),
        (pd.Series(pd.to_datetime(["2026-03-01", "2026-03-09"])).dt.tz_localize("Asia/Tokyo"), "time zone"),
        (np.array([], "datetime64[D]"), "at least one row"),
    ],
)
def test_times_that_are_none_are_refused(groups, message):
    with pytest.raises(TableError, match=message):
        list(TimeOrderedSplit(1, test_size="1D").split(groups, groups=groups))


@pytest.mark.parametrize(
    "given",
    [
        {"test_size": "a week"},
        {"test_size": "0D"},
        {"test_size": dt.timedelta(days=-1)},
        {"test_size": np.timedelta64("NaT", "D")},
        {"test_size": np.timedelta64(1, "M")},
        {"test_size": 7},
        {"test_size": "7D", "n_splits": 0},
        {"test_size": "7D", "train_size": ""},
        {"test_size": "7D", "delay": "-1D"},
        {"test_size": "7D", "end": 3},
        {"test_size": "7D", "time": ["at"]},
    ],
)
def test_parameters_outside_their_domain(given):
    with pytest.raises(ParameterError, match="parameter of TimeOrderedSplit must be"):
        TimeOrderedSplit(**given)


def test_times_must_be_somewhere():
    with pytest.raises(ParameterError, match="found neither 'time'"):
        next(TimeOrderedSplit(1, test_size="1D").split(np.zeros(3)))
    frames = [(frame({"at": [1]}), "only .'at'.") for frame in (pd.DataFrame, pl.DataFrame, pa.table)]
    for X, found in (*frames, (np.zeros((3, 2)), "ndarray"), ([[1.0]], "list")):
        with pytest.raises(ParameterError, match=f"expected 'when', found {found}"):
            next(TimeOrderedSplit(1, test_size="1D", time="when").split(X))


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3), st.booleans()), min_size=1, max_size=40),
    delay=st.integers(1, 8),
)
def test_a_card_is_known_from_the_delay_after_its_first_fraud_on(rows, delay):
    day, card, y = (np.array(column) for column in zip(*rows, strict=True))
    found = known_cards(y, START + day, card, delay=f"{delay}D")
    expected = [any(z and c == b and d + delay < a for d, c, z in rows) for a, b, _ in rows]
    assert found.tolist() == expected
    by_hour = known_cards(y, (START + day).astype("datetime64[h]") + 13 * HOUR, card, delay=f"{delay}D")
    assert by_hour.tolist() == expected  # what hour of its day a fraud came does not matter


def test_what_is_no_label_time_or_card_is_refused():
    for y, times, cards in (([2], ["2026-03-01"], ["a"]), ([1], [None], ["a"]), ([1], ["2026-03-01"], [None])):
        with pytest.raises(TableError):
            known_cards(y, times, cards, delay="7D")
    with pytest.raises(ParameterError, match="'delay' parameter of known_cards"):
        known_cards([1], ["2026-03-01"], ["a"], delay="soon")
