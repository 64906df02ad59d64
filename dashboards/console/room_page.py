"""The page of a room: trends of its points with their limits, excursions, doors and states."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from pydantic import ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from alerts.people.permissions import READ
from dashboards.access import Gate
from dashboards.asked import Asked, Instant
from dashboards.console.frame import held, language_of, shown, surroundings
from dashboards.console.picture import open_bands, picture_of, state_bands
from dashboards.console.view import value_text
from dashboards.monitor import Monitor
from dashboards.operation import checked
from dashboards.problems_json import ProblemError, nearest
from dashboards.trend import LimitSpan, PointTrend, Trends
from dashboards.views import AlarmView, ExcursionQuery, LimitInForce, PointView
from facility.times import format_time
from rules.excursion import Excursion

MINUTE_NS, HOUR_NS = 60 * 10**9, 3600 * 10**9
SPANS = {"h1": HOUR_NS, "h8": 8 * HOUR_NS, "h24": 24 * HOUR_NS, "d7": 168 * HOUR_NS, "d30": 720 * HOUR_NS}
SPAN_NS_MIN, SPAN_NS_MAX = MINUTE_NS, 93 * 24 * HOUR_NS
BUCKETS, ROWS = 240, 12
EXCURSIONS_MAX = 500
AROUND_NS = HOUR_NS // 2


class RoomAsked(Asked):
    """Which span of time: so much up to now, or from one time to another."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    span: str = "h8"
    start: Instant | None = Field(None, alias="from")
    end: Instant | None = Field(None, alias="to")
    said: str = ""


def gates() -> list[Gate]:
    return [Gate("/rooms/{id}", room_page, READ)]


async def room_page(request: Request, status: int = 200, fault: str = "", given: dict[str, str] | None = None) -> Response:
    return await shown(request, "room.html", _room, status, fault=fault, given=given or {})


def around(room: str, onset: int, over: int | None, now: int) -> str:
    """The address of a room's trends around something that happened there."""
    end = min(now, (now if over is None else over) + AROUND_NS)
    query = {"from": format_time(max(onset - AROUND_NS, end - SPAN_NS_MAX)), "to": format_time(max(end, onset + MINUTE_NS))}
    return f"/rooms/{quote(room, safe='')}?{urlencode(query)}"


def trend_around(
    request: Request, context: dict[str, Any], point: PointView | None, happened: Excursion | AlarmView, over: int | None
) -> dict[str, Any]:
    """The figure of a point around something that happened at it, with the span that it shows, and the limits that it was judged by."""
    onset = happened.onset
    start, now = onset - AROUND_NS, context["now"]
    end = max(min(now, (now if over is None else over) + AROUND_NS), start + AROUND_NS)
    start = max(start, end - SPAN_NS_MAX)
    return {"start": start, "end": end} | trends_of(request, context, [point] if point else [], start, end, happened)


def _room(request: Request) -> dict[str, Any]:
    monitor: Monitor = request.app.state.monitor
    context = surroundings(request)
    id, places = request.path_params["id"], context["places"]
    room = places.get(id)
    if room is None:
        raise ProblemError(404, "unknown-room", "No such room", f"There is no room {id!r}{nearest(id, places)}.")
    room = places.get(room.parent, room)  # a zone stands on its room's page
    asked = checked(RoomAsked, dict(request.query_params), request, "address")
    start, end, span = _span(asked, context["now"])
    found = monitor.excursions(ExcursionQuery(start, end, room=room.id, newest_first=True), EXCURSIONS_MAX)
    points = [point for point in context["points"].values() if point.room == room.id]
    here = [room, *(place for place in places.values() if place.parent == room.id)]
    trends: Trends = monitor.trends
    strips = [(place, state_bands(trends.states(place.id, start, end), start, end)) for place in here]
    # a zone that is what its room is says nothing new
    strips = [(place, bands) for n, (place, bands) in enumerate(strips) if n == 0 or bands != strips[0][1]]
    return context | {
        "room": room, "zones": here[1:], "rooms": [place for place in places.values() if place.parent is None], "start": start,
        "end": end, "span": span, "spans": SPANS, "earlier": _moved(start, end, -1), "later": _moved(start, end, 1),
        "excursions": found, "strips": strips, "said": asked.said,
        **trends_of(request, context, points, start, end),
    }  # fmt: skip


def trends_of(
    request: Request, context: dict[str, Any], points: list[PointView], start: int, end: int, of: Excursion | AlarmView | None = None
) -> dict[str, Any]:
    """Figures of points over [start, end), and strips of doors; with the limits at the end, of an excursion those at its onset."""
    monitor: Monitor = request.app.state.monitor
    views = {point.id: point for point in points}
    rooms = {point.room for point in points}
    found = [one for room in rooms for one in monitor.excursions(ExcursionQuery(start, end, room=room), EXCURSIONS_MAX).items]
    figures, doors, language = [], [], language_of(request)
    for trend in monitor.trends.points(list(views), start, end, BUCKETS):
        point = views[trend.point]
        trend, limits = _judged(trend, of, end)
        if point.quantity == "door":
            doors.append((point, open_bands(trend.buckets)))
            continue

        def text(value: float, point: PointView = point) -> str:
            return value_text(value, point.quantity, point.resolution, language=language)

        picture = picture_of(trend, point, found, start, end, context["times"], text)
        table = trend.buckets.joined(max(1, -(-len(trend.buckets) // ROWS)))
        whole = trend.buckets.joined(len(trend.buckets))
        number = sum(one.point == point.id for one in found)
        figures.append({"point": point, "picture": picture, "table": table, "whole": whole, "excursions": number, "limits": limits})
    marked = {point: alarms for room in rooms for point, alarms in held(monitor, room).items()}
    return {"figures": figures, "doors": doors, "held": marked}


def _judged(trend: PointTrend, of: Excursion | AlarmView | None, end: int) -> tuple[PointTrend, tuple[LimitInForce, ...]]:
    """A trend and the limits to name: with the one that an excursion broke, also where what is known to have been in force lacks it."""
    limits = trend.limits_at(end if of is None else of.onset)
    if of is None or of.limit is None or any(one.level == of.level and of.limit in (one.below, one.above) for one in limits):
        return trend, limits
    above = of.peak is not None and of.peak > of.limit
    own = LimitInForce(of.rule, of.level, *((of.limit, None) if above else (None, of.limit)))
    return replace(trend, limits=(*trend.limits, LimitSpan(of.onset, end, (own,)))), (*limits, own)


def _span(asked: RoomAsked, now: int) -> tuple[int, int, str]:
    if asked.start is None and asked.end is None:
        name = asked.span if asked.span in SPANS else "h8"
        return now - SPANS[name], now, name
    end = now if asked.end is None else asked.end
    start = end - SPANS["h8"] if asked.start is None else asked.start
    if not SPAN_NS_MIN <= end - start <= SPAN_NS_MAX:
        raise ProblemError(400, "bad-span", "That span cannot be shown", "A span of time is at least one minute and at most 93 days long.")
    return start, end, ""


def _moved(start: int, end: int, by: int) -> str:
    by *= end - start
    return "?" + urlencode({"from": format_time(start + by), "to": format_time(end + by)})
