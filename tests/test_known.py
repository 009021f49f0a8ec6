"""What is known of a few rows: checked, learnt from, kept as arrays, and added to a score."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import VAEDetector, make_transactions
from vae_anomaly._known import FRAUD, GENUINE, UNKNOWN, KnownHead, cells, known_labels, n_cells, set_apart, taking_part
from vae_anomaly.errors import ModelFileError, TableError
from vae_anomaly.table.encoding import TableEncoder
from vae_anomaly.table.schema import Schema


def rows_with_frauds(n_rows=1_500, n_frauds=30, n_known=10, seed=0):
    """Rows of which a few lie where the second cell is high and the third low; of some of these it is known."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_rows, 6)).astype(np.float32)
    rows[:n_frauds, 1] += 3
    rows[:n_frauds, 2] -= 3
    labels = np.full(n_rows, UNKNOWN, dtype=np.int8)
    labels[:n_known] = FRAUD
    return rows, labels, rng.normal(size=n_rows)


@cache
def fitted(seed=0, **options):
    rows, labels, anomaly = rows_with_frauds(**options)
    head = KnownHead.fit(rows, labels, anomaly, seed)
    assert head is not None
    return head


def payments(n_rows=200):
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "amount": rng.exponential(50, n_rows),
            "moment": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(30 * 86_400, size=n_rows), unit="s"),
            "kind": rng.choice(["travel", "food", "fuel"], n_rows),
            "online": rng.random(n_rows) < 0.3,
            "town": rng.choice([f"town {i}" for i in range(60)], n_rows),
        }
    )


@pytest.mark.parametrize(
    "known",
    [
        [1, 0, -1, -1],
        [1.0, 0.0, np.nan, None],
        np.array([1, 0, -1, -1], dtype=np.int8),
        np.array([1, 0, np.nan, np.nan]),
        pd.Series([1, 0, pd.NA, None], dtype="Int64", index=[7, 3, 5, 1]),
        [True, False, None, pd.NaT],
    ],
    ids=["list", "gaps", "int8", "float", "nullable", "booleans"],
)
def test_every_way_to_say_it_says_the_same(known):
    assert known_labels(known, 4).tolist() == [FRAUD, GENUINE, UNKNOWN, UNKNOWN]


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ([1, 0], r"shape \(3,\)\. Found shape \(2,\)"),
        ([[1, 0, 0]], r"Found shape \(1, 3\)"),
        ([1, 2, 0], "Found 2 in row 2"),
        ([1, 0, 0.5], "Found 0.5 in row 3"),
        (["1", 0, 0], "Found '1' in row 1"),
        ([1, 1, 1], "all 3 rows are frauds"),
    ],
)
def test_anything_else_is_refused_by_name(known, message):
    with pytest.raises(TableError, match=message):
        known_labels(known, 3)


def test_the_model_learns_from_no_known_fraud_and_nobody_from_a_row_of_weight_0():
    labels, weight = set_apart([1, 1, 0, None, None], 5, np.array([2.0, 0.0, 3.0, 0.0, 1.0]))
    assert labels.tolist() == [FRAUD, UNKNOWN, GENUINE, UNKNOWN, UNKNOWN]
    assert weight.tolist() == [0, 0, 3, 0, 1]
    assert taking_part(labels, weight, limit=10, seed=0).tolist() == [0, 2, 4]


def test_rows_of_which_something_is_known_always_take_part():
    labels = np.full(1_000, UNKNOWN, dtype=np.int8)
    labels[::100], labels[1::100] = FRAUD, GENUINE
    rows = taking_part(labels, None, limit=50, seed=0)
    assert len(rows) == len(np.unique(rows)) == 70
    assert set(np.flatnonzero(labels != UNKNOWN)) <= set(rows)


