"""What one client may ask of the server, so that the others are served too."""

from __future__ import annotations

from dataclasses import dataclass

from vae_anomaly._params import Number, check_params

_COUNT = Number(1, integer=True)
_SECONDS = Number(0, open_low=True)


@dataclass(frozen=True)
class Limits:
    """Limits of the server. What is beyond one is refused with a status that says which.

    Parameters
    ----------
    max_body_bytes : int, default=16777216
        Of a request's body (413).
    max_rows : int, default=10000
        Of a request that is scored (413).
    max_explained_rows : int, default=1000
        Of a request that is explained (413), and most alerts that a score is explained of.
    max_concurrent : int, default=64
        Requests that are worked on at once; further ones are told to come again (503). So much memory as their bodies
        take is needed.
    head_seconds, body_seconds : float, default=10.0
        For a client to send the head of a request (or the connection is closed), and then its body (408).
    work_seconds : float, default=60.0
        For an answer after the body is read (503).
    batch_rows : int, default=8192
        Rows from which no more requests join those that are scored at once.

    Examples
    --------
    >>> Limits(max_rows=0)
    Traceback (most recent call last):
        ...
    vae_anomaly.errors.ParameterError: The 'max_rows' parameter of Limits must be an integer in [1, inf]. Got 0 instead.
    """

    max_body_bytes: int = 16 * 2**20
    max_rows: int = 10_000
    max_explained_rows: int = 1_000
    max_concurrent: int = 64
    head_seconds: float = 10.0
    body_seconds: float = 10.0
    work_seconds: float = 60.0
    batch_rows: int = 8_192

    def __post_init__(self) -> None:
        seconds = ("head_seconds", "body_seconds", "work_seconds")
        rules = {name: (_SECONDS if name in seconds else _COUNT,) for name in vars(self)}
        check_params("Limits", vars(self), rules)
