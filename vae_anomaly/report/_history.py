"""The other rows of the entities that alert: what a card did before and after."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vae_anomaly.decision._labelled import Booleans, Floats
from vae_anomaly.report._rows import Rows
from vae_anomaly.report._scored import Scored
from vae_anomaly.report.facts import History, Visit

MOST_VISITS = 60


def histories(
    rows: Rows,
    scored: Scored,
    chosen: NDArray[np.intp],
    entity: str,
    time: tuple[str, Floats] | None,
    columns: Sequence[str],
) -> dict[str, History]:
    """The rows of each entity that has a listed alert.

    Parameters
    ----------
    rows, scored
        The whole table.
    chosen : intp ndarray of shape (n_listed,)
        The listed rows.
    entity : str
        The column that says whose row it is; where it is missing, there is no history.
    time : tuple of a column and its seconds, or None
        By which rows are in order; without it they are in that of the table.
    columns : sequence of str
        Whose cells are shown.

    Returns
    -------
    dict of str to History
        By the entity.
    """
    names = rows.written(entity).dictionary_encode()
    code = np.asarray(names.indices.cast(pa.int64()).fill_null(-1))
    wanted = np.unique(code[chosen])
    moment = np.arange(len(code), dtype=np.float64) if time is None else time[1]
    order = np.lexsort((np.arange(len(code)), moment, code))  # a time that is missing comes last
    starts = np.searchsorted(code[order], np.arange(len(names.dictionary) + 1))
    listed = np.zeros(len(code), dtype=bool)
    listed[chosen] = True
    kept = {}
    for number in wanted[wanted >= 0].tolist():
        own = order[starts[number] : starts[number + 1]]
        kept[number] = (own, own[_nearest(listed[own], scored.score[own])])
    every = np.concatenate([some for _, some in kept.values()]) if kept else np.empty(0, dtype=np.intp)
    visits = iter(_visits(rows, scored, every, moment, None if time is None else time[0], columns))
    return {
        names.dictionary[number].as_py(): History(
            len(own), int(scored.alert[own].sum()), tuple(islice(visits, len(some)))
        )
        for number, (own, some) in kept.items()
    }


def _nearest(listed: Booleans, score: Floats) -> NDArray[np.intp]:
    """The places next to a listed one, as many as are shown, in order; of those as near the higher scores."""
    if len(listed) <= MOST_VISITS:
        return np.arange(len(listed))
    at, place = np.flatnonzero(listed), np.arange(len(listed))
    after = np.searchsorted(at, place)
    distance = np.minimum(
        np.abs(at[np.minimum(after, len(at) - 1)] - place), np.abs(at[np.maximum(after, 1) - 1] - place)
    )
    return np.sort(np.lexsort((-score, distance))[:MOST_VISITS])


def _visits(
    rows: Rows,
    scored: Scored,
    every: NDArray[np.intp],
    moment: Floats,
    time: str | None,
    columns: Sequence[str],
) -> list[Visit]:
    times = [None] * len(every) if time is None else rows.text(time, every)
    cells = list(zip(*(rows.text(name, every) for name in columns), strict=True)) if columns else [()] * len(every)
    return [
        Visit(
            row,
            times[i],
            None if np.isnan(moment[row]) else float(moment[row]),
            float(scored.score[row]),
            bool(scored.alert[row]),
            cells[i],
        )
        for i, row in enumerate(every.tolist())
    ]
