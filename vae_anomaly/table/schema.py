"""The columns of a table as fit saw them: inference, JSON, and what changed since."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from numpy.typing import ArrayLike

from vae_anomaly._params import Number, check_params
from vae_anomaly.errors import ParameterError, SchemaWarning, TableError
from vae_anomaly.table import strict_json
from vae_anomaly.table.cells import Reading, arrow_type, is_moment, is_text
from vae_anomaly.table.columns import COLUMN_TYPES, Column, ColumnKind, DatetimeColumn, IdentifierColumn
from vae_anomaly.table.frames import Table, as_table
from vae_anomaly.table.inference import infer_column
from vae_anomaly.table.layout import Layout, Part, PartKind
from vae_anomaly.table.naming import is_label_name
from vae_anomaly.table.tally import Rows

_OVERRIDES = tuple(str(kind) for kind in ColumnKind if kind is not ColumnKind.CONSTANT)
_WARN_AT_CALLER = 3


@dataclass(frozen=True)
class Schema:
    """What fit learnt about each column, enough to read any later table alike.

    Parameters
    ----------
    columns : tuple of Column
        All columns of the input, in its order.
    n_rows : float
        Weight of the rows seen in fit.
    named : bool
        Whether the columns have names of their own. A NumPy array has none: its columns are x0, x1, ..., and are
        matched by place.

    Examples
    --------
    >>> import pandas as pd
    >>> schema = Schema.infer(pd.DataFrame({"amount": [9.5, 12.0, 7.25], "online": [True, False, True]}))
    >>> [(column.name, str(column.kind)) for column in schema.columns]
    [('amount', 'numeric'), ('online', 'boolean')]
    >>> Schema.from_json(schema.to_json()) == schema
    True
    """

    columns: tuple[Column, ...]
    n_rows: float
    named: bool = True

    @classmethod
    def infer(
        cls,
        X: Any,
        *,
        kinds: Mapping[str, str] | None = None,
        max_categories: int = 1024,
        sample_weight: ArrayLike | None = None,
    ) -> Schema:
        """Decide what each column is, by the rules of `vae_anomaly.table.inference`.

        Parameters
        ----------
        X : frame or ndarray
            pandas, polars or pyarrow table, or 2-D array.
        kinds : mapping of str to str, optional
            Kinds that override the rules: numeric (dates become seconds since 1970), categorical (numbers become their
            text), boolean, datetime or identifier.
        max_categories : int
            Most levels of a categorical column.
        sample_weight : array-like of shape (n_rows,), optional
            Frequency weights: two is the row twice, zero is no row at all.

        Returns
        -------
        Schema
            One column for each of the input.

        Raises
        ------
        TableError
            If the table cannot be used as it is, naming column, row and remedy.
        ParameterError
            If a parameter is outside its domain.

        Examples
        --------
        >>> import pandas as pd
        >>> codes = pd.DataFrame({"branch": [1, 5, 3, 5], "day": ["2025-01-06", "2025-01-07", "2025-01-09", None]})
        >>> schema = Schema.infer(codes, kinds={"branch": "categorical"})
        >>> [(column.name, str(column.kind), column.n_missing) for column in schema.columns]
        [('branch', 'categorical', 0.0), ('day', 'datetime', 1.0)]
        """
        check_params("Schema.infer", {"max_categories": max_categories}, {"max_categories": (Number(1, integer=True),)})
        table = as_table(X)
        if table.n_rows == 0:
            raise TableError(f"Expected at least one row, found 0 sample(s) (shape (0, {len(table.names)})).")
        overrides = _check_kinds(kinds or {}, table)
        rows = Rows.of(table.n_rows, sample_weight)
        columns = tuple(
            infer_column(table, index, overrides.get(name), rows, max_categories)
            for index, name in enumerate(table.names)
        )
        _warn(columns, overrides, named=not table.is_array)
        return cls(columns, rows.total, not table.is_array)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns of the input."""
        return tuple(column.name for column in self.columns)

    @property
    def modelled(self) -> tuple[str, ...]:
        """Names of the columns that are modelled: all but the identifiers."""
        return tuple(column.name for column in self.modelled_columns)

    @property
    def modelled_columns(self) -> tuple[Column, ...]:
        """The columns that are modelled; `Part.column` counts among these."""
        return tuple(column for column in self.columns if not isinstance(column, IdentifierColumn))

    def layout(self) -> Layout:
        """The parts of the encoded table: sorted by kind, and by column within a kind.

        Returns
        -------
        Layout
            What the model needs to know of the table.

        Examples
        --------
        >>> import pandas as pd
        >>> layout = Schema.infer(pd.DataFrame({"shop": list("abca"), "amount": [9.5, 12.0, 7.25, 8.0]})).layout()
        >>> [(layout.columns[part.column], str(part.kind)) for part in layout.parts]
        [('amount', 'value'), ('shop', 'category')]
        """
        parts: list[Part] = [part for index, column in enumerate(self.modelled_columns) for part in column.parts(index)]
        order = list(PartKind)
        return Layout(self.modelled, tuple(sorted(parts, key=lambda part: order.index(part.kind))))

    def to_json(self) -> dict[str, Any]:
        """The schema as JSON values.

        Returns
        -------
        dict
            Numbers, texts, booleans and lists of them, from which `from_json` builds an equal schema.

        Examples
        --------
        >>> import pandas as pd
        >>> data = Schema.infer(pd.DataFrame({"amount": [9.5, 12.0, 7.25]})).to_json()
        >>> data["columns"][0]["kind"], data["columns"][0]["minimum"], data["n_rows"]
        ('numeric', 7.25, 3.0)
        """
        columns = [{"kind": str(column.kind), **strict_json.dump(column)} for column in self.columns]
        return {"columns": columns, "n_rows": self.n_rows, "named": self.named}

    @classmethod
    def from_json(cls, data: Any) -> Schema:
        """Build a schema from what `to_json` gave.

        Parameters
        ----------
        data : dict
            Trusted in nothing: every key, type and range is checked.

        Returns
        -------
        Schema
            Equal to the one that was written.

        Raises
        ------
        ValueError
            If anything is missing, unknown or of the wrong type: with its path, what was expected, and what was found.

        Examples
        --------
        >>> Schema.from_json({"columns": [{"kind": "secret"}], "n_rows": 3, "named": True})
        Traceback (most recent call last):
            ...
        ValueError: At schema.columns[0].kind: expected 'numeric' or 'categorical' or 'boolean' or 'datetime' or \
'constant' or 'identifier', found 'secret'.
        """
        strict_json.check_keys(data, {"columns", "n_rows", "named"}, "schema")
        listed, n_rows, named = data["columns"], data["n_rows"], data["named"]
        if not isinstance(listed, list):
            raise strict_json.mismatch("schema.columns", "a list", listed)
        if isinstance(n_rows, bool) or not isinstance(n_rows, int | float) or not 0 < n_rows < float("inf"):
            raise strict_json.mismatch("schema.n_rows", "a finite number above 0", n_rows)
        if not isinstance(named, bool):
            raise strict_json.mismatch("schema.named", "true or false", named)
        columns = tuple(_column_from_json(item, f"schema.columns[{index}]") for index, item in enumerate(listed))
        if len({column.name for column in columns}) != len(columns):
            raise ValueError("At schema.columns: expected every name once, found one several times.")
        return cls(columns, float(n_rows), named)

    def diff(self, X: Any) -> str:
        """How the columns of `X` differ from those seen in fit, one line each; empty if they do not.

        Columns are compared by name, so another order is no difference. Neither is a type that is read as that of fit
        was, such as numbers where fit saw numbers written as text, nor a missing column that was set aside. Of an array
        only the number of columns counts.

        Parameters
        ----------
        X : frame or ndarray
            Another table.

        Returns
        -------
        str
            Lines that begin with - (missing), + (new) or ~ (of a type that may not be read as in fit).

        Examples
        --------
        >>> import pandas as pd
        >>> schema = Schema.infer(pd.DataFrame({"amount": [9.5, 12.0, 7.25]}))
        >>> print(schema.diff(pd.DataFrame({"amuont": [9.5]})))
          - amount (float64): missing
          + amuont (float64): not seen in fit (near: 'amount')
        """
        table = as_table(X)
        if table.is_array or not self.named:
            same = len(table.names) == len(self.columns)
            return "" if same else f"  expected {len(self.columns)} columns, found {len(table.names)}"
        known = {column.name: column for column in self.columns}
        gone = [column for column in self.modelled_columns if column.name not in table.names]
        lines = [f"  - {column.name} ({column.dtype}): missing" for column in gone]
        for index, name in enumerate(table.names):
            dtype = table.dtype(index)
            if name not in known:
                lines.append(f"  + {name} ({dtype}): not seen in fit{_near(name, self.names)}")
            elif not _read_alike(known[name], dtype):
                lines.append(f"  ~ {name}: {known[name].dtype} in fit, {dtype} now")
        return "\n".join(lines)


