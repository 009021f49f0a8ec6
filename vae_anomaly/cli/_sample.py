"""As many rows as memory is to hold, drawn from files of any size; or all of them, kept in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vae_anomaly.table.on_disk import DiskFolder

_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True, eq=False)
class Kept:
    """The rows to work on.

    Parameters
    ----------
    table : pyarrow.Table
        They.
    n_seen, n_taken : int
        Rows that there were, and those of them that were taken.
    """

    table: pa.Table
    n_seen: int
    n_taken: int


class Keeping(Protocol):
    """Which rows are taken, and where they are kept."""

    def kept(self, tables: Iterable[pa.Table], made: Callable[[pa.Table], pa.Table] = ...) -> Kept:
        """What is made of the rows taken, whichever tables they come in."""
        ...

    def set_aside(self, tables: Iterable[pa.Table], schema: pa.Schema) -> pa.Table:
        """Some of the rows taken, in the types of the files."""
        ...


def _as_it_is(table: pa.Table) -> pa.Table:
    return table


@dataclass(frozen=True)
class Drawn:
    """At most so many rows, drawn by the seed, in memory.

    Parameters
    ----------
    n_rows, seed
        As for `sampled`.
    """

    n_rows: int
    seed: int

    def kept(self, tables: Iterable[pa.Table], made: Callable[[pa.Table], pa.Table] = _as_it_is) -> Kept:
        """What is made of the rows taken."""
        table, n_seen = sampled(tables, self.n_rows, self.seed)
        return Kept(made(table), n_seen, table.num_rows)

    def set_aside(self, tables: Iterable[pa.Table], schema: pa.Schema) -> pa.Table:
        """Some of the rows taken, in the types of the files."""
        return pa.concat_tables(tables)


@dataclass(frozen=True)
class Whole:
    """All rows, in files.

    Parameters
    ----------
    folder : DiskFolder
        For the files.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from vae_anomaly.table.on_disk import on_disk
    >>> rows = pa.table({"n": range(1_000)})
    >>> with on_disk(Path(tempfile.gettempdir(), "model.vaea")) as folder:
    ...     Whole(folder).kept([rows, rows], lambda table: table.slice(1)).table.num_rows
    1998
    """

    folder: DiskFolder

    def kept(self, tables: Iterable[pa.Table], made: Callable[[pa.Table], pa.Table] = _as_it_is) -> Kept:
        """What is made of the rows taken."""
        n_rows: list[int] = []

        def counted() -> Iterator[pa.Table]:
            for table in tables:
                n_rows.append(table.num_rows)
                yield made(table)

        stored = self.folder.stored(counted())
        return Kept(stored, sum(n_rows), sum(n_rows))

    def set_aside(self, tables: Iterable[pa.Table], schema: pa.Schema) -> pa.Table:
        """Some of the rows taken, in the types of the files."""
        return self.folder.stored((table.cast(schema) for table in tables), long_texts=False)


def parts(table: pa.Table) -> Iterator[pa.Table]:
    """The rows of a table that may be larger than memory, some at a time."""
    for start in range(0, max(1, table.num_rows), _ROWS_AT_ONCE):
        yield table.slice(start, _ROWS_AT_ONCE)


def where(table: pa.Table, chosen: NDArray[np.bool_]) -> Iterator[pa.Table]:
    """The chosen ones of them."""
    start = 0
    for part in parts(table):
        yield part.filter(pa.array(chosen[start : start + part.num_rows]))
        start += part.num_rows


def sampled(tables: Iterable[pa.Table], n_rows: int, seed: int) -> tuple[pa.Table, int]:
    """Draw rows without replacement, all rows alike, in one pass; the rows keep their order.

    Every row gets a random number, and those with the smallest stay: how the rows come in tables changes nothing.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        Rows.
    n_rows : int
        How many to draw; all of them if there are no more.
    seed : int
        The same seed draws the same rows.

    Returns
    -------
    table : pyarrow.Table
        The rows drawn.
    n_seen : int
        How many there were.

    Examples
    --------
    >>> rows = pa.table({"n": range(1_000)})
    >>> few, n_seen = sampled(rows.to_batches(max_chunksize=64), 5, seed=0)
    >>> few.num_rows, n_seen, few.equals(sampled([rows], 5, seed=0)[0])
    (5, 1000, True)
    """
    random, n_seen = np.random.default_rng(seed), 0
    kept: list[pa.Table] = []
    numbers: list[NDArray[np.float64]] = []
    for table in tables:
        kept.append(pa.table(table))
        numbers.append(random.random(table.num_rows))
        n_seen += table.num_rows
        if sum(map(len, numbers)) > 2 * n_rows:  # seldom enough that every row is copied but a few times
            kept, numbers = _smallest(kept, numbers, n_rows)
    kept, _ = _smallest(kept, numbers, n_rows)
    return pa.concat_tables(kept), n_seen


def _smallest(
    kept: list[pa.Table], numbers: list[NDArray[np.float64]], n_rows: int
) -> tuple[list[pa.Table], list[NDArray[np.float64]]]:
    together = np.concatenate(numbers)
    if len(together) <= n_rows:
        return kept, numbers
    chosen = np.zeros(len(together), dtype=bool)
    chosen[np.argsort(together, kind="stable")[:n_rows]] = True
    return [pa.concat_tables(kept).filter(pa.array(chosen)).combine_chunks()], [together[chosen]]
