"""Files in chunks give what whole files give, to the bit and to the byte, whatever happens on the way."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_anomaly import CalibratedDetector, DiscoveryRate, FalseAlarmRate, VAEDetector
from vae_anomaly.benchmark.streaming_hostile import odd_payments as payments
from vae_anomaly.benchmark.streaming_hostile import problem, run_hostile
from vae_anomaly.cli import _score_run
from vae_anomaly.cli._explain_shown import explain_shown
from vae_anomaly.cli._narrow import scored_narrowly
from vae_anomaly.cli._options import Reading
from vae_anomaly.cli._overlap import ahead, in_order
from vae_anomaly.cli._sample import sampled
from vae_anomaly.cli.main import run
from vae_anomaly.cli.score import REJECTED
from vae_anomaly.decision.evaluation import evaluate_scores
from vae_anomaly.errors import TrainingWarning
from vae_anomaly.table.io import read_table, write_table

COLUMNS = ["card", "amount", "shop", "at", "note"]


def call(*arguments):
    """The exit code of a command line."""
    with pytest.raises(SystemExit) as leaving:
        run([str(argument) for argument in arguments])
    return leaving.value.code or 0


def text_of(frame, *, delimiter=",", line_end="\n", quoting=csv.QUOTE_MINIMAL, header=True):
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter, lineterminator=line_end, quoting=quoting)
    writer.writerows([frame.columns] * header)
    writer.writerows(frame.itertuples(index=False))
    return stream.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A file of payments, a detector of them, and calibrations of it with a threshold and by the batch."""
    folder = tmp_path_factory.mktemp("streaming")
    frame = payments(600)
    frame.loc[::30, "amount"] = "99999.99"
    (folder / "payments.csv").write_text(text_of(frame))
    kinds = {"card": "identifier", "note": "identifier", "shop": "categorical"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)  # the columns are independent, and scores are scores
        rows = pa.Table.from_pandas(payments(500, 1), preserve_index=False)
        detector = VAEDetector(max_steps=40, n_members=1, kinds=kinds).fit(rows)
    detector.save(folder / "model.vaea")
    later = pa.Table.from_pandas(payments(400, 2), preserve_index=False)
    for name, rule in (("rate", FalseAlarmRate(0.05)), ("batch", DiscoveryRate(0.3))):
        CalibratedDetector(detector, rule, cv="prefit").fit(later).save(folder / f"{name}.vaea")
    return folder


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr("vae_anomaly.table.stream.CHUNK_BYTES", 2_000)
    monkeypatch.setattr("vae_anomaly.table.stream.CHUNK_ROWS", 70)


def without_the_last(lines, n_cells, delimiter):
    return [line.rsplit(delimiter, n_cells)[0] for line in lines]


@pytest.mark.parametrize(("model", "size"), [("model", 150), ("rate", 997), ("batch", 5_000), ("rate", 1 << 23)])
def test_any_chunks_score_and_decide_as_the_whole(folder, tmp_path, monkeypatch, model, size):
    monkeypatch.setattr("vae_anomaly.table.stream.CHUNK_BYTES", size)
    assert call("score", folder / f"{model}.vaea", folder / "payments.csv", "-o", tmp_path / "out.csv") == 0
    scored, rows = read_table(tmp_path / "out.csv"), read_table(folder / "payments.csv")
    detector = VAEDetector.load(folder / "model.vaea")
    score = detector.anomaly_score(rows)
    assert [float(text) for text in scored["anomaly_score"].to_pylist()] == score.tolist()
    if model != "model":
        calibrated = CalibratedDetector.load(folder / f"{model}.vaea")
        assert [float(text) for text in scored["p_value"].to_pylist()] == calibrated.p_value(rows).tolist()
        alert = calibrated.predict(rows) == -1
    else:
        alert = score > -detector.offset_
    assert [text == "true" for text in scored["alert"].to_pylist()] == alert.tolist()
    assert len(set(alert)) == 2
    assert scored.select(rows.column_names).equals(rows)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    ("line_end", "quoting", "encoding"),
    [
        ("\n", csv.QUOTE_ALL, "utf-8"),
        ("\r\n", csv.QUOTE_NONNUMERIC, "utf-8-sig"),
        ("\r", csv.QUOTE_MINIMAL, "utf-16"),
        ("\n", csv.QUOTE_MINIMAL, "utf-16"),
    ],
)
def test_every_row_comes_out_as_it_was_written(folder, tmp_path, small_chunks, delimiter, line_end, quoting, encoding):
    frame = payments(90, 3)
    frame["note"] = frame["note"].str.replace("two\nlines", "two\r\nlines")
    text = text_of(frame, delimiter=delimiter, line_end=line_end, quoting=quoting)
    (tmp_path / "in.csv").write_bytes(text.encode(encoding))
    assert call("score", folder / "model.vaea", tmp_path / "in.csv", "-o", tmp_path / "out.csv") == 0
    out = (tmp_path / "out.csv").read_bytes()
    assert out[:2] == text.encode(encoding)[:2]
    records = out.decode(encoding).split(line_end)
    assert len(records) == len(text.split(line_end))
    ends = [record.rsplit(delimiter, 2) for record in records if record.endswith(("alert", "true", "false"))]
    assert len(ends) == 91
    joined = out.decode(encoding)
    for _, score, alert in ends:
        joined = joined.replace(f"{delimiter}{score}{delimiter}{alert}{line_end}", line_end, 1)
    assert joined == text


