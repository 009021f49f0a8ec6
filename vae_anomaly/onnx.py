"""A model for any language: one ONNX graph from encoded columns to scores, and a JSON file that says how to encode.

The graph has up to three inputs, those of which the table has columns: ``values`` (float32), ``angles`` (float32,
radians in [0, 2π)) and ``codes`` (int32), each with a line for each row; NaN and code 0 are missing cells. It has two
outputs, both float64: ``anomaly_score`` of shape (rows,), in nats, and ``column_surprisal`` of shape (rows, columns).

The JSON file lists the columns in the order of the table, each with its `kind`:

- ``numeric``: ``values[at] = clip((x/2 - location/2) / (scale/2), -clip, clip)`` in double precision, then rounded to
  float32. By `reading` x is a number (of a truth value 0 or 1), or a moment in seconds since 1970 by the wall clock.
- ``categorical``, ``boolean``, ``constant``: ``codes[at]`` is 3 + the place of the cell's text in `levels` (from 0), 2
  if it is in `rare`, 1 if it is in neither. By `reading` the text of a cell is, without the spaces around it,

  - ``text``: as it is; of a number the shortest text that reads as the same number, whole ones without a decimal
    point; of a truth value "true" or "false"; of a date as ``moment``;
  - ``number``: of a text that is a number in decimal or scientific notation, and of a truth value, as of that number;
  - ``truth``: "true" for true, yes, on, t, y and 1 as a number, "false" for false, no, off, f, n and 0 as a number;
  - ``moment``: of a date, ``YYYY-MM-DD HH:MM:SS.ffffff`` by the wall clock.
- ``datetime``: by the wall clock as it is written, in text with an offset too; a typed timestamp that knows its zone is
  taken to `zone` where the column has one. Each of `angles` is 2π · turn in ``angles[at]``, with the turn by `cycle`:
  ``time_of_day`` is the part of the day that has passed, ``day_of_month`` (day - 1) / 31, ``day_of_year``
  (day of the year - 1) / 366; what rounds to 2π is 0. ``codes[at]`` of `weekday` is 3 + the day of the week, 0 for
  Monday.
- ``identifier``: is not read.

A null, NaN, or text in `missing_texts` is a missing cell.
"""

from __future__ import annotations

import json
import logging
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

from vae_anomaly._segments import thresholds_of
from vae_anomaly._version import __version__
from vae_anomaly.decision.calibration import Calibration
from vae_anomaly.errors import MissingExtraError, OutputError, ParameterError
from vae_anomaly.table.cells import MISSING_TEXTS
from vae_anomaly.table.columns import (
    BooleanColumn,
    CategoricalColumn,
    Column,
    ConstantColumn,
    DatetimeColumn,
    NumericColumn,
)
from vae_anomaly.table.encoding import _MAX_Z
from vae_anomaly.table.inference import zone_of
from vae_anomaly.table.io import check_target
from vae_anomaly.table.layout import FIRST_LEVEL, MISSING, RARE, UNSEEN, PartKind
from vae_anomaly.table.schema import Schema

if TYPE_CHECKING:
    from vae_anomaly.detector import VAEDetector

FORMAT = 1
"""Of the JSON file. It grows whenever a reader of an older one would encode rows wrongly."""

_MISSING_PACKAGES = ("onnx", "onnxscript")
_EXAMPLE_ROWS = 3  # any number but 0 and 1, which the exporter would take for fixed
_TURNS = 64
_ANGLES = ("time_of_day", "day_of_month", "day_of_year")


