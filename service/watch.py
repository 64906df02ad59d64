"""The watchdog: what nobody would notice, because the thing that should say so is itself broken."""

from __future__ import annotations

import threading

from alerts.emergency import Emergency
from service.clock import Clock
from service.receiving import Ballast, Receiver
from service.stepping import Stepper

STEP_AGE_NS = 30 * 10**9
"""No step for so long, and a person is told by other means than the outbox."""
JOURNAL = "The journal cannot be written. Nothing is acknowledged to the broker, which queues; no alarm can be raised from new readings."
STEPS = "No step has ended for 30 s. Readings are stored, but no alarm is raised."


class Watchdog:
    """Looks every second; pages from memory, without the disk."""

    def __init__(self, emergency: Emergency, stepper: Stepper, receiver: Receiver, ballast: Ballast, clock: Clock) -> None:
        self._emergency, self._stepper, self._receiver, self._ballast, self._clock = emergency, stepper, receiver, ballast, clock

    def look(self) -> None:
        at = self._clock.now_ns()
        if self._receiver.vitals.failure:
            self._emergency.page(JOURNAL, at, do="Free disk space, or repair the disk or its mount; Renrum goes on by itself.")
        elif not self._stepper.vitals.failure:
            self._ballast.take()
        if self._clock.monotonic_ns() - self._stepper.vitals.ended_ns > STEP_AGE_NS:
            self._emergency.page(STEPS, at, do="Look at the service's log; restart it if it does not recover.")

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(1.0):
            self.look()
