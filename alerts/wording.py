"""The words of a page in one table, and how numbers and spans of time are written in it."""

from __future__ import annotations

import math

WORDS = {
    "action": "ACTION",
    "alert": "ALERT",
    "technical": "TECHNICAL",
    "test": "TEST",
    "service": "SERVICE",
    "found_late": " FOUND LATE",
    "priority": "priority",
    "grade": "grade",
    "above": "above",
    "below": "below",
    "at_or_above": "at or above",
    "at_or_below": "at or below",
    "the_limit": "the limit",
    "stale": "silent since",
    "quality": "bad readings since",
    "clock_ahead": "readings from the future since",
    "our_clock": "our own clock is behind most instruments,",
    "state": "for longer than it may, since",
    "rate": "changing too fast since",
    "flatline": "not moving since",
    "out": "out of order since",
    "over": "over since",
    "late_explained": "readings that arrived late show it; nobody could be told earlier",
    "test_do": "Nothing is wrong. You can be reached here: no need to answer.",
    "service_do": "Look after the machine that Renrum runs on; `renrum doctor` there says more.",
    "line_environment": "Environment",
    "line_level": "Level",
    "line_what": "What",
    "line_where": "Where",
    "line_worst": "Worst value",
    "line_limit": "Limit",
    "line_out_of_order": "State",
    "line_since": "Since",
    "line_lasted": "For",
    "line_late": "Late",
    "line_rule": "Rule",
    "line_at": "Time",
    "line_do": "Do",
    "line_sop": "Procedure",
    "line_link": "Open",
}

GSM_ALPHABET = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)  # fmt: skip
"""What an SMS of 160 characters may hold (3GPP TS 23.038, without the extension table, whose characters count twice)."""


def clean(text: str) -> str:
    """One printable line: names come from files, and a subject is a mail header."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())


def distinct(value: float, limit: float | None, resolution: float | None = None) -> tuple[str, str]:
    """A value and its limit as text: the value with as many decimals as tell it from the limit, never rounded onto it or past it.

    >>> distinct(9.96, 10.0, 0.1)
    ('9.96', '10')
    >>> distinct(25.342, 25.0)
    ('25.3', '25')
    """
    least = _decimals(resolution) if resolution else 0 if abs(value) >= 100 else 1 if abs(value) >= 1 else 3
    shown = number(value)
    for decimals in range(least, 17):
        rounded = f"{value:.{decimals}f}"
        if limit is None or _side(float(rounded), limit) == _side(value, limit):
            shown = min(rounded, shown, key=len)
            break
    return shown, "" if limit is None else number(limit)


def number(value: float) -> str:
    """The shortest text that reads back as the same float; whole numbers without a point."""
    return str(int(value)) if value == math.floor(value) and abs(value) < 1e15 else repr(float(value))


def span(ns: int) -> str:
    """A span of time in its two largest units.

    >>> span(320 * 10**9)
    '5 min 20 s'
    """
    seconds = max(ns, 0) // 10**9
    for size, name, smaller, small_name in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            rest = seconds % size // smaller
            return f"{seconds // size} {name}" + (f" {rest} {small_name}" if rest else "")
    return f"{seconds} s"


def _decimals(resolution: float) -> int:
    return max(0, -math.floor(math.log10(resolution) + 1e-9))


def _side(value: float, limit: float) -> int:
    return (value > limit) - (value < limit)
