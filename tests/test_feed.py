"""alerts/duty/feed.py, recurrence.py: calendars as Google and Outlook write them; shifts that repeat, for as long as anybody asks."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.duty.calendar import shown
from alerts.duty.feed import read_feed
from alerts.duty.oncall import read_oncall
from alerts.duty.recurrence import Repeats, rule_of
from alerts.duty.rotation import Cycle, Rotation, Shifts, who
from facility.files import Files
from facility.times import parse_time

HERE = ZoneInfo("Europe/Stockholm")
HOUR_NS = 3600 * 10**9
ONCALL = """
channels: {sms: {kind: local, file: sms}}
people:
  - {id: anna, name: Anna Berg, reach: [sms]}
  - {id: bo, name: Bo Lind, reach: [sms]}
rotations: {duty: {ics: duty.ics}}
working_hours: {from: "08:00", to: "17:00", holidays_ics: red.ics}
policies: {p: {steps: [{to: duty}], repeat: 10m}}
routes: [{policy: p}]
"""
RED = """BEGIN:VCALENDAR
BEGIN:VEVENT
UID:jul
DTSTART;VALUE=DATE:20201225
DTEND;VALUE=DATE:20201227
RRULE:FREQ=YEARLY
SUMMARY:Christmas
END:VEVENT
END:VCALENDAR
"""
GOOGLE = """BEGIN:VCALENDAR
PRODID:-//Google Inc//Google Calendar 70.9054//EN
VERSION:2.0
CALSCALE:GREGORIAN
METHOD:PUBLISH
X-WR-CALNAME:Facility on call
X-WR-TIMEZONE:Europe/Stockholm
BEGIN:VTIMEZONE
TZID:Europe/Stockholm
X-LIC-LOCATION:Europe/Stockholm
BEGIN:DAYLIGHT
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
TZNAME:CEST
DTSTART:19700329T020000
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
END:DAYLIGHT
BEGIN:STANDARD
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
TZNAME:CET
DTSTART:19701025T030000
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
END:STANDARD
END:VTIMEZONE
BEGIN:VEVENT
DTSTART;TZID=Europe/Stockholm:20260105T080000
DTEND;TZID=Europe/Stockholm:20260112T080000
RRULE:FREQ=WEEKLY;WKST=MO;INTERVAL=2;BYDAY=MO
EXDATE;TZID=Europe/Stockholm:20260216T080000
DTSTAMP:20251120T101112Z
UID:a1b2@google.com
CREATED:20251101T090000Z
LAST-MODIFIED:20251119T133700Z
SEQUENCE:2
STATUS:CONFIRMED
SUMMARY:On call: Anna Berg
TRANSP:OPAQUE
BEGIN:VALARM
ACTION:DISPLAY
TRIGGER:-P0DT0H30M0S
DURATION:PT5M
DESCRIPTION:This is an event reminder
END:VALARM
END:VEVENT
BEGIN:VEVENT
DTSTART;TZID=Europe/Stockholm:20260303T080000
DTEND;TZID=Europe/Stockholm:20260309T080000
DTSTAMP:20251120T101112Z
UID:a1b2@google.com
RECURRENCE-ID;TZID=Europe/Stockholm:20260302T080000
SEQUENCE:3
STATUS:CONFIRMED
SUMMARY:On call: Anna Berg
END:VEVENT
BEGIN:VEVENT
DTSTART;TZID=Europe/Stockholm:20260112T080000
DTEND;TZID=Europe/Stockholm:20260119T080000
RRULE:FREQ=WEEKLY;UNTIL=20261231T225959Z;INTERVAL=2;BYDAY=MO
DTSTAMP:20251120T101112Z
UID:c3d4@google.com
STATUS:CONFIRMED
SUMMARY:On call: Bo Lind
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n")
OUTLOOK = """BEGIN:VCALENDAR
PRODID:-//Microsoft Corporation//Outlook 16.0 MIMEDIR//EN
VERSION:2.0
METHOD:PUBLISH
X-CALSTART:20260105T070000Z
X-WR-RELCALID:{0000002E-6F1C-4F0D}
X-WR-CALNAME:Jour
BEGIN:VTIMEZONE
TZID:W. Europe Standard Time
BEGIN:STANDARD
DTSTART:16011028T030000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010325T020000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
END:DAYLIGHT
END:VTIMEZONE
BEGIN:VEVENT
CLASS:PUBLIC
CREATED:20251120T101112Z
DTEND;TZID="W. Europe Standard Time":20260106T080000
DTSTAMP:20251120T101112Z
DTSTART;TZID="W. Europe Standard Time":20260105T200000
EXDATE;TZID="W. Europe Standard Time":20260107T200000,20260108T200
\t000
RRULE:FREQ=DAILY;COUNT=200
PRIORITY:5
SEQUENCE:0
SUMMARY;LANGUAGE=sv:Anna Berg
UID:040000008200E00074C5B7101A82E008
X-MICROSOFT-CDO-BUSYSTATUS:BUSY
END:VEVENT
BEGIN:VEVENT
DTSTART;TZID="W. Europe Standard Time":20260110T200000
DTEND;TZID="W. Europe Standard Time":20260111T080000
RECURRENCE-ID;TZID="W. Europe Standard Time":20260110T200000
SUMMARY;LANGUAGE=sv:Bo Lind
UID:040000008200E00074C5B7101A82E008
END:VEVENT
BEGIN:VEVENT
RECURRENCE-ID;TZID="W. Europe Standard Time":20260111T200000
DTSTART;TZID="W. Europe Standard Time":20260111T200000
DTEND;TZID="W. Europe Standard Time":20260112T080000
STATUS:CANCELLED
SUMMARY;LANGUAGE=sv:Avbokad
UID:040000008200E00074C5B7101A82E008
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n")


def rotation(ics: str) -> Rotation:
    oncall, problems, _ = read_oncall(Files(Path("/nowhere"), {"o.yaml": ONCALL, "duty.ics": ics, "red.ics": RED}), "o.yaml", {}, HERE.key)
    assert problems == []
    return oncall.roster.rotations["duty"]


def on_duty(duty: Rotation, local: str) -> str | None:
    return who(duty, parse_time(f"{local}:00", HERE)).person


@pytest.mark.parametrize(
    ("local", "person"),
    [
        ("2026-01-05T07:59", None),
        ("2026-01-05T08:00", "anna"),
        ("2026-01-12T07:59", "anna"),
        ("2026-01-12T08:00", "bo"),
        ("2026-02-18T12:00", None),  # EXDATE
        ("2026-03-02T12:00", None),  # moved to the day after
        ("2026-03-03T08:00", "anna"),
        ("2026-03-30T07:59", "bo"),  # the clocks were changed on the 29th: the hand-over is at 08:00 by them
        ("2026-03-30T08:00", "anna"),
        ("2026-10-26T07:59", "bo"),
        ("2026-10-26T08:00", "anna"),
        ("2026-12-29T12:00", "bo"),  # the last one before UNTIL
        ("2027-01-11T12:00", None),
        ("2061-02-01T12:00", "anna"),  # no end is no end
    ],
)
def test_a_calendar_as_google_writes_it(local: str, person: str | None) -> None:
    assert on_duty(rotation(GOOGLE), local) == person


@pytest.mark.parametrize(
    ("local", "person"),
    [
        ("2026-01-05T20:00", "anna"),
        ("2026-01-06T08:00", None),
        ("2026-01-06T21:00", "anna"),
        ("2026-01-07T21:00", None),  # EXDATE, both of one folded line
        ("2026-01-08T21:00", None),
        ("2026-01-10T21:00", "bo"),  # another takes this one
        ("2026-01-11T21:00", None),  # cancelled
        ("2026-07-01T19:59", None),  # summer time by the file's own description of its zone
        ("2026-07-01T20:00", "anna"),
        ("2026-07-02T07:59", "anna"),
        ("2026-07-23T21:00", "anna"),  # the 200th
        ("2026-07-24T21:00", None),
    ],
)
def test_a_calendar_as_outlook_writes_it(local: str, person: str | None) -> None:
    assert on_duty(rotation(OUTLOOK), local) == person


@pytest.mark.parametrize(
    ("text", "odd"),
    [("TZOFFSETTO:+0100", "TZOFFSETTO:+999999999999999999"), ("FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3", "FREQ=YEARLY;INTERVAL=0")],
)
def test_a_zone_that_cannot_be_understood_is_named_where_it_is_asked_for(text: str, odd: str) -> None:
    assert text in OUTLOOK
    events, problems = read_feed("f", OUTLOOK.replace(text, odd), HERE)
    assert events == []
    assert {problem.found for problem in problems} == {"the time zone 'W. Europe Standard Time'"}


def test_holidays_that_come_every_year() -> None:
    oncall, problems, _ = read_oncall(Files(Path("/x"), {"o.yaml": ONCALL, "duty.ics": GOOGLE, "red.ics": RED}), "o.yaml", {}, HERE.key)
    assert problems == []
    hours = oncall.roster.hours
    assert hours is not None
    assert {date(year, 12, day) for year in (2020, 2026, 2099) for day in (25, 26)} <= hours.holidays
    assert date(2019, 12, 25) not in hours.holidays
    assert date(2026, 12, 27) not in hours.holidays


def test_the_same_file_is_the_same_roster() -> None:
    assert rotation(GOOGLE) == rotation(GOOGLE)


def test_further_dates_and_a_day_that_stands_for_its_event() -> None:
    ics = (
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nDTSTART;TZID=Europe/Stockholm:20260105T080000\nDURATION:PT12H\nSUMMARY:Anna Berg\n"
        "RDATE;TZID=Europe/Stockholm:20260108T080000,20260109T080000\nRDATE:20260114T090000Z\nEXDATE;VALUE=DATE:20260109\n"
        "END:VEVENT\nEND:VCALENDAR\n"
    )
    [event], problems = read_feed("f", ics, HERE)
    assert problems == []
    assert event.repeats is not None
    starts = [f"{start:%d %H:%M}" for start in event.repeats.until(datetime(2027, 1, 1))]
    assert starts == ["05 08:00", "08 08:00", "14 10:00"]


def test_the_last_moment_there_is_is_no_end() -> None:
    repeats = Repeats(datetime(2026, 1, 5, 8), timedelta(hours=12), HERE, (rule_of("FREQ=DAILY;UNTIL=99991231T235959Z", HERE),))
    assert Shifts((), ((repeats, "anna"),)).turn(parse_time("2060-01-05T08:00:00Z")).person == "anna"


def test_an_end_that_is_a_day_has_all_of_that_day() -> None:
    ics = (
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;TZID=Europe/Stockholm:20260105T080000\nDURATION:PT12H\nSUMMARY:Anna Berg\n"
        "RRULE:FREQ=DAILY;UNTIL=20260107\nEND:VEVENT\nEND:VCALENDAR\n"
    )
    [event], _ = read_feed("f", ics, HERE)
    assert event.repeats is not None
    assert [start.day for start in event.repeats.until(datetime(2027, 1, 1))] == [5, 6, 7]


@given(
    minutes=st.integers(0, 2 * 366 * 24 * 60),
    zone=st.sampled_from(["Europe/Stockholm", "America/New_York", "Australia/Lord_Howe", "UTC"]),
    days=st.sampled_from([1, 2, 7, 14]),
    hour=st.sampled_from([0, 2, 3, 8, 23]),
)
def test_what_repeats_without_an_end_is_what_a_rotation_of_that_length_is(minutes: int, zone: str, days: int, hour: int) -> None:
    """Whatever the clocks do meanwhile."""
    here = ZoneInfo(zone)
    start = datetime(2026, 1, 5, hour)
    repeats = Repeats(start, timedelta(days=days), here, (f"FREQ=DAILY;INTERVAL={days}",))
    cycle = Cycle(("anna",), start, timedelta(days=days), here)
    at = parse_time("2026-01-06T12:00:00Z") + minutes * 60 * 10**9
    assert Shifts((), ((repeats, "anna"),)).turn(at) == cycle.turn(at), shown(at, here)
