from __future__ import annotations

from vae_anomaly.benchmark import scoring
from vae_anomaly.benchmark.scoring import ScoringRun, show_scoring, time_scoring


def test_ours_is_timed_with_the_products_that_it_takes():
    found = time_scoring("VAEDetector", 200, 4, 150, 0)
    assert found["score_seconds"] > 0
    assert found["flops_per_row"] > 2 * 3 * 96 * 96  # one layer of the three members


def test_peers_are_beside_ours_in_one_run(monkeypatch, capsys):
    def task(name, n_rows, **_):
        return {
            "score_seconds": {"VAEDetector": 1.0, "IsolationForest": 2.0, "PyOD-VAE": 4.0}[name],
            "flops_per_row": 8.0,
        }

    monkeypatch.setattr(scoring, "run_task", lambda _, **options: task(**options))
    runs = scoring.run_scoring(1_000, 4, 10, repeats=3)
    assert runs[0] == ScoringRun("VAEDetector", 1_000, 4, 1_000.0, 8.0)
    show_scoring(runs, peak=16_000.0)
    said = capsys.readouterr().out
    assert "2.00 times" in said
    assert "NOT met" in said  # four times PyOD's, where five are asked for
    assert "50" in said  # % of the peak
