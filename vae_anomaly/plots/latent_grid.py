"""What the decoders say all over a plane of the latent space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from vae_anomaly._fitted import fitted_vae
from vae_anomaly._params import Number, Rule, check_params
from vae_anomaly.decision._labelled import Floats
from vae_anomaly.errors import ParameterError
from vae_anomaly.plots._axes import axes_for, ink
from vae_anomaly.plots._colouring import Colours, Groups, Shades, bar_of, colours_of_column, legend_above, shades
from vae_anomaly.plots._latent_rows import evenly, positions_of
from vae_anomaly.plots._projection import plane_of
from vae_anomaly.plots._texts import shown
from vae_anomaly.table.columns import DatetimeColumn, NumericColumn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection, QuadMesh
    from matplotlib.figure import Figure

_RULES: dict[str, tuple[Rule, ...]] = {
    "steps": (Number(2, 500, integer=True),),
    "max_rows": (Number(0, integer=True),),
}
_MARGIN = 0.05
_HEIGHT = 12
_LONGEST_NAME = 24


class LatentGridDisplay:
    """One column as it is decoded all over a plane of the latent space, with rows as dots on it.

    Made by `from_estimator`. The plane is the latent space itself where it has two dimensions
    (``VAEDetector(latent=2, n_members=1)``), else that of the two principal components of the rows' positions, through
    their mean: rows lie before and behind it, and what they have need not be what is decoded where they lie on it.

    Parameters
    ----------
    x, y : float64 ndarray of shape (steps,)
        The grid.
    colours : Shades or Groups
        What is decoded at each place, `x` fastest.
    at : float64 ndarray of shape (n_rows, 2)
        Rows.
    labels : tuple of two str
        What the axes are.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the picture.
    figure_ : matplotlib Figure
        That the axes belong to.
    areas_ : matplotlib QuadMesh
        What is decoded.
    dots_ : matplotlib PathCollection
        The rows.

    Examples
    --------
    >>> import numpy as np
    >>> from vae_anomaly import VAEDetector
    >>> from vae_anomaly.plots import LatentGridDisplay
    >>> X = np.random.default_rng(0).normal(size=(500, 3)).cumsum(axis=1)
    >>> detector = VAEDetector(max_steps=100, latent=2, n_members=1).fit(X)
    >>> LatentGridDisplay.from_estimator(detector, X, "x2", steps=20).labels
    ('latent 0, member 0', 'latent 1, member 0')
    """

    ax_: Axes
    figure_: Figure
    areas_: QuadMesh
    dots_: PathCollection

    def __init__(self, *, x: Floats, y: Floats, colours: Colours, at: Floats, labels: tuple[str, str]) -> None:
        self.x = x
        self.y = y
        self.colours = colours
        self.at = at
        self.labels = labels

    @classmethod
    def from_estimator(
        cls,
        detector: Any,
        X: Any,
        column: str,
        *,
        steps: int = 60,
        max_rows: int = 1_000,
        ax: Axes | None = None,
    ) -> Self:
        """Decode the places of a grid, and draw one column of the rows that this gives.

        Parameters
        ----------
        detector : VAEDetector or CalibratedDetector
            Fitted; the latter with a `VAEDetector` in it.
        X : table of shape (n_samples, n_features)
            Rows that say where the grid reaches, and what plane it lies in.
        column : str
            The column to draw; x0, x1, ... of an array.
        steps : int, default=60
            Places of the grid in each direction.
        max_rows : int, default=1,000
            Dots at most: of more rows so many at even distances.
        ax : matplotlib Axes, optional
            To draw on; those of a new figure by default.

        Returns
        -------
        LatentGridDisplay
            With the picture in `ax_`.

        Raises
        ------
        ParameterError
            The detector models no such column, or a parameter is outside its domain.
        SchemaMismatchError
            The columns differ from those of `fit`.
        MissingExtraError
            matplotlib is not installed.
        """
        check_params("LatentGridDisplay", {"steps": steps, "max_rows": max_rows}, _RULES)
        vae = fitted_vae(detector)
        kinds = {of.name: of for of in vae.schema_.modelled_columns}
        if column not in kinds:
            listed = ", ".join(list(kinds)[:20]) + (", ..." if len(kinds) > 20 else "")
            raise ParameterError(
                f"The 'column' parameter must name a column that is modelled. Got {column!r} instead; these are "
                f"{listed}."
            )
        positions, names = positions_of(vae, X, None)
        plane = plane_of(positions, names)
        x, y = (_reach(of, steps) for of in plane.at.T)
        grid = np.column_stack([block.ravel() for block in np.meshgrid(x, y)])
        rows = vae.inverse_transform(plane.lifted(grid))
        colours = colours_of_column(rows, column, levels=not isinstance(kinds[column], NumericColumn | DatetimeColumn))
        at = plane.at[evenly(np.arange(len(plane.at)), max_rows)]
        return cls(x=x, y=y, colours=colours, at=at, labels=plane.labels).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw it again.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            As in `from_estimator`.

        Returns
        -------
        LatentGridDisplay
            Itself.
        """
        self.ax_ = ax = axes_for(ax, _HEIGHT)
        self.figure_ = ax.figure  # type: ignore[assignment]
        if isinstance(self.colours, Shades):
            self.areas_ = self._shaded(ax, self.colours)
        else:
            self.areas_ = self._grouped(ax, self.colours)
        self.dots_ = ax.scatter(self.at[:, 0], self.at[:, 1], 5, color=ink(ax), alpha=0.45, linewidth=0, label="rows")
        ax.set(xlabel=self.labels[0], ylabel=self.labels[1])
        legend_above(ax, self.colours.names if isinstance(self.colours, Groups) else [])
        return self

    def _shaded(self, ax: Axes, colours: Shades) -> QuadMesh:
        values = colours.values.reshape(len(self.y), len(self.x))
        areas = ax.pcolormesh(self.x, self.y, values, cmap=shades(ax), shading="nearest")
        bar_of(ax, areas, colours)
        return areas

    def _grouped(self, ax: Axes, colours: Groups) -> QuadMesh:
        from matplotlib.colors import ListedColormap

        known = ListedColormap([colours.colour(group) for group in range(len(colours.names))])
        for group, name in enumerate(colours.names):  # for the legend
            ax.scatter([], [], color=colours.colour(group), marker="s", label=shown(name, _LONGEST_NAME))
        values = colours.of_row.reshape(len(self.y), len(self.x))
        top = len(colours.names) - 0.5
        return ax.pcolormesh(self.x, self.y, values, cmap=known, vmin=-0.5, vmax=top, shading="nearest", alpha=0.75)


def _reach(places: Floats, steps: int) -> Floats:
    """The range of the places and a little more."""
    low, high = float(places.min()), float(places.max())
    margin = _MARGIN * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, steps)
