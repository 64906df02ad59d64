"""The console's routes: the page, its parts for live updates, a page for each alarm, acknowledging by a plain form."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from alerts.lifecycle import RETURNED, UNACKNOWLEDGED
from alerts.people.permissions import ACKNOWLEDGE, READ
from dashboards import acting_api
from dashboards.access import Gate, attributed, who_asks
from dashboards.asked import AcknowledgeBody, By
from dashboards.console import view
from dashboards.monitor import ACCEPTED, ALREADY, STANDING, UNKNOWN, ExcursionQuery, Monitor
from dashboards.operation import PREFIX, Operation, checked
from dashboards.problems_json import ProblemError, bad_parameters
from dashboards.security import body_of
from dashboards.trend_links import TrendLinks

HERE = Path(__file__).parent
PARTS = ("summary", "alarms", "rooms", "excursions", "system")
ALARMS_MAX = 200
EXCURSIONS_MAX = 25
RECENT_NS = 24 * 3600 * 10**9

templates = Environment(
    loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
templates.filters |= {"unit": view.unit_text, "span": view.span_text}
templates.globals |= {"value_text": view.value_text}


class Static(StaticFiles):
    """Our own files; browsers ask each time whether they changed, so that an upgrade is seen at once."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


def routes() -> list[BaseRoute]:
    """What people open in a browser."""
    return [
        Gate("/", home, READ),
        Gate("/parts/{part}", part_of_home, READ),
        Gate("/alarms/{id}", alarm_page, READ),
        Gate("/alarms/{id}/acknowledge", acknowledge_form, ACKNOWLEDGE, "POST"),
        *(Gate(path, _form(operation), operation.permission, "POST") for path, operation in _FORMS.items()),
        Mount("/static", Static(directory=HERE / "static"), name="static"),
    ]


async def home(request: Request) -> Response:
    return await _page(request, "console.html", _overview)


async def part_of_home(request: Request) -> Response:
    """One part of the page as HTML: what changed is rendered where it was rendered first."""
    part = request.path_params["part"]
    if part not in PARTS:
        raise ProblemError(404, "unknown-part", "No such part", f"There is no part {part!r}; there are {', '.join(PARTS)}.")
    return await _page(request, f"{part}.html", _overview)


async def alarm_page(request: Request) -> Response:
    return await _page(request, "alarm.html", _one_alarm, said=request.query_params.get("said", ""))


async def acknowledge_form(request: Request) -> Response:
    """What the API does, for a form: then back to the alarm's page, which says what is recorded."""
    try:
        body = AcknowledgeBody.model_validate(await form(request))
    except ValidationError as error:
        raise bad_parameters(error, list(AcknowledgeBody.model_fields), "form") from None
    body = attributed(body, who_asks(request))
    assert body.by is not None
    monitor: Monitor = request.app.state.monitor
    alarm_id = request.path_params["id"]
    result = await run_in_threadpool(monitor.acknowledge, alarm_id, by=body.by, comment=body.comment)
    if result.outcome == UNKNOWN:
        raise _unknown(alarm_id)
    said = {ACCEPTED: "accepted", ALREADY: "already"}.get(result.outcome, "closed")
    return RedirectResponse(f"/alarms/{quote(alarm_id, safe='')}?said={said}", 303)


_FORMS = {operation.path.removeprefix(PREFIX): operation for operation in acting_api.OPERATIONS}
"""What the API does to alarms, points and rooms, for plain forms at the same path without its prefix."""


def _form(operation: Operation) -> Any:
    """Then back to the page of the alarm that the form stood on."""

    async def done(request: Request) -> Response:
        assert operation.handle is not None
        assert operation.body is not None
        given = await form(request)
        alarm_id = given.pop("alarm", "")
        query = operation.parameters.model_validate(request.path_params)
        body = checked(operation.body, given, request, "form")
        if isinstance(body, By):
            body = attributed(body, who_asks(request))
        await run_in_threadpool(operation.handle, request.app.state.monitor, query, body)
        return RedirectResponse(f"/alarms/{quote(alarm_id, safe='')}?said=done" if alarm_id else "/", 303)

    return done


async def form(request: Request) -> dict[str, str]:
    """The fields of a form, each once; empty ones are left out."""
    return {name: values[0] for name, values in parse_qs((await body_of(request)).decode("utf-8", "replace")).items()}


def wanted_by(request: Request) -> bool:
    """Whether an error should be a page for a person rather than a problem document."""
    return not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", "")


def failure(request: Request, status: int, title: str, detail: str) -> Response:
    """An error as a page."""
    told = {"identity": request.app.state.monitor.identity, "title": title, "detail": detail, "who": who_asks(request)}
    return HTMLResponse(templates.get_template("failure.html").render(told), status)


async def _page(request: Request, template: str, context: Any, **more: Any) -> Response:
    monitor: Monitor = request.app.state.monitor

    def render() -> str:
        return templates.get_template(template).render(context(monitor, request), who=who_asks(request), **more)

    return HTMLResponse(await run_in_threadpool(render))


def _common(monitor: Monitor, request: Request) -> dict[str, Any]:
    now = monitor.now()
    points, places = {point.id: point for point in monitor.points()}, {place.id: place for place in monitor.places()}
    return {
        "identity": monitor.identity,
        "now": now,
        "times": view.Times(ZoneInfo(monitor.identity.timezone), now),
        "points": points,
        "places": places,
        "trends": TrendLinks(request.app.state.grafana, points, places),
    }


def _overview(monitor: Monitor, request: Request) -> dict[str, Any]:
    """What the page needs, or the part of it that is asked for."""
    part = request.path_params.get("part")
    context = _common(monitor, request)
    if part in (None, "rooms"):
        context["tiles"] = view.tiles(context["places"].values(), context["points"].values())
    if part in (None, "summary", "alarms"):
        standing = monitor.alarms(STANDING, ALARMS_MAX)
        unacknowledged = sum(alarm.state in (UNACKNOWLEDGED, RETURNED) for alarm in standing.items)
        context |= {"alarms": view.in_order(standing.items), "more_alarms": standing.next is not None, "unacknowledged": unacknowledged}
    if part in (None, "excursions"):
        recent = ExcursionQuery(start=context["now"] - RECENT_NS, newest_first=True)
        context["excursions"] = monitor.excursions(recent, EXCURSIONS_MAX)
    if part in (None, "system"):
        context |= {"health": monitor.health(), "counts": monitor.counts()}
    return context


def _one_alarm(monitor: Monitor, request: Request) -> dict[str, Any]:
    alarm = monitor.alarm(request.path_params["id"])
    if alarm is None:
        raise _unknown(request.path_params["id"])
    return _common(monitor, request) | {"alarm": alarm}


def _unknown(alarm_id: str) -> ProblemError:
    return ProblemError(404, "unknown-alarm", "No such alarm", f"There is no alarm {alarm_id!r}.")
