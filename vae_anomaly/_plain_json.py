"""JSON that one side writes and the other reads alike: what the writer refuses, the reader refuses too."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

_MAX_DEPTH = 64
_MOST_SHOWN = 200


def canonical(value: Any) -> bytes:
    """The one text that a value has.

    Examples
    --------
    >>> canonical({"b": 1, "a": [True, None]})
    b'{"a":[true,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def plain(value: Any, *where: str | int) -> Any:
    """`value` as dicts, lists, strings, booleans, None, 64-bit integers and finite numbers, or a ValueError."""
    if len(where) > _MAX_DEPTH:
        raise ValueError(f"values nested more than {_MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError(f"an object at {shown(where)} whose keys are not all strings")
        return {key: plain(item, *where, key) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, *where, index) for index, item in enumerate(value)]
    if value is None or isinstance(value, (str, bool)):
        return value
    if (isinstance(value, int) and -(2**63) <= value < 2**64) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError(f"{shown(value)} of type {type(value).__name__} at {shown(where)}")


def parse(text: bytes) -> Any:
    """What a text describes.

    Raises
    ------
    ValueError, RecursionError
        It is not plain JSON, or an object has a key twice.
    """
    parsed = json.loads(text.decode("utf-8"), object_pairs_hook=_without_duplicates)
    plain(parsed)  # json itself lets NaN, infinities and numbers of any length through
    return parsed


def shown(value: Any) -> str:
    """A value in a message, cut if it is long."""
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "..."


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {shown(name)} twice in one object")
    return result
