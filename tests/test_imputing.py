"""Gaps are filled with what could stand there, as near as other imputers come, and all else stays as it is."""

from __future__ import annotations

import pickle
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer

from vae_anomaly import (
    ModelFileError,
    ParameterError,
    SchemaMismatchError,
    VaeAnomalyError,
    VAEDetector,
    make_transactions,
)
from vae_anomaly._filling import Filling
from vae_anomaly.benchmark.imputation import coverages

QUICK = {"max_steps": 200, "n_members": 1}
UNLEARNT = pytest.mark.filterwarnings("ignore:The model:vae_anomaly.errors.TrainingWarning")


def mixed(n_rows, seed):
    """Numbers, cents, whole numbers, shops and a flag of six kinds of customers, and a date."""
    rng, kinds = np.random.default_rng(seed), np.random.default_rng(9).normal(size=(6, 3)) * 2
    kind = rng.integers(0, 6, n_rows)
    numbers = kinds[kind] + rng.normal(0, 0.5, (n_rows, 3))
    rows = pd.DataFrame(numbers, columns=["x0", "x1", "x2"])
    rows["cents"] = np.exp(0.5 * numbers[:, 0] + 3).round(2)
    rows["days"] = rng.poisson(20 + 5 * kind)
    rows["shop"] = [f"shop {i}" for i in kind]
    rows["online"] = kind % 2 == 0
    seconds = rng.integers(0, 90, n_rows) * 86_400 + (rng.normal(8 + 2 * kind, 0.5) * 3_600).astype(int)
    rows["sold"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(seconds, unit="s")
    return rows


@cache
def detector():
    return VAEDetector(**QUICK).fit(mixed(2_000, 0).mask(holes(2_000, 5, 0.03)))


@cache
def holes(n_rows, seed, share=0.2):
    return np.random.default_rng(seed).random((n_rows, 8)) < share


@cache
def gappy(n_rows=300):
    return mixed(n_rows, 1).mask(holes(n_rows, 2))


def same(a, b):
    return (a == b) | (a.isna() & b.isna())


# ---------------------------------------------------------------- what is there stays, what is not is filled


def test_cells_that_are_there_stay_and_no_gap_is_left():
    rows = gappy()
    filled = detector().impute(rows)
    assert filled.columns.equals(rows.columns)
    assert filled.index.equals(rows.index)
    numbers = rows.columns.drop("online")  # truth values with gaps are objects in pandas, and without gaps none
    assert (filled.dtypes[numbers] == rows.dtypes[numbers]).all()
    assert filled["online"].dtype == bool
    for name in rows:
        there = rows[name].notna()
        assert there.any()
        assert not there.all()
        assert (filled.loc[there, name] == rows.loc[there, name]).all()
    assert not filled.isna().any(axis=None)


def test_what_is_filled_in_could_stand_in_the_table():
    rows, train = gappy(), mixed(2_000, 0)
    for table in (detector().impute(rows), *detector().impute(rows, 3)):
        for name in ("x0", "x1", "x2", "cents", "days"):
            assert table[name].between(train[name].min(), train[name].max())[rows[name].isna()].all()
        cents = table["cents"][rows["cents"].isna()]
        np.testing.assert_array_equal(cents, cents.round(2))
        assert (table["days"] % 1 == 0).all()
        assert set(table["shop"]) <= set(train["shop"])
        assert set(table["online"]) == {False, True}
        assert (table["sold"].dt.microsecond == 0).all()
        new = table["sold"][rows["sold"].isna()]
        assert new.between("2023-12-01", "2024-05-01").all()


@UNLEARNT
def test_numbers_between_whole_ends_keep_their_decimals():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"share": rng.beta(2, 2, 1_000), "x": rng.normal(size=1_000)})
    rows.loc[:1, "share"] = [0.0, 1.0]
    filled = VAEDetector(max_steps=20, n_members=1).fit(rows).impute(rows.assign(share=None).astype(float).head(5))
    assert not filled["share"].isin([0.0, 1.0]).any()


