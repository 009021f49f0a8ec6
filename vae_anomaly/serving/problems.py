"""Requests that are refused, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from vae_anomaly.errors import FileFormatError, SchemaMismatchError, VaeAnomalyError


class ProblemKind(StrEnum):
    """What is wrong with a request, for programs."""

    UNAUTHORISED = "unauthorised"
    NOT_FOUND = "not_found"
    METHOD = "method_not_allowed"
    TOO_SLOW = "too_slow"
    TOO_LARGE = "too_large"
    MEDIA_TYPE = "unsupported_media_type"
    MALFORMED = "malformed_body"
    PARAMETER = "invalid_parameter"
    SCHEMA = "schema_mismatch"
    ROWS = "invalid_rows"
    BUSY = "busy"
    INTERNAL = "internal_error"


@dataclass(eq=False)
class RequestError(Exception):
    """A request that is not answered.

    Parameters
    ----------
    status : int
        Of HTTP.
    kind : ProblemKind
        For programs.
    detail : str
        For people: what was expected, what was found, what to do.
    column_diff : tuple of str
        Lines that begin with - for columns that are missing and + for ones that are not known.
    headers : mapping of str to str
        Of the response.
    """

    status: int
    kind: ProblemKind
    detail: str
    column_diff: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


def problem_of(error: VaeAnomalyError) -> RequestError:
    """What an error of the package means to a client.

    Examples
    --------
    >>> from vae_anomaly.errors import TableError
    >>> problem_of(TableError("a number is infinite")).status
    422
    """
    if isinstance(error, FileFormatError):
        return RequestError(400, ProblemKind.MALFORMED, str(error))
    kind = ProblemKind.SCHEMA if isinstance(error, SchemaMismatchError) else ProblemKind.ROWS
    return RequestError(422, kind, str(error))


def busy(detail: str) -> RequestError:
    """Come again in a second."""
    return RequestError(503, ProblemKind.BUSY, detail, headers={"Retry-After": "1"})


def too_large(detail: str) -> RequestError:
    """Send less."""
    return RequestError(413, ProblemKind.TOO_LARGE, detail)