def test_files_that_are_written_otherwise_are_one_output(folder, tmp_path):
    frame = payments(40, 4)
    (tmp_path / "a.csv").write_text(
        text_of(frame[:20], delimiter=";", line_end="\r\n").removesuffix("\r\n"), newline=""
    )
    (tmp_path / "b.csv").write_text(text_of(frame[20:]))
    out = tmp_path / "out.csv"
    assert call("score", folder / "model.vaea", tmp_path / "a.csv", tmp_path / "b.csv", "-o", out) == 0
    with out.open(newline="") as file:
        rows = list(csv.reader(file, delimiter=";"))
    assert [row[:-2] for row in rows] == [list(frame.columns), *frame.to_numpy().tolist()]


@pytest.mark.parametrize("name", ["out.csv.gz", "out.csv.bz2", "out.csv.zst", "out.parquet"])
def test_every_format_holds_the_same(folder, tmp_path, small_chunks, name):
    rows = pa.Table.from_pandas(payments(150, 5), preserve_index=False)
    typed = rows.set_column(1, "amount", rows["amount"].cast(pa.float64()))
    pq.write_table(typed, tmp_path / "in.parquet", row_group_size=40)
    assert call("score", folder / "model.vaea", tmp_path / "in.parquet", "-o", tmp_path / "plain.csv") == 0
    assert call("score", folder / "model.vaea", tmp_path / "in.parquet", "-o", tmp_path / name) == 0
    plain, found = read_table(tmp_path / "plain.csv"), read_table(tmp_path / name)
    if name.endswith("parquet"):
        assert found.select(typed.column_names).equals(typed)
        assert found["anomaly_score"].to_pylist() == [float(text) for text in plain["anomaly_score"].to_pylist()]
    else:
        assert found.equals(plain)
    assert call("score", folder / "model.vaea", folder / "payments.csv", "-o", tmp_path / f"text.{name}") == 0
    assert read_table(tmp_path / f"text.{name}")["card"].to_pylist() == payments(600)["card"].tolist()


def test_a_folder_and_a_pattern_are_their_files(folder, tmp_path):
    (tmp_path / "in").mkdir()
    frame = payments(60, 6)
    for number, name in enumerate("ba"):
        (tmp_path / "in" / f"{name}.csv").write_text(text_of(frame[30 * number : 30 * number + 30]))
    for number, source in enumerate((tmp_path / "in", tmp_path / "in" / "*.csv")):
        assert call("score", folder / "model.vaea", source, "-o", tmp_path / f"{number}.csv") == 0
        cards = read_table(tmp_path / f"{number}.csv")["card"].to_pylist()
        assert cards == [*frame["card"][30:], *frame["card"][:30]]


