"""Places in latent space as users give them, and the ways between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vae_anomaly._editing import Editor
from vae_anomaly.errors import TableError
from vae_anomaly.table.columns import DatetimeColumn
from vae_anomaly.table.schema import Schema

Floats = NDArray[np.float64]

LINEAR, SPHERICAL = PATHS = ("linear", "spherical")

_FURTHEST = 1e6
"""Posterior means lie within some tens of the origin; squares of what is far beyond would overflow in float32."""

_DAY = 86_400.0
_PARALLEL = 1e-6
"""Angle, in radians, below which two directions are one, and the arc between them is a line."""


def places_of(Z: Any, names: Sequence[str], n_members: int) -> Floats:
    """Latent positions as an array, each with a dimension for each of the names that `transform` gives.

    Raises
    ------
    TableError
        If the shape, the names of a frame or a number cannot be those of latent positions.

    Examples
    --------
    >>> places_of(pd.DataFrame({"latent1": [2.0], "latent0": [1.0]}), ["latent0", "latent1"], 1)
    array([[1., 2.]])
    """
    if nw.dependencies.is_into_dataframe(Z):
        frame: Any = nw.from_native(Z, eager_only=True)
        own = list(frame.columns)
        if all(isinstance(name, str) for name in own):
            Z = frame.select(_known(own, names)).to_numpy()
    try:
        places = np.asarray(Z, dtype=np.float64)
    except (TypeError, ValueError):
        raise TableError(f"Expected latent positions as numbers, as transform gives them, found {Z!r:.80}.") from None
    n_latent = len(names)
    if places.ndim != 2 or places.shape[1] != n_latent or not len(places):
        raise TableError(
            f"Expected latent positions of shape (n_rows, {n_latent}) with at least one row, as transform gives them "
            f"({n_members} x {n_latent // n_members}: the members' side by side), found shape {places.shape}."
        )
    odd = ~(np.abs(places) <= _FURTHEST)
    if odd.any():
        row, column = np.argwhere(odd)[0]
        raise TableError(
            f"Expected latent positions that are finite and within {_FURTHEST:g} of 0, found {places[row, column]} in "
            f"row {row + 1}, dimension {column}. Positions of real rows, as transform gives them, are within some tens."
        )
    return places


def _known(own: list[str], names: Sequence[str]) -> list[str]:
    """The names in their order, if a frame has these and no others."""
    if set(own) != set(names):
        raise TableError(
            f"Expected the columns that transform gives, {names[0]} to {names[-1]}, found {', '.join(own[:5])}"
            f"{', ...' if len(own) > 5 else ''}. Rename them, or pass an array to have them taken in their order."
        )
    return list(names)


def one_row_or_more(given: Any, schema: Schema) -> Any:
    """A table of what may be a single row: a mapping, a Series, or an array of one dimension."""
    if isinstance(given, pd.Series):
        given = dict(given) if schema.named else given.to_numpy()
    if isinstance(given, Mapping):
        return pd.DataFrame([dict(given)])
    if nw.dependencies.is_into_dataframe(given):
        return given
    array = np.asarray(given, dtype=None if isinstance(given, np.ndarray) else object)
    return array[None] if array.ndim == 1 else given


def places_along(first: Floats, last: Floats, steps: int, path: str, n_members: int) -> Floats:
    """Places from some rows to others, pair after pair, with the ends as they are.

    Parameters
    ----------
    first, last : float64 ndarray of shape (n_pairs, n_members * latent)
        The ends.
    steps : int
        Places of each pair.
    path : {"linear", "spherical"}
        Whether along lines, or along arcs around the origin.
    n_members : int
        Each has an arc of its own.

    Returns
    -------
    float64 ndarray of shape (n_pairs * steps, n_members * latent)

    Examples
    --------
    >>> places_along(np.array([[0.0, 2.0]]), np.array([[2.0, 0.0]]), 3, "linear", 1).tolist()
    [[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]]
    >>> places_along(np.array([[0.0, 2.0]]), np.array([[2.0, 0.0]]), 3, "spherical", 1).round(3).tolist()
    [[0.0, 2.0], [1.414, 1.414], [2.0, 0.0]]
    """
    shape = (len(first), 1, n_members, -1)
    a, b, t = first.reshape(shape), last.reshape(shape), np.linspace(0, 1, steps)[:, None, None]
    along = (1 - t) * a + t * b
    if path == SPHERICAL:
        long_a, long_b = (np.linalg.norm(end, axis=-1, keepdims=True) for end in (a, b))
        cosine = (a * b).sum(axis=-1, keepdims=True) / np.maximum(long_a * long_b, 1e-300)
        angle = np.arccos(np.clip(cosine, -1, 1))
        turned = (angle > _PARALLEL) & (angle < np.pi - _PARALLEL)
        angle = np.where(turned, angle, 1.0)
        unit_a, unit_b = a / np.maximum(long_a, 1e-300), b / np.maximum(long_b, 1e-300)
        arc = (np.sin((1 - t) * angle) * unit_a + np.sin(t * angle) * unit_b) / np.sin(angle)
        along = np.where(turned, arc * ((1 - t) * long_a + t * long_b), along)
    along[:, 0], along[:, -1] = a[:, 0], b[:, 0]  # exactly, whatever was rounded
    return along.reshape(len(first) * steps, -1)


def days_along(schema: Schema, ends: Sequence[Any], steps: int) -> dict[str, Floats]:
    """Days from those of some rows to those of others, for each column with dates.

    Parameters
    ----------
    schema : Schema
        The columns as fit saw them.
    ends : sequence of two tables
        Of as many rows each.
    steps : int
        Days of each pair of rows.

    Returns
    -------
    dict of str to float64 ndarray of shape (n_pairs * steps,)
        In wall-clock seconds since 1970; where one end has no date all days are that of the other, and NaN where both
        have none.
    """
    places = {column.name: i for i, column in enumerate(schema.modelled_columns) if isinstance(column, DatetimeColumn)}
    if not places:
        return {}
    a, b = (np.floor(Editor(schema, end).rows().cells[:, list(places.values())] / _DAY) for end in ends)
    a, b = np.where(np.isnan(a), b, a), np.where(np.isnan(b), a, b)
    along = np.rint(a[:, None] + (b - a)[:, None] * np.linspace(0, 1, steps)[:, None]) * _DAY
    return {name: along[:, :, number].ravel() for number, name in enumerate(places)}
