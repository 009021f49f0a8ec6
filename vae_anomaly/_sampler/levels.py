"""Cells that are one of a few: levels, numbers of few values, days, and whether there is a cell at all.

Each knows how likely the decoder finds every one of its levels, which of them the rows of fit had, and which cells they
stand for. Cells are numbers here, as `vae_anomaly._editable` has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.model.sampling import Given
from vae_anomaly.table.columns import DatetimeColumn
from vae_anomaly.table.layout import FIRST_LEVEL, RARE, EncodedTable, PartKind
from vae_anomaly.table.schema import Schema

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

DAY = 86_400.0
MOST_VALUES, _ROWS_OF_A_VALUE = 512, 8
"""Distinct numbers of a column up to which, and rows for each from which, they are levels."""

_MOST_DAYS = 2048
_FAR = 0.04
"""Of all rows: what is drawn of a number first may lie so far off."""

_MONTH, _YEAR, _WEEK, _FIRST_MONDAY = 31, 366, 7, 3
_FULL_CIRCLE = 2 * np.pi


class Levels(Protocol):
    """What can be drawn for one column."""

    @property
    def column(self) -> int:
        """Which of the modelled columns."""
        ...

    @property
    def n_levels(self) -> int:
        """How many there are."""
        ...

    def log_prob(self, given: Given) -> Floats:
        """By the decoder alone, of shape (n_rows, n_levels); each row adds up to one."""
        ...

    def of_rows(self, table: EncodedTable, cells: Floats) -> Places:
        """Which level rows have, -1 where none."""
        ...

    def at(self, cell: float) -> int | None:
        """Which level a cell is, None for a gap."""
        ...

    def cells(self, level: Places, rng: np.random.Generator) -> Floats:
        """What the levels stand for, drawn where they stand for several."""
        ...


@dataclass(frozen=True)
class Codes:
    """The levels of a category, boolean or constant, the bucket of its rare ones first."""

    column: int
    place: int
    first: int
    n_levels: int
    n_rare: int

    def log_prob(self, given: Given) -> Floats:
        """The softmax."""
        return np.asarray(given.log_probs[self.place], dtype=np.float64)

    def of_rows(self, table: EncodedTable, cells: Floats) -> Places:
        """From the codes."""
        code = table.codes[:, self.place]
        return np.where(code >= self.first, code - self.first, -1).astype(np.intp)

    def at(self, cell: float) -> int | None:
        """The level, or the bucket of the rare ones for those that come after the others."""
        level = -1 if np.isnan(cell) else int(cell) - self.first
        return None if level < 0 else level if level < self.n_levels else 0

    def cells(self, level: Places, rng: np.random.Generator) -> Floats:
        """The codes; of the bucket of rare levels one of these, which come after the others."""
        codes = level.astype(np.float64) + self.first
        rare = codes == RARE
        codes[rare] = self.first + self.n_levels + rng.integers(max(1, self.n_rare), size=int(rare.sum()))
        return codes


@dataclass(frozen=True, eq=False)
class Values:
    """The distinct values of a number, by its density at each."""

    column: int
    place: int
    values: Floats
    standardised: Floats
    dof: float

    @property
    def n_levels(self) -> int:
        """How many there are."""
        return len(self.values)

    def log_prob(self, given: Given) -> Floats:
        """Student's t, normalised over the values."""
        loc, scale = given.loc[:, self.place, None], given.scale[:, self.place, None]
        y = (self.standardised - loc) / scale
        return _normalised(-(self.dof + 1) / 2 * np.log1p(y * y / self.dof))

    def of_rows(self, table: EncodedTable, cells: Floats) -> Places:
        """The nearest value."""
        return nearest(self.values, cells[:, self.column])

    def at(self, cell: float) -> int | None:
        """The nearest value."""
        return None if np.isnan(cell) else int(nearest(self.values, np.array([cell]))[0])

    def cells(self, level: Places, rng: np.random.Generator) -> Floats:
        """The values."""
        return np.asarray(self.values[level])


