"""How long explanations take beside scores: in memory, and as shell commands."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_anomaly.benchmark.measuring import few_threads
from vae_anomaly.benchmark.process import run_module, time_module
from vae_anomaly.benchmark.reasons import ReasonRun, Sizes
from vae_anomaly.benchmark.table import say
from vae_anomaly.benchmark.timing import synthetic_table
from vae_anomaly.errors import VaeAnomalyError

if TYPE_CHECKING:
    import pandas as pd

TIME = "time"
COMMANDS, IN_MEMORY = "shell commands", "in memory"
SCORE, EXPLAIN = "score", "explain"
SECONDS, RATIO = "seconds", "times score"
MOST_RATIO = 2.0
"""The bar, for the command."""

_NUMBERS, _CATEGORIES = 24, 6
_LEVELS = 8
_ALERTS = 1_000


def timed_table(n_rows: int) -> pd.DataFrame:
    """Thirty columns of `synthetic_table`, six of them cut into categories.

    Examples
    --------
    >>> table = timed_table(100)
    >>> table.shape, table["category_0"].nunique()
    ((100, 30), 8)
    """
    import pandas as pd

    table = synthetic_table(n_rows, _NUMBERS + _CATEGORIES)
    columns: dict[str, Any] = {f"number_{place}": table[:, place] for place in range(_NUMBERS)}
    for place, numbers in enumerate(table[:, _NUMBERS:].T):
        edges = np.quantile(numbers, np.arange(1, _LEVELS) / _LEVELS)
        columns[f"category_{place}"] = [f"level {level}" for level in np.searchsorted(edges, numbers)]
    return pd.DataFrame(columns)


def run_time(*, sizes: Sizes) -> list[ReasonRun]:
    """Time `explain` beside `score`.

    Parameters
    ----------
    sizes : Sizes
        Rows of the table, and settings of the detector.

    Returns
    -------
    list of ReasonRun
        Seconds, and how many times as long as a score of the same rows an explanation takes.
    """
    rows = timed_table(sizes.whole)
    say("timing explain in memory ...")
    with few_threads(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runs = list(_in_memory(rows, sizes))
    say("timing the commands ...")
    try:
        return runs + list(_commands(rows, sizes))
    except VaeAnomalyError as error:
        say(f"failed: {error}")
        return [*runs, ReasonRun(TIME, f"{len(rows):,} rows", COMMANDS, EXPLAIN, SECONDS, failure=str(error))]


def _in_memory(rows: pd.DataFrame, sizes: Sizes) -> Iterator[ReasonRun]:
    from vae_anomaly.detector import VAEDetector

    detector = VAEDetector(**sizes.settings).fit(rows.head(sizes.train))
    highest = rows.iloc[np.argsort(-detector.anomaly_score(rows))[:_ALERTS]]
    for some in (highest, rows):
        run = ReasonRun(TIME, f"{len(some):,} rows", IN_MEMORY, SCORE, SECONDS, rows=len(some))
        start = perf_counter()
        detector.score_samples(some)
        yield (scored := replace(run, value=perf_counter() - start))
        for conditional, method in ((True, EXPLAIN), (False, f"{EXPLAIN}, plain")):
            start = perf_counter()
            detector.explain(some, conditional=conditional)
            yield from _beside(scored, replace(run, method=method, value=perf_counter() - start))


def _commands(rows: pd.DataFrame, sizes: Sizes) -> Iterator[ReasonRun]:
    """Each a process of its own, on a file; the two take turns, so that what slows the machine down slows both."""
    with TemporaryDirectory() as folder:
        file, train, model, out = (str(Path(folder, name)) for name in ("rows.csv", "train.csv", "m.vaea", "out.csv"))
        rows.to_csv(file, index=False)
        rows.head(sizes.train).to_csv(train, index=False)
        steps = [f"--max-steps={sizes.settings['max_steps']}"] if "max_steps" in sizes.settings else []
        run_module("vae_anomaly", "fit", train, "-o", model, "--json", *steps)
        for repeat in range(sizes.repeats):
            run = ReasonRun(TIME, f"{len(rows):,} rows", COMMANDS, SCORE, SECONDS, seed=repeat, rows=len(rows))
            took = {
                command: time_module("vae_anomaly", command, model, file, "-o", out, "--force")
                for command in (SCORE, EXPLAIN)
            }
            yield (scored := replace(run, value=took[SCORE]))
            yield from _beside(scored, replace(run, method=EXPLAIN, value=took[EXPLAIN]))


def _beside(scored: ReasonRun, run: ReasonRun) -> Iterator[ReasonRun]:
    yield run
    if scored.value and run.value:
        yield replace(run, quantity=RATIO, value=run.value / scored.value)
