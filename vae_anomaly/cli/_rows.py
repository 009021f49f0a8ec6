"""Which rows and columns a command works on, and how scores and labels belong to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vae_anomaly._scored_columns import ALERT, added_columns, added_names
from vae_anomaly._segments import few, known_segments, segments_of
from vae_anomaly.cli._options import Reading
from vae_anomaly.cli._print import note
from vae_anomaly.errors import ParameterError, SchemaMismatchError, TableError
from vae_anomaly.table.cells import UnreadableCellError, is_moment, is_text, read_moments, read_numbers

if TYPE_CHECKING:
    from vae_anomaly._calibration_file import StoredCalibration
    from vae_anomaly.detector import VAEDetector

_SECONDS_OF_A_DAY = 86_400
_MOST_SECONDS = 9.2e9  # from 1970 either way: what nanoseconds in 64 bits can say
_TRUTH = {"0": False, "1": True, "false": False, "true": True, "0.0": False, "1.0": True}


@dataclass(frozen=True, eq=False)
class Scored:
    """Rows with their scores.

    Parameters
    ----------
    table : pyarrow.Table
        Every column that was read, then `added`.
    score : float64 ndarray of shape (n_rows,)
        Higher is more anomalous, in nats.
    alert : bool ndarray of shape (n_rows,)
        Whether the score is above the threshold.
    passed_through : tuple of str
        Columns that the model doesn't know.
    added : tuple of str
        `SCORE` and `ALERT`; of a calibrated model `P_VALUE` and `RISK` too.
    made : tuple of str
        Columns of the table that were not read but made, of the past of rows.
    index : int64 ndarray of shape (n_rows,) or None
        The number of each among the rows of the files, counted from 0; None if they are all of these.
    """

    table: pa.Table
    score: NDArray[np.float64]
    alert: NDArray[np.bool_]
    passed_through: tuple[str, ...]
    added: tuple[str, ...]
    made: tuple[str, ...] = ()
    index: NDArray[np.int64] | None = None

    def numbers(self, rows: NDArray[np.intp]) -> list[int]:
        """What people call rows, by their places in the table: their numbers in the files, counted from 1."""
        return [int(row) + 1 for row in (rows if self.index is None else self.index[rows])]

    def as_read(self) -> pa.Table:
        """The table without what was made."""
        return self.table.drop_columns(list(self.made))

    def ranked(self, n: int) -> NDArray[np.intp]:
        """Numbers of the `n` most anomalous rows, most anomalous first; equal scores keep the order of the rows."""
        return np.argsort(-self.score, kind="stable")[:n]


def training_rows(
    table: pa.Table, *, label: str | None = None, train_on: str | None = None, drop: Sequence[str] = ()
) -> pa.Table:
    """The rows and columns to train on.

    Parameters
    ----------
    table : pyarrow.Table
        Everything that was read.
    label : str or None
        A column that is never trained on.
    train_on : str or None
        Train on the rows whose label is this text only.
    drop : sequence of str
        More columns to leave out.

    Returns
    -------
    pyarrow.Table
        Without the label and the dropped columns.

    Examples
    --------
    >>> table = pa.table({"amount": ["1", "2"], "is_fraud": ["0", "1"]})
    >>> training_rows(table, label="is_fraud", train_on="0").to_pylist()
    [{'amount': '1'}]
    """
    excluded = list(dict.fromkeys([*drop, *([label] if label else [])]))
    check_columns(table, excluded)
    if train_on is not None:
        if label is None:
            raise ParameterError("--train-on needs --label COL: the column that holds the value.")
        table = table.filter(pc.equal(as_text(table[label]), train_on))
    return table.drop_columns(excluded)


def check_some(table: pa.Table, label: str | None, train_on: str | None) -> None:
    """Raise a `TableError` if `training_rows` left no row."""
    if train_on is not None and table.num_rows == 0:
        raise TableError(f"Expected rows with {train_on!r} in column {label!r}, found none. Check --train-on.")


def check_columns(table: pa.Table, names: Sequence[str]) -> None:
    """Raise a `TableError` if the table lacks one of the columns that options name."""
    absent = [name for name in names if name not in table.column_names]
    if absent:
        raise TableError(
            f"Expected columns {absent}, found only {table.column_names}. Check the options that name them."
        )


def check_free(table: pa.Table, names: Sequence[str]) -> None:
    """Raise a `TableError` if the table has one of the columns that are added."""
    taken = [name for name in names if name in table.column_names]
    if taken:
        raise TableError(
            f"Expected no columns named {' or '.join(map(repr, names))}, found {taken}. Rename or remove them."
        )


def score_rows(
    detector: VAEDetector, table: pa.Table, reading: Reading, stored: StoredCalibration | None = None
) -> Scored:
    """Score every row, and decide by the calibration if there is one; columns that the model doesn't know pass through.

    Raises
    ------
    TableError
        A column has the name of one that is added, or the column of the segments is missing.
    """
    check_free(table, added_names(stored))
    score = anomaly_scores(detector, table, reading)
    unknown = tuple(name for name in table.column_names if name not in detector.schema_.names)
    return decided(detector, table, score, stored, unknown)


def decided(
    detector: VAEDetector,
    table: pa.Table,
    score: NDArray[np.float64],
    stored: StoredCalibration | None,
    unknown: tuple[str, ...],
) -> Scored:
    """Rows that are scored with what is decided of them; the table needs no more than the column of the segments."""
    group = None if stored is None else _groups_for(stored, table)
    columns = added_columns(detector, stored, score, group)
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    return Scored(table, score, columns[ALERT], unknown, tuple(columns))


def anomaly_scores(detector: VAEDetector, table: pa.Table, reading: Reading) -> NDArray[np.float64]:
    """The score of every row, from the columns that the model knows."""
    known = set(detector.schema_.names)
    used = [name for name in table.column_names if name in known]
    if not used:
        raise SchemaMismatchError(
            f"Expected the columns of the model ({few(detector.schema_.names)}), found none of them, only"
            f" {few(table.column_names)}. Check the file, its --delimiter and its header."
        )
    return np.asarray(detector.anomaly_score(reading.for_model(table.select(used))), dtype=np.float64)


def segments(table: pa.Table, column: str) -> NDArray[np.object_]:
    """The segment of each row, by a column that an option names."""
    check_columns(table, [column])
    return segments_of(table[column])


def _groups_for(stored: StoredCalibration, table: pa.Table) -> NDArray[np.object_] | None:
    """The segment of each row, where the calibration has thresholds for segments."""
    known = stored.calibration.segments
    group = known_segments(table, known, stored.segment_column)
    others = [] if group is None else [name for name in group if name not in known]
    if others:
        names = few(sorted({name for name in others if name is not None})) or "missing"
        note(
            f"{len(others):,} rows have the threshold of the rest, their {stored.segment_column!r} having none of its"
            f" own: {names}"
        )
    return group


def labels(table: pa.Table, column: str, *, positive: str | None = None, negative: str | None = None) -> Any:
    """Which rows are anomalies, by their labels.

    Parameters
    ----------
    table : pyarrow.Table
        With the label column.
    column : str
        Its name.
    positive : str or None
        The one text that means anomaly; everything else does not.
    negative : str or None
        The one text that does not mean anomaly; everything else does.

    Returns
    -------
    bool ndarray of shape (n_rows,)
        True for anomalies.

    Raises
    ------
    TableError
        If labels are missing, are not 0/1 or true/false although neither text is given, or are all of one sort.

    Examples
    --------
    >>> table = pa.table({"kind": ["normal.", "smurf.", "normal."]})
    >>> labels(table, "kind", negative="normal.")
    array([False,  True, False])
    """
    anomalous = truth(table, column, positive=positive, negative=negative)
    n_anomalies = int(anomalous.sum())
    if n_anomalies in (0, table.num_rows):
        raise TableError(
            f"Expected anomalies and normal rows in column {column!r}, found {n_anomalies:,} anomalies among"
            f" {table.num_rows:,} rows. {_found_values(as_text(table[column]))} Check --positive or --negative."
        )
    return anomalous


def truth(table: pa.Table, column: str, *, positive: str | None = None, negative: str | None = None) -> Any:
    """As `labels`, but they may be all of one sort."""
    check_columns(table, [column])
    text = as_text(table[column])
    if text.null_count:
        raise TableError(
            f"Expected a label in every row, found {text.null_count:,} rows without one in column {column!r}."
            " Give the labelled rows alone."
        )
    if positive is None and negative is None:
        return np.asarray(_truth(text, column))
    return np.asarray(pc.equal(text, positive) if positive is not None else pc.not_equal(text, negative))


def numbers(table: pa.Table, column: str, reading: Reading) -> NDArray[np.float64]:
    """A column of amounts."""
    check_columns(table, [column])
    try:
        return np.asarray(_read(table, column, reading, read_numbers), dtype=np.float64)
    except UnreadableCellError as error:
        raise _unreadable(column, error) from None


def amounts(table: pa.Table, column: str, reading: Reading) -> NDArray[np.float64]:
    """A column of amounts, known of every row and not negative."""
    values = numbers(table, column, reading)
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        raise TableError(
            f"Expected amounts of 0 or more in column {column!r}, found {values[bad][0]:g} in row {bad.argmax() + 1:,} "
            f"and {int(bad.sum()):,} such rows in all. Correct or drop them."
        )
    return values


def days(table: pa.Table, column: str, reading: Reading) -> NDArray[np.int64]:
    """Which day each row is of: of a date or datetime, or of seconds since some midnight."""
    return (_seconds(table, column, reading) // _SECONDS_OF_A_DAY).astype(np.int64)


def times(table: pa.Table, column: str, reading: Reading) -> NDArray[np.datetime64]:
    """When each row came: a date or datetime, or seconds since some midnight."""
    seconds = _seconds(table, column, reading)
    if len(seconds) and np.abs(seconds).max() > _MOST_SECONDS:
        raise TableError(
            f"Expected dates or seconds in column {column!r}, found {seconds[np.abs(seconds).argmax()]:,.0f}, which is"
            " too many seconds for a date. Convert milliseconds to seconds."
        )
    return np.round(seconds * 1e6).astype(np.int64).astype("datetime64[us]")


def _seconds(table: pa.Table, column: str, reading: Reading) -> NDArray[np.float64]:
    check_columns(table, [column])
    try:
        seconds = np.asarray(_read(table, column, reading, read_numbers), dtype=np.float64)
    except UnreadableCellError:
        try:
            moments = _read(table, column, reading, read_moments)
        except UnreadableCellError as error:
            raise _unreadable(column, error) from None
        seconds = np.asarray(pc.divide(moments.cast(pa.int64()).cast(pa.float64()), 1e6))
    if not np.isfinite(seconds).all():
        missing = ~np.isfinite(seconds)
        raise TableError(
            f"Expected a time in every row, found none in column {column!r} in row {missing.argmax() + 1:,} and in "
            f"{int(missing.sum()):,} rows in all. Fill them in, or drop these rows."
        )
    if not is_moment(table[column].type) and _undashed_dates(seconds):
        raise TableError(
            f"Expected ISO dates or seconds in column {column!r}, found {seconds[0]:.0f} and the like, which would be"
            " seconds but look like dates. Write them with dashes, such as 2024-05-01."
        )
    return seconds


def _undashed_dates(numbers: NDArray[np.float64]) -> bool:
    """Whether every number is a date of 1900 to 2100 without its dashes.

    Examples
    --------
    >>> _undashed_dates(np.array([20240501.0, 20241231.0])), _undashed_dates(np.array([20240501.0, 20240500.0]))
    (True, False)
    """
    year, month, day = numbers // 10_000, numbers // 100 % 100, numbers % 100
    parts = ((year, 1900, 2100), (month, 1, 12), (day, 1, 31))
    return len(numbers) > 0 and all(
        ((low <= part) & (part <= high) & (part % 1 == 0)).all() for part, low, high in parts
    )


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Cells as text, to be compared with what was typed in a shell."""
    return column if is_text(column.type) else column.cast(pa.string())


def _read(table: pa.Table, column: str, reading: Reading, reader: Any) -> Any:
    return reader(reading.for_model(table.select([column]))[column].combine_chunks())


def _unreadable(column: str, error: UnreadableCellError) -> TableError:
    return TableError(
        f"Expected {error.wanted} in column {column!r}, found {error.value!r} in row {error.index + 1:,}."
    )


def _truth(text: pa.ChunkedArray, column: str) -> pa.ChunkedArray:
    lower = pc.utf8_lower(text)
    known = pa.array(list(_TRUTH))
    if not pc.all(pc.is_in(lower, value_set=known)).as_py():
        raise TableError(
            f"Expected labels 0/1 or true/false in column {column!r}. {_found_values(text)}"
            " Say which value is the anomaly (--positive VALUE) or which is not (--negative VALUE)."
        )
    return pc.is_in(lower, value_set=pa.array([word for word, true in _TRUTH.items() if true]))


def _found_values(text: pa.ChunkedArray) -> str:
    counts = sorted(text.value_counts().to_pylist(), key=lambda pair: -pair["counts"])
    found = ", ".join(f"{pair['values']!r} ({pair['counts']:,} rows)" for pair in counts[:5])
    return f"Found {found}{', ...' if len(counts) > 5 else ''}."
