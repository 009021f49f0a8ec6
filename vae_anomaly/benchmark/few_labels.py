"""Average precision by the number of known frauds, beside a supervised peer that is told the same."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.benchmark.detectors import OURS, detector
from vae_anomaly.benchmark.encodings import ENCODINGS, Z_SCORES
from vae_anomaly.benchmark.environment import environment, show_environment
from vae_anomaly.benchmark.measuring import few_threads
from vae_anomaly.benchmark.protocol import DataSet, Integers, Suite
from vae_anomaly.benchmark.splits import TRAINING_FRAUDS, TRAINING_PAYMENTS
from vae_anomaly.benchmark.suites import SUITES
from vae_anomaly.benchmark.table import figure, say, show, write_runs
from vae_anomaly.errors import TableError, VaeAnomalyError

N_KNOWN = (0, 5, 20, 100)
PEER = "HistGradientBoosting"
BALANCED = f"{PEER}, balanced"
_METRICS = {"average_precision_at_rate": "AP at true rate", "average_precision": "AP"}


@dataclass(frozen=True, eq=False)
class Division:
    """Numbers of rows, for every number of known frauds.

    Parameters
    ----------
    genuine, hidden : int64 ndarray
        Rows that train in any case: genuine ones, and frauds of which nobody is told.
    pool : int64 ndarray
        Frauds in the order in which they become known.
    hides : bool
        Whether those of the pool that are not known yet train as well, hidden.
    test : int64 ndarray
        The same rows for every number of known frauds.
    """

    genuine: Integers
    hidden: Integers
    pool: Integers
    hides: bool
    test: Integers

    def train(self, n_known: int) -> tuple[Integers, Integers]:
        """Numbers of the rows that train; and for each 1 if it is a known fraud, else -1.

        Examples
        --------
        >>> rows = Division(np.array([0, 1]), np.array([2]), np.array([3, 4]), False, np.array([5]))
        >>> [array.tolist() for array in rows.train(1)]
        [[0, 1, 2, 3], [-1, -1, -1, 1]]
        """
        pool, hidden = self.pool[:n_known], self.hidden
        if self.hides:
            hidden = np.concatenate([hidden, self.pool[n_known:]])
        rows = np.concatenate([self.genuine, hidden, pool])
        known = np.where(np.isin(rows, pool), 1, -1)
        order = np.argsort(rows)
        return rows[order], known[order]


def payments_with_few_frauds(data: DataSet, seed: int) -> Division:
    """As `creditcard_contaminated`, with 100 frauds more set aside that become known, one after the other.

    Raises
    ------
    TableError
        If no fraud is left to test on.
    """
    rows = np.random.default_rng([seed, 2]).permutation(len(data.y))
    genuine, frauds = (rows[data.y[rows] == label] for label in (0, 1))
    n_pool = max(N_KNOWN)
    if len(frauds) <= n_pool + TRAINING_FRAUDS or len(genuine) <= TRAINING_PAYMENTS:
        raise TableError(
            f"expected more than {TRAINING_PAYMENTS:,} genuine rows and {n_pool + TRAINING_FRAUDS} frauds, found"
            f" {len(genuine):,} and {len(frauds):,}."
        )
    pool, hidden, others = np.split(frauds, [n_pool, n_pool + TRAINING_FRAUDS])
    test = np.sort(np.concatenate([genuine[TRAINING_PAYMENTS:], others]))
    return Division(genuine[:TRAINING_PAYMENTS], hidden, pool, False, test)


def payments_by_time(data: DataSet, seed: int) -> Division:
    """As `card_time`, where frauds among the earlier payments become known, one after the other, in random order."""
    split = SUITES["card-time"].split(data, seed)
    fraud = data.y[split.train] == 1
    pool = np.random.default_rng([seed, 2]).permutation(split.train[fraud])
    return Division(split.train[~fraud], np.zeros(0, dtype=np.int64), pool, True, split.test)


@dataclass(frozen=True)
class FewLabels:
    """A data set, and how it is divided.

    Parameters
    ----------
    suite : str
        The key of `SUITES` that says where its file is, how it is read, and what a genuine row counts.
    divide : callable
        ``divide(data, seed)``.
    encoding : str
        What the peer gets: a key of `vae_anomaly.benchmark.encodings.ENCODINGS`.
    """

    suite: str
    divide: Callable[[DataSet, int], Division]
    encoding: str


SETS: dict[str, FewLabels] = {
    "creditcard": FewLabels("creditcard-contaminated", payments_with_few_frauds, Z_SCORES),
    "sparkov": FewLabels("card-time", payments_by_time, "ordinal"),
}


@dataclass(frozen=True)
class FewLabelsRun:
    """One detector, told of so many frauds, with one seed.

    Parameters
    ----------
    data, detector : str
        Their names.
    n_known : int
        Frauds it was told of.
    seed : int
        Of the division and of the detector.
    n_train, n_hidden, n_test, n_test_frauds : int
        Rows that train, frauds among them that nobody is told of, rows that test, frauds among them.
    average_precision, average_precision_at_rate : float or None
        On the test rows; and each genuine row counted as often as it occurs, where the file holds too many frauds.
    fit_seconds, score_seconds : float or None
        In this process, the peer's without its encoding.
    failure : str or None
        Why there are no figures.
    """

    data: str
    detector: str
    n_known: int
    seed: int
    n_train: int = 0
    n_hidden: int = 0
    n_test: int = 0
    n_test_frauds: int = 0
    average_precision: float | None = None
    average_precision_at_rate: float | None = None
    fit_seconds: float | None = None
    score_seconds: float | None = None
    failure: str | None = None

    def to_row(self) -> dict[str, Any]:
        """A row of the tidy table."""
        return asdict(self)


def run_few_labels(
    names: Iterable[str],
    data_dir: Path,
    *,
    seeds: int = 1,
    n_known: Sequence[int] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> list[FewLabelsRun]:
    """Fit and score ours and the peer for each number of known frauds.

    Parameters
    ----------
    names : iterable of str
        Keys of `SETS`.
    data_dir : Path
        Where the data are.
    seeds : int, default=1
        Seeds 0 to `seeds` − 1.
    n_known : sequence of int or None, default=None
        Numbers of known frauds; None takes `N_KNOWN`.
    settings : mapping or None, default=None
        Parameters of ours other than its defaults: tests shorten it, no measurement does.

    Raises
    ------
    VaeAnomalyError
        If a file is not there or not what is expected.
    """
    return list(_runs(names, data_dir, seeds, N_KNOWN if n_known is None else n_known, settings or {}))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark, output and seeds aside."""
    parser.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="the README says what lies in it")
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS), metavar="NAME")
    parser.set_defaults(command=few_labels_command)


