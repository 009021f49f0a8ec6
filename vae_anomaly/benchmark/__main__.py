"""``python -m vae_anomaly.benchmark speed``, ``... files``, ``... quality``, ``... few-labels`` and others."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import stdev

from vae_anomaly.benchmark import (
    behavior_command,
    few_labels,
    files,
    imputation,
    latents,
    quality_command,
    reasons_command,
    scoring,
    serving,
    spark,
    speed,
    streaming_command,
    synthetic,
    thresholds_command,
)
from vae_anomaly.benchmark.bars import MEMORY_ROWS, bars
from vae_anomaly.benchmark.environment import environment, show_environment
from vae_anomaly.benchmark.quality_command import positive
from vae_anomaly.benchmark.table import check_output, figure, show, write_runs
from vae_anomaly.errors import VaeAnomalyError

_MB = 1e6
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a benchmark and print its table.

    Parameters
    ----------
    arguments : sequence of str or None, default=None
        The command line; None takes that of the process.

    Returns
    -------
    int
        0 if everything was measured, 1 if something could not be.
    """
    try:
        return run(arguments)
    except VaeAnomalyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return _INTERRUPTED


def run(arguments: Sequence[str] | None = None, *, program: str = "python -m vae_anomaly.benchmark") -> int:
    """Do the same under another name, and let errors through.

    Parameters
    ----------
    arguments : sequence of str or None, default=None
        The command line; None takes that of the process.
    program : str
        What help calls it.

    Returns
    -------
    int
        As of `main`.

    Raises
    ------
    VaeAnomalyError
        If nothing could be measured.
    """
    chosen = _parser(program).parse_args(arguments)
    check_output(chosen.output, force=chosen.force)
    return int(chosen.command(chosen))


def speed_command(chosen: argparse.Namespace) -> int:
    """Measure, print, write."""
    where = environment()
    runs = speed.run_speed(
        chosen.rows, chosen.columns, repeats=chosen.repeats, memory_rows=chosen.memory_rows, peers=chosen.peers
    )
    show_environment(where)
    show_speed(runs)
    if chosen.output is not None:
        write_runs([run.to_row() for run in runs], where, chosen.output, benchmark="speed", force=chosen.force)
    return _exit_code([run.failure for run in runs])


def show_speed(runs: Sequence[speed.SpeedRun]) -> None:
    """Print what was measured: speed, memory, and the bars."""
    middle = speed.medians(runs)
    headers = ["detector", "rows", "first use", "fit seconds", "fit ratio", "score rows/s", "score ratio", "device"]
    rows = [
        (
            run.detector,
            f"{run.rows:,} x {run.columns}",
            figure(run.warm_up_seconds, 2),
            figure(run.fit_seconds, 2),
            figure(run.fit_ratio, 2),
            figure(run.score_rows_per_second, 0),
            figure(run.score_ratio, 2),
            run.device or "–",
        )
        for run in middle
        if run.measures == "speed"
    ]
    show("Ratios: how many times as long as VAEDetector each takes", headers, rows, text_columns=1)
    for run in middle:
        if run.measures == "memory" and run.peak_bytes is not None:
            peak, allowed = (figure(n_bytes / _MB, 0) for n_bytes in (run.peak_bytes, run.allowed_bytes))
            print(
                f"\nPeak memory of a fit on {run.rows:,} x {run.columns}: {peak} MB; 4 x table + 1 GB is {allowed} MB"
            )
    verdicts = [(bar.text, bar.measured, bar.verdict) for bar in bars(runs)]
    show("Bars", ["bar", "measured", "verdict"], verdicts, text_columns=1)


def files_command(chosen: argparse.Namespace) -> int:
    """Measure, print, write."""
    names = files.present(chosen.only, chosen.data_dir)
    where = environment()
    runs = files.run_files(names, chosen.data_dir, seeds=chosen.seeds)
    show_environment(where)
    show_files(runs)
    if chosen.output is not None:
        write_runs([run.to_row() for run in runs], where, chosen.output, benchmark="files", force=chosen.force)
    return _exit_code([run.failure for run in runs])


def show_files(runs: Sequence[files.FileRun]) -> None:
    """Print what was measured, mean ± standard deviation over the seeds."""
    headers = ["data", "trained on", "detector", "rows", "anomalies", "ROC AUC", "average precision", "at true rate"]
    rows = []
    for run in files.means(runs):
        group = [r for r in runs if (r.data, r.regime, r.detector) == (run.data, run.regime, run.detector)]
        metrics = ("roc_auc", "average_precision", "average_precision_at_prevalence")
        figures = (_with_spread([getattr(r, name) for r in group], getattr(run, name)) for name in metrics)
        counts = (figure(run.n_rows, 0), figure(run.n_positives, 0))
        seconds = (figure(run.fit_seconds, 1), figure(run.score_seconds, 1))
        rows.append((run.data, run.regime, run.detector, *counts, *figures, *seconds))
    n_seeds = len({run.seed for run in runs})
    title = f"Whole file scored; {n_seeds} seed{'s' if n_seeds > 1 else ''}; seconds are taken as the README says"
    show(title, [*headers, "fit seconds", "score seconds"], rows, text_columns=3)


