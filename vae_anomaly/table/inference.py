"""What each column of a table is: the rules, one function for each question.

- **Text** is read as numbers, truth values (true/false, yes/no, on/off; t/f and y/n only where both occur) or
  ISO dates if every present cell reads so. Leading zeros, as in ``00123``, mean text. Spaces around a text
  don't count; "", NA, N/A, NaN, nan, null, NULL, None, <NA> and ? are missing cells.
- **One distinct value or none**: constant. **Two distinct numbers**, or truth values: boolean. A column of
  dates stays one.
- **Other text, and declared categories**: categorical. The `max_categories` most frequent levels (ties by
  text) are kept, the next 65,536 are remembered as rare, all others count as never seen.
- **Identifiers** are set aside, with a warning: text with over 95 % distinct values among at least 50; in
  frames, integers that are all distinct and in rising or falling order (at least 10), or all distinct and named
  like an identifier, or named so and with more than `max_categories` distinct values.
- **Integers named like an identifier or a code** (id, number, zip, mcc, ...) with at most `max_categories`
  distinct values are categorical. Floats that are all whole and have gaps count as integers. Everything else
  is numeric. The columns of a NumPy array have no names, and are never identifiers by their integers.
- **Dates** become time of day (if any is not midnight), day of the week (if the range covers a week or there is
  no time), day of the month (range over 62 days) and of the year (over two years). Elapsed time is left out:
  otherwise all of tomorrow would be anomalous. Dates with a time zone count by its wall clock.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vae_anomaly.errors import SchemaWarning, TableError
from vae_anomaly.table.cells import (
    Reading,
    UnreadableCellError,
    arrow_type,
    canonical_text,
    clean_text,
    is_moment,
    is_text,
    looks_like,
    read_moments,
    read_numbers,
    reads_as_moments,
    reads_as_numbers,
    share_of,
    truth_words,
    type_name,
)
from vae_anomaly.table.columns import (
    BooleanColumn,
    CategoricalColumn,
    Column,
    ColumnKind,
    ConstantColumn,
    DatetimeColumn,
    IdentifierColumn,
    NumericColumn,
)
from vae_anomaly.table.frames import Table
from vae_anomaly.table.naming import is_code_name, is_identifier_name
from vae_anomaly.table.tally import Distinct, NumberTally, Rows

MAX_RARE = 65_536
_NEARLY_UNIQUE = 0.95
_FEWEST_UNIQUE_TEXTS = 50
_FEWEST_RISING_INTEGERS = 10  # fewer are in order too often by chance
_ROUNDING = 1e-9  # of the total weight: far below one row, far above what sums of floats are off by
_SECOND, _DAY = 1_000_000, 86_400_000_000  # microseconds


@dataclass(frozen=True)
class Facts:
    """One column while its kind is decided."""

    name: str
    dtype: str
    cells: Any
    rows: Rows
    max_categories: int
    is_array: bool

    @cached_property
    def distinct(self) -> Distinct:
        """Distinct present cells; texts are clean, NaN is not present."""
        found = Distinct.of(self.cells, self.rows.weights)
        if pa.types.is_floating(found.values.type):
            return found.where(~np.isnan(found.values.to_numpy(zero_copy_only=False)))
        return found.map(clean_text(found.values)) if is_text(found.values.type) else found

    @property
    def n_present(self) -> float:
        """Weight of the rows with a value."""
        return float(self.distinct.weights.sum())

    @property
    def plain_cells(self) -> Any:
        """The cells, not dictionary-encoded."""
        return self.cells.dictionary_decode() if pa.types.is_dictionary(self.cells.type) else self.cells

    def n_missing(self, n_present: float) -> float:
        """Weight of the rows without a value; what only rounding has left of fractional weights is none."""
        missing = self.rows.total - n_present
        return missing if missing > _ROUNDING * self.rows.total else 0.0

    def unseen_probability(self, n_present: float) -> float:
        """Probability of a value never seen, by Laplace's rule; with no value at all, all rows count."""
        return 1.0 / ((n_present or self.rows.total) + 2.0)

    def unreadable(self, error: UnreadableCellError, remedy: str) -> TableError:
        """The error for a cell among the distinct ones, with the first row that has it."""
        cells = clean_text(self.plain_cells) if is_text(self.plain_cells.type) else self.plain_cells
        index = pc.index(cells, pa.scalar(error.value, cells.type)).as_py()
        return TableError(
            f"Column {self.name!r}, row {self.rows.number(index)}: expected {error.wanted}, found {error.value!r}. "
            f"{remedy}"
        )


