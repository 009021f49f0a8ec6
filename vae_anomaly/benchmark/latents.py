"""What latent positions are worth as features: a logistic regression on them, beside one on the columns themselves."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.benchmark.detectors import OURS, detector
from vae_anomaly.benchmark.encodings import one_hot_columns
from vae_anomaly.benchmark.environment import environment, show_environment
from vae_anomaly.benchmark.measuring import few_threads
from vae_anomaly.benchmark.protocol import Suite, by_label
from vae_anomaly.benchmark.splits import contaminated
from vae_anomaly.benchmark.suites import SUITES
from vae_anomaly.benchmark.table import figure, say, show, write_runs
from vae_anomaly.errors import VaeAnomalyError

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

RAW, LATENTS, BOTH = FEATURES = ("columns", "latents", "both")
MOST_TRAINING_ROWS = 20_000
SETS: dict[str, tuple[Suite, str]] = {
    "vehicle_claims": (SUITES["claims-contaminated"], "vehicle_claims"),
    "sparkov": (SUITES["card-time"], "sparkov"),
    "sparkov-random": (replace(SUITES["card-time"], split=by_label(contaminated)), "sparkov"),
}
"""The protocol that reads and splits each table, and its name there: payments by time, and at random."""

_MOST_ITERATIONS = 5_000


@dataclass(frozen=True)
class LatentsRun:
    """A logistic regression on some features of one table, with one seed.

    Parameters
    ----------
    data, features : str
        Their names.
    seed : int
        Of the split, the training rows and the detector.
    n_train, n_train_anomalies, n_test, n_test_anomalies, n_features : int
        Rows, labels and features.
    average_precision, roc_auc : float or None
        Of the probabilities of the test rows.
    feature_seconds, fit_seconds : float or None
        Of making the features of all rows, and of the regression.
    failure : str or None
        Why there are no figures.
    """

    data: str
    features: str
    seed: int
    n_train: int = 0
    n_train_anomalies: int = 0
    n_test: int = 0
    n_test_anomalies: int = 0
    n_features: int = 0
    average_precision: float | None = None
    roc_auc: float | None = None
    feature_seconds: float | None = None
    fit_seconds: float | None = None
    failure: str | None = None

    def to_row(self) -> dict[str, Any]:
        """A row of the tidy table."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Labelled:
    """Rows to learn from and to test on, with their labels."""

    train: pd.DataFrame
    y_train: NDArray[np.int64]
    test: pd.DataFrame
    y_test: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Features:
    """Numbers of the same rows, and the seconds that they took."""

    train: Floats
    test: Floats
    seconds: float

    def beside(self, other: Features) -> Features:
        """Both, side by side."""
        train, test = (np.hstack(pair) for pair in ((self.train, other.train), (self.test, other.test)))
        return Features(train, test, self.seconds + other.seconds)


def run_latents(
    names: Iterable[str], data_dir: Path, *, seeds: int = 1, settings: Mapping[str, Any] | None = None
) -> list[LatentsRun]:
    """Learn the labels of each table from each kind of features, for each seed.

    Parameters
    ----------
    names : iterable of str
        Keys of `SETS`.
    data_dir : Path
        Where the data are.
    seeds : int, default=1
        Seeds 0 to `seeds` − 1.
    settings : mapping or None, default=None
        Parameters of ours other than its defaults: tests shorten it, no measurement does.

    Raises
    ------
    VaeAnomalyError
        If a file is not there or not what is expected.
    """
    return [
        run
        for name in names
        for seed in range(seeds)
        for run in measured(name, _read(name, data_dir, seed), seed, settings or {})
    ]


def _read(name: str, data_dir: Path, seed: int) -> Labelled:
    import pandas as pd

    suite, key = SETS[name]
    found = suite.paths(data_dir)
    if key not in found:
        raise VaeAnomalyError(
            f"--data-dir: expected {name} in {data_dir}, found none. Its layout is in vae_anomaly/benchmark/README.md."
        )
    data = suite.read(found[key])
    split = suite.split(data, seed)
    some = np.random.default_rng([seed, 6]).permutation(split.train)[:MOST_TRAINING_ROWS]
    train, test = data.part(np.sort(some)), data.part(split.test)
    return Labelled(pd.DataFrame(train.X), train.y, pd.DataFrame(test.X), test.y)


