"""``python -m vae_anomaly.benchmark streaming``: files of any size, whatever stops a run, and whatever is in them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vae_anomaly.benchmark.environment import environment, show_environment
from vae_anomaly.benchmark.streaming import MOST_GROWTH, MOST_RATIO, StreamingRun, run_streaming
from vae_anomaly.benchmark.streaming_fit import FitRun, run_fits
from vae_anomaly.benchmark.table import figure, show, write_runs

if TYPE_CHECKING:
    from vae_anomaly.benchmark.streaming_faults import FaultRun

PARTS = ("speed", "fit", "faults", "hostile")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rows", type=int, default=5_000_000, metavar="N", help="of the file whose time is taken")
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="sparkov's rows are repeated; simulated if not given"
    )
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="a folder for the files, which are large")
    parser.add_argument("--kills", type=int, default=200, metavar="N", help="runs that are killed")
    parser.add_argument("--full-disks", type=int, default=30, metavar="N", help="runs whose disk is full")
    parser.add_argument("--hostile-files", type=int, default=5_000, metavar="N", help="hostile files")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of kills and files")
    parser.set_defaults(command=streaming_command)


def streaming_command(chosen: argparse.Namespace) -> int:
    """Measure, print, write."""
    from vae_anomaly.benchmark.streaming_faults import run_faults  # with pandas: help has to be quick
    from vae_anomaly.benchmark.streaming_hostile import run_hostile

    where = environment()
    show_environment(where)
    rows: list[dict[str, object]] = []
    sound = True
    if "speed" in chosen.only:
        timed = run_streaming(chosen.rows, chosen.data_dir, chosen.scratch)
        show_streaming(timed)
        rows += [{"part": "speed", **run.to_row()} for run in timed]
    if "fit" in chosen.only:
        fitted = run_fits(chosen.rows, chosen.data_dir, chosen.scratch)
        show_fits(fitted)
        rows += [{"part": "fit", **run.to_row()} for run in fitted]
        sound &= all(
            one.held_out_elbo == other.held_out_elbo for one, other in zip(fitted[::2], fitted[1::2], strict=True)
        )
    if "faults" in chosen.only:
        stopped = run_faults(chosen.kills, chosen.full_disks, seed=chosen.seed)
        show_faults(stopped)
        rows += [{"part": "faults", **run.to_row()} for run in stopped]
        sound &= all(run.equal for run in stopped)
    if "hostile" in chosen.only:
        found = run_hostile(chosen.hostile_files, chosen.seed)
        show("Hostile files", list(found), [[f"{count:,}" for count in found.values()]], text_columns=0)
        rows.append({"part": "hostile", **found})
        sound &= found["wrong"] == 0
    if chosen.output is not None:
        names = dict.fromkeys(name for row in rows for name in row)
        whole = [{name: row.get(name) for name in names} for row in rows]
        write_runs(whole, where, chosen.output, benchmark="streaming", force=chosen.force)
    return 0 if sound else 1


def show_streaming(runs: list[StreamingRun]) -> None:
    """Print seconds, memory, and whether they are within the bars."""
    headers = ["data", "rows", "MB", "score command, s", "in memory, s", "bare copy, s", "ratio", "rows/s", "peak MB"]
    cells = [
        (
            *(run.data, f"{run.rows:,}", figure(run.megabytes, 0), figure(run.seconds, 1)),
            *(figure(run.score_seconds, 1), figure(run.copy_seconds, 1), figure(run.ratio, 2)),
            *(figure(run.rows / run.seconds, 0), figure(run.peak_megabytes, 0)),
        )
        for run in runs
    ]
    show("CSV to CSV; the ratio is to scoring in memory and a bare copy together", headers, cells, text_columns=1)
    small, large = runs[0], runs[-1]
    growth = large.peak_megabytes / small.peak_megabytes
    verdicts = [
        (
            f"at most {MOST_RATIO} times both together",
            figure(large.ratio, 2),
            _verdict((large.ratio or 0) <= MOST_RATIO),
        ),
        (f"memory at most {MOST_GROWTH} times that of a tenth", figure(growth, 2), _verdict(growth <= MOST_GROWTH)),
    ]
    show("Bars", ["bar", "measured", "verdict"], verdicts, text_columns=1)


def show_fits(runs: list[FitRun]) -> None:
    """Print what fits on every row took, in files and in memory."""
    headers = ["data", "rows lie", "rows", "MB", "fit command, s", "peak of its own, MB", "held-out ELBO"]
    cells = [
        (
            *(run.data, run.kept, f"{run.rows:,}", figure(run.megabytes, 0), figure(run.seconds, 1)),
            *(figure(run.peak_megabytes, 0), figure(run.held_out_elbo, 4)),
        )
        for run in runs
    ]
    show(
        "A fit on every row; the held-out ELBO is the same to the bit, or it is an error",
        headers,
        cells,
        text_columns=2,
    )


def show_faults(runs: list[FaultRun]) -> None:
    """Print how many runs were stopped, and how many results are those of runs that were not."""
    from vae_anomaly.benchmark.streaming_faults import counts

    cells = [
        (fault, output, f"{n:,}", f"{stopped:,}", f"{equal:,}") for fault, output, n, stopped, equal in counts(runs)
    ]
    show(
        "Runs that were stopped, and gone on with",
        ["fault", "output", "runs", "stopped", "equal"],
        cells,
        text_columns=2,
    )


def _verdict(met: bool) -> str:
    return "met" if met else "NOT met"
