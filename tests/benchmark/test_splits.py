"""Splits by label and seed: which rows train, which test."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly.benchmark.splits import (
    MOST_ROWS,
    capped,
    contaminated,
    creditcard_contaminated,
    creditcard_normal,
    normal50,
    normal_sample,
)
from vae_anomaly.errors import TableError

SMALL, LARGE = (300, 40), (60_000, 45)
PAYMENTS = (24_308, 492)
SIZES = {
    normal50: SMALL,
    contaminated: SMALL,
    normal_sample: SMALL,
    creditcard_normal: PAYMENTS,
    creditcard_contaminated: PAYMENTS,
}


def labels(n_normal, n_anomalous):
    return np.random.default_rng(0).permutation(np.repeat([0, 1], [n_normal, n_anomalous]))


def counts(y, rows):
    return np.bincount(y[rows], minlength=2).tolist()


@pytest.mark.parametrize("split_by", SIZES)
def test_no_row_is_in_both_parts_and_none_twice(split_by):
    y = labels(*SIZES[split_by])
    split = split_by(y, seed=3)
    rows = np.concatenate([split.train, split.test])
    assert sorted(rows) == list(range(len(y)))


@pytest.mark.parametrize("split_by", SIZES)
def test_a_seed_repeats_its_split_and_another_makes_another(split_by):
    y = labels(*SIZES[split_by])
    first, again, other = (split_by(y, seed) for seed in (0, 0, 1))
    assert np.array_equal(first.train, again.train)
    assert np.array_equal(first.test, again.test)
    assert set(first.train) != set(other.train)


@pytest.mark.parametrize(
    ("split_by", "train", "test"),
    [
        (normal50, [150, 0], [150, 40]),
        (contaminated, [210, 28], [90, 12]),
        (creditcard_normal, [12_154, 0], [12_154, 492]),
        (creditcard_contaminated, [12_154, 21], [12_154, 471]),
    ],
)
def test_parts_have_the_sizes_of_the_protocol(split_by, train, test):
    y = labels(*SIZES[split_by])
    split = split_by(y, seed=1)
    assert [counts(y, split.train), counts(y, split.test)] == [train, test]


@pytest.mark.parametrize("split_by", [normal50, normal_sample])
@given(n_normal=st.integers(2, 400), n_anomalous=st.integers(1, 100), seed=st.integers(0, 9))
def test_clean_rows_are_clean_whatever_the_labels(split_by, n_normal, n_anomalous, seed):
    y = labels(n_normal, n_anomalous)
    split = split_by(y, seed)
    assert not y[split.train].any()
    assert y[split.test].sum() == n_anomalous


def test_large_sets_are_cut_by_class_and_keep_enough_anomalies():
    y = labels(*LARGE)
    assert counts(y, capped(y, seed=0)) == [19_980, 20]  # by share, 15
    y = labels(60_000, 6_000)
    rows = capped(y, seed=0)
    assert len(set(rows)) == 20_000
    assert counts(y, rows)[1] == round(20_000 * 6_000 / 66_000)
    assert set(rows) != set(capped(y, seed=1))
    split = contaminated(y, seed=0)
    assert len(split.train) + len(split.test) == 20_000
    assert set(split.train) | set(split.test) == set(rows)


def test_a_sample_of_normal_rows_trains_and_the_rest_is_tested_at_the_share_of_the_file():
    y = labels(97_278, 396_743)  # the sizes of kdd99
    split = normal_sample(y, seed=0)
    assert counts(y, split.train) == [MOST_ROWS, 0]
    assert counts(y, split.test) == [3_938, 16_062]
    assert not set(split.train) & set(split.test)
    assert y[split.test].mean() == pytest.approx(y.mean(), abs=1e-4)


def test_too_few_rows_to_test_on_are_refused():
    with pytest.raises(TableError, match=r"expected more than 12,154 normal rows.*found 50 and 5"):
        creditcard_normal(labels(50, 5), seed=0)
