"""Users where a service has them: people.db opened, and what happened in it moved into the journal."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack, closing
from pathlib import Path

from alerts.alarms import Answer
from alerts.people.office import Office
from alerts.people.people import People
from alerts.people.register import FILE, Event, NoRegister, PeopleUnavailable, Register
from alerts.record.audit import SYSTEM
from alerts.record.store import StateUnavailable
from facility.secret import Secret
from ingest.journal.entries import PEOPLE, Body, PeopleBody
from ingest.journal.journal import JournalUnavailable
from service.settings.http import Http

EVERY_S = 1.0
ANSWER_S = 30.0

log = logging.getLogger(__name__)


class Attendance:
    """Journals the events of a register in their order; one that could not be journalled stays there and comes again.

    `ask` has an entry journalled and a step taken.
    """

    def __init__(self, register: Register, ask: Callable[[str, Body], Future[Answer | None]]) -> None:
        self._register, self._ask = register, ask
        self._failure = ""

    def run(self, stop: threading.Event) -> None:
        """Until stopped; what other processes write into the register is seen within a second."""
        while not stop.wait(EVERY_S):
            self.settle()

    def settle(self) -> None:
        """Journal what there is now; says a failure once, in the log."""
        try:
            while events := self._register.events():
                asked = [(event.number, self._ask(PEOPLE, self._body(event))) for event in events]
                for _, answer in asked:
                    answer.result(timeout=ANSWER_S)
                self._register.journalled([number for number, _ in asked])
            self._failure = ""
        except (PeopleUnavailable, JournalUnavailable, StateUnavailable, TimeoutError) as error:
            if not self._failure:
                log.error("sign-ins and changes of rights wait in people.db to be journalled: %s", str(error) or "no step came in time")
            self._failure = str(error) or type(error).__name__

    def _body(self, event: Event) -> PeopleBody:
        return PeopleBody(
            self._register.id, event.number, event.at, event.event, event.target, event.by, event.old, event.new, event.source, event.reason
        )


def open_people(opened: ExitStack, folder: Path, http: Http, now_ns: Callable[[], int]) -> People:
    """The people of a data_dir; where people.db cannot be opened nobody is let in, but alarms do not wait for that."""
    register: Register
    try:
        register = opened.enter_context(closing(Register(folder / FILE)))
    except PeopleUnavailable as error:
        log.error("%s. Nobody can sign in until that is mended and the service is started again; alarms and pages go on", error)
        register = NoRegister(folder / FILE, str(error))
    return People(register, now_ns, idle_ns=http.session_idle_ns, at_most_ns=http.session_at_most_ns)


def first_administrator(people: People) -> Secret | None:
    """The one-time password of the administrator that is made where there are no users yet; None where there are, or may be."""
    try:
        return Office(people.register, people.now_ns, lambda: people.passwords).first_administrator(SYSTEM)
    except PeopleUnavailable as error:
        log.error("no administrator could be made: %s", error)
        return None
