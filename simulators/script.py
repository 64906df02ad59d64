"""A scenario bound to a facility: which event acts on what, and when it occurs."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from itertools import count
from zoneinfo import ZoneInfo

import numpy as np

from facility.document import did_you_mean, one_of
from facility.problems import ConfigurationError, Problem
from facility.site import Facility
from facility.units import UnknownUnit, conversion
from simulators.kinds import KINDS, PLACE, POINT, SYSTEM
from simulators.plant import CABINETS
from simulators.scenario import Event, Scenario

STEP_NS = 1_000_000_000
"""The simulator's fixed step; events begin and end on it."""
MINUTE_NS = 60 * 10**9


@dataclass(frozen=True, slots=True)
class Track:
    """One event on its targets: numbers of places and of points in the facility; by chance, each target has a track of its own."""

    event: Event
    places: tuple[int, ...]
    points: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A track in action, from `start_ns` until `end_ns` (None: for ever), ns after the start; `number` is the track's, `times` counts."""

    track: Track
    start_ns: int
    end_ns: int | None
    number: int = 0
    times: int = 0


@dataclass(frozen=True, slots=True)
class Truth:
    """What the simulator really did: times in ns UTC (`end_ns` None: still going on), ids of places and of points that feel it.

    `rules` are those that the scenario expects to find it, `missed` why none of those that ship does.
    """

    start_ns: int
    end_ns: int | None
    kind: str
    places: tuple[str, ...]
    points: tuple[str, ...]
    rules: tuple[str, ...]
    missed: str = ""


def bind(scenario: Scenario, facility: Facility) -> tuple[Track, ...]:
    """Find what each event acts on; ConfigurationError with every name that the facility does not have."""
    problems: list[Problem] = []
    tracks: list[Track] = []
    for event in scenario.events:
        try:
            targets = list(_targets(event, facility))
        except LookupError as error:
            key, found, allowed, hint = error.args
            hint = hint or f"The scenario {scenario.name} names what this facility does not have."
            problems.append(Problem(scenario.file, event.line, key, found, allowed, hint))
            continue
        if event.by_chance:
            tracks += [Track(event, places, points) for places, points in targets]
        elif targets:
            places, points = ({number for target in targets for number in target[side]} for side in (0, 1))
            tracks.append(Track(event, tuple(sorted(places)), tuple(sorted(points))))
    if problems:
        raise ConfigurationError(problems)
    return tuple(tracks)


