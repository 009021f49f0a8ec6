"""What every threshold would have cost, and where the cheapest and the chosen ones lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_anomaly._params import Instance, OneOf, check_params
from vae_anomaly.decision._labelled import Floats
from vae_anomaly.decision.calibration_rows import CalibrationRows
from vae_anomaly.decision.cost_curve import CostCurve, cost_curve
from vae_anomaly.decision.periods import n_periods
from vae_anomaly.decision.thresholds import ExpectedCost
from vae_anomaly.plots._axes import BLUE, GREY, SMALL, VERMILION, axes_for, flags, headroom, view_limits
from vae_anomaly.plots._given import Thresholds, anomaly_scores, calibrations_of, places_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_MOST_POINTS = 2_000
_DEARER, _FURTHER, _BEYOND = 1.5, 4.0, 1.3
"""The picture ends where costs are this many times those without alerts, or alerts this many times the cheapest, but
not before this many times those of any named threshold."""
_ROWS_WITHOUT_TIME = 1_000
_AGAINST = {"against": (OneOf(("alerts", "threshold")),)}
_RULE = {"rule": (Instance((ExpectedCost,), "an ExpectedCost, such as ExpectedCost(missed='amount', alarm=10)"),)}


class CostCurveDisplay:
    """Cost of missed anomalies and of alerts for every threshold, with the least and with named thresholds marked.

    Made by `from_estimator` or `from_predictions`, from labelled rows.

    Parameters
    ----------
    curve : CostCurve
        Alerts and cost of all rows for each threshold.
    thresholds : mapping of str to float
        Scores above which a row alerts, by the name to show.
    n_periods : float
        What the rows' alerts and costs are divided by.
    per : str
        What one of those periods is, such as "day".
    currency : str or None
        Of the cost.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the picture.
    figure_ : matplotlib Figure
        That the axes belong to.
    line_ : matplotlib Line2D
        The curve.
    least_ : matplotlib Line2D
        Stands at the least cost.
    lines_ : dict of str to matplotlib Line2D
        The line of each named threshold.

    Examples
    --------
    >>> from vae_anomaly import ExpectedCost
    >>> from vae_anomaly.plots import CostCurveDisplay
    >>> display = CostCurveDisplay.from_predictions([0, 0, 1], [1.0, 2.0, 3.0], ExpectedCost(missed=8, alarm=5))
    >>> display.curve.cost.tolist()  # with no alert, one, two, three
    [8.0, 5.0, 10.0, 15.0]
    """

    ax_: Axes
    figure_: Figure
    line_: Line2D
    least_: Line2D
    lines_: dict[str, Line2D]

    def __init__(
        self,
        *,
        curve: CostCurve,
        thresholds: Mapping[str, float],
        n_periods: float,
        per: str,
        currency: str | None = None,
    ) -> None:
        self.curve = curve
        self.thresholds = thresholds
        self.n_periods = n_periods
        self.per = per
        self.currency = currency

    @classmethod
    def from_estimator(
        cls,
        detector: Any,
        X: Any,
        y: ArrayLike,
        rule: ExpectedCost | None = None,
        *,
        amount: ArrayLike | None = None,
        time: ArrayLike | None = None,
        per: str = "day",
        thresholds: Thresholds | None = None,
        currency: str | None = None,
        against: str = "alerts",
        ax: Axes | None = None,
    ) -> Self:
        """Score labelled rows with a fitted detector, and draw what each threshold costs.

        Parameters
        ----------
        detector : outlier detector
            Fitted. Of a `CalibratedDetector` the threshold is marked.
        X : table of shape (n_samples, n_features)
            Rows to score.
        rule : ExpectedCost, optional
            By default that of the detector, if it has one.
        y, amount, time, per, currency, against, ax
            As in `from_predictions`.
        thresholds : mapping of str to float or Calibration, optional
            Instead of the detector's own.

        Returns
        -------
        CostCurveDisplay
            With the picture in `ax_`.

        Raises
        ------
        ParameterError, TableError, MissingExtraError
            As in `from_predictions`.
        """
        return cls.from_predictions(
            y,
            anomaly_scores(detector, X),
            getattr(detector, "rule_", None) if rule is None else rule,
            amount=amount,
            time=time,
            per=per,
            thresholds=calibrations_of(detector) if thresholds is None else thresholds,
            currency=currency,
            against=against,
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        y: ArrayLike,
        score: ArrayLike,
        rule: ExpectedCost | None,
        *,
        amount: ArrayLike | None = None,
        time: ArrayLike | None = None,
        per: str = "day",
        thresholds: Thresholds | None = None,
        currency: str | None = None,
        against: str = "alerts",
        ax: Axes | None = None,
    ) -> Self:
        """Draw what each threshold costs.

        Parameters
        ----------
        y : array of shape (n_rows,)
            1 for an anomaly, 0 for a normal row; both must occur.
        score : array of shape (n_rows,)
            Anomaly scores: higher is more anomalous. Finite.
        rule : ExpectedCost
            What a missed anomaly and an alert cost.
        amount : array of shape (n_rows,), optional
            For a rule whose missed anomalies cost their amount.
        time : array of shape (n_rows,), optional
            When each row came, for alerts and costs per period; without it they are per 1,000 rows.
        per : "day" or "hour", default="day"
            The period.
        thresholds : mapping of str to float or Calibration, optional
            Names and thresholds to mark. A rule that decides by the batch is shown as it decides on `score`.
        currency : str, optional
            Of the cost, such as "EUR".
        against : "alerts" or "threshold", default="alerts"
            The horizontal axis.
        ax : matplotlib Axes, optional
            To draw on; those of a new figure by default.

        Returns
        -------
        CostCurveDisplay
            With the picture in `ax_`.

        Raises
        ------
        TableError
            A score is not finite, labels are of one class, amounts are missing, or all times are of one period.
        ParameterError
            The rule is none, a threshold is not finite, or another parameter is outside its domain.
        MissingExtraError
            matplotlib is not installed.
        """
        check_params("CostCurveDisplay", {"rule": rule}, _RULE)
        assert rule is not None  # noqa: S101  (the check above has seen to it)
        rows = CalibrationRows.from_arrays(score, y, amount=amount, time=time)
        display = cls(
            curve=cost_curve(rule, rows),
            thresholds=places_of(thresholds, rows.score),
            n_periods=len(rows) / _ROWS_WITHOUT_TIME if rows.time is None else n_periods(rows.time, per),
            per=f"{_ROWS_WITHOUT_TIME:,} rows" if rows.time is None else per,
            currency=currency,
        )
        return display.plot(ax, against=against)

    def plot(self, ax: Axes | None = None, *, against: str = "alerts") -> Self:
        """Draw it again.

        Parameters
        ----------
        ax, against
            As in `from_predictions`.

        Returns
        -------
        CostCurveDisplay
            Itself.
        """
        check_params("CostCurveDisplay", {"against": against}, _AGAINST)
        self.ax_ = ax = axes_for(ax, len(self.thresholds) + 1)
        self.figure_ = ax.figure  # type: ignore[assignment]
        curve = self.curve
        cost = curve.cost / self.n_periods
        by_alerts = against == "alerts"
        x = curve.n_alerts / self.n_periods if by_alerts else curve.threshold
        at = {name: curve.place_of(threshold) for name, threshold in self.thresholds.items()}
        shown = self._shown(list(at.values()))
        (self.line_,) = ax.plot(x[shown], cost[shown], color=BLUE, linewidth=1.8)
        least = f"least cost: {_amount(cost[curve.best])} per {self.per}"
        marks = {name: x[place] if by_alerts else self.thresholds[name] for name, place in at.items()}
        self._limits(ax, x[shown], cost[shown], (*marks.values(), x[curve.best]), by_alerts)
        ax.plot(list(marks.values()), cost[list(at.values())], "o", color=GREY, markersize=5, zorder=4)
        ax.plot(x[curve.best], cost[curve.best], "o", color=VERMILION, markersize=6, zorder=5)
        drawn = flags(ax, {least: float(x[curve.best]), **marks}, 0.0)
        self._without_alerts(ax, float(cost[0]), (*marks.values(), x[curve.best]))
        self.least_, self.lines_ = drawn[0], dict(zip(marks, drawn[1:], strict=True))
        unit = "" if self.currency is None else f" ({self.currency})"
        ax.set_ylabel(f"cost per {self.per}{unit}")
        ax.set_xlabel(f"alerts per {self.per}" if by_alerts else "threshold on the anomaly score")
        return self

    def _shown(self, marked: list[int]) -> NDArray[np.intp]:
        """Places of the curve to draw: thinned where there are many, the named ones and the cheapest always there."""
        curve = self.curve
        dear = np.flatnonzero(curve.cost <= _DEARER * curve.cost[0])[-1]
        enough = curve.n_alerts[dear]
        if curve.best:
            enough = min(enough, _FURTHER * curve.n_alerts[curve.best])
        enough = max(enough, _BEYOND * max(curve.n_alerts[marked], default=0.0))
        end = int(np.searchsorted(curve.n_alerts, enough, side="right"))
        thinned = np.unique(np.geomspace(1, max(2, end), _MOST_POINTS).astype(np.intp)) - 1
        return np.union1d(thinned[thinned < len(curve.cost)], [*marked, curve.best]).astype(np.intp)

    def _limits(self, ax: Axes, x: Floats, cost: Floats, marks: tuple[float, ...], by_alerts: bool) -> None:
        low, high = (min(0.0, *marks), float(x[-1])) if by_alerts else view_limits(x, marks)
        ax.set_xlim(low - 0.02 * (high - low), high + 0.02 * (high - low))
        ax.set_ylim(0, 1.05 * cost.max() / (1 - headroom(ax, len(marks) + 1)))

    def _without_alerts(self, ax: Axes, cost: float, marks: tuple[float, ...]) -> None:
        """A line at the cost of doing nothing, named in the widest gap between the marks, away from the curve."""
        ax.axhline(cost, color=GREY, linestyle=":", linewidth=1.2, zorder=1)
        ends = np.sort([*ax.get_xlim(), *marks])
        start = ends[np.diff(ends).argmax()]
        x, y = (np.asarray(values, dtype=np.float64) for values in self.line_.get_data())
        beside = start + 0.25 * (ends[-1] - ends[0])  # about where the name ends
        above = y[np.abs(x - beside).argmin()] <= cost
        ax.annotate(
            "no alerts at all",
            (start, cost),
            (4, 2 if above else -3),
            textcoords="offset points",
            ha="left",
            va="bottom" if above else "top",
            fontsize=SMALL,
            color=GREY,
        )


def _amount(cost: float) -> str:
    return f"{cost:,.0f}" if cost >= 100 else f"{cost:.3g}"
