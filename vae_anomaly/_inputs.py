"""Array-likes and weights, checked by scikit-learn's own rules and in its own words."""

from __future__ import annotations

import copy
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.validation import _check_sample_weight, validate_data

from vae_anomaly.errors import TableError
from vae_anomaly.table.encoding import TableEncoder
from vae_anomaly.table.layout import EncodedTable
from vae_anomaly.table.on_disk import encoded_rows
from vae_anomaly.table.schema import Schema


def validated(estimator: Any, X: Any, *, reset: bool, at_least: int = 1) -> Any:
    """A frame as it is, anything else as a checked array of so many rows; scikit-learn's own messages as it has them.

    Whatever has one answer for each row needs a row. What lists the answers of some rows (`explain`, `nearest_normal`)
    takes no rows, and has nothing to list: on a quiet day none alerts.
    """
    named = not reset and hasattr(estimator, "feature_names_in_")
    if nw.dependencies.is_into_dataframe(X) and (reset or named):
        return X
    # Validation notes columns on what it validates for: a fit that fails must not leave them on a fitted detector.
    array = as_array(copy.copy(estimator) if reset else estimator, X, reset=reset, at_least=at_least)
    return pd.DataFrame(array, columns=estimator.feature_names_in_) if named else array


def encoded(schema: Schema, X: Any, *, at_least: int = 1) -> EncodedTable:
    """The rows as the model reads them, one or, where none has an answer too, `at_least` 0."""
    table = encoded_rows(TableEncoder(schema, owner="VAEDetector"), X)
    if len(table) < at_least:
        raise TableError(f"Expected at least one row, found 0 sample(s) (shape (0, {len(schema.names)})).")
    return table


def check_row_count(total: float) -> None:
    """Raise a `TableError` for fewer than two rows, as their weights count them."""
    if total < 2:
        raise TableError(
            f"Found n_samples={total:g} (after sample_weight) while a minimum of 2 is required by "
            "VAEDetector: one sample says nothing of what is usual. Give it more rows; if sample_weight is given, "
            "it counts rows, and must add up to 2 or more."
        )


def as_array(estimator: Any, X: Any, *, reset: bool, at_least: int = 1) -> NDArray[Any]:
    """Numbers as a numeric array; text or mixed cells as an array of objects for the schema to sort out."""
    if hasattr(X, "collect") and hasattr(X, "collect_schema"):
        raise TableError(f"Expected a table held in memory, found {type(X).__name__}. Call .collect() first.")
    if isinstance(X, np.ma.MaskedArray):  # scikit-learn would take what lies under the mask for data
        dtype, gap = (np.float64, np.nan) if X.dtype.kind in "biuf" else (object, None)
        X = np.ma.filled(X.astype(dtype), gap)
    checks: dict[str, Any] = {"ensure_all_finite": "allow-nan", "ensure_min_samples": at_least, "reset": reset}
    try:
        array: NDArray[Any] = validate_data(estimator, X, dtype="numeric", **checks)
    except ValueError:
        cells = np.asarray(X) if not hasattr(X, "toarray") else None
        if cells is None or cells.ndim != 2 or cells.dtype.kind not in "OUS" or _all_numbers(cells):
            raise
        array = validate_data(estimator, cells.astype(object), dtype=None, **{**checks, "ensure_all_finite": False})
    return array


def _all_numbers(cells: NDArray[Any]) -> bool:
    try:
        cells.astype(np.float64)
    except (TypeError, ValueError):
        return False
    return True


def frequency_weights(X: Any, sample_weight: Any) -> NDArray[np.float64] | None:
    """How often each row of `X` counts, or None where all count once."""
    if sample_weight is None:
        return None
    weight: NDArray[np.float64] = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    return weight
