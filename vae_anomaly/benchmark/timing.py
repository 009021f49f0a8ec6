"""One fit and one score, timed: what runs in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.benchmark.detectors import detector
from vae_anomaly.errors import VaeAnomalyError

_WARM_UP = 64
_ROWS_AT_ONCE = 65_536
_TABLE_SEED = 0


def synthetic_table(n_rows: int, n_columns: int) -> NDArray[np.float32]:
    """Correlated normals: a fifth as many factors as columns, and noise. Always the same for the same shape.

    Parameters
    ----------
    n_rows, n_columns : int
        Its shape.

    Returns
    -------
    float32 ndarray of shape (n_rows, n_columns)
        Made in pieces, so that making it takes hardly more memory than holding it.

    Examples
    --------
    >>> table = synthetic_table(1_000, 10)
    >>> table.shape, table.dtype
    ((1000, 10), dtype('float32'))
    """
    rng = np.random.default_rng(_TABLE_SEED)
    n_factors = max(1, n_columns // 5)
    mixing = rng.standard_normal((n_factors, n_columns), dtype=np.float32)
    table = np.empty((n_rows, n_columns), dtype=np.float32)
    for start in range(0, n_rows, _ROWS_AT_ONCE):
        piece = table[start : start + _ROWS_AT_ONCE]
        noise = rng.standard_normal(piece.shape, dtype=np.float32)
        piece[:] = rng.standard_normal((len(piece), n_factors), dtype=np.float32) @ mixing + np.float32(0.3) * noise
    return table


def time_detector(
    name: str, n_rows: int, n_columns: int, seed: int, scoring: bool = True, settings: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Fit and score once, in this process. A measurement calls it in a process of its own.

    Before that, another instance is fitted as briefly as can be on a few rows, so that no detector's `fit_seconds` are
    those of modules that are imported on first use. Those are reported too.

    Parameters
    ----------
    name : str
        A detector.
    n_rows, n_columns : int
        Shape of the table.
    seed : int
        Of the detector.
    scoring : bool, default=True
        Whether to score as well.
    settings : mapping or None, default=None
        Parameters other than the defaults; none in a measurement.

    Returns
    -------
    dict
        ``warm_up_seconds``, ``fit_seconds``, ``score_seconds``, ``peak_bytes``, ``device``.

    Raises
    ------
    VaeAnomalyError
        If a score is not a number.

    Examples
    --------
    >>> sorted(time_detector("IsolationForest", 100, 4, 0, settings={"n_estimators": 2}))
    ['device', 'fit_seconds', 'peak_bytes', 'score_seconds', 'warm_up_seconds']
    """
    table = synthetic_table(n_rows, n_columns)
    entry = detector(name)
    settings = dict(settings or {})
    _, warm_up_seconds = _timed(lambda: entry.build(seed, settings | dict(entry.warm_up)).fit(table[:_WARM_UP]))
    estimator = entry.build(seed, settings)
    _, fit_seconds = _timed(lambda: estimator.fit(table))
    peak_bytes, score_seconds = _peak_bytes(), None
    if scoring:
        entry.score(estimator, table[:_WARM_UP])
        scores, score_seconds = _timed(lambda: entry.score(estimator, table))
        if scores.shape != (n_rows,) or not np.isfinite(scores).all():
            raise VaeAnomalyError(f"{name}: expected a number for each of {n_rows:,} rows, found something else.")
    return {
        "warm_up_seconds": warm_up_seconds,
        "fit_seconds": fit_seconds,
        "score_seconds": score_seconds,
        "peak_bytes": peak_bytes,
        "device": _device(estimator),
    }


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = perf_counter()
    result = call()
    return result, perf_counter() - start


def _device(estimator: Any) -> str:
    network = getattr(estimator, "model_", None) or getattr(estimator, "model", None)
    return "cpu" if network is None else str(next(network.parameters()).device)


def _peak_bytes() -> int | None:
    """Most memory held so far. Linux counts what the parent held when it started this process: it must hold little."""
    try:
        import resource
    except ImportError:  # Windows does not say
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
