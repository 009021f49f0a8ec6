"""What a protocol is: where its data are, how they are read, which rows train and which test, and who takes part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.benchmark.encodings import Z_SCORES
from vae_anomaly.benchmark.payments import Payments
from vae_anomaly.errors import TableError

if TYPE_CHECKING:
    import pandas as pd

Integers = NDArray[np.int64]
Table: TypeAlias = "NDArray[Any] | pd.DataFrame"


@dataclass(frozen=True, eq=False)
class DataSet:
    """Rows, and which of them are anomalous.

    Parameters
    ----------
    X : ndarray or DataFrame of shape (n_rows, n_columns)
        As they are in the file.
    y : int64 ndarray of shape (n_rows,)
        1 for an anomaly.
    payments : Payments or None
        Where the rows are payments with a day, a card and an amount.
    """

    X: Table
    y: Integers
    payments: Payments | None = None

    def part(self, rows: Integers) -> DataSet:
        """The rows with these numbers, of one class or both."""
        X = self.X[rows] if isinstance(self.X, np.ndarray) else self.X.iloc[rows]
        return DataSet(X, self.y[rows], None if self.payments is None else self.payments.part(rows))


@dataclass(frozen=True, eq=False)
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
    read : callable
        ``read(path)`` reads one of them.
    split : callable
        ``split(data, seed)``, by `by_label` or `by_time`.
    clean : bool
        Whether the training rows are known to be normal.
    genuine_weight : float or None
        How many rows a normal test row stands for, if the file holds too many anomalies.
    encodings : tuple of str
        Keys of `vae_anomaly.benchmark.encodings.ENCODINGS`: what peers that need numbers get. They take part with each.
    too_slow : mapping of str to str
        Who takes no part, by its name in tables, and why: tables say so.
    """

    paths: Callable[[Path], dict[str, Path]]
    read: Callable[[Path], DataSet]
    split: Callable[[DataSet, int], Split]
    clean: bool
    genuine_weight: float | None = None
    encodings: tuple[str, ...] = (Z_SCORES,)
    too_slow: Mapping[str, str] = field(default_factory=dict)


def by_label(split: Callable[[Integers, int], Split]) -> Callable[[DataSet, int], Split]:
    """A split that depends on labels and seed only: ``split(y, seed)``."""
    return lambda data, seed: split(data.y, seed)


def by_time(split: Callable[[Payments, Integers], Split]) -> Callable[[DataSet, int], Split]:
    """A split by the calendar, ``split(payments, y)``: the same for every seed, which is then the detector's alone."""

    def apply(data: DataSet, seed: int) -> Split:
        if data.payments is None:
            raise TableError("expected payments with a day, a card and an amount each, found rows without.")
        return split(data.payments, data.y)

    return apply


def one_file(name: str, path: str) -> Callable[[Path], dict[str, Path]]:
    """Finds a data set that is one file below the data folder.

    Examples
    --------
    >>> one_file("claims", "no-such-folder/claims.csv")(Path("."))
    {}
    """

    def paths(data_dir: Path) -> dict[str, Path]:
        return {name: data_dir / path} if (data_dir / path).is_file() else {}

    return paths
