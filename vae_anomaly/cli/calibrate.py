"""``vae-anomaly calibrate``: a threshold in the operator's units, on rows that the model was not trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vae_anomaly.cli._options import (
    AsJson,
    Decimal,
    Delimiter,
    Device,
    Encoding,
    Files,
    Force,
    Model,
    NoHeader,
    Reading,
    check_model_target,
)
from vae_anomaly.cli._print import emit_json, note, show_text
from vae_anomaly.cli._wishes import check_needs, cost, rule_of
from vae_anomaly.cli.inspect import calibration_facts
from vae_anomaly.errors import ParameterError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from vae_anomaly._calibration_file import StoredCalibration
    from vae_anomaly.decision.calibration import ThresholdRule
    from vae_anomaly.decision.calibration_rows import CalibrationRows

_WISH = "The wish: one of them"
_WITH = "What goes with some of them"
_ROWS = "Columns of the calibration rows"
_TRUST = "that the model was not trained on the calibration rows is taken on trust: where it was, more rows will alert"


@dataclass(frozen=True)
class Columns:
    """Which columns of the file say what of the calibration rows, and how.

    Parameters
    ----------
    label, positive, negative : str or None
        Labels, and their value for anomalies or for normal rows.
    time, amount, segment : str or None
        Names of columns.
    contamination : float or None
        Share of anomalies assumed, where there are no labels.
    half_life : float or None
        Days in which the weight of a row halves.
    min_segment_rows : int
        Rows from which a segment has a threshold of its own.
    """

    label: str | None = None
    positive: str | None = None
    negative: str | None = None
    time: str | None = None
    amount: str | None = None
    segment: str | None = None
    contamination: float | None = None
    half_life: float | None = None
    min_segment_rows: int = 200

    @property
    def named(self) -> list[str]:
        """The columns that are needed beside the scores."""
        names = (self.label, self.time, self.amount, self.segment)
        return list(dict.fromkeys(name for name in names if name is not None))


def calibrate(
    model: Model,
    files: Files,
    false_alarm_rate: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Most normal rows that alert, as an exact bound.", rich_help_panel=_WISH),
    ] = None,
    alerts_per_day: Annotated[
        float | None,
        typer.Option(metavar="N", help="Alerts a day on average (with --time-column).", rich_help_panel=_WISH),
    ] = None,
    alerts_per_hour: Annotated[
        float | None,
        typer.Option(metavar="N", help="Alerts an hour on average (with --time-column).", rich_help_panel=_WISH),
    ] = None,
    alerts_per_rows: Annotated[
        tuple[float, int] | None,
        typer.Option(metavar="N ROWS", help="Alerts in a number of rows on average.", rich_help_panel=_WISH),
    ] = None,
    discovery_rate: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Most alerts that are false, on average; decided for the rows that are scored together.",
            rich_help_panel=_WISH,
        ),
    ] = None,
    cost_missed: Annotated[
        str | None,
        typer.Option(
            metavar="COST|amount",
            help="Least cost, where an anomaly that does not alert costs this, or the row's own amount (with"
            " --cost-alarm, and --label or --prevalence).",
            rich_help_panel=_WISH,
        ),
    ] = None,
    f_beta: Annotated[
        float | None,
        typer.Option(metavar="BETA", help="Highest F-beta (with --label).", rich_help_panel=_WISH),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Least alerts that are anomalies (with --label).", rich_help_panel=_WISH),
    ] = None,
    recall: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Least anomalies that alert (with --label).", rich_help_panel=_WISH),
    ] = None,
    tail_rate: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Rows that alert, by a model of the tail: for rare rates.", rich_help_panel=_WISH
        ),
    ] = None,
    contamination_share: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Rows that alert.", rich_help_panel=_WISH)
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Of --false-alarm-rate (0.95 if not given).", rich_help_panel=_WITH),
    ] = None,
    by: Annotated[
        bool,
        typer.Option("--by", help="--discovery-rate whatever the rows' dependence.", rich_help_panel=_WITH),
    ] = False,
    cost_alarm: Annotated[
        float | None, typer.Option(metavar="COST", help="Of working an alert.", rich_help_panel=_WITH)
    ] = None,
    prevalence: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Anomalies among the rows to come, for the cost.", rich_help_panel=_WITH),
    ] = None,
    assumed_auc: Annotated[
        float | None,
        typer.Option(
            metavar="AUC", help="Of the ranking, for the cost without labels (0.9 if not given).", rich_help_panel=_WITH
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(metavar="COL", help="Labels; normal rows set the threshold then.", rich_help_panel=_ROWS),
    ] = None,
    positive: Annotated[
        str | None, typer.Option(metavar="VALUE", help="The label of anomalies.", rich_help_panel=_ROWS)
    ] = None,
    negative: Annotated[
        str | None, typer.Option(metavar="VALUE", help="The label of normal rows.", rich_help_panel=_ROWS)
    ] = None,
    time_column: Annotated[
        str | None, typer.Option(metavar="COL", help="Dates, or seconds.", rich_help_panel=_ROWS)
    ] = None,
    amount_column: Annotated[str | None, typer.Option(metavar="COL", help="Amounts.", rich_help_panel=_ROWS)] = None,
    segment_column: Annotated[
        str | None,
        typer.Option(
            metavar="COL",
            help="A threshold for each value that has rows enough, and one for the rest.",
            rich_help_panel=_ROWS,
        ),
    ] = None,
    min_segment_rows: Annotated[
        int, typer.Option(metavar="N", min=1, help="Rows that are enough for that.", rich_help_panel=_ROWS)
    ] = 200,
    assumed_contamination: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Anomalies among rows without labels, for --false-alarm-rate. A bet that all of them score highest:"
            " leave it out unless the ranking is nearly perfect.",
            rich_help_panel=_ROWS,
        ),
    ] = None,
    half_life: Annotated[
        float | None,
        typer.Option(
            metavar="DAYS", help="Let the weight of a row halve with age (with --time-column).", rich_help_panel=_ROWS
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="OUT.vaea", help="Write another model file; MODEL itself is rewritten otherwise."
        ),
    ] = None,
    device: Device = "auto",
    delimiter: Delimiter = None,
    encoding: Encoding = "utf-8",
    decimal: Decimal = ".",
    no_header: NoHeader = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Set the threshold of a model by what is wished for, on rows that it was not trained on.

    It goes into the model file, whose weights stay as they are. Then score
    adds p_value, risk_score and alert, and keeps to it.

    Rows that the model was trained on score too low to set a threshold: hold
    some out, such as the latest, with fit --hold-out.
    """
    n_alerts, n_rows = alerts_per_rows or (None, None)
    rule = rule_of(
        {
            "--false-alarm-rate": false_alarm_rate,
            "--alerts-per-day": alerts_per_day,
            "--alerts-per-hour": alerts_per_hour,
            "--alerts-per-rows": n_alerts,
            "ROWS of --alerts-per-rows": n_rows,
            "--discovery-rate": discovery_rate,
            "--cost-missed": cost(cost_missed),
            "--f-beta": f_beta,
            "--precision": precision,
            "--recall": recall,
            "--tail-rate": tail_rate,
            "--contamination-share": contamination_share,
            "--confidence": confidence,
            "--by": "by" if by else None,
            "--cost-alarm": cost_alarm,
            "--prevalence": prevalence,
            "--assumed-auc": assumed_auc,
        }
    )
    columns = Columns(
        *(label, positive, negative, time_column, amount_column, segment_column),
        *(assumed_contamination, half_life, min_segment_rows),
    )
    check_columns_given(rule, columns)
    reading = Reading(delimiter, encoding, decimal, no_header)
    stored = calibrate_file(model, files, rule, columns, reading, output=output, device=device, force=force)
    if as_json:
        emit_json({"model": str(output or model), **(calibration_facts(stored) or {})})
        return
    show_text(f"{stored.calibration.guarantee}\nwritten      {output or model}")


