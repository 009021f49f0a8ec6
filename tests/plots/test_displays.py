"""Pictures: what they show adds up, they stay where they are drawn, and they take awkward data."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from sklearn.ensemble import IsolationForest

from vae_anomaly import (
    AlertBudget,
    CalibratedDetector,
    CalibrationRows,
    Contamination,
    DiscoveryRate,
    ExpectedCost,
    FalseAlarmRate,
    MissingExtraError,
    ParameterError,
    TableError,
)
from vae_anomaly.decision.alert_counts import count_alerts
from vae_anomaly.decision.cost_curve import cost_curve
from vae_anomaly.decision.segments import calibrate_segments
from vae_anomaly.plots import (
    AlertsPerPeriodDisplay,
    CalibrationCurveDisplay,
    CostCurveDisplay,
    PrecisionAtKDisplay,
    PrecisionRecallBudgetDisplay,
    ReasonsDisplay,
    RocBudgetDisplay,
    ScoreDistributionDisplay,
    TrainingHistoryDisplay,
)
from vae_anomaly.plots._axes import BLACK

N = 4_000
COST = ExpectedCost("amount", 10)
EVALUATIONS = [{"step": step, "train_elbo": -9.0, "held_out_elbo": -800.0 / step} for step in (50, 100)]
REASONS = pd.DataFrame(
    {
        "row": 0,
        "rank": [1, 2, 3],
        "column": ["amount", "city", None],
        "kind": ["numeric", "categorical", None],
        "observed": [912.4, None, None],
        "share": [9.0, -2.0, 1.5],
        "sentence": ["amount 912.4 where 8 to 61 is usual for this row", "city is missing", "2 nats of the score"],
    }
)


def detector_and_rows(rule, **beside):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(1_500, 3))
    time = np.datetime64("2026-03-01") + np.sort(rng.integers(0, 10 * 86_400, len(X))).astype("timedelta64[s]")
    detector = CalibratedDetector(IsolationForest(n_estimators=20, random_state=0), rule)
    return detector.fit(X, time=time, **beside), X, time


DRAWN = {
    ScoreDistributionDisplay: lambda kind, rows, **given: kind.from_predictions(
        rows.score, rows.y, thresholds={"by hand": 12.0}, **given
    ),
    AlertsPerPeriodDisplay: lambda kind, rows, **given: kind.from_predictions(
        rows.score > 12, rows.time, rows.y, budget=5, **given
    ),
    CalibrationCurveDisplay: lambda kind, rows, **given: kind.from_predictions(
        np.linspace(0.001, 1, N), rows.y, levels={"alert": 0.01}, **given
    ),
    CostCurveDisplay: lambda kind, rows, **given: kind.from_predictions(
        rows.y, rows.score, COST, amount=rows.amount, time=rows.time, thresholds={"by hand": 12.0}, **given
    ),
    PrecisionAtKDisplay: lambda kind, rows, **given: kind.from_predictions(rows.y, rows.score, rows.time, k=5, **given),
    PrecisionRecallBudgetDisplay: lambda kind, rows, **given: kind.from_predictions(rows.y, rows.score, **given),
    ReasonsDisplay: lambda kind, rows, **given: kind.from_predictions(REASONS, threshold=5.0, **given),
    RocBudgetDisplay: lambda kind, rows, **given: kind.from_predictions(rows.y, rows.score, **given),
    TrainingHistoryDisplay: lambda kind, rows, **given: kind.from_predictions(EVALUATIONS, kept_elbo=-7.0, **given),
}
KINDS = list(DRAWN)


def draw(kind, rows, ax=None):
    return DRAWN[kind](kind, rows, ax=ax)


def texts(ax):
    return [text for text in ax.texts if text.get_visible() and text.get_text()]


# ---------------------------------------------------------------- every picture


@pytest.mark.parametrize("kind", KINDS)
def test_given_axes_are_drawn_on_and_nothing_else_changes(kind, week):
    _, (left, right) = plt.subplots(1, 2)
    plt.sca(right)
    before = plt.get_fignums()
    display = draw(kind, week, ax=left)
    assert display.ax_ is left
    assert display.figure_ is left.figure
    assert plt.get_fignums() == before
    assert plt.gca() is right
    assert left.has_data()
    assert not right.has_data()


@pytest.mark.parametrize("kind", KINDS)
def test_without_axes_there_is_one_new_figure_that_is_neither_shown_nor_saved(kind, week, monkeypatch, tmp_path):
    def fail(*_, **__):
        raise AssertionError("shown or saved")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", fail)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    settings = dict(mpl.rcParams)
    display = draw(kind, week)
    assert plt.get_fignums() == [display.figure_.number]
    assert dict(mpl.rcParams) == settings
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_it_can_be_drawn_again(kind, week):
    display = draw(kind, week)
    first = display.ax_
    second = display.plot().ax_
    assert second is not first
    assert (second.get_xlim(), second.get_ylim()) == (first.get_xlim(), first.get_ylim())


@pytest.mark.parametrize("kind", KINDS)
def test_a_legend_stays_within_small_axes(kind, week):
    _, ax = plt.subplots(figsize=(4, 3), layout="constrained")
    draw(kind, week, ax=ax)
    ax.figure.canvas.draw()
    for legend in filter(None, [ax.get_legend()]):
        inner, outer = legend.get_window_extent(), ax.get_window_extent()
        assert outer.x0 <= inner.x0 <= inner.x1 <= outer.x1 + 1
        assert outer.y0 <= inner.y0 <= inner.y1 <= outer.y1 + 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_refused_leaves_no_figure(kind, week):
    missing = np.where(np.arange(N) == 7, np.nan, week.score)
    given = {
        ScoreDistributionDisplay: (missing,),
        AlertsPerPeriodDisplay: (missing, week.time),
        CalibrationCurveDisplay: (missing / 100,),
        CostCurveDisplay: (week.y, missing, ExpectedCost(50, 10)),
        PrecisionAtKDisplay: (week.y, missing, week.time),
        PrecisionRecallBudgetDisplay: (week.y, missing),
        ReasonsDisplay: (REASONS, 7),
        RocBudgetDisplay: (week.y, missing),
        TrainingHistoryDisplay: ([],),
    }
    with pytest.raises((TableError, ParameterError)):
        kind.from_predictions(*given[kind])
    assert not plt.get_fignums()


def test_without_matplotlib_the_import_works_and_the_error_says_what_to_install():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from vae_anomaly.plots import ScoreDistributionDisplay\n"
        "ScoreDistributionDisplay.from_predictions([1.0, 2.0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
    assert str(MissingExtraError("matplotlib", "plot")) in done.stderr
    assert "pip install 'vae-anomaly[plot]'" in done.stderr


def test_an_import_of_the_pictures_imports_no_matplotlib():
    code = "import vae_anomaly.plots, sys; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


# ---------------------------------------------------------------- scores


@pytest.mark.parametrize("y_given", [False, True])
@pytest.mark.parametrize("bins", [1, 7, 60])
def test_every_row_is_in_a_bar(week, y_given, bins):
    score = np.append(week.score, [np.inf, -np.inf, 1e12])
    y = np.append(week.y, [True, False, True]) if y_given else None
    display = ScoreDistributionDisplay.from_predictions(score, y, calibration_score=week.score, bins=bins)
    calibration = display.counts["calibration rows"]
    assert calibration.sum() == N
    drawn = {name: counts.sum() for name, counts in display.counts.items() if name != "calibration rows"}
    assert drawn == ({"normal rows": N + 3 - y.sum(), "anomalies": y.sum()} if y_given else {"rows": N + 3})
    assert display.n_below >= 1
    assert display.n_above >= 2
    assert f"last bar includes {display.n_above:,} from above" in display.ax_.get_xlabel()


def test_bars_count_what_lies_between_their_edges(week):
    display = ScoreDistributionDisplay.from_predictions(week.score)
    inner = display.edges[[10, 11]]
    assert display.counts["rows"][10] == ((week.score >= inner[0]) & (week.score < inner[1])).sum()


def test_an_outlier_does_not_squeeze_the_others(week):
    display = ScoreDistributionDisplay.from_predictions(np.append(week.score, 1e9))
    assert (display.counts["rows"] > 0).sum() > 20


def test_lines_stand_at_the_thresholds(week):
    rules = {"false alarms": FalseAlarmRate(0.01), "share": Contamination(0.02), "budget": AlertBudget(4)}
    calibrations = {name: rule.calibrate(week) for name, rule in rules.items()}
    display = ScoreDistributionDisplay.from_predictions(week.score, thresholds={**calibrations, "by hand": 9})
    expected = {name: calibration.threshold for name, calibration in calibrations.items()} | {"by hand": 9.0}
    assert {name: line.get_xdata()[0] for name, line in display.lines_.items()} == expected
    assert {text.get_text() for text in display.ax_.texts} == set(expected)
    low, high = display.ax_.get_xlim()
    assert all(low < place < high for place in expected.values())


def test_a_far_threshold_is_within_the_picture(week):
    display = ScoreDistributionDisplay.from_predictions(week.score, thresholds={"far": 500.0})
    assert display.ax_.get_xlim()[1] > 500


def test_a_rule_that_decides_by_the_batch_stands_where_it_decided(week):
    rows = week.take(~week.y)
    calibration = DiscoveryRate(0.3).calibrate(rows)
    many = np.append(rows.score, np.full(40, 60.0))
    (line,) = ScoreDistributionDisplay.from_predictions(many, thresholds={"fdr": calibration}).lines_.values()
    assert (calibration.alerts(many) == (many > line.get_xdata()[0])).all()
    nothing = ScoreDistributionDisplay.from_predictions(rows.score[:5], thresholds={"fdr": calibration})
    assert list(nothing.lines_) == ["fdr (no alert on these rows)"]


def test_each_segment_has_its_line(week):
    score = np.append(week.score, week.score + 10)
    rows = CalibrationRows.from_arrays(score, group=["web"] * N + ["shop"] * N)
    calibration = calibrate_segments(Contamination(0.01), rows)
    lines = ScoreDistributionDisplay.from_predictions(score, thresholds={"share": calibration}).lines_
    found = {name: line.get_xdata()[0] for name, line in lines.items()}
    assert found["share: shop"] == pytest.approx(found["share: web"] + 10)
    assert found["share"] == calibration.threshold
    assert "share: the rest" not in found
    some = CalibrationRows.from_arrays(score, group=["web"] * N + [f"shop {i}" for i in range(N)])
    calibration = calibrate_segments(Contamination(0.01), some)
    lines = ScoreDistributionDisplay.from_predictions(score, thresholds={"share": calibration}).lines_
    assert lines["share: the rest"].get_xdata()[0] == pytest.approx(found["share: shop"])


@pytest.mark.parametrize("n_thresholds", [2, 6, 15])
@pytest.mark.parametrize("at", [0.0, 12.0, 40.0], ids=["left", "middle", "right"])
def test_names_do_not_overlap_nor_leave_the_axes(week, overlaps, n_thresholds, at):
    thresholds = {f"threshold number {i}": at + 0.01 * (i // 2) for i in range(n_thresholds)}
    display = ScoreDistributionDisplay.from_predictions(week.score, thresholds=thresholds)
    assert not overlaps(texts(display.ax_))
    box = display.ax_.get_window_extent()
    for text in texts(display.ax_):
        of_text = text.get_window_extent()
        assert box.x0 <= of_text.x0 <= of_text.x1 <= box.x1 + 1
        assert box.y0 <= of_text.y0 <= of_text.y1 <= box.y1 + 1


def test_lines_do_not_cross_names(week):
    thresholds = {f"threshold number {i}": 8.0 + i for i in range(6)}
    display = ScoreDistributionDisplay.from_predictions(week.score, week.y, thresholds=thresholds)
    display.figure_.canvas.draw()
    for text in texts(display.ax_):
        for line in display.lines_.values():
            assert not line.get_window_extent().padded(-0.5).overlaps(text.get_window_extent())


@pytest.mark.parametrize(
    ("score", "thresholds"),
    [
        ([3.0], {}),
        ([3.0], {"a": 3.0}),
        (np.full(50, 2.0), {"a": 2.0, "b": 2.0}),
        (np.zeros(50), {}),
        ([np.inf, -np.inf], {}),
        ([np.inf], {"a": 1.0}),
        ([1e16, 1e16 + 2], {}),
        ([1e-300, 2e-300], {}),
        (np.append(np.zeros(5_000), [5.0, 7.0]), {}),
    ],
    ids=["one row", "one row on it", "constant", "zeros", "infinite", "infinite row", "huge", "tiny", "all but two"],
)
def test_awkward_scores_are_drawn(score, thresholds):
    display = ScoreDistributionDisplay.from_predictions(score, thresholds=thresholds)
    assert display.counts["rows"].sum() == len(score)
    assert (np.diff(display.edges) > 0).all()
    display.figure_.canvas.draw()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"score": []}, TableError, "at least one row"),
        ({"score": [1.0, np.nan]}, TableError, "NaN at row 1"),
        ({"score": [1.0, 2.0], "y": [1]}, TableError, "one entry for each"),
        ({"score": [1.0], "thresholds": {"a": np.inf}}, ParameterError, "finite number or a Calibration"),
        ({"score": [1.0], "thresholds": [1.0]}, ParameterError, "mapping of names"),
        ({"score": [1.0], "bins": 0}, ParameterError, "'bins' parameter"),
        ({"score": [1.0], "log_counts": "yes"}, ParameterError, "'log_counts' parameter"),
    ],
)
def test_scores_that_cannot_be_drawn_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        ScoreDistributionDisplay.from_predictions(**given)
    assert not plt.get_fignums()


def test_counts_are_logarithmic_where_small_bars_would_vanish(week):
    assert ScoreDistributionDisplay.from_predictions(week.score).ax_.get_yscale() == "log"
    assert ScoreDistributionDisplay.from_predictions(week.score, log_counts=False).ax_.get_yscale() == "linear"
    assert ScoreDistributionDisplay.from_predictions(np.arange(60.0)).ax_.get_yscale() == "linear"


def test_a_calibrated_detector_brings_its_calibration_rows_and_its_threshold():
    detector, X, _ = detector_and_rows(Contamination(0.02))
    display = ScoreDistributionDisplay.from_estimator(detector, X)
    assert display.counts["calibration rows"].sum() == len(detector.calibration_rows_)
    assert display.thresholds == {"Contamination": detector.threshold_}


def test_any_outlier_detector_will_do_but_one_that_is_the_other_way_round():
    _, X, _ = detector_and_rows(Contamination(0.02))
    forest = IsolationForest(n_estimators=20, random_state=0).fit(X)
    assert ScoreDistributionDisplay.from_estimator(forest, X).counts["rows"].sum() == len(X)

    class Reversed:
        decision_scores_ = None

        def decision_function(self, rows):
            return np.linalg.norm(rows, axis=1)

    with pytest.raises(ParameterError, match="the other way round"):
        ScoreDistributionDisplay.from_estimator(Reversed(), X)


# ---------------------------------------------------------------- alerts


@pytest.mark.parametrize("per", ["day", "hour"])
def test_bars_add_up_to_the_alerts(week, per):
    alert = week.score > 12
    counts = AlertsPerPeriodDisplay.from_predictions(alert, week.time, week.y, per=per).counts
    assert counts.n_alerts.sum() == alert.sum()
    assert counts.n_hits.sum() == (alert & week.y).sum()
    assert (counts.n_hits <= counts.n_alerts).all()
    unit = {"day": "D", "hour": "h"}[per]
    assert len(counts.start) == np.ptp(week.time.astype(f"datetime64[{unit}]")).astype(int) + 1
    of_one = week.time.astype(f"datetime64[{unit}]") == counts.start[3]
    assert counts.n_alerts[3] == (alert & of_one).sum()


def test_the_drawn_heights_are_the_counts(week):
    display = AlertsPerPeriodDisplay.from_predictions(week.score > 12, week.time, week.y)
    hits, others = ([bar.get_height() for bar in container] for container in display.ax_.containers)
    assert hits == display.counts.n_hits.tolist()
    assert np.add(hits, others).tolist() == display.counts.n_alerts.tolist()


def test_order_of_rows_does_not_matter_and_empty_days_have_their_place(week):
    keep = week.time.astype("datetime64[D]") != np.datetime64("2026-03-05")
    alert, time = (week.score > 12)[keep], week.time[keep]
    counts = count_alerts(alert, time)
    assert counts.n_alerts[4] == 0
    shuffled = np.random.default_rng(2).permutation(len(alert))
    assert (count_alerts(alert[shuffled], time[shuffled]).n_alerts == counts.n_alerts).all()


@pytest.mark.parametrize("per", ["day", "hour"])
@pytest.mark.parametrize("n_columns", [1, 2, 4])
def test_dates_stand_beside_each_other(week, per, n_columns):
    _, axes = plt.subplots(1, n_columns, figsize=(7, 3), layout="constrained", squeeze=False)
    for ax in axes.flat:
        AlertsPerPeriodDisplay.from_predictions(week.score > 12, week.time, per=per, ax=ax)
    ax.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert boxes
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_the_budget_is_a_line_within_the_picture(week):
    display = AlertsPerPeriodDisplay.from_predictions(week.score > 12, week.time, budget=500)
    assert set(display.line_.get_ydata()) == {500}
    assert display.ax_.get_ylim()[1] > 500
    assert AlertsPerPeriodDisplay.from_predictions(week.score > 12, week.time).line_ is None


def test_the_budget_of_a_detector_is_its_rule():
    detector, X, time = detector_and_rows(AlertBudget(2, per="hour"))
    display = AlertsPerPeriodDisplay.from_estimator(detector, X, time)
    assert (display.counts.per, display.budget) == ("hour", 2)
    assert display.counts.n_alerts.sum() == (detector.predict(X) == -1).sum()
    by_day = AlertsPerPeriodDisplay.from_estimator(detector, X, time, per="day")
    assert (by_day.counts.per, by_day.budget) == ("day", None)


@pytest.mark.parametrize(
    ("alert", "time"),
    [
        ([True], ["2026-03-01"]),
        (np.zeros(3, dtype=bool), ["2026-03-01"] * 3),
        ([True, True], ["1970-01-01", "2026-03-01"]),
        (np.ones(400, dtype=bool), np.datetime64("2026-03-01") + np.arange(400)),
    ],
    ids=["one row", "no alert", "56 years", "400 days"],
)
@pytest.mark.parametrize("per", ["day", "hour"])
def test_awkward_times_are_drawn(alert, time, per):
    display = AlertsPerPeriodDisplay.from_predictions(alert, time, per=per, budget=3)
    display.figure_.canvas.draw()
    assert display.counts.n_alerts.sum() == np.sum(alert)
    assert len(display.ax_.get_xticks()) <= 8


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"alert": [1, -1]}, TableError, r"predict\(X\) == -1"),
        ({"alert": []}, TableError, "at least one row"),
        ({"alert": [True]}, TableError, "one entry for each"),
        ({"alert": [True, False], "y": [1]}, TableError, "one entry for each"),
        ({"alert": [True, False], "per": "week"}, ParameterError, "'per' parameter"),
        ({"alert": [True, False], "budget": 0}, ParameterError, "'budget' parameter"),
    ],
)
def test_alerts_that_cannot_be_counted_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        AlertsPerPeriodDisplay.from_predictions(**{"time": ["2026-03-01", "2026-03-02"], **given})
    assert not plt.get_fignums()


# ---------------------------------------------------------------- costs


@pytest.mark.parametrize("rule", [COST, ExpectedCost(300, 7), ExpectedCost("amount", 10, prevalence=0.001)], ids=str)
def test_the_least_cost_is_that_of_the_rule(week, rule):
    curve, guarantee = cost_curve(rule, week), rule.calibrate(week).guarantee
    assert curve.threshold[curve.best] == guarantee.threshold
    assert curve.cost[curve.best] == curve.cost.min()
    assert curve.cost[curve.best] / N == pytest.approx(guarantee.estimate)


def test_a_point_of_the_curve_is_what_the_rows_cost(week):
    curve = cost_curve(COST, week)
    for threshold in (*curve.threshold[[0, 5, 300, -1]], 11.1, 1e9, -1e9):
        alert, place = week.score > threshold, curve.place_of(threshold)
        missed = week.amount[week.y & ~alert].sum()
        assert curve.n_alerts[place] == alert.sum()
        assert curve.cost[place] == pytest.approx(missed + 10 * alert.sum())


def test_costs_and_alerts_are_per_period(week):
    display = draw(CostCurveDisplay, week)
    assert display.n_periods == pytest.approx(14, abs=0.1)
    without_time = CostCurveDisplay.from_predictions(week.y, week.score, COST, amount=week.amount)
    assert (without_time.n_periods, without_time.per) == (N / 1_000, "1,000 rows")
    no_alert = display.line_.get_ydata()[0] * display.n_periods
    assert no_alert == pytest.approx(week.amount[week.y].sum())


@pytest.mark.parametrize("against", ["alerts", "threshold"])
def test_marks_stand_at_the_least_cost_and_at_the_thresholds(week, overlaps, against):
    thresholds = {"share": Contamination(0.02).calibrate(week), "by hand": 11.1}
    display = CostCurveDisplay.from_predictions(
        week.y, week.score, COST, amount=week.amount, time=week.time, thresholds=thresholds, against=against
    )
    curve = display.curve
    by_alerts = {name: (week.score > at).sum() / display.n_periods for name, at in display.thresholds.items()}
    expected = by_alerts if against == "alerts" else display.thresholds
    assert {name: line.get_xdata()[0] for name, line in display.lines_.items()} == pytest.approx(expected)
    least = curve.n_alerts[curve.best] / display.n_periods if against == "alerts" else curve.threshold[curve.best]
    assert display.least_.get_xdata()[0] == least
    low, high = display.ax_.get_xlim()
    assert all(low <= place <= high for place in (*expected.values(), least))
    assert curve.cost[curve.best] / display.n_periods == display.line_.get_ydata().min()
    assert not overlaps(texts(display.ax_))


def test_the_detectors_own_rule_and_threshold_are_drawn():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(2_000, 3))
    y = rng.random(len(X)) < 0.03
    X[y] += 3
    detector = CalibratedDetector(IsolationForest(n_estimators=20, random_state=0), ExpectedCost(50, 5)).fit(X, y)
    display = CostCurveDisplay.from_estimator(detector, X, y)
    assert display.thresholds == {"ExpectedCost": detector.threshold_}
    other = detector.recalibrate(X, rule=Contamination(0.01))
    with pytest.raises(ParameterError, match="an ExpectedCost, such as"):
        CostCurveDisplay.from_estimator(other, X, y)


@pytest.mark.parametrize(
    ("y", "score", "rule"),
    [
        ([0, 1], [1.0, 1.0], ExpectedCost(50, 10)),
        ([0, 1], [1.0, 2.0], ExpectedCost(50, 10)),
        ([0, 1, 0], [1.0, 2.0, 3.0], ExpectedCost(5, 10)),
        ([0, 1, 0], [1.0, 2.0, 1e300], ExpectedCost(50, 10)),
    ],
    ids=["tied", "two rows", "no alert pays", "far"],
)
@pytest.mark.parametrize("against", ["alerts", "threshold"])
def test_awkward_costs_are_drawn(y, score, rule, against):
    display = CostCurveDisplay.from_predictions(y, score, rule, thresholds={"a": 1.5}, against=against)
    display.figure_.canvas.draw()
    assert np.isfinite(display.line_.get_ydata()).all()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"y": [0, 0]}, TableError, "both classes"),
        ({"score": [1.0, np.inf]}, TableError, "finite"),
        ({"rule": COST}, TableError, "amount"),
        ({"rule": None}, ParameterError, "'rule' parameter"),
        ({"time": ["2026-03-01", "2026-03-01"]}, TableError, "more than one day"),
        ({"against": "cost"}, ParameterError, "'against' parameter"),
    ],
)
def test_costs_that_cannot_be_drawn_are_refused(given, error, message):
    usual = {"y": [0, 1], "score": [1.0, 2.0], "rule": ExpectedCost(50, 10)}
    with pytest.raises(error, match=message):
        CostCurveDisplay.from_predictions(**{**usual, **given})
    assert not plt.get_fignums()


def test_a_million_rows_are_thinned_but_keep_their_least_cost():
    rng = np.random.default_rng(4)
    y = rng.random(1_000_000) < 0.001
    score = rng.normal(size=len(y)) + 3 * y
    display = CostCurveDisplay.from_predictions(y, score, ExpectedCost(500, 10))
    assert len(display.line_.get_xdata()) <= 2_010
    assert display.line_.get_ydata().min() == display.curve.cost.min() / 1_000


@pytest.mark.parametrize("style", ["default", "dark_background", "grayscale"])
def test_thresholds_stand_out_whatever_the_style(week, style):
    with plt.style.context(style):
        lines = [
            AlertsPerPeriodDisplay.from_predictions(week.score > 1, week.time, budget=3).line_,
            PrecisionAtKDisplay.from_predictions(week.y, week.score, week.time, k=3).line_,
            *ScoreDistributionDisplay.from_predictions(week.score, thresholds={"here": 1.0}).lines_.values(),
        ]
        for line in lines:
            shade, ground = (np.mean(mpl.colors.to_rgb(of)) for of in (line.get_color(), line.axes.get_facecolor()))
            assert abs(shade - ground) > 0.7


def test_without_a_ground_lines_are_black(week):
    _, ax = plt.subplots(facecolor="none")
    ax.set_facecolor("none")
    display = AlertsPerPeriodDisplay.from_predictions(week.score > 1, week.time, budget=3, ax=ax)
    assert display.line_.get_color() == BLACK
