"""``vae-anomaly report``: a page about the rows that alert, for the people who work them."""

from __future__ import annotations

import tempfile
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
    check_apart,
)
from vae_anomaly.cli._print import emit_json, note, show_facts

if TYPE_CHECKING:
    from vae_anomaly.report import Report
    from vae_anomaly.table.on_disk import DiskFolder

_SHOWN = "What is shown"
_BYTES_OF_A_MEGABYTE = 1_000_000


def report(
    model: Model,
    files: Files,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="OUT", help="Where to write the page, such as report.html."),
    ],
    title: Annotated[
        str, typer.Option(metavar="TEXT", help="Heading of the page.", rich_help_panel=_SHOWN)
    ] = "Alert report",
    time_column: Annotated[
        str | None,
        typer.Option(
            metavar="COL",
            help="When a row came, dates or seconds; if not given, the first column of dates in the model, or that of"
            " the past that it knows.",
            rich_help_panel=_SHOWN,
            show_default=False,
        ),
    ] = None,
    entity: Annotated[
        str | None,
        typer.Option(
            metavar="COL",
            help="Whose row it is, such as a card or a customer: adds the history of each. If not given, the first that"
            " the model knows the past of.",
            rich_help_panel=_SHOWN,
            show_default=False,
        ),
    ] = None,
    reasons: Annotated[int, typer.Option(metavar="N", min=1, help="Reasons of an alert.", rich_help_panel=_SHOWN)] = 5,
    max_alerts: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Alerts to list, the highest; the page says how many are left out.",
            rich_help_panel=_SHOWN,
        ),
    ] = 5_000,
    nearest: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Alerts, the highest, for which to look for what would have to change.",
            rich_help_panel=_SHOWN,
        ),
    ] = 200,
    fixed: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COL",
            help="A column that may not change in that; may be repeated.",
            rich_help_panel=_SHOWN,
            show_default=False,
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
    """Write one page about the rows that alert: reasons, patterns, pictures, data quality and the model card.

    It needs a browser and nothing else: no network, no other file. It holds the rows that alert, so keep it as you
    keep them. Files may be larger than memory: their rows lie beside the page while it is made.
    """
    from vae_anomaly.report.writing import check_report_target, write_page
    from vae_anomaly.table.on_disk import on_disk
    from vae_anomaly.table.passing import is_kept

    check_report_target(output, force=force)
    check_apart(output, [model, *files], "an input file")
    reading = Reading(delimiter, encoding, decimal, no_header)
    wishes: dict[str, Any] = {"title": title, "time": time_column, "entity": entity, "n_reasons": reasons}
    wishes |= {"max_alerts": max_alerts, "n_nearest": nearest, "fixed": tuple(fixed or ())}
    with on_disk(output if is_kept(str(output)) else Path(tempfile.gettempdir(), "report")) as folder:
        found = _report(model, files, reading, device, folder, **wishes)
    write_page(found, output, overwrite=force)
    scope = found.scope
    facts = {
        "rows": scope.n_rows,
        "alerts": scope.n_alerts,
        "listed": scope.n_listed,
        "patterns": len(found.patterns),
        "output": str(output),
    }
    if str(output) == "-":
        return
    if as_json:
        emit_json(facts)
        return
    if scope.n_left_out:
        note(f"{scope.n_left_out:,} alerts are left out of the page, the lowest: see --max-alerts")
    show_facts(facts | {"size": f"{output.stat().st_size / _BYTES_OF_A_MEGABYTE:.1f} MB"})


def _report(model: Path, files: list[str], reading: Reading, device: str, folder: DiskFolder, **wishes: Any) -> Report:
    """Load, read, score and gather; the rows lie in files meanwhile, of which a column at a time is looked at."""
    from vae_anomaly._calibration_file import stored_calibration
    from vae_anomaly._segments import known_segments
    from vae_anomaly.artifact import read_artifact
    from vae_anomaly.calibrated import CalibratedDetector
    from vae_anomaly.cli._past import chunks_of, past_of
    from vae_anomaly.cli._sample import Whole, parts
    from vae_anomaly.detector import VAEDetector
    from vae_anomaly.report import summarise

    artifact = read_artifact(model)
    stored, past = stored_calibration(artifact), past_of(artifact, reading)
    keeping = Whole(folder)
    table = keeping.kept(chunk.table for chunk in chunks_of(reading.stream(files), past)).table
    given: dict[str, Any] = {"origin": _origin(model, files, artifact.manifest["versions"]), **wishes}
    if past is not None:
        given |= {"sources": past.sources}
        given |= {name: value for name, value in past.roles.items() if wishes[name] is None}
    read = table if reading.decimal == "." else keeping.kept(map(reading.for_model, parts(table))).table
    detector: Any = (VAEDetector if stored is None else CalibratedDetector).load(model, device=device)
    if stored is not None:
        groups = known_segments(table, stored.calibration.segments, stored.segment_column)
        given |= {"groups": groups, "segment": None if groups is None else stored.segment_column}
    return summarise(detector, read, written=table, **given)


def _origin(model: Path, files: list[str], versions: dict[str, Any]) -> Any:
    from datetime import datetime

    from vae_anomaly.report import Origin
    from vae_anomaly.table.io import display_name

    changed = datetime.fromtimestamp(model.stat().st_mtime).astimezone()
    made_with = ", ".join(f"{name} {version}" for name, version in versions.items())
    facts = {"model file": model.name, "last changed": f"{changed:%Y-%m-%d %H:%M}", "made with": made_with}
    return Origin(tuple(map(display_name, files)), str(model), facts)
