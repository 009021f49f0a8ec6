"""Why a row scores as it does: its score as a sum of bars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from sklearn.utils import _safe_indexing

from vae_anomaly._params import Number, OneOf, check_params
from vae_anomaly._telling import cell_text
from vae_anomaly.decision._labelled import Floats
from vae_anomaly.decision.calibration_rows import as_segments
from vae_anomaly.decision.reasons import LEVELS
from vae_anomaly.errors import ParameterError, TableError
from vae_anomaly.plots._axes import BLUE, GREY, SMALL, VERMILION, across, axes_for, letters_across, lines_down
from vae_anomaly.plots._texts import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_NEEDED = ("row", "rank", "column", "observed", "share", "sentence")
_RULES = {
    "row": (Number(0, integer=True),),
    "n_reasons": (Number(1, integer=True),),
    "threshold": (Number(), OneOf((None,))),
}
_LINES_OF_SENTENCE = 3
_SHARE_OF_WIDTH = 0.42
_LETTERS_OF_NUMBER = 9
_FAR_OFF = 2.0
"""How many times the bars' reach the axis is drawn out to show 0."""


@dataclass(frozen=True)
class Term:
    """A bar.

    Parameters
    ----------
    name : str
        Such as "amount 912.4".
    nats : float
        What it adds to the score.
    sentence : str
        The reason in plain words; as the name where there is none.
    """

    name: str
    nats: float
    sentence: str


