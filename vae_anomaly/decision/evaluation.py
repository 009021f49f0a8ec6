"""Everything that one labelled table says about its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import ArrayLike

from vae_anomaly.decision._labelled import check_both_classes, labelled_scores
from vae_anomaly.decision.metrics import (
    alerts_of,
    amount_recall_at_budget,
    amount_recall_at_k_per_day,
    average_precision,
    card_precision_at_k,
    precision_at_k,
    precision_at_k_per_day,
    prevalence_weights,
    recall_at_budget,
    roc_auc,
)
from vae_anomaly.errors import ParameterError


@dataclass(frozen=True)
class DetectionReport:
    """How well scores find the frauds of a table.

    Parameters
    ----------
    n_rows, n_positives : int
        Rows, and frauds among them.
    roc_auc, average_precision : float
        Over all rows as they are.
    assumed_prevalence, average_precision_at_prevalence : float or None
        The true share of frauds, if one was given, and average precision with normal rows weighted to it.
    precision_at_k, lift_at_k : dict of int to float
        Share of frauds in the top k, and how many times the table's own share that is.
    budget, recall_at_budget : int, float
        Alerts in all, and the share of the frauds that are found within them.
    amount_recall_at_budget : float or None
        Share of the fraudulent amount, if amounts were given.
    precision_at_k_per_day : dict of int to float or None
        Mean over the days of each day's share, if days were given.
    amount_recall_at_k_per_day : dict of int to float or None
        Share of the fraudulent amount with k looks a day, if days and amounts were given.
    card_precision_at_k : dict of int to float or None
        Mean over the days of the share of compromised cards among k, if days and cards were given.
    """

    n_rows: int
    n_positives: int
    roc_auc: float
    average_precision: float
    assumed_prevalence: float | None
    average_precision_at_prevalence: float | None
    precision_at_k: dict[int, float]
    lift_at_k: dict[int, float]
    budget: int
    recall_at_budget: float
    amount_recall_at_budget: float | None
    precision_at_k_per_day: dict[int, float] | None = None
    amount_recall_at_k_per_day: dict[int, float] | None = None
    card_precision_at_k: dict[int, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values; the k are keys, so they become text."""
        return {
            name: {str(k): figure for k, figure in value.items()} if isinstance(value, dict) else value
            for name, value in asdict(self).items()
        }


def evaluate_scores(
    y: ArrayLike,
    score: ArrayLike,
    *,
    ks: Sequence[int] = (10, 50, 100),
    budget: int | float = 100,
    prevalence: float | None = None,
    amount: ArrayLike | None = None,
    day: ArrayLike | None = None,
    card: ArrayLike | None = None,
) -> DetectionReport:
    """Everything that one labelled table says about its scores.

    Parameters
    ----------
    y, score
        As in `average_precision`.
    ks : sequence of int
        Of which top k to give the precision and lift.
    budget : int or float
        Alerts in all, or a share of the rows, as in `recall_at_budget`.
    prevalence : float, optional
        The true share of frauds, if the table was enriched.
    amount : array of shape (n_rows,), optional
        As in `amount_recall_at_budget`.
    day : array of shape (n_rows,), optional
        As in `precision_at_k_per_day`.
    card : array of shape (n_rows,), optional
        As in `card_precision_at_k`; it takes days as well.

    Returns
    -------
    DetectionReport
        The figures.

    Raises
    ------
    TableError, ParameterError
        As in each of the metrics, or there are cards and no days.

    Examples
    --------
    >>> report = evaluate_scores([1, 0, 1, 0, 0], [9.0, 7.0, 8.0, 1.0, 2.0], ks=(1, 2), budget=1)
    >>> report.roc_auc, report.precision_at_k, report.lift_at_k, report.recall_at_budget
    (1.0, {1: 1.0, 2: 1.0}, {1: 2.5, 2: 2.5}, 0.5)
    """
    labels, scores = labelled_scores(y, score)
    check_both_classes(labels, "An evaluation")
    alerts = alerts_of("evaluate_scores", budget, len(labels))
    if card is not None and day is None:
        raise ParameterError(
            "The 'day' parameter of evaluate_scores must be given with 'card', as cards are checked each day. Got None "
            "instead."
        )
    precision = {int(k): precision_at_k(labels, scores, k) for k in ks}
    at_prevalence = None
    if prevalence is not None:
        at_prevalence = average_precision(labels, scores, sample_weight=prevalence_weights(labels, prevalence))
    daily: dict[str, dict[int, float]] = {}
    if day is not None:
        daily["precision_at_k_per_day"] = {int(k): precision_at_k_per_day(labels, scores, day, k).mean for k in ks}
    if day is not None and amount is not None:
        daily["amount_recall_at_k_per_day"] = {
            int(k): amount_recall_at_k_per_day(labels, scores, day, amount, k) for k in ks
        }
    if day is not None and card is not None:
        daily["card_precision_at_k"] = {int(k): card_precision_at_k(labels, scores, day, card, k).mean for k in ks}
    return DetectionReport(
        n_rows=len(labels),
        n_positives=int(labels.sum()),
        roc_auc=roc_auc(labels, scores),
        average_precision=average_precision(labels, scores),
        assumed_prevalence=None if prevalence is None else float(prevalence),
        average_precision_at_prevalence=at_prevalence,
        precision_at_k=precision,
        lift_at_k={k: value / float(labels.mean()) for k, value in precision.items()},
        budget=alerts,
        recall_at_budget=recall_at_budget(labels, scores, alerts),
        amount_recall_at_budget=None if amount is None else amount_recall_at_budget(labels, scores, amount, alerts),
        **daily,
    )
