"""One tidy table, a row for each measured run, to a file; and its summary in Markdown, to people."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from vae_anomaly.benchmark.environment import Environment

_WIDTH = 240


def write_runs(
    rows: Sequence[Mapping[str, Any]], where: Environment, target: str, *, benchmark: str, force: bool = False
) -> None:
    """Write one row a run, each with its environment.

    Parameters
    ----------
    rows : sequence of mapping
        The runs, all with the same names. One that says where it was measured itself is believed.
    where : Environment
        Where they were measured.
    target : str
        CSV or Parquet by extension.
    benchmark : str
        Which one, the first column.
    force : bool, default=False
        Whether an existing file may be replaced.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    import pyarrow as pa

    from vae_anomaly.table.io import write_table

    table = pa.Table.from_pylist([{"benchmark": benchmark, **row, **asdict(where), **row} for row in rows])
    write_table(table, target, force=force)


def check_output(target: str | None, *, force: bool = False) -> None:
    """Raise an `OutputError` before the first measurement if `write_runs` could not write afterwards."""
    if target is not None:
        from vae_anomaly.table.io import check_target

        check_target(target, force=force)


def show(title: str, headers: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: int) -> None:
    """Print a table that can be pasted into Markdown.

    Parameters
    ----------
    title : str
        A line above it.
    headers : sequence of str
        Names of the columns.
    rows : iterable of sequence of str
        Cells.
    text_columns : int
        How many columns, from the left, hold text; the others are numbers.

    Examples
    --------
    >>> show("Speed", ["detector", "seconds"], [["VAEDetector", "1.2"]], text_columns=1)
    <BLANKLINE>
    Speed
    <BLANKLINE>
    | detector    | seconds |
    |-------------|---------|
    | VAEDetector |     1.2 |
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.MARKDOWN)
    for index, header in enumerate(headers):
        table.add_column(header, justify="left" if index < text_columns else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    print(f"\n{title}\n")
    with (console := Console(width=_WIDTH, markup=False, emoji=False, highlight=False)).capture() as captured:
        console.print(table)
    print(*(line.rstrip() for line in captured.get().splitlines() if line.strip()), sep="\n")


def figure(value: float | None, digits: int = 3) -> str:
    """A number, or a dash where there is none.

    Examples
    --------
    >>> figure(0.12345), figure(1234.5, 0), figure(None)
    ('0.123', '1,234', '–')
    """
    return "–" if value is None else f"{value:,.{digits}f}"


def say(text: str) -> None:
    """Print a line of progress; standard output carries results only."""
    print(text, file=sys.stderr, flush=True)
