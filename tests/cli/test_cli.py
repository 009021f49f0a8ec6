"""The commands, as a shell calls them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from vae_anomaly import Checkpoint, VAEDetector, make_transactions
from vae_anomaly.cli import demo as demo_module
from vae_anomaly.cli import fit as fit_module
from vae_anomaly.cli.main import COMMANDS, EXIT_CODES, INTERRUPTED, exit_code, run
from vae_anomaly.errors import OutputError, TrainingError, VaeAnomalyError
from vae_anomaly.table.io import read_table, write_table

QUICK = ["--max-steps", "30", "--members", "1", "--quiet"]
NAMES = [f"--id={name}_id" for name in ("transaction", "customer", "merchant", "terminal")]


def call(*arguments):
    """The exit code of a command line."""
    with pytest.raises(SystemExit) as leaving:
        run([str(argument) for argument in arguments])
    return leaving.value.code or 0


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A file of payments, and a model of it."""
    folder = tmp_path_factory.mktemp("payments")
    table = pa.Table.from_pandas(make_transactions(600, fraud_rate=0.03, random_state=1), preserve_index=False)
    card = pa.array([f"{number:06d}" for number in range(len(table))])
    write_table(table.append_column("card", card), folder / "payments.csv")
    assert fit(folder / "payments.csv", folder / "model.vaea") == 0
    return folder


def fit(file, model, *options):
    return call(
        "fit", file, "-o", model, "--label", "is_fraud", "--drop", "typology", "--id=card", *NAMES, *QUICK, *options
    )


def scores(path):
    return np.array([float(text) for text in read_table(path)["anomaly_score"].to_pylist()])


def score(folder, tmp_path, *files, model=None):
    assert call("score", model or folder / "model.vaea", *files, "-o", tmp_path / "scored.csv", "--force") == 0
    return scores(tmp_path / "scored.csv")


def variant(folder, tmp_path, change):
    """The same payments, changed."""
    write_table(change(read_table(folder / "payments.csv")), tmp_path / "variant.csv")
    return tmp_path / "variant.csv"


def test_every_cell_comes_out_as_it_went_in_and_two_columns_more(folder, tmp_path):
    score(folder, tmp_path, folder / "payments.csv")
    with (folder / "payments.csv").open(newline="") as before, (tmp_path / "scored.csv").open(newline="") as after:
        pairs = list(zip(csv.reader(before), csv.reader(after), strict=True))
    assert all(out[:-2] == came for came, out in pairs)
    assert pairs[0][1][-2:] == ["anomaly_score", "alert"]
    assert pairs[1][1][pairs[0][1].index("card")] == "000000"


def test_the_shell_and_python_agree(folder, tmp_path):
    found = score(folder, tmp_path, folder / "payments.csv")
    detector = VAEDetector.load(folder / "model.vaea")
    table = read_table(folder / "payments.csv").select(list(detector.schema_.names))
    assert (found == detector.anomaly_score(table)).all()
    alerts = read_table(tmp_path / "scored.csv")["alert"].to_pylist()
    assert alerts == ["true" if flag == -1 else "false" for flag in detector.predict(table)]
    assert len(set(alerts)) == 2


def test_row_order_file_cuts_and_format_do_not_matter(folder, tmp_path):
    expected = score(folder, tmp_path, folder / "payments.csv")
    table = read_table(folder / "payments.csv")
    write_table(table.slice(0, 250), tmp_path / "a.csv.gz")
    write_table(table.slice(250), tmp_path / "b.csv.gz")
    assert (score(folder, tmp_path, tmp_path / "a.csv.gz", tmp_path / "b.csv.gz") == expected).all()
    order = np.random.default_rng(0).permutation(len(table))
    assert (score(folder, tmp_path, variant(folder, tmp_path, lambda t: t.take(order))) == expected[order]).all()
    write_table(table, tmp_path / "payments.parquet")
    assert (score(folder, tmp_path, tmp_path / "payments.parquet") == expected).all()


