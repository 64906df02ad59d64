"""rules.yaml read into rules, each checked on its own and against the facility."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from facility.document import Document, Path, one_of, read_document, shown
from facility.durations import Duration
from facility.files import FilePath, Files, Unreadable
from facility.limits import LimitTable, shipped
from facility.problems import ConfigurationError, Problem
from facility.sections import validated
from facility.site import Facility
from rules.rule import ZERO, Bound, Rule, Selection
from rules.rule_checks import Fit, Written, check_rules
from rules.rule_sections import LevelSection, RuleSection, RulesSection

_SIDES = ("above", "below", "at_or_above", "at_or_below")
_FOREIGN = {
    "limit": ("after",),
    "stale": (*_SIDES, "deadband", "on_delay", "off_delay", "max_gap"),
    "quality": (*_SIDES, "deadband", "after"),
}
"""Keys that a kind does not have."""


def load_rules(path: FilePath, facility: Facility, tables: Mapping[str, LimitTable] | None = None) -> tuple[Rule, ...]:
    """Read a rules file and check it against the facility; raises ConfigurationError with every problem.

    `tables` are the limit tables that rules may name: the shipped ones unless given.
    """
    files, name = Files.around(path)
    reading = read_rules(files, [name], tables or {"annex1": shipped("annex1")})
    fit = check_rules(reading.written, facility, reading.tables)
    if problems := [*reading.problems, *fit.problems]:
        raise ConfigurationError(problems)
    return reading.rules


@dataclass(frozen=True, slots=True)
class RulesRead:
    """The rules of one or more files without what is wrong, where each stands, and what is wrong."""

    written: tuple[Written, ...]
    problems: tuple[Problem, ...]
    tables: Mapping[str, LimitTable]

    @property
    def rules(self) -> tuple[Rule, ...]:
        return tuple(one.rule for one in self.written)

    def fit(self, facility: Facility) -> Fit:
        """How they fit a facility."""
        return check_rules(self.written, facility, self.tables)


def read_rules(
    files: Files,
    names: Iterable[str],
    tables: Mapping[str, LimitTable],
    unreadable: Callable[[Path, Unreadable], Problem] | None = None,
) -> RulesRead:
    """Read rules files in order; each rule is checked on its own, ids across all files.

    `unreadable` makes the problem of a file that cannot be read, from the path that names it in renrum.yaml and what is wrong.
    """
    reading = _Reading(tables)
    for number, name in enumerate(names):
        try:
            document, problems = read_document(files, name)
        except Unreadable as error:
            plain = Problem(files.shown(name), 0, "", str(error), "a rules file")
            reading.problems.append(unreadable(("rules", number), error) if unreadable else plain)
            continue
        section, faults = (None, []) if problems and not document.value else validated(RulesSection, document, stand_ins={"rules": []})
        reading.problems += problems + faults
        for rule in section.rules if section else ():
            reading.add(document, rule)
    return RulesRead(tuple(reading.written), tuple(reading.problems), tables)


class _Reading:
    """Turns sections into rules and collects what is wrong with each."""

    def __init__(self, tables: Mapping[str, LimitTable]) -> None:
        self.tables = tables
        self.written: list[Written] = []
        self.problems: list[Problem] = []
        self.seen: dict[str, tuple[str, int]] = {}

    def add(self, document: Document, section: RuleSection) -> None:
        place = document.position(section.at("id"))
        for id_ in (section.id,) if section.levels is None else (section.id, f"{section.id}.alert", f"{section.id}.action"):
            file, line = self.seen.setdefault(id_, place)
            if (file, line) != place:
                found = f"{id_!r} again, first given in {file}:{line}"
                self.problems.append(document.problem(section.at("id"), found, "each rule id once"))
        if section.levels is None:
            level = section.level or ("alert" if section.kind == "limit" else "technical")
            self._check(Written(_rule(section, section, section.id, level), document, section.at()), section)
            return
        for key in ("level", *_SIDES):
            if getattr(section, key) is not None:
                hint = "The levels are alert and action." if key == "level" else f"Give {key} in the levels."
                self.problems.append(document.problem(section.at(key), f"{key} beside levels", "one or the other", hint))
        for name, own in (("alert", section.levels.alert), ("action", section.levels.action)):
            rule = _rule(section, own, f"{section.id}.{name}", name, section.id)
            self._check(Written(rule, document, section.at(), own.at()), own)

    def _check(self, written: Written, own: LevelSection) -> None:
        """The rule itself; one that cannot be judged is left out."""
        before = len(self.problems)
        rule = written.rule
        for key in _FOREIGN[rule.kind]:
            if getattr(own, key) is not None or self._given(written, key):
                allowed = one_of([name for name in LevelSection.model_fields if name not in _FOREIGN[rule.kind]])
                self.problems.append(written.problem(key, f"{key} in a rule of kind {rule.kind}", allowed))
        self._sides(written, own)
        self._numbers(written)
        self._whole(written)
        if len(self.problems) == before and (rule.kind != "limit" or rule.above or rule.below) and (rule.kind != "stale" or rule.after):
            self.written.append(written)

    @staticmethod
    def _given(written: Written, key: str) -> bool:
        return (*written.path, key) in written.document.positions

    def _whole(self, written: Written) -> None:
        """What a kind cannot do without; a value that was refused for itself is not missed here."""
        keys = _SIDES if written.level_path else ("levels", *_SIDES)
        if written.rule.kind == "limit" and not written.gives(*keys):
            allowed = f"{one_of(_SIDES)}: one, or one above and one below"
            found = "limit without a limit" + (f" in its level {written.rule.level}" if written.level_path else "")
            self.problems.append(written.problem("kind", found, allowed))
        if written.rule.kind == "stale" and not written.gives("after"):
            allowed = "`after`: how long nothing was received, such as 3 periods"
            self.problems.append(written.problem("kind", "stale without after", allowed))

    def _sides(self, written: Written, own: LevelSection) -> None:
        rule = written.rule
        for side in ("above", "below"):
            if getattr(own, side) is not None and getattr(own, f"at_or_{side}") is not None:
                self.problems.append(written.problem(f"at_or_{side}", f"{side} and at_or_{side}", "one of them"))
        if rule.kind != "limit":
            return
        bounds = {side: bound for side in ("above", "below") if (bound := getattr(rule, side)) is not None}
        for side, bound in bounds.items():
            if isinstance(bound.value, str) and bound.value not in self.tables:
                near = get_close_matches(bound.value, self.tables, 1, 0.6)
                hint = f"Did you mean {near[0]}?" if near else ""
                if bound.value == "limits":
                    hint = "It is there when renrum.yaml names a limits.csv: `limits: limits.csv`."
                allowed = f"a number or a limit table: {one_of(tuple(self.tables))}"
                self.problems.append(written.problem(written.key_of(side), f"the unknown limit table {bound.value!r}", allowed, hint))

    def _numbers(self, written: Written) -> None:
        rule = written.rule
        if rule.deadband < 0:
            self.problems.append(written.problem("deadband", shown(rule.deadband), "a number of at least 0"))
        for key, least in (("on_delay", 0), ("off_delay", 0), ("max_gap", 1), ("after", 1), ("notify_within", 1)):
            duration: Duration | None = getattr(rule, key)
            if duration is not None and (duration.ns < 0 or duration.periods < 0 or (least and duration == ZERO)):
                self.problems.append(written.problem(key, str(duration), "a duration above 0" if least else "a duration of at least 0"))
        above, below = (bound.value if bound else None for bound in (rule.above, rule.below))
        if isinstance(above, float) and isinstance(below, float) and above - rule.deadband < below + rule.deadband:
            key = "deadband" if above >= below else written.key_of("above")
            found = f"above {above:g}, below {below:g}, deadband {rule.deadband:g}"
            self.problems.append(written.problem(key, found, "above - deadband at least below + deadband"))


def _rule(section: RuleSection, own: LevelSection, id_: str, level: str, alarm: str = "") -> Rule:
    """The rule of a section, or of one of its levels (`own`), which has what it leaves out from its rule."""

    def duration(key: str) -> Duration | None:
        value: Duration | None = getattr(own, key)
        return getattr(section, key) if value is None else value

    select = {name: tuple(getattr(section.select, name)) for name in type(section.select).model_fields}
    deadband = section.deadband if own.deadband is None else own.deadband
    return Rule(
        id=id_,
        kind=section.kind,
        select=Selection(**select),
        level=level,
        priority=own.priority or section.priority or "medium",
        above=_bound(own, "above"),
        below=_bound(own, "below"),
        deadband=deadband or 0.0,
        on_delay=duration("on_delay") or ZERO,
        off_delay=duration("off_delay") or ZERO,
        max_gap=duration("max_gap"),
        after=duration("after"),
        text=own.text or section.text or {},
        sop=own.sop or section.sop,
        notify_within=duration("notify_within"),
        alarm=alarm,
    )


def _bound(own: LevelSection, side: str) -> Bound | None:
    value = getattr(own, side)
    if value is not None:
        return Bound(value)
    value = getattr(own, f"at_or_{side}")
    return None if value is None else Bound(value, inclusive=True)
