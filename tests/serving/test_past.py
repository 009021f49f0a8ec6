"""A model that knows the past of cards, served: every request sees what the file remembers, and changes none of it."""

from __future__ import annotations

import copy
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.pipeline import make_pipeline

from vae_anomaly import (
    BehaviorFeatures,
    CalibratedDetector,
    Contamination,
    OutputError,
    ParameterError,
    VAEDetector,
    load_pipeline,
    save_pipeline,
)
from vae_anomaly.serving import create_app
from vae_anomaly.serving.past import ServedPast

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.TrainingWarning")


def make_rows(n_rows, seed=0, start="2025-01-06"):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "payment": [f"p{number}" for number in range(n_rows)],
            "card": rng.choice(["4000", "متجر", "🍕", None], n_rows),
            "moment": pd.Timestamp(start) + np.arange(n_rows) * pd.Timedelta("20min"),
            "amount": np.where(rng.random(n_rows) < 0.1, np.nan, rng.exponential(40, n_rows).round(2)),
            "shop": rng.choice(["a", "b", None], n_rows),
        }
    )


ROWS, LATER = make_rows(400), make_rows(60, 1, "2025-02-01")


def as_sent(rows):
    return rows.assign(moment=rows["moment"].dt.strftime("%Y-%m-%dT%H:%M:%S"))


@pytest.fixture(scope="module")
def pipeline():
    past = BehaviorFeatures("card", "moment", "amount", windows=("1D", "7D"), keys=("shop",))
    detector = VAEDetector(n_members=1, max_steps=30, kinds={"payment": "identifier"})
    calibrated = CalibratedDetector(detector, Contamination(0.1), cv=0.25)
    return make_pipeline(past, calibrated).fit(ROWS)


