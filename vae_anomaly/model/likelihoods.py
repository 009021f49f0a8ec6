"""One head per kind of part: what the decoder says of a cell, as a distribution.

A head turns its slice of the decoder's output into a distribution, so that the objective reads as its formula,
log p(x | z). Every distribution works on all its parts at once; nothing loops over members or rows. A missing cell gets
log p = 0 here: it is left out of the likelihood, not imputed.

`Head.marginal` gives the outputs that describe the column on its own, whatever z is. They are both the decoder's first
bias and the baseline that a trained model has to beat.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vae_anomaly.table.layout import FIRST_LEVEL, MISSING, RARE, UNSEEN, Part

LOG_SCALE_BOUNDS = (-2.0, 5.0)
"""Of a standardised number. Without the lower bound a repeated value would buy an endless likelihood, and with a much
lower one the columns that can be told exactly would drown the others."""

MAX_CONCENTRATION = 50.0
"""Of an angle: about 8 degrees, half an hour on the clock."""


class Distribution(Protocol):
    """What a head returns."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density or log probability of each cell, in nats; 0 where the cell is missing."""
        ...

    def mode(self) -> Tensor:
        """The most likely cell, in the encoding of its block."""
        ...


class Head(Protocol):
    """What a part's kind needs of the decoder, and what it makes of it."""

    n_outputs: int

    def __call__(self, outputs: Tensor) -> Distribution:
        """The distribution of the cells."""
        ...

    def marginal(self, x: Tensor) -> Tensor:
        """The outputs that fit the columns of `x` on their own, of shape (n_outputs,)."""
        ...


@dataclass(frozen=True)
class StudentT:
    """Student's t with fixed degrees of freedom ν: a normal centre with tails that outliers can live in."""

    loc: Float[Tensor, "members rows values"]
    log_scale: Float[Tensor, "members rows values"]
    dof: float

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density, in nats per standardised unit."""
        nu, log_scale = self.dof, self.log_scale.contiguous()
        y = (x - self.loc).nan_to_num(0.0) * torch.exp(-log_scale)  # 0 where missing: a NaN would spoil the gradients
        constant: float = math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2) - 0.5 * math.log(nu * math.pi)
        log_p = constant - log_scale - (nu + 1) / 2 * torch.log1p(y.square() / nu)
        return log_p * (~x.isnan())

    def mode(self) -> Tensor:
        """The location."""
        return self.loc


@final
class StudentTHead(nn.Module):
    """Location and log scale of each number.

    Lange, Little & Taylor (1989), "Robust statistical modeling using the t distribution".
    """

    def __init__(self, n_parts: int, dof: float) -> None:
        super().__init__()
        self.n_outputs, self.dof = 2 * n_parts, dof

    def forward(self, outputs: Tensor) -> StudentT:
        """Split the outputs into location and log scale."""
        loc, log_scale = outputs.chunk(2, dim=-1)
        return StudentT(loc, log_scale.clamp(*LOG_SCALE_BOUNDS), self.dof)

    def marginal(self, x: Float[Tensor, "rows values"]) -> Float[Tensor, " outputs"]:
        """Maximum likelihood by the EM algorithm of the t distribution; (0, 1) for a column without a value."""
        observed = ~x.isnan()
        x = x.nan_to_num(0.0)
        count = observed.sum(0).clamp(min=1)
        loc, variance = x.sum(0) / count, torch.ones(x.shape[1], dtype=x.dtype)
        floor = math.exp(2 * LOG_SCALE_BOUNDS[0])
        for _ in range(30):
            squared = (x - loc).square()
            weight = observed * (self.dof + 1) / (self.dof + squared / variance)
            loc = (weight * x).sum(0) / weight.sum(0).clamp(min=1e-12)
            variance = ((weight * (x - loc).square()).sum(0) / count).clamp(min=floor)
        variance = torch.where(observed.any(0), variance, 1.0)
        return torch.cat([loc, 0.5 * variance.log()])


@dataclass(frozen=True)
class VonMises:
    """Von Mises on the circle, by its natural parameters η = κ (cos μ, sin μ)."""

    eta_cos: Float[Tensor, "members rows angles"]
    eta_sin: Float[Tensor, "members rows angles"]

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density, in nats per radian."""
        kappa = torch.hypot(self.eta_cos, self.eta_sin)
        log_bessel: Tensor = torch.special.i0e(kappa).log() + kappa
        observed = ~x.isnan()
        angle = x.nan_to_num(0.0)
        exponent: Tensor = self.eta_cos * angle.cos() + self.eta_sin * angle.sin()
        return (exponent - math.log(2 * math.pi) - log_bessel) * observed

    def mode(self) -> Tensor:
        """The mean direction, in [0, 2π)."""
        return torch.remainder(torch.atan2(self.eta_sin, self.eta_cos), 2 * math.pi)


