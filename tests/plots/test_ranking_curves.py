"""Precision-recall and ROC curves: they are those of the metrics, and budgets stand where the metrics say."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.text import Text
from sklearn.ensemble import IsolationForest
from sklearn.metrics import precision_recall_curve

from vae_anomaly import ParameterError, TableError
from vae_anomaly.decision.metrics import average_precision, precision_at_k, recall_at_k, roc_auc
from vae_anomaly.plots import PrecisionRecallBudgetDisplay, RocBudgetDisplay

KINDS = [PrecisionRecallBudgetDisplay, RocBudgetDisplay]
TIES = [False, True]


def scored(week, *, ties):
    """With many scores that occur more than once, or as they are."""
    return np.round(week.score, 0) if ties else week.score


@pytest.mark.parametrize("ties", TIES)
def test_the_area_under_the_drawn_steps_is_average_precision(week, ties):
    score = scored(week, ties=ties)
    display = PrecisionRecallBudgetDisplay.from_predictions(week.y, score)
    recall, precision = display.line_.get_data()
    assert display.line_.get_drawstyle() == "steps-post"
    assert -np.sum(np.diff(recall) * precision[:-1]) == pytest.approx(average_precision(week.y, score))
    assert f"{average_precision(week.y, score):.3f}" in display.line_.get_label()
    assert set(display.chance_.get_ydata()) == {week.y.mean()}


def test_what_is_left_out_of_the_curve_would_not_be_seen(week):
    display = PrecisionRecallBudgetDisplay.from_predictions(week.y, week.score)
    precision, recall, _ = precision_recall_curve(week.y, week.score)
    drawn = set(zip(display.recall, display.precision, strict=True))
    highest = {(r, max(precision[recall == r])) for r in np.unique(recall) if r > 0}
    assert highest <= drawn <= set(zip(recall, precision, strict=True))


@pytest.mark.parametrize("ties", TIES)
def test_the_area_under_the_roc_curve_is_its_auc(week, ties):
    score = scored(week, ties=ties)
    display = RocBudgetDisplay.from_predictions(week.y, score)
    rate, recall = display.line_.get_data()
    assert np.trapezoid(recall, rate) == pytest.approx(roc_auc(week.y, score))
    assert f"{roc_auc(week.y, score):.3f}" in display.line_.get_label()
    assert (np.diff(rate) >= 0).all()
    assert (np.diff(recall) >= 0).all()


@pytest.mark.parametrize("ties", TIES)
def test_budgets_are_what_the_metrics_say_of_them(week, ties):
    score = scored(week, ties=ties)
    budgets = (1, 7, 50, 300)
    display = PrecisionRecallBudgetDisplay.from_predictions(week.y, score, budgets=budgets)
    expected = [(recall_at_k(week.y, score, k), precision_at_k(week.y, score, k)) for k in budgets]
    assert display.dots_.get_xydata() == pytest.approx(np.array(expected))
    points = RocBudgetDisplay.from_predictions(week.y, score, budgets=budgets).points
    for point in points:
        false_alarms = point.false_alarm_rate * (~week.y).sum()
        assert false_alarms + point.recall * week.y.sum() == pytest.approx(point.n_alerts)


@pytest.mark.parametrize("ties", TIES)
def test_budgets_lie_on_the_roc_curve(week, ties):
    display = RocBudgetDisplay.from_predictions(week.y, scored(week, ties=ties), budgets=(20, 50, 300, 2_000))
    for rate, recall in display.dots_.get_xydata():
        at = display.false_alarm_rate
        low = display.recall[at <= rate].max() if ties else display.recall[at < rate].max(initial=0.0)
        assert low - 1e-12 <= recall <= display.recall[at >= rate - 1e-12].max()
        if not (np.abs(at - rate) < 1e-12).any():
            assert recall == pytest.approx(np.interp(rate, at, display.recall))


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_order_of_scores_counts_infinite_ones_included(week, kind):
    first = kind.from_predictions(week.y, week.score)
    largest = week.score == week.score.max()
    other = kind.from_predictions(week.y, np.where(largest, np.inf, np.log(week.score)))
    assert (other.line_.get_xydata() == first.line_.get_xydata()).all()
    assert other.points == first.points
    shuffled = np.random.default_rng(0).permutation(len(week.score))
    third = kind.from_predictions(week.y[shuffled], week.score[shuffled])
    assert third.line_.get_xydata() == pytest.approx(first.line_.get_xydata())


@pytest.mark.parametrize("kind", KINDS)
def test_a_perfect_ranking_and_a_constant_score(kind):
    y = np.arange(200) < 20
    perfect = kind.from_predictions(y, y.astype(float), budgets=(20,))
    assert perfect.line_.get_ydata().max() == 1
    assert (perfect.points[0].precision, perfect.points[0].recall) == (1, 1)
    constant = kind.from_predictions(y, np.ones(200), budgets=(20,))
    assert constant.points[0].precision == pytest.approx(y.mean())
    assert getattr(constant, "average_precision", 0.1) == pytest.approx(0.1)
    assert getattr(constant, "roc_auc", 0.5) == pytest.approx(0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_budgets_of_more_alerts_than_rows_have_no_place(kind):
    display = kind.from_predictions([0, 1, 0, 1], [1.0, 2.0, 3.0, 4.0], budgets=[4, 2, 2, 9])
    assert [point.name for point in display.points] == ["2 alerts", "4 alerts"]
    assert kind.from_predictions([0, 1], [1.0, 2.0]).points == []
    assert kind.from_predictions([0, 1], [1.0, 2.0], budgets=()).dots_.get_xydata().size == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(4, 3), (6.4, 4.8)], ids=["small", "usual"])
@pytest.mark.parametrize("budgets", [(50, 200, 1_000), (5, 6, 7, 8, 9, 10), (1_000, 2_000, 3_000, 3_900)])
def test_names_do_not_overlap_nor_leave_the_axes(week, overlaps, kind, size, budgets):
    _, ax = plt.subplots(figsize=size, layout="constrained")
    display = kind.from_predictions(week.y, week.score, budgets=budgets, ax=ax)
    assert [text.get_text() for text in ax.texts] == [point.name for point in display.points]
    assert not overlaps(list(ax.texts))
    frame, legend = ax.get_window_extent().padded(1), ax.get_legend().get_window_extent()
    for box in map(Text.get_window_extent, ax.texts):
        assert frame.x0 <= box.x0 <= box.x1 <= frame.x1
        assert frame.y0 <= box.y0
        assert not box.overlaps(legend)


def test_the_rate_is_logarithmic_where_budgets_would_lie_on_the_axis(week):
    draw = RocBudgetDisplay.from_predictions
    assert draw(week.y, week.score, budgets=(50,)).ax_.get_xscale() == "log"
    assert draw(week.y, week.score, budgets=(2_000,)).ax_.get_xscale() == "linear"
    assert draw(week.y, week.score, budgets=(50,), log_rate=False).ax_.get_xscale() == "linear"
    assert draw(week.y, week.score, budgets=(2_000,), log_rate=True).ax_.get_xscale() == "log"


@pytest.mark.parametrize("kind", KINDS)
def test_two_detectors_on_one_picture(week, kind):
    rng = np.random.default_rng(1)
    first = kind.from_predictions(week.y, week.score, name="one", budgets=())
    second = kind.from_predictions(
        week.y, week.score + rng.normal(size=len(week.y)), name="two", ax=first.ax_, color="k", linewidth=3
    )
    names = [text.get_text() for text in first.ax_.get_legend().get_texts()]
    assert [name.partition(":")[0].partition(" ")[0] for name in names] == ["one", "two", "guessing"]
    assert (second.line_.get_color(), second.line_.get_linewidth()) == ("k", 3)


@pytest.mark.parametrize("kind", KINDS)
def test_any_outlier_detector_will_do(kind):
    X = np.random.default_rng(0).normal(size=(400, 2))
    y = np.abs(X).max(axis=1) > 2
    forest = IsolationForest(n_estimators=10, random_state=0).fit(X)
    of_detector = kind.from_estimator(forest, X, y, budgets=[5])
    of_scores = kind.from_predictions(y, -forest.score_samples(X), budgets=[5])
    assert of_detector.points == of_scores.points


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"y": [0, 0]}, TableError, "both classes"),
        ({"y": [0, 2]}, TableError, "1 .fraud. or 0"),
        ({"score": [1.0, np.nan]}, TableError, "NaN at row 1"),
        ({"score": [1.0]}, TableError, "one entry for each"),
        ({"budgets": [0]}, ParameterError, "'budgets' parameter"),
        ({"budgets": 50}, ParameterError, "'budgets' parameter"),
    ],
)
def test_what_cannot_be_ranked_is_refused(kind, given, error, message):
    with pytest.raises(error, match=message):
        kind.from_predictions(**{"y": [0, 1], "score": [1.0, 2.0], **given})
    assert not plt.get_fignums()


def test_many_rows_make_a_short_curve():
    rng = np.random.default_rng(4)
    y = rng.random(200_000) < 0.002
    score = rng.normal(size=len(y)) + 3 * y
    assert len(PrecisionRecallBudgetDisplay.from_predictions(y, score).line_.get_xdata()) <= 2 * y.sum() + 2
    assert len(RocBudgetDisplay.from_predictions(y, score).line_.get_xdata()) <= 2 * y.sum() + 210
