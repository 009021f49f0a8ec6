"""What the README tells a new user to type works as it stands there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _block(language):
    (block,) = re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    return block


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(ROOT / "data", tmp_path / "data")
    return tmp_path


def test_the_python_example_runs_and_is_short(folder):
    code = _block("python")
    assert len(code.splitlines()) <= 16
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error", "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "anomaly_score" in done.stdout
    assert (folder / "payments.vaea").exists()


def test_the_shell_example_runs(folder):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for line in _block("console").splitlines():
        done = subprocess.run(  # noqa: S603
            shlex.split(line), cwd=folder, capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, (line, done.stderr)
    assert (folder / "scored.csv").read_text(encoding="utf-8").count("\n") == 14_001


def test_every_file_that_it_names_is_there():
    for name in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (ROOT / name).exists(), name
