"""The course of telling: which notices of an alarm are due, to whom, by which way. One function for the service and for the preview."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from alerts.duty.roster import Person, Policy, Roster, Step, Subject, Way
from alerts.duty.rotation import FOREVER, Override

EVERYONE = "everyone"
"""Who is told where nobody else can be: rather too many than none."""


@dataclass(frozen=True, slots=True)
class Course:
    """How far telling of an alarm has come: by which policy, counted from when (int ns UTC), and how many notices are given."""

    policy: str
    since: int
    given: int = 0


@dataclass(frozen=True, slots=True)
class Notice:
    """Somebody is told: `person` as `named` in the policy, by `target`, in the policy's `step` (from 1). Without a person: everyone."""

    step: int
    person: str
    named: str
    target: str
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Going:
    """What came of looking at a course: how it stands, what is told now, why if not as the policy says, and when to look again."""

    course: Course
    notices: tuple[Notice, ...] = ()
    remarks: tuple[str, ...] = ()
    due: int | None = None


def go_on(roster: Roster, subject: Subject, course: Course | None, at: int, overrides: Iterable[Override] = ()) -> Going:
    """What is due of an alarm at a moment (int ns UTC); None begins a course. Who has the duty is looked up at that moment.

    When another policy is for it now, as working hours began or ended, that one begins. Where no route matches, everyone is told at once.
    """
    overrides = tuple(overrides)
    policy = roster.policy(subject, at)
    if policy is None:
        if course is not None and course.policy == EVERYONE:
            return Going(course, due=_again(roster, at, None))
        return Going(Course(EVERYONE, at, 1), everyone(roster, 1), ("no route matches",), _again(roster, at, None))
    if course is None or course.policy != policy.id:
        course = Course(policy.id, at)
    notices: list[Notice] = []
    remarks: list[str] = []
    while (due := due_of(policy, course)) is not None and due <= at:
        number = min(course.given, len(policy.steps) - 1)
        found = told_by(roster, subject, policy.steps[number], number + 1, at, overrides)
        course = _given(policy, course, at)
        if found:
            notices += found
            continue
        remarks.append(f"step {number + 1} of {policy.id} reaches nobody now")
        if course.given < len(policy.steps):  # the next one need not wait for those who are not there
            course = replace(course, since=min(course.since, at - policy.steps[course.given].after_ns))
        else:
            notices += everyone(roster, number + 1)
    distinct = tuple({notice.target: notice for notice in reversed(notices)}.values())[::-1]
    return Going(course, distinct, tuple(remarks), _again(roster, at, due_of(policy, course)))


def due_of(policy: Policy, course: Course) -> int | None:
    """When the next notice of a policy is due (int ns UTC); None when all are given."""
    if course.given < len(policy.steps):
        return course.since + policy.steps[course.given].after_ns
    repeats = course.given - len(policy.steps)
    if not policy.steps or not policy.repeat_ns or (policy.times and repeats >= policy.times):
        return None
    return course.since + policy.steps[-1].after_ns + (repeats + 1) * policy.repeat_ns


def _given(policy: Policy, course: Course, at: int) -> Course:
    """One notice is given; of repeats that nobody could give, since the service was down, one is enough."""
    if course.given < len(policy.steps):
        return replace(course, given=course.given + 1)
    missed = (at - course.since - policy.steps[-1].after_ns) // policy.repeat_ns
    given = len(policy.steps) + missed
    return replace(course, given=min(given, len(policy.steps) + policy.times) if policy.times else given)


def _again(roster: Roster, at: int, due: int | None) -> int | None:
    """When to look again: when the next notice is due, or another policy may be for it."""
    soonest = min(FOREVER if due is None else due, roster.changes_after(at))
    return None if soonest == FOREVER else soonest


def told_by(roster: Roster, subject: Subject, step: Step, number: int, at: int, overrides: Iterable[Override] = ()) -> list[Notice]:
    """Whom a step tells at a moment, and by which targets."""
    overrides = tuple(overrides)
    return [
        Notice(number, id_, name, target, roster.people[id_].language)
        for name in step.to
        for id_ in roster.told(name, at, overrides)
        if id_ in roster.people
        for target in targets_of(roster.people[id_], subject.priority, step.by)
    ]


def targets_of(person: Person, priority: str, by: tuple[str, ...] = ()) -> list[str]:
    """By which targets a person is told: by the first way of each name in `by`; without, or if none fits, by the first of all."""
    ways = person.ways_for(priority)
    firsts = {name: next((way for way in ways if name in way.names), None) for name in by}
    chosen = [way for way in firsts.values() if way is not None] or ways[:1]
    return list(dict.fromkeys(target for way in chosen for target in way.targets))


def next_way(person: Person, priority: str, tried: Iterable[str]) -> Way | None:
    """The next way for who could not be reached by what was tried."""
    tried = set(tried)
    return next((way for way in person.ways_for(priority) if not tried & set(way.targets)), None)


def everyone(roster: Roster, step: int) -> tuple[Notice, ...]:
    """Every channel is told."""
    return tuple(Notice(step, "", EVERYONE, target, roster.language) for target in roster.everyone or roster.targets)
