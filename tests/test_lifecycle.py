"""The life of an alarm, told as stories whose titles are the transitions that they walk (alerts/lifecycle/lifecycle.py).

Above 10 degC is too warm; a second and a step for each happening. Whatever nobody expects to be told of is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from alerts.lifecycle.flags import SHELF_MAX_NS
from facility.site import SECOND_NS
from rules.rule import Bound
from tests.support.attended import Attended, rule_of

HOUR = 3600
Tale = Callable[[Attended], None]
TALES: dict[str, tuple[Callable[[], Attended], Tale]] = {}


def tale(title: str, **keys: object) -> Callable[[Tale], Tale]:
    """A story under a rule with these keys."""

    def told(story: Tale) -> Tale:
        TALES[title] = (partial(_begun, keys), story)
        return story

    return told


def _begun(keys: dict[str, object]) -> Attended:
    return Attended(rule_of(**keys))


@tale("normal, raise: unacknowledged, acknowledge: acknowledged, return: normal")
def _(site: Attended) -> None:
    site.reads(9.0, 11.0)
    site.told("A1")
    site.is_now("unacknowledged")
    assert site.does("acknowledge").result == "accepted"
    site.is_now("acknowledged")
    site.reads(9.0)
    site.is_now("normal")


@tale("unacknowledged, return: returned, acknowledge: normal; the next is another alarm")
def _(site: Attended) -> None:
    site.reads(11.0)
    site.told("A1")
    site.reads(9.0)
    site.is_now("returned")
    site.reads(11.0)
    site.told("A2")
    site.does("acknowledge")
    site.is_now("normal", "unacknowledged")


@tale("unacknowledged, latch: latched unacknowledged, acknowledge: latched acknowledged, reset: normal", latch=True)
def _(site: Attended) -> None:
    site.reads(11.0)
    site.told("A1")
    site.reads(9.0)
    site.is_now("latched_unacknowledged")
    site.does("acknowledge")
    site.is_now("latched_acknowledged")
    assert site.does("reset").result == "accepted"
    site.is_now("normal")
    assert (site.does("reset", by="Åke").result, site.does("reset").by) == ("already", "Karin")


@tale("latched unacknowledged, reset: returned, acknowledge: normal", latch=True)
def _(site: Attended) -> None:
    site.reads(11.0)
    site.told("A1")
    refused = site.does("reset")
    assert (refused.result, refused.why) == ("refused", "the condition is still there")
    site.reads(9.0)
    site.does("reset")
    site.is_now("returned")
    site.does("acknowledge")
    site.is_now("normal")


@tale("latched acknowledged, raise: unacknowledged, the same alarm, told again", latch=True)
def _(site: Attended) -> None:
    site.reads(11.0)
    site.told("A1")
    site.does("acknowledge")
    site.reads(9.0)
    site.is_now("latched_acknowledged")
    site.reads(11.0)
    site.told("A1")
    site.is_now("unacknowledged")
    assert [alarm.excursion for alarm in site.alarms()] == ["E2"]
    assert site.alarms()[0].acknowledged_by == ""


@tale("acknowledged, realarm: unacknowledged, told again; acknowledged and over in time: not", realarm="30s")
def _(site: Attended) -> None:
    site.reads(11.0)
    site.told("A1")
    site.does("acknowledge")
    site.waits(28)
    site.is_now("acknowledged")
    site.waits()
    site.told("A1")
    site.is_now("unacknowledged")
    assert site.ledger.next_due() is None
    site.does("acknowledge")
    site.reads(9.0)
    site.waits(60)
    site.is_now("normal")


@tale("unacknowledged, shelve, the time is over: annunciate, told again")
def _(site: Attended) -> None:
    site.reads(11.0)
    site.told("A1")
    assert site.does("shelve", until=60).result == "accepted"
    site.is_now("unacknowledged shelved")
    site.waits(58)
    assert site.ledger.next_due() == site.at + SECOND_NS
    site.waits()
    site.told("A1")
    site.is_now("unacknowledged")


@tale("acknowledged, shelve, unshelve: unacknowledged, told again")
def _(site: Attended) -> None:
    site.reads(11.0)
    site.told("A1")
    site.does("acknowledge")
    site.does("shelve")
    first = site.alarms()[0]
    assert first.shelved_until == (first.shelved_at or 0) + HOUR * SECOND_NS
    assert site.does("unshelve", by="Åke").result == "accepted"
    site.told("A1")
    site.is_now("unacknowledged")
    late = site.does("unshelve")
    assert (late.result, late.by) == ("already", "Åke")


@tale("shelve, return, raise: the next alarm of the rule at the point is shelved too, and told when that is over")
def _(site: Attended) -> None:
    site.reads(11.0)
    site.told("A1")
    site.does("shelve", until=60)
    site.reads(9.0, 11.0)
    site.is_now("returned shelved", "unacknowledged shelved")
    site.waits(60)
    site.told("A2")
    site.is_now("returned", "unacknowledged")


@tale("shelve twice at once: one is accepted, the other hears who was faster")
def _(site: Attended) -> None:
    site.reads(11.0)
    site.told("A1")
    assert site.does("shelve", by="Karin").result == "accepted"
    late = site.does("shelve", by="Åke", until=5)
    assert (late.result, late.by, late.at) == ("already", "Karin", site.alarms()[0].shelved_at)


@tale("a critical alarm: shelved with a signature only", priority="critical")
def _(site: Attended) -> None:
    site.reads(11.0)
    site.told("A1")
    assert site.does("shelve").why == "a critical alarm is shelved with a signature only"
    site.is_now("unacknowledged")
    assert site.does("shelve", signed=True).result == "accepted"
    site.is_now("unacknowledged shelved")
    site.reads(9.0, 11.0)
    site.is_now("returned shelved", "unacknowledged shelved")


@tale("shelvable: false, too long, without a reason: refused", shelvable=False)
def _(site: Attended) -> None:
    site.reads(11.0)
    site.told("A1")
    assert site.does("shelve", signed=True).why == "the rule warm says that its alarms are not shelved"


@tale("shelve for longer than 12 hours, without a reason, of an alarm that is done: refused")
def _(site: Attended) -> None:
    site.reads(11.0)
    site.told("A1")
    assert "12 hours" in site.does("shelve", until=SHELF_MAX_NS // SECOND_NS + 1).why
    assert site.does("shelve", why="").result == "refused"
    assert site.does("shelve", "A7").result == "unknown"
    site.does("acknowledge")
    site.reads(9.0)
    assert site.does("shelve").why == "the alarm is done"
    site.is_now("normal")


@tale("suppressed by the room's state, raise: nobody is told; reveal: annunciate, told", suppress=("cleaning", "shutdown"))
def _(site: Attended) -> None:
    site.is_in("cleaning")
    site.reads(11.0)
    site.is_now("unacknowledged suppressed")
    site.is_in("shutdown")
    site.is_now("unacknowledged suppressed")
    site.is_in("in_operation")
    site.told("A1")
    site.is_now("unacknowledged")


@tale("raise, suppress, return, reveal: nobody is told twice", suppress=("cleaning",))
def _(site: Attended) -> None:
    site.reads(11.0)
    site.told("A1")
    site.is_in("cleaning")
    site.is_now("unacknowledged suppressed")
    site.reads(9.0)
    site.is_now("returned suppressed")
    site.is_in("at_rest")
    site.is_now("returned")


@tale("suppress and shelve: told when the last of the two is over", suppress=("cleaning",))
def _(site: Attended) -> None:
    site.reads(11.0)
    site.told("A1")
    site.does("shelve", until=60)
    site.is_in("cleaning", until=30)
    site.is_now("unacknowledged shelved suppressed")
    site.waits(40)
    site.is_now("unacknowledged shelved")
    site.waits(30)
    site.told("A1")
    site.is_now("unacknowledged")


@tale("cleaning until a time: the state before is back then, at that very time", suppress=("cleaning",))
def _(site: Attended) -> None:
    since = site.at
    site.is_in("cleaning", until=30)
    site.waits(10)
    site.is_in("shutdown", until=10)
    assert site.ledger.next_due() == since + 21 * SECOND_NS
    site.waits(60)
    assert site.memory.states()["lab"][-1] == (since + 21 * SECOND_NS, "in_operation")
    assert site.store.rows("select actor, old, new from audit where action = 'occupancy' order by seq desc limit 1") == [
        ("renrum", "shutdown", "in_operation")
    ]
    assert site.ledger.next_due() is None


@tale("out of service: the excursion closes, readings are not judged; return: judged anew, told")
def _(site: Attended) -> None:
    site.reads(11.0)
    site.told("A1")
    out = site.at
    assert site.does("out_of_service", "t", until=HOUR).result == "accepted"
    (row,) = site.store.excursions()
    assert (row.ended, row.cleared, row.closed_by) == (out, out, "out_of_service")
    site.is_now("returned out_of_service")
    site.reads(12.0, 12.0)
    assert len(site.store.excursions()) == 1
    late = site.does("out_of_service", "t", by="Åke", until=5)
    assert (late.result, late.by, late.at) == ("already", "Karin", out)
    assert site.does("return_to_service", "t").result == "accepted"
    site.is_now("returned")
    site.reads(12.0)
    site.told("A2")
    assert site.does("return_to_service", "t", by="Åke").by == "Karin"


@tale("out of service, the time is over: in service again by itself", realarm="1h")
def _(site: Attended) -> None:
    assert site.does("out_of_service", "t", until=30).result == "accepted"
    site.reads(11.0)
    assert site.ledger.next_due() == site.at + 28 * SECOND_NS
    site.waits(40)
    assert site.store.rows("select actor from audit where action = 'return_to_service'") == [("renrum",)]
    site.reads(11.0)
    site.told("A1")


@tale("out of service, late readings: judged by their own time")
def _(site: Attended) -> None:
    site.reads(9.0, 9.0, 9.0)
    site.does("out_of_service", "t", until=60)
    site.reads(11.0)
    site.reads(11.5, ago=2.5)
    assert [(row.peak, row.closed_by) for row in site.store.excursions("status = 'current'")] == [(11.5, "out_of_service")]
    site.is_now("returned out_of_service")
    site.waits(60)
    site.is_now("returned")


@tale("out of service without a reason or an end, of an unknown point: refused")
def _(site: Attended) -> None:
    assert site.does("out_of_service", "u", until=60).result == "unknown"
    assert site.does("out_of_service", "t").result == "refused"
    assert site.does("out_of_service", "t", until=60, why="").result == "refused"
    assert site.does("return_to_service", "t").why == "the point is in service"


def of_levels(alert: tuple[str, ...], action: tuple[str, ...]) -> Attended:
    """Alert above 10 degC, action above 20; each is suppressed in states of its own."""
    below = replace(rule_of(level="alert", suppress=alert), id="warm.alert", alarm="warm")
    above = replace(rule_of(level="action", suppress=action), id="warm.action", alarm="warm", above=Bound(20.0))
    return Attended(below, above)


def the_higher_level_is_not_suppressed(site: Attended) -> None:
    site.is_in("cleaning")
    site.reads(11.0)
    site.is_now("unacknowledged suppressed")
    site.reads(25.0)
    site.told("A1")
    site.is_now("unacknowledged")
    site.reads(11.0)
    site.is_now("unacknowledged suppressed")


def only_the_higher_level_is_suppressed(site: Attended) -> None:
    site.is_in("cleaning")
    site.reads(11.0)
    site.told("A1")
    site.reads(25.0)
    site.is_now("unacknowledged suppressed")
    site.reads(11.0)
    site.told("A1")
    site.is_now("unacknowledged")


LEVELS: list[tuple[tuple[str, ...], tuple[str, ...], Tale]] = [
    (("cleaning",), (), the_higher_level_is_not_suppressed),
    ((), ("cleaning",), only_the_higher_level_is_suppressed),
]


@pytest.mark.parametrize("restarting", [False, True], ids=["", "restarting"])
@pytest.mark.parametrize(("alert", "action", "story"), LEVELS)
def test_of_levels_the_one_that_is_shown_is_suppressed_or_not(
    alert: tuple[str, ...], action: tuple[str, ...], story: Tale, restarting: bool
) -> None:
    site = of_levels(alert, action)
    site.restarting = restarting
    story(site)
    site.told()
    assert site.again() == site.dump(), "replay of the journal gives the same"


@pytest.mark.parametrize("restarting", [False, True], ids=["", "restarting"])
@pytest.mark.parametrize("title", TALES)
def test_tale(title: str, restarting: bool) -> None:
    begun, story = TALES[title]
    site = begun()
    site.restarting = restarting
    story(site)
    site.told()
    assert site.again() == site.dump(), "replay of the journal gives the same"
