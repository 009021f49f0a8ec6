"""One way to look at a frame of any library or a NumPy array: names, and the cells of one column at a time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import narwhals.stable.v2 as nw
import numpy as np
import pyarrow as pa
from narwhals.exceptions import DuplicateError
from numpy.typing import NDArray

from vae_anomaly.errors import TableError
from vae_anomaly.table.cells import is_supported, type_name

_EXPECTED = "a pandas, polars or pyarrow table held in memory, or a 2-D NumPy array"


class Table(Protocol):
    """What inference and encoding see of a frame or an array."""

    @property
    def names(self) -> tuple[str, ...]:
        """Column names; x0, x1, ... for an array."""
        ...

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        ...

    @property
    def is_array(self) -> bool:
        """Whether the columns have no names of their own."""
        ...

    def cells(self, index: int, mixed_as_text: bool = False) -> Any:
        """One column as a pyarrow array."""
        ...

    def numbers(self, index: int) -> NDArray[Any] | None:
        """One column as plain NumPy numbers if it is stored so, else None."""
        ...

    def dtype(self, index: int) -> str:
        """The name of the type of one column."""
        ...

    def rows(self, start: int, stop: int) -> Table:
        """Some of the rows."""
        ...


@dataclass(frozen=True)
class FrameTable:
    """A dataframe of any library that narwhals knows."""

    names: tuple[str, ...]
    frame: Any
    is_array: bool = False

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.frame)

    def cells(self, index: int, mixed_as_text: bool = False) -> Any:
        """One column as a pyarrow array."""
        series = self.frame.get_column(self.frame.columns[index])
        return _to_arrow(self.names[index], series.to_arrow, series.to_list, mixed_as_text)

    def numbers(self, index: int) -> NDArray[Any] | None:
        """Always None: frames go through pyarrow."""
        return None

    def dtype(self, index: int) -> str:
        """The name of the type of one column; of a column that mixes types, its own library's name."""
        try:
            return type_name(self.cells(index).type)
        except TableError:
            return str(self.frame.get_column(self.frame.columns[index]).dtype).lower()

    def rows(self, start: int, stop: int) -> FrameTable:
        """Some of the rows."""
        return FrameTable(self.names, self.frame[start:stop])


@dataclass(frozen=True)
class ArrayTable:
    """A 2-D NumPy array."""

    names: tuple[str, ...]
    array: NDArray[Any]
    is_array: bool = True

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.array)

    def cells(self, index: int, mixed_as_text: bool = False) -> Any:
        """One column as a pyarrow array."""
        column = np.ascontiguousarray(self.array[:, index])
        return _to_arrow(
            self.names[index], lambda: pa.array(column, from_pandas=True), lambda: list(column), mixed_as_text
        )

    def numbers(self, index: int) -> NDArray[Any] | None:
        """One column as plain NumPy numbers, a view, if the array holds numbers."""
        return self.array[:, index] if self.array.dtype.kind in "iuf" else None

    def dtype(self, index: int) -> str:
        """The name of the type of one column."""
        return type_name(
            ArrayTable(self.names, self.array[: 0 if self.array.dtype.kind in "biuf" else None]).cells(index).type
        )

    def rows(self, start: int, stop: int) -> ArrayTable:
        """Some of the rows."""
        return ArrayTable(self.names, self.array[start:stop])


def as_table(X: Any) -> Table:
    """Look at `X` as a `Table`.

    Raises
    ------
    TableError
        If `X` is no table, has two columns of one name, or has no columns.
    """
    table = _array_table(X) if isinstance(X, np.ndarray) else _frame_table(X)
    if not table.names:
        raise TableError(f"Expected a table with at least one column, found none (shape ({table.n_rows}, 0)).")
    return table


def _array_table(X: NDArray[Any]) -> ArrayTable:
    if X.ndim != 2 or X.dtype.kind not in "biufOUM":
        raise TableError(
            f"Expected {_EXPECTED} of numbers, booleans, dates or objects, found an array of shape {X.shape} and dtype "
            f"{X.dtype}. Reshape or convert it."
        )
    return ArrayTable(tuple(f"x{index}" for index in range(X.shape[1])), _plain_array(X))


def _plain_array(X: Any) -> NDArray[Any]:
    """An array that arrow can read: masked cells are missing, text is objects, floats have at most 64 bits."""
    if isinstance(X, np.ma.MaskedArray):
        dtype, gap = (np.float64, np.nan) if X.dtype.kind in "biuf" else (object, None)
        X = np.ma.filled(X.astype(dtype), gap)
    if X.dtype.kind == "U":
        return np.asarray(X, dtype=object)
    if X.dtype.kind == "f" and X.dtype.itemsize > 8:
        return np.asarray(X, dtype=np.float64)
    return np.asarray(X, dtype=X.dtype.newbyteorder("="))


def _frame_table(X: Any) -> FrameTable:
    try:
        frame: Any = nw.from_native(X, eager_only=True)
        names = tuple(str(name) for name in frame.columns)
    except DuplicateError:
        raise _duplicates([str(name) for name in getattr(X, "column_names", X.columns)]) from None
    except TypeError:
        lazy = " Call .collect() first." if hasattr(X, "collect") else ""
        raise TableError(f"Expected {_EXPECTED}, found {type(X).__name__}.{lazy}") from None
    if len(set(names)) != len(names):
        raise _duplicates(names)
    return FrameTable(names, frame)


