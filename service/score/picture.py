"""The picture of scores, as SVG: how many faults of each kind were found and how soon, and what each rule raised, right and false."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from service.score.report import delay_text
from simulators.score import Figures, Run, by_kind, by_rule, overall

WIDTH, LEFT, BAR, ROW, TOP = 1100, 250, 200, 24, 96
DELAYS, RIGHT = 520, 1060
"""Where the axis of delays begins and ends."""
FOUND, MISSED, FALSE, DOT, QUIET = "#2a7f62", "#d9dee4", "#c8342b", "#2f7fd0", "#5b6875"
TICKS_S = (1, 10, 60, 600, 3600, 6 * 3600)
_STYLE = (
    "text{font:13px sans-serif;fill:#1c2733}.small{font-size:11px;fill:#5b6875}.head{font-size:15px;font-weight:600}"
    ".number{font-size:12px;text-anchor:end}"
)


def picture(runs: Sequence[Run], words: str) -> str:
    """Two panels below each other, with the sums in the title; `words` say what was scored."""
    kinds, rules = by_kind(runs), by_rule(runs)
    second = TOP + ROW * max(len(kinds), 1) + 74
    height = second + ROW * max(len(rules), 1) + 24
    body = [*_head(words, overall(runs)), *_kinds(kinds), *_rules(rules, second)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">'
        f"<title>{escape(words)}</title><style>{_STYLE}</style>"
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _head(words: str, sums: Figures) -> Iterator[str]:
    said = f"{sums.found} of {sums.faults} faults found; {sums.right} excursions were right, {sums.false} false"
    yield f'<text x="20" y="28" class="head">{escape(words)}</text><text x="20" y="48" class="small">{said}</text>'


def _kinds(kinds: Mapping[str, Figures]) -> Iterator[str]:
    yield f'<text x="20" y="{TOP - 14}" class="small">fault</text><text x="{LEFT}" y="{TOP - 14}" class="small">found, of all</text>'
    yield f'<text x="{DELAYS}" y="{TOP - 28}" class="small">from its start to the first alarm: each fault, the median, 95 %</text>'
    bottom = TOP + ROW * len(kinds)
    for tick in TICKS_S:
        x = _x(tick)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{bottom}" stroke="#e6eaee"/>'
        yield f'<text x="{x:.1f}" y="{TOP - 10}" class="small" text-anchor="middle">{delay_text(tick * 10**9)}</text>'
    most = max((figures.faults for figures in kinds.values()), default=1)
    for number, (name, figures) in enumerate(kinds.items()):
        y = TOP + number * ROW
        yield f'<text x="20" y="{y + 16}">{escape(name)}</text>'
        yield from _bar(y, (figures.found, figures.faults - figures.found), most, (FOUND, MISSED))
        yield f'<text x="{LEFT + BAR + 46}" y="{y + 16}" class="number">{figures.found} / {figures.faults}</text>'
        yield from _delays(y + 12, figures)


def _delays(y: float, figures: Figures) -> Iterator[str]:
    for delay in sorted(figures.delays_ns):
        yield f'<circle cx="{_x(delay / 10**9):.1f}" cy="{y}" r="3.5" fill="{DOT}" fill-opacity="0.35"/>'
    for value, half in ((figures.delay_median_ns, 8), (figures.delay_p95_ns, 5)):
        if value is not None:
            x = _x(value / 10**9)
            yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - half}" y2="{y + half}" stroke="#1c2733" stroke-width="2"/>'


def _rules(rules: Mapping[str, Figures], top: float) -> Iterator[str]:
    yield f'<text x="20" y="{top - 14}" class="small">rule</text>'
    yield f'<text x="{LEFT}" y="{top - 14}" class="small">excursions: right, <tspan fill="{FALSE}">false</tspan></text>'
    most = max((figures.right + (figures.false or 0) for figures in rules.values()), default=1)
    for number, (name, figures) in enumerate(rules.items()):
        y = top + number * ROW
        false = figures.false or 0
        yield f'<text x="20" y="{y + 16}" font-size="12">{escape(name)}</text>'
        yield from _bar(y, (figures.right, false), most, (FOUND, FALSE))
        yield f'<text x="{LEFT + BAR + 46}" y="{y + 16}" class="number">{figures.right} + {false}</text>'
        if figures.faults:
            said = f"found {figures.found} of {figures.faults} that it should"
            median = f", median {delay_text(figures.delay_median_ns)}" if figures.found else ""
            yield f'<text x="{DELAYS}" y="{y + 16}" class="small">{said}{median}</text>'


def _bar(y: float, parts: tuple[int, int], most: int, colours: tuple[str, str]) -> Iterator[str]:
    x = float(LEFT)
    for part, colour in zip(parts, colours, strict=True):
        if part:
            width = part / max(most, 1) * BAR
            yield f'<rect x="{x:.1f}" y="{y + 5}" width="{width:.1f}" height="13" fill="{colour}"/>'
            x += width


def _x(seconds: float) -> float:
    """Pixels of a delay, logarithmic."""
    first, last = math.log10(TICKS_S[0]), math.log10(TICKS_S[-1])
    share = (math.log10(min(max(seconds, TICKS_S[0]), TICKS_S[-1])) - first) / (last - first)
    return DELAYS + share * (RIGHT - DELAYS)
