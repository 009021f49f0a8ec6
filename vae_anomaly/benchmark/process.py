"""One measurement, one fresh interpreter: neither peak memory nor threads, caches or seeds of one reach the next."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from vae_anomaly.errors import VaeAnomalyError

_LINES_OF_AN_ERROR = 3


@dataclass(frozen=True)
class Finished:
    """What a command left.

    Parameters
    ----------
    result : dict
        The JSON object on its last line.
    seconds : float
        Wall-clock, from the start of the interpreter to its end.
    """

    result: dict[str, Any]
    seconds: float


def run_module(module: str, *arguments: str) -> Finished:
    """Run ``python -m module`` to its end, and read the JSON object that it prints last.

    Parameters
    ----------
    module : str
        What to run.
    *arguments : str
        Its command line.

    Raises
    ------
    VaeAnomalyError
        If it does not end well, with the last lines that it said.

    Examples
    --------
    >>> run_module("vae_anomaly.benchmark.worker", "echo", '{"rows": 3}').result
    {'rows': 3}
    """
    done, seconds = _ended_well(module, arguments)
    return Finished(json.loads(done.stdout.splitlines()[-1]), seconds)


def time_module(module: str, *arguments: str) -> float:
    """Run ``python -m module``, which need not print JSON.

    Parameters
    ----------
    module : str
        What to run.
    *arguments : str
        Its command line.

    Returns
    -------
    float
        Seconds, wall-clock, from the start of the interpreter to its end.

    Raises
    ------
    VaeAnomalyError
        If it does not end well, with the last lines that it said.

    Examples
    --------
    >>> time_module("vae_anomaly.benchmark.worker", "echo", "{}") > 0
    True
    """
    return _ended_well(module, arguments)[1]


def _ended_well(module: str, arguments: Sequence[str]) -> tuple[subprocess.CompletedProcess[str], float]:
    start = perf_counter()
    done = subprocess.run(  # noqa: S603 - this interpreter, arguments as a list
        [sys.executable, "-m", module, *arguments], capture_output=True, encoding="utf-8", check=False
    )
    seconds = perf_counter() - start
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip(" ^~")]
        end = " / ".join(said[-_LINES_OF_AN_ERROR:])
        raise VaeAnomalyError(f"python -m {module} {arguments[0]}: expected it to end well, found {_how(done)}. {end}")
    return done, seconds


def run_task(task: str, **options: Any) -> dict[str, Any]:
    """Run one task of `vae_anomaly.benchmark.worker`.

    Parameters
    ----------
    task : str
        A key of `vae_anomaly.benchmark.worker.TASKS`.
    **options
        Its arguments, as JSON can carry them.

    Returns
    -------
    dict
        What it measured.

    Examples
    --------
    >>> run_task("echo", rows=3)
    {'rows': 3}
    """
    return run_module("vae_anomaly.benchmark.worker", task, json.dumps(options)).result


def _how(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"that signal {-done.returncode} ended it (9 is what running out of memory looks like)"
    return f"exit code {done.returncode}"
