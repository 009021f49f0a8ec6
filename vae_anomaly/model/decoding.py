"""Places in latent space to the rows that they stand for."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from vae_anomaly.model.network import TabularVAE
from vae_anomaly.model.scoring import on_every_core, rows_of_a_tile
from vae_anomaly.table.layout import EncodedTable


def likeliest_rows(model: TabularVAE, places: NDArray[np.float64]) -> EncodedTable:
    """The most likely row at each place: members vote by the mean of their decoder outputs.

    Like scores, rows go through in tiles of one shape, so that a place gets the same row whatever comes with it.

    Parameters
    ----------
    model : TabularVAE
        A trained network.
    places : float64 ndarray of shape (n_rows, n_members · latent)
        At least one, the members' side by side.

    Returns
    -------
    EncodedTable
        Every cell of it is there.
    """
    config, step = model.config, rows_of_a_tile(model.device)
    z = places.reshape(len(places), config.n_members, config.latent).swapaxes(0, 1).astype(np.float32)

    def run(start: int) -> EncodedTable:
        some = z[:, start : start + step]
        whole = np.zeros((config.n_members, step, config.latent), np.float32)
        whole[:, : some.shape[1]] = some
        with torch.inference_mode():
            outputs = model.decoder.network(torch.from_numpy(whole).to(model.device)).mean(0, keepdim=True)
            blocks = model.decoder.distributions(outputs).mode().blocks()
        values, angles, codes = (block[0, : some.shape[1]].cpu().numpy() for block in blocks)
        return EncodedTable(values.astype(np.float32), angles.astype(np.float32), codes.astype(np.int32))

    tiles = on_every_core(model.device, run, range(0, len(places), step))
    blocks = zip(*((tile.values, tile.angles, tile.codes) for tile in tiles), strict=True)
    return EncodedTable(*(np.concatenate(of_tiles) for of_tiles in blocks))
