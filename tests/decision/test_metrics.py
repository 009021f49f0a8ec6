import datetime as dt
import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_anomaly.decision.evaluation import evaluate_scores
from vae_anomaly.decision.metrics import (
    amount_recall_at_budget,
    amount_recall_at_k_per_day,
    average_precision,
    card_precision_at_k,
    precision_at_k,
    precision_at_k_per_day,
    prevalence_weights,
    recall_at_budget,
    recall_at_k,
    roc_auc,
)
from vae_anomaly.errors import ParameterError, TableError

RNG = np.random.default_rng(11)
N = 300
Y = RNG.random(N) < 0.15
SCORE = np.round(RNG.normal(size=N) + 1.2 * Y, 1)  # with ties
AMOUNT = np.round(RNG.lognormal(3, 1, N), 2)
DAY = RNG.integers(0, 7, N)
CARD = RNG.integers(0, 60, N)


METRICS = {
    "average_precision": lambda y, s: average_precision(y, s),
    "roc_auc": lambda y, s: roc_auc(y, s),
    "precision_at_k": lambda y, s: precision_at_k(y, s, 37),
    "recall_at_k": lambda y, s: recall_at_k(y, s, 37),
    "recall_at_budget": lambda y, s: recall_at_budget(y, s, 0.1),
    "amount_recall_at_budget": lambda y, s: amount_recall_at_budget(y, s, AMOUNT[: len(y)], 37),
    "precision_at_k_per_day": lambda y, s: precision_at_k_per_day(y, s, DAY[: len(y)], 5).mean,
    "amount_recall_at_k_per_day": lambda y, s: amount_recall_at_k_per_day(y, s, DAY[: len(y)], AMOUNT[: len(y)], 5),
    "card_precision_at_k": lambda y, s: card_precision_at_k(y, s, DAY[: len(y)], CARD[: len(y)], 3).mean,
}
every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)


def cases(max_rows=6, both=True):
    """Small labelled rankings with many ties."""
    rows = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=2, max_size=max_rows)
    if both:
        rows = rows.filter(lambda rows: {label for label, _ in rows} == {0, 1})
    return rows.map(lambda rows: (np.array([y for y, _ in rows]), np.array([float(s) for _, s in rows])))


# Brute force


def mean_over_tie_breaks(values, score, k):
    """Sum of `values` over the top k, averaged over every order that agrees with the scores."""
    orders = [
        order
        for order in itertools.permutations(range(len(score)))
        if all(score[a] >= score[b] for a, b in itertools.pairwise(order))
    ]
    return np.mean([sum(values[row] for row in order[:k]) for order in orders])


@settings(max_examples=60, deadline=None)
@given(case=cases(), k=st.integers(1, 7))
def test_top_k_metrics_equal_the_mean_over_all_tie_breaks(case, k):
    y, score = case
    found = mean_over_tie_breaks(y, score, k)
    assert precision_at_k(y, score, k) == pytest.approx(found / k)
    assert recall_at_k(y, score, k) == pytest.approx(found / y.sum())
    assert recall_at_budget(y, score, k) == pytest.approx(found / y.sum())
    amount = np.arange(1.0, len(y) + 1)
    expected = mean_over_tie_breaks(y * amount, score, k) / (y * amount).sum()
    assert amount_recall_at_budget(y, score, amount, k) == pytest.approx(expected)


@settings(max_examples=100, deadline=None)
@given(case=cases(max_rows=12), data=st.data())
def test_roc_auc_counts_pairs_and_average_precision_sums_steps(case, data):
    y, score = case
    weight = np.array(data.draw(st.lists(st.integers(1, 4), min_size=len(y), max_size=len(y))), dtype=float)
    pairs = [
        (weight[i] * weight[j], (score[i] > score[j]) + 0.5 * (score[i] == score[j]))
        for i, j in itertools.product(np.flatnonzero(y == 1), np.flatnonzero(y == 0))
    ]
    expected = sum(w * win for w, win in pairs) / sum(w for w, _ in pairs)
    assert roc_auc(y, score, sample_weight=weight) == pytest.approx(expected)
    area, before = 0.0, 0.0
    for threshold in sorted(set(score), reverse=True):
        alerts = score >= threshold
        recall = weight[alerts & (y == 1)].sum() / weight[y == 1].sum()
        area += (recall - before) * weight[alerts & (y == 1)].sum() / weight[alerts].sum()
        before = recall
    assert average_precision(y, score, sample_weight=weight) == pytest.approx(area)


