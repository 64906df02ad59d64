"""oncall.yaml's people, teams, rotations, policies and routes: all mistakes at once; calendars as others export them."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from alerts.duty.feed import read_feed
from alerts.duty.load import Limits
from alerts.duty.oncall import OnCall, read_oncall, read_roster
from alerts.duty.rotation import Shifts, who
from facility.files import Files
from facility.problems import Problem
from facility.times import parse_time
from service.cli.schema import schema_of
from tests.test_duty import HERE

CHANNELS = "channels:\n  sms: {kind: local, file: sms}\n  mail: {kind: email, host: h, from: em@x.se}\n"
PEOPLE = "people:\n  - {id: anna, name: Anna Berg, reach: [sms, {email: a@x.se}]}\n  - {id: bo, name: Bo Lind, reach: [{email: b@x.se}]}\n"
WHOLE = (
    CHANNELS + PEOPLE + "teams: {all: [anna, bo]}\n"
    "rotations:\n"
    '  duty: {members: [anna, bo], start: 2026-01-05, handover: "Mon 08:00", length: 7d, timezone: Europe/Stockholm}\n'
    "  shifts: {ics: shifts.ics}\n"
    "overrides:\n"
    '  - {rotation: duty, from: "2026-12-24T08:00", to: "2026-12-26T08:00+02:00", person: bo, instead_of: anna, reason: Yule}\n'
    'working_hours: {from: "07:00", to: "16:30", days: [Mon, Tue], holidays: [2026-12-24], holidays_ics: red.ics}\n'
    "policies:\n"
    "  night: {steps: [{to: duty, by: [sms, email]}, {after: 5m, to: [all, shifts]}], repeat: 15m, times: 3, until: returned}\n"
    "routes:\n"
    "  - {priority: [critical, high], room: cp*, hours: working, policy: night}\n"
    "  - {policy: nobody}\n"
    'test: {to: duty, at: "Mon 09:00", every: 14d, within: 15m}\n'
)
CALENDAR = """BEGIN:VCALENDAR\r
BEGIN:VEVENT\r
DTSTART;TZID=Europe/Stockholm:20260105T080000\r
DTEND:20260106T070000Z\r
SUMMARY:On Call - Anna\r
  Berg - site\r
