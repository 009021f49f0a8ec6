"""Every decision that a threshold can make on labelled rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.decision._labelled import Booleans, Floats


@dataclass(frozen=True, eq=False)
class OperatingPoints:
    """One entry for each threshold that decides otherwise than the one before it, from no alert to all rows.

    Parameters
    ----------
    threshold : float64 ndarray of shape (n_points,)
        Descending; rows that score above it alert.
    n_alerts : int ndarray of shape (n_points,)
        Rows that alert.
    n_hits : int ndarray of shape (n_points,)
        Anomalies among them.
    order : int ndarray of shape (n_rows,)
        The rows by descending score.

    Examples
    --------
    >>> points = OperatingPoints.of(np.array([1.0, 3.0, 3.0]), np.array([False, True, False]))
    >>> points.n_alerts.tolist(), points.n_hits.tolist(), points.sums(np.array([5.0, 7.0, 9.0])).tolist()
    ([0, 2, 3], [0, 1, 1], [0.0, 16.0, 21.0])
    """

    threshold: Floats
    n_alerts: NDArray[np.intp]
    n_hits: NDArray[np.intp]
    order: NDArray[np.intp]

    @classmethod
    def of(cls, score: Floats, y: Booleans) -> OperatingPoints:
        """The points of rows with labels, of which there is at least one."""
        order = np.argsort(-score, kind="stable")
        descending = score[order]
        n_alerts = np.append(np.flatnonzero(np.append(True, descending[1:] != descending[:-1])), len(score))
        levels = np.append(descending[n_alerts[:-1]], np.nextafter(descending[-1], -np.inf))
        return cls(levels, n_alerts, np.append(0, np.cumsum(y[order]))[n_alerts], order)

    def sums(self, values: Floats) -> Floats:
        """Sum of `values` over the alerts of each threshold."""
        total: Floats = np.append(0.0, np.cumsum(values[self.order]))[self.n_alerts]
        return total
