"""The console's page of who is on duty, where a duty is swapped by a plain form."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from alerts.people.permissions import ACKNOWLEDGE, READ, SWAP
from dashboards import duty_api
from dashboards.access import Gate
from dashboards.console.frame import FormPage, clock, done_at, page, shown
from dashboards.duty_api import DrillAsked, desk_of, found_test
from dashboards.monitor import Monitor
from dashboards.operation import PREFIX

HALF_DAY_NS = 12 * 3600 * 10**9


def gates() -> list[Gate]:
    operations = {operation.path.removeprefix(PREFIX): operation for operation in duty_api.OPERATIONS if operation.method == "POST"}
    swap = FormPage(operations["/oncall/overrides"], done_at("/oncall", "swapped"), duty_page)
    acknowledge = FormPage(operations["/oncall/tests/{id}/acknowledge"], done_at("/oncall/tests/{id}", "acknowledged"), drill_page)
    return [
        Gate("/oncall", duty_page, READ),
        Gate("/oncall/swap", swap, SWAP, "POST"),
        Gate("/oncall/tests/{id}", drill_page, READ),
        Gate("/oncall/tests/{id}/acknowledge", acknowledge, ACKNOWLEDGE, "POST"),
    ]


async def duty_page(request: Request, status: int = 200, fault: str = "", given: dict[str, str] | None = None) -> Response:
    said = request.query_params.get("said", "")
    return await shown(request, "oncall.html", _board, status, said=said, fault=fault, given=given or {})


async def drill_page(request: Request, status: int = 200, fault: str = "", given: dict[str, str] | None = None) -> Response:
    """A test that waits for its acknowledgement: where the link of its page leads."""
    answer = await run_in_threadpool(found_test, desk_of(request), DrillAsked(id=request.path_params["id"]), None)
    said = request.query_params.get("said", "")
    return page(request, "oncall_test.html", status, test=answer, said=said, fault=fault, given=given or {}, **clock(request))


def _board(request: Request) -> dict[str, Any]:
    monitor: Monitor = request.app.state.monitor
    board, zone = desk_of(request).board(), ZoneInfo(monitor.identity.timezone)
    return clock(request) | {"board": board, "begin": minute(board.at, zone), "end": minute(board.at + HALF_DAY_NS, zone)}


def minute(ns: int, zone: ZoneInfo) -> str:
    """A time as the field of a form has it."""
    return f"{datetime.fromtimestamp(ns // 10**9, zone):%Y-%m-%dT%H:%M}"