def handbook_card_precision(frame, k):
    """The Fraud Detection Handbook's procedure, said again in pandas."""
    found, daily = set(), []
    for _, rows in frame.groupby("day"):
        cards = rows[~rows["card"].isin(found)].groupby("card")[["score", "y"]].max()
        top = cards.sort_values("score", ascending=False).head(k)
        daily.append((top["y"] == 1).sum() / k)
        found |= set(top.index[top["y"] == 1])
    return daily


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 6))
def test_card_precision_equals_the_handbook_without_ties(seed, k):
    rng = np.random.default_rng(seed)
    n = 40
    frame = pd.DataFrame(
        {
            "y": rng.random(n) < 0.3,
            "score": rng.permutation(n).astype(float),
            "day": rng.integers(0, 4, n),
            "card": rng.integers(0, 9, n),
        }
    )
    daily = card_precision_at_k(frame["y"], frame["score"], frame["day"], frame["card"], k)
    np.testing.assert_allclose(daily.precision, handbook_card_precision(frame, k))


# Laws


@every_metric
@pytest.mark.parametrize("grow", [lambda s: 3 * s - 7, np.exp, np.cbrt, lambda s: np.where(s == s.max(), np.inf, s)])
def test_strictly_increasing_maps_change_nothing(metric, grow):
    assert metric(Y, grow(SCORE)) == metric(Y, SCORE)


@every_metric
def test_the_order_of_the_rows_changes_nothing(metric, monkeypatch):
    before = metric(Y, SCORE)
    order = np.random.default_rng(3).permutation(N)
    for name, column in (("AMOUNT", AMOUNT), ("DAY", DAY), ("CARD", CARD)):
        monkeypatch.setitem(globals(), name, column[order])
    assert metric(Y[order], SCORE[order]) == pytest.approx(before)


def test_a_perfect_ranking_gives_one():
    y = np.repeat([1, 0], [40, 260])
    score = np.arange(300.0)[::-1]
    day = np.tile(np.arange(4), 75)
    assert average_precision(y, score) == roc_auc(y, score) == 1
    assert precision_at_k(y, score, 40) == recall_at_k(y, score, 40) == 1
    assert recall_at_budget(y, score, 40 / 300) == amount_recall_at_budget(y, score, np.ones(300), 40) == 1
    assert precision_at_k_per_day(y, score, day, 10).mean == 1
    assert card_precision_at_k(y, score, day, np.arange(300), 10).mean == 1


def test_a_constant_score_is_guessing():
    constant = np.full(N, 2.5)
    assert average_precision(Y, constant) == pytest.approx(Y.mean())
    assert roc_auc(Y, constant) == 0.5
    for k in (1, 10, 77):
        assert precision_at_k(Y, constant, k) == pytest.approx(Y.mean())
        assert recall_at_k(Y, constant, k) == pytest.approx(k / N)
    daily = precision_at_k_per_day(Y, constant, DAY, 3)
    np.testing.assert_allclose(daily.precision, [Y[day == DAY].mean() for day in daily.days])


def test_a_constant_score_finds_cards_at_their_rate():
    cards = 4000
    compromised = np.arange(cards) < 400  # the ones that come first, by name and by row
    daily = card_precision_at_k(compromised, np.ones(cards), np.zeros(cards, int), np.arange(cards), 1000)
    assert daily.mean == pytest.approx(0.1, abs=0.03)  # three standard deviations


@pytest.mark.parametrize("metric", [average_precision, roc_auc])
def test_a_weight_of_two_is_a_row_twice(metric):
    twice = RNG.random(N) < 0.4
    doubled = np.concatenate([np.arange(N), np.flatnonzero(twice)])
    weighted = metric(Y, SCORE, sample_weight=1.0 + twice)
    assert weighted == pytest.approx(metric(Y[doubled], SCORE[doubled]))


