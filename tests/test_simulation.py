"""The simulated facility as its instruments show it (simulators/cleanroom.py, instruments.py, faults.py)."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facility.facility_file import load_facility
from facility.limits import shipped
from facility.site import Design, Facility, Place, Point, Site
from rules.rule import Rule
from rules.rules_file import load_rules
from rules.selecting import matches
from simulators.chunk import COLUMNS, DUPLICATE, GARBLED, READING, Chunk
from simulators.cleanroom import Simulation
from simulators.scenario import Measuring, Scenario, load_scenario, parse_scenario

EXAMPLE = Path(__file__).parent.parent / "service" / "example"
FACILITY = load_facility(EXAMPLE / "facility.yaml")
RULES = load_rules(EXAMPLE / "rules.yaml", FACILITY)
START = 1_795_246_870 * 10**9
SECOND = 10**9


def simulated(seconds: int, scenario: Scenario, facility: Facility = FACILITY, seed: int = 1) -> Chunk:
    return Chunk.concatenate(list(Simulation(facility, scenario, seed, START).until(START + seconds * SECOND)))


def scenario(*events: str) -> Scenario:
    listed = ", ".join(f"{{{event}}}" for event in events)
    return parse_scenario(f"instruments: [{{point: '*', flow_l_min: 100}}]\nevents: [{listed}]", "s.yaml")


def of(point: str, chunk: Chunk, facility: Facility = FACILITY) -> Chunk:
    return chunk.take(chunk.point == [p.id for p in facility.points].index(point))


def same(a: Chunk, b: Chunk) -> bool:
    return a.states == b.states and all(getattr(a, name).tobytes() == getattr(b, name).tobytes() for name in COLUMNS)


@settings(max_examples=10)
@given(st.lists(st.integers(0, 1500 * SECOND), max_size=6))
def test_the_same_seed_gives_the_same_messages_however_they_are_asked_for(cuts: list[int]) -> None:
    simulation = Simulation(FACILITY, load_scenario("demo"), 5, START)
    parts = [chunk for cut in [*sorted(cuts), 1500 * SECOND] for chunk in simulation.until(START + cut)]
    assert same(Chunk.concatenate(parts), simulated(1500, load_scenario("demo"), seed=5))


def test_another_seed_gives_others() -> None:
    assert not same(simulated(30, load_scenario("demo"), seed=1), simulated(30, load_scenario("demo"), seed=2))


def test_each_point_reports_each_period_in_order_of_time_with_a_number() -> None:
    chunk = simulated(120, scenario())
    assert (np.diff(chunk.time) >= 0).all()
    for point in FACILITY.points:
        own = of(point.id, chunk)
        assert point.period_ns is not None
        assert START <= own.time[0] < START + point.period_ns
        assert set(np.diff(own.time)) == {point.period_ns}
        assert own.sequence.tolist() == list(range(len(own)))
    assert set(chunk.kind) == {READING}


def test_values_keep_their_range_and_resolution() -> None:
    chunk = simulated(120, scenario("kind: people, place: cp1, count: 200", "kind: compressor_failure, place: fz1, tau: 1s"))
    for point in FACILITY.points:
        value = of(point.id, chunk).value
        if point.range:
            assert point.range[0] <= value.min()
            assert value.max() <= point.range[1]
        if point.resolution:
            assert np.abs(value / point.resolution - np.round(value / point.resolution)).max() < 1e-6


def test_counters_send_counts_of_the_air_that_they_drew() -> None:
    chunk = simulated(300, scenario("kind: intervention, place: bsc1, at: 60s, for: 60s"))
    for place in ("bsc1", "cp1.counter", "pal1.counter"):
        small, large = of(f"{place}.p05", chunk), of(f"{place}.p50", chunk)
        assert small.time.tolist() == large.time.tolist()
        assert (large.count <= small.count).all(), "channels are cumulative"
        assert (small.count == np.round(small.count)).all()
        assert small.value == pytest.approx(small.count * 1000 / small.volume_l)
        assert small.volume_l[1:] == pytest.approx(100 * 5 / 60, abs=1e-3)
    assert np.isnan(of("cp1.dp1.dp", chunk).count).all()


def test_counts_scatter_like_poisson() -> None:
    lone = Facility(Site("s", "S"), (Place("r", "R", "B", occupancy="at_rest"),),
                    (Point("r.p", "particles_0_5um", "1/m3", "r", grade="B", period_ns=SECOND),))  # fmt: skip
    chunk = simulated(4000, Scenario("still"), lone)
    count = chunk.count[1:]
    assert count.var() / count.mean() == pytest.approx(1, abs=0.15)
    expected = np.array([math.exp(-count.mean()) * count.mean() ** k / math.factorial(k) for k in range(4)])
    assert [np.mean(count == k) for k in range(4)] == pytest.approx(expected, abs=0.02)


def test_a_counter_misses_what_passes_its_laser_at_once() -> None:
    design = Design(air_changes_per_hour=0.001)
    place = Place("r", "R", "D", design=design, occupancy="at_rest")
    dusty = Facility(Site("s", "S"), (place,), (Point("r.p", "particles_0_5um", "1/m3", "r", period_ns=60 * SECOND),))
    plain, thick = (
        simulated(3600, Scenario("s", instruments=(Measuring(("r.p",), coincidence_per_m3=limit),)), dusty).value[-1]
        for limit in (1e15, 3.53e7)
    )
    assert thick / plain == pytest.approx(0.9 ** (plain / 3.53e7), rel=0.01)


def test_units_are_the_points_own() -> None:
    place = Place("r", "R", "C")
    points = (Point("c", "temperature", "degC", "r", period_ns=SECOND), Point("f", "temperature", "degF", "r", period_ns=SECOND))
    chunk = simulated(20, Scenario("still"), facility := Facility(Site("s", "S"), (place,), points))
    assert of("f", chunk, facility).value.mean() == pytest.approx(of("c", chunk, facility).value.mean() * 1.8 + 32, abs=0.1)


def test_any_facility_can_be_simulated() -> None:
    points = (
        Point("a", "torque", "Nm", "r", range=(10.0, 20.0), period_ns=SECOND // 4),
        Point("b", "oxygen", "%", "r"), Point("c", "level", "cm", "l", zone="l"),
        Point("d", "differential_pressure", "Pa", "r", reference="r"), Point("e", "door", "1", "r"), Point("g", "co2", "ppm", "r"),
    )  # fmt: skip
    facility = Facility(Site("s", "S"), (Place("r", "R"), Place("l", "L", None, "ln2", "r")), points)
    chunk = simulated(180, load_scenario("normal"), facility)
    assert set(chunk.point) == set(range(len(points)))
    assert np.isfinite(chunk.value).all()
    assert len(of("a", chunk, facility)) == 720
    assert 10 <= of("a", chunk, facility).value.min() < of("a", chunk, facility).value.max() <= 20


def test_a_facility_without_anything_says_nothing() -> None:
    assert len(simulated(5, Scenario("still"), Facility(Site("s", "S")))) == 0


def test_instruments_fail_as_told() -> None:
    point = "cp1.climate.temp"
    span = f"point: {point}, at: 20s, for: 20s"
    during = slice(4, 8)
    plain = of(point, simulated(60, scenario()))
    silent = of(point, simulated(60, scenario(f"kind: dropout, {span}")))
    assert silent.sequence.tolist() == [0, 1, 2, 3, 8, 9, 10, 11], "a gap in the numbers"
    assert silent.value.tolist() == [*plain.value[:4], *plain.value[8:]]
    bad = of(point, simulated(60, scenario(f"kind: fault, value: -200, {span}")))
    assert bad.quality.tolist() == [0] * 4 + [2] * 4 + [0] * 4
    assert bad.value[during].tolist() == [-200] * 4
    stuck = of(point, simulated(60, scenario(f"kind: stuck, {span}")))
    assert stuck.value[during].tolist() == [plain.value[3]] * 4
    twice = of(point, simulated(60, scenario(f"kind: duplicate, {span}")))
    assert twice.kind.tolist() == [READING] * 4 + [READING, DUPLICATE] * 4 + [READING] * 4
    assert twice.value[4] == twice.value[5]
    assert twice.sequence[4] == twice.sequence[5]
    garbled = of(point, simulated(60, scenario(f"kind: garble, {span}")))
    assert garbled.kind.tolist() == [READING] * 4 + [GARBLED] * 4 + [READING] * 4


def test_what_goes_wrong_with_a_value() -> None:
    point, during = "cp1.climate.temp", slice(4, 8)
    span = f"point: {point}, at: 20s, for: 20s"
    plain, other = (of(name, simulated(60, scenario())).value for name in (point, "cor1.climate.temp"))
    drifting = of(point, simulated(60, scenario(f"kind: drift, per_hour: 720, {span}")))
    assert drifting.value[during] - plain[during] == pytest.approx(0.2 * (drifting.time[during] - START - 20 * SECOND) / SECOND, abs=0.011)
    assert drifting.value[8:].tolist() == plain[8:].tolist()
    spiky = of(point, simulated(60, scenario(f"kind: spikes, size: 7, share: 1, {span}")))
    assert spiky.value[during] - plain[during] == pytest.approx(7)
    wrong = of(point, simulated(60, scenario(f"kind: wrong_unit, unit: degF, {span}")))
    assert wrong.value[during] == pytest.approx(plain[during] * 1.8 + 32)
    swapped = simulated(60, scenario(f"kind: swap, with: cor1.climate.temp, {span}"))
    assert set(of(point, swapped).value[during]) <= set(other)
    assert set(of("cor1.climate.temp", swapped).value[during]) <= set(plain)
    assert of(point, swapped).value[8:].tolist() == plain[8:].tolist()


def test_a_counter_without_its_tube_or_its_laser_counts_nothing() -> None:
    for kind, quality in (("tube_off", 0), ("laser_fault", 2)):
        own = of("cp1.counter.p05", simulated(60, scenario(f"kind: {kind}, place: cp1, at: 20s, for: 20s")))
        assert own.count[4:8].tolist() == own.value[4:8].tolist() == [0] * 4
        assert own.quality.tolist() == [0] * 4 + [quality] * 4 + [0] * 4
        assert own.count[:4].min() > 0
    pressure = of("cp1.dp1.dp", simulated(60, scenario("kind: tube_off, place: cp1, at: 20s, for: 20s")))
    assert np.abs(pressure.value[10:20]).max() < 1 < pressure.value[:10].min()


def test_a_reboot_is_silent_and_begins_to_count_again() -> None:
    own = of("cp1.climate.temp", simulated(1300, scenario("kind: reboot, place: cp1, at: 1190s, for: 10s")))
    assert own.sequence.tolist() == [*range(238), *range(20)], "also where a block ends"
    assert own.time[238] - own.time[237] == 15 * SECOND


def test_a_wrong_clock_moves_the_time_that_is_said_and_nothing_else() -> None:
    plain = of("cp1.climate.temp", simulated(60, scenario()))
    moved = of(
        "cp1.climate.temp", simulated(60, scenario("kind: clock, by: -90s, s_per_day: 864, point: cp1.climate.temp, at: 20s, for: 20s"))
    )
    assert moved.sent.tolist() == plain.sent.tolist() == plain.time.tolist()
    shift = (moved.time - plain.time)[4:8] / SECOND
    assert shift == pytest.approx(-90 + 0.01 * (plain.time[4:8] / SECOND - START / SECOND - 20), abs=1e-6)
    assert (moved.time[8:] == plain.time[8:]).all()


def test_what_is_kept_comes_in_a_burst_and_what_is_late_comes_late() -> None:
    plain = of("cp1.climate.temp", simulated(1400, scenario()))
    kept = of("cp1.climate.temp", simulated(1400, scenario("kind: store_and_forward, point: cp1.climate.temp, at: 1100s, for: 200s")))
    assert sorted(kept.time.tolist()) == plain.time.tolist(), "nothing is lost, over the end of a block"
    waited = (kept.time >= START + 1100 * SECOND) & (kept.time < START + 1300 * SECOND)
    assert waited.sum() == 40
    assert (kept.sent[waited] >= START + 1300 * SECOND).all()
    assert np.ptp(kept.sent[waited]) < SECOND
    mixed = simulated(1400, scenario("kind: out_of_order, by: 60s, point: cp1.climate.temp, at: 1100s, for: 200s"))
    own = of("cp1.climate.temp", mixed)
    assert sorted(own.time.tolist()) == plain.time.tolist()
    assert (np.diff(own.time) < 0).any()
    assert (np.diff(mixed.sent) >= 0).all()
    assert 0 <= (own.sent - own.time).min() <= (own.sent - own.time).max() < 60 * SECOND


def test_instruments_measure_as_the_scenario_says() -> None:
    text = "instruments: [{point: '*.temp', noise: 0.5, lag: 5m, drift_per_day: 24}]"
    plain, said = (of("cp1.climate.temp", simulated(7200, parse_scenario(one, "s.yaml"))).value for one in ("", text))
    assert np.diff(said).std() / np.diff(plain).std() > 5
    assert said[-100:].mean() - plain[-100:].mean() == pytest.approx(2, abs=0.2)


def test_states_of_rooms_are_said_when_they_change_and_people_leave() -> None:
    simulation = Simulation(FACILITY, scenario("kind: occupancy, place: cp1, state: at_rest, at: 20m, for: 40m"), 1, START)
    chunk = Chunk.concatenate(list(simulation.until(START + 5400 * SECOND)))
    assert [(state.place, state.time - START, state.state) for state in chunk.states] == [
        ("cp1", 1200 * SECOND, "at_rest"), ("cp1", 3600 * SECOND, "in_operation"),
    ]  # fmt: skip
    own = of("cp1.counter.p05", chunk)
    at = (own.time - START) / SECOND
    assert own.value[(at > 2400) & (at < 3600)].mean() < 0.1 * own.value[at < 1200].mean()


def test_truth_is_told_once() -> None:
    simulation = Simulation(FACILITY, load_scenario("demo"), 1, START)
    list(simulation.until(START + 60 * SECOND))
    assert len(simulation.truth(START + 10 * SECOND)) == 4
    assert len(simulation.truth(START + 60 * SECOND)) == 2
    assert simulation.truth(START + 60 * SECOND) == []


def test_a_supply_that_fails_takes_what_its_system_serves() -> None:
    chunk = simulated(60, scenario("kind: supply_loss, system: ahu2, at: 20s, for: 30s"))
    late = (chunk.time > START + 40 * SECOND) & (chunk.time < START + 50 * SECOND)
    assert of("cp1.dp1.dp", chunk.take(late)).value.max() < 8
    assert of("mal1.dp1.dp", chunk.take(late)).value.min() > 8


def test_the_truth_says_what_was_done_where_and_which_rules_should_find_it() -> None:
    simulation = Simulation(FACILITY, load_scenario("demo"), 1, START)
    list(simulation.until(START + 18 * SECOND))
    door, dropout, *_ = simulation.truth(START + 18 * SECOND)
    assert (door.kind, door.start_ns, door.end_ns) == ("door_open", START + 3 * SECOND, None)
    assert door.places == ("pal1",)
    assert {"pal1.door1.open", "pal1.dp1.dp", "cor1.dp1.dp"} <= set(door.points)
    assert not any("temp" in point for point in door.points)
    assert door.rules == ("dp-cascade.alert", "dp-cascade.action", "door-open")
    assert (dropout.points, dropout.rules) == (("mal1.dp1.dp",), ("silent", "health-silent"))


# What the example rules make of it, by the shortest reading of the rules


def excursions(rule: Rule, point: Point, chunk: Chunk, end: int) -> list[tuple[int, int | None]]:
    """(raised, cleared) of a rule at a point: rules.md for the three kinds, in a few lines."""
    own = of(point.id, chunk)
    own = own.take(own.kind == READING)
    if rule.kind == "stale":
        assert rule.after is not None
        after = rule.after.of(point.period_ns)
        received = [*own.time.tolist(), end]
        return [(a + after, b if b < end else None) for a, b in pairwise(received) if b - a >= after]
    found: list[tuple[int, int | None]] = []
    breach = back = None
    above, below = (limit_of(rule, point, side) for side in ("above", "below"))
    for time, value, quality in zip(own.time.tolist(), own.value.tolist(), own.quality.tolist(), strict=True):
        if rule.kind == "quality":
            breaching, returned = quality == 2, quality != 2
        elif quality == 2:
            continue
        else:
            breaching = value > above or value < below
            returned = value <= above - rule.deadband and value >= below + rule.deadband
        breach = (time if breach is None else breach) if breaching else None
        back = (time if back is None else back) if returned else None
        is_open = bool(found) and found[-1][1] is None
        if not is_open and breach is not None and time - breach >= rule.on_delay.of(point.period_ns):
            found.append((time, None))
            back = None
        elif is_open and back is not None and time - back >= rule.off_delay.of(point.period_ns):
            found[-1] = (found[-1][0], time)
    return found


def limit_of(rule: Rule, point: Point, side: str) -> float:
    bound = rule.above if side == "above" else rule.below
    none = np.inf if side == "above" else -np.inf
    if bound is None:
        return none
    if isinstance(bound.value, float):
        return bound.value
    cell = shipped(bound.value).cell(point, "in_operation", rule.level)
    return none if cell is None or getattr(cell, side) is None else float(getattr(cell, side))


def all_excursions(chunk: Chunk, end: int) -> dict[tuple[str, str], list[tuple[int, int | None]]]:
    pairs = [(rule, point) for rule in RULES for point in FACILITY.points if matches(rule.select, point)]
    return {(rule.id, point.id): found for rule, point in pairs if (found := excursions(rule, point, chunk, end))}


@pytest.mark.parametrize("seed", range(1, 6))
def test_half_a_minute_of_the_demo_shows_each_kind_raised_and_cleared(seed: int) -> None:
    end = START + 29 * SECOND
    chunk = simulated(29, load_scenario("demo"), seed=seed)
    found = all_excursions(chunk, end)
    expected = {
        ("dp-cascade.alert", "pal1.dp1.dp"),
        ("dp-cascade.action", "pal1.dp1.dp"),
        ("door-open", "pal1.door1.open"),
        ("particles-a.alert", "bsc1.p05"),
        ("particles-a.action", "bsc1.p05"),
        ("particles-a-large", "bsc1.p50"),
        ("silent", "mal1.dp1.dp"),
        ("bad-quality", "st1.climate.rh"),
    }
    assert set(found) == expected
    kinds = {rule.id: rule.kind for rule in RULES}
    assert {kinds[rule] for (rule, _), spans in found.items() if spans[0][1] is not None} == {"limit", "stale", "quality"}
    assert found["dp-cascade.action", "pal1.dp1.dp"][0][1] is not None
    assert all(len(spans) == 1 for spans in found.values())
    assert (chunk.kind == DUPLICATE).sum() >= 2
    assert (chunk.kind == GARBLED).sum() == 1


def test_after_that_the_demo_is_normal_most_of_the_time() -> None:
    minutes = 60
    end = START + minutes * 60 * SECOND
    found = all_excursions(simulated(minutes * 60, load_scenario("demo")), end)
    spans = [(a, end if b is None else b) for one in found.values() for a, b in one]
    disturbed = sum(any(a <= START + second * SECOND < b for a, b in spans) for second in range(60, minutes * 60, 10))
    assert 0.01 < disturbed / (minutes * 6) < 0.25
    assert len({rule for rule, _ in found}) >= 10


def test_ordinary_work_breaks_no_rule() -> None:
    assert all_excursions(simulated(3600, load_scenario("normal"), seed=4), START + 3600 * SECOND) == {}
