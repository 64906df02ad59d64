"""Events that repeat (RFC 5545, RRULE): when they begin by the clocks of their zone, looked up for a moment, as they may never end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from dateutil.rrule import rruleset, rrulestr

from alerts.duty.calendar import moment, shown

FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_DAY = timedelta(days=1)
_UNTIL = re.compile(r"UNTIL=(\d{8})(?:T(\d{6})(Z?))?", re.IGNORECASE | re.ASCII)
_FREQUENCY = re.compile(r"FREQ=([A-Z]+)", re.IGNORECASE | re.ASCII)
_NUMBERS = {
    "INTERVAL": range(1, 10_000), "COUNT": range(1, 100_000), "BYMONTH": range(1, 13), "BYHOUR": range(24), "BYMINUTE": range(60),
    "BYSECOND": range(60), "BYMONTHDAY": range(-31, 32), "BYYEARDAY": range(-366, 367), "BYWEEKNO": range(-53, 54),
    "BYSETPOS": range(-366, 367),
}  # fmt: skip
_FROM_THE_END = ("BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYSETPOS")
"""Of these there is no number 0."""
_WORDS = ("FREQ", "UNTIL", "WKST", "BYDAY")


@dataclass(frozen=True, slots=True)
class Repeats:
    """Begins at `start` and whenever a rule or a further date says, by the clocks of `zone`, but not at `without`; lasts `span`.

    Span and starts are by the clocks on the wall: a turn from Monday 08:00 to Monday 08:00 is so when the clocks change, too.
    """

    start: datetime
    span: timedelta
    zone: tzinfo
    rules: tuple[str, ...] = ()
    further: tuple[datetime, ...] = ()
    without: tuple[datetime, ...] = ()

    def near(self, at: int) -> list[tuple[int, int]]:
        """Start and end (int ns UTC) of those around a moment: all that last then, one that ended before, one that begins after."""
        local = shown(at, self.zone)
        first, last = local - self.span - _DAY, local + _DAY  # a day more, as clocks change and a time may come twice
        starts = _starts(self)
        found = [starts.before(first), *starts.between(first, last, inc=True), starts.after(last)]
        return [self._turn(start) for start in found if start is not None]

    def until(self, end: datetime) -> Iterator[datetime]:
        """All starts before an end, by the clocks of the zone."""
        for start in _starts(self):
            if start >= end:
                return
            yield start

    def _turn(self, start: datetime) -> tuple[int, int]:
        return moment(start, self.zone), moment(start + self.span, self.zone)


def rule_of(text: str, zone: tzinfo) -> str:
    """A rule whose end is by the clocks of a zone; ValueError for one that cannot be understood, or is of hours and less."""
    frequency = _FREQUENCY.search(text)
    if frequency is None or frequency[1].upper() not in FREQUENCIES:
        raise ValueError(f"FREQ is one of {', '.join(FREQUENCIES)}")
    parts = [part.upper().split("=") for part in text.split(";")]
    weeks = 53 if frequency[1].upper() == "YEARLY" and "BYMONTH" not in (part[0] for part in parts) else 5
    for name, values in parts:
        _look_at(name, values, weeks)
    rule = _UNTIL.sub(lambda found: _until(found, zone), text)
    rrulestr(rule, dtstart=datetime(2026, 1, 1))
    return rule


def _look_at(name: str, values: str, weeks: int) -> None:
    """Refuse what the library takes, and then never ends with, or fails over when a moment is looked up."""
    if name == "BYDAY" and any(int(number) > weeks for number in re.findall(r"\d+", values)):
        raise ValueError(f"there are no more than {weeks} of a weekday")
    for value in map(int, values.split(",") if name not in _WORDS else ()):
        if value not in _NUMBERS[name] or (value == 0 and name in _FROM_THE_END):
            raise ValueError(f"{name} is not {value}")


def _until(found: re.Match[str], zone: tzinfo) -> str:
    if found[2] is None:  # a day, of which all counts
        return f"UNTIL={found[1]}T235959"
    local = datetime.strptime(found[1] + found[2], "%Y%m%d%H%M%S")
    if found[3]:
        with suppress(OverflowError):  # the last moment there is, as some programs write that it never ends
            local = local.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)
    return f"UNTIL={local:%Y%m%dT%H%M%S}"


@lru_cache(maxsize=1024)
def _starts(repeats: Repeats) -> rruleset:
    """Kept, so that years are walked through once; it remembers how far it came."""
    found = rruleset(cache=True)
    found.rdate(repeats.start)
    for rule in repeats.rules:
        found.rrule(rrulestr(rule, dtstart=repeats.start))
    for start in repeats.further:
        found.rdate(start)
    for start in repeats.without:
        found.exdate(start)
    return found