def interrupted_after(monkeypatch, n_chunks):
    """Ctrl-C when so many chunks are written."""
    add, left = _score_run.Unfinished.append, [n_chunks]

    def append(self, *arguments):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        add(self, *arguments)

    monkeypatch.setattr(_score_run.Unfinished, "append", append)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("model", "out.csv"),
        ("rate", "out.csv.gz"),
        ("model", "out.csv.zst"),
        ("rate", "out.parquet"),
        ("batch", "out.csv"),
    ],
)
def test_an_interrupted_run_goes_on_to_the_same_bytes(folder, tmp_path, monkeypatch, small_chunks, capsys, model, name):
    command = ["score", folder / f"{model}.vaea", folder / "payments.csv", folder / "payments.csv", "--json", "--top=9"]
    assert call(*command, "-o", tmp_path / name) == 0
    expected = (tmp_path / name).read_bytes()
    facts = json.loads(capsys.readouterr().out)
    os.rename(tmp_path / name, tmp_path / "expected")
    for n_chunks in (3, 14):
        with monkeypatch.context() as patch:
            interrupted_after(patch, n_chunks)
            assert call(*command, "-o", tmp_path / name, "--resume") == 130
        err = capsys.readouterr().err
        assert "rows are kept: the same command with --resume goes on after them" in err
        assert not (tmp_path / name).exists()
    assert call(*command, "-o", tmp_path / name, "--resume") == 0
    out, err = capsys.readouterr()
    assert "note: going on after" in err
    assert (tmp_path / name).read_bytes() == expected
    assert json.loads(out) == facts
    assert sorted(os.listdir(tmp_path)) == sorted(["expected", name])


def test_only_the_same_run_goes_on(folder, tmp_path, monkeypatch, small_chunks, capsys):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_bytes((folder / "payments.csv").read_bytes())
    with monkeypatch.context() as patch:
        interrupted_after(patch, 2)
        assert call("score", folder / "model.vaea", source, "-o", out) == 130
    state = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert call("score", folder / "model.vaea", source, "-o", out) == 5
    assert "--resume" in capsys.readouterr().err
    for command, differs in (
        (["score", folder / "rate.vaea", source], "model"),
        (["score", folder / "model.vaea", folder / "payments.csv"], "inputs"),
        (["score", folder / "model.vaea", source, "--decimal=,"], "options"),
    ):
        assert call(*command, "-o", out, "--resume") == 5
        assert f"its {differs} differ" in capsys.readouterr().err
    os.utime(source, (1, 1))
    assert call("score", folder / "model.vaea", source, "-o", out, "--resume") == 5
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == state
    assert call("score", folder / "model.vaea", source, "-o", out, "--force") == 0
    assert sorted(os.listdir(tmp_path)) == ["in.csv", "out.csv"]


def command_of(*arguments):
    code = "import vae_anomaly.table.stream as s; s.CHUNK_BYTES = 20_000; from vae_anomaly.cli.main import run; run()"
    return [sys.executable, "-c", code, *map(str, arguments)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_is_gone_on_with(folder, tmp_path, monkeypatch, number):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(text_of(payments(4_000, 7)))
    command = command_of("score", folder / "model.vaea", source, "-o", out)
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:  # noqa: S603
        while not (tmp_path / "out.csv.part.json").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        err = process.stderr.read()
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert b"Traceback" not in err
    assert sorted(os.listdir(tmp_path)) == ["in.csv", "out.csv.part", "out.csv.part.json"]
    monkeypatch.setattr("vae_anomaly.table.stream.CHUNK_BYTES", 20_000)
    assert call("score", folder / "model.vaea", source, "-o", out, "--resume") == 0
    assert call("score", folder / "model.vaea", source, "-o", tmp_path / "whole.csv") == 0
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_full_disk_is_a_clear_error_that_leaves_a_state(folder, tmp_path, monkeypatch):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))

    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(text_of(payments(2_000, 8)))
    command = command_of("score", folder / "model.vaea", source, "-o", out)
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False)  # noqa: S603
    assert done.returncode == 5
    assert "could not be written" in done.stderr
    assert "go on with --resume" in done.stderr
    assert not out.exists()
    monkeypatch.setattr("vae_anomaly.table.stream.CHUNK_BYTES", 20_000)
    assert call("score", folder / "model.vaea", source, "-o", out, "--resume") == 0
    assert call("score", folder / "model.vaea", source, "-o", tmp_path / "whole.csv") == 0
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


