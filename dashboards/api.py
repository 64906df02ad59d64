"""The HTTP API as one table of operations: what is routed is what is checked is what OpenAPI describes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from alerts.people.permissions import ACKNOWLEDGE, AUDIT, KNOWN, OPEN, READ
from dashboards import acting_api, answers, asked, configuration_api, duty_api, people_api, quarantine_api, record_api
from dashboards.access import Gate
from dashboards.events import events_endpoint
from dashboards.metrics import metrics_text
from dashboards.monitor import ACCEPTED, ALREADY, UNKNOWN, Monitor
from dashboards.openapi import document
from dashboards.operation import PREFIX, Operation, answered, endpoint_of
from dashboards.problems_json import ProblemError, nearest
from dashboards.views import AlarmQuery, Check, ExcursionQuery, Page
from facility.times import format_time

Item = TypeVar("Item")


def points(monitor: Monitor, query: asked.PointsAsked, _: None) -> answers.PointsAnswer:
    found = monitor.points()
    if query.room is not None:
        _known("room", query.room, [place.id for place in monitor.places() if place.parent is None])
        found = [point for point in found if point.room == query.room]
    if query.out_of_service is not None:
        found = [point for point in found if (point.out_of_service is not None) == query.out_of_service]
    return answers.PointsAnswer(points=[answers.PointAnswer.of(point) for point in found])


def readings(monitor: Monitor, query: asked.ReadingsAsked, _: None) -> answers.ReadingsAnswer:
    start = query.start if query.cursor is None else query.cursor
    # one more than asked for: its time is where the next answer starts
    columns = monitor.readings(query.point, start, query.end, query.limit + 1)
    if columns is None:
        _known("point", query.point, [point.id for point in monitor.points()])
        raise ProblemError(404, "unknown-point", "No such point", f"There is no point {query.point!r}.")
    shown = slice(query.limit)
    more = len(columns.time) > query.limit
    return answers.ReadingsAnswer(
        point=query.point, unit=columns.unit, time=[format_time(ns) for ns in columns.time[shown]],
        value=[answers.finite(float(value)) for value in columns.value[shown]], quality=list(columns.quality[shown]),
        received=[format_time(ns) for ns in columns.received[shown]], next=format_time(columns.time[query.limit]) if more else None,
    )  # fmt: skip


def excursions(monitor: Monitor, query: asked.ExcursionsAsked, _: None) -> answers.ExcursionsAnswer:
    which = ExcursionQuery(query.start, query.end, query.room, query.point, include_all=query.all)
    page = _page(query.cursor, lambda: monitor.excursions(which, query.limit, query.cursor))
    return answers.ExcursionsAnswer(excursions=[answers.ExcursionAnswer.of(item) for item in page.items], next=page.next)


def alarms(monitor: Monitor, query: asked.AlarmsAsked, _: None) -> answers.AlarmsAnswer:
    which = AlarmQuery(tuple(query.state), query.flag or "", query.room or "", query.group or "")
    page = _page(query.cursor, lambda: monitor.alarms(which, query.limit, query.cursor))
    return answers.AlarmsAnswer(alarms=[answers.AlarmAnswer.of(item) for item in page.items], next=page.next)


def acknowledge(monitor: Monitor, query: asked.AlarmAsked, body: asked.AcknowledgeBody) -> answers.AlarmAnswer:
    assert body.by is not None
    result = monitor.acknowledge(query.id, by=body.by, comment=body.comment)
    if result.outcome == UNKNOWN or result.alarm is None:
        raise ProblemError(404, "unknown-alarm", "No such alarm", f"There is no alarm {query.id!r}; GET {PREFIX}/alarms lists them.")
    alarm = answers.AlarmAnswer.of(result.alarm)
    if result.outcome == ACCEPTED:
        return alarm
    if result.outcome == ALREADY:
        at = answers.time_text(result.at)
        detail = f"{result.by} acknowledged this alarm already, at {at}. Nothing was recorded for {body.by}."
        raise ProblemError(
            409, "already-acknowledged", "Already acknowledged", detail,
            acknowledged_by=result.by, acknowledged=at, comment=result.comment, alarm=alarm.model_dump(),
        )  # fmt: skip
    raise ProblemError(
        409,
        "alarm-closed",
        "The alarm is over",
        "This alarm is over and needs no acknowledgement. Nothing was recorded.",
        alarm=alarm.model_dump(),
    )


def kpis(monitor: Monitor, query: asked.Span, _: None) -> answers.KpisAnswer:
    return answers.KpisAnswer.of(monitor.kpis(query.start, query.end))


def audit(monitor: Monitor, query: asked.AuditAsked, _: None) -> answers.AuditAnswer:
    page = _page(query.cursor, lambda: monitor.audit(query.start, query.end, query.limit, query.cursor))
    entries = [
        answers.AuditEntryAnswer(
            number=entry.number, at=format_time(entry.at), actor=entry.actor, action=entry.action, subject=entry.subject,
            detail=entry.detail, reason=entry.reason,
        ) for entry in page.items
    ]  # fmt: skip
    return answers.AuditAnswer(entries=entries, next=page.next)


async def healthz(request: Request) -> Response:
    monitor: Monitor = request.app.state.monitor
    health = await run_in_threadpool(monitor.health)
    return _health(monitor, health.is_alive, health.alive)


async def readyz(request: Request) -> Response:
    monitor: Monitor = request.app.state.monitor
    health = await run_in_threadpool(monitor.health)
    return _health(monitor, health.is_ready, (*health.alive, *health.ready))


def _health(monitor: Monitor, ok: bool, checks: tuple[Check, ...]) -> Response:
    answer = answers.HealthAnswer(ok=ok, time=format_time(monitor.now()), checks=[answers.CheckAnswer.of(check) for check in checks])
    return answered(answer, 200 if ok else 503)


async def metrics(request: Request) -> Response:
    state, accept = request.app.state, request.headers.get("accept", "")
    text, content_type = await run_in_threadpool(metrics_text, state.monitor, state.traffic, accept)
    return Response(text, headers={"Content-Type": content_type})


async def openapi(request: Request) -> Response:
    return JSONResponse(document(OPERATIONS, request.app.state.monitor.identity.version))


OPERATIONS = (
    Operation(
        f"{PREFIX}/points", "Every point with its latest reading, limits in force and state.",
        points, parameters=asked.PointsAsked, answer=answers.PointsAnswer, problems=(404,), permission=READ,
    ),
    Operation(
        f"{PREFIX}/readings", "Stored readings of a point in time order, as columns, with start <= time < end.",
        readings, parameters=asked.ReadingsAsked, answer=answers.ReadingsAnswer, problems=(404,), permission=READ,
    ),
    Operation(
        f"{PREFIX}/excursions", "Excursions that overlap [start, end), sorted by onset, rule, point.",
        excursions, parameters=asked.ExcursionsAsked, answer=answers.ExcursionsAnswer, permission=READ,
    ),
    Operation(
        f"{PREFIX}/alarms", "Alarms, the newest raised first; without `state` those that are not done.",
        alarms, parameters=asked.AlarmsAsked, answer=answers.AlarmsAnswer, permission=READ,
    ),
    Operation(
        f"{PREFIX}/alarms/{{id}}/acknowledge", "Acknowledge an alarm as who is signed in; 409 tells who was faster.",
        acknowledge, parameters=asked.AlarmAsked, answer=answers.AlarmAnswer, method="POST", body=asked.AcknowledgeBody,
        problems=(403, 404, 409, 413, 415), permission=ACKNOWLEDGE,
    ),
    Operation(
        f"{PREFIX}/kpis", "Key figures of alarm management (ISA-18.2), of the last 30 days unless asked otherwise.",
        kpis, parameters=asked.Span, answer=answers.KpisAnswer, permission=READ,
    ),
    Operation(
        f"{PREFIX}/audit", "The audit trail, the oldest entry first.",
        audit, parameters=asked.AuditAsked, answer=answers.AuditAnswer, permission=AUDIT,
    ),
    Operation(
        f"{PREFIX}/events", "Server-sent events `readings`, `alarm`, `excursion`, `health`, `reload`; Last-Event-ID goes on from there.",
        endpoint=events_endpoint, media="text/event-stream", permission=READ,
    ),
    Operation(f"{PREFIX}/openapi.json", "This description.", endpoint=openapi, permission=KNOWN),
    Operation("/healthz", "200 while steps and ingest run, else 503.", endpoint=healthz, answer=answers.HealthAnswer, permission=OPEN),
    Operation(
        "/readyz", "200 when alive, connected and caught up, else 503.", endpoint=readyz, answer=answers.HealthAnswer, permission=OPEN,
    ),
    Operation("/metrics", "Prometheus metrics.", endpoint=metrics, media="text/plain", permission=READ),
    *acting_api.OPERATIONS,
    *record_api.OPERATIONS,
    *duty_api.OPERATIONS,
    *quarantine_api.OPERATIONS,
    *configuration_api.OPERATIONS,
    *people_api.OPERATIONS,
)  # fmt: skip


def routes() -> list[Gate]:
    """The table as routes, each behind its permission."""
    return [Gate(operation.path, endpoint_of(operation), operation.permission, operation.method) for operation in OPERATIONS]


def _page(cursor: str | None, read: Callable[[], Page[Item]]) -> Page[Item]:
    try:
        return read()
    except ValueError:
        if cursor is None:
            raise
        detail = f"cursor: found {cursor!r}, allowed: the `next` of an earlier answer to the same question."
        raise ProblemError(400, "bad-parameter", "A parameter in the query cannot be used", detail) from None


def _known(parameter: str, value: str, known: list[str]) -> None:
    if value not in known:
        raise ProblemError(
            404, f"unknown-{parameter}", f"No such {parameter}", f"There is no {parameter} {value!r}{nearest(value, known)}."
        )