def _targets(event: Event, facility: Facility) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(places, points) of each target. LookupError(key, found, allowed, hint) for a name that is none; a glob may match nothing."""
    number_of = {place.id: number for number, place in enumerate(facility.places)}
    ids = {PLACE: [place.id for place in facility.places], POINT: [point.id for point in facility.points],
           SYSTEM: [system.id for system in facility.systems]}[event.target]  # fmt: skip
    for pattern in event.targets:
        matches = [name for name in ids if fnmatchcase(name, pattern)]
        if not matches and not set(pattern) & set("*?["):
            raise LookupError(event.target, repr(pattern), f"one of {one_of(ids)}" if ids else "none", did_you_mean(pattern, ids))
        for name in matches:
            if event.target == SYSTEM:
                served = next(system.serves for system in facility.systems if system.id == name)
                yield tuple(number_of[place] for place in served), ()
            elif KINDS[event.kind].on_instruments:
                points = tuple(n for n, point in enumerate(facility.points) if name in (point.id, point.place))
                points = _fitting(event, points, facility, plain=name == pattern)
                yield tuple(sorted({number_of[facility.points[n].place] for n in points})), points
            elif event.kind == "door_open":
                yield from _doors(event, facility, name, number_of, plain=name == pattern)
            else:
                yield (number_of[name],), ()


def _fitting(event: Event, points: tuple[int, ...], facility: Facility, *, plain: bool) -> tuple[int, ...]:
    """The points that an event on instruments fits, with the partner of a swap; LookupError as above."""
    if event.kind == "swap":
        numbers = {point.id: n for n, point in enumerate(facility.points)}
        if event.words["with"] not in numbers:
            hint = did_you_mean(event.words["with"], tuple(numbers))
            raise LookupError("with", repr(event.words["with"]), "a point of this facility", hint)
        return (*points, numbers[event.words["with"]])
    if event.kind == "wrong_unit":
        return tuple(n for n in points if _convertible(event, facility.points[n].unit, plain=plain))
    if event.kind in ("tube_off", "laser_fault"):
        tubes = ("particles_0_5um", "particles_5_0um", "differential_pressure")[: 3 if event.kind == "tube_off" else 2]
        return tuple(n for n in points if facility.points[n].quantity in tubes)
    return points


def _convertible(event: Event, unit: str, *, plain: bool) -> bool:
    try:
        conversion(unit, event.words["unit"])
    except UnknownUnit:
        if plain:
            raise LookupError("unit", repr(event.words["unit"]), f"a unit that {unit} can be converted to", "") from None
        return False
    return True


def _doors(
    event: Event, facility: Facility, name: str, number_of: dict[str, int], *, plain: bool
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    points = tuple(n for n, point in enumerate(facility.points) if name in (point.id, point.place) and point.quantity == "door")
    place = facility.place_by_id.get(name)
    if points:
        yield tuple(sorted({number_of[facility.points[n].place] for n in points})), points
    elif place is not None and (place.type in CABINETS or place.design.doors):
        yield (number_of[name],), ()
    elif plain:
        doors = [point.id for point in facility.points if point.quantity == "door"]
        raise LookupError(
            event.target, f"{name!r}, which has no door", f"{', '.join(doors) or 'a point of quantity door'}, or a cabinet", ""
        )


class Schedule:
    """Which occurrences act when, in the order of the scenario; `start_ns` is the moment in UTC that their times count from."""

    def __init__(self, tracks: Sequence[Track], seed: int, start_ns: int, zone: ZoneInfo) -> None:
        self._tracks = tracks
        self._coming = [_occurrences(track, number, seed, start_ns, zone) for number, track in enumerate(tracks)]
        self._next: list[tuple[int, int, Occurrence]] = []
        for number in range(len(tracks)):
            self._look_ahead(number)
        self._active: list[Occurrence] = []

    def block(self, begin_ns: int, end_ns: int) -> tuple[list[Occurrence], list[Occurrence]]:
        """Those that act from `begin_ns` on and before `end_ns`, or ended just at `begin_ns`; and of these, those that begin."""
        self._active = [one for one in self._active if one.end_ns is None or one.end_ns >= begin_ns]
        begun = []
        while self._next and self._next[0][0] < end_ns:
            _, number, one = heapq.heappop(self._next)
            begun.append(one)
            self._look_ahead(number)
        self._active = sorted(self._active + begun, key=lambda one: (one.number, one.times))
        return self._active, begun

    def _look_ahead(self, number: int) -> None:
        if (one := next(self._coming[number], None)) is not None:
            heapq.heappush(self._next, (one.start_ns, number, one))


def _occurrences(track: Track, number: int, seed: int, start_ns: int, zone: ZoneInfo) -> Iterator[Occurrence]:
    """A track's occurrences, in order; each track has its own stream of chance, so that none changes another's."""
    event, chance = track.event, np.random.Generator(np.random.PCG64((seed, number)))
    for times, (begin, window_end) in enumerate(_begins(event, chance, start_ns, zone)):
        begin = begin // STEP_NS * STEP_NS
        span = event.for_ns
        if span is not None and event.scatter:
            span = round(span * math.exp(event.scatter * chance.standard_normal()))
        end = window_end if span is None else begin + max(round(span / STEP_NS), 1) * STEP_NS
        yield Occurrence(track, begin, end, number, times)


def _begins(event: Event, chance: np.random.Generator, start_ns: int, zone: ZoneInfo) -> Iterator[tuple[int, int | None]]:
    """(begin, end of its window, if it fills one), ns after the start."""

    def later() -> int:
        return int(chance.integers(0, event.spread_ns)) if event.spread_ns else 0

    if event.gap_ns is not None:
        yield from ((at, None) for at in _at_random(event, event.gap_ns, chance, start_ns, zone))
    elif event.every_ns is not None:
        for times in count():
            at = event.at_ns + times * event.every_ns + later()
            if event.hours is None or _within(event, start_ns + at, zone):
                yield at, None
    elif event.hours is not None:
        for opens, closes in _windows(event, start_ns + event.at_ns, zone):
            begin = max(opens - start_ns, event.at_ns) + later()
            if begin < closes - start_ns:
                yield begin, closes - start_ns
    else:
        yield event.at_ns + later(), None


def _at_random(event: Event, gap_ns: int, chance: np.random.Generator, start_ns: int, zone: ZoneInfo) -> Iterator[int]:
    """A Poisson process; one that is confined to hours waits while they are not."""
    windows = iter([(start_ns + event.at_ns, None)]) if event.hours is None else _windows(event, start_ns + event.at_ns, zone)
    wait = 0.0
    for opens, closes in windows:
        at = max(opens, start_ns + event.at_ns)
        while True:
            wait = wait or float(chance.exponential(gap_ns))
            if closes is not None and at + wait >= closes:
                wait -= closes - at
                break
            at, wait = at + round(wait), 0.0
            yield at - start_ns


def _windows(event: Event, from_ns: int, zone: ZoneInfo) -> Iterator[tuple[int, int]]:
    """The windows of an event's hours that end after `from_ns`, in UTC; for ever."""
    assert event.hours is not None
    opens, closes = event.hours
    day = datetime.fromtimestamp(from_ns / 1e9, zone).date() - timedelta(days=1)
    for passed in count():
        date = day + timedelta(days=passed)
        if date.weekday() in event.days:
            begin = _moment(date.year, date.month, date.day, opens, zone)
            until = date + timedelta(days=closes <= opens)
            end = _moment(until.year, until.month, until.day, closes, zone)
            if end > from_ns:
                yield begin, end


