"""Events of an iCalendar file (RFC 5545): shifts and holidays as other programs export them, each event by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from alerts.duty.calendar import moment
from facility.document import shown
from facility.problems import Problem

REPEATS = "Export every event by itself, or write the rotation as members, start, handover and length."
TIMES = "a time such as 20261224T080000Z, TZID=Europe/Stockholm:20261224T080000 or VALUE=DATE:20261224"
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?", re.ASCII)
_SPAN = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Event:
    """One event from `start` to `end` (int ns UTC), `days` where it is of whole days; `line` is where it begins in the file."""

    start: int
    end: int
    days: tuple[date, ...]
    summary: str
    addresses: tuple[str, ...]
    line: int


def read_feed(file: str, text: str, zone: ZoneInfo) -> tuple[list[Event], list[Problem]]:
    """The events of a calendar, and what cannot be understood; a time without a zone is one of `zone`."""
    events: list[Event] = []
    problems: list[Problem] = []
    begun: int | None = None
    lines: list[tuple[int, str, dict[str, str], str]] = []
    if "BEGIN:VCALENDAR" not in text[:1000].upper():
        return [], [Problem(file, 1, "", "a text without BEGIN:VCALENDAR", "an iCalendar file (.ics)")]
    for number, name, parameters, value in _lines(text):
        if (name, value.upper()) == ("BEGIN", "VEVENT"):
            begun, lines = number, []
        elif (name, value.upper()) == ("END", "VEVENT") and begun is not None:
            try:
                event = _event(begun, lines, zone)
                events += [] if event is None else [event]
            except _Odd as odd:
                problems.append(Problem(file, odd.line, odd.key, odd.found, odd.allowed, odd.hint))
            begun = None
        elif begun is not None:
            lines.append((number, name, parameters, value))
    return sorted(events, key=lambda event: (event.start, event.end)), problems


class _Odd(Exception):
    def __init__(self, line: int, key: str, found: str, allowed: str, hint: str = "") -> None:
        super().__init__(found)
        self.line, self.key, self.found, self.allowed, self.hint = line, key, found, allowed, hint


def _lines(text: str) -> Iterator[tuple[int, str, dict[str, str], str]]:
    """Each content line: its number, name, parameters and value; folded ones made whole."""
    whole: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line[:1] in (" ", "\t") and whole:
            whole[-1] = (whole[-1][0], whole[-1][1] + line[1:])
        else:
            whole.append((number, line))
    for number, line in whole:
        head, colon, value = _parted(line)
        if colon:
            name, *rest = head.split(";")
            parameters = dict(part.split("=", 1) for part in rest if "=" in part)
            yield number, name.strip().upper(), {key.upper(): given.strip('"') for key, given in parameters.items()}, value.strip()


def _parted(line: str) -> tuple[str, str, str]:
    """Name with parameters, and value: parted by the first colon that is in no quotes."""
    quoted = False
    for at, letter in enumerate(line):
        quoted ^= letter == '"'
        if letter == ":" and not quoted:
            return line[:at], ":", line[at + 1 :]
    return line, "", ""


def _event(begun: int, lines: list[tuple[int, str, dict[str, str], str]], zone: ZoneInfo) -> Event | None:
    given = {name: (number, parameters, value) for number, name, parameters, value in reversed(lines)}
    if given.get("STATUS", (0, {}, ""))[2].upper() == "CANCELLED":
        return None
    for key in ("RRULE", "RDATE"):
        if key in given:
            raise _Odd(given[key][0], key, f"an event that repeats, {shown(given[key][2])}", "events that are listed one by one", REPEATS)
    if "DTSTART" not in given:
        raise _Odd(begun, "DTSTART", "an event without it", "events with a start")
    start = _time("DTSTART", *given["DTSTART"], zone)
    if "DTEND" in given:
        end = _time("DTEND", *given["DTEND"], zone)
    else:
        end = start + (_span(*given["DURATION"]) if "DURATION" in given else timedelta(days=0 if isinstance(start, datetime) else 1))
    if isinstance(start, datetime) != isinstance(end, datetime):
        raise _Odd(begun, "DTEND", "a day and a time", "both of one kind")
    addresses = tuple(
        value[7:].lower() for _, name, _, value in lines if name in ("ATTENDEE", "ORGANIZER") and value.lower()[:7] == "mailto:"
    )
    days = () if isinstance(start, datetime) else tuple(start + timedelta(days=number) for number in range((end - start).days))
    summary = re.sub(r"\\([\\;,])", r"\1", given.get("SUMMARY", (0, {}, ""))[2])
    return Event(_at(start, zone), _at(end, zone), days, summary, addresses, begun)


def _time(key: str, line: int, parameters: dict[str, str], text: str, zone: ZoneInfo) -> date:
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        year, month, day, hour, minute, second = (int(part) if part else 0 for part in match.groups()[:6])
        if match[4] is None:
            return date(year, month, day)
        local = datetime(year, month, day, hour, minute, second)
    except ValueError:
        raise _Odd(line, key, shown(text), TIMES) from None
    if match[7]:
        return local.replace(tzinfo=ZoneInfo("UTC"))
    if not (name := parameters.get("TZID")):
        return local
    try:
        return local.replace(tzinfo=ZoneInfo(name.removeprefix("/")))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = "Export the calendar with times in UTC."
        raise _Odd(line, key, f"the time zone {shown(name)}", "a name such as Europe/Stockholm", hint) from None


def _span(line: int, parameters: dict[str, str], text: str) -> timedelta:
    match = _SPAN.fullmatch(text)
    if match is None or not any(match.groups()):
        raise _Odd(line, "DURATION", shown(text), "a duration such as PT12H or P7D")
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(days=days + 7 * weeks, hours=hours, minutes=minutes, seconds=seconds)


def _at(when: date, zone: ZoneInfo) -> int:
    if not isinstance(when, datetime):
        return moment(datetime(when.year, when.month, when.day), zone)
    own = when.tzinfo if isinstance(when.tzinfo, ZoneInfo) else zone
    return moment(when.replace(tzinfo=None), own)
