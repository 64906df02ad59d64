"""The time of a reading as instruments send it: RFC 3339 text or an epoch number, to int64 nanoseconds."""

from __future__ import annotations

import re

from facility.times import epoch_ns, parse_time

_PREFIX = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:", re.ASCII)
_SECONDS_NS = {f"{second:02d}": second * 10**9 for second in range(60)}
_KEPT_MINUTES = 4096
_LAST_NS = 2**63 - 60 * 10**9  # in the last minute of int64 a remembered start would not show that the seconds go beyond
_FIRST_NS = -_LAST_NS


class Instants:
    """Reads times in about a microsecond, by remembering what each minute's text means.

    Readings of one minute share the text up to the seconds; only a minute that is new goes through the full parser, which also judges
    everything that is not in the usual form. So both ways give the same nanoseconds.
    """

    def __init__(self) -> None:
        self._minute_ns: dict[str, int] = {}

    def of(self, time: str | int | float) -> int:
        """Int ns UTC; a ValueError when it is no time, carries no offset or lies outside the years 1677 to 2262."""
        if not isinstance(time, str):
            return epoch_ns(time)
        minute_ns = self._minute_ns.get(time[:17])
        if minute_ns is not None and time[-1] == "Z" and time.isascii():
            second_ns = _SECONDS_NS.get(time[17:19])
            if second_ns is not None:
                if len(time) == 20:
                    return minute_ns + second_ns
                digits = time[20:-1]
                if time[19] == "." and digits.isdecimal():
                    return minute_ns + second_ns + int(digits[:9].ljust(9, "0"))
        return self._new(time)

    def _new(self, time: str) -> int:
        ns = parse_time(time)
        prefix = time[:17]
        if time[-1] == "Z" and _PREFIX.fullmatch(prefix) and prefix not in self._minute_ns:
            if len(self._minute_ns) >= _KEPT_MINUTES:
                self._minute_ns.clear()
            if _FIRST_NS <= ns <= _LAST_NS:
                self._minute_ns[prefix] = parse_time(prefix + "00Z")
        return ns
