"""Who is told of a group, on a clock that is turned: a page that is missing or too many fails. Each is computed again afterwards.

Two points of one room that an air handler serves; Anna has the duty, then QA.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.night import FILES, Night

STEPS = "policies: {night: {steps: [{to: duty}, {after: 5m, to: qa}]}}\nroutes: [{policy: night}]\n"
Begin = Callable[..., Night]


@pytest.fixture(params=[False, True], ids=["running", "restarted at every step"])
def night(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    facility = FILES["facility.yaml"].replace("rooms:", "systems: [{id: ahu1, name: Air handler 1, serves: [cp1], window: 2m}]\nrooms:")
    monkeypatch.setitem(FILES, "facility.yaml", facility)
    monkeypatch.setitem(FILES, "rules.yaml", FILES["rules.yaml"].replace("priority: critical", "priority: high"))
    nights: list[Night] = []

    def begin(oncall: str = STEPS) -> Night:
        nights.append(Night(tmp_path, oncall, "2026-01-06T03:00", restarts=request.param))
        return nights[-1]

    yield begin
    for one in nights:
        one.close()


def test_who_was_told_is_told_of_what_joined_and_escalation_goes_on(night: Begin) -> None:
    here = night()
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms"}, "2026-01-06T03:01")
    here.reading("cp1.temp", 30.0)
    here.told({"03:02": "anna-sms", "03:05": "qa-sms"}, "2026-01-06T03:10")
    ids = [row[0] for row in here.store.rows("select page_id from outbox order by id")]
    assert ids == ["G1-raised", "G1-raised-2", "G1-raised-3"]
    here.acknowledge("Anna", "G1")
    here.told({}, "2026-01-06T05:00")
    assert here.ended() == ["acknowledged by Anna"]
    assert here.store.rows("select object from audit where action = 'acknowledge' order by seq") == [("A1",), ("A3",)]


def test_what_joins_an_acknowledged_group_begins_anew(night: Begin) -> None:
    here = night()
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms"}, "2026-01-06T03:01")
    here.acknowledge("Anna", "G1")
    here.reading("cp1.temp", 30.0)
    here.told({"03:02": "anna-sms", "03:07": "qa-sms"}, "2026-01-06T03:10")


def test_what_joined_before_the_acknowledgement_is_told_after_it(night: Begin) -> None:
    here = night()
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms"}, "2026-01-06T03:01")
    here.reading("cp1.temp", 30.0)
    here.acknowledge("Anna", "G1")
    here.told({"03:02": "anna-sms"}, "2026-01-06T03:30")


def test_one_that_is_acknowledged_by_itself_leaves_the_others_waiting(night: Begin) -> None:
    here = night()
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms"}, "2026-01-06T03:01")
    here.reading("cp1.temp", 30.0)
    here.told({"03:02": "anna-sms"}, "2026-01-06T03:04")
    here.acknowledge("Anna", "A1")
    here.told({"03:05": "qa-sms"}, "2026-01-06T03:30")


RETURNED = "policies: {night: {steps: [{to: duty}], repeat: 2m, returned: true}}\nroutes: [{policy: night}]\n"


def subjects(here: Night) -> list[str]:
    return [json.loads(text)["subject"] for (text,) in here.store.rows("select page from outbox order by id")]


def test_an_update_and_a_step_that_are_due_at_once_are_one_page(night: Begin) -> None:
    here = night(RETURNED)
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms"}, "2026-01-06T03:01")
    here.reading("cp1.temp", 30.0)
    here.told({"03:02": "anna-sms", "03:04": "anna-sms"}, "2026-01-06T03:05")
    assert subjects(here) == [
        "validation ACTION high: cp1, cp1.dp 5 Pa below 10 Pa",
        "validation ACTION high: Air handler 1, 2 alarms in 1 room, first cp1, cp1.dp 5 Pa below 10 Pa",
        "validation REMINDER 1: ACTION high: Air handler 1, 2 alarms in 1 room, first cp1, cp1.dp 5 Pa below 10 Pa",
    ]


def test_that_it_is_over_is_told_of_what_was_told_and_what_joined_and_is_over_says_so(night: Begin) -> None:
    here = night(RETURNED.replace("2m", "10m"))
    here.reading("cp1.dp", 5.0)
    here.tick(20 * 10**9)
    here.reading("cp1.dp", 15.0)
    here.told({"03:00": "anna-sms anna-sms"}, "2026-01-06T03:01")
    here.reading("cp1.temp", 30.0)
    here.tick(30 * 10**9)
    here.reading("cp1.temp", 20.0)
    here.told({"03:02": "anna-sms"}, "2026-01-06T03:09")
    found = "ACTION high: cp1, cp1.dp 5 Pa below 10 Pa"
    both = "ACTION high: Air handler 1, 2 alarms in 1 room, first cp1, cp1.dp 5 Pa below 10 Pa"
    assert subjects(here) == [
        f"validation {found}",
        f"validation OVER, not acknowledged, {found}, over after 20 s",
        f"validation OVER, not acknowledged, {both}",
    ]
    text = json.loads(here.store.rows("select page from outbox order by id desc limit 1")[0][0])["text"]
    assert text.splitlines()[:9] == [
        "Air handler 1: 2 alarms in 1 room",
        "Status: OVER, not acknowledged",
        "Told before: anna; first at 2026-01-06 03:00:00+01:00; not acknowledged yet",
        "Rooms: cp1 (cp1)",
        "First out: cp1, cp1.dp 5 Pa below 10 Pa (A1), 2026-01-06 03:00:00+01:00 (Europe/Stockholm), 2026-01-06T02:00:00Z",
        "Group: G1, the link opens its alarms; acknowledging group G1 there acknowledges them all at once",
        "Open: http://127.0.0.1:8480/alarms?group=G1",
        "Alarms:",
        "  cp1, cp1.dp 5 Pa below 10 Pa, high, over, not acknowledged (A1)",
    ]
    here.told({"03:10": "anna-sms"}, "2026-01-06T03:11")
    assert subjects(here)[-1] == f"validation REMINDER 1: OVER, not acknowledged, {both}"


def test_of_several_some_of_which_are_over_the_subject_counts_those(night: Begin) -> None:
    here = night()
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": "anna-sms"}, "2026-01-06T03:01")
    here.reading("cp1.temp", 30.0)
    here.reading("cp1.dp", 15.0)
    here.told({"03:02": "anna-sms"}, "2026-01-06T03:03")
    assert (
        subjects(here)[-1] == "validation ACTION high: Air handler 1, 2 alarms in 1 room, 1 over, first cp1, cp1.dp 5 Pa below 10 Pa, over"
    )
    text = json.loads(here.store.rows("select page from outbox order by id desc limit 1")[0][0])["text"]
    assert "What: cp1.temp (cp1.temp)" in text, "one that lasts is the worst of one priority"


def test_what_chatters_is_not_called_over_at_each_beat(night: Begin) -> None:
    here = night(RETURNED.replace("2m", "10m") + "chattering: {times: 2, within: 3m}\n")
    for _ in range(4):
        here.reading("cp1.dp", 5.0)
        here.tick(10**9)
        here.reading("cp1.dp", 15.0)
        here.tick(10**9)
    here.told({"03:00": "anna-sms anna-sms anna-sms", "03:03": "anna-sms"}, "2026-01-06T03:09")
    assert [subject.partition(":")[0] for subject in subjects(here)] == [
        "validation ACTION high",
        "validation OVER, not acknowledged, ACTION high",
        "validation ACTION high",
        "validation OVER, not acknowledged, ACTION high",
    ]


def test_without_policies_every_channel_is_told_of_the_group(night: Begin) -> None:
    here = night("")
    everyone = "anna-sms anna-voice bo-sms qa-sms sink"
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": everyone}, "2026-01-06T03:01")
    here.reading("cp1.temp", 30.0)
    here.told({"03:02": everyone}, "2026-01-06T03:30")


def test_a_group_in_swedish_where_everyone_is_told(night: Begin) -> None:
    here = night("language: sv\n")
    everyone = "anna-sms anna-voice bo-sms qa-sms sink"
    here.reading("cp1.dp", 5.5)
    here.told({"03:00": everyone}, "2026-01-06T03:01")
    here.reading("cp1.temp", 30.0)
    here.told({"03:02": everyone}, "2026-01-06T03:30")
    found = json.loads(here.store.rows("select page from outbox order by id desc limit 1")[0][0])
    assert found["subject"] == "validation ÅTGÄRD hög: Air handler 1, 2 larm i 1 rum, först cp1, cp1.dp 5,5 Pa under 10 Pa"
    assert found["facts"]["link"] == "http://127.0.0.1:8480/alarms?group=G1"
    assert found["text"].splitlines() == [
        "Air handler 1: 2 larm i 1 rum",
        "Rum: cp1 (cp1)",
        "Först ut: cp1, cp1.dp 5,5 Pa under 10 Pa (A1), 2026-01-06 03:00:00+01:00 (Europe/Stockholm), 2026-01-06T02:00:00Z",
        "Grupp: G1, länken öppnar dess larm; att kvittera grupp G1 där kvitterar alla på en gång",
        "Öppna: http://127.0.0.1:8480/alarms?group=G1",
        "Larm:",
        "  cp1, cp1.dp 5,5 Pa under 10 Pa, hög (A1)",
        "  cp1, cp1.temp 30 °C över 25 °C, hög (A3)",
        "",
        "Det värsta av dem (A1):",
        "Miljö: validation",
        "Nivå: åtgärd, prioritet hög",
        "Vad: cp1.dp (cp1.dp)",
        "Var: Laboratory, cp1 (cp1), i drift",
        "Sämsta värde: 5,5 Pa, under gränsen",
        "Gräns: 10 Pa",
        "Sedan: 2026-01-06 03:00:00+01:00 (Europe/Stockholm), 2026-01-06T02:00:00Z",
        "Varaktighet: 2 min",
        "Regel: dp.action",
        "Öppna: http://127.0.0.1:8480/alarms?group=G1",
    ]
