"""``python -m vae_anomaly.benchmark behavior``: what the past of cards is worth to detectors, and what it costs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from vae_anomaly.benchmark.behavior_sets import ALL_KNOWN, HANDBOOK, BehaviorSet, oracle, sets
from vae_anomaly.benchmark.detectors import DETECTORS, OURS, check_installed, detector
from vae_anomaly.benchmark.environment import environment, show_environment
from vae_anomaly.benchmark.measuring import measure
from vae_anomaly.benchmark.payment_suites import PAYMENT_SUITES
from vae_anomaly.benchmark.process import run_module
from vae_anomaly.benchmark.rows import Rows, prepare
from vae_anomaly.benchmark.table import figure, say, show, write_runs
from vae_anomaly.errors import VaeAnomalyError

PEERS = ("IsolationForest", "kNN")
ROWS, PANDAS_ROWS = 10_000_000, 300_000
_METRICS = (
    *("roc_auc", "average_precision", "precision_at_100_per_day", "card_precision_at_100"),
    "amount_recall_at_100_per_day",
)
_MB = 1e6


@dataclass(frozen=True)
class BehaviorRun:
    """One detector on one set of columns, with one seed; or one measurement of speed.

    Parameters
    ----------
    suite, columns, detector : str
        Their names.
    seed : int
        Of the detector.
    n_columns, n_train, n_train_anomalies, n_test, n_test_anomalies : int
        What it was given; labels are never shown.
    roc_auc, average_precision : float or None
        On the test rows.
    precision_at_100_per_day, card_precision_at_100, amount_recall_at_100_per_day : float or None
        What a team finds that can look at 100 payments, or cards, a day.
    rows_per_second, peak_bytes, remembered : float or None
        Of the features, on one core.
    """

    suite: str
    columns: str
    detector: str
    seed: int = 0
    n_columns: int = 0
    n_train: int = 0
    n_train_anomalies: int = 0
    n_test: int = 0
    n_test_anomalies: int = 0
    roc_auc: float | None = None
    average_precision: float | None = None
    precision_at_100_per_day: float | None = None
    card_precision_at_100: float | None = None
    amount_recall_at_100_per_day: float | None = None
    rows_per_second: float | None = None
    peak_bytes: float | None = None
    remembered: float | None = None

    def to_row(self) -> dict[str, Any]:
        """A row of the tidy table."""
        return asdict(self)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark, output and seeds aside."""
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="without it, speed only")
    parser.add_argument("--detectors", nargs="+", choices=list(DETECTORS), default=[OURS, *PEERS], metavar="NAME")
    parser.add_argument("--rows", type=int, default=ROWS, metavar="N", help="0: speed is not measured")
    parser.set_defaults(command=behavior_command)


def behavior_command(chosen: argparse.Namespace) -> int:
    """Measure, print, write."""
    check_installed(chosen.detectors)
    there = [] if chosen.data_dir is None else sets(chosen.data_dir)
    if not there and not chosen.rows:
        raise VaeAnomalyError(
            f"--data-dir: expected handbook or sparkov in {chosen.data_dir}, found none, and no --rows."
        )
    where = environment()
    runs = list(run_behavior(there, chosen.data_dir, chosen.detectors, seeds=chosen.seeds))
    runs += list(run_volume(chosen.rows)) if chosen.rows else []
    show_environment(where)
    show_behavior(runs)
    if chosen.output is not None:
        rows = [run.to_row() for run in runs]
        write_runs(rows, where, chosen.output, benchmark="behavior", force=chosen.force)
    return 0


def run_behavior(
    there: Sequence[BehaviorSet], data_dir: Path, detectors: Sequence[str], *, seeds: int
) -> Iterator[BehaviorRun]:
    """Every detector on every set of columns, with every seed."""
    for each in there:
        rows = prepare(each.read(data_dir / each.path), PAYMENT_SUITES[each.suite], seed=0)  # by time: no seed
        for name in detectors:
            for seed in range(seeds):
                yield (run := _measured(each, name, seed, rows))
                say(f"{run.suite}, {run.columns}, {name}, seed {seed}: average precision {run.average_precision:.3f}")
        if each.suite == HANDBOOK and each is there[0]:
            yield _of_oracle(data_dir / each.path)


def run_volume(n_rows: int) -> Iterator[BehaviorRun]:
    """Speed and memory, each in a process of its own."""
    module = "vae_anomaly.benchmark.behavior_volume"
    found = run_module(module, "stream", str(n_rows)).result
    yield BehaviorRun("volume", f"{n_rows:,} rows, half a million at once", "features", **found)
    n_slice = min(PANDAS_ROWS, n_rows)
    for name, rate in run_module(module, "beside", str(n_slice)).result.items():
        yield BehaviorRun("volume", f"counts and means of {n_slice:,} rows", name, rows_per_second=rate)


def show_behavior(runs: Sequence[BehaviorRun]) -> None:
    """Print a table of figures for each protocol, and one of speed."""
    headers = [
        "columns",
        "detector",
        "n",
        "ROC AUC",
        "AP",
        "P@100 a day",
        "card P@100 a day",
        "amount recall@100 a day",
    ]
    for suite in dict.fromkeys(run.suite for run in runs if run.roc_auc is not None):
        of_suite = [run for run in runs if run.suite == suite]
        cells = [
            (*key, str(group[0].n_columns), *(figure(_mean(group, metric)) for metric in _METRICS))
            for key, group in _grouped(of_suite).items()
        ]
        show(f"{suite}: means over {len({run.seed for run in of_suite})} seed(s)", headers, cells, text_columns=2)
    volume = [run for run in runs if run.rows_per_second is not None]
    if volume:
        cells = [
            (run.columns, run.detector, figure(run.rows_per_second, 0), figure(run.remembered, 0), _megabytes(run))
            for run in volume
        ]
        show("Speed and memory", ["what", "by", "rows/s", "rows remembered", "peak MB"], cells, text_columns=2)


def _measured(each: BehaviorSet, name: str, seed: int, rows: Rows) -> BehaviorRun:
    entry = detector(name)
    figures = measure(entry.build(seed, {}), entry.score, rows, encoding=each.encoding if entry.scaled else None)
    known = {metric: figures[metric] for metric in _METRICS}
    return BehaviorRun(each.suite, each.columns, name, seed, **rows.counts, **known)


def _of_oracle(path: Path) -> BehaviorRun:
    from vae_anomaly.decision.metrics import average_precision, roc_auc

    data, score = oracle(path)
    test = PAYMENT_SUITES[HANDBOOK].split(data, 0).test
    rows = prepare(data, PAYMENT_SUITES[HANDBOOK], seed=0)
    figures: dict[str, Any] = {
        "roc_auc": roc_auc(rows.y, score[test]),
        "average_precision": average_precision(rows.y, score[test]),
    }
    if rows.payments is not None:
        figures |= rows.payments.figures(rows.y, score[test])
    counts = {**rows.counts, "n_columns": 0}
    return BehaviorRun(HANDBOOK, ALL_KNOWN, "–", **counts, **figures)


def _grouped(runs: Sequence[BehaviorRun]) -> dict[tuple[str, str], list[BehaviorRun]]:
    groups: dict[tuple[str, str], list[BehaviorRun]] = {}
    for run in runs:
        groups.setdefault((run.columns, run.detector), []).append(run)
    return groups


def _mean(runs: Sequence[BehaviorRun], metric: str) -> float:
    return fmean(getattr(run, metric) for run in runs)


def _megabytes(run: BehaviorRun) -> str:
    return figure(None if run.peak_bytes is None else run.peak_bytes / _MB, 0)
