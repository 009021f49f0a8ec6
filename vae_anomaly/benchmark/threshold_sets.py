"""Payments by time for thresholds: earlier ones train, the next calibrate, later ones are judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.benchmark.encodings import Z_SCORES
from vae_anomaly.benchmark.files import FILES
from vae_anomaly.benchmark.number_suites import ROWS_OF_A_GENUINE_PAYMENT
from vae_anomaly.benchmark.payment_suites import TESTING, TRAINING, read_sparkov
from vae_anomaly.benchmark.protocol import Integers
from vae_anomaly.benchmark.reading import check_columns, read_labelled
from vae_anomaly.errors import TableError, VaeAnomalyError

if TYPE_CHECKING:
    import pandas as pd

Times = NDArray[np.datetime64]
Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

_FIRST_HOUR = np.datetime64("2013-09-01")
_TRAINS, _CALIBRATES = 0.5, 0.25


@dataclass(frozen=True, eq=False)
class Dated:
    """Payments in the order of time.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_columns)
        What detectors may see.
    y : bool ndarray of shape (n_rows,)
        True for a fraud.
    time : datetime64[ns] ndarray of shape (n_rows,)
        When each came.
    amount : float64 ndarray of shape (n_rows,)
        In one currency.
    """

    X: pd.DataFrame
    y: Booleans
    time: Times
    amount: Floats

    def part(self, rows: Integers) -> Dated:
        """Some of the rows, by number."""
        return Dated(self.X.iloc[rows].reset_index(drop=True), self.y[rows], self.time[rows], self.amount[rows])


@dataclass(frozen=True, eq=False)
class Parts:
    """Numbers of rows; no row is in two parts, and each part is later than the one before.

    Parameters
    ----------
    train, calibration, later : int64 ndarray
        What the detector learns from, what thresholds are set on, and what is judged.
    """

    train: Integers
    calibration: Integers
    later: Integers


@dataclass(frozen=True)
class ThresholdSet:
    """A data set, and what its owner would know and wish for without its labels.

    Parameters
    ----------
    path : str
        Below the data folder.
    read : callable
        ``read(path, seed)``, rows in the order of time.
    divide : callable
        ``divide(time)``.
    encoding : str
        What peers get: a key of `vae_anomaly.benchmark.encodings.ENCODINGS`.
    period : str
        "day" or "hour": that of the alert budget, and of a batch.
    budget : int
        Alerts in a period that the team can work.
    share : float
        Share of frauds that its owner assumes.
    """

    path: str
    read: Callable[[Path, int], Dated]
    divide: Callable[[Times], Parts]
    encoding: str
    period: str
    budget: int
    share: float


def by_month(time: Times) -> Parts:
    """May to July train, August calibrates, September and October are judged.

    Examples
    --------
    >>> parts = by_month(np.array(["2019-07-31T23", "2019-08-31T23", "2019-09-01T00"], dtype="datetime64[ns]"))
    >>> parts.train.tolist(), parts.calibration.tolist(), parts.later.tolist()
    ([0], [1], [2])
    """
    cuts = [np.datetime64(day) for day in (*TRAINING, *TESTING)]
    return Parts(*(_between(time, first, after) for first, after in pairwise(cuts)))


def by_share(time: Times) -> Parts:
    """The first half trains, the next quarter calibrates, the last is judged; rows of one moment are not parted.

    Examples
    --------
    >>> parts = by_share(np.datetime64("2013-09-01", "ns") + np.arange(8).astype("timedelta64[s]"))
    >>> parts.train.tolist(), parts.calibration.tolist(), parts.later.tolist()
    ([0, 1, 2, 3], [4, 5], [6, 7])
    """
    ordered = np.sort(time)
    first, second = (ordered[int(share * len(time))] for share in (_TRAINS, _TRAINS + _CALIBRATES))
    return Parts(
        np.flatnonzero(time < first),
        np.flatnonzero((time >= first) & (time < second)),
        np.flatnonzero(time >= second),
    )


def read_by_month(path: Path, seed: int) -> Dated:
    """Read sparkov as the suite card-time does: the number of the card aside. The same for every seed."""
    data = read_sparkov(path)
    assert data.payments is not None  # noqa: S101  (they are read above)
    rows: pd.DataFrame = data.X  # type: ignore[assignment]
    order = np.argsort(rows["trans_datetime"].to_numpy(), kind="stable")
    time = rows["trans_datetime"].to_numpy().astype("datetime64[ns]")
    return Dated(rows, data.y == 1, time, data.payments.amount).part(order)


def read_two_days(path: Path, seed: int, *, every: float = 1.0) -> Dated:
    """Read creditcard, its running clock aside.

    To a detector that has seen the seconds of the first half, those of the second would be anomalies one and all.

    Parameters
    ----------
    path : Path
        Where it is.
    seed : int
        Which frauds are kept.
    every : float, default=1.0
        One fraud in so many is kept, drawn from all of them.

    Raises
    ------
    TableError
        If it does not hold what is expected.
    """
    data = read_labelled(FILES["creditcard"], path)
    rows: pd.DataFrame = data.X  # type: ignore[assignment]
    check_columns(rows, ("Time", "Amount"), path)
    fraud = data.y == 1
    frauds = np.random.default_rng([seed, 3]).permutation(np.flatnonzero(fraud))
    kept = np.sort(np.concatenate([np.flatnonzero(~fraud), frauds[: round(len(frauds) / every)]]))
    seconds = rows["Time"].to_numpy()
    time = _FIRST_HOUR + (1e9 * seconds).astype("timedelta64[ns]")
    dated = Dated(rows.drop(columns="Time"), fraud, time, rows["Amount"].to_numpy(dtype=np.float64))
    return dated.part(kept[np.argsort(time[kept], kind="stable")])


THRESHOLD_SETS: dict[str, ThresholdSet] = {
    "sparkov": ThresholdSet(
        path=FILES["sparkov"].path,
        read=read_by_month,
        divide=by_month,
        encoding="ordinal",
        period="day",
        budget=20,
        share=0.01,
    ),
    "creditcard": ThresholdSet(
        path=FILES["creditcard"].path,
        read=partial(read_two_days, every=ROWS_OF_A_GENUINE_PAYMENT),
        divide=by_share,
        encoding=Z_SCORES,
        period="hour",
        budget=5,
        share=0.002,
    ),
    "creditcard, all frauds": ThresholdSet(
        path=FILES["creditcard"].path,
        read=read_two_days,
        divide=by_share,
        encoding=Z_SCORES,
        period="hour",
        budget=10,
        share=0.02,
    ),
}


def read_set(name: str, data_dir: Path, seed: int) -> tuple[Dated, Parts]:
    """Rows of a data set, and how they are divided.

    Raises
    ------
    VaeAnomalyError
        If the file is not there, or a part has no genuine row or no fraud.

    Examples
    --------
    >>> read_set("sparkov", Path("/no/such/folder"), 0)
    Traceback (most recent call last):
        ...
    vae_anomaly.errors.VaeAnomalyError: --data-dir: expected sparkov in /no/such/folder, found none. Its layout is in \
vae_anomaly/benchmark/README.md.
    """
    entry = THRESHOLD_SETS[name]
    path = data_dir / entry.path
    if not path.is_file():
        raise VaeAnomalyError(
            f"--data-dir: expected {name} in {data_dir}, found none. Its layout is in vae_anomaly/benchmark/README.md."
        )
    dated = entry.read(path, seed)
    parts = entry.divide(dated.time)
    for what, rows in vars(parts).items():
        if not 0 < dated.y[rows].sum() < len(rows):
            raise TableError(
                f"{path}: expected frauds and genuine rows among those of {what!r}, found {len(rows):,} rows with "
                f"{int(dated.y[rows].sum()):,} frauds. Give the whole file."
            )
    return dated, parts


def _between(time: Times, first: np.datetime64, after: np.datetime64) -> Integers:
    return np.flatnonzero((time >= first) & (time < after))
