"""A story told live: its rows admitted batch by batch, a recorded step after each, without a broker or a disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from alerts.alarms import Alarms
from alerts.ledger import Ledger
from alerts.record.store import StateStore
from facility.reading import QUALITIES, Readings
from facility.site import Facility
from ingest.admission.admission import CLOCK_AHEAD, DUPLICATE, STORED, Admission
from ingest.arrivals import Quarantined
from ingest.journal.entries import (
    CONFIGURATION,
    INGEST,
    SOURCE,
    STEP,
    Body,
    ConfigurationBody,
    IngestBody,
    SourceBody,
    State,
    StepBody,
    encode,
    ingest_body,
    readings_of,
)  # fmt: skip
from ingest.journal.journal import Entry
from ingest.series.series import NO_TIME
from rules.excursion import CURRENT, Excursion
from rules.plan import Plan, plan_of
from rules.rule import Rule
from tests.support.admitted import Row, is_state
from tests.support.reference import Lived
from tests.support.strategies import Story


class PlainMemory:
    """Stored readings and states in lists."""

    def __init__(self) -> None:
        self.readings = Readings.empty()
        self.kept: dict[str, list[tuple[int, str]]] = {}

    def add(self, readings: Readings, states: list[tuple[str, int, str]], cursor: int) -> None:
        self.readings = Readings.concatenate([self.readings, readings])
        for place, time, state in states:
            self.kept.setdefault(place, []).append((time, state))

    def read(self, point: int, start: int | None = None, end: int | None = None) -> Readings:
        r = self.readings
        chosen = (r.point == point) & (r.time >= (NO_TIME if start is None else start)) & (r.time < ((1 << 62) if end is None else end))
        r = r.take(chosen)
        return r.take(np.argsort(r.time, kind="stable"))

    def first(self, point: int, count: int, start: int | None = None, end: int | None = None) -> Readings:
        return self.read(point, start, end).take(slice(count))

    def read_all(self, points: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]) -> Readings:
        spans = zip(points.tolist(), start.tolist(), end.tolist(), strict=True)
        return Readings.concatenate([self.read(point, first, last) for point, first, last in spans])

    def states(self) -> dict[str, list[tuple[int, str]]]:
        return {place: list(states) for place, states in self.kept.items()}

    def recall(self, journal: PlainJournal, upto: int) -> None:
        for entry in journal.entries(0, upto, (INGEST,)):
            body = ingest_body(entry)
            self.add(readings_of(entry, body), [(state.place, state.time, state.state) for state in body.states], upto)


class PlainJournal:
    """Entries in a list."""

    def __init__(self) -> None:
        self.kept: list[Entry] = []

    def entries(self, after: int = 0, upto: int | None = None, kinds: tuple[str, ...] = ()) -> Iterator[Entry]:
        last = len(self.kept) if upto is None else upto
        return (entry for entry in self.kept if after < entry.seq <= last and (not kinds or entry.kind in kinds))


class Life:
    """A ledger fed by hand."""

    def __init__(self, story: Story, *, settle: bool = False, start: int | None = None) -> None:
        self.story = story
        self.number_of = {point.id: i for i, point in enumerate(story.facility.points)}
        self.settle = settle
        self.deaf_ns = 0
        """How much of the time so far was not spent listening."""
        self.store = StateStore(":memory:")
        self.journal = PlainJournal()
        self.by_hash = {"hash": (story.facility, story.rules)}
        self._begin()
        self.admission = Admission(0, np.empty(0, np.int64), lambda point, time: None)
        self.admission.limits_of({self.number_of[point.id]: point for point in story.facility.measured})
        self.states: dict[tuple[str, int], str] = {}
        self.start = min((row.received or 0 for row in story.rows), default=0) if start is None else start
        self.pending = [self._entry(CONFIGURATION, ConfigurationBody("hash", 1, self.number_of, {}), self.start)]

    def arrive(self, rows: Sequence[Row]) -> None:
        """One entry for each moment of arrival."""
        moments = sorted({row.received or 0 for row in rows})
        for moment in moments:
            self._ingest([row for row in rows if row.received == moment], moment)

    def lived(self, life: Lived) -> None:
        """A source was born or died."""
        body = SourceBody("group/node", "born" if life.born else "died", [self.number_of[point] for point in life.points])
        self.pending.append(self._entry(SOURCE, body, life.at))

    def step(self, at: int) -> None:
        self.pending.append(self._entry(STEP, StepBody(0), at))
        self.ledger.apply(self.pending)
        self.pending = []

    def restart(self) -> None:
        """Go on with what is committed: a new ledger on the same store, and the journal."""
        self._begin()
        self.ledger.load(self.journal)  # type: ignore[arg-type]

    def reconfigure(self, rules: tuple[Rule, ...], at: int, facility: Facility | None = None) -> None:
        """Other rules, and perhaps another facility, take force at a moment between two arrivals."""
        self.by_hash["other"] = facility or self.story.facility, rules
        self.pending.append(self._entry(CONFIGURATION, ConfigurationBody("other", 1, {}, {}), at))

    def current(self) -> list[Excursion]:
        rows = self.store.excursions("status = ?", (CURRENT,))
        return [replace(row, id="", revision=0, late=False, config="") for row in rows]

    def _begin(self) -> None:
        self.memory = PlainMemory()
        self.ledger = Ledger(self.store, self.memory, self._plan, Alarms(self.store))  # type: ignore[arg-type]

    def _plan(self, body: ConfigurationBody, number_of: dict[str, int], at: int) -> Plan:
        facility, rules = self.by_hash[body.hash]
        plan = plan_of(facility, rules, self.story.tables, number_of, body.hash)
        if self.settle:
            return plan
        on_change = replace(plan.on_change, settle=np.minimum(plan.on_change.settle, 1))
        return replace(plan, groups=tuple(replace(group, settle_ns=0) for group in plan.groups), on_change=on_change)

    def _entry(self, kind: str, body: Body, at: int, readings: int = 0) -> Entry:
        entry = Entry(len(self.journal.kept) + 1, kind, at, at - self.start - self.deaf_ns, readings, encode(body), b"")
        self.journal.kept.append(entry)
        return entry

    def _ingest(self, rows: list[Row], moment: int) -> None:
        states = []
        for row in rows:
            if is_state(row):
                place = row.point.removesuffix("/occupancy")
                if self.states.setdefault((place, row.time), str(row.value)) == row.value and (place, row.time, row.value) not in states:
                    states.append((place, row.time, row.value))
        rows = [row for row in rows if not is_state(row) and row.value is not None and (row.quality or "good") in QUALITIES]
        point = np.array([self.number_of[row.point] for row in rows], np.uint32)
        time = np.array([row.time for row in rows], np.int64)
        value = np.array([row.value for row in rows], np.float64)
        quality = np.array([QUALITIES.index(row.quality or "good") for row in rows], np.uint8)
        verdict, quality = self.admission.admit(point, time, value, quality, np.full(len(rows), moment))
        self.admission.confirm()
        stored = verdict == STORED
        body = IngestBody(
            len(rows),
            int((verdict == DUPLICATE).sum()),
            point[stored].tobytes(),
            time[stored].tobytes(),
            value[stored].tobytes(),
            quality[stored].tobytes(),
            b"",
            [],
            [State(*state) for state in states],
            [Quarantined("", b"", "clock_ahead", "", row.point) for row, what in zip(rows, verdict, strict=True) if what == CLOCK_AHEAD],
        )
        self.pending.append(self._entry(INGEST, body, moment, int(stored.sum())))
