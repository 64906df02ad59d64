"""The picture of a change: for each rule and point a strip of time before it and one after it, as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from html import escape
from zoneinfo import ZoneInfo

from rules.difference import ADDED, KEPT, MOVED, REMOVED, Difference
from rules.excursion import Excursion
from service.impact.impact import Impact

WIDTH, LEFT, RIGHT, ROW, STRIP = 1100, 250, 20, 34, 11
ROWS_MAX = 60
COLOURS = {KEPT: "#8896a6", MOVED: "#d98e04", REMOVED: "#2f7fd0", ADDED: "#c8342b"}
_STEPS = (
    timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1), timedelta(hours=3), timedelta(hours=6),
    timedelta(days=1), timedelta(days=2), timedelta(days=7), timedelta(days=14), timedelta(days=28), timedelta(days=91),
)  # fmt: skip
_TICKS = 8


def picture(impact: Impact, words: str) -> str:
    """The strips of every rule and point that a change touches, those with most differences first, up to some sixty."""
    rows: dict[tuple[str, str], list[Difference]] = {}
    for one in impact.differences():
        rows.setdefault((one.either.rule, one.either.point), []).append(one)
    order = sorted(rows, key=lambda key: (key[0], -sum(one.what != KEPT for one in rows[key]), key[1]))
    shown = order[:ROWS_MAX]
    begin, end = _extent(impact, (one for key in shown for one in rows[key]))
    zone = ZoneInfo(impact.facility.site.timezone)
    height = 86 + ROW * max(len(shown), 1) + 40
    body = [*_head(words, impact), *_axis(begin, end, zone, height)]
    for number, key in enumerate(shown):
        body += _strips(key, rows[key], 86 + number * ROW, begin, end, impact.clock)
    if not shown:
        body.append(f'<text x="{LEFT}" y="104">No excursion before, and none after.</text>')
    if len(order) > len(shown):
        body.append(f'<text x="{LEFT}" y="{height - 8}" class="small">{len(order) - len(shown)} more are not shown</text>')
    style = "text{font:13px sans-serif;fill:#1c2733}.small{font-size:11px;fill:#5b6875}.head{font-size:15px;font-weight:600}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">'
        f"<title>{escape(words)}</title><style>{style}</style>"
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _extent(impact: Impact, shown: Iterable[Difference]) -> tuple[int, int]:
    found = [row for one in shown for row in (one.before, one.after) if row is not None]
    begin = impact.start if impact.start is not None else min((row.onset for row in found), default=impact.clock - 1)
    end = impact.end if impact.end is not None else impact.clock
    return begin, max(end, begin + 1)


def _head(words: str, impact: Impact) -> Iterator[str]:
    yield f'<text x="20" y="26" class="head">{escape(words)}</text>'
    x = LEFT
    for what, colour in COLOURS.items():
        count = sum(getattr(one, what) for one in impact.sums.values()) if what != KEPT else _kept(impact)
        yield f'<rect x="{x}" y="40" width="12" height="{STRIP}" fill="{colour}"/>'
        yield f'<text x="{x + 18}" y="50" class="small">{what} {count}</text>'
        x += 120


def _kept(impact: Impact) -> int:
    return sum(one.before - one.removed - one.moved for one in impact.sums.values())


def _axis(begin: int, end: int, zone: ZoneInfo, height: int) -> Iterator[str]:
    """Lines at round local times, with their labels."""
    span = timedelta(microseconds=(end - begin) // 1000)
    step = next((step for step in _STEPS if span / step <= _TICKS), _STEPS[-1])
    first = datetime.fromtimestamp(begin // 10**9, UTC).astimezone(zone)
    at = first.replace(hour=0, minute=0, second=0, microsecond=0)
    if step >= timedelta(days=7):
        at -= timedelta(days=at.weekday())
    last = datetime.fromtimestamp(end // 10**9, UTC)
    form = "%d %b %Y" if step >= timedelta(days=1) else "%d %b %H:%M"
    while at <= last:
        ns = int(at.timestamp()) * 10**9
        if ns >= begin:
            x = _x(ns, begin, end)
            yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="72" y2="{height - 34}" stroke="#dfe4ea"/>'
            yield f'<text x="{x + 3:.1f}" y="70" class="small">{at.strftime(form)}</text>'
        at += step


def _strips(key: tuple[str, str], rows: list[Difference], y: int, begin: int, end: int, clock: int) -> Iterator[str]:
    rule, point = key
    yield f'<text x="20" y="{y + 11}">{escape(rule)}</text><text x="20" y="{y + 25}" class="small">{escape(point)}</text>'
    for side, top in (("before", y), ("after", y + STRIP + 3)):
        yield f'<text x="{LEFT - 8}" y="{top + 10}" class="small" text-anchor="end">{side}</text>'
        yield f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT - RIGHT}" height="{STRIP}" fill="#f1f4f7"/>'
        for one in rows:
            row: Excursion | None = getattr(one, side)
            if row is not None:
                first = _x(max(row.onset, begin), begin, end)
                last = _x(min(clock if row.ended is None else row.ended, end), begin, end)
                colour = COLOURS[one.what]
                yield f'<rect x="{first:.1f}" y="{top}" width="{max(last - first, 1.5):.1f}" height="{STRIP}" fill="{colour}"/>'


def _x(at: int, begin: int, end: int) -> float:
    return LEFT + (at - begin) / (end - begin) * (WIDTH - LEFT - RIGHT)
