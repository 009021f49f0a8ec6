"""What every threshold would have cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vae_anomaly.decision._counts import needed
from vae_anomaly.decision._label_rules import ExpectedCost
from vae_anomaly.decision._labelled import Floats, check_both_classes
from vae_anomaly.decision.calibration_rows import CalibrationRows
from vae_anomaly.decision.metrics import prevalence_weights
from vae_anomaly.decision.operating_points import OperatingPoints


@dataclass(frozen=True, eq=False)
class CostCurve:
    """The cost of labelled rows at each threshold, the highest threshold first.

    Parameters
    ----------
    threshold : float64 ndarray of shape (n_thresholds,)
        A row alerts where its anomaly score is above it. The first gives no alert, the last alerts for every row.
    n_alerts : float64 ndarray of shape (n_thresholds,)
        Alerts among the rows, weighted to the prevalence if the wish names one.
    cost : float64 ndarray of shape (n_thresholds,)
        Cost of all rows together, in the currency of the wish.
    best : int
        Place of the least cost; of equal ones that with the fewest alerts.
    n_rows : int
        Rows that were counted.
    """

    threshold: Floats
    n_alerts: Floats
    cost: Floats
    best: int
    n_rows: int

    def place_of(self, threshold: float) -> int:
        """Place of the decisions that any threshold makes, also one between two of the curve.

        Parameters
        ----------
        threshold : float
            A row alerts where its anomaly score is above it.

        Returns
        -------
        int
            The place in `threshold`, `n_alerts` and `cost`.

        Examples
        --------
        >>> curve = cost_curve(ExpectedCost(8, 5), CalibrationRows.from_arrays([1.0, 2.0, 3.0], y=[0, 0, 1]))
        >>> curve.n_alerts[curve.place_of(2.5)], curve.n_alerts[curve.place_of(99.0)]
        (np.float64(1.0), np.float64(0.0))
        """
        return int(np.searchsorted(-self.threshold[:-1], -threshold))  # scores above it, each value once


def cost_curve(rule: ExpectedCost, rows: CalibrationRows) -> CostCurve:
    """Count what each threshold costs.

    Parameters
    ----------
    rule : ExpectedCost
        What a missed anomaly and an alert cost; with a prevalence the rows are weighted to it.
    rows : CalibrationRows
        With labels of both classes, and amounts if they are the cost.

    Returns
    -------
    CostCurve
        Its least cost is at the threshold that `rule` sets on the same rows.

    Raises
    ------
    TableError
        Labels or amounts are missing, or labels are of one class.

    Examples
    --------
    >>> curve = cost_curve(ExpectedCost(8, 5), CalibrationRows.from_arrays([1.0, 2.0, 3.0], y=[0, 0, 1]))
    >>> curve.cost.tolist()  # nothing alerts and the anomaly is missed, or one, two, three alerts
    [8.0, 5.0, 10.0, 15.0]
    """
    y = needed(rule, rows, "y")
    check_both_classes(y, "a cost curve")
    lost = needed(rule, rows, rule.missed) if isinstance(rule.missed, str) else rule.missed
    lost = np.where(y, lost, 0.0)
    weight = np.ones(len(rows)) if rule.prevalence is None else prevalence_weights(y, rule.prevalence)
    points = OperatingPoints.of(rows.score, y)
    n_alerts, spared = points.sums(weight), points.sums(weight * lost)
    to_rows = len(rows) / weight.sum()
    cost = ((weight * lost).sum() - spared + rule.alarm * n_alerts) * to_rows
    best = int((rule.alarm * n_alerts - spared).argmin())  # as the rule has it, to the last bit
    return CostCurve(points.threshold, n_alerts * to_rows, cost, best, len(rows))
