"""Precision of each day's top k, beside the best that there was to find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_anomaly._params import Number, check_params
from vae_anomaly.decision._labelled import Floats, labelled_scores
from vae_anomaly.decision.budget import AlertBudget
from vae_anomaly.decision.calibration_rows import as_times
from vae_anomaly.decision.metrics import DailyPrecision, precision_at_k_per_day
from vae_anomaly.plots._axes import BLUE, PALE, across, axes_for, headroom, legend_on_top, n_legend_columns
from vae_anomaly.plots._given import anomaly_scores
from vae_anomaly.plots._periods import bars, period_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_K = 100
_RULES = {"k": (Number(1, integer=True),)}


class PrecisionAtKDisplay:
    """Share of anomalies among the k highest scores of each day, before the best that was attainable.

    Made by `from_estimator` or `from_predictions`. On a day with fewer anomalies than k no ranking finds k: the pale
    bar says how many there were, as a share of the k looks. A day without rows has no bar and does not count in the
    mean; a day without anomalies counts as 0.

    Parameters
    ----------
    daily, attainable : DailyPrecision
        Of each day that has rows: precision of the ranking, and of a perfect one.
    k : int
        Looks a day.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the picture.
    figure_ : matplotlib Figure
        That the axes belong to.
    line_ : matplotlib Line2D
        The mean over the days.

    Examples
    --------
    >>> from vae_anomaly.plots import PrecisionAtKDisplay
    >>> time = ["2026-03-01T08", "2026-03-01T09", "2026-03-02T10", "2026-03-02T11"]
    >>> display = PrecisionAtKDisplay.from_predictions([1, 1, 1, 0], [9.0, 7.0, 3.0, 4.0], time, k=2)
    >>> display.daily.precision, display.attainable.precision
    (array([1. , 0.5]), array([1. , 0.5]))
    """

    ax_: Axes
    figure_: Figure
    line_: Line2D

    def __init__(self, *, daily: DailyPrecision, attainable: DailyPrecision, k: int) -> None:
        self.daily = daily
        self.attainable = attainable
        self.k = k

    @classmethod
    def from_estimator(
        cls,
        detector: Any,
        X: Any,
        y: ArrayLike,
        time: ArrayLike,
        *,
        k: int | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Score labelled rows with a fitted detector, and draw how good each day's top k is.

        Parameters
        ----------
        detector : outlier detector
            Fitted.
        X : table of shape (n_samples, n_features)
            Rows to score.
        y, time, ax
            As in `from_predictions`.
        k : int, optional
            By default the detector's alert budget, if it has one of whole alerts a day, or 100.

        Returns
        -------
        PrecisionAtKDisplay
            With the picture in `ax_`.

        Raises
        ------
        ParameterError, TableError, MissingExtraError
            As in `from_predictions`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.ensemble import IsolationForest
        >>> X = np.random.default_rng(0).normal(size=(480, 2))
        >>> time = np.datetime64("2026-03-01T00") + np.arange(480).astype("timedelta64[h]")
        >>> forest = IsolationForest(n_estimators=20, random_state=0).fit(X)
        >>> display = PrecisionAtKDisplay.from_estimator(forest, X, np.abs(X).max(axis=1) > 2, time, k=3)
        >>> len(display.daily.days), bool(display.daily.mean <= display.attainable.mean)
        (20, True)
        """
        rule = getattr(detector, "rule_", None)
        if k is None:
            daily = isinstance(rule, AlertBudget) and rule.per == "day" and _RULES["k"][0].allows(rule.n)
            k = int(rule.n) if daily else _K  # type: ignore[union-attr]
        return cls.from_predictions(y, anomaly_scores(detector, X), time, k=k, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        y: ArrayLike,
        score: ArrayLike,
        time: ArrayLike,
        *,
        k: int = _K,
        ax: Axes | None = None,
    ) -> Self:
        """Draw how good each day's top k is.

        Parameters
        ----------
        y : array of shape (n_rows,)
            1 for an anomaly, 0 for a normal row.
        score : array of shape (n_rows,)
            Anomaly scores: higher is more anomalous. Rows that tie at the cut count by expectation.
        time : array of shape (n_rows,)
            When each row came, in any order.
        k : int, default=100
            Looks a day.
        ax : matplotlib Axes, optional
            To draw on; those of a new figure by default.

        Returns
        -------
        PrecisionAtKDisplay
            With the picture in `ax_`.

        Raises
        ------
        TableError
            There is no row, columns differ in length, a score or time is missing, or a label is neither 0 nor 1.
        ParameterError
            k is no positive integer.
        MissingExtraError
            matplotlib is not installed.
        """
        check_params("PrecisionAtKDisplay", {"k": k}, _RULES)
        labels, scores = labelled_scores(y, score)
        days = as_times(time, len(labels)).astype("datetime64[D]")
        daily = precision_at_k_per_day(labels, scores, days, k)
        return cls(daily=daily, attainable=precision_at_k_per_day(labels, labels, days, k), k=k).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw it again.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            As in `from_predictions`.

        Returns
        -------
        PrecisionAtKDisplay
            Itself.
        """
        self.ax_ = ax = axes_for(ax)
        self.figure_ = ax.figure  # type: ignore[assignment]
        found, mean = self.daily.precision, self.daily.mean
        best, best_mean = self.attainable.precision, self.attainable.mean
        days = np.arange(self.daily.days[0], self.daily.days[-1] + 1)
        labels = ["found", "attainable", f"mean {mean:.2g} of {best_mean:.2g}"]
        bars(ax, days, (np.zeros(len(days)), self._of_days(days, best)), PALE, labels[1], "day")
        bars(ax, days, (np.zeros(len(days)), self._of_days(days, found)), BLUE, labels[0], "day")
        self.line_ = ax.axhline(mean, label=labels[2], **across(ax))
        n_columns = n_legend_columns(ax, labels)
        ax.set_ylim(0, (1.05 * float(best.max()) or 1.0) / (1 - headroom(ax, -(-len(labels) // n_columns))))
        ax.set_yticks([tick for tick in ax.get_yticks() if tick <= 1])  # none beside the legend, where none can be
        ax.set_ylabel(f"precision of the top {self.k:,}")
        period_ticks(ax, days, "day")
        legend_on_top(ax, labels, n_columns)
        return self

    def _of_days(self, days: NDArray[np.datetime64], shares: Floats) -> Floats:
        """One for each day; 0 for a day without rows."""
        of_all = np.zeros(len(days))
        of_all[np.searchsorted(days, self.daily.days)] = shares
        return of_all
