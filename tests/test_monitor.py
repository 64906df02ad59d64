"""What the pages are told by the running service: from real journals, series and states, as they change under its hands."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from alerts.lifecycle.lifecycle import ACKNOWLEDGED, NORMAL, RETURNED, UNACKNOWLEDGED
from dashboards.app import build_app
from dashboards.counts import Counts, LinkCounts, StepCounts, TargetCounts
from dashboards.events import Event
from dashboards.views import AlarmQuery, LimitInForce
from service.console.board import Board
from service.stored import records
from tests.support.watched import MINUTE, SECOND, START, Watched, fall, point

ALL = (UNACKNOWLEDGED, ACKNOWLEDGED, RETURNED, NORMAL)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path)
    yield watched
    watched.close()


def events(site: Watched, story: Callable[[], None]) -> list[tuple[str, Any]]:
    """What a listener gets of a story."""

    async def listen() -> list[Event]:
        subscription = site.monitor.events.subscribe()
        story()
        site.monitor.settle()
        subscription.close()
        taken = []
        while (event := await subscription.take()) is not None:
            taken.append(event)
        site.monitor.events.unsubscribe(subscription)
        return taken

    return [(event.kind, json.loads(event.text)) for event in asyncio.run(listen())]


# Points and places


def test_points_stand_in_the_facilitys_order_without_retired_ones(site: Watched) -> None:
    views = site.monitor.points()
    assert [view.id for view in views] == ["cp1.dp", "cp1.temp", "bsc1.temp", "cor1.dp"]
    assert {view.state for view in views} == {"no_data"}
    dp, zone = views[0], views[2]
    assert (dp.name, dp.unit, dp.resolution, dp.period_ns) == ("Pressure", "Pa", 0.1, 10 * SECOND)
    assert (dp.room, dp.zone, dp.grade) == ("cp1", None, "B")
    assert (zone.room, zone.zone, zone.grade) == ("cp1", "bsc1", "A")


def test_a_point_shows_its_newest_reading_and_the_worst_of_what_is_open(site: Watched) -> None:
    fall(site, 15.0, 11.0)
    found = point(site.monitor, "cp1.dp")
    assert found.latest is not None
    assert (found.latest.time, found.latest.value, found.latest.quality) == (START + SECOND, 11.0, "good")
    assert (found.state, found.since) == ("alert", START + SECOND)
    fall(site, 9.0)
    assert point(site.monitor, "cp1.dp").state == "action"
    site.send("cp1.dp", 3.0, at=-MINUTE)
    site.step()
    assert point(site.monitor, "cp1.dp").latest is not None, "a late reading is not the newest"
    assert point(site.monitor, "cp1.dp").latest.value == 9.0  # type: ignore[union-attr]
    fall(site, 200.0)
    assert point(site.monitor, "cp1.dp").latest.quality == "bad"  # type: ignore[union-attr]
    assert point(site.monitor, "cp1.dp").state == "action", "a bad reading ends no excursion"
    fall(site, 20.0)
    assert point(site.monitor, "cp1.dp").state == "normal"


def test_faults_and_silence_have_states_of_their_own(site: Watched) -> None:
    site.send("cp1.temp", None)
    site.send("bsc1.temp", 20.0)
    site.step()
    assert point(site.monitor, "cp1.temp").state == "bad"
    assert point(site.monitor, "cp1.temp").latest.value is None  # type: ignore[union-attr]
    site.step(2 * MINUTE)
    site.send("cp1.temp", 20.0)
    site.step()
    assert [view.state for view in site.monitor.points()] == ["stale", "normal", "stale", "stale"]


def test_limits_are_those_of_the_occupancy_that_applies_with_its_clean_up(site: Watched) -> None:
    alert, action = LimitInForce("dp.alert", "alert", None, 12.0), LimitInForce("dp.action", "action", None, 10.0)
    assert point(site.monitor, "cp1.dp").limits == (alert, action)
    in_operation, at_rest = (LimitInForce("temp", "action", 22.0, 18.0),), (LimitInForce("temp", "action", 23.0, 17.0),)
    assert point(site.monitor, "bsc1.temp").limits == in_operation
    site.occupy("cp1", "at_rest")
    assert [place.occupancy for place in site.monitor.places()] == ["at_rest", "at_rest", "in_operation"]
    assert point(site.monitor, "bsc1.temp").limits == in_operation
    site.step(20 * MINUTE)
    assert point(site.monitor, "bsc1.temp").limits == at_rest
    site.occupy("bsc1", "cleaning")
    assert [place.occupancy for place in site.monitor.places()] == ["at_rest", "cleaning", "in_operation"]
    assert point(site.monitor, "bsc1.temp").limits == (), "the table says nothing about cleaning"
    assert point(site.monitor, "cp1.temp").limits == at_rest
    assert [(place.id, place.parent, place.type) for place in site.monitor.places()][:2] == [("cp1", None, "room"), ("bsc1", "cp1", "bsc")]


def _without_disk(counts: Counts) -> Counts:
    """Others write to the disk meanwhile."""
    return replace(counts, machine=replace(counts.machine, disk_free=0))


@pytest.mark.parametrize("written", [False, True], ids=["from the journal", "from the series"])
def test_a_start_shows_what_was_shown_before(site: Watched, written: bool) -> None:
    fall(site, 15.0, 11.0, 9.0)
    site.send("cor1.dp", 15.0, None)
    site.occupy("cp1", "maintenance")
    site.step()
    if written:
        site.memory.write(all_of_it=True)
        site.send("bsc1.temp", 21.0)
        site.send("cp1.dp", 9.5, at=-MINUTE)
        site.step()
    again = site.watch()
    assert [replace(view, since=None) for view in again.points()] == [replace(view, since=None) for view in site.monitor.points()]
    assert point(again, "cp1.dp").since == point(site.monitor, "cp1.dp").since == START + 2 * SECOND
    assert again.places() == site.monitor.places()
    assert _without_disk(again.counts()) == _without_disk(site.monitor.counts())
    again.close()


# Events


def test_a_step_tells_readings_alarms_and_excursions_once_each(site: Watched) -> None:
    told = events(site, lambda: fall(site, 15.0, 11.0))
    assert [kind for kind, _ in told] == ["readings", "readings", "alarm", "excursion"]
    assert told[0][1] == [
        {"point": "cp1.dp", "time": "2026-11-21T07:00:00Z", "value": 15.0, "quality": "good", "state": "normal", "text": "15.0"}
    ]
    assert (told[1][1][0]["state"], told[2][1]["id"], told[2][1]["peak"], told[3][1]["id"]) == ("alert", "A1", 11.0, "E1")
    quiet = events(site, lambda: fall(site, 11.0, 11.5))
    assert [kind for kind, _ in quiet] == ["readings", "readings"], "one more reading in it is no change of an excursion"
    worse = events(site, lambda: fall(site, 10.5, 15.0))
    assert [kind for kind, _ in worse] == ["readings", "alarm", "excursion", "readings", "alarm", "excursion"]
    assert (worse[1][1]["peak"], worse[4][1]["state"], worse[5][1]["cleared"]) == (10.5, RETURNED, "2026-11-21T07:00:05Z")


def test_an_acknowledgement_is_told(site: Watched) -> None:
    fall(site, 11.0)

    def acknowledge() -> None:
        site.monitor.acknowledge("A1", by="Karin", comment="")

    told = events(site, acknowledge)
    assert [(kind, body["acknowledged_by"]) for kind, body in told] == [("alarm", "Karin")]


def console(site: Watched) -> str:
    """What health says of the console when it is not well."""
    return next((check.words for check in site.monitor.health().ready if check.name == "console" and not check.ok), "")


def test_events_that_could_not_be_published_are_with_the_next_step(site: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> list[Any]:
        raise sqlite3.OperationalError("disk I/O error")

    fall(site, 15.0)
    monkeypatch.setattr(records, "alarms_by_id", broken)
    assert events(site, lambda: fall(site, 11.0)) == []
    assert "disk I/O error" in console(site)
    monkeypatch.undo()
    told = events(site, lambda: fall(site, 9.0))
    assert [(kind, body["id"]) for kind, body in told[1:]] == [("alarm", "A1"), ("excursion", "E1"), ("excursion", "E2")]
    assert console(site) == ""


def test_what_fails_in_showing_stops_no_step_and_is_made_good_with_the_next(site: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> list[Any]:
        raise RuntimeError("a fault of ours")

    fall(site, 15.0)
    monkeypatch.setattr(Board, "take", broken)
    fall(site, 11.0)
    assert point(site.monitor, "cp1.dp").state == "normal"
    assert "may show old values, judging goes on: a fault of ours" in console(site)
    monkeypatch.undo()
    site.step()
    assert console(site) == ""
    assert point(site.monitor, "cp1.dp").state == "alert"
    assert dict(site.monitor.counts().excursions_open) == {"alert": 1}


# Health and numbers


def test_health_says_what_is_wrong_and_what_to_do(site: Watched) -> None:
    fall(site, 15.0)
    assert site.monitor.health().is_ready
    well = replace(site.vitals, step_ended_ns=site.clock.monotonic)
    wrong = {
        "ingest": (replace(well, ingest_alive=False), "restart"),
        "journal": (replace(well, journal_failure="cannot write journal.db: database or disk is full"), "full: nothing is acknowledged"),
        "judgement": (replace(well, step_ended_ns=site.clock.monotonic - 31 * SECOND), "no step for 31 s: readings are stored"),
        "broker": (replace(well, link=LinkCounts(False, True), broker="mqtt://b:1883"), "not connected to mqtt://b:1883: is it running"),
        "backlog": (replace(well, link=LinkCounts(True, False)), "wait"),
        "configuration": (replace(well, config=""), "nothing judges yet"),
    }
    for name, (vitals, words) in wrong.items():
        site.vitals = vitals
        health = site.monitor.health()
        bad = [check for check in (*health.alive, *health.ready) if not check.ok]
        assert [check.name for check in bad] == [name]
        assert words in bad[0].words
        assert health.is_alive == (name in ("broker", "backlog", "configuration"))
    site.vitals = replace(well, step_failure="cannot write state.db: disk full")
    assert site.monitor.health().is_alive, "one failed step is no death"
    site.clock.turn(MINUTE)
    words = site.monitor.health().alive[0].words
    assert words.startswith("no step for 60 s, the last one failed: cannot write state.db: disk full")


def test_counts_close_and_follow_what_happened(site: Watched) -> None:
    fall(site, 11.0, 9.0)
    site.send("cp1.dp", 9.0, at=SECOND)
    site.send("cp1.dp", 7.0, at=SECOND)
    site.deliver("A1-raised", ok=False)
    site.deliver("A1-E2-raised", ok=True)
    site.deliver("A1-raised", ok=False, attempt=2)
    site.step(3 * SECOND)
    counts = site.monitor.counts()
    assert counts.sums.closes
    assert (counts.sums.received, counts.sums.stored, counts.sums.duplicate) == (4, 2, 1)
    assert dict(counts.sums.quarantined) == {"conflict": 1}
    assert dict(counts.excursions_open) == {"alert": 1, "action": 1}
    assert counts.alarms == {("critical", UNACKNOWLEDGED): 1}
    assert counts.pages == {"sink": TargetCounts(waiting=1, oldest_age_s=4.0, attempts=3, sent=1)}
    assert (counts.pages_pending, counts.pages_sent, counts.pages_failed) == (1, 1, 2)
    assert counts.steps.age_s == 0.0
    site.vitals = replace(site.vitals, steps=StepCounts())
    assert site.monitor.counts().steps.age_s is None


# The whole of it


def test_every_page_and_answer_can_be_had_of_a_running_site(site: Watched) -> None:
    fall(site, 15.0, 11.0, 9.0, 15.0, 9.0)
    site.send("cp1.temp", None)
    site.step()
    with TestClient(build_app(site.monitor), "http://127.0.0.1:8480") as client:
        pages = ["/", "/alarms/A1", "/healthz", "/readyz", "/metrics"]
        pages += [f"/parts/{part}" for part in ("summary", "alarms", "rooms", "excursions", "system")]
        pages += [f"/api/v1/{what}" for what in ("points", "excursions?all=true", "alarms", "audit", "readings?point=cp1.dp&limit=2")]
        for page in pages:
            assert client.get(page).status_code == 200, page
        assert 'renrum_excursions_open{level="action"} 1.0' in client.get("/metrics").text
        page = client.get("/api/v1/excursions?limit=1").json()
        assert client.get(f"/api/v1/excursions?limit=1&cursor={page['next']}").json()["excursions"][0]["id"] != page["excursions"][0]["id"]
        assert client.get("/api/v1/excursions?limit=1&cursor=mine").status_code == 400
        reply = client.post("/api/v1/alarms/A1/acknowledge", json={"by": "Karin Ek"})
        assert (reply.status_code, reply.json()["state"]) == (200, NORMAL)
        assert client.post("/api/v1/alarms/A1/acknowledge", json={"by": "Ali"}).status_code == 409


def test_many_may_look_while_steps_are_taken(site: Watched) -> None:
    stop, seen, wrong = threading.Event(), [0], list[Exception]()

    def look() -> None:
        monitor, longest = site.monitor, 0
        try:
            while not stop.is_set():
                found = monitor.readings("cp1.dp", None, None, 10_000)
                assert found is not None
                assert len(set(found.time)) == len(found.time) >= longest
                longest = len(found.time)
                assert len(monitor.points()) == 4
                monitor.alarms(AlarmQuery(ALL), 10)
                assert monitor.counts().sums.closes
                monitor.health()
                seen[0] += 1
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(60):
        fall(site, 9.0 if number % 5 == 0 else 15.0)
        if number % 7 == 0:
            site.memory.write(all_of_it=True)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert wrong == []
    assert seen[0] > 0
    assert point(site.monitor, "cp1.dp").latest.time == START + 59 * SECOND  # type: ignore[union-attr]
