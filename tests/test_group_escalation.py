"""Who is told of a group, on a clock that is turned: a page that is missing or too many fails. Each is computed again afterwards.

Two points of one room that an air handler serves; Anna has the duty, then QA.
"""

from __future__ import annotations

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


def test_without_policies_every_channel_is_told_of_the_group(night: Begin) -> None:
    here = night("")
    everyone = "anna-sms anna-voice bo-sms qa-sms sink"
    here.reading("cp1.dp", 5.0)
    here.told({"03:00": everyone}, "2026-01-06T03:01")
    here.reading("cp1.temp", 30.0)
    here.told({"03:02": everyone}, "2026-01-06T03:30")
