"""The pages of alarms: the list with its filter, one alarm with what happened to it, acknowledging by a plain form."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from alerts.lifecycle.lifecycle import FLAGS, STATES
from alerts.people.permissions import ACKNOWLEDGE, AUDIT, READ
from dashboards.access import Gate, attributed, who_asks
from dashboards.asked import AcknowledgeBody
from dashboards.console import room_page, view
from dashboards.console.frame import form, refusal, shown, surroundings
from dashboards.duty_api import desk_of
from dashboards.monitor import ACCEPTED, ALREADY, UNKNOWN, Monitor
from dashboards.operation import checked
from dashboards.problems_json import ProblemError
from dashboards.telling import Telling
from dashboards.views import STANDING, WAITING, AlarmQuery, AlarmView, AuditQuery, Page

SHOWN_MAX = 60
HISTORY_MAX, GROUP_MAX = 200, 1000
WHICH = (
    {"standing": STANDING, "waiting": WAITING, "every": STATES}
    | dict.fromkeys(FLAGS.values(), STATES)
    | {state: (state,) for state in STATES}
)
"""What may be asked for, and the states that it means."""


def gates() -> list[Gate]:
    return [
        Gate("/alarms", alarms_page, READ),
        Gate("/alarms/{id}", alarm_page, READ),
        Gate("/alarms/{id}/acknowledge", acknowledge_form, ACKNOWLEDGE, "POST"),
    ]


async def alarms_page(request: Request, status: int = 200, fault: str = "", given: dict[str, str] | None = None) -> Response:
    said = request.query_params.get("said", "")
    return await shown(request, "alarms_page.html", _list, status, said=said, fault=fault, given=given or {})


async def alarm_page(request: Request, status: int = 200, fault: str = "", given: dict[str, str] | None = None) -> Response:
    said = request.query_params.get("said", "")
    return await shown(request, "alarm.html", _one_alarm, status, said=said, fault=fault, given=given or {})


async def acknowledge_form(request: Request) -> Response:
    """What the API does, for a form: then back to the alarm's page, which says what is recorded."""
    given = await form(request)
    try:
        body = attributed(checked(AcknowledgeBody, given, request, "form"), who_asks(request))
    except ProblemError as problem:
        return await alarm_page(request, problem.status, refusal(request, problem), given)
    assert body.by is not None
    monitor: Monitor = request.app.state.monitor
    alarm_id = request.path_params["id"]
    result = await run_in_threadpool(monitor.acknowledge, alarm_id, by=body.by, comment=body.comment)
    if result.outcome == UNKNOWN:
        raise _unknown(alarm_id)
    said = {ACCEPTED: "accepted", ALREADY: "already"}.get(result.outcome, "closed")
    return RedirectResponse(f"/alarms/{quote(alarm_id, safe='')}?said={said}", 303)


def _list(request: Request) -> dict[str, Any]:
    monitor: Monitor = request.app.state.monitor
    asked = request.query_params
    which = asked.get("which", "standing")
    which = which if which in WHICH else "standing"
    room, group, cursor = asked.get("room", ""), asked.get("group", "") or request.path_params.get("group", ""), asked.get("cursor")
    query = AlarmQuery(WHICH[which], which if which in FLAGS.values() else "", room, group)
    try:
        found = monitor.alarms(query, SHOWN_MAX, cursor)
    except ValueError:  # of another filter
        found = monitor.alarms(query, SHOWN_MAX)
    kept = {name: text for name, text in (("which", which), ("room", room), ("group", group)) if text}
    about = monitor.standing(0).groups.get(group) if group else None
    here = "/alarms?" + urlencode(kept)
    # what fits a page is in the order in which it needs a person; pages are by time
    ordered = view.in_order(found.items) if which in ("standing", "waiting") and len(found.items) == found.total else found.items
    return surroundings(request) | {
        "alarms": ordered, "found": found.total, "which": which, "whiches": list(WHICH), "room": room, "group": group, "about": about,
        "together": acknowledged_together(request, group),
        "older": f"{here}&{urlencode({'cursor': found.next})}" if found.next else "", "newest": here if cursor else "",
    }  # fmt: skip


def _one_alarm(request: Request) -> dict[str, Any]:
    monitor: Monitor = request.app.state.monitor
    alarm = monitor.alarm(request.path_params["id"])
    if alarm is None:
        raise _unknown(request.path_params["id"])
    context = surroundings(request)
    may_see = who_asks(request).may(AUDIT)
    history = monitor.trail(AuditQuery(about=alarm.id), HISTORY_MAX) if may_see else Page()
    there = room_page.around(alarm.room, alarm.onset, alarm.returned, context["now"])
    point = context["points"].get(alarm.point)
    return context | room_page.trend_around(request, context, point, alarm, alarm.returned) | {
        "alarm": alarm, "history": history, "room_path": there, "together": acknowledged_together(request, alarm.group),
        "telling": desk_of(request).telling(alarm.id) or Telling(),
    }  # fmt: skip


def acknowledged_together(request: Request, group: str) -> list[AlarmView]:
    """The alarms of a group that were just acknowledged, at one moment; none where that is not what the page tells of."""
    if not group or request.query_params.get("said") != "group":
        return []
    monitor: Monitor = request.app.state.monitor
    found = monitor.alarms(AlarmQuery(STATES, "", "", group), GROUP_MAX).items
    last = max((alarm.acknowledged or 0 for alarm in found), default=0)
    return [alarm for alarm in found if last and alarm.acknowledged == last]


def _unknown(alarm_id: str) -> ProblemError:
    return ProblemError(404, "unknown-alarm", "No such alarm", f"There is no alarm {alarm_id!r}.")
