"""A map of rows in latent space: which are alike, and where the alerts lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_anomaly._fitted import fitted_vae
from vae_anomaly._params import Number, OneOf, Rule, check_params
from vae_anomaly.decision._labelled import Floats
from vae_anomaly.errors import ParameterError, TableError
from vae_anomaly.plots._axes import axes_for, ink
from vae_anomaly.plots._colouring import (
    Colours,
    Shades,
    colours_of_column,
    colours_of_values,
    legend_above,
    scatter,
)
from vae_anomaly.plots._given import anomaly_scores
from vae_anomaly.plots._latent_rows import evenly, positions_of
from vae_anomaly.plots._projection import METHODS, as_positions, plane_of
from vae_anomaly.table.columns import DatetimeColumn, NumericColumn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

_RULES: dict[str, tuple[Rule, ...]] = {
    "method": (OneOf(METHODS),),
    "max_rows": (Number(1, integer=True),),
    "random_state": (Number(0, 2**32 - 1, integer=True),),
}
_MEMBER: dict[str, tuple[Rule, ...]] = {"member": (Number(0, integer=True), OneOf((None,)))}
_ALERTS = "alerts"
_RING = 42.0
_HEIGHT = 12
"""Of a new figure, in labels: a map wants to be nearly as high as wide."""


class LatentDisplay:
    """Rows as dots on a map of the latent space, coloured by their scores, labels or a column, with the alerts ringed.

    Made by `from_estimator` or `from_positions`. Rows that are alike lie near each other. The map has two dimensions
    and the latent space usually more: the labels of the axes say what is shown, and by principal components how much of
    the variance. Rows that are apart on the map are apart in latent space; rows that lie on each other may not be.

    Parameters
    ----------
    at : float64 ndarray of shape (n_rows, 2)
        Where each row lies.
    labels : tuple of two str
        What the axes are.
    colours : Shades or Groups
        Of the rows.
    alert : bool ndarray of shape (n_rows,)
        Which rows alert.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the picture.
    figure_ : matplotlib Figure
        That the axes belong to.
    dots_ : list of matplotlib PathCollection
        The rows, a collection for each group.
    rings_ : matplotlib PathCollection or None
        The alerts.

    See Also
    --------
    vae_anomaly.VAEDetector.transform : The positions.

    Examples
    --------
    >>> import numpy as np
    >>> from vae_anomaly.plots import LatentDisplay
    >>> Z = np.random.default_rng(0).normal(size=(100, 5))
    >>> LatentDisplay.from_positions(Z, colour_by=Z[:, 0] > 2).at.shape
    (100, 2)
    """

    ax_: Axes
    figure_: Figure
    dots_: list[PathCollection]
    rings_: PathCollection | None

    def __init__(self, *, at: Floats, labels: tuple[str, str], colours: Colours, alert: NDArray[np.bool_]) -> None:
        self.at = at
        self.labels = labels
        self.colours = colours
        self.alert = alert

    @classmethod
    def from_estimator(
        cls,
        detector: Any,
        X: Any,
        *,
        colour_by: ArrayLike | str | None = "score",
        alerts: ArrayLike | bool = True,
        member: int | None = None,
        method: str = "auto",
        max_rows: int = 5_000,
        random_state: int = 0,
        ax: Axes | None = None,
    ) -> Self:
        """Find where rows lie in the latent space of a detector, and draw them.

        Parameters
        ----------
        detector : VAEDetector or CalibratedDetector
            Fitted; the latter with a `VAEDetector` in it.
        X : table of shape (n_samples, n_features)
            Rows to draw.
        colour_by : "score", name of a column, array of shape (n_samples,) or None, default="score"
            The anomaly score; the cells of a column, as they are in `X`; or as in `from_positions`.
        alerts : bool or array of shape (n_samples,), default=True
            Which rows alert; True asks the detector, False marks none.
        member : int or None, default=None
            Whose latent space: that of one member of the ensemble, counted from 0; or the positions of all members
            side by side, as `transform` gives them.
        method, max_rows, random_state, ax
            As in `from_positions`.

        Returns
        -------
        LatentDisplay
            With the picture in `ax_`.

        Raises
        ------
        ParameterError, TableError, MissingExtraError
            As in `from_positions`; and if the detector has no latent space, or no such member.

        Examples
        --------
        >>> import numpy as np
        >>> from vae_anomaly import VAEDetector
        >>> X = np.random.default_rng(0).normal(size=(500, 4)).cumsum(axis=1)
        >>> detector = VAEDetector(max_steps=50, n_members=2, latent=2).fit(X)
        >>> LatentDisplay.from_estimator(detector, X, member=1).labels
        ('latent 0, member 1', 'latent 1, member 1')
        """
        check_params("LatentDisplay", {"member": member}, _MEMBER)
        positions, names = positions_of(detector, X, member)
        colours: Any = colour_by
        if isinstance(colour_by, str) and colour_by == "score":
            colours = Shades("anomaly score (nats)", anomaly_scores(detector, X))
        elif isinstance(colour_by, str):
            kind = {column.name: column for column in fitted_vae(detector).schema_.columns}.get(colour_by)
            colours = colours_of_column(X, colour_by, levels=not isinstance(kind, NumericColumn | DatetimeColumn))
        if alerts is True:
            alerts = detector.predict(X) == -1
        given = {"method": method, "max_rows": max_rows, "random_state": random_state}
        return cls._of(positions, names, colours, None if alerts is False else alerts, given, ax)

    @classmethod
    def from_positions(
        cls,
        Z: ArrayLike,
        *,
        colour_by: ArrayLike | None = None,
        alerts: ArrayLike | None = None,
        method: str = "auto",
        max_rows: int = 5_000,
        random_state: int = 0,
        ax: Axes | None = None,
    ) -> Self:
        """Draw latent positions.

        Parameters
        ----------
        Z : array-like of shape (n_rows, n_dimensions)
            As `VAEDetector.transform` gives them.
        colour_by : array-like of shape (n_rows,), optional
            Numbers are drawn in shades; texts and truth values as groups, of which the commonest have colours of their
            own; labels, 1 for an anomaly and 0 for a normal row, as these.
        alerts : array-like of bool of shape (n_rows,), optional
            Rows to ring.
        method : {"auto", "direct", "pca", "tsne", "umap"}, default="auto"
            How positions come on the map: two dimensions as they are; by the two principal components; or so that
            neighbours stay neighbours, by t-SNE (van der Maaten & Hinton 2008) or UMAP (McInnes et al. 2018; the extra
            "umap"), whose distances and sizes of clusters mean nothing. "auto" takes two dimensions as they are, and of
            more the principal components.
        max_rows : int, default=5,000
            Dots at most: of more rows those that alert, and others at even distances.
        random_state : int, default=0
            Seed of t-SNE and UMAP.
        ax : matplotlib Axes, optional
            To draw on; those of a new figure by default.

        Returns
        -------
        LatentDisplay
            With the picture in `ax_`.

        Raises
        ------
        TableError
            `Z` holds no finite numbers, or there is not one value or flag for each row.
        ParameterError
            A parameter is outside its domain, or the method needs other positions.
        MissingExtraError
            matplotlib or UMAP is not installed.
        """
        given = {"method": method, "max_rows": max_rows, "random_state": random_state}
        return cls._of(as_positions(Z), "", colour_by, alerts, given, ax)

    @classmethod
    def _of(
        cls, positions: Floats, names: str, colours: Any, alerts: Any, given: dict[str, Any], ax: Axes | None
    ) -> Self:
        check_params("LatentDisplay", given, _RULES)
        if not isinstance(colours, Colours):
            colours = colours_of_values(colours, len(positions))
        alert = _flags(alerts, len(positions))
        rows = _some(alert, given["max_rows"])
        flat = given["method"] in ("auto", "direct", "pca")  # the same plane, however many of the rows are drawn
        plane = plane_of(positions if flat else positions[rows], names, given["method"], given["random_state"])
        at = plane.at[rows] if flat else plane.at
        return cls(at=at, labels=plane.labels, colours=colours[rows], alert=alert[rows]).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw it again.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            As in `from_positions`.

        Returns
        -------
        LatentDisplay
            Itself.
        """
        self.ax_ = ax = axes_for(ax, _HEIGHT)
        self.figure_ = ax.figure  # type: ignore[assignment]
        self.dots_ = scatter(ax, self.at, self.colours)
        self.rings_ = None
        if self.alert.any():
            at = self.at[self.alert]
            self.rings_ = ax.scatter(
                at[:, 0], at[:, 1], _RING, facecolors="none", edgecolors=ink(ax), linewidth=0.9, label=_ALERTS
            )
        ax.set(xlabel=self.labels[0], ylabel=self.labels[1])
        if len(self.dots_) > 1 or self.rings_ is not None:
            legend_above(ax, [] if isinstance(self.colours, Shades) else self.colours.names)
        return self


def _flags(alerts: Any, n_rows: int) -> NDArray[np.bool_]:
    """Which rows alert."""
    if alerts is None:
        return np.zeros(n_rows, dtype=bool)
    flags = np.asarray(alerts)
    if flags.dtype != bool:
        raise ParameterError(
            "The 'alerts' parameter must say True or False of each row, such as detector.predict(X) == -1. "
            f"Got {flags.dtype} instead."
        )
    if flags.shape != (n_rows,):
        raise TableError(f"'alerts' must say True or False of each of the {n_rows:,} rows. Found shape {flags.shape}.")
    return flags


def _some(alert: NDArray[np.bool_], most: int) -> NDArray[np.intp]:
    """So many rows at most: those that alert, and others at even distances."""
    if len(alert) <= most:
        return np.arange(len(alert))
    flagged, others = np.flatnonzero(alert), np.flatnonzero(~alert)
    flagged = evenly(flagged, most)
    return np.sort(np.concatenate([flagged, evenly(others, most - len(flagged))]))
