"""How well detectors rank, over data sets and seeds: one row for each fit, kept by content."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.benchmark import cache
from vae_anomaly.benchmark.detectors import DETECTORS, OURS, check_installed, detector
from vae_anomaly.benchmark.environment import Environment
from vae_anomaly.benchmark.suites import SUITES, DataSet, Suite, read_set
from vae_anomaly.benchmark.table import say
from vae_anomaly.errors import ParameterError, VaeAnomalyError

QUICK_DETECTORS = (OURS, "IsolationForest", "LOF", "EllipticEnvelope", "kNN", "DTE-NP")
THREADS = 2
_WARM_UP_ROWS = 64
_LONGEST_WARNING = 200


@dataclass(frozen=True)
class Contestant:
    """A detector, at its defaults unless told otherwise.

    Parameters
    ----------
    name : str
        In tables.
    detector : str
        A key of `DETECTORS`.
    settings : mapping
        Parameters other than the defaults, the same on every data set: for an ablation, none in a measurement.
    """

    name: str
    detector: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class QualityRun:
    """One detector on one data set, with one seed.

    Parameters
    ----------
    suite, data, detector : str
        Their names.
    seed : int
        Of the split and of the detector.
    n_columns, n_train, n_train_anomalies, n_test, n_test_anomalies : int
        What it was given; labels are never shown.
    roc_auc, average_precision : float or None
        On the test rows as they are.
    average_precision_at_rate : float or None
        Each normal row counted as often as it occurs at the true rate of anomalies; None where the suite names none.
    fit_seconds, score_seconds : float or None
        In this process, on at most `THREADS` threads, without what is imported on first use.
    warned : str or None
        The first warning.
    failure : str or None
        Why there are no figures.
    versions, system, cpus, load
        Where and when it was measured: see `vae_anomaly.benchmark.environment.Environment`.
    cached : bool
        Whether an earlier run measured it.
    """

    suite: str
    data: str
    detector: str
    seed: int
    n_columns: int = 0
    n_train: int = 0
    n_train_anomalies: int = 0
    n_test: int = 0
    n_test_anomalies: int = 0
    roc_auc: float | None = None
    average_precision: float | None = None
    average_precision_at_rate: float | None = None
    fit_seconds: float | None = None
    score_seconds: float | None = None
    warned: str | None = None
    failure: str | None = None
    versions: str | None = None
    system: str | None = None
    cpus: int | None = None
    load: float | None = None
    cached: bool = False

    def to_row(self) -> dict[str, Any]:
        """A row of the tidy table."""
        return asdict(self)


_KEPT = (
    *("roc_auc", "average_precision", "average_precision_at_rate", "fit_seconds", "score_seconds", "warned"),
    *("versions", "system", "cpus", "load"),
)


@dataclass(frozen=True)
class Rows:
    """What one split gives to every detector.

    Parameters
    ----------
    train, test : ndarray
        As they are in the file.
    y : int64 ndarray
        Of the test rows.
    weight : float64 ndarray or None
        How many rows each test row stands for.
    n_train_anomalies : int
        Which of the training rows they are, no detector is told.
    """

    train: NDArray[Any]
    test: NDArray[Any]
    y: NDArray[np.int64]
    weight: NDArray[np.float64] | None = None
    n_train_anomalies: int = 0

    @property
    def counts(self) -> dict[str, Any]:
        """Their sizes, for the table."""
        return {
            "n_columns": self.train.shape[1],
            "n_train": len(self.train),
            "n_train_anomalies": self.n_train_anomalies,
            "n_test": len(self.test),
            "n_test_anomalies": int(self.y.sum()),
        }

    @cached_property
    def scaled(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Both with mean 0 and deviation 1 in each column of the training rows."""
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().fit(self.train.astype(np.float64))
        train, test = (scaler.transform(rows.astype(np.float64)) for rows in (self.train, self.test))
        return train, test

    @cached_property
    def digest(self) -> str:
        """Of all arrays: whatever changes the rows or the split changes it."""
        return cache.arrays_digest(array for array in (self.train, self.test, self.y, self.weight) if array is not None)


