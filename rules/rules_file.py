"""rules.yaml read into rules, each checked on its own and against the facility."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from facility.document import Document, Path, one_of, read_document, shown
from facility.durations import Duration
from facility.files import FilePath, Files, Unreadable
from facility.limits import LimitTable, shipped
from facility.problems import ConfigurationError, Problem
from facility.sections import keys_of, validated
from facility.site import Facility
from rules.packs import PREFIX, pack_text
from rules.rule import ZERO, Bound, Rule, Selection, Unless
from rules.rule_checks import Fit, Written, check_rules
from rules.rule_sections import LevelSection, RuleSection, RulesSection, UnlessSection

_SIDES = ("above", "below", "at_or_above", "at_or_below")
_EVERY = ("priority", "latch", "realarm", "shelvable", "suppress", "cause", "consequence", "text", "sop", "notify_within")
_RUNS = ("on_delay", "off_delay", "max_gap", "while", "unless")
_OWN = {
    "limit": (*_SIDES, "deadband", *_RUNS),
    "rate": ("change", "window", *_RUNS),
    "flatline": ("duration", "tolerance", *_RUNS),
    "count": (*_SIDES, "k", "n", "min_readings", *_RUNS),
    "mean": (*_SIDES, "window", "deadband", "min_readings", *_RUNS),
    "recovery": (*_SIDES, "within", "unless"),
    "stale": ("after",),
    "quality": _RUNS,
    "clock_ahead": (),
    "state": (),
}
"""Keys that a kind has, beside those of every kind."""
_NEEDED = {
    "rate": {"change": "by more than which number a value must change", "window": "the time within which, such as 10m"},
    "flatline": {"duration": "how long a value must have stood still, such as 30m"},
    "count": {"k": "how many readings must be beyond the limit", "n": "of how many, such as 5"},
    "mean": {"window": "the time over which, such as 1h"},
    "stale": {"after": "how long nothing was received, such as 3 periods"},
}
"""Keys that a kind cannot do without, and what they say."""
MOST = 10**9
"""Readings that a window may count."""
_TECHNICAL = ("stale", "quality", "flatline", "clock_ahead", "state")


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
    """Read rules files and packs in order; each rule is checked on its own, ids across all files; a local rule replaces a pack's of its id.

    `unreadable` makes the problem of a file that cannot be read, from the path that names it in renrum.yaml and what is wrong.
    """
    reading = _Reading(tables)
    sections: list[tuple[Document, RuleSection, str]] = []
    for number, name in enumerate(names):
        try:
            if name.startswith(PREFIX) and name not in files.texts:
                files.texts[name] = pack_text(name)
            document, problems = read_document(files, name)
        except Unreadable as error:
            plain = Problem(files.shown(name), 0, "", str(error), "a rules file")
            reading.problems.append(unreadable(("rules", number), error) if unreadable else plain)
            continue
        section, faults = (None, []) if problems and not document.value else validated(RulesSection, document, stand_ins={"rules": []})
        reading.problems += problems + faults
        sections += [(document, rule, name if name.startswith(PREFIX) else "") for rule in (section.rules if section else ())]
    own = {rule.id for _, rule, pack in sections if not pack}
    for document, rule, pack in sections:
        if not pack:
            reading.add(document, rule)
        elif rule.id not in own:  # else the site's takes its place
            reading.add(document, rule, pack)
    return RulesRead(tuple(reading.written), tuple(dict.fromkeys(reading.problems)), tables)


class _Reading:
    """Turns sections into rules and collects what is wrong with each."""

    def __init__(self, tables: Mapping[str, LimitTable]) -> None:
        self.tables = tables
        self.written: list[Written] = []
        self.problems: list[Problem] = []
        self.seen: dict[str, tuple[str, int]] = {}

    def add(self, document: Document, section: RuleSection, pack: str = "") -> None:
        place = document.position(section.at("id"))
        for id_ in (section.id,) if section.levels is None else (section.id, f"{section.id}.alert", f"{section.id}.action"):
            file, line = self.seen.setdefault(id_, place)
            if (file, line) != place:
                found = f"{id_!r} again, first given in {file}:{line}"
                self.problems.append(document.problem(section.at("id"), found, "each rule id once"))
        if section.levels is None:
            level = section.level or ("technical" if section.kind in _TECHNICAL else "alert")
            self._check(Written(_rule(section, section, section.id, level, pack=pack), document, section.at()), section)
            return
        for key in ("level", *_SIDES):
            if getattr(section, key) is not None:
                hint = "The levels are alert and action." if key == "level" else f"Give {key} in the levels."
                self.problems.append(document.problem(section.at(key), f"{key} beside levels", "one or the other", hint))
        for name, own in (("alert", section.levels.alert), ("action", section.levels.action)):
            rule = _rule(section, own, f"{section.id}.{name}", name, section.id, pack)
            self._check(Written(rule, document, section.at(), own.at()), own)

    def _check(self, written: Written, own: LevelSection) -> None:
        """The rule itself; one that cannot be judged is left out."""
        before = len(self.problems)
        rule = written.rule
        if rule.pack and "limits" not in self.tables and "limits" in [side.value for side in (rule.above, rule.below) if side]:
            return  # a site without a limits.csv does without the pack's rule for it
        allowed = (*_EVERY, *_OWN[rule.kind])
        for key in keys_of(LevelSection):
            if key not in allowed and written.gives(key):
                self.problems.append(written.problem(key, f"{key} in a rule of kind {rule.kind}", one_of(allowed, 20)))
        self._whole(written)
        self._sides(written, own)
        self._numbers(written)
        self._unless(written)
        limits = "above" not in _OWN[rule.kind] or rule.above or rule.below
        if len(self.problems) == before and limits and all(getattr(rule, key) is not None for key in _NEEDED.get(rule.kind, ())):
            self.written.append(written)

    def _whole(self, written: Written) -> None:
        """What a kind cannot do without; a value that was refused for itself is not missed here."""
        kind = written.rule.kind
        where = f" in its level {written.rule.level}" if written.level_path else ""
        keys = _SIDES if written.level_path else ("levels", *_SIDES)
        if "above" in _OWN[kind] and not written.gives(*keys):
            allowed = f"{one_of(_SIDES)}: one, or one above and one below"
            self.problems.append(written.problem("kind", f"{kind} without a limit{where}", allowed))
        for key, what in _NEEDED.get(kind, {}).items():
            if not written.gives(key):
                self.problems.append(written.problem("kind", f"{kind} without {key}{where}", f"`{key}`: {what}"))

    def _sides(self, written: Written, own: LevelSection) -> None:
        rule = written.rule
        for side in ("above", "below"):
            if getattr(own, side) is not None and getattr(own, f"at_or_{side}") is not None:
                self.problems.append(written.problem(f"at_or_{side}", f"{side} and at_or_{side}", "one of them"))
        if "above" not in _OWN[rule.kind]:
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
        for key in ("deadband", "tolerance"):
            if getattr(rule, key) < 0:
                self.problems.append(written.problem(key, shown(getattr(rule, key)), "a number of at least 0"))
        if rule.change is not None and rule.change <= 0:
            self.problems.append(written.problem("change", shown(rule.change), "a number above 0: falls count like rises"))
        for key, least in _DURATIONS.items():
            duration: Duration | None = getattr(rule, key)
            if duration is not None and not _is_at_least(duration, least):
                self.problems.append(written.problem(key, str(duration), "a duration above 0" if least else "a duration of at least 0"))
        if rule.realarm is not None and rule.realarm.periods:
            self.problems.append(written.problem("realarm", str(rule.realarm), "a time such as 30m: people do not go by the instrument"))
        self._counts(written)
        above, below = (bound.value if bound else None for bound in (rule.above, rule.below))
        if isinstance(above, float) and isinstance(below, float) and above - rule.deadband < below + rule.deadband:
            key = "deadband" if above >= below else written.key_of("above")
            found = f"above {above:g}, below {below:g}, deadband {rule.deadband:g}"
            self.problems.append(written.problem(key, found, "above - deadband at least below + deadband"))

    def _counts(self, written: Written) -> None:
        rule = written.rule
        most = rule.n if rule.kind == "count" and rule.n is not None and rule.n >= 1 else None
        for key in ("k", "n", "min_readings"):
            number: int | None = getattr(rule, key)
            if number is not None and not 1 <= number <= (MOST if key == "n" or most is None else most):
                least = "a whole number of at least 1" if number < 1 else f"a whole number from 1 to {MOST}"
                allowed = least if key == "n" or most is None else f"a whole number from 1 to n, which is {most}"
                self.problems.append(written.problem(key, shown(number), allowed))

    def _unless(self, written: Written) -> None:
        unless, sides = written.rule.unless, [side for side in _SIDES if written.gives(f"unless.{side}")]
        if unless is None:
            return
        if len(sides) != 1:
            found = " and ".join(sides) or "unless without a limit"
            self.problems.append(written.problem("unless", found, f"one of {one_of(_SIDES)}"))
        if unless.at_most is not None and not _is_at_least(unless.at_most, 1):
            self.problems.append(written.problem("unless.at_most", str(unless.at_most), "a duration above 0"))


_DURATIONS = {
    "on_delay": 0, "off_delay": 0, "max_gap": 1, "after": 1, "window": 1, "duration": 1, "within": 1, "notify_within": 1,
    "realarm": 1,
}  # fmt: skip
"""The durations of a rule, and whether they must be above 0."""


def _is_at_least(duration: Duration, least: int) -> bool:
    return duration.ns >= 0 and duration.periods >= 0 and not (least and duration == ZERO)


def _rule(section: RuleSection, own: LevelSection, id_: str, level: str, alarm: str = "", pack: str = "") -> Rule:
    """The rule of a section, or of one of its levels (`own`), which has what it leaves out from its rule."""

    def given(key: str, default: Any = None) -> Any:
        return next((value for one in (own, section) if (value := getattr(one, key)) is not None), default)

    select = {name: tuple(getattr(section.select, name)) for name in type(section.select).model_fields}
    same = ("max_gap", "after", "change", "window", "duration", "within", "k", "n", "sop", "notify_within", "realarm")
    return Rule(
        id=id_,
        kind=section.kind,
        select=Selection(**select),
        level=level,
        priority=given("priority", "medium"),
        above=_bound(own, "above"),
        below=_bound(own, "below"),
        deadband=given("deadband", 0.0),
        on_delay=given("on_delay", ZERO),
        off_delay=given("off_delay", ZERO),
        tolerance=given("tolerance", 0.0),
        min_readings=given("min_readings", 1),
        during=given("during", ()),
        unless=_unless(given("unless")),
        latch=given("latch", False),
        shelvable=given("shelvable", True),
        suppress=given("suppress", ()),
        cause=given("cause", {}),
        consequence=given("consequence", {}),
        text=given("text", {}),
        pack=pack,
        alarm=alarm,
        **{key: given(key) for key in same},
    )


def _unless(section: UnlessSection | None) -> Unless | None:
    if section is None:
        return None
    return Unless(section.point, _bound(section, "above"), _bound(section, "below"), section.at_most)


def _bound(own: LevelSection | UnlessSection, side: str) -> Bound | None:
    value = getattr(own, side)
    if value is not None:
        return Bound(value)
    value = getattr(own, f"at_or_{side}")
    return None if value is None else Bound(value, inclusive=True)
