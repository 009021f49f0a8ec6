"""explain, as a shell calls it: reasons beside rows that come out as they went in, or as JSON lines."""

from __future__ import annotations

import csv
import json
import os

import numpy as np
import pyarrow as pa
import pytest

from vae_anomaly import VAEDetector, alert_patterns, make_transactions
from vae_anomaly.cli.main import run
from vae_anomaly.table.io import read_table, write_table

NAMES = [f"--id={name}_id" for name in ("transaction", "customer", "merchant", "terminal")]
REASONS = ["reason_1", "reason_1_sentence", "reason_2", "reason_2_sentence", "reason_3", "reason_3_sentence"]
HOSTILE = ["=HYPERLINK(A1)", "+1+cmd", "-1+cmd", "@SUM(A1)", "\t=1", "\r=1", "-12.50", "שלום 💳", '<script>"&amp;']


def call(*arguments):
    """The exit code of a command line."""
    with pytest.raises(SystemExit) as leaving:
        run([str(argument) for argument in arguments])
    return leaving.value.code or 0


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Payments with hostile notes among them, a model of earlier ones, and the same model calibrated."""
    folder = tmp_path_factory.mktemp("explain")
    payments = make_transactions(1_200, fraud_rate=0.03, random_state=1)
    payments[:600].to_csv(folder / "train.csv", index=False)
    later = pa.Table.from_pandas(payments[600:], preserve_index=False)
    notes = pa.array([HOSTILE[number % len(HOSTILE)] for number in range(len(later))])
    write_table(later.append_column("note", notes), folder / "later.csv")
    quick = ["--max-steps=60", "--members=1", "--quiet", "--label=is_fraud", "--drop=typology"]
    assert call("fit", folder / "train.csv", "-o", folder / "model.vaea", *NAMES, *quick) == 0
    wish = ["--false-alarm-rate=0.05", "-o", folder / "calibrated.vaea"]
    assert call("calibrate", folder / "model.vaea", folder / "train.csv", *wish) == 0
    return folder


def explained(folder, tmp_path, *options, model="model.vaea", name="out.csv"):
    output = tmp_path / name
    assert call("explain", folder / model, folder / "later.csv", "-o", output, "--force", *options) == 0
    return (
        [json.loads(line, parse_constant=refuse) for line in output.read_text().splitlines()]
        if (name.endswith(".jsonl"))
        else read_table(output)
    )


def refuse(word):
    raise ValueError(f"{word} is no JSON")


def reasons_in_python(folder, rows, n_reasons=3, **how):
    detector = VAEDetector.load(folder / "model.vaea")
    table = read_table(folder / "later.csv").select(list(detector.schema_.names)).take(rows)
    return detector.explain(table, n_reasons, **how)


def test_every_cell_comes_out_as_it_went_in_and_reasons_stand_beside_the_rows_that_alert(folder, tmp_path):
    found = explained(folder, tmp_path)
    with (folder / "later.csv").open(newline="") as before, (tmp_path / "out.csv").open(newline="") as after:
        pairs = list(zip(csv.reader(before), csv.reader(after), strict=True))
    assert all(out[: len(came)] == came for came, out in pairs)
    assert found.column_names[-8:] == ["anomaly_score", "alert", *REASONS]
    alerts = [alert == "true" for alert in found["alert"].to_pylist()]
    assert 0 < sum(alerts) < len(alerts)
    for name in REASONS:
        assert [cell is not None for cell in found[name].to_pylist()] == alerts


@pytest.mark.parametrize(("options", "how"), [([], {}), (["--as-reconstructed"], {"conditional": False})])
def test_the_shell_and_python_agree(folder, tmp_path, options, how):
    found = explained(folder, tmp_path, "--reasons=2", *options)
    rows = np.flatnonzero(np.array(found["alert"].to_pylist()) == "true")
    expected = reasons_in_python(folder, rows, 2, **how)
    for rank in (1, 2):
        of_rank = expected[expected["rank"] == rank]
        assert found[f"reason_{rank}"].take(rows).to_pylist() == of_rank["column"].tolist()
        assert found[f"reason_{rank}_sentence"].take(rows).to_pylist() == of_rank["sentence"].tolist()


def test_the_top_rows_and_all_rows_are_explained_if_asked_for(folder, tmp_path):
    found = explained(folder, tmp_path, "--top=5")
    score = np.array(found["anomaly_score"].to_pylist(), dtype=float)
    told = np.array([cell is not None for cell in found["reason_1"].to_pylist()])
    assert set(np.flatnonzero(told)) == set(np.argsort(-score, kind="stable")[:5])
    everything = explained(folder, tmp_path, "--all", "--as-reconstructed")
    assert everything["reason_3_sentence"].null_count == 0
    assert (
        explained(folder, tmp_path, "--top=5", "--as-reconstructed")["reason_1"]
        .take(np.flatnonzero(told))
        .equals(everything["reason_1"].take(np.flatnonzero(told)))
    )


@pytest.mark.parametrize("model", ["model.vaea", "calibrated.vaea"])
def test_a_json_line_says_of_an_alert_what_the_table_says(folder, tmp_path, model):
    lines = explained(folder, tmp_path, "--pattern", model=model, name="alerts.jsonl")
    table = explained(folder, tmp_path, "--pattern", model=model)
    rows = [number for number, alert in enumerate(table["alert"].to_pylist()) if alert == "true"]
    assert [line["row"] - 1 for line in lines] == rows
    decided = {"anomaly_score", "alert"} | ({"p_value", "risk_score"} if model == "calibrated.vaea" else set())
    for line, row in zip(lines, table.take(rows).to_pylist(), strict=True):
        assert set(line) == {"row", "pattern", "columns", "reasons"} | decided
        assert line["alert"] is True
        assert line["anomaly_score"] == float(row["anomaly_score"])
        assert line["columns"] == {name: row[name] for name in line["columns"]}
        assert str(line["pattern"]) == row["pattern"]
        assert [set(reason) for reason in line["reasons"]] == [
            {"column", "observed", "expected", "direction", "share", "sentence"}
        ] * 3
        for rank, reason in enumerate(line["reasons"], 1):
            assert [reason["column"], reason["sentence"]] == [row[f"reason_{rank}"], row[f"reason_{rank}_sentence"]]
            assert reason["observed"] == row[reason["column"]]


def test_shares_in_json_lines_are_those_of_python(folder, tmp_path):
    lines = explained(folder, tmp_path, "--top=3", name="alerts.jsonl")
    expected = reasons_in_python(folder, [line["row"] - 1 for line in lines])
    assert [reason["share"] for line in lines for reason in line["reasons"]] == expected["share"].tolist()


def test_patterns_are_those_of_python(folder, tmp_path, capsys):
    found = explained(folder, tmp_path, "--pattern")
    output = capsys.readouterr()
    rows = np.flatnonzero([cell is not None for cell in found["pattern"].to_pylist()])
    expected = alert_patterns(reasons_in_python(folder, rows))
    assert [int(number) for number in found["pattern"].take(rows).to_pylist()] == expected.labels.tolist()
    assert f"patterns: {len(expected)}" in output.err
    assert "Patterns" in output.out


def test_without_an_output_the_first_alerts_are_shown_with_their_reasons(folder, capsys):
    assert call("explain", folder / "calibrated.vaea", folder / "later.csv", "--top=2") == 0
    output = capsys.readouterr()
    rows = reasons_in_python(folder, top_rows(folder, 2))
    for name in rows["column"].unique():
        assert name in output.out
    assert "The 2 most anomalous rows" in output.out
    assert "explained 2 of 600 rows" in output.err


def top_rows(folder, n):
    detector = VAEDetector.load(folder / "model.vaea")
    table = read_table(folder / "later.csv").select(list(detector.schema_.names))
    return np.sort(np.argsort(-detector.anomaly_score(table), kind="stable")[:n])


@pytest.mark.parametrize("options", [["-o", "-"], ["--json-lines"]])
def test_standard_output_carries_the_rows_and_nothing_else(folder, tmp_path, capfdbinary, options):
    name = "out.jsonl" if "--json-lines" in options else "out.csv"
    assert call("explain", folder / "model.vaea", folder / "later.csv", *options) == 0
    printed = capfdbinary.readouterr().out
    explained(folder, tmp_path, name=name)
    assert (tmp_path / name).read_bytes() == printed


def test_files_without_alerts_have_no_reasons_and_a_remark(folder, tmp_path, capsys):
    table = read_table(folder / "train.csv")
    scores = VAEDetector.load(folder / "model.vaea").anomaly_score(table.drop_columns(["is_fraud", "typology"]))
    write_table(table.take([int(scores.argmin())]), tmp_path / "calm.csv")
    for name in ("out.csv", "out.jsonl"):
        assert call("explain", folder / "model.vaea", tmp_path / "calm.csv", "-o", tmp_path / name, "--pattern") == 0
        assert "none of 1 rows alerts" in capsys.readouterr().err
    assert read_table(tmp_path / "out.csv").select([*REASONS, "pattern"]).to_pylist() == [
        dict.fromkeys([*REASONS, "pattern"])
    ]
    assert (tmp_path / "out.jsonl").read_text() == ""


def test_types_of_parquet_stay_types(folder, tmp_path):
    payments = make_transactions(100, fraud_rate=0.03, random_state=1)[:50]
    rows = pa.Table.from_pandas(payments, preserve_index=False)
    write_table(rows, tmp_path / "rows.parquet")
    output = tmp_path / "out.parquet"
    assert call("explain", folder / "model.vaea", tmp_path / "rows.parquet", "-o", output, "--top=5", "--pattern") == 0
    found = read_table(output)
    assert found.select(rows.column_names).equals(rows)
    assert found.schema.field("pattern").type == pa.int64()
    output = tmp_path / "out.jsonl.gz"
    assert call("explain", folder / "model.vaea", tmp_path / "rows.parquet", "-o", output, "--top=50") == 0
    with pa.input_stream(output, compression="gzip") as stream:
        lines = [json.loads(line, parse_constant=refuse) for line in stream.read().splitlines()]
    assert [line["columns"]["amount"] for line in lines] == rows["amount"].to_pylist()
    assert {line["columns"]["distance_km"] for line in lines} >= {None}


@pytest.mark.parametrize("command", ["explain", "score"])
def test_no_cell_is_a_formula_if_that_is_asked_for_and_all_are_as_they_were_if_not(folder, tmp_path, command):
    arguments = [command, folder / "model.vaea", folder / "later.csv", "--force", "-o", tmp_path / "out.csv"]
    assert call(*arguments) == 0
    assert read_table(tmp_path / "out.csv")["note"].to_pylist()[: len(HOSTILE)] == HOSTILE
    assert call(*arguments, "--spreadsheet-safe") == 0
    table = read_table(tmp_path / "out.csv")
    text = {cell for name in table.column_names for cell in [name, *table[name].to_pylist()] if cell}
    signed = {cell for cell in text if cell[0] in "=+-@\t\r\n"}
    assert "-12.50" in signed
    assert all(np.isfinite(float(cell)) for cell in signed)
    assert "'=HYPERLINK(A1)" in text


def test_a_hostile_value_among_the_reasons_is_no_formula_either(folder, tmp_path):
    table = read_table(folder / "later.csv")
    table = table.set_column(table.column_names.index("channel"), "channel", pa.array(["=cmd|' /C calc'!A0"] * 600))
    write_table(table, tmp_path / "hostile.csv")
    output = tmp_path / "out.csv"
    options = ["--spreadsheet-safe", "--top=600", "--as-reconstructed"]
    assert call("explain", folder / "model.vaea", tmp_path / "hostile.csv", "-o", output, *options) == 0
    found = read_table(output)
    assert set(found["channel"].to_pylist()) == {"'=cmd|' /C calc'!A0"}
    assert any("=cmd" in (cell or "") for cell in found["reason_1_sentence"].to_pylist())
    assert not any((cell or "x")[0] in "=+-@" for name in REASONS for cell in found[name].to_pylist())


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--top=3", "--all"], 2, "expected one of them, found both"),
        (["--spreadsheet-safe"], 2, "goes with -o OUT"),
        (["--spreadsheet-safe", "-o", "out.jsonl"], 2, "no spreadsheet runs JSON lines"),
        (["--reasons=0"], 2, "greater than or equal to 1"),
        (["-o", "no/such/folder.csv"], 5, "expected an existing folder"),
    ],
)
def test_an_error_is_a_line_and_a_code(folder, capsys, options, code, message):
    assert call("explain", folder / "model.vaea", folder / "later.csv", *options) == code
    assert message in capsys.readouterr().err


def test_columns_of_the_results_names_are_refused(folder, tmp_path, capsys):
    found = explained(folder, tmp_path)
    write_table(found.drop_columns(["anomaly_score", "alert"]), tmp_path / "again.csv")
    assert call("explain", folder / "model.vaea", tmp_path / "again.csv", "-o", tmp_path / "x.csv") == 3
    assert "found ['reason_1', " in capsys.readouterr().err
    assert not (tmp_path / "x.csv").exists()
    assert call("explain", folder / "model.vaea", tmp_path / "again.csv", "-o", tmp_path / "x.jsonl", "--top=1") == 0


def test_the_model_is_never_replaced(folder):
    before = (folder / "model.vaea").read_bytes()
    assert call("explain", folder / "model.vaea", folder / "later.csv", "-o", folder / "model.vaea", "--force") == 5
    assert (folder / "model.vaea").read_bytes() == before
    assert call("explain", folder / "model.vaea", folder / "later.csv", "-o", os.devnull) == 0
