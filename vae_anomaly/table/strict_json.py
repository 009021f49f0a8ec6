"""Plain dataclasses to JSON values and back, trusting nothing: types are checked, nothing is looked up or executed."""

from __future__ import annotations

import math
from dataclasses import fields
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")
_NAMES = {str: "text", float: "a finite number", int: "an integer", bool: "true or false"}


def dump(value: Any) -> dict[str, Any]:
    """The fields of a dataclass of numbers, texts and tuples of them, as JSON values."""
    items = {field.name: getattr(value, field.name) for field in fields(value)}
    return {name: list(item) if isinstance(item, tuple) else item for name, item in items.items()}


def load(cls: type[T], data: Any, path: str) -> T:
    """Build a dataclass from what `dump` wrote.

    Raises
    ------
    ValueError
        With the path of the value, what was expected there, and what was found.
    """
    hints = _hints(cls)  # type: ignore[arg-type]
    check_keys(data, set(hints), path)
    items = {name: _value(data[name], hint, f"{path}.{name}") for name, hint in hints.items()}
    try:
        return cls(**items)
    except ValueError as error:
        raise ValueError(f"At {path}: {error}.") from None


def check_keys(data: Any, expected: set[str], path: str) -> None:
    """Raise a `ValueError` unless `data` is a mapping with exactly the expected keys."""
    if not isinstance(data, dict):
        raise mismatch(path, "an object", data)
    if set(data) != expected:
        raise ValueError(f"At {path}: expected the keys {sorted(expected)}, found {sorted(map(str, data))}.")


def mismatch(path: str, expected: str, found: Any) -> ValueError:
    """The error for a value of the wrong type."""
    shown = repr(found)
    return ValueError(f"At {path}: expected {expected}, found {shown if len(shown) < 60 else shown[:57] + '...'}.")


@cache
def _hints(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in fields(cls)}


def _value(data: Any, hint: Any, path: str) -> Any:
    if get_origin(hint) is UnionType:  # X | None
        return None if data is None else _value(data, get_args(hint)[0], path)
    if get_origin(hint) is tuple:
        return _items(data, get_args(hint), path)
    if hint is float and isinstance(data, int | float) and not isinstance(data, bool):
        if abs(data) < math.inf and abs(data) <= 1.7976931348623157e308:
            return float(data)
    elif issubclass(hint, StrEnum):
        if isinstance(data, str) and data in list(hint):
            return hint(data)
        raise mismatch(path, " or ".join(repr(str(option)) for option in hint), data)
    elif type(data) is hint:
        return data
    raise mismatch(path, _NAMES[hint], data)


def _items(data: Any, hints: tuple[Any, ...], path: str) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise mismatch(path, "a list", data)
    if hints[-1] is not ... and len(data) != len(hints):
        raise mismatch(path, f"a list of {len(hints)}", data)
    return tuple(_value(item, hints[0], f"{path}[{index}]") for index, item in enumerate(data))
