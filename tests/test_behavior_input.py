"""Tables as they come: other libraries, time zones, gaps, odd names, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.model_selection import TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline

from vae_anomaly import BehaviorFeatures, ParameterError, SchemaMismatchError, TableError, VAEDetector

DAY = 86_400


def payments(n_rows=120, n_cards=4, seed=0, **columns):
    rng = np.random.default_rng(seed)
    moment = pd.Timestamp("2025-01-06") + pd.to_timedelta(
        np.sort(rng.choice(20 * DAY, n_rows, replace=False)), unit="s"
    )
    return pd.DataFrame(
        {
            "card_id": rng.integers(n_cards, size=n_rows),
            "timestamp": moment,
            "amount": rng.exponential(40, n_rows).round(2),
            "shop": rng.choice(["bakery", "petrol", "متجر", "🍕 slice"], n_rows),
            **columns,
        }
    )


def behavior(**changed):
    return BehaviorFeatures(
        **{"entities": "card_id", "time": "timestamp", "amount": "amount", "features": "all", **changed}
    )


def numbers(rows):
    """The features as an array, whatever the library."""
    if isinstance(rows, np.ndarray):
        return rows.astype(float)
    frame = rows if isinstance(rows, pd.DataFrame) else rows.to_pandas()
    return frame.filter(regex="__").to_numpy(dtype=float)


def assert_equal(found, expected):
    np.testing.assert_array_equal(numbers(found), numbers(expected))


# Libraries
@pytest.mark.parametrize("convert", [pl.from_pandas, pa.Table.from_pandas], ids=["polars", "pyarrow"])
def test_other_frames_come_back_as_they_are(convert):
    X = payments()
    found = behavior(keys="shop").fit_transform(convert(X))
    assert isinstance(found, type(convert(X)))
    assert_equal(found, behavior(keys="shop").fit_transform(X))
    kept = found["shop"].to_pylist() if isinstance(found, pa.Table) else found["shop"].to_list()
    assert kept == X["shop"].tolist()


def test_an_array_has_columns_by_place():
    X = payments().drop(columns="shop")
    array = np.column_stack([X["card_id"], X["timestamp"].astype("datetime64[s]").astype(np.int64), X["amount"]])
    found = BehaviorFeatures("x0", "x1", "x2", features="all", keep_columns=False).fit(array)
    assert_equal(found.transform(array), behavior(keep_columns=False).fit_transform(X))
    assert not hasattr(found, "feature_names_in_")
    kept = BehaviorFeatures("x0", "x1", "x2").fit_transform(array)
    assert kept[:, 0].tolist() == X["amount"].tolist()
    objects = behavior(entities="x0", time="x1", amount="x2", keys="x3").fit_transform(payments().to_numpy())
    assert objects[:, 1].tolist() == payments()["shop"].tolist()


def test_the_index_is_kept_even_where_labels_repeat():
    X = payments()
    X.index = np.repeat([5, 3], len(X) // 2)
    found = behavior().fit_transform(X)
    assert found.index.tolist() == X.index.tolist()
    assert_equal(found, behavior().fit_transform(X.reset_index(drop=True)))


def test_containers_can_be_chosen():
    X, later = payments(), payments().assign(timestamp=pd.Timestamp("2025-03-01"))
    fitted = behavior(keep_columns=False).set_output(transform="polars").fit(X)
    assert isinstance(fitted.transform(X), pl.DataFrame)
    assert isinstance(fitted.update(later), pl.DataFrame)
    array = X.drop(columns="shop").assign(timestamp=X["timestamp"].astype("datetime64[s]").astype(np.int64)).to_numpy()
    named = BehaviorFeatures("x0", "x1", "x2").set_output(transform="pandas").fit(array)
    assert named.transform(array).columns.tolist() == named.get_feature_names_out().tolist()
    frame = behavior().set_output(transform="pandas").fit_transform(pl.from_pandas(X))
    assert_equal(frame, behavior().fit_transform(X))


def test_names_come_out_as_the_columns_do():
    X = payments(lat=48.0, lon=2.0)
    fitted = behavior(keys=("shop", "card_id"), coordinates=("lat", "lon"), windows=("2h", "7D")).fit(X)
    names = fitted.get_feature_names_out().tolist()
    assert fitted.transform(X).columns.tolist() == names
    assert names[:3] == ["amount", "shop", "card_id__count_2h"]
    assert {"card_id__amount_mean_7D", "card_id__shop_first", "card_id__km_per_hour", "timestamp__hour"} < set(names)
    assert not any("card_id_distinct" in name for name in names)


def test_a_choice_of_features_changes_none_of_them():
    X = payments(lat=48.0, lon=2.0)
    columns = {"keys": ("shop",), "coordinates": ("lat", "lon")}
    everything = behavior(**columns).fit_transform(X)
    small = behavior(**columns, features="small").fit_transform(X)
    assert not any(word in name for name in small for word in ("_sum_", "_std_", "_max_", "_z_", "since"))
    for chosen in ("count", "z", "seconds_since_last", "first", "km_per_hour", "weekday"):
        found = behavior(**columns, features=(chosen,), keep_columns=False).fit_transform(X)
        assert len(found.columns) == (4 if chosen == "count" else 1)
        assert_equal(found, everything[found.columns])
    assert_equal(small, everything[small.columns])


# Pipelines
def test_a_clone_is_not_fitted_and_has_the_parameters():
    fitted = behavior(keys=["shop"], windows=["3h"]).fit(payments())
    copied = clone(fitted)
    assert copied.get_params() == fitted.get_params()
    assert not hasattr(copied, "history_")
    assert_equal(copied.fit_transform(payments()), fitted.transform(payments()))


def test_a_pipeline_is_fitted_on_the_past_and_scores_what_comes_after():
    X = payments(400)
    train, test = X[:300], X[300:]
    pipeline = make_pipeline(behavior(), VAEDetector(max_steps=60, n_members=1)).fit(train)
    assert np.isfinite(pipeline.score_samples(train)).all()
    scores = pipeline.score_samples(test)
    assert np.array_equal(pipeline.score_samples(test), scores)
    odd = test.tail(1).assign(amount=10 * X["amount"].max())
    assert pipeline.score_samples(odd)[0] < scores.min()


def test_splits_by_time_work_and_splits_at_random_are_refused():
    X = payments(200).drop(columns="shop")
    pipeline = make_pipeline(behavior(), SimpleImputer(keep_empty_features=True), IsolationForest(n_estimators=5))
    assert np.isfinite(
        cross_val_score(pipeline, X, scoring=lambda e, X, y=None: e.score_samples(X).mean(), cv=TimeSeriesSplit(3))
    ).all()
    with pytest.raises(TableError, match="split by time instead of at random"):
        behavior().fit(X[::2]).transform(X[1::2])


# Gaps
def test_a_row_without_a_time_has_no_features_and_is_not_remembered():
    X = payments()
    gap = X.assign(timestamp=X["timestamp"].mask(np.arange(len(X)) % 5 == 0))
    found = behavior().fit_transform(gap)
    assert_equal(found[gap["timestamp"].notna()], behavior().fit_transform(gap.dropna(subset="timestamp")))
    assert found[gap["timestamp"].isna()].filter(regex="__").isna().all(axis=None)


def test_a_row_without_an_entity_has_none_of_its_features_and_those_of_the_other():
    X = payments()
    X["card_id"] = X["card_id"].astype("Int64").mask(np.arange(len(X)) % 3 == 0)
    found = behavior(entities=("card_id", "shop")).fit_transform(X)
    assert found.loc[X["card_id"].isna()].filter(regex="^card_id__").isna().all(axis=None)
    whole = behavior(entities="shop").fit_transform(X)
    assert_equal(found.filter(regex="^shop__|^time"), whole.filter(regex="^shop__|^time"))


def test_a_row_without_an_amount_counts_and_adds_nothing():
    X = payments(n_cards=1)
    X.loc[::2, "amount"] = np.nan
    found = behavior(windows=("30D",)).fit_transform(X)
    present = behavior(windows=("30D",)).fit_transform(X.dropna())
    for name in ("mean", "std", "max"):
        assert_equal(
            found.dropna(subset="amount")[[f"card_id__amount_{name}_30D"]], present[[f"card_id__amount_{name}_30D"]]
        )
    assert found["card_id__count_30D"].tolist() == list(range(len(X)))
    assert found["card_id__amount_ratio_30D"].isna().tolist() == [True, True] + [True, False] * (len(X) // 2 - 1)


def test_columns_without_a_value_are_no_reason_to_stop():
    X = payments(amount=np.nan, shop=None)
    found = behavior(keys="shop").fit_transform(X)
    assert found["card_id__shop_distinct_7D"].eq(0).all()
    assert found["card_id__shop_first"].isna().all()
    assert behavior().fit(X).transform(X.head(0)).shape == (0, len(found.columns) - 4 - 2)
    nobody = behavior().fit(X.assign(card_id=None))
    assert len(nobody.history_.rows) == 0
    assert nobody.update(X.tail(1).assign(timestamp=pd.Timestamp("2026-01-01")))["card_id__count_1h"].tolist() == [0]


def test_one_row_is_enough():
    found = behavior(keys="shop").fit_transform(payments(1))
    assert found["card_id__count_30D"].tolist() == [0.0]
    assert found["card_id__shop_first"].tolist() == [1.0]
    assert (
        found[["card_id__amount_mean_30D", "card_id__seconds_since_last", "card_id__hour_share"]].isna().all(axis=None)
    )


# Entities
def test_an_entity_that_was_never_seen_starts_with_nothing():
    fitted = behavior(keys="shop").fit(payments())
    new = payments(3, seed=1).assign(card_id=77, timestamp=pd.date_range("2025-03-01", periods=3, freq="h"))
    assert_equal(fitted.transform(new), behavior(keys="shop").fit_transform(new))


@pytest.mark.parametrize("as_other", [float, str, "category", "Int64", "object"])
def test_a_number_is_the_same_entity_in_whatever_type(as_other):
    X, later = payments(), payments(seed=2).assign(timestamp=lambda rows: rows["timestamp"] + pd.Timedelta("21D"))
    fitted = behavior().fit(X)
    assert_equal(fitted.transform(later.assign(card_id=later["card_id"].astype(as_other))), fitted.transform(later))


def test_text_keeps_its_leading_zeros():
    X = payments(4).assign(card_id=["007", "7", "007", "7.0"])
    assert behavior().fit_transform(X)["card_id__count_30D"].tolist() == [0, 0, 1, 0]


def test_floats_that_stand_for_several_integers_are_refused():
    X = payments(3).assign(card_id=[1.0, 2.0**53, 3.0])
    with pytest.raises(TableError, match=r"'card_id', row 2: expected names that can be told apart.* as text"):
        behavior().fit(X)


def test_one_entity_with_very_many_rows():
    n_rows = 200_000
    X = pd.DataFrame({"card_id": 1, "timestamp": np.arange(n_rows), "amount": 1.5, "shop": np.arange(n_rows) % 7})
    found = behavior(keys="shop", windows=("1h", "30D"), keep_columns=False).fit_transform(X).iloc[-1]
    assert found["card_id__count_1h"] == found["card_id__amount_sum_1h"] / 1.5 == 3599
    assert (found["card_id__count_30D"], found["card_id__amount_std_30D"]) == (n_rows - 1, 0)
    assert found["card_id__shop_distinct_30D"] == 7


def test_many_entities():
    X = payments(5_000, n_cards=100_000)
    found = behavior(windows=("30D",)).fit_transform(X)
    assert found["card_id__count_30D"].tolist() == X.groupby("card_id").cumcount().tolist()


# Times
def test_instants_are_compared_and_hours_are_those_of_the_own_clock():
    zoned = pd.to_datetime(["2025-03-30 00:30", "2025-03-30 01:30"]).tz_localize("UTC").tz_convert("Europe/Berlin")
    X = pd.DataFrame({"card_id": 1, "timestamp": zoned, "amount": 1.0})
    found = behavior().fit_transform(X)
    assert found["timestamp__hour"].tolist() == [1, 3]  # the clocks went forward in between
    assert found["card_id__seconds_since_last"].tolist()[1] == 3600
    later = X.assign(timestamp=X["timestamp"].dt.tz_convert("UTC") + pd.Timedelta("1D"))
    assert behavior().fit(X).transform(later)["timestamp__hour"].tolist() == [2, 3]  # of Berlin, in summer


@pytest.mark.parametrize(
    "texts",
    [
        ["2025-01-06T09:00:00Z", "2025-01-06T10:30:00+01:00"],
        ["2025-01-06 09:00", "2025-01-06 09:30:00"],
        ["2025-01-06 09:00:00.1234567+00:00", "2025-01-06 09:30:00.1234567 +00"],
        ["32400", "34200"],
        [32400, 34200],
        [32400.0, 34200.0],
    ],
)
def test_times_may_be_text_or_seconds(texts):
    X = pd.DataFrame({"card_id": 1, "timestamp": texts, "amount": 1.0})
    found = behavior().fit_transform(X)
    assert found["card_id__seconds_since_last"].tolist()[1] == 1800
    assert found["timestamp__hour"].iloc[0] == 9


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (
            ["2025-01-06 09:00Z", "2025-01-06 09:30"],
            "row 2: expected times that all have a time zone, or all have none",
        ),
        (["2025-01-06 09:00", "soon"], "row 2: expected an ISO date such as .*, found 'soon'"),
        ([1.7e12, 1.8e12], "row 1: expected seconds since 1970 .* Divide milliseconds by 1,000"),
        ([None, None], "expected a time in at least one row"),
        ([True, False], "expected dates or seconds, found bool"),
    ],
)
def test_times_that_cannot_be_read_are_refused(times, message):
    with pytest.raises(TableError, match=message):
        behavior().fit(pd.DataFrame({"card_id": 1, "timestamp": times, "amount": 1.0}))


@pytest.mark.parametrize("other", [lambda t: t.dt.tz_localize("UTC"), lambda t: t.astype("datetime64[s]").astype(int)])
def test_times_are_of_one_kind_in_fit_and_later(other):
    X = payments()
    later = X.assign(timestamp=other(X["timestamp"] + pd.Timedelta("60D")))
    with pytest.raises(SchemaMismatchError, match="expected dates without a time zone, as in fit, found"):
        behavior().fit(X).transform(later)


# Refused
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"amount": np.inf}, "'amount', row 1: expected finite numbers or missing cells, found 120"),
        ({"amount": "much"}, "'amount', row 1: expected a number, found 'much'"),
        ({"amount": 1e200}, "'amount', row 1: expected amount from"),
        ({"lat": 91.0}, "'lat', row 1: expected latitude from -90 to 90, found 91"),
        ({"card_id__count_1D": 1}, r"no column with the name of a feature, found \['card_id__count_1D'\]"),
    ],
)
def test_cells_and_columns_that_cannot_be(changed, message):
    X = payments(lat=1.0, lon=2.0).assign(**changed)
    with pytest.raises(TableError, match=message):
        behavior(coordinates=("lat", "lon")).fit(X)


def test_a_column_named_like_a_feature_does_no_harm_if_it_is_left_out():
    X = payments()
    named = X.assign(card_id__count_1D=-1)
    assert_equal(behavior(keep_columns=False).fit_transform(named), behavior(keep_columns=False).fit_transform(X))


def test_columns_must_be_those_of_fit():
    X = payments()
    later = X.assign(timestamp=X["timestamp"] + pd.Timedelta("60D"))
    with pytest.raises(TableError, match=r"BehaviorFeatures needs the columns \['card_id'\], found only"):
        behavior().fit(X.drop(columns="card_id"))
    with pytest.raises(SchemaMismatchError, match=r"missing \['amount', 'shop'\], new \['Amount'\]"):
        behavior().fit(X).transform(later[["card_id", "timestamp"]].assign(Amount=1))
    alone = behavior(keep_columns=False).fit(X)
    assert_equal(alone.transform(later.drop(columns="shop").assign(more=1)), alone.transform(later))
    with pytest.raises(TableError, match="at least one row"):
        behavior().fit(X.head(0))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"windows": ()}, "'windows' parameter of BehaviorFeatures must be a tuple of 1 or more, each a time above 0"),
        ({"windows": ("0h",)}, "each a time above 0 such as"),
        ({"windows": ("fast",)}, "each a time above 0 such as"),
        ({"windows": ("1D", "24h")}, "must have lengths that differ"),
        ({"entities": ()}, "'entities' parameter"),
        ({"entities": ("card_id", "card_id")}, "Got 'card_id' more than once"),
        ({"keys": ("amount",)}, "Got 'amount' more than once"),
        ({"coordinates": ("lat", "lon", "x")}, "must name two columns"),
        ({"features": ("median",)}, "'features' parameter"),
        ({"features": "many"}, "must be 'small' or 'all' or a tuple"),
        ({"delay": "-1D"}, "'delay' parameter"),
        ({"max_entities": 0}, "'max_entities' parameter"),
    ],
)
def test_parameters_outside_their_domain(changed, message):
    with pytest.raises(ParameterError, match=message):
        behavior(**changed).fit(payments())


def test_a_fit_that_fails_leaves_the_former_one():
    fitted = behavior().fit(payments())
    before = fitted.transform(payments())
    with pytest.raises(TableError):
        fitted.fit(payments().assign(amount=np.inf))
    assert_equal(fitted.transform(payments()), before)
    assert math.isnan(before["card_id__amount_mean_1h"].iloc[0])
