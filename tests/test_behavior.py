"""Features of the past: what they mean, that they never see the future, and that batch and stream are one."""

from __future__ import annotations

import math
import os
import statistics
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from vae_anomaly import BehaviorFeatures, make_transactions
from vae_anomaly._behavior import history

WINDOWS = {"10s": 10, "1min": 60}
START = pd.Timestamp("2025-01-05 23:58:00")  # the hour and the weekday change soon
DATA = Path(os.environ.get("VAE_ANOMALY_DATA", Path(__file__).parents[2] / "shared" / "data")) / "handbook"
HANDBOOK = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} has no published features: set VAE_ANOMALY_DATA")


@pytest.fixture(autouse=True)
def _fold_at_once(monkeypatch):
    """Old rows become counts as soon as no window reaches them, as they do where rows are many."""
    monkeypatch.setattr(history, "_FEWEST_TO_FOLD", 1)


FEW = settings(max_examples=30, phases=[Phase.explicit, Phase.generate])
ROWS = st.tuples(
    st.integers(0, 200),
    st.sampled_from(["a", "b", "c", None]),
    st.sampled_from(["x", "y", None]),
    st.one_of(st.none(), st.integers(-(10**6), 10**6).map(lambda cents: cents / 100), st.sampled_from([0.1, 25.0])),
    st.one_of(st.none(), st.floats(-90, 90)),
)
TABLES = st.lists(ROWS, min_size=2, max_size=25)


def table(rows):
    second, card, shop, amount, latitude = zip(*rows, strict=True)
    return pd.DataFrame(
        {
            "card": pd.array(card, "str"),
            "shop": pd.array(shop, "str"),
            "moment": START + pd.to_timedelta(np.array(second), unit="s"),
            "amount": np.array(amount, dtype=float),
            "lat": np.array(latitude, dtype=float),
            "lon": np.full(len(rows), 10.0),
        }
    )


def behavior(**changed):
    params = {"features": "all", "windows": tuple(WINDOWS), "keys": ("shop", "card"), "coordinates": ("lat", "lon")}
    return BehaviorFeatures(("card", "shop"), "moment", "amount", **{**params, **changed})


def in_order(rows, time="moment"):
    return rows.sort_values(time, kind="stable", ignore_index=True)


def assert_same(found, expected):
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


# Meaning
def spread(amounts):
    return statistics.stdev(amounts) if len(amounts) > 1 else math.nan


def mean(values):
    return statistics.fmean(values) if values else math.nan


def share(values, value):
    return sum(v == value for v in values) / len(values) if values else math.nan


def told_one_by_one(rows, entity, key, delay=0):
    """The features of each row by their definitions, with plain loops."""
    records = [
        r if r[entity] is not None else None for r in rows.astype(object).where(rows.notna(), None).to_dict("records")
    ]
    for r in records:
        if r is not None:
            r["second"] = (r["moment"] - START).total_seconds()
            r["hour"] = r["moment"].hour
    for i, row in enumerate(records):
        if row is None:
            yield None
            continue
        known = [
            (other["second"], j, other)
            for j, other in enumerate(records)
            if other is not None and other[entity] == row[entity] and (other["second"], j) < (row["second"], i)
            and other["second"] <= row["second"] - delay
        ]  # fmt: skip
        past = [other for *_, other in sorted(known, key=lambda item: item[:2])]
        yield {f"{entity}__{name}": value for name, value in of_one_row(row, past, key, delay).items()}


