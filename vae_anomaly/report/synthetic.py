"""The quality of synthetic rows as one HTML page that needs nothing but itself."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pandas as pd

from vae_anomaly.report.render import _environment, _hash, _source, check_jinja2

if TYPE_CHECKING:
    from vae_anomaly.synthetic import SyntheticQuality

_MOST_PAIRS = 50


def render_quality(found: SyntheticQuality, made: datetime | None = None) -> str:
    """Write the quality of synthetic rows as HTML.

    Parameters
    ----------
    found : SyntheticQuality
        What to show.
    made : datetime, optional
        When; now by default. The same figures of the same time are the same page, to the last byte.

    Returns
    -------
    str
        The page. It holds names of columns and figures, and no cell of any row.

    Raises
    ------
    MissingExtraError
        jinja2 is not installed.

    Examples
    --------
    >>> from vae_anomaly import make_transactions, synthetic_quality
    >>> rows = make_transactions(400, random_state=0)[["amount", "channel"]]
    >>> render_quality(synthetic_quality(rows[:200], rows[200:])).splitlines()[0]
    '<!doctype html>'
    """
    check_jinja2()
    environment = _environment()
    style = _source(environment, "report.css")
    moment = datetime.now().astimezone() if made is None else made
    pairs = found.pairs.nlargest(_MOST_PAIRS, "difference")
    return environment.get_template("synthetic.html").render(
        found=found,
        figures=_lines(found.to_frame()),
        columns=_lines(found.columns.sort_values("distance", ascending=False, kind="stable")),
        pairs=_lines(pairs),
        n_left_out=len(found.pairs) - len(pairs),
        beside=found.privacy.beside,
        style=style,
        style_hash=_hash(style),
        made=f"{moment:%Y-%m-%d %H:%M}",
    )


def _lines(frame: pd.DataFrame) -> list[dict[str, object]]:
    """The rows of a table; None where there is no figure."""
    found: list[dict[str, object]] = frame.astype(object).where(frame.notna(), None).to_dict("records")  # type: ignore[assignment]
    return found
