"""The promise to validation teams: the same readings give the same excursions, whatever their order, cutting or lateness."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.judging.judgement import Judgement
from facility.reading import QUALITIES, Readings
from rules.copies import Copying, Deaths, spans_of
from rules.engine import CLEARED, Finding, advance, open_excursions
from rules.excursion import Excursion
from rules.occupancy import Occupancy, occupancy_of
from rules.passing import Passed
from rules.plan import Plan, plan_of
from rules.rule import Rule
from rules.runs import RunState
from tests.support.admitted import admit, with_received
from tests.support.living import Life
from tests.support.reference import evaluate
from tests.support.strategies import EVERY_KIND, START_NS, Story, arriving, cuttings, rule_sets, stories

SECOND_NS = 10**9
JUDGED = tuple(kind for kind in EVERY_KIND if kind != "stale")


def plain(rows: list[Excursion]) -> list[Excursion]:
    """Rows in the order of docs/rules.md, without what is not compared; a peak of 0.0 or -0.0 is one value."""
    rows = [replace(row, id="", revision=0, late=False, config="") for row in rows]
    return sorted(rows, key=lambda row: (row.onset, row.rule, row.point))


@contextmanager
def looking_back_little(data: st.DataObject) -> Iterator[None]:
    """What is looked back at comes in pieces so small that their borders matter."""
    near_ns = data.draw(st.sampled_from((1, SECOND_NS, 3 * SECOND_NS, 300 * SECOND_NS)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Judgement, "_near_ns", lambda judgement, which: near_ns)
        patch.setattr("alerts.judging.rewind.LOOKBACK_ROWS", data.draw(st.sampled_from((1, 40, 1_000_000))))
        patch.setattr("alerts.judging.suspensions.HOUR_NS", near_ns)
        patch.setattr("alerts.judging.lasting.HOUR_NS", near_ns)
        patch.setattr("alerts.judging.lasting.PIECE_ROWS", data.draw(st.sampled_from((3, 1_000_000, 1_000_000))))
        yield


def columns(story: Story) -> Readings:
    """The stored readings of a story, in order of arrival."""
    stored = admit(story.facility, with_received(story.rows)).readings
    number = {point.id: i for i, point in enumerate(story.facility.points)}
    times = [np.array([getattr(reading, name) for reading in stored], np.int64) for name in ("time", "received")]
    quality = np.array([QUALITIES.index(reading.quality) for reading in stored], np.uint8)
    value = np.array([reading.value for reading in stored], np.float64)
    point = np.array([number[reading.point] for reading in stored], np.uint32)
    return Readings(point, times[0], value, quality, times[1], times[1], np.full(len(stored), -1))


def laid_out(story: Story) -> tuple[Plan, Readings, Occupancy]:
    """What `advance` takes of a story: the plan, the stored readings by point and time, what is known of rooms and conditions."""
    number = {point.id: i for i, point in enumerate(story.facility.points)}
    plan = plan_of(story.facility, story.rules, story.tables, number)
    states: dict[str, list[tuple[int, str]]] = {}
    for told in admit(story.facility, with_received(story.rows)).states:
        states.setdefault(told.place, []).append((told.time, told.state))
    readings = columns(story)
    readings = readings.take(np.lexsort((readings.time, readings.point)))
    clock = max((row.received or 0 for row in with_received(story.rows)), default=0)
    copying = Copying(spans_of([(0, plan.on_change)]), Deaths(), np.full(len(number), clock))
    passing = {
        condition: Passed.nothing(0).then(condition, readings.take(readings.point == condition.number), Deaths())
        for pairs in plan.groups
        for condition in pairs.conditions
    }
    return plan, Readings.concatenate([*copying.take(readings), *copying.end()]), occupancy_of(story.facility, states, passing)


@given(stories(kinds=JUDGED, conditions=True, on_change=True), st.data())
def test_any_cutting_gives_the_same_findings_and_the_reference_agrees(story: Story, data: st.DataObject) -> None:
    plan, readings, occupancy = laid_out(story)
    cuts = sorted(data.draw(st.lists(st.sampled_from(sorted(set(readings.time.tolist())) or [0]), max_size=5)))
    found: list[Excursion] = []
    for group in plan.groups:
        whole_state, whole = advance(group, RunState.initial(len(group)), readings, occupancy)
        state, pieces = RunState.initial(len(group)), []
        for low, high in zip([-(1 << 62), *cuts], [*cuts, 1 << 62], strict=True):
            part = readings.take((readings.time >= low) & (readings.time < high))
            state, findings = advance(group, state, part, occupancy)
            pieces += findings

        def order(finding: Finding) -> tuple[object, ...]:
            return finding.at, finding.excursion.rule, finding.excursion.point, finding.what == CLEARED

        assert sorted(pieces, key=order) == sorted(whole, key=order)
        assert open_excursions(group, state, occupancy) == open_excursions(group, whole_state, occupancy)
        found += [finding.excursion for finding in whole if finding.what == CLEARED] + open_excursions(group, whole_state, occupancy)
    expected = evaluate(story.facility, story.rules, story.tables, story.rows).excursions
    assert plain(found) == plain(list(expected))


@given(stories(kinds=EVERY_KIND, conditions=True, late=True, on_change=True), st.data())
def test_in_any_order_and_cutting_the_current_excursions_are_the_references(story: Story, data: st.DataObject) -> None:
    with looking_back_little(data):
        life = Life(story)
        for batch in data.draw(cuttings(story.rows)):
            life.arrive(batch)
            life.step(batch[-1].received or 0)
        clock = max((row.received or 0 for row in story.rows), default=0)
        life.step(clock + 1)
        expected = evaluate(story.facility, story.rules, story.tables, story.rows).excursions
        assert life.current() == plain(list(expected))


@given(stories(kinds=JUDGED, conditions=True, late=True, on_change=True), st.data())
def test_settling_changes_only_late_and_revision(story: Story, data: st.DataObject) -> None:
    with looking_back_little(data):
        life = Life(story, settle=True)
        for batch in data.draw(cuttings(story.rows)):
            life.arrive(batch)
            life.step(batch[-1].received or 0)
        now = max((row.received or 0 for row in story.rows), default=0) + 3 * SECOND_NS
        life.step(now)
        expected = evaluate(story.facility, story.rules, story.tables, story.rows, now=now).excursions
        assert life.current() == plain(list(expected))


@given(stories(kinds=JUDGED, conditions=True, conflicts=False, untimely=False, on_change=True), st.data())
def test_two_orders_of_arrival_give_the_same_current_excursions(story: Story, data: st.DataObject) -> None:
    with looking_back_little(data):
        results = []
        orders = [data.draw(arriving(story.rows, ahead=False)) for _ in range(2)]
        end = max((row.received or 0 for rows in orders for row in rows), default=0)
        for rows in orders:
            life = Life(replace(story, rows=rows))
            for batch in data.draw(cuttings(rows)):
                life.arrive(batch)
                life.step(batch[-1].received or 0)
            life.step(end)
            results.append(life.current())
        assert results[0] == results[1]


@given(stories(kinds=EVERY_KIND, conditions=True, late=True, on_change=True), st.data())
def test_a_restart_between_any_two_steps_changes_nothing(story: Story, data: st.DataObject) -> None:
    with looking_back_little(data):
        lives = Life(story, settle=True), Life(story, settle=True)
        for batch in data.draw(cuttings(story.rows)):
            restart = data.draw(st.booleans())
            for life in lives:
                life.arrive(batch)
                life.step(batch[-1].received or 0)
            if restart:
                lives[1].restart()
        for life in lives:
            life.step(max((row.received or 0 for row in story.rows), default=0) + 3 * SECOND_NS)
        assert lives[1].store.excursions() == lives[0].store.excursions()
        assert lives[1].store.rows("select * from alarms") == lives[0].store.rows("select * from alarms")
        assert lives[1].ledger.audit.hash == lives[0].ledger.audit.hash


@given(
    stories(kinds=JUDGED, conditions=True, conflicts=False, untimely=False, on_change=True, size=18),
    rule_sets(JUDGED, conditions=True),
    st.data(),
)
def test_a_new_configuration_judges_from_its_moment_on_whatever_arrives_late(
    story: Story, other: tuple[Rule, ...], data: st.DataObject
) -> None:
    with looking_back_little(data):
        change = START_NS + data.draw(st.sampled_from((1, 4, 8, 20))) * SECOND_NS
        orders = [data.draw(arriving(story.rows, ahead=False)) for _ in range(2)]
        end = max([change, *(row.received or 0 for rows in orders for row in rows)]) + SECOND_NS
        results = []
        for rows in orders:
            life = Life(replace(story, rows=rows), start=START_NS)
            changed = False
            for batch in data.draw(cuttings(rows)):
                for row in batch:
                    if not changed and (row.received or 0) > change:
                        life.reconfigure(other, change)
                        changed = True
                    life.arrive([row])
                life.step(batch[-1].received or 0)
                if data.draw(st.booleans()):
                    life.restart()
            if not changed:
                life.reconfigure(other, change)
            life.step(end)
            results.append(life.current())
        assert results[0] == results[1]
        for excursion in results[0]:
            assert excursion.closed_by == "" or excursion.cleared == change
