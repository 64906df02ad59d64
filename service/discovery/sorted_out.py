"""What was heard, sorted by what is configured: known, native but unknown, foreign, and what nothing can be made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from facility.site import Facility
from facility.sources.source import Source
from ingest.decoding import fields
from ingest.decoding.topics import NotUnderstood, Topics
from service.discovery import guesses
from service.discovery.drafts import Draft, DraftPoint, drafts_of
from service.discovery.heard import Heard, Topic
from service.discovery.text import flow, scalar

SPARKPLUG = ("spBv1.0",)
ROOM = "discovered"
"""The room of the facility snippet in which points stand that nobody has given a place."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A native topic that is not configured: the room and point it names, and why it is not understood."""

    topic: Topic
    room: str
    point: str
    reason: str
    detail: str


@dataclass(slots=True)
class Discovery:
    """What the broker says: how many topics are configured, and the rest by kind."""

    configured: int = 0
    unknown: list[Unknown] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)
    sparkplug: list[Topic] = field(default_factory=list)
    others: list[Topic] = field(default_factory=list)
    topics: Mapping[str, Topic] = field(default_factory=dict)

    @property
    def nothing(self) -> bool:
        """Whether everything is configured."""
        return not (self.unknown or self.drafts or self.sparkplug or self.others)


def sort_out(heard: Heard, facility: Facility | None, sources: Sequence[Source]) -> Discovery:
    """Sort what was heard; without a facility nothing is configured, and every native topic is unknown."""
    found = Discovery(topics=heard.topics)
    topics = None if facility is None else Topics(facility, {point.id: number for number, point in enumerate(facility.points)})
    filters = [filter for source in sources for filter in source.filters]
    foreign: list[Topic] = []
    for topic in sorted(heard.topics.values(), key=lambda topic: topic.name):
        levels = topic.name.split("/")
        if "$marker" in levels:
            continue
        ours = topics is not None and (topic.name in topics.points or topic.name in topics.places)
        if ours or any(filter.match(topic.name) is not None for filter in filters):
            found.configured += 1
        elif levels[0] == "renrum" and len(levels) == 4:
            why = None if topics is None else topics.why_unknown(topic.name)
            reason, detail = ("point_unknown", "no configuration was read") if why is None else (why.reason, why.detail)
            found.unknown.append(Unknown(topic, levels[2], levels[3], reason, detail))
        elif levels[0] in SPARKPLUG:
            found.sparkplug.append(topic)
        else:
            foreign.append(topic)
    known = () if facility is None else facility.point_by_id
    taken = [unknown.point for unknown in found.unknown]
    found.drafts, found.others = drafts_of(foreign, filters, [*known, *taken])
    return found


def native_point(unknown: Unknown) -> DraftPoint | None:
    """The point that a native topic speaks of, as far as its payload tells; None where that is no reading."""
    try:
        _, element = fields.split(unknown.topic.sample)[0]
    except NotUnderstood:
        return None
    if not isinstance(element, dict) or isinstance(element, fields.Repeated) or not {"value", "count"} & element.keys():
        return None
    unit = element.get("unit")
    guess = guesses.measured(unknown.point, unit if isinstance(unit, str) else "1/m3" if "count" in element else "")
    return DraftPoint(unknown.point, unknown.point, guess, guesses.period(unknown.topic.interval_s))


def facility_lines(discovery: Discovery, facility: Facility | None) -> list[str]:
    """Points for facility.yaml, by room, every guess marked; empty when there is none to add."""
    rooms: dict[str, list[DraftPoint]] = defaultdict(list)
    for unknown in discovery.unknown:
        point = native_point(unknown) if unknown.reason in ("point_unknown", "place_unknown") else None
        if point is not None and point.id not in {other.id for points in rooms.values() for other in points}:
            rooms[unknown.room].append(point)
    for draft in discovery.drafts:
        rooms[ROOM] += draft.points
    rooms = defaultdict(list, {room: points for room, points in rooms.items() if points})
    if not rooms:
        return []
    lines = []
    declared = {point.guess.quantity: point.guess.unit for points in rooms.values() for point in points if point.guess.declared}
    if declared:
        lines += [
            "quantities:  # guessed: no quantity that is known fits these",
            *(f"  {name}: {scalar(unit)}" for name, unit in declared.items()),
        ]
    lines.append("rooms:")
    places = {} if facility is None else facility.place_by_id
    for room, points in rooms.items():
        place = places.get(room)
        note = "  # a new room" if place is None and room != ROOM else "  # put these where they stand" if place is None else ""
        if place is not None:
            note = f"  # is there: add these points to it{'' if place.parent is None else f', a zone of {place.parent}'}"
        lines += [f"  - id: {scalar(room)}{note}", "    points:"]
        for point in points:
            cells = {"id": point.id, "quantity": point.guess.quantity, "unit": point.guess.unit, "period": point.period}
            lines.append(f"      - {flow(cells)}  # guessed: quantity, unit, period")
    return lines


def sources_lines(discovery: Discovery) -> list[str]:
    """A sources.yaml of the drafts; empty when there is none."""
    lines = ["sources:"] if discovery.drafts else []
    for draft in discovery.drafts:
        lines += ["", *draft.lines()] if len(lines) > 1 else draft.lines()
    return lines
