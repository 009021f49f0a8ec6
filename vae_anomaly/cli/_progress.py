"""How far a run is, on a terminal only."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from vae_anomaly.table.chunk import Place


class Shown(Protocol):
    """Takes what is done so far."""

    def __call__(self, place: Place, rows: int, alerts: int) -> None:
        """Show it."""
        ...


@contextmanager
def progress(files: Sequence[str], n_before: int) -> Iterator[Shown]:
    """A line on standard error: files, rows, rows a second and alerts.

    Parameters
    ----------
    files : sequence of str
        What is read.
    n_before : int
        Rows that an earlier run did, which say nothing of the speed of this one.

    Examples
    --------
    >>> with progress(["payments.csv"], 0) as show:
    ...     show(Place(total=1_000), 1_000, 3)
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(file=sys.stderr)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("scoring", total=None)

        def show(place: Place, rows: int, alerts: int) -> None:
            seconds = bar.tasks[0].elapsed or 0.0
            speed = f", {(rows - n_before) / seconds:,.0f} rows/s" if seconds > 0 else ""
            which = f"file {place.source + 1} of {len(files)}, " if len(files) > 1 else ""
            bar.update(
                task, description=f"scoring {which}{_share(files, place)}{rows:,} rows{speed}, {alerts:,} alerts"
            )

        yield show


def _share(files: Sequence[str], place: Place) -> str:
    """How much of a file is read, where that can be told: of one that is neither compressed nor Parquet."""
    file = files[place.source]
    if not file.lower().endswith((".csv", ".tsv", ".txt")) or not os.path.isfile(file):
        return ""
    return f"{min(place.offset / max(os.path.getsize(file), 1), 1.0):.0%}, "
