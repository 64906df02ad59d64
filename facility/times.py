"""Times as text and numbers; inside they are int64 nanoseconds UTC."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

ALLOWED = "a time such as 2026-11-21T07:41:10.250Z or 2026-11-21T08:41:10+01:00"
_SECOND_NS = 1_000_000_000
_INT64_MAX = 2**63 - 1
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_TEXT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))?",
    re.ASCII,
)
_EPOCH_SCALES = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3))


def parse_time(text: str, zone: ZoneInfo | None = None) -> int:
    """Read an RFC 3339 time as int ns UTC; digits past the ninth decimal are cut off.

    A time without offset is local to `zone`. Raises ValueError without a zone, for a local time that the clocks show twice or never,
    for hour 24, second 60, and outside the years 1677 to 2262.

    >>> parse_time("2026-11-21T07:41:10.25Z")
    1795246870250000000
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"{ALLOWED}, not {text[:60]!r}")
    day, hour_text, minute_text, second_text, decimals, utc, sign, offset_hours, offset_minutes = match.groups()
    hour, minute, second = int(hour_text), int(minute_text), int(second_text)
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(f"hours to 23, minutes and seconds to 59, not {text!r}")
    days = _days(day)
    if sign:
        if int(offset_hours) > 23 or int(offset_minutes) > 59:
            raise ValueError(f"an offset from -23:59 to +23:59, not {text!r}")
        offset_s = (int(offset_hours) * 3600 + int(offset_minutes) * 60) * (1 if sign == "+" else -1)
    elif utc:
        offset_s = 0
    else:
        offset_s = _local_offset_s(text, day, hour, minute, second, zone)
    seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset_s
    time = seconds * _SECOND_NS + (int(decimals[:9].ljust(9, "0")) if decimals else 0)
    if abs(time) > _INT64_MAX:
        raise ValueError(f"a time in the years 1678 to 2261, not {text!r}")
    return time


@lru_cache(maxsize=64)
def _days(day: str) -> int:
    try:
        return date.fromisoformat(day).toordinal() - _EPOCH_DAY
    except ValueError:
        raise ValueError(f"a day of the calendar, not {day!r}") from None


def _local_offset_s(text: str, day: str, hour: int, minute: int, second: int, zone: ZoneInfo | None) -> int:
    if zone is None:
        raise ValueError(f"a time with its offset (Z or +01:00), not {text!r}")
    local = datetime.combine(date.fromisoformat(day), datetime.min.time()).replace(hour=hour, minute=minute, second=second, tzinfo=zone)
    earlier, later = local.utcoffset(), local.replace(fold=1).utcoffset()
    if earlier is None or later is None or earlier == later:
        return int((earlier or timedelta()).total_seconds())
    happens = "twice" if earlier > later else "never"
    raise ValueError(f"a time with its offset (Z or +01:00): the clocks of {zone.key} show {text!r} {happens}")


def format_time(time: int) -> str:
    """An int ns UTC time in RFC 3339, with as many decimals as needed.

    >>> format_time(1795246870250000000)
    '2026-11-21T07:41:10.25Z'
    """
    seconds, nanoseconds = divmod(int(time), _SECOND_NS)
    whole = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    decimals = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    return f"{whole:%Y-%m-%dT%H:%M:%S}{decimals}Z"


def local_time(time: int, zone: ZoneInfo) -> str:
    """A time (ns UTC) as people of a zone write it, to the second."""
    return f"{datetime.fromtimestamp(time // 10**9, UTC).astimezone(zone):%Y-%m-%d %H:%M:%S}"


def epoch_ns(number: int | float | Decimal) -> int:
    """An epoch time as int ns UTC, its unit known by magnitude: below 1e11 s, 1e14 ms, 1e17 µs, else ns.

    Raises ValueError for what is no finite number or lies outside the years 1677 to 2262.

    >>> epoch_ns(1740901268.1)
    1740901268100000000
    """
    if isinstance(number, bool) or not math.isfinite(number):
        raise ValueError(f"a number of seconds, ms, µs or ns since 1970, not {number!r}")
    # repr of a float has the digits that were sent; its binary value has not.
    exact = Decimal(repr(number) if isinstance(number, float) else number)
    size = abs(exact)
    scale = next((scale for end, scale in _EPOCH_SCALES if size < end), 1)
    time = number * scale if isinstance(number, int) else int(exact * scale)
    if abs(time) > _INT64_MAX:
        raise ValueError(f"a time in the years 1678 to 2261, not {number!r}")
    return time
