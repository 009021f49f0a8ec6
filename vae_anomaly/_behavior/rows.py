"""Transactions as numbers, and how they are read from a table."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vae_anomaly._behavior.moments import Floats
from vae_anomaly._behavior.spec import OWNER, Spec
from vae_anomaly._behavior.timeline import Integers
from vae_anomaly.errors import SchemaMismatchError, TableError
from vae_anomaly.table.cells import (
    Reading,
    UnreadableCellError,
    canonical_text,
    clean_text,
    is_moment,
    is_number,
    is_text,
    read_moments,
    read_numbers,
    reads_as_numbers,
    type_name,
)
from vae_anomaly.table.frames import Table

_SECOND, _HOUR, _DAY = 10**6, 3_600 * 10**6, 86_400 * 10**6  # microseconds
_FIRST_MONDAY = 3  # 1970-01-01 was a Thursday, day 3 of a week that starts on Monday
_LATEST_SECOND = 1e11  # in the year 5138: numbers beyond are milliseconds
_LARGE_WHOLE = 2.0**53  # beyond it a float no longer tells neighbouring integers apart
_LARGEST_AMOUNT = 1e100  # squares of larger ones would be infinite
_WITH_OFFSET = r":[0-9]{2}(\.[0-9]+)? ?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)$"
_SPACE_BEFORE_OFFSET = r" ([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)$"
_BOUNDS = (("latitude", 90.0), ("longitude", 180.0))
DATES, ZONED, SECONDS = "dates without a time zone", "dates with a time zone", "numbers of seconds"
"""What the times of a column are."""

NEVER = np.iinfo(np.int64).min
"""The time of what never was."""

Levels = Mapping[str, Any]
"""For each column of names its values, as text, in the order of their codes."""


class OddRowError(TableError):
    """A row that cannot be, which whoever knows where the table comes from can place there.

    Parameters
    ----------
    column : str
        Whose cell it is about.
    row : int
        Its place in the table, from 0.
    found : str
        What was expected, what was found, and what to do.
    """

    def __init__(self, column: str, row: int, found: str) -> None:
        super().__init__(column, row, found)
        self.column, self.row, self.found = column, row, found

    def __str__(self) -> str:
        return f"Column {self.column!r}, row {self.row + 1}: {self.found}"


@dataclass(frozen=True)
class ColumnReadings:
    """How the columns were read in fit, so that later tables are read alike.

    Parameters
    ----------
    time : str or None
        What the times are; None where there were none.
    zone : str or None
        Time zone of the column, by whose clock hours count.
    names : dict of str to Reading
        Whether the values of a column of names are numbers, dates or text.
    """

    time: str | None
    zone: str | None
    names: Mapping[str, Reading]


@dataclass(frozen=True, eq=False)
class Rows:
    """Transactions that have a time.

    Parameters
    ----------
    time : int64 ndarray of shape (n_rows,)
        Microseconds since 1970, UTC.
    hour : int8 ndarray of shape (n_rows,)
        Hour of the day by the clock on the wall.
    numbers : dict of str to float64 ndarray of shape (n_rows,)
        "amount", "latitude" and "longitude", as far as there are such columns.
    codes : dict of str to int32 ndarray of shape (n_rows,)
        For each column of names the place of the value among its levels, −1 where it is missing.
    """

    time: Integers
    hour: NDArray[np.int8]
    numbers: Mapping[str, Floats]
    codes: Mapping[str, NDArray[np.int32]]

    def __len__(self) -> int:
        return len(self.time)

    @classmethod
    def none(cls, spec: Spec) -> Rows:
        """No rows."""
        empty = {name: np.zeros(0) for name in number_columns(spec)}
        codes = {name: np.zeros(0, np.int32) for name in spec.coded}
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int8), empty, codes)

    def take(self, which: Any) -> Rows:
        """Some of the rows."""
        numbers = {name: values[which] for name, values in self.numbers.items()}
        codes = {name: values[which] for name, values in self.codes.items()}
        return Rows(self.time[which], self.hour[which], numbers, codes)

    def followed_by(self, other: Rows) -> Rows:
        """These rows, and after them others."""
        numbers = {name: np.concatenate([values, other.numbers[name]]) for name, values in self.numbers.items()}
        codes = {name: np.concatenate([values, other.codes[name]]) for name, values in self.codes.items()}
        times = np.concatenate([self.time, other.time]), np.concatenate([self.hour, other.hour])
        return Rows(*times, numbers, codes)

    def digest(self, levels: Levels) -> str:
        """A hash by which the same rows in the same order are known again."""
        found = hashlib.sha256(self.time.tobytes())
        for values in (self.hour, *self.numbers.values()):
            found.update(np.ascontiguousarray(values).tobytes())
        for name, codes in self.codes.items():
            found.update(codes.tobytes())
            found.update("\x1f".join(levels[name].to_pylist()).encode())
        return found.hexdigest()


@dataclass(frozen=True, eq=False)
class Batch:
    """What was read from a table.

    Parameters
    ----------
    rows : Rows
        The rows that have a time.
    placed : int64 ndarray
        Their places in the table.
    weekday : float64 ndarray
        Days since Monday.
    levels : Levels
        With the values that were new in the table at the end.
    n_rows : int
        Of the table.
    """

    rows: Rows
    placed: Integers
    weekday: Floats
    levels: Levels
    n_rows: int


def number_columns(spec: Spec) -> dict[str, str]:
    """Which column is the amount, the latitude and the longitude."""
    amount = {} if spec.amount is None else {"amount": spec.amount}
    return amount | dict(zip(("latitude", "longitude"), spec.coordinates or (), strict=False))


def reading_of(table: Table, spec: Spec) -> ColumnReadings:
    """How the columns of the table are to be read.

    Raises
    ------
    TableError
        If no row has a time, or a column holds what it cannot.
    """
    cells = _cells(table, spec.time)
    if cells.null_count == len(cells):
        raise TableError(
            f"Column {spec.time!r}: expected a time in at least one row, found {len(cells)} rows without. Fill it in, "
            f"or name another column as 'time' of {OWNER}."
        )
    time = _kind_of_time(spec.time, cells)
    zone = cells.type.tz if pa.types.is_timestamp(cells.type) else None
    return ColumnReadings(time, zone, {name: _reading_of_names(_cells(table, name, mixed=True)) for name in spec.coded})


def read(table: Table, spec: Spec, how: ColumnReadings, levels: Levels) -> Batch:
    """Read the columns that features are made of.

    Raises
    ------
    TableError
        If a cell is not what its column needs, with the row, counted from one.
    """
    instant, wall = _times(spec.time, _cells(table, spec.time), how)
    placed = np.flatnonzero(np.asarray(instant.is_valid()))
    numbers = {what: _numbers(table, column, what)[placed] for what, column in number_columns(spec).items()}
    codes, grown = {}, {}
    for name in spec.coded:
        coded, grown[name] = _coded(name, _cells(table, name, mixed=True), how.names[name], levels[name])
        codes[name] = coded[placed]
    clock = wall.cast(pa.int64()).take(pa.array(placed)).to_numpy()
    time = instant.take(pa.array(placed)).to_numpy()
    weekday = ((clock // _DAY + _FIRST_MONDAY) % 7).astype(np.float64)
    rows = Rows(time, (clock // _HOUR % 24).astype(np.int8), numbers, codes)
    return Batch(rows, placed, weekday, grown, table.n_rows)


def ticks(table: Table, spec: Spec, how: ColumnReadings) -> Integers:
    """Microseconds since 1970 of each row, as `Rows` has them; `NEVER` where the time is missing.

    Raises
    ------
    TableError
        As of `read`.
    """
    instant, _ = _times(spec.time, _cells(table, spec.time), how)
    found: Integers = instant.fill_null(NEVER).to_numpy()
    return found


def _cells(table: Table, name: str, mixed: bool = False) -> Any:
    cells = table.cells(table.names.index(name), mixed_as_text=mixed)
    cells = cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells
    if is_text(cells.type):
        return clean_text(cells)
    return pc.if_else(pc.is_nan(cells), None, cells) if pa.types.is_floating(cells.type) else cells


# Times
def _kind_of_time(name: str, cells: Any) -> str | None:
    """What the times of a column are, or None if they are all missing."""
    if cells.null_count == len(cells):
        return None
    if is_number(cells.type) or (is_text(cells.type) and reads_as_numbers(cells)):
        return SECONDS
    if is_moment(cells.type):
        return ZONED if pa.types.is_timestamp(cells.type) and cells.type.tz is not None else DATES
    if not is_text(cells.type):
        raise TableError(f"Column {name!r}: expected dates or seconds, found {type_name(cells.type)}. Convert it.")
    zoned = pc.match_substring_regex(cells, _WITH_OFFSET)
    if pc.any(zoned).as_py() and not pc.all(zoned).as_py():
        odd = pc.index(zoned, pa.scalar(not zoned.drop_null()[0].as_py())).as_py()
        raise OddRowError(
            name,
            odd,
            "expected times that all have a time zone, or all have none, found both, such as "
            f"{cells[odd].as_py()!r}. Write all in one form.",
        )
    return ZONED if pc.any(zoned).as_py() else DATES


def _times(name: str, cells: Any, how: ColumnReadings) -> tuple[Any, Any]:
    """Microseconds since 1970 in UTC, and timestamps by the clock on the wall; null where the time is missing."""
    found = _kind_of_time(name, cells)
    if found is not None and found != how.time:
        raise SchemaMismatchError(
            f"Column {name!r}: expected {how.time}, as in fit, found {found}. Convert the column."
        )
    try:
        if found == SECONDS:
            return _of_seconds(name, cells)
        wall = read_moments(cells, how.zone)
    except UnreadableCellError as error:
        raise _unreadable(name, error) from None
    if found != ZONED:
        return wall.cast(pa.int64()), wall
    return _instants(name, cells).cast(pa.int64()), wall


def _of_seconds(name: str, cells: Any) -> tuple[Any, Any]:
    seconds = read_numbers(cells).cast(pa.float64())
    far = pc.greater(pc.abs(seconds), _LATEST_SECOND)
    if pc.any(far).as_py():
        row = pc.index(far, True).as_py()
        raise OddRowError(
            name,
            row,
            f"expected seconds since 1970 (or any other midnight), found {cells[row].as_py()}, which is too far from "
            "it. Divide milliseconds by 1,000, or convert to dates.",
        )
    ticks = pc.round(pc.multiply(seconds, float(_SECOND))).cast(pa.int64())
    return ticks, ticks.cast(pa.timestamp("us"))


def _instants(name: str, cells: Any) -> Any:
    """UTC timestamps in microseconds."""
    utc = pa.timestamp("us", tz="UTC")
    if not is_text(cells.type):
        return cells.cast(utc, safe=False)
    text = pc.replace_substring_regex(cells, _SPACE_BEFORE_OFFSET, r"\1")
    text = pc.replace_substring_regex(text, r"(\.[0-9]{6})[0-9]+", r"\1")
    try:
        return text.cast(utc)
    except pa.ArrowInvalid as error:
        raise TableError(f"Column {name!r}: expected ISO dates with a time zone, found: {error}. Repair it.") from None


# Names and numbers
def _reading_of_names(cells: Any) -> Reading:
    if is_number(cells.type):
        return Reading.NUMBER
    if is_moment(cells.type):
        return Reading.MOMENT
    return Reading.TRUTH if pa.types.is_boolean(cells.type) else Reading.TEXT


def _coded(name: str, cells: Any, reading: Reading, levels: Any) -> tuple[NDArray[np.int32], Any]:
    """Codes of the values, −1 where they are missing, and the levels with those that are new."""
    _refuse_large_floats(name, cells)
    text = canonical_text(cells, reading).dictionary_encode()
    place = pc.index_in(text.dictionary, value_set=levels)
    new = text.dictionary.filter(pc.is_null(place))
    code = place.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    code[code < 0] = np.arange(len(levels), len(levels) + len(new), dtype=np.int32)
    given = text.indices.fill_null(len(code)).to_numpy(zero_copy_only=False)
    return np.append(code, np.int32(-1))[given], pa.concat_arrays([levels, new])


def _refuse_large_floats(name: str, cells: Any) -> None:
    if not pa.types.is_floating(cells.type):
        return
    large = pc.greater_equal(pc.abs(cells), _LARGE_WHOLE)
    if pc.any(large).as_py():
        row = pc.index(large, True).as_py()
        raise OddRowError(
            name,
            row,
            f"expected names that can be told apart, found the float {cells[row].as_py()!r}, which stands for several "
            "integers. Read the column as text or as integers.",
        )


def _numbers(table: Table, name: str, what: str) -> Floats:
    """One column of numbers within what they measure."""
    cells = _cells(table, name)
    if is_moment(cells.type):
        raise TableError(f"Column {name!r}: expected numbers, found {type_name(cells.type)}. Name another column.")
    try:
        read_cells = read_numbers(cells).cast(pa.float64(), safe=False)
    except UnreadableCellError as error:
        raise _unreadable(name, error) from None
    numbers: Floats = read_cells.to_numpy(zero_copy_only=False)
    if np.isinf(numbers).any():
        raise OddRowError(
            name,
            int(np.isinf(numbers).argmax()),
            f"expected finite numbers or missing cells, found {int(np.isinf(numbers).sum())} that are infinite. "
            "Replace them by the largest value that makes sense, or empty them.",
        )
    bound = dict(_BOUNDS).get(what, _LARGEST_AMOUNT)
    outside = np.abs(numbers) > bound
    if outside.any():
        row = int(outside.argmax())
        raise OddRowError(
            name,
            row,
            f"expected {what} from {-bound:g} to {bound:g}, found {numbers[row]:g}. Correct the cell, or empty it to "
            "have it taken as missing.",
        )
    return numbers


def _unreadable(name: str, error: UnreadableCellError) -> OddRowError:
    found = f"expected {error.wanted}, found {error.value!r}. Repair the cell, or empty it to have it taken as missing."
    return OddRowError(name, error.index, found)
