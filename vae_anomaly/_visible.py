"""Text that comes from anywhere, with what would mislead its reader spelt out."""

from __future__ import annotations

import re

_STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What moves a cursor, or turns the text after it round."""

_BUT_LINES = re.compile(r"(?![\t\n])" + _STEERING.pattern)


def visible(text: str, *, lines: bool = False) -> str:
    r"""A text with what would steer a terminal, or turn the text after it round, spelt out.

    Text from right to left stays what it is. Only what overrides the direction is spelt, as it makes ``exe.txt`` of
    ``txt.exe``.

    Parameters
    ----------
    text : str
        Such as a cell.
    lines : bool, default=False
        Keep ends of lines, and tabs: for where they can do nothing but part words.

    Examples
    --------
    >>> print(visible("Café \x1b[2J"), visible("pay \u202etxt.exe"), visible("שלום"))
    Café \x1b[2J pay \u202etxt.exe שלום
    >>> visible("a\nb"), visible("a\nb", lines=True)
    ('a\\nb', 'a\nb')
    """
    steering = _BUT_LINES if lines else _STEERING
    return steering.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
