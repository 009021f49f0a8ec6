"""What the benchmark of fits on whole files measures."""

import csv
import os

import numpy as np
import pytest

from vae_anomaly.benchmark.__main__ import main
from vae_anomaly.benchmark.streaming_fit import _own_megabytes

N_BYTES = 200_000_000


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the system does not tell")
def test_memory_of_its_own_is_what_a_process_allocates_and_not_what_it_maps(tmp_path):
    np.zeros(N_BYTES, np.uint8).tofile(tmp_path / "mapped")
    before = _own_megabytes(os.getpid())
    mapped = np.memmap(tmp_path / "mapped", mode="r")
    assert mapped.sum() == 0
    assert _own_megabytes(os.getpid()) < before + N_BYTES / 4e6
    own = np.ones(N_BYTES, np.uint8)
    assert _own_megabytes(os.getpid()) > before + N_BYTES / 2e6
    assert own.all()


def test_a_process_that_has_ended_holds_nothing():
    assert _own_megabytes(2**30) == 0


@pytest.mark.slow
def test_the_command_shows_that_rows_in_files_train_what_rows_in_memory_do(tmp_path, capsys):
    assert main(["streaming", "--only", "fit", "--rows", "3000", "--output", str(tmp_path / "fits.csv")]) == 0
    with (tmp_path / "fits.csv").open(newline="") as file:
        runs = list(csv.DictReader(file))
    assert [(run["rows"], run["kept"]) for run in runs] == [
        (rows, kept) for rows in ("300", "3000") for kept in ("in files", "in memory")
    ]
    assert len({run["held_out_elbo"] for run in runs}) == 2
    assert "in files" in capsys.readouterr().out
