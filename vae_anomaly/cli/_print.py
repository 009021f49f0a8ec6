"""What commands print: results on standard output, remarks on standard error."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from vae_anomaly._visible import visible

_WIDTH_OF_A_FILE = 140  # where standard output is no terminal
_LEAST_TEXT = 20  # characters of a text cell that are shown even where space is short
_GAP = 3  # characters between columns


def note(text: str) -> None:
    """Print a remark that is no result."""
    show_text(f"note: {text}", sys.stderr)


def show_text(text: str, file: TextIO | None = None) -> None:
    """Print lines, such as those of a report."""
    print("\n".join(map(visible, text.split("\n"))), file=file)


def emit_json(value: Any) -> None:
    """Print one JSON object."""
    print(json_text(value))


def json_text(value: Any) -> str:
    """A JSON object in one line; what JSON cannot say (NaN, infinity) is null.

    Examples
    --------
    >>> print(json_text({"score": float("nan"), "city": "Málaga"}))
    {"score": null, "city": "Málaga"}
    """
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def show_table(title: str, headers: Sequence[str], rows: Iterable[Sequence[Any]], *, left: Sequence[str] = ()) -> None:
    """Print rows as a table; columns named in `left` hold text, the others numbers."""
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table

    console = Console(width=page_width(), markup=False, emoji=False, highlight=False)
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    texts = [[cell_text(cell) for cell in row] for row in rows]
    names = [visible(name) for name in headers]
    widest = [max(map(cell_len, column)) for column in zip(names, *texts, strict=True)]
    text = [name in left for name in headers]
    for name, width, is_text in zip(names, _fitting(widest, text), text, strict=True):
        table.add_column(
            name,
            justify="left" if is_text else "right",
            no_wrap=True,
            overflow="ellipsis",
            min_width=width,
            max_width=width,
        )
    for row in texts:
        table.add_row(*row)
    console.print(table)


def _fitting(widest: Sequence[int], text: Sequence[bool]) -> list[int]:
    """Widths with which a table fits on the page: numbers are never cut, text columns share what is left.

    Examples
    --------
    >>> _fitting([7, 5, 400, 300], [False, True, True, True])
    [7, 5, 58, 58]
    """
    widths = list(widest)
    columns = sorted((place for place, is_text in enumerate(text) if is_text), key=lambda place: widest[place])
    left = page_width() - _GAP * len(widths) - sum(widths) + sum(widths[place] for place in columns)
    for n_done, place in enumerate(columns):
        share = max(left // (len(columns) - n_done), _LEAST_TEXT)
        widths[place] = min(widest[place], share)
        left -= widths[place]
    return widths


def show_facts(facts: Mapping[str, Any]) -> None:
    """Print names and values, one pair a line."""
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        print(f"{name:<{width}}  {cell_text(value)}")


def page_width() -> int:
    """Characters in a line of standard output."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH_OF_A_FILE


def cell_text(value: Any) -> str:
    """A value as people read it.

    Examples
    --------
    >>> [cell_text(value) for value in (1234567, 0.123456, None, True, "x", 12345.678)]
    ['1,234,567', '0.123', '', 'yes', 'x', '12,346']
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 0.001 else f"{value:,.3f}"
    return visible(str(value))


def _plain(value: Any) -> Any:
    """The same value in types that JSON has."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays, without importing numpy
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)
