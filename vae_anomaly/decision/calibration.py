"""What a threshold rule makes of calibration rows: how to decide on rows to come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_anomaly.decision._labelled import Booleans, Floats
from vae_anomaly.decision.calibration_rows import CalibrationRows, as_scores, as_segments
from vae_anomaly.decision.conformal import risk_score, sorted_p_values
from vae_anomaly.decision.guarantee import Guarantee


class ThresholdRule(Protocol):
    """A wish in the operator's units, which calibration rows turn into a threshold."""

    @property
    def needs(self) -> frozenset[str]:
        """Which of "y", "time" and "amount" the rule cannot do without."""
        ...

    def calibrate(self, rows: CalibrationRows) -> Calibration:
        """Set the threshold."""
        ...


@runtime_checkable
class BatchRule(Protocol):
    """A rule without a threshold: which rows alert depends on the rows that are judged with them."""

    def rejects(self, p: Floats) -> Booleans:
        """Which rows of a batch alert, by their p-values."""
        ...


@runtime_checkable
class SharedRule(Protocol):
    """A rule whose wish is one for all rows: a segment gets the part of it that it has of the rows."""

    def for_parts(self, rows: CalibrationRows) -> Callable[[NDArray[np.intp]], Calibration]:
        """What sets the threshold of some of the rows, by their positions."""
        ...

    def share_out(self, rows: CalibrationRows, parts: Sequence[NDArray[np.intp]]) -> list[Calibration]:
        """Set the thresholds of parts that are all rows together, so that nothing of the wish is left over."""
        ...


