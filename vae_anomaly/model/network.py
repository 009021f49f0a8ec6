"""Encoder, decoder and the variational autoencoder: all members of an ensemble in one module.

Kingma & Welling (2014), "Auto-encoding variational Bayes". Each weight has a leading member dimension, and one batched
matrix product serves all members, so an ensemble costs little more Python time than a single network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_anomaly.model.batch import Batch
from vae_anomaly.model.latent import LANES, ExemplarPrior, Posterior
from vae_anomaly.model.likelihoods import (
    BernoulliHead,
    CategoricalHead,
    Distribution,
    Head,
    StudentTHead,
    VonMisesHead,
)
from vae_anomaly.model.own_network import NetworkShape, OwnNetwork, OwnNetworks
from vae_anomaly.model.products import affine
from vae_anomaly.table.layout import FIRST_LEVEL, Layout, PartKind

MAX_EMBEDDING = 8
"""Width of a category's embedding: enough to tell its levels' habits apart, small enough for thousands of levels."""

NORM_EPSILON = 1e-5
"""Added to the variance in layer norm."""


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the network.

    Parameters
    ----------
    n_members : int
        Networks in the ensemble.
    hidden : tuple of int
        Widths of the encoder's hidden layers; the decoder has them in reverse.
    latent : int
        Dimension of z.
    dof : float
        Degrees of freedom of the Student-t likelihood.
    n_exemplars : int
        Training rows of each member that make up the prior of its scores; 0 leaves it at N(0, I).
    """

    n_members: int = 3
    hidden: tuple[int, ...] = (96, 96)
    latent: int = 32
    dof: float = 3.0
    n_exemplars: int = 512


@final
class MemberLinear(nn.Module):
    """A linear layer for each member.

    The product is computed with its width rounded up to `LANES`. At other widths the edge of the product is computed
    by another kernel than its body, and a row's last bits would depend on its place in the batch.
    """

    def __init__(self, n_members: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.n_out = n_out
        width = -(-n_out // LANES) * LANES
        self.weight = nn.Parameter(torch.empty(n_members, n_in, width))
        self.bias = nn.Parameter(torch.zeros(n_members, 1, width))

    def initialise(self, generator: torch.Generator) -> None:
        """Uniform weights of variance 1 / (3 · n_in), the range of ``torch.nn.Linear``, and zero bias."""
        bound = 1.0 / math.sqrt(max(1, self.weight.shape[1]))
        with torch.no_grad():
            self.weight.copy_(torch.empty(self.weight.shape).uniform_(-bound, bound, generator=generator))
            self.bias.zero_()

    def forward(
        self, x: Float[Tensor, "members rows n_in"], centred: bool = False
    ) -> Float[Tensor, "members rows n_out"]:
        """One batched product for all members; less the mean of each row's outputs, if they are to be `centred`.

        That is what the mean of the weights makes of the row: it is taken off these, which are fewer.
        """
        bias: Tensor = self.bias
        weight: Tensor = self.weight
        if centred:
            bias, weight = (part - part[..., : self.n_out].mean(-1, keepdim=True) for part in (bias, weight))
        return affine(bias, x, weight)[..., : self.n_out]


@final
class _Norm(nn.Module):
    """Layer norm without weights, by a scale of 1 and a shift of 0: without any the CPU takes a slower kernel."""

    one: Tensor
    zero: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("one", torch.ones(width), persistent=False)
        self.register_buffer("zero", torch.zeros(width), persistent=False)

    def forward(
        self, x: Float[Tensor, "members rows width"], centred: bool = False
    ) -> Float[Tensor, "members rows width"]:
        """Each row to mean 0 and variance 1; in place, and in fewer passes, where the mean is 0."""
        if not centred:
            return nn.functional.layer_norm(x, x.shape[-1:], self.one, self.zero, NORM_EPSILON)
        variance = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1])
        return x.mul_(variance.add_(NORM_EPSILON).rsqrt_())


