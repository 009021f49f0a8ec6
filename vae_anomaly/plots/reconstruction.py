"""How well each column is told, and whether a detector is as sure as it may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import pandas as pd

from vae_anomaly._params import Number, OneOf, Rule, check_params
from vae_anomaly.errors import TableError
from vae_anomaly.plots._axes import (
    BLUE,
    GREY,
    SMALL,
    VERMILION,
    axes_for,
    headroom,
    ink,
    legend_on_top,
    letters_across,
)
from vae_anomaly.plots._texts import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_EXPLAINED, _CALIBRATION = "explained", "calibration"
_RULES: dict[str, tuple[Rule, ...]] = {
    "what": (OneOf((_EXPLAINED, _CALIBRATION)),),
    "max_lines": (Number(1, 200, integer=True),),
}
_NEEDED = ("column", "part", "n_observed", "rmse", "explained", "accuracy", "baseline_accuracy")
_COVERAGE: Final = {"coverage_50": ("o", 0.5), "coverage_80": ("s", 0.8), "coverage_95": ("^", 0.95)}
_NUMBERS, _LEVELS = "numbers and times (R²)", "levels (cross-entropy)"
_SINGLE = ("value", "level")
_LONGEST_NAME = 32
_SHARE_OF_WIDTH, _MOST_OF_WIDTH = 0.7, 0.6
"""Of the figure, for bars and what is said of them; and of that for a text."""
_WORST = -0.2
"""Below it bars are cut: how much worse than nothing a column is told says little."""


class ReconstructionDisplay:
    """How well each column is told, or how often cells lie within what is expected of them.

    Made by `from_estimator` or `from_quality`. "explained" has a bar for each column, from 0, where it is told no
    better than by its mean or its shares, to 1; columns that are told best lead. "calibration" has, for each column,
    the share of the cells within the middle 50, 80 and 95 % of what is expected: on the line of their share where the
    predicted spread is right, to the right of it where that is too wide, and to the left where it is too narrow.

    Parameters
    ----------
    quality : DataFrame
        As `reconstruction_quality` gives it.
    max_lines : int
        Most lines to show; of more the worst told.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the picture.
    figure_ : matplotlib Figure
        That the axes belong to.
    shown_ : DataFrame
        The lines of `quality` that are drawn, from below.

    See Also
    --------
    vae_anomaly.reconstruction_quality : The figures.

    Examples
    --------
    >>> import numpy as np
    >>> from vae_anomaly import VAEDetector
    >>> from vae_anomaly.plots import ReconstructionDisplay
    >>> X = np.random.default_rng(0).normal(size=(500, 3)).cumsum(axis=1)
    >>> detector = VAEDetector(max_steps=100, n_members=1).fit(X)
    >>> ReconstructionDisplay.from_estimator(detector, X).ax_.get_xlabel()
    'share explained by the reconstruction'
    """

    ax_: Axes
    figure_: Figure
    shown_: pd.DataFrame

    def __init__(self, *, quality: pd.DataFrame, conditional: bool = False, max_lines: int = 30) -> None:
        self.quality = quality
        self.conditional = conditional
        self.max_lines = max_lines

    @classmethod
    def from_estimator(
        cls,
        detector: Any,
        X: Any,
        *,
        conditional: bool = False,
        max_rows: int | None = 10_000,
        what: str = _EXPLAINED,
        max_lines: int = 30,
        ax: Axes | None = None,
    ) -> Self:
        """Measure how well a detector tells the columns of rows, and draw it.

        Parameters
        ----------
        detector, X, conditional, max_rows
            As in `reconstruction_quality`.
        what, max_lines, ax
            As in `from_quality`.

        Returns
        -------
        ReconstructionDisplay
            With the picture in `ax_`.

        Raises
        ------
        ParameterError, TableError, MissingExtraError
            As in `reconstruction_quality` and `from_quality`.
        """
        check_params("ReconstructionDisplay", {"what": what, "max_lines": max_lines}, _RULES)
        from vae_anomaly.diagnostics import reconstruction_quality  # it brings torch, which other pictures do without

        quality = reconstruction_quality(detector, X, conditional=conditional, max_rows=max_rows)
        return cls.from_quality(quality, conditional=conditional, what=what, max_lines=max_lines, ax=ax)

    @classmethod
    def from_quality(
        cls,
        quality: pd.DataFrame,
        *,
        conditional: bool = False,
        what: str = _EXPLAINED,
        max_lines: int = 30,
        ax: Axes | None = None,
    ) -> Self:
        """Draw what was measured.

        Parameters
        ----------
        quality : DataFrame
            As `reconstruction_quality` gives it.
        conditional : bool, default=False
            Whether each cell was told from the others alone, for the label.
        what : {"explained", "calibration"}, default="explained"
            Which of the two pictures.
        max_lines : int, default=30
            Most lines to show; of more those that are told worst, which the label says.
        ax : matplotlib Axes, optional
            To draw on; those of a new figure by default.

        Returns
        -------
        ReconstructionDisplay
            With the picture in `ax_`.

        Raises
        ------
        TableError
            Columns of the frame are missing, or no line has anything to show.
        ParameterError
            `what` or `max_lines` is outside its domain.
        MissingExtraError
            matplotlib is not installed.
        """
        check_params("ReconstructionDisplay", {"what": what, "max_lines": max_lines}, _RULES)
        lacking = [name for name in (*_NEEDED, *_COVERAGE) if name not in getattr(quality, "columns", ())]
        if lacking:
            raise TableError(f"Expected the frame of reconstruction_quality: found none of its columns {lacking}.")
        return cls(quality=quality, conditional=conditional, max_lines=max_lines).plot(ax, what=what)

    def plot(self, ax: Axes | None = None, *, what: str = _EXPLAINED) -> Self:
        """Draw it again.

        Parameters
        ----------
        ax, what
            As in `from_quality`.

        Returns
        -------
        ReconstructionDisplay
            Itself.
        """
        check_params("ReconstructionDisplay", {"what": what, "max_lines": self.max_lines}, _RULES)
        needed = "explained" if what == _EXPLAINED else "coverage_50"
        lines = self.quality[self.quality[needed].notna()].sort_values("explained", kind="stable")
        if lines.empty:
            raise TableError("Expected a column with something to tell: found none whose cells differ and are there.")
        self.shown_ = lines.head(self.max_lines).reset_index(drop=True)
        self.ax_ = ax = axes_for(ax, len(self.shown_) + 2)
        self.figure_ = ax.figure  # type: ignore[assignment]
        label = self._bars(ax) if what == _EXPLAINED else self._marks(ax)
        n_left = len(lines) - len(self.shown_)
        ax.set_xlabel(f"{label}; {n_left:,} better ones left out" if n_left else label)
        names = [_name(column, part) for column, part in zip(self.shown_["column"], self.shown_["part"], strict=True)]
        ax.set_yticks(np.arange(len(names)), [shown(name, _LONGEST_NAME) for name in names], fontsize=SMALL)
        ax.tick_params(axis="y", length=0)
        return self

    def _bars(self, ax: Axes) -> str:
        explained = np.maximum(self.shown_["explained"].to_numpy(np.float64), _WORST)
        levels = self.shown_["accuracy"].notna().to_numpy()
        for kind, colour, rows in ((_NUMBERS, BLUE, ~levels), (_LEVELS, VERMILION, levels)):
            if rows.any():
                ax.barh(np.flatnonzero(rows), explained[rows], 0.7, color=colour, label=kind)
        ax.axvline(0, color=ink(ax), linewidth=0.8)
        ends, texts = np.maximum(0.0, explained), [_told(line) for line in self.shown_.itertuples()]
        for place, (end, text) in enumerate(zip(ends.tolist(), texts, strict=True)):
            ax.annotate(text, (end, place), (4, 0), textcoords="offset points", va="center", fontsize=SMALL)
        low, width = min(0.0, float(explained.min())) - 0.02, letters_across(ax, _SHARE_OF_WIDTH)
        shares = np.minimum(_MOST_OF_WIDTH, np.array([len(text) + 1 for text in texts]) / width)
        ax.set_xlim(low, max(1.02, float((low + (ends - low) / (1 - shares)).max())))
        ax.set_xticks([0, 0.25, 0.5, 0.75, 1])
        self._legend(ax, [kind for kind, rows in ((_NUMBERS, ~levels), (_LEVELS, levels)) if rows.any()])
        return f"share explained by the {'other columns' if self.conditional else 'reconstruction'}"

    def _marks(self, ax: Axes) -> str:
        names = {}
        for (name, (marker, level)), colour in zip(_COVERAGE.items(), (BLUE, VERMILION, ink(ax)), strict=True):
            shares = self.shown_[name].to_numpy(np.float64)
            names[name] = f"{100 * level:.0f} %"
            ax.axvline(level, color=colour, linewidth=1.0, zorder=1)
            ax.plot(shares, np.arange(len(shares)), marker, color=colour, markersize=6, label=names[name], zorder=3)
        ax.hlines(np.arange(len(self.shown_)), 0, 1, color=GREY, alpha=0.4, linewidth=0.5, zorder=0.5)
        ax.set_xlim(-0.02, 1.02)
        self._legend(ax, list(names.values()))
        return f"share of the cells within what is expected{' from the other columns' if self.conditional else ''}"

    def _legend(self, ax: Axes, labels: list[str]) -> None:
        """Room above the lines, and the legend in it."""
        n_lines, head = len(self.shown_), headroom(ax, 1)
        ax.set_ylim(-0.6, -0.6 + (n_lines + 0.2) / (1 - head))
        legend_on_top(ax, labels)


def _name(column: str, part: str) -> str:
    return column if part in _SINGLE else f"{column}, {part}"


def _told(line: Any) -> str:
    """What else is known of a line."""
    explained = f"{100 * line.explained:.0f} %".replace("-", "−")
    if np.isnan(line.accuracy):
        return f"{explained}, error {line.rmse:.2g}" + ("" if line.part != "value" else " sd")
    return f"{explained}, {100 * line.accuracy:.0f} % right (commonest: {100 * line.baseline_accuracy:.0f} %)"
