"""Server-sent events: what a listener gets, and that no listener can hold up the publisher."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import replace

import httpx2
import pytest

from dashboards import events
from dashboards.app import build_app
from dashboards.events import WAITING_MAX, Event, EventHub
from dashboards.views import Latest, PointNow
from tests.support.browser import Server
from tests.support.monitor import EXCURSIONS, NOW, SECOND, FakeMonitor

OTHER = replace(EXCURSIONS[0], id="x9")


def now(point: str, value: float) -> PointNow:
    return PointNow(point, Latest(NOW, value, "good", NOW), "normal")


def hub() -> EventHub:
    return EventHub("s", lambda point, value: f"{value}")


async def drained(subscription: events.Subscription) -> list[Event]:
    taken: list[Event] = []
    while True:
        try:
            async with asyncio.timeout(0.05):
                event = await subscription.take()
        except TimeoutError:
            return taken
        if event is None:
            return taken
        taken.append(event)


def test_readings_are_gathered_to_one_event_a_second() -> None:
    async def story() -> None:
        under_test = hub()
        subscription = under_test.subscribe()
        for tenth in range(25):
            under_test.readings([now("p", tenth), now(f"q{tenth}", 1.0)], NOW + tenth * SECOND // 10)
        under_test.readings([], NOW + 3 * SECOND)
        rows = [json.loads(event.text) for event in await drained(subscription)]
        assert [len(batch) for batch in rows] == [2, 11, 11, 5]
        assert [next(row["text"] for row in batch if row["point"] == "p") for batch in rows] == ["0", "10", "20", "24"]

    asyncio.run(story())


def test_a_clock_set_back_delays_no_readings() -> None:
    async def story() -> None:
        under_test = hub()
        subscription = under_test.subscribe()
        under_test.readings([now("p", 1.0)], NOW)
        under_test.readings([now("p", 2.0)], NOW - 3600 * SECOND)
        assert len(await drained(subscription)) == 2

    asyncio.run(story())


def test_a_value_that_json_cannot_write_is_null() -> None:
    async def story() -> None:
        under_test = hub()
        subscription = under_test.subscribe()
        under_test.readings([now("p", float("nan"))], NOW)
        assert json.loads((await drained(subscription))[0].text)[0]["value"] is None

    asyncio.run(story())


def test_a_listener_that_does_not_take_is_told_to_reload_and_the_publisher_never_waits() -> None:
    async def story() -> None:
        under_test = hub()
        slow = under_test.subscribe()

        def publish() -> None:
            for _ in range(10 * WAITING_MAX):
                under_test.excursion(OTHER)

        publisher = threading.Thread(target=publish)
        publisher.start()
        publisher.join(10)  # holds up the loop, as a loop that hangs would
        assert not publisher.is_alive()
        taken = await drained(slow)
        assert len(taken) <= WAITING_MAX
        assert taken[0].kind == "reload"

    asyncio.run(story())


def test_after_a_lost_connection_the_missed_events_come_first() -> None:
    async def story() -> None:
        under_test = hub()
        for number in range(5):
            under_test.excursion(replace(OTHER, id=f"x{number}"))
        missed = await drained(under_test.subscribe("s-3"))
        assert [json.loads(event.text)["id"] for event in missed] == ["x3", "x4"]
        assert await drained(under_test.subscribe("s-5")) == []
        assert [event.kind for event in await drained(under_test.subscribe("before-the-restart-17"))] == ["reload"]

    asyncio.run(story())


def test_a_listener_of_a_loop_that_is_gone_does_not_disturb() -> None:
    under_test = hub()

    async def listen() -> None:
        under_test.subscribe()

    asyncio.run(listen())
    under_test.excursion(OTHER)
    under_test.readings([now("p", 1.0)], NOW)


def test_streams_carry_health_readings_and_alarms_and_end_when_the_hub_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.2)
    monitor = FakeMonitor()
    kinds: list[str] = []
    with Server(build_app(monitor)) as server, httpx2.Client(timeout=10) as client:
        with client.stream("GET", server.url + "/api/v1/events") as reply:
            assert reply.headers["content-type"].startswith("text/event-stream")
            for line in reply.iter_lines():
                kind = line.removeprefix("event: ")
                if kind == line:
                    continue
                kinds.append(kind)
                if kinds == ["health"]:
                    monitor.tell("cp1.temp", 20.9)
                    monitor.acknowledge("a7", by="Sara", comment="")
                if kinds.count("health") == 3:
                    monitor.events.close()
                assert len(kinds) < 20
        assert {"health", "readings", "alarm"} == set(kinds)
        until = time.monotonic() + 5
        while monitor.events.listeners:
            assert time.monotonic() < until, "the listener was not forgotten"
            time.sleep(0.01)


def test_past_the_limit_a_listener_is_refused_and_told_when_to_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LISTENERS_MAX", 0)
    with Server(build_app(FakeMonitor())) as server:
        reply = httpx2.get(server.url + "/api/v1/events")
    assert reply.status_code == 503
    assert reply.headers["retry-after"] == "10"
