"""How good sampled rows are, beside those of a peer, of independent columns, and of real rows that were held out."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from vae_anomaly.benchmark.detectors import OURS
from vae_anomaly.benchmark.environment import environment, show_environment
from vae_anomaly.benchmark.files import FILES, present
from vae_anomaly.benchmark.process import run_task
from vae_anomaly.benchmark.table import figure, say, show, write_runs
from vae_anomaly.errors import VaeAnomalyError

TVAE, INDEPENDENT = "TVAE", "independent columns"
METHODS = (OURS, TVAE, INDEPENDENT)
REAL = "real rows"
N_TRAIN, N_HELD_OUT = 7_500, 20_000
_SETTINGS: dict[
    str, dict[str, Any]
] = {}  # of methods other than their defaults: tests shorten them, no measurement does
_INSTALL = "python -m venv tvae && tvae/bin/pip install ctgan==0.12.1"


@dataclass(frozen=True)
class SyntheticSet:
    """What is left out of a file of `FILES`, and how it is read.

    Parameters
    ----------
    names : tuple of str
        Columns that only name something.
    moments : tuple of str
        Columns that are dates, and read as such.
    """

    names: tuple[str, ...] = ()
    moments: tuple[str, ...] = ()


SETS: dict[str, SyntheticSet] = {
    "vehicle_claims": SyntheticSet(),
    "sparkov": SyntheticSet(names=("cc_num",), moments=("trans_datetime",)),
    "creditcard": SyntheticSet(),
}


@dataclass(frozen=True)
class SyntheticRun:
    """One method on one file, with one seed.

    Parameters
    ----------
    data, method : str
        Their names.
    seed : int
        Of the division and of the method.
    n_train, n_held_out, n_columns : int or None
        Rows that it learns from, as many as it samples; others; columns.
    detection, detection_error, detection_of_held_out : float or None
        ROC AUC by which a classifier tells its rows from those it learnt from, the standard error of that, and the AUC
        of held-out rows in their place.
    average_precision, average_precision_real, average_precision_guess : float or None
        Of the label on held-out rows: trained on its rows, on those it learnt from, and by guessing.
    positives, positives_real : float or None
        Share of the label's rarer value among its rows, and among those it learnt from.
    column_distance, pair_difference : float or None
        Means over the columns and over the pairs; `column_distance_of_held_out` and `pair_difference_of_held_out` are
        those of held-out rows.
    probability_closer : float or None
        That one of its rows is nearer to a row that it learnt from than a held-out row is.
    copies, copies_of_held_out : float or None
        Share of its rows, and of the held-out ones, that equal a row that it learnt from.
    fit_seconds, fit_cpu_seconds, sample_seconds : float or None
        In its process; of a processor's time, which a busy machine does not lengthen, the second.
    failure : str or None
        Why there are no figures.
    """

    data: str
    method: str
    seed: int
    n_train: int | None = None
    n_held_out: int | None = None
    n_columns: int | None = None
    detection: float | None = None
    detection_error: float | None = None
    detection_of_held_out: float | None = None
    average_precision: float | None = None
    average_precision_real: float | None = None
    average_precision_guess: float | None = None
    positives: float | None = None
    positives_real: float | None = None
    column_distance: float | None = None
    pair_difference: float | None = None
    column_distance_of_held_out: float | None = None
    pair_difference_of_held_out: float | None = None
    probability_closer: float | None = None
    copies: float | None = None
    copies_of_held_out: float | None = None
    fit_seconds: float | None = None
    fit_cpu_seconds: float | None = None
    sample_seconds: float | None = None
    failure: str | None = None

    def to_row(self) -> dict[str, Any]:
        """A row of the tidy table."""
        return asdict(self)


def run_synthetic(
    names: Iterable[str],
    data_dir: Path,
    *,
    seeds: int = 1,
    methods: Sequence[str] = METHODS,
    n_train: int = N_TRAIN,
    tvae_python: str | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    on_run: Callable[[SyntheticRun], None] = lambda run: None,
) -> list[SyntheticRun]:
    """Fit, sample and judge each method on each file, with each seed, in processes of their own.

    Parameters
    ----------
    names : iterable of str
        Keys of `SETS`, all present.
    data_dir : Path
        Where the files are.
    seeds : int, default=1
        Seeds 0 to `seeds` − 1.
    methods : sequence of str
        Of `METHODS`.
    n_train : int
        Rows to learn from at most.
    tvae_python : str or None, default=None
        An interpreter that has TVAE; None takes this one, if it has it.
    settings : mapping or None, default=None
        Parameters of methods other than their defaults: tests shorten them, no measurement does.
    on_run : callable
        Told of each run when it is done.

    Returns
    -------
    list of SyntheticRun
        A failed one says why, and has no figures.

    Raises
    ------
    VaeAnomalyError
        If the interpreter has no TVAE, before anything is measured.
    """
    python = check_tvae(tvae_python) if TVAE in methods else sys.executable
    runs = []
    for run in _planned(names, methods, seeds):
        say(f"measuring {run.method} on {run.data}, seed {run.seed} ...")
        runs.append(_measured(run, data_dir, n_train, python, (settings or {}).get(run.method, {})))
        on_run(runs[-1])
    return runs


def check_tvae(python: str | None) -> str:
    """An interpreter that has TVAE.

    Parameters
    ----------
    python : str or None
        One that is said to; None takes this one.

    Raises
    ------
    VaeAnomalyError
        If it has not, with how to make one that has.

    Examples
    --------
    >>> check_tvae("/no/such/python")
    Traceback (most recent call last):
        ...
    vae_anomaly.errors.VaeAnomalyError: --tvae-python: expected an interpreter that has ctgan, found none at \