@dataclass(frozen=True, eq=False)
class Days:
    """The days of a date, by their places in the month, the year and the week, as far as these are modelled."""

    column: int
    days: Floats
    angle_places: tuple[int, ...]
    angles: tuple[Floats, ...]
    week_place: int | None

    @property
    def n_levels(self) -> int:
        """How many there are."""
        return len(self.days)

    def log_prob(self, given: Given) -> Floats:
        """Of the angles and the day of the week together, normalised over the days."""
        log_p = np.zeros((len(given), self.n_levels))
        for place, angle in zip(self.angle_places, self.angles, strict=True):
            log_p += given.concentration[:, place, None] * np.cos(angle - given.direction[:, place, None])
        if self.week_place is not None:
            log_p += given.log_probs[self.week_place][:, (self.days.astype(np.int64) + _FIRST_MONDAY) % _WEEK]
        return _normalised(log_p)

    def of_rows(self, table: EncodedTable, cells: Floats) -> Places:
        """The nearest day."""
        return nearest(self.days, np.floor(cells[:, self.column] / DAY))

    def at(self, cell: float) -> int | None:
        """The nearest day."""
        return None if np.isnan(cell) else int(nearest(self.days, np.array([np.floor(cell / DAY)]))[0])

    def cells(self, level: Places, rng: np.random.Generator) -> Floats:
        """Midnight of the days, in seconds."""
        return np.asarray(self.days[level] * DAY)


@dataclass(frozen=True)
class Gaps:
    """Whether a cell is there (0) or missing (1), of which the decoder says nothing."""

    column: int
    n_levels: int = 2

    def log_prob(self, given: Given) -> Floats:
        """Both alike."""
        return np.full((len(given), 2), -np.log(2.0))

    def of_rows(self, table: EncodedTable, cells: Floats) -> Places:
        """From the cells."""
        return np.isnan(cells[:, self.column]).astype(np.intp)

    def at(self, cell: float) -> int | None:
        """Whether the cell is a gap."""
        return int(np.isnan(cell))

    def cells(self, level: Places, rng: np.random.Generator) -> Floats:
        """NaN where it is missing."""
        return np.where(level == 1, np.nan, 0.0)


@dataclass(frozen=True, eq=False)
class Bins:
    """Ranges of a number or time of many values: near the one in which it was drawn first.

    Parameters
    ----------
    column : int
        Which of the modelled columns.
    place : int
        Which of those of many values.
    is_time : bool
        Whether its cells are times of day.
    edges : float64 ndarray of shape (n_levels - 1,)
        The greatest cell of each range but the last.
    reach : float64 ndarray of shape (n_levels + 1,)
        The shares of rows between which each range lies.
    """

    column: int
    place: int
    is_time: bool
    edges: Floats
    reach: Floats

    @property
    def n_levels(self) -> int:
        """How many there are."""
        return len(self.edges) + 1

    def log_prob(self, given: Given) -> Floats:
        """By how far off they lie, with tails as those of Student's t."""
        off = ((self.reach[1:] + self.reach[:-1]) / 2 - given.ranks[:, self.place, None]) / _FAR
        return _normalised(-1.5 * np.log1p(off * off) + np.log(np.diff(self.reach)))

    def of_rows(self, table: EncodedTable, cells: Floats) -> Places:
        """From the cells."""
        own = cells[:, self.column]
        return np.where(np.isnan(own), -1, np.searchsorted(self.edges, own % DAY if self.is_time else own))

    def at(self, cell: float) -> int | None:
        """The range of a cell."""
        return None if np.isnan(cell) else int(np.searchsorted(self.edges, cell % DAY if self.is_time else cell))

    def moved(self, rank: Floats, level: Places) -> Floats:
        """Ranks within the ranges that were drawn, as far up in them as they were in their own."""
        own = np.searchsorted(self.reach[1:-1], rank, side="right")
        up = (rank - self.reach[own]) / np.diff(self.reach)[own]
        return np.asarray(self.reach[level] + up.clip(0, 1) * np.diff(self.reach)[level])

    def cells(self, level: Places, rng: np.random.Generator) -> Floats:
        """Nothing: what a range holds is for the column to say."""
        return np.zeros(len(level))