def _column_from_json(data: Any, path: str) -> Column:
    if not isinstance(data, dict):
        raise strict_json.mismatch(path, "an object", data)
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in list(ColumnKind):
        raise strict_json.mismatch(f"{path}.kind", " or ".join(repr(str(option)) for option in ColumnKind), kind)
    rest = {name: value for name, value in data.items() if name != "kind"}
    return strict_json.load(COLUMN_TYPES[ColumnKind(kind)], rest, path)


def _read_alike(column: Column, dtype: str) -> bool:
    """Whether cells of another type are read as those of fit were."""
    if isinstance(column, IdentifierColumn) or dtype == column.dtype or "null" in (dtype, column.dtype):
        return True
    reading = Reading.MOMENT if isinstance(column, DatetimeColumn) else column.reading
    now, then = _stored_as(dtype), _stored_as(column.dtype)
    return now == then or (now is not None and now[0] is reading and then == (Reading.TEXT, None))


def _stored_as(dtype: str) -> tuple[Reading, str | None] | None:
    """What cells of a type are, and whether moments have a time zone; None for cells of several types."""
    try:
        kind = arrow_type(dtype)
    except ValueError:
        return None
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if is_moment(kind):
        return Reading.MOMENT, getattr(kind, "tz", None)
    return (Reading.TEXT if is_text(kind) else Reading.TRUTH if pa.types.is_boolean(kind) else Reading.NUMBER), None


