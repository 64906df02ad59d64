"""Tests of `unless`: readings are passed over while another point is beyond."""

from __future__ import annotations

import math
from collections.abc import Iterator

from facility.site import Point
from service.challenge.limit_cases import back, calm
from service.challenge.meaning import STALE_PERIODS
from service.challenge.script import Made, Script, inapplicable
from service.challenge.subject import NOT_TESTED, PAUSE_NS, Gap, Subject

PASSED_OVER = "unless/passed-over", "the other point is beyond: readings are passed over"
TOO_LONG = "unless/too-long", "the other point is beyond for longer than at_most: the rule applies again"
STALE = "unless/stale", "the other point has gone silent while beyond: the rule applies"


def unless_cases(subject: Subject) -> Iterator[Made]:
    """With the other point beyond, beyond for too long, and beyond but silent; of rules that compare each reading."""
    unless, other = subject.rule.unless, subject.other
    if unless is None or subject.limits is None or not subject.full:
        return
    if other is None:
        name = unless.point.replace("{room}", subject.point.room)
        yield inapplicable(*PASSED_OVER, f"there is no point {name}: the rule applies to all readings")
        return
    beyond = _value(subject, other, inside=False) if subject.rule.kind == "limit" and subject.sides else None
    if beyond is None or other.id == subject.point.id:
        reason = "no test for `unless` at this kind of rule, or no value of the other point is beyond within its range"
        yield Gap(*PASSED_OVER, NOT_TESTED, reason)
        return
    yield from _driven(subject, other, beyond)


def _driven(subject: Subject, other: Point, beyond: float) -> Iterator[Made]:
    unless = subject.rule.unless
    assert unless is not None
    normal, breaching = calm(subject), subject.beyond(subject.sides[0])
    period = other.period_ns or PAUSE_NS
    held = subject.on_delay + subject.tolerable(subject.on_delay)
    most = None if unless.at_most is None else unless.at_most.of(subject.point.period_ns)

    def begun() -> Script:
        return quiet(Script(subject)).run(normal, subject.off_delay + 3 * subject.pause).begin()

    span = held if most is None else min(held, most)
    script = begun().beside(beyond, span, period).run(breaching, span)
    yield back(quiet(script), normal).made(*PASSED_OVER, 0)
    if most is None:
        yield inapplicable(*TOO_LONG, "the rule has no at_most")
    else:
        script = begun().beside(beyond, most + subject.pause + held, period).run(breaching, most).run(breaching, held)
        yield back(quiet(script), normal).made(*TOO_LONG, 1)
    if other.period_ns is None or other.on_change:
        yield inapplicable(*STALE, "the other point declares no period, or reports on change")
    else:
        silence = STALE_PERIODS * other.period_ns + subject.tolerance_ns
        script = begun().beside(beyond, 0, period).wait(silence).run(breaching, held)
        yield back(quiet(script), normal).made(*STALE, 1)


def quiet(script: Script) -> Script:
    """The other point is not beyond, from here on."""
    subject = script.subject
    if subject.other is not None and (value := _value(subject, subject.other, inside=True)) is not None:
        script.beside(value, 0, 1)
    return script


def _value(subject: Subject, other: Point, *, inside: bool) -> float | None:
    """A value of the other point that is not beyond, or that is, within its range; None where there is none."""
    unless = subject.rule.unless
    assert unless is not None
    step = other.resolution or 0.001
    given = ((unless.above, 1), (unless.below, -1))
    sides = [(float(bound.value), sign) for bound, sign in given if bound is not None]
    tried: list[float] = [limit + (-sign if inside else sign) * step for limit, sign in sides]
    tried += list(other.range or ())
    low, high = other.range or (-math.inf, math.inf)
    for value in tried:
        is_beyond = any(sign * value > sign * limit for limit, sign in sides)
        if is_beyond is not inside and low <= value <= high and all(value != limit for limit, _ in sides):
            return value
    return None
