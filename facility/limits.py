"""Limit tables: what QA or a regulator approved, as rows from which the most specific one counts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files as package_files

from facility.document import did_you_mean, one_of, shown
from facility.files import FilePath, Files, Unreadable
from facility.problems import ConfigurationError, Problem
from facility.quantities import QUANTITIES
from facility.site import GRADES, OCCUPANCIES, PLACE_TYPES, Facility, Point
from facility.spreadsheet import Row, read_rows
from facility.units import UnknownUnit, conversion

SELECTORS = ("point", "zone", "room", "type", "grade")
"""What makes a row specific, the most specific first."""
COLUMNS = (*SELECTORS, "quantity", "occupancy", "level", "below", "above", "basis")
LEVELS = ("alert", "action")
SHIPPED = ("annex1", "eu_part4", "practice")


@dataclass(frozen=True, slots=True)
class Cell:
    """The limits of a point in one occupancy, in the point's unit; None where that side has none."""

    below: float | None = None
    above: float | None = None


@dataclass(frozen=True, slots=True)
class LimitRow:
    """One row; an empty selector, quantity, occupancy or level matches all. `line` counts in its file."""

    point: str = ""
    zone: str = ""
    room: str = ""
    type: str = ""
    grade: str = ""
    quantity: str = ""
    occupancy: str = ""
    level: str = ""
    below: float | None = None
    above: float | None = None
    basis: str = ""
    line: int = 0

    @property
    def selectors(self) -> tuple[str, ...]:
        return (self.point, self.zone, self.room, self.type, self.grade)

    def covers(self, quantity: str, occupancy: str, level: str) -> bool:
        return self.quantity in ("", quantity) and self.occupancy in ("", occupancy) and self.level in ("", level)


@dataclass(frozen=True)
class LimitTable:
    """Rows from which the most specific wins: by point, zone, room, type, grade, in this order.

    `room` means the room's own points, not its zones'. With `converts` the values are in the quantity's own unit (the first in
    facility/quantities.py) and are converted to the point's; without, they are in the point's unit.
    """

    name: str
    rows: tuple[LimitRow, ...]
    converts: bool = False

    @cached_property
    def _by_selectors(self) -> dict[tuple[bool, ...], dict[tuple[str, ...], list[LimitRow]]]:
        """Rows by what they select on, the most specific first."""
        found: dict[tuple[bool, ...], dict[tuple[str, ...], list[LimitRow]]] = {}
        for row in sorted(self.rows, key=lambda row: [not value for value in row.selectors]):
            given = tuple(bool(value) for value in row.selectors)
            found.setdefault(given, {}).setdefault(row.selectors, []).append(row)
        return found

    def row(self, point: Point, occupancy: str, level: str) -> LimitRow | None:
        """The row that counts for a point, None where the table specifies nothing."""
        values = (point.id, point.zone or "", "" if point.zone else point.room, point.type, point.grade or "")
        for given, rows in self._by_selectors.items():
            key = tuple(value if wanted else "" for value, wanted in zip(values, given, strict=True))
            for row in rows.get(key, ()):
                if row.covers(point.quantity, occupancy, level):
                    return row
        return None

    def cell(self, point: Point, occupancy: str, level: str) -> Cell | None:
        """The limits of a point, None where the table specifies none."""
        row = self.row(point, occupancy, level)
        if row is None or (row.below is None and row.above is None):
            return None
        quantity = QUANTITIES.get(point.quantity)
        if not self.converts or quantity is None:
            return Cell(row.below, row.above)
        to = conversion(quantity.unit, point.unit)
        return Cell(*(None if value is None else to.of(value) for value in (row.below, row.above)))


def load_limits(path: FilePath) -> LimitTable:
    """Read a limits.csv; raises ConfigurationError with every problem."""
    files, name = Files.around(path)
    try:
        table, problems = read_limits(files, name)
    except Unreadable as error:
        raise ConfigurationError([Problem(str(path), 0, "", str(error), "a CSV file of limits")]) from None
    if problems:
        raise ConfigurationError(problems)
    return table


@lru_cache(maxsize=len(SHIPPED))
def shipped(name: str) -> LimitTable:
    """A limit table that comes with the programme, each cell with its source as `basis`."""
    return table_of(name, shipped_text(name))


def shipped_text(name: str) -> str:
    """The text of a table that comes with the programme; raises KeyError for an unknown one."""
    if name not in SHIPPED:
        raise KeyError(name)
    return (package_files("facility") / "tables" / f"{name}.csv").read_text(encoding="utf-8")


def table_of(name: str, text: str) -> LimitTable:
    """A shipped table from its text, as it was when the text was kept; raises ConfigurationError."""
    table, problems = read_limits(Files(texts={f"{name}.csv": text}), f"{name}.csv", name, converts=True)
    if problems:
        raise ConfigurationError(problems)
    return table


def read_limits(files: Files, name: str, table: str = "limits", converts: bool = False) -> tuple[LimitTable, list[Problem]]:
    """The table of a CSV file without its wrong rows, and every problem, ties among them; raises Unreadable."""
    file = files.shown(name)
    found, problems = read_rows(files, name, COLUMNS)
    rows: list[LimitRow] = []
    for row in found:
        limit, faults = _limit_row(file, row)
        problems += faults
        if limit is not None:
            rows.append(limit)
    return LimitTable(table, tuple(rows), converts), problems + _ties(file, rows)


