"""What a run over files of any size is to do with their rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vae_anomaly.cli._options import BAD_ROWS, ERROR
from vae_anomaly.errors import ParameterError


@dataclass(frozen=True)
class Wanted:
    """What a run is to do with the rows.

    Parameters
    ----------
    output : str or None
        Where they go.
    rejects : str or None
        Where those go that cannot be read.
    bad_rows : {"error", "skip", "missing"}
        What to do with these.
    n_top : int
        The most anomalous rows to keep.
    device : str
        Where to compute.
    safe : bool
        Whether no cell may be a formula to a spreadsheet.
    resume, force : bool
        As for `vae_anomaly.table.unfinished.Unfinished`.
    update_state : Path or None
        A model file to write that remembers the rows too.
    """

    output: str | None = None
    rejects: str | None = None
    bad_rows: str = ERROR
    n_top: int = 0
    device: str = "auto"
    safe: bool = False
    resume: bool = False
    force: bool = False
    update_state: Path | None = None

    def __post_init__(self) -> None:
        if self.bad_rows not in BAD_ROWS:
            raise ParameterError(
                f"--bad-rows must be {', '.join(BAD_ROWS[:-1])} or {BAD_ROWS[-1]}. Got {self.bad_rows!r} instead."
            )

    @property
    def rejects_file(self) -> str | None:
        """Where rejected rows go; None if there are to be none."""
        if self.bad_rows == ERROR:
            return None
        return self.rejects or f"{self.output}.rejects.csv"
