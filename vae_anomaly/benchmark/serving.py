"""How fast ``vae-anomaly serve`` answers another process on the same machine, and whether it answers rightly."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np

from vae_anomaly.benchmark.environment import environment, show_environment
from vae_anomaly.benchmark.table import figure, say, show, write_runs
from vae_anomaly.errors import VaeAnomalyError

_KEY = "benchmark"
_HEADERS = {"Content-Type": "application/json", "X-API-Key": _KEY}
_BODIES = 8
_READ_SECONDS, _MAX_MB = 1.0, 1
_PATIENCE = 60.0
_ADDRESS = re.compile(r"http://([\d.]+):(\d+)")
_IDENTIFIERS = ("transaction_id", "customer_id", "merchant_id", "terminal_id")


@dataclass(frozen=True)
class ServingRun:
    """One load, or one sort of request that is to be refused.

    Parameters
    ----------
    sort : str
        "rows", or what is wrong with the requests.
    clients : int
        Connections that each send one request after the other.
    rows_per_request : int
        Rows in each.
    requests : int
        Answered.
    right : int
        Of them, with the scores of the library bit for bit, or with the status that the refusal should have.
    seconds : float
        Wall-clock of all.
    p50_ms, p99_ms : float
        Latency of a request, from its first byte to the last of its answer.
    library_ms : float or None
        What the library takes for the same rows in the client's process, while the server is idle.
    """

    sort: str
    clients: int
    rows_per_request: int
    requests: int
    right: int
    seconds: float
    p50_ms: float
    p99_ms: float
    library_ms: float | None = None

    @property
    def rows_per_second(self) -> float:
        """Throughput."""
        return self.requests * self.rows_per_request / self.seconds

    def to_row(self) -> dict[str, Any]:
        """A row of the tidy table."""
        return {**asdict(self), "rows_per_second": self.rows_per_second}


@dataclass(frozen=True)
class _Body:
    """A request's body and the scores that it must have."""

    text: bytes
    scores: list[float]


def run_serving(
    clients: Sequence[int],
    rows: Sequence[int],
    seconds: float,
    n_refused: int,
    *,
    fit_rows: int = 5_000,
    max_steps: int = 200,
) -> list[ServingRun]:
    """Fit a model of simulated payments, serve it in a process of its own, and send requests.

    Parameters
    ----------
    clients, rows : sequence of int
        Concurrent clients, and rows in a request: every pair is a load.
    seconds : float
        Of each load.
    n_refused : int
        Requests of each sort that is to be refused.
    fit_rows, max_steps : int
        Of the fit; how fast the model scores does not depend on them.

    Returns
    -------
    list of ServingRun
        The loads, then the refusals.

    Raises
    ------
    VaeAnomalyError
        The server does not start.
    """
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "payments.vaea"
        bodies = dict(zip(rows, _prepared(model, rows, fit_rows, max_steps), strict=True))
        with _served(model) as address:
            loads = [
                _load(address, n_clients, n_rows, bodies[n_rows], seconds) for n_rows in rows for n_clients in clients
            ]
            return loads + _refusals(address, n_refused, bodies[rows[0]])


def _prepared(model: Path, rows: Sequence[int], fit_rows: int, max_steps: int) -> list[tuple[list[_Body], float]]:
    """Save a model; for each size some bodies with their scores, and the library's milliseconds for one of them."""
    from vae_anomaly import VAEDetector, make_transactions

    table = make_transactions(fit_rows + max(rows), random_state=0).drop(columns=["is_fraud", "typology"])
    say(f"fitting a model of {fit_rows:,} payments ...")
    kinds = dict.fromkeys(_IDENTIFIERS, "identifier")
    detector = VAEDetector(max_steps=max_steps, kinds=kinds, device="cpu").fit(table.head(fit_rows))
    detector.save(model)
    table["timestamp"] = table["timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%S.%f")
    rng = np.random.default_rng(0)
    found = []
    for n_rows in rows:
        parts = [table.iloc[rng.choice(len(table), n_rows, replace=False)] for _ in range(_BODIES)]
        took = []
        bodies = []
        for part in parts:
            start = perf_counter()
            scores = detector.anomaly_score(part)
            took.append(1e3 * (perf_counter() - start))
            cells = part.astype(object).where(part.notna(), None).to_dict("records")
            bodies.append(_Body(json.dumps(cells).encode(), scores.tolist()))
        found.append((bodies, float(np.median(took))))
    return found


@contextmanager
def _served(model: Path) -> Iterator[tuple[str, int]]:
    limits = ["--read-seconds", str(_READ_SECONDS), "--max-body-mb", str(_MAX_MB)]
    command = [sys.executable, "-m", "vae_anomaly", "serve", str(model), "--port", "0", "--device", "cpu", *limits]
    environment_of = {**os.environ, "VAE_ANOMALY_API_KEY": _KEY}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment_of) as process:  # noqa: S603
        try:
            said = process.stderr.readline() if process.stderr else ""
            address = _ADDRESS.search(said)
            if address is None:
                raise VaeAnomalyError(
                    f"Expected the server to say where it listens, found: {said.strip() or 'no word'}."
                )
            host, port = address[1], int(address[2])
            while _status(host, port, "GET", "/ready", None, {}) != http.client.OK:
                sleep(0.05)
            yield host, port
        finally:
            process.terminate()


