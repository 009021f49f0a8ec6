"""Tables that lie in files rather than in memory, for fits of more rows than that holds.

Rows lie there twice: as they were read, in a stream of Arrow that is mapped into memory, of which a column at a time is
looked at; and encoded, as mapped arrays, of which training draws rows. The system keeps of both what it has room for.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vae_anomaly.errors import OutputError, VaeAnomalyError
from vae_anomaly.table.encoding import TableEncoder
from vae_anomaly.table.layout import EncodedTable

_ROWS_AT_ONCE = 1 << 16


@dataclass
class DiskFolder:
    """A folder for the rows of one run.

    Parameters
    ----------
    path : Path
        Where it lies.
    n_files : int
        How many files it was given.
    """

    path: Path
    n_files: int = 0

    def stored(self, tables: Iterable[pa.Table], *, long_texts: bool = True) -> pa.Table:
        """The rows of all tables, of which only one has to be in memory at a time.

        Parameters
        ----------
        tables : iterable of pyarrow.Table
            One below the other: at least one, all of the same columns.
        long_texts : bool, default=True
            Whether text gets long offsets, so that a column of more than 2 GB of it can be looked at as one.

        Returns
        -------
        pyarrow.Table
            One whose cells lie in a file.

        Raises
        ------
        OutputError
            The file cannot be written.

        Examples
        --------
        >>> with on_disk(Path(tempfile.gettempdir(), "model.vaea")) as folder:
        ...     folder.stored(pa.table({"shop": [name]}) for name in "ab")["shop"].to_pylist()
        ['a', 'b']
        """
        path = self._new("rows")
        with _written(path) as file:
            rows = map(_with_long_texts, tables) if long_texts else iter(tables)
            first = next(rows)
            with pa.ipc.new_stream(file, first.schema) as stream:
                stream.write_table(first)
                for table in rows:
                    stream.write_table(table)
        return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()

    def encoded(self, encoder: TableEncoder, table: pa.Table) -> EncodedTable:
        """What the encoder makes of a table, in files.

        Raises
        ------
        OutputError
            A file cannot be written.
        """
        paths = [self._new(name) for name in ("values", "angles", "codes")]
        with ExitStack() as stack:
            files = [stack.enter_context(_written(path)) for path in paths]
            for start in range(0, table.num_rows, _ROWS_AT_ONCE):
                rows = encoder.encode(table.slice(start, _ROWS_AT_ONCE))
                for file, block in zip(files, _blocks(rows), strict=True):
                    file.write(block.tobytes())
        none = encoder.encode(table.slice(0, 0))
        mapped = (_mapped(path, block, table.num_rows) for path, block in zip(paths, _blocks(none), strict=True))
        return EncodedTable(*mapped)

    def _new(self, name: str) -> Path:
        self.n_files += 1
        return self.path / f"{name}-{self.n_files}"


_folder: Final[ContextVar[DiskFolder | None]] = ContextVar("folder", default=None)


@contextmanager
def on_disk(beside: Path) -> Iterator[DiskFolder]:
    """Keep what is encoded inside, as by a fit, in files of a folder that is removed at the end.

    Parameters
    ----------
    beside : Path
        A file beside which the folder is made: it needs the size of the rows as text, and of four bytes for each number
        and category.

    Yields
    ------
    folder : DiskFolder
        For the rows themselves.

    Raises
    ------
    OutputError
        The folder cannot be made.
    """
    try:
        made = tempfile.TemporaryDirectory(prefix=f".{beside.name[:50]}.rows-", dir=beside.resolve().parent)
    except OSError as error:
        raise _refused(beside.resolve().parent, error) from error
    with made as name:
        folder = DiskFolder(Path(name))
        token = _folder.set(folder)
        try:
            yield folder
        finally:
            _folder.reset(token)


def encoded_rows(encoder: TableEncoder, X: Any) -> EncodedTable:
    """What the encoder makes of a table: in memory, or of tables of Arrow inside of `on_disk` in files."""
    folder = _folder.get()
    return folder.encoded(encoder, X) if folder is not None and isinstance(X, pa.Table) else encoder.encode(X)


def _blocks(rows: EncodedTable) -> tuple[NDArray[Any], ...]:
    return rows.values, rows.angles, rows.codes


def _mapped(path: Path, like: NDArray[Any], n_rows: int) -> NDArray[Any]:
    if not like.shape[1]:
        return np.empty((n_rows, 0), like.dtype)  # an empty file cannot be mapped
    return np.memmap(
        path, like.dtype, mode="c", shape=(n_rows, like.shape[1])
    )  # torch takes no array that is read-only


def _with_long_texts(table: pa.Table) -> pa.Table:
    columns = [cells.cast(pa.large_string()) if cells.type == pa.string() else cells for cells in table.columns]
    return pa.table(columns, names=table.column_names)


@contextmanager
def _written(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("wb") as file:
            yield file
    except VaeAnomalyError:
        raise  # of the rows, while they are read
    except OSError as error:
        raise _refused(path.parent.parent, error) from error


def _refused(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{folder}: the rows of this run could not be kept there ({error.strerror or error}). Nothing was left; free"
        " some space, put the output on another disk, or take fewer rows."
    )
