"""Precision of each day's top k: the bars are the metric's, before what was attainable."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from sklearn.ensemble import IsolationForest

from vae_anomaly import AlertBudget, CalibratedDetector, ParameterError, TableError
from vae_anomaly.decision.metrics import precision_at_k
from vae_anomaly.plots import PrecisionAtKDisplay


def drawn(display):
    """Heights of the bars of what was found, and of what was attainable."""
    attainable, found = display.ax_.containers
    return [bar.get_height() for bar in found], [bar.get_height() for bar in attainable]


@pytest.mark.parametrize("k", [1, 5, 400])
def test_bars_are_the_precision_of_each_day_and_the_best_that_there_was(week, k):
    display = PrecisionAtKDisplay.from_predictions(week.y, week.score, week.time, k=k)
    day = week.time.astype("datetime64[D]")
    of_day = [day == one for one in np.unique(day)]
    found, attainable = drawn(display)
    assert found == pytest.approx([precision_at_k(week.y[rows], week.score[rows], k) for rows in of_day])
    assert attainable == pytest.approx([min(week.y[rows].sum(), k) / k for rows in of_day])
    assert np.less_equal(found, attainable).all()
    assert set(display.line_.get_ydata()) == {display.daily.mean}
    assert np.mean(found) == pytest.approx(display.daily.mean)


def test_a_perfect_ranking_attains_the_best(week):
    display = PrecisionAtKDisplay.from_predictions(week.y, week.y.astype(float), week.time, k=3)
    found, attainable = drawn(display)
    assert found == attainable


def test_days_without_rows_have_their_place_and_do_not_count(week):
    keep = week.time.astype("datetime64[D]") != np.datetime64("2026-03-05")
    display = PrecisionAtKDisplay.from_predictions(week.y[keep], week.score[keep], week.time[keep], k=3)
    found, attainable = drawn(display)
    assert (len(found), found[4], attainable[4]) == (14, 0, 0)
    assert display.daily.mean == pytest.approx(np.delete(found, 4).mean())


def test_order_of_rows_does_not_matter(week):
    order = np.random.default_rng(2).permutation(len(week.y))
    first = PrecisionAtKDisplay.from_predictions(week.y, week.score, week.time, k=3)
    second = PrecisionAtKDisplay.from_predictions(week.y[order], week.score[order], week.time[order], k=3)
    assert drawn(first) == drawn(second)


def test_the_budget_of_a_detector_is_its_k():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(900, 2))
    y = np.abs(X).max(axis=1) > 2.5
    time = np.datetime64("2026-03-01") + np.sort(rng.integers(0, 10 * 86_400, len(X))).astype("timedelta64[s]")
    forest = IsolationForest(n_estimators=10, random_state=0)

    def k_of(rule, **given):
        detector = CalibratedDetector(forest, rule).fit(X, time=time)
        return PrecisionAtKDisplay.from_estimator(detector, X, y, time, **given).k

    assert k_of(AlertBudget(7)) == 7
    assert k_of(AlertBudget(7), k=3) == 3
    assert k_of(AlertBudget(2, per="hour")) == k_of(AlertBudget(2.5)) == 100
    of_forest = PrecisionAtKDisplay.from_estimator(forest.fit(X), X, y, time, k=7)
    assert of_forest.daily.precision.shape == (10,)


@pytest.mark.parametrize(
    ("y", "time"),
    [
        ([1], ["2026-03-01"]),
        ([0, 0], ["2026-03-01", "2026-03-09T23:59"]),
        ([1, 0], ["1970-01-01", "2026-03-01"]),
    ],
    ids=["one row", "no anomaly", "56 years"],
)
def test_awkward_days_are_drawn(y, time):
    _, ax = plt.subplots(figsize=(4, 3), layout="constrained")
    display = PrecisionAtKDisplay.from_predictions(y, np.ones(len(y)), time, k=3, ax=ax)
    ax.figure.canvas.draw()
    assert display.daily.precision.sum() == pytest.approx(sum(y) / 3)
    assert max(ax.get_yticks()) <= 1


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"k": 0}, ParameterError, "'k' parameter"),
        ({"k": 2.5}, ParameterError, "'k' parameter"),
        ({"time": ["2026-03-01"]}, TableError, "time"),
        ({"time": ["2026-03-01", None]}, TableError, "row 1"),
        ({"time": [0, 1]}, TableError, "time"),
        ({"score": [1.0, np.nan]}, TableError, "NaN at row 1"),
        ({"y": [0, 3]}, TableError, "1 .fraud. or 0"),
    ],
)
def test_what_cannot_be_counted_is_refused(given, error, message):
    usual = {"y": [0, 1], "score": [1.0, 2.0], "time": ["2026-03-01", "2026-03-02"]}
    with pytest.raises(error, match=message):
        PrecisionAtKDisplay.from_predictions(**{**usual, **given})
    assert not plt.get_fignums()
