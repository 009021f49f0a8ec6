"""How long ``score`` takes from CSV to CSV, beside scoring in memory and a bare copy of the file, and its memory."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vae_anomaly.benchmark.files import FILES
from vae_anomaly.benchmark.process import run_module, run_task
from vae_anomaly.benchmark.table import say
from vae_anomaly.errors import VaeAnomalyError

MOST_RATIO, MOST_GROWTH = 1.5, 1.1
"""A run may take so many times scoring in memory and a bare copy, and so many times the memory of a tenth of it."""

_BASE_ROWS = 100_000


@dataclass(frozen=True)
class StreamingRun:
    """One file, scored from CSV to CSV.

    Parameters
    ----------
    data : str
        What the file is made of.
    rows : int
        Of the file.
    megabytes : float
        Of the file.
    seconds : float
        Of the whole command, from the start of Python to its end.
    peak_megabytes : float
        Most memory that it held.
    score_seconds : float or None
        Of scoring the rows in memory, when they are read.
    copy_seconds : float or None
        Of pyarrow reading the file and writing it again.
    """

    data: str
    rows: int
    megabytes: float
    seconds: float
    peak_megabytes: float
    score_seconds: float | None = None
    copy_seconds: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times as long as scoring in memory and a bare copy."""
        if self.score_seconds is None or self.copy_seconds is None:
            return None
        return self.seconds / (self.score_seconds + self.copy_seconds)

    def to_row(self) -> dict[str, Any]:
        """A row of the tidy table."""
        return {**asdict(self), "ratio": self.ratio}


def run_streaming(n_rows: int, data_dir: Path | None, scratch: Path | None) -> list[StreamingRun]:
    """Score a tenth of a file, and the file.

    Parameters
    ----------
    n_rows : int
        Of the file.
    data_dir : Path or None
        Where sparkov is, whose rows are repeated; simulated payments if None.
    scratch : Path or None
        Where the files go for a while: four times that of the rows.

    Returns
    -------
    list of StreamingRun
        The smaller one first.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        data, base = base_rows(folder, data_dir)
        model = folder / "model.vaea"
        options = ["--label", "is_fraud"] + [f"--id={column}" for column in identifiers(base)]
        run_module("vae_anomaly", "fit", str(base), "-o", str(model), *options, "--json")
        return [_measured(data, base, model, folder, size) for size in (n_rows // 10, n_rows)]


def time_in_memory(*, path: str, model: str) -> dict[str, Any]:
    """Seconds of scoring the rows of a file that is read already."""
    from vae_anomaly.detector import VAEDetector
    from vae_anomaly.table.io import read_table

    detector = VAEDetector.load(model)
    rows = read_table(path, columns=detector.schema_.names)
    detector.anomaly_score(rows.slice(0, 1_000))
    start = time.perf_counter()
    detector.anomaly_score(rows)
    return {"seconds": time.perf_counter() - start}


def time_copy(*, path: str, target: str) -> dict[str, Any]:
    """Seconds of pyarrow reading a CSV file and writing it."""
    from pyarrow import csv

    start = time.perf_counter()
    csv.write_csv(csv.read_csv(path), target)
    return {"seconds": time.perf_counter() - start}


def base_rows(folder: Path, data_dir: Path | None) -> tuple[str, Path]:
    """The rows that are repeated."""
    base = folder / "base.csv"
    if data_dir is not None:
        source = data_dir / FILES["sparkov"].path
        if not source.is_file():
            raise VaeAnomalyError(f"--data-dir: expected {source}, found no such file. Leave it out to simulate.")
        base.write_bytes(gzip.decompress(source.read_bytes()))
        return "sparkov", base
    from vae_anomaly import make_transactions

    make_transactions(_BASE_ROWS).drop(columns=["typology"]).to_csv(base, index=False)
    return "simulated", base


def identifiers(base: Path) -> Sequence[str]:
    """The columns that only name rows."""
    with base.open() as file:
        names = file.readline().strip().split(",")
    return [name for name in names if name in ("transaction_id", "customer_id", "merchant_id", "terminal_id")]


def _measured(data: str, base: Path, model: Path, folder: Path, n_rows: int) -> StreamingRun:
    path, out = folder / "rows.csv", folder / "out.csv"
    write_repeated(base, path, n_rows)
    say(f"scoring {n_rows:,} rows, {path.stat().st_size / 1e6:,.0f} MB ...")
    seconds, peak = _command_with_peak("score", str(model), str(path), "-o", str(out), "--json")
    megabytes = path.stat().st_size / 1e6
    copied = run_task("copy", path=str(path), target=str(out))["seconds"]
    out.unlink()
    scored = run_task("in-memory", path=str(path), model=str(model))["seconds"]
    path.unlink()
    return StreamingRun(data, n_rows, megabytes, seconds, peak, scored, copied)


def write_repeated(base: Path, path: Path, n_rows: int) -> None:
    """Write so many rows, those of a file over and over."""
    header, *lines = base.read_bytes().splitlines(keepends=True)
    with path.open("wb") as file:
        file.write(header)
        for start in range(0, n_rows, len(lines)):
            file.writelines(lines[: n_rows - start])


def _command_with_peak(*arguments: str) -> tuple[float, float]:
    """Seconds and most megabytes of a command."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "vae_anomaly", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:  # noqa: S603
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said = b"" if process.stderr is None else process.stderr.read()
    seconds = time.perf_counter() - start
    if process.returncode:
        raise VaeAnomalyError(f"vae-anomaly {arguments[0]}: expected it to end well, found {said.decode()}")
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, usage.ru_maxrss * unit / 1e6
