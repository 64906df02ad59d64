"""Stories of being told, on a clock that is turned: a page that is missing or too many fails them. Each is computed again afterwards.

The night of Tuesday, 6 January 2026; Anna has the duty until Monday the 12th, 08:00, then Bo.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingest.journal.entries import ActionBody
from service.configuration.configuration import load_configuration
from tests.support.night import FILES, PEOPLE, Night, with_oncall
from tests.support.signed import signed_over

STEPS = """
policies:
  night: {steps: [{to: duty}, {after: 5m, to: duty}, {after: 15m, to: qa}], repeat: 10m}
routes: [{policy: night}]
"""
Begin = Callable[..., Night]


@pytest.fixture(params=[False, True], ids=["running", "restarted at every step"])
def night(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Begin]:
    nights: list[Night] = []

    def begin(oncall: str = STEPS, at: str = "2026-01-06T03:00") -> Night:
        nights.append(Night(tmp_path, oncall, at, restarts=request.param))
        return nights[-1]

    yield begin
    for one in nights:
        one.close()


def test_nobody_acknowledges(night: Begin) -> None:
    here = night()
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms", "03:05": "anna-sms", "03:15": "qa-sms", "03:25": "qa-sms", "03:35": "qa-sms"}, "2026-01-06T03:40")


def test_reminders_are_counted_for_each_who_gets_them(night: Begin) -> None:
    here = night()
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms", "03:05": "anna-sms"}, "2026-01-06T03:09")
    here.reading("cp1.dp", 15.0)
    here.told({"03:15": "qa-sms", "03:25": "qa-sms"}, "2026-01-06T03:30")
    said = [json.loads(text)["subject"] for (text,) in here.store.rows("select page from outbox order by id")]
    alarm = "ACTION high: cp1, cp1.dp 5 Pa below 10 Pa"
    assert said == [
        f"validation {alarm}",
        f"validation REMINDER 1: {alarm}",
        f"validation OVER, not acknowledged, {alarm}, over after 9 min",
        f"validation REMINDER 1: OVER, not acknowledged, {alarm}, over after 9 min",
    ]
    texts = [json.loads(text)["text"] for (text,) in here.store.rows("select page from outbox order by id")]
    told = [next((line for line in text.splitlines() if line.startswith("Told before")), "") for text in texts]
    assert told == [
        "",
        "Told before: anna; first at 2026-01-06 03:00:00+01:00; not acknowledged yet",
        "Told before: anna; first at 2026-01-06 03:00:00+01:00; not acknowledged yet",
        "Told before: anna, qa; first at 2026-01-06 03:00:00+01:00; not acknowledged yet",
    ]


def test_acknowledged_between_two_steps(night: Begin) -> None:
    here = night()
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms", "03:05": "anna-sms"}, "2026-01-06T03:09")
    here.acknowledge("Anna")
    here.told({}, "2026-01-06T05:00")
    assert here.ended() == ["acknowledged by Anna"]


def test_acknowledged_after_the_condition_is_over(night: Begin) -> None:
    here = night()
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms"}, "2026-01-06T03:04")
    here.reading("cp1.dp", 15.0)
    here.told({"03:05": "anna-sms"}, "2026-01-06T03:10")
    here.acknowledge("Anna")
    here.told({}, "2026-01-06T05:00")


def test_shelved_nobody_is_told_and_when_that_is_over_telling_begins_anew(night: Begin) -> None:
    here = night()
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms"}, "2026-01-06T03:04")
    shelf = ActionBody("shelve", "A1", "Anna", "filter change", here.time("2026-01-06T03:30"))
    assert here.act(signed_over(here.store, shelf)).result == "accepted"
    assert here.ended() == ["shelved"]
    here.told({"03:30": "anna-sms", "03:35": "anna-sms"}, "2026-01-06T03:40")


def test_out_of_service_ends_the_telling(night: Begin) -> None:
    here = night()
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms"}, "2026-01-06T03:04")
    out = ActionBody("out_of_service", "cp1.dp", "Anna", "calibration", here.time("2026-01-06T03:30"))
    assert here.act(out).result == "accepted"
    assert here.ended() == ["out of service"]
    here.reading("cp1.dp", 5.0)
    here.told({}, "2026-01-06T03:31")
    here.reading("cp1.dp", 5.0)
    here.told({"03:31": "anna-sms", "03:36": "anna-sms"}, "2026-01-06T03:40")


def test_a_policy_may_end_when_the_condition_is_over(night: Begin) -> None:
    here = night(STEPS.replace("repeat: 10m", "repeat: 10m, until: returned"))
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms"}, "2026-01-06T03:04")
    here.reading("cp1.dp", 15.0)
    here.told({}, "2026-01-06T05:00")
    assert here.ended() == ["returned"]


def test_a_hand_over_in_the_middle(night: Begin) -> None:
    here = night(at="2026-01-12T07:57")
    here.reading("cp1.dp", 5.0)
    here.told({"07:57": "anna-sms", "08:02": "bo-sms", "08:12": "qa-sms"}, "2026-01-12T08:20")


@pytest.mark.parametrize("monday", ["2026-03-30", "2026-10-26"])
def test_a_hand_over_after_the_clocks_were_changed(night: Begin, monday: str) -> None:
    here = night(at=f"{monday}T07:57")
    here.reading("cp1.dp", 5.0)
    here.told({"07:57": "bo-sms", "08:02": "anna-sms"}, f"{monday}T08:10")


def test_steps_are_spans_of_time_whatever_the_clocks_show(night: Begin) -> None:
    here = night(at="2026-03-29T01:58")
    here.reading("cp1.dp", 5.0)
    here.told({"01:58": "bo-sms", "03:03": "bo-sms", "03:13": "qa-sms"}, "2026-03-29T03:20")


def test_the_duty_is_swapped_in_the_middle(night: Begin) -> None:
    here = night()
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms"}, "2026-01-06T03:02")
    here.swap("bo", "2026-01-06T03:00", "2026-01-06T04:00")
    here.told({"03:05": "bo-sms", "03:15": "qa-sms"}, "2026-01-06T03:20")
    assert ("anna", "swap duty", "rotation duty") in here.store.rows("select actor, action, object from audit")


def test_a_swap_for_another_person_changes_nothing(night: Begin) -> None:
    here = night()
    here.swap("qa", "2026-01-06T03:00", "2026-01-20T04:00", instead_of="bo")
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms", "03:05": "anna-sms"}, "2026-01-06T03:10")


def test_working_hours_and_holidays_choose_the_route(night: Begin) -> None:
    hours = (
        'working_hours: {from: "07:00", to: "16:30", holidays: [2026-01-06]}\n'
        "policies: {day: {steps: [{to: qa}, {after: 10m, to: bo}]}, night: {steps: [{to: duty}, {after: 10m, to: bo}]}}\n"
        "routes: [{hours: working, policy: day}, {policy: night}]\n"
    )
    here = night(hours, at="2026-01-05T16:25")
    here.reading("cp1.dp", 5.0)
    here.told({"16:25": "qa-sms", "16:30": "anna-sms", "16:40": "bo-sms"}, "2026-01-05T17:00")
    here.acknowledge("Bo")
    here.told({}, "2026-01-06T12:00")
    here.reading("cp1.temp", 30.0)
    here.told({"12:00": "anna-sms"}, "2026-01-06T12:05")


def test_what_nobody_is_woken_for_is_told_in_the_morning(night: Begin) -> None:
    hours = (
        'working_hours: {from: "07:00", to: "16:30"}\npolicies: {day: {steps: [{to: qa}]}}\n'
        "routes: [{hours: working, policy: day}, {priority: low, policy: nobody}]\n"
    )
    here = night(hours)
    here.reading("cp1.dp", 11.0)
    here.told({"07:00": "qa-sms"}, "2026-01-06T08:00")


def test_a_rise_begins_again_by_the_route_of_its_priority(night: Begin) -> None:
    routes = (
        "policies: {low: {steps: [{to: qa}], repeat: 10m}, high: {steps: [{to: duty}, {after: 5m, to: bo}]}}\n"
        "routes: [{priority: low, policy: low}, {policy: high}]\n"
    )
    here = night(routes)
    here.reading("cp1.dp", 11.0)
    here.told({"03:00": "qa-sms"}, "2026-01-06T03:03")
    here.acknowledge("QA")
    here.reading("cp1.dp", 5.0)
    here.told({"03:03": "anna-sms", "03:08": "bo-sms"}, "2026-01-06T03:30")


def test_a_way_that_fails_moves_on_to_the_next(night: Begin) -> None:
    here = night()
    here.broken = {"anna-sms"}
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-voice", "03:05": "anna-voice"}, "2026-01-06T03:10")
    found = here.store.rows("select person, target, remark from notices order by id limit 2")
    assert found == [("anna", "anna-sms", ""), ("anna", "anna-voice", "anna-sms failed")]


def test_when_every_way_fails_the_next_step_comes_all_the_same(night: Begin) -> None:
    here = night()
    here.broken = {"anna-sms", "anna-voice"}
    here.reading("cp1.dp", 5.0)
    here.told({"03:15": "qa-sms"}, "2026-01-06T03:20")


def test_a_gap_in_the_rotation_brings_the_next_step_forward(night: Begin) -> None:
    here = night(STEPS, at="2026-01-05T07:50")
    here.reading("cp1.dp", 5.0)
    here.told({"07:50": "qa-sms", "08:00": "qa-sms"}, "2026-01-05T08:05")


def test_without_a_route_every_channel_is_told_once(night: Begin) -> None:
    here = night("policies: {p: {steps: [{to: qa}]}}\nroutes: [{priority: low, policy: p}]\n")
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms anna-voice bo-sms qa-sms sink"}, "2026-01-06T04:00")


def test_without_policies_every_channel_gets_each_page_at_once(night: Begin) -> None:
    here = night("")
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms anna-voice bo-sms qa-sms sink"}, "2026-01-06T04:00")
    assert here.tables()["escalations"] == []


def test_another_configuration_in_the_middle_counts_from_then(night: Begin) -> None:
    here = night()
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms"}, "2026-01-06T03:04")
    here.apply(
        with_oncall(
            here.configuration, here.folder, "policies: {calm: {steps: [{to: qa}, {after: 1h, to: bo}]}}\nroutes: [{policy: calm}]\n"
        )
    )
    here.told({"03:05": "qa-sms", "04:05": "bo-sms"}, "2026-01-06T06:00")


def test_a_service_that_was_down_tells_each_step_once_when_it_is_back(night: Begin) -> None:
    here = night()
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms"}, "2026-01-06T03:01")
    here.clock.turn(3 * 3600 * 10**9)
    here.restart()
    here.told({"06:02": "anna-sms qa-sms", "06:05": "qa-sms"}, "2026-01-06T06:10")


def test_each_page_has_its_own_id_and_says_what_is_known_by_then(night: Begin) -> None:
    here = night()
    here.reading("cp1.dp", 9.0)
    here.tick()
    here.reading("cp1.dp", 2.0)
    here.told({"03:00": "anna-sms", "03:05": "anna-sms"}, "2026-01-06T03:06")
    ids = here.store.rows("select page_id, page from outbox order by id")
    assert [row[0] for row in ids] == ["A1-raised", "A1-raised-2"]
    assert '"worst":2.0' in ids[1][1]
    assert '"worst":9.0' in ids[0][1]


def test_two_alarms_have_courses_of_their_own(night: Begin) -> None:
    here = night()
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms"}, "2026-01-06T03:03")
    here.reading("cp1.temp", 30.0)
    here.told({"03:03": "anna-sms", "03:05": "anna-sms", "03:08": "anna-sms"}, "2026-01-06T03:10")
    here.acknowledge("Anna", "A1")
    here.told({"03:18": "qa-sms"}, "2026-01-06T03:20")


# Tests of who is on call


def test_a_test_goes_to_who_has_the_duty_and_is_acknowledged(night: Begin) -> None:
    here = night()
    assert here.drill("duty") == "T3"
    here.told({"03:00": "anna-sms"}, "2026-01-06T03:10")
    here.acknowledge("Anna", "T3")
    here.told({}, "2026-01-06T04:00")
    assert here.act(ActionBody("acknowledge", "T3", "Bo")).by == "Anna"
    assert here.act(ActionBody("acknowledge", "T99", "Bo")).result == "unknown"


def test_a_test_that_nobody_acknowledges_is_told_by_the_route_of_technical_alarms(night: Begin) -> None:
    here = night(
        "policies: {it: {steps: [{to: qa}], repeat: 10m}, night: {steps: [{to: duty}]}}\n"
        "routes: [{level: technical, policy: it}, {policy: night}]\n"
    )
    here.drill("duty")
    here.told({"03:00": "anna-sms", "03:30": "qa-sms", "03:40": "qa-sms"}, "2026-01-06T03:45")
    (text,) = here.store.rows("select page from outbox order by id desc limit 1")[0]
    missed = "SERVICE: Laboratory: Nobody acknowledged the on-call test of 03:00 in time"
    assert json.loads(text)["subject"] == f"validation REMINDER 1: {missed}"
    assert [row for row in here.store.rows("select action, old, new from audit") if row[0] == "on-call test missed"] == [
        ("on-call test missed", "sent", "missed")
    ]
    here.acknowledge("QA", "T3")
    here.told({}, "2026-01-06T05:00")
    assert here.ended() == ["acknowledged by QA"]


def test_a_test_of_everyone_needs_no_policies(night: Begin) -> None:
    here = night("")
    here.drill("")
    everyone = "anna-sms anna-voice bo-sms qa-sms sink"
    here.told({"03:00": everyone, "03:30": everyone}, "2026-01-06T05:00")


def test_a_test_moves_on_to_the_next_way_as_an_alarm_does(night: Begin) -> None:
    here = night()
    here.broken = {"anna-sms"}
    here.drill("anna")
    here.told({"03:00": "anna-voice"}, "2026-01-06T03:10")
    assert here.store.rows("select target, remark from notices order by id") == [("anna-sms", ""), ("anna-voice", "anna-sms failed")]
    here.acknowledge("Anna", "T3")
    here.told({}, "2026-01-06T05:00")


def test_a_test_that_no_way_carries_is_missed(night: Begin) -> None:
    here = night()
    here.broken = {"bo-sms"}
    here.drill("bo")
    here.told({"03:30": "anna-sms", "03:35": "anna-sms"}, "2026-01-06T03:40")


def test_a_test_takes_no_way_that_is_for_other_alarms_only(night: Begin) -> None:
    """A test is of the ways that wake people: those for critical alarms."""
    here = night(STEPS)
    people = PEOPLE.replace("[anna-sms, anna-voice]", "[anna-sms, {channel: anna-voice, kind: voice, for: [low]}]")
    (here.folder / "oncall.yaml").write_text(people + STEPS, encoding="utf-8")
    here.apply(load_configuration(here.folder / "renrum.yaml", {}))
    here.broken = {"anna-sms"}
    here.drill("anna")
    here.told({}, "2026-01-06T03:20")


def test_with_a_rule_for_it_a_missed_test_is_that_rule_s_alarm_and_told_once(night: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = (
        FILES["rules.yaml"] + "  - {id: tests, kind: limit, select: {point: $oncall.missed}, level: technical, priority: high, above: 0}\n"
    )
    monkeypatch.setitem(FILES, "rules.yaml", rules)
    here = night()
    here.drill("duty")
    here.told({"03:00": "anna-sms"}, "2026-01-06T04:00")
    assert here.ended() == []


# Floods and chattering

LIMITS = """
floods: {begin_above: 1, end_below: 1, within: 5m}
chattering: {times: 2, within: 3m}
"""


def test_the_configuration_says_what_chatters(night: Begin) -> None:
    here = night(LIMITS)
    for _ in range(2):
        here.reading("cp1.dp", 5.0)
        here.tick()
        here.reading("cp1.dp", 15.0)
        here.tick()
    kinds = [kind for (kind,) in here.store.rows("select kind from alarm_groups order by id")]
    assert kinds == ["chatter"], "the second within three minutes; three within one by the standard"


def test_other_limits_count_from_when_they_take_force(night: Begin) -> None:
    here = night("")
    here.apply(with_oncall(here.configuration, here.folder, LIMITS))
    for _ in range(2):
        here.reading("cp1.dp", 5.0)
        here.tick()
        here.reading("cp1.dp", 15.0)
        here.tick()
    assert here.store.rows("select count(*) from alarm_groups") == [(1,)]
