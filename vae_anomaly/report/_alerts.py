"""The alerts of a report, with their reasons and what would have to change."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing

from vae_anomaly._telling import cell_text
from vae_anomaly.decision._labelled import Floats
from vae_anomaly.errors import VaeAnomalyWarning
from vae_anomaly.report._grouped import patterns_of
from vae_anomaly.report._rows import Rows
from vae_anomaly.report._scored import Scored
from vae_anomaly.report.facts import Alert, Change, Nearest, Pattern, Reason

_REASON = ["row", "column", "observed", "expected", "direction", "sentence", "share", "surprisal", "percentile"]
_CHANGE = ["row", "column", "observed", "suggested", "difference", "new_score"]


@dataclass(frozen=True, eq=False)
class Listed:
    """What there is to say of the rows that a report lists.

    Parameters
    ----------
    rows : Rows
        The whole table.
    scored : Scored
        Scores of the whole table.
    chosen : intp ndarray of shape (n_listed,)
        Places of the listed rows, the first alert first.
    reasons : DataFrame
        Of `explain`, for these rows.
    nearest : DataFrame
        Of `nearest_normal`, for the first `n_nearest` of them.
    n_nearest : int
        How many that is for.
    labels : int ndarray of shape (n_listed,)
        Place of each alert's pattern.
    patterns : tuple of Pattern
        What the alerts have in common.
    """

    rows: Rows
    scored: Scored
    chosen: NDArray[np.intp]
    reasons: pd.DataFrame
    nearest: pd.DataFrame
    n_nearest: int
    labels: NDArray[np.intp]
    patterns: tuple[Pattern, ...]

    @classmethod
    def of(
        cls, vae: Any, rows: Rows, scored: Scored, n_reasons: int, max_alerts: int, n_nearest: int, fixed: Sequence[str]
    ) -> Listed:
        """Explain the alerts that are furthest above their thresholds."""
        chosen = scored.ranked()[:max_alerts]
        if not len(chosen):
            none = pd.DataFrame(columns=_REASON), pd.DataFrame(columns=_CHANGE)
            return cls(rows, scored, chosen, *none, 0, chosen, ())
        reasons = vae.explain(_safe_indexing(rows.known, chosen), n_reasons)
        labels, patterns = patterns_of(reasons, chosen, scored.score[chosen])
        first = chosen[:n_nearest]
        nearest = _changes(vae, rows, first, scored.threshold[first], fixed)
        return cls(rows, scored, chosen, reasons, nearest, len(first), labels, patterns)

    def alerts(self, time: str | None, entity: str | None, seconds: Floats | None) -> tuple[Alert, ...]:
        """Put together, in the order of `chosen`."""
        reasons, nearest = _reasons(self.reasons, len(self.chosen)), self._nearest()
        cells = list(zip(*(self.rows.text(name, self.chosen) for name in self.rows.names), strict=True))
        times = self._column(time)
        entities = self._column(entity)
        scored = self.scored
        return tuple(
            Alert(
                row=row,
                score=float(scored.score[row]),
                threshold=float(scored.threshold[row]),
                p_value=None if scored.p_value is None else float(scored.p_value[row]),
                risk=None if scored.risk is None else float(scored.risk[row]),
                segment=None if scored.group is None or scored.group[row] is None else str(scored.group[row]),
                entity=entities[i],
                time=times[i],
                moment=None if seconds is None or np.isnan(seconds[row]) else float(seconds[row]),
                pattern=int(self.labels[i]),
                reasons=reasons[i],
                nearest=nearest.get(i),
                cells=cells[i],
            )
            for i, row in enumerate(self.chosen.tolist())
        )

    def _column(self, name: str | None) -> Sequence[str | None]:
        return [None] * len(self.chosen) if name is None else self.rows.text(name, self.chosen)

    def _nearest(self) -> dict[int, Nearest]:
        """By place among the listed rows. An alert without lines is one that no change brings below its threshold."""
        changes: dict[int, list[Change]] = {i: [] for i in range(self.n_nearest)}
        score = self.scored.score[self.chosen[: self.n_nearest]].copy()
        frame = self.nearest
        for i, name, observed, suggested, difference, new_score in zip(
            *(frame[name].tolist() for name in _CHANGE),
            strict=True,
        ):
            changes[i].append(Change(name, shown(observed), shown(suggested), _signed(difference)))
            score[i] = new_score
        threshold = self.scored.threshold[self.chosen]
        return {i: Nearest(tuple(of), float(score[i]), bool(score[i] <= threshold[i])) for i, of in changes.items()}


def _changes(vae: Any, rows: Rows, first: NDArray[np.intp], threshold: Floats, fixed: Sequence[str]) -> pd.DataFrame:
    """The lines of `nearest_normal`; which alerts it brings no lower is told beside each of them, not as a warning."""
    if not len(first):
        return pd.DataFrame(columns=_CHANGE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VaeAnomalyWarning)
        found: pd.DataFrame = vae.nearest_normal(
            _safe_indexing(rows.known, first), fixed=tuple(fixed), threshold=threshold
        )
    return found


def shown(cell: Any) -> str | None:
    """A cell as text, of a long one its beginning; None where it is missing.

    Examples
    --------
    >>> shown(912.40), shown(float("nan")), shown(pd.Timestamp("2026-03-01 09:30"))
    ('912.4', None, '2026-03-01 09:30:00')
    """
    return None if cell is None or pd.isna(cell) else cell_text(cell)


def _signed(difference: Any) -> str | None:
    text = shown(difference)
    if text is None:
        return None
    above = difference > type(difference)(0)
    return f"+{text}" if above else text.replace("-", "\N{MINUS SIGN}")


def _reasons(frame: pd.DataFrame, n_rows: int) -> list[tuple[Reason, ...]]:
    """The reasons of each row, by its place in the frame that was explained."""
    found: list[list[Reason]] = [[] for _ in range(n_rows)]
    for row, column, observed, expected, direction, sentence, *figures in zip(
        *(frame[name].tolist() for name in _REASON), strict=True
    ):
        share, surprisal, percentile = figures
        percentile = None if pd.isna(percentile) else percentile
        reason = Reason(column, shown(observed), expected, direction, sentence, share, surprisal, percentile)
        found[row].append(reason)
    return [tuple(of) for of in found]
