"""Training rows: in which order they are drawn, and how they reach the device.

Rows are drawn from a *measure*, not from a list: the rows are put in an order that depends on their content alone, each
takes as much of the unit interval as its weight, and uniform numbers pick them. So a row of weight two is the same as
the row twice, a row of weight zero is no row, and shuffling the table changes nothing, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, final

import numpy as np
import torch
from jaxtyping import Float64, Int64
from numpy.typing import NDArray
from torch import Tensor

from vae_anomaly.model.batch import Batch
from vae_anomaly.table.layout import EncodedTable

MIN_HELD_OUT = 100.0
"""Total weight from which rows can be spared for the held-out ELBO."""

MAX_HELD_OUT = 512
"""Held-out rows that each member is measured on; more cost time and change no decision."""

STEPS_AT_ONCE = 8
"""Steps whose rows are gathered by one call."""

STEPS_IN_TRANSIT = 64
"""Steps whose rows travel to the device together: enough to make a transfer pay, few enough to fit beside the model."""

_HASHED_AT_ONCE = 1 << 16  # rows, whose columns are gone through one by one: the table may lie in a file


@final
class RowMeasure:
    """The training rows as a measure on [0, 1), with a held-out interval of its own for each member.

    Parameters
    ----------
    table : EncodedTable
        The rows.
    weight : float64 ndarray of shape (n_rows,) or None
        How often each row counts.
    n_members : int
        Members of the ensemble; they hold out different rows, so that together they see every row.
    held_out : float
        Share of the total weight that each member does not train on.
    seed : int
        Chooses the order, and so which rows are held out.
    """

    def __init__(
        self, table: EncodedTable, weight: NDArray[np.float64] | None, n_members: int, held_out: float, seed: int
    ) -> None:
        order = np.argsort(row_hashes(table, seed), kind="stable")
        weight = np.ones(len(table)) if weight is None else weight
        cumulative = np.cumsum(weight[order])
        self.total = float(cumulative[-1])
        self._order, self._edges = torch.from_numpy(order), torch.from_numpy(cumulative)
        self.held_out_share = held_out if self.total >= MIN_HELD_OUT else 0.0
        spread = max(0.0, 1.0 - self.held_out_share) / max(1, n_members - 1)
        self._start = torch.arange(n_members, dtype=torch.float64)[:, None] * min(spread, self.held_out_share)

    def _rows_at(self, u: Float64[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
        """The rows at places of the unit interval.

        Equal rows lie side by side in the content order, and a held-out interval must not consist of one level. So the
        unit weights are laid out as a matrix, written by rows and read by columns: neighbours on the interval are far
        apart in the order.
        """
        n_rows = int(self.total**0.5)
        n_columns = int(self.total // max(1, n_rows))
        place = u * self.total
        cell = place.floor()
        transposed = cell.remainder(n_rows) * n_columns + (cell / n_rows).floor() + (place - cell)
        place = torch.where(cell < n_rows * n_columns, transposed, place)
        index = torch.searchsorted(self._edges, place, right=True).clamp(max=len(self._edges) - 1)
        return self._order[index]

    def draw(self, n_steps: int, n_rows: int, generator: torch.Generator) -> Int64[Tensor, "steps members rows"]:
        """Random training rows for each step and member, never from the places that the member holds out."""
        u = torch.rand((n_steps, len(self._start), n_rows), generator=generator, dtype=torch.float64)
        u = u * (1.0 - self.held_out_share)
        return self._rows_at(torch.where(u < self._start, u, u + self.held_out_share))

    def held_out(self) -> Int64[Tensor, "members rows"]:
        """Evenly spaced rows of each member's held-out interval; of all rows where there are too few to hold out."""
        share = self.held_out_share or 1.0
        n_rows = int(min(MAX_HELD_OUT, max(1.0, np.ceil(share * self.total))))
        places = (torch.arange(n_rows, dtype=torch.float64) + 0.5) / n_rows * share
        start = self._start if self.held_out_share else torch.zeros_like(self._start)
        return self._rows_at(start + places)

    def exemplars(self, n_rows: int) -> Int64[Tensor, "members rows"]:
        """`n_rows` rows for each member, evenly spaced over the whole measure, and between those of the others."""
        n_members = len(self._start)
        shift = (torch.arange(n_members, dtype=torch.float64)[:, None] + 0.5) / n_members
        return self._rows_at((torch.arange(n_rows, dtype=torch.float64) + shift) / max(1, n_rows))

    def sample(self, n_rows: int) -> Int64[Tensor, " rows"]:
        """At most `n_rows` rows, evenly spaced over the whole measure."""
        n_rows = int(min(n_rows, max(1.0, np.ceil(self.total))))
        return self._rows_at((torch.arange(n_rows, dtype=torch.float64) + 0.5) / n_rows)


def row_hashes(table: EncodedTable, seed: int) -> NDArray[np.uint64]:
    """A 64-bit hash of each row's content (the finaliser of splitmix64, Steele, Lea & Flood 2014, over its cells)."""
    parts = (table[start : start + _HASHED_AT_ONCE] for start in range(0, len(table), _HASHED_AT_ONCE))
    return np.concatenate([np.empty(0, np.uint64), *(_hashes(part, seed) for part in parts)])


def _hashes(table: EncodedTable, seed: int) -> NDArray[np.uint64]:
    state = np.full(len(table), np.uint64(seed), dtype=np.uint64)
    for block in (table.values, table.angles, table.codes):
        for column in block.T:
            cell = column + 0 if block is table.codes else column + np.float32(0)  # −0.0 and 0.0 are one value
            state += np.ascontiguousarray(cell).view(np.uint32) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state ^= state >> np.uint64(31)
    return state


class RowSource(Protocol):
    """Rows that can be asked for by index."""

    def batches(self, indices: Int64[Tensor, "steps members rows"]) -> Iterator[Batch]:
        """For each step, the rows on the device."""
        ...


def _gather(rows: Batch, index: Tensor) -> Batch:
    return rows.map(lambda block: block[0].index_select(0, index.reshape(-1)).view(*index.shape, block.shape[-1]))


def _steps(gathered: Batch) -> Iterator[Batch]:
    """Cut rows of many steps into steps."""
    for blocks in zip(gathered.values, gathered.angles, gathered.codes, strict=True):
        yield Batch(*blocks)


@final
class ResidentRows:
    """The whole table on the device; a batch is an index draw."""

    def __init__(self, table: EncodedTable, device: torch.device) -> None:
        self._rows, self._device = Batch.of(table).map(lambda block: block.to(device)), device

    def batches(self, indices: Int64[Tensor, "steps members rows"]) -> Iterator[Batch]:
        """Gather on the device, a few steps at once to spare calls."""
        for some in torch.split(indices.to(self._device), STEPS_AT_ONCE):
            yield from _steps(_gather(self._rows, some))


@final
class StreamedRows:
    """The table on the host; the rows of many steps travel together through pinned memory."""

    def __init__(self, table: EncodedTable, device: torch.device) -> None:
        self._rows, self._device = Batch.of(table), device

    def batches(self, indices: Int64[Tensor, "steps members rows"]) -> Iterator[Batch]:
        """Gather many steps on the host, move them at once, then cut them into steps."""
        pin = self._device.type == "cuda"

        def move(block: Tensor) -> Tensor:
            return (block.pin_memory() if pin else block).to(self._device, non_blocking=pin)

        for some in torch.split(indices, STEPS_IN_TRANSIT):
            yield from _steps(_gather(self._rows, some).map(move))
