"""What the commands about on-call ask of a configuration: who has the duty, what its roster leaves open, what an alarm would do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from zoneinfo import ZoneInfo

from alerts.duty.course import EVERYONE, Course, Notice, go_on
from alerts.duty.gaps import ending, gaps, misrouted, without_a_way
from alerts.duty.roster import NOBODY, Subject, subject_of
from alerts.duty.rotation import Override
from facility.document import parse_document
from facility.files import Files
from facility.problems import Problem
from rules.selecting import Selector
from service.configuration.configuration import Configuration

DAY_NS = 86_400 * 10**9
AHEAD_NS = 60 * DAY_NS
"""So far ahead `check` looks for times when nobody has a duty."""


def subjects_of(configuration: Configuration) -> Iterator[Subject]:
    """What routes are asked about every rule at every point that it judges."""
    facility = configuration.facility
    selector = Selector(point for point in facility.points if point.retired_ns is None)
    for rule in configuration.rules:
        for point in selector.judged(rule, facility):
            yield subject_of(rule, point, facility)


def warnings_of(configuration: Configuration, at: int) -> list[Problem]:
    """What the roster leaves open from `at` (int ns UTC) on, each with its place in oncall.yaml."""
    roster, name = configuration.oncall.roster, configuration.settings.oncall
    if not roster.chooses:
        return []
    files = Files(configuration.settings.folder, configuration.files)
    document, _ = parse_document(files.shown(name), files.read(name))
    zone = ZoneInfo(configuration.facility.site.timezone)
    subjects = dict.fromkeys(subjects_of(configuration))
    found = chain(without_a_way(roster), misrouted(roster, subjects), ending(roster), gaps(roster, at, at + AHEAD_NS, zone))
    return [document.problem(path, what, wanted) for path, what, wanted in found]


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody would be told at a moment (int ns UTC), by the policy; `remark` says why it is not as the policy has it."""

    at: int
    policy: str
    notice: Notice
    remark: str = ""


def preview(
    configuration: Configuration, subject: Subject, at: int, overrides: tuple[Override, ...] = (), span_ns: int = DAY_NS
) -> tuple[list[Told], bool]:
    """Who would be told of an alarm raised at `at` that nobody acknowledges, for `span_ns`; and whether it goes on after that.

    Without routes everyone is told at once, and that is all.
    """
    roster = configuration.oncall.roster
    if not roster.chooses:
        return [Told(at, "", Notice(1, "", EVERYONE, target)) for target in configuration.oncall.everyone], False
    told: list[Told] = []
    course: Course | None = None
    now = at
    while True:
        going = go_on(roster, subject, course, now, overrides)
        told += [Told(now, going.course.policy, notice, "; ".join(going.remarks)) for notice in going.notices]
        if going.due is None or going.due > at + span_ns:
            ended = going.due is None or going.course.policy == NOBODY
            return told, not ended
        course, now = going.course, going.due
