"""Cells that a spreadsheet would run as formulas, made text.

A CSV file has no types: a program that opens it takes every cell that begins like a formula for one, and a formula can
send the sheet to a stranger or start a program (OWASP, "CSV Injection"). An apostrophe in front makes it text. It stays
in the cell where the file is read by anything else, so this is for people, and on request alone.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly.table.cells import is_text

# Where the list separator is a semicolon or a tab, a spreadsheet cuts our cells there and at their line breaks, quoted
# or not. What is invisible in front of a formula does not keep every program from running it, and some East Asian ones
# read full-width signs as plain ones.
_FORMULA = r"((?:^|[;\t\r\n])[\s\p{Z}\p{C}]*)([=+\-@＝＋－＠])"
_CONTROL = r"^([\t\r\n])"
_NUMBER = r"^[+-]?(\d+([.,]\d+)*|[.,]\d+)([eE][+-]?\d+)?$"


def spreadsheet_safe(table: pa.Table) -> pa.Table:
    r"""Copy a table so that no cell and no column name is a formula to a spreadsheet.

    Text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break gets an apostrophe in front, also where it
    begins so after a semicolon, a tab or a line break, at which some spreadsheets cut cells. A plain number, such as
    -12.50, stays a number.

    Parameters
    ----------
    table : pyarrow.Table
        Any table; numbers, booleans and dates stay as they are.

    Returns
    -------
    pyarrow.Table
        The same rows, to be read by people: identifiers and column names that begin like a formula are no longer what
        they were, so that a join by them would fail.

    Examples
    --------
    >>> cells = ["=HYPERLINK(A1)", "-12.50", "-1+1", "@SUM(A1)", "Café", None]
    >>> safe = spreadsheet_safe(pa.table({"=note": cells}))
    >>> safe.column_names, safe[0].to_pylist()
    (["'=note"], ["'=HYPERLINK(A1)", '-12.50', "'-1+1", "'@SUM(A1)", 'Café', None])
    """
    columns = [_safe(column) for column in table.itercolumns()]
    names = _apostrophised(pa.array(table.column_names, pa.string())).to_pylist()
    return pa.table(columns, names=names)


def _safe(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_primitive(kind) or pa.types.is_null(kind) or pa.types.is_decimal(kind):
        return column
    try:
        return _apostrophised(column if is_text(kind) else column.cast(pa.large_string()))
    except pa.ArrowException:
        return column  # nothing that CSV text can hold: who writes it will say so


def _apostrophised(text: Any) -> Any:
    safe = pc.replace_substring_regex(pc.replace_substring_regex(text, _FORMULA, r"\1'\2"), _CONTROL, r"'\1")
    return pc.if_else(pc.match_substring_regex(text, _NUMBER), text, safe)
