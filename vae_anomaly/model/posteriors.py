"""Where the encoder puts rows, and how sure it is of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vae_anomaly.model.network import TabularVAE
from vae_anomaly.model.objective import posterior
from vae_anomaly.model.scoring import on_every_core, rows_of_a_tile, tile_of
from vae_anomaly.table.layout import EncodedTable


@dataclass(frozen=True)
class Posteriors:
    """q(z | x) of rows.

    Parameters
    ----------
    mu, log_var : float32 ndarray of shape (n_members, n_rows, latent)
        Means and log variances.
    """

    mu: NDArray[np.float32]
    log_var: NDArray[np.float32]

    def kl(self) -> NDArray[np.float64]:
        """KL(q ‖ N(0, 1)) of each dimension, in nats."""
        mu, log_var = self.mu.astype(np.float64), self.log_var.astype(np.float64)
        return 0.5 * (mu**2 + np.exp(log_var) - 1 - log_var)


def posteriors(model: TabularVAE, table: EncodedTable) -> Posteriors:
    """The posterior of each row and member.

    Parameters
    ----------
    model : TabularVAE
        A trained network.
    table : EncodedTable
        Rows, at least one.
    """
    step = rows_of_a_tile(model.device)

    def run(start: int) -> tuple[NDArray[np.float32], ...]:
        rows = table[start : start + step]
        with torch.inference_mode():
            q = posterior(model, tile_of(rows, model.device))
        return tuple(block[:, : len(rows)].float().cpu().numpy() for block in (q.mu, q.log_var))

    tiles = on_every_core(model.device, run, range(0, len(table), step))
    return Posteriors(*(np.concatenate(blocks, axis=1) for blocks in zip(*tiles, strict=True)))
