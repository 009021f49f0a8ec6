"""Frames to arrays: every table is read as the one that the schema was inferred from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vae_anomaly.errors import SchemaMismatchError, TableError
from vae_anomaly.table.cells import (
    Reading,
    UnreadableCellError,
    canonical_text,
    is_moment,
    read_moments,
    read_numbers,
    type_name,
)
from vae_anomaly.table.columns import (
    BooleanColumn,
    CategoricalColumn,
    Column,
    ConstantColumn,
    DatetimeColumn,
    IdentifierColumn,
    NumericColumn,
)
from vae_anomaly.table.decoding import decode_column
from vae_anomaly.table.frames import Table, as_table, rebuild
from vae_anomaly.table.inference import infinite_error, zone_of
from vae_anomaly.table.layout import FIRST_LEVEL, MISSING, RARE, UNSEEN, EncodedTable, PartKind
from vae_anomaly.table.schema import Schema

_MAX_Z = 30.0
_ARRAY_CHUNK = 65_536  # rows: a chunk of a row-major array stays near the cache while its columns are read one by one
_DAY, _MONTH, _YEAR = 86_400_000_000, 31, 366  # microseconds, days, days
_FULL_CIRCLE = 2 * np.pi
_FIRST_MONDAY = 3  # 1970-01-01 was a Thursday, day 3 of a week that starts on Monday
_Discrete = BooleanColumn | CategoricalColumn | ConstantColumn


@dataclass(frozen=True)
class _Places:
    """Where the parts of one column lie in the blocks."""

    value: list[int] = field(default_factory=list)
    angle: list[int] = field(default_factory=list)
    code: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class TableEncoder:
    """Turn tables into the arrays of the model, and back.

    Columns are matched by name, in any order; those of an array by place. Identifier columns may be missing. A cell is
    converted if nothing is lost: integers and floats are one, and so are a number and its text.

    Parameters
    ----------
    schema : Schema
        What fit learnt of the columns.
    owner : str
        Who to name in messages.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"amount": [9.0, 12.0, 6.0], "online": [True, False, None]})
    >>> encoder = TableEncoder(Schema.infer(frame))
    >>> encoded = encoder.encode(frame)
    >>> encoded.codes.ravel()
    array([4, 3, 0], dtype=int32)
    >>> encoder.decode(encoded, frame)["amount"].tolist()
    [9.0, 12.0, 6.0]
    """

    schema: Schema
    owner: str = "TableEncoder"

    def encode(self, X: Any) -> EncodedTable:
        """Encode the rows of `X`.

        Parameters
        ----------
        X : frame or ndarray
            Rows with the columns of the schema.

        Returns
        -------
        EncodedTable
            The same rows in the same order.

        Raises
        ------
        SchemaMismatchError
            If columns are missing, new, or of a type that cannot be converted, or a cell cannot be read: with column,
            row (counted from one), value, and what to do.
        TableError
            If a number is infinite.

        Examples
        --------
        >>> import pandas as pd
        >>> encoder = TableEncoder(Schema.infer(pd.DataFrame({"amount": [8.0, 12.0, 10.0, 10.0]})))
        >>> encoder.encode(pd.DataFrame({"amount": ["10", None]})).values.ravel()
        array([ 0., nan], dtype=float32)
        """
        table, positions = self._match(X)
        layout, n_rows = self.schema.layout(), table.n_rows
        out = EncodedTable(
            np.empty((n_rows, layout.n_values), np.float32),
            np.empty((n_rows, layout.n_angles), np.float32),
            np.empty((n_rows, layout.n_codes), np.int32),
        )
        step = _ARRAY_CHUNK if table.is_array else max(n_rows, 1)
        for start in range(0, n_rows, step):
            rows = slice(start, start + step)
            for index, column in enumerate(self.schema.modelled_columns):
                self._fill(out[rows], index, column, table.rows(start, start + step), positions[column.name], start)
        return out

    def decode(self, encoded: EncodedTable, like: Any) -> Any:
        """The inverse of `encode`: a table in the library of `like`, with the columns and types seen in fit.

        Standardised numbers go back to their units and are rounded if fit saw whole numbers only; codes become levels,
        and missing, unseen and rare ones null. A date keeps the day of `like` and gets the decoded time. Identifiers
        are copied from `like`, where it has them.

        Parameters
        ----------
        encoded : EncodedTable
            As many rows as `like` has.
        like : frame or ndarray
            The table that the rows come from.

        Returns
        -------
        frame or ndarray
            Of the library of `like`, with its index.

        Raises
        ------
        TableError
            If the numbers of rows differ.

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"shop": ["a", "b", "a"]}, index=[7, 8, 9])
        >>> encoder = TableEncoder(Schema.infer(frame, kinds={"shop": "categorical"}))
        >>> encoder.decode(encoder.encode(frame), frame).loc[8, "shop"]
        'b'
        """
        table, positions = self._match(like)
        if len(encoded) != table.n_rows:
            raise TableError(f"Expected as many encoded rows as 'like' has ({table.n_rows}), found {len(encoded)}.")
        columns, places = {}, iter(self._places)
        for column in self.schema.columns:
            position = positions.get(column.name)
            if isinstance(column, IdentifierColumn):
                if position is not None:
                    columns[table.names[position]] = table.cells(position, mixed_as_text=True)
                continue
            at = next(places)
            blocks = (encoded.values[:, at.value], encoded.angles[:, at.angle], encoded.codes[:, at.code])
            position = positions[column.name]
            cells = _plain(table.cells(position, True)) if isinstance(column, DatetimeColumn) else None
            columns[table.names[position]] = decode_column(column, *blocks, cells)
        return rebuild(like, columns)

    @cached_property
    def _places(self) -> tuple[_Places, ...]:
        layout = self.schema.layout()
        places = tuple(_Places() for _ in layout.columns)
        for kinds, block in (
            ((PartKind.VALUE,), "value"),
            ((PartKind.ANGLE,), "angle"),
            ((PartKind.BINARY, PartKind.CATEGORY), "code"),
        ):
            for position, part in enumerate(layout.of_kind(*kinds)):
                getattr(places[part.column], block).append(position)
        return places

    @cached_property
    def _known_texts(self) -> Mapping[str, Any]:
        """For each discrete column its levels and rare levels, in the order of their codes."""
        discrete = [column for column in self.schema.modelled_columns if isinstance(column, _Discrete)]
        return {column.name: pa.array(column.levels + _rare(column), pa.large_string()) for column in discrete}

    def _match(self, X: Any) -> tuple[Table, dict[str, int]]:
        """The table, and where each column of the schema lies in it."""
        table, names = as_table(X), self.schema.names
        if table.is_array or not self.schema.named:
            if len(table.names) != len(names):
                raise SchemaMismatchError(
                    f"X has {len(table.names)} features, but {self.owner} is expecting {len(names)} features as input."
                )
            return table, {name: index for index, name in enumerate(names)}
        positions = {name: index for index, name in enumerate(table.names)}
        missing = [name for name in self.schema.modelled if name not in positions]
        unexpected = [name for name in positions if name not in names]
        if missing or unexpected:
            raise SchemaMismatchError(
                f"The columns differ from those seen in fit: {len(missing)} missing, {len(unexpected)} new. "
                f"Add, rename or drop columns:\n{self.schema.diff(X)}"
            )
        return table, positions

    def _fill(self, out: EncodedTable, index: int, column: Column, table: Table, position: int, start: int) -> None:
        """Write the parts of one column into some rows of the output."""
        places = self._places[index]
        try:
            if isinstance(column, NumericColumn):
                out.values[:, places.value[0]] = _standardised(column, _numbers(column, table, position), start)
            elif isinstance(column, DatetimeColumn):
                cells = _plain(table.cells(position, mixed_as_text=True))
                _write_calendar(column, read_moments(cells, zone_of(column.dtype)), out, places)
            elif isinstance(column, _Discrete):
                cells = table.cells(position, mixed_as_text=True)
                out.codes[:, places.code[0]] = _codes(column, cells, self._known_texts[column.name])
        except UnreadableCellError as error:
            raise SchemaMismatchError(
                f"Column {column.name!r}, row {start + error.index + 1}: expected {error.wanted}, as in fit, found "
                f"{error.value!r}. Repair or drop the row, or empty the cell to have it taken as missing."
            ) from None


def _plain(cells: Any) -> Any:
    return cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells


def _rare(column: _Discrete) -> tuple[str, ...]:
    return column.rare if isinstance(column, CategoricalColumn) else ()


def _numbers(column: NumericColumn, table: Table, position: int) -> NDArray[np.float64]:
    direct = table.numbers(position)
    if direct is not None:
        return direct.astype(np.float64)
    cells = _plain(table.cells(position, mixed_as_text=True))
    if column.reading is Reading.MOMENT:
        cells = read_moments(cells, zone_of(column.dtype))
    elif is_moment(cells.type):
        raise SchemaMismatchError(
            f"Column {column.name!r}: expected numbers ({column.dtype} in fit), found {type_name(cells.type)}. "
            "Convert the column to what it was in fit."
        )
    numbers: NDArray[np.float64] = read_numbers(cells).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return numbers


def _standardised(column: NumericColumn, numbers: NDArray[np.float64], start: int) -> NDArray[np.float64]:
    infinite = np.isinf(numbers)
    if infinite.any():
        raise infinite_error(column.name, int(infinite.sum()), start + int(infinite.argmax()) + 1)
    with np.errstate(over="ignore"):  # halves, so that the difference of two huge numbers stays finite
        z = (numbers * 0.5 - column.location * 0.5) / (column.scale * 0.5)
    return np.clip(z, -_MAX_Z, _MAX_Z, out=z)


def _codes(column: _Discrete, cells: Any, known: Any) -> NDArray[np.int32]:
    """Look up each distinct cell once."""
    encoded = cells if pa.types.is_dictionary(cells.type) else cells.dictionary_encode()
    texts = canonical_text(encoded.dictionary, column.reading)
    found = pc.fill_null(pc.index_in(texts, value_set=known), -1).to_numpy(zero_copy_only=False)
    codes = np.where(found < len(column.levels), found + FIRST_LEVEL, RARE)
    codes[found < 0] = UNSEEN
    codes = np.append(codes, MISSING).astype(np.int32)  # the last one is for null cells, at index -1
    codes[:-1][texts.is_null().to_numpy(zero_copy_only=False)] = MISSING
    result: NDArray[np.int32] = codes[pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)]
    return result


def _write_calendar(column: DatetimeColumn, moments: Any, out: EncodedTable, places: _Places) -> None:
    """Angles for the day, month and year, and a code for the day of the week."""
    missing = moments.is_null().to_numpy(zero_copy_only=False)
    ticks = pc.fill_null(moments.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    days = ticks // _DAY
    turns = []
    if column.time_of_day:
        turns.append((ticks - days * _DAY) / _DAY)
    if column.day_of_month or column.day_of_year:
        dates = days.astype("datetime64[D]")
        if column.day_of_month:
            turns.append((dates - dates.astype("datetime64[M]")).astype(np.float64) / _MONTH)
        if column.day_of_year:
            turns.append((dates - dates.astype("datetime64[Y]")).astype(np.float64) / _YEAR)
    for place, turn in zip(places.angle, turns, strict=True):
        angle = (turn * _FULL_CIRCLE).astype(np.float32)
        angle[angle >= _FULL_CIRCLE] = 0.0  # rounding to float32 may close the circle
        angle[missing] = np.nan
        out.angles[:, place] = angle
    if column.day_of_week:
        weekday = (days + _FIRST_MONDAY) % 7 + FIRST_LEVEL
        out.codes[:, places.code[0]] = np.where(missing, MISSING, weekday)
