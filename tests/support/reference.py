"""The slow, obvious evaluator: docs/rules.md in plain Python, to be read beside that page.

It shares no code with the engine, only the values that go in (Facility, Rule) and come out (Excursion). It holds everything in lists,
looks everything up by walking them, and follows the headings of the page; "Readings" and "Rooms' states" are in admitted.py, what the
kinds say in reference_kinds.py.
Times and durations are int ns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Protocol

from facility.site import SECOND_NS, Facility, Point
from rules.excursion import Excursion
from rules.rule import Bound, Rule
from tests.support.admitted import Admitted, Reading, Row, State, admit, arrived, occupancy, occupancy_of_limits, with_received
from tests.support.reference_derived import with_derived
from tests.support.reference_kinds import (
    BREACHING,
    NEITHER,
    NO_LIMITS,
    RETURNED,
    Evaluated,
    Limits,
    against,
    beyond,
    count,
    flatline,
    mean_of,
    rate,
    recovery,
)  # fmt: skip
from tests.support.reference_received import Lived, Outage, Span, clocks, deaths, in_service, silences, stays, with_copies

__all__ = ["Lived", "Outage", "Outcome", "Row", "Sides", "Table", "evaluate"]


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


def evaluate(
    facility: Facility,
    rules: Sequence[Rule],
    tables: Mapping[str, Table],
    rows: Sequence[Row],
    lives: Sequence[Lived] = (),
    outages: Mapping[str, Sequence[Outage]] = MappingProxyType({}),
    now: int | None = None,
) -> Outcome:
    """All excursions of a recording at the moment of its largest `received`, sorted by onset, rule, point; `outages` are by point.

    Those of a journal `now`, when copies wait until they have settled.
    """
    rows = with_received(rows)
    admitted = with_derived(facility, admit(facility, rows))
    excursions: list[Excursion] = []
    for rule in rules:
        for point in facility.points:
            of_instruments = point.derived and rule.kind in ("stale", "quality", "flatline")
            if selects(rule, point) and rule.kind not in ("clock_ahead", "state") and not of_instruments:
                excursions += judge(facility, rule, point, tables, admitted, rows, lives, outages.get(point.id, ()), now)
        for place in facility.places if rule.kind == "state" else ():
            if selects(rule, facility.state_points[place.id]):
                clock = max(map(arrived, rows), default=0) if now is None else now - 2 * SECOND_NS
                excursions += stays(rule, place, admitted, clock)
        if rule.kind == "clock_ahead":
            points = [point for point in facility.points if selects(rule, point) and not point.derived]
            excursions += clocks(rule, points, admitted, max(map(arrived, rows), default=0))
    excursions.sort(key=lambda e: (e.onset, e.rule, e.point))
    stored = len([reading for reading in admitted.readings if not facility.point_by_id[reading.point].derived]) + len(admitted.states)
    return Outcome(excursions, stored, len(admitted.duplicates), len(admitted.quarantined))


# Kinds


def of_point(admitted: Admitted, id: str) -> list[Reading]:
    return sorted((reading for reading in admitted.readings if reading.point == id), key=lambda reading: reading.time)


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
class Judged:
    """What a kind says of an evaluated reading; `measured` is what its peak is taken of, None for a `mean` that is none yet."""

    time: int
    stretch: int
    verdict: str
    measured: float | None = None
    limits: Limits = NO_LIMITS


def judge(
    facility: Facility,
    rule: Rule,
    point: Point,
    tables: Mapping[str, Table],
    admitted: Admitted,
    rows: Sequence[Row],
    lives: Sequence[Lived] = (),
    outages: Sequence[Outage] = (),
    now: int | None = None,
) -> Iterator[Excursion]:
    """The excursions of one rule at one point."""
    readings = of_point(admitted, point.id)
    start = min(map(arrived, rows), default=0)
    clock = max([*map(arrived, rows), *(life.at for life in lives)], default=0)
    judged: list[Judged] = []
    if rule.kind == "stale":
        spans = silences(rule, point, readings, lives, start, clock, outages)
    else:
        spans = []
        if point.on_change and rule.kind != "flatline":
            settled = clock if now is None else now - max(settle(rule), point.period_ns or 0)
            readings = with_copies(point, readings, lives, settled)
        begins = [begin for begin, _ in outages]
        for since, upto in zip([None, *begins], [*begins, None], strict=True):
            told = [one for one in readings if (since is None or one.time >= since) and (upto is None or one.time < upto)]
            told = [one for one in told if in_service(one.time, outages)]
            part: list[Judged] = []
            for number, stretch in enumerate(stretches(facility, rule, point, tables, admitted, lives, told)):
                if rule.kind == "recovery":
                    verdicts = recovery(facility, rule, point, admitted.states, stretch)
                    part += [Judged(r.time, number, said, r.value, r.limits) for r, said in zip(stretch, verdicts, strict=True)]
                    continue
                part += [said_of(rule, point, stretch[: newest + 1], number) for newest in range(len(stretch))]
            found = raised_and_cleared(rule, point, part)
            if upto is not None and found and found[-1].ended is None:
                found[-1] = replace(found[-1], ended=upto, cleared=upto, closed_by="out_of_service")
            spans += found
            judged += part
    for span in spans:
        inside = [j for j in judged if span.onset <= j.time and (span.ended is None or j.time < span.ended)]
        value, limit = peak(rule, inside) if rule.kind in ("limit", "count", "mean", "recovery") else (None, None)
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
            closed_by=span.closed_by,
        )


def stretches(
    facility: Facility,
    rule: Rule,
    point: Point,
    tables: Mapping[str, Table],
    admitted: Admitted,
    lives: Sequence[Lived],
    readings: Sequence[Reading],
) -> list[list[Evaluated]]:
    """The evaluated ones of a point's readings in time order, cut where an exclusion or a gap lies between two."""
    max_gap = None if rule.max_gap is None else rule.max_gap.of(point.period_ns)
    found: list[list[Evaluated]] = [[]]
    for reading in readings:
        if reading.quality == "bad" and rule.kind != "quality":
            continue
        if passed_over(facility, rule, point, admitted, lives, reading.time):
            continue
        limits = limits_at(facility, rule, point, tables, admitted.states, reading.time)
        excluded_by_state = rule.during and occupancy(facility, admitted.states, point.place, reading.time) not in rule.during
        if excluded_by_state or limits is None:
            found.append([])
            continue
        if max_gap is not None and found[-1] and reading.time - found[-1][-1].time > max_gap:
            found.append([])
        found[-1].append(Evaluated(reading.time, reading.value, reading.quality, limits))
    return found


