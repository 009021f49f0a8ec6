"""Training and test rows by time, with a gap in which labels are not known yet; no test row is of the past."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import BaseCrossValidator

from vae_anomaly._durations import Duration, microseconds
from vae_anomaly._params import Instance, Number, OneOf, Rule, check_params
from vae_anomaly.decision._labelled import Booleans, as_groups, as_labels
from vae_anomaly.decision.calibration_rows import as_times
from vae_anomaly.errors import ParameterError, TableError

Rows = NDArray[np.intp]
Ticks = NDArray[np.int64]

_HOUR, _DAY = 3_600 * 10**6, 86_400 * 10**6  # microseconds
_NEVER = np.iinfo(np.int64).max // 2
_FARTHEST = _DAY * 365 * 10_000
_FROM = "to be judged on in the test window from "
_LENGTH = (Duration(), Instance((dt.timedelta, np.timedelta64), "a timedelta"))
_RULES: dict[str, tuple[Rule, ...]] = {
    "n_splits": (Number(1, integer=True),),
    "test_size": _LENGTH,
    "train_size": (*_LENGTH, OneOf((None,))),
    "delay": (*_LENGTH, OneOf((None,))),
    "time": (Instance((str,), "the name of a column"), OneOf((None,))),
    "end": (Instance((str, dt.date, np.datetime64), "a date or a time"), OneOf((None,))),
}


@dataclass(frozen=True)
class TimeOrderedSplit(BaseCrossValidator):
    """Cross-validation as a fraud team lives it: learn from the past, wait for labels, be judged on what comes after.

    Test windows follow each other without gap or overlap, the last one at the end of the rows. The rows to learn from
    end `delay` before the test window begins, as what happened later has no reliable label by then: a customer takes
    days to see a fraud and to report it. A detector that needs no label gains by a delay too, in being judged as those
    are that do.

    Parameters
    ----------
    n_splits : int, default=5
        Number of test windows.
    test_size : str or timedelta
        Length of a test window, such as "7D" or "12h".
    train_size : str, timedelta or None, default=None
        Length of the window to learn from. None: all that is earlier.
    delay : str, timedelta or None, default=None
        How long before a test window the rows to learn from end. None: where it begins.
    time : str or None, default=None
        Name of the column of `X` that has the times. None: they are given as `groups`.
    end : date, time or text of one, default=None
        Where the last test window ends; a row at that very moment is beyond it. None: the end of the day of the latest
        row, of its hour where `test_size` is below a day.

    Notes
    -----
    A row belongs to a window from its beginning up to, not including, its end: rows of one time are never parted, and
    every test row is more than `delay` later than every row that was learnt from.

    What `BehaviorFeatures` makes of a row knows earlier rows alone, so that features may be made of all rows once and
    split then; in a pipeline, the rows of the delay would be missing from the past of the test rows.

    References
    ----------
    Le Borgne, Siblini, Lebichot, Bontempi: Reproducible Machine Learning for Credit Card Fraud Detection - Practical
    Handbook (2022), "Prequential validation". Its protocol is ``TimeOrderedSplit(4, train_size="7D", test_size="7D",
    delay="7D")``, with `known_cards` to leave out the cards that are known as compromised.

    Examples
    --------
    >>> days = np.arange("2026-03-01", "2026-03-29", dtype="datetime64[D]")
    >>> splitter = TimeOrderedSplit(2, train_size="7D", test_size="7D", delay="7D")
    >>> for train, test in splitter.split(days, groups=days):
    ...     print(days[train[[0, -1]]], days[test[[0, -1]]])
    ['2026-03-01' '2026-03-07'] ['2026-03-15' '2026-03-21']
    ['2026-03-08' '2026-03-14'] ['2026-03-22' '2026-03-28']

    In a search, with the column of the times:

    >>> from sklearn.metrics import average_precision_score, make_scorer
    >>> from sklearn.model_selection import GridSearchCV
    >>> from vae_anomaly import VAEDetector
    >>> by_time = TimeOrderedSplit(3, test_size="7D", delay="1D", time="paid_at")
    >>> found = make_scorer(lambda y, normal: average_precision_score(y, -normal), response_method="decision_function")
    >>> search = GridSearchCV(VAEDetector(), {"latent": [8, 32]}, cv=by_time, scoring=found)
    """

    n_splits: int = 5
    _: KW_ONLY
    test_size: str | dt.timedelta | np.timedelta64
    train_size: str | dt.timedelta | np.timedelta64 | None = None
    delay: str | dt.timedelta | np.timedelta64 | None = None
    time: str | None = None
    end: str | dt.date | np.datetime64 | None = None

    __metadata_request__split = {"groups": True}  # noqa: RUF012  (scikit-learn reads it: `groups` go to it in a search)

    def __post_init__(self) -> None:
        check_params("TimeOrderedSplit", vars(self), _RULES)
        for name in ("test_size", "train_size", "delay"):
            _length("TimeOrderedSplit", name, getattr(self, name))

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of test windows; the arguments are ignored."""
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: ArrayLike | None = None) -> Iterator[tuple[Rows, Rows]]:
        """Rows to learn from and to be judged on, the earliest test window first.

        Parameters
        ----------
        X : frame or array of shape (n_samples, ...)
            With the column of the times, if `time` names it.
        y : ignored
            Labels are not looked at.
        groups : array of shape (n_samples,), optional
            The times, if `time` is None: dates, times or text of them.

        Yields
        ------
        train, test : intp ndarray
            Positions of rows, in the order of the input.

        Raises
        ------
        TableError
            A time is missing or none, or a window has no rows.
        ParameterError
            There are no times, or there is no such column.
        """
        times = self._times(X, groups)
        size, train_size, delay = (
            _length("TimeOrderedSplit", name, getattr(self, name)) for name in ("test_size", "train_size", "delay")
        )
        for begin in self._begins(times, size):
            known = begin - delay
            train = times < known
            if train_size:
                train &= times >= known - train_size
            test = (times >= begin) & (times < begin + size)
            for what, rows in ((f"to learn from before {_told(known)}", train), (_FROM + _told(begin), test)):
                if not rows.any():
                    raise _too_few(times, what)
            yield np.flatnonzero(train), np.flatnonzero(test)

    def _begins(self, times: Ticks, size: int) -> list[int]:
        """Where the test windows begin."""
        if self.end is not None:
            given: Any = [self.end]
            end = int(_ticks(as_times(given))[0])
        else:
            unit = _DAY if size >= _DAY else _HOUR
            end = (int(times.max()) // unit + 1) * unit
        first = end - self.n_splits * size
        if first < int(times.min()):
            raise _too_few(times, f"to learn from before {self.n_splits:,} test windows that end at {_told(end)}")
        return [first + number * size for number in range(self.n_splits)]

    def _times(self, X: Any, groups: ArrayLike | None) -> Ticks:
        if self.time is None:
            if groups is None:
                raise ParameterError(
                    "TimeOrderedSplit needs the time of each row: found neither 'time', the name of a column of X, nor "
                    "'groups'. Give one of them."
                )
            times = as_times(groups)
        else:
            names = [str(name) for name in _names(X)]
            if self.time not in names:
                raise ParameterError(
                    f"The 'time' parameter of TimeOrderedSplit must name a column of X: expected {self.time!r}, found "
                    f"{f'only {names}' if names else type(X).__name__}. Name another, or give the times as 'groups'."
                )
            times = as_times(X[self.time])
        if not len(times):
            raise TableError("Expected at least one row to learn from and one to be judged on, found none.")
        return _ticks(times)


def known_cards(
    y: ArrayLike, time: ArrayLike, card: ArrayLike, *, delay: str | dt.timedelta | np.timedelta64
) -> Booleans:
    """Which rows are of cards that are known as compromised on their day.

    A fraud is known `delay` after the end of its day. Whoever works alerts has blocked that card by then, so that later
    rows of it are not to be found any more: leave them out of a test.

    Parameters
    ----------
    y : array of shape (n_rows,)
        1 for a fraud, 0 for a normal row, of all rows: those to learn from, of the delay, and of the test.
    time : array of shape (n_rows,)
        Dates or times.
    card : array of shape (n_rows,)
        The card, or the customer, of each row.
    delay : str or timedelta
        Such as "7D".

    Returns
    -------
    bool ndarray of shape (n_rows,)
        True where an earlier fraud of the card is known.

    Raises
    ------
    TableError
        Lengths differ, a label is neither 0 nor 1, or a time or card is missing.
    ParameterError
        The delay is no time above 0.

    References
    ----------
    As of `TimeOrderedSplit`: `get_train_test_set`.

    Examples
    --------
    >>> days = ["2026-03-01", "2026-03-08", "2026-03-09", "2026-03-09"]
    >>> known_cards([1, 0, 1, 0], days, ["a", "a", "a", "b"], delay="7D")
    array([False, False,  True, False])
    """
    check_params("known_cards", {"delay": delay}, {"delay": _LENGTH})
    labels = as_labels(y)
    day = _ticks(as_times(time, len(labels))) // _DAY
    cards, of_row = as_groups("card", card, len(labels))
    first = np.full(len(cards), _NEVER)
    np.minimum.at(first, of_row[labels], day[labels])
    waits = -(-_length("known_cards", "delay", delay) // _DAY)  # whole days, the last one begun
    known: Booleans = day - first[of_row] > waits
    return known


def _names(X: Any) -> Any:
    """Of the columns of a frame: pandas and polars call them otherwise than pyarrow."""
    return X.column_names if hasattr(X, "column_names") else getattr(X, "columns", ())


def _length(owner: str, name: str, length: Any) -> int:
    """A time in microseconds; none is 0."""
    if length is None:
        return 0
    try:
        found = microseconds(length) if isinstance(length, str) else int(np.timedelta64(length, "us").astype(np.int64))
    except (TypeError, ValueError, OverflowError):  # of months, which are not of one length
        found = 0
    if not found > 0:
        raise ParameterError(f"The {name!r} parameter of {owner} must be a time above 0. Got {length!r} instead.")
    return found


def _ticks(times: NDArray[np.datetime64]) -> Ticks:
    """Microseconds since 1970."""
    return times.astype("datetime64[us]").astype(np.int64)


def _told(tick: int) -> str:
    """A time in words; one that no calendar has as the first or last that it has."""
    within = min(max(tick, -_FARTHEST), _FARTHEST)
    return str(np.datetime64(within // 10**6, "s")).replace("T", " ")


def _too_few(times: Ticks, what: str) -> TableError:
    return TableError(
        f"Expected rows {what}, found none: the {len(times):,} rows are from {_told(int(times.min()))} to "
        f"{_told(int(times.max()))}. Lower 'n_splits' or 'delay', widen the windows, or give rows of a longer time."
    )
