"""Rows to surprisals, always in tiles of one shape.

A matrix product may round differently when its shape changes, and so a row's score would depend on how many rows came
with it. Here every product has the same shape: rows go through in tiles of `TILE`, the last one padded. The same row
then gets the same score bit for bit, whatever its neighbours, the order, the batch size or the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vae_anomaly.model.batch import Batch
from vae_anomaly.model.network import TabularVAE
from vae_anomaly.model.objective import iwae_log_weights, posterior
from vae_anomaly.model.threads import at_most
from vae_anomaly.table.layout import EncodedTable, Layout, PartKind

TILE = 1024
"""Rows of a tile: few enough for its activations to stay near a core, enough to outweigh the calls around it."""

DEVICE_TILE = 8192
"""Rows of a tile on a GPU, which needs more of them to be busy."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Surprisals:
    """What the ensemble says of rows, averaged over its members.

    Parameters
    ----------
    parts : float64 ndarray of shape (n_rows, n_parts)
        −log p(x_j | z) at the posterior mean, in nats; 0 where the cell is missing.
    kl : float64 ndarray of shape (n_rows,)
        KL(q(z | x) ‖ p(z)) to the exemplars that the model remembers, in nats.
    """

    parts: NDArray[np.float64]
    kl: NDArray[np.float64]

    def by_column(self, layout: Layout, weight: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Sum of the parts of each column, each part times its weight if there is one, of shape (n_rows, n_columns)."""
        parts = self.parts if weight is None else self.parts * weight
        # Rows lie one after the other in memory, however few: their sums are rounded alike.
        columns: NDArray[np.float64] = np.take(parts, layout.first_parts, axis=1) + 0.0  # no -0.0
        for part, column in layout.further_parts:
            columns[:, column] += parts[:, part]
        return columns

    def scores(self, layout: Layout, weight: NDArray[np.float64] | None, kl_weight: float) -> NDArray[np.float64]:
        """Weighted sum of the surprisals and the KL, less than zero: higher is more normal."""
        surprisal: NDArray[np.float64] = self.by_column(layout, weight).sum(axis=1)
        return -(surprisal + kl_weight * self.kl)


def part_weights(
    layout: Layout, spread: NDArray[np.float64], most_numeric: float | None, most_discrete: float | None
) -> NDArray[np.float64]:
    """Weights that leave no part more spread than the most for its kind, in nats; None for no such limit.

    A merchant, a city or a job is surprising in any row of a seldom one, and many such columns together drown an amount
    that is surprising once; so does a number that surprises all the time. A part that hardly ever surprises keeps all
    its weight.
    """
    discrete = np.array([part.kind in (PartKind.BINARY, PartKind.CATEGORY) for part in layout.parts], dtype=bool)
    limits = [np.inf if most is None else most for most in (most_numeric, most_discrete)]
    most = np.where(discrete, limits[1], limits[0])
    return np.where(spread > most, most / np.maximum(spread, 1e-300), 1.0)


def kl_scale(found: Sequence[Surprisals], weight: NDArray[np.float64]) -> float:
    """What the KL is scaled by so that it varies no more than the surprisal does, over the middle half of the rows.

    Where few columns go closely together, a row's surprisal varies by tenths of a nat and its place in latent space by
    several: unscaled, that place alone would rank the rows. The KL is never scaled up.
    """
    surprisal = np.concatenate([rows.parts @ weight for rows in found])
    kl = np.concatenate([rows.kl for rows in found])
    of_surprisal, of_kl = (float(np.subtract(*np.percentile(values, [75, 25]))) for values in (surprisal, kl))
    return of_surprisal / of_kl if of_kl > of_surprisal else 1.0


def surprisals(model: TabularVAE, table: EncodedTable) -> Surprisals:
    """Surprisal of every part of every row, and the row's KL."""
    parts, kl = _in_tiles(model, table, _surprisals_of_tile(model))
    return Surprisals(parts, kl)


def row_scores(
    model: TabularVAE, table: EncodedTable, weight: NDArray[np.float64] | None, kl_weight: float
) -> NDArray[np.float64]:
    """Score of every row, `Surprisals.scores`; what each is made of is forgotten tile by tile."""

    def summed(parts: NDArray[np.float64], kl: NDArray[np.float64]) -> tuple[NDArray[np.float64]]:
        return (Surprisals(parts, kl).scores(model.layout, weight, kl_weight),)

    return _in_tiles(model, table, _surprisals_of_tile(model), summed)[0]


def _surprisals_of_tile(model: TabularVAE) -> Callable[[Batch], tuple[Tensor, ...]]:
    with torch.inference_mode(), at_most(1):
        kl_to_prior = model.prior.kl()

    def tile(batch: Batch) -> tuple[Tensor, ...]:
        q = posterior(model, batch)
        return -model.decoder(q.mu).log_prob(batch).mean(0), kl_to_prior(q).mean(0)

    return tile


def latent_means(model: TabularVAE, table: EncodedTable) -> NDArray[np.float64]:
    """Posterior means of all members side by side, of shape (n_rows, n_members · latent)."""

    def tile(batch: Batch) -> tuple[Tensor, ...]:
        return (posterior(model, batch).mu.transpose(0, 1).flatten(1),)

    return _in_tiles(model, table, tile)[0]


@dataclass(frozen=True)
class IwaeEstimate:
    """The importance-weighted bound of each row.

    Parameters
    ----------
    bound : float64 ndarray of shape (n_rows,)
        Estimate of log p(x) from below, in nats.
    standard_error : float64 ndarray of shape (n_rows,)
        Its standard error by the delta method, in nats; large where few samples carry all the weight.
    """

    bound: NDArray[np.float64]
    standard_error: NDArray[np.float64]


def iwae(model: TabularVAE, table: EncodedTable, n_samples: int, seed: int) -> IwaeEstimate:
    """Importance-weighted bound with the same `n_samples` draws for every row (Burda et al. 2016)."""
    config = model.config
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((n_samples, config.n_members, 1, config.latent), generator=generator).to(model.device)

    def tile(batch: Batch) -> tuple[Tensor, ...]:
        log_w = iwae_log_weights(model, batch, noise).double()
        bound = torch.logsumexp(log_w, 0) - np.log(n_samples)
        spread = torch.exp(log_w - bound).std(0, correction=0) / np.sqrt(n_samples)
        return bound.mean(0), spread.square().sum(0).sqrt() / config.n_members

    return IwaeEstimate(*_in_tiles(model, table, tile))


def _in_tiles(
    model: TabularVAE,
    table: EncodedTable,
    function: Callable[[Batch], tuple[Tensor, ...]],
    finish: Callable[..., tuple[NDArray[np.float64], ...]] = lambda *blocks: blocks,
) -> tuple[NDArray[np.float64], ...]:
    """Apply a function of a tile to all rows, and another to its results; their first dimension counts rows."""
    if len(table) == 0:
        raise ValueError("Scoring needs at least one row.")
    tile_rows = rows_of_a_tile(model.device)
    starts = range(0, len(table), tile_rows)

    def run(start: int) -> tuple[NDArray[np.float64], ...]:
        with torch.inference_mode():
            results = function(tile_of(table[start : start + tile_rows], model.device))
        n_rows = min(tile_rows, len(table) - start)
        return finish(*(result[:n_rows].double().cpu().numpy() for result in results))

    return tuple(np.concatenate(blocks) for blocks in zip(*on_every_core(model.device, run, starts), strict=True))


def rows_of_a_tile(device: torch.device) -> int:
    """Rows that go through the model at once."""
    return TILE if device.type == "cpu" else DEVICE_TILE


def on_every_core(device: torch.device, run: Callable[[int], Result], starts: Iterable[int]) -> list[Result]:
    """Results of tiles, by their first rows, in order.

    On a CPU every core works on tiles of its own: several on one tile would have to meet after every layer, which takes
    longer than the layer does.
    """
    if device.type != "cpu":
        return [run(start) for start in starts]
    with (
        at_most(1) as n_cores,
        ThreadPoolExecutor(n_cores, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        return list(pool.map(run, starts))


def tile_of(rows: EncodedTable, device: torch.device) -> Batch:
    """The rows on the device, padded by copies of the first one to a whole tile."""
    n_rows = rows_of_a_tile(device)
    if len(rows) < n_rows:
        index = np.zeros(n_rows, dtype=np.intp)
        index[: len(rows)] = np.arange(len(rows))
        rows = rows[index]
    return Batch.of(rows).map(lambda block: block.to(device))
