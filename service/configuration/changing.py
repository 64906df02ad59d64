"""A change of what judges, as it is tried out: other rules files, single keys, single limits."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facility.document import did_you_mean, one_of, parse_document, read_document
from facility.files import Files, Unreadable
from facility.limits import COLUMNS, LEVELS, LimitRow, LimitTable
from facility.problems import ConfigurationError, Problem
from facility.site import OCCUPANCIES, Facility
from service.configuration.judging import Judging
from service.configuration.judging_files import JudgingFiles

_SIDES = ("below", "above")


@dataclass(frozen=True, slots=True)
class Setting:
    """`RULE.KEY=VALUE`, or `limits:POINT.LEVEL.SIDE=VALUE`; an empty value takes the key away."""

    text: str
    name: str
    value: Any

    @classmethod
    def parsed(cls, text: str) -> Setting:
        """A setting as on the command line; raises ValueError saying what is allowed."""
        name, equals, value = text.partition("=")
        if not equals or "." not in name:
            raise ValueError("RULE.KEY=VALUE such as dp-cascade.action.below=12 or silent.after=5m, or limits:cp1.dp1.dp.action.below=12")
        document, problems = parse_document("--set", f"value: {value}")
        if problems:
            raise ValueError(f"a value as in the rules file, not {value!r}")
        return cls(text, name.strip(), document.value.get("value"))


@dataclass(frozen=True, slots=True)
class Change:
    """What a change does to whatever judges: other rules files in place of those there are, then settings."""

    rules: tuple[Path, ...] = ()
    settings: tuple[Setting, ...] = ()

    @property
    def words(self) -> str:
        """The change in the words of the command line."""
        return " ".join([*(f"--rules {path}" for path in self.rules), *(f"--set {setting.text}" for setting in self.settings)])

    def over(self, sources: JudgingFiles, *, lenient: bool = False) -> Judging:
        """What judges when the change is laid over these files.

        Raises ConfigurationError; with `lenient` a setting for a rule or point that is not there does nothing.
        """
        if self.rules:
            texts = dict(sources.files.texts)
            names = tuple(str(path.absolute()) for path in self.rules)
            files = Files(sources.files.folder, texts)
            if sources.files.folder is None:  # the journal's texts only: these are read from where they lie
                disk = Files(".")
                for name in names:
                    try:
                        files.texts[name] = disk.read(name)
                    except Unreadable as error:
                        raise ConfigurationError([Problem(name, 0, "", str(error), "a rules file")]) from None
            sources = replace(sources, files=files, rules=names)
        if not self.settings:
            return sources.judging()
        for setting in self.settings:
            sources = _with(sources, setting, lenient)
        try:
            return sources.judging()
        except ConfigurationError as error:
            told = f"--set {' '.join(setting.text for setting in self.settings)}"
            raise ConfigurationError([replace(problem, file=told, line=0) for problem in error.problems]) from None


def _with(sources: JudgingFiles, setting: Setting, lenient: bool) -> JudgingFiles:
    """The files with one setting in them."""
    texts = dict(sources.files.texts)
    if setting.name.startswith("limits:"):
        if not sources.limits:
            if lenient:
                return sources
            raise _refused(setting, "a limit of limits.csv, but no limits.csv is configured", "RULE.KEY=VALUE")
        facility = replace(sources, rules=()).judging()
        table = facility.tables["limits"]
        changed = _limits_with(table, facility.facility, setting, lenient)
        texts[sources.limits] = _limits_text(changed)
        return replace(sources, files=Files(sources.files.folder, texts))
    ids: list[str] = []
    for name in sources.rules:
        document, _ = read_document(sources.files, name)
        rules = [rule for rule in document.value.get("rules") or () if isinstance(rule, dict)]
        for rule in rules:
            path = _path_in(rule, setting.name)
            if path:
                _put(rule, path, setting.value)
                texts[name] = json.dumps({"rules": document.value["rules"]}, ensure_ascii=False)
                return replace(sources, files=Files(sources.files.folder, texts))
            ids.append(str(rule.get("id")))
    if lenient:
        return sources
    hint = did_you_mean(setting.name.rpartition(".")[0], ids)
    raise _refused(setting, f"no rule whose key {setting.name!r} could be", f"a key of one of: {one_of(ids)}", hint)


def _refused(setting: Setting, found: str, allowed: str, hint: str = "") -> ConfigurationError:
    return ConfigurationError([Problem(f"--set {setting.text}", 0, "", found, allowed, hint)])


def _path_in(rule: Mapping[str, Any], name: str) -> list[str]:
    """The keys below the rule that a name means: `ID.above`, `ID.alert.above` in its levels, `ID.select.room`; empty for another rule."""
    id_ = str(rule.get("id"))
    if not name.startswith(f"{id_}."):
        return []
    keys = name[len(id_) + 1 :].split(".")
    return ["levels", *keys] if keys[0] in LEVELS and len(keys) > 1 else keys


def _put(rule: dict[str, Any], keys: list[str], value: Any) -> None:
    holder = rule
    for key in keys[:-1]:
        inner = holder.get(key)
        holder[key] = holder = inner if isinstance(inner, dict) else {}
    # The two spellings of a side exclude each other: giving one takes the other's place.
    side = keys[-1].removeprefix("at_or_")
    if side in _SIDES:
        for other in (side, f"at_or_{side}"):
            holder.pop(other, None)
    if value is None:
        holder.pop(keys[-1], None)
    else:
        holder[keys[-1]] = value


def _limits_with(table: LimitTable, facility: Facility, setting: Setting, lenient: bool) -> LimitTable:
    """The table with rows of its own for the point, one for each occupancy and level, in which the cell is the new one."""
    id_, _, rest = setting.name.removeprefix("limits:").rpartition(".")
    side, (id_, _, level) = rest, id_.rpartition(".")
    occupancy, (shorter, _, last) = "", id_.rpartition(".")
    if id_ not in facility.point_by_id and last in OCCUPANCIES:
        occupancy, id_ = last, shorter
    point = facility.point_by_id.get(id_)
    if point is None and lenient:
        return table
    if point is None or side not in _SIDES or level not in LEVELS or isinstance(setting.value, str | bool):
        hint = did_you_mean(id_, tuple(facility.point_by_id)) if point is None else ""
        allowed = "limits:POINT.LEVEL.SIDE=NUMBER or limits:POINT.OCCUPANCY.LEVEL.SIDE=NUMBER, such as limits:cp1.dp1.dp.action.below=12"
        raise _refused(setting, repr(setting.name), allowed, hint)
    rows = [row for row in table.rows if row.point != point.id]
    for state in OCCUPANCIES:
        for each in LEVELS:
            row = table.row(point, state, each) or LimitRow()
            values: dict[str, Any] = {name: getattr(row, name) for name in _SIDES}
            if each == level and occupancy in ("", state):
                values[side] = setting.value
            if any(value is not None for value in values.values()):
                basis = row.basis or "being tried out"
                rows.append(LimitRow(point.id, quantity=point.quantity, occupancy=state, level=each, basis=basis, **values))
    return replace(table, rows=tuple(rows))


def _limits_text(table: LimitTable) -> str:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    lines.writerows([getattr(row, column) for column in COLUMNS] for row in table.rows)
    return text.getvalue()
