"""Files of rule tests: tables of what happened and what is expected, judged by the engine that judges live."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from importlib.resources import files as package_files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import Field

from alerts.judging.replay import Replay
from facility.document import Document, key_text, read_document, shown
from facility.files import Files, Unreadable, beside
from facility.problems import ConfigurationError, Problem
from facility.recording import read_recording
from facility.recording.chunk import OCCUPANCY_SUFFIX
from facility.sections import Section, validated
from facility.site import Facility
from facility.times import format_time, parse_time
from ingest.admission.recorded import Refused
from rules.excursion import Excursion
from rules.packs import PREFIX, pack_text
from rules.plan import Plan, plan_of
from service.configuration.judging import Judging
from service.configuration.judging_files import JudgingFiles
from service.rule_tests.tables import Expected, Happening, WrongTable, expectations, happenings, quality_of

BEGIN = "2026-01-05T00:00:00"
Row = TypeVar("Row")
_INLINE = {"facility": "facility.yaml", "rules": "rules.yaml"}


class CaseSection(Section):
    """One test: what happens, and which excursions must come of it."""

    name: str
    readings: str
    """A table: a row of names that begins with `at`, then a row for each time."""
    expect: str
    """A table of the excursions that must be found, with the columns that matter, or `none`; any other is a failure."""
    rules: list[str] | None = None
    """Only these rules (globs) are looked at; all unless given."""
    begin: str | None = None
    """The time that stands for 0s: RFC 3339, or local at the site."""


class RuleTestsSection(Section):
    """A file of rule tests."""

    facility: Any = None
    """A facility file, or a facility written here; the site's unless given."""
    rules: Any = None
    """A rules file, several, or a list of rules written here; the site's unless given."""
    limits: str | None = None
    """A limits.csv; the site's unless facility or rules are given."""
    begin: str | None = None
    """The time that stands for 0s in every test; 5 January 2026 unless given."""
    tests: list[CaseSection] = Field(min_length=1)


@dataclass(frozen=True)
class Case:
    """A test that was read: `begin` int ns UTC; the line of each table's first row is where it stands in the file."""

    file: str
    line: int
    name: str
    begin: int
    happened: tuple[Happening, ...]
    expected: tuple[Expected, ...]
    rules: tuple[str, ...] | None
    plan: Plan

    @property
    def points(self) -> frozenset[str]:
        """The points that the test is about: those in its tables (of a place its `PLACE/occupancy`), and what is derived of them."""
        named = {one.point for one in self.happened}
        named |= {
            point.id
            for point in self.plan.facility.points
            if point.derived is not None and named.intersection(origin.point for origin in point.derived.origins)
        }
        return frozenset(named | {expected.cells["point"] for expected in self.expected if "point" in expected.cells})

    def wants(self, row: Excursion) -> bool:
        """Whether a found excursion counts in this test."""
        return row.point in self.points and (self.rules is None or any(fnmatchcase(row.rule, glob) for glob in self.rules))


@dataclass(frozen=True)
class Difference:
    """An expected excursion that was not found so (`columns`: expected and found of each that differs), or one that was not expected."""

    expected: Expected | None
    found: Excursion | None
    columns: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What came of a test."""

    case: Case
    found: tuple[Excursion, ...]
    differences: tuple[Difference, ...]
    refused: tuple[Refused, ...]

    @property
    def ok(self) -> bool:
        return not self.differences


def shipped_tests(pack: str) -> Path:
    """The tests that a pack ships with; raises ConfigurationError for a name that is no pack's."""
    try:
        pack_text(pack)
    except Unreadable as error:
        raise ConfigurationError([Problem(pack, 0, "", str(error), "a file of rule tests, or a pack")]) from None
    return Path(str(package_files("rules.packs"))) / "tests" / f"{pack.removeprefix(PREFIX)}.yaml"


