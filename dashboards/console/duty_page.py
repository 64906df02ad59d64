"""The console's page of who is on duty, where a duty is swapped by a plain form."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from alerts.people.permissions import ACKNOWLEDGE, READ, SWAP
from dashboards.access import Gate, attributed, who_asks
from dashboards.asked import AcknowledgeBody, Nothing
from dashboards.console import view
from dashboards.console.pages import form, templates
from dashboards.duty_api import DrillAsked, SwapBody, acknowledge_test, desk_of, found_test, swap
from dashboards.monitor import Monitor
from dashboards.operation import checked

_MINUTE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")


def gates() -> list[Gate]:
    return [
        Gate("/oncall", duty_page, READ),
        Gate("/oncall/swap", swap_form, SWAP, "POST"),
        Gate("/oncall/tests/{id}", test_page, READ),
        Gate("/oncall/tests/{id}/acknowledge", test_form, ACKNOWLEDGE, "POST"),
    ]


async def duty_page(request: Request) -> Response:
    return HTMLResponse(await run_in_threadpool(_rendered, request))


async def swap_form(request: Request) -> Response:
    """What the API does, for a form: then back to the page, which says what is recorded."""
    given: dict[str, Any] = await form(request)
    for name in ("from", "to"):  # browsers leave out the seconds
        if _MINUTE.fullmatch(given.get(name, "")):
            given[name] += ":00"
    body = attributed(checked(SwapBody, given, request, "form"), who_asks(request))
    await run_in_threadpool(swap, desk_of(request), Nothing(), body)
    return RedirectResponse("/oncall?said=swapped", 303)


async def test_page(request: Request) -> Response:
    """A test that waits for its acknowledgement: where the link of its page leads."""
    answer = await run_in_threadpool(found_test, desk_of(request), DrillAsked(id=request.path_params["id"]), None)
    identity = request.app.state.monitor.identity
    told = {"identity": identity, "test": answer, "who": who_asks(request), "said": request.query_params.get("said", "")}
    return HTMLResponse(templates.get_template("oncall_test.html").render(told))


async def test_form(request: Request) -> Response:
    body = attributed(checked(AcknowledgeBody, await form(request), request, "form"), who_asks(request))
    asked = DrillAsked(id=request.path_params["id"])
    await run_in_threadpool(acknowledge_test, desk_of(request), asked, body)
    return RedirectResponse(f"/oncall/tests/{quote(asked.id, safe='')}?said=acknowledged", 303)


def _rendered(request: Request) -> str:
    monitor: Monitor = request.app.state.monitor
    board = desk_of(request).board()
    zone = ZoneInfo(monitor.identity.timezone)
    context = {
        "identity": monitor.identity,
        "board": board,
        "times": view.Times(zone, board.at),
        "begin": _minute(board.at, zone),
        "end": _minute(board.at + 12 * 3600 * 10**9, zone),
        "said": request.query_params.get("said", ""),
        "who": who_asks(request),
    }
    return templates.get_template("oncall.html").render(context)


def _minute(ns: int, zone: ZoneInfo) -> str:
    """A time as the field of a form has it."""
    return f"{datetime.fromtimestamp(ns // 10**9, zone):%Y-%m-%dT%H:%M}"
