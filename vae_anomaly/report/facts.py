"""What a report says: plain values, with nothing of how a page shows them.

Cells are text as people read them, None where they are missing. Rows are counted from 0, as in `VAEDetector.explain`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Scope:
    """What was scored, and how it was decided.

    Parameters
    ----------
    files : tuple of str
        Base names of the files; empty for a table in memory.
    model : str or None
        Base name of the model file.
    n_rows, n_alerts, n_listed : int
        Rows, those that alert, and those of them that the report lists, the furthest above their thresholds.
    n_nearest : int
        Listed alerts, from the first on, for which the nearest normal row was looked for.
    decision : str
        By what a row alerts, in words.
    thresholds : tuple of float
        The lowest and the highest threshold of a row, in nats: equal without segments.
    calibrated : bool
        Whether there are p-values and risk scores.
    time, entity, segment : str or None
        The columns of the time, of the entity whose history is shown, and of the segment.
    first, last : str or None
        The earliest and the latest time.
    n_without_time : int
        Rows whose time is missing.
    """

    files: tuple[str, ...]
    model: str | None
    n_rows: int
    n_alerts: int
    n_listed: int
    n_nearest: int
    decision: str
    thresholds: tuple[float, float]
    calibrated: bool
    time: str | None = None
    entity: str | None = None
    segment: str | None = None
    first: str | None = None
    last: str | None = None
    n_without_time: int = 0

    @property
    def n_left_out(self) -> int:
        """Alerts that the report does not list."""
        return self.n_alerts - self.n_listed


@dataclass(frozen=True)
class Reason:
    """A reason of an alert, as a line of `VAEDetector.explain` has it."""

    column: str
    observed: str | None
    expected: str
    direction: str
    sentence: str
    share: float
    surprisal: float
    percentile: float | None


@dataclass(frozen=True)
class Change:
    """A change towards the nearest normal row, as a line of `nearest_normal` has it."""

    column: str
    observed: str | None
    suggested: str | None
    difference: str | None


@dataclass(frozen=True)
class Nearest:
    """What would have to change for an alert to be none.

    Parameters
    ----------
    changes : tuple of Change
        In the order in which they matter.
    new_score : float
        The anomaly score after all of them, in nats.
    reached : bool
        Whether the row would no longer alert.
    """

    changes: tuple[Change, ...]
    new_score: float
    reached: bool


@dataclass(frozen=True)
class Alert:
    """A row that alerts.

    Parameters
    ----------
    row : int
        Its place in the table, from 0.
    score, threshold : float
        In nats.
    p_value, risk : float or None
        None without calibration.
    segment, entity, time : str or None
        Its cells of these columns.
    moment : float or None
        The time in seconds since 1970, to sort by.
    pattern : int
        Place of its pattern in the report.
    reasons : tuple of Reason
        The most unusual first.
    nearest : Nearest or None
        None where it was not looked for.
    cells : tuple of (str or None)
        The whole row.
    """

    row: int
    score: float
    threshold: float
    p_value: float | None
    risk: float | None
    segment: str | None
    entity: str | None
    time: str | None
    moment: float | None
    pattern: int
    reasons: tuple[Reason, ...]
    nearest: Nearest | None
    cells: tuple[str | None, ...]

    @property
    def rest(self) -> float:
        """Nats of the score that belong to none of the reasons."""
        return self.score - sum(reason.share for reason in self.reasons)


@dataclass(frozen=True)
class Visit:
    """One row of an entity."""

    row: int
    time: str | None
    moment: float | None
    score: float
    alert: bool
    cells: tuple[str | None, ...]


@dataclass(frozen=True)
class History:
    """The rows of one entity, in the order of time.

    Parameters
    ----------
    n_rows, n_alerts : int
        All of the entity.
    visits : tuple of Visit
        Those nearest to its alerts, where there are too many.
    """

    n_rows: int
    n_alerts: int
    visits: tuple[Visit, ...]


@dataclass(frozen=True)
class Driver:
    """How often a column is a reason.

    Parameters
    ----------
    n_first, n_among : int
        Alerts of which it is the first reason, and among the reasons.
    first_rate, among_rate : float
        The same as shares of the listed alerts.
    nats : float
        What it adds to the scores of these, on average.
    direction : str
        The commonest.
    """

    column: str
    n_first: int
    n_among: int
    first_rate: float
    among_rate: float
    nats: float
    direction: str


@dataclass(frozen=True)
class Pattern:
    """Alerts with like reasons.

    Parameters
    ----------
    name : str
        The columns and directions that they share.
    n_alerts : int
        How many they are.
    highest : float
        The highest score among them, in nats.
    example : str
        The reasons of the most typical of them.
    row : int
        The row of that one.
    """

    name: str
    n_alerts: int
    highest: float
    example: str
    row: int


@dataclass(frozen=True)
class ColumnNote:
    """What a column of the table is to the model, and what is odd about it.

    Parameters
    ----------
    name, kind : str
        Of the column; the kind is "not used" where the model does not know it, and "source" where it knows it by
        features alone.
    missing, missing_in_training : float or None
        Shares of the rows.
    remarks : tuple of str
        What differs from training; empty where nothing does.
    """

    name: str
    kind: str
    missing: float
    missing_in_training: float | None
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Card:
    """The model card: titled lists of names and values, and the limits in words."""

    sections: Mapping[str, tuple[tuple[str, str], ...]]
    limits: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """A picture as SVG.

    Parameters
    ----------
    title, text, svg : str
        Heading, what it shows in words, and the picture.
    """

    title: str
    text: str
    svg: str


@dataclass(frozen=True)
class Report:
    """Everything that the page shows; made by `summarise`.

    Parameters
    ----------
    title : str
        Heading.
    scope : Scope
        What was scored.
    columns : tuple of ColumnNote
        Every column of the table, in its order, as `Alert.cells` has them.
    alerts : tuple of Alert
        The furthest above its threshold first.
    histories : mapping of str to History
        Of each entity with a listed alert.
    history_columns : tuple of str
        The columns whose cells the visits have.
    drivers : tuple of Driver
        The column that is most often the first reason first.
    patterns : tuple of Pattern
        The largest first.
    card : Card
        The model card.
    pictures : tuple of Picture
        Scores, and alerts over time.
    """

    title: str
    scope: Scope
    columns: tuple[ColumnNote, ...]
    alerts: tuple[Alert, ...]
    histories: Mapping[str, History]
    history_columns: tuple[str, ...]
    drivers: tuple[Driver, ...]
    patterns: tuple[Pattern, ...]
    card: Card
    pictures: tuple[Picture, ...]
