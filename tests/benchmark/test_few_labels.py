"""Which rows train, who is told what, and the table by the number of known frauds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vae_anomaly.benchmark import __main__ as command
from vae_anomaly.benchmark.detectors import OURS
from vae_anomaly.benchmark.few_labels import (
    BALANCED,
    N_KNOWN,
    PEER,
    FewLabelsRun,
    payments_by_time,
    payments_with_few_frauds,
    run_few_labels,
    show_few_labels,
)
from vae_anomaly.benchmark.payments import Payments
from vae_anomaly.benchmark.protocol import DataSet
from vae_anomaly.benchmark.splits import TRAINING_FRAUDS, TRAINING_PAYMENTS
from vae_anomaly.errors import TableError, VaeAnomalyError

SHORT = pytest.mark.filterwarnings(
    "ignore::vae_anomaly.errors.TrainingWarning"
)  # columns that know nothing of each other


def card_payments():
    y = np.zeros(20_000, dtype=np.int64)
    y[:400] = 1
    return DataSet(np.zeros((20_000, 1)), y)


def dated_payments():
    days = np.datetime64("2019-05-01") + np.arange(184).repeat(20)
    y = (np.random.default_rng(0).random(len(days)) < 0.2).astype(np.int64)
    return DataSet(np.zeros((len(days), 1)), y, Payments(days, np.zeros(len(days)), np.ones(len(days))))


@pytest.mark.parametrize(
    ("data", "divide"), [(card_payments(), payments_with_few_frauds), (dated_payments(), payments_by_time)]
)
def test_more_become_known_and_the_tests_stay_the_same(data, divide):
    division = divide(data, 0)
    known_before = set()
    for n_known in N_KNOWN:
        rows, known = division.train(n_known)
        told = set(rows[known == 1])
        assert len(told) == n_known
        assert data.y[list(told)].all()
        assert known_before <= told
        assert not np.isin(rows, division.test).any()
        assert len(np.unique(rows)) == len(rows)
        known_before = told
    assert set(known) == {-1, 1}  # nobody is told that a row is genuine
    again, other = divide(data, 0), divide(data, 1)
    assert (division.train(20)[0][division.train(20)[1] == 1] == again.train(20)[0][again.train(20)[1] == 1]).all()
    assert set(division.pool[:20]) != set(other.pool[:20])


def test_as_many_frauds_stay_hidden_among_card_payments_however_many_are_known():
    data = card_payments()
    division = payments_with_few_frauds(data, 0)
    for n_known in N_KNOWN:
        rows, _ = division.train(n_known)
        assert len(rows) == TRAINING_PAYMENTS + TRAINING_FRAUDS + n_known
        assert data.y[rows].sum() == TRAINING_FRAUDS + n_known
    assert data.y[division.test].sum() == 400 - TRAINING_FRAUDS - max(N_KNOWN)


def test_by_time_all_earlier_payments_train_whatever_is_known():
    data = dated_payments()
    division = payments_by_time(data, 0)
    assert (division.train(0)[0] == division.train(100)[0]).all()
    assert data.payments.day[division.train(5)[0]].max() < data.payments.day[division.test].min()


def test_too_few_frauds_are_refused():
    y = np.zeros(20_000, dtype=np.int64)
    y[:100] = 1
    with pytest.raises(TableError, match="121 frauds, found 19,900 and 100"):
        payments_with_few_frauds(DataSet(np.zeros((20_000, 1)), y), 0)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(VaeAnomalyError, match="expected sparkov in"):
        run_few_labels(["sparkov"], tmp_path)


@SHORT
def test_every_detector_is_told_the_same_and_none_of_nothing_is_compared(tmp_path, write_card_payments):
    write_card_payments(tmp_path, fraud_share=0.08)
    settings = {"max_steps": 20, "n_members": 1}
    runs = run_few_labels(["sparkov"], tmp_path, n_known=(0, 20), settings=settings)
    assert [(run.detector, run.n_known) for run in runs] == [(OURS, 0), (OURS, 20), (PEER, 20), (BALANCED, 20)]
    assert [run.failure for run in runs] == [None] * 4
    assert {(run.n_train, run.n_test, run.n_test_frauds, run.n_known + run.n_hidden) for run in runs} == {
        (runs[0].n_train, runs[0].n_test, runs[0].n_test_frauds, runs[0].n_hidden)
    }
    assert all(0 < run.average_precision <= 1 for run in runs)
    assert all(run.average_precision_at_rate is None for run in runs)  # the file holds frauds at their rate
    assert runs[1].average_precision > 0.8  # the amount tells, and the known frauds say so


def test_a_peer_that_fails_is_named_and_the_others_go_on(tmp_path, write_card_payments):
    write_card_payments(tmp_path, fraud_share=0.08)
    runs = run_few_labels(["sparkov"], tmp_path, n_known=(5,), settings={"no such parameter": 1})
    assert [run.failure is None for run in runs] == [False, True, True]


def test_the_table_has_a_row_for_each_number_and_a_column_for_each_detector(capsys):
    runs = [
        FewLabelsRun("creditcard", who, n, seed, average_precision=0.5 + n / 100 + seed / 10)
        for who, n, seed in [(OURS, 0, 0), (OURS, 0, 1), (OURS, 5, 0), (OURS, 5, 1), (PEER, 5, 0)]
    ]
    show_few_labels([*runs, FewLabelsRun("creditcard", PEER, 5, 1, failure="ValueError: too few")])
    text = capsys.readouterr().out
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert cells[0] == ["known frauds", OURS, PEER]
    assert cells[2:] == [["0", "0.550 ± 0.071", "–"], ["5", "0.600 ± 0.071", "0.550"]]
    assert "creditcard, AP, 2 seeds" in text
    assert "at true rate" not in text
    assert "creditcard, 5 known, seed 1: HistGradientBoosting failed: ValueError: too few" in text


@SHORT
def test_the_command_prints_and_writes(tmp_path, capsys, monkeypatch, write_card_payments):
    write_card_payments(tmp_path, 1_500, fraud_share=0.08)
    monkeypatch.setattr("vae_anomaly.benchmark.few_labels.N_KNOWN", (0, 5))
    output = tmp_path / "few.csv"
    arguments = ["few-labels", "--data-dir", str(tmp_path), "--only", "sparkov", "--output", str(output)]
    assert command.main(arguments) == 0
    assert "| known frauds | VAEDetector |" in capsys.readouterr().out
    assert pd.read_csv(output)["detector"].unique().tolist() == [OURS, PEER, BALANCED]