def _load(
    address: tuple[str, int], n_clients: int, n_rows: int, prepared: tuple[list[_Body], float], seconds: float
) -> ServingRun:
    """Let clients send requests for some seconds."""
    bodies, library_ms = prepared
    say(f"{n_clients} clients, {n_rows:,} rows a request ...")
    _client(address, bodies, 0, perf_counter() + min(1.0, seconds))  # caches are warm for every load
    start = perf_counter()
    with ThreadPoolExecutor(n_clients) as pool:
        found = list(pool.map(lambda number: _client(address, bodies, number, start + seconds), range(n_clients)))
    took = perf_counter() - start
    latencies = np.concatenate([latency for latency, _ in found])
    right = sum(n_right for _, n_right in found)
    p50, p99 = np.percentile(latencies, [50, 99]) * 1e3
    return ServingRun("rows", n_clients, n_rows, len(latencies), right, took, float(p50), float(p99), library_ms)


def _client(
    address: tuple[str, int], bodies: Sequence[_Body], number: int, until: float
) -> tuple[np.ndarray[Any, Any], int]:
    """Seconds of each request of one connection, and how many had the right scores."""
    latencies: list[float] = []
    n_right = 0
    connection = http.client.HTTPConnection(*address, timeout=_PATIENCE)
    while perf_counter() < until:
        body = bodies[(number + len(latencies)) % len(bodies)]
        start = perf_counter()
        connection.request("POST", "/score", body.text, _HEADERS)
        answer = connection.getresponse().read()
        latencies.append(perf_counter() - start)
        n_right += json.loads(answer).get("anomaly_score") == body.scores
    connection.close()
    return np.array(latencies), n_right


def _refusals(address: tuple[str, int], n_refused: int, prepared: tuple[list[_Body], float]) -> list[ServingRun]:
    """Requests that must be refused, each beside one that must not be."""
    good = prepared[0][0].text
    large = b" " * (_MAX_MB * 2**20 + 1)
    without_key = {"Content-Type": "application/json"}
    sorts = {
        "malformed": (http.client.BAD_REQUEST, good[:-1], _HEADERS),
        "of other columns": (http.client.UNPROCESSABLE_ENTITY, b'[{"amuont": 1}]', _HEADERS),
        "oversized": (http.client.REQUEST_ENTITY_TOO_LARGE, large, _HEADERS),
        "unauthorised": (http.client.UNAUTHORIZED, good, without_key),
        "slow": (http.client.REQUEST_TIMEOUT, None, _HEADERS),
    }
    runs = []
    for sort, (status, body, headers) in sorts.items():
        say(f"{n_refused} {sort} requests ...")
        start = perf_counter()
        with ThreadPoolExecutor(8) as pool:
            pairs = list(pool.map(lambda _, b=body, h=headers: _one(address, b, h, good), range(n_refused)))
        seconds = perf_counter() - start
        latencies = 1e3 * np.array([latency for _, _, latency in pairs])
        right = sum(found == status and beside == http.client.OK for found, beside, _ in pairs)
        p50, p99 = np.percentile(latencies, [50, 99])
        runs.append(ServingRun(sort, 8, 0, len(pairs), right, seconds, float(p50), float(p99)))
    return runs


def _one(address: tuple[str, int], body: bytes | None, headers: dict[str, str], good: bytes) -> tuple[int, int, float]:
    """The status of a request and of a good one after it, and the seconds of the first."""
    start = perf_counter()
    found = _slow(address) if body is None else _status(*address, "POST", "/score", body, headers)
    seconds = perf_counter() - start
    return found, _status(*address, "POST", "/score", good, _HEADERS), seconds


def _status(host: str, port: int, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def _slow(address: tuple[str, int]) -> int:
    """The status of a request whose body never comes to its end."""
    head = "".join(f"{name}: {value}\r\n" for name, value in _HEADERS.items())
    with socket.create_connection(address, timeout=_PATIENCE) as connection:
        connection.sendall(f"POST /score HTTP/1.1\r\nHost: benchmark\r\n{head}Content-Length: 9\r\n\r\n[".encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the benchmark."""
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16], metavar="N")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 1_000], metavar="N", help="in a request")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="of each load")
    parser.add_argument("--refused", type=int, default=32, metavar="N", help="requests of each sort to be refused")
    parser.set_defaults(command=serving_command)


def serving_command(chosen: argparse.Namespace) -> int:
    """Measure, print, write; 1 if an answer was not the right one."""
    where = environment()
    runs = run_serving(chosen.clients, chosen.rows, chosen.seconds, chosen.refused)
    show_environment(where)
    show_serving(runs)
    if chosen.output is not None:
        write_runs([run.to_row() for run in runs], where, chosen.output, benchmark="serving", force=chosen.force)
    return int(any(run.right < run.requests for run in runs))


def show_serving(runs: Sequence[ServingRun]) -> None:
    """Print the loads and the refusals."""
    headers = ["rows a request", "clients", "requests", "right", "rows/s", "p50 ms", "p99 ms", "library ms"]
    loads = [
        (
            *(f"{number:,}" for number in (run.rows_per_request, run.clients, run.requests, run.right)),
            figure(run.rows_per_second, 0),
            *(figure(value, 1) for value in (run.p50_ms, run.p99_ms, run.library_ms)),
        )
        for run in runs
        if run.sort == "rows"
    ]
    show("Rows scored; right: the scores of the library, bit for bit", headers, loads, text_columns=0)
    refused = [
        (run.sort, f"{run.requests:,}", f"{run.right:,}", figure(run.p50_ms, 1), figure(run.p99_ms, 1))
        for run in runs
        if run.sort != "rows"
    ]
    title = "Requests to be refused; right: the status that says why, and a good request after it is answered"
    show(title, ["sort", "requests", "right", "p50 ms", "p99 ms"], refused, text_columns=1)