def infer_column(table: Table, index: int, override: ColumnKind | None, rows: Rows, max_categories: int) -> Column:
    """Decide the kind of one column and compute its statistics."""
    name = table.names[index]
    numbers = table.numbers(index)
    if numbers is not None and override in (None, ColumnKind.NUMERIC):
        dtype = table.dtype(index)
        return _array_column(name, dtype, rows.select(numbers), rows, max_categories, override)
    cells = table.cells(index, mixed_as_text=override is not None)
    facts = Facts(name, type_name(cells.type), rows.select(cells), rows, max_categories, table.is_array)
    return (_as_is if override is None else _OVERRIDES[override])(facts)


def _array_column(
    name: str, dtype: str, numbers: NDArray[Any], rows: Rows, max_categories: int, override: ColumnKind | None
) -> Column:
    """Numbers of a NumPy array: no detour through arrow, and no guess from a name."""
    tally = NumberTally.of(numbers, rows.weights)
    facts = Facts(name, dtype, None, rows, max_categories, True)
    _refuse_infinite(facts, tally, numbers)
    if len(tally) > (1 if override else 2):
        return _numeric(facts, tally, Reading.NUMBER)
    return _few_numbers(facts, tally)


def _as_is(facts: Facts) -> Column:
    """The kind that the cells themselves suggest."""
    kind = facts.cells.type
    if not len(facts.distinct.values):
        return _constant(facts, Reading.TEXT)
    if pa.types.is_dictionary(kind):
        return _categorical(facts, keep_single=False)
    if is_text(kind):
        return _text(facts)
    if pa.types.is_boolean(kind):
        return _truth(facts, ("false", "true"))
    return _datetime(facts) if is_moment(kind) else _number(facts, read_numbers(facts.distinct.values))


def _text(facts: Facts) -> Column:
    """Text: numbers, truth values or dates if every present cell reads so; else a category or an identifier."""
    text = facts.distinct.values
    if reads_as_numbers(text):
        return _number(facts, read_numbers(text))
    if words := truth_words(text):
        return _truth(facts, words)
    if reads_as_moments(text):
        return _datetime(facts)
    if share_of(text, "decimal comma") > 0.5:
        raise TableError(
            f"Column {facts.name!r} looks like numbers with decimal commas (such as {_first_like_comma(text)!r}). Read "
            f"the file with decimal=',' (a comma between thousands: with thousands=','), or have the column taken as "
            f"text with kinds={{{facts.name!r}: 'categorical'}}."
        )
    distinct = facts.distinct.merged()
    n_present = max(facts.n_present, len(facts.distinct.values))
    if n_present >= _FEWEST_UNIQUE_TEXTS and len(distinct.values) > _NEARLY_UNIQUE * n_present:
        if share_of(text, "number") > _NEARLY_UNIQUE:
            _refuse_stray_text(facts)
        return _identifier(facts, len(distinct.values))
    _warn_of_stray_text(facts)
    return _categorical(facts, keep_single=False)


