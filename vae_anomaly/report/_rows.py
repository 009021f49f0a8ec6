"""The rows of a report: what the model reads of them, and what people do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vae_anomaly._segments import few
from vae_anomaly.decision._labelled import Floats
from vae_anomaly.errors import ParameterError, TableError
from vae_anomaly.table.cells import UnreadableCellError, is_moment, read_moments, read_numbers
from vae_anomaly.table.columns import DatetimeColumn
from vae_anomaly.table.frames import FrameTable, Table, as_table
from vae_anomaly.table.schema import Schema

_MOST_SECONDS = 9.2e9  # from 1970 either way: what nanoseconds in 64 bits can say
_WHOLE_SECONDS = r"\.0+$"


@dataclass(frozen=True, eq=False)
class Rows:
    """A table, once as the model reads it and once as people do.

    Parameters
    ----------
    known : frame or ndarray
        The columns that the model knows.
    shown : Table
        Every column, as it is written.
    schema : Schema
        Of the model.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"amount": [8.5, 12.0], "note": ["cash", None]})
    >>> rows = Rows.of(table, Schema.infer(table[["amount"]]))
    >>> list(rows.known), rows.text("note"), rows.text("amount", [1])
    (['amount'], ['cash', None], ['12'])
    """

    known: Any
    shown: Table
    schema: Schema

    @classmethod
    def of(cls, X: Any, schema: Schema, written: Any = None) -> Rows:
        """Look at `X`; `written` is the same table as people wrote it, if that is another.

        Raises
        ------
        TableError
            `X` is no table.
        """
        table, shown = as_table(X), as_table(X if written is None else written)
        if table.is_array or not schema.named:
            return cls(X, shown, schema)
        frame: Any = nw.from_native(X, eager_only=True)
        names = [name for name in frame.columns if str(name) in schema.names]
        return cls(frame.select(names).to_native() if names else X, shown, schema)

    @property
    def names(self) -> tuple[str, ...]:
        """Every column; where the model goes by place, they are called as in fit."""
        by_place = self.shown.is_array or not self.schema.named
        same = by_place and len(self.shown.names) == len(self.schema.names)
        return self.schema.names if same else self.shown.names

    def cells(self, name: str) -> Any:
        """A column as a pyarrow array.

        Raises
        ------
        ParameterError
            There is none of that name.
        """
        if name not in self.names:
            raise ParameterError(f"Expected the name of a column, found {name!r}. The table has {few(self.names)}.")
        place = self.names.index(name)
        try:
            return self.shown.cells(place, mixed_as_text=True)
        except TableError:
            if name in self.schema.names or not isinstance(self.shown, FrameTable):
                raise
            values = self.shown.frame[:, place].to_list()  # of a sort that no model has, such as lists
            return pa.array([None if value is None else str(value) for value in values], pa.large_string())

    def written(self, name: str) -> Any:
        """A column as a pyarrow array of text, null where a cell is missing."""
        cells = plain(self.cells(name))
        text = cells.cast(pa.large_string())
        return pc.replace_substring_regex(text, _WHOLE_SECONDS, "") if is_moment(cells.type) else text

    def text(self, name: str, rows: Sequence[int] | NDArray[np.intp] | None = None) -> list[str | None]:
        """Cells of a column as text, None where they are missing; all of them, or those of some rows."""
        text = self.written(name)
        found: list[str | None] = (text if rows is None else text.take(pa.array(rows, pa.int64()))).to_pylist()
        return found

    def time_column(self, asked: str | None) -> str | None:
        """The column that says when a row came: the one asked for, or the first that fit found to be dates."""
        dates = [column.name for column in self.schema.columns if isinstance(column, DatetimeColumn)]
        return asked or next((name for name in dates if name in self.names), None)

    def seconds(self, name: str) -> Floats:
        """When each row came, in seconds since 1970, NaN where that is missing: of a date, or of seconds.

        Raises
        ------
        TableError
            The cells are neither.
        """
        try:
            seconds = _seconds(plain(self.cells(name)))
        except UnreadableCellError as error:
            raise TableError(
                f"Expected dates or seconds in column {name!r}, found {error.value!r} in row {error.index + 1:,}. "
                "Name another column of times."
            ) from None
        if (np.abs(seconds[~np.isnan(seconds)]) > _MOST_SECONDS).any():
            raise TableError(
                f"Expected dates or seconds in column {name!r}, found {np.nanmax(np.abs(seconds)):,.0f}, which is too "
                "many seconds for a date. Convert milliseconds to seconds."
            )
        return seconds


def plain(cells: Any) -> Any:
    """Cells without a dictionary of their levels."""
    return cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells


def _seconds(cells: Any) -> Floats:
    try:
        microseconds = read_moments(cells).cast(pa.int64()).cast(pa.float64())
        return np.asarray(pc.divide(microseconds, 1e6).to_numpy(zero_copy_only=False), dtype=np.float64)
    except UnreadableCellError:
        return np.asarray(read_numbers(cells).to_numpy(zero_copy_only=False), dtype=np.float64)
