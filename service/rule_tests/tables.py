"""The tables of a rule test: what happened, a row a time; what is expected, a row an excursion."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from facility.document import did_you_mean, one_of
from facility.durations import parse_duration
from facility.reading import BAD, GOOD, QUALITIES, UNCERTAIN
from facility.recording.chunk import OCCUPANCY_SUFFIX
from facility.site import OCCUPANCIES, Facility
from rules.ahead import OURS
from rules.excursion import COLUMNS, Excursion

NOTHING, ANYTHING = ".", "*"
ROWS_MAX = 1_000_000
_SPANS = re.compile(r"-?(\d+(\.\d+)?(ms|s|m|h|d))+")
_SPAN = re.compile(r"\d+(?:\.\d+)?(?:ms|s|m|h|d)")
_CELL = re.compile(r"(?P<first>[^?!]+?)(\.\.(?P<last>[^?!]+))?(?P<mark>[?!]?)")
_MARKS = {"": GOOD, "?": UNCERTAIN, "!": BAD}
_TIMES = ("onset", "raised", "ended", "cleared")
SPAN_ALLOWED = "a time after `begin` such as 0s, 90s, 1m30s, 2h, 1d, or -30s before it"


class WrongTable(Exception):
    """A table that cannot be understood: the line in it (from 0), what was found, what is allowed, a suggestion."""

    def __init__(self, line: int, found: str, allowed: str, hint: str = "") -> None:
        self.line, self.found, self.allowed, self.hint = line, found, allowed, hint
        super().__init__(f"{found}; allowed: {allowed}")


@dataclass(frozen=True, slots=True)
class Happening:
    """A reading, or a state of `<place>/occupancy`; times in ns after the begin, `value` as text, empty where time only passes."""

    time: int
    received: int
    point: str
    value: str
    quality: int = GOOD


@dataclass(frozen=True, slots=True)
class Expected:
    """An excursion that is expected: the columns that the author gives, and the line in the table; times in ns after the begin."""

    line: int
    cells: Mapping[str, Any]

    def differences(self, found: Excursion, begin: int) -> dict[str, tuple[Any, Any]]:
        """The columns in which a found excursion differs: expected, found."""
        differing = {}
        for name, wanted in self.cells.items():
            value = getattr(found, name)
            if name in _TIMES and wanted is not None:
                wanted += begin
            close = isinstance(wanted, float) and isinstance(value, float) and math.isclose(wanted, value, rel_tol=1e-9, abs_tol=1e-12)
            if wanted != value and not close:
                differing[name] = (wanted, value)
        return differing


def span_ns(text: str) -> int:
    """A time such as `1m30s`, in ns; raises ValueError."""
    if not _SPANS.fullmatch(text):
        raise ValueError(SPAN_ALLOWED)
    total = sum(parse_duration(part).ns for part in _SPAN.findall(text))
    return -total if text.startswith("-") else total


def happenings(text: str, facility: Facility) -> list[Happening]:
    """What a table says that happened, in order of arrival; raises WrongTable."""
    lines = _lines(text)
    if not lines:
        raise WrongTable(0, "no row", "a row of names that begins with `at`, then a row for each time")
    (line, names), *rows = lines
    columns = _columns(line, names, facility)
    found: list[Happening] = []
    for line, cells in rows:
        if len(cells) != len(names):
            raise WrongTable(line, f"{len(cells)} cells", f"{len(names)}, one for each of {' '.join(names)}; {NOTHING} for nothing")
        found += _row(line, dict(zip(names, cells, strict=True)), columns, facility)
        if len(found) > ROWS_MAX:
            raise WrongTable(line, f"{len(found):,} readings up to here", f"at most {ROWS_MAX:,}: a shorter time or longer steps")
    return sorted(found, key=lambda one: (one.received, one.time))


def expectations(text: str, facility: Facility, rules: tuple[str, ...]) -> list[Expected]:
    """The excursions that a table expects; raises WrongTable."""
    lines = _lines(text)
    if not lines or lines == [(lines[0][0], ["none"])]:
        return []
    (line, names), *rows = lines
    for name in names:
        if name not in COLUMNS:
            raise WrongTable(line, f"the column {name!r}", one_of(COLUMNS), did_you_mean(name, COLUMNS))
    if "rule" not in names or len(set(names)) < len(names):
        raise WrongTable(line, " ".join(names), "each column once, `rule` among them")
    found = []
    for line, cells in rows:
        if len(cells) != len(names):
            raise WrongTable(
                line, f"{len(cells)} cells", f"{len(names)}, one for each of {' '.join(names)}; {NOTHING} for none, {ANYTHING} for any"
            )
        given = {name: _expected(line, name, cell) for name, cell in zip(names, cells, strict=True) if cell != ANYTHING}
        for name, known in (("rule", rules), ("point", (*facility.judged_by_id, OURS))):
            if given.get(name, known[:1] and known[0]) not in known:
                raise WrongTable(line, f"the {name} {given[name]!r}", one_of(known), did_you_mean(given[name], known))
        found.append(Expected(line, given))
    return found


def _lines(text: str) -> list[tuple[int, list[str]]]:
    """The rows that say something, as cells, each with its line in the text; `#` begins a comment."""
    rows = [(number, line.split("#")[0].split()) for number, line in enumerate(text.splitlines())]
    return [(number, cells) for number, cells in rows if cells]


def _columns(line: int, names: list[str], facility: Facility) -> list[str]:
    """The points and places of a heading."""
    if names[0] != "at" or len(set(names)) < len(names):
        raise WrongTable(
            line, " ".join(names), "`at` first, then points and PLACE/occupancy, each once, and `received` for what comes late"
        )
    places = [f"{place}{OCCUPANCY_SUFFIX}" for place in facility.place_by_id]
    known = [*(point.id for point in facility.measured), *places]
    columns = [name for name in names[1:] if name != "received"]
    for name in columns:
        if name not in known:
            raise WrongTable(line, f"the column {name!r}", f"a point or PLACE/occupancy: {one_of(known)}", did_you_mean(name, known))
    if not columns:
        raise WrongTable(line, " ".join(names), "at least one point")
    return columns


def _row(line: int, cells: dict[str, str], columns: list[str], facility: Facility) -> Iterator[Happening]:
    at, _, step = cells["at"].partition("/")
    first, dots, last = at.partition("..")
    begin = _cell_of(line, span_ns, first)
    end = _cell_of(line, span_ns, last) if dots else None
    if (end is not None and end <= begin) or (step and end is None):
        raise WrongTable(line, repr(cells["at"]), "FROM..TO or FROM..TO/STEP, such as 1m..5m/10s; TO is the end and not in it")
    late = None if cells.get("received", NOTHING) == NOTHING else _cell_of(line, span_ns, cells["received"])
    if all(cells[name] == NOTHING for name in columns):  # time passes
        yield Happening(begin, begin if late is None else late, columns[0], "")
        return
    for name in columns:
        if cells[name] == NOTHING:
            continue
        if name.endswith(OCCUPANCY_SUFFIX):
            if cells[name] not in OCCUPANCIES:
                raise WrongTable(line, f"the state {cells[name]!r}", one_of(OCCUPANCIES), did_you_mean(cells[name], OCCUPANCIES))
            yield Happening(begin, begin if late is None else late, name, cells[name])
            continue
        value, mark = _values(line, cells[name], end is not None)
        times = range(begin, begin + 1) if end is None else range(begin, end, _step(line, name, step, facility))
        if len(times) > ROWS_MAX:
            raise WrongTable(line, f"{len(times):,} readings", f"at most {ROWS_MAX:,}: a shorter time or longer steps")
        for time in times:
            yield Happening(time, time if late is None else late, name, value(time - begin, (end or begin + 1) - begin), mark)


def _step(line: int, name: str, step: str, facility: Facility) -> int:
    period = facility.point_by_id[name].period_ns
    if not step and period is None:
        raise WrongTable(line, f"a span without a step, but {name} declares no period", "FROM..TO/STEP such as 1m..5m/10s")
    step_ns = _cell_of(line, span_ns, step) if step else period or 0
    if step_ns <= 0:
        raise WrongTable(line, f"the step {step!r}", "a duration above 0")
    return step_ns


def _values(line: int, cell: str, spans: bool) -> tuple[Callable[[int, int], str], int]:
    """The value so far into the row's span, and its quality."""
    allowed = "a number, NaN, FROM..TO for what rises or falls along a span of time; then ? for uncertain, ! for bad"
    match = _CELL.fullmatch(cell)
    try:
        assert match is not None
        first = float(match["first"])
        last = first if match["last"] is None else float(match["last"])
    except (AssertionError, ValueError):
        raise WrongTable(line, repr(cell), allowed) from None
    if match["last"] is None:
        return lambda since, span: match["first"], _MARKS[match["mark"]]
    if not spans or not (math.isfinite(first) and math.isfinite(last)):
        raise WrongTable(line, f"{cell!r} at one time", allowed)
    exact, rise = Fraction(match["first"]), Fraction(match["last"]) - Fraction(match["first"])
    return lambda since, span: repr(float(exact + rise * Fraction(since, span))), _MARKS[match["mark"]]


def _expected(line: int, name: str, cell: str) -> Any:
    if cell == NOTHING:
        return "" if name in ("id", "occupancy", "zone", "closed_by", "unit", "room") else None
    if name in _TIMES:
        return _cell_of(line, span_ns, cell)
    if name in ("peak", "limit"):
        return _cell_of(line, float, cell)
    if name in ("readings", "revision"):
        return _cell_of(line, int, cell)
    return {"true": True, "false": False}.get(cell, cell) if name == "late" else cell


def _cell_of(line: int, read: Callable[[str], Any], cell: str) -> Any:
    try:
        return read(cell)
    except ValueError as error:
        allowed = SPAN_ALLOWED if read is span_ns else f"a number ({error})"
        raise WrongTable(line, repr(cell), allowed) from None


def quality_of(happening: Happening) -> str:
    """The quality as a recording has it."""
    return QUALITIES[happening.quality]
