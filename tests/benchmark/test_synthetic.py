"""Sampled rows beside those of peers: who gets which rows, and the table."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from vae_anomaly.benchmark import __main__ as command
from vae_anomaly.benchmark.detectors import OURS
from vae_anomaly.benchmark.synthesizers import SYNTHESIZERS, divided, independent, read_set, tvae
from vae_anomaly.benchmark.synthetic import INDEPENDENT, METHODS, TVAE, SyntheticRun, run_synthetic, show_synthetic
from vae_anomaly.errors import TableError, VaeAnomalyError

SHORT = {"max_steps": 20, "n_members": 1}


@pytest.fixture
def stand_in(tmp_path):
    """A module ctgan whose TVAE gives back the rows that it learnt from, and says so where results are printed."""
    (tmp_path / "peers").mkdir()
    (tmp_path / "peers" / "ctgan.py").write_text(
        "class TVAE:\n"
        "    def __init__(self, **settings): self.settings = settings\n"
        "    def set_random_state(self, seed): print('seed', seed)\n"
        "    def fit(self, rows, levels): self.rows, self.levels = rows, levels\n"
        "    def sample(self, n_rows): return self.rows.head(n_rows)\n"
    )
    info = tmp_path / "peers" / "ctgan-0.12.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ctgan\nVersion: 0.12.1\n")
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{tmp_path / "peers"}" exec "{sys.executable}" "$@"\n')
    script.chmod(0o755)
    return str(script)


def test_no_row_is_both_learnt_from_and_held_out_and_a_seed_divides_alike():
    rows = pd.DataFrame({"n": range(1_000)})
    train, held_out = divided(rows, 300, 400, seed=0)
    assert (len(train), len(held_out)) == (300, 400)
    assert set(train["n"]).isdisjoint(held_out["n"])
    assert divided(rows, 300, 400, seed=0)[0].equals(train)
    assert not divided(rows, 300, 400, seed=1)[0].equals(train)
    assert len(divided(rows, 900, 900, seed=0)[0]) == 500


def test_the_label_is_a_column_and_names_are_none(tmp_path, write_card_payments):
    path = write_card_payments(tmp_path, 100)
    rows = read_set("sparkov", path, ("cc_num",), ("trans_datetime",))
    assert rows.columns.tolist() == ["trans_datetime", "category", "amt", "is_fraud"]
    assert rows["trans_datetime"].dtype.kind == "M"
    with pytest.raises(TableError, match="expected columns \\['city'\\]"):
        read_set("sparkov", path, ("city",))


def test_independent_columns_keep_each_column_and_lose_what_goes_with_what():
    rng = np.random.default_rng(0)
    train = pd.DataFrame({"net": rng.normal(size=5_000), "shop": rng.choice(["a", "b"], 5_000, p=[0.9, 0.1])})
    train["gross"] = train["net"] * 1.2
    rows = independent(train, 0, "", {}).rows
    assert (rows.dtypes == train.dtypes).all()
    assert set(rows["net"]) <= set(train["net"])
    assert abs((rows["shop"] == "a").mean() - 0.9) < 0.02
    assert abs(rows.corr(numeric_only=True).loc["net", "gross"]) < 0.1


def test_the_peer_gets_the_rows_as_they_are_and_its_rows_come_back_as_they_were(stand_in):
    rng = np.random.default_rng(0)
    train = pd.DataFrame(
        {
            "at": pd.Timestamp("2025-01-01") + pd.to_timedelta(rng.integers(10**7, size=50), unit="s"),
            "shop": rng.choice(["NA", "", "=1", "שלום 💳"], 50),
            "code": rng.integers(3, size=50),
            "amount": rng.exponential(size=50),
        }
    )
    made = tvae(train, 0, stand_in, {})
    assert made.rows.assign(code=made.rows["code"].astype(int), at=made.rows["at"].astype(train["at"].dtype)).equals(
        train
    )
    assert made.fit_seconds >= 0


def test_a_peer_that_is_not_there_is_told_before_the_work(tmp_path):
    with pytest.raises(VaeAnomalyError, match=r"has ctgan, found none at .*pip install ctgan==0\.12\.1"):
        run_synthetic(["sparkov"], tmp_path, tvae_python=sys.executable)


def test_every_method_is_known_to_the_worker():
    assert tuple(SYNTHESIZERS) == METHODS


@pytest.mark.filterwarnings("ignore::vae_anomaly.errors.TrainingWarning")
def test_the_command_measures_prints_and_writes(tmp_path, capsys, monkeypatch, write_card_payments, stand_in):
    write_card_payments(tmp_path, 1_000, fraud_share=0.2)
    monkeypatch.setattr("vae_anomaly.benchmark.synthetic._SETTINGS", {OURS: SHORT})
    output = tmp_path / "synthetic.csv"
    arguments = ["synthetic", "--data-dir", str(tmp_path), "--only", "sparkov", "--rows", "400"]
    assert command.main([*arguments, "--tvae-python", stand_in, "--output", str(output)]) == 0
    runs = pd.read_csv(output).set_index("method")
    assert runs.index.tolist() == list(METHODS)
    assert runs["failure"].isna().all()
    assert runs.loc[TVAE, "copies"] == 1  # the stand-in gives back what it was given
    assert runs.loc[TVAE, "average_precision"] == runs.loc[TVAE, "average_precision_real"]
    assert runs.loc[INDEPENDENT, "average_precision"] < runs.loc[TVAE, "average_precision"]
    text = capsys.readouterr().out
    assert "| sparkov | real rows" in text
    assert "Sampled rows, 1 seed" in text


def test_a_method_that_fails_is_named_and_the_others_go_on(tmp_path, write_card_payments, capsys):
    write_card_payments(tmp_path, 300, fraud_share=0.2)
    runs = run_synthetic(
        ["sparkov"], tmp_path, methods=[OURS, INDEPENDENT], settings={OURS: {"no such": 1}}, n_train=100
    )
    assert [run.failure is None for run in runs] == [False, True]
    show_synthetic(runs)
    text = capsys.readouterr().out
    assert "sparkov, seed 0: VAEDetector failed: " in text


def test_the_table_has_means_over_seeds_and_what_real_rows_get(capsys):
    runs = [
        SyntheticRun("creditcard", who, seed, detection=auc + seed / 10, detection_of_held_out=0.5)
        for who, auc in ((OURS, 0.6), (TVAE, 0.8))
        for seed in (0, 1)
    ]
    show_synthetic(runs)
    cells = [line.split("|")[1:4] for line in capsys.readouterr().out.splitlines() if line[:1] == "|"]
    assert [[cell.strip() for cell in line] for line in cells[2:]] == [
        ["creditcard", "real rows", "0.500 ± 0.000"],
        ["creditcard", OURS, "0.650 ± 0.071"],
        ["creditcard", TVAE, "0.850 ± 0.071"],
    ]
