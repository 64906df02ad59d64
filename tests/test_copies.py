"""Points that report on change: what they said last is judged as the clock proceeds, until their source ends (rules/copies.py)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.judging.backtest import Backtest
from alerts.judging.outages import Outages
from facility.durations import parse_duration
from facility.site import OCCUPANCIES, Facility
from rules.copies import Deaths
from rules.plan import plan_of
from rules.rule import Rule, Selection
from tests.support.admitted import Row
from tests.support.living import Life, PlainMemory
from tests.support.reference import Lived, evaluate
from tests.support.strategies import EVERY_KIND, HALF_NS, START_NS, Story, arriving, cuttings, rule_sets, stories
from tests.support.told import Short, above, beside, ns, one_room, rows, short, stale
from tests.test_judgement import JUDGED, SECOND_NS, columns, looking_back_little, plain

OPEN_TOO_LONG = replace(above(on="5m"), select=Selection(point=("t",)))


def door(period: float = 10) -> Facility:
    return beside(one_room(period_ns=ns(period), on_change=True))


def standing(life: Life) -> list[Short]:
    return [short(excursion) for excursion in life.current()]


def test_a_door_left_open_is_told_though_nothing_more_is_heard() -> None:
    life = Life(Story(door(), (OPEN_TOO_LONG,), {}, tuple(rows(11))), settle=True, start=0)
    life.arrive([replace(row, received=0) for row in rows(11)])
    life.step(0)
    steps = 0
    for second in range(1, 320):
        if life.ledger.judgement.wakes_at(ns(second), ns(second))[1]:
            life.step(ns(second))
            steps += 1
            if second % 70 == 0:
                life.restart()
        if second < 310:
            assert standing(life) == []
    # The copy at 300 waits for its period. Beside two steps in which the reading settles there is one for each copy.
    assert standing(life) == [(0, 300, None, None, 11, 31)]
    assert steps == 2 + 30


def test_what_came_while_the_service_was_away_is_judged_at_once() -> None:
    life = Life(Story(door(), (OPEN_TOO_LONG,), {}, ()), settle=True, start=0)
    life.arrive([replace(row, received=0) for row in rows(11)])
    life.step(0)
    life.step(ns(86_400))
    assert standing(life) == [(0, 300, None, None, 11, 8640)]


def test_a_late_reading_takes_the_place_of_copies() -> None:
    life = Life(Story(door(), (OPEN_TOO_LONG,), {}, ()), settle=True, start=0)
    life.arrive([replace(row, received=0) for row in rows(11)])
    life.step(0)
    life.step(ns(400))
    assert len(life.current()) == 1
    life.arrive([Row("t", ns(295), 9.0, received=ns(401))])
    life.step(ns(402))
    assert life.current() == []


def test_what_a_dead_source_said_last_does_not_last() -> None:
    life = Life(Story(door(), (OPEN_TOO_LONG, replace(stale("1h"), id="silent")), {}, ()), settle=True, start=0)
    life.arrive([replace(row, received=0) for row in rows(11)])
    life.step(0)
    life.lived(Lived(ns(200), False, ("t",)))
    life.step(ns(300))
    life.step(ns(900))
    assert standing(life) == [(200, 200, None, None, None, 0)]
    assert not life.ledger.judgement.wakes_at(ns(1000), ns(1000))[1]
    # It is born again and says that the door is still open: its time counts, no more than what came before.
    life.lived(Lived(ns(1000), True, ("t",)))
    life.arrive([Row("t", ns(1000), 11.0, received=ns(1001))])
    life.step(ns(1001))
    life.step(ns(1310))
    assert standing(life) == [(0, 1000, None, None, 11, 51), (200, 200, 1000, 1000, None, 0)]


def test_a_point_that_reports_on_change_is_not_silent() -> None:
    life = Life(Story(door(), (replace(stale("1h"), select=Selection(point=("t",))),), {}, ()), start=0)
    life.step(ns(3000))
    life.arrive([Row("t", ns(3000), 9.0, received=ns(3001))])
    life.step(ns(20_000))
    life.restart()
    # Nor does a rule that comes later take it for silent.
    life.reconfigure((replace(stale("2h"), select=Selection(point=("t",))),), ns(20_001))
    life.step(ns(90_000))
    assert life.current() == []


def test_nothing_is_said_by_a_point_that_is_retired() -> None:
    facility = beside(one_room(period_ns=ns(10), on_change=True, retired_ns=ns(300)))
    life = Life(Story(facility, (OPEN_TOO_LONG,), {}, ()), settle=True, start=0)
    life.arrive([replace(row, received=0) for row in rows(11)])
    life.step(ns(1000))
    assert life.current() == []


@st.composite
def changing(draw: st.DrawFn, facility: Facility) -> Facility:
    """The same points; some now report on change, or no more, or at another pace; rooms begin in another state, or are cleaned longer."""
    points = []
    for point in facility.points:
        period_ns, retired_ns = draw(st.sampled_from((HALF_NS, SECOND_NS))), draw(st.sampled_from((None, None, START_NS + 12 * SECOND_NS)))
        points.append(replace(point, period_ns=period_ns, on_change=draw(st.booleans()), retired_ns=retired_ns))
    states, clean_up = st.sampled_from(OCCUPANCIES[:3]), st.sampled_from((0, HALF_NS, 2 * SECOND_NS))
    places = [replace(place, occupancy=draw(states), clean_up_ns=draw(clean_up)) for place in facility.places]
    return replace(facility, places=tuple(draw(st.sampled_from((facility.places, tuple(places))))), points=tuple(points))


@given(
    stories(kinds=EVERY_KIND, conditions=True, conflicts=False, untimely=False, on_change=True, size=18),
    rule_sets(EVERY_KIND, conditions=True),
    st.data(),
)
def test_a_facility_that_changes_judges_from_its_moment_on_whatever_arrives_late(
    story: Story, other: tuple[Rule, ...], data: st.DataObject
) -> None:
    rules = data.draw(st.sampled_from((story.rules, other)))
    facility = data.draw(changing(story.facility))
    with looking_back_little(data):
        change = START_NS + data.draw(st.sampled_from((1, 4, 8, 20))) * SECOND_NS
        orders = [data.draw(arriving(story.rows, ahead=False)) for _ in range(2)]
        end = max([change, *(row.received or 0 for rows in orders for row in rows)]) + SECOND_NS
        results = []
        for order in orders:
            life = Life(replace(story, rows=order), start=START_NS)
            changed = False
            for batch in data.draw(cuttings(order)):
                for row in batch:
                    if not changed and (row.received or 0) > change:
                        life.reconfigure(rules, change, facility)
                        changed = True
                    life.arrive([row])
                life.step(batch[-1].received or 0)
                if data.draw(st.booleans()):
                    life.restart()
            if not changed:
                life.reconfigure(rules, change, facility)
            life.step(end)
            silent = {rule.id for rule in (*story.rules, *rules) if rule.kind == "stale"}
            results.append([row for row in life.current() if row.rule not in silent])
        assert results[0] == results[1]


@given(stories(kinds=EVERY_KIND, conditions=True, late=True, on_change=True), st.data())
def test_with_births_and_deaths_any_cutting_and_restart_gives_what_the_reference_gives(story: Story, data: st.DataObject) -> None:
    lives: list[Lived] = []
    points = [point.id for point in story.facility.points]
    with looking_back_little(data):
        life = Life(story, settle=True)
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
        clock = max([row.received or 0 for row in story.rows] + [event.at for event in lives], default=0)
        life.step(clock + 1)
        now = clock + 3 * SECOND_NS
        silent = {rule.id for rule in story.rules if rule.kind == "stale"}
        silences = [row for row in life.current() if row.rule in silent]
        life.step(now)
        found = silences + [row for row in life.current() if row.rule not in silent]
        expected = evaluate(story.facility, story.rules, story.tables, story.rows, lives, now=now).excursions
        assert sorted(found, key=_order) == sorted(plain(expected), key=_order)


def _order(excursion: object) -> str:
    return repr(excursion)


@given(stories(kinds=JUDGED, conditions=True, late=True, on_change=True), st.sampled_from((1, 2, 1000)))
def test_a_back_test_gives_what_the_reference_gives(story: Story, slice_rows: int) -> None:
    number_of = {point.id: number for number, point in enumerate(story.facility.points)}
    life = Life(story)
    life.arrive(story.rows)
    memory = PlainMemory()
    memory.add(columns(story), [], 0)

    def slices(number: int) -> list[object]:
        readings = memory.read(number)
        return [readings.take(slice(low, low + slice_rows)) for low in range(0, len(readings), slice_rows)]

    now = max((row.received or 0 for row in story.rows), default=0) + 3 * SECOND_NS
    plan = plan_of(story.facility, story.rules, story.tables, number_of)
    states: dict[str, list[tuple[int, str]]] = {}
    for (place, time), state in life.states.items():
        states.setdefault(place, []).append((time, state))
    backtest = Backtest([(START_NS, plan)], number_of, states, slices, Outages(), Deaths())  # type: ignore[arg-type]
    found = [row for number in backtest.points for row in backtest.judge(number, slices(number), now, 1 << 62)]  # type: ignore[arg-type]
    expected = evaluate(story.facility, story.rules, story.tables, story.rows, now=now).excursions
    assert plain(found) == plain(expected)


@pytest.mark.parametrize("text", ["10s", "1 period"])
def test_delays_in_periods_are_of_the_copies(text: str) -> None:
    rule = replace(OPEN_TOO_LONG, on_delay=parse_duration(text))
    recording = [*rows(11), Row("u", ns(10), 7.0)]
    assert [short(row) for row in evaluate(door(), (rule,), {}, recording).excursions] == [(0, 10, None, None, 11, 2)]


def test_while_the_queue_is_drained_nobody_knows_what_doors_do() -> None:
    life = Life(Story(door(), (OPEN_TOO_LONG,), {}, ()), settle=True, start=0)
    life.arrive([replace(row, received=0) for row in rows(11)])
    life.step(ns(20))
    # Stopped for an hour; the first step of the next start has listened to nothing yet, and the door was shut at 40.
    life.deaf_ns = ns(3600)
    life.restart()
    assert not life.ledger.judgement.wakes_at(ns(3620), ns(20))[1]
    life.step(ns(3620))
    assert life.current() == []
    life.arrive([Row("t", ns(40), 9.0, received=ns(3621))])
    life.step(ns(3622))
    assert life.current() == []
    assert life.store.rows("select count(*) from alarms") == [(0,)]
