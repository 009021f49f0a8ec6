"""``vae-anomaly report``, as a shell calls it."""

from __future__ import annotations

import json
import re

import pyarrow as pa
import pytest

from vae_anomaly import AlertBudget, CalibratedDetector, VAEDetector, make_transactions
from vae_anomaly.cli._options import Reading
from vae_anomaly.cli.main import run
from vae_anomaly.report import summarise
from vae_anomaly.report.writing import write_page
from vae_anomaly.table.io import read_table, write_table

KNOWN = ["timestamp", "category", "amount", "country"]


def call(*arguments):
    """The exit code of a command line."""
    with pytest.raises(SystemExit) as leaving:
        run([str(argument) for argument in arguments])
    return leaving.value.code or 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A file of payments, a model of it, and the same model with thresholds by country."""
    folder = tmp_path_factory.mktemp("payments")
    payments = make_transactions(1_200, fraud_rate=0.03, random_state=1)
    detector = VAEDetector(max_steps=60, n_members=1).fit(payments[KNOWN])
    detector.save(folder / "model.vaea")
    calibrated = CalibratedDetector(detector, AlertBudget(2), cv="prefit", min_segment_rows=50)
    calibrated.fit(payments[KNOWN], groups=payments["country"], time=payments["timestamp"])
    calibrated.save(folder / "calibrated.vaea", segment_column="country")
    table = pa.Table.from_pandas(payments.assign(timestamp=payments["timestamp"].astype("datetime64[s]")))
    write_table(table, folder / "payments.csv")
    return folder


def data_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="report-data">(.*?)</script>', text, re.DOTALL)[1])


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("model", ["model.vaea", "calibrated.vaea"])
def test_the_page_of_rows_in_files_is_that_of_rows_in_memory(folder, tmp_path, monkeypatch, model, decimal):
    monkeypatch.setattr("vae_anomaly.table.stream.CHUNK_BYTES", 5_000)
    for name in ("vae_anomaly.table.on_disk", "vae_anomaly.cli._sample"):
        monkeypatch.setattr(f"{name}._ROWS_AT_ONCE", 130)
    rows = read_table(folder / "payments.csv")
    if decimal == ",":
        place = rows.column_names.index("amount")
        commas = pa.array([cell.replace(".", ",") for cell in rows["amount"].to_pylist()])
        rows = rows.set_column(place, "amount", commas)
    write_table(rows, tmp_path / "rows.csv")
    command = ["report", folder / model, tmp_path / "rows.csv", "-o", tmp_path / "page.html"]
    command += ["--decimal", decimal, "--delimiter", ","]
    assert call(*command, "--max-alerts=5", "--nearest=2", "--entity=customer_id") == 0
    fitted = (VAEDetector if model == "model.vaea" else CalibratedDetector).load(folder / model)
    groups = {} if model == "model.vaea" else {"groups": rows["country"].to_pylist(), "segment": "country"}
    wishes = {"max_alerts": 5, "n_nearest": 2, "entity": "customer_id", **groups}
    expected = summarise(fitted, Reading(decimal=decimal).for_model(rows), written=rows, **wishes)
    write_page(expected, tmp_path / "expected.html")
    found, wanted = (data_of(tmp_path / name) for name in ("page.html", "expected.html"))
    told = "files", "model", "card", "facts"  # where they come from
    assert {key: found[key] for key in found if key not in told} == {
        key: wanted[key] for key in wanted if key not in told
    }
    assert {path.name for path in tmp_path.iterdir()} == {"rows.csv", "page.html", "expected.html"}


@pytest.mark.parametrize("model", ["model.vaea", "calibrated.vaea"])
def test_the_page_lists_the_rows_that_score_says_alert(folder, tmp_path, capsys, model):
    page, scored = tmp_path / "report.html", tmp_path / "scored.csv"
    assert call("score", folder / model, folder / "payments.csv", "-o", scored, "--json") == 0
    capsys.readouterr()
    found = call("report", folder / model, folder / "payments.csv", "-o", page, "--entity", "customer_id", "--json")
    assert found == 0
    said = json.loads(capsys.readouterr().out)
    table = read_table(scored).to_pydict()
    alerts = [row for row, alert in enumerate(table["alert"]) if alert == "true"]
    data = data_of(page)
    assert sorted(data["alerts"]["row"]) == alerts
    assert said["alerts"] == said["listed"] == len(alerts) > 0
    for row, score in zip(data["alerts"]["row"], data["alerts"]["score"], strict=True):
        assert score == pytest.approx(float(table["anomaly_score"][row]), rel=1e-6)
    assert data["calibrated"] == (model == "calibrated.vaea")
    assert data["segment"] == ("country" if model == "calibrated.vaea" else None)
    text = page.read_text(encoding="utf-8")
    assert "payments.csv" in text
    assert model in text
    assert str(folder) not in text


def test_alerts_are_left_out_only_with_a_word(folder, tmp_path, capsys):
    page = tmp_path / "report.html"
    assert call("report", folder / "model.vaea", folder / "payments.csv", "-o", page, "--max-alerts", 2) == 0
    assert "are left out of the page" in capsys.readouterr().err
    assert len(data_of(page)["alerts"]["row"]) == 2


def test_an_input_is_never_written_over(folder, capsys):
    before = (folder / "payments.csv").read_bytes()
    assert call("report", folder / "model.vaea", folder / "payments.csv", "-o", folder / "payments.csv", "--force") == 5
    assert call("report", folder / "model.vaea", folder / "payments.csv", "-o", folder / "model.vaea", "--force") == 5
    assert (folder / "payments.csv").read_bytes() == before
    assert "of this command" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--entity", "--time-column", "--fixed"])
def test_a_column_that_is_not_there_is_wrong_usage(folder, tmp_path, capsys, option):
    page = tmp_path / "report.html"
    assert call("report", folder / "model.vaea", folder / "payments.csv", "-o", page, option, "no such column") == 2
    assert "no such column" in capsys.readouterr().err
    assert not page.exists()


def test_a_decimal_comma_is_shown_as_it_was_written(folder, tmp_path):
    table = read_table(folder / "payments.csv")
    place = table.column_names.index("amount")
    written = pa.array([text.replace(".", ",") for text in table["amount"].to_pylist()])
    write_table(table.set_column(place, "amount", written), tmp_path / "comma.csv")
    page = tmp_path / "report.html"
    model = folder / "model.vaea"
    reading = ("--decimal", ",", "--delimiter", ",")
    assert call("report", model, tmp_path / "comma.csv", "-o", page, *reading, "--nearest", 0) == 0
    cells = data_of(page)["cells"][place]
    assert any("," in cell for cell in cells.get("values") or cells["levels"])
