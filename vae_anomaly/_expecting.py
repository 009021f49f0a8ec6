"""What the model expects of a cell, in the user's units and in words, and on which side of it the cell lies.

The members' distributions are averaged: what they expect together is the mixture. A value is within what is expected if
it lies in the middle 80 % of a number, in the arc of 80 % around the mean direction of an angle, or among the likeliest
levels that have 80 % together.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import elementwise
from scipy.special import i0e, i1e, stdtr, stdtrit

from vae_anomaly._telling import cell_text
from vae_anomaly.model.explaining import Outlook
from vae_anomaly.table.cells import Reading
from vae_anomaly.table.columns import (
    BooleanColumn,
    CategoricalColumn,
    Column,
    ConstantColumn,
    DatetimeColumn,
    NumericColumn,
)
from vae_anomaly.table.layout import FIRST_LEVEL, RARE, EncodedTable, Layout

Floats = NDArray[np.float64]

USUAL = 0.8
"""Share of what is expected that is called usual."""

_EDGES = ((1 - USUAL) / 2, 0.5, (1 + USUAL) / 2)

_CLOSE = 1e-9
_GRID = 720
_ANY = 0.7 * np.pi
"""Half of an arc from which on it says nothing: 80 % of a uniform distribution have 0.8 π."""

_ANY_WEEKDAY = 0.6
"""Share of the three likeliest weekdays below which they say nothing: of a uniform distribution they have 0.43."""

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LEAST = 0.01
"""Levels are named down to one in a hundred, and the likeliest in any case."""

_DIGITS, _MOST_DIGITS = 3, 10


@dataclass(frozen=True)
class Expected:
    """What is expected of one column in some rows, and how the cells lie to it.

    Parameters
    ----------
    text : list of str
        In the user's units.
    usual : list of str
        What of it is usual, for a sentence: the range alone; of the levels named those that have `USUAL` together; of
        a date the places in which the cell is not usual, or all if there are none.
    within : bool ndarray of shape (n_rows,)
        Whether the cell is in what is usual.
    side : int8 ndarray of shape (n_rows,)
        Of a number: 1 above what is usual, -1 below it, else 0.
    """

    text: list[str]
    usual: list[str]
    within: NDArray[np.bool_]
    side: NDArray[np.int8]


def number_edges(parts: Sequence[Outlook], layout: Layout, dof: float) -> dict[int, Floats]:
    """Ends of what is usual, and the median, of each part that is a number: of all in one search for roots.

    Parameters
    ----------
    parts : sequence of Outlook
        What the model expects of any parts.
    layout : Layout
        Their kinds.
    dof : float
        Degrees of freedom of numbers.

    Returns
    -------
    dict of int to float64 ndarray
        Of each part low, median and high, of shape (3, n_rows), in standardised units.
    """
    numbers = [outlook for outlook in parts if outlook.part < layout.n_values]
    if not numbers:
        return {}
    location, scale = (np.concatenate([outlook.numbers[i] for outlook in numbers]) for i in range(2))
    edges = mixture_quantile(location, scale, dof, _EDGES)
    ends = np.cumsum([len(outlook.rows) for outlook in numbers])[:-1]
    return {outlook.part: of for outlook, of in zip(numbers, np.split(edges, ends, axis=1), strict=True)}


def expected(
    column: Column, parts: Sequence[Outlook], cells: EncodedTable, layout: Layout, edges: Mapping[int, Floats]
) -> Expected:
    """What is expected of a column.

    Parameters
    ----------
    column : Column
        The column.
    parts : sequence of Outlook
        What the model expects of each of its parts, in the order of the layout, of the same rows.
    cells : EncodedTable
        These rows.
    layout : Layout
        Their parts.
    edges : mapping of int to float64 ndarray
        What `number_edges` says of the parts that are numbers.
    """
    if isinstance(column, NumericColumn):
        part = parts[0].part
        return _of_number(column, edges[part], cells.values[:, part].astype(np.float64))
    if isinstance(column, DatetimeColumn):
        return _of_date(column, parts, cells, layout)
    levels = _levels(column)
    return _of_code(
        levels, parts[0].numbers, _codes(cells, parts[0].part, layout), layout.parts[parts[0].part].has_rare
    )


def _codes(cells: EncodedTable, part: int, layout: Layout) -> NDArray[np.int32]:
    return cells.codes[:, part - layout.n_values - layout.n_angles]


def mixture_quantile(location: Floats, scale: Floats, dof: float, probability: Sequence[float]) -> Floats:
    """Quantiles of an even mixture of Student-t distributions, in each row, by Chandrupatla's method.

    Parameters
    ----------
    location, scale : float64 ndarray of shape (n_rows, n_members)
        Of the members.
    dof : float
        Degrees of freedom.
    probability : sequence of float
        In (0, 1).

    Returns
    -------
    quantiles : float64 ndarray of shape (n_probabilities, n_rows)

    Examples
    --------
    >>> even = mixture_quantile(np.array([[-5.0, 5.0]]), np.array([[1.0, 1.0]]), 3.0, [0.5, 0.75])
    >>> even.round(2)
    array([[0.],
           [5.]])
    """
    n_members, asked = location.shape[1], np.array(probability)[:, None]

    def above(x: Floats, wanted: Floats, *members: Floats) -> Floats:
        pairs = zip(members[:n_members], members[n_members:], strict=True)
        below = [_student_t((x - centre) / width, dof) for centre, width in pairs]
        return np.asarray(sum(below) / n_members - wanted)

    ends = location + scale * stdtrit(dof, asked)[..., None]
    low, high = ends.min(axis=-1), ends.max(axis=-1)
    slack = _CLOSE * np.maximum(scale.max(axis=1), np.maximum(np.abs(low), np.abs(high)))
    found = elementwise.find_root(
        above,
        (low - slack, high + slack),
        args=(asked, *location.T, *scale.T),
        tolerances={"xatol": 0.0, "xrtol": _CLOSE, "fatol": _CLOSE, "frtol": 0.0},
    )
    return np.asarray(found.x)


def _student_t(t: Floats, dof: float) -> Floats:
    """Distribution function; that of 3 degrees of freedom, the default, is six times as fast in closed form."""
    if dof != 3.0:
        return np.asarray(stdtr(dof, t))
    u = t / np.sqrt(3.0)
    return np.asarray(0.5 + (np.arctan(u) + u / (1 + u * u)) / np.pi)


def _of_number(column: NumericColumn, edges: Floats, z: Floats) -> Expected:
    # A distribution without bounds expects amounts below 0; that there were none in training is known.
    low, middle, high = np.clip(_in_units(column, edges), column.minimum, column.maximum)
    cell = _in_units(column, z)
    side = np.where(cell > high, 1, np.where(cell < low, -1, 0)).astype(np.int8)
    if column.reading is Reading.MOMENT:
        first, median, last = (map(moment_text, numbers.tolist()) for numbers in (low, middle, high))
    else:
        digits = _digits(low, high).tolist()
        first, median, last = (map(number_text, numbers.tolist(), digits) for numbers in (low, middle, high))
    ranges = [f"{a} to {b}" for a, b in zip(first, last, strict=True)]
    texts = [f"{usual}, median {number}" for usual, number in zip(ranges, median, strict=True)]
    return Expected(texts, ranges, side == 0, side)


def _digits(low: Floats, high: Floats) -> NDArray[np.int64]:
    """How many tell the ends of a range apart, where these are much alike."""
    with np.errstate(divide="ignore", invalid="ignore"):
        more = np.floor(np.log10(np.maximum(np.abs(low), np.abs(high)) / (high - low)))
    return np.asarray(np.clip(np.nan_to_num(more) + _DIGITS, _DIGITS, _MOST_DIGITS), dtype=np.int64)


def _in_units(column: NumericColumn, z: Floats) -> Floats:
    with np.errstate(over="ignore"):
        numbers = np.nan_to_num(column.location + column.scale * z)  # of a gap nothing is asked
    if column.reading is Reading.MOMENT:
        return np.asarray(numbers)
    return np.rint(numbers) if column.integer else np.asarray(numbers)


def number_text(number: float, digits: int = _DIGITS) -> str:
    """A number in a few digits, or more if it has more before the point.

    Examples
    --------
    >>> [number_text(number) for number in (8.0312, 999.7, 61204.4, 0.0001234, -0.0, -2.5e20)]
    ['8.03', '1000', '61204', '0.000123', '0', '-2.5e+20']
    >>> number_text(47.00061, digits=6)
    '47.0006'
    """
    number += 0.0  # no number is minus zero
    return f"{number:.0f}" if 10**digits - 0.5 <= abs(number) < 1e15 else f"{number:.{digits}g}"


def moment_text(seconds: float) -> str:
    """A moment, in seconds since 1970, as a date.

    Examples
    --------
    >>> moment_text(86_400.0)
    '1970-01-02 00:00'
    """
    try:
        return f"{dt.datetime(1970, 1, 1) + dt.timedelta(seconds=seconds):%Y-%m-%d %H:%M}"
    except OverflowError:
        return "a date far away"


def _levels(column: Column) -> tuple[str, ...]:
    if isinstance(column, BooleanColumn | ConstantColumn):
        return column.words or ("no value",)
    if isinstance(column, CategoricalColumn):
        return column.levels
    raise TypeError(f"Expected a column of levels, found {column.kind}.")


def _of_code(levels: Sequence[str], numbers: tuple[Floats, ...], codes: NDArray[np.int32], has_rare: bool) -> Expected:
    names = [*(["a rare value"] if has_rare else []), *map(cell_text, levels)]
    shares, symbols, _, likelier = numbers
    symbol = codes - (RARE if has_rare else FIRST_LEVEL)
    within = (symbol >= 0) & (likelier[:, 0] < USUAL)
    named = shares >= np.minimum(_LEAST, shares[:, :1])
    usual = named & (np.cumsum(shares, axis=1) - shares < USUAL - _CLOSE)
    unnamed = within & ~(usual & (symbols == symbol[:, None])).any(axis=1)
    told, some = [], []
    counts = zip(named.sum(axis=1).tolist(), usual.sum(axis=1).tolist(), unnamed.tolist(), strict=True)
    rows = zip(symbols.astype(np.intp).tolist(), shares.tolist(), counts, strict=True)
    for row, share, (n_named, n_usual, others) in rows:
        texts = [f"{names[i]} ({_percent(p)})" for i, p in zip(row[:n_named], share, strict=False)]
        told.append(", ".join(texts))
        some.append(", ".join(texts[:n_usual]) + (" and others" if others else ""))
    return Expected(told, some, within, np.zeros(len(codes), dtype=np.int8))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.005 else "<1 %"


def _of_date(column: DatetimeColumn, parts: Sequence[Outlook], cells: EncodedTable, layout: Layout) -> Expected:
    asked = (column.time_of_day, column.day_of_month, column.day_of_year)
    cycles = [cycle for cycle, there in zip(_CYCLES, asked, strict=True) if there]
    found = []
    for outlook in parts:
        if outlook.part < layout.n_values + layout.n_angles:
            angle = cells.angles[:, outlook.part - layout.n_values].astype(np.float64)
            found.append(_of_angle(cycles.pop(0), outlook.numbers, angle))
        else:
            found.append(_of_weekday(outlook.numbers, _codes(cells, outlook.part, layout)))
    texts = ["; ".join(of) for of in zip(*(part.text for part in found), strict=True)]
    parts_within = np.column_stack([part.within for part in found])
    usual = [
        "; ".join(text for text, fine in zip(of, inside, strict=True) if all(inside) or not fine)
        for of, inside in zip(zip(*(part.usual for part in found), strict=True), parts_within.tolist(), strict=True)
    ]
    return Expected(texts, usual, np.all(parts_within, axis=1), found[0].side)


def _of_weekday(numbers: tuple[Floats, ...], codes: NDArray[np.int32]) -> Expected:
    """As of any code, but of days that are much alike none is unusual."""
    found = _of_code(_WEEKDAYS, numbers, codes, has_rare=False)
    alike = numbers[0].sum(axis=1) < _ANY_WEEKDAY
    texts, usual = (
        ["any day of the week" if any_day else text for text, any_day in zip(of, alike.tolist(), strict=True)]
        for of in (found.text, found.usual)
    )
    return Expected(texts, usual, found.within | (alike & (codes >= FIRST_LEVEL)), found.side)


@dataclass(frozen=True)
class _Cycle:
    """A cycle of the calendar: how a place in it is written, and the words for no place in particular."""

    form: str
    start: dt.datetime
    length: dt.timedelta
    nowhere: str

    def text(self, angle: float) -> str:
        """A place in the cycle."""
        moment = self.start + self.length * (angle % (2 * np.pi) / (2 * np.pi) % 1.0)
        return f"{moment:{self.form}}".replace("day 0", "day ")


_CYCLES = (
    _Cycle("%H:%M", dt.datetime(2024, 1, 1), dt.timedelta(days=1), "any time of the day"),
    _Cycle("day %d", dt.datetime(2024, 1, 1), dt.timedelta(days=31), "any day of the month"),
    _Cycle("%d %b", dt.datetime(2024, 1, 1), dt.timedelta(days=366), "any time of the year"),
)
"""As `vae_anomaly.table.encoding` turns them: the day, the month of 31 days, the year of 366."""


def _of_angle(cycle: _Cycle, members: tuple[Floats, ...], angle: Floats) -> Expected:
    """The arc around the mean direction that has `USUAL` of the members' mixture."""
    grid = (np.arange(_GRID) + 0.5) * (np.pi / _GRID)  # distances from the mean direction, on both sides
    eta = members[0] + 1j * members[1]
    concentration = np.abs(eta)
    unit = eta / np.maximum(concentration, 1e-12)
    mean = np.angle((unit * _resultant(concentration)).sum(axis=1))
    density = np.zeros((len(angle), _GRID))
    for kappa, direction in zip(concentration.T, np.angle(unit).T, strict=True):
        offset = (mean - direction)[:, None]
        weights = [np.exp(kappa[:, None] * (np.cos(offset + side * grid) - 1)) for side in (1, -1)]
        both = weights[0] + weights[1]
        density += both / both.sum(axis=1, keepdims=True)
    reached = np.cumsum(density, axis=1) / density.sum(axis=1, keepdims=True)
    half = grid[np.minimum((reached < USUAL).sum(axis=1), _GRID - 1)]
    away = np.abs(np.angle(np.exp(1j * (np.nan_to_num(angle) - mean))))
    texts = [
        cycle.nowhere if width > _ANY else f"{cycle.text(centre - width)} to {cycle.text(centre + width)}"
        for centre, width in zip(mean.tolist(), half.tolist(), strict=True)
    ]
    return Expected(texts, texts, (away <= half) | (half > _ANY), np.zeros(len(angle), dtype=np.int8))


def _resultant(concentration: Floats) -> Floats:
    """Length of the mean vector of a von Mises distribution, I₁(κ) / I₀(κ)."""
    return np.asarray(i1e(concentration) / i0e(concentration))
