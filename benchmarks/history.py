"""A data folder with a history: a journal as ingest writes it, and what the recorded steps made of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alerts.ledger import NEWEST_EVERY, Applied, Ledger
from alerts.record.store import StateStore
from benchmarks.plant import SECOND_NS, rounds, severely
from ingest.journal.entries import CONFIGURATION, INGEST, STEP, ConfigurationBody, IngestBody, StepBody, encode
from ingest.journal.journal import Journal
from ingest.series.recollection import Recollection
from ingest.series.series import Series
from service.clock import SystemClock
from service.configuration.configuration import Configuration
from service.configuration.judging import Judges
from service.pages.paging import Paging
from service.stepping import Stepper

START_NS = 1_700_000_000 * SECOND_NS


class TimedRecollection(Recollection):
    """Notes how long its writes to the series took, so that a step can be told with and without one."""

    def __init__(self, series: Series) -> None:
        super().__init__(series)
        self.wrote_ns: list[int] = []

    def write(self, *, all_of_it: bool = False) -> bool:
        begun = time.perf_counter_ns()
        wrote = super().write(all_of_it=all_of_it)
        if wrote:
            self.wrote_ns.append(time.perf_counter_ns() - begun)
        return wrote


@dataclass(slots=True)
class Installation:
    """A journal with its state and series, written round by round; the stepper applies the steps as the service does."""

    journal: Journal
    store: StateStore
    series: Series
    memory: TimedRecollection
    ledger: Ledger
    stepper: Stepper
    points: int
    round: int = 0

    @classmethod
    def open(cls, folder: Path, points: int, *, durable: bool = True) -> Installation:
        """Opens what is in the folder, or begins there."""
        folder.mkdir(parents=True, exist_ok=True)
        journal = Journal(folder / "journal.db", durable=durable)
        store, series = StateStore(folder / "state.db"), Series(folder / "series.db")
        memory = TimedRecollection(series)
        paging = Paging(Judges())
        ledger = Ledger(store, memory, paging.plan, paging.alarms(store))
        ledger.load(journal.reader())

        def rebuild() -> tuple[Recollection, Ledger]:
            raise AssertionError("a step failed")

        stepper = Stepper(journal, memory, ledger, rebuild, SystemClock(), SECOND_NS, lambda: journal.head.heard, _nobody)
        done = max(0, journal.head.at - START_NS) // SECOND_NS
        return cls(journal, store, series, memory, ledger, stepper, points, done)

    def configure(self, configuration: Configuration) -> None:
        """Journal a configuration, in force from the next step on."""
        points = {point.id: number for number, point in enumerate(configuration.facility.points)}
        body = ConfigurationBody(configuration.judging_hash, 1, points, configuration.as_entry())
        self.journal.append(CONFIGURATION, encode(body), self._at_ns, self._heard_ns)

    def arrive(self, count: int, entry_readings: int, out: int = 0, late: int = 0) -> None:
        """Journal `count` rounds of readings in entries of so many.

        The first `out` points are far out of all limits; the first `late` points send one measured before their newest.
        """
        heard = rounds(self.round, count, self.points)
        heard.value[:, :out] += severely(out)
        for row in range(count):
            self.round += 1
            time_ns = np.full(self.points, self._at_ns - SECOND_NS // 2)
            time_ns[:late] -= 2 * SECOND_NS + SECOND_NS // 4
            for first in range(0, self.points, entry_readings):
                which = np.arange(first, min(first + entry_readings, self.points))
                body = ingest_body_of(which, time_ns[which], heard.value[row, which], heard.quality[row, which])
                self.journal.append(INGEST, body, self._at_ns, self._heard_ns, len(which))

    def step(self) -> int:
        """Record a step and take it; returns how long that took, in ns, without a write to the series."""
        wrote = len(self.memory.wrote_ns)
        begun = time.perf_counter_ns()
        self.journal.append(STEP, encode(StepBody(self.stepper.vitals.steps + 1)), self._at_ns, self._heard_ns)
        self.stepper.catch_up()
        return time.perf_counter_ns() - begun - sum(self.memory.wrote_ns[wrote:])

    def close(self) -> None:
        """Leave the files as a kill would."""
        for opened in (self.journal, self.store, self.series):
            opened.close()

    def excursions(self, rules: str = "") -> int:
        """How many excursions of rules with that text in their id are on record, open or not."""
        count: int = self.store.rows("select count(*) from excursions where status = 'current' and instr(rule, ?)", (rules,))[0][0]
        return count

    @property
    def _at_ns(self) -> int:
        return START_NS + self.round * SECOND_NS

    @property
    def _heard_ns(self) -> int:
        return self.round * SECOND_NS


def lived(folder: Path, configuration: Configuration, readings: int, entry_readings: int) -> tuple[Installation, float]:
    """An installation with that many readings of history, and how long the steps took in s.

    The last ones came at one round a step, as many as there can be between two checkpoints: the most that a start has to read again.
    """
    points = len(configuration.facility.points)
    installation = Installation.open(folder, points, durable=False)
    installation.configure(configuration)
    took_s = 0.0
    for count in _steps(readings // points):
        installation.arrive(count, entry_readings)
        begun = time.perf_counter()
        installation.step()
        took_s += time.perf_counter() - begun
    installation.close()
    return Installation.open(folder, points), took_s


def _steps(total: int) -> Iterator[int]:
    """Rounds for each step: the last NEWEST_EVERY - 1 are single ones, those before are spread over NEWEST_EVERY steps."""
    single = min(total, NEWEST_EVERY - 1)
    rest = total - single
    if rest >= NEWEST_EVERY:
        yield from (int(count) for count in np.diff(np.linspace(0, rest, NEWEST_EVERY + 1).astype(int)))
    elif rest:
        yield rest
    yield from [1] * single


def ingest_body_of(point: NDArray[np.int64], time_ns: NDArray[np.int64], value: NDArray[np.float64], quality: NDArray[np.uint8]) -> bytes:
    columns = [column.astype(width).tobytes() for column, width in ((point, "<u4"), (time_ns, "<i8"), (value, "<f8"), (quality, "u1"))]
    return encode(IngestBody(len(point), 0, columns[0], columns[1], columns[2], columns[3], b"", [], [], []))


def _nobody(applied: Applied, at: int) -> None:
    """Nobody watches."""