def test_rows_of_weight_zero_are_not_there():
    kept = np.arange(N) % 3 > 0
    for metric in (average_precision, roc_auc):
        assert metric(Y, SCORE, sample_weight=kept.astype(float)) == pytest.approx(metric(Y[kept], SCORE[kept]))


def test_weighting_to_the_own_prevalence_changes_nothing():
    weights = prevalence_weights(Y, Y.mean())
    np.testing.assert_allclose(weights, 1)
    assert average_precision(Y, SCORE, sample_weight=weights) == pytest.approx(average_precision(Y, SCORE))


@given(case=cases(max_rows=12), prevalence=st.floats(1e-6, 1 - 1e-6))
def test_weighted_frauds_have_the_prevalence(case, prevalence):
    y, _ = case
    weights = prevalence_weights(y, prevalence)
    assert (weights[y == 1] == 1).all()
    assert weights[y == 1].sum() / weights.sum() == pytest.approx(prevalence)


def test_weighting_undoes_an_enrichment():
    enriched = Y | (np.arange(N) % 5 == 0)  # every fraud, a fifth of the normal rows, and these repeated below
    rows = np.flatnonzero(enriched)
    whole = np.concatenate([np.flatnonzero(Y), np.repeat(np.flatnonzero(enriched & ~Y), 5)])
    weights = prevalence_weights(Y[rows], Y[whole].mean())
    assert average_precision(Y[rows], SCORE[rows], sample_weight=weights) == pytest.approx(
        average_precision(Y[whole], SCORE[whole])
    )


def test_recall_grows_with_the_budget_up_to_one():
    recalls = [recall_at_k(Y, SCORE, k) for k in range(1, N + 1)]
    assert np.all(np.diff(recalls) >= -1e-12)
    assert recalls[-1] == recall_at_k(Y, SCORE, 10 * N) == 1


def test_precision_and_recall_count_the_same_frauds():
    for k in (1, 20, N, 2 * N):
        assert precision_at_k(Y, SCORE, k) * k == pytest.approx(recall_at_k(Y, SCORE, k) * Y.sum())


def test_equal_amounts_make_amount_recall_the_recall():
    assert amount_recall_at_budget(Y, SCORE, np.full(N, 7.0), 40) == pytest.approx(recall_at_budget(Y, SCORE, 40))


def test_one_day_and_one_row_a_card_are_the_plain_precision():
    score = np.random.default_rng(5).permutation(N)
    one_day = np.zeros(N, dtype=int)
    expected = precision_at_k(Y, score, 20)
    assert precision_at_k_per_day(Y, score, one_day, 20).mean == expected
    assert card_precision_at_k(Y, score, one_day, np.arange(N), 20).mean == expected


def test_a_budget_as_a_share_rounds_and_is_at_least_one():
    assert recall_at_budget(Y, SCORE, 0.1) == recall_at_budget(Y, SCORE, 30)
    assert recall_at_budget(Y, SCORE, 1e-9) == recall_at_budget(Y, SCORE, 1)
    assert recall_at_budget(Y, SCORE, 1.0) == 1


def test_k_beyond_the_rows_still_divides_by_k():
    assert precision_at_k([1, 0], [2.0, 1.0], 10) == 0.1


def test_a_blocked_card_is_not_checked_again():
    y, score = [1, 1, 1], [9.0, 8.0, 7.0]
    daily = card_precision_at_k(y, score, day=[0, 1, 2], card=["a", "a", "b"], k=1)
    np.testing.assert_array_equal(daily.precision, [1, 0, 1])


def test_times_are_cut_to_their_date():
    times = pd.Series(pd.to_datetime(["2024-05-01 09:00", "2024-05-01 23:59", "2024-05-02 00:00"]))
    daily = precision_at_k_per_day([1, 0, 1], [3.0, 2.0, 1.0], times, 1)
    assert list(daily.days) == [dt.date(2024, 5, 1), dt.date(2024, 5, 2)]
    np.testing.assert_array_equal(daily.precision, [1, 1])


