"""Other rules judged on what a journal has: point by point in time order, by the engine that judges live, each in its time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from alerts.judging.clocks import Clocks
from alerts.judging.outages import Outages, in_service
from alerts.judging.rewind import BEGINNING
from alerts.judging.suspensions import passing_along
from facility.reading import Readings
from ingest.journal.entries import ACTION, CONFIGURATION, INGEST, SOURCE, SourceBody, decode, ingest_body, readings_of
from ingest.journal.journal import Entry
from ingest.lives import BORN, GAP
from rules.copies import Copying, Deaths, spans_of
from rules.engine import CLEARED, Finding, advance, open_excursions
from rules.excursion import Excursion
from rules.occupancy import Occupancy, occupancy_of
from rules.plan import NEVER_NS, SETTLE_NS, Pairs, Plan
from rules.runs import RunState
from rules.stale import Heard, Life, StaleState, heard_of, open_silences, silence
from rules.staying import overstayed, terms_of
from rules.transition import out_of_service, reconfigured, reconfigured_silence, silence_out_of_service

ENTRIES = 4096
"""So many entries of the journal are judged for silence at once."""

NONE = Outages()
States = dict[str, list[tuple[int, str]]]


class Backtest:
    """Plans in force from a moment on (int ns UTC, the first from the beginning), and the states of rooms there are.

    `slices(point)` gives all stored readings of a point in time order, in pieces: of those that `unless` names. `outages` are when points
    were out of service, `deaths` those of the sources of points that report on change.
    """

    def __init__(
        self,
        epochs: Sequence[tuple[int, Plan]],
        number_of: dict[str, int],
        states: States,
        slices: Callable[[int], Iterable[Readings]],
        outages: Outages,
        deaths: Deaths,
    ) -> None:
        self._slices, self._deaths, self._states = slices, deaths, states
        passing = passing_along((plan for _, plan in epochs), slices, deaths)
        self._epochs = [
            (BEGINNING if position == 0 else begin, plan, occupancy_of(plan.facility, states, passing))
            for position, (begin, plan) in enumerate(epochs)
        ]
        self._numbers = number_of
        self._outages = outages

    @property
    def points(self) -> list[int]:
        """The numbers of the points that any plan judges on measuring time."""
        return sorted({int(number) for _, plan, _ in self._epochs for pairs in plan.groups for number in pairs.point})

    @property
    def judges_silence(self) -> bool:
        return any(len(plan.stale) for _, plan, _ in self._epochs)

    @property
    def judges_clocks(self) -> bool:
        return any(plan.ahead for _, plan, _ in self._epochs)

    def judge(self, number: int, slices: Iterable[Readings], clock: int, end: int) -> Iterator[Excursion]:
        """The excursions of one point from slices of its readings in time order, as far as they have settled at the clock.

        Slices after `end` are judged only as long as an excursion is open.
        """
        known = [any(self._numbers[point.id] == number for point in plan.facility.points) for _, plan, _ in self._epochs]
        epochs = self._epochs[known.index(True) :] if True in known else []
        walks = [Walk(index, number, epochs, clock, self._outages) for index in range(len(epochs[0][1].groups) if epochs else 0)]
        walks = [walk for walk in walks if walk.judges]
        spans = spans_of([(begin, plan.on_change) for begin, plan, _ in epochs])
        copyings = [Copying(spans, self._deaths, walk.settled) for walk in walks]
        for readings in slices if walks else ():
            if len(readings) and readings.time[0] >= end and not any(walk.open for walk in walks):
                break
            for walk, copying in zip(walks, copyings, strict=True):
                for piece in copying.take(readings.take(readings.received <= clock - walk.pairs.settle_ns)):
                    yield from _over(walk.take(piece))
        for walk, copying in zip(walks, copyings, strict=True):
            for piece in copying.end():
                yield from _over(walk.take(piece))
            yield from _over(walk.to_the_end())
            yield from walk.standing()

    def silences(self, entries: Iterable[Entry]) -> Iterator[Excursion]:
        """The excursions of `stale` rules along the journal; points count from the first of the entries."""
        state: StaleState | None = None
        position = 0
        begun = self._outages.all_begun()
        for stretch in _stretches(entries, {at for at, *_ in begun}):
            first, last = stretch[0], stretch[-1]
            if state is None:
                position = max(index for index, (begin, _, _) in enumerate(self._epochs) if begin <= first.at)
                state = StaleState.since(len(self._epochs[position][1].stale), first.at, first.heard)
                self._heard_before(self._epochs[position][1].stale, state, first.at)
            _, plan, occupancy = self._epochs[position]
            state, found = _silences(plan, state, stretch, occupancy, self._outages)
            yield from _over(found)
            while begun and begun[0][0] <= last.at:
                at, number, until = begun.pop(0)
                state, found = silence_out_of_service(plan.stale, state, number, at, until, occupancy)
                yield from _over(found)
            while position + 1 < len(self._epochs) and self._epochs[position + 1][0] <= last.at:
                _, plan, occupancy = self._epochs[position]
                position += 1
                new = self._epochs[position][1]
                state, found = reconfigured_silence((plan, plan.stale), state, (new, new.stale), last.at, last.heard, occupancy)
                self._heard_before(new.stale, state, last.at)
                yield from _over(found)
        if state is not None:
            yield from open_silences(self._epochs[position][1].stale, state, self._epochs[position][2])

    def stays(self, clock: int) -> Iterator[Excursion]:
        """The excursions of `state` rules, as far as the clock has settled: of all messages about the places that any plan watches."""
        judged = [(begin, {watched.key: watched for watched in plan.states}) for begin, plan, _ in self._epochs]
        places = {key: watched.place.id for _, of_plan in judged for key, watched in of_plan.items()}
        for key, place in sorted(places.items()):
            terms = terms_of([(begin, of_plan.get(key)) for begin, of_plan in judged])
            yield from overstayed(terms, sorted(self._states.get(place, ())), clock - SETTLE_NS)

    def clocks(self, entries: Iterable[Entry]) -> Iterator[Excursion]:
        """The excursions of `clock_ahead` rules along the journal; nothing was refused before the first of the entries."""
        clocks, position = Clocks(), -1
        for stretch in _stretches(entries, ()):
            first, last = stretch[0], stretch[-1]
            if position < 0:
                position = max(index for index, (begin, _, _) in enumerate(self._epochs) if begin <= first.at)
                clocks.configure(self._epochs[position][1], first.at)
            ingested = [(entry, ingest_body(entry)) for entry in stretch if entry.kind == INGEST]
            stored = Readings.concatenate([readings_of(entry, body) for entry, body in ingested])
            yield from _over(clocks.judge(ingested, stored, self._numbers, last.at))
            while position + 1 < len(self._epochs) and self._epochs[position + 1][0] <= last.at:
                position += 1
                yield from _over(clocks.configure(self._epochs[position][1], last.at))
        yield from clocks.open()

    def _heard_before(self, pairs: Pairs, state: StaleState, at: int) -> None:
        """Points that report on change are not silent from a moment on if they have a reading from before it."""
        for number in np.unique(pairs.point[pairs.on_change]).tolist():
            if any((readings.received < at).any() for readings in self._slices(number)):
                heard_of(pairs, state, np.array([number]))


def _stretches(entries: Iterable[Entry], outages: Collection[int]) -> Iterator[list[Entry]]:
    """The entries in pieces, of which a configuration ends one, and who takes a point out of service at a moment of `outages`."""
    stretch: list[Entry] = []
    for entry in entries:
        stretch.append(entry)
        if entry.kind == CONFIGURATION or (entry.kind == ACTION and entry.at in outages) or len(stretch) == ENTRIES:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


def _silences(
    plan: Plan, state: StaleState, stretch: list[Entry], occupancy: Occupancy, outages: Outages
) -> tuple[StaleState, list[Finding]]:
    batches: list[Readings] = []
    lives: list[Life] = []
    for moment, entry in enumerate(stretch):
        if entry.kind == INGEST:
            batches.append(readings_of(entry, ingest_body(entry)))
        elif entry.kind == SOURCE:
            event = decode(entry)
            assert isinstance(event, SourceBody)
            if event.event != GAP:
                lives.append(Life(event.event == BORN, np.unique(np.array(event.points, np.int64)), sum(map(len, batches)), moment))
    heard = Heard(np.array([entry.at for entry in stretch]), np.array([entry.heard for entry in stretch]))
    arrived, living = in_service(outages, Readings.concatenate(batches), lives)
    return silence(plan.stale, state, arrived, heard, occupancy, living)


def _over(findings: Iterable[Finding]) -> Iterator[Excursion]:
    return (finding.excursion for finding in findings if finding.what == CLEARED)


class Walk:
    """One group of pairs of one point along its readings, from configuration to configuration."""

    def __init__(self, index: int, number: int, epochs: Sequence[tuple[int, Plan, Occupancy]], clock: int, outages: Outages = NONE) -> None:
        self._index, self._number, self._clock = index, number, clock
        self._epochs, self._outages = epochs, outages
        self._position = 0
        begun = outages.begun(np.array([number]), np.array([BEGINNING]), BEGINNING, NEVER_NS)
        # At one moment the configuration is first: what it closes is closed.
        self._changes = sorted([(begin, False) for begin, _, _ in epochs[1:]] + [(at, True) for at, _ in begun])
        self.judges = any(len(self._pairs(position)) for position in range(len(epochs)))
        self.pairs = self._pairs(0)
        self.state = RunState.initial(len(self.pairs))

    @property
    def settled(self) -> NDArray[np.int64]:
        """Up to when copies are judged, by point number."""
        return self._clock - np.maximum(self._epochs[-1][1].on_change.settle, self.pairs.settle_ns)

    @property
    def open(self) -> bool:
        return bool(self.state.open.any())

    def take(self, readings: Readings) -> Iterator[Finding]:
        """Judge readings newer than those before; ask for all findings."""
        readings = readings.take(readings.received <= self._clock - self.pairs.settle_ns)
        out = self._outages.inside(readings.point, readings.time)
        readings = readings if out is None else readings.take(~out)
        while len(readings):
            count = int(np.searchsorted(readings.time, self._changes[0][0])) if self._changes else len(readings)
            self.state, found = advance(self.pairs, self.state, readings.take(slice(count)), self._epochs[self._position][2])
            yield from found
            readings = readings.take(slice(count, None))
            if len(readings):
                yield from self._next()

    def to_the_end(self) -> Iterator[Finding]:
        """Put in force what is left of the configurations and outages."""
        while self._changes:
            yield from self._next()

    def standing(self) -> list[Excursion]:
        """The excursions that are open."""
        return open_excursions(self.pairs, self.state, self.occupancy)

    @property
    def occupancy(self) -> Occupancy:
        return self._epochs[self._position][2]

    def _next(self) -> Iterator[Finding]:
        """Put the next configuration in force, or the point out of service."""
        at, out = self._changes.pop(0)
        _, plan, occupancy = self._epochs[self._position]
        if out:
            self.state, closed = out_of_service(self.pairs, self.state, self._number, at, occupancy)
            yield from closed
            return
        self._position += 1
        begin, new_plan, _ = self._epochs[self._position]
        pairs = self._pairs(self._position)
        self.state, closed = reconfigured((plan, self.pairs), self.state, (new_plan, pairs), begin, occupancy)
        self.pairs = pairs
        yield from closed

    def _pairs(self, position: int) -> Pairs:
        return self._epochs[position][1].groups[self._index].only(np.array([self._number]))
