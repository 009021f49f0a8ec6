"""Cells that sampled rows shall have, checked against what fit saw."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from vae_anomaly._editable import editable
from vae_anomaly._sampler.levels import Gaps, Levels, Values
from vae_anomaly._sampler.sampler import Sampler
from vae_anomaly.errors import ParameterError
from vae_anomaly.table.cells import Reading, UnreadableCellError, canonical_text
from vae_anomaly.table.columns import CategoricalColumn, Column, DatetimeColumn, NumericColumn
from vae_anomaly.table.layout import FIRST_LEVEL
from vae_anomaly.table.schema import Schema

_SHOWN = 5
_UNREADABLE = (UnreadableCellError, pa.ArrowException, TypeError, ValueError, OverflowError)


def fixed_cells(schema: Schema, sampler: Sampler, conditions: Mapping[str, Any]) -> dict[int, float]:
    """What `conditions` ask for, by the modelled column: a number, a date in seconds, the code of a level, or a gap.

    Parameters
    ----------
    schema : Schema
        The columns as fit saw them.
    sampler : Sampler
        What is kept of its rows.
    conditions : mapping of str to object
        As users give it.

    Raises
    ------
    ParameterError
        If a column is none of the table's or an identifier, or no row of fit could have had a value: with what is
        possible.
    """
    fixed = {}
    for name, value in conditions.items():
        number = _column(schema, str(name))
        column = schema.modelled_columns[number]
        nodes = [node for node in sampler.levels if node.column == number]
        fixed[number] = _gap(column, nodes) if _is_missing(value) else _cell(column, nodes, value)
    return fixed


def _column(schema: Schema, name: str) -> int:
    if name in schema.modelled:
        return schema.modelled.index(name)
    if name in schema.names:
        raise _refused(name, "a column that is modelled", "an identifier, which fit set aside: its values are not kept")
    near = difflib.get_close_matches(name, schema.names, n=3)
    known = f"near: {_listed(near)}" if near else f"it has {_listed(schema.names)}"
    raise _refused(name, f"a column of the table ({known})", "no column of that name")


def _gap(column: Column, nodes: Sequence[Levels]) -> float:
    if not any(isinstance(node, Gaps) for node in nodes):
        raise _refused(column.name, "a value: fit saw no row without one", "a missing one")
    return float("nan")


def _cell(column: Column, nodes: Sequence[Levels], value: Any) -> float:
    if isinstance(column, NumericColumn):
        return _number(column, nodes, value)
    if isinstance(column, DatetimeColumn):
        return _date(column, value)
    return _level(column, value)


def _number(column: NumericColumn, nodes: Sequence[Levels], value: Any) -> float:
    is_moment = column.reading is Reading.MOMENT
    low, high = (
        str(np.datetime64(int(end), "s")) if is_moment else f"{end:g}" for end in (column.minimum, column.maximum)
    )
    kind = "a date" if is_moment else "a whole number" if column.integer else "a number"
    expected = f"{kind} from {low} to {high}, the range of fit"
    cell = _read(column, value)
    whole = not column.integer or is_moment or cell.is_integer()
    if not column.minimum <= cell <= column.maximum or not whole:
        raise _refused(column.name, expected, repr(value))
    for node in nodes:
        if isinstance(node, Values) and cell not in node.values:
            near = np.sort(node.values[np.argsort(np.abs(node.values - cell))[:_SHOWN]])
            raise _refused(column.name, f"a value that rows of fit have (near: {_listed(near.tolist())})", repr(value))
    return cell


def _date(column: DatetimeColumn, value: Any) -> float:
    cell = _read(column, value)
    low, high = (np.datetime64(end, "us").astype(np.int64) / 1e6 for end in (column.minimum, column.maximum))
    day = not column.time_of_day and cell % 86_400
    if not low <= cell <= high or day:
        what = "a date and time" if column.time_of_day else "a day"
        raise _refused(column.name, f"{what} from {column.minimum} to {column.maximum}, the range of fit", repr(value))
    return cell


def _read(column: NumericColumn | DatetimeColumn, value: Any) -> float:
    try:
        cells = pa.array([value], from_pandas=True)
        return float(editable(column, cells.type).read(cells)[0])
    except _UNREADABLE:
        return float("nan")  # which is in no range


def _level(column: Any, value: Any) -> float:
    known = column.levels + (column.rare if isinstance(column, CategoricalColumn) else ())
    try:
        text = canonical_text(pa.array([value]), column.reading)[0].as_py()
    except _UNREADABLE:
        text = None
    if text not in known:
        spelt = getattr(column, "words", ()) or known
        near = difflib.get_close_matches(str(value), spelt, n=3)
        possible = f"near: {_listed(near)}" if near else f"such as {_listed(spelt)}" if spelt else "it had none"
        raise _refused(column.name, f"a value that fit saw ({possible})", repr(value))
    return float(FIRST_LEVEL + known.index(text))


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and np.isnan(value))


def _listed(items: Sequence[Any]) -> str:
    return ", ".join(map(repr, items[:_SHOWN])) + (", ..." if len(items) > _SHOWN else "")


def _refused(name: str, expected: str, found: str) -> ParameterError:
    return ParameterError(
        f"The 'conditions' parameter of VAEDetector.sample must give {name!r} {expected}. Got {found} instead."
    )
