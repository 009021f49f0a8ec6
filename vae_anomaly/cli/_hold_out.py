"""Rows that `fit` leaves out, for a calibration of its model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vae_anomaly.cli._options import Reading, check_apart
from vae_anomaly.errors import OutputError, ParameterError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class HoldOut:
    """Which rows not to train on, and where to keep them.

    Parameters
    ----------
    share : float
        Of the rows, in (0, 1).
    path : Path
        A file for them, with every column.
    time : str or None
        The column by which they are the latest; without it they are drawn by the seed.
    """

    share: float
    path: Path
    time: str | None = None

    def check_target(self, model: Path, files: Sequence[str], *, force: bool) -> None:
        """Raise an `OutputError` if the rows cannot be kept there."""
        from vae_anomaly.table.io import check_target

        if str(self.path) == "-" or os.path.abspath(self.path) == os.path.abspath(model):
            raise OutputError(f"--hold-out-to: expected a file of its own, found {str(self.path)!r}. Name another.")
        check_target(self.path, force=force)
        check_apart(self.path, files, "an input file")

    def parted(self, table: pa.Table, reading: Reading, seed: int) -> tuple[Iterator[pa.Table], Iterator[pa.Table]]:
        """The rows to train on, and those held out, each in the order of the file; rows of one time stay together."""
        import numpy as np

        from vae_anomaly._splits import Beside, splits
        from vae_anomaly.cli._rows import times
        from vae_anomaly.cli._sample import where

        time = None if self.time is None else times(table, self.time, reading).astype("datetime64[ns]")
        (split,) = splits(self.share, None, None, table.num_rows, Beside(time), seed)
        held_out = np.zeros(table.num_rows, dtype=bool)
        held_out[split.calibration] = True
        return where(table, ~held_out), where(table, held_out)


def hold_out_of(share: float | None, path: Path | None, time: str | None) -> HoldOut | None:
    """What the options ask for.

    Raises
    ------
    ParameterError
        One goes without another, or the share is none.

    Examples
    --------
    >>> hold_out_of(0.25, Path("later.csv"), None)
    HoldOut(share=0.25, path=PosixPath('later.csv'), time=None)
    """
    if share is None or path is None:
        for option, value in (("--hold-out", share), ("--hold-out-to", path), ("--time-column", time)):
            if value is not None:
                raise ParameterError(
                    f"{option} goes with --hold-out SHARE and --hold-out-to FILE: expected both, found one or none. "
                    f"Give both, or leave {option} out."
                )
        return None
    if not 0 < share < 1:
        raise ParameterError(f"--hold-out must be a share of the rows in (0, 1). Got {share} instead.")
    return HoldOut(share, path, time)
