"""The columns that scoring adds to a table, wherever it is scored: on one machine or on many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly._calibration_file import StoredCalibration
    from vae_anomaly.detector import VAEDetector

SCORE, P_VALUE, RISK, ALERT = "anomaly_score", "p_value", "risk_score", "alert"


def added_names(stored: StoredCalibration | None) -> tuple[str, ...]:
    """The columns that scoring adds, in their order."""
    return (SCORE, ALERT) if stored is None else (SCORE, P_VALUE, RISK, ALERT)


def added_columns(
    detector: VAEDetector,
    stored: StoredCalibration | None,
    score: NDArray[np.float64],
    group: NDArray[np.object_] | None,
    alert: NDArray[np.bool_] | None = None,
) -> dict[str, NDArray[Any]]:
    """What scoring adds; `alert` is given where it depends on more rows than these."""
    if stored is None:
        return {SCORE: score, ALERT: score > -detector.offset_}  # what predict says, without scoring twice
    calibration = stored.calibration
    return {
        SCORE: score,
        P_VALUE: calibration.p_value(score, group),
        RISK: calibration.risk_score(score, group),
        ALERT: calibration.alerts(score, group) if alert is None else alert,
    }


def reason_names(rank: int) -> tuple[str, str]:
    """The columns of one reason.

    Examples
    --------
    >>> reason_names(1)
    ('reason_1', 'reason_1_sentence')
    """
    return f"reason_{rank}", f"reason_{rank}_sentence"


def reason_columns(
    reasons: pd.DataFrame, rows: NDArray[np.intp], n_rows: int, n_reasons: int
) -> dict[str, NDArray[np.object_]]:
    """The reasons of some rows as columns of the whole table, None where a row is not explained.

    Parameters
    ----------
    reasons : DataFrame
        What `VAEDetector.explain` says; `row` is a place in `rows`.
    rows : intp ndarray
        Places in the table of the rows that are explained.
    n_rows : int
        Rows of the table.
    n_reasons : int
        Most reasons of a row.

    Examples
    --------
    >>> import pandas as pd
    >>> reasons = pd.DataFrame({"row": [0], "rank": [1], "column": ["amount"], "sentence": ["amount 9 where ..."]})
    >>> reason_columns(reasons, np.array([1]), n_rows=2, n_reasons=1)["reason_1"]
    array([None, 'amount'], dtype=object)
    """
    place, columns = reasons["row"].to_numpy(dtype=np.intp), {}
    for rank in range(1, n_reasons + 1):
        of_rank = (reasons["rank"] == rank).to_numpy()
        for name, told in zip(reason_names(rank), ("column", "sentence"), strict=True):
            cells = np.full(n_rows, None, dtype=object)
            cells[rows[place[of_rank]]] = reasons[told].to_numpy(dtype=object)[of_rank]
            columns[name] = cells
    return columns
