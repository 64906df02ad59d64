"""A channel that fails is an alarm, told by the others: by the rule of the pack, or without one from memory. Neither makes a loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alerts.channels.emergency import Emergency
from alerts.pages.page import Letterhead, Page
from facility.site import Site
from service.pages.outbox import Outbox
from service.pages.undelivered import REASON, Undelivered
from tests.support import night as nights
from tests.support.night import Night
from tests.support.watched import HandClock


class Watching:
    """What waits, whether a rule judges it, and what is told of it."""

    def __init__(self) -> None:
        self.clock, self.words, self.judged, self.active = HandClock(), "", False, True
        self.told: list[str] = []
        told = lambda reason, at, do: self.told.append(reason)  # noqa: E731
        self.undelivered = Undelivered(lambda: self.words, lambda: self.judged, told, self.clock, lambda: self.active)


def test_it_is_told_once_until_all_is_delivered() -> None:
    it = Watching()
    for words in ("", "pages wait for mail (1)", "pages wait for mail (2)", "", "pages wait for mail (1)"):
        it.words = words
        for _ in range(3):
            it.undelivered.look()
    assert it.told == [REASON, REASON]


@pytest.mark.parametrize(("judged", "active"), [(True, True), (False, False)])
def test_it_is_not_told_where_a_rule_or_another_instance_does(judged: bool, active: bool) -> None:
    it = Watching()
    it.words, it.judged, it.active = "pages wait for mail (1)", judged, active
    it.undelivered.look()
    assert it.told == []


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Callable[[], Night]]:
    found: list[Night] = []

    def begin() -> Night:
        found.append(Night(tmp_path, "", "2026-01-06T03:00"))
        return found[-1]

    yield begin
    for one in found:
        one.close()


def test_the_others_are_told_of_a_channel_that_takes_nothing_for_long(night: Callable[[], Night]) -> None:
    here = night()
    taken: list[str] = []

    class Taking:
        def __init__(self, target: str) -> None:
            self.target = target

        def send(self, page: Page) -> None:
            taken.append(self.target)

    targets = here.configuration.oncall.everyone
    emergency = Emergency(
        Letterhead("validation", Site("lab", "Laboratory", "UTC")), {name: Taking(name) for name in targets}, lambda work: work()
    )
    outbox = Outbox(here.store.reader, lambda *_: pytest.fail("nothing is recorded"))
    looking = Undelivered(lambda: outbox.stuck(here.clock.at, targets), lambda: False, emergency.page, here.clock)
    here.broken = {"qa-sms"}
    here.reading("cp1.dp", 5.0)
    for _ in range(60):
        here.tick()
        looking.look()
    assert sorted(taken) == sorted(targets), "each once, whatever becomes of it"
    assert outbox.stuck(here.clock.at, targets) == "pages wait for qa-sms (1)"
    assert outbox.stuck(here.clock.at, ["sink"]) == "", "what waits for a channel that is gone is no channel's fault"
    rows = here.store.rows("select count(*) from outbox")
    assert rows == [(len(targets),)], "nothing more waits because of it"


def test_by_the_rule_it_is_one_alarm_that_goes_to_all_channels(night: Callable[[], Night], monkeypatch: pytest.MonkeyPatch) -> None:
    rules = (
        nights.FILES["rules.yaml"]
        + "  - {id: failing, kind: limit, select: {point: cp1.failing}, level: technical, above: 0, on_delay: 5m}\n"
    )
    point = '      - {id: cp1.failing, quantity: count, unit: "1", period: 60s}\n'
    facility = nights.FILES["facility.yaml"] + point
    monkeypatch.setattr(nights, "FILES", nights.FILES | {"rules.yaml": rules, "facility.yaml": facility})
    here = night()
    here.broken = {"qa-sms"}
    here.reading("cp1.dp", 5.0)
    for _ in range(60):
        here.tick()
        waiting = here.store.rows("select count(*) from outbox where sent_at is null and attempts > 0")[0][0]
        here.reading("cp1.failing", float(waiting))  # as the service measures $deliveries.failing
    assert here.store.rows("select rule, state from alarms order by id") == [("dp", "unacknowledged"), ("failing", "unacknowledged")]
    query = "select target from outbox where alarm = (select id from alarms where rule = 'failing') and sent_at is not null order by target"
    told = [target for (target,) in here.store.rows(query)]
    assert told == ["anna-sms", "anna-voice", "bo-sms", "sink"]
