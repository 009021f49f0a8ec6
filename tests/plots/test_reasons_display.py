"""Waterfalls: the bars add up to the score, whatever the row."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from sklearn.ensemble import IsolationForest

from vae_anomaly import (
    CalibratedDetector,
    Contamination,
    DiscoveryRate,
    FalseAlarmRate,
    ParameterError,
    TableError,
    TrainingWarning,
    VAEDetector,
)
from vae_anomaly.decision.reasons import LEVELS
from vae_anomaly.plots import ReasonsDisplay
from vae_anomaly.plots.reasons import _usual_shares


@pytest.fixture(scope="module")
def odd(payments):
    """Rows that are unusual in one way each."""
    rows = payments.head(6).convert_dtypes()
    rows.loc[0, "gross"] = 900.0
    rows.loc[1, "city"] = "مدينة 📱 $5 و $6"
    rows.loc[2, "city"] = "x" * 500
    rows.loc[3] = pd.NA
    rows.loc[4, "time"] = pd.Timestamp("2031-01-01T03:00")
    return rows


def ends(display):
    """Where each bar begins and ends, from the first to the last."""
    return [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in display.bars_]


def labels(display):
    return [label.get_text() for label in display.ax_.get_yticklabels()]


@pytest.mark.parametrize("n_reasons", [1, 3, 20])
@pytest.mark.parametrize("row", range(6))
def test_each_bar_begins_where_the_last_ended_and_they_end_at_the_score(detector, odd, row, n_reasons):
    display = ReasonsDisplay.from_estimator(detector, odd, row, n_reasons=n_reasons)
    drawn = ends(display)
    score = detector.anomaly_score(odd)[row]
    assert drawn[0][0] == drawn[-1][0] == 0
    for (_, before), (begin, _) in pairwise(drawn[:-1]):
        assert begin == pytest.approx(before)
    assert drawn[-2][1] == pytest.approx(score)
    assert drawn[-1][1] == pytest.approx(score)
    assert len(display.terms) == min(n_reasons, 5) + (n_reasons < 5) + 1


def test_from_zero_the_bars_are_the_shares(detector, odd):
    reasons = detector.explain(odd, n_reasons=None)
    display = ReasonsDisplay.from_predictions(reasons, 4, n_reasons=20)
    shares = reasons.loc[reasons["row"] == 4, "share"].tolist()
    assert [term.nats for term in display.terms] == pytest.approx(shares)
    assert labels(display)[-1] == "anomaly score"
    assert display.score == pytest.approx(detector.anomaly_score(odd)[4])


def test_bars_begin_at_what_their_column_adds_in_half_of_the_held_out_rows(detector, payments):
    lines = detector.explain(payments[:20], n_reasons=None, conditional=False).groupby("column").sum(numeric_only=True)
    half = dict(zip(detector.schema_.modelled, detector.usual_["plain"].quantiles[LEVELS == 50][0], strict=True))
    shares = _usual_shares(detector)
    for name in ("net", "gross", "city", "new"):  # of one part each, whose weight is the share of a nat
        weight = lines.loc[name, "share"] / lines.loc[name, "surprisal"]
        assert shares[name] == pytest.approx(weight * half[name], rel=1e-5)


def test_a_usual_row_hardly_moves_from_where_it_begins(detector, payments):
    scores = detector.anomaly_score(payments)
    usual = int(np.argsort(scores)[len(scores) // 2])
    display = ReasonsDisplay.from_estimator(detector, payments, usual)
    alerting = ReasonsDisplay.from_estimator(detector, payments, int(scores.argmax()))
    moved = [sum(abs(term.nats) for term in one.terms[:-1]) for one in (display, alerting)]
    assert display.start == pytest.approx(alerting.start)
    assert moved[0] < moved[1]


@pytest.mark.parametrize(
    ("score_type", "known"), [("elbo", True), ("reconstruction", True), ("reconstruction", False), ("iwae", False)]
)
def test_every_kind_of_score_adds_up(payments, score_type, known):
    labels_of_rows = np.where(np.arange(len(payments)) < 5, 1, -1) if known else None
    detector = VAEDetector(score_type=score_type, max_steps=30, n_members=1).fit(payments, known=labels_of_rows)
    display = ReasonsDisplay.from_estimator(detector, payments, 3)
    assert display.score == pytest.approx(detector.anomaly_score(payments)[3])
    assert labels(display)[-1] == "anomaly score"
    assert ("known frauds" in labels(display)) == known


def test_fewer_reasons_end_at_their_own_sum(detector, odd):
    reasons = detector.explain(odd, n_reasons=2)
    display = ReasonsDisplay.from_predictions(reasons, 0)
    assert display.score == pytest.approx(reasons.loc[reasons["row"] == 0, "share"].sum())
    assert labels(display)[-1] == "these together"


def test_the_threshold_is_that_of_the_detector(detector, payments):
    own = ReasonsDisplay.from_estimator(detector, payments)
    assert set(own.line_.get_xdata()) == {-detector.offset_}
    calibrated = CalibratedDetector(detector, FalseAlarmRate(0.05), cv="prefit").fit(payments)
    assert ReasonsDisplay.from_estimator(calibrated, payments).threshold == calibrated.threshold_
    by_batch = CalibratedDetector(detector, DiscoveryRate(0.1), cv="prefit").fit(payments)
    assert ReasonsDisplay.from_estimator(by_batch, payments).line_ is None


def test_labels_are_cells_or_sentences(detector, odd):
    cells = ReasonsDisplay.from_estimator(detector, odd, n_reasons=1)
    assert labels(cells)[1] == "gross 900"
    sentences = ReasonsDisplay.from_estimator(detector, odd, n_reasons=1, sentences=True)
    told = detector.explain(odd.head(1), n_reasons=1)["sentence"][0]
    assert told.startswith(labels(sentences)[1].replace("\n", " ").rstrip("…"))
    missing = ReasonsDisplay.from_estimator(detector, odd, 3, n_reasons=5)
    assert {term.name for term in missing.terms[:-1]} == {f"{name} missing" for name in odd.columns}


@pytest.mark.parametrize("sentences", [False, True])
@pytest.mark.parametrize("size", [(4, 3), (6.4, 4.8)], ids=["small", "usual"])
@pytest.mark.parametrize("row", [1, 2])
def test_long_foreign_and_odd_texts_are_drawn_apart(detector, odd, overlaps, row, size, sentences):
    _, ax = plt.subplots(figsize=size, layout="constrained")
    display = ReasonsDisplay.from_estimator(detector, odd, row, n_reasons=4, sentences=sentences, ax=ax)
    ax.figure.canvas.draw()
    assert not overlaps(list(ax.get_yticklabels()))
    figure = ax.figure.bbox
    assert all(label.get_window_extent().x0 >= figure.x0 - 1 for label in ax.get_yticklabels())
    frame = ax.get_window_extent()
    assert frame.width > 0.3 * figure.width
    numbers = [text for text in ax.texts if text.get_text() != "alerts beyond"]
    assert all(text.get_window_extent().x1 <= frame.x1 + 1 for text in numbers)
    assert display.score == pytest.approx(detector.anomaly_score(odd)[row])


@pytest.mark.parametrize(
    "as_table", [lambda X: X, lambda X: X.set_axis([7] * len(X)), "polars"], ids=["pandas", "index", "polars"]
)
def test_any_table_will_do(detector, payments, as_table):
    if as_table == "polars":
        as_table = pytest.importorskip("polars").from_pandas
    display = ReasonsDisplay.from_estimator(detector, as_table(payments.head(9)), 8)
    assert display.score == pytest.approx(detector.anomaly_score(payments)[8])


def test_an_array_and_a_table_of_one_column():
    X = np.random.default_rng(0).normal(size=(300, 1))
    with pytest.warns(TrainingWarning):
        detector = VAEDetector(max_steps=20, n_members=1).fit(X)
    display = ReasonsDisplay.from_estimator(detector, X, 2)
    assert display.score == pytest.approx(detector.anomaly_score(X)[2])


def test_the_threshold_is_that_of_the_segment_of_the_row(detector, payments):
    place = np.arange(len(payments)) % 2
    segments = np.array(["web", "shop"], dtype=object)[place]
    calibrated = CalibratedDetector(detector, Contamination(0.1), cv="prefit", min_segment_rows=20)
    calibrated.fit(payments, groups=segments)
    for row, segment in enumerate(["web", "shop"]):
        display = ReasonsDisplay.from_estimator(calibrated, payments, row, groups=segments)
        assert display.threshold == calibrated.segment_thresholds_[segment] == display.line_.get_xdata()[0]
    assert ReasonsDisplay.from_estimator(calibrated, payments).threshold == calibrated.threshold_
    with pytest.raises(TableError, match="'groups' must have one entry"):
        ReasonsDisplay.from_estimator(calibrated, payments, groups=["web"])
    with pytest.raises(ParameterError, match="needs a CalibratedDetector"):
        ReasonsDisplay.from_estimator(detector, payments, groups=segments)


def test_what_has_no_reasons_is_refused(detector, payments):
    with pytest.raises(ParameterError, match=r"fitted VAEDetector.*Got IsolationForest"):
        ReasonsDisplay.from_estimator(IsolationForest(), payments)
    with pytest.raises(TableError, match="below the number of rows, 3: found 3"):
        ReasonsDisplay.from_estimator(detector, payments.head(3), 3)
    with pytest.raises(TableError, match="found 0"):
        ReasonsDisplay.from_estimator(detector, payments.head(0))
    with pytest.raises(ParameterError, match="'row' parameter"):
        ReasonsDisplay.from_estimator(detector, payments, -1)
    with pytest.raises(ParameterError, match="'n_reasons' parameter"):
        ReasonsDisplay.from_estimator(detector, payments, n_reasons=0)
    with pytest.raises(TableError, match="none of its columns"):
        ReasonsDisplay.from_predictions(payments)
    reasons = detector.explain(payments.head(2))
    with pytest.raises(TableError, match="reasons of row 5: found those of 2 other rows"):
        ReasonsDisplay.from_predictions(reasons, 5)
    with pytest.raises(ParameterError, match="'threshold' parameter"):
        ReasonsDisplay.from_predictions(reasons, threshold="high")
    assert not plt.get_fignums()


def test_zero_is_shown_unless_only_sums_begin_there_and_it_is_far():
    lines = {"row": 0, "rank": [1, 2], "column": ["a", "b"], "kind": "numeric", "observed": [1.0, 2.0], "sentence": "."}
    reasons = pd.DataFrame({**lines, "share": [-300.0, 3.0]})

    def shown(**given):
        low, high = ReasonsDisplay.from_predictions(reasons, **given).ax_.get_xlim()
        assert low < -297 < high
        return low <= 0 <= high

    assert shown()
    assert shown(usual={"a": -200.0})
    assert not shown(usual={"a": -301.0, "b": 1.0})
    assert shown(usual={"a": -301.0}, threshold=1.0)
