"""What fit settles once and for all: which columns are read, how, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from vae_anomaly._behavior.computing import features
from vae_anomaly._behavior.history import History
from vae_anomaly._behavior.moments import Floats
from vae_anomaly._behavior.rows import Batch, ColumnReadings, Levels, Rows, read, reading_of
from vae_anomaly._behavior.spec import OWNER, Spec
from vae_anomaly.errors import SchemaMismatchError, TableError
from vae_anomaly.table.frames import Table, as_table


@dataclass(frozen=True)
class Plan:
    """How tables are read and written.

    Parameters
    ----------
    spec : Spec
        What to compute.
    readings : ColumnReadings
        How the columns were read in fit.
    columns : tuple of str
        Names of all columns in fit.
    named : bool
        Whether they are the names of a frame, and not the places of an array.
    """

    spec: Spec
    readings: ColumnReadings
    columns: tuple[str, ...]
    named: bool

    @classmethod
    def of_table(cls, spec: Spec, table: Table) -> Plan:
        """Settle by the first rows.

        Raises
        ------
        TableError
            If there are no rows, a column is not there, or is named as a feature will be.
        """
        absent = [name for name in spec.used if name not in table.names]
        if absent:
            raise TableError(
                f"{OWNER} needs the columns {absent}, found only {list(table.names)}. Add them, or name others."
            )
        if not table.n_rows:
            raise TableError(f"Expected at least one row, found 0 sample(s) (shape (0, {len(table.names)})).")
        plan = cls(spec, reading_of(table, spec), table.names, not table.is_array)
        taken = sorted(set(plan.kept) & set(plan.made))
        if taken:
            raise TableError(
                f"Expected no column with the name of a feature, found {taken}. Rename or drop what is named so, or "
                "leave all columns out with keep_columns=False."
            )
        return plan

    @property
    def kept(self) -> tuple[str, ...]:
        """Columns that are handed on as they are."""
        return tuple(name for name in self.columns if self.spec.keep_columns and name not in self.spec.replaced)

    @property
    def made(self) -> tuple[str, ...]:
        """Names of the features."""
        nothing = Batch(Rows.none(self.spec), np.zeros(0, np.int64), np.zeros(0), {}, 0)
        return tuple(features(self.spec, History.none(self.spec), nothing))

    def table(self, X: Any) -> Table:
        """The table with the columns of fit.

        Raises
        ------
        SchemaMismatchError
            If columns are missing, or some would be handed on that fit did not see.
        """
        table: Any = as_table(X)
        if table.is_array or not self.named:
            n_found, n_expected = len(table.names), len(self.columns)
            if n_found != n_expected:
                raise SchemaMismatchError(
                    f"X has {n_found} features, but {OWNER} is expecting {n_expected} features as input."
                )
            return cast("Table", replace(table, names=self.columns))
        needed = (*self.spec.used, *self.kept)
        missing = [name for name in self.columns if name in needed and name not in table.names]
        new = [name for name in table.names if self.spec.keep_columns and name not in self.columns]
        if missing or new:
            raise SchemaMismatchError(
                f"The columns differ from those seen in fit: missing {missing}, new {new}. Add, rename or drop columns."
            )
        return cast("Table", table)

    def read(self, table: Table, levels: Levels) -> Batch:
        """The rows of the table, with codes for these levels and for new ones."""
        return read(table, self.spec, self.readings, levels)

    def output(self, X: Any, table: Table, found: Mapping[str, Floats]) -> Any:
        """The columns that are kept and the features, in the library of `X` and with its index."""
        places = [table.names.index(name) for name in self.kept]
        if isinstance(X, np.ndarray):
            kept = X[:, places] if X.dtype.kind in "biuf" else X[:, places].astype(object)
            return np.column_stack([kept, *found.values()])
        if isinstance(X, pd.DataFrame):
            made = pd.DataFrame(dict(found), index=X.index)
            return pd.concat([X.iloc[:, places], made], axis=1) if places else made
        frame: Any = nw.from_native(X, eager_only=True)
        built: Any = nw.from_dict(dict(found), backend=frame.implementation)
        kept_columns = frame.select([frame.columns[place] for place in places])
        return (nw.concat([kept_columns, built], how="horizontal") if places else built).to_native()
