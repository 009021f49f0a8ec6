"""One fit and one score of a detector, in this process, and what its scores are worth."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.benchmark.detectors import detector
from vae_anomaly.benchmark.rows import Rows

THREADS = 2
_WARM_UP_ROWS = 64
_LONGEST_WARNING = 200


def measure(
    estimator: Any, score: Callable[[Any, Any], NDArray[np.float64]], rows: Rows, *, encoding: str | None
) -> dict[str, Any]:
    """Fit, score and evaluate, in this process.

    Parameters
    ----------
    estimator : object
        Not fitted.
    score : callable
        ``score(fitted, X)``, higher for more anomalous.
    rows : Rows
        What on.
    encoding : str or None
        A key of `vae_anomaly.benchmark.encodings.ENCODINGS`; None gives it the rows as they are.

    Returns
    -------
    dict
        ``roc_auc``, ``average_precision``, ``average_precision_at_rate``, ``fit_seconds``, ``score_seconds``,
        ``warned``; and the daily metrics, where the rows are payments.

    Raises
    ------
    TableError
        If a score is not a number.
    """
    from vae_anomaly.decision.metrics import average_precision, roc_auc

    train, test = rows.encoded(encoding)
    if estimator.get_params().get("n_jobs") == -1:  # joblib's threads are no concern of threadpoolctl
        estimator.set_params(n_jobs=n_threads())
    with redirect_stdout(sys.stderr), few_threads(), warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        start = perf_counter()
        fitted = estimator.fit(train)
        fit_seconds, start = perf_counter() - start, perf_counter()
        scores = np.asarray(score(fitted, test), dtype=np.float64)
        score_seconds = perf_counter() - start
    at_rate = None if rows.weight is None else average_precision(rows.y, scores, sample_weight=rows.weight)
    return {
        "roc_auc": roc_auc(rows.y, scores),
        "average_precision": average_precision(rows.y, scores),
        "average_precision_at_rate": at_rate,
        "fit_seconds": fit_seconds,
        "score_seconds": score_seconds,
        "warned": _first(raised),
        **(rows.payments.figures(rows.y, scores) if rows.payments is not None else {}),
    }


def warm_up(name: str) -> None:
    """Fit an instance as briefly as can be, so that no `fit_seconds` are those of modules imported on first use."""
    from vae_anomaly.benchmark.timing import synthetic_table

    entry = detector(name)
    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = synthetic_table(_WARM_UP_ROWS, 4).astype(np.float64)  # what numba compiles, it compiles for a type
        entry.score(entry.build(0, entry.warm_up).fit(table), table)


@contextmanager
def few_threads() -> Iterator[None]:
    """At most `THREADS` threads in whatever computes, fewer where ``OMP_NUM_THREADS`` says so."""
    from threadpoolctl import threadpool_limits

    limit = n_threads()
    torch = sys.modules.get("torch")  # a detector that needs it has imported it by now
    before = torch.get_num_threads() if torch is not None else None
    with threadpool_limits(limits=limit):
        if torch is not None:
            torch.set_num_threads(limit)
        try:
            yield
        finally:
            if torch is not None:
                torch.set_num_threads(before)


def n_threads() -> int:
    """`THREADS`, or fewer if ``OMP_NUM_THREADS`` says so."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(THREADS, int(asked)) if asked.isdecimal() and int(asked) > 0 else THREADS


def _first(raised: Sequence[warnings.WarningMessage]) -> str | None:
    return f"{raised[0].category.__name__}: {raised[0].message}"[:_LONGEST_WARNING] if raised else None
