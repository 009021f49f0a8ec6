"""A threshold for each country or channel, where there are rows enough for one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vae_anomaly._params import Number, check_params
from vae_anomaly.decision.budget import AlertBudget
from vae_anomaly.decision.calibration import Calibration, ThresholdRule
from vae_anomaly.decision.calibration_rows import CalibrationRows
from vae_anomaly.errors import TableError

_MIN_ROWS = {"min_rows": (Number(1, integer=True),)}
_SHOWN = 5


def calibrate_segments(rule: ThresholdRule, rows: CalibrationRows, min_rows: int = 200) -> Calibration:
    """Calibrate all rows together, and each segment with rows enough on its own.

    A segment with fewer rows than `min_rows`, or with too few for the rule, gets the threshold of all rows together, as
    does a segment that is only seen later. The report names those segments.

    Parameters
    ----------
    rule : ThresholdRule
        The wish, which then holds in each segment. An alert budget is one for all rows: each segment gets the part of
        it that it has of the rows.
    rows : CalibrationRows
        With or without `group`; without it there are no segments.
    min_rows : int, default=200
        Calibration rows that a threshold of its own takes.

    Returns
    -------
    Calibration
        With the calibrations of the segments in it.

    Raises
    ------
    TableError
        The rule refuses all rows together.
    ParameterError
        `min_rows` is no positive integer.

    Examples
    --------
    >>> from vae_anomaly.decision.thresholds import Contamination
    >>> score = np.append(np.arange(500.0), 1_000 + np.arange(500.0))
    >>> rows = CalibrationRows.from_arrays(score, group=["web"] * 500 + ["shop"] * 500)
    >>> calibration = calibrate_segments(Contamination(0.01), rows)
    >>> calibration.thresholds([0.0, 0.0, 0.0], ["web", "shop", "phone"])
    array([ 494., 1494., 1489.])
    """
    check_params("calibrate_segments", {"min_rows": min_rows}, _MIN_ROWS)
    pooled = rule.calibrate(rows)
    if rows.group is None:
        return pooled
    segments: dict[str, Calibration] = {}
    too_few: list[str] = []
    refused: dict[str, str] = {}
    for name, index in _by_name(rows.group):
        if len(index) < min_rows:
            too_few.append(name)
            continue
        try:
            segments[name] = rule_of_segment(rule, len(index) / len(rows)).calibrate(rows.take(index))
        except TableError as error:
            refused[name] = str(error)
    guarantee = pooled.guarantee.with_remarks(*_remarks(too_few, refused, min_rows))
    reports = tuple((name, part.guarantee) for name, part in segments.items())
    return replace(pooled, guarantee=replace(guarantee, segments=reports), segments=segments)


def rule_of_segment(rule: ThresholdRule, share: float) -> ThresholdRule:
    """The wish for a segment that has a share of the rows.

    Examples
    --------
    >>> rule_of_segment(AlertBudget(200), share=0.25)
    AlertBudget(n=50.0, per='day')
    """
    if isinstance(rule, AlertBudget) and isinstance(rule.per, str):
        return replace(rule, n=rule.n * share)
    return rule


def _by_name(group: NDArray[np.object_]) -> list[tuple[str, NDArray[np.intp]]]:
    """The segments in alphabetical order, and the rows of each."""
    names = sorted({name for name in group if name is not None})
    place_of: dict[str | None, int] = {name: place for place, name in enumerate(names)}
    places = np.fromiter((place_of.get(name, -1) for name in group), dtype=np.intp, count=len(group))
    in_order = np.argsort(places, kind="stable")
    cuts = np.searchsorted(places[in_order], np.arange(len(names)))
    return list(zip(names, np.split(in_order, cuts)[1:], strict=True))


def _remarks(too_few: list[str], refused: dict[str, str], min_rows: int) -> list[str]:
    remarks = []
    if too_few:
        shown = ", ".join(too_few[:_SHOWN]) + (", ..." if len(too_few) > _SHOWN else "")
        remarks.append(
            f"{len(too_few):,} segment(s) with fewer than {min_rows:,} rows have the pooled threshold ({shown}); it "
            "promises nothing for one of them alone"
        )
    for name in list(refused)[:_SHOWN]:
        remarks.append(f"segment {name!r} has the pooled threshold, because: {refused[name]}")
    if len(refused) > _SHOWN:
        remarks.append(f"{len(refused) - _SHOWN:,} more segments have the pooled threshold for like reasons")
    return remarks
