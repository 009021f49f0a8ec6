"""What the routes share: the model, the batches, the key, and how much is under way."""

from __future__ import annotations

import asyncio
import hmac
import importlib.metadata
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from vae_anomaly._version import __version__
from vae_anomaly.serving.batching import MicroBatcher
from vae_anomaly.serving.limits import Limits
from vae_anomaly.serving.metrics import Metrics
from vae_anomaly.serving.problems import ProblemKind, RequestError, busy, too_large
from vae_anomaly.serving.rows import SentRows, read_rows
from vae_anomaly.serving.served import Decided, ServedModel
from vae_anomaly.table.layout import MISSING, EncodedTable

Result = TypeVar("Result")


class Service:
    """A served model, within limits.

    Parameters
    ----------
    served : ServedModel
        What is served.
    limits : Limits
        Of requests.
    key : str or None
        What requests must carry.
    """

    def __init__(self, served: ServedModel, limits: Limits, key: str | None) -> None:
        self.served, self.limits, self.key = served, limits, key
        self.metrics = Metrics(served.file)
        self.ready = False
        self._in_flight = 0
        self._batches: MicroBatcher
        self._explaining: ThreadPoolExecutor

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ready from the first row scored until the last request is answered."""
        self._batches = MicroBatcher(self.served.scores, self.limits.batch_rows, self.metrics.observe_batch)
        self._explaining = ThreadPoolExecutor(1, thread_name_prefix="explain")
        await run_in_threadpool(self.served.scores, [_nothing(self.served)])  # so that the first request need not wait
        self._batches.start()
        self.ready = True
        try:
            yield
        finally:
            self.ready = False
            await self._batches.stop()
            await run_in_threadpool(self._explaining.shutdown, wait=True, cancel_futures=True)
            await run_in_threadpool(self.served.write_state)

    def check_key(self, given: str | None) -> None:
        """Raise a `RequestError` unless the key is the right one, in a time that tells nothing of it."""
        if self.key is not None and not hmac.compare_digest((given or "").encode(), self.key.encode()):
            raise RequestError(
                401,
                ProblemKind.UNAUTHORISED,
                "Expected the API key as 'X-API-Key: KEY' or 'Authorization: Bearer KEY', found"
                f" {'another' if given else 'none'}.",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def enter(self) -> None:
        """Count a request in, or refuse it."""
        if self._in_flight >= self.limits.max_concurrent:
            raise busy(f"{self.limits.max_concurrent:,} requests are under way already. Come again.")
        self._in_flight += 1
        self.metrics.in_flight.set(self._in_flight)

    def leave(self) -> None:
        """Count it out."""
        self._in_flight -= 1
        self.metrics.in_flight.set(self._in_flight)

    async def body(self, request: Request) -> bytes:
        """The body, if it is neither too large nor too slow."""
        encoding = request.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise RequestError(
                415,
                ProblemKind.MEDIA_TYPE,
                f"Expected a body that is not compressed, found Content-Encoding {encoding[:40]!r}. Send it as it is.",
            )
        most = self.limits.max_body_bytes
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            raise too_large(f"Expected a body of at most {most:,} bytes, found {int(length):,}. Send it in parts.")
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                return await _collected(request, most)
        except TimeoutError:
            raise RequestError(
                408,
                ProblemKind.TOO_SLOW,
                f"Expected the whole body within {self.limits.body_seconds:g} seconds, found it unfinished. Send less.",
            ) from None

    async def answer(self, request: Request, work: Callable[[bytes, str], Any]) -> Any:
        """What `work` makes of the body, within the time that there is."""
        body = await self.body(request)
        try:
            async with asyncio.timeout(self.limits.work_seconds):
                return await work(body, request.headers.get("content-type", ""))
        except TimeoutError:
            raise busy(f"No answer within {self.limits.work_seconds:g} seconds. Come again, or send less.") from None

    async def scored(self, body: bytes, content_type: str) -> tuple[SentRows, Decided]:
        """The rows of a body and what is said of them."""
        rows, encoded = await run_in_threadpool(self._read, body, content_type, self.limits.max_rows, scored=True)
        score = await self._batches.score(encoded)
        decided = await run_in_threadpool(self.served.decided, rows.table, score)
        self.metrics.rows.inc(len(score))
        self.metrics.alerts.inc(int(decided.alert.sum()))
        return rows, decided

    async def to_explain(self, body: bytes, content_type: str) -> SentRows:
        """The rows of a body, few enough to be explained."""
        rows, _ = await run_in_threadpool(self._read, body, content_type, self.limits.max_explained_rows, scored=False)
        return rows

    async def reasons(self, table: pa.Table, rows: NDArray[np.intp], n_reasons: int, conditional: bool) -> list[Any]:
        """The reasons of some rows, one request after the other: scores of others need not wait for them."""
        loop = asyncio.get_running_loop()
        found = loop.run_in_executor(self._explaining, self.served.reasons, table, rows, n_reasons, conditional)
        return await found

    def _read(self, body: bytes, content_type: str, most_rows: int, *, scored: bool) -> tuple[SentRows, EncodedTable]:
        rows = read_rows(body, content_type, self.served.wanted, most_rows)
        table, encoded = self.served.encode(rows.table, scored=scored)
        return replace(rows, table=table), encoded

    def card(self) -> dict[str, Any]:
        """What is served, as `documents.ModelCard` has it."""
        detector, stored = self.served.detector, self.served.stored
        past = self.served.past
        written = {f"written_by_{name}": str(version) for name, version in self.served.versions.items()}
        return {
            "file": self.served.file,
            "score_type": detector.score_type,
            "unit": "nats",
            "columns": self.served.columns(),
            "past": None if past is None else past.card(),
            **self.served.thresholds(),
            "guarantee": None if stored is None else stored.calibration.guarantee.to_json(),
            "versions": {"vae_anomaly": __version__, "torch": importlib.metadata.version("torch"), **written},
            "limits": asdict(self.limits),
        }


async def _collected(request: Request, most: int) -> bytes:
    pieces, n_bytes = [], 0
    try:
        async for piece in request.stream():
            n_bytes += len(piece)
            if n_bytes > most:
                raise too_large(f"Expected a body of at most {most:,} bytes, found more. Send it in parts.")
            pieces.append(piece)
    except ClientDisconnect:
        raise RequestError(400, ProblemKind.MALFORMED, "Expected a whole body, found it cut short.") from None
    return b"".join(pieces)


def _nothing(served: ServedModel) -> EncodedTable:
    """A row without a single cell."""
    layout = served.detector.schema_.layout()
    return EncodedTable(
        np.full((1, layout.n_values), np.nan, np.float32),
        np.full((1, layout.n_angles), np.nan, np.float32),
        np.full((1, layout.n_codes), MISSING, np.int32),
    )
