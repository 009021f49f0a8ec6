"""A threshold for each country or channel with rows enough for one, and one for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vae_anomaly._params import Number, check_params
from vae_anomaly.decision.calibration import BatchRule, Calibration, SharedRule, ThresholdRule
from vae_anomaly.decision.calibration_rows import CalibrationRows
from vae_anomaly.decision.guarantee import percent
from vae_anomaly.errors import TableError

_MIN_ROWS = {"min_rows": (Number(1, integer=True),)}
_SHOWN = 5


def calibrate_segments(rule: ThresholdRule, rows: CalibrationRows, min_rows: int = 200) -> Calibration:
    """Calibrate each segment with rows enough on its own, and the rest of the rows together.

    The rest are the rows of segments with fewer rows than `min_rows` or with too few for the rule, and of no segment.
    They are calibrated like one more segment, so that every row counts for one threshold, and the wish is kept over all
    of them together. Where the rest is too small for that, the smallest of the other segments joins it, and so on;
    where all have joined, there is one threshold for all rows. The report says which segments are part of the rest.

    Parameters
    ----------
    rule : ThresholdRule
        The wish, which then holds in each segment and in the rest. An alert budget is one for all rows: each segment
        gets the part of it that it has of the rows.
    rows : CalibrationRows
        With or without `group`; without it there are no segments.
    min_rows : int, default=200
        Calibration rows that a threshold of its own takes.

    Returns
    -------
    Calibration
        Of all rows together, for rows that are scored without `group`, with the calibrations of the segments and of
        the rest in it. The rest stands for segments that are only seen later too.

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
    >>> rows = CalibrationRows.from_arrays(score, group=["web"] * 500 + [f"shop {i}" for i in range(500)])
    >>> calibration = calibrate_segments(Contamination(0.01), rows)
    >>> calibration.thresholds([0.0, 0.0, 0.0], ["web", "shop 7", "phone"])
    array([ 494., 1494., 1494.])
    """
    check_params("calibrate_segments", {"min_rows": min_rows}, _MIN_ROWS)
    pooled = rule.calibrate(rows)
    if rows.group is None:
        return pooled
    division = _Division(rule, rows, min_rows)
    segments, rest = division.settle(rows.group)
    calibration = replace(pooled, segments=segments, rest=rest)
    guarantee = replace(
        pooled.guarantee.with_remarks(*_in_all(calibration, rows), *division.remarks()),
        segments=tuple((name, part.guarantee) for name, part in segments.items()),
        rest=None if rest is None else rest.guarantee,
    )
    return replace(calibration, guarantee=guarantee)


@dataclass(frozen=True, eq=False)
class _Segment:
    """Rows with a threshold of their own."""

    rows: NDArray[np.intp]
    calibration: Calibration


class _Division:
    """Which segments have a threshold of their own, and why the others have none."""

    def __init__(self, rule: ThresholdRule, rows: CalibrationRows, min_rows: int) -> None:
        self.rule, self.rows, self.min_rows = rule, rows, min_rows
        self.calibrate_part = (
            rule.for_parts(rows) if isinstance(rule, SharedRule) else lambda index: rule.calibrate(rows.take(index))
        )
        self.own: dict[str, _Segment] = {}
        self.too_few: list[str] = []
        self.refused: dict[str, str] = {}
        self.joined: dict[str, str] = {}
        self.nameless = 0

    def settle(self, group: NDArray[np.object_]) -> tuple[dict[str, Calibration], Calibration | None]:
        """The calibrations of the segments and of the rest; None if there is no rest beside a segment of its own."""
        rest_rows, rest = self._settled(group)
        names = list(self.own)
        found = [own.calibration for own in self.own.values()]
        if names and isinstance(self.rule, SharedRule):
            parts = [own.rows for own in self.own.values()]
            found = self.rule.share_out(self.rows, parts if rest is None else [*parts, rest_rows])
            rest = None if rest is None else found.pop()
        return dict(zip(names, found, strict=True)), rest

    def _settled(self, group: NDArray[np.object_]) -> tuple[NDArray[np.intp], Calibration | None]:
        """Find the segments with a threshold of their own, and the rows and the calibration of the rest."""
        rest = np.ones(len(self.rows), dtype=bool)
        for name, index in _by_name(group):
            if self._calibrated(name, index):
                rest[index] = False
        self.nameless = sum(name is None for name in group)
        while self.own and rest.any():
            found = self._attempt(np.flatnonzero(rest))
            if isinstance(found, Calibration):
                return np.flatnonzero(rest), found
            smallest = min(self.own, key=lambda name: (len(self.own[name].rows), name))
            rest[self.own.pop(smallest).rows] = True
            self.joined[smallest] = found
        return np.flatnonzero(rest), None

    def remarks(self) -> Iterator[str]:
        """What to know of the rest."""
        place = "in the rest" if self.own else "under the one threshold of all rows"
        if self.too_few:
            yield f"with fewer than {self.min_rows:,} rows, and so {place}: {_few(self.too_few)}"
        if self.nameless:
            yield f"without a segment, and so {place}: {self.nameless:,} rows"
        for name in list(self.refused)[:_SHOWN]:
            yield f"segment {name!r} is {place}, because: {self.refused[name]}"
        if len(self.refused) > _SHOWN:
            yield f"{len(self.refused) - _SHOWN:,} more segments are {place} for like reasons"
        if self.joined:
            first = next(iter(self.joined.values()))
            yield f"the others being too few ({first}), also {place}: {_few(list(self.joined))}"
        if self.too_few or self.nameless or self.refused:
            yield f"of rows {place} all this holds together, and for none of their segments alone"

    def _calibrated(self, name: str, index: NDArray[np.intp]) -> bool:
        if len(index) < self.min_rows:
            self.too_few.append(name)
            return False
        found = self._attempt(index)
        if isinstance(found, str):
            self.refused[name] = found
            return False
        self.own[name] = _Segment(index, found)
        return True

    def _attempt(self, index: NDArray[np.intp]) -> Calibration | str:
        """A calibration of some of the rows, or why there is none."""
        if len(index) < self.min_rows:
            return f"{len(index):,} rows, where a threshold takes {self.min_rows:,}"
        if not self.rows.take(index).stands_for_normal:
            return f"none of its {len(index):,} rows is normal and has a weight"
        try:
            return self.calibrate_part(index)
        except TableError as error:
            return str(error)


def _by_name(group: NDArray[np.object_]) -> list[tuple[str, NDArray[np.intp]]]:
    """The segments in alphabetical order, and the rows of each."""
    names = sorted({name for name in group if name is not None})
    place_of: dict[str | None, int] = {name: place for place, name in enumerate(names)}
    places = np.fromiter((place_of.get(name, -1) for name in group), dtype=np.intp, count=len(group))
    in_order = np.argsort(places, kind="stable")
    cuts = np.searchsorted(places[in_order], np.arange(len(names)))
    return list(zip(names, np.split(in_order, cuts)[1:], strict=True))


def _in_all(calibration: Calibration, rows: CalibrationRows) -> Iterator[str]:
    """A report is of one threshold at a time; a team works the alerts of all."""
    if not calibration.segments:
        yield "no segment has a threshold of its own"
        return
    yield "the lines above are of one threshold for all rows, which rows have that are scored without their segment"
    if not isinstance(calibration.rule, BatchRule):
        n_alerts = int(calibration.alerts(rows.score, rows.group).sum())
        parts = "the segments" if calibration.rest is None else "the segments and of the rest"
        yield (
            f"by the thresholds of {parts} together, {n_alerts:,} of the calibration rows alert "
            f"({percent(n_alerts / len(rows))}){_as_asked(calibration, n_alerts)}"
        )


def _as_asked(calibration: Calibration, n_alerts: int) -> str:
    """The same in the unit of a wish that is one for all rows."""
    pooled = calibration.guarantee
    if not isinstance(calibration.rule, SharedRule) or pooled.estimate is None or not pooled.n_alerts:
        return ""
    return f": {pooled.quantity} {pooled.estimate * n_alerts / pooled.n_alerts:.4g}"


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return f"{len(names):,} segment{'s' if len(names) > 1 else ''} ({shown})"