def of_one_row(row, past, key, delay):
    out = {}
    for name, seconds in WINDOWS.items():
        within = [other for other in past if other["second"] > row["second"] - delay - seconds]
        amounts = [other["amount"] for other in within if other["amount"] is not None]
        out[f"count_{name}"] = len(within)
        out[f"amount_sum_{name}"] = math.fsum(amounts) if amounts or not within else math.nan
        out[f"amount_mean_{name}"] = mean(amounts)
        out[f"amount_std_{name}"] = spread(amounts)
        out[f"amount_max_{name}"] = max(amounts, default=math.nan)
        out[f"{key}_distinct_{name}"] = len({other[key] for other in within} - {None})
    usual, deviation = out["amount_mean_1min"], out["amount_std_1min"]
    amount = math.nan if row["amount"] is None else row["amount"]
    out["amount_ratio_1min"] = amount / usual if usual else math.nan
    out["amount_z_1min"] = (amount - usual) / deviation if deviation else math.nan
    out["seconds_since_last"] = row["second"] - past[-1]["second"] if past else math.nan
    keys = [other[key] for other in past]
    out[f"{key}_first"] = math.nan if row[key] is None else float(row[key] not in keys)
    out[f"{key}_share"] = math.nan if row[key] is None else share(keys, row[key])
    out["hour_share"] = share([other["hour"] for other in past], row["hour"])
    places = [other for other in past if other["lat"] is not None]
    out["km_from_last"] = math.nan
    if places and row["lat"] is not None:  # along a meridian a degree is a degree
        out["km_from_last"] = math.radians(abs(row["lat"] - places[-1]["lat"])) * 6371
        out["km_per_hour"] = out["km_from_last"] / max(row["second"] - places[-1]["second"], 60) * 3600
    return out


@FEW
@given(TABLES, st.sampled_from([None, "7s"]), st.sampled_from([("card", "shop"), ("shop", "card")]))
def test_every_feature_is_what_its_definition_says(rows, delay, pair):
    X = table(rows)
    found = behavior(delay=delay).fit_transform(X)
    for i, told in enumerate(told_one_by_one(X, *pair, delay=7 if delay else 0)):
        mine = found.filter(regex=f"^{pair[0]}__").iloc[i].to_dict()
        expected = dict.fromkeys(mine, math.nan) | (told or {})
        assert set(mine) == set(expected)
        for name, value in expected.items():
            assert mine[name] == pytest.approx(value, rel=1e-6, abs=1e-6, nan_ok=True), name


def test_hour_and_weekday_are_those_of_the_clock():
    X = table([(0, "a", "x", 1.0, None), (150, "a", "x", 1.0, None)])
    found = behavior().fit_transform(X)
    assert found[["moment__hour", "moment__weekday"]].to_numpy().tolist() == [[23, 6], [0, 0]]


def test_amounts_that_are_all_the_same_have_no_deviation_at_all():
    found = behavior().fit_transform(table([(i, "a", "x", 0.1, None) for i in range(9)] + [(9, "a", "x", 5.0, None)]))
    assert found["card__amount_std_1min"].tolist()[2:] == [0.0] * 8
    assert math.isnan(found["card__amount_z_1min"].iloc[-1])
    assert found["card__amount_ratio_1min"].iloc[-1] == 50.0


# The future
@FEW
@given(TABLES, st.data())
def test_no_later_row_changes_an_earlier_one(rows, data):
    X = in_order(table(rows))
    n = data.draw(st.integers(1, len(X)))
    changed = data.draw(st.lists(ROWS, max_size=10))
    until = X["moment"].iloc[n - 1]
    later = [(int((until - START).total_seconds()) + second, *rest) for second, *rest in changed]
    others = pd.concat([X.head(n), table(later)], ignore_index=True) if later else X.head(n)
    first = behavior().fit_transform(X).head(n)
    assert_same(behavior().fit_transform(others).head(n), first)


@FEW
@given(TABLES, st.randoms(use_true_random=False))
def test_the_order_of_the_input_matters_for_ties_alone(rows, random):
    X = table([(i * 7, *rest) for i, (_, *rest) in enumerate(rows)])
    shuffled = random.sample(range(len(X)), len(X))
    assert_same(behavior().fit_transform(X.iloc[shuffled]).sort_index(), behavior().fit_transform(X))


def test_labels_are_never_looked_at():
    X = table([(i, "a", "x", float(i), 1.0) for i in range(20)])
    assert_same(behavior().fit_transform(X, np.arange(20) % 2), behavior().fit_transform(X))


