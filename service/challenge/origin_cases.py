"""Tests of what makes a derived point: each of its origins counts, for as long as its readings do; of rules that compare each reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from facility.derived import DIFFERENCE, MINIMUM, SUM
from facility.site import Point
from service.challenge.limit_cases import at_rest, back, calm
from service.challenge.origins import through_origins
from service.challenge.script import Made, Script, inapplicable
from service.challenge.subject import Sample, Side, Subject

EACH = "origin/each", "each point that it is computed of says in turn what is beyond, the others what is not"
HELD = "origin/held", "one of the two is silent: its last reading counts for exactly max_age"
EXPIRED = "origin/expired", "one of the two is silent for the tolerance longer than max_age: no reading beyond comes of it"
SILENT = "origin/silent", "one of the two is silent for longer than max_age, the other is back: the excursion stays open"
AGE = "origin/age", "one says something once, which counts for exactly max_age, while the others go on"
ROLLS = "origin/rolls", "particles in one sample count in as many sums as there are samples in one, and in no more"
GAP = "origin/gap", "a gap among the samples: there is no sum of them"
TOO_LONG = "the on-delay is longer than max_age"
ALONE = "it is computed of a single point"


def origin_cases(subject: Subject) -> Iterator[Made]:
    """Of a derived point's rule of the kind limit, on its first side."""
    derived = subject.point.derived
    if derived is None or subject.rule.kind != "limit" or not subject.full or not subject.sides:
        return
    if len(subject.origins) < len(derived.origins) and derived.how in (DIFFERENCE, SUM):
        return
    side = subject.sides[0]
    if derived.how == DIFFERENCE:
        yield from _difference(subject, side)
    elif derived.how == SUM:
        yield from _sum(subject, side)
    elif len(subject.origins) == 1:
        yield inapplicable(*EACH, ALONE)
    else:
        yield from _extreme(subject, side)


def _say(script: Script, said: Sequence[tuple[Point, float]], at: int) -> None:
    script.samples += [Sample(at, value, point=point.id) for point, value in said]


def _times(begin: int, span: int, step: int) -> list[int]:
    """From the begin to exactly `span` later."""
    count = -(-span // step)
    return [begin + number * span // max(1, count) for number in range(count + 1)]


# Difference


def _difference(subject: Subject, side: Side) -> Iterator[Made]:
    a, b = subject.origins
    beyond, normal = subject.beyond(side), calm(subject)
    there, here = _alone(subject, beyond), _alone(subject, normal)
    if there is None or here is None:
        yield inapplicable(*HELD, "no readings of the two within their ranges make it what the test wants")
        return
    assert subject.point.derived is not None
    age, tolerance = subject.point.derived.origins[1].max_age_ns, subject.tolerance_ns
    (high, word), (low, old) = there, here
    long = subject.on_delay > age
    for case, more, excursions in ((HELD, 0, 1), (EXPIRED, tolerance, 0)):
        if long:
            yield inapplicable(*case, TOO_LONG)
            continue
        script = at_rest(subject, normal)
        _say(script, [(a, low), (b, old)], script.now)
        if word != old:
            _say(script, [(b, word), (a, word + normal)], script.now + 1)
        spoken = script.samples[-1].at
        for at in _times(spoken + age + more - subject.on_delay, subject.on_delay, subject.spacing(subject.on_delay)):
            if at > spoken:
                _say(script, [(a, high)], at)
        script.now = spoken + age + more + subject.pause
        yield back(script, normal).made(*case, excursions)
    script = at_rest(subject, normal).run(beyond, subject.on_delay)
    spoken = script.now - subject.pause
    for at in _times(spoken + age + tolerance, subject.off_delay + subject.pause, subject.pause):
        _say(script, [(a, low)], at)
    script.now = spoken + age + tolerance + subject.off_delay + 2 * subject.pause
    yield back(script, normal).made(*SILENT, 1)


def _alone(subject: Subject, value: float) -> tuple[float, float] | None:
    """What the two say to make it that value."""
    samples, _ = through_origins(subject, [Sample(0, value)])
    said = {sample.point: sample.value for sample in samples}
    return (said[subject.origins[0].id], said[subject.origins[1].id]) if said else None


# Minimum and maximum


def _extreme(subject: Subject, side: Side) -> Iterator[Made]:
    derived = subject.point.derived
    assert derived is not None
    beyond, normal = subject.beyond(side), calm(subject)
    first, *others = subject.origins
    decides = (derived.how == MINIMUM) == (side.sign < 0)
    script = at_rest(subject, normal)
    for carrier in subject.origins:
        for at in _times(script.now, subject.on_delay, subject.spacing(subject.on_delay)):
            _say(script, [(point, beyond if point is carrier else normal) for point in subject.origins], at)
        script.now += subject.on_delay + subject.pause
        back(script, normal)
    yield script.made(*EACH, len(subject.origins) if decides else 0)
    age = next(origin.max_age_ns for origin in derived.origins if origin.point == first.id)
    once, always = (beyond, normal) if decides else (normal, beyond)
    script = at_rest(subject, normal)
    _say(script, [(first, once)], script.now)
    held = [
        *_times(script.now, age, subject.spacing(age)),
        *_times(script.now + age + subject.tolerance_ns, subject.on_delay, subject.pause),
    ]
    for at in held:
        _say(script, [(point, always) for point in others], at)
    script.now = held[-1] + subject.pause
    yield back(script, normal).made(*AGE, int(not decides or subject.on_delay <= age))


# Sum


def _sum(subject: Subject, side: Side) -> Iterator[Made]:
    derived, (origin,) = subject.point.derived, subject.origins
    assert derived is not None
    n, age = derived.samples, derived.origins[0].max_age_ns
    if n == 1 or side.sign < 0:
        yield inapplicable(*ROLLS, "a single sample makes the sum" if n == 1 else "the limit is not above")
        return
    many, normal = round(subject.beyond(side) * derived.per_volume) / derived.per_value, calm(subject)
    step = max(subject.step, -(-subject.on_delay // (n - 1)))
    if step > age:
        yield inapplicable(*ROLLS, "the on-delay is longer than particles stay in the sum")
    elif origin.range is not None and many > origin.range[1]:
        yield inapplicable(*ROLLS, "so many particles in one sample are outside the range")
    else:
        script = at_rest(subject, normal)
        begin = script.now + subject.apart
        for number in range(3 * n):
            _say(script, [(origin, many if number == n else 0.0)], begin + number * step)
        script.now = begin + 3 * n * step + subject.apart
        yield back(script, normal).made(*ROLLS, 1)
    script = at_rest(subject, normal)
    begin = script.now + subject.apart
    for number in range(n):
        at = begin + number * subject.step + (age - subject.step + subject.tolerance_ns if number >= n // 2 else 0)
        _say(script, [(origin, many if number == n // 2 else 0.0)], at)
    script.now = begin + n * subject.step + age + subject.apart
    yield back(script, normal).made(*GAP, 0)
