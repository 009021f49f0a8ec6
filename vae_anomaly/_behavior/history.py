"""What is remembered: the latest rows as they were, and of older ones how many there were of what."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vae_anomaly._behavior.moments import Floats
from vae_anomaly._behavior.rows import NEVER, Batch, Levels, Rows
from vae_anomaly._behavior.spec import Spec
from vae_anomaly._behavior.timeline import Integers
from vae_anomaly.errors import SchemaWarning

HOUR = ""
"""The name of the key "hour of the day" among the keys of `History.counts`; no column needs it."""

_FEWEST_TO_FOLD = 10_000
_KEPT_SHARE = 0.9
_CODE_BITS = 32


@dataclass(frozen=True, eq=False)
class Older:
    """What is kept of the rows of each entity that are no longer kept themselves.

    Parameters
    ----------
    count : int64 ndarray of shape (n_entities,)
        How many there were.
    last : int64 ndarray of shape (n_entities,)
        Time of the latest, in microseconds; `NEVER` if there was none.
    place_time : int64 ndarray of shape (n_entities,)
        Time of the latest that had coordinates.
    latitude, longitude : float64 ndarray of shape (n_entities,)
        Its coordinates.
    """

    count: Integers
    last: Integers
    place_time: Integers
    latitude: Floats
    longitude: Floats

    @classmethod
    def none(cls, n: int) -> Older:
        """Of entities without older rows."""
        never, unknown = np.full(n, NEVER), np.full(n, np.nan)
        return cls(np.zeros(n, np.int64), never, never.copy(), unknown, unknown.copy())

    def for_codes(self, codes: NDArray[Any]) -> Older:
        """Those of entities by their codes, which may be beyond the last that is known."""
        known = codes < len(self.count)
        found, at = Older.none(len(codes)), codes[known]
        for values, mine in zip(found.arrays(), self.arrays(), strict=True):
            values[known] = mine[at]
        return found

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """All of them."""
        return self.count, self.last, self.place_time, self.latitude, self.longitude

    def with_rows(self, codes: NDArray[Any], rows: Rows, n: int) -> Older:
        """With more rows, all later than those before, of entities with these codes."""
        grown = self.for_codes(np.arange(n))
        order = np.argsort(rows.time, kind="stable")
        codes, rows = codes[order], rows.take(order)
        counts = grown.count + np.bincount(codes, minlength=n)
        grown.last[codes] = rows.time  # of equal codes the last holds
        if "latitude" in rows.numbers:
            placed = has_place(rows.numbers)
            at = codes[placed]
            grown.place_time[at] = rows.time[placed]
            grown.latitude[at], grown.longitude[at] = (rows.numbers[x][placed] for x in ("latitude", "longitude"))
        return replace(grown, count=counts)


@dataclass(frozen=True, eq=False)
class Counts:
    """How many older rows each pair of entity and key had.

    Parameters
    ----------
    pair : int64 ndarray of shape (n_pairs,)
        Code of the entity and code of the key in one number, sorted.
    count : int64 ndarray of shape (n_pairs,)
        Rows.
    """

    pair: Integers
    count: Integers

    @classmethod
    def none(cls) -> Counts:
        """Of no pairs."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64))

    @classmethod
    def summed(cls, pair: Integers, count: Integers) -> Counts:
        """Of pairs that may come more than once."""
        distinct, place = np.unique(pair, return_inverse=True)
        total = np.zeros(len(distinct), np.int64)
        np.add.at(total, place, count)
        return cls(distinct, total)

    @property
    def codes(self) -> tuple[Integers, Integers]:
        """Codes of the entities and of the keys."""
        return self.pair >> _CODE_BITS, self.pair & ((1 << _CODE_BITS) - 1)

    def with_rows(self, entity: NDArray[Any], key: NDArray[Any]) -> Counts:
        """With one more for each of these pairs; codes below 0 are missing."""
        pair = pairs(entity, key)[(entity >= 0) & (key >= 0)]
        return self.summed(np.concatenate([self.pair, pair]), np.concatenate([self.count, np.ones_like(pair)]))

    def of(self, entity: NDArray[Any], key: NDArray[Any]) -> Integers:
        """How many rows each of these pairs had."""
        wanted = pairs(entity, key)
        if not len(self.pair):
            return np.zeros(len(wanted), np.int64)
        place = np.minimum(np.searchsorted(self.pair, wanted), len(self.pair) - 1)
        return np.where(self.pair[place] == wanted, self.count[place], 0)


