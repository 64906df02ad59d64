"""The trend of a point as a small picture: readings of the last hours, the limit, since when it is beyond it."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from alerts.pages.wording import THIN_SPACE, distinct, number, unit_text, words_of, written

WIDTH, HEIGHT = 600, 300
LEFT, RIGHT, TOP, BOTTOM = 108, 14, 16, 36
TEXT = 20
"""A phone shows it at little more than half of its size."""
INK, LINE, LIMIT, OUT, GRID = "#1c2733", "#1f5fa8", "#c8342b", "#fbe9e7", "#dfe4ea"
TICKS_NS = tuple(minutes * 60 * 10**9 for minutes in (5, 10, 15, 30, 60, 120, 240, 480, 1440))


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG, and what it shows in words for those who do not see it."""

    png: bytes
    words: str


@dataclass(frozen=True)
class Trend:
    """Readings in the order of time (int64 ns UTC, float64), `begin` to `end`; the limit if any, and since when it is exceeded."""

    time: NDArray[np.int64]
    value: NDArray[np.float64]
    begin: int
    end: int
    onset: int
    limit: float | None
    unit: str
    zone: ZoneInfo


def picture(trend: Trend, language: str = "en") -> Picture | None:
    """The trend drawn; None where there are too few readings to see anything."""
    finite = np.isfinite(trend.value)
    time, value = trend.time[finite], trend.value[finite]
    if len(value) < 2:
        return None
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    _draw(ImageDraw.Draw(image), trend, time, value, language)
    sink = io.BytesIO()
    image.save(sink, "PNG", optimize=True)
    return Picture(sink.getvalue(), _words(trend, value, words_of(language)["trend"], language))


def _words(trend: Trend, value: NDArray[np.float64], form: str, language: str) -> str:
    low, high, last = (distinct(float(one), trend.limit)[0] for one in (value.min(), value.max(), value[-1]))
    limit = "-" if trend.limit is None else number(trend.limit)
    told = [written(text, language) for text in (low, high, last, limit)]
    return form.format(_clock(trend.begin, trend.zone), _clock(trend.end, trend.zone), *told, unit_text(trend.unit))


def _short(value: float) -> str:
    """Four digits, and no power of ten where a person would count."""
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e7 else f"{value:.4g}"


def _drawn(number: str, language: str) -> str:
    """The letters that Pillow brings have no thin space."""
    return written(number, language).replace(THIN_SPACE, " ")


def _clock(at: int, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(at // 10**9, zone):%H:%M}"


def _draw(pen: ImageDraw.ImageDraw, trend: Trend, time: NDArray[np.int64], value: NDArray[np.float64], language: str) -> None:
    shown = value if trend.limit is None else np.append(value, trend.limit)
    low, high = float(shown.min()), float(shown.max())
    margin = (high - low) * 0.08 or max(abs(high) * 0.05, 1e-9)
    low, high = low - margin, high + margin
    right, floor = WIDTH - RIGHT, HEIGHT - BOTTOM
    span = max(trend.end - trend.begin, 1)
    x = LEFT + (time - trend.begin) / span * (right - LEFT)
    y = floor - (value - low) / (high - low) * (floor - TOP)
    font = ImageFont.load_default(size=TEXT)
    if trend.onset < trend.end:
        begun = LEFT + max(0.0, (trend.onset - trend.begin) / span) * (right - LEFT)
        pen.rectangle((begun, TOP, right, floor), fill=OUT)
    _hours(pen, trend, font, right, floor)
    for level in (low + margin, high - margin):
        height = floor - (level - low) / (high - low) * (floor - TOP)
        pen.text((LEFT - 6, height), _drawn(_short(level), language), fill=INK, font=font, anchor="rm")
    for first, last in _runs(time):
        _line(pen, x[first:last], y[first:last])
    if trend.limit is not None:
        height = floor - (trend.limit - low) / (high - low) * (floor - TOP)
        for begin in range(LEFT, right, 10):  # dashed, so that it is known from the readings without its colour
            pen.line((begin, height, min(begin + 6, right), height), fill=LIMIT, width=2)
        # below the line where there is no room above it; the letters that Pillow brings have no small 3
        above = height - TOP > TEXT + 6
        place = (LEFT + 6, height - 4 if above else height + 4)
        label = f"{_drawn(number(trend.limit), language)} {unit_text(trend.unit)}".rstrip().replace("³", "3")
        pen.text(place, label, fill=LIMIT, font=font, anchor="ls" if above else "lt", stroke_width=2, stroke_fill="white")
    pen.rectangle((LEFT, TOP, right, floor), outline=INK)


def _hours(pen: ImageDraw.ImageDraw, trend: Trend, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, right: int, floor: int) -> None:
    """Round times below the picture, by the site's clocks."""
    span = max(trend.end - trend.begin, 1)
    tick = next((tick for tick in TICKS_NS if span / tick <= 5), TICKS_NS[-1])
    begin = datetime.fromtimestamp(trend.begin // 10**9, trend.zone)
    ahead = int((begin.utcoffset() or begin - begin).total_seconds()) * 10**9
    at = math.ceil((trend.begin + ahead) / tick) * tick - ahead
    while at <= trend.end:
        across = LEFT + (at - trend.begin) / span * (right - LEFT)
        pen.line((across, TOP, across, floor), fill=GRID)
        pen.text((across, floor + 5), _clock(at, trend.zone), fill=INK, font=font, anchor="ma")
        at += tick


def _runs(time: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Stretches without a gap: where readings are missing no line pretends that there were any."""
    steps = np.diff(time)
    gaps = np.flatnonzero(steps > max(5 * float(np.median(steps)), 1.0)) + 1
    edges = [0, *gaps.tolist(), len(time)]
    return list(pairwise(edges))


def _line(pen: ImageDraw.ImageDraw, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    """One line through readings; of many in one column the least and the most, so that no peak is lost."""
    if len(x) == 1:
        pen.ellipse((x[0] - 1.5, y[0] - 1.5, x[0] + 1.5, y[0] + 1.5), fill=LINE)
        return
    columns = np.floor(x).astype(np.int64)
    begins = np.flatnonzero(np.diff(columns, prepend=columns[0] - 1))
    least, most = np.minimum.reduceat(y, begins), np.maximum.reduceat(y, begins)
    last = y[np.append(begins[1:], len(y)) - 1]
    path: list[tuple[float, float]] = []
    for across, first, top, bottom, end in zip(x[begins], y[begins], least, most, last, strict=True):
        path += [(float(across), float(height)) for height in dict.fromkeys((first, top, bottom, end))]
    pen.line(path, fill=LINE, width=2)
