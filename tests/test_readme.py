"""What the README tells a new user to type works as it stands there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from vae_anomaly.cli.main import build_app
from vae_anomaly.decision.thresholds import RULES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _block(section, language):
    text = README.split(f"\n## {section}\n")[1].split("\n## ")[0]
    (block,) = re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)
    return block


def _run_python(code, folder):
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error", "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _run_console(block, folder):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for line in block.splitlines():
        done = subprocess.run(  # noqa: S603
            shlex.split(line), cwd=folder, capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, (line, done.stderr)


def options_of(command):
    """The options of a command."""
    parameters = typer.main.get_command(build_app()).commands[command].params
    return {option for parameter in parameters for option in parameter.opts}


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(ROOT / "data", tmp_path / "data")
    return tmp_path


def test_the_python_example_runs_and_is_short(folder):
    code = _block("In Python", "python")
    assert len(code.splitlines()) <= 16
    assert "anomaly_score" in _run_python(code, folder)
    assert (folder / "payments.vaea").exists()


def test_the_shell_example_runs(folder):
    _run_console(_block("In the shell", "console"), folder)
    assert (folder / "scored.csv").read_text(encoding="utf-8").count("\n") == 14_001


def test_rows_are_made_in_python_and_in_the_shell(folder):
    section = "Synthetic rows, gaps, and the latent space"
    code = _block(section, "python")
    assert len(code.splitlines()) <= 16
    said = _run_python(code + "assert len(way) == 7 and filled.notna().all().all()\n", folder)
    assert "real" in said
    _run_console(_block(section, "console"), folder)
    header, *rows = (folder / "synthetic.csv").read_text(encoding="utf-8").splitlines()
    assert "is_fraud" not in header
    assert len(rows) == 10_000
    assert all(",atm," in row for row in rows)


def test_alerts_are_explained_in_python_and_in_the_shell(folder):
    section = "Why a row alerts"
    code = _block(section, "python")
    assert len(code.splitlines()) <= 16
    said = _run_python(code + "detector.save('payments.vaea')\n", folder)
    assert "is usual for this row" in said
    assert "instead of" in said
    _run_console(_block(section, "console"), folder)
    header, *rows = (folder / "explained.csv").read_text(encoding="utf-8").splitlines()
    assert header.endswith(",reason_3_sentence,pattern")
    assert len(rows) == 14_000
    assert "Alert report" in (folder / "report.html").read_text(encoding="utf-8")


def test_the_past_of_a_card_goes_before_the_detector(folder):
    said = _run_python(
        _block("The past of a card", "python") + "print(pipeline.score_samples(payments).shape)\n", folder
    )
    assert "(14000,)" in said


def test_thresholds_are_set_in_python_and_in_the_shell(folder):
    section = "Thresholds in your units"
    code = _block(section, "python")
    assert len(code.splitlines()) <= 16
    said = _run_python(code, folder)
    assert "20 alerts per day on average" in said
    assert "risk_score" in said
    _run_console(_block(section, "console"), folder)
    header, *rows = (folder / "alerts.csv").read_text(encoding="utf-8").splitlines()
    assert header.endswith(",anomaly_score,p_value,risk_score,alert")
    assert len(rows) == 3_500
    assert 0 < sum(row.endswith(",true") for row in rows) <= 0.01 * len(rows)


def test_the_table_of_thresholds_has_every_rule_and_only_options_that_there_are():
    section = README.split("\n## Thresholds in your units\n")[1].split("\n## ")[0]
    written = re.findall(r"`([A-Z]\w+\([^`]*\))`", section)
    assert {type(eval(rule, dict(RULES))) for rule in written} == set(RULES.values())  # noqa: S307
    options = set(re.findall(r"--[a-z][a-z0-9-]*", section))
    assert options <= options_of("fit") | options_of("calibrate") | options_of("score")


def test_every_file_that_it_names_is_there():
    for name in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (ROOT / name).exists(), name
