"""What a run that scores has come to so far, as its journal has it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vae_anomaly._segments import few
from vae_anomaly.cli._print import json_text
from vae_anomaly.table.chunk import Chunk, Place

_NAMES_KEPT = 7


@dataclass(frozen=True, eq=False)
class Outcome:
    """A chunk, scored.

    Parameters
    ----------
    chunk : Chunk
        Its usable rows, and the others.
    added : pyarrow.Table
        The new columns.
    score : float64 ndarray of shape (n_rows,)
        Anomaly scores, in nats.
    alert : bool ndarray of shape (n_rows,)
        Which rows alert.
    emptied : mapping of str to int
        For each column the cells that were taken as missing.
    strangers : sequence of str or None
        The segment of each row that has none with a threshold of its own.
    explained : int
        Rows that have reasons.
    """

    chunk: Chunk
    added: pa.Table
    score: NDArray[np.float64]
    alert: NDArray[np.bool_]
    emptied: Mapping[str, int] = field(default_factory=dict)
    strangers: Sequence[str | None] = ()
    explained: int = 0


@dataclass
class Tally:
    """Counts of a run, and the most anomalous rows.

    Parameters
    ----------
    n_top : int
        How many of these to keep.
    bad_rows : str
        What is done with rows that cannot be read.
    place : Place or None
        How far the input is read.
    rows, alerts, rejected, strangers, explained : int
        Rows scored, alerts among them, rows rejected, rows of segments without a threshold of their own, and rows that
        have reasons.
    emptied : dict of str to int
        For each column the cells that were taken as missing.
    names : list of str
        The first few of those segments in alphabetical order.
    top : list of dict
        Rows as `score --json` prints them.
    """

    n_top: int = 0
    bad_rows: str = "error"
    place: Place | None = None
    rows: int = 0
    alerts: int = 0
    rejected: int = 0
    strangers: int = 0
    explained: int = 0
    emptied: dict[str, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    top: list[dict[str, Any]] = field(default_factory=list)

    @staticmethod
    def of(progress: Mapping[str, Any]) -> Tally:
        """What `to_json` wrote."""
        return Tally(**{**progress, "place": Place(**progress["place"])})

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def add(self, outcome: Outcome) -> None:
        """Count one more chunk."""
        self.place = outcome.chunk.end
        self.rows += len(outcome.score)
        self.alerts += int(outcome.alert.sum())
        self.rejected += len(outcome.chunk.bad)
        self.strangers += len(outcome.strangers)
        self.explained += outcome.explained
        named = {name for name in outcome.strangers if name is not None}
        self.names = sorted({*self.names, *named})[:_NAMES_KEPT]
        for column, count in outcome.emptied.items():
            self.emptied[column] = self.emptied.get(column, 0) + count
        self._rank(outcome)

    def remarks(self, segment_column: str | None) -> list[str]:
        """What to say of rows that were not scored as they are."""
        found = []
        if self.strangers:
            names = few(self.names) or "missing"
            found.append(
                f"{self.strangers:,} rows have the threshold of the rest, their {segment_column!r} having none of its"
                f" own: {names}"
            )
        if self.emptied:
            counts = ", ".join(f"{column} {count:,}" for column, count in self.emptied.items())
            found.append(f"{sum(self.emptied.values()):,} cells that could not be read were taken as missing: {counts}")
        return found

    def _rank(self, outcome: Outcome) -> None:
        """Keep the most anomalous rows; equal scores keep the order of the rows."""
        if not self.n_top:
            return
        least = self.top[-1]["anomaly_score"] if len(self.top) == self.n_top else -np.inf
        order = np.argsort(-outcome.score, kind="stable")[: self.n_top]
        order = order[outcome.score[order] > least]
        cells = outcome.chunk.table.take(order).to_pylist()
        added = outcome.added.take(order).to_pylist()
        rows = [
            {"rank": 0, "row": int(outcome.chunk.index[number]) + 1, **new, "columns": row}
            for number, row, new in zip(order, cells, added, strict=True)
        ]
        plain = json.loads(json_text({"rows": rows}))["rows"]
        self.top = sorted([*self.top, *plain], key=lambda row: -row["anomaly_score"])[: self.n_top]
        for rank, row in enumerate(self.top, 1):
            row["rank"] = rank
