"""The pages of alarms: the list with its filter, one alarm with what happened to it, acknowledging by a plain form."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from alerts.lifecycle import FLAGS, STATES
from alerts.people.permissions import ACKNOWLEDGE, AUDIT, READ
from dashboards.access import Gate, attributed, who_asks
from dashboards.asked import AcknowledgeBody
from dashboards.console import room_page, view
from dashboards.console.frame import form, shown, surroundings
from dashboards.monitor import ACCEPTED, ALREADY, STANDING, UNKNOWN, AlarmView, AuditQuery, Monitor, Page
from dashboards.problems_json import ProblemError, bad_parameters

SHOWN_MAX = 200
HISTORY_MAX = 200
WHICH = {"standing": STANDING, "every": STATES} | dict.fromkeys(FLAGS.values(), STATES) | {state: (state,) for state in STATES}
"""What may be asked for, and the states that it means."""


def gates() -> list[Gate]:
    return [
        Gate("/alarms", alarms_page, READ),
        Gate("/alarms/{id}", alarm_page, READ),
        Gate("/alarms/{id}/acknowledge", acknowledge_form, ACKNOWLEDGE, "POST"),
    ]


async def alarms_page(request: Request) -> Response:
    return await shown(request, "alarms_page.html", _list)


async def alarm_page(request: Request, status: int = 200, fault: str = "", given: dict[str, str] | None = None) -> Response:
    said = request.query_params.get("said", "")
    return await shown(request, "alarm.html", _one_alarm, status, said=said, fault=fault, given=given or {})


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


def _list(request: Request) -> dict[str, Any]:
    monitor: Monitor = request.app.state.monitor
    asked = request.query_params
    which, room, cursor = asked.get("which", "standing"), asked.get("room", ""), asked.get("cursor")
    states = WHICH.get(which, STANDING)
    flag = which if which in FLAGS.values() else ""
    try:
        found = monitor.alarms(states, SHOWN_MAX, cursor, flag)
    except ValueError:  # of another filter
        found = monitor.alarms(states, SHOWN_MAX, None, flag)
    alarms = [alarm for alarm in found.items if room in ("", alarm.room)]
    ordered: list[AlarmView] = view.in_order(alarms) if which == "standing" else alarms
    return surroundings(request) | {"alarms": ordered, "next": found.next, "which": which, "whiches": list(WHICH), "room": room}


def _one_alarm(request: Request) -> dict[str, Any]:
    monitor: Monitor = request.app.state.monitor
    alarm = monitor.alarm(request.path_params["id"])
    if alarm is None:
        raise _unknown(request.path_params["id"])
    context = surroundings(request)
    may_see = who_asks(request).may(AUDIT)
    history = monitor.trail(AuditQuery(about=alarm.id), HISTORY_MAX) if may_see else Page()
    trend = room_page.around(alarm.room, alarm.onset, alarm.returned, context["now"])
    return context | {"alarm": alarm, "history": history, "trend": trend}


def _unknown(alarm_id: str) -> ProblemError:
    return ProblemError(404, "unknown-alarm", "No such alarm", f"There is no alarm {alarm_id!r}.")
