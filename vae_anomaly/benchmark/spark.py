"""Whether Spark gives the scores of the command, and two processes the model of one; and how fast each is."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_anomaly.benchmark.bars import Bar
from vae_anomaly.benchmark.environment import environment, show_environment
from vae_anomaly.benchmark.process import time_module
from vae_anomaly.benchmark.table import figure, say, show, write_runs
from vae_anomaly.errors import MissingExtraError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

TOLERANCE = 1e-4
"""Largest relative difference of scores that one and two processes may have: float32 sums in another order."""

_KEY = "transaction_id"
_LABELS = ("is_fraud", "typology")
_FIT_ROWS = 5_000
_FALSE_ALARMS = 0.01
_ONE, _TWO = "one process", "two processes"
_TRAININGS = (
    ("200 steps", ("--max-steps", "200"), True),
    ("800 steps, no row left out", ("--max-steps", "800", "--contamination", "0"), True),
    ("800 steps", ("--max-steps", "800"), False),
)
"""How to train, and whether scores must agree: where the worst rows of each batch are left out, one that lies at the
edge to the last digits may be left out by one training and not by the other, the likelier the longer both go on."""

_LAUNCHER = ("--standalone", "--nproc-per-node", "2", "-m", "vae_anomaly")


@dataclass(frozen=True)
class SparkRun:
    """One way to score or to train.

    Parameters
    ----------
    task : {"score", "train"}
        Which.
    by : str
        The way.
    settings : str
        Of the training.
    must_agree : bool
        Whether its scores have to be those of one process.
    rows : int
        Scored, or trained on.
    seconds : float
        Wall-clock, files read and written.
    differing_rows : int or None
        Rows of which any cell differs from those of the command, in any bit.
    largest_difference, middle_difference : float or None
        Of scores from those of one process, relative to these or to 1 nat, whichever is more: of all rows, and half.
    held_out_elbo : float or None
        What the training came to, in nats per row.
    """

    task: str
    by: str
    settings: str
    must_agree: bool
    rows: int
    seconds: float
    differing_rows: int | None = None
    largest_difference: float | None = None
    middle_difference: float | None = None
    held_out_elbo: float | None = None

    @property
    def rows_per_second(self) -> float:
        """How fast."""
        return self.rows / self.seconds


def run_spark(n_rows: int, n_partitions: int) -> list[SparkRun]:
    """Score simulated payments by the command and by Spark, and train by one process and by two.

    Parameters
    ----------
    n_rows : int
        Payments to score.
    n_partitions : int
        Of the Spark frame, and tasks of Spark at a time.

    Raises
    ------
    MissingExtraError
        pyspark is not installed.
    VaeAnomalyError
        A command fails.
    """
    try:
        import pyspark  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("pyspark", "spark") from error
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_payments(folder, n_rows)
        trained = [run for training in _TRAININGS for run in _trained(folder, *training)]
        return [*trained, *_scored(folder, _calibrate(folder), n_rows, n_partitions)]


def _write_payments(folder: Path, n_rows: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from vae_anomaly import make_transactions

    say(f"{n_rows:,} simulated payments ...")
    rows = make_transactions(_FIT_ROWS + n_rows, random_state=0).drop(columns=list(_LABELS))
    table = pa.Table.from_pandas(rows, preserve_index=False)
    for part, rows_of in (("fit", table.slice(0, _FIT_ROWS)), ("rows", table.slice(_FIT_ROWS))):
        pq.write_table(rows_of, folder / f"{part}.parquet", coerce_timestamps="us")  # Spark knows no nanoseconds


def _trained(folder: Path, settings: str, options: Sequence[str], must_agree: bool) -> Iterator[SparkRun]:
    """Train by one process and by two."""
    import pyarrow.parquet as pq

    from vae_anomaly import VAEDetector

    rows = pq.read_table(folder / "rows.parquet").slice(0, _FIT_ROWS)
    alone = None
    for by, before in ((_ONE, ("vae_anomaly",)), (_TWO, ("torch.distributed.run", *_LAUNCHER))):
        say(f"training by {by}, {settings} ...")
        model = folder / f"{by}.vaea"
        given = ["--id", _KEY, "--device", "cpu", "--quiet", "--force", *options]
        seconds = time_module(*before, "fit", str(folder / "fit.parquet"), "-o", str(model), *given)
        detector = VAEDetector.load(model, device="cpu")
        score = detector.anomaly_score(rows)
        alone = score if alone is None else alone
        difference = np.abs(score - alone) / np.maximum(1.0, np.abs(alone))
        found = (float(np.max(difference)), float(np.median(difference)), detector.profile_["held_out_elbo"])
        yield SparkRun("train", by, settings, must_agree, _FIT_ROWS, seconds, None, *found)


def _calibrate(folder: Path) -> Path:
    """The model of one process with a threshold."""
    import pyarrow.parquet as pq

    from vae_anomaly import CalibratedDetector, FalseAlarmRate, VAEDetector

    detector = VAEDetector.load(folder / f"{_ONE}.vaea", device="cpu")
    rows = pq.read_table(folder / "rows.parquet").slice(0, _FIT_ROWS)
    CalibratedDetector(detector, FalseAlarmRate(_FALSE_ALARMS), cv="prefit").fit(rows).save(folder / "model.vaea")
    return folder / "model.vaea"


def _scored(folder: Path, model: Path, n_rows: int, n_partitions: int) -> Iterator[SparkRun]:
    import pyarrow.parquet as pq

    from vae_anomaly import spark

    source = folder / "rows.parquet"
    say("scoring by the command ...")
    options = ["-o", str(folder / "command.parquet"), "--device", "cpu"]
    seconds = time_module("vae_anomaly", "score", str(model), str(source), *options)
    yield SparkRun("score", "the command", "", True, n_rows, seconds)
    wanted = pq.read_table(folder / "command.parquet").sort_by(_KEY)
    with _session(n_partitions) as session:
        frame = session.read.parquet(str(source)).repartition(n_partitions)
        for turn in ("first run", "workers warm"):
            say(f"scoring by Spark, {turn} ...")
            target, start = folder / f"{turn}.parquet", perf_counter()
            spark.score(frame, model).write.parquet(str(target))
            seconds = perf_counter() - start
            found = pq.read_table(target).sort_by(_KEY)
            by = f"Spark, {n_partitions} partitions, {turn}"
            yield SparkRun("score", by, "", True, n_rows, seconds, differing(found, wanted))


def differing(table: pa.Table, other: pa.Table) -> int:
    """Rows of which any cell differs in any bit; all, if the tables have other columns or other numbers of rows.

    Examples
    --------
    >>> import pyarrow as pa
    >>> differing(pa.table({"score": [1.0, None]}), pa.table({"score": [1.0, 2.0]}))
    1
    """
    import pyarrow.compute as pc

    if table.column_names != other.column_names or table.num_rows != other.num_rows:
        return max(int(table.num_rows), int(other.num_rows))
    differs = np.zeros(table.num_rows, dtype=bool)
    for name in table.column_names:
        cells, others = table[name].combine_chunks(), other[name].combine_chunks().cast(table[name].type)
        same = pc.or_(pc.fill_null(pc.equal(cells, others), False), pc.and_(cells.is_null(), others.is_null()))
        differs |= ~np.asarray(same)
    return len(np.flatnonzero(differs))


@contextmanager
def _session(n_partitions: int) -> Iterator[SparkSession]:
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.log.level": "ERROR",
        "spark.sql.session.timeZone": "UTC",
    }
    builder = SparkSession.builder.master(f"local[{n_partitions}]").appName("vae-anomaly benchmark")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    try:
        yield session
    finally:
        session.stop()


def bars(runs: Sequence[SparkRun]) -> list[Bar]:
    """What must hold.

    Examples
    --------
    >>> bars([SparkRun("score", "Spark", "", True, 9, 1.0, differing_rows=0)])[0].verdict
    'met'
    """
    found = []
    for run in runs:
        if run.differing_rows is not None:
            n_rows = f"{run.differing_rows:,} of {run.rows:,}"
            found.append(Bar(f"{run.by}: no row differs from the command's", n_rows, run.differing_rows == 0))
        if run.by == _TWO and run.must_agree and run.largest_difference is not None:
            text = f"scores of two processes are those of one to {TOLERANCE:g}: {run.settings}"
            largest = run.largest_difference
            found.append(Bar(text, f"{largest:.1e}", largest <= TOLERANCE))
    return found


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``spark``."""
    parser.set_defaults(command=spark_command)
    parser.add_argument("--rows", type=int, default=200_000, metavar="N", help="payments that are scored")
    parser.add_argument("--partitions", type=int, default=4, metavar="N", help="of the Spark frame")


