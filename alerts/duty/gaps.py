"""What a roster leaves open: alarms without a route, routes and people that nobody reaches, times when nobody has a duty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from zoneinfo import ZoneInfo

from alerts.duty.calendar import shown
from alerts.duty.course import targets_of
from alerts.duty.roster import NOBODY, OTHERWISE, WORKING, Policy, Roster, Step, Subject
from alerts.duty.rotation import Cycle, Shifts, duties

Warned = tuple[tuple[str | int, ...], str, str]
"""The path in oncall.yaml, what was found, and what is wanted."""


def without_a_way(roster: Roster) -> Iterator[Warned]:
    """People whom a step, a team or a rotation names and nobody can reach."""
    if not roster.chooses:
        return
    for id_ in sorted({person for policy in roster.policies.values() for step in policy.steps for person in everybody(roster, step)}):
        if id_ in roster.people and not any(way.targets for way in roster.people[id_].ways):
            yield ("people",), f"{id_}, who cannot be reached and may have the duty", "a way in `reach`"


def misrouted(roster: Roster, subjects: Iterable[Subject]) -> Iterator[Warned]:
    """Alarms that no route takes, and routes by which an alarm reaches nobody, or nobody any more after a while."""
    if not roster.chooses:
        return
    unrouted: dict[str, None] = {}
    unreached: dict[tuple[int, str], None] = {}
    silent: dict[tuple[int, str], None] = {}
    for subject in subjects:
        for hours in (WORKING, OTHERWISE) if roster.hours is not None else (OTHERWISE,):
            number = next((n for n, route in enumerate(roster.routes) if route.matches(subject, hours == WORKING)), None)
            if number is None:
                what = f"{subject.priority} alarms" + (f" {_WHEN[hours]}" if roster.hours is not None else "")
                unrouted[what] = None
            elif (name := roster.routes[number].policy) == NOBODY and subject.priority in ("critical", "high"):
                silent[number, subject.priority] = None
            elif name in roster.policies and not reaches(roster, roster.policies[name], subject.priority):
                unreached[number, subject.priority] = None
    for what in unrouted:
        found = f"no route for {what}: they go to every channel at once"
        yield ("routes",), found, "a last route without keys, for everything else"
    for number, priority in unreached:
        yield ("routes", number), f"a route by which {priority} alarms reach nobody", "people with a way for that priority"
    for number, priority in silent:
        yield ("routes", number), f"{priority} alarms that nobody is told of", "a policy"


_WHEN = {WORKING: "in working hours", OTHERWISE: "outside of working hours"}


def reaches(roster: Roster, policy: Policy, priority: str) -> bool:
    """Whether somebody whom the policy may tell has a way for that priority."""
    told = (roster.people.get(id_) for step in policy.steps for id_ in everybody(roster, step))
    return any(person is not None and targets_of(person, priority) for person in told)


def everybody(roster: Roster, step: Step) -> Iterator[str]:
    """The people whom a step may tell, whoever has the duty."""
    for name in step.to:
        if name not in roster.rotations:
            yield from roster.teams.get(name, (name,))
            continue
        turns = roster.rotations[name].turns
        yield from turns.members if isinstance(turns, Cycle) else turns.people
        yield from (override.person for override in roster.overrides if override.rotation == name)


def ending(roster: Roster) -> Iterator[Warned]:
    """Policies after whose last step nobody is told any more."""
    for policy in roster.policies.values():
        if not policy.repeat_ns:
            found = "a policy that ends with its last step, though nobody may have acknowledged"
            yield ("policies", policy.id), found, "repeat: 15m, say"


def gaps(roster: Roster, start: int, end: int, zone: ZoneInfo) -> Iterator[Warned]:
    """Times between two moments (int ns UTC) when nobody has a duty, by the clocks of `zone`; the first of each rotation."""
    for rotation in roster.rotations.values():
        begins = None
        for since, duty in duties(rotation, start, end, roster.overrides):
            if duty.person is None:
                begins, until = since, duty.until
                break
        if begins is not None:
            till = "" if until >= end else f" until {shown(until, zone):%Y-%m-%d %H:%M}"
            key = "ics" if isinstance(rotation.turns, Shifts) else "start"
            found = f"nobody on duty from {shown(begins, zone):%Y-%m-%d %H:%M}{till}"
            yield ("rotations", rotation.id, key), found, "somebody at any time"
