"""The table of commands, and what a failure means to a shell.

Nothing here or in a command's module may import torch, pandas, pyarrow or scikit-learn: ``--help`` answers at once.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from vae_anomaly._version import __version__
from vae_anomaly.cli import (
    benchmark,
    calibrate,
    demo,
    evaluate,
    explain,
    export,
    fit,
    inspect,
    report,
    sample,
    score,
    serve,
)
from vae_anomaly.cli._print import show_text
from vae_anomaly.errors import (
    ModelFileError,
    OutputError,
    ParameterError,
    TableError,
    TrainingError,
    VaeAnomalyError,
    VaeAnomalyWarning,
)

COMMANDS: dict[str, Callable[..., None]] = {
    "fit": fit.fit,
    "calibrate": calibrate.calibrate,
    "score": score.score,
    "explain": explain.explain,
    "evaluate": evaluate.evaluate,
    "report": report.report,
    "sample": sample.sample,
    "inspect": inspect.inspect,
    "serve": serve.serve,
    "export": export.export,
    "demo": demo.demo,
    "benchmark": benchmark.benchmark,
}
CONTEXTS = {"benchmark": benchmark.CONTEXT}

EXIT_CODES: tuple[tuple[type[VaeAnomalyError], int, str], ...] = (
    (ParameterError, 2, "wrong usage: an option or its value"),
    (TableError, 3, "input: a file, a table or its columns"),
    (ModelFileError, 4, "model file"),
    (OutputError, 5, "output: exists already, or cannot be written"),
    (TrainingError, 6, "training produced no model"),
    (VaeAnomalyError, 1, "anything else"),
)
INTERRUPTED = 130

_EPILOG = (
    "Exit codes: 0 done; "
    + "; ".join(f"{code} {meaning}" for _, code, meaning in sorted(EXIT_CODES, key=lambda row: row[1]))
    + f"; {score.REJECTED} done, but some rows were rejected (score --bad-rows); {INTERRUPTED} interrupted."
)


def exit_code(error: VaeAnomalyError) -> int:
    """What the shell is told about an error.

    Examples
    --------
    >>> exit_code(ModelFileError("cut short"))
    4
    """
    return next(code for kind, code, _ in EXIT_CODES if isinstance(error, kind))


@dataclass
class _Guard:
    """Turns what a command raises or warns of into lines for people, and an exit code for shells."""

    debug: bool = False

    def around(self, command: Callable[..., None]) -> Callable[..., None]:
        """The same command, guarded."""

        @functools.wraps(command)
        def guarded(*args: Any, **kwargs: Any) -> None:
            try:
                with self._warnings_in_plain_words():
                    command(*args, **kwargs)
                    sys.stdout.flush()
            except KeyboardInterrupt:
                _say("error: interrupted")
                raise typer.Exit(INTERRUPTED) from None
            except BrokenPipeError:
                _silence_stdout()  # whoever read our output has had enough
            except VaeAnomalyError as error:
                if self.debug:
                    raise
                _say(f"error: {error}")
                raise typer.Exit(exit_code(error)) from None
            except OSError as error:  # files have errors of their own: what is left is standard output
                if self.debug:
                    raise
                _say(f"error: expected to write results to standard output, found: {error.strerror or error}.")
                _silence_stdout()
                raise typer.Exit(exit_code(OutputError())) from None

        return guarded

    @contextmanager
    def _warnings_in_plain_words(self) -> Iterator[None]:
        def show(message: Warning | str, *_: Any, **__: Any) -> None:
            _say(f"warning: {message}")

        with warnings.catch_warnings():
            warnings.simplefilter("default" if self.debug else "ignore")
            warnings.simplefilter("always", VaeAnomalyWarning)
            warnings.showwarning = show
            yield


def _say(text: str) -> None:
    show_text(text, sys.stderr)  # stdout carries results only


def _silence_stdout() -> None:
    """Keep the interpreter from complaining again, on its way out, of an output that takes nothing more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _version(wanted: bool) -> None:
    if wanted:
        print(f"vae-anomaly {__version__}")
        raise typer.Exit


def _terminate(number: int, _: Any) -> None:
    raise SystemExit(128 + number)


def build_app() -> typer.Typer:
    """The command line, ready to be called."""
    guard = _Guard()
    app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, epilog=_EPILOG)

    @app.callback()
    def vae_anomaly(
        debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
        version: Annotated[
            bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
        ] = False,
    ) -> None:
        """Find anomalous rows in transaction tables, without labels."""
        guard.debug = debug

    for name, command in COMMANDS.items():
        app.command(name, context_settings=CONTEXTS.get(name))(guard.around(command))
    return app


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code: the entry point ``vae-anomaly``."""
    for name in ("SIGTERM", "SIGHUP"):  # by themselves they would leave half-written temporary files behind
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _terminate)
    build_app()(args=list(arguments) if arguments is not None else None, prog_name="vae-anomaly")
