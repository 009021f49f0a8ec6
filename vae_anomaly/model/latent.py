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

from vae_anomaly.model.products import product

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
    """p(z) = 1/M Σ_m N(z; μ_m, v), a mixture around the posterior means of M training rows.

    Its variances v, the same for all of them, are the posteriors' mean variances and `BANDWIDTH`. Tomczak & Welling
    (2018), "VAE with a VampPrior"; Norouzi et al. (2020), "Exemplar VAE". They train with it; here it is laid over a
    trained network. Each member of the ensemble has rows of its own. Without exemplars it is N(0, I).

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
        self.register_buffer("log_var", torch.zeros((n_members, 1, latent)))

    @property
    def n_exemplars(self) -> int:
        """M, of each member."""
        return self.mu.shape[1]

    def remember(self, q: Posterior) -> None:
        """Take the posteriors of `n_exemplars` rows of each member."""
        self.mu.copy_(q.mu)
        self.log_var.copy_((q.log_var.exp().mean(1, keepdim=True) + BANDWIDTH).log())

    def kl(self) -> Callable[[Posterior], Float[Tensor, "members rows"]]:
        """Upper bound on KL(q ‖ p), in nats, as a function of q; what does not depend on q is computed here, once.

        log M + min_m KL(q ‖ N(μ_m, v)): a mixture is nowhere less than a component's share of it. The whole sum over
        the components, bounded as Hershey & Olsen (2007) do, ranks rows no better and takes longer.
        """
        if not self.n_exemplars:
            return Posterior.kl
        # Around the exemplars' centre, so that the squares below do not lose the digits that tell neighbours apart.
        centre, precision = self.mu.mean(1, keepdim=True), (-self.log_var).exp()
        exemplar = self.mu - centre
        constant = -0.5 * (exemplar.square() * precision).sum(-1, keepdim=True)
        terms = torch.cat([exemplar * precision, constant], -1).transpose(1, 2).contiguous()
        least = math.log(self.n_exemplars) + 0.5 * (self.log_var - 1).sum(-1)

        def kl(q: Posterior) -> Tensor:
            mu, log_var = q.mu - centre, q.log_var.contiguous()
            by_one = torch.cat([mu, mu.new_ones((*mu.shape[:-1], 1))], -1)
            # −½ (μ − μ_m)²/v of the nearest m, but for ½ μ²/v. Member by member, since the product of one still lies in
            # the cache when its largest are looked for.
            products = (product(x[None], y[None]) for x, y in zip(by_one.unbind(), terms.unbind(), strict=True))
            nearest = torch.cat([found.amax(-1) for found in products])
            spread = torch.addcmul(log_var.exp(), mu, mu).mul_(precision).sub_(log_var)
            return least - nearest + 0.5 * spread.sum(-1)

        return kl
