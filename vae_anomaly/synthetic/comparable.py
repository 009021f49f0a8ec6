"""Tables that are read alike, so that they can be compared cell by cell: numbers as numbers, levels by shared codes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vae_anomaly.errors import SchemaMismatchError, SchemaWarning, TableError
from vae_anomaly.table.cells import Reading, UnreadableCellError, canonical_text, read_moments, read_numbers
from vae_anomaly.table.columns import Column, DatetimeColumn, NumericColumn
from vae_anomaly.table.frames import Table, as_table
from vae_anomaly.table.inference import infinite_error, zone_of
from vae_anomaly.table.schema import Schema

Floats = NDArray[np.float64]

_TICKS = 1e6  # of a second, in which arrow counts


@dataclass(frozen=True, eq=False)
class Comparable:
    """Tables of the same columns.

    Parameters
    ----------
    columns : tuple of Column
        As the first table has them, those that name rows aside.
    levels : tuple of tuple of str
        Of each column, the most frequent in all tables together first; empty for numbers and dates.
    tables : tuple of float64 ndarray of shape (n_rows, n_columns)
        Numbers, dates as seconds since 1970, levels as their place among `levels`; NaN where a cell is missing.
    """

    columns: tuple[Column, ...]
    levels: tuple[tuple[str, ...], ...]
    tables: tuple[Floats, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def is_level(self) -> NDArray[np.bool_]:
        """Which columns hold levels."""
        return np.array([not _is_number(column) for column in self.columns], dtype=bool)

    def index(self, name: str) -> int:
        """Where a column lies."""
        return self.names.index(name)

    def drawn(self, most: int, seed: int) -> Comparable:
        """At most so many rows of each table, drawn at random."""
        return replace(self, tables=tuple(drawn(table, most, np.random.default_rng(seed)) for table in self.tables))


def read_alike(real: Any, others: Mapping[str, Any], kinds: Mapping[str, str] | None = None) -> Comparable:
    """Read tables as the real one is read.

    Parameters
    ----------
    real : frame or ndarray
        The real rows, which decide what each column is.
    others : mapping of str to frame or ndarray
        The other tables, by what messages call them.
    kinds : mapping of str to str, optional
        Kinds of columns, where they are not to be guessed.

    Raises
    ------
    TableError
        A table has other columns or no rows, or a cell that cannot be read.

    Examples
    --------
    >>> import pandas as pd
    >>> real = pd.DataFrame({"shop": ["a", "b", "b"], "amount": [9.5, 12.0, 7.25]})
    >>> found = read_alike(real, {"synthetic": pd.DataFrame({"amount": [8.0, None], "shop": ["c", "b"]})})
    >>> found.levels[0], found.tables[1].tolist()
    (('b', 'a', 'c'), [[2.0, 8.0], [0.0, nan]])
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SchemaWarning)  # that a column names rows, or a label, is known to whoever asks
        schema = Schema.infer(real, kinds=kinds)
    tables = {"real": as_table(real), **{name: as_table(rows) for name, rows in others.items()}}
    places = [_places(schema, name, tables[name], rows) for name, rows in {"real": real, **others}.items()]
    cells: list[list[Floats]] = [[] for _ in tables]
    levels = []
    for column in schema.modelled_columns:
        found = [
            _cells(column, name, table, where[column.name])
            for (name, table), where in zip(tables.items(), places, strict=True)
        ]
        known, numbers = ((), found) if _is_number(column) else _coded(found)
        levels.append(known)
        for of_table, of_column in zip(cells, numbers, strict=True):
            of_table.append(of_column)
    return Comparable(schema.modelled_columns, tuple(levels), tuple(np.column_stack(of_table) for of_table in cells))


def drawn(rows: Floats, most: int, rng: np.random.Generator) -> Floats:
    """At most so many rows, drawn at random, in their order."""
    return rows if len(rows) <= most else rows[np.sort(rng.choice(len(rows), most, replace=False))]


def _is_number(column: Column) -> bool:
    return isinstance(column, NumericColumn | DatetimeColumn)


def _places(schema: Schema, name: str, table: Table, rows: Any) -> dict[str, int]:
    """Where each column of the real table lies in another."""
    if table.n_rows == 0:
        raise TableError(f"The {name} table has no rows. Expected at least one.")
    if table.is_array or not schema.named:
        if len(table.names) != len(schema.columns):
            raise SchemaMismatchError(
                f"The {name} table has {len(table.names)} columns. Expected the {len(schema.columns)} of the real one."
            )
        return {column: index for index, column in enumerate(schema.names)}
    if not set(schema.modelled) <= set(table.names) <= set(schema.names):
        differing = [line for line in schema.diff(rows).splitlines() if not line.startswith("  ~")]
        listed = "\n".join(differing).replace("not seen in fit", "not in the real one")
        raise SchemaMismatchError(
            f"The columns of the {name} table differ from those of the real one. Add, rename or drop columns:\n{listed}"
        )
    return {column: index for index, column in enumerate(table.names)}


def _cells(column: Column, name: str, table: Table, position: int) -> Any:
    """The cells of a column: float64 numbers, or an arrow array of texts."""
    cells = table.cells(position, mixed_as_text=True)
    cells = cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells
    try:
        if not isinstance(column, NumericColumn | DatetimeColumn):
            return canonical_text(cells, column.reading)  # type: ignore[union-attr]
        if isinstance(column, DatetimeColumn) or column.reading is Reading.MOMENT:
            moments = read_moments(cells, zone_of(column.dtype)).cast(pa.int64())
            return _to_floats(moments) / _TICKS
        numbers = _to_floats(read_numbers(cells))
    except UnreadableCellError as error:
        raise TableError(
            f"Column {column.name!r} of the {name} table, row {error.index + 1}: expected {error.wanted}, as in the"
            f" real one, found {error.value!r}. Repair or empty the cell."
        ) from None
    infinite = np.isinf(numbers)
    if infinite.any():
        raise infinite_error(column.name, int(infinite.sum()), int(infinite.argmax()) + 1)
    return numbers


def _coded(texts: Sequence[Any]) -> tuple[tuple[str, ...], list[Floats]]:
    """Levels, the most frequent first, ties by text; and the cells of each table as places among them."""
    counts = pa.chunked_array(texts, pa.large_string()).drop_null().value_counts()
    listed = pa.table({"level": counts.field("values"), "count": counts.field("counts")})
    known = listed.sort_by([("count", "descending"), ("level", "ascending")])["level"].combine_chunks()
    return tuple(known.to_pylist()), [_to_floats(pc.index_in(cells, value_set=known)) for cells in texts]


def _to_floats(cells: Any) -> Floats:
    return np.asarray(cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
