"""``python -m vae_anomaly.benchmark reasons``: its options, and how its results are shown."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from pathlib import Path
from statistics import median

from vae_anomaly.benchmark import files
from vae_anomaly.benchmark.environment import environment, show_environment
from vae_anomaly.benchmark.reasons import (
    ALERTING,
    ALL,
    FULL,
    OF_SHAP,
    OF_SHAP_ALERTING,
    PLANTED,
    QUICK,
    SECONDS,
    ReasonRun,
    Sizes,
    check_peers,
    run_planted,
)
from vae_anomaly.benchmark.reasons_additivity import ADDITIVE_FILES, ADDITIVITY, MOST, run_additivity
from vae_anomaly.benchmark.reasons_explainers import CONDITIONAL, EXPLAINERS, PLAIN, SHAP
from vae_anomaly.benchmark.reasons_nearest import COLUMNS, GREEDY, MORE, NEAREST, OURS, STILL_ALERT, run_nearest
from vae_anomaly.benchmark.reasons_nearest import SECONDS as NEAREST_SECONDS
from vae_anomaly.benchmark.reasons_planting import PLANTING_SETS
from vae_anomaly.benchmark.reasons_timing import COMMANDS, EXPLAIN, MOST_RATIO, RATIO, TIME, run_time
from vae_anomaly.benchmark.table import figure, say, show, write_runs
from vae_anomaly.errors import ParameterError

PARTS = (ADDITIVITY, PLANTED, NEAREST, TIME)
LEAST_SHAP_RATIO = 100.0
"""The bar: times as fast as SHAP, per row."""

_TOGETHER = "all tables"
_GIVE_FILES = "Give --data-dir, and name them if you name tables."
_CLEAR = 2.0
"""Standard errors from which on a difference is one."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark, output and seeds aside."""
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="without it, simulated tables only")
    parser.add_argument("--only", nargs="+", choices=list(PLANTING_SETS), metavar="NAME", help="tables")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--quick", action="store_true", help="to see that it runs: the figures say nothing")
    parser.set_defaults(command=reasons_command)


def reasons_command(chosen: argparse.Namespace) -> int:
    """Measure, print, write."""
    names = tables(chosen.only, chosen.data_dir)
    if PLANTED in chosen.parts:
        check_peers()
    where = environment()
    runs = measured(chosen.parts, names, chosen.data_dir, seeds=chosen.seeds, sizes=QUICK if chosen.quick else FULL)
    if not runs:
        raise ParameterError(f"--parts {ADDITIVITY}: expected {' or '.join(ADDITIVE_FILES)}, found none. {_GIVE_FILES}")
    show_environment(where)
    show_reasons(runs)
    if chosen.output is not None:
        rows = [run.to_row() for run in runs]
        write_runs(rows, where, chosen.output, benchmark="reasons", force=chosen.force)
    failed = [run for run in runs if run.failure is not None]
    for run in failed:
        print(f"error: {run.part}, {run.data}, seed {run.seed}: {run.failure}", file=sys.stderr)
    return 1 if failed else 0


def tables(only: Sequence[str] | None, data_dir: Path | None) -> list[str]:
    """The tables that are there: simulated ones, and those whose files are in the folder.

    Raises
    ------
    ParameterError
        If a file is asked for by name and no folder is given.

    Examples
    --------
    >>> tables(None, None)
    ['correlated numbers', 'mixed columns', 'simulated payments']
    """
    of_files = [name for name, entry in PLANTING_SETS.items() if entry.path is not None]
    asked = list(PLANTING_SETS) if only is None else list(only)
    if data_dir is None:
        if only is not None and set(only) & set(of_files):
            raise ParameterError(f"--only {', '.join(only)}: expected --data-dir with the files, found none. Give it.")
        return [name for name in asked if name not in of_files]
    wanted = [name for name in asked if name in of_files]
    there = files.present(wanted, data_dir) if wanted else []
    return [name for name in asked if name not in of_files or name in there]


def measured(
    parts: Sequence[str], names: Sequence[str], data_dir: Path | None, *, seeds: int, sizes: Sizes
) -> list[ReasonRun]:
    """The parts, one after the other."""
    additive = [name for name in names if name in ADDITIVE_FILES]
    if ADDITIVITY in parts and not additive:
        say(f"left out {ADDITIVITY}: it is about the rows of {' and '.join(ADDITIVE_FILES)}. {_GIVE_FILES}")
    measure: dict[str, Callable[[], list[ReasonRun]]] = {
        ADDITIVITY: lambda: run_additivity(additive, data_dir or Path(), sizes=sizes),
        PLANTED: lambda: run_planted(names, data_dir, seeds=seeds, sizes=sizes),
        NEAREST: lambda: run_nearest(names, data_dir, seeds=seeds, sizes=sizes),
        TIME: lambda: run_time(sizes=sizes),
    }
    return [run for part in PARTS if part in parts for run in measure[part]()]