def test_cells_are_finite_as_many_as_announced_and_tell_missing_ones_apart():
    frame = payments()
    frame.loc[:20, "amount"], frame.loc[10:30, "kind"] = np.nan, None
    frame.loc[40:50, "moment"] = pd.NaT
    schema = Schema.infer(frame)
    found = cells(TableEncoder(schema).encode(frame), schema.layout())
    assert found.shape == (len(frame), n_cells(schema.layout()))
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    amounts = found[:, 0]
    assert amounts[:21].max() < amounts[21:].min() - 1_000
    for level in ("travel", "food", "fuel"):  # each has a flag of its own, and towns, which are many, have none
        assert ((found == (frame["kind"] == level).to_numpy()[:, None]).all(axis=0)).sum() == 1
    assert not any((found == (frame["town"] == town).to_numpy()[:, None]).all(axis=0).any() for town in frame["town"])


def test_without_a_known_fraud_there_is_no_head():
    rows, labels, anomaly = rows_with_frauds(n_known=0)
    assert KnownHead.fit(rows, labels, anomaly, seed=0) is None
    labels[:50] = GENUINE
    assert KnownHead.fit(rows, labels, anomaly, seed=0) is None


@pytest.mark.parametrize("n_known", [1, 2, 5, 20])
def test_frauds_that_nobody_knows_of_rise_above_all_others(n_known):
    head = fitted(n_known=n_known)
    rows, _, _ = rows_with_frauds(seed=9, n_frauds=100)
    lift = head.lift(rows)
    ranks = lift.argsort().argsort()[:100]
    assert ranks.mean() > (0.9 if n_known > 1 else 0.75) * len(rows)
    assert np.median(head.log_odds(rows[100:])) == pytest.approx(head.scale[0], abs=1)  # a usual row stays where it was


def test_labels_that_mean_nothing_leave_the_order_nearly_as_it_was():
    rng = np.random.default_rng(0)
    rows, anomaly = rng.normal(size=(3_000, 6)).astype(np.float32), rng.normal(size=3_000)
    labels = np.full(3_000, UNKNOWN, dtype=np.int8)
    labels[:50] = FRAUD
    anomaly[:50] += 2  # the score itself has found something
    head = KnownHead.fit(rows, labels, anomaly, seed=0)
    fresh, fresh_anomaly = rng.normal(size=(2_000, 6)).astype(np.float32), rng.normal(size=2_000)
    assert np.corrcoef(fresh_anomaly, fresh_anomaly + head.lift(fresh))[0, 1] > 0.9


def test_a_score_in_other_units_is_lifted_in_these_units():
    rows, labels, anomaly = rows_with_frauds()
    one, hundred = (KnownHead.fit(rows, labels, unit * anomaly + 7, seed=0) for unit in (1, 100))
    assert hundred.lift(rows) == pytest.approx(100 * one.lift(rows))


def test_what_is_known_to_be_genuine_is_lifted_less():
    rows, labels, anomaly = rows_with_frauds(n_frauds=40, n_known=20)
    alike = np.arange(20, 40)  # they look like frauds
    labels[alike] = GENUINE
    told = KnownHead.fit(rows, labels, anomaly, seed=0)
    labels[alike] = UNKNOWN
    untold = KnownHead.fit(rows, labels, anomaly, seed=0)
    assert told.log_odds(rows[alike]).mean() < untold.log_odds(rows[alike]).mean() - 1


def test_every_row_may_be_known():
    rows, labels, anomaly = rows_with_frauds(n_rows=60, n_frauds=10)
    labels[labels == UNKNOWN] = GENUINE
    head = KnownHead.fit(rows, labels, anomaly, seed=0)
    assert head.lift(rows[:10]).mean() > head.lift(rows[10:]).mean()


def test_two_rows_are_enough_and_a_score_without_spread_too():
    head = KnownHead.fit(np.array([[0.0], [1.0]], np.float32), np.array([1, -1], np.int8), np.zeros(2), seed=0)
    assert np.isfinite(head.lift(np.array([[0.0], [0.4], [9.0]], np.float32))).all()


def test_a_row_is_lifted_alike_in_any_company_to_the_last_bit():
    head = fitted()
    rows, _, _ = rows_with_frauds(n_rows=5_000, seed=3)
    whole = head.lift(rows)
    order = np.random.default_rng(0).permutation(len(rows))
    assert (head.lift(rows[order]) == whole[order]).all()
    assert (np.concatenate([head.lift(rows[start : start + 7]) for start in range(0, 700, 7)]) == whole[:700]).all()
    assert head.lift(rows[:0]).shape == (0,)