def said_of(rule: Rule, point: Point, stretch: Sequence[Evaluated], number: int) -> Judged:
    """What the kind says of the last reading of `stretch`, which holds all evaluated readings of its stretch up to that one."""
    last = stretch[-1]
    if rule.kind == "quality":
        return Judged(last.time, number, BREACHING if last.quality == "bad" else RETURNED)
    if rule.kind == "limit":
        return Judged(last.time, number, against(rule, last.value, last.limits), last.value, last.limits)
    if rule.kind == "rate":
        return Judged(last.time, number, rate(rule, point, stretch))
    if rule.kind == "flatline":
        return Judged(last.time, number, flatline(rule, point, stretch))
    if rule.kind == "count":
        return Judged(last.time, number, count(rule, stretch), last.value, last.limits)
    assert rule.kind == "mean", rule.kind
    mean = mean_of(rule, point, stretch)
    return Judged(last.time, number, NEITHER if mean is None else against(rule, mean, last.limits), mean, last.limits)


def limits_at(
    facility: Facility, rule: Rule, point: Point, tables: Mapping[str, Table], states: Sequence[State], time: int
) -> Limits | None:
    """The limits of the reading at `time`, empty for the kinds without; None when its cell is not specified."""

    def side(bound: Bound | None, name: str) -> float | None:
        if bound is None:
            return None
        if not isinstance(bound.value, str):
            return float(bound.value)
        state = "at_rest" if rule.kind == "recovery" else occupancy_of_limits(facility, states, point.place, time)
        cell = tables[bound.value].cell(point, state, rule.level)
        if cell is None:
            raise LookupError
        return cell.above if name == "above" else cell.below

    try:
        limits = Limits(above=side(rule.above, "above"), below=side(rule.below, "below"))
    except LookupError:
        return None
    kind_has_limits = rule.above is not None or rule.below is not None
    return None if kind_has_limits and limits == NO_LIMITS else limits


def peak(rule: Rule, inside: Sequence[Judged]) -> tuple[float, float | None]:
    """The peak and the limit it was measured against: the earliest of the largest, the smallest, or the farthest beyond its limit."""
    candidates: list[tuple[float, float, float | None]] = []  # how far, value, limit
    for judged in inside:
        value, above, below = judged.measured, judged.limits.above, judged.limits.below
        if value is None:
            continue
        if rule.below is None:
            candidates.append((value, value, above))
        elif rule.above is None:
            candidates.append((-value, value, below))
        else:
            if above is not None:
                candidates.append((value - above, value, above))
            if below is not None:
                candidates.append((below - value, value, below))
    _, value, limit = max(candidates, key=lambda candidate: candidate[0])  # max() keeps the first on a tie
    return value, limit


# while and unless


def passed_over(facility: Facility, rule: Rule, point: Point, admitted: Admitted, lives: Sequence[Lived], time: int) -> bool:
    """Whether `unless` lets the reading at `time` pass, as if it were not there."""
    unless = rule.unless
    other = None if unless is None else facility.point_by_id.get(unless.point.replace("{room}", point.room))
    if unless is None or other is None:
        return False
    good = [reading for reading in of_point(admitted, other.id) if reading.quality == "good" and reading.time <= time]
    if not good:
        return False
    # What a point said that reports on change counts as long as its source lives.
    ends = deaths(good[-1], lives) if other.on_change else [good[-1].time]
    if other.period_ns is not None and ends and time - min(ends) > 3 * other.period_ns:
        return False
    begin: int | None = None  # of the run of readings that are beyond, if the newest is
    for reading in good:
        is_beyond = any(
            beyond(bound, float(bound.value), reading.value, sign) for bound, sign in ((unless.above, 1), (unless.below, -1)) if bound
        )
        if not is_beyond:
            begin = None
        elif begin is None:
            begin = reading.time
    return begin is not None and (unless.at_most is None or time - begin <= unless.at_most.of(point.period_ns))


# Settling


def settle(rule: Rule) -> int:
    by_table = any(bound is not None and isinstance(bound.value, str) for bound in (rule.above, rule.below))
    return 2 * SECOND_NS if by_table or rule.during or rule.unless or rule.kind == "recovery" else 0


# Raising, clearing, silence


def raised_and_cleared(rule: Rule, point: Point, judged: Sequence[Judged]) -> list[Span]:
    """Walk the evaluated readings in time order; where a stretch ends, both runs end."""
    on_delay = rule.on_delay.of(point.period_ns)
    off_delay = rule.off_delay.of(point.period_ns)
    spans: list[Span] = []
    is_open = False
    t0: int | None = None  # start of the breach run
    u0: int | None = None  # start of the return run
    stretch = 0
    for reading in judged:
        if reading.stretch != stretch:
            t0 = u0 = None
            stretch = reading.stretch
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
