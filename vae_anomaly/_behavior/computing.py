"""What the past of each row says of it, by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vae_anomaly._behavior.history import HOUR, History, Older, has_place, key_codes
from vae_anomaly._behavior.moments import Floats, Moments, moments_of
from vae_anomaly._behavior.rows import NEVER, Batch, Rows
from vae_anomaly._behavior.spec import OF_AMOUNTS, Spec
from vae_anomaly._behavior.timeline import Integers, Stretches, Timeline

_SECOND, _HOUR = 1e6, 3.6e9  # microseconds
_SHORTEST_JOURNEY = 60_000_000  # microseconds: clocks of two places differ by seconds
_EARTH_RADIUS = 6_371.0  # km
_Named = Iterator[tuple[str, Floats]]


def features(spec: Spec, history: History, batch: Batch) -> dict[str, Floats]:
    """All features of all rows of a batch, NaN for rows without a time.

    Parameters
    ----------
    spec : Spec
        What to compute.
    history : History
        What is remembered.
    batch : Batch
        The new rows. They see what is remembered, and their own past among each other.

    Returns
    -------
    dict of str to float64 ndarray of shape (n_rows,)
        By name, in the order of the columns.
    """
    found = {}
    for entity in spec.entities:
        past = _Past.of(spec, history, batch.rows, entity)
        places = batch.placed[past.places]
        for name, values in past.features(spec):
            found[f"{entity}__{name}"] = _scattered(values, places, batch.n_rows)
    if "hour" in spec.features:
        found[f"{spec.time}__hour"] = _scattered(batch.rows.hour, batch.placed, batch.n_rows)
    if "weekday" in spec.features:
        found[f"{spec.time}__weekday"] = _scattered(batch.weekday, batch.placed, batch.n_rows)
    return found


def _scattered(values: NDArray[np.generic], places: Integers, n: int) -> Floats:
    out = np.full(n, np.nan)
    out[places] = values
    return out


@dataclass(frozen=True, eq=False)
class _Past:
    """The new rows of one column of entities, and the remembered ones of the same entities, sorted together.

    Parameters
    ----------
    history : History
        What is remembered.
    entity : str
        The column.
    rows : Rows
        Remembered and new, sorted as `timeline` is.
    timeline : Timeline
        By entity, time and arrival.
    asked : int64 ndarray of shape (n_asked,)
        Which of `rows` are new.
    places : int64 ndarray of shape (n_asked,)
        Where these stand among the new rows.
    delay : int
        Microseconds.
    """

    history: History
    entity: str
    rows: Rows
    timeline: Timeline
    asked: Integers
    places: Integers
    delay: int

    @classmethod
    def of(cls, spec: Spec, history: History, new: Rows, entity: str) -> _Past:
        named = np.flatnonzero(new.codes[entity] >= 0)
        remembered = np.flatnonzero(np.isin(history.rows.codes[entity], new.codes[entity][named]))
        rows = history.rows.take(remembered).followed_by(new.take(named))
        timeline = Timeline.of(rows.codes[entity], rows.time)
        asked = np.flatnonzero(timeline.order >= len(remembered))
        places = named[timeline.order[asked] - len(remembered)]
        return cls(history, entity, rows.take(timeline.order), timeline, asked, places, spec.delay)

    def features(self, spec: Spec) -> _Named:
        """Name and values, for the rows that are asked for."""
        windows = {window: self.timeline.past(length, self.delay) for window, length in spec.windows.items()}
        if "count" in spec.features:
            for window, past in windows.items():
                yield f"count_{window}", past.length[self.asked].astype(np.float64)
        if spec.amount is not None:
            yield from self._of_amounts(spec.amount, spec, windows)
        if "seconds_since_last" in spec.features:
            last = self._last(np.arange(len(self.rows)), self._older.last)
            yield "seconds_since_last", self._since(last) / _SECOND
        for key in spec.keys_of(self.entity):
            yield from self._of_key(key, spec, windows)
        if "hour_share" in spec.features:
            yield "hour_share", self._share(self._earlier(HOUR))
        if spec.coordinates is not None:
            yield from self._of_places(spec)

    def _of_amounts(self, name: str, spec: Spec, windows: dict[str, Stretches]) -> _Named:
        statistics = [statistic for statistic in OF_AMOUNTS if statistic in spec.features]
        longest = spec.longest[0]
        needed = windows if statistics else {longest: windows[longest]}
        stretches = {window: past.of(self.asked) for window, past in needed.items()}
        found = moments_of(self.rows.numbers["amount"], list(stretches.values()))
        for (window, past), moments in zip(stretches.items(), found, strict=True):
            for statistic in statistics:
                yield f"{name}_{statistic}_{window}", _statistic(statistic, moments, past)
        amount, usual = self.rows.numbers["amount"][self.asked], found[list(stretches).index(longest)]
        mean = _statistic("mean", usual, stretches[longest])
        if "ratio" in spec.features:
            yield f"{name}_ratio_{longest}", _quotient(amount, mean)
        if "z" in spec.features:
            yield f"{name}_z_{longest}", _quotient(amount - mean, usual.std())

    def _of_key(self, key: str, spec: Spec, windows: dict[str, Stretches]) -> _Named:
        codes = key_codes(self.rows, key)
        given = codes[self.asked] >= 0
        if "distinct" in spec.features:
            counts = self.timeline.distinct(codes, list(windows.values()))
            for window, distinct in zip(windows, counts, strict=True):
                yield f"{key}_distinct_{window}", distinct[self.asked].astype(np.float64)
        earlier = self._earlier(key)
        if "first" in spec.features:
            yield f"{key}_first", np.where(given, earlier == 0, np.nan)
        if "share" in spec.features:
            yield f"{key}_share", np.where(given, self._share(earlier), np.nan)

    def _of_places(self, spec: Spec) -> _Named:
        placed = has_place(self.rows.numbers)
        row = np.maximum.accumulate(np.where(placed, np.arange(len(self.rows)), -1))
        last = self._last(row, self._older.place_time)
        before = [
            np.where(last.row >= 0, self.rows.numbers[axis][last.row], getattr(self._older, axis))
            for axis in ("latitude", "longitude")
        ]
        here = [self.rows.numbers[axis][self.asked] for axis in ("latitude", "longitude")]
        distance = kilometres(*before, *here)
        if "km_from_last" in spec.features:
            yield "km_from_last", distance
        if "km_per_hour" in spec.features:
            yield "km_per_hour", distance / (np.maximum(self._since(last), _SHORTEST_JOURNEY) / _HOUR)

    @cached_property
    def _whole(self) -> Stretches:
        """All of the rows' past that is among `rows`."""
        return self.timeline.past(None, self.delay).of(self.asked)

    @cached_property
    def _older(self) -> Older:
        """What is kept of the rows before."""
        return self.history.older[self.entity].for_codes(self.timeline.entity[self.asked])

    def _last(self, row: Integers, older: Integers) -> _Last:
        """The latest row of the past that `row` tells, or else the time that is kept."""
        at = self._whole.stop - 1
        found = np.where(self._whole.length > 0, np.append(row, -1)[at], -1)
        found[found < self._whole.start] = -1
        return _Last(found, np.where(found >= 0, self.timeline.time[found], older))

    def _since(self, last: _Last) -> Floats:
        """Microseconds since then, NaN where there was nothing."""
        since = (self.timeline.time[self.asked] - np.where(last.time == NEVER, 0, last.time)).astype(np.float64)
        return np.where(last.time == NEVER, np.nan, since)

    def _earlier(self, key: str) -> Integers:
        """How many rows of the past have the same key."""
        codes = key_codes(self.rows, key)
        kept = self.timeline.occurrences(codes, self.asked, self._whole.stop)
        older = self.history.counts[self.entity, key].of(self.timeline.entity[self.asked], codes[self.asked])
        return kept + older

    def _share(self, count: Integers) -> Floats:
        """Of all rows of the past, NaN where there are none."""
        total = (self._older.count + self._whole.length).astype(np.float64)
        return _quotient(count.astype(np.float64), total)


