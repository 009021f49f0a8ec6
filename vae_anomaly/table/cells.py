"""How the cells of one column are read: as numbers, truth values, dates or text.

A cell means the same whatever library or file it came from: ``5``, ``5.0`` and ``"5"`` are one number, ``"NA"`` is a
missing cell, ``"2024-05-01T09:30Z"`` is the wall clock of its own zone. Everything here works on one pyarrow array.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

MISSING_TEXTS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "<NA>", "?")
"""Texts that stand for a missing cell, after the spaces around them are stripped."""

TRUE_WORDS, FALSE_WORDS = ("true", "yes", "on", "t", "y"), ("false", "no", "off", "f", "n")
MOMENT = pa.timestamp("us")
_LARGE_WHOLE = 2.0**53  # beyond it a float no longer tells neighbouring integers apart
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_INTEGER = r"^-?[0-9]{1,19}$"
_NO_INTEGER = r"^[+-]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$|^[+-]?[0-9]+[eE][+-]?[0-9]+$|^\+[0-9]+$"
_CODE = r"^[+-]?(0[0-9xX]|[0-9]{20})"
_DECIMAL_COMMA = r"^[+-]?[0-9]+(\.[0-9]{3})*,[0-9]+$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}.*)?$"
_OFFSET = r"([0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?) ?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)$"
_FINER_THAN_MICROSECONDS = r"(\.[0-9]{6})[0-9]+$"
_TYPES = {str(t): t for t in (pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.null(), pa.string())}
_TYPES |= {str(t): t for t in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())}
_TYPES |= {"float16": pa.float16(), "float32": pa.float32(), "float64": pa.float64()}
_TYPES |= {"date32": pa.date32(), "date64": pa.date64()}
_NAMES = {kind: name for name, kind in _TYPES.items()}


class Reading(StrEnum):
    """What a cell is taken for before it is modelled."""

    NUMBER = "number"
    TRUTH = "truth"
    MOMENT = "moment"
    TEXT = "text"


@dataclass(eq=False)  # comparing by value would leave it without a hash, which some handlers of errors need
class UnreadableCellError(Exception):
    """A cell that is not what its column needs; callers add the names of the column and the row."""

    index: int
    value: Any
    wanted: str


def type_name(kind: Any) -> str:
    """The name of an arrow type as the schema writes it: widths of text and of dictionary codes don't matter."""
    if pa.types.is_dictionary(kind):
        return f"dictionary<{type_name(kind.value_type)}>"
    return "string" if is_text(kind) else _NAMES.get(kind, str(kind))


def arrow_type(name: str) -> Any:
    """The arrow type that `type_name` wrote as `name`.

    Examples
    --------
    >>> arrow_type("timestamp[us, tz=UTC]")
    TimestampType(timestamp[us, tz=UTC])
    """
    if name in _TYPES:
        return _TYPES[name]
    if match := re.fullmatch(r"timestamp\[(s|ms|us|ns)(?:, tz=([^\]]+))?\]", name):
        return pa.timestamp(match[1], tz=match[2])
    if match := re.fullmatch(r"decimal128\((\d{1,2}), (-?\d{1,2})\)", name):
        return pa.decimal128(int(match[1]), int(match[2]))
    if match := re.fullmatch(r"dictionary<([^<>]+)>", name):
        return pa.dictionary(pa.int32(), arrow_type(match[1]))
    raise ValueError(f"expected the name of a column type, such as 'float64' or 'string', found {name!r}")


def is_text(kind: Any) -> bool:
    """Whether an arrow type holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_number(kind: Any) -> bool:
    """Whether an arrow type holds numbers; truth values don't count."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal128(kind))


def is_moment(kind: Any) -> bool:
    """Whether an arrow type holds dates or timestamps."""
    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind))


def is_supported(kind: Any) -> bool:
    """Whether a column of this arrow type can be used at all."""
    if pa.types.is_dictionary(kind):
        return is_supported(kind.value_type)
    plain = pa.types.is_boolean(kind) or pa.types.is_null(kind)
    return bool(plain or is_text(kind) or is_number(kind) or is_moment(kind))