def _warn_of_stray_text(facts: Facts) -> None:
    """A column of numbers or dates with a few other texts in it becomes a category: say so."""
    text = facts.distinct.values
    for what in ("number", "date"):
        if len(text) > _FEWEST_UNIQUE_TEXTS and share_of(text, what) > _NEARLY_UNIQUE:
            stray = text.filter(pc.invert(looks_like(text, what)))
            if len(stray) == 0:  # digits all through, but text all the same: codes with leading zeros
                continue
            warnings.warn(
                f"Taken as text, although nearly all of its values are {what}s: {facts.name!r}, because of "
                f"{stray[0].as_py()!r} "
                f"and the like. If it holds {what}s, repair those cells or empty them; to confirm, pass "
                f"kinds={{{facts.name!r}: 'categorical'}}.",
                SchemaWarning,
                stacklevel=2,
            )


def _first_like_comma(text: Any) -> Any:
    return next(value for value in text.to_pylist() if "," in value)


def _refuse_stray_text(facts: Facts) -> None:
    """A column of numbers with a few texts in it would otherwise be taken for an identifier."""
    try:
        read_numbers(facts.distinct.values)
    except UnreadableCellError as error:
        remedy = f"Nearly all other cells are numbers: repair the rows, or use kinds={{{facts.name!r}: 'categorical'}}."
        raise facts.unreadable(error, remedy) from None


def _number(facts: Facts, numbers: Any) -> Column:
    """Numbers of a frame: which may be identifiers or codes if they are whole."""
    tally = NumberTally.of(_to_numpy(numbers), facts.distinct.weights)
    _refuse_infinite(facts, tally)
    if len(tally) <= 2:
        return _few_numbers(facts, tally)
    gaps = facts.n_missing(tally.total) > 0
    # pandas stores integers with gaps as floats
    if (pa.types.is_integer(numbers.type) or (gaps and tally.whole)) and not facts.is_array:
        if _is_integer_identifier(facts, tally, numbers):
            return _identifier(facts, len(tally))
        if is_code_name(facts.name) and len(tally) <= facts.max_categories:
            return _categorical(facts, Reading.NUMBER)
    return _numeric(facts, tally, Reading.NUMBER)


def _is_integer_identifier(facts: Facts, tally: NumberTally, numbers: Any) -> bool:
    named = is_identifier_name(facts.name)
    if named and len(tally) > facts.max_categories:
        return True
    if len(tally) < tally.total or facts.distinct.weights.max() > 1:
        return False
    steps = np.diff(_to_numpy(numbers).astype(np.float64))  # all distinct: so the distinct ones are in file order
    in_order = len(tally) >= _FEWEST_RISING_INTEGERS and bool((steps > 0).all() or (steps < 0).all())
    return named or in_order


def _few_numbers(facts: Facts, tally: NumberTally) -> Column:
    """At most two distinct numbers."""
    levels = tuple(canonical_text(pa.array(tally.values), Reading.NUMBER).to_pylist())
    counts = tuple(tally.weights.tolist())
    n_missing, unseen = facts.n_missing(tally.total), facts.unseen_probability(tally.total)
    kind = BooleanColumn if len(levels) == 2 else ConstantColumn
    return kind(facts.name, facts.dtype, n_missing, Reading.NUMBER, levels, counts, unseen, levels)


def _numeric(facts: Facts, tally: NumberTally, reading: Reading) -> NumericColumn:
    location, scale = tally.location_and_scale()
    low, high = float(tally.values[0]), float(tally.values[-1])
    n_missing = facts.n_missing(tally.total)
    return NumericColumn(facts.name, facts.dtype, n_missing, reading, location, scale, low, high, tally.whole)


def _truth(facts: Facts, words: tuple[str, str]) -> Column:
    """Truth values, false first."""
    texts = facts.distinct.map(canonical_text(facts.distinct.values, Reading.TRUTH))
    counts = [float(texts.weights[_where(texts.values, level)].sum()) for level in ("false", "true")]
    if min(counts) == 0:
        return _constant(facts, Reading.TRUTH)
    return _boolean(facts, Reading.TRUTH, ("false", "true"), (counts[0], counts[1]), words)


