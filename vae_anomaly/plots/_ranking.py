"""How good a ranking is within numbers of alerts, for the curves that mark them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from vae_anomaly._params import Number, Several, check_params
from vae_anomaly.decision._labelled import Booleans, check_both_classes, labelled_scores
from vae_anomaly.decision.metrics import precision_at_k, recall_at_k

BUDGETS = (50, 200, 1_000)
"""Numbers of alerts that are marked unless others are asked for."""

_RULES = {"budgets": (Several(Number(1, integer=True), at_least=0),)}


@dataclass(frozen=True)
class BudgetPoint:
    """What a number of alerts finds, in expectation where scores tie at the cut.

    Parameters
    ----------
    n_alerts : int
        Rows of the highest scores that alert.
    precision, recall : float
        Share of anomalies among the alerts, and share of the anomalies that alert.
    false_alarm_rate : float
        Share of the normal rows that alert.
    """

    n_alerts: int
    precision: float
    recall: float
    false_alarm_rate: float

    @property
    def name(self) -> str:
        """To be shown."""
        return f"{self.n_alerts:,} alert{'s' if self.n_alerts > 1 else ''}"


def ranked(y: ArrayLike, score: ArrayLike, curve: str) -> tuple[Booleans, NDArray[Any]]:
    """Labels, and the scores as ranks: scikit-learn refuses infinite scores, and the order is all that counts.

    Raises
    ------
    TableError
        A score is NaN, a label is neither 0 nor 1, or there is only one class.
    """
    labels, scores = labelled_scores(y, score)
    check_both_classes(labels, curve)
    return labels, rankdata(scores, method="dense")


def budget_points(owner: str, labels: Booleans, score: NDArray[Any], budgets: Sequence[int]) -> list[BudgetPoint]:
    """The budgets that there are rows enough for, ascending.

    Raises
    ------
    ParameterError
        A budget is no positive integer.

    Examples
    --------
    >>> import numpy as np
    >>> point = budget_points("Display", np.array([True, False, True, False]), np.array([4, 3, 2, 1]), (2, 9))[0]
    >>> point.name, point.precision, point.recall, point.false_alarm_rate
    ('2 alerts', 0.5, 0.5, 0.5)
    """
    check_params(owner, {"budgets": budgets}, _RULES)
    n_normal = int((~labels).sum())
    points = []
    for k in sorted({int(budget) for budget in budgets}):
        if k <= len(labels):
            precision = precision_at_k(labels, score, k)
            points.append(BudgetPoint(k, precision, recall_at_k(labels, score, k), k * (1 - precision) / n_normal))
    return points