@final
class VonMisesHead(nn.Module):
    """Direction and concentration of each angle, as one vector whose length is at most `MAX_CONCENTRATION`.

    Mardia & Jupp (2000), "Directional statistics", section 3.5.
    """

    def __init__(self, n_parts: int) -> None:
        super().__init__()
        self.n_outputs = 2 * n_parts

    def forward(self, outputs: Tensor) -> VonMises:
        """Shorten the vector smoothly to the largest concentration."""
        a, b = outputs.chunk(2, dim=-1)
        # The small constant keeps the gradient of the length finite at 0.
        shrink = torch.rsqrt(1 + (a.square() + b.square()) / MAX_CONCENTRATION**2)
        return VonMises(a * shrink + 1e-6, b * shrink)

    def marginal(self, x: Float[Tensor, "rows angles"]) -> Float[Tensor, " outputs"]:
        """Mean direction, and Banerjee's (2005) approximation of the concentration from the resultant length."""
        count = (~x.isnan()).sum(0).clamp(min=1)
        c = torch.where(x.isnan(), 0.0, x.cos()).sum(0) / count
        s = torch.where(x.isnan(), 0.0, x.sin()).sum(0) / count
        r = torch.hypot(c, s).clamp(1e-6, 0.99)
        kappa = (r * (2 - r.square()) / (1 - r.square())).clamp(max=0.9 * MAX_CONCENTRATION)
        stretch = kappa / r / torch.sqrt(1 - (kappa / MAX_CONCENTRATION).square())  # undo the shortening of `forward`
        return torch.cat([c * stretch, s * stretch])


def _with_unseen(log_seen: Tensor, codes: Tensor, unseen: Tensor) -> Tensor:
    """Known levels share 1 − p(unseen); a level never seen in fit gets p(unseen); a missing cell counts 0."""
    log_known = log_seen + torch.log1p(-unseen)
    return torch.where(codes == UNSEEN, unseen.log(), log_known) * (codes != MISSING)


@dataclass(frozen=True)
class Bernoulli:
    """Two levels; `logit` speaks for the second."""

    logit: Float[Tensor, "members rows binaries"]
    unseen: Float[Tensor, " binaries"]

    def log_prob(self, codes: Tensor) -> Tensor:
        """Log probability of the code."""
        sign = 2.0 * (codes - FIRST_LEVEL).clamp(0, 1) - 1.0
        return _with_unseen(nn.functional.logsigmoid(sign * self.logit), codes, self.unseen)

    def mode(self) -> Tensor:
        """The code of the likelier level."""
        return FIRST_LEVEL + (self.logit > 0).int()


@final
class BernoulliHead(nn.Module):
    """One logit for each two-valued part."""

    unseen: Tensor

    def __init__(self, parts: Sequence[Part]) -> None:
        super().__init__()
        self.n_outputs = len(parts)
        self.register_buffer("unseen", _unseen_probabilities(parts), persistent=False)

    def forward(self, outputs: Tensor) -> Bernoulli:
        """The outputs are the logits."""
        return Bernoulli(outputs, self.unseen)

    def marginal(self, codes: Int[Tensor, "rows binaries"]) -> Float[Tensor, " outputs"]:
        """Log odds of the levels' counts, with half a row added to each."""
        first = (codes == FIRST_LEVEL).sum(0) + 0.5
        second = (codes == FIRST_LEVEL + 1).sum(0) + 0.5
        return torch.log(second / first)


