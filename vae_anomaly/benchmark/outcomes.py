"""What became of a wish on later rows: figures, the one that the wish speaks of, and whether it was kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.benchmark.threshold_sets import Booleans, Floats, Times

Sense: TypeAlias = Literal["at most", "at least", "about", "best"]
"""What a wish wants of a figure; "best": as good as the best threshold in hindsight."""

_CONFIDENCE = 0.95
_UNITS = {"day": "D", "hour": "h"}


@dataclass(frozen=True, eq=False)
class Later:
    """Rows that are judged, in the order of time.

    Parameters
    ----------
    score : float64 ndarray of shape (n_rows,)
        Higher is more anomalous.
    y : bool ndarray of shape (n_rows,)
        True for a fraud.
    time : datetime64[ns] ndarray of shape (n_rows,)
        When each came.
    amount : float64 ndarray of shape (n_rows,)
        In one currency.
    period : str
        "day" or "hour".
    """

    score: Floats
    y: Booleans
    time: Times
    amount: Floats
    period: str

    def batches(self) -> list[NDArray[np.intp]]:
        """The rows of each period, empty ones left out."""
        _, starts = np.unique(self.time.astype(f"datetime64[{_UNITS[self.period]}]"), return_index=True)
        return np.split(np.arange(len(self.time)), starts[1:])


@dataclass(frozen=True)
class Figure:
    """A share, a mean or a cost, with bounds at 95 % each where there are any.

    Parameters
    ----------
    value, low, high : float or None
        None where it is not defined, such as the precision of no alert.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


def share_of(mask: Booleans, among: Booleans) -> Figure:
    """A share with its exact bounds (Clopper & Pearson 1934), as if rows were independent.

    Examples
    --------
    >>> figure = share_of(np.array([True, False, False, True]), np.array([True, True, False, False]))
    >>> figure.value, round(figure.low, 3), round(figure.high, 3)
    (0.5, 0.025, 0.975)
    """
    from scipy.stats import binomtest

    n, k = int(among.sum()), int((mask & among).sum())
    if not n:
        return Figure(None)
    found = binomtest(k, n).proportion_ci(confidence_level=2 * _CONFIDENCE - 1, method="exact")
    return Figure(k / n, float(found.low), float(found.high))


def mean_of(values: Floats) -> Figure:
    """A mean over periods with bounds by Student's t, which takes in that periods differ by more than chance.

    Examples
    --------
    >>> mean_of(np.array([4.0, 6.0])).value
    5.0
    """
    from scipy.stats import t

    if not len(values):
        return Figure(None)
    mean = float(values.mean())
    if len(values) == 1:
        return Figure(mean)
    spread = float(t.ppf(_CONFIDENCE, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Figure(mean, max(0.0, mean - spread), mean + spread)


def per_period(alerts: Booleans, later: Later) -> Figure:
    """Alerts in a period, on average over whole ones: the first and the last count if rows cover most of them."""
    counts = [int(alerts[rows].sum()) for rows in later.batches()]
    sizes = [len(rows) for rows in later.batches()]
    whole = [n for n, size in zip(counts, sizes, strict=True) if size >= np.median(sizes) / 2]
    return mean_of(np.array(whole, dtype=np.float64))


def per_rows(alerts: Booleans, n_rows: int) -> Figure:
    """Alerts among so many rows that follow each other, on average over whole pieces.

    Examples
    --------
    >>> per_rows(np.array([True, False, True, True, True]), 2).value
    1.5
    """
    pieces = len(alerts) // n_rows
    return mean_of(alerts[: pieces * n_rows].reshape(pieces, n_rows).sum(axis=1).astype(np.float64))


def false_discoveries(alerts: Booleans, later: Later) -> Figure:
    """The false-discovery rate: mean over batches of the share of genuine rows among the alerts, 0 without alerts."""
    shares = [float((alerts[rows] & ~later.y[rows]).sum() / max(1, alerts[rows].sum())) for rows in later.batches()]
    return mean_of(np.array(shares))


def cost_of(alerts: Booleans, later: Later, missed: float | str, alarm: float) -> float:
    """Cost a row: `alarm` for each alert, `missed` (or "amount", its own) for each fraud that is none.

    Examples
    --------
    >>> later = Later(np.zeros(2), np.array([True, False]), np.zeros(2, "M8[ns]"), np.array([70.0, 9.0]), "day")
    >>> cost_of(np.array([False, True]), later, "amount", 5.0)
    37.5
    """
    lost = later.amount if isinstance(missed, str) else np.full(len(alerts), float(missed))
    return float((alarm * alerts + lost * (later.y & ~alerts)).mean())


def f_beta(alerts: Booleans, later: Later, beta: float) -> float:
    """F-beta of the alerts (van Rijsbergen 1979).

    Examples
    --------
    >>> later = Later(np.zeros(2), np.array([True, False]), np.zeros(2, "M8[ns]"), np.ones(2), "day")
    >>> round(f_beta(np.array([True, True]), later, 1.0), 3)
    0.667
    """
    hits = int((alerts & later.y).sum())
    return float((1 + beta**2) * hits / (beta**2 * later.y.sum() + alerts.sum()))


def verdict(figure: Figure, asked: float, sense: Sense) -> str | None:
    """Whether a wish was kept, given what chance does to later rows too.

    Parameters
    ----------
    figure : Figure
        What happened.
    asked : float
        The wish.
    sense : "at most", "at least", "about" or "best"
        What it wants.

    Returns
    -------
    str or None
        "kept"; "by chance" where a limit was missed but lies within the bounds; "broken" where it does not. For
        "about": "kept" within the bounds, else "over" or "under". None for "best", and where there is no figure.

    Examples
    --------
    >>> [verdict(Figure(value, value - 1, value + 1), 3.0, "at most") for value in (2.0, 3.5, 5.0)]
    ['kept', 'by chance', 'broken']
    >>> [verdict(Figure(value, value - 1, value + 1), 3.0, "about") for value in (1.0, 3.5, 5.0)]
    ['under', 'kept', 'over']
    """
    if figure.value is None or sense == "best":
        return None
    low = figure.value if figure.low is None else figure.low
    high = figure.value if figure.high is None else figure.high
    if sense == "about":
        return "over" if asked < low else "under" if asked > high else "kept"
    met, within = (
        (figure.value <= asked, low <= asked) if sense == "at most" else (figure.value >= asked, high >= asked)
    )
    return "kept" if met else "by chance" if within else "broken"
