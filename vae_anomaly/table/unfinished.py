"""An output that grows beside its name, takes the name when it is whole, and goes on after whatever broke it off.

``OUT.part`` holds what is written, ``OUT.part.json`` the journal: how much of it counts, and where the input stood. The
journal is replaced whole after each chunk, when what it counts is on the disk; so a run that is killed at any moment
leaves a state that another can go on from, and what both write is, byte for byte, what one would have written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vae_anomaly.errors import OutputError
from vae_anomaly.table.io import check_target

try:
    import fcntl
except ImportError:  # Windows: there a second run on one output is not noticed
    fcntl = None  # type: ignore[assignment]

_LONGEST_NAME = 255  # bytes
_FORMAT = 1


@dataclass(frozen=True)
class Journal:
    """How far a run has come.

    Parameters
    ----------
    run : dict
        What makes it the run that it is: inputs, model, options.
    progress : dict
        Where it stands, in the words of whoever runs it; ``rows`` is the number of rows done.
    size, rejects_size : int
        Bytes of the part files that count.
    whole : bool
        Whether everything is written, and only names are left to change.
    final_size : int
        Bytes of the output, once it is whole.
    pid : int
        The process that runs it.
    """

    run: dict[str, Any]
    progress: dict[str, Any]
    size: int = 0
    rejects_size: int = 0
    whole: bool = False
    final_size: int = 0
    pid: int = field(default_factory=os.getpid)

    @staticmethod
    def read(path: Path) -> Journal | None:
        """The journal of a run that got somewhere; None if there is none."""
        with suppress(OSError, ValueError, TypeError, KeyError):
            document = json.loads(path.read_text())
            if document.pop("format") == _FORMAT:
                found = Journal(**document)
                return found if found.size and found.progress else None
        return None

    def write(self, path: Path) -> None:
        """Replace the journal, so that at any moment there is a whole one."""
        draft = _draft_of(path)
        with draft.open("w") as file:
            json.dump({"format": _FORMAT, **asdict(self)}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)


class PartFile:
    """A file that only ever grows, held by one process at a time.

    Parameters
    ----------
    path : Path
        Its name.

    Raises
    ------
    OutputError
        If another run holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, 0
        self._file = _held(path)

    def cut_to(self, size: int) -> None:
        """Forget everything after so many bytes."""
        os.ftruncate(self._file, size)
        os.lseek(self._file, size, os.SEEK_SET)
        self.size = size

    def append(self, data: bytes) -> None:
        """Write at the end, and see it on the disk."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        if data:
            os.fsync(self._file)
        self.size += len(data)

    def bytes_there(self) -> int:
        """Bytes on the disk, counted or not."""
        return os.fstat(self._file).st_size

    def is_at(self, path: Path) -> bool:
        """Whether it is still this file that has the name."""
        return path.exists() and os.path.samestat(os.fstat(self._file), path.stat())

    def close(self) -> None:
        """Let others have it."""
        os.close(self._file)


class Unfinished:
    r"""The output of a run, until it is whole.

    Parameters
    ----------
    target : str or path
        Its final name; a link is followed.
    run : dict
        What must be the same for a run to go on: inputs, model, options. JSON values.
    rejects : str or path, optional
        A second file, which takes its name with the first.
    resume : bool, default=False
        Whether to go on with what an earlier run left, if it left anything.
    force : bool, default=False
        Whether to discard that instead, and to replace what has the final names.
    convert : callable, optional
        ``convert(part, whole)`` makes the output of the part file when everything is in it; without it that is the
        output.

    Attributes
    ----------
    earlier : Journal or None
        Where to go on from.

    Raises
    ------
    OutputError
        If another run writes the same output, if an earlier one left a state and it is not said what to do with it, or
        if that state is of another run.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "scored.csv"
    >>> try:
    ...     with Unfinished(path, {"model": "m"}) as output:
    ...         output.append(b"first\n", b"", {"rows": 1})
    ...         raise KeyboardInterrupt
    ... except KeyboardInterrupt:
    ...     print(path.exists())
    False
    >>> with Unfinished(path, {"model": "m"}, resume=True) as output:
    ...     print(output.earlier.progress)
    ...     output.append(b"second\n", b"", {"rows": 2})
    ...     output.finish()
    {'rows': 1}
    >>> path.read_text().split(), [other.name for other in path.parent.iterdir()]
    (['first', 'second'], ['scored.csv'])
    """

    def __init__(
        self,
        target: str | os.PathLike[str],
        run: dict[str, Any],
        *,
        rejects: str | os.PathLike[str] | None = None,
        resume: bool = False,
        force: bool = False,
        convert: Callable[[Path, Path], None] | None = None,
    ) -> None:
        self._name, self._path, self._force, self._convert = str(target), Path(target).resolve(), force, convert
        self._journal_path, self._converted = beside(self._path, ".part.json"), beside(self._path, ".part.whole")
        self._rejects = None if rejects is None else Path(rejects).resolve()
        self._side: PartFile | None = None
        self._journal = Journal(run, {})
        check_target(target, force=True)
        with self._in_plain_words():
            self._part = PartFile(beside(self._path, ".part"))
            try:
                self.earlier = self._found(run, resume=resume)
                self._journal = self.earlier or self._journal
                if self._rejects is not None:
                    self._side = PartFile(beside(self._rejects, ".part"))
                self._cut_back()
            except BaseException:
                self._let_go(discard=Journal.read(self._journal_path) is None)
                raise

    @property
    def is_whole(self) -> bool:
        """Whether the earlier run had written everything, so that `finish` is all that is left."""
        return self._journal.whole

    @property
    def rows_kept(self) -> int:
        """Rows that another run could go on after."""
        return int(self._journal.progress.get("rows", 0))

    def append(self, rows: bytes, rejected: bytes, progress: dict[str, Any]) -> None:
        """Write what a chunk has become, and how far that is.

        Raises
        ------
        OutputError
            If the disk is full, or otherwise takes no more. What the journal counts stays.
        """
        with self._in_plain_words():
            self._part.append(rows)
            if self._side is not None:
                self._side.append(rejected)
            self._note(progress=progress)

    def finish(self) -> None:
        """Give the output its name.

        Raises
        ------
        OutputError
            If something else has the name by now, or the disk takes no more.
        """
        with self._in_plain_words():
            if not self._journal.whole:
                source = self._part.path
                if self._convert is not None:
                    source = self._converted
                    self._convert(self._part.path, source)
                    _sync(source)
                self._note(whole=True, final_size=source.stat().st_size)
            self._rename()
            self._journal_path.unlink()
            _sync(self._path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._let_go(discard=not self._journal.progress)  # there is nothing that could be gone on with

    def _found(self, run: dict[str, Any], *, resume: bool) -> Journal | None:
        """What an earlier run left, if it is to be gone on with."""
        journal = Journal.read(self._journal_path)
        if journal is None or not resume:
            if journal is not None and not self._force:
                raise OutputError(
                    f"{self._name}: an earlier run broke off here after {journal.progress['rows']:,} rows. Go on with"
                    " it (--resume), or discard what it did (--force)."
                )
            check_target(self._name, force=self._force)
            self._journal_path.unlink(missing_ok=True)
            return None
        check_target(self._name, force=self._force or journal.whole)
        differing = [name for name, value in _as_json(run).items() if journal.run.get(name) != value]
        if differing:
            raise OutputError(
                f"{self._name}: expected the run that broke off here, found another: its {' and '.join(differing)}"
                " differ. Go on with what it was begun with, or discard what it did (--force)."
            )
        return journal

    def _cut_back(self) -> None:
        """Forget what was written after the journal was."""
        if self._journal.whole:
            return
        sizes = ((self._part, self._journal.size), (self._side, self._journal.rejects_size))
        for file, size in sizes:
            if file is not None and file.bytes_there() < size:
                raise OutputError(
                    f"{file.path}: expected {size:,} bytes of the run that broke off, found {file.bytes_there():,}."
                    " Start again (--force)."
                )
        for file, size in sizes:
            if file is not None:
                file.cut_to(size)

    def _note(self, **changes: Any) -> None:
        side = 0 if self._side is None else self._side.size
        changes = {"pid": os.getpid(), **({} if "whole" in changes else {"size": self._part.size}), **changes}
        journal = replace(self._journal, rejects_size=side, **changes)
        journal.write(self._journal_path)
        self._journal = journal

    def _rename(self) -> None:
        """Change the names that are still to be changed; a run that was killed may have changed some."""
        if self._side is not None and self._rejects is not None:
            self._move(self._side.path, self._rejects, self._journal.rejects_size)
            self._side.path.unlink(missing_ok=True)
        source = self._part.path if self._convert is None else self._converted
        self._move(source, self._path, self._journal.final_size)
        if self._part.is_at(self._part.path):
            self._part.path.unlink()

    def _move(self, source: Path, target: Path, size: int) -> None:
        if source.is_file() and source.stat().st_size == size:
            check_target(target, force=self._force)
            source.replace(target)
        elif not (target.is_file() and target.stat().st_size == size):
            raise OutputError(f"{target}: expected {size:,} bytes of a finished run, found them nowhere. Start again.")

    def _let_go(self, *, discard: bool) -> None:
        try:
            if discard:
                side = () if self._side is None else (self._side.path,)
                journals = (self._journal_path, _draft_of(self._journal_path))
                for path in (*journals, self._converted, *side, self._part.path):
                    path.unlink(missing_ok=True)
        finally:
            for file in (self._part, self._side):
                if file is not None:
                    file.close()

    @contextmanager
    def _in_plain_words(self) -> Iterator[None]:
        try:
            yield
        except OutputError:
            raise
        except OSError as error:
            n_rows = self._journal.progress.get("rows")
            kept = "Nothing was left under that name; check the free space and the permissions of the folder."
            if n_rows is not None:
                kept = f"The {n_rows:,} rows done are kept: make room, and go on with --resume."
            raise OutputError(f"{self._name}: could not be written ({error.strerror or error}). {kept}") from error


def beside(path: Path, ending: str) -> Path:
    """A name in the same folder that goes with a file's, cut where it would be too long.

    Examples
    --------
    >>> beside(Path("folder/scored.csv"), ".part").as_posix()
    'folder/scored.csv.part'
    """
    name = f"{path.name}{ending}"
    if len(os.fsencode(name)) <= _LONGEST_NAME - 1:  # one more for the journal's own
        return path.with_name(name)
    return path.with_name(f"{path.name[:50]}.{sha256(os.fsencode(path.name)).hexdigest()[:16]}{ending}")


def _draft_of(journal: Path) -> Path:
    return journal.with_name(f"{journal.name}~")


def _held(path: Path) -> int:
    """A file opened for this process alone."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.exists(path) and os.path.samestat(os.fstat(file), os.stat(path)):
                return file
        except BlockingIOError:
            os.close(file)
            raise OutputError(
                f"{path}: expected to write this file alone, found another run that writes it. Wait for it, or name"
                " another output."
            ) from None
        os.close(file)  # its holder gave it another name meanwhile


def _sync(path: Path) -> None:
    """See a file or a folder on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _as_json(value: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(value))
    return plain
