"""Rows of requests with what `BehaviorFeatures` tells of their past, and the columns that it takes for that.

A row by itself, with 300,000 remembered, takes 2 ms, and 4 to be remembered too (the least of 20, on a busy machine).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from vae_anomaly._behavior.history import moment
from vae_anomaly._behavior.rows import SECONDS, ZONED, number_columns
from vae_anomaly.pipelines import made_by, with_features
from vae_anomaly.serving.wanted import CellKind, WantedColumns
from vae_anomaly.table.schema import Schema

if TYPE_CHECKING:
    from vae_anomaly._behavior.plan import Plan
    from vae_anomaly.behavior import BehaviorFeatures

_MINUTE, _SECOND = 60 * 10**6, 10**6  # microseconds


@dataclass(frozen=True, eq=False)
class ServedPast:
    """What a model remembers, in use: every request sees it.

    Parameters
    ----------
    behavior : BehaviorFeatures
        Fitted on a frame.
    remembers : bool, default=False
        Whether rows that are scored are remembered for later requests.
    """

    behavior: BehaviorFeatures
    remembers: bool = False
    _one_at_a_time: Lock = field(default_factory=Lock)

    @property
    def _plan(self) -> Plan:
        return self.behavior._plan

    @contextmanager
    def features(self, table: pa.Table, *, scored: bool) -> Iterator[pa.Table]:
        """The rows of a request with their features: of what is remembered, and of the earlier rows among them.

        Rows that are scored are remembered, if any are, unless the caller fails with them.

        Raises
        ------
        TableError
            A cell is not what its column needs, or a row comes before the end of what is remembered.
        """
        seen = table.select([name for name in table.column_names if name in self._plan.columns])
        for name in self._plan.kept:  # what only names a row need not be sent
            if name not in seen.column_names:
                seen = seen.append_column(name, pa.nulls(len(seen), pa.string()))
        remembering = self.remembers and scored
        with self._one_at_a_time if remembering else nullcontext():
            now = copy.copy(self.behavior)  # which no other request changes meanwhile
            yield with_features(table, now, now.update(seen) if remembering else now.transform(seen))
            if remembering:
                self.behavior.history_ = now.history_

    def wanted(self, schema: Schema, segment_column: str | None) -> WantedColumns:
        """The columns that a request must have: those that features are made of, in place of the features."""
        of_schema, made = WantedColumns.of(schema, segment_column), set(made_by(self.behavior))
        kinds = {name: self._kind(name) for name in self._plan.spec.used}
        kinds |= {name: kind for name, kind in of_schema.kinds.items() if name not in made}
        order = [*(name for name in self._plan.columns if name in kinds), *kinds]  # a segment's may be beyond those
        dtypes = of_schema.dtypes | {name: self.dtype(name) for name in kinds if name not in schema.names}
        known = frozenset([*self._plan.kept, *kinds])
        return WantedColumns({name: kinds[name] for name in order}, schema.modelled, known, dtypes)

    def dtype(self, name: str) -> str:
        """How the cells of a column are read that is not modelled itself."""
        if name not in self._plan.spec.used:
            return "segment"
        how = self._plan.readings
        return str(how.time) if name == self._plan.spec.time else str(how.names.get(name, "number"))

    def example(self) -> Mapping[str, Any]:
        """A time that is not late, in the form of its column."""
        clock, how = self.behavior.history_.clock, self._plan.readings
        if clock is None:
            return {}
        later = clock + _MINUTE
        iso = moment(later).isoformat(timespec="seconds") + ("Z" if how.time == ZONED else "")
        return {self._plan.spec.time: later / _SECOND if how.time == SECONDS else iso}

    def card(self) -> dict[str, Any]:
        """What is remembered, as JSON values."""
        history = self.behavior.history_
        return {
            "entities": list(self._plan.spec.entities),
            "time": self._plan.spec.time,
            "remembered_until": None if history.until is None else history.until.isoformat(),
            "remembered_rows": len(history.rows),
            "remembers_requests": self.remembers,
            "features": made_by(self.behavior),
        }

    def _kind(self, name: str) -> CellKind:
        if name == self._plan.spec.time:
            return CellKind.NUMBER if self._plan.readings.time == SECONDS else CellKind.MOMENT
        return CellKind.NUMBER if name in number_columns(self._plan.spec).values() else CellKind.VALUE
