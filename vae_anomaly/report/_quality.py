"""How the columns of a table differ from those that the model learnt from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vae_anomaly._expecting import moment_text, number_text
from vae_anomaly._telling import cell_text
from vae_anomaly.decision.guarantee import percent
from vae_anomaly.report._rows import Rows, plain
from vae_anomaly.report.facts import ColumnNote
from vae_anomaly.table.cells import Reading, canonical_text, clean_text, is_text, read_moments, read_numbers
from vae_anomaly.table.columns import (
    BooleanColumn,
    CategoricalColumn,
    Column,
    ConstantColumn,
    DatetimeColumn,
    IdentifierColumn,
    NumericColumn,
)
from vae_anomaly.table.frames import as_table
from vae_anomaly.table.schema import Schema

_UNKNOWN = ("not used", "not a column of the model: shown, not scored")
_SOURCE = ("source", "features are made of it: shown, and scored by them")
_FEW = 5
_DIGITS = 6
_MANY_GAPS = 0.05
"""By how much a share of missing cells has to differ from training to be remarked on."""


def column_notes(rows: Rows, sources: Collection[str] = ()) -> tuple[ColumnNote, ...]:
    """A note on every column of rows that could be scored, so that every cell can be read."""
    table = as_table(rows.known)
    place = _places(table.names, rows.schema, by_place=table.is_array or not rows.schema.named)
    notes = []
    for name in rows.names:
        if name in place:
            column = rows.schema.columns[rows.schema.names.index(name)]
            notes.append(_note(column, plain(table.cells(place[name], mixed_as_text=True)), rows.schema.n_rows))
        else:
            missing = _missing(plain(rows.cells(name)))
            kind, remark = _SOURCE if name in sources else _UNKNOWN
            notes.append(ColumnNote(name, kind, missing, None, (remark,)))
    absent = [column for column in rows.schema.columns if column.name not in rows.names]
    return (*notes, *(_absent(column, rows.schema.n_rows) for column in absent))


def _places(names: tuple[str, ...], schema: Schema, *, by_place: bool) -> dict[str, int]:
    if by_place:
        return {name: i for i, name in enumerate(schema.names)}
    return {name: i for i, name in enumerate(names) if name in schema.names}


def _missing(cells: Any) -> float:
    cells = clean_text(cells) if is_text(cells.type) else cells
    n_missing = pc.sum(pc.is_null(cells, nan_is_null=True)).as_py() or 0
    return n_missing / max(1, len(cells))


def _absent(column: Column, n_rows: float) -> ColumnNote:
    was = min(1.0, column.n_missing / n_rows)
    return ColumnNote(column.name, str(column.kind), 1.0, was, ("not in this table; it is not modelled",))


def _note(column: Column, cells: Any, n_rows: float) -> ColumnNote:
    missing, was = _missing(cells), min(1.0, column.n_missing / n_rows)
    remarks = (*_on_gaps(missing, was), *_on_values(column, cells))
    return ColumnNote(column.name, str(column.kind), missing, was, remarks)


def _on_gaps(missing: float, was: float) -> Iterator[str]:
    if abs(missing - was) > _MANY_GAPS or (missing and not was):
        yield f"missing in {percent(missing)} of these rows, in {percent(was)} of the training rows"


def _on_values(column: Column, cells: Any) -> Iterator[str]:
    if isinstance(column, IdentifierColumn):
        return
    if isinstance(column, NumericColumn):
        yield from _on_numbers(column, cells)
    elif isinstance(column, DatetimeColumn):
        yield from _on_dates(column, cells)
    else:
        yield from _on_levels(column, cells)


def _on_numbers(column: NumericColumn, cells: Any) -> Iterator[str]:
    told: Callable[[float], str] = partial(number_text, digits=_DIGITS)
    if column.reading is Reading.MOMENT:
        told = moment_text
        cells = pc.divide(read_moments(cells).cast(pa.int64()).cast(pa.float64()), 1e6)
    numbers = read_numbers(cells).cast(pa.float64(), safe=False).drop_null()
    outside = pc.or_(pc.less(numbers, column.minimum), pc.greater(numbers, column.maximum))
    n_outside = pc.sum(outside).as_py() or 0
    if n_outside:
        ends = pc.min_max(numbers).as_py()
        yield (
            f"{counted(n_outside)} outside the training range of {told(column.minimum)} to {told(column.maximum)}; "
            f"here it is {told(ends['min'])} to {told(ends['max'])}"
        )
    yield from _on_constancy(numbers.unique(), len(numbers), told)


def _on_dates(column: DatetimeColumn, cells: Any) -> Iterator[str]:
    moments = read_moments(cells).drop_null().to_numpy(zero_copy_only=False)
    if not len(moments):
        return
    first, last = moments.min(), moments.max()
    low, high = np.datetime64(column.minimum), np.datetime64(column.maximum)
    if first < low:
        yield f"from {_moment(first)}, before the training rows began ({_moment(low)})"
    if last > high:
        yield (
            f"{_moment(first)} to {_moment(last)}, where the training rows ended with {_moment(high)}: of a date only "
            "its place in the day, week, month and year is judged"
        )


def _moment(moment: np.datetime64) -> str:
    return str(moment.astype("datetime64[s]")).replace("T", " ")


def _on_levels(column: BooleanColumn | CategoricalColumn | ConstantColumn, cells: Any) -> Iterator[str]:
    counts = canonical_text(cells, column.reading).drop_null().value_counts()
    levels, n_rows = counts.field("values"), counts.field("counts")
    rare = column.rare if isinstance(column, CategoricalColumn) else ()
    unseen = pc.invert(pc.is_in(levels, value_set=pa.array(column.levels + rare, pa.large_string())))
    n_unseen = pc.sum(n_rows.filter(unseen)).as_py() or 0
    if n_unseen:
        found = zip(levels.filter(unseen).to_pylist(), n_rows.filter(unseen).to_pylist(), strict=True)
        commonest = sorted(found, key=lambda pair: (-pair[1], pair[0]))
        listed = ", ".join(f"{cell_text(level)} ({n:,})" for level, n in commonest[:_FEW])
        more = f" and {len(commonest) - _FEW:,} more" if len(commonest) > _FEW else ""
        yield f"{counted(n_unseen)} with a level that training never saw: {listed}{more}"
    if not isinstance(column, ConstantColumn):
        yield from _on_constancy(levels, pc.sum(n_rows).as_py() or 0)
    elif not n_unseen:
        yield "constant in training and here: it tells no rows apart"


def _on_constancy(distinct: Any, n_rows: int, told: Callable[[Any], str] = cell_text) -> Iterator[str]:
    if len(distinct) == 1 and n_rows > 1:
        yield f"one value in all rows, {told(distinct[0].as_py())}; several in training"


def counted(n: int, what: str = "row") -> str:
    """How many there are.

    Examples
    --------
    >>> counted(1), counted(1_200, "day")
    ('1 row', '1,200 days')
    """
    return f"{n:,} {what}{'' if n == 1 else 's'}"
