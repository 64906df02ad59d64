"""A recording judged offline: in time order, by the engine that judges live, in memory that does not grow with the recording.

First its chunks are admitted into a series on disk, while silence is judged along the arrivals; then each point's readings are judged
in time order, when all states of rooms are known. There is nothing late, so every excursion is current at revision 0.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from facility.recording import Chunk
from facility.site import OCCUPANCIES
from ingest.recorded import RecordedIntake, RecordedSums, Refused
from ingest.series import Series
from rules.engine import CLEARED, Finding, advance, open_excursions
from rules.excursion import Excursion
from rules.occupancy import Occupancy, occupancy_of
from rules.plan import Plan
from rules.runs import RunState
from rules.stale import Heard, StaleState, open_silences, silence

BATCH_ROWS = 262_144
"""Readings judged at a time, some 20 MB; a point's hour is never cut."""


class Replay:
    """One recording; `take` its chunks in their order, then `judge`, then read the `excursions`.

    The points of the plan have the numbers of their order in the facility. Files are written to `folder`, which the caller removes after
    `close`; sqlite3.Error or OSError when they cannot be.
    """

    def __init__(self, plan: Plan, folder: Path, refuse: Callable[[Refused], None] | None = None) -> None:
        self._plan = plan
        self._series = Series(folder / "series.db")
        self._intake = RecordedIntake(plan.facility, self._series, refuse)
        self._found = _Found(folder / "found.db")
        self._silences = StaleState.since(len(plan.stale), 0, 0)
        self._begun = False
        # Which state a silence began in is looked up at the end: states may come later in the recording.
        self._no_states = occupancy_of(plan.facility, {})

    @property
    def sums(self) -> RecordedSums:
        """What became of the rows."""
        return self._intake.sums

    @property
    def found(self) -> int:
        """How many excursions there are, once judged."""
        return self._found.count

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

    def judge(self, progress: Callable[[float], None] = lambda done: None) -> None:
        """Judge all that was taken; `progress` is told the fraction done."""
        self._intake.settle()
        occupancy = occupancy_of(self._plan.facility, self._intake.states_by_place())
        self._judge_readings(occupancy, progress)
        self._judge_end()
        self._found.settle(self._plan, occupancy)

    def excursions(self) -> Iterator[Excursion]:
        """All excursions by onset, rule and point."""
        return iter(self._found)

    def close(self) -> None:
        """Let go of the files."""
        self._series.close()
        self._found.close()

    def _judge_readings(self, occupancy: Occupancy, progress: Callable[[float], None]) -> None:
        groups = [(pairs, RunState.initial(len(pairs))) for pairs in self._plan.groups if len(pairs)]
        done = 0
        for readings in self._series.in_order(BATCH_ROWS):
            for index, (pairs, state) in enumerate(groups):
                state, findings = advance(pairs, state, readings, occupancy)
                groups[index] = pairs, state
                self._found.add(_ended(findings))
            done += len(readings)
            progress(done / max(self._intake.sums.stored, 1))
        for pairs, state in groups:
            self._found.add(open_excursions(pairs, state, occupancy))
        progress(1.0)

    def _judge_end(self) -> None:
        """The clock runs to the largest `received`, and that moment is over."""
        start, clock = self._intake.start, self._intake.clock
        if start is None or clock is None:
            return
        nothing = self._intake.no_readings
        heard = Heard(np.array([clock + 1]), np.array([clock + 1 - start]))
        self._silences, findings = silence(self._plan.stale, self._silences, nothing, heard, self._no_states)
        self._found.add(_ended(findings))
        self._found.add(open_silences(self._plan.stale, self._silences, self._no_states))


def _ended(findings: Iterable[Finding]) -> Iterator[Excursion]:
    """The excursions that are over; those that are open at the end are asked for then."""
    return (finding.excursion for finding in findings if finding.what == CLEARED)


class _Found:
    """Excursions on disk, in the order of an excursion file: rules that are tried out may find millions."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("pragma journal_mode = off")
        self._connection.execute("pragma synchronous = off")
        self._connection.execute("create table found (onset integer, rule text, point text, body blob, primary key (onset, rule, point)) without rowid")
        self._connection.execute("begin")
        self._encoder, self._decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Excursion)
        self._plan: Plan | None = None
        self._occupancy: Occupancy | None = None
        self.count = 0

    def add(self, excursions: Iterable[Excursion]) -> None:
        rows = ((row.onset, row.rule, row.point, self._encoder.encode(row)) for row in excursions)
        self.count += self._connection.executemany("insert into found values (?,?,?,?)", rows).rowcount
