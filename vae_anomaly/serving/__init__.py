"""A model file behind a REST interface: rows in by JSON, CSV or Arrow; scores, alerts and reasons out.

Nothing in a request is executed or unpickled. `rows` reads request bodies and `served` scores them, both without
FastAPI; `batching` scores the rows of requests that come together at once; `app` has the routes, and `server` listens.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vae_anomaly.errors import MissingExtraError, ParameterError
from vae_anomaly.serving.limits import Limits

if TYPE_CHECKING:
    from fastapi import FastAPI

API_KEY = "VAE_ANOMALY_API_KEY"
"""The environment variable that holds the key; without it none is asked for."""

_PACKAGES = ("fastapi", "prometheus_client", "uvicorn")


def create_app(
    model: str | os.PathLike[str],
    *,
    limits: Limits | None = None,
    api_key: str | None = None,
    device: str = "auto",
    update_state: str | os.PathLike[str] | None = None,
) -> FastAPI:
    """The application that serves a model file, for any ASGI server.

    Parameters
    ----------
    model : path-like
        A file that `VAEDetector.save`, `CalibratedDetector.save` or the command line wrote. It is audited first.
    limits : Limits or None, default=None
        Of bodies, rows, seconds and concurrent requests; None takes the defaults.
    api_key : str or None, default=None
        What requests must carry, as ``X-API-Key: KEY`` or ``Authorization: Bearer KEY``; /health and /ready need none.
    device : str, default="auto"
        Where the network computes.
    update_state : path-like or None, default=None
        Of a model that knows the past of cards: remember the rows that are scored, and write the model with them to
        this new file when the application ends in good order. None: every request sees what `model` remembers, and
        none is remembered.

    Returns
    -------
    FastAPI
        With the interface described in its own ``/openapi.json``.

    Raises
    ------
    MissingExtraError
        FastAPI or prometheus-client is not installed.
    ModelFileError
        The file is no model file.
    ParameterError
        The key is empty, or not of visible ASCII characters; or a model without a past is to remember.
    OutputError
        `update_state` is there already, or cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> import pandas as pd
    >>> from vae_anomaly import VAEDetector
    >>> rows = pd.DataFrame({"amount": [float(i % 4) for i in range(400)], "shop": list("abcd") * 100})
    >>> path = os.path.join(tempfile.mkdtemp(), "payments.vaea")
    >>> VAEDetector(n_members=1, max_steps=60).fit(rows).save(path)
    >>> create_app(path, device="cpu").title
    'vae-anomaly: payments.vaea'
    """
    require_extra()
    from vae_anomaly.serving.app import build_app
    from vae_anomaly.serving.served import ServedModel

    served = ServedModel.load(model, device=device, update_state=update_state)
    return build_app(served, limits or Limits(), _checked(api_key))


def api_key_of_environment() -> str | None:
    """The key in the environment variable `API_KEY`; None if it is not set.

    Raises
    ------
    ParameterError
        It is set, and empty: a deployment that lost its key must not serve without one.
    """
    return _checked(os.environ.get(API_KEY))


def require_extra() -> None:
    """Raise a `MissingExtraError` unless the packages of the extra are installed."""
    for package in _PACKAGES:
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtraError(package.replace("_", "-"), "serve") from error


def _checked(key: str | None) -> str | None:
    if key is not None and not (key.isascii() and key.isprintable() and key.strip() == key != ""):
        raise ParameterError(
            f"The API key ({API_KEY}) must be visible ASCII characters, without spaces around them. Got"
            f" {len(key)} characters instead, which are not: set another key, or unset it to ask for none."
        )
    return key
