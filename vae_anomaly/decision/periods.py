"""Days, hours and runs of rows: how many a sample covers, and what it says of their mean count."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2, t

from vae_anomaly._params import OneOf, check_params
from vae_anomaly.decision._labelled import Booleans, Floats
from vae_anomaly.decision.calibration_rows import as_times
from vae_anomaly.errors import TableError

UNITS = {"day": "D", "hour": "h"}
"""The periods that a clock tells, and NumPy's name of them."""

_LEAST_EXPOSURE = 1e-6
"""Of a period that was covered at all, if only by a row at its very beginning."""

ENOUGH_PERIODS = 5
"""From which their spread says more than that of independent counts would."""


@dataclass(frozen=True, eq=False)
class Coverage:
    """Which period each row is of, and how much of each period the rows cover.

    Parameters
    ----------
    place : int ndarray of shape (n_rows,)
        Place of the period of each row.
    exposure : float64 ndarray of shape (n_periods,)
        How much of each period is covered, in (0, 1]; empty periods between others are covered as a whole.
    by_clock : bool
        Whether parts of periods were taken by the clock, for want of rows of a period between the first and the last.
    """

    place: NDArray[np.int64]
    exposure: Floats
    by_clock: bool = False

    @property
    def n_periods(self) -> float:
        """How many periods are covered, parts included."""
        return float(self.exposure.sum())

    def take(self, rows: NDArray[np.intp]) -> Coverage:
        """Some of the rows; the periods that they could have come in are the same."""
        return Coverage(self.place[rows], self.exposure, self.by_clock)

    def counts(self, alerts: Booleans) -> NDArray[np.intp]:
        """Alerts of each period."""
        return np.bincount(self.place[alerts], minlength=len(self.exposure))


def covered_by_time(time: NDArray[np.datetime64], per: str) -> Coverage:
    """The days or hours that rows cover; `n_periods` says how.

    Raises
    ------
    TableError
        All rows are of one period.
    """
    place = period_of(time, per)
    first, last = int(place.min()), int(place.max())
    if first == last:
        raise TableError(
            f"Expected calibration rows of more than one {per}, to count alerts per {per}: found {len(time):,} rows "
            f"of one {per}. Give rows of several, or a number of rows for 'per'."
        )
    into = time - time.astype(f"datetime64[{UNITS[per]}]")
    between = (place > first) & (place < last)
    exposure, least = np.ones(last - first + 1), 1 / len(time)
    starts, ends = into[time.argmin()], into[time.argmax()]
    if between.any():
        usual = into[between]
        exposure[0], exposure[-1] = (usual >= starts).mean(), (usual <= ends).mean()
    elif into.any():  # dates alone are of whole days; of times the clock tells, as nothing shows what is usual
        whole = np.timedelta64(24 if per == "day" else 1, "h")
        exposure[0], exposure[-1] = 1 - starts / whole, ends / whole
        least = _LEAST_EXPOSURE
    return Coverage(place - first, np.maximum(exposure, least), by_clock=not between.any())


def covered_by_rows(n_rows: int, per: int, time: NDArray[np.datetime64] | None = None) -> Coverage:
    """Runs of `per` rows that follow each other, in the order of time if that is known; the last may be cut short.

    Examples
    --------
    >>> covered_by_rows(5, per=2).exposure
    array([1. , 1. , 0.5])
    """
    rank = np.arange(n_rows, dtype=np.int64)
    if time is not None:
        rank[np.argsort(time, kind="stable")] = np.arange(n_rows)
    exposure = np.ones(-(-n_rows // per))
    exposure[-1] = ((n_rows - 1) % per + 1) / per
    return Coverage(rank // min(per, n_rows), exposure)


def n_periods(time: ArrayLike, per: str) -> float:
    """How many days or hours a sample covers, a part of the first and of the last included.

    Of the first period counts the share of rows that usually come as late in a period as the first row, and of the last
    period the share that usually come as early as the last row, as the periods between the two show. Where no row is of
    a period between them, the time from the first row to the last counts, or both as whole ones if there are but dates.

    Parameters
    ----------
    time : array of shape (n_rows,)
        In any order.
    per : "day" or "hour"
        The period.

    Returns
    -------
    float
        In periods.

    Raises
    ------
    TableError
        All rows are of one period, or there is none.

    Examples
    --------
    >>> days = np.datetime64("2026-03-01") + np.arange(5).astype("timedelta64[D]")
    >>> office_hours = np.arange(9, 18).astype("timedelta64[h]")
    >>> n_periods(days, "day"), n_periods((days[:, None] + office_hours).ravel(), "day")
    (5.0, 5.0)
    >>> n_periods(np.datetime64("2026-03-01T12") + np.arange(48).astype("timedelta64[h]"), "day")  # noon to noon
    2.0
    >>> n_periods(["2026-03-01T20", "2026-03-02T05"], "day")  # nine hours of a night
    0.375
    """
    check_params("n_periods", {"per": per}, {"per": (OneOf(tuple(UNITS)),)})
    times = as_times(time)
    if not len(times):
        raise TableError(f"Expected rows of more than one {per}, found none. Give rows of several.")
    return covered_by_time(times, per).n_periods


def period_of(time: NDArray[np.datetime64], per: str) -> NDArray[np.int64]:
    """Days or hours since 1970."""
    return time.astype(f"datetime64[{UNITS[per]}]").astype(np.int64)


def mean_bounds(counts: NDArray[np.intp], exposure: Floats, confidence: float) -> tuple[float, float]:
    """Lower and upper bound of the mean count of a period to come, each at `confidence`.

    From five periods on they are by how much the counts vary from period to period, since alerts come in bursts: the
    standard error of a ratio (Cochran 1977), and Student's t on the logarithmic scale, on which the mean of few and
    skewed counts is nearer to normal. They are never closer than the exact bounds of independent counts (Garwood 1936),
    which stand alone where there are fewer periods.

    Parameters
    ----------
    counts : int ndarray of shape (n_periods,)
        Alerts of each period.
    exposure : float64 ndarray of shape (n_periods,)
        How much of each is covered.
    confidence : float
        Of each bound.

    References
    ----------
    Garwood: Fiducial Limits for the Poisson Distribution (1936). Cochran: Sampling Techniques (1977), chapter 6.

    Examples
    --------
    >>> bursts = np.array([0, 2, 1, 55, 2, 0, 3])
    >>> [round(bound, 1) for bound in mean_bounds(bursts, np.ones(7), confidence=0.95)]
    [1.7, 47.2]
    >>> even = np.full(7, 9)
    >>> [round(bound, 1) for bound in mean_bounds(even, np.ones(7), confidence=0.95)]
    [7.2, 11.1]
    """
    total, covered, m = int(counts.sum()), float(exposure.sum()), len(counts)
    low = float(chi2.ppf(1 - confidence, 2 * total)) / 2 / covered if total else 0.0
    high = float(chi2.ppf(confidence, 2 * total + 2)) / 2 / covered
    if m < ENOUGH_PERIODS or not total:
        return low, high
    mean = total / covered
    error = math.sqrt(m / (m - 1) * float(np.square(counts - mean * exposure).sum())) / covered
    factor = math.exp(float(t.ppf(confidence, m - 1)) * error / mean)
    return min(low, mean / factor), max(high, mean * factor)
