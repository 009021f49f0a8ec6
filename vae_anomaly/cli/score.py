"""``vae-anomaly score``: every row with its score, the most anomalous first if asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vae_anomaly.cli._options import (
    ERROR,
    AsJson,
    BadRows,
    Decimal,
    Delimiter,
    Device,
    Encoding,
    Files,
    Force,
    Model,
    NoHeader,
    Reading,
    Rejects,
    Resume,
    SpreadsheetSafe,
    check_apart,
    check_spreadsheet_safe,
)
from vae_anomaly.cli._print import emit_json, note, page_width, show_facts, show_table
from vae_anomaly.cli._wanted import Wanted
from vae_anomaly.errors import ParameterError

if TYPE_CHECKING:
    import pyarrow as pa

    from vae_anomaly._calibration_file import StoredCalibration
    from vae_anomaly.cli._rows import Scored
    from vae_anomaly.cli._score_run import ScoredFiles
    from vae_anomaly.detector import VAEDetector

REJECTED = 7
"""The exit code of a run that is finished, and has rejected rows."""

_TOP = 20
_COLUMNS_SHOWN = 6
_RANK_WIDTH, _COLUMN_WIDTH = 44, 22  # of what stands before the columns, and of one of them


def score(
    model: Model,
    files: Files,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="Write every column and row as it was, and anomaly_score and alert, of a calibrated model p_value and"
            " risk_score too: CSV (also .gz, .bz2, .zst) or Parquet by extension; - is standard output.",
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help=f"Print the N most anomalous rows ({_TOP} without -o).", show_default=False
        ),
    ] = None,
    device: Device = "auto",
    delimiter: Delimiter = None,
    encoding: Encoding = "utf-8",
    decimal: Decimal = ".",
    no_header: NoHeader = False,
    bad_rows: BadRows = ERROR,
    rejects: Rejects = None,
    spreadsheet_safe: SpreadsheetSafe = False,
    update_state: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.vaea",
            help="Of a model that knows the past of cards: write it once more, with these rows remembered, to score"
            " what comes after them. MODEL stays as it is.",
        ),
    ] = None,
    resume: Resume = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Score rows with a model: the higher, the more anomalous.

    Files may be larger than memory. OUT gets its name when it is whole; what an
    interrupted run did is kept beside it, and --resume goes on from there.
    """
    if output == "-" and (top or as_json):
        raise ParameterError("-o - writes the rows to standard output, so it goes with neither --top nor --json.")
    check_spreadsheet_safe(spreadsheet_safe, output)
    n_shown = top or (0 if output else _TOP)
    wanted = Wanted(output, rejects, bad_rows, n_shown, device, spreadsheet_safe, resume, force, update_state)
    from vae_anomaly.cli._score_run import run

    found = run(model, files, Reading(delimiter, encoding, decimal, no_header), wanted)
    remark(found, wanted)
    if output != "-":
        _show(found, wanted, as_json=as_json)
    if found.tally.rejected:
        raise typer.Exit(REJECTED)


def remark(found: ScoredFiles, wanted: Wanted) -> None:
    """Say what is no result."""
    if found.passed_through:
        note(f"passed through, unknown to the model: {', '.join(found.passed_through)}")
    for text in found.tally.remarks(None if found.stored is None else found.stored.segment_column):
        note(text)
    if found.tally.rejected:
        note(f"{found.tally.rejected:,} rows were not scored but rejected: {wanted.rejects_file} has them, and why")


def _show(found: ScoredFiles, wanted: Wanted, *, as_json: bool) -> None:
    tally = found.tally
    facts = {"rows": tally.rows, "alerts": tally.alerts, **decided_by(found.detector, found.stored)}
    if wanted.bad_rows != ERROR:
        facts |= {"rejected": tally.rejected, "missing_cells": sum(tally.emptied.values())}
    facts |= {"output": wanted.output} if wanted.output else {}
    if as_json:
        emit_json(facts | {"top": tally.top})
        return
    show_facts(facts | thresholds_in_words(facts))
    if tally.top:
        show_ranked(tally.top, f"The {len(tally.top)} most anomalous rows")


def score_files(
    model: Any,
    files: list[str],
    reading: Reading,
    *,
    output: str | None = None,
    device: str = "auto",
    force: bool = False,
    safe: bool = False,
) -> tuple[Scored, dict[str, Any]]:
    """Load, read, score, write; return the scored rows and by what they alert."""
    check_output(output, model, force=force)
    scored, detector, stored = scored_with_model(model, files, reading, device=device)
    if output is not None:
        write_rows(scored.as_read(), output, force=force, safe=safe)
    return scored, decided_by(detector, stored)


