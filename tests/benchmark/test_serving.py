"""The load on a server is answered rightly, and counted."""

import pytest

pytest.importorskip("fastapi", reason="the extra [serve] is not installed")

from vae_anomaly.benchmark.__main__ import main
from vae_anomaly.benchmark.serving import ServingRun, run_serving

LOADS = [("rows", 1, 1), ("rows", 3, 1), ("rows", 1, 40), ("rows", 3, 40)]
SORTS = ["malformed", "of other columns", "oversized", "unauthorised", "slow"]


@pytest.mark.filterwarnings("ignore::vae_anomaly.errors.TrainingWarning")  # few steps learn little
def test_every_request_is_answered_rightly_and_counted():
    runs = run_serving([1, 3], [1, 40], 0.2, 2, fit_rows=300, max_steps=5)
    assert [(run.sort, run.clients, run.rows_per_request) for run in runs[:4]] == LOADS
    assert [run.sort for run in runs[4:]] == SORTS
    assert all(run.right == run.requests > 0 for run in runs)
    assert all(run.p50_ms <= run.p99_ms for run in runs)


def test_throughput_is_rows_by_seconds():
    run = ServingRun("rows", 2, 10, requests=30, right=30, seconds=2.0, p50_ms=1.0, p99_ms=2.0)
    assert run.rows_per_second == 150
    assert run.to_row()["rows_per_second"] == 150


def test_a_wrong_answer_is_told_by_the_exit_code(monkeypatch, capsys):
    wrong = ServingRun("rows", 1, 1, requests=2, right=1, seconds=1.0, p50_ms=1.0, p99_ms=1.0)
    monkeypatch.setattr("vae_anomaly.benchmark.serving.run_serving", lambda *_: [wrong])
    assert main(["serving"]) == 1
    assert "bit for bit" in capsys.readouterr().out
