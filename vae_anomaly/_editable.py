"""What the cells of a column can be changed to: in its own unit, range and precision, and in a type of its table.

Every cell is one number here: a number in its unit, a date in wall-clock seconds since 1970, a level by its code; NaN
where it is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vae_anomaly.table.cells import MOMENT, Reading, arrow_type, is_moment, is_text, read_moments, read_numbers
from vae_anomaly.table.columns import (
    BooleanColumn,
    CategoricalColumn,
    Column,
    ConstantColumn,
    DatetimeColumn,
    NumericColumn,
)
from vae_anomaly.table.decoding import cast_moments, cast_numbers, decode_column
from vae_anomaly.table.encoding import TableEncoder
from vae_anomaly.table.inference import zone_of
from vae_anomaly.table.layout import MISSING, EncodedTable
from vae_anomaly.table.schema import Schema

Floats = NDArray[np.float64]

_TICKS = 1e6  # of a second, in which arrow counts
_DAY = 86_400.0
_MOST_DECIMALS = 9
_FINEST, _READABLE = 6, 4
"""Digits of a column's scale that float32 keeps, and that are enough where a column has no precision of its own."""

_NEAR = np.arange(-3.0, 4.0)
_MONTH, _YEAR = 31, 366
_FULL_CIRCLE = 2 * np.pi
_A_DAY_OFF = 1e-4
"""How much less a day further away counts, beside the cosine of its place in the month and year: ties alone."""


class Editable(Protocol):
    """One column, whose cells can be changed."""

    def read(self, cells: Any) -> Floats:
        """Cells of a table as numbers."""
        ...

    def likely(self, observed: Floats, likeliest: EncodedTable) -> Floats:
        """What cells would be, for the likeliest values of the parts of this column."""
        ...

    def possible(self, wanted: Floats, observed: Floats) -> Floats:
        """The nearest numbers that can be in the table, in the precision of the column and of the observed cells."""
        ...

    def encode(self, numbers: Floats) -> EncodedTable:
        """The parts of this column."""
        ...

    def to_arrow(self, numbers: Floats) -> Any:
        """The cells as a table has them."""
        ...


def editable(column: Column, kind: Any) -> Editable:
    """How to change the cells of a modelled column.

    Parameters
    ----------
    column : Column
        As fit saw it.
    kind : pyarrow type
        Of its cells in the table at hand.

    Examples
    --------
    >>> import pandas as pd
    >>> amount = Schema.infer(pd.DataFrame({"amount": [9.95, 12.5, 7.25]})).columns[0]
    >>> editable(amount, pa.float64()).possible(np.array([8.12345, 99.0]), observed=np.array([30.0, 30.0]))
    array([ 8.12, 12.5 ])
    """
    target = arrow_type(column.dtype)
    target = target.value_type if pa.types.is_dictionary(target) else target
    if isinstance(column, BooleanColumn | CategoricalColumn | ConstantColumn):
        return Levels(column)
    if isinstance(column, DatetimeColumn):
        return Dates(column, _type_of_moments(kind, target))
    if isinstance(column, NumericColumn):
        moments = column.reading is Reading.MOMENT
        return Moments(column, _type_of_moments(kind, target)) if moments else Numbers(column, _narrower(kind, target))
    raise TypeError(f"Expected a modelled column, found {column.kind}.")


def _type_of_moments(kind: Any, target: Any) -> Any:
    return kind if is_text(kind) or is_moment(kind) else target


def _narrower(kind: Any, target: Any) -> Any:
    """Of two widths of floats the narrower one: a number that the table cannot hold is none to suggest."""
    floats = pa.types.is_floating(kind) and pa.types.is_floating(target)
    return kind if floats and kind.bit_width < target.bit_width else target


def _encoded(column: Column, cells: Any) -> EncodedTable:
    return TableEncoder(Schema((column,), 1.0)).encode(pa.table({column.name: cells}))


