"""What every page of the console stands in: its template in the reader's language, forms, and errors as pages."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from alerts.lifecycle.lifecycle import STATES
from alerts.pages.wording import in_language, unit_text
from alerts.people.permissions import OPEN
from alerts.people.register import PeopleUnavailable
from dashboards.access import Gate, attributed, local_path, person_of, who_asks
from dashboards.asked import By
from dashboards.console import view
from dashboards.console.words import LANGUAGES, catalogue, wanted
from dashboards.monitor import Monitor
from dashboards.operation import Operation, checked
from dashboards.problems_json import ProblemError
from dashboards.security import body_of
from dashboards.trend_links import TrendLinks
from dashboards.views import AlarmQuery, AlarmView

HERE = Path(__file__).parent
COOKIE = "renrum-language"
YEAR_S = 365 * 86_400
HELD_MAX = 500
"""So many alarms with a flag are marked at their points."""
PAGES = (
    ("overview", "/", "read"), ("alarms", "/alarms", "read"), ("excursions", "/excursions", "read"), ("on_call", "/oncall", "read"),
    ("audit", "/audit", "audit"), ("health", "/health", "read"), ("kpis", "/kpis", "read"), ("configuration", "/configuration", "read"),
    ("people", "/people", "review"),
)  # fmt: skip
"""The pages that each page leads to: name, path, permission."""
_MINUTE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")
log = logging.getLogger(__name__)

Context = Callable[[Request], dict[str, Any]]


@cache
def templates(language: str) -> Environment:
    """The templates, with the texts of a language."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"unit": unit_text, "span": _unbroken, "broken": view.broken, "local_times": view.local_times}
    words = catalogue(language)
    environment.filters |= {
        "signature": view.signature,
        "check_words": partial(view.check_words, texts=words.group("check_words"), language=language),
    }
    environment.filters["number"] = partial(in_language, language=language)
    environment.globals |= {"value_text": partial(view.value_text, language=language), "t": words, "language": language}
    environment.globals |= {"languages": LANGUAGES, "pages": PAGES}
    return environment


def _unbroken(ns: int) -> str:
    return view.span_text(ns).replace(" ", "\u00a0")


def language_of(request: Request) -> str:
    """The language that the reader chose, there or in this browser, else that of the browser."""
    chosen = who_asks(request).language or request.cookies.get(COOKIE, "")
    return chosen if chosen in LANGUAGES else wanted(request.headers.get("accept-language", ""))


def rendered(request: Request, template: str, **context: Any) -> str:
    """A template as it is shown to who asks."""
    monitor: Monitor = request.app.state.monitor
    users = request.app.state.people is not None
    frame = {"identity": monitor.identity, "who": who_asks(request), "here": request.url.path, "users": users, "back": _back(request)}
    frame["typed"] = partial(_typed, request.url.path, context)
    return templates(language_of(request)).get_template(template).render(frame | context)


class Typed(dict[str, str]):
    """What was typed into a form that was refused, and why as `fault`; empty for any other form. What was not typed is empty."""

    def __missing__(self, name: str) -> str:
        return ""


def _typed(here: str, context: dict[str, Any], path: str) -> Typed:
    """Of the form that is sent to a path."""
    return Typed(context.get("given") or {}, fault=context["fault"]) if context.get("fault") and path == here else Typed()


def _back(request: Request) -> str:
    """Where a form that every page has leads back to: the page with its filter; of a page that answers a form the overview."""
    if request.method not in ("GET", "HEAD"):
        return "/"
    asked = dict(request.query_params)
    if "next" in asked:
        asked["next"] = local_path(asked["next"])  # of the sign-in page
    return request.url.path + (f"?{urlencode(asked)}" if asked else "")


def page(request: Request, template: str, status: int = 200, **context: Any) -> Response:
    """The same as an answer."""
    return HTMLResponse(rendered(request, template, **context), status)


async def shown(request: Request, template: str, context: Context, status: int = 200, **more: Any) -> Response:
    """A page whose context is looked up by another thread."""

    def render() -> str:
        return rendered(request, template, **(context(request) | more))

    return HTMLResponse(await run_in_threadpool(render), status)


def surroundings(request: Request) -> dict[str, Any]:
    """What pages about points, rooms and times need."""
    monitor: Monitor = request.app.state.monitor
    points, places = {point.id: point for point in monitor.points()}, {place.id: place for place in monitor.places()}
    return clock(request) | {"points": points, "places": places, "trends": TrendLinks(request.app.state.grafana, points, places)}


