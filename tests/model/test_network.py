"""Laws of the network and of the objective."""

import math
from dataclasses import replace

import pytest
import torch

from vae_anomaly.model.batch import Batch
from vae_anomaly.model.network import MemberMLP, NetworkConfig, TabularVAE
from vae_anomaly.model.objective import Noise, iwae_log_weights, mean_elbo, posterior, training_elbo
from vae_anomaly.table.layout import MISSING, UNSEEN, Layout, Part, PartKind


def test_every_parameter_gets_a_gradient(model, table):
    elbo = training_elbo(model, Batch.of(table), 0.1, Noise(), torch.Generator().manual_seed(0))
    elbo.total.sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert parameter.grad.abs().sum() > 0, name


def test_kl_is_the_divergence_of_torch(model, table):
    q = posterior(model, Batch.of(table))
    ours = q.kl()
    normal = torch.distributions.Normal(q.mu, torch.exp(0.5 * q.log_var))
    reference = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(ours, reference, rtol=1e-4, atol=1e-4)


def test_members_do_not_see_each_other(model, table):
    """A member alone, with its own weights, says the same as within the ensemble."""
    batch = Batch.of(table)
    together, kl = mean_elbo(model, batch, 0.1).total, model.prior.kl()(posterior(model, batch))
    for k in range(3):
        alone = TabularVAE(model.layout, replace(model.config, n_members=1))
        alone.load_state_dict({name: tensor[k : k + 1] for name, tensor in model.state_dict().items()})
        torch.testing.assert_close(mean_elbo(alone, batch, 0.1).total[0], together[k], rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(alone.prior.kl()(posterior(alone, batch))[0], kl[k], rtol=1e-5, atol=1e-4)


def test_missing_cells_add_nothing(model, table):
    elbo = mean_elbo(model, Batch.of(table), 0.1)
    observed = torch.from_numpy(table.observed)
    assert bool((elbo.log_likelihood[:, ~observed] == 0).all())
    assert bool((elbo.log_likelihood[:, observed] != 0).all())


def test_a_row_with_nothing_observed_is_finite(model, layout):
    empty = Batch(torch.full((1, 1, 2), math.nan), torch.full((1, 1, 1), math.nan), torch.zeros(1, 1, 4).int())
    elbo = mean_elbo(model, empty, 1.0)
    assert bool(elbo.total.isfinite().all())
    assert bool((elbo.log_likelihood == 0).all())


def test_the_untrained_decoder_says_the_marginals(layout, table):
    model = TabularVAE(layout, NetworkConfig(n_members=2, hidden=(8,), latent=3))
    batch = Batch.of(table)
    model.initialise(0, batch)
    with torch.no_grad():
        model.decoder.network.last.weight.zero_()
    marginal = model.decoder.distributions(model.decoder.marginal(batch).expand(1, len(table), -1)).log_prob(batch)
    torch.testing.assert_close(mean_elbo(model, batch, 0.0).log_likelihood, marginal.expand(2, -1, -1))


def test_initialisation_repeats_and_leaves_the_global_generator_alone(layout, table):
    state = torch.random.get_rng_state()
    models = [TabularVAE(layout, NetworkConfig(n_members=2, hidden=(8,), latent=3)) for _ in range(2)]
    for model in models:
        model.initialise(3, Batch.of(table))
    assert torch.equal(state, torch.random.get_rng_state())
    first, second = (model.state_dict() for model in models)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("width", [1, 5, 16, 40, 96])
def test_scores_take_the_layer_norm_of_training(width):
    network, generator = MemberMLP(2, (7, width, width, 3)), torch.Generator().manual_seed(1)
    for layer in (*network.hidden, network.last):
        layer.initialise(generator)
        layer.bias.data.normal_(3.0, 2.0, generator=generator)
    x = torch.randn((2, 32, 7), generator=generator) * 10
    trained = network(x)
    with torch.inference_mode():
        torch.testing.assert_close(network(x), trained, rtol=1e-4, atol=1e-4)


def test_noise_keeps_clean_rows_clean_and_hides_cells_in_proportion(table):
    batch = Batch.of(table)
    generator = torch.Generator().manual_seed(0)
    noise = Noise(share=0.5, low=0.2, high=0.2, masking=0.5)
    s = noise.levels((40, len(table), 1), generator)
    assert s.unique().tolist() == [0.0, pytest.approx(0.2)]
    assert (s > 0).float().mean().item() == pytest.approx(0.5, abs=0.02)
    seen = noise.corrupt(batch.map(lambda block: block.expand(40, -1, -1)), s, generator)
    clean = (s == 0).squeeze(-1)
    same = batch.values.expand(40, -1, -1)[clean]
    assert bool(((seen.values[clean] == same) | same.isnan()).all())
    known = (batch.values.expand(40, -1, -1)[~clean]).isnan().logical_not()
    assert seen.values[~clean][known].isnan().float().mean().item() == pytest.approx(0.1, abs=0.01)
    codes, before = seen.codes[~clean], batch.codes.expand(40, -1, -1)[~clean]
    known = before > UNSEEN
    assert (codes[known] == MISSING).float().mean().item() == pytest.approx(0.18, abs=0.01)
    assert (codes[known] == UNSEEN).float().mean().item() == pytest.approx(0.02, abs=0.005)


def test_iwae_weights_average_to_the_marginal_likelihood():
    """With a decoder that ignores z, every density is known: log p(x) is the marginal and the KL integrates out."""
    layout = Layout(("x",), (Part(0, PartKind.VALUE),))
    model = TabularVAE(layout, NetworkConfig(n_members=2, hidden=(8,), latent=2))
    batch = Batch(
        torch.randn(1, 50, 1, generator=torch.Generator().manual_seed(1)),
        torch.empty(1, 50, 0),
        torch.empty(1, 50, 0).int(),
    )
    model.initialise(0, batch)
    with torch.no_grad():
        model.decoder.network.last.weight.zero_()
        model.encoder.network.last.weight.mul_(0.3)  # a posterior near the prior, so that few draws suffice
        noise = torch.randn(800, 2, 1, 2, generator=torch.Generator().manual_seed(0))
        log_w = iwae_log_weights(model, batch, noise)
        bound = torch.logsumexp(log_w, 0) - math.log(800)
        truth = mean_elbo(model, batch, 0.0).total
    torch.testing.assert_close(bound, truth, atol=0.1, rtol=0)
