"""A run of ``vae-anomaly score`` over files of any size, which goes on where another broke off."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_anomaly._scored_columns import added_names
from vae_anomaly._version import __version__
from vae_anomaly.cli._explain_run import Explaining, JsonLines
from vae_anomaly.cli._options import ERROR, Reading, check_apart, check_model_target
from vae_anomaly.cli._overlap import ahead, in_order
from vae_anomaly.cli._past import Past, check_goes_with_past, chunks_of, past_of
from vae_anomaly.cli._print import note
from vae_anomaly.cli._progress import progress
from vae_anomaly.cli._rows import check_free
from vae_anomaly.cli._scoring import Scorer, WholeRun, decides_together
from vae_anomaly.cli._tally import Outcome, Tally
from vae_anomaly.cli._wanted import Wanted
from vae_anomaly.errors import OutputError, ParameterError
from vae_anomaly.table import stream as table_stream
from vae_anomaly.table.chunk import Chunk, Place
from vae_anomaly.table.csv_file import STANDARD_STREAM
from vae_anomaly.table.io import check_target
from vae_anomaly.table.passing import Passing, is_kept
from vae_anomaly.table.rows_out import RowFormat, format_of, rejected_rows, rejects_header, to_parquet
from vae_anomaly.table.stream import Stream, expanded, fingerprint, is_parquet
from vae_anomaly.table.unfinished import Unfinished

if TYPE_CHECKING:
    from vae_anomaly._calibration_file import StoredCalibration
    from vae_anomaly.detector import VAEDetector

_MUST_AGREE = ("torch", "numpy", "pyarrow")  # whose results are in the bytes of the output


@dataclass(frozen=True, eq=False)
class ScoredFiles:
    """What a run has come to.

    Parameters
    ----------
    tally : Tally
        Counts, and the most anomalous rows.
    detector : VAEDetector
        That scored.
    stored : StoredCalibration or None
        By what rows alert.
    passed_through : tuple of str
        Columns that the model doesn't know.
    """

    tally: Tally
    detector: VAEDetector
    stored: StoredCalibration | None
    passed_through: tuple[str, ...]


def run(
    model: Path, files: Sequence[str], reading: Reading, wanted: Wanted, explaining: Explaining | None = None
) -> ScoredFiles:
    """Score files.

    Parameters
    ----------
    model : Path
        The model file.
    files : sequence of str
        Files, folders and patterns.
    reading : Reading
        How the files are written.
    wanted : Wanted
        What to do with the rows.
    explaining : Explaining or None
        How to explain them, if they are to be.

    Raises
    ------
    VaeAnomalyError
        Of every kind; what is done by then is kept, unless it is less than a chunk.
    """
    names = expanded(files)
    _check_names(model, names, wanted)
    from vae_anomaly._calibration_file import stored_calibration
    from vae_anomaly.artifact import read_artifact

    artifact = read_artifact(model)
    stored, past = stored_calibration(artifact), past_of(artifact, reading)
    check_goes_with_past(artifact, wanted)
    keep_bad = wanted.bad_rows != ERROR
    twice = decides_together(stored) or (explaining is not None and explaining.top is not None)
    with readable_twice(names) if twice else nullcontext(names) as sources:
        stream = reading.stream(sources, keep_bad=keep_bad)
        added = [*added_names(stored), *([] if explaining is None else explaining.names)]
        check_free(stream.schema.empty_table(), added)
        what = _what_run(model, _marks(names, sources), reading, wanted)
        what["options"] |= {} if explaining is None else asdict(explaining)
        with _output(wanted, what) as output:
            tally = _tally_of(output, wanted)
            from vae_anomaly.detector import VAEDetector  # torch takes its time: what is wrong is told before

            detector = VAEDetector.load(model, device=wanted.device)
            if not output.is_whole:
                scorer = Scorer(detector, stored, reading, wanted.bad_rows)
                if twice:
                    before = outcomes_of(scorer, reading.stream(sources, keep_bad=keep_bad), None, past)
                    scorer = replace(scorer, whole=WholeRun(before, stored))
                work = scorer if explaining is None else explaining.beside(scorer)
                form = _Bytes(stream, added, wanted, explaining)
                with (
                    _saying_how_to_go_on(output),
                    progress(names, tally.rows) as show,
                    closing(outcomes_of(work, stream, tally.place, past)) as outcomes,
                ):
                    for outcome in outcomes:
                        _write(outcome, output, tally, form)
                        show(outcome.chunk.end, tally.rows, tally.alerts)
            output.finish()
        if past is not None and wanted.update_state is not None:
            past.write_latest(artifact, stream, wanted.update_state, force=wanted.force)
    known = set(detector.schema_.names) | (set() if past is None else past.used)
    passed = tuple(name for name in stream.schema.names if name not in known)
    return ScoredFiles(tally, detector, stored, passed)


def outcomes_of(
    work: Callable[[Chunk], Outcome], stream: Stream, place: Place | None, past: Past | None
) -> Generator[Outcome]:
    """What becomes of the chunks after a place, in order."""
    return in_order(work, ahead(chunks_of(stream, past, place)))


def _write(outcome: Outcome, output: Unfinished | Passing, tally: Tally, form: _Bytes) -> None:
    """Write a chunk, and count it."""
    first = tally.place is None
    none_yet = first or tally.bad_rows == ERROR  # an earlier run that would have stopped at a bad row met none
    rows = (form.header() if first else b"") + form.rows.rows(form.as_read(outcome.chunk), outcome.added)
    rejected = (rejects_header() if none_yet else b"") + rejected_rows(outcome.chunk)
    tally.bad_rows = form.bad_rows
    tally.add(outcome)
    output.append(rows, rejected, tally.to_json())


class _Bytes:
    """How rows of a stream become bytes."""

    def __init__(self, stream: Stream, added: Sequence[str], wanted: Wanted, explaining: Explaining | None) -> None:
        target, head = wanted.output or STANDARD_STREAM, getattr(stream.first, "head", None)
        self.rows: RowFormat = format_of(target, head, safe=wanted.safe)
        if explaining is not None and explaining.json_lines:
            self.rows = JsonLines(Path(target).suffix.lower())
        self.bad_rows = wanted.bad_rows
        self._read, self._names = stream.schema.names, [*stream.schema.names, *added]

    def as_read(self, chunk: Chunk) -> Chunk:
        """The chunk without the features of its rows."""
        return replace(chunk, table=chunk.table.select(self._read))

    def header(self) -> bytes:
        """What comes before the first row."""
        return self.rows.header(self._names)


def _check_names(model: Path, files: Sequence[str], wanted: Wanted) -> None:
    """Raise an error before the work if results cannot be written, or would take the place of what is read."""
    if wanted.resume and not is_kept(wanted.output):
        raise ParameterError("--resume goes on with an unfinished file: it needs -o OUT, and OUT to be a file.")
    if wanted.bad_rows != ERROR and wanted.rejects is None and not is_kept(wanted.output):
        raise ParameterError(
            f"--bad-rows {wanted.bad_rows} needs a place for rejected rows: found neither an output file nor --rejects"
            " FILE. Give one of them."
        )
    if wanted.bad_rows == ERROR and wanted.rejects is not None:
        raise ParameterError("--rejects needs --bad-rows skip or missing: found error, by which no row is rejected.")
    for target in (wanted.output, wanted.rejects_file):
        if target is not None:
            check_target(target, force=wanted.force or wanted.resume)
            check_apart(target, [model], "the model")
            check_apart(target, files, "an input file")
    if wanted.update_state is not None:
        check_model_target(wanted.update_state, files)
        check_target(wanted.update_state, force=wanted.force)
        check_apart(wanted.update_state, [model], "the model")
    if wanted.rejects_file is not None and wanted.rejects_file == wanted.output:
        raise OutputError(f"{wanted.output}: expected a file of its own for rejected rows. Name another.")


def _what_run(model: Path, inputs: list[dict[str, Any]], reading: Reading, wanted: Wanted) -> dict[str, Any]:
    """What must be the same for a run to go on, so that its result is that of one run."""
    return {
        "inputs": inputs,
        "model": hashlib.sha256(model.read_bytes()).hexdigest(),
        "options": {
            **asdict(reading),
            **{name: getattr(wanted, name) for name in ("n_top", "device", "safe")},
            "chunks": [table_stream.CHUNK_BYTES, table_stream.CHUNK_ROWS],
        },
        "versions": {"vae-anomaly": __version__, **{name: version(name) for name in _MUST_AGREE}},
    }


def _marks(names: Sequence[str], sources: Sequence[str]) -> list[dict[str, Any]]:
    """By what the inputs are known again; a copy of standard input by what is in it."""
    known_by = {"size", "beginning"}
    return [
        mark if name == source else {"name": name} | {key: mark[key] for key in known_by}
        for name, source, mark in zip(names, sources, fingerprint(sources), strict=True)
    ]


def _output(wanted: Wanted, what: dict[str, Any]) -> Unfinished | Passing:
    if wanted.output is None or not is_kept(wanted.output):
        return Passing(wanted.output, rejects=wanted.rejects_file, force=wanted.force)
    return Unfinished(
        wanted.output,
        what,
        rejects=wanted.rejects_file,
        resume=wanted.resume,
        force=wanted.force,
        convert=to_parquet if is_parquet(wanted.output) else None,
    )


def _tally_of(output: Unfinished | Passing, wanted: Wanted) -> Tally:
    """Where the run stands. One that would have stopped at a bad row has met none, so another may treat them else."""
    if output.earlier is None:
        if wanted.rejects_file is not None:
            check_target(wanted.rejects_file, force=wanted.force)
        return Tally(wanted.n_top, wanted.bad_rows)
    tally = Tally.of(output.earlier.progress)
    if tally.bad_rows not in (ERROR, wanted.bad_rows):
        raise OutputError(
            f"{wanted.output}: expected --bad-rows {tally.bad_rows}, by which the run began that broke off here, found"
            f" {wanted.bad_rows}. Give that, or discard what it did (--force)."
        )
    note(f"going on after {tally.rows:,} rows")
    return tally


@contextmanager
def _saying_how_to_go_on(output: Unfinished | Passing) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if isinstance(output, Unfinished) and output.rows_kept:
            note(f"{output.rows_kept:,} rows are kept: the same command with --resume goes on after them")
        raise


@contextmanager
def readable_twice(names: list[str]) -> Iterator[list[str]]:
    """The same files, those that can be read but once copied: standard input, and pipes."""
    with ExitStack() as stack:
        yield [stack.enter_context(_copied(name)) if _is_read_once(name) else name for name in names]


def _is_read_once(name: str) -> bool:
    return name == STANDARD_STREAM or (os.path.exists(name) and not os.path.isfile(name))


@contextmanager
def _copied(name: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "standard stream" if name == STANDARD_STREAM else Path(name).name)
        with (
            copy.open("wb") as file,
            nullcontext(sys.stdin.buffer) if name == STANDARD_STREAM else open(name, "rb") as it,
        ):
            shutil.copyfileobj(it, file)
        yield str(copy)
