"""Rows of files with what `BehaviorFeatures` tells of their past, chunk by chunk."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from vae_anomaly.cli._options import ERROR, Reading
from vae_anomaly.cli._rows import check_columns, check_free
from vae_anomaly.errors import ParameterError, TableError
from vae_anomaly.pipelines import made_by, stored_behavior, with_features, write_with_behavior

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
        for chunk in stream.chunks():
            seen = self.reading.for_model(chunk.table.select([n for n in chunk.table.column_names if n in used]))
            try:
                if place is not None and chunk.end.total <= place.total:
                    behavior.partial_fit(seen)
                    continue
                yield replace(chunk, table=with_features(chunk.table, behavior, behavior.update(seen)))
            except TableError as error:
                raise type(error)(f"{chunk.file}, in the rows from line {chunk.start.line} on: {error}") from None
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
        return with_features(table, self.behavior, copy.copy(self.behavior).update(seen))


def past_of(artifact: Artifact, reading: Reading) -> Past | None:
    """How rows get the features that the model of an audited file takes; None if it takes rows as they are."""
    behavior = stored_behavior(artifact)
    return None if behavior is None else Past(behavior, reading)


def chunks_of(stream: Stream, past: Past | None, place: Place | None = None) -> Iterator[Chunk]:
    """The chunks after a place as the model takes them."""
    return stream.chunks(place) if past is None else past.chunks(stream, place)


def check_goes_with_past(past: Past | None, wanted: Wanted) -> None:
    """Raise a `ParameterError` if the rows of a run cannot be worked on as the options say."""
    if past is None:
        if wanted.update_state is not None:
            raise ParameterError(
                "--update-state is for a model that knows the past of cards: expected one of fit --behavior, found none"
                " in MODEL. Leave it out."
            )
    elif wanted.bad_rows != ERROR:
        raise ParameterError(
            f"--bad-rows {wanted.bad_rows}: expected error, as the model knows the past of cards, of which a row that "
            "is left out would be missing. Repair the row, and leave the option out."
        )


def remembering(
    tables: Iterable[pa.Table], behavior: BehaviorFeatures, reading: Reading, unseen: Sequence[str]
) -> Iterator[pa.Table]:
    """Tables with their features, all of which are remembered; the first one settles how columns are read.

    Raises
    ------
    TableError
        A column that options name is not there, or the rows are not what features are made of.
    """
    for number, table in enumerate(tables):
        check_columns(table, unseen)
        seen = reading.for_model(table.drop_columns(list(unseen)))
        rows = behavior.update(seen) if number else behavior.fit_transform(seen)
        yield with_features(table, behavior, rows)


def behavior_of(path: Path) -> BehaviorFeatures:
    r"""What a file says, in TOML: the parameters of `BehaviorFeatures` by their names.

    Raises
    ------
    ParameterError
        Naming the file, the key, what was expected, and what was found.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "spec.toml"
    >>> _ = path.write_text('entities = ["card"]\ntime = "moment"\nwindows = ["1h", "7D"]\n')
    >>> behavior_of(path)
    BehaviorFeatures(entities=('card',), time='moment', windows=('1h', '7D'))
    """
    given = _parsed(path)
    from vae_anomaly._behavior.spec import Spec
    from vae_anomaly.behavior import BehaviorFeatures

    known = list(BehaviorFeatures._get_param_names())
    for name in given:
        if name not in known:
            raise ParameterError(f"{path}: expected keys among {', '.join(known)}, found {name!r}. Correct or drop it.")
    for name in ("entities", "time"):
        if name not in given:
            raise ParameterError(f"{path}: expected the key {name!r}, found only {list(given)}. Add it.")
    params: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    behavior = BehaviorFeatures(**params)
    try:
        Spec.of_params(behavior.get_params(deep=False))
    except ParameterError as error:
        raise ParameterError(f"{path}: {error}") from None
    return behavior


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ParameterError(f"{path}: expected a file in TOML, found: {error.strerror}. Check --behavior.") from None
    except ValueError as error:  # of the encoding too
        raise ParameterError(f"{path}: expected TOML, found: {error}. Correct it.") from None
