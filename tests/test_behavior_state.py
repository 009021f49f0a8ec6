"""What is remembered: in a file, within bounds, and when rows are late."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_anomaly import BehaviorFeatures, ModelFileError, OutputError, SchemaWarning, TableError
from vae_anomaly._behavior import history

HOUR = pd.Timedelta("1h")


@pytest.fixture(autouse=True)
def _fold_at_once(monkeypatch):
    monkeypatch.setattr(history, "_FEWEST_TO_FOLD", 1)


def payments(n_rows=300, n_cards=8, seed=0, start="2025-01-06"):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "card": rng.choice([*range(n_cards), None], n_rows),
            "moment": pd.Timestamp(start) + np.arange(n_rows) * HOUR,
            "amount": np.where(rng.random(n_rows) < 0.1, np.nan, rng.exponential(40, n_rows)),
            "shop": rng.choice(["متجر", "🍕", "petrol", None], n_rows),
            "lat": np.where(rng.random(n_rows) < 0.3, np.nan, rng.uniform(40, 50, n_rows)),
            "lon": rng.uniform(0, 10, n_rows),
        }
    )


def behavior(**changed):
    params = {"features": "all", "windows": ("2h", "1D"), "keys": ("shop", "card"), "coordinates": ("lat", "lon")}
    return BehaviorFeatures(("card", "shop"), "moment", "amount", **{**params, **changed})


def assert_same(found, expected):
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


# Files
@pytest.mark.parametrize("changed", [{}, {"coordinates": None, "keys": ()}, {"delay": "3h", "max_entities": None}])
def test_what_is_loaded_goes_on_as_if_it_had_never_been_away(tmp_path, changed):
    X, later = payments()[:200], payments()[200:]
    fitted = behavior(**changed).fit(X)
    fitted.save(path := tmp_path / "past.parquet")
    loaded = BehaviorFeatures.load(path)
    assert loaded.get_params() == fitted.get_params()
    assert loaded.get_feature_names_out().tolist() == fitted.get_feature_names_out().tolist()
    assert_same(loaded.transform(X), fitted.transform(X))  # the rows of fit are known again
    for part in (later[:60], later[60:]):
        assert_same(loaded.update(part), fitted.update(part))
    loaded.save(path, overwrite=True)
    assert BehaviorFeatures.load(path).history_.clock == fitted.history_.clock


def test_the_file_is_plain_parquet(tmp_path):
    behavior().fit(payments()).save(path := tmp_path / "past.parquet")
    table = pd.read_parquet(path)
    counts = table["part"].value_counts()
    assert table.loc[table["part"] == "row", "of shop"].dropna().isin(["متجر", "🍕", "petrol"]).all()
    assert counts["entity"] == 8 + 3
    remembered = counts["row"] + table.loc[(table["part"] == "entity") & (table["column"] == "card"), "count"].sum()
    nobody = payments()["card"].isna().sum()
    assert remembered <= len(payments()) <= remembered + nobody


def test_a_file_is_not_replaced_unasked(tmp_path):
    fitted = behavior().fit(payments())
    fitted.save(path := tmp_path / "past.parquet")
    with pytest.raises(OutputError, match="exists already"):
        fitted.save(path)
    with pytest.raises(OutputError, match=r"expected a name that ends in .parquet"):
        fitted.save(tmp_path / "past.csv")


def changed_head(path, **entries):
    table = pq.read_table(path)
    head = json.loads(table.schema.metadata[b"vae_anomaly.behavior"]) | entries
    pq.write_table(table.replace_schema_metadata({b"vae_anomaly.behavior": json.dumps(head).encode()}), path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "expected a file, found none of that name"),
        (lambda path: path.write_bytes(path.read_bytes()[:900]), "expected what save of BehaviorFeatures wrote"),
        (lambda path: pq.write_table(pa.table({"a": [1]}), path), "found: a Parquet file of something else"),
        (lambda path: changed_head(path, format=99), "found: format 99, while this version"),
        (lambda path: changed_head(path, clock="noon"), "found: a clock of 'noon'"),
        (lambda path: changed_head(path, params={"entities": "card"}), "expected what save of BehaviorFeatures wrote"),
        (lambda path: changed_head(path, names={}), "expected what save of BehaviorFeatures wrote"),
        (lambda path: changed_head(path, columns=["card"]), "found: columns without"),
        (lambda path: changed_head(path, more=1), "found: the entries"),
        (
            lambda path: pq.write_table(pq.read_table(path).drop_columns("count"), path),
            "found: no column 'count'",
        ),
    ],
)
def test_other_files_are_refused_with_a_reason(tmp_path, damage, message):
    behavior().fit(payments()).save(path := tmp_path / "past.parquet")
    damage(path)
    with pytest.raises(ModelFileError, match=message):
        BehaviorFeatures.load(path)


# Bounds
def last_seen(fitted):
    return dict(zip(fitted.history_.levels["card"].to_pylist(), fitted.history_.last_seen("card"), strict=True))


def test_entities_seen_longest_ago_are_forgotten_and_look_new():
    X = payments(60).assign(card=np.arange(60), shop="one")
    bounded = behavior(max_entities=20, keys="shop")
    with pytest.warns(SchemaWarning, match=r"'card' has more than max_entities=20 values: .* of the 42 that were seen"):
        bounded.fit(X)
    again = payments(60, start="2025-02-01").assign(card=np.arange(60), shop="one")
    seen = bounded.transform(again)["card__seconds_since_last"].notna()
    assert seen.tolist() == [False] * 42 + [True] * 18
    assert (
        bounded.transform(again)["shop__count_1D"].tolist()
        == behavior(keys="shop").fit(X).transform(again)["shop__count_1D"].tolist()
    )
    assert len(bounded.history_.levels["card"]) == 18


@pytest.mark.filterwarnings("ignore:'card' has more than max_entities")
@settings(max_examples=5)
@given(st.integers(0, 1000))
def test_what_is_remembered_of_others_is_untouched(seed):
    X = payments(200, n_cards=30, seed=seed)
    bounded, free = behavior(max_entities=12), behavior()
    forgotten = set()
    for part in np.array_split(np.arange(120), 4):
        bounded.partial_fit(X.iloc[part])
        free.partial_fit(X.iloc[part])
        remembered = {str(card) for card, last in last_seen(bounded).items() if last > history.NEVER}
        forgotten |= set(X["card"].iloc[: part[-1] + 1].dropna().astype(str)) - remembered
    assert len(remembered) <= 12
    later = X[120:]
    mine = later["card"].astype(str).isin(remembered - forgotten).to_numpy()
    assert mine.any()
    columns = [name for name in bounded.get_feature_names_out() if name.startswith("card__")]
    assert_same(bounded.transform(later)[mine][columns], free.transform(later)[mine][columns])


def test_memory_does_not_grow_with_time():
    X = payments(2_000)
    stream = behavior().fit(X[:100])
    sizes = []
    for at in range(100, 2_000, 100):
        stream.update(X[at : at + 100])
        sizes.append(len(stream.history_.rows))
    assert max(sizes) <= 150


@pytest.mark.filterwarnings("ignore:'card' has more than max_entities")
@pytest.mark.parametrize(("n_shops", "most_pairs"), [(3, 20 * 3), (100_000, 20 * 40)], ids=["few", "new in every row"])
def test_what_cards_did_is_forgotten_with_them(n_shops, most_pairs):
    stream = BehaviorFeatures("card", "moment", "amount", windows=("1D",), keys="shop", max_entities=20)
    pairs = []
    for number in range(12):  # each time 10 cards that are new, of 40 payments each
        rows = payments(400, seed=number, start=pd.Timestamp("2025-01-06") + number * 400 * HOUR)
        rows["card"] = 10 * number + np.arange(400) % 10
        rows["shop"] = [f"s{shop}" for shop in (400 * number + np.arange(400)) % n_shops]
        stream.partial_fit(rows)
        remembered = stream.history_
        pairs.append(len(remembered.counts["card", "shop"].pair))
        assert len(remembered.levels["card"]) <= 20
        assert len(remembered.levels["shop"]) <= pairs[-1] + len(remembered.rows)
    assert 0 < max(pairs) <= most_pairs


# Late rows
def test_rows_before_the_end_are_refused():
    X = payments()
    fitted = behavior().fit(X)
    before = fitted.transform(X.tail(3).assign(moment=pd.Timestamp("2026-01-01")))
    for method in (fitted.transform, fitted.update, fitted.partial_fit):
        with pytest.raises(
            TableError, match=r"row 1: expected no time before 2025-01-18 11:00:00, .* found 2025-01-18 09:00"
        ):
            method(X.tail(3))
    assert_same(fitted.transform(X.tail(3).assign(moment=pd.Timestamp("2026-01-01"))), before)


def test_late_rows_within_what_is_allowed_see_their_own_past():
    X = payments(shop_free := 200)
    late = X.iloc[180:190]
    stream = behavior(allowed_lateness="1D").fit(X.drop(late.index))
    expected = behavior().fit_transform(X.drop(late.index[1:])).loc[late.index[:1]]
    assert_same(stream.transform(late[:1]), expected)
    assert_same(stream.update(late), behavior().fit_transform(X[:190]).loc[late.index])
    with pytest.raises(
        TableError, match="row 1: expected no time before 2025-01-13 07:00:00, as rows until 2025-01-14 07:00:00"
    ):
        stream.update(X[: shop_free - 100])


def test_a_row_at_the_very_end_comes_after_those_of_the_same_time():
    X = payments(2, n_cards=1).assign(card=0, moment=pd.Timestamp("2025-01-06"))
    fitted = behavior().fit(X)
    assert fitted.update(X.head(1))["card__count_1D"].tolist() == [2]