def test_columns_in_another_order_and_strangers_among_them_change_no_score(folder, tmp_path, capsys):
    expected = score(folder, tmp_path, folder / "payments.csv")

    def change(table):
        return table.select(table.column_names[::-1]).append_column("branch", pa.array(["x"] * len(table)))

    capsys.readouterr()
    assert (score(folder, tmp_path, variant(folder, tmp_path, change)) == expected).all()
    assert "note: passed through, unknown to the model: typology, is_fraud, branch" in capsys.readouterr().err


def test_a_decimal_comma_changes_no_score(folder, tmp_path):
    expected = score(folder, tmp_path, folder / "payments.csv")
    table = read_table(folder / "payments.csv")
    amount = pa.array([text.replace(".", ",") for text in table["amount"].to_pylist()])
    distance = pa.array([text and text.replace(".", ",") for text in table["distance_km"].to_pylist()])
    for name, column in (("amount", amount), ("distance_km", distance)):
        table = table.set_column(table.column_names.index(name), name, column)
    write_table(table, tmp_path / "comma.csv")
    assert (
        call(
            "score",
            folder / "model.vaea",
            tmp_path / "comma.csv",
            "--decimal=,",
            "--delimiter=,",
            "-o",
            tmp_path / "out.csv",
        )
        == 0
    )
    assert (scores(tmp_path / "out.csv") == expected).all()
    assert read_table(tmp_path / "out.csv")["amount"].to_pylist() == amount.to_pylist()


def test_labels_never_reach_the_model(folder, tmp_path):
    expected = score(folder, tmp_path, folder / "payments.csv")
    turned = variant(
        folder, tmp_path, lambda t: t.set_column(t.column_names.index("is_fraud"), "is_fraud", pa.array(["1"] * len(t)))
    )
    assert fit(turned, tmp_path / "turned.vaea") == 0
    assert (score(folder, tmp_path, folder / "payments.csv", model=tmp_path / "turned.vaea") == expected).all()


def test_training_on_one_label_is_training_on_its_rows(folder, tmp_path):
    import pyarrow.compute as pc

    normal = variant(folder, tmp_path, lambda t: t.filter(pc.equal(t["is_fraud"], "0")))
    assert fit(folder / "payments.csv", tmp_path / "a.vaea", "--train-on", "0") == 0
    assert fit(normal, tmp_path / "b.vaea") == 0
    first, second = (score(folder, tmp_path, folder / "payments.csv", model=tmp_path / f"{m}.vaea") for m in "ab")
    assert (first == second).all()


def test_the_summary_of_a_fit(folder, tmp_path, capsys):
    arguments = ["fit", folder / "payments.csv", "-o", tmp_path / "m.vaea", "--max-steps=30", "--members=1"]
    assert call(*arguments, "--json") == 0
    out, err = capsys.readouterr()
    summary = json.loads(out)
    assert summary["rows"] == 600
    assert summary["steps"] <= 30
    assert "transaction_id" in summary["set_aside"]
    assert sum(summary["columns"].values()) == 20
    assert "warning: " in err
    assert "is_fraud" in err  # a label left in by mistake
    assert call(*arguments, "--force", "--contamination=0.01", "--kind", "is_foreign=categorical", "--seed=3") == 0
    assert "600" in capsys.readouterr().out


