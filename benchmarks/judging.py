"""`advance` for limits over a long recording, beside one pass of numpy.sum over the same values; both in time on the processor."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

import numpy as np

from benchmarks.bench import Bench
from benchmarks.figure import Figure, Limit, ratio, spread
from benchmarks.plant import PERIOD_NS, raised_by_limits, rounds, site
from facility.reading import Readings
from rules.engine import RAISED, advance
from rules.occupancy import occupancy_of
from rules.plan import Pairs, plan_of
from rules.runs import RunState

SUMS_MAX = 25.0
LONG_RECORDING_POINTS = 100
"""The limit is for recordings that are long a point; with few readings a point there is more to do beside them."""


def run(bench: Bench) -> Iterator[Figure]:
    """Runs of both in turn, for few points with many readings and for many with few."""
    total, turns = bench.size(10_000_000, 60_000), bench.size(5, 2)
    for points in (bench.size(100, 6), bench.size(10_000, 60)):
        yield from _shape(bench, points, total // points, turns)


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


def _grouped(points: int, count: int) -> Readings:
    """A recording by point and time."""
    said = rounds(0, count, points)
    time_ns = np.tile(np.arange(count) * PERIOD_NS, points)
    return Readings(
        point=np.repeat(np.arange(points, dtype=np.uint32), count),
        time=time_ns,
        value=np.ascontiguousarray(said.value.T).ravel(),
        quality=np.ascontiguousarray(said.quality.T).ravel(),
        received=time_ns,
        heard=time_ns,
        sequence=np.broadcast_to(np.int64(-1), len(time_ns)),
    )
