"""The slow, obvious evaluator: docs/rules.md in plain Python, to be read beside that page.

It shares no code with the engine, only the values that go in (Facility, Rule) and come out (Excursion). It holds everything in lists,
looks everything up by walking them, and follows the headings of the page; "Readings" and "Rooms' states" are in admitted.py.
Times and durations are int ns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Protocol

from facility.site import Facility, Point
from rules.excursion import Excursion
from rules.rule import Bound, Rule
from tests.support.admitted import Admitted, Reading, Row, State, admit, arrived, occupancy, occupancy_of_limits, with_received

__all__ = ["Lived", "Outcome", "Row", "Sides", "Table", "evaluate"]

BREACHING, RETURNED, NEITHER, EXCLUDED = "breaching", "returned", "neither", "excluded"


class Sides(Protocol):
    """A cell of a limit table; None where the side is not specified."""

    @property
    def below(self) -> float | None: ...
    @property
    def above(self) -> float | None: ...


class Table(Protocol):
    """A limit table."""

    def cell(self, point: Point, occupancy: str, level: str) -> Sides | None: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """The excursions, and how many rows (readings and state messages together) were stored, were duplicates, went to quarantine."""

    excursions: list[Excursion]
    stored: int
    duplicates: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class Lived:
    """A source was born or died at a moment, after all that was received then; it speaks for these points."""

    at: int
    born: bool
    points: tuple[str, ...]


def evaluate(
    facility: Facility, rules: Sequence[Rule], tables: Mapping[str, Table], rows: Sequence[Row], lives: Sequence[Lived] = ()
) -> Outcome:
    """All excursions of a recording at the moment of its largest `received`, sorted by onset, rule, point."""
    rows = with_received(rows)
    admitted = admit(facility, rows)
    excursions: list[Excursion] = []
    for rule in rules:
        for point in facility.points:
            if selects(rule, point):
                excursions += judge(facility, rule, point, tables, admitted, rows, lives)
    excursions.sort(key=lambda e: (e.onset, e.rule, e.point))
    stored = len(admitted.readings) + len(admitted.states)
    return Outcome(excursions, stored, len(admitted.duplicates), len(admitted.quarantined))


# Kinds


def selects(rule: Rule, point: Point) -> bool:
    """All given attributes must match; `room` means the room's own points, not its zones'."""
    own_room = point.room if point.zone is None else None
    given: list[tuple[tuple[str, ...], tuple[str | None, ...]]] = [
        (rule.select.point, (point.id,)),
        (rule.select.room, (own_room,)),
        (rule.select.zone, (point.zone,)),
        (rule.select.grade, (point.grade,)),
        (rule.select.quantity, (point.quantity,)),
        (rule.select.type, (point.type,)),
        (rule.select.tag, point.tags),
    ]
    return all(
        any(value is not None and fnmatchcase(value, pattern) for value in values for pattern in patterns)
        for patterns, values in given
        if patterns
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one reading; None where that side has none."""

    above: float | None
    below: float | None


@dataclass(frozen=True, slots=True)
class Judged:
    """What a kind says of one reading."""

    time: int
    value: float
    verdict: str
    limits: Limits = Limits(None, None)


def judge(
    facility: Facility,
    rule: Rule,
    point: Point,
    tables: Mapping[str, Table],
    admitted: Admitted,
    rows: Sequence[Row],
    lives: Sequence[Lived] = (),
) -> Iterator[Excursion]:
    """The excursions of one rule at one point."""
    readings = sorted((r for r in admitted.readings if r.point == point.id), key=lambda r: r.time)
    if rule.kind == "stale":
        clock = max([*map(arrived, rows), *(life.at for life in lives)], default=0)
        spans = silences(rule, point, readings, lives, start=min(map(arrived, rows), default=0), clock=clock)
        judged: list[Judged] = []
    elif rule.kind == "quality":
        judged = [Judged(r.time, r.value, BREACHING if r.quality == "bad" else RETURNED) for r in readings]
        spans = raised_and_cleared(rule, point, judged)
    elif rule.kind == "limit":
        judged = []
        for r in readings:
            if r.quality != "bad":
                limits = limits_at(facility, rule, point, tables, admitted.states, r.time)
                judged.append(Judged(r.time, r.value, verdict(rule, r.value, limits), limits or Limits(None, None)))
        spans = raised_and_cleared(rule, point, judged)
    else:
        raise NotImplementedError(rule.kind)
    for span in spans:
        inside = [j for j in judged if j.verdict != EXCLUDED and span.onset <= j.time and (span.ended is None or j.time < span.ended)]
        value, limit = peak(rule, inside) if rule.kind == "limit" else (None, None)
        yield Excursion(
            rule=rule.id,
            point=point.id,
            level=rule.level,
            onset=span.onset,
            raised=span.raised,
            ended=span.ended,
            cleared=span.cleared,
            peak=value,
            readings=len(inside),
            zone=point.zone or "",
            room=point.room,
            occupancy=occupancy(facility, admitted.states, point.place, span.onset),
            limit=limit,
            unit=point.unit,
        )


