"""The ingest thread: session after session, and what is done when the journal cannot be written."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ingest.admission.intake import Intake
from ingest.histogram import Histogram
from ingest.journal.journal import JournalUnavailable
from ingest.message import Message
from ingest.mqtt.session import LinkEvent, Session
from service.clock import Clock

BALLAST_BYTES = 8 << 20
"""Kept free for the moment when the disk is full: room for some 100,000 readings, and for the alarm that says so."""

log = logging.getLogger(__name__)


class Ballast:
    """A file that takes room as long as there is enough of it, and gives it back when there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(self) -> None:
        """Take the room again if there is four times as much; a disk that refuses is left alone."""
        with suppress(OSError):
            space = os.statvfs(self._path.parent)
            if not self._taken() and space.f_bavail * space.f_frsize > 4 * BALLAST_BYTES:
                with self._path.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, BALLAST_BYTES)

    def _taken(self) -> bool:
        """Whole: a crash, or a disk that filled up at that moment, may have left less."""
        return self._path.exists() and self._path.stat().st_size >= BALLAST_BYTES

    def free(self) -> bool:
        """Give the room back; True when there was some."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


@dataclass(slots=True)
class IngestVitals:
    """How ingest fares, for health and metrics; `batches` is the time from read to durable, `events` what happened to the link, by kind.

    `failure` says why nothing can be stored now, empty when it can; `failures` counts how often that began or went on.
    """

    commits: int = 0
    batches: Histogram = field(default_factory=Histogram)
    events: Counter[str] = field(default_factory=Counter)
    failure: str = ""
    failures: int = 0
    alive: bool = False
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class _Until:
    """Ends a session when the service stops, when it may not listen any more, or while it pauses."""

    stop: threading.Event
    may_listen: Callable[[], bool]
    pause: threading.Event

    def is_set(self) -> bool:
        return self.stop.is_set() or self.pause.is_set() or not self.may_listen()


class Receiver:
    """The sink of the sessions: the intake, timed, with the ballast freed at its first failure; and the thread's work.

    There is a session while `may_listen`.
    """

    def __init__(
        self,
        intake: Intake,
        ballast: Ballast,
        clock: Clock,
        connect: Callable[[Receiver], Session],
        may_listen: Callable[[], bool] = lambda: True,
    ) -> None:
        self._intake, self._ballast, self._clock, self._connect = intake, ballast, clock, connect
        self._may_listen = may_listen
        self.session: Session | None = None
        self.vitals = IngestVitals()
        self._pause, self._paused = threading.Event(), threading.Event()

    def accept(self, messages: Sequence[Message], heard_ns: int) -> None:
        begun = self._clock.monotonic_ns()
        self._store(lambda: self._intake.accept(messages, heard_ns))
        self.vitals.commits += 1
        self.vitals.batches.observe((self._clock.monotonic_ns() - begun) / 10**9)

    def link(self, event: LinkEvent, heard_ns: int) -> None:
        log.info("broker: %s", ": ".join(filter(None, (event.kind.replace("_", " "), event.detail))))
        self._store(lambda: self._intake.link(event, heard_ns))
        self.vitals.events[event.kind] += 1

    def _store(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (JournalUnavailable, sqlite3.Error) as error:  # the latter from the series, where older readings are looked up
            if not self.vitals.failure:
                freed = self._ballast.free()
                log.error("%s; nothing is acknowledged until it can be written%s", error, ", ballast freed" if freed else "")
            self.vitals.failure = str(error)
            self.vitals.failures += 1
            raise JournalUnavailable(str(error)) from error
        if self.vitals.failure:
            log.warning("the journal can be written again")
            self.vitals.failure = ""

    def run(self, stop: threading.Event) -> None:
        """Run sessions until stopped; a fault of ours ends one, and the next begins after a second."""
        self.vitals.alive = True
        while not stop.is_set():
            if self._pause.is_set():
                self._paused.set()
            if self._pause.is_set() or not self._may_listen():
                stop.wait(0.05)
                continue
            try:
                self.session = self._connect(self)
                self.session.run(_Until(stop, self._may_listen, self._pause))
            except Exception:
                log.exception("ingest met an error of its own and starts again; what was not acknowledged comes again")
                self.vitals.restarts += 1
                stop.wait(1.0)
        self.vitals.alive = False

    @property
    def pausing(self) -> bool:
        """Whether somebody keeps us from having a session."""
        return self._pause.is_set()

    @contextmanager
    def paused(self, within_s: float) -> Iterator[None]:
        """Inside, there is no session: the broker queues. TimeoutError when the one there is does not end in time."""
        self._paused.clear()
        self._pause.set()
        try:
            if self.session is not None:
                self.session.wake()
            if self.vitals.alive and not self._paused.wait(within_s):
                raise TimeoutError(f"the session at the broker did not end within {within_s:.0f} s")
            yield
        finally:
            self._pause.clear()

    def heard_ns(self) -> int:
        """Listening time, ns: the session's, or the journal's while there is none."""
        return self.session.heard(self._clock.monotonic_ns()) if self.session is not None else 0
