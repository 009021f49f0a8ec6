"""A CSV file in chunks: as much text as was asked for, cut where a record ends.

Where a chunk ends depends on nothing but where it begins, so that a reader that goes on from any place finds the same
chunks as one that came there.
"""

from __future__ import annotations

import codecs
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa

from vae_anomaly.errors import FileFormatError
from vae_anomaly.table.chunk import Chunk, Place
from vae_anomaly.table.csv_text import (
    BadRow,
    CsvDialect,
    CsvHead,
    cells_of,
    check_is_text,
    check_unique,
    fault,
    parse,
    sniff_delimiter,
)
from vae_anomaly.table.records import Records, count_cells, count_lines, cut

STANDARD_STREAM = "-"
COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_HEAD = 1 << 20  # bytes that hold the header line, most likely
_AT_ONCE = 1 << 20  # bytes of another encoding that are decoded together
_LONGEST_RECORD = 1 << 27


def display_name(source: str | os.PathLike[str]) -> str:
    """What messages call a file.

    Examples
    --------
    >>> display_name("-"), display_name("folder/payments.csv")
    ('standard stream', 'folder/payments.csv')
    """
    return "standard stream" if str(source) == STANDARD_STREAM else str(source)


class CsvFile:
    r"""A CSV file, opened.

    Parameters
    ----------
    source : str, path or binary stream
        ``-`` is standard input; by its name the file may be compressed.
    dialect : CsvDialect
        How it is written.
    before : Place
        The end of the file before it.

    Raises
    ------
    FileFormatError
        If there is no such file, or it does not begin as CSV text.

    Examples
    --------
    >>> import io
    >>> file = CsvFile(io.BytesIO(b"card,amount\n0042,3.50\n0043,\n"), CsvDialect())
    >>> [chunk.table.num_rows for chunk in file.chunks(12)], file.head.names
    ([1, 1], ('card', 'amount'))
    """

    def __init__(
        self, source: str | os.PathLike[str] | IO[bytes], dialect: CsvDialect, before: Place | None = None
    ) -> None:
        stream, self.name, seekable = _opened(source)
        self._header = dialect.header
        self._text = _Utf8(stream, self.name, dialect, seekable=seekable)
        self.head, self.start = self._begin(dialect, before)

    @property
    def schema(self) -> pa.Schema:
        """Its columns, all of them text."""
        return pa.schema([(name, pa.string()) for name in self.head.names])

    def chunks(self, n_bytes: int, start: Place | None = None, *, keep_bad: bool = False) -> Iterator[Chunk]:
        """The rows.

        Parameters
        ----------
        n_bytes : int
            Text of a chunk; more where a single record is longer.
        start : Place, optional
            The end of an earlier chunk of the same file.
        keep_bad : bool, default=False
            Whether rows that cannot be read are kept among the bad ones, rather than an error.

        Yields
        ------
        Chunk
            In order.

        Raises
        ------
        FileFormatError
            At the first row that cannot be read, and if there is no row at all.
        """
        place = self.start if start is None else start
        self._text.go_on_at(place.offset, place.checksum)
        while (records := self._next_records(n_bytes, place)) is not None:
            chunk = self._chunk(records, place, keep_bad=keep_bad)
            place = chunk.end
            yield chunk
        if place.row == 0:
            raise FileFormatError(
                f"{self.name}: expected rows below the header line, found none. Check how the file was made"
                " (or, if its only line is data, say so: --no-header)."
            )

    def _begin(self, dialect: CsvDialect, before: Place | None) -> tuple[CsvHead, Place]:
        """The header, and where rows begin."""
        data = self._text.read(_HEAD)
        if not data.strip():
            raise FileFormatError(
                f"{self.name}: expected a header line and rows, found an empty file. Check how it was made."
            )
        n_blank = len(data) - len(data.lstrip(b"\r\n"))
        delimiter = dialect.delimiter or sniff_delimiter(data.decode(errors="replace"), dialect.decimal)
        self._text.unread(data[n_blank:])
        records = self._whole_records(_HEAD, delimiter, 1 + count_lines(data[:n_blank]), blank=False)
        line = records[0]
        as_is = CsvHead(("",) * count_cells(line, delimiter), delimiter, self._text.codec, self._text.mark, None, b"")
        if wrong := fault(line, as_is, unclosed=records.unclosed and len(records) == 1):
            raise BadRow(self.name, 1 + count_lines(data[:n_blank]), *wrong, line).error()
        names = cells_of(line.decode(), delimiter, self.name)
        header = line if dialect.header else None
        if header is None:
            names = [f"column_{number}" for number in range(1, len(names) + 1)]
        check_unique(names, self.name)
        after = int(records.nexts[0]) if dialect.header else 0
        self._text.unread(records.data[after:])
        line_end = records.line_ends(b"\n")[0].as_py()
        head = CsvHead(tuple(names), delimiter, self._text.codec, self._text.mark, header, line_end)
        lines = count_lines(data[:n_blank]) + count_lines(records.data[:after])
        source, total = (0, 0) if before is None else (before.source + 1, before.total)
        return head, Place(source, n_blank + after, 0, lines + 1, total)

    def _next_records(self, n_bytes: int, place: Place) -> Records | None:
        """The records of the next chunk; None at the end."""
        records = self._whole_records(n_bytes, self.head.delimiter, place.line, blank=len(self.head.names) == 1)
        self._text.unread(records.data[records.size :])
        return records if records.size else None

    def _whole_records(self, n_bytes: int, delimiter: str, line: int, *, blank: bool) -> Records:
        """At least one record, if there is one."""
        while True:
            data = self._text.read(n_bytes)
            final = len(data) < n_bytes
            records = cut(data, delimiter, final=final, blank=blank)
            if records.size or final:
                return records
            if n_bytes >= _LONGEST_RECORD:
                raise FileFormatError(
                    f"{self.name}, line {line}: expected a row of at most {_LONGEST_RECORD >> 20} MB, found one without"
                    f" end that begins {data[:60]!r}. Look for a quotation mark on this line that is never closed."
                )
            self._text.unread(data)
            n_bytes *= 2

    def _chunk(self, records: Records, start: Place, *, keep_bad: bool) -> Chunk:
        """The records as a table, those that cannot be read aside."""
        end = Place(
            start.source,
            start.offset + records.size,
            start.row + len(records),
            start.line + count_lines(records.data[: records.size]),
            start.total + len(records),
            zlib.crc32(memoryview(records.data)[: records.size], start.checksum),
        )
        index = np.arange(start.total, end.total)
        bad: dict[int, BadRow] = {}
        table = self._parsed(records)
        if table is None:
            bad = self._faults(records, start, all_of_them=keep_bad)
            if not keep_bad:
                raise next(iter(bad.values())).error()
            kept = np.ones(len(records), dtype=bool)
            kept[list(bad)] = False
            records, index = records.where(kept), index[kept]
            table = self._parsed(records)
        if table is None:
            raise FileFormatError(
                f"{self.name}, from line {start.line}: expected CSV text, found none. Export it anew."
            )
        return Chunk(self.name, table, index, tuple(bad.values()), start, end, self.head, records)

    def _parsed(self, records: Records) -> pa.Table | None:
        """The table, None if a record is at fault."""
        text = records.text()
        if records.unclosed or b"\0" in text:
            return None
        try:
            table = parse(text, self.head.names, self.head.delimiter)
        except pa.ArrowInvalid:
            return None
        return table if table.num_rows == len(records) else None

    def _faults(self, records: Records, start: Place, *, all_of_them: bool) -> dict[int, BadRow]:
        """The records at fault, or the first of them; read again one by one, slowly."""
        found: dict[int, BadRow] = {}
        for number in range(len(records)):
            last = number == len(records) - 1
            wrong = fault(records[number], self.head, unclosed=records.unclosed and last)
            if wrong is not None:
                line = start.line + int(records.lines_before[number])
                where = f" (record {start.row + number + 1 + self._header})"
                found[number] = BadRow(self.name, line, *wrong, records[number], where)
                if not all_of_them:
                    break
        return found


