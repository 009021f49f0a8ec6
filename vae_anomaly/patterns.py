"""What many alerts have in common: which columns drive them, and which of them are of one kind.

Both start from the lines of `VAEDetector.explain`. A line "as expected", or of a cell that surprises no more than half
of the normal rows do in its column, is no reason for an alert, and a line of no column says nothing of columns: they
are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from vae_anomaly._params import Number, OneOf, check_params
from vae_anomaly._profiles import Floats, Places, Profiles
from vae_anomaly._telling import AS_EXPECTED
from vae_anomaly.decision.calibration_rows import as_segments, as_times
from vae_anomaly.decision.periods import UNITS
from vae_anomaly.errors import ParameterError, TableError

_N_REASONS = (Number(1, integer=True), OneOf((None,)))
_DRIVERS = {"n_reasons": _N_REASONS, "period": (OneOf((*UNITS, None)),)}
_PATTERNS = {"n_reasons": _N_REASONS, "distance": (Number(0, 1, open_low=True, open_high=True),)}
_NEEDED = ("row", "rank", "column", "direction", "share", "unusualness", "sentence")


def alert_drivers(
    reasons: pd.DataFrame, by: ArrayLike | None = None, *, period: str | None = None, n_reasons: int | None = 3
) -> pd.DataFrame:
    """Which columns drive alerts, in all or by segment, day or hour.

    Parameters
    ----------
    reasons : DataFrame
        What `VAEDetector.explain` says of the alerts.
    by : array-like of shape (n_alerts,), optional
        Segment of each alert, such as its country, or with `period` its date or time; in the order of their rows.
    period : {"day", "hour"}, optional
        Count by days or hours of `by`.
    n_reasons : int or None, default=3
        Reasons of an alert that count; None takes all lines.

    Returns
    -------
    drivers : DataFrame
        A line for each column that is a reason, and segment; in each segment those that come first most often lead:

        - segment, day or hour: where `by` is given; alerts without a segment have a missing one.
        - n_alerts: alerts of the segment.
        - column: of the table.
        - n_first, rate_first: alerts in which it is the first reason, and their share of `n_alerts`.
        - n_among, rate_among: alerts in which it is among the reasons, and their share.
        - mean_share: nats that it adds to the anomaly score of these, on average.
        - direction: the commonest.

    Raises
    ------
    ParameterError
        A parameter is outside its domain.
    TableError
        `reasons` is not what `explain` gives, or `by` has not one label or time for each alert.

    Examples
    --------
    >>> reasons = pd.DataFrame(
    ...     {
    ...         "row": [0, 1, 2, 2],
    ...         "rank": [1, 1, 1, 2],
    ...         "column": ["amount", "amount", "country", "amount"],
    ...         "direction": ["too high", "too high", "unseen", "too low"],
    ...         "share": [9.0, 7.0, 5.0, 2.0],
    ...         "unusualness": [8.0, 6.0, 4.0, 1.0],
    ...         "sentence": ["amount 912.4 where 8 to 61 is usual for this row", "...", "...", "..."],
    ...     }
    ... )
    >>> alert_drivers(reasons)[["column", "n_first", "n_among", "mean_share", "direction"]]
        column  n_first  n_among  mean_share direction
    0   amount        2        3         6.0  too high
    1  country        1        1         5.0    unseen
    >>> alert_drivers(reasons, by=["web", "shop", "shop"])[["segment", "n_alerts", "column", "rate_first"]]
      segment  n_alerts   column  rate_first
    0    shop         2   amount         0.5
    1    shop         2  country         0.5
    2     web         1   amount         1.0
    """
    check_params("alert_drivers", {"period": period, "n_reasons": n_reasons}, _DRIVERS)
    rows, lines = _lines(reasons, n_reasons)
    place, segments = pd.factorize(_segments(by, period, len(rows)), sort=True, use_na_sentinel=False)
    lines = lines.assign(segment=place[np.searchsorted(rows, lines["row"])], first=lines["rank"] == 1)
    of_column = lines.groupby(["segment", "column"], sort=False)
    drivers = of_column.agg(n_first=("first", "sum"), n_among=("first", "size"), mean_share=("share", "mean"))
    drivers = drivers.join(_commonest(lines)).reset_index()
    n_alerts = np.bincount(place, minlength=len(segments))[drivers["segment"]]
    drivers.insert(1, "n_alerts", n_alerts)
    drivers.insert(4, "rate_first", drivers["n_first"] / n_alerts)
    drivers.insert(6, "rate_among", drivers["n_among"] / n_alerts)
    leading = ["segment", "n_first", "n_among", "column"]
    drivers = drivers.sort_values(leading, ascending=[True, False, False, True], ignore_index=True)
    if by is None:
        return drivers.drop(columns="segment")
    return drivers.assign(segment=segments[drivers["segment"]]).rename(columns={"segment": period or "segment"})


@dataclass(frozen=True, eq=False)
class AlertPatterns:
    """Alerts of one kind, grouped.

    Parameters
    ----------
    rows : intp ndarray of shape (n_alerts,)
        Their rows, rising.
    labels : intp ndarray of shape (n_alerts,)
        The pattern of each, from 1, which has the most alerts.
    table : DataFrame
        A line for each pattern:

        - pattern: its number; n_alerts: how many alerts it has.
        - columns, directions: what weighs most in their mean profile, down to a third of the heaviest, as tuples of
          one length; empty where no column stands out.
        - sentence: the reasons of the most typical alert; row: its place; index: its label, where `reasons` has one.
        - amount: what the alerts sum up to, where amounts are given.
    """

    rows: Places
    labels: Places
    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)


def alert_patterns(
    reasons: pd.DataFrame, *, n_reasons: int | None = 3, distance: float = 0.5, amount: ArrayLike | None = None
) -> AlertPatterns:
    """Group alerts with like reasons, so that an analyst works a pattern once.

    The profile of an alert has for each column and direction among its reasons how unusual it is, and is scaled to
    length one. Alerts whose reasons name the same columns and directions, the same one first, are one kind, with their
    mean profile; kinds are joined while the cosine distance of their profiles is small, on average over the pairs. The
    same alerts get the same patterns in any order.

    Parameters
    ----------
    reasons : DataFrame
        What `VAEDetector.explain` says of the alerts.
    n_reasons : int or None, default=3
        Reasons of an alert that count; None takes all lines.
    distance : float, default=0.5
        Cosine distance, in (0, 1), up to which profiles are joined: the higher, the fewer patterns. Two alerts with
        one reason in common, and another each, all equally unusual, are 0.5 apart.
    amount : array-like of shape (n_alerts,), optional
        What each alert is worth, in the order of their rows, to be added up; a missing amount adds nothing.

    Returns
    -------
    AlertPatterns
        The pattern of each alert, and a table of the patterns.

    Raises
    ------
    ParameterError
        A parameter is outside its domain.
    TableError
        `reasons` is not what `explain` gives, or `amount` has not one number for each alert.

    Notes
    -----
    Average linkage is of Sokal and Michener (1958), "A statistical method for evaluating systematic relationships".
    Where there are more than 2,000 kinds, the rare ones are told by their strongest reason alone: time and memory stay
    within bounds for any number of alerts.

    Examples
    --------
    >>> import numpy as np
    >>> from vae_anomaly import VAEDetector
    >>> rng = np.random.default_rng(0)
    >>> shop = rng.integers(0, 3, 2_000)
    >>> rows = pd.DataFrame({"amount": rng.gamma(9, 3 + 6 * shop), "shop": np.array(["a", "b", "c"])[shop]})
    >>> detector = VAEDetector(max_steps=100, n_members=1).fit(rows)
    >>> odd = rows[:5].assign(amount=[900.0, 70.0, 1200.0, 1100.0, 80.0], shop=["a", "x", "b", "c", "y"])
    >>> patterns = alert_patterns(detector.explain(odd), amount=odd["amount"])
    >>> patterns.labels
    array([1, 2, 1, 1, 2])
    >>> patterns.table[["pattern", "n_alerts", "columns", "directions", "amount"]]
       pattern  n_alerts    columns   directions  amount
    0        1         3  (amount,)  (too high,)  3200.0
    1        2         2    (shop,)    (unseen,)   150.0
    """
    check_params("alert_patterns", {"n_reasons": n_reasons, "distance": distance}, _PATTERNS)
    rows, lines = _lines(reasons, n_reasons)
    profiles = Profiles.of_lines(lines, rows)
    labels = profiles.patterns(distance)
    table = pd.DataFrame({"pattern": np.arange(1, labels.max(initial=0) + 1)})
    table["n_alerts"] = np.bincount(labels, minlength=len(table) + 1)[1:]
    marks = profiles.marks(labels)
    table["columns"] = [tuple(column for column, _ in of) for of in marks]
    table["directions"] = [tuple(direction for _, direction in of) for of in marks]
    typical = profiles.most_typical(labels)
    table["sentence"] = _sentences(reasons, lines, rows[typical])
    table["row"] = rows[typical]
    if "index" in reasons:
        table["index"] = reasons.drop_duplicates("row").set_index("row")["index"].reindex(rows[typical]).to_numpy()
    if amount is not None:
        table["amount"] = pd.Series(_amounts(amount, len(rows))).groupby(labels).sum().to_numpy()
    return AlertPatterns(rows, labels, table)


def _lines(reasons: pd.DataFrame, n_reasons: int | None) -> tuple[Places, pd.DataFrame]:
    """The rows of the alerts, and the lines that are reasons."""
    absent = [name for name in _NEEDED if name not in getattr(reasons, "columns", ())]
    if absent or not isinstance(reasons, pd.DataFrame):
        raise TableError(
            f"Expected the pandas frame that explain returns, found {type(reasons).__name__} without the columns "
            f"{absent}. Give its lines as they are."
        )
    if reasons.duplicated(["row", "rank"]).any():
        twice = reasons.loc[reasons.duplicated(["row", "rank"]), ["row", "rank"]].iloc[0]
        raise TableError(
            f"Expected each reason of a row once, found rank {twice['rank']} of row {twice['row']} several times. "
            "Explain all alerts in one call, or number the rows of further calls on."
        )
    counts = reasons["column"].notna() & (reasons["direction"] != AS_EXPECTED) & (reasons["unusualness"] > 0)
    if n_reasons is not None:
        counts &= reasons["rank"] <= n_reasons
    return np.unique(reasons["row"].to_numpy(dtype=np.intp)), reasons[counts]


def _segments(by: ArrayLike | None, period: str | None, n_alerts: int) -> NDArray[Any]:
    """The segment, or the beginning of the period, of each alert."""
    if by is None:
        if period is not None:
            raise ParameterError(
                f"The 'period' parameter of alert_drivers needs 'by', the time of each alert. Got {period!r} alone."
            )
        return np.zeros(n_alerts, dtype=np.intp)
    _check_length("by", by, n_alerts)
    if period is None:
        return as_segments(by, name="by")
    return as_times(by, name="by").astype(f"datetime64[{UNITS[period]}]").astype("datetime64[s]")


def _amounts(amount: ArrayLike, n_alerts: int) -> Floats:
    _check_length("amount", amount, n_alerts)
    try:
        return np.asarray(amount, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TableError(f"'amount' must hold numbers: found others ({error}). Convert them.") from error


def _check_length(name: str, values: ArrayLike, n_alerts: int) -> None:
    if np.shape(values) != (n_alerts,):
        raise TableError(
            f"{name!r} must have one entry for each of the {n_alerts} alerts, in the order of their rows: found shape "
            f"{np.shape(values)}. Take the entries of the rows that were explained."
        )


def _commonest(lines: pd.DataFrame) -> pd.Series:
    """The direction that each column has most often in each segment; of equal ones the first in the alphabet."""
    keys = ["segment", "column"]
    counted = lines.groupby([*keys, "direction"]).size().rename("n").reset_index()
    counted = counted.sort_values(["n", "direction"], ascending=[False, True]).drop_duplicates(keys)
    return counted.set_index(keys)["direction"]


def _sentences(reasons: pd.DataFrame, lines: pd.DataFrame, rows: Places) -> NDArray[Any]:
    """The reasons of each row in one text; where there are none, the sentence of its first line."""
    lines = lines[lines["row"].isin(rows)].sort_values("rank")
    told = lines.groupby("row")["sentence"].agg("; ".join)
    first = reasons[reasons["row"].isin(rows)].sort_values("rank").drop_duplicates("row").set_index("row")["sentence"]
    return np.asarray(told.reindex(rows).fillna(first), dtype=object)
