"""Splits by time, and what a team gets that looks at so many payments a day."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vae_anomaly.benchmark import __main__ as command
from vae_anomaly.benchmark.environment import environment
from vae_anomaly.benchmark.payment_suites import FEATURES, card_time, handbook_7
from vae_anomaly.benchmark.payments import LOOKS, PAYMENT_METRICS, Payments
from vae_anomaly.benchmark.quality import contestants, run_quality
from vae_anomaly.benchmark.rows import prepare
from vae_anomaly.benchmark.suites import SUITES
from vae_anomaly.errors import TableError

DATA = "VAE_ANOMALY_DATA"
PUBLISHED = pytest.mark.skipif(DATA not in os.environ, reason=f"{DATA} names no folder with the published data")


def payments(n_rows=4_000, n_days=21, n_cards=60, seed=0):
    """Payments of no bank, and frauds on some of the cards."""
    rng = np.random.default_rng(seed)
    drawn = Payments(rng.integers(n_days, size=n_rows), rng.integers(n_cards, size=n_rows), rng.exponential(50, n_rows))
    return drawn, ((drawn.card < n_cards // 3) & (rng.random(n_rows) < 0.05)).astype(int)


def write_features(folder, y, drawn):
    rng = np.random.default_rng(1)
    rows = pd.DataFrame(rng.normal(size=(len(y), len(FEATURES))) + 2 * y[:, None], columns=list(FEATURES))
    rows = rows.assign(TX_AMOUNT=drawn.amount, TX_TIME_DAYS=drawn.day + 101, CUSTOMER_ID=drawn.card, TX_FRAUD=y)
    (folder / "handbook").mkdir()
    rows.to_parquet(path := folder / "handbook" / "features_2018-07-11_2018-07-31.parquet")
    return path


def test_the_first_week_trains_and_the_third_tests_without_cards_known_by_then():
    drawn, y = payments()
    split = handbook_7(drawn, y)
    assert set(split.train) == set(np.flatnonzero(drawn.day < 7))
    assert set(drawn.day[split.test]) == set(range(14, 21))
    left_out = np.setdiff1d(np.flatnonzero(drawn.day >= 14), split.test)
    first_fraud = {card: drawn.day[(drawn.card == card) & (y == 1)].min() for card in np.unique(drawn.card[y == 1])}
    waited = {row: drawn.day[row] - first_fraud.get(drawn.card[row], np.inf) for row in range(len(y))}
    assert {waited[row] > 7 for row in left_out} == {True}
    assert {waited[row] > 7 for row in split.test} == {False}


def test_only_the_calendar_decides():
    drawn, y = payments()
    later = Payments(drawn.day + 1_000, drawn.card, drawn.amount)
    assert np.array_equal(handbook_7(later, y).test, handbook_7(drawn, y).test)
    days = np.datetime64("2019-05-01") + np.arange(184)
    split = card_time(Payments(days, np.arange(184), np.ones(184)), np.zeros(184, dtype=int))
    assert set(days[split.train].astype("datetime64[M]").astype(str)) == {"2019-05", "2019-06", "2019-07"}
    assert set(days[split.test].astype("datetime64[M]").astype(str)) == {"2019-09", "2019-10"}
    assert len(split.train) + len(split.test) == 184 - 31


def test_the_perfect_score_finds_every_fraud_of_a_day():
    drawn, y = payments()
    found = drawn.figures(y, y.astype(float))
    frauds_a_day = np.bincount(drawn.day, weights=y)
    assert frauds_a_day.max() < LOOKS
    assert found["precision_at_100_per_day"] == pytest.approx(frauds_a_day.mean() / LOOKS)
    assert found["amount_recall_at_100_per_day"] == pytest.approx(1)
    n_cards = len(np.unique(drawn.card[y == 1]))  # each is found once, and blocked
    assert found["card_precision_at_100"] == pytest.approx(n_cards / 21 / LOOKS)


def test_daily_figures_are_measured_kept_and_found_again(tmp_path, write_card_payments):
    drawn, y = payments()
    sets = [
        ("handbook-7", "handbook", write_features(tmp_path, y, drawn)),
        ("card-time", "sparkov", write_card_payments(tmp_path)),
    ]
    entrants = contestants(["IsolationForest"])
    first, second = (run_quality(sets, entrants, environment(), folder=tmp_path / "cache") for _ in range(2))
    assert [run.detector for run in first] == [
        *("IsolationForest", "IsolationForest (ordinal)", "IsolationForest (one-hot)")
    ]
    assert [run.failure for run in first] == [None] * 3
    assert not any(run.cached for run in first)
    assert all(run.cached for run in second)
    for name in PAYMENT_METRICS:
        assert [getattr(run, name) for run in first] == [getattr(run, name) for run in second]
        assert all(0 < getattr(run, name) <= 1 for run in first)


def test_cards_days_and_labels_reach_no_detector(tmp_path, write_card_payments):
    data = SUITES["card-time"].read(write_card_payments(tmp_path))
    assert data.X.columns.tolist() == ["trans_datetime", "category", "amt"]
    drawn, y = payments()
    data = SUITES["handbook-7"].read(write_features(tmp_path, y, drawn))
    assert data.X.columns.tolist() == list(FEATURES)
    assert len(FEATURES) == 15


def test_the_table_shows_daily_figures_and_who_is_left_out(tmp_path, capsys, write_card_payments):
    write_card_payments(tmp_path)
    arguments = ["quality", "--data-dir", str(tmp_path), "--cache", str(tmp_path / "cache"), "--suite", "card-time"]
    assert command.main([*arguments, "--detectors", "IsolationForest", "EllipticEnvelope"]) == 0
    text = capsys.readouterr().out
    header = next(line for line in text.splitlines() if line.startswith("| detector"))
    assert [cell.strip() for cell in header.strip("|").split("|")] == [
        *("detector", "ROC AUC", "AP", "P@100 a day", "card P@100 a day", "amount recall@100 a day", "fit s", "score s")
    ]
    assert "| EllipticEnvelope (ordinal) " in text
    assert "| EllipticEnvelope (one-hot) " not in text
    assert "card-time: EllipticEnvelope (one-hot) takes no part: " in text


def test_rows_without_a_calendar_cannot_be_split_by_time(tmp_path):
    (tmp_path / "claims.csv").write_text("Make,FraudFound_P,PolicyNumber\nMazda,0,1\nHonda,1,2\n")
    data = SUITES["claims-normal"].read(tmp_path / "claims.csv")
    with pytest.raises(TableError, match="expected payments with a day"):
        prepare(data, SUITES["card-time"], 0)


@PUBLISHED
def test_the_handbooks_own_rows_are_reproduced():
    data_dir = Path(os.environ[DATA])
    suite = SUITES["handbook-7"]
    rows = prepare(suite.read(suite.paths(data_dir)["handbook"]), suite, seed=0)
    assert rows.counts == {
        "n_columns": 15,
        "n_train": 66_928,
        "n_train_anomalies": 633,
        "n_test": 58_505,
        "n_test_anomalies": 374,
    }
