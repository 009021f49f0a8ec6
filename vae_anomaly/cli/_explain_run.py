"""Reasons beside the rows of files of any size, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from vae_anomaly.cli._explained import added_columns as reason_columns
from vae_anomaly.cli._explained import chosen_rows, explain_rows
from vae_anomaly.cli._print import json_text
from vae_anomaly.cli._rows import Scored
from vae_anomaly.cli._scoring import Scorer
from vae_anomaly.cli._tally import Outcome
from vae_anomaly.table.chunk import Chunk
from vae_anomaly.table.rows_out import compressed

_LINE = "line"


@dataclass(frozen=True)
class Explaining:
    """How the rows that alert, or the most anomalous ones, or every row, are explained.

    Parameters
    ----------
    n_reasons, conditional
        As for `VAEDetector.explain`.
    every : bool
        Whether to explain rows that do not alert too.
    json_lines : bool
        Whether to write a JSON line for each explained row, and no other row.
    top : int or None
        How many rows to explain, the most anomalous ones, whether they alert or not.
    """

    n_reasons: int = 3
    conditional: bool = True
    every: bool = False
    json_lines: bool = False
    top: int | None = None

    @property
    def names(self) -> list[str]:
        """The columns that are added to those of scoring."""
        return [] if self.json_lines else reason_columns(self.n_reasons, pattern=False)

    def beside(self, scorer: Scorer) -> Callable[[Chunk], Outcome]:
        """A scorer that explains what it scores; with `top` it has to know the whole run."""
        chosen = None
        if self.top is not None:
            assert scorer.whole is not None  # noqa: S101
            whole = scorer.whole
            chosen = whole.index[chosen_rows(whole.score, whole.alert, top=self.top, every=False)]

        def explained(chunk: Chunk) -> Outcome:
            outcome = scorer(chunk)
            table, added = outcome.chunk.table, outcome.added
            for name in added.column_names:
                table = table.append_column(name, added[name])
            index, names = outcome.chunk.index, tuple(added.column_names)
            scored = Scored(table, outcome.score, outcome.alert, (), names, index=index)
            rows = chosen_rows(outcome.score, outcome.alert, top=None, every=self.every)
            if chosen is not None:
                rows = np.flatnonzero(np.isin(index, chosen))
            found = explain_rows(
                *(scorer.detector, scored, rows, scorer.reading),
                n_reasons=self.n_reasons,
                conditional=self.conditional,
                pattern=False,
            )
            if self.json_lines:
                lines = list(map(json_text, found.records()))
                added = pa.table({_LINE: pa.array(lines, pa.string())})
            else:
                added = found.table().select([*added.column_names, *self.names])
            return replace(outcome, added=added, explained=len(rows))

        return explained


@dataclass(frozen=True)
class JsonLines:
    """A JSON line for each explained row.

    Parameters
    ----------
    ending : str
        Of the file's name, which says whether it is compressed.
    """

    ending: str

    def header(self, names: Sequence[str]) -> bytes:
        """Nothing."""
        return b""

    def rows(self, chunk: Chunk, added: pa.Table) -> bytes:
        """Lines."""
        lines: Iterable[str] = added[_LINE].to_pylist()
        return compressed("".join(f"{line}\n" for line in lines).encode(), self.ending)
