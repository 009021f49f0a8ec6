"""What changes along a way through latent space: rows side by side, a line for each column of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from vae_anomaly._fitted import fitted_vae
from vae_anomaly._params import Number, OneOf, Rule, check_params
from vae_anomaly.decision._labelled import Floats
from vae_anomaly.errors import ParameterError, TableError
from vae_anomaly.plots._axes import BLACK, SMALL, WHITE, axes_for, letters_across
from vae_anomaly.plots._projection import plane_of
from vae_anomaly.plots._texts import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

_RULES: dict[str, tuple[Rule, ...]] = {
    "direction": (Number(0, integer=True), OneOf((None,))),
    "row": (Number(0, integer=True), OneOf((None,))),
    "steps": (Number(2, 50, integer=True),),
    "reach": (Number(0, open_low=True),),
    "max_columns": (Number(1, 200, integer=True),),
}
_COLOURS: Final = "Blues"
_PALEST, _DARKEST = 0.05, 0.75
_DARK = 0.7
"""Shade on which white letters can be read better than black ones."""
_LONGEST_NAME = 24
_WIDTHS, _SHARE_OF_WIDTH = (1.8, 0.95), 0.72
"""Of a new figure, for the names and for each row, in inches; and of it for the cells."""
_DIGITS = 4


class LatentTraversalDisplay:
    """Rows along a way through latent space, side by side, in the columns and units of the table.

    Made by `from_estimator` or `from_rows`. Each column of the table that changes on the way is a line of the picture.
    A number is the darker the higher it is among those of its line; a level the darker the later it appears on the way.

    Parameters
    ----------
    rows : DataFrame
        Along the way, from its start.
    along : sequence of float
        Place of each row on the way.
    label : str
        What the places are.
    max_columns : int
        Lines at most: the first columns that change.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the picture.
    figure_ : matplotlib Figure
        That the axes belong to.
    cells_ : matplotlib QuadMesh
        The cells.
    columns_ : list of str
        That are shown.

    See Also
    --------
    vae_anomaly.VAEDetector.interpolate : Rows on the way from one to another.

    Examples
    --------
    >>> import pandas as pd
    >>> from vae_anomaly.plots import LatentTraversalDisplay
    >>> way = pd.DataFrame({"amount": [9.5, 20.0, 81.25], "channel": ["chip", "online", "online"], "currency": "EUR"})
    >>> LatentTraversalDisplay.from_rows(way).columns_
    ['amount', 'channel']
    """

    ax_: Axes
    figure_: Figure
    cells_: QuadMesh
    columns_: list[str]

    def __init__(self, *, rows: pd.DataFrame, along: Floats, label: str, max_columns: int = 16) -> None:
        self.rows = rows
        self.along = along
        self.label = label
        self.max_columns = max_columns

    @classmethod
    def from_estimator(
        cls,
        detector: Any,
        X: Any,
        *,
        direction: ArrayLike | int | None = None,
        row: int | None = None,
        steps: int = 7,
        reach: float = 2.0,
        max_columns: int = 16,
        ax: Axes | None = None,
    ) -> Self:
        """Move through the latent space of a detector, decode where that leads, and draw the rows.

        Parameters
        ----------
        detector : VAEDetector or CalibratedDetector
            Fitted; the latter with a `VAEDetector` in it.
        X : table of shape (n_samples, n_features)
            Rows that say where in latent space rows lie.
        direction : int, array of shape (n_members * latent,) or None, default=None
            A dimension of `transform`, which moves one member of the ensemble alone; any direction; or the first
            principal component of the positions of `X`, which moves all members together.
        row : int or None, default=None
            Where the way has its middle: at that row of `X`, counted from 0, or at the mean of all.
        steps : int, default=7
            Rows along the way.
        reach : float, default=2.0
            How far the way goes to either side, in standard deviations of the positions of `X` along it.
        max_columns, ax
            As in `from_rows`.

        Returns
        -------
        LatentTraversalDisplay
            With the picture in `ax_`.

        Raises
        ------
        ParameterError
            A parameter is outside its domain.
        TableError
            There is no such row, or the columns differ from those of `fit`.
        MissingExtraError
            matplotlib is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from vae_anomaly import VAEDetector
        >>> X = np.random.default_rng(0).normal(size=(500, 3)).cumsum(axis=1)
        >>> detector = VAEDetector(max_steps=100, n_members=1).fit(X)
        >>> display = LatentTraversalDisplay.from_estimator(detector, X, steps=5)
        >>> display.rows.shape, display.along.tolist()
        ((5, 3), [-2.0, -1.0, 0.0, 1.0, 2.0])
        """
        number = direction if direction is None or np.ndim(direction) == 0 else None
        given = {"direction": number, "row": row, "steps": steps, "reach": reach, "max_columns": max_columns}
        check_params("LatentTraversalDisplay", given, _RULES)
        vae = fitted_vae(detector)
        Z = np.asarray(vae.transform(X), dtype=np.float64)
        if row is not None and row >= len(Z):
            raise TableError(f"Expected a row number below the number of rows, {len(Z):,}: found {row:,}.")
        unit, name = _direction(direction, Z, vae.get_feature_names_out().tolist())
        along = np.linspace(-reach, reach, steps)
        start = Z.mean(axis=0) if row is None else Z[row]
        places = start + along[:, None] * float((Z @ unit).std()) * unit
        return cls.from_rows(
            vae.inverse_transform(places),
            along=along,
            label=f"{name} (standard deviations)",
            max_columns=max_columns,
            ax=ax,
        )

    @classmethod
    def from_rows(
        cls,
        rows: Any,
        *,
        along: ArrayLike | None = None,
        label: str = "step",
        max_columns: int = 16,
        ax: Axes | None = None,
    ) -> Self:
        """Draw rows along a way.

        Parameters
        ----------
        rows : table
            Such as `VAEDetector.interpolate` or `VAEDetector.inverse_transform` gives.
        along : array-like of shape (n_rows,), optional
            Place of each row on the way; from 1 by default.
        label : str, default="step"
            What the places are.
        max_columns : int, default=16
            Lines at most: the first columns that change.
        ax : matplotlib Axes, optional
            To draw on; those of a new figure by default.

        Returns
        -------
        LatentTraversalDisplay
            With the picture in `ax_`.

        Raises
        ------
        TableError
            There are no two rows, or not as many places.
        ParameterError
            `max_columns` is outside its domain.
        MissingExtraError
            matplotlib is not installed.
        """
        check_params("LatentTraversalDisplay", {"max_columns": max_columns}, {"max_columns": _RULES["max_columns"]})
        frame = _pandas(rows)
        places = np.arange(1.0, len(frame) + 1) if along is None else np.asarray(along, dtype=np.float64)
        if len(frame) < 2 or places.shape != (len(frame),):
            raise TableError(
                f"Expected two or more rows along a way, and a place for each. Found {len(frame)} and {len(places)}."
            )
        return cls(rows=frame, along=places, label=label, max_columns=max_columns).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw it again.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            As in `from_rows`.

        Returns
        -------
        LatentTraversalDisplay
            Itself.
        """
        changing = [str(name) for name in self.rows if not self.rows[name].duplicated()[1:].all()]
        self.columns_ = changing[: self.max_columns]
        lines = self.columns_ or [str(name) for name in self.rows.columns[:1]]
        is_new = ax is None
        self.ax_ = ax = axes_for(ax, 2 * len(lines))
        self.figure_ = ax.figure  # type: ignore[assignment]
        if is_new:
            self.figure_.set_figwidth(max(self.figure_.get_figwidth(), _WIDTHS[0] + _WIDTHS[1] * len(self.rows)))
        shade = np.array([_shade(self.rows[name]) for name in lines])
        self.cells_ = ax.pcolormesh(
            np.arange(len(self.rows) + 1) - 0.5,
            np.arange(len(lines) + 1) - 0.5,
            _PALEST + (_DARKEST - _PALEST) * shade,
            cmap=_COLOURS,
            vmin=0,
            vmax=1,
            edgecolors=ax.get_facecolor(),  # a gap between the cells
            linewidth=1.5,
        )
        most = letters_across(ax, _SHARE_OF_WIDTH / len(self.rows))
        for place, name in enumerate(lines):
            for step, cell in enumerate(self.rows[name]):
                colour = WHITE if shade[place, step] > _DARK else BLACK
                text = "\n".join(shown(line, most) for line in _cell(cell).split("\n"))
                ax.text(step, place, text, ha="center", va="center", fontsize=SMALL, color=colour, clip_on=True)
        ax.set_xticks(np.arange(len(self.rows)), [f"{place:.2g}".replace("-", "−") for place in self.along])
        ax.set_yticks(np.arange(len(lines)), [shown(name, _LONGEST_NAME) for name in lines])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_ylim(len(lines) - 0.5, -0.5)
        ax.set_xlabel(self._label(len(changing)))
        return self

    def _label(self, n_changing: int) -> str:
        n_same, n_more = self.rows.shape[1] - n_changing, n_changing - len(self.columns_)
        told = [f"{n_more:,} more change"] * bool(n_more) + [f"{n_same:,} stay the same"] * bool(n_same)
        return f"{self.label}\nof the other columns, {' and '.join(told)}" if told else self.label


