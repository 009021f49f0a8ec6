"""The nearest row that would not alert: what to change, and by how much."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from vae_anomaly._editing import Booleans, Editor, Floats, Places, Rows
from vae_anomaly._inputs import validated
from vae_anomaly._judging import Judge
from vae_anomaly._nearing import nearest
from vae_anomaly._params import OneOf, check_params
from vae_anomaly._telling import cell_text
from vae_anomaly.decision.fewest import WIDTH
from vae_anomaly.errors import ParameterError, TableError, VaeAnomalyWarning
from vae_anomaly.table.cells import Reading
from vae_anomaly.table.columns import Column, DatetimeColumn, NumericColumn
from vae_anomaly.table.schema import Schema

_OWNER = "VAEDetector.nearest_normal"
_CELLS_AT_ONCE = 65_536
_SHOWN = 10


class NearestNormal:
    """What a `VAEDetector` would have in place of rows that alert: apart from it, for the length of the file alone."""

    def nearest_normal(
        self: Any,
        X: Any,
        *,
        fixed: Sequence[str] = (),
        threshold: ArrayLike | None = None,
        return_rows: bool = False,
    ) -> Any:
        """Say what is the least to change in rows that alert for them not to.

        As few columns as possible are changed, and numbers and dates no further than it takes. What is suggested could
        stand in the table: a level that fit has seen, a number within the range of fit and in its precision, a real
        date. Nothing is sampled: the same row gets the same answer, whatever rows come with it.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Rows with the columns of `fit`. Of no rows there are no changes.
        fixed : sequence of str, default=()
            Columns that are not to be changed, such as what a customer cannot choose; x0, x1, ... of an array.
        threshold : float or array-like of shape (n_samples,), default=None
            Highest anomaly score that does not alert, in nats: one for all rows, or one for each. None: ``-offset_``.
        return_rows : bool, default=False
            Return the changed rows as well.

        Returns
        -------
        changes : DataFrame
            A line for each row that alerts and column to change, what matters most first; none for other rows:

            - row: place of the row in `X`, from 0; index: its label, where `X` is a pandas frame.
            - rank: 1 for the column that the score would rise most by if it were left as it was.
            - column, kind: of the table.
            - observed: the cell as it is in `X`, None where it is missing.
            - suggested: what it would be; None where fit never saw any value.
            - difference: suggested less observed, of numbers and dates; else None.
            - anomaly_score: of the row as it is, in nats.
            - new_score: of the row with all its changes, in nats, at most the threshold: what `anomaly_score` gives it.
            - sentence: the change in plain words.
        rows : table of the kind of `X`
            Only with ``return_rows=True``: all rows of `X`, with the changes made.

        Raises
        ------
        ParameterError
            If `fixed` names no column of the table, or all that are modelled; or `threshold` is no such number.
        SchemaMismatchError
            If the columns differ from those of `fit`.

        Warns
        -----
        VaeAnomalyWarning
            If rows still alert with all that may be changed, as those do in which a fixed column is odd enough by
            itself. Their lines say what brings the score lowest, with a `new_score` above the threshold.

        Notes
        -----
        It is the model's view of what would be normal, and no claim about causes: that a smaller amount would not have
        alerted does not say that the amount is what is wrong, nor that anybody could change it. A fraud can be turned
        into a row that does not alert by changing what is genuine in it. For why a row alerts, see `explain`.

        The search fills a set of columns in two ways, with what is likeliest beside the other cells and with what the
        reconstruction has, and scores the rows that this makes. Sets grow from the best three of one column less, and
        larger ones by several columns; what is not needed is put back. No change of a row can be left out alone; that
        no smaller set exists is not promised. With ``score_type="iwae"`` it takes up to `n_iwae_samples` times as long.

        The greedy search, which changes what surprises most to what the reconstruction has, over and over, is tried as
        well: no row takes more columns than it would with cells that the table can hold. On four kinds of seeded tables
        1.0 to 1.2 columns of a row were changed where greedy took 1.6 to 3.3 and left up to 13 % of the rows alerting;
        on rows far out in several of eight columns 3.7, and greedy 5.1. In those the smallest of all sets was smaller
        in 4 % of the rows; in the three other tables in which every set could be tried, in none.

        Numbers stop 0.0001 nats below the threshold: on another machine scores differ in their last digits.

        A missing cell adds nothing to the score and stays missing, unless nothing else brings the score down. A date is
        kept near its day, whatever the range of fit: elapsed time is not modelled.

        Wachter, Mittelstadt & Russell (2018), "Counterfactual explanations without opening the black box", for the
        question; the fewest columns first is their sparsity, held strictly.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from vae_anomaly import VAEDetector
        >>> rng = np.random.default_rng(0)
        >>> net = rng.gamma(9, 9, 2_000).round(2)
        >>> rows = pd.DataFrame({"net": net, "gross": (net * 1.2).round(2), "days": rng.integers(5, 30, 2_000)})
        >>> detector = VAEDetector(max_steps=300, n_members=1).fit(rows)
        >>> odd = pd.DataFrame({"net": [70.0, 60.0], "gross": [250.0, 72.0], "days": [14, 20]})
        >>> changes, normal = detector.nearest_normal(odd, return_rows=True)
        >>> changes[["row", "column", "observed"]]
           row column observed
        0    0  gross    250.0
        >>> detector.predict(odd), detector.predict(normal)
        (array([-1,  1]), array([1, 1]))
        >>> bool((normal["gross"] < 200).all())
        True
        """
        check_params(_OWNER, {"return_rows": return_rows}, {"return_rows": (OneOf((True, False)),)})
        check_is_fitted(self, "offset_")
        free = _free(self.schema_, fixed)
        editor = Editor(self.schema_, validated(self, X, reset=False, at_least=0))
        observed = editor.rows()
        limits = _limits(threshold, -self.offset_, len(observed))
        before = np.asarray(-self._scores(observed.table)) if len(observed) else np.zeros(0)
        found = observed.copy()
        alerts = np.flatnonzero(before > limits)
        step = max(1, _CELLS_AT_ONCE // (WIDTH * len(free)))
        for start in range(0, len(alerts), step):
            rows = alerts[start : start + step]
            found.put(rows, nearest(self, editor, observed[rows], free, limits[rows]))
        changed = found.differ(observed)
        table = editor.changed_table(found, changed)
        after = before.copy()
        if len(alerts):
            # The table itself is scored, not what it was made from: that a row does not alert is then a fact.
            after[alerts] = -self._scores(self._encode(table)[alerts])
        _warn_of_late(np.flatnonzero(after > limits), len(alerts))
        changes = _lines(Judge(self, editor, observed), found, changed, before, after)
        return (changes, table) if return_rows else changes


def _free(schema: Schema, fixed: Sequence[str]) -> Booleans:
    """Which modelled columns may be changed."""
    names = {fixed} if isinstance(fixed, str) else {str(name) for name in fixed}
    unknown = sorted(names - set(schema.names))
    if unknown:
        listed = ", ".join(schema.names[:20]) + (", ..." if len(schema.names) > 20 else "")
        raise ParameterError(
            f"The 'fixed' parameter of {_OWNER} must name columns of the table. Got {', '.join(map(repr, unknown))} "
            f"instead; the table has {listed}."
        )
    free = np.array([name not in names for name in schema.modelled], dtype=bool)
    if not free.any():
        raise ParameterError(
            f"The 'fixed' parameter of {_OWNER} must leave a column that can be changed. Got all of those that are "
            f"modelled ({', '.join(schema.modelled[:20])}) instead: leave out what might be other."
        )
    return free


def _limits(threshold: ArrayLike | None, usual: float, n_rows: int) -> Floats:
    """The threshold of each row."""
    if threshold is None:
        return np.full(n_rows, usual)
    try:
        limits = np.asarray(threshold, dtype=np.float64)
    except (TypeError, ValueError):
        limits = np.full(1, np.nan)
    if np.isnan(limits).any() or limits.ndim > 1:
        raise ParameterError(
            f"The 'threshold' parameter of {_OWNER} must be an anomaly score in nats, or one for each row, or None. "
            f"Got {threshold!r} instead."
        )
    if limits.ndim and len(limits) != n_rows:
        raise TableError(f"'threshold' must have one number for each of the {n_rows} rows. Found {len(limits)}.")
    return np.broadcast_to(limits, n_rows)


def _warn_of_late(late: Places, n_alerts: int) -> None:
    if len(late):
        shown = ", ".join(map(str, late[:_SHOWN])) + (", ..." if len(late) > _SHOWN else "")
        warnings.warn(
            f"{len(late):,} of the {n_alerts:,} rows that alert still do with all that may be changed (rows {shown}): "
            "their lines say what brings the score lowest. Fix fewer columns, or raise the threshold.",
            VaeAnomalyWarning,
            stacklevel=3,
        )


def _lines(judge: Judge, found: Rows, changed: Booleans, before: Floats, after: Floats) -> pd.DataFrame:
    """A line for each change, what matters most first."""
    editor, columns = judge.editor, judge.editor.schema.modelled_columns
    row, number = _ranked(judge, found, changed)
    observed, suggested, difference = (np.full(len(row), None, dtype=object) for _ in range(3))
    for column in np.unique(number):
        where = np.flatnonzero(number == column)
        cells = zip(editor.observed(column, row[where]), editor.suggested(found[row[where]], column), strict=True)
        by = found.cells[row[where], column] - judge.observed.cells[row[where], column]
        for place, (before_it, after_it), less in zip(where, cells, by.tolist(), strict=True):
            observed[place], suggested[place] = before_it, after_it
            difference[place] = _difference(columns[column], less)
    names = [columns[i].name for i in number]
    texts = {
        "column": names,
        "kind": [str(columns[i].kind) for i in number],
        "observed": observed,
        "suggested": suggested,
        "difference": difference,
    }
    frame = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in texts.items()})
    frame["anomaly_score"], frame["new_score"] = before[row], after[row]
    told = [_sentence(*of) for of in zip(names, observed, suggested, strict=True)]
    frame["sentence"] = pd.Series(told, dtype=object)
    frame.insert(0, "row", row)
    frame.insert(1, "rank", frame.groupby("row").cumcount() + 1)
    if isinstance(editor.X, pd.DataFrame):
        frame.insert(1, "index", editor.X.index.take(row))
    return frame


def _ranked(judge: Judge, found: Rows, changed: Booleans) -> tuple[Places, Places]:
    """Row and column of each change, those first without which a row would score highest."""
    row, number = np.nonzero(changed)
    if not len(row):
        return row, number
    order = np.lexsort((-judge.without(found, row, number)[0], row))
    return row[order], number[order]


def _difference(column: Column, less: float) -> Any:
    """Suggested less observed, in the unit of the column; None where there is none."""
    if np.isnan(less) or not isinstance(column, NumericColumn | DatetimeColumn):
        return None
    if isinstance(column, DatetimeColumn) or column.reading is Reading.MOMENT:
        return pd.Timedelta(seconds=less).round("us")
    return int(less) if column.integer and less.is_integer() else float(f"{less:.12g}")


def _sentence(name: str, observed: Any, suggested: Any) -> str:
    """A change in plain words.

    Examples
    --------
    >>> _sentence("amount", 912.4, 41.2), _sentence("device", None, "phone"), _sentence("bank", "south", None)
    ('amount: 41.2 instead of 912.4', 'device: phone instead of no value', 'bank: no value instead of south')
    """
    cells = ("no value" if cell is None else cell_text(cell) for cell in (suggested, observed))
    return f"{name}: {' instead of '.join(cells)}"
