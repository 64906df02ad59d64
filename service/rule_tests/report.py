"""What came of rule tests, for people (a picture of each series that differs), for programs, and as JUnit XML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np

from facility.recording.chunk import OCCUPANCY_SUFFIX
from facility.times import format_time
from rules.occupancy import occupancy_of
from rules.plan import Pairs
from service.rule_tests.files import Case, Difference, Outcome
from service.rule_tests.sketch import Limit, Span, sketch
from service.rule_tests.tables import Expected, Happening

_TIMES = ("onset", "raised", "ended", "cleared")


def span_text(ns: int) -> str:
    """A time after the begin as the tables have it: `1m30s`."""
    sign, left, text = "-" if ns < 0 else "", abs(ns), ""
    for unit, size in (("d", 86_400 * 10**9), ("h", 3600 * 10**9), ("m", 60 * 10**9)):
        text += f"{left // size}{unit}" if left >= size else ""
        left %= size
    seconds = f"{left // 10**9}.{left % 10**9:09d}".rstrip("0").rstrip(".")
    return sign + (f"{text}{seconds}s" if left or not text else text)


def failure_lines(outcome: Outcome) -> Iterator[str]:
    """What differs, rule by rule and point by point, each with a picture."""
    case = outcome.case
    shown = set()
    for difference in outcome.differences:
        yield f"  {_sentence(difference, case)}"
        key = _key(difference)
        if key not in shown:
            shown.add(key)
            yield from (f"    {line}" for line in _picture(outcome, *key))
    for refused in outcome.refused[:5]:
        yield f"  in quarantine: {refused.point} at {refused.time}: {refused.reason}: {refused.detail}"


def _key(difference: Difference) -> tuple[str, str]:
    if difference.found is not None:
        return difference.found.rule, difference.found.point
    assert difference.expected is not None
    return difference.expected.cells["rule"], difference.expected.cells.get("point", "")


def _sentence(difference: Difference, case: Case) -> str:
    rule, point = _key(difference)
    where = f"{rule} at {point}" if point else rule
    if difference.expected is None:
        assert difference.found is not None
        found = difference.found
        return f"{where}: not expected, but found from {_told('onset', found.onset, case)} to {_told('ended', found.ended, case)}"
    if difference.found is None:
        given = {name: value for name, value in difference.expected.cells.items() if name not in ("rule", "point")}
        wanted = ", ".join(f"{name} {_wanted(name, value)}" for name, value in given.items())
        return f"{where}: expected{f' ({wanted})' if wanted else ''}, but nothing was found"
    parts = [
        f"{name} expected {_told(name, wanted, case)}, found {_told(name, value, case)}"
        for name, (wanted, value) in difference.columns.items()
    ]
    return f"{where}: {'; '.join(parts)}"


def _wanted(name: str, value: Any) -> str:
    return "none" if value in (None, "") else span_text(value) if name in _TIMES else str(value)


def _told(name: str, value: Any, case: Case) -> str:
    if value in (None, ""):
        return "open" if name in ("ended", "cleared") else "none"
    return span_text(value - case.begin) if name in _TIMES else f"{value:.10g}" if isinstance(value, float) else str(value)


def _picture(outcome: Outcome, rule: str, point: str) -> list[str]:
    case = outcome.case
    points = {point} if point else case.points
    readings = sorted((one for one in case.happened if one.point in points and one.value), key=lambda one: one.time)
    if not readings or point not in case.plan.facility.point_by_id:
        return []
    times = [float(one.time) for one in readings]
    end = float(max(one.time for one in case.happened))
    spans = [_expected_span(one) for one in case.expected if one.cells["rule"] == rule and one.cells.get("point", point) == point]
    spans += [
        Span("found", float(row.onset - case.begin), None if row.ended is None else float(row.ended - case.begin))
        for row in outcome.found
        if (row.rule, row.point) == (rule, point)
    ]
    return sketch(
        times, [float(one.value) for one in readings], _limits(case, rule, point, readings, end), spans, lambda at: span_text(round(at))
    )


def _expected_span(expected: Expected) -> Span:
    """As far as the table says where it begins and ends."""
    begin = expected.cells.get("onset") or expected.cells.get("raised") or 0
    end = expected.cells.get("ended") or expected.cells.get("cleared")
    return Span("expected", float(begin), None if end is None else float(end))


def _limits(case: Case, rule: str, point: str, readings: Sequence[Happening], end: float) -> list[Limit]:
    """The limits of a rule along the readings, as they change with the state of the room."""
    for pairs in case.plan.groups:
        for row in range(len(pairs)):
            if pairs.key(row) == (rule, point):
                return [limit for side in (pairs.above, pairs.below) for limit in _steps(case, pairs, row, side, readings, end)]
    return []


def _steps(case: Case, pairs: Pairs, row: int, side: Any, readings: Sequence[Happening], end: float) -> Iterator[Limit]:
    begin = float(readings[0].time)
    if not pairs.by_occupancy:
        yield Limit(begin, end, float(side[row, 0]))
        return
    states: dict[str, list[tuple[int, str]]] = {}
    for one in case.happened:
        if one.point.endswith(OCCUPANCY_SUFFIX):
            states.setdefault(one.point.removesuffix(OCCUPANCY_SUFFIX), []).append((case.begin + one.time, one.value))
    times = np.array([case.begin + one.time for one in readings], np.int64)
    codes = occupancy_of(case.plan.facility, states).limit_codes(np.full(len(times), pairs.place[row]), times)
    values = [float(side[row, code]) for code in codes]
    for number, one in enumerate(readings):
        if math.isfinite(values[number]):
            yield Limit(float(one.time), float(readings[number + 1].time) if number + 1 < len(readings) else end, values[number])


def document(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """The outcomes as JSON has them."""
    return [
        {
            "file": outcome.case.file,
            "line": outcome.case.line,
            "name": outcome.case.name,
            "ok": outcome.ok,
            "found": len(outcome.found),
            "differences": [
                {
                    "rule": _key(one)[0],
                    "point": _key(one)[1],
                    "expected": None if one.expected is None else {k: _plain(k, v, 0) for k, v in one.expected.cells.items()},
                    "found": None if one.found is None else _found(one.found, outcome.case),
                    "says": _sentence(one, outcome.case),
                }
                for one in outcome.differences
            ],
        }
        for outcome in outcomes
    ]


def _found(row: Any, case: Case) -> dict[str, Any]:
    names = ("rule", "point", "level", *_TIMES, "peak", "readings")
    return {name: _plain(name, getattr(row, name), case.begin) for name in names} | {"onset_time": format_time(row.onset)}


def _plain(name: str, value: Any, begin: int) -> Any:
    return span_text(value - begin) if name in _TIMES and value is not None else value


def junit(outcomes: Sequence[Outcome]) -> bytes:
    """The outcomes as JUnit XML, a suite a file."""
    root = ElementTree.Element("testsuites")
    for file in dict.fromkeys(outcome.case.file for outcome in outcomes):
        mine = [outcome for outcome in outcomes if outcome.case.file == file]
        counts = {"tests": str(len(mine)), "failures": str(sum(not outcome.ok for outcome in mine)), "errors": "0"}
        suite = ElementTree.SubElement(root, "testsuite", {"name": file, **counts})
        for outcome in mine:
            case = ElementTree.SubElement(suite, "testcase", {"classname": file, "name": outcome.case.name})
            if not outcome.ok:
                said = "; ".join(_sentence(one, outcome.case) for one in outcome.differences)
                ElementTree.SubElement(case, "failure", {"message": said}).text = "\n".join(failure_lines(outcome))
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text
