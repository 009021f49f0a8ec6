"""Rows of files with what `BehaviorFeatures` tells of their past, chunk by chunk."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from vae_anomaly._behavior.history import moment
from vae_anomaly._behavior.rows import NEVER
from vae_anomaly.cli._options import ERROR, Reading
from vae_anomaly.cli._past_spec import Part
from vae_anomaly.cli._print import note
from vae_anomaly.cli._rows import check_free
from vae_anomaly.errors import ParameterError
from vae_anomaly.pipelines import check_knows_past, made_by, stored_behavior, with_features, write_with_behavior

if TYPE_CHECKING:
    from vae_anomaly.artifact import Artifact
    from vae_anomaly.behavior import BehaviorFeatures
    from vae_anomaly.cli._wanted import Wanted
    from vae_anomaly.table.chunk import Chunk, Place
    from vae_anomaly.table.stream import Stream


@dataclass(eq=False)
class Past:
    """How the rows of files get their features.

    Parameters
    ----------
    behavior : BehaviorFeatures
        With what it remembers. It is left as it is: each reading of files goes on from it, by itself.
    reading : Reading
        How the files are written.
    latest : BehaviorFeatures or None
        With the rows of the last reading remembered too, once it has come to its end.
    """

    behavior: BehaviorFeatures
    reading: Reading
    latest: BehaviorFeatures | None = None

    @property
    def used(self) -> set[str]:
        """The columns of the files that are handed on or that features are made of."""
        return set(self.behavior.feature_names_in_)

    @property
    def made(self) -> list[str]:
        """The features."""
        return made_by(self.behavior)

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns that the model knows by their features alone."""
        handed_on = set(self.behavior.get_feature_names_out())
        return tuple(name for name in self.behavior._plan.spec.used if name not in handed_on)

    @property
    def roles(self) -> dict[str, str]:
        """The columns that say when a row came, and whose it is: the first, where there are several entities."""
        spec = self.behavior._plan.spec
        return {"time": spec.time, "entity": spec.entities[0]}

    def chunks(self, stream: Stream, place: Place | None) -> Iterator[Chunk]:
        """The chunks after a place, with their features; what comes before it is remembered again, and not given."""
        behavior, used = copy.copy(self.behavior), self.used
        check_free(stream.schema.empty_table(), self.made)
        for number, chunk in enumerate(stream.chunks()):
            seen = self.reading.for_model(chunk.table.select([n for n in chunk.table.column_names if n in used]))
            with Part(seen, chunk).placing():
                if not number:
                    self._remark(seen)
                if place is not None and chunk.end.total <= place.total:
                    behavior.partial_fit(seen)
                    continue
                rows = behavior.update(seen)
            yield replace(chunk, table=with_features(chunk.table, behavior, rows))
        self.latest = behavior

    def write_latest(self, artifact: Artifact, stream: Stream, path: Path, *, force: bool) -> None:
        """Write the model with the rows of the stream remembered too.

        Raises
        ------
        OutputError
            The file exists and may not be replaced, or cannot be written.
        """
        if self.latest is None:  # an earlier run has scored all rows
            for _ in self.chunks(stream, None):
                pass
        assert self.latest is not None  # noqa: S101
        write_with_behavior(path, artifact, self.latest, overwrite=force)

    def table(self, table: pa.Table) -> pa.Table:
        """Rows with their features."""
        check_free(table, self.made)
        seen = self.reading.for_model(table.select([name for name in table.column_names if name in self.used]))
        self._remark(seen)
        return with_features(table, self.behavior, copy.copy(self.behavior).update(seen))

    def _remark(self, seen: pa.Table) -> None:
        """Say that nothing which is remembered is recent enough to be in a window of any row."""
        history, (name, longest) = self.behavior.history_, self.behavior._plan.spec.longest
        came = self.behavior._ticks(seen)
        came = came[came != NEVER]
        if history.clock is not None and len(came) and came.min() - history.clock > longest:
            note(
                f"the rows begin {moment(int(came.min()))}, more than {name} after the end of what the model remembers"
                f" ({history.until}): every card looks new. Score the rows in between before, with --update-state"
            )


def past_of(artifact: Artifact, reading: Reading) -> Past | None:
    """How rows get the features that the model of an audited file takes; None if it takes rows as they are."""
    behavior = stored_behavior(artifact)
    return None if behavior is None else Past(behavior, reading)


def chunks_of(stream: Stream, past: Past | None, place: Place | None = None) -> Iterator[Chunk]:
    """The chunks after a place as the model takes them."""
    return stream.chunks(place) if past is None else past.chunks(stream, place)


def check_goes_with_past(artifact: Artifact, wanted: Wanted) -> None:
    """Raise a `ParameterError` if the rows of a run cannot be worked on as the options say."""
    if wanted.update_state is not None:
        check_knows_past(artifact)
    if artifact.behavior is not None and wanted.bad_rows != ERROR:
        raise ParameterError(
            f"--bad-rows {wanted.bad_rows}: expected error, as the model knows the past of cards, of which a row that "
            "is left out would be missing. Repair the row, and leave the option out."
        )
