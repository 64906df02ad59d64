"""What people do to alarms, points and rooms by plain forms: what the API does, at the same path without its prefix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from dashboards import acting_api
from dashboards.access import Gate
from dashboards.acting_api import GroupAnswer
from dashboards.console.alarm_pages import alarm_page, alarms_page
from dashboards.console.frame import filled_in, form, kept, refusal
from dashboards.console.room_page import room_page
from dashboards.operation import PREFIX, Operation
from dashboards.problems_json import ProblemError

PAGES: dict[str, tuple[Callable[..., Any], str]] = {
    "alarm": (alarm_page, "/alarms/{}?"), "room": (room_page, "/rooms/{}?"), "group": (alarms_page, "/alarms?group={}&"),
}  # fmt: skip
"""Where such forms stand, by the field that names the alarm, room or group: the page, and its path."""


def gates() -> list[Gate]:
    return [
        Gate(operation.path.removeprefix(PREFIX), _form(operation), operation.permission, operation.method)
        for operation in acting_api.OPERATIONS
    ]


def _form(operation: Operation) -> Callable[[Request], Any]:
    """Then back to the page that the form stood on."""

    async def done(request: Request) -> Response:
        given = await form(request)
        stood = {name: given.pop(name) for name in PAGES if name in given}
        kind, id = next(iter(stood.items()), ("", ""))
        try:
            await filled_in(request, operation, given)
        except ProblemError as problem:
            if problem.status == 404 or not kind:
                raise
            request.scope["path_params"] = {"id": id, kind: id}
            response: Response = await PAGES[kind][0](request, problem.status, refusal(request, problem), kept(given))
            return response
        said = "group" if operation.answer is GroupAnswer else "done"
        return RedirectResponse(f"{PAGES[kind][1].format(quote(id, safe=''))}said={said}" if kind else "/", 303)

    return done
