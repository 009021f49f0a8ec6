"""A reason in one plain sentence."""

from __future__ import annotations

from typing import Any

from vae_anomaly.table.columns import Column

AS_EXPECTED, UNUSUAL, TOO_HIGH, TOO_LOW = "as expected", "unusual value", "too high", "too low"
NEVER_SEEN, MISSING, PRESENT = "unseen", "unexpectedly missing", "unexpectedly present"
"""The directions."""

HIGH = 95.0
"""Percentile of a surprisal from which on even what is usual for a row is no longer called as expected."""

_SELDOM = 0.05
_LONGEST = 60


def sentence(name: str, cell: Any, usual: str, direction: str, *, within: bool) -> str:
    """A cell beside what is usual for its row.

    Parameters
    ----------
    name : str
        Of the column.
    cell : object
        As the table has it.
    usual : str
        What is usual for this row.
    direction : str
        How the cell lies to it.
    within : bool
        Whether the cell is in what is usual for it by itself.

    Examples
    --------
    >>> sentence("amount", 912.4, "8 to 61", TOO_HIGH, within=False)
    'amount 912.4 where 8 to 61 is usual for this row'
    >>> sentence("channel", "qr_code", "chip (71 %), online (20 %)", NEVER_SEEN, within=False)
    'channel qr_code was never seen in training, where chip (71 %), online (20 %) is usual for this row'
    >>> sentence("via", "web", "web (60 %)", UNUSUAL, within=True)
    'via web is among what is usual for this row (web (60 %)), but surprises more than in 95 % of normal rows'
    """
    observed = f"{name} {cell_text(cell)}"
    if direction == AS_EXPECTED:
        return f"{observed} is usual for this row ({usual})"
    if direction == NEVER_SEEN:
        return f"{observed} was never seen in training, where {usual} is usual for this row"
    if within:
        by = f"surprises more than in {HIGH:.0f} % of normal rows"
        return f"{observed} is among what is usual for this row ({usual}), but {by}"
    return f"{observed} where {usual} is usual for this row"


def of_gap(column: Column, cell: Any, n_rows: float) -> tuple[str, str]:
    """Direction and sentence where what was judged is the gap, or that there is none: by its share in training alone.

    Parameters
    ----------
    column : Column
        The column.
    cell : object
        As the table has it; None for a gap.
    n_rows : float
        Rows seen in fit.

    Examples
    --------
    >>> from vae_anomaly.table.columns import IdentifierColumn
    >>> of_gap(IdentifierColumn("device", "string", 12.0, n_distinct=5), None, 4_000)
    ('unexpectedly missing', 'device is missing, as in 0.3 % of the training rows')
    """
    share = min(1.0, column.n_missing / n_rows)
    if cell is not None:
        share, is_there = 1 - share, f"present ({cell_text(cell)})"
    else:
        is_there = "missing"
    direction = (MISSING if cell is None else PRESENT) if share <= _SELDOM else AS_EXPECTED
    rows = f"{100 * share:.2g} %" if share else "none"
    return direction, f"{column.name} is {is_there}, as in {rows} of the training rows"


def cell_text(cell: Any) -> str:
    """A cell as a sentence has it, truth as the model's levels spell it: of a long text its beginning.

    Examples
    --------
    >>> cell_text(912.40), cell_text("chip"), cell_text(True), len(cell_text("x" * 1_000))
    ('912.4', 'chip', 'true', 61)
    """
    text = f"{cell:.10g}" if isinstance(cell, float) else str(cell).lower() if isinstance(cell, bool) else str(cell)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
