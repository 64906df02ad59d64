from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.channels import Channel, DeliveryError, Webhook
from alerts.channels.delivery import Courier, DeliveryResult, OutboxItem, backoff_ns, deliver, is_due
from alerts.channels.emergency import MINIMUM_GAP_NS, Emergency, Telling, may_tell
from alerts.pages.page import Page
from tests.support.pages import LETTERHEAD, SECOND_NS, page
from tests.support.webhook import Answer, Hook, webhook_server

MINUTE_NS = 60 * SECOND_NS
START_NS = page().at_ns


@dataclass
class Outbox:
    """What the courier works on: items as last recorded, and every result; `broken` makes recording fail."""

    items: dict[int, OutboxItem]
    results: list[DeliveryResult] = field(default_factory=list)
    broken: bool = False

    @classmethod
    def of(cls, *items: OutboxItem) -> Outbox:
        return cls({item.id: item for item in items})

    def pending(self, target: str) -> Iterable[OutboxItem]:
        return [item for item in self.items.values() if item.target == target]

    def record(self, result: DeliveryResult) -> None:
        if self.broken:
            raise OSError(28, "No space left on device")
        self.results.append(result)
        item = self.items[result.item]
        assert result.attempt == item.attempts + 1, "no attempt is skipped or recorded twice"
        if result.ok:
            del self.items[result.item]
        else:
            self.items[item.id] = replace(item, attempts=result.attempt, next_try_ns=result.next_try_ns, tried_ns=result.at_ns)


class Clock:
    def __init__(self, at: int = START_NS) -> None:
        self.at = at

    def __call__(self) -> int:
        return self.at


@dataclass
class Scripted:
    """A channel that fails as told, one entry a send, then delivers; every send is kept."""

    failures: list[Exception] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    on_send: Callable[[], object] = lambda: None

    def send(self, told: Page) -> None:
        self.on_send()
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append(told.alarm)


def item(id: int = 1, target: str = "hook") -> OutboxItem:
    return OutboxItem(id, page(str(id)), target)


def courier(outbox: Outbox, channel: Channel, clock: Clock) -> Courier:
    return Courier("hook", channel, outbox.pending, outbox.record, clock)


