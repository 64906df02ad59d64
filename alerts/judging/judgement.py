"""Every excursion as a function of the journal: new readings advance, late ones make their point be judged again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from alerts.judging.derivation import Derivations
from alerts.judging.lasting import Lasting
from alerts.judging.outages import Outages, in_service
from alerts.judging.rewind import BEGINNING, NEAR_NS, Epoch, Lookback, Past, looking_back
from alerts.judging.stretch import Memory, Record, Stream, Stretch, earliest_of, in_order
from alerts.judging.suspensions import Suspensions
from alerts.judging.touched import silences_in_other_states, touched_by_conditions, touched_by_states
from facility.reading import Readings
from ingest.series.series import NO_TIME
from rules.engine import Finding, advance, open_excursions
from rules.excursion import Excursion
from rules.occupancy import occupancy_of
from rules.plan import Plan
from rules.revise import Revision, revise
from rules.runs import RunState
from rules.stale import StaleState, back_in_service, heard_of, next_deadline, open_silences, silence
from rules.transition import out_of_service, reconfigured, reconfigured_silence, silence_out_of_service
from rules.windows import Windows

SETTLING = 1
"""The stream of the groups that wait for other streams."""


class Judgement:
    """The excursions of all pairs; `record` and `memory` answer for what lies before the current step.

    Each call returns revisions of the record: (None, new) is raised, (old, new) progress or a revision, (old, None) superseded.
    """

    def __init__(self, memory: Memory, record: Record, number_of: dict[str, int]) -> None:
        self._memory = memory
        self._record = record
        self._numbers = number_of
        self.epochs: list[Epoch] = []
        self.states: list[RunState] = []
        """Of each group of the plan; those of even number wait for nothing, those of odd number for other streams."""
        self.streams = [Stream(np.empty(0, np.int64), Readings.empty()) for _ in range(2)]
        self.lasting = Lasting(memory)
        self._suspensions = Suspensions(memory, self.lasting.deaths)
        self.derivations = Derivations(memory)
        self.derived = Readings.empty()
        """What was derived in the last stretch and is newer than all before."""
        self.silences = StaleState.since(0, 0, 0)
        self.outages = Outages()
        self._states: dict[str, list[tuple[int, str]]] = {}

    @property
    def plan(self) -> Plan:
        return self.epochs[-1].plan

    @property
    def told(self) -> Mapping[str, list[tuple[int, str]]]:
        """All state messages by room or zone, as (time, state)."""
        return self._states

    def adopt(self, epochs: Sequence[tuple[int, Plan]], outages: Outages) -> None:
        """Know all configurations and outages so far, without judging anything: the start, before the states are put in place."""
        self.outages = outages
        self._states = self._memory.states()
        self.epochs = [self._epoch(begin, plan) for begin, plan in epochs]
        self.derivations.know(epochs)
        self.lasting.configure([(epoch.begin, epoch.plan) for epoch in self.epochs])
        self._begin(self.plan)
        self.silences = StaleState.since(len(self.plan.stale), 0, 0)

    def configure(self, plan: Plan, at: int, heard: int) -> tuple[list[Finding], list[Revision]]:
        """Put a configuration in force at the moment `at`; returns what that closes, and what it judges again.

        Judged again are points whose instruments' clocks are ahead: it judges readings from `at` on, also those that arrived before.
        """
        if not self.epochs:
            self._begin(plan)
            self.silences = StaleState.since(len(plan.stale), at, heard)
            self.epochs.append(self._epoch(BEGINNING, plan))
            self.derivations.know([(BEGINNING, plan)])
            self.lasting.configure([(BEGINNING, plan)])
            return [], []
        before = self.epochs[-1]
        findings = self._before(at)
        for stream in self.streams:
            stream.newest = np.append(stream.newest, np.full(len(self._numbers) - len(stream.newest), NO_TIME))
        for index, (old, new) in enumerate(zip(before.plan.groups, plan.groups, strict=True)):
            self.states[index], closed = reconfigured((before.plan, old), self.states[index], (plan, new), at, before.occupancy)
            newest = self.streams[index % 2].newest
            findings += [finding for finding in closed if newest[self._numbers[finding.excursion.point]] < at]
        self.silences, closed = reconfigured_silence(
            (before.plan, before.plan.stale), self.silences, (plan, plan.stale), at, heard, before.occupancy
        )
        heard_of(plan.stale, self.silences, np.flatnonzero(self.streams[0].newest != NO_TIME))
        for number, until in self.outages.until(at).items():
            if plan.stale.has(number):
                self.silences.back[plan.stale.rows_of(np.array([number]))] = until
        self.epochs.append(self._epoch(at, plan))
        self.derivations.know([(epoch.begin, epoch.plan) for epoch in self.epochs])
        self.lasting.configure([(epoch.begin, epoch.plan) for epoch in self.epochs])
        revisions: list[tuple[int, int, Revision]] = []
        for which, stream in enumerate(self.streams):
            for number, derivation in plan.derived.items():
                stream.newest[number] = stream.newest[[number, *derivation.origins]].max()
            ahead = dict.fromkeys(np.flatnonzero(stream.newest >= at).tolist(), at)
            revisions += self._again(which, ahead, at - plan.groups[which].settle_ns)
            self.lasting.recall(which, stream.newest, at, plan.groups[which].settle_ns)
        return [self._signed(finding) for finding in findings + closed], in_order(revisions)

    def take_out(self, point: str, at: int, until: int) -> tuple[list[Finding], list[Revision]]:
        """A point is out of service from `at` to `until`: what that closes, and what it judges again, as for `configure`."""
        number, occupancy = self._numbers[point], self.epochs[-1].occupancy
        findings = self._before(at, number)
        self.outages.put(number, at, until)
        for index, pairs in enumerate(self.plan.groups):
            self.states[index], closed = out_of_service(pairs, self.states[index], number, at, occupancy)
            findings += closed if self.streams[index % 2].newest[number] < at else []
        self.silences, closed = silence_out_of_service(self.plan.stale, self.silences, number, at, until, occupancy)
        return [self._signed(finding) for finding in findings + closed], self._ahead(number, at)

    def _before(self, at: int, number: int | None = None) -> list[Finding]:
        """Judge the copies before a moment, of all points or one, though they have not settled: from then on something else holds."""
        findings: list[Finding] = []
        for which, stream in enumerate(self.streams):
            findings += self._forward(which, self.lasting.rest(which, stream.newest, at - 1, number))
        return findings

    def put_back(self, point: str, at: int, heard: int) -> list[Revision]:
        """A point is in service again from `at` on, before its time; what that judges again."""
        number, stale = self._numbers[point], self.plan.stale
        begin = self.outages.last_begin(number)
        assert begin is not None, point
        self.outages.put(number, begin, at)
        if stale.has(number):
            back_in_service(self.silences, stale.rows_of(np.array([number])), at, np.array(heard))
        return self._ahead(number, at)

    def _ahead(self, number: int, at: int) -> list[Revision]:
        """Judge again what was evaluated of a point whose instrument's clock is ahead of `at`."""
        revisions: list[tuple[int, int, Revision]] = []
        for which, stream in enumerate(self.streams):
            if stream.newest[number] >= at:
                revisions += self._again(which, {number: at}, at - self.plan.groups[which].settle_ns)
        return in_order(revisions)

    def judge(self, stretch: Stretch) -> tuple[list[Finding], list[Revision]]:
        """Judge what a stretch of the journal brought, up to its last moment; `memory` has its readings already."""
        clock = int(stretch.heard.at[-1])
        self.derived = Readings.empty()
        self.lasting.listen(int(stretch.heard.heard[-1]), clock)
        touched = self._take_states(stretch.states)
        died = self.lasting.died([(life.points, int(stretch.heard.at[life.moment])) for life in stretch.lives if not life.born])
        suspended = self._take_conditions(stretch.readings, died)
        touched = earliest_of(touched, died)
        findings: list[Finding] = []
        again: list[tuple[int, int, Revision]] = []
        for which, since in enumerate((touched, earliest_of(touched, suspended))):
            found, revised = self._judge_stream(which, stretch.readings, since, clock)
            findings += found
            again += revised
        revisions = in_order(again)
        occupancy = self.epochs[-1].occupancy
        arrived, lives = in_service(self.outages, stretch.readings, stretch.lives)
        self.silences, found = silence(self.plan.stale, self.silences, arrived, stretch.heard, occupancy, lives)
        findings += [self._signed(finding) for finding in found]
        revisions += silences_in_other_states(self._record, self.epochs[-1], self._ids, touched)
        findings.sort(key=lambda finding: (finding.at, finding.excursion.rule, finding.excursion.point))
        return findings, revisions

    def open(self) -> list[Excursion]:
        """What is open now, with peak and readings to the newest evaluated reading."""
        occupancy = self.epochs[-1].occupancy
        rows = [
            excursion
            for state, pairs in zip(self.states, self.plan.groups, strict=True)
            for excursion in open_excursions(pairs, state, occupancy)
        ]
        return [self._with_config(excursion) for excursion in rows + open_silences(self.plan.stale, self.silences, occupancy)]

    def wakes_at(self, at: int, heard: int) -> tuple[int | None, bool]:
        """The listening time of the next silence as of `at` (int ns UTC), and whether readings are waiting to settle, or copies are due."""
        waiting = any(len(stream.waiting) for stream in self.streams)
        return next_deadline(self.plan.stale, self.silences, at), waiting or self.lasting.due(at, heard)

    def _take_states(self, states: Sequence[tuple[str, int, str]]) -> dict[int, int]:
        """Add state messages; the point numbers that they touch, each with the earliest time from which."""
        if not states:
            return {}
        for place, time, state in states:
            self._states.setdefault(place, []).append((time, state))
        passing = self._suspensions.passing
        self.epochs = [replace(epoch, occupancy=occupancy_of(epoch.plan.facility, self._states, passing)) for epoch in self.epochs]
        return touched_by_states(self.epochs, self._numbers, states)

    def _take_conditions(self, arrived: Readings, died: dict[int, int]) -> dict[int, int]:
        """Follow the points of `unless`; the points whose readings may now be passed over or not, each from the earliest time."""
        groups = [pairs for epoch in self.epochs for pairs in epoch.plan.groups[1::2] if pairs.conditions]
        if not groups or not (len(arrived) or died):
            return {}
        numbers = np.unique([condition.number for pairs in groups for condition in pairs.conditions])
        since = self._suspensions.take(arrived, numbers, died)
        return touched_by_conditions(groups, since)

    def _judge_stream(
        self, which: int, arrived: Readings, touched: dict[int, int], clock: int
    ) -> tuple[list[Finding], list[tuple[int, int, Revision]]]:
        stream, begins = self.streams[which], self.outages.begins(len(self._numbers), self.epochs[-1].begin)
        settled_at = clock - self.plan.groups[which].settle_ns
        readings = Readings.concatenate([stream.waiting, arrived]) if len(stream.waiting) else arrived
        settled = readings.received <= settled_at
        stream.waiting = readings.take(~settled) if not settled.all() else Readings.empty()
        readings = readings if settled.all() else readings.take(settled)
        changed, upto = self.derivations.news(readings) if which == SETTLING else ({}, {})
        if not self.lasting.judges[which]:
            since = begins[readings.point]
            np.maximum.at(stream.newest, readings.point, np.where(readings.time < since, since - 1, readings.time))
            self._derive(stream, begins, changed, upto, settled_at)
            return [], []
        readings = readings.take(np.lexsort((readings.time, readings.point)))
        late = (readings.time <= stream.newest[readings.point]) | (readings.time < begins[readings.point])
        revisions: list[tuple[int, int, Revision]] = []
        overtaken = {number: time for number, time in changed.items() if time <= stream.newest[number] or time < begins[number]}
        if late.any() or touched or overtaken:
            overdue = readings.take(late)
            points, first = np.unique(overdue.point, return_index=True)
            earliest = dict(zip(points.tolist(), overdue.time[first].tolist(), strict=True)) | overtaken
            touched = {number: time for number, time in touched.items() if time <= stream.newest[number] or number in earliest}
            revisions = self._again(which, earliest_of(touched, earliest), settled_at)
        newest = np.maximum(stream.newest, np.maximum(begins, BEGINNING + 1) - 1)
        pieces = self.lasting.follow(which, readings, newest, self.plan.groups[which].settle_ns)
        if changed:
            pieces = chain(pieces, [self._derive(stream, begins, changed, upto, settled_at)])
        return self._forward(which, pieces), revisions

    def _forward(self, which: int, pieces: Iterable[Readings]) -> list[Finding]:
        """Judge readings, by point and time, that are newer than all evaluated of their points."""
        return [self._signed(finding) for readings in pieces if len(readings) for finding in self._advance(which, readings)]

    def _advance(self, which: int, readings: Readings) -> list[Finding]:
        last = np.append(np.diff(readings.point) != 0, True)
        np.maximum.at(self.streams[which].newest, readings.point[last], readings.time[last])
        out = self.outages.inside(readings.point, readings.time)
        readings = readings if out is None else readings.take(~out)
        findings: list[Finding] = []
        for index in range(which, len(self.states), 2) if len(readings) else ():
            pairs = self.plan.groups[index]
            if not len(pairs):
                continue
            if pairs.conditions:
                self._suspensions.reach(pairs.conditions, int(readings.time.min()))
            self.states[index], found = advance(pairs, self.states[index], readings, self.epochs[-1].occupancy)
            findings += found
        return findings

    def _derive(self, stream: Stream, begins: NDArray[np.int64], changed: dict[int, int], upto: dict[int, int], settled: int) -> Readings:
        """The readings of derived points from where they changed on that are newer than all evaluated; counts them as evaluated."""
        newest = stream.newest
        spans = [(number, max(time, int(newest[number]) + 1), upto[number] + 1) for number, time in sorted(changed.items())]
        spans = [span for span in spans if span[1] < span[2]]
        if spans:
            numbers, start, end = (np.array(column, np.int64) for column in zip(*spans, strict=True))
            self.derived = self.derivations.newest(numbers, start, end, settled)
        for number, time in upto.items():
            begin = int(begins[number])
            newest[number] = max(int(newest[number]), time, begin - 1 if time < begin else BEGINNING)
        return self.derived

    def _again(self, which: int, since: dict[int, int], settled: int) -> list[tuple[int, int, Revision]]:
        """Judge points again, each from before its time, up to the newest time evaluated before; revisions with group and point number."""
        newest, begins = self.streams[which].newest, self.outages.begins(len(self._numbers), self.epochs[-1].begin)
        revisions: list[tuple[int, int, Revision]] = []
        known = [epoch.plan.groups[which::2] for epoch in self.epochs]
        for number, time in since.items():
            begin = int(begins[number])
            newest[number] = max(int(newest[number]), time, begin - 1 if begin > time else BEGINNING)
        judged = {number: time for number, time in since.items() if any(pairs.has(number) for groups in known for pairs in groups)}
        starts = self._starts(which, judged)
        points = [(number, time, starts[number], int(newest[number])) for number, time in judged.items()]

        def look(lookback: Lookback) -> NDArray[np.bool_]:
            found = [(past, some, past.quiet(some)) for past, some in self._pasts(which, lookback)]
            restless = [some.numbers[quiet == BEGINNING] for _, some, quiet in found]
            enough: NDArray[np.bool_] = (lookback.start == BEGINNING) | ~np.isin(lookback.numbers, np.concatenate(restless))
            for past, some, quiet in found:
                chosen = np.isin(some.numbers, lookback.numbers[enough])
                if chosen.any():
                    revisions.extend(self._revised(past, some.of(some.numbers[chosen]), quiet[chosen]))
            return enough

        looking_back(self.derivations, self.lasting, points, settled, look)
        return revisions

    def _starts(self, which: int, since: dict[int, int]) -> dict[int, int]:
        """From where to look back at first: before what is under way, and with room for windows."""
        near = self._near_ns(which)
        under_way = {number: self._record.uncleared(self._ids[number], time - 1) for number, time in since.items()}
        return {number: min([time, *(row.onset for row in under_way[number])]) - near for number, time in since.items()}

    def _near_ns(self, which: int) -> int:
        return NEAR_NS + max(int(pairs.window.max(initial=0)) if pairs.windowed else 0 for pairs in self.plan.groups[which::2])

    def _revised(self, past: Past, lookback: Lookback, quiet: NDArray[np.int64]) -> list[tuple[int, int, Revision]]:
        """Judge points again from their quiet moments on, and pair what comes out with what is on record."""
        index = past.index
        state, after = past.again(lookback, quiet)
        self.states[index].put(self.plan.groups[index].rows_of(lookback.numbers), state)
        found: dict[str, list[Excursion]] = {}
        for row in after:
            found.setdefault(row.point, []).append(self._with_config(row))
        revisions: list[tuple[int, int, Revision]] = []
        for number, moment in zip(lookback.numbers.tolist(), quiet.tolist(), strict=True):
            old, new = self._of_group(index, self._record.current(self._ids[number], moment)), found.get(self._ids[number], [])
            for name in sorted({row.rule for row in [*old, *new]}):
                changes = revise([row for row in old if row.rule == name], [row for row in new if row.rule == name])
                revisions += [(index, number, change) for change in changes]
        return revisions

    def _pasts(self, which: int, lookback: Lookback) -> Iterator[tuple[Past, Lookback]]:
        """The groups that judge some of the points, each with those that have the same first configuration."""
        by_first: dict[int, list[int]] = {}
        for number in lookback.numbers.tolist():
            by_first.setdefault(len(self._epochs_of(number)), []).append(number)
        for index in range(which, len(self.states), 2):
            for count, alike in by_first.items():
                epochs = self.epochs[-count:]
                some = np.array([n for n in alike if any(epoch.plan.groups[index].has(n) for epoch in epochs)], np.int64)
                if len(some):
                    yield Past(epochs, index, self._suspensions, self._uncleared(index), self.outages), lookback.of(some)

    def recall(self, clock: int) -> None:
        """Look up what was said last on change, and fill the windows of what was adopted, from the readings that are evaluated by now.

        The last step was at `clock`.
        """
        for which, stream in enumerate(self.streams):
            self.lasting.recall(which, stream.newest, clock, self.plan.groups[which].settle_ns)
            groups = [pairs for pairs in self.plan.groups[which::2] if pairs.windowed]
            numbers = {number for pairs in groups for number in pairs.point.tolist() if stream.newest[number] != NO_TIME}
            newest = {number: int(stream.newest[number]) for number in numbers}
            points = [(number, time + 1, time - self._near_ns(which), time) for number, time in newest.items()]
            looking_back(self.derivations, self.lasting, points, clock - self.plan.groups[which].settle_ns, partial(self._recall, which))

    def _recall(self, which: int, lookback: Lookback) -> NDArray[np.bool_]:
        enough = np.ones(len(lookback.numbers), np.bool_)
        for past, some in self._pasts(which, lookback):
            pairs, state = self.plan.groups[past.index], self.states[past.index]
            if pairs.windowed:
                windows, known = past.windows(some)
                assert windows is not None
                state.windows = state.windows or Windows.initial(len(pairs))
                state.windows.put(pairs.rows_of(some.numbers), windows)
                enough &= ~np.isin(lookback.numbers, some.numbers[~known])
        return enough

    def _begin(self, plan: Plan) -> None:
        self.states = [RunState.initial(len(group)) for group in plan.groups]
        self.streams = [Stream(np.full(len(self._numbers), NO_TIME), Readings.empty()) for _ in self.streams]

    def _uncleared(self, index: int) -> Callable[[int, int], list[Excursion]]:
        return lambda number, by: self._of_group(index, self._record.uncleared(self._ids[number], by))

    def _of_group(self, index: int, rows: list[Excursion]) -> list[Excursion]:
        """Those that the group judged: a rule may stand in another group in another configuration."""
        keys = {epoch.plan.config: epoch.plan.keys[index] for epoch in self.epochs}
        return [row for row in rows if (row.rule, row.point) in keys[row.config]]

    def _epoch(self, begin: int, plan: Plan) -> Epoch:
        self._ids = {number: point for point, number in self._numbers.items()}
        judges = np.zeros(len(self._numbers), np.bool_)
        judges[[self._numbers[point.id] for point in plan.facility.points]] = True
        return Epoch(begin, plan, occupancy_of(plan.facility, self._states, self._suspensions.passing), judges)

    def _epochs_of(self, number: int) -> list[Epoch]:
        """The configurations that judge a point: readings before its first one are judged by that first one."""
        known = [number < len(epoch.judges) and bool(epoch.judges[number]) for epoch in self.epochs]
        return self.epochs[known.index(True) :]

    def _signed(self, finding: Finding) -> Finding:
        return replace(finding, excursion=self._with_config(finding.excursion))

    def _with_config(self, excursion: Excursion) -> Excursion:
        """The excursion with the hash of the configuration in force when it was raised."""
        epochs = self._epochs_of(self._numbers[excursion.point])
        judge = next((epoch for epoch in reversed(epochs) if epoch.begin <= excursion.raised), epochs[0])
        return replace(excursion, config=judge.plan.config)
