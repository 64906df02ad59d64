"""The part of the obvious evaluator that goes by `received`: docs/rules.md, "stale" and "clock_ahead", in plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from facility.site import Place, Point
from rules.excursion import Excursion
from rules.rule import Rule
from tests.support.admitted import Admitted, Reading, arrived

MINUTE = 60 * 10**9


@dataclass(frozen=True, slots=True)
class Lived:
    """A source was born or died at a moment, after all that was received then; it speaks for these points."""

    at: int
    born: bool
    points: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """When an excursion began and ended, and when each was certain; the latter two None while it is open."""

    onset: int
    raised: int
    ended: int | None = None
    cleared: int | None = None
    closed_by: str = ""


Outage = tuple[int, int]
"""A point is out of service from the one to before the other."""


def in_service(time: int, outages: Sequence[Outage]) -> bool:
    return not any(begin <= time < end for begin, end in outages)


# Points that report on change


def with_copies(point: Point, readings: Sequence[Reading], lives: Sequence[Lived], clock: int) -> list[Reading]:
    """The readings and their copies at `t + k * period`: before the next reading, else up to the clock, and while its source lives."""
    assert point.period_ns is not None
    both: list[Reading] = []
    for number, reading in enumerate(readings):
        ends = [readings[number + 1].time if number + 1 < len(readings) else clock + 1]
        ends += [point.retired_ns] if point.retired_ns is not None else []
        ends += deaths(reading, lives)
        both.append(reading)
        both += [replace(reading, time=time) for time in range(reading.time + point.period_ns, min(ends), point.period_ns)]
    return both


def deaths(reading: Reading, lives: Sequence[Lived]) -> list[int]:
    """When the source of a reading died, from when it was received on."""
    return [life.at for life in lives if not life.born and reading.point in life.points and life.at >= reading.received]


# stale


def silences(
    rule: Rule,
    point: Point,
    readings: Sequence[Reading],
    lives: Sequence[Lived],
    start: int,
    clock: int,
    outages: Sequence[Outage] = (),
) -> list[Span]:
    """`stale`: on `received`; `start` is the smallest `received` of all rows, `clock` the largest moment there is, both included."""
    assert rule.after is not None
    after = rule.after.of(point.period_ns)
    events = [(reading.received, 0, "reading") for reading in readings]
    events += [(life.at, 1, "born" if life.born else "died") for life in lives if point.id in life.points]
    events = [event for event in events if in_service(event[0], outages) or (point.on_change and event[2] != "reading")]
    events += [(begin, 2, "out") for begin, _ in outages] + [(end, -1, "back") for _, end in outages if end <= clock]
    spans: list[Span] = []
    last = start
    is_open = dead = out = False
    counts = True  # whether silence is one; the source of a point that reports on change lives on once it was heard
    for at, _, what in sorted(events, key=lambda event: event[:2]):  # births and deaths of one moment keep their order
        if not is_open and counts and not out and at > last + after:
            spans.append(Span(onset=last, raised=last + after))
            is_open = True
        if what in ("born", "died") and not in_service(at, outages):
            counts = what == "died"
        elif what == "out":
            if is_open:
                spans[-1] = replace(spans[-1], ended=at, cleared=at, closed_by="out_of_service")
            counts = counts or dead
            out, is_open, dead = True, False, False
        elif what == "back":
            out, last = False, at
        elif what == "died" and not dead:
            if not is_open:
                spans.append(Span(onset=at, raised=at))
            is_open = dead = True
        elif what == "reading" or (what == "born" and dead):
            if is_open:
                spans[-1] = replace(spans[-1], ended=at, cleared=at)
            last = at
            is_open = dead = False
        counts = counts and not (point.on_change and what in ("reading", "born"))
    if not is_open and counts and not out and clock >= last + after:
        spans.append(Span(onset=last, raised=last + after))
    return spans


# state


def stays(rule: Rule, place: Place, admitted: Admitted, clock: int) -> list[Excursion]:
    """`state`: of each maximal run of a place's messages that say one state, whether it lasts longer than that may; up to the clock."""
    messages = sorted((state.time, state.state) for state in admitted.states if state.place == place.id)
    found = []
    for number, (begin, state) in enumerate(messages):
        if number and messages[number - 1][1] == state:
            continue
        ends = [time for time, other in messages[number:] if other != state]
        at_most = dict(place.at_most_ns).get(state)
        if at_most is not None and begin + at_most <= clock and (not ends or ends[0] > begin + at_most):
            over = ends[0] if ends else None
            about = Excursion(rule.id, f"{place.id}/occupancy", rule.level, begin, begin + at_most, over, over)
            found.append(replace(about, room=place.parent or place.id, zone=place.id if place.parent else "", occupancy=state))
    return found


# clock_ahead


def clocks(rule: Rule, selected: Sequence[Point], admitted: Admitted, clock: int) -> list[Excursion]:
    """The excursions of a `clock_ahead` rule: moment after moment, what was stored, what was refused, what the clock reached."""
    points = {point.id: point for point in selected}
    refused = [(arrived(row), row.point) for row, reason in admitted.quarantined if reason == "clock_ahead" and row.point in points]
    stored = [(reading.received, reading.point) for reading in admitted.readings if reading.point in points]
    moments = {moment for moment, _ in refused + stored} | {moment + MINUTE for moment, _ in refused}
    runs: dict[str, int] = {}
    opened: dict[str, Excursion] = {}
    done: list[Excursion] = []

    def over(id: str, moment: int) -> None:
        if id in opened:
            done.append(replace(opened.pop(id), ended=moment, cleared=moment))

    for moment in sorted(moment for moment in moments if moment <= clock):
        before = [received for received, _ in refused if moment - MINUTE < received < moment]
        lately = {id for received, id in refused if moment - MINUTE < received <= moment}
        refused_now = {id for received, id in refused if received == moment}
        stored_now = {id for received, id in stored if received == moment}
        for id in stored_now:
            runs.pop(id, None)
            over(id, moment)
        if stored_now and not before:
            over("$clock", moment)
        if "$clock" not in opened:
            runs |= {id: moment for id in refused_now if id not in runs and id not in opened}
            if refused_now and len(lately) >= 2 and len(lately) > len(points) / 2:
                opened["$clock"] = Excursion(rule.id, "$clock", rule.level, min([*before, moment]), moment)
                runs = {}
        for id in [id for id, start in runs.items() if moment >= start + MINUTE]:
            point = points[id]
            onset = runs.pop(id)
            opened[id] = Excursion(rule.id, id, rule.level, onset, onset + MINUTE, zone=point.zone or "", room=point.room, unit=point.unit)
    return done + list(opened.values())
