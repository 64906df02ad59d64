"""The levels of a rule at one point are one alarm: it rises, is told anew, falls, and is over (alerts/lifecycle/levels.py).

The pressure of cp1 alerts below 12 Pa and needs action below 10 Pa; a reading and a step each second.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from alerts.lifecycle.lifecycle import ACKNOWLEDGED, NORMAL, RETURNED, UNACKNOWLEDGED
from dashboards.app import build_app
from dashboards.views import AlarmView
from service.historian.judged import JudgedStore
from tests.support.verifying import verify
from tests.support.watched import SECOND, START, Watched, fall


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Watched]:
    """After each story, what is stored is what comes out when the journal is evaluated again."""
    watched = Watched(tmp_path)
    yield watched
    result = verify(watched.folder)
    watched.close()
    assert result.exit_code == 0, result.stdout


def alarms(site: Watched) -> list[tuple[str, str, str, str]]:
    """id, level, state and excursion of all alarms, in the order in which they were raised."""
    rows = site.store.rows("select id, level, state, excursion from alarms order by raised_at, length(id), id")
    return [tuple(row) for row in rows]


def pages(site: Watched) -> list[str]:
    return [row[0] for row in site.store.rows("select page_id from outbox order by id")]


def audited(site: Watched) -> list[tuple[str, str, str]]:
    """What was done to alarms: action, alarm, reason."""
    rows = site.store.rows("select action, object, reason from audit where object like 'A%' order by seq")
    return [tuple(row) for row in rows]


def shown(site: Watched, id: str = "A1") -> AlarmView:
    view = site.monitor.alarm(id)
    assert view is not None
    return view


def test_an_alert_that_becomes_worse_is_the_same_alarm_and_is_told_again(site: Watched) -> None:
    fall(site, 15.0, 11.0)
    assert alarms(site) == [("A1", "alert", UNACKNOWLEDGED, "E1")]
    assert (shown(site).rule, shown(site).priority, shown(site).limit) == ("dp", "medium", 12.0)
    fall(site, 9.0)
    assert alarms(site) == [("A1", "action", UNACKNOWLEDGED, "E2")]
    assert (shown(site).rule, shown(site).priority, shown(site).limit) == ("dp", "critical", 10.0)
    assert pages(site) == ["A1-raised", "A1-E2-raised"]
    assert audited(site) == [("raise", "A1", "excursion raised"), ("rise", "A1", "from alert to action")]


def test_who_acknowledged_the_alert_hears_of_the_action(site: Watched) -> None:
    fall(site, 11.0)
    site.monitor.acknowledge("A1", by="Karin", comment="on my way")
    assert alarms(site) == [("A1", "alert", ACKNOWLEDGED, "E1")]
    fall(site, 9.0)
    view = shown(site)
    assert (view.state, view.level, view.acknowledged, view.acknowledged_by, view.comment) == (UNACKNOWLEDGED, "action", None, "", "")
    assert view.since == site.clock.at
    assert view.raised == START + SECOND


def test_a_fall_is_shown_and_pages_nobody(site: Watched) -> None:
    fall(site, 11.0, 9.0)
    site.monitor.acknowledge("A1", by="Karin", comment="on my way")
    fall(site, 11.0)
    view = shown(site)
    assert (view.level, view.priority, view.limit, view.state, view.acknowledged_by) == ("alert", "medium", 12.0, ACKNOWLEDGED, "Karin")
    assert len(pages(site)) == 2
    assert audited(site)[-1] == ("fall", "A1", "from action to alert")
    fall(site, 9.0)
    assert alarms(site) == [("A1", "action", UNACKNOWLEDGED, "E3")]
    assert pages(site)[2:] == ["G1-all-1"], "the third time within a minute: that it chatters"


def test_it_is_over_when_no_level_is_open_and_then_shows_the_highest_that_it_had(site: Watched) -> None:
    fall(site, 11.0, 9.0, 11.0)
    assert shown(site).returned is None
    fall(site, 15.0)
    assert alarms(site) == [("A1", "action", RETURNED, "E2")]
    assert shown(site).returned is not None
    site.monitor.acknowledge("A1", by="Karin", comment="")
    assert alarms(site) == [("A1", "action", NORMAL, "E2")]


def test_the_next_excursion_is_a_new_alarm(site: Watched) -> None:
    fall(site, 11.0, 15.0, 9.0)
    # Both levels begin with the same reading: the action is raised first, the alert taken in, and told is one.
    assert alarms(site) == [("A1", "alert", RETURNED, "E1"), ("A2", "action", UNACKNOWLEDGED, "E2")]
    assert pages(site) == ["A1-raised", "A2-raised"]
    assert [excursion.rule for excursion in site.store.excursions()] == ["dp.alert", "dp.action", "dp.alert"]


def test_each_point_has_its_own_alarm(site: Watched) -> None:
    site.send("cp1.dp", 11.0)
    site.send("cor1.dp", 9.0)
    site.step()
    assert sorted(alarms(site)) == [("A1", "action", UNACKNOWLEDGED, "E1"), ("A3", "alert", UNACKNOWLEDGED, "E3")]


def test_an_alarm_that_rises_within_one_step_is_told_once(site: Watched) -> None:
    site.send("cp1.dp", 15.0, 11.0, 9.0, 11.0)
    site.step(5 * SECOND)
    assert alarms(site) == [("A1", "alert", UNACKNOWLEDGED, "E1")]
    assert pages(site) == ["A1-E2-raised"], "of the highest level that it reached"


def test_a_late_reading_raises_the_level(site: Watched) -> None:
    fall(site, 11.0, 11.0, 11.0)
    site.monitor.acknowledge("A1", by="Karin", comment="")
    site.send("cp1.dp", 9.0, at=1_500_000_000)
    site.step()
    # Below 10 Pa for half a second: that excursion is over already, but nobody had been told of it.
    assert alarms(site) == [("A1", "alert", UNACKNOWLEDGED, "E1")]
    assert len(pages(site)) == 2
    assert [(row.rule, row.late) for row in site.store.excursions("late")] == [("dp.action", True)]


def test_a_late_excursion_beside_an_alarm_is_one_of_its_own(site: Watched) -> None:
    fall(site, 15.0, 15.0, 15.0)
    site.step(30 * SECOND)
    fall(site, 11.0)
    site.send("cp1.dp", 9.0, at=500_000_000)
    site.step()
    assert alarms(site) == [("A1", "alert", UNACKNOWLEDGED, "E1"), ("A2", "action", RETURNED, "E2")]


@settings(max_examples=20)
@given(st.lists(st.tuples(st.sampled_from((9.0, 11.0, 15.0)), st.sampled_from((0, 0, 0, 1, 2, 5))), min_size=1, max_size=12))
def test_whatever_comes_in_whatever_order_an_alarm_is_what_its_excursions_are(readings: list[tuple[float, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = Watched(Path(folder))
        for number, (value, late) in enumerate(readings):
            site.send("cp1.dp", value, at=2 * (number - late) * SECOND + (SECOND if late else 0))
            site.step(2 * SECOND)
            current = {row.id: row for row in site.store.excursions("status = 'current'")}
            alarm_of = dict(site.store.rows("select excursion, alarm from members"))
            assert current.keys() <= alarm_of.keys()
            for id, level, state, shown in alarms(site):
                mine = [row for row in current.values() if alarm_of[row.id] == id]
                is_open = [row for row in mine if row.open]
                assert (state in (UNACKNOWLEDGED, ACKNOWLEDGED)) == bool(is_open)
                if is_open or mine:
                    assert level == min(row.level for row in is_open or mine), "action before alert"
                    assert current[shown].level == level
            standing = [alarm for alarm in alarms(site) if alarm[2] == UNACKNOWLEDGED]
            assert len(standing) <= 1, "one alarm at a point"
        result = verify(site.folder)
        assert result.exit_code == 0, result.stdout
        site.close()


def test_the_historian_gets_the_level_of_each_transition_whenever_it_asks(site: Watched) -> None:
    fall(site, 11.0)
    site.monitor.acknowledge("A1", by="Karin", comment="")
    judged = JudgedStore(site.store.reader)
    early = [row for row in judged.transitions(0, 99) if row.columns]
    fall(site, 9.0, 11.0, 15.0)
    late = [row for row in judged.transitions(0, 99) if row.columns]
    assert late[:2] == early
    told = [(row.columns["transition"], row.columns["level"], row.columns["priority"]) for row in late]
    assert told == [
        ("raise", "alert", "medium"),
        ("acknowledge", "alert", "medium"),
        ("rise", "action", "critical"),
        ("fall", "alert", "medium"),
        ("return", "action", "critical"),
    ]


def test_the_console_and_the_api_show_the_level(site: Watched) -> None:
    fall(site, 11.0, 9.0)
    with TestClient(build_app(site.monitor), "http://127.0.0.1:8480") as client:
        (alarm,) = client.get("/api/v1/alarms").json()["alarms"]
        assert (alarm["id"], alarm["rule"], alarm["level"], alarm["priority"], alarm["excursion"]) == (
            "A1",
            "dp",
            "action",
            "critical",
            "E2",
        )
        page = client.get("/alarms/A1").text
        assert 'data-level="action"' in page
        assert "<code>dp</code>" in page
