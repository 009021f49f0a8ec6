"""What a fit on every row of a file needs, beside the fit that holds the same rows in memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vae_anomaly.benchmark.streaming import base_rows, identifiers, write_repeated
from vae_anomaly.benchmark.table import say
from vae_anomaly.errors import VaeAnomalyError

IN_FILES, IN_MEMORY = "in files", "in memory"
_STEPS = ("--max-steps", "100", "--members", "1")  # they take no more memory the more there are
_EVERY = 0.05  # seconds


@dataclass(frozen=True)
class FitRun:
    """One fit.

    Parameters
    ----------
    data : str
        What the file is made of.
    rows : int
        Of the file, all of which are trained on.
    megabytes : float
        Of the file.
    kept : str
        Where the rows lie meanwhile.
    seconds : float
        Of the whole command.
    peak_megabytes : float or None
        Most memory of its own that it held, without what the system may take back as it lies in files; None where the
        system does not tell.
    held_out_elbo : float
        What the training came to, in nats per row.
    """

    data: str
    rows: int
    megabytes: float
    kept: str
    seconds: float
    peak_megabytes: float | None
    held_out_elbo: float

    def to_row(self) -> dict[str, Any]:
        """A row of the tidy table."""
        return asdict(self)


def run_fits(n_rows: int, data_dir: Path | None, scratch: Path | None) -> list[FitRun]:
    """Fit on a tenth of a file and on the file, with the rows in files and in memory.

    Parameters
    ----------
    n_rows : int
        Of the file.
    data_dir : Path or None
        Where sparkov is, whose rows are repeated; simulated payments if None.
    scratch : Path or None
        Where the files go for a while: three times that of the rows.

    Raises
    ------
    VaeAnomalyError
        A fit fails.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        data, base = base_rows(folder, data_dir)
        options = [*_STEPS, "--label", "is_fraud", *(f"--id={column}" for column in identifiers(base))]
        found = []
        for size in (n_rows // 10, n_rows):
            path = folder / "rows.csv"
            write_repeated(base, path, size)
            for kept, most in ((IN_FILES, "all"), (IN_MEMORY, str(size))):
                say(f"fitting on {size:,} rows {kept} ...")
                command = ["fit", str(path), "-o", str(folder / "model.vaea"), "--force", "--json", "--max-rows", most]
                seconds, peak, summary = _watched([*command, *options])
                elbo = summary["held_out_elbo"]
                found.append(FitRun(data, size, path.stat().st_size / 1e6, kept, seconds, peak, elbo))
        return found


def _watched(arguments: Sequence[str]) -> tuple[float, float | None, dict[str, Any]]:
    """Seconds, most megabytes of its own, and the JSON object of a command."""
    start, peak = time.perf_counter(), 0.0
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as told:
        command = [sys.executable, "-m", "vae_anomaly", *arguments]
        with subprocess.Popen(command, stdout=out, stderr=told) as process:  # noqa: S603
            while process.poll() is None:
                peak = max(peak, _own_megabytes(process.pid))
                time.sleep(_EVERY)
        seconds = time.perf_counter() - start
        out.seek(0)
        told.seek(0)
        if process.returncode:
            raise VaeAnomalyError(f"vae-anomaly fit: expected it to end well, found {told.read().decode()}")
        return seconds, peak or None, json.loads(out.read())


def _own_megabytes(process: int) -> float:
    """Memory of a process that lies in no file; 0 where the system does not tell, or the process has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("RssAnon")), 0.0)