def test_frames_lists_and_booleans_say_the_same():
    expected = average_precision(Y, SCORE)
    assert average_precision(pd.Series(Y.astype(int), index=range(5, N + 5)), pd.Series(SCORE)) == expected
    assert average_precision(Y.tolist(), SCORE.tolist()) == expected


def test_daily_recall_of_amounts_is_that_of_each_day_weighted_by_what_it_lost():
    score, lost = RNG.random(N), np.where(Y, AMOUNT, 0)
    found = 0.0
    for day in range(7):
        rows = np.flatnonzero(np.equal(DAY, day))
        found += lost[rows[np.argsort(-score[rows])[:4]]].sum()
    assert amount_recall_at_k_per_day(Y, score, DAY, AMOUNT, 4) == pytest.approx(found / lost.sum())
    assert amount_recall_at_k_per_day(Y, score, DAY, AMOUNT, N) == pytest.approx(1)
    one_day = amount_recall_at_k_per_day(Y, SCORE, np.zeros(N), AMOUNT, 20)
    assert one_day == pytest.approx(amount_recall_at_budget(Y, SCORE, AMOUNT, 20))


# The report


def test_the_report_holds_what_the_metrics_say():
    report = evaluate_scores(Y, SCORE, ks=(5, 20), budget=0.1, prevalence=0.01, amount=AMOUNT, day=DAY, card=CARD)
    assert (report.n_rows, report.n_positives, report.budget) == (N, Y.sum(), 30)
    assert report.roc_auc == roc_auc(Y, SCORE)
    assert report.average_precision == average_precision(Y, SCORE)
    assert report.average_precision_at_prevalence < report.average_precision  # the sample is enriched
    for k in (5, 20):
        assert report.precision_at_k[k] == precision_at_k(Y, SCORE, k)
        assert report.lift_at_k[k] == pytest.approx(report.precision_at_k[k] / Y.mean())
        assert report.precision_at_k_per_day[k] == precision_at_k_per_day(Y, SCORE, DAY, k).mean
        assert report.card_precision_at_k[k] == card_precision_at_k(Y, SCORE, DAY, CARD, k).mean
        assert report.amount_recall_at_k_per_day[k] == amount_recall_at_k_per_day(Y, SCORE, DAY, AMOUNT, k)
    assert report.recall_at_budget == recall_at_budget(Y, SCORE, 30)
    assert report.amount_recall_at_budget == amount_recall_at_budget(Y, SCORE, AMOUNT, 30)


def test_what_is_not_given_is_not_reported():
    report = evaluate_scores(Y, SCORE)
    assert report.average_precision_at_prevalence is report.amount_recall_at_budget is None
    assert report.precision_at_k_per_day is report.assumed_prevalence is None
    assert report.amount_recall_at_k_per_day is report.card_precision_at_k is None
    with pytest.raises(ParameterError, match="'day' parameter of evaluate_scores must be given with 'card'"):
        evaluate_scores(Y, SCORE, card=CARD)


def test_the_report_is_json():
    report = evaluate_scores(Y, SCORE, ks=np.array([5, 20]), prevalence=np.float64(0.01), amount=AMOUNT, day=DAY)
    entries = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert entries["precision_at_k"]["20"] == report.precision_at_k[20]
    assert entries["n_positives"] == report.n_positives


# Errors


@every_metric
@pytest.mark.parametrize(
    ("y", "score", "match"),
    [
        ([0, 1], [1.0], "'score' must have one entry for each of the 2 rows of 'y': found 1"),
        ([0, 1], [math.nan, 1.0], "found NaN at row 0 and in 1 of 2 rows"),
        ([0, 2], [1.0, 2.0], r"1 \(fraud\) or 0 \(normal\): found 2 at row 1"),
        ([1, -1], [1.0, 2.0], "y == -1"),
        ([0, math.nan], [1.0, 2.0], "found nan at row 1"),
        ([0, None], [1.0, 2.0], "found nan at row 1"),
        (["fraud", "ok"], [1.0, 2.0], "found text, such as 'fraud'. Map it first, for example y == 'fraud'"),
        ([0, 1], ["high", "low"], "'score' must hold numbers"),
        ([], [], "at least one row"),
        ([[0, 1]], [1.0], "one column"),
    ],
)
def test_unusable_rows_are_refused_with_the_reason(metric, y, score, match):
    with pytest.raises(TableError, match=match):
        metric(y, score)


