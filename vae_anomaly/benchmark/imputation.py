"""How well gaps are filled: cells of test rows removed at random, and what each method puts there."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.benchmark.detectors import OURS, detector
from vae_anomaly.benchmark.environment import environment, show_environment
from vae_anomaly.benchmark.imputation_peers import CHAINED, MEANS, NEIGHBOURS, Fitted, fit_peer
from vae_anomaly.benchmark.measuring import few_threads
from vae_anomaly.benchmark.suites import SUITES
from vae_anomaly.benchmark.table import figure, say, show, write_runs
from vae_anomaly.errors import VaeAnomalyError

if TYPE_CHECKING:
    import pandas as pd

Booleans = NDArray[np.bool_]

METHODS = (OURS, CHAINED, NEIGHBOURS, MEANS)
SHARES = (0.1, 0.3)
MOST_TEST_ROWS, N_DRAWS, INTERVAL = 2_000, 50, 0.8

SETS: dict[str, tuple[str, str]] = {
    "vehicle_claims": ("claims-contaminated", "vehicle_claims"),
    "sparkov": ("card-time", "sparkov"),
    "creditcard": ("creditcard-contaminated", "creditcard"),
    "pendigits": ("contaminated", "pendigits"),
    "Waveform": ("contaminated", "Waveform"),
}
"""The protocol that splits each table, and its name there."""


@dataclass(frozen=True)
class ImputationRun:
    """One method on one table with so many cells removed, with one seed.

    Parameters
    ----------
    data, method : str
        Their names.
    share : float
        Of the cells that are removed.
    seed : int
        Of the split, the rows, the cells and the method.
    n_train, n_test, n_numbers, n_levels : int
        Rows, and cells that are removed and judged.
    rmse, mae : float or None
        Of removed numbers, in standard deviations of the training rows' column.
    accuracy : float or None
        Share of removed categories and booleans that come back.
    coverage, split_coverage : float or None
        Share of removed numbers within the middle 80 % of 50 draws, ends included; and with those that some draws are
        equal to placed among these at random, as whole numbers need it. Of ours alone.
    fit_seconds, fill_seconds, draw_seconds : float or None
        In this process; a peer's with its encoding.
    failure : str or None
        Why there are no figures.
    """

    data: str
    method: str
    share: float
    seed: int
    n_train: int = 0
    n_test: int = 0
    n_numbers: int = 0
    n_levels: int = 0
    rmse: float | None = None
    mae: float | None = None
    accuracy: float | None = None
    coverage: float | None = None
    split_coverage: float | None = None
    fit_seconds: float | None = None
    fill_seconds: float | None = None
    draw_seconds: float | None = None
    failure: str | None = None

    def to_row(self) -> dict[str, Any]:
        """A row of the tidy table."""
        return asdict(self)


@dataclass(frozen=True)
class Removal:
    """Test rows, and which of their cells are removed.

    Parameters
    ----------
    rows : DataFrame
        As they are.
    cells : bool ndarray of shape (n_rows, n_columns)
        Cells that are there and are removed.
    numbers : mapping of str to float
        Columns of numbers, and their standard deviations in the training rows.
    levels : tuple of str
        Columns of categories and booleans. Moments are removed too, and not judged.
    """

    rows: pd.DataFrame
    cells: Booleans
    numbers: Mapping[str, float]
    levels: tuple[str, ...]

    @property
    def with_gaps(self) -> pd.DataFrame:
        """The rows without the cells."""
        return self.rows.mask(self.cells)

    def errors(self, filled: pd.DataFrame) -> NDArray[np.float64]:
        """Filled less removed numbers, in standard deviations, column after column."""
        found = [
            (filled[name].to_numpy(float) - self.rows[name].to_numpy(float))[self._of(name)] / std
            for name, std in self.numbers.items()
        ]
        return np.concatenate([*found, np.zeros(0)])

    def hits(self, filled: pd.DataFrame) -> Booleans:
        """Which removed levels came back."""
        found = [(filled[name].astype(str) == self.rows[name].astype(str))[self._of(name)] for name in self.levels]
        return np.concatenate([*found, np.zeros(0, dtype=bool)])

    def _of(self, name: str) -> Booleans:
        return np.asarray(self.cells[:, self.rows.columns.get_loc(name)])


def remove(rows: pd.DataFrame, share: float, kinds: Mapping[str, str], train: pd.DataFrame, seed: int) -> Removal:
    """Choose cells at random.

    Parameters
    ----------
    rows : DataFrame
        Test rows.
    share : float
        Of their cells.
    kinds : mapping of str to str
        Of the columns.
    train : DataFrame
        Training rows.
    seed : int
        Of the choice.
    """
    rng = np.random.default_rng([seed, 3])
    cells = (rng.random(rows.shape) < share) & rows.notna().to_numpy()
    of_kind = {kind: [str(name) for name in rows if kinds.get(str(name)) == kind] for kind in set(kinds.values())}
    numbers = {name: float(train[name].astype(float).std()) or 1.0 for name in of_kind.get("numeric", [])}
    levels = (*of_kind.get("categorical", []), *of_kind.get("boolean", []))
    return Removal(rows, cells, numbers, levels)


def run_imputation(
    names: Iterable[str],
    data_dir: Path,
    *,
    seeds: int = 1,
    methods: Sequence[str] = METHODS,
    settings: Mapping[str, Any] | None = None,
) -> list[ImputationRun]:
    """Remove and fill cells of each table, for each seed, share and method.

    Parameters
    ----------
    names : iterable of str
        Keys of `SETS`.
    data_dir : Path
        Where the data are.
    seeds : int, default=1
        Seeds 0 to `seeds` − 1.
    methods : sequence of str
        Of `METHODS`.
    settings : mapping or None, default=None
        Parameters of ours other than its defaults: tests shorten it, no measurement does.

    Raises
    ------
    VaeAnomalyError
        If a file is not there or not what is expected.
    """
    runs = []
    for name in names:
        for seed in range(seeds):
            runs += list(_of_set(name, data_dir, seed, methods, settings or {}))
    return runs


def _of_set(
    name: str, data_dir: Path, seed: int, methods: Sequence[str], settings: Mapping[str, Any]
) -> Iterator[ImputationRun]:
    import pandas as pd

    suite_name, key = SETS[name]
    suite = SUITES[suite_name]
    found = suite.paths(data_dir)
    if key not in found:
        raise VaeAnomalyError(
            f"--data-dir: expected {name} in {data_dir}, found none. Its layout is in vae_anomaly/benchmark/README.md."
        )
    data = suite.read(found[key])
    split = suite.split(data, seed)
    tested = np.random.default_rng([seed, 4]).permutation(split.test)[:MOST_TEST_ROWS]
    train, test = (pd.DataFrame(data.part(rows).X).rename(columns=str) for rows in (split.train, np.sort(tested)))
    yield from _measured(name, train, test.reset_index(drop=True), seed, methods, settings)


def _measured(
    name: str,
    train: pd.DataFrame,
    test: pd.DataFrame,
    seed: int,
    methods: Sequence[str],
    settings: Mapping[str, Any],
) -> Iterator[ImputationRun]:
    """All methods, that learn once, with all shares."""
    from vae_anomaly.table.schema import Schema

    kinds = {column.name: str(column.kind) for column in Schema.infer(train).columns}
    train, test = (_dated(rows, kinds) for rows in (train, test))
    removals = {share: remove(test, share, kinds, train, seed) for share in SHARES}
    levels = next(iter(removals.values())).levels
    others = [column for column, kind in kinds.items() if kind in ("constant", "identifier")]
    for method in methods:
        say(f"measuring {method} on {name}, seed {seed} ...")
        blank = ImputationRun(name, method, 0.0, seed, len(train), len(test))
        try:
            with few_threads():
                fitted, draw = _fit(method, train, (*levels, *others), seed, settings)
                for share, removal in removals.items():
                    yield _filled(replace(blank, share=share), removal, fitted, draw)
        except (VaeAnomalyError, ValueError, MemoryError) as error:  # the others still count
            say(f"failed: {error}")
            yield replace(blank, failure=str(error))


def _dated(rows: pd.DataFrame, kinds: Mapping[str, str]) -> pd.DataFrame:
    """With dates that are text as dates, for peers that could not tell them from categories."""
    import pandas as pd

    return rows.assign(**{name: pd.to_datetime(rows[name]) for name, kind in kinds.items() if kind == "datetime"})


Draw = Callable[["pd.DataFrame"], list["pd.DataFrame"]]


def _fit(
    method: str, train: pd.DataFrame, categories: Sequence[str], seed: int, settings: Mapping[str, Any]
) -> tuple[Fitted, Draw | None]:
    if method != OURS:
        return fit_peer(method, train, categories, seed), None
    start = perf_counter()
    ours = detector(OURS).build(seed, settings).fit(train)
    return Fitted(ours.impute, perf_counter() - start), lambda rows: list(ours.impute(rows, N_DRAWS, random_state=seed))


def _filled(run: ImputationRun, removal: Removal, fitted: Fitted, draw: Draw | None) -> ImputationRun:
    start = perf_counter()
    filled = fitted.fill(removal.with_gaps)
    seconds = perf_counter() - start
    errors, hits = removal.errors(filled), removal.hits(filled)
    run = replace(run, n_numbers=len(errors), n_levels=len(hits), fit_seconds=fitted.seconds, fill_seconds=seconds)
    if len(errors):
        run = replace(run, rmse=float(np.sqrt(np.square(errors).mean())), mae=float(np.abs(errors).mean()))
    if len(hits):
        run = replace(run, accuracy=float(hits.mean()))
    if draw is None or not len(errors):
        return run
    start = perf_counter()
    drawn = draw(removal.with_gaps)
    seconds = perf_counter() - start
    whole, split = coverages(np.array([removal.errors(table) for table in drawn]), run.seed)
    return replace(run, coverage=whole, split_coverage=split, draw_seconds=seconds)


def coverages(errors: NDArray[np.float64], seed: int) -> tuple[float, float]:
    """How often the truth lies in the middle of draws: ends included, and with ties split at random.

    Czado, Gneiting & Held (2009), "Predictive model assessment for count data", for the latter: where a column has few
    values, an interval that includes its ends covers more than it says, however good it is.

    Parameters
    ----------
    errors : float64 ndarray of shape (n_draws, n_cells)
        Draws less the truth.
    seed : int
        Of the split.

    Examples
    --------
    >>> coverages(np.zeros((50, 10_000)), seed=0)
    (1.0, 0.8054)
    """
    low, high = np.quantile(errors, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], axis=0, method="weibull")
    below, equal = (errors < -_CLOSE).mean(axis=0), (np.abs(errors) <= _CLOSE).mean(axis=0)
    place = below + equal * np.random.default_rng([seed, 5]).random(errors.shape[1])
    within = ((low <= _CLOSE) & (high >= -_CLOSE)).mean(), (np.abs(place - 0.5) <= INTERVAL / 2).mean()
    return float(within[0]), float(within[1])


_CLOSE = 1e-9
"""Standard deviations, for what float arithmetic does to numbers that are equal."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark, output and seeds aside."""
    parser.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="the README says what lies in it")
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS), metavar="NAME")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.set_defaults(command=imputation_command)