@dataclass(frozen=True, eq=False)
class Calibration:
    """A threshold, what it promises, and the scores that p-values need.

    A row alerts where its anomaly score is above the threshold, strictly: rows that tie with the threshold are normal.

    Parameters
    ----------
    rule : ThresholdRule
        The rule that made it.
    guarantee : Guarantee
        The threshold, and what is and isn't promised.
    score : float64 ndarray of shape (n_reference,)
        Scores of the calibration rows that stand for normal ones, ascending.
    weight : float64 ndarray of shape (n_reference,) or None
        Their weights.
    segments : mapping of str to Calibration
        A calibration for each segment that has one of its own.
    rest : Calibration or None
        That of the rows in no such segment, where there are both. Rows that are scored without any segment get this
        one, which is of all rows.

    Examples
    --------
    >>> from vae_anomaly.decision.thresholds import FalseAlarmRate
    >>> rows = CalibrationRows.from_arrays(np.random.default_rng(0).normal(size=2_000))
    >>> calibration = FalseAlarmRate(0.01).calibrate(rows)
    >>> calibration.alerts([0.0, 3.5])
    array([False,  True])
    >>> calibration.risk_score([0.0, 3.5]).round()
    array([ 79., 825.])
    """

    rule: ThresholdRule
    guarantee: Guarantee
    score: Floats
    weight: Floats | None = None
    segments: Mapping[str, Calibration] = field(default_factory=dict)
    rest: Calibration | None = None

    @property
    def threshold(self) -> float | None:
        """The threshold of all rows together; None where the decision depends on the batch."""
        return self.guarantee.threshold

    @property
    def of_rest(self) -> Calibration:
        """What rows of small, unseen and missing segments get; the calibration of all rows if there is no rest."""
        return self if self.rest is None else self.rest

    def thresholds(self, score: ArrayLike, group: ArrayLike | None = None) -> Floats:
        """The threshold of each row.

        Parameters
        ----------
        score : array of shape (n_rows,)
            Anomaly scores.
        group : array of shape (n_rows,), optional
            Segment of each row. A segment without a threshold of its own, one that was not seen and a missing one mean
            the threshold of the rest; no `group` at all means that of all rows together.

        Returns
        -------
        float64 ndarray of shape (n_rows,)
            For a rule that depends on the batch: the highest score in this batch (and segment) that does not alert.

        Raises
        ------
        TableError
            A score is NaN, or `group` has another length.
        """
        scores = as_scores(score)
        found = np.empty(len(scores))
        rejected = self.rule.rejects(self.p_value(scores, group)) if isinstance(self.rule, BatchRule) else None
        for part, rows in self._by_segment(len(scores), group):
            if rejected is None:
                found[rows] = part.threshold
            elif len(rows):
                spared = scores[rows[~rejected[rows]]]
                found[rows] = spared.max() if len(spared) else np.nextafter(scores[rows].min(), -np.inf)
        return found

    def alerts(self, score: ArrayLike, group: ArrayLike | None = None) -> Booleans:
        """Which rows alert.

        Parameters
        ----------
        score, group
            As in `thresholds`. For a rule that depends on the batch, give the rows of a whole period together.

        Returns
        -------
        bool ndarray of shape (n_rows,)
            Whether the score is above the threshold.

        Raises
        ------
        TableError
            As in `thresholds`.
        """
        return as_scores(score) > self.thresholds(score, group)

    def margin(self, score: ArrayLike, group: ArrayLike | None = None) -> Floats:
        """How far each score is above its threshold.

        Parameters
        ----------
        score, group
            As in `thresholds`.

        Returns
        -------
        float64 ndarray of shape (n_rows,)
            ``score - threshold``, above 0 for alerts.

        Raises
        ------
        TableError
            As in `thresholds`.
        """
        scores, thresholds = as_scores(score), self.thresholds(score, group)
        with np.errstate(over="ignore"):  # further apart than any number says is infinitely far
            return np.subtract(scores, thresholds, out=np.zeros(len(scores)), where=scores != thresholds)

    def p_value(self, score: ArrayLike, group: ArrayLike | None = None) -> Floats:
        """Conformal p-value of each score: how rare it is among the calibration rows that stand for normal ones.

        Parameters
        ----------
        score, group
            As in `thresholds`; a segment with a threshold of its own has p-values of its own.

        Returns
        -------
        float64 ndarray of shape (n_rows,)
            In (0, 1], not below 1 / (n + 1) with n calibration rows.

        Raises
        ------
        TableError
            As in `thresholds`.
        """
        scores = as_scores(score)
        found = np.empty(len(scores))
        for part, rows in self._by_segment(len(scores), group):
            found[rows] = sorted_p_values(part.score, part.weight, scores[rows])
        return found

    def risk_score(self, score: ArrayLike, group: ArrayLike | None = None) -> Floats:
        """The p-value as points from 0 to 1000: 250 for each factor of ten.

        Parameters
        ----------
        score, group
            As in `p_value`.

        Returns
        -------
        float64 ndarray of shape (n_rows,)
            500 for a score that one normal row in 100 reaches, 750 for one in 1,000, 1000 for one in 10,000 or fewer.

        Raises
        ------
        TableError
            As in `thresholds`.
        """
        return risk_score(self.p_value(score, group))

    def _by_segment(self, n_rows: int, group: ArrayLike | None) -> Iterator[tuple[Calibration, NDArray[np.intp]]]:
        names = None if group is None else as_segments(group, n_rows)
        if names is None or not self.segments:
            yield self, np.arange(n_rows)
            return
        place_of: dict[Any, int] = {name: place for place, name in enumerate(self.segments, start=1)}
        places = np.fromiter((place_of.get(name, 0) for name in names), dtype=np.intp, count=n_rows)
        in_order = np.argsort(places, kind="stable")
        cuts = np.searchsorted(places[in_order], np.arange(1, len(place_of) + 1))
        yield from zip((self.of_rest, *self.segments.values()), np.split(in_order, cuts), strict=True)


def reference(rows: CalibrationRows) -> tuple[Floats, Floats | None]:
    """Scores and weights of the rows that stand for normal ones, ascending.

    They are those labelled normal; without labels all. A stated contamination changes nothing: it does not say which
    rows are the anomalies, and if the highest were left out as such, every p-value would be too small as soon as some
    of them are normal. Anomalies among them only make p-values larger.

    The heaviest of them weighs 1, as a row that is judged does: only the ratios of weights tell anything.

    Examples
    --------
    >>> reference(CalibrationRows.from_arrays([3.0, 1.0, 2.0, 9.0], y=[0, 0, 0, 1]))
    (array([1., 2., 3.]), None)
    """
    order = np.argsort(rows.normal_score, kind="stable")
    score, weight = rows.normal_score[order], rows.normal_weight
    if weight is None:
        return score, None
    weight = weight[order]
    return score, weight / weight.max() if weight.any() else weight


def calibrated(rule: ThresholdRule, rows: CalibrationRows, guarantee: Guarantee) -> Calibration:
    """The calibration of a rule, with the scores that p-values need."""
    return Calibration(rule, guarantee, *reference(rows))
