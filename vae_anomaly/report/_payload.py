"""The alerts as JSON values for the script of the page: column by column, levels that repeat named once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vae_anomaly.report._visible import all_spelt
from vae_anomaly.report.facts import History, Nearest, Report

MOST_CHARACTERS = 100_000
_REASON = ("column", "observed", "expected", "direction", "sentence", "share", "percentile")
_DIGITS = 8
_SIMPLE = ("row", "score", "threshold", "p_value", "risk", "segment", "entity", "time", "moment", "pattern", "rest")


def payload(report: Report) -> dict[str, Any]:
    """What the script of the page reads.

    Parameters
    ----------
    report : Report
        Everything.

    Returns
    -------
    dict
        Of JSON values; no number is infinite or NaN.
    """
    alerts = report.alerts
    reasons = [reason for alert in alerts for reason in alert.reasons]
    of_cells = zip(*(alert.cells for alert in alerts), strict=True) if alerts else [[] for _ in report.columns]
    data = {
        "columns": [column.name for column in report.columns][: len(alerts[0].cells) if alerts else None],
        "cells": [_coded([_cut(cell) for cell in cells]) for cells in of_cells],
        "alerts": {name: [_plain(getattr(alert, name)) for alert in alerts] for name in _SIMPLE},
        "reasons": {
            "n": [len(alert.reasons) for alert in alerts],
            **{name: _coded([_plain(getattr(reason, name)) for reason in reasons]) for name in _REASON},
        },
        "nearest": [_nearest(alert.nearest) for alert in alerts],
        "histories": {name: _history(history) for name, history in report.histories.items()},
        "history_columns": list(report.history_columns),
        "patterns": [pattern.name for pattern in report.patterns],
        "time": report.scope.time,
        "entity": report.scope.entity,
        "segment": report.scope.segment,
        "calibrated": report.scope.calibrated,
    }
    return {name: all_spelt(values) for name, values in data.items()}


def _coded(values: Sequence[Any]) -> dict[str, Any]:
    """Values, or where many repeat each once and which it is."""
    levels = {value: place for place, value in enumerate(dict.fromkeys(values))}
    if len(levels) > len(values) // 2:
        return {"values": list(values)}
    return {"levels": list(levels), "codes": [levels[value] for value in values]}


def _plain(value: Any) -> Any:
    """A number to the digits that are shown, a text as it is."""
    if not isinstance(value, float):
        return value
    return None if value != value or value in (float("inf"), float("-inf")) else float(f"{value:.{_DIGITS}g}")


def _cut(cell: str | None) -> str | None:
    """A cell, of one that no page can hold its beginning, and how much that is.

    Examples
    --------
    >>> _cut("x" * 250_000).lstrip("x")
    '… (the first 100,000 of 250,000 characters)'
    """
    if cell is None or len(cell) <= MOST_CHARACTERS:
        return cell
    return f"{cell[:MOST_CHARACTERS]}… (the first {MOST_CHARACTERS:,} of {len(cell):,} characters)"


def _nearest(nearest: Nearest | None) -> dict[str, Any] | None:
    if nearest is None:
        return None
    changes = [[change.column, change.observed, change.suggested, change.difference] for change in nearest.changes]
    return {"changes": changes, "score": _plain(nearest.new_score), "reached": nearest.reached}


def _history(history: History) -> dict[str, Any]:
    visits = history.visits
    return {
        "n_rows": history.n_rows,
        "n_alerts": history.n_alerts,
        "row": [visit.row for visit in visits],
        "time": [visit.time for visit in visits],
        "moment": [visit.moment for visit in visits],
        "score": [_plain(visit.score) for visit in visits],
        "alert": [int(visit.alert) for visit in visits],
        "cells": [[_cut(cell) for cell in visit.cells] for visit in visits],
    }