def few_labels_command(chosen: argparse.Namespace) -> int:
    """Measure, print, write."""
    where = environment()
    runs = run_few_labels(chosen.only, chosen.data_dir, seeds=chosen.seeds)
    show_environment(where)
    show_few_labels(runs)
    if chosen.output is not None:
        write_runs([run.to_row() for run in runs], where, chosen.output, benchmark="few-labels", force=chosen.force)
    return 1 if any(run.failure for run in runs) else 0


def show_few_labels(runs: Sequence[FewLabelsRun]) -> None:
    """Print a table for each data set and metric: a row for each number of known frauds, mean ± deviation."""
    detectors = list(dict.fromkeys(run.detector for run in runs))
    for data in dict.fromkeys(run.data for run in runs):
        of_data = [run for run in runs if run.data == data]
        n_seeds = len({run.seed for run in of_data})
        for metric, title in _METRICS.items():
            if all(getattr(run, metric) is None for run in of_data):
                continue
            rows = [
                (str(n), *(_over_seeds(of_data, name, n, metric) for name in detectors))
                for n in sorted({run.n_known for run in of_data})
            ]
            seeds = f"{n_seeds} seed{'s' if n_seeds > 1 else ''}"
            show(f"{data}, {title}, {seeds}", ["known frauds", *detectors], rows, text_columns=0)
    for run in runs:
        if run.failure is not None:
            print(f"\n{run.data}, {run.n_known} known, seed {run.seed}: {run.detector} failed: {run.failure}")