def check_columns_given(rule: ThresholdRule, columns: Columns) -> None:
    """Raise a `ParameterError` unless the options name what the rule needs, and nothing that is of no use."""
    check_needs(rule, {"y": columns.label, "time": columns.time, "amount": columns.amount})
    if columns.positive is not None and columns.negative is not None:
        raise ParameterError("--positive and --negative say the same thing twice: give one of them.")
    needs = (
        ("--positive or --negative", "--label COL", columns.positive or columns.negative, columns.label),
        ("--half-life", "--time-column COL", columns.half_life, columns.time),
    )
    for option, needed, value, there in needs:
        if value is not None and there is None:
            raise ParameterError(f"{option} needs {needed}: found none. Give it, or leave {option} out.")
    if columns.half_life is not None and not 0 < columns.half_life < 1e5:
        raise ParameterError(f"--half-life must be a number of days in (0, 100,000). Got {columns.half_life} instead.")
    if columns.contamination is not None and not 0 <= columns.contamination <= 0.5:
        raise ParameterError(
            f"--assumed-contamination must be a share in [0, 0.5]. Got {columns.contamination} instead."
        )
    if columns.contamination is not None and columns.label is not None:
        raise ParameterError(
            "--assumed-contamination is of rows without labels, found --label too. Leave one of them out."
        )


