"""States of rooms that last longer than they may, step by step: the rules of the kind `state` over the state messages there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from rules.engine import CLEARED, RAISED, Finding
from rules.excursion import Excursion
from rules.plan import Plan
from rules.revise import Revision, revise
from rules.staying import NEVER_NS, Term, Watched, next_deadline, overstayed, terms_of


class Record(Protocol):
    """The excursions as they are on record."""

    def current(self, point: str, since: int | None) -> list[Excursion]: ...


States = Mapping[str, Sequence[tuple[int, str]]]
Key = tuple[str, str]


class Stays:
    """All of it is a function of the messages, the configurations and the clock; `record` tells what came of it so far.

    A state that is over late, or began late, is told by a revision; as a finding what happens as the clock proceeds.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._epochs: list[tuple[int, str, dict[Key, Watched]]] = []
        self._terms: dict[Key, list[Term]] = {}
        self._place_of: dict[Key, str] = {}
        self._due: dict[Key, int] = {}
        self._judged = -NEVER_NS
        self._settle_ns = 1
        self._heard = 0

    def adopt(self, epochs: Sequence[tuple[int, Plan]], states: States, listened: tuple[int, int]) -> None:
        """Know all configurations so far; everything was judged up to where listening time last advanced, as (listening time, clock)."""
        for begin, plan in epochs:
            self._know(begin, plan)
        self._heard, self._judged = listened[0], listened[1] - self._settle_ns
        for key in self._terms:
            self._look_ahead(key, states)

    def configure(self, plan: Plan, at: int, states: States) -> tuple[list[Finding], list[Revision]]:
        """Put a configuration in force; returns what that closes."""
        self._know(at, plan)
        return self._judge(self._terms, states, self._judged)

    def judge(
        self, told: Sequence[tuple[str, int, str]], states: States, listened: tuple[int, int]
    ) -> tuple[list[Finding], list[Revision]]:
        """What messages (place, time, state), which `states` have already, and the clock (`listened`, as of `adopt`) bring."""
        self._heard, upto = listened[0], max(listened[1] - self._settle_ns, self._judged)
        touched = {place for place, _, _ in told}
        keys = [key for key in self._terms if self._place_of[key] in touched or self._due.get(key, NEVER_NS) <= upto]
        return self._judge(keys, states, upto)

    def due(self, at: int, heard: int) -> bool:
        """Whether something is to be raised at a clock with that listening time."""
        return heard > self._heard and min(self._due.values(), default=NEVER_NS) <= at - self._settle_ns

    def _know(self, begin: int, plan: Plan) -> None:
        # At the very moment another state may still be said.
        self._settle_ns = max(plan.groups[1].settle_ns, 1)
        self._epochs.append((begin, plan.config, {watched.key: watched for watched in plan.states}))
        self._place_of |= {watched.key: watched.place.id for watched in plan.states}
        keys = {key for _, _, judged in self._epochs for key in judged}
        self._terms = {key: terms_of([(begin, judged.get(key)) for begin, _, judged in self._epochs]) for key in sorted(keys)}

    def _judge(self, keys: Sequence[Key] | Mapping[Key, object], states: States, upto: int) -> tuple[list[Finding], list[Revision]]:
        findings: list[Finding] = []
        revisions: list[Revision] = []
        for key in keys:
            old = [row for row in self._record.current(key[1], None) if row.rule == key[0]]
            new = [self._signed(row) for row in overstayed(self._terms[key], self._messages(key, states), upto)]
            late_old, late_new = [], []
            before = {row.onset: row for row in old}
            for row in new:
                was = before.pop(row.onset, None)
                if was is None and row.raised > self._judged:
                    findings.append(Finding(RAISED, row.raised, replace(row, ended=None, cleared=None, closed_by="")))
                    if row.ended is not None:
                        findings.append(Finding(CLEARED, row.ended, row))
                elif was is not None and was.open and row.ended is not None and row.ended > self._judged:
                    findings.append(Finding(CLEARED, row.ended, row))
                else:
                    late_new.append(row)
                    late_old += [was] if was is not None else []
            revisions += revise([*late_old, *before.values()], late_new)
            self._look_ahead(key, states, upto)
        self._judged = upto
        findings.sort(key=lambda finding: finding.at)
        return findings, revisions

    def _look_ahead(self, key: Key, states: States, upto: int | None = None) -> None:
        self._due[key] = next_deadline(self._terms[key], self._messages(key, states), self._judged if upto is None else upto)

    def _messages(self, key: Key, states: States) -> list[tuple[int, str]]:
        return sorted(states.get(self._place_of[key], ()))

    def _signed(self, row: Excursion) -> Excursion:
        config = next((config for begin, config, _ in reversed(self._epochs) if begin <= row.raised), self._epochs[0][1])
        return replace(row, config=config)