def show_reasons(runs: Sequence[ReasonRun]) -> None:
    """Print a table for each part that was measured."""
    runs = [run for run in runs if run.failure is None]
    of_part = {part: [run for run in runs if run.part == part] for part in PARTS}
    for part, show_part in (
        (ADDITIVITY, _show_additivity),
        (PLANTED, _show_planted),
        (NEAREST, _show_nearest),
        (TIME, _show_time),
    ):
        if of_part[part]:
            show_part(of_part[part])


@dataclass(frozen=True)
class Share:
    """A share of rows, over all seeds.

    Parameters
    ----------
    value : float
        Mean over rows.
    rows : int
        How many.
    """

    value: float
    rows: int

    @property
    def error(self) -> float:
        """Standard error, as if rows were independent; a row more of each kind keeps it above 0 at 0 and 1.

        Examples
        --------
        >>> round(Share(0.5, 98).error, 3), Share(1.0, 98).error > 0
        (0.05, True)
        """
        value = (self.value * self.rows + 1) / (self.rows + 2)
        return sqrt(value * (1 - value) / (self.rows + 2))

    def text(self) -> str:
        """In percent."""
        return f"{100 * self.value:.1f} ± {100 * self.error:.1f}"


def pooled(runs: Iterable[ReasonRun]) -> Share | None:
    """The share of all rows of several runs; None without rows.

    Examples
    --------
    >>> of_seeds = [ReasonRun("planted", "", "", "", ALL, rows=n, value=v) for n, v in ((30, 1.0), (10, 0.0))]
    >>> pooled(of_seeds).text(), pooled([])
    ('75.0 ± 6.8', None)
    """
    known = [(run.value, run.rows) for run in runs if run.value is not None and run.rows]
    n_rows = sum(rows for _, rows in known)
    return Share(sum(value * rows for value, rows in known) / n_rows, n_rows) if n_rows else None


def standing(ours: Share, peers: Iterable[tuple[str, Share]]) -> str:
    """Whether ours is ahead of every peer, by two standard errors of the difference or by less; else of whom not.

    Examples
    --------
    >>> standing(Share(0.9, 100), [("a", Share(0.5, 100))]), standing(Share(0.5, 100), [("a", Share(0.9, 100))])
    ('ahead', 'BEHIND a')
    >>> standing(Share(0.9, 100), [("a", Share(0.91, 100)), ("b", Share(0.2, 100))])
    'level with a'
    """
    sides: dict[str, list[str]] = {"BEHIND": [], "level with": []}
    for name, peer in peers:
        difference, error = ours.value - peer.value, hypot(ours.error, peer.error)
        if difference < -_CLEAR * error:
            sides["BEHIND"].append(name)
        elif difference < _CLEAR * error:
            sides["level with"].append(name)
    return "; ".join(f"{side} {', '.join(names)}" for side, names in sides.items() if names) or "ahead"


def _show_additivity(runs: Sequence[ReasonRun]) -> None:
    rows = [
        (run.data, run.case, run.method, f"{run.rows:,}", f"{run.value:.1e}", "met" if run.value < MOST else "NOT met")
        for run in runs
        if run.value is not None
    ]
    title = f"Sum of the shares against the anomaly score, {runs[0].quantity} of any row; the bar is {MOST:g}"
    show(title, ["data", "score", "added up", "rows", "difference", "bar"], rows, text_columns=3)