def test_the_top_rows_are_the_highest_scores(folder, tmp_path, capsys):
    expected = score(folder, tmp_path, folder / "payments.csv")
    capsys.readouterr()
    assert call("score", folder / "model.vaea", folder / "payments.csv", "--top", "7", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert [row["rank"] for row in result["top"]] == list(range(1, 8))
    assert [row["anomaly_score"] for row in result["top"]] == sorted(expected, reverse=True)[:7]
    assert [expected[row["row"] - 1] for row in result["top"]] == sorted(expected, reverse=True)[:7]
    assert [row["columns"]["card"] for row in result["top"]] == [f"{row['row'] - 1:06d}" for row in result["top"]]
    assert result["alerts"] == int((expected > result["threshold"]).sum())
    assert call("score", folder / "model.vaea", folder / "payments.csv") == 0
    assert "The 20 most anomalous rows" in capsys.readouterr().out


def test_standard_output_carries_the_rows_and_nothing_else(folder, tmp_path, capfdbinary):
    score(folder, tmp_path, folder / "payments.csv")
    capfdbinary.readouterr()
    command = [sys.executable, "-m", "vae_anomaly", "score", str(folder / "model.vaea"), "-", "-o", "-"]
    with (folder / "payments.csv").open("rb") as rows:
        done = subprocess.run(command, stdin=rows, capture_output=True, check=True)  # noqa: S603
    assert done.stdout == (tmp_path / "scored.csv").read_bytes()
    assert b"note: passed through" in done.stderr


def test_a_reader_who_has_had_enough_is_no_failure(folder):
    files = [str(folder / "payments.csv")] * 20
    command = [sys.executable, "-m", "vae_anomaly", "score", str(folder / "model.vaea"), *files, "-o", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: S603
        assert process.stdout.readline().endswith(b"anomaly_score,alert\n")
        process.stdout.close()
        err = process.stderr.read()
    assert b"Traceback" not in err
    assert process.returncode == 0


def test_evaluate_agrees_with_scikit_learn(folder, tmp_path, capsys):
    found = score(folder, tmp_path, folder / "payments.csv")
    y = np.array(read_table(folder / "payments.csv")["is_fraud"].to_pylist()) == "1"
    capsys.readouterr()
    ask = ["evaluate", folder / "model.vaea", folder / "payments.csv", "--label=is_fraud", "--json", "--at=5"]
    assert call(*ask, "--time-column=timestamp", "--amount-column=amount", "--prevalence=0.001", "--budget=30") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["roc_auc"] == pytest.approx(roc_auc_score(y, found))
    assert result["average_precision"] == pytest.approx(average_precision_score(y, found))
    assert result["precision_at_k"].keys() == {"5"}
    assert result["budget"] == 30
    assert result["amount_recall_at_budget"] is not None
    assert result["precision_at_k_per_day"] is not None
    assert result["amount_recall_at_k_per_day"].keys() == {"5"}
    assert call(*ask, "--card-column=customer_id") == 2
    assert call(*ask, "--card-column=customer_id", "--time-column=timestamp") == 0
    assert 0 <= json.loads(capsys.readouterr().out)["card_precision_at_k"]["5"] <= 1
    for sort in ("--positive=1", "--negative=0"):
        assert call(*ask, sort) == 0
        assert json.loads(capsys.readouterr().out)["roc_auc"] == result["roc_auc"]
    assert call("evaluate", folder / "model.vaea", folder / "payments.csv", "--label=is_fraud") == 0
    assert "roc auc" in capsys.readouterr().out


def test_inspect_shows_every_column(folder, capsys):
    assert call("inspect", folder / "model.vaea") == 0
    text = capsys.readouterr().out
    schema = VAEDetector.load(folder / "model.vaea").schema_
    assert all(name in text for name in schema.names)
    assert call("inspect", folder / "model.vaea", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["schema"] == json.loads(json.dumps(schema.to_json()))
    assert result["format"] == 1
    assert result["parameters"]["max_steps"] == 30
    assert set(result["most_uncertain_columns"]) <= set(schema.modelled)


def test_the_demo_shows_alerts_and_metrics(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(demo_module._SETTINGS, "max_steps", 30)
    assert call("demo", "--rows", "1000", "--output", tmp_path / "demo") == 0
    text = capsys.readouterr().out
    assert "The 15 most anomalous payments" in text
    assert "IsolationForest" in text
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == [
        "model.vaea",
        "scored.csv",
        "transactions.csv",
    ]
    assert call("demo", "--rows", "1000", "--output", tmp_path / "demo") == 5  # what is there is not overwritten


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fit", "{folder}/absent.csv", "-o", "{new}"], 3, "absent.csv: expected a file"),
        (["fit", "{data}", "-o", "{new}", "--label", "absent"], 3, r"Expected columns ['absent']"),
        (["fit", "{data}", "-o", "{new}", "--label", "is_fraud", "--train-on", "2"], 3, "'2' in column 'is_fraud'"),
        (["fit", "{data}", "-o", "{new}", "--train-on", "0"], 2, "--train-on needs --label"),
        (["fit", "{data}", "-o", "{new}", "--contamination", "most"], 2, "--contamination must be"),
        (["fit", "{data}", "-o", "{new}", "--contamination", "0.9"], 2, "'contamination' parameter of VAEDetector"),
        (["fit", "{data}", "-o", "{new}", "--kind", "amount"], 2, "--kind must be COL=KIND"),
        (["fit", "{data}", "-o", "{new}", "--encoding", "utf-9"], 2, "'encoding' parameter"),
        (["fit", "{data}", "-o", "{model}"], 5, "exists already"),
        (["score", "{data}", "{data}"], 4, "model file"),
        (["score", "{model}", "{data}", "-o", "{data}"], 5, "exists already"),
        (["score", "{model}", "{data}", "-o", "-", "--top", "3"], 2, "goes with neither --top nor --json"),
        (["score", "{model}", "{data}", "--delimiter", ";"], 3, "found none of them"),
        (["evaluate", "{model}", "{data}", "--label", "category"], 3, "labels 0/1 or true/false in column 'category'"),
        (["evaluate", "{model}", "{data}", "--label", "city"], 3, "label in every row"),
        (["evaluate", "{model}", "{data}", "--label", "card", "--positive", "x"], 3, "found 0 anomalies"),
        (["evaluate", "{model}", "{data}", "--label=card", "--positive=0", "--negative=1"], 2, "twice"),
        (["evaluate", "{model}", "{data}", "--label=is_fraud", "--amount-column=city"], 3, "a number in column 'city'"),
        (["evaluate", "{model}", "{data}", "--label=is_fraud", "--time-column=city"], 3, "date"),
        (["inspect", "{folder}/absent.vaea"], 4, "nothing of that name"),
    ],
)
def test_an_error_is_a_line_and_a_code(folder, tmp_path, capsys, arguments, code, message):
    places = {
        "folder": folder,
        "data": folder / "payments.csv",
        "model": folder / "model.vaea",
        "new": tmp_path / "new.vaea",
    }
    before = (folder / "model.vaea").read_bytes()
    assert call(*(argument.format(**places) for argument in arguments)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("error: ") or "\nerror: " in f"\n{err}"
    assert message in err
    assert "Traceback" not in err
    assert (folder / "model.vaea").read_bytes() == before
    assert list(tmp_path.iterdir()) == []


def test_a_missing_model_column_is_named(folder, tmp_path, capsys):
    lacking = variant(folder, tmp_path, lambda t: t.drop_columns(["amount"]))
    assert call("score", folder / "model.vaea", lacking) == 3
    assert "amount" in capsys.readouterr().err


def test_a_column_of_the_results_name_is_refused(folder, tmp_path, capsys):
    score(folder, tmp_path, folder / "payments.csv")
    capsys.readouterr()
    assert call("score", folder / "model.vaea", tmp_path / "scored.csv") == 3
    assert "found ['anomaly_score', 'alert']" in capsys.readouterr().err


def test_wrong_usage_is_code_2(capsys):
    assert call("score") == 2
    assert call("no-such-command") == 2
    assert "Usage" in capsys.readouterr().err


def test_an_interruption_leaves_no_model(folder, tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(VAEDetector, "fit", interrupted)
    assert fit(folder / "payments.csv", tmp_path / "m.vaea") == INTERRUPTED
    assert capsys.readouterr().err == "error: interrupted\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is always full")
def test_a_full_standard_output_is_an_error_of_one_line(folder):
    command = [sys.executable, "-m", "vae_anomaly", "inspect", str(folder / "model.vaea"), "--json"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)  # noqa: S603
    assert done.returncode == exit_code(OutputError())
    assert b"standard output" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_force_never_replaces_what_the_command_reads(folder, tmp_path, capsys):
    data, model = tmp_path / "data.csv", tmp_path / "model.vaea"
    data.write_bytes((folder / "payments.csv").read_bytes())
    model.write_bytes((folder / "model.vaea").read_bytes())
    before = data.read_bytes(), model.read_bytes()
    assert call("fit", data, "-o", data, "--force", *QUICK) == exit_code(OutputError())
    assert call("score", model, data, "-o", model, "--force") == exit_code(OutputError())
    assert (data.read_bytes(), model.read_bytes()) == before
    assert "expected a file that may be replaced" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["-", os.devnull])
def test_a_model_is_kept_in_a_file(folder, name):
    assert call("fit", folder / "payments.csv", "-o", name, "--force", *QUICK) == exit_code(OutputError())


def test_a_checkpoint_can_be_inspected(tmp_path, capsys):
    rows = make_transactions(300, random_state=0)[["amount", "category"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        VAEDetector(n_members=1, max_steps=20, callbacks=[Checkpoint(tmp_path / "c.vaea")]).fit(rows)
    assert call("inspect", tmp_path / "c.vaea") == 0
    assert "dependence" in capsys.readouterr().out
    assert call("inspect", tmp_path / "c.vaea", "--json") == 0


def test_debug_shows_where_an_error_came_from(tmp_path):
    with pytest.raises(VaeAnomalyError):
        run(["--debug", "inspect", str(tmp_path / "absent.vaea")])


def test_a_failed_training_has_a_code_of_its_own(monkeypatch, tmp_path, capsys):
    def failed(*_, **__):
        raise TrainingError("diverged")

    monkeypatch.setattr(fit_module, "fit_files", failed)
    assert call("fit", "x.csv", "-o", tmp_path / "m.vaea") == 6
    assert capsys.readouterr().err == "error: diverged\n"


def test_help_lists_every_command_and_code(capsys):
    assert call("--help") == 0
    text = capsys.readouterr().out
    assert all(f" {name} " in text for name in COMMANDS)
    assert all(f"{code} " in text for _, code, _ in EXIT_CODES)
    assert call("--version") == 0
    assert capsys.readouterr().out.startswith("vae-anomaly ")


def test_every_error_has_a_code():
    def subclasses(kind):
        return {kind}.union(*(subclasses(sub) for sub in kind.__subclasses__()))

    codes = {kind: exit_code(kind.__new__(kind)) for kind in subclasses(VaeAnomalyError)}
    assert 0 not in codes.values()
    assert codes[TrainingError] == 6


def test_the_kind_of_score_is_kept_with_the_model(folder, tmp_path):
    model, file = tmp_path / "model.vaea", folder / "payments.csv"
    assert fit(file, model, "--score", "reconstruction") == 0
    reconstruction, elbo = score(folder, tmp_path, file, model=model), score(folder, tmp_path, file)
    assert VAEDetector.load(model).score_type == "reconstruction"
    # The same network: the ELBO adds a KL and takes weight from categories, and ranks alike.
    assert (elbo != reconstruction).any()
    assert np.corrcoef(elbo, reconstruction)[0, 1] > 0.5


def test_a_file_without_a_header_scores_as_the_same_file_with_one(folder, tmp_path):
    with_header = tmp_path / "with.csv"
    columns = ["amount", "channel", "country", "is_fraud"]
    write_table(read_table(folder / "payments.csv").select(columns), with_header)
    without = tmp_path / "without.csv"
    without.write_bytes(with_header.read_bytes().split(b"\n", 1)[1])
    found = {}
    for file, label, reading in ((with_header, "is_fraud", ()), (without, "column_4", ("--no-header",))):
        assert call("fit", file, "-o", tmp_path / "m", "--force", f"--label={label}", *QUICK, *reading) == 0
        assert call("score", tmp_path / "m", file, "-o", tmp_path / "s.csv", "--force", *reading) == 0
        found[file] = scores(tmp_path / "s.csv")
    np.testing.assert_array_equal(found[with_header], found[without])
    assert len(found[without]) == 600