def spark_command(chosen: argparse.Namespace) -> int:
    """Measure, print, write; 1 if a bar is not met."""
    where = environment()
    runs = run_spark(chosen.rows, chosen.partitions)
    show_environment(where)
    show_spark(runs)
    if chosen.output is not None:
        write_runs([_row(run) for run in runs], where, chosen.output, benchmark="spark", force=chosen.force)
    return int(any(bar.verdict != "met" for bar in bars(runs)))


def _row(run: SparkRun) -> dict[str, Any]:
    return {**asdict(run), "rows_per_second": run.rows_per_second}


def show_spark(runs: Sequence[SparkRun]) -> None:
    """Print what was measured, and the bars."""
    trained = [
        (run.settings, run.by, figure(run.seconds, 1), figure(run.held_out_elbo, 4), *_differences(run))
        for run in runs
        if run.task == "train"
    ]
    headers = ["training", "by", "seconds", "held-out ELBO", "largest difference", "median"]
    show("Parquet to a model; differences of scores from those of one process", headers, trained, text_columns=2)
    scored = [
        (run.by, f"{run.rows:,}", figure(run.seconds, 1), figure(run.rows_per_second, 0))
        for run in runs
        if run.task == "score"
    ]
    title = "Parquet to Parquet: the whole command, and Spark after its session began"
    show(title, ["scored by", "rows", "seconds", "rows/s"], scored, text_columns=1)
    verdicts = [(bar.text, bar.measured, bar.verdict) for bar in bars(runs)]
    show("Bars", ["bar", "measured", "verdict"], verdicts, text_columns=1)


def _differences(run: SparkRun) -> tuple[str, str]:
    largest, middle = (
        "–" if run.by == _ONE or found is None else f"{found:.1e}"
        for found in (run.largest_difference, run.middle_difference)
    )
    return largest, middle
