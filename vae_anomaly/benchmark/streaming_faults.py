"""Runs of ``score`` that are killed, or whose disk is full, and what ``--resume`` makes of them.

Each run is a process of its own, made by a fork of one that has imported everything: what is to be killed are runs, and
not the start of Python.
"""

from __future__ import annotations

import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vae_anomaly.benchmark.streaming_hostile import fitted, installed_command, odd_payments
from vae_anomaly.benchmark.table import say
from vae_anomaly.errors import VaeAnomalyError

OUTPUTS = ("out.csv", "out.csv.gz", "out.parquet")
_CHUNK_BYTES = 20_000
_CALLS = ("write", "fsync", "replace", "unlink", "ftruncate")
_LONGEST = 120  # seconds
_LEAST_DISK = 4_096  # bytes, so that the run can still say what is wrong


@dataclass(frozen=True)
class FaultRun:
    """One run that was stopped, and gone on with.

    Parameters
    ----------
    fault : str
        "time": killed at a random moment; "call": killed at a random call that changes the disk, the final renaming
        among them; "disk": no file may grow beyond a random size.
    output : str
        The name of the output.
    moment : float
        Seconds, the number of the call, or bytes.
    stopped : bool
        Whether the run was stopped before it ended by itself.
    equal : bool
        Whether the result is, byte for byte, that of a run that was not stopped, and nothing else is left.
    ended : str
        How the stopped run and the one that went on ended.
    """

    fault: str
    output: str
    moment: float
    stopped: bool
    equal: bool
    ended: str

    def to_row(self) -> dict[str, Any]:
        """A row of the tidy table."""
        return asdict(self)


def run_faults(n_kills: int, n_disks: int, n_rows: int = 3_000, seed: int = 0) -> list[FaultRun]:
    """Stop so many runs, and go on with them.

    Parameters
    ----------
    n_kills : int
        Runs that are killed: half of them at a moment, half of them at a call.
    n_disks : int
        Runs whose disk is full.
    n_rows : int
        Of the file that is scored.
    seed : int
        Of the moments.

    Returns
    -------
    list of FaultRun
        All of them.
    """
    import vae_anomaly.detector  # noqa: F401 - what a fork then has

    installed_command()
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        odd_payments(n_rows).to_csv(folder / "in.csv", index=False)
        _forked(lambda: fitted(folder / "model.vaea"), folder / "fit.log")  # a fork of torch that has computed may hang
        whole = {output: _Whole.measured(folder, output) for output in OUTPUTS}
        faults = [("time", "call")[number % 2] for number in range(n_kills)] + ["disk"] * n_disks
        return [
            _stopped(folder, whole[output], fault, rng, number)
            for number, fault in enumerate(faults)
            for output in [OUTPUTS[number // 2 % len(OUTPUTS)]]
        ]


@dataclass(frozen=True)
class _Whole:
    """A run that is not stopped."""

    output: str
    data: bytes
    seconds: float
    n_calls: int

    @staticmethod
    def measured(folder: Path, output: str) -> _Whole:
        at = folder / f"whole-{output}"
        at.mkdir()
        counts = at / "calls"

        def counted() -> None:
            left = _counting(1 << 40)
            try:
                _score(folder, at / output)
            finally:
                counts.write_text(str((1 << 40) - left[0]))

        start = time.perf_counter()
        ended = _forked(counted, at / "log")
        seconds = time.perf_counter() - start
        if ended != "exit 0":
            raise VaeAnomalyError(
                f"Expected a run that nobody stops to end well, found {ended}: {(at / 'log').read_text()}"
            )
        return _Whole(output, (at / output).read_bytes(), seconds, int(counts.read_text()))


def _stopped(folder: Path, whole: _Whole, fault: str, rng: np.random.Generator, number: int) -> FaultRun:
    at = folder / str(number)
    at.mkdir()
    out, log = at / whole.output, folder / "log"
    if fault == "time":
        moment = float(rng.uniform(0, whole.seconds))
        first = _forked(lambda: _score(folder, out), log, kill_after=moment)
    elif fault == "call":
        moment = float(rng.integers(1, whole.n_calls + 1))
        first = _forked(lambda: _killing_itself(int(moment), folder, out), log)
    else:
        moment = float(rng.integers(_LEAST_DISK, max(len(whole.data), 2 * _LEAST_DISK)))
        first = _forked(lambda: _on_a_small_disk(int(moment), folder, out), log)
    second = _forked(lambda: _score(folder, out, "--resume"), log) if first != "exit 0" else "not needed"
    there = sorted(path.name for path in at.iterdir())
    equal = there == [whole.output] and out.read_bytes() == whole.data
    # Killed after the last renaming: the output is whole, and there is nothing to go on with, which --resume says.
    if not equal or second not in ("exit 0", "not needed", "exit 5") or "Traceback" in log.read_text():
        equal = False
        say(f"{fault} at {moment:g} of {whole.output}: {first}, then {second}; {there}; {log.read_text()[-500:]}")
    return FaultRun(fault, whole.output, moment, first != "exit 0", equal, f"{first}, then {second}")


def _score(folder: Path, out: Path, *options: str) -> None:
    from vae_anomaly.table import stream

    stream.CHUNK_BYTES = _CHUNK_BYTES
    installed_command()(["score", str(folder / "model.vaea"), str(folder / "in.csv"), "-o", str(out), *options])


def _killing_itself(moment: int, folder: Path, out: Path) -> None:
    _counting(moment)
    _score(folder, out)


def _on_a_small_disk(n_bytes: int, folder: Path, out: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))
    _score(folder, out)


def _counting(moment: int) -> list[int]:
    """Have this process kill itself at a call that changes the disk; a call that writes is half done then."""
    left = [moment]

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def until_then(*arguments: Any, **keywords: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                if name == "write":
                    call(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **keywords)

        return until_then

    for name in _CALLS:
        setattr(os, name, counted(name, getattr(os, name)))
    return left


def _forked(action: Callable[[], Any], log: Path, *, kill_after: float | None = None) -> str:
    """Do something in a process of its own, and say how that ended."""
    child = os.fork()
    if not child:
        _become(action, log)
    deadline = time.perf_counter() + (_LONGEST if kill_after is None else kill_after)
    while time.perf_counter() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return _how(status)
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return _how(status) if kill_after is not None else "hung"


def _become(action: Callable[[], Any], log: Path) -> None:
    """The life of a forked process: it never returns."""
    code = 1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        action()
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 0
    except BaseException as error:
        os.write(2, f"Traceback: {error!r}".encode())
    finally:
        os._exit(code)


def _how(status: int) -> str:
    return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"


def counts(runs: Sequence[FaultRun]) -> list[tuple[str, str, int, int, int]]:
    """For each fault and output: runs, those that were stopped, and those whose result was that of one run.

    Examples
    --------
    >>> counts([FaultRun("time", "out.csv", 0.3, True, True, "signal 9, then exit 0")])
    [('time', 'out.csv', 1, 1, 1)]
    """
    groups = dict.fromkeys((run.fault, run.output) for run in runs)
    found = []
    for fault, output in groups:
        group = [run for run in runs if (run.fault, run.output) == (fault, output)]
        found.append((fault, output, len(group), sum(r.stopped for r in group), sum(r.equal for r in group)))
    return found