def check_output(output: str | None, model: Any, *, force: bool) -> None:
    """Raise an `OutputError` if rows cannot be written there, or would take the place of the model."""
    from vae_anomaly.table.io import check_target

    if output is not None:
        check_target(output, force=force)
        check_apart(output, [model], "the model")


def scored_with_model(
    model: Any, files: list[str], reading: Reading, *, device: str = "auto", reserved: Sequence[str] = ()
) -> tuple[Scored, VAEDetector, StoredCalibration | None]:
    """The rows of the files with their scores, and the detector and calibration of the model.

    Raises
    ------
    TableError
        A column has the name of one that scoring adds, or one of those `reserved`.
    """
    table = reading.tables(files)
    from vae_anomaly._calibration_file import stored_calibration
    from vae_anomaly.artifact import read_artifact
    from vae_anomaly.cli._past import past_of
    from vae_anomaly.cli._rows import check_free, score_rows
    from vae_anomaly.detector import VAEDetector

    check_free(table, reserved)
    artifact = read_artifact(model)
    stored, past = stored_calibration(artifact), past_of(artifact, reading)
    detector = VAEDetector.load(model, device=device)
    if past is None:
        return score_rows(detector, table, reading, stored), detector, stored
    scored = score_rows(detector, past.table(table), reading, stored)
    unknown = tuple(name for name in scored.passed_through if name not in past.used)
    return replace(scored, passed_through=unknown, made=tuple(past.made)), detector, stored


def write_rows(table: pa.Table, output: str, *, force: bool, safe: bool) -> None:
    """Write rows, and if asked so that no cell is a formula to a spreadsheet."""
    from vae_anomaly.table.io import write_table
    from vae_anomaly.table.spreadsheet import spreadsheet_safe

    write_table(spreadsheet_safe(table) if safe else table, output, force=force)


def decided_by(detector: VAEDetector, stored: StoredCalibration | None) -> dict[str, Any]:
    """The threshold, and of a calibrated model the rule and the thresholds of segments and of the rest."""
    if stored is None:
        return {"threshold": -float(detector.offset_)}
    calibration = stored.calibration
    own = {"segments": list(calibration.segments), "rest_threshold": calibration.of_rest.threshold}
    return {
        "threshold": calibration.threshold,
        "rule": repr(calibration.rule),
        **(own if calibration.segments else {}),
    }


def in_words(threshold: float | None) -> str:
    """What a threshold means.

    Examples
    --------
    >>> in_words(21.3456), in_words(None)
    ('alert above 21.35 nats', 'depends on the rows that are scored together')
    """
    return "depends on the rows that are scored together" if threshold is None else f"alert above {threshold:.2f} nats"


def thresholds_in_words(facts: Mapping[str, Any]) -> dict[str, str]:
    """What the thresholds among the facts mean; where segments have some, rows have that of the rest otherwise.

    Examples
    --------
    >>> thresholds_in_words({"threshold": 21.3, "segments": ["web"], "rest_threshold": 19.0})["rest_threshold"]
    'alert above 19.00 nats'
    """
    own = {}
    if "segments" in facts:
        own = {
            "segments": f"{len(facts['segments'])} have a threshold of their own",
            "rest_threshold": in_words(facts["rest_threshold"]),
        }
    return {"threshold": in_words(facts["threshold"]), **own}


def ranked_rows(scored: Scored, n: int) -> list[dict[str, Any]]:
    """The `n` most anomalous rows: rank, number in the input, score, alert, and their cells."""
    order = scored.ranked(n)
    rows = scored.table.take(order).to_pylist()
    return [
        {"rank": rank, "row": int(row) + 1, **{name: cells.pop(name) for name in scored.added}, "columns": cells}
        for rank, (row, cells) in enumerate(zip(order, rows, strict=True), 1)
    ]


def show_ranked(ranked: list[dict[str, Any]], title: str, columns: list[str] | None = None) -> None:
    """Print ranked rows with a few of their columns: the first ones, unless `columns` are named."""
    n_fitting = max(1, (page_width() - _RANK_WIDTH) // _COLUMN_WIDTH)
    shown = columns or list(ranked[0]["columns"])[: min(_COLUMNS_SHOWN, n_fitting)]
    risk = ["risk"] if "risk_score" in ranked[0] else []
    headers = ["rank", "row", "score", *risk, "alert", *shown]
    rows = (
        [
            *(r["rank"], r["row"], f"{r['anomaly_score']:.2f}"),
            *(f"{r['risk_score']:.0f}" for _ in risk),
            *(r["alert"], *(r["columns"][name] for name in shown)),
        ]
        for r in ranked
    )
    show_table(title, headers, rows, left=shown)
