"""A configuration as values in words, so that two of them can be compared value by value: for people, and for the audit trail."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from facility.document import parse_document
from facility.durations import Duration
from facility.limits import LEVELS, LimitTable
from facility.site import OCCUPANCIES, Point
from facility.times import format_time
from ingest.journal.entries import Changed
from rules.plan import states_of
from rules.rule import Bound, Rule, Selection
from rules.selecting import matches
from service.configuration.judging import Judge

Values = dict[str, dict[str, str]]
"""Of each thing (`rule dp-low`, `cp1.dp`, `on-call`) its values by name; what is not given is not there."""
LAYOUT = "only comments, order or layout"
_DERIVED = {"Point": {"id", "grade", "type"}, "Place": {"id", "points"}, "Rule": {"id"}}
"""What names the thing, or follows from another one."""
_SPOKEN = {"name", "text", "sop", "instrument", "reference", "unmonitored", "select"}
_IN_JUDGE = ("facility", "limits")


def values_of(entry: Mapping[str, Any], judge: Judge) -> Values:
    """The values of a configuration as the journal keeps it; `judge` is what it judges by. There is no secret in them."""
    facility, rules, tables = judge
    found: Values = {"site": _fields(facility.site)}
    for system in facility.systems:
        found[f"system {system.id}"] = _fields(system)
    for place in facility.places:
        found[f"{'zone' if place.parent else 'room'} {place.id}"] = _fields(place)
    units: dict[str, set[str]] = {}
    for point in facility.points:
        units.setdefault(point.quantity, set()).add(point.unit)
    for rule in rules:
        found[f"rule {rule.id}"] = rule_values(rule, units)
    for point in facility.points:
        found[point.id] = _fields(point) | (table_values(tables["limits"], point) if "limits" in tables else {})
    main = document(entry, str(entry["main"]))
    found["renrum.yaml"] = dict(_flat(main))
    for label, name in (("on-call", main.get("oncall")), ("sources", entry.get("sources"))):
        if isinstance(name, str) and name:
            found[label] = dict(_flat(document(entry, name)))
    for name in sorted(set(entry["files"]) - _told(entry, main)):
        found[f"file {name}"] = {"sha256": hashlib.sha256(entry["files"][name].encode()).hexdigest()[:16]}
    for name, text in entry["shipped"].items():
        found[f"limit table {name}"] = {"sha256": hashlib.sha256(text.encode()).hexdigest()[:16]}
    return found


def differences(before: Values, after: Values) -> list[Changed]:
    """What is another value: things that came or went are one line each, all others a line for each value."""
    found: list[Changed] = []
    for thing in dict.fromkeys([*before, *after]):
        old, new = before.get(thing), after.get(thing)
        if old is None or new is None:
            found.append(Changed(thing, _summary(old), _summary(new)))
            continue
        names = dict.fromkeys([*old, *new])
        found += [
            Changed(f"{thing} {name}", old.get(name, ""), new.get(name, "")) for name in names if old.get(name, "") != new.get(name, "")
        ]
    return found


def changes_between(old: Mapping[str, Any], old_judge: Judge, new: Mapping[str, Any], new_judge: Judge) -> list[Changed]:
    """What differs between two configurations as the journal keeps them; files that say the same in other words are named."""
    found = differences(values_of(old, old_judge), values_of(new, new_judge))
    if not found and old != new:
        names = dict.fromkeys([*old["files"], *new["files"]])
        differing = [name for name in names if old["files"].get(name) != new["files"].get(name)]
        found = [Changed(f"file {name}", "", LAYOUT) for name in differing]
    return found


def line_of(changed: Changed) -> str:
    """A change as people read it.

    >>> line_of(Changed("cp1.dp action below", "10 Pa", "12 Pa"))
    'cp1.dp action below 10 → 12 Pa'
    >>> line_of(Changed("rule dp-high", "", "kind limit, above 40"))
    'rule dp-high: new: kind limit, above 40'
    """
    what, old, new = changed.what, changed.old, changed.new
    if old and new:
        (before, _, unit), (_, _, same) = old.partition(" "), new.partition(" ")
        return f"{what} {before if unit == same and ',' not in unit else old} → {new}"
    return f"{what}: new: {new}" if new else f"{what}: gone, was: {old}"


def rule_values(rule: Rule, units_of: Mapping[str, set[str]]) -> dict[str, str]:
    """The values of a rule; its limits with their unit where all points of their quantity have the same one, by `units_of`."""
    found = _fields(rule)
    units = set().union(*(units_of.get(quantity, set()) for quantity in rule.select.quantity))
    if len(units) != 1 or units == {"1"}:
        return found
    for side in ("above", "below", "deadband"):
        value = getattr(rule, side)
        if side in found and not isinstance(value.value if isinstance(value, Bound) else value, str):
            found[side] = f"{found[side]} {next(iter(units))}"
    return found


def judging_values(judge: Judge, id_: str) -> dict[str, str]:
    """What judges a point: its own values, its room's and its zone's, and those of every rule that selects it; empty when there is none.

    Left out is what judges nothing: names, texts for people.
    """
    facility, rules, tables = judge
    point = facility.point_by_id.get(id_)
    if point is None:
        return {}
    found = {name: text for name, text in _fields(point).items() if name not in _SPOKEN}
    for place in (point.room, point.zone):
        if place is not None:
            own = _fields(facility.place_by_id[place])
            found |= {f"{place} {name}": text for name, text in own.items() if name not in _SPOKEN}
    for rule in rules:
        if matches(rule.select, point):
            found |= {f"{rule.id} {name}": text for name, text in _at_point(rule, point, tables).items()}
    return found


def _at_point(rule: Rule, point: Point, tables: Mapping[str, LimitTable]) -> dict[str, str]:
    found = {name: text for name, text in _fields(rule).items() if name.partition(" ")[0] not in _SPOKEN}
    for side in ("above", "below"):
        bound = getattr(rule, side)
        if isinstance(bound, Bound) and isinstance(bound.value, str):
            cells = {state: tables[bound.value].cell(point, state, rule.level) for state in states_of(rule)}
            limits = {state: getattr(cell, side) if cell else None for state, cell in cells.items()}
            found[side] = f"{bound.value}: {_by_occupancy(limits, point.unit) or 'none'}"
        elif isinstance(bound, Bound):
            found[side] = f"{found[side]} {'' if point.unit == '1' else point.unit}".strip()
    return found


def table_values(table: LimitTable, point: Point) -> dict[str, str]:
    """What the site's own table holds for a point: `action below` and so on; by occupancy where that makes a difference."""
    found: dict[str, str] = {}
    for level in LEVELS:
        cells = {state: table.cell(point, state, level) for state in OCCUPANCIES}
        for side in ("below", "above"):
            limits = {state: getattr(cell, side) if cell else None for state, cell in cells.items()}
            if text := _by_occupancy(limits, point.unit):
                found[f"{level} {side}"] = text
    return found


