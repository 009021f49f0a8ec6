"""The rows of files of any size, some at a time: CSV and Parquet, one below the other."""

from __future__ import annotations

import glob
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vae_anomaly.errors import FileFormatError
from vae_anomaly.table.chunk import Chunk, Place
from vae_anomaly.table.csv_file import STANDARD_STREAM, CsvFile, check_is_file, display_name
from vae_anomaly.table.csv_text import CsvDialect, check_unique

PARQUET = (".parquet", ".pq")
CHUNK_BYTES = 1 << 23
"""Text of a chunk: enough rows to keep every core busy, few enough for several chunks to be in memory."""

CHUNK_ROWS = 1 << 16
_BUFFER = 1 << 20  # bytes of a column that are read ahead
_BEGINNING = 1 << 16  # bytes by which a file is known again


def is_parquet(source: str | os.PathLike[str]) -> bool:
    """Whether a file is Parquet, by its name."""
    return Path(source).suffix.lower() in PARQUET


def expanded(sources: Sequence[str]) -> list[str]:
    """The files meant by names, folders and patterns, in a settled order.

    Parameters
    ----------
    sources : sequence of str
        A folder means the files in it, sorted by name, without those whose names begin with a dot or an underscore or
        end in ``.part`` or ``.part.json``: hidden, or not whole. A pattern with ``*``, ``?`` or ``[`` that is no file's
        name means what matches, sorted.

    Returns
    -------
    list of str
        At least one file for each of the sources.

    Raises
    ------
    FileFormatError
        A folder is empty or holds another, or nothing matches.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("b.csv", "a.csv", "_SUCCESS", "c.csv.part"):
    ...     _ = (folder / name).write_text("x")
    >>> [Path(file).name for file in expanded([str(folder)])], len(expanded([str(folder / "[ab].csv"), "-"]))
    (['a.csv', 'b.csv'], 3)
    """
    return [file for source in sources for file in _meant(source)]


def fingerprint(sources: Sequence[str]) -> list[dict[str, Any]]:
    """What tells whether files are still the same: name, size, time of change and a checksum of the beginning.

    Examples
    --------
    >>> fingerprint(["-"])
    [{'name': '-'}]
    """
    return [_mark_of(source) for source in sources]


class Stream:
    r"""The rows of several files of the same columns.

    Parameters
    ----------
    sources : sequence of str or path
        At least one; see `vae_anomaly.table.io.read_table`.
    dialect : CsvDialect
        Of those that are CSV.
    chunk_bytes, chunk_rows : int, optional
        Text of a chunk of CSV, and rows of a chunk of Parquet; `CHUNK_BYTES` and `CHUNK_ROWS` if not given.
    keep_bad : bool, default=False
        Whether CSV rows that cannot be read are kept among the bad ones of their chunk, rather than an error.

    Raises
    ------
    FileFormatError
        If the first file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "payments.csv"
    >>> _ = path.write_text("card,amount\n0042,12.50\n0043,\n")
    >>> stream = Stream([path, path], CsvDialect())
    >>> [chunk.index.tolist() for chunk in stream.chunks()], stream.schema.names
    ([[0, 1], [2, 3]], ['card', 'amount'])
    """

    def __init__(
        self,
        sources: Sequence[str | os.PathLike[str]],
        dialect: CsvDialect,
        *,
        chunk_bytes: int | None = None,
        chunk_rows: int | None = None,
        keep_bad: bool = False,
    ) -> None:
        self._sources, self._dialect = sources, dialect
        self._chunk_bytes, self._chunk_rows = chunk_bytes or CHUNK_BYTES, chunk_rows or CHUNK_ROWS
        self._keep_bad = keep_bad
        self.first = self._opened(0, None)

    @property
    def schema(self) -> pa.Schema:
        """The columns of all files."""
        return self.first.schema

    def chunks(self, start: Place | None = None) -> Iterator[Chunk]:
        """The rows of all files, or those after the end of a chunk.

        Parameters
        ----------
        start : Place, optional
            The end of a chunk of the same files.

        Yields
        ------
        Chunk
            In order.

        Raises
        ------
        FileFormatError
            If a file cannot be read, or its columns differ from those of the first, in name, order or type.
        """
        source, before = (0, None) if start is None else (start.source, start)
        for number in range(source, len(self._sources)):
            file = self.first if number == 0 else self._opened(number, before)
            if not file.schema.equals(self.schema):
                raise FileFormatError(_difference(self.schema, file.schema, self._sources[0], self._sources[number]))
            at = start if start is not None and start.source == number else None
            for chunk in self._chunks_of(file, at):
                before = chunk.end
                yield chunk

    def _opened(self, number: int, before: Place | None) -> CsvFile | ParquetFile:
        source = self._sources[number]
        return ParquetFile(source, before) if is_parquet(source) else CsvFile(source, self._dialect, before)

    def _chunks_of(self, file: CsvFile | ParquetFile, at: Place | None) -> Iterator[Chunk]:
        if isinstance(file, ParquetFile):
            return file.chunks(self._chunk_rows, at)
        return file.chunks(self._chunk_bytes, at, keep_bad=self._keep_bad)