@dataclass(frozen=True)
class Numbers:
    """A number: within the range of fit, with as many decimals as the ends of that or the observed cell have.

    Parameters
    ----------
    column : NumericColumn
        As fit saw it.
    kind : pyarrow type
        Of its cells.
    """

    column: NumericColumn
    kind: Any

    def read(self, cells: Any) -> Floats:
        """Cells as numbers."""
        return _to_floats(read_numbers(cells))

    def likely(self, observed: Floats, likeliest: EncodedTable) -> Floats:
        """The standardised value in the column's unit."""
        return _in_units(self.column, likeliest)

    def possible(self, wanted: Floats, observed: Floats) -> Floats:
        """Rounded, then kept within the range."""
        column = self.column
        finest, readable = (max(0, n - int(np.floor(np.log10(column.scale)))) for n in (_FINEST, _READABLE))
        seen = np.maximum(self._n_decimals(observed), self._least_decimals)
        decimals = np.where(seen > _MOST_DECIMALS, readable, np.minimum(seen, finest))
        rounded = wanted.copy()
        for n in np.unique(decimals).tolist():
            rounded[decimals == n] = np.round(wanted[decimals == n], n)
        return self.read(self.to_arrow(np.clip(rounded, column.minimum, column.maximum)))

    def encode(self, numbers: Floats) -> EncodedTable:
        """The standardised value, of numbers that are possible: a cast would not change them."""
        return TableEncoder(Schema((self.column,), 1.0)).encode(numbers[:, None])

    def to_arrow(self, numbers: Floats) -> Any:
        """In the type of the column."""
        return cast_numbers(numbers, self.column.integer, self.kind)

    @cached_property
    def _least_decimals(self) -> int:
        """Those of the ends of the range."""
        return int(self._n_decimals(np.array([self.column.minimum, self.column.maximum])).max())

    def _n_decimals(self, numbers: Floats) -> NDArray[np.intp]:
        """Decimals that say the number exactly, in its own type; one more than the most that are tried if none do."""
        numbers = np.nan_to_num(numbers)
        found = np.full(numbers.shape, _MOST_DECIMALS + 1, dtype=np.intp)
        if self.column.integer:
            return np.zeros_like(found)
        width = np.float32 if self.kind in (pa.float16(), pa.float32()) else np.float64
        for n in reversed(range(_MOST_DECIMALS + 1)):
            found[np.round(numbers, n).astype(width) == numbers.astype(width)] = n
        return found


@dataclass(frozen=True)
class Moments:
    """A date that is modelled as a number: whole seconds within the range of fit.

    Parameters
    ----------
    column : NumericColumn
        As fit saw it.
    kind : pyarrow type
        Of its cells.
    """

    column: NumericColumn
    kind: Any

    def read(self, cells: Any) -> Floats:
        """Cells as seconds."""
        return _to_seconds(cells, self.column)

    def likely(self, observed: Floats, likeliest: EncodedTable) -> Floats:
        """The standardised value in seconds."""
        return _in_units(self.column, likeliest)

    def possible(self, wanted: Floats, observed: Floats) -> Floats:
        """Rounded, then kept within the range."""
        rounded = np.clip(np.rint(wanted), self.column.minimum, self.column.maximum)
        return self.read(self.to_arrow(rounded))

    def encode(self, numbers: Floats) -> EncodedTable:
        """The standardised value."""
        return _encoded(self.column, self.to_arrow(numbers))

    def to_arrow(self, numbers: Floats) -> Any:
        """In the type of the column."""
        return _of_seconds(numbers, self.column, self.kind)


