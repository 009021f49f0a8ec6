"""How anomaly scores are spread, and where thresholds lie among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_anomaly._params import Number, OneOf, check_params
from vae_anomaly.decision._labelled import Floats, labelled_scores
from vae_anomaly.decision.calibration_rows import as_scores
from vae_anomaly.errors import TableError
from vae_anomaly.plots._axes import (
    BLUE,
    GREY,
    SKY,
    VERMILION,
    axes_for,
    flags,
    headroom,
    legend_on_top,
    view_limits,
    whole_ticks,
)
from vae_anomaly.plots._given import Thresholds, anomaly_scores, calibrations_of, places_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_LOG_FROM = 50
"""Counts are logarithmic where the highest bar is this many times the lowest."""
_CALIBRATION, _ROWS, _NORMAL, _ANOMALIES = "calibration rows", "rows", "normal rows", "anomalies"
_COLOURS = {_ROWS: SKY, _NORMAL: SKY, _ANOMALIES: VERMILION}


class ScoreDistributionDisplay:
    """Histogram of anomaly scores, with thresholds as named lines.

    Made by `from_estimator` or `from_predictions`. Every row is in a bar: what lies far beyond the others, infinite
    scores included, is counted in the first or last bar, and the label of the axis says so.

    Parameters
    ----------
    counts : mapping of str to int ndarray of shape (n_bars,)
        Rows in each bar, for each kind of rows.
    edges : float64 ndarray of shape (n_bars + 1,)
        Edges of the bars, in the unit of the score.
    thresholds : mapping of str to float
        Scores above which a row alerts, by the name to show.
    n_below, n_above : int
        Rows whose scores are below or above all edges; they are counted in the first and last bar.
    unit : str or None
        Unit of the score.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the picture.
    figure_ : matplotlib Figure
        That the axes belong to.
    lines_ : dict of str to matplotlib Line2D
        The line of each threshold.

    Examples
    --------
    >>> import numpy as np
    >>> from vae_anomaly.plots import ScoreDistributionDisplay
    >>> score = np.random.default_rng(0).normal(size=1_000)
    >>> display = ScoreDistributionDisplay.from_predictions(score, thresholds={"two sigma": 2.0})
    >>> int(display.counts["rows"].sum())
    1000
    """

    ax_: Axes
    figure_: Figure
    lines_: dict[str, Line2D]

    def __init__(
        self,
        *,
        counts: Mapping[str, NDArray[np.intp]],
        edges: Floats,
        thresholds: Mapping[str, float],
        n_below: int = 0,
        n_above: int = 0,
        unit: str | None = None,
    ) -> None:
        self.counts = counts
        self.edges = edges
        self.thresholds = thresholds
        self.n_below = n_below
        self.n_above = n_above
        self.unit = unit

    @classmethod
    def from_estimator(
        cls,
        detector: Any,
        X: Any,
        y: ArrayLike | None = None,
        *,
        thresholds: Thresholds | None = None,
        bins: int = 60,
        unit: str | None = None,
        log_counts: bool | str = "auto",
        ax: Axes | None = None,
    ) -> Self:
        """Score rows with a fitted detector, and draw them.

        Parameters
        ----------
        detector : outlier detector
            Fitted. Of a `CalibratedDetector` the calibration rows are drawn too, and its threshold.
        X : table of shape (n_samples, n_features)
            Rows to score.
        y, unit, bins, log_counts, ax
            As in `from_predictions`.
        thresholds : mapping of str to float or Calibration, optional
            Instead of the detector's own.

        Returns
        -------
        ScoreDistributionDisplay
            With the picture in `ax_`.

        Raises
        ------
        ParameterError, TableError, MissingExtraError
            As in `from_predictions`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.ensemble import IsolationForest
        >>> from vae_anomaly import CalibratedDetector
        >>> X = np.random.default_rng(0).normal(size=(2_000, 3))
        >>> detector = CalibratedDetector(IsolationForest(n_estimators=20, random_state=0)).fit(X)
        >>> list(ScoreDistributionDisplay.from_estimator(detector, X).thresholds)
        ['FalseAlarmRate']
        """
        own = calibrations_of(detector)
        return cls.from_predictions(
            anomaly_scores(detector, X),
            y,
            calibration_score=next((calibration.score for calibration in own.values()), None),
            thresholds=own if thresholds is None else thresholds,
            bins=bins,
            unit=unit,
            log_counts=log_counts,
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        score: ArrayLike,
        y: ArrayLike | None = None,
        *,
        calibration_score: ArrayLike | None = None,
        thresholds: Thresholds | None = None,
        bins: int = 60,
        unit: str | None = None,
        log_counts: bool | str = "auto",
        ax: Axes | None = None,
    ) -> Self:
        """Draw scores.

        Parameters
        ----------
        score : array of shape (n_rows,)
            Anomaly scores: higher is more anomalous.
        y : array of shape (n_rows,), optional
            1 for an anomaly, 0 for a normal row. With labels the two are drawn apart.
        calibration_score : array of shape (n_calibration,), optional
            Scores of the calibration rows, drawn as an outline.
        thresholds : mapping of str to float or Calibration, optional
            Names and thresholds. A rule that decides by the batch is shown as it decides on `score`.
        bins : int, default=60
            Bars.
        unit : str, optional
            Unit of the score, such as "nats".
        log_counts : bool or "auto", default="auto"
            Whether counts are logarithmic; "auto": where small bars could not be seen otherwise.
        ax : matplotlib Axes, optional
            To draw on; those of a new figure by default.

        Returns
        -------
        ScoreDistributionDisplay
            With the picture in `ax_`.

        Raises
        ------
        TableError
            There is no row, a score is NaN, or a label is neither 0 nor 1.
        ParameterError
            A threshold is not finite, or `bins` or `log_counts` is outside its domain.
        MissingExtraError
            matplotlib is not installed.

        Examples
        --------
        >>> display = ScoreDistributionDisplay.from_predictions([0.1, 0.2, 7.5], y=[0, 0, 1], unit="nats")
        >>> display.ax_.get_xlabel()
        'anomaly score (nats)'
        """
        check_params("ScoreDistributionDisplay", {"bins": bins}, {"bins": (Number(1, 10_000, integer=True),)})
        sets = _by_kind(score, y, calibration_score)
        places = places_of(thresholds, as_scores(score))
        every = np.concatenate(list(sets.values()))
        finite = every[np.isfinite(every)]
        marks = tuple(places.values())
        low, high = view_limits(finite if len(finite) else np.array([*marks, 0.0]), marks)
        edges = np.linspace(low, high, bins + 1)
        display = cls(
            counts={name: np.histogram(np.clip(values, low, high), edges)[0] for name, values in sets.items()},
            edges=edges,
            thresholds=places,
            n_below=int((every < low).sum()),
            n_above=int((every > high).sum()),
            unit=unit,
        )
        return display.plot(ax, log_counts=log_counts)

    def plot(self, ax: Axes | None = None, *, log_counts: bool | str = "auto") -> Self:
        """Draw it again.

        Parameters
        ----------
        ax, log_counts
            As in `from_predictions`.

        Returns
        -------
        ScoreDistributionDisplay
            Itself.
        """
        allowed = (OneOf((True, False, "auto")),)
        check_params("ScoreDistributionDisplay", {"log_counts": log_counts}, {"log_counts": allowed})
        n_legend_lines = int(list(self.counts) != [_ROWS])
        self.ax_ = ax = axes_for(ax, len(self.thresholds) + n_legend_lines)
        self.figure_ = ax.figure  # type: ignore[assignment]
        for name, counts in self.counts.items():
            self._bars(ax, name, counts)
        logarithmic = self._spans_decades() if log_counts == "auto" else bool(log_counts)
        self._limits(ax, logarithmic, headroom(ax, len(self.thresholds) + n_legend_lines))
        ax.set(xlabel=self._label(), ylabel="rows per bar (log scale)" if logarithmic else "rows per bar")
        drawn = flags(ax, self.thresholds, ax.get_ylim()[0], n_legend_lines)
        self.lines_ = dict(zip(self.thresholds, drawn, strict=True))
        if n_legend_lines:
            legend_on_top(ax, list(self.counts))
        return self

    def _bars(self, ax: Axes, name: str, counts: NDArray[np.intp]) -> None:
        if name == _CALIBRATION:
            ax.stairs(counts, self.edges, color=GREY, linewidth=1.2, label=name, zorder=2.5)
            return
        ax.stairs(counts, self.edges, color=_COLOURS[name], fill=True, label=name)
        if name == _NORMAL:  # to be seen where there are more anomalies
            ax.stairs(counts, self.edges, color=BLUE, linewidth=0.8, zorder=2)

    def _spans_decades(self) -> bool:
        counts = np.concatenate(list(self.counts.values()))
        return bool(counts.max() >= _LOG_FROM * counts[counts > 0].min())

    def _limits(self, ax: Axes, logarithmic: bool, head: float) -> None:
        peak = float(max(counts.max() for counts in self.counts.values()))
        margin = 0.02 * (self.edges[-1] - self.edges[0])
        ax.set_xlim(self.edges[0] - margin, self.edges[-1] + margin)
        if logarithmic:
            ax.set_yscale("log")
            ax.set_ylim(0.5, 0.5 * (peak / 0.5 * 1.3) ** (1 / (1 - head)))  # 0.5: a single row is to be seen
            for minor in (False, True):  # none beside the names, where they would count nothing
                ticks = ax.yaxis.get_ticklocs(minor=minor)
                ax.set_yticks(ticks[(ticks > 0.5) & (ticks <= 10 * peak)], minor=minor)
        else:
            ax.set_ylim(0, 1.05 * peak / (1 - head))
            whole_ticks(ax)

    def _label(self) -> str:
        label = "anomaly score" if self.unit is None else f"anomaly score ({self.unit})"
        beyond = (("first", "below", self.n_below), ("last", "above", self.n_above))
        return "; ".join([label, *(f"{bar} bar includes {n:,} from {where}" for bar, where, n in beyond if n)])


def _by_kind(score: ArrayLike, y: ArrayLike | None, calibration_score: ArrayLike | None) -> dict[str, Floats]:
    """The scores of each kind of rows, those that are drawn first first."""
    scores = as_scores(score)
    if not len(scores):
        raise TableError("Expected scores of at least one row, found none. Give some.")
    kinds = {_ROWS: scores}
    if y is not None:
        labels, scores = labelled_scores(y, scores)
        kinds = {_NORMAL: scores[~labels], _ANOMALIES: scores[labels]}
    calibration = None if calibration_score is None else as_scores(calibration_score)
    return kinds if calibration is None or not len(calibration) else {**kinds, _CALIBRATION: calibration}
