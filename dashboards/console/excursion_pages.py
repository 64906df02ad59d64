"""The pages of excursions: the list with its filter, one excursion with its trend and its record, and the forms that add to it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from alerts.people.permissions import READ
from alerts.remarks import ALLOWED, ASSESSED, CLOSED, NEW, OPEN, Remark
from dashboards import record_api
from dashboards.access import Gate
from dashboards.asked import ExcursionsAsked
from dashboards.console.frame import FormPage, done_at, shown, surroundings, with_seconds
from dashboards.console.room_page import around, trend_around
from dashboards.monitor import Monitor
from dashboards.operation import PREFIX, checked
from dashboards.problems_json import ProblemError
from dashboards.record_api import Acknowledged, keeper_of
from dashboards.views import ExcursionQuery, Page
from rules.excursion import Excursion

SHOWN_MAX, LOOKED_MAX = 100, 10
"""Of a page; pages that are looked through for a record in a state."""
STATES = (OPEN, NEW, ASSESSED, CLOSED)


def gates() -> list[Gate]:
    done = {"comment": "comment", "assess": "assess", "close": "close", "reopen": "reopen"}
    forms = [
        Gate(
            path,
            FormPage(operation, done_at("/excursions/{id}", done[path.rpartition("/")[2]]), excursion_page),
            operation.permission,
            "POST",
        )
        for operation in record_api.OPERATIONS
        if operation.method == "POST" and (path := operation.path.removeprefix(PREFIX)).startswith("/excursions/")
    ]
    return [Gate("/excursions", excursions_page, READ), Gate("/excursions/{id}", excursion_page, READ), *forms]


async def excursions_page(request: Request) -> Response:
    return await shown(request, "excursions_page.html", _list)


async def excursion_page(request: Request, status: int = 200, fault: str = "", given: dict[str, str] | None = None) -> Response:
    said = request.query_params.get("said", "")
    return await shown(request, "excursion.html", _one, status, said=said if said in ALLOWED else "", fault=fault, given=given or {})


def _list(request: Request) -> dict[str, Any]:
    monitor: Monitor = request.app.state.monitor
    given = {name: text for name, text in request.query_params.items() if text and name in ("start", "end", "room", "cursor")}
    given = {name: with_seconds(text) if name in ("start", "end") else text for name, text in given.items()}
    asked = checked(ExcursionsAsked, given, request, "address")
    query = ExcursionQuery(asked.start, asked.end, room=asked.room, newest_first=True)
    state = request.query_params.get("record", "")
    try:
        found = monitor.excursions(query, SHOWN_MAX, asked.cursor)
    except ValueError:  # of another filter
        found = monitor.excursions(query, SHOWN_MAX)
    keeper, records, rows = keeper_of(request), dict[str, str](), list[Excursion]()
    for looked in range(LOOKED_MAX):
        records |= {one.id: record.state for one in found.items if (record := keeper.record(one.id)) is not None}
        rows += [one for one in found.items if one.id in records and state in ("", records[one.id])]
        if found.next is None or rows or looked == LOOKED_MAX - 1:
            break
        found = monitor.excursions(query, SHOWN_MAX, found.next)  # none of that page: the next one
    kept = {name: text for name, text in given.items() if name != "cursor"} | ({"record": state} if state else {})
    older = "?" + urlencode(kept | {"cursor": found.next}) if found.next else ""
    return surroundings(request) | {
        "excursions": Page(tuple(rows)), "records": records, "older": older, "given": kept, "states": STATES,
    }  # fmt: skip


def _one(request: Request) -> dict[str, Any]:
    monitor: Monitor = request.app.state.monitor
    id = request.path_params["id"]
    record = keeper_of(request).record(id)
    if record is None:
        raise ProblemError(404, "unknown-excursion", "No such excursion", f"There is no excursion {id!r}.")
    context, excursion = surroundings(request), record.excursion
    point = context["points"].get(excursion.point)
    on_record: list[Acknowledged | Remark] = [*record.acknowledgements, *record.remarks]
    return context | trend_around(request, context, point, excursion, excursion.ended) | {
        "record": record, "excursion": excursion, "point": point, "alarm": monitor.alarm(record.alarm) if record.alarm else None,
        "on_record": sorted(on_record, key=lambda one: one.at),
        "may_do": [action for action, states in ALLOWED.items() if record.state in states],
        "room_path": around(excursion.room, excursion.onset, excursion.ended, context["now"]),
    }  # fmt: skip
