"""Tests of `clock_ahead`: instruments whose clock is ahead, one by one and all at once, on the instance's hastened clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass

from facility.site import SECOND_NS, Point
from facility.wire import Published
from rules.excursion import Excursion
from rules.rule import Rule
from service.challenge.compared import Findings, told
from service.challenge.instance import Instance
from service.challenge.subject import FAIL, NOT_APPLICABLE, PASS, Outcome

SPEED = 20.0
TOLERANCE_NS = 5 * SECOND_NS
"""What may pass from the publishing of a reading to its storing; the clock runs at its own pace meanwhile."""
MINUTE_NS = 60 * SECOND_NS
OURS = "$clock"
INSIDE = "ahead/inside", "ahead by the tolerance less than max_ahead: it is stored, and nothing is raised"
SHORT = "ahead/short", "refused, and stored again within the minute: nothing is raised"
AHEAD = "ahead/raised", "refused for a minute: raised after exactly that, ended by the next stored reading"
ALL = "ahead/all", "all points ahead at once: it is our own clock, told once"


def challenge_ahead(
    instance: Instance,
    chosen: Sequence[tuple[Rule, Sequence[Point], Sequence[Point]]],
    findings: Callable[[], Findings],
    say: Callable[[str], None],
) -> list[Outcome]:
    """Drive each rule at the points chosen, of those that it selects: never more than half of them at once, as that is another case."""
    outcomes: list[Outcome] = []
    try:
        for rule, points, selected in chosen:
            at_once = max(1, len(selected) // 2)
            for first in range(0, len(points), at_once):
                group = points[first : first + at_once]
                say(f"clocks ahead, rule {rule.id}: {len(group)} points")
                outcomes += _one_by_one(instance, rule, group, findings)
            say(f"clocks ahead, rule {rule.id}: all {len(selected)} points")
            outcomes.append(_all_at_once(instance, rule, selected, findings))
    finally:
        instance.clock.speed = 1.0
    return outcomes


def _pass(instance: Instance, span_ns: int) -> None:
    instance.wait(span_ns / SECOND_NS / SPEED)


@dataclass(frozen=True)
class _Sent:
    """A reading of each point: the times that they carry, and from when to when sending and receiving took; ns UTC."""

    times: Mapping[str, int]
    begin: int
    end: int


def _send(instance: Instance, points: Sequence[Point], ahead_ns: int | None) -> _Sent:
    """A reading of each point, so much further ahead than it may be (None: not ahead at all)."""
    instance.clock.speed = 1.0
    begin, times = instance.clock.now_ns(), dict[str, int]()
    for point in points:
        times[point.id] = instance.clock.now_ns() + (0 if ahead_ns is None else point.max_ahead_ns + ahead_ns)
        value = 0.0 if point.range is None else (point.range[0] + point.range[1]) / 2
        instance.send(point.id, [Published(times[point.id], value)])
    instance.until(lambda: instance.pipeline.intake.sums.received >= instance.sent, "receives what was sent")
    end = instance.clock.now_ns()
    instance.clock.speed = SPEED
    return _Sent(times, begin, end)


def _one_by_one(instance: Instance, rule: Rule, points: Sequence[Point], findings: Callable[[], Findings]) -> list[Outcome]:
    cursor = instance.cursor
    inside = _send(instance, points, -TOLERANCE_NS)
    refused = _send(instance, points, TOLERANCE_NS)
    stored = _send(instance, points, None)
    _pass(instance, MINUTE_NS + TOLERANCE_NS)
    again = _send(instance, points, TOLERANCE_NS)
    _pass(instance, MINUTE_NS + TOLERANCE_NS)
    ended = _send(instance, points, None)
    instance.settle()
    found, outcomes = findings(), []
    kept = {(one.point, one.time) for one in instance.received(cursor)}
    for point in points:
        for case, sent, until in ((INSIDE, inside, inside.end), (SHORT, refused, stored.end)):
            rows = found.of(rule.id, point.id, sent.begin, until)
            words = ["no excursion was expected"] if rows else []
            words += _admitted(kept, point, sent, case is INSIDE)
            outcomes.append(_outcome(rule, point.id, case, rows_told(rows), words, 1 if case is INSIDE else 2, (sent.begin, until)))
        rows = found.of(rule.id, point.id, again.begin, again.end)
        words = _raised(found, rule, rows, ended) + _admitted(kept, point, again, False)
        outcomes.append(_outcome(rule, point.id, AHEAD, rows_told(rows), words, 2, (again.begin, ended.end)))
    return outcomes


def _admitted(kept: Set[tuple[str, int]], point: Point, sent: _Sent, wanted: bool) -> list[str]:
    """What is wrong with the admission of a point's reading."""
    if ((point.id, sent.times[point.id]) in kept) is wanted:
        return []
    return ["it was refused, and should have been stored" if wanted else "it was stored, and should have been refused"]


def _raised(found: Findings, rule: Rule, rows: Sequence[Excursion], ended: _Sent) -> list[str]:
    if len(rows) != 1:
        return [f"1 excursion expected, {len(rows)} found"]
    row = rows[0]
    words = (
        [] if row.raised == row.onset + MINUTE_NS else [f"raised {(row.raised - row.onset) / SECOND_NS:g} s after its onset, 60 s expected"]
    )
    if row.ended is None or not ended.begin <= row.ended <= ended.end or row.cleared != row.ended:
        words.append("not ended by the reading that was stored")
    return words + ([why] if (why := found.untold(rule, row)) else [])


def _all_at_once(instance: Instance, rule: Rule, points: Sequence[Point], findings: Callable[[], Findings]) -> Outcome:
    if len(points) < 2:
        return Outcome(rule.id, OURS, *ALL, NOT_APPLICABLE, "the rule selects a single point")
    refused = _send(instance, points, TOLERANCE_NS)
    _pass(instance, MINUTE_NS + TOLERANCE_NS)
    ended = _send(instance, points, None)
    instance.settle()
    found = findings()
    rows = found.of(rule.id, OURS, refused.begin, refused.end)
    own = [row for point in points for row in found.of(rule.id, point.id, refused.begin, refused.end)]
    words = [] if len(rows) == 1 else [f"1 excursion of {OURS} expected, {len(rows)} found"]
    words += [f"{len(own)} excursions of single points, none expected"] if own else []
    for row in rows:
        words += [] if refused.begin <= row.raised <= refused.end else ["not raised when over half of the points were ahead"]
        words += (
            [] if row.ended is not None and ended.begin <= row.ended <= ended.end else ["not ended by the first reading that was stored"]
        )
        words += [why] if (why := found.untold(rule, row)) else []
    return _outcome(rule, OURS, ALL, rows_told(rows), words, 2 * len(points), (refused.begin, ended.end))


def rows_told(rows: Sequence[Excursion]) -> tuple[dict[str, object], ...]:
    return tuple(told(row) for row in rows)


def _outcome(
    rule: Rule,
    point: str,
    case: tuple[str, str],
    actual: tuple[dict[str, object], ...],
    words: Sequence[str],
    readings: int,
    span: tuple[int, int],
) -> Outcome:
    expected: tuple[dict[str, object], ...] = ()
    if case in (AHEAD, ALL):
        expected = (
            {"onset": "the arrival of the first refused reading", "raised": "a minute later" if case is AHEAD else "at once, over half"},
        )
    status = FAIL if words else PASS
    return Outcome(rule.id, point, *case, status, expected=expected, actual=actual, differences=tuple(words), readings=readings, span=span)