def _moment(year: int, month: int, day: int, minutes: int, zone: ZoneInfo) -> int:
    local = datetime(year, month, day, tzinfo=zone) + timedelta(minutes=minutes)  # by the wall clock
    return int(local.astimezone(UTC).timestamp()) * 10**9


def _within(event: Event, at_ns: int, zone: ZoneInfo) -> bool:
    opens, closes = next(_windows(event, at_ns, zone))
    return opens <= at_ns < closes


class Teller:
    """Says what occurrences did to a facility; `start_ns` is the start in UTC, `pressures` gives the pressure points that a track moves."""

    def __init__(self, facility: Facility, start_ns: int, pressures: Callable[[Track], Collection[int]]) -> None:
        self._facility, self._start_ns, self._pressures = facility, start_ns, pressures
        self._felt: dict[int, tuple[tuple[str, ...], tuple[str, ...]]] = {}

    def truth(self, one: Occurrence, until_ns: int) -> Truth:
        """As known at `until_ns` UTC: what then still goes on has no end."""
        if one.number not in self._felt:
            places = tuple(self._facility.places[number].id for number in one.track.places)
            self._felt[one.number] = places, _feeling(one.track, places, self._facility, self._pressures)
        end = None if one.end_ns is None or self._start_ns + one.end_ns > until_ns else self._start_ns + one.end_ns
        event = one.track.event
        return Truth(self._start_ns + one.start_ns, end, event.kind, *self._felt[one.number], event.expect, event.missed)


def _feeling(track: Track, places: tuple[str, ...], facility: Facility, pressures: Callable[[Track], Collection[int]]) -> tuple[str, ...]:
    """The ids of the points that show it."""
    kind = KINDS[track.event.kind]
    if kind.on_instruments:
        return tuple(facility.points[n].id for n in track.points)
    moved = pressures(track) if "differential_pressure" in kind.feels else ()
    cabinets = {place for place in places if facility.place_by_id[place].type in CABINETS}
    points = []
    for number, point in enumerate(facility.points):
        if point.quantity == "door":
            feels = number in track.points
        elif point.quantity not in kind.feels:
            feels = False
        elif point.quantity == "differential_pressure":
            feels = number in moved
        elif track.event.kind == "door_open":
            feels = point.place in cabinets
        else:
            feels = point.place in places
        if feels:
            points.append(point.id)
    return tuple(points)
