"""Scored rows as the bytes of a file: every input column as it was, and the new ones after them."""

from __future__ import annotations

import bz2
import gzip
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vae_anomaly.table.chunk import Chunk
from vae_anomaly.table.csv_cells import header_line, lines_of
from vae_anomaly.table.csv_file import COMPRESSIONS
from vae_anomaly.table.csv_text import CsvHead
from vae_anomaly.table.spreadsheet import spreadsheet_safe
from vae_anomaly.table.stream import is_parquet

_GZIP_LEVEL = 6
_PLAIN = CsvHead((), ",", "utf-8", b"", None, b"\n")
_REJECTS = ("file", "line", "reason", "text")


class RowFormat(Protocol):
    """How rows become bytes."""

    def header(self, names: Sequence[str]) -> bytes:
        """What comes before the first row; the names of the new columns come last."""
        ...

    def rows(self, chunk: Chunk, added: pa.Table) -> bytes:
        """Rows with their new columns."""
        ...


def format_of(target: str | os.PathLike[str], head: CsvHead | None, *, safe: bool = False) -> RowFormat:
    """The format of an output, by its name and by how the first input is written.

    Parameters
    ----------
    target : str or path
        As for `vae_anomaly.table.io.write_table`.
    head : CsvHead or None
        Of the first input, where it is CSV: CSV goes on with its delimiter, encoding and line ends.
    safe : bool, default=False
        Whether no cell may be a formula to a spreadsheet.
    """
    if is_parquet(target):
        return ArrowRows(safe)
    return CsvRows(head or _PLAIN, Path(target).suffix.lower(), safe)


@dataclass(frozen=True)
class CsvRows:
    """CSV text, in which a row from a CSV file of the same delimiter is the text that it was.

    Parameters
    ----------
    head : CsvHead
        Delimiter, encoding, byte-order mark and line end; and the header, where it is to stay as it was.
    ending : str
        Of the file's name, which says whether it is compressed. Each chunk is compressed by itself, which every reader
        takes for one file.
    safe : bool
        Whether no cell may be a formula to a spreadsheet: rows are then written anew.
    """

    head: CsvHead
    ending: str = ".csv"
    safe: bool = False

    def header(self, names: Sequence[str]) -> bytes:
        """The names of the columns; they are there even if the input has none."""
        if self.safe:
            names = spreadsheet_safe(pa.table({name: pa.array([], pa.string()) for name in names})).column_names
        if self.head.header is None or self.safe:
            line = header_line(names, self.head.delimiter).encode()
        else:
            added = header_line(names[len(self.head.names) :], self.head.delimiter)
            line = self.head.header + self.head.delimiter.encode() + added.encode()
        return compressed(self.head.mark + self._encoded(line + self.head.line_end), self.ending)

    def rows(self, chunk: Chunk, added: pa.Table) -> bytes:
        """Lines, compressed if the name says so."""
        delimiter, ends = self.head.delimiter, pa.scalar(self.head.line_end, pa.binary())
        as_was = chunk.records is not None and chunk.head is not None and chunk.head.delimiter == delimiter
        if as_was and chunk.records is not None and not self.safe:
            lines, ends = chunk.records.lines(), chunk.records.line_ends(self.head.line_end)
            new = lines_of(added, delimiter).cast(pa.binary())
            lines = pc.binary_join_element_wise(lines, new, delimiter.encode())
        else:
            table = chunk.table
            for name in added.column_names:
                table = table.append_column(name, added[name])
            lines = lines_of(spreadsheet_safe(table) if self.safe else table, delimiter).cast(pa.binary())
        text = b"".join(pc.binary_join_element_wise(lines, ends, b"").to_pylist())
        return compressed(self._encoded(text), self.ending)

    def _encoded(self, text: bytes) -> bytes:
        return text if self.head.codec == "utf-8" else text.decode().encode(self.head.codec)


@dataclass(frozen=True)
class ArrowRows:
    """Parquet. A Parquet file cannot grow, so chunks are kept as Arrow streams, and put together at the end.

    Parameters
    ----------
    safe : bool
        Whether no text may be a formula to a spreadsheet.
    """

    safe: bool = False

    def header(self, names: Sequence[str]) -> bytes:
        """Nothing: every chunk tells its columns."""
        return b""

    def rows(self, chunk: Chunk, added: pa.Table) -> bytes:
        """An Arrow stream of its own."""
        table = chunk.table
        for name in added.column_names:
            table = table.append_column(name, added[name])
        if self.safe:
            table = spreadsheet_safe(table)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue())


def to_parquet(part: Path, whole: Path) -> None:
    """Put Arrow streams, one after the other in a file, together as one Parquet file, a row group for each."""
    size = part.stat().st_size
    with pa.OSFile(str(part)) as file:
        schema = pa.ipc.open_stream(file).schema
        file.seek(0)
        with pq.ParquetWriter(whole, schema) as writer:
            while file.tell() < size:
                table = pa.ipc.open_stream(file).read_all()
                if table.num_rows:
                    writer.write_table(table, row_group_size=table.num_rows)


def rejects_header() -> bytes:
    r"""The names of the columns of a file of rejected rows.

    Examples
    --------
    >>> rejects_header()
    b'file,line,reason,text\n'
    """
    return header_line(_REJECTS, ",").encode() + b"\n"


def rejected_rows(chunk: Chunk) -> bytes:
    """The bad rows of a chunk as lines of CSV text: file, line, reason, and the row as it is."""
    cells: Sequence[tuple[str, int, str, str]] = [
        (row.file, row.line, row.reason, row.text.decode("utf-8", "backslashreplace").replace("\0", "\\0"))
        for row in chunk.bad
    ]
    table = pa.table(dict(zip(_REJECTS, zip(*cells, strict=True), strict=True))) if cells else None
    return b"" if table is None else b"".join(line.encode() + b"\n" for line in lines_of(table, ",").to_pylist())


def compressed(data: bytes, ending: str) -> bytes:
    """Bytes as a file of that ending has them.

    Examples
    --------
    >>> compressed(b"as it is", ".csv"), gzip.decompress(compressed(b"rows", ".gz"))
    (b'as it is', b'rows')
    """
    kind = COMPRESSIONS.get(ending)
    if kind is None or not data:
        return data
    if kind == "gzip":
        return gzip.compress(data, _GZIP_LEVEL, mtime=0)
    return bz2.compress(data) if kind == "bz2" else bytes(pa.compress(data, codec=kind, asbytes=True))
