"""What a file says of the past of rows, and the rows to learn from with it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vae_anomaly._behavior.rows import OddRowError
from vae_anomaly.cli._options import Reading
from vae_anomaly.cli._rows import check_columns
from vae_anomaly.errors import ParameterError, TableError
from vae_anomaly.pipelines import with_features

if TYPE_CHECKING:
    from vae_anomaly.behavior import BehaviorFeatures
    from vae_anomaly.table.chunk import Chunk

_LEARN_FROM, _MOST, _ALL = "learn_from", "max_entities", "all"


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows of the input, with what it takes to say where they are.

    Parameters
    ----------
    table : pyarrow.Table
        They.
    chunk : Chunk or None
        The chunk of a file that they are; None where rows between them are held out.
    """

    table: pa.Table
    chunk: Chunk | None = None

    @contextmanager
    def placing(self) -> Iterator[None]:
        """Say of errors in which file and line they are."""
        try:
            yield
        except TableError as error:
            if self.chunk is None:
                raise TableError(f"Of the rows that are not held out: {error}") from None
            if isinstance(error, OddRowError):
                raise TableError(f"{self.chunk.where(error.row)}: column {error.column!r}: {error.found}") from None
            raise type(error)(f"{self.chunk.where(0)} and after: {error}") from None


@dataclass(eq=False)
class PastSpec:
    """What a file says of how rows are set against the past.

    Parameters
    ----------
    path : Path
        The file.
    behavior : BehaviorFeatures
        With its parameters; `remembering` fits it.
    learn_from : str or None
        The first time of the rows to learn from, as the column of times is written; None for all rows.
    """

    path: Path
    behavior: BehaviorFeatures
    learn_from: str | None = None

    @classmethod
    def of(cls, path: Path) -> PastSpec:
        r"""Read a file in TOML: the parameters of `BehaviorFeatures` by their names, and perhaps `learn_from`.

        Raises
        ------
        ParameterError
            Naming the file, the key, what was expected, and what was found.

        Examples
        --------
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "spec.toml"
        >>> _ = path.write_text('entities = ["card"]\ntime = "moment"\nlearn_from = 2025-02-01\nmax_entities = "all"\n')
        >>> PastSpec.of(path).learn_from, PastSpec.of(path).behavior
        ('2025-02-01', BehaviorFeatures(entities=('card',), max_entities=None, time='moment'))
        """
        given = _parsed(path)
        from vae_anomaly._behavior.spec import Spec
        from vae_anomaly.behavior import BehaviorFeatures

        known = [*BehaviorFeatures._get_param_names(), _LEARN_FROM]
        for name in given:
            if name not in known:
                raise ParameterError(
                    f"{path}: expected keys among {', '.join(known)}, found {name!r}. Correct or drop it."
                )
        for name in ("entities", "time"):
            if name not in given:
                raise ParameterError(f"{path}: expected the key {name!r}, found only {list(given)}. Add it.")
        learn_from = _moment(path, given.pop(_LEARN_FROM, None))
        if given.get(_MOST) == _ALL:
            given[_MOST] = None
        given |= {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
        behavior = BehaviorFeatures(**given)
        try:
            Spec.of_params(behavior.get_params(deep=False))
        except ParameterError as error:
            raise ParameterError(f"{path}: {error}") from None
        return cls(path, behavior, learn_from)

    def remembering(self, parts: Iterable[Part], reading: Reading, unseen: Sequence[str]) -> Iterator[pa.Table]:
        """The rows to learn from, with their features; all are remembered. The first part settles how they are read.

        Raises
        ------
        TableError
            A column that options name is not there, the rows are not what features are made of, or none is left.
        """
        n_rows = n_learnt = 0
        for part in parts:
            if not part.table.num_rows:
                continue
            check_columns(part.table, unseen)
            seen = reading.for_model(part.table.drop_columns(list(unseen)))
            with part.placing():
                rows = self.behavior.update(seen) if n_rows else self.behavior.fit_transform(seen)
            chosen = self._chosen(seen)
            n_rows, n_learnt = n_rows + len(seen), n_learnt + int(chosen.sum())
            yield with_features(part.table, self.behavior, rows).filter(pa.array(chosen))
        if n_rows and not n_learnt:
            raise TableError(
                f"{self.path}: expected rows from {_LEARN_FROM} = {self.learn_from} on to learn from, found none among "
                f"{n_rows:,} rows until {self.behavior.history_.until}. Correct it, or give later rows too."
            )

    def _chosen(self, seen: pa.Table) -> NDArray[np.bool_]:
        """Which rows to learn from."""
        if self.learn_from is None:
            return np.ones(len(seen), dtype=bool)
        time = self.behavior.time
        first = pa.table({name: pa.array([self.learn_from if name == time else None]) for name in seen.column_names})
        try:
            begin = int(self.behavior._ticks(first)[0])
        except TableError as error:
            raise ParameterError(
                f"{self.path}: expected a time for {_LEARN_FROM!r} as those of the files: {error}"
            ) from None
        chosen: NDArray[np.bool_] = self.behavior._ticks(seen) >= begin
        return chosen


def _moment(path: Path, given: Any) -> str | None:
    """A time as the cells of a file have it."""
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, bool) or not isinstance(given, int | float | date):
        raise ParameterError(f"{path}: expected a date or a time for {_LEARN_FROM!r}, found {given!r}. Correct it.")
    return given.isoformat() if isinstance(given, date) else repr(given)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ParameterError(f"{path}: expected a file in TOML, found: {error.strerror}. Check --behavior.") from None
    except ValueError as error:  # of the encoding too
        raise ParameterError(f"{path}: expected TOML, found: {error}. Correct it.") from None
