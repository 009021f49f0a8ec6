"""Tables from files, and results to files: CSV and Parquet, whole, with nothing changed on the way.

A CSV cell stays the text that it was: leading zeros, long identifiers and odd dates come out as they went in. What a
column means is the schema's business.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vae_anomaly.errors import OutputError, TableError
from vae_anomaly.table.csv_cells import header_line, lines_of
from vae_anomaly.table.csv_file import COMPRESSIONS, STANDARD_STREAM
from vae_anomaly.table.csv_file import display_name as display_name
from vae_anomaly.table.csv_text import CsvDialect
from vae_anomaly.table.stream import Stream, is_parquet

_ROWS_AT_ONCE = 65_536  # of CSV text in memory while writing


def read_table(
    source: str | os.PathLike[str],
    *,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    decimal: str = ".",
    header: bool = True,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    r"""Read a CSV or Parquet file as it is.

    Parameters
    ----------
    source : str or path
        A file; ``-`` is CSV from standard input. ``.parquet`` and ``.pq`` are Parquet, everything else is CSV,
        decompressed if the name ends in ``.gz``, ``.bz2`` or ``.zst``.
    delimiter : str or None, default=None
        Of CSV: the character between cells. None finds it in the header line, among comma, semicolon, tab and bar.
    encoding : str, default="utf-8"
        Of CSV: any encoding that Python knows; a byte-order mark is allowed.
    decimal : {".", ","}, default="."
        Of CSV: the decimal mark. Cells are delivered as they are written either way; `with_decimal_points` makes the
        copy in which such numbers parse.
    header : bool, default=True
        Of CSV: whether the first line names the columns; without it they are ``column_1``, ``column_2``, ...
    columns : sequence of str or None, default=None
        Only these columns, in this order.

    Returns
    -------
    pyarrow.Table
        From CSV, every column as text, an empty cell without quotes being null. From Parquet, as stored.

    Raises
    ------
    FileFormatError
        If there is no such file or it is no such table, with the line, what was expected and what was found.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "payments.csv"
    >>> _ = path.write_text("card,amount\n0042,12.50\n0043,\n")
    >>> read_table(path).to_pylist()
    [{'card': '0042', 'amount': '12.50'}, {'card': '0043', 'amount': None}]
    """
    table = _all_rows([source], CsvDialect(delimiter, encoding, decimal, header))
    name = display_name(source)
    if columns is None:
        return table
    absent = [column for column in columns if column not in table.column_names]
    if absent:
        raise TableError(f"{name}: expected columns {absent}, found only {table.column_names}.")
    return table.select(list(columns))


def read_tables(sources: Sequence[str | os.PathLike[str]], **reading: Any) -> pa.Table:
    """Read several files of the same columns, one below the other.

    Parameters
    ----------
    sources : sequence of str or path
        As for `read_table`, at least one.
    **reading
        How CSV files are written: `delimiter`, `encoding`, `decimal` and `header`, as for `read_table`.

    Returns
    -------
    pyarrow.Table
        The rows of all files, in the order given.

    Raises
    ------
    FileFormatError
        If the columns of a file differ from those of the first, in name, order or type.
    """
    dialect = CsvDialect(**reading)
    return _all_rows(sources, dialect)


def with_decimal_points(table: pa.Table) -> pa.Table:
    """Copy a table so that text numbers with a decimal comma parse: ``1.234,5`` becomes ``1234.5``.

    A cell changes only if all of it is a number written that way: digits, points between groups of three, one comma.
    The rule looks at one cell at a time, so that it says the same in training and in scoring.

    Parameters
    ----------
    table : pyarrow.Table
        Any table; columns that are not text stay.

    Returns
    -------
    pyarrow.Table
        A copy to train or score on. What is shown to people is the original.

    Examples
    --------
    >>> cells = pa.table({"amount": ["1.234,5", "-0,5", "12", "3 for 2,50", None]})
    >>> with_decimal_points(cells)["amount"].to_pylist()
    ['1234.5', '-0.5', '12', '3 for 2,50', None]
    """
    columns = [_points(column) if _is_text(column.type) else column for column in table.itercolumns()]
    return pa.table(columns, names=table.column_names)


def check_target(target: str | os.PathLike[str], *, force: bool = False) -> None:
    """Raise an `OutputError` if `write_table` could not put a file there: ask before the work, not after it.

    Parameters
    ----------
    target : str or path
        Where a file is to be written; ``-`` is standard output.
    force : bool, default=False
        Whether an existing file may be replaced.

    Raises
    ------
    OutputError
        If there is such a file already, or a folder, or no folder to put it in.

    Examples
    --------
    >>> check_target("/no/such/folder/scored.csv")
    Traceback (most recent call last):
        ...
    vae_anomaly.errors.OutputError: /no/such/folder/scored.csv: expected an existing folder to write into, found none. \