def read_rule_tests(path: Path, site: JudgingFiles | None) -> list[Case]:
    """The tests of a file; `site` are the files that judge where the file names none. Raises ConfigurationError with every problem."""
    files, name = Files.around(path)
    try:
        document, problems = read_document(files, name)
    except Unreadable as error:
        raise ConfigurationError([Problem(str(path), 0, "", str(error), "a file of rule tests")]) from None
    section, faults = (None, []) if problems and not document.value else validated(RuleTestsSection, document)
    if problems or faults or section is None:
        raise ConfigurationError([*problems, *faults])
    judging = _judging(files, name, document, section, site)
    numbers = {point.id: number for number, point in enumerate(judging.facility.points)}
    plan = plan_of(judging.facility, judging.rules, judging.tables, numbers)
    cases = []
    for number, case in enumerate(section.tests):
        reading = _Case(document, case, number, judging)
        cases.append(reading.case(section.begin, plan))
        problems += reading.problems
    names = [case.name for case in section.tests]
    for number, one in enumerate(names):
        if one in names[:number]:
            problems.append(document.problem(("tests", number, "name"), f"{one!r} again", "each name once"))
    if problems:
        raise ConfigurationError(problems)
    return cases


def judged(case: Case) -> Outcome:
    """What the engine finds in what happened, compared with what is expected; raises OSError when there is no room for it."""
    refused: list[Refused] = []
    with TemporaryDirectory(prefix="renrum-rules-test-") as folder:
        recording = Path(folder) / "recording.csv"
        recording.write_text("\n".join(["time,point,value,received,quality", *_rows(case), ""]), encoding="utf-8")
        replay = Replay(case.plan, Path(folder), refused.append)
        try:
            for chunk in read_recording(recording):
                replay.take(chunk)
            replay.judge()
            found = [row for row in replay.excursions() if case.wants(row)]
        finally:
            replay.close()
    return Outcome(case, tuple(found), tuple(_compared(case, found)), tuple(refused))


def _rows(case: Case) -> Iterator[str]:
    for one in case.happened:
        time, received = (format_time(case.begin + at) for at in (one.time, one.received))
        # Commas and quotes cannot be in a cell of a table, nor in an id's cell of it.
        state = one.point.endswith(OCCUPANCY_SUFFIX)
        yield f'{time},"{one.point}",{one.value},{received},{"" if state or not one.value else quality_of(one)}'


def _compared(case: Case, found: list[Excursion]) -> Iterator[Difference]:
    left = list(found)
    missing: list[Expected] = []
    for expected in case.expected:
        same = next((row for row in left if not expected.differences(row, case.begin)), None)
        if same is None:
            missing.append(expected)
        else:
            left.remove(same)
    for expected in missing:  # what is nearest says most about what went wrong
        near = [row for row in left if not expected.differences(row, case.begin).keys() & {"rule", "point"}]
        row = min(near, key=lambda row: len(expected.differences(row, case.begin)), default=None)
        if row is not None:
            left.remove(row)
        yield Difference(expected, row, {} if row is None else expected.differences(row, case.begin))
    yield from (Difference(None, row) for row in left)


