"""How many payments a second get their card's past, and in how much memory: in a process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_anomaly.behavior import BehaviorFeatures
from vae_anomaly.benchmark.timing import _peak_bytes

if TYPE_CHECKING:
    import pandas as pd

ROWS_OF_A_CARD, DAYS, ROWS_AT_ONCE = 100, 180, 500_000
WINDOWS = ("1h", "1D", "7D", "30D")


def drawn(n_rows: int, at_once: int = ROWS_AT_ONCE) -> Iterator[pd.DataFrame]:
    """Payments over `DAYS` days, in order of time, some at once.

    Examples
    --------
    >>> [len(rows) for rows in drawn(2_500, at_once=1_000)]
    [1000, 1000, 500]
    """
    import pandas as pd

    rng = np.random.default_rng(0)
    for begin in range(0, n_rows, at_once):
        n = min(at_once, n_rows - begin)
        second = np.sort(rng.uniform(begin, begin + n, n)) / n_rows * DAYS * 86_400
        moment = pd.Timestamp("2025-01-01") + pd.to_timedelta(second.astype(np.int64), unit="s")
        card = rng.integers(max(1, n_rows // ROWS_OF_A_CARD), size=n)
        yield pd.DataFrame({"card_id": card, "timestamp": moment, "amount": rng.exponential(50, n).round(2)})


def stream(n_rows: int, at_once: int = ROWS_AT_ONCE) -> dict[str, Any]:
    """Features of payments that come in tables of `at_once` rows, each remembered before the next.

    Returns
    -------
    dict
        ``rows_per_second``, ``remembered`` rows at the end, ``peak_bytes`` of this process.

    Examples
    --------
    >>> sorted(stream(1_000))
    ['peak_bytes', 'remembered', 'rows_per_second']
    """
    behavior, seconds = BehaviorFeatures("card_id", "timestamp", "amount", windows=WINDOWS), 0.0
    for number, rows in enumerate(drawn(n_rows, at_once)):
        start = perf_counter()
        if number:
            behavior.update(rows)
        else:
            behavior.fit_transform(rows)
        seconds += perf_counter() - start
    remembered = len(behavior.history_.rows)
    return {"rows_per_second": n_rows / seconds, "remembered": remembered, "peak_bytes": _peak_bytes()}


def beside_pandas(n_rows: int) -> dict[str, float]:
    """Rows a second on one table, by this package and by pandas' rolling windows of each card: counts and means.

    Examples
    --------
    >>> sorted(beside_pandas(1_000))
    ['ours', 'pandas']
    """
    rows = next(drawn(n_rows, n_rows))
    start = perf_counter()
    chosen = BehaviorFeatures("card_id", "timestamp", "amount", windows=WINDOWS, features=("count", "mean"))
    chosen.fit_transform(rows)
    ours, start = perf_counter() - start, perf_counter()
    amounts = rows.set_index("timestamp").groupby("card_id")["amount"]
    for window in WINDOWS:
        rolling = amounts.rolling(window, closed="left")
        rolling.count(), rolling.mean()
    return {"ours": n_rows / ours, "pandas": n_rows / (perf_counter() - start)}


if __name__ == "__main__":
    task = {"stream": stream, "beside": beside_pandas}[sys.argv[1]]
    print(json.dumps(task(int(sys.argv[2]))))
