"""Values of a table as a page can show them without being misled by them."""

from __future__ import annotations

from typing import Any

from vae_anomaly._visible import visible


def spelt(value: Any) -> Any:
    r"""A text with what steers spelt out, anything else as it is.

    Examples
    --------
    >>> spelt("pay\n12"), spelt(3.5)
    ('pay\n12', 3.5)
    """
    return visible(value, lines=True) if type(value) is str else value  # markup, which is our own, is another type


def all_spelt(value: Any) -> Any:
    """JSON values with every text in them, keys included, spelt so."""
    if isinstance(value, dict):
        return {spelt(name): all_spelt(item) for name, item in value.items()}
    if isinstance(value, list):
        return [all_spelt(item) for item in value]
    return spelt(value)
