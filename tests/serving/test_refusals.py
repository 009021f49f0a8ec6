"""What is refused, with which status, and that the message says what to do."""

from __future__ import annotations

import asyncio
import json
import struct
import time

import pyarrow as pa
import pytest

from vae_anomaly import ParameterError
from vae_anomaly.errors import ModelFileError
from vae_anomaly.serving import api_key_of_environment, create_app
from vae_anomaly.serving.documents import Problem
from vae_anomaly.serving.limits import Limits
from vae_anomaly.serving.rows import ARROW, CSV, JSON

ROW = {"amount": 9.5, "items": 2, "shop": "corner", "abroad": False, "paid": "2024-03-05T10:00:00Z"}


def refusal(answer, status):
    assert answer.status_code == status, answer.text
    return Problem.model_validate_json(answer.text)


def changed(**cells):
    return [ROW, {**ROW, **cells}]


@pytest.mark.parametrize(
    ("body", "status", "found"),
    [
        (b"", 400, "Expecting value"),
        (b"[{]", 400, "Expecting"),
        (b"\xff\xfe", 400, "decode"),
        (b'[{"amount": NaN}]', 400, "NaN"),
        (b'[{"amount": -Infinity}]', 400, "Infinity"),
        (b'[{"amount": 1, "amount": 2}]', 400, "'amount' twice"),
        (b"[" * 100_000, 400, "nested"),
        (b"1" * 5_000, 400, "digits"),
        (b"7", 422, "found 7"),
        (b"[]", 422, "at least one row"),
        (b"[7]", 422, "Row 1: expected an object"),
        (b"{}", 422, "5 missing"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_is_no_json_of_rows_is_refused(client, body, status, found):
    assert found in refusal(client.send("/score", body, JSON), status).detail


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        ({"amount": "12"}, "'amount', row 2: expected a number"),
        ({"amount": True}, "found true"),
        ({"amount": 1e301}, "1e+301"),
        ({"amount": 10**400}, "expected a number"),
        ({"amount": [1]}, "found [1]"),
        ({"shop": {"a": 1}}, "'shop', row 2: expected text"),
        ({"shop": "\ud800"}, "surrogate"),
        ({"paid": "\ud800"}, "surrogate"),
        ({"paid": ""}, "'paid', row 2: expected the text of an ISO date"),
        ({"paid": "yesterday"}, '"yesterday"'),
        ({"paid": 1709632800}, "1709632800"),
        ({"paid": "2024-02-31"}, "row 2"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_cell_of_another_type_is_refused_with_its_place(client, cells, found):
    assert found in refusal(client.post("/score", changed(**cells)), 422).detail


def test_numbers_too_large_for_a_float_are_no_infinity(client):
    body = json.dumps([ROW]).replace('"corner"', "1e999").encode()
    assert "finite" in refusal(client.send("/score", body, JSON), 422).detail


def test_missing_columns_are_shown_as_a_diff(client):
    row = {("amuont" if name == "amount" else name): cell for name, cell in ROW.items()}
    problem = refusal(client.post("/score", [ROW, row]), 422)
    assert problem.error == "schema_mismatch"
    assert "row 2" in problem.detail
    assert problem.column_diff == ["- amount (float64): missing", "+ amuont: not known (near: 'amount')"]
    csv = refusal(client.send("/score", b"amount,items\n1,2\n", CSV), 422)
    assert [line.split(" (")[0] for line in csv.column_diff] == ["- shop", "- abroad", "- paid"]


def test_columns_of_different_lengths_are_refused(client):
    lists = {name: [cell] for name, cell in ROW.items()} | {"items": [1, 2]}
    assert "one length" in refusal(client.post("/score", lists), 422).detail
    assert "a list of cells" in refusal(client.post("/score", lists | {"items": 1}), 422).detail


@pytest.mark.parametrize("body", [b"", b"amount\n", b"a,b\n1\n", b"a,a\n1,2\n", b"PK\x03\x04zip", b"a\n\xff\n"])
def test_what_is_no_csv_is_refused(client, body):
    problem = refusal(client.send("/score", body, CSV), 400)
    assert problem.error == "malformed_body"
    assert problem.detail.startswith("The request body")
    assert "--encoding" not in problem.detail


def ipc(table, **options):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def test_arrow_that_could_unpack_to_gigabytes_is_refused(client):
    for name in ("zstd", "lz4"):
        table = pa.table({"amount": [0.0] * 1_000, "shop": pa.array(["a"] * 1_000).dictionary_encode()})
        assert "compress" in refusal(client.send("/score", ipc(table, compression=name), ARROW), 400).detail
    endless = ipc(pa.table({name: pa.nulls(2**26) for name in ROW}))
    assert len(endless) < 2_000
    assert "found more" in refusal(client.send("/score", endless, ARROW), 413).detail


def test_arrow_that_is_damaged_is_refused_or_scored_and_nothing_worse(client):
    whole = ipc(pa.table({name: [cell, cell] for name, cell in ROW.items()}))
    assert client.send("/score", whole, ARROW).status_code == 200
    for at in range(0, len(whole), 7):
        damaged = whole[:at] + struct.pack("B", whole[at] ^ 0xFF) + whole[at + 1 :]
        assert client.send("/score", damaged, ARROW).status_code in (200, 400, 413, 422)
        refusal(client.send("/score", whole[: at // 2], ARROW), 400)
    refusal(client.send("/score", ipc(pa.table([[1.0], [2.0]], names=["amount", "amount"])), ARROW), 400)


def test_other_media_types_and_compressed_bodies_are_refused(client):
    assert "''" in refusal(client("POST", "/score", content=b"[]"), 415).detail
    refusal(client.send("/score", b"[]", "application/x-python-pickle"), 415)
    refusal(client.send("/score", b"a\n1\n", "text/csv; charset=klingon"), 415)
    refusal(client.send("/score", b"[]", JSON, **{"content-encoding": "gzip"}), 415)


@pytest.mark.parametrize("query", ["reasons=0", "reasons=many", "reasons=1001", "basis=fast"])
def test_parameters_outside_their_domain_are_refused(client, query):
    assert refusal(client.post(f"/score?{query}", [ROW]), 422).error == "invalid_parameter"


def test_unknown_paths_and_methods_are_refused_in_the_same_form(client):
    assert refusal(client.get("/../etc/passwd"), 404).error == "not_found"
    answer = client.get("/score")
    assert (refusal(answer, 405).error, answer.headers["allow"]) == ("method_not_allowed", "POST")


def test_too_many_bytes_or_rows_are_refused(serve, model):
    async def pieces():
        for _ in range(100):
            yield b" " * 1_000

    with serve(model, limits=Limits(max_body_bytes=20_000, max_rows=3, max_explained_rows=2)) as client:
        assert "20,000 bytes, found 20,001" in refusal(client.send("/score", b" " * 20_001, JSON), 413).detail
        assert "found more" in refusal(client.send("/score", pieces(), JSON), 413).detail
        assert client.post("/score", [ROW] * 3).status_code == 200
        assert "at most 3 rows in a request, found 4" in refusal(client.post("/score", [ROW] * 4), 413).detail
        refusal(client.post("/score", {name: [cell] * 4 for name, cell in ROW.items()}), 413)
        refusal(client.send("/score", "\n".join([",".join(ROW)] + ["1,2,a,true,2024-03-01"] * 4), CSV), 413)
        refusal(client.send("/score", ipc(pa.table({name: [cell] * 4 for name, cell in ROW.items()})), ARROW), 413)
        refusal(client.post("/explain", [ROW] * 3), 413)


def test_a_body_that_comes_too_slowly_is_refused(serve, model):
    async def slowly():
        yield b"["
        await asyncio.sleep(30)

    with serve(model, limits=Limits(body_seconds=0.1)) as client:
        start = time.perf_counter()
        refusal(client.send("/score", slowly(), JSON), 408)
        assert time.perf_counter() - start < 5
        assert client.post("/score", [ROW]).status_code == 200


def test_an_answer_that_takes_too_long_is_given_up(serve, model):
    with serve(model, limits=Limits(work_seconds=1e-6)) as client:
        answer = client.post("/score", [ROW])
        assert refusal(answer, 503).error == "busy"
        assert int(answer.headers["retry-after"]) >= 1


def test_more_requests_than_there_are_places_are_told_to_come_again(serve, model):
    async def held():
        await asyncio.sleep(0.3)
        yield json.dumps([ROW]).encode()

    sent = [("POST", "/score", {"content": held(), "headers": {"content-type": JSON}}) for _ in range(5)]
    with serve(model, limits=Limits(max_concurrent=2)) as client:
        answers = client.together(sent)
        later = client.post("/score", [ROW])
        health = client.get("/metrics").text
    assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503, 503]
    assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 503)
    assert later.status_code == 200
    assert "vae_anomaly_requests_in_flight 0.0" in health


def test_a_key_is_asked_for_everywhere_but_where_machines_look(serve, model):
    with serve(model, api_key="s3cret key") as client:
        for path in ("/model", "/metrics", "/openapi.json"):
            answer = client.get(path)
            assert refusal(answer, 401).error == "unauthorised"
            assert answer.headers["www-authenticate"] == "Bearer"
        for wrong in ({}, {"X-API-Key": "s3cret"}, {"X-API-Key": "Ünicode".encode()}, {"Authorization": "Bearer no"}):
            answer = client("POST", "/score", content=b"[{", headers={"content-type": JSON, **wrong})
            refusal(answer, 401)
        for right in ({"X-API-Key": "s3cret key"}, {"Authorization": "Bearer s3cret key"}):
            assert client.get("/model", headers=right).status_code == 200
            refusal(client.send("/score", b"[{", JSON, **right), 400)
        assert client.get("/health").json() == {"status": "alive"}
        assert client.get("/ready").json() == {"status": "ready"}


@pytest.mark.parametrize("key", ["", " ", " a", "a\n", "schlüssel"])
def test_a_key_that_is_none_stops_the_start(model, monkeypatch, key):
    monkeypatch.setenv("VAE_ANOMALY_API_KEY", key)
    with pytest.raises(ParameterError, match="VAE_ANOMALY_API_KEY"):
        api_key_of_environment()
    with pytest.raises(ParameterError):
        create_app(model, api_key=key)


def test_what_is_no_model_is_not_served(tmp_path, calibrated, model):
    (tmp_path / "no.vaea").write_bytes(b"no model")
    with pytest.raises(ModelFileError):
        create_app(tmp_path / "no.vaea")
    calibrated.save(tmp_path / "nameless.vaea")
    with pytest.raises(ModelFileError, match="segment-column"):
        create_app(tmp_path / "nameless.vaea")


def test_it_is_not_ready_before_it_begins_and_after_it_ends(model, serve):
    app = create_app(model, device="cpu")
    assert not app.state.service.ready


def test_a_failure_of_the_server_is_told_without_its_cause(serve, model, monkeypatch):
    from vae_anomaly.serving.served import ServedModel

    with serve(model) as client:
        monkeypatch.setattr(ServedModel, "decided", lambda *_: 1 / 0)
        problem = refusal(client.post("/score", [ROW]), 500)
    assert "division" not in problem.detail


def test_paths_that_clients_make_up_are_one_label(client):
    for number in range(3):
        client.get(f"/made-up-{number}")
    text = client.get("/metrics").text
    assert "made-up" not in text
    assert 'path="other",status="404"' in text