@dataclass(frozen=True, eq=False)
class _Last:
    """Sorted places of rows, −1 where they are no longer kept, and their times."""

    row: Integers
    time: Integers


def _statistic(name: str, moments: Moments, past: Stretches) -> Floats:
    """One statistic, NaN where there are no numbers. The sum over no rows is 0: nothing was spent."""
    if name == "std":
        return moments.std()
    if name == "sum":
        return np.where((moments.count > 0) | (past.length == 0), moments.total, np.nan)
    return np.where(moments.count > 0, moments.mean if name == "mean" else moments.maximum, np.nan)


def _quotient(numerator: Floats, denominator: Floats) -> Floats:
    """Missing where it would be divided by 0, or by so little that there is no such number."""
    out = np.full(len(numerator), np.nan)
    with np.errstate(over="ignore"):
        np.divide(numerator, denominator, out=out, where=denominator != 0)
    return np.where(np.isinf(out), np.nan, out)


def kilometres(latitude: Floats, longitude: Floats, to_latitude: Floats, to_longitude: Floats) -> Floats:
    """Great-circle distance by the haversine formula (Sinnott, 1984); coordinates in degrees.

    Examples
    --------
    >>> kilometres(*(np.array([degrees]) for degrees in (48.86, 2.35, 52.52, 13.41))).round()
    array([878.])
    """
    phi, to_phi, turn = (np.radians(angle) for angle in (latitude, to_latitude, to_longitude - longitude))
    half = np.sin((to_phi - phi) / 2) ** 2 + np.cos(phi) * np.cos(to_phi) * np.sin(turn / 2) ** 2
    return np.asarray(2 * _EARTH_RADIUS * np.arcsin(np.sqrt(np.minimum(half, 1.0))))
