"""The likeliest row around the cells that are there: what changed cells are filled with."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from vae_anomaly.model.batch import Batch
from vae_anomaly.model.likelihoods import Bernoulli, Categorical
from vae_anomaly.model.network import Likelihood, TabularVAE
from vae_anomaly.model.objective import posterior
from vae_anomaly.model.scoring import on_every_core, rows_of_a_tile, tile_of
from vae_anomaly.table.layout import FIRST_LEVEL, MISSING, EncodedTable

_UNLIKELY = 1e6
"""Nats; far beyond any level's own."""


def likeliest_cells(model: TabularVAE, table: EncodedTable, avoid: NDArray[np.int32] | None = None) -> EncodedTable:
    """The likeliest value of every cell given those that are there; members vote by the mean of their decoder outputs.

    Unlike a reconstruction it names a level wherever there is one, and never the bucket of rare ones: a row can be
    changed to a level, and not to "something rare".

    Parameters
    ----------
    model : TabularVAE
        A trained network.
    table : EncodedTable
        Rows; cells that are missing or hidden tell nothing.
    avoid : int32 ndarray of shape (n_rows, n_codes), optional
        A code of each discrete cell that shall not be its answer, if there is another level.

    Returns
    -------
    EncodedTable
        Rows without gaps. A row does not depend on the others.
    """
    step = rows_of_a_tile(model.device)
    avoid = np.full_like(table.codes, MISSING) if avoid is None else avoid

    def run(start: int) -> tuple[NDArray[np.float32], ...]:
        rows = table[start : start + step]
        with torch.inference_mode():
            batch = tile_of(rows, model.device)
            avoided = tile_of(EncodedTable(rows.values, rows.angles, avoid[start : start + step]), model.device).codes
            outputs = model.decoder.network(posterior(model, batch).mu).mean(0, keepdim=True)
            mode = likeliest(model.decoder.distributions(outputs), avoided)
            return tuple(block[0, : len(rows)].cpu().numpy() for block in mode.blocks())

    tiles = on_every_core(model.device, run, range(0, len(table), step))
    values, angles, codes = (np.concatenate(blocks) for blocks in zip(*tiles, strict=True))
    return EncodedTable(values, angles, codes.astype(np.int32))


def likeliest(likelihood: Likelihood, avoid: Int[Tensor, "one rows codes"]) -> Batch:
    """The most likely cells, with the codes that are levels and not avoided."""
    mode = likelihood.mode()
    _, _, binary, category = likelihood.heads
    n_binary = likelihood.n_binary
    codes = []
    if isinstance(binary, Bernoulli):
        found = binary.mode()
        codes.append(torch.where(found == avoid[..., :n_binary], 2 * FIRST_LEVEL + 1 - found, found))
    if isinstance(category, Categorical):
        codes.append(_likeliest_levels(category, avoid[..., n_binary:]))
    return Batch(mode.values, mode.angles, torch.cat(codes, dim=-1) if codes else mode.codes)


def _likeliest_levels(category: Categorical, avoid: Int[Tensor, "one rows categories"]) -> Tensor:
    head = category.head
    symbols = []
    for group, log_p in zip(head.groups, category.log_probs, strict=True):
        first = head.first_symbol[group.columns]
        number = torch.arange(group.width, device=log_p.device)
        # An avoided level is still likelier than the padding and the rare bucket: a column of one level keeps it.
        avoided = number == (avoid[..., group.columns] - first).unsqueeze(-1)
        rare = number < (FIRST_LEVEL - first).unsqueeze(-1)
        symbols.append((log_p - _UNLIKELY * avoided).masked_fill(rare, -torch.inf).argmax(-1))
    return (torch.cat(symbols, dim=-1)[..., head.part_order] + head.first_symbol).int()