# Batch and stream
@FEW
@given(TABLES, st.sampled_from([None, "7s"]), st.sampled_from([1, 3, 8]))
def test_one_table_several_tables_and_single_rows_are_the_same_to_the_bit(rows, delay, size):
    X = in_order(table(rows))
    whole = behavior(delay=delay).fit_transform(X)
    stream = behavior(delay=delay)
    parts = [stream.fit_transform(X.head(1))]
    parts += [stream.update(X.iloc[at : at + size]) for at in range(1, len(X), size)]
    assert_same(pd.concat(parts), whole)


@FEW
@given(TABLES, TABLES)
def test_transform_changes_nothing_and_continues(rows, more):
    X, later = in_order(table(rows)), in_order(table([(second + 200, *rest) for second, *rest in more]))
    fitted = behavior().fit(X)
    once = fitted.transform(later)
    assert_same(fitted.transform(later), once)
    assert_same(fitted.update(later), once)
    both = behavior().fit_transform(pd.concat([X, later], ignore_index=True)).tail(len(later))
    assert_same(once, both.reset_index(drop=True))


@FEW
@given(TABLES)
def test_the_rows_of_fit_see_their_own_past_and_not_their_future(rows):
    X = table(rows)
    fitted = behavior().fit(X)
    features = behavior().fit_transform(X)
    assert_same(fitted.transform(X), features)
    fitted.partial_fit(X.assign(moment=X["moment"] + pd.Timedelta("1D")))
    assert_same(fitted.transform(X), features)


def test_partial_fit_remembers_what_update_does():
    X = in_order(make_transactions(2_000, random_state=3), "timestamp")
    columns = {"entities": "customer_id", "time": "timestamp", "amount": "amount", "keys": "merchant_id"}
    told, silent = BehaviorFeatures(**columns).fit(X[:1000]), BehaviorFeatures(**columns).partial_fit(X[:1000])
    told.update(X[1000:1500])
    silent.partial_fit(X[1000:1500])
    assert_same(told.transform(X[1500:]), silent.transform(X[1500:]))


def test_days_of_many_customers_are_one_table():
    X = in_order(make_transactions(3_000, n_customers=60, n_days=60, random_state=1), "timestamp")
    params = {"features": "all", "windows": ("1h", "7D"), "keys": ("merchant_id", "category"), "keep_columns": False}
    whole = BehaviorFeatures(("customer_id", "terminal_id"), "timestamp", "amount", **params).fit_transform(X)
    stream = BehaviorFeatures(("customer_id", "terminal_id"), "timestamp", "amount", **params)
    days = [day for _, day in X.groupby(X["timestamp"].dt.date)]
    parts = [stream.fit_transform(days[0]), *(stream.update(day) for day in days[1:])]
    assert_same(pd.concat(parts), whole)
    assert len(stream.history_.rows) < len(X) / 2  # the rows of a week, and counts of the others


# The published features
@HANDBOOK
def test_the_handbook_s_features_of_customers_come_out_of_its_raw_rows():
    columns = ["TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TX_AMOUNT"]
    raw = pd.read_parquet(DATA / "transactions_2018-06-01_2018-08-07.parquet", columns=columns)
    published = pd.read_parquet(DATA / "features_2018-07-11_2018-07-31.parquet").set_index("TRANSACTION_ID")
    made = BehaviorFeatures("CUSTOMER_ID", "TX_DATETIME", "TX_AMOUNT", windows=("1D", "7D", "30D"), features="all")
    found = made.fit_transform(raw).set_index("TRANSACTION_ID").loc[published.index]
    amount = found["TX_AMOUNT"]
    for days in (1, 7, 30):  # the Handbook counts the row itself too
        count = found[f"CUSTOMER_ID__count_{days}D"] + 1
        average = (found[f"CUSTOMER_ID__TX_AMOUNT_sum_{days}D"] + amount) / count
        assert count.eq(published[f"CUSTOMER_ID_NB_TX_{days}DAY_WINDOW"]).all()
        expected = published[f"CUSTOMER_ID_AVG_AMOUNT_{days}DAY_WINDOW"]
        same = average.astype(np.float32).eq(expected)
        assert (same | (average.eq(0) & expected.lt(1e-12))).all()  # its running sums leave 1e-14 of nothing
