"""The physics of the simulator against closed forms: pressures, particles, climate, storage."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facility.site import Design, Facility, Place, Point, Site
from simulators.climate import ClimateModel, Loads, humidity_percent, moisture_g_kg, weather
from simulators.network import Network, leak_flow
from simulators.particles import PERSON_PER_MIN, ParticleModel, Sources
from simulators.plant import Plant, build_plant
from simulators.pressure import Air, PressureModel
from simulators.series import Wander, following, pooled, relaxed
from simulators.storage import Doors, StorageModel

Floats = NDArray[np.float64]

CASCADE = Facility(
    Site("s", "Site"),
    (
        Place("d", "D", "D"), Place("c", "C", "C", "airlock"), Place("b", "B", "B"),
        Place("a", "A", "A", "bsc", "b"), Place("f", "F", None, "freezer_80", "d"),
    ),
    (
        Point("d.dp", "differential_pressure", "Pa", "d"),
        Point("c.dp", "differential_pressure", "Pa", "c", reference="d"),
        Point("b.dp", "differential_pressure", "Pa", "b", reference="c"),
        Point("c.door", "door", "1", "c", reference="d"),
        Point("b.door", "door", "1", "b"),
    ),
)  # fmt: skip
DESIGN_PA = [15, 30, 45]


@pytest.fixture
def plant() -> Plant:
    return build_plant(CASCADE)


def room(grade: str, volume_m3: float, air_changes: float, effectiveness: float = 1.0) -> Plant:
    """One room with clean supply air and nothing in it, mixed as the closed forms have it."""
    design = Design(volume_m3=volume_m3, air_changes_per_hour=air_changes)
    plant = build_plant(Facility(Site("s", "S"), (Place("r", "R", grade, design=design),), ()))
    nothing = np.zeros((2, 1))
    return replace(plant, effectiveness=np.array([effectiveness]), supply_per_m3=nothing, equipment_per_s=nothing)


def air(plant: Plant, *, fan: float = 1.0, extract: float | None = None, open_: NDArray[np.bool_] | None = None) -> Air:
    row = np.full((1, len(plant)), fan)
    doors = np.zeros((1, len(plant.doors)), bool) if open_ is None else open_
    return Air(row, row if extract is None else np.full_like(row, extract), np.zeros_like(row), doors)


def sources(plant: Plant, people: float = 0.0, doors: NDArray[np.bool_] | None = None) -> Sources:
    shed = np.full((1, len(plant)), people)
    zero = np.zeros_like(shed)
    no_doors = np.zeros((1, len(plant.doors)), bool)
    return Sources(np.ones_like(shed), (shed, shed), (zero, zero), zero, no_doors if doors is None else doors)


def opened(plant: Plant, steps: int, door: int, first: int, last: int) -> NDArray[np.bool_]:
    doors = np.zeros((steps, len(plant.doors)), bool)
    doors[first:last, door] = True
    return doors


# Courses


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.just(0.0) | st.floats(1e-4, 3), st.booleans())
def test_a_course_is_what_small_steps_come_to(seed: int, steepness: float, constant: bool) -> None:
    chance = np.random.default_rng(seed)
    loss = steepness * chance.random((1 if constant else 40, 3))
    gain, start = 10 * chance.random((40, 3)), 100 * chance.random(3)
    course = relaxed(start, gain, loss, 2.0, 40)
    now = start.copy()
    for step in range(40):
        rate = loss[0 if constant else step]
        with np.errstate(invalid="ignore", divide="ignore"):
            end = np.where(rate > 0, gain[step] / rate, 0.0)
        now = np.where(rate > 0, end + (now - end) * np.exp(-rate * 2.0), now + gain[step] * 2.0)
        assert course[step] == pytest.approx(now, rel=1e-9, abs=1e-9)


def test_what_has_arrived_is_one_row() -> None:
    assert relaxed(np.array([5.0]), np.array([[10.0]]), np.array([[2.0]]), 1.0, 100).tolist() == [[5.0]]
    assert len(relaxed(np.array([5.1]), np.array([[10.0]]), np.array([[2.0]]), 1.0, 100)) == 100
    assert following(np.array([1.0]), np.array([[3.0]]), 0.0, 1.0, 10)[-1] == 3.0


def test_steep_and_long_courses_keep_their_digits() -> None:
    gain = np.full((4000, 1), 3.0)
    assert relaxed(np.array([1e9]), gain, np.full((4000, 1), 0.45), 1.0, 4000)[-1, 0] == pytest.approx(3 / 0.45, rel=1e-9)
    assert relaxed(np.array([1e9]), gain, np.full((4000, 1), 0.45), 3600.0, 4000)[0, 0] == pytest.approx(3 / 0.45, rel=1e-9)


def test_noise_wanders_with_its_size_and_its_time() -> None:
    course = Wander(20, 50.0, 1, 1.0, np.random.SeedSequence(1)).block(20_000)
    assert course.std() == pytest.approx(1, abs=0.03)
    assert np.mean(course[50:] * course[:-50]) == pytest.approx(math.exp(-1), abs=0.03)
    assert pooled(np.arange(6.0)[:, None], 3)[:, 0].tolist() == [1, 4]


# Pressure


@pytest.mark.parametrize(("pa", "m3_h"), [(10, 94), (15, 115), (30, 163)])
def test_a_leak_of_100_cm2_loses_what_the_orifice_equation_says(pa: float, m3_h: float) -> None:
    assert leak_flow(np.array([pa]), np.array([0.01]))[0] * 3600 == pytest.approx(m3_h, abs=0.6)


def test_a_door_gap_of_6_m_by_3_mm_loses_208_m3_an_hour() -> None:
    assert leak_flow(np.array([15.0]), np.array([0.018]))[0] * 3600 == pytest.approx(208, abs=1)


def test_a_leak_flows_back_when_the_pressure_turns() -> None:
    forth, back = leak_flow(np.array([12.0, -12.0]), np.array([0.02, 0.02]))
    assert forth == -back > 0


def test_one_room_settles_where_its_leak_loses_its_supply() -> None:
    network = Network(np.array([0]), np.array([1]), 1)
    expected = (0.05 / (0.827 * 0.01)) ** 2
    assert network.solve(np.array([[0.05]]), np.array([[0.01]]), np.zeros((1, 1)))[0, 0] == pytest.approx(expected, rel=1e-5)


def test_rooms_in_series_share_the_pressure_by_the_square_of_their_leaks() -> None:
    # Air goes 0 -> 1 -> outside; the same flow through leaks of 1 and 2 gives drops of 4 to 1.
    network = Network(np.array([0, 1]), np.array([1, 2]), 2)
    inner, outer = network.solve(np.array([[0.03, 0.0]]), np.array([[0.005, 0.01]]), np.zeros((1, 2)))[0]
    assert (inner - outer) / outer == pytest.approx(4.0, rel=1e-4)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_in_any_network_what_goes_in_comes_out_at_every_moment(seed: int) -> None:
    chance = np.random.default_rng(seed)
    nodes = int(chance.integers(1, 9))
    pairs = [(node, nodes) for node in range(nodes)]
    pairs += [(a, b) for a in range(nodes) for b in range(a) if chance.random() < 0.5]
    network = Network(np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]), nodes)
    area = 10 ** chance.uniform(-3, 0.3, (20, len(pairs)))
    supply = chance.uniform(-0.1, 0.3, (20, nodes))
    pressure = network.solve(supply, area, np.zeros((1, nodes)))
    assert network.outflow(network.flows(pressure, area)) == pytest.approx(supply, abs=1e-6)


def test_an_undisturbed_cascade_stays_at_its_design(plant: Plant) -> None:
    pressure, flow = PressureModel(plant).block(air(plant), 1.0, 600)
    assert pressure == pytest.approx(np.array([DESIGN_PA]), abs=1e-3)
    assert len(flow) == 1, "a quiet plant costs nothing"


def test_an_open_door_takes_the_pressure_and_the_dampers_give_it_back_with_some_overshoot(plant: Plant) -> None:
    pressure, _ = PressureModel(plant).block(air(plant, open_=opened(plant, 200, 0, 20, 40)), 1.0, 200)
    over = pressure[:, 1] - pressure[:, 0]
    assert over[19] == pytest.approx(15, abs=0.05)
    assert over[20:40] == pytest.approx(np.zeros(20), abs=0.5)
    assert (pressure[20:40, 2] - pressure[20:40, 1]).min() > 10, "the next door still holds"
    assert 17 < over[40] < 23, "2 to 8 Pa too much"
    assert over[60] == pytest.approx(15, abs=1.5), "in 20 s it is back"
    assert pressure[-1] == pytest.approx(DESIGN_PA, abs=0.2)


def test_without_air_the_cascade_collapses_and_with_extract_alone_it_turns(plant: Plant) -> None:
    still, _ = PressureModel(plant).block(air(plant, fan=0.0), 1.0, 60)
    assert np.abs(still).max() < 0.1
    sucked, _ = PressureModel(plant).block(air(plant, fan=0.9, extract=1.0), 1.0, 60)
    assert sucked[-1].max() < 0


def test_a_door_without_reference_leads_to_the_room_that_the_pressure_is_measured_against(plant: Plant) -> None:
    assert [(door.here, door.there) for door in plant.doors] == [(1, 0), (2, 1)]


def test_a_design_says_otherwise_than_the_grade() -> None:
    design = Design(volume_m3=33, air_changes_per_hour=20, pressure_pa=12, people=5, height_m=3, leak_m2=0.02, doors=("q",))
    plant = build_plant(Facility(Site("s", "S"), (Place("r", "R", "B", design=design), Place("q", "Q", "C")), ()))
    assert (plant.volume_m3[0], plant.people[0], plant.pressure_pa[0], plant.floor_m2[0]) == (33, 5, 12, 11)
    assert plant.flow_m3_s[0] == pytest.approx(33 * 20 / 3600)
    assert [(door.point, door.here, door.there) for door in plant.doors] == [(None, 0, 1)]
    assert plant.area_m2[0] == 0.02


# Particles


@pytest.mark.parametrize(
    ("grade", "volume", "changes", "small", "large"), [("C", 80, 30, 76_500, (2_700, 2_800)), ("B", 60, 50, 61_200, (2_190, 2_240))]
)
def test_three_people_at_work_shed_what_the_balance_says(
    grade: str, volume: float, changes: float, small: float, large: tuple[float, float]
) -> None:
    plant = room(grade, volume, changes)
    model = ParticleModel(plant)
    model.settle(np.zeros((1, len(plant.area_m2))), sources(plant, 3))
    assert model.per_m3[0, 0] == pytest.approx(small, rel=0.002)
    assert large[0] * 0.995 < model.per_m3[1, 0] < large[1]
    assert model.per_m3[0, 0] == pytest.approx(3 * PERSON_PER_MIN[0] / (volume * changes / 60), rel=0.002)


@pytest.mark.parametrize(
    ("changes", "tenth_min", "hundredth_min"), [(15, 9.2, 18.4), (20, 6.9, 13.8), (30, 4.6, 9.2), (40, 3.5, 6.9), (60, 2.3, 4.6)]
)
def test_a_room_recovers_a_hundredfold_in_the_time_that_its_air_changes_give(
    changes: float, tenth_min: float, hundredth_min: float
) -> None:
    plant = room("B", 60, changes)
    model = ParticleModel(plant)
    model.per_m3[:] = 1e6
    course = model.block(np.zeros((1, len(plant.area_m2))), sources(plant), 1.0, 1500)[0, :, 0] / 1e6
    minutes = np.interp([-math.log(10), -math.log(100)][::-1], np.log(course[::-1]), np.arange(1500, 0, -1) / 60)[::-1]
    assert minutes[0] == pytest.approx(tenth_min, abs=0.06)
    assert minutes[1] == pytest.approx(hundredth_min, abs=0.06)


def test_an_effectiveness_of_four_fifths_takes_a_quarter_longer_and_large_particles_also_fall() -> None:
    plant = room("B", 60, 50, 0.8)
    model = ParticleModel(plant)
    model.per_m3[:] = 1e6
    small, large = model.block(np.zeros((1, len(plant.area_m2))), sources(plant), 1.0, 60)[:, -1, 0] / 1e6
    assert small == pytest.approx(math.exp(-50 / 60 * 0.8), rel=2e-3)
    assert large / small == pytest.approx(math.exp(-1.04 / 60), rel=2e-3), "1.04 per hour in a room of 2.7 m"


def test_neighbours_agree_with_small_steps(plant: Plant) -> None:
    steps = 120
    doors = opened(plant, steps, 0, 10, 40)
    pressure = PressureModel(plant)
    _, flow = pressure.block(air(plant, open_=doors), 1.0, steps)
    once, often = ParticleModel(plant), ParticleModel(plant)
    for model in (once, often):
        model.settle(flow[:1], sources(plant, 1, doors[:1]))
    course = once.block(flow, sources(plant, 1, doors), 1.0, steps)
    for step in range(steps):
        rows = slice(step, step + 1)
        for _ in range(10):
            fine = often.block(flow[rows], sources(plant, 1, doors[rows]), 0.1, 1)
        assert fine[:, -1] == pytest.approx(course[:, step], rel=5e-3, abs=1.0)


def test_rooms_at_work_lie_in_the_usual_range_of_their_grade(plant: Plant) -> None:
    _, flow = PressureModel(plant).block(air(plant), 1.0, 1)
    model = ParticleModel(plant)
    people = 0.5 * plant.people[None]
    model.settle(flow, replace(sources(plant), shedding=(people, people)))
    d, c, b, a, _ = model.per_m3.T
    assert 100_000 < d[0] < 1_500_000
    assert 1_000 < d[1] < 20_000
    assert 20_000 < c[0] < 300_000
    assert 2_000 < b[0] < 50_000
    assert 20 < b[1] < 1_000
    assert a[0] < 100
    assert a[1] == 0


def test_a_leaking_filter_lets_in_its_share(plant: Plant) -> None:
    alone = room("B", 60, 50)
    model = ParticleModel(alone)
    model.settle(np.zeros((1, len(alone.area_m2))), replace(sources(alone), filter_leak=np.full((1, 1), 0.01)))
    assert model.per_m3[0, 0] == pytest.approx(0.01 * 3e6, rel=0.01)


# Climate and storage


def moments(count: int, apart_s: float, first_s: float = 0.0) -> Floats:
    return np.linspace(first_s, first_s + apart_s * (count - 1), count)


def loads(plant: Plant, **said: Floats) -> Loads:
    zero = np.zeros((1, len(plant)))
    return replace(Loads(np.ones_like(zero), zero, zero, zero, zero), **said)


def test_humidity_falls_as_the_same_air_warms() -> None:
    moisture = moisture_g_kg(np.array([20.0]), np.array([45.0]))
    assert moisture[0] == pytest.approx(6.5, abs=0.1)
    assert humidity_percent(np.array([20.0]), moisture)[0] == pytest.approx(45)
    assert humidity_percent(np.array([21.0]), moisture)[0] - 45 == pytest.approx(-3, abs=0.4)


def test_rooms_keep_to_their_set_point_by_day_and_year_and_dry_out_in_a_winter_without_control(plant: Plant) -> None:
    for day in (15, 196):
        at_s = moments(1440, 60.0, day * 86_400.0)
        climate, none = ClimateModel(plant, at_s[0], 3600, plant.people), np.zeros((1440, len(plant)))
        degc, humidity = climate.block(at_s, loads(plant), none, none, 60.0)
        assert np.abs(degc[:, 2] - 20).max() < 0.6
        assert 0.4 < np.ptp(degc[:, 2]) < 1.2
        assert 38 < humidity[:, 2].min() < humidity[:, 2].max() < 52
        assert 9 < np.argmax(degc[:, 2]) / 60 < 20, "warmest in the afternoon"
    at_s = moments(1440, 60.0, 15 * 86_400.0)
    dry = ClimateModel(plant, at_s[0], 0, plant.people).block(at_s, loads(plant, uncontrolled=np.ones((1, len(plant)))), none, none, 60.0)[
        1
    ]
    assert dry[-1, 2] < 25
    assert weather(at_s, 0).degc.mean() < 0


def test_a_room_without_supply_warms_by_about_a_degree_an_hour(plant: Plant) -> None:
    at_s = moments(120, 60.0)
    none = np.zeros((120, len(plant)))
    climate = ClimateModel(plant, 0.0, 0, plant.people)
    degc, _ = climate.block(at_s, loads(plant, supply=np.zeros((1, len(plant)))), none, none, 60.0)
    assert 0.5 < (degc[-1, 2] - degc[0, 2]) / 2 < 2


def stored(plant: Plant, steps: int, dt_s: float, **said: Floats) -> Floats:
    storage = StorageModel(plant, np.random.SeedSequence(1))
    zero = np.zeros((1, len(plant)))
    doors = replace(Doors(zero, zero, zero, zero), **said)
    around = np.full((steps, 1), 20.0), np.full((steps, 1), 45.0)
    return storage.block(moments(steps, dt_s, dt_s), around, doors, np.zeros((steps, 1)), dt_s).degc[:, 0]


def test_a_failed_freezer_warms_up_with_its_time_constant(plant: Plant) -> None:
    warm = np.full((1, len(plant)), 1 / (12 * 3600))
    degc = stored(plant, 360, 60.0, warm_per_s=warm)
    assert degc[-1] == pytest.approx(20 - 100 * math.exp(-0.5), abs=0.1)
    assert 5 < (degc[119] - degc[59]) < 10, "5 to 10 degrees in an early hour"


def test_an_open_freezer_warms_by_some_degrees_and_comes_back(plant: Plant) -> None:
    door = np.zeros((600, len(plant)))
    door[60:72] = 1.0  # a minute
    quiet, degc = stored(plant, 600, 5.0), stored(plant, 600, 5.0, opened=door)
    assert 5 < (degc - quiet).max() < 15
    assert (degc - quiet)[-1] < 1.5
    assert np.abs(quiet + 80).max() < 1.5, "its compressor's cycle"


def test_incubators_fridges_and_nitrogen_do_what_is_known_of_them() -> None:
    places = (
        Place("r", "R"),
        Place("i", "I", None, "incubator", "r"),
        Place("k", "K", None, "fridge", "r"),
        Place("n", "N", None, "ln2", "r"),
    )
    plant = build_plant(Facility(Site("s", "S"), places, ()))
    storage, none = StorageModel(plant, np.random.SeedSequence(1)), np.zeros((1, 4))
    door = np.zeros((3600, 4))
    door[10:40, 1] = 1.0  # half a minute
    around = np.full((3600, 3), 20.0), np.full((3600, 3), 45.0)
    state = storage.block(moments(3600, 1.0, 1.0), around, Doors(door, none, none, none), np.zeros((3600, 3)), 1.0)
    assert 1 < state.co2_percent[:, 0].min() < 2
    assert state.co2_percent[39 + 600, 0] > 4.9, "back in ten minutes"
    assert 1 < 37 - state.degc[:, 0].min() < 3
    assert abs(state.degc[39 + 1200, 0] - 37) < 0.1, "back in twenty"
    minutes = moments(30 * 1440, 60.0, 60.0)
    month = StorageModel(plant, np.random.SeedSequence(1))
    warm = np.full((1440, 3), 20.0), np.full((1440, 3), 45.0)
    days = [
        month.block(minutes[day * 1440 : (day + 1) * 1440], warm, Doors(none, none, none, none), np.zeros((1440, 3)), 60.0)
        for day in range(30)
    ]
    fridge, level = (np.concatenate([getattr(day, name)[:, place] for day in days]) for name, place in (("degc", 1), ("level_percent", 2)))
    assert 2 < fridge.min() < fridge.max() < 8
    assert 2 < np.ptp(fridge) < 5, "cycle and defrosting"
    assert 45 < level.min() < level.max() <= 80
    assert np.diff(level).max() > 1, "it is filled up"
