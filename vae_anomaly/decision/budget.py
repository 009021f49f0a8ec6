"""Alerts that a team can work: a threshold for the mean of a period, or a hard limit for each period."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_anomaly._params import Number, OneOf, Rule, check_params
from vae_anomaly.decision._counts import (
    CONFIDENCE,
    UNUSED_WEIGHTS,
    ceil_of,
    floor_of,
    guarantee_of,
    needed,
    order_statistic,
)
from vae_anomaly.decision._labelled import Booleans
from vae_anomaly.decision.calibration import Calibration, calibrated
from vae_anomaly.decision.calibration_rows import CalibrationRows, as_scores, as_times
from vae_anomaly.decision.periods import (
    ENOUGH_PERIODS,
    UNITS,
    Coverage,
    covered_by_rows,
    covered_by_time,
    mean_bounds,
    period_of,
)
from vae_anomaly.errors import ParameterError, TableError

_PER: tuple[Rule, ...] = (OneOf(tuple(UNITS)), Number(1, integer=True))
_COUNT = (Number(1, integer=True),)
_MOST_ROWS = 2**62  # that can be counted


@dataclass(frozen=True)
class AlertBudget:
    """A number of alerts in a period, on average.

    The calibration rows' time column says how many periods they cover: every whole one between the first row and
    the last, empty ones too, and of the first and last the part that usually lies between such times of day, as the
    periods between them show (without rows between them the time that passes). Single periods vary; `BudgetStream`
    makes the budget a hard limit, and `top_k_per_period` chooses among the rows of a period that is over.

    The report bounds the mean of periods to come. From five periods on the bounds are by how much these vary, because
    alerts come in bursts; with fewer they take alerts to be independent of each other. See `periods.mean_bounds`.

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
        return self._calibrated(rows, self._covered(rows))

    def for_parts(self, rows: CalibrationRows) -> Callable[[NDArray[np.intp]], Calibration]:
        """What sets the threshold of a segment, whose part of the budget is the part that it has of the rows.

        Parameters
        ----------
        rows : CalibrationRows
            All rows. They say which periods there were, also those in which a segment had no row.

        Returns
        -------
        callable
            From the positions of the rows of a segment to their calibration, whose alerts are rounded down. `share_out`
            hands out what that leaves over.

        Raises
        ------
        TableError
            As in `calibrate`.
        """
        covered = self._covered(rows)
        return lambda part: self._of_part(rows, covered, part)

    def share_out(self, rows: CalibrationRows, parts: Sequence[NDArray[np.intp]]) -> list[Calibration]:
        """Set the thresholds of segments that are all rows together, so that the whole budget is spent.

        Each has the part of the alerts that it has of the rows, in whole numbers by the largest remainders.

        Parameters
        ----------
        rows : CalibrationRows
            All rows.
        parts : sequence of int ndarray
            Positions of the rows of each segment; every row is in one.

        Returns
        -------
        list of Calibration
            As many rows are above their thresholds, ties aside, as one threshold for all would have above it.

        Raises
        ------
        TableError
            As in `calibrate`.
        """
        covered = self._covered(rows)
        quota = floor_of(self.n * covered.n_periods) * np.array([len(part) for part in parts]) / len(rows)
        n_above = np.floor(quota).astype(np.int64)
        left_over = round(quota.sum() - n_above.sum())
        n_above[np.argsort(n_above - quota, kind="stable")[:left_over]] += 1
        found = zip(parts, n_above.tolist(), strict=True)
        return [self._of_part(rows, covered, part, n) for part, n in found]

    def _of_part(
        self, rows: CalibrationRows, covered: Coverage, part: NDArray[np.intp], n_above: int | None = None
    ) -> Calibration:
        own = rows.take(part)
        if not isinstance(self.per, str):  # among its own rows the budget is the same
            return self._calibrated(own, self._covered(own), n_above)
        return replace(self, n=self.n * len(part) / len(rows))._calibrated(own, covered.take(part), n_above)

    def _covered(self, rows: CalibrationRows) -> Coverage:
        if isinstance(self.per, str):
            return covered_by_time(needed(self, rows, "time"), self.per)
        return covered_by_rows(len(rows), self.per, rows.time)

    def _calibrated(self, rows: CalibrationRows, covered: Coverage, n_above: int | None = None) -> Calibration:
        if n_above is None:
            n_above = floor_of(self.n * covered.n_periods)
        if n_above < 1:
            raise TableError(
                f"{self!r} needs calibration rows of {ceil_of(1 / self.n):,} periods or more, for one alert in all: "
                f"found {covered.n_periods:.3g}. Give rows of a longer time, or a larger budget."
            )
        threshold = order_statistic(rows.score, n_above)
        alerts = rows.score > threshold
        counts, period = covered.counts(alerts), self._period_name()
        guarantee = guarantee_of(
            self,
            rows,
            threshold,
            asked=f"{self.n:g} alerts per {period} on average",
            quantity=f"alerts per {period}",
            holds=f"the mean number of alerts per {period} lies within the bounds; a single {period} may have more",
            estimate=int(alerts.sum()) / covered.n_periods,
            interval=mean_bounds(counts, covered.exposure, CONFIDENCE),
            assumptions=(f"as many rows per {period} as in calibration", _spread(len(counts), period)),
            remarks=self._remarks(rows, alerts, covered),
        )
        return calibrated(self, rows, guarantee)

    def _period_name(self) -> str:
        return self.per if isinstance(self.per, str) else f"{self.per:,} rows"

    def _remarks(self, rows: CalibrationRows, alerts: Booleans, covered: Coverage) -> tuple[str, ...]:
        period, counts = self._period_name(), covered.counts(alerts)
        remarks = [
            f"the calibration rows cover {covered.n_periods:.4g} periods of one {period}",
            f"a single one of them had {counts.min():,} to {counts.max():,} alerts",
        ]
        if covered.by_clock:
            remarks.append(
                f"no row is of a {period} between the first and the last, so the time from the first row to the last "
                "was counted, as if rows came evenly; give rows of more time"
            )
        if alerts.all():
            remarks.append("the budget is not less than the rows, so every row alerts")
        if rows.weight is not None:
            remarks.append(UNUSED_WEIGHTS)
        return tuple(remarks)


def _spread(n_counts: int, period: str) -> str:
    """What the bounds of the mean go by, and what they take for granted."""
    if n_counts < ENOUGH_PERIODS:
        return (
            f"alerts come independently of each other (Poisson): fewer than {ENOUGH_PERIODS} periods do not tell how "
            "they vary, and if they come in bursts the bounds are too close"
        )
    return (
        f"periods of one {period} are independent of each other; the bounds are by how the alerts of {n_counts:,} "
        "vary (Student's t), bursts included"
    )


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
            return (self._seen + np.arange(n_rows, dtype=np.int64)) // min(self.per, _MOST_ROWS)
        return period_of(_times_of(n_rows, time, self.per), self.per)


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
        place = period_of(_times_of(len(scores), time, per), per)
    else:
        place = np.arange(len(scores), dtype=np.int64) // min(per, _MOST_ROWS)
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