def contestants(
    names: Iterable[str] = tuple(DETECTORS), variants: Iterable[Mapping[str, Any]] = ()
) -> list[Contestant]:
    """Detectors at their defaults, and variants of ours.

    Parameters
    ----------
    names : iterable of str
        Keys of `DETECTORS`.
    variants : iterable of mapping
        Parameters of `VAEDetector`, for each variant.

    Raises
    ------
    MissingExtraError
        If one is not installed.
    ParameterError
        If `VAEDetector` has no such parameter.

    Examples
    --------
    >>> [one.name for one in contestants(["kNN"], [{"beta": 1.0}])]
    ['kNN', 'VAEDetector(beta=1.0)']
    """
    names, variants = list(dict.fromkeys(names)), list(variants)
    check_installed(names)
    for settings in variants:
        _check_settings(settings)
    named = {f"{OURS}({', '.join(f'{k}={v!r}' for k, v in one.items())})": one for one in variants}
    return [*(Contestant(name, name) for name in names), *(Contestant(name, OURS, one) for name, one in named.items())]


def prepare(data: DataSet, suite: Suite, seed: int) -> Rows:
    """Split a data set.

    Examples
    --------
    >>> data = DataSet(np.arange(10.0)[:, None], np.repeat([0, 1], [8, 2]))
    >>> prepare(data, SUITES["normal50"], seed=0).y.tolist()
    [0, 0, 0, 0, 1, 1]
    """
    split = suite.split(data.y, seed)
    y = data.y[split.test]
    weight = None if suite.genuine_weight is None else np.where(y == 1, 1.0, suite.genuine_weight)
    return Rows(data.X[split.train], data.X[split.test], y, weight, int(data.y[split.train].sum()))


def run_quality(
    sets: Sequence[tuple[str, str, Path]],
    entrants: Sequence[Contestant],
    where: Environment,
    *,
    seeds: int = 1,
    folder: Path | None = None,
) -> list[QualityRun]:
    """Measure every detector on every data set with every seed; what is in the cache is taken from there.

    Parameters
    ----------
    sets : sequence of (str, str, Path)
        Suite, data set, file.
    entrants : sequence of Contestant
        Who takes part.
    where : Environment
        Of this run.
    seeds : int, default=1
        How many: 0, 1, ...
    folder : Path or None, default=None
        Of the cache; each result is there as soon as it is measured. None keeps nothing.

    Returns
    -------
    list of QualityRun
        A failed one says why, has no figures, and is tried again by the next run.
    """
    runs: list[QualityRun] = []
    warm: set[str] = set()
    n_all = len(sets) * seeds * len(entrants)
    for suite, name, path in sets:
        try:
            data = read_set(path)
        except (VaeAnomalyError, OSError, ValueError) as error:
            runs += [_failed(QualityRun(suite, name, e.name, s), error) for s in range(seeds) for e in entrants]
            continue
        for seed in range(seeds):
            cells = [QualityRun(suite, name, entrant.name, seed) for entrant in entrants]
            for run in _on_one_split(cells, entrants, data, where, folder, warm):
                runs.append(run)
                if not run.cached:
                    say(f"[{len(runs)}/{n_all}] {_in_words(run)}")
    n_cached = sum(run.cached for run in runs)
    say(f"{n_cached} of {n_all} results were measured before.")
    return runs


def _on_one_split(
    cells: Sequence[QualityRun],
    entrants: Sequence[Contestant],
    data: DataSet,
    where: Environment,
    folder: Path | None,
    warm: set[str],
) -> Iterator[QualityRun]:
    suite = SUITES[cells[0].suite]
    try:
        rows = prepare(data, suite, cells[0].seed)
    except VaeAnomalyError as error:
        yield from (_failed(cell, error) for cell in cells)
        return
    for cell, entrant in zip(cells, entrants, strict=True):
        yield _one(replace(cell, **rows.counts), entrant, rows, where, folder, warm)


def _one(
    cell: QualityRun, entrant: Contestant, rows: Rows, where: Environment, folder: Path | None, warm: set[str]
) -> QualityRun:
    """From the cache if it is there, else measured and kept."""
    entry, suite = detector(entrant.detector), SUITES[cell.suite]
    settings = {**(entry.clean if suite.clean else {}), **entrant.settings}
    try:
        estimator = entry.build(cell.seed, settings)
        parts = {"suite": cell.suite, "seed": cell.seed, "rows": rows.digest}
        name = cache.key(parts | cache.identity(entrant.detector, entry, estimator))
        known = cache.load(folder, name) if folder is not None else None
        if known is not None and set(known) == set(_KEPT):
            return replace(cell, **known, cached=True)
        if entrant.detector not in warm:
            warm_up(entrant.detector)
            warm.add(entrant.detector)
        figures = asdict(where) | measure(estimator, entry.score, rows, scaled=entry.scaled)
    except Exception as error:  # a peer may raise anything; the others still count
        return _failed(cell, error)
    if folder is not None:
        cache.save(folder, name, figures)
    return replace(cell, **figures)


