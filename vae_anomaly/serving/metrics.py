"""What the server counts, for Prometheus."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vae_anomaly._version import __version__

MEDIA_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 4_096, 16_384)
_OTHER = "other"


class Metrics:
    """Counters in a registry of their own, so that several applications can live in one process."""

    def __init__(self, file: str) -> None:
        self.registry = CollectorRegistry()

        def named(kind: Any, name: str, text: str, labels: tuple[str, ...] = (), **more: Any) -> Any:
            return kind(f"vae_anomaly_{name}", text, labels, registry=self.registry, **more)

        self._requests = named(Counter, "requests", "Requests answered.", ("path", "method", "status"))
        self._seconds = named(Histogram, "request_seconds", "Head to end of answer.", ("path",), buckets=_SECONDS)
        self.in_flight = named(Gauge, "requests_in_flight", "Requests with rows that are worked on now.")
        self.rows = named(Counter, "rows_scored", "Rows scored.")
        self.alerts = named(Counter, "alerts", "Rows that alerted.")
        self._batch_requests = named(Histogram, "batch_requests", "Requests scored at once.", buckets=_COUNTS)
        self._batch_rows = named(Histogram, "batch_rows", "Rows scored at once.", buckets=_COUNTS)
        named(Gauge, "model_info", "What is served.", ("file", "version")).labels(file, __version__).set(1)

    def observe_batch(self, n_requests: int, n_rows: int) -> None:
        """Note the size of a batch."""
        self._batch_requests.observe(n_requests)
        self._batch_rows.observe(n_rows)

    def observe_request(self, path: str, method: str, status: int, seconds: float) -> None:
        """Note a request that was answered."""
        self._requests.labels(path, method, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def text(self) -> bytes:
        """All of it in the text format of Prometheus."""
        return generate_latest(self.registry)


class CountingMiddleware:
    """Counts every request that is answered, by the path of its route: what a client makes up is "other"."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: frozenset[str], methods: frozenset[str]) -> None:
        self.app, self.metrics, self.paths, self.methods = app, metrics, paths, methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, and note how it was answered."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            path = scope["path"] if scope["path"] in self.paths else _OTHER
            method = scope["method"] if scope["method"] in self.methods else _OTHER
            self.metrics.observe_request(path, method, status, perf_counter() - start)
