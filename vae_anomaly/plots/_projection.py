"""Latent positions on a plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from vae_anomaly.decision._labelled import Floats
from vae_anomaly.errors import MissingExtraError, ParameterError, TableError

METHODS: Final = ("auto", "direct", "pca", "tsne", "umap")
_PERPLEXITY, _NEIGHBOURS = 30, 15
_LEAST_ROWS: Final = {"tsne": 5, "umap": 5}


@dataclass(frozen=True)
class Plane:
    """Positions on a plane, and how places on it are found in latent space again.

    Parameters
    ----------
    at : float64 ndarray of shape (n_rows, 2)
        Where each position lies.
    labels : tuple of two str
        What the two axes are.
    centre : float64 ndarray of shape (n_dimensions,) or None
        Position at the origin; None where the plane is no flat one.
    directions : float64 ndarray of shape (2, n_dimensions) or None
        Of the two axes.
    """

    at: Floats
    labels: tuple[str, str]
    centre: Floats | None = None
    directions: Floats | None = None

    def lifted(self, at: Floats) -> Floats:
        """Latent positions of places on a flat plane."""
        if self.centre is None or self.directions is None:
            raise TypeError("Expected a flat plane.")
        return np.asarray(self.centre + at @ self.directions)


def as_positions(Z: ArrayLike) -> Floats:
    """Latent positions as an array.

    Raises
    ------
    TableError
        They are no finite numbers of shape (n_rows, n_dimensions), or there is none.
    """
    try:
        positions = np.asarray(Z, dtype=np.float64)
    except (TypeError, ValueError):
        positions = np.empty(0)
    if positions.ndim != 2 or 0 in positions.shape or not np.isfinite(positions).all():
        raise TableError(
            "Expected latent positions as finite numbers of shape (n_rows, n_dimensions), as transform gives them. "
            f"Found {type(Z).__name__} of shape {np.shape(positions)}: give some."
        )
    return positions


def plane_of(positions: Floats, names: str, method: str = "auto", random_state: int = 0) -> Plane:
    """Put positions on a plane.

    Parameters
    ----------
    positions : float64 ndarray of shape (n_rows, n_dimensions)
        In latent space.
    names : str
        Whose they are, for the labels; empty where that is not known.
    method : {"auto", "direct", "pca", "tsne", "umap"}
        "auto" takes two dimensions as they are, and of more the principal components.
    random_state : int
        Seed of t-SNE and UMAP.

    Raises
    ------
    ParameterError
        "direct" with other than two dimensions, or too few rows for a method.
    MissingExtraError
        UMAP is not installed.

    Examples
    --------
    >>> plane = plane_of(np.array([[0.0, 1.0], [2.0, 3.0]]), "member 0")
    >>> plane.labels, plane.lifted(plane.at).tolist()
    (('latent 0, member 0', 'latent 1, member 0'), [[0.0, 1.0], [2.0, 3.0]])
    """
    n_rows, n_dimensions = positions.shape
    if method == "auto":
        method = "direct" if n_dimensions == 2 else "pca"
    if method == "direct" and n_dimensions != 2:
        raise ParameterError(
            f"The method 'direct' needs two latent dimensions, found {n_dimensions}: take method='pca', one member of "
            "a detector with latent=2, or fit VAEDetector(latent=2, n_members=1)."
        )
    if n_rows < _LEAST_ROWS.get(method, 1):
        raise ParameterError(f"The method {method!r} needs at least 5 rows, found {n_rows}: take method='pca'.")
    names = f", {names}" if names else ""
    if method == "direct":
        return Plane(positions, (f"latent 0{names}", f"latent 1{names}"), np.zeros(2), np.eye(2))
    if method == "pca":
        return _principal(positions, names)
    at = np.asarray(_embedder(method, n_rows, random_state).fit_transform(positions), dtype=np.float64)
    title = {"tsne": "t-SNE", "umap": "UMAP"}[method]
    return Plane(at, (f"{title} 1{names}", f"{title} 2{names}"))


def _principal(positions: Floats, names: str) -> Plane:
    """The two directions in which positions vary most; of one there is nothing to see."""
    from sklearn.decomposition import PCA

    n_rows, n_dimensions = positions.shape
    centre, directions, shares = positions.mean(axis=0), np.zeros((2, n_dimensions)), np.zeros(2)
    n_found = min(2, n_rows - 1, n_dimensions)
    if n_found > 0 and positions.var(axis=0).any():
        pca = PCA(n_found, svd_solver="full").fit(positions)
        directions[:n_found], shares[:n_found] = pca.components_, pca.explained_variance_ratio_
    labels = [f"PC {i + 1} ({100 * share:.0f} %){names}" for i, share in enumerate(shares)]
    return Plane((positions - centre) @ directions.T, (labels[0], labels[1]), centre, directions)


def _embedder(method: str, n_rows: int, random_state: int) -> Any:
    if method == "tsne":
        from sklearn.manifold import TSNE

        perplexity = min(_PERPLEXITY, (n_rows - 1) / 3)
        return TSNE(perplexity=perplexity, init="pca", random_state=random_state)
    try:
        import umap
    except ImportError as error:
        raise MissingExtraError("umap-learn", "umap") from error
    return umap.UMAP(n_neighbors=min(_NEIGHBOURS, n_rows - 1), random_state=random_state, n_jobs=1)
