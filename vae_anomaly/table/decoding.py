"""Arrays back to columns in the units and types that fit saw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vae_anomaly.table.cells import MOMENT, Reading, arrow_type, is_text, read_moments, read_numbers
from vae_anomaly.table.columns import (
    BooleanColumn,
    CategoricalColumn,
    Column,
    ConstantColumn,
    DatetimeColumn,
    NumericColumn,
)
from vae_anomaly.table.layout import FIRST_LEVEL

_DIGITS, _MOST_DIGITS = 6, 15
_SECOND, _DAY = 1_000_000, 86_400_000_000  # microseconds


def decode_column(
    column: Column, values: NDArray[np.float32], angles: NDArray[np.float32], codes: NDArray[np.int32], like: Any
) -> Any:
    """One column as a pyarrow array of the type it had in fit.

    Parameters
    ----------
    column : Column
        A modelled column.
    values, angles, codes : ndarray of shape (n_rows, parts of the column in the block)
        Its encoded cells.
    like : pyarrow array or None
        Of a date: the cells whose days are kept.
    """
    kind = arrow_type(column.dtype)
    if isinstance(column, NumericColumn):
        return _numbers(column, values[:, 0].astype(np.float64), kind)
    if isinstance(column, DatetimeColumn):
        return _moments(column, angles, like, kind)
    if isinstance(column, BooleanColumn | CategoricalColumn | ConstantColumn):
        return _levels(column, codes[:, 0], kind)
    raise TypeError(f"Expected a modelled column, found {column.kind}.")


def _numbers(column: NumericColumn, z: NDArray[np.float64], kind: Any) -> Any:
    largest = np.finfo(np.float64).max
    with np.errstate(over="ignore"):
        halves = z * (column.scale * 0.5) + column.location * 0.5  # so that the sum of two huge numbers stays finite
        numbers = np.clip(halves * 2.0, -largest, largest)
    if column.reading is Reading.MOMENT:
        numbers = np.rint(numbers * _SECOND)
        ticks = pa.array(np.nan_to_num(numbers).astype(np.int64), mask=np.isnan(z)).cast(MOMENT)
        return cast_moments(ticks, kind)
    return cast_numbers(_without_noise(numbers, column), column.integer, kind)


def _without_noise(numbers: NDArray[np.float64], column: NumericColumn) -> NDArray[np.float64]:
    """Drop the digits that float32 cannot have kept: 12.5 comes back as 12.5, not as 12.4999998."""
    digits = 0 if column.integer else _DIGITS - int(np.floor(np.log10(column.scale)))
    return np.round(numbers, digits) + 0.0 if abs(digits) <= _MOST_DIGITS else numbers  # + 0.0: no negative zero


def cast_numbers(numbers: NDArray[np.float64], integer: bool, kind: Any) -> Any:
    """Floats, NaN where missing, as an arrow array of type `kind`, kept within its range."""
    if pa.types.is_dictionary(kind):
        return cast_numbers(numbers, integer, kind.value_type).dictionary_encode()
    missing = np.isnan(numbers)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or (is_text(kind) and integer):
        target = np.dtype(np.int64 if is_text(kind) else kind.to_pandas_dtype())
        if target == np.bool_:
            return pa.array(numbers >= 0.5, mask=missing)
        limits = np.iinfo(target)
        bounded = np.clip(np.nan_to_num(numbers), float(limits.min), _float_below(limits.max))
        whole = pa.array(np.rint(bounded).astype(target), mask=missing)
        return whole.cast(pa.string()) if is_text(kind) else whole
    if pa.types.is_decimal128(kind):
        limit = (10.0 ** (kind.precision - kind.scale)) * (1 - 1e-15) - 10.0**-kind.scale
        return pa.array(np.clip(numbers, -limit, limit), from_pandas=True).cast(kind)
    with np.errstate(over="ignore"):
        if is_text(kind):  # float32 is as fine as the encoding was: its shortest text reads best
            return pa.array(numbers.astype(np.float32), mask=missing).cast(pa.string())
        limit = np.finfo(kind.to_pandas_dtype()).max
        return pa.array(np.clip(numbers, -limit, limit).astype(kind.to_pandas_dtype()), mask=missing)


def _float_below(limit: int) -> float:
    """The largest float that is not above `limit`."""
    return float(limit) if int(float(limit)) <= limit else float(np.nextafter(float(limit), 0))


def _levels(column: BooleanColumn | CategoricalColumn | ConstantColumn, codes: NDArray[np.int32], kind: Any) -> Any:
    """Codes to levels, null where missing, unseen or rare."""
    if not column.levels:
        return pa.nulls(len(codes), kind if not pa.types.is_dictionary(kind) else kind.value_type).cast(kind)
    spelt = column.levels if isinstance(column, CategoricalColumn) else column.words
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    if is_text(inner):
        dictionary = pa.array(spelt, pa.string())
    elif column.reading is Reading.MOMENT:
        dictionary = cast_moments(read_moments(pa.array(column.levels)), inner)
    elif pa.types.is_boolean(inner):
        dictionary = pa.array([level in ("true", "1") for level in column.levels])
    else:
        numbers = read_numbers(pa.array(column.levels))
        dictionary = numbers.cast(inner, safe=False) if not pa.types.is_decimal(inner) else _decimals(numbers, inner)
    indices = pa.array(np.maximum(codes - FIRST_LEVEL, 0).astype(np.int32), mask=codes < FIRST_LEVEL)
    coded = pa.DictionaryArray.from_arrays(indices, dictionary)
    return coded if pa.types.is_dictionary(kind) else coded.dictionary_decode()


def _decimals(numbers: Any, kind: Any) -> Any:
    return cast_numbers(numbers.cast(pa.float64()).to_numpy(zero_copy_only=False), False, kind)


def _moments(column: DatetimeColumn, angles: NDArray[np.float32], like: Any, kind: Any) -> Any:
    """The day of `like` with the decoded time of day."""
    zone = kind.tz if pa.types.is_timestamp(kind) else None
    moments = read_moments(like, zone)
    if column.time_of_day:
        days = pc.fill_null(moments.cast(pa.int64()), 0).to_numpy(zero_copy_only=False) // _DAY
        turn = np.nan_to_num(angles[:, 0].astype(np.float64) / (2 * np.pi)) % 1.0
        unit = _SECOND if column.whole_seconds else 1
        time = np.minimum(np.rint(turn * (_DAY // unit)).astype(np.int64) * unit, _DAY - unit)
        moments = pa.array(days * _DAY + time, mask=moments.is_null().to_numpy(zero_copy_only=False)).cast(MOMENT)
    return cast_moments(moments, kind)


def cast_moments(moments: Any, kind: Any) -> Any:
    """Wall-clock timestamps as the type of fit: text, date, or timestamp of a zone."""
    if pa.types.is_dictionary(kind):
        return cast_moments(moments, kind.value_type).dictionary_encode()
    if is_text(kind):
        for coarser in (pa.date32(), pa.timestamp("s"), MOMENT):
            rounded = moments.cast(coarser, safe=False)
            if pc.all(pc.equal(rounded.cast(MOMENT), moments)).as_py() is not False:
                break
        return rounded.cast(pa.string())
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        local = pc.assume_timezone(moments, kind.tz, ambiguous="earliest", nonexistent="earliest")
        return local.cast(kind, safe=False)
    return moments.cast(kind, safe=False)
