"""Silence: of a point that is taken out of service, and of one whose source said that it died."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from facility.reading import Readings
from rules.excursion import Excursion
from rules.occupancy import occupancy_of
from rules.plan import plan_of
from rules.stale import Heard, StaleState, next_deadline, silence
from tests.support.living import Life
from tests.support.reference import Lived, Row, evaluate
from tests.support.strategies import HALF_NS, Story, cuttings, stories
from tests.support.told import Short, ns, one_room, rows, short, stale


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


# A source that announces its end; times in seconds, the rule waits 5 s.


def found(readings: list[Row], *lives: Lived) -> list[Short]:
    outcome = evaluate(one_room(), (stale("5s"),), {}, readings, lives)
    assert live(Story(one_room(), (stale("5s"),), {}, tuple(readings)), lives) == outcome.excursions
    return [short(excursion) for excursion in outcome.excursions]


def died(at: float) -> Lived:
    return Lived(ns(at), False, ("t",))


def born(at: float) -> Lived:
    return Lived(ns(at), True, ("t",))


def live(story: Story, lives: Sequence[Lived]) -> list[Excursion]:
    """Every event with a step of its own."""
    received = [replace(row, received=row.received or row.time) for row in story.rows]
    life = Life(replace(story, rows=tuple(received)))
    events: list[Row | Lived] = [*received, *lives]
    for event in sorted(events, key=lambda event: event.at if isinstance(event, Lived) else event.received or 0):
        if isinstance(event, Lived):
            life.lived(event)
        else:
            life.arrive([event])
        life.step(event.at if isinstance(event, Lived) else event.received or 0)
    life.step(max([row.received or 0 for row in received] + [event.at for event in lives]) + 1)
    return life.current()


def test_a_death_is_stale_at_once_and_the_next_reading_ends_it() -> None:
    assert found(rows(1, 1, None, None, 1), died(1.5)) == [(1.5, 1.5, 4, 4, None, 0)]


def test_a_birth_ends_it_too_and_silence_counts_from_there() -> None:
    # Born at 3: the deadline is 8; the next reading comes at 9.
    expected = [(1.5, 1.5, 3, 3, None, 0), (3, 8, 9, 9, None, 0)]
    assert found([*rows(1, 1), *rows(1, start=9)], died(1.5), born(3)) == expected


def test_a_birth_of_a_living_point_proves_nothing_about_its_instrument() -> None:
    assert found([*rows(1), *rows(1, start=9)], born(3)) == [(0, 5, 9, 9, None, 0)]


def test_a_death_during_a_silence_changes_nothing_but_that_a_birth_ends_it() -> None:
    assert found([*rows(1), *rows(1, start=9)], died(6)) == [(0, 5, 9, 9, None, 0)]
    assert found([*rows(1), *rows(1, start=9)], died(6), born(8)) == [(0, 5, 8, 8, None, 0)]


def test_a_dead_point_does_not_die_again() -> None:
    assert found([*rows(1), *rows(1, start=4)], died(1), died(2)) == [(1, 1, 4, 4, None, 0)]


def test_a_deadline_that_is_only_reached_at_the_death_does_not_come_first() -> None:
    assert found([*rows(1), *rows(1, start=9)], died(5)) == [(5, 5, 9, 9, None, 0)]
    assert found([*rows(1), *rows(1, start=9)], Lived(ns(5) + 1, False, ("t",))) == [(0, 5, 9, 9, None, 0)]


def test_a_retired_point_does_not_die() -> None:
    story = Story(one_room(retired_ns=ns(1)), (stale("5s"),), {}, tuple(rows(1)))
    assert live(story, [died(1)]) == []


@given(stories(kinds=("stale",), late=True), st.data())
def test_with_births_and_deaths_any_cutting_and_restart_gives_what_the_reference_gives(story: Story, data: st.DataObject) -> None:
    lives: list[Lived] = []
    points = [point.id for point in story.facility.points]
    life = Life(story)
    batches = data.draw(cuttings(story.rows))
    for batch, following in zip(batches, [*batches[1:], ()], strict=False):
        life.arrive(batch)
        at = batch[-1].received or 0
        before = (following[0].received or 0) if following else 1 << 62
        for _ in range(data.draw(st.sampled_from((0, 0, 1, 2))) if at < before else 0):
            at = min(at + data.draw(st.sampled_from((0, HALF_NS, ns(3)))), before - 1)
            names = data.draw(st.lists(st.sampled_from(points), unique=True, min_size=1))
            lives.append(Lived(at, data.draw(st.booleans()), tuple(names)))
            life.lived(lives[-1])
        if data.draw(st.booleans()):
            life.step(at)
            if data.draw(st.booleans()):
                life.restart()
    life.step(max([row.received or 0 for row in story.rows] + [event.at for event in lives], default=0) + 1)
    expected = evaluate(story.facility, story.rules, story.tables, story.rows, lives).excursions
    assert sorted(life.current(), key=order) == sorted(expected, key=order)


def order(excursion: Excursion) -> tuple[int, str, str, int]:
    return excursion.onset, excursion.rule, excursion.point, excursion.ended or 1 << 62