@final
class MemberMLP(nn.Module):
    """Hidden layers of linear, layer norm and SiLU, and a linear layer at the end."""

    def __init__(self, n_members: int, widths: Sequence[int]) -> None:
        super().__init__()
        *hidden, last = (MemberLinear(n_members, a, b) for a, b in pairwise(widths))
        self.hidden, self.last = nn.ModuleList(hidden), last
        self.norms = nn.ModuleList(_Norm(width) for width in widths[1:-1])

    def forward(self, x: Float[Tensor, "members rows n_in"]) -> Float[Tensor, "members rows n_out"]:
        """Run all layers."""
        scoring = torch.is_inference_mode_enabled()
        for layer, norm in zip(self.hidden, self.norms, strict=True):
            x = nn.functional.silu(norm(layer(x, scoring), scoring), inplace=True)
        result: Tensor = self.last(x)
        return result

    def begin_at(self, outputs: Float[Tensor, " n_out"]) -> None:
        """Let the last layer's bias be these outputs, and its weights so small that they hardly add to them."""
        self.last.weight.mul_(0.1)  # so that z, still meaningless, does not drown the marginals
        self.last.bias[..., : self.last.n_out] = outputs


@final
class Encoder(nn.Module):
    """q(z | x, m, s): what is seen, which cells are seen, and how much noise was put on them."""

    embedding_offset: Tensor

    def __init__(self, layout: Layout, config: NetworkConfig, own: OwnNetworks) -> None:
        super().__init__()
        categories = list(layout.of_kind(PartKind.CATEGORY))
        self.n_binary = layout.n_codes - len(categories)
        sizes = [FIRST_LEVEL + part.n_levels for part in categories]
        width = MAX_EMBEDDING if categories else 0
        self.embedding = nn.Parameter(torch.empty(config.n_members, sum(sizes), width))
        offset = torch.tensor([sum(sizes[:j]) for j in range(len(sizes))], dtype=torch.long)
        self.register_buffer("embedding_offset", offset, persistent=False)
        flagged = layout.n_values + layout.n_angles + self.n_binary
        n_in = flagged + layout.n_angles + flagged + width * len(categories) + 1
        self.network: MemberMLP | OwnNetwork
        if own.encoder is None:
            self.network = MemberMLP(config.n_members, (n_in, *config.hidden, 2 * config.latent))
        else:
            columns = tuple(layout.columns[part.column] for part in layout.of_kind(PartKind.VALUE))
            shape = NetworkShape(n_in, 2 * config.latent, columns)
            self.network = OwnNetwork("encoder", own.encoder, shape, config.n_members, own.seed)

    def forward(self, batch: Batch, noise_level: Float[Tensor, "members rows 1"]) -> Posterior:
        """The posterior of each member."""
        mu, log_var = self.network(self._inputs(batch, noise_level)).chunk(2, dim=-1)
        return Posterior(mu, log_var.clamp(-10.0, 6.0))

    def _inputs(self, batch: Batch, noise_level: Tensor) -> Tensor:
        # The order is part of the model file's format, and of `NetworkShape`: a change needs a new format number.
        members = self.embedding.shape[0]
        binary, category = batch.codes[..., : self.n_binary], batch.codes[..., self.n_binary :]
        blocks = [noise_level]
        if batch.values.shape[-1]:
            blocks += [batch.values.nan_to_num(0.0), (~batch.values.isnan()).float()]
        if batch.angles.shape[-1]:
            blocks += [batch.angles.cos().nan_to_num(0.0), batch.angles.sin().nan_to_num(0.0)]
            blocks += [(~batch.angles.isnan()).float()]
        if self.n_binary:
            seen = binary >= FIRST_LEVEL
            blocks += [torch.where(seen, 2.0 * (binary - FIRST_LEVEL) - 1.0, 0.0), seen.float()]
        if category.shape[-1]:
            blocks += [self._embedded(category)]
        return torch.cat([block.expand(members, -1, -1) for block in blocks], dim=-1)

    def _embedded(self, codes: Tensor) -> Tensor:
        members, size, width = self.embedding.shape
        member_offset = torch.arange(members, device=codes.device).mul(size)[:, None, None]
        index = codes + self.embedding_offset + member_offset
        return nn.functional.embedding(index, self.embedding.view(members * size, width)).flatten(-2)


