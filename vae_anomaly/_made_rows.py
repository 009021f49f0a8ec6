"""Rows that stand in no table, as a table with the columns of fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from vae_anomaly._editable import Dates
from vae_anomaly.table.cells import MOMENT, arrow_type
from vae_anomaly.table.columns import Column, DatetimeColumn
from vae_anomaly.table.encoding import TableEncoder
from vae_anomaly.table.frames import rebuild
from vae_anomaly.table.layout import EncodedTable
from vae_anomaly.table.schema import Schema

Floats = NDArray[np.float64]


def made_rows(
    schema: Schema,
    cells: EncodedTable,
    days: Mapping[str, Floats] | None = None,
    *,
    like: Any = None,
    index: pd.Index[Any] | None = None,
) -> Any:
    """Encoded rows as a table with the columns and types of fit, in their order.

    Parameters
    ----------
    schema : Schema
        The columns as fit saw them.
    cells : EncodedTable
        The rows.
    days : mapping of str to float64 ndarray of shape (n_rows,), default=None
        Of columns with dates: near which moments the days are to be, in wall-clock seconds since 1970; NaN where that
        does not matter. Of a moment that is given the day is kept.
    like : frame, default=None
        Of which library the table is to be; pandas for anything else.
    index : pandas Index, default=None
        Of a pandas frame.

    Returns
    -------
    frame or ndarray
        An array if `fit` saw no names. An identifier is missing: such a row is nobody's. A date for which no moment is
        given lies near the last one of fit, on a day of the expected weekday and place in month and year.
    """
    blank = {column.name: _blank(column, schema, cells, (days or {}).get(column.name)) for column in schema.columns}
    table = TableEncoder(schema, owner="VAEDetector").decode(cells, pa.table(blank))
    if not schema.named:
        return rebuild(np.empty((len(cells), len(blank)), _array_type(schema)), dict(zip(blank, table, strict=True)))
    frame: Any = nw.from_native(like, eager_only=True, pass_through=True)
    if isinstance(frame, nw.DataFrame) and not frame.implementation.is_pandas():
        return nw.from_arrow(table, backend=frame.implementation).to_native()
    rows = table.to_pandas()
    return rows if index is None else rows.set_axis(index, axis=0)


def _blank(column: Column, schema: Schema, cells: EncodedTable, near: Floats | None) -> Any:
    """Cells with all that the model does not say of a column: the days of dates."""
    if not isinstance(column, DatetimeColumn):
        return pa.nulls(len(cells), arrow_type(column.dtype))
    given = np.full(len(cells), np.nan) if near is None else near
    dates = Dates(column, MOMENT)
    likely = dates.likely(np.full(len(cells), np.nan), _parts(schema, cells, column))
    return dates.to_arrow(np.where(np.isnan(given), likely, given))


def _parts(schema: Schema, cells: EncodedTable, column: Column) -> EncodedTable:
    """What is said of one column."""
    layout = schema.layout()
    own = layout.column_of_part == layout.columns.index(column.name)
    values, angles, codes = np.split(own, [layout.n_values, layout.n_values + layout.n_angles])
    return EncodedTable(cells.values[:, values], cells.angles[:, angles], cells.codes[:, codes])


def _array_type(schema: Schema) -> np.dtype[Any]:
    """The type of an array with the columns of fit: theirs if they have one in common."""
    kinds = {column.dtype for column in schema.columns}
    kind = arrow_type(kinds.pop()) if len(kinds) == 1 else pa.string()
    if pa.types.is_timestamp(kind):
        return np.dtype(f"M8[{kind.unit}]")
    plain = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return np.dtype(kind.to_pandas_dtype() if plain else object)
