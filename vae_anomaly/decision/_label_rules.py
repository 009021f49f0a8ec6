"""Rules that learn the threshold from labels: least cost, best F-beta, a precision or a recall."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from vae_anomaly._params import Number, OneOf, check_params
from vae_anomaly.decision._counts import (
    CONFIDENCE,
    UNUSED_WEIGHTS,
    clopper_pearson,
    floor_of,
    guarantee_of,
    needed,
    order_statistic,
)
from vae_anomaly.decision._labelled import Booleans, Floats, check_both_classes
from vae_anomaly.decision.calibration import Calibration, ThresholdRule, calibrated
from vae_anomaly.decision.calibration_rows import CalibrationRows
from vae_anomaly.decision.guarantee import percent
from vae_anomaly.decision.metrics import prevalence_weights
from vae_anomaly.decision.operating_points import OperatingPoints
from vae_anomaly.errors import TableError

_OPTIMISTIC = "the threshold was chosen on these very rows, so the figure is a little too good; check it on later ones"
_CHOSEN = (
    "the threshold was chosen on these very rows as the best for them, so every figure is too good by an unknown "
    "amount, and has no bounds that would hold for rows to come; check it on later ones"
)
_POSITIVE = Number(0, open_low=True, open_high=True)
_Y: frozenset[str] = frozenset({"y"})


def _labels(rule: FBeta | PrecisionAt | RecallAt | ExpectedCost, rows: CalibrationRows) -> Booleans:
    y: Booleans = needed(rule, rows, "y")
    check_both_classes(y, type(rule).__name__)
    return y


def _remarks(rule: ThresholdRule, rows: CalibrationRows, n_alerts: int, n_hits: int, n_anomalies: int) -> Iterator[str]:
    bounded = isinstance(rule, PrecisionAt | RecallAt)
    for name, n in (("precision", n_alerts), ("recall", n_anomalies)):
        if n:
            low, high = clopper_pearson(n_hits, n, CONFIDENCE)
            bounds = f" ({percent(low)} to {percent(high)})" if bounded else ""
            yield f"{name} {percent(n_hits / n)} on the calibration rows{bounds}"
    yield _OPTIMISTIC if bounded else _CHOSEN
    if rows.weight is not None:
        yield UNUSED_WEIGHTS


def _at(rule: ThresholdRule, rows: CalibrationRows, points: OperatingPoints, place: int, **said: Any) -> Calibration:
    """The calibration at one of the points, whose report has the precision and the recall there."""
    n_alerts, n_hits = int(points.n_alerts[place]), int(points.n_hits[place])
    remarks = _remarks(rule, rows, n_alerts, n_hits, n_anomalies=int(points.n_hits[-1]))
    guarantee = guarantee_of(rule, rows, float(points.threshold[place]), remarks=remarks, **said)
    return calibrated(rule, rows, guarantee)


@dataclass(frozen=True)
class FBeta:
    """The threshold of the highest F-beta on labelled rows.

    Parameters
    ----------
    beta : float, default=1.0
        How many times as much recall counts as precision, in [0.001, 1000].

    References
    ----------
    van Rijsbergen: Information Retrieval (1979).

    Examples
    --------
    >>> rows = CalibrationRows.from_arrays([1.0, 2.0, 3.0, 4.0], y=[0, 0, 1, 1])
    >>> FBeta().calibrate(rows).threshold
    2.0
    """

    beta: float = 1.0
    needs: ClassVar[frozenset[str]] = _Y

    def __post_init__(self) -> None:
        check_params("FBeta", asdict(self), {"beta": (Number(0.001, 1_000),)})

    def calibrate(self, rows: CalibrationRows) -> Calibration:
        """Set the threshold; of equal ones that with the fewest alerts.

        Parameters
        ----------
        rows : CalibrationRows
            Held-out rows with labels of both classes.

        Returns
        -------
        Calibration
            With the precision and recall in its report. None has bounds: they would have to allow for the choice of
            the threshold on the same rows.

        Raises
        ------
        TableError
            Labels are missing, or of one class.
        """
        y = _labels(self, rows)
        points, n_anomalies, square = OperatingPoints.of(rows.score, y), int(y.sum()), self.beta**2
        score = (1 + square) * points.n_hits / (square * n_anomalies + points.n_alerts)
        best = int(score.argmax())
        return _at(
            self,
            rows,
            points,
            best,
            asked=f"the highest F{self.beta:g} on labelled rows",
            quantity=f"F{self.beta:g}",
            holds="nothing beyond the calibration rows, on which no other threshold does better",
            estimate=float(score[best]),
        )


@dataclass(frozen=True)
class PrecisionAt:
    """The lowest threshold at which a share of the alerts are anomalies, on labelled rows.

    Parameters
    ----------
    precision : float
        Share of anomalies among the alerts, in (0, 1].

    Examples
    --------
    >>> rows = CalibrationRows.from_arrays([1.0, 2.0, 3.0, 4.0], y=[0, 1, 0, 1])
    >>> PrecisionAt(0.6).calibrate(rows).threshold
    1.0
    """

    precision: float
    needs: ClassVar[frozenset[str]] = _Y

    def __post_init__(self) -> None:
        check_params("PrecisionAt", asdict(self), {"precision": (Number(0, 1, open_low=True),)})

    def calibrate(self, rows: CalibrationRows) -> Calibration:
        """Set the threshold.

        Parameters
        ----------
        rows : CalibrationRows
            Held-out rows with labels of both classes.

        Returns
        -------
        Calibration
            With the exact bounds of the precision in its report.

        Raises
        ------
        TableError
            Labels are missing or of one class, or no threshold has this precision; the message says which can be had.
        """
        y = _labels(self, rows)
        points = OperatingPoints.of(rows.score, y)
        precision = points.n_hits / np.maximum(points.n_alerts, 1)
        reached = np.flatnonzero(precision >= self.precision - 1e-12)
        if not len(reached):
            best = int(precision.argmax())
            raise TableError(
                f"{self!r} cannot be reached: the best precision of any threshold on these {len(rows):,} rows is "
                f"{percent(precision[best])}, with {points.n_alerts[best]:,} alerts. Ask for no more, or give more "
                "rows."
            )
        chosen = int(reached[-1])
        return _at(
            self,
            rows,
            points,
            chosen,
            asked=f"at least {percent(self.precision)} of the alerts are anomalies, with as many alerts as that allows",
            quantity="precision",
            holds="the precision on the calibration rows is what was asked; chosen on the same rows it is optimistic: "
            "expect less of rows to come, within the bounds, which take the threshold as if it were given",
            estimate=float(precision[chosen]),
            interval=clopper_pearson(int(points.n_hits[chosen]), int(points.n_alerts[chosen]), CONFIDENCE),
            assumptions=("the share of anomalies stays the same",),
        )


@dataclass(frozen=True)
class RecallAt:
    """The highest threshold at which a share of the anomalies alerts, on labelled rows.

    Parameters
    ----------
    recall : float
        Share of the anomalies that alert, in (0, 1].

    Examples
    --------
    >>> rows = CalibrationRows.from_arrays([1.0, 2.0, 3.0, 4.0], y=[0, 1, 0, 1])
    >>> RecallAt(0.5).calibrate(rows).threshold
    3.0
    """

    recall: float
    needs: ClassVar[frozenset[str]] = _Y

    def __post_init__(self) -> None:
        check_params("RecallAt", asdict(self), {"recall": (Number(0, 1, open_low=True),)})

    def calibrate(self, rows: CalibrationRows) -> Calibration:
        """Set the threshold.

        Parameters
        ----------
        rows : CalibrationRows
            Held-out rows with labels of both classes.

        Returns
        -------
        Calibration
            With the exact bounds of the recall in its report.

        Raises
        ------
        TableError
            Labels are missing, or of one class.
        """
        y = _labels(self, rows)
        points, n_anomalies = OperatingPoints.of(rows.score, y), int(y.sum())
        chosen = int(np.flatnonzero(points.n_hits >= self.recall * n_anomalies - 1e-9)[0])
        n_hits = int(points.n_hits[chosen])
        return _at(
            self,
            rows,
            points,
            chosen,
            asked=f"at least {percent(self.recall)} of the anomalies alert, with as few alerts as that allows",
            quantity="recall",
            holds="the recall on the calibration rows is what was asked; for rows to come see the bounds",
            estimate=n_hits / n_anomalies,
            interval=clopper_pearson(n_hits, n_anomalies, CONFIDENCE),
            assumptions=("anomalies to come are like those of the calibration rows",),
        )


@dataclass(frozen=True)
class ExpectedCost:
    """The threshold of the least cost, from what a missed anomaly and an alert cost.

    With labels it is the least cost on the calibration rows. Without them it takes an assumed prevalence pi, and an
    assumed ROC AUC of the score: if anomalies' p-values follow Beta(a, 1) with a = 1 / auc - 1, a threshold with
    false-alarm rate t costs alarm ((1 - pi) t + pi t^a) + missed pi (1 - t^a) a row, which is least at
    t = [(missed - alarm) pi a / (alarm (1 - pi))]^(1 / (1 - a)).

    Parameters
    ----------
    missed : float or "amount"
        Cost of an anomaly that does not alert, above 0; "amount" for the row's own (without labels: their mean).
    alarm : float
        Cost of working an alert, of an anomaly too, above 0.
    prevalence : float, optional
        Share of anomalies among the rows to come, in [1e-9, 1). Needed without labels; with labels the rows are
        weighted to it.
    auc : float, default=0.9
        Assumed quality of the ranking, in (0.5, 1). Only used without labels.

    References
    ----------
    Elkan: The Foundations of Cost-Sensitive Learning (2001), for the cost. A power of the false-alarm rate as ROC curve
    is Lehmann's alternative: The Power of Rank Tests (1953).

    Examples
    --------
    >>> rows = CalibrationRows.from_arrays([1.0, 2.0, 3.0, 4.0], y=[0, 1, 0, 1])
    >>> ExpectedCost(missed=100, alarm=5).calibrate(rows).threshold
    1.0
    >>> ExpectedCost(missed=8, alarm=5).calibrate(rows).threshold
    3.0
    """

    missed: float | str
    alarm: float
    prevalence: float | None = None
    auc: float = 0.9

    def __post_init__(self) -> None:
        rules = {
            "missed": (_POSITIVE, OneOf(("amount",))),
            "alarm": (_POSITIVE,),
            "prevalence": (Number(1e-9, 1, open_high=True), OneOf((None,))),
            "auc": (Number(0.5, 1, open_low=True, open_high=True),),
        }
        check_params("ExpectedCost", asdict(self), rules)

    @property
    def needs(self) -> frozenset[str]:
        """Labels, unless a prevalence is given, and amounts if they are the cost."""
        return frozenset({"amount"} if self.missed == "amount" else ()) | (
            _Y if self.prevalence is None else frozenset()
        )

    def calibrate(self, rows: CalibrationRows) -> Calibration:
        """Set the threshold; of equal ones that with the fewest alerts.

        Parameters
        ----------
        rows : CalibrationRows
            Held-out rows, with labels of both classes unless a prevalence is given.

        Returns
        -------
        Calibration
            With the cost per row in its report. It has no bounds: they would have to allow for the choice of the
            threshold on the same rows, on which no other costs less.

        Raises
        ------
        TableError
            Labels or amounts are missing, or labels are of one class.
        """
        if rows.y is None and self.prevalence is not None:
            return self._modelled(rows, self.prevalence)
        return self._counted(rows)

    def _losses(self, rows: CalibrationRows) -> Floats:
        if isinstance(self.missed, str):
            return needed(self, rows, self.missed)
        return np.full(len(rows), float(self.missed))

    def _counted(self, rows: CalibrationRows) -> Calibration:
        y = _labels(self, rows)
        weight = np.ones(len(rows)) if self.prevalence is None else prevalence_weights(y, self.prevalence)
        lost = np.where(y, self._losses(rows), 0.0)
        points = OperatingPoints.of(rows.score, y)
        best = int((self.alarm * points.sums(weight) - points.sums(weight * lost)).argmin())
        cost = np.where(rows.score > points.threshold[best], self.alarm, lost)
        return _at(
            self,
            rows,
            points,
            best,
            asked=self._asked(),
            quantity="cost per row",
            holds="nothing beyond the calibration rows, on which no other threshold costs less",
            estimate=float(np.average(cost, weights=weight)),
        )

    def _modelled(self, rows: CalibrationRows, pi: float) -> Calibration:
        a = 1 / self.auc - 1
        missed = float(self._losses(rows).mean())
        odds = max(0.0, missed - self.alarm) * pi * a / (self.alarm * (1 - pi))
        t = 1.0 if odds >= 1 else odds ** (1 / (1 - a))
        share = (1 - pi) * t + pi * t**a
        threshold = order_statistic(rows.score, floor_of(share * len(rows)))
        remarks = [f"by these assumptions {percent(t**a)} of the anomalies and {percent(t)} of normal rows alert"]
        if missed <= self.alarm:
            remarks.append("an alert costs no less than a missed anomaly, so no alert pays: only new heights alert")
        guarantee = guarantee_of(
            self,
            rows,
            threshold,
            asked=self._asked(),
            quantity="cost per row",
            holds="the cost is least if the assumptions are true; nothing is guaranteed",
            estimate=self.alarm * share + missed * pi * (1 - t**a),
            assumptions=(
                f"{percent(pi)} of the rows are anomalies, and the score ranks them with a ROC AUC of {self.auc:g}",
                f"p-values of anomalies follow Beta({a:.3g}, 1), so {percent(share)} of all rows alert",
                f"a missed anomaly costs {missed:g} on average"
                + (", as the mean row" if self.missed == "amount" else ""),
            ),
            remarks=(*remarks, *(() if rows.weight is None else (UNUSED_WEIGHTS,))),
        )
        return calibrated(self, rows, guarantee)

    def _asked(self) -> str:
        missed = "its amount" if self.missed == "amount" else f"{self.missed:g}"
        return f"the least cost, where a missed anomaly costs {missed} and an alert {self.alarm:g}"
