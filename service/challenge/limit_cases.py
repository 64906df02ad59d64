"""Tests of rules that compare each reading: `limit`, and what it shares with others; `quality`."""

from __future__ import annotations

import math
from collections.abc import Iterator

from service.challenge.script import Made, Script, inapplicable
from service.challenge.subject import MANY, Side, Subject

NO_DELAY = "the rule has no on-delay: a single reading raises"
NO_OFF_DELAY = "the rule has no off-delay: a single reading clears"
ON_CHANGE = "the point reports on change: its silence says that the value stays"


def calm(subject: Subject) -> float:
    """A value that every limit has behind it, by more than the deadband, as far inside as tests need."""
    far = subject.rule.deadband + 10 * subject.resolution
    found = [side.limit - side.sign * far for side in subject.sides]
    if len(found) == 2:
        return (subject.sides[0].limit + subject.sides[1].limit) / 2
    value = found[0] if found else 0.0
    if subject.range is not None:
        low, high = subject.range
        value = min(max(value, low), high)
    return value


def at_rest(subject: Subject, value: float) -> Script:
    """A test that has begun with readings which clear whatever was open."""
    return Script(subject).run(value, subject.off_delay + 3 * subject.pause).begin()


def back(script: Script, value: float) -> Script:
    """Readings that clear what is open."""
    return script.run(value, script.subject.off_delay + script.subject.pause)


def limit_cases(subject: Subject) -> Iterator[Made]:
    """A limit on each side: below, at and above it, across delays and deadband; and what no side matters for, once."""
    if subject.limits is None:
        yield not_judged(subject)
        return
    for number, side in enumerate(subject.sides):
        yield from _values(subject, side)
        yield from _delays(subject, side)
        if subject.full:
            yield from _returning(subject, side)
            yield from _deadband(subject, side)
        if subject.full and not number:
            yield from disturbances(subject, subject.beyond(side), calm(subject))


def _values(subject: Subject, side: Side) -> Iterator[Made]:
    normal, step = calm(subject), side.sign * subject.resolution
    long = subject.on_delay + subject.tolerable(subject.on_delay)
    within, beyond = ("below", "above") if side.sign > 0 else ("above", "below")
    for case, words, value, excursions in (
        ("inside", f"one resolution {within} the limit", side.limit - step, 0),
        ("at-limit", "at the limit", side.limit, int(side.bound.inclusive)),
        ("beyond", f"one resolution {beyond} the limit", side.limit + step, 1),
    ):
        if not excursions and any(other.sign * (value - other.limit) > 0 for other in subject.sides if other is not side):
            yield inapplicable(f"{side.name}/{case}", words, "the limits are so close that it is beyond the other one")
            continue
        script = back(at_rest(subject, normal).run(value, long), normal)
        yield script.made(f"{side.name}/{case}", f"{value:g} {subject.point.unit}, {words}", excursions)


def _delays(subject: Subject, side: Side) -> Iterator[Made]:
    yield from delays(subject, subject.beyond(side), calm(subject), side.name)


def delays(subject: Subject, breaching: float, normal: float, name: str) -> Iterator[Made]:
    """Across the on-delay: shorter by the tolerance, exactly, and broken by one reading."""
    delay, tolerable = subject.on_delay, subject.tolerable(subject.on_delay)
    words = "beyond for {} on-delay"
    if not delay:
        yield inapplicable(f"{name}/delay", words.format("less than the"), NO_DELAY)
        return
    short = back(at_rest(subject, normal).run(breaching, delay - tolerable), normal)
    yield short.made(f"{name}/delay-short", words.format("the tolerance less than the"), 0)
    exact = back(at_rest(subject, normal).run(breaching, delay), normal)
    yield exact.made(f"{name}/delay-exact", words.format("exactly the"), 1)
    broken = at_rest(subject, normal).run(breaching, delay - tolerable).run(normal).run(breaching, delay - tolerable)
    yield back(broken, normal).made(f"{name}/delay-broken", "twice nearly the on-delay, one reading inside between", 0)


def _returning(subject: Subject, side: Side) -> Iterator[Made]:
    yield from returning(subject, subject.beyond(side), calm(subject), side.name)


def returning(subject: Subject, breaching: float, normal: float, name: str) -> Iterator[Made]:
    """Across the off-delay: back for less than it leaves the excursion open."""
    delay = subject.off_delay
    if not delay:
        yield inapplicable(f"{name}/off-delay", "back for less than the off-delay", NO_OFF_DELAY)
        return
    script = at_rest(subject, normal).run(breaching, subject.on_delay)
    script.run(normal, delay - subject.tolerable(delay)).run(breaching)
    yield back(script, normal).made(f"{name}/off-delay", "back for the tolerance less than the off-delay: one excursion goes on", 1)
    exact = at_rest(subject, normal).run(breaching, subject.on_delay).run(normal, delay).run(breaching, subject.on_delay)
    yield back(exact, normal).made(f"{name}/off-delay-exact", "back for exactly the off-delay: it clears, and a second one comes", 2)


def _deadband(subject: Subject, side: Side) -> Iterator[Made]:
    normal, deadband = calm(subject), subject.rule.deadband
    if not deadband:
        yield inapplicable(f"{side.name}/deadband", "inside the limit by less than the deadband", "the rule has no deadband")
        return
    beyond, edge = subject.beyond(side), side.limit - side.sign * deadband
    between = edge + side.sign * min(subject.resolution, deadband / 2)
    script = at_rest(subject, normal).run(beyond, subject.on_delay).run(between, subject.off_delay + subject.pause)
    script.run(beyond, subject.on_delay)
    yield back(script, normal).made(f"{side.name}/deadband", f"{between:g}: inside the limit, not by the deadband; it stays open", 1)
    script = at_rest(subject, normal).run(beyond, subject.on_delay).run(edge, subject.off_delay).run(beyond, subject.on_delay)
    yield back(script, normal).made(f"{side.name}/deadband-edge", f"{edge:g}: by the deadband inside; it clears, and a second one comes", 2)


