"""Rules of the kind recovery: stories worked out by hand from docs/rules.md, and the engine against the slow evaluator on many more.

As in test_reference.py: times are in seconds, one reading a second from second 0, with 10 as the upper limit and 4 as the lower.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.grafana.limits import limit_lines
from facility.durations import parse_duration
from facility.site import OCCUPANCIES, SECOND_NS, Facility, Place
from rules.plan import plan_of
from rules.rule import Bound, Rule, Unless
from service.cli.rules_list import breaching
from service.console.views import LimitsInForce
from tests.support.admitted import Row
from tests.support.living import Life
from tests.support.reference import evaluate
from tests.support.strategies import Story, cuttings, stories
from tests.support.tables import PlainCell, PlainTable
from tests.support.told import AT_4, AT_10, Short, bench, beside, found, ns, one_room, rows, short
from tests.test_judgement import looking_back_little, plain


def recovery(within: str | None = "3s", upper: Bound | None = AT_10, lower: Bound | None = None) -> Rule:
    return Rule("r", "recovery", above=upper, below=lower, within=None if within is None else parse_duration(within))


def said(*states: tuple[float, str], place: str = "lab") -> list[Row]:
    return [Row(f"{place}/occupancy", ns(second), state) for second, state in states]


REST_AT_2 = said((2, "at_rest"))


def cleaned(seconds: float = 3, **changes: object) -> Facility:
    facility = one_room(**changes)
    return replace(facility, places=tuple(replace(place, clean_up_ns=ns(seconds)) for place in facility.places))


@pytest.mark.parametrize("rule", [recovery(), recovery(None)], ids=["within", "clean_up"])
def test_a_room_that_is_not_back_in_time_is_told_until_it_is(rule: Rule) -> None:
    # At rest from 2, 3 s given: 11 at 2..7 breaches at 5, 6, 7, the largest of them 12 at 6; back at 8.
    assert found(rule, [*REST_AT_2, *rows(20, 20, 11, 11, 11, 11, 12, 11, 10, 9)], cleaned()) == [(5, 5, 8, 8, 12, 3)]


def test_a_room_that_is_back_in_time_may_leave_its_limit_later() -> None:
    # 10 at 4 is inside: recovered, whatever comes after it.
    assert found(recovery(), [*REST_AT_2, *rows(20, 20, 20, 20, 10, 20, 20, 20, 20, 20)]) == []
    # At 5, the very end, it is in time, too: the reading itself is inside.
    assert found(recovery(), [*REST_AT_2, *rows(20, 20, 20, 20, 20, 10, 20, 20, 20)]) == []


def test_readings_before_the_change_do_not_count_and_the_one_at_it_does() -> None:
    assert found(recovery(), [*REST_AT_2, *rows(9, 9, 20, 20, 20, 20)]) == [(5, 5, None, None, 20, 1)]
    assert found(recovery(), [*REST_AT_2, *rows(20, 20, 9, 20, 20, 20)]) == []


def test_silence_raises_nothing_and_takes_nothing_off() -> None:
    # Nothing from 3 to 8: the first reading after it breaches at once.
    assert found(recovery(), [*REST_AT_2, *rows(20, 20, 20, None, None, None, None, None, 20)]) == [(8, 8, None, None, 20, 1)]
    assert found(recovery(), [*REST_AT_2, *rows(20, 20, 20), Row("u", ns(99), 7.0)], beside(one_room())) == []


def test_what_is_judged_is_over_with_the_spell() -> None:
    # At work again from 7: the reading at 7 has returned. In the next spell, from 9, all of it is given again: at 12.
    states = said((2, "at_rest"), (7, "in_operation"), (9, "at_rest"))
    recording = [*states, *rows(*[20] * 14)]
    assert found(recovery(), recording) == [(5, 5, 7, 7, 20, 2), (12, 12, None, None, 20, 2)]


def test_a_spell_that_follows_without_a_reading_between_ends_an_excursion_as_long_as_time_is_left() -> None:
    states = said((2, "at_rest"), (5.2, "in_operation"), (5.4, "at_rest"))
    assert found(recovery(), [*states, *rows(*[20] * 10)]) == [(5, 5, 6, 6, 20, 1), (9, 9, None, None, 20, 1)]
    # With 0.5 s given the next reading breaches already: the excursion goes on.
    assert found(recovery("500ms"), [*states, *rows(*[20] * 8)]) == [(3, 3, None, None, 20, 5)]


def test_at_rest_from_the_beginning_is_no_spell() -> None:
    resting = replace(one_room(), places=(Place("lab", "Lab", "B", occupancy="at_rest", points=("t",)),))
    assert found(recovery(), rows(*[20] * 9), resting) == []
    assert found(recovery(), [*REST_AT_2, *rows(*[20] * 9)], resting) == [], "at_rest said again is no change"
    states = said((1, "cleaning"), (2, "at_rest"), (4, "at_rest"))
    assert found(recovery(), [*states, *rows(*[20] * 6)], resting) == [(5, 5, None, None, 20, 1)]


def test_where_the_first_reading_comes_in_a_spell_all_of_the_time_is_given_from_there() -> None:
    # The first reading is at 4: 3 s from there.
    assert found(recovery(), [*REST_AT_2, *rows(*[20] * 5, start=4)]) == [(7, 7, None, None, 20, 2)]


def test_a_zone_has_the_spells_of_its_room_until_it_has_its_own() -> None:
    rule, recording = recovery("2s"), rows(*[20] * 9, point="h")
    assert found(rule, [*REST_AT_2, *recording], bench()) == [(4, 4, None, None, 20, 5)]
    # Told to be at rest itself at 3, it only says so again; at work from 5, its room's rest is not its own any more.
    assert found(rule, [*REST_AT_2, *said((3, "at_rest"), place="hood"), *recording], bench()) == [(4, 4, None, None, 20, 5)]
    at_work = said((5, "in_operation"), place="hood")
    assert found(rule, [*REST_AT_2, *at_work, *said((6, "at_rest")), *recording], bench()) == [(4, 4, 5, 5, 20, 1)]


def test_the_limit_is_that_of_at_rest_also_during_clean_up() -> None:
    table = PlainTable({("at_rest", "alert"): PlainCell(None, 10.0), ("in_operation", "alert"): PlainCell(None, 50.0)})
    rule = recovery(None, Bound("limits"))
    assert found(rule, [*REST_AT_2, *rows(20, 20, 20, 20, 20, 20)], cleaned(), table) == [(5, 5, None, None, 20, 1)]
    assert found(rule, [*REST_AT_2, *rows(20, 20, 20, 20, 9, 20)], cleaned(), table) == []
    no_cell = PlainTable({("in_operation", "alert"): PlainCell(None, 10.0)})
    assert found(rule, [*REST_AT_2, *rows(*[20] * 9)], cleaned(), no_cell) == []


def test_sides_and_equality() -> None:
    rest = [*REST_AT_2, *rows(0, 0, 4, 4, 3, 3)]
    assert found(recovery(upper=None, lower=AT_4), rest) == []
    assert found(recovery(upper=None, lower=Bound(4.0, inclusive=True)), rest) == [(5, 5, None, None, 3, 1)]
    # Both sides: inside is inside of both; the peak is what is farthest beyond.
    assert found(recovery(lower=AT_4), [*REST_AT_2, *rows(0, 0, 11, 3, 3, 12, 1, 10)]) == [(5, 5, 7, 7, 1, 2)]


def test_bad_and_passed_over_readings_are_not_there() -> None:
    assert found(recovery(), [*REST_AT_2, *rows(20, 20, 20, "bad", 20, 20)]) == [(5, 5, None, None, 20, 1)]
    facility = beside(one_room())
    rule = replace(recovery(), unless=Unless("u", above=Bound(0.5)))
    # Inside at 3 while u is above: passed over, so that nothing was inside before 5.
    recording = [*REST_AT_2, *rows(20, 20, 20, 9, 20, 20), *rows(0, 0, 0, 1, 0, 0, point="u")]
    assert [one for one in found(rule, recording, facility) if one[4] == 20] == [(5, 5, None, None, 20, 1)]


def test_copies_of_a_point_that_reports_on_change() -> None:
    facility = beside(one_room(period_ns=SECOND_NS, on_change=True))
    recording = [*REST_AT_2, Row("t", 0, 20.0), Row("u", ns(6), 7.0)]
    assert found(recovery(), recording, facility) == [(5, 5, None, None, 20, 2)]


def test_a_place_without_a_time_is_not_judged() -> None:
    facility = one_room()
    assert found(recovery(None), [*REST_AT_2, *rows(*[20] * 9)], facility) == []
    assert [len(pairs) for pairs in plan_of(facility, [recovery(None)], {}, {"t": 0}).groups if len(pairs)] == []


def test_its_limit_is_shown_at_rest_only() -> None:
    plan = plan_of(one_room(), [recovery()], {}, {"t": 0})
    assert [(line.value, line.states) for line in limit_lines(plan)] == [(10.0, ("at_rest",))]
    shown = LimitsInForce(plan, {"t": 0})
    assert [len(shown.of("t", code)) for code in range(len(OCCUPANCIES))] == [int(state == "at_rest") for state in OCCUPANCIES]


def test_what_it_looks_for_in_words() -> None:
    assert breaching(recovery("15m")) == "not back from above 10 within 15m of the change to at_rest"
    assert breaching(recovery(None, Bound("annex1"))) == "not back from above annex1 within clean_up of the change to at_rest"


# live


def living(facility: Facility, *rules: Rule) -> Life:
    return Life(Story(facility, rules, {}, ()), start=0)


def tell(life: Life, told: list[Row], at: float) -> list[Short]:
    life.arrive([replace(row, received=ns(at)) for row in told])
    life.step(ns(at))
    return [short(row) for row in life.current()]


def test_a_change_that_is_said_late_judges_again_and_one_that_is_taken_back_too() -> None:
    life = living(one_room(), recovery())
    assert tell(life, rows(*[20] * 8), 8) == []
    assert tell(life, REST_AT_2, 9) == [(5, 5, None, None, 20, 3)]
    assert life.current()[0].late is False  # not compared here
    assert tell(life, said((4, "in_operation")), 10) == []
    assert tell(life, said((4.5, "at_rest")), 11) == []
    assert tell(life, [Row("t", ns(8), 20.0)], 12) == [(8, 8, None, None, 20, 1)]


def test_a_late_reading_inside_shows_that_the_room_had_recovered() -> None:
    life = living(one_room(), recovery())
    assert tell(life, [*REST_AT_2, *rows(20, 20, 20, 20, None, 20, 20)], 7) == [(5, 5, None, None, 20, 2)]
    assert tell(life, rows(9, start=4), 8) == []
    assert [row.status for row in life.store.excursions()] == ["superseded"]


@pytest.mark.parametrize("back", [True, False])
def test_a_configuration_that_changes_the_rule_gives_all_of_the_time_once_more(back: bool) -> None:
    life = living(one_room(), recovery())
    tell(life, [*REST_AT_2, *rows(20, 20, 9 if back else 20, 20, 20, 20)], 5)
    life.reconfigure((recovery("2s"),), ns(5.5))
    assert tell(life, rows(20, 20, start=6), 7) == ([] if back else [(5, 5, 5.5, 5.5, 20, 1)])
    assert tell(life, rows(20, start=8), 8)[-1] == (8, 8, None, None, 20, 1), "2 s from the first reading since"


def test_where_a_room_begins_is_part_of_what_judges() -> None:
    # With at_rest as the room's first state the message at 2 is no change; from 4.5 on it is one, and the first reading is that at 5.
    resting = replace(one_room(), places=(Place("lab", "Lab", "B", occupancy="at_rest", points=("t",)),))
    for restart in (False, True):
        life = living(resting, recovery())
        assert tell(life, [*REST_AT_2, *rows(20, 20, 20, 20, 20)], 4) == []
        life.reconfigure((recovery(),), ns(4.5), one_room())
        assert tell(life, rows(20, 20, 20, start=5), 7) == []
        if restart:
            life.restart()
        assert tell(life, rows(20, start=8), 8) == [(8, 8, None, None, 20, 1)]


def test_what_was_inside_long_ago_is_known_after_a_restart() -> None:
    life = living(one_room(), recovery())
    tell(life, [*REST_AT_2, *rows(20, 20, 20, 9, *[20] * 500)], 505)
    life.restart()
    assert tell(life, rows(20, 20, start=506), 508) == []


# laws


def alone(**more: bool) -> st.SearchStrategy[Story]:
    return stories(kinds=("recovery",), conditions=True, on_change=True, **more)


@given(alone(late=True), st.data())
def test_live_late_and_restarted_it_is_what_the_reference_says(story: Story, data: st.DataObject) -> None:
    with looking_back_little(data):
        life = Life(story, settle=data.draw(st.booleans()))
        for batch in data.draw(cuttings(story.rows)):
            life.arrive(batch)
            life.step(batch[-1].received or 0)
            if data.draw(st.booleans()):
                life.restart()
        clock = max((row.received or 0 for row in story.rows), default=0)
        now = clock + 3 * SECOND_NS if life.settle else None
        life.step(clock + 1 if now is None else now)
        expected = evaluate(story.facility, story.rules, story.tables, story.rows, now=now).excursions
        assert life.current() == plain(list(expected))
