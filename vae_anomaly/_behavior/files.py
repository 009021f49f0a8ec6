"""What is remembered as one Parquet file: data that any tool can read, and never code.

::

    part "row"      a remembered row: time, hour, amount, latitude, longitude, and "of NAME" for each column of names
    part "entity"   the older rows of one value of the column `column`: their number, the time and place of the last
    part "pair"     the same of a value and one of the column `key`; no key is the hour of the day
    metadata        "vae_anomaly.behavior": parameters and how columns are read, as JSON
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vae_anomaly._behavior.history import HOUR, Counts, History, Older, pairs
from vae_anomaly._behavior.plan import Plan
from vae_anomaly._behavior.rows import NEVER, ColumnReadings, Rows, number_columns
from vae_anomaly._behavior.spec import Spec
from vae_anomaly._params import to_json
from vae_anomaly._version import __version__
from vae_anomaly.errors import ModelFileError, OutputError
from vae_anomaly.table.cells import Reading
from vae_anomaly.table.io import write_table

FORMAT = 1
"""Raise it when new code would misread an old file, or old code a new one; say in the changelog what reads it."""

_KEY = b"vae_anomaly.behavior"
_HEAD = {"format", "version", "params", "time", "zone", "names", "columns", "named", "clock", "fitted"}
_TEXT = pa.large_string()
_FIELDS = {
    "part": _TEXT,
    "time": pa.timestamp("us"),
    "hour": pa.int8(),
    "amount": pa.float64(),
    "latitude": pa.float64(),
    "longitude": pa.float64(),
    "column": _TEXT,
    "value": _TEXT,
    "count": pa.int64(),
    "place_time": pa.timestamp("us"),
    "key": _TEXT,
    "key_value": _TEXT,
}
Fitted = tuple[int, str]
"""Number and hash of the rows of fit."""
_ROWS_OF_ANY_FILE, _ROWS_A_BYTE = 1 << 20, 8
"""More rows a file cannot have: a few bytes may otherwise say that they stand for more than memory holds."""


def write(
    path: str | os.PathLike[str],
    params: Mapping[str, Any],
    plan: Plan,
    history: History,
    fitted: Fitted,
    *,
    overwrite: bool,
) -> None:
    """Write what is remembered, whole or not at all.

    Raises
    ------
    OutputError
        If the name does not end in ``.parquet``, the file exists and may not be replaced, or cannot be written.
    """
    if Path(path).suffix.lower() != ".parquet":
        raise OutputError(f"{path}: expected a name that ends in .parquet. Rename it.")
    write_table(_table(params, plan, history, fitted), path, force=overwrite)


def to_bytes(params: Mapping[str, Any], plan: Plan, history: History, fitted: Fitted) -> bytes:
    """What `write` would write."""
    sink = pa.BufferOutputStream()
    pq.write_table(_table(params, plan, history, fitted), sink)
    return bytes(sink.getvalue())


def _table(params: Mapping[str, Any], plan: Plan, history: History, fitted: Fitted) -> pa.Table:
    head = {
        "format": FORMAT,
        "version": __version__,
        "params": {name: to_json(value) for name, value in params.items()},
        **asdict(plan.readings),
        "columns": plan.columns,
        "named": plan.named,
        "clock": history.clock,
        "fitted": fitted,
    }
    pieces = [_of_rows(history), *_of_older(history), *_of_counts(history)]
    table = pa.concat_tables(pieces, promote_options="default")
    return table.replace_schema_metadata({_KEY: json.dumps(head).encode()})


def read(path: str | os.PathLike[str], content: bytes | None = None) -> tuple[dict[str, Any], Plan, History, Fitted]:
    """Read what `write` wrote: parameters, plan, what is remembered, and what fit had seen.

    Parameters
    ----------
    path : path-like
        The file, for messages too.
    content : bytes, optional
        What `to_bytes` gave, in place of the file.

    Raises
    ------
    ModelFileError
        Saying what was expected and what was found.
    """
    try:
        file = pq.ParquetFile(path if content is None else pa.BufferReader(content))
        _check_size(file.metadata.num_rows, os.stat(path).st_size if content is None else len(content))
        head = _head(file.schema_arrow.metadata or {})
        params = {name: tuple(v) if isinstance(v, list) else v for name, v in head["params"].items()}
        spec = Spec.of_params(params)
        plan = _plan(head, spec)
        history = _history(file.read(), spec, head["clock"])
        n_rows, digest = head["fitted"]
    except FileNotFoundError:
        raise ModelFileError(f"{path}: expected a file, found none of that name. Check the path.") from None
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ModelFileError(
            f"{path}: expected what save of BehaviorFeatures wrote, found: {error}. Use an intact copy."
        ) from error
    return params, plan, history, (int(n_rows), str(digest))


def _check_size(n_rows: int, n_bytes: int) -> None:
    most = _ROWS_OF_ANY_FILE + _ROWS_A_BYTE * n_bytes
    if n_rows > most:
        raise ValueError(f"{n_rows:,} rows in {n_bytes:,} bytes, which can hold no more than {most:,}")


def _head(metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
    if _KEY not in metadata:
        raise ValueError("a Parquet file of something else")
    head: dict[str, Any] = json.loads(metadata[_KEY])
    if head.get("format") != FORMAT:
        raise ValueError(f"format {head.get('format')!r}, while this version ({__version__}) reads {FORMAT}")
    if set(head) != _HEAD:
        raise ValueError(f"the entries {sorted(head)} in place of {sorted(_HEAD)}")
    if not isinstance(head["clock"], int | None):
        raise ValueError(f"a clock of {head['clock']!r} in place of microseconds")
    return head


def _plan(head: Mapping[str, Any], spec: Spec) -> Plan:
    lacking = set(spec.used) - set(head["columns"])
    if lacking:
        raise ValueError(f"columns without {sorted(lacking)}")
    names = {name: Reading(head["names"][name]) for name in spec.coded}
    readings = ColumnReadings(head["time"], head["zone"], names)
    return Plan(spec, readings, tuple(head["columns"]), bool(head["named"]))


# Writing
def _of_rows(history: History) -> pa.Table:
    rows = history.rows
    columns = {
        "part": _same("row", len(rows)),
        "time": _moments(rows.time),
        "hour": pa.array(rows.hour),
        **rows.numbers,
    }
    columns |= {f"of {name}": _names(history.levels[name], codes) for name, codes in rows.codes.items()}
    return pa.table(columns)


def _of_older(history: History) -> list[pa.Table]:
    tables = []
    for entity, older in history.older.items():
        codes = np.flatnonzero(older.count)
        count, last, place_time, latitude, longitude = older.for_codes(codes).arrays()
        columns = {
            "part": _same("entity", len(codes)),
            "column": _same(entity, len(codes)),
            "value": _names(history.levels[entity], codes),
            "count": count,
            "time": _moments(last),
            "place_time": _moments(place_time),
            "latitude": latitude,
            "longitude": longitude,
        }
        tables.append(pa.table(columns))
    return tables


def _of_counts(history: History) -> list[pa.Table]:
    tables = []
    for (entity, key), counts in history.counts.items():
        n, (whose, of_key) = len(counts.pair), counts.codes
        columns = {
            "part": _same("pair", n),
            "column": _same(entity, n),
            "value": _names(history.levels[entity], whose),
            "key": _same(None if key == HOUR else key, n),
            "key_value": pa.array(of_key).cast(_TEXT) if key == HOUR else _names(history.levels[key], of_key),
            "count": counts.count,
        }
        tables.append(pa.table(columns))
    return tables


def _same(text: str | None, n: int) -> Any:
    return pa.array([text], _TEXT).take(pa.array(np.zeros(n, np.int64)))


def _moments(ticks: NDArray[np.int64]) -> Any:
    return pa.array(ticks, pa.timestamp("us"), mask=ticks == NEVER)


def _names(levels: Any, codes: NDArray[Any]) -> Any:
    return levels.take(pa.array(codes, mask=codes < 0))


# Reading
def _history(table: pa.Table, spec: Spec, clock: int | None) -> History:
    fields = _FIELDS | {f"of {name}": _TEXT for name in spec.coded}
    columns = {name: _column(table, name, kind) for name, kind in fields.items()}
    table = pa.table(columns)
    rows, entities, of_pairs = (table.filter(pc.equal(table["part"], part)) for part in ("row", "entity", "pair"))
    levels = {name: _levels(name, spec, rows, entities, of_pairs) for name in spec.coded}
    older = {entity: _older(entities, entity, levels[entity]) for entity in spec.entities}
    counts = {pair: _counts(of_pairs, *pair, levels) for pair in History.none(spec).counts}
    return History(levels, _rows(rows, spec, levels), older, counts, clock)


def _column(table: pa.Table, name: str, kind: Any) -> Any:
    if name in table.column_names:
        return table[name].cast(kind)
    if name in ("amount", "latitude", "longitude"):
        return pa.nulls(len(table), kind)
    raise ValueError(f"no column {name!r}")


def _levels(name: str, spec: Spec, rows: pa.Table, entities: pa.Table, of_pairs: pa.Table) -> Any:
    texts = [
        rows[f"of {name}"],
        entities.filter(pc.equal(entities["column"], name))["value"],
        of_pairs.filter(pc.equal(of_pairs["column"], name))["value"],
        of_pairs.filter(pc.equal(of_pairs["key"], name))["key_value"],
    ]
    chunks = [chunk for text in texts for chunk in text.chunks]
    return pa.chunked_array(chunks, _TEXT).drop_null().unique()


def _codes(text: Any, levels: Any) -> NDArray[np.int32]:
    place = pc.index_in(text, value_set=levels)
    codes: NDArray[np.int32] = place.fill_null(-1).to_numpy().astype(np.int32)
    return codes


def _rows(table: pa.Table, spec: Spec, levels: Mapping[str, Any]) -> Rows:
    codes = {name: _codes(table[f"of {name}"], levels[name]) for name in spec.coded}
    numbers = {what: _floats(table[what]) for what in number_columns(spec)}
    return Rows(_ticks(table["time"]), table["hour"].to_numpy().astype(np.int8), numbers, codes)


def _older(table: pa.Table, entity: str, levels: Any) -> Older:
    mine = table.filter(pc.equal(table["column"], entity))
    older, codes = Older.none(len(levels)), _codes(mine["value"], levels)
    older.count[codes] = mine["count"].to_numpy()
    older.last[codes], older.place_time[codes] = _ticks(mine["time"]), _ticks(mine["place_time"])
    older.latitude[codes], older.longitude[codes] = _floats(mine["latitude"]), _floats(mine["longitude"])
    return older


def _counts(table: pa.Table, entity: str, key: str, levels: Mapping[str, Any]) -> Counts:
    of_key = pc.is_null(table["key"]) if key == HOUR else pc.fill_null(pc.equal(table["key"], key), False)
    mine = table.filter(pc.and_(pc.equal(table["column"], entity), of_key))
    of_key = mine["key_value"]
    codes = of_key.cast(pa.int32()).to_numpy() if key == HOUR else _codes(of_key, levels[key])
    return Counts.summed(pairs(_codes(mine["value"], levels[entity]), codes), mine["count"].to_numpy())


def _ticks(moments: Any) -> NDArray[np.int64]:
    ticks: NDArray[np.int64] = moments.cast(pa.int64()).fill_null(NEVER).to_numpy()
    return ticks


def _floats(numbers: Any) -> NDArray[np.float64]:
    floats: NDArray[np.float64] = numbers.to_numpy()
    return floats
