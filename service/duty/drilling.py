"""Scheduled tests of who is on call: asked for at their time, by the on-call file in force."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing

from alerts.alarms import Answer
from alerts.duty.roster import Roster
from alerts.escalation.drills import DRILL, drills
from alerts.record.audit import SYSTEM
from alerts.record.store import StateStore, StateUnavailable
from ingest.journal.entries import ACTION, ActionBody, Body
from ingest.journal.journal import JournalUnavailable
from service.clock import Clock
from service.stepping import StepsEnded

EVERY_S = 20.0
ANSWER_S = 30.0
LATE_NS = 3600 * 10**9
"""A test that was due while the service was down is sent so long after; later the next one comes."""

log = logging.getLogger(__name__)


class Drilling:
    """`roster` is the one in force, `reader` opens state.db, `ask` has an action journalled and a step taken."""

    def __init__(
        self,
        roster: Callable[[], Roster],
        reader: Callable[[], StateStore],
        ask: Callable[[str, Body], Future[Answer | None]],
        clock: Clock,
    ) -> None:
        self._roster, self._reader, self._ask, self._clock = roster, reader, ask, clock
        self._since = clock.now_ns()
        self._failure = ""

    def run(self, stop: threading.Event) -> None:
        """Until stopped."""
        while not stop.wait(EVERY_S):
            try:
                self.settle()
                self._failure = ""
            except (StateUnavailable, JournalUnavailable, StepsEnded, TimeoutError) as error:
                if not self._failure:
                    log.error("a test of who is on call could not be sent: %s", str(error) or "no step came in time")
                self._failure = str(error) or type(error).__name__

    def settle(self) -> None:
        """Send the test that is due, if one is."""
        test, at = self._roster().test, self._clock.now_ns()
        if test is None:
            return
        due = test.times.turn(at).start
        if at - due > LATE_NS or due < self._since - LATE_NS:
            return
        with closing(self._reader()) as store:
            if drills(store, "by = ? and at >= ?", SYSTEM, due):
                return
        body = ActionBody(DRILL, ",".join(test.names), SYSTEM, "as scheduled", until_ns=at + test.within_ns)
        self._ask(ACTION, body).result(timeout=ANSWER_S)
