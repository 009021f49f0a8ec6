"""``vae-anomaly fit``: transaction files in, one model file out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vae_anomaly.cli._hold_out import HoldOut, hold_out_of
from vae_anomaly.cli._options import (
    AsJson,
    Decimal,
    Delimiter,
    Device,
    Encoding,
    Files,
    Force,
    NoHeader,
    Reading,
    check_model_target,
    parse_contamination,
    parse_kinds,
)
from vae_anomaly.cli._print import emit_json, note, show_facts
from vae_anomaly.errors import ParameterError

if TYPE_CHECKING:
    import pyarrow as pa

    from vae_anomaly.cli._past_spec import PastSpec
    from vae_anomaly.cli._sample import Keeping, Kept
    from vae_anomaly.detector import VAEDetector

_COLUMNS = "Columns and rows"
_TRAINING = "Training"
MOST_ROWS = 2_000_000
"""Rows that a fit takes of larger files: far more than it needs, and few enough for the memory of most machines."""
_FEWEST_ROWS = 2


def fit(
    files: Files,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="MODEL.vaea", help="The model file to write.")],
    label: Annotated[
        str | None,
        typer.Option(metavar="COL", help="A column of labels: it is not trained on.", rich_help_panel=_COLUMNS),
    ] = None,
    train_on: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE",
            help="Train on the rows with this label only.",
            rich_help_panel=_COLUMNS,
            show_default=False,
        ),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(metavar="COL", help="Leave a column out; may be repeated.", rich_help_panel=_COLUMNS),
    ] = None,
    hold_out: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Leave so many rows out, to calibrate on: the latest with --time-column, else by the seed.",
            rich_help_panel=_COLUMNS,
        ),
    ] = None,
    hold_out_to: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to write them, with every column.", rich_help_panel=_COLUMNS),
    ] = None,
    time_column: Annotated[
        str | None,
        typer.Option(metavar="COL", help="Dates, or seconds, for --hold-out.", rich_help_panel=_COLUMNS),
    ] = None,
    identifiers: Annotated[
        list[str] | None,
        typer.Option(
            "--id", metavar="COL", help="A column that only names the row; may be repeated.", rich_help_panel=_COLUMNS
        ),
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="COL=KIND",
            help="Model a column as numeric, categorical, boolean, datetime or identifier; may be repeated.",
            rich_help_panel=_COLUMNS,
        ),
    ] = None,
    behavior: Annotated[
        Path | None,
        typer.Option(
            metavar="SPEC.toml",
            help="Set each row against the past of its card or customer: the parameters of BehaviorFeatures, such as"
            ' entities = ["card"], time = "moment" and amount = "amount"; rows before learn_from, if it is there too,'
            " are history alone. The model remembers rows, card numbers too: keep it as safe as these.",
            rich_help_panel=_COLUMNS,
        ),
    ] = None,
    max_rows: Annotated[
        str,
        typer.Option(
            metavar="N|all",
            help="Most rows to hold in memory: of more, so many are drawn by the seed, all alike. all trains on every"
            " row, and keeps the rows in files beside MODEL until it is done.",
            rich_help_panel=_COLUMNS,
        ),
    ] = str(MOST_ROWS),
    contamination: Annotated[
        str,
        typer.Option(
            metavar="SHARE",
            help="Share of anomalies among the training rows: auto if unknown, 0 if the rows are clean, or a number.",
            rich_help_panel=_TRAINING,
        ),
    ] = "auto",
    score: Annotated[
        str, typer.Option(metavar="NAME", help="elbo, reconstruction or iwae.", rich_help_panel=_TRAINING)
    ] = "elbo",
    max_steps: Annotated[
        int | None, typer.Option(metavar="N", help="Most training steps.", rich_help_panel=_TRAINING)
    ] = None,
    members: Annotated[
        int | None, typer.Option(metavar="N", help="Members of the ensemble.", rich_help_panel=_TRAINING)
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="The same seed gives the same model.", rich_help_panel=_TRAINING)
    ] = 0,
    device: Device = "auto",
    delimiter: Delimiter = None,
    encoding: Encoding = "utf-8",
    decimal: Decimal = ".",
    no_header: NoHeader = False,
    force: Force = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print neither progress nor a summary.")] = False,
) -> None:
    """Train a model on transaction files, without labels."""
    settings = {
        "contamination": parse_contamination(contamination),
        "kinds": parse_kinds(kinds or (), identifiers or ()) or None,
        "score_type": score,
        "max_steps": max_steps,
        "n_members": members,
        "random_state": seed,
        "device": device,
        "verbose": not quiet,
    }
    reading = Reading(delimiter, encoding, decimal, no_header)
    aside = hold_out_of(hold_out, hold_out_to, time_column)
    chosen: dict[str, Any] = {"label": label, "train_on": train_on, "drop": drop or ()}
    wishes: dict[str, Any] = {"aside": aside, "behavior": behavior, "force": force}
    wishes["max_rows"] = parse_max_rows(max_rows)
    summary = fit_files(files, output, settings, reading, **wishes, **chosen)
    if as_json and summary:
        emit_json(summary)
    elif summary and not quiet:
        show_summary(summary)


def fit_files(
    files: list[str],
    output: Path,
    settings: dict[str, Any],
    reading: Reading,
    *,
    aside: HoldOut | None = None,
    behavior: Path | None = None,
    force: bool = False,
    max_rows: int | None = MOST_ROWS,
    **chosen: Any,
) -> dict[str, Any]:
    """Read, hold out, train, save; return what is worth knowing about it. `chosen` goes to `training_rows`.

    Without `max_rows` all rows are taken, and kept in files meanwhile.

    Of the processes that torchrun started, the first one writes, and the others return nothing.
    """
    from vae_anomaly.cli._past_spec import PastSpec
    from vae_anomaly.table.io import check_target, write_table

    past = None if behavior is None else PastSpec.of(behavior)
    _check_holds_out_the_latest(past, aside)
    check_target(output, force=force)
    check_model_target(output, files)
    _check_read_by_all(files)
    if aside is not None:
        aside.check_target(output, files, force=force)
    seed = settings.get("random_state", 0)
    with _keeping(max_rows, output, seed) as keeping:
        rows, held_out, drawn = _rows_of(files, reading, aside, past, keeping, seed, chosen)
        from vae_anomaly.detector import VAEDetector  # torch takes its time: wrong options and files are told before
        from vae_anomaly.training.parallel import data_parallel

        given = {name: value for name, value in settings.items() if value is not None}
        with data_parallel(given.get("device", "auto")) as processes:
            detector = VAEDetector(**given).fit(rows)
            if not processes.is_first:
                return {}
            if aside is not None and held_out is not None:
                write_table(held_out, aside.path, force=force)
                note(f"{held_out.num_rows:,} rows were held out, in {aside.path}: calibrate on them")
            _save(detector, past, output, force=force)
        return {"model": str(output), **summarise(detector, rows), **drawn}


def parse_max_rows(text: str) -> int | None:
    """A number of rows, or None for ``all``.

    Examples
    --------
    >>> parse_max_rows("1000"), parse_max_rows("all")
    (1000, None)
    """
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < _FEWEST_ROWS:
        raise ParameterError(f"--max-rows must be a whole number of 2 or more, or all. Got {text!r} instead.")
    return int(text)


@contextmanager
def _keeping(max_rows: int | None, output: Path, seed: int) -> Iterator[Keeping]:
    """Where the rows are kept while the model is made."""
    from vae_anomaly.cli._sample import Drawn, Whole
    from vae_anomaly.table.on_disk import on_disk

    if max_rows is not None:
        yield Drawn(max_rows, seed)
        return
    with on_disk(output) as folder:
        yield Whole(folder)


def _rows_of(
    files: list[str],
    reading: Reading,
    aside: HoldOut | None,
    past: PastSpec | None,
    keeping: Keeping,
    seed: int,
    chosen: dict[str, Any],
) -> tuple[pa.Table, pa.Table | None, dict[str, int]]:
    """The rows to train on, those held out, and how many there were if not all were taken."""
    from vae_anomaly.cli._past_spec import Part
    from vae_anomaly.cli._rows import check_some, training_rows

    stream = reading.stream(files)
    parts: Iterable[Part] = (Part(chunk.table, chunk) for chunk in stream.chunks())
    tables: Iterable[pa.Table] = (part.table for part in parts)
    read, held_out = None, None
    if aside is not None:
        read = keeping.kept(tables)
        if past is not None and read.n_seen > read.n_taken:
            raise ParameterError(
                f"--hold-out with --behavior takes all rows: expected at most {read.n_taken:,} (--max-rows), found"
                f" {read.n_seen:,}. Raise --max-rows, or give --max-rows all."
            )
        tables, apart = aside.parted(read.table, reading, seed)
        parts = map(Part, tables)
        held_out = keeping.set_aside(apart, stream.schema)
    if past is not None:
        label = chosen.get("label")
        unseen = [*chosen.get("drop", ()), *([label] if label else [])]
        tables = past.remembering(parts, reading, unseen)

    def for_fit(table: pa.Table) -> pa.Table:
        rows = reading.for_model(training_rows(table, **chosen))
        return rows if past is None else rows.select(list(past.behavior.get_feature_names_out()))

    kept = keeping.kept(tables, for_fit)
    check_some(kept.table, chosen.get("label"), chosen.get("train_on"))
    return kept.table, held_out, _drawn(read or kept)


def _drawn(kept: Kept) -> dict[str, int]:
    if kept.n_seen == kept.n_taken:
        return {}
    note(f"the files have {kept.n_seen:,} rows, of which {kept.n_taken:,} were drawn by the seed (--max-rows)")
    return {"rows_in_files": kept.n_seen}


def _save(detector: VAEDetector, past: PastSpec | None, output: Path, *, force: bool) -> None:
    if past is None:
        detector.save(output, overwrite=force)
        return
    from sklearn.pipeline import make_pipeline

    from vae_anomaly.pipelines import save_pipeline

    save_pipeline(make_pipeline(past.behavior, detector), output, overwrite=force)
    n_rows = len(past.behavior.history_.rows)
    note(f"{output} remembers {n_rows:,} rows, with names, times and amounts: keep it as safe as these")


def _check_holds_out_the_latest(past: PastSpec | None, aside: HoldOut | None) -> None:
    if past is not None and aside is not None and aside.time is None:
        raise ParameterError(
            "--hold-out with --behavior needs --time-column COL: rows drawn at random would be the past of others. Give"
            " it, to hold out the latest."
        )


def _check_read_by_all(files: list[str]) -> None:
    if "-" in files and os.environ.get("WORLD_SIZE", "1") != "1":
        raise ParameterError(
            "Standard input can be read by one process alone: under torchrun, all of which read, name a file instead."
        )


def summarise(detector: VAEDetector, rows: pa.Table) -> dict[str, Any]:
    """What one wants to know after training."""
    from collections import Counter

    kinds = Counter(str(column.kind) for column in detector.schema_.columns)
    profile = detector.profile_
    return {
        "rows": rows.num_rows,
        "columns": dict(kinds),
        "set_aside": [column.name for column in detector.schema_.columns if str(column.kind) == "identifier"],
        "steps": profile["n_steps"],
        "stopped_early": profile["stopped_early"],
        "held_out_elbo": profile["held_out_elbo"],
        "baseline_elbo": profile["baseline_elbo"],
        "seconds": profile["seconds"],
        "threshold": -float(detector.offset_),
    }


def show_summary(summary: dict[str, Any]) -> None:
    """Print what `fit_files` returned."""
    columns = ", ".join(f"{count} {kind}" for kind, count in summary["columns"].items())
    show_facts(
        {
            "model": summary["model"],
            "rows": summary["rows"],
            "columns": columns,
            "set aside": ", ".join(summary["set_aside"]) or "none",
            "steps": f"{summary['steps']:,}{' (stopped early)' if summary['stopped_early'] else ''}",
            "held-out ELBO": f"{summary['held_out_elbo']:.2f} nats a row"
            f" (columns on their own: {summary['baseline_elbo']:.2f})",
            "threshold": f"alert above {summary['threshold']:.2f} nats",
            "seconds": f"{summary['seconds']:.1f}",
        }
    )
