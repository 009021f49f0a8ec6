"""The rows that a threshold is set on, checked once for every rule."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_anomaly._params import Number, OneOf, check_params
from vae_anomaly.decision._labelled import Booleans, Floats, as_labels
from vae_anomaly.errors import TableError

_MOST = 1e303
"""Of a sum, so that a thousandth of a per cent as prevalence can still weight it."""

_EARLIEST, _LATEST = np.datetime64("1678-01-01"), np.datetime64("2262-01-01")
"""What nanoseconds in 64 bits can say, in whole years."""

_CONTAMINATION = {"contamination": (Number(0, 0.5), OneOf((None,)))}


@dataclass(frozen=True, eq=False)
class CalibrationRows:
    """Held-out rows, never trained on, with what is known of them. Made by `from_arrays`, which checks.

    Parameters
    ----------
    score : float64 ndarray of shape (n_rows,)
        Anomaly scores: higher is more anomalous. Finite.
    y : bool ndarray of shape (n_rows,) or None
        True for an anomaly. None: not known, which is the default assumption.
    amount : float64 ndarray of shape (n_rows,) or None
        What each row is worth, in one currency.
    time : datetime64[ns] ndarray of shape (n_rows,) or None
        When each row came.
    group : object ndarray of shape (n_rows,) or None
        Name of the segment of each row, or None where it is missing.
    weight : float64 ndarray of shape (n_rows,) or None
        How much each row resembles those that are to be scored, for covariate shift.
    contamination : float or None
        Share of anomalies assumed among unlabelled rows. None: not known.
    cluster : int ndarray of shape (n_rows,) or None
        Which rows may resemble each other, such as those of one card. None: each row stands for itself.
    """

    score: Floats
    y: Booleans | None = None
    amount: Floats | None = None
    time: NDArray[np.datetime64] | None = None
    group: NDArray[np.object_] | None = None
    weight: Floats | None = None
    contamination: float | None = None
    cluster: NDArray[np.intp] | None = None

    @classmethod
    def from_arrays(
        cls,
        score: ArrayLike,
        y: ArrayLike | None = None,
        *,
        amount: ArrayLike | None = None,
        time: ArrayLike | None = None,
        group: ArrayLike | None = None,
        weight: ArrayLike | None = None,
        contamination: float | None = None,
        cluster: ArrayLike | None = None,
    ) -> Self:
        """Check and convert columns.

        Parameters
        ----------
        score : array of shape (n_rows,)
            Anomaly scores: higher is more anomalous.
        y : array of shape (n_rows,), optional
            1 for an anomaly, 0 for a normal row; booleans will do.
        amount : array of shape (n_rows,), optional
            Finite and not negative.
        time : array of shape (n_rows,), optional
            Dates or times without a time zone, or ISO 8601 text.
        group : array of shape (n_rows,), optional
            Segments, compared as text, so that 1 and "1" are one segment; None and NaN belong to no segment.
        weight : array of shape (n_rows,), optional
            Finite and not negative, not all 0.
        contamination : float, optional
            In [0, 0.5]; only said of rows without labels.
        cluster : array of shape (n_rows,), optional
            Rows with one value, such as that of a card, may resemble each other, and count as one in a bound of shares.

        Returns
        -------
        CalibrationRows
            The columns as arrays of one length.

        Raises
        ------
        TableError
            Lengths differ, a value is missing or not finite, a label is neither 0 nor 1, or every label is 1.
        ParameterError
            The contamination is no number in [0, 0.5].

        Examples
        --------
        >>> rows = CalibrationRows.from_arrays([0.2, 1.5, 0.7], y=[0, 1, 0])
        >>> rows.normal_score
        array([0.2, 0.7])
        """
        check_params("CalibrationRows", {"contamination": contamination}, _CONTAMINATION)
        scores = _finite("score", score)
        if not len(scores):
            raise TableError("Expected calibration rows, found none. Give rows that were held out of the training.")
        n_rows = len(scores)
        labels = None if y is None else _labels(y, n_rows)
        amounts = None if amount is None else _not_negative("amount", amount, n_rows)
        weights = None if weight is None else _not_negative("weight", weight, n_rows)
        rows = cls(
            scores,
            labels,
            amounts,
            None if time is None else as_times(time, n_rows),
            None if group is None else as_segments(group, n_rows),
            weights,
            None if contamination is None else float(contamination),
            None if cluster is None else _clusters(cluster, n_rows),
        )
        if not rows.stands_for_normal:
            of = "" if labels is None else " of normal rows"
            raise TableError(
                f"Expected weights{of} of which some are above 0, found only 0. Correct or leave them out."
            )
        return rows

    def __len__(self) -> int:
        return len(self.score)

    @property
    def normal_score(self) -> Floats:
        """Scores of the rows that stand for normal ones: those labelled normal, or every unlabelled row."""
        return self.score if self.y is None else self.score[~self.y]

    @property
    def normal_weight(self) -> Floats | None:
        """Weights of those rows."""
        return self.weight if self.y is None or self.weight is None else self.weight[~self.y]

    @property
    def normal_cluster(self) -> NDArray[np.intp] | None:
        """Clusters of those rows."""
        return self.cluster if self.y is None or self.cluster is None else self.cluster[~self.y]

    @property
    def stands_for_normal(self) -> bool:
        """Whether there are rows that stand for normal ones, and count."""
        weight = self.normal_weight
        return len(self.normal_score) > 0 and (weight is None or bool(weight.any()))

    def take(self, rows: NDArray[Any]) -> Self:
        """Some of the rows, by index or mask.

        Examples
        --------
        >>> CalibrationRows.from_arrays([0.2, 1.5, 0.7]).take([0, 2]).score
        array([0.2, 0.7])
        """
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        taken = {name: value[rows] if isinstance(value, np.ndarray) else value for name, value in columns.items()}
        return type(self)(**taken)


def as_scores(score: ArrayLike) -> Floats:
    """Scores of rows to be judged: infinite ones are ranked, NaN is refused.

    Raises
    ------
    TableError
        The scores are no column of numbers, or some are NaN.

    Examples
    --------
    >>> as_scores([1, 2])
    array([1., 2.])
    """
    scores = _numbers("score", score, None)
    missing = np.isnan(scores)
    if missing.any():
        raise TableError(
            f"Scores must be numbers: found NaN at row {missing.argmax()} and in {int(missing.sum())} of {len(scores)} "
            "rows. Score these rows again, or drop them."
        )
    return scores


def as_times(time: ArrayLike, n_rows: int | None = None, name: str = "time") -> NDArray[np.datetime64]:
    """Times as ``datetime64[ns]``; `name` is that of the argument, for messages.

    Raises
    ------
    TableError
        They are no dates, have a time zone, or some are missing.

    Examples
    --------
    >>> as_times(["2026-03-01", "2026-03-01T12:30"]).astype("datetime64[m]")
    array(['2026-03-01T00:00', '2026-03-01T12:30'], dtype='datetime64[m]')
    """
    # NumPy would turn the times of polars and pyarrow to UTC without a word, and days would begin at another hour.
    zone = getattr(getattr(time, "dtype", None), "time_zone", None) or getattr(getattr(time, "type", None), "tz", None)
    if zone is not None:
        raise _zoned(name)
    column = _column(name, time, n_rows)
    if not len(column):
        return column.astype("datetime64[ns]")
    if column.dtype.kind in "OUT":
        column = np.array([_moment(value, name) for value in column.tolist()], dtype=object)
    elif column.dtype.kind != "M":
        raise _no_moment(column.dtype, name)
    try:
        seconds = column.astype("datetime64[s]")
    except (TypeError, ValueError) as error:
        raise TableError(f"{name!r} must hold dates or times, found others ({error}). Convert or drop them.") from error
    far = (seconds < _EARLIEST) | (seconds > _LATEST)
    if far.any():
        raise TableError(
            f"{name!r} must lie between {_EARLIEST} and {_LATEST}: found {seconds[far][0]} at row {far.argmax()}. "
            "Correct or drop it."
        )
    times = column.astype("datetime64[ns]")
    missing = np.isnat(times)
    if missing.any():
        raise TableError(
            f"{name!r} must be known for every row: row {missing.argmax()} and {int(missing.sum())} in all have none. "
            "Fill them in, or drop these rows."
        )
    return times


def _moment(value: Any, name: str) -> Any:
    """A date, a time or text of one; None where it is missing."""
    if not isinstance(value, dt.date | str | np.datetime64):
        if value is None or value is np.nan or type(value).__name__ == "NAType":
            return None
        raise _no_moment(type(value).__name__, name)
    # Text has a time zone behind its time: 2026-03-01T12:30Z, or +01:00.
    if getattr(value, "tzinfo", None) is not None or (isinstance(value, str) and set(value[10:]) & set("Zz+-")):
        raise _zoned(name)
    return None if value != value else value  # NaT differs from itself


def _zoned(name: str) -> TableError:
    return TableError(
        f"{name!r} must be without a time zone, found one. Drop it: frame[column].dt.tz_localize(None) in pandas, "
        "dt.replace_time_zone(None) in polars."
    )


def _no_moment(found: Any, name: str) -> TableError:
    return TableError(
        f"{name!r} must hold dates or times, found {found}. Convert it first, for example "
        "pandas.to_datetime(seconds, unit='s')."
    )


def as_segments(group: ArrayLike, n_rows: int | None = None, name: str = "group") -> NDArray[np.object_]:
    """Names of segments as text, None where there is none; `name` is that of the argument, for messages.

    Raises
    ------
    TableError
        They are no column of the right length.

    Examples
    --------
    >>> as_segments([276.0, float("nan"), 40.0])
    array(['276', None, '40'], dtype=object)
    """
    column = _column(name, group, n_rows)
    if column.dtype != object:
        distinct, place = np.unique(column, return_inverse=True)
        return np.array([_segment_name(value) for value in distinct.tolist()], dtype=object)[place]
    names: dict[tuple[type, Any], str | None] = {}  # True and 1 are equal, but not one name
    try:
        keys = [(type(value), value) for value in column]
        for key in keys:
            if key not in names:  # two NaN are two keys, which costs nothing but room
                names[key] = _segment_name(key[1])
    except (TypeError, ValueError) as error:
        raise TableError(
            f"{name!r} must hold names of segments: found others ({error}). Convert them to text."
        ) from error
    return np.array([names[key] for key in keys], dtype=object)


def _segment_name(value: Any) -> str | None:
    # NaN and NaT differ from themselves, and pandas' NA will not say.
    if value is None or type(value).__name__ == "NAType" or value != value:
        return None
    # A gap turns a column of whole numbers into floats; its segments are still the same.
    return str(int(value)) if isinstance(value, float | np.floating) and float(value).is_integer() else str(value)


def _column(name: str, values: ArrayLike, n_rows: int | None) -> NDArray[Any]:
    try:
        column = np.asarray(values)
    except ValueError as error:  # lists of several lengths
        raise TableError(
            f"{name!r} must be one column: found another ({error}). Give one value for each row."
        ) from error
    if column.ndim != 1:
        raise TableError(f"{name!r} must be one column: found shape {column.shape}. Give one value for each row.")
    if n_rows is not None and len(column) != n_rows:
        raise TableError(f"{name!r} must have one entry for each of the {n_rows} rows: found {len(column)}.")
    return column


def _numbers(name: str, values: ArrayLike, n_rows: int | None) -> Floats:
    column = _column(name, values, n_rows)
    try:
        if column.dtype.kind in "cmM":
            raise TypeError(str(column.dtype))
        with np.errstate(over="ignore"):  # what is too large for a float becomes infinite, which is told
            return column.astype(np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise TableError(f"{name!r} must hold numbers: found others ({error}). Convert or drop these rows.") from error


def _finite(name: str, values: ArrayLike, n_rows: int | None = None) -> Floats:
    numbers = _numbers(name, values, n_rows)
    bad = ~np.isfinite(numbers)
    if bad.any():
        raise TableError(
            f"Every {name!r} must be a finite number: found {numbers[bad][0]} at row {bad.argmax()} and "
            f"{int(bad.sum())} such rows of {len(numbers)}. Correct or drop them."
        )
    return numbers


def _not_negative(name: str, values: ArrayLike, n_rows: int) -> Floats:
    numbers = _finite(name, values, n_rows)
    if (numbers < 0).any():
        raise TableError(
            f"Every {name!r} must be 0 or more: found {numbers.min():g} at row {numbers.argmin()}. Correct or drop it."
        )
    if len(numbers) and numbers.max() > _MOST / len(numbers):
        raise TableError(
            f"Every {name!r} must be small enough for their sum: found {numbers.max():g} at row {numbers.argmax()}. "
            "Correct or drop it, or take a larger unit."
        )
    return numbers


def _labels(y: ArrayLike, n_rows: int) -> Booleans:
    labels = as_labels(_column("y", y, n_rows))
    if labels.all():
        raise TableError(
            f"Expected labels of normal rows (0) too, found {n_rows} rows labelled 1. Thresholds and p-values are set "
            "on normal rows: give some."
        )
    return labels


def _clusters(cluster: ArrayLike, n_rows: int) -> NDArray[np.intp]:
    """Which of the distinct values each row has; a missing one is a mistake, as it would be a value like any other."""
    column = _column("cluster", cluster, n_rows)
    try:
        if (column != column).any():  # NaN and NaT differ from themselves
            raise TypeError("a missing one")
        return np.unique(column, return_inverse=True)[1]
    except TypeError as error:
        raise TableError(
            f"'cluster' must hold values of one kind in every row: found others ({error}). Convert them to text, and "
            "fill in those that are missing, each with a value of its own."
        ) from error
