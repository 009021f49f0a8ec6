"""The prior of the exemplars is a density, and its KL a bound."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from vae_anomaly.model.latent import BANDWIDTH, LANES, ExemplarPrior, Posterior


def _posterior(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Posterior(torch.randn(shape, generator=generator), torch.randn(shape, generator=generator) - 2)


def _prior(q, **changes):
    prior = ExemplarPrior(q.mu.shape[0], q.mu.shape[1], q.mu.shape[2])
    prior.remember(Posterior(changes.get("mu", q.mu), changes.get("log_var", q.log_var)))
    return prior


def test_without_exemplars_the_prior_is_standard_normal():
    q = _posterior(2, 50, 3)
    assert torch.equal(ExemplarPrior(2, 0, 3).kl()(q), q.kl())
    exact = kl_divergence(Normal(q.mu, q.log_var.mul(0.5).exp()), Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(q.kl(), exact)


def test_the_kl_to_exemplars_in_one_place_is_that_to_one_of_them_and_the_choice_of_it():
    q, one = _posterior(2, 50, 3), _posterior(2, 1, 3, seed=1)
    copies = Posterior(one.mu.expand(-1, LANES, -1), one.log_var.expand(-1, LANES, -1))
    sigma = (one.log_var.exp() + BANDWIDTH).sqrt()
    exact = kl_divergence(Normal(q.mu, q.log_var.mul(0.5).exp()), Normal(one.mu, sigma)).sum(-1)
    torch.testing.assert_close(_prior(copies).kl()(q), exact + math.log(LANES), rtol=1e-4, atol=1e-4)


def test_the_kl_is_to_the_nearest_exemplar_and_bounds_that_to_the_mixture_from_above():
    q, exemplars = _posterior(1, 20, 3), _posterior(1, 2 * LANES, 3, seed=1)
    sigma = (exemplars.log_var.exp().mean(1) + BANDWIDTH).sqrt()
    kernels = Normal(exemplars.mu[0], sigma)
    found = _prior(exemplars).kl()(q)
    to_each = kl_divergence(Normal(q.mu[0, :, None], q.log_var[0, :, None].mul(0.5).exp()), kernels).sum(-1)
    torch.testing.assert_close(found[0], math.log(2 * LANES) + to_each.amin(-1), rtol=1e-4, atol=1e-4)
    z = q.sample(torch.randn((4000, 1, 20, 3), generator=torch.Generator().manual_seed(2)))
    log_q = Independent(Normal(q.mu, q.log_var.mul(0.5).exp()), 1).log_prob(z)
    log_p = Independent(kernels, 1).log_prob(z.unsqueeze(-2)).logsumexp(-1) - math.log(2 * LANES)
    assert bool((found >= (log_q - log_p).mean(0) - 0.1).all())


def test_a_row_far_from_all_exemplars_costs_more_the_farther_it_is():
    exemplars = _posterior(2, 3 * LANES, 4)
    distance = torch.tensor([0.0, 2.0, 4.0, 8.0, 1000.0])
    q = Posterior(distance[None, :, None].expand(2, -1, 4) + exemplars.mu.mean(1, keepdim=True), torch.zeros(2, 5, 4))
    kl = _prior(exemplars).kl()(q)
    assert bool(kl.isfinite().all())
    assert bool((kl.diff(dim=1) > 0).all())


def test_where_the_exemplars_lie_does_not_matter_only_where_they_lie_to_the_row():
    q, exemplars = _posterior(1, 30, 3), _posterior(1, LANES, 3, seed=1)
    there = Posterior(q.mu + 100.0, q.log_var)
    torch.testing.assert_close(
        _prior(exemplars, mu=exemplars.mu + 100.0).kl()(there), _prior(exemplars).kl()(q), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("asked", [1, LANES, LANES + 1])
def test_exemplars_come_in_whole_lanes(asked):
    assert ExemplarPrior(1, asked, 2).n_exemplars == math.ceil(asked / LANES) * LANES
