"""Silence of a point that is taken out of service: nobody is woken for it, and no step waits for it."""

from __future__ import annotations

import numpy as np

from facility.reading import Readings
from rules.occupancy import occupancy_of
from rules.plan import plan_of
from rules.stale import Heard, StaleState, next_deadline, silence
from tests.support.told import ns, one_room, stale


def test_a_silence_that_would_be_raised_after_the_point_was_retired_is_none() -> None:
    facility = one_room(retired_ns=ns(8))
    plan = plan_of(facility, [stale("5s")], {}, {"t": 0})
    occupancy = occupancy_of(facility, {})
    state = StaleState.since(1, ns(4), ns(4))
    assert next_deadline(plan.stale, state, ns(7)) == ns(9)
    state, found = silence(plan.stale, state, Readings.empty(), Heard(np.array([ns(20)]), np.array([ns(20)])), occupancy)
    assert found == []
    assert next_deadline(plan.stale, state, ns(20)) is None
    # Measured before it was retired, received after.
    column = np.array([ns(30)])
    late = Readings(np.zeros(1, np.uint32), np.array([ns(7)]), np.ones(1), np.zeros(1, np.uint8), column, column, np.array([-1]))
    _, found = silence(plan.stale, state, late, Heard(column, column), occupancy)
    assert found == []
