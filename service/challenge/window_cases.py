"""Tests of rules that look back: `count`, `mean`, `rate`, `flatline`."""

from __future__ import annotations

import math
from collections.abc import Iterator

from service.challenge.limit_cases import ON_CHANGE, back, calm, not_judged
from service.challenge.script import Made, Script, inapplicable
from service.challenge.subject import NOT_TESTED, Gap, Side, Subject

STEPS = 6
"""At least so many readings in a window."""


# count


def count_cases(subject: Subject) -> Iterator[Made]:
    """k - 1 of n and k of n, together and spread out."""
    if subject.limits is None:
        yield not_judged(subject)
        return
    for number, side in enumerate(subject.sides):
        yield from _counted(subject, side)
        if subject.full and not number:
            yield from _count_disturbed(subject, side)


def _counting(subject: Subject) -> Script:
    script = Script(subject).each([calm(subject)] * (_n(subject) + 1))
    return script.run(calm(subject), subject.off_delay).begin()


def _counted(subject: Subject, side: Side) -> Iterator[Made]:
    k, n, normal, step = _k(subject), _n(subject), calm(subject), side.sign * subject.resolution
    held = subject.on_delay + subject.tolerable(subject.on_delay)
    beyond = subject.beyond(side)
    for case, words, value, excursions in (
        ("inside", "one resolution inside the limit", side.limit - step, 0),
        ("at-limit", "at the limit", side.limit, int(side.bound.inclusive)),
        ("beyond", "one resolution beyond the limit", side.limit + step, 1),
    ):
        script = _counting(subject).each([value] * k).run(value, held)
        yield _calmed(script).made(f"{side.name}/{case}", f"more than {k} readings of {value:g}, {words}", excursions)
    if k > 1:
        script = _counting(subject).each([beyond] * (k - 1)).each([normal] * n)
        yield _calmed(script).made(f"{side.name}/too-few", f"{k - 1} of {n}", 0)
    if not subject.on_delay:
        exact = _calmed(_counting(subject).each([beyond] * k))
        yield exact.made(f"{side.name}/enough", f"{k} of {n}", 1)
        if n > k > 1:
            script = _counting(subject).each([beyond] * (k - 1)).each([normal] * (n - k)).each([beyond])
            yield _calmed(script).made(f"{side.name}/spread", f"{k} of {n}, the first and the last of them among these", 1)
            script = _counting(subject).each([beyond] * (k - 1)).each([normal] * (n - k + 1)).each([beyond])
            yield _calmed(script).made(f"{side.name}/spread-too-far", f"{k} among {n + 1}", 0)
    else:
        short = subject.on_delay - subject.tolerable(subject.on_delay)
        script = _counting(subject).each([beyond] * (k - 1)).run(beyond, short).each([normal] * (n + 1))
        if n == k:
            yield _calmed(script).made(f"{side.name}/delay-short", "enough for the tolerance less than the on-delay", 0)


def _count_disturbed(subject: Subject, side: Side) -> Iterator[Made]:
    k, beyond = _k(subject), subject.beyond(side)
    held = subject.on_delay + subject.tolerable(subject.on_delay)
    script = _counting(subject).each([beyond] * k, "bad").run(beyond, held, "bad")
    yield _calmed(script).made("bad", "enough, but every reading is bad", 0)
    script = _counting(subject).each([beyond] * k, "uncertain").run(beyond, held, "uncertain")
    yield _calmed(script).made("uncertain", "enough, and every reading is uncertain: it counts", 1)
    late = _counting(subject).each([beyond] * k, late=True).run(beyond, held, late=True)
    yield _calmed(late).made("late/found", "what is beyond arrives after what came later", 1)
    if subject.point.on_change:
        yield inapplicable("dropout", "silence between them", ON_CHANGE)
        return
    long = 10 * subject.pause if subject.max_gap is None else subject.max_gap + subject.tolerance_ns
    words = "silence longer than max_gap between them: the count begins anew" if subject.max_gap else "silence between them: it bridges"
    script = _counting(subject).each([beyond] * (k - 1)).wait(long).run(beyond, held)
    yield _calmed(script).made("dropout", words, None)


def _calmed(script: Script) -> Script:
    script.each([calm(script.subject)] * (_n(script.subject) + 1))
    return back(script, calm(script.subject))


def _k(subject: Subject) -> int:
    assert subject.rule.k is not None
    return subject.rule.k


def _n(subject: Subject) -> int:
    assert subject.rule.n is not None
    return subject.rule.n


# mean


