"""What is served is what the library says, to the last bit."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_anomaly import CalibratedDetector, DiscoveryRate, VAEDetector
from vae_anomaly.serving.rows import ARROW, CSV, JSON

MODELLED = ["amount", "items", "shop", "abroad", "paid"]


def scores(answer):
    assert answer.status_code == 200, answer.text
    return np.array(answer.json()["anomaly_score"])


def arrow(rows, **options):
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pandas(rows, preserve_index=False)
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def test_json_csv_and_arrow_score_as_the_library_does(client, detector, new_payments):
    rows = new_payments(200, 7)
    expected = detector.anomaly_score(rows)
    as_lists = {name: [None if cell != cell else cell for cell in rows[name].tolist()] for name in rows}
    answers = [
        client.post("/score", rows),
        client.post("/score", as_lists),
        client.send("/score", rows.to_csv(index=False).encode("utf-16"), f"{CSV}; charset=utf-16"),
        client.send("/score", rows.to_csv(index=False).encode(), CSV),
        client.send("/score", arrow(rows), ARROW),
    ]
    for answer in answers:
        assert (scores(answer) == expected).all()
        assert answer.json()["alert"] == (detector.predict(rows) == -1).tolist()


def test_a_row_scores_the_same_alone_together_and_in_any_order(client, new_payments):
    rows = new_payments(30, 8)
    together = scores(client.post("/score", rows))
    assert (scores(client.post("/score", rows[::-1])) == together[::-1]).all()
    alone = [scores(client.post("/score", rows.iloc[[i]]))[0] for i in range(5)]
    assert alone == together[:5].tolist()


def test_requests_at_the_same_time_do_not_change_each_other(serve, model, detector, new_payments):
    parts = [new_payments(n_rows, seed) for seed, n_rows in enumerate([1, 2, 700, 1, 40, 3, 1, 1, 600, 5])]
    parts[3] = parts[3].assign(amount="not a number")
    sent = [
        ("POST", "/score", {"content": part.to_csv(index=False), "headers": {"content-type": CSV}}) for part in parts
    ]
    with serve(model) as client:
        answers = client.together(sent)
        counted = client.get("/metrics").text
    for index, (part, answer) in enumerate(zip(parts, answers, strict=True)):
        if index == 3:
            assert answer.status_code == 422
            assert "'not a number'" in answer.json()["detail"]
        else:
            assert (scores(answer) == detector.anomaly_score(part)).all()
    assert "vae_anomaly_rows_scored_total 1353.0" in counted
    batches = float(counted.split("vae_anomaly_batch_requests_count ")[1].split()[0])
    assert batches < 9  # some of the nine were scored at once


def test_a_batch_of_encoded_rows_is_the_rows_one_by_one(detector, model, new_payments):
    from vae_anomaly.serving.served import ServedModel

    served = ServedModel.load(model, device="cpu")
    tables = [detector._encode(new_payments(n_rows, seed)) for seed, n_rows in enumerate([1, 513, 2])]
    for rows, found in zip(tables, served.scores(tables), strict=True):
        assert (found == -detector._scores(rows)).all()


def test_a_calibrated_model_decides_as_the_library_does(serve, calibrated, calibrated_model, new_payments, countries):
    rows = new_payments(300, 9)
    groups = countries(rows)
    groups[:5] = ["never seen", "DE ", "NA", "tiny", "FR"]
    with serve(calibrated_model) as client:
        found = client.post("/score", rows.assign(country=groups)).json()
        card = client.get("/model").json()
        refused = client.post("/score", rows)
    groups = np.array(["never seen", "DE", None, *groups[3:]], dtype=object)
    assert found["alert"] == (calibrated.predict(rows, groups=groups) == -1).tolist()
    assert found["p_value"] == calibrated.p_value(rows, groups).tolist()
    assert found["risk_score"] == calibrated.risk_score(rows, groups).tolist()
    known = calibrated.segment_thresholds_
    assert found["rows_with_threshold_of_rest"] == sum(group not in known for group in groups) > 0
    assert (card["segment_thresholds"], card["rest_threshold"]) == (known, calibrated.rest_threshold_)
    assert card["guarantee"]["rule"] == repr(calibrated.rule_)
    assert refused.status_code == 422
    assert refused.json()["column_diff"][0] == "- country (segment): missing"


def test_a_rule_by_the_batch_takes_a_request_for_one(serve, detector, new_payments, tmp_path):
    calibrated = CalibratedDetector(detector, DiscoveryRate(0.3), cv="prefit").fit(new_payments(500, 1))
    calibrated.save(tmp_path / "batch.vaea")
    rows = new_payments(60, 2)
    rows.loc[:20, "amount"] = 1e6
    with serve(tmp_path / "batch.vaea") as client:
        assert client.post("/score", rows).json()["alert"] == (calibrated.predict(rows) == -1).tolist()
        assert client.get("/model").json()["threshold"] is None


def test_a_model_of_an_array_takes_columns_by_their_places(serve, tmp_path):
    X = np.random.default_rng(0).normal(size=(300, 1)) + np.random.default_rng(1).normal(size=(300, 3)) * 0.1
    detector = VAEDetector(n_members=1, max_steps=60).fit(X)
    detector.save(tmp_path / "array.vaea")
    rows = [dict(zip(("x2", "x0", "x1"), (c, a, b), strict=True)) for a, b, c in X[:9].tolist()]
    with serve(tmp_path / "array.vaea") as client:
        assert (scores(client.post("/score", rows)) == detector.anomaly_score(X[:9])).all()
        sentences = [line["sentence"] for line in client.post("/explain", rows).json()["reasons"]]
        assert sentences == detector.explain(X[:9])["sentence"].tolist()


def test_columns_that_nobody_knows_are_ignored_and_named(client, new_payments):
    rows = new_payments(4, 3)
    found = client.post("/score", rows.assign(note="x", **{"🧾": 1})).json()
    assert found["ignored_columns"] == ["note", "🧾"]
    assert found["anomaly_score"] == client.post("/score", rows[MODELLED]).json()["anomaly_score"]


def test_reasons_are_those_of_the_library(client, detector, new_payments):
    rows = new_payments(40, 4)
    rows.loc[[5, 17], "amount"] = 1e7
    found = client.post("/score?reasons=2", rows).json()
    alerts = np.flatnonzero(found["alert"])
    by_score = alerts[np.argsort(-np.array(found["anomaly_score"])[alerts], kind="stable")]
    assert {5, 17} <= set(alerts)
    assert [line["row"] for line in found["reasons"]] == np.repeat(by_score, 2).tolist()
    whole = client.post("/explain?reasons=2", rows).json()["reasons"]
    library = detector.explain(rows, 2)
    assert [line["sentence"] for line in whole] == library["sentence"].tolist()
    np.testing.assert_array_equal([line["share"] for line in whole], library["share"])
    assert [line for line in whole if line["row"] == 17] == [line for line in found["reasons"] if line["row"] == 17]
    plain = client.post("/explain?reasons=2&basis=reconstructed", rows).json()["reasons"]
    assert [line["sentence"] for line in plain] == detector.explain(rows, 2, conditional=False)["sentence"].tolist()


def test_the_highest_alerts_are_explained_where_there_are_too_many(serve, model, new_payments):
    from vae_anomaly.serving.limits import Limits

    rows = new_payments(9, 5).assign(amount=[1e6 + 1e4 * number for number in range(9)])
    with serve(model, limits=Limits(max_explained_rows=3)) as client:
        found = client.post("/score?reasons=1", rows).json()
    ranked = np.argsort(-np.array(found["anomaly_score"]), kind="stable")
    assert [line["row"] for line in found["reasons"]] == ranked[:3].tolist()
    assert found["unexplained_alerts"] == sum(found["alert"]) - 3


@pytest.mark.parametrize(
    "cell", [None, "", "NA", "never seen", "é" * 9, "<script>alert(1)</script>", 7, 7.5, True, 10**30]
)
def test_any_category_is_scored_as_the_library_scores_it(client, detector, new_payments, cell):
    rows = new_payments(2, 6)
    rows["shop"] = np.array([cell, "corner"], dtype=object)
    sent = json.loads(rows.drop(columns="shop").to_json(orient="records"))
    answer = client.post("/score", [{**row, "shop": value} for row, value in zip(sent, [cell, "corner"], strict=True)])
    assert (scores(answer) == detector.anomaly_score(rows)).all()


def test_a_row_of_nulls_is_scored(client, detector, new_payments):
    rows = new_payments(1, 0)
    rows[MODELLED] = np.full((1, 5), None, dtype=object)
    answer = client.post("/score?reasons=1", [dict.fromkeys(MODELLED)])
    assert (scores(answer) == detector.anomaly_score(rows)).all()


@settings(max_examples=30)
@given(
    amount=st.none() | st.floats(-1e300, 1e300) | st.integers(-(10**18), 10**18),
    items=st.none() | st.integers(-(2**70), 2**70),
    shop=st.none() | st.text() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
    abroad=st.none() | st.booleans(),
)
def test_every_row_within_the_document_has_a_finite_score(client, amount, items, shop, abroad):
    row = {"amount": amount, "items": items, "shop": shop, "abroad": abroad, "paid": "2024-03-05T10:00:00+01:00"}
    answer = client.send("/score", json.dumps([row]).encode(), JSON)
    if isinstance(shop, str) and any("\ud800" <= letter <= "\udfff" for letter in shop):
        assert answer.status_code == 422
    else:
        assert math.isfinite(scores(answer)[0])
