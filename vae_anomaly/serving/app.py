"""The routes: what can be asked, and in which form it is answered."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from vae_anomaly._version import __version__
from vae_anomaly.errors import VaeAnomalyError
from vae_anomaly.serving.documents import Explanations, ModelCard, Problem, Scores, Status, body_of
from vae_anomaly.serving.limits import Limits
from vae_anomaly.serving.metrics import MEDIA_TYPE, CountingMiddleware
from vae_anomaly.serving.problems import ProblemKind, RequestError, problem_of
from vae_anomaly.serving.rows import JSON
from vae_anomaly.serving.served import Decided, ServedModel
from vae_anomaly.serving.service import Service
from vae_anomaly.serving.wanted import CellKind

_LOG = logging.getLogger(__name__)
_SCORES = "Scores rows by a tabular variational autoencoder, in nats: higher is more anomalous."
_ALONE = """A row's score is a function of the row and the model alone, to the last bit: neither the rows that come with
it nor the requests that are scored at the same time change it."""
_PAST = """The model knows the past of cards. A row's score is a function, to the last bit, of the row, of the model,
which remembers rows (`past` of /model), and of the earlier rows of the same request. Rows that come before
`remembered_until` are refused."""
_REMEMBERED = {
    False: "Other requests do not change it: none is remembered.",
    True: "Rows that are sent to /score are remembered, and are the past of those that are sent later; rows that are"
    " sent twice are remembered twice.",
}
_REST = """Only a rule that decides by the batch (`threshold` of /model is null) looks at the rows of a request
together, for `alert`. Columns that the model does not know are ignored, and named in the answer. A missing cell is null
in JSON, empty in CSV."""
_TEXTS = {
    400: "The body is not what its media type says.",
    401: "The API key is missing or another.",
    408: "The body came too slowly.",
    413: "The body has too many bytes or rows.",
    415: "The media type is none of those that are read, or the body is compressed.",
    422: "The columns or cells are not those that the model was fitted on; `column_diff` names them. Or a parameter.",
    503: "Too much is under way: come again after the seconds in Retry-After.",
}
_MOST_REASONS = 1_000
_EXAMPLES: dict[CellKind, Any] = {CellKind.NUMBER: 41.2, CellKind.MOMENT: "2024-05-01T09:30:00Z", CellKind.VALUE: "a"}
_KINDS = {404: ProblemKind.NOT_FOUND, 405: ProblemKind.METHOD}

open_routes, guarded, working = APIRouter(), APIRouter(), APIRouter()
Basis = Literal["conditional", "reconstructed"]
_BASIS = Query(description="Judge each cell given the others alone, or as reconstructed, which is faster.")


def service_of(request: Request) -> Service:
    """What the routes share."""
    service: Service = request.app.state.service
    return service


Shared = Annotated[Service, Depends(service_of)]


def check_key(
    service: Shared,
    header: Annotated[str | None, Security(APIKeyHeader(name="X-API-Key", auto_error=False))],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False))],
) -> None:
    """Refuse a request without the key."""
    service.check_key(header or (None if bearer is None else bearer.credentials))


async def take_place(service: Shared) -> AsyncIterator[None]:
    """Hold one of the places for requests that are worked on."""
    service.enter()
    try:
        yield
    finally:
        service.leave()


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    retry = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}
    return {
        status: {"model": Problem, "description": _TEXTS[status], **({"headers": retry} if status == 503 else {})}
        for status in statuses
    }


@open_routes.get("/health", summary="Whether the process is alive", response_model=Status)
async def health() -> Response:
    """Always 200, without a key."""
    return _answer({"status": "alive"})


@open_routes.get(
    "/ready", summary="Whether requests are answered", response_model=Status, responses={503: {"model": Status}}
)
async def ready(service: Shared) -> Response:
    """200 once the model has scored a row; without a key."""
    return _answer({"status": "ready" if service.ready else "not ready"}, 200 if service.ready else 503)


@guarded.get("/model", summary="What is served: columns, threshold, guarantee, versions", response_model=ModelCard)
async def model(service: Shared) -> Response:
    """The columns that rows must have, by what they alert, and what was promised of that."""
    return _answer(service.card())


@guarded.get(
    "/metrics",
    summary="Counters for Prometheus",
    response_class=Response,
    responses={200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}},
)
async def metrics(service: Shared) -> Response:
    """Requests, seconds, rows, alerts, and how many requests were scored at once."""
    return Response(service.metrics.text(), media_type=MEDIA_TYPE)


@working.post("/score", summary="Scores and alerts of rows", response_model=Scores)
async def score(
    request: Request,
    service: Shared,
    reasons: Annotated[
        int | None, Query(ge=1, le=_MOST_REASONS, description="Explain the alerts too, by so many reasons each.")
    ] = None,
    basis: Annotated[Basis, _BASIS] = "conditional",
) -> Response:
    """One score and one decision for each row, in order, and if asked for why the alerts alert."""

    async def work(body: bytes, content_type: str) -> dict[str, Any]:
        rows, decided = await service.scored(body, content_type)
        document = _scores(decided, rows.ignored)
        if reasons is not None:
            alerts = np.flatnonzero(decided.alert)
            alerts = alerts[np.argsort(-decided.score[alerts], kind="stable")]
            shown = alerts[: service.limits.max_explained_rows]
            document["reasons"] = await service.reasons(rows.table, shown, reasons, basis == "conditional")
            document["unexplained_alerts"] = len(alerts) - len(shown)
        return document

    return _answer(await service.answer(request, work))


@working.post("/explain", summary="Reasons of rows", response_model=Explanations)
async def explain(
    request: Request,
    service: Shared,
    reasons: Annotated[int, Query(ge=1, le=_MOST_REASONS, description="Most reasons of a row.")] = 5,
    basis: Annotated[Basis, _BASIS] = "conditional",
) -> Response:
    """Why every row scores as it does, whether it alerts or not."""

    async def work(body: bytes, content_type: str) -> dict[str, Any]:
        rows = await service.to_explain(body, content_type)
        n_rows = rows.table.num_rows
        found = await service.reasons(rows.table, np.arange(n_rows), reasons, basis == "conditional")
        return {"rows": n_rows, "reasons": found, "ignored_columns": list(rows.ignored)}

    return _answer(await service.answer(request, work))


def build_app(served: ServedModel, limits: Limits, key: str | None) -> FastAPI:
    """The application that serves a model."""
    service = Service(served, limits, key)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title=f"vae-anomaly: {served.file}",
        version=__version__,
        description=f"{_SCORES}\n\n{_depends_on(served)} {_REST}",
        lifespan=lifespan,
        docs_url=None,  # its page would fetch scripts from elsewhere
        redoc_url=None,
        openapi_url=None,  # guarded like the columns that it names
    )
    app.state.service = service
    locks = [] if key is None else [Security(check_key)]
    refusals = {} if key is None else _refusals(401)
    app.include_router(open_routes)
    app.include_router(guarded, dependencies=locks, responses=refusals)
    app.include_router(
        working,
        dependencies=[*locks, Depends(take_place)],
        responses=refusals | _refusals(400, 408, 413, 415, 422, 503),
    )
    document = _document(app, served, limits)

    @app.get("/openapi.json", include_in_schema=False, dependencies=locks)
    async def openapi() -> Response:
        return _answer(document)

    app.openapi = lambda: document  # type: ignore[method-assign]
    _handle_errors(app)
    paths = frozenset([*document["paths"], "/openapi.json"])
    app.add_middleware(CountingMiddleware, metrics=service.metrics, paths=paths, methods=frozenset(("GET", "POST")))
    return app


def _depends_on(served: ServedModel) -> str:
    return _ALONE if served.past is None else f"{_PAST} {_REMEMBERED[served.past.remembers]}"


def _document(app: FastAPI, served: ServedModel, limits: Limits) -> dict[str, Any]:
    """The OpenAPI document, with the columns of the model as the form of requests."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    wanted = served.wanted
    example = {name: _EXAMPLES[kind] for name, kind in wanted.kinds.items()}
    example |= {} if served.past is None else served.past.example()
    for path, most_rows in (("/score", limits.max_rows), ("/explain", limits.max_explained_rows)):
        operation = document["paths"][path]["post"]
        operation["requestBody"] = body_of(wanted, limits, most_rows, example)
    return document


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(RequestError)
    async def refused(_: Request, error: RequestError) -> Response:
        return _refusal(error)

    @app.exception_handler(VaeAnomalyError)
    async def unusable(_: Request, error: VaeAnomalyError) -> Response:
        return _refusal(problem_of(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        found = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        return _refusal(RequestError(422, ProblemKind.PARAMETER, f"Expected other parameters, found {found}."))

    @app.exception_handler(HTTPException)
    async def unrouted(_: Request, error: HTTPException) -> Response:
        kind = _KINDS.get(error.status_code, ProblemKind.MALFORMED)
        return _refusal(RequestError(error.status_code, kind, str(error.detail), headers=error.headers or {}))

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        _LOG.error("a request failed", exc_info=error)
        return _refusal(RequestError(500, ProblemKind.INTERNAL, "The server failed. Its log says how."))


def _refusal(error: RequestError) -> Response:
    problem = {"error": str(error.kind), "detail": error.detail, "column_diff": list(error.column_diff)}
    return _answer(problem, error.status, dict(error.headers))


def _answer(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Strict JSON: a number is written so that it reads as the same float64, and NaN is an error."""
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    return Response(text, status, headers=headers, media_type=JSON)


def _scores(decided: Decided, ignored: tuple[str, ...]) -> dict[str, Any]:
    return {
        "rows": len(decided.score),
        "anomaly_score": decided.score.tolist(),
        "alert": decided.alert.tolist(),
        "p_value": None if decided.p_value is None else decided.p_value.tolist(),
        "risk_score": None if decided.risk_score is None else decided.risk_score.tolist(),
        "rows_with_threshold_of_rest": decided.n_by_rest,
        "ignored_columns": list(ignored),
        "reasons": None,
        "unexplained_alerts": 0,
    }
