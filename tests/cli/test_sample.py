"""sample, as a shell calls it: the same rows for the same seed, whatever breaks a run off, and what they are worth."""

from __future__ import annotations

import gzip
import json
import os
import re
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from vae_anomaly import VAEDetector, make_transactions, synthetic_quality
from vae_anomaly.cli import _sample_run
from vae_anomaly.cli.main import run
from vae_anomaly.cli.sample import parse_conditions
from vae_anomaly.report.synthetic import render_quality
from vae_anomaly.table.io import read_table

COLUMNS = ["timestamp", "category", "amount", "channel", "device", "is_foreign", "is_fraud"]


def call(*arguments):
    """The exit code of a command line."""
    with pytest.raises(SystemExit) as leaving:
        run([str(argument) for argument in arguments])
    return leaving.value.code or 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of payments, those, and others that it has not seen."""
    folder = tmp_path_factory.mktemp("sample")
    rows = make_transactions(1_000, fraud_rate=0.2, random_state=1)[["transaction_id", *COLUMNS]]
    rows = rows.sample(frac=1.0, random_state=0).assign(note=["=1+1", "שלום 💳", None, "a,b"] * 250)
    rows[:500].to_csv(folder / "real.csv", index=False)
    rows[500:].to_csv(folder / "held_out.csv", index=False)
    quick = ["--max-steps=60", "--members=1", "--quiet", "--contamination=0"]
    assert call("fit", folder / "real.csv", "-o", folder / "model.vaea", "--id=transaction_id", *quick) == 0
    return folder


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(_sample_run, "ROWS_AT_ONCE", 64)


def sampled(folder, output, *options, n=200):
    assert call("sample", folder / "model.vaea", "-n", n, "-o", output, *options) == 0
    return output


def compared(folder):
    return [f"--real={folder / 'real.csv'}", f"--held-out={folder / 'held_out.csv'}"]


def test_rows_are_of_the_model_and_none_is_real(folder, tmp_path):
    found = read_table(sampled(folder, tmp_path / "out.csv"))
    real = pd.read_csv(folder / "real.csv", dtype=str)
    assert found.column_names == real.columns.tolist()
    assert found.num_rows == 200
    assert found["transaction_id"].null_count == 200  # what names a row of fit names none of these
    detector = VAEDetector.load(folder / "model.vaea")
    assert np.isfinite(detector.score_samples(found)).all()
    rows = found.to_pandas()
    for name in ("category", "channel", "is_foreign", "is_fraud", "note"):
        assert set(rows[name].dropna()) <= set(real[name].dropna())
    amount = rows["amount"].astype(float)
    assert amount.between(real["amount"].astype(float).min(), real["amount"].astype(float).max()).all()
    assert rows.merge(real[COLUMNS], on=COLUMNS).empty


def test_a_seed_gives_the_same_file_and_another_one_others(folder, tmp_path, small_chunks):
    first, again = (sampled(folder, tmp_path / name, "--seed=7").read_bytes() for name in ("a.csv", "b.csv"))
    assert first == again
    assert sampled(folder, tmp_path / "c.csv", "--seed=8").read_bytes() != first
    assert first.startswith(sampled(folder, tmp_path / "few.csv", "--seed=7", n=100).read_bytes())
    rows = first.split(b"\n")[1:-1]
    assert len(set(rows)) > 150  # chunks do not repeat each other


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz", "out.parquet"])
def test_a_run_that_broke_off_goes_on_to_the_same_file(folder, tmp_path, small_chunks, monkeypatch, capsys, name):
    whole = sampled(folder, tmp_path / f"whole-{name}").read_bytes()
    draw, drawn = VAEDetector.sample, []

    def broken_off(self, *arguments):
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(arguments)
        return draw(self, *arguments)

    monkeypatch.setattr(VAEDetector, "sample", broken_off)
    arguments = ["sample", folder / "model.vaea", "-n200", "-o", tmp_path / name]
    assert call(*arguments) == 130
    assert not (tmp_path / name).exists()
    assert "128 rows are kept" in capsys.readouterr().err
    monkeypatch.setattr(VAEDetector, "sample", draw)
    assert call(*arguments) == 5
    assert "an earlier run broke off here after 128 rows" in capsys.readouterr().err
    assert call(*arguments, "--seed=1", "--resume") == 5
    assert "expected the run that broke off here, found another: its options differ" in capsys.readouterr().err
    assert call(*arguments, "--resume") == 0
    assert "going on after 128 rows" in capsys.readouterr().err
    assert (tmp_path / name).read_bytes() == whole
    assert {path.name for path in tmp_path.iterdir()} == {name, f"whole-{name}"}


def test_every_format_holds_the_same_rows(folder, tmp_path, capfdbinary):
    text = sampled(folder, tmp_path / "out.csv").read_bytes()
    assert gzip.decompress(sampled(folder, tmp_path / "out.csv.gz").read_bytes()) == text
    assert pq.read_table(sampled(folder, tmp_path / "out.parquet")).equals(read_table(tmp_path / "out.csv"))
    capfdbinary.readouterr()
    sampled(folder, "-")
    assert capfdbinary.readouterr().out == text


def test_no_rows_are_a_table_without_any(folder, tmp_path):
    names = ["transaction_id", *COLUMNS, "note"]
    assert sampled(folder, tmp_path / "none.csv", n=0).read_text() == ",".join(names) + "\n"
    found = pq.read_table(sampled(folder, tmp_path / "none.parquet", n=0))
    assert (found.num_rows, found.column_names) == (0, names)


@pytest.mark.filterwarnings("ignore::vae_anomaly.errors.VaeAnomalyWarning")  # the label, and so short a training
def test_a_model_of_typed_columns_makes_typed_ones(tmp_path):
    rows = make_transactions(400, random_state=0)[COLUMNS].assign(channel=lambda t: t["channel"].astype("category"))
    VAEDetector(max_steps=30, n_members=1, contamination=0.0).fit(rows).save(tmp_path / "model.vaea")
    found = pq.read_table(sampled(tmp_path, tmp_path / "out.parquet", n=50))
    kinds = {field.name: str(field.type) for field in found.schema}
    assert kinds["timestamp"].startswith("timestamp[")
    assert (kinds["amount"], kinds["is_foreign"], kinds["is_fraud"]) == ("double", "bool", "int64")
    numbers = np.random.default_rng(0).normal(size=(200, 3))
    VAEDetector(max_steps=30, n_members=1).fit(numbers).save(tmp_path / "model.vaea", overwrite=True)
    found = pq.read_table(sampled(tmp_path, tmp_path / "array.parquet", n=50))
    assert found.column_names == ["x0", "x1", "x2"]
    assert {str(field.type) for field in found.schema} == {"double"}


def test_fixed_cells_are_in_every_row(folder, tmp_path):
    conditions = ["--condition=is_fraud=1", "--condition=device="]
    found = read_table(sampled(folder, tmp_path / "out.csv", *conditions, n=50))
    assert set(found["is_fraud"].to_pylist()) == {"1"}
    assert found["device"].null_count == 50
    assert parse_conditions(["note=a=b", "device="]) == {"note": "a=b", "device": None}


def test_what_a_spreadsheet_would_run_is_text_if_asked(folder, tmp_path):
    rows = ["--condition=note==1+1"]
    plain = read_table(sampled(folder, tmp_path / "plain.csv", *rows, n=20))["note"].to_pylist()
    safe = read_table(sampled(folder, tmp_path / "safe.csv", *rows, "--spreadsheet-safe", n=20))["note"].to_pylist()
    assert set(plain) == {"=1+1"}
    assert safe == [f"'{cell}" for cell in plain]


def test_the_quality_is_that_of_python(folder, tmp_path, capsys):
    report = tmp_path / "quality.json"
    options = [*compared(folder), "--target=is_fraud", "--json", "--quality-report", report]
    capsys.readouterr()
    rows = read_table(sampled(folder, tmp_path / "out.csv", *options))
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["seed"]) == (200, 0)
    assert told["quality"] == json.loads(report.read_text())
    detector = VAEDetector.load(folder / "model.vaea")
    names = list(detector.schema_.modelled)
    real, held_out = (read_table(folder / name).select(names) for name in ("real.csv", "held_out.csv"))
    expected = synthetic_quality(real, rows.select(names), held_out=held_out, target="is_fraud")
    assert told["quality"] == json.loads(json.dumps(expected.to_json()))
    assert told["quality"]["privacy"]["n_copies"] == 0


def test_figures_are_printed_and_written_as_a_page_that_holds_no_row(folder, tmp_path, capsys):
    report = tmp_path / "quality.html"
    sampled(
        folder,
        tmp_path / "out.csv",
        f"--real={folder / 'real.csv'}",
        "--quality-report",
        report,
        "--condition=note=a,b",
    )
    out, err = capsys.readouterr()
    assert "200 of these rows beside 500 real ones" in out
    assert "detection, ROC AUC" in out
    assert "compared with all real rows" in err
    page = report.read_text()
    assert page.startswith("<!doctype html>")
    assert "category</bdi>" in page
    assert "grocery" not in page
    assert not re.search(r"<script|src=|http://|https://", page)


def test_names_of_columns_are_text_on_the_page():
    rows = pd.DataFrame({"<script>alert(1)</script>": np.arange(50) % 7, "\u202eגיל": np.arange(50) % 3})
    page = render_quality(synthetic_quality(rows, rows[::-1]))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "\u202e" not in page
    assert "גיל" in page


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--condition=chanel=atm"], 2, "near: 'channel'"),
        (["--condition=channel"], 2, "--condition must be COL=VALUE"),
        (["--condition=channel=atm", "--condition=channel=pos"], 2, "every column once"),
        (["--condition=transaction_id=1"], 2, "an identifier"),
        (["--condition=amount=-5"], 2, "the range of fit"),
        (["--rows=-1"], 2, None),
        (["--seed=-1"], 2, None),
        (["--target=is_fraud"], 2, "--target needs --real FILE"),
        (["--quality-report=q.html"], 2, "--quality-report needs --real FILE"),
        (["--real=REAL", "--target=is_fraud"], 2, "--target needs --held-out FILE"),
        (["--real=REAL", "--quality-report=q.txt"], 2, "must end in .html or .json"),
        (["--real=REAL", "--quality-report=OUT.json", "--output=OUT.json"], 2, "must be two files"),
        (["--real=REAL", "--rows=4"], 2, "--real needs -n 5 or more"),
        (["--real=REAL", "--output=-"], 2, "goes with neither --json nor --real"),
        (["--resume", "--output=-"], 2, "--resume goes on with an unfinished file"),
        (["--real=no-such.csv"], 3, "no-such.csv"),
        (["--real=REAL", "--output=REAL", "--force"], 5, "found an input file of this command"),
        (["--output=MODEL", "--force"], 5, "found the model of this command"),
    ],
)
def test_what_cannot_be_is_told_before_the_work_and_leaves_nothing(folder, tmp_path, capsys, options, code, message):
    places = {"REAL": folder / "real.csv", "MODEL": folder / "model.vaea", "OUT.json": tmp_path / "OUT.json"}
    for name, place in places.items():
        options = [option.replace(name, str(place)) for option in options]
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert call("sample", folder / "model.vaea", "-o", tmp_path / "out.csv", *options) == code
    assert message is None or message in re.sub(r"\s+", " ", capsys.readouterr().err)
    assert not list(tmp_path.iterdir())
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_file_without_the_columns_of_the_model_is_refused(folder, tmp_path, capsys):
    (tmp_path / "other.csv").write_text("amount\n1.5\n")
    arguments = ["-o", tmp_path / "out.csv", f"--real={tmp_path / 'other.csv'}"]
    assert call("sample", folder / "model.vaea", *arguments) == 3
    assert "expected the columns of the model, found none named ['timestamp'" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_a_reader_that_has_had_enough_is_no_error(folder, small_chunks, monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as nobody:
        monkeypatch.setattr(sys, "stdout", nobody)
        try:
            assert call("sample", folder / "model.vaea", "-n200", "-o", "-") == 0
        finally:
            monkeypatch.undo()