def disturbances(subject: Subject, breaching: float, normal: float) -> Iterator[Made]:
    """Dropout, bad and uncertain readings, late arrival."""
    delay = subject.on_delay + subject.tolerable(subject.on_delay)
    yield from _dropout(subject, breaching, normal)
    bad = back(at_rest(subject, normal).run(breaching, delay, "bad"), normal)
    yield bad.made("bad/raises-nothing", "beyond, but every reading is bad", 0)
    open_ = at_rest(subject, normal).run(breaching, delay).run(normal, subject.off_delay + subject.pause, "bad").run(breaching)
    yield back(open_, normal).made("bad/clears-nothing", "back, but every reading is bad: it stays open", 1)
    uncertain = back(at_rest(subject, normal).run(breaching, delay, "uncertain"), normal)
    yield uncertain.made("uncertain", "beyond, and every reading is uncertain: it counts", 1)
    late = back(at_rest(subject, normal).run(breaching, delay, late=True), normal)
    yield late.made("late/found", "what is beyond arrives after what came later", 1)
    if subject.on_delay:
        short = subject.on_delay - subject.tolerable(subject.on_delay)
        broken = at_rest(subject, normal).run(breaching, short).run(normal, late=True).run(breaching, short)
        yield back(broken, normal).made("late/taken-back", "a late reading inside shows that it never lasted as long as the on-delay", 0)
    else:
        yield inapplicable("late/taken-back", "a late reading breaks a run that was too long", NO_DELAY)


def _dropout(subject: Subject, breaching: float, normal: float) -> Iterator[Made]:
    cases = ("dropout/open", "silence with an excursion open: it stays open"), ("dropout/run", "silence within a run beyond the limit")
    if subject.point.on_change:
        yield from (inapplicable(case, words, ON_CHANGE) for case, words in cases)
        return
    silence = max(10 * subject.pause, 2 * subject.off_delay, 2 * (subject.max_gap or 0))
    script = at_rest(subject, normal).run(breaching, subject.on_delay).wait(silence).run(breaching)
    yield back(script, normal).made(*cases[0], 1)
    if not subject.on_delay:
        yield inapplicable(*cases[1], NO_DELAY)
        return
    bridged = subject.max_gap or subject.on_delay
    short = max(0, subject.on_delay - subject.tolerable(subject.on_delay))
    script = at_rest(subject, normal).run(breaching).after(bridged).run(breaching, subject.on_delay - min(bridged, subject.on_delay))
    yield back(script, normal).made(cases[1][0], f"{cases[1][1]}, not longer than allowed: the run goes on", 1)
    if subject.max_gap is not None:
        longer = subject.max_gap + subject.tolerance_ns
        script = at_rest(subject, normal).run(breaching).after(longer).run(breaching, short)
        yield back(script, normal).made("dropout/gap", "silence longer than max_gap: the run begins anew, and is too short", 0)


def not_judged(subject: Subject) -> Made:
    """In an occupancy in which the rule does not judge, far beyond raises nothing."""
    low, high = subject.range or (-MANY, MANY)
    span = subject.on_delay + subject.window + subject.pause
    script = Script(subject).begin()
    for value in (low, high):
        script.run(value, span)
    return script.made("not-judged", f"the ends of the range in {subject.state}, where the rule does not judge", 0, bad=True)


def quality_cases(subject: Subject) -> Iterator[Made]:
    """Readings that say they are bad, and those that cannot be true."""
    if subject.limits is None:
        yield not_judged(subject)
        return
    low, high = subject.point.range or (0.0, 1.0)
    normal = (low + high) / 2
    delay = subject.on_delay + subject.tolerable(subject.on_delay)
    whole = back(at_rest(subject, normal).run(normal, delay, "bad"), normal)
    yield whole.made("bad", "the instrument says bad", 1)
    if subject.on_delay:
        short = back(at_rest(subject, normal).run(normal, subject.on_delay - subject.tolerable(subject.on_delay), "bad"), normal)
        yield short.made("bad/delay-short", "bad for the tolerance less than the on-delay", 0)
    else:
        yield inapplicable("bad/delay", "bad for less than the on-delay", NO_DELAY)
    if not subject.full:
        return
    yield back(at_rest(subject, normal).run(normal, delay, "uncertain"), normal).made("uncertain", "uncertain is not bad", 0)
    yield back(at_rest(subject, normal).run(math.nan, delay), normal).made("no-number", "NaN", 1, bad=True)
    if subject.point.range is None:
        yield inapplicable("range", "a value outside the range", "the point declares no range")
    else:
        for name, end, sign in (("low", low, -1), ("high", high, 1)):
            inside = back(at_rest(subject, normal).run(end, delay), normal)
            yield inside.made(f"range/{name}-end", f"{end:g}, the end of the range", 0)
            outside = back(at_rest(subject, normal).run(end + sign * subject.resolution, delay), normal)
            yield outside.made(f"range/{name}", f"{end + sign * subject.resolution:g}, one resolution outside the range", 1, bad=True)
    script = at_rest(subject, normal).run(normal, delay, "bad").wait(10 * subject.pause).run(normal, 0, "bad")
    yield back(script, normal).made("dropout", "silence while it is open: it stays open", 1)
    late = back(at_rest(subject, normal).run(normal, delay, "bad", late=True), normal)
    yield late.made("late/found", "the bad readings arrive after what came later", 1)
    yield from returning(subject, math.nan, normal, "bad")