/no/such/python. Make one (python -m venv tvae && tvae/bin/pip install ctgan==0.12.1) and name it, or leave TVAE out \
(--methods).
    """
    if python is None and find_spec("ctgan") is not None:
        return sys.executable
    if python is not None and Path(python).exists():
        command = [python, "-c", "import importlib.util as u; raise SystemExit(u.find_spec('ctgan') is None)"]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:  # noqa: S603 - as it was named
            return python
    raise VaeAnomalyError(
        f"--tvae-python: expected an interpreter that has ctgan, found none at {python or sys.executable}. Make one"
        f" ({_INSTALL}) and name it, or leave TVAE out (--methods)."
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark, output and seeds aside."""
    parser.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="the README says what lies in it")
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS), metavar="NAME")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="NAME")
    parser.add_argument("--rows", type=int, default=N_TRAIN, metavar="N", help="to learn from at most, and to sample")
    parser.add_argument("--tvae-python", metavar="FILE", help="an interpreter that has ctgan, if this one has not")
    parser.set_defaults(command=synthetic_command)


def synthetic_command(chosen: argparse.Namespace) -> int:
    """Measure, print, write."""
    names = present(chosen.only, chosen.data_dir)
    where = environment()
    runs: list[SyntheticRun] = []

    def keep(run: SyntheticRun) -> None:
        """Write what is done so far: the whole takes an hour, and a run that is stopped has measured something."""
        runs.append(run)
        if chosen.output is not None:
            rows = [one.to_row() for one in runs]
            write_runs(rows, where, chosen.output, benchmark="synthetic", force=chosen.force or len(runs) > 1)

    run_synthetic(
        names,
        chosen.data_dir,
        seeds=chosen.seeds,
        methods=chosen.methods,
        n_train=chosen.rows,
        tvae_python=chosen.tvae_python,
        settings=_SETTINGS,
        on_run=keep,
    )
    show_environment(where)
    show_synthetic(runs)
    return 1 if any(run.failure for run in runs) else 0


_FIGURES = {
    "detection": "detection AUC",
    "average_precision": "AP, trained on its rows",
    "positives": "share of positives",
    "column_distance": "column distance",
    "pair_difference": "pair difference",
    "probability_closer": "closer",
    "copies": "copies",
    "fit_seconds": "fit seconds",
    "fit_cpu_seconds": "of CPU",
    "sample_seconds": "sample seconds",
}
_OF_REAL = {
    "detection": "detection_of_held_out",
    "average_precision": "average_precision_real",
    "positives": "positives_real",
    "column_distance": "column_distance_of_held_out",
    "pair_difference": "pair_difference_of_held_out",
    "copies": "copies_of_held_out",
}


def show_synthetic(runs: Sequence[SyntheticRun]) -> None:
    """Print a line for each data set and method, mean ± standard deviation over the seeds; real rows come first."""
    rows = []
    for data in dict.fromkeys(run.data for run in runs):
        of_data = [run for run in runs if run.data == data]
        real = next((run.method for run in of_data if run.failure is None), None)
        rows.append((data, REAL, *(_over(of_data, real, _OF_REAL.get(name)) for name in _FIGURES)))
        for method in dict.fromkeys(run.method for run in of_data):
            rows.append((data, method, *(_over(of_data, method, name) for name in _FIGURES)))
    n_seeds = len({run.seed for run in runs})
    title = f"Sampled rows, {n_seeds} seed{'s' if n_seeds > 1 else ''}"
    show(title, ["data", "rows of", *_FIGURES.values()], rows, text_columns=2)
    for run in runs:
        if run.failure is not None:
            print(f"\n{run.data}, seed {run.seed}: {run.method} failed: {run.failure}")


def _over(runs: Sequence[SyntheticRun], method: str | None, name: str | None) -> str:
    found = [getattr(run, name) for run in runs if run.method == method] if name is not None else []
    values = [value for value in found if value is not None]
    if not values:
        return figure(None)
    return figure(mean(values)) + (f" ± {figure(stdev(values))}" if len(values) > 1 else "")


def _planned(names: Iterable[str], methods: Sequence[str], seeds: int) -> Iterator[SyntheticRun]:
    names = list(names)
    for seed in range(seeds):
        for name in names:
            for method in methods:
                yield SyntheticRun(name, method, seed)


def _measured(
    run: SyntheticRun, data_dir: Path, n_train: int, python: str, settings: Mapping[str, Any]
) -> SyntheticRun:
    entry = SETS[run.data]
    try:
        found = run_task(
            "synthetic",
            file=run.data,
            path=str(data_dir / FILES[run.data].path),
            method=run.method,
            seed=run.seed,
            n_train=n_train,
            n_held_out=N_HELD_OUT,
            python=python,
            names=list(entry.names),
            moments=list(entry.moments),
            settings=dict(settings),
        )
    except VaeAnomalyError as error:
        say(f"failed: {error}")
        return replace(run, failure=str(error))
    return replace(run, **found)
