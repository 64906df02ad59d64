"""What a change would have done, as tables for people and as one document for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any
from zoneinfo import ZoneInfo

from facility.document import one_of
from facility.times import format_time, local_time
from rules.difference import ADDED, KEPT, MOVED, ON, REMOVED, Difference
from rules.excursion import Excursion
from service.impact.impact import Impact, Sums

MINUTE_NS = 60 * 10**9
LISTED = 20
_COUNTS = ("before", "removed", "moved", "added", "after")


def lines(impact: Impact, words: str) -> Iterator[str]:
    """The report: what changed, sums by rule and room, by week, each difference up to a number, and what flaps."""
    zone = ZoneInfo(impact.facility.site.timezone)
    yield f"{words or 'no change'}, on {impact.origin}{_period(impact, zone)}"
    yield from (f"{note}." for note in impact.notes)
    alike = f"{impact.alike} rule{'s judge' if impact.alike != 1 else ' judges'} as before"
    yield f"changed: {one_of(sorted(impact.changed), 10)}; {alike}" if impact.changed else f"nothing that judges is changed; {alike}"
    if impact.changed and not impact.sums:
        yield "No excursion before, and none after."
    if impact.sums:
        yield ""
        yield from _table(("rule", "room"), impact.sums, lambda key: key[:2])
        yield ""
        yield from _table(("rule", "week"), impact.sums, lambda key: (key[0], key[2]))
    yield from _listed(impact, zone)
    for (rule, point, side), most in sorted(impact.flapping.items()):
        if side == "after":
            tried = any(which == rule for which, _ in impact.delays)
            hint = "" if tried else f": --delays {rule} shows what a longer delay spares and hides"
            yield f"{rule} flaps at {point}: {most} excursions within an hour{hint}"
    yield from _delays(impact)


def _period(impact: Impact, zone: ZoneInfo) -> str:
    if impact.start is None or impact.end is None:
        return ""
    return f", {local_time(impact.start, zone)} to {local_time(impact.end, zone)} ({zone.key})"


def _table(
    names: tuple[str, ...], sums: dict[tuple[str, str, str], Sums], group: Callable[[tuple[str, str, str]], tuple[str, ...]]
) -> Iterator[str]:
    """Sums over what the group leaves out, with a last row of all where there are several."""
    rows: dict[tuple[str, ...], Sums] = {}
    for key, one in sorted(sums.items()):
        for row in (group(key), ("all", *[""] * (len(names) - 1))):
            total = rows.setdefault(row, Sums())
            for name in (*_COUNTS, "before_ns", "after_ns"):
                setattr(total, name, getattr(total, name) + getattr(one, name))
    all_ = rows.pop(("all", *[""] * (len(names) - 1)))
    if len(rows) > 1:
        rows[("all", *[""] * (len(names) - 1))] = all_
    cells = [(*names, *_COUNTS, "minutes before", "after")]
    for row, one in rows.items():
        counts = (str(getattr(one, name)) if getattr(one, name) else "·" for name in _COUNTS)
        cells.append((*row, *counts, minutes(one.before_ns), minutes(one.after_ns)))
    return columns(cells, len(names))


def columns(cells: Sequence[Sequence[str]], left: int) -> Iterator[str]:
    """Rows of cells below each other, the first `left` of each to the left."""
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
    for row in cells:
        padded = (cell.ljust(width) if at < left else cell.rjust(width) for at, (cell, width) in enumerate(zip(row, widths, strict=True)))
        yield "  ".join(padded).rstrip()


def minutes(ns: int) -> str:
    """A stretch of time in minutes."""
    return f"{ns / MINUTE_NS:,.1f}" if ns < 100 * MINUTE_NS else f"{ns / MINUTE_NS:,.0f}"


def _listed(impact: Impact, zone: ZoneInfo) -> Iterator[str]:
    """The first differences, what comes and goes before what only moves."""
    total = sum(one.removed + one.moved + one.added for one in impact.sums.values())
    if total:
        yield ""
    first = (one for one in impact.differences() if one.what in (ADDED, REMOVED))
    moved = (one for one in impact.differences() if one.what == MOVED)
    yield from (sentence(one, zone) for one in islice(chain(first, moved), LISTED))
    if total > LISTED:
        yield f"… and {total - LISTED} more: --json has them all"


def sentence(one: Difference, zone: ZoneInfo) -> str:
    """A difference in one line."""
    row = one.either
    if one.before is None or one.after is None:
        return f"{one.what:8}{row.rule}  {row.point}  {_span(row, zone)}"
    said = f"{one.what:8}{row.rule}  {row.point}  {_span(one.before, zone)}"
    if (one.before.onset, one.before.ended) != (row.onset, row.ended):
        return f"{said}  →  {_span(row, zone)}"
    later = [
        f"{name} {(new - old) / 10**9:+g} s"
        for name in ("raised", "cleared")
        if (old := getattr(one.before, name)) is not None and (new := getattr(row, name)) is not None and new != old
    ]
    return f"{said}  {', '.join(later)}"


def _span(row: Excursion, zone: ZoneInfo) -> str:
    if row.ended is None:
        return f"{local_time(row.onset, zone)} – open"
    ended = local_time(row.ended, zone)
    onset = local_time(row.onset, zone)
    return f"{onset} – {ended[11:] if ended[:10] == onset[:10] else ended}"


def _delays(impact: Impact) -> Iterator[str]:
    for rule in dict.fromkeys(rule for rule, _ in impact.delays):
        as_is = impact.delays[rule, ""].excursions
        cells = [(f"{rule} with", "excursions", "spared", "minutes of breach hidden", "minutes it stands longer")]
        nothing_left = False
        for (which, name), one in impact.delays.items():
            if which != rule or (nothing_left and name.startswith(ON)):
                continue
            nothing_left = not one.excursions
            spared = str(as_is - one.excursions) if name else "·"
            what = name.replace("=", " ") or "its own delays"
            cells.append((what, str(one.excursions), spared, minutes(one.hidden_ns), minutes(one.longer_ns)))
        yield ""
        yield from columns(cells, 1)


def document(impact: Impact, words: str) -> dict[str, Any]:
    """The report as JSON has it."""
    return {
        "change": words,
        "origin": impact.origin,
        "start": None if impact.start is None else format_time(impact.start),
        "end": None if impact.end is None else format_time(impact.end),
        "notes": impact.notes,
        "changed_rules": sorted(impact.changed),
        "rules_as_before": impact.alike,
        "sums": [
            {"rule": rule, "room": room, "week": week}
            | {name: getattr(one, name) for name in _COUNTS}
            | {"minutes_before": one.before_ns / MINUTE_NS, "minutes_after": one.after_ns / MINUTE_NS}
            for (rule, room, week), one in sorted(impact.sums.items())
        ],
        "differences": [
            {"what": one.what, "before": _row(one.before), "after": _row(one.after)} for one in impact.differences() if one.what != KEPT
        ],
        "flapping": [
            {"rule": rule, "point": point, "side": side, "most_within_an_hour": most}
            for (rule, point, side), most in sorted(impact.flapping.items())
        ],
        "delays": [
            {
                "rule": rule,
                "delay": name or None,
                "excursions": one.excursions,
                "minutes_hidden": one.hidden_ns / MINUTE_NS,
                "minutes_longer": one.longer_ns / MINUTE_NS,
            }
            for (rule, name), one in impact.delays.items()
        ],
    }


def _row(row: Excursion | None) -> dict[str, Any] | None:
    if row is None:
        return None
    times = {name: None if (at := getattr(row, name)) is None else format_time(at) for name in ("onset", "raised", "ended", "cleared")}
    names = ("id", "rule", "point", "room", "zone", "level", "peak", "limit", "unit", "readings", "occupancy")
    return {name: getattr(row, name) for name in names} | times
