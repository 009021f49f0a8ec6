"""Cells that a column cannot read, found one and all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly.table.cells import Reading, UnreadableCellError, is_moment, is_text, read_moments, read_numbers
from vae_anomaly.table.columns import Column, DatetimeColumn, NumericColumn
from vae_anomaly.table.inference import zone_of
from vae_anomaly.table.schema import Schema

REMEDY = "Repair or drop the row, or empty the cell to have it taken as missing (or use --bad-rows skip or missing)."


@dataclass(frozen=True)
class BadCell:
    """A cell that cannot be read.

    Parameters
    ----------
    row : int
        Of the table, counted from 0.
    column : str
        Its name.
    reason : str
        What was expected, and what was found.
    """

    row: int
    column: str
    reason: str


def bad_cells(schema: Schema, table: pa.Table) -> list[BadCell]:
    """The cells that `TableEncoder` refuses, by rows.

    Parameters
    ----------
    schema : Schema
        What the columns were in fit.
    table : pyarrow.Table
        Rows, as the encoder is to see them.

    Returns
    -------
    list of BadCell
        Empty if every cell can be read, or if a column is of another type altogether: that is no matter of cells.

    Examples
    --------
    >>> schema = Schema.infer(pa.table({"amount": [1.5, 2.5, 3.5]}))
    >>> [cell.reason for cell in bad_cells(schema, pa.table({"amount": ["1", "n/k", "inf", None]}))]
    ["expected a number in column 'amount', found 'n/k'", "expected a finite number in column 'amount', found 'inf'"]
    """
    found = [
        BadCell(row, column.name, f"expected {wanted} in column {column.name!r}, found {value!r}")
        for column in schema.modelled_columns
        if column.name in table.column_names
        for row, wanted, value in _of_column(column, table[column.name].combine_chunks())
    ]
    return sorted(found, key=lambda cell: cell.row)


def emptied(table: pa.Table, cells: list[BadCell]) -> pa.Table:
    """The table with some cells missing.

    Examples
    --------
    >>> emptied(pa.table({"amount": ["1", "n/k"]}), [BadCell(1, "amount", "")])["amount"].to_pylist()
    ['1', None]
    """
    for name in dict.fromkeys(cell.column for cell in cells):
        missing = np.zeros(table.num_rows, dtype=bool)
        missing[[cell.row for cell in cells if cell.column == name]] = True
        place = table.column_names.index(name)
        column = pc.if_else(pa.array(missing), pa.scalar(None, table[name].type), table[name])
        table = table.set_column(place, table.field(name), column)
    return table


def _of_column(column: Column, cells: Any) -> Iterator[tuple[int, str, Any]]:
    """The row, what was expected, and the value of each bad cell."""
    read = _reader(column)
    if read is None:
        return
    encoded = cells if pa.types.is_dictionary(cells.type) else cells.dictionary_encode()
    values, codes = encoded.dictionary, encoded.indices.to_numpy(zero_copy_only=False)
    wrong = {code: error.wanted for code, error in _unreadable(values, read, 0)} if is_text(values.type) else {}
    if isinstance(column, NumericColumn) and column.reading is not Reading.MOMENT and not is_moment(values.type):
        rest = pc.if_else(pa.array(~np.isin(np.arange(len(values)), list(wrong))), values, None)
        numbers = read(rest).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        wrong |= dict.fromkeys(np.flatnonzero(np.isinf(numbers)).tolist(), "a finite number")
    for row in np.flatnonzero(np.isin(codes, list(wrong))).tolist():
        yield row, wrong[int(codes[row])], values[int(codes[row])].as_py()


def _reader(column: Column) -> Callable[[Any], Any] | None:
    """How the encoder reads the cells of a column; None if it reads whatever there is."""
    if isinstance(column, DatetimeColumn) or (isinstance(column, NumericColumn) and column.reading is Reading.MOMENT):
        zone = zone_of(column.dtype)
        return lambda cells: read_moments(cells, zone)
    return read_numbers if isinstance(column, NumericColumn) else None


def _unreadable(cells: Any, read: Callable[[Any], Any], first: int) -> Iterator[tuple[int, UnreadableCellError]]:
    """The cells that cannot be read: halves are tried until they can, or are a single cell."""
    try:
        read(cells)
    except UnreadableCellError as error:
        if len(cells) == 1:
            yield first, error
            return
        middle = len(cells) // 2
        yield from _unreadable(cells[:middle], read, first)
        yield from _unreadable(cells[middle:], read, first + middle)