def measure(
    estimator: Any, score: Callable[[Any, Any], NDArray[np.float64]], rows: Rows, *, scaled: bool
) -> dict[str, Any]:
    """Fit, score and evaluate, in this process.

    Parameters
    ----------
    estimator : object
        Not fitted.
    score : callable
        ``score(fitted, X)``, higher for more anomalous.
    rows : Rows
        What on.
    scaled : bool
        Whether it gets z-scores.

    Returns
    -------
    dict
        ``roc_auc``, ``average_precision``, ``average_precision_at_rate``, ``fit_seconds``, ``score_seconds``,
        ``warned``.

    Raises
    ------
    TableError
        If a score is not a number.
    """
    from vae_anomaly.decision.metrics import average_precision, roc_auc

    train, test = rows.scaled if scaled else (rows.train, rows.test)
    if estimator.get_params().get("n_jobs") == -1:  # joblib's threads are no concern of threadpoolctl
        estimator.set_params(n_jobs=_n_threads())
    with redirect_stdout(sys.stderr), few_threads(), warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        start = perf_counter()
        fitted = estimator.fit(train)
        fit_seconds, start = perf_counter() - start, perf_counter()
        scores = np.asarray(score(fitted, test), dtype=np.float64)
        score_seconds = perf_counter() - start
    at_rate = None if rows.weight is None else average_precision(rows.y, scores, sample_weight=rows.weight)
    return {
        "roc_auc": roc_auc(rows.y, scores),
        "average_precision": average_precision(rows.y, scores),
        "average_precision_at_rate": at_rate,
        "fit_seconds": fit_seconds,
        "score_seconds": score_seconds,
        "warned": _first(raised),
    }


def warm_up(name: str) -> None:
    """Fit an instance as briefly as can be, so that no `fit_seconds` are those of modules imported on first use."""
    from vae_anomaly.benchmark.timing import synthetic_table

    entry = detector(name)
    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = synthetic_table(_WARM_UP_ROWS, 4).astype(np.float64)  # what numba compiles, it compiles for a type
        entry.score(entry.build(0, entry.warm_up).fit(table), table)


@contextmanager
def few_threads() -> Iterator[None]:
    """At most `THREADS` threads in whatever computes, fewer where ``OMP_NUM_THREADS`` says so."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    n_threads = _n_threads()
    torch = sys.modules.get("torch")  # a detector that needs it has imported it by now
    before = torch.get_num_threads() if torch is not None else None
    with threadpool_limits(limits=n_threads):
        if torch is not None:
            torch.set_num_threads(n_threads)
        try:
            yield
        finally:
            if torch is not None:
                torch.set_num_threads(before)


def _n_threads() -> int:
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(THREADS, int(asked)) if asked.isdecimal() and int(asked) > 0 else THREADS


def _check_settings(settings: Mapping[str, Any]) -> None:
    known = detector(OURS).build(0, {}).get_params()
    unknown = [name for name in settings if name not in known or name == "random_state"]
    if unknown:
        raise ParameterError(
            f"A variant must set parameters of {OURS}, the seed aside. Got {', '.join(unknown)} instead."
        )


def _failed(run: QualityRun, error: Exception) -> QualityRun:
    return replace(run, failure=f"{type(error).__name__}: {error}")


def _first(raised: Sequence[warnings.WarningMessage]) -> str | None:
    return f"{raised[0].category.__name__}: {raised[0].message}"[:_LONGEST_WARNING] if raised else None


def _in_words(run: QualityRun) -> str:
    cell = f"{run.suite}, {run.data}, seed {run.seed}, {run.detector}"
    if run.failure is not None or run.roc_auc is None or run.average_precision is None:
        return f"{cell}: failed: {run.failure}"
    return f"{cell}: ROC AUC {run.roc_auc:.3f}, AP {run.average_precision:.3f}, fit {run.fit_seconds:.1f} s"