def _show_planted(runs: Sequence[ReasonRun]) -> None:
    cheap = [name for name in EXPLAINERS if name != SHAP]
    _show_shares("First reason is the planted column, % of all rows", runs, ALL, cheap)
    _show_shares("The same, of the rows that alert", runs, ALERTING, cheap)
    beside = [CONDITIONAL, PLAIN, SHAP]
    _show_shares("The same, of the rows that SHAP was asked about", runs, OF_SHAP, beside)
    _show_shares("The same, of those of them that alert", runs, OF_SHAP_ALERTING, beside)
    timed = [run for run in runs if run.quantity == SECONDS]
    rows = []
    for data in dict.fromkeys(run.data for run in timed):
        ours, theirs = ([r.value or 0.0 for r in timed if (r.data, r.method) == (data, m)] for m in (CONDITIONAL, SHAP))
        ratio = median(b / a for a, b in zip(ours, theirs, strict=True) if a)
        verdict = "met" if ratio >= LEAST_SHAP_RATIO else "NOT met"
        rows.append((data, figure(1e3 * median(ours), 2), figure(1e3 * median(theirs), 0), figure(ratio, 0), verdict))
    title = f"Milliseconds per row, on the same rows, medians; the bar is {LEAST_SHAP_RATIO:g} times as fast as SHAP"
    show(title, ["data", CONDITIONAL, SHAP, "times as fast", "bar"], rows, text_columns=1)


def _show_shares(title: str, runs: Sequence[ReasonRun], scope: str, methods: Sequence[str]) -> None:
    of_scope = [run for run in runs if run.quantity == scope]
    lines = list(dict.fromkeys((run.data, run.case) for run in of_scope))
    if len({data for data, _ in lines}) > 1:
        lines += [(_TOGETHER, case) for case in dict.fromkeys(run.case for run in of_scope)]
    rows = []
    for data, case in lines:
        here = [run for run in of_scope if run.case == case and data in (run.data, _TOGETHER)]
        shares = {name: pooled(run for run in here if run.method == name) for name in methods}
        ours, known = shares[CONDITIONAL], [(name, share) for name, share in shares.items() if share is not None]
        if ours is not None:
            peers = [(name, share) for name, share in known if name not in (CONDITIONAL, PLAIN)]
            cells = ["–" if share is None else share.text() for share in shares.values()]
            rows.append((data, case, f"{ours.rows:,}", *cells, standing(ours, peers)))
    show(title, ["data", "planted", "rows", *methods, "explain is"], rows, text_columns=2)


def _show_nearest(runs: Sequence[ReasonRun]) -> None:
    rows = []
    for data, case in dict.fromkeys((run.data, run.case) for run in runs):
        here = [run for run in runs if (run.data, run.case) == (data, case)]

        def mean(method: str, quantity: str, here: Sequence[ReasonRun] = here) -> float | None:
            share = pooled(run for run in here if (run.method, run.quantity) == (method, quantity))
            return None if share is None else share.value

        n_rows = sum(run.rows for run in here if (run.method, run.quantity) == (OURS, COLUMNS))
        shares = [mean(OURS, STILL_ALERT), mean(GREEDY, STILL_ALERT), mean(OURS, MORE)]
        still, still_greedy, more = (None if share is None else 100 * share for share in shares)
        met = still == 0 and (mean(OURS, COLUMNS) or 0.0) <= (mean(GREEDY, COLUMNS) or 0.0)
        rows.append(
            (
                *(data, case, f"{n_rows:,}", figure(still, 1), figure(still_greedy, 1)),
                *(figure(mean(OURS, COLUMNS), 2), figure(mean(GREEDY, COLUMNS), 2), figure(more, 1)),
                *(figure(mean(OURS, NEAREST_SECONDS), 1), "met" if met else "NOT met"),
            )
        )
    headers = ["data", "alerts of", "rows", "still alert, %", "of greedy, %", "columns", "of greedy", "more, %"]
    title = "nearest_normal beside greedy; the bar: none alerts, and no more columns on average"
    show(title, [*headers, "s per 1,000", "bar"], rows, text_columns=2)


def _show_time(runs: Sequence[ReasonRun]) -> None:
    rows = []
    for case, data, method in dict.fromkeys((run.case, run.data, run.method) for run in runs):
        here = [run for run in runs if (run.case, run.data, run.method) == (case, data, method)]
        seconds = median(run.value for run in here if run.quantity != RATIO and run.value is not None)
        ratios = [run.value for run in here if run.quantity == RATIO and run.value is not None]
        ratio = median(ratios) if ratios else None
        barred = case == COMMANDS and method == EXPLAIN and ratio is not None
        verdict = ("met" if (ratio or 0.0) <= MOST_RATIO else "NOT met") if barred else "–"
        rows.append((case, data, method, figure(seconds, 2), figure(ratio, 2), verdict))
    title = f"Seconds of explain beside score, medians; the bar is {MOST_RATIO:g} times, for the command"
    show(title, ["", "", "", "seconds", RATIO, "bar"], rows, text_columns=3)
