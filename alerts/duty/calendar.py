"""Wall clocks of a time zone: hand-overs and working hours are agreed on by them, whatever daylight saving time does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SECOND_NS = 10**9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(local: datetime, zone: tzinfo) -> int:
    """Int ns UTC of what the clocks of a zone show: of a time shown twice the first, of one never shown that much after the change.

    >>> here = ZoneInfo("Europe/Stockholm")
    >>> moment(datetime(2026, 3, 29, 2, 30), here) == moment(datetime(2026, 3, 29, 3, 30), here)
    True
    """
    span = local.replace(tzinfo=zone).astimezone(UTC) - _EPOCH
    return (span.days * 86_400 + span.seconds) * SECOND_NS + span.microseconds * 1000


def shown(at: int, zone: tzinfo) -> datetime:
    """What the clocks of a zone show at a moment (int ns UTC), to the second, without the zone."""
    return (_EPOCH + timedelta(seconds=at // SECOND_NS)).astimezone(zone).replace(tzinfo=None, fold=0)


@dataclass(frozen=True, slots=True)
class WorkingHours:
    """Working hours: on `days` (0 is Monday) that are no holiday, from `start` to `end` by the clocks of `zone`."""

    zone: ZoneInfo
    start: time
    end: time
    days: frozenset[int] = frozenset(range(5))
    holidays: frozenset[date] = frozenset()

    def open(self, at: int) -> bool:
        """Whether it is working hours at a moment (int ns UTC); the end is outside."""
        local = shown(at, self.zone)
        return self._works(local.date()) and self.start <= local.time() < self.end

    def opens(self, at: int) -> int:
        """When somebody is at work, from `at` on (int ns UTC): at once in working hours."""
        while not self.open(at):
            at = self.changes_after(at)
        return at

    def changes_after(self, at: int) -> int:
        """The next moment (int ns UTC) after `at` when working hours may begin or end."""
        day = shown(at, self.zone).date()
        while True:
            for edge in (self.start, self.end):
                if (found := moment(datetime.combine(day, edge), self.zone)) > at:
                    return found
            day += timedelta(days=1)

    def _works(self, day: date) -> bool:
        return day.weekday() in self.days and day not in self.holidays
