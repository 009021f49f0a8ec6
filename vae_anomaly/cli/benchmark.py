"""``vae-anomaly benchmark``: the same as ``python -m vae_anomaly.benchmark``."""

from __future__ import annotations

from typing import Any

import typer

CONTEXT: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""Options, `--help` among them, are left to the benchmarks' own parser."""


def benchmark(context: typer.Context) -> None:
    """Measure quality, speed or files beside peers."""
    from vae_anomaly.benchmark.__main__ import run

    code = run(context.args, program="vae-anomaly benchmark")
    if code:
        raise typer.Exit(code)
