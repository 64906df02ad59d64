"""alerts/duty: who has the duty, through hand-overs, daylight saving time, overrides and calendars; and the course of telling."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from types import ModuleType
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.channels.emergency import Emergency
from alerts.channels.emergency_words import SWEDISH, said
from alerts.duty.calendar import WorkingHours, moment, shown
from alerts.duty.course import Course, Notice, go_on, next_way
from alerts.duty.gaps import gaps
from alerts.duty.roster import NOBODY, Person, Policy, Roster, Route, Step, Subject, Way
from alerts.duty.rotation import Cycle, Override, Rotation, Shifts, Turn, duties, who
from alerts.pages.page import Letterhead, Page
from alerts.record.store import StateStore, StateUnavailable
from facility.site import Site
from facility.times import parse_time
from service.continuity import watching
from service.duty.reachable import Reachable
from service.health import watch
from service.health.watch import JOURNAL
from service.pages import undelivered
from service.proof import nightly

HERE = ZoneInfo("Europe/Stockholm")
MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
HIGH = Subject("high", "action", "dp-low", "cp1.dp", "cp1")


def at(text: str) -> int:
    """A time of the site, to the minute."""
    return parse_time(f"{text}:00", HERE)


def cycle(*members: str, start: str = "2026-01-05T08:00", length: timedelta = timedelta(days=7), zone: ZoneInfo = HERE) -> Rotation:
    return Rotation("duty", Cycle(members, datetime.fromisoformat(start), length, zone))


def test_the_duty_is_handed_over_at_its_hour() -> None:
    duty = cycle("anna", "bo", "cecilia")
    assert who(duty, at("2026-01-05T08:00")).person == "anna"
    assert who(duty, at("2026-01-12T08:00") - 1).person == "anna"
    assert who(duty, at("2026-01-12T08:00")).person == "bo"
    assert who(duty, at("2026-01-26T08:00")).person == "anna"
    assert who(duty, at("2026-01-20T00:00")).until == at("2026-01-26T08:00")
    assert who(duty, at("2026-01-05T07:59")).person is None


@pytest.mark.parametrize("change", ["2026-03-29", "2026-10-25"])
def test_daylight_saving_time_moves_no_hand_over_by_the_clocks_on_the_wall(change: str) -> None:
    shifts = cycle("day", "night", start="2026-01-05T07:00", length=timedelta(hours=12))
    day = date.fromisoformat(change)
    for offset in (-1, 0, 1):
        morning = datetime.combine(day + timedelta(days=offset), time(7))
        assert who(shifts, moment(morning, HERE)).person == "day"
        assert who(shifts, moment(morning, HERE) - 1).person == "night"
        assert who(shifts, moment(morning + timedelta(hours=12), HERE)).person == "night"


def test_a_hand_over_in_the_hour_that_is_skipped_or_comes_twice_happens_once() -> None:
    duty = cycle("anna", "bo", start="2026-03-22T02:30")
    assert who(duty, at("2026-03-29T03:29")).person == "anna"
    assert who(duty, at("2026-03-29T03:30")).person == "bo"
    autumn = cycle("anna", "bo", start="2026-10-18T02:30")
    first = moment(datetime(2026, 10, 25, 2, 30), HERE)
    assert who(autumn, first - 1).person == "anna"
    assert [who(autumn, first + minutes * MINUTE).person for minutes in (0, 29, 31, 89, 91)] == ["bo"] * 5


@given(
    st.integers(0, 2 * 365 * 24 * 60), st.sampled_from([1, 5, 8, 12, 24, 24 * 7, 24 * 14]),
    st.sampled_from(["Europe/Stockholm", "America/New_York", "UTC", "Australia/Lord_Howe", "Asia/Kathmandu"]), st.integers(0, 23 * 60 + 59),
)  # fmt: skip
def test_turns_follow_one_another_without_a_gap(minutes: int, length_h: int, zone: str, hand_over: int) -> None:
    start = datetime(2026, 1, 1) + timedelta(minutes=hand_over)
    turns = Cycle(("a", "b", "c"), start, timedelta(hours=length_h), ZoneInfo(zone))
    now = moment(start, ZoneInfo(zone)) + minutes * MINUTE
    turn = turns.turn(now)
    assert turn.start <= now < turn.end
    following, before = turns.turn(turn.end), turns.turn(turn.start - 1)
    assert following.start == turn.end
    assert before.end == turn.start
    assert all(turns.turn(inside) == turn for inside in (turn.start, turn.end - 1))
    assert shown(turn.end, ZoneInfo(zone)).minute % 30 == shown(turn.start, ZoneInfo(zone)).minute % 30


def test_an_override_counts_while_it_lasts_and_the_last_one_wins() -> None:
    duty = cycle("anna", "bo")
    day, night = at("2026-01-06T08:00"), at("2026-01-07T08:00")
    swap = Override("duty", day, night, "cecilia")
    assert who(duty, day, [swap]).person == "cecilia"
    assert who(duty, day, [swap]).instead_of == "anna"
    assert who(duty, day - 1, [swap]).until == day
    assert who(duty, night, [swap]).person == "anna"
    assert who(duty, day, [swap, Override("duty", day, night, "anna")]).person == "anna"
    assert who(duty, day, [Override("other", day, night, "cecilia")]).person == "anna"


def test_person_for_person_touches_the_turns_of_that_person_alone() -> None:
    duty = cycle("anna", "bo")
    july = Override("duty", at("2026-01-05T00:00"), at("2026-02-02T08:00"), "cecilia", instead_of="anna")
    found = [(person.person, person.overridden) for _, person in duties(duty, at("2026-01-05T08:00"), at("2026-02-09T08:00"), [july])]
    assert found == [("cecilia", True), ("bo", False), ("cecilia", True), ("bo", False), ("anna", False)]


def test_a_calendar_of_shifts_may_overlap_and_have_gaps() -> None:
    shifts = Shifts((Turn(0, 100, "anna"), Turn(50, 60, "bo"), Turn(120, 130, "anna")))
    duty = Rotation("duty", shifts)
    assert [(since, one.person) for since, one in duties(duty, 0, 140)] == [
        (0, "anna"), (50, "bo"), (60, "anna"), (100, None), (120, "anna"), (130, None),
    ]  # fmt: skip
    (gap,) = gaps(Roster(rotations={"duty": duty}), 0, 140, ZoneInfo("UTC"))
    assert "nobody on duty" in gap[1]


def test_working_hours_end_with_the_day_and_know_holidays() -> None:
    hours = WorkingHours(HERE, time(7), time(16, 30), holidays=frozenset({date(2026, 12, 24)}))
    assert hours.open(at("2026-11-20T07:00"))
    assert not hours.open(at("2026-11-20T16:30"))
    assert not hours.open(at("2026-11-21T12:00")), "a Saturday"
    assert not hours.open(at("2026-12-24T12:00"))
    assert hours.changes_after(at("2026-11-20T12:00")) == at("2026-11-20T16:30")
    assert hours.changes_after(at("2026-11-20T16:30")) == at("2026-11-21T07:00")


# The course of telling


def person(id_: str, *ways: Way) -> Person:
    return Person(id_, id_.title(), "en", ways or (Way((f"{id_}-phone",), frozenset({f"{id_}-phone", "sms"})),))


DISK = "Free disk space, or repair the disk or its mount; Renrum goes on by itself."


def roster(policy: Policy | None = None, **others: object) -> Roster:
    people = {id_: person(id_) for id_ in ("anna", "bo", "qa")}
    policy = policy or Policy("night", (Step(0, ("duty",)), Step(5 * MINUTE, ("qa",))), repeat_ns=10 * MINUTE)
    known: dict[str, object] = {
        "everyone": ("sink",), "people": people, "rotations": {"duty": cycle("anna", "bo")}, "policies": {policy.id: policy},
        "routes": (Route(policy.id),),
    }  # fmt: skip
    return Roster(**(known | others))  # type: ignore[arg-type]


def told(of: Roster, subject: Subject, begun: int, span_ns: int) -> list[tuple[int, str]]:
    """Minutes after the beginning and targets, looked at whenever it is due."""
    course, now, found = None, begun, []
    while now <= begun + span_ns:
        going = go_on(of, subject, course, now)
        found += [((now - begun) // MINUTE, notice.target) for notice in going.notices]
        if going.due is None:
            break
        assert going.due > now
        course, now = going.course, going.due
    return found


def test_steps_then_the_last_one_again() -> None:
    assert told(roster(), HIGH, at("2026-01-06T03:00"), 30 * MINUTE) == [
        (0, "anna-phone"),
        (5, "qa-phone"),
        (15, "qa-phone"),
        (25, "qa-phone"),
    ]


def test_repeats_may_be_counted() -> None:
    policy = Policy("night", (Step(0, ("anna",)),), repeat_ns=MINUTE, times=2)
    assert [minutes for minutes, _ in told(roster(policy), HIGH, at("2026-01-06T03:00"), HOUR)] == [0, 1, 2]


def test_the_duty_is_looked_up_when_the_notice_is_due() -> None:
    policy = Policy("night", (Step(0, ("duty",)), Step(5 * MINUTE, ("duty",))))
    assert told(roster(policy), HIGH, at("2026-01-12T07:57"), HOUR) == [(0, "anna-phone"), (5, "bo-phone")]


def test_after_a_long_silence_each_step_is_told_once() -> None:
    begun = at("2026-01-06T03:00")
    going = go_on(roster(), HIGH, Course("night", begun, 1), begun + 3 * HOUR + MINUTE)
    assert [notice.target for notice in going.notices] == ["qa-phone"]
    assert going.due == begun + 5 * MINUTE + 18 * 10 * MINUTE


def test_a_step_that_reaches_nobody_brings_the_next_one_forward() -> None:
    going = go_on(roster(), HIGH, None, at("2025-06-01T12:00"))
    assert [notice.target for notice in going.notices] == ["qa-phone"]
    assert going.remarks == ("step 1 of night reaches nobody now",)
    assert going.due == at("2025-06-01T12:10")


def test_when_nobody_can_be_reached_everyone_is_told() -> None:
    lonely = roster(people={id_: Person(id_, id_) for id_ in ("anna", "bo", "qa")})
    assert {notice.target for notice in go_on(lonely, HIGH, None, at("2026-01-06T03:00")).notices} == {"sink"}
    assert go_on(roster(everyone=(), routes=(Route("night", (("priority", ("low",)),)),)), HIGH, None, 0).notices != ()


def test_an_alarm_without_a_route_goes_to_everyone_once() -> None:
    routed = roster(routes=(Route("night", (("priority", ("low",)),)),))
    going = go_on(routed, HIGH, None, 1000)
    assert [(notice.person, notice.target) for notice in going.notices] == [("", "sink")]
    assert go_on(routed, HIGH, going.course, 2000).notices == ()


def test_working_hours_end_in_the_middle() -> None:
    hours = WorkingHours(HERE, time(7), time(16, 30))
    day = Policy("day", (Step(0, ("qa",)), Step(10 * MINUTE, ("qa",))))
    night = Policy("night", (Step(0, ("duty",)), Step(10 * MINUTE, ("bo",))))
    both = roster(hours=hours, policies={"day": day, "night": night}, routes=(Route("day", hours="working"), Route("night")))
    assert told(both, HIGH, at("2026-01-06T16:25"), 30 * MINUTE) == [(0, "qa-phone"), (5, "anna-phone"), (15, "bo-phone")]


def test_what_waits_for_working_hours_is_told_when_they_begin() -> None:
    hours = WorkingHours(HERE, time(7), time(16, 30))
    day = Policy("day", (Step(0, ("qa",)),))
    low = roster(hours=hours, policies={"day": day}, routes=(Route("day", hours="working"), Route(NOBODY)))
    assert told(low, HIGH, at("2026-01-06T05:00"), 4 * HOUR) == [(120, "qa-phone")]


def test_a_step_tells_by_each_named_way_else_by_the_first() -> None:
    phone, mail = (
        Way(("phone",), frozenset({"phone", "sms"}), frozenset({"critical", "high"})),
        Way(("mail/x",), frozenset({"mail", "email"})),
    )
    ways = roster(people={"anna": person("anna", phone, mail)}, policies={}, routes=(Route("p"),))

    def by(priority: str, *names: str) -> list[str]:
        policy = Policy("p", (Step(0, ("anna",), names),))
        now = Roster(people=ways.people, policies={"p": policy}, routes=ways.routes)
        return [notice.target for notice in go_on(now, Subject(priority, "action"), None, 0).notices]

    assert by("high") == ["phone"]
    assert by("low") == ["mail/x"]
    assert by("high", "email", "sms") == ["mail/x", "phone"]
    assert by("low", "sms") == ["mail/x"], "rather by another way than not at all"
    anna = ways.people["anna"]
    assert next_way(anna, "high", ["phone"]) == mail
    assert next_way(anna, "low", ["mail/x"]) is None


def test_routes_ask_for_systems_tags_and_rooms_the_first_counts() -> None:
    one, other = Policy("one", (Step(0, ("anna",)),)), Policy("other", (Step(0, ("bo",)),))
    routes = (Route("one", (("room", ("cp*",)), ("system", ("ahu2",)))), Route("other"))
    of = roster(policies={"one": one, "other": other}, routes=routes)

    def policy(subject: Subject) -> str:
        found = of.policy(subject, 0)
        assert found is not None
        return found.id

    assert policy(Subject("high", "action", room="cp1", systems=("ahu1", "ahu2"))) == "one"
    assert policy(Subject("high", "action", room="cp1")) == "other"
    assert policy(Subject("high", "action", room="qc", systems=("ahu2",))) == "other"


def test_one_target_is_told_once_a_step() -> None:
    policy = Policy("p", (Step(0, ("anna", "anna")), Step(0, ("duty",))))
    going = go_on(roster(policy), HIGH, None, at("2026-01-06T03:00"))
    assert going.notices == (Notice(1, "anna", "anna", "anna-phone"),)


# When nothing can be recorded


def test_in_an_emergency_everybody_of_every_step_is_told_by_what_was_known_last() -> None:
    failing = False

    def reader() -> StateStore:
        if failing:
            raise StateUnavailable("full")
        store = StateStore(":memory:")
        store.execute("insert into overrides values (1, 'duty', 0, ?, 'bo', '', '', 'bo', 0)", (at("2026-01-07T00:00"),))
        return store

    reachable = Reachable(roster(), ("sink",), reader)
    assert reachable(at("2026-01-06T03:00")) == ("bo-phone", "qa-phone")
    failing = True
    assert reachable(at("2026-01-06T03:00")) == ("bo-phone", "qa-phone")
    assert reachable(at("2026-01-08T03:00")) == ("anna-phone", "qa-phone")
    lonely = roster(people={})
    assert Reachable(lonely, ("sink",), reader)(at("2026-01-06T03:00")) == ("sink",)
    assert Reachable(Roster(("a", "b")), ("a", "b"), reader)(0) == ("a", "b")


def test_an_emergency_tells_those_who_are_chosen_and_everyone_if_that_fails() -> None:
    told: list[str] = []
    channels = {name: Noted(name, told) for name in ("a", "b")}

    def unknown(_: int) -> tuple[str, ...]:
        raise OSError

    for chosen, expected in ((lambda _: ("b",), ["b"]), (lambda _: ("gone",), ["a", "b"]), (unknown, ["a", "b"])):
        told.clear()
        Emergency(Letterhead("demo", Site("s", "S")), channels, lambda work: work(), chosen=chosen).page("The disk is full.", 10**18)
        assert told == expected


def test_in_an_emergency_each_is_told_in_their_language() -> None:
    pages: list[Page] = []
    anna, bo = (Person(id_, id_, language, (Way((f"{id_}-phone",), frozenset()),)) for id_, language in (("anna", "sv"), ("bo", "en")))
    chosen = roster(people={"anna": anna, "bo": bo})
    channels = {f"{name}-phone": Kept(pages) for name in ("anna", "bo")}
    Emergency(Letterhead("demo", Site("s", "S")), channels, lambda work: work(), language=chosen.language_of).page(JOURNAL, 10**18, DISK)
    swedish, english = (page.text for page in pages)
    assert "Journalen kan inte skrivas." in swedish
    assert "Gör: Frigör diskutrymme" in swedish
    assert "The journal cannot be written." in english
    assert (chosen.language_of("sink"), Roster(language="sv", people={"bo": bo}).language_of("bo-phone")) == ("en", "sv")


def sentences_of(module: ModuleType) -> list[str]:
    """Whole sentences among the strings of a module, but no documentation; what is put into them is x."""
    tree = ast.parse(inspect.getsource(module))
    parts = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for inner in ast.walk(node) if inner is not node}
    parts |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = []
    for node in ast.walk(tree):
        if id(node) not in parts and isinstance(node, ast.JoinedStr):
            found.append("".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values))
        elif id(node) not in parts and isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value.replace("{}", "x"))
    return [text for text in found if re.fullmatch(r"[A-Z`].{20,}[.]", text)]


def test_every_sentence_of_an_emergency_is_there_in_swedish() -> None:
    sentences = [text for module in (watch, nightly, undelivered, watching) for text in sentences_of(module)]
    assert len(sentences) >= len(SWEDISH)
    assert [text for text in sentences if said(text, "sv") == text] == []
    assert [text for text in sentences if said(text, "en") != text] == []
    assert said(watch.ENDED.format("http"), "sv").endswith(": http. Det den gör blir inte gjort förrän tjänsten startas om.")


@dataclass(frozen=True)
class Kept:
    pages: list[Page]

    def send(self, page: Page) -> None:
        self.pages.append(page)


@dataclass(frozen=True)
class Noted:
    name: str
    told: list[str]

    def send(self, page: Page) -> None:
        self.told.append(self.name)
