"""Protocols: which rows train, which test, what they weigh."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly.benchmark import suites
from vae_anomaly.benchmark.suites import CHECKING, QUICK, SUITES, TUNING, capped, chosen_sets, read_set
from vae_anomaly.errors import TableError, VaeAnomalyError

SMALL, LARGE = (300, 40), (60_000, 45)
PAYMENTS = (24_308, 492)
SIZES = {"normal50": SMALL, "contaminated": SMALL, "creditcard-normal": PAYMENTS, "creditcard-contaminated": PAYMENTS}


def labels(n_normal, n_anomalous):
    return np.random.default_rng(0).permutation(np.repeat([0, 1], [n_normal, n_anomalous]))


def counts(y, rows):
    return np.bincount(y[rows], minlength=2).tolist()


@pytest.mark.parametrize("name", SUITES)
def test_no_row_is_in_both_parts_and_none_twice(name):
    y = labels(*SIZES[name])
    split = SUITES[name].split(y, seed=3)
    rows = np.concatenate([split.train, split.test])
    assert sorted(rows) == list(range(len(y)))


@pytest.mark.parametrize("name", SUITES)
def test_a_seed_repeats_its_split_and_another_makes_another(name):
    y = labels(*SIZES[name])
    first, again, other = (SUITES[name].split(y, seed) for seed in (0, 0, 1))
    assert np.array_equal(first.train, again.train)
    assert np.array_equal(first.test, again.test)
    assert set(first.train) != set(other.train)


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("normal50", [150, 0], [150, 40]),
        ("contaminated", [210, 28], [90, 12]),
        ("creditcard-normal", [12_154, 0], [12_154, 492]),
        ("creditcard-contaminated", [12_154, 21], [12_154, 471]),
    ],
)
def test_parts_have_the_sizes_of_the_protocol(name, train, test):
    y = labels(*SIZES[name])
    split = SUITES[name].split(y, seed=1)
    assert [counts(y, split.train), counts(y, split.test)] == [train, test]
    assert SUITES[name].clean == (train[1] == 0)


@given(n_normal=st.integers(2, 400), n_anomalous=st.integers(1, 100), seed=st.integers(0, 9))
def test_clean_rows_are_clean_whatever_the_labels(n_normal, n_anomalous, seed):
    y = labels(n_normal, n_anomalous)
    split = SUITES["normal50"].split(y, seed)
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
    split = SUITES["contaminated"].split(y, seed=0)
    assert len(split.train) + len(split.test) == 20_000
    assert set(split.train) | set(split.test) == set(rows)


def test_too_few_rows_to_test_on_are_refused():
    with pytest.raises(TableError, match=r"expected more than 12,154 normal rows.*found 50 and 5"):
        SUITES["creditcard-normal"].split(labels(50, 5), seed=0)


def test_what_is_tuned_on_is_not_checked_on():
    assert not set(TUNING) & set(CHECKING)
    assert set(QUICK) <= set(TUNING)


@pytest.fixture
def data_dir(tmp_path):
    (tmp_path / "adbench").mkdir()
    for name in ("45_wine", "6_cardio"):
        np.savez(tmp_path / "adbench" / f"{name}.npz", X=np.arange(20.0).reshape(10, 2), y=[0] * 8 + [1] * 2)
    return tmp_path


def test_what_is_there_is_found_by_name_or_group(data_dir, capsys):
    everything = chosen_sets(SUITES, data_dir, None)
    assert [(suite, name) for suite, name, _ in everything] == [
        (suite, name) for suite in ("normal50", "contaminated") for name in ("cardio", "wine")
    ]
    assert "skipped creditcard-normal" in capsys.readouterr().err
    assert [name for _, name, _ in chosen_sets(["normal50"], data_dir, ["wine"])] == ["wine"]
    with pytest.raises(VaeAnomalyError, match=r"expected iris in .*, found cardio, wine"):
        chosen_sets(["normal50"], data_dir, ["iris"])
    with pytest.raises(VaeAnomalyError, match="found none"):
        chosen_sets(["creditcard-normal"], data_dir, None)


def test_files_are_read_as_they_are(data_dir):
    data = read_set(data_dir / "adbench" / "45_wine.npz")
    assert data.X.tolist() == np.arange(20.0).reshape(10, 2).tolist()
    assert data.y.tolist() == [0] * 8 + [1] * 2
    np.savez(data_dir / "odd.npz", X=np.zeros((3, 2)))
    with pytest.raises(TableError, match=r"expected arrays X and y, found \['X'\]"):
        read_set(data_dir / "odd.npz")
    np.savez(data_dir / "one.npz", X=np.zeros((3, 2)), y=np.zeros(3))
    with pytest.raises(TableError, match="expected a label"):
        read_set(data_dir / "one.npz")


def test_payments_leave_their_label_behind(tmp_path):
    path = tmp_path / suites.FILES["creditcard"].path
    path.parent.mkdir()
    path.with_suffix("").write_text("V1,Class\n0.5,0\n2.5,1\n")
    data = read_set(path.with_suffix(""))
    assert data.X.tolist() == [[0.5], [2.5]]
    assert data.y.tolist() == [0, 1]
