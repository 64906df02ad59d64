"""The overview: alarms that stand, rooms, recent excursions, the system; and its parts for live updates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from alerts.lifecycle.lifecycle import STATES
from alerts.people.permissions import READ
from dashboards.access import Gate
from dashboards.console import view
from dashboards.console.frame import held, shown, surroundings
from dashboards.monitor import Monitor
from dashboards.problems_json import ProblemError
from dashboards.views import AlarmQuery, ExcursionQuery

STATIC = Path(__file__).parent / "static"
PARTS = ("summary", "alarms", "rooms", "excursions", "system")
ALARMS_READ, ALARMS_MAX = 500, 12
"""So many are looked at for those that are shown, one for a large group."""
EXCURSIONS_MAX = 25
RECENT_NS = 24 * 3600 * 10**9


class Static(StaticFiles):
    """Our own files; browsers ask each time whether they changed, so that an upgrade is seen at once."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


def routes() -> list[BaseRoute]:
    return [
        Gate("/", home, READ),
        Gate("/parts/{part}", part_of_home, READ),
        Mount("/static", Static(directory=STATIC), name="static"),
    ]


async def home(request: Request) -> Response:
    return await shown(request, "console.html", _overview)


async def part_of_home(request: Request) -> Response:
    """One part of the page as HTML: what changed is rendered where it was rendered first."""
    part = request.path_params["part"]
    if part not in PARTS:
        raise ProblemError(404, "unknown-part", "No such part", f"There is no part {part!r}; there are {', '.join(PARTS)}.")
    return await shown(request, f"{part}.html", _overview)


def _overview(request: Request) -> dict[str, Any]:
    """What the page needs, or the part of it that is asked for."""
    monitor: Monitor = request.app.state.monitor
    part = request.path_params.get("part")
    context = surroundings(request)
    if part in (None, "rooms"):
        context["held"] = held(monitor)
        context["tiles"] = view.tiles(context["places"].values(), context["points"].values())
    if part in (None, "summary", "alarms"):
        standing = monitor.standing(ALARMS_READ)
        shown_alarms = view.folded(standing, ALARMS_MAX)
        context |= {"standing": standing, "folded": shown_alarms, "hidden": standing.total - sum(1 + one.others for one in shown_alarms)}
    if part in (None, "summary"):
        context["flagged"] = {flag: monitor.alarms(AlarmQuery(STATES, flag), 1).total for flag in ("shelved", "suppressed")}
    if part in (None, "excursions"):
        recent = ExcursionQuery(start=context["now"] - RECENT_NS, newest_first=True)
        context["excursions"] = monitor.excursions(recent, EXCURSIONS_MAX)
    if part in (None, "system"):
        context |= {"health": monitor.health(), "counts": monitor.counts()}
    return context
