"""Axes to draw on, and the few things that all pictures have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from vae_anomaly.decision._labelled import Floats
from vae_anomaly.errors import MissingExtraError
from vae_anomaly.plots._texts import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D

# Of Okabe & Ito (2008), "Color Universal Design": told apart with any colour vision.
BLUE: Final = "#0072B2"
VERMILION: Final = "#D55E00"
SKY: Final = "#56B4E9"
GREY: Final = "#595959"
BLACK: Final = "#000000"
PALE: Final = "#D9D9D9"
WHITE: Final = "#FFFFFF"

SMALL: Final = "small"
_WIDTH_OF_LETTER, _HEIGHT_OF_LINE = 0.55, 1.6  # of the font size; letters of the default font are about as wide
_MOST_HEADROOM, _MOST_OF_WIDTH = 0.65, 0.8
_LONGEST_NAME = 60
_WITHOUT_LABELS = 0.775  # of their place, axes have this width before any layout
_LEGEND_HANDLE = 3.2  # and the space around it
_GAP = 4
"""Points between a line and its name."""


def axes_for(ax: Axes | None, n_labels: int = 0) -> Axes:
    """The given axes, or those of a new figure, higher where many labels have to find room.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise MissingExtraError("matplotlib", "plot") from error
    if ax is not None:
        return ax
    _, new = plt.subplots(figsize=(6.4, 3.6 + 0.16 * max(0, n_labels - 5)), layout="constrained")
    new.spines[["top", "right"]].set_visible(False)
    return new


def ink(ax: Axes) -> str:
    """Black or white, whichever stands out from what the axes lie on, as styles have it dark or light."""
    from matplotlib.colors import to_rgba

    for face in (ax.get_facecolor(), ax.figure.get_facecolor()):
        red, green, blue, alpha = to_rgba(face)
        if alpha > 0:
            return BLACK if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else WHITE
    return BLACK


def across(ax: Axes) -> dict[str, Any]:
    """How a threshold is drawn: a dashed line in ink, seen on bars of any colour by a rim in that of the axes."""
    from matplotlib.patheffects import withStroke

    rim = withStroke(linewidth=2.8, foreground=WHITE if ink(ax) == BLACK else BLACK, alpha=0.6)
    return {"color": ink(ax), "linestyle": "--", "linewidth": 1.2, "path_effects": [rim]}


def headroom(ax: Axes, n_lines: int) -> float:
    """Share of the height of the axes that lines of small text take."""
    return min(_MOST_HEADROOM, n_lines * _HEIGHT_OF_LINE * _points() / _size(ax)[1])


def text_size(text: str) -> Floats:
    """About how wide and high a line of small text is, in points of 1/72 inch."""
    return _points() * np.array([_WIDTH_OF_LETTER * len(text), 1.4])


def flags(ax: Axes, at: Mapping[str, float], low: float, n_lines_above: int = 0) -> list[Line2D]:
    """A vertical line at each place, with its name on top, beside it and never across another line.

    The names stand in steps: where they are to the right of their lines, lines further right are lower, and the other
    way round. Call it when the limits of the axes are set; where a name does not fit, the horizontal ones are widened.

    Parameters
    ----------
    ax : matplotlib axes
        To draw on.
    at : mapping of str to float
        Place of each name on the horizontal axis.
    low : float
        Where the lines begin, on the vertical axis.
    n_lines_above : int
        Lines of text to leave free above.

    Returns
    -------
    list of Line2D
        In the order of `at`.
    """
    to_right = _widened(ax, at, to_right=True)[1] <= _widened(ax, at, to_right=False)[1]
    ax.set_xlim(*_widened(ax, at, to_right=to_right)[0])
    blended = ax.get_xaxis_transform()
    bottom = blended.inverted().transform(ax.transData.transform((ax.get_xlim()[0], low)))[1]
    order = sorted(at, key=lambda name: at[name], reverse=not to_right)
    step = headroom(ax, len(at) + n_lines_above) / max(1, len(at) + n_lines_above)
    lines = {}
    for place, name in enumerate(order):
        height = 1 - (n_lines_above + place + 0.5) * step
        (lines[name],) = ax.plot(
            [at[name]] * 2, [bottom, height], transform=blended, color=ink(ax), linewidth=1, zorder=3
        )
        ax.annotate(
            shown(name, _LONGEST_NAME),
            (at[name], height),
            (_GAP if to_right else -_GAP, 0),
            xycoords=blended,
            textcoords="offset points",
            ha="left" if to_right else "right",
            va="center",
            fontsize=SMALL,
            zorder=4,
        )
    return [lines[name] for name in at]