class ReasonsDisplay:
    """The anomaly score of one row as a waterfall: from a usual row to this one, a bar for each term.

    Made by `from_estimator` or `from_predictions`. The bars add up: the columns that are reasons, the most unusual
    first, the other columns together, and what belongs to no column. Each says how many nats the column adds to the
    score beyond what it usually adds, so that the first bar stands where every column would be as usual. Where 0 is far
    off, the axis leaves it out, and the first and the last bar are cut.

    Parameters
    ----------
    terms : sequence of Term
        The bars, from the first.
    start : float
        Where they begin: what the columns usually add together, in nats.
    whole : bool
        Whether the terms make up the whole score.
    threshold : float or None
        Score above which a row alerts.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the picture.
    figure_ : matplotlib Figure
        That the axes belong to.
    bars_ : matplotlib BarContainer
        One for the start unless that is 0, one for each term, and one for the score.
    line_ : matplotlib Line2D or None
        The threshold.

    See Also
    --------
    vae_anomaly.VAEDetector.explain : The frame that is drawn.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from vae_anomaly import VAEDetector
    >>> from vae_anomaly.plots import ReasonsDisplay
    >>> rng = np.random.default_rng(0)
    >>> net = rng.gamma(9, 9, 2_000).round(2)
    >>> rows = pd.DataFrame({"net": net, "gross": (net * 1.2).round(2), "days": rng.integers(5, 30, 2_000)})
    >>> detector = VAEDetector(max_steps=300, n_members=1).fit(rows)
    >>> odd = pd.DataFrame({"net": [70.0], "gross": [184.0], "days": [14]})
    >>> display = ReasonsDisplay.from_estimator(detector, odd, n_reasons=1)
    >>> [term.name for term in display.terms]
    ['gross 184', '2 other columns', 'KL']
    >>> bool(np.isclose(display.score, detector.anomaly_score(odd)[0]))
    True
    """

    ax_: Axes
    figure_: Figure
    bars_: BarContainer
    line_: Line2D | None

    def __init__(
        self, *, terms: list[Term], start: float = 0.0, whole: bool = True, threshold: float | None = None
    ) -> None:
        self.terms = terms
        self.start = start
        self.whole = whole
        self.threshold = threshold

    @property
    def score(self) -> float:
        """Where the bars end: the anomaly score, in nats."""
        return self.start + sum(term.nats for term in self.terms)

    @classmethod
    def from_estimator(
        cls,
        detector: Any,
        X: Any,
        row: int = 0,
        *,
        n_reasons: int = 8,
        groups: Any = None,
        conditional: bool = True,
        sentences: bool = False,
        ax: Axes | None = None,
    ) -> Self:
        """Explain a row, and draw it; the threshold is marked where there is one.

        Parameters
        ----------
        detector : VAEDetector or CalibratedDetector
            Fitted; the latter with a `VAEDetector` in it.
        X : table of shape (n_samples, n_features)
            With the row.
        row : int, default=0
            Place of the row in `X`, from 0.
        groups : array-like of shape (n_samples,), optional
            Segment of each row, as in `CalibratedDetector.predict`: the threshold is that of the row's segment.
        conditional : bool, default=True
            As in `VAEDetector.explain`.
        n_reasons, sentences, ax
            As in `from_predictions`.

        Returns
        -------
        ReasonsDisplay
            With the picture in `ax_`.

        Raises
        ------
        ParameterError
            The detector explains nothing, or has no segments, or a parameter is outside its domain.
        TableError
            There is no such row, `groups` has not one entry for each, or the columns differ from those of `fit`.
        MissingExtraError
            matplotlib is not installed.
        """
        check_params("ReasonsDisplay", {"row": row, "n_reasons": n_reasons, "threshold": None}, _RULES)
        model = getattr(detector, "estimator_", detector)
        if not hasattr(model, "usual_"):
            raise ParameterError(
                f"Reasons need a fitted VAEDetector, whose score is a sum over columns. Got {type(model).__name__} "
                "instead: fit a VAEDetector, alone or in a CalibratedDetector."
            )
        n_rows = len(X)
        if row >= n_rows:
            raise TableError(f"Expected a row number below the number of rows, {n_rows:,}: found {row:,}.")
        reasons = model.explain(_safe_indexing(X, [row]), n_reasons=None, conditional=conditional)
        threshold = _threshold(detector, row, groups, n_rows)
        display = cls._of_lines(_lines(reasons, 0), n_reasons, _usual_shares(model), threshold, whole=True)
        return display.plot(ax, sentences=sentences)

    @classmethod
    def from_predictions(
        cls,
        reasons: pd.DataFrame,
        row: int = 0,
        *,
        n_reasons: int = 8,
        usual: Mapping[str, float] | None = None,
        threshold: float | None = None,
        sentences: bool = False,
        ax: Axes | None = None,
    ) -> Self:
        """Draw a row of a frame of reasons.

        Parameters
        ----------
        reasons : DataFrame
            As of ``VAEDetector.explain(X, n_reasons=None)``. With fewer reasons, the bars end at the sum of these.
        row : int, default=0
            Which row: a number in the column of that name.
        n_reasons : int, default=8
            Most columns that have a bar of their own.
        usual : mapping of str to float, optional
            What a column usually adds to the score, in nats, from which its bar is measured. Without it all bars are
            measured from 0, and a number that fits well has one to the left.
        threshold : float, optional
            Score above which a row alerts, to mark.
        sentences : bool, default=False
            Name bars by the sentence of each reason, rather than by column and cell.
        ax : matplotlib Axes, optional
            To draw on; those of a new figure by default. With a layout that makes room for labels, such as
            ``layout="constrained"``.

        Returns
        -------
        ReasonsDisplay
            With the picture in `ax_`.

        Raises
        ------
        TableError
            Columns of the frame are missing, or there is no such row.
        ParameterError
            A parameter is outside its domain.
        MissingExtraError
            matplotlib is not installed.
        """
        given = {"row": row, "n_reasons": n_reasons, "threshold": threshold}
        check_params("ReasonsDisplay", given, _RULES)
        lines = _lines(reasons, row)
        whole = bool(lines["column"].isna().any())
        return cls._of_lines(lines, n_reasons, usual or {}, threshold, whole=whole).plot(ax, sentences=sentences)

    @classmethod
    def _of_lines(
        cls, lines: pd.DataFrame, n_reasons: int, usual: Mapping[str, float], threshold: float | None, *, whole: bool
    ) -> Self:
        """Bars for the first columns, the others together, and the terms of no column."""
        of_column = lines["column"].notna()
        names = lines.loc[of_column, "column"].tolist()
        before = [float(usual.get(name, 0.0)) for name in names]
        nats = lines.loc[of_column, "share"].to_numpy(np.float64) - before
        first = lines[of_column].head(n_reasons)
        told = zip(names, first["observed"], nats.tolist(), first["sentence"], strict=False)
        terms = [_term(*line) for line in told]
        n_others = len(names) - len(terms)
        if n_others:
            name = f"{n_others:,} other column{'s' if n_others > 1 else ''}"
            terms.append(Term(name, float(nats[n_reasons:].sum()), name))
        rest = lines[~of_column]
        terms += [
            Term(str(kind), float(share), str(kind)) for kind, share in zip(rest["kind"], rest["share"], strict=True)
        ]
        return cls(terms=terms, start=sum(before), whole=whole, threshold=threshold)

    def plot(self, ax: Axes | None = None, *, sentences: bool = False) -> Self:
        """Draw it again.

        Parameters
        ----------
        ax, sentences
            As in `from_predictions`.

        Returns
        -------
        ReasonsDisplay
            Itself.
        """
        check_params("ReasonsDisplay", {"sentences": sentences}, {"sentences": (OneOf((True, False)),)})
        name = "anomaly score" if self.whole else "these together"
        first = [Term("every column as usual", self.start, "every column as usual")] if self.start else []
        bars = [*first, *self.terms, Term(name, self.score, name)]
        self.ax_ = ax = axes_for(ax, len(bars) * (2 if sentences else 1))
        self.figure_ = ax.figure  # type: ignore[assignment]
        width = np.array([bar.nats for bar in bars])
        ends = np.append(np.cumsum(width[:-1]), self.score)
        is_sum = np.repeat([True, False, True], [len(first), len(self.terms), 1])
        colours = np.where(is_sum, GREY, np.where(width > 0, VERMILION, BLUE))
        self.bars_ = ax.barh(np.arange(len(bars)), width, 0.7, ends - width, color=colours, zorder=2)
        for place, end in enumerate(ends[:-1]):  # from the end of each bar down to the next
            ax.plot([end] * 2, [place - 0.35, place + 1.35], color=GREY, linewidth=0.7, zorder=1)
        self._limits(ax, ends)
        for place, (bar, end) in enumerate(zip(bars, ends, strict=True)):
            beside = end if is_sum[place] else max(end, end - bar.nats)
            number = f"{bar.nats:.2f}" if is_sum[place] else f"{bar.nats:+.2f}"
            _say(ax, number, (beside, place), left=bool(is_sum[place]) and bar.nats < 0)
        self.line_ = self._mark_threshold(ax)
        most = letters_across(ax, _SHARE_OF_WIDTH)
        n_lines = min(_LINES_OF_SENTENCE, lines_down(ax, len(bars))) if sentences else 1
        names = [_worded(bar.sentence if sentences else bar.name, most, n_lines) for bar in bars]
        ax.set_yticks(np.arange(len(bars)), names, fontsize=SMALL)
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(len(bars) - 0.5, -0.6)
        ax.set_xlabel("anomaly score (nats)")
        return self

    def _limits(self, ax: Axes, ends: Floats) -> None:
        """Horizontal limits, numbers beside the bars included; without 0 where only sums begin there and it is far."""
        places = [*ends.tolist(), *([self.threshold] if self.threshold is not None else [])]
        low, high = min(places), max(places)
        if not self.start or low - _FAR_OFF * (high - low) <= 0 <= high + _FAR_OFF * (high - low):
            low, high = min(low, 0.0), max(high, 0.0)
        room = (high - low or 1.0) / max(2.0, (1 - _SHARE_OF_WIDTH) * letters_across(ax, 1.0) / _LETTERS_OF_NUMBER - 1)
        ax.set_xlim(low - (room if low else 0.0), high + room)

    def _mark_threshold(self, ax: Axes) -> Line2D | None:
        if self.threshold is None:
            return None
        line = ax.axvline(self.threshold, zorder=3, **across(ax))
        ax.annotate(
            "alerts beyond",
            (self.threshold, 1.0),
            (0, 2),
            xycoords=ax.get_xaxis_transform(),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=SMALL,
        )
        return line


