"""Tests of `recovery`: rooms and zones that are back in their at-rest state in time, and others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from facility.durations import Duration
from facility.site import Facility, Point
from rules.rule import Rule
from service.challenge.limit_cases import ON_CHANGE, calm
from service.challenge.script import Made, Script, inapplicable
from service.challenge.subject import Side, Subject, Trial

WORK, REST = "in_operation", "at_rest"
NO_TIME = "neither the rule nor the room or zone (`clean_up`) gives a time: it does not judge the point"


def timed(rule: Rule, point: Point, facility: Facility) -> Rule:
    """The rule with the time that it gives the point's place."""
    return rule if rule.within is not None else replace(rule, within=Duration(facility.place_by_id[point.place].clean_up_ns))


@dataclass
class Shift(Script):
    """The readings of a test in which the place of the point changes its state."""

    states: list[tuple[int, str]] = field(default_factory=list)

    def said(self, state: str) -> int:
        """The place is in a state from now on; the moment."""
        self.states.append((self.now, state))
        return self.now

    def made(self, case: str, title: str, excursions: int | None, *, bad: bool = False) -> Made:
        """As of any test; the work that is begun at its end clears what is open."""
        self.said(WORK)
        self.run(calm(self.subject))
        self.subject = replace(self.subject, spells=_spells(self.states))
        made = super().made(case, title, excursions, bad=bad)
        return replace(made, states=tuple(self.states)) if isinstance(made, Trial) else made


def _spells(states: list[tuple[int, str]]) -> tuple[tuple[int, int], ...]:
    """From when to when the place is at rest after work."""
    found, begun = [], None
    for at, state in states:
        if state == REST:
            begun = at if begun is None else begun
        elif begun is not None:
            found.append((begun, at))
            begun = None
    return tuple(found)


def _rested(subject: Subject) -> tuple[Shift, int]:
    """A test that has begun with work, and rest after it; since when."""
    script = Shift(subject)
    script.said(WORK)
    script.run(calm(subject)).begin()
    return script, script.said(REST)


def recovery_cases(subject: Subject) -> Iterator[Made]:
    """Each side of the limit, and the end of the time; what is over, said again, or not said in time."""
    if subject.limits is None:
        yield _not_judged(subject)
        return
    for number, side in enumerate(subject.sides):
        yield from _values(subject, side)
        yield from _times(subject, side)
        if not number:
            yield from _shifts(subject, subject.beyond(side))
            yield from _disturbed(subject, subject.beyond(side))


def _not_judged(subject: Subject) -> Made:
    script, _ = _rested(subject)
    for value in subject.point.range or (-1e6, 1e6):
        script.run(value, subject.window)
    return script.made(
        "not-judged", "the ends of the range, for as long as the place may need, where no limit at rest is specified", 0, bad=True
    )


def _values(subject: Subject, side: Side) -> Iterator[Made]:
    step = side.sign * subject.resolution
    for case, words, value, excursions in (
        ("inside", "one resolution inside the limit", side.limit - step, 0),
        ("at-limit", "at the limit", side.limit, int(side.bound.inclusive)),
        ("beyond", "one resolution beyond the limit", side.limit + step, 1),
    ):
        script, _ = _rested(subject)
        script.run(value, subject.window)
        yield script.made(f"{side.name}/{case}", f"{value:g} {subject.point.unit}, {words}, until exactly the end of the time", excursions)


def _times(subject: Subject, side: Side) -> Iterator[Made]:
    beyond, normal, within = subject.beyond(side), calm(subject), subject.window
    period = min(subject.pause, within // 2)
    script, _ = _rested(subject)
    script.run(beyond, within - subject.tolerable(within))
    yield script.made(f"{side.name}/short", "beyond until the tolerance before the end of the time", 0)
    script, rested = _rested(subject)
    script.run(beyond, within - period)
    script.now = rested + within
    script.run(normal).run(beyond, within)
    yield script.made(f"{side.name}/in-time", "inside for the first time at the very end of the time, and beyond again later", 0)
    long = (
        f"{side.name}/period-long",
        "beyond a period before and a period after the end of the time, silent between: raised by the reading",
    )
    if subject.point.on_change:
        yield inapplicable(*long, ON_CHANGE)
        return
    script, rested = _rested(subject)
    script.run(beyond, within - period)
    script.now = rested + within + period
    yield script.run(beyond).made(*long, 1)


def _shifts(subject: Subject, beyond: float) -> Iterator[Made]:
    within = subject.window
    script = Shift(subject)
    script.said(WORK)
    script.run(calm(subject)).begin().run(beyond, 2 * within)
    yield script.made("work", "beyond for twice the time, at work", 0)
    script, _ = _rested(subject)
    script.run(beyond, within)
    script.said(WORK)
    yield script.run(beyond).made("work-again", "beyond after the time, and still with the next work: that ends it", 1)
    script, rested = _rested(subject)
    script.run(beyond, within // 2)
    script.said(REST)
    yield script.run(beyond, max(0, rested + within - script.now)).made("said-again", "at rest said again meanwhile: the time goes on", 1)
    script, _ = _rested(subject)
    script.run(beyond, within // 2)
    script.said(WORK)
    script.wait(subject.pause)
    script.said(REST)
    script.run(beyond, within - subject.tolerable(within))
    yield script.made("begun-again", "at work for a moment: all of the time is given once more", 0)


def _disturbed(subject: Subject, beyond: float) -> Iterator[Made]:
    within, normal = subject.window, calm(subject)
    script, _ = _rested(subject)
    yield script.run(beyond, within, "bad").made("bad", "beyond, but every reading is bad", 0)
    script, _ = _rested(subject)
    yield script.run(beyond, within, "uncertain").made("uncertain", "beyond, and every reading is uncertain: it counts", 1)
    silence = "dropout", "silence until after the end of the time: raised by the first reading after it"
    if subject.point.on_change:
        yield inapplicable(*silence, ON_CHANGE)
    else:
        script, _ = _rested(subject)
        yield script.run(beyond).after(2 * within).run(beyond).made(*silence, 1)
    script, _ = _rested(subject)
    yield script.run(beyond, within, late=True).made("late/found", "what is beyond arrives after what came later", 1)
    script, rested = _rested(subject)
    script.run(beyond, within // 2).run(normal, late=True)
    script.run(beyond, max(0, rested + within - script.now))
    yield script.made("late/taken-back", "a late reading inside shows that the place had recovered", 0)
