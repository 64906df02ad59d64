"""Server-sent events: the step thread publishes, browsers and programs listen, and nobody who listens can slow the publisher.

Kinds of event: `readings` (the newest values of points, at most one event a second), `alarm`, `excursion` (one changed row), `health`
(every few seconds, also the heartbeat) and `reload` (events were missed, or another configuration is in force: read the lists again).
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from alerts.people.permissions import READ
from dashboards.access import who_asks
from dashboards.answers import AlarmAnswer, ExcursionAnswer, LiveHealth, ReadingNow
from dashboards.problems_json import problem

if TYPE_CHECKING:
    from dashboards.monitor import Monitor
    from dashboards.views import AlarmView, PointNow
    from rules.excursion import Excursion

READINGS, ALARM, EXCURSION, HEALTH, RELOAD = "readings", "alarm", "excursion", "health", "reload"
READINGS_EVERY_NS = 1_000_000_000
HEARTBEAT_S = 3.0
RETRY_MS = 1500
WAITING_MAX = 64
REMEMBERED_MAX = 512
LISTENERS_MAX = 100
"""A browser keeps one connection a page; past this many a new one is refused with 503."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it goes out; `id` is empty for those that cannot be repeated."""

    kind: str
    text: str
    id: str = ""


class Subscription:
    """One listener's bounded queue. Past `WAITING_MAX` waiting events all are dropped and one `reload` takes their place."""

    def __init__(self, loop: asyncio.AbstractEventLoop, waiting: Sequence[Event] = ()) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._waiting: deque[Event] = deque(waiting)
        self._changed = asyncio.Event()
        self._woken = False
        self._closed = False
        if waiting:
            self._changed.set()

    def offer(self, event: Event) -> None:
        """Queue an event from any thread; never waits."""
        with self._lock:
            if len(self._waiting) >= WAITING_MAX:
                self._waiting.clear()
                event = Event(RELOAD, json.dumps({"reason": "this listener was too slow; read the lists again"}))
            self._waiting.append(event)
            self._wake()

    def close(self) -> None:
        """End the stream after what is queued."""
        with self._lock:
            self._closed = True
            self._wake()

    async def take(self) -> Event | None:
        """The next event, waiting for it; None when the stream is over."""
        while True:
            with self._lock:
                if self._waiting:
                    return self._waiting.popleft()
                if self._closed:
                    return None
                self._changed.clear()
                self._woken = False
            await self._changed.wait()

    def _wake(self) -> None:
        # one call is under way at most, so a loop that hangs does not collect them
        if self._woken:
            return
        self._woken = True
        try:
            self._loop.call_soon_threadsafe(self._changed.set)
        except RuntimeError:  # the loop is closed: nobody listens any more
            self._closed = True
            self._waiting.clear()


