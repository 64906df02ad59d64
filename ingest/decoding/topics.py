"""Topics: which point or place a message speaks of, or why it speaks of none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from facility.site import Facility, Point
from ingest.arrivals import Reason

NEVER_NS = 2**63 - 1
SHAPE = "renrum/<site>/<room or zone>/<point>"
LARGEST_PAYLOAD_BYTES = 1024 * 1024


class NotUnderstood(Exception):
    """A message or an element of one goes to quarantine, with its reason and the detail for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason.value
        self.detail = readable(detail)
        super().__init__(f"{self.reason}: {self.detail}")


def refuse_large(payload: bytes) -> None:
    """Raises NotUnderstood for a payload that is larger than any that is read."""
    if len(payload) > LARGEST_PAYLOAD_BYTES:
        raise NotUnderstood(Reason.TOO_LARGE, f"{len(payload)} bytes; at most {LARGEST_PAYLOAD_BYTES} are read")


def readable(text: str) -> str:
    """Foreign text for a person: at most 200 characters, without lone surrogates, so that it can be stored and shown."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 200 else text[:199] + "…"


@dataclass(frozen=True, slots=True)
class Addressed:
    """The point that a topic names: its number in the journal, and from when on it is retired."""

    number: int
    point: Point
    retired_ns: int = NEVER_NS


class Topics:
    """Every topic that the facility speaks on; a point is reached under its room's id and under its zone's."""

    def __init__(self, facility: Facility, number_of: Mapping[str, int]) -> None:
        self._facility = facility
        root = f"renrum/{facility.site.id}"
        self.points: dict[str, Addressed] = {}
        for point in facility.measured:
            retired_ns = NEVER_NS if point.retired_ns is None else point.retired_ns
            addressed = Addressed(number_of[point.id], point, retired_ns)
            for place in {point.room, point.place}:
                self.points[f"{root}/{place}/{point.id}"] = addressed
        self.places = {f"{root}/{place.id}/occupancy": place.id for place in facility.places}

    def why_unknown(self, topic: str) -> NotUnderstood:
        """The reason why a topic is in neither `points` nor `places`."""
        levels = topic.split("/")
        if len(levels) != 4 or levels[0] != "renrum":
            return NotUnderstood(Reason.TOPIC_UNKNOWN, f"expected {SHAPE}, not {topic}")
        _, site, place, leaf = levels
        if site != self._facility.site.id:
            return NotUnderstood(Reason.TOPIC_UNKNOWN, f"this is site {self._facility.site.id}, not {site}")
        if leaf == "batch":
            return NotUnderstood(Reason.TOPIC_UNKNOWN, "batch messages are not read by this version")
        point = self._facility.point_by_id.get(leaf)
        if place not in self._facility.place_by_id:
            return NotUnderstood(Reason.PLACE_UNKNOWN, f"no room or zone {place} in the facility file")
        if point is None:
            return NotUnderstood(Reason.POINT_UNKNOWN, f"no point {leaf} in the facility file")
        if point.derived is not None:
            return NotUnderstood(Reason.POINT_UNKNOWN, f"{leaf} is derived of other points: nobody can report it")
        return NotUnderstood(Reason.PLACE_MISMATCH, f"{point.id} stands in {point.place}, not in {place}")
