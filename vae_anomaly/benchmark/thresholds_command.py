"""``python -m vae_anomaly.benchmark thresholds``: its options, and how its results are shown."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from vae_anomaly.benchmark.environment import environment, show_environment
from vae_anomaly.benchmark.rule_timing import (
    FEWEST_ROWS,
    MOST_SECONDS,
    SIMULATED,
    TIMED_ROWS,
    band_rows,
    run_certified,
    run_timing,
)
from vae_anomaly.benchmark.table import figure, show, write_runs
from vae_anomaly.benchmark.threshold_sets import THRESHOLD_SETS
from vae_anomaly.benchmark.thresholds import CONTESTANTS, ThresholdRun, run_thresholds

NONCONFORM = """\
nonconform takes no part: its releases, up to 2.0.0, ask for Python 3.12 or newer, and this was measured on 3.11. Its
documentation says: "The methods in nonconform assume that training and test data are exchangeable. The package is
therefore not suited for spatial or temporal autocorrelation unless such dependencies are explicitly handled in
preprocessing or model design." What it does by default, split conformal p-values and Benjamini-Hochberg, is the
formula of DiscoveryRate here; those rows are ours and not its."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark, output and seeds aside."""
    parser.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="the README says what lies in it")
    parser.add_argument("--only", nargs="+", choices=list(THRESHOLD_SETS), default=list(THRESHOLD_SETS), metavar="NAME")
    parser.add_argument("--detectors", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), metavar="NAME")
    parser.add_argument(
        "--timed-rows", type=timed_rows, default=TIMED_ROWS, metavar="N", help="simulated scores; 0 leaves them out"
    )
    parser.set_defaults(command=thresholds_command)


def timed_rows(text: str) -> int:
    """A number of scores that every rule can be timed on, or 0.

    Examples
    --------
    >>> timed_rows("1000000")
    1000000
    """
    number = int(text)
    if number and number < FEWEST_ROWS:
        raise argparse.ArgumentTypeError(f"expected 0, or {FEWEST_ROWS:,} rows or more, found {number:,}")
    return number


def thresholds_command(chosen: argparse.Namespace) -> int:
    """Measure, print, write."""
    where = environment()
    runs = run_thresholds(chosen.only, chosen.data_dir, seeds=chosen.seeds, detectors=chosen.detectors)
    timed = run_timing(chosen.timed_rows) if chosen.timed_rows > 0 else []
    certified = run_certified() if chosen.timed_rows > 0 else []
    show_environment(where)
    show_thresholds(runs)
    show_certified(certified)
    show_timing(timed)
    if chosen.output is not None:
        rows = [run.to_row() for run in (*runs, *certified, *timed)]
        write_runs(rows, where, chosen.output, benchmark="thresholds", force=chosen.force)
    failed = {(run.data, run.detector, run.seed) for run in runs if run.failure is not None}
    if failed:
        print(f"error: {len(failed)} fits failed; the lines above say why", file=sys.stderr)
    return 1 if failed else 0


def show_thresholds(runs: Sequence[ThresholdRun]) -> None:
    """Print, for each data set, wishes beside what happened; then all figures of each detector, drift and refusals."""
    for data in dict.fromkeys(run.data for run in runs):
        of_data = [run for run in runs if run.data == data]
        _show_side_by_side(data, of_data)
        for detector in dict.fromkeys(run.detector for run in of_data):
            _show_figures([run for run in of_data if run.detector == detector])
    _show_drift(runs)
    _show_remarks(runs)
    print(f"\n{NONCONFORM}")


def show_certified(runs: Sequence[ThresholdRun]) -> None:
    """Print how many rows each false-alarm rate takes."""
    if not runs:
        return
    rows = []
    for run in runs:
        alpha = float(run.wish.removeprefix("FalseAlarmRate(").removesuffix(")"))
        beyond = f"{_percent(run.happened)} ({_percent(run.low)} to {_percent(run.high)})"
        rates = (_percent(run.false_alarm_rate, 3), beyond, run.verdict or "–")
        rows.append((run.wish, f"{run.n_calibration:,}", f"{band_rows(alpha):,}", *rates))
    headers = ["wish, at 95 %", "rows", "rows of a band", "mean rate, %", "calibrations beyond, %", "at most 5 %"]
    show(f"Rows that a rate takes, and ten times as many; {SIMULATED}", headers, rows, text_columns=1)


def show_timing(runs: Sequence[ThresholdRun]) -> None:
    """Print how long each rule takes, and the bar."""
    if not runs:
        return
    rows = [
        (run.wish, run.told, figure(run.happened, 3), "met" if run.verdict == "kept" else "NOT met") for run in runs
    ]
    title = f"Seconds to calibrate on {runs[0].n_calibration:,} scores, median of 3; the bar is {MOST_SECONDS:g}"
    show(title, ["rule", "told", "seconds", "bar"], rows, text_columns=2)
    if runs[0].n_calibration != TIMED_ROWS:
        print(f"\nThe bar is for {TIMED_ROWS:,} scores: it was not measured in this run.")


