"""Thresholds from the shell: calibrate writes them, score keeps to them, and nothing else in the model changes."""

from __future__ import annotations

import json
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from vae_anomaly import (
    AlertBudget,
    CalibratedDetector,
    Contamination,
    DiscoveryRate,
    ExpectedCost,
    FalseAlarmRate,
    FBeta,
    ParameterError,
    PrecisionAt,
    RecallAt,
    TailRate,
    VAEDetector,
    make_transactions,
    recency_weights,
)
from vae_anomaly._calibration_file import stored_calibration
from vae_anomaly.artifact import read_artifact, write_artifact
from vae_anomaly.cli._wishes import WISHES, rule_of
from vae_anomaly.cli.main import run
from vae_anomaly.decision.conformal import conformal_p_values, step_up
from vae_anomaly.table.io import read_table, write_table

NAMES = [f"--id={name}_id" for name in ("transaction", "customer", "merchant", "terminal")]
ADDED = ["anomaly_score", "p_value", "risk_score", "alert"]
PER_DAY = ["--alerts-per-day=2", "--time-column=timestamp"]


def call(*arguments):
    """The exit code of a command line."""
    with pytest.raises(SystemExit) as leaving:
        run([str(argument) for argument in arguments])
    return leaving.value.code or 0


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Payments to train on, later ones to calibrate on, still later ones, and a model."""
    folder = tmp_path_factory.mktemp("calibrate")
    payments = make_transactions(2_400, fraud_rate=0.03, random_state=1)
    for name, first, last in (("train", 0, 600), ("calibration", 600, 1_600), ("later", 1_600, 2_400)):
        payments[first:last].to_csv(folder / f"{name}.csv", index=False)
    quick = ["--max-steps=30", "--members=1", "--quiet"]
    labels = ["--label=is_fraud", "--drop=typology"]
    assert call("fit", folder / "train.csv", "-o", folder / "model.vaea", *labels, *NAMES, *quick) == 0
    return folder


@pytest.fixture
def model(folder, tmp_path):
    """A copy of the model, to be calibrated."""
    path = tmp_path / "model.vaea"
    path.write_bytes((folder / "model.vaea").read_bytes())
    return path


def score(model, file, tmp_path):
    assert call("score", model, file, "-o", tmp_path / "scored.csv", "--force") == 0
    return read_csv(tmp_path / "scored.csv")


def read_csv(path):
    """With the numbers that were written, to the last bit."""
    return pd.read_csv(path, converters=dict.fromkeys(ADDED[:3], float))


def known(frame, model):
    return frame[list(VAEDetector.load(model).schema_.names)]


def report(model):
    return stored_calibration(read_artifact(model)).calibration.guarantee


@pytest.mark.parametrize(
    ("options", "most"),
    [
        (["--false-alarm-rate=0.02"], 0.02),
        (["--false-alarm-rate=0.05", "--confidence=0.99"], 0.05),
        (["--contamination-share=0.03"], 0.03),
        (["--alerts-per-rows", "7", "200"], 7 / 200),
    ],
)
def test_no_more_than_the_promised_share_of_the_calibration_rows_alerts(folder, model, tmp_path, options, most):
    file = folder / "calibration.csv"
    assert call("calibrate", model, file, *options) == 0
    alerts = score(model, file, tmp_path)["alert"]
    assert 0 < alerts.mean() <= most
    assert alerts.sum() == report(model).n_alerts


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (["--false-alarm-rate=0.02", "--confidence=0.9"], FalseAlarmRate(0.02, 0.9)),
        (["--alerts-per-day=3", "--time-column=timestamp"], AlertBudget(3.0)),
        (["--alerts-per-hour=0.5", "--time-column=timestamp"], AlertBudget(0.5, "hour")),
        (["--alerts-per-rows", "5", "100"], AlertBudget(5.0, 100)),
        (["--discovery-rate=0.2", "--by"], DiscoveryRate(0.2, "by")),
        (["--cost-missed=100", "--cost-alarm=5", "--label=is_fraud"], ExpectedCost(100.0, 5.0)),
        (
            ["--cost-missed=amount", "--amount-column=amount", "--cost-alarm=5", "--prevalence=0.01"],
            ExpectedCost("amount", 5.0, 0.01),
        ),
        (
            ["--cost-missed=90", "--cost-alarm=5", "--prevalence=0.01", "--assumed-auc=0.8"],
            ExpectedCost(90.0, 5.0, 0.01, 0.8),
        ),
        (["--f-beta=2", "--label=is_fraud"], FBeta(2.0)),
        (["--precision=0.05", "--label=is_fraud", "--positive=1"], PrecisionAt(0.05)),
        (["--recall=0.5", "--label=is_fraud", "--negative=0"], RecallAt(0.5)),
        (["--tail-rate=0.005"], TailRate(0.005)),
        (["--contamination-share=0.02"], Contamination(0.02)),
    ],
    ids=lambda value: "" if isinstance(value, list) else repr(value),
)
def test_the_shell_calibrates_and_decides_as_python_does(folder, model, tmp_path, options, rule):
    assert call("calibrate", model, folder / "calibration.csv", *options) == 0
    rows = pd.read_csv(folder / "calibration.csv")
    python = CalibratedDetector(
        VAEDetector.load(folder / "model.vaea"), rule, cv="prefit", use_y="--label" in str(options)
    )
    columns = {"time": rows["timestamp"].to_numpy(str), "amount": rows["amount"]}
    python.fit(known(rows, model), rows["is_fraud"], **columns)
    expected = python.report_
    assert report(model).__class__(**{**vars(report(model)), "remarks": ()}) == expected.__class__(
        **{**vars(expected), "remarks": ()}
    )
    scored = score(model, folder / "later.csv", tmp_path)
    table = known(pd.read_csv(folder / "later.csv"), model)
    np.testing.assert_array_equal(scored["anomaly_score"], python.anomaly_score(table))
    np.testing.assert_array_equal(scored["p_value"], python.p_value(table))
    np.testing.assert_array_equal(scored["risk_score"], python.risk_score(table))
    np.testing.assert_array_equal(scored["alert"], python.predict(table) == -1)


def test_every_cell_comes_out_as_it_went_in_and_four_columns_more(folder, model, tmp_path):
    assert call("calibrate", model, folder / "calibration.csv", "--contamination-share=0.1") == 0
    score(model, folder / "later.csv", tmp_path)
    before, after = read_table(folder / "later.csv"), read_table(tmp_path / "scored.csv")
    assert after.column_names == [*before.column_names, *ADDED]
    assert after.select(before.column_names).equals(before)


def test_recalibrating_changes_nothing_but_the_calibration(folder, model):
    before = read_artifact(model)
    ask = ("calibrate", model, folder / "calibration.csv")
    assert call(*ask, "--false-alarm-rate=0.02", "--segment-column=channel", "--min-segment-rows=150") == 0
    first = model.read_bytes()
    assert call(*ask, "--contamination-share=0.01") == 0
    after = read_artifact(model)
    weights = {name: array for name, array in after.weights.items() if not name.startswith("calibration.")}
    assert {name: (array.dtype, array.tobytes()) for name, array in weights.items()} == {
        name: (array.dtype, array.tobytes()) for name, array in before.weights.items()
    }
    assert set(after.weights) - set(weights) == {"calibration.score"}  # of the segments nothing is left
    own = ("members", "manifest_sha256", "calibration")
    for name in before.manifest.keys() | after.manifest.keys() - set(own):
        assert name in own or after.manifest[name] == before.manifest[name]
    assert call(*ask, "--false-alarm-rate=0.02", "--segment-column=channel", "--min-segment-rows=150") == 0
    assert model.read_bytes() == first


def test_another_file_is_written_where_one_is_named(folder, model, tmp_path, capsys):
    before = model.read_bytes()
    ask = ("calibrate", model, folder / "calibration.csv", "--contamination-share=0.01", "-o", tmp_path / "new.vaea")
    assert call(*ask) == 0
    assert model.read_bytes() == before
    assert CalibratedDetector.load(tmp_path / "new.vaea").rule_ == Contamination(0.01)
    assert call(*ask) == 5
    assert "exists already" in capsys.readouterr().err
    assert call(*ask, "--force") == 0


def test_a_model_behind_a_link_is_rewritten_and_the_link_stays(folder, model, tmp_path):
    link = tmp_path / "link.vaea"
    link.symlink_to(model)
    assert call("calibrate", link, folder / "calibration.csv", "--contamination-share=0.01") == 0
    assert link.is_symlink()
    assert CalibratedDetector.load(model).rule_ == Contamination(0.01)


def test_a_disk_that_refuses_leaves_the_model_as_it_was(folder, model, tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(28, "No space left on device")

    before = model.read_bytes()
    monkeypatch.setattr(os, "replace", refused)
    assert call("calibrate", model, folder / "calibration.csv", "--contamination-share=0.01") == 5
    assert model.read_bytes() == before
    assert list(tmp_path.iterdir()) == [model]


def test_a_segment_has_its_threshold_and_strangers_that_of_the_rest(folder, model, tmp_path, capsys):
    options = ["--false-alarm-rate=0.03", "--segment-column=channel", "--min-segment-rows=150"]
    assert call("calibrate", model, folder / "calibration.csv", *options) == 0
    calibrated = CalibratedDetector.load(model)
    own = calibrated.segment_thresholds_
    assert len(own) >= 2
    n_alerts = score(model, folder / "calibration.csv", tmp_path)["alert"].sum()
    assert f"and of the rest together, {n_alerts:,} of the calibration rows alert" in capsys.readouterr().out
    scored = score(model, folder / "later.csv", tmp_path)
    strangers = ~scored["channel"].isin(own)
    assert 0 < strangers.sum() < len(scored)
    assert f"note: {strangers.sum():,} rows have the threshold of the rest" in capsys.readouterr().err
    threshold = scored["channel"].map(own).fillna(calibrated.rest_threshold_)
    assert (scored["alert"] == (scored["anomaly_score"] > threshold)).all()
    table = known(pd.read_csv(folder / "later.csv"), model)
    np.testing.assert_array_equal(scored["p_value"], calibrated.p_value(table, scored["channel"]))
    assert (scored["p_value"] != calibrated.p_value(table)).any()


def test_a_file_without_the_segment_column_is_refused(folder, model, tmp_path, capsys):
    rows = pd.read_csv(folder / "calibration.csv").assign(branch=lambda rows: rows.index % 2)
    rows.to_csv(tmp_path / "branches.csv", index=False)
    assert (
        call("calibrate", model, tmp_path / "branches.csv", "--contamination-share=0.1", "--segment-column=branch") == 0
    )
    assert set(CalibratedDetector.load(model).segment_thresholds_) == {"0", "1"}
    for command in (["score"], ["evaluate", "--label=is_fraud"]):
        assert call(*command, model, folder / "later.csv") == 3
        assert "Expected the column 'branch', by whose values the model has thresholds" in capsys.readouterr().err
    detector = CalibratedDetector.load(model)
    detector.save(tmp_path / "nameless.vaea")
    assert call("score", tmp_path / "nameless.vaea", tmp_path / "branches.csv") == 4
    assert "Calibrate again with --segment-column COL" in capsys.readouterr().err
    detector.save(tmp_path / "named.vaea", segment_column="branch")
    assert call("score", tmp_path / "named.vaea", tmp_path / "branches.csv", "--json") == 0
    assert json.loads(capsys.readouterr().out)["segments"] == ["0", "1"]


def test_a_discovery_rate_is_kept_over_all_files_together(folder, model, tmp_path):
    assert call("calibrate", model, folder / "calibration.csv", "--discovery-rate=0.2") == 0
    later = pd.read_csv(folder / "later.csv")
    later.loc[:50, ["category", "channel", "currency", "device"]] = "never seen"
    later.loc[:50, "distance_km"] = 1e5
    later.loc[:50, "amount"] *= 1e4
    later.to_csv(tmp_path / "loud.csv", index=False)
    files = [folder / "later.csv", tmp_path / "loud.csv"]
    assert call("score", model, *files, "-o", tmp_path / "both.csv") == 0
    both = read_csv(tmp_path / "both.csv")
    assert (both["alert"] == step_up(both["p_value"], 0.2)).all()
    assert both["alert"][len(later) :].any()


def test_age_takes_weight_from_a_row(folder, model, tmp_path):
    options = ["--contamination-share=0.02", "--time-column=timestamp", "--half-life=3"]
    assert call("calibrate", model, folder / "calibration.csv", *options) == 0
    rows, later = read_csv(folder / "calibration.csv"), read_csv(folder / "later.csv")
    weight = recency_weights(rows["timestamp"].to_numpy(str), np.timedelta64(3, "D"))
    detector = VAEDetector.load(model)
    expected = conformal_p_values(
        detector.anomaly_score(known(rows, model)), detector.anomaly_score(known(later, model)), weight
    )
    np.testing.assert_allclose(score(model, folder / "later.csv", tmp_path)["p_value"], expected, rtol=1e-12)


def test_seconds_are_dates_and_milliseconds_are_not(folder, model, tmp_path, capsys):
    rows = pd.read_csv(folder / "calibration.csv", parse_dates=["timestamp"])
    seconds = (rows["timestamp"] - pd.Timestamp(0)) / pd.Timedelta(seconds=1)
    rows.assign(timestamp=rows["timestamp"].astype(str), s=seconds, ms=1_000 * seconds).to_csv(
        tmp_path / "s.csv", index=False
    )
    found = []
    for column in ("timestamp", "s"):
        assert call("calibrate", model, tmp_path / "s.csv", "--alerts-per-day=2", f"--time-column={column}") == 0
        found.append(report(model))
    assert found[0] == found[1]
    assert call("calibrate", model, tmp_path / "s.csv", "--alerts-per-day=2", "--time-column=ms") == 3
    assert "Convert milliseconds to seconds" in capsys.readouterr().err


def test_dates_without_dashes_are_not_taken_for_seconds(folder, model, tmp_path, capsys):
    rows = pd.read_csv(folder / "calibration.csv", parse_dates=["timestamp"])
    rows.assign(day=rows["timestamp"].dt.strftime("%Y%m%d")).to_csv(tmp_path / "days.csv", index=False)
    assert call("calibrate", model, tmp_path / "days.csv", "--alerts-per-day=2", "--time-column=day") == 3
    assert "look like dates. Write them with dashes" in capsys.readouterr().err
    assert call("evaluate", model, tmp_path / "days.csv", "--label=is_fraud", "--time-column=day") == 3


def test_whole_numbers_are_one_segment_with_a_gap_in_the_column_or_without(folder, model, tmp_path):
    rows = pd.read_csv(folder / "calibration.csv").assign(branch=lambda rows: rows.index % 3)
    with_gap = rows.assign(branch=rows["branch"].where(rows["branch"] != 2))  # pandas writes 0.0 and 1.0
    without = rows.assign(branch=rows["branch"].astype(str).replace("2", ""))
    for file, frame in (("with.csv", with_gap), ("without.csv", without)):
        frame.to_csv(tmp_path / file, index=False)
    alerts = []
    for file, other in (("with.csv", "without.csv"), ("without.csv", "with.csv")):
        options = ["--contamination-share=0.05", "--segment-column=branch"]
        assert call("calibrate", model, tmp_path / file, *options) == 0
        assert set(CalibratedDetector.load(model).segment_thresholds_) == {"0", "1"}
        alerts.append(score(model, tmp_path / other, tmp_path)["alert"])
    pd.testing.assert_series_equal(*alerts)


def test_no_cell_and_no_model_file_steers_the_terminal(folder, model, tmp_path, capsys):
    rows = pd.read_csv(folder / "calibration.csv")
    rows["channel"] = np.where(rows.index % 2, "\x1b[2Jnew", "shop")
    rows["\x1b[31mred"] = "\x1b[2J"
    rows[["\x1b[31mred", *rows.columns[:-1]]].to_csv(tmp_path / "steering.csv", index=False)
    options = ["--contamination-share=0.05", "--segment-column=channel"]
    assert call("calibrate", model, tmp_path / "steering.csv", *options) == 0
    assert call("inspect", model) == 0
    assert call("score", model, tmp_path / "steering.csv") == 0
    assert call("calibrate", model, tmp_path / "steering.csv", "--recall=0.5", "--label=channel") == 3
    out, err = capsys.readouterr()
    assert "\\x1b[2Jnew" in out
    assert "\\x1b[31mred" in err
    assert "\x1b" not in out + err


def test_labels_of_normal_rows_alone_will_do(folder, model, tmp_path):
    rows = pd.read_csv(folder / "calibration.csv")
    rows[rows["is_fraud"] == 0].to_csv(tmp_path / "normal.csv", index=False)
    thresholds = []
    for file in (folder / "calibration.csv", tmp_path / "normal.csv"):
        assert call("calibrate", model, file, "--false-alarm-rate=0.02", "--label=is_fraud") == 0
        thresholds.append(report(model).threshold)
    assert thresholds[0] == thresholds[1]
    assert report(model).n_anomalies == 0


def test_parquet_csv_and_a_decimal_comma_are_one_calibration(folder, model, tmp_path):
    table = read_table(folder / "calibration.csv")
    typed = pa.Table.from_pandas(pd.read_csv(folder / "calibration.csv"), preserve_index=False)
    write_table(typed, tmp_path / "typed.parquet")
    comma = [None if text is None else text.replace(".", ",") for text in table["amount"].to_pylist()]
    distance = [None if text is None else text.replace(".", ",") for text in table["distance_km"].to_pylist()]
    for name, cells in (("amount", comma), ("distance_km", distance)):
        table = table.set_column(table.column_names.index(name), name, pa.array(cells))
    write_table(table, tmp_path / "comma.csv")
    ask = (
        "--cost-missed=amount",
        "--cost-alarm=5",
        "--amount-column=amount",
        "--label=is_fraud",
        "--segment-column=channel",
    )
    found = []
    for file, reading in (
        (folder / "calibration.csv", ()),
        (tmp_path / "typed.parquet", ()),
        (tmp_path / "comma.csv", ("--decimal=,", "--delimiter=,")),
    ):
        assert call("calibrate", model, file, *ask, *reading) == 0
        found.append(report(model))
    assert found[0] == found[1] == found[2]


def test_the_report_is_printed_and_inspect_shows_it_again(folder, model, capsys):
    assert call("calibrate", model, folder / "calibration.csv", "--false-alarm-rate=0.02") == 0
    printed = capsys.readouterr().out
    assert printed == f"{report(model)}\nwritten      {model}\n"
    assert "taken on trust" in printed
    assert call("inspect", model) == 0
    assert str(report(model)) in capsys.readouterr().out
    assert call("calibrate", model, folder / "calibration.csv", "--false-alarm-rate=0.02", "--json") == 0
    calibration = json.loads(capsys.readouterr().out)
    assert calibration["report"] == json.loads(json.dumps(report(model).to_json()))
    assert call("inspect", model, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["calibration"] == {name: value for name, value in calibration.items() if name != "model"}
    assert result["threshold"] == report(model).threshold
    assert call("inspect", folder / "model.vaea", "--json") == 0
    assert json.loads(capsys.readouterr().out)["calibration"] is None


def test_the_rows_of_the_training_are_remarked_upon(folder, model, capsys):
    assert call("calibrate", model, folder / "train.csv", "--false-alarm-rate=0.02") == 0
    assert "note: the model was trained on 600 rows too" in capsys.readouterr().err
    assert call("calibrate", model, folder / "calibration.csv", "--false-alarm-rate=0.02") == 0
    assert "note" not in capsys.readouterr().err


def test_score_prints_what_the_calibration_says(folder, model, capsys):
    assert call("calibrate", model, folder / "calibration.csv", *PER_DAY) == 0
    capsys.readouterr()
    ask = ("score", model, folder / "later.csv", "--top", "5")
    assert call(*ask, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["threshold"], result["rule"]) == (report(model).threshold, report(model).rule)
    table = known(pd.read_csv(folder / "later.csv"), model)
    detector = CalibratedDetector.load(model)
    rows = [row["row"] - 1 for row in result["top"]]
    assert [row["risk_score"] for row in result["top"]] == detector.risk_score(table)[rows].tolist()
    assert [row["alert"] for row in result["top"]] == (detector.predict(table)[rows] == -1).tolist()
    assert all(not set(ADDED) & set(row["columns"]) for row in result["top"])
    assert call(*ask) == 0
    assert "AlertBudget(n=2.0, per='day')" in capsys.readouterr().out
    assert call("calibrate", model, folder / "calibration.csv", "--discovery-rate=0.5") == 0
    capsys.readouterr()
    assert call(*ask) == 0
    assert "depends on the rows that are scored together" in capsys.readouterr().out


def test_evaluate_measures_the_alerts_of_the_calibration(folder, model, tmp_path, capsys):
    assert call("calibrate", model, folder / "calibration.csv", "--contamination-share=0.1") == 0
    scored = score(model, folder / "later.csv", tmp_path)
    capsys.readouterr()
    assert call("evaluate", model, folder / "later.csv", "--label=is_fraud", "--json") == 0
    found = json.loads(capsys.readouterr().out)["alerts"]
    fraud, alert = scored["is_fraud"] == 1, scored["alert"]
    assert found == {
        "number": int(alert.sum()),
        "precision": pytest.approx(fraud[alert].mean()),
        "recall": pytest.approx(alert[fraud].mean()),
        "false_alarm_rate": pytest.approx(alert[~fraud].mean()),
    }


def test_a_column_of_a_results_name_is_refused_only_by_a_calibrated_model(folder, model, tmp_path, capsys):
    rows = pd.read_csv(folder / "calibration.csv").assign(p_value=0.5)
    rows.to_csv(tmp_path / "p.csv", index=False)
    found = score(model, tmp_path / "p.csv", tmp_path)
    assert list(found.columns[-3:]) == ["p_value", "anomaly_score", "alert"]
    assert (found["p_value"] == 0.5).all()
    assert call("score", model, tmp_path / "p.csv", "--json", "--top=1") == 0
    assert '"p_value": "0.5"' in capsys.readouterr().out.split('"columns"')[1]
    assert call("calibrate", model, tmp_path / "p.csv", "--contamination-share=0.1") == 0
    assert call("score", model, tmp_path / "p.csv") == 3
    assert "found ['p_value']. Rename or remove them." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "Expected one wish to calibrate for, found none"),
        (["--recall=0.5", "--tail-rate=0.01"], 2, "found --recall and --tail-rate"),
        (["--false-alarm-rate=1.5"], 2, "'alpha' parameter of FalseAlarmRate"),
        (["--contamination-share=0.1", "--confidence=0.9"], 2, "--confidence goes with --false-alarm-rate"),
        (["--tail-rate=0.1", "--by"], 2, "--by goes with --discovery-rate"),
        (["--cost-missed=100"], 2, "--cost-missed needs --cost-alarm"),
        (["--cost-missed=much", "--cost-alarm=1"], 2, "--cost-missed must be a number above 0 or 'amount'"),
        (["--cost-missed=-1", "--cost-alarm=1", "--prevalence=0.1"], 2, "'missed' parameter of ExpectedCost"),
        (["--cost-missed=9", "--cost-alarm=1"], 2, "needs --label COL"),
        (["--cost-missed=amount", "--cost-alarm=1"], 2, "needs --amount-column COL and --label COL"),
        (["--recall=0.5"], 2, "needs --label COL"),
        (["--alerts-per-day=2"], 2, "needs --time-column COL"),
        (["--alerts-per-rows", "9", "9"], 2, "'n' parameter of AlertBudget"),
        (["--tail-rate=0.01", "--half-life=3"], 2, "--half-life needs --time-column COL"),
        ([*PER_DAY, "--half-life=0"], 2, "--half-life must be a number of days"),
        (["--tail-rate=0.01", "--positive=1"], 2, "--positive or --negative needs --label COL"),
        (["--recall=0.5", "--label=is_fraud", "--positive=1", "--negative=0"], 2, "twice"),
        (["--recall=0.5", "--label=is_fraud", "--assumed-contamination=0.1"], 2, "Leave one of them out"),
        (["--tail-rate=0.01", "--assumed-contamination=0.9"], 2, "--assumed-contamination must be a share in [0, 0.5]"),
        (["--contamination-share=0.1", "--segment-column=absent"], 3, "Expected columns ['absent']"),
        (["--recall=0.5", "--label=absent"], 3, "Expected columns ['absent']"),
        (["--recall=0.5", "--label=channel"], 3, "labels 0/1 or true/false"),
        (["--alerts-per-day=2", "--time-column=city"], 3, "date"),
        (
            ["--cost-missed=amount", "--cost-alarm=1", "--amount-column=city", "--prevalence=0.1"],
            3,
            "a number in column",
        ),
        (["--false-alarm-rate=0.0001"], 3, "needs at least 29,956 calibration rows"),
        (["--precision=1", "--label=is_fraud"], 3, "cannot be reached"),
        (["--recall=0.5", "--label=is_fraud", "--positive=2"], 3, "RecallAt needs both classes"),
        (["--recall=0.5", "--label=is_fraud", "--positive=2"], 3, "note: no row has '2' in column 'is_fraud'"),
        (["--recall=0.5", "--label=is_fraud", "--negative=2"], 3, "note: no row has '2' in column 'is_fraud'"),
    ],
)
def test_an_error_is_a_line_and_a_code_and_the_model_stays(folder, model, tmp_path, capsys, options, code, message):
    before = model.read_bytes()
    assert call("calibrate", model, folder / "calibration.csv", *options) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err
    assert model.read_bytes() == before
    assert list(tmp_path.iterdir()) == [model]


def test_rows_of_one_day_make_no_budget_of_days(folder, model, tmp_path, capsys):
    rows = pd.read_csv(folder / "calibration.csv").assign(
        timestamp=lambda rows: "2026-03-01 12:" + (rows.index % 60).astype(str).str.zfill(2)
    )
    rows.to_csv(tmp_path / "day.csv", index=False)
    assert call("calibrate", model, tmp_path / "day.csv", *PER_DAY) == 3
    assert "more than one day" in capsys.readouterr().err


def test_a_hostile_calibration_is_a_model_file_error(folder, model, capsys):
    assert call("calibrate", model, folder / "calibration.csv", "--contamination-share=0.1") == 0
    artifact = read_artifact(model)
    artifact.weights["calibration.score"][0] = np.inf
    write_artifact(model, artifact.manifest, artifact.weights, overwrite=True)
    capsys.readouterr()
    for command in (["score"], ["evaluate", "--label=is_fraud"]):
        assert call(*command, model, folder / "later.csv") == 4
        assert "needs an array 'score' of finite float64" in capsys.readouterr().err
    assert call("inspect", model) == 4
    assert call("calibrate", model, folder / "calibration.csv", "--contamination-share=0.1") == 0  # it is replaced
    assert call("inspect", model) == 0


def test_the_model_is_no_input_and_an_input_no_output(folder, model, capsys):
    ask = ["--contamination-share=0.1", "-o", folder / "calibration.csv", "--force"]
    before = (folder / "calibration.csv").read_bytes()
    assert call("calibrate", model, folder / "calibration.csv", *ask) == 5
    assert (folder / "calibration.csv").read_bytes() == before
    assert call("calibrate", folder / "calibration.csv", folder / "later.csv", "--contamination-share=0.1") == 4
    assert (folder / "calibration.csv").read_bytes() == before


@pytest.mark.parametrize("wish", WISHES, ids=lambda wish: next(iter(wish.params.values())))
def test_one_wish_is_one_rule_and_two_are_none(wish):
    given = dict.fromkeys(wish.params.values(), 0.3)
    special = {"--by": "by", "--assumed-auc": 0.9, "ROWS of --alerts-per-rows": 10, "--tail-rate": 0.01}
    given |= {name: value for name, value in special.items() if name in given}
    rule = rule_of(given)
    assert type(rule).__name__ == wish.rule
    assert all(getattr(rule, name) == given[option] for name, option in wish.params.items())
    for other in WISHES:
        if other is not wish:
            with pytest.raises(ParameterError, match="Expected one wish"):
                rule_of(given | {next(iter(other.params.values())): 0.3})


# Rows that fit holds out


def fit_and_hold_out(folder, tmp_path, *options):
    quick = ["--max-steps=30", "--members=1", "--quiet", "--label=is_fraud", "--drop=typology", *NAMES]
    aside = ["--hold-out=0.4", "--hold-out-to", tmp_path / "aside.csv"]
    return call("fit", folder / "calibration.csv", "-o", tmp_path / "m.vaea", *quick, *aside, *options)


@pytest.mark.parametrize("options", [["--time-column=timestamp"], ["--seed=3"]], ids=["latest", "random"])
def test_rows_that_fit_holds_out_are_those_that_it_does_not_learn_from(folder, tmp_path, options):
    assert fit_and_hold_out(folder, tmp_path, *options) == 0
    whole, aside = (file.read_text().splitlines() for file in (folder / "calibration.csv", tmp_path / "aside.csv"))
    assert aside[0] == whole[0]
    assert set(aside) <= set(whole)  # every cell as it was
    n_rows = VAEDetector.load(tmp_path / "m.vaea").schema_.n_rows
    assert len(aside) - 1 + n_rows == len(whole) - 1
    assert n_rows == pytest.approx(600, abs=3)
    times = pd.to_datetime(pd.read_csv(folder / "calibration.csv")["timestamp"])
    held_out = np.isin(whole[1:], aside[1:])
    is_latest = times[~held_out].max() < times[held_out].min()
    assert is_latest == (options == ["--time-column=timestamp"])
    assert call("calibrate", tmp_path / "m.vaea", tmp_path / "aside.csv", "--false-alarm-rate=0.01") == 0
    assert fit_and_hold_out(folder, tmp_path, *options) == 5
    assert fit_and_hold_out(folder, tmp_path, *options, "--force") == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hold-out=0.4"], "--hold-out goes with"),
        (["--hold-out-to=x.csv"], "--hold-out-to goes with"),
        (["--time-column=timestamp"], "--time-column goes with"),
        (["--hold-out=1", "--hold-out-to=x.csv"], "a share of the rows in (0, 1)"),
        (["--hold-out=0.4", "--hold-out-to=-"], "expected a file of its own"),
        (["--hold-out=0.4", "--hold-out-to={model}"], "expected a file of its own"),
        (["--hold-out=0.4", "--hold-out-to={file}", "--force"], "found an input file"),
    ],
)
def test_what_cannot_be_held_out_is_refused_before_the_training(folder, tmp_path, capsys, options, message):
    given = [option.format(model=tmp_path / "m.vaea", file=folder / "train.csv") for option in options]
    before = (folder / "train.csv").read_bytes()
    assert call("fit", folder / "train.csv", "-o", tmp_path / "m.vaea", *given) in (2, 5)
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert (folder / "train.csv").read_bytes() == before


def test_faults_of_amounts_and_times_are_counted_from_the_first_row(folder, model, tmp_path, capsys):
    frame = pd.read_csv(folder / "calibration.csv").astype({"amount": object, "timestamp": object})
    frame.loc[4, "amount"], frame.loc[6, "timestamp"] = -3.0, None
    frame.to_csv(tmp_path / "faulty.csv", index=False)
    options = {
        "found -3 in row 5": ["--cost-missed=amount", "--cost-alarm=1", "--prevalence=0.1", "--amount-column=amount"],
        "in column 'timestamp' in row 7": PER_DAY,
    }
    for message, given in options.items():
        assert call("calibrate", model, tmp_path / "faulty.csv", *given) == 3
        assert message in capsys.readouterr().err
