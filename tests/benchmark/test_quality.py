"""The quality benchmark: what is measured, what is kept, how it is summed up."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.preprocessing import StandardScaler

from vae_anomaly.benchmark import __main__ as command
from vae_anomaly.benchmark import cache, measuring, quality
from vae_anomaly.benchmark.detectors import DETECTORS, OURS, Detector
from vae_anomaly.benchmark.environment import environment
from vae_anomaly.benchmark.measuring import few_threads
from vae_anomaly.benchmark.number_suites import ROWS_OF_A_GENUINE_PAYMENT
from vae_anomaly.benchmark.protocol import DataSet
from vae_anomaly.benchmark.quality import Contestant, QualityRun, contestants, run_quality
from vae_anomaly.benchmark.ranking import METRICS, paired_p_value, ranks, summarise
from vae_anomaly.benchmark.rows import prepare
from vae_anomaly.benchmark.suites import SUITES
from vae_anomaly.errors import ParameterError

WHERE = environment()
BRIEF = Contestant(OURS, OURS, {"max_steps": 2, "n_members": 1})
CHEAP = contestants(["LOF", "kNN"])


def a_set(n_normal=120, n_anomalous=15, seed=0):
    y = np.repeat([0, 1], [n_normal, n_anomalous])
    return DataSet(np.random.default_rng(seed).normal(size=(len(y), 3)) * [1, 10, 100] + y[:, None] * 2, y)


@pytest.fixture
def sets(tmp_path):
    (tmp_path / "adbench").mkdir()
    paths = []
    for number, name in enumerate(("wine", "cardio")):
        data = a_set(seed=number)
        paths.append(tmp_path / "adbench" / f"{number}_{name}.npz")
        np.savez(paths[-1], X=data.X, y=data.y)
    return [(suite, path.stem[2:], path) for suite in ("normal50", "contaminated") for path in paths]


@pytest.fixture
def fits(monkeypatch):
    """Counts fits."""
    done = []
    measure = quality.measure

    def counted(estimator, *arguments, **options):
        done.append(estimator)
        return measure(estimator, *arguments, **options)

    monkeypatch.setattr(quality, "measure", counted)
    return done


def enter(monkeypatch, name, score, build=lambda seed, settings: LocalOutlierFactor(novelty=True)):
    monkeypatch.setitem(DETECTORS, name, Detector(build, score))
    return Contestant(name, name)


def test_every_cell_is_measured_once_and_by_the_same_rows(sets):
    runs = run_quality(sets, CHEAP, WHERE, seeds=2)
    assert len({(run.suite, run.data, run.detector, run.seed) for run in runs}) == len(runs) == 4 * 2 * 2
    assert all(run.failure is None and 0 <= run.roc_auc <= 1 and not run.cached for run in runs)
    assert {(run.n_train, run.n_train_anomalies) for run in runs if run.suite == "normal50"} == {(60, 0)}
    assert {(run.n_train, run.n_train_anomalies) for run in runs if run.suite == "contaminated"} == {(94, 10)}


def test_a_second_run_fits_nothing_and_says_the_same(sets, tmp_path, fits):
    first = run_quality(sets, CHEAP, WHERE, folder=tmp_path / "cache")
    n_fits = len(fits)
    assert n_fits == len(first)
    second = run_quality(sets, CHEAP, WHERE, folder=tmp_path / "cache")
    assert len(fits) == n_fits
    assert [replace(run, cached=False) for run in second] == first
    assert all(run.cached for run in second)


def test_only_what_changed_is_measured_again(sets, tmp_path, fits, monkeypatch):
    def again(entrants=CHEAP, seeds=1):
        fits.clear()
        run_quality(sets, entrants, WHERE, folder=tmp_path / "cache", seeds=seeds)
        return len(fits)

    assert again() == 8
    assert again(seeds=2) == 8  # the second seed
    assert again([*CHEAP, *contestants(["DTE-NP"])]) == 4
    path = sets[0][2]
    data = a_set(seed=0)
    data.X[0, 0] += 1
    np.savez(path, X=data.X, y=data.y)
    assert again() == 4  # one set, two suites, two detectors
    monkeypatch.setitem(DETECTORS, "kNN", replace(DETECTORS["kNN"], score=DETECTORS["DTE-NP"].score))
    assert again() == 4
    monkeypatch.setattr(cache, "MEASUREMENT", cache.MEASUREMENT + 1)
    assert again() == 8


def test_our_results_hold_as_long_as_our_code_does(sets, tmp_path, fits, monkeypatch):
    folder = tmp_path / "cache"
    run_quality(sets[:1], [BRIEF], WHERE, folder=folder)
    run_quality(sets[:1], [BRIEF], WHERE, folder=folder)
    assert len(fits) == 1
    monkeypatch.setattr(cache, "_our_code", lambda: "another line")
    run_quality(sets[:1], [BRIEF], WHERE, folder=folder)
    assert len(fits) == 2
    run_quality(sets[:1], CHEAP, WHERE, folder=folder)
    monkeypatch.undo()
    assert all(run.cached for run in run_quality(sets[:1], [BRIEF, *CHEAP], WHERE, folder=folder))


def test_our_code_is_told_apart_by_what_it_does(tmp_path, monkeypatch):
    for source in cache.OUR_SOURCES:
        (tmp_path / source).write_text("a = 1\n") if source.endswith(".py") else (tmp_path / source).mkdir()
    monkeypatch.setattr(cache, "_PACKAGE", tmp_path)

    def code():
        cache._our_code.cache_clear()
        return cache._our_code()

    before = code()
    (tmp_path / "detector.py").write_text("a = 1  # said\n")
    assert code() == before
    (tmp_path / "detector.py").write_text("a = 2\n")
    changed = code()
    assert changed != before
    (tmp_path / "model" / "new.py").write_text("")
    assert code() not in (before, changed)
    monkeypatch.undo()
    cache._our_code.cache_clear()


def test_what_is_kept_is_json_and_a_damaged_file_is_a_miss(sets, tmp_path, fits):
    folder = tmp_path / "cache"
    run_quality(sets[:1], CHEAP, WHERE, folder=folder)
    kept = sorted(folder.iterdir())
    assert len(kept) == 2
    assert all(set(json.loads(path.read_text())) == set(quality._KEPT) for path in kept)
    kept[0].write_text('{"roc_auc": ')
    kept[1].write_text("{}")
    assert not any(run.cached for run in run_quality(sets[:1], CHEAP, WHERE, folder=folder))


def test_an_interrupted_run_goes_on_where_it_stopped(sets, tmp_path, fits, monkeypatch):
    def interrupt(fitted, X):
        raise KeyboardInterrupt

    entrants = [*CHEAP, enter(monkeypatch, "slow", interrupt)]
    with pytest.raises(KeyboardInterrupt):
        run_quality(sets, entrants, WHERE, folder=tmp_path / "cache")
    enter(monkeypatch, "slow", DETECTORS["LOF"].score)
    runs = run_quality(sets, entrants, WHERE, folder=tmp_path / "cache")
    assert [run.cached for run in runs[:4]] == [True, True, False, False]


def test_a_failure_is_told_and_tried_again_and_stops_nobody(sets, tmp_path, monkeypatch, capsys):
    nan = enter(monkeypatch, "NaN", lambda fitted, X: np.full(len(X), np.nan))
    for _ in range(2):
        runs = run_quality(sets, [nan, *CHEAP], WHERE, folder=tmp_path / "cache")
        failed = [run for run in runs if run.failure is not None]
        assert {run.detector for run in failed} == {"NaN"}
        assert all("NaN" in run.failure and run.roc_auc is None and not run.cached for run in failed)
        assert "wine, seed 0, NaN: failed: " in capsys.readouterr().err
    summary = summarise(runs)[0]
    assert summary.absent == ("NaN",)
    assert set(summary.sets) == {"wine", "cardio"}


def test_whoever_is_left_out_is_named(sets, monkeypatch, capsys):
    slow = replace(SUITES["normal50"], too_slow={"LOF": "it takes hours"})
    monkeypatch.setitem(SUITES, "normal50", slow)
    runs = run_quality(sets[:1], CHEAP, WHERE)
    assert [run.detector for run in runs] == ["kNN"]
    command.quality_command.show_quality(runs)
    assert "normal50: LOF takes no part: it takes hours." in capsys.readouterr().out
    assert run_quality(sets[:1], contestants(["LOF"]), WHERE) == []
    assert "skipped normal50: none of the chosen detectors takes part in it." in capsys.readouterr().err


def test_a_file_that_cannot_be_read_fails_its_own_cells_only(sets, tmp_path):
    np.savez(tmp_path / "odd.npz", X=np.zeros((3, 2)))
    runs = run_quality([("normal50", "odd", tmp_path / "odd.npz"), sets[0]], CHEAP, WHERE)
    assert [run.failure is None for run in runs] == [False, False, True, True]


def test_the_perfect_detector_is_perfect_and_its_mirror_hopeless(sets, monkeypatch):
    truth = prepare(a_set(), SUITES["normal50"], 0).y
    perfect = enter(monkeypatch, "perfect", lambda fitted, X: truth)
    mirror = enter(monkeypatch, "mirror", lambda fitted, X: -truth)
    best, worst = run_quality(sets[:1], [perfect, mirror], WHERE)
    assert (best.roc_auc, best.average_precision, worst.roc_auc) == (1, 1, 0)


def test_neighbours_are_measured_on_z_scores_of_the_training_rows(sets, monkeypatch):
    rows = prepare(a_set(), SUITES["normal50"], 0)
    scaler = StandardScaler().fit(rows.train)
    distances = (
        NearestNeighbors(n_neighbors=5).fit(scaler.transform(rows.train)).kneighbors(scaler.transform(rows.test))
    )
    found = run_quality(sets[:1], contestants(["kNN", "DTE-NP"]), WHERE)
    expected = [average_precision_score(rows.y, score) for score in (distances[0][:, -1], distances[0].mean(axis=1))]
    assert [run.average_precision for run in found] == pytest.approx(expected)
    assert np.allclose(rows.encoded("z-scores")[0].std(axis=0), 1)


def test_what_a_user_knows_is_told_and_nothing_else(sets, fits):
    run_quality(sets, [BRIEF], WHERE)
    assert [one.contamination for one in fits] == [0.0, 0.0, "auto", "auto"]
    assert all(one.max_steps == 2 for one in fits)
    assert not DETECTORS["kNN"].clean


def test_weights_restore_the_true_rate():
    y = np.random.default_rng(0).permutation(np.repeat([0, 1], [24_308, 492]))
    rows = prepare(DataSet(np.zeros((len(y), 1)), y), SUITES["creditcard-normal"], 0)
    assert set(rows.weight[rows.y == 0]) == {ROWS_OF_A_GENUINE_PAYMENT}
    assert set(rows.weight[rows.y == 1]) == {1.0}
    whole = 492 / (492 + 24_308 * ROWS_OF_A_GENUINE_PAYMENT)
    assert whole == pytest.approx(0.00173, rel=0.01)
    assert prepare(a_set(), SUITES["normal50"], 0).weight is None


def test_average_precision_of_chance_is_the_rate():
    rows = prepare(a_set(), SUITES["normal50"], 0)
    rows = replace(rows, weight=np.where(rows.y == 1, 1.0, 11.7))
    found = measuring.measure(LocalOutlierFactor(novelty=True), lambda fitted, X: np.zeros(len(X)), rows, encoding=None)
    assert found["average_precision"] == pytest.approx(15 / 75)
    assert found["average_precision_at_rate"] == pytest.approx(15 / (15 + 60 * 11.7))


@pytest.mark.parametrize("name", [name for name in DETECTORS if name != OURS])
def test_every_peer_finds_what_nobody_can_miss(name):
    pytest.importorskip("pyod") if DETECTORS[name].requires else None
    y = np.repeat([0, 1], [200, 10])
    X = np.random.default_rng(0).normal(size=(210, 4)) + 30 * y[:, None]
    rows = prepare(DataSet(X, y), SUITES["normal50"], 0)
    entry = DETECTORS[name]
    measuring.warm_up(name)
    found = measuring.measure(entry.build(0, entry.warm_up), entry.score, rows, encoding="z-scores")
    assert found["roc_auc"] > 0.95


def test_threads_are_few_inside_and_as_before_outside(monkeypatch):
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with few_threads():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_a_forest_takes_no_more_threads_than_the_others(sets, fits):
    run_quality(sets[:1], contestants(["IsolationForest"]), WHERE)
    assert [one.n_jobs for one in fits] == [measuring.n_threads()]


@given(arrays(float, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=st.sampled_from([0.1, 0.5, 0.9])))
def test_ranks_average_to_the_middle(values):
    assert np.allclose(ranks(values).mean(axis=1), (values.shape[1] + 1) / 2)


def results(table, suite="normal50", seeds=(0,)):
    """Runs of detectors (columns) on sets (rows)."""
    return [
        QualityRun(suite, data, name, seed, roc_auc=auc, average_precision=auc / 2, fit_seconds=1.0, score_seconds=0.5)
        for data, row in table.iterrows()
        for name, auc in row.items()
        for seed in seeds
    ]


@given(arrays(float, (7, 3), elements=st.sampled_from([0.1, 0.5, 0.9])))
def test_wins_are_shared_out_and_places_add_up(values):
    table = pd.DataFrame(values, columns=[OURS, "kNN", "LOF"], index=list("abcdefg"))
    standings = summarise(results(table))[0].standings["roc_auc"]
    assert sum(one.wins for one in standings.values()) == pytest.approx(7)
    assert np.mean([one.rank for one in standings.values()]) == pytest.approx(2)
    assert {name: one.mean for name, one in standings.items()} == pytest.approx(table.mean().to_dict())
    assert standings[OURS].p_value is None
    assert all(0 <= one.p_value <= 1 for name, one in standings.items() if name != OURS)
    means = [one.mean for one in standings.values()]
    assert means == sorted(means, reverse=True)


def test_the_test_is_paired_two_sided_and_silent_on_few_sets():
    ours = np.linspace(0.5, 0.9, 8)
    assert paired_p_value(ours, ours + 0.01) == pytest.approx(2 / 2**8)
    assert paired_p_value(ours, ours) == 1
    assert paired_p_value(ours[:5], ours[:5] + 0.01) is None


def test_means_are_over_the_sets_that_all_have():
    table = pd.DataFrame({OURS: [0.5, 0.9, 0.7], "kNN": [0.6, 0.8, 0.9]}, index=["a", "b", "c"])
    runs = results(table, seeds=(0, 1))
    runs[-1] = replace(runs[-1], roc_auc=None, failure="out of memory")  # kNN on c, seed 1
    summary = summarise(runs)[0]
    assert summary.sets == ("a", "b")
    assert summary.left_out == {"c": "kNN"}
    assert summary.standings["roc_auc"][OURS].mean == pytest.approx(0.7)
    assert summary.standings["roc_auc"]["kNN"].spread == pytest.approx(0)
    assert summary.best_peer("roc_auc") == pytest.approx(0.7)
    assert METRICS[2] not in summary.standings


def test_nothing_but_failures_is_no_summary(capsys):
    runs = [QualityRun("normal50", "wine", name, 0, failure="no memory") for name in ("kNN", OURS)]
    summary = summarise(runs)[0]
    assert (summary.sets, summary.standings, summary.absent) == ((), {}, ("kNN", OURS))
    command.quality_command.show_quality(runs)
    assert "kNN is in no mean" in capsys.readouterr().out


def test_variants_are_of_ours_and_have_its_parameters():
    names = [one.name for one in contestants([OURS], [{"beta": 1.0}, {"hidden": (8, 8)}])]
    assert names == [OURS, "VAEDetector(beta=1.0)", "VAEDetector(hidden=(8, 8))"]
    for settings in ({"depth": 3}, {"random_state": 1}):
        with pytest.raises(ParameterError, match="A variant must set parameters of VAEDetector"):
            contestants([OURS], [settings])


def test_the_command_prints_means_and_writes_every_fit(sets, tmp_path, capsys):
    arguments = ["quality", "--data-dir", tmp_path, "--cache", tmp_path / "cache", "--output", tmp_path / "all.csv"]
    chosen = ["--suite", "normal50", "--detectors", "LOF", "kNN", "--seeds", "2"]
    assert command.main([*map(str, arguments), *chosen]) == 0
    text = capsys.readouterr().out
    assert "normal50: 2 data sets, 2 seeds" in text
    assert "| best peer of each set" in text
    table = pd.read_csv(tmp_path / "all.csv")
    assert len(table) == 8
    assert set(table["versions"]) == {WHERE.versions}
    mean = table.query("detector == 'kNN'")["roc_auc"].mean()
    row = next(line for line in text.splitlines() if line.startswith("| kNN"))
    assert f"{mean:.3f} ±" in row
    assert command.main([*map(str, arguments), *chosen]) == 1  # what is there is not overwritten
    assert command.main([*map(str, arguments), *chosen, "--force"]) == 0
    assert "8 of 8 results were measured by earlier runs" in capsys.readouterr().out


def test_a_failed_fit_is_exit_code_1(sets, tmp_path, capsys, monkeypatch):
    enter(monkeypatch, "LOF", lambda fitted, X: np.full(len(X), np.nan))
    arguments = ["quality", "--data-dir", str(tmp_path), "--cache", str(tmp_path / "cache"), "--sets", "wine"]
    assert command.main([*arguments, "--suite", "contaminated", "--detectors", "LOF", "kNN"]) == 1
    text, error = capsys.readouterr()
    assert "Failures" in text
    assert "1 of 2 fits failed" in error
