"""Labelled files as data sets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from vae_anomaly.benchmark.files import DataFile
from vae_anomaly.benchmark.protocol import DataSet
from vae_anomaly.errors import TableError

if TYPE_CHECKING:
    import pandas as pd


def read_rows(path: str | TextIO, *, header: bool = True) -> pd.DataFrame:
    """Read a CSV file with pandas; without a header, columns get the names that the command line gives them.

    Examples
    --------
    >>> from io import StringIO
    >>> read_rows(StringIO("1,a"), header=False).columns.tolist()
    ['column_1', 'column_2']
    """
    import pandas as pd

    rows = pd.read_csv(path, header=0 if header else None)
    return rows if header else rows.set_axis([f"column_{number}" for number in range(1, rows.shape[1] + 1)], axis=1)


def read_labelled(file: DataFile, path: Path) -> DataSet:
    """Read a CSV file as it is, its label and the columns that its entry drops aside.

    Parameters
    ----------
    file : DataFile
        How it is written.
    path : Path
        Where it is.

    Raises
    ------
    TableError
        If it does not hold what is expected.
    """
    rows = read_rows(str(path), header=file.header)
    check_columns(rows, (file.label, *file.drop), path)
    label = rows[file.label]
    y = label.to_numpy() if file.negative is None else (label != file.negative).to_numpy()
    return checked(DataSet(rows.drop(columns=[file.label, *file.drop]), y.astype(np.int64)), path)


def check_columns(rows: pd.DataFrame, names: Iterable[str], path: Path | str) -> None:
    """Raise a `TableError` if one is not there.

    Examples
    --------
    >>> import pandas as pd
    >>> check_columns(pd.DataFrame({"amount": [1.0]}), ["label"], "payments.csv")
    Traceback (most recent call last):
        ...
    vae_anomaly.errors.TableError: payments.csv: expected columns ['label'], found only ['amount'].
    """
    absent = [name for name in names if name not in rows]
    if absent:
        raise TableError(f"{path}: expected columns {absent}, found only {rows.columns.tolist()}.")


def checked(data: DataSet, path: Path) -> DataSet:
    """The data set as it is, if it can be measured on.

    Parameters
    ----------
    data : DataSet
        As read.
    path : Path
        Where it was read, for the message.

    Raises
    ------
    TableError
        If there is not one label, 0 or 1, for each row, or not both.
    """
    X, y = data.X, data.y
    if X.ndim != 2 or X.shape[0] != len(y) or set(np.unique(y)) != {0, 1}:
        raise TableError(f"{path}: expected a label, 0 or 1, for each row, and both; found {X.shape} and {y.shape}.")
    return data