def clean_text(cells: Any) -> Any:
    """Text without the spaces around it, null where it stands for a missing cell."""
    text = pc.utf8_trim_whitespace(cells.cast(pa.large_string()))
    missing = pc.is_in(text, value_set=pa.array(MISSING_TEXTS, pa.large_string()))
    return pc.if_else(missing, pa.scalar(None, pa.large_string()), text)


def read_numbers(cells: Any) -> Any:
    """Cells as integers or float64; dates as wall-clock seconds since 1970, truth values as 0 and 1.

    Raises
    ------
    UnreadableCellError
        At the first text that is no number.
    """
    kind = cells.type
    if is_text(kind):
        text = clean_text(cells)
        return _first_that_works(text, "a number", _text_to_integers, _text_to_floats)
    if pa.types.is_boolean(kind):
        return cells.cast(pa.int8())
    if is_moment(kind):
        return pc.divide(read_moments(cells).cast(pa.int64()).cast(pa.float64()), 1e6)
    if pa.types.is_integer(kind) or kind in (pa.float32(), pa.float64()):
        return cells  # in their own type: the shortest text of a float32 is not that of its float64
    return cells.cast(pa.float32() if pa.types.is_float16(kind) else pa.float64())


def read_moments(cells: Any, zone: str | None = None) -> Any:
    """Cells as wall-clock timestamps in microseconds: of `zone` where the cells know theirs, as written otherwise.

    Raises
    ------
    UnreadableCellError
        At the first cell that is no ISO date.
    """
    kind = cells.type
    if is_text(kind):
        return _first_that_works(
            clean_text(cells), "an ISO date such as 2024-05-01 or 2024-05-01 09:30", _text_to_moments
        )
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        local = pc.local_timestamp(cells.cast(pa.timestamp(kind.unit, tz=zone or kind.tz)))
        return local.cast(MOMENT, safe=False)
    if pa.types.is_null(kind) or is_moment(kind):
        return cells.cast(MOMENT, safe=False)
    raise UnreadableCellError(*_first_present(cells), "an ISO date such as 2024-05-01 or 2024-05-01 09:30")


def canonical_text(cells: Any, reading: Reading) -> Any:
    """Cells as text in which equal values are equal texts; a text that `reading` cannot read stays as it is."""
    kind = cells.type
    if is_text(kind):
        text = clean_text(cells)
        if reading is Reading.NUMBER:
            text = _rewrite(text, _NO_INTEGER, lambda part: _number_text(_text_to_floats(part)))
            return _rewrite(text, _INTEGER, lambda part: _text_to_integers(part).cast(pa.large_string()))
        if reading is Reading.MOMENT:
            return _rewrite(text, _DATE, lambda part: read_moments(part).cast(pa.large_string()))
        return _truth_text(text) if reading is Reading.TRUTH else text
    if pa.types.is_boolean(kind):
        number = reading is Reading.NUMBER
        return (cells.cast(pa.int8()) if number else cells).cast(pa.large_string())
    if is_moment(kind):
        return read_moments(cells).cast(pa.large_string())
    if pa.types.is_null(kind):
        return cells.cast(pa.large_string())
    text = _number_text(read_numbers(cells))
    return _truth_text(text, true=("1",), false=("0",)) if reading is Reading.TRUTH else text


def reads_as_numbers(text: Any) -> bool:
    """Whether every clean text is a number and none is a code: leading zeros, as in ``00123``, or over 19 digits."""
    if pc.any(pc.match_substring_regex(text, _CODE)).as_py():
        return False
    return _works(read_numbers, text)


def reads_as_moments(text: Any) -> bool:
    """Whether every clean text is an ISO date or datetime."""
    return bool(pc.all(pc.match_substring_regex(text, _DATE)).as_py()) and _works(read_moments, text)


def truth_words(text: Any) -> tuple[str, str] | None:
    """The texts for false and true, if the distinct clean texts are one pair such as no and yes; else None.

    One letter alone says nothing: t/f and y/n count only where both sides occur.
    """
    if len(text) > 16:  # not even every spelling of one pair
        return None
    found = text.to_pylist()
    lower = {word.lower() for word in found}
    for false, true in zip(FALSE_WORDS, TRUE_WORDS, strict=True):
        if lower == {false, true} or (lower and lower < {false, true} and len(true) > 1):
            spelt = {word.lower(): word for word in reversed(found)}
            return spelt.get(false, false), spelt.get(true, true)
    return None