def moment(ticks: int) -> datetime:
    """A time that is given in microseconds since 1970."""
    return datetime(1970, 1, 1) + timedelta(microseconds=ticks)


def pairs(entity: NDArray[Any], key: NDArray[Any]) -> Integers:
    """Two codes in one number."""
    return (entity.astype(np.int64) << _CODE_BITS) | key.astype(np.int64)


def has_place(numbers: Mapping[str, Floats]) -> NDArray[np.bool_]:
    """Which rows have both coordinates."""
    return ~(np.isnan(numbers["latitude"]) | np.isnan(numbers["longitude"]))


def key_codes(rows: Rows, key: str) -> NDArray[Any]:
    """The codes of a key: of a column, or hours."""
    return rows.hour if key == HOUR else rows.codes[key]


@dataclass(frozen=True, eq=False)
class History:
    """What is remembered of all rows so far. It is never changed: `after` gives another.

    Parameters
    ----------
    levels : Levels
        The values of the columns of names.
    rows : Rows
        In the order in which they came: at least those that a window of a later row may reach.
    older : dict of str to Older
        For each column of entities, of the rows that are no longer among `rows`.
    counts : dict of (str, str) to Counts
        The same for pairs of an entity and a key; the key `HOUR` is the hour of the day.
    clock : int or None
        Latest time of any row, in microseconds.
    """

    levels: Levels
    rows: Rows
    older: Mapping[str, Older]
    counts: Mapping[tuple[str, str], Counts]
    clock: int | None

    @property
    def until(self) -> datetime | None:
        """Latest time of any row, UTC where the times have a zone."""
        return None if self.clock is None else moment(self.clock)

    @classmethod
    def none(cls, spec: Spec) -> History:
        """Nothing."""
        levels = {name: pa.array([], pa.large_string()) for name in spec.coded}
        counts = {(entity, key): Counts.none() for entity in spec.entities for key in (*spec.keys_of(entity), HOUR)}
        return cls(levels, Rows.none(spec), {entity: Older.none(0) for entity in spec.entities}, counts, None)

    def after(self, batch: Batch, spec: Spec) -> History:
        """What is remembered when the rows of a batch have come as well."""
        if not len(batch.rows):
            return self
        named = np.any([batch.rows.codes[entity] >= 0 for entity in spec.entities], axis=0)
        latest = int(batch.rows.time.max())
        clock = latest if self.clock is None else max(self.clock, latest)
        grown = replace(self, levels=batch.levels, rows=self.rows.followed_by(batch.rows.take(named)), clock=clock)
        return grown._folded(clock - spec.horizon)._bounded(spec.max_entities)

    def _folded(self, until: int) -> History:
        """Count the rows that no window reaches any more, when they are many: how seldom makes no difference."""
        old = self.rows.time <= until
        if old.sum() < max(_FEWEST_TO_FOLD, (~old).sum() // 2):
            return self
        gone = self.rows.take(old)
        older = {}
        for entity, before in self.older.items():
            there = gone.codes[entity] >= 0
            older[entity] = before.with_rows(gone.codes[entity][there], gone.take(there), len(self.levels[entity]))
        counts = {
            (entity, key): before.with_rows(gone.codes[entity], key_codes(gone, key))
            for (entity, key), before in self.counts.items()
        }
        return replace(self, rows=self.rows.take(~old), older=older, counts=counts)

    def last_seen(self, entity: str) -> Integers:
        """Time of the latest row of each entity, `NEVER` of those without one."""
        last = self.older[entity].for_codes(np.arange(len(self.levels[entity]))).last
        codes = self.rows.codes[entity]
        np.maximum.at(last, codes[codes >= 0], self.rows.time[codes >= 0])
        return last

    def _bounded(self, most: int | None) -> History:
        """Forget the entities that were seen longest ago, where there are too many."""
        if most is None or max(len(self.levels[entity]) for entity in self.older) <= most:
            return self
        kept = self
        for entity in self.older:
            last = self.last_seen(entity)
            n_known = int((last > NEVER).sum())
            if n_known > most:
                n_gone = n_known - max(1, int(_KEPT_SHARE * most))
                known = np.flatnonzero(last > NEVER)
                gone = known[np.argsort(last[known], kind="stable")[:n_gone]]
                kept = kept._without(entity, gone)
                _warn_of_forgotten(entity, n_gone, most)
        return self if kept is self else kept._compact()

    def _without(self, entity: str, gone: Integers) -> History:
        """Without the past of some entities."""
        forgotten = np.zeros(len(self.levels[entity]), dtype=bool)
        forgotten[gone] = True
        codes = self.rows.codes[entity].copy()
        codes[(codes >= 0) & forgotten[codes]] = -1
        rows = replace(self.rows, codes={**self.rows.codes, entity: codes})
        older = self.older[entity].for_codes(np.arange(len(forgotten)))
        older.count[gone], older.last[gone], older.place_time[gone] = 0, NEVER, NEVER
        older.latitude[gone] = older.longitude[gone] = np.nan
        counts = dict(self.counts)
        for (whose, key), before in self.counts.items():
            if entity in (whose, key):
                stays = ~forgotten[before.codes[0 if whose == entity else 1]]
                counts[whose, key] = Counts(before.pair[stays], before.count[stays])
        return replace(self, rows=rows, older={**self.older, entity: older}, counts=counts)

    def _compact(self) -> History:
        """Without rows of no entity, and without levels that nothing refers to."""
        named = np.any([self.rows.codes[entity] >= 0 for entity in self.older], axis=0)
        history = replace(self, rows=self.rows.take(named))
        used = {name: history._is_used(name) for name in self.levels}
        new = {name: np.append(np.cumsum(which, dtype=np.int32) - 1, np.int32(-1)) for name, which in used.items()}
        codes = {name: new[name][codes] for name, codes in history.rows.codes.items()}
        older = {e: was.for_codes(np.flatnonzero(used[e])) for e, was in history.older.items()}
        counts = {}
        for (entity, key), before in history.counts.items():
            whose, of_key = before.codes
            pair = pairs(new[entity][whose], of_key if key == HOUR else new[key][of_key])
            counts[entity, key] = Counts.summed(pair, before.count)
        levels = {name: was.filter(pa.array(used[name])) for name, was in history.levels.items()}
        return History(levels, replace(history.rows, codes=codes), older, counts, history.clock)

    def _is_used(self, name: str) -> NDArray[np.bool_]:
        """Which levels of a column are those of a row, an entity or a pair."""
        used = np.zeros(len(self.levels[name]) + 1, dtype=bool)
        used[self.rows.codes[name]] = True
        if name in self.older:
            used[np.flatnonzero(self.older[name].count)] = True
        for (_, key), counts in self.counts.items():
            if key == name:
                used[counts.codes[1]] = True
        return used[:-1]


def _warn_of_forgotten(entity: str, n_gone: int, most: int) -> None:
    warnings.warn(
        f"{entity!r} has more than max_entities={most:,} values: the past of the {n_gone:,} that were seen longest ago "
        "is forgotten, and they will look new. If there is memory for more, raise max_entities.",
        SchemaWarning,
        stacklevel=2,
    )
