"""The roster: people, how they are reached, who has the duty, and which policy is for which alarm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from fnmatch import fnmatchcase
from functools import cached_property
from zoneinfo import ZoneInfo

from alerts.duty.calendar import WorkingHours, moment, shown
from alerts.duty.load import Limits
from alerts.duty.rotation import FOREVER, Cycle, Override, Rotation, who
from facility.site import Facility, Point
from rules.rule import Rule

NOBODY = "nobody"
"""In a route the policy that tells nobody: such alarms stand in the console only."""
WORKING, OTHERWISE = "working", "otherwise"


@dataclass(frozen=True, slots=True)
class Way:
    """One way to reach a person: pages go to each of `targets`; `names` are the channel, its kind and the way's own.

    Without `priorities` it is for all of them.
    """

    targets: tuple[str, ...]
    names: frozenset[str]
    priorities: frozenset[str] = frozenset()

    def serves(self, priority: str) -> bool:
        """Whether alarms of a priority may take it."""
        return not self.priorities or priority in self.priorities


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who can be told, by `ways` in the order of preference."""

    id: str
    name: str
    language: str = "en"
    ways: tuple[Way, ...] = ()

    def ways_for(self, priority: str) -> list[Way]:
        """The ways that alarms of a priority may take."""
        return [way for way in self.ways if way.serves(priority)]


@dataclass(frozen=True, slots=True)
class Step:
    """`after_ns` from the alarm on, tell `to` (people, teams, rotations), `by` each of these names of ways, if empty by their first."""

    after_ns: int
    to: tuple[str, ...]
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """Steps until somebody acknowledges; then the last one again every `repeat_ns` (0: never), at most `times` (0: without end).

    `until_returned`: the end of the condition ends it, too. `returned`: those who were told hear of that end.
    """

    id: str
    steps: tuple[Step, ...]
    repeat_ns: int = 0
    times: int = 0
    until_returned: bool = False
    returned: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """What an alarm is about, as far as routes ask."""

    priority: str
    level: str
    rule: str = ""
    point: str = ""
    room: str = ""
    zone: str = ""
    systems: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """Alarms that match every key go by a policy: a key is matched by one of its globs, and one that is not given by all."""

    policy: str
    globs: tuple[tuple[str, tuple[str, ...]], ...] = ()
    hours: str = ""

    def matches(self, subject: Subject, working: bool) -> bool:
        """Whether an alarm takes this route, in working hours or else."""
        if self.hours and (self.hours == WORKING) != working:
            return False
        return all(any(fnmatchcase(value, glob) for value in _values(subject, key) for glob in globs) for key, globs in self.globs)


def _values(subject: Subject, key: str) -> tuple[str, ...]:
    if key in ("system", "tag"):
        return subject.systems if key == "system" else subject.tags
    return (str(getattr(subject, key)),)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Tests of who is on call: told to `names` whenever a turn of `times` begins, to be acknowledged within `within_ns`."""

    names: tuple[str, ...]
    times: Cycle
    within_ns: int


@dataclass(frozen=True, slots=True)
class Daily:
    """Each day, when the clocks of a zone show `at`, a message goes to `targets`."""

    at: time
    zone: ZoneInfo
    targets: tuple[str, ...]

    def after(self, at: int) -> int:
        """The next time for it after a moment (int ns UTC)."""
        day = shown(at, self.zone).date()
        while (due := moment(datetime.combine(day, self.at), self.zone)) <= at:
            day += timedelta(days=1)
        return due


@dataclass(frozen=True)
class Roster:
    """Everything about who is told. Without `routes` every target of `everyone` gets each page, in `language`."""

    everyone: tuple[str, ...] = ()
    people: Mapping[str, Person] = field(default_factory=dict)
    teams: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rotations: Mapping[str, Rotation] = field(default_factory=dict)
    overrides: tuple[Override, ...] = ()
    hours: WorkingHours | None = None
    policies: Mapping[str, Policy] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    test: Schedule | None = None
    language: str = "en"
    daily: Daily | None = None
    replies: bool = False
    """Whether people may acknowledge by a reply to a mail."""
    limits: Limits = field(default_factory=Limits)
    """Which alarms are told together."""

    @property
    def chooses(self) -> bool:
        """Whether anybody is chosen, and not all channels told at once."""
        return bool(self.routes)

    @property
    def plain(self) -> bool:
        """Whether it says nothing but that every channel is told."""
        return not self.chooses and self.language == "en" and not self.replies and self.daily is None and self.limits == Limits()

    def language_of(self, target: str) -> str:
        """The language that a target is told in: that of its person, where people are chosen."""
        people = self.people.values() if self.chooses else ()
        return next((person.language for person in people for way in person.ways if target in way.targets), self.language)

    def policy(self, subject: Subject, at: int) -> Policy | None:
        """The policy of the first route that an alarm matches at a moment; None where none does. That of `nobody` has no steps."""
        working = self.hours is not None and self.hours.open(at)
        for route in self.routes:
            if route.matches(subject, working):
                return self.policies.get(route.policy, Policy(NOBODY, ()))
        return None

    def changes_after(self, at: int) -> int:
        """When after `at` another route may be taken (int ns UTC)."""
        hourly = self.hours is not None and any(route.hours for route in self.routes)
        return self.hours.changes_after(at) if hourly and self.hours is not None else FOREVER

    def told(self, name: str, at: int, overrides: Iterable[Override] = ()) -> tuple[str, ...]:
        """The people behind the name of a person, team or rotation at a moment; `overrides` were made since, the newest last."""
        if name in self.rotations:
            person = who(self.rotations[name], at, (*self.overrides, *overrides)).person
            return () if person is None else (person,)
        return self.teams.get(name, (name,))

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Every target that somebody may be told by."""
        ways = (target for person in self.people.values() for way in person.ways for target in way.targets)
        return tuple(dict.fromkeys((*self.everyone, *ways)))


def subject_of(rule: Rule, point: Point, facility: Facility) -> Subject:
    """What routes ask of an alarm of a rule at a point."""
    served = {place for place in (point.room, point.zone) if place}
    systems = tuple(system.id for system in facility.systems if served & set(system.serves))
    return Subject(rule.priority, rule.level, rule.id, point.id, point.room, point.zone or "", systems, point.tags)
