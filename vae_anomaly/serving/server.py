"""Listening: an address, patience with slow clients, and an end that leaves no request half answered."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from vae_anomaly.errors import ParameterError, VaeAnomalyWarning
from vae_anomaly.serving.limits import Limits

_MAX_CONNECTIONS = 1_000
_BACKLOG = 256
_GRACE_SECONDS = 30


def serve_app(
    app: FastAPI, host: str, port: int, limits: Limits, announce: Callable[[str], None] = lambda address: None
) -> None:
    """Serve until the process is asked to end, by Ctrl-C or SIGTERM; requests under way are answered first.

    Parameters
    ----------
    app : FastAPI
        Of `vae_anomaly.serving.create_app`.
    host : str
        Name or address to listen at.
    port : int
        0 takes a free one.
    limits : Limits
        How long a client may take to send the head of a request.
    announce : callable
        Told the address once it is taken.

    Raises
    ------
    ParameterError
        The address cannot be taken.
    """
    listening = _listening(host, port)
    config = uvicorn.Config(
        app,
        http=partial(ImpatientProtocol, head_seconds=limits.head_seconds),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = uvicorn.Server(config)
    with listening:
        address, taken = listening.getsockname()[:2]
        announce(f"http://{f'[{address}]' if ':' in address else address}:{taken}")
        try:
            server.run(sockets=[listening])
        except (KeyboardInterrupt, SystemExit):
            if not server.should_exit:  # else uvicorn has ended in good order, and passes on what asked it to
                raise


def warn_if_open(host: str, key: str | None) -> None:
    """Warn if other machines can send requests without a key."""
    if key is None and not is_loopback(host):
        warnings.warn(
            f"Serving at {host!r} without an API key: every machine that reaches this one can score rows and read what"
            " the model's columns are. Set VAE_ANOMALY_API_KEY, or listen at 127.0.0.1.",
            VaeAnomalyWarning,
            stacklevel=2,
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address.

    Examples
    --------
    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "", "example.org")]
    [True, True, True, False, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ImpatientProtocol(H11Protocol):
    """uvicorn's protocol, which closes a connection that takes too long to send the head of a request.

    uvicorn by itself waits for a first request for ever, and so a few slow clients could hold every connection. The
    time counts wherever no request is being answered; what a client still sends of a refused body is thrown away in it.
    """

    def __init__(self, *arguments: Any, head_seconds: float, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_seconds = head_seconds
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; if it completes a head, the wait is over."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Begin to wait for the next head."""
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._rest()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self._head_seconds, self.transport.close)

    def _rest(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _listening(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listening = socket.create_server(address[:2], family=family, backlog=_BACKLOG, reuse_port=False)
        # Connections inherit it. Without, an answer's body waits some 40 ms for the client to confirm the head.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except (OSError, OverflowError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
            reason = os.strerror(error.errno)
        raise ParameterError(
            f"Expected an address to listen at, found {host!r} and port {port}, which cannot be taken ({reason}). Name"
            " another --port or --host."
        ) from error