def looks_like(text: Any, what: str) -> Any:
    """Which clean texts look like a ``"number"``, a ``"date"``, or a number with a ``"decimal comma"``."""
    patterns = {"number": _NUMBER, "date": _DATE, "decimal comma": _DECIMAL_COMMA}
    return pc.match_substring_regex(text, patterns[what])


def share_of(text: Any, what: str) -> float:
    """Share of the clean texts that look like `what`."""
    return float(pc.mean(looks_like(text, what).cast(pa.float64())).as_py() or 0.0)


def _works(convert: Callable[[Any], Any], cells: Any) -> bool:
    try:
        convert(cells)
    except (pa.ArrowInvalid, UnreadableCellError):
        return False
    return True


def _first_that_works(text: Any, wanted: str, *conversions: Callable[[Any], Any]) -> Any:
    for convert in conversions:
        try:
            return convert(text)
        except pa.ArrowInvalid:
            continue
    low, high = 0, len(text)  # text[:low] converts, text[:high] does not: halve until they meet at the first bad cell
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _works(conversions[-1], text[low:middle]) else (low, middle)
    raise UnreadableCellError(low, text[low].as_py(), wanted)


def _first_present(cells: Any) -> tuple[int, Any]:
    index = pc.index(pc.is_valid(cells), True).as_py()
    return max(index, 0), cells[max(index, 0)].as_py() if len(cells) else None


def _text_to_integers(text: Any) -> Any:
    return text.cast(pa.int64())


def _text_to_floats(text: Any) -> Any:
    return text.cast(pa.float64())


def _text_to_moments(text: Any) -> Any:
    wall_clock = pc.replace_substring_regex(text, pattern=_OFFSET, replacement=r"\1")
    return pc.replace_substring_regex(wall_clock, pattern=_FINER_THAN_MICROSECONDS, replacement=r"\1").cast(MOMENT)


def _number_text(numbers: Any) -> Any:
    """Shortest text of each number, whole floats written as integers, so that 5 and 5.0 are one level."""
    if pa.types.is_integer(numbers.type):
        return numbers.cast(pa.large_string())
    numbers = pc.if_else(pc.is_nan(numbers), pa.scalar(None, numbers.type), numbers)
    wide = numbers.cast(pa.float64())
    whole = pc.and_(pc.equal(pc.floor(wide), wide), pc.less(pc.abs(wide), _LARGE_WHOLE))
    integers = pc.if_else(whole, wide, 0.0).cast(pa.int64()).cast(pa.large_string())
    return pc.if_else(whole, integers, numbers.cast(pa.large_string()))


def _truth_text(text: Any, true: tuple[str, ...] = TRUE_WORDS, false: tuple[str, ...] = FALSE_WORDS) -> Any:
    lower = pc.utf8_lower(text)
    for words, canonical in ((true, "true"), (false, "false")):
        text = pc.if_else(pc.is_in(lower, value_set=pa.array(words, pa.large_string())), canonical, text)
    return text.cast(pa.large_string())


def _rewrite(text: Any, pattern: str, convert: Callable[[Any], Any]) -> Any:
    """Replace the texts that match and convert; leave the others, whatever stands beside them."""
    matching = pc.fill_null(pc.match_substring_regex(text, pattern), False)
    chosen = text.filter(matching)
    if not len(chosen):
        return text
    values = pc.unique(chosen)
    written = pa.chunked_array(_converted(values, convert), type=pa.large_string())
    return pc.replace_with_mask(text, matching, written.take(pc.index_in(chosen, values)).combine_chunks())


def _converted(text: Any, convert: Callable[[Any], Any]) -> list[Any]:
    """Each text converted, or as it is if it does not convert: halved until one of these is alone."""
    try:
        return [convert(text)]
    except (pa.ArrowInvalid, UnreadableCellError):
        middle = len(text) // 2
        return [text] if not middle else _converted(text[:middle], convert) + _converted(text[middle:], convert)
