"""A scenario bound to a facility: which event acts on what, when it occurs, and the truth of what was done."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from facility.problems import ConfigurationError, Problem
from facility.site import Facility
from simulators.plant import CABINETS
from simulators.scenario import PLACE, POINT, SYSTEM, Event, Scenario

STEP_NS = 1_000_000_000
"""The simulator's fixed step; events begin and end on it."""

_ON_INSTRUMENTS = ("dropout", "fault", "stuck", "duplicate", "garble")
_FEELS = {
    "supply_loss": ("differential_pressure", "particles_0_5um", "particles_5_0um", "air_velocity", "temperature"),
    "leak": ("differential_pressure",),
    "intervention": ("particles_0_5um", "particles_5_0um"),
    "people": ("particles_0_5um", "particles_5_0um"),
    "warm_up": ("temperature",),
    "door_open": ("door", "differential_pressure", "temperature", "co2"),
}


@dataclass(frozen=True, slots=True)
class Track:
    """One event on its targets: numbers of places and of points in the facility; with a spread each target has a track of its own."""

    event: Event
    places: tuple[int, ...]
    points: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A track in action, from `start_ns` until `end_ns` (None: for ever), ns after the start of the simulation."""

    track: Track
    start_ns: int
    end_ns: int | None


@dataclass(frozen=True, slots=True)
class Truth:
    """What the simulator really did: times in ns UTC (`end_ns` None: still going on), ids of places and of points that feel it.

    `rules` are those that the scenario expects to find it.
    """

    start_ns: int
    end_ns: int | None
    kind: str
    places: tuple[str, ...]
    points: tuple[str, ...]
    rules: tuple[str, ...]


def bind(scenario: Scenario, facility: Facility) -> tuple[Track, ...]:
    """Find what each event acts on; ConfigurationError with every name that the facility does not have."""
    problems: list[Problem] = []
    tracks: list[Track] = []
    for event in scenario.events:
        try:
            targets = list(_targets(event, facility))
        except LookupError as error:
            found, allowed = error.args
            hint = f"The scenario {scenario.name} names what this facility does not have."
            problems.append(Problem(scenario.file, event.line, event.target, found, allowed, hint))
            continue
        if event.spread_ns:
            tracks += [Track(event, places, points) for places, points in targets]
        elif targets:
            places, points = ({number for target in targets for number in target[side]} for side in (0, 1))
            tracks.append(Track(event, tuple(sorted(places)), tuple(sorted(points))))
    if problems:
        raise ConfigurationError(problems)
    return tuple(tracks)


def _targets(event: Event, facility: Facility) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(places, points) of each target. LookupError(found, allowed) for a plain name that does not exist; a glob may match nothing."""
    number_of = {place.id: number for number, place in enumerate(facility.places)}
    ids = {PLACE: [place.id for place in facility.places], POINT: [point.id for point in facility.points],
           SYSTEM: [system.id for system in facility.systems]}[event.target]  # fmt: skip
    for pattern in event.targets:
        matches = [name for name in ids if fnmatchcase(name, pattern)]
        if not matches and not set(pattern) & set("*?["):
            raise LookupError(repr(pattern), f"one of {', '.join(ids) or 'none'}")
        for name in matches:
            if event.target == SYSTEM:
                served = next(system.serves for system in facility.systems if system.id == name)
                yield tuple(number_of[place] for place in served), ()
            elif event.kind in _ON_INSTRUMENTS:
                points = tuple(n for n, point in enumerate(facility.points) if name in (point.id, point.place))
                yield tuple(sorted({number_of[facility.points[n].place] for n in points})), points
            elif event.kind == "door_open":
                yield from _doors(event, facility, name, number_of, plain=name == pattern)
            else:
                yield (number_of[name],), ()


def _doors(
    event: Event, facility: Facility, name: str, number_of: dict[str, int], *, plain: bool
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    points = tuple(n for n, point in enumerate(facility.points) if name in (point.id, point.place) and point.quantity == "door")
    place = facility.place_by_id.get(name)
    if points:
        yield tuple(sorted({number_of[facility.points[n].place] for n in points})), points
    elif place is not None and place.type in CABINETS:
        yield (number_of[name],), ()
    elif plain:
        doors = [point.id for point in facility.points if point.quantity == "door"]
        raise LookupError(f"{name!r}, which has no door", f"{', '.join(doors) or 'a point of quantity door'}, or a cabinet")


class Schedule:
    """Which occurrences act at a step, in the order of the scenario; and all that have begun."""

    def __init__(self, tracks: Sequence[Track], seed: int) -> None:
        self._tracks, self._seed = tracks, seed
        self._next: list[tuple[int, int, int]] = []
        for number in range(len(tracks)):
            heapq.heappush(self._next, (self._start(number, 0), number, 0))
        self.active: list[tuple[int, Occurrence]] = []
        self.begun: list[Occurrence] = []

    def advance(self, at_ns: int) -> bool:
        """Bring `active` to the step that begins `at_ns` after the start; whether anything changed."""
        active = [(number, one) for number, one in self.active if one.end_ns is None or one.end_ns > at_ns]
        changed = len(active) != len(self.active)
        while self._next and self._next[0][0] <= at_ns:
            start, number, times = heapq.heappop(self._next)
            event = self._tracks[number].event
            end = None if event.for_ns is None else start + max(round(event.for_ns / STEP_NS), 1) * STEP_NS
            occurrence = Occurrence(self._tracks[number], start, end)
            self.begun.append(occurrence)
            active.append((number, occurrence))
            changed = True
            if event.every_ns is not None:
                heapq.heappush(self._next, (self._start(number, times + 1), number, times + 1))
        self.active = sorted(active, key=lambda entry: entry[0])
        return changed

    def _start(self, number: int, times: int) -> int:
        event = self._tracks[number].event
        start = event.at_ns + times * (event.every_ns or 0)
        if event.spread_ns:
            # Its own stream for each occurrence: no order of asking changes what happens.
            start += int(np.random.default_rng((self._seed, number, times)).integers(0, event.spread_ns))
        return start // STEP_NS * STEP_NS


def truths(begun: Sequence[Occurrence], facility: Facility, start_ns: int, until_ns: int) -> list[Truth]:
    """What was done between the start and `until_ns`, in order of start; what then still goes on has no end."""
    rows = []
    for one in begun:
        end = None if one.end_ns is None or start_ns + one.end_ns > until_ns else start_ns + one.end_ns
        event, places = one.track.event, tuple(facility.places[number].id for number in one.track.places)
        points = tuple(point.id for number, point in enumerate(facility.points) if _feels(one.track, number, places, facility))
        rows.append(Truth(start_ns + one.start_ns, end, event.kind, places, points, event.expect))
    return rows


def _feels(track: Track, number: int, places: tuple[str, ...], facility: Facility) -> bool:
    point = facility.points[number]
    if track.event.kind in _ON_INSTRUMENTS or point.quantity == "door":
        return number in track.points
    if point.quantity not in _FEELS[track.event.kind]:
        return False
    near = {*places, *(facility.points[door].reference for door in track.points)}
    if point.quantity == "differential_pressure":
        return point.place in near or point.reference in near
    if track.event.kind == "door_open" and facility.place_by_id[point.place].type not in CABINETS:
        return False
    return point.place in places
