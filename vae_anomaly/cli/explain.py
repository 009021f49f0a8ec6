"""``vae-anomaly explain``: why rows alert, beside every row of the files, a JSON line for each, or on the screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vae_anomaly.cli._options import (
    ERROR,
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
    check_spreadsheet_safe,
)
from vae_anomaly.cli._print import json_text, note, show_facts, show_table
from vae_anomaly.cli._wanted import Wanted
from vae_anomaly.errors import ParameterError

if TYPE_CHECKING:
    from vae_anomaly.cli._explained import Explained

_SHOWN = 20
_LINES = ".jsonl"
_COMPRESSED = ("", ".gz", ".bz2", ".zst")
_WHICH = "Which rows, and how"


def explain(
    model: Model,
    files: Files,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="Write every column and row as score does, and of the explained rows reason_1, reason_1_sentence, ...:"
            " CSV (also .gz, .bz2, .zst) or Parquet by extension, or a JSON line for each explained row (.jsonl);"
            " - is standard output.",
        ),
    ] = None,
    reasons: Annotated[int, typer.Option(min=1, metavar="N", help="Reasons of a row.", rich_help_panel=_WHICH)] = 3,
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Explain the N most anomalous rows; the rows that alert if not given.",
            show_default=False,
            rich_help_panel=_WHICH,
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Explain every row.", rich_help_panel=_WHICH)] = False,
    as_reconstructed: Annotated[
        bool,
        typer.Option(
            "--as-reconstructed",
            help="Judge cells as the model reconstructs them, and not each by the others of its row: faster, but a"
            " reconstruction can copy the anomaly.",
            rich_help_panel=_WHICH,
        ),
    ] = False,
    pattern: Annotated[
        bool,
        typer.Option("--pattern", help="Group rows with like reasons, and number the groups.", rich_help_panel=_WHICH),
    ] = False,
    json_lines: Annotated[
        bool,
        typer.Option("--json-lines", help="Write a JSON line for each explained row, to OUT or standard output."),
    ] = False,
    device: Device = "auto",
    delimiter: Delimiter = None,
    encoding: Encoding = "utf-8",
    decimal: Decimal = ".",
    no_header: NoHeader = False,
    bad_rows: BadRows = ERROR,
    rejects: Rejects = None,
    spreadsheet_safe: SpreadsheetSafe = False,
    resume: Resume = False,
    force: Force = False,
) -> None:
    """Say why rows alert: the columns that are most unlike what is usual for them.

    Files may be larger than memory, unless --pattern has to be written beside
    every row. What is shown on the screen, or of --top, is read twice.
    """
    json_lines = json_lines or (output is not None and _is_lines(output))
    output = "-" if json_lines and output is None else output
    _check_usage(output, json_lines=json_lines, safe=spreadsheet_safe, top=top, every=every)
    reading = Reading(delimiter, encoding, decimal, no_header)
    if output is not None and not pattern:
        wanted = Wanted(output, rejects, bad_rows, 0, device, spreadsheet_safe, resume, force)
        _explain_stream(model, files, reading, wanted, (reasons, not as_reconstructed, every, json_lines, top))
        return
    if resume or rejects or bad_rows != ERROR:
        raise ParameterError(
            "--resume, --bad-rows and --rejects are for rows that are written one after the other: they go with -o OUT,"
            " and without --pattern."
        )
    which: dict[str, Any] = {"top": top, "every": every}
    how = {"n_reasons": reasons, "conditional": not as_reconstructed, "pattern": pattern}
    if output is None:
        from vae_anomaly.cli._explain_shown import explain_shown

        which["most"] = None if pattern else _SHOWN
        explained, facts = explain_shown(model, files, reading, which=which, how=how, device=device)
    else:
        written: dict[str, Any] = {"json_lines": json_lines, "force": force, "safe": spreadsheet_safe}
        explained, facts = explain_files(
            model, files, reading, output=output, which=which, how=how, device=device, **written
        )
    if explained.scored.passed_through:
        note(f"passed through, unknown to the model: {', '.join(explained.scored.passed_through)}")
    if output != "-":
        show_facts(facts)
        if output is None:
            show_reasons(explained)
        show_patterns(explained)
    note(in_short(explained, facts["rows"], facts["alerts"]))


def _explain_stream(
    model: Path, files: list[str], reading: Reading, wanted: Wanted, how: tuple[int, bool, bool, bool, int | None]
) -> None:
    """Explain rows chunk by chunk, and say what has come of it."""
    from vae_anomaly.cli._explain_run import Explaining
    from vae_anomaly.cli._score_run import run
    from vae_anomaly.cli.score import REJECTED, decided_by, remark, thresholds_in_words

    found = run(model, files, reading, wanted, Explaining(*how))
    tally = found.tally
    remark(found, wanted)
    if wanted.output != "-":
        facts = {"rows": tally.rows, "alerts": tally.alerts, "explained": tally.explained}
        show_facts(facts | thresholds_in_words(decided_by(found.detector, found.stored)) | {"output": wanted.output})
    note(_counted(tally.explained, tally.rows, tally.alerts))
    if tally.rejected:
        raise typer.Exit(REJECTED)


def explain_files(
    model: Any,
    files: list[str],
    reading: Reading,
    *,
    output: str,
    json_lines: bool,
    which: dict[str, Any],
    how: dict[str, Any],
    device: str = "auto",
    force: bool = False,
    safe: bool = False,
) -> tuple[Explained, dict[str, Any]]:
    """Load, read, score, explain, write, all rows in memory; return the explained ones and what to say of the run."""
    from vae_anomaly.cli.score import check_output, decided_by, scored_with_model, thresholds_in_words, write_rows

    check_output(output, model, force=force)
    from vae_anomaly.cli._explained import added_columns, chosen_rows, explain_rows
    from vae_anomaly.table.io import write_lines

    columns = [] if json_lines else added_columns(how["n_reasons"], pattern=how["pattern"])
    scored, detector, stored = scored_with_model(model, files, reading, device=device, reserved=columns)
    explained = explain_rows(detector, scored, chosen_rows(scored.score, scored.alert, **which), reading, **how)
    if json_lines:
        write_lines(map(json_text, explained.records()), output, force=force)
    else:
        write_rows(explained.table(), output, force=force, safe=safe)
    facts = {"rows": len(scored.score), "alerts": int(scored.alert.sum()), "explained": len(explained.rows)}
    facts |= {} if explained.patterns is None else {"patterns": len(explained.patterns)}
    return explained, facts | thresholds_in_words(decided_by(detector, stored)) | {"output": output}


def show_reasons(explained: Explained) -> None:
    """Print the most anomalous of the explained rows, a line for each reason."""
    n_shown = min(_SHOWN, len(explained.rows))
    if n_shown:
        title = f"The {n_shown} most anomalous rows" if n_shown > 1 else "The most anomalous row"
        left = ("reason", "observed", "direction", "expected")
        show_table(title, explained.headers(), explained.ranked(n_shown), left=left)


def show_patterns(explained: Explained) -> None:
    """Print the largest patterns."""
    if explained.patterns is None or not len(explained.patterns):
        return
    table = explained.patterns.table[:_SHOWN]
    marks = [
        ", ".join(f"{column} {direction}" for column, direction in zip(*of, strict=True)) or "nothing stands out"
        for of in zip(table["columns"], table["directions"], strict=True)
    ]
    numbers = explained.scored.numbers(explained.rows[table["row"]])
    rows = zip(table["pattern"].tolist(), table["n_alerts"].tolist(), numbers, marks, table["sentence"], strict=True)
    title = "Patterns" if len(table) == len(explained.patterns) else f"The {len(table)} largest patterns"
    show_table(title, ["pattern", "rows", "row", "reasons", "such as"], rows, left=["reasons", "such as"])


def in_short(explained: Explained, n_rows: int, n_alerts: int) -> str:
    """How many rows were explained, and how many patterns they have."""
    n_of = _counted(len(explained.rows), n_rows, n_alerts)
    return n_of if explained.patterns is None else f"{n_of}; patterns: {len(explained.patterns):,}"


def _counted(n_explained: int, n_rows: int, n_alerts: int) -> str:
    if not n_explained:
        return f"none of {n_rows:,} rows alerts, so none was explained; --top N explains the most anomalous ones"
    return f"explained {n_explained:,} of {n_rows:,} rows, {n_alerts:,} of which alert"


def _is_lines(output: str) -> bool:
    return output.lower().endswith(tuple(_LINES + ending for ending in _COMPRESSED))


def _check_usage(output: str | None, *, json_lines: bool, safe: bool, top: int | None, every: bool) -> None:
    if top is not None and every:
        raise ParameterError("--top N and --all say which rows to explain: expected one of them, found both. Drop one.")
    check_spreadsheet_safe(safe, output)
    if safe and json_lines:
        raise ParameterError("--spreadsheet-safe is for CSV and Parquet: no spreadsheet runs JSON lines. Drop one.")