def imputation_command(chosen: argparse.Namespace) -> int:
    """Measure, print, write."""
    where = environment()
    runs = run_imputation(chosen.only, chosen.data_dir, seeds=chosen.seeds, methods=chosen.methods)
    show_environment(where)
    show_imputation(runs)
    if chosen.output is not None:
        write_runs([run.to_row() for run in runs], where, chosen.output, benchmark="imputation", force=chosen.force)
    return 1 if any(run.failure for run in runs) else 0


def show_imputation(runs: Sequence[ImputationRun]) -> None:
    """Print a line for each table, share and method: mean ± standard deviation over the seeds."""
    headers = [
        "data",
        "removed",
        "method",
        "RMSE",
        "MAE",
        "accuracy",
        "coverage",
        "ties split",
        "fit s",
        "fill s",
        "50 draws s",
    ]
    groups: dict[tuple[str, float, str], list[ImputationRun]] = {}
    for run in runs:
        if run.failure is None:
            groups.setdefault((run.data, run.share, run.method), []).append(run)
    rows = []
    for (data, share, method), group in groups.items():
        figures = [_over(group, name) for name in ("rmse", "mae", "accuracy", "coverage", "split_coverage")]
        seconds = [figure(_mean(group, f"{name}_seconds"), 1) for name in ("fit", "fill", "draw")]
        rows.append((data, f"{100 * share:.0f} %", method, *figures, *seconds))
    n_seeds = len({run.seed for run in runs})
    title = f"Cells of test rows removed at random, {n_seeds} seed{'s' if n_seeds > 1 else ''}"
    show(title, headers, rows, text_columns=3)
    for run in runs:
        if run.failure is not None:
            print(f"\n{run.data}, seed {run.seed}: {run.method} failed: {run.failure}")


def _mean(group: Sequence[ImputationRun], name: str) -> float | None:
    known = [value for run in group if (value := getattr(run, name)) is not None]
    return mean(known) if known else None


def _over(group: Sequence[ImputationRun], name: str) -> str:
    known = [value for run in group if (value := getattr(run, name)) is not None]
    return figure(_mean(group, name)) + (f" ± {figure(stdev(known))}" if len(known) > 1 else "")
