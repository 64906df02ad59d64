"""The first half of the obvious evaluator: docs/rules.md, "Readings" and "Rooms' states", in plain Python."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from facility.site import OCCUPANCIES, Facility, Point

STATE_SUFFIX = "/occupancy"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a recording; `value` is a state's text where `point` is `<place>/occupancy`, None where the cell was empty."""

    point: str
    time: int
    value: float | str | None
    quality: str | None = None
    received: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """A stored reading; `quality` is the one that counts, after admission."""

    point: str
    time: int
    value: float
    quality: str
    received: int


@dataclass(frozen=True, slots=True)
class State:
    """A stored state message of a room or zone."""

    place: str
    time: int
    state: str


@dataclass(slots=True)
class Admitted:
    """What became of the rows: each lies in exactly one of these lists, except those without a value, which are no readings."""

    readings: list[Reading]
    states: list[State]
    duplicates: list[Row]
    quarantined: list[tuple[Row, str]]


# Readings


def with_received(rows: Sequence[Row]) -> list[Row]:
    """Each row with its `received`: where missing, the largest `time` in any row up to and including this one."""
    return [
        row if row.received is not None else replace(row, received=max(earlier.time for earlier in rows[: number + 1]))
        for number, row in enumerate(rows)
    ]


def arrived(row: Row) -> int:
    assert row.received is not None
    return row.received


def admit(facility: Facility, rows: Sequence[Row]) -> Admitted:
    """Settle, in order of arrival (`received`, then file order), what is stored, what is a duplicate, what goes to quarantine."""
    admitted = Admitted([], [], [], [])
    first_arrivals: dict[tuple[str, int], Row] = {}
    for row in sorted(rows, key=arrived):
        if row.value is None:
            continue
        reason = unintelligible(facility, row)
        if reason:
            admitted.quarantined.append((row, reason))
            continue
        first = first_arrivals.get((row.point, row.time))
        if first is not None:
            if same(first, row):
                admitted.duplicates.append(row)
            else:
                admitted.quarantined.append((row, "conflict"))
            continue
        reason = untimely(facility, row, admitted.readings)
        if reason:
            admitted.quarantined.append((row, reason))
            continue
        first_arrivals[row.point, row.time] = row
        if is_state(row):
            admitted.states.append(State(row.point.removesuffix(STATE_SUFFIX), row.time, str(row.value)))
        else:
            value = float(row.value)
            quality = counting_quality(facility.point_by_id[row.point], value, quality_of(row))
            admitted.readings.append(Reading(row.point, row.time, value, quality, arrived(row)))
    return admitted


def is_state(row: Row) -> bool:
    return row.point.endswith(STATE_SUFFIX)


def quality_of(row: Row) -> str:
    """`good`, `uncertain`, `bad`; missing or empty is `good`."""
    return row.quality or "good"


def unintelligible(facility: Facility, row: Row) -> str:
    """Why the row cannot be understood at all, or an empty text."""
    if is_state(row):
        if row.point.removesuffix(STATE_SUFFIX) not in facility.place_by_id:
            return "unknown_place"
        return "" if row.value in OCCUPANCIES else "unknown_state"
    if row.point not in facility.point_by_id or facility.point_by_id[row.point].derived:
        return "unknown_point"
    if isinstance(row.value, str):
        return "not_a_number"
    return "" if quality_of(row) in ("good", "uncertain", "bad") else "unknown_quality"


def same(first: Row, later: Row) -> bool:
    """Same value and quality as received; two NaN are the same, so are 0.0 and -0.0. A state message has no quality."""
    if is_state(first):
        return first.value == later.value
    if quality_of(first) != quality_of(later):
        return False
    both_nan = first.value != first.value and later.value != later.value
    return both_nan or first.value == later.value


def untimely(facility: Facility, row: Row, stored: Sequence[Reading]) -> str:
    """`clock_ahead`, `too_old` or an empty text; state messages are not checked."""
    if is_state(row):
        return ""
    point = facility.point_by_id[row.point]
    if row.time > arrived(row) + point.max_ahead_ns:
        return "clock_ahead"
    newest = max((reading.time for reading in stored if reading.point == row.point), default=None)
    if newest is not None and row.time < newest - point.max_late_ns:
        return "too_old"
    return ""


def counting_quality(point: Point, value: float, quality: str) -> str:
    """`bad` for NaN, infinities, values outside the point's range (its ends are inside) or beyond +-1e300."""
    if not math.isfinite(value) or value > 1e300 or value < -1e300:
        return "bad"
    if point.range is not None and not point.range[0] <= value <= point.range[1]:
        return "bad"
    return quality


# Rooms' states


def occupancy(facility: Facility, states: Sequence[State], place_id: str, time: int) -> str:
    """The occupancy of a room or zone at `time`: of its latest state message with `time <= t`, else its room's, else the facility's."""
    messages = [message for message in states if message.place == place_id and message.time <= time]
    if messages:
        return max(messages, key=lambda message: message.time).state
    place = facility.place_by_id[place_id]
    if place.parent is not None:
        return occupancy(facility, states, place.parent, time)
    return place.occupancy


def spell(facility: Facility, states: Sequence[State], place_id: str, time: int) -> int | None:
    """The change to `at_rest` since which the place has been at rest at `time`; None where it is not, or was so from the beginning."""
    if occupancy(facility, states, place_id, time) != "at_rest":
        return None
    place = facility.place_by_id[place_id]
    for moment in sorted({m.time for m in states if m.place in (place_id, place.parent) and m.time <= time}, reverse=True):
        if occupancy(facility, states, place_id, moment - 1) != "at_rest":
            return moment
    return None


def occupancy_of_limits(facility: Facility, states: Sequence[State], place_id: str, time: int) -> str:
    """Whose limits apply: for `clean_up` after a change to `at_rest` still those of `in_operation`."""
    place = facility.place_by_id[place_id]
    clean_up_ns = place.clean_up_ns
    for message in states:
        moment = message.time
        if message.place in (place_id, place.parent) and moment <= time < moment + clean_up_ns:
            # Times are whole nanoseconds: one earlier is the state just before.
            before = occupancy(facility, states, place_id, moment - 1)
            if before != "at_rest" and occupancy(facility, states, place_id, moment) == "at_rest":
                return "in_operation"
    return occupancy(facility, states, place_id, time)
