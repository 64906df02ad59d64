"""What the readings of a derived point must be, of those of its origins: written from docs/rules.md, sharing nothing with the engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from facility.derived import DIFFERENCE, MINIMUM, SUM, Origin
from facility.site import Point
from service.challenge.subject import Sample

LARGEST = 1e300


def readings_of(point: Point, samples: Sequence[Sample]) -> list[Sample]:
    """The readings of a derived point in the order of time; `samples` are of its origins and others, without the bad ones."""
    assert point.derived is not None
    there = sorted(samples, key=lambda one: one.at)
    said = {origin.point: [one for one in there if one.point == origin.point] for origin in point.derived.origins}
    found = _sums(point, said) if point.derived.how == SUM else _words(point, said)
    return [one for one in found if abs(one.value) <= LARGEST]


def _words(point: Point, said: dict[str, list[Sample]]) -> Iterator[Sample]:
    derived = point.derived
    assert derived is not None
    for at in sorted({one.at for rows in said.values() for one in rows}):
        words = [_word(said[origin.point], origin, at) for origin in derived.origins]
        known = [word for word in words if word is not None]
        if not known or (derived.how == DIFFERENCE and len(known) < 2):
            continue
        values = [word.value for word in known]
        value = values[0] - values[1] if derived.how == DIFFERENCE else min(values) if derived.how == MINIMUM else max(values)
        unsure = len(known) < len(words) or any(word.quality == "uncertain" for word in known)
        yield Sample(at, value, "uncertain" if unsure else "")


def _word(rows: Sequence[Sample], origin: Origin, at: int) -> Sample | None:
    """The newest that an origin said by `at`, unless that is too old."""
    newest = next((one for one in reversed(rows) if one.at <= at), None)
    return newest if newest is not None and at - newest.at <= origin.max_age_ns else None


def _sums(point: Point, said: dict[str, list[Sample]]) -> Iterator[Sample]:
    derived = point.derived
    assert derived is not None
    (origin,), (rows,) = derived.origins, said.values()
    for last in range(derived.samples - 1, len(rows)):
        some = rows[last - derived.samples + 1 : last + 1]
        if all(after.at - before.at <= origin.max_age_ns for before, after in pairwise(some)):
            total = sum(round(one.value * derived.per_value) for one in some)
            unsure = any(one.quality == "uncertain" for one in some)
            yield Sample(some[-1].at, total / derived.per_volume, "uncertain" if unsure else "")
