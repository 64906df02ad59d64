"""Clocks that are ahead: the kind clock_ahead, from stories worked out by hand to the alarm (rules/ahead.py, alerts/judging/clocks.py).

Times of stories are in seconds; the points p0, p1, … accept what is up to 60 s ahead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from dashboards.app import build_app
from dashboards.views import AlarmQuery
from facility.site import SECOND_NS, Facility, Place, Point, Site
from rules.ahead import OURS
from rules.excursion import Excursion
from rules.rule import Rule, Selection
from tests.support import watched
from tests.support.admitted import Row
from tests.support.living import Life
from tests.support.reference import evaluate
from tests.support.replayed import cut_small, judge, plan, write
from tests.support.strategies import START_NS, Story
from tests.support.told import ns, s
from tests.support.verifying import verify
from tests.support.watched import SECOND, Watched

RULE = Rule("clock", "clock_ahead", level="technical")


def site_of(count: int) -> Facility:
    points = tuple(Point(f"p{number}", "temperature", "degC", "lab") for number in range(count))
    return Facility(Site("site", "Site"), (Place("lab", "Lab", points=tuple(point.id for point in points)),), points)


def good(second: float, number: int = 0) -> Row:
    return Row(f"p{number}", ns(second), 7.0, received=ns(second))


def ahead(second: float, number: int = 0) -> Row:
    return Row(f"p{number}", ns(second + 61), 7.0, received=ns(second))


def found(count: int, *rows: Row) -> list[tuple[object, ...]]:
    """point, onset, raised, ended (s) of what the slow evaluator finds."""
    excursions = evaluate(site_of(count), (RULE,), {}, sorted(rows, key=lambda row: row.received or 0)).excursions
    return [(e.point, s(e.onset), s(e.raised), s(e.ended)) for e in excursions]


# By hand


def test_a_clock_that_stays_ahead_for_a_minute_is_told_and_ends_with_a_stored_reading() -> None:
    assert found(9, good(0), ahead(10), ahead(40), good(90)) == [("p0", 10, 70, 90)]
    assert found(9, good(0), ahead(10), ahead(40), good(70, 1)) == [("p0", 10, 70, None)], "the clock ends at 70, included"
    assert found(9, good(0), ahead(10), ahead(40), good(69.9, 1)) == []


def test_a_stored_reading_within_the_minute_ends_the_run() -> None:
    assert found(9, ahead(10), good(70), ahead(80), good(139, 1)) == [], "also at the very end of it"
    assert found(9, ahead(10), good(10), good(99)) == [("p0", 10, 70, 99)], "of one moment, what was stored comes first"
    assert found(9, ahead(10), good(60), ahead(65), good(125, 1)) == [("p0", 65, 125, None)]


def test_over_half_of_the_points_within_a_minute_is_our_clock() -> None:
    # Of 4 points 2 are half; the third at 30 makes it ours, from the first at 10 on. None of them is told by itself.
    assert found(4, ahead(10), ahead(20, 1), good(200, 3)) == [("p0", 10, 70, None), ("p1", 20, 80, None)]
    assert found(4, ahead(10), ahead(20, 1), ahead(30, 2), good(200, 3)) == [(OURS, 10, 30, 200)]


def test_points_that_were_refused_a_minute_apart_are_not_at_once() -> None:
    # At 70 the reading of 10 is a minute old: no longer in the minute.
    assert [row[0] for row in found(4, ahead(10), ahead(20, 1), ahead(70, 2), good(71, 3))] == ["p0"]
    assert [row[0] for row in found(4, ahead(10), ahead(20, 1), ahead(69, 2), good(71, 3))] == [OURS]


def test_our_clock_is_over_with_a_stored_reading_a_minute_after_the_last_refused_one() -> None:
    three = (ahead(10), ahead(20, 1), ahead(30, 2))
    assert found(4, *three, good(89.9, 3), good(95, 3)) == [(OURS, 10, 30, 95)]
    assert found(4, *three, good(90, 3)) == [(OURS, 10, 30, 90)]
    # Silence is evidence of nothing: only another point of a facility of five moves the clock, and it is refused.
    assert found(4, *three, ahead(300)) == [(OURS, 10, 30, None)]


def test_while_it_is_our_clock_no_point_is_told_and_after_it_runs_start_anew() -> None:
    rows = (ahead(10), ahead(20, 1), ahead(30, 2), ahead(80), good(140, 3), ahead(150), good(210, 3))
    assert found(4, *rows) == [(OURS, 10, 30, 140), ("p0", 150, 210, None)]


def test_a_point_that_was_told_before_goes_its_own_way() -> None:
    rows = (ahead(0), ahead(59), ahead(110), ahead(120, 1), ahead(130, 2), good(140), good(200, 3))
    assert found(4, *rows) == [("p0", 0, 60, 140), (OURS, 110, 130, 200)]


def test_one_point_alone_is_never_our_clock() -> None:
    assert found(1, ahead(0), ahead(60)) == [("p0", 0, 60, None)]
    assert [row[0] for row in found(2, ahead(0), ahead(1, 1))] == [OURS]


# The engine against it, in a recording and live


@st.composite
def clock_stories(draw: st.DrawFn) -> Story:
    """Two to five points on a grid of ten seconds, now and then ahead, alone or together; states of the room are nothing to them."""
    count = draw(st.integers(2, 5))
    rows, received = [], START_NS
    for _ in range(draw(st.integers(1, 30))):
        received += draw(st.sampled_from((0, 0, 1, 10 * SECOND_NS, 20 * SECOND_NS, 30 * SECOND_NS, 60 * SECOND_NS)))
        beyond = draw(st.sampled_from((0, 0, 1, 60 * SECOND_NS, 60 * SECOND_NS + 1, 3600 * SECOND_NS)))
        rows.append(Row(f"p{draw(st.integers(0, count - 1))}", received + beyond, 7.0, received=received))
        if draw(st.integers(0, 9)) == 0:
            rows.append(Row("lab/occupancy", START_NS + len(rows), draw(st.sampled_from(("cleaning", "at_rest"))), received=received))
    narrow = replace(RULE, id="some", select=Selection(point=("p[01]",)))
    return Story(site_of(count), draw(st.sampled_from(((RULE,), (RULE, narrow)))), {}, tuple(rows))


def by_hand(story: Story) -> list[Excursion]:
    return evaluate(story.facility, story.rules, story.tables, story.rows).excursions


@given(clock_stories(), st.sampled_from((128, 1 << 20)))
def test_a_replay_finds_the_same(story: Story, text_bytes: int) -> None:
    with TemporaryDirectory() as folder, cut_small(text_bytes, 1000):
        judged = judge(plan(story), [write(Path(folder) / "rec.csv", story.rows)])
    assert [replace(row, config="") for row in judged.excursions] == by_hand(story)
    assert {row.config for row in judged.excursions} <= {"hash"}


@given(clock_stories(), st.data())
def test_live_in_any_steps_and_with_restarts_the_same(story: Story, data: st.DataObject) -> None:
    life = Life(story)
    moments = sorted({row.received or 0 for row in story.rows})
    for moment in moments:
        life.arrive([row for row in story.rows if row.received == moment])
        if data.draw(st.booleans()):
            life.step(moment + data.draw(st.sampled_from((0, 1))) if moment != moments[-1] else moment)
            if data.draw(st.booleans()):
                life.restart()
    life.step(moments[-1] + 1)
    assert life.current() == by_hand(story)


@given(clock_stories())
def test_a_configuration_without_the_rule_closes_what_is_open(story: Story) -> None:
    life = Life(story)
    life.arrive(story.rows)
    end = max(row.received or 0 for row in story.rows) + 1
    life.step(end)
    life.reconfigure((), end)
    life.step(end)
    for before, after in zip(by_hand(story), life.current(), strict=True):
        assert after == (replace(before, ended=end, cleared=end, closed_by="configuration") if before.open else before)


# To people


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """Renrum with the rule, and the proof afterwards that the journal gives the same."""
    rules = watched.FILES["rules.yaml"] + "  - {id: clock, kind: clock_ahead, priority: low, text: Set its clock.}\n"
    monkeypatch.setitem(watched.FILES, "rules.yaml", rules)
    running = Watched(tmp_path)
    yield running
    result = verify(running.folder)
    running.close()
    assert result.exit_code == 0, result.stdout


def test_one_instrument_is_a_technical_alarm(site: Watched) -> None:
    for _ in range(14):
        for point in ("cp1.dp", "bsc1.temp", "cor1.dp"):
            site.send(point, 20.0)
        site.send("cp1.temp", 20.0, at=site.clock.at - watched.START + 3600 * SECOND)
        site.step(5 * SECOND)
    (alarm,) = (alarm for alarm in site.monitor.alarms(AlarmQuery(), 10).items if alarm.rule == "clock")
    assert (alarm.point, alarm.level, alarm.priority, alarm.kind, alarm.text) == (
        "cp1.temp",
        "technical",
        "low",
        "clock_ahead",
        "Set its clock.",
    )
    site.send("cp1.temp", 20.0)
    site.step()
    assert site.monitor.alarm(alarm.id).state == "returned"  # type: ignore[union-attr]


def test_most_instruments_are_one_critical_alarm_of_our_own_clock(site: Watched) -> None:
    for _ in range(10):
        for point in ("cp1.dp", "bsc1.temp", "cor1.dp", "cp1.temp"):
            site.send(point, 20.0, at=site.clock.at - watched.START + 3600 * SECOND)
        site.step(5 * SECOND)
    (alarm,) = site.monitor.alarms(AlarmQuery(), 10).items
    assert (alarm.rule, alarm.point, alarm.level, alarm.priority, alarm.room) == ("clock", OURS, "technical", "critical", "")
    assert site.store.rows("select count(*) from outbox") == [(1,)]
    with TestClient(build_app(site.monitor), "http://127.0.0.1:8480") as client:
        assert "Our clock is behind" in client.get("/").text
        assert "Our clock is behind" in client.get(f"/alarms/{alarm.id}").text
        assert client.get("/api/v1/alarms").json()["alarms"][0]["point"] == OURS
