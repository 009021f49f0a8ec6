"""Times that last: text as pandas writes it, such as "90min" or "7D", and how long that is."""

from __future__ import annotations

from typing import Any


class Duration:
    """A rule for parameters: the text of a time above 0."""

    def allows(self, value: Any) -> bool:
        """Whether `value` is the text of a time above 0."""
        if not isinstance(value, str):
            return False
        try:
            return microseconds(value) > 0
        except (ValueError, OverflowError):
            return False

    def __str__(self) -> str:
        return "a time above 0 such as '90min', '1h' or '7D'"


def microseconds(duration: str | None) -> int:
    """Length of a time; none is 0.

    Examples
    --------
    >>> microseconds("1h"), microseconds(None)
    (3600000000, 0)
    """
    import pandas as pd

    return 0 if duration is None else int(pd.Timedelta(duration) // pd.Timedelta(microseconds=1))
