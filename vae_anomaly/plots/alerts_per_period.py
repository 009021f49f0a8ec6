"""How many alerts each day or hour has, beside what the team can work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from vae_anomaly._params import Number, OneOf, check_params
from vae_anomaly.decision.alert_counts import AlertCounts, count_alerts
from vae_anomaly.decision.budget import AlertBudget
from vae_anomaly.plots._axes import (
    SKY,
    VERMILION,
    across,
    axes_for,
    headroom,
    legend_on_top,
    n_legend_columns,
    whole_ticks,
)
from vae_anomaly.plots._periods import bars, period_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_BUDGET = {"budget": (Number(0, float("inf"), open_low=True, open_high=True), OneOf((None,)))}


class AlertsPerPeriodDisplay:
    """Alerts of each day or hour, with the budget as a line.

    Made by `from_estimator` or `from_predictions`. The bars add up to the alerts; a period without any has its place.

    Parameters
    ----------
    counts : AlertCounts
        Alerts of each period.
    budget : float or None
        Alerts in a period that the team can work.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the picture.
    figure_ : matplotlib Figure
        That the axes belong to.
    line_ : matplotlib Line2D or None
        The budget.

    Examples
    --------
    >>> from vae_anomaly.plots import AlertsPerPeriodDisplay
    >>> time = ["2026-03-01T08", "2026-03-01T09", "2026-03-03T10"]
    >>> display = AlertsPerPeriodDisplay.from_predictions([True, True, True], time, budget=1)
    >>> display.counts.n_alerts
    array([2, 0, 1])
    """

    ax_: Axes
    figure_: Figure
    line_: Line2D | None

    def __init__(self, *, counts: AlertCounts, budget: float | None = None) -> None:
        self.counts = counts
        self.budget = budget

    @classmethod
    def from_estimator(
        cls,
        detector: Any,
        X: Any,
        time: ArrayLike,
        y: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        per: str | None = None,
        budget: float | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Judge rows with a fitted detector, and draw its alerts.

        Parameters
        ----------
        detector : outlier detector
            Fitted; its `predict` says -1 for an alert. A rule that decides by the batch judges all rows as one.
        X : table of shape (n_samples, n_features)
            Rows to judge.
        time, y, ax
            As in `from_predictions`.
        groups : array-like of shape (n_samples,), optional
            Segments, for a detector that has thresholds for them.
        per : "day" or "hour", optional
            By default that of the detector's alert budget, or a day.
        budget : float, optional
            By default that of the detector's alert budget, if it has one for `per`.

        Returns
        -------
        AlertsPerPeriodDisplay
            With the picture in `ax_`.

        Raises
        ------
        ParameterError, TableError, MissingExtraError
            As in `from_predictions`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.ensemble import IsolationForest
        >>> from vae_anomaly import AlertBudget, CalibratedDetector
        >>> X = np.random.default_rng(0).normal(size=(2_000, 3))
        >>> time = np.datetime64("2026-03-01T00") + np.arange(2_000).astype("timedelta64[h]")
        >>> forest = IsolationForest(n_estimators=20, random_state=0)
        >>> detector = CalibratedDetector(forest, AlertBudget(2)).fit(X, time=time)
        >>> AlertsPerPeriodDisplay.from_estimator(detector, X, time).budget
        2
        """
        rule = getattr(detector, "rule_", None)
        if isinstance(rule, AlertBudget) and isinstance(rule.per, str):
            per = rule.per if per is None else per
            budget = rule.n if budget is None and rule.per == per else budget
        flags = detector.predict(X) if groups is None else detector.predict(X, groups=groups)
        return cls.from_predictions(flags == -1, time, y, per=per or "day", budget=budget, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        alert: ArrayLike,
        time: ArrayLike,
        y: ArrayLike | None = None,
        *,
        per: str = "day",
        budget: float | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw alerts.

        Parameters
        ----------
        alert : array of shape (n_rows,)
            True for an alert, such as ``calibration.alerts(score)``.
        time : array of shape (n_rows,)
            When each row came, of rows that do not alert too.
        y : array of shape (n_rows,), optional
            1 for an anomaly, 0 for a normal row. With labels the alerts are drawn apart.
        per : "day" or "hour", default="day"
            The period.
        budget : float, optional
            Alerts in a period that the team can work, above 0.
        ax : matplotlib Axes, optional
            To draw on; those of a new figure by default.

        Returns
        -------
        AlertsPerPeriodDisplay
            With the picture in `ax_`.

        Raises
        ------
        TableError
            There is no row, columns differ in length, a time is missing, or there are values other than 0 and 1.
        ParameterError
            The period or the budget is outside its domain.
        MissingExtraError
            matplotlib is not installed.
        """
        check_params("AlertsPerPeriodDisplay", {"budget": budget}, _BUDGET)
        return cls(counts=count_alerts(alert, time, per, y), budget=budget).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw it again.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            As in `from_predictions`.

        Returns
        -------
        AlertsPerPeriodDisplay
            Itself.
        """
        self.ax_ = ax = axes_for(ax)
        self.figure_ = ax.figure  # type: ignore[assignment]
        counts = self.counts
        n_alerts, n_hits = counts.n_alerts, counts.n_hits
        if n_hits is None:
            labels = ["alerts"]
            bars(ax, counts.start, (np.zeros_like(n_alerts), n_alerts), SKY, "alerts", counts.per)
        else:
            labels = ["anomalies", "normal rows"]
            bars(ax, counts.start, (np.zeros_like(n_hits), n_hits), VERMILION, "anomalies", counts.per)
            bars(ax, counts.start, (n_hits, n_alerts), SKY, "normal rows", counts.per)
        self.line_ = None
        if self.budget is not None:
            label = f"budget, {self.budget:,g} per {counts.per}"
            labels.append(label)
            self.line_ = ax.axhline(self.budget, label=label, **across(ax))
        top = max(float(n_alerts.max()), self.budget or 0.0, 1.0)
        n_columns = n_legend_columns(ax, labels)
        ax.set_ylim(0, 1.05 * top / (1 - headroom(ax, -(-len(labels) // n_columns))))
        ax.set_ylabel(f"alerts per {counts.per}")
        period_ticks(ax, counts.start, counts.per)
        whole_ticks(ax)
        legend_on_top(ax, labels, n_columns)
        return self
