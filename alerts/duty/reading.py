"""The duty part of oncall.yaml read into a roster, with every problem in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta
from fnmatch import filter as matching
from typing import Any
from zoneinfo import ZoneInfo

from alerts.duty.calendar import WEEKDAYS, WorkingHours, moment
from alerts.duty.feed import Event, days_of, read_feed
from alerts.duty.load import Limits
from alerts.duty.recurrence import Repeats
from alerts.duty.roster import NOBODY, Daily, Person, Policy, Roster, Route, Schedule, Step
from alerts.duty.rotation import Cycle, Override, Rotation, Shifts, Turn
from alerts.duty.sections import (
    CHOICES,
    ROUTE_KEYS,
    ChatteringSection,
    DailySection,
    DrillSection,
    DutySection,
    FloodsSection,
    HoursSection,
    OverrideSection,
    PolicySection,
    RotationSection,
    RouteSection,
)  # fmt: skip
from facility.document import Document, Path, did_you_mean, one_of, shown
from facility.files import Files, Unreadable, beside
from facility.problems import Problem

HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
A_MONDAY = date(1970, 1, 5)
HOLIDAYS_END, HOLIDAYS_MOST = date(2200, 1, 1), 10_000
"""A holiday that comes every year is known so long."""
Known = Mapping[str, Collection[str]]
"""What there is of each key of a route: its ids."""


class RosterReading:
    """Builds the roster and collects what is wrong with it.

    `people` are known with their ways, `names` are what a step's `by` may say, `everyone` the targets of all channels, `zone` is the
    site's, `known` what routes may name (None where that is not known), and `kinds` the kind of each channel.
    """

    def __init__(
        self, files: Files, name: str, document: Document, people: Mapping[str, Person], names: Collection[str], everyone: Iterable[str],
        zone: str, known: Known | None, kinds: Mapping[str, str],
    ) -> None:  # fmt: skip
        self.kinds = kinds
        self.files, self.name, self.document = files, name, document
        self.people, self.names, self.everyone = dict(people), tuple(names), tuple(everyone)
        self.zone, self.known = zone, known
        self.problems: list[Problem] = []

    def roster(self, section: DutySection) -> Roster:
        """Everything that holds of the section."""
        rotations = {id_: turns for id_, block in section.rotations.items() if (turns := self._rotation(id_, block)) is not None}
        teams = {id_: tuple(members) for id_, members in section.teams.items()}
        for id_, members in section.teams.items():
            for number, member in enumerate(members):
                self._among(("teams", id_, number), member, self.people, "a person")
        self._once("teams", section.teams, self.people, "a person")
        self._once("rotations", section.rotations, {**self.people, **teams}, "a person or a team")
        told = (*self.people, *teams, *section.rotations)
        hours = self._hours(section.working_hours) if section.working_hours is not None else None
        overrides = [self._override(override, section) for override in section.overrides]
        policies = {id_: self._policy(id_, policy, told) for id_, policy in section.policies.items()}
        routes = tuple(self._route(route, section) for route in section.routes)
        if policies and not routes:
            self._refuse(
                ("policies",), "policies, but no routes", "routes, which say what alarms they are for", "Add routes: [{policy: …}]."
            )
        return Roster(
            everyone=self.everyone,
            people=self.people,
            teams=teams,
            rotations=rotations,
            overrides=tuple(override for override in overrides if override is not None),
            hours=hours,
            policies=policies,
            routes=routes,
            test=self._test(section.test, told) if section.test is not None else None,
            language=section.language,
            replies=section.replies is not None,
            daily=self._daily(section.daily) if section.daily is not None else None,
            limits=self._limits(section.floods, section.chattering),
        )

    def _refuse(self, path: Path, found: str, allowed: str, hint: str = "") -> None:
        self.problems.append(self.document.problem(path, found, allowed, hint))

    def _among(self, path: Path, name: str, names: Collection[str], what: str) -> bool:
        if name in names:
            return True
        self._refuse(path, shown(name), f"{what}: {one_of(tuple(names))}", did_you_mean(name, tuple(names)))
        return False

    def _once(self, key: str, names: Iterable[str], before: Collection[str], what: str) -> None:
        for name in names:
            if name in before:
                self._refuse((key, name), f"{name!r}, which is {what} already", "another name: steps would not know who is meant")

    # Rotations

    def _rotation(self, id_: str, block: RotationSection) -> Rotation | None:
        before = len(self.problems)
        zone = ZoneInfo(block.timezone or self.zone)
        path: Path = ("rotations", id_)
        turns: Shifts | Cycle | None = None
        if block.ics is not None:
            for key in ("members", "start", "handover"):
                if getattr(block, key) is not None:
                    self._refuse((*path, key), f"{key} and ics", "members with start and handover, or ics")
            turns = self._shifts((*path, "ics"), block.ics, zone)
        else:
            for key in ("members", "start", "handover"):
                if getattr(block, key) is None and (*path, key) not in self.document.positions:
                    self._refuse(path, f"no key {key!r}", "members, start and handover, or ics")
            for number, member in enumerate(block.members or ()):
                self._among((*path, "members", number), member, self.people, "a person")
            if block.members is not None and block.start is not None and block.handover is not None:
                turns = self._cycle(path, block, tuple(block.members), block.start, zone)
        return Rotation(id_, turns) if turns is not None and len(self.problems) == before else None

    def _cycle(self, path: Path, block: RotationSection, members: tuple[str, ...], start: date, zone: ZoneInfo) -> Cycle:
        assert block.handover is not None
        weekday, hour = block.handover
        if weekday is not None and start.weekday() != weekday:
            found = f"{start}, a {WEEKDAYS[start.weekday()]}"
            self._refuse((*path, "start"), found, f"a {WEEKDAYS[weekday]}, on which the duty is handed over")
        if block.length < HOUR_NS or block.length % 10**9:
            self._refuse((*path, "length"), "a turn so short", "an hour or longer, in whole seconds")
        elif weekday is not None and block.length % (7 * 24 * HOUR_NS):
            allowed = "whole weeks, 7d or 14d, as the hand-over is on a weekday"
            self._refuse((*path, "length"), "turns that do not end on that weekday", allowed, 'For other turns give handover: "08:00".')
        return Cycle(members, datetime.combine(start, hour), timedelta(seconds=max(block.length, HOUR_NS) // 10**9), zone)

    def _shifts(self, path: Path, reference: str, zone: ZoneInfo) -> Shifts:
        turns: list[Turn] = []
        recurring: list[tuple[Repeats, str]] = []
        for event in self._events(path, reference, zone):
            found = sorted({person.id for person in self.people.values() if _names(event, person)})
            if len(found) != 1:
                file = self.files.shown(beside(self.name, reference))
                what = f"an event for {' and '.join(found)}" if found else f"an event {shown(event.summary)}"
                allowed = f"one person's name in the summary, or mail address: {one_of([p.name for p in self.people.values()])}"
                self.problems.append(Problem(file, event.line, "SUMMARY", what, allowed))
            elif event.repeats is not None and event.repeats.span:
                recurring.append((event.repeats, found[0]))
            elif event.end > event.start:
                turns.append(Turn(event.start, event.end, found[0]))
        return Shifts(tuple(turns), tuple(recurring))

    def _events(self, path: Path, reference: str, zone: ZoneInfo) -> list[Event]:
        if "://" in reference:
            hint = "Fetch it into a file (by cron, say), then `renrum apply`: what decides who is told is recorded with the configuration."
            self._refuse(path, "an address", "the name of an .ics file", hint)
            return []
        name = beside(self.name, reference)
        try:
            events, problems = read_feed(self.files.shown(name), self.files.read(name), zone)
        except Unreadable as error:
            self._refuse(path, str(error), "an .ics file that can be read")
            return []
        self.problems += problems
        return events

    def _override(self, override: OverrideSection, section: DutySection) -> Override | None:
        known = self._among(override.at("rotation"), override.rotation, section.rotations, "a rotation")
        known &= self._among(override.at("person"), override.person, self.people, "a person")
        if override.instead_of is not None:
            known &= self._among(override.at("instead_of"), override.instead_of, self.people, "a person")
        block = section.rotations.get(override.rotation)
        zone = ZoneInfo((block.timezone if block is not None else None) or self.zone)
        start, end = (instant(local, zone) for local in (override.start, override.end))
        if end <= start:
            self._refuse(override.at("to"), "an end that is not after the start", "from before to")
        return Override(override.rotation, start, end, override.person, override.instead_of or "", override.reason) if known else None

    # Working hours, policies, routes

    def _hours(self, block: HoursSection) -> WorkingHours:
        zone = ZoneInfo(block.timezone or self.zone)
        holidays = set(block.holidays)
        if block.holidays_ics is not None:
            events = self._events(block.at("holidays_ics"), block.holidays_ics, zone)
            for event, days in days_of(events, HOLIDAYS_END, HOLIDAYS_MOST):
                if not event.days:
                    file = self.files.shown(beside(self.name, block.holidays_ics))
                    self.problems.append(
                        Problem(file, event.line, "DTSTART", f"{shown(event.summary)}, hours of a day", "events of whole days")
                    )
                holidays.update(days)
        if block.end <= block.start:
            self._refuse(block.at("to"), f"{block.end:%H:%M}", f"a time after {block.start:%H:%M}")
        return WorkingHours(zone, block.start, block.end, frozenset(map(WEEKDAYS.index, block.days)), frozenset(holidays))

    def _policy(self, id_: str, policy: PolicySection, told: Collection[str]) -> Policy:
        if id_ == NOBODY:
            self._refuse(("policies", id_), "a policy of that name", f"another name: {NOBODY} in a route means that nobody is told")
        if policy.times is not None and policy.repeat is None:
            self._refuse(policy.at("times"), "times without repeat", "both, or repeat alone")
        before = 0
        for step in policy.steps:
            if step.after < before:
                self._refuse(
                    step.at("after"), "a step before the one above it", "steps in the order of time: each `after` counts from the alarm"
                )
            before = step.after
            for number, name in enumerate(step.to):
                self._among(self._item(step.at("to"), number), name, told, "a person, a team or a rotation")
            for number, name in enumerate(step.by or ()):
                self._among(self._item(step.at("by"), number), name, self.names, "the id or kind of a channel, or the kind of a way")
        steps = tuple(Step(step.after, step.to, step.by or ()) for step in policy.steps)
        return Policy(id_, steps, policy.repeat or 0, policy.times or 0, policy.until == "returned", policy.returned)

    def _route(self, route: RouteSection, section: DutySection) -> Route:
        if route.policy != NOBODY:
            self._among(route.at("policy"), route.policy, section.policies, f"a policy, or {NOBODY}")
        if route.hours and section.working_hours is None:
            self._refuse(
                route.at("hours"), "hours", "working_hours in this file, which say when that is", "Add working_hours: {from: …, to: …}."
            )
        globs = []
        for key in ROUTE_KEYS:
            given: Any = getattr(route, key)
            if given is None:
                continue
            globs.append((key, given))
            known = CHOICES.get(key, None if self.known is None else self.known.get(key))
            for number, glob in enumerate(given):
                if known is not None and not matching(known, glob):
                    names = tuple(known)
                    self._refuse(
                        self._item(route.at(key), number), shown(glob), f"a {key}, or a glob: {one_of(names)}", did_you_mean(glob, names)
                    )
        return Route(route.policy, tuple(globs), route.hours or "")

    def _test(self, block: DrillSection, told: Collection[str]) -> Schedule:
        for number, name in enumerate(block.to):
            self._among(self._item(block.at("to"), number), name, told, "a person, a team or a rotation")
        weekday, hour = block.when
        days = 7 if weekday is not None else 1
        if block.every % (days * 24 * HOUR_NS):
            allowed = "whole weeks, as `at` has a weekday" if weekday is not None else "whole days"
            self._refuse(block.at("every"), "tests that are not at that time", allowed)
        start = datetime.combine(A_MONDAY + timedelta(days=weekday or 0), hour)
        length = timedelta(days=max(days, block.every // (24 * HOUR_NS)))
        return Schedule(block.to, Cycle(("",), start, length, ZoneInfo(block.timezone or self.zone)), block.within)

    def _daily(self, block: DailySection) -> Daily:
        names = block.to or tuple(id_ for id_, kind in self.kinds.items() if kind in ("email", "local"))
        for number, name in enumerate(block.to or ()):
            self._among(self._item(block.at("to"), number), name, self.kinds, "the id of a channel")
        targets = tuple(target for target in self.everyone if target.partition("/")[0] in names)
        if not targets:
            self._refuse(("daily",), "no channel that it goes to", "in `to` the id of a channel; a mail channel needs `to` itself")
        return Daily(block.when, ZoneInfo(block.timezone or self.zone), targets)

    def _limits(self, floods: FloodsSection, chattering: ChatteringSection) -> Limits:
        if floods.end_below > floods.begin_above:
            self._refuse(floods.at("end_below"), f"{floods.end_below}", f"at most begin_above, {floods.begin_above}")
        for block in (floods, chattering):
            if block.within > DAY_NS:
                self._refuse(block.at("within"), "longer than a day", "a day or less, such as 10m")
        return Limits(chattering.times, chattering.within, floods.begin_above, floods.end_below, floods.within)

    def _item(self, path: Path, number: int) -> Path:
        """The path of an item of a list, which may also be given alone."""
        return (*path, number) if (*path, number) in self.document.positions else path


def instant(local: datetime, zone: ZoneInfo) -> int:
    """Int ns UTC of a time that is the zone's unless it has an offset."""
    return moment(local, zone) if local.tzinfo is None else moment(local.astimezone(ZoneInfo("UTC")).replace(tzinfo=None), ZoneInfo("UTC"))


def _names(event: Event, person: Person) -> bool:
    """Whether an event is a person's: by mail address, or by the name or id in its summary."""
    mails = {target.rpartition("/")[2].lower() for way in person.ways for target in way.targets if "@" in target}
    words = event.summary.casefold()
    return bool(mails & set(event.addresses)) or words.strip() == person.id.casefold() or person.name.casefold() in words
