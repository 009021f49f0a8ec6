"""Laws of drivers and patterns: nothing is lost, order counts for nothing, and what was planted is found."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from vae_anomaly import ParameterError, TableError, VAEDetector, alert_drivers, alert_patterns

DIRECTIONS = ["too high", "too low", "unusual value", "unseen", "unexpectedly missing", "as expected"]
EXPLAINED = ["row", "rank", "column", "direction", "share", "unusualness", "sentence"]


def lines(n_alerts, n_reasons=3, n_columns=5, seed=0):
    """Lines of made-up reasons, the most unusual first."""
    rng = np.random.default_rng(seed)
    n_reasons = min(n_reasons, n_columns)
    columns = np.array([rng.permutation(n_columns)[:n_reasons] for _ in range(n_alerts)]).reshape(n_alerts, n_reasons)
    return pd.DataFrame(
        {
            "row": np.repeat(np.arange(n_alerts), n_reasons),
            "rank": np.tile(np.arange(1, n_reasons + 1), n_alerts),
            "column": [f"column {number}" for number in columns.ravel()],
            "direction": rng.choice(DIRECTIONS, n_alerts * n_reasons),
            "share": rng.normal(size=n_alerts * n_reasons),
            "unusualness": -np.sort(-rng.exponential(3, (n_alerts, n_reasons)) + 0.2, axis=1).ravel(),
            "sentence": [f"line {number}" for number in range(n_alerts * n_reasons)],
        }
    )


def reasons_of(*alerts):
    """Lines of alerts that are given as (column, direction, unusualness) each."""
    found = [
        (row, rank, column, direction, 1.0, unusualness, f"{column} {direction}")
        for row, alert in enumerate(alerts)
        for rank, (column, direction, unusualness) in enumerate(alert, 1)
    ]
    return pd.DataFrame(found, columns=EXPLAINED)


@pytest.fixture(scope="module")
def planted():
    """Alerts of two causes, and their reasons."""
    rng = np.random.default_rng(0)
    net = rng.gamma(9, 9, 2_300)
    rows = pd.DataFrame(
        {
            "net": net,
            "gross": net * 1.2 + rng.normal(size=2_300),
            "country": rng.choice(["DE", "FR", "NL"], 2_300, p=[0.8, 0.15, 0.05]),
            "items": rng.integers(1, 9, 2_300),
        }
    )
    detector = VAEDetector(max_steps=200, n_members=1).fit(rows[:2_000])
    odd, cause = rows[2_000:].reset_index(drop=True), np.arange(300) % 3
    odd.loc[cause == 0, "gross"] *= rng.uniform(3, 6, 100)
    odd.loc[cause == 1, "country"] = "XX"
    return odd[cause < 2], cause[cause < 2], detector.explain(odd[cause < 2])


def test_planted_causes_are_the_patterns(planted):
    odd, cause, reasons = planted
    found = alert_patterns(reasons, amount=odd["net"])
    assert adjusted_rand_score(cause, found.labels) > 0.9
    first = found.table.iloc[:2]
    assert {names[0] for names in first["columns"]} == {"gross", "country"}
    assert {sides[0] for sides in first["directions"]} == {"too high", "unseen"}
    assert (odd.index[first["row"]] == first["index"]).all()
    assert np.isclose(found.table["amount"].sum(), odd["net"].sum())


def test_planted_causes_are_the_drivers(planted):
    _, cause, reasons = planted
    by_cause = alert_drivers(reasons, by=cause)
    first = by_cause.drop_duplicates("segment").set_index("segment")
    assert first["column"].to_dict() == {"0": "gross", "1": "country"}
    assert first["direction"].to_dict() == {"0": "too high", "1": "unseen"}
    assert (first["rate_first"] > 0.9).all()


@pytest.mark.parametrize("n_columns", [3, 6, 60])
def test_the_order_of_the_alerts_changes_no_pattern(n_columns):
    reasons = lines(600 if n_columns < 60 else 6_000, n_columns=n_columns)
    n_alerts = reasons["row"].nunique()
    order = np.random.default_rng(1).permutation(n_alerts)
    found = alert_patterns(reasons)
    turned = reasons.assign(row=order[reasons["row"]])
    other = alert_patterns(turned.sample(frac=1, random_state=2))
    assert (other.labels[order] == found.labels).all()
    other.table["row"] = np.argsort(order)[other.table["row"]]
    told = found.table["columns"].str.len() > 0  # where nothing stands out, all alerts are equally typical
    pd.testing.assert_frame_equal(other.table[told], found.table[told])
    pd.testing.assert_frame_equal(alert_drivers(turned), alert_drivers(reasons))


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 6), st.integers(0, 10_000))
def test_every_alert_has_one_pattern_and_the_largest_come_first(n_alerts, n_reasons, n_columns, seed):
    found = alert_patterns(lines(n_alerts, n_reasons, n_columns, seed))
    assert found.rows.tolist() == list(range(n_alerts))
    assert found.table["pattern"].tolist() == list(range(1, len(found) + 1))
    assert found.table["n_alerts"].tolist() == np.bincount(found.labels)[1:].tolist()
    assert (np.diff(found.table["n_alerts"]) <= 0).all()
    assert (found.labels[found.table["row"]] == found.table["pattern"]).all()


@settings(max_examples=30)
@given(st.integers(2, 40), st.integers(0, 10_000))
def test_a_greater_distance_makes_no_more_patterns_and_extent_makes_none(n_alerts, seed):
    reasons = lines(n_alerts, seed=seed)
    numbers = [len(alert_patterns(reasons, distance=distance)) for distance in (0.01, 0.3, 0.6, 0.99)]
    assert numbers == sorted(numbers, reverse=True)
    louder = reasons.assign(unusualness=reasons["unusualness"] * np.exp2(reasons["row"] % 5))
    assert (alert_patterns(louder).labels == alert_patterns(reasons).labels).all()


def test_alerts_are_alike_by_what_is_most_unusual_and_by_its_direction():
    reasons = reasons_of(
        [("amount", "too high", 9.0), ("hour", "unusual value", 1.0)],
        [("amount", "too high", 5.0)],
        [("amount", "too low", 9.0)],
        [("hour", "unusual value", 3.0), ("amount", "too high", 0.5)],
        [("amount", "too high", 8.0), ("shop", "unseen", 1.0)],
    )
    found = alert_patterns(reasons)
    assert found.labels.tolist() == [1, 1, 2, 3, 1]
    assert found.table["columns"].tolist() == [("amount",), ("amount",), ("hour",)]
    assert found.table["directions"].tolist() == [("too high",), ("too low",), ("unusual value",)]
    assert found.table["row"].tolist()[0] in (1, 4)
    assert found.table["sentence"].tolist()[2] == "hour unusual value; amount too high"


def test_what_surprises_no_more_than_it_mostly_does_is_no_reason():
    reasons = reasons_of(
        [("amount", "too high", 5.0), ("city", "unusual value", 0.0)],
        [("amount", "too high", 4.0), ("city", "unusual value", -0.1)],
    )
    assert alert_drivers(reasons)["column"].tolist() == ["amount"]
    assert alert_patterns(reasons).table["columns"].tolist() == [("amount",)]


def test_alerts_of_which_only_neighbours_are_alike_are_no_one_pattern():
    chain = [[(first, "too high", 3.0), (second, "too high", 2.9)] for first, second in pairwise("abcdefgh")]
    assert 1 < len(alert_patterns(reasons_of(*chain), distance=0.55)) < len(chain)


def test_the_most_typical_alert_of_a_pattern_is_like_most_of_it():
    alike = [("amount", "too high", 5.0), ("city", "unseen", 1.0)]
    other = [("amount", "too high", 3.0), ("city", "unseen", 2.9)]
    table = alert_patterns(reasons_of(other, alike, alike, alike)).table
    assert table["n_alerts"].tolist() == [4]
    assert table["row"][0] in (1, 2, 3)


def test_rare_kinds_are_told_by_their_strongest_reason(monkeypatch):
    monkeypatch.setattr("vae_anomaly._profiles._MOST", 1)
    often = [[("amount", "too high", 9.0), ("hour", "unusual value", 9.0)]] * 3
    rare = [[("amount", "too high", 9.0), (f"other {number}", "unseen", 8.0)] for number in range(4)]
    found = alert_patterns(reasons_of(*often, *rare, [("shop", "unseen", 2.0)]))
    assert found.labels.tolist() == [1] * 7 + [2]


def test_alerts_in_which_nothing_stands_out_are_a_pattern_without_columns():
    usual = [("amount", "as expected", 0.5)]
    found = alert_patterns(reasons_of(usual, [("amount", "too high", 9.0)], usual))
    assert found.labels.tolist() == [1, 2, 1]
    assert found.table["columns"].tolist() == [(), ("amount",)]
    assert found.table["sentence"].tolist() == ["amount as expected", "amount too high"]


def test_lines_of_no_column_and_lines_beyond_the_reasons_asked_for_count_for_nothing(planted):
    _, _, reasons = planted
    total = reasons.drop_duplicates("row")[["row", "index"]].assign(rank=5, share=2.0, sentence="KL")
    with_total = pd.concat([reasons, total])
    pd.testing.assert_frame_equal(alert_drivers(with_total), alert_drivers(reasons[reasons["rank"] <= 3]))
    pd.testing.assert_frame_equal(alert_patterns(with_total).table, alert_patterns(reasons).table)


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(0, 10_000))
def test_drivers_of_segments_add_up_to_those_of_all(n_alerts, seed):
    reasons = lines(n_alerts, seed=seed)
    counts = ["n_first", "n_among"]
    everything = alert_drivers(reasons).set_index("column")
    labels = np.random.default_rng(seed).choice(np.array(["shop", "web", None], dtype=object), n_alerts)
    segments = alert_drivers(reasons, by=labels)
    added = segments.groupby("column")[counts].sum()
    pd.testing.assert_frame_equal(added, everything[counts].sort_index())
    assert (everything["rate_among"] == everything["n_among"] / n_alerts).all()
    unusual = (reasons["direction"] != "as expected") & (reasons["unusualness"] > 0)
    first = reasons[unusual & (reasons["rank"] == 1)]
    assert everything["n_first"].sum() == len(first)
    for name, n_of in segments.groupby("segment", dropna=False)["n_alerts"]:
        assert (n_of == sum(label == name or (label is None and pd.isna(name)) for label in labels)).all()


def test_drivers_by_the_day_and_by_the_hour():
    times = pd.to_datetime(["2026-03-01 10:05", "2026-03-01 23:59", "2026-03-02 00:00"])
    reasons = reasons_of(*[[("amount", "too high", 2.0)]] * 3)
    by_day = alert_drivers(reasons, times, period="day")
    assert by_day["day"].tolist() == [pd.Timestamp("2026-03-01"), pd.Timestamp("2026-03-02")]
    assert by_day["n_alerts"].tolist() == [2, 1]
    by_hour = alert_drivers(reasons, times, period="hour")
    assert by_hour["hour"].tolist() == list(times.floor("h"))


def test_names_in_any_script_are_names():
    reasons = reasons_of([("סכום", "too high", 5.0)], [("💳 card", "unseen", 5.0)], [("סכום", "too high", 7.0)])
    assert alert_patterns(reasons).table["columns"].tolist() == [("סכום",), ("💳 card",)]
    assert alert_drivers(reasons, by=["الرياض", "🙂", "🙂"])["segment"].tolist() == ["الرياض", "🙂", "🙂"]


def test_no_alerts_have_no_drivers_and_no_patterns():
    none = lines(1).iloc[:0]
    assert len(alert_drivers(none)) == 0
    assert len(alert_drivers(none, by=[])) == 0
    found = alert_patterns(none, amount=[])
    assert len(found) == len(found.labels) == 0
    assert {"pattern", "n_alerts", "columns", "directions", "sentence", "row", "amount"} == set(found.table.columns)


def test_a_missing_amount_adds_nothing():
    reasons = reasons_of(*[[("amount", "too high", 2.0)]] * 3)
    assert alert_patterns(reasons, amount=[1.5, None, 2.0]).table["amount"].tolist() == [3.5]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda r: alert_patterns(r, distance=1.0),
            ParameterError,
            r"'distance' parameter of alert_patterns .*\(0, 1\)",
        ),
        (lambda r: alert_patterns(r, n_reasons=0), ParameterError, "'n_reasons' parameter of alert_patterns"),
        (lambda r: alert_drivers(r, n_reasons=True), ParameterError, "'n_reasons' parameter of alert_drivers"),
        (lambda r: alert_drivers(r, [0, 1], period="week"), ParameterError, "'day' or 'hour'"),
        (lambda r: alert_drivers(r, period="day"), ParameterError, "needs 'by'"),
        (lambda r: alert_drivers(r, by=["web"]), TableError, "each of the 2 alerts"),
        (lambda r: alert_drivers(r, by=["x", "y"], period="day"), TableError, "'by' must hold dates"),
        (lambda r: alert_drivers(r, by=["2026-03-01", None], period="day"), TableError, "'by' must be known"),
        (
            lambda r: alert_drivers(r, by=["2026-03-01T09Z"] * 2, period="day"),
            TableError,
            "'by' must be without a time",
        ),
        (lambda r: alert_drivers(r, by=[1, 2], period="hour"), TableError, "'by' must hold dates or times, found int"),
        (lambda r: alert_patterns(r, amount=[1.0]), TableError, "each of the 2 alerts"),
        (lambda r: alert_patterns(r, amount=["much", "more"]), TableError, "numbers"),
        (lambda r: alert_patterns(r.drop(columns="direction")), TableError, r"without the columns \['direction'\]"),
        (lambda r: alert_patterns(r.to_numpy()), TableError, "found ndarray"),
        (lambda r: alert_patterns(pd.concat([r, r])), TableError, "found rank 1 of row 0 several times"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_remedy(call, error, message):
    with pytest.raises(error, match=message):
        call(reasons_of([("amount", "too high", 2.0)], [("amount", "too low", 2.0)]))