def _threshold(detector: Any, row: int, groups: Any, n_rows: int) -> float | None:
    """Score above which a row alerts; None where a rule decides by the batch."""
    if not hasattr(detector, "offset_"):
        return None
    if groups is None:
        return -float(detector.offset_)
    if not hasattr(detector, "calibration_"):
        raise ParameterError(
            "The 'groups' parameter of ReasonsDisplay needs a CalibratedDetector, which has thresholds of segments. "
            f"Got them with {type(detector).__name__} instead."
        )
    segment = as_segments(groups, n_rows, name="groups")[[row]]
    return float(detector.calibration_.thresholds([0.0], segment)[0])


def _lines(reasons: pd.DataFrame, row: int) -> pd.DataFrame:
    """The lines of one row, by rank."""
    lacking = [name for name in (*_NEEDED, "kind") if name not in getattr(reasons, "columns", ())]
    if lacking:
        raise TableError(
            f"Expected the frame of VAEDetector.explain(X, n_reasons=None): found none of its columns {lacking}."
        )
    lines = reasons[reasons["row"] == row].sort_values("rank", kind="stable")
    if lines.empty:
        raise TableError(f"Expected reasons of row {row}: found those of {reasons['row'].nunique():,} other rows.")
    return lines


def _term(column: str, cell: Any, nats: float, sentence: str) -> Term:
    gap = cell is None or cell is pd.NaT or cell is pd.NA or (isinstance(cell, float) and np.isnan(cell))
    return Term(f"{column} {'missing' if gap else cell_text(cell)}", nats, str(sentence))


def _say(ax: Axes, number: str, at: tuple[float, int], *, left: bool) -> None:
    """A number beside the end of a bar, readable on lines."""
    from matplotlib.patheffects import withStroke

    ax.annotate(
        number.lstrip("+-") if float(number) == 0 else number.replace("-", "−"),
        at,
        (-3 if left else 3, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        va="center",
        fontsize=SMALL,
        zorder=4,
        path_effects=[withStroke(linewidth=2.5, foreground=ax.get_facecolor())],
    )


def _worded(text: str, most: int, n_lines: int) -> str:
    """A text on a few short lines."""
    if n_lines == 1:
        return shown(text, most)
    lines = wrap(text, most, max_lines=n_lines, placeholder="…")
    return "\n".join(shown(line, most) for line in lines)


def _usual_shares(model: Any) -> dict[str, float]:
    """What each column adds to the score where it surprises as much as it does in half of the held-out rows."""
    layout, schema = model.schema_.layout(), model.schema_
    weight = model._score_weights()[0]
    weight = np.ones(layout.n_parts) if weight is None else weight
    columns = np.asarray(layout.column_of_part)
    mean_weight = np.bincount(columns, weight, len(layout.columns)) / np.bincount(
        columns, minlength=len(layout.columns)
    )
    shares = model.usual_["plain"].quantiles[np.searchsorted(LEVELS, 50)] * mean_weight
    return dict(zip(schema.modelled, shares.tolist(), strict=True))
