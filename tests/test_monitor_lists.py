"""What the pages list of the running service: readings, excursions, alarms, the audit trail, and acknowledging."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alerts.lifecycle.lifecycle import ACKNOWLEDGED, NORMAL, RETURNED, UNACKNOWLEDGED
from alerts.record.store import StateStore, StateUnavailable
from dashboards.console.view import in_order
from dashboards.monitor import ACCEPTED, ALREADY, UNKNOWN, MonitorUnavailable
from dashboards.views import AlarmQuery, AuditEntry, AuditQuery, ExcursionQuery
from ingest.journal.journal import JournalUnavailable
from ingest.series.series import SeriesReader
from service.stored import readings as stored
from tests.support.watched import FILES, MINUTE, SECOND, START, Watched, fall

ALL = (UNACKNOWLEDGED, ACKNOWLEDGED, RETURNED, NORMAL)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path)
    yield watched
    watched.close()


# Readings


def test_readings_are_those_of_series_and_tail_in_time_order(site: Watched) -> None:
    site.send("cp1.dp", *range(20, 30), at=0)
    site.send("cor1.dp", 1.0, at=0)
    site.step(MINUTE)
    site.memory.write(all_of_it=True)
    site.send("cp1.dp", *range(30, 40), at=10 * SECOND)
    site.send("cp1.dp", None, at=500_000_000)
    found = site.monitor.readings("cp1.dp", None, None, 100)
    assert found is not None
    assert found.time == sorted(found.time)
    assert (found.unit, len(found.time), found.quality[1], found.value[20]) == ("Pa", 21, "bad", 39.0)
    assert found.received[0] == START
    assert found.received[1] == START + MINUTE
    some = site.monitor.readings("cp1.dp", START + 8 * SECOND, START + 12 * SECOND, 3)
    assert some is not None
    assert some.value == [28.0, 29.0, 30.0]
    rest = site.monitor.readings("cp1.dp", some.time[-1] + 1, START + 12 * SECOND, 3)
    assert rest is not None
    assert rest.value == [31.0]
    assert site.monitor.readings("cp1.temp", None, None, 9).time == []  # type: ignore[union-attr]
    assert site.monitor.readings("cp1.dq", None, None, 9) is None


def test_no_reading_is_missing_or_twice_however_often_the_tail_is_written(site: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "SLICE", 3)
    for number in range(40):
        site.send("cp1.dp", 20 + number % 7, at=number * 100 * SECOND)
        site.send("cor1.dp", 5, at=number * 100 * SECOND)
        site.clock.turn(100 * SECOND)
        if number % 3 == 0:
            site.step()
        if number % 11 == 7:
            site.memory.write(all_of_it=True)
        found = site.monitor.readings("cp1.dp", None, None, 1000)
        assert found is not None
        assert found.time == [START + n * 100 * SECOND for n in range(number + 1)]
        assert site.monitor.readings("cp1.dp", START + 1, None, 2).time == found.time[1:3]  # type: ignore[union-attr]


def test_a_look_that_began_before_the_series_was_written_misses_nothing(site: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    site.send("cp1.dp", 20.0, 21.0)
    site.step()
    site.monitor.readings("cp1.dp", None, None, 9)
    cursor_of = SeriesReader.cursor

    def overtaken(reader: SeriesReader) -> int:
        before = cursor_of(reader)
        monkeypatch.undo()
        site.memory.write(all_of_it=True)
        site.monitor.readings("cp1.dp", None, None, 9)  # another thread, which sees the series as it is now
        return before

    monkeypatch.setattr(SeriesReader, "cursor", overtaken)
    found = site.monitor.readings("cp1.dp", None, None, 9)
    assert found is not None
    assert found.value == [20.0, 21.0]


# Excursions, alarms, audit


def test_excursions_are_found_by_time_room_point_and_revision(site: Watched) -> None:
    fall(site, 15.0, 11.0, 11.0, 15.0)
    site.send("bsc1.temp", 25.0)
    site.step(3 * SECOND)
    ask = site.monitor.excursions
    both = ask(ExcursionQuery(), 10)
    assert [(row.rule, row.point, row.open) for row in both.items] == [("dp.alert", "cp1.dp", False), ("temp", "bsc1.temp", True)]
    assert both.next is None
    assert [row.point for row in ask(ExcursionQuery(newest_first=True), 10).items] == ["bsc1.temp", "cp1.dp"]
    assert [row.point for row in ask(ExcursionQuery(room="cp1"), 10).items] == ["cp1.dp", "bsc1.temp"]
    assert ask(ExcursionQuery(room="cor1"), 10).items == ()
    assert [row.rule for row in ask(ExcursionQuery(point="bsc1.temp"), 10).items] == ["temp"]
    onset, ended = both.items[0].onset, both.items[0].ended
    assert ended is not None
    assert [row.rule for row in ask(ExcursionQuery(start=ended - 1, end=onset + 1), 10).items] == ["dp.alert"]
    assert [row.rule for row in ask(ExcursionQuery(start=ended), 10).items] == ["temp"]
    assert ask(ExcursionQuery(end=onset), 10).items == ()
    site.send("cp1.dp", 11.5, at=500_000_000)
    site.step()
    assert [row.revision for row in ask(ExcursionQuery(point="cp1.dp"), 10).items] == [1]
    every = ask(ExcursionQuery(point="cp1.dp", include_all=True), 10).items
    assert [(row.revision, row.status, row.onset - START) for row in every] == [(1, "current", 500_000_000), (0, "revised", SECOND)]


@pytest.mark.parametrize("newest_first", [False, True])
def test_pages_of_excursions_and_alarms_miss_nothing_while_more_comes(site: Watched, newest_first: bool) -> None:
    fall(site, *(6 * (9.0, 15.0)))
    query = ExcursionQuery(newest_first=newest_first)
    known = [row.id for row in site.monitor.excursions(query, 100).items]
    assert len(known) == 12
    raised = [alarm.id for alarm in site.monitor.alarms(AlarmQuery(ALL), 100).items]
    assert raised == ["A11", "A9", "A7", "A5", "A3", "A1"], "the levels of one rule are one alarm"
    seen, cursor, told, alarms_cursor = [], None, [], None
    for _ in range(3):
        page = site.monitor.excursions(query, 4, cursor)
        seen += [row.id for row in page.items]
        alarms = site.monitor.alarms(AlarmQuery(ALL), 2, alarms_cursor)
        told += [alarm.id for alarm in alarms.items]
        cursor, alarms_cursor = page.next, alarms.next
        fall(site, 9.0, 15.0)
    assert seen == known
    assert told == raised
    assert alarms_cursor is None
    assert (cursor is None) == newest_first, "what came later stands after what was seen"


def test_a_cursor_of_another_question_is_refused(site: Watched) -> None:
    fall(site, 9.0, 15.0, 9.0, 15.0)
    cursor = site.monitor.excursions(ExcursionQuery(), 1).next
    assert cursor is not None
    alarms, audit = site.monitor.alarms(AlarmQuery(), 1).next, site.monitor.audit(None, None, 1).next
    for foreign in ("", "x", "after-3", alarms or "", audit or "", cursor + "0-1", cursor.replace("E", "F")):
        with pytest.raises(ValueError, match="no cursor of this question"):
            site.monitor.excursions(ExcursionQuery(), 1, foreign)
    with pytest.raises(ValueError, match="no cursor of this question"):
        site.monitor.excursions(ExcursionQuery(point="cp1.dp"), 1, cursor)
    with pytest.raises(ValueError, match="no cursor of this question"):
        site.monitor.alarms(AlarmQuery(ALL), 1, alarms)
    with pytest.raises(ValueError, match="no cursor of this question"):
        site.monitor.audit(START, None, 1, audit)
    with pytest.raises(ValueError, match="no cursor of this question"):
        site.monitor.audit(None, None, 1, f"{(audit or '').partition('-')[0]}-{'9' * 30}")


def test_an_alarm_says_what_a_person_needs(site: Watched) -> None:
    fall(site, 15.0, 11.0, 9.25)
    (action,) = site.monitor.alarms(AlarmQuery(), 10).items
    assert (action.id, action.rule, action.kind, action.level, action.priority) == ("A1", "dp", "limit", "action", "critical")
    assert (action.direction, action.limit, action.peak, action.unit, action.resolution) == ("below", 10.0, 9.25, "Pa", 0.1)
    assert (action.text, action.sop) == ("Close the door.", "SOP-14")
    assert (action.point_name, action.quantity) == ("Pressure", "differential_pressure")
    assert (action.room, action.zone, action.excursion, action.late) == ("cp1", None, "E2", False)
    assert (action.onset, action.raised, action.since) == (START + 2 * SECOND, START + 2 * SECOND, START + 3 * SECOND)
    site.send("bsc1.temp", 25.0)
    site.step(2 * MINUTE)
    site.step(2 * MINUTE)
    newest = {alarm.rule: alarm for alarm in site.monitor.alarms(AlarmQuery(), 10).items}
    assert (newest["temp"].direction, newest["temp"].zone, newest["temp"].text, newest["temp"].sop) == ("above", "bsc1", "Ring.", "")
    assert (newest["silent"].kind, newest["silent"].direction, newest["silent"].peak) == ("stale", "", None)
    fall(site, 15.0)
    over = site.monitor.alarm("A1")
    assert over is not None
    assert (over.state, over.returned, over.since) == (RETURNED, site.clock.at - SECOND, site.clock.at)
    assert site.monitor.alarm("A99") is None


def test_an_alarm_of_a_rule_and_a_point_that_are_gone_can_still_be_read(site: Watched, tmp_path: Path) -> None:
    fall(site, 9.0)
    facility = site.configuration.facility
    left = replace(facility, points=facility.points[1:])
    site.configuration = replace(site.configuration, rules=site.configuration.rules[2:], facility=left)
    after = site.watch()
    alarm = after.alarms(AlarmQuery(), 10).items[0]
    assert (alarm.rule, alarm.kind, alarm.direction, alarm.text, alarm.quantity) == ("dp", "limit", "below", "", "")
    assert after.readings("cp1.dp", None, None, 9).value == [9.0]  # type: ignore[union-attr]
    assert [view.id for view in after.points()] == ["cp1.temp", "bsc1.temp", "cor1.dp"]
    after.close()


def test_acknowledging_is_durable_when_it_returns_and_the_second_hears_of_the_first(site: Watched) -> None:
    fall(site, 9.0)
    site.step()
    first = site.monitor.acknowledge("A1", by="Karin Ek", comment="on my way")
    assert (first.outcome, first.by, first.comment) == (ACCEPTED, "Karin Ek", "on my way")
    assert first.alarm is not None
    assert (first.alarm.state, first.alarm.acknowledged, first.alarm.since) == (ACKNOWLEDGED, first.at, first.at)
    second = site.monitor.acknowledge("A1", by="Ali", comment="me too")
    assert (second.outcome, second.by, second.at, second.comment) == (ALREADY, "Karin Ek", first.at, "on my way")
    assert site.monitor.acknowledge("A77", by="Ali", comment="").outcome == UNKNOWN
    entries = site.monitor.audit(None, None, 100).items
    assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
    assert [(entry.subject, entry.actor, entry.detail, entry.reason) for entry in entries if entry.action == "acknowledge"] == [
        ("A1", "Karin Ek", "unacknowledged → acknowledged", "on my way")
    ]
    assert {(entry.subject, entry.point, entry.rule) for entry in entries} == {("A1", "cp1.dp", "dp"), (entries[0].subject, "", "")}
    words = [site.monitor.trail(AuditQuery(words=words), 9).items for words in ("on my way", "CP1.D", "dp")]
    assert [[entry.action for entry in found] for found in words] == [["acknowledge"], ["raise", "acknowledge"], ["raise", "acknowledge"]]
    pages: list[AuditEntry] = []
    cursor = None
    while cursor or not pages:
        page = site.monitor.audit(None, None, 2, cursor)
        pages += page.items
        cursor = page.next
    assert tuple(pages) == entries
    assert [entry.action for entry in site.monitor.audit(first.at, None, 9).items] == ["acknowledge"]
    assert [entry.action for entry in site.monitor.audit(None, START + 1, 9).items] == ["configuration"]


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (TimeoutError(), "may still be recorded"),
        (JournalUnavailable("cannot write journal.db: disk full"), "disk full"),
        (StateUnavailable("cannot write state.db: disk full"), "disk full"),
    ],
)
def test_an_acknowledgement_that_cannot_be_recorded_says_so(site: Watched, refusal: Exception, words: str) -> None:
    fall(site, 9.0)
    site.refusal = refusal
    with pytest.raises(MonitorUnavailable, match=words):
        site.monitor.acknowledge("A1", by="Karin", comment="")


def test_what_cannot_be_read_is_unavailable_and_comes_back(site: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(store: StateStore, query: str, values: object = ()) -> list[Any]:
        raise StateUnavailable("cannot read state.db: disk I/O error")

    fall(site, 9.0)
    monkeypatch.setattr(StateStore, "rows", broken)
    with pytest.raises(MonitorUnavailable, match="disk I/O error"):
        site.monitor.alarms(AlarmQuery(), 9)
    monkeypatch.undo()
    assert len(site.monitor.alarms(AlarmQuery(), 9).items) == 1


def test_alarms_are_found_by_room_and_group_page_by_page_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = "systems: [{id: ahu1, name: Air handler 1, serves: [cp1, cor1]}]\nrooms:"
    monkeypatch.setitem(FILES, "facility.yaml", FILES["facility.yaml"].replace("rooms:", served, 1))
    site = Watched(tmp_path)
    fall(site, 11.0, 15.0, 11.0)
    site.send("cor1.dp", 9.0)
    site.send("bsc1.temp", 25.0)
    site.step(SECOND)
    site.step(SECOND)
    ask = site.monitor.alarms
    every = {alarm.id: alarm for alarm in ask(AlarmQuery(ALL), 10).items}
    assert {alarm.room for alarm in every.values()} == {"cp1", "cor1"}
    first = ask(AlarmQuery(ALL, room="cp1"), 1)
    rest = ask(AlarmQuery(ALL, room="cp1"), 10, first.next)
    found = [*first.items, *rest.items]
    assert [alarm.id for alarm in found] == [alarm.id for alarm in every.values() if alarm.room == "cp1"], "the zone's too"
    assert (first.total, rest.total, rest.next) == (len(found), len(found), None)
    with pytest.raises(ValueError, match="no cursor of this question"):
        ask(AlarmQuery(ALL, room="cor1"), 1, first.next)
    (group,) = {alarm.group for alarm in every.values()}
    assert ask(AlarmQuery(ALL, group=group), 10).total == len(every)
    assert ask(AlarmQuery(ALL, group="G99"), 10).total == 0
    standing = site.monitor.standing(2)
    assert (standing.total, standing.waiting, standing.groups[group].name) == (len(every), len(every), "Air handler 1")
    assert [alarm.id for alarm in standing.foremost] == [alarm.id for alarm in in_order(every.values())][:2]
    assert site.monitor.acknowledge(group, by="Karin Ek", comment="").outcome == UNKNOWN, "it is no alarm: nothing of it is acknowledged"
    site.monitor.acknowledge(standing.foremost[0].id, by="Karin Ek", comment="")
    assert site.monitor.standing(0).groups[group].waiting == len(every) - 1
    assert every[standing.foremost[0].id].texts == {"sv": "Stäng dörren.", "en": "Close the door."}
    site.close()