def _over_seeds(runs: Sequence[FewLabelsRun], name: str, n_known: int, metric: str) -> str:
    found = [getattr(run, metric) for run in runs if (run.detector, run.n_known) == (name, n_known)]
    values = [value for value in found if value is not None]
    if not values:
        return figure(None)
    return figure(mean(values)) + (f" ± {figure(stdev(values))}" if len(values) > 1 else "")


def _runs(
    names: Iterable[str], data_dir: Path, seeds: int, n_known: Sequence[int], settings: Mapping[str, Any]
) -> Iterator[FewLabelsRun]:
    for name in names:
        entry = SETS[name]
        suite = SUITES[entry.suite]
        found = suite.paths(data_dir)
        if not found:
            raise VaeAnomalyError(
                f"--data-dir: expected {name} in {data_dir}, found none. Its layout is in"
                " vae_anomaly/benchmark/README.md."
            )
        data = suite.read(next(iter(found.values())))
        for seed in range(seeds):
            division = entry.divide(data, seed)
            for n in n_known:
                yield from _measured(name, entry, suite, data, division, n, seed, settings)


def _measured(
    name: str,
    entry: FewLabels,
    suite: Suite,
    data: DataSet,
    division: Division,
    n_known: int,
    seed: int,
    settings: Mapping[str, Any],
) -> Iterator[FewLabelsRun]:
    numbers, known = division.train(n_known)
    train, test = data.part(numbers), data.part(division.test)
    weight = None if suite.genuine_weight is None else np.where(test.y == 1, 1.0, suite.genuine_weight)
    counts = FewLabelsRun(
        name, OURS, n_known, seed, len(numbers), int(train.y.sum()) - n_known, len(test.y), int(test.y.sum())
    )
    contestants: dict[str, Callable[[], tuple[NDArray[np.float64], float, float]]] = {
        OURS: partial(_ours, train, test, known, seed, settings)
    }
    if n_known:
        for peer, balance in ((PEER, None), (BALANCED, "balanced")):
            contestants[peer] = partial(_peer, train, test, known, seed, entry.encoding, balance)
    for who, scores_of in contestants.items():
        say(f"{name}: {n_known} known frauds, seed {seed}, {who}")
        run = replace(counts, detector=who)
        try:
            with few_threads():
                scores, fit_seconds, score_seconds = scores_of()
        except Exception as error:  # noqa: BLE001, RUF100 -- one that cannot is recorded, and the others go on
            yield replace(run, failure=f"{type(error).__name__}: {error}")
            continue
        plain, at_rate = _precision(test.y, scores, weight)
        yield replace(
            run,
            average_precision=plain,
            average_precision_at_rate=at_rate,
            fit_seconds=fit_seconds,
            score_seconds=score_seconds,
        )


def _precision(
    y: Integers, scores: NDArray[np.float64], weight: NDArray[np.float64] | None
) -> tuple[float, float | None]:
    """Average precision as it is, and at the true rate."""
    from vae_anomaly.decision.metrics import average_precision

    at_rate = None if weight is None else average_precision(y, scores, sample_weight=weight)
    return average_precision(y, scores), at_rate


def _ours(
    train: DataSet, test: DataSet, known: Integers, seed: int, settings: Mapping[str, Any]
) -> tuple[NDArray[np.float64], float, float]:
    entry = detector(OURS)
    start = perf_counter()
    fitted = entry.build(seed, settings).fit(train.X, known=known)
    fit_seconds, start = perf_counter() - start, perf_counter()
    return entry.score(fitted, test.X), fit_seconds, perf_counter() - start


def _peer(
    train: DataSet, test: DataSet, known: Integers, seed: int, encoding: str, balance: str | None
) -> tuple[NDArray[np.float64], float, float]:
    """Known frauds against all other rows: to it, a row of which nobody is told is a genuine one."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    encoder = ENCODINGS[encoding]().fit(train.X)
    model = HistGradientBoostingClassifier(class_weight=balance, random_state=seed)
    rows = encoder.transform(train.X)
    start = perf_counter()
    model.fit(rows, known == 1)
    fit_seconds, rows = perf_counter() - start, encoder.transform(test.X)
    start = perf_counter()
    return np.asarray(model.predict_proba(rows)[:, 1]), fit_seconds, perf_counter() - start
