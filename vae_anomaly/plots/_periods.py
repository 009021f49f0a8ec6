"""Days and hours along the horizontal axis: bars, or steps where there are many, and dates that stand apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.plots._axes import most_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FEW_BARS, _MOST_BARS, _MOST_TICKS = 5, 60, 8


def bars(
    ax: Axes,
    start: NDArray[np.datetime64],
    ends: tuple[NDArray[Any], NDArray[Any]],
    colour: str,
    label: str,
    per: str,
) -> None:
    """A bar for each period from its lower to its upper end, or steps where there are too many bars to see.

    Parameters
    ----------
    ax : matplotlib axes
        To draw on.
    start : datetime64 ndarray of shape (n_periods,)
        When each period begins; none is left out.
    ends : two ndarrays of shape (n_periods,)
        Lower and upper end of each bar.
    colour, label : str
        Of all bars.
    per : "day" or "hour"
        The period.
    """
    low, high = ends
    if len(start) <= _MOST_BARS:
        width = 0.8 * (1 if per == "day" else 1 / 24)
        ax.bar(start, high - low, width, low, color=colour, label=label)
        few = max(0.0, _FEW_BARS - len(start)) / 2 * width
        ax.margins(x=0.02 if not few else few / (len(start) * width))
    else:
        half = (start[1] - start[0]).astype("timedelta64[m]") / 2
        edges = np.append(start - half, start[-1] + half)
        tops, bottoms = np.append(high, high[-1]), np.append(low, low[-1])
        ax.fill_between(edges, bottoms, tops, step="post", color=colour, linewidth=0, label=label)


def period_ticks(ax: Axes, start: NDArray[np.datetime64], per: str) -> None:
    """Whole periods only, few enough to read, with the year where the axis begins."""
    shown = start[:: -(-len(start) // min(_MOST_TICKS, most_ticks(ax, len("28 Feb"))))]
    ax.set_xticks(shown, [_day(moment) if per == "day" else _hour(moment) for moment in shown.tolist()])
    first, last = start[0].astype("datetime64[D]").item(), start[-1].astype("datetime64[D]").item()
    span = f"{_day(first)} {first.year}" + ("" if first == last else f" to {_day(last)} {last.year}")
    ax.set_xlabel(f"{per}, {span}")


def _day(moment: Any) -> str:
    return f"{moment.day} {moment:%b}"


def _hour(moment: Any) -> str:
    return f"{moment:%H:%M}\n{_day(moment)}"
