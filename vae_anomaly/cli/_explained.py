"""Scored rows with the reasons of some of them: as columns of a table, as JSON objects, and as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from vae_anomaly._scored_columns import RISK, reason_columns, reason_names
from vae_anomaly.cli._options import Reading
from vae_anomaly.cli._rows import Scored

if TYPE_CHECKING:
    from vae_anomaly.detector import VAEDetector
    from vae_anomaly.patterns import AlertPatterns

PATTERN = "pattern"
_TOLD = ("column", "observed", "expected", "direction", "share", "sentence")
_EXAMPLE = ("observed", "direction", "expected")
_ROWS_AT_ONCE = 8_192  # as Python objects


@dataclass(frozen=True, eq=False)
class Explained:
    """Scored rows, and the reasons of some of them.

    Parameters
    ----------
    scored : Scored
        All rows, or those of them that may be shown.
    rows : intp ndarray of shape (n_explained,)
        Places of those that are explained, rising.
    reasons : DataFrame
        What `VAEDetector.explain` says of them; `row` is a place in `rows`.
    n_reasons : int
        Most reasons of a row.
    patterns : AlertPatterns or None
        Which of them are alike, if that was asked for.
    """

    scored: Scored
    rows: NDArray[np.intp]
    reasons: pd.DataFrame
    n_reasons: int
    patterns: AlertPatterns | None

    def table(self) -> pa.Table:
        """All rows, with the reasons in columns of their own: empty where a row is not explained."""
        table = self.scored.as_read()
        for name, cells in reason_columns(self.reasons, self.rows, table.num_rows, self.n_reasons).items():
            table = table.append_column(name, pa.array(cells, pa.string()))
        if self.patterns is not None:
            number = np.zeros(table.num_rows, dtype=np.int64)
            number[self.rows] = self.patterns.labels
            table = table.append_column(PATTERN, pa.array(number, mask=number == 0))
        return table

    def records(self) -> Iterator[dict[str, Any]]:
        """Each explained row: its number from 1, score, decision, cells and reasons, in the order of the file."""
        rows = zip(self._lines(), self.scored.numbers(self.rows), self._cells(), strict=True)
        for place, (reasons, number, cells) in enumerate(rows):
            decided = {name: cells.pop(name) for name in self.scored.added}
            pattern = {} if self.patterns is None else {PATTERN: int(self.patterns.labels[place])}
            yield {"row": number, **decided, **pattern, "columns": cells, "reasons": reasons}

    def ranked(self, n: int) -> list[list[Any]]:
        """The `n` most anomalous of the explained rows, a line for each reason: the cells below `headers`."""
        order = np.argsort(-self.scored.score[self.rows], kind="stable")[:n]
        reasons = self.reasons[self.reasons["row"].isin(order)]
        lines = dict(zip(np.sort(order).tolist(), self._lines(reasons), strict=True))
        numbers = self.scored.numbers(self.rows)
        shown = []
        for rank, place in enumerate(order.tolist(), 1):
            row = int(self.rows[place])
            head = [rank, numbers[place], f"{self.scored.score[row]:.2f}"]
            if RISK in self.scored.added:
                head.append(f"{self.scored.table[RISK][row].as_py():.0f}")
            if self.patterns is not None:
                head.append(int(self.patterns.labels[place]))
            for line in lines[place]:
                shown.append([*head, *(line[name] for name in ("column", *_EXAMPLE))])
                head = [None] * len(head)
        return shown

    def headers(self) -> list[str]:
        """The names of what `ranked` gives."""
        risk = ["risk"] if RISK in self.scored.added else []
        pattern = [] if self.patterns is None else [PATTERN]
        return ["rank", "row", "score", *risk, *pattern, "reason", *_EXAMPLE]

    def _cells(self) -> Iterator[dict[str, Any]]:
        for batch in self.scored.table.take(self.rows).to_batches(max_chunksize=_ROWS_AT_ONCE):
            yield from batch.to_pylist()

    def _lines(self, reasons: pd.DataFrame | None = None) -> Iterator[list[dict[str, Any]]]:
        """The reasons of each row."""
        reasons = self.reasons if reasons is None else reasons
        lines = zip(*(reasons[name] for name in ("row", *_TOLD)), strict=True)
        for _, of_row in groupby(lines, key=itemgetter(0)):
            yield [dict(zip(_TOLD, line[1:], strict=True)) for line in of_row]


def added_columns(n_reasons: int, *, pattern: bool) -> list[str]:
    """The columns that explaining adds to those of scoring."""
    names = [name for rank in range(1, n_reasons + 1) for name in reason_names(rank)]
    return [*names, PATTERN] if pattern else names


def explain_rows(
    detector: VAEDetector,
    scored: Scored,
    rows: NDArray[np.intp],
    reading: Reading,
    *,
    n_reasons: int,
    conditional: bool,
    pattern: bool,
) -> Explained:
    """Explain some of the scored rows.

    Parameters
    ----------
    detector : VAEDetector
        The model.
    scored : Scored
        All rows.
    rows : intp ndarray
        Places of those to explain, rising.
    reading : Reading
        How the files are written.
    n_reasons, conditional
        As for `VAEDetector.explain`.
    pattern : bool
        Whether to group rows with like reasons.
    """
    known = set(detector.schema_.names)
    used = [name for name in scored.table.column_names if name in known]
    table = reading.for_model(scored.table.select(used).take(rows))
    reasons = detector.explain(table, n_reasons, conditional=conditional)
    if not pattern:
        return Explained(scored, rows, reasons, n_reasons, None)
    from vae_anomaly.patterns import alert_patterns  # clustering takes its time to import

    return Explained(scored, rows, reasons, n_reasons, alert_patterns(reasons, n_reasons=n_reasons))


def chosen_rows(
    score: NDArray[np.float64], alert: NDArray[np.bool_], *, top: int | None, every: bool, most: int | None = None
) -> NDArray[np.intp]:
    """Places of the rows to explain: those that alert, or the `top` most anomalous, or `every` one.

    Parameters
    ----------
    score : float64 ndarray of shape (n_rows,)
        Of all rows, in nats, higher is more anomalous.
    alert : bool ndarray of shape (n_rows,)
        Which of them alert.
    top : int or None
        How many, whether they alert or not.
    every : bool
        All of them.
    most : int or None
        Of the rows that alert, how many at most, the most anomalous ones.
    """
    if every:
        return np.arange(len(score))
    order = np.argsort(-score, kind="stable")  # equal scores keep the order of the rows
    chosen = order[:top] if top is not None else order[alert[order]][:most]
    return np.sort(chosen)
