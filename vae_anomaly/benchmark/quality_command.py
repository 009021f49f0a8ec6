"""``python -m vae_anomaly.benchmark quality``: its options, and how its results are shown."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vae_anomaly.benchmark import cache
from vae_anomaly.benchmark.detectors import DETECTORS, OURS
from vae_anomaly.benchmark.environment import environment, show_environment
from vae_anomaly.benchmark.quality import QUICK_DETECTORS, QualityRun, contestants, run_quality
from vae_anomaly.benchmark.ranking import FEWEST_SETS, METRICS, Standing, Summary, summarise
from vae_anomaly.benchmark.suites import GROUPS, SUITES, chosen_sets
from vae_anomaly.benchmark.table import figure, say, show, write_runs

_QUICK_SUITES, _QUICK_SETS = ("normal50", "contaminated"), ("quick",)
_DAILY = ("P@100 a day", "card P@100 a day", "amount recall@100 a day")
_NAMES = dict(zip(METRICS, ("ROC AUC", "AP", "AP at true rate", *_DAILY), strict=True))
_TESTED = METRICS[:2]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark, output aside."""
    parser.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="the README says what lies in it")
    parser.add_argument(
        "--suite", nargs="+", choices=list(SUITES), metavar="NAME", help=f"of {', '.join(SUITES)}; all if not given"
    )
    groups = ", ".join(GROUPS)
    parser.add_argument("--sets", nargs="+", metavar="NAME", help=f"data sets, or {groups}; all if not given")
    parser.add_argument(
        "--detectors",
        nargs="+",
        choices=list(DETECTORS),
        metavar="NAME",
        help=f"of {', '.join(DETECTORS)}; all if not given",
    )
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        type=settings,
        metavar="JSON",
        help=f"also {OURS} with other parameters, such as '{{\"beta\": 1.0}}'; may be repeated",
    )
    parser.add_argument("--seeds", type=positive, default=1, metavar="N", help="seeds 0 to N - 1")
    parser.add_argument("--quick", action="store_true", help="a few small sets and cheap peers, where not told which")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where results are kept (the user's cache folder)")
    parser.set_defaults(command=quality_command)


def quality_command(chosen: argparse.Namespace) -> int:
    """Measure, print, write."""
    quick: bool = chosen.quick
    suites = chosen.suite or (_QUICK_SUITES if quick else list(SUITES))
    sets = chosen_sets(suites, chosen.data_dir, chosen.sets or (_QUICK_SETS if quick else None))
    entrants = contestants(chosen.detectors or (QUICK_DETECTORS if quick else tuple(DETECTORS)), chosen.variant)
    folder: Path = chosen.cache or cache.default_folder()
    where = environment()
    try:
        runs = run_quality(sets, entrants, where, seeds=chosen.seeds, folder=folder)
    except KeyboardInterrupt:
        say("What was measured is kept: the same command goes on where this one stopped.")
        raise
    show_environment(where)
    show_quality(runs)
    if chosen.output is not None:
        write_runs([run.to_row() for run in runs], where, chosen.output, benchmark="quality", force=chosen.force)
    n_failed = sum(run.failure is not None for run in runs)
    if n_failed:
        print(f"error: {n_failed} of {len(runs)} fits failed; the list above says why", file=sys.stderr)
    return 1 if n_failed else 0


def show_quality(runs: Sequence[QualityRun]) -> None:
    """Print summaries, figures of each data set, and failures."""
    seeds = len({run.seed for run in runs})
    for summary in summarise(runs):
        _show_standings(summary, f"{seeds} seed{'s' if seeds > 1 else ''}")
        if len(summary.sets) > 1:
            _show_sets(summary)
        for name, why in SUITES[summary.suite].too_slow.items():
            print(f"\n{summary.suite}: {name} takes no part: {why}.")
    failed = [run for run in runs if run.failure is not None]
    if failed:
        rows = [(run.suite, run.data, str(run.seed), run.detector, _short(run.failure)) for run in failed]
        show("Failures", ["suite", "data", "seed", "detector", "why"], rows, text_columns=5)
    n_cached = sum(run.cached for run in runs)
    if n_cached:
        print(
            f"\n{n_cached} of {len(runs)} results were measured by earlier runs; the table of --output says where, at"
            " which load and with which versions."
        )


def settings(text: str) -> dict[str, Any]:
    """Parameters from a JSON object; a list becomes a tuple.

    Examples
    --------
    >>> settings('{"hidden": [64, 64]}')
    {'hidden': (64, 64)}
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a JSON object, found {text!r}: {error}") from None
    if not isinstance(found, dict) or not found:
        raise argparse.ArgumentTypeError(f"expected a JSON object with a parameter, found {text!r}")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


def positive(text: str) -> int:
    """A count from the command line.

    Examples
    --------
    >>> positive("5")
    5
    """
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number of 1 or more, found {number}")
    return number


def _show_standings(summary: Summary, seeds: str) -> None:
    for data, who in summary.left_out.items():
        print(f"\n{summary.suite}: {data} is left out of every mean: no complete figures of {who}.")
    for name in summary.absent:
        print(f"\n{summary.suite}: {name} is in no mean: it has no complete figures of any data set.")
    if not summary.standings:
        return
    metrics = list(summary.standings)
    n = len(summary.sets)
    several = n > 1  # places on one set are those of the table, and there is nothing to test over
    headers = ["detector", *(_NAMES[metric] for metric in metrics)]
    if several:
        headers += [f"{what} {_NAMES[metric]}" for metric in metrics for what in ("rank", "wins")]
        headers += [f"p {_NAMES[metric]}" for metric in _TESTED]
    headers += ["fit s", "score s"]
    rows = [_standing_row(name, summary, several=several) for name in summary.standings[metrics[0]]]
    best = ("best peer of each set", *(figure(summary.best_peer(metric)) for metric in metrics))
    rows.append(best + ("",) * (len(headers) - len(best)))
    show(f"{summary.suite}: {n} data set{'s' if several else ''}, {seeds}", headers, rows, text_columns=1)
    if several:
        print(f"\np: Wilcoxon signed-rank against {OURS} over the sets, not corrected; from {FEWEST_SETS} sets on.")


def _standing_row(name: str, summary: Summary, *, several: bool) -> tuple[str, ...]:
    found: Mapping[str, Standing] = {metric: standings[name] for metric, standings in summary.standings.items()}
    cells = [_with_spread(standing) for standing in found.values()]
    if several:
        cells += [text for one in found.values() for text in (figure(one.rank, 2), figure(one.wins, 1))]
        cells += [figure(found[metric].p_value, 4) for metric in _TESTED]
    return (name, *cells, *(figure(seconds, 2) for seconds in summary.seconds[name]))


def _with_spread(standing: Standing) -> str:
    return figure(standing.mean) + (f" ± {figure(standing.spread)}" if standing.spread is not None else "")


def _show_sets(summary: Summary) -> None:
    metrics = list(summary.standings)
    headers = ["data", *(f"{_NAMES[metric]}: {who}" for metric in metrics for who in (OURS, "best peer"))]
    rows = []
    for data in summary.sets if metrics else ():
        row = [data]
        for metric in metrics:
            peer = summary.best_peer_on(metric, data)
            ours = summary.per_set[metric][data].get(OURS)
            row += [figure(ours), f"{peer[0]} {figure(peer[1])}" if peer else figure(None)]
        rows.append(row)
    if rows:
        show(f"{summary.suite}, each data set", headers, rows, text_columns=1)


def _short(text: str | None) -> str:
    line = " ".join((text or "").split())
    return line if len(line) <= 100 else f"{line[:99]}…"
