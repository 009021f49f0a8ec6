"""Distributions of z: the encoder's posterior, and the prior that rows are scored against.

While training, the prior is N(0, I). It is a poor description of where the training rows ended up: a row that lies in a
hole between them, or beyond them, may cost no more than any other. Scores take the KL against a mixture of training
rows' own posteriors instead: the aggregate posterior, as exemplars estimate it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

LANES = 16
"""Float32 numbers in the widest vector register of today's CPUs."""

BANDWIDTH = 0.1
"""Added to the variances of exemplars: they stand for their neighbourhood, not for themselves alone."""


@dataclass(frozen=True)
class Posterior:
    """q(z | x): a normal with diagonal covariance."""

    mu: Float[Tensor, "members rows latent"]
    log_var: Float[Tensor, "members rows latent"]

    def sample(self, noise: Float[Tensor, "members rows latent"]) -> Tensor:
        """Reparametrised draw, z = μ + σ ε."""
        return self.mu + torch.exp(0.5 * self.log_var) * noise

    def kl(self) -> Float[Tensor, "members rows"]:
        """KL(q ‖ N(0, I)), in nats."""
        return 0.5 * (self.mu.square() + self.log_var.exp() - 1 - self.log_var).sum(-1)


@final
class ExemplarPrior(nn.Module):
    """p(z) = 1/M Σ_m N(z; μ_m, σ_m² + h), a mixture of the posteriors of M training rows.

    Tomczak & Welling (2018), "VAE with a VampPrior"; Norouzi et al. (2020), "Exemplar VAE". They train with it; here it
    is laid over a trained network. Each member of the ensemble has rows of its own. Without exemplars it is N(0, I).

    Parameters
    ----------
    n_members, latent : int
        Shape of z.
    n_exemplars : int
        M; rounded up to whole `LANES`, as the products of the network are.
    """

    mu: Tensor
    log_var: Tensor

    def __init__(self, n_members: int, n_exemplars: int, latent: int) -> None:
        super().__init__()
        shape = (n_members, -(-n_exemplars // LANES) * LANES, latent)
        self.register_buffer("mu", torch.zeros(shape))
        self.register_buffer("log_var", torch.zeros(shape))

    @property
    def n_exemplars(self) -> int:
        """M, of each member."""
        return self.mu.shape[1]

    def remember(self, q: Posterior) -> None:
        """Take the posteriors of `n_exemplars` rows of each member."""
        self.mu.copy_(q.mu)
        self.log_var.copy_(q.log_var)

    def kl(self) -> Callable[[Posterior], Float[Tensor, "members rows"]]:
        """Upper bound on KL(q ‖ p), in nats, as a function of q; what does not depend on q is computed here, once.

        −H(q) − log 1/M Σ_m exp E_q[log N(z; μ_m, σ_m² + h)], by Jensen's inequality (Hershey & Olsen 2007). For a
        single exemplar it is exact.
        """
        if not self.n_exemplars:
            return Posterior.kl
        # Around the exemplars' centre, so that the squares below do not lose the digits that tell neighbours apart.
        centre = self.mu.mean(1, keepdim=True)
        exemplar, variance = self.mu - centre, self.log_var.exp() + BANDWIDTH
        precision = variance.reciprocal()
        terms = torch.cat([-0.5 * precision, exemplar * precision], dim=-1).transpose(1, 2).contiguous()
        constant = -0.5 * (exemplar.square() * precision + variance.log()).sum(-1).unsqueeze(1)

        def kl(q: Posterior) -> Tensor:
            mu = q.mu - centre
            rows = torch.cat([mu.square() + q.log_var.exp(), mu], dim=-1)
            kernel = torch.baddbmm(constant, rows, terms)
            # A log-sum-exp in place, as this is the largest array of a score; and bounded, because what is smaller adds
            # nothing to a sum in float32, but exponentials that underflow take ten times as long.
            peak = kernel.amax(-1, keepdim=True)
            total = kernel.sub_(peak).clamp_(min=-60.0).exp_().sum(-1)
            log_density: Tensor = total.log() + peak.squeeze(-1) - math.log(self.n_exemplars)
            return -0.5 * (1 + q.log_var).sum(-1) - log_density

        return kl