@final
class Decoder(nn.Module):
    """p(x | z) = Π_j p_j(x_j | z): one head per kind of part."""

    def __init__(self, layout: Layout, config: NetworkConfig, own: OwnNetworks) -> None:
        super().__init__()
        self.n_values, self.n_angles = layout.n_values, layout.n_angles
        binaries, categories = (list(layout.of_kind(kind)) for kind in (PartKind.BINARY, PartKind.CATEGORY))
        self.n_binary = len(binaries)
        self.value, self.angle = StudentTHead(layout.n_values, config.dof), VonMisesHead(layout.n_angles)
        self.binary, self.category = BernoulliHead(binaries), CategoricalHead(categories)
        n_out = sum(head.n_outputs for head in self.heads)
        self.network: MemberMLP | OwnNetwork
        if own.decoder is None:
            self.network = MemberMLP(config.n_members, (config.latent, *reversed(config.hidden), n_out))
        else:
            shape = NetworkShape(config.latent, n_out)
            self.network = OwnNetwork("decoder", own.decoder, shape, config.n_members, own.seed + 1)

    @property
    def heads(self) -> tuple[Head, ...]:
        """The four heads, in the order of `Layout.parts`."""
        return (self.value, self.angle, self.binary, self.category)

    def forward(self, z: Float[Tensor, "members rows latent"]) -> Likelihood:
        """The distribution of every cell."""
        return self.distributions(self.network(z))

    def distributions(self, outputs: Float[Tensor, "members rows outputs"]) -> Likelihood:
        """Give each head its slice of the outputs."""
        pieces = torch.split(outputs, [head.n_outputs for head in self.heads], dim=-1)
        heads = [head(piece) if piece.shape[-1] else None for head, piece in zip(self.heads, pieces, strict=True)]
        return Likelihood(tuple(heads), self.n_binary)

    def marginal(self, rows: Batch) -> Float[Tensor, " outputs"]:
        """Outputs that describe each column on its own."""
        blocks = _blocks(rows.map(lambda block: block[0]), self.n_binary)
        pieces = [head.marginal(x) for head, x in zip(self.heads, blocks, strict=True) if head.n_outputs]
        return torch.cat(pieces)


@dataclass(frozen=True)
class Likelihood:
    """p(x | z) of whole rows; a block without parts has no distribution."""

    heads: tuple[Distribution | None, ...]
    n_binary: int

    def log_prob(self, batch: Batch) -> Float[Tensor, "members rows parts"]:
        """Log likelihood of each cell in nats, 0 where it is missing."""
        blocks = _blocks(batch, self.n_binary)
        return torch.cat([p.log_prob(x) for p, x in zip(self.heads, blocks, strict=True) if p is not None], dim=-1)

    def mode(self) -> Batch:
        """The most likely cells."""
        value, angle, binary, category = (None if p is None else p.mode() for p in self.heads)
        some = next(block for block in (value, angle, binary, category) if block is not None)
        empty = some.new_empty((*some.shape[:-1], 0))
        codes = torch.cat([(empty if block is None else block).int() for block in (binary, category)], dim=-1)
        return Batch(empty.float() if value is None else value, empty.float() if angle is None else angle, codes)


def _blocks(batch: Batch, n_binary: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return batch.values, batch.angles, batch.codes[..., :n_binary], batch.codes[..., n_binary:]


@final
class TabularVAE(nn.Module):
    """The ensemble: encoder, decoder and prior of all members.

    Parameters
    ----------
    layout : Layout
        The parts of the table.
    config : NetworkConfig
        Sizes of the network.
    own : OwnNetworks
        Which networks are the user's own; by default none.
    """

    def __init__(self, layout: Layout, config: NetworkConfig, own: OwnNetworks | None = None) -> None:
        super().__init__()
        self.layout, self.config = layout, config
        own = own or OwnNetworks()
        self.encoder, self.decoder = Encoder(layout, config, own), Decoder(layout, config, own)
        self.prior = ExemplarPrior(config.n_members, config.n_exemplars, config.latent)

    def initialise(self, seed: int, rows: Batch) -> None:
        """Draw the weights from a local generator, and let the decoder begin at the columns' marginals.

        Networks of the user's own have drawn theirs when they were made.
        """
        generator = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, MemberLinear):
                module.initialise(generator)
        with torch.no_grad():
            self.encoder.embedding.copy_(torch.empty(self.encoder.embedding.shape).normal_(0, 0.5, generator=generator))
            self.decoder.network.begin_at(self.decoder.marginal(rows))

    @property
    def own_networks(self) -> list[OwnNetwork]:
        """Those of the user's own."""
        return [network for network in (self.encoder.network, self.decoder.network) if isinstance(network, OwnNetwork)]

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.encoder.embedding.device
