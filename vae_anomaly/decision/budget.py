"""Alerts that a team can work: a threshold for the mean of a period, or a hard limit for each period."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from vae_anomaly._params import Number, OneOf, Rule, check_params
from vae_anomaly.decision._counts import CONFIDENCE, UNUSED_WEIGHTS, floor_of, guarantee_of, needed, order_statistic
from vae_anomaly.decision._labelled import Booleans
from vae_anomaly.decision.calibration import Calibration, calibrated
from vae_anomaly.decision.calibration_rows import CalibrationRows, as_scores, as_times
from vae_anomaly.errors import ParameterError, TableError

_UNITS = {"day": "D", "hour": "h"}
_PER: tuple[Rule, ...] = (OneOf(tuple(_UNITS)), Number(1, integer=True))
_COUNT = (Number(1, integer=True),)


@dataclass(frozen=True)
class AlertBudget:
    """A number of alerts in a period, on average.

    The calibration rows' time column says how many periods they cover: every whole one between the first row and
    the last, empty ones too, and of the first and last the part that usually lies between such times of day, as the
    periods between them show. Single periods vary; `BudgetStream` makes the budget a hard limit, and
    `top_k_per_period` chooses among the rows of a period that is over.

    Parameters
    ----------
    n : float
        Alerts in a period, above 0.
    per : "day", "hour" or int, default="day"
        The period, or a number of rows, which needs no time column.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> time = np.datetime64("2026-03-01") + rng.integers(0, 7 * 86_400, 70_000).astype("timedelta64[s]")
    >>> rows = CalibrationRows.from_arrays(rng.normal(size=70_000), time=time)
    >>> calibration = AlertBudget(20).calibrate(rows)  # 20 of about 10,000 rows a day
    >>> round(calibration.threshold, 1)
    2.9
    """

    n: float
    per: str | int = "day"

    def __post_init__(self) -> None:
        rules: dict[str, tuple[Rule, ...]] = {"n": (Number(0, open_low=True, open_high=True),), "per": _PER}
        check_params("AlertBudget", asdict(self), rules)
        if not isinstance(self.per, str) and self.n >= self.per:
            raise ParameterError(
                f"The 'n' parameter of AlertBudget must be less than 'per', {self.per} rows. Got {self.n!r} instead."
            )

    @property
    def needs(self) -> frozenset[str]:
        """The time of the rows, unless the period is a number of rows."""
        return frozenset({"time"} if isinstance(self.per, str) else ())

    def calibrate(self, rows: CalibrationRows) -> Calibration:
        """Set the threshold.

        Parameters
        ----------
        rows : CalibrationRows
            Held-out rows with their time, of more than one period. Labels are not used: frauds are alerts too.

        Returns
        -------
        Calibration
            As many calibration rows are above the threshold as the budget allows over the periods that they cover.

        Raises
        ------
        TableError
            The times are missing, all of one period, or of too few periods for one alert in all.
        """
        n_periods = self._n_periods(rows)
        n_above = floor_of(self.n * n_periods)
        if n_above < 1:
            raise TableError(
                f"{self!r} needs calibration rows of {math.ceil(1 / self.n):,} periods or more, for one alert in all: "
                f"found {n_periods:.3g}. Give rows of a longer time, or a larger budget."
            )
        threshold = order_statistic(rows.score, n_above)
        alerts = rows.score > threshold
        n_alerts = int(alerts.sum())
        period = self._period_name()
        guarantee = guarantee_of(
            self,
            rows,
            threshold,
            asked=f"{self.n:g} alerts per {period} on average",
            quantity=f"alerts per {period}",
            holds=f"the mean number of alerts per {period} lies within the bounds; a single {period} may have more",
            estimate=n_alerts / n_periods,
            interval=(
                float(chi2.ppf(1 - CONFIDENCE, 2 * n_alerts)) / 2 / n_periods if n_alerts else 0.0,
                float(chi2.ppf(CONFIDENCE, 2 * n_alerts + 2)) / 2 / n_periods,
            ),
            assumptions=(f"as many rows per {period} as in calibration; the bounds take alerts to be independent",),
            remarks=self._remarks(rows, alerts, n_periods),
        )
        return calibrated(self, rows, guarantee)

    def _period_name(self) -> str:
        return self.per if isinstance(self.per, str) else f"{self.per:,} rows"

    def _n_periods(self, rows: CalibrationRows) -> float:
        if isinstance(self.per, str):
            return n_periods(needed(self, rows, "time"), self.per)
        return len(rows) / self.per

    def _remarks(self, rows: CalibrationRows, alerts: Booleans, n_periods: float) -> tuple[str, ...]:
        remarks = [f"the calibration rows cover {n_periods:.4g} periods of one {self._period_name()}"]
        if isinstance(self.per, str) and rows.time is not None:
            place = _periods(rows.time, self.per)
            counts = np.bincount((place - place.min())[alerts], minlength=int(np.ptp(place)) + 1)
            remarks.append(f"a single {self.per} of them had {counts.min():,} to {counts.max():,} alerts")
        if alerts.all():
            remarks.append("the budget is not less than the rows, so every row alerts")
        if rows.weight is not None:
            remarks.append(UNUSED_WEIGHTS)
        return tuple(remarks)


def n_periods(time: ArrayLike, per: str) -> float:
    """How many days or hours a sample covers, a part of the first and of the last included.

    Of the first period counts the share of rows that usually come as late in a period as the first row, and of the last
    period the share that usually come as early as the last row, as the periods between the two show.

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
        All rows are of one period.

    Examples
    --------
    >>> days = np.datetime64("2026-03-01") + np.arange(5).astype("timedelta64[D]")
    >>> office_hours = np.arange(9, 18).astype("timedelta64[h]")
    >>> n_periods(days, "day"), n_periods((days[:, None] + office_hours).ravel(), "day")
    (5.0, 5.0)
    >>> n_periods(np.datetime64("2026-03-01T12") + np.arange(48).astype("timedelta64[h]"), "day")  # noon to noon
    2.0
    """
    check_params("n_periods", {"per": per}, {"per": (OneOf(tuple(_UNITS)),)})
    times = as_times(time)
    place = _periods(times, per)
    first, last = int(place.min()), int(place.max())
    if first == last:
        raise TableError(
            f"Expected calibration rows of more than one {per}, to count alerts per {per}: found {len(times):,} rows "
            f"of one {per}. Give rows of several, or a number of rows for 'per'."
        )
    into = times - times.astype(f"datetime64[{_UNITS[per]}]")
    between = (place > first) & (place < last)
    usual = into[between] if between.any() else into
    of_first = max(float((usual >= into[times.argmin()]).mean()), 1 / len(times))
    of_last = max(float((usual <= into[times.argmax()]).mean()), 1 / len(times))
    return last - first - 1 + of_first + of_last


class BudgetStream:
    """Alerts as rows come in: above a threshold, and never more than a number of them in a period.

    Parameters
    ----------
    threshold : float
        For example that of a `Calibration`; ``-inf`` for first come, first served.
    n : int
        Most alerts in a period.
    per : "day", "hour" or int, default="day"
        The period, or a number of rows.

    Raises
    ------
    ParameterError
        A parameter is outside its domain.

    Examples
    --------
    >>> stream = BudgetStream(threshold=2.0, n=1)
    >>> stream.alerts([3.0, 1.0, 4.0], ["2026-03-01T10", "2026-03-01T11", "2026-03-01T12"])
    array([ True, False, False])
    >>> stream.alerts([5.0, 5.0], ["2026-03-01T13", "2026-03-02T01"])
    array([False,  True])
    """

    def __init__(self, threshold: float, n: int, per: str | int = "day") -> None:
        given = {"threshold": threshold, "n": n, "per": per}
        check_params("BudgetStream", given, {"threshold": (Number(),), "n": _COUNT, "per": _PER})
        self.threshold, self.n, self.per = threshold, n, per
        self._period: int | None = None
        self._made = 0
        self._seen = 0

    def alerts(self, score: ArrayLike, time: ArrayLike | None = None) -> Booleans:
        """Which of the next rows alert.

        Parameters
        ----------
        score : array of shape (n_rows,)
            Anomaly scores in the order of time.
        time : array of shape (n_rows,), optional
            When each row came; not needed where the period is a number of rows.

        Returns
        -------
        bool ndarray of shape (n_rows,)
            The same, however the rows are cut into calls.

        Raises
        ------
        TableError
            A score is NaN, times are missing, or a row belongs to an earlier period than one before it.
        """
        scores = as_scores(score)
        place = self._places(len(scores), time)
        if not len(scores):
            return np.zeros(0, dtype=bool)
        if (np.diff(place) < 0).any() or (self._period is not None and place[0] < self._period):
            raise TableError("Expected rows in the order of time, found one of an earlier period. Sort them by time.")
        above = scores > self.threshold
        so_far = np.cumsum(above)
        starts = np.flatnonzero(np.append(True, np.diff(place) > 0))
        before = np.where(starts > 0, so_far[starts - 1], 0)
        if place[0] == self._period:
            before[0] -= self._made
        rank = so_far - np.repeat(before, np.diff(np.append(starts, len(scores))))
        alerts: Booleans = above & (rank <= self.n)
        self._period, self._made, self._seen = int(place[-1]), int(rank[-1]), self._seen + len(scores)
        return alerts

    def _places(self, n_rows: int, time: ArrayLike | None) -> NDArray[np.int64]:
        if not isinstance(self.per, str):
            return (self._seen + np.arange(n_rows, dtype=np.int64)) // self.per
        return _periods(_times_of(n_rows, time, self.per), self.per)


def top_k_per_period(
    score: ArrayLike, time: ArrayLike | None, n: int, per: str | int = "day", *, threshold: float = -math.inf
) -> Booleans:
    """The highest scores of each period that is over.

    Parameters
    ----------
    score : array of shape (n_rows,)
        Anomaly scores in any order; of rows that tie the earlier in the table goes first.
    time : array of shape (n_rows,) or None
        When each row came; None where the period is a number of rows.
    n : int
        Alerts in a period; fewer where it has fewer rows above the threshold.
    per : "day", "hour" or int, default="day"
        The period, or a number of rows that follow each other.
    threshold : float, default=-inf
        A row alerts only above it.

    Returns
    -------
    bool ndarray of shape (n_rows,)
        True for an alert.

    Raises
    ------
    TableError
        A score is NaN, or times are missing.
    ParameterError
        A parameter is outside its domain.

    Examples
    --------
    >>> top_k_per_period([1.0, 3.0, 2.0], ["2026-03-01", "2026-03-01", "2026-03-02"], n=1)
    array([False,  True,  True])
    """
    check_params("top_k_per_period", {"n": n, "per": per, "threshold": threshold}, _TOP_RULES)
    scores = as_scores(score)
    if isinstance(per, str):
        place = _periods(_times_of(len(scores), time, per), per)
    else:
        place = np.arange(len(scores), dtype=np.int64) // per
    order = np.lexsort((-scores, place))
    starts = np.flatnonzero(np.append(True, np.diff(place[order]) > 0))[: len(scores)]
    rank = np.arange(len(scores)) - np.repeat(starts, np.diff(np.append(starts, len(scores))))
    alerts = np.zeros(len(scores), dtype=bool)
    alerts[order[rank < n]] = True
    return alerts & (scores > threshold)


_TOP_RULES: dict[str, tuple[Rule, ...]] = {"n": _COUNT, "per": _PER, "threshold": (Number(),)}


def _times_of(n_rows: int, time: ArrayLike | None, per: str) -> NDArray[np.datetime64]:
    if time is None:
        raise TableError(f"A budget per {per} needs the time of each row, found none. Give 'time'.")
    return as_times(time, n_rows)


def _periods(times: NDArray[np.datetime64], per: str) -> NDArray[np.int64]:
    return times.astype(f"datetime64[{_UNITS[per]}]").astype(np.int64)
