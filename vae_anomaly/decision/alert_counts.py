"""How many alerts each day or hour had."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_anomaly._params import OneOf, check_params
from vae_anomaly.decision._labelled import Booleans, as_labels
from vae_anomaly.decision.calibration_rows import as_times
from vae_anomaly.decision.periods import UNITS
from vae_anomaly.errors import TableError


@dataclass(frozen=True, eq=False)
class AlertCounts:
    """Alerts of every period from the first row to the last, periods without any included.

    Parameters
    ----------
    start : datetime64 ndarray of shape (n_periods,)
        When each period begins.
    n_alerts : int ndarray of shape (n_periods,)
        Alerts in it.
    n_hits : int ndarray of shape (n_periods,) or None
        Anomalies among them; None without labels.
    per : "day" or "hour"
        The period.
    """

    start: NDArray[np.datetime64]
    n_alerts: NDArray[np.intp]
    n_hits: NDArray[np.intp] | None
    per: str


def count_alerts(alert: ArrayLike, time: ArrayLike, per: str = "day", y: ArrayLike | None = None) -> AlertCounts:
    """Count the alerts of each period.

    Parameters
    ----------
    alert : array of shape (n_rows,)
        True for an alert, in any order of time.
    time : array of shape (n_rows,)
        When each row came, rows that do not alert included: they say which periods there were.
    per : "day" or "hour", default="day"
        The period.
    y : array of shape (n_rows,), optional
        1 for an anomaly, 0 for a normal row.

    Returns
    -------
    AlertCounts
        The counts add up to the alerts.

    Raises
    ------
    TableError
        There is no row, columns differ in length, a time is missing, or there are values other than 0 and 1.
    ParameterError
        The period is not known.

    Examples
    --------
    >>> counts = count_alerts([True, False, True], ["2026-03-01T08", "2026-03-01T09", "2026-03-03T10"])
    >>> counts.start.astype(str).tolist(), counts.n_alerts.tolist()
    (['2026-03-01', '2026-03-02', '2026-03-03'], [1, 0, 1])
    """
    check_params("count_alerts", {"per": per}, {"per": (OneOf(tuple(UNITS)),)})
    alerts = _alerts(alert)
    starts = as_times(time, len(alerts)).astype(f"datetime64[{UNITS[per]}]")
    first = starts.min()
    place = (starts - first).astype(np.int64)
    n_periods = int(place.max()) + 1
    n_hits = None
    if y is not None:
        labels = as_labels(y)
        if len(labels) != len(alerts):
            raise TableError(f"'y' must have one entry for each of the {len(alerts)} rows: found {len(labels)}.")
        n_hits = np.bincount(place[alerts & labels], minlength=n_periods)
    return AlertCounts(first + np.arange(n_periods), np.bincount(place[alerts], minlength=n_periods), n_hits, per)


def _alerts(alert: ArrayLike) -> Booleans:
    column = np.asarray(alert)
    if column.ndim != 1 or not len(column):
        raise TableError(f"'alert' must be one column with at least one row: found shape {column.shape}.")
    if column.dtype == object:  # which may hold anything, a missing value that cannot be compared included
        told = np.array([isinstance(value, Real | np.bool_) and value in (0, 1) for value in column])
    else:
        told = np.isin(column, (0, 1))
    if not told.all():
        raise TableError(
            f"'alert' must be True for an alert and False for any other row: found {column[~told][0]!r}. Flags of "
            "scikit-learn are turned into that by predict(X) == -1."
        )
    return column.astype(bool)
