"""What each kind says of a reading, from the evaluated readings of its stretch: docs/rules.md, Kinds, in plain Python."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from facility.site import Facility, Point
from rules.rule import Bound, Rule
from tests.support.admitted import State, spell

BREACHING, RETURNED, NEITHER = "breaching", "returned", "neither"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one reading; None where that side has none."""

    above: float | None
    below: float | None


NO_LIMITS = Limits(None, None)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A reading that is evaluated, or a copy of one; `limits` are empty for the kinds without."""

    time: int
    value: float
    quality: str
    limits: Limits


def against(rule: Rule, value: float, limits: Limits) -> str:
    """Breaching, returned or neither: a value, or a mean, against its limits."""
    if beyond(rule.above, limits.above, value, 1) or beyond(rule.below, limits.below, value, -1):
        return BREACHING
    below_upper = limits.above is None or value <= limits.above - rule.deadband
    above_lower = limits.below is None or value >= limits.below + rule.deadband
    return RETURNED if below_upper and above_lower else NEITHER


def beyond(bound: Bound | None, limit: float | None, value: float, sign: int) -> bool:
    """Whether a value is beyond one side; `sign` is 1 for above, -1 for below."""
    if bound is None or limit is None:
        return False
    return sign * value > sign * limit or (bound.inclusive and value == limit)


def rate(rule: Rule, point: Point, stretch: Sequence[Evaluated]) -> str:
    assert rule.window is not None
    assert rule.change is not None
    last = stretch[-1]
    window = [reading for reading in stretch if reading.time >= last.time - rule.window.of(point.period_ns)]
    if abs(last.value - window[0].value) > rule.change:
        return BREACHING
    return RETURNED if len(window) > 1 else NEITHER


def flatline(rule: Rule, point: Point, stretch: Sequence[Evaluated]) -> str:
    assert rule.duration is not None
    first = len(stretch) - 1  # where S begins
    while first > 0 and spread(stretch[first - 1 :]) <= rule.tolerance:
        first -= 1
    if stretch[-1].time - stretch[first].time >= rule.duration.of(point.period_ns):
        return BREACHING
    return NEITHER if first == 0 else RETURNED


def spread(readings: Sequence[Evaluated]) -> float:
    return max(reading.value for reading in readings) - min(reading.value for reading in readings)


def count(rule: Rule, stretch: Sequence[Evaluated]) -> str:
    assert rule.k is not None
    assert rule.n is not None
    last_n = stretch[-rule.n :]
    if len(last_n) < rule.min_readings:
        return NEITHER
    if sum(against(rule, reading.value, reading.limits) == BREACHING for reading in last_n) >= rule.k:
        return BREACHING
    return RETURNED if len(last_n) == rule.n else NEITHER


def mean_of(rule: Rule, point: Point, stretch: Sequence[Evaluated]) -> float | None:
    """The mean at the last reading; None during the warm-up and with too few readings."""
    assert rule.window is not None
    since = stretch[-1].time - rule.window.of(point.period_ns)
    values = [reading.value for reading in stretch if reading.time > since]
    if stretch[0].time > since or len(values) < rule.min_readings:
        return None
    return math.fsum(values) / len(values)


def recovery(facility: Facility, rule: Rule, point: Point, states: Sequence[State], stretch: Sequence[Evaluated]) -> list[str]:
    """What is said of each reading of a stretch."""
    within = facility.place_by_id[point.place].clean_up_ns if rule.within is None else rule.within.of(point.period_ns)
    verdicts = []
    for position, reading in enumerate(stretch):
        since = spell(facility, states, point.place, reading.time)
        breaching = False
        if since is not None and against(rule, reading.value, reading.limits) == BREACHING:
            counts_from = max(since, stretch[0].time)
            before = [r for r in stretch[:position] if r.time >= since and against(rule, r.value, r.limits) != BREACHING]
            breaching = not before and within > 0 and reading.time >= counts_from + within
        verdicts.append(BREACHING if breaching else RETURNED)
    return verdicts
