"""CSV text to a table whose every column is text, and what to say where that fails."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.csv as pacsv

from vae_anomaly._params import OneOf, check_params
from vae_anomaly.errors import FileFormatError, ParameterError
from vae_anomaly.table.records import count_cells

DELIMITERS = (",", ";", "\t", "|")
_NOT_TEXT = (
    (b"PK\x03\x04", "a zip archive (an .xlsx workbook is one)", "Save the sheet as CSV, or unpack the archive."),
    (b"PAR1", "a Parquet file", "Give the file a name that ends in .parquet."),
    (b"\x1f\x8b", "gzip data", "Give the file a name that ends in .gz."),
    (b"\x28\xb5\x2f\xfd", "zstandard data", "Give the file a name that ends in .zst."),
    (b"BZh", "bzip2 data", "Give the file a name that ends in .bz2."),
)
_MARKS = (  # byte-order marks, the longer first: that of UTF-16 begins that of UTF-32
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SHOWN = 60  # characters of a row


@dataclass(frozen=True)
class CsvDialect:
    """How a CSV file is written.

    Parameters
    ----------
    delimiter : str or None
        The ASCII character between cells; None finds it in the header line, among comma, semicolon, tab and bar.
    encoding : str
        Any encoding that Python knows.
    decimal : {".", ","}
        The decimal mark of its numbers: with a comma, a comma is not looked for as the delimiter.
    header : bool
        Whether the first record names the columns.

    Examples
    --------
    >>> CsvDialect(delimiter=";;")
    Traceback (most recent call last):
        ...
    vae_anomaly.errors.ParameterError: The 'delimiter' parameter of a CSV file must be one ASCII character, no \
quotation mark or line end, or None. Got ';;' instead.
    """

    delimiter: str | None = None
    encoding: str = "utf-8"
    decimal: str = "."
    header: bool = True

    def __post_init__(self) -> None:
        owner = "a CSV file"
        check_params(owner, vars(self), {"decimal": (OneOf((".", ",")),), "header": (OneOf((True, False)),)})
        if self.delimiter is not None and not re.fullmatch(r'[^"\r\n\0\x80-\U0010ffff]', self.delimiter):
            raise ParameterError(
                f"The 'delimiter' parameter of {owner} must be one ASCII character, no quotation mark or line end, or "
                f"None. Got {self.delimiter!r} instead."
            )
        try:
            "".encode(self.encoding)  # hex and zip are codecs too, but none of text
        except (LookupError, ValueError):
            raise ParameterError(
                f"The 'encoding' parameter of {owner} must be an encoding that Python knows, such as 'utf-8', "
                f"'latin-1' or 'cp1252'. Got {self.encoding!r} instead."
            ) from None

    def codec(self, beginning: bytes) -> tuple[bytes, str]:
        r"""The byte-order mark of a file, and the codec for what comes after it.

        A mark of UTF-16 or UTF-32 is believed where no encoding, that is UTF-8, was given.

        Examples
        --------
        >>> CsvDialect().codec(b"\xff\xfea\x00"), CsvDialect(encoding="latin-1").codec(b"\xff\xfea\x00")
        ((b'\xff\xfe', 'utf-16-le'), (b'', 'iso8859-1'))
        """
        given = codecs.lookup(self.encoding).name.removesuffix("-sig")
        for mark, codec in _MARKS:
            if beginning.startswith(mark) and (given == "utf-8" or codec.startswith(given)):
                return mark, codec
        return b"", f"{given}-le" if given in ("utf-16", "utf-32") else given


@dataclass(frozen=True)
class CsvHead:
    """What the beginning of a CSV file says of the rest.

    Parameters
    ----------
    names : tuple of str
        Of the columns.
    delimiter : str
        Between cells.
    codec : str
        Of the text.
    mark : bytes
        Its byte-order mark; empty for none.
    header : bytes or None
        The header line in UTF-8, without its line end, if there is one.
    line_end : bytes
        That of the first line; a line feed if the file has none.
    """

    names: tuple[str, ...]
    delimiter: str
    codec: str
    mark: bytes
    header: bytes | None
    line_end: bytes


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, and why.

    Parameters
    ----------
    file : str
        What messages call it.
    line : int
        Where the row begins; the number of the row in a Parquet file.
    reason : str
        What was expected, and what was found.
    remedy : str
        What to do.
    text : bytes
        The row as it is.
    where : str
        More of its place, for people.
    """

    file: str
    line: int
    reason: str
    remedy: str
    text: bytes
    where: str = ""

    def error(self) -> FileFormatError:
        """The row as an error."""
        return FileFormatError(f"{self.file}, line {self.line}{self.where}: {self.reason}. {self.remedy}")


def check_is_text(beginning: bytes, name: str) -> None:
    """Raise a `FileFormatError` if a file begins like something else than text."""
    for magic, found, remedy in _NOT_TEXT:
        if beginning.startswith(magic):
            raise FileFormatError(f"{name}: expected CSV text, found {found}. {remedy}")


