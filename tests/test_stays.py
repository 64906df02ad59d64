"""States of rooms that last longer than they may (rules/staying.py, alerts/judging/stays.py)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facility.site import Facility
from rules.rule import Rule, Selection
from tests.support.admitted import Row
from tests.support.living import Life
from tests.support.reference import evaluate
from tests.support.replayed import judge, plan, write
from tests.support.strategies import START_NS, Story, arriving, cuttings, stories
from tests.support.told import bench, ns
from tests.test_judgement import SECOND_NS, plain

FORGOTTEN = Rule("forgotten", "state", level="technical")
HOUR = 3600


def lab(**at_most: float) -> Facility:
    facility = bench()
    limits = tuple((state, ns(hours * HOUR)) for state, hours in at_most.items())
    return replace(facility, places=tuple(replace(place, at_most_ns=limits) for place in facility.places))


def said(hour: float, state: str, place: str = "lab", received: float | None = None) -> Row:
    return Row(f"{place}/occupancy", ns(hour * HOUR), state, received=ns((hour if received is None else received) * HOUR))


def told(life: Life) -> list[tuple[str, float, float, float | None, str]]:
    """Of which place, onset, raised and ended in hours, the state."""
    hour = HOUR * SECOND_NS
    return [
        (row.point, row.onset / hour, row.raised / hour, None if row.ended is None else row.ended / hour, row.occupancy)
        for row in life.current()
    ]


def living(facility: Facility, *rules: Rule) -> Life:
    return Life(Story(facility, rules or (FORGOTTEN,), {}, ()), settle=True, start=0)


def test_a_forgotten_cleaning_is_told_when_its_time_is_over_and_ends_with_the_next_state() -> None:
    life = living(lab(cleaning=2))
    life.arrive([said(1, "cleaning")])
    life.step(ns(1 * HOUR))
    life.arrive([said(2, "cleaning")])  # said again: it began at 1
    life.step(ns(3 * HOUR) + SECOND_NS)
    assert told(life) == []
    due = ns(3 * HOUR) + 2 * SECOND_NS
    assert life.ledger.stays.due(due, due)
    life.step(due)
    assert told(life) == [("lab/occupancy", 1, 3, None, "cleaning")]
    assert life.store.rows("select point, state from alarms") == [("lab/occupancy", "unacknowledged")]
    assert not life.ledger.stays.due(2 * due, 2 * due)
    life.restart()
    life.arrive([said(5, "in_operation")])
    life.step(ns(5 * HOUR))
    assert told(life) == [("lab/occupancy", 1, 3, 5, "cleaning")]
    assert [(row.revision, row.late) for row in life.current()] == [(0, False)]


def test_a_state_that_ends_in_time_is_no_excursion() -> None:
    life = living(lab(cleaning=2))
    life.arrive([said(1, "cleaning"), said(3, "at_rest")])
    life.step(ns(9 * HOUR))
    assert told(life) == []


def test_an_end_that_is_said_late_takes_the_excursion_back() -> None:
    life = living(lab(cleaning=2))
    life.arrive([said(1, "cleaning")])
    life.step(ns(4 * HOUR))
    life.arrive([said(2, "at_rest", received=5)])
    life.step(ns(5 * HOUR))
    assert told(life) == []
    assert [row.status for row in life.store.excursions()] == ["superseded"]


def test_a_state_that_is_said_late_is_found_late() -> None:
    life = living(lab(cleaning=2))
    life.step(ns(8 * HOUR))
    life.arrive([said(1, "cleaning", received=9), said(4, "at_rest", received=9)])
    life.step(ns(9 * HOUR))
    assert told(life) == [("lab/occupancy", 1, 3, 4, "cleaning")]
    assert life.current()[0].late is False  # not compared here
    assert life.store.excursions()[0].late


def test_a_zone_counts_from_what_was_said_of_it_and_other_states_may_last() -> None:
    life = living(lab(cleaning=2), replace(FORGOTTEN, select=Selection(zone=("hood",))))
    life.arrive([said(1, "cleaning"), said(2, "maintenance", "hood"), said(30, "cleaning", "hood")])
    life.step(ns(40 * HOUR))
    assert told(life) == [("hood/occupancy", 30, 32, None, "cleaning")]


def test_another_at_most_closes_and_counts_from_its_moment() -> None:
    life = living(lab(cleaning=2))
    life.arrive([said(1, "cleaning")])
    life.step(ns(4 * HOUR))
    life.reconfigure((FORGOTTEN,), ns(5 * HOUR), lab(cleaning=3))
    life.step(ns(9 * HOUR))
    assert told(life) == [("lab/occupancy", 1, 3, 5, "cleaning"), ("lab/occupancy", 5, 8, None, "cleaning")]
    assert [row.closed_by for row in life.current()] == ["configuration", ""]
    assert [row.config for row in life.store.excursions()] == ["hash", "other"]


KINDS = ("state", "limit")


@given(stories(kinds=KINDS, late=True), st.data())
def test_in_any_cutting_with_restarts_the_current_excursions_are_the_references(story: Story, data: st.DataObject) -> None:
    life = Life(story, settle=True)
    for batch in data.draw(cuttings(story.rows)):
        life.arrive(batch)
        life.step(batch[-1].received or 0)
        if data.draw(st.booleans()):
            life.restart()
    now = max((row.received or 0 for row in story.rows), default=0) + 4 * SECOND_NS
    life.step(now)
    assert life.current() == plain(evaluate(story.facility, story.rules, story.tables, story.rows, now=now).excursions)


@given(stories(kinds=KINDS, conflicts=False, untimely=False), st.data())
def test_with_another_configuration_two_orders_of_arrival_give_the_same(story: Story, data: st.DataObject) -> None:
    change = START_NS + data.draw(st.sampled_from((1, 4, 8))) * SECOND_NS
    at_most = data.draw(st.sampled_from(((("cleaning", SECOND_NS),), (("at_rest", SECOND_NS),))))
    other = replace(story.facility, places=tuple(replace(place, at_most_ns=at_most) for place in story.facility.places))
    orders = [data.draw(arriving(story.rows, ahead=False)) for _ in range(2)]
    end = max([change, *(row.received or 0 for rows in orders for row in rows)]) + 9 * SECOND_NS
    results = []
    for order in orders:
        life = Life(replace(story, rows=order), settle=True, start=START_NS)
        changed = False
        for row in order:
            if not changed and (row.received or 0) > change:
                life.reconfigure(story.rules, change, other)
                changed = True
            life.arrive([row])
            if data.draw(st.booleans()):
                life.step(row.received or 0)
        if not changed:
            life.reconfigure(story.rules, change, other)
        life.step(end)
        results.append(life.current())
    assert results[0] == results[1]


@pytest.mark.parametrize("late", [False, True])
@given(data=st.data())
def test_a_replay_finds_the_same(late: bool, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    story = data.draw(stories(kinds=KINDS, late=late))
    folder: Path = tmp_path_factory.mktemp("replay")
    found = judge(plan(story), [write(folder / "a.csv", story.rows)]).excursions
    assert plain(found) == plain(evaluate(story.facility, story.rules, story.tables, story.rows).excursions)


def test_a_stay_that_ends_while_its_raising_settles_is_told_all_the_same() -> None:
    life = living(lab(cleaning=2))
    life.arrive([said(1, "cleaning"), said(3 + 1 / HOUR, "at_rest")])
    life.step(ns(3 * HOUR) + SECOND_NS)
    assert told(life) == []
    assert life.ledger.stays.due(ns(4 * HOUR), ns(4 * HOUR))
    life.step(ns(4 * HOUR))
    assert told(life) == [("lab/occupancy", 1, 3, 3 + 1 / HOUR, "cleaning")]
