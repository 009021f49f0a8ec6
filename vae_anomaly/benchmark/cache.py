"""What was measured, by content: the same detector on the same rows is not fitted twice.

A file of the cache is a JSON object, named by the SHA-256 of all that decides its figures. Nothing in it is executed.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import os
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.benchmark.detectors import OURS, Detector
from vae_anomaly.benchmark.encodings import Z_SCORES
from vae_anomaly.errors import OutputError

MEASUREMENT = 1
"""Raise it when `vae_anomaly.benchmark.measuring` measures differently: then everything is measured again."""

_PACKAGE = Path(__file__).parents[1]
OUR_SOURCES = ("model", "training", "table", "detector.py", "_inputs.py", "_known.py")


def default_folder() -> Path:
    """Where results are kept unless told otherwise: the user's own cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "vae-anomaly", "benchmark")


def arrays_digest(arrays: Iterable[NDArray[Any]]) -> str:
    """Digest of values, types and shapes.

    Examples
    --------
    >>> rows = np.arange(6.0)
    >>> arrays_digest([rows]) == arrays_digest([rows.copy()])
    True
    >>> arrays_digest([rows]) == arrays_digest([rows.reshape(2, 3)])
    False
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def as_arrays(table: Any) -> list[NDArray[Any]]:
    """What `arrays_digest` can read: an array is itself, a frame its columns' names and types and a hash of each row.

    Examples
    --------
    >>> import pandas as pd
    >>> [array.shape for array in as_arrays(pd.DataFrame({"city": ["Oslo", "Bergen", None]}))]
    [(1,), (3,)]
    """
    if isinstance(table, np.ndarray):
        return [table]
    from pandas.util import hash_pandas_object

    columns = np.array([f"{name} {dtype}" for name, dtype in table.dtypes.items()])
    return [columns, hash_pandas_object(table, index=False).to_numpy()]


def encoding_identity(encoding: str | None) -> dict[str, str]:
    """What decides the numbers that a detector gets, beside the rows: nothing, where they are given as they are.

    Neither does it for z-scores: they were there before the other encodings, and results of theirs are kept.

    Examples
    --------
    >>> encoding_identity("z-scores"), list(encoding_identity("one-hot"))
    ({}, ['encoding'])
    """
    if encoding is None or encoding == Z_SCORES:
        return {}
    code = _tree(_PACKAGE / "benchmark" / "encodings.py")
    return {"encoding": f"{encoding}, scikit-learn {version('scikit-learn')}, {hashlib.sha256(code).hexdigest()}"}


def identity(name: str, entry: Detector, estimator: Any) -> dict[str, str]:
    """What decides the scores of a detector beside the rows: its code, its settings, its library.

    Parameters
    ----------
    name : str
        Its name.
    entry : Detector
        Its entry.
    estimator : object
        As built, not fitted.

    Examples
    --------
    >>> from vae_anomaly.benchmark.detectors import detector
    >>> entry = detector("LOF")
    >>> sorted(identity("LOF", entry, entry.build(0, {})))
    ['code', 'detector', 'library', 'settings']
    """
    settings = estimator.get_params()
    return {
        "detector": name,
        "settings": repr(sorted((key, repr(value)) for key, value in settings.items())),
        "library": f"{entry.library} {version(entry.library)}",
        "code": _our_code() if name == OURS else _entry_code(entry),
    }


def key(parts: Mapping[str, Any]) -> str:
    """Name of a measurement, from what decides its figures.

    Examples
    --------
    >>> key({"seed": 0, "detector": "LOF"}) == key({"detector": "LOF", "seed": 0})
    True
    """
    text = json.dumps({"measurement": MEASUREMENT, **parts}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def load(folder: Path, name: str) -> dict[str, Any] | None:
    """The figures of that name; None if there are none, or the file is damaged."""
    try:
        found = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def save(folder: Path, name: str, figures: Mapping[str, Any]) -> None:
    """Keep figures under that name, whole or not at all.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    target, draft = folder / f"{name}.json", folder / f"{name}.{os.getpid()}.draft"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(figures), encoding="utf-8")
        draft.replace(target)
    except OSError as error:
        raise OutputError(f"--cache: expected a folder to write to, found {folder}: {error}.") from error


@cache
def _our_code() -> str:
    """Digest of the syntax trees: comments and line breaks decide nothing."""
    digest = hashlib.sha256()
    for source in OUR_SOURCES:
        path = _PACKAGE / source
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(str(file.relative_to(_PACKAGE)).encode())
            digest.update(_tree(file))
    return digest.hexdigest()


def _tree(file: Path) -> bytes:
    return ast.dump(ast.parse(file.read_text(encoding="utf-8"))).encode()


def _entry_code(entry: Detector) -> str:
    return hashlib.sha256((inspect.getsource(entry.build) + inspect.getsource(entry.score)).encode()).hexdigest()
