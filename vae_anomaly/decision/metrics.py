"""How good a ranking of transactions is, in terms of the alerts that a team can work.

Everywhere a higher score is more anomalous, and `y` is 1 for a fraud and 0 for a normal row. Only the order of the
scores counts: any strictly increasing map of them changes nothing.

Rows that tie at the cut of a top k are counted by expectation, as if ties were broken at random: of t tied rows with f
frauds among them, r places left give f·r/t frauds. So a constant score has the precision of guessing, whatever the
order of the rows. A top k is divided by k even where there are fewer rows: k stands for the looks that a team has, and
one that is left unused finds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from vae_anomaly._params import Number, check_params
from vae_anomaly.decision._labelled import (
    Booleans,
    Floats,
    as_groups,
    as_labels,
    check_both_classes,
    count_frauds,
    fraud_amounts,
    labelled_scores,
    rows_by_day,
    weighted_scores,
)

_COUNT = Number(1, integer=True)
_SHARE = Number(0, 1, open_low=True)
_RATE = Number(0, 1, open_low=True, open_high=True)
_K = {"k": (_COUNT,)}


def average_precision(y: ArrayLike, score: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Mean precision over the thresholds, weighted by the recall that each adds.

    Parameters
    ----------
    y : array of shape (n_rows,)
        1 for a fraud, 0 for a normal row; booleans will do.
    score : array of shape (n_rows,)
        Higher is more anomalous. Infinite scores are ranked, NaN is refused.
    sample_weight : array of shape (n_rows,), optional
        How many rows each row stands for.

    Returns
    -------
    float
        1 for a perfect ranking; the share of frauds for a constant score.

    Raises
    ------
    TableError
        Lengths differ, a score is NaN, a label is neither 0 nor 1, or one class is absent.

    Examples
    --------
    >>> average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.8333333333333333
    """
    labels, scores, weights = weighted_scores(y, score, sample_weight, "average precision")
    return float(average_precision_score(labels, _ranks(scores), sample_weight=weights))


