"""The columns that a request must have, and which kinds of JSON value their cells are."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from vae_anomaly.serving.problems import ProblemKind, RequestError
from vae_anomaly.table.cells import Reading
from vae_anomaly.table.columns import Column, DatetimeColumn, NumericColumn
from vae_anomaly.table.schema import Schema

_MOST_LINES = 50


class CellKind(StrEnum):
    """What a JSON cell of a column may be, beside null."""

    NUMBER = "number"
    MOMENT = "moment"  #: ISO text
    VALUE = "value"  #: text, a number, true or false


@dataclass(frozen=True)
class WantedColumns:
    """What is taken from the rows of a request.

    Parameters
    ----------
    kinds : dict of str to CellKind
        The modelled columns in the order of the schema, and the one of the segments if it is another.
    modelled : tuple of str
        Those that the detector reads.
    known : frozenset of str
        All of these and the identifiers, which may be sent or not.
    dtypes : dict of str to str
        What the columns were in fit; "segment" for one that fit did not see.
    """

    kinds: dict[str, CellKind]
    modelled: tuple[str, ...]
    known: frozenset[str]
    dtypes: dict[str, str]

    @classmethod
    def of(cls, schema: Schema, segment_column: str | None = None) -> WantedColumns:
        """Those of a schema, and the column of the segments where the calibration has some."""
        kinds = {column.name: _kind(column) for column in schema.modelled_columns}
        dtypes = {column.name: column.dtype for column in schema.modelled_columns}
        if segment_column is not None:
            kinds.setdefault(segment_column, CellKind.VALUE)
            dtypes.setdefault(segment_column, "segment")
        return cls(kinds, schema.modelled, frozenset([*schema.names, *kinds]), dtypes)

    def ignored(self, found: Iterable[str]) -> tuple[str, ...]:
        """The columns that nobody knows, each once, in order."""
        return tuple(dict.fromkeys(name for name in found if name not in self.known))

    def check(self, found: Collection[str], where: str) -> None:
        r"""Raise a `RequestError` with the column diff if a wanted column is missing.

        Examples
        --------
        >>> wanted = WantedColumns({"amount": CellKind.NUMBER}, ("amount",), frozenset(["amount"]), {"amount": "int64"})
        >>> try:
        ...     wanted.check(["amuont"], "row 1")
        ... except RequestError as error:
        ...     print(error.detail, *error.column_diff, sep="\n")
        The columns of row 1 differ from those seen in fit: 1 missing. Add or rename columns; null is a missing cell.
        - amount (int64): missing
        + amuont: not known (near: 'amount')
        """
        missing = [name for name in self.kinds if name not in found]
        if missing:
            lines = [f"- {name} ({self.dtypes[name]}): missing" for name in missing]
            lines += [f"+ {name}: not known{_near(name, missing)}" for name in self.ignored(found)]
            raise RequestError(
                422,
                ProblemKind.SCHEMA,
                f"The columns of {where} differ from those seen in fit: {len(missing)} missing. Add or rename columns;"
                " null is a missing cell.",
                tuple(lines[:_MOST_LINES]),
            )


def _kind(column: Column) -> CellKind:
    if isinstance(column, DatetimeColumn):
        return CellKind.MOMENT
    if isinstance(column, NumericColumn):
        return CellKind.MOMENT if column.reading is Reading.MOMENT else CellKind.NUMBER
    return CellKind.VALUE


def _near(name: str, missing: list[str]) -> str:
    close = difflib.get_close_matches(name, missing, n=1)
    return f" (near: {close[0]!r})" if close else ""