def _check_kinds(kinds: Mapping[str, str], table: Table) -> dict[str, ColumnKind]:
    for name, kind in kinds.items():
        if name not in table.names:
            raise ParameterError(
                f"The 'kinds' parameter must name columns of the table{_near(name, table.names)}. Got {name!r} "
                f"instead; the table has {', '.join(table.names[:20])}{', ...' if len(table.names) > 20 else ''}."
            )
        if kind not in _OVERRIDES:
            raise ParameterError(
                f"The 'kinds' parameter must map {name!r} to {' or '.join(map(repr, _OVERRIDES))}. "
                f"Got {kind!r} instead."
            )
    return {name: ColumnKind(kind) for name, kind in kinds.items()}


def _near(name: str, names: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(str(name), names, n=3)
    return f" (near: {', '.join(map(repr, close))})" if close else ""


def _warn(columns: tuple[Column, ...], overrides: Mapping[str, ColumnKind], named: bool) -> None:
    set_aside = [column.name for column in columns if isinstance(column, IdentifierColumn)]
    if len(set_aside) == len(columns):
        raise TableError(
            f"Every column looks like an identifier ({', '.join(map(repr, set_aside))}), so nothing is left to learn "
            f"from. Keep one with kinds={{{set_aside[0]!r}: 'categorical'}}, or add other columns."
        )
    guessed = [name for name in set_aside if name not in overrides]
    if guessed:
        warnings.warn(
            f"Set aside as identifiers, not modelled: {', '.join(map(repr, guessed))}. To keep one, pass "
            f"kinds={{{guessed[0]!r}: 'categorical'}} (or 'numeric'); to confirm, 'identifier'.",
            SchemaWarning,
            stacklevel=_WARN_AT_CALLER,
        )
    labels = [column.name for column in columns if named and is_label_name(column.name)]
    kept = [name for name in labels if name not in set_aside]
    if kept:
        warnings.warn(
            f"Named like labels, and modelled like any other column: {', '.join(map(repr, kept))}. A label left in "
            "makes every result look better than it is: drop it unless it is known before the decision.",
            SchemaWarning,
            stacklevel=_WARN_AT_CALLER,
        )