def _with_spread(values: Sequence[float | None], mean: float | None) -> str:
    known = [value for value in values if value is not None]
    return figure(mean) + (f" ± {figure(stdev(known))}" if len(known) > 1 else "")


def _exit_code(failures: Sequence[str | None]) -> int:
    n_failed = sum(failure is not None for failure in failures)
    if n_failed:
        print(f"error: {n_failed} of {len(failures)} runs failed; the lines above say why", file=sys.stderr)
    return 1 if n_failed else 0


def _parser(program: str = "python -m vae_anomaly.benchmark") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description="Measure beside peers.")
    commands = parser.add_subparsers(required=True, metavar="BENCHMARK")
    _add_speed(commands.add_parser("speed", help="fit and score seconds, and memory, on a synthetic table"))
    _add_files(commands.add_parser("files", help="detection quality of the shell commands on files as they are"))
    quality = commands.add_parser("quality", help="detection quality by fixed protocols: detectors, data sets, seeds")
    quality_command.add_options(quality)
    _add_output(quality)
    few = commands.add_parser(
        "few-labels", help="detection quality by the number of known frauds, beside a supervised peer"
    )
    few_labels.add_options(few)
    _add_seeds(few)
    _add_output(few)
    wishes = commands.add_parser(
        "thresholds", help="wishes by the rules of thresholds, and what later rows made of them"
    )
    thresholds_command.add_options(wishes)
    _add_seeds(wishes)
    _add_output(wishes)
    reasons = commands.add_parser("reasons", help="how often the first reason is the planted cause, beside peers")
    reasons_command.add_options(reasons)
    _add_seeds(reasons)
    _add_output(reasons)
    past = commands.add_parser("behavior", help="what the past of cards is worth to detectors, and what it costs")
    behavior_command.add_options(past)
    _add_seeds(past)
    _add_output(past)
    in_memory = commands.add_parser("scoring", help="rows per second in memory, beside peers and the machine's best")
    scoring.add_options(in_memory)
    _add_output(in_memory)
    served = commands.add_parser("serving", help="how fast the server answers another process, and whether rightly")
    serving.add_options(served)
    _add_output(served)
    streamed = commands.add_parser("streaming", help="files of any size, runs that are stopped, and hostile files")
    streaming_command.add_options(streamed)
    _add_output(streamed)
    on_spark = commands.add_parser("spark", help="scores by Spark beside the command's, and training by two processes")
    spark.add_options(on_spark)
    _add_output(on_spark)
    filled = commands.add_parser("imputation", help="how well gaps are filled, beside scikit-learn's imputers")
    imputation.add_options(filled)
    _add_seeds(filled)
    _add_output(filled)
    sampled = commands.add_parser("synthetic", help="how good sampled rows are, beside a peer's and real ones")
    synthetic.add_options(sampled)
    _add_seeds(sampled)
    _add_output(sampled)
    positions = commands.add_parser(
        "latents", help="labels learnt from latent positions, beside the columns themselves"
    )
    latents.add_options(positions)
    _add_seeds(positions)
    _add_output(positions)
    return parser


def _add_seeds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=positive, default=1, metavar="N", help="seeds 0 to N - 1")


def _add_speed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=positive, nargs="+", default=[20_000, 100_000], metavar="N")
    parser.add_argument("--columns", type=positive, default=30, metavar="N")
    parser.add_argument("--repeats", type=positive, default=1, metavar="N", help="medians over so many")
    parser.add_argument("--memory-rows", type=int, default=MEMORY_ROWS, metavar="N", help="0: memory is not measured")
    parser.add_argument("--peers", nargs="*", choices=speed.PEERS, default=list(speed.PEERS))
    _add_output(parser)
    parser.set_defaults(command=speed_command)


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="the README says what lies in it")
    parser.add_argument("--only", nargs="+", choices=list(files.FILES), default=list(files.FILES), metavar="NAME")
    _add_seeds(parser)
    _add_output(parser)
    parser.set_defaults(command=files_command)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", metavar="FILE", help="a row for each run: CSV, or Parquet by extension")
    parser.add_argument("--force", action="store_true", help="replace an existing file")


if __name__ == "__main__":
    sys.exit(main())
