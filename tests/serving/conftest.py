"""A small model of payments, plain and calibrated, and applications that serve it in this process."""

from __future__ import annotations

import json
from contextlib import contextmanager
from functools import partial

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("fastapi", reason="the extra [serve] is not installed")
pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")
pytest.importorskip("prometheus_client", reason="the extra [serve] is not installed")

import httpx
from anyio.from_thread import start_blocking_portal

from vae_anomaly import CalibratedDetector, Contamination, VAEDetector
from vae_anomaly.serving import create_app


def make_payments(n_rows, seed=0):
    """Numbers, texts, truth values, dates, an identifier and gaps."""
    rng = np.random.default_rng(seed)
    amount = rng.gamma(3, 20, n_rows).round(2)
    shop = rng.choice(["corner", "café", "متجر", "web 🛒"], n_rows)
    when = pd.Timestamp("2024-03-01") + pd.to_timedelta(rng.integers(0, 10**7, n_rows), unit="s")
    return pd.DataFrame(
        {
            "payment": [f"p{number:05d}" for number in range(n_rows)],
            "amount": np.where(rng.random(n_rows) < 0.05, np.nan, amount),
            "items": (amount // 20).astype(int) + rng.integers(1, 3, n_rows),
            "shop": pd.Series(shop, dtype=object).where(rng.random(n_rows) > 0.05),
            "abroad": (shop == "café") ^ (rng.random(n_rows) < 0.05),
            "paid": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    )


class InProcess:
    """Requests to an application without a network."""

    def __init__(self, portal, http):
        self._portal, self._http = portal, http

    def __call__(self, method, path, **request):
        return self._portal.call(partial(self._http.request, method, path, **request))

    def get(self, path, **request):
        return self("GET", path, **request)

    def post(self, path, rows, **request):
        """JSON, as the library's rows or as given."""
        document = as_json(rows) if isinstance(rows, pd.DataFrame) else rows
        return self("POST", path, content=json.dumps(document), headers={"content-type": "application/json"}, **request)

    def send(self, path, content, media_type, **headers):
        return self("POST", path, content=content, headers={"content-type": media_type, **headers})

    def together(self, calls):
        """Answers of requests that are under way at once."""
        started = [self._portal.start_task_soon(partial(self._http.request, *call[:2], **call[2])) for call in calls]
        return [task.result() for task in started]


def as_json(rows):
    """A list of objects; NaN is null."""
    return json.loads(rows.to_json(orient="records", double_precision=15))


@contextmanager
def running(app):
    """The application between its start and its end."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(app.router.lifespan_context(app)):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        http = httpx.AsyncClient(transport=transport, base_url="http://server", timeout=60)
        with portal.wrap_async_context_manager(http):
            yield InProcess(portal, http)


@contextmanager
def serving(model, **options):
    with running(create_app(model, device="cpu", **options)) as client:
        yield client


@pytest.fixture(scope="session")
def payments():
    return make_payments(600)


@pytest.fixture(scope="session")
def new_payments():
    """Rows that nobody has seen, by their number and a seed."""
    return make_payments


@pytest.fixture(scope="session")
def serve():
    """A model file served in this process, within limits."""
    return serving


@pytest.fixture(scope="session")
def detector(payments):
    return VAEDetector(n_members=1, max_steps=60, kinds={"payment": "identifier"}).fit(payments)


@pytest.fixture(scope="session")
def model(detector, tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "payments.vaea"
    detector.save(path)
    return path


@pytest.fixture(scope="session")
def calibrated(detector, payments):
    """By segments of a column that the detector does not know."""
    later = make_payments(900, seed=1)
    return CalibratedDetector(detector, Contamination(0.02), cv="prefit").fit(later, groups=segments(later))


@pytest.fixture(scope="session")
def calibrated_model(calibrated, tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "calibrated.vaea"
    calibrated.save(path, segment_column="country")
    return path


@pytest.fixture(scope="session")
def countries():
    """The segments of some rows."""
    return segments


def segments(rows):
    return np.where(np.arange(len(rows)) % 3 == 0, "DE", np.where(np.arange(len(rows)) % 3 == 1, "FR", "tiny"))


@pytest.fixture(scope="session")
def client(model):
    with serving(model) as client:
        yield client
