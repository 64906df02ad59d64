"""Rotations: who has the duty at a moment, and until when."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from alerts.duty.calendar import moment, shown
from alerts.duty.recurrence import Repeats

FOREVER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Turn:
    """A span of time (int ns UTC, the end outside) in which one person has the duty, or nobody."""

    start: int
    end: int
    person: str | None


@dataclass(frozen=True, slots=True)
class Cycle:
    """Members take turns of `length` from `start` on: both by the clocks of `zone`, so that a hand-over stays at its hour."""

    members: tuple[str, ...]
    start: datetime
    length: timedelta
    zone: ZoneInfo

    def turn(self, at: int) -> Turn:
        """Whose turn it is at a moment (int ns UTC); nobody's before the start."""
        number = (shown(at, self.zone) - self.start) // self.length
        while self._begin(number) > at:  # the clocks go back: it is not yet handed over, though they showed the hour once
            number -= 1
        while self._begin(number + 1) <= at:
            number += 1
        if number < 0:
            return Turn(-FOREVER, self._begin(0), None)
        return Turn(self._begin(number), self._begin(number + 1), self.members[number % len(self.members)])

    def _begin(self, number: int) -> int:
        return moment(self.start + number * self.length, self.zone)


@dataclass(frozen=True, slots=True)
class Shifts:
    """Turns that a calendar lists, by their start, and those that come again and again; of two at once the one that began later counts."""

    listed: tuple[Turn, ...]
    recurring: tuple[tuple[Repeats, str], ...] = ()

    def turn(self, at: int) -> Turn:
        """Whose turn it is at a moment (int ns UTC); nobody's where the calendar has none."""
        near = [Turn(start, end, person) for repeats, person in self.recurring for start, end in repeats.near(at)]
        turns = sorted((*self.listed, *near), key=lambda turn: turn.start) if near else self.listed
        following = bisect_right(turns, at, key=lambda turn: turn.start)
        edges = [turn.start for turn in turns[following : following + 1]]
        running = [turn for turn in turns[:following] if turn.end > at]
        if not running:
            before = max((turn.end for turn in turns[:following]), default=-FOREVER)
            return Turn(before, min(edges, default=FOREVER), None)
        return Turn(running[-1].start, min([running[-1].end, *edges]), running[-1].person)

    @property
    def people(self) -> set[str]:
        """Everybody who has a turn."""
        return {turn.person for turn in self.listed if turn.person is not None} | {person for _, person in self.recurring}


@dataclass(frozen=True, slots=True)
class Override:
    """`person` takes the duty of a rotation from `start` to `end` (int ns UTC): that of `instead_of`, empty for whoever has it."""

    rotation: str
    start: int
    end: int
    person: str
    instead_of: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rotation:
    """A duty that passes from one to the next."""

    id: str
    turns: Cycle | Shifts


@dataclass(frozen=True, slots=True)
class Duty:
    """Who has a duty, until when it may be another (int ns UTC), and, where an override did it, whose turn it would be."""

    person: str | None
    until: int
    instead_of: str | None = None
    overridden: bool = False


def who(rotation: Rotation, at: int, overrides: Iterable[Override] = ()) -> Duty:
    """Who has the duty at a moment (int ns UTC); of overrides the last one counts."""
    turn = rotation.turns.turn(at)
    own = [override for override in overrides if override.rotation == rotation.id and override.end > at]
    until = min([turn.end, *(edge for override in own for edge in (override.start, override.end) if edge > at)])
    person, overridden = turn.person, False
    for override in own:
        if override.start <= at and override.instead_of in ("", person):
            person, overridden = override.person, True
    return Duty(person, until, turn.person if overridden else None, overridden)


def duties(rotation: Rotation, start: int, end: int, overrides: Iterable[Override] = ()) -> Iterator[tuple[int, Duty]]:
    """Who has the duty from `start` to `end`, one after another, each with the moment from which on."""
    overrides = tuple(overrides)
    before: Duty | None = None
    while start < end:
        duty = who(rotation, start, overrides)
        if before is None or (duty.person, duty.overridden) != (before.person, before.overridden):
            yield start, duty
        before, start = duty, duty.until
