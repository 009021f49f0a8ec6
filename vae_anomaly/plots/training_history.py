"""How training went: the ELBO of the training batches and of held-out rows, and what was kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from vae_anomaly._params import Number, OneOf, check_params
from vae_anomaly.decision._labelled import Floats
from vae_anomaly.errors import ParameterError
from vae_anomaly.plots._axes import BLUE, GREY, VERMILION, axes_for, headroom, legend_on_top, n_legend_columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_DEEPEST = 8.0
"""Evaluations further below the best one than this many times the median are left to run out of the picture."""
_NATS = {name: (Number(), OneOf((None,))) for name in ("kept_elbo", "baseline_elbo")}
_FIELDS = ("step", "train_elbo", "held_out_elbo")


class TrainingHistoryDisplay:
    """ELBO of the training batches and of the held-out rows over the steps, with what was kept.

    Made by `from_estimator` or `from_predictions`. Higher is better. The two are not of the same thing: training rows
    have noise on them, and held-out rows are seen under averaged weights, so that either may be higher. What was kept
    can lie above the held-out line, a mean over the members, as each member keeps its own best weights. A thin line
    stands where one fit ended and another went on, with other held-out rows.

    Parameters
    ----------
    step : int ndarray of shape (n_evaluations,)
        Steps done at each evaluation, over all fits.
    train_elbo, held_out_elbo : float64 ndarray of shape (n_evaluations,)
        In nats per row.
    continued : int ndarray of shape (n_fits - 1,)
        Evaluations at which a fit that goes on begins.
    kept_elbo : float or None
        Held-out ELBO of the weights that were kept, in nats per row.
    baseline_elbo : float or None
        That of each column described by itself.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the picture.
    figure_ : matplotlib Figure
        That the axes belong to.
    train_, held_out_ : matplotlib Line2D
        The two curves, with a gap between fits.
    kept_, baseline_ : matplotlib Line2D or None
        The two levels.

    Examples
    --------
    >>> from vae_anomaly.plots import TrainingHistoryDisplay
    >>> evaluations = [{"step": step, "train_elbo": -9.0, "held_out_elbo": -8.0} for step in (50, 100)]
    >>> TrainingHistoryDisplay.from_predictions(evaluations, kept_elbo=-8.0).ax_.get_ylabel()
    'ELBO (nats per row)'
    """

    ax_: Axes
    figure_: Figure
    train_: Line2D
    held_out_: Line2D
    kept_: Line2D | None
    baseline_: Line2D | None

    def __init__(
        self,
        *,
        step: np.ndarray[Any, np.dtype[np.int64]],
        train_elbo: Floats,
        held_out_elbo: Floats,
        continued: np.ndarray[Any, np.dtype[np.intp]],
        kept_elbo: float | None = None,
        baseline_elbo: float | None = None,
    ) -> None:
        self.step = step
        self.train_elbo = train_elbo
        self.held_out_elbo = held_out_elbo
        self.continued = continued
        self.kept_elbo = kept_elbo
        self.baseline_elbo = baseline_elbo

    @classmethod
    def from_estimator(cls, detector: Any, *, ax: Axes | None = None) -> Self:
        """Draw how a detector was trained.

        Parameters
        ----------
        detector : VAEDetector or CalibratedDetector
            Fitted, or loaded from a model file. Of a `CalibratedDetector` the detector in use is shown.
        ax : matplotlib Axes, optional
            As in `from_predictions`.

        Returns
        -------
        TrainingHistoryDisplay
            With the picture in `ax_`.

        Raises
        ------
        ParameterError
            The detector has no history of a fit.
        MissingExtraError
            matplotlib is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from vae_anomaly import VAEDetector
        >>> X = np.random.default_rng(0).normal(size=(500, 2)).cumsum(axis=1)
        >>> detector = VAEDetector(max_steps=50, n_members=1).fit(X)
        >>> len(TrainingHistoryDisplay.from_estimator(detector).step) == len(detector.history_)
        True
        """
        fitted = getattr(detector, "estimator_", detector)
        history, profile = getattr(fitted, "history_", None), getattr(fitted, "profile_", {})
        if history is None:
            raise ParameterError(
                f"A history of training needs a fitted VAEDetector. Got {type(fitted).__name__} instead: fit one, or "
                "give the evaluations of a History to from_predictions."
            )
        kept, baseline = profile.get("held_out_elbo"), profile.get("baseline_elbo")
        return cls.from_predictions(history, kept_elbo=kept, baseline_elbo=baseline, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        history: Iterable[Any],
        *,
        kept_elbo: float | None = None,
        baseline_elbo: float | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw evaluations.

        Parameters
        ----------
        history : History, or iterable of Evaluation or dict
            Evaluations in the order of training, with `step`, `train_elbo` and `held_out_elbo`. Where the steps begin
            anew, so does a fit that went on.
        kept_elbo : float, optional
            Held-out ELBO of the weights that were kept, in nats per row.
        baseline_elbo : float, optional
            That of each column described by itself: what a model that learnt nothing of their dependence has.
        ax : matplotlib Axes, optional
            To draw on; those of a new figure by default.

        Returns
        -------
        TrainingHistoryDisplay
            With the picture in `ax_`.

        Raises
        ------
        ParameterError
            There is no evaluation, one lacks a figure, or another parameter is no number.
        MissingExtraError
            matplotlib is not installed.
        """
        owner = "TrainingHistoryDisplay"
        check_params(owner, {"kept_elbo": kept_elbo, "baseline_elbo": baseline_elbo}, _NATS)
        step, train, held_out = _figures(history).T
        continued = np.flatnonzero(np.diff(step) <= 0) + 1
        before = np.zeros(len(step))
        for start in continued:
            before[start:] = before[start - 1] + step[start - 1]
        display = cls(
            step=(step + before).astype(np.int64),
            train_elbo=train,
            held_out_elbo=held_out,
            continued=continued,
            kept_elbo=kept_elbo,
            baseline_elbo=baseline_elbo,
        )
        return display.plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw it again.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            As in `from_predictions`.

        Returns
        -------
        TrainingHistoryDisplay
            Itself.
        """
        self.ax_ = ax = axes_for(ax)
        self.figure_ = ax.figure  # type: ignore[assignment]
        marker = "o" if len(self.step) <= 20 else ""
        step, train, held_out = (self._with_gaps(values) for values in (self.step, self.train_elbo, self.held_out_elbo))
        style = {"marker": marker, "markersize": 3.5, "linewidth": 1.8}
        (self.train_,) = ax.plot(step, train, color=GREY, label="training batches", **style)  # type: ignore[arg-type]
        (self.held_out_,) = ax.plot(step, held_out, color=BLUE, label="held-out rows", **style)  # type: ignore[arg-type]
        self.kept_ = self._level(ax, self.kept_elbo, "kept", VERMILION, "--")
        self.baseline_ = self._level(ax, self.baseline_elbo, "baseline", GREY, ":")
        labels = ax.get_legend_handles_labels()[1]
        low, high = self._limits()
        n_columns = min(2, n_legend_columns(ax, labels))
        head = headroom(ax, -(-len(labels) // n_columns))
        ax.set(xlim=(0, 1.02 * float(self.step[-1])), ylim=(low, low + (high - low) / (1 - head)))
        ax.set(xlabel="step", ylabel="ELBO (nats per row)")
        for start in self.continued:
            ax.axvline(float(self.step[start - 1]), ymax=1 - head, color=GREY, linewidth=0.7, zorder=1)
        ax.locator_params(axis="x", integer=True)
        legend_on_top(ax, labels, n_columns)
        return self

    def _with_gaps(self, values: np.ndarray[Any, Any]) -> Floats:
        return np.insert(values.astype(np.float64), self.continued, np.nan)

    def _level(self, ax: Axes, elbo: float | None, name: str, colour: str, style: str) -> Line2D | None:
        if elbo is None:
            return None
        return ax.axhline(
            elbo, color=colour, linestyle=style, linewidth=1.2, label=f"{name} {elbo:.2f}".replace("-", "−"), zorder=1.5
        )

    def _limits(self) -> tuple[float, float]:
        """Vertical limits that show all but the first evaluations of a model that knows nothing yet."""
        curves = np.append(self.train_elbo, self.held_out_elbo)
        curves = curves[np.isfinite(curves)]
        levels = [level for level in (self.kept_elbo, self.baseline_elbo) if level is not None]
        if not len(curves):
            curves = np.array([*levels, 0.0])
        best = max(curves.max(), *levels, -np.inf)
        reach = _DEEPEST * (best - np.median(curves)) or 1.0
        low = min(max(curves.min(), best - reach), *levels, np.inf)
        margin = 0.05 * (best - low) or 0.5
        return float(low - margin), float(best + margin)


def _figures(history: Iterable[Any]) -> Floats:
    """Step, training ELBO and held-out ELBO of each evaluation."""
    evaluations = list(getattr(history, "evaluations", history))
    if not evaluations:
        raise ParameterError("A history must have at least one evaluation: found none. Give that of a fitted detector.")
    rows = [one if isinstance(one, Mapping) else getattr(one, "__dict__", {}) for one in evaluations]
    for place, row in enumerate(rows):
        lacking = [name for name in _FIELDS if not Number().allows(row.get(name)) and row.get(name) == row.get(name)]
        if lacking:
            raise ParameterError(
                f"An evaluation must have numbers for {', '.join(_FIELDS)}: evaluation {place} has none for "
                f"{', '.join(lacking)}. Give the history_ of a detector, or evaluations of a History."
            )
    return np.array([[float(row[name]) for name in _FIELDS] for row in rows])
