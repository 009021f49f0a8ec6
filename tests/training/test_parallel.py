"""Two processes train as one does, and end as one does."""

import json
import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly import ParameterError, VAEDetector, data_parallel, make_transactions
from vae_anomaly.training import parallel
from vae_anomaly.training.parallel import Processes

TOLERANCE = 1e-4
"""Largest relative difference of scores: float32 sums in another order, over so many steps."""

TOGETHER = Path(__file__).with_name("together.py")
_same = runpy.run_path(str(TOGETHER))
FITS, SMALL, fit, table = (_same[name] for name in ("FITS", "SMALL", "fit", "table"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes found: scores of each, and what each was told."""
    folder = tmp_path_factory.mktemp("together")
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", str(TOGETHER), str(folder)]
    started = [
        subprocess.Popen(command, env={**os.environ, **shared, "RANK": str(rank)}, stderr=subprocess.PIPE, text=True)  # noqa: S603
        for rank in range(2)
    ]
    try:
        said = [process.communicate(timeout=120)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], "\n".join(said)
    scores = [dict(np.load(folder / f"scores-{rank}.npz")) for rank in range(2)]
    return scores, [json.loads((folder / f"told-{rank}.json").read_text(encoding="utf-8")) for rank in range(2)]


def largest_difference(scores, others):
    return np.max(np.abs(scores - others) / np.maximum(1.0, np.abs(others)))


@pytest.mark.parametrize("name", [name for name in FITS if name != "seedless"])
def test_two_processes_train_what_one_trains(two, one_thread, name):
    alone = fit(**FITS[name]).anomaly_score(table())
    together = two[0][0][name]
    assert largest_difference(together, alone) < TOLERANCE
    assert np.std(alone) > 100 * TOLERANCE  # the scores are no constant, which any two fits would agree on


def test_all_processes_hold_the_same_detector(two):
    first, second = two[0]
    for name in FITS:  # without a seed too: they agree on one
        np.testing.assert_array_equal(first[name], second[name])


def test_the_order_of_the_rows_of_a_process_is_its_own_affair(two):
    for scores in two[0]:
        np.testing.assert_array_equal(scores["shuffled"], two[0][0]["defaults"])


def test_the_first_process_is_watched_and_stops_all(two):
    first, second = (told["watched"] for told in two[1])
    assert first == {"seen": 4, "steps": 20}
    assert second == {"seen": 0, "steps": 20}


def test_processes_that_were_given_different_things_are_told_so(two):
    for told in two[1]:
        parameters, batch, rows = told["goes_on"]
        assert "ParameterError" in parameters
        assert "same parameters" in parameters
        assert "process 1" in parameters
        assert "'batch_size'" in batch
        assert "same rows" in rows


def test_a_loss_that_is_not_finite_in_one_process_is_rolled_back_in_all(two):
    for told in two[1]:
        assert told["rolled_back"]["rollbacks"] == 1
        assert any("rolled back" in line for line in told["rolled_back"]["said"])


def test_a_process_that_fails_ends_the_others(two):
    first, second = (told["ended"] for told in two[1])
    assert second == "MemoryError: no more rows"
    assert first.startswith("TrainingError: Process 0 of 2 could not reach the others")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the system does not tell of threads")
def test_no_thread_of_a_group_outlives_it(two):
    """One that does may abort the process as it ends."""
    for told in two[1]:
        assert told["threads_left"] == [[]] * 5


def test_alone_a_fit_is_what_it_is_without(one_thread, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    with data_parallel("cpu") as processes:
        inside = fit(max_steps=20).anomaly_score(table())
    assert processes == Processes.here() == Processes()
    np.testing.assert_array_equal(inside, fit(max_steps=20).anomaly_score(table()))


@given(st.integers(0, 500), st.integers(1, 9))
def test_shares_are_the_batch_and_differ_by_a_row_at_most(n_rows, size):
    shares = [range(n_rows)[Processes(rank, size).share(n_rows)] for rank in range(size)]
    assert [row for share in shares for row in share] == list(range(n_rows))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "2"}, "variable RANK, found ''"),
        ({"WORLD_SIZE": "two", "RANK": "0"}, "variable WORLD_SIZE, found 'two'"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK to be from 0 to WORLD_SIZE - 1"),
        ({"WORLD_SIZE": "0", "RANK": "0"}, "WORLD_SIZE"),
    ],
)
def test_an_environment_that_says_nothing_of_use_is_an_error(monkeypatch, variables, message):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ParameterError, match=message), data_parallel("cpu"):
        pass


@pytest.mark.parametrize(
    ("device", "message"), [("cuda", "found 1 for process 2"), ("mps", "'mps'"), ("cuda:0", "'cuda:0'")]
)
def test_every_process_needs_a_gpu_of_its_own(monkeypatch, device, message):
    monkeypatch.setattr(parallel, "choose_device", torch.device)  # a machine with one GPU
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ParameterError, match=message), data_parallel(device):
        pass


def test_the_command_trains_under_torchrun(tmp_path, one_thread):
    rows = make_transactions(600, random_state=0).drop(columns="typology")
    rows.to_csv(tmp_path / "rows.csv", index=False)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    options = ["--label", "is_fraud", "--device", "cpu", "--max-steps", "20", "--members", "1", "--json"]
    found = {}
    for name, before in (("one", [sys.executable]), ("two", launcher)):
        model = tmp_path / f"{name}.vaea"
        command = [*before, "-m", "vae_anomaly", "fit", str(tmp_path / "rows.csv"), "-o", str(model), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)  # noqa: S603
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["steps"] == 20  # one object: the others keep silent
        found[name] = VAEDetector.load(model, device="cpu").anomaly_score(rows.drop(columns="is_fraud"))
    assert largest_difference(found["two"], found["one"]) < TOLERANCE


def test_standard_input_is_refused_where_several_would_read_it(monkeypatch, tmp_path):
    from vae_anomaly.cli._options import Reading
    from vae_anomaly.cli.fit import fit_files

    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ParameterError, match="one process alone"):
        fit_files(["-"], tmp_path / "model.vaea", SMALL, Reading())