def _where(texts: Any, level: str) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.equal(texts, level).to_numpy(zero_copy_only=False)
    return found


def _boolean(
    facts: Facts, reading: Reading, levels: tuple[str, str], counts: tuple[float, float], words: tuple[str, str]
) -> BooleanColumn:
    n_present = sum(counts)
    n_missing, unseen = facts.n_missing(n_present), facts.unseen_probability(n_present)
    return BooleanColumn(facts.name, facts.dtype, n_missing, reading, levels, counts, unseen, words)


def _constant(facts: Facts, reading: Reading) -> ConstantColumn:
    texts = facts.distinct.map(canonical_text(facts.distinct.values, reading))
    n_present = float(texts.weights.sum())
    level, counts = tuple(texts.values[:1].to_pylist()), (n_present,) if n_present else ()
    words = (str(facts.distinct.values[0].as_py()),) if reading is Reading.TRUTH and n_present else level
    n_missing, unseen = facts.n_missing(n_present), facts.unseen_probability(n_present)
    return ConstantColumn(facts.name, facts.dtype, n_missing, reading, level, counts, unseen, words)


def _categorical(facts: Facts, reading: Reading | None = None, keep_single: bool = True) -> Column:
    """Levels by frequency, ties by text; what is beyond the largest levels is rare, and beyond that forgotten."""
    reading = reading or _natural_reading(facts)
    texts = facts.distinct.map(canonical_text(facts.distinct.values, reading)).merged().by_weight()
    n_levels = len(texts.values)
    if n_levels < 1 or (n_levels == 1 and not keep_single):
        return _constant(facts, reading)
    kept, n_present = facts.max_categories, float(texts.weights.sum())
    once = texts.weights <= 1
    once[kept + MAX_RARE :] = True
    least = facts.unseen_probability(n_present)
    unseen = min(max(float(texts.weights[once].sum()) / n_present, least), 0.5)
    return CategoricalColumn(
        facts.name,
        facts.dtype,
        facts.n_missing(n_present),
        reading,
        tuple(texts.values[:kept].to_pylist()),
        tuple(texts.weights[:kept].tolist()),
        unseen,
        tuple(texts.values[kept : kept + MAX_RARE].to_pylist()),
        float(texts.weights[kept:].sum()),
    )


def _natural_reading(facts: Facts) -> Reading:
    kind = facts.distinct.values.type
    if is_text(kind) or pa.types.is_null(kind):
        return Reading.TEXT
    if pa.types.is_boolean(kind):
        return Reading.TRUTH
    return Reading.MOMENT if is_moment(kind) else Reading.NUMBER


def _datetime(facts: Facts) -> Column:
    """Place in the day, week, month and year, as far as the range lets them be learnt."""
    moments = read_moments(facts.distinct.values)
    ticks = moments.cast(pa.int64()).to_numpy()
    low, high = int(ticks.min()), int(ticks.max())
    has_time, span = bool((ticks % _DAY != 0).any()), (high - low) / _DAY
    return DatetimeColumn(
        facts.name,
        facts.dtype,
        facts.n_missing(facts.n_present),
        minimum=str(np.datetime64(low, "us")),
        maximum=str(np.datetime64(high, "us")),
        time_of_day=has_time,
        whole_seconds=not (ticks % _SECOND != 0).any(),
        day_of_week=span >= 7 or not has_time,
        day_of_month=span > 62,
        day_of_year=span > 731,
        unseen_probability=facts.unseen_probability(facts.n_present),
    )


def _identifier(facts: Facts, n_distinct: int) -> IdentifierColumn:
    return IdentifierColumn(facts.name, facts.dtype, facts.n_missing(facts.n_present), n_distinct)


