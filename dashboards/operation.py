"""One operation of the HTTP API, and how a request becomes its answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from dashboards import asked
from dashboards.access import attributed, who_asks
from dashboards.monitor import Monitor
from dashboards.problems_json import ProblemError, bad_parameters
from dashboards.security import body_of

PREFIX = "/api/v1"
Handler = Callable[[Any, Any, Any], BaseModel | None]
Endpoint = Callable[[Request], Any]


def _monitor(request: Request) -> Monitor:
    monitor: Monitor = request.app.state.monitor
    return monitor


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: what is asked (query and path), what is answered, and either a plain function or an endpoint of its own.

    `permission` is a row of alerts.people.permissions, or one of OPEN, KNOWN, PERSON. The plain function gets what `subject` finds, the
    parameters and the body.
    """

    path: str
    summary: str
    handle: Handler | None = None
    endpoint: Endpoint | None = None
    parameters: type[asked.Asked] = asked.Nothing
    answer: type[BaseModel] | None = None
    method: str = "GET"
    body: type[asked.Asked] | None = None
    media: str = "application/json"
    problems: tuple[int, ...] = ()
    status: int = 200
    subject: Callable[[Request], Any] = _monitor
    permission: str = field(kw_only=True)


def endpoint_of(operation: Operation) -> Endpoint:
    """What serves the operation."""
    if operation.endpoint is not None:
        return operation.endpoint
    handle = operation.handle
    assert handle is not None, operation.path

    async def endpoint(request: Request) -> Response:
        query = checked(operation.parameters, single(request) | request.path_params, request, "query")
        body = None
        if operation.body is not None:
            body = checked(operation.body, await json_body(request), request, "body")
        if isinstance(body, asked.By):
            body = attributed(body, who_asks(request))
        answer = await run_in_threadpool(handle, operation.subject(request), query, body)
        return Response(status_code=operation.status) if answer is None else answered(answer, operation.status)

    return endpoint


def single(request: Request) -> dict[str, Any]:
    """The parameters of the query; one given twice is refused."""
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if names.count(name) > 1:
            raise ProblemError(400, "bad-parameter", "A parameter in the query cannot be used", f"{name}: given twice; give it once.")
    return dict(request.query_params)


async def json_body(request: Request) -> Any:
    """What the body holds."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise ProblemError(415, "not-json", "Unsupported media type", "Send the body as application/json.")
    try:
        return json.loads(await body_of(request))
    except (ValueError, RecursionError):
        raise ProblemError(400, "not-json", "The body cannot be read", "The body is not valid JSON.") from None


def checked(model: type[asked.Checked], given: Any, request: Request, place: str) -> asked.Checked:
    """What was given as the model has it; all faults at once."""
    context = {"zone": ZoneInfo(request.app.state.monitor.identity.timezone)}
    try:
        return model.model_validate(given, context=context)
    except ValidationError as error:
        raise bad_parameters(error, list(model.model_fields), place) from None


def answered(answer: BaseModel, status: int = 200) -> Response:
    """The answer as JSON."""
    return Response(answer.model_dump_json(), status, media_type="application/json")
