"""Driving a derived point: what its origins have to say so that it reads as a test wants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from facility.derived import DIFFERENCE, MINIMUM, SUM
from facility.site import Point
from service.challenge.subject import NOT_APPLICABLE, NOT_TESTED, Sample, Subject

SAMPLES_MAX = 100_000
"""In one test."""


def through_origins(subject: Subject, samples: Sequence[Sample]) -> tuple[tuple[Sample, ...], tuple[str, str]]:
    """What the origins say so that the derived point says `samples` (those of other points stay); or the status and reason why not."""
    derived = subject.point.derived
    assert derived is not None
    if len(subject.origins) < len(derived.origins) and derived.how in (DIFFERENCE, SUM):
        return (), (NOT_APPLICABLE, "a point that it is computed of is retired: it has no readings")
    own = [one for one in samples if not one.point]
    if derived.samples * len(own) > SAMPLES_MAX:
        return (), (NOT_TESTED, f"the test would take {derived.samples * len(own)} samples")
    if derived.how == SUM and not _far_enough(subject, own):
        return (), (NOT_TESTED, "the test needs readings that are closer to each other than sums that differ can be")
    said = {DIFFERENCE: _difference, SUM: _sum}.get(derived.how, _extreme)
    found = [one for one in samples if one.point]
    for number, one in enumerate(own):
        if derived.how == SUM and number and one.at - own[number - 1].at < subject.apart:
            found.append(replace(one, point=subject.origins[0].id, value=0.0))  # the sum goes on
            continue
        origins = list(said(subject, one, number))
        if not origins:
            return (), (NOT_APPLICABLE, f"no readings of the points that it is computed of, within their ranges, make it {one.value:g}")
        found += origins
    return tuple(sorted(found, key=lambda one: one.at)), ("", "")


def _far_enough(subject: Subject, own: Sequence[Sample]) -> bool:
    """Whether each reading has samples of its own, or is the sum before with one more sample of nothing."""
    goes_on = 1
    for before, after in pairwise(own):
        far = after.at - before.at >= subject.apart
        goes_on = 1 if far else goes_on + 1
        if not far and (after.value != before.value or after.at - before.at > subject.no_gap or goes_on > subject.samples):
            return False
    return True


def _within(point: Point, value: float) -> bool:
    return point.range is None or point.range[0] <= value <= point.range[1]


def _both(one: Sample, said: Sequence[tuple[Point, float]], carrier: int, *, all_late: bool) -> Iterator[Sample]:
    """What several say at once: bad all of them, uncertain the one that carries the value; late all or that one."""
    for number, (point, value) in enumerate(said):
        carries = number == carrier
        quality = one.quality if carries or one.quality == "bad" else ""
        yield replace(one, point=point.id, value=value, quality=quality, late=one.late and (carries or all_late))


def _difference(subject: Subject, one: Sample, number: int) -> Iterator[Sample]:
    """Two values whose difference is exactly the value: halves, doubles and zero lose no digit, sums may."""
    a, b = subject.origins
    value = one.value
    tried = [(value, 0.0), (0.0, -value), (value / 2, -value / 2), (2 * value, value), (-value, -2 * value)]
    tried += [(base + value, base) for base in (*b.range, sum(b.range) / 2)] if b.range else []
    for form, (high, low) in enumerate(tried):
        if high - low == value and _within(a, high) and _within(b, low):
            # Where one of them says nothing but zero, the other carries the value, and comes late alone.
            yield from _both(one, [(a, high), (b, low)], form % 2, all_late=form > 1)
            return


def _extreme(subject: Subject, one: Sample, number: int) -> Iterator[Sample]:
    """One says the value, in turn, the others something that is less of an extreme."""
    assert subject.point.derived is not None
    step = subject.resolution if subject.point.derived.how == MINIMUM else -subject.resolution
    carrier = number % len(subject.origins)
    if _within(subject.origins[carrier], one.value):
        others = [one.value + step if _within(point, one.value + step) else one.value for point in subject.origins]
        said = [(point, one.value if n == carrier else others[n]) for n, point in enumerate(subject.origins)]
        if all(_within(point, value) for point, value in said):
            yield from _both(one, said, carrier, all_late=True)


def _sum(subject: Subject, one: Sample, number: int) -> Iterator[Sample]:
    """Samples that are no gap apart, all the particles in the last, at the reading's time; what they have is the nearest whole number."""
    derived, (origin,) = subject.point.derived, subject.origins
    assert derived is not None
    value = max(0, round(one.value * derived.per_volume)) / derived.per_value
    if one.value >= 0 and _within(origin, value) and _within(origin, 0.0):
        for before in range(subject.samples - 1, -1, -1):
            said = replace(one, at=one.at - before * subject.step, point=origin.id, value=0.0 if before else value)
            yield said if not before or one.quality == "bad" else replace(said, quality="", late=False)