def _duplicates(names: Any) -> TableError:
    twice = [name for name, count in Counter(names).items() if count > 1]
    return TableError(f"Expected every column name once, found several columns named {twice}. Rename or drop them.")


def _to_arrow(name: str, convert: Callable[[], Any], objects: Callable[[], Any], mixed_as_text: bool) -> Any:
    try:
        cells = convert()
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        values = objects()
        if mixed_as_text:
            return pa.array([_text_of(value) for value in values], pa.large_string())
        raise _mixed_error(name, values, error) from None
    if isinstance(cells, pa.ChunkedArray):
        cells = cells.combine_chunks()
    if not is_supported(cells.type):
        raise TableError(
            f"Column {name!r} holds {cells.type}; expected numbers, text, booleans or dates. Drop or convert it first."
        )
    return cells


def _mixed_error(name: str, values: Any, error: Exception) -> TableError:
    sorts: dict[str, tuple[int, int, Any]] = {}
    for row, value in enumerate(values, start=1):
        if not _is_missing(value):
            count, first, example = sorts.get(_sort_of(value), (0, row, value))
            sorts[_sort_of(value)] = (count + 1, first, example)
    if len(sorts) < 2:
        return TableError(f"Column {name!r} cannot be read: {error}. Drop it or convert it first.")
    listed = "; ".join(
        f"{count} of {sort} (first in row {row}: {value!r})" for sort, (count, row, value) in sorts.items()
    )
    return TableError(
        f"Column {name!r} mixes types: {listed}. Expected one type. Repair the rows, or have the column taken as "
        f"text with kinds={{{name!r}: 'categorical'}}."
    )


def _sort_of(value: Any) -> str:
    sorts = {str: "text", bool: "bool", np.bool_: "bool"}
    return sorts.get(type(value), "number" if isinstance(value, int | float | np.number) else type(value).__name__)


def _is_missing(value: Any) -> bool:
    if value is None or str(value) in ("<NA>", "NaT"):
        return True
    return isinstance(value, float | np.floating) and math.isnan(value)


def _text_of(value: Any) -> str | None:
    if _is_missing(value):
        return None
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    number = float(value) if isinstance(value, float | np.floating) else math.nan
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else str(value)


def rebuild(like: Any, columns: Mapping[str, Any]) -> Any:
    """Columns in the library of `like`: its index, and its column types where the values fit into them.

    Parameters
    ----------
    like : frame or ndarray
        The table that the result shall resemble.
    columns : mapping of str to pyarrow array
        The columns; as many as `like` has if that is an array.
    """
    if isinstance(like, np.ndarray):
        return _array_of(like, list(columns.values()))
    native: Any = nw.from_native(like, eager_only=True)
    if native.implementation.is_pandas():
        return _pandas_of(like, columns)
    if isinstance(like, pa.Table):
        return pa.table({name: _as_wide_as(like, name, column) for name, column in columns.items()})
    table = pa.table(dict(columns))
    built: Any = nw.from_arrow(table, backend=native.implementation)
    same = {name: native.schema[name] for name in columns if name in native.columns}
    changed = [nw.col(name).cast(dtype) for name, dtype in same.items() if _differs(built.schema[name], dtype)]
    return built.with_columns(changed).to_native()


def _as_wide_as(like: Any, name: str, column: Any) -> Any:
    """A column in the width of text and dictionary codes that `like` has."""
    if name not in like.column_names or type_name(like.schema.field(name).type) != type_name(column.type):
        return column
    return column.cast(like.schema.field(name).type)


def _differs(built: Any, wanted: Any) -> bool:
    """Whether a text or category column came back as another sort of text or category."""
    textual = (nw.String, nw.Categorical, nw.Enum)
    return bool(built != wanted and isinstance(wanted, textual) and isinstance(built, textual))


def _array_of(like: NDArray[Any], columns: list[Any]) -> NDArray[Any]:
    kind = like.dtype.kind
    if kind in "OUM":
        out = np.empty((len(like), len(columns)), dtype=like.dtype if kind == "M" else object)
        for index, column in enumerate(columns):
            out[:, index] = column.to_pylist() if kind != "M" else column.to_numpy(zero_copy_only=False)
        return out
    gaps = kind != "f" and any(column.null_count for column in columns)
    out = np.empty((len(like), len(columns)), dtype=np.float64 if gaps else like.dtype)
    for index, column in enumerate(columns):
        out[:, index] = column.to_numpy(zero_copy_only=False)
    return out


def _pandas_of(like: Any, columns: Mapping[str, Any]) -> Any:
    import pandas as pd

    originals = {str(name): name for name in like.columns}
    series = {}
    for name, column in columns.items():
        wanted = like[originals[name]].dtype if name in originals else None
        nullable = isinstance(wanted, pd.api.extensions.ExtensionDtype)
        plain = column.to_pandas(integer_object_nulls=nullable)
        if wanted is not None and _may_become(plain, wanted):
            # Gaps don't fit into plain integers: then the missing value matters more than the type.
            with suppress(ValueError, TypeError):
                plain = plain.astype(wanted)
        series[originals.get(name, name)] = plain
    frame = pd.DataFrame(series)
    frame.index = like.index
    return frame


def _may_become(series: Any, wanted: Any) -> bool:
    """Whether the type of fit and the type of `like` are the same thing in two dresses."""
    categories = "category" in (str(series.dtype), str(wanted))
    gaps = wanted.kind in "iub" and series.hasnans
    return bool(str(series.dtype) == str(wanted) if categories else (gaps or series.dtype.kind == wanted.kind))
