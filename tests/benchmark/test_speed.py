"""Speed: the table, the runs, their ratios, and the bars."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from vae_anomaly.benchmark.bars import FIT_RATIOS, SCORE_RATIO, bars
from vae_anomaly.benchmark.detectors import DETECTORS, OURS, detector
from vae_anomaly.benchmark.process import run_task
from vae_anomaly.benchmark.speed import SpeedRun, medians, run_speed, with_ratios
from vae_anomaly.benchmark.timing import synthetic_table
from vae_anomaly.errors import MissingExtraError, ParameterError

BRIEF = {OURS: {"max_steps": 3, "n_members": 1}, "IsolationForest": {"n_estimators": 3}, "PyOD-VAE": {"epoch_num": 1}}


@pytest.fixture(scope="module")
def runs():
    """A whole benchmark, very small."""
    return run_speed([300], 4, memory_rows=400, peers=["IsolationForest"], settings=BRIEF)


def test_every_planned_run_is_there(runs):
    planned = [(OURS, 300, "speed"), ("IsolationForest", 300, "speed"), (OURS, 400, "memory")]
    assert [(run.detector, run.rows, run.measures) for run in runs] == planned
    assert [run.failure for run in runs] == [None] * 3
    assert runs[2].score_seconds is None


def test_ratios_are_quotients_of_the_seconds(runs):
    ours, peer = runs[:2]
    assert peer.fit_ratio == peer.fit_seconds / ours.fit_seconds
    assert peer.score_ratio == peer.score_seconds / ours.score_seconds
    assert peer.score_ratio == pytest.approx(ours.score_rows_per_second / peer.score_rows_per_second)
    assert (ours.fit_ratio, ours.score_ratio) == (1, 1)


def test_rows_per_second_times_seconds_are_the_rows(runs):
    assert all(run.score_rows_per_second * run.score_seconds == pytest.approx(run.rows) for run in runs[:2])


def test_peak_memory_holds_the_table_and_the_limit_grows_by_four_tables(runs):
    assert all(run.peak_bytes > 4 * run.rows * run.columns for run in runs)
    wider = replace(runs[0], columns=runs[0].columns + 1)
    assert wider.allowed_bytes - runs[0].allowed_bytes == 4 * 4 * runs[0].rows


@pytest.mark.skipif(find_spec("pyod") is None, reason="PyOD comes with the [benchmark] extra, which is not installed")
def test_the_pyod_vae_is_measured_and_prints_nothing_among_the_results():
    found = run_task("speed", name="PyOD-VAE", n_rows=100, n_columns=4, seed=0, settings=BRIEF["PyOD-VAE"])
    assert min(found[name] for name in ("warm_up_seconds", "fit_seconds", "score_seconds", "peak_bytes")) > 0


def test_a_failed_run_says_why_and_has_no_figures(capsys):
    (run,) = run_speed([], 4, memory_rows=100, peers=[], settings={OURS: {"n_members": 0}})
    assert "'n_members' parameter of VAEDetector must be" in run.failure
    assert run.fit_seconds is run.fit_ratio is run.peak_bytes is None
    assert "failed: " in capsys.readouterr().err


def test_an_absent_peer_is_told_before_anything_is_measured(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyod", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'vae-anomaly\[benchmark\]'"):
        run_speed([100], 4)
    assert "measuring" not in capsys.readouterr().err


def test_the_table_is_the_same_each_time_and_correlated():
    table = synthetic_table(70_000, 10)  # more than one piece
    assert table.dtype == np.float32
    assert (table == synthetic_table(70_000, 10)).all()
    of_factors = np.sort(np.linalg.eigvalsh(np.cov(table.T)))[::-1]
    assert of_factors[:2].sum() > 0.8 * of_factors.sum()


@pytest.mark.parametrize("name", [OURS, "IsolationForest"])
def test_higher_is_more_anomalous(name):
    table = synthetic_table(300, 4)
    table[7] = 40
    entry = detector(name)
    fitted = entry.build(0, {"max_steps": 60, "n_members": 1} if name == OURS else {}).fit(table)
    assert entry.score(fitted, table).argmax() == 7


@pytest.mark.parametrize("name", [OURS, "IsolationForest"])
def test_a_warm_up_is_the_same_detector_but_shorter(name):
    entry = DETECTORS[name]
    default, brief = (entry.build(0, settings).get_params() for settings in ({}, entry.warm_up))
    assert {key for key in default if default[key] != brief[key]} == set(entry.warm_up)
    assert all(brief[key] < default[key] for key in entry.warm_up)


def test_an_unknown_detector_is_refused():
    with pytest.raises(ParameterError, match="must be one of"):
        detector("LOF of another project")


def repeats():
    seconds = [(1.0, 20.0), (2.0, 24.0), (4.0, 60.0)]
    runs = [
        SpeedRun(name, 20_000, 30, seed, fit_seconds=took[index], score_seconds=took[index] / 10)
        for seed, took in enumerate(seconds)
        for index, name in enumerate((OURS, "PyOD-VAE"))
    ]
    return with_ratios(runs)


def test_medians_do_not_depend_on_the_order_and_leave_failures_out():
    runs = repeats()
    expected = {run.detector: (run.fit_seconds, run.fit_ratio) for run in medians(runs)}
    assert expected == {OURS: (2.0, 1.0), "PyOD-VAE": (24.0, 15.0)}
    failed = SpeedRun("PyOD-VAE", 20_000, 30, 3, failure="out of memory")
    assert {run.detector: (run.fit_seconds, run.fit_ratio) for run in medians([*runs[::-1], failed])} == expected


def test_a_bar_is_met_from_its_figure_on_and_only_at_its_size():
    for rows, least in FIT_RATIOS.items():
        for ratio, met in ((least, True), (least - 0.01, False)):
            run = SpeedRun("PyOD-VAE", rows, 30, 0, fit_ratio=ratio, score_ratio=SCORE_RATIO)
            verdicts = {bar.text: bar.met for bar in bars([run]) if bar.met is not None}
            assert list(verdicts.values()) == [met, True]
            assert all(f"{rows:,} x 30" in text for text in verdicts)
    others = [SpeedRun("PyOD-VAE", 300, 30, 0, fit_ratio=99.0), SpeedRun("PyOD-VAE", 20_000, 4, 0, fit_ratio=99.0)]
    assert {bar.met for bar in bars(others)} == {None}


@pytest.mark.parametrize(("over", "met"), [(-1, True), (0, False), (1, False)])
def test_memory_must_stay_below_its_limit(over, met):
    run = SpeedRun(OURS, 1_000_000, 30, 0, measures="memory")
    assert run.allowed_bytes == 4 * 120_000_000 + 10**9
    assert bars([replace(run, peak_bytes=run.allowed_bytes + over)])[-1].met is met


@pytest.mark.parametrize(("seconds", "met"), [(20.0, True), (20.1, False)])
def test_a_large_table_may_take_ten_times_a_small_one(seconds, met):
    small = SpeedRun("VAEDetector", 10_000, 30, 0, fit_seconds=2.0)
    large = SpeedRun("VAEDetector", 500_000, 30, 0, fit_seconds=seconds)
    assert [bar.met for bar in bars([small, large]) if bar.met is not None] == [met]
    assert all(bar.met is None for bar in bars([large]))