class _Utf8:
    """The text of a file as UTF-8, whatever its encoding, without a byte-order mark."""

    def __init__(self, stream: IO[bytes], name: str, dialect: CsvDialect, *, seekable: bool) -> None:
        self._stream, self._name, self._seekable = stream, name, seekable
        self._ahead, self._raw_ahead, self._offset = b"", b"", 0
        beginning = self._raw(4)
        self.mark, self.codec = dialect.codec(beginning)
        self._raw_ahead = beginning[len(self.mark) :]
        if not self.codec.startswith(("utf-16", "utf-32")):
            check_is_text(beginning, name)
        # Bytes that are none of the encoding come as lone surrogates, which no UTF-8 has: their row is then at fault.
        decoder = None if self.codec == "utf-8" else codecs.getincrementaldecoder(self.codec)("surrogateescape")
        self._decoder = decoder

    def read(self, n_bytes: int) -> bytes:
        """So many bytes, fewer only at the end."""
        parts, size = [self._ahead], len(self._ahead)
        while size < n_bytes and (more := self._more(n_bytes - size)):
            parts.append(more)
            size += len(more)
        data = b"".join(parts)
        self._ahead = data[n_bytes:]
        self._offset += min(len(data), n_bytes)
        return data[:n_bytes]

    def unread(self, data: bytes) -> None:
        """Give the last bytes back."""
        self._ahead = data + self._ahead
        self._offset -= len(data)

    def go_on_at(self, offset: int, checksum: int) -> None:
        """Pass over everything before an offset, which must not lie behind, and check it unless it is not read."""
        if self._seekable and self._decoder is None and offset > self._offset + len(self._ahead):
            self._stream.seek(len(self.mark) + offset)
            self._ahead, self._raw_ahead, self._offset = b"", b"", offset
            return
        found = 0
        while passed := self.read(min(offset - self._offset, _AT_ONCE)):
            found = zlib.crc32(passed, found)
        if self._offset < offset or found != checksum:
            raise FileFormatError(
                f"{self._name}: expected the same text as before, to go on where it was left, found other or less text."
                " Give it whole and unchanged, or start again (--force)."
            )

    def _more(self, n_bytes: int) -> bytes:
        """Some more text; nothing only at the end."""
        if self._decoder is None:
            return self._raw(n_bytes)
        while raw := self._raw(_AT_ONCE):
            if text := self._decoded(raw):
                return text
        return self._decoded(b"")

    def _decoded(self, raw: bytes) -> bytes:
        assert self._decoder is not None  # noqa: S101
        try:
            return self._decoder.decode(raw, final=not raw).encode("utf-8", "surrogatepass")
        except UnicodeError as wrong:
            raise FileFormatError(
                f"{self._name}: expected {self.codec} text, found: {wrong}. Name another encoding, for instance"
                " --encoding utf-8."
            ) from None

    def _raw(self, n_bytes: int) -> bytes:
        ahead, self._raw_ahead = self._raw_ahead, b""
        try:
            return ahead or bytes(self._stream.read(n_bytes))
        except OSError as error:
            raise FileFormatError(
                f"{self._name}: expected a readable CSV file, found: {error}. It may be cut short, or not be what its"
                " name says."
            ) from error


def _opened(source: str | os.PathLike[str] | IO[bytes]) -> tuple[IO[bytes], str, bool]:
    """A file as a stream, what to call it, and whether one may go to a place of it at once."""
    if not isinstance(source, str | os.PathLike):
        return source, "standard stream", False
    name, compression = display_name(source), COMPRESSIONS.get(Path(source).suffix.lower())
    if str(source) == STANDARD_STREAM:
        return sys.stdin.buffer, name, False
    check_is_file(source)
    try:
        if not os.path.isfile(source):  # a pipe has no places to go to
            return pa.input_stream(open(source, "rb"), compression=compression), name, False
        return pa.input_stream(str(source), compression=compression), name, compression is None
    except OSError as error:
        raise FileFormatError(
            f"{name}: expected a readable CSV file, found: {error}. Check its permissions."
        ) from error


def check_is_file(source: str | os.PathLike[str]) -> None:
    """Raise a `FileFormatError` if there is no file of that name."""
    name, path = display_name(source), Path(source)
    with suppress(OSError):
        if path.is_dir():
            raise FileFormatError(f"{name}: expected a file, found a folder. Name the files in it.")
        if path.exists():
            return
    raise FileFormatError(f"{name}: expected a file, found none of that name. Check the path.")
