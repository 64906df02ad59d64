"""Events of an iCalendar file (RFC 5545): shifts and holidays as other programs export them, also such that repeat."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil.tz import tzical

from alerts.duty.calendar import moment
from alerts.duty.recurrence import FREQUENCIES, Repeats, rule_of
from facility.document import shown
from facility.problems import Problem

TIMES = "a time such as 20261224T080000Z, TZID=Europe/Stockholm:20261224T080000 or VALUE=DATE:20261224"
RULES = f"a rule such as FREQ=WEEKLY;BYDAY=MO, of {', '.join(FREQUENCIES)}"
LONGEST = timedelta(days=366)
"""Of an event that repeats."""
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?", re.ASCII)
_SPAN = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.ASCII)
_RULE = re.compile(r"^RRULE:(.*)$", re.MULTILINE | re.IGNORECASE)
_ZONE = re.compile(r"^BEGIN:VTIMEZONE$.*?^END:VTIMEZONE$", re.DOTALL | re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Event:
    """One event from `start` to `end` (int ns UTC), `days` where it is of whole days; `line` is where it begins in the file.

    One that `repeats` begins so first.
    """

    start: int
    end: int
    days: tuple[date, ...]
    summary: str
    addresses: tuple[str, ...]
    line: int
    repeats: Repeats | None = None


@dataclass(frozen=True, slots=True)
class _Line:
    """A content line: the number of its first line, its name, parameters and value."""

    number: int
    name: str
    parameters: dict[str, str]
    value: str


@dataclass(frozen=True, slots=True)
class _Zones:
    """Time zones by the names that a file has for them: those of the world, else as the file itself says; `here` where it says none."""

    here: ZoneInfo
    own: dict[str, tzinfo]

    def named(self, line: _Line) -> tzinfo:
        name = line.parameters.get("TZID", "")
        if not name:
            return self.here
        try:
            return ZoneInfo(name.removeprefix("/"))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
        if name in self.own:
            return self.own[name]
        hint = "Export the calendar with times in UTC, or with its VTIMEZONE."
        raise _Odd(line.number, line.name, f"the time zone {shown(name)}", "a name such as Europe/Stockholm", hint)


def read_feed(file: str, text: str, zone: ZoneInfo) -> tuple[list[Event], list[Problem]]:
    """The events of a calendar, and what cannot be understood; a time without a zone is one of `zone`."""
    if "BEGIN:VCALENDAR" not in text[:1000].upper():
        return [], [Problem(file, 1, "", "a text without BEGIN:VCALENDAR", "an iCalendar file (.ics)")]
    events: list[Event] = []
    problems: list[Problem] = []
    if "END:VCALENDAR" not in text.upper():
        found = "a text that ends without END:VCALENDAR"
        problems.append(Problem(file, text.count("\n") + 1, "", found, "a whole iCalendar file (.ics)", "It was cut off: fetch it again."))
    moved: dict[str, list[datetime]] = {}
    named: list[tuple[str, Event]] = []
    zones = _Zones(zone, _zones_of(text))
    for begun, lines in _blocks(text):
        try:
            given = {line.name: line for line in reversed(lines)}
            uid = given["UID"].value if "UID" in given else ""
            if "RECURRENCE-ID" in given:
                moved.setdefault(uid, []).append(_moved(given["RECURRENCE-ID"], zones))
            if "STATUS" in given and given["STATUS"].value.upper() == "CANCELLED":
                continue
            named.append((uid if "RECURRENCE-ID" not in given else "", _event(begun, lines, given, zones)))
        except _Odd as odd:
            problems.append(Problem(file, odd.line, odd.key, odd.found, odd.allowed, odd.hint))
    for uid, event in named:
        if event.repeats is not None and uid in moved:  # those that were moved or cancelled stand for themselves
            own = event.repeats
            gone = tuple(when.astimezone(own.zone).replace(tzinfo=None) for when in moved[uid])
            event = replace(event, repeats=replace(own, without=(*own.without, *gone)))
        events.append(event)
    return sorted(events, key=lambda event: (event.start, event.end)), problems


def _blocks(text: str) -> Iterator[tuple[int, list[_Line]]]:
    """The events: where each begins, and its lines, without those of what is inside (alarms)."""
    begun: int | None = None
    lines: list[_Line] = []
    inner = ""
    for line in _lines(text):
        if begun is not None and (inner or line.name == "BEGIN"):
            inner = "" if inner and (line.name, line.value) == ("END", inner) else inner or line.value
        elif (line.name, line.value.upper()) == ("BEGIN", "VEVENT"):
            begun, lines = line.number, []
        elif (line.name, line.value.upper()) == ("END", "VEVENT") and begun is not None:
            yield begun, lines
            begun = None
        elif begun is not None:
            lines.append(line)


def _zones_of(text: str) -> dict[str, tzinfo]:
    """The zones that the file describes, by name; one that cannot be understood is left out."""
    unfolded = re.sub(r"\r?\n[ \t]", "", text).replace("\r\n", "\n")
    found: dict[str, tzinfo] = {}
    for block in _ZONE.findall(unfolded):
        try:
            for rule in _RULE.findall(block):
                rule_of(rule.strip(), UTC)
            described = tzical(io.StringIO(block))
            found |= {str(name): described.get(name) for name in described.keys()}  # noqa: SIM118 - no mapping
        except (ValueError, KeyError, TypeError, OverflowError):
            continue
    return found


class _Odd(Exception):
    def __init__(self, line: int, key: str, found: str, allowed: str, hint: str = "") -> None:
        super().__init__(found)
        self.line, self.key, self.found, self.allowed, self.hint = line, key, found, allowed, hint


def _lines(text: str) -> Iterator[_Line]:
    """Each content line, folded ones made whole."""
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
            plain = {key.upper(): given.strip('"') for key, given in parameters.items()}
            yield _Line(number, name.strip().upper(), plain, value.strip())


def _parted(line: str) -> tuple[str, str, str]:
    """Name with parameters, and value: parted by the first colon that is in no quotes."""
    quoted = False
    for at, letter in enumerate(line):
        quoted ^= letter == '"'
        if letter == ":" and not quoted:
            return line[:at], ":", line[at + 1 :]
    return line, "", ""


def _event(begun: int, lines: list[_Line], given: dict[str, _Line], zones: _Zones) -> Event:
    if "DTSTART" not in given:
        raise _Odd(begun, "DTSTART", "an event without it", "events with a start")
    start = _time(given["DTSTART"], zones)
    if "DTEND" in given:
        end = _time(given["DTEND"], zones)
    else:
        end = start + (_span(given["DURATION"]) if "DURATION" in given else timedelta(days=0 if isinstance(start, datetime) else 1))
    if isinstance(start, datetime) != isinstance(end, datetime):
        raise _Odd(begun, "DTEND", "a day and a time", "both of one kind")
    addresses = tuple(
        line.value[7:].lower() for line in lines if line.name in ("ATTENDEE", "ORGANIZER") and line.value.lower()[:7] == "mailto:"
    )
    days = () if isinstance(start, datetime) else tuple(start + timedelta(days=number) for number in range((end - start).days))
    summary = re.sub(r"\\([\\;,])", r"\1", given["SUMMARY"].value if "SUMMARY" in given else "")
    repeats = _repeats(lines, start, end, zones)
    return Event(_at(start, zones.here), _at(end, zones.here), days, summary, addresses, begun, repeats)


def _repeats(lines: list[_Line], start: date, end: date, zones: _Zones) -> Repeats | None:
    """What an event says of more than its first time."""
    asked = [line for line in lines if line.name in ("RRULE", "RDATE")]
    if not asked:
        return None
    first = _aware(start, zones.here)
    zone = first.tzinfo or zones.here
    begins = first.replace(tzinfo=None)
    span = _aware(end, zones.here).astimezone(zone).replace(tzinfo=None) - begins
    if not timedelta(0) <= span <= LONGEST:
        raise _Odd(asked[0].number, asked[0].name, f"an event of {span.days} days that repeats", f"an end, and {LONGEST.days} days at most")
    rules: list[str] = []
    further: list[datetime] = []
    without: list[datetime] = []
    for line in lines:
        if line.name == "RRULE":
            try:
                rules.append(rule_of(line.value, zone))
            except (ValueError, TypeError, KeyError, AttributeError):
                raise _Odd(line.number, "RRULE", shown(line.value), RULES) from None
        elif line.name in ("RDATE", "EXDATE"):
            times = (_time(replace(line, value=value), zones) for value in line.value.split(",") if value)
            local = [_local(when, begins, zone) for when in times]
            (further if line.name == "RDATE" else without).extend(local)
        elif line.name == "EXRULE":
            raise _Odd(line.number, "EXRULE", shown(line.value), "EXDATE, as EXRULE is of an older standard")
    return Repeats(begins, span, zone, tuple(rules), tuple(further), tuple(without))


def _local(when: date, begins: datetime, zone: tzinfo) -> datetime:
    """A time by the clocks of the zone that the event has; a day is the day's event, as some programs write it."""
    if not isinstance(when, datetime):
        return datetime.combine(when, begins.time())
    return when.replace(tzinfo=when.tzinfo or zone).astimezone(zone).replace(tzinfo=None)