def measured(name: str, rows: Labelled, seed: int, settings: Mapping[str, Any]) -> Iterator[LatentsRun]:
    """All kinds of features, that are learnt without the labels.

    Parameters
    ----------
    name : str
        Of the table.
    rows : Labelled
        Its rows.
    seed : int
        Of the detector.
    settings : mapping
        Its parameters other than the defaults.
    """
    say(f"measuring {name}, seed {seed} ...")
    n_train, n_test = len(rows.y_train), len(rows.y_test)
    blank = LatentsRun(name, "", seed, n_train, int(rows.y_train.sum()), n_test, int(rows.y_test.sum()))
    try:
        with few_threads():
            raw = _features(one_hot_columns(), rows)
            latents = _features(detector(OURS).build(seed, settings), rows)
            for kind, features in zip(FEATURES, (raw, latents, raw.beside(latents)), strict=True):
                yield _judged(replace(blank, features=kind), features, rows)
    except (VaeAnomalyError, ValueError, MemoryError) as error:
        say(f"failed: {error}")
        yield replace(blank, failure=str(error))


def _features(transformer: Any, rows: Labelled) -> Features:
    start = perf_counter()
    fitted = transformer.fit(rows.train)
    train, test = (np.asarray(fitted.transform(part), dtype=np.float64) for part in (rows.train, rows.test))
    return Features(train, test, perf_counter() - start)


def _judged(run: LatentsRun, features: Features, rows: Labelled) -> LatentsRun:
    """Learn the labels by the same regression, at scikit-learn's defaults, whatever the features are."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import average_precision_score, roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    start = perf_counter()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=_MOST_ITERATIONS))
    model.fit(features.train, rows.y_train)
    probability = model.predict_proba(features.test)[:, 1]
    return replace(
        run,
        n_features=features.train.shape[1],
        average_precision=float(average_precision_score(rows.y_test, probability)),
        roc_auc=float(roc_auc_score(rows.y_test, probability)),
        feature_seconds=features.seconds,
        fit_seconds=perf_counter() - start,
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark, output and seeds aside."""
    parser.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="the README says what lies in it")
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS), metavar="NAME")
    parser.set_defaults(command=latents_command)


def latents_command(chosen: argparse.Namespace) -> int:
    """Measure, print, write."""
    where = environment()
    runs = run_latents(chosen.only, chosen.data_dir, seeds=chosen.seeds)
    show_environment(where)
    show_latents(runs)
    if chosen.output is not None:
        write_runs([run.to_row() for run in runs], where, chosen.output, benchmark="latents", force=chosen.force)
    return 1 if any(run.failure for run in runs) else 0


def show_latents(runs: Sequence[LatentsRun]) -> None:
    """Print a line for each table and kind of features: mean ± standard deviation over the seeds."""
    headers = ["data", "features", "how many", "average precision", "ROC AUC", "feature s", "regression s"]
    groups: dict[tuple[str, str], list[LatentsRun]] = {}
    for run in runs:
        if run.failure is None:
            groups.setdefault((run.data, run.features), []).append(run)
    rows = [
        (
            data,
            kind,
            figure(_mean(group, "n_features"), 0),
            *(_over(group, name) for name in ("average_precision", "roc_auc")),
            *(figure(_mean(group, name), 1) for name in ("feature_seconds", "fit_seconds")),
        )
        for (data, kind), group in groups.items()
    ]
    n_seeds = len({run.seed for run in runs})
    title = f"Labels by a logistic regression, {n_seeds} seed{'s' if n_seeds > 1 else ''}"
    show(title, headers, rows, text_columns=2)
    for run in runs:
        if run.failure is not None:
            print(f"\n{run.data}, seed {run.seed} failed: {run.failure}")


def _mean(group: Sequence[LatentsRun], name: str) -> float | None:
    known = [value for run in group if (value := getattr(run, name)) is not None]
    return mean(known) if known else None


def _over(group: Sequence[LatentsRun], name: str) -> str:
    known = [value for run in group if (value := getattr(run, name)) is not None]
    return figure(_mean(group, name)) + (f" ± {figure(stdev(known))}" if len(known) > 1 else "")