BAD = {5: "too,few", 17: '000001,many,web,2024-05-01 10:00,"",more', 40: "000002,n/k,web,2024-05-01 10:00,ok"}


@pytest.fixture
def with_bad_rows(tmp_path):
    lines = text_of(payments(120, 9).assign(note="x")).splitlines()
    for place, line in BAD.items():
        lines.insert(place, line)
    (tmp_path / "bad.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "bad.csv"


def rejects(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_bad_row_is_an_error_by_its_line(folder, tmp_path, with_bad_rows, capsys):
    assert call("score", folder / "model.vaea", with_bad_rows, "-o", tmp_path / "out.csv") == 3
    assert "bad.csv, line 6 (record 6): expected 5 cells, found 2" in capsys.readouterr().err
    lines = with_bad_rows.read_text().splitlines()
    with_bad_rows.write_text("\n".join(line for n, line in enumerate(lines) if n not in (5, 17)))
    assert call("score", folder / "model.vaea", with_bad_rows, "-o", tmp_path / "out.csv") == 3
    err = capsys.readouterr().err
    assert "bad.csv, line 39: expected a number in column 'amount', found 'n/k'. Repair or drop the row" in err
    assert os.listdir(tmp_path) == ["bad.csv"]


@pytest.mark.parametrize(("policy", "lines"), [("skip", [6, 18, 41]), ("missing", [6, 18])])
def test_bad_rows_are_set_aside_and_counted(folder, tmp_path, with_bad_rows, small_chunks, capsys, policy, lines):
    out = tmp_path / "out.csv"
    command = ["score", folder / "model.vaea", with_bad_rows, "--bad-rows", policy, "--json"]
    assert call(*command, "-o", out) == REJECTED
    stdout, err = capsys.readouterr()
    facts = json.loads(stdout)
    assert (facts["rows"], facts["rejected"], facts["missing_cells"]) == (123 - len(lines), len(lines), 3 - len(lines))
    assert f"{len(lines)} rows were not scored but rejected: {out}.rejects.csv has them" in err
    found = rejects(tmp_path / "out.csv.rejects.csv")
    assert [int(row["line"]) for row in found] == lines
    assert [row["text"] for row in found] == [BAD[line - 1] for line in lines]
    assert {row["file"] for row in found} == {str(with_bad_rows)}
    table = read_table(with_bad_rows.parent / "out.csv")
    assert table.num_rows == 123 - len(lines)
    if policy == "missing":
        emptied = read_table(out).select(COLUMNS).to_pandas()
        emptied.loc[emptied["amount"] == "n/k", "amount"] = None
        detector = VAEDetector.load(folder / "model.vaea")
        expected = detector.anomaly_score(pa.Table.from_pandas(emptied, preserve_index=False))
        assert [float(text) for text in table["anomaly_score"].to_pylist()] == expected.tolist()
        assert "1 cells that could not be read were taken as missing: amount 1" in err
        assert "n/k" in table["amount"].to_pylist()


@pytest.mark.parametrize("model", ["model", "batch"])
@pytest.mark.parametrize("policy", ["skip", "missing"])
def test_a_run_stopped_by_a_bad_row_may_go_on_without_it(folder, tmp_path, with_bad_rows, small_chunks, model, policy):
    lines = with_bad_rows.read_text().splitlines()
    for place in (17, 5):
        lines.append(lines.pop(place))
    with_bad_rows.write_text("\n".join(lines))
    command = ["score", folder / f"{model}.vaea", with_bad_rows]
    first = call(*command, "-o", tmp_path / "out.csv")
    assert first == 3
    assert call(*command, "-o", tmp_path / "out.csv", "--resume", "--bad-rows", policy) == REJECTED
    assert call(*command, "-o", tmp_path / "whole.csv", "--bad-rows", policy) == REJECTED
    for ending in ("", ".rejects.csv"):
        one, other = (tmp_path / f"{name}.csv{ending}" for name in ("out", "whole"))
        assert one.read_bytes() == other.read_bytes()


def test_a_file_of_bad_rows_alone_is_all_rejected(folder, tmp_path):
    (tmp_path / "in.csv").write_text(",".join(COLUMNS) + "\n1,2\n3\n")
    assert call("score", folder / "model.vaea", tmp_path / "in.csv", "-o", tmp_path / "out.csv", "--bad-rows=skip") == 7
    assert (tmp_path / "out.csv").read_text() == ",".join([*COLUMNS, "anomaly_score", "alert"]) + "\n"
    assert len(rejects(tmp_path / "out.csv.rejects.csv")) == 2


def test_no_bad_row_is_success_and_says_so(folder, tmp_path):
    assert (
        call("score", folder / "model.vaea", folder / "payments.csv", "-o", tmp_path / "o.csv", "--bad-rows=skip") == 0
    )
    assert rejects(tmp_path / "o.csv.rejects.csv") == []


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--bad-rows", "drop", "-o", "{out}"], 2, "--bad-rows must be error, skip or missing"),
        (["--bad-rows", "skip", "-o", "-"], 2, "needs a place for rejected rows"),
        (["--bad-rows", "skip"], 2, "needs a place for rejected rows"),
        (["--rejects", "{out}", "-o", "-"], 2, "--rejects needs --bad-rows"),
        (["--resume", "-o", "-"], 2, "--resume goes on with an unfinished file"),
        (["--resume"], 2, "--resume goes on with an unfinished file"),
        (["--bad-rows", "skip", "--rejects", "{out}", "-o", "{out}"], 5, "a file of its own"),
        (["--bad-rows", "skip", "--rejects", "{data}", "-o", "{out}"], 5, "exists already"),
        (["--force", "-o", "{data}"], 5, "found an input file"),
    ],
)
def test_what_cannot_be_is_told_before_the_work(folder, tmp_path, capsys, options, code, message):
    places = {"out": tmp_path / "out.csv", "data": folder / "payments.csv"}
    before = places["data"].read_bytes()
    options = [option.format(**places) for option in options]
    assert call("score", folder / "model.vaea", places["data"], *options) == code
    assert message in capsys.readouterr().err
    assert os.listdir(tmp_path) == []
    assert places["data"].read_bytes() == before