def _force_numeric(facts: Facts) -> Column:
    """Numbers; dates become seconds since 1970."""
    values, reading = facts.distinct.values, Reading.NUMBER
    if is_moment(values.type) or (is_text(values.type) and not reads_as_numbers(values) and reads_as_moments(values)):
        values, reading = read_moments(values), Reading.MOMENT
    try:
        tally = NumberTally.of(_to_numpy(read_numbers(values)), facts.distinct.weights)
    except UnreadableCellError as error:
        raise facts.unreadable(error, _undo(facts)) from None
    _refuse_infinite(facts, tally)
    if len(tally) > 1:
        return _numeric(facts, tally, reading)
    return _few_numbers(facts, tally) if reading is Reading.NUMBER else _constant(facts, reading)


def _force_boolean(facts: Facts) -> Column:
    values = facts.distinct.values
    if pa.types.is_boolean(values.type):
        return _truth(facts, ("false", "true"))
    if is_text(values.type) and (words := truth_words(values)):
        return _truth(facts, words)
    numeric = is_text(values.type) and reads_as_numbers(values)
    reading = Reading.NUMBER if numeric else _natural_reading(facts)
    texts = canonical_text(values, reading)
    merged = facts.distinct.map(texts).merged()
    if len(merged.values) > 2:
        third = UnreadableCellError(0, values[pc.index(texts, merged.values[2]).as_py()].as_py(), "two values at most")
        raise facts.unreadable(third, _undo(facts))
    if len(merged.values) < 2:
        return _constant(facts, reading)
    order = pc.sort_indices(read_numbers(merged.values) if reading is Reading.NUMBER else merged.values)
    low, high = merged.values.take(order).to_pylist()
    first, second = merged.weights[order.to_numpy()].tolist()
    return _boolean(facts, reading, (low, high), (first, second), (low, high))


def _force_datetime(facts: Facts) -> Column:
    if not len(facts.distinct.values):
        return _constant(facts, Reading.TEXT)
    try:
        return _datetime(facts)
    except UnreadableCellError as error:
        raise facts.unreadable(error, _undo(facts)) from None


def _force_categorical(facts: Facts) -> Column:
    return _categorical(facts)


def _force_identifier(facts: Facts) -> Column:
    return _identifier(facts, len(facts.distinct.values))


def _undo(facts: Facts) -> str:
    return f"Repair the cell, or leave {facts.name!r} out of kinds."


_OVERRIDES: dict[ColumnKind, Callable[[Facts], Column]] = {
    ColumnKind.NUMERIC: _force_numeric,
    ColumnKind.BOOLEAN: _force_boolean,
    ColumnKind.DATETIME: _force_datetime,
    ColumnKind.CATEGORICAL: _force_categorical,
    ColumnKind.IDENTIFIER: _force_identifier,
}


def _to_numpy(numbers: Any) -> NDArray[Any]:
    array: NDArray[Any] = numbers.to_numpy(zero_copy_only=False)
    return array


def _refuse_infinite(facts: Facts, tally: NumberTally, numbers: NDArray[Any] | None = None) -> None:
    if not len(tally) or np.isfinite(tally.values[[0, -1]].astype(np.float64)).all():
        return
    if numbers is None:
        numbers = read_numbers(facts.plain_cells).cast(pa.float64()).to_numpy(zero_copy_only=False)
    first = facts.rows.number(int(np.isinf(numbers).argmax()))
    raise infinite_error(facts.name, int(np.isinf(numbers).sum()), first)


def infinite_error(name: str, count: int, first_row: int) -> TableError:
    """The error for infinite numbers: they are never clipped in silence."""
    return TableError(
        f"Column {name!r} holds {count} infinite number(s), the first in row {first_row}. Expected finite numbers or "
        "missing cells: replace them by NaN, or by the largest value that makes sense."
    )


def zone_of(dtype: str) -> str | None:
    """The time zone of a column type, if it has one."""
    kind = arrow_type(dtype)
    return kind.tz if pa.types.is_timestamp(kind) else None