def limits_at(
    facility: Facility, rule: Rule, point: Point, tables: Mapping[str, Table], states: Sequence[State], time: int
) -> Limits | None:
    """The limits of the reading at `time`; None when its cell is not specified."""

    def side(bound: Bound | None, name: str) -> float | None:
        if bound is None:
            return None
        if not isinstance(bound.value, str):
            return float(bound.value)
        cell = tables[bound.value].cell(point, occupancy_of_limits(facility, states, point.place, time), rule.level)
        if cell is None:
            raise LookupError
        return cell.above if name == "above" else cell.below

    try:
        limits = Limits(above=side(rule.above, "above"), below=side(rule.below, "below"))
    except LookupError:
        return None
    return None if limits == Limits(None, None) else limits


def verdict(rule: Rule, value: float, limits: Limits | None) -> str:
    """Breaching, returned or neither, for `limit`; excluded without limits."""
    if limits is None:
        return EXCLUDED
    returned = True
    if limits.above is not None:
        assert rule.above is not None
        if value > limits.above or (rule.above.inclusive and value == limits.above):
            return BREACHING
        returned = returned and value <= limits.above - rule.deadband
    if limits.below is not None:
        assert rule.below is not None
        if value < limits.below or (rule.below.inclusive and value == limits.below):
            return BREACHING
        returned = returned and value >= limits.below + rule.deadband
    return RETURNED if returned else NEITHER


def peak(rule: Rule, inside: Sequence[Judged]) -> tuple[float, float | None]:
    """The peak and the limit it was measured against: the earliest of the largest, the smallest, or the farthest beyond its limit."""
    candidates: list[tuple[float, float, float | None]] = []  # how far, value, limit
    for judged in inside:
        above, below = judged.limits.above, judged.limits.below
        if rule.below is None:
            candidates.append((judged.value, judged.value, above))
        elif rule.above is None:
            candidates.append((-judged.value, judged.value, below))
        else:
            if above is not None:
                candidates.append((judged.value - above, judged.value, above))
            if below is not None:
                candidates.append((below - judged.value, judged.value, below))
    _, value, limit = max(candidates, key=lambda candidate: candidate[0])  # max() keeps the first on a tie
    return value, limit


# Raising, clearing, silence


@dataclass(frozen=True, slots=True)
class Span:
    """When an excursion began and ended, and when each was certain; the latter two None while it is open."""

    onset: int
    raised: int
    ended: int | None = None
    cleared: int | None = None


def raised_and_cleared(rule: Rule, point: Point, judged: Sequence[Judged]) -> list[Span]:
    """Walk the evaluated readings in time order; an excluded one is not evaluated and ends both runs."""
    on_delay = rule.on_delay.of(point.period_ns)
    off_delay = rule.off_delay.of(point.period_ns)
    max_gap = None if rule.max_gap is None else rule.max_gap.of(point.period_ns)
    spans: list[Span] = []
    is_open = False
    t0: int | None = None  # start of the breach run
    u0: int | None = None  # start of the return run
    previous: int | None = None  # time of the evaluated reading before
    for reading in judged:
        if reading.verdict == EXCLUDED:
            t0 = u0 = None
            continue
        if max_gap is not None and previous is not None and reading.time - previous > max_gap:
            t0 = u0 = None
        previous = reading.time
        if reading.verdict != BREACHING:
            t0 = None
        elif t0 is None:
            t0 = reading.time
        if reading.verdict != RETURNED:
            u0 = None
        elif u0 is None:
            u0 = reading.time
        if not is_open and t0 is not None and reading.time - t0 >= on_delay:
            spans.append(Span(onset=t0, raised=reading.time))
            is_open = True
        elif is_open and u0 is not None and reading.time - u0 >= off_delay:
            spans[-1] = replace(spans[-1], ended=u0, cleared=reading.time)
            is_open = False
    return spans


def silences(rule: Rule, point: Point, readings: Sequence[Reading], lives: Sequence[Lived], start: int, clock: int) -> list[Span]:
    """`stale`: on `received`; `start` is the smallest `received` of all rows, `clock` the largest moment there is, both included."""
    assert rule.after is not None
    after = rule.after.of(point.period_ns)
    events = [(reading.received, 0, "reading") for reading in readings]
    events += [(life.at, 1, "born" if life.born else "died") for life in lives if point.id in life.points]
    spans: list[Span] = []
    last = start
    is_open = dead = False
    for at, _, what in sorted(events, key=lambda event: event[:2]):  # births and deaths of one moment keep their order
        if not is_open and at > last + after:
            spans.append(Span(onset=last, raised=last + after))
            is_open = True
        if what == "died" and not dead:
            if not is_open:
                spans.append(Span(onset=at, raised=at))
            is_open = dead = True
        elif what == "reading" or (what == "born" and dead):
            if is_open:
                spans[-1] = replace(spans[-1], ended=at, cleared=at)
            last = at
            is_open = dead = False
    if not is_open and clock >= last + after:
        spans.append(Span(onset=last, raised=last + after))
    return spans
