"""``vae-anomaly sample``: rows like those that a model was fitted to, and how good they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vae_anomaly.cli._options import (
    AsJson,
    Decimal,
    Delimiter,
    Device,
    Encoding,
    Force,
    Model,
    NoHeader,
    Reading,
    Resume,
    SpreadsheetSafe,
)
from vae_anomaly.cli._print import emit_json, show_facts, show_table
from vae_anomaly.errors import ParameterError

if TYPE_CHECKING:
    from vae_anomaly.synthetic import SyntheticQuality

_QUALITY = "How good they are"


def sample(
    model: Model,
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="CSV (also .gz, .bz2, .zst) or Parquet by extension; - is standard output.",
        ),
    ],
    rows: Annotated[int, typer.Option("-n", "--rows", min=0, metavar="N", help="How many rows.")] = 1_000,
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=2**32 - 1, metavar="N", help="The same seed gives the same rows; take another for others."
        ),
    ] = 0,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COL=VALUE",
            help="A cell that all rows have; nothing after = is a gap. May be repeated.",
            show_default=False,
        ),
    ] = None,
    real: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Rows that the model was fitted to, to measure beside them how good these are; may be repeated.",
            rich_help_panel=_QUALITY,
            show_default=False,
        ),
    ] = None,
    held_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Rows of the same source that it was not fitted to; what they score is the best there is.",
            rich_help_panel=_QUALITY,
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="COL",
            help="A column of two values, such as a label: how well it is predicted on --held-out after training on"
            " these rows.",
            rich_help_panel=_QUALITY,
            show_default=False,
        ),
    ] = None,
    quality_report: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT",
            help="Write that: a page (.html) for people, or .json; it needs --real.",
            rich_help_panel=_QUALITY,
            show_default=False,
        ),
    ] = None,
    device: Device = "auto",
    delimiter: Delimiter = None,
    encoding: Encoding = "utf-8",
    decimal: Decimal = ".",
    no_header: NoHeader = False,
    spreadsheet_safe: SpreadsheetSafe = False,
    resume: Resume = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Make rows like those that a model was fitted to, none of which it remembers.

    A model that is to make rows is best fitted with --contamination 0. Any number
    of rows takes the same memory. Columns that name rows come out empty. OUT gets
    its name when it is whole; --resume goes on with what an interrupted run left.
    """
    if output == "-" and (as_json or real):
        raise ParameterError("-o - writes the rows to standard output, so it goes with neither --json nor --real.")
    from vae_anomaly.cli._sample_quality import Comparison
    from vae_anomaly.cli._sample_run import Sampling, run

    conditions = parse_conditions(condition or ())
    wanted = Sampling(rows, output, seed, conditions, device, spreadsheet_safe, resume, force)
    reading = Reading(delimiter, encoding, decimal, no_header)
    comparison = Comparison(tuple(real or ()), tuple(held_out or ()), target, quality_report)
    comparison.check(model, wanted)
    detector = run(model, wanted, reading, lambda schema: comparison.check_columns(schema, reading))
    found = comparison.measured(detector, wanted, reading) if comparison.real else None
    if output == "-":
        return
    facts: dict[str, Any] = {"rows": rows, "seed": seed, "output": output}
    if quality_report is not None:
        facts["quality_report"] = str(quality_report)
    if as_json:
        emit_json(facts | ({} if found is None else {"quality": found.to_json()}))
        return
    show_facts(facts)
    if found is not None:
        show_quality(found)


def show_quality(found: SyntheticQuality) -> None:
    """Print the figures, and the columns that are furthest off."""
    frame = found.to_frame()
    rows = frame.astype(object).where(frame.notna(), None).itertuples(index=False)
    beside = f"{found.n_real:,} real ones" + (f", {found.n_held_out:,} held out" if found.n_held_out else "")
    show_table(
        f"{found.n_synthetic:,} of these rows beside {beside}",
        ["figure", "these rows", "real rows", "best"],
        rows,
        left=["figure", "best"],
    )


def parse_conditions(pairs: Sequence[str]) -> dict[str, str | None]:
    """``COL=VALUE`` pairs as a mapping; None where no value is given.

    Examples
    --------
    >>> parse_conditions(["channel=atm", "note=a=b", "amount="])
    {'channel': 'atm', 'note': 'a=b', 'amount': None}
    """
    conditions: dict[str, str | None] = {}
    for pair in pairs:
        column, equals, value = pair.partition("=")
        if not (column and equals):
            raise ParameterError(f"--condition must be COL=VALUE, such as channel=atm. Got {pair!r} instead.")
        if column in conditions:
            raise ParameterError(f"--condition must give every column once. Got {column!r} several times.")
        conditions[column] = value or None
    return conditions
