"""The mixture that places in latent space are drawn from is that of the rows it was fitted to."""

from __future__ import annotations

import numpy as np
import pytest

from vae_anomaly.errors import ModelFileError
from vae_anomaly.model.mixture import MOST_COMPONENTS, Mixture


def two_clusters(n_rows=4_000, seed=0):
    rng = np.random.default_rng(seed)
    covariance = np.array([[1.0, 0.7, 0.0], [0.7, 1.0, 0.0], [0.0, 0.0, 0.2]])
    rows = rng.multivariate_normal([0, 0, 0], covariance, n_rows)
    rows[: n_rows // 4] += [6, -6, 0]
    return rows


def test_moments_come_back():
    rows = two_clusters()
    drawn, component = Mixture.of_rows(rows)[0].draw(20_000, np.random.default_rng(0))
    assert component.max() < MOST_COMPONENTS
    assert np.abs(drawn.mean(axis=0) - rows.mean(axis=0)).max() < 0.1
    assert np.abs(np.cov(drawn.T) - np.cov(rows.T)).max() < 0.3
    assert abs((drawn[:, 0] > 3).mean() - 0.25) < 0.02


def test_a_permuted_mixture_is_the_same():
    mixture, _ = Mixture.of_rows(two_clusters())
    back = mixture.permuted(np.array([2, 0, 1])).permuted(np.array([1, 2, 0]))
    np.testing.assert_allclose(back.mean, mixture.mean)
    np.testing.assert_allclose(back.factor, mixture.factor, atol=1e-5)


def test_dimensions_that_are_given_move_the_others_and_their_density_adds_up():
    rows = np.random.default_rng(0).multivariate_normal([0, 0], [[1.0, 0.9], [0.9, 1.0]], 3_000)
    mixture = Mixture(*(array.astype(np.float32) for array in (np.ones(1), rows.mean(0)[None], np.zeros((1, 3)))))
    factor = np.linalg.cholesky(np.cov(rows.T))[np.tril_indices(2)][None].astype(np.float32)
    mixture = Mixture(mixture.weight, mixture.mean, factor)
    grid = np.linspace(-6, 6, 1_201)
    around = np.column_stack([grid, np.zeros_like(grid)])
    log_density = mixture.given(around, np.zeros(len(grid), dtype=np.intp), 0, 1, np.random.default_rng(0))
    assert abs(np.exp(log_density).sum() * (grid[1] - grid[0]) - 1) < 1e-3
    assert abs(np.polyfit(grid, around[:, 1], 1)[0] - 0.9) < 0.05
    assert abs((around[:, 1] - 0.9 * grid).std() - np.sqrt(1 - 0.81)) < 0.05


@pytest.mark.parametrize("n_rows", [1, 2, 60])
def test_few_or_equal_rows_have_a_mixture(n_rows):
    for rows in (np.random.default_rng(0).normal(size=(n_rows, 4)), np.ones((n_rows, 4))):
        drawn, _ = Mixture.of_rows(rows)[0].draw(100, np.random.default_rng(0))
        assert np.isfinite(drawn).all()


def test_another_number_of_dimensions_is_refused():
    arrays = Mixture.of_rows(two_clusters(200))[0].to_arrays()
    assert Mixture.from_arrays(arrays, 3).n_components >= 1
    with pytest.raises(ModelFileError, match="mixture"):
        Mixture.from_arrays(arrays, 4)
