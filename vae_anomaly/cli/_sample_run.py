"""A run of ``vae-anomaly sample``: any number of rows in constant memory, which goes on where another broke off."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from vae_anomaly._version import __version__
from vae_anomaly.cli._options import Reading, check_apart
from vae_anomaly.cli._past import past_of
from vae_anomaly.cli._print import note
from vae_anomaly.errors import ParameterError
from vae_anomaly.table.cells import arrow_type
from vae_anomaly.table.chunk import Chunk, Place
from vae_anomaly.table.io import check_target
from vae_anomaly.table.passing import Passing, is_kept
from vae_anomaly.table.rows_out import format_of, to_parquet
from vae_anomaly.table.stream import is_parquet
from vae_anomaly.table.unfinished import Unfinished

if TYPE_CHECKING:
    from vae_anomaly.detector import VAEDetector
    from vae_anomaly.table.schema import Schema

ROWS_AT_ONCE = 32_768
_MUST_AGREE = ("torch", "numpy", "pyarrow")  # whose results are in the bytes of the output


@dataclass(frozen=True)
class Sampling:
    """Which rows to make, and where they go.

    Parameters
    ----------
    n_rows : int
        How many.
    output : str
        A file, or - for standard output.
    seed : int
        Of all draws.
    conditions : dict of str to str or None
        Cells that all rows have; None for a gap.
    device : str
        Where to compute.
    safe : bool
        Whether no cell may be a formula to a spreadsheet.
    resume, force : bool
        As for `vae_anomaly.table.unfinished.Unfinished`.
    """

    n_rows: int
    output: str
    seed: int
    conditions: dict[str, str | None]
    device: str = "auto"
    safe: bool = False
    resume: bool = False
    force: bool = False


def run(model: Path, wanted: Sampling, reading: Reading, check: Callable[[Schema], None]) -> VAEDetector:
    """Make rows and write them.

    Parameters
    ----------
    model : Path
        The model file.
    wanted : Sampling
        What to make.
    reading : Reading
        How files are written, for a model that knows the past of rows.
    check : callable
        ``check(schema)`` raises an error, before any row is made, if something else does not go with the model.

    Returns
    -------
    VAEDetector
        That made them.

    Raises
    ------
    VaeAnomalyError
        Of every kind; what is done by then is kept, unless it is less than a chunk.
    """
    check_output(model, wanted)
    from vae_anomaly.artifact import read_artifact

    past = past_of(read_artifact(model), reading)
    with _output(wanted, _what_run(model, wanted)) as output:
        from vae_anomaly.detector import VAEDetector  # torch takes its time: what is wrong is told before

        detector = VAEDetector.load(model, device=wanted.device)
        check(detector.schema_)
        if past is not None:
            note(f"made like any other column, not from the rows before: {', '.join(past.made)}")
        done = 0 if output.earlier is None else int(output.earlier.progress["rows"])
        if done:
            note(f"going on after {done:,} rows")
        if not output.is_whole:
            with _saying_how_to_go_on(output), _progress(wanted.n_rows, done) as show:
                _write(detector, wanted, output, done, show)
        output.finish()
    return detector


def tables(detector: VAEDetector, wanted: Sampling, done: int = 0) -> Iterator[pa.Table]:
    """The rows after so many, some at a time: a chunk has a seed of its own, so that each can be made by itself."""
    schema = arrow_schema(detector.schema_)
    for start in range(done, wanted.n_rows, ROWS_AT_ONCE):
        seed = np.random.SeedSequence([wanted.seed, start // ROWS_AT_ONCE]).generate_state(1)[0]
        n_rows = min(ROWS_AT_ONCE, wanted.n_rows - start)
        yield _as_table(detector.sample(n_rows, int(seed), wanted.conditions or None), schema)


def arrow_schema(schema: Schema) -> pa.Schema:
    """The columns of fit and their types, so that all chunks have the same.

    Examples
    --------
    >>> import pandas as pd
    >>> from vae_anomaly import Schema
    >>> arrow_schema(Schema.infer(pd.DataFrame({"amount": [9.5, 12.0, 7.25], "online": [True, False, True]})))
    amount: double
    online: bool
    """
    return pa.schema([(column.name, arrow_type(column.dtype)) for column in schema.columns])


def check_output(model: Path, wanted: Sampling) -> None:
    """Raise an error before the work if rows cannot be written, or would take the place of the model."""
    if wanted.resume and not is_kept(wanted.output):
        raise ParameterError("--resume goes on with an unfinished file: it needs OUT to be a file.")
    check_target(wanted.output, force=wanted.force or wanted.resume)
    check_apart(wanted.output, [model], "the model")


def _as_table(rows: Any, schema: pa.Schema) -> pa.Table:
    if isinstance(rows, np.ndarray):
        columns = [pa.array(cells, from_pandas=True) for cells in rows.T]
        return pa.table(columns, names=schema.names).cast(schema)
    return pa.Table.from_pandas(rows, schema=schema, preserve_index=False).replace_schema_metadata(None)


def _write(
    detector: VAEDetector, wanted: Sampling, output: Unfinished | Passing, done: int, show: Callable[[int], None]
) -> None:
    form, nothing = format_of(wanted.output, None, safe=wanted.safe), pa.table({})
    schema = arrow_schema(detector.schema_)
    header = form.header(schema.names) if not done else b""
    if not wanted.n_rows:
        output.append(header + form.rows(_chunk(schema.empty_table(), 0), nothing), b"", {"rows": 0})
    for table in tables(detector, wanted, done):
        rows = header + form.rows(_chunk(table, done), nothing)
        header, done = b"", done + table.num_rows
        output.append(rows, b"", {"rows": done})
        show(done)


def _chunk(table: pa.Table, done: int) -> Chunk:
    index = np.arange(done, done + table.num_rows, dtype=np.int64)
    return Chunk("sampled rows", table, index, (), Place(total=done), Place(total=done + table.num_rows))


def _what_run(model: Path, wanted: Sampling) -> dict[str, Any]:
    """What must be the same for a run to go on, so that its result is that of one run."""
    options = {name: value for name, value in asdict(wanted).items() if name not in ("output", "resume", "force")}
    return {
        "model": hashlib.sha256(model.read_bytes()).hexdigest(),
        "options": {**options, "rows_at_once": ROWS_AT_ONCE},
        "versions": {"vae-anomaly": __version__, **{name: version(name) for name in _MUST_AGREE}},
    }


def _output(wanted: Sampling, what: dict[str, Any]) -> Unfinished | Passing:
    if not is_kept(wanted.output):
        return Passing(wanted.output, force=wanted.force)
    convert = to_parquet if is_parquet(wanted.output) else None
    return Unfinished(wanted.output, what, resume=wanted.resume, force=wanted.force, convert=convert)


@contextmanager
def _saying_how_to_go_on(output: Unfinished | Passing) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if isinstance(output, Unfinished) and output.rows_kept:
            note(f"{output.rows_kept:,} rows are kept: the same command with --resume goes on after them")
        raise


@contextmanager
def _progress(n_rows: int, done: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, on a terminal only."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("sampling", total=n_rows, completed=done)
        yield lambda rows: bar.update(task, completed=rows)
