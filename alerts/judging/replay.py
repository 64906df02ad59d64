"""A recording judged offline: in time order, by the engine that judges live, in memory that has a bound whatever the recording.

First its chunks are admitted and held, those of a large recording on disk, while silence is judged along the arrivals; then each point's
readings are judged in time order, when all states of rooms are known. There is nothing late, so every excursion is current at revision 0.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from facility.reading import Readings
from facility.recording import Chunk
from facility.site import OCCUPANCIES
from ingest.admission.recorded import RecordedIntake, RecordedSums, Refused
from ingest.series.held import Held
from ingest.series.series import NO_TIME
from rules.ahead import AheadState, Arrived, Watch, ahead, open_ahead
from rules.copies import BEGINNING, COPY, Copying, Deaths, spans_of
from rules.engine import CLEARED, Finding, advance, open_excursions
from rules.excursion import Excursion
from rules.occupancy import occupancy_of
from rules.passing import Condition, Passed
from rules.plan import Plan
from rules.runs import RunState
from rules.stale import Heard, StaleState, open_silences, silence
from rules.staying import overstayed, terms_of

BATCH_ROWS = 262_144
"""Readings judged at a time, some 20 MB; a point's hour is never cut."""


class Replay:
    """One recording; `take` its chunks in their order, then `judge`, then read the `excursions`.

    The points of the plan have the numbers of their order in the facility. Files are written to `folder`, which the caller removes after
    `close`; sqlite3.Error or OSError when they cannot be.
    """

    def __init__(self, plan: Plan, folder: Path, refuse: Callable[[Refused], None] | None = None) -> None:
        self._plan = plan
        self._held = Held(folder / "series.db", len(plan.facility.points))
        self._intake = RecordedIntake(plan.facility, self._held, refuse)
        self._found = Found(folder / "found.db")
        self._silences = StaleState.since(len(plan.stale), 0, 0)
        self._clocks = [(Watch(rule, points), AheadState()) for rule, points in plan.ahead]
        self._begun = False
        # Which state a silence began in is looked up at the end: states may come later in the recording.
        self._no_states = self._occupancy = occupancy_of(plan.facility, {})

    @property
    def sums(self) -> RecordedSums:
        """What became of the rows."""
        return self._intake.sums

    @property
    def told_states(self) -> bool:
        """Whether any state of a room or zone was told."""
        return bool(self._intake.states)

    @property
    def clock(self) -> int | None:
        """The largest `received` so far, int ns UTC; None before the first row."""
        return self._intake.clock

    def take(self, chunk: Chunk) -> None:
        """Admit a chunk, and judge the silences up to its last arrival; raises RecordingError when the times cannot be true."""
        stored = self._intake.accept(chunk)
        start, clock = self._intake.start, self._intake.clock
        if start is None or clock is None:
            return
        if not self._begun:
            self._silences, self._begun = StaleState.since(len(self._plan.stale), start, 0), True
        heard = Heard(np.array([clock]), np.array([clock - start]))
        self._silences, findings = silence(self._plan.stale, self._silences, stored, heard, self._no_states)
        self._found.add(_ended(findings))
        arrived = Arrived((stored.point, stored.received), self._intake.ahead)
        for watch, ahead_state in self._clocks:
            self._found.add(_ended(ahead(watch, ahead_state, arrived, clock)))

    def judge(self, progress: Callable[[float], None] = lambda done: None) -> None:
        """Judge all that was taken; `progress` is told the fraction done."""
        self._occupancy = occupancy_of(self._plan.facility, self._intake.states_by_place(), self._passing())
        self._judge_readings(progress)
        self._judge_end()

    def excursions(self) -> Iterator[Excursion]:
        """All excursions by onset, rule and point, once judged."""
        places = {place.id: index for index, place in enumerate(self._plan.facility.places)}
        silent = {rule.id for rule in self._plan.stale.rules}
        for row in self._found:
            occupancy = row.occupancy
            if row.rule in silent:
                timeline = self._occupancy.reported[places[row.zone or row.room]]
                occupancy = OCCUPANCIES[timeline.at(np.array([row.onset]))[0]]
            yield replace(row, occupancy=occupancy, config=self._plan.config)

    def found(self) -> Found:
        """All excursions, once judged, as they lie on disk until `close`: without configuration, and silences without occupancy."""
        return self._found

    def close(self) -> None:
        """Let go of the files."""
        self._held.close()
        self._found.close()

    def _passing(self) -> dict[Condition, Passed]:
        """When each condition of `unless` holds, from its point's readings, a batch at a time."""
        passing = {condition: Passed.nothing(NO_TIME) for pairs in self._plan.groups for condition in pairs.conditions}
        for readings in self._held.in_order(BATCH_ROWS, {condition.number for condition in passing}):
            for condition, passed in passing.items():
                passing[condition] = passed.then(condition, readings.take(readings.point == condition.number), Deaths())
        return passing

    def _judge_readings(self, progress: Callable[[float], None]) -> None:
        groups = [pairs for pairs in self._plan.groups if len(pairs)]
        states = [RunState.initial(len(pairs)) for pairs in groups]
        done = 0

        def take(readings: Readings) -> None:
            for index, pairs in enumerate(groups):
                states[index], findings = advance(pairs, states[index], readings, self._occupancy)
                self._found.add(_ended(findings))

        for readings in self._with_copies() if groups else ():
            take(readings)
            done += int(np.count_nonzero(readings.sequence != COPY))
            progress(done / self.sums.stored)
        for derivation in self._plan.derived.values() if groups else ():
            for readings in derivation.slices(self._held.first):
                take(readings)
        for pairs, state in zip(groups, states, strict=True):
            self._found.add(open_excursions(pairs, state, self._occupancy))
        progress(1.0)

    def _with_copies(self) -> Iterator[Readings]:
        """All readings, with copies up to the clock: here sources live to the end."""
        on_change = self._plan.on_change
        copying = Copying(spans_of([(BEGINNING, on_change)]), Deaths(), np.full(len(on_change.known), self._intake.clock or 0))
        for readings in self._held.in_order(BATCH_ROWS):
            yield from copying.take(readings)
        yield from copying.end()

    def _judge_end(self) -> None:
        """The clock runs to the largest `received`, and that moment is over."""
        start, clock = self._intake.start, self._intake.clock
        if start is None or clock is None:
            return
        heard = Heard(np.array([clock + 1]), np.array([clock + 1 - start]))
        self._silences, findings = silence(self._plan.stale, self._silences, Readings.empty(), heard, self._no_states)
        self._found.add(_ended(findings))
        for watched in self._plan.states:
            messages = sorted(self._intake.states_by_place().get(watched.place.id, ()))
            self._found.add(overstayed(terms_of([(BEGINNING, watched)]), messages, clock))
        self._found.add(open_silences(self._plan.stale, self._silences, self._no_states))
        nothing = (np.empty(0, np.uint32), np.empty(0, np.int64))
        for watch, ahead_state in self._clocks:
            self._found.add(_ended(ahead(watch, ahead_state, Arrived(nothing, nothing), clock + 1)))
            self._found.add(open_ahead(watch, ahead_state))