@pytest.fixture(scope="module")
def client(pipeline, serve, tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "past.vaea"
    save_pipeline(pipeline, path)
    with serve(path) as client:
        yield client


def test_scores_are_those_of_the_pipeline_and_no_request_is_remembered(client, pipeline):
    expected = (-pipeline.score_samples(LATER)).tolist()
    for _ in range(2):
        answer = client.post("/score", as_sent(LATER))
        assert answer.status_code == 200, answer.text
        assert answer.json()["anomaly_score"] == expected
        assert answer.json()["alert"] == (pipeline.predict(LATER) == -1).tolist()
    alone = client.post("/score", as_sent(LATER[40:])).json()["anomaly_score"]
    assert alone == (-pipeline.score_samples(LATER[40:])).tolist()
    assert alone != expected[40:]  # so the rows of a request do see each other
    csv = client.send("/score", as_sent(LATER).to_csv(index=False).encode(), "text/csv")
    assert csv.json()["anomaly_score"] == expected


def test_reasons_name_the_features(client, pipeline):
    found = client.post("/explain", as_sent(LATER[:5])).json()["reasons"]
    assert any(reason["column"].startswith("card__") for reason in found)
    assert {reason["column"] for reason in found} <= set(pipeline[0].get_feature_names_out())


def test_the_card_tells_what_to_send_and_what_is_remembered(client):
    card = client.get("/model").json()
    required = {column["name"]: column["required"] for column in card["columns"]}
    assert required == {"card": True, "moment": True, "amount": True, "shop": True, "payment": False}
    assert card["past"]["remembered_until"] == ROWS["moment"].max().isoformat()
    assert (card["past"]["entities"], card["past"]["time"]) == (["card"], "moment")
    assert "card__count_1D" in card["past"]["features"]


def test_the_example_of_the_document_is_answered(client):
    document = client.get("/openapi.json").json()
    assert "none is remembered" in document["info"]["description"]
    body = document["paths"]["/score"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    for example in body.values():
        assert client.post("/score", example["value"]).status_code == 200


@pytest.mark.parametrize(
    ("change", "error", "found"),
    [
        ({"moment": "2024-01-01"}, "invalid_rows", "rows until 2025-01-11 13:00:00 are"),
        ({"moment": "2025-02-01T00:00:00Z"}, "schema_mismatch", "found dates with a time zone"),
        ({"moment": 17}, "invalid_rows", "ISO date"),
        ({"amount": "much"}, "invalid_rows", "a number"),
        ({"card": 9007199254740993.0}, "invalid_rows", "several integers"),
    ],
)
def test_what_cannot_be_is_refused(client, change, error, found):
    row = {"card": "4000", "moment": "2025-02-01", "amount": 3.5, "shop": None}
    assert client.post("/score", [row]).status_code == 200
    refused = client.post("/score", [row | change])
    assert (refused.status_code, refused.json()["error"]) == (422, error)
    assert found in refused.json()["detail"]
    del row["card"]
    refused = client.post("/score", [row])
    assert refused.json()["column_diff"] == ["- card (text): missing"]


def test_cells_that_are_missing_are_scored(client):
    nothing = dict.fromkeys(["card", "moment", "amount", "shop"])
    answer = client.post("/score", [nothing, nothing | {"card": "4000"}])
    assert np.isfinite(json.loads(answer.text)["anomaly_score"]).all()


def test_requests_at_the_same_time_do_not_change_each_other(client, pipeline):
    parts = [LATER[at : at + 7] for at in range(0, 56, 7)]
    headers = {"content-type": "application/json"}
    bodies = [as_sent(part).to_json(orient="records", double_precision=15) for part in parts]
    answers = client.together([("POST", "/score", {"content": body, "headers": headers}) for body in bodies])
    for part, answer in zip(parts, answers, strict=True):
        assert answer.json()["anomaly_score"] == (-pipeline.score_samples(part)).tolist()


def test_rows_are_remembered_if_asked_to_and_only_those_that_are_scored(pipeline, serve, tmp_path):
    save_pipeline(pipeline, model := tmp_path / "past.vaea")
    before, state = model.read_bytes(), tmp_path / "next.vaea"
    first, second = LATER[:30], LATER[30:]
    expected = (-pipeline.score_samples(LATER)).tolist()
    with serve(model, update_state=state) as remembering:
        assert remembering.get("/model").json()["past"]["remembers_requests"]
        assert "remembered twice" in remembering.get("/openapi.json").json()["info"]["description"]
        assert remembering.post("/score", as_sent(first)).json()["anomaly_score"] == expected[:30]
        assert remembering.post("/explain", as_sent(second)).status_code == 200
        refused = remembering.post("/score", as_sent(second).assign(amount="x"))
        assert refused.status_code == 422
        assert remembering.post("/score", as_sent(first[:5])).status_code == 422  # before what is remembered now
        assert remembering.post("/score", as_sent(second)).json()["anomaly_score"] == expected[30:]
        until = remembering.get("/model").json()["past"]["remembered_until"]
        assert until == LATER["moment"].max().isoformat()
        assert not state.exists()
    assert model.read_bytes() == before
    whole = load_pipeline(state)
    assert whole[0].history_.until == LATER["moment"].max()
    after = make_rows(20, 2, "2025-02-03")
    one_by_one = load_pipeline(model)
    one_by_one[0].update(LATER)
    np.testing.assert_array_equal(whole.score_samples(after), one_by_one.score_samples(after))


def test_requests_at_once_are_remembered_each_once(pipeline, serve, tmp_path):
    save_pipeline(pipeline, model := tmp_path / "past.vaea")
    row = as_sent(LATER[:1]).to_json(orient="records")
    call = ("POST", "/score", {"content": row, "headers": {"content-type": "application/json"}})
    with serve(model, update_state=tmp_path / "next.vaea") as remembering:
        n_rows = remembering.get("/model").json()["past"]["remembered_rows"]
        assert {answer.status_code for answer in remembering.together([call] * 12)} == {200}
        assert remembering.get("/model").json()["past"]["remembered_rows"] == n_rows + 12


def test_rows_that_the_caller_fails_with_are_not_remembered(pipeline):
    remembering = ServedPast(copy.copy(pipeline[0]), remembers=True)
    table = pa.Table.from_pandas(LATER)
    with pytest.raises(KeyError), remembering.features(table, scored=True):
        raise KeyError
    assert remembering.behavior.history_ is pipeline[0].history_
    with remembering.features(table, scored=True):
        pass
    assert remembering.behavior.history_.until == LATER["moment"].max()


def test_where_nothing_can_be_remembered_is_told_at_the_start(pipeline, tmp_path):
    save_pipeline(pipeline, model := tmp_path / "past.vaea")
    with pytest.raises(OutputError, match="expected the name of a new file"):
        create_app(model, update_state=model)
    with pytest.raises(OutputError, match="expected an existing folder"):
        create_app(model, update_state=tmp_path / "none" / "next.vaea")
    pipeline[-1].save(plain := tmp_path / "plain.vaea")
    with pytest.raises(ParameterError, match="--update-state is for a model that knows the past of cards"):
        create_app(plain, update_state=tmp_path / "next.vaea")
