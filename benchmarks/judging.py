"""`advance` over a long recording, beside passes of numpy.sum over the same values; all in time on the processor."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from benchmarks.bench import Bench
from benchmarks.figure import Figure, Limit, ratio, spread
from benchmarks.plant import DELAY_S, KINDS, PERIOD_NS, SECOND_NS, raised_by_limits, rounds, site
from facility.durations import Duration
from facility.reading import Readings
from facility.site import Facility, Place, Point, Site
from rules.engine import RAISED, advance
from rules.occupancy import occupancy_of
from rules.plan import Pairs, plan_of
from rules.rule import Bound, Rule, Selection
from rules.runs import RunState

SUMS_MAX = 25.0
WINDOWED_SUMS_MAX = 125.0
SHIFT_NS = 3600 * SECOND_NS
LONG_RECORDING_POINTS = 100
"""The limit is for recordings that are long a point; with few readings a point there is more to do beside them."""


def run(bench: Bench) -> Iterator[Figure]:
    """Runs of both in turn, for few points with many readings and for many with few."""
    total, turns = bench.size(10_000_000, 60_000), bench.size(5, 2)
    for points in (bench.size(100, 6), bench.size(10_000, 60)):
        yield from _shape(bench, points, total // points, turns)
    yield from _kinds(bench.size(200, 6), bench.size(50_000, 10_000), bench.size(10, 2))


def _rules() -> dict[str, tuple[Rule, ...]]:
    """A rule of each kind for the quantities of the plant, by what it is called in the figures."""
    limits = [(quantity, setpoint + alert, alert > 0) for quantity, _, setpoint, _, alert in KINDS]

    def each(kind: str, **parameters: Any) -> tuple[Rule, ...]:
        def rule(quantity: str, limit: float, above: bool) -> Rule:
            sides: dict[str, Any] = {"above" if above else "below": Bound(limit)}
            return Rule(f"{kind}.{quantity}", kind, Selection(quantity=(quantity,)), **sides, **parameters)

        return tuple(rule(*limit) for limit in limits)

    delays: dict[str, Any] = {"on_delay": Duration(DELAY_S * SECOND_NS), "off_delay": Duration(DELAY_S * SECOND_NS)}
    minutes = {number: Duration(number * 60 * SECOND_NS) for number in (5, 10, 60)}
    return {
        "limit, with delays and deadband": each("limit", deadband=0.3, **delays),
        "rate, 5 min": (Rule("rate", "rate", change=6.0, window=minutes[5], **delays),),
        "flatline, 10 min, tolerance 0.1": (Rule("flatline", "flatline", duration=minutes[10], tolerance=0.1),),
        "count, 8 of 10": each("count", k=8, n=10),
        "mean, 5 min": each("mean", window=minutes[5]),
        "mean, 1 h": each("mean", window=minutes[60]),
        "recovery, 5 s, at rest each second hour": each("recovery", within=Duration(5 * SECOND_NS)),
    }


def _kinds(points: int, count: int, chunks: int) -> Iterator[Figure]:
    """Each kind over a recording that comes in chunks, so that it does not have to lie in memory."""
    quantities = tuple(Point(f"p{number}", KINDS[number % len(KINDS)][0], "", "room", period_ns=PERIOD_NS) for number in range(points))
    facility = Facility(Site("bench", "Bench"), (Place("room", "Room"),), quantities)
    numbers = {point.id: number for number, point in enumerate(quantities)}
    shifts = range(SHIFT_NS, count * chunks * PERIOD_NS, SHIFT_NS)
    states_said = [(at, "at_rest" if number % 2 else "in_operation") for number, at in enumerate(shifts)]
    occupancy = occupancy_of(facility, {"room": states_said})
    plans = {name: plan_of(facility, rules, {}, numbers) for name, rules in _rules().items()}
    pairs = {name: next(group for group in plan.groups if len(group)) for name, plan in plans.items()}
    states = {name: RunState.initial(points) for name in plans}
    took, raised = dict.fromkeys(plans, 0.0), dict.fromkeys(plans, 0)
    summed = 0.0
    for chunk in range(chunks):
        readings = _grouped(points, count, chunk * count)
        summed += _seconds(partial(np.sum, readings.value))
        for name in plans:
            begun = time.thread_time()
            states[name], findings = advance(pairs[name], states[name], readings, occupancy)
            took[name] += time.thread_time() - begun
            raised[name] += sum(finding.what == RAISED for finding in findings)
    total = points * count * chunks
    limits = next(name for name in plans if name.startswith("limit"))
    expected = raised_by_limits(count * chunks - 1, points, alert_only=True)
    assert raised[limits] == expected, f"{raised[limits]} excursions, {expected} are in the readings"
    assert raised["count, 8 of 10"] >= expected
    for name in plans:
        times = took[name] / summed
        note = f"{points:,} points, {total:,} readings, {raised[name]:,} excursions; numpy.sum {summed * 1e3:.0f} ms"
        limit = Limit(times, SUMS_MAX if name == limits else WINDOWED_SUMS_MAX, " sums")
        yield Figure(f"  {name}", total / took[name], "readings/s", note, limit)


def _shape(bench: Bench, points: int, count: int, turns: int) -> Iterator[Figure]:
    configuration = site(bench.place(f"judging-{points}"), points)
    facility = configuration.facility
    numbers = {point.id: number for number, point in enumerate(facility.points)}
    levels = {level: [rule for rule in configuration.rules if rule.level == level] for level in ("alert", "action")}
    one = plan_of(facility, levels["alert"], {}, numbers).groups[0]
    two = plan_of(facility, levels["alert"] + levels["action"], {}, numbers).groups[0]
    occupancy = occupancy_of(facility, {})
    grouped = _grouped(points, count)
    judged: dict[int, list[float]] = {1: [], 2: []}
    summed, sorted_s = [], []
    expected = {1: raised_by_limits(count - 1, points, alert_only=True), 2: raised_by_limits(count - 1, points)}

    def judge(pairs: Pairs, readings: Readings, rules: int) -> None:
        _, findings = advance(pairs, RunState.initial(len(pairs)), readings, occupancy)
        found = sum(finding.what == RAISED for finding in findings)
        assert found == expected[rules], f"{found} excursions, {expected[rules]} are in the readings"

    for _ in range(turns):
        summed.append(_seconds(lambda: np.sum(grouped.value)))
        for rules, pairs in ((1, one), (2, two)):
            judged[rules].append(_seconds(partial(judge, pairs, grouped, rules)))
    arrived = grouped.take(np.lexsort((grouped.point, grouped.time)))
    for _ in range(min(turns, 2)):
        sorted_s.append(_seconds(lambda: judge(one, arrived.take(np.lexsort((arrived.time, arrived.point))), 1)))

    total = points * count
    times = ratio(judged[1], summed)
    what = f"advance, limit, {points:,} points × {count:,} readings"
    note = f"numpy.sum {median(summed) * 1e3:.1f} ms; {spread([s * 1e3 for s in judged[1]], ' ms')}"
    limit = Limit(times, SUMS_MAX, " sums") if points <= LONG_RECORDING_POINTS else None
    yield Figure(what, total / median(judged[1]), "readings/s", note if limit else f"{times:.1f} sums; {note}", limit)
    yield Figure("  two rules a point", total / median(judged[2]), "readings/s", f"{ratio(judged[2], summed):.1f} sums")
    yield Figure("  one, in order of arrival", total / median(sorted_s), "readings/s", "with its sort")


def _seconds(work: Callable[[], object]) -> float:
    begun = time.thread_time()
    work()
    return time.thread_time() - begun


def _grouped(points: int, count: int, first: int = 0) -> Readings:
    """A recording by point and time, from round `first` on."""
    said = rounds(first, count, points)
    time_ns = np.tile(np.arange(first, first + count) * PERIOD_NS, points)
    return Readings(
        point=np.repeat(np.arange(points, dtype=np.uint32), count),
        time=time_ns,
        value=np.ascontiguousarray(said.value.T).ravel(),
        quality=np.ascontiguousarray(said.quality.T).ravel(),
        received=time_ns,
        heard=time_ns,
        sequence=np.broadcast_to(np.int64(-1), len(time_ns)),
    )
