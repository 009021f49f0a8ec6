"""What `VAEDetector.nearest_normal` is measured against: change what surprises most until the row does not alert."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def greedy_normal(detector: Any, X: pd.DataFrame, threshold: float | None = None) -> pd.DataFrame:
    """Change cells to what the reconstruction has in their place, the most surprising first.

    The largest `column_surprisal` of the row as it is by then is next, and its reconstruction too is that of the row as
    it is by then. Every column is changed at most once.

    Parameters
    ----------
    detector : VAEDetector
        Fitted.
    X : DataFrame
        Rows, some of which alert.
    threshold : float or None, default=None
        Highest anomaly score that does not alert; None: ``-offset_``.

    Returns
    -------
    changes : DataFrame
        A line for each row that alerts and column changed, in the order in which they were: `row`, `rank`, `column`,
        `anomaly_score` and `new_score`, both of the row, before and after all its changes. Where all columns were
        changed in vain, the new score is above the threshold.

    Examples
    --------
    >>> from vae_anomaly import VAEDetector
    >>> rng = np.random.default_rng(0)
    >>> rows = pd.DataFrame(rng.normal(size=(2_000, 1)) * [1, 2, 3], columns=["a", "b", "c"])
    >>> detector = VAEDetector(max_steps=100, n_members=1).fit(rows)
    >>> greedy_normal(detector, pd.DataFrame({"a": [0.1, 0.0], "b": [9.0, 0.1], "c": [0.3, 0.0]}))[["row", "column"]]
       row column
    0    0      b
    """
    threshold = -detector.offset_ if threshold is None else threshold
    names = list(detector.schema_.modelled)
    before = detector.anomaly_score(X)
    changed, after, lines = X.reset_index(drop=True), before.copy(), []
    free = np.full((len(X), len(names)), True)
    active = np.flatnonzero(before > threshold)
    while len(active):
        now = changed.iloc[active]
        surprisal = detector.column_surprisal(now)[names].to_numpy()
        column = np.where(free[active], surprisal, -np.inf).argmax(axis=1)
        instead = detector.reconstruct(now)
        for number in np.unique(column):
            rows, name = active[column == number], names[number]
            changed[name] = changed[name].mask(changed.index.isin(rows), instead[name])
            lines += [(row, name) for row in rows.tolist()]
        free[active, column] = False
        after[active] = detector.anomaly_score(changed.iloc[active])
        active = active[(after[active] > threshold) & free[active].any(axis=1)]
    frame = pd.DataFrame(lines, columns=["row", "column"]).sort_values("row", kind="stable", ignore_index=True)
    frame.insert(1, "rank", frame.groupby("row").cumcount() + 1)
    row = frame["row"].to_numpy(dtype=np.intp)
    return frame.assign(anomaly_score=before[row], new_score=after[row])
