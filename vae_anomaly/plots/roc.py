"""Recall against the false-alarm rate, with what numbers of alerts find."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import roc_curve

from vae_anomaly._params import OneOf, check_params
from vae_anomaly.decision._labelled import Floats
from vae_anomaly.decision.metrics import roc_auc
from vae_anomaly.plots._axes import BLUE, GREY, axes_for
from vae_anomaly.plots._given import anomaly_scores
from vae_anomaly.plots._marks import name_points
from vae_anomaly.plots._ranking import BUDGETS, BudgetPoint, budget_points, ranked
from vae_anomaly.plots._shares import legend_of_lines, share_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_SMALL_RATE = 0.02
"""A false-alarm rate that cannot be told from the vertical axis unless it is drawn on a logarithmic scale."""
_N_BETWEEN = 200
_GUESSING = "guessing"
_LOG_RATE = {"log_rate": (OneOf((True, False, "auto")),)}


class RocBudgetDisplay:
    """Recall against the false-alarm rate of a ranking, with alert budgets as named points.

    Made by `from_estimator` or `from_predictions`. The budgets lie on the curve; the area under it on a linear scale is
    the ROC AUC.

    Parameters
    ----------
    false_alarm_rate, recall : float64 ndarray of shape (n_points,)
        Of the curve, rising, as `sklearn.metrics.roc_curve` gives them.
    roc_auc : float
        Probability that an anomaly scores above a normal row.
    n_normal : int
        Normal rows: one of them is the smallest rate that a logarithmic scale shows.
    points : sequence of BudgetPoint
        The budgets to mark.
    name : str or None
        Of the detector.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the picture.
    figure_ : matplotlib Figure
        That the axes belong to.
    line_ : matplotlib Line2D
        The curve.
    chance_ : matplotlib Line2D
        What guessing gives.
    dots_ : matplotlib Line2D
        The budgets; on a logarithmic scale those without a false alarm stand at its left end.

    Examples
    --------
    >>> from vae_anomaly.plots import RocBudgetDisplay
    >>> display = RocBudgetDisplay.from_predictions([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], budgets=[2])
    >>> display.roc_auc, [(point.name, point.recall, point.false_alarm_rate) for point in display.points]
    (0.75, [('2 alerts', 0.5, 0.5)])
    """

    ax_: Axes
    figure_: Figure
    line_: Line2D
    chance_: Line2D
    dots_: Line2D

    def __init__(
        self,
        *,
        false_alarm_rate: Floats,
        recall: Floats,
        roc_auc: float,
        n_normal: int,
        points: Sequence[BudgetPoint] = (),
        name: str | None = None,
    ) -> None:
        self.false_alarm_rate = false_alarm_rate
        self.recall = recall
        self.roc_auc = roc_auc
        self.n_normal = n_normal
        self.points = points
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        detector: Any,
        X: Any,
        y: ArrayLike,
        *,
        budgets: Sequence[int] = BUDGETS,
        name: str | None = None,
        log_rate: bool | str = "auto",
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Score labelled rows with a fitted detector, and draw how it ranks them.

        Parameters
        ----------
        detector : outlier detector
            Fitted.
        X : table of shape (n_samples, n_features)
            Rows to score.
        y, budgets, name, log_rate, ax, **kwargs
            As in `from_predictions`.

        Returns
        -------
        RocBudgetDisplay
            With the picture in `ax_`.

        Raises
        ------
        ParameterError, TableError, MissingExtraError
            As in `from_predictions`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.ensemble import IsolationForest
        >>> X = np.random.default_rng(0).normal(size=(500, 2))
        >>> forest = IsolationForest(n_estimators=20, random_state=0).fit(X)
        >>> display = RocBudgetDisplay.from_estimator(forest, X, np.abs(X).max(axis=1) > 2.5, budgets=[5, 20])
        >>> [point.name for point in display.points]
        ['5 alerts', '20 alerts']
        """
        score = anomaly_scores(detector, X)
        return cls.from_predictions(y, score, budgets=budgets, name=name, log_rate=log_rate, ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y: ArrayLike,
        score: ArrayLike,
        *,
        budgets: Sequence[int] = BUDGETS,
        name: str | None = None,
        log_rate: bool | str = "auto",
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw how scores rank rows.

        Parameters
        ----------
        y : array of shape (n_rows,)
            1 for an anomaly, 0 for a normal row; both must occur.
        score : array of shape (n_rows,)
            Anomaly scores: higher is more anomalous. Infinite scores are ranked, NaN is refused.
        budgets : sequence of int, default=(50, 200, 1_000)
            Numbers of alerts to mark, over all rows; those of more alerts than rows are left out.
        name : str, optional
            Of the detector, for the legend. On axes with another display, it keeps the two apart.
        log_rate : bool or "auto", default="auto"
            Whether the false-alarm rate is on a logarithmic scale; "auto": where a budget's is below 2 %.
        ax : matplotlib Axes, optional
            To draw on; those of a new figure by default.
        **kwargs
            For the curve, such as its `color`.

        Returns
        -------
        RocBudgetDisplay
            With the picture in `ax_`.

        Raises
        ------
        TableError
            Lengths differ, a score is NaN, a label is neither 0 nor 1, or one class is absent.
        ParameterError
            A budget is no positive integer, or `log_rate` is outside its domain.
        MissingExtraError
            matplotlib is not installed.
        """
        labels, ranks = ranked(y, score, "a ROC curve")
        points = budget_points("RocBudgetDisplay", labels, ranks, budgets)
        false_alarm_rate, recall, _ = roc_curve(labels, ranks)
        display = cls(
            false_alarm_rate=false_alarm_rate,
            recall=recall,
            roc_auc=roc_auc(labels, ranks),
            n_normal=int((~labels).sum()),
            points=points,
            name=name,
        )
        return display.plot(ax, log_rate=log_rate, **kwargs)

    def plot(self, ax: Axes | None = None, *, log_rate: bool | str = "auto", **kwargs: Any) -> Self:
        """Draw it again.

        Parameters
        ----------
        ax, log_rate, **kwargs
            As in `from_predictions`.

        Returns
        -------
        RocBudgetDisplay
            Itself.
        """
        check_params("RocBudgetDisplay", {"log_rate": log_rate}, _LOG_RATE)
        self.ax_ = ax = axes_for(ax)
        self.figure_ = ax.figure  # type: ignore[assignment]
        label = f"ROC AUC {self.roc_auc:.3f}" if self.name is None else f"{self.name}: ROC AUC {self.roc_auc:.3f}"
        style = {"label": label, "color": BLUE, "linewidth": 1.8, **kwargs}
        least = 0.5 / self.n_normal
        between = np.geomspace(least, 1, _N_BETWEEN)
        (self.line_,) = ax.plot(*self._curve(between), **style)
        (self.chance_,) = ax.plot(between, between, ":", color=GREY, linewidth=1.2, label=_GUESSING, zorder=1)
        ax.set(xlabel="false-alarm rate", ylabel="recall")
        if self._logarithmic(ax, log_rate):
            ax.set_xscale("log")
            ax.set_xlim(least, 1.2)
        else:
            least = 0.0
            share_axis(ax, "x")
        places = {point.name: (max(point.false_alarm_rate, least), point.recall) for point in self.points}
        self.dots_ = name_points(ax, places, legend_of_lines(ax, last=_GUESSING))
        return self

    def _logarithmic(self, ax: Axes, log_rate: bool | str) -> bool:
        if log_rate != "auto":
            return bool(log_rate)
        return ax.get_xscale() == "log" or any(point.false_alarm_rate < _SMALL_RATE for point in self.points)

    def _curve(self, between: Floats) -> tuple[Floats, Floats]:
        """The curve with points in between, as what is straight on a linear scale is not on a logarithmic one."""
        x, y = self.false_alarm_rate, self.recall
        more = np.setdiff1d(between, x)
        order = np.argsort(np.append(x, more), kind="stable")
        return np.append(x, more)[order], np.append(y, np.interp(more, x, y))[order]
