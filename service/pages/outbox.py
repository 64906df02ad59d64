"""The couriers' side of the outbox: what waits in state.db for a target, and what became of it as an entry of the journal."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import closing

from alerts.alarms import Answer
from alerts.channels.delivery import DeliveryResult, OutboxItem
from alerts.pages.page import RAISED, decode
from alerts.record.store import StateStore
from ingest.histogram import LONG_S, Histogram
from ingest.journal.entries import DELIVERY, Body, DeliveryBody

ANSWER_S = 30.0
STUCK_NS = 5 * 60 * 10**9


class Outbox:
    """Each courier's thread calls both methods; `ask` has an entry journalled, its future ends when that is durable.

    `publish_to_page` is the time from the reading that raised an alarm (by its own clock; of a silence the moment when it was too long) to
    when a channel had taken the page of it. Alarms found in late readings do not count: they are as late as their readings.
    """

    def __init__(self, reader: Callable[[], StateStore], ask: Callable[[str, Body], Future[Answer | None]]) -> None:
        self._reader, self._ask = reader, ask
        self.publish_to_page = Histogram(LONG_S)

    def pending(self, target: str) -> list[OutboxItem]:
        """Those not delivered, with the fewest attempts first, at most 100."""
        with closing(self._reader()) as store:
            rows = store.rows(
                "select id, page, target, attempts, next_try, tried_at from outbox where target = ? and sent_at is null"
                " order by attempts, id limit 100",
                (target,),
            )
        return [OutboxItem(id, decode(page.encode()), to, attempts, due, tried) for id, page, to, attempts, due, tried in rows]

    def stuck(self, at: int, channels: Collection[str]) -> str:
        """What one of the channels has not taken for long, in words; empty where all goes well. Raises StateUnavailable."""
        with closing(self._reader()) as store:
            rows = store.rows(
                "select target, count(*) from outbox where sent_at is null and attempts > 0 and queued_at < ? group by target order by 1",
                (at - STUCK_NS,),
            )
        found = [f"{target} ({count})" for target, count in rows if target in channels]
        return f"pages wait for {', '.join(found)}" if found else ""

    def record(self, result: DeliveryResult) -> None:
        """Return when the result is durable; raises what prevented that, and TimeoutError."""
        with closing(self._reader()) as store:
            page_id, page, raised = store.rows(
                "select page_id, page, (select e.raised from excursions e join alarms a on e.id = a.excursion where a.id = outbox.alarm or"
                ' a.id = (select id from alarms where "group" = outbox.alarm order by raised_at limit 1)'
                " order by revision limit 1) from outbox where id = ?",
                (result.item,),
            )[0]
        body = DeliveryBody(
            page_id, result.target, result.attempt, result.at_ns, result.ok, result.permanent, result.detail, result.next_try_ns
        )
        self._ask(DELIVERY, body).result(timeout=ANSWER_S)
        if result.ok and raised is not None and decode(page.encode()).kind == RAISED:
            self.publish_to_page.observe(max(0, result.at_ns - raised) / 10**9)
