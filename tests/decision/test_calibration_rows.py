import datetime as dt

import numpy as np
import pandas as pd
import pytest

from vae_anomaly.decision.calibration_rows import CalibrationRows, as_segments, as_times
from vae_anomaly.errors import ParameterError, TableError

DAY = np.datetime64("2026-03-01T00:00:00", "ns")


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"score": []}, "found none"),
        ({"score": [[1.0]]}, "one column"),
        ({"score": [1.0, np.nan]}, r"finite number: found nan at row 1 and 1 such rows of 2"),
        ({"score": [1.0, np.inf]}, "finite number: found inf"),
        ({"score": ["a", "b"]}, "must hold numbers"),
        ({"y": [0, 1, 0]}, "each of the 2 rows: found 3"),
        ({"y": [-1, 1]}, r"y == -1 for scikit-learn's outlier labels"),
        ({"y": [1, 1]}, "labels of normal rows"),
        ({"y": [0, np.nan]}, "Labels must be"),
        ({"amount": [1.0, -2.0]}, "'amount' must be 0 or more: found -2 at row 1"),
        ({"weight": [1.0, -2.0]}, "'weight' must be 0 or more"),
        ({"weight": [0.0, 0.0]}, "weights of which some are above 0"),
        ({"time": [1.0, 2.0]}, "to_datetime"),
        ({"time": ["2026-03-01", "yesterday"]}, "dates or times"),
        ({"time": [DAY, np.datetime64("NaT")]}, "row 1 and 1 in all have none"),
        ({"time": pd.to_datetime(["2026-03-01", "2026-03-02"], utc=True)}, "tz_localize"),
        ({"group": ["a"]}, "each of the 2 rows"),
    ],
)
def test_rows_that_cannot_be_used_are_refused_with_a_remedy(columns, match):
    with pytest.raises(TableError, match=match):
        CalibrationRows.from_arrays(**{"score": [1.0, 2.0], **columns})


@pytest.mark.parametrize("contamination", [-0.1, 0.6, "auto"])
def test_a_contamination_is_none_or_at_most_a_half(contamination):
    with pytest.raises(ParameterError, match="contamination"):
        CalibrationRows.from_arrays([1.0], contamination=contamination)


@pytest.mark.parametrize(
    "time",
    [
        ["2026-03-01", "2026-03-02"],
        np.array(["2026-03-01", "2026-03-02"], dtype="datetime64[D]"),
        [dt.date(2026, 3, 1), dt.date(2026, 3, 2)],
        [dt.datetime(2026, 3, 1), dt.datetime(2026, 3, 2)],
        pd.Series(pd.to_datetime(["2026-03-01", "2026-03-02"])),
        pd.Series(["2026-03-01", "2026-03-02"]),
        pd.Series([pd.Timestamp("2026-03-01"), pd.Timestamp("2026-03-02")], dtype=object),
    ],
    ids=["text", "days", "dates", "datetimes", "series", "text series", "timestamps"],
)
def test_times_of_many_kinds_are_one(time):
    found = as_times(time)
    assert found.dtype == "datetime64[ns]"
    np.testing.assert_array_equal(found, DAY + np.array([0, 1]).astype("timedelta64[D]"))


@pytest.mark.parametrize(
    ("group", "names"),
    [
        ([1, 2], ["1", "2"]),
        (["1", None], ["1", None]),
        ([1.0, np.nan], ["1", None]),
        ([1.5, 2.0], ["1.5", "2"]),
        ([True, False], ["True", "False"]),
        (pd.Series(["DE", pd.NA], dtype="string"), ["DE", None]),
        (pd.Series([1, None], dtype="Int64"), ["1", None]),
        (pd.Categorical(["DE", "FR"]), ["DE", "FR"]),
    ],
    ids=["integers", "text", "floats", "fractions", "booleans", "strings", "nullable", "categories"],
)
def test_segments_are_compared_as_text(group, names):
    assert as_segments(group).tolist() == names


def test_taken_rows_take_every_column():
    rows = CalibrationRows.from_arrays(
        [3.0, 1.0, 2.0], y=[1, 0, 0], amount=[30, 10, 20], time=DAY + np.arange(3), group=list("abc"), weight=[3, 1, 2]
    )
    some = rows.take(np.array([True, False, True]))
    assert len(some) == 2
    np.testing.assert_array_equal(some.amount, 10 * some.score)
    np.testing.assert_array_equal(some.weight, some.score)
    assert some.group.tolist() == ["a", "c"]
    np.testing.assert_array_equal(some.time, DAY + np.array([0, 2]))
    np.testing.assert_array_equal(some.normal_score, [2.0])
    np.testing.assert_array_equal(some.normal_weight, [2.0])
