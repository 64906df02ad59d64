"""A simulated day lived through by the ledger: arrivals, steps, a stop of the service, and the broker's queue drained after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alerts.alarms import Alarms
from alerts.ledger import Ledger
from alerts.record.store import StateStore
from facility.reading import Readings
from ingest.admission.admission import STORED, Admission
from ingest.journal.entries import (
    CONFIGURATION,
    INGEST,
    SERVICE,
    STEP,
    Body,
    ConfigurationBody,
    IngestBody,
    ServiceBody,
    State,
    StepBody,
    encode,
)
from ingest.journal.journal import Entry
from rules.plan import Plan
from simulators.chunk import GARBLED, Chunk
from tests.support.living import PlainJournal, PlainMemory

S = 10**9
ARRIVAL_NS, STEP_NS = 2 * S, 120 * S
"""Readings that arrive within so long are one entry, and a step is taken so often."""
DRAIN_NS, DRAINED_ROWS = 20 * 10**6, 500
"""How long the broker takes for so many rows of its queue."""
Times = NDArray[np.int64]


class Kept(PlainMemory):
    """Readings in a list, put together when they are looked for."""

    def __init__(self) -> None:
        super().__init__()
        self._new: list[Readings] = []

    def add(self, readings: Readings, states: list[tuple[str, int, str]], cursor: int) -> None:
        self._new.append(readings)
        for place, time, state in states:
            self.kept.setdefault(place, []).append((time, state))

    def read(self, point: int, start: int | None = None, end: int | None = None) -> Readings:
        if self._new:
            self.readings, self._new = Readings.concatenate([self.readings, *self._new]), []
        return super().read(point, start, end)


@dataclass(frozen=True)
class Stop:
    """The service is stopped, ns UTC; what is sent meanwhile waits in the broker."""

    begin: int
    end: int


class Day:
    """Lives through what a simulation sent from `start` on; entries are numbered and kept as in a journal."""

    def __init__(self, plan: Plan, start: int, stop: Stop) -> None:
        self._plan, self._stop, self._start = plan, stop, start
        self.store = StateStore(":memory:")
        self.journal = PlainJournal()
        number_of = {point.id: number for number, point in enumerate(plan.facility.points)}
        self._admission = Admission(0, np.empty(0, np.int64), lambda point, time: None)
        self._admission.limits_of({number_of[point.id]: point for point in plan.facility.points})
        self._deaf_ns, self._stepped = 0, start
        self._begin()
        self._pending: list[Entry] = []
        self._enter(CONFIGURATION, ConfigurationBody("hash", 1, number_of, {}), start)

    def live(self, sent: Chunk, end: int) -> None:
        """Take in all messages in the order of sending, those of the stop after it, at once; the day is over at `end`."""
        sent = sent.take(sent.kind != GARBLED).with_states(sent.states)
        stopped, back = (int(row) for row in np.searchsorted(sent.sent, [self._stop.begin, self._stop.end]))
        self._arrive(sent, 0, stopped, sent.sent[:stopped], ARRIVAL_NS)
        self._step(self._stop.begin)
        self._begin()
        self.ledger.load(self.journal)  # type: ignore[arg-type]
        self._deaf_ns = self._stop.end - self._stop.begin
        self._enter(SERVICE, ServiceBody("started", "2"), self._stop.end)
        queued = self._stop.end + DRAIN_NS * (1 + np.arange(back - stopped) // DRAINED_ROWS)
        heard = self._heard(self._stop.end)
        self._arrive(sent, stopped, back, queued, DRAIN_NS, heard)
        drained = int(queued[-1])
        self._deaf_ns = drained - self._stop.begin
        self._arrive(sent, back, len(sent.sent), np.maximum(sent.sent[back:], drained), ARRIVAL_NS)
        self._step(end)

    def _begin(self) -> None:
        self.ledger = Ledger(self.store, Kept(), lambda body, numbers, at: self._plan, Alarms(self.store))  # type: ignore[arg-type]

    def _heard(self, at: int) -> int:
        return at - self._start - self._deaf_ns

    def _enter(self, kind: str, body: Body, at: int, readings: int = 0, heard: int | None = None) -> None:
        entry = Entry(len(self.journal.kept) + 1, kind, at, self._heard(at) if heard is None else heard, readings, encode(body), b"")
        self.journal.kept.append(entry)
        self._pending.append(entry)

    def _step(self, at: int, heard: int | None = None) -> None:
        self._enter(STEP, StepBody(0), at, heard=heard)
        self.ledger.apply(self._pending)
        self._pending, self._stepped = [], at

    def _arrive(self, sent: Chunk, first: int, last: int, received: Times, together_ns: int, heard: int | None = None) -> None:
        """Rows of a stretch: admitted, and an entry for those that arrive together; while a queue is drained nothing is `heard`."""
        rows = slice(first, last)
        point = sent.point[rows].astype(np.uint32)
        time, value = sent.time[rows], sent.value[rows]
        verdict, quality = self._admission.admit(point, time, value, sent.quality[rows], received)
        self._admission.confirm()
        stored = verdict == STORED
        for begin, end in _together(received, together_ns):
            kept = begin + np.flatnonzero(stored[begin:end])
            at = int(received[end - 1])
            body = IngestBody(
                end - begin, 0, point[kept].tobytes(), time[kept].tobytes(), value[kept].tobytes(), quality[kept].tobytes(), b"", [],
                self._states(sent, first + begin, first + end), [],
            )  # fmt: skip
            self._enter(INGEST, body, at, len(kept), heard)
            if at - self._stepped >= STEP_NS:
                self._step(at, heard)

    def _states(self, sent: Chunk, first: int, last: int) -> list[State]:
        """The states that are said between the row before these and the last of them."""
        begin, end = (int(sent.sent[first - 1]) if first else -1), int(sent.sent[last - 1])
        return [State(one.place, one.time, one.state) for one in sent.states if begin < one.time <= end]


def _together(received: Times, together_ns: int) -> Iterator[tuple[int, int]]:
    if len(received):
        number = received // together_ns
        cuts = np.flatnonzero(np.append(True, number[1:] != number[:-1])).tolist()
        yield from zip(cuts, [*cuts[1:], len(received)], strict=True)


def reported_on_change(sent: Chunk, points: frozenset[int]) -> Chunk:
    """Messages of some points only where the value is another than the one before."""
    keep = np.ones(len(sent.point), np.bool_)
    for point in points:
        rows = np.flatnonzero(sent.point == point)
        keep[rows[1:]] = sent.value[rows[1:]] != sent.value[rows[:-1]]
    return sent.take(keep).with_states(sent.states)