def mean_cases(subject: Subject) -> Iterator[Made]:
    """A window full of values below, at and above the limit."""
    if subject.limits is None:
        yield not_judged(subject)
        return
    for number, side in enumerate(subject.sides):
        step = side.sign * subject.resolution
        for case, words, value, excursions in (
            ("inside", "one resolution inside the limit", side.limit - step, 0),
            ("at-limit", "at the limit", side.limit, int(side.bound.inclusive)),
            ("beyond", "one resolution beyond the limit", side.limit + step, 1),
        ):
            script = _averaged(subject).run(value, _filled(subject), step=_spacing(subject))
            yield _emptied(script).made(f"{side.name}/{case}", f"windows full of {value:g}, {words}", excursions)
        if subject.rule.deadband:
            edge = side.limit - side.sign * subject.rule.deadband
            between = edge + side.sign * min(subject.resolution, subject.rule.deadband / 2)
            script = _averaged(subject).run(side.limit + step, _filled(subject), step=_spacing(subject))
            script.run(between, 2 * subject.window + subject.off_delay, step=_spacing(subject))
            yield _emptied(script).made(f"{side.name}/deadband", f"then of {between:g}, not inside by the deadband: it stays open", 1)
        if subject.full and not number:
            yield from _mean_disturbed(subject, subject.beyond(side))


def _mean_disturbed(subject: Subject, beyond: float) -> Iterator[Made]:
    full, step = _filled(subject), _spacing(subject)
    yield _emptied(_averaged(subject).run(beyond, full, "bad", step=step)).made("bad", "beyond, but every reading is bad", 0)
    uncertain = _averaged(subject).run(beyond, full, "uncertain", step=step)
    yield _emptied(uncertain).made("uncertain", "beyond, and every reading is uncertain: it counts", 1)
    late = _averaged(subject).run(beyond, full, late=True, step=step)
    yield _emptied(late).made("late/found", "what is beyond arrives after what came later", 1)
    few = subject.rule.min_readings - 1
    if few < 1:
        yield inapplicable("min-readings", "too few readings in the window", "one reading is enough for the rule")
    elif subject.point.on_change:
        yield inapplicable("min-readings", "too few readings in the window", ON_CHANGE)
    else:
        script = _averaged(subject).wait(subject.window).each([beyond] * few, step=step).wait(subject.window)
        yield _emptied(script).made("min-readings", f"{few} readings in the window, beyond: too few for a mean", 0)


