"""Tests of `stale`: points fall silent on the instance's hastened clock, and what came is compared with the journal's moments of arrival."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from facility.site import SECOND_NS, Point
from facility.wire import Published
from rules.excursion import Excursion
from rules.rule import Rule
from service.challenge.compared import COLUMNS, Findings, told
from service.challenge.instance import Instance, Received
from service.challenge.subject import FAIL, NOT_TESTED, PASS, Due, Outcome

Pair = tuple[Rule, Point]
REAL_S = 8.0
"""So long takes the shortest silence of a group."""
FASTEST = 12.0
"""Listening time counts two seconds at most from one look at the clock to the next (ingest/listening.py)."""
TOLERANCE_S = 1.5
SHORT = "silence/short", "a (bad) reading, the tolerance before the silence counts: nothing is raised"
SILENT = "silence/raised", "silence, and one redelivery, which proves nothing: raised after that time (within the tolerance), ended by the next reading"
ON_CHANGE = "silence/on-change", "the point reports on change, and its source lives: its silence raises nothing"


def challenge_silence(instance: Instance, pairs: Sequence[Pair], findings: Callable[[], Findings], say: Callable[[str], None]) -> list[Outcome]:
    """Drive all `stale` rules, those of like patience together."""
    outcomes: list[Outcome] = []
    groups: dict[int, list[Pair]] = {}
    for rule, point in pairs:
        groups.setdefault(_after(rule, point).bit_length(), []).append((rule, point))
    for _, members in sorted(groups.items()):
        longest = max(_after(*pair) for pair in members)
        say(f"silence of {longest / SECOND_NS:g} s at {len(members)} points and rules")
        outcomes += _Silence(instance, members, findings).run()
    return outcomes


def _after(rule: Rule, point: Point) -> int:
    assert rule.after is not None
    return rule.after.of(point.period_ns)


class _Silence:
    def __init__(self, instance: Instance, pairs: Sequence[Pair], findings: Callable[[], Findings]) -> None:
        self.instance, self.pairs, self.findings = instance, pairs, findings
        self.points = list({point.id: point for _, point in pairs}.values())
        self.shortest = {point.id: min(_after(*pair) for pair in pairs if pair[1] is point) for point in self.points}
        self.longest = {point.id: max(_after(*pair) for pair in pairs if pair[1] is point) for point in self.points}
        least = min(self.shortest.values())
        self.speed = min(max(least / SECOND_NS / REAL_S, 1.0), FASTEST)
        self.tolerance = min(int(TOLERANCE_S * self.speed * SECOND_NS), least // 4)

    def run(self) -> list[Outcome]:
        instance, clock = self.instance, self.instance.clock
        cursor = instance.cursor
        clock.speed = self.speed
        try:
            begin = clock.now_ns()
            steps: list[tuple[int, Point, str]] = []
            for point in self.points:
                second = begin + self.shortest[point.id] - self.tolerance
                again, last = second + self.shortest[point.id] // 2, second + self.longest[point.id] + 2 * self.tolerance
                steps += [(begin, point, ""), (second, point, "bad"), (again, point, "again"), (last, point, "")]
            sent: dict[str, Published] = {}
            for at, point, what in sorted(steps, key=lambda step: step[0]):
                while (left := at - clock.now_ns()) > 0:
                    instance.wait(min(0.25, left / SECOND_NS / self.speed))
                if what != "again":
                    sent[point.id] = Published(clock.now_ns(), _value(point), quality=what)
                instance.send(point.id, [sent[point.id]])
            instance.settle()
        finally:
            clock.speed = 1.0
        arrivals: dict[str, list[Received]] = {}
        for one in instance.received(cursor):
            arrivals.setdefault(one.point, []).append(one)
        findings = self.findings()
        return [outcome for rule, point in self.pairs for outcome in _judged(rule, point, arrivals.get(point.id, []), findings, self.tolerance)]


def _value(point: Point) -> float:
    return 0.0 if point.range is None else (point.range[0] + point.range[1]) / 2


def _judged(rule: Rule, point: Point, arrivals: Sequence[Received], findings: Findings, tolerance: int) -> list[Outcome]:
    """What had to come of the moments at which the journal has the three readings."""
    if len(arrivals) != 3:
        words = f"{len(arrivals)} of 3 readings were stored"
        return [Outcome(rule.id, point.id, *SILENT, FAIL, differences=(words,), readings=len(arrivals))]
    first, second, third = arrivals
    span, after = (first.time, third.time), _after(rule, point)
    found = findings.of(rule.id, point.id, first.received, third.received)
    if point.on_change:
        words = () if not found else (f"{len(found)} excursions found, none expected",)
        actual = tuple(told(row) for row in found)
        return [Outcome(rule.id, point.id, *ON_CHANGE, FAIL if words else PASS, actual=actual, differences=words, readings=4, span=span)]
    if second.heard - first.heard >= after or third.heard - second.heard <= after:
        words = "this machine was too slow for the times of the test: the readings did not arrive as they should have"
        return [Outcome(rule.id, point.id, *case, NOT_TESTED, words, readings=4, span=span) for case in (SHORT, SILENT)]
    early = [row for row in found if row.onset < second.received]
    late = [row for row in found if row.onset >= second.received]
    due = Due(second.received, second.received + after, third.received, third.received, None, None, 0)
    unheard = max(0, (third.received - second.received) - (third.heard - second.heard))
    differences = _differences(due, late, unheard, tolerance) + [why for row in late if (why := findings.untold(rule, row))]
    status = FAIL if early else PASS
    words = ("an excursion was found, none was expected",) if early else ()
    actual = tuple(told(row) for row in early)
    return [
        Outcome(rule.id, point.id, *SHORT, status, actual=actual, differences=words, readings=2, span=(first.time, second.time)),
        Outcome(
            rule.id, point.id, *SILENT, FAIL if differences else PASS, expected=(told(due),), actual=tuple(told(row) for row in late),
            differences=tuple(differences), readings=3, span=(second.time, third.time),
        ),
    ]  # fmt: skip


def _differences(due: Due, found: Sequence[Excursion], unheard: int, tolerance: int) -> list[str]:
    """`raised` within the tolerance, later by what the pipeline did not listen meanwhile: silence counts in listening time."""
    if len(found) != 1:
        return [f"1 excursion expected, {len(found)} found"]
    words = [f"{name}: not as expected" for name in COLUMNS if name != "raised" and getattr(found[0], name) != getattr(due, name)]
    if not -tolerance <= found[0].raised - due.raised <= unheard + tolerance:
        words.append(f"raised: {(found[0].raised - due.raised) / SECOND_NS:g} s after the moment expected")
    return words
