"""The pipeline measured as what it monitors is: once a minute the service journals readings of its own points (facility/own.py)."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping

from alerts.record.store import StateStore, StateUnavailable
from facility.own import PERIOD_NS, PLACE, TESTS_MISSED
from historian.vitals import HistorianVitals
from ingest.journal.journal import JournalUnavailable
from service.clock import Clock
from service.doctor.data import bytes_a_day
from service.following import Following
from service.health.kernel_clock import kernel_clock
from service.health.vitals import Parts
from service.stored.archive import Archive, ArchiveUnavailable
from service.verified import Verified, verified_last

SECOND_NS, DAY_NS = 10**9, 86_400 * 10**9
GROWTH_EVERY_NS = 3600 * SECOND_NS
"""How fast the disk fills is found out once an hour: that looks through the journal."""
FAILING = "select count(*) from outbox where sent_at is null and attempts > 0"
"""Pages that were tried and are not delivered."""
MISSED = "select count(*) from drills where missed_at is not null and acknowledged_at is null"
"""Tests of who is on call that nobody acknowledged."""

log = logging.getLogger(__name__)


class OwnReadings:
    """Runs on a thread of its own; measures, where the configuration in force has them, the points whose value is known at that moment."""

    def __init__(
        self,
        parts: Parts,
        following: Following,
        clock: Clock,
        store: Callable[[], StateStore],
        historian: Callable[[], HistorianVitals | None],
        unshown: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._parts, self._following, self._clock = parts, following, clock
        self._data_dir = following.configuration.settings.data_dir
        self._store, self._historian, self._unshown = store, historian, unshown
        self._growth: float | None = None
        self._growth_known_ns = clock.monotonic_ns() - GROWTH_EVERY_NS

    def run(self, stop: threading.Event) -> None:
        """Measure every minute until stopped; what fails is logged, and comes again."""
        while not stop.wait(self._until_next_s()):
            try:
                self.measure()
            except JournalUnavailable:
                pass  # ingest says it, and pages
            except Exception:
                log.exception("the service could not measure itself; it tries again in a minute")

    def measure(self) -> None:
        """Journal what is known now; raises JournalUnavailable."""
        if PLACE not in self._following.configuration.facility.places:
            return
        number_of = self._parts.stepper.ledger.number_of  # those that a configuration brings are there with the step that follows it
        values = {number_of[point]: float(value) for point, value in self._values() if value is not None and point in number_of}
        receiver = self._parts.receiver
        self._parts.intake.measure(values.items(), self._clock.now_ns(), receiver.heard_ns())

    def _until_next_s(self) -> float:
        """On the full minute, so that the points of all services stand side by side."""
        return (PERIOD_NS - self._clock.now_ns() % PERIOD_NS) / SECOND_NS

    def _values(self) -> Iterator[tuple[str, float | None]]:
        parts, now = self._parts, self._clock.monotonic_ns()
        session = parts.receiver.session
        yield "$broker.link", session is not None and session.connected and session.drained and not parts.receiver.vitals.failure
        lag_ns = None if session is None else session.lag_ns
        yield "$ingest.lag", None if lag_ns is None else lag_ns / SECOND_NS
        yield "$ingest.lost", parts.intake.sums.lost
        yield "$journal.latency", parts.journal.slowest_s()
        yield "$steps.lag", (now - parts.stepper.vitals.ended_ns) / SECOND_NS
        historian = self._historian()
        yield "$historian.lag", None if historian is None else historian.lag_s
        failing = self._counted(FAILING)
        yield "$deliveries.failing", None if failing is None else failing + len(self._unshown())
        yield TESTS_MISSED, self._counted(MISSED)
        disk = shutil.disk_usage(self._data_dir)
        yield "$disk.free", 100 * disk.free / disk.total
        growth = self._bytes_a_day(now)
        yield "$disk.days", disk.free / growth if growth else None
        clock = kernel_clock()
        yield "$clock.offset", clock.offset_s if clock is not None and clock.synchronised else None
        yield "$clock.synchronised", None if clock is None else clock.synchronised
        verified: Verified | None = verified_last(self._data_dir)
        yield "$verify.ok", None if verified is None else verified.ok
        yield "$verify.age", None if verified is None else max(0, self._clock.now_ns() - verified.ended_ns) / SECOND_NS

    def _counted(self, query: str) -> float | None:
        """What a query counts."""
        try:
            store = self._store()
            try:
                return float(store.rows(query)[0][0])
            finally:
                store.close()
        except StateUnavailable:
            return None

    def _bytes_a_day(self, now: int) -> float | None:
        if now - self._growth_known_ns >= GROWTH_EVERY_NS:
            self._growth_known_ns = now
            try:
                with Archive(self._data_dir) as archive:
                    self._growth = bytes_a_day(self._data_dir, archive)
            except ArchiveUnavailable:
                self._growth = None
        return self._growth
