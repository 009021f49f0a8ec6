"""Which rows are learnt from and which are calibrated on: laws of every split."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly._splits import Beside, described, splits
from vae_anomaly.errors import TableError

SHARES = st.floats(0.05, 0.95)
FOLDS = st.integers(2, 6)


def at(hours):
    return np.datetime64("2026-01-01", "ns") + np.asarray(hours).astype("timedelta64[h]")


def split(cv, n_rows, beside=None, seed=0):
    return splits(cv, np.empty((n_rows, 1)), None, n_rows, beside or Beside(), seed)


@given(cv=SHARES | FOLDS, n_rows=st.integers(6, 60), seed=st.integers(0, 9))
def test_no_row_is_on_both_sides_and_none_is_lost(cv, n_rows, seed):
    parts = split(cv, n_rows, seed=seed)
    for part in parts:
        assert len(part.train) > 0
        assert sorted([*part.train, *part.calibration]) == list(range(n_rows))
    calibrated = np.concatenate([part.calibration for part in parts])
    assert len(set(calibrated)) == len(calibrated)
    if isinstance(cv, int):
        assert len(calibrated) == n_rows
    else:
        assert abs(len(calibrated) - cv * n_rows) <= 1


@given(cv=SHARES | FOLDS, hours=st.lists(st.integers(0, 30), min_size=2, max_size=50))
def test_by_time_nothing_is_calibrated_on_that_is_earlier_than_what_is_learnt_from(cv, hours):
    time = at(hours)
    n_cuts = cv if isinstance(cv, int) else 1
    if len(set(hours)) <= n_cuts:
        with pytest.raises(TableError, match=f"{n_cuts + 1} or more different times: found {len(set(hours))}"):
            split(cv, len(hours), Beside(time=time))
        return
    parts = split(cv, len(hours), Beside(time=time))
    assert len(parts) == n_cuts
    for part in parts:
        assert len(part.train) > 0
        assert len(part.calibration) > 0
        assert time[part.train].max() < time[part.calibration].min()
    calibrated = np.concatenate([part.calibration for part in parts])
    assert len(set(calibrated)) == len(calibrated)
    # What follows the first cut is calibrated on, each row by the detector that learnt from all rows before its fold.
    assert sorted([*parts[0].train, *calibrated]) == list(range(len(hours)))
    for earlier, later in itertools.pairwise(parts):
        assert sorted([*earlier.train, *earlier.calibration]) == later.train.tolist()


def test_a_cut_lies_as_near_to_its_share_as_the_times_allow():
    hours = np.repeat([0, 1, 2], [10, 70, 20])
    assert len(split(0.25, 100, Beside(time=at(hours)))[0].calibration) == 20
    assert len(split(0.6, 100, Beside(time=at(hours)))[0].calibration) == 90
    assert [len(part.calibration) for part in split(4, 100, Beside(time=at(np.arange(100))))] == [20] * 4


@given(cv=SHARES | FOLDS, groups=st.lists(st.integers(0, 9), min_size=12, max_size=50), seed=st.integers(0, 9))
def test_groups_are_never_parted(cv, groups, seed):
    codes = np.unique(groups, return_inverse=True)[1]
    at_least = cv if isinstance(cv, int) else 2
    if codes.max() + 1 < at_least:
        with pytest.raises(TableError, match=f"Expected {at_least} or more values"):
            split(cv, len(groups), Beside(group=codes), seed)
        return
    for part in split(cv, len(groups), Beside(group=codes), seed):
        assert len(part.calibration) > 0
        assert set(codes[part.train]).isdisjoint(codes[part.calibration])
        assert set(codes[part.train]) | set(codes[part.calibration]) == set(codes)


@pytest.mark.parametrize(
    ("cv", "beside", "message"),
    [
        (0.25, Beside(), "25 of 100 rows were held out for the calibration, at random"),
        (0.25, Beside(time=at(range(100))), "25 of 100 rows were held out for the calibration, the latest"),
        (0.2, Beside(group=np.arange(100) // 20), "20 of 100 rows were held out for the calibration, whole groups at "),
        (4, Beside(time=at(range(100))), "each of 80 rows was scored by one of 4 detectors"),
    ],
)
def test_the_report_says_how_rows_were_held_out(cv, beside, message):
    assert described(split(cv, 100, beside), 100, beside, cv).startswith(message)


@pytest.mark.parametrize(
    ("cv", "n_rows", "message"), [(0.25, 1, r"found 1 sample\(s\)"), (5, 4, "5 folds need 5 rows")]
)
def test_too_few_rows_are_said_so(cv, n_rows, message):
    with pytest.raises(TableError, match=message):
        split(cv, n_rows)
