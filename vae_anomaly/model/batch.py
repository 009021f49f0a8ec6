"""A batch of encoded rows as tensors, the same rows or other ones for each member of the ensemble."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vae_anomaly.table.layout import MISSING, EncodedTable


@dataclass(frozen=True)
class Batch:
    """Rows as tensors; `EncodedTable` says what the blocks hold.

    The leading dimension counts members. It may be 1 where all members see the same rows.
    """

    values: Float[Tensor, "members rows values"]
    angles: Float[Tensor, "members rows angles"]
    codes: Int[Tensor, "members rows codes"]

    @staticmethod
    def of(table: EncodedTable) -> Batch:
        """The rows of a table, shared by all members; the memory is shared with NumPy."""
        arrays = (table.values, table.angles, table.codes)
        return Batch(*(torch.from_numpy(array).unsqueeze(0) for array in arrays))

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with `function` applied to each of its three tensors."""
        return Batch(function(self.values), function(self.angles), function(self.codes))

    def blocks(self) -> tuple[Tensor, Tensor, Tensor]:
        """Its three tensors."""
        return self.values, self.angles, self.codes

    def rows_of_members(self, index: Int[Tensor, "members some"]) -> Batch:
        """For each member the rows that `index` names."""
        return self.map(lambda block: block.take_along_dim(index.unsqueeze(-1), dim=1))

    def observed(self) -> Bool[Tensor, "members rows parts"]:
        """Which cells count, in the order of `Layout.parts`."""
        return torch.cat([~self.values.isnan(), ~self.angles.isnan(), self.codes != MISSING], dim=-1)
