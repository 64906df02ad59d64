"""The step thread: takes a recorded step every `evaluate_every`, and does at once what people and couriers ask of it."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from alerts.alarms import Answer
from alerts.ledger import Applied, Ledger
from alerts.record.store import StateUnavailable
from ingest.histogram import Histogram
from ingest.journal.entries import ACTION, CLOCK, CONFIGURATION, DELIVERY, INGEST, LINK, SERVICE, STEP, Body, ClockBody, StepBody, encode
from ingest.journal.journal import Entry, Journal, JournalReader, JournalUnavailable
from ingest.series.recollection import Recollection
from ingest.series.series import SeriesUnavailable
from service.clock import Clock

SECOND_NS = 10**9
CLOCK_STEP_NS = SECOND_NS
"""A wall clock that moved by more than this against the monotonic one was stepped; that is an event of the journal."""
MISSED = 3
"""So many missed steps, and the guard on the monotonic clock takes one itself and sets the schedule again."""

Around = Callable[[Callable[[], Entry]], Entry]

log = logging.getLogger(__name__)


class StepsEnded(Exception):
    """The service stops and takes no step any more. What was asked may be in the journal: then the next start does it."""


@dataclass(frozen=True, slots=True)
class Request:
    """An entry that somebody wants journalled by the step thread, and the promise of what came of it.

    `around` gets what appends it, calls that, and does what must happen at that very moment.
    """

    kind: str
    body: Body
    around: Around | None = None
    answer: Future[Answer | None] = field(default_factory=Future)


@dataclass(slots=True)
class StepVitals:
    """How the steps fare, for health and metrics; monotonic ns. The texts say why none is committed, why the series is not written."""

    steps: int = 0
    failures: int = 0
    durations: Histogram = field(default_factory=Histogram)
    lag_ns: int = 0
    clock_steps: int = 0
    ended_ns: int = 0
    failure: str = ""
    series_failure: str = ""


class Stepper:
    """Runs on one thread; `rebuild` makes a fresh ledger from what is committed, after a step could not be.

    `stamp_ns` gives the time of new entries (the clock's, unless given); `before_step` journals what that time brings by itself.
    """

    def __init__(
        self,
        journal: Journal,
        memory: Recollection,
        ledger: Ledger,
        rebuild: Callable[[], tuple[Recollection, Ledger]],
        clock: Clock,
        evaluate_every_ns: int,
        heard_ns: Callable[[], int],
        after_step: Callable[[Applied, int], None],
        stamp_ns: Callable[[], int] | None = None,
        before_step: Callable[[int], None] = lambda at: None,
    ) -> None:
        self._journal, self._memory, self.ledger = journal, memory, ledger
        self._rebuild, self._clock, self._every_ns = rebuild, clock, evaluate_every_ns
        self._heard_ns, self._before_step, self._after_step = heard_ns, before_step, after_step
        self._stamp_ns = stamp_ns or clock.now_ns
        self._reader: JournalReader = journal.reader()
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._waiting: dict[int, Request] = {}
        self._torn = False
        self._ended = False
        self._ending = threading.Lock()
        self._recorded = journal.head.seq
        self._wall_ahead_ns = clock.now_ns() - clock.monotonic_ns()
        self._due_ns = clock.monotonic_ns()
        self.vitals = StepVitals(ended_ns=clock.monotonic_ns())

    def ask(self, kind: str, body: Body, around: Around | None = None) -> Future[Answer | None]:
        """Have an entry journalled and a step taken; the future ends when that is durable, or with the error that prevented it."""
        request = Request(kind, body, around)
        with self._ending:
            if self._ended:
                request.answer.set_exception(StepsEnded())
            else:
                self._requests.put(request)
        return request.answer

    @property
    def queued(self) -> int:
        """What is asked for and not taken up yet: steps that are due, people's actions, deliveries."""
        return self._requests.qsize()

    @property
    def tail(self) -> int:
        """Readings that are in memory and not yet in the series."""
        return self._memory.tail

    def tick(self) -> None:
        """A step is due."""
        self._requests.put(None)

    def catch_up(self) -> None:
        """Apply the steps that are recorded but not committed: the service was killed between the two."""
        for entry in self._reader.entries(self.ledger.cursor, kinds=(STEP,)):
            self._apply(entry.seq)

    def settle(self) -> None:
        """After the last step: write what the next start would have to read again; nothing that a failed step left in memory."""
        if self._torn:
            log.error("the last step could not be committed (%s); the next start repeats it", self.vitals.failure)
            return
        try:
            self.ledger.settle()
        except (StateUnavailable, SeriesUnavailable) as error:
            log.error("%s; the next start reads more of the journal", error)

    def run(self, stop: threading.Event) -> None:
        """Take steps until stopped, and one last; whoever asks after that hears of it at once."""
        schedule = self._schedule()
        patience_s = MISSED * self._every_ns / SECOND_NS
        try:
            while not stop.is_set():
                try:
                    request = self._requests.get(timeout=patience_s)
                except queue.Empty:
                    # The wall clock was set back, or the scheduler died: the monotonic clock does not care.
                    log.warning("no step was asked for in %.1f s: scheduling again", patience_s)
                    schedule.shutdown(wait=False)
                    schedule = self._schedule()
                    request = None
                self._take([request] if request else [])
        finally:
            schedule.shutdown(wait=False)
        self._take([])
        self._end()

    def _end(self) -> None:
        with self._ending:
            self._ended = True
        waiting, self._waiting = list(self._waiting.values()), {}
        while not self._requests.empty():
            if (request := self._requests.get()) is not None:
                waiting.append(request)
        for request in waiting:
            request.answer.set_exception(StepsEnded())

    def _schedule(self) -> BackgroundScheduler:
        scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(1)}, job_defaults={"misfire_grace_time": None, "coalesce": True}, timezone=UTC
        )
        scheduler.add_job(self.tick, IntervalTrigger(seconds=self._every_ns / SECOND_NS, timezone=UTC), id="step")
        scheduler.start()
        return scheduler

    def _take(self, requests: list[Request]) -> None:
        """Journal what was asked for, then a step if anything can have changed; a failure leaves everything to the next try."""
        while not self._requests.empty():
            request = self._requests.get()
            if request is not None:
                requests.append(request)
        begun = self._clock.monotonic_ns()
        self.vitals.lag_ns = max(0, begun - self._due_ns)
        self._due_ns = begun + self._every_ns
        try:
            if self._torn:
                self._recover()
            self._note_clock()
            self._before_step(self._stamp_ns())
            for request in requests:
                self._journal_request(request)
            if self._anything_new():
                step = self._record_step()
                self.catch_up()
                if self.ledger.cursor < step:
                    self._torn = True
                    raise JournalUnavailable("the step just recorded cannot be read: something else is mounted where the data lay")
                self.vitals.durations.observe((self._clock.monotonic_ns() - begun) / SECOND_NS)
            self.vitals.failure = ""
        except (JournalUnavailable, StateUnavailable, SeriesUnavailable, sqlite3.Error) as error:
            self._fail(error, requests)
        except Exception as error:  # a fault of ours must not end the thread: readings are still stored, and the next step tries afresh
            log.exception("a step met an error of its own")
            self._fail(error, requests)
        if not self.vitals.failure:
            self.vitals.ended_ns = self._clock.monotonic_ns()

    def _record_step(self) -> int:
        entry = self._journal.append(STEP, encode(StepBody(self.vitals.steps + 1)), self._stamp_ns(), self._heard_ns())
        self._recorded = entry.seq
        return entry.seq

    def _journal_request(self, request: Request) -> None:
        def append() -> Entry:
            return self._journal.append(request.kind, encode(request.body), self._stamp_ns(), self._heard_ns())

        entry = append() if request.around is None else request.around(append)
        self._waiting[entry.seq] = request

    def _anything_new(self) -> bool:
        """Whether a step could change anything: news in the journal, readings that settle, a silence or whatever else that is due."""
        if self._waiting or self._journal.head.seq > self.ledger.cursor:
            return True
        if not self.ledger.judgement.epochs:
            return False
        now, heard, due = self._stamp_ns(), self._heard_ns(), self.ledger.next_due()
        deadline, settling = self.ledger.judgement.wakes_at(now, heard)
        silent = deadline is not None and heard > deadline
        return settling or silent or self.ledger.stays.due(now, heard) or (due is not None and due <= now)

    def _apply(self, step: int) -> None:
        entries = list(self._reader.entries(self.ledger.cursor, step))
        self._torn = True  # until it is committed: what it does in memory counts for nothing
        applied = self.ledger.apply(entries)
        self._torn = False
        self.vitals.steps += 1
        self._write_series()
        for seq in [seq for seq in self._waiting if seq <= step]:
            request = self._waiting.pop(seq)
            request.answer.set_result(applied.answers.get(seq))
        self._after_step(applied, entries[-1].at)

    def _write_series(self) -> None:
        """A series that cannot be written stays in memory, and in the journal."""
        try:
            self._memory.write()
            self.vitals.series_failure = ""
        except SeriesUnavailable as error:
            if not self.vitals.series_failure:
                log.error("%s; trying again at every step, and memory grows until it succeeds", error)
            self.vitals.series_failure = str(error)

    def _fail(self, error: Exception, requests: list[Request]) -> None:
        """Say it once. Requests that are in the journal keep waiting: the step that does them comes; the others hear of the failure."""
        if not self.vitals.failure:
            log.error("a step failed: %s", error)
        self.vitals.failure = str(error) or type(error).__name__
        self.vitals.failures += 1
        journalled = {id(request) for request in self._waiting.values()}
        for request in requests:
            if id(request) not in journalled and not request.answer.done():
                request.answer.set_exception(error)

    def _recover(self) -> None:
        """What a failed step did in memory is thrown away: the committed state and the journal are what counts.

        As long as that fails, steps are recorded all the same: one that spans all of a long failure might not fit into memory.
        """
        if self._journal.head.seq > self._recorded:
            self._record_step()
        self._reader.close()
        self._reader = self._journal.reader()
        self._memory, self.ledger = self._rebuild()
        self._torn = False
        self.catch_up()

    def _note_clock(self) -> None:
        ahead = self._clock.now_ns() - self._clock.monotonic_ns()
        stepped = ahead - self._wall_ahead_ns
        if abs(stepped) > CLOCK_STEP_NS:
            log.warning("the wall clock was stepped by %.3f s", stepped / SECOND_NS)
            self._journal.append(CLOCK, encode(ClockBody(stepped)), self._stamp_ns(), self._heard_ns())
            self.vitals.clock_steps += 1
        self._wall_ahead_ns = ahead


__all__ = ["ACTION", "CONFIGURATION", "DELIVERY", "INGEST", "LINK", "SERVICE", "Request", "StepVitals", "Stepper"]