def test_standard_streams_stream_even_where_rows_are_decided_together(folder, tmp_path):
    options = ["-o", "-", "--bad-rows=skip", "--rejects", tmp_path / "r"]
    command = command_of("score", folder / "batch.vaea", "-", *options)
    rows = (folder / "payments.csv").read_bytes() + b"too,few\n"
    done = subprocess.run(command, input=rows, capture_output=True, check=False)  # noqa: S603
    assert done.returncode == REJECTED, done.stderr
    assert call("score", folder / "batch.vaea", folder / "payments.csv", "-o", tmp_path / "out.csv") == 0
    assert done.stdout == (tmp_path / "out.csv").read_bytes()
    assert [row["text"] for row in rejects(tmp_path / "r")] == ["too,few"]


def test_the_top_rows_are_those_of_the_whole(folder, capsys, small_chunks):
    assert call("score", folder / "rate.vaea", folder / "payments.csv", "--top=37", "--json") == 0
    top = json.loads(capsys.readouterr().out)["top"]
    rows = read_table(folder / "payments.csv")
    score = VAEDetector.load(folder / "model.vaea").anomaly_score(rows)
    order = np.argsort(-score, kind="stable")[:37]
    assert [row["row"] - 1 for row in top] == order.tolist()
    assert [row["columns"] for row in top] == rows.take(order).to_pylist()
    assert [row["rank"] for row in top] == list(range(1, 38))


def test_spreadsheet_safe_rows_are_written_anew(folder, tmp_path):
    (tmp_path / "in.csv").write_text(text_of(payments(5, 10).assign(note="=A1"), delimiter=";"))
    out = tmp_path / "out.csv"
    assert call("score", folder / "model.vaea", tmp_path / "in.csv", "-o", out, "--spreadsheet-safe") == 0
    assert read_table(out)["note"].to_pylist() == ["'=A1"] * 5


def test_hostile_files_are_scored_rightly_or_refused_clearly():
    counts = run_hostile(50)
    assert counts["wrong"] == 0
    assert min(counts[how] for how in ("scored", "rejected", "refused")) > 0
    assert sum(counts[how] for how in ("scored", "rejected", "refused")) == 50