def test_the_same_seed_grows_the_same_forest():
    one, same, other = (KnownHead.fit(*rows_with_frauds(), seed) for seed in (0, 0, 1))
    assert (one.share == same.share).all()
    assert not np.array_equal(one.share, other.share)


def test_arrays_bring_the_head_back_to_the_last_bit():
    head = fitted()
    again = KnownHead.from_arrays(head.to_arrays(), n_cells=6)
    rows, _, _ = rows_with_frauds(seed=5)
    assert (again.lift(rows) == head.lift(rows)).all()


def tampered(name, change):
    arrays = {key: array.copy() for key, array in fitted().to_arrays().items()}
    arrays[name] = change(arrays[name])
    return arrays


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("feature", lambda array: array + 6),
        ("feature", lambda array: array - 1),
        ("feature", lambda array: array.astype(np.int64)),
        ("threshold", lambda array: array * np.nan),
        ("left", lambda array: np.full_like(array, len(array))),
        ("left", np.zeros_like),  # it would go round in circles
        ("right", lambda array: array[:-1]),
        ("right", lambda array: array - 1),
        ("share", lambda array: array + 1),
        ("share", lambda array: array * np.nan),
        ("share", lambda array: array[:, None]),
        ("roots", lambda array: array[:0]),
        ("roots", lambda array: array - 1),
        ("scale", lambda array: array * np.inf),
        ("scale", lambda array: array[:1]),
    ],
)
def test_a_file_that_holds_no_forest_is_refused(name, change):
    with pytest.raises(ModelFileError, match="known frauds"):
        KnownHead.from_arrays(tampered(name, change), n_cells=6)


def test_a_missing_or_further_array_is_refused():
    arrays = fitted().to_arrays()
    with pytest.raises(ModelFileError, match="must be arrays"):
        KnownHead.from_arrays({**arrays, "code": arrays["scale"]}, n_cells=6)
    del arrays["roots"]
    with pytest.raises(ModelFileError, match="must be arrays"):
        KnownHead.from_arrays(arrays, n_cells=6)


def transactions(n_rows=3_000, seed=0):
    frame = make_transactions(n_rows, fraud_rate=0.05, random_state=seed)
    y = frame["is_fraud"].to_numpy().astype(int)
    return frame.drop(columns=["is_fraud", "typology", "transaction_id"]), y


def short():
    return VAEDetector(max_steps=60, n_members=1, device="cpu")


def test_knowing_nothing_of_any_row_is_not_knowing_at_all():
    rows, y = transactions()
    plain = short().fit(rows)
    for known in (np.full(len(y), -1), [None] * len(y), np.where(y == 1, np.nan, 0.0)):
        told = short().fit(rows, known=known)
        assert (told.score_samples(rows) == plain.score_samples(rows)).all()
        assert told.offset_ == plain.offset_


def test_the_model_is_the_one_that_never_saw_the_known_frauds():
    rows, y = transactions()
    known = np.where((y == 1) & (np.arange(len(y)) % 2 == 0), 1, -1)
    told = short().fit(rows, known=known)
    without = short().fit(rows, sample_weight=(known != 1).astype(float))
    assert (told.column_surprisal(rows).to_numpy() == without.column_surprisal(rows).to_numpy()).all()


def test_known_frauds_help_to_find_others_and_survive_the_file(tmp_path):
    rows, y = transactions()
    fresh, fresh_y = transactions(seed=1)
    known = np.where(y == 1, 1, -1)
    told, plain = short().fit(rows, known=known), short().fit(rows)
    ranks = [detector.anomaly_score(fresh).argsort().argsort()[fresh_y == 1].mean() for detector in (told, plain)]
    assert ranks[0] > ranks[1]
    told.save(tmp_path / "told.vaea")
    again = VAEDetector.load(tmp_path / "told.vaea", device="cpu")
    assert (again.score_samples(fresh) == told.score_samples(fresh)).all()
    assert (told.score_samples(fresh.head(9)) == told.score_samples(fresh)[:9]).all()
    told.fit(rows)  # a later fit that is told of nothing forgets
    assert (told.score_samples(fresh) == plain.score_samples(fresh)).all()
