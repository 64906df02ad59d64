"""The picture of a trend as shapes: places in percent of the picture for text and bands, in thousandths for lines."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from dashboards.console.view import DECIMALS_MAX, Times
from dashboards.trend import Buckets, LimitSpan, PointTrend, StateSpan
from dashboards.views import PointView
from rules.excursion import Excursion

SECOND_NS, MINUTE_NS, HOUR_NS, DAY_NS = 10**9, 60 * 10**9, 3600 * 10**9, 86_400 * 10**9
STEPS_NS = (
    *(minutes * MINUTE_NS for minutes in (1, 2, 5, 10, 15, 30)), *(hours * HOUR_NS for hours in (1, 2, 3, 6, 12)),
    *(days * DAY_NS for days in (1, 2, 7, 14, 30)),
)  # fmt: skip
TICKS_MAX = 6
LIMIT_SHARE = 0.12
LIMIT_AWAY = 0.5
"""A limit is drawn where the readings are no farther from it than half of it, or still fill that share of the picture; else it is said."""
HOLE_PERIODS = 3.5


class Tick(NamedTuple):
    at: float
    text: str


class Band(NamedTuple):
    """Something that lasts, from the left, so wide."""

    x: float
    width: float
    what: str
    text: str = ""


class LimitLine(NamedTuple):
    x: float
    end: float
    y: float
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn: the area from least to most, the line of means, limits, excursions, both axes; `readout` for the script."""

    areas: tuple[str, ...]
    lines: tuple[str, ...]
    dots: tuple[tuple[float, float], ...]
    limits: tuple[LimitLine, ...]
    excursions: tuple[Band, ...]
    values: tuple[Tick, ...]
    times: tuple[Tick, ...]
    readout: str


def picture_of(
    trend: PointTrend, point: PointView, excursions: Sequence[Excursion], start: int, end: int, times: Times, text: Callable[[float], str]
) -> Picture:
    """The picture over [start, end) of a point; `text` writes a value."""
    buckets = trend.buckets
    low, high = _scale(buckets, trend.limits)

    def x(ns: float) -> float:
        return round(100 * min(1.0, max(0.0, (ns - start) / (end - start))), 2)

    def y(value: float) -> float:
        return round(100 * (high - value) / (high - low), 2)

    pieces = list(_pieces(buckets, point.period_ns))
    centre = [x(buckets.start + (row + 0.5) * buckets.width_ns) for row in range(len(buckets))]
    areas, lines, dots = [], [], []
    for rows in pieces:
        if len(rows) == 1:
            dots.append((centre[rows[0]], y(buckets.mean[rows[0]])))
        over = [f"{10 * centre[row]:.1f},{10 * y(buckets.most[row]):.1f}" for row in rows]
        under = [f"{10 * centre[row]:.1f},{10 * y(buckets.least[row]):.1f}" for row in reversed(rows)]
        areas.append(" ".join(over + under))
        lines.append(" ".join(f"{10 * centre[row]:.1f},{10 * y(buckets.mean[row]):.1f}" for row in rows))
    return Picture(
        tuple(areas), tuple(lines), tuple(dots),
        tuple(line for line in _limit_lines(trend.limits, x, y, text) if 0 <= line.y <= 100),
        tuple(
            Band(x(one.onset), max(0.3, round(x(end if one.ended is None else one.ended) - x(one.onset), 2)), one.level)
            for one in excursions if one.point == trend.point
        ),
        tuple(_labelled(_round_values(low, high), y, text)),
        tuple(Tick(x(ns), label) for ns, label in _round_times(start, end, times.zone)),
        _readout(buckets, point),
    )  # fmt: skip


def state_bands(spans: Sequence[StateSpan], start: int, end: int) -> list[Band]:
    """A strip of states."""
    span = end - start
    return [Band(round(100 * (one.start - start) / span, 2), round(100 * (one.end - one.start) / span, 2), one.state) for one in spans]