class _Case:
    """Turns one section into a case and collects what is wrong with it."""

    def __init__(self, document: Document, section: CaseSection, number: int, judging: Judging) -> None:
        self.document, self.section, self.judging = document, section, judging
        self.path: tuple[str | int, ...] = ("tests", number)
        self.problems: list[Problem] = []

    def case(self, begin: str | None, plan: Plan) -> Case:
        facility, section = self.judging.facility, self.section
        rules = tuple(rule.id for rule in self.judging.rules)
        happened = self._table("readings", lambda: happenings(section.readings, facility))
        expected = self._table("expect", lambda: expectations(section.expect, facility, rules))
        for number, glob in enumerate(section.rules or ()):
            if not any(fnmatchcase(rule, glob) for rule in rules):
                self.problems.append(
                    self.document.problem((*self.path, "rules", number), f"{glob!r}, which no rule matches", "ids of rules, or globs")
                )
        at = self._begin(section.begin or begin or BEGIN, facility)
        _, line = self.document.position(self.path)
        globs = None if section.rules is None else tuple(section.rules)
        return Case(self.document.file, line, section.name, at, happened, expected, globs, plan)

    def _table(self, key: str, read: Callable[[], list[Row]]) -> tuple[Row, ...]:
        """The rows of a table; what is wrong with it gets the line that it has in the file."""
        try:
            return tuple(read())
        except WrongTable as error:
            problem = self.document.problem((*self.path, key), error.found, error.allowed, error.hint)
            inside = error.line + 1 if "\n" in getattr(self.section, key) else 0
            self.problems.append(replace(problem, line=problem.line + inside))
            return ()

    def _begin(self, text: str, facility: Facility) -> int:
        try:
            return parse_time(text, ZoneInfo(facility.site.timezone))
        except ValueError as error:
            path = (*self.path, "begin") if self.section.begin else ("begin",)
            self.problems.append(self.document.problem(path, shown(text), str(error)))
            return 0


def _judging(files: Files, name: str, document: Document, section: RuleTestsSection, site: JudgingFiles | None) -> Judging:
    """What judges the tests of a file; what is written in it is read as its own file would be."""
    texts: dict[str, str] = {} if site is None else dict(site.files.texts)
    named: dict[str, tuple[str, ...]] = {}
    for key, where in _INLINE.items():
        value = getattr(section, key)
        if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(one, dict) for one in value)):
            named[key] = (f"{name}, {key}",)
            texts[named[key][0]] = json.dumps({"rules": value} if isinstance(value, list) else value, ensure_ascii=False)
        elif value is not None:
            given = value if isinstance(value, list) else [value]
            if not given or not all(isinstance(one, str) and one for one in given) or (key == "facility" and len(given) > 1):
                raise ConfigurationError([document.problem((key,), shown(value), f"the name of a file such as {where}, or what is in it")])
            named[key] = tuple(one if one.startswith(PREFIX) else _beside(files, name, one) for one in given)
    if section.limits is not None:
        named["limits"] = (_beside(files, name, section.limits),)
    if site is None and (missing := [key for key in _INLINE if key not in named]):
        hint = "Name it here, or give --config with the renrum.yaml of a site."
        raise ConfigurationError(document.problem((), f"no {key}", "a file, or what is in it", hint) for key in missing)
    own = Files(site.files.folder if site else files.folder, texts)
    limits = "" if site is None or "facility" in named else site.limits
    try:
        return JudgingFiles(
            own,
            facility=named["facility"][0] if "facility" in named else site.facility if site else "",
            rules=named.get("rules", site.rules if site else ()),
            limits=named["limits"][0] if "limits" in named else limits,
        ).judging()
    except ConfigurationError as error:
        raise ConfigurationError(_placed(error, document, name)) from None


def _beside(files: Files, name: str, reference: str) -> str:
    """The absolute name of a file that the test file refers to; a pack's is its own."""
    if reference.startswith(PREFIX):
        return reference
    return str(Path(files.folder or ".").absolute() / beside(name, reference))


def _placed(error: ConfigurationError, document: Document, name: str) -> Iterator[Problem]:
    """The problems of what is written in the file, with the lines that they have in it."""
    for problem in error.problems:
        part = next((key for key in _INLINE if problem.file.endswith(f"{name}, {key}")), None)
        if part is None:
            yield problem
            continue
        below = 1 if part == "facility" else 0  # `rules` is a list here, and a key in a rules file
        lines = {key_text(path[below:]): line for path, (_, line) in document.positions.items() if path[:1] == (part,)}
        key = problem.key
        while key and key not in lines:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        yield replace(
            problem,
            file=document.file,
            line=lines.get(key, document.position((part,))[1]),
            key=f"{part}.{problem.key}" if below else problem.key,
        )
