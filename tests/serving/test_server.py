"""The command, over a real socket: loopback, slow heads, a graceful end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import httpx
import numpy as np
import pytest

from vae_anomaly import ParameterError
from vae_anomaly.cli.main import run
from vae_anomaly.errors import MissingExtraError, VaeAnomalyWarning
from vae_anomaly.serving import create_app
from vae_anomaly.serving.limits import Limits
from vae_anomaly.serving.server import _listening, serve_app, warn_if_open

KEY = "over-the-wire"


@pytest.fixture(scope="module")
def process(calibrated_model):
    """The command as a shell runs it, and where it listens."""
    options = ["--port", "0", "--read-seconds", "1"]
    command = [sys.executable, "-m", "vae_anomaly", "serve", str(calibrated_model), *options]
    environment = {**os.environ, "VAE_ANOMALY_API_KEY": KEY, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:  # noqa: S603
        try:
            said = process.stderr.readline()
            yield process, re.search(r"http://127\.0\.0\.1:(\d+)", said)[0]
        finally:
            process.kill()


def test_scores_over_a_socket_are_those_of_the_library(process, calibrated, new_payments, countries):
    _, address = process
    rows = new_payments(50, 11)
    groups = countries(rows)
    sent = rows.assign(country=groups).to_csv(index=False)
    headers = {"X-API-Key": KEY, "content-type": "text/csv"}
    with httpx.Client(base_url=address, headers=headers, trust_env=False, timeout=30) as client:
        found = client.post("/score", content=sent)
        again = client.post("/score", content=iter([sent.encode()]))  # in chunks, on the same connection
        too_large = client.post("/score", content=b"x" * (17 * 2**20))
        refused = client.post("/score", content=sent, headers={"X-API-Key": "another"})
    assert (np.array(found.json()["anomaly_score"]) == calibrated.anomaly_score(rows)).all()
    assert found.json()["alert"] == (calibrated.predict(rows, groups=groups) == -1).tolist()
    assert again.json() == found.json()
    assert (too_large.status_code, refused.status_code) == (413, 401)
    assert "server" not in found.headers


def connected(address):
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def closed_after(connection):
    start = time.perf_counter()
    received = b""
    while piece := connection.recv(65_536):
        received += piece
    return received, time.perf_counter() - start


def test_clients_that_dawdle_are_let_go(process):
    _, address = process
    with connected(address) as silent, connected(address) as half, connected(address) as body:
        half.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")
        head = f"POST /score HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Length: 99\r\n"
        body.sendall(f"{head}\r\namount".encode())
        for connection in (silent, half):
            received, seconds = closed_after(connection)
            assert received == b""
            assert seconds < 5
        received, _ = closed_after(body)
    assert b"408 Request Timeout" in received
    assert httpx.get(f"{address}/ready", trust_env=False).json() == {"status": "ready"}


def test_a_head_that_trickles_is_let_go_too(process):
    _, address = process
    n_sent = 0
    with connected(address) as trickling, suppress(OSError):
        for _ in range(60):
            trickling.sendall(b"x")
            time.sleep(0.1)
            n_sent += 1
    assert n_sent < 50


def test_it_ends_in_good_order_when_asked_to(process, new_payments):
    running, address = process
    sent = new_payments(5, 1).assign(country="DE").to_json(orient="records").encode()
    with connected(address) as connection:
        head = f"POST /score HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {len(sent)}\r\n\r\n".encode() + sent[:-1])
        time.sleep(0.3)
        running.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.sendall(sent[-1:])
        received, _ = closed_after(connection)
    assert b"200 OK" in received
    assert json.loads(received.partition(b"\r\n\r\n")[2])["rows"] == 5
    assert running.wait(timeout=20) == 0


def test_answers_do_not_wait_for_the_client_to_confirm_their_heads():
    with _listening("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_taken_address_is_told(model):
    app = create_app(model, device="cpu")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ParameterError, match=rf"port {port}, which cannot be taken \(Address already in use\)"):
            serve_app(app, "127.0.0.1", port, Limits())
    with pytest.raises(ParameterError, match="cannot be taken"):
        serve_app(app, "no such host", 0, Limits())


EVERYWHERE = "0.0.0.0"  # noqa: S104


@pytest.mark.parametrize(("host", "key", "warns"), [(EVERYWHERE, None, 1), (EVERYWHERE, "k", 0), ("::1", None, 0)])
def test_other_machines_without_a_key_are_warned_of(host, key, warns, recwarn):
    warn_if_open(host, key)
    assert [warning.category for warning in recwarn] == [VaeAnomalyWarning] * warns


def call(*arguments):
    with pytest.raises(SystemExit) as leaving:
        run([str(argument) for argument in arguments])
    return leaving.value.code


def test_the_command_says_what_is_wrong(model, tmp_path, capsys, monkeypatch):
    assert call("serve", tmp_path / "none.vaea") == 4
    assert call("serve", model, "--host", "no such host") == 2
    assert call("serve", model, "--read-seconds", "0") == 2
    assert "head_seconds" in capsys.readouterr().err
    monkeypatch.setenv("VAE_ANOMALY_API_KEY", "")
    assert call("serve", model) == 2


@pytest.mark.parametrize("package", ["fastapi", "prometheus_client", "uvicorn"])
def test_a_missing_extra_is_named_with_its_command(model, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'vae-anomaly\[serve\]'"):
        create_app(model)
