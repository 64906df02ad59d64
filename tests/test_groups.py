"""Alarms that are told as one, as stories: a second and a step for each happening. Whatever nobody expects to be told of is an error.

An air handler serves forty rooms, another one two; the rooms of neither have one point each. Above 10 degC is too warm.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from alerts.duty.load import Limits
from alerts.lifecycle.lifecycle import ACKNOWLEDGED
from facility.site import SECOND_NS, Facility, Place, Point, Site, System
from rules.rule import Bound, Rule
from tests.support.admitted import Row
from tests.support.attended import Attended

ROOMS = 44
FACILITY = Facility(
    Site("site", "Site"),
    tuple(Place(f"r{number}", f"Room {number}", points=(f"t{number}",)) for number in range(ROOMS)),
    tuple(Point(f"t{number}", "temperature", "degC", f"r{number}", period_ns=SECOND_NS) for number in range(ROOMS)),
    (
        System("ahu1", "Air handler 1", tuple(f"r{number}" for number in range(40))),
        System("ahu2", "Air handler 2", ("r40", "r41"), 10 * SECOND_NS),
    ),
)
RULES = (
    Rule("warm", "limit", level="action", above=Bound(10.0), priority="high"),
    Rule("hot", "limit", level="action", above=Bound(30.0), priority="critical"),
)
Begin = Callable[..., Attended]


@pytest.fixture(params=[False, True], ids=["running", "restarted at every step"])
def begin(request: pytest.FixtureRequest) -> Iterator[Begin]:
    sites: list[Attended] = []

    def begun(priority: str = "high", limits: Limits | None = None) -> Attended:
        rules = (replace(RULES[0], priority=priority), RULES[1])
        sites.append(Attended(*rules, facility=FACILITY, limits=limits))
        sites[-1].restarting = request.param
        return sites[-1]

    yield begun
    for site in sites:
        site._all_told()
        assert site.again() == site.dump(), "replay of the journal gives the same"


def read(site: Attended, value: float, *rooms: int) -> None:
    """A reading of now in each of the rooms, and a step."""
    site.arrive([Row(f"t{room}", site.at, value, received=site.at) for room in rooms])
    site.waits()


def page(site: Attended) -> dict[str, object]:
    """The newest."""
    found: dict[str, object] = json.loads(site.store.rows("select page from outbox order by id desc limit 1")[0][0])
    return found


def test_forty_rooms_of_an_air_handler_are_one_page_and_one_acknowledgement(begin: Begin) -> None:
    site = begin()
    read(site, 20.0, *range(40))
    site.told("G1")
    told = page(site)
    assert told["subject"] == "demo ACTION high: Air handler 1, 40 alarms in 40 rooms, first Room 0, temperature 20 C above 10 C"
    assert "First out: Room 0, temperature 20 °C above 10 °C (A1), 2026-05-28 20:26:40+00:00 (UTC), 2026-05-28T20:26:40Z\n" in str(
        told["text"]
    )
    assert "\n  Room 9, temperature 20 °C above 10 °C, high (A40)\n" in str(told["text"])
    assert site.does("acknowledge", "G1").result == "accepted"
    rows = site.store.rows("select object, actor from audit where action = 'acknowledge' order by seq")
    assert rows == [(f"A{number}", "Karin") for number in range(1, 41)]
    late = site.does("acknowledge", "G1", by="Bo")
    assert (late.result, late.by) == ("already", "Karin")
    assert site.does("acknowledge", "G9").result == "unknown"
    site.waits(600)


def test_one_after_another_they_are_a_page_and_an_update(begin: Begin) -> None:
    site = begin()
    for room in range(10):
        read(site, 20.0, room)
        if not room:
            site.told("A1")
    site.waits(109)
    site.waits(2)
    site.told("G1")
    assert "10 alarms in 10 rooms, first Room 0, temperature 20 C above 10 C" in str(page(site)["subject"])
    read(site, 20.0, 10)
    site.told("A11")
    site.waits(600)


def test_the_window_is_that_of_the_system(begin: Begin) -> None:
    site = begin()
    read(site, 20.0, 40)
    site.told("A1")
    site.waits(11)
    read(site, 20.0, 41)
    site.told("A2")
    assert [alarm.group for alarm in site.alarms()] == ["G1", "G2"]


def test_a_critical_one_of_another_system_or_of_none_is_told_alone(begin: Begin) -> None:
    site = begin()
    read(site, 20.0, 0)
    site.told("A1")
    read(site, 40.0, 40, 42)
    new = site.pages()[1:]
    assert (new[0], len(set(new))) == ("G2", 3)
    site.told(*new)
    told = site.store.rows("select page from outbox order by id")
    assert [json.loads(row[0])["facts"].get("system") for row in told].count("ahu2") == 1
    assert {alarm.group for alarm in site.alarms() if alarm.point == "t42"} == {""}
    site.waits(600)


def test_a_member_of_a_higher_priority_is_told_anew_at_once(begin: Begin) -> None:
    site = begin()
    read(site, 20.0, 0)
    site.told("A1")
    site.does("acknowledge", "G1")
    read(site, 40.0, 1)
    site.told("G1")
    assert page(site)["subject"] == "demo ACTION critical: Air handler 1, 3 alarms in 2 rooms, first Room 0, temperature 20 C above 10 C"
    site.waits(600)


def test_what_joins_after_the_acknowledgement_is_told_all_the_same(begin: Begin) -> None:
    site = begin()
    read(site, 20.0, 0)
    site.told("A1")
    read(site, 20.0, 1)
    site.does("acknowledge", "G1")
    read(site, 20.0, 2)
    assert [alarm.state for alarm in site.alarms()][:2] == [ACKNOWLEDGED] * 2
    site.waits(125)
    site.told("G1")
    site.waits(600)


def test_what_joined_and_is_over_and_acknowledged_is_not_told(begin: Begin) -> None:
    site = begin()
    read(site, 20.0, 0)
    site.told("A1")
    read(site, 20.0, 1)
    read(site, 5.0, 1)
    site.does("acknowledge", "A2")
    site.waits(600)


def test_in_a_flood_what_can_wait_is_one_page_in_ten_minutes(begin: Begin) -> None:
    site = begin("low", Limits(flood=2, calm=2))
    read(site, 20.0, 42)
    site.told("A1")
    read(site, 20.0, 43)
    site.told("A2")
    read(site, 20.0, 40, 0)
    read(site, 40.0, 41)
    critical = site.pages()[2:]
    assert len(critical) == 1
    site.told(*critical)
    site.waits(596)
    site.waits(4)
    found = site.pages()[3:]
    assert len(found) == 1
    assert "alarm flood, summary, 2 alarms in 2 rooms" in str(page(site)["subject"])
    site.told(*found)
    site.waits(1200)


def test_after_a_flood_everything_is_told_again(begin: Begin) -> None:
    site = begin("low", Limits(flood=1, calm=2))
    read(site, 20.0, 42)
    site.told("A1")
    read(site, 20.0, 43)
    site.waits(601)
    site.told("A2")
    site.waits(600)
    read(site, 20.0, 40)
    site.told("A3")


def test_what_chatters_is_told_once_and_again_when_it_stops(begin: Begin) -> None:
    site = begin()
    for beat in range(8):
        read(site, 20.0, 42)
        if beat < 2:
            site.told(f"A{beat + 1}")
        elif beat == 2:
            site.told("G1")
            assert page(site)["subject"] == "demo ACTION high: Room 42, temperature chatters, 20 C above 10 C, 1 alarm"
        read(site, 5.0, 42)
    assert len(site.alarms()) == 8, "nothing is dropped"
    site.waits(56)
    site.waits(5)
    site.told("G1")
    over = "demo OVER, not acknowledged, ACTION high: Room 42, temperature chattered, 20 C above 10 C, 6 alarms"
    assert page(site)["subject"] == over
    site.does("acknowledge", "G1")
    site.waits(600)


def test_what_no_longer_chatters_and_lasts_is_not_called_calm(begin: Begin) -> None:
    site = begin()
    for beat in range(3):
        read(site, 20.0, 42)
        site.told(["A1", "A2", "G1"][beat])
        if beat < 2:
            read(site, 5.0, 42)
    for _ in range(61):
        read(site, 25.0, 42)
        if site.pages()[3:]:
            break
    site.told("G1")
    still = "Room 42, temperature no longer chatters, still beyond its limit, 25 C above 10 C, 1 alarm"
    assert page(site)["subject"] == f"demo ACTION high: {still}"
    assert "Status:" not in str(page(site)["text"])
    site.does("acknowledge", "G1")
    site.waits(600)


def test_chattering_that_was_acknowledged_stops_in_silence_and_a_rise_is_told(begin: Begin) -> None:
    site = begin()
    for beat in range(4):
        read(site, 20.0, 42)
        if beat < 3:
            site.told(["A1", "A2", "G1"][beat])
        read(site, 5.0, 42)
    site.does("acknowledge", "G1")
    read(site, 40.0, 42)
    site.told("A5")
    site.does("acknowledge", "G1")
    site.does("acknowledge", "A5")
    site.waits(600)
