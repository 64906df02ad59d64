"""The couriers' side of the outbox: what is pending, what is recorded, and how long it took from a reading to its page."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from alerts.alarms import Answer
from alerts.channels.delivery import DeliveryResult
from alerts.record.store import StateUnavailable
from ingest.journal.entries import Body, DeliveryBody
from service.pages.outbox import Outbox
from tests.support.watched import SECOND, START, Watched, fall


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path)
    yield watched
    watched.close()


class Desk:
    """An outbox whose deliveries are journalled and judged at once, or refused."""

    def __init__(self, site: Watched) -> None:
        self.site, self.refusal = site, None
        self.outbox = Outbox(site.store.reader, self._ask)

    def record(self, item: int, at: int, *, ok: bool = True, attempt: int = 1) -> None:
        self.outbox.record(
            DeliveryResult(item, "sink", attempt, at, ok, detail="" if ok else "no answer", next_try_ns=0 if ok else at + SECOND)
        )

    def _ask(self, kind: str, body: Body) -> Future[Answer | None]:
        answer: Future[Answer | None] = Future()
        if self.refusal is not None:
            answer.set_exception(self.refusal)
            return answer
        assert isinstance(body, DeliveryBody)
        self.site.append(kind, body)
        self.site.step(0)
        answer.set_result(None)
        return answer

    refusal: Exception | None


def test_what_waits_is_pending_until_its_delivery_is_recorded(site: Watched) -> None:
    fall(site, 11.0, 9.0)
    desk = Desk(site)
    first, second = desk.outbox.pending("sink")
    assert (first.page.alarm, first.attempts, desk.outbox.pending("other")) == ("A1", 0, [])
    desk.record(first.id, START + 9 * SECOND, ok=False)
    assert [(item.id, item.attempts) for item in desk.outbox.pending("sink")] == [(second.id, 0), (first.id, 1)]
    desk.record(first.id, START + 12 * SECOND, attempt=2)
    assert [item.id for item in desk.outbox.pending("sink")] == [second.id]


def test_the_time_from_the_reading_that_raised_an_alarm_to_its_page_is_measured_once(site: Watched) -> None:
    fall(site, 15.0, 11.0)
    desk = Desk(site)
    (item,) = desk.outbox.pending("sink")
    raised = site.store.excursions()[0].raised
    desk.record(item.id, raised + 4 * SECOND, ok=False)
    assert desk.outbox.publish_to_page.now().count == 0
    desk.refusal = StateUnavailable("disk full")
    with pytest.raises(StateUnavailable):
        desk.record(item.id, raised + 5 * SECOND, attempt=2)
    assert desk.outbox.publish_to_page.now().count == 0, "not durable"
    desk.refusal = None
    desk.record(item.id, raised + 7 * SECOND, attempt=2)
    found = desk.outbox.publish_to_page.now()
    assert (found.count, found.seconds) == (1, 7.0)


def test_an_alarm_in_late_readings_is_no_slow_page(site: Watched) -> None:
    site.page_kind = "late"
    fall(site, 15.0, 11.0)
    desk = Desk(site)
    (item,) = desk.outbox.pending("sink")
    desk.record(item.id, START + 3600 * SECOND)
    assert desk.outbox.publish_to_page.now().count == 0
