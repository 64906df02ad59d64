"""Tests of `stale`: points fall silent on the instance's hastened clock; what had to come is told by when the journal had readings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from facility.problems import so_many
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
ATTEMPTS = 3
"""Each with twice the time, where this machine was too slow."""
SLACK_NS = SECOND_NS // 4
"""Of real time: what `raised` may be off, as listening time and the clock are not read at one moment."""
SHORT = "silence/short", "a (bad) reading, a quarter of the time before the silence counts: nothing is raised"
SILENT = (
    "silence/raised",
    "silence, and one redelivery, which proves nothing: raised after just that time, ended by the next reading",
)
ON_CHANGE = "silence/on-change", "the point reports on change, and its source lives: its silence raises nothing"


def challenge_silence(
    instance: Instance, pairs: Sequence[Pair], findings: Callable[[], Findings], say: Callable[[str], None]
) -> list[Outcome]:
    """Drive all `stale` rules, those of like patience together."""
    outcomes: list[Outcome] = []
    groups: dict[int, list[Pair]] = {}
    for rule, point in pairs:
        groups.setdefault(_after(rule, point).bit_length(), []).append((rule, point))
    for _, members in sorted(groups.items()):
        longest = max(_after(*pair) for pair in members)
        for attempt in range(ATTEMPTS):
            say(f"silence of {longest / SECOND_NS:g} s at {so_many(len(members), 'point')} and rules")
            lines = _Silence(instance, members, findings, REAL_S * 2**attempt).run()
            slow = {(line.rule, line.point) for line in lines if line.status == NOT_TESTED} if attempt < ATTEMPTS - 1 else set()
            outcomes += [line for line in lines if (line.rule, line.point) not in slow]
            members = [pair for pair in members if (pair[0].id, pair[1].id) in slow]
            if not members:
                break
    return outcomes


def _after(rule: Rule, point: Point) -> int:
    assert rule.after is not None
    return rule.after.of(point.period_ns)


class _Silence:
    def __init__(self, instance: Instance, pairs: Sequence[Pair], findings: Callable[[], Findings], real_s: float) -> None:
        self.instance, self.pairs, self.findings = instance, pairs, findings
        self.points = list({point.id: point for _, point in pairs}.values())
        self.shortest = {point.id: min(_after(*pair) for pair in pairs if pair[1] is point) for point in self.points}
        self.longest = {point.id: max(_after(*pair) for pair in pairs if pair[1] is point) for point in self.points}
        least = min(self.shortest.values())
        self.speed = min(least / SECOND_NS / real_s, FASTEST)
        self.tolerance = least // 4

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
        return [
            outcome
            for rule, point in self.pairs
            for outcome in _judged(rule, point, arrivals.get(point.id, []), findings, int(SLACK_NS * self.speed))
        ]


def _value(point: Point) -> float:
    return 0.0 if point.range is None else (point.range[0] + point.range[1]) / 2


def _judged(rule: Rule, point: Point, arrivals: Sequence[Received], findings: Findings, slack: int) -> list[Outcome]:
    """What had to come of the moments at which the journal has the three readings."""
    if len(arrivals) != 3:
        stored = f"{len(arrivals)} of 3 readings were stored"
        return [Outcome(rule.id, point.id, *SILENT, FAIL, differences=(stored,), readings=len(arrivals))]
    first, second, third = arrivals
    span, after = (first.time, third.time), _after(rule, point)
    found = findings.of(rule.id, point.id, first.received, third.received)
    if point.on_change:
        return [_none(rule, point, ON_CHANGE, found, 4, span)]
    if second.heard - first.heard >= after or third.heard - second.heard <= after:
        slow = "this machine was too slow for the times of the test: the readings did not arrive as they should have"
        return [Outcome(rule.id, point.id, *case, NOT_TESTED, slow, readings=4, span=span) for case in (SHORT, SILENT)]
    early = [row for row in found if row.onset < second.received]
    late = [row for row in found if row.onset >= second.received]
    due = Due(second.received, second.received + after, third.received, third.received, None, None, 0)
    unheard = max(0, (third.received - second.received) - (third.heard - second.heard))
    differences = _differences(due, late, unheard, slack) + [why for row in late if (why := findings.untold(rule, row))]
    return [
        _none(rule, point, SHORT, early, 2, (first.time, second.time)),
        Outcome(
            rule.id, point.id, *SILENT, FAIL if differences else PASS, expected=(told(due),), actual=tuple(told(row) for row in late),
            differences=tuple(differences), readings=3, span=(second.time, third.time),
        ),
    ]  # fmt: skip


def _none(rule: Rule, point: Point, case: tuple[str, str], found: Sequence[Excursion], readings: int, span: tuple[int, int]) -> Outcome:
    """A line of which nothing had to come."""
    words = (f"no excursion expected, {len(found)} found",) if found else ()
    actual = tuple(told(row) for row in found)
    return Outcome(rule.id, point.id, *case, FAIL if found else PASS, actual=actual, differences=words, readings=readings, span=span)


def _differences(due: Due, found: Sequence[Excursion], unheard: int, slack: int) -> list[str]:
    """`raised` within the slack, later by what the pipeline did not listen meanwhile: silence counts in listening time."""
    if len(found) != 1:
        return [f"1 excursion expected, {len(found)} found"]
    words = [f"{name}: not as expected" for name in COLUMNS if name != "raised" and getattr(found[0], name) != getattr(due, name)]
    if not -slack <= found[0].raised - due.raised <= unheard + slack:
        words.append(f"raised: {(found[0].raised - due.raised) / SECOND_NS:g} s after the moment expected")
    return words
