"""An Arrow IPC stream to a table, trusting nothing in it.

A few bytes of such a stream can stand for gigabytes: by compressed buffers, which are refused, and by counts of rows
that have no buffers at all, which are looked at before anything is built of them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pyarrow as pa

from vae_anomaly.serving.problems import ProblemKind, RequestError, too_large

_HEADER, _COMPRESSION, _RECORDS_OF_DICTIONARY = 2, 3, 1  # places of fields in the tables of Arrow's Message.fbs
_REFUSED = (pa.ArrowException, ValueError, TypeError, KeyError, OSError, OverflowError, struct.error)


def arrow_rows(body: bytes, most_rows: int) -> pa.Table:
    """The rows of an Arrow IPC stream.

    Raises
    ------
    RequestError
        It is no such stream, or compressed (400), or of too many rows (413).

    Examples
    --------
    >>> sink = pa.BufferOutputStream()
    >>> table = pa.table({"amount": [9.5, None]})
    >>> with pa.ipc.new_stream(sink, table.schema) as writer:
    ...     writer.write_table(table)
    >>> arrow_rows(sink.getvalue().to_pybytes(), 10).to_pylist()
    [{'amount': 9.5}, {'amount': None}]
    """
    try:
        _check_messages(body)
        with pa.ipc.open_stream(body) as reader:
            batches = list(_up_to(reader, most_rows))
            table = pa.Table.from_batches(batches, reader.schema)
        table.validate(full=True)
    except _REFUSED as error:
        reason = str(error).partition("\n")[0].rstrip(".")[:200]
        raise _malformed(reason or "damaged messages") from None
    return table.replace_schema_metadata(None)


def _up_to(reader: pa.RecordBatchStreamReader, most_rows: int) -> Iterator[pa.RecordBatch]:
    n_rows = 0
    for batch in reader:
        n_rows += batch.num_rows
        if n_rows > most_rows:
            raise too_large(f"Expected at most {most_rows:,} rows in a request, found more. Send them in parts.")
        yield batch


def _check_messages(body: bytes) -> None:
    messages = pa.ipc.MessageReader.open_stream(pa.py_buffer(body))
    for message in messages:
        metadata = message.metadata.to_pybytes()
        header = _table(metadata, _place(metadata, _root(metadata), _HEADER))
        if message.type == "dictionary":
            header = _table(metadata, _place(metadata, header, _RECORDS_OF_DICTIONARY))
        if message.type != "schema" and _place(metadata, header, _COMPRESSION) is not None:
            raise _malformed("compressed buffers; write the stream without compression")


def _root(data: bytes) -> int:
    """Where the root table of a flatbuffer begins."""
    return int(struct.unpack_from("<I", data, 0)[0])


def _table(data: bytes, place: int | None) -> int:
    """Where the table begins that a field points to."""
    if place is None:
        raise ValueError("a message without its header")
    return int(place + struct.unpack_from("<I", data, place)[0])


def _place(data: bytes, table: int, field: int) -> int | None:
    """Where a field of a table lies; None if the table has no such field."""
    lists = table - struct.unpack_from("<i", data, table)[0]
    size, entry = struct.unpack_from("<H", data, lists)[0], 4 + 2 * field
    offset = struct.unpack_from("<H", data, lists + entry)[0] if entry < size else 0
    return table + offset if offset else None


def _malformed(reason: str) -> RequestError:
    return RequestError(400, ProblemKind.MALFORMED, f"Expected an Arrow IPC stream, found: {reason}.")
