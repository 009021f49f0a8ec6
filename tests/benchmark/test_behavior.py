"""The past of cards, measured: which rows, which columns, and nothing that knows labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vae_anomaly.benchmark import __main__ as command
from vae_anomaly.benchmark.behavior_command import BehaviorRun, run_volume, show_behavior
from vae_anomaly.benchmark.behavior_sets import BOTH, HANDBOOK, PAST, RAW, oracle, sets
from vae_anomaly.benchmark.behavior_volume import drawn
from vae_anomaly.benchmark.payment_suites import PAYMENT_SUITES
from vae_anomaly.benchmark.rows import prepare


@pytest.fixture
def data_dir(tmp_path, write_card_payments):
    """Raw rows in the form of the Handbook's, beside sparkov's."""
    write_card_payments(tmp_path)
    rng = np.random.default_rng(0)
    n_rows = 4_000
    second = np.sort(rng.integers(61 * 86_400, size=n_rows))
    scenario = np.where(rng.random(n_rows) < 0.05, rng.integers(1, 4, n_rows), 0)
    rows = pd.DataFrame(
        {
            "TX_DATETIME": pd.Timestamp("2018-06-01") + pd.to_timedelta(second, unit="s"),
            "CUSTOMER_ID": rng.integers(50, size=n_rows),
            "TERMINAL_ID": rng.integers(70, size=n_rows),
            "TX_AMOUNT": rng.exponential(40, n_rows).round(2) * np.where(np.isin(scenario, (1, 3)), 5, 1),
            "TX_TIME_DAYS": second // 86_400 + 61,
            "TX_FRAUD": (scenario > 0).astype(int),
            "TX_FRAUD_SCENARIO": scenario,
        }
    )
    (tmp_path / "handbook").mkdir()
    rows.to_parquet(tmp_path / "handbook" / "transactions_2018-06-01_2018-08-07.parquet")
    return tmp_path


def by_name(data_dir):
    return {(each.suite, each.columns): each for each in sets(data_dir)}


def test_only_columns_differ_and_none_of_them_knows_a_label(data_dir):
    found = {name: by_name(data_dir)[HANDBOOK, name] for name in (RAW, PAST, BOTH)}
    read = {name: each.read(data_dir / each.path) for name, each in found.items()}
    for data in read.values():
        assert np.array_equal(data.y, read[RAW].y)
        assert data.payments.day.min() == 101
        assert not [name for name in data.X if "FRAUD" in name or name.endswith("_ID")]
    assert set(read[PAST].X) < set(read[BOTH].X)
    assert read[PAST].X["CUSTOMER_ID__count_30D"].iloc[0] > 0  # the weeks before are history


def test_the_oracle_finds_all_that_can_be_told(data_dir):
    each = by_name(data_dir)[HANDBOOK, RAW]
    data, score = oracle(data_dir / each.path)
    scenario = pd.read_parquet(data_dir / each.path).query("'2018-07-11' <= TX_DATETIME < '2018-08-01'")[
        "TX_FRAUD_SCENARIO"
    ]
    assert np.array_equal(score == 1, scenario.isin([1, 3]))
    assert np.array_equal(data.y == 1, scenario > 0)


def test_the_number_of_the_card_is_no_column(data_dir):
    for (suite, columns), each in by_name(data_dir).items():
        if suite == "card-time" and "place" not in columns:
            data = each.read(data_dir / each.path)
            assert "cc_num" not in data.X
            assert len(prepare(data, PAYMENT_SUITES[suite], 0).y) > 0


def test_volume_is_in_order_and_complete():
    rows = pd.concat(drawn(5_000, at_once=1_500))
    assert rows["timestamp"].is_monotonic_increasing
    assert len(rows) == 5_000
    streamed, ours, peer = run_volume(3_000)
    assert streamed.remembered <= 3_000
    assert min(run.rows_per_second for run in (streamed, ours, peer)) > 0


def test_the_command_writes_what_it_shows(data_dir, tmp_path, capsys):
    (data_dir / "sparkov" / "card_transactions_2019-05_2019-10.csv.gz").unlink()
    output = tmp_path / "behavior.csv"
    arguments = ["behavior", "--data-dir", str(data_dir), "--rows", "0", "--output", str(output)]
    assert command.main([*arguments, "--detectors", "IsolationForest"]) == 0
    written = pd.read_csv(output)
    assert written["columns"].nunique() == 4  # with the oracle
    shown = capsys.readouterr().out
    assert all(f"{value:.3f}" in shown for value in written["average_precision"])
    best = written.set_index("columns")["average_precision"]
    assert best[best.index.str.startswith("oracle")].iloc[0] >= best[RAW]


def test_without_data_and_rows_there_is_nothing_to_measure(tmp_path, capsys):
    assert command.main(["behavior", "--data-dir", str(tmp_path), "--rows", "0"]) == 1
    assert "expected handbook or sparkov" in capsys.readouterr().err


def test_seeds_are_averaged(capsys):
    known = {
        "roc_auc": 0.5,
        "precision_at_100_per_day": 0.0,
        "card_precision_at_100": 0.0,
        "amount_recall_at_100_per_day": 0.0,
    }
    show_behavior([BehaviorRun("s", "c", "d", seed, average_precision=seed / 10, **known) for seed in (1, 2)])
    assert "0.150" in capsys.readouterr().out
