"""Where each record of CSV text begins and ends, so that it can come out as it went in.

The grammar is pyarrow's: a cell that begins with a quotation mark goes on to the next single one, whatever lies
between; in any other cell a quotation mark is a character like others. A record ends at a line feed, a carriage return
or both, outside of quotes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_QUOTE, _LF, _CR = 34, 10, 13
_QUOTED = rb"\"(?:[^\"]++|\"\")*+"  # up to the mark that closes
_OPENED = _QUOTED + rb"\Z"


@dataclass(frozen=True, eq=False)
class Records:
    """CSV text cut into records.

    Parameters
    ----------
    data : bytes
        UTF-8 text.
    starts, ends : int64 ndarray of shape (n_records,)
        Where each record begins, and where it ends without its line end.
    nexts : int64 ndarray of shape (n_records,)
        Where the line end is over.
    size : int
        How far the records go; after it comes the beginning of one that is not yet whole.
    unclosed : bool
        Whether the text ends inside quotes: the last record is then not to be trusted.
    """

    data: bytes
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    nexts: NDArray[np.int64]
    size: int
    unclosed: bool

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> bytes:
        """The text of one record, without its line end."""
        return self.data[self.starts[index] : self.ends[index]]

    def where(self, chosen: NDArray[np.bool_]) -> Records:
        """Some of the records."""
        unclosed = self.unclosed and bool(chosen[-1:].all())
        return Records(self.data, self.starts[chosen], self.ends[chosen], self.nexts[chosen], self.size, unclosed)

    @cached_property
    def lines_before(self) -> NDArray[np.int64]:
        """How many lines end before each record; quotes may hold line ends too."""
        characters = np.frombuffer(self.data, np.uint8)
        feeds = np.flatnonzero((characters == _LF) | (characters == _CR))
        second = (characters[feeds] == _LF) & (characters[feeds - 1] == _CR) & (feeds > 0)
        return np.searchsorted(feeds[~second], self.starts)

    def text(self) -> bytes:
        """All records with their line ends, one below the other."""
        together = len(self) > 0 and bool((self.starts[1:] == self.nexts[:-1]).all())
        if together:
            return self.data[self.starts[0] : self.nexts[-1]]
        ends = (self.data[end:after] or b"\n" for end, after in zip(self.ends, self.nexts, strict=True))
        return b"".join(self[index] + end for index, end in enumerate(ends))

    def lines(self) -> pa.Array:
        """The text of each record, without its line end."""
        return self._slices(self.starts, self.ends)

    def line_ends(self, default: bytes) -> pa.Array:
        """The line end of each record, `default` for the last of a file that ends without one."""
        found = self._slices(self.ends, self.nexts)
        if len(self) and self.ends[-1] == self.nexts[-1]:
            return pa.concat_arrays([found[:-1], pa.array([default], pa.binary())])
        return found

    def _slices(self, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> pa.Array:
        """Pieces of the text. Arrow's offsets leave no gaps, so every gap is a piece too, and not taken."""
        edges = np.stack([starts, ends], axis=1).ravel().astype(np.int32)
        buffers = [None, pa.py_buffer(np.append(edges, edges[-1:])), pa.py_buffer(self.data)]
        pieces = (
            pa.BinaryArray.from_buffers(pa.binary(), len(edges), buffers) if len(edges) else pa.array([], pa.binary())
        )
        return pieces.take(pa.array(np.arange(0, len(edges), 2)))


def cut(data: bytes, delimiter: str, *, final: bool, blank: bool = False) -> Records:
    r"""Cut text into records.

    Parameters
    ----------
    data : bytes
        UTF-8 text that begins with a record.
    delimiter : str
        Between cells, one ASCII character.
    final : bool
        Whether nothing comes after it. If not, what follows the last line end is no record yet.
    blank : bool, default=False
        Whether a line without a character is a record.

    Returns
    -------
    Records
        In order.

    Examples
    --------
    >>> found = cut(b'7,"a\nb"\r\n\n8,5" pipe\n9,', ",", final=False)
    >>> [found[index] for index in range(len(found))], found.size
    ([b'7,"a\nb"', b'8,5" pipe'], 20)
    """
    characters = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(characters == _QUOTE)
    if _all_at_cell_edges(characters, quotes, ord(delimiter)):
        ends, nexts, unclosed = _ends_by_parity(characters, quotes, final=final)
    else:
        ends, nexts, unclosed = _ends_by_grammar(data, delimiter, final=final)
    starts = np.append(0, nexts[:-1])[: len(nexts)]
    found = Records(data, starts, ends, nexts, int(nexts[-1]) if len(nexts) else 0, unclosed)
    return found if blank else found.where(starts < ends)


