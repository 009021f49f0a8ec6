"""Pictures of a report, as SVG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from vae_anomaly.decision._labelled import Floats
from vae_anomaly.decision.budget import AlertBudget
from vae_anomaly.decision.calibration import Calibration
from vae_anomaly.errors import MissingExtraError
from vae_anomaly.plots import AlertsPerPeriodDisplay, ScoreDistributionDisplay
from vae_anomaly.report._quality import counted
from vae_anomaly.report._scored import Scored
from vae_anomaly.report.facts import Picture

_SIZE = (6.8, 3.4)
_DAY = 86_400.0
_FEW_DAYS = 2


def check_matplotlib() -> None:
    """Raise a `MissingExtraError` if there can be no pictures."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("matplotlib", "report") from error


def pictures(scored: Scored, seconds: Floats | None, calibration: Calibration | None) -> tuple[Picture, ...]:
    """How the scores are spread, and where times are known how many alerts each day or hour had.

    Parameters
    ----------
    scored : Scored
        All rows.
    seconds : float64 ndarray of shape (n_rows,) or None
        When each row came, since 1970, NaN where that is missing.
    calibration : Calibration or None
        By which they were decided.
    """
    found = [_scores(scored, calibration)]
    if seconds is not None and not np.isnan(seconds).all():
        found.append(_alerts(scored, seconds, calibration))
    return tuple(found)


def _scores(scored: Scored, calibration: Calibration | None) -> Picture:
    low, high = float(scored.threshold.min()), float(scored.threshold.max())
    marks = {"threshold": low} if low == high else {"lowest threshold": low, "highest threshold": high}
    with _axes() as (axes, drawing):
        ScoreDistributionDisplay.from_predictions(
            scored.score,
            calibration_score=None if calibration is None else calibration.score,
            thresholds=marks,
            unit="nats",
            ax=axes,
        )
    low, middle, high, highest = np.round(np.percentile(scored.score, [5, 50, 95, 100]), 1) + 0.0  # no "-0.0"
    text = (
        f"Anomaly scores of {counted(len(scored.score))}: half are below {middle:.1f} nats, 90 % lie between "
        f"{low:.1f} and {high:.1f}, and the highest is {highest:.1f}."
    )
    return Picture("Anomaly scores", text, drawing[0])


def _alerts(scored: Scored, seconds: Floats, calibration: Calibration | None) -> Picture:
    known = ~np.isnan(seconds)
    time = np.floor(seconds[known]).astype(np.int64).astype("datetime64[s]")
    per = "day" if np.ptp(seconds[known]) > _FEW_DAYS * _DAY else "hour"
    rule = None if calibration is None else calibration.rule
    budget = rule.n if isinstance(rule, AlertBudget) and rule.per == per else None
    with _axes() as (axes, drawing):
        display = AlertsPerPeriodDisplay.from_predictions(scored.alert[known], time, per=per, budget=budget, ax=axes)
    counts = display.counts.n_alerts
    text = f"On average {counts.mean():.1f} alerts per {per}, at most {counts.max():,}, in {counted(len(counts), per)}."
    if not known.all():
        text += f" Left out: {counted(int((~known).sum()))} without a time."
    return Picture(f"Alerts per {per}", text, drawing[0])


@contextmanager
def _axes() -> Iterator[tuple[Any, list[str]]]:
    """Axes of a new picture, and a list that has the picture as SVG when the block ends."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    drawing: list[str] = []
    with mpl.rc_context({"svg.hashsalt": "vae_anomaly", "font.size": 10}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the picture has no names from the table but for these
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        yield axes, drawing
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    drawing.append(stream.getvalue())
