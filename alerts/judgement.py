"""Every excursion as a function of the journal: new readings advance, late ones make their point be judged again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facility.reading import BAD, Readings
from facility.site import OCCUPANCIES
from ingest.series import HOUR_NS, NO_TIME
from rules.engine import CLEARED, Finding, advance, breaching_rows, open_excursions
from rules.excursion import Excursion
from rules.occupancy import Occupancy, occupancy_of
from rules.plan import Pairs, Plan
from rules.revise import Revision, revise
from rules.runs import RunState
from rules.stale import Heard, Life, StaleState, next_deadline, open_silences, silence
from rules.transition import reconfigured, reconfigured_silence

BEGINNING = np.iinfo(np.int64).min
GROUPS = 3
"""Groups of pairs that are judged on measuring time (rules/plan.py); silence is judged on arrival."""


class Record(Protocol):
    """The excursions as they are on record: current rows by point."""

    def current(self, point: str, since: int | None) -> list[Excursion]:
        """Current excursions of a point with onset > since (None: all)."""
        ...


class Memory(Protocol):
    """Stored readings and states up to the step that is being taken."""

    def read(self, point: int, start: int | None = None, end: int | None = None) -> Readings: ...
    def states(self) -> dict[str, list[tuple[int, str]]]: ...


@dataclass(frozen=True, slots=True)
class Epoch:
    """A configuration in force from `begin` (int ns UTC) on."""

    begin: int
    plan: Plan
    occupancy: Occupancy
    judges: NDArray[np.bool_]
    """Which point numbers this configuration knows."""


@dataclass(slots=True)
class Lane:
    """One group of pairs on its way: run states, the newest evaluated time of each point, readings that still settle."""

    state: RunState
    newest: NDArray[np.int64]
    waiting: Readings


@dataclass(frozen=True, slots=True)
class Stretch:
    """What the journal brought between two configurations or steps.

    Stored readings in order of arrival, states, moments of listening, births and deaths of sources.
    """

    readings: Readings
    states: Sequence[tuple[str, int, str]]
    heard: Heard
    lives: Sequence[Life] = ()


class Judgement:
    """The excursions of all pairs; `record` and `memory` answer for what lies before the current step.

    Each call returns revisions of the record: (None, new) is raised, (old, new) progress or a revision, (old, None) superseded.
    """

    def __init__(self, memory: Memory, record: Record, number_of: dict[str, int]) -> None:
        self._memory = memory
        self._record = record
        self._numbers = number_of
        self.epochs: list[Epoch] = []
        self.lanes = [Lane(RunState.initial(0), np.empty(0, np.int64), Readings.empty()) for _ in range(GROUPS)]
        self.silences = StaleState.since(0, 0, 0)
        self._states: dict[str, list[tuple[int, str]]] = {}

    @property
    def plan(self) -> Plan:
        return self.epochs[-1].plan

    def adopt(self, epochs: Sequence[tuple[int, Plan]]) -> None:
        """Know all configurations so far, without judging anything: the start, before the states are put in place."""
        self._states = self._memory.states()
        self.epochs = [self._epoch(begin, plan) for begin, plan in epochs]
        size = len(self._numbers)
        self.lanes = [Lane(RunState.initial(len(group)), np.full(size, NO_TIME), Readings.empty()) for group in self.plan.groups]
        self.silences = StaleState.since(len(self.plan.stale), 0, 0)

    def configure(self, plan: Plan, at: int, heard: int) -> tuple[list[Finding], list[Revision]]:
        """Put a configuration in force at the moment `at`; returns what that closes, and what it judges again.

        Judged again are points whose instruments' clocks are ahead: it judges readings from `at` on, also those that arrived before.
        """
        size = len(self._numbers)
        if not self.epochs:
            self.lanes = [Lane(RunState.initial(len(group)), np.full(size, NO_TIME), Readings.empty()) for group in plan.groups]
            self.silences = StaleState.since(len(plan.stale), at, heard)
            self.epochs.append(self._epoch(BEGINNING, plan))
            return [], []
        before = self.epochs[-1]
        findings: list[Finding] = []
        for lane, old, new in zip(self.lanes, before.plan.groups, plan.groups, strict=True):
            lane.state, closed = reconfigured((before.plan, old), lane.state, (plan, new), at, before.occupancy)
            lane.newest = np.concatenate([lane.newest, np.full(size - len(lane.newest), NO_TIME)])
            findings += [finding for finding in closed if lane.newest[self._numbers[finding.excursion.point]] < at]
        self.silences, closed = reconfigured_silence(
            (before.plan, before.plan.stale), self.silences, (plan, plan.stale), at, heard, before.occupancy
        )
        self.epochs.append(self._epoch(at, plan))
        revisions = [
            revision
            for index, lane in enumerate(self.lanes)
            for number in np.flatnonzero(lane.newest >= at).tolist()
            for revision in self._rewind(index, lane, number, at, at - plan.groups[index].settle_ns)
        ]
        return [self._signed(finding) for finding in findings + closed], revisions

    def judge(self, stretch: Stretch) -> tuple[list[Finding], list[Revision]]:
        """Judge what a stretch of the journal brought, up to its last moment; `memory` has its readings already."""
        clock = int(stretch.heard.at[-1])
        touched = self._take_states(stretch.states)
        findings: list[Finding] = []
        revisions: list[Revision] = []
        for index, lane in enumerate(self.lanes):
            found, revised = self._judge_lane(index, lane, stretch.readings, touched, clock)
            findings += found
            revisions += revised
        occupancy = self.epochs[-1].occupancy
        self.silences, found = silence(self.plan.stale, self.silences, stretch.readings, stretch.heard, occupancy, stretch.lives)
        findings += [self._signed(finding) for finding in found]
        revisions += self._silences_in_other_states(touched)
        findings.sort(key=lambda finding: (finding.at, finding.excursion.rule, finding.excursion.point))
        return findings, revisions

    def open(self) -> list[Excursion]:
        """What is open now, with peak and readings to the newest evaluated reading."""
        occupancy = self.epochs[-1].occupancy
        rows = [
            excursion
            for lane, pairs in zip(self.lanes, self.plan.groups, strict=True)
            for excursion in open_excursions(pairs, lane.state, occupancy)
        ]
        return [self._with_config(excursion) for excursion in rows + open_silences(self.plan.stale, self.silences, occupancy)]

    def wakes_at(self, at: int) -> tuple[int | None, bool]:
        """The listening time of the next silence as of `at` (int ns UTC), and whether readings are waiting to settle."""
        return next_deadline(self.plan.stale, self.silences, at), any(len(lane.waiting) for lane in self.lanes)

    def _take_states(self, states: Sequence[tuple[str, int, str]]) -> dict[int, int]:
        """Add state messages; the point numbers that they touch, each with the earliest time from which."""
        if not states:
            return {}
        for place, time, state in states:
            self._states.setdefault(place, []).append((time, state))
        self.epochs = [replace(epoch, occupancy=occupancy_of(epoch.plan.facility, self._states)) for epoch in self.epochs]
        touched: dict[int, int] = {}
        for epoch in self.epochs:
            for point in epoch.plan.facility.points:
                times = [time for place, time, _ in states if place in (point.zone, point.room)]
                if times:
                    number = self._numbers[point.id]
                    touched[number] = min([touched.get(number, times[0]), *times])
        return touched

    def _judge_lane(
        self, index: int, lane: Lane, arrived: Readings, touched: dict[int, int], clock: int
    ) -> tuple[list[Finding], list[Revision]]:
        pairs = self.plan.groups[index]
        readings = Readings.concatenate([lane.waiting, arrived]) if len(lane.waiting) else arrived
        settled = readings.received <= clock - pairs.settle_ns
        lane.waiting = readings.take(~settled) if not settled.all() else Readings.empty()
        readings = readings if settled.all() else readings.take(settled)
        readings = readings.take(np.lexsort((readings.time, readings.point)))
        begin = self.epochs[-1].begin
        late = readings.time <= lane.newest[readings.point]
        if begin != BEGINNING:
            late |= readings.time < begin
        revisions: list[Revision] = []
        if late.any() or touched:
            since, overdue = dict(touched), set(readings.point[late].tolist())
            for number, time in zip(readings.point[late].tolist(), readings.time[late].tolist(), strict=True):
                since[number] = min(since.get(number, time), time)
            for number in sorted(since):
                if since[number] <= lane.newest[number] or number in overdue:
                    revisions += self._rewind(index, lane, number, since[number], clock - pairs.settle_ns)
            readings = readings.take(readings.time > lane.newest[readings.point])
        lane.state, findings = advance(pairs, lane.state, readings, self.epochs[-1].occupancy)
        if len(readings):
            last = np.append(np.diff(readings.point) != 0, True)
            lane.newest[readings.point[last]] = readings.time[last]
        return [self._signed(finding) for finding in findings], revisions

    def _rewind(self, index: int, lane: Lane, number: int, since: int, settled: int) -> list[Revision]:
        """Judge a point again from before `since`, up to the newest time evaluated before."""
        begin = self.epochs[-1].begin
        upto = int(max(lane.newest[number], since, begin - 1 if begin > since else BEGINNING))
        groups = [epoch.plan.groups[index] for epoch in self._epochs_of(number)]
        if all(group.offsets[number] == group.offsets[number + 1] for group in groups):
            lane.newest[number] = upto  # no rule of this group judges it
            return []
        quiet = self._quiet_before(index, number, since)
        complete = self._memory.read(number, None if quiet is None else quiet + 1, upto + 1)
        state, after = self._evaluate(index, number, complete.take(complete.received <= settled))
        rows = np.arange(int(self.plan.groups[index].offsets[number]), int(self.plan.groups[index].offsets[number + 1]))
        lane.state.put(rows, state)
        lane.newest[number] = upto
        before = self._record_of(index, number, quiet)
        names = sorted({row.rule for row in [*before, *after]})
        return [
            revision
            for name in names
            for revision in revise([row for row in before if row.rule == name], [row for row in after if row.rule == name])
        ]

    def _evaluate(self, index: int, number: int, readings: Readings) -> tuple[RunState, list[Excursion]]:
        """The excursions of complete readings from a quiet moment on, under the configuration of each time; and the state at the end."""
        findings: list[Finding] = []
        judge: tuple[Epoch, Pairs] | None = None
        state = RunState.initial(0)
        epochs = self._epochs_of(number)
        for position, epoch in enumerate(epochs):
            pairs = epoch.plan.groups[index].only(number)
            if judge is None:
                state = RunState.initial(len(pairs))
            else:
                state, closed = reconfigured((judge[0].plan, judge[1]), state, (epoch.plan, pairs), epoch.begin, judge[0].occupancy)
                findings += closed
            end = epochs[position + 1].begin if position + 1 < len(epochs) else None
            inside = np.ones(len(readings), np.bool_) if position == 0 else readings.time >= epoch.begin
            if end is not None:
                inside &= readings.time < end
            state, found = advance(pairs, state, readings.take(inside), epoch.occupancy)
            findings += found
            judge = (epoch, pairs)
        rows = [finding.excursion for finding in findings if finding.what == CLEARED]
        if judge is not None:
            rows += open_excursions(judge[1], state, judge[0].occupancy)
        return state, [self._with_config(row) for row in rows]

    def _quiet_before(self, index: int, number: int, since: int) -> int | None:
        """The newest evaluated reading before `since` after which nothing is under way; None for the beginning.

        That is one which breaches no limit and lies in no excursion: what comes after it does not depend on what came before.
        """
        recorded = self._record_of(index, number, None)
        start, width = since, HOUR_NS
        while True:
            covering = [row.onset for row in recorded if row.onset < start and (row.cleared is None or row.cleared >= start)]
            if covering:
                start, width = min(covering), HOUR_NS
            readings = self._memory.read(number, start - width, start)
            calm = np.flatnonzero(self._calm(index, number, readings))
            if len(calm):
                time = int(readings.time[calm[-1]])
                inside = [row.onset for row in recorded if row.onset <= time and (row.cleared is None or row.cleared > time)]
                if not inside:
                    return time
                start, width = min(inside), HOUR_NS
            elif width > (1 << 60):
                return None
            else:
                width *= 8

    def _calm(self, index: int, number: int, readings: Readings) -> NDArray[np.bool_]:
        calm = np.ones(len(readings), np.bool_) if index == 2 else readings.quality < BAD
        epochs = self._epochs_of(number)
        for position, epoch in enumerate(epochs):
            judged = np.ones(len(readings), np.bool_) if position == 0 else readings.time >= epoch.begin
            if position + 1 < len(epochs):
                judged &= readings.time < epochs[position + 1].begin
            pairs = epoch.plan.groups[index]
            for row in range(int(pairs.offsets[number]), int(pairs.offsets[number + 1])):
                calm &= ~(judged & breaching_rows(pairs, row, readings, epoch.occupancy))
        return calm

    def _record_of(self, index: int, number: int, since: int | None) -> list[Excursion]:
        """Current excursions on record at a point that the group judged: a rule may stand in another group in another configuration."""
        ids = {epoch.plan.config: epoch.plan.rule_ids[index] for epoch in self.epochs}
        return [row for row in self._record.current(self._ids[number], since) if row.rule in ids[row.config]]

    def _epoch(self, begin: int, plan: Plan) -> Epoch:
        self._ids = {number: point for point, number in self._numbers.items()}
        judges = np.zeros(len(self._numbers), np.bool_)
        judges[[self._numbers[point.id] for point in plan.facility.points]] = True
        return Epoch(begin, plan, occupancy_of(plan.facility, self._states), judges)

    def _epochs_of(self, number: int) -> list[Epoch]:
        """The configurations that judge a point: readings before its first one are judged by that first one."""
        known = [number < len(epoch.judges) and bool(epoch.judges[number]) for epoch in self.epochs]
        return self.epochs[known.index(True) :]

    def _silences_in_other_states(self, touched: dict[int, int]) -> list[Revision]:
        """Silences on record whose occupancy at onset is another one since a late state message."""
        revisions = []
        for number, time in sorted(touched.items()):
            epoch = self.epochs[-1]
            point = epoch.plan.facility.point_by_id.get(self._ids[number])
            if point is None:
                continue
            place = [place.id for place in epoch.plan.facility.places].index(point.place)
            for row in self._record.current(point.id, None):
                if row.peak is None and row.readings == 0 and row.onset >= time:
                    code = epoch.occupancy.reported[place].at(np.array([row.onset]))[0]
                    if OCCUPANCIES[code] != row.occupancy:
                        new = replace(row, occupancy=OCCUPANCIES[code], revision=row.revision + 1)
                        revisions.append(Revision(replace(row, status="revised"), new))
        return revisions

    def _signed(self, finding: Finding) -> Finding:
        return replace(finding, excursion=self._with_config(finding.excursion))

    def _with_config(self, excursion: Excursion) -> Excursion:
        """The excursion with the hash of the configuration in force when it was raised."""
        epochs = self._epochs_of(self._numbers[excursion.point])
        judge = next((epoch for epoch in reversed(epochs) if epoch.begin <= excursion.raised), epochs[0])
        return replace(excursion, config=judge.plan.config)
