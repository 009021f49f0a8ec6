"""What stands in missing cells: the place in latent space that explains the observed ones best, and what is there.

While training few numbers are hidden, so of a row with many gaps the encoder says too little. Its posterior mean is
where a search begins: z is moved to where log p(x_observed | z) + log p(z) is highest, with p(z) = N(0, I).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from vae_anomaly.model.batch import Batch
from vae_anomaly.model.latent import Posterior
from vae_anomaly.model.likelihoods import Bernoulli, Categorical, Distribution, StudentT, VonMises
from vae_anomaly.model.nearest import likeliest
from vae_anomaly.model.network import Likelihood, TabularVAE
from vae_anomaly.model.objective import posterior
from vae_anomaly.model.scoring import on_every_core, rows_of_a_tile, tile_of
from vae_anomaly.table.layout import MISSING, EncodedTable

Floats = NDArray[np.float64]

_STEPS, _RATE = 30, 0.2
"""Of Adam. On development tables fewer steps left numbers worse by up to a tenth, and 200 made none better by more than
a twentieth."""

_NARROWED = 0.3
"""What the encoder's deviations are multiplied by around the likeliest place. On development tables drawn levels were
then right as often as they agreed with each other; at 1 they were right less often, and agreed still less."""

_N_AROUND = 16
"""Places that stand for those around the likeliest one."""


@dataclass(frozen=True)
class Explanation:
    """Where in latent space the observed cells of rows say that these lie, for each member.

    Parameters
    ----------
    z : Tensor of shape (members, rows, latent)
        The likeliest place.
    log_var : Tensor of shape (members, rows, latent)
        Of the posterior, as the encoder has it.
    numbers : Tensor of shape (members, rows, values)
        What the decoder expects there.
    blank : bool Tensor of shape (members or 1, rows, 1)
        Which rows have no observed cell at all.
    """

    z: Float[Tensor, "members rows latent"]
    log_var: Float[Tensor, "members rows latent"]
    numbers: Float[Tensor, "members rows values"]
    blank: Bool[Tensor, "some rows 1"]


def explanation(model: TabularVAE, rows: Batch) -> Explanation:
    """The z of highest log p(x_observed | z) + log p(z), by gradient ascent from the posterior mean.

    Kingma & Ba (2015), "Adam"; the step shrinks to 0. Kim et al. (2018), "Semi-amortized variational autoencoders", for
    the search from where the encoder begins.

    Parameters
    ----------
    model : TabularVAE
        A trained network.
    rows : Batch
        The same rows for all members, or each one's own; a row does not depend on the others.
    """
    with torch.no_grad():
        q = posterior(model, rows)
    z = q.mu.clone().requires_grad_()
    optimizer = torch.optim.Adam([z], lr=_RATE, maximize=True)
    for step in range(_STEPS):
        optimizer.param_groups[0]["lr"] = _RATE * (1 - step / _STEPS)
        log_p = model.decoder(z).log_prob(rows).sum() - 0.5 * z.square().sum()
        (z.grad,) = torch.autograd.grad(log_p, z)
        optimizer.step()
    with torch.no_grad():
        blank = ~rows.observed().any(-1, keepdim=True)
        return Explanation(z.detach(), q.log_var, model.decoder(z).mode().values, blank)


def drawn_cells(model: TabularVAE, found: Explanation, rng: np.random.Generator) -> Batch:
    """A draw of all cells by each member: of z around the likeliest place, and of what is there."""
    with torch.no_grad():
        likelihood = _around(model, found, rng)
        heads = tuple(None if head is None else _noisy(head, rng) for head in likelihood.heads)
        return _likeliest(replace(likelihood, heads=heads))


def drawn_numbers(
    model: TabularVAE, found: Explanation, rng: np.random.Generator
) -> Float[Tensor, "members rows values"]:
    """The numbers of such a draw alone: with thousands of levels that is much the faster."""
    with torch.no_grad():
        head = _around(model, found, rng).heads[0]
        return found.numbers if head is None else _noisy(head, rng).mode()


def middle(model: TabularVAE, found: Explanation, rng: np.random.Generator) -> Float[Tensor, "members rows values"]:
    """The mean of the numbers around the likeliest place, which is not what is expected at that place."""
    with torch.no_grad():
        heads = (_around(model, found, rng).heads[0] for _ in range(_N_AROUND))
        return torch.stack([found.numbers if head is None else head.mode() for head in heads]).mean(0)


def _around(model: TabularVAE, found: Explanation, rng: np.random.Generator) -> Likelihood:
    """What the decoder says of a z that is drawn around the likeliest place; of a blank row, around an exemplar."""
    z, exemplars = found.z, model.prior.mu
    if model.prior.n_exemplars and found.blank.any():
        chosen = torch.from_numpy(rng.integers(model.prior.n_exemplars, size=(*z.shape[:2], 1))).to(z.device)
        z = torch.where(found.blank, exemplars.take_along_dim(chosen, dim=1), z)
    noise = torch.from_numpy(rng.standard_normal(z.shape, dtype=np.float32)).to(model.device)
    likelihood: Likelihood = model.decoder(Posterior(z, found.log_var).sample(_NARROWED * noise))
    return likelihood


def _likeliest(likelihood: Likelihood) -> Batch:
    """The most likely cells; of a category a level, never the bucket of rare ones."""
    mode = likelihood.mode()
    return likeliest(likelihood, torch.full_like(mode.codes[:1], MISSING))


def _noisy(head: Distribution, rng: np.random.Generator) -> Distribution:
    """A distribution whose mode is a draw from this one (of levels: Gumbel 1954)."""
    if isinstance(head, StudentT):
        t = torch.from_numpy(rng.standard_t(head.dof, head.loc.shape).astype(np.float32)).to(head.loc.device)
        return replace(head, loc=head.loc + head.log_scale.exp() * t)
    if isinstance(head, VonMises):
        eta = torch.complex(head.eta_cos, head.eta_sin)
        angle = rng.vonmises(eta.angle().cpu().numpy(), eta.abs().cpu().numpy()).astype(np.float32)
        turned = torch.from_numpy(angle).to(eta.device)
        return VonMises(turned.cos(), turned.sin())
    if isinstance(head, Bernoulli):
        logistic = torch.from_numpy(rng.logistic(size=head.logit.shape).astype(np.float32))
        return replace(head, logit=head.logit + logistic.to(head.logit.device))
    if isinstance(head, Categorical):
        return replace(head, log_probs=tuple(log_p + _gumbel(log_p, rng) for log_p in head.log_probs))
    raise TypeError(f"Expected a distribution of the decoder's heads, found {type(head).__name__}.")


def _gumbel(like: Tensor, rng: np.random.Generator) -> Tensor:
    return torch.from_numpy(-np.log(rng.standard_exponential(like.shape, dtype=np.float32) + 1e-30)).to(like.device)


@dataclass(frozen=True)
class Completion:
    """Rows whose missing cells can be filled: with what is expected there, or with draws.

    Parameters
    ----------
    model : TabularVAE
        A trained network.
    found : tuple of Explanation
        Of each tile of rows.
    n_rows : int
        How many rows the tiles hold, padding aside.
    """

    model: TabularVAE
    found: tuple[Explanation, ...]
    n_rows: int

    @classmethod
    def of_rows(cls, model: TabularVAE, table: EncodedTable) -> Completion:
        """Search for all rows."""
        step = rows_of_a_tile(model.device)

        def run(start: int) -> Explanation:
            return explanation(model, tile_of(table[start : start + step], model.device))

        tiles = on_every_core(model.device, run, range(0, len(table), step))
        return cls(model, tuple(tiles), len(table))

    def expected(self) -> EncodedTable:
        """The likeliest cells; members vote by the mean of their decoder outputs."""

        def run(tile: int) -> EncodedTable:
            with torch.no_grad():
                outputs = self.model.decoder.network(self.found[tile].z).mean(0, keepdim=True)
                return _table(_likeliest(self.model.decoder.distributions(outputs)), 0)

        return self._joined(on_every_core(self.model.device, run, range(len(self.found))))

    def draws(self, seed: int) -> Iterator[tuple[EncodedTable, Floats]]:
        """Draws without end, one member's after the other's, and how far their numbers are from the middle of all.

        Parameters
        ----------
        seed : int
            Of the draws; each row has its own.
        """
        middles = on_every_core(self.model.device, self._middle, range(len(self.found)))
        turn = 0
        while True:
            rngs = [np.random.default_rng([seed, turn, tile]) for tile in range(len(self.found))]

            def run(tile: int, rngs: list[np.random.Generator] = rngs) -> Batch:
                return drawn_cells(self.model, self.found[tile], rngs[tile])

            tiles = on_every_core(self.model.device, run, range(len(self.found)))
            for member in range(self.model.config.n_members):
                drawn = self._joined([_table(tile, member) for tile in tiles])
                around = np.concatenate([tile[member].cpu().numpy() for tile in middles])[: self.n_rows]
                yield drawn, drawn.values.astype(np.float64) - around
            turn += 1

    def _middle(self, tile: int) -> Tensor:
        return middle(self.model, self.found[tile], np.random.default_rng(tile))

    def _joined(self, tiles: list[EncodedTable]) -> EncodedTable:
        blocks = zip(*((tile.values, tile.angles, tile.codes) for tile in tiles), strict=True)
        return EncodedTable(*(np.concatenate(block) for block in blocks))[: self.n_rows]


def _table(batch: Batch, member: int) -> EncodedTable:
    values, angles, codes = (block[member].cpu().numpy() for block in batch.blocks())
    return EncodedTable(values, angles, codes.astype(np.int32))