def _limit_row(file: str, row: Row) -> tuple[LimitRow | None, list[Problem]]:
    problems: list[Problem] = []
    for column, names in (("type", PLACE_TYPES), ("grade", GRADES), ("occupancy", OCCUPANCIES), ("level", LEVELS)):
        text = row.cells.get(column)
        if text is not None and text not in names:
            problems.append(Problem(file, row.line, column, shown(text), one_of(names), did_you_mean(text, names)))
    limits: dict[str, float] = {}
    for column in ("below", "above"):
        text = row.cells.get(column)
        if text is None:
            continue
        try:
            limits[column] = float(text)
        except ValueError:
            limits[column] = math.nan
        if not math.isfinite(limits[column]) or "_" in text:
            hint = "Write the decimals after a point." if "," in text else ""
            problems.append(Problem(file, row.line, column, shown(text), "a number such as 14.5 or 3520", hint))
    if not limits:
        problems.append(Problem(file, row.line, "above", "neither below nor above", "a limit on one side or both"))
    elif len(limits) == 2 and limits["below"] > limits["above"]:
        found = f"below {limits['below']:g}, which is higher than above {limits['above']:g}"
        problems.append(Problem(file, row.line, "below", found, "a value not above the other side"))
    if problems:
        return None, problems
    texts = {column: row.cells.get(column, "") for column in COLUMNS if column not in ("below", "above")}
    return LimitRow(**texts, below=limits.get("below"), above=limits.get("above"), line=row.line), []


def _ties(file: str, rows: Iterable[LimitRow]) -> list[Problem]:
    """Rows that are equally specific and match the same point, quantity, occupancy and level."""
    problems = []
    alike: dict[tuple[str, ...], list[LimitRow]] = {}
    for row in rows:
        earlier = alike.setdefault(row.selectors, [])
        tied = next((other for other in earlier if _overlap(row, other)), None)
        if tied is not None:
            found = f"a row that matches the same as line {tied.line} and is as specific"
            allowed = f"one row for each {', '.join(SELECTORS)}, quantity, occupancy and level"
            problems.append(Problem(file, row.line, "", found, allowed, "Name the occupancy and level in both rows."))
        earlier.append(row)
    return problems


def _overlap(row: LimitRow, other: LimitRow) -> bool:
    pairs = ((row.quantity, other.quantity), (row.occupancy, other.occupancy), (row.level, other.level))
    return all(not mine or not theirs or mine == theirs for mine, theirs in pairs)


def check_limits(file: str, table: LimitTable, facility: Facility) -> list[Problem]:
    """What of a site's table does not fit its facility.

    Unknown names, points of several units in a row, an alert outside its action limit, an action limit looser than Annex 1 without a basis.
    """
    problems = _unknown_names(file, table, facility)
    regulatory = shipped("annex1")
    units: dict[int, Point] = {}
    seen: set[tuple[int, str]] = set()

    def refuse(row: LimitRow, what: str, found: str, allowed: str) -> None:
        if (row.line, what) not in seen:
            seen.add((row.line, what))
            problems.append(Problem(file, row.line, what, found, allowed))

    for point in facility.points:
        for occupancy in OCCUPANCIES:
            alert, action = (table.row(point, occupancy, level) for level in LEVELS)
            for row in (alert, action):
                first = units.setdefault(row.line, point) if row else point
                if row and first.unit != point.unit:
                    found = f"a row that matches {first.id} in {first.unit} and {point.id} in {point.unit}"
                    refuse(row, "quantity", found, "points of one unit, as limits are in the point's unit")
            if alert and action and _looser(alert, action):
                found = f"an alert limit outside the action limit of line {action.line}"
                refuse(alert, "level", found, "an alert at or inside its action limit")
            if action and not action.basis:
                cell = _regulatory(regulatory, point, occupancy)
                if cell is not None and _looser(action, cell):
                    found = f"an action limit looser than annex1 ({_sides(cell)} for {point.id}, {occupancy}) without a basis"
                    refuse(action, "basis", found, "a basis: why the site may use it")
    return problems


def _regulatory(table: LimitTable, point: Point, occupancy: str) -> Cell | None:
    try:
        return table.cell(point, occupancy, "action")
    except UnknownUnit:
        return None  # the facility's own check has refused that unit


def _looser(limit: LimitRow, than: LimitRow | Cell) -> bool:
    """Whether values are inside `limit` that are outside `than`."""
    above = math.inf if limit.above is None else limit.above
    below = -math.inf if limit.below is None else limit.below
    return (than.above is not None and above > than.above) or (than.below is not None and below < than.below)


def _sides(cell: Cell) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in (("below", cell.below), ("above", cell.above)) if value is not None)


def _unknown_names(file: str, table: LimitTable, facility: Facility) -> list[Problem]:
    known = {
        "point": tuple(point.id for point in facility.points),
        "zone": tuple(place.id for place in facility.places if place.parent),
        "room": tuple(place.id for place in facility.places if not place.parent),
        "quantity": tuple(dict.fromkeys((*QUANTITIES, *(point.quantity for point in facility.points)))),
    }
    problems = []
    for row in table.rows:
        for column, names in known.items():
            value = getattr(row, column)
            if value and value not in names:
                problems.append(Problem(file, row.line, column, shown(value), one_of(names), did_you_mean(value, names)))
    return problems
