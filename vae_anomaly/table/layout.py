"""What the model needs to know of a table: its parts, and the arrays that hold them.

A column becomes one or more *parts*, and each part has one likelihood. A number is one part, a category is one part, a
date is several (its place in the day, in the week, ...). Parts lie in three blocks: standardised values, angles on a
circle, and integer codes. The surprisal of a column is the sum over its parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

MISSING, UNSEEN, RARE, FIRST_LEVEL = 0, 1, 2, 3
"""Codes of a discrete part: not observed, never seen in fit, seen too seldom for a level of its own, the levels."""


class PartKind(StrEnum):
    """How a part is stored, and so which likelihood it has."""

    VALUE = "value"  #: a standardised number, NaN where missing
    ANGLE = "angle"  #: radians in [0, 2π), NaN where missing
    BINARY = "binary"  #: a code with two levels and no rare ones
    CATEGORY = "category"  #: a code with any number of levels


@dataclass(frozen=True)
class Part:
    """One likelihood term of a row.

    Parameters
    ----------
    column : int
        Which of the modelled columns the part belongs to.
    kind : PartKind
        How it is stored.
    n_levels : int
        Number of levels of a discrete part, without missing, unseen and rare; 0 for the others.
    has_rare : bool
        Whether some levels of a category were too seldom for a level of their own.
    unseen_probability : float
        Of a discrete part: the probability given to a level that fit never saw. The known levels share the rest.
    """

    column: int
    kind: PartKind
    n_levels: int = 0
    has_rare: bool = False
    unseen_probability: float = 0.0


@dataclass(frozen=True)
class Layout:
    """The parts of a table, in the order of their blocks: values, angles, binary codes, category codes.

    Parameters
    ----------
    columns : tuple of str
        Names of the modelled columns, in table order.
    parts : tuple of Part
        Sorted by the block they lie in; within the codes block, binary parts come before categories.

    Examples
    --------
    >>> layout = Layout(("amount", "online"), (Part(0, PartKind.VALUE), Part(1, PartKind.BINARY, 2, False, 0.01)))
    >>> layout.n_values, layout.n_angles, layout.n_codes, layout.n_parts
    (1, 0, 1, 2)
    >>> layout.column_of_part
    array([0, 1])
    """

    columns: tuple[str, ...]
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        order = [list(PartKind).index(part.kind) for part in self.parts]
        if order != sorted(order):
            raise ValueError("Parts must be sorted by kind: value, angle, binary, category.")

    def of_kind(self, *kinds: PartKind) -> Iterator[Part]:
        """The parts of the given kinds, in order."""
        return (part for part in self.parts if part.kind in kinds)

    def _count(self, *kinds: PartKind) -> int:
        return sum(1 for _ in self.of_kind(*kinds))

    @property
    def n_values(self) -> int:
        """Columns of the values block."""
        return self._count(PartKind.VALUE)

    @property
    def n_angles(self) -> int:
        """Columns of the angles block."""
        return self._count(PartKind.ANGLE)

    @property
    def n_codes(self) -> int:
        """Columns of the codes block."""
        return self._count(PartKind.BINARY, PartKind.CATEGORY)

    @property
    def n_parts(self) -> int:
        """Likelihood terms of a row."""
        return len(self.parts)

    @property
    def column_of_part(self) -> NDArray[np.intp]:
        """For each part, the index of its column."""
        return np.array([part.column for part in self.parts], dtype=np.intp)

    @cached_property
    def first_parts(self) -> NDArray[np.intp]:
        """For each column, the index of its first part."""
        return np.unique(self.column_of_part, return_index=True)[1]

    @cached_property
    def further_parts(self) -> tuple[tuple[int, int], ...]:
        """The other parts, such as those of a date, each with the index of its column."""
        first = set(self.first_parts.tolist())
        return tuple((index, part.column) for index, part in enumerate(self.parts) if index not in first)


@dataclass(frozen=True)
class EncodedTable:
    """Rows as the model reads them.

    Parameters
    ----------
    values : float32 ndarray of shape (n_rows, n_values)
        Standardised numbers, NaN where missing.
    angles : float32 ndarray of shape (n_rows, n_angles)
        Radians in [0, 2π), NaN where missing.
    codes : int32 ndarray of shape (n_rows, n_codes)
        `MISSING`, `UNSEEN`, `RARE`, or `FIRST_LEVEL` + the index of a level.
    """

    values: NDArray[np.float32]
    angles: NDArray[np.float32]
    codes: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: slice | NDArray[np.integer] | NDArray[np.bool_]) -> EncodedTable:
        return EncodedTable(self.values[rows], self.angles[rows], self.codes[rows])

    @property
    def nbytes(self) -> int:
        """Memory of the three blocks, in bytes."""
        return self.values.nbytes + self.angles.nbytes + self.codes.nbytes

    @property
    def observed(self) -> NDArray[np.bool_]:
        """Which cells count, of shape (n_rows, n_parts)."""
        return np.concatenate([~np.isnan(self.values), ~np.isnan(self.angles), self.codes != MISSING], axis=1)
