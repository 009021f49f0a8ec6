"""Labels, scores and the columns beside them, checked once for every metric."""

from __future__ import annotations

import datetime as dt
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_anomaly.errors import TableError

Floats: TypeAlias = NDArray[np.float64]
Booleans: TypeAlias = NDArray[np.bool_]


def as_labels(y: ArrayLike) -> Booleans:
    """Labels as booleans, or an error that says which is neither 0 nor 1."""
    text = _first_text(y)
    if text is not None:
        raise TableError(
            f"Labels must be 1 (fraud) or 0 (normal), in numbers or booleans: found text, such as {text!r}. Map it "
            "first, for example y == 'fraud', by the text that means fraud."
        )
    labels = as_numbers("y", y)
    bad = ~np.isin(labels, (0.0, 1.0))
    if bad.any():
        raise TableError(
            f"Labels must be 1 (fraud) or 0 (normal): found {labels[bad][0]:g} at row {bad.argmax()}. Map them first, "
            "for example y == -1 for scikit-learn's outlier labels, and drop rows whose label is not known."
        )
    return labels.astype(bool)


def _first_text(y: ArrayLike) -> str | None:
    """A label that is text and not a number in writing, if the first labels are of that kind."""
    column = np.asarray(y)
    if column.ndim != 1 or column.dtype.kind not in "OUT":
        return None
    return next((str(value) for value in column[:100].tolist() if isinstance(value, str) and not _number(value)), None)


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def labelled_scores(y: ArrayLike, score: ArrayLike) -> tuple[Booleans, Floats]:
    """Labels and scores of one length, none of them missing."""
    labels = as_labels(y)
    scores = as_numbers("score", score, len(labels))
    missing = np.isnan(scores)
    if missing.any():
        raise TableError(
            f"Scores must be numbers: found NaN at row {missing.argmax()} and in {int(missing.sum())} of {len(scores)} "
            "rows. Score these rows, or drop them from y and score alike."
        )
    return labels, scores


def weighted_scores(
    y: ArrayLike, score: ArrayLike, sample_weight: ArrayLike | None, metric: str
) -> tuple[Booleans, Floats, Floats | None]:
    """Labels, scores and weights, with both classes among the rows that weigh something."""
    labels, scores = labelled_scores(y, score)
    if sample_weight is None:
        check_both_classes(labels, metric)
        return labels, scores, None
    weights = as_numbers("sample_weight", sample_weight, len(labels))
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise TableError("Sample weights must be finite and not negative: found others. Correct or drop these rows.")
    check_both_classes(labels[weights > 0], metric)
    return labels, scores, weights


def check_both_classes(labels: Booleans, metric: str) -> None:
    """Raise unless there are frauds and normal rows."""
    if labels.all() or not labels.any():
        found = "no row that counts" if not len(labels) else f"{len(labels)} rows, every one {int(labels[0])}"
        raise TableError(
            f"{metric[0].upper()}{metric[1:]} needs both classes: expected rows labelled 1 (fraud) and 0 (normal), "
            f"found {found}. Use rows of a longer time, or look at precision at k."
        )


def count_frauds(labels: Booleans, metric: str) -> int:
    """How many frauds there are; none is an error."""
    if not labels.any():
        raise TableError(
            f"The {metric} needs a fraud to find: expected a row labelled 1, found {len(labels)} rows, every one 0. "
            "Use rows of a longer time."
        )
    return int(labels.sum())


def fraud_amounts(labels: Booleans, amount: ArrayLike) -> Floats:
    """What each row loses if it is missed: its amount if it is a fraud, otherwise 0."""
    count_frauds(labels, "recall of amounts")
    amounts = as_numbers("amount", amount, len(labels))
    bad = labels & ~(np.isfinite(amounts) & (amounts >= 0))
    if bad.any():
        raise TableError(
            f"The amounts of frauds must be finite and not negative: found {amounts[bad][0]} at row {bad.argmax()} and "
            f"{int(bad.sum())} such rows in all. Fill them in, take absolute values, or leave the amount out."
        )
    lost = np.where(labels, amounts, 0.0)
    if lost.sum() == 0:
        raise TableError("Recall of amounts needs a fraud of more than 0: found none. Leave the amount out.")
    return lost


def _column(name: str, values: ArrayLike, n_rows: int | None) -> NDArray[Any]:
    column = np.asarray(values)
    if column.ndim != 1 or len(column) == 0:
        raise TableError(f"{name!r} must be one column with at least one row: found shape {column.shape}.")
    if n_rows is not None and len(column) != n_rows:
        raise TableError(f"{name!r} must have one entry for each of the {n_rows} rows of 'y': found {len(column)}.")
    return column


def as_numbers(name: str, values: ArrayLike, n_rows: int | None = None) -> Floats:
    """One column of numbers."""
    column = _column(name, values, n_rows)
    try:
        return column.astype(np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise TableError(f"{name!r} must hold numbers: found others ({error}). Convert or drop these rows.") from error


def as_groups(name: str, values: ArrayLike, n_rows: int) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The distinct values in order, and which of them each row has."""
    column = _column(name, values, n_rows)
    try:  # NaN and NaT differ from themselves
        if (column != column).any() or (column.dtype == object and any(cell is None for cell in column)):
            raise TypeError("a missing value")
        distinct, place = np.unique(column, return_inverse=True)
    except TypeError as error:
        message = f"{name!r} must have values of one kind in every row: found otherwise ({error})."
        raise TableError(f"{message} Fill in what is missing and convert the rest.") from error
    return distinct, place


def rows_by_day(day: ArrayLike, n_rows: int) -> tuple[NDArray[Any], list[NDArray[np.intp]]]:
    """The days in order, and the rows of each."""
    column = _column("day", day, n_rows)
    if isinstance(column[0], dt.datetime):
        raise TableError("'day' must hold days: found times with a time zone or of Python. Take their date first.")
    if np.issubdtype(column.dtype, np.datetime64):
        column = column.astype("datetime64[D]")
    days, place = as_groups("day", column, n_rows)
    in_order = np.argsort(place, kind="stable")
    return days, np.split(in_order, np.flatnonzero(np.diff(place[in_order])) + 1)
