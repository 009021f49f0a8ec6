"""Strict JSON to a table whose columns have the types that the model's columns need."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import NoneType
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly.serving.problems import ProblemKind, RequestError, too_large
from vae_anomaly.serving.wanted import CellKind, WantedColumns
from vae_anomaly.table.cells import is_supported
from vae_anomaly.table.frames import as_table

MOST = 1e300
"""Largest number that a numeric cell may be, either way."""

_MOMENT = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})?)?$"
)
_REFUSED = (pa.ArrowException, TypeError, ValueError, OverflowError)
_SHOWN = 60


def json_rows(body: bytes, wanted: WantedColumns, most_rows: int) -> tuple[pa.Table, tuple[str, ...]]:
    """Rows from a list of objects, or from one object of lists.

    Numbers, texts, true and false are what they are, so that the text ``"12"`` is no number; null is a missing cell.

    Parameters
    ----------
    body : bytes
        JSON in UTF-8. NaN, Infinity and a key twice are refused.
    wanted : WantedColumns
        What is taken from it.
    most_rows : int
        Rows from which it is refused.

    Returns
    -------
    table : pyarrow.Table
        The wanted columns, in their order.
    ignored : tuple of str
        Columns that nobody knows.

    Raises
    ------
    RequestError
        It is no JSON (400), of too many rows (413), or not of the wanted columns and cells (422).

    Examples
    --------
    >>> wanted = WantedColumns({"amount": CellKind.NUMBER}, ("amount",), frozenset(["amount"]), {"amount": "double"})
    >>> table, ignored = json_rows(b'[{"amount": 9.5, "note": "x"}, {"amount": null}]', wanted, 10)
    >>> table["amount"].to_pylist(), ignored
    ([9.5, None], ('note',))
    """
    document = _parsed(body)
    if isinstance(document, list):
        columns, found = _of_objects(document, wanted, most_rows)
    elif isinstance(document, dict):
        columns, found = _of_lists(document, wanted, most_rows)
    else:
        raise _invalid(f"Expected a list of rows or an object of columns, found {_shown(document)}.")
    if not next(iter(columns.values())):
        raise _invalid("Expected at least one row, found none.")
    table = pa.table({name: _READERS[kind](name, columns[name]) for name, kind in wanted.kinds.items()})
    return table, wanted.ignored(found)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RequestError(400, ProblemKind.MALFORMED, f"Expected JSON in UTF-8, found: {reason}.") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name}, which JSON does not have; null is a missing cell")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:_SHOWN]!r} twice in one object")
    return found


def _of_objects(rows: list[Any], wanted: WantedColumns, most_rows: int) -> tuple[dict[str, list[Any]], dict[str, None]]:
    _check_count(len(rows), most_rows)
    found: dict[str, None] = {}
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise _invalid(f"Row {number:,}: expected an object of cells, found {_shown(row)}.")
        found |= dict.fromkeys(row)
        if not wanted.kinds.keys() <= row.keys():
            wanted.check(row, f"row {number:,}")
    return {name: [row[name] for row in rows] for name in wanted.kinds}, found


def _of_lists(
    columns: dict[str, Any], wanted: WantedColumns, most_rows: int
) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    wanted.check(columns, "the request")
    lengths = set()
    for name in wanted.kinds:
        if not isinstance(columns[name], list):
            raise _invalid(f"Column {name!r}: expected a list of cells, found {_shown(columns[name])}.")
        lengths.add(len(columns[name]))
    _check_count(max(lengths), most_rows)
    if len(lengths) > 1:
        raise _invalid(f"Expected columns of one length, found lengths from {min(lengths):,} to {max(lengths):,}.")
    return {name: columns[name] for name in wanted.kinds}, columns


def _check_count(n_rows: int, most_rows: int) -> None:
    if n_rows > most_rows:
        raise too_large(f"Expected at most {most_rows:,} rows in a request, found {n_rows:,}. Send them in parts.")


def _numbers(name: str, cells: Sequence[Any]) -> pa.Array:
    if set(map(type, cells)) <= {int, float, NoneType}:
        with suppress(*_REFUSED):  # whole numbers too long for arrow
            array = pa.array(cells, pa.float64())
            if (pc.max(pc.abs(array)).as_py() or 0.0) <= MOST:
                return array
    _check_each(name, cells, f"a number from -{MOST:g} to {MOST:g} or null", _is_number)
    return pa.array([None if cell is None else float(cell) for cell in cells], pa.float64())


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool) and -MOST <= cell <= MOST


def _moments(name: str, cells: Sequence[Any]) -> pa.Array:
    wanted = "the text of an ISO date, such as 2024-05-01 or 2024-05-01T09:30:00Z, or null"
    try:
        text = pa.array(cells, pa.large_string())
    except _REFUSED:
        _check_each(name, cells, wanted, lambda cell: isinstance(cell, str))
        raise _not_unicode(name) from None
    fits = pc.fill_null(pc.match_substring_regex(text, _MOMENT), True)
    if not pc.all(fits).as_py() and len(text):
        row = pc.index(fits, False).as_py()
        raise _invalid_cell(name, row, wanted, cells[row])
    return text


def _values(name: str, cells: Sequence[Any]) -> pa.Array:
    try:
        array = pa.array(cells)
    except _REFUSED:
        array = None
    if array is None or not is_supported(array.type):
        _check_each(name, cells, "text, a number, true, false or null", _is_scalar)
        array = _as_library_reads(name, cells)
    if pa.types.is_floating(array.type) and pc.any(pc.is_inf(array)).as_py():
        raise _invalid_cell(name, pc.index(pc.is_inf(array), True).as_py(), "a finite number", math.inf)
    return array


def _as_library_reads(name: str, cells: Sequence[Any]) -> pa.Array:
    """Cells of several types, or numbers too long for arrow, as the library reads such a column: as text."""
    try:
        return as_table(pd.DataFrame({name: pd.Series(cells, dtype=object)})).cells(0, mixed_as_text=True)
    except UnicodeEncodeError:
        raise _not_unicode(name) from None


def _is_scalar(cell: Any) -> bool:
    return isinstance(cell, str | int) or (isinstance(cell, float) and math.isfinite(cell))


def _check_each(name: str, cells: Sequence[Any], wanted: str, allowed: Callable[[Any], bool]) -> None:
    for row, cell in enumerate(cells):
        if cell is not None and not allowed(cell):
            raise _invalid_cell(name, row, wanted, cell)


_READERS: Mapping[CellKind, Callable[[str, Sequence[Any]], pa.Array]] = {
    CellKind.NUMBER: _numbers,
    CellKind.MOMENT: _moments,
    CellKind.VALUE: _values,
}


def _invalid(detail: str) -> RequestError:
    return RequestError(422, ProblemKind.ROWS, detail)


def _invalid_cell(name: str, row: int, wanted: str, found: Any) -> RequestError:
    return _invalid(f"Column {name!r}, row {row + 1:,}: expected {wanted}, found {_shown(found)}.")


def _not_unicode(name: str) -> RequestError:
    return _invalid(f"Column {name!r}: expected text of Unicode, found half of a surrogate pair. Send valid text.")


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