def test_the_wait_doubles_from_five_seconds_to_a_quarter_of_an_hour_for_ever() -> None:
    assert [backoff_ns(attempts) // SECOND_NS for attempts in (1, 2, 3, 7, 8, 9, 10_000)] == [5, 10, 20, 320, 640, 900, 900]
    assert backoff_ns(1, 60 * SECOND_NS) == 60 * SECOND_NS
    assert backoff_ns(9, 60 * SECOND_NS) == 900 * SECOND_NS
    assert backoff_ns(1, 10**20) == 3600 * SECOND_NS, "nobody can ask for a year of silence"


@given(st.integers(0, 10**6), st.none() | st.integers(0, 10**18))
def test_a_wait_is_never_nothing_and_never_more_than_an_hour(attempts: int, asked: int | None) -> None:
    assert 5 * SECOND_NS <= backoff_ns(attempts, asked) <= 3600 * SECOND_NS


def test_a_try_that_ended_well_is_done() -> None:
    assert deliver(item(), Scripted(), Clock()) == DeliveryResult(1, "hook", 1, START_NS, True)


def test_the_wait_counts_from_the_end_of_a_slow_failure() -> None:
    clock = Clock()

    def slow() -> None:
        clock.at += 30 * SECOND_NS

    result = deliver(item(), Scripted([DeliveryError("timed out")], on_send=slow), clock)
    assert (result.at_ns, result.next_try_ns) == (START_NS + 30 * SECOND_NS, START_NS + 35 * SECOND_NS)


def test_a_final_refusal_is_tried_again_hourly() -> None:
    result = deliver(item(), Scripted([DeliveryError("no such mailbox", "Correct the address", permanent=True)]), Clock())
    assert result.permanent
    assert result.detail == "no such mailbox. Correct the address"
    assert result.next_try_ns == START_NS + 60 * MINUTE_NS


def test_a_fault_of_ours_is_a_result_that_names_the_place_but_not_the_words() -> None:
    result = deliver(item(), Scripted([KeyError("pa55word")]), Clock())
    assert not result.ok
    assert result.next_try_ns == START_NS + 5 * SECOND_NS
    assert "KeyError" in result.detail
    assert "test_delivery.py" in result.detail
    assert "pa55word" not in result.detail


def test_an_item_is_due_at_its_time_or_when_the_clock_was_set_back() -> None:
    tried = OutboxItem(1, page(), "hook", 3, START_NS + MINUTE_NS, START_NS)
    assert not is_due(tried, START_NS)
    assert not is_due(tried, START_NS + MINUTE_NS - 1)
    assert is_due(tried, START_NS + MINUTE_NS)
    assert is_due(tried, START_NS - 60 * MINUTE_NS)
    assert is_due(item(), 0)


def test_refused_refused_delivered() -> None:
    outbox, clock, channel = Outbox.of(item()), Clock(), Scripted([DeliveryError("503"), DeliveryError("503")])
    carrying = courier(outbox, channel, clock)
    assert (carrying.round(), len(outbox.results), channel.sent) == (1, 1, [])
    assert (carrying.round(), len(outbox.results), channel.sent) == (0, 1, [])
    clock.at += 5 * SECOND_NS
    assert (carrying.round(), len(outbox.results), channel.sent) == (1, 2, [])
    clock.at += 10 * SECOND_NS
    assert (carrying.round(), len(outbox.results), channel.sent) == (1, 3, ["1"])
    clock.at += 10**15
    assert (carrying.round(), len(outbox.results), channel.sent) == (0, 3, ["1"])
    assert [result.ok for result in outbox.results] == [False, False, True]


def test_a_clock_set_back_by_an_hour_does_not_hold_a_page() -> None:
    outbox, clock, channel = Outbox.of(item()), Clock(), Scripted([DeliveryError("503")])
    courier(outbox, channel, clock).round()
    clock.at -= 60 * MINUTE_NS
    courier(outbox, channel, clock).round()
    assert channel.sent == ["1"]


def test_a_new_page_goes_before_those_that_failed_and_a_poisoned_one_harms_no_other() -> None:
    outbox, clock = Outbox.of(replace(item(1), attempts=4), item(2), item(3)), Clock()

    class Poisoned(Scripted):
        def send(self, told: Page) -> None:
            if told.alarm == "2":
                raise ZeroDivisionError
            super().send(told)

    channel = Poisoned()
    carrying = courier(outbox, channel, clock)
    assert carrying.round() == 3
    assert channel.sent == ["3", "1"]
    assert carrying.round() == 0, "what failed waits for its time"
    assert set(outbox.items) == {2}


def test_delivered_is_recorded_after_delivery() -> None:
    outbox = Outbox.of(item())
    channel = Scripted(on_send=lambda: seen.append(list(outbox.results)))
    seen: list[list[DeliveryResult]] = []
    courier(outbox, channel, Clock()).round()
    assert seen == [[]]
    assert len(outbox.results) == 1


def test_a_page_is_not_sent_again_while_its_delivery_cannot_be_recorded(caplog: pytest.LogCaptureFixture) -> None:
    outbox, clock, channel = Outbox.of(item(1), item(2)), Clock(), Scripted([DeliveryError("503")])
    outbox.broken = True
    carrying = courier(outbox, channel, clock)
    assert carrying.round() == 2
    for _ in range(5):
        assert carrying.round() == 0
    clock.at += 5 * SECOND_NS
    assert carrying.round() == 1, "what was not delivered is tried on meanwhile"
    assert channel.sent == ["2", "1"]
    assert "No space left" in caplog.text
    outbox.broken = False
    assert carrying.round() == 0
    assert [(result.item, result.attempt, result.ok) for result in outbox.results] == [(1, 1, False), (2, 1, True), (1, 2, True)]
    assert not outbox.items


class Rounds:
    """A stop signal that lets so many rounds pass, without waiting."""

    def __init__(self, rounds: int) -> None:
        self.left, self.waits = rounds, list[float | None]()

    def is_set(self) -> bool:
        return self.left <= 0

    def wait(self, timeout: float | None = None) -> bool:
        self.left -= 1
        self.waits.append(timeout)
        return self.is_set()


def test_an_outbox_that_cannot_be_read_stops_no_courier(caplog: pytest.LogCaptureFixture) -> None:
    outbox, channel, readings = Outbox.of(item()), Scripted(), [1, 2]

    def pending(target: str) -> Iterable[OutboxItem]:
        if readings:
            raise OSError(f"reading {readings.pop()} failed")
        return outbox.pending(target)

    stop = Rounds(3)
    Courier("hook", channel, pending, outbox.record, Clock()).run(stop, poll_s=0.5)
    assert channel.sent == ["1"]
    assert caplog.text.count("failed; trying again") == 2
    assert stop.waits == [0.5, 0.5, 0.5], "never without a pause"


def test_a_courier_that_is_told_to_stop_sends_no_further_page() -> None:
    stop = threading.Event()
    channel = Scripted(on_send=stop.set)
    courier(Outbox.of(item(1), item(2)), channel, Clock()).run(stop)
    assert channel.sent == ["1"]


def test_a_target_that_hangs_delays_no_other() -> None:
    hold, stop = threading.Event(), threading.Event()
    with webhook_server() as hanging, webhook_server() as fine, fine.collector as collector:
        hanging.answer = Answer(hold=hold)
        outbox = Outbox.of(item(1, "hanging"), item(2, "fine"), item(3, "fine"))
        collector.expect("/hook", "2-raised")
        collector.expect("/hook", "3-raised")
        targets = {"hanging": Webhook(hanging.url), "fine": Webhook(fine.url)}
        threads = [
            threading.Thread(target=Courier(target, channel, outbox.pending, outbox.record, Clock()).run, args=(stop, 0.01))
            for target, channel in targets.items()
        ]
        for thread in threads:
            thread.start()
        collector.wait(2)
        assert set(outbox.items) >= {1}
        hold.set()
        hanging.collector.wait(1)
        stop.set()
        for thread in threads:
            thread.join(5)
        hanging.collector.expect("/hook", "1-raised")
        hanging.collector.check()
    assert not outbox.items


def test_one_target_may_be_told_once_in_the_gap_and_never_twice_at_once() -> None:
    assert may_tell(None, START_NS)
    told = Telling(0, START_NS, START_NS + MINIMUM_GAP_NS)
    assert not may_tell(told, START_NS + MINIMUM_GAP_NS - 1)
    assert may_tell(told, START_NS + MINIMUM_GAP_NS)
    assert may_tell(told, START_NS - 1), "the clock was set back"
    assert not may_tell(replace(told, under_way=True), START_NS + 10 * MINIMUM_GAP_NS)


def at_once(work: Callable[[], None]) -> None:
    work()


REASON = "The journal cannot be written: No space left on device"


def service_pages(server: Hook) -> list[str]:
    return [posted.body["facts"]["problem"] for posted in server.posted]


def test_in_an_emergency_everybody_is_told_once_in_the_gap_for_each_reason() -> None:
    with webhook_server() as server:
        emergency = Emergency(LETTERHEAD, {"a": Webhook(server.url), "b": Webhook(server.url)}, at_once)
        assert emergency.page(REASON, START_NS, "Make room") == ("a", "b")
        for second in range(1, 900, 7):
            assert emergency.page(REASON, START_NS + second * SECOND_NS) == ()
        assert emergency.page("Another reason", START_NS + SECOND_NS) == ("a", "b")
        assert emergency.page(REASON, START_NS + MINIMUM_GAP_NS) == ("a", "b")
        assert service_pages(server) == [REASON] * 2 + ["Another reason"] * 2 + [REASON] * 2
    assert "Do: Make room\n" in server.posted[0].body["text"]
    assert server.posted[0].body["subject"] == f"demo SERVICE: ATMP Centre: {REASON}"


def test_an_emergency_page_that_failed_is_tried_again_soon_but_not_at_once(caplog: pytest.LogCaptureFixture) -> None:
    with webhook_server() as server, server.collector as collector:
        server.answers = [Answer(503), Answer(410)]
        emergency = Emergency(LETTERHEAD, {"a": Webhook(server.url)}, at_once)
        told = [second for second in range(2000) if emergency.page(REASON, START_NS + second * SECOND_NS)]
        assert told == [0, 5, 905, 1805], "5 s after the first failure; a final refusal waits no longer than the gap"
        for second in (905, 1805):
            collector.expect("/hook", f"service-{START_NS + second * SECOND_NS}")
    assert "answered 503" in caplog.text


def test_an_emergency_does_not_wait_for_a_channel_that_hangs() -> None:
    hold, threads = threading.Event(), list[threading.Thread]()

    def spawn(work: Callable[[], None]) -> None:
        threads.append(threading.Thread(target=work))
        threads[-1].start()

    with webhook_server() as hanging, webhook_server() as fine, fine.collector as collector:
        hanging.answer = Answer(hold=hold)
        emergency = Emergency(LETTERHEAD, {"hanging": Webhook(hanging.url), "fine": Webhook(fine.url)}, spawn)
        collector.expect("/hook", f"service-{START_NS}")
        assert emergency.page(REASON, START_NS) == ("hanging", "fine")
        collector.wait(1)
        threads[1].join(5)
        late = START_NS + 2 * MINIMUM_GAP_NS
        collector.expect("/hook", f"service-{late}")
        assert emergency.page(REASON, late) == ("fine",), "the other is still being told"
        hold.set()
        for thread in threads:
            thread.join(5)


def test_an_emergency_without_a_thread_to_spare_tells_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    def none_left(work: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    channel = Scripted()
    caplog.set_level(logging.ERROR)
    Emergency(LETTERHEAD, {"a": channel}, none_left).page(REASON, START_NS)
    assert channel.sent == [""]
    assert "can't start new thread" in caplog.text