def view_limits(values: Floats, marks: tuple[float, ...] = ()) -> tuple[float, float]:
    """Limits that show the values and all marks, but not what lies far beyond 99.8 % of the values.

    Examples
    --------
    >>> view_limits(np.append(np.linspace(0.0, 1.0, 2_001), 1e9))
    (0.0, 1.498749)
    """
    centre, tail_low, tail_high = np.quantile(values, [0.5, 0.001, 0.999])
    low, high = min(values.min(), *marks, tail_low), max(values.max(), *marks, tail_high)
    reach_low, reach_high = min(tail_low, *marks, centre), max(tail_high, *marks, centre)
    if reach_low < centre:
        low = max(low, centre - 2 * (centre - reach_low))
    if reach_high > centre:
        high = min(high, centre + 2 * (reach_high - centre))
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        margin = 0.05 * abs(high) or 0.5
        low, high = low - margin, high + margin
    return float(low), float(high)


def most_ticks(ax: Axes, n_letters: int) -> int:
    """How many tick labels of so many letters stand beside each other with room between them."""
    from matplotlib import rcParams

    size = _points(rcParams["xtick.labelsize"])
    return max(1, int(_size(ax)[0] / (_WIDTH_OF_LETTER * size * (n_letters + 3))))


def letters_across(ax: Axes, share: float) -> int:
    """How many small letters fit in a share of the width of the axes and their labels."""
    return max(8, int(share * _size(ax)[0] / _WITHOUT_LABELS / (_WIDTH_OF_LETTER * _points())))


def lines_down(ax: Axes, n_labels: int) -> int:
    """How many lines of small text each of so many labels has room for beside the vertical axis."""
    return max(1, int(_size(ax)[1] / (n_labels * _HEIGHT_OF_LINE * 0.8 * _points())))


def whole_ticks(ax: Axes) -> None:
    """Marks at whole numbers only on the vertical axis, as rows and alerts come whole."""
    from matplotlib.ticker import MaxNLocator

    ax.yaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))


def n_legend_columns(ax: Axes, labels: list[str]) -> int:
    """How many columns a legend can have without being wider than the axes; one at least."""
    width = text_size(max(labels, key=len))[0] + _LEGEND_HANDLE * _points()
    return min(len(labels), max(1, int(_size(ax)[0] / width)))


def legend_on_top(ax: Axes, labels: list[str], n_columns: int | None = None) -> Legend:
    """A legend in the upper left corner, in this order: on one line, or on as many as so many columns take."""
    handle_of = {label: handle for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    return ax.legend(
        [handle_of[label] for label in labels],
        labels,
        loc="upper left",
        ncols=n_columns or len(labels),
        frameon=False,
        fontsize=SMALL,
        borderaxespad=0.3,
        borderpad=0.2,
        handlelength=1.2,
        columnspacing=1.2,
    )


def _widened(ax: Axes, at: Mapping[str, float], *, to_right: bool) -> tuple[tuple[float, float], float]:
    """Horizontal limits in which every name fits, and how much wider they are than those of now."""
    low, high = ax.get_xlim()
    for name, x in at.items():
        share = min(_MOST_OF_WIDTH, (_GAP + _WIDTH_OF_LETTER * _points() * len(name)) / _size(ax)[0])
        if to_right:
            high = max(high, (x - share * low) / (1 - share))
        else:
            low = min(low, (x - share * high) / (1 - share))
    before = ax.get_xlim()
    return (low, high), (high - low) / (before[1] - before[0])


def _size(ax: Axes) -> tuple[float, float]:
    """Width and height in points."""
    box = ax.get_window_extent()
    to_points = 72 / ax.figure.dpi
    return max(1.0, box.width * to_points), max(1.0, box.height * to_points)


def _points(size: str | float = SMALL) -> float:
    """A font size in points."""
    from matplotlib.font_manager import FontProperties

    return float(FontProperties(size=size).get_size_in_points())