def test_the_check_of_hostile_files_finds_what_is_wrong(folder, tmp_path):
    out = tmp_path / "out.csv"
    options = ("-o", out, "--bad-rows=skip")
    assert call("score", folder / "model.vaea", folder / "payments.csv", *options) == 0
    data, detector = (folder / "payments.csv").read_bytes(), VAEDetector.load(folder / "model.vaea")
    assert problem(0, "", data, out, detector) is None
    assert "neither scored nor rejected" in problem(0, "", data + b"1,2,web,2024-05-01 10:00,x\n", out, detector)
    assert "never came" in problem(0, "", data.rsplit(b"\n", 2)[0], out, detector)
    assert "not the row's" in problem(
        0, "", data, changed(out, lambda text: re.sub(r"\d,false", "5,false", text)), detector
    )
    assert "exit code 7" in problem(7, "", data, out, detector)
    assert "no clear error" in problem(3, "Traceback", data, tmp_path / "absent", detector)


def changed(path, change):
    path.write_text(change(path.read_text()), newline="")
    return path


def test_work_is_done_in_order_and_errors_come_after_what_was_before():
    def made():
        yield from range(5)
        raise ValueError("broken")

    done = []
    with pytest.raises(ValueError, match="broken"):  # noqa: PT012
        for result in in_order(lambda x: x * x, ahead(made())):
            done.append(result)
    assert done == [0, 1, 4, 9, 16]


def test_what_is_no_longer_wanted_is_no_longer_made():
    made = []

    def endless():
        for number in itertools.count():
            made.append(number)
            yield number

    for number in ahead(endless()):
        if number == 3:
            break
    count = len(made)
    time.sleep(0.3)
    assert len(made) <= count + 1


def test_compressed_input_that_is_cut_short_is_no_success(folder, tmp_path):
    (tmp_path / "in.csv.gz").write_bytes(gzip.compress((folder / "payments.csv").read_bytes())[:-20])
    assert call("score", folder / "model.vaea", tmp_path / "in.csv.gz", "-o", tmp_path / "out.csv") == 3
    assert os.listdir(tmp_path) == ["in.csv.gz"]


@given(st.integers(1, 60), st.integers(1, 70), st.lists(st.integers(1, 59), max_size=4))
@settings(max_examples=60)
def test_a_sample_depends_on_the_rows_and_not_on_their_chunks(n_rows, n_drawn, cuts):
    table = pa.table({"n": range(n_rows)})
    edges = sorted({0, n_rows, *(cut for cut in cuts if cut < n_rows)})
    parts = [table.slice(a, b - a) for a, b in itertools.pairwise(edges)]
    drawn, n_seen = sampled(parts, n_drawn, seed=3)
    numbers = drawn["n"].to_pylist()
    assert n_seen == n_rows
    assert len(numbers) == min(n_drawn, n_rows)
    assert numbers == sorted(set(numbers))
    assert numbers == sampled([table], n_drawn, seed=3)[0]["n"].to_pylist()


def test_every_row_is_as_likely_to_be_drawn():
    tables = pa.table({"n": range(40)}).to_batches(max_chunksize=7)
    counts = np.zeros(40)
    for seed in range(1_000):
        counts[sampled(tables, 10, seed)[0]["n"].to_numpy()] += 1
    assert counts.sum() == 10_000
    assert np.abs(counts / 1_000 - 0.25).max() < 4.5 * np.sqrt(0.25 * 0.75 / 1_000)


def test_a_fit_on_a_larger_file_is_one_on_the_rows_drawn(folder, tmp_path, capsys, small_chunks):
    options = ["--max-steps=20", "--members=1", "--id=note", "--kind=shop=categorical", "--json", "--seed=5"]
    fit = ["fit", folder / "payments.csv", "-o", tmp_path / "drawn.vaea", *options, "--max-rows", "400"]
    assert call(*fit) == 0
    out, err = capsys.readouterr()
    assert (json.loads(out)["rows"], json.loads(out)["rows_in_files"]) == (400, 600)
    assert "600 rows, of which 400 were drawn" in err
    rows, _ = sampled([read_table(folder / "payments.csv")], 400, seed=5)
    write_table(rows, tmp_path / "rows.csv")
    assert call("fit", tmp_path / "rows.csv", "-o", tmp_path / "same.vaea", *options) == 0
    assert "rows_in_files" not in json.loads(capsys.readouterr().out)
    table = read_table(folder / "payments.csv")
    one, other = (VAEDetector.load(tmp_path / f"{name}.vaea").anomaly_score(table) for name in ("drawn", "same"))
    assert (one == other).all()


