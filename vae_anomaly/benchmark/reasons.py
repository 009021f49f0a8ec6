"""Rows whose cause is planted: how often each explainer's first reason is that column, and how long it takes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.benchmark.detectors import EXTRA
from vae_anomaly.benchmark.measuring import few_threads
from vae_anomaly.benchmark.reasons_explainers import (
    CONDITIONAL,
    EXPLAINERS,
    SHAP,
    Explained,
    Floats,
    credit,
    importance,
)
from vae_anomaly.benchmark.reasons_planting import (
    BROKEN,
    KINDS,
    OUT_OF_RANGE,
    SWAPPED,
    Planted,
    PlantingRows,
    categories_of,
    numbers_of,
    planted,
    read_planting,
    told_numbers,
)
from vae_anomaly.benchmark.table import say
from vae_anomaly.errors import MissingExtraError

ALL, ALERTING = "all rows", "rows that alert"
OF_SHAP, OF_SHAP_ALERTING = "rows of SHAP", "rows of SHAP that alert"
SECONDS = "seconds per row"
PLANTED = "planted"

ALERTS = 0.03
"""Share of the normal rows that are above the threshold."""

_NEEDED = ("pyod", "tqdm", "shap")


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Parameters
    ----------
    train, normal : int
        Rows that train, and normal ones in which causes are planted; those of a file in which there are fewer.
    planted, shap : int
        Rows of each kind and seed, and how many of them SHAP is asked about.
    whole : int
        Rows of a simulated table that is scored and explained as a whole.
    repeats : int
        How often the shell commands are timed.
    settings : mapping
        Parameters of `VAEDetector` other than the defaults; none in a measurement.
    """

    train: int
    normal: int
    planted: int
    shap: int
    whole: int
    repeats: int
    settings: Mapping[str, Any]


FULL = Sizes(train=10_000, normal=2_000, planted=240, shap=24, whole=100_000, repeats=3, settings={})
QUICK = Sizes(
    train=800, normal=200, planted=12, shap=2, whole=1_000, repeats=1, settings={"max_steps": 60, "n_members": 1}
)
"""To see that it runs; the figures say nothing."""


@dataclass(frozen=True)
class ReasonRun:
    """One figure.

    Parameters
    ----------
    part : str
        Of the benchmark: "additivity", "planted", "nearest", "time".
    data, case, method : str
        Which table; what was done to it, or which score; whose figure.
    quantity : str
        What was measured; its unit, where it has one.
    seed : int
        Of the detector, and of all that is drawn.
    rows : int
        How many the figure is over.
    value : float or None
        The figure; None without rows.
    failure : str or None
        Why there is none.
    """

    part: str
    data: str
    case: str
    method: str
    quantity: str
    seed: int = 0
    rows: int = 0
    value: float | None = None
    failure: str | None = None

    def to_row(self) -> dict[str, Any]:
        """A row of the tidy table."""
        return asdict(self)


def check_peers() -> None:
    """Raise a `MissingExtraError` before the first measurement if a peer is not installed."""
    for package in _NEEDED:
        if find_spec(package) is None:
            raise MissingExtraError(package, EXTRA)


def run_planted(names: Sequence[str], data_dir: Path | None, *, seeds: int = 1, sizes: Sizes = FULL) -> list[ReasonRun]:
    """Plant causes in each table, and ask every explainer.

    Parameters
    ----------
    names : sequence of str
        Keys of `vae_anomaly.benchmark.reasons_planting.PLANTING_SETS`.
    data_dir : Path or None
        Where files are.
    seeds : int, default=1
        How many: 0, 1, ...
    sizes : Sizes
        How much is measured.

    Returns
    -------
    list of ReasonRun
        Shares of rows in which the first reason is the planted column, and seconds per row.

    Raises
    ------
    MissingExtraError
        If a peer is not installed.
    """
    check_peers()
    runs: list[ReasonRun] = []
    for name in names:
        for seed in range(seeds):
            say(f"planting in {name}, seed {seed} ...")
            try:
                with few_threads(), warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of small tables, and of peers
                    runs += _of_table(name, read_planting(name, data_dir, sizes.train, sizes.normal, seed), seed, sizes)
            except Exception as error:  # of a peer too, whatever it raises: the others still count
                say(f"failed: {error}")
                runs.append(ReasonRun(PLANTED, name, "–", "–", ALL, seed, failure=f"{type(error).__name__}: {error}"))
    return runs