def count_cells(record: bytes, delimiter: str) -> int:
    r"""How many cells a record has.

    Examples
    --------
    >>> count_cells(b'7,"a,b",,5" pipe, 6"', ","), count_cells(b"", ",")
    (5, 1)
    """
    if b'"' not in record:
        return record.count(delimiter.encode()) + 1
    cell, n_cells, at = _single(delimiter), 0, -1
    while at < len(record):  # after every cell comes a delimiter, or the end
        match = cell.match(record, at + 1)
        n_cells, at = n_cells + 1, match.end() if match else len(record)
    return n_cells


def count_lines(text: bytes) -> int:
    r"""How many lines end in the text.

    Examples
    --------
    >>> count_lines(b"a\nb\r\nc\rd")
    3
    """
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")


def _all_at_cell_edges(characters: Any, quotes: NDArray[np.intp], delimiter: int) -> bool:
    """Whether every quotation mark that would open a cell stands where a cell begins, or right after one that closes.

    Then a place is inside quotes where the number of marks before it is odd: of two in a row, the first closes and the
    second opens again, with nothing between.
    """
    opening = quotes[::2]
    before = characters[np.maximum(opening - 1, 0)]
    at_edge = (opening == 0) | (before == delimiter) | (before == _LF) | (before == _CR)
    at_edge[1:] |= opening[1:] == quotes[1::2][: len(opening) - 1] + 1
    return bool(at_edge.all())


def _ends_by_parity(
    characters: Any, quotes: NDArray[np.intp], *, final: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], bool]:
    breaks = np.flatnonzero((characters == _LF) | (characters == _CR))
    if len(quotes):
        breaks = breaks[np.searchsorted(quotes, breaks) % 2 == 0]
    second = (characters[breaks] == _LF) & (characters[np.maximum(breaks - 1, 0)] == _CR) & (breaks > 0)
    ends = breaks[~second]
    after = characters[np.minimum(ends + 1, len(characters) - 1)] if len(ends) else characters[:0]
    both = (characters[ends] == _CR) & (after == _LF) & (ends + 1 < len(characters))
    nexts = ends + 1 + both
    return _to_the_end(ends, nexts, characters, final=final, unclosed=len(quotes) % 2 == 1)


def _to_the_end(
    ends: NDArray[np.int64], nexts: NDArray[np.int64], characters: Any, *, final: bool, unclosed: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], bool]:
    """What follows the last line end is a record of its own at the end of a file, and no record yet before it."""
    n_bytes, done = len(characters), int(nexts[-1]) if len(nexts) else 0
    if final and done < n_bytes:
        return np.append(ends, n_bytes), np.append(nexts, n_bytes), unclosed
    if not final and done == n_bytes and n_bytes and characters[-1] == _CR:
        return ends[:-1], nexts[:-1], False  # a line feed may come next, which belongs to it
    return ends, nexts, final and unclosed


def _ends_by_grammar(data: bytes, delimiter: str, *, final: bool) -> tuple[NDArray[np.int64], NDArray[np.int64], bool]:
    """The same, cell by cell: for text with quotation marks inside of cells that are not quoted."""
    spans, unclosed = [], False
    for match in _record(delimiter).finditer(data):
        if not match["end"]:
            unclosed = match["open"] is not None
            break
        spans.append(match.span("end"))
    ends, nexts = np.array(spans, np.int64).reshape(-1, 2).T
    return _to_the_end(ends, nexts, np.frombuffer(data, np.uint8), final=final, unclosed=unclosed)


@cache
def _record(delimiter: str) -> re.Pattern[bytes]:
    """A record, with an end that is empty where it has none; where it breaks off inside quotes it has an `open`."""
    return re.compile(
        rb"(?:%b)(?:%b(?:%b))*+%b(?P<end>\r\n|\r|\n|\Z)"
        % (_cell(delimiter), re.escape(delimiter.encode()), _cell(delimiter), rb"(?P<open>%b)?" % _OPENED)
    )


@cache
def _single(delimiter: str) -> re.Pattern[bytes]:
    return re.compile(rb"(?:%b|%b)" % (_OPENED, _cell(delimiter)))


def _cell(delimiter: str) -> bytes:
    """One cell; of one that is opened and never closed, nothing."""
    plain = rb"[^%b\r\n]" % re.escape(delimiter.encode())
    return rb"%b\"%b*+|(?!\")%b*+|(?=%b)" % (_QUOTED, plain, plain, _OPENED)
