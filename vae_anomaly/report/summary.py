"""What there is to tell of scored rows, as plain values; nothing here knows of a page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import _safe_indexing

from vae_anomaly._params import Instance, Number, OneOf, Rule, check_params
from vae_anomaly.decision._labelled import Floats
from vae_anomaly.report._alerts import Listed
from vae_anomaly.report._card import model_card
from vae_anomaly.report._grouped import drivers_of
from vae_anomaly.report._history import histories
from vae_anomaly.report._pictures import check_matplotlib, pictures
from vae_anomaly.report._quality import column_notes
from vae_anomaly.report._rows import Rows
from vae_anomaly.report._scored import calibration_of, decision, scored, vae_of
from vae_anomaly.report.facts import Report, Scope

_NAME = (Instance((str,), "the name of a column"), OneOf((None,)))
_RULES: dict[str, tuple[Rule, ...]] = {
    "time": _NAME,
    "entity": _NAME,
    "segment": (Instance((str,), "a name"), OneOf((None,))),
    "n_reasons": (Number(1, integer=True),),
    "max_alerts": (Number(1, integer=True),),
    "n_nearest": (Number(0, integer=True),),
    "title": (Instance((str,), "text"),),
}
_HISTORY_COLUMNS = 3


@dataclass(frozen=True)
class Origin:
    """Where the rows and the model come from.

    Parameters
    ----------
    files : tuple of str
        Names of the files with the rows.
    model : str or None
        Name of the model file.
    versions : mapping of str to str
        What else the model card should name, such as the versions that made the model.

    Examples
    --------
    >>> Origin(files=("march.csv",), model="payments.vaea").model
    'payments.vaea'
    """

    files: tuple[str, ...] = ()
    model: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


def summarise(
    detector: Any,
    X: Any,
    *,
    groups: ArrayLike | None = None,
    segment: str | None = None,
    time: str | None = None,
    entity: str | None = None,
    n_reasons: int = 5,
    max_alerts: int = 5_000,
    n_nearest: int = 200,
    fixed: Sequence[str] = (),
    sources: Sequence[str] = (),
    title: str = "Alert report",
    origin: Origin | None = None,
    written: Any = None,
) -> Report:
    """Score rows, and gather all that a report tells of them.

    Parameters
    ----------
    detector : VAEDetector, or CalibratedDetector of one
        Fitted.
    X : DataFrame (pandas, polars, pyarrow) or array-like of shape (n_samples, n_features)
        Rows with the columns of fit. Other columns of a frame are shown, and not scored.
    groups : array-like of shape (n_samples,), optional
        Segment of each row, for a calibration with thresholds for segments.
    segment : str, optional
        What the segments are called.
    time : str, optional
        Column that says when a row came: dates, or seconds. By default the first column of dates that fit found.
    entity : str, optional
        Column that says whose row it is, such as a card: the other rows of an alert's entity are shown with it.
    n_reasons : int, default=5
        Reasons of an alert.
    max_alerts : int, default=5_000
        Alerts that are listed, the furthest above their thresholds; how many are left out is said.
    n_nearest : int, default=200
        Listed alerts, from the first on, for which the nearest normal row is looked for.
    fixed : sequence of str, default=()
        Columns that the nearest normal row must not change.
    sources : sequence of str, default=()
        Columns of which features were made, such as the card and the time of `BehaviorFeatures`: the page says so of
        them.
    title : str, default="Alert report"
        Heading.
    origin : Origin, optional
        Names of files and versions.
    written : frame or ndarray, optional
        The same rows as they should be shown, where that is not how the model reads them.

    Returns
    -------
    Report
        What `write_report` shows.

    Raises
    ------
    ParameterError
        A parameter is outside its domain, or the detector knows no reasons.
    TableError
        The rows are not such as those of fit, or the times are none.
    MissingExtraError
        matplotlib is not installed.

    Examples
    --------
    >>> from vae_anomaly import VAEDetector, make_transactions
    >>> from vae_anomaly.report import summarise
    >>> payments = make_transactions(1_000, random_state=0)
    >>> rows = payments[["timestamp", "amount", "country", "currency", "city"]]
    >>> detector = VAEDetector(max_steps=100, n_members=1).fit(rows)
    >>> report = summarise(detector, payments, entity="customer_id", max_alerts=5, n_nearest=1)
    >>> report.scope.n_rows, len(report.alerts), report.scope.time, len(report.columns)
    (1000, 5, 'timestamp', 19)
    """
    given = {"time": time, "entity": entity, "segment": segment, "title": title}
    numbers = {"n_reasons": n_reasons, "max_alerts": max_alerts, "n_nearest": n_nearest}
    check_params("a report", given | numbers, _RULES)
    check_matplotlib()
    vae, calibration = vae_of(detector), calibration_of(detector)
    rows = Rows.of(X, vae.schema_, written)
    time = rows.time_column(time)
    seconds = None if time is None else rows.seconds(time)
    if entity is not None:
        rows.cells(entity)  # a wrong name is told before the work
    found = scored(detector, rows.known, groups)
    if fixed:  # a wrong name is told where nothing alerts too
        vae.nearest_normal(_safe_indexing(rows.known, [0]), fixed=fixed, threshold=np.inf)
    listed = Listed.of(vae, rows, found, n_reasons, max_alerts, n_nearest, fixed)
    drivers = drivers_of(listed.reasons)
    shown = [driver.column for driver in drivers if driver.column not in (time, entity)][:_HISTORY_COLUMNS]
    at = None if time is None or seconds is None else (time, seconds)
    origin = origin or Origin()
    scope = Scope(
        files=tuple(os.path.basename(file) for file in origin.files),
        model=None if origin.model is None else os.path.basename(origin.model),
        n_rows=len(found.score),
        n_alerts=int(found.alert.sum()),
        n_listed=len(listed.chosen),
        n_nearest=listed.n_nearest,
        decision=decision(detector),
        thresholds=(float(found.threshold.min()), float(found.threshold.max())),
        calibrated=calibration is not None,
        time=time,
        entity=entity,
        segment=(segment or "segment") if groups is not None else None,
        **_span(rows, time, seconds),
    )
    return Report(
        title=title,
        scope=scope,
        columns=column_notes(rows, sources),
        alerts=listed.alerts(time, entity, seconds),
        histories={} if entity is None else histories(rows, found, listed.chosen, entity, at, shown),
        history_columns=tuple(shown),
        drivers=drivers,
        patterns=listed.patterns,
        card=model_card(vae, calibration, origin.versions),
        pictures=pictures(found, seconds, calibration),
    )


def _span(rows: Rows, time: str | None, seconds: Floats | None) -> dict[str, Any]:
    """The first and the last time, as they are written, and how many there are not."""
    if time is None or seconds is None or np.isnan(seconds).all():
        return {"n_without_time": 0 if seconds is None else len(seconds)}
    first, last = rows.text(time, [int(np.nanargmin(seconds)), int(np.nanargmax(seconds))])
    return {"first": first, "last": last, "n_without_time": int(np.isnan(seconds).sum())}
