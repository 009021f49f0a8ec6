"""The alerts among scored rows, as a frame for the people who work them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vae_anomaly.decision.calibration import Calibration


def ranked_alerts(calibration: Calibration, X: Any, score: NDArray[np.float64], groups: Any) -> pd.DataFrame:
    """The rows that alert, the furthest above its threshold first; ties in the order of the rows."""
    rows = np.flatnonzero(calibration.alerts(score, groups))
    margin = calibration.margin(score, groups)[rows]
    rows = rows[np.argsort(-margin, kind="stable")]
    columns: dict[str, Any] = {"row": rows} if groups is None else {"row": rows, "group": np.asarray(groups)[rows]}
    columns["anomaly_score"] = score[rows]
    columns["threshold"] = calibration.thresholds(score, groups)[rows]
    columns["p_value"] = calibration.p_value(score, groups)[rows]
    columns["risk_score"] = calibration.risk_score(score, groups)[rows]
    return pd.DataFrame(columns, index=X.index[rows] if isinstance(X, pd.DataFrame) else None)
