"""The whole score as one torch module, from encoded columns to nats, for export."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from vae_anomaly._known import _ABSENT, MAX_FLAGS, KnownHead
from vae_anomaly.model.batch import Batch
from vae_anomaly.model.objective import posterior
from vae_anomaly.table.layout import FIRST_LEVEL, RARE, Layout, PartKind

SCORE, SURPRISAL = "anomaly_score", "column_surprisal"


@final
class ScoringGraph(nn.Module):
    """Anomaly score and surprisal of each column, as `VAEDetector` has them.

    Rows go through as they come: without the tiles of the package, the last bits of a score may depend on the number of
    rows.

    Parameters
    ----------
    detector : VAEDetector
        Fitted, with a score that is a sum over columns.
    """

    part_weight: Tensor
    column_of_part: Tensor

    def __init__(self, detector: Any) -> None:
        super().__init__()
        layout: Layout = detector.schema_.layout()
        weight, self.kl_weight = detector._score_weights()
        weight = np.ones(layout.n_parts) if weight is None else weight
        self.model = detector.model_
        self.widths = {"values": layout.n_values, "angles": layout.n_angles, "codes": layout.n_codes}
        self.forest = None if detector.known_head_ is None else _Forest(detector.known_head_, layout)
        membership = np.zeros((layout.n_parts, len(layout.columns)))
        membership[np.arange(layout.n_parts), layout.column_of_part] = 1.0
        self.register_buffer("part_weight", torch.from_numpy(weight))
        self.register_buffer("column_of_part", torch.from_numpy(membership))

    def example(self, n_rows: int) -> dict[str, Tensor]:
        """Rows to trace the graph with, of the blocks that the table has."""
        dtypes = {"values": torch.float32, "angles": torch.float32, "codes": torch.int32}
        return {name: torch.zeros((n_rows, width), dtype=dtypes[name]) for name, width in self.widths.items() if width}

    def forward(
        self, values: Tensor | None = None, angles: Tensor | None = None, codes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Scores of shape (rows,) and surprisals of shape (rows, columns), in float64."""
        some = next(block for block in (values, angles, codes) if block is not None)
        batch = Batch(
            *(
                some.new_zeros((1, some.shape[0], 0), dtype=dtype) if block is None else block.unsqueeze(0)
                for block, dtype in zip(
                    (values, angles, codes), (torch.float32, torch.float32, torch.int32), strict=True
                )
            )
        )
        q = posterior(self.model, batch)
        parts = -self.model.decoder(q.mu).log_prob(batch).mean(0).double()
        kl = self.model.prior.kl()(q).mean(0).double()
        score = (parts * self.part_weight).sum(-1) + self.kl_weight * kl
        if self.forest is not None:
            score = score + self.forest(batch)
        return score, parts @ self.column_of_part


@final
class _Forest(nn.Module):
    """What known frauds add to the score, as `KnownHead.lift` has it."""

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    share: Tensor
    roots: Tensor
    flag_code: Tensor
    flag_level: Tensor

    def __init__(self, head: KnownHead, layout: Layout) -> None:
        super().__init__()
        for name, array in head.to_arrays().items():
            if name != "scale":
                tensor = torch.from_numpy(array)
                self.register_buffer(name, tensor.long() if tensor.dtype == torch.int32 else tensor)
        self.usual, self.worth = head.scale.tolist()
        self.depth = _depth(head)
        flags = list(_flags(layout))
        self.register_buffer("flag_code", torch.tensor([code for code, _ in flags], dtype=torch.long))
        self.register_buffer("flag_level", torch.tensor([level for _, level in flags], dtype=torch.int32))

    def forward(self, batch: Batch) -> Tensor:
        """Nats of each row."""
        rows = self._cells(batch).double()
        node = self.roots.unsqueeze(0).expand(rows.shape[0], -1)
        for _ in range(self.depth):
            goes_left = rows.gather(1, self.feature[node]) <= self.threshold[node]
            node = torch.where(goes_left, self.left[node], self.right[node])
        votes, n_trees = self.share[node].sum(1), len(self.roots)
        log_odds = torch.log((votes + 0.5) / (n_trees - votes + 0.5))
        lift: Tensor = self.worth * (log_odds - self.usual)
        return lift

    def _cells(self, batch: Batch) -> Tensor:
        """What the trees cut, as `vae_anomaly._known.cells` has it."""
        values, angles, codes = (block[0] for block in batch.blocks())
        turned = torch.where(angles < math.pi, angles, angles - 2 * math.pi)
        numbers = torch.cat([values, angles, turned], 1).nan_to_num(_ABSENT)
        flags = (codes[:, self.flag_code] == self.flag_level).float()
        return torch.cat([numbers, flags], 1)


def _flags(layout: Layout) -> Iterator[tuple[int, int]]:
    """Of each flag the place of its code, and the level that it stands for."""
    for place, part in enumerate(layout.of_kind(PartKind.BINARY, PartKind.CATEGORY)):
        if part.n_levels <= MAX_FLAGS:
            first = FIRST_LEVEL + 1 if part.kind is PartKind.BINARY else RARE if part.has_rare else FIRST_LEVEL
            yield from ((place, level) for level in range(first, FIRST_LEVEL + part.n_levels))


def _depth(head: KnownHead) -> int:
    """Steps from a root to the furthest leaf."""
    node, depth = head.roots, 0
    while (inner := node[head.left[node] != node]).size:
        node, depth = np.unique(np.concatenate([head.left[inner], head.right[inner]])), depth + 1
    return depth
