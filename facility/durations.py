"""Durations as people write them: `500ms`, `30s`, `5m`, `2h`, `1d`, `3 periods`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

_UNIT_NS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9}
_TEXT = re.compile(r"\s*(?P<number>-?\d+(?:\.\d+)?)\s*(?P<unit>ms|s|m|h|d|periods?)\s*")
ALLOWED = "a duration such as 500ms, 30s, 5m, 2h, 1d or 3 periods"


@dataclass(frozen=True, slots=True)
class Duration:
    """A span of time in integer nanoseconds, or in periods of the point that it is applied to."""

    ns: int = 0
    periods: Fraction = Fraction(0)

    def of(self, period_ns: int | None) -> int:
        """Nanoseconds at a point of that period; a ValueError when the point declares none but one is needed."""
        if not self.periods:
            return self.ns
        if period_ns is None:
            raise ValueError("counted in periods, but the point declares no period")
        return int(self.periods * period_ns)

    def __str__(self) -> str:
        """As people write it, to the last digit.

        >>> str(Duration(periods=Fraction(3, 2))), str(Duration(1_500_001))
        ('1.5 periods', '1.500001ms')
        """
        if self.periods:
            return f"{Decimal(self.periods.numerator) / self.periods.denominator} period" + ("" if self.periods == 1 else "s")
        for unit in ("d", "h", "m", "s"):
            if self.ns and self.ns % _UNIT_NS[unit] == 0:
                return f"{self.ns // _UNIT_NS[unit]}{unit}"
        return f"{Decimal(self.ns) / 10**6}ms" if self.ns else "0s"


def parse_duration(text: str) -> Duration:
    """Read a duration.

    >>> parse_duration("5m").ns
    300000000000
    >>> parse_duration("3 periods").of(10 * 10**9)
    30000000000

    Raises ValueError naming what is allowed.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(ALLOWED)
    number = Fraction(match["number"])
    if match["unit"].startswith("period"):
        return Duration(periods=number)
    return Duration(ns=int(number * _UNIT_NS[match["unit"]]))
