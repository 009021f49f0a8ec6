"""Axes of shares, from 0 to 1, with a legend above."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from vae_anomaly.plots._axes import headroom, legend_on_top

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARGIN = 0.02


def share_axis(ax: Axes, axis: Literal["x", "y"], head: float = 0.0) -> None:
    """Limits from 0 to 1, with a share of the axis free beyond, which has no ticks."""
    low, high = -_MARGIN, 1 + _MARGIN
    limits = low, low + (high - low) / (1 - head)
    ax.set(**{f"{axis}lim": limits, f"{axis}ticks": np.linspace(0, 1, 6)})


def legend_of_lines(ax: Axes, last: str) -> float:
    """A legend of all that is named on the axes, a line for each, above shares from 0 to 1 on the vertical axis.

    Parameters
    ----------
    ax : matplotlib axes
        With all that is drawn.
    last : str
        The name to put last.

    Returns
    -------
    float
        Share of the height that the legend takes.
    """
    labels = sorted(dict.fromkeys(ax.get_legend_handles_labels()[1]), key=lambda label: label == last)
    head = headroom(ax, len(labels))
    share_axis(ax, "y", head)
    legend_on_top(ax, labels, n_columns=1)
    return head
