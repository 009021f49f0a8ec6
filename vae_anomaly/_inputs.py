"""Array-likes and weights, checked by scikit-learn's own rules and in its own words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _check_sample_weight, validate_data

from vae_anomaly.errors import TableError


def as_array(estimator: Any, X: Any, *, reset: bool) -> NDArray[Any]:
    """Numbers as a numeric array; text or mixed cells as an array of objects for the schema to sort out."""
    if hasattr(X, "collect") and hasattr(X, "collect_schema"):
        raise TableError(f"Expected a table held in memory, found {type(X).__name__}. Call .collect() first.")
    if isinstance(X, np.ma.MaskedArray):  # scikit-learn would take what lies under the mask for data
        dtype, gap = (np.float64, np.nan) if X.dtype.kind in "biuf" else (object, None)
        X = np.ma.filled(X.astype(dtype), gap)
    checks: dict[str, Any] = {"ensure_all_finite": "allow-nan", "reset": reset}
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
