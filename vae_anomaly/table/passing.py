"""Where rows go that are kept nowhere to be gone on with: standard output, a device, a pipe, or nowhere at all."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from vae_anomaly.errors import OutputError
from vae_anomaly.table.csv_file import STANDARD_STREAM
from vae_anomaly.table.io import check_target
from vae_anomaly.table.unfinished import Journal, PartFile, beside


def is_kept(target: str | None) -> bool:
    """Whether an output is a file, in which an unfinished run can be gone on with.

    Examples
    --------
    >>> is_kept("scored.csv"), is_kept("-"), is_kept(None), is_kept(os.devnull)
    (True, False, False, False)
    """
    return target not in (None, STANDARD_STREAM) and (not os.path.exists(str(target)) or os.path.isfile(str(target)))


class Passing:
    """An output as `vae_anomaly.table.unfinished.Unfinished`, without a journal.

    Parameters
    ----------
    target : str or None
        ``-``, a device or a pipe; None for nowhere.
    rejects : str or None
        A file for rejected rows, which takes its name at the end.
    force : bool, default=False
        Whether that file may be replaced.
    """

    earlier: Journal | None = None
    is_whole = False

    def __init__(self, target: str | None, *, rejects: str | None = None, force: bool = False) -> None:
        self._name, self._force, self._rejects = target, force, rejects
        self._side = None
        if rejects is not None:
            check_target(rejects, force=force)
            self._side = PartFile(beside(Path(rejects).resolve(), ".part"))
            self._side.cut_to(0)
        self._stream: IO[bytes] | None = None
        if target is not None:
            self._stream = sys.stdout.buffer if target == STANDARD_STREAM else open(target, "wb")  # noqa: SIM115

    def append(self, rows: bytes, rejected: bytes, progress: dict[str, Any]) -> None:
        """Pass on what a chunk has become.

        Raises
        ------
        OutputError
            If a device or the file of rejected rows takes no more.
        """
        try:
            if self._side is not None:
                self._side.append(rejected)
            if self._stream is not None:
                self._stream.write(rows)
                self._stream.flush()
        except BrokenPipeError:
            raise  # whoever read our output has had enough: no failure of ours
        except OSError as error:
            if self._name == STANDARD_STREAM:
                raise
            raise OutputError(
                f"{self._name or self._rejects}: could not be written ({error.strerror or error}). Check the free space"
                " and the permissions."
            ) from error

    def finish(self) -> None:
        """Give the file of rejected rows its name."""
        if self._side is not None and self._rejects is not None:
            check_target(self._rejects, force=self._force)
            self._side.path.replace(Path(self._rejects).resolve())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._side is not None:
            if self._side.is_at(self._side.path):
                self._side.path.unlink()
            self._side.close()
        if self._stream is not None and self._name != STANDARD_STREAM:
            with suppress(OSError):  # of a device that is full, once more
                self._stream.close()
