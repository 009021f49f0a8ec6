"""What is remembered of each column: one frozen dataclass per kind, and the parts that it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from vae_anomaly.table.cells import Reading, arrow_type
from vae_anomaly.table.layout import Part, PartKind

WEEKDAYS = 7


class ColumnKind(StrEnum):
    """How a column is modelled.

    Examples
    --------
    >>> ColumnKind("datetime") is ColumnKind.DATETIME, f"{ColumnKind.DATETIME}"
    (True, 'datetime')
    """

    NUMERIC = "numeric"  #: one standardised number
    CATEGORICAL = "categorical"  #: levels, rare levels, levels never seen
    BOOLEAN = "boolean"  #: two levels
    DATETIME = "datetime"  #: calendar parts; elapsed time is not modelled
    CONSTANT = "constant"  #: one value, or none at all
    IDENTIFIER = "identifier"  #: set aside: it names the row and says nothing about it


@dataclass(frozen=True)
class _Named:
    """What every column has.

    Parameters
    ----------
    name : str
        The column's name.
    dtype : str
        The type of the cells in fit, as arrow names it.
    n_missing : float
        Weight of the rows without a value.
    """

    name: str
    dtype: str
    n_missing: float

    def __post_init__(self) -> None:
        arrow_type(self.dtype)  # raises for a type that could not have been seen in fit
        if self.n_missing < 0:
            raise ValueError(f"expected n_missing to be at least 0, found {self.n_missing}")


@dataclass(frozen=True)
class NumericColumn(_Named):
    """A number, modelled as ``(value - location) / scale``.

    Parameters
    ----------
    reading : Reading
        What a cell is taken for: a number, or a moment counted in wall-clock seconds since 1970.
    location, scale : float
        Weighted mean and standard deviation, or median and interquartile range / 1.349 where a few huge values make
        the deviation over a hundred times that; rounded to the precision of float32.
    minimum, maximum : float
        The range in fit.
    integer : bool
        Whether every value was a whole number.
    """

    kind: ClassVar[ColumnKind] = ColumnKind.NUMERIC
    reading: Reading
    location: float
    scale: float
    minimum: float
    maximum: float
    integer: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale <= 0:
            raise ValueError(f"expected a scale above 0, found {self.scale}")

    def parts(self, index: int) -> tuple[Part, ...]:
        """The parts of this column when it is the modelled column number `index`."""
        return (Part(index, PartKind.VALUE),)


@dataclass(frozen=True)
class _Discrete(_Named):
    """Levels as text, and how a cell becomes one.

    Parameters
    ----------
    reading : Reading
        What a cell is taken for: the text of a number is the same for 5, 5.0 and "5".
    levels : tuple of str
        The levels; of a category, most frequent first.
    counts : tuple of float
        Weight of the rows of each level.
    unseen_probability : float
        Probability given to a value that is neither a level nor rare.
    """

    reading: Reading
    levels: tuple[str, ...]
    counts: tuple[float, ...]
    unseen_probability: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.levels)) != len(self.levels) or len(self.counts) != len(self.levels):
            raise ValueError(f"expected one count for each of the distinct levels, found {len(self.counts)}")
        if not 0 < self.unseen_probability <= 0.5:
            raise ValueError(f"expected an unseen_probability in (0, 0.5], found {self.unseen_probability}")


@dataclass(frozen=True)
class CategoricalColumn(_Discrete):
    """A category.

    Parameters
    ----------
    rare : tuple of str
        Levels too seldom for one of their own, most frequent first; those beyond 65,536 are forgotten.
    rare_count : float
        Weight of the rows of the rare levels, forgotten ones included.
    """

    kind: ClassVar[ColumnKind] = ColumnKind.CATEGORICAL
    rare: tuple[str, ...] = ()
    rare_count: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.levels or not set(self.levels).isdisjoint(self.rare):
            raise ValueError("expected at least one level, and rare ones that are no levels")

    def parts(self, index: int) -> tuple[Part, ...]:
        """The parts of this column when it is the modelled column number `index`."""
        category = PartKind.CATEGORY
        return (Part(index, category, len(self.levels), bool(self.rare), self.unseen_probability),)


@dataclass(frozen=True)
class BooleanColumn(_Discrete):
    """Two levels.

    Parameters
    ----------
    words : tuple of str
        The two levels as fit spelled them; `levels` has them in one spelling for all tables.
    """

    kind: ClassVar[ColumnKind] = ColumnKind.BOOLEAN
    words: tuple[str, str]

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.levels) != 2:
            raise ValueError(f"expected two levels, found {len(self.levels)}")

    def parts(self, index: int) -> tuple[Part, ...]:
        """The parts of this column when it is the modelled column number `index`."""
        return (Part(index, PartKind.BINARY, 2, False, self.unseen_probability),)


@dataclass(frozen=True)
class ConstantColumn(_Discrete):
    """One value, or none: whatever else comes is surprising.

    Parameters
    ----------
    words : tuple of str
        The value as fit spelled it.
    """

    kind: ClassVar[ColumnKind] = ColumnKind.CONSTANT
    words: tuple[str, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.levels) > 1 or len(self.words) != len(self.levels):
            raise ValueError(f"expected at most one level and its word, found {len(self.levels)}")

    def parts(self, index: int) -> tuple[Part, ...]:
        """The parts of this column when it is the modelled column number `index`."""
        return (Part(index, PartKind.CATEGORY, len(self.levels), False, self.unseen_probability),)


@dataclass(frozen=True)
class DatetimeColumn(_Named):
    """A date, of which only the place in its cycles is modelled.

    Elapsed time is left out on purpose: otherwise every row of tomorrow would be an anomaly.

    Parameters
    ----------
    minimum, maximum : str
        The range in fit, ISO.
    time_of_day : bool
        Whether any value had a time other than midnight.
    whole_seconds : bool
        Whether no value had a fraction of a second.
    day_of_week : bool
        Whether the range covers a week, or there is no other part.
    day_of_month, day_of_year : bool
        Whether the range is over 62 days, and over two years.
    unseen_probability : float
        Of the day of the week.
    """

    kind: ClassVar[ColumnKind] = ColumnKind.DATETIME
    minimum: str
    maximum: str
    time_of_day: bool
    whole_seconds: bool
    day_of_week: bool
    day_of_month: bool
    day_of_year: bool
    unseen_probability: float

    def parts(self, index: int) -> tuple[Part, ...]:
        """The parts of this column when it is the modelled column number `index`: angles, then the day of the week."""
        angles = (Part(index, PartKind.ANGLE),) * (self.time_of_day + self.day_of_month + self.day_of_year)
        week = Part(index, PartKind.CATEGORY, WEEKDAYS, False, self.unseen_probability)
        return angles + (week,) * self.day_of_week


@dataclass(frozen=True)
class IdentifierColumn(_Named):
    """A column set aside.

    Parameters
    ----------
    n_distinct : int
        Number of distinct values in fit.
    """

    kind: ClassVar[ColumnKind] = ColumnKind.IDENTIFIER
    n_distinct: int

    def parts(self, index: int) -> tuple[Part, ...]:
        """No parts: the column is not modelled."""
        return ()


Column = NumericColumn | CategoricalColumn | BooleanColumn | ConstantColumn | DatetimeColumn | IdentifierColumn
COLUMN_TYPES: dict[ColumnKind, type[Column]] = {
    cls.kind: cls
    for cls in (NumericColumn, CategoricalColumn, BooleanColumn, DatetimeColumn, ConstantColumn, IdentifierColumn)
}
