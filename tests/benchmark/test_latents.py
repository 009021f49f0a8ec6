"""Latent positions as features: all kinds see the same rows, none sees a label before the regression does."""

from __future__ import annotations

import numpy as np
import pytest

from vae_anomaly.benchmark import __main__ as command
from vae_anomaly.benchmark.latents import BOTH, FEATURES, LATENTS, RAW, _read, run_latents, show_latents
from vae_anomaly.errors import VaeAnomalyError

SHORT = {"max_steps": 40, "n_members": 1, "latent": 2}


@pytest.mark.filterwarnings("ignore::vae_anomaly.errors.TrainingWarning")  # these columns are independent
def test_all_kinds_of_features_are_judged_on_the_same_rows(tmp_path, write_card_payments, capsys):
    write_card_payments(tmp_path)
    runs = run_latents(["sparkov", "sparkov-random"], tmp_path, settings=SHORT)
    assert [(run.data, run.features) for run in runs] == [
        (data, features) for data in ("sparkov", "sparkov-random") for features in FEATURES
    ]
    for data in ("sparkov", "sparkov-random"):
        of_data = {run.features: run for run in runs if run.data == data}
        rows = {(run.n_train, run.n_train_anomalies, run.n_test, run.n_test_anomalies) for run in of_data.values()}
        assert len(rows) == 1
        assert of_data[BOTH].n_features == of_data[RAW].n_features + of_data[LATENTS].n_features
        assert of_data[RAW].roc_auc > 0.8  # frauds are large
        assert of_data[LATENTS].roc_auc > 0.6
        assert all(run.failure is None for run in of_data.values())
    show_latents(runs)
    assert capsys.readouterr().out.count("sparkov-random") == 3


def test_by_time_and_at_random_are_other_rows(tmp_path, write_card_payments):
    write_card_payments(tmp_path)
    by_time, at_random = (_read(name, tmp_path, seed=0) for name in ("sparkov", "sparkov-random"))
    assert by_time.train["trans_datetime"].max() < by_time.test["trans_datetime"].min()
    assert at_random.train["trans_datetime"].max() > at_random.test["trans_datetime"].min()
    again = _read("sparkov-random", tmp_path, seed=0)
    assert again.train.equals(at_random.train)
    assert np.array_equal(again.y_test, at_random.y_test)


def test_what_fails_is_told_and_the_others_count(tmp_path, write_card_payments, capsys):
    write_card_payments(tmp_path)
    runs = run_latents(["sparkov"], tmp_path, settings={"max_steps": 0})
    assert "max_steps" in runs[-1].failure
    show_latents(runs)
    assert "failed" in capsys.readouterr().out


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(VaeAnomalyError, match="expected vehicle_claims in"):
        run_latents(["vehicle_claims"], tmp_path)
    assert command.main(["latents", "--data-dir", str(tmp_path), "--only", "sparkov"]) == 1
