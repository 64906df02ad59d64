"""Derived points in plain Python: docs/rules.md, "Derived points", beside which it is to be read. It shares no code with the engine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from facility.derived import Derived, Origin
from facility.site import Facility, Point
from tests.support.admitted import Admitted, Reading


def with_derived(facility: Facility, admitted: Admitted) -> Admitted:
    """What was admitted, and the readings of the derived points."""
    derived = [reading for point in facility.points if point.derived for reading in derived_of(point, point.derived, admitted.readings)]
    return replace(admitted, readings=[*admitted.readings, *derived])


def derived_of(point: Point, derived: Derived, stored: Sequence[Reading]) -> Iterator[Reading]:
    """The readings of one derived point."""
    usable = [reading for reading in stored if reading.quality != "bad"]
    names = [origin.point for origin in derived.origins]
    for time in sorted({reading.time for reading in usable if reading.point in names}):
        found = volume(derived, usable, time) if derived.how == "sum" else words(derived, usable, time)
        if found is not None and abs(found[0]) <= 1e300:
            yield Reading(point.id, time, found[0], found[1], 0)


def words(derived: Derived, usable: Sequence[Reading], time: int) -> tuple[float, str] | None:
    """The difference, minimum or maximum of what the origins said last, and its quality; None where there is none."""
    said = [word(origin, usable, time) for origin in derived.origins]
    there = [reading for reading in said if reading is not None]
    unsure = any(reading.quality == "uncertain" for reading in there)
    if derived.how == "difference":
        if len(there) < 2:
            return None
        return there[0].value - there[1].value, "uncertain" if unsure else "good"
    if not there:
        return None
    asked = [origin for origin in derived.origins if origin.until_ns is None or time < origin.until_ns]
    values = [reading.value for reading in there]
    value = min(values) if derived.how == "minimum" else max(values)
    return value, "uncertain" if unsure or len(there) < len(asked) else "good"


def word(origin: Origin, usable: Sequence[Reading], time: int) -> Reading | None:
    """The newest usable reading of an origin at or before `time`, unless it is too old, or the origin is retired."""
    if origin.until_ns is not None and time >= origin.until_ns:
        return None
    known = [reading for reading in usable if reading.point == origin.point and reading.time <= time]
    newest = max(known, key=lambda reading: reading.time, default=None)
    return newest if newest is not None and time - newest.time <= origin.max_age_ns else None


def volume(derived: Derived, usable: Sequence[Reading], time: int) -> tuple[float, str] | None:
    """How many particles the samples up to `time` hold that fill the volume, and the quality; None where a gap lies between them."""
    (origin,) = derived.origins
    samples = sorted((reading for reading in usable if reading.point == origin.point), key=lambda reading: reading.time)
    samples = [sample for sample in samples if sample.time <= time and (origin.until_ns is None or sample.time < origin.until_ns)]
    samples = samples[-derived.samples :]
    if len(samples) < derived.samples or samples[-1].time != time:
        return None
    if any(later.time - earlier.time > origin.max_age_ns for earlier, later in pairwise(samples)):
        return None
    counted = math.fsum(float(round(sample.value * derived.per_value)) for sample in samples)
    return counted / derived.per_volume, "uncertain" if any(sample.quality == "uncertain" for sample in samples) else "good"
