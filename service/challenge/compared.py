"""What came of the tests beside what had to come."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from facility.problems import so_many
from facility.times import format_time
from rules.excursion import CURRENT, SUPERSEDED, Excursion
from rules.rule import Rule
from service.challenge.subject import FAIL, PASS, Due, Outcome, Trial

COLUMNS = ("onset", "raised", "ended", "cleared", "peak", "limit", "readings")
TIMES = COLUMNS[:4]


@dataclass(frozen=True)
class Findings:
    """What the instance says: excursions (all revisions), the alarm of each, and the pages of each alarm by the rule that they name."""

    excursions: Sequence[Excursion]
    alarm_of: Mapping[str, str] = field(default_factory=dict)
    paged: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def of(self, rule: str, point: str, since: int, until: int) -> list[Excursion]:
        """Current excursions of a rule at a point with an onset in a span of time."""
        return [row for row in self._by_pair.get((rule, point), ()) if row.status == CURRENT and since <= row.onset <= until]

    def superseded(self, rule: str, point: str, since: int, until: int) -> list[Excursion]:
        return [row for row in self._by_pair.get((rule, point), ()) if row.status == SUPERSEDED and since <= row.onset <= until]

    @property
    def _by_pair(self) -> dict[tuple[str, str], list[Excursion]]:
        if not self._index:
            for row in self.excursions:
                self._index.setdefault((row.rule, row.point), []).append(row)
        return self._index

    _index: dict[tuple[str, str], list[Excursion]] = field(default_factory=dict)

    def untold(self, rule: Rule, row: Excursion) -> str:
        """Why an excursion counts as not told of; empty where its page lies in the sink."""
        pages = self.paged.get(self.alarm_of.get(row.id, ""), frozenset())
        if not pages:
            return "no page of it came to the sink"
        # One alarm for the levels of a rule is told once in a step, of the highest level: an action is never hidden behind an alert.
        told = pages if not rule.alarm or rule.level != "action" else pages & {rule.id}
        return "" if told else "its page does not name the action level"


def outcome_of(trial: Trial, findings: Findings) -> Outcome:
    """A line of the protocol: PASS when exactly the excursions that are due are there, in every column, and people were told of each."""
    rule, point = trial.subject.rule, trial.subject.point
    since, until = trial.begin + trial.since, trial.begin + trial.until
    due = [moved(one, trial.begin) for one in trial.due]
    found = findings.of(rule.id, point.id, since, until)
    differences = compared(due, found)
    differences += [f"{shown_time(row.onset)}: {why}" for row in found if (why := findings.untold(rule, row))]
    if trial.case == "late/found" and any(not row.late and not row.revision for row in found):
        differences.append("it is not marked as found in late readings")
    if trial.case == "late/taken-back" and trial.late and not findings.superseded(rule.id, point.id, since, until):
        differences.append("the late reading came before anything was judged: no excursion was taken back")
    times = [trial.begin + sample.at for sample in trial.samples]
    return Outcome(
        rule.id, point.id, trial.case, trial.title, FAIL if differences else PASS, "", trial.subject.state,
        tuple(told(one) for one in due), tuple(told(row) for row in found), tuple(differences), len(times), (min(times), max(times)),
    )  # fmt: skip


def moved(due: Due, begin: int) -> Due:
    def at(time: int | None) -> int | None:
        return None if time is None else time + begin

    return Due(due.onset + begin, due.raised + begin, at(due.ended), at(due.cleared), due.peak, due.limit, due.readings)


def compared(due: Sequence[Due], found: Sequence[Excursion]) -> list[str]:
    """Every column that differs, in words."""
    words = [] if len(due) == len(found) else [f"{_excursions(len(due))} expected, {_excursions(len(found))} found"]
    for number, (one, row) in enumerate(zip(due, found, strict=False), 1):
        for column in COLUMNS:
            wanted, got = getattr(one, column), getattr(row, column)
            if wanted != got and not (isinstance(wanted, float) and isinstance(got, float) and math.isnan(wanted) and math.isnan(got)):
                words.append(f"excursion {number}, {column}: {_shown(column, wanted)} expected, {_shown(column, got)} found")
    return words


def told(row: Due | Excursion) -> dict[str, object]:
    """An excursion for people and programs: times in RFC 3339."""
    return {column: _plain(column, getattr(row, column)) for column in COLUMNS}


def _plain(column: str, value: float | int | None) -> object:
    return format_time(int(value)) if column in TIMES and value is not None else value


def _shown(column: str, value: float | int | None) -> str:
    return "none" if value is None else shown_time(int(value)) if column in TIMES else repr(value)


def shown_time(at: int) -> str:
    return format_time(at)


def _excursions(count: int) -> str:
    return "no excursion" if not count else so_many(count, "excursion")