END:VEVENT\r
BEGIN:VEVENT\r
DTSTART:20260106T080000\r
DURATION:PT12H\r
ATTENDEE;CN="B: Lind";ROLE=REQ-PARTICIPANT:mailto:B@x.se\r
SUMMARY:shift\r
END:VEVENT\r
BEGIN:VEVENT\r
DTSTART:20260107T080000\r
DTEND:20260107T090000\r
STATUS:CANCELLED\r
SUMMARY:nobody we know\r
END:VEVENT\r
END:VCALENDAR\r
"""
HOLIDAYS = """BEGIN:VCALENDAR
BEGIN:VEVENT
DTSTART;VALUE=DATE:20261225
DTEND;VALUE=DATE:20261227
SUMMARY:Jul
END:VEVENT
END:VCALENDAR
"""
FILES = {"shifts.ics": CALENDAR, "red.ics": HOLIDAYS}


def read(text: str, **files: str) -> tuple[OnCall, list[Problem]]:
    texts = {"oncall.yaml": text, **{name.replace("_", "."): body for name, body in files.items()}}
    found, problems, _ = read_oncall(
        Files(Path("/nowhere"), texts), "oncall.yaml", {}, "Europe/Stockholm", {"room": ["cp1"], "system": ["ahu1"]}
    )
    return found, sorted(problems)


def test_a_whole_file_becomes_a_roster() -> None:
    oncall, problems = read(WHOLE, shifts_ics=CALENDAR, red_ics=HOLIDAYS)
    assert problems == []
    roster = oncall.roster
    assert roster.chooses
    assert oncall.everyone == ("sms",)
    assert set(oncall.channels) == {"sms", "mail/a@x.se", "mail/b@x.se"}
    assert who(roster.rotations["duty"], parse_time("2026-12-24T12:00:00Z"), roster.overrides).person == "bo"
    assert roster.overrides[0].end == parse_time("2026-12-26T06:00:00Z")
    assert roster.hours is not None
    assert roster.hours.holidays == {date(2026, 12, day) for day in (24, 25, 26)}
    assert roster.test is not None
    assert roster.test.names == ("duty",)
    assert roster.test.times.turn(parse_time("2026-11-26T00:00:00Z")).start == parse_time("2026-11-23T08:00:00Z")
    night = roster.policies["night"]
    assert (night.steps[1].after_ns, night.repeat_ns, night.times, night.until_returned) == (5 * 60 * 10**9, 15 * 60 * 10**9, 3, True)


def test_what_the_journal_keeps_gives_the_same_roster_without_secrets() -> None:
    oncall, _ = read(WHOLE, shifts_ics=CALENDAR, red_ics=HOLIDAYS)
    kept = Files(texts={"oncall.yaml": WHOLE, **FILES})
    assert read_roster(kept, "oncall.yaml", oncall.everyone, "Europe/Stockholm") == oncall.roster


def test_limits_of_floods_and_chattering_are_the_standards_unless_given() -> None:
    plain, _ = read(CHANNELS + PEOPLE)
    assert (plain.roster.limits, plain.roster.plain) == (Limits(), True)
    given = CHANNELS + PEOPLE + "floods: {begin_above: 6, end_below: 3, within: 5m}\nchattering: {times: 4, within: 2m}\n"
    own, problems = read(given)
    assert problems == []
    assert own.roster.limits == Limits(4, 120 * 10**9, 6, 3, 300 * 10**9)
    assert not own.roster.plain, "the journal keeps where they stand"
    jsonschema.validate(json.loads(json.dumps(YAML(typ="safe").load(given), default=str)), schema_of("oncall"))
    _, problems = read(CHANNELS + PEOPLE + "floods: {begin_above: 3, end_below: 9, within: 2d}\nchattering: {times: 1, within: 0s}\n")
    assert [problem.key for problem in problems] == ["floods.end_below", "floods.within", "chattering.times", "chattering.within"]


def test_the_schema_takes_the_whole_file() -> None:
    jsonschema.validate(json.loads(json.dumps(YAML(typ="safe").load(WHOLE), default=str)), schema_of("oncall"))


def test_everything_that_is_wrong_with_the_duty_is_said_at_once() -> None:
    _, problems = read(
        CHANNELS + PEOPLE + "teams: {duty: [anna, bosse]}\n"  # 7
        "rotations:\n"
        '  duty: {members: [anna], start: 2026-01-06, handover: "Mon 08:00", length: 3d}\n'  # 9
        "  a: {members: [ana], start: 2026-13-01, handover: noon, timezone: Mars}\n"
        "  b: {members: [anna]}\n"
        "  c: {ics: https://x/y.ics, members: [anna]}\n"
        "  d: {ics: nix.ics}\n"
        "overrides:\n"
        "  - {rotation: dutty, from: 2026-01-02, to: 2026-01-01, person: x}\n"  # 15
        'working_hours: {from: "17:00", to: "07:00", days: [mon]}\n'
        "policies:\n"
        "  nobody: {steps: [{to: bo}]}\n"
        "  p: {steps: [{after: 5m, to: [anna, z]}, {after: 1m, to: bo, by: fax}], times: 2}\n"  # 19
        "  q: {steps: []}\n"
        "routes:\n"
        "  - {policy: pp, priority: [hgh], room: xx, hours: never}\n"  # 22
    )
    found = [(problem.line, problem.key) for problem in problems]
    assert found == [
        (7, "teams.duty[1]"), (9, "rotations.duty"), (9, "rotations.duty.length"), (9, "rotations.duty.start"),
        (10, "rotations.a.handover"), (10, "rotations.a.members[0]"), (10, "rotations.a.start"), (10, "rotations.a.timezone"),
        (11, "rotations.b"), (11, "rotations.b"), (12, "rotations.c.ics"), (12, "rotations.c.members"), (13, "rotations.d.ics"),
        (15, "overrides[0].person"), (15, "overrides[0].rotation"), (15, "overrides[0].to"),
        (16, "working_hours.days[0]"), (16, "working_hours.to"), (18, "policies.nobody"),
        (19, "policies.p.steps[0].to[1]"), (19, "policies.p.steps[1].after"), (19, "policies.p.steps[1].by"), (19, "policies.p.times"),
        (20, "policies.q.steps"), (22, "routes[0].hours"), (22, "routes[0].policy"), (22, "routes[0].priority[0]"), (22, "routes[0].room"),
    ]  # fmt: skip
    by_key = {problem.key: problem for problem in problems}
    assert by_key["overrides[0].rotation"].hint == "Did you mean duty?"
    assert by_key["rotations.duty.start"].found == "2026-01-06, a Tue"
    assert "cron" in by_key["rotations.c.ics"].hint


def test_policies_without_routes_choose_nobody_and_are_refused() -> None:
    _, problems = read(CHANNELS + PEOPLE + "policies: {p: {steps: [{to: bo}]}}\n")
    assert [problem.key for problem in problems] == ["policies"]


def test_a_mail_channel_that_sends_to_nobody_is_refused() -> None:
    _, problems = read(CHANNELS)
    assert [problem.key for problem in problems] == ["channels.mail"]


@pytest.mark.parametrize(
    "way",
    ["[x]", "{}", "{mail: a@b}", "{email: a}", "{channel: 3}", "{email: a@b, for: urgent}", "{channel: nix}", "{channel: sms, email: a@b}"],
)
def test_a_way_that_means_nothing_is_refused(way: str) -> None:
    _, problems = read(CHANNELS + f"people: [{{id: anna, reach: [{way}, {{email: a@x.se}}]}}]\n")
    assert [problem.key for problem in problems] == ["people[0].reach[0]"]


def test_shifts_of_a_calendar_are_those_whom_its_events_name() -> None:
    oncall, _ = read(WHOLE, shifts_ics=CALENDAR, red_ics=HOLIDAYS)
    turns = oncall.roster.rotations["shifts"].turns
    assert isinstance(turns, Shifts)
    assert [(turn.person, turn.end - turn.start) for turn in turns.listed] == [("anna", 24 * 3600 * 10**9), ("bo", 12 * 3600 * 10**9)]
    assert turns.listed[0].start == parse_time("2026-01-05T07:00:00Z")


@pytest.mark.parametrize(
    ("event", "key"),
    [
        ("DTSTART:20260105T080000\nRRULE:FREQ=HOURLY\nSUMMARY:Anna Berg", "RRULE"),
        ("DTSTART:20260105T080000\nRRULE:FREQ=WEEKLY;BYDAY=YO\nSUMMARY:Anna Berg", "RRULE"),
        ("DTSTART:20260105T080000\nRRULE:FREQ=DAILY;INTERVAL=0\nSUMMARY:Anna Berg", "RRULE"),
        ("DTSTART:20260105T080000\nRRULE:FREQ=WEEKLY;INTERVAL=-1\nSUMMARY:Anna Berg", "RRULE"),
        ("DTSTART:20260105T080000\nRRULE:FREQ=DAILY;COUNT=0\nSUMMARY:Anna Berg", "RRULE"),
        ("DTSTART:20260105T080000\nRRULE:FREQ=MONTHLY;BYMONTHDAY=0\nSUMMARY:Anna Berg", "RRULE"),
        ("DTSTART:20260105T080000\nRRULE:FREQ=DAILY;BYEASTER=1000\nSUMMARY:Anna Berg", "RRULE"),
        ("DTSTART:20260105T080000\nRRULE:FREQ=MONTHLY;BYDAY=54MO\nSUMMARY:Anna Berg", "RRULE"),
        ("DTSTART:20260105T080000\nDTEND:99991231T080000\nRRULE:FREQ=WEEKLY\nSUMMARY:Anna Berg", "RRULE"),
        ("DTSTART:20260105T080000\nDTEND:20260104T080000\nRRULE:FREQ=WEEKLY\nSUMMARY:Anna Berg", "RRULE"),
        ("DTSTART:20260105T080000\nRRULE:FREQ=WEEKLY\nEXDATE:soon\nSUMMARY:Anna Berg", "EXDATE"),
        ("DTSTART:20260105T080000\nRECURRENCE-ID;RANGE=THISANDFUTURE:20260105T080000\nSUMMARY:Anna Berg", "RECURRENCE-ID"),
        ("SUMMARY:Anna Berg", "DTSTART"),
        ("DTSTART:2026-01-05\nSUMMARY:Anna Berg", "DTSTART"),
        ("DTSTART;TZID=W. Europe Standard Time:20260105T080000\nSUMMARY:Anna Berg", "DTSTART"),
        ("DTSTART:20260105T080000\nDURATION:soon\nSUMMARY:Anna Berg", "DURATION"),
        ("DTSTART;VALUE=DATE:20260105\nDTEND:20260105T090000Z\nSUMMARY:Anna Berg", "DTEND"),
        ("DTSTART:20260105T080000\nDTEND:20260105T090000\nSUMMARY:Doris", "SUMMARY"),
        ("DTSTART:20260105T080000\nDTEND:20260105T090000\nSUMMARY:Anna Berg or Bo Lind", "SUMMARY"),
    ],
)
def test_an_event_that_cannot_be_understood_is_named_with_its_line(event: str, key: str) -> None:
    _, problems = read(WHOLE, shifts_ics=f"BEGIN:VCALENDAR\nBEGIN:VEVENT\n{event}\nEND:VEVENT\nEND:VCALENDAR\n", red_ics=HOLIDAYS)
    assert [(problem.file, problem.key) for problem in problems] == [("/nowhere/shifts.ics", key)]
    assert problems[0].line >= 2


def test_what_is_no_calendar_is_refused() -> None:
    assert read_feed("x.ics", "<html>sign in</html>", HERE)[1][0].allowed.startswith("an iCalendar file")


def test_a_calendar_that_was_cut_off_is_refused() -> None:
    problem = read_feed("x.ics", CALENDAR[: len(CALENDAR) // 2], HERE)[1][-1]
    assert (problem.found, problem.hint) == ("a text that ends without END:VCALENDAR", "It was cut off: fetch it again.")