class ParquetFile:
    """A Parquet file, opened.

    Parameters
    ----------
    source : str or path
        Its name.
    before : Place
        The end of the file before it.

    Raises
    ------
    FileFormatError
        If there is no such file, or it is no Parquet file with rows.
    """

    def __init__(self, source: str | os.PathLike[str], before: Place | None = None) -> None:
        self.name = display_name(source)
        check_is_file(source)
        try:
            self._file = pq.ParquetFile(source, buffer_size=_BUFFER)
            self.schema = self._file.schema_arrow
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(error) from error
        check_unique(self.schema.names, self.name)
        if self._file.metadata.num_rows == 0:
            raise FileFormatError(f"{self.name}: expected rows, found none. Check how the file was made.")
        self.start = Place() if before is None else Place(before.source + 1, total=before.total)

    def chunks(self, n_rows: int, start: Place | None = None) -> Iterator[Chunk]:
        """The rows, so many at a time.

        Parameters
        ----------
        n_rows : int
            Rows of a chunk, but for the last one.
        start : Place, optional
            The end of an earlier chunk of the same file.

        Yields
        ------
        Chunk
            In order.

        Raises
        ------
        FileFormatError
            If the file is damaged.
        """
        place = self.start if start is None else start
        for table in self._tables(n_rows, place.row):
            after = place.row + table.num_rows
            end = Place(place.source, after, after, after + 1, place.total + table.num_rows)
            yield Chunk(self.name, table, np.arange(place.total, end.total), (), place, end)
            place = end

    def _tables(self, n_rows: int, first: int) -> Iterator[pa.Table]:
        """Whole tables of `n_rows`, from a row on: what is read begins where a row group does."""
        groups, skipped = self._groups_from(first)
        pending: list[pa.RecordBatch] = []
        size = 0
        try:
            for batch in self._file.iter_batches(n_rows, row_groups=groups):
                n_skipped = min(skipped, batch.num_rows)
                skipped -= n_skipped
                pending.append(batch.slice(n_skipped))
                size += pending[-1].num_rows
                if size >= n_rows:
                    table = pa.Table.from_batches(pending, self.schema)
                    pending, size = table.slice(n_rows).to_batches(), size - n_rows
                    yield table.slice(0, n_rows)
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(error) from error
        if size:
            yield pa.Table.from_batches(pending, self.schema)

    def _groups_from(self, row: int) -> tuple[list[int], int]:
        """The row groups from that of a row on, and how many of their rows come before it."""
        metadata = self._file.metadata
        counts = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        begins = np.append(0, np.cumsum(counts))
        first = int(np.searchsorted(begins, row, side="right")) - 1
        return list(range(first, len(counts))), row - int(begins[first])

    def _damaged(self, error: Exception) -> FileFormatError:
        reason = str(error).splitlines()[0].rstrip(".")
        return FileFormatError(
            f"{self.name}: expected a Parquet file, found: {reason}. It may be cut short, or not be what its name says."
        )


def _meant(source: str) -> list[str]:
    path = Path(source)
    if source == STANDARD_STREAM or path.is_file():
        return [source]
    if path.is_dir():
        return _files_in(path)
    if glob.has_magic(source) and not path.exists():
        found = sorted(name for name in glob.glob(source) if not Path(name).is_dir())
        if not found:
            raise FileFormatError(f"{source}: expected files whose names match, found none. Check the pattern.")
        return found
    return [source]  # whoever opens it says what is wrong


def _files_in(folder: Path) -> list[str]:
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    visible = [e for e in entries if not e.name.startswith((".", "_")) and not e.name.endswith((".part", ".part.json"))]
    within = [entry.name for entry in visible if entry.is_dir()]
    if within:
        raise FileFormatError(
            f"{folder}: expected a folder of files, found the folder {within[0]!r} in it. Name the folders to read."
        )
    if not visible:
        raise FileFormatError(f"{folder}: expected a folder of files, found none in it. Check the path.")
    return [str(entry) for entry in visible]


def _mark_of(source: str) -> dict[str, Any]:
    if source != STANDARD_STREAM:
        check_is_file(source)
    if not os.path.isfile(source):
        return {"name": source}  # a pipe: what is read from it once is gone
    about = os.stat(source)
    with open(source, "rb") as file:
        beginning = zlib.crc32(file.read(_BEGINNING))
    return {"name": source, "size": about.st_size, "changed": about.st_mtime_ns, "beginning": beginning}


def _difference(first: pa.Schema, other: pa.Schema, first_source: Any, other_source: Any) -> str:
    lacking = [name for name in first.names if name not in other.names]
    added = [name for name in other.names if name not in first.names]
    retyped = [n for n in first.names if n in other.names and first.field(n).type != other.field(n).type]
    parts = [
        f"{what} {names}"
        for what, names in (("it lacks", lacking), ("it adds", added), ("the types differ of", retyped))
        if names
    ]
    return (
        f"{display_name(other_source)}: expected the columns of {display_name(first_source)}, found others:"
        f" {'; '.join(parts) or 'their order differs'}. Give files of one layout, or run once for each layout."
    )