def _pandas(rows: Any) -> pd.DataFrame:
    """The rows as a pandas frame, with names as text."""
    import narwhals.stable.v2 as nw

    if isinstance(rows, np.ndarray):
        return pd.DataFrame(rows).add_prefix("x")
    frame: pd.DataFrame = nw.from_native(rows, eager_only=True).to_pandas()
    return frame.rename(columns=str).reset_index(drop=True)


def _direction(direction: Any, Z: Floats, names: list[str]) -> tuple[Floats, str]:
    """A direction of length 1, and its name."""
    if direction is None:
        plane = plane_of(Z, "", "pca")
        unit = (
            np.eye(Z.shape[1])[0] if plane.directions is None or not plane.directions[0].any() else plane.directions[0]
        )
        return unit, "first principal component"
    if np.ndim(direction) == 0:
        if direction >= len(names):
            raise ParameterError(
                f"The 'direction' parameter must be a dimension of the {len(names)} that transform gives, counted from "
                f"0, or an array of as many numbers. Got {direction} instead."
            )
        return np.eye(len(names))[direction], names[direction]
    vector = np.asarray(direction, dtype=np.float64)
    length = float(np.linalg.norm(vector))
    if vector.shape != (len(names),) or not np.isfinite(length) or length == 0:
        raise ParameterError(
            f"The 'direction' parameter must be {len(names)} finite numbers, not all 0, as transform has dimensions. "
            f"Got an array of shape {vector.shape} and length {length:g} instead."
        )
    return vector / length, "given direction"


