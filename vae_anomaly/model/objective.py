"""What is trained and what is scored, in nats.

ELBO(x) = E_q[Σ_j m_j log p(x_j | z)] − β KL(q(z | x) ‖ p(z)), with m_j = 1 where the cell is observed. In training p(z)
is N(0, I), in scores the model's `prior`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vae_anomaly.model.batch import Batch
from vae_anomaly.model.latent import Posterior
from vae_anomaly.model.network import TabularVAE
from vae_anomaly.table.layout import MISSING, UNSEEN


@dataclass(frozen=True)
class Noise:
    """How training rows are corrupted before the encoder sees them.

    Vincent et al. (2008), "Extracting and composing robust features with denoising autoencoders". A share of the rows
    gets Gaussian noise of a level s drawn log-uniformly, and loses cells with a probability in proportion to s. The
    encoder is told s; the decoder has to return the clean row.

    Parameters
    ----------
    share : float
        Share of rows that are corrupted.
    low, high : float
        Range of s, in standard deviations (radians for angles).
    masking : float
        A number is hidden with probability `masking` · s; a code, which noise cannot blur, with probability s.
    """

    share: float = 0.5
    low: float = 0.02
    high: float = 0.65
    masking: float = 0.1

    def levels(self, shape: tuple[int, int, int], generator: torch.Generator) -> Float[Tensor, "members rows 1"]:
        """One level for each row, 0 for the rows that stay clean."""
        u, chosen = (torch.rand(shape, generator=generator, device=generator.device) for _ in range(2))
        s = self.low * torch.exp(u * math.log(self.high / self.low))
        return torch.where(chosen < self.share, s, 0.0)

    def corrupt(self, batch: Batch, s: Float[Tensor, "members rows 1"], generator: torch.Generator) -> Batch:
        """The rows with noise on their numbers and some cells hidden.

        One hidden category in ten is shown as never seen before, so that this code's embedding is trained too.
        """

        def chance(block: Tensor) -> Tensor:
            return torch.rand(block.shape, generator=generator, device=block.device)

        def numbers(block: Tensor) -> Tensor:
            noisy = block + s * torch.randn(block.shape, generator=generator, device=block.device)
            return noisy.masked_fill(chance(block) < self.masking * s, math.nan)

        def codes(block: Tensor) -> Tensor:
            u = chance(block)
            hidden = block.masked_fill(u < s, MISSING)
            return hidden.masked_fill(u < 0.1 * s, UNSEEN)

        return Batch(
            numbers(batch.values) if batch.values.shape[-1] else batch.values,
            numbers(batch.angles) if batch.angles.shape[-1] else batch.angles,
            codes(batch.codes) if batch.codes.shape[-1] else batch.codes,
        )


@dataclass(frozen=True)
class Elbo:
    """The two parts of the ELBO.

    Parameters
    ----------
    log_likelihood : Tensor of shape (members, rows, parts)
        m_j log p(x_j | z).
    kl : Tensor of shape (members, rows)
        KL(q ‖ p(z)).
    beta : float
        Weight of the KL.
    """

    log_likelihood: Float[Tensor, "members rows parts"]
    kl: Float[Tensor, "members rows"]
    beta: float

    @property
    def total(self) -> Float[Tensor, "members rows"]:
        """Σ_j m_j log p(x_j | z) − β KL."""
        return self.log_likelihood.sum(-1) - self.beta * self.kl


def training_elbo(
    model: TabularVAE, batch: Batch, beta: float, noise: Noise, generator: torch.Generator, own: slice = slice(None)
) -> Elbo:
    """One-sample estimate of the ELBO of the clean rows, seen through corrupted ones.

    Of the `own` rows alone, with the noise that they have in the whole batch.
    """
    members, n_rows = model.config.n_members, batch.codes.shape[1]
    s = noise.levels((members, n_rows, 1), generator)
    corrupted = noise.corrupt(batch, s, generator)
    epsilon = torch.randn((members, n_rows, model.config.latent), generator=generator, device=generator.device)
    q: Posterior = model.encoder(corrupted.map(lambda block: block[:, own]), s[:, own])
    z = q.sample(epsilon[:, own])
    return Elbo(model.decoder(z).log_prob(batch.map(lambda block: block[:, own])), q.kl(), beta)


def mean_elbo(model: TabularVAE, batch: Batch, beta: float) -> Elbo:
    """The ELBO with z at the posterior mean and no noise: a function of the row alone, and so the same each time."""
    q = posterior(model, batch)
    return Elbo(model.decoder(q.mu).log_prob(batch), q.kl(), beta)


def posterior(model: TabularVAE, batch: Batch) -> Posterior:
    """q(z | x) of clean rows."""
    s = torch.zeros((1, batch.codes.shape[1], 1), device=model.device)
    q: Posterior = model.encoder(batch, s)
    return q


def iwae_log_weights(
    model: TabularVAE, batch: Batch, noise: Float[Tensor, "samples members 1 latent"]
) -> Float[Tensor, "samples members rows"]:
    """Compute log p(x | z) + log p(z) − log q(z | x) for z = μ + σ ε, with the given ε for every row.

    Burda, Grosse & Salakhutdinov (2016), "Importance weighted autoencoders". The mean of the weights over the samples
    estimates p(x) from below. The same ε serve all rows, so that a row's value does not depend on its neighbours.
    """
    q = posterior(model, batch)
    weights = []
    for epsilon in noise:
        z = q.sample(epsilon)
        log_p_z, log_q_z = -0.5 * z.square().sum(-1), -0.5 * (epsilon.square() + q.log_var).sum(-1)
        weights.append(model.decoder(z).log_prob(batch).sum(-1) + log_p_z - log_q_z)
    return torch.stack(weights)
