"""Tables as CSV text: a cell has quotes where it needs them and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly.errors import OutputError


def header_line(names: Sequence[str], delimiter: str) -> str:
    """Column names as a line, without its end.

    Examples
    --------
    >>> header_line(["card", "amount, net"], ",")
    'card,"amount, net"'
    """
    return delimiter.join(_quoted(pa.array(names, pa.string()), delimiter).to_pylist())


def lines_of(table: pa.Table, delimiter: str) -> pa.Array:
    """Each row as a line, without its end; a null is an empty cell, and the empty text two quotation marks.

    pyarrow's own writer would quote every text cell.

    Parameters
    ----------
    table : pyarrow.Table
        Rows.
    delimiter : str
        Between cells.

    Returns
    -------
    pyarrow.Array
        Of type string.

    Raises
    ------
    OutputError
        If a column holds what CSV text cannot say.

    Examples
    --------
    >>> lines_of(pa.table({"note": ['5" pipe', None, ""], "n": [1, 2, 3]}), ",").to_pylist()
    ['"5"" pipe",1', ',2', '"",3']
    """
    columns = table.combine_chunks().itercolumns()
    cells = [_cells(column, name, delimiter) for column, name in zip(columns, table.column_names, strict=True)]
    joined = pc.binary_join_element_wise(*cells, delimiter, null_handling="replace", null_replacement="")
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


def _cells(column: pa.ChunkedArray, name: str, delimiter: str) -> pa.ChunkedArray:
    """The cells of a column as CSV has them."""
    try:
        text = column.cast(pa.string())
    except pa.ArrowException as error:
        raise OutputError(
            f"Expected values that CSV text can hold, found column {name!r} of type {column.type}. Write a Parquet file"
            " instead."
        ) from error
    plain = pa.types.is_primitive(column.type) and delimiter in ",;\t|"
    return text if plain else _quoted(text, delimiter)


def _quoted(text: pa.Array, delimiter: str) -> pa.Array:
    needs = pc.or_(pc.match_substring_regex(text, rf'[{re.escape(delimiter)}"\r\n]'), pc.equal(text, ""))
    doubled = pc.replace_substring(text, '"', '""')
    return pc.if_else(needs, pc.binary_join_element_wise('"', doubled, '"', ""), text)