def test_a_calibration_in_chunks_is_that_of_the_whole(folder, tmp_path, monkeypatch, capsys):
    wish = ["--alerts-per-day", "5", "--time-column", "at", "--segment-column", "shop", "--min-segment-rows", "100"]
    for size in (900, 1 << 23):
        monkeypatch.setattr("vae_anomaly.table.stream.CHUNK_BYTES", size)
        out = tmp_path / f"{size}.vaea"
        assert call("calibrate", folder / "model.vaea", folder / "payments.csv", *wish, "-o", out, "--json") == 0
    one, other = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert one["report"] == other["report"]
    assert one["report"]["n_rows"] == 600


@pytest.mark.parametrize("model", ["model", "rate", "batch"])
def test_an_evaluation_in_chunks_is_that_of_the_whole(folder, tmp_path, monkeypatch, capsys, model):
    """Of the whole: the metrics of what the library scores and decides."""
    rows = read_table(folder / "payments.csv")
    labels = [str(int(number % 7 == 0)) for number in range(rows.num_rows)]
    write_table(rows.append_column("fraud", pa.array(labels)), tmp_path / "labelled.csv")
    columns = ["--label=fraud", "--time-column=at", "--card-column=card", "--amount-column=cost", "--json"]
    cost = pa.array([str(number % 50) for number in range(rows.num_rows)])
    labelled = read_table(tmp_path / "labelled.csv").append_column("cost", cost)
    write_table(labelled, tmp_path / "labelled.parquet")
    found = []
    for size, name in ((900, "labelled.parquet"), (1 << 23, "labelled.parquet")):
        monkeypatch.setattr("vae_anomaly.table.stream.CHUNK_ROWS", size // 10)
        assert call("evaluate", folder / f"{model}.vaea", tmp_path / name, *columns) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    detector = VAEDetector.load(folder / "model.vaea") if model == "model" else None
    fitted = detector or CalibratedDetector.load(folder / f"{model}.vaea")
    alert, fraud = fitted.predict(rows) == -1, np.array(labels) == "1"
    assert found[0]["alerts"]["number"] == alert.sum() > 0
    assert found[0]["alerts"]["recall"] == np.mean(alert[fraud])
    report = evaluate_scores(fraud, VAEDetector.load(folder / "model.vaea").anomaly_score(rows), ks=(10, 50, 100))
    assert found[0]["average_precision"] == report.to_json()["average_precision"]


def test_an_evaluation_keeps_of_the_rows_what_options_name(folder, small_chunks):
    scored = scored_narrowly(folder / "rate.vaea", [str(folder / "payments.csv")], Reading(), ["shop"])
    assert scored.table.column_names == ["shop", "anomaly_score", "p_value", "risk_score", "alert"]
    assert scored.table["shop"].equals(read_table(folder / "payments.csv")["shop"])


def test_columns_that_an_evaluation_lacks_are_told_before_anything_is_scored(folder, capsys, monkeypatch):
    monkeypatch.setattr(VAEDetector, "load", None)
    assert call("evaluate", folder / "model.vaea", folder / "payments.csv", "--label=fraud") == 3
    assert "Expected columns ['fraud']" in capsys.readouterr().err


def test_a_cell_that_cannot_be_read_is_told_by_its_line_in_calibrate_too(folder, with_bad_rows, small_chunks, capsys):
    lines = with_bad_rows.read_text().splitlines()
    with_bad_rows.write_text("\n".join(line for n, line in enumerate(lines) if n not in (5, 17)))
    assert call("calibrate", folder / "model.vaea", with_bad_rows, "--contamination-share=0.1", "--force") == 3
    assert "bad.csv, line 39: expected a number in column 'amount'" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--all", "--reasons=2", "--as-reconstructed"], ["--top=25"]])
@pytest.mark.parametrize("name", ["out.csv", "out.jsonl.gz", "out.parquet"])
def test_reasons_in_chunks_are_those_of_the_whole(folder, tmp_path, monkeypatch, small_chunks, name, options):
    command = ["explain", folder / "rate.vaea", folder / "payments.csv", *options]
    with monkeypatch.context() as patch:
        patch.setattr("vae_anomaly.table.stream.CHUNK_BYTES", 1 << 23)
        assert call(*command, "-o", tmp_path / f"whole.{name}") == 0
    with monkeypatch.context() as patch:
        interrupted_after(patch, 4)
        assert call(*command, "-o", tmp_path / name) == 130
    assert call(*command, "-o", tmp_path / name, "--resume") == 0
    if name.endswith("jsonl.gz"):
        one, other = (gzip.decompress(path.read_bytes()) for path in (tmp_path / name, tmp_path / f"whole.{name}"))
        assert one == other
        assert len(one.splitlines()) > 10
    else:
        assert read_table(tmp_path / name).equals(read_table(tmp_path / f"whole.{name}"))


@pytest.mark.parametrize("options", [["--resume", "--top=3"], ["--bad-rows=skip", "--pattern", "-o", "{out}"]])
def test_what_asks_for_all_rows_at_once_goes_not_with_chunks(folder, tmp_path, capsys, options):
    options = [option.format(out=tmp_path / "out.csv") for option in options]
    assert call("explain", folder / "model.vaea", folder / "payments.csv", *options) == 2
    assert "they go with -o OUT, and without --pattern" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "options"),
    [("model", ["--all"]), ("rate", []), ("rate", ["--top=3"]), ("batch", []), ("batch", ["--pattern"])],
)
def test_what_is_shown_of_chunks_is_what_is_shown_of_the_whole(folder, monkeypatch, capsys, model, options):
    told = []
    for size in (900, 1 << 23):
        monkeypatch.setattr("vae_anomaly.table.stream.CHUNK_BYTES", size)
        assert call("explain", folder / f"{model}.vaea", folder / "payments.csv", "--as-reconstructed", *options) == 0
        told.append(capsys.readouterr())
    assert told[0] == told[1]
    score = VAEDetector.load(folder / "model.vaea").anomaly_score(read_table(folder / "payments.csv"))
    if "--top=3" in options:
        rows = [int(line.split()[1]) for line in told[0].out.splitlines() if re.match(r" +[123] +\d", line)]
        assert rows == (np.argsort(-score, kind="stable")[:3] + 1).tolist()
    assert "of 600 rows" in told[0].err


