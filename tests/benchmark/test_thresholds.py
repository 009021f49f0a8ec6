"""Which rows set a threshold and which judge it, what a wish is told, what became of it, and what is printed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.ensemble import IsolationForest

from vae_anomaly import CalibratedDetector, PyODAdapter
from vae_anomaly.benchmark import __main__ as command
from vae_anomaly.benchmark import rule_timing, thresholds
from vae_anomaly.benchmark.outcomes import (
    Figure,
    Later,
    cost_of,
    f_beta,
    false_discoveries,
    per_period,
    share_of,
    verdict,
)
from vae_anomaly.benchmark.rule_timing import ALPHAS, band_rows, least_rows, run_certified, run_timing
from vae_anomaly.benchmark.threshold_sets import THRESHOLD_SETS, by_month, by_share, read_set
from vae_anomaly.benchmark.thresholds import (
    CONTESTANTS,
    Scored,
    ThresholdRun,
    contestant,
    drift,
    judged,
    run_thresholds,
)
from vae_anomaly.benchmark.thresholds_command import show_certified, show_thresholds, show_timing
from vae_anomaly.benchmark.wishes import Wish, hindsight, wishes
from vae_anomaly.decision import thresholds as rules
from vae_anomaly.decision.thresholds import RULES, CalibrationRows
from vae_anomaly.errors import TableError, VaeAnomalyError

SHORT = {"VAEDetector": {"max_steps": 5, "n_members": 1}, "IsolationForest": {"n_estimators": 20}}
QUIET = pytest.mark.filterwarnings("ignore::vae_anomaly.errors.TrainingWarning")  # columns that say little
ENTRY = THRESHOLD_SETS["sparkov"]


def scores_of(rng, n_rows, share=0.01, lift=3.0):
    """Normal scores, some of them frauds that score higher, 200 rows a day."""
    y, days = rng.random(n_rows) < share, n_rows // 200
    time = np.datetime64("2026-03-01", "ns") + np.sort(rng.integers(0, days * 86_400, n_rows)).astype("timedelta64[s]")
    return rng.normal(size=n_rows) + lift * y, y, time, rng.exponential(50, n_rows) + 200 * y


def scored(rng, n_calibration=6_000, n_later=20_000, **options):
    score, y, time, amount = scores_of(rng, n_calibration, **options)
    rows = CalibrationRows.from_arrays(score, y, amount=amount, time=time, weight=np.ones(n_calibration))
    score, y, time, amount = scores_of(rng, n_later, **options)
    later = Later(score, y, time, amount, "day")
    return Scored(rows, later, score > norm.isf(0.001), 1.0)


def run_of(wish):
    return ThresholdRun("payments", "one", wish.name, wish.told, 0, wish.quantity, wish.sense, wish.asked, "day")


# ---------------------------------------------------------------- rows


@pytest.mark.parametrize("divide", [by_month, by_share])
def test_what_is_judged_comes_after_what_calibrates_and_that_after_what_trains(divide):
    rng = np.random.default_rng(0)
    time = np.datetime64("2019-05-01", "ns") + rng.integers(0, 184 * 24, 3_000).astype("timedelta64[h]")
    parts = divide(time)
    assert time[parts.train].max() < time[parts.calibration].min()
    assert time[parts.calibration].max() < time[parts.later].min()
    assert sorted(np.concatenate(list(vars(parts).values()))) == list(range(len(time)))


def write_two_days(folder, n_rows=4_000, n_frauds=300):
    rng = np.random.default_rng(1)
    y = np.zeros(n_rows, dtype=int)
    y[rng.permutation(n_rows)[:n_frauds]] = 1
    rows = pd.DataFrame(rng.normal(size=(n_rows, 3)) + 3 * y[:, None], columns=["V1", "V2", "V3"])
    rows = rows.assign(Time=rng.integers(0, 172_800, n_rows), Amount=rng.exponential(80, n_rows), Class=y)
    (folder / "creditcard").mkdir()
    rows.to_csv(folder / "creditcard" / "creditcard_sample.csv.gz", index=False)
    return rows


def test_frauds_are_thinned_by_seed_and_genuine_rows_never_and_the_clock_is_hidden(tmp_path):
    written = write_two_days(tmp_path)
    every, parts = read_set("creditcard, all frauds", tmp_path, 0)
    thin, _ = read_set("creditcard", tmp_path, 0)
    other, _ = read_set("creditcard", tmp_path, 1)
    assert every.y.sum() == written["Class"].sum() == 300
    assert thin.y.sum() == other.y.sum() == round(300 / 11.7)
    assert set(thin.amount[thin.y]) != set(other.amount[other.y])
    np.testing.assert_array_equal(np.sort(thin.amount[~thin.y]), np.sort(every.amount[~every.y]))
    assert list(every.X) == ["V1", "V2", "V3", "Amount"]
    assert (np.diff(every.time) >= np.timedelta64(0)).all()
    np.testing.assert_array_equal(every.part(parts.later).X["Amount"], every.amount[parts.later])


def test_a_part_without_frauds_is_refused(tmp_path, write_card_payments):
    write_card_payments(tmp_path, fraud_share=0.001)
    with pytest.raises(TableError, match="expected frauds and genuine rows among those of"):
        read_set("sparkov", tmp_path, 0)


# ---------------------------------------------------------------- outcomes


def test_verdicts_of_a_limit_and_of_a_target_mirror_each_other():
    figure = Figure(0.4, 0.3, 0.5)
    assert [verdict(figure, asked, "at least") for asked in (0.35, 0.45, 0.6)] == ["kept", "by chance", "broken"]
    assert [verdict(figure, asked, "at most") for asked in (0.45, 0.35, 0.2)] == ["kept", "by chance", "broken"]
    assert [verdict(figure, asked, "about") for asked in (0.45, 0.2, 0.6)] == ["kept", "over", "under"]
    assert verdict(Figure(None), 0.5, "at least") is None
    assert verdict(Figure(5.0), 4.0, "at most") == "broken"  # without bounds nothing is put down to chance


def test_a_share_of_nothing_is_no_share_and_bounds_hold_as_often_as_they_say():
    assert share_of(np.ones(3, dtype=bool), np.zeros(3, dtype=bool)) == Figure(None)
    rng = np.random.default_rng(0)
    figures = [share_of(rng.random(200) < 0.1, np.ones(200, dtype=bool)) for _ in range(400)]
    assert np.mean([figure.low <= 0.1 for figure in figures]) >= 0.93
    assert np.mean([figure.high >= 0.1 for figure in figures]) >= 0.93


def test_a_day_of_a_few_rows_at_either_end_is_no_day_to_count():
    time = np.datetime64("2026-03-01", "ns") + np.arange(50).astype("timedelta64[h]")  # two days and two hours
    later = Later(np.zeros(50), np.zeros(50, dtype=bool), time, np.ones(50), "day")
    assert per_period(np.ones(50, dtype=bool), later).value == 24
    assert [len(rows) for rows in later.batches()] == [24, 24, 2]


def test_false_discoveries_are_a_mean_over_days_and_cost_and_f_are_those_of_the_rules_own_report():
    rng = np.random.default_rng(3)
    later = scored(rng).later
    everything = np.ones(len(later.y), dtype=bool)
    assert false_discoveries(later.y, later).value == 0
    assert false_discoveries(everything, later).value == pytest.approx((~later.y).mean(), abs=0.001)
    rows = CalibrationRows.from_arrays(later.score, later.y, amount=later.amount)
    for rule, figure in (
        (rules.ExpectedCost("amount", 5.0), lambda alerts: cost_of(alerts, later, "amount", 5.0)),
        (rules.ExpectedCost(80.0, 3.0), lambda alerts: cost_of(alerts, later, 80.0, 3.0)),
        (rules.FBeta(2.0), lambda alerts: f_beta(alerts, later, 2.0)),
    ):
        calibration = rule.calibrate(rows)
        assert figure(calibration.alerts(later.score)) == pytest.approx(calibration.guarantee.estimate)


# ---------------------------------------------------------------- wishes


def test_every_rule_is_wished_for_and_names_say_what_is_calibrated():
    found = [wish for entry in THRESHOLD_SETS.values() for wish in wishes(entry)]
    assert {type(wish.rule).__name__ for wish in found if wish.rule is not None} == set(RULES)
    for wish in found:
        if wish.rule is not None:
            written = wish.name.partition(", hard")[0].partition(", highest")[0]
            assert eval(written, {"__builtins__": {}}, RULES) == wish.rule  # noqa: S307
    for entry in THRESHOLD_SETS.values():
        keys = [(wish.name, wish.told, wish.quantity) for wish in wishes(entry)]
        assert len(set(keys)) == len(keys)


def test_no_wish_sees_labels_or_weights_that_it_is_not_told():
    given = scored(np.random.default_rng(0))
    for wish in wishes(ENTRY):
        seen = thresholds.seen_by(wish, given.rows)
        assert (seen.y is not None) == wish.labels
        assert (seen.weight is not None) == wish.recent
        assert seen.contamination == (None if wish.labels else wish.assumed)
        if wish.rule is not None and not wish.labels:
            liar = replace(given, rows=replace(given.rows, y=~given.rows.y))
            run = run_of(wish)
            assert judged(run, wish, given).threshold == judged(run, wish, liar).threshold


def test_without_drift_wishes_are_kept():
    """Bounds at 95 % may fail in one draw of 20, and means have none; what labels choose, bounds nothing."""
    told = {}
    for seed in range(20):
        given = scored(np.random.default_rng(seed))
        for wish in wishes(ENTRY):
            judgeable = wish.name.startswith(("FalseAlarmRate", "DiscoveryRate", "AlertBudget(20, 'day')"))
            if judgeable and wish.assumed is None and not wish.limit:
                told.setdefault((wish.name, wish.told), []).append(judged(run_of(wish), wish, given))
    broken = {key: sum(run.verdict in ("broken", "over", "under") for run in runs) for key, runs in told.items()}
    assert broken["FalseAlarmRate(0.01)", "labels"] <= 2
    assert broken["FalseAlarmRate(0.001)", "labels"] <= 2
    assert broken["FalseAlarmRate(0.01)", "nothing"] == 0  # frauds among the rows make it careful
    assert broken["AlertBudget(20, 'day')", "nothing"] <= 12  # either bound at 95 %, and calibrations vary as much
    for (name, _), runs in told.items():
        if name.startswith("DiscoveryRate"):  # its promise is on average over calibrations too
            assert np.mean([run.happened for run in runs]) <= 0.2 + 2 * np.std([run.happened for run in runs]) / 20**0.5
        if name == "AlertBudget(20, 'day')":
            assert np.mean([run.happened for run in runs]) == pytest.approx(20, abs=1)


def test_with_drift_they_are_broken_and_it_is_said_so():
    given = scored(np.random.default_rng(0), lift=0.0)
    later = replace(given.later, score=given.later.score + 1)
    (wish,) = (wish for wish in wishes(ENTRY) if (wish.name, wish.told) == ("FalseAlarmRate(0.01)", "labels"))
    assert judged(run_of(wish), wish, given).verdict == "kept"
    run = judged(run_of(wish), wish, replace(given, later=later))
    assert run.verdict == "broken"
    assert run.happened == run.false_alarm_rate == pytest.approx(norm.sf(norm.isf(0.01) - 1), rel=0.3)
    whole, _, _ = drift(given.rows, later)
    assert whole == pytest.approx(norm.sf(norm.isf(0.01) - 1), rel=0.2)


def test_hard_limits_hold_on_every_day_and_batches_are_days():
    given = scored(np.random.default_rng(0))
    later = replace(given.later, score=given.later.score + np.arange(20_000) / 5_000)  # the budget is soon overrun
    runs = {wish.name: judged(run_of(wish), wish, replace(given, later=later)) for wish in wishes(ENTRY)}
    assert runs["AlertBudget(20, 'day')"].verdict == "over"
    assert runs["AlertBudget(20, 'day'), hard limit"].happened <= 20
    assert runs["AlertBudget(20, 'day'), highest of each"].n_alerts == 20 * len(later.batches())


def test_hindsight_is_no_worse_than_any_rule():
    given = scored(np.random.default_rng(5), share=0.03, lift=2.0)
    for wish in wishes(ENTRY):
        if wish.sense == "best":
            run = judged(run_of(wish), wish, given)
            assert run.asked == hindsight(wish, given.later)
            assert run.happened >= run.asked - 1e-12 if wish.quantity == "cost per row" else run.happened <= run.asked


def test_a_rule_that_refuses_says_why_and_sets_nothing():
    given = scored(np.random.default_rng(0), n_calibration=500)
    wish = Wish("", rules.FalseAlarmRate(0.001), "false-alarm rate", 0.001, "at most", lambda alerts, later: None)
    run = judged(run_of(wish), wish, given)
    assert "needs at least 2,995 calibration rows" in run.refused
    assert run.threshold is run.happened is run.verdict is run.failure is None


# ---------------------------------------------------------------- detectors


@QUIET
def test_all_detectors_go_through_all_wishes_and_a_second_run_says_the_same(tmp_path, write_card_payments):
    pytest.importorskip("pyod")
    write_card_payments(tmp_path, fraud_share=0.03)
    runs = run_thresholds(["sparkov"], tmp_path, settings=SHORT)
    assert [run.detector for run in runs if run.wish == "FBeta(1)"] == list(CONTESTANTS)
    assert all(run.failure is None for run in runs)
    assert all((run.happened is None) <= (run.refused is not None or run.n_alerts == 0) for run in runs)
    assert {run.detector for run in runs if run.wish.startswith("its own")} == {"IsolationForest", "PyOD-HBOS"}
    assert {(run.n_train, run.n_calibration, run.n_later) for run in runs} == {
        (runs[0].n_train, runs[0].n_calibration, runs[0].n_later)
    }
    again = run_thresholds(["sparkov"], tmp_path, settings=SHORT, detectors=CONTESTANTS[:2])
    named = {(run.detector, run.wish, run.told, run.quantity): run.threshold for run in runs}
    assert all(named[run.detector, run.wish, run.told, run.quantity] == run.threshold for run in again)


def test_a_wish_by_scores_is_what_the_calibrated_detector_does_with_rows(tmp_path):
    """Scores are computed once for all wishes; each is what `recalibrate` would have set."""
    write_two_days(tmp_path)
    dated, parts = read_set("creditcard, all frauds", tmp_path, 0)
    train, rows, later = (dated.part(part) for part in vars(parts).values())
    forest = contestant("IsolationForest", 0, "z-scores", {"n_estimators": 20})
    detector = CalibratedDetector(forest.fit(train.X), rules.Contamination(0.01), cv="prefit").fit(rows.X)
    found = run_thresholds(
        ["creditcard, all frauds"],
        tmp_path,
        detectors=["IsolationForest"],
        settings={"IsolationForest": SHORT["IsolationForest"]},
    )
    of = {(run.wish, run.told): run for run in found}
    for wish in wishes(THRESHOLD_SETS["creditcard, all frauds"]):
        run = of[wish.name, wish.told]
        if wish.rule is None or wish.recent or wish.assumed or wish.limit or run.threshold is None:
            continue
        beside = {"y": rows.y if wish.labels else None, "amount": rows.amount, "time": rows.time}
        detector.recalibrate(rows.X, rule=wish.rule, **beside)
        assert detector.threshold_ == run.threshold
        assert (detector.predict(later.X) == -1).sum() == run.n_alerts


def test_peers_are_encoded_and_turned_round():
    pytest.importorskip("pyod")
    assert isinstance(contestant("PyOD-HBOS", 0, "z-scores", {}).steps[-1][1], PyODAdapter)
    assert isinstance(contestant("IsolationForest", 0, "ordinal", {}).steps[-1][1], IsolationForest)
    assert not hasattr(contestant("VAEDetector", 0, "ordinal", {}), "steps")


@QUIET
def test_a_detector_that_fails_is_named_and_the_others_go_on(tmp_path, write_card_payments):
    write_card_payments(tmp_path, 1_500)
    settings = {"VAEDetector": {"no such parameter": 1}, "IsolationForest": {"n_estimators": 5}}
    runs = run_thresholds(["sparkov"], tmp_path, detectors=CONTESTANTS[:2], settings=settings)
    assert {run.detector for run in runs if run.failure} == {"VAEDetector"}
    assert all("no such parameter" in run.failure for run in runs if run.detector == "VAEDetector")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(VaeAnomalyError, match="expected creditcard in"):
        run_thresholds(["creditcard"], tmp_path, detectors=["IsolationForest"])


# ---------------------------------------------------------------- rows and seconds


def test_a_tenth_of_a_percent_takes_2995_rows_and_a_band_five_hundred_times_as_many():
    assert [least_rows(alpha) for alpha in (0.05, 0.01, 0.001)] == [59, 299, 2_995]
    assert all(least_rows(alpha) == int(np.ceil(np.log(0.05) / np.log1p(-alpha))) for alpha in ALPHAS)
    assert band_rows(0.001) / least_rows(0.001) > 500


def test_simulated_rates_are_exceeded_as_seldom_as_promised(monkeypatch):
    monkeypatch.setattr(rule_timing, "ALPHAS", (0.05, 0.01))
    runs = run_certified(n_simulations=400)
    assert [run.n_calibration for run in runs] == [59, 590, 299, 2_990]
    assert all(run.low <= 0.05 for run in runs)
    assert all(run.false_alarm_rate < float(run.wish[15:-1]) for run in runs)
    assert runs[1].false_alarm_rate > runs[0].false_alarm_rate  # more rows, less caution


def test_every_rule_is_timed():
    runs = run_timing(50_000)
    assert {run.wish.partition("(")[0] for run in runs} == set(RULES)
    assert all(0 < run.happened == run.calibrate_seconds for run in runs)


# ---------------------------------------------------------------- what is printed


def cells_of(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_tables_show_what_was_asked_what_happened_and_in_how_many_seeds(capsys):
    wish = replace(run_of(wishes(ENTRY)[0]), drift=0.02, drift_first_half=0.01, drift_second_half=0.03)
    runs = [
        replace(wish, seed=0, happened=0.01, low=0.009, high=0.011, verdict="kept", n_alerts=9),
        replace(wish, seed=1, happened=0.03, low=0.029, high=0.031, verdict="broken", n_alerts=9),
        replace(wish, seed=0, detector="two", refused="TableError: too few rows"),
        replace(wish, seed=1, detector="two", refused="TableError: too few rows"),
        replace(wish, seed=0, detector="three", failure="ValueError: NaN"),
        replace(wish, seed=1, detector="three", happened=0.01, verdict="kept", n_alerts=0),
        replace(wish, seed=0, wish="FBeta(1)", quantity="F1", sense="best", asked=0.5, happened=0.4, n_alerts=3),
    ]
    show_thresholds(runs)
    text = capsys.readouterr().out
    cells = cells_of(text)
    asked = "false-alarm rate 1 %"
    two_seeds = ["2.00 ± 1.41, kept 1/2, broken 1/2", "refused", "1.00, kept 1/2, failed 1/2"]
    assert ["FalseAlarmRate(0.01)", "nothing", asked, *two_seeds] in cells
    assert ["FBeta(1)", "nothing", "best F1", "0.400, 0.80 × best", "–", "–"] in cells
    assert ["payments", "one", "2.00 ± 0.00", "1.00 ± 0.00", "3.00 ± 0.00"] in cells
    assert "payments, two, FalseAlarmRate(0.01): refused (2 seeds): TableError: too few rows" in text
    assert "payments, three: failed (1 seed): ValueError: NaN" in text
    assert "nonconform takes no part" in text


def test_the_bar_of_a_second_is_held_against_a_million_only(capsys):
    run = replace(run_of(wishes(ENTRY)[0]), n_calibration=1_000_000, happened=1.5, verdict="broken")
    show_timing([run])
    assert ["FalseAlarmRate(0.01)", "nothing", "1.500", "NOT met"] in cells_of(capsys.readouterr().out)
    show_timing([replace(run, n_calibration=1_000, happened=0.5, verdict="kept")])
    assert "was not measured in this run" in capsys.readouterr().out
    show_certified([])
    show_timing([])
    assert capsys.readouterr().out == ""


def test_too_few_rows_to_time_are_wrong_usage(tmp_path, capsys):
    with pytest.raises(SystemExit) as leaving:
        command.main(["thresholds", "--data-dir", str(tmp_path), "--timed-rows", "2000"])
    assert leaving.value.code == 2
    assert "expected 0, or 50,000 rows or more, found 2,000" in capsys.readouterr().err


@QUIET
def test_the_command_prints_and_writes(tmp_path, capsys, monkeypatch, write_card_payments):
    write_card_payments(tmp_path, 1_500)
    monkeypatch.setattr(rule_timing, "ALPHAS", (0.05,))
    output = tmp_path / "thresholds.csv"
    arguments = ["thresholds", "--data-dir", str(tmp_path), "--only", "sparkov", "--detectors", "IsolationForest"]
    assert command.main([*arguments, "--timed-rows", "50000", "--output", str(output)]) == 0
    text = capsys.readouterr().out
    assert "| FalseAlarmRate(0.01)" in text
    assert "| FalseAlarmRate(0.05) |" in text
    assert "Seconds to calibrate on 50,000 scores" in text
    read = pd.read_csv(output)
    assert set(read["data"]) == {"sparkov", "simulated"}
    assert read["benchmark"].eq("thresholds").all()
    assert read.loc[read["data"] == "sparkov", "fit_seconds"].notna().all()