def roc_auc(y: ArrayLike, score: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Probability that a fraud scores above a normal row, ties counted half.

    Parameters
    ----------
    y, score, sample_weight
        As in `average_precision`.

    Returns
    -------
    float
        1 for a perfect ranking, 0.5 for a constant score.

    Raises
    ------
    TableError
        As in `average_precision`.

    Examples
    --------
    >>> roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    labels, scores, weights = weighted_scores(y, score, sample_weight, "ROC AUC")
    return float(roc_auc_score(labels, _ranks(scores), sample_weight=weights))


def precision_at_k(y: ArrayLike, score: ArrayLike, k: int) -> float:
    """Share of frauds among the k rows of the highest scores.

    Parameters
    ----------
    y, score
        As in `average_precision`; one class alone will do.
    k : int
        How many rows are looked at. With fewer rows than k all are, and the division is still by k.

    Returns
    -------
    float
        Expected share, ties at the cut broken at random.

    Raises
    ------
    TableError
        As in `average_precision`.
    ParameterError
        k is no positive integer.

    Examples
    --------
    >>> precision_at_k([1, 0, 1, 0], [9.0, 7.0, 7.0, 1.0], k=2)  # one sure, one of two that tie
    0.75
    """
    labels, scores = labelled_scores(y, score)
    check_params("precision_at_k", {"k": k}, _K)
    return _top_sum(labels, scores, k) / k


def recall_at_k(y: ArrayLike, score: ArrayLike, k: int) -> float:
    """Share of all frauds that are among the k rows of the highest scores.

    Parameters
    ----------
    y, score, k
        As in `precision_at_k`, with at least one fraud.

    Returns
    -------
    float
        Expected share, ties at the cut broken at random; 1 when k is the number of rows or more.

    Raises
    ------
    TableError, ParameterError
        As in `precision_at_k`, or there is no fraud to find.

    Examples
    --------
    >>> recall_at_k([1, 0, 1, 0], [9.0, 7.0, 7.0, 1.0], k=2)
    0.75
    """
    labels, scores = labelled_scores(y, score)
    check_params("recall_at_k", {"k": k}, _K)
    return _top_sum(labels, scores, k) / count_frauds(labels, "recall")


def recall_at_budget(y: ArrayLike, score: ArrayLike, budget: int | float) -> float:
    """Share of all frauds that are found within a number of alerts.

    Parameters
    ----------
    y, score
        As in `recall_at_k`.
    budget : int or float
        An integer is a number of alerts; a float in (0, 1] a share of the rows, rounded to the nearest number of alerts
        and at least one.

    Returns
    -------
    float
        Expected share, ties at the cut broken at random.

    Raises
    ------
    TableError, ParameterError
        As in `recall_at_k`, or the budget is neither of the two.

    Examples
    --------
    >>> recall_at_budget([1, 0, 1, 0], [9.0, 8.0, 7.0, 1.0], budget=0.5)
    0.5
    """
    labels, scores = labelled_scores(y, score)
    alerts = alerts_of("recall_at_budget", budget, len(labels))
    return _top_sum(labels, scores, alerts) / count_frauds(labels, "recall")


def amount_recall_at_budget(y: ArrayLike, score: ArrayLike, amount: ArrayLike, budget: int | float) -> float:
    """Share of the fraudulent amount that is found within a number of alerts.

    Parameters
    ----------
    y, score, budget
        As in `recall_at_budget`.
    amount : array of shape (n_rows,)
        What each transaction is worth, in one currency. Those of the frauds must be finite and not negative.

    Returns
    -------
    float
        Expected share, ties at the cut broken at random.

    Raises
    ------
    TableError, ParameterError
        As in `recall_at_budget`, or a fraud's amount is missing or negative, or all of them are 0.

    Examples
    --------
    >>> amount_recall_at_budget([1, 0, 1, 0], [9.0, 8.0, 7.0, 1.0], [300.0, 5.0, 100.0, 20.0], budget=1)
    0.75
    """
    labels, scores = labelled_scores(y, score)
    alerts = alerts_of("amount_recall_at_budget", budget, len(labels))
    lost = fraud_amounts(labels, amount)
    return _top_sum(lost, scores, alerts) / float(lost.sum())


@dataclass(frozen=True, eq=False)
class DailyPrecision:
    """Precision of each day's top k.

    Parameters
    ----------
    days : ndarray of shape (n_days,)
        The days that have rows, in order.
    precision : float64 ndarray of shape (n_days,)
        Share of frauds among the k looks of each day.
    """

    days: NDArray[Any]
    precision: Floats

    @property
    def mean(self) -> float:
        """Mean over the days, each counting the same."""
        return float(self.precision.mean())


def precision_at_k_per_day(y: ArrayLike, score: ArrayLike, day: ArrayLike, k: int) -> DailyPrecision:
    """Precision at k of every day, as a team sees it that can look at k transactions a day.

    Parameters
    ----------
    y, score
        As in `precision_at_k`.
    day : array of shape (n_rows,)
        The day of each row: integers, text or dates. NumPy times are cut to their date.
    k : int
        Looks a day.

    Returns
    -------
    DailyPrecision
        Per day, and its mean.

    Raises
    ------
    TableError, ParameterError
        As in `precision_at_k`, or a day is missing.

    Examples
    --------
    >>> daily = precision_at_k_per_day([1, 0, 1, 0], [9.0, 7.0, 3.0, 4.0], day=[0, 0, 1, 1], k=1)
    >>> daily.precision, daily.mean
    (array([1., 0.]), 0.5)
    """
    labels, scores = labelled_scores(y, score)
    check_params("precision_at_k_per_day", {"k": k}, _K)
    days, rows_of_day = rows_by_day(day, len(labels))
    return DailyPrecision(days, np.array([_top_sum(labels[rows], scores[rows], k) / k for rows in rows_of_day]))


def amount_recall_at_k_per_day(y: ArrayLike, score: ArrayLike, day: ArrayLike, amount: ArrayLike, k: int) -> float:
    """Share of the fraudulent amount that a team finds which can look at k transactions a day.

    Parameters
    ----------
    y, score, day, k
        As in `precision_at_k_per_day`, with at least one fraud.
    amount : array of shape (n_rows,)
        As in `amount_recall_at_budget`.

    Returns
    -------
    float
        Of the amounts of all days together; expected share, ties at the cut of a day broken at random.

    Raises
    ------
    TableError, ParameterError
        As in `precision_at_k_per_day` and `amount_recall_at_budget`.

    Examples
    --------
    >>> amount_recall_at_k_per_day([1, 0, 1, 1], [9.0, 2.0, 3.0, 4.0], [0, 0, 1, 1], [30.0, 5.0, 60.0, 10.0], k=1)
    0.4
    """
    labels, scores = labelled_scores(y, score)
    check_params("amount_recall_at_k_per_day", {"k": k}, _K)
    lost = fraud_amounts(labels, amount)
    _, rows_of_day = rows_by_day(day, len(labels))
    return sum(_top_sum(lost[rows], scores[rows], k) for rows in rows_of_day) / float(lost.sum())


def card_precision_at_k(y: ArrayLike, score: ArrayLike, day: ArrayLike, card: ArrayLike, k: int) -> DailyPrecision:
    """Share of compromised cards among the k cards that are checked each day.

    A card's score of a day is its highest, and it is compromised that day if one of its rows is a fraud. A compromised
    card that is found is blocked: its later days are left out. Cards that tie are put into one fixed shuffled order,
    because which of them is found decides what is left for the days that follow; the order of the rows has no say.

    Parameters
    ----------
    y, score, day
        As in `precision_at_k_per_day`.
    card : array of shape (n_rows,)
        The card, or the customer, of each row.
    k : int
        Cards that can be checked in a day.

    Returns
    -------
    DailyPrecision
        Per day, and its mean. A day whose cards are all blocked counts as 0.

    Raises
    ------
    TableError, ParameterError
        As in `precision_at_k`, or a day or card is missing.

    References
    ----------
    Le Borgne, Siblini, Lebichot, Bontempi: Reproducible Machine Learning for Credit Card Fraud Detection - Practical
    Handbook (2022), "Precision top-k metrics".

    Examples
    --------
    >>> daily = card_precision_at_k(
    ...     [1, 0, 1, 0], [9.0, 1.0, 8.0, 2.0], day=[0, 0, 1, 1], card=["a", "b", "a", "c"], k=1
    ... )
    >>> daily.precision  # card a is found on day 0, so only card c is left to be checked on day 1
    array([1., 0.])
    """
    labels, scores = labelled_scores(y, score)
    check_params("card_precision_at_k", {"k": k}, _K)
    days, rows_of_day = rows_by_day(day, len(labels))
    cards, card_of_row = as_groups("card", card, len(labels))
    tie_break = np.random.default_rng(0).permutation(len(cards))
    blocked = np.zeros(len(cards), dtype=bool)
    precision = []
    for every_row in rows_of_day:
        rows = every_row[~blocked[card_of_row[every_row]]]
        present, place = np.unique(card_of_row[rows], return_inverse=True)
        highest = np.full(len(present), -np.inf)
        np.maximum.at(highest, place, scores[rows])
        compromised = np.bincount(place[labels[rows]], minlength=len(present)) > 0
        top = np.lexsort((tie_break[present], -highest))[:k]
        found = present[top[compromised[top]]]
        blocked[found] = True
        precision.append(len(found) / k)
    return DailyPrecision(days, np.array(precision))


def prevalence_weights(y: ArrayLike, prevalence: float) -> Floats:
    """Weights with which the rows have the true share of frauds.

    A sample that was enriched with frauds flatters average precision. With these weights it is as if the normal rows
    had been drawn at their true rate.

    Parameters
    ----------
    y : array of shape (n_rows,)
        1 for a fraud, 0 for a normal row.
    prevalence : float
        True share of frauds, in (0, 1).

    Returns
    -------
    float64 ndarray of shape (n_rows,)
        1 for frauds, and one weight for all normal rows.

    Raises
    ------
    TableError, ParameterError
        A label is neither 0 nor 1, one class is absent, or the prevalence is no number in (0, 1).

    Examples
    --------
    >>> prevalence_weights([1, 0, 0], prevalence=0.01)
    array([ 1. , 49.5, 49.5])
    """
    check_params("prevalence_weights", {"prevalence": prevalence}, {"prevalence": (_RATE,)})
    labels = as_labels(y)
    check_both_classes(labels, "Weighting to a prevalence")
    n_frauds = int(labels.sum())
    of_normal = n_frauds * (1 - prevalence) / (prevalence * (len(labels) - n_frauds))
    return np.where(labels, 1.0, of_normal)


def _top_sum(values: Floats | Booleans, scores: Floats, k: int) -> float:
    """Expected sum of `values` over the k highest scores, ties at the cut broken at random."""
    if k >= len(scores):
        return float(values.sum())
    cut = np.partition(scores, len(scores) - k)[len(scores) - k]
    above, tied = scores > cut, scores == cut
    places_left = k - int(above.sum())
    return float(values[above].sum() + values[tied].sum() * places_left / tied.sum())


def _ranks(scores: Floats) -> NDArray[np.intp]:
    """Dense ranks: scikit-learn refuses infinite scores and the order is all that counts."""
    return np.unique(scores, return_inverse=True)[1]


def alerts_of(owner: str, budget: int | float, n_rows: int) -> int:
    """How many alerts a budget of `owner` is; a share is rounded, and at least one."""
    check_params(owner, {"budget": budget}, {"budget": (_COUNT, _SHARE)})
    return int(budget) if _COUNT.allows(budget) else max(1, round(float(budget) * n_rows))
