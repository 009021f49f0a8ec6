"""The tree is the architecture: layers, sizes, what an import costs, and what lies at the top."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "vae_anomaly"
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = ("torch", "pandas", "pyarrow", "sklearn", "polars", "matplotlib")
MAX_LINES = {"detector.py": 700}
TOP_LEVEL = {
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "constraints.txt",
    "data",
    "notebooks",
    "pyproject.toml",
    "tests",
    "vae_anomaly",
}


def run(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=ROOT)  # noqa: S603


def functions(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def n_body_lines(function):
    """Lines of a body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_layers_run_one_way():
    done = run("-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())")
    assert done.returncode == 0, done.stdout + done.stderr


def test_modules_are_short():
    lines = {path.relative_to(PACKAGE): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    too_long = {str(path): n for path, n in lines.items() if n > MAX_LINES.get(str(path), 500)}
    assert not too_long
    assert statistics.median(n for path, n in lines.items() if path.name != "__init__.py") <= 250


def test_functions_are_short():
    lengths = {
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}": n_body_lines(function)
        for path in MODULES
        for function in functions(path)
    }
    assert not {name: n for name, n in lengths.items() if n > 60}
    assert statistics.quantiles(lengths.values(), n=10)[-1] <= 25


@pytest.mark.parametrize(
    "arguments",
    [
        ("-c", "import vae_anomaly, sys; print(*sys.modules, file=sys.stderr)"),
        ("-X", "importtime", "-m", "vae_anomaly", "--help"),
        ("-X", "importtime", "-m", "vae_anomaly", "fit", "--help"),
    ],
    ids=["import", "help", "help of a command"],
)
def test_what_must_be_instant_imports_nothing_heavy(arguments):
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    imported = set(re.findall(r"[\w.]+", done.stderr))
    assert "vae_anomaly" in imported
    assert not imported.intersection(HEAVY)


def test_only_the_agreed_names_lie_at_the_top():
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=False, cwd=ROOT)  # noqa: S607
    if listed.returncode:
        pytest.skip("no git checkout, so what belongs to it cannot be told")
    found = {line.partition("/")[0] for line in listed.stdout.splitlines()}
    assert {name for name in found if not name.startswith(".")} <= TOP_LEVEL
