"""As many rows as memory is to hold, drawn from files of any size."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


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
