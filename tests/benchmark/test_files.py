"""Files as they are: what the peer sees, and the shell commands beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score

from vae_anomaly.benchmark.detectors import OURS
from vae_anomaly.benchmark.files import AS_IT_IS, FILES, FileRun, means, present, run_files
from vae_anomaly.benchmark.ordinal import measure_peer
from vae_anomaly.benchmark.reading import read_rows
from vae_anomaly.errors import TableError, VaeAnomalyError

NORMAL_ROWS = FILES["kdd99"].regimes[1]
METRICS = ("roc_auc", "average_precision")


def connections(n_rows=300):
    """Rows in the layout of kdd99, of no network: 3 text columns, 38 numbers, a label."""
    rng = np.random.default_rng(3)
    attack = rng.random(n_rows) < 0.6
    rows = pd.DataFrame(rng.normal(size=(n_rows, 41)) + attack[:, None])
    for column in (1, 2, 3):
        rows[column] = rng.choice(["a", "b", "c"], n_rows)
    rows.loc[attack.argmax(), 1] = "only in an attack"
    return rows.assign(label=np.where(attack, "smurf.", "normal."))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    path = folder / FILES["kdd99"].path
    path.parent.mkdir()
    connections().to_csv(path, header=False, index=False)
    return folder


def peer_on(rows, tmp_path, **options):
    rows.to_csv(tmp_path / "rows.csv", index=False)
    return measure_peer("IsolationForest", str(tmp_path / "rows.csv"), "label", **options)


def numbers(n_rows=400):
    rng = np.random.default_rng(0)
    label = (rng.random(n_rows) < 0.1).astype(int)
    return pd.DataFrame(rng.normal(size=(n_rows, 3)) + label[:, None], columns=list("abc")).assign(label=label)


def test_both_detectors_are_measured_on_the_same_rows_by_the_same_names(data_dir, monkeypatch):
    monkeypatch.setitem(FILES, "kdd99", replace(FILES["kdd99"], regimes=(NORMAL_ROWS,)))
    ours, peer = run_files(["kdd99"], data_dir, fit_options=["--max-steps", "3", "--members", "1"])
    assert (ours.failure, peer.failure) == (None, None)
    assert (ours.detector, peer.detector) == (OURS, "IsolationForest")
    labels = connections()["label"]
    assert ours.n_rows == peer.n_rows == len(labels)
    assert ours.n_positives == peer.n_positives == (labels != "normal.").sum()
    assert all(0 <= getattr(run, name) <= 1 for run in (ours, peer) for name in METRICS)
    assert ours.fit_seconds > 0
    assert peer.score_seconds > 0


def test_a_command_that_fails_leaves_the_reason_and_the_peer(data_dir, monkeypatch, capsys):
    monkeypatch.setitem(FILES, "kdd99", replace(FILES["kdd99"], regimes=(AS_IT_IS,)))
    ours, peer = run_files(["kdd99"], data_dir, fit_options=["--contamination", "most"])
    assert "--contamination must be" in ours.failure
    assert ours.roc_auc is None
    assert peer.roc_auc > 0
    assert "failed: " in capsys.readouterr().err


def test_the_peer_is_scikit_learns_own_on_plain_numbers(tmp_path):
    rows = numbers()
    found = peer_on(rows, tmp_path, seed=5)
    features = pd.read_csv(tmp_path / "rows.csv").drop(columns="label").to_numpy()
    score = -IsolationForest(random_state=5).fit(features).score_samples(features)
    assert found["roc_auc"] == pytest.approx(roc_auc_score(rows["label"], score))
    assert found["average_precision"] == pytest.approx(average_precision_score(rows["label"], score))


def test_average_precision_at_the_true_rate_is_weighted_to_it(tmp_path):
    rows = numbers()
    share = rows["label"].mean()
    as_found, rarer = (peer_on(rows, tmp_path, prevalence=rate) for rate in (share, share / 10))
    assert as_found["average_precision_at_prevalence"] == pytest.approx(as_found["average_precision"])
    assert rarer["average_precision_at_prevalence"] < as_found["average_precision"]
    assert rarer["roc_auc"] == as_found["roc_auc"]


def test_labels_never_reach_the_peer(tmp_path):
    rows = numbers()
    mirrored = rows.assign(label=1 - rows["label"])
    assert peer_on(rows, tmp_path)["roc_auc"] == pytest.approx(1 - peer_on(mirrored, tmp_path)["roc_auc"])


def test_columns_left_out_change_nothing(tmp_path):
    rows = numbers()
    noisy = rows.assign(number=np.arange(len(rows)), card=[f"card {i}" for i in range(len(rows))])
    expected, found = peer_on(rows, tmp_path), peer_on(noisy, tmp_path, leave_out=["number", "card"])
    assert [found[name] for name in METRICS] == [expected[name] for name in METRICS]
    with pytest.raises(TableError, match="no such column"):
        peer_on(rows, tmp_path, leave_out=["no such column"])


def test_rows_that_are_not_trained_on_do_not_teach(data_dir, tmp_path):
    path = data_dir / FILES["kdd99"].path
    rows = read_rows(str(path), header=False)
    assert rows.columns[-1] == FILES["kdd99"].label
    options = {"header": False, "negative": "normal.", "train_on": "normal."}
    expected = measure_peer("IsolationForest", str(path), "column_42", **options)
    doubled = pd.concat([rows, rows[rows["column_42"] != "normal."]])  # only unseen rows more
    doubled.to_csv(tmp_path / "doubled.csv", header=False, index=False)
    found = measure_peer("IsolationForest", str(tmp_path / "doubled.csv"), "column_42", **options)
    assert found["roc_auc"] == pytest.approx(expected["roc_auc"])
    assert found["n_rows"] > expected["n_rows"]


def test_a_missing_file_is_named(data_dir, capsys):
    assert present(FILES, data_dir) == ["kdd99"]
    skipped = capsys.readouterr().err.splitlines()
    assert len(skipped) == len(FILES) - 1
    assert all(line.startswith("skipped ") and "found no such file" in line for line in skipped)
    with pytest.raises(VaeAnomalyError, match="expected at least one of creditcard, sparkov"):
        present(["creditcard", "sparkov"], data_dir)


def test_means_leave_failures_out_and_keep_groups_apart():
    runs = [FileRun("kdd99", "as it is", name, 0, 10, 2, roc_auc=auc) for name, auc in ((OURS, 0.5), ("other", 0.75))]
    failed = FileRun("kdd99", "as it is", OURS, 1, failure="no")
    found = {run.detector: (run.roc_auc, run.n_rows) for run in means([failed, *runs])}
    assert found == {OURS: (0.5, 10), "other": (0.75, 10)}