def export_onnx(
    detector: VAEDetector,
    path: str | os.PathLike[str],
    *,
    calibration: Calibration | None = None,
    segment_column: str | None = None,
    overwrite: bool = False,
) -> tuple[Path, Path]:
    """Write a fitted detector as an ONNX graph, and beside it a JSON file that says how rows are encoded.

    Parameters
    ----------
    detector : VAEDetector
        Fitted. Known frauds are part of the graph.
    path : path-like
        Of the graph, by custom ``*.onnx``; the JSON file has ``.encoding.json`` in place of its extension.
    calibration : Calibration or None, default=None
        Where the thresholds in the JSON file come from; None takes the detector's own.
    segment_column : str or None, default=None
        The column whose values are the calibration's segments.
    overwrite : bool, default=False
        Replace existing files.

    Returns
    -------
    graph, encoding : Path
        The two files.

    Raises
    ------
    ParameterError
        The score is "iwae", which is no sum over columns.
    MissingExtraError
        onnx or onnxscript is not installed.
    OutputError
        A file exists and may not be overwritten, or cannot be written.

    Notes
    -----
    Scores agree with `score_samples` to 1e-4 relative and mostly to 1e-6: another runtime rounds otherwise, and a row's
    last bits may depend on how many rows come with it.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from vae_anomaly import VAEDetector
    >>> rows = pd.DataFrame({"amount": [float(i % 4) for i in range(400)], "shop": list("abcd") * 100})
    >>> detector = VAEDetector(n_members=1, max_steps=60).fit(rows)
    >>> graph, encoding = export_onnx(detector, Path(tempfile.mkdtemp()) / "payments.onnx")
    >>> graph.name, encoding.name
    ('payments.onnx', 'payments.encoding.json')
    >>> json.loads(encoding.read_text())["inputs"]
    {'values': 1, 'codes': 1}
    """
    check_is_fitted(detector, "offset_")
    _check_score(detector)
    graph = Path(path)
    encoding = graph.with_suffix(".encoding.json")
    for target in (graph, encoding):
        check_target(target, force=overwrite)
    document = encoding_of(detector, calibration, segment_column)
    content = graph_of(detector)
    _write(graph, content)
    _write(encoding, (json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode())
    return graph, encoding


def graph_of(detector: VAEDetector) -> bytes:
    """The ONNX graph of a fitted detector, serialised.

    Raises
    ------
    ParameterError, MissingExtraError
        As `export_onnx`.
    """
    _check_score(detector)
    for package in _MISSING_PACKAGES:
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtraError(package, "onnx") from error
    import onnx
    import torch

    from vae_anomaly._onnx_graph import SCORE, SURPRISAL, ScoringGraph

    module = ScoringGraph(detector).cpu().eval()
    rows = module.example(_EXAMPLE_ROWS)
    dynamic = {name: {0: torch.export.Dim("rows")} for name in rows}
    with torch.no_grad(), _quiet():
        program = torch.export.export(module, (), kwargs=rows, dynamic_shapes=dynamic)
        program = program.run_decompositions(_spelt_out())
        exported = torch.onnx.export(
            program,
            (),
            kwargs=rows,
            dynamo=True,
            input_names=list(rows),
            output_names=[SCORE, SURPRISAL],
            verbose=False,
        )
    if exported is None:
        raise RuntimeError("torch gave no program to write")
    model = exported.model_proto
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "rows"
    del model.graph.value_info[:]
    model.producer_name, model.producer_version = "vae_anomaly", __version__
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def encoding_of(
    detector: VAEDetector, calibration: Calibration | None = None, segment_column: str | None = None
) -> dict[str, Any]:
    """How rows become the inputs of the graph, and what its outputs mean, as JSON values.

    Parameters
    ----------
    detector, calibration, segment_column
        As in `export_onnx`.
    """
    schema = detector.schema_
    layout = schema.layout()
    widths = {"values": layout.n_values, "angles": layout.n_angles, "codes": layout.n_codes}
    places = _places(schema)
    return {
        "format": FORMAT,
        "written_by": f"vae_anomaly {__version__}",
        "score_type": detector.score_type,
        "unit": "nats",
        "inputs": {name: width for name, width in widths.items() if width},
        "codes": {"missing": MISSING, "unseen": UNSEEN, "rare": RARE, "first_level": FIRST_LEVEL},
        "missing_texts": list(MISSING_TEXTS),
        "columns": [{"name": c.name, **_column(c, places.get(c.name, {}))} for c in schema.columns],
        "column_surprisal": list(schema.modelled),
        **thresholds_of(-detector.offset_, calibration, segment_column),
    }


def _check_score(detector: VAEDetector) -> None:
    if detector.score_type == "iwae":
        raise ParameterError(
            "An ONNX graph holds a score of one pass, score_type 'elbo' or 'reconstruction'. Got 'iwae' instead, which"
            " takes many: fit another detector."
        )


def _places(schema: Schema) -> dict[str, dict[PartKind, list[int]]]:
    """For each modelled column, where its parts of each kind lie in their block."""
    layout = schema.layout()
    found: dict[str, dict[PartKind, list[int]]] = {name: {} for name in layout.columns}
    for kinds in ((PartKind.VALUE,), (PartKind.ANGLE,), (PartKind.BINARY, PartKind.CATEGORY)):
        for place, part in enumerate(layout.of_kind(*kinds)):
            found[layout.columns[part.column]].setdefault(kinds[-1], []).append(place)
    return found


def _column(column: Column, places: dict[PartKind, list[int]]) -> dict[str, Any]:
    kind = {"kind": str(column.kind)}
    if isinstance(column, NumericColumn):
        (at,) = places[PartKind.VALUE]
        scaling = {"location": column.location, "scale": column.scale, "clip": _MAX_Z}
        return {**kind, "at": at, "reading": str(column.reading), "zone": zone_of(column.dtype), **scaling}
    if isinstance(column, DatetimeColumn):
        cycles = [name for name in _ANGLES if getattr(column, name)]
        angles = [{"cycle": cycle, "at": at} for cycle, at in zip(cycles, places.get(PartKind.ANGLE, []), strict=True)]
        week = {"at": places[PartKind.CATEGORY][0]} if column.day_of_week else None
        return {**kind, "zone": zone_of(column.dtype), "angles": angles, "weekday": week}
    if isinstance(column, CategoricalColumn | BooleanColumn | ConstantColumn):
        (at,) = places[PartKind.CATEGORY]
        rare = list(column.rare) if isinstance(column, CategoricalColumn) else []
        return {**kind, "at": at, "reading": str(column.reading), "levels": list(column.levels), "rare": rare}
    return kind


def _spelt_out() -> dict[Any, Any]:
    """Two functions of angles that ONNX does not have, by others."""
    import torch

    def bessel(x: torch.Tensor) -> torch.Tensor:
        # I0(x) e^-x is the mean of e^(x (cos t - 1)) over the circle. The mean over 64 points of it is exact to float32
        # up to the largest concentration (Trefethen & Weideman 2014).
        turns = torch.cos(torch.arange(_TURNS, dtype=x.dtype) * (2 * math.pi / _TURNS)) - 1
        return torch.exp(x.abs().unsqueeze(-1) * turns).mean(-1)

    aten = torch.ops.aten
    return {aten.special_i0e.default: bessel, aten.hypot.default: lambda x, y: (x * x + y * y).sqrt()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's exporter from warning of its own insides."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=FutureWarning)
            warnings.simplefilter("ignore", category=DeprecationWarning)
            yield
    finally:
        log.setLevel(level)


def _write(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    temporary = path.with_name(f".{path.name[:50]}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: could not be written ({error.strerror or error}). Check the free space and the permissions of the"
            " folder."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