def _show_side_by_side(data: str, runs: Sequence[ThresholdRun]) -> None:
    first = runs[0]
    detectors = list(dict.fromkeys(run.detector for run in runs))
    rows = []
    for key in dict.fromkeys((run.wish, run.told, run.quantity) for run in runs):
        found = [run for run in runs if (run.wish, run.told, run.quantity) == key]
        cells = [_outcome([run for run in found if run.detector == name]) for name in detectors]
        rows.append((*key[:2], _asked(found[0]), *cells))
    seeds = len({run.seed for run in runs})
    title = (
        f"{data}: {first.n_train:,} rows train, {first.n_calibration:,} calibrate ({first.n_calibration_frauds:,}"
        f" frauds), {first.n_later:,} later ones ({first.n_later_frauds:,} frauds; of seed 0) are judged;"
        f" {seeds} seed{'s' if seeds > 1 else ''}"
    )
    show(title, ["wish", "told", "asked", *detectors], rows, text_columns=3)


def _show_figures(runs: Sequence[ThresholdRun]) -> None:
    first = runs[0]
    rows = []
    for key in dict.fromkeys((run.wish, run.told, run.quantity) for run in runs):
        found = [run for run in runs if (run.wish, run.told, run.quantity) == key]
        bounds = f"{_mean(found, 'low')} to {_mean(found, 'high')}" if found[0].low is not None else "–"
        threshold = _over([run.threshold for run in found], 2)
        rates = (_percent(_known([getattr(run, name) for run in found])) for name in _RATES)
        rest = (
            figure(_known([run.alerts_per_period for run in found]), 1),
            figure(_known([run.cost for run in found]), 2),
        )
        rows.append((key[0], key[1], threshold, bounds, *rates, *rest))
    headers = ["wish", "told", "threshold", "bounds", *(f"{_RATES[name]}, %" for name in _RATES)]
    headers += [f"alerts per {first.period}", "cost per row"]
    show(f"{first.data}, {first.detector}: figures of the later rows", headers, rows, text_columns=2)


_RATES = {"false_alarm_rate": "false alarms", "precision": "precision", "recall": "recall"}


def _show_drift(runs: Sequence[ThresholdRun]) -> None:
    rows = []
    for data, detector in dict.fromkeys((run.data, run.detector) for run in runs):
        found = [run for run in runs if (run.data, run.detector) == (data, detector)]
        found = list({run.seed: run for run in found}.values())
        names = ("drift", "drift_first_half", "drift_second_half")
        rows.append((data, detector, *(_over([getattr(run, name) for run in found], 2, 100) for name in names)))
    title = "Drift: % of genuine later rows above the score that 1 % of the genuine calibration rows are above"
    show(title, ["data", "detector", "all", "first half", "second half"], rows, text_columns=2)


def _show_remarks(runs: Sequence[ThresholdRun]) -> None:
    for name, title in (("refused", "refused"), ("failure", "failed"), ("warned", "warned")):
        said: dict[tuple[str, str, str], list[ThresholdRun]] = {}
        for run in runs:
            if getattr(run, name) is not None:
                said.setdefault((run.data, run.detector, "" if name == "failure" else run.wish), []).append(run)
        for (data, detector, wish), found in said.items():
            n_seeds = len({run.seed for run in found})
            of_seeds, what = f"{n_seeds} seed{'s' if n_seeds > 1 else ''}", f", {wish}" if wish else ""
            print(f"\n{data}, {detector}{what}: {title} ({of_seeds}): {getattr(found[0], name)}")


_TOLD = ("kept", "broken", "over", "under", "refused", "failed")
"""Verdicts that are counted where seeds differ; what is left to their number was by chance, or had no alerts."""


def _outcome(runs: Sequence[ThresholdRun]) -> str:
    """What happened, mean ± deviation over seeds, and the verdicts, counted where they differ."""
    if not runs:
        return "–"
    verdicts = Counter("failed" if run.failure else "refused" if run.refused else run.verdict for run in runs)
    values = [run.happened for run in runs]
    cell = _over(values, *_form(runs[0].quantity))
    if runs[0].sense == "best" and not any(run.failure or run.refused for run in runs):
        ratio = mean((run.happened or 0.0) / run.asked for run in runs if run.asked)
        return f"{cell}, {ratio:.2f} × best"
    words = [name for name, n in verdicts.items() if name is not None and n == len(runs)]
    words = words or [f"{name} {verdicts[name]}/{len(runs)}" for name in _TOLD if verdicts[name]]
    return ", ".join(([] if cell == "–" else [cell]) + words) or cell


def _asked(run: ThresholdRun) -> str:
    if run.sense == "best":
        return f"best {run.quantity}"
    factor = _form(run.quantity)[1]
    return f"{run.quantity} {factor * (run.asked or 0.0):g}{' %' if factor > 1 else ''}"


def _form(quantity: str) -> tuple[int, float]:
    """Digits and factor: rates are shown in percent."""
    if quantity.endswith(("rate", "precision", "recall")):
        return 2, 100.0
    return (1, 1.0) if "alerts" in quantity else (3, 1.0)


def _over(values: Sequence[float | None], digits: int, factor: float = 1.0) -> str:
    known = [factor * value for value in values if value is not None]
    if not known:
        return figure(None)
    spread = f" ± {figure(stdev(known), digits)}" if len(known) > 1 else ""
    return figure(mean(known), digits) + spread


def _known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def _mean(runs: Sequence[ThresholdRun], name: str) -> str:
    digits, factor = _form(runs[0].quantity)
    value = _known([getattr(run, name) for run in runs])
    return figure(None if value is None else factor * value, digits)


def _percent(share: float | None, digits: int = 2) -> str:
    return figure(None if share is None else 100 * share, digits)
