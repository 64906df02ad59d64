"""A source of JSON payloads: its section compiled into what ingest walks for every message, and checked against the facility."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from facility.document import Path, did_you_mean, one_of, shown
from facility.files import Unreadable, beside
from facility.site import Point
from facility.sources.filters import TopicFilter
from facility.sources.json_sections import ClockSection, EntrySection, JsonSection, QualitySection, ReadingSection, scalar_text
from facility.sources.paths import JsonPath, Template
from facility.sources.source import Reading
from facility.spreadsheet import read_rows
from facility.units import UnknownUnit, conversion

COLUMNS = ("name", "point", "unit", "scale", "offset")


@dataclass(frozen=True, slots=True)
class Clock:
    """Where the time stands and how it is read; with `received`, the time of reception where none was sent."""

    paths: tuple[JsonPath, ...]
    format: str
    unit: str | None
    zone: ZoneInfo | None
    received: bool


@dataclass(frozen=True, slots=True)
class QualityMap:
    """What a status says: by text (0 good, 1 uncertain, 2 bad) or by a known code; `otherwise`, `missing` None where that is refused."""

    path: JsonPath
    codes: str | None
    ignored_bits: int
    by_text: dict[str, int]
    otherwise: int | None
    missing: int | None


@dataclass(frozen=True, slots=True)
class Target:
    """What a name in the table stands for; None where the reading says it."""

    point: str
    unit: str | None = None
    scale: float | None = None
    offset: float | None = None


@dataclass(frozen=True, slots=True)
class MappedReading:
    """One `readings` entry, compiled. A reading has a value, or a count in a volume (in `volume_unit`)."""

    point: Template
    each: JsonPath | None
    when: tuple[tuple[JsonPath, frozenset[str]], ...]
    value: JsonPath | None
    count: JsonPath | None
    volume: JsonPath | float | None
    volume_unit: str
    unit: JsonPath | str | None
    values: dict[str, float]
    scale: float
    offset: float
    bad_values: frozenset[str]
    optional: bool
    clock: Clock
    quality: QualityMap | None
    seq: JsonPath | None


@dataclass(frozen=True, slots=True)
class JsonSource:
    """A source of JSON payloads. `table` is None where the templates give point ids themselves."""

    id: str
    filters: tuple[TopicFilter, ...]
    groups: tuple[tuple[JsonPath | None, tuple[MappedReading, ...]], ...]
    """Readings by their `each`, in the order of the file."""
    table: dict[str, Target] | None
    ignore: tuple[str, ...]
    ignore_when: tuple[tuple[JsonPath, frozenset[str]], ...]
    points: frozenset[str]
    lossy: str = ""
    own_topics: tuple[str, ...] = ()

    def target(self, name: str) -> Target | None:
        """The target of a name, None when there is none."""
        return Target(name) if self.table is None else self.table.get(name)

    def ignores(self, name: str) -> bool:
        """Whether a name is passed over."""
        return any(fnmatchcase(name, glob) for glob in self.ignore)


def json_source(section: JsonSection, reading: Reading) -> JsonSource:
    """Compile a section, and check what it maps against the facility."""
    return _Building(section, reading).source()


class _Building:
    def __init__(self, section: JsonSection, reading: Reading) -> None:
        self.section, self.reading = section, reading
        self.points = reading.facility.point_by_id
        self.lines: dict[str, Path] = {}
        """Where each name of the table stands."""

    def source(self) -> JsonSource:
        section = self.section
        table = self._table()
        readings: list[MappedReading] = []
        fed: set[str] = set()
        for number, own in enumerate(section.readings):
            path = section.at("readings", number)
            self._check_places(own, path)
            clock = own.time or section.time
            if clock is None:
                if not self.reading.partial:
                    hint = "Give a path, or `time: received` where the instrument sends none."
                    self.reading.refuse(path, "no key 'time', here or for the whole source", "where the time stands", hint)
                clock = ClockSection(missing="received")  # so that the rest is checked too
            fed |= self._check_points(own, path, table)
            readings.append(self._mapped(own, clock))
        if table is not None and not self.reading.partial and not any(own.point.names or own.point.paths for own in section.readings):
            self._check_unused()
        lossy = self._lossy(readings)
        passed_over = _conditions(section.ignore_when)
        return JsonSource(section.id, section.topic, _grouped(readings), table, tuple(section.ignore), passed_over, frozenset(fed), lossy)

    # The table

    def _table(self) -> dict[str, Target] | None:
        section = self.section
        if not section.points and section.points_file is None:
            return None
        table: dict[str, Target] = {}
        for name, entry in section.points.items():
            self._enter(table, name, entry, section.at("points", name))
        if section.points_file is not None:
            self._read_file(table, section.points_file)
        return table

    def _enter(self, table: dict[str, Target], name: str, entry: EntrySection, path: Path) -> None:
        target = Target(entry.point, entry.unit, entry.scale, entry.offset)
        if name in self.lines:
            self.reading.refuse(path, f"the name {name!r} again", "each name once")
        table[name] = target
        self.lines[name] = path
        self._known(entry.point, path, self.points.get(entry.point))
        if entry.unit is not None:
            self._check_unit(entry.unit, [self.points.get(entry.point)], path)

    def _read_file(self, table: dict[str, Target], reference: str) -> None:
        file, reading = beside(self.reading.name, reference), self.reading
        key = self.section.at("points_file")
        try:
            rows, problems = read_rows(reading.files, file, COLUMNS, ("name", "point"))
        except Unreadable as error:
            reading.refuse(key, str(error), f"a CSV file with the columns {', '.join(COLUMNS)}")
            return
        reading.problems += problems
        for number, row in enumerate(rows):
            path = (*key, number)
            reading.document.positions[path] = (reading.files.shown(file), row.line)
            numbers: dict[str, float | None] = {}
            for column in ("scale", "offset"):
                text = row.cells.get(column) or None
                numbers[column] = None if text is None else _number(text)
                if text is not None and numbers[column] is None:
                    reading.refuse(path, f"{column} {text!r}", "a finite number")
            if row.cells.get("name") and row.cells.get("point"):
                entry = EntrySection(point=row.cells["point"], unit=row.cells.get("unit") or None, **numbers)
                self._enter(table, row.cells["name"], entry, path)

    def _check_unused(self) -> None:
        used = {own.point.text for own in self.section.readings}
        for name, path in self.lines.items():
            if name not in used:
                self.reading.refuse(path, f"the name {name!r}, which no reading gives", f"a name that one gives: {one_of(tuple(used))}")

    # Against the facility

    def _check_places(self, own: ReadingSection, path: Path) -> None:
        """Names that no topic filter captures, and paths from an element where there is none."""
        for name in own.point.names:
            if name == "key" and own.each is None:
                self.reading.refuse((*path, "point"), "{key} without `each`", "{key} for the members of an `each`")
            for filter in self.section.topic if name != "key" else ():
                known = tuple(other for _, other in filter.names)
                if name not in known:
                    allowed = f"a level that {filter.text} captures: {one_of(known)}"
                    self.reading.refuse((*path, "point"), f"{{{name}}}", allowed, did_you_mean(name, known))
        if own.each is not None and own.each.relative:
            self.reading.refuse((*path, "each"), shown(own.each.text), "a path from the whole message, such as $.values")
        if own.each is not None:
            return
        clock, quality = own.time, own.quality
        given: list[tuple[str, object]] = [(key, getattr(own, key)) for key in ("value", "count", "volume", "unit", "seq")]
        given += [("point", at) for at in own.point.paths] + [("when", at) for at in own.when]
        given += [("time", at) for at in (clock.path if clock else ())] + [("quality", quality.path if quality else None)]
        for key, at in given:
            if isinstance(at, JsonPath) and at.relative:
                self.reading.refuse((*path, key), shown(at.text), "a path from the whole message, $.…, as there is no `each`")

    def _check_points(self, own: ReadingSection, path: Path, table: dict[str, Target] | None) -> set[str]:
        """The points that a reading feeds, as far as the file tells; each must be known, and its unit must fit."""
        if table is not None:
            names = [own.point.text] if own.point.fixed else [name for name in self.lines if own.point.fits(name)]
            if not self.reading.partial and not any(name in table for name in names):
                hint = did_you_mean(own.point.text, tuple(self.lines)) if own.point.fixed else ""
                self.reading.refuse((*path, "point"), shown(own.point.text), f"a name in `points`: {one_of(tuple(self.lines))}", hint)
            fed = {table[name].point for name in names if name in table}
            own_units = {table[name].point for name in names if name in table and table[name].unit is not None}
        else:
            own_units = set()
            fed = {point for point in self.points if own.point.fits(point)}
            if own.point.fixed:
                fed = {own.point.text}
                self._known(own.point.text, (*path, "point"), self.points.get(own.point.text))
            elif self.points and not fed:
                allowed = f"a text that becomes the id of a point, such as {one_of(tuple(self.points), 4)}"
                self.reading.refuse((*path, "point"), shown(own.point.text), allowed, "A table `points` gives names of the source's own.")
        checked = [self.points.get(point) for point in sorted(fed - own_units)]
        unit = "1/m3" if own.count is not None else own.unit
        if isinstance(unit, str):
            key = "count" if own.count is not None else "unit"
            self._check_unit(unit, checked, (*path, key), every=table is not None or own.point.fixed)
        return fed & self.points.keys()

    def _known(self, id_: str, path: Path, point: Point | None) -> None:
        if not self.points:
            return  # the facility file has its own problems, which come first
        if point is None:
            ids = tuple(self.points)
            self.reading.refuse(path, shown(id_), f"a point of the facility: {one_of(ids, 8)}", did_you_mean(id_, ids))
        elif point.retired_ns is not None:
            self.reading.warn(path, f"{id_}, which is retired", "a point in use: readings from its retirement on go to quarantine")

    def _check_unit(self, unit: str, points: Iterable[Point | None], path: Path, every: bool = True) -> None:
        """A unit must fit every point, or with a template one of those that it could become."""
        problems = []
        known = [point for point in points if point is not None]
        for point in known:
            try:
                conversion(unit, point.unit)
            except UnknownUnit as error:
                problems.append(f"{error}, as {point.id} is in {point.unit or '1'}")
        if problems and (every or len(problems) == len(known)):
            self.reading.refuse(path, shown(unit), problems[0])

    # Compiling

    def _lossy(self, readings: list[MappedReading]) -> str:
        words = []
        if self.section.qos == 0:
            words.append("with QoS 0 the broker keeps nothing while the service is away, and what is lost on the way is not sent again")
        if any(own.clock.received for own in readings):
            words.append("with the time of reception a message that comes again is a new reading, and one that waited is dated too late")
        if words:
            key = "qos" if self.section.qos == 0 else "time"
            self.reading.warn(self.section.at(key), f"a source that cannot be exact: {'; '.join(words)}", "QoS 1 and a time that is sent")
        return "; ".join(words)

    def _mapped(self, own: ReadingSection, clock: ClockSection) -> MappedReading:
        quality = own.quality or self.section.quality
        return MappedReading(
            point=own.point,
            each=own.each,
            when=_conditions(own.when),
            value=own.value,
            count=own.count,
            volume=own.volume,
            volume_unit=own.volume_unit,
            unit=own.unit,
            values=own.values,
            scale=own.scale,
            offset=own.offset,
            bad_values=frozenset(key for text in own.bad_values for key in _spellings(text)),
            optional=own.optional,
            clock=_clock(clock),
            quality=None if quality is None else _quality(quality),
            seq=own.seq or self.section.seq,
        )


def _grouped(readings: list[MappedReading]) -> tuple[tuple[JsonPath | None, tuple[MappedReading, ...]], ...]:
    groups: dict[JsonPath | None, list[MappedReading]] = {}
    for own in readings:
        groups.setdefault(own.each, []).append(own)
    return tuple((each, tuple(group)) for each, group in groups.items())


def _clock(section: ClockSection) -> Clock:
    zone = None if section.zone is None else ZoneInfo(section.zone)
    return Clock(section.path, section.format, section.unit, zone, section.missing is not None)


def _quality(section: QualitySection) -> QualityMap:
    grades = {"good": 0, "uncertain": 1, "bad": 2}
    by_text = {key: code for name, code in grades.items() for text in getattr(section, name) for key in _spellings(text)}
    ignored = sum(1 << bit for bit in set(section.ignore_bits))
    default = [None if name is None else grades[name] for name in (section.otherwise, section.missing)]
    return QualityMap(section.path, section.codes, ignored, by_text, default[0], default[1])


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _spellings(text: str) -> tuple[str, ...]:
    """How a text may stand in a payload: 5.0 also as 5."""
    value = _number(text)
    return (text,) if value is None or text != text.strip() else tuple(dict.fromkeys((text, scalar_text(value))))


def _conditions(when: dict[JsonPath, tuple[str, ...]]) -> tuple[tuple[JsonPath, frozenset[str]], ...]:
    return tuple((path, frozenset(key for text in texts for key in _spellings(text))) for path, texts in when.items())
