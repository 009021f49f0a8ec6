"""What the alerts of a report have in common, of what `vae_anomaly.patterns` finds."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vae_anomaly.decision._labelled import Floats
from vae_anomaly.patterns import alert_drivers, alert_patterns
from vae_anomaly.report.facts import Driver, Pattern

_NO_REASON = "no column stands out"


def drivers_of(reasons: pd.DataFrame) -> tuple[Driver, ...]:
    """How often each column is a reason, the one that is most often the first one first."""
    if reasons.empty:
        return ()
    names = ["column", "n_first", "n_among", "rate_first", "rate_among", "mean_share", "direction"]
    return tuple(Driver(*line) for line in zip(*(alert_drivers(reasons)[name].tolist() for name in names), strict=True))


def patterns_of(
    reasons: pd.DataFrame, chosen: NDArray[np.intp], score: Floats
) -> tuple[NDArray[np.intp], tuple[Pattern, ...]]:
    """The pattern of each listed alert, by its place among the patterns; and these, the largest first.

    Parameters
    ----------
    reasons : DataFrame
        Of `explain`, for the listed alerts.
    chosen : intp ndarray of shape (n_listed,)
        Their rows.
    score : float64 ndarray of shape (n_listed,)
        Their scores, in nats.
    """
    found = alert_patterns(reasons)
    labels = found.labels - 1
    highest = pd.Series(score).groupby(labels).max().tolist()
    fields = ("columns", "directions", "n_alerts", "sentence", "row")
    lines = zip(*(found.table[field].tolist() for field in fields), highest, strict=True)
    patterns = []
    for columns, directions, n_alerts, example, row, most in lines:
        marks = [f"{column} {direction}" for column, direction in zip(columns, directions, strict=True)]
        patterns.append(Pattern(", ".join(marks) or _NO_REASON, n_alerts, most, example, int(chosen[row])))
    return labels, tuple(patterns)