@dataclass(frozen=True)
class Dates:
    """A date that is modelled by its places in the calendar's cycles: near the observed one, in whole seconds or days.

    Parameters
    ----------
    column : DatetimeColumn
        As fit saw it.
    kind : pyarrow type
        Of its cells.
    """

    column: DatetimeColumn
    kind: Any

    def read(self, cells: Any) -> Floats:
        """Cells as seconds."""
        return _to_seconds(cells, self.column)

    def likely(self, observed: Floats, likeliest: EncodedTable) -> Floats:
        """The expected time on the nearest day that is as expected; of a gap, near the last day of fit."""
        last = np.datetime64(self.column.maximum, "us").astype(np.int64) / _TICKS
        start = np.where(np.isnan(observed), last, observed)
        day = np.floor(start / _DAY)
        time = start - day * _DAY
        if self.column.time_of_day:
            time = likeliest.angles[:, 0].astype(np.float64) / _FULL_CIRCLE % 1.0 * _DAY
        return self._likely_day(day, likeliest) * _DAY + time

    def possible(self, wanted: Floats, observed: Floats) -> Floats:
        """In days if there is no time; else in whole seconds, but for a time that stays and is none."""
        unit = 1.0 if self.column.time_of_day else _DAY
        whole = np.rint(wanted / unit) * unit
        same_time = (wanted % _DAY == observed % _DAY) & ~np.bool_(self.column.whole_seconds)
        return self.read(self.to_arrow(np.where(same_time, wanted, whole)))

    def encode(self, numbers: Floats) -> EncodedTable:
        """The places in the cycles."""
        return _encoded(self.column, self.to_arrow(numbers))

    def to_arrow(self, numbers: Floats) -> Any:
        """In the type of the column."""
        return _of_seconds(numbers, self.column, self.kind)

    def _likely_day(self, day: Floats, likeliest: EncodedTable) -> Floats:
        """Of the days near the observed one, and near the expected places in month and year, the most alike."""
        first = int(self.column.time_of_day)
        turns = iter((likeliest.angles[:, first:] / _FULL_CIRCLE % 1.0).T)
        date, starts = day.astype(np.int64).astype("datetime64[D]"), [day]
        if self.column.day_of_month:
            starts.append(_days(date.astype("datetime64[M]")) + np.floor(next(turns) * _MONTH))
        if self.column.day_of_year:
            years = date.astype("datetime64[Y]")[:, None] + np.arange(-1, 2)
            places = _days(years) + np.floor(next(turns) * _YEAR)[:, None]
            starts.append(np.take_along_axis(places, np.abs(places - day[:, None]).argmin(1)[:, None], 1)[:, 0])
        days = np.concatenate([start[:, None] + _NEAR for start in starts], axis=1)
        found = _encoded(self.column, _of_seconds(days.ravel() * _DAY, self.column, MOMENT))
        angles = found.angles[:, first:].reshape(*days.shape, -1)
        alike = np.cos(angles - likeliest.angles[:, None, first:]).sum(axis=-1)
        alike = alike + (found.codes.reshape(*days.shape, -1) == likeliest.codes[:, None]).sum(axis=-1)
        best = (alike - _A_DAY_OFF * np.abs(days - day[:, None])).argmax(axis=1)
        return np.asarray(days[np.arange(len(days)), best])


@dataclass(frozen=True)
class Levels:
    """A category, boolean or constant: a level of fit; nothing at all where fit saw nothing.

    Parameters
    ----------
    column : CategoricalColumn, BooleanColumn or ConstantColumn
        As fit saw it.
    """

    column: CategoricalColumn | BooleanColumn | ConstantColumn

    def read(self, cells: Any) -> Floats:
        """Cells as codes."""
        return self._numbers(_encoded(self.column, cells).codes)

    def likely(self, observed: Floats, likeliest: EncodedTable) -> Floats:
        """The codes of the likeliest levels."""
        return self._numbers(likeliest.codes) if self.column.levels else np.full(len(observed), np.nan)

    def possible(self, wanted: Floats, observed: Floats) -> Floats:
        """As they are: levels have nothing in between."""
        return wanted

    def encode(self, numbers: Floats) -> EncodedTable:
        """The codes."""
        nothing = np.zeros((len(numbers), 0), np.float32)
        return EncodedTable(nothing, nothing, np.nan_to_num(numbers, nan=MISSING).astype(np.int32)[:, None])

    def to_arrow(self, numbers: Floats) -> Any:
        """The levels as fit spelt them."""
        table = self.encode(numbers)
        cells = decode_column(self.column, table.values, table.angles, table.codes, None)
        return cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells

    @staticmethod
    def _numbers(codes: NDArray[np.int32]) -> Floats:
        return np.where(codes[:, 0] == MISSING, np.nan, codes[:, 0].astype(np.float64))


def _in_units(column: NumericColumn, likeliest: EncodedTable) -> Floats:
    return np.asarray(column.location + column.scale * likeliest.values[:, 0].astype(np.float64))


def _days(dates: NDArray[Any]) -> NDArray[np.int64]:
    return dates.astype("datetime64[D]").astype(np.int64)


def _to_floats(cells: Any) -> Floats:
    return np.asarray(cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def _to_seconds(cells: Any, column: Column) -> Floats:
    return _to_floats(read_moments(cells, zone_of(column.dtype)).cast(pa.int64())) / _TICKS


def _of_seconds(numbers: Floats, column: Column, kind: Any) -> Any:
    """Wall-clock seconds of the zone of fit, if it has one, as cells."""
    missing = np.isnan(numbers)
    ticks = pa.array(np.rint(np.nan_to_num(numbers) * _TICKS).astype(np.int64), mask=missing).cast(MOMENT)
    zone = zone_of(column.dtype)
    if pa.types.is_timestamp(kind) and kind.tz is not None and zone is not None:
        return cast_moments(ticks, pa.timestamp(kind.unit, zone)).cast(kind)
    return cast_moments(ticks, kind)
