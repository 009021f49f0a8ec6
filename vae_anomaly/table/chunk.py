"""Some rows of a file, with what it takes to say where they are and to write them as they were."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vae_anomaly.table.csv_text import BadRow, CsvHead
from vae_anomaly.table.records import Records


@dataclass(frozen=True)
class Place:
    """A place between two rows of several files, from which reading can go on.

    Parameters
    ----------
    source : int
        Which file, counted from 0.
    offset : int
        In bytes of its text as UTF-8, without a byte-order mark; in rows of a Parquet file.
    row : int
        Rows of that file before.
    line : int
        The line, counted from 1, that comes next.
    total : int
        Rows of all files before.
    checksum : int
        Of the text of that file between its header and here.
    """

    source: int = 0
    offset: int = 0
    row: int = 0
    line: int = 1
    total: int = 0
    checksum: int = 0

    def to_json(self) -> dict[str, int]:
        """As JSON values; `Place` takes them as they are."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some rows.

    Parameters
    ----------
    file : str
        What messages call the file.
    table : pyarrow.Table
        The rows that can be used, every CSV cell as text.
    index : int64 ndarray of shape (n_rows,)
        The number of each among the rows of all files, counted from 0.
    bad : tuple of BadRow
        The others.
    start, end : Place
        Where the chunk begins, and where the next one does.
    head : CsvHead or None
        How the file is written, if it is CSV.
    records : Records or None
        The rows as they are written there.
    """

    file: str
    table: pa.Table
    index: NDArray[np.int64]
    bad: tuple[BadRow, ...]
    start: Place
    end: Place
    head: CsvHead | None = None
    records: Records | None = None

    def bad_row(self, row: int, reason: str, remedy: str) -> BadRow:
        """One of the usable rows as one that is not."""
        number = self._number(row)
        if self.records is not None:
            return BadRow(self.file, number, reason, remedy, self.records[row])
        cells = self.table.slice(row, 1).to_pylist()[0]
        return BadRow(self.file, number, reason, remedy, json.dumps(cells, default=str, ensure_ascii=False).encode())

    def where(self, row: int) -> str:
        """The file, and the line of one of the usable rows there; in a Parquet file the number of the row."""
        return f"{self.file}, {'row' if self.records is None else 'line'} {self._number(row)}"

    def _number(self, row: int) -> int:
        if self.records is not None:
            return self.start.line + int(self.records.lines_before[row])
        return int(self.index[row]) - self.start.total + self.start.row + 1

    def without(self, bad: dict[int, BadRow]) -> Chunk:
        """The chunk with some of the usable rows among the bad ones."""
        kept = np.ones(len(self.index), dtype=bool)
        kept[list(bad)] = False
        together = sorted([*self.bad, *bad.values()], key=lambda row: row.line)
        return replace(
            self,
            table=self.table.filter(pa.array(kept)),
            index=self.index[kept],
            bad=tuple(together),
            records=None if self.records is None else self.records.where(kept),
        )
