"""Rows with some cells changed to what could stand in the table, and the table with them.

What is scored is what will stand there: a cell is rounded, bounded and cast as its column is, and only then encoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vae_anomaly._editable import Editable, editable
from vae_anomaly._inputs import encoded
from vae_anomaly.table.frames import as_table, rebuild
from vae_anomaly.table.layout import MISSING, EncodedTable
from vae_anomaly.table.schema import Schema

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class Rows:
    """Rows as the model reads them, and as users do.

    Parameters
    ----------
    table : EncodedTable
        For the model.
    cells : float64 ndarray of shape (n_rows, n_columns)
        Each cell as a number, as `vae_anomaly._editable` has it.
    """

    table: EncodedTable
    cells: Floats

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, rows: Places | Booleans | slice) -> Rows:
        return Rows(self.table[rows], self.cells[rows])

    def copy(self) -> Rows:
        """The same rows in memory of their own."""
        table = self.table
        return Rows(EncodedTable(table.values.copy(), table.angles.copy(), table.codes.copy()), self.cells.copy())

    def put(self, where: Places | Booleans, rows: Rows) -> None:
        """Let the rows at these places be others."""
        for own, other in zip(self.arrays(), rows.arrays(), strict=True):
            own[where] = other

    def differ(self, others: Rows) -> Booleans:
        """Which cells are others, of shape (n_rows, n_columns)."""
        return np.asarray((self.cells != others.cells) & ~(np.isnan(self.cells) & np.isnan(others.cells)))

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """All that is kept of them."""
        return self.table.values, self.table.angles, self.table.codes, self.cells


@dataclass(frozen=True)
class Editor:
    """Changes cells of the rows of a table.

    Parameters
    ----------
    schema : Schema
        The columns as fit saw them.
    X : frame or ndarray
        The table, as `VAEDetector` checks it.
    """

    schema: Schema
    X: Any

    def rows(self) -> Rows:
        """The rows of the table."""
        table = encoded(self.schema, self.X, at_least=0)
        cells = [column.read(cells) for column, cells in zip(self.columns, self._cells, strict=True)]
        return Rows(table, np.column_stack(cells))

    def hidden(self, rows: Rows, sets: Booleans) -> EncodedTable:
        """The rows as the model reads them without some cells, `sets` of shape (n_rows, n_columns)."""
        table = rows.copy().table
        blocks = zip((table.values, table.angles, table.codes), self._places, (np.nan, np.nan, MISSING), strict=True)
        for block, places, gap in blocks:
            block[sets[:, places]] = gap
        return table

    def likely(self, rows: Rows, sets: Booleans, likeliest: EncodedTable, precise: Floats | None = None) -> Rows:
        """The rows with some of their cells as likely as the columns allow.

        Gaps get the precision that the range of fit has, or that of `precise`, a number for each column.
        """
        rows = rows.copy()
        for number, where in enumerate(sets.T):
            if where.any():
                column, observed = self.columns[number], rows.cells[where, number]
                wanted = column.likely(observed, self._of_column(likeliest[where], number))
                if precise is not None:
                    observed = np.where(np.isnan(observed), precise[number], observed)
                self._set(rows, number, where, column.possible(wanted, observed))
        return rows

    def towards(self, rows: Rows, number: int, where: Booleans, wanted: Floats, observed: Floats) -> Rows:
        """The rows, some with another cell in one column, or the one nearest to it that can be in the table."""
        rows = rows.copy()
        self._set(rows, number, where, self.columns[number].possible(wanted, observed))
        return rows

    def restored(self, rows: Rows, others: Rows, sets: Booleans) -> Rows:
        """The rows with some cells as others have them."""
        pairs = zip(rows.arrays(), others.arrays(), (*self._places, np.arange(sets.shape[1])), strict=True)
        *blocks, cells = (np.where(sets[:, places], other, own) for own, other, places in pairs)
        return Rows(EncodedTable(*blocks), cells)

    def observed(self, number: int, where: Places) -> list[Any]:
        """Cells of one column as the table has them, None where they are missing."""
        return list(self._cells[number].take(pa.array(where)).to_pylist())

    def suggested(self, rows: Rows, number: int) -> list[Any]:
        """Cells of one column as the table would have them."""
        return list(self.columns[number].to_arrow(rows.cells[:, number]).to_pylist())

    def changed_table(self, rows: Rows, changed: Booleans) -> Any:
        """The table with the cells that `changed` says as in `rows`, and all others as they are."""
        new = {}
        for number in np.flatnonzero(changed.any(axis=0)):
            where = changed[:, number]
            new[int(number)] = (where, self.columns[number].to_arrow(rows.cells[where, number]))
        if isinstance(self.X, np.ndarray):
            return self._changed_array(new)
        return self._changed_frame({self._positions[n]: _merged(self._cells[n], *cells) for n, cells in new.items()})

    # ---------------------------------------------------------------- the parts of it

    @cached_property
    def columns(self) -> tuple[Editable, ...]:
        """How each column is changed."""
        pairs = zip(self.schema.modelled_columns, self._cells, strict=True)
        return tuple(editable(column, cells.type) for column, cells in pairs)

    @cached_property
    def _positions(self) -> tuple[int, ...]:
        """Where each modelled column lies in the table."""
        table = as_table(self.X)
        names = table.names if self.schema.named and not table.is_array else self.schema.names
        return tuple(names.index(name) for name in self.schema.modelled)

    @cached_property
    def _cells(self) -> tuple[Any, ...]:
        """The cells of each modelled column."""
        table = as_table(self.X)
        found = (table.cells(position, mixed_as_text=True) for position in self._positions)
        return tuple(cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells for cells in found)

    @cached_property
    def _places(self) -> tuple[Places, Places, Places]:
        """Column of each part, for the blocks of values, angles and codes."""
        layout = self.schema.layout()
        values, angles, codes = np.split(layout.column_of_part, [layout.n_values, layout.n_values + layout.n_angles])
        return values, angles, codes

    def _of_column(self, table: EncodedTable, number: int) -> EncodedTable:
        values, angles, codes = (places == number for places in self._places)
        return EncodedTable(table.values[:, values], table.angles[:, angles], table.codes[:, codes])

    def _set(self, rows: Rows, number: int, where: Booleans, numbers: Floats) -> None:
        rows.cells[where, number] = numbers
        cells, table = self.columns[number].encode(numbers), rows.table
        pairs = zip((table.values, table.angles, table.codes), self._places, strict=True)
        for (block, places), part in zip(pairs, (cells.values, cells.angles, cells.codes), strict=True):
            block[np.ix_(where, places == number)] = part

    def _changed_array(self, new: dict[int, tuple[Booleans, Any]]) -> NDArray[Any]:
        floats = any(pa.types.is_floating(cells.type) for _, cells in new.values())
        kind = np.dtype(np.float64) if floats and self.X.dtype.kind in "iub" else self.X.dtype
        out = self.X.astype(np.dtype(object) if kind.kind == "U" else kind)
        for number, (where, cells) in new.items():
            plain = cells.to_pylist() if out.dtype.kind == "O" else cells.to_numpy(zero_copy_only=False)
            out[where, self._positions[number]] = plain
        return np.asarray(out)

    def _changed_frame(self, new: dict[int, Any]) -> Any:
        frame: Any = nw.from_native(self.X, eager_only=True)
        if not new:
            return frame.clone().to_native()
        names = {position: str(frame.columns[position]) for position in new}
        cells = {}
        for position, column in new.items():
            series = frame.get_column(frame.columns[position])
            if isinstance(series.dtype, nw.Categorical | nw.Enum):
                if set(column.drop_null().to_pylist()) <= set(series.cat.get_categories().to_list()):
                    column = column.dictionary_encode()
                else:
                    frame = frame.with_columns(series.cast(nw.String))
            cells[names[position]] = column
        like = frame.to_native()
        changed: Any = nw.from_native(rebuild(like, cells), eager_only=True)
        return frame.with_columns(*(changed.get_column(name) for name in changed.columns)).to_native()


def _merged(cells: Any, where: Booleans, new: Any) -> Any:
    """A column with other cells at some places, in the type that it has if that can hold them."""
    for kind in (cells.type, new.type, pa.large_string()):
        try:
            both = [cells.cast(kind), new.cast(kind)]
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
        take = np.arange(len(cells))
        take[where] = len(cells) + np.arange(len(new))
        return pa.concat_arrays(both).take(pa.array(take))
    raise TypeError(f"Expected cells that can be text, found {cells.type} and {new.type}.")
