"""The ingest thread: session after session, and what is done when the journal cannot be written."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ingest.intake import Intake
from ingest.journal import JournalUnavailable
from ingest.message import Message
from ingest.session import LinkEvent, Session
from service.clock import Clock

BALLAST_BYTES = 8 << 20
"""Kept free for the moment when the disk is full: room for some 100,000 readings, and for the alarm that says so."""
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

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
    """How ingest fares, for health and metrics; `buckets` counts commits by BUCKETS_S, cumulative, and the rest.

    `failure` says why nothing can be stored now, empty when it can; `failures` counts how often that began or went on.
    """

    commits: int = 0
    commit_ns: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    failure: str = ""
    failures: int = 0
    alive: bool = False
    restarts: int = 0


class Receiver:
    """The sink of the sessions: the intake, timed, with the ballast freed at its first failure; and the thread's work."""

    def __init__(self, intake: Intake, ballast: Ballast, clock: Clock, connect: Callable[[Receiver], Session]) -> None:
        self._intake, self._ballast, self._clock, self._connect = intake, ballast, clock, connect
        self.session: Session | None = None
        self.vitals = IngestVitals()

    def accept(self, messages: Sequence[Message], heard_ns: int) -> None:
        begun = self._clock.monotonic_ns()
        self._store(lambda: self._intake.accept(messages, heard_ns))
        took = self._clock.monotonic_ns() - begun
        self.vitals.commits += 1
        self.vitals.commit_ns += took
        self.vitals.buckets[bisect_left(BUCKETS_S, took / 1e9)] += 1

    def link(self, event: LinkEvent, heard_ns: int) -> None:
        log.info("broker: %s %s", event.kind.replace("_", " "), event.detail)
        self._store(lambda: self._intake.link(event, heard_ns))

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
            try:
                self.session = self._connect(self)
                self.session.run(stop)
            except Exception:
                log.exception("ingest met an error of its own and starts again; what was not acknowledged comes again")
                self.vitals.restarts += 1
                stop.wait(1.0)
        self.vitals.alive = False

    def heard_ns(self) -> int:
        """Listening time, ns: the session's, or the journal's while there is none."""
        return self.session.heard(self._clock.monotonic_ns()) if self.session is not None else 0
