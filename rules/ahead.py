"""Clocks that are ahead: `clock_ahead` excursions from the arrival of readings (docs/rules.md, clock_ahead)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from facility.site import SECOND_NS, Point
from rules.engine import CLEARED, RAISED, Finding
from rules.excursion import Excursion
from rules.rule import Rule

OURS = "$clock"
"""The point of an excursion of our own clock; no point of a facility has such an id."""
MINUTE_NS = 60 * SECOND_NS

Open = tuple[int, int]
"""An open excursion: onset and raised, int ns UTC."""


@dataclass(slots=True)
class AheadState:
    """What a rule knows, by point id: when a run of refused readings started, the refused of the last minute, what is open; int ns UTC."""

    runs: dict[str, int] = field(default_factory=dict)
    refused: dict[str, list[int]] = field(default_factory=dict)
    open: dict[str, Open] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return not (self.runs or self.open or self.refused)


@dataclass(frozen=True)
class Watch:
    """A rule of the kind and the points that it selects, by their numbers."""

    rule: Rule
    points: Mapping[int, Point]

    @cached_property
    def number_of(self) -> dict[str, int]:
        return {point.id: number for number, point in self.points.items()}


@dataclass(frozen=True, slots=True)
class Arrived:
    """Point numbers and `received` (int ns UTC) of readings in order of arrival: those that were stored, those refused as clock_ahead."""

    stored: tuple[NDArray[np.uint32], NDArray[np.int64]]
    refused: tuple[NDArray[np.uint32], NDArray[np.int64]]


def as_told(rule: Rule, excursion: Excursion) -> Rule:
    """The rule as people are told of it: where it is our own clock, critical."""
    return replace(rule, priority="critical") if excursion.point == OURS else rule


def ahead(watch: Watch, state: AheadState, arrived: Arrived, clock: int) -> list[Finding]:
    """Change `state` by what arrived, in order of `received`, up to, not including, the clock; returns what was raised and cleared."""
    if state.empty and not len(arrived.refused[0]):
        return []
    findings: list[Finding] = []
    for received, was_refused, number in _events(state, watch, arrived):
        findings += _elapsed(watch, state, received)
        findings += (_refused if was_refused else _stored)(watch, state, watch.points[number].id, received)
    findings += _elapsed(watch, state, clock)
    state.refused = _last_minute(state, clock)
    return findings


def open_ahead(watch: Watch, state: AheadState) -> list[Excursion]:
    """The excursions that are open."""
    return [_excursion(watch, id, opened) for id, opened in state.open.items()]


def closed_ahead(old: Watch, state: AheadState, new: Watch | None, at: int) -> tuple[AheadState, list[Finding]]:
    """The state under a new configuration from `at` on, and what that closes; None where it has no such rule."""
    same_rule = new is not None and replace(old.rule, text={}, sop=None, priority="") == replace(new.rule, text={}, sop=None, priority="")
    before, after = ({point.id: point.max_ahead_ns for point in watch.points.values()} if watch else {} for watch in (old, new))
    kept = {id for id in before if same_rule and before[id] == after.get(id)}
    if same_rule and before == after:
        kept.add(OURS)
    findings = [
        Finding(CLEARED, at, replace(_excursion(old, id, opened, at), closed_by="configuration"))
        for id, opened in state.open.items()
        if id not in kept
    ]
    runs = {id: start for id, start in state.runs.items() if id in kept}
    refused = {id: moments for id, moments in state.refused.items() if id in kept}
    return AheadState(runs, refused, {id: opened for id, opened in state.open.items() if id in kept}), findings


def _events(state: AheadState, watch: Watch, arrived: Arrived) -> Iterable[tuple[int, bool, int]]:
    """What arrived of the points of the rule as (received, whether it was refused, point number): of one moment, what was stored first."""
    stored, moments = arrived.stored
    refused = set(arrived.refused[0].tolist())
    # Of 10,000 readings in a step few matter, but where it may be our own clock each one may end it.
    if OURS not in state.open and 2 * (len(state.refused) + len(refused)) <= len(watch.points):
        known = [watch.number_of[id] for id in (*state.runs, *state.open)]
        matter = np.isin(stored, np.array([*refused, *known], np.uint32))
        stored, moments = stored[matter], moments[matter]
    events = [
        (received, was_refused, number)
        for was_refused, (numbers, at) in ((False, (stored, moments)), (True, arrived.refused))
        for number, received in zip(numbers.tolist(), at.tolist(), strict=True)
        if number in watch.points
    ]
    events.sort()
    return events


def _elapsed(watch: Watch, state: AheadState, clock: int) -> list[Finding]:
    """What the clock reached before that moment: runs that are a minute old."""
    due = sorted((start + MINUTE_NS, id) for id, start in state.runs.items() if start + MINUTE_NS < clock)
    findings = []
    for raised, id in due:
        state.open[id] = (state.runs.pop(id), raised)
        findings.append(Finding(RAISED, raised, _excursion(watch, id, state.open[id])))
    return findings


def _refused(watch: Watch, state: AheadState, id: str, received: int) -> list[Finding]:
    state.refused = _last_minute(state, received)
    state.refused.setdefault(id, []).append(received)
    if OURS in state.open:
        return []
    if id not in state.open:
        state.runs.setdefault(id, received)
    if len(state.refused) < 2 or 2 * len(state.refused) <= len(watch.points):
        return []
    state.open[OURS] = (min(moment for moments in state.refused.values() for moment in moments), received)
    state.runs.clear()
    return [Finding(RAISED, received, _excursion(watch, OURS, state.open[OURS]))]


def _stored(watch: Watch, state: AheadState, id: str, received: int) -> list[Finding]:
    state.refused = _last_minute(state, received)
    at_once = [other for other, moments in state.refused.items() if moments[-1] == received]
    before = any(moment < received for moments in state.refused.values() for moment in moments)
    state.runs.pop(id, None)
    over = [id] if id in state.open else []
    if OURS in state.open and state.open[OURS][1] < received and not before:
        over.append(OURS)
    findings = [Finding(CLEARED, received, _excursion(watch, one, state.open.pop(one), received)) for one in over]
    # What was refused at this moment comes after what was stored, whichever the journal has first.
    for other in at_once if OURS in over else [id] if id in at_once else []:
        findings += _refused(watch, state, other, received)
    return findings


def _last_minute(state: AheadState, moment: int) -> dict[str, list[int]]:
    lately = ((id, [at for at in moments if at > moment - MINUTE_NS]) for id, moments in state.refused.items())
    return {id: moments for id, moments in lately if moments}


def _excursion(watch: Watch, id: str, opened: Open, ended: int | None = None) -> Excursion:
    onset, raised = opened
    point = Point(OURS, "clock", "", "") if id == OURS else watch.points[watch.number_of[id]]
    return Excursion(
        rule=watch.rule.id,
        point=id,
        level=watch.rule.level,
        onset=onset,
        raised=raised,
        ended=ended,
        cleared=ended,
        zone=point.zone or "",
        room=point.room,
        unit=point.unit,
    )