def test_of_the_rows_that_are_shown_no_others_are_kept(folder, small_chunks):
    how = {"n_reasons": 2, "conditional": False, "pattern": False}
    which = {"top": 5, "every": False}
    model, file = folder / "rate.vaea", str(folder / "payments.csv")
    explained, facts = explain_shown(model, [file], Reading(), which=which, how=how)
    assert explained.scored.table.num_rows == facts["explained"] == 5
    assert facts["rows"] == 600
    index = explained.scored.index
    assert explained.scored.table.select(COLUMNS).equals(read_table(file).take(index))


@pytest.mark.parametrize("options", [[], ["--top=4", "-o", "{out}"]])
def test_a_pipe_that_has_to_be_read_twice_is_read_once(folder, tmp_path, capsys, options):
    options = [option.format(out=tmp_path / "out.csv") for option in options]
    os.mkfifo(tmp_path / "pipe")
    rows = (folder / "payments.csv").read_bytes()
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(rows))
    writer.start()
    assert call("explain", folder / "rate.vaea", tmp_path / "pipe", *options) == 0
    writer.join()
    told = capsys.readouterr()
    assert call("explain", folder / "rate.vaea", folder / "payments.csv", "--force", *options) == 0
    assert told == capsys.readouterr()


def test_a_pipe_is_read_once(folder, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    rows = (folder / "payments.csv").read_bytes()
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(rows))
    writer.start()
    assert call("score", folder / "model.vaea", tmp_path / "pipe", "-o", tmp_path / "out.csv") == 0
    writer.join()
    assert read_table(tmp_path / "out.csv").select(COLUMNS).equals(read_table(folder / "payments.csv"))