def _shade(cells: pd.Series[Any]) -> NDArray[np.float64]:
    """Of each cell, from 0 to 1: of numbers and dates by their size, of levels by when they appear."""
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        numbers = cells.astype("int64").where(cells.notna()).to_numpy(dtype=np.float64, na_value=np.nan)
    elif pd.api.types.is_numeric_dtype(cells.dtype) and not pd.api.types.is_bool_dtype(cells.dtype):
        numbers = cells.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        numbers = np.asarray(pd.factorize(cells, use_na_sentinel=False)[0], dtype=np.float64)
    low, high = np.nanmin(numbers, initial=np.inf), np.nanmax(numbers, initial=-np.inf)
    return np.nan_to_num((numbers - low) / (high - low)) if high > low else np.zeros(len(cells))


def _cell(cell: Any) -> str:
    """A cell in a few letters."""
    if cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and np.isnan(cell)):
        return "missing"
    if isinstance(cell, pd.Timestamp):
        return f"{cell:%d %b}" if cell == cell.normalize() else f"{cell:%d %b}\n{cell:%H:%M}"
    if isinstance(cell, bool | np.bool_):
        return str(cell).lower()
    if isinstance(cell, float | np.floating):
        return f"{cell:,.{_DIGITS}g}" if abs(cell) < 10**_DIGITS else f"{cell:,.0f}"
    return str(cell)
