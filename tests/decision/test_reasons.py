"""What is usual is told from what is not, and the columns of a row are ranked by it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly.decision.reasons import LEVELS, Terms, Usual, gap_unusualness, reasons
from vae_anomaly.errors import ModelFileError


def usual_rows(n_rows=2_000, seed=0):
    """Surprisals of a quiet column, a noisy one and one between."""
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.normal(0, 0.1, n_rows), rng.exponential(6, n_rows), rng.gamma(2, 1, n_rows)])


def usual(**options):
    rows = usual_rows(**options)
    return Usual.of_rows(rows, np.full(rows.shape, True))


def ranked(surprisal, present=None, n_reasons=None, missing_share=0.01):
    surprisal = np.asarray(surprisal, dtype=np.float64)
    present = np.full(surprisal.shape, True) if present is None else np.asarray(present)
    terms = Terms(surprisal, np.zeros(len(surprisal)), np.zeros(len(surprisal)))
    return reasons(surprisal, terms, present, usual(), np.full(surprisal.shape[1], missing_share), n_reasons)


def test_percentiles_of_fresh_normal_rows_are_uniform():
    percentiles = usual().percentile(usual_rows(seed=1))
    for level in (5, 50, 90, 99):
        np.testing.assert_allclose((percentiles < level).mean(axis=0), level / 100, atol=0.03)


def test_percentiles_and_unusualness_rise_with_the_surprisal():
    surprisal = np.sort(np.random.default_rng(2).normal(0, 20, (300, 3)), axis=0)
    assert (np.diff(usual().percentile(surprisal), axis=0) >= 0).all()
    assert (np.diff(usual().unusualness(surprisal), axis=0) > 0).all()


def test_a_surprisal_that_all_rows_share_is_neither_high_nor_low_until_it_changes():
    constant = Usual.of_rows(np.full((100, 1), 0.3), np.full((100, 1), True))
    np.testing.assert_allclose(
        constant.percentile(np.array([[0.3], [0.3 + 1e-6], [0.2], [9.0]])).ravel(), [50, 50, 0, 100]
    )
    assert constant.unusualness(np.array([[0.3]]))[0, 0] == 0


def test_one_unknown_anomaly_in_a_hundred_hardly_widens_a_column():
    rows = usual_rows()
    dirty = rows.copy()
    dirty[:15] += 1_000
    spread = [Usual.of_rows(some, np.full(some.shape, True)).spread for some in (rows, dirty)]
    assert (spread[1] < 1.5 * spread[0]).all()


def test_missing_cells_do_not_count_among_what_is_usual():
    rows = usual_rows()
    present = np.random.default_rng(3).random(rows.shape) < 0.6
    found = Usual.of_rows(np.where(present, rows, 777.0), present)
    np.testing.assert_array_equal(found.quantiles[-1], np.where(present, rows, -np.inf).max(axis=0))


def test_a_column_that_is_always_noisy_is_no_first_reason():
    rows = usual_rows(seed=5)
    rows[:, 0] += 4.0  # 40 times its spread; the noisy column's largest surprisals are ten times that
    assert (rows.argmax(axis=1) == 1).mean() > 0.3
    assert (ranked(rows).column[:, 0] == 0).mean() > 0.9


@given(st.integers(0, 1_000))
def test_permuted_rows_and_columns_have_permuted_reasons(seed):
    rng = np.random.default_rng(seed)
    surprisal, present = rng.normal(0, 5, (6, 3)), rng.random((6, 3)) < 0.7
    rows, columns = rng.permutation(6), rng.permutation(3)
    share = np.array([0.02, 0.3, 0.97])
    found, plain = usual(n_rows=200), np.zeros(6)
    a = reasons(surprisal, Terms(surprisal, plain, plain), present, found, share)
    moved = surprisal[rows][:, columns]
    b = reasons(
        moved,
        Terms(moved, plain, plain),
        present[rows][:, columns],
        Usual(found.quantiles[:, columns], found.spread[columns]),
        share[columns],
    )
    np.testing.assert_array_equal(columns[b.column], a.column[rows])
    np.testing.assert_array_equal(b.share, a.share[rows])
    assert (np.diff(a.unusualness, axis=1) <= 0).all()


def test_fewer_reasons_are_the_first_of_all_and_more_than_there_are_columns_are_all():
    surprisal = usual_rows(50, seed=4)
    everything = ranked(surprisal)
    np.testing.assert_array_equal(ranked(surprisal, n_reasons=2).column, everything.column[:, :2])
    np.testing.assert_array_equal(ranked(surprisal, n_reasons=9).column, everything.column)


def test_a_row_without_a_single_cell_has_finite_reasons_and_no_percentiles():
    found = ranked(np.zeros((1, 3)), np.full((1, 3), False))
    assert np.isfinite(found.unusualness).all()
    assert found.by_gap.all()
    assert np.isnan(found.percentile).all()
    assert (found.surprisal == 0).all()


def test_gaps_count_by_how_seldom_they_are_and_cells_by_how_seldom_gaps_are_not():
    share = np.array([0.001, 0.01, 0.2, 0.5])
    gap = gap_unusualness(share, np.full((1, 4), False))[0]
    assert (np.diff(gap) < 0).all()
    np.testing.assert_allclose(gap_unusualness(1 - share, np.full((1, 4), True))[0], gap, atol=1e-12)
    np.testing.assert_array_equal(gap_unusualness(share, np.full((1, 4), True))[0], 0)


def test_that_a_cell_is_there_is_a_reason_only_where_it_seldom_is():
    low = np.full((1, 3), -9.0)
    assert not ranked(low, missing_share=0.1).by_gap.any()
    assert ranked(low, missing_share=0.99).by_gap.all()


def test_the_terms_add_up():
    rng = np.random.default_rng(6)
    columns, rest, known = rng.normal(size=(20, 4)), rng.normal(size=20), rng.normal(size=20)
    np.testing.assert_allclose(Terms(columns, rest, known).total, columns.sum(1) + rest + known, rtol=1e-15)


def test_arrays_give_the_same_back():
    again = Usual.from_arrays(usual().to_arrays(), 3)
    np.testing.assert_array_equal(again.quantiles, usual().quantiles)
    np.testing.assert_array_equal(again.spread, usual().spread)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("quantiles", lambda array: array[:-1]),
        ("quantiles", lambda array: array[::-1].copy()),
        ("quantiles", lambda array: np.where(array == array[3], np.nan, array)),
        ("quantiles", lambda array: array.astype(np.float32)),
        ("spread", lambda array: -array),
        ("spread", lambda array: array * np.inf),
        ("spread", lambda array: array[:, None]),
    ],
)
def test_arrays_that_say_nothing_usual_are_refused(name, change):
    arrays = usual().to_arrays()
    with pytest.raises(ModelFileError, match="usual"):
        Usual.from_arrays({**arrays, name: change(arrays[name])}, 3)
    with pytest.raises(ModelFileError, match="usual"):
        Usual.from_arrays({key: array for key, array in arrays.items() if key != name}, 3)


def test_the_levels_have_the_places_that_are_read_from_them():
    assert LEVELS[8] == 50
    assert LEVELS[20] == 99
    assert (np.diff(LEVELS) > 0).all()
