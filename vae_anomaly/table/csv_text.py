"""CSV text to a table whose every column is text, and what to say where that fails."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.csv as pacsv

from vae_anomaly._params import OneOf, check_params
from vae_anomaly.errors import FileFormatError, ParameterError

DELIMITERS = (",", ";", "\t", "|")
_HEAD = 1 << 20  # bytes that surely hold the header line
_BLOCK = 1 << 24  # a record must fit in a block
_NOT_TEXT = (
    (b"PK\x03\x04", "a zip archive (an .xlsx workbook is one)", "Save the sheet as CSV, or unpack the archive."),
    (b"PAR1", "a Parquet file", "Give the file a name that ends in .parquet."),
    (b"\x1f\x8b", "gzip data", "Give the file a name that ends in .gz."),
    (b"\x28\xb5\x2f\xfd", "zstandard data", "Give the file a name that ends in .zst."),
    (b"BZh", "bzip2 data", "Give the file a name that ends in .bz2."),
    (b"\xff\xfe", "UTF-16 text", "Read it with encoding utf-16 (--encoding utf-16)."),
    (b"\xfe\xff", "UTF-16 text", "Read it with encoding utf-16 (--encoding utf-16)."),
)


@dataclass(frozen=True)
class CsvDialect:
    """How a CSV file is written.

    Parameters
    ----------
    delimiter : str or None
        The character between cells; None finds it in the header line, among comma, semicolon, tab and bar.
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
    vae_anomaly.errors.ParameterError: The 'delimiter' parameter of a CSV file must be one character or None. \
