"""The watchdog: what nobody would notice, because the thing that should say so is itself broken."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from alerts.channels.emergency import Emergency
from service.clock import Clock
from service.continuity.guard import TWO, Guard
from service.receiving import Ballast, Receiver
from service.stepping import Stepper

STEP_AGE_NS = 30 * 10**9
"""No step for so long, and a person is told by other means than the outbox."""
JOURNAL = "The journal cannot be written. Nothing is acknowledged to the broker, which queues; no alarm can be raised from new readings."
INGEST = "Ingest meets an error of its own and starts again. What it could not store stays at the broker, and raises no alarm."
LINK_AGE_NS = 120 * 10**9
"""A broker that restarts is back by then; a silence of the pipeline raises no alarm point by point, so a person is told of it as one."""
LINK = "No readings arrive: the broker cannot be reached, or does not deliver. What instruments send raises no alarm until it is back."
ENDED = "A part of the service has ended without being told to: {}. What it does is not done until the service is started again."
RIVALS = "Two instances of Renrum listen and page for this site: readings are divided between them, and neither sees all."
STEPS = "No step has ended for 30 s. Readings are stored, but no alarm is raised."

log = logging.getLogger(__name__)


class Watchdog:
    """Looks every second; pages from memory, without the disk. `dead` names the threads that ended though nobody stopped them.

    While another instance pages for the site (`guard`), it does not.
    """

    def __init__(
        self,
        emergency: Emergency,
        stepper: Stepper,
        receiver: Receiver,
        ballast: Ballast,
        clock: Clock,
        dead: Callable[[], Sequence[str]] = tuple,
        guard: Guard | None = None,
    ) -> None:
        self._emergency, self._stepper, self._receiver, self._ballast, self._clock = emergency, stepper, receiver, ballast, clock
        self._dead, self._guard = dead, guard
        self._failures = self._restarts = self._commits = 0
        self._heard_ns = clock.monotonic_ns()

    def look(self) -> None:
        """Page for what fails, and for what failed since the last look: freed ballast may have ended it already."""
        at = self._clock.now_ns()
        if self._guard is not None:
            if self._guard.silent:
                self._heard_ns = self._clock.monotonic_ns()
                return
            if self._guard.state == TWO:
                self._emergency.page(RIVALS, at, do="Stop one of them at once; /readyz says where the other one runs.")
        ingest, steps = self._receiver.vitals, self._stepper.vitals
        if ingest.failure or ingest.failures > self._failures:
            self._emergency.page(JOURNAL, at, do="Free disk space, or repair the disk or its mount; Renrum goes on by itself.")
        elif not steps.failure:
            self._ballast.take()
        if steps.failure:
            self._ballast.free()
        if ingest.restarts > self._restarts:
            self._emergency.page(INGEST, at, do="Look at the service's log, and report the fault.")
        if self._clock.monotonic_ns() - steps.ended_ns > STEP_AGE_NS:
            self._emergency.page(STEPS, at, do="Look at the service's log; restart it if it does not recover.")
        if self._deaf_ns() > LINK_AGE_NS:
            self._emergency.page(
                LINK, at, do="Look at the broker and the network; /readyz and the log say what was tried. Renrum keeps trying."
            )
        for thread in self._dead():
            self._emergency.page(ENDED.format(thread), at, do="Restart the service, and report the fault with its log.")
        self._failures, self._restarts = ingest.failures, ingest.restarts

    def _deaf_ns(self) -> int:
        """How long neither the link was in order nor anything came in."""
        session, commits, now = self._receiver.session, self._receiver.vitals.commits, self._clock.monotonic_ns()
        if (session is not None and session.connected and session.drained) or commits != self._commits:
            self._heard_ns, self._commits = now, commits
        return now - self._heard_ns

    def run(self, stop: threading.Event) -> None:
        """Look every second until stopped; an error in a look is logged, and the next look comes all the same."""
        while not stop.wait(1.0):
            try:
                self.look()
            except Exception:
                log.exception("the watchdog met an error of its own")
