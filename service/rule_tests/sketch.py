"""A small picture of a series in block characters, for a terminal: readings, limits, and spans of time below them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 64, 8
_QUADRANTS = " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"
"""By bits: upper left 1, upper right 2, lower left 4, lower right 8."""
_LIMIT = "┄"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time below the picture; `end` None goes on beyond it."""

    label: str
    begin: float
    end: float | None


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that holds from `begin` up to `end`."""

    begin: float
    end: float
    value: float


def sketch(
    times: Sequence[float], values: Sequence[float], limits: Sequence[Limit], spans: Sequence[Span], told: Callable[[float], str]
) -> list[str]:
    """The lines of a picture; `times` ascending and finite, `told` writes one of them below the picture."""
    points = [(time, value) for time, value in zip(times, values, strict=True) if math.isfinite(value)]
    ends = [time for span in spans for time in (span.begin, span.end) if time is not None]
    begin, end = min([*times, *ends], default=0.0), max([*times, *ends], default=1.0)
    end = end if end > begin else begin + 1
    shown = [limit.value for limit in limits if math.isfinite(limit.value)]
    low, high = min([value for _, value in points] + shown, default=0.0), max([value for _, value in points] + shown, default=1.0)
    if not high > low:
        low, high = low - 1, high + 1
    labels = [f"{value:.4g}" for value in (high, low)]
    margin = max([len(label) for label in labels] + [len(span.label) for span in spans]) + 1
    lines = ["".join(row) for row in _canvas(points, limits, (begin, end), (low, high))]
    left = [labels[0], *[""] * (HEIGHT - 2), labels[1]]
    for row in sorted({_row(value, low, high) for value in shown}):
        near = next(value for value in shown if _row(value, low, high) == row)
        left[row] = f"{near:.4g}"
        margin = max(margin, len(left[row]) + 1)
    drawn = [f"{label:>{margin}} ┤{line}" for label, line in zip(left, lines, strict=True)]
    drawn += [f"{span.label:>{margin}}  {_bar(span, begin, end)}" for span in spans]
    first, last = told(begin), told(end)
    return [line.rstrip() for line in drawn] + [f"{'':>{margin}}  {first}{last:>{max(WIDTH - len(first), len(last) + 1)}}"]


def _row(value: float, low: float, high: float) -> int:
    return round((high - value) / (high - low) * (2 * HEIGHT - 1)) // 2


def _canvas(
    points: list[tuple[float, float]], limits: Sequence[Limit], across: tuple[float, float], upright: tuple[float, float]
) -> list[list[str]]:
    begin, end = across
    low, high = upright
    bits = [[0] * WIDTH for _ in range(HEIGHT)]

    def column(time: float) -> int:
        return round((time - begin) / (end - begin) * (2 * WIDTH - 1))

    def height(value: float) -> int:
        return round((high - value) / (high - low) * (2 * HEIGHT - 1))

    for (time, value), (next_time, next_value) in zip(points, points[1:] or points, strict=False):
        here, there = column(time), column(next_time)
        for x in range(here, there + 1):
            share = 0.0 if there == here else (x - here) / (there - here)
            ends = (height(value), height(next_value)) if there == here else (height(value + (next_value - value) * share),) * 2
            for y in range(min(ends), max(ends) + 1):
                bits[y // 2][x // 2] |= 1 << (x % 2 + 2 * (y % 2))
    canvas = [[_QUADRANTS[mask] for mask in row] for row in bits]
    for limit in limits:
        if math.isfinite(limit.value):
            row = canvas[_row(limit.value, low, high)]
            for x in range(column(limit.begin) // 2, column(limit.end) // 2 + 1):
                row[x] = _LIMIT if row[x] == " " else row[x]
    return canvas


def _bar(span: Span, begin: float, end: float) -> str:
    first = round((span.begin - begin) / (end - begin) * (WIDTH - 1))
    last = WIDTH - 1 if span.end is None else round((span.end - begin) / (end - begin) * (WIDTH - 1))
    if span.end is None:
        return " " * first + "├" + "─" * (last - first - 1) + "▶"
    return " " * first + ("│" if last == first else "├" + "─" * (last - first - 1) + "┤")