@pytest.mark.parametrize("make", [pl.from_pandas, pa.Table.from_pandas, pd.DataFrame.convert_dtypes])
def test_a_table_of_another_library_is_filled_alike(make):
    rows = gappy(60)
    filled, expected = detector().impute(make(rows)), detector().impute(rows)
    assert type(filled) is type(make(rows))
    back = pd.DataFrame(filled.to_pandas() if hasattr(filled, "to_pandas") else filled)
    for name in rows:
        numeric = pd.api.types.is_numeric_dtype(rows[name].dtype)
        values = [table[name].astype(float if numeric else str).to_numpy() for table in (back, expected)]
        if numeric:
            np.testing.assert_allclose(*values, rtol=1e-12)
        else:
            np.testing.assert_array_equal(*values)
    if not isinstance(filled, pd.DataFrame):
        assert filled.schema == make(rows).schema


def test_an_array_is_filled_and_need_not_have_names():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1_000, 1)) + 0.1 * rng.normal(size=(1_000, 4))
    gaps = np.where(rng.random(X.shape) < 0.2, np.nan, X)
    filled = VAEDetector(**QUICK).fit(X).impute(gaps)
    assert isinstance(filled, np.ndarray)
    assert filled.dtype == X.dtype
    there = ~np.isnan(gaps)
    np.testing.assert_array_equal(filled[there], X[there])
    away = (filled - X)[~there]
    assert np.sqrt(np.square(away).mean()) < 0.35 * X.std()


def test_texts_of_numbers_and_of_gaps_are_read_as_such():
    rows = gappy(50)
    text = rows.assign(days=["NA" if np.isnan(days) else str(int(days)) for days in rows["days"]])
    filled, expected = detector().impute(text), detector().impute(rows)
    there = rows["days"].notna()
    assert (filled["days"][there] == text["days"][there]).all()
    np.testing.assert_array_equal(filled["days"].astype(float), expected["days"])


def test_a_table_without_gaps_comes_back_and_so_does_one_without_rows():
    whole = mixed(20, 3)
    pd.testing.assert_frame_equal(detector().impute(whole), whole)
    tables = detector().impute(whole, 2)
    for table in tables:
        pd.testing.assert_frame_equal(table, whole)
    assert tables[0] is not tables[1]
    pd.testing.assert_frame_equal(detector().impute(whole.head(0)), whole.head(0))
    assert len(detector().impute(whole.head(0), n_draws=3)) == 3


def test_an_index_and_an_order_of_columns_are_kept():
    rows = gappy(40)
    other = rows[rows.columns[::-1]].set_axis([7] * 40)
    filled = detector().impute(other)
    assert filled.index.equals(other.index)
    pd.testing.assert_frame_equal(filled[rows.columns].reset_index(drop=True), detector().impute(rows))


def test_identifiers_and_columns_without_any_value_keep_their_gaps():
    train = mixed(500, 0)[["x0", "shop"]].assign(number=[f"T{i:05}" for i in range(500)], nothing=None)
    fitted = VAEDetector(max_steps=20, n_members=1, kinds={"number": "identifier"}).fit(train)
    gaps = train.head(10).assign(number=None, x0=np.nan)
    filled = fitted.impute(gaps)
    assert filled["number"].isna().all()
    assert filled["nothing"].isna().all()
    assert filled["x0"].notna().all()


# ---------------------------------------------------------------- rows with little or odd in them


def test_a_row_of_gaps_alone_gets_means_and_most_frequent_levels():
    rows, train = mixed(3, 1), mixed(2_000, 0).mask(holes(2_000, 5, 0.03))
    blank = rows.mask(np.ones(rows.shape, dtype=bool)).astype(rows.mask(holes(3, 2, 1.0)).dtypes)
    filled = detector().impute(blank)
    for name in ("x0", "x1", "cents"):
        np.testing.assert_allclose(filled[name], train[name].mean(), atol=0.02 * train[name].std())
    assert (filled["shop"] == train["shop"].mode()[0]).all()
    draws = pd.concat(detector().impute(blank, 40))
    assert draws["shop"].nunique() > 3
    assert 0.75 < draws["x0"].std() / train["x0"].std() < 1.25


