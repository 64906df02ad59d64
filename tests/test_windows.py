"""What windows rest on: sums that stay exact, states that cannot be mixed up, conditions that hold when they should, looking back."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.judging.suspensions import Suspensions
from facility.durations import Duration
from facility.reading import GOOD, Readings
from facility.site import SECOND_NS
from rules import search, window_kinds, windows
from rules.copies import Deaths
from rules.engine import CLEARED, RAISED, advance, open_excursions, survey
from rules.exact import LARGEST, Sums, rounded, split
from rules.occupancy import occupancy_of
from rules.passing import NEVER_NS, Condition, Passed
from rules.plan import Plan, plan_of
from rules.rule import Bound, Rule
from rules.runs import RunState
from rules.windows import Windows
from tests.support.living import PlainMemory
from tests.support.told import one_room

values = st.one_of(
    st.floats(-1000, 1000),
    st.floats(-(2.0**31), 2.0**31, exclude_min=True, exclude_max=True),
    st.integers(-(2**20), 2**20).map(lambda whole: whole / 2**36),
    st.sampled_from((0.1, 0.2, -0.3, 2.0**-72, -(2.0**-72), 2.0**30, 1 - 2.0**-53, 2.0**31 - 2.0**-22)),
)


@given(st.lists(values, min_size=1, max_size=60))
def test_sums_of_fixed_point_parts_are_those_of_fsum(numbers: list[float]) -> None:
    parts = split(np.array(numbers))
    fit = np.array(numbers)[parts.odd == 0]
    total = Sums(*(part.sum(keepdims=True) for part in parts.parts()))
    assert rounded(total)[0] == math.fsum(fit)


@pytest.mark.parametrize(("value", "odd"), [(LARGEST, True), (-1e300, True), (2.0**-73, True), (5e-324, True), (2.0**-72, False)])
def test_what_does_not_fit_into_fixed_point_is_told(value: float, odd: bool) -> None:
    assert split(np.array([value])).odd[0] == odd


def readings(times_s: list[float], numbers: list[float], point: int = 0) -> Readings:
    time = np.array([round(second * SECOND_NS) for second in times_s], np.int64)
    return Readings(
        np.full(len(time), point, np.uint32), time, np.array(numbers), np.zeros(len(time), np.uint8), time, time, np.full(len(time), -1)
    )


def plan_for(rule: Rule) -> Plan:
    return plan_of(one_room(), [rule], {}, {"t": 0})


def seconds(number: float) -> Duration:
    return Duration(round(number * SECOND_NS))


def test_a_state_that_was_replaced_is_not_taken_up_again_once_its_readings_are_written_over() -> None:
    plan = plan_for(Rule("m", "mean", above=Bound(10.0), window=seconds(3)))
    pairs = next(group for group in plan.groups if len(group))
    occupancy = occupancy_of(plan.facility, {})
    old, _ = advance(pairs, RunState.initial(1), readings([0, 1], [5, 5]), occupancy)
    new = old
    for second in range(2, 40):
        new, _ = advance(pairs, new, readings([second], [5]), occupancy)
    with pytest.raises(RuntimeError, match="a newer one has replaced"):
        advance(pairs, old, readings([2], [5]), occupancy)
    new, found = advance(pairs, new, readings([40, 41, 42], [100, 100, 0]), occupancy)
    assert [finding.excursion.onset for finding in found if finding.what != CLEARED] == [40 * SECOND_NS]


def test_means_after_a_huge_value_has_left_the_window_are_as_if_it_had_never_come() -> None:
    plan = plan_for(Rule("m", "mean", above=Bound(0.3), window=seconds(3)))
    pairs = next(group for group in plan.groups if len(group))
    numbers = [0.1, 1e300, -1e300, 0.1, 0.1, 0.3, 0.3, 0.3, math.nextafter(0.3, 1), 0.31]
    _, found = advance(pairs, RunState.initial(1), readings(list(range(10)), numbers), occupancy_of(plan.facility, {}))
    events = [(finding.what, finding.at // SECOND_NS, finding.excursion.peak) for finding in found]
    # At 8 the mean of 0.3, 0.3 and the next above 0.3 is 0.3 again.
    assert events == [(RAISED, 9, math.fsum(numbers[-3:]) / 3)]


@pytest.mark.parametrize(
    "rule",
    [
        Rule("rate", "rate", change=1.0, window=seconds(3)),
        Rule("flatline", "flatline", duration=seconds(3)),
        Rule("count", "count", above=Bound(5.0), k=1, n=4),
        Rule("mean", "mean", above=Bound(5.0), window=seconds(3)),
    ],
    ids=lambda rule: rule.kind,
)
def test_from_the_middle_of_a_history_verdicts_are_known_once_a_window_is_full(rule: Rule) -> None:
    plan = plan_for(rule)
    pairs = next(group for group in plan.groups if len(group))
    state = RunState.initial(1)
    state.windows = Windows.initial(1, whole=False)
    _, warm, _ = survey(pairs, state, readings([0, 1, 2, 3, 4], [1, 1, 1, 1, 1]), occupancy_of(plan.facility, {}))
    assert warm.tolist() == [False, False, False, True, True]
    state.windows = Windows.initial(1, whole=False)
    pairs = replace(pairs, max_gap=np.array([2 * SECOND_NS]))
    _, warm, _ = survey(pairs, state, readings([0, 1, 4, 5], [1, 1, 1, 1]), occupancy_of(plan.facility, {}))
    assert warm.tolist() == [False, False, True, True]  # nothing before a gap counts


conditions = st.builds(
    Condition,
    number=st.just(0),
    above=st.sampled_from((0.5, np.inf)),
    below=st.sampled_from((-0.5, -np.inf)),
    above_inclusive=st.just(False),
    below_inclusive=st.just(False),
    at_most_ns=st.sampled_from((1, 2, 5, NEVER_NS)),
    stale_ns=st.sampled_from((1, 3, NEVER_NS)),
)
histories = st.lists(st.tuples(st.integers(1, 4), st.sampled_from((-1.0, 0.0, 1.0)), st.sampled_from((0, 0, 0, 1, 2))), max_size=12)


def history(drawn: list[tuple[int, float, int]], start: int = 1000) -> Readings:
    time = start + np.cumsum([step for step, _, _ in drawn]).astype(np.int64)
    quality = np.array([quality for _, _, quality in drawn], np.uint8)
    told = readings([0.0] * len(drawn), [value for _, value, _ in drawn])
    return replace(told, time=time, quality=quality, received=time)


def holds(condition: Condition, told: Readings, at: int) -> bool:
    """The same in plain words."""
    good = [(int(t), float(v)) for t, v, q in zip(told.time, told.value, told.quality, strict=True) if q == GOOD and t <= at]
    run: list[int] = []
    for time, value in good:
        run = [*run, time] if value > condition.above or value < condition.below else []
    return bool(run) and at - good[-1][0] <= condition.stale_ns and at - run[0] <= condition.at_most_ns


@given(conditions, histories, st.lists(st.integers(0, 12), max_size=3))
def test_a_condition_holds_when_it_should_however_its_readings_are_cut(
    condition: Condition, drawn: list[tuple[int, float, int]], cuts: list[int]
) -> None:
    told = history(drawn)
    passed = Passed.nothing(0)
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), len(told)], strict=True):
        passed = passed.then(condition, told.take(slice(first, last)), Deaths())
    times = np.arange(995, 1060)
    assert passed.at(times).tolist() == [holds(condition, told, int(at)) for at in times]


@given(conditions, histories, st.data())
def test_what_is_known_of_a_condition_is_the_same_in_any_order_of_arrival(
    condition: Condition, drawn: list[tuple[int, float, int]], data: st.DataObject
) -> None:
    told = history(drawn, start=10**18)
    order = np.array(data.draw(st.permutations(range(len(told)))), np.intp)
    memory = PlainMemory()
    suspensions = Suspensions(memory, Deaths())
    for row in order:
        one = told.take(np.array([row]))
        memory.add(one, [], 0)
        suspensions.take(one, np.array([0]), {})
        since = 10**18 + data.draw(st.integers(-5, 50))
        suspensions.reach([condition], since)
        so_far = memory.read(0)
        times = np.arange(since, since + 60)
        assert suspensions.passing[condition].at(times).tolist() == [holds(condition, so_far, int(at)) for at in times]


SHORT_CUTS = {
    "short": {window_kinds: {"MANY": 4, "STRETCH": 2, "LOOK": 6}, windows: {"SLID_BELOW": 4, "LONG": 2}, search: {"CHUNK": 40, "LONG": 9}},
    "none": {window_kinds: {"MANY": 1 << 60, "LOOK": 1 << 60}, windows: {"SLID_BELOW": 4}, search: {"CHUNK": 40, "LONG": 9}},
}
"""Of both the constants that tell when there is enough to do for another way to pay."""


@st.composite
def long_series(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    """Times in seconds, of tenths and now and then half a minute, and values; some that leap at each step but in one stretch."""
    count = draw(st.integers(8, 160))
    chance = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    steps = chance.choice([0.1, 0.2, 30.0], count, p=draw(st.sampled_from(([0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.5, 0.48, 0.02]))))
    values = chance.choice([0.0, 1.0, 1.0, 3.0, 5.0, 5.5], count) if draw(st.booleans()) else chance.uniform(-6, 6, count)
    values += draw(st.sampled_from((0.0, 9.0, 9.0))) * (np.arange(count) % 2)
    start, length = draw(st.integers(0, count)), draw(st.sampled_from((0, 0, 1, 3, 9, 20, 40)))
    values[start : start + length] = draw(st.sampled_from((0.0, 3.0)))
    return np.cumsum(steps).round(1).tolist(), values.tolist()


flat = st.builds(
    lambda n, change: Rule("f", "flatline", duration=seconds(n / 10), tolerance=change), st.integers(5, 25), st.sampled_from((0.0, 2.0))
)
tenths = st.integers(1, 20).map(lambda number: seconds(number / 10))
windowed = st.one_of(
    flat,
    flat,
    flat,
    st.builds(lambda window, limit: Rule("m", "mean", above=Bound(limit), window=window), tenths, st.sampled_from((1.0, 3.0, 5.0))),
    st.builds(lambda window: Rule("m", "mean", below=Bound(0.0), deadband=1.0, window=window), tenths),
    st.builds(lambda window: Rule("r", "rate", change=4.0, window=window), tenths),
    st.builds(lambda n: Rule("c", "count", above=Bound(3.0), k=2, n=n), st.integers(2, 9)),
)


@given(windowed, long_series(), st.booleans(), st.lists(st.integers(0, 160), max_size=4))
def test_what_is_left_out_where_there_is_much_changes_nothing(
    rule: Rule, series: tuple[list[float], list[float]], gaps: bool, cuts: list[int]
) -> None:
    if gaps:
        rule = replace(rule, max_gap=seconds(20))
    plan = plan_for(rule)
    pairs = next(group for group in plan.groups if len(group))
    occupancy = occupancy_of(plan.facility, {})
    times, _ = series
    everything = readings(*series)
    found = []
    for constants in SHORT_CUTS.values():
        with ExitStack() as stack:
            for module, smaller in constants.items():
                for name, number in smaller.items():
                    stack.enter_context(patch.object(module, name, number))
            state, said = RunState.initial(1), []
            for part in np.split(np.arange(len(times)), sorted(cut for cut in cuts if cut < len(times))):
                state, findings = advance(pairs, state, everything.take(part), occupancy)
                said += findings
        held = state.windows
        assert held is not None
        lead = slice(held.start[0], held.end[0])
        kept = [*held.pool.time[lead].tolist(), *held.pool.value[lead].tolist(), *(int(part[0]) for part in held.sums.parts())]
        kept += [held.since[0], held.broken[0], held.high[0], held.low[0]] if rule.kind == "flatline" else []
        found.append((said, open_excursions(pairs, state, occupancy), kept))
    assert found[0] == found[1]