Got ';;' instead.
    """

    delimiter: str | None = None
    encoding: str = "utf-8"
    decimal: str = "."
    header: bool = True

    def __post_init__(self) -> None:
        owner = "a CSV file"
        check_params(owner, vars(self), {"decimal": (OneOf((".", ",")),), "header": (OneOf((True, False)),)})
        if self.delimiter is not None and len(self.delimiter) != 1:
            raise ParameterError(
                f"The 'delimiter' parameter of {owner} must be one character or None. Got {self.delimiter!r} instead."
            )
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            raise ParameterError(
                f"The 'encoding' parameter of {owner} must be an encoding that Python knows, such as 'utf-8', "
                f"'latin-1' or 'cp1252'. Got {self.encoding!r} instead."
            ) from None

    @property
    def codec(self) -> str:
        """The encoding, with a byte-order mark allowed."""
        name = codecs.lookup(self.encoding).name
        return "utf-8-sig" if name == "utf-8" else name


def parse_csv(data: bytes, name: str, dialect: CsvDialect) -> pa.Table:
    r"""Every cell of CSV text as it is written; an empty cell without quotes is null.

    Lines without a single character are no rows, unless the table has one column: there they are missing cells.

    Parameters
    ----------
    data : bytes
        The whole text.
    name : str
        What error messages call it.
    dialect : CsvDialect
        How it is written.

    Returns
    -------
    pyarrow.Table
        Its columns all of type string.

    Raises
    ------
    FileFormatError
        Naming the file, the line, what was expected, what was found and what to do.

    Examples
    --------
    >>> parse_csv(b'id;amount\n007;3,50\n008;""\n', "payments.csv", CsvDialect(decimal=",")).to_pylist()
    [{'id': '007', 'amount': '3,50'}, {'id': '008', 'amount': ''}]
    """
    _check_is_text(data, name, dialect)
    head = data[:_HEAD].decode(dialect.codec, errors="replace")
    delimiter = dialect.delimiter or _sniff_delimiter(head, dialect.decimal)
    first = _first_record(head, delimiter, name)
    names = first if dialect.header else [f"column_{number}" for number in range(1, len(first) + 1)]
    check_unique(names, name)
    text = _Text(data, name, dialect, delimiter, len(names))
    try:
        table = _read(text, names)
    except (pa.ArrowInvalid, UnicodeError) as error:
        raise _explain(text, error) from None
    if table.num_rows == 0:
        raise _header_only(name)
    return table


def check_unique(names: list[str], file: str) -> None:
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


@dataclass(frozen=True)
class _Text:
    """CSV text together with what is known of it."""

    data: bytes
    name: str
    dialect: CsvDialect
    delimiter: str
    n_columns: int


def _read(text: _Text, names: list[str]) -> pa.Table:
    first_character = len(text.data) - len(text.data[:_HEAD].lstrip(b"\r\n")) - max(len(text.data) - _HEAD, 0)
    return pacsv.read_csv(
        pa.BufferReader(pa.py_buffer(text.data).slice(first_character)),
        read_options=pacsv.ReadOptions(
            column_names=names,
            skip_rows_after_names=int(text.dialect.header),
            encoding=text.dialect.encoding,
            block_size=_BLOCK,
        ),
        parse_options=pacsv.ParseOptions(
            delimiter=text.delimiter, newlines_in_values=True, ignore_empty_lines=len(names) > 1
        ),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
            quoted_strings_can_be_null=False,
        ),
    )


def _check_is_text(data: bytes, name: str, dialect: CsvDialect) -> None:
    if not data.strip():
        raise _empty(name)
    wide = dialect.codec.startswith(("utf-16", "utf-32"))
    for magic, found, remedy in _NOT_TEXT:
        if data.startswith(magic) and not wide:
            raise FileFormatError(f"{name}: expected CSV text, found {found}. {remedy}")
    nul = -1 if wide else data.find(b"\0")
    if nul >= 0:
        raise FileFormatError(
            f"{name}, line {_line(data, nul)}: expected CSV text, found a NUL byte, so this is a binary file or text of"
            " another encoding. Export it as CSV, or name its encoding (for instance --encoding utf-16)."
        )


def _sniff_delimiter(head: str, decimal: str) -> str:
    """The candidate that occurs most often in the first line, outside quotes; a comma where none does."""
    line = re.sub(r'"[^"]*"', "", head).lstrip("\r\n")
    line = re.split(r"[\r\n]", line, maxsplit=1)[0]
    return max((c for c in DELIMITERS if c != decimal), key=line.count) if line else ","


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The line where each record begins, and its cells."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    begins = 1
    for cells in reader:
        if cells:
            yield begins, cells
        begins = reader.line_num + 1


def _first_record(head: str, delimiter: str, name: str) -> list[str]:
    try:
        return next(_records(head, delimiter))[1]
    except StopIteration:
        raise _empty(name) from None
    except csv.Error as refused:
        raise _unreadable_cell(name, refused) from None


def _line(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def _empty(name: str) -> FileFormatError:
    return FileFormatError(f"{name}: expected a header line and rows, found an empty file. Check how it was made.")


def _unreadable_cell(name: str, refused: csv.Error) -> FileFormatError:
    return FileFormatError(
        f"{name}: expected CSV text, found a cell that cannot be read ({refused}). Look for a quotation mark that is"
        " never closed, or a file that is no CSV."
    )


def _header_only(name: str) -> FileFormatError:
    return FileFormatError(
        f"{name}: expected rows below the header line, found none. Check how the file was made"
        " (or, if its only line is data, say so: --no-header)."
    )


def _explain(text: _Text, error: Exception) -> FileFormatError:
    """Why the fast parser refused the text. It says neither line nor place, so read again, slowly."""
    try:
        decoded = text.data.decode(text.dialect.codec)
    except UnicodeDecodeError as wrong:
        near = text.data[max(wrong.start - 15, 0) : wrong.start + 15].decode("latin-1")
        other = "utf-8" if text.dialect.codec == "latin-1" else "latin-1"
        return FileFormatError(
            f"{text.name}, line {_line(text.data, wrong.start)}: expected {text.dialect.encoding} text, found byte"
            f" 0x{text.data[wrong.start]:02x} near {near!r}. Name the encoding, for instance --encoding {other}."
        )
    try:
        return _ragged(text, decoded) or FileFormatError(f"{text.name}: expected CSV text, found: {error}.")
    except csv.Error as refused:
        return _unreadable_cell(text.name, refused)


def _ragged(text: _Text, decoded: str) -> FileFormatError | None:
    """The first record whose number of cells is not the header's."""
    n_records = 0
    for line, cells in _records(decoded, text.delimiter):
        n_records += 1
        if len(cells) != text.n_columns:
            begins = text.delimiter.join(cells)[:60]
            unclosed = "\n" in cells[-1] or "\r" in cells[-1]
            remedy = (
                "Look for a quotation mark on this line that is never closed."
                if unclosed
                else f"Look for a missing or unquoted {text.delimiter!r} in this row (or name another --delimiter)."
            )
            return FileFormatError(
                f"{text.name}, line {line} (record {n_records}): expected {text.n_columns} cells, found {len(cells)},"
                f" in the row that begins {begins!r}. {remedy}"
            )
    return _header_only(text.name) if n_records <= int(text.dialect.header) else None
