"""The command, the worker, the tables."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import vae_anomaly
from vae_anomaly.benchmark import __main__ as command
from vae_anomaly.benchmark import worker
from vae_anomaly.benchmark.environment import Environment, environment
from vae_anomaly.benchmark.files import FILES, FileRun
from vae_anomaly.benchmark.process import run_task
from vae_anomaly.benchmark.speed import SpeedRun, with_ratios
from vae_anomaly.benchmark.suites import SUITES
from vae_anomaly.benchmark.table import write_runs
from vae_anomaly.errors import VaeAnomalyError

README = Path(vae_anomaly.__file__).parent / "benchmark" / "README.md"
RUNS = with_ratios(
    [
        SpeedRun("VAEDetector", 20_000, 30, 0, fit_seconds=2.0, score_seconds=0.5, device="cpu"),
        SpeedRun("PyOD-VAE", 20_000, 30, 0, fit_seconds=30.0, score_seconds=1.0, device="cpu"),
        SpeedRun("VAEDetector", 1_000_000, 30, 0, measures="memory", fit_seconds=9.0, peak_bytes=10**9),
        SpeedRun("IsolationForest", 20_000, 30, 0, failure="out of memory"),
    ]
)


@pytest.mark.parametrize("name", ["speed.csv", "speed.parquet"])
def test_a_table_comes_back_as_it_was_written(tmp_path, name):
    where = environment()
    write_runs([run.to_row() for run in RUNS], where, str(tmp_path / name), benchmark="speed")
    read = (pd.read_csv if name.endswith("csv") else pd.read_parquet)(tmp_path / name)
    assert read["detector"].tolist() == [run.detector for run in RUNS]
    assert read["fit_ratio"].iloc[1] == 15
    assert read["failure"].isna().tolist() == [True, True, True, False]
    assert set(read["versions"]) == {where.versions}
    assert read["score_rows_per_second"].iloc[0] == 40_000


def test_what_is_printed_is_markdown_with_every_figure(capsys):
    command.show_speed(RUNS)
    text = capsys.readouterr().out
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert ["PyOD-VAE", "20,000 x 30", "–", "30.00", "15.00", "20,000", "2.00", "cpu"] in cells
    assert ["fit 12 times faster at 20,000 x 30 than PyOD-VAE", "15.0", "met"] in cells
    assert ["score 3 times faster at 20,000 x 30 than PyOD-VAE", "2.0", "NOT met"] in cells
    assert ["fit on 1,000,000 x 30 within 4 x the float32 table + 1 GB", "1,000 of 1,480 MB", "met"] in cells
    assert "fit on 1,000,000 x 30: 1,000 MB; 4 x table + 1 GB is 1,480 MB" in text


def test_seeds_are_printed_as_mean_and_spread(capsys):
    command.show_files(
        [FileRun("kdd99", "as it is", "VAEDetector", seed, 9, 3, auc) for seed, auc in enumerate((0.5, 0.7))]
    )
    text = capsys.readouterr().out
    assert "0.600 ± 0.141" in text
    assert "2 seeds" in text


def test_an_existing_file_stops_the_run_before_it_begins(tmp_path, capsys):
    (tmp_path / "speed.csv").write_text("kept")
    assert command.main(["speed", "--output", str(tmp_path / "speed.csv")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert (tmp_path / "speed.csv").read_text() == "kept"


def test_nothing_to_measure_is_an_error(tmp_path, capsys):
    assert command.main(["files", "--data-dir", str(tmp_path)]) == 1
    assert f"expected at least one of {', '.join(FILES)}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [[], ["speed", "--rows", "0"], ["speed", "--peers", "LOF"], ["files"], ["files", "--data-dir=.", "--only", "iris"]]
    + [
        ["quality", "--data-dir=.", *options] for options in (["--suite", "best"], ["--seeds", "0"], ["--variant", "3"])
    ],
)
def test_wrong_usage_is_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as leaving:
        command.main(arguments)
    assert leaving.value.code == 2
    assert "usage: " in capsys.readouterr().err


def test_every_command_of_the_readme_parses_and_every_file_is_named_there():
    text = README.read_text(encoding="utf-8")
    commands = re.findall(r"^    python -m vae_anomaly\.benchmark (.+)$", text, flags=re.MULTILINE)
    assert len(commands) >= 6
    named = {command._parser().parse_args(shlex.split(line)).command.__name__ for line in commands}
    (choices,) = (action.choices for action in command._parser()._actions if action.choices)
    assert named == {f"{name.replace('-', '_')}_command" for name in choices}
    assert all(f"`{suite}`" in text for suite in SUITES)
    assert all(f"`{file.path}`" in text and (f"`{file.label}`" in text or not file.header) for file in FILES.values())


@pytest.mark.parametrize(
    "arguments",
    [["vae_anomaly.benchmark", "speed"], ["vae_anomaly.benchmark", "quality"], ["vae_anomaly", "benchmark"]],
)
def test_what_starts_the_measurements_is_small(arguments):
    """The system counts a parent's memory as the peak of the process that it starts; and help answers at once."""
    done = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-X", "importtime", "-m", *arguments, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(re.findall(r"[\w.]+", done.stderr))
    assert "vae_anomaly" in imported
    assert not imported.intersection(("torch", "pandas", "sklearn", "pyarrow"))


def test_what_a_task_prints_is_no_result(monkeypatch, capsys):
    def chatty(**options):
        print("epoch 1")
        return options

    monkeypatch.setitem(worker.TASKS, "chatty", chatty)
    worker.main("chatty", '{"rows": 3}')
    assert capsys.readouterr() == ('{"rows": 3}\n', "epoch 1\n")


def test_a_task_that_fails_says_how(tmp_path):
    with pytest.raises(VaeAnomalyError, match=r"found exit code 1\. .*no-such-file"):
        run_task("peer", name="IsolationForest", path=str(tmp_path / "no-such-file"), label="y")


def test_a_busy_machine_is_told():
    assert Environment("", "", cpus=2, load=1.5).busy
    assert not Environment("", "", cpus=8, load=1.5).busy
    assert not Environment("", "", cpus=8, load=float("nan")).busy


def test_the_command_line_forwards_what_it_is_told(tmp_path, capsys):
    from vae_anomaly.cli.main import run

    for arguments, code in (
        (["quality", "--data-dir", str(tmp_path)], 1),
        (["speed", "--rows", "0"], 2),
        (["--help"], 0),
    ):
        with pytest.raises(SystemExit) as leaving:
            run(["benchmark", *arguments])
        assert (leaving.value.code or 0) == code
    text, error = capsys.readouterr()
    assert "usage: vae-anomaly benchmark" in text
    assert f"error: --data-dir: expected data sets in {tmp_path}, found none" in error
    assert "expected a number of 1 or more, found 0" in error
