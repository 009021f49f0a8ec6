"""The segment of each row of a table from a file or a request, by the column that a model file names."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vae_anomaly.decision.calibration import Calibration
from vae_anomaly.decision.calibration_rows import as_segments
from vae_anomaly.errors import ModelFileError, TableError
from vae_anomaly.table.cells import clean_text, is_text

_WHOLE = r"^(0|-?[1-9][0-9]*)\.0+$"
_NAMES_SHOWN, _CHARACTERS_SHOWN = 6, 60


def segments_of(cells: pa.ChunkedArray) -> NDArray[np.object_]:
    """The segment of each cell: text as it is written, without the spaces around it, None where it is missing.

    A gap turns a column of whole numbers into 276.0 and the like; that is segment 276, as in Python.

    Examples
    --------
    >>> segments_of(pa.chunked_array([["DE ", "NA", "0276", "276.0"]]))
    array(['DE', None, '0276', '276'], dtype=object)
    """
    values = pc.replace_substring_regex(clean_text(cells), _WHOLE, r"\1") if is_text(cells.type) else cells
    return as_segments(np.array(values.to_pylist(), dtype=object))


def known_segments(table: pa.Table, known: Collection[str], column: str | None) -> NDArray[np.object_] | None:
    """The segment of each row for a calibration that has thresholds for segments; None for one that has not.

    Parameters
    ----------
    table : pyarrow.Table
        Rows.
    known : collection of str
        The segments with a threshold of their own.
    column : str or None
        The column that they are values of, as the model file has it.

    Raises
    ------
    ModelFileError
        The file does not name the column.
    TableError
        The table has no such column.

    Examples
    --------
    >>> known_segments(pa.table({"country": ["DE", "FR"]}), ["DE"], "country")
    array(['DE', 'FR'], dtype=object)
    """
    if not known:
        return None
    if column is None:
        raise ModelFileError(
            f"The model has thresholds for the segments {few(list(known))}: expected the name of their column in it,"
            " found none. Calibrate again with --segment-column COL, or in Python save(path, segment_column=COL)."
        )
    if column not in table.column_names:
        raise TableError(
            f"Expected the column {column!r}, by whose values the model has thresholds, found only"
            f" {few(table.column_names)}. Add it, or calibrate again without --segment-column."
        )
    return segments_of(table[column])


def thresholds_of(own: float, calibration: Calibration | None, segment_column: str | None) -> dict[str, Any]:
    """What rows alert by, as JSON values.

    Parameters
    ----------
    own : float
        The threshold of a detector that is not calibrated.
    calibration : Calibration or None
        What decides in its place.
    segment_column : str or None
        The column whose values are its segments.

    Examples
    --------
    >>> thresholds_of(21.5, None, None)
    {'threshold': 21.5, 'rule': None, 'segment_column': None, 'segment_thresholds': {}, 'rest_threshold': None}
    """
    found: dict[str, Any] = {"threshold": own, "rule": None, "segment_column": None, "segment_thresholds": {}}
    if calibration is None:
        return {**found, "rest_threshold": None}
    segments = {name: part.threshold for name, part in calibration.segments.items()}
    return {
        "threshold": calibration.threshold,
        "rule": repr(calibration.rule),
        "segment_column": segment_column if segments else None,
        "segment_thresholds": segments,
        "rest_threshold": calibration.of_rest.threshold if segments else None,
    }


def few(names: list[str] | tuple[str, ...]) -> str:
    """The first names, in quotes.

    Examples
    --------
    >>> few(["DE", "FR"])
    "'DE', 'FR'"
    """
    shown = ", ".join(repr(name[:_CHARACTERS_SHOWN]) for name in names[:_NAMES_SHOWN])
    return shown + (", ..." if len(names) > _NAMES_SHOWN else "")
