"""What must come of the readings of a test: written from the text of docs/rules.md, sharing nothing with the engine."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from facility.limits import LimitRow, LimitTable
from facility.quantities import QUANTITIES
from facility.site import Point
from facility.units import conversion
from rules.rule import Bound, Rule
from service.challenge.computed import readings_of
from service.challenge.subject import Due, Limits, Sample, Subject

BREACHING, RETURNED, NEITHER = "breaching", "returned", "neither"
STALE_PERIODS = 3
Said = tuple[str, float | None]
"""What the kind says of a reading, and what its peak is taken of."""


def selects(rule: Rule, point: Point) -> bool:
    """Whether all given attributes of the selection match; `room` means the room's own points, not its zones'.

    What starts with `$`, the service's own, is meant only by a point or room that starts so too (docs/operations.md).
    """
    select = rule.select
    if point.id.startswith("$") and not select.point and not select.room:
        return False
    given = (
        (select.point, [point.id]), (select.room, [] if point.zone else [point.room]), (select.zone, [point.zone]),
        (select.grade, [point.grade]), (select.quantity, [point.quantity]), (select.type, [point.type]), (select.tag, point.tags),
    )  # fmt: skip
    return all(not globs or any(value and _fits(value, glob) for value in values for glob in globs) for globs, values in given)


def _fits(value: str, glob: str) -> bool:
    return fnmatchcase(value, glob) and (glob.startswith("$") or not value.startswith("$"))


def limits_in(rule: Rule, point: Point, tables: dict[str, LimitTable], state: str) -> Limits | None:
    """The limits of a rule at a point in an occupancy; None where it does not judge: by `while`, or as the cell is not specified."""
    if rule.during and state not in rule.during:
        return None
    found: dict[str, float | None] = {"above": None, "below": None}
    for name, bound in (("above", rule.above), ("below", rule.below)):
        if bound is None:
            continue
        if not isinstance(bound.value, str):
            found[name] = float(bound.value)
            continue
        row = cell_of(tables[bound.value], point, state, rule.level)
        if row is None:
            return None
        found[name] = _in_unit(tables[bound.value], point, getattr(row, name))
    if (rule.above or rule.below) and found["above"] is None and found["below"] is None:
        return None
    return Limits(**found)


def cell_of(table: LimitTable, point: Point, state: str, level: str) -> LimitRow | None:
    """The most specific row of a table for a point: by point, zone, room, type, grade, in this order."""
    values = (point.id, point.zone or "", "" if point.zone else point.room, point.type, point.grade or "")

    def fits(row: LimitRow) -> bool:
        same = all(wanted in ("", value) for wanted, value in zip(row.selectors, values, strict=True))
        return same and row.quantity in ("", point.quantity) and row.occupancy in ("", state) and row.level in ("", level)

    return max(filter(fits, table.rows), key=lambda row: [bool(value) for value in row.selectors], default=None)


def _in_unit(table: LimitTable, point: Point, value: float | None) -> float | None:
    quantity = QUANTITIES.get(point.quantity)
    if value is None or not table.converts or quantity is None:
        return value
    return float(conversion(quantity.unit, point.unit).of(value))


def due_of(subject: Subject, samples: Sequence[Sample], since: int) -> tuple[Due, ...]:
    """The excursions with an onset from `since` on, of all these readings, late ones too."""
    if subject.limits is None:
        return ()
    found: list[Due] = []
    judged: list[tuple[Sample, str, float | None, int]] = []
    for number, stretch in enumerate(_stretches(subject, samples)):
        for newest in range(len(stretch)):
            verdict, measured = KINDS[subject.rule.kind](subject, stretch[: newest + 1])
            judged.append((stretch[newest], verdict, measured, number))
    for onset, raised, ended, cleared in _spans(subject, [(sample.at, verdict, number) for sample, verdict, _, number in judged]):
        inside = [one for one in judged if onset <= one[0].at and (ended is None or one[0].at < ended)]
        peak, limit = _peak(subject, [measured for _, _, measured, _ in inside])
        found.append(Due(onset, raised, ended, cleared, peak, limit, len(inside)))
    return tuple(due for due in found if due.onset >= since)


def is_bad(point: Point, sample: Sample) -> bool:
    outside = point.range is not None and not point.range[0] <= sample.value <= point.range[1]
    return sample.quality == "bad" or not math.isfinite(sample.value) or outside


def _stretches(subject: Subject, samples: Sequence[Sample]) -> list[list[Sample]]:
    """The evaluated readings, cut where the gap between two is too long."""
    found: list[list[Sample]] = [[]]
    for sample in sorted(_own(subject, samples), key=lambda one: one.at):
        if (subject.rule.kind != "quality" and is_bad(subject.point, sample)) or _passed_over(subject, samples, sample.at):
            continue
        if subject.max_gap is not None and found[-1] and sample.at - found[-1][-1].at > subject.max_gap:
            found.append([])
        found[-1].append(sample)
    return found


def _own(subject: Subject, samples: Sequence[Sample]) -> list[Sample]:
    """The readings of the point itself, those of a derived point as they are computed."""
    if subject.point.derived is None:
        return [one for one in samples if not one.point]
    origins = {point.id: point for point in subject.origins}
    there = [one for one in samples if one.point in origins and not is_bad(origins[one.point], one)]
    return readings_of(subject.point, there)


def _passed_over(subject: Subject, samples: Sequence[Sample], at: int) -> bool:
    unless, other = subject.rule.unless, subject.other
    if unless is None or other is None:
        return False
    good = [one for one in samples if one.point == other.id and one.at <= at and one.quality in ("", "good") and not is_bad(other, one)]
    if not good or (other.period_ns is not None and not other.on_change and at - good[-1].at > STALE_PERIODS * other.period_ns):
        return False
    begin = None
    for one in good:
        beyond = _beyond(unless.above, one.value, 1) or _beyond(unless.below, one.value, -1)
        begin = None if not beyond else one.at if begin is None else begin
    return begin is not None and (unless.at_most is None or at - begin <= unless.at_most.of(subject.point.period_ns))


def _beyond(bound: Bound | None, value: float, sign: int, limit: float | None = None) -> bool:
    if bound is None:
        return False
    limit = float(bound.value) if limit is None else limit
    return sign * value > sign * limit or (bound.inclusive and value == limit)


def _against(subject: Subject, value: float) -> str:
    if any(_beyond(side.bound, value, side.sign, side.limit) for side in subject.sides):
        return BREACHING
    back = (side.sign * value <= side.sign * (side.limit - side.sign * subject.rule.deadband) for side in subject.sides)
    return RETURNED if all(back) else NEITHER


def _limit(subject: Subject, stretch: Sequence[Sample]) -> Said:
    return _against(subject, stretch[-1].value), stretch[-1].value


def _quality(subject: Subject, stretch: Sequence[Sample]) -> Said:
    return (BREACHING if is_bad(subject.point, stretch[-1]) else RETURNED), None


def _rate(subject: Subject, stretch: Sequence[Sample]) -> Said:
    window = [one for one in stretch if one.at >= stretch[-1].at - subject.window]
    if abs(stretch[-1].value - window[0].value) > (subject.rule.change or 0.0):
        return BREACHING, None
    return (RETURNED if len(window) > 1 else NEITHER), None


def _flatline(subject: Subject, stretch: Sequence[Sample]) -> Said:
    first = len(stretch) - 1
    low = high = stretch[-1].value
    while first and max(high, stretch[first - 1].value) - min(low, stretch[first - 1].value) <= subject.rule.tolerance:
        first -= 1
        low, high = min(low, stretch[first].value), max(high, stretch[first].value)
    if stretch[-1].at - stretch[first].at >= subject.window:
        return BREACHING, None
    return (RETURNED if first else NEITHER), None


def _count(subject: Subject, stretch: Sequence[Sample]) -> Said:
    rule = subject.rule
    assert rule.k is not None
    assert rule.n is not None
    last = stretch[-rule.n :]
    beyond = sum(_against(subject, one.value) == BREACHING for one in last)
    if len(last) < rule.min_readings:
        return NEITHER, stretch[-1].value
    return (BREACHING if beyond >= rule.k else RETURNED if len(last) == rule.n else NEITHER), stretch[-1].value


def _mean(subject: Subject, stretch: Sequence[Sample]) -> Said:
    since = stretch[-1].at - subject.window
    values = [one.value for one in stretch if one.at > since]
    if stretch[0].at > since or len(values) < subject.rule.min_readings:
        return NEITHER, None
    mean = math.fsum(values) / len(values)
    return _against(subject, mean), mean


def _recovery(subject: Subject, stretch: Sequence[Sample]) -> Said:
    newest = stretch[-1]
    rested = next((begin for begin, end in subject.spells if begin <= newest.at < end), None)
    if rested is None or _against(subject, newest.value) != BREACHING:
        return RETURNED, newest.value
    recovered = any(one.at >= rested and _against(subject, one.value) != BREACHING for one in stretch)
    late = newest.at >= max(rested, stretch[0].at) + subject.window
    return (BREACHING if late and not recovered else RETURNED), newest.value


KINDS: dict[str, Callable[[Subject, Sequence[Sample]], Said]] = {
    "limit": _limit, "quality": _quality, "rate": _rate, "flatline": _flatline, "count": _count, "mean": _mean,
    "recovery": _recovery,
}  # fmt: skip
"""What each kind says of the newest reading of a stretch."""


def _spans(subject: Subject, said: Sequence[tuple[int, str, int]]) -> list[tuple[int, int, int | None, int | None]]:
    """(onset, raised, ended, cleared) of each excursion: Raising and Clearing of docs/rules.md."""
    found: list[tuple[int, int, int | None, int | None]] = []
    breach: int | None = None
    back: int | None = None
    is_open, before = False, 0
    for at, verdict, stretch in said:
        if stretch != before:
            breach = back = None
            before = stretch
        breach = None if verdict != BREACHING else at if breach is None else breach
        back = None if verdict != RETURNED else at if back is None else back
        if not is_open and breach is not None and at - breach >= subject.on_delay:
            found.append((breach, at, None, None))
            is_open = True
        elif is_open and back is not None and at - back >= subject.off_delay:
            found[-1] = (*found[-1][:2], back, at)
            is_open = False
    return found


def _peak(subject: Subject, measured: Sequence[float | None]) -> tuple[float | None, float | None]:
    """The measured value farthest beyond, the earliest on a tie, and its limit; of one side the largest, or the smallest."""
    best: tuple[float, float, float] | None = None
    one_sided = subject.rule.above is None or subject.rule.below is None
    for value in measured:
        for side in subject.sides:
            if value is None:
                continue
            far = side.sign * value if one_sided else (value - side.limit) * side.sign
            if best is None or far > best[0]:
                best = far, value, side.limit
    return (None, None) if best is None else best[1:]
