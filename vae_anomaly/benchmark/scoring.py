"""Rows per second of scoring a table in memory, beside peers, and beside what this machine can multiply at all."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from vae_anomaly.benchmark.bars import Bar
from vae_anomaly.benchmark.detectors import OURS, check_installed, detector
from vae_anomaly.benchmark.environment import environment, show_environment
from vae_anomaly.benchmark.process import run_task
from vae_anomaly.benchmark.table import figure, say, show, write_runs
from vae_anomaly.benchmark.timing import synthetic_table

FOREST, VAE = "IsolationForest", "PyOD-VAE"
FASTER_THAN_VAE = 5.0
_SIDE, _PRODUCTS = 2_048, 5
_BILLION = 1e9


@dataclass(frozen=True)
class ScoringRun:
    """One detector, fitted on some rows, and its scores of many.

    Parameters
    ----------
    detector : str
        Its name.
    rows, columns : int
        Of the table that is scored.
    rows_per_second : float
        Median over the repeats.
    flops_per_row : float or None
        Multiplications and additions in the matrix products of a row's score, where they are known.
    """

    detector: str
    rows: int
    columns: int
    rows_per_second: float
    flops_per_row: float | None = None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``scoring``."""
    parser.set_defaults(command=scoring_command)
    parser.add_argument("--rows", type=int, default=1_000_000, metavar="N", help="rows that are scored")
    parser.add_argument("--columns", type=int, default=30, metavar="N", help="columns of the table")
    parser.add_argument("--fit-rows", type=int, default=5_000, metavar="N", help="rows that detectors are fitted on")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="turns of all detectors")


def scoring_command(chosen: argparse.Namespace) -> int:
    """Measure, print, write."""
    where = environment()
    runs = run_scoring(chosen.rows, chosen.columns, chosen.fit_rows, chosen.repeats)
    peak = run_task("peak")["flops_per_second"]
    show_environment(where)
    show_scoring(runs, peak)
    if chosen.output is not None:
        write_runs([asdict(run) for run in runs], where, chosen.output, benchmark="scoring", force=chosen.force)
    return 0


def run_scoring(n_rows: int, n_columns: int, n_fitted: int, repeats: int) -> list[ScoringRun]:
    """Measure ours and the peers by turns, each in a process of its own."""
    names = (OURS, FOREST, VAE)
    check_installed(names)
    found: dict[str, list[Mapping[str, Any]]] = {name: [] for name in names}
    for turn in range(repeats):
        for name in names:
            say(f"scoring {n_rows:,} x {n_columns} by {name}, turn {turn + 1} of {repeats} ...")
            task = {"name": name, "n_rows": n_rows, "n_columns": n_columns, "n_fitted": n_fitted, "seed": turn}
            found[name].append(run_task("scoring", **task))
    return [
        ScoringRun(
            name,
            n_rows,
            n_columns,
            median(n_rows / of["score_seconds"] for of in turns),
            turns[0]["flops_per_row"],
        )
        for name, turns in found.items()
    ]


def show_scoring(runs: Sequence[ScoringRun], peak: float) -> None:
    """Print rows per second, ratios to ours, the share of the peak, and the bars."""
    ours = next(run for run in runs if run.detector == OURS)
    headers = ["detector", "rows", "rows/s", "ours is faster by", "of the machine's products, %"]
    rows = [
        (
            run.detector,
            f"{run.rows:,} x {run.columns}",
            figure(run.rows_per_second, 0),
            figure(ours.rows_per_second / run.rows_per_second, 2),
            "–" if run.flops_per_row is None else figure(100 * run.flops_per_row * run.rows_per_second / peak, 0),
        )
        for run in runs
    ]
    show(f"Scores in memory; matrix products at best {peak / _BILLION:.0f} GFLOP/s", headers, rows, text_columns=2)
    verdicts = [(bar.text, bar.measured, bar.verdict) for bar in bars(runs)]
    show("Bars", ["bar", "measured", "verdict"], verdicts, text_columns=1)


def bars(runs: Sequence[ScoringRun]) -> list[Bar]:
    """Rows per second at least those of IsolationForest on all cores, and five times those of PyOD's VAE.

    Examples
    --------
    >>> speeds = {"VAEDetector": 400.0, "IsolationForest": 300.0, "PyOD-VAE": 100.0}
    >>> [bar.verdict for bar in bars([ScoringRun(name, 9, 3, speed) for name, speed in speeds.items()])]
    ['met', 'NOT met']
    """
    speed = {run.detector: run.rows_per_second for run in runs}
    ratios = {name: speed[OURS] / speed[name] for name in (FOREST, VAE)}
    wanted = {FOREST: 1.0, VAE: FASTER_THAN_VAE}
    return [
        Bar(f"{least:g} times the rows/s of {name}", f"{ratios[name]:.2f} times", ratios[name] >= least)
        for name, least in wanted.items()
    ]


def time_scoring(name: str, n_rows: int, n_columns: int, n_fitted: int, seed: int) -> dict[str, Any]:
    """Fit on some rows, score a part to warm up, then time the scores of all; in this process.

    Examples
    --------
    >>> sorted(time_scoring("IsolationForest", 200, 4, 100, 0))
    ['flops_per_row', 'score_seconds']
    """
    table, entry = synthetic_table(n_rows, n_columns), detector(name)
    estimator = entry.build(seed, {}).fit(table[:n_fitted])
    entry.score(estimator, table[: max(1, n_rows // 20)])
    start = perf_counter()
    entry.score(estimator, table)
    return {"score_seconds": perf_counter() - start, "flops_per_row": _flops(estimator) if name == OURS else None}


def _flops(estimator: Any) -> float:
    """Of the layers and of the exemplars; a multiplication and an addition for each weight."""
    weights = [weight for name, weight in estimator.model_.named_parameters() if name.endswith(".weight")]
    return float(2 * (sum(weight.numel() for weight in weights) + estimator.model_.prior.mu.numel()))


def peak() -> dict[str, float]:
    """Multiply large float32 matrices by torch and by NumPy on all cores; the faster of the two counts.

    Examples
    --------
    >>> peak()["flops_per_second"] > 0
    True
    """
    import torch

    square = np.random.default_rng(0).normal(size=(_SIDE, _SIDE)).astype(np.float32)
    tensor = torch.from_numpy(square)
    seconds = []
    for _ in range(_PRODUCTS):
        for product in (lambda: tensor @ tensor, lambda: square @ square):
            start = perf_counter()
            product()
            seconds.append(perf_counter() - start)
    return {"flops_per_second": 2 * _SIDE**3 / min(seconds)}