@pytest.mark.parametrize("only", [0, 1])
@pytest.mark.parametrize(
    "metric",
    [average_precision, roc_auc, evaluate_scores, lambda y, _: prevalence_weights(y, 0.1)],
)
def test_one_class_alone_is_refused_and_named(metric, only):
    with pytest.raises(TableError, match=f"found 3 rows, every one {only}"):
        metric([only] * 3, [1.0, 2.0, 3.0])


def test_recall_without_a_fraud_is_refused():
    for metric in (lambda: recall_at_k([0], [1.0], 1), lambda: amount_recall_at_budget([0], [1.0], [1.0], 1)):
        with pytest.raises(TableError, match="needs a fraud to find"):
            metric()


def test_a_class_that_weighs_nothing_is_absent():
    with pytest.raises(TableError, match="every one 0"):
        roc_auc([1, 0, 0], [1.0, 2.0, 3.0], sample_weight=[0, 1, 1])
    with pytest.raises(TableError, match="no row that counts"):
        roc_auc([1, 0], [1.0, 2.0], sample_weight=[0, 0])
    with pytest.raises(TableError, match="not negative"):
        roc_auc([1, 0], [1.0, 2.0], sample_weight=[1, -1])


@pytest.mark.parametrize("k", [0, -1, 2.5, True, "10", None])
def test_k_must_be_a_positive_integer(k):
    for metric in (precision_at_k, recall_at_k, lambda y, s, k: precision_at_k_per_day(y, s, [0, 1], k)):
        with pytest.raises(ParameterError, match="'k' parameter of"):
            metric([0, 1], [1.0, 2.0], k)


@pytest.mark.parametrize("budget", [0, -3, 0.0, 1.5, math.nan, "all", True])
def test_a_budget_must_be_a_count_or_a_share(budget):
    with pytest.raises(ParameterError, match="'budget' parameter of"):
        recall_at_budget([0, 1], [1.0, 2.0], budget)


@pytest.mark.parametrize("prevalence", [0, 1, -0.1, math.nan, "rare"])
def test_a_prevalence_must_lie_between_none_and_all(prevalence):
    with pytest.raises(ParameterError, match="'prevalence' parameter of"):
        prevalence_weights([0, 1], prevalence)


def test_amounts_of_frauds_must_be_known():
    assert amount_recall_at_budget([1, 0], [2.0, 1.0], [5.0, math.nan], 1) == 1  # of a normal row it doesn't matter
    for amount, match in (
        ([math.nan, 1.0], "found nan at row 0"),
        ([-5.0, 1.0], "found -5"),
        ([0.0, 1.0], "more than 0"),
    ):
        with pytest.raises(TableError, match=match):
            amount_recall_at_budget([1, 0], [2.0, 1.0], amount, 1)


@pytest.mark.parametrize(
    "day",
    [
        [0.0, math.nan],
        ["mon", None],
        [1, "mon"],
        np.array(["2024-05-01", "NaT"], dtype="datetime64[s]"),
        pd.array([1, None]),
    ],
    ids=str,
)
def test_a_missing_or_mixed_day_is_refused(day):
    with pytest.raises(TableError, match="'day' must have values of one kind"):
        precision_at_k_per_day(
            [0, 1], [1.0, 2.0], np.asarray(day, dtype=None if isinstance(day, np.ndarray) else object), 1
        )


def test_times_with_a_zone_are_refused():
    times = pd.Series(pd.to_datetime(["2024-05-01 09:00", "2024-05-01 23:59"])).dt.tz_localize("UTC")
    with pytest.raises(TableError, match="Take their date"):
        precision_at_k_per_day([1, 0], [3.0, 2.0], times, 1)
