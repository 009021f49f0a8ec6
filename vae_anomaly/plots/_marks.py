"""Named points on a curve, the names where they cover least."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from vae_anomaly.decision._labelled import Floats
from vae_anomaly.plots._axes import GREY, SMALL, ink, text_size
from vae_anomaly.plots._texts import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_GAP = 5.0
_LONGEST_NAME = 40
_DISTANCES = (0.0, 10.0, 22.0, 36.0, 54.0, 76.0)
_DIRECTIONS = ((1.0, 0.0), (-1.0, 0.0), *product((1.0, -1.0, 0.0, 0.5, -0.5), (1.0, -1.0)))
"""To the sides, and above and below in five places each."""
_COVERED, _CROSSED = 1_000.0, 30.0
"""What covering a dot or a name costs, and each point beyond the axes; and each point of a line across a name."""
_SPACING, _DOT, _FAR = 3.0, 3.0, 99.0
"""Between the points of the curve that count, from the middle of a dot to its edge, and how far off the axes the curve
is followed, in points of 1/72 inch."""


@dataclass(frozen=True)
class _Box:
    """A rectangle around a centre, in points of 1/72 inch."""

    centre: Floats
    half: Floats

    def holds(self, points: Floats) -> int:
        """How many of the points lie in it."""
        return int((np.abs(points - self.centre) <= self.half).all(axis=1).sum())

    def meets(self, other: _Box) -> bool:
        """Whether they overlap."""
        return bool((np.abs(self.centre - other.centre) < self.half + other.half).all())

    def beyond(self, low: Floats, high: Floats) -> float:
        """How far it reaches out of two corners."""
        outside = np.maximum(low - (self.centre - self.half), 0) + np.maximum(self.centre + self.half - high, 0)
        return float(outside.sum())


def name_points(ax: Axes, points: Mapping[str, tuple[float, float]], head: float = 0.0) -> Line2D:
    """Dots with their names, each beside its dot where it covers no other name and as little of the lines as can be.

    A name that finds room only further off is joined to its dot. Call it when the limits of the axes are set.

    Parameters
    ----------
    ax : matplotlib axes
        To draw on.
    points : mapping of str to two floats
        Name, and place in the axes' units.
    head : float
        Share of the height, at the top, that is taken.

    Returns
    -------
    Line2D
        The dots.
    """
    at = np.array(list(points.values()), dtype=np.float64).reshape(-1, 2)
    lines = [line for line in ax.get_lines() if line.get_linestyle() != "None"]
    (dots,) = ax.plot(at[:, 0], at[:, 1], "o", color=ink(ax), markersize=4.5, zorder=4)
    _lay_out(ax)
    scale = 72 / ax.figure.dpi
    frame = ax.get_window_extent()
    low, high = np.array([frame.x0, frame.y0]) * scale, np.array([frame.x1, frame.y1 - head * frame.height]) * scale
    places = ax.transData.transform(at) * scale
    vertices = [line.get_transform().transform(line.get_path().vertices) * scale for line in lines]
    drawn = np.concatenate([_along(np.clip(of_line, low - _FAR, high + _FAR)) for of_line in vertices])
    names = [shown(name, _LONGEST_NAME) for name in points]
    boxes = _boxes(names, places, (low, high), drawn)
    for name, place, xy, box in zip(names, places, at, boxes, strict=True):
        _name(ax, name, xy, box.centre - place)
    return dots


def _boxes(names: list[str], places: Floats, corners: tuple[Floats, Floats], drawn: Floats) -> list[_Box]:
    """Where each name does best beside all dots and the names before it."""
    taken = [_Box(place, np.full(2, _DOT)) for place in places]
    for name, place in zip(names, places, strict=True):
        tried = [_beside(place, text_size(name) / 2, *how) for how in product(_DISTANCES, _DIRECTIONS)]
        costs = [_cost(box, place, taken, corners, drawn) for box in tried]
        taken.append(tried[int(np.argmin(costs))])
    return taken[len(names) :]


def _cost(box: _Box, place: Floats, taken: list[_Box], corners: tuple[Floats, Floats], drawn: Floats) -> float:
    joint = _joint(place, box)
    return (
        _COVERED * (sum(box.meets(other) for other in taken) + box.beyond(*corners))
        + _CROSSED * (box.holds(drawn) + sum(other.holds(joint) for other in taken))
        + float(np.hypot(*(box.centre - place)))
    )


def _lay_out(ax: Axes) -> None:
    """Move the axes to where they will be drawn: names keep their distance in points, while dots move with the axes."""
    figure = ax.figure.canvas.figure
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)


def _name(ax: Axes, name: str, xy: Floats, offset: Floats) -> None:
    joined = bool((np.abs(offset) > text_size(name) / 2 + _GAP + 1).any())
    joint = {"arrowstyle": "-", "color": GREY, "linewidth": 0.7, "shrinkA": 1, "shrinkB": 3}
    ax.annotate(
        name,
        tuple(xy.tolist()),
        tuple(offset.tolist()),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=SMALL,
        zorder=4,
        arrowprops=joint if joined else None,
    )


def _beside(place: Floats, half: Floats, distance: float, direction: tuple[float, float]) -> _Box:
    """A box of this size on one side of a place, or at a corner."""
    return _Box(place + np.array(direction) * (half + _GAP + distance), half)


def _joint(place: Floats, box: _Box) -> Floats:
    """Points of the line from a dot to its name, a little off the dot."""
    return place + np.linspace(0.3, 1, 8)[:, None] * (box.centre - place)


def _along(vertices: Floats) -> Floats:
    """Points of a line at even distances."""
    lengths = np.hypot(*np.diff(vertices, axis=0).T)
    walked = np.append(0.0, np.cumsum(lengths))
    at = np.arange(0.0, walked[-1] + _SPACING, _SPACING)
    return np.column_stack([np.interp(at, walked, vertices[:, axis]) for axis in (0, 1)])
