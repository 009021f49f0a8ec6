"""Texts of a table as a page can show them without being misled by them."""

from __future__ import annotations

import re
from typing import Any

_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(value: Any) -> Any:
    r"""A text with what would turn the text after it round, or has no shape, spelt out; anything else as it is.

    Text from right to left stays what it is. Only what overrides the direction is spelt, as it makes ``exe.txt`` of
    ``txt.exe``.

    Examples
    --------
    >>> print(visible("pay \u202etxt.exe"))
    pay \u202etxt.exe
    >>> visible("שלום"), visible(3.5)
    ('שלום', 3.5)
    """
    return _STEERING.sub(_spelt, value) if type(value) is str else value  # markup, which is our own, is another type


def all_visible(value: Any) -> Any:
    """JSON values with every text in them, keys included, made visible."""
    if isinstance(value, dict):
        return {visible(name): all_visible(item) for name, item in value.items()}
    if isinstance(value, list):
        return [all_visible(item) for item in value]
    return visible(value)


def _spelt(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