@dataclass(frozen=True)
class Categorical:
    """Many parts with different numbers of levels, as log probabilities padded to a few common widths."""

    log_probs: tuple[Float[Tensor, "members rows parts width"], ...]
    head: CategoricalHead

    def log_prob(self, codes: Tensor) -> Tensor:
        """Log probability of the code."""
        symbols = (codes - self.head.first_symbol).clamp(min=0).long()
        pieces = [
            log_p.gather(-1, symbols[..., group.columns].unsqueeze(-1).expand(*log_p.shape[:-1], 1)).squeeze(-1)
            for group, log_p in zip(self.head.groups, self.log_probs, strict=True)
        ]
        log_seen = torch.cat(pieces, dim=-1)[..., self.head.part_order]
        return _with_unseen(log_seen, codes, self.head.unseen)

    def mode(self) -> Tensor:
        """The code of the likeliest level."""
        symbols = torch.cat([log_p.argmax(-1) for log_p in self.log_probs], dim=-1)
        return (symbols[..., self.head.part_order] + self.head.first_symbol).int()


@dataclass(frozen=True)
class _Group:
    """Categories of like width, so that one softmax serves them all."""

    columns: list[int]
    width: int


@final
class CategoricalHead(nn.Module):
    """A softmax for each category, batched over categories of like size.

    A part's symbols are its rare bucket, if it has one, and then its levels. Widths are rounded up to powers of two, so
    there are few groups however many columns a table has; the padding gets probability 0.
    """

    unseen: Tensor
    first_symbol: Tensor
    part_order: Tensor

    def __init__(self, parts: Sequence[Part]) -> None:
        super().__init__()
        sizes = [max(1, part.n_levels + part.has_rare) for part in parts]
        widths = [1 << (size - 1).bit_length() for size in sizes]
        self.groups = [_Group([j for j, w in enumerate(widths) if w == width], width) for width in sorted(set(widths))]
        self.n_outputs = sum(widths)
        order = [j for group in self.groups for j in group.columns]
        first = [RARE if part.has_rare else FIRST_LEVEL for part in parts]
        self.register_buffer("part_order", torch.tensor(order, dtype=torch.long).argsort(), persistent=False)
        self.register_buffer("first_symbol", torch.tensor(first, dtype=torch.int32), persistent=False)
        self.register_buffer("unseen", _unseen_probabilities(parts), persistent=False)
        for i, group in enumerate(self.groups):
            size = torch.tensor([sizes[j] for j in group.columns]).unsqueeze(-1)
            padding = torch.arange(group.width) >= size
            self.register_buffer(f"padding_{i}", padding, persistent=False)

    def _paddings(self) -> list[Tensor]:
        return [self.get_buffer(f"padding_{i}") for i in range(len(self.groups))]

    def forward(self, outputs: Tensor) -> Categorical:
        """Cut the outputs into groups and normalise each part."""
        pieces = torch.split(outputs, [len(g.columns) * g.width for g in self.groups], dim=-1)
        log_probs = tuple(
            torch.unflatten(piece, -1, (len(g.columns), g.width)).masked_fill(padding, -math.inf).log_softmax(-1)
            for g, padding, piece in zip(self.groups, self._paddings(), pieces, strict=True)
        )
        return Categorical(log_probs, self)

    def marginal(self, codes: Int[Tensor, "rows categories"]) -> Float[Tensor, " outputs"]:
        """Log of the symbols' counts, with half a row added to each."""
        symbols = (codes - self.first_symbol).long()
        logits = []
        for group in self.groups:
            for j in group.columns:
                seen = symbols[:, j][symbols[:, j] >= 0]
                counts = torch.bincount(seen, minlength=group.width).float() + 0.5
                logits.append(torch.log(counts / counts.sum()))
        return torch.cat(logits) if logits else torch.zeros(0)


def _unseen_probabilities(parts: Sequence[Part]) -> Float[Tensor, " parts"]:
    return torch.tensor([part.unseen_probability for part in parts], dtype=torch.float32)