def sniff_delimiter(head: str, decimal: str) -> str:
    """The candidate that occurs most often in the first line, outside quotes; a comma where none does."""
    line = re.sub(r'"[^"]*"', "", head).lstrip("\r\n")
    line = re.split(r"[\r\n]", line, maxsplit=1)[0]
    return max((c for c in DELIMITERS if c != decimal), key=line.count) if line else ","


def cells_of(record: str, delimiter: str, name: str) -> list[str]:
    """The cells of one record."""
    try:
        return next(csv.reader(io.StringIO(record, newline=""), delimiter=delimiter))
    except (StopIteration, csv.Error) as refused:
        raise FileFormatError(
            f"{name}: expected CSV text, found a cell that cannot be read ({refused}). Look for a quotation mark that"
            " is never closed, or a file that is no CSV."
        ) from None


def check_unique(names: Sequence[str], file: str) -> None:
    """Raise a `FileFormatError` that lists the column names found more than once, with their places."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        places = "; ".join(
            f"{name!r} at columns {', '.join(str(i) for i, other in enumerate(names, 1) if other == name)}"
            for name in repeated[:5]
        )
        raise FileFormatError(
            f"{file}: expected every column name once, found {places}. Rename the columns in the header line"
            " (or, if the first line is data, say so: --no-header)."
        )


def parse(text: bytes, names: Sequence[str], delimiter: str) -> pa.Table:
    r"""Every cell of records without a header as it is written; an empty cell without quotes is null.

    Lines without a single character are no rows, unless the table has one column: there they are missing cells.

    Parameters
    ----------
    text : bytes
        UTF-8, whole records.
    names : sequence of str
        Of the columns.
    delimiter : str
        Between cells.

    Returns
    -------
    pyarrow.Table
        Its columns all of type string.

    Raises
    ------
    pyarrow.ArrowInvalid
        If a record has another number of cells, or the text is not UTF-8.

    Examples
    --------
    >>> parse(b'007;3,50\n008;""\n', ["id", "amount"], ";").to_pylist()
    [{'id': '007', 'amount': '3,50'}, {'id': '008', 'amount': ''}]
    """
    if not text:
        return pa.table({name: pa.array([], pa.string()) for name in names})
    return pacsv.read_csv(
        pa.BufferReader(text),
        # A block must hold a record; where it ends, the parser of several blocks would look for one on its own.
        read_options=pacsv.ReadOptions(column_names=list(names), block_size=len(text) + 1, use_threads=False),
        parse_options=pacsv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=len(names) > 1
        ),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
            quoted_strings_can_be_null=False,
        ),
    )


def fault(record: bytes, head: CsvHead, *, unclosed: bool) -> tuple[str, str] | None:
    """What is wrong with a record, and what to do; None if nothing is.

    Examples
    --------
    >>> head = CsvHead(("card", "amount"), ",", "utf-8", b"", None, b"")
    >>> fault(b"0042,3,50", head, unclosed=False)[0]
    "expected 2 cells, found 3, in the row that begins '0042,3,50'"
    """
    if b"\0" in record:
        return "expected CSV text, found a NUL byte, so this is a binary file or text of another encoding", (
            "Export it as CSV, or name its encoding (for instance --encoding utf-16)."
        )
    try:
        text = record.decode()
    except UnicodeDecodeError as wrong:
        return _undecodable(record, wrong.start, head.codec)
    n_cells, expected = count_cells(record, head.delimiter), len(head.names)
    never_closed = "Look for a quotation mark on this line that is never closed."
    if n_cells != expected:
        several_lines = "\n" in text or "\r" in text
        return f"expected {expected} cells, found {n_cells}, in the row that begins {text[:_SHOWN]!r}", (
            never_closed
            if several_lines or unclosed
            else f"Look for a missing or unquoted {head.delimiter!r} in this row (or name another --delimiter)."
        )
    if unclosed:
        return f"expected a quotation mark to be closed, found the end in the row that begins {text[:_SHOWN]!r}", (
            never_closed
        )
    return None


def _undecodable(record: bytes, at: int, codec: str) -> tuple[str, str]:
    """Bytes that are none of the codec; those of other codecs than UTF-8 come as lone surrogates."""
    is_surrogate = codec != "utf-8"
    found = ord(record[at : at + 3].decode("utf-8", "surrogatepass")) - 0xDC00 if is_surrogate else record[at]
    near = record[max(at - 15, 0) : at + 15].decode("latin-1")
    other = "utf-8" if is_surrogate else "cp1252" if re.search(rb"[\x80-\x9f]", record) else "latin-1"
    return f"expected {codec} text, found byte 0x{found:02x} near {near!r}", (
        f"Name the encoding, for instance --encoding {other}."
    )