def _ended(findings: Iterable[Finding]) -> Iterator[Excursion]:
    """The excursions that are over; those that are open at the end are asked for then."""
    return (finding.excursion for finding in findings if finding.what == CLEARED)


class Found:
    """Excursions on disk, in the order of an excursion file: a rule that is being tried out may find millions."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("pragma journal_mode = off")
        self._connection.execute("pragma synchronous = off")
        key = "primary key (onset, rule, point)"
        self._connection.execute(f"create table found (onset integer, rule text, point text, body blob, {key}) without rowid")
        self._connection.execute("begin")
        self._encoder, self._decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Excursion)

    def add(self, excursions: Iterable[Excursion]) -> None:
        rows = ((row.onset, row.rule, row.point, self._encoder.encode(row)) for row in excursions)
        self._connection.executemany("insert into found values (?,?,?,?)", rows)

    def __iter__(self) -> Iterator[Excursion]:
        for (body,) in self._connection.execute("select body from found order by onset, rule, point"):
            yield self._decoder.decode(body)

    def by_point(self) -> Iterator[Excursion]:
        """All by point, what stands in the rule's id after its first `/`, rule and onset."""
        order = "point, substr(rule, instr(rule, '/') + 1), rule, onset"
        for (body,) in self._connection.execute(f"select body from found order by {order}"):
            yield self._decoder.decode(body)

    def close(self) -> None:
        self._connection.close()
