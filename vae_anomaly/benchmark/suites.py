"""The protocols of the quality benchmark: which rows train, which test, and how many rows each test row stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.benchmark.files import FILES
from vae_anomaly.benchmark.table import say
from vae_anomaly.errors import TableError, VaeAnomalyError

Integers = NDArray[np.int64]

MOST_ROWS, LEAST_ANOMALIES = 20_000, 20
TRAINING_PAYMENTS, TRAINING_FRAUDS = 12_154, 21
ROWS_OF_A_GENUINE_PAYMENT = 11.7
"""The file holds all frauds of its source and one genuine payment in so many."""

TUNING = (
    *("annthyroid", "cardio", "fault", "Ionosphere", "letter", "mammography", "PageBlocks"),
    *("pendigits", "Pima", "satellite", "SpamBase", "vowels", "Wilt", "yeast"),
)
CHECKING = ("campaign", "optdigits", "shuttle", "Stamps", "Waveform", "wine")
QUICK = ("cardio", "Ionosphere", "Pima", "vowels", "yeast")
GROUPS = {"tuning": TUNING, "checking": CHECKING, "quick": QUICK}
"""What may be looked at while the defaults are chosen, what may not, and a small part of the former."""


@dataclass(frozen=True)
class DataSet:
    """Rows, and which of them are anomalous.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_columns)
        As they are in the file.
    y : int64 ndarray of shape (n_rows,)
        1 for an anomaly.
    """

    X: NDArray[np.generic]
    y: Integers


@dataclass(frozen=True)
class Split:
    """Numbers of rows.

    Parameters
    ----------
    train, test : int64 ndarray
        No row is in both.
    """

    train: Integers
    test: Integers


@dataclass(frozen=True)
class Suite:
    """A protocol.

    Parameters
    ----------
    paths : callable
        ``paths(data_dir)`` finds the data sets: name and file.
    split : callable
        ``split(y, seed)``.
    clean : bool
        Whether the training rows are known to be normal.
    genuine_weight : float or None
        How many rows a normal test row stands for, if the file holds too many anomalies.
    """

    paths: Callable[[Path], dict[str, Path]]
    split: Callable[[Integers, int], Split]
    clean: bool
    genuine_weight: float | None = None


def capped(y: Integers, seed: int) -> Integers:
    """Numbers of at most `MOST_ROWS` rows, drawn from each class by its share, with `LEAST_ANOMALIES` if there are any.

    Examples
    --------
    >>> y = np.zeros(100_000, dtype=int)
    >>> y[:50] = 1
    >>> rows = capped(y, seed=0)
    >>> len(rows), y[rows].sum()
    (20000, np.int64(20))
    """
    if len(y) <= MOST_ROWS:
        return np.arange(len(y))
    normal, anomalous = np.flatnonzero(y == 0), np.flatnonzero(y == 1)
    by_share = round(MOST_ROWS * len(anomalous) / len(y))
    n_anomalous = min(len(anomalous), max(LEAST_ANOMALIES, by_share))
    n_normal = min(len(normal), MOST_ROWS - n_anomalous)
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(normal, n_normal, replace=False), rng.choice(anomalous, n_anomalous, replace=False)]
    return np.sort(np.concatenate(chosen))


def normal50(y: Integers, seed: int) -> Split:
    """Half of the normal rows trains; the other half and all anomalies test.

    Examples
    --------
    >>> split = normal50(np.array([0, 0, 1, 0, 0]), seed=0)
    >>> len(split.train), len(split.test), 2 in split.test
    (2, 3, True)
    """
    rows = capped(y, seed)
    return _training_on(rows, y, n_normal=int((y[rows] == 0).sum()) // 2, n_anomalous=0, seed=seed)


def contaminated(y: Integers, seed: int) -> Split:
    """70 % of each class trains, the rest tests.

    Examples
    --------
    >>> split = contaminated(np.repeat([0, 1], [90, 10]), seed=0)
    >>> len(split.train), len(split.test), (split.train >= 90).sum()
    (70, 30, np.int64(7))
    """
    rows = capped(y, seed)
    counts = np.bincount(y[rows], minlength=2)
    return _training_on(rows, y, n_normal=round(0.7 * counts[0]), n_anomalous=round(0.7 * counts[1]), seed=seed)


def creditcard_normal(y: Integers, seed: int) -> Split:
    """`TRAINING_PAYMENTS` genuine payments train."""
    return _training_on(np.arange(len(y)), y, n_normal=TRAINING_PAYMENTS, n_anomalous=0, seed=seed)


def creditcard_contaminated(y: Integers, seed: int) -> Split:
    """`TRAINING_PAYMENTS` genuine payments train, with `TRAINING_FRAUDS` frauds among them."""
    return _training_on(np.arange(len(y)), y, n_normal=TRAINING_PAYMENTS, n_anomalous=TRAINING_FRAUDS, seed=seed)


def _training_on(rows: Integers, y: Integers, *, n_normal: int, n_anomalous: int, seed: int) -> Split:
    rng = np.random.default_rng([seed, 1])  # not the draws of `capped`
    shuffled = rng.permutation(rows)
    normal, anomalous = (shuffled[y[shuffled] == label] for label in (0, 1))
    if len(normal) <= n_normal or len(anomalous) <= n_anomalous:
        raise TableError(
            f"expected more than {n_normal:,} normal rows and {n_anomalous:,} anomalies, so that some are left to test"
            f" on; found {len(normal):,} and {len(anomalous):,}."
        )
    train = rng.permutation(np.concatenate([normal[:n_normal], anomalous[:n_anomalous]]))
    return Split(train, np.sort(np.concatenate([normal[n_normal:], anomalous[n_anomalous:]])))


def _adbench(data_dir: Path) -> dict[str, Path]:
    found = (data_dir / "adbench").glob("*.npz")
    named = {path.stem.split("_", 1)[-1]: path for path in found}  # 45_wine.npz
    return dict(sorted(named.items(), key=lambda item: item[0].lower()))


def _creditcard(data_dir: Path) -> dict[str, Path]:
    path = data_dir / FILES["creditcard"].path
    return {"creditcard": path} if path.is_file() else {}


SUITES: dict[str, Suite] = {
    "normal50": Suite(_adbench, normal50, clean=True),
    "contaminated": Suite(_adbench, contaminated, clean=False),
    "creditcard-normal": Suite(_creditcard, creditcard_normal, clean=True, genuine_weight=ROWS_OF_A_GENUINE_PAYMENT),
    "creditcard-contaminated": Suite(
        _creditcard, creditcard_contaminated, clean=False, genuine_weight=ROWS_OF_A_GENUINE_PAYMENT
    ),
}


def chosen_sets(suites: Iterable[str], data_dir: Path, names: Sequence[str] | None) -> list[tuple[str, str, Path]]:
    """Suite, data set and file of what is there; a suite without any is named and skipped.

    Parameters
    ----------
    suites : iterable of str
        Keys of `SUITES`.
    data_dir : Path
        Where the data are.
    names : sequence of str or None
        Data sets, or keys of `GROUPS`; None takes all.

    Raises
    ------
    VaeAnomalyError
        If a name is of no data set there, or none is left.
    """
    wanted = [one for name in names or () for one in GROUPS.get(name, (name,))]
    found = {suite: SUITES[suite].paths(data_dir) for suite in suites}
    known = {name for sets in found.values() for name in sets}
    absent = [name for name in wanted if name not in known]
    if absent or not known:
        raise VaeAnomalyError(
            f"--data-dir: expected {', '.join(absent) or 'data sets'} in {data_dir}, found"
            f" {', '.join(sorted(known, key=str.lower)) or 'none'}. Its layout is in vae_anomaly/benchmark/README.md."
        )
    chosen = []
    for suite, sets in found.items():
        taken = [name for name in sets if names is None or name in wanted]
        if not taken:
            say(f"skipped {suite}: expected its data in {data_dir}, found none of what was asked for.")
        chosen += [(suite, name, sets[name]) for name in taken]
    return chosen


def read_set(path: Path) -> DataSet:
    """Read an ADBench file (arrays `X` and `y`), or the card payments.

    Raises
    ------
    TableError
        If it does not hold what is expected.
    """
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            if not {"X", "y"} <= set(arrays):
                raise TableError(f"{path}: expected arrays X and y, found {sorted(arrays)}.")
            X, y = arrays["X"], arrays["y"].astype(np.int64).ravel()
    else:
        from vae_anomaly.benchmark.ordinal import read_rows

        rows = read_rows(str(path))
        label = FILES["creditcard"].label
        if label not in rows:
            raise TableError(f"{path}: expected a column {label}, found only {rows.columns.tolist()}.")
        X, y = rows.drop(columns=label).to_numpy(), rows[label].to_numpy().astype(np.int64)
    if X.ndim != 2 or X.shape[0] != len(y) or set(np.unique(y)) != {0, 1}:
        raise TableError(f"{path}: expected a label, 0 or 1, for each row, and both; found {X.shape} and {y.shape}.")
    return DataSet(X, y)
