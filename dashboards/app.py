"""The web application, built from a Monitor: the API, the console, the guard before both."""

from __future__ import annotations

import logging

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from alerts.people.office import Office
from alerts.people.people import People
from alerts.people.register import PeopleUnavailable
from dashboards import api
from dashboards.access import MustChange, NotSignedIn
from dashboards.console import frame, pages, sign_in
from dashboards.monitor import Monitor, MonitorUnavailable
from dashboards.operation import PREFIX
from dashboards.problems_json import ProblemError, problem
from dashboards.security import Guard
from dashboards.traffic import Counted, Traffic

log = logging.getLogger(__name__)


def build_app(monitor: Monitor, *, public_url: str = "", people: People | None = None, host: str = "", grafana: str = "") -> Starlette:
    """The ASGI application; `public_url` is the address behind a reverse proxy, whose host is then allowed too.

    `people` are those who may sign in; without them (None) anybody may do everything, so serve it on loopback only. `host` is the address
    that it listens on, `grafana` that of the Grafana to link to. Before the server stops, call `monitor.events.close()`: open event streams
    would keep it waiting.
    """
    traffic = Traffic()
    app = Starlette(
        routes=[*api.routes(), *sign_in.routes(), *pages.routes()],
        middleware=[
            Middleware(Counted, traffic=traffic),
            Middleware(Guard, public_url=public_url, host=host, users=people is not None),
        ],
        exception_handlers={
            ProblemError: _problem,
            HTTPException: _http,
            MonitorUnavailable: _unavailable,
            PeopleUnavailable: _unavailable,
            Exception: _unexpected,
        },
    )
    app.state.monitor, app.state.people, app.state.public_url = monitor, people, public_url
    app.state.grafana = grafana
    app.state.traffic = traffic
    if people is not None:
        app.state.office = Office(people.register, people.now_ns, lambda: people.passwords)
    return app


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    if not frame.wanted_by(request):
        return error.response()
    if isinstance(error, NotSignedIn):
        return sign_in.led_there(request)
    if isinstance(error, MustChange):
        return RedirectResponse("/password", 303)
    return frame.failure(request, error.status, error.title, frame.refusal(request, error))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = {
        404: f"There is nothing at {request.url.path}; the API is described at {PREFIX}/openapi.json.",
        405: f"{request.method} is not possible at {request.url.path}.",
    }.get(error.status_code, error.detail)
    if frame.wanted_by(request):
        return frame.failure(request, error.status_code, error.detail, detail)
    return problem(error.status_code, detail, headers=dict(error.headers or {}))


async def _unavailable(request: Request, error: Exception) -> Response:
    detail = f"{error} Nothing was changed by this request unless the list shows it."
    if frame.wanted_by(request):
        return frame.failure(request, 503, "The service cannot answer now", detail)
    return problem(503, detail, kind="unavailable", title="The service cannot answer now", headers={"Retry-After": "5"})


async def _unexpected(request: Request, error: Exception) -> Response:
    # the server logs the exception itself, with its traceback; people get a sentence
    log.error("%s %s failed: %r", request.method, request.url.path, error)
    detail = "The service met an error of its own while answering; it is in its log. Monitoring goes on independently of this page."
    if frame.wanted_by(request):
        return frame.failure(request, 500, "Something went wrong here", detail)
    return problem(500, detail)