def _spacing(subject: Subject) -> int:
    widest = subject.pause if subject.point.on_change else max(1, subject.apart, subject.window // max(STEPS, subject.rule.min_readings))
    return widest if subject.max_gap is None else min(widest, subject.max_gap)


def _filled(subject: Subject) -> int:
    return 2 * subject.window + subject.on_delay + subject.tolerable(subject.on_delay)


def _averaged(subject: Subject) -> Script:
    """At rest, the window full."""
    return _emptied(Script(subject)).begin()


def _emptied(script: Script) -> Script:
    subject = script.subject
    return script.run(calm(subject), 2 * subject.window + subject.off_delay + subject.pause, step=_spacing(subject))


# rate


def rate_cases(subject: Subject) -> Iterator[Made]:
    """A step by as much as is allowed, and by a resolution more; in the window, and over a longer time."""
    change, step = subject.rule.change or 0.0, subject.resolution
    base, why = _room(subject, change + step)
    if subject.limits is None:
        yield not_judged(subject)
        return
    if why:
        yield Gap("step", "a step by more than is allowed", NOT_TESTED, why)
        return
    held = subject.on_delay + subject.tolerable(subject.on_delay)
    if held >= subject.window:
        yield Gap("step", "a step by more than is allowed", NOT_TESTED, "the on-delay is as long as the window: one step does not raise")
        return
    for sign, words in ((1, "up"), (-1, "down")):
        for case, amount, excursions in (("at-limit", change, 0), ("beyond", change + step, 1)):
            start = base - sign * change / 2
            script = _steady(subject, start).run(start + sign * amount, held)
            yield _settled(script, start + sign * amount).made(f"{words}/{case}", f"{words} by {amount:g} at once", excursions)
    if not subject.full:
        return
    start, end = base - change / 2, base + change / 2 + step
    if not subject.on_delay and not subject.point.on_change and (subject.max_gap is None or subject.max_gap > subject.window):
        slow = _steady(subject, start).after(subject.window + subject.tolerance_ns).run(end)
        yield _settled(slow, end).made("slow", "the same over the tolerance more than the window", 0)
        exact = _steady(subject, start).after(subject.window).run(end)
        yield _settled(exact, end).made("window", "the same over exactly the window", 1)
    else:
        yield inapplicable("slow", "the same over more than the window", "an on-delay, max_gap or copies fill the window")
    yield _settled(_steady(subject, start).run(end, held, "bad"), start).made("bad", "the step is in bad readings only", 0)
    late = _settled(_steady(subject, start).run(end, held, late=True), end)
    yield late.made("late/found", "the step arrives after what came later", None)


def _room(subject: Subject, amount: float) -> tuple[float, str]:
    """A value with room on both sides."""
    low, high = subject.range or (-math.inf, math.inf)
    for value in (0.0, (low + high) / 2 if math.isfinite(low) else 0.0):
        if low + amount <= value <= high - amount:
            return value, ""
    return 0.0, f"the point's range [{low:g}, {high:g}] has no room for a change by {amount:g}"


def _steady(subject: Subject, value: float) -> Script:
    return _settled(Script(subject), value).begin()


def _settled(script: Script, value: float) -> Script:
    """Nothing moves until no window holds what was before."""
    subject = script.subject
    step = subject.pause if subject.point.on_change else max(1, min(subject.window // 2, subject.spacing(subject.window)))
    return script.run(value, 3 * subject.window + 2 * subject.off_delay + subject.pause, step=step)


# flatline


def flatline_cases(subject: Subject) -> Iterator[Made]:
    """Standing still for as long as is allowed, and longer; moving by as much as counts as standing still, and more."""
    tolerance, step = subject.rule.tolerance, subject.resolution
    base, why = _room(subject, 2 * (tolerance + 2 * step))
    if subject.limits is None:
        yield not_judged(subject)
        return
    if why:
        yield Gap("still", "standing still", NOT_TESTED, why)
        return
    moved = base + tolerance + 2 * step
    held, tolerable = subject.window + subject.on_delay, subject.tolerable(subject.window)
    still = _moving(subject, base, moved).run(base, held - tolerable)
    yield _moving_on(still, base, moved).made("short", "standing still for the tolerance less than the duration", 0)
    still = _moving(subject, base, moved).run(base, held)
    yield _moving_on(still, base, moved).made("exact", "standing still for exactly the duration", 1)
    yield from _trembling(subject, base, moved)
    if not subject.full:
        return
    half = (held + tolerable) // 2
    script = _moving(subject, base, moved).run(base, half).run(moved, 0, "bad").run(base, half)
    yield _moving_on(script, base, moved).made("bad", "a bad reading moves: that is no movement", 1)
    script = _moving(subject, base, moved).run(base, half).run(moved).run(base, half)
    yield _moving_on(script, base, moved).made("broken", "one reading moves", 0)
    script = _moving(subject, base, moved).run(base, half).run(moved, late=True).run(base, half)
    yield _moving_on(script, base, moved).made("late/taken-back", "a late reading shows that it moved", 0)
    script = _moving(subject, base, moved).run(base, held, late=True)
    yield _moving_on(script, base, moved).made("late/found", "what stands still arrives after what came later", 1)
    if subject.max_gap is None:
        script = _moving(subject, base, moved).run(base).after(held).run(base)
        excursions = None if subject.on_delay else 1
        yield _moving_on(script, base, moved).made("dropout", "silence between two equal readings: it bridges", excursions)
    else:
        script = _moving(subject, base, moved).run(base, half).wait(subject.max_gap + subject.tolerance_ns).run(base, half)
        yield _moving_on(script, base, moved).made("dropout", "silence longer than max_gap: it begins anew", 0)


def _trembling(subject: Subject, base: float, moved: float) -> Iterator[Made]:
    tolerance, held = subject.rule.tolerance, subject.window + subject.on_delay
    more = tolerance + subject.resolution
    script = _moving(subject, base, moved).run(lambda number: base + more * (number % 2), held)
    yield _moving_on(script, base, moved).made("moving", f"moving by {more:g}, more than counts as standing still", 0)
    if tolerance:
        script = _moving(subject, base, moved).run(lambda number: base + tolerance / 2 * (number % 2), held)
        yield _moving_on(script, base, moved).made("trembling", f"moving by {tolerance / 2:g}, which counts as standing still", 1)


def _moving(subject: Subject, base: float, moved: float) -> Script:
    return _moving_on(Script(subject), base, moved).begin()


def _moving_on(script: Script, base: float, moved: float) -> Script:
    """Readings that move; the last is not `base`."""
    subject, other = script.subject, 2 * base - moved
    step = min(subject.spacing(subject.window), max(1, subject.window // 2))
    script.run(lambda number: moved if number % 2 else other, subject.off_delay + 4 * subject.pause, step=step)
    return script.each([other, moved])
