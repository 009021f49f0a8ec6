"""Labelled tables that are not ours: a public card data set, and the user's own file."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import sklearn.datasets

from vae_anomaly.errors import DownloadError, FileFormatError, TableError

_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": pd.read_csv,
    ".csv.gz": pd.read_csv,
    ".parquet": pd.read_parquet,
}


def fetch_creditcard(*, data_home: str | Path | None = None) -> tuple[pd.DataFrame, pd.Series]:
    """Fetch the card payments of two September days of 2013 (ULB Machine Learning Group) from OpenML.

    284,807 payments of European cards, of which 492 are frauds. The columns ``V1`` to ``V28`` are principal components;
    only ``Amount`` is as it was. scikit-learn downloads the set once (about 150 MB) and keeps it.

    Parameters
    ----------
    data_home : str or Path, optional
        Where scikit-learn keeps downloads; its own default if not given.

    Returns
    -------
    data : pandas.DataFrame
        The columns.
    target : pandas.Series of int
        1 for a fraud, 0 for a genuine payment.

    Raises
    ------
    DownloadError
        If OpenML cannot be reached, with what to do instead.

    Examples
    --------
    >>> data, target = fetch_creditcard()  # doctest: +SKIP
    """
    try:
        bunch = sklearn.datasets.fetch_openml(
            "creditcard",
            version=1,
            as_frame=True,
            parser="auto",
            data_home=None if data_home is None else str(data_home),
        )
    except OSError as error:  # a network error, under whichever of its names
        raise DownloadError(
            f"Expected to download the data set 'creditcard', version 1, from openml.org, but found: {error}. Check "
            "the connection, or download the file by hand (https://www.openml.org/d/1597) and read it with "
            "vae_anomaly.datasets.read_labelled(path, label='Class')."
        ) from error
    return bunch.data, _as_flags(bunch.target, "1", "openml.org/d/1597")


def read_labelled(path: str | Path, label: str, *, positive: Any = None) -> tuple[pd.DataFrame, pd.Series]:
    """Read a labelled CSV or Parquet file as a table and a target.

    Parameters
    ----------
    path : str or Path
        A file that ends in ``.csv``, ``.csv.gz`` or ``.parquet``.
    label : str
        The column that says which rows are anomalies.
    positive : object, optional
        The label of an anomaly, such as ``"fraud"``; any other label is normal. Not needed where the labels are 0 and 1
        or booleans.

    Returns
    -------
    data : pandas.DataFrame
        All columns but the label.
    target : pandas.Series of int
        1 for an anomaly, 0 for a normal row.

    Raises
    ------
    FileFormatError
        If the file is of no known kind, or cannot be read as one.
    TableError
        If there is no such column, a label is missing, only one class occurs, or it is unclear which label is an
        anomaly.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "claims.csv"
    >>> pd.DataFrame({"amount": [12.5, 990.0], "verdict": ["ok", "fraud"]}).to_csv(path, index=False)
    >>> data, target = read_labelled(path, "verdict", positive="fraud")
    >>> list(data), target.tolist()
    (['amount'], [0, 1])
    """
    frame = _read(Path(path))
    if label not in frame.columns:
        raise TableError(
            f"Expected a label column {label!r} in {path}, but found the columns {', '.join(map(repr, frame))}. "
            "Name one of them."
        )
    return frame.drop(columns=label), _as_flags(frame[label], positive, path)


def _read(path: Path) -> pd.DataFrame:
    kind = next((end for end in _READERS if path.name.lower().endswith(end)), None)
    if kind is None:
        raise FileFormatError(
            f"Expected a file that ends in {' or '.join(_READERS)}, but found {path.name!r}. Convert or rename it."
        )
    path.open("rb").close()  # absent or forbidden is not unreadable: these errors of the system are clear enough
    try:
        return _READERS[kind](path)
    except (ValueError, OSError, EOFError, zlib.error) as error:  # as pandas, pyarrow and gzip call a broken file
        raise FileFormatError(
            f"Expected {path} to be a readable {kind} file, but found: {error}. Repair it."
        ) from error


def _as_flags(labels: pd.Series, positive: Any, where: str | Path) -> pd.Series:
    """Labels as 0 and 1, with both of them present."""
    if labels.isna().any():
        raise TableError(
            f"Expected a label in every row of {where}, but {int(labels.isna().sum())} of {len(labels)} are missing in "
            f"{labels.name!r}. Drop or fill these rows."
        )
    values = labels.unique().tolist()
    if positive is None and not set(values) <= {0, 1}:
        raise TableError(
            f"Expected the labels 0 and 1 in {labels.name!r} of {where}, but found {_some(values)}. Say which of them "
            "is an anomaly with positive=..."
        )
    flags = (labels == (1 if positive is None else positive)).astype("int64")
    if flags.nunique() != 2:
        raise TableError(
            f"Expected both normal rows and anomalies in {labels.name!r} of {where}, but found only {_some(values)}"
            f"{'' if positive is None else f' where an anomaly is {positive!r}'}. Name another label column or value."
        )
    return flags


def _some(values: list[Any]) -> str:
    return ", ".join(map(repr, values[:5])) + (f" and {len(values) - 5} more" if len(values) > 5 else "")
