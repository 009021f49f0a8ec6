"""What rows would score with sets of their columns changed, whatever those would be changed to.

A set of columns is filled in two ways. Hidden from the model it gets what is likeliest beside the other cells, so two
columns that are odd together are judged together. But a row that is extreme in several columns stays so beside those
that are left: there the reconstruction is nearer the centre, as it has seen all cells. The lower score counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from vae_anomaly._editing import Booleans, Editor, Floats, Places, Rows
from vae_anomaly.model.nearest import likeliest_cells
from vae_anomaly.table.layout import EncodedTable
from vae_anomaly.training.device import exact_products

_FULL_CIRCLE = np.float32(2 * np.pi)


@dataclass(frozen=True)
class Fill:
    """How a set of cells is filled.

    Parameters
    ----------
    rounds : int
        How often: from the second time on the model sees what it filled in before.
    hides : bool
        Whether the model does not see them before; or else their reconstruction, of the row as it is.
    shift : float
        What numbers and angles are moved by, in standard deviations and radians.
    other_levels : bool
        Whether a level has to be another than the observed one.
    """

    rounds: int = 2
    hides: bool = True
    shift: float = 0.0
    other_levels: bool = False


USUAL = (Fill(), Fill(1, hides=False))
ALL = (*USUAL, Fill(1), Fill(4), Fill(other_levels=True), Fill(shift=0.7), Fill(shift=-0.7))
"""Where the likeliest cells don't help: known frauds can look as usual as can be."""


@dataclass(frozen=True)
class Judge:
    """Says what rows would score with sets of their columns changed.

    Parameters
    ----------
    detector : VAEDetector
        Fitted.
    editor : Editor
        Of the table that the rows are from.
    observed : Rows
        The rows as they are.
    fills : tuple of Fill
        Of which the best counts.
    """

    detector: Any
    editor: Editor
    observed: Rows
    fills: tuple[Fill, ...] = USUAL

    def __call__(self, rows: Places, sets: Booleans) -> Floats:
        """The anomaly scores."""
        return self.changed(rows, sets)[1]

    def changed(self, rows: Places, sets: Booleans) -> tuple[Rows, Floats]:
        """The rows with the sets changed, and their anomaly scores."""
        best, lowest = self.observed[rows].copy(), np.full(len(rows), np.inf)
        for found in self._filled(rows, sets):
            score = self.score(found)
            better = score < lowest
            best.put(better, found[better])
            lowest[better] = score[better]
        return best, lowest

    def score(self, rows: Rows) -> Floats:
        """The anomaly scores of rows."""
        return np.asarray(-self.detector._scores(rows.table))

    def without(self, found: Rows, row: Places, column: Places) -> tuple[Floats, Rows]:
        """What changed rows score with one cell of each left as it was, and these rows."""
        alone = np.arange(found.cells.shape[1]) == column[:, None]
        rows = self.editor.restored(found[row], self.observed[row], alone)
        return self.score(rows), rows

    def surprisal(self, rows: Rows) -> Floats:
        """Of each cell given all, of shape (n_rows, n_columns), in nats."""
        layout = self.editor.schema.layout()
        return np.concatenate([some.by_column(layout) for some in self.detector._surprisals(rows.table)])

    def likely(self, rows: Rows, sets: Booleans, seen: EncodedTable, fill: Fill = USUAL[0]) -> Rows:
        """The rows with sets of columns as is likeliest for what the model sees."""
        avoid = rows.table.codes if fill.other_levels else None
        with exact_products():
            likeliest = likeliest_cells(self.detector.model_, seen, avoid)
        return self.editor.likely(rows, sets, _shifted(likeliest, np.float32(fill.shift)))

    def _filled(self, rows: Places, sets: Booleans) -> Iterator[Rows]:
        """The rows with the sets changed, in each way."""
        observed = self.observed[rows]
        hidden = self.editor.hidden(observed, sets)
        reconstructed = self.editor.restored(observed, self._reconstructed[rows], sets).table
        for fill in self.fills:
            seen = hidden if fill.hides else reconstructed
            for _ in range(fill.rounds):
                found = self.likely(observed, sets, seen, fill)
                seen = found.table
            yield found

    @cached_property
    def _reconstructed(self) -> Rows:
        """The observed rows with all cells as the model would have expected them."""
        return self.likely(self.observed, np.full(self.observed.cells.shape, True), self.observed.table)


def _shifted(table: EncodedTable, by: np.float32) -> EncodedTable:
    return EncodedTable(table.values + by, (table.angles + by) % _FULL_CIRCLE, table.codes) if by else table
