"""A mixture of normals: where rows lie in latent space, and what the decoder leaves of their numbers there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from vae_anomaly.errors import ModelFileError

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

MOST_COMPONENTS = 64
_ROWS_OF_A_COMPONENT = 50
_MOST_NUMBERS = 120_000
"""In all covariances together: half a megabyte of a model file."""

_ROWS_TO_CLUSTER = 4096
_ROUNDS = 12
_SHRINKAGE = 0.5
"""Rows for each dimension that the covariance of all components counts as, beside a component's own rows."""

_RIDGE = 1e-3
"""Of the mean variance, added to every dimension: no component is flat."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of normals with full covariances.

    Parameters
    ----------
    weight : float32 ndarray of shape (n_components,)
        Share of the rows of each.
    mean : float32 ndarray of shape (n_components, n_dimensions)
        Their centres.
    factor : float32 ndarray of shape (n_components, n_dimensions · (n_dimensions + 1) / 2)
        Lower Cholesky factors of their covariances, row by row.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rows = np.concatenate([rng.normal(-4, 1, (900, 2)), rng.normal(4, 0.5, (300, 2))])
    >>> mixture, component = Mixture.of_rows(rows)
    >>> drawn, _ = mixture.draw(5_000, rng)
    >>> bool(abs(drawn.mean() - rows.mean()) < 0.2), bool(abs(drawn.std() - rows.std()) < 0.2)
    (True, True)
    """

    weight: NDArray[np.float32]
    mean: NDArray[np.float32]
    factor: NDArray[np.float32]

    @classmethod
    def of_rows(cls, rows: Floats) -> tuple[Mixture, Places]:
        """Cluster rows, and take centre and covariance of each cluster.

        A covariance is drawn towards that of all clusters together, the more the fewer rows there are: Friedman (1989),
        "Regularized discriminant analysis".

        Parameters
        ----------
        rows : float64 ndarray of shape (n_rows, n_dimensions)
            All finite.

        Returns
        -------
        mixture : Mixture
            With at most `MOST_COMPONENTS`, fewer for few rows or many dimensions.
        component : intp ndarray of shape (n_rows,)
            Which one each row belongs to.
        """
        component = _clusters(rows)
        n_components, n_dimensions = int(component.max()) + 1, rows.shape[1]
        count = np.bincount(component, minlength=n_components).astype(np.float64)
        mean = np.stack([rows[component == k].mean(axis=0) for k in range(n_components)])
        off = rows - mean[component]
        scatter = np.stack([off[component == k].T @ off[component == k] for k in range(n_components)])
        pooled = scatter.sum(axis=0) / len(rows)
        extra = _SHRINKAGE * n_dimensions
        covariance = (scatter + extra * pooled) / (count + extra)[:, None, None]
        ridge = _RIDGE * max(float(rows.var(axis=0).mean()), 1e-12)
        factor = np.linalg.cholesky(covariance + ridge * np.eye(n_dimensions))
        packed = factor[:, *np.tril_indices(n_dimensions)]
        arrays = (count / count.sum(), mean, packed)
        return cls(*(array.astype(np.float32) for array in arrays)), component

    def draw(self, n_rows: int, rng: np.random.Generator) -> tuple[Floats, Places]:
        """Draw rows, and the component that each comes from."""
        share = self.weight.astype(np.float64)
        component = rng.choice(len(share), n_rows, p=share / share.sum())
        noise = rng.standard_normal((n_rows, self.mean.shape[1]))
        return self._coloured(noise, component), component

    def given(self, rows: Floats, component: Places, n_given: int, n_fixed: int, rng: np.random.Generator) -> Floats:
        """Draw the last dimensions of rows anew, around those before them, and say how likely some of these are.

        Parameters
        ----------
        rows : float64 ndarray of shape (n_rows, n_dimensions)
            Changed in place: all dimensions after the first `n_given` + `n_fixed` are drawn.
        component : intp ndarray of shape (n_rows,)
            Of each row.
        n_given, n_fixed : int
            How many come first, and how many of those after them are fixed.
        rng : Generator
            Of the draws.

        Returns
        -------
        log_density : float64 ndarray of shape (n_rows,)
            Of the fixed dimensions around those that come first, in nats.
        """
        n_known = n_given + n_fixed
        noise = rng.standard_normal(rows.shape)
        log_density = np.zeros(len(rows))
        for k in np.unique(component):
            where, factor = component == k, self._factors[k]
            known = solve_triangular(
                factor[:n_known, :n_known], (rows[where, :n_known] - self.mean[k, :n_known]).T, lower=True
            )
            noise[where, :n_known] = known.T
            fixed = known[n_given:]
            log_density[where] = -0.5 * (fixed**2).sum(axis=0) - np.log(np.diag(factor)[n_given:n_known]).sum()
        rows[:, n_known:] = self._coloured(noise, component)[:, n_known:]
        return np.asarray(log_density - n_fixed * 0.5 * np.log(2 * np.pi))

    def permuted(self, order: Places) -> Mixture:
        """The same mixture with its dimensions in another order."""
        covariance = self._factors[:, order] @ self._factors[:, order].swapaxes(1, 2)
        factor = np.linalg.cholesky(covariance)[:, *np.tril_indices(len(order))]
        return Mixture(self.weight, self.mean[:, order], factor.astype(np.float32))

    def _coloured(self, noise: Floats, component: Places) -> Floats:
        rows = np.empty_like(noise)
        for k in np.unique(component):
            where = component == k
            rows[where] = self.mean[k] + noise[where] @ self._factors[k].T
        return rows

    @property
    def n_components(self) -> int:
        """How many normals."""
        return len(self.weight)

    @cached_property
    def _factors(self) -> Floats:
        n_dimensions = self.mean.shape[1]
        factors = np.zeros((self.n_components, n_dimensions, n_dimensions))
        factors[:, *np.tril_indices(n_dimensions)] = self.factor
        return factors

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Name each array, for a model file."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], n_dimensions: int) -> Mixture:
        """Audit what a model file holds, and build the mixture from it.

        Raises
        ------
        ModelFileError
            If the arrays are no mixture in so many dimensions.
        """
        n = len(arrays["weight"]) if "weight" in arrays and arrays["weight"].ndim else 0
        packed = n_dimensions * (n_dimensions + 1) // 2
        expected = {"weight": (n,), "mean": (n, n_dimensions), "factor": (n, packed)}
        found = {name: array.shape for name, array in arrays.items() if array.dtype == np.float32}
        if found != expected or len(arrays) != len(expected) or not n:
            raise ModelFileError(f"A mixture must be float32 arrays of shapes {expected}. Found {found}.")
        mixture = cls(**arrays)
        finite = all(np.isfinite(array).all() for array in arrays.values())
        if not finite or (mixture.weight < 0).any() or not mixture.weight.sum() > 0:
            raise ModelFileError("A mixture must be finite, and its weights add up to more than 0.")
        return mixture


def _clusters(rows: Floats) -> Places:
    """The cluster of each row; every one of them has rows."""
    from sklearn.cluster import KMeans

    n_rows, n_dimensions = rows.shape
    most = _MOST_NUMBERS // (n_dimensions * (n_dimensions + 1) // 2)
    n_clusters = max(1, min(MOST_COMPONENTS, n_rows // _ROWS_OF_A_COMPONENT, most))
    some = rows[:: -(-n_rows // _ROWS_TO_CLUSTER)]
    if n_clusters == 1 or len(np.unique(some, axis=0)) < n_clusters:
        return np.zeros(n_rows, dtype=np.intp)
    means = KMeans(n_clusters, n_init=1, max_iter=_ROUNDS, random_state=0).fit(some)
    return np.unique(means.predict(rows), return_inverse=True)[1].astype(np.intp)
