"""A model that knows the past of cards: files in chunks, broken off or one after the other, score as the whole."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from vae_anomaly import load_pipeline, make_transactions
from vae_anomaly.artifact import read_artifact
from vae_anomaly.cli import _score_run
from vae_anomaly.cli.main import run
from vae_anomaly.table.io import read_table, write_table

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.TrainingWarning")
SPEC = """
entities = ["customer_id"]
time = "timestamp"
amount = "amount"
windows = ["1D", "7D"]
keys = ["category"]
"""
COLUMNS = ["transaction_id", "timestamp", "customer_id", "category", "amount", "channel", "is_fraud"]
N_TRAIN = 1_500


def call(*arguments):
    """The exit code of a command line."""
    with pytest.raises(SystemExit) as leaving:
        run([str(argument) for argument in arguments])
    return leaving.value.code or 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("behavior")
    rows = make_transactions(2_000, fraud_rate=0.02, random_state=3)[COLUMNS]
    parts = {"train": rows[:N_TRAIN], "later": rows[N_TRAIN:], "first": rows[N_TRAIN:1_700], "second": rows[1_700:]}
    for name, part in parts.items():
        part.to_csv(folder / f"{name}.csv", index=False)
    (folder / "spec.toml").write_text(SPEC)
    assert fit(folder, folder / "model.vaea") == 0
    return folder


def fit(folder, output, *options, spec="spec.toml"):
    options = ("--label", "is_fraud", "--drop", "transaction_id", "--max-steps", 15, "--members", 1, *options)
    return call("fit", folder / "train.csv", "-o", output, "--behavior", folder / spec, "--quiet", *options)


@pytest.fixture
def chunks_of(monkeypatch):
    def set_size(n_bytes):
        monkeypatch.setattr("vae_anomaly.table.stream.CHUNK_BYTES", n_bytes)

    return set_size


def scores(path):
    return [float(text) for text in read_table(path)["anomaly_score"].to_pylist()]


@pytest.mark.parametrize("size", [700, 9_000, 1 << 23])
def test_any_chunks_score_as_the_pipeline(folder, tmp_path, chunks_of, size):
    chunks_of(size)
    rows = read_table(folder / "later.csv")
    expected = load_pipeline(folder / "model.vaea").score_samples(rows.drop_columns(["is_fraud", "transaction_id"]))
    assert call("score", folder / "model.vaea", folder / "later.csv", "-o", tmp_path / "out.csv") == 0
    assert scores(tmp_path / "out.csv") == (-expected).tolist()
    assert read_table(tmp_path / "out.csv").column_names == [*rows.column_names, "anomaly_score", "alert"]
    assert read_table(tmp_path / "out.csv").select(rows.column_names).equals(rows)


def test_any_chunks_train_the_same_model(folder, tmp_path, chunks_of):
    chunks_of(3_000)
    assert fit(folder, tmp_path / "model.vaea") == 0
    assert (tmp_path / "model.vaea").read_bytes() != b""
    one, other = (load_pipeline(path / "model.vaea") for path in (folder, tmp_path))
    later = read_table(folder / "later.csv").drop_columns(["is_fraud", "transaction_id"])
    np.testing.assert_array_equal(one.score_samples(later), other.score_samples(later))


def test_labels_have_no_part_in_features(folder, tmp_path):
    text = (folder / "train.csv").read_text().splitlines()
    turned = [text[0], *(f"{line.rsplit(',', 1)[0]},1" for line in text[1:])]
    (tmp_path / "train.csv").write_text("\n".join(turned) + "\n")
    (tmp_path / "spec.toml").write_text(SPEC)
    assert fit(tmp_path, tmp_path / "model.vaea") == 0
    assert (tmp_path / "model.vaea").read_bytes()
    one, other = (read_artifact(path / "model.vaea") for path in (folder, tmp_path))
    assert one.behavior == other.behavior
    assert all(np.array_equal(array, other.weights[name]) for name, array in one.weights.items())


def test_one_file_after_the_other_scores_as_both(folder, tmp_path):
    model, both = folder / "model.vaea", tmp_path / "both.csv"
    before = model.read_bytes()
    assert call("score", model, folder / "first.csv", folder / "second.csv", "-o", both) == 0
    next_model = tmp_path / "next.vaea"
    assert call("score", model, folder / "first.csv", "-o", tmp_path / "1.csv", "--update-state", next_model) == 0
    assert call("score", next_model, folder / "second.csv", "-o", tmp_path / "2.csv") == 0
    assert scores(tmp_path / "1.csv") + scores(tmp_path / "2.csv") == scores(both)
    assert model.read_bytes() == before
    assert call("score", model, folder / "second.csv", "-o", tmp_path / "alone.csv") == 0
    assert scores(tmp_path / "alone.csv") != scores(tmp_path / "2.csv")  # so what was remembered matters
    assert call("score", model, folder / "first.csv", "-o", tmp_path / "3.csv", "--update-state", next_model) == 5
    assert call("score", model, folder / "first.csv", "-o", tmp_path / "3.csv", "--update-state", model) == 5


def test_a_run_that_broke_off_goes_on_with_the_same_past(folder, tmp_path, chunks_of, monkeypatch):
    chunks_of(4_000)
    model, rows = folder / "model.vaea", folder / "later.csv"
    whole, out, states = tmp_path / "whole.csv", tmp_path / "out.csv", (tmp_path / "a.vaea", tmp_path / "b.vaea")
    assert call("score", model, rows, "-o", whole, "--update-state", states[0]) == 0
    written, write = [], _score_run._write

    def write_two(*arguments):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(write(*arguments))

    with monkeypatch.context() as patched:
        patched.setattr(_score_run, "_write", write_two)
        assert call("score", model, rows, "-o", out, "--update-state", states[1]) == 130
    assert not out.exists()
    assert not states[1].exists()
    assert call("score", model, rows, "-o", out, "--resume", "--update-state", states[1]) == 0
    assert out.read_bytes() == whole.read_bytes()
    assert read_artifact(states[1]).behavior == read_artifact(states[0]).behavior


def test_rows_that_come_late_are_named(folder, tmp_path, chunks_of, capsys):
    lines = (folder / "later.csv").read_text().splitlines()
    (tmp_path / "backwards.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    assert call("score", folder / "model.vaea", tmp_path / "backwards.csv", "-o", tmp_path / "out.csv") == 0
    assert call("score", folder / "model.vaea", folder / "later.csv", "-o", tmp_path / "sorted.csv") == 0
    assert scores(tmp_path / "out.csv") == scores(tmp_path / "sorted.csv")[::-1]  # in one chunk the order is mended
    chunks_of(4_000)
    assert call("score", folder / "model.vaea", tmp_path / "backwards.csv", "-o", tmp_path / "none.csv") == 3
    assert not (tmp_path / "none.csv").exists()
    said = capsys.readouterr().err
    n_first = next(n for n in range(len(lines)) if len("\n".join(lines[: n + 1])) > 4_000)  # rows of a chunk, or so
    named = re.search(
        r"backwards.csv, line (\d+): column 'timestamp': expected no time before (.{19}),.* found (.{19})", said
    )
    assert abs(int(named[1]) - n_first) < 5
    assert (
        named[3] == [*reversed(lines[1:])][int(named[1]) - 2].split(",")[1]
    )  # the line it names is the one that is late
    assert "Give rows in order of time" in said


def test_calibrate_evaluate_explain_and_inspect_know_the_past(folder, tmp_path, capsys):
    model = tmp_path / "model.vaea"
    options = ("--alerts-per-rows", 5, 100, "-o", model)
    assert call("calibrate", folder / "model.vaea", folder / "first.csv", *options) == 0
    assert read_artifact(model).behavior == read_artifact(folder / "model.vaea").behavior
    capsys.readouterr()
    assert call("evaluate", model, folder / "later.csv", "--label", "is_fraud", "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["n_rows"] == 500
    assert "customer_id" not in said.err  # it is known, through its features
    assert call("explain", model, folder / "later.csv", "-o", tmp_path / "all.csv", "--all") == 0
    assert call("explain", model, folder / "later.csv", "-o", tmp_path / "top.csv", "--top", 500) == 0
    assert (tmp_path / "all.csv").read_bytes() == (tmp_path / "top.csv").read_bytes()
    reasons = read_table(tmp_path / "all.csv")
    assert any(str(name).startswith("customer_id__") for name in reasons["reason_1"].to_pylist())
    assert not any("__" in name for name in reasons.column_names)
    capsys.readouterr()
    assert call("inspect", model, "--json") == 0
    facts = json.loads(capsys.readouterr().out)["behavior"]
    last = read_table(folder / "train.csv")["timestamp"].to_pylist()[-1]
    assert facts["until"] == last.replace(" ", "T")
    assert facts["parameters"]["entities"] == ["customer_id"]
    assert 0 < facts["remembered_rows"] <= N_TRAIN
    assert call("inspect", model) == 0
    assert f"until {last}" in capsys.readouterr().out


def test_held_out_rows_are_not_remembered(folder, tmp_path, capsys):
    options = ("--hold-out", 0.2, "--hold-out-to", tmp_path / "aside.csv")
    assert fit(folder, tmp_path / "model.vaea", *options) == 2
    assert "--time-column" in capsys.readouterr().err
    assert fit(folder, tmp_path / "model.vaea", *options, "--time-column", "timestamp") == 0
    history = load_pipeline(tmp_path / "model.vaea")[0].history_
    assert str(history.until) < min(read_table(tmp_path / "aside.csv")["timestamp"].to_pylist())
    assert call("calibrate", tmp_path / "model.vaea", tmp_path / "aside.csv", "--contamination-share", 0.05) == 0
    big = ("--max-rows", 1_000, "--force")
    assert fit(folder, tmp_path / "model.vaea", *options, "--time-column", "timestamp", *big) == 2


def test_rows_that_are_drawn_know_those_that_are_not(folder, tmp_path):
    assert fit(folder, tmp_path / "model.vaea", "--max-rows", 300) == 0
    pipeline = load_pipeline(tmp_path / "model.vaea")
    assert pipeline[-1].schema_.n_rows == 300
    assert read_artifact(tmp_path / "model.vaea").behavior == read_artifact(folder / "model.vaea").behavior


def test_labels_choose_the_rows_to_learn_from_but_not_the_past(folder, tmp_path):
    assert fit(folder, tmp_path / "model.vaea", "--train-on", "0") == 0
    n_normal = read_table(folder / "train.csv")["is_fraud"].to_pylist().count("0")
    assert load_pipeline(tmp_path / "model.vaea")[-1].schema_.n_rows == n_normal < N_TRAIN
    assert read_artifact(tmp_path / "model.vaea").behavior == read_artifact(folder / "model.vaea").behavior


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("entities = [", "expected TOML, found"),
        ("time = 'timestamp'", "expected the key 'entities', found only ['time']"),
        (SPEC + "window = ['1D']", "found 'window'"),
        (SPEC.replace('"7D"', '"a week"'), "The 'windows' parameter of BehaviorFeatures must be"),
        (SPEC + "max_entities = 0", "'max_entities'"),
        (SPEC + "max_entities = 'none'", "'max_entities'"),
        (SPEC + "learn_from = true", "expected a date or a time for 'learn_from', found True"),
        (SPEC + "learn_from = 'soon'", "expected a time for 'learn_from' as those of the files"),
        (SPEC + "learn_from = 2025-01-01T00:00:00Z", "found dates with a time zone"),
        (
            SPEC + "learn_from = 2099-01-01",
            "from learn_from = 2099-01-01 on to learn from, found none among 1,500 rows",
        ),
        (SPEC.replace("customer_id", "card"), "needs the columns ['card']"),
        (SPEC.replace('"category"', '"is_fraud"'), "needs the columns ['is_fraud']"),
    ],
)
def test_a_spec_that_is_wrong_is_told_how(folder, tmp_path, capsys, text, expected):
    (folder / "wrong.toml").write_text(text)
    assert fit(folder, tmp_path / "model.vaea", spec="wrong.toml") in (2, 3)
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "model.vaea").exists()


def test_history_is_remembered_and_not_learnt_from(folder, tmp_path, chunks_of):
    rows = read_table(folder / "train.csv")
    begin = rows["timestamp"].to_pylist()[1_000]
    (folder / "later.toml").write_text(SPEC + f"learn_from = '{begin}'\nmax_entities = 'all'\n")
    assert fit(folder, tmp_path / "model.vaea", spec="later.toml") == 0
    pipeline = load_pipeline(tmp_path / "model.vaea")
    assert pipeline[-1].schema_.n_rows == sum(time >= begin for time in rows["timestamp"].to_pylist()) < N_TRAIN
    assert pipeline[0].max_entities is None
    assert pipeline[0].history_.until == load_pipeline(folder / "model.vaea")[0].history_.until
    learnt_from = load_pipeline(folder / "model.vaea")[0].transform(rows.drop_columns(["is_fraud", "transaction_id"]))
    amounts = np.array(learnt_from["customer_id__amount_mean_7D"].to_numpy()[-500:], dtype=float)
    column = next(c for c in pipeline[-1].schema_.columns if c.name == "customer_id__amount_mean_7D")
    assert (column.minimum, column.maximum) == (np.nanmin(amounts), np.nanmax(amounts))  # each knew its whole past
    chunks_of(3_000)
    assert fit(folder, tmp_path / "again.vaea", spec="later.toml") == 0
    later = read_table(folder / "later.csv").drop_columns(["is_fraud", "transaction_id"])
    again = load_pipeline(tmp_path / "again.vaea")
    np.testing.assert_array_equal(again.score_samples(later), pipeline.score_samples(later))


@pytest.mark.parametrize("size", [2_000, 1 << 23])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_fault_is_named_by_its_file_and_line(folder, tmp_path, chunks_of, capsys, size, kind):
    chunks_of(size)
    rows = read_table(folder / "train.csv")
    place, row = rows.column_names.index("amount"), 777
    amounts = rows["amount"].to_pylist()
    amounts[row] = "much"
    write_table(rows.set_column(place, "amount", pa.array(amounts)), tmp_path / f"train.{kind}")
    (tmp_path / "spec.toml").write_text(SPEC)
    options = ("--label", "is_fraud", "--behavior", tmp_path / "spec.toml", "--quiet")
    assert call("fit", tmp_path / f"train.{kind}", "-o", tmp_path / "model.vaea", *options) == 3
    said = capsys.readouterr().err
    where = f"line {row + 2}" if kind == "csv" else f"row {row + 1}"
    assert f"train.{kind}, {where}: column 'amount': expected a number, found 'much'." in said


def test_what_cannot_be_is_refused(folder, tmp_path, capsys):
    model, rows, out = folder / "model.vaea", folder / "later.csv", tmp_path / "out.csv"
    assert fit(folder, tmp_path / "model.vaea", spec="no.toml") == 2
    assert call("score", model, rows, "-o", out, "--bad-rows", "skip") == 2
    assert "--bad-rows skip: expected error" in capsys.readouterr().err
    assert call("score", model, folder / "train.csv", "-o", out) == 3  # their past is behind what is remembered
    plain = tmp_path / "plain.vaea"
    assert call("fit", rows, "-o", plain, "--max-steps", 10, "--members", 1, "--quiet") == 0
    assert call("score", plain, rows, "-o", out, "--update-state", tmp_path / "next.vaea") == 2
    assert "--update-state is for a model that knows the past" in capsys.readouterr().err
    text = rows.read_text().splitlines()
    rows_twice = [f"{line},{'card' if not number else 0}" for number, line in enumerate(text)]
    (tmp_path / "taken.csv").write_text("\n".join(rows_twice).replace(",card", ",customer_id__count_1D") + "\n")
    assert call("score", model, tmp_path / "taken.csv", "-o", out) == 3
    assert "customer_id__count_1D" in capsys.readouterr().err
    assert not out.exists()


def test_a_report_knows_the_past_and_whose_it_is(folder, tmp_path, capsys):
    page, scored = tmp_path / "report.html", tmp_path / "scored.csv"
    assert call("score", folder / "model.vaea", folder / "later.csv", "-o", scored) == 0
    capsys.readouterr()
    assert call("report", folder / "model.vaea", folder / "later.csv", "-o", page, "--nearest", 1, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    alerts = [row for row, alert in enumerate(read_table(scored)["alert"].to_pylist()) if alert == "true"]
    data = json.loads(re.search(r'id="report-data">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)[1])
    assert sorted(data["alerts"]["row"]) == alerts
    assert said["alerts"] == len(alerts) > 0
    assert (data["time"], data["entity"]) == ("timestamp", "customer_id")
    cards = read_table(folder / "later.csv")["customer_id"].to_pylist()
    assert set(data["histories"]) == {cards[row] for row in alerts}
    text = page.read_text("utf-8")
    assert text.count("features are made of it") == 2  # the card and the time; the amount is scored itself
    assert "customer_id__amount_mean_7D" in text


def test_a_model_whose_memory_is_too_old_says_so(folder, tmp_path, capsys):
    rows = read_table(folder / "later.csv")
    times = pd.to_datetime(pd.Series(rows["timestamp"].to_pylist()))
    for days, told in ((0, False), (90, True)):
        moved = pa.array((times + pd.Timedelta(days=days)).dt.strftime("%Y-%m-%d %H:%M:%S"))
        write_table(rows.set_column(rows.column_names.index("timestamp"), "timestamp", moved), tmp_path / f"{days}.csv")
        assert call("score", folder / "model.vaea", tmp_path / f"{days}.csv", "-o", tmp_path / f"{days}.out.csv") == 0
        assert ("more than 7D after the end of what the model remembers" in capsys.readouterr().err) == told


def test_a_graph_of_a_model_with_a_past_is_refused_at_once(folder, tmp_path, capsys):
    assert call("export", folder / "model.vaea", "--onnx", "-o", tmp_path / "model.onnx") == 2
    assert "the past of cards, which no graph remembers. Save the detector by itself" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