def test_a_level_never_seen_stays_beside_a_gap():
    rows = mixed(5, 1).assign(shop="مقهى ☕", x0=np.nan)
    filled = detector().impute(rows)
    assert (filled["shop"] == "مقهى ☕").all()
    assert filled["x0"].notna().all()


@UNLEARNT
def test_thousands_of_levels_and_a_constant():
    rng = np.random.default_rng(0)
    town = rng.integers(0, 1_500, 3_000)
    rows = pd.DataFrame({"town": [f"t{i}" for i in town], "north": town / 100 + rng.normal(0, 0.1, 3_000), "bank": "b"})
    fitted = VAEDetector(max_steps=20, n_members=1, n_exemplars=16).fit(rows)
    gaps = rows.head(50).mask(np.random.default_rng(1).random((50, 3)) < 0.5)
    for table in (fitted.impute(gaps), *fitted.impute(gaps, 2)):
        assert not table.isna().any(axis=None)
        assert (table["bank"] == "b").all()


# ---------------------------------------------------------------- laws


def test_what_is_filled_in_does_not_depend_on_the_other_rows():
    rows = gappy(80)
    whole = detector().impute(rows)
    one_by_one = pd.concat([detector().impute(rows.iloc[[i]]) for i in range(0, 80, 9)])
    backwards = detector().impute(rows.iloc[::-1]).iloc[::-1]
    for name in rows:
        for part in (one_by_one[name], backwards[name]):
            other = whole.loc[part.index, name]
            if pd.api.types.is_float_dtype(other.dtype):
                np.testing.assert_allclose(part, other, atol=2e-3 * other.std())
            else:
                assert (part == other).mean() > 0.98


def test_a_seed_repeats_and_more_draws_begin_with_the_fewer():
    rows = gappy(60)
    some, more = (detector().impute(rows, n, random_state=4) for n in (2, 4))
    for first, second in zip(some, more[:2], strict=True):
        pd.testing.assert_frame_equal(first, second)
    assert not more[0].equals(more[1])
    assert not some[0].equals(detector().impute(rows, 1, random_state=5)[0])
    pd.testing.assert_frame_equal(detector().impute(rows, random_state=4), detector().impute(rows, random_state=5))


def test_a_saved_and_a_pickled_detector_fill_alike(tmp_path):
    fitted = VAEDetector(max_steps=20, n_members=1).fit(mixed(300, 0))
    fitted.save(tmp_path / "model.vaea")
    others = VAEDetector.load(tmp_path / "model.vaea", device="cpu"), pickle.loads(pickle.dumps(fitted))  # noqa: S301
    for other in others:
        assert isinstance(other.__dict__["_filled_from"], Filling)  # and no rows
        pd.testing.assert_frame_equal(other.impute(gappy(30)), fitted.impute(gappy(30)))
        pd.testing.assert_frame_equal(other.impute(gappy(30), 1)[0], fitted.impute(gappy(30), 1)[0])


def test_a_file_with_other_arrays_is_refused():
    arrays = detector().filling_.to_arrays()
    n_values = len(arrays["centre"])
    assert Filling.from_arrays(arrays, n_values).to_arrays().keys() == arrays.keys()
    for spoilt in (
        {**arrays, "slope": arrays["slope"][1:]},
        {**arrays, "spread": arrays["spread"] * np.nan},
        {**arrays, "decimals": arrays["decimals"].astype(float)},
        {name: array for name, array in arrays.items() if name != "miss"},
    ):
        with pytest.raises(ModelFileError, match="missing numbers"):
            Filling.from_arrays(spoilt, n_values)


# ---------------------------------------------------------------- how good it is