def open_bands(buckets: Buckets) -> list[Band]:
    """When a door stood open; no opening is too short to be seen."""
    width = 100 / max(1, len(buckets))
    rows = np.flatnonzero(buckets.most >= 0.5)
    if not len(rows):
        return []
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    return [Band(round(width * int(run[0]), 2), max(0.2, round(width * len(run), 2)), "open") for run in runs]


def _scale(buckets: Buckets, spans: Sequence[LimitSpan]) -> tuple[float, float]:
    """The values at the lower and the upper edge."""
    there = buckets.count > 0
    if not there.any():
        return 0.0, 1.0
    low, high = float(np.min(buckets.least[there])), float(np.max(buckets.most[there]))
    own = max(high - low, abs(high) * 1e-3) or 1.0
    for span in spans:
        for limit in span.limits:
            for side in (limit.below, limit.above):
                if side is not None and _near(side, low, high, own):
                    low, high = min(low, side), max(high, side)
    room = max(0.06 * (high - low), (own - (high - low)) / 2)
    return low - room, high + room


def _near(side: float, low: float, high: float, own: float) -> bool:
    """Whether a limit is drawn: readings that stay near it, or that would still fill enough of the picture."""
    away = max(low - side, side - high, 0.0)
    return away <= LIMIT_AWAY * abs(side) or own >= LIMIT_SHARE * (max(high, side) - min(low, side))


def _pieces(buckets: Buckets, period_ns: int | None) -> Iterator[list[int]]:
    """Rows without a hole between them."""
    rows = np.flatnonzero(buckets.count > 0)
    if not len(rows):
        return
    hole = max(HOLE_PERIODS * (period_ns or 0) / buckets.width_ns, 1.5)
    for piece in np.split(rows, np.flatnonzero(np.diff(rows) > hole) + 1):
        yield piece.tolist()


def _limit_lines(
    spans: Sequence[LimitSpan], x: Callable[[float], float], y: Callable[[float], float], text: Callable[[float], str]
) -> Iterator[LimitLine]:
    for span in spans:
        for limit in span.limits:
            for side in (limit.below, limit.above):
                if side is not None:
                    yield LimitLine(x(span.start), x(span.end), y(side), limit.level, text(side))


def _labelled(values: Sequence[float], y: Callable[[float], float], text: Callable[[float], str]) -> Iterator[Tick]:
    """Ticks with their text; of those that read the same the middle one."""
    for label, same in groupby(values, text):
        chosen = list(same)
        yield Tick(y(chosen[len(chosen) // 2]), label)


def _round_values(low: float, high: float) -> list[float]:
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 5)
    return [step * n for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _round_times(start: int, end: int, zone: ZoneInfo) -> Iterator[tuple[int, str]]:
    """Round times of the site's zone, with the day where they are days apart."""
    step = next((step for step in STEPS_NS if (end - start) / step <= TICKS_MAX), STEPS_NS[-1])
    local = Times(zone, start).local(start)
    offset = (local.utcoffset() or timedelta()) // timedelta(seconds=1) * SECOND_NS
    first = -(-(start + offset) // step) * step - offset
    for ns in range(first, end, step):
        yield ns, f"{Times(zone, ns).local(ns):{'%m-%d' if step >= DAY_NS else '%H:%M'}}"


def _readout(buckets: Buckets, point: PointView) -> str:
    def column(values: Sequence[float]) -> list[float | None]:
        return [None if math.isnan(value) else float(f"{value:.7g}") for value in values]

    found = {
        "start": buckets.start // 10**6, "width": buckets.width_ns / 10**6, "least": column(buckets.least.tolist()),
        "mean": column(buckets.mean.tolist()), "most": column(buckets.most.tolist()), "decimals": DECIMALS_MAX,
    }  # fmt: skip
    if point.resolution:
        found["decimals"] = max(0, -math.floor(math.log10(point.resolution) + 1e-9))
    return json.dumps(found, separators=(",", ":"))
