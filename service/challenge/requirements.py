"""requirements.csv: what the site requires, and by which rules it holds; the trace from there to the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from facility.files import Files, Unreadable
from facility.problems import ConfigurationError, Problem
from facility.spreadsheet import read_rows
from rules.rule import Rule
from service.challenge.subject import FAIL, NOT_APPLICABLE, NOT_TESTED, PASS, Outcome

COLUMNS = ("id", "text", "rules")
UNTRACED = "UNTRACED"


@dataclass(frozen=True, slots=True)
class Requirement:
    """A line of the file: `rules` are globs on the ids of rules, blanks or semicolons between them."""

    id: str
    text: str
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Traced:
    """A requirement, the rules that stand for it, and what came of their tests; without a rule it is UNTRACED."""

    requirement: Requirement
    rules: tuple[str, ...]
    counts: Mapping[str, int]
    result: str


def load_requirements(path: Path) -> tuple[Requirement, ...]:
    """Read the file; raises ConfigurationError with every problem."""
    files, name = Files.around(path)
    try:
        rows, problems = read_rows(files, name, COLUMNS, ("id", "text"))
    except Unreadable as error:
        raise ConfigurationError([Problem(str(path), 0, "", str(error), "a CSV file with the columns id,text,rules")]) from None
    found: dict[str, Requirement] = {}
    for row in rows:
        id_ = row.cells.get("id", "")
        if not id_ or id_ in found:
            problems.append(Problem(files.shown(name), row.line, "id", repr(id_) if id_ else "no id", "each id once"))
            continue
        found[id_] = Requirement(id_, row.cells.get("text", ""), tuple(row.cells.get("rules", "").replace(";", " ").split()))
    if problems:
        raise ConfigurationError(problems)
    return tuple(found.values())


def traced(requirements: Sequence[Requirement], rules: Sequence[Rule], outcomes: Sequence[Outcome]) -> list[Traced]:
    """Each requirement with its rules and results; a glob also fits the id that the levels of a rule have in common."""
    by_rule: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_rule.setdefault(outcome.rule, []).append(outcome)
    found = []
    for requirement in requirements:
        chosen = [rule.id for rule in rules if fits(requirement, rule)]
        lines = [outcome for rule in chosen for outcome in by_rule.get(rule, ())]
        counts = {status: sum(line.status == status for line in lines) for status in (PASS, FAIL, NOT_TESTED, NOT_APPLICABLE)}
        counts[NOT_TESTED] += sum(rule not in by_rule for rule in chosen)  # left out of this challenge
        found.append(Traced(requirement, tuple(chosen), counts, UNTRACED if not chosen else result_of(counts)))
    return found


def fits(requirement: Requirement, rule: Rule) -> bool:
    return any(fnmatchcase(id_, glob) for glob in requirement.rules for id_ in (rule.id, rule.alarm) if id_)


def untraced_rules(requirements: Sequence[Requirement], rules: Sequence[Rule]) -> list[str]:
    """Rules that no requirement names."""
    return [rule.id for rule in rules if not any(fits(requirement, rule) for requirement in requirements)]


def result_of(counts: Mapping[str, int]) -> str:
    """The result of several lines: the worst of them; nothing that passed is no pass."""
    if counts[FAIL]:
        return FAIL
    if counts[NOT_TESTED]:
        return NOT_TESTED
    return PASS if counts[PASS] else NOT_APPLICABLE
