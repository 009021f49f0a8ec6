"""The OpenAPI document says what the server does: generated requests find no difference."""

from __future__ import annotations

import pyarrow as pa
import pytest

pytest.importorskip("schemathesis", reason="schemathesis is not installed")
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from vae_anomaly.serving import create_app
from vae_anomaly.serving.rows import ARROW, CSV

COLUMNS = ("amount", "items", "shop", "abroad", "paid")
OPERATIONS = [
    *(("GET", path) for path in ("/health", "/metrics", "/model", "/ready")),
    *(("POST", path) for path in ("/explain", "/score")),
]
KEY = "generated-requests-carry-this"


def as_csv(rows):
    return rows.to_csv(index=False).encode()


def as_arrow(rows):
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pandas(rows, preserve_index=False)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


@pytest.fixture(scope="module")
def api(model, new_payments):
    some_rows = st.builds(new_payments, st.integers(1, 5), st.integers(0, 100))
    schemathesis.openapi.media_type(CSV, some_rows.map(as_csv))
    schemathesis.openapi.media_type(ARROW, some_rows.map(as_arrow))
    app = create_app(model, device="cpu", api_key=KEY)
    schema = schemathesis.openapi.from_dict(app.openapi())
    schema.app = app
    return schema


def of_one_length(case):
    """JSON Schema cannot say that the columns of the model are of one length."""
    if isinstance(case.body, dict):
        lists = [case.body[name] for name in COLUMNS if isinstance(case.body.get(name), list)]
        length = min(map(len, lists), default=0)
        for cells in lists:
            del cells[length:]
    return case


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [(*operation, GenerationMode.POSITIVE) for operation in OPERATIONS]
    + [(*operation, GenerationMode.NEGATIVE) for operation in OPERATIONS if operation[0] == "POST"],
)
def test_no_request_is_answered_otherwise_than_described(api, method, path, mode):
    operation = api[path][method]

    @settings(max_examples=40, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case):
        of_one_length(case).call_and_validate(headers={"X-API-Key": KEY})

    check()


def test_every_operation_is_tried(api):
    found = [operation.ok() for operation in api.get_all_operations()]
    assert sorted((operation.method.upper(), operation.path) for operation in found) == OPERATIONS
