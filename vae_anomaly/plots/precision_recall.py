"""Precision against recall, with what numbers of alerts find."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import precision_recall_curve

from vae_anomaly.decision._labelled import Floats
from vae_anomaly.decision.metrics import average_precision
from vae_anomaly.plots._axes import BLUE, GREY, axes_for
from vae_anomaly.plots._given import anomaly_scores
from vae_anomaly.plots._marks import name_points
from vae_anomaly.plots._ranking import BUDGETS, BudgetPoint, budget_points, ranked
from vae_anomaly.plots._shares import legend_of_lines, share_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


class PrecisionRecallBudgetDisplay:
    """Precision against recall of a ranking, with alert budgets as named points.

    Made by `from_estimator` or `from_predictions`. The area under the steps is the average precision. Where scores tie
    at the cut of a budget, its point is what breaking ties at random gives, and may lie beside the steps.

    Parameters
    ----------
    precision, recall : float64 ndarray of shape (n_points,)
        Of the curve, by falling recall, as `sklearn.metrics.precision_recall_curve` gives them.
    average_precision : float
        Mean precision over the thresholds, weighted by the recall that each adds.
    prevalence : float
        Share of anomalies: the precision of guessing.
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
        The precision of guessing.
    dots_ : matplotlib Line2D
        The budgets.

    Examples
    --------
    >>> from vae_anomaly.plots import PrecisionRecallBudgetDisplay
    >>> display = PrecisionRecallBudgetDisplay.from_predictions([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], budgets=[1, 2])
    >>> round(display.average_precision, 3), [(point.name, point.precision) for point in display.points]
    (0.833, [('1 alert', 1.0), ('2 alerts', 0.5)])
    """

    ax_: Axes
    figure_: Figure
    line_: Line2D
    chance_: Line2D
    dots_: Line2D

    def __init__(
        self,
        *,
        precision: Floats,
        recall: Floats,
        average_precision: float,
        prevalence: float,
        points: Sequence[BudgetPoint] = (),
        name: str | None = None,
    ) -> None:
        self.precision = precision
        self.recall = recall
        self.average_precision = average_precision
        self.prevalence = prevalence
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
        y, budgets, name, ax, **kwargs
            As in `from_predictions`.

        Returns
        -------
        PrecisionRecallBudgetDisplay
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
        >>> y = np.abs(X).max(axis=1) > 2.5
        >>> forest = IsolationForest(n_estimators=20, random_state=0).fit(X)
        >>> display = PrecisionRecallBudgetDisplay.from_estimator(forest, X, y, budgets=[5, 20], name="forest")
        >>> [point.precision for point in display.points]
        [0.8, 0.4]
        """
        score = anomaly_scores(detector, X)
        return cls.from_predictions(y, score, budgets=budgets, name=name, ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y: ArrayLike,
        score: ArrayLike,
        *,
        budgets: Sequence[int] = BUDGETS,
        name: str | None = None,
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
        ax : matplotlib Axes, optional
            To draw on; those of a new figure by default.
        **kwargs
            For the curve, such as its `color`.

        Returns
        -------
        PrecisionRecallBudgetDisplay
            With the picture in `ax_`.

        Raises
        ------
        TableError
            Lengths differ, a score is NaN, a label is neither 0 nor 1, or one class is absent.
        ParameterError
            A budget is no positive integer.
        MissingExtraError
            matplotlib is not installed.
        """
        labels, ranks = ranked(y, score, "a precision-recall curve")
        points = budget_points("PrecisionRecallBudgetDisplay", labels, ranks, budgets)
        precision, recall, _ = precision_recall_curve(labels, ranks, drop_intermediate=True)
        display = cls(
            precision=precision,
            recall=recall,
            average_precision=average_precision(labels, ranks),
            prevalence=float(labels.mean()),
            points=points,
            name=name,
        )
        return display.plot(ax, **kwargs)

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw it again.

        Parameters
        ----------
        ax, **kwargs
            As in `from_predictions`.

        Returns
        -------
        PrecisionRecallBudgetDisplay
            Itself.
        """
        self.ax_ = ax = axes_for(ax)
        self.figure_ = ax.figure  # type: ignore[assignment]
        # scikit-learn's last point, precision 1 without an alert, is of no threshold: the steps end as they come there.
        precision = np.append(self.precision[:-1], self.precision[-2])
        label = f"average precision {self.average_precision:.3f}"
        style = {"color": BLUE, "linewidth": 1.8, "drawstyle": "steps-post", **kwargs}
        label = label if self.name is None else f"{self.name}: {label}"
        (self.line_,) = ax.plot(self.recall, precision, **{"label": label, **style})
        guessing = f"guessing {self.prevalence:.2g}"
        self.chance_ = ax.axhline(self.prevalence, color=GREY, linestyle=":", linewidth=1.2, label=guessing, zorder=1)
        ax.set(xlabel="recall", ylabel="precision")
        share_axis(ax, "x")
        head = legend_of_lines(ax, last=guessing)
        self.dots_ = name_points(ax, {p.name: (p.recall, p.precision) for p in self.points}, head)
        return self