def _moved(line: _Line, zones: _Zones) -> datetime:
    """When one of several would have begun."""
    if line.parameters.get("RANGE"):
        raise _Odd(line.number, "RECURRENCE-ID", "a change of all that follow (RANGE)", "changes of single events")
    return _aware(_time(line, zones), zones.here)


def _aware(when: date, here: tzinfo) -> datetime:
    if not isinstance(when, datetime):
        return datetime(when.year, when.month, when.day, tzinfo=here)
    return when if when.tzinfo is not None else when.replace(tzinfo=here)


def _time(line: _Line, zones: _Zones) -> date:
    match = _TIME.fullmatch(line.value)
    try:
        if match is None:
            raise ValueError
        year, month, day, hour, minute, second = (int(part) if part else 0 for part in match.groups()[:6])
        if match[4] is None:
            return date(year, month, day)
        local = datetime(year, month, day, hour, minute, second)
    except ValueError:
        raise _Odd(line.number, line.name, shown(line.value), TIMES) from None
    return local.replace(tzinfo=ZoneInfo("UTC") if match[7] else zones.named(line))


def _span(line: _Line) -> timedelta:
    match = _SPAN.fullmatch(line.value)
    if match is None or not any(match.groups()):
        raise _Odd(line.number, "DURATION", shown(line.value), "a duration such as PT12H or P7D")
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(days=days + 7 * weeks, hours=hours, minutes=minutes, seconds=seconds)


def _at(when: date, here: tzinfo) -> int:
    aware = _aware(when, here)
    return moment(aware.replace(tzinfo=None), aware.tzinfo or here)


def days_of(events: Iterable[Event], end: date, most: int) -> Iterator[tuple[Event, list[date]]]:
    """Each event and the days that it is of, before an end: of one that repeats each time, `most` at most."""
    for event in events:
        days = list(event.days)
        if event.repeats is not None and days:
            starts = event.repeats.until(datetime(end.year, end.month, end.day))
            days = [start.date() + (day - event.days[0]) for start, _ in zip(starts, range(most), strict=False) for day in event.days]
        yield event, days