def test_gaps_are_filled_far_better_than_with_means_and_modes():
    rows, truth = gappy(), mixed(300, 1)
    filled, gap = detector().impute(rows), holes(300, 2)
    for place, name in enumerate(("x0", "x1", "x2", "cents", "days")):
        numbers = rows[[name]].astype(float)
        mean = SimpleImputer().fit(mixed(2_000, 0)[[name]]).transform(numbers)[:, 0]
        off, by_mean = ((np.asarray(cells, float) - truth[name])[gap[:, place]] for cells in (filled[name], mean))
        assert np.square(off).mean() < 0.5 * np.square(by_mean).mean()
    assert (filled["shop"] == truth["shop"])[gap[:, 5]].mean() > 0.8
    assert (filled["online"] == truth["online"])[gap[:, 6]].mean() > 0.9
    hours = [table["sold"].dt.hour + table["sold"].dt.minute / 60 for table in (filled, truth)]
    assert (hours[0] - hours[1])[gap[:, 7]].abs().median() < 1.5


def test_intervals_of_draws_cover_what_they_say():
    truth, gap = mixed(1_000, 1), holes(1_000, 2)
    draws = detector().impute(truth.mask(gap), 50)
    errors = [
        (np.array([table[name] for table in draws], dtype=float) - truth[name].to_numpy(float))[:, gap[:, place]]
        for place, name in enumerate(("x0", "x1", "x2", "cents", "days"))
    ]
    assert coverages(np.concatenate(errors, axis=1), seed=0)[1] == pytest.approx(0.8, abs=0.07)


def test_levels_that_are_drawn_are_right_as_often_as_they_agree():
    truth, gap = mixed(1_000, 1)["shop"].to_numpy(), holes(1_000, 2)[:, 5]
    drawn = np.array([table["shop"] for table in detector().impute(mixed(1_000, 1).mask(holes(1_000, 2)), 8)])[:, gap]
    right, agree = (drawn == truth[gap]).mean(), (drawn[::2] == drawn[1::2]).mean()
    assert 1 / 6 + 0.2 < right < 1.0
    assert right == pytest.approx(agree, abs=0.1)


def test_cells_of_a_row_are_drawn_together():
    draws = detector().impute(mixed(100, 1).assign(shop=None, online=np.nan).astype({"online": object}), 5)
    kind = pd.concat(draws)["shop"].str[-1].astype(int)
    assert ((kind % 2 == 0) == pd.concat(draws)["online"].astype(bool)).mean() > 0.8  # by chance 0.5


# ---------------------------------------------------------------- bad input


def test_bad_parameters_and_tables_are_refused():
    with pytest.raises(NotFittedError):
        VAEDetector().impute(gappy(5))
    for n_draws in (0, -1, 2.5, True, "5"):
        with pytest.raises(ParameterError, match=r"'n_draws' parameter of VAEDetector.impute"):
            detector().impute(gappy(5), n_draws)
    with pytest.raises(ParameterError, match="random_state"):
        detector().impute(gappy(5), 1, random_state="today")
    for rows in (gappy(5).drop(columns="x0"), gappy(5).head(0).drop(columns="x0")):
        with pytest.raises(SchemaMismatchError, match="x0"):
            detector().impute(rows)


def test_a_checkpoint_says_that_it_does_not_fill_gaps(tmp_path):
    fitted = VAEDetector(max_steps=20, n_members=1).fit(mixed(200, 0))
    fitted._fill_from(None)
    fitted.save(tmp_path / "checkpoint.vaea")
    with pytest.raises(VaeAnomalyError, match="checkpoint"):
        VAEDetector.load(tmp_path / "checkpoint.vaea", device="cpu").impute(gappy(5))


def test_payments_as_they_are():
    rows = make_transactions(700, random_state=0).drop(columns=["is_fraud", "typology", "transaction_id"])
    fitted = VAEDetector(max_steps=40, n_members=1).fit(rows.head(500))
    gaps = rows.tail(200).mask(np.random.default_rng(0).random((200, rows.shape[1])) < 0.2)
    filled = fitted.impute(gaps)
    assert not filled.isna().any(axis=None)
    for name in rows:
        assert same(gaps[name], filled[name])[gaps[name].notna()].all()
