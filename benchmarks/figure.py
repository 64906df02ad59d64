"""What a benchmark gives: figures, some of them with a limit, and how they are printed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Limit:
    """What was promised: `measured` (in `unit`) is `at_least` or at most `value`."""

    measured: float
    value: float
    unit: str = ""
    at_least: bool = False

    @property
    def kept(self) -> bool:
        return self.measured >= self.value if self.at_least else self.measured <= self.value

    def __str__(self) -> str:
        return f"{number(self.measured)}{self.unit} {'≥' if self.at_least else '≤'} {number(self.value)}{self.unit}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: what was measured, the value, what it is compared with."""

    what: str
    value: float
    unit: str
    note: str = ""
    limit: Limit | None = None


def number(value: float) -> str:
    """At least two digits that count, thousands apart: 12,346; 12.3; 0.81."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(values: Sequence[float], unit: str = "") -> str:
    """How many runs the median is of, and from where to where they went."""
    return f"median of {len(values)}: {number(min(values))} to {number(max(values))}{unit}"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of runs that were made side by side."""
    return median(own / other for own, other in zip(ours, theirs, strict=True))


def table(figures: Iterable[Figure]) -> str:
    """Rows for a terminal, aligned; `over` marks a limit that was not kept."""
    rows = [("", "measured", "limit", "", "")]
    for figure in figures:
        verdict = "" if figure.limit is None else "kept" if figure.limit.kept else "OVER"
        rows.append((figure.what, f"{number(figure.value)} {figure.unit}", str(figure.limit or ""), verdict, figure.note))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip() for row in rows]
    return "\n".join(lines)


def as_json(name: str, figures: Iterable[Figure]) -> str:
    """One line of JSON for a program."""
    rows = [asdict(figure) | ({"kept": figure.limit.kept} if figure.limit else {}) for figure in figures]
    return json.dumps({"benchmark": name, "figures": rows}, ensure_ascii=False)