Create /no/such/folder first.
    """
    if str(target) == STANDARD_STREAM:
        return
    path, folder = Path(target), Path(target).absolute().parent
    try:
        is_folder, is_there = path.is_dir(), path.is_file() or path.is_symlink()
    except OSError as error:
        raise OutputError(f"{path}: expected a name to write to, found: {error.strerror}. Name another file.") from None
    if is_folder:
        raise OutputError(f"{path}: expected a file to write, found a folder. Name a file in it.")
    if not folder.is_dir():
        raise OutputError(f"{path}: expected an existing folder to write into, found none. Create {folder} first.")
    if is_there and not force:
        raise OutputError(f"{path}: exists already. Name another file, or allow it to be replaced (--force).")
    if not path.exists() and not os.access(folder, os.W_OK):
        raise OutputError(f"{path}: expected a folder that may be written to, found one that may not. Name another.")


def write_table(table: pa.Table, target: str | os.PathLike[str], *, force: bool = False) -> None:
    r"""Write a table as CSV or Parquet, whole or not at all.

    The rows go to a temporary file in the same folder, which takes the final name when it is complete. Whatever
    happens before that, the final name holds what it held.

    Parameters
    ----------
    table : pyarrow.Table
        CSV text is UTF-8 with commas; a cell is quoted only where it must be, and a null is an empty cell.
    target : str or path
        ``-`` is CSV to standard output. ``.parquet`` and ``.pq`` are Parquet, everything else is CSV, compressed if the
        name ends in ``.gz``, ``.bz2`` or ``.zst``.
    force : bool, default=False
        Whether an existing file may be replaced.

    Raises
    ------
    OutputError
        If the file exists and `force` is false, or it could not be written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "scored.csv"
    >>> write_table(pa.table({"card": ["0042", None], "note": ['5" pipe', ""], "alert": [True, False]}), path)
    >>> print(path.read_text(), end="")
    card,note,alert
    0042,"5"" pipe",true
    ,"",false
    """
    with _written(target, force=force) as stream:
        if is_parquet(target):
            pq.write_table(table, stream)
        else:
            for text in _csv_lines(table):
                stream.write(text.encode())


def write_lines(lines: Iterable[str], target: str | os.PathLike[str], *, force: bool = False) -> None:
    """Write lines of text, such as JSON objects, whole or not at all.

    Parameters
    ----------
    lines : iterable of str
        Without line ends.
    target : str or path
        ``-`` is standard output; compressed if the name ends in ``.gz``, ``.bz2`` or ``.zst``.
    force : bool, default=False
        Whether an existing file may be replaced.

    Raises
    ------
    OutputError
        If the file exists and `force` is false, or it could not be written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "alerts.jsonl"
    >>> write_lines(['{"row": 1}', '{"row": 7}'], path)
    >>> path.read_text().splitlines()
    ['{"row": 1}', '{"row": 7}']
    """
    with _written(target, force=force) as stream:
        for line in lines:
            stream.write(f"{line}\n".encode())


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _all_rows(sources: Sequence[str | os.PathLike[str]], dialect: CsvDialect) -> pa.Table:
    return pa.concat_tables([chunk.table for chunk in Stream(sources, dialect).chunks()])


def _points(column: pa.ChunkedArray) -> pa.ChunkedArray:
    number = r"^\s*[+-]?(\d{1,3}(\.\d{3})+|\d*)(,\d+)?([eE][+-]?\d+)?\s*$"
    without_groups = pc.replace_substring(column, ".", "")
    return pc.if_else(pc.match_substring_regex(column, number), pc.replace_substring(without_groups, ",", "."), column)


def _csv_lines(table: pa.Table) -> Iterator[str]:
    """The text of a table, some thousand lines at a time."""
    yield header_line(table.column_names, ",") + "\n"
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        yield "\n".join([*lines_of(pa.Table.from_batches([batch]), ",").to_pylist(), ""])


@contextmanager
def _written(target: str | os.PathLike[str], *, force: bool) -> Iterator[IO[bytes]]:
    """A stream whose file takes its name if the block ends well, and whose failures say what to do."""
    check_target(target, force=force)
    try:
        with _sink(target) as stream:
            yield stream
    except BrokenPipeError:
        raise  # whoever read our standard output has had enough: no failure of ours
    except OSError as error:
        raise OutputError(
            f"{display_name(target)}: could not be written ({error.strerror or error}). Nothing was left under that"
            " name; check the free space and the permissions of the folder."
        ) from error


@contextmanager
def _sink(target: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A stream to write to, compressed if the name says so."""
    compression = COMPRESSIONS.get(Path(target).suffix.lower())
    path = Path(target).resolve()
    if str(target) == STANDARD_STREAM:
        yield sys.stdout.buffer
        sys.stdout.flush()
    elif path.exists() and not path.is_file():
        with pa.output_stream(str(path), compression=compression) as stream:
            yield stream  # a device or a pipe has no name to move to
    else:
        with _moved_when_whole(path) as temporary, pa.output_stream(str(temporary), compression=compression) as stream:
            yield stream


@contextmanager
def _moved_when_whole(path: Path) -> Iterator[Path]:
    """A temporary name beside the final one, which the file takes only if the block ends well."""
    temporary = path.with_name(f".{path.name[:50]}.{os.getpid()}.part")  # no name may be too long for its temporary one
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
