"""Words to tell a story of readings in: small facilities, rows a second apart, rules in one call, excursions in seconds."""

from __future__ import annotations

import math
from dataclasses import replace

from facility.durations import parse_duration
from facility.site import SECOND_NS, Facility, Place, Point, Site
from rules.excursion import Excursion
from rules.rule import Bound, Rule
from tests.support.admitted import Row
from tests.support.reference import Outcome, evaluate
from tests.support.tables import PlainTable

NAN = math.nan
AT_10 = Bound(10.0)
AT_4 = Bound(4.0)

Short = tuple[float, float, float | None, float | None, float | None, int]


def ns(seconds: float) -> int:
    return round(seconds * SECOND_NS)


def s(time_ns: int | None) -> float | None:
    return None if time_ns is None else time_ns / SECOND_NS


def one_room(**changes: object) -> Facility:
    """Room lab with the point t, one reading a second expected; `changes` are of the point."""
    point = replace(Point("t", "temperature", "degC", "lab", grade="B", period_ns=SECOND_NS), **changes)  # type: ignore[arg-type]
    return Facility(Site("site", "Site"), (Place("lab", "Lab", "B", points=("t",)),), (point,))


def bench(clean_up: float = 0, room_occupancy: str = "in_operation") -> Facility:
    """Room lab with point t, and the zone hood in it with point h."""
    lab = Place("lab", "Lab", "B", occupancy=room_occupancy, clean_up_ns=ns(clean_up), points=("t",))
    hood = Place("hood", "Hood", "A", "bsc", parent="lab", points=("h",))
    points = (Point("t", "temperature", "degC", "lab"), Point("h", "temperature", "degC", "lab", zone="hood"))
    return Facility(Site("site", "Site"), (lab, hood), points)


def rows(*values: float | str | None, start: float = 0, step: float = 1, point: str = "t") -> list[Row]:
    """One row each `step` seconds; a text is the quality of a reading of 7, or a room's state; None leaves that second out."""
    made = []
    for number, value in enumerate(values):
        time = ns(start + number * step)
        if isinstance(value, str) and not point.endswith("/occupancy"):
            made.append(Row(point, time, 7.0, value))
        elif value is not None:
            made.append(Row(point, time, value))
    return made


def above(
    deadband: float = 0.0,
    on: str = "0s",
    off: str = "0s",
    gap: str | None = None,
    limit: Bound | None = AT_10,
    below: Bound | None = None,
    level: str = "alert",
) -> Rule:
    max_gap = None if gap is None else parse_duration(gap)
    on_delay, off_delay = parse_duration(on), parse_duration(off)
    return Rule(
        "r", "limit", level=level, above=limit, below=below, deadband=deadband, on_delay=on_delay, off_delay=off_delay, max_gap=max_gap
    )


def below(deadband: float = 0.0) -> Rule:
    return above(deadband, limit=None, below=AT_4)


def stale(after: str = "5s") -> Rule:
    return Rule("r", "stale", level="technical", after=parse_duration(after))


def judged(rule: Rule, recording: list[Row], facility: Facility | None = None, table: PlainTable | None = None) -> Outcome:
    return evaluate(facility or one_room(), (rule,), {"limits": table or PlainTable()}, recording)


def short(excursion: Excursion) -> Short:
    """onset, raised, ended, cleared (s), peak, readings"""
    e = excursion
    return (e.onset / SECOND_NS, e.raised / SECOND_NS, s(e.ended), s(e.cleared), e.peak, e.readings)


def found(rule: Rule, recording: list[Row], facility: Facility | None = None, table: PlainTable | None = None) -> list[Short]:
    return [short(e) for e in judged(rule, recording, facility, table).excursions]


def beside(facility: Facility) -> Facility:
    """The same with a second point u in the room, which nobody's rule is about: its rows move the clock."""
    return replace(facility, points=(*facility.points, replace(facility.points[0], id="u")))
