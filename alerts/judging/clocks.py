"""Whose clock is ahead, step by step: the rules of the kind clock_ahead over what the journal's ingest entries refused and stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from facility.reading import Readings
from ingest.admission.admission import CLOCK_AHEAD, REASONS
from ingest.journal.entries import IngestBody
from ingest.journal.journal import Entry
from rules.ahead import AheadState, Arrived, Watch, ahead, closed_ahead, open_ahead
from rules.engine import Finding
from rules.excursion import Excursion
from rules.plan import Plan


@dataclass(slots=True)
class _Watched:
    watch: Watch
    state: AheadState
    config: str


class Clocks:
    """The rules in force and what each knows; `kept` is that as a text, empty when there is nothing to know."""

    def __init__(self) -> None:
        self._rules: dict[str, _Watched] = {}

    def configure(self, plan: Plan, at: int) -> list[Finding]:
        """Put a configuration in force at `at` (int ns UTC); returns what that closes."""
        before = self._rules
        self._rules = {rule.id: _Watched(Watch(rule, points), AheadState(), plan.config) for rule, points in plan.ahead}
        findings: list[Finding] = []
        for id, old in before.items():
            new = self._rules.get(id)
            state, closed = closed_ahead(old.watch, old.state, new.watch if new else None, at)
            findings += _signed(closed, old.config)
            if new is not None:
                new.state = state
        return findings

    def judge(
        self, ingested: Sequence[tuple[Entry, IngestBody]], stored: Readings, number_of: Mapping[str, int], clock: int
    ) -> list[Finding]:
        """What a stretch of the journal shows: its ingest entries, the readings that they stored, and its last moment, the clock."""
        if not self._rules:
            return []
        refused = [
            (number_of[piece.point], entry.at)
            for entry, body in ingested
            for piece in body.quarantine
            if body.readmission is None and piece.reason == REASONS[CLOCK_AHEAD] and piece.point in number_of
        ]
        numbers, moments = np.array([row[0] for row in refused], np.uint32), np.array([row[1] for row in refused], np.int64)
        arrived = Arrived((stored.point, stored.received), (numbers, moments))
        return [finding for rule in self._rules.values() for finding in _signed(ahead(rule.watch, rule.state, arrived, clock), rule.config)]

    def open(self) -> list[Excursion]:
        """The excursions that are open."""
        return [replace(row, config=rule.config) for rule in self._rules.values() for row in open_ahead(rule.watch, rule.state)]

    def runs(self, point: str) -> dict[str, int]:
        """By rule since when the readings of a point are refused, where that is no excursion yet; int ns UTC."""
        return {id: rule.state.runs[point] for id, rule in self._rules.items() if point in rule.state.runs}

    @property
    def kept(self) -> str:
        states = {id: rule.state for id, rule in self._rules.items() if not rule.state.empty}
        return msgspec.json.encode(states, order="sorted").decode() if states else ""

    def restore(self, plan: Plan, kept: str) -> None:
        """Take up what a store has of it, under the configuration that was in force."""
        states = msgspec.json.decode(kept, type=dict[str, AheadState]) if kept else {}
        self._rules = {
            rule.id: _Watched(Watch(rule, points), states.get(rule.id, AheadState()), plan.config) for rule, points in plan.ahead
        }


def _signed(findings: Sequence[Finding], config: str) -> list[Finding]:
    return [replace(finding, excursion=replace(finding.excursion, config=config)) for finding in findings]
