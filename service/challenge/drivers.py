"""Which tests a kind of rule is driven by; a kind without a line here is reported as NOT TESTED."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from facility.limits import LimitTable
from facility.site import OCCUPANCIES, Facility, Point
from rules.rule import Rule
from service.challenge.limit_cases import limit_cases, quality_cases
from service.challenge.meaning import limits_in
from service.challenge.origin_cases import origin_cases
from service.challenge.recovery_cases import recovery_cases, timed
from service.challenge.script import Made, Script
from service.challenge.subject import Subject, Trial
from service.challenge.unless_cases import quiet, unless_cases
from service.challenge.window_cases import count_cases, flatline_cases, mean_cases, rate_cases

Driver = Callable[[Subject], Iterator[Made]]

DRIVERS: dict[str, Driver] = {
    "limit": limit_cases,
    "count": count_cases,
    "mean": mean_cases,
    "rate": rate_cases,
    "flatline": flatline_cases,
    "quality": quality_cases,
    "recovery": recovery_cases,
}
"""Kinds that are judged on the times of readings. Whoever adds a kind adds its tests here, and its meaning to `meaning.KINDS`."""
ON_ARRIVAL = ("stale", "clock_ahead")
"""Kinds that are judged on the arrival of readings: silence.py and ahead.py drive them on the instance's clock."""
OF_PLACES = ("state",)
"""Kinds that judge what is said of rooms and zones: stays.py drives them."""


def subjects(rule: Rule, point: Point, facility: Facility, tables: dict[str, LimitTable], tolerance_ns: int) -> list[Subject]:
    """A rule at a point in each occupancy where it judges otherwise than in those before, in_operation first; in the first in full."""
    by_state = bool(rule.during) or any(bound is not None and isinstance(bound.value, str) for bound in (rule.above, rule.below))
    asked = () if point.derived is None else point.derived.origins
    origins = tuple(facility.point_by_id[one.point] for one in asked if facility.point_by_id[one.point].retired_ns is None)
    other = None if rule.unless is None else facility.point_by_id.get(rule.unless.point.replace("{room}", point.room))
    found: list[Subject] = []
    if rule.kind == "recovery":
        rule = timed(rule, point, facility)
        return [Subject(rule, point, "at_rest", limits_in(rule, point, tables, "at_rest"), tolerance_ns, other=other, origins=origins)]
    for state in OCCUPANCIES if by_state else OCCUPANCIES[:1]:
        limits = limits_in(rule, point, tables, state)
        full = limits is not None and not any(subject.full for subject in found)
        found.append(Subject(rule, point, state, limits, tolerance_ns, full, other, origins=origins))
    return found


def made(subject: Subject) -> Sequence[Made]:
    """All tests of a subject; while another point could suspend the rule, that one is told to be inside."""
    trials = [*DRIVERS[subject.rule.kind](subject), *unless_cases(subject), *origin_cases(subject)]
    calm = tuple(quiet(Script(subject)).samples)
    told = {sample.point for sample in calm}
    return [
        replace(one, samples=(*calm, *one.samples))
        if isinstance(one, Trial) and not told & {sample.point for sample in one.samples}
        else one
        for one in trials
    ]