def fitted(rows: PlantingRows, seed: int, sizes: Sizes) -> tuple[Explained, float, PlantingRows]:
    """A detector of the training rows, a threshold that `ALERTS` of the normal rows are above, and the others."""
    from vae_anomaly.detector import VAEDetector

    detector = VAEDetector(random_state=seed, **sizes.settings).fit(rows.train)
    scores = detector.anomaly_score(rows.normal)
    threshold = float(np.quantile(scores, 1 - ALERTS))
    quiet = rows.normal[scores <= threshold].reset_index(drop=True)
    return Explained(detector, rows.train, seed), threshold, PlantingRows(rows.train, quiet)


def cases(explained: Explained, rows: PlantingRows, seed: int, n_rows: int) -> Iterator[tuple[str, Planted]]:
    """Rows with a planted cause, by kind; of columns that the detector models."""
    columns = {
        OUT_OF_RANGE: numbers_of(rows.train),
        SWAPPED: categories_of(rows.train),
        BROKEN: told_numbers(rows.normal),
    }
    for kind in KINDS:
        modelled = [name for name in columns[kind] if name in explained.columns]
        if modelled:
            yield kind, planted(rows, kind, modelled, n_rows, seed)


def _of_table(name: str, rows: PlantingRows, seed: int, sizes: Sizes) -> list[ReasonRun]:
    explained, threshold, rows = fitted(rows, seed, sizes)
    importance(SHAP, explained, rows.normal.head(1))  # what it compiles on first use is not timed
    runs = []
    for kind, wrong in cases(explained, rows, seed, sizes.planted):
        alerts = explained.detector.anomaly_score(wrong.rows) > threshold
        run = ReasonRun(PLANTED, name, kind, CONDITIONAL, SECONDS, seed, rows=min(sizes.shap, len(alerts)))
        start = perf_counter()
        explained.detector.explain(wrong.rows.head(run.rows))
        runs.append(replace(run, value=(perf_counter() - start) / run.rows))
        for method in EXPLAINERS:
            start = perf_counter()
            found = _credits(explained, wrong, method, run.rows if method == SHAP else len(alerts))
            if method == SHAP:
                runs.append(replace(run, method=method, value=(perf_counter() - start) / run.rows))
            runs += [
                replace(run, method=method, quantity=scope, rows=len(of), value=float(of.mean()) if len(of) else None)
                for scope, of in _scopes(found, alerts, run.rows)
            ]
    return runs


def _scopes(found: Floats, alerts: NDArray[np.bool_], n_shap: int) -> Iterator[tuple[str, Floats]]:
    """All that were asked about, and those that alert; and the same among the rows that SHAP is asked about."""
    for all_rows, alerting, n_rows in ((ALL, ALERTING, len(found)), (OF_SHAP, OF_SHAP_ALERTING, n_shap)):
        yield all_rows, found[:n_rows]
        yield alerting, found[:n_rows][alerts[: len(found[:n_rows])]]


def _credits(explained: Explained, wrong: Planted, method: str, n_rows: int) -> Floats:
    """Of the planted column in each of the first rows."""
    of_column = {name: place for place, name in enumerate(explained.columns)}
    found = importance(method, explained, wrong.rows.head(n_rows))
    return credit(found, np.array([of_column[name] for name in wrong.column[: len(found)]]))
