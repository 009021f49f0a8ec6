"""How well the shell commands do on files as they are, beside a peer on ordinal codes, in one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

from vae_anomaly.benchmark.detectors import OURS, check_installed
from vae_anomaly.benchmark.process import run_module, run_task
from vae_anomaly.benchmark.table import say
from vae_anomaly.errors import VaeAnomalyError

PEERS = ("IsolationForest",)
_METRICS = ("roc_auc", "average_precision", "average_precision_at_prevalence")
_SECONDS = ("fit_seconds", "score_seconds")


@dataclass(frozen=True)
class Regime:
    """What is trained on; the whole file is scored in any case.

    Parameters
    ----------
    name : str
        In words.
    train_on : str or None
        The label of the rows that are trained on; None trains on all of them, unlabelled.
    """

    name: str
    train_on: str | None = None


AS_IT_IS = Regime("as it is")


@dataclass(frozen=True)
class DataFile:
    """A labelled file, and how it is written.

    Parameters
    ----------
    path : str
        Below the data folder.
    label : str
        Its column of labels.
    drop : tuple of str
        Columns that are not trained on.
    header : bool
        Whether the first line names the columns.
    negative : str or None
        The label of normal rows; None if labels are 0 and 1.
    prevalence : float or None
        True share of anomalies, if the file holds more of them.
    regimes : tuple of Regime
        What is trained on.
    """

    path: str
    label: str
    drop: tuple[str, ...] = ()
    header: bool = True
    negative: str | None = None
    prevalence: float | None = None
    regimes: tuple[Regime, ...] = (AS_IT_IS,)


FILES: dict[str, DataFile] = {
    "creditcard": DataFile("creditcard/creditcard_sample.csv.gz", "Class", prevalence=0.00173),
    "vehicle_claims": DataFile("vehicle_claims/claims.csv.gz", "FraudFound_P", drop=("PolicyNumber",)),
    "sparkov": DataFile("sparkov/card_transactions_2019-05_2019-10.csv.gz", "is_fraud"),
    "kdd99": DataFile(
        "kdd99/kddcup.data_10_percent.gz",
        "column_42",
        header=False,
        negative="normal.",
        regimes=(AS_IT_IS, Regime("normal rows train", train_on="normal.")),
    ),
}


@dataclass(frozen=True)
class FileRun:
    """One detector on one file, with one seed.

    Parameters
    ----------
    data, regime, detector : str
        Their names.
    seed : int
        Of the detector.
    n_rows, n_positives : int or None
        Rows scored, and anomalies among them.
    roc_auc, average_precision, average_precision_at_prevalence : float or None
        The last with normal rows weighted to the true share of anomalies.
    fit_seconds, score_seconds : float or None
        Ours: the whole commands, with the start of Python, reading and writing. A peer's, in memory: reading, encoding
        and fitting; encoding and scoring.
    failure : str or None
        Why there are no figures.
    """

    data: str
    regime: str
    detector: str
    seed: int
    n_rows: int | None = None
    n_positives: int | None = None
    roc_auc: float | None = None
    average_precision: float | None = None
    average_precision_at_prevalence: float | None = None
    fit_seconds: float | None = None
    score_seconds: float | None = None
    failure: str | None = None

    def to_row(self) -> dict[str, Any]:
        """A row of the tidy table."""
        return asdict(self)


def present(names: Iterable[str], data_dir: Path) -> list[str]:
    """Those of the named files that are there; the others are named and skipped.

    Raises
    ------
    VaeAnomalyError
        If none is there.

    Examples
    --------
    >>> present(["kdd99"], Path("/no/such/folder"))
    Traceback (most recent call last):
        ...
    vae_anomaly.errors.VaeAnomalyError: --data-dir: expected at least one of kdd99 in /no/such/folder, found none. Its \
