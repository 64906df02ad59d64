"""The physics of the simulator against closed forms (simulators/pressure.py, particles.py, climate.py)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from facility.site import Facility, Place, Point, Site
from simulators.climate import ClimateModel, approach
from simulators.controls import Controls
from simulators.particles import LIGHT_ACTIVITY, PERSON_PER_MIN, VENTILATION_EFFECTIVENESS, ParticleModel, relax
from simulators.plant import Plant, build_plant
from simulators.pressure import Network, PressureModel, leak_flow

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


@pytest.fixture
def plant() -> Plant:
    return build_plant(CASCADE)


def steps(plant: Plant, model: PressureModel, controls: Controls, seconds: int) -> None:
    fan = np.ones(len(plant.designs))
    for _ in range(seconds):
        model.step(1.0, fan, controls)


@pytest.mark.parametrize(("pa", "m3_h"), [(10, 94), (15, 115), (30, 163)])
def test_a_leak_of_100_cm2_loses_what_the_orifice_equation_says(pa: float, m3_h: float) -> None:
    assert leak_flow(np.array([pa]), np.array([0.01]))[0] * 3600 == pytest.approx(m3_h, abs=0.6)


def test_a_leak_flows_back_when_the_pressure_turns() -> None:
    forth, back = leak_flow(np.array([12.0, -12.0]), np.array([0.02, 0.02]))
    assert forth == -back > 0


def test_one_room_settles_where_its_leak_loses_its_supply() -> None:
    network = Network(np.array([0]), np.array([1]), 1)
    supply, area = np.array([0.05]), np.array([0.01])
    expected = (0.05 / (0.827 * 0.01)) ** 2
    assert network.solve(supply, area, np.zeros(1))[0] == pytest.approx(expected, rel=1e-5)


def test_rooms_in_series_share_the_pressure_by_the_square_of_their_leaks() -> None:
    # Air goes 0 -> 1 -> outside; the same flow through leaks of 1 and 2 gives drops of 4 to 1.
    network = Network(np.array([0, 1]), np.array([1, 2]), 2)
    inner, outer = network.solve(np.array([0.03, 0.0]), np.array([0.005, 0.01]), np.zeros(2))
    assert (inner - outer) / outer == pytest.approx(4.0, rel=1e-4)


def test_an_undisturbed_cascade_stays_at_its_design(plant: Plant) -> None:
    model = PressureModel(plant)
    steps(plant, model, Controls.at_rest(plant), 60)
    assert model.pressure_pa == pytest.approx([15, 30, 45, 45, 15], abs=1e-3)


def test_an_open_door_takes_the_pressure_and_the_dampers_give_it_back_with_some_overshoot(plant: Plant) -> None:
    model, controls = PressureModel(plant), Controls.at_rest(plant)
    controls.doors_open[0] = True
    steps(plant, model, controls, 20)
    assert model.pressure_pa[1] - model.pressure_pa[0] == pytest.approx(0, abs=0.5)
    assert model.pressure_pa[2] - model.pressure_pa[1] > 10
    steps(plant, model, Controls.at_rest(plant), 2)
    assert 16 < model.pressure_pa[1] - model.pressure_pa[0] < 25
    steps(plant, model, Controls.at_rest(plant), 90)
    assert model.pressure_pa == pytest.approx([15, 30, 45, 45, 15], abs=0.2)


def test_without_supply_the_cascade_collapses(plant: Plant) -> None:
    model = PressureModel(plant)
    model.step(1.0, np.zeros(len(plant.designs)), Controls.at_rest(plant))
    assert np.abs(model.pressure_pa).max() < 0.1


def test_a_door_without_reference_leads_to_the_room_that_the_pressure_is_measured_against(plant: Plant) -> None:
    assert [(door.here, door.there) for door in plant.doors] == [(1, 0), (2, 1)]


def test_particles_settle_at_source_over_flow() -> None:
    room = build_plant(Facility(Site("s", "S"), (Place("b", "B", "B"),), ()))
    model, controls = ParticleModel(room), Controls.at_rest(room)
    controls.people[:] = 3
    model.settle(np.zeros(len(room.here)), controls)
    flow_m3_min = room.flow_m3_s[0] * 60 * VENTILATION_EFFECTIVENESS
    shed = 3 * LIGHT_ACTIVITY * PERSON_PER_MIN[0]
    assert model.per_m3[0, 0] == pytest.approx(shed / flow_m3_min, rel=0.02)


def test_a_room_clears_by_its_air_changes() -> None:
    room = build_plant(Facility(Site("s", "S"), (Place("b", "B", "B"),), ()))
    model, controls = ParticleModel(room), Controls.at_rest(room)
    controls.people[:] = 0
    model.settle(np.zeros(len(room.here)), controls)
    rest = model.per_m3.copy()
    model.per_m3 = rest + 1e6
    for _ in range(60):
        model.step(1.0, np.ones(1), np.zeros(len(room.here)), controls, np.ones(1))
    left = (model.per_m3 - rest) / 1e6
    by_air = math.exp(-50 / 60 * VENTILATION_EFFECTIVENESS)
    assert left[0, 0] == pytest.approx(by_air, rel=1e-3)
    assert left[1, 0] < left[0, 0], "large particles also fall"


def test_a_step_of_any_length_is_exact() -> None:
    start, gain, loss = np.array([1000.0]), np.array([5.0]), np.array([0.02])
    once = relax(start, gain, loss, 60.0)
    often = start
    for _ in range(600):
        often = relax(often, gain, loss, 0.1)
    assert once == pytest.approx(often)
    assert relax(start, gain, np.zeros(1), 60.0) == pytest.approx(1300)


def test_rooms_at_work_lie_in_the_usual_range_of_their_grade(plant: Plant) -> None:
    model, pressure = ParticleModel(plant), PressureModel(plant)
    model.settle(pressure.flow_m3_s, Controls.at_rest(plant))
    d, c, b, a, _ = model.per_m3.T
    assert 100_000 < d[0] < 1_500_000
    assert 1_000 < d[1] < 20_000
    assert 20_000 < c[0] < 300_000
    assert 2_000 < b[0] < 50_000
    assert 20 < b[1] < 1_000
    assert a[0] < 100
    assert a[1] == 0


def test_an_open_door_lets_the_dirtier_air_in(plant: Plant) -> None:
    model, pressure, controls = ParticleModel(plant), PressureModel(plant), Controls.at_rest(plant)
    model.settle(pressure.flow_m3_s, controls)
    before = model.per_m3[0, 1]
    controls.doors_open[0] = True
    ones = np.ones(len(plant.designs))
    for _ in range(30):
        pressure.step(1.0, ones, controls)
        model.step(1.0, ones, pressure.flow_m3_s, controls, LIGHT_ACTIVITY * ones)
    assert model.per_m3[0, 1] > 1.5 * before


def test_a_failed_freezer_warms_up_with_its_time_constant(plant: Plant) -> None:
    climate, controls = ClimateModel(plant, 0.0), Controls.at_rest(plant)
    begin = climate.degc[4]
    controls.warm_per_s[4], controls.warm_to[4] = 1 / 7200, 20.0
    for second in range(3600):
        climate.step(1.0, float(second), np.ones(5), controls, np.zeros((4, 5)))
    assert climate.degc[4] == pytest.approx(20 + (begin - 20) * math.exp(-0.5), abs=1e-6)


def test_humidity_falls_as_the_same_air_warms(plant: Plant) -> None:
    climate, controls = ClimateModel(plant, 0.0), Controls.at_rest(plant)
    warm, cool = np.zeros((4, 5)), np.zeros((4, 5))
    warm[0] = 5.0
    climate.step(1.0, 1.0, np.ones(5), controls, cool)
    degc, humidity = climate.degc[0], climate.humidity[0]
    climate.step(1.0, 1.0, np.ones(5), controls, warm)
    assert (climate.humidity[0] - humidity) / (climate.degc[0] - degc) == pytest.approx(-3, rel=0.05)


def test_approach_ends_between_its_targets_by_the_weight_of_their_rates() -> None:
    end = approach(np.zeros(1), [np.array([0.03]), np.array([0.01])], [np.array([10.0]), np.array([20.0])], 1e6)
    assert end == pytest.approx(12.5)
    assert approach(np.array([7.0]), [np.zeros(1)], [np.ones(1)], 1e6) == 7.0
