"""What one member of the ensemble says of rows and of places in its latent space, as NumPy arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from vae_anomaly.model.batch import Batch
from vae_anomaly.model.likelihoods import Bernoulli, Categorical, StudentT, VonMises
from vae_anomaly.model.network import Likelihood, TabularVAE
from vae_anomaly.model.objective import posterior
from vae_anomaly.table.layout import EncodedTable, PartKind

Floats = NDArray[np.float64]

_TILE = 2048


@dataclass(frozen=True, eq=False)
class Given:
    """p(x | z) of one member, part by part.

    Parameters
    ----------
    loc, scale : float64 ndarray of shape (n_rows, n_values)
        Of the numbers.
    direction, concentration : float64 ndarray of shape (n_rows, n_angles)
        Of the angles, in radians.
    log_probs : tuple of float32 ndarray of shape (n_rows, n_symbols)
        Of each code: its rare bucket, if it has one, and its levels.
    ranks : float64 ndarray of shape (n_rows, n_columns)
        Once numbers are drawn: the shares of rows that lie below those of each column of many values.
    """

    loc: Floats
    scale: Floats
    direction: Floats
    concentration: Floats
    log_probs: tuple[NDArray[np.float32], ...]
    ranks: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    def __len__(self) -> int:
        return len(self.loc)


def positions(model: TabularVAE, table: EncodedTable, member: int, rng: np.random.Generator) -> Floats:
    """Where one member has rows in its latent space: a draw of each posterior, of shape (n_rows, latent)."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(table), _TILE):
            rows = Batch.of(table[start : start + _TILE]).map(lambda block: block.to(model.device))
            q = posterior(model, rows)
            noise = torch.from_numpy(rng.standard_normal(q.mu.shape[1:]).astype(np.float32)).to(model.device)
            found.append(q.sample(noise)[member].double().cpu().numpy())
    return np.concatenate(found)


def given(model: TabularVAE, z: Floats, member: int) -> Given:
    """What one member says of the cells of rows that lie at `z`, of shape (n_rows, latent)."""
    tiles = []
    with torch.inference_mode():
        for start in range(0, len(z), _TILE):
            places = torch.from_numpy(z[start : start + _TILE].astype(np.float32)).to(model.device)
            likelihood = model.decoder(places.expand(model.config.n_members, -1, -1))
            tiles.append(_of_member(likelihood, model, member, len(places)))
    return Given(
        np.concatenate([tile.loc for tile in tiles]),
        np.concatenate([tile.scale for tile in tiles]),
        np.concatenate([tile.direction for tile in tiles]),
        np.concatenate([tile.concentration for tile in tiles]),
        tuple(np.concatenate(blocks) for blocks in zip(*(tile.log_probs for tile in tiles), strict=True)),
    )


def _of_member(likelihood: Likelihood, model: TabularVAE, member: int, n_rows: int) -> Given:
    value, angle, binary, category = likelihood.heads
    nothing = np.zeros((n_rows, 0))
    loc = scale = direction = concentration = nothing
    if isinstance(value, StudentT):
        loc, scale = _plain(value.loc[member]), _plain(value.log_scale[member].exp())
    if isinstance(angle, VonMises):
        eta = angle.eta_cos[member], angle.eta_sin[member]
        direction, concentration = _plain(torch.atan2(eta[1], eta[0])), _plain(torch.hypot(*eta))
    codes: list[Float[Tensor, "rows symbols"]] = []
    if isinstance(binary, Bernoulli):
        logits = binary.logit[member].T
        codes += [torch.nn.functional.logsigmoid(torch.stack([-logit, logit], dim=-1)) for logit in logits]
    if isinstance(category, Categorical):
        codes += _log_probs(category, member)
    sizes = [max(1, p.n_levels + p.has_rare) for p in model.layout.of_kind(PartKind.BINARY, PartKind.CATEGORY)]
    log_probs = (log_p[:, :size].cpu().numpy() for log_p, size in zip(codes, sizes, strict=True))
    return Given(loc, scale, direction, concentration, tuple(log_probs))


def _plain(tensor: Tensor) -> Floats:
    return np.asarray(tensor.double().cpu().numpy())


def _log_probs(category: Categorical, member: int) -> list[Tensor]:
    """Of each category, in the order of the parts."""
    of_part: dict[int, Tensor] = {}
    for group, log_p in zip(category.head.groups, category.log_probs, strict=True):
        of_part |= {column: log_p[member, :, place] for place, column in enumerate(group.columns)}
    return [of_part[column] for column in sorted(of_part)]
