"""From the console into Grafana: the uids of the dashboards, and the right one at the right time for a point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from dashboards.views import PlaceView, PointView

OVERVIEW, ROOM, CASCADE, PARTICLES = "renrum-overview", "renrum-room", "renrum-cascade", "renrum-particles"
CLIMATE, EVENTS, STORAGE, PIPELINE = "renrum-climate", "renrum-events", "renrum-storage", "renrum-pipeline"
"""The uids of the dashboards: they stand in bookmarks, so they never change."""
STORAGE_TYPES = ("incubator", "fridge", "freezer_20", "freezer_80", "ln2")
"""The types of places that the dashboard of storage units shows."""
BEFORE_NS = AFTER_NS = 30 * 60 * 10**9
_BY_QUANTITY = {
    "differential_pressure": CASCADE,
    "particles_0_5um": PARTICLES,
    "particles_5_0um": PARTICLES,
    "temperature": CLIMATE,
    "relative_humidity": CLIMATE,
}


@dataclass(frozen=True)
class TrendLinks:
    """Links to the Grafana at the address `grafana`, without a slash at its end; empty texts when that is empty."""

    grafana: str
    points: Mapping[str, PointView]
    places: Mapping[str, PlaceView]

    def of(self, point: str, begin: int, end: int | None) -> str:
        """The dashboard that shows a point, from half an hour before `begin` to half an hour after `end`, to now without one (ns UTC)."""
        known = self.points.get(point)
        if not self.grafana or known is None:
            return ""
        place = self.places.get(known.zone or known.room)
        uid = STORAGE if place and place.type in STORAGE_TYPES else _BY_QUANTITY.get(known.quantity, ROOM)
        upto = "now" if end is None else str((end + AFTER_NS) // 10**6)
        shown = {"from": str((begin - BEFORE_NS) // 10**6), "to": upto, "var-room": known.room, "var-point": point}
        return f"{self.grafana}/d/{uid}?{urlencode(shown)}"

    def room(self, room: str) -> str:
        """The dashboard of a room."""
        return f"{self.grafana}/d/{ROOM}?{urlencode({'var-room': room})}" if self.grafana else ""
