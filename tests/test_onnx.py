"""The graph scores as the detector does, from raw rows too, by a reader that knows nothing but the JSON file."""

from __future__ import annotations

import json
import math
import sys
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import CalibratedDetector, Contamination, OutputError, ParameterError, VAEDetector
from vae_anomaly.cli.main import run
from vae_anomaly.errors import MissingExtraError
from vae_anomaly.onnx import encoding_of, export_onnx

pytest.importorskip("onnx", reason="the extra [onnx] is not installed")
pytest.importorskip("onnxscript", reason="the extra [onnx] is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")

START = datetime(2023, 1, 1)
TRUE, FALSE = ("true", "yes", "on", "t", "y"), ("false", "no", "off", "f", "n")
DTYPES = {"values": np.float32, "angles": np.float32, "codes": np.int32}


def mixed(n_rows, seed=0):
    """Every kind of column and reading, rare levels and gaps."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 4, n_rows)
    when = [START + timedelta(minutes=int(m)) for m in np.sort(rng.integers(0, 1_500_000, n_rows))]
    frame = pd.DataFrame(
        {
            "id": [f"row {number}" for number in range(n_rows)],
            "amount": np.exp(group + rng.normal(0, 0.3, n_rows)),
            "count": group * 7 + rng.integers(0, 3, n_rows),
            "shop": np.array(["corner", "café", "متجر", "web 🛒"], dtype=object)[group],
            "town": [f"town {number}" for number in rng.zipf(1.6, n_rows) % 60],
            "branch": group * 100 + 7,
            "online": (group > 1) ^ (rng.random(n_rows) < 0.05),
            "vip": np.where(rng.random(n_rows) < 0.3, "yes", "no"),
            "unit": "EUR",
            "paid": [f"{moment:%Y-%m-%dT%H:%M:%S}Z" for moment in when],
            "opened": [f"{moment - timedelta(days=40):%Y-%m-%d}" for moment in when],
        }
    )
    for name in ("amount", "shop", "paid", "vip", "branch"):
        frame[name] = frame[name].astype(object).where(rng.random(n_rows) > 0.08, None)
    return frame.astype({"amount": float})


KINDS = {"id": "identifier", "branch": "categorical", "opened": "numeric"}


def strange(frame):
    """What fit never saw."""
    odd = frame.copy()
    odd.loc[0, ["shop", "town", "unit"]] = ["never seen", "nowhere", "USD"]
    odd.loc[1, "amount"] = 1e12
    odd.loc[2, ["paid", "opened"]] = ["2031-12-31T23:59:59.999999Z", "1969-05-05"]
    odd.loc[3, [name for name in odd if name not in ("id", "amount", "count", "online", "branch")]] = None
    odd.loc[3, "amount"] = np.nan
    odd["vip"] = odd["vip"].replace({"no": "FALSE"})
    odd["branch"] = [None if pd.isna(cell) else f" {cell}.0" for cell in odd["branch"]]
    return odd


@pytest.fixture(scope="module")
def rows():
    return mixed(700)


@pytest.fixture(scope="module")
def detector(rows):
    known = np.full(len(rows), -1)
    known[:12] = 1
    rows = rows.copy()
    rows.loc[:11, "count"] = 40
    return VAEDetector(n_members=2, max_steps=80, hidden=(32, 24), max_categories=20, n_exemplars=64, kinds=KINDS).fit(
        rows, known=known
    )


@pytest.fixture(scope="module")
def exported(detector, tmp_path_factory):
    graph, encoding = export_onnx(detector, tmp_path_factory.mktemp("onnx") / "model.onnx")
    return session(graph), json.loads(encoding.read_text(encoding="utf-8"))


def session(graph):
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def blocks_of(detector, rows):
    table = detector._encode(rows)
    return {name: getattr(table, name) for name in DTYPES if getattr(table, name).shape[1]}


def assert_alike(detector, rows, found):
    score, surprisal = found
    np.testing.assert_allclose(score, -detector.score_samples(rows), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(surprisal, detector.column_surprisal(rows), rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- a reader of the JSON file, as another language has it


def number_text(number):
    whole = isinstance(number, int) or (number.is_integer() and abs(number) < 2**53)
    return str(int(number)) if whole else repr(number)


def moment(cell):
    return cell if isinstance(cell, datetime) else datetime.fromisoformat(cell.strip().removesuffix("Z"))


def as_number(text):
    try:
        return float(text)
    except ValueError:
        return None


def text_of(cell, reading):
    if isinstance(cell, bool):
        return number_text(int(cell)) if reading == "number" else str(cell).lower()
    if isinstance(cell, int | float):
        text = number_text(cell)
        return {"1": "true", "0": "false"}.get(text, text) if reading == "truth" else text
    text = cell.strip()
    if reading == "number" and as_number(text) is not None:
        return number_text(as_number(text))
    if reading == "truth":
        words = dict.fromkeys(TRUE, "true") | dict.fromkeys(FALSE, "false")
        return words.get(text.lower(), text)
    return f"{moment(text):%Y-%m-%d %H:%M:%S.%f}" if reading == "moment" else text


def turn(when, cycle):
    midnight = when.replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "time_of_day": (when - midnight) / timedelta(days=1),
        "day_of_month": (when.day - 1) / 31,
        "day_of_year": (when.timetuple().tm_yday - 1) / 366,
    }[cycle]


def number_of(cell, column):
    if column["reading"] == "moment":
        return (moment(cell) - datetime(1970, 1, 1)) / timedelta(seconds=1)
    return float(cell)


def is_missing(cell, document):
    absent = cell is None or (isinstance(cell, float) and math.isnan(cell))
    return absent or (isinstance(cell, str) and cell.strip() in document["missing_texts"])


def write_cell(out, column, cell, codes):
    if column["kind"] == "numeric":
        z = (number_of(cell, column) / 2 - column["location"] / 2) / (column["scale"] / 2)
        out["values"][column["at"]] = min(max(z, -column["clip"]), column["clip"])
    elif column["kind"] == "datetime":
        when = moment(cell)
        for angle in column["angles"]:
            radians = np.float32(2 * math.pi * turn(when, angle["cycle"]))
            out["angles"][angle["at"]] = 0 if radians >= 2 * math.pi else radians
        if column["weekday"]:
            out["codes"][column["weekday"]["at"]] = codes["first_level"] + when.weekday()
    else:
        text = text_of(cell, column["reading"])
        places = {level: codes["first_level"] + place for place, level in enumerate(column["levels"])}
        rare = dict.fromkeys(column["rare"], codes["rare"])
        out["codes"][column["at"]] = (rare | places).get(text, codes["unseen"])


def encode(records, document):
    """Rows as the inputs of the graph, by the JSON file alone."""
    empty = {"values": math.nan, "angles": math.nan, "codes": document["codes"]["missing"]}
    blocks = {
        name: np.full((len(records), width), empty[name], DTYPES[name]) for name, width in document["inputs"].items()
    }
    for number, record in enumerate(records):
        out = {name: block[number] for name, block in blocks.items()}
        for column in document["columns"]:
            if column["kind"] != "identifier" and not is_missing(record[column["name"]], document):
                write_cell(out, column, record[column["name"]], document["codes"])
    return blocks


# ---------------------------------------------------------------- laws


def test_raw_rows_score_alike_by_the_json_file_alone(detector, exported, rows):
    graph, document = exported
    odd = strange(mixed(60, seed=5))
    records = json.loads(json.dumps(odd.astype(object).where(odd.notna(), None).to_dict("records")))
    blocks = encode(records, document)
    for name, block in blocks_of(detector, odd).items():
        np.testing.assert_array_equal(blocks[name], block, err_msg=name)
    assert_alike(detector, odd, graph.run(None, blocks))
    assert {column["kind"] for column in document["columns"]} == {
        *("numeric", "categorical", "boolean", "datetime", "constant", "identifier"),
    }
    assert {column.get("reading") for column in document["columns"]} >= {"number", "truth", "moment", "text"}
    assert any(column.get("rare") for column in document["columns"])
    assert (blocks["codes"] == document["codes"]["unseen"]).any()


@pytest.mark.parametrize("n_rows", [1, 2, 600])
def test_any_number_of_rows_goes_through(detector, exported, rows, n_rows):
    graph, _ = exported
    some = rows.head(n_rows)
    assert_alike(detector, some, graph.run(None, blocks_of(detector, some)))


def test_known_frauds_are_part_of_the_graph(detector, exported, rows):
    lift = detector._lift(detector._encode(rows))
    assert np.ptp(lift) > 1  # what the other tests would miss if it were not
    graph, _ = exported
    score = graph.run(["anomaly_score"], blocks_of(detector, rows))[0]
    np.testing.assert_allclose(score, detector.anomaly_score(rows), rtol=1e-4)


def test_the_graph_names_its_rows_and_columns(detector, exported):
    graph, document = exported
    assert {entry.name: entry.shape for entry in graph.get_inputs()} == {
        name: ["rows", width] for name, width in document["inputs"].items()
    }
    n_columns = len(document["column_surprisal"])
    assert [(entry.name, entry.shape, entry.type) for entry in graph.get_outputs()] == [
        ("anomaly_score", ["rows"], "tensor(double)"),
        ("column_surprisal", ["rows", n_columns], "tensor(double)"),
    ]
    assert document["column_surprisal"] == list(detector.column_surprisal(mixed(1)).columns)
    assert document["threshold"] == -detector.offset_


@pytest.mark.parametrize("columns", [["amount", "count"], ["shop", "branch", "online"]], ids=["numbers", "categories"])
def test_tables_of_one_kind_have_one_input(rows, tmp_path, columns):
    some = rows[columns]
    settings = {"n_members": 1, "max_steps": 60, "hidden": (16,), "n_exemplars": 0}
    kinds = {name: kind for name, kind in KINDS.items() if name in columns}
    detector = VAEDetector(score_type="reconstruction", kinds=kinds, **settings).fit(some)
    graph, encoding = export_onnx(detector, tmp_path / "one.onnx")
    assert len(session(graph).get_inputs()) == 1
    assert_alike(detector, some, session(graph).run(None, blocks_of(detector, some)))
    assert sorted(json.loads(encoding.read_text())["inputs"].values()) == [len(columns)]


def test_a_score_of_many_passes_is_refused(detector):
    detector = VAEDetector(**{**detector.get_params(), "score_type": "iwae"})
    detector.offset_, detector.known_head_ = 0.0, None
    with pytest.raises(ParameterError, match="Got 'iwae' instead"):
        export_onnx(detector, "model.onnx")


def test_the_thresholds_of_a_calibration_go_along(detector, rows):
    groups = np.where(np.arange(len(rows)) % 2, "DE", "FR")
    calibrated = CalibratedDetector(detector, Contamination(0.02), cv="prefit").fit(rows, groups=groups)
    document = encoding_of(detector, calibrated.calibration_, "country")
    assert document["segment_thresholds"] == calibrated.segment_thresholds_
    assert (document["threshold"], document["segment_column"]) == (calibrated.threshold_, "country")
    json.dumps(document, allow_nan=False)


def call(*arguments):
    with pytest.raises(SystemExit) as leaving:
        run([str(argument) for argument in arguments])
    return leaving.value.code


def test_the_command_writes_both_files_or_none(detector, rows, tmp_path, capsys, monkeypatch):
    detector.save(tmp_path / "model.vaea")
    monkeypatch.setattr("vae_anomaly.onnx.graph_of", lambda _: b"a graph")  # which others test
    target = tmp_path / "model.onnx"
    assert call("export", tmp_path / "model.vaea", "-o", target) == 2
    assert "--onnx" in capsys.readouterr().err
    assert not target.exists()
    assert call("export", tmp_path / "model.vaea", "--onnx", "-o", target, "--json") == 0
    assert json.loads(capsys.readouterr().out)["encoding"] == str(tmp_path / "model.encoding.json")
    assert (target.read_bytes(), (tmp_path / "model.encoding.json").stat().st_size > 1_000) == (b"a graph", True)
    target.unlink()
    assert call("export", tmp_path / "model.vaea", "--onnx", "-o", target) == 5  # the JSON file is there already
    assert not target.exists()
    assert call("export", tmp_path / "model.vaea", "--onnx", "-o", target, "--force") == 0
    assert call("export", tmp_path / "model.vaea", "--onnx", "-o", tmp_path / "model.vaea", "--force") == 5


def test_a_folder_that_is_not_there_is_told(detector, tmp_path, monkeypatch):
    monkeypatch.setattr("vae_anomaly.onnx.graph_of", lambda _: b"a graph")
    with pytest.raises(OutputError, match="folder"):
        export_onnx(detector, tmp_path / "none" / "model.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_extra_is_named_with_its_command(detector, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'vae-anomaly\[onnx\]'"):
        export_onnx(detector, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