layout is in vae_anomaly/benchmark/README.md.
    """
    names = list(names)
    found = [name for name in names if (data_dir / FILES[name].path).is_file()]
    if not found:
        raise VaeAnomalyError(
            f"--data-dir: expected at least one of {', '.join(names)} in {data_dir}, found none. Its layout is in"
            " vae_anomaly/benchmark/README.md."
        )
    for name in names:
        if name not in found:
            say(f"skipped {name}: expected {data_dir / FILES[name].path}, found no such file.")
    return found


def run_files(
    names: Sequence[str],
    data_dir: Path,
    *,
    seeds: int = 1,
    peers: Sequence[str] = PEERS,
    fit_options: Sequence[str] = (),
) -> list[FileRun]:
    """Measure ours and the peers on each file, in each of its regimes, with each seed.

    Parameters
    ----------
    names : sequence of str
        Keys of `FILES`, all `present`.
    data_dir : Path
        Where they are.
    seeds : int, default=1
        How many: 0, 1, ...
    peers : sequence of str
        Beside `OURS`.
    fit_options : sequence of str
        More options of ``vae-anomaly fit``; none in a measurement.

    Returns
    -------
    list of FileRun
        A failed one says why, and has no figures.
    """
    check_installed(peers)
    runs = []
    for name in names:
        file = FILES[name]
        for regime in file.regimes:
            for seed in range(seeds):
                ours = FileRun(name, regime.name, OURS, seed)
                ours, unused = _ours(ours, file, regime, data_dir / file.path, fit_options)
                theirs = (FileRun(name, regime.name, peer, seed) for peer in peers)
                runs += [ours, *(_peer(run, file, regime, data_dir / file.path, unused) for run in theirs)]
    return runs


def means(runs: Iterable[FileRun]) -> list[FileRun]:
    """One run for each file, regime and detector, every figure the mean over the seeds that went well.

    Examples
    --------
    >>> runs = [FileRun("kdd99", "as it is", "VAEDetector", seed, roc_auc=auc) for seed, auc in enumerate((0.5, 0.75))]
    >>> means(runs)[0].roc_auc
    0.625
    """
    groups: dict[tuple[str, str, str], list[FileRun]] = {}
    for run in runs:
        groups.setdefault((run.data, run.regime, run.detector), []).append(run)
    return [replace(_first_whole(group), **_mean_figures(group)) for group in groups.values()]


def _mean_figures(group: Sequence[FileRun]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name in (*_METRICS, *_SECONDS):
        known = [value for run in group if (value := getattr(run, name)) is not None]
        figures[name] = mean(known) if known else None
    return figures


def _first_whole(group: Sequence[FileRun]) -> FileRun:
    return next((run for run in group if run.failure is None), group[0])


def _ours(
    run: FileRun, file: DataFile, regime: Regime, path: Path, fit_options: Sequence[str]
) -> tuple[FileRun, tuple[str, ...]]:
    """The three commands; also the columns that the model set aside, which peers then don't get either."""
    say(f"measuring {run.detector} on {run.data}, {run.regime}, seed {run.seed} ...")
    reading = [] if file.header else ["--no-header"]
    try:
        with TemporaryDirectory() as folder:
            model = str(Path(folder, "model.vaea"))
            fitted = _shell(
                "fit", str(path), "-o", model, *_fit_options(run.seed, file, regime), *reading, *fit_options
            )
            scored = _shell("score", model, str(path), "-o", str(Path(folder, "scored.csv")), *reading)
            found = _shell("evaluate", model, str(path), *_evaluate_options(file), *reading)
    except VaeAnomalyError as error:  # the others still count
        say(f"failed: {error}")
        return replace(run, failure=str(error)), ()
    seconds = {"fit_seconds": fitted.seconds, "score_seconds": scored.seconds}
    return replace(run, **seconds, **_metrics(found.result)), tuple(fitted.result["set_aside"])


def _shell(command: str, *arguments: str) -> Any:
    return run_module("vae_anomaly", command, *arguments, "--json")


def _fit_options(seed: int, file: DataFile, regime: Regime) -> list[str]:
    options = ["--label", file.label, "--seed", str(seed)]
    for column in file.drop:
        options += ["--drop", column]
    if regime.train_on is not None:
        options += ["--train-on", regime.train_on, "--contamination", "0"]  # whoever picks normal rows knows that
    return options


def _evaluate_options(file: DataFile) -> list[str]:
    options = ["--label", file.label]
    if file.negative is not None:
        options += ["--negative", file.negative]
    if file.prevalence is not None:
        options += ["--prevalence", str(file.prevalence)]
    return options


def _peer(run: FileRun, file: DataFile, regime: Regime, path: Path, unused: Sequence[str]) -> FileRun:
    say(f"measuring {run.detector} on {run.data}, {run.regime}, seed {run.seed} ...")
    try:
        found = run_task(
            "peer",
            name=run.detector,
            path=str(path),
            label=file.label,
            leave_out=list(dict.fromkeys((*file.drop, *unused))),
            header=file.header,
            train_on=regime.train_on,
            negative=file.negative,
            prevalence=file.prevalence,
            seed=run.seed,
        )
    except VaeAnomalyError as error:
        say(f"failed: {error}")
        return replace(run, failure=str(error))
    return replace(run, **{name: found[name] for name in _SECONDS}, **_metrics(found))


def _metrics(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in ("n_rows", "n_positives", *_METRICS)}
