"""How well detectors rank, over data sets and seeds: one row for each fit, kept by content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vae_anomaly.benchmark import cache
from vae_anomaly.benchmark.detectors import DETECTORS, OURS, check_installed, detector
from vae_anomaly.benchmark.encodings import Z_SCORES
from vae_anomaly.benchmark.environment import Environment
from vae_anomaly.benchmark.measuring import measure, warm_up
from vae_anomaly.benchmark.payments import PAYMENT_METRICS
from vae_anomaly.benchmark.protocol import DataSet, Suite
from vae_anomaly.benchmark.rows import Rows, prepare
from vae_anomaly.benchmark.suites import SUITES
from vae_anomaly.benchmark.table import say
from vae_anomaly.errors import ParameterError, VaeAnomalyError

QUICK_DETECTORS = (OURS, "IsolationForest", "LOF", "EllipticEnvelope", "kNN", "DTE-NP")


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
    encoding : str or None
        What `entering` has it get: a key of `vae_anomaly.benchmark.encodings.ENCODINGS`; None gives it the rows as they
        are.
    """

    name: str
    detector: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    encoding: str | None = None


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
    precision_at_100_per_day, card_precision_at_100, amount_recall_at_100_per_day : float or None
        What a team finds that can look at 100 payments, or cards, a day; None where the rows are no payments by day.
    fit_seconds, score_seconds : float or None
        In this process, on at most `vae_anomaly.benchmark.measuring.THREADS` threads, without a peer's encoding,
        and without what is imported on first use.
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
    precision_at_100_per_day: float | None = None
    card_precision_at_100: float | None = None
    amount_recall_at_100_per_day: float | None = None
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


def entering(entrants: Iterable[Contestant], suite: Suite) -> list[Contestant]:
    """Who takes part in a suite, once for each encoding if it needs numbers, without those that the suite leaves out.

    An encoding other than z-scores is in the name.

    Examples
    --------
    >>> [one.name for one in entering(contestants(["VAEDetector", "kNN"]), SUITES["card-time"])]
    ['VAEDetector', 'kNN (ordinal)', 'kNN (one-hot)']
    """
    entered = []
    for entrant in entrants:
        for encoding in suite.encodings if detector(entrant.detector).scaled else (None,):
            name = entrant.name if encoding in (None, Z_SCORES) else f"{entrant.name} ({encoding})"
            entered.append(replace(entrant, name=name, encoding=encoding))
    return [entrant for entrant in entered if entrant.name not in suite.too_slow]


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
    entered = {suite: entering(entrants, SUITES[suite]) for suite, _, _ in sets}
    for suite in (suite for suite, who in entered.items() if not who):
        say(f"skipped {suite}: none of the chosen detectors takes part in it.")
    n_all = sum(len(entered[suite]) for suite, _, _ in sets) * seeds
    for suite, name, path in sets:
        try:
            data = SUITES[suite].read(path)
        except (VaeAnomalyError, OSError, ValueError) as error:
            runs += [_failed(QualityRun(suite, name, e.name, s), error) for s in range(seeds) for e in entered[suite]]
            continue
        for seed in range(seeds):
            for run in _on_one_split(QualityRun(suite, name, "", seed), entered[suite], data, where, folder, warm):
                runs.append(run)
                if not run.cached:
                    say(f"[{len(runs)}/{n_all}] {_in_words(run)}")
    n_cached = sum(run.cached for run in runs)
    say(f"{n_cached} of {n_all} results were measured before.")
    return runs


def _on_one_split(
    blank: QualityRun,
    entrants: Sequence[Contestant],
    data: DataSet,
    where: Environment,
    folder: Path | None,
    warm: set[str],
) -> Iterator[QualityRun]:
    cells = [replace(blank, detector=entrant.name) for entrant in entrants]
    try:
        rows = prepare(data, SUITES[blank.suite], blank.seed)
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
        parts |= cache.encoding_identity(entrant.encoding)
        name = cache.key(parts | cache.identity(entrant.detector, entry, estimator))
        known = cache.load(folder, name) if folder is not None else None
        if known is not None and set(known) == _kept(rows):
            return replace(cell, **known, cached=True)
        if entrant.detector not in warm:
            warm_up(entrant.detector)
            warm.add(entrant.detector)
        figures = asdict(where) | measure(estimator, entry.score, rows, encoding=entrant.encoding)
    except Exception as error:  # a peer may raise anything; the others still count
        return _failed(cell, error)
    if folder is not None:
        cache.save(folder, name, figures)
    return replace(cell, **figures)


def _kept(rows: Rows) -> set[str]:
    return {*_KEPT, *(PAYMENT_METRICS if rows.payments is not None else ())}


def _check_settings(settings: Mapping[str, Any]) -> None:
    known = detector(OURS).build(0, {}).get_params()
    unknown = [name for name in settings if name not in known or name == "random_state"]
    if unknown:
        raise ParameterError(
            f"A variant must set parameters of {OURS}, the seed aside. Got {', '.join(unknown)} instead."
        )


def _failed(run: QualityRun, error: Exception) -> QualityRun:
    return replace(run, failure=f"{type(error).__name__}: {error}")


def _in_words(run: QualityRun) -> str:
    cell = f"{run.suite}, {run.data}, seed {run.seed}, {run.detector}"
    if run.failure is not None or run.roc_auc is None or run.average_precision is None:
        return f"{cell}: failed: {run.failure}"
    return f"{cell}: ROC AUC {run.roc_auc:.3f}, AP {run.average_precision:.3f}, fit {run.fit_seconds:.1f} s"
