"""Rows in colours that can be told apart with any colour vision: shades of numbers, and colours of groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import narwhals.stable.v2 as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from vae_anomaly._telling import cell_text
from vae_anomaly.decision._labelled import Floats
from vae_anomaly.errors import ParameterError, TableError
from vae_anomaly.plots._axes import BLACK, BLUE, GREY, SKY, VERMILION, headroom, ink, legend_on_top, n_legend_columns
from vae_anomaly.plots._texts import shown
from vae_anomaly.table.cells import MOMENT, is_moment, is_number
from vae_anomaly.table.frames import as_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection

# Of Okabe & Ito (2008), as in `_axes`, those that stand out from white and from black.
_COLOURS: Final = (SKY, VERMILION, "#009E73", "#CC79A7", "#E69F00", BLUE, "#A6761D")
_MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
_OTHERS, _MISSING, _ROWS = "others", "missing", "rows"
_LONGEST_NAME, _DAY = 24, 86_400e6
_FEWEST, _MOST = 5.0, 26.0
_INK = 30_000.0
"""Area of all points together, in square points of 1/72 inch, within the limits of a single one."""


@dataclass(frozen=True)
class Shades:
    """Numbers, or days since 1970, of rows; NaN where there is none.

    Parameters
    ----------
    name : str
        What they are; empty where that is not known.
    values : float64 ndarray of shape (n_rows,)
        The numbers.
    dates : bool
        Whether they are days since 1970.
    """

    name: str
    values: Floats
    dates: bool = False

    def __getitem__(self, rows: NDArray[np.intp]) -> Shades:
        return Shades(self.name, self.values[rows], self.dates)


@dataclass(frozen=True)
class Groups:
    """A group for each row.

    Parameters
    ----------
    names : tuple of str
        Of the groups.
    of_row : intp ndarray of shape (n_rows,)
        Which one.
    """

    names: tuple[str, ...]
    of_row: NDArray[np.intp]

    @classmethod
    def of_texts(cls, texts: Iterable[str | None]) -> Groups:
        """The commonest texts, the others together, and the rows without one.

        Examples
        --------
        >>> Groups.of_texts(["b", None, "a", "b"])
        Groups(names=('b', 'a', 'missing'), of_row=array([0, 2, 1, 0]))
        """
        cells = list(texts)
        counts = Counter(cell for cell in cells if cell is not None).most_common()
        n_own = len(_COLOURS) if len(counts) <= len(_COLOURS) else len(_COLOURS) - 1
        names = [name for name, _ in counts[:n_own]]
        place: dict[str | None, int] = {name: i for i, name in enumerate(names)}
        if len(counts) > n_own:
            place |= {name: len(names) for name, _ in counts[n_own:]}
            names.append(f"{len(counts) - n_own:,} {_OTHERS}")
        if None in cells:
            place[None] = len(names)
            names.append(_MISSING)
        return cls(tuple(names), np.array([place[cell] for cell in cells], dtype=np.intp))

    def has_colour(self, group: int) -> bool:
        """Whether a group is one of its own, and not what is left."""
        name = self.names[group]
        return name != _MISSING and not name.endswith(f" {_OTHERS}")

    def colour(self, group: int) -> str:
        """The colour of a group."""
        return _COLOURS[group] if self.has_colour(group) else GREY

    def __getitem__(self, rows: NDArray[np.intp]) -> Groups:
        return Groups(self.names, self.of_row[rows])


Colours = Shades | Groups


def colours_of_values(values: ArrayLike | None, n_rows: int) -> Colours:
    """Colours of what is given for each row: numbers, texts, or labels that are 1 for an anomaly and 0 else.

    Raises
    ------
    TableError
        There is not one value for each row.
    """
    if values is None:
        return Groups((_ROWS,), np.zeros(n_rows, dtype=np.intp))
    name = str(getattr(values, "name", None) or "")
    cells = as_table(_frame_of(values, name or "value")).cells(0, mixed_as_text=True)
    if len(cells) != n_rows:
        raise TableError(f"Expected one value to colour by for each of the {n_rows:,} rows. Found {len(cells):,}.")
    labels = _labels(cells)
    return _colours(cells, name) if labels is None else Groups(("normal rows", "anomalies"), labels)


def colours_of_column(X: Any, name: str, *, levels: bool) -> Colours:
    """Colours of a column of a table.

    Parameters
    ----------
    X : table
        Rows.
    name : str
        Of the column; x0, x1, ... of an array.
    levels : bool
        Whether its numbers are but names.

    Raises
    ------
    ParameterError
        The table has no such column.
    """
    table = as_table(X)
    if name not in table.names:
        listed = ", ".join(table.names[:20]) + (", ..." if len(table.names) > 20 else "")
        raise ParameterError(
            "The 'colour_by' parameter must be 'score', a column, or a value for each row. Got "
            f"{name!r} instead; the table has {listed}."
        )
    return _colours(table.cells(table.names.index(name), mixed_as_text=True), name, levels=levels)


def _frame_of(values: Any, name: str) -> Any:
    if nw.dependencies.is_into_series(values):
        return nw.from_native(values, series_only=True).alias(name).to_frame().to_native()
    array = np.asarray(values)
    if array.ndim != 1:
        raise TableError(f"Expected one value to colour by for each row. Found an array of shape {array.shape}.")
    return array[:, None]


def _labels(cells: Any) -> NDArray[np.intp] | None:
    """Labels, if the cells are nothing else."""
    if cells.null_count or not len(cells) or not (pa.types.is_boolean(cells.type) or is_number(cells.type)):
        return None
    numbers = cells.cast(pa.float64() if is_number(cells.type) else pa.uint8()).to_numpy(zero_copy_only=False)
    return numbers.astype(np.intp) if np.isin(numbers, (0, 1)).all() else None


def _colours(cells: Any, name: str, *, levels: bool = False) -> Colours:
    cells = cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells
    if is_moment(cells.type):
        ticks = pc.local_timestamp(cells) if getattr(cells.type, "tz", None) else cells
        days = ticks.cast(MOMENT, safe=False).cast(pa.int64()).cast(pa.float64()).to_numpy(zero_copy_only=False)
        return Shades(name, np.asarray(days) / _DAY, dates=True)
    if is_number(cells.type) and not levels:
        numbers = cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return Shades(name, np.where(np.isfinite(numbers), numbers, np.nan))
    texts = (None if cell is None else f"{name} {cell_text(cell)}".lstrip() for cell in cells.to_pylist())
    return Groups.of_texts(texts)


def scatter(ax: Axes, at: Floats, colours: Colours) -> list[PathCollection]:
    """Dots of rows, those of seldom groups and high numbers on top; with a bar of the shades."""
    if isinstance(colours, Shades):
        return _shaded(ax, at, colours)
    drawn = []
    counts = np.bincount(colours.of_row, minlength=len(colours.names))
    for group in np.argsort(-counts, kind="stable").tolist():
        rows, name = colours.of_row == group, colours.names[group]
        drawn.append(
            ax.scatter(
                at[rows, 0],
                at[rows, 1],
                _size(max(1, counts[group]) * len(counts)),
                color=colours.colour(group),
                marker=_MARKERS[group] if colours.has_colour(group) else "o",
                linewidth=0,
                alpha=0.8,
                label=shown(name, _LONGEST_NAME),
            )
        )
    return drawn


def _size(n_dots: int) -> float:
    """Of a dot, in square points of 1/72 inch: small where there are many."""
    return float(np.clip(_INK / n_dots, _FEWEST, _MOST))


def _shaded(ax: Axes, at: Floats, colours: Shades) -> list[PathCollection]:
    known, size = ~np.isnan(colours.values), _size(len(at))
    drawn = []
    if not known.all():
        drawn.append(ax.scatter(at[~known, 0], at[~known, 1], size, color=GREY, marker="x", label=_MISSING))
    if known.any():
        order = np.flatnonzero(known)[np.argsort(colours.values[known], kind="stable")]
        values = colours.values[order]
        low, high = np.quantile(values, [0.02, 0.98])  # the few that lie further out have the colours of the ends
        dots = ax.scatter(at[order, 0], at[order, 1], size, c=values, cmap=shades(ax), vmin=low, vmax=high, linewidth=0)
        bar_of(ax, dots, colours, extend="both" if values[0] < low or values[-1] > high else "neither")
        drawn.append(dots)
    return drawn


def bar_of(ax: Axes, drawn: Any, colours: Shades, extend: Literal["neither", "both"] = "neither") -> None:
    """A bar beside the axes that says what the shades of a picture are."""
    bar = ax.figure.colorbar(drawn, ax=ax, extend=extend)
    bar.set_label(shown(colours.name, _LONGEST_NAME))
    if colours.dates:
        _dated(bar.ax)


def shades(ax: Axes) -> str:
    """A map of colours in which high numbers stand out from the axes."""
    return "viridis_r" if ink(ax) == BLACK else "viridis"


def _dated(axis: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axis.yaxis.set_major_locator(locator)
    axis.yaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def legend_above(ax: Axes, first: Sequence[str] = ()) -> None:
    """A legend of all that has a name, some names first, with room for it above the dots."""
    names = ax.get_legend_handles_labels()[1]
    labels = [label for name in first if (label := shown(name, _LONGEST_NAME)) in names]
    labels += [name for name in names if name not in labels]
    if not labels:
        return
    n_columns = n_legend_columns(ax, labels)
    low, high = ax.get_ylim()
    ax.set_ylim(low, low + (high - low) / (1 - headroom(ax, -(-len(labels) // n_columns))))
    for handle in legend_on_top(ax, labels, n_columns).legend_handles:
        if handle is not None and hasattr(handle, "set_sizes"):
            handle.set_sizes([_MOST])