def calibrate_file(
    model: Path,
    files: list[str],
    rule: ThresholdRule,
    columns: Columns,
    reading: Reading,
    *,
    output: Path | None = None,
    device: str = "auto",
    force: bool = False,
) -> StoredCalibration:
    """Read, score, calibrate, write; return the calibration."""
    from vae_anomaly.cli._narrow import scores_and_columns
    from vae_anomaly.cli._past import past_of
    from vae_anomaly.cli._rows import check_columns
    from vae_anomaly.table.io import check_target

    if output is not None:
        check_target(output, force=force)
    check_model_target(output or model, files)
    stream = reading.stream(files)
    check_columns(stream.schema.empty_table(), columns.named)
    from vae_anomaly._calibration_file import StoredCalibration
    from vae_anomaly.artifact import read_artifact, write_artifact
    from vae_anomaly.decision.segments import calibrate_segments
    from vae_anomaly.detector import VAEDetector

    artifact = read_artifact(model)
    past = past_of(artifact, reading)
    detector = VAEDetector.load(model, device=device)
    score, beside = scores_and_columns(detector, stream, past, columns.named, reading)
    if len(score) == detector.schema_.n_rows:
        note(f"the model was trained on {len(score):,} rows too: if on these, calibrate on others")
    rows = calibration_rows(score, beside, columns, reading)
    calibration = calibrate_segments(rule, rows, columns.min_segment_rows)
    calibration = replace(calibration, guarantee=calibration.guarantee.with_remarks(_TRUST))
    stored = StoredCalibration(calibration, columns.segment, columns.min_segment_rows, columns.contamination)
    manifest, weights = stored.beside(artifact.manifest, artifact.weights)
    replacing = output is None or force
    write_artifact(output or model.resolve(), manifest, weights, overwrite=replacing, behavior=artifact.behavior)
    return stored


def calibration_rows(
    score: NDArray[np.float64], table: pa.Table, columns: Columns, reading: Reading
) -> CalibrationRows:
    """The scores of rows, and what the columns say of them."""
    from datetime import timedelta

    from vae_anomaly.cli._rows import amounts, segments, times
    from vae_anomaly.decision.calibration_rows import CalibrationRows
    from vae_anomaly.decision.conformal import recency_weights

    time = times(table, columns.time, reading) if columns.time else None
    weight = None
    if time is not None and columns.half_life is not None:
        weight = recency_weights(time, timedelta(days=columns.half_life))
    beside: dict[str, Any] = {
        "y": _labels(table, columns) if columns.label else None,
        "amount": amounts(table, columns.amount, reading) if columns.amount else None,
        "group": segments(table, columns.segment) if columns.segment else None,
    }
    return CalibrationRows.from_arrays(score, time=time, weight=weight, contamination=columns.contamination, **beside)


def _labels(table: pa.Table, columns: Columns) -> Any:
    """Which rows are anomalies; a value that no row has may be misspelt, so that is said."""
    from vae_anomaly.cli._rows import truth

    anomalous = truth(table, str(columns.label), positive=columns.positive, negative=columns.negative)
    if columns.positive is not None and not anomalous.any():
        note(f"no row has {columns.positive!r} in column {columns.label!r}: every row counts as normal")
    if columns.negative is not None and anomalous.all():
        note(f"no row has {columns.negative!r} in column {columns.label!r}: every row counts as an anomaly")
    return anomalous
