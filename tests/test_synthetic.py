"""What the quality of synthetic rows is measured by: what perfect rows get, and what each defect changes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp, spearmanr
from scipy.stats.contingency import association

from vae_anomaly import ParameterError, SchemaMismatchError, SyntheticQuality, TableError, synthetic_quality
from vae_anomaly.synthetic.closeness import HELD_OUT, OTHER_REAL, privacy
from vae_anomaly.synthetic.comparable import read_alike
from vae_anomaly.synthetic.fidelity import associations, column_distances
from vae_anomaly.synthetic.telling import Features

N_ROWS = 300
SHOPS = ["a", "b", "ג", "💳", None]


def payments(seed, n_rows=N_ROWS):
    """Rows whose columns have much to do with each other: numbers, levels, dates, truth values, gaps."""
    rng = np.random.default_rng(seed)
    shop = rng.choice(5, n_rows, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    amount = (np.exp(rng.normal(size=n_rows)) * (shop + 1) * 10).round(2)
    fraud = rng.random(n_rows) < np.where(amount > 60, 0.7, 0.05)
    hours = rng.integers(24 * 90, size=n_rows)
    return pd.DataFrame(
        {
            "amount": np.where(rng.random(n_rows) < 0.1, np.nan, amount),
            "gross": (amount * 1.2).round(2),
            "shop": pd.Series([SHOPS[number] for number in shop], dtype=object),
            "at": pd.Timestamp("2025-01-01") + pd.to_timedelta(hours, unit="h"),
            "online": rng.random(n_rows) < 0.5,
            "is_fraud": fraud.astype(int),
        }
    )


def independent(rows, seed=9):
    """The same columns, which have lost what goes with what."""
    rng = np.random.default_rng(seed)
    return rows.apply(lambda column: column.iloc[rng.permutation(len(rows))].to_numpy())


@pytest.fixture(scope="module")
def perfect():
    return synthetic_quality(payments(0), payments(1), held_out=payments(2), target="is_fraud")


@pytest.fixture(scope="module")
def loose():
    return synthetic_quality(payments(0), independent(payments(1)), held_out=payments(2), target="is_fraud")


def test_fresh_rows_of_the_same_source_are_perfect(perfect):
    assert abs(perfect.detection.roc_auc - 0.5) < 4 * perfect.detection.standard_error + 0.02
    assert perfect.columns["distance"].max() < 0.12
    assert perfect.pairs["difference"].mean() < 0.08
    assert abs(perfect.privacy.probability_closer - 0.5) < 0.05
    assert perfect.privacy.share_within_fifth_percentile < 0.1
    assert perfect.usefulness.trained_on_synthetic > 0.8 * perfect.usefulness.trained_on_real
    assert perfect.usefulness.share_held_out == pytest.approx(payments(2)["is_fraud"].mean())


def test_rows_that_have_lost_what_goes_with_what_are_told_and_teach_nothing(perfect, loose):
    assert loose.detection.roc_auc > 0.8
    assert loose.columns["distance"].max() < 0.12  # each column by itself is as good as before
    assert loose.pairs["difference"].mean() > 2 * perfect.pairs["difference"].mean()
    guessing = loose.usefulness.share_held_out
    assert loose.usefulness.trained_on_synthetic < (guessing + loose.usefulness.trained_on_real) / 2


def test_copies_cannot_be_told_but_are_found():
    real = payments(0)
    found = synthetic_quality(real, real.sample(frac=1.0, random_state=0), held_out=payments(2))
    assert found.detection.roc_auc < 0.55
    assert found.privacy.n_copies == N_ROWS
    assert found.privacy.beside_n_copies < N_ROWS / 20
    assert found.privacy.share_copies == 1
    assert found.privacy.median == 0
    assert found.privacy.probability_closer > 0.95


def test_rows_that_hug_real_ones_are_nearer_than_fresh_ones_are():
    real = payments(0)
    hugging = real.assign(gross=real["gross"] + 0.01)
    found = synthetic_quality(real, hugging, held_out=payments(2)).privacy
    assert found.n_copies < N_ROWS / 20
    assert found.probability_closer > 0.95
    assert found.share_within_fifth_percentile > 0.9


def test_without_held_out_rows_the_other_real_ones_serve(perfect):
    found = synthetic_quality(payments(0), payments(1))
    assert (found.privacy.beside, perfect.privacy.beside) == (OTHER_REAL, HELD_OUT)
    assert abs(found.privacy.beside_median - perfect.privacy.beside_median) < 0.02
    assert found.held_out_detection is None
    assert found.usefulness is None
    assert found.n_held_out is None


def test_what_held_out_rows_score_is_what_they_score_in_place_of_the_synthetic_ones(perfect):
    swapped = synthetic_quality(payments(0), payments(2), held_out=payments(1))
    assert swapped.columns["distance"].tolist() == perfect.columns["held_out_distance"].tolist()
    assert swapped.pairs["difference"].tolist() == perfect.pairs["held_out_difference"].tolist()
    assert swapped.privacy.median == perfect.privacy.beside_median
    assert swapped.privacy.probability_closer == pytest.approx(1 - perfect.privacy.probability_closer)


def test_the_same_tables_and_seed_give_the_same_figures(perfect):
    again = synthetic_quality(payments(0), payments(1), held_out=payments(2), target="is_fraud")
    assert again.to_json() == perfect.to_json()
    other = synthetic_quality(payments(0), payments(1), held_out=payments(2), target="is_fraud", random_state=1)
    assert other.detection.roc_auc != perfect.detection.roc_auc


@pytest.mark.parametrize("convert", [pl.from_pandas, lambda rows: pa.Table.from_pandas(rows, preserve_index=False)])
def test_the_library_the_order_of_columns_and_the_index_do_not_matter(perfect, convert):
    turned = payments(1).iloc[:, ::-1]
    turned.index = [7] * len(turned)
    found = synthetic_quality(payments(0), convert(turned), held_out=payments(2), target="is_fraud")
    assert found.to_json() == perfect.to_json()


def test_text_from_a_file_is_what_it_stands_for(perfect):
    written = payments(1).astype(object).map(lambda cell: None if pd.isna(cell) else str(cell))
    found = synthetic_quality(payments(0), written, held_out=payments(2), target="is_fraud")
    assert found.to_json() == perfect.to_json()


def test_arrays_are_compared_by_place():
    rng = np.random.default_rng(0)
    real, good, bad = (rng.normal(shift, 1, (200, 3)) for shift in (0, 0, 2))
    assert synthetic_quality(real, good).detection.roc_auc < 0.6
    found = synthetic_quality(real, bad)
    assert found.detection.roc_auc > 0.9
    assert found.columns["column"].tolist() == ["x0", "x1", "x2"]


def test_a_distance_of_columns_is_that_of_scipy_or_half_the_difference_of_shares():
    real, other = payments(0), payments(5)[lambda rows: rows["gross"] < 60]
    found = column_distances(read_alike(real, {"synthetic": other})).set_index("column")
    expected = ks_2samp(real["amount"].dropna(), other["amount"].dropna()).statistic
    assert found.loc["amount", "distance"] == pytest.approx(expected)
    shares = [rows["shop"].value_counts(normalize=True) for rows in (real, other)]
    assert found.loc["shop", "distance"] == pytest.approx(shares[0].sub(shares[1], fill_value=0).abs().sum() / 2)
    assert found.loc["shop", "synthetic_missing"] == other["shop"].isna().mean()


def test_what_is_outside_of_the_real_rows_is_counted():
    real = payments(0)
    other = payments(1).assign(gross=-1.0)
    other.loc[other["shop"] == "a", "shop"] = "new"
    found = column_distances(read_alike(real, {"synthetic": other})).set_index("column")
    assert found.loc["gross", "outside"] == 1
    assert found.loc["shop", "outside"] == (other["shop"].dropna() == "new").mean()
    assert found.loc["online", "outside"] == 0


def test_associations_are_spearmans_and_cramers_where_nothing_is_due_to_chance():
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(50_000, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]])
    levels = np.column_stack([(numbers[:, 0] > 0) * 1.0, np.digitize(numbers[:, 1], [-1, 0, 1])])
    cells = np.column_stack([numbers, levels])
    found = associations(cells, np.array([False, False, True, True]))
    assert np.array_equal(found, found.T)
    assert found[0, 1] == pytest.approx(spearmanr(*numbers.T).statistic)
    table = pd.crosstab(levels[:, 0], levels[:, 1]).to_numpy()
    assert found[2, 3] == pytest.approx(association(table, method="cramer"), abs=1e-3)
    between = pd.Series(numbers[:, 1]).rank().groupby(levels[:, 1]).transform("mean").var()
    assert found[1, 3] == pytest.approx(np.sqrt(between / pd.Series(numbers[:, 1]).rank().var()), abs=1e-3)


def test_columns_that_have_nothing_to_do_with_each_other_are_not_associated_however_many_levels_they_have():
    rng = np.random.default_rng(0)
    cells = np.column_stack([rng.integers(300, size=2_000), rng.integers(200, size=2_000), rng.normal(size=2_000)])
    found = associations(cells.astype(float), np.array([True, True, False]))
    assert np.abs(found[np.triu_indices(3, k=1)]).max() < 0.15


def test_a_column_that_does_not_vary_is_associated_with_none():
    real = payments(0)
    found = synthetic_quality(real, payments(1).assign(gross=5.0, shop="a"))
    of_constants = found.pairs[
        found.pairs["first"].isin(["gross", "shop"]) | found.pairs["second"].isin(["gross", "shop"])
    ]
    assert (of_constants["synthetic"] == 0).all()
    assert found.pairs.notna().to_numpy().all()


@st.composite
def gappy_tables(draw):
    n_columns = draw(st.integers(1, 4))
    cell = st.one_of(st.none(), st.integers(0, 4).map(float))
    rows = st.lists(st.tuples(*[cell] * n_columns), min_size=3, max_size=8)
    return tuple(np.array(draw(rows), dtype=float) for _ in range(2)), np.array(
        draw(st.tuples(*[st.booleans()] * n_columns))
    )


@given(gappy_tables())
def test_distances_are_gowers_with_ranks_cell_by_cell(drawn):
    (real, other), is_level = drawn
    rows = replace(read_alike(np.arange(6.0).reshape(3, 2), {}), tables=(real, other))
    rows.__dict__["is_level"] = is_level
    known = [np.sort(column[~np.isnan(column)]) for column in real.T]

    def between(a, b, index):
        if np.isnan(a) or np.isnan(b):
            return float(np.isnan(a) != np.isnan(b))
        if is_level[index]:
            return float(a != b)
        place = [((known[index] < x).sum() + (known[index] <= x).sum()) / 2 / len(known[index]) for x in (a, b)]
        return abs(place[0] - place[1]) if len(known[index]) else 0.0

    nearest = [
        min(np.mean([between(a, b, i) for i, (a, b) in enumerate(zip(row, ref, strict=True))]) for ref in real)
        for row in other
    ]
    found = privacy(rows, 0)
    assert found.median == pytest.approx(np.median(nearest))
    assert found.n_copies == sum(any(np.array_equal(row, ref, equal_nan=True) for ref in real) for row in other)


def test_more_levels_than_a_classifier_takes_are_a_level_and_a_rank():
    levels = np.repeat(np.arange(300), np.arange(300, 0, -1))
    real = pd.DataFrame({"shop": [f"s{number}" for number in levels], "x": np.arange(len(levels)) % 7.0})
    found = Features.of(read_alike(real, {"synthetic": real[::-1]}))
    assert found.is_level.tolist() == [True, False, False]
    assert found.tables[0][:, 0].max() == 254
    assert found.tables[0][:, 1].max() == 299
    assert synthetic_quality(real, real[::-1], max_rows=200).detection.n_rows == 200


def test_a_value_that_synthetic_rows_have_lost_teaches_as_much_as_guessing(perfect):
    lost = payments(1).assign(is_fraud=0)
    found = synthetic_quality(payments(0), lost, held_out=payments(2), target="is_fraud").usefulness
    assert found.trained_on_synthetic == pytest.approx(found.share_held_out)
    assert found.trained_on_real == perfect.usefulness.trained_on_real
    assert (found.positive, found.share_synthetic) == ("1", 0)


def test_columns_that_name_rows_are_left_out_without_a_word():
    real, other = (rows.assign(id=range(N_ROWS)) for rows in (payments(0), payments(1)))
    found = synthetic_quality(real, other.assign(id=None))
    assert "id" not in set(found.columns["column"])
    assert "id" not in set(synthetic_quality(real, other.drop(columns="id")).columns["column"])


def test_kinds_are_those_that_are_told():
    real, other = (rows.assign(code=np.arange(N_ROWS) % 9 * 10) for rows in (payments(0), payments(1)))
    kinds = {"code": "categorical", "amount": "identifier"}
    found = synthetic_quality(real, other, kinds=kinds).columns.set_index("column")["kind"]
    assert found["code"] == "categorical"
    assert "amount" not in found


def test_hardly_any_numbers_or_none_are_no_trouble_to_a_classifier():
    few = pd.Series(np.full(N_ROWS, np.nan))
    few[:3] = [1.0, 2.0, 1e300]
    real, other, held_out = (payments(seed).assign(few=few) for seed in range(3))
    found = synthetic_quality(
        real, other.assign(few=np.nan, gross=np.nan), held_out=held_out, target="is_fraud", max_rows=50
    )
    assert found.detection.roc_auc > 0.9
    assert found.usefulness.trained_on_synthetic <= found.usefulness.trained_on_real + 0.1


def test_everything_missing_is_compared_as_it_is():
    real = payments(0).assign(note=None)
    found = synthetic_quality(real, payments(1).assign(note=None, amount=np.nan)).columns.set_index("column")
    assert found.loc["note", ["distance", "real_missing", "synthetic_missing"]].tolist() == [0, 1, 1]
    assert found.loc["amount", ["distance", "synthetic_missing"]].tolist() == [1, 1]


def test_figures_can_be_read_and_written(perfect, loose):
    for found in (perfect, loose):
        text = repr(found)
        assert text.splitlines()[0] == "SyntheticQuality: 300 synthetic rows beside 300 real ones, 300 held out"
        assert f"{found.detection.roc_auc:.3f}" in text
        assert json.loads(json.dumps(found.to_json(), allow_nan=False)) == found.to_json()
    frame = perfect.to_frame().set_index("figure")
    assert frame.loc["detection, ROC AUC", "synthetic"] == perfect.detection.roc_auc
    assert frame.loc["detection, ROC AUC", "beside"] == perfect.held_out_detection.roc_auc
    assert isinstance(perfect, SyntheticQuality)


def test_other_columns_are_refused_by_name():
    other = payments(1).rename(columns={"gross": "grosss"})
    with pytest.raises(
        SchemaMismatchError, match=r"synthetic table differ.*\n  - gross .*missing\n.*grosss.*near: 'gross'"
    ):
        synthetic_quality(payments(0), other)
    with pytest.raises(SchemaMismatchError, match="held-out table differ"):
        synthetic_quality(payments(0), payments(1), held_out=other)
    with pytest.raises(SchemaMismatchError, match=r"has 2 columns\. Expected the 3"):
        synthetic_quality(np.random.default_rng(0).normal(size=(9, 3)), np.zeros((9, 2)))


@pytest.mark.parametrize(
    ("real", "synthetic", "message"),
    [
        (payments(0)[:0], payments(1), "Expected at least one row"),
        (payments(0), payments(1)[:0], "The synthetic table has no rows"),
        (payments(0), payments(1)[:4], "at least 5 rows in every table"),
        (payments(0), payments(1).assign(gross="dear"), "'gross' of the synthetic table, row 1: expected a number"),
        (payments(0), payments(1).assign(at="noon"), "'at' of the synthetic table, row 1: expected an ISO date"),
        (payments(0), payments(1).assign(gross=np.inf), "'gross' holds 300 infinite"),
        (payments(0), "no table", "found str"),
    ],
)
def test_tables_that_cannot_be_compared_are_refused(real, synthetic, message):
    with pytest.raises(TableError, match=message):
        synthetic_quality(real, synthetic)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "is_fraud"}, "needs 'held_out'"),
        (
            {"target": "fraud", "held_out": payments(2)},
            "two values in the real rows. Got 'fraud' instead; the table has",
        ),
        ({"target": "gross", "held_out": payments(2)}, "it has 2"),
        ({"target": 3}, "must be the name of a column or None. Got 3"),
        ({"random_state": -1}, "'random_state' parameter of synthetic_quality must be an integer"),
        ({"max_rows": 4}, "'max_rows'"),
        ({"kinds": {"no such": "numeric"}}, "'kinds' parameter must name columns"),
    ],
)
def test_parameters_outside_their_domain_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        synthetic_quality(payments(0), payments(1), **options)


def test_one_value_of_the_target_is_nothing_to_test_on():
    with pytest.raises(TableError, match="held-out rows have one value of 'is_fraud'"):
        synthetic_quality(payments(0), payments(1), held_out=payments(2).assign(is_fraud=0), target="is_fraud")
