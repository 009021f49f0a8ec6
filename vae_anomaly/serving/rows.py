"""Request bodies to the columns that a model wants, by media type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from io import BytesIO

import pyarrow as pa

from vae_anomaly.errors import FileFormatError, ParameterError
from vae_anomaly.serving.arrow_stream import arrow_rows
from vae_anomaly.serving.json_rows import json_rows
from vae_anomaly.serving.problems import ProblemKind, RequestError, too_large
from vae_anomaly.serving.wanted import WantedColumns
from vae_anomaly.table.csv_file import CsvFile, display_name
from vae_anomaly.table.csv_text import CsvDialect, check_unique

JSON, CSV, ARROW = "application/json", "text/csv", "application/vnd.apache.arrow.stream"
_BODY = "The request body"
_CHUNK = 1 << 20  # bytes of CSV text that are read at once


@dataclass(frozen=True, eq=False)
class SentRows:
    """The rows of a request.

    Parameters
    ----------
    table : pyarrow.Table
        The wanted columns, in the order of the schema.
    ignored : tuple of str
        Columns that came with them and that nobody knows.
    """

    table: pa.Table
    ignored: tuple[str, ...]


def read_rows(body: bytes, content_type: str, wanted: WantedColumns, most_rows: int) -> SentRows:
    r"""Read a request body.

    Parameters
    ----------
    body : bytes
        All of it.
    content_type : str
        Its media type: `JSON`, `CSV` (``charset`` names its encoding) or `ARROW`.
    wanted : WantedColumns
        What is taken from it.
    most_rows : int
        More are refused.

    Raises
    ------
    RequestError
        Of another media type (415), malformed (400), too many rows (413), or without a wanted column (422).
    FileFormatError
        Two columns have one name.

    Examples
    --------
    >>> from vae_anomaly.serving.wanted import CellKind
    >>> wanted = WantedColumns({"amount": CellKind.NUMBER}, ("amount",), frozenset(["amount"]), {"amount": "double"})
    >>> read_rows(b"amount;note\n9.5;x\n", "text/csv; charset=utf-8", wanted, 10).ignored
    ('note',)
    """
    header = Message()
    header["content-type"] = content_type
    media_type = header.get_content_type() if content_type else ""
    if media_type == JSON:
        return SentRows(*json_rows(body, wanted, most_rows))
    if media_type == CSV:
        table = _csv(body, header.get_param("charset"), most_rows)
    elif media_type == ARROW:
        table = arrow_rows(body, most_rows)
        check_unique(table.column_names, _BODY)
    else:
        raise RequestError(
            415,
            ProblemKind.MEDIA_TYPE,
            f"Expected the media type {JSON}, {CSV} or {ARROW}, found {content_type[:80]!r}. Say what the body is.",
        )
    wanted.check(table.column_names, "the request")
    return SentRows(table.select(list(wanted.kinds)), wanted.ignored(table.column_names))


def _csv(body: bytes, charset: object, most_rows: int) -> pa.Table:
    try:
        dialect = CsvDialect(encoding=charset if isinstance(charset, str) else "utf-8")
    except ParameterError as error:
        raise RequestError(415, ProblemKind.MEDIA_TYPE, str(error)) from None
    try:
        return pa.concat_tables(_up_to(most_rows, CsvFile(BytesIO(body), dialect)))
    except FileFormatError as error:  # in the words of a shell
        text = str(error).replace(display_name("-"), _BODY, 1).replace("--encoding ", "charset=")
        raise RequestError(400, ProblemKind.MALFORMED, text) from None


def _up_to(most_rows: int, file: CsvFile) -> Iterator[pa.Table]:
    n_rows = 0
    for chunk in file.chunks(_CHUNK):
        n_rows += chunk.table.num_rows
        if n_rows > most_rows:
            raise too_large(f"Expected at most {most_rows:,} rows in a request, found more. Send them in parts.")
        yield chunk.table
