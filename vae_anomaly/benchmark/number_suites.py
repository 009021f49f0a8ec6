"""Protocols on tables of numbers: ADBench's sets, and the card payments whose columns are principal components."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from vae_anomaly.benchmark.files import FILES
from vae_anomaly.benchmark.protocol import DataSet, Suite, by_label, one_file
from vae_anomaly.benchmark.reading import checked, read_labelled
from vae_anomaly.benchmark.splits import contaminated, creditcard_contaminated, creditcard_normal, normal50
from vae_anomaly.errors import TableError

ROWS_OF_A_GENUINE_PAYMENT = 11.7
"""The file holds all frauds of its source and one genuine payment in so many."""


def read_adbench(path: Path) -> DataSet:
    """Read arrays `X` and `y`.

    Raises
    ------
    TableError
        If it does not hold what is expected.
    """
    with np.load(path, allow_pickle=False) as arrays:
        if not {"X", "y"} <= set(arrays):
            raise TableError(f"{path}: expected arrays X and y, found {sorted(arrays)}.")
        return checked(DataSet(arrays["X"], arrays["y"].astype(np.int64).ravel()), path)


def read_creditcard(path: Path) -> DataSet:
    """Read all columns but the label as one array.

    Raises
    ------
    TableError
        If it does not hold what is expected.
    """
    data = read_labelled(FILES["creditcard"], path)
    return DataSet(np.asarray(data.X), data.y)


def _adbench(data_dir: Path) -> dict[str, Path]:
    found = (data_dir / "adbench").glob("*.npz")
    named = {path.stem.split("_", 1)[-1]: path for path in found}  # 45_wine.npz
    return dict(sorted(named.items(), key=lambda item: item[0].lower()))


_creditcard = partial(
    Suite,
    paths=one_file("creditcard", FILES["creditcard"].path),
    read=read_creditcard,
    genuine_weight=ROWS_OF_A_GENUINE_PAYMENT,
)

NUMBER_SUITES: dict[str, Suite] = {
    "normal50": Suite(_adbench, read_adbench, by_label(normal50), clean=True),
    "contaminated": Suite(_adbench, read_adbench, by_label(contaminated), clean=False),
    "creditcard-normal": _creditcard(split=by_label(creditcard_normal), clean=True),
    "creditcard-contaminated": _creditcard(split=by_label(creditcard_contaminated), clean=False),
}