@dataclass(frozen=True)
class Parts:
    """Where the parts of each modelled column lie in their blocks."""

    value: dict[int, int]
    angles: dict[int, list[int]]
    code: dict[int, int]

    @classmethod
    def of(cls, schema: Schema) -> Parts:
        """The places of a schema's layout."""
        layout = schema.layout()
        angles: dict[int, list[int]] = {}
        for place, part in enumerate(layout.of_kind(PartKind.ANGLE)):
            angles.setdefault(part.column, []).append(place)
        value, code = (
            {part.column: place for place, part in enumerate(layout.of_kind(*kinds))}
            for kinds in ((PartKind.VALUE,), (PartKind.BINARY, PartKind.CATEGORY))
        )
        return cls(value, angles, code)


def codes_of(schema: Schema, column: int) -> Codes:
    """The levels of a category, boolean or constant."""
    place = Parts.of(schema).code[column]
    part = list(schema.layout().of_kind(PartKind.BINARY, PartKind.CATEGORY))[place]
    n_rare = len(getattr(schema.modelled_columns[column], "rare", ()))
    return Codes(column, place, RARE if part.has_rare else FIRST_LEVEL, max(1, part.n_levels + part.has_rare), n_rare)


def values_of(schema: Schema, column: int, values: Floats, dof: float) -> Values:
    """The levels of a number of few values."""
    described = schema.modelled_columns[column]
    location, scale = getattr(described, "location", 0.0), getattr(described, "scale", 1.0)
    return Values(column, Parts.of(schema).value[column], values, (values - location) / scale, dof)


def days_of(schema: Schema, column: int, days: Floats) -> Days:
    """The levels of a date."""
    described, parts = schema.modelled_columns[column], Parts.of(schema)
    if not isinstance(described, DatetimeColumn):
        raise TypeError(f"Expected a date, found {described.kind}.")
    dates = days.astype(np.int64).astype("datetime64[D]")
    angles = []
    if described.day_of_month:
        angles.append((dates - dates.astype("datetime64[M]")).astype(np.float64) / _MONTH * _FULL_CIRCLE)
    if described.day_of_year:
        angles.append((dates - dates.astype("datetime64[Y]")).astype(np.float64) / _YEAR * _FULL_CIRCLE)
    places = tuple(parts.angles.get(column, [])[int(described.time_of_day) :])
    return Days(column, days, places, tuple(angles), parts.code.get(column))


def few_values(cells: Floats) -> Floats | None:
    """The distinct numbers of a column, if they are few enough to be levels."""
    present = cells[~np.isnan(cells)]
    values = np.unique(present)
    few = 0 < len(values) <= min(MOST_VALUES, max(2, len(present) // _ROWS_OF_A_VALUE))
    return values if few else None


def distinct_days(cells: Floats) -> Floats:
    """The days of a date column, evenly spaced among them where they are many."""
    days = np.unique(np.floor(cells[~np.isnan(cells)] / DAY))
    if not len(days):
        return np.zeros(1)
    return np.asarray(days[np.unique(np.linspace(0, len(days) - 1, min(len(days), _MOST_DAYS)).astype(np.intp))])


def nearest(values: Floats, cells: Floats) -> Places:
    """Which of the rising values is nearest to each cell, -1 where it is missing."""
    filled = np.nan_to_num(cells, nan=values[0])
    above = np.searchsorted(values, filled).clip(1, max(1, len(values) - 1))
    below = above - 1
    above = np.minimum(above, len(values) - 1)
    found = np.where(filled - values[below] <= values[above] - filled, below, above)
    return np.where(np.isnan(cells), -1, found).astype(np.intp)


def _normalised(log_p: Floats) -> Floats:
    log_p = log_p - log_p.max(axis=1, keepdims=True)
    return np.asarray(log_p - np.log(np.exp(log_p).sum(axis=1, keepdims=True)))