def _by_occupancy(limits: Mapping[str, float | None], unit: str) -> str:
    states: dict[float | None, list[str]] = {}
    for state, limit in limits.items():
        states.setdefault(limit, []).append(state)
    if len(states) == 1:
        only = next(iter(states))
        return "" if only is None else _number(only, unit)
    return ", ".join(f"{'none' if limit is None else _number(limit, unit)} in {' and '.join(some)}" for limit, some in states.items())


def _number(value: float, unit: str) -> str:
    return f"{value:.15g} {'' if unit == '1' else unit}".strip()


def document(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """What a YAML file of a journalled configuration says; empty for one that was not kept."""
    read, _ = parse_document(name, entry["files"].get(name, ""))
    return {key: value for key, value in read.value.items() if not str(key).startswith("x-")}


def _told(entry: Mapping[str, Any], main: Mapping[str, Any]) -> set[str]:
    """The files whose values are told by name."""
    names = [entry["main"], main.get("oncall"), entry.get("sources"), *entry["rules"], *(entry[key] for key in _IN_JUDGE)]
    return {str(name) for name in names if name}


def _fields(value: Any) -> dict[str, str]:
    """The fields of a frozen value that are given, in words."""
    found: dict[str, str] = {}
    for own in fields(value):
        given = getattr(value, own.name)
        default = own.default if own.default_factory is MISSING else own.default_factory()
        if own.name in _DERIVED.get(type(value).__name__, ()) or given == default or given is None:
            continue
        if isinstance(given, dict):
            found |= {f"{own.name} {key}": str(text) for key, text in given.items()}
        else:
            found[own.name.removesuffix("_ns")] = _words(given, own.name)
    return found


def _words(value: Any, name: str = "") -> str:
    if isinstance(value, Bound):
        number = value.value if isinstance(value.value, str) else f"{value.value:.15g}"
        return f"{number} (at it, too)" if value.inclusive else number
    if isinstance(value, Selection) or (is_dataclass(value) and not isinstance(value, Duration)):
        return " ".join(f"{key} {text}" for key, text in _fields(value).items())
    if isinstance(value, tuple):
        return ", ".join(_words(item, name) for item in value)
    if name == "retired_ns":
        return format_time(value)
    if isinstance(value, int) and name.endswith("_ns") and not isinstance(value, bool):
        return str(Duration(value))
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _summary(values: Mapping[str, str] | None) -> str:
    """All values of a thing in one text; empty where there is no such thing."""
    if values is None:
        return ""
    return ", ".join(f"{name} {text}" for name, text in values.items()) or "as is usual"


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every scalar of a document by its path; entries of a list by their id where they have one."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        for number, item in enumerate(value):
            name = item.get("id", number) if isinstance(item, Mapping) else number
            yield from _flat(item, f"{path}[{name}]")
    elif isinstance(value, list):
        yield path, ", ".join(map(str, value))
    elif value is not None:
        yield path, str(value).lower() if isinstance(value, bool) else str(value)


def lines(changes: Iterable[Changed]) -> list[str]:
    """All changes as people read them."""
    return [line_of(changed) for changed in changes]