def clock(request: Request) -> dict[str, Any]:
    """The moment, and how times are written."""
    monitor: Monitor = request.app.state.monitor
    now = monitor.now()
    return {"now": now, "times": view.Times(ZoneInfo(monitor.identity.timezone), now)}


def held(monitor: Monitor, room: str = "") -> dict[str, list[AlarmView]]:
    """By point the alarms, of a room or of all, that nobody is told of although the point is judged: shelved, or suppressed."""
    found: dict[str, dict[str, AlarmView]] = {}
    for flag in ("shelved", "suppressed"):
        for alarm in monitor.alarms(AlarmQuery(STATES, flag, room), HELD_MAX).items:
            found.setdefault(alarm.point, {})[alarm.id] = alarm
    return {point: list(alarms.values()) for point, alarms in found.items()}


async def form(request: Request) -> dict[str, str]:
    """The fields of a form, each once; empty ones are left out, and browsers leave out the seconds of a time."""
    given = {name: values[0] for name, values in parse_qs((await body_of(request)).decode("utf-8", "replace")).items()}
    return {name: with_seconds(text) for name, text in given.items()}


def kept(given: dict[str, str]) -> dict[str, str]:
    """What of a form that was refused is shown again: no password."""
    return {name: text for name, text in given.items() if name != "password"}


def with_seconds(text: str) -> str:
    """A time as fields of forms give it, with its seconds; any other text as it is."""
    return f"{text}:00" if _MINUTE.fullmatch(text) else text


def refusal(request: Request, problem: ProblemError) -> str:
    """Why not, in the reader's language (Markup) as far as its words go; else as the API says it, in English."""
    words, key = catalogue(language_of(request)), f"problem.{problem.kind}"
    if key not in words.texts:
        return problem.detail
    return words(key, **problem.members | {"detail": Markup('<span lang="en">{}</span>').format(problem.detail)})


async def filled_in(request: Request, operation: Operation, given: dict[str, str]) -> Any:
    """What an operation of the API answers to the fields of a form; a ProblemError where it refuses."""
    assert operation.handle is not None
    query = checked(operation.parameters, dict(request.path_params), request, "address")
    body = checked(operation.body, given, request, "form") if operation.body is not None else None
    if isinstance(body, By):
        body = attributed(body, who_asks(request))
    return await run_in_threadpool(operation.handle, operation.subject(request), query, body)


class FormPage:
    """A form that does what an operation of the API does, then leads to a page that says so.

    What was refused is said on the page of the form (`again`), which keeps what was typed but for passwords. `done` gives the path that
    follows, or the answer itself, from the request and what the operation answered.
    """

    def __init__(self, operation: Operation, done: Callable[[Request, Any], str | Response], again: Callable[..., Any]) -> None:
        self._operation, self._done, self._again = operation, done, again

    async def __call__(self, request: Request) -> Response:
        given = await form(request)
        try:
            answer = await filled_in(request, self._operation, given)
        except ProblemError as problem:
            if problem.status == 404:
                raise
            response: Response = await self._again(request, status=problem.status, fault=refusal(request, problem), given=kept(given))
            return response
        after = self._done(request, answer)
        return RedirectResponse(after, 303) if isinstance(after, str) else after


def done_at(path: str, said: str) -> Callable[[Request, Any], str]:
    """The path that follows a form, which names what was done; `{id}` is that of the request."""

    def after(request: Request, _: Any) -> str:
        return f"{path.format(**{name: quote(text, safe='') for name, text in request.path_params.items()})}?said={said}"

    return after


def wanted_by(request: Request) -> bool:
    """Whether an error should be a page for a person rather than a problem document."""
    return not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", "")


def failure(request: Request, status: int, title: str, detail: str) -> Response:
    """An error as a page."""
    return page(request, "failure.html", status, code=status, title=title, detail=detail)


async def choose_language(request: Request) -> Response:
    """Remember the reader's language, for a person who is signed in and in this browser."""
    given = await form(request)
    response = RedirectResponse(local_path(given.get("next", "/")), 303)
    if (chosen := given.get("language", "")) in LANGUAGES:
        try:
            if who := await person_of(request):
                await run_in_threadpool(request.app.state.people.choose_language, who, chosen)
        except PeopleUnavailable as error:
            log.warning("%s; the language is remembered in the browser only", error)
        response.set_cookie(COOKIE, chosen, max_age=YEAR_S, httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return response


def gates() -> list[Gate]:
    return [Gate("/language", choose_language, OPEN, "POST")]
