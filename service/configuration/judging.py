"""The part of a configuration that judges: facility, rules and limit tables, their hash, and their return from a journal entry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from fractions import Fraction
from typing import Any

from facility.document import Path, key_text
from facility.facility_file import EMPTY, read_facility
from facility.files import FilePath, Files, Unreadable
from facility.limits import SHIPPED, LimitTable, check_limits, read_limits, shipped_text, table_of
from facility.own import NEWEST, own_points, with_own
from facility.problems import ConfigurationError, Problem
from facility.site import Facility
from ingest.journal.entries import ConfigurationBody
from rules.plan import Plan, plan_of
from rules.rule import Bound, Rule
from rules.rule_checks import Unspecified, Written
from rules.rules_file import read_rules
from rules.selecting import Selector

ENTRY_FORMAT = 1
Judge = tuple[Facility, tuple[Rule, ...], dict[str, LimitTable]]
_SPOKEN = {
    "Site": {"name"},
    "Place": {"name", "points"},
    "Point": {"name", "instrument", "reference", "unmonitored"},
    "Rule": {"cause", "consequence", "text", "sop", "notify_within", "pack"},
    "LimitRow": {"basis", "line"},
}
"""What tells people something, or stands elsewhere too, and judges nothing: no part of the hash."""


@dataclass(frozen=True, slots=True)
class Judging:
    """Facility, rules and tables without what is wrong in them, what is wrong, and what `check` shows beside."""

    facility: Facility
    rules: tuple[Rule, ...]
    tables: dict[str, LimitTable]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    unspecified: tuple[Unspecified, ...]
    written: tuple[Written, ...] = ()
    """The rules, and where each stands."""


def read_judging(
    files: Files,
    facility_name: str,
    rules_names: tuple[str, ...],
    limits_name: str,
    shipped: Mapping[str, str],
    unreadable: Callable[[Path, Unreadable], Problem],
    own: int = NEWEST,
) -> Judging:
    """Read and check the files that judge, by name; an empty name is left out.

    `shipped` are the texts of the shipped limit tables; `unreadable` makes the problem of a key of renrum.yaml whose file cannot be read;
    `own` is the number of the set of the service's own points, which are there when a rule names one.
    """
    problems: list[Problem] = []
    facility, known = EMPTY, False
    try:
        if facility_name:
            facility, faults = read_facility(files, facility_name)
            problems += faults
            known = facility is not EMPTY
    except Unreadable as error:
        problems.append(unreadable(("facility",), error))
    tables = {name: table_of(name, text) for name, text in shipped.items()}
    try:
        if limits_name:
            tables["limits"], faults = read_limits(files, limits_name)
            problems += faults
            if known:
                problems += check_limits(files.shown(limits_name), tables["limits"], facility)
    except Unreadable as error:
        problems.append(unreadable(("limits",), error))
        tables["limits"] = LimitTable("limits", ())
    read = read_rules(files, rules_names, tables, unreadable)
    own_ones = Selector(own_points(own))
    if any(own_ones.selected(rule.select) for rule in read.rules):
        facility = with_own(facility, own)
    fit = read.fit(facility)
    warnings = fit.warnings if known else ()
    return Judging(facility, read.rules, tables, (*problems, *read.problems, *fit.problems), warnings, fit.unspecified, read.written)


def load_judging(facility: FilePath, rules: Sequence[FilePath], limits: FilePath | None = None) -> Judging:
    """Read the files that judge, wherever they lie, without a renrum.yaml; raises ConfigurationError with every problem of every file."""
    names = {"facility": str(facility), "limits": "" if limits is None else str(limits)}
    rules_names = tuple(str(name) for name in rules)

    def unreadable(path: Path, error: Unreadable) -> Problem:
        kind = str(path[0])
        name = rules_names[int(path[1])] if len(path) > 1 else names.get(kind, rules_names[0])
        return Problem(name, 0, "", str(error), f"a {kind} file that can be read")

    shipped = {name: shipped_text(name) for name in SHIPPED}
    judging = read_judging(Files("."), names["facility"], rules_names, names["limits"], shipped, unreadable)
    if judging.problems:
        raise ConfigurationError(dict.fromkeys(judging.problems))
    return judging


def judging_from_entry(entry: Mapping[str, Any]) -> Judge:
    """The judging part of a configuration from its journal entry alone, without the disk.

    Raises ConfigurationError when this version does not read it as it was read then.
    """
    main = str(entry.get("main", "the configuration"))
    hint = "Use the version of Renrum that wrote it."
    if entry.get("format") != ENTRY_FORMAT:
        raise ConfigurationError([Problem(main, 0, "format", repr(entry.get("format")), f"format {ENTRY_FORMAT} of a journal entry", hint)])

    def unreadable(path: Path, error: Unreadable) -> Problem:
        return Problem(main, 0, key_text(path), str(error), "a text that the journal kept")

    files = Files(texts=entry["files"])
    own = entry.get("own", 0)
    if own > NEWEST:
        raise ConfigurationError([Problem(main, 0, "own", repr(own), f"at most {NEWEST}, the own points that this version knows", hint)])
    judging = read_judging(files, entry["facility"], tuple(entry["rules"]), entry["limits"], entry["shipped"], unreadable, own)
    if judging.problems:
        raise ConfigurationError(judging.problems)
    found = judging_hash(judging.facility, judging.rules, judging.tables)
    if found != entry["hash"]:
        raise ConfigurationError([Problem(main, 0, "hash", found, f"what was in force: {entry['hash']}", hint)])
    return judging.facility, judging.rules, judging.tables


def judging_hash(facility: Facility, rules: tuple[Rule, ...], tables: Mapping[str, LimitTable]) -> str:
    """sha256 in hex of what judges, as canonical JSON: facility, rules and the tables that rules name.

    Texts, names for people, and the order and layout of the files do not change it; nor does what is given as its default, so that a
    version that knows more keys gives the same hash.
    """
    limits = [bound.value for rule in rules for bound in (rule.above, rule.below) if isinstance(bound, Bound)]
    named = {value for value in limits if isinstance(value, str)}
    judges = {
        "site": _plain(facility.site),
        "places": sorted(map(_plain, facility.places), key=_canonical),
        "points": sorted(map(_plain, facility.points), key=_canonical),
        "rules": sorted(map(_plain, rules), key=_canonical),
        "tables": {name: sorted(map(_plain, tables[name].rows), key=_canonical) for name in named},
    }
    return hashlib.sha256(_canonical(judges).encode()).hexdigest()


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    """A value as JSON has it; of a dataclass what judges and is not its default."""
    if is_dataclass(value):
        spoken = _SPOKEN.get(type(value).__name__, set())
        kept = {own.name: getattr(value, own.name) for own in fields(value) if own.name not in spoken}
        return {name: _plain(kept[name]) for name, default in _defaults(value) if name in kept and kept[name] != default}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Fraction) else value


def _defaults(value: Any) -> list[tuple[str, object]]:
    def default(own: Field[Any]) -> object:
        return own.default if own.default_factory is MISSING else own.default_factory()

    return [(own.name, default(own)) for own in fields(value)]


class Judges:
    """What journalled configurations judge by: each is read once, for that takes seconds with 10,000 points.

    Those of one hash judge the same, and may speak otherwise.
    """

    def __init__(self) -> None:
        self._judging: dict[str, Judge] = {}
        self._speaking: dict[str, Judge] = {}

    def know(self, entry: Mapping[str, Any], judge: Judge) -> None:
        """What a configuration judges by, so that it need not be read from its entry."""
        self._judging.setdefault(entry["hash"], judge)
        self._speaking[_speaking_of(entry)] = judge

    def of(self, body: ConfigurationBody) -> Judge:
        """Facility, rules and tables; raises ConfigurationError when this version does not read them as they were read then."""
        if (speaking := _speaking_of(body.entry)) not in self._speaking:
            self.know(body.entry, judging_from_entry(body.entry))
        return self._speaking[speaking]

    def plan(self, body: ConfigurationBody, number_of: Mapping[str, int], at: int | None = None) -> Plan:
        """The rules of a journalled configuration, in force from `at` on, laid over its points; raises ConfigurationError as `of` does."""
        return plan_of(*(self._judging.get(body.hash) or self.of(body)), number_of, body.hash, at)


def _speaking_of(entry: Mapping[str, Any]) -> str:
    """sha256 in hex of all that facility and rules are read from, their texts for people too."""
    others = {entry.get("main"), entry.get("oncall"), entry.get("sources")}
    files = {name: text for name, text in entry["files"].items() if name not in others}
    kept = {key: entry.get(key) for key in ("format", "hash", "facility", "rules", "limits", "own", "shipped")}
    return hashlib.sha256(_canonical(kept | {"files": files}).encode()).hexdigest()
