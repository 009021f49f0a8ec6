"""What the benchmark of Spark counts, and what it makes of it."""

import shutil
from dataclasses import replace

import pyarrow as pa
import pytest

from vae_anomaly.benchmark.__main__ import main
from vae_anomaly.benchmark.spark import SparkRun, bars, differing


def test_a_row_differs_if_any_cell_does():
    table = pa.table({"name": ["a", None, "c"], "score": [1.0, 2.0, 3.0]})
    assert differing(table, table) == 0
    assert differing(table, table.set_column(1, "score", [[1.0, 2.0 + 1e-15, 3.0]])) == 1
    assert differing(table, table.set_column(0, "name", [["a", "b", None]])) == 2
    assert differing(table, table.slice(1)) == 3
    assert differing(table, table.rename_columns(["name", "scores"])) == 3


@pytest.mark.parametrize(
    ("run", "met"),
    [
        (SparkRun("score", "Spark", "", True, 9, 1.0, differing_rows=1), False),
        (SparkRun("train", "two processes", "200 steps", True, 9, 1.0, largest_difference=2e-4), False),
        (SparkRun("train", "two processes", "200 steps", True, 9, 1.0, largest_difference=float("nan")), False),
        (SparkRun("train", "two processes", "200 steps", True, 9, 1.0, largest_difference=2e-6), True),
    ],
)
def test_bars_are_met_or_not(run, met):
    assert [bar.met for bar in bars([run])] == [met]
    assert not bars([replace(run, differing_rows=None, must_agree=False)])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed (file|<socket):ResourceWarning")  # what Spark leaves behind
@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")
def test_the_command_shows_that_scores_are_those_of_one_machine(capfd, monkeypatch):
    pytest.importorskip("pyspark", reason="the extra [spark] is not installed")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    monkeypatch.setattr("vae_anomaly.benchmark.spark._TRAININGS", (("10 steps", ("--max-steps", "10"), True),))
    assert main(["spark", "--rows", "300", "--partitions", "2"]) == 0
    assert "0 of 300" in capfd.readouterr().out
