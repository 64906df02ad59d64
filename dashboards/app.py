"""The web application, built from a Monitor: the API, the console, the guard before both."""

from __future__ import annotations

import logging

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from dashboards import api
from dashboards.console import pages
from dashboards.monitor import Monitor, MonitorUnavailable
from dashboards.problems_json import ProblemError, problem
from dashboards.security import Guard

log = logging.getLogger(__name__)


def build_app(monitor: Monitor, *, public_url: str = "") -> Starlette:
    """The ASGI application; `public_url` is the address behind a reverse proxy, whose host is then allowed too.

    Serve it on loopback only. Before the server stops, call `monitor.events.close()`: open event streams would keep it waiting.
    """
    app = Starlette(
        routes=[*api.routes(), *pages.routes()],
        middleware=[Middleware(Guard, public_url=public_url)],
        exception_handlers={
            ProblemError: _problem,
            HTTPException: _http,
            MonitorUnavailable: _unavailable,
            Exception: _unexpected,
        },
    )
    app.state.monitor = monitor
    return app


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    if pages.wanted_by(request):
        return pages.failure(request, error.status, error.title, error.detail)
    return error.response()


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = {
        404: f"There is nothing at {request.url.path}; the API is described at {api.PREFIX}/openapi.json.",
        405: f"{request.method} is not possible at {request.url.path}.",
    }.get(error.status_code, error.detail)
    if pages.wanted_by(request):
        return pages.failure(request, error.status_code, error.detail, detail)
    return problem(error.status_code, detail, headers=dict(error.headers or {}))


async def _unavailable(request: Request, error: Exception) -> Response:
    detail = f"{error} Nothing was changed by this request unless the list shows it."
    if pages.wanted_by(request):
        return pages.failure(request, 503, "The service cannot answer now", detail)
    return problem(503, detail, kind="unavailable", title="The service cannot answer now", headers={"Retry-After": "5"})


async def _unexpected(request: Request, error: Exception) -> Response:
    # the server logs the exception itself, with its traceback; people get a sentence
    log.error("%s %s failed: %r", request.method, request.url.path, error)
    detail = "The service met an error of its own while answering; it is in its log. Monitoring goes on independently of this page."
    if pages.wanted_by(request):
        return pages.failure(request, 500, "Something went wrong here", detail)
    return problem(500, detail)
