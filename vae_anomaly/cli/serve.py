"""``vae-anomaly serve``: a model file behind a REST interface."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vae_anomaly.cli._options import Device, Model
from vae_anomaly.cli._print import note

_LIMITS = "Limits"
_MEGABYTE = 2**20


def serve(
    model: Model,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, metavar="N", help="0 takes a free one.")] = 8_000,
    device: Device = "auto",
    update_state: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.vaea",
            help="Of a model that knows the past of cards: remember the rows sent to /score, and write the model with"
            " them to this new file at the end. MODEL stays as it is.",
        ),
    ] = None,
    max_body_mb: Annotated[
        int, typer.Option(min=1, metavar="N", help="Megabytes of a request.", rich_help_panel=_LIMITS)
    ] = 16,
    max_rows: Annotated[
        int, typer.Option(min=1, metavar="N", help="Rows of a request.", rich_help_panel=_LIMITS)
    ] = 10_000,
    max_explained_rows: Annotated[
        int, typer.Option(min=1, metavar="N", help="Rows of a request that is explained.", rich_help_panel=_LIMITS)
    ] = 1_000,
    max_concurrent: Annotated[
        int, typer.Option(min=1, metavar="N", help="Requests at once; others get 503.", rich_help_panel=_LIMITS)
    ] = 64,
    read_seconds: Annotated[
        float,
        typer.Option(metavar="S", help="For a client to send a head, and again a body.", rich_help_panel=_LIMITS),
    ] = 10.0,
    work_seconds: Annotated[
        float, typer.Option(metavar="S", help="For an answer after that.", rich_help_panel=_LIMITS)
    ] = 60.0,
) -> None:
    """Answer requests: scores, alerts and reasons of rows in JSON, CSV or Arrow.

    POST /score and /explain; GET /model, /health, /ready, /metrics and /openapi.json. With the environment variable
    VAE_ANOMALY_API_KEY set, requests must carry that key.

    Of a model that knows the past of cards, rows are set against what the file
    remembers and against the earlier rows of their own request. Requests are
    remembered with --update-state alone: in this one process, in the order in
    which they come, until it ends; a process that is killed has written nothing.
    """
    from vae_anomaly.serving import api_key_of_environment, create_app, require_extra
    from vae_anomaly.serving.limits import Limits

    require_extra()
    from vae_anomaly.serving.server import serve_app, warn_if_open

    limits = Limits(
        max_body_bytes=max_body_mb * _MEGABYTE,
        max_rows=max_rows,
        max_explained_rows=max_explained_rows,
        max_concurrent=max_concurrent,
        head_seconds=read_seconds,
        body_seconds=read_seconds,
        work_seconds=work_seconds,
    )
    key = api_key_of_environment()
    app = create_app(model, limits=limits, api_key=key, device=device, update_state=update_state)
    warn_if_open(host, key)
    serve_app(app, host, port, limits, lambda address: note(f"serving {model} at {address}"))