class EventHub:
    """Where events are published and subscribed to; every method but `subscribe` may be called from any thread.

    `session` tells this run of the service from an earlier one in the events' ids. `text_of` writes a value as the console shows it.
    """

    def __init__(self, session: str, text_of: Callable[[str, float | None], str]) -> None:
        self._session = session
        self._text_of = text_of
        self._lock = threading.Lock()
        self._subscriptions: set[Subscription] = set()
        self._remembered: deque[Event] = deque(maxlen=REMEMBERED_MAX)
        self._number = 0
        self._pending: dict[str, PointNow] = {}
        self._readings_at: int | None = None
        self._closed = False

    @property
    def listeners(self) -> int:
        return len(self._subscriptions)

    def reload(self, reason: str) -> None:
        """Have every list read again: what they hold is of other points or limits now."""
        with self._lock:
            self._send(Event(RELOAD, json.dumps({"reason": reason})))

    def readings(self, changed: Sequence[PointNow], at: int) -> None:
        """Tell what changed at points; call it at every step, also with nothing: what was held back for a second goes out then.

        `at` is the step's time, ns UTC; a clock set back only sends early.
        """
        with self._lock:
            if not self._subscriptions:
                self._pending.clear()
                return
            self._pending.update((now.point, now) for now in changed)
            due = self._readings_at is None or not 0 <= at - self._readings_at < READINGS_EVERY_NS
            if not self._pending or not due:
                return
            rows, self._pending, self._readings_at = list(self._pending.values()), {}, at
        text = json.dumps([ReadingNow.of(row, self._text_of).model_dump() for row in rows], allow_nan=False)
        with self._lock:
            self._send(Event(READINGS, text))

    def alarm(self, alarm: AlarmView) -> None:
        """Tell that an alarm was raised or changed."""
        self._publish(ALARM, AlarmAnswer.of(alarm).model_dump_json())

    def excursion(self, excursion: Excursion) -> None:
        """Tell that an excursion was raised or changed."""
        self._publish(EXCURSION, ExcursionAnswer.of(excursion).model_dump_json())

    def close(self) -> None:
        """End all streams, so that the server can stop; call it before telling the server to."""
        with self._lock:
            self._closed = True
            for subscription in self._subscriptions:
                subscription.close()

    def subscribe(self, last_id: str = "") -> Subscription:
        """Listen from now on, or from after the event `last_id`; call it in the event loop that will take the events."""
        with self._lock:
            subscription = Subscription(asyncio.get_running_loop(), self._since(last_id))
            if self._closed:
                subscription.close()
            self._subscriptions.add(subscription)
            return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        with self._lock:
            self._subscriptions.discard(subscription)

    def _since(self, last_id: str) -> list[Event]:
        if not last_id or last_id == f"{self._session}-{self._number}":
            return []
        ids = [event.id for event in self._remembered]
        if last_id not in ids:
            return [Event(RELOAD, json.dumps({"reason": "events after the last one received are no longer known; read the lists again"}))]
        missed = list(self._remembered)[ids.index(last_id) + 1 :]
        if len(missed) >= WAITING_MAX:
            return [Event(RELOAD, json.dumps({"reason": "too many events were missed; read the lists again"}))]
        return missed

    def _publish(self, kind: str, text: str) -> None:
        with self._lock:
            self._number += 1
            event = Event(kind, text, f"{self._session}-{self._number}")
            self._remembered.append(event)
            self._send(event)

    def _send(self, event: Event) -> None:
        for subscription in self._subscriptions:
            subscription.offer(event)


async def stream(monitor: Monitor, last_id: str, allowed: Callable[[], bool] = lambda: True) -> AsyncIterator[ServerSentEvent]:
    """The events of one listener, with the service's health every `HEARTBEAT_S` between them, as long as it is `allowed` then."""
    hub = monitor.events
    subscription = hub.subscribe(last_id)
    loop = asyncio.get_running_loop()
    try:
        yield await _health(monitor)
        beat = loop.time() + HEARTBEAT_S
        while True:
            try:
                if loop.time() >= beat:  # events that come one upon the other must not hold up what the beat is for
                    raise TimeoutError
                async with asyncio.timeout_at(beat):
                    event = await subscription.take()
            except TimeoutError:
                if not await run_in_threadpool(allowed):
                    return
                yield await _health(monitor)
                beat = loop.time() + HEARTBEAT_S
                continue
            if event is None:
                return
            yield ServerSentEvent(event.text, event=event.kind, id=event.id or None)
    finally:
        hub.unsubscribe(subscription)


async def _health(monitor: Monitor) -> ServerSentEvent:
    # computed here and not by the publisher, so that a step thread that hangs is seen as such
    text = await run_in_threadpool(lambda: LiveHealth.of(monitor).model_dump_json())
    return ServerSentEvent(text, event=HEALTH, retry=RETRY_MS)


async def events_endpoint(request: Request) -> Response:
    """GET /api/v1/events."""
    monitor: Monitor = request.app.state.monitor
    if monitor.events.listeners >= LISTENERS_MAX:
        detail = f"{LISTENERS_MAX} listeners are connected already; close pages that nobody looks at, or ask again later."
        return problem(503, detail, kind="too-many-listeners", title="Too many listeners", headers={"Retry-After": "10"})
    people, who = request.app.state.people, who_asks(request)

    def allowed() -> bool:
        now = people.still(who) if people is not None else who
        return now is not None and now.may(READ)

    events = stream(monitor, request.headers.get("last-event-id", ""), allowed)
    return EventSourceResponse(events, ping=60, sep="\n", send_timeout=20)
