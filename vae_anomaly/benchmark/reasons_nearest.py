"""`nearest_normal` on rows that alert: whether what it suggests does, and how much it changes beside a greedy peer."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from vae_anomaly.benchmark.measuring import few_threads
from vae_anomaly.benchmark.reasons import ReasonRun, Sizes, cases, fitted
from vae_anomaly.benchmark.reasons_planting import read_planting
from vae_anomaly.benchmark.table import say

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly.detector import VAEDetector

NEAREST = "nearest"
OURS, GREEDY = "nearest_normal", "greedy"
STILL_ALERT, COLUMNS, MORE, SECONDS = "still alert", "columns changed", "more than greedy", "seconds per 1,000 alerts"
OWN, WITH_CAUSE = "training rows", "planted causes"

_MOST = 300


def run_nearest(names: Sequence[str], data_dir: Path | None, *, seeds: int = 1, sizes: Sizes) -> list[ReasonRun]:
    """Ask for the nearest row that would not alert, of rows above `offset_`: training rows, and planted causes.

    Parameters
    ----------
    names : sequence of str
        Keys of `vae_anomaly.benchmark.reasons_planting.PLANTING_SETS`.
    data_dir : Path or None
        Where files are.
    seeds : int, default=1
        How many: 0, 1, ...
    sizes : Sizes
        How much is measured.

    Returns
    -------
    list of ReasonRun
        Shares of rows that still alert, columns changed, and seconds.
    """
    runs: list[ReasonRun] = []
    for name in names:
        for seed in range(seeds):
            say(f"nearest normal rows of {name}, seed {seed} ...")
            try:
                with few_threads(), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    rows = read_planting(name, data_dir, sizes.train, sizes.normal, seed)
                    explained, _, quiet = fitted(rows, seed, sizes)
                    wrong = [planted.rows for _, planted in cases(explained, quiet, seed, sizes.planted)]
                    for case, some in ((OWN, [rows.train]), (WITH_CAUSE, wrong)):
                        alerts = _alerts(explained.detector, some)
                        if len(alerts):
                            runs += _of_alerts(
                                ReasonRun(NEAREST, name, case, OURS, "", seed), explained.detector, alerts
                            )
            except Exception as error:  # the others still count
                say(f"failed: {error}")
                runs.append(
                    ReasonRun(NEAREST, name, "–", OURS, STILL_ALERT, seed, failure=f"{type(error).__name__}: {error}")
                )
    return runs


def _alerts(detector: VAEDetector, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """At most `_MOST` rows that alert, spread over the tables."""
    import pandas as pd

    rows = pd.concat(tables, ignore_index=True)
    alerts = np.flatnonzero(detector.predict(rows) == -1)
    return rows.iloc[alerts[:: -(-len(alerts) // _MOST) or 1]].reset_index(drop=True)


def _of_alerts(run: ReasonRun, detector: VAEDetector, alerts: pd.DataFrame) -> Iterator[ReasonRun]:
    """The rows that come back are scored anew: nothing is taken from what the method says of them."""
    from vae_anomaly.benchmark.greedy import greedy_normal

    run = replace(run, rows=len(alerts))
    start = perf_counter()
    changes, normal = detector.nearest_normal(alerts, return_rows=True)
    seconds = perf_counter() - start
    still = float((detector.predict(normal) == -1).mean())
    start = perf_counter()
    greedy = greedy_normal(detector, alerts)
    greedy_seconds = perf_counter() - start
    in_vain = greedy.loc[greedy["new_score"] > -detector.offset_, "row"].nunique()
    ours, theirs = (np.bincount(lines["row"].to_numpy(), minlength=len(alerts)) for lines in (changes, greedy))
    for method, quantity, value in (
        (OURS, STILL_ALERT, still),
        (OURS, COLUMNS, ours.mean()),
        (OURS, MORE, (ours > theirs).mean()),
        (OURS, SECONDS, 1_000 * seconds / len(alerts)),
        (GREEDY, STILL_ALERT, in_vain / len(alerts)),
        (GREEDY, COLUMNS, theirs.mean()),
        (GREEDY, SECONDS, 1_000 * greedy_seconds / len(alerts)),
    ):
        yield replace(run, method=method, quantity=quantity, value=float(value))
