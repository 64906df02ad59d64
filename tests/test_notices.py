"""Stories of what else people are told: that it is over, what was found late, each in their language. Each is computed again afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from facility.times import format_time
from ingest.message import Message
from tests.support.night import Night

OVER = """
policies:
  night: {steps: [{to: duty}, {after: 10m, to: [duty, qa]}], returned: true}
routes: [{policy: night}]
"""
LATE = """
working_hours: {from: "07:00", to: "16:30", holidays: [2026-01-06]}
policies:
  night: {steps: [{to: duty}], returned: true}
routes: [{policy: night}]
"""
MINUTE_NS = 60 * 10**9
Begin = Callable[..., Night]


@pytest.fixture(params=[False, True], ids=["running", "restarted at every step"])
def night(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Begin]:
    nights: list[Night] = []

    def begin(oncall: str = OVER, at: str = "2026-01-06T03:00") -> Night:
        nights.append(Night(tmp_path, oncall, at, restarts=request.param))
        return nights[-1]

    yield begin
    for one in nights:
        one.close()


def late(here: Night, *values: tuple[int, float]) -> None:
    """Readings of so many minutes ago, which come now."""
    messages = [
        Message(
            "renrum/lab/cp1/cp1.temp",
            json.dumps({"time": format_time(here.clock.at - ago * MINUTE_NS), "value": value}).encode(),
            0,
            False,
        )
        for ago, value in values
    ]
    here.intake.accept(messages, here.clock.at)
    here.tick(0)


def kinds(here: Night) -> list[tuple[str, str]]:
    """Which pages went where, in their order."""
    return [(row[0], row[1]) for row in here.store.rows("select json_extract(page, '$.kind'), target from outbox order by id")]


def test_those_who_were_told_hear_that_it_is_over(night: Begin) -> None:
    here = night()
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms"}, "2026-01-06T03:05")
    here.acknowledge("Anna")
    here.told({}, "2026-01-06T03:30")
    here.reading("cp1.dp", 15.0)
    here.told({"03:30": "anna-sms"}, "2026-01-06T05:00")
    assert kinds(here)[-1] == ("returned", "anna-sms")


def test_all_who_were_told_hear_it_once_and_who_does_not_acknowledge_is_still_asked(night: Begin) -> None:
    here = night(OVER.replace("returned: true", "repeat: 10m, times: 2, returned: true"))
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms", "03:10": "anna-sms qa-sms"}, "2026-01-06T03:15")
    here.reading("cp1.dp", 15.0)
    here.told({"03:15": "anna-sms qa-sms", "03:20": "anna-sms qa-sms", "03:30": "anna-sms qa-sms"}, "2026-01-06T04:00")
    here.acknowledge("Anna")
    here.told({}, "2026-01-06T05:00")


def test_the_second_time_it_is_over_is_told_too(night: Begin) -> None:
    here = night()
    for begin, over in (("03:00", "03:02"), ("03:20", "03:22")):
        here.told({}, f"2026-01-06T{begin}")
        here.reading("cp1.temp", 30.0)
        here.told({begin: "anna-sms"}, f"2026-01-06T{over}")
        here.reading("cp1.temp", 20.0)
        here.told({over: "anna-sms"}, f"2026-01-06T{over[:-1]}5")
        here.acknowledge("Anna", here.store.rows("select max(id) from alarms")[0][0])


def test_a_policy_that_does_not_say_so_tells_nobody_that_it_is_over(night: Begin) -> None:
    here = night(OVER.replace(", returned: true", ""))
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms"}, "2026-01-06T03:05")
    here.reading("cp1.dp", 15.0)
    here.told({"03:10": "anna-sms qa-sms"}, "2026-01-06T03:30")


def test_what_is_found_late_and_is_over_waits_for_working_hours(night: Begin) -> None:
    here = night(LATE, at="2026-01-05T22:00")
    here.reading("cp1.temp", 20.0)
    late(here, (50, 20.0), (40, 30.0), (39, 30.0), (30, 20.0))
    here.told({}, "2026-01-07T06:59")
    here.told({"07:00": "anna-sms"}, "2026-01-07T08:00")
    here.acknowledge("Anna")
    here.told({}, "2026-01-07T12:00")
    assert kinds(here) == [("late", "anna-sms")]


def test_what_is_found_late_in_working_hours_is_told_at_once(night: Begin) -> None:
    here = night(LATE, at="2026-01-07T09:00")
    here.reading("cp1.temp", 20.0)
    late(here, (50, 20.0), (40, 30.0), (39, 30.0), (30, 20.0))
    here.told({"09:00": "anna-sms"}, "2026-01-07T10:00")


def test_what_is_found_late_and_lasts_wakes_somebody(night: Begin) -> None:
    here = night(LATE, at="2026-01-05T22:00")
    late(here, (40, 30.0), (39, 30.0))
    here.told({"22:00": "anna-sms"}, "2026-01-05T23:00")


def test_what_is_acknowledged_before_working_hours_is_not_told(night: Begin) -> None:
    here = night(LATE, at="2026-01-05T22:00")
    here.reading("cp1.temp", 20.0)
    late(here, (50, 20.0), (40, 30.0), (39, 30.0), (30, 20.0))
    here.told({}, "2026-01-06T06:00")
    here.acknowledge("Bo")
    here.told({}, "2026-01-07T12:00")


def test_each_is_told_in_their_language(night: Begin) -> None:
    here = night(OVER + "language: sv\n")
    here.reading("cp1.dp", 5.55)
    here.told({"03:00": "anna-sms"}, "2026-01-06T03:01")
    (page,) = (json.loads(row[0]) for row in here.store.rows("select page from outbox"))
    assert page["subject"] == "validation ACTION high: cp1, cp1.dp 5.5 Pa below 10 Pa"


def test_without_routes_the_file_names_the_language(night: Begin) -> None:
    here = night("language: sv\n")
    here.reading("cp1.dp", 5.55)
    here.told({"03:00": "anna-sms anna-voice bo-sms qa-sms sink"}, "2026-01-06T03:01")
    (page,) = {row[0] for row in here.store.rows("select page from outbox")}
    assert json.loads(page)["subject"] == "validation ÅTGÄRD hög: cp1, cp1.dp 5,5 Pa under 10 Pa"
    assert json.loads(page)["facts"]["worst"] == 5.55
