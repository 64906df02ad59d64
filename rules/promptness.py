"""How long it takes, at worst, from the beginning of a breach to the first page: computed from what the rule and its point declare."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from facility.durations import Duration
from facility.problems import Problem, so_many
from facility.site import SECOND_NS, Facility, Point
from rules.ahead import MINUTE_NS
from rules.plan import SETTLE_NS, settles
from rules.rule import Rule
from rules.rule_checks import Written
from rules.selecting import Selector, watched

FIRST_PAGE_NS = SECOND_NS
"""A courier looks for pages once a second; how long a page then travels is not ours to know."""


@dataclass(frozen=True, slots=True)
class Term:
    """A part of the time; `ns` None where it cannot be known, with the reason in `why`."""

    name: str
    ns: int | None
    why: str


def worst_case(rule: Rule, point: Point, evaluate_every_ns: int) -> tuple[Term, ...]:
    """The terms of the longest time that passes until somebody is told, if readings arrive when they are measured.

    It is that of a breach which begins just after a reading, is one whole from then on, and lasts.
    """
    terms = list(_detection(rule, point))
    if settles(rule, point):
        awaited = "the state of the room" if point.derived is None else "what the point is derived of"
        terms.append(Term("settling", SETTLE_NS, f"{awaited} is waited for"))
    return (*terms, *_telling(evaluate_every_ns))


def worst_case_of_state(evaluate_every_ns: int) -> tuple[Term, ...]:
    """The terms of the longest time from when a state has lasted too long until somebody is told, while we listen."""
    return Term("settling", SETTLE_NS, "another state may have been said"), *_telling(evaluate_every_ns)


def _telling(evaluate_every_ns: int) -> tuple[Term, ...]:
    evaluation = Term("evaluation", evaluate_every_ns, "evaluate_every")
    return evaluation, Term("first page", FIRST_PAGE_NS, "pages are looked for once a second")


def total_ns(terms: tuple[Term, ...]) -> int | None:
    """All terms together; None where one is not known."""
    known = [term.ns for term in terms if term.ns is not None]
    return sum(known) if len(known) == len(terms) else None


def late_notices(written: Iterable[Written], facility: Facility, evaluate_every_ns: int) -> list[Problem]:
    """A problem for each rule whose `notify_within` cannot be kept at one of its points: at the one where it takes longest.

    Rooms and zones are the points of their states. Points without a period are left out where it is in periods: `check_rules` refuses that.
    """
    problems = []
    selector = Selector(point for point in facility.points if point.retired_ns is None)
    for one in written:
        rule = one.rule
        if rule.notify_within is None:
            continue
        late: list[tuple[int, Point, tuple[Term, ...]]] = []
        applied = [(point, worst_case(rule, point, evaluate_every_ns)) for point in selector.judged(rule, facility)]
        if rule.kind == "state":
            applied = [(facility.state_points[place.id], worst_case_of_state(evaluate_every_ns)) for place in watched(rule, facility)]
        for point, terms in applied:
            if rule.notify_within.periods and point.period_ns is None:
                continue
            total = total_ns(terms)
            if total is None:
                found = f"{rule.notify_within}, which cannot be compared: {point.id} declares no period"
                problems.append(one.problem("notify_within", found, "a `period` of the point"))
            elif total > rule.notify_within.of(point.period_ns):
                late.append((total, point, terms))
        if late:
            total, point, terms = max(late, key=lambda row: row[0])
            sum_ = " + ".join(f"{term.name} {Duration(term.ns or 0)}" for term in terms)
            found = f"{rule.notify_within}, but at {point.id} it takes up to {Duration(total)} ({sum_})"
            hint = f"So at {len(late)} points." if len(late) > 1 else ""
            problems.append(one.problem("notify_within", found, f"at least {Duration(total)}, or shorter delays", hint))
    return problems


def _detection(rule: Rule, point: Point) -> list[Term]:
    """From the beginning of the breach to the reading, or the moment, that raises the excursion."""
    period = point.period_ns
    if rule.after is not None:
        return [_span("after", rule, point, "so long nothing must have been received")]
    if rule.kind == "clock_ahead":
        sampling = Term("sampling", period, "until the next reading" if period else "the point declares no period")
        return [sampling, Term("minute", MINUTE_NS, "so long nothing of the point must have been stored")]
    until = "until what it said last is judged again" if point.on_change else "until the next reading"
    if rule.kind == "recovery":
        until = f"from {rule.within or 'clean_up'} after the change to at_rest {until}"
    terms = [Term("sampling", period, until if period else "the point declares no period")]
    if rule.k is not None:
        terms.append(_readings("count", rule.k - 1, period, f"{so_many(rule.k, 'reading')} must be beyond"))
    if rule.kind == "mean":
        terms.append(_span("window", rule, point, "until the window holds nothing else"))
    if rule.duration is not None:
        terms.append(_rounded("duration", rule, point, "so long it must have stood still"))
    if rule.on_delay.ns or rule.on_delay.periods:
        terms.append(_rounded("on_delay", rule, point, f"{rule.on_delay}, up to the next reading"))
    return terms


def _span(key: str, rule: Rule, point: Point, why: str) -> Term:
    duration = getattr(rule, key)
    try:
        return Term(key, duration.of(point.period_ns), why)
    except ValueError:
        return Term(key, None, "counted in periods, but the point declares none")


def _rounded(key: str, rule: Rule, point: Point, why: str) -> Term:
    """A duration that ends with a reading: up to the next whole period."""
    term = _span(key, rule, point, why)
    if term.ns is None or not point.period_ns:
        return term
    return Term(key, -(-term.ns // point.period_ns) * point.period_ns, why)


def _readings(name: str, count: int, period: int | None, why: str) -> Term:
    return Term(name, None if period is None else count * period, why)
