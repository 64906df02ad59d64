"""Replies to pages are fetched by IMAP, which needs no way in from outside; each is acted on or refused, once, and answered by mail."""

from __future__ import annotations

import imaplib
import logging
import ssl
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress

import msgspec

from alerts.alarms import Answer
from alerts.channels.delivery import Stop, backoff_ns
from alerts.duty.replies import REFUSED, Mailbox, Reply, answered, digest, known, read_reply, risen_since, wrong_pins
from alerts.duty.roster import Person
from alerts.lifecycle.lifecycle import ACKNOWLEDGE
from alerts.people.passwords import Passwords
from alerts.record.store import StateStore
from facility.secret import Secret
from ingest.journal.entries import ACTION, ActionBody, Body
from service.clock import Clock
from service.pages.outbox import ANSWER_S

SECOND_NS = 10**9
TIMEOUT_S = 20.0
SIZE_MAX = 256 * 1024
"""A larger mail is looked at no further than that: the answer stands at its top."""
WRONG_MAX = 5
LOCKED_NS = 3600 * SECOND_NS
WRONG = "the PIN is wrong"
STRANGER, NO_PIN, NO_PAGE = "the sender is nobody who may reply", "no PIN is kept for this person", "it answers no page of this service"
AGAIN, RISEN = "this mail was heard before", "the alarm was told anew after that page: acknowledge the newer one"
LOCKED = f"{WRONG_MAX} wrong PINs within an hour: acknowledge by the link"
FAILING_NS = 5 * 60 * SECOND_NS

log = logging.getLogger(__name__)


class Replying:
    """Looks into the mailbox on a thread of its own. `pins` has the argon2id hash of each person's PIN, by id.

    `settings` gives the mailbox, people and pins in force; `failure` says why it cannot be looked into, empty while it can.
    """

    def __init__(
        self,
        settings: Callable[[], tuple[Mailbox | None, Mapping[str, Person], Mapping[str, Secret]]],
        reader: Callable[[], StateStore],
        ask: Callable[[str, Body], Future[Answer | None]],
        clock: Clock,
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        self._settings, self._reader, self._ask, self._clock, self._may_act = settings, reader, ask, clock, may_act
        self._passwords = Passwords()
        self.failure = ""
        self._attempts = self._failing_ns = 0

    def run(self, stop: Stop) -> None:
        """Look every now and then until stopped; what fails is said, and tried again."""
        while not stop.is_set():
            mailbox = self._settings()[0]
            wait_ns = 5 * SECOND_NS
            if mailbox is None:
                self._well()
            elif self._may_act():
                wait_ns = self.look(mailbox)
            stop.wait(wait_ns / SECOND_NS)

    def look(self, mailbox: Mailbox) -> int:
        """Hear what is new in the mailbox; returns the wait until the next look, in ns."""
        try:
            with _opened(mailbox) as server:
                for uid, raw in _unseen(server):
                    self.hear(raw)
                    server.uid("STORE", uid, "+FLAGS", "(\\Seen)")
        except Exception as error:  # of the network, the server, the journal, or ours: the next look tries again
            words = f"replies cannot be fetched from {mailbox.host}:{mailbox.port}: {str(error) or type(error).__name__}"
            words = words.replace(mailbox.password.reveal(), "***")
            if words != self.failure:
                log.error("%s; trying again", words)
            self._attempts += 1
            self._failing_ns = self._failing_ns or self._clock.monotonic_ns()
            self.failure = words
            return max(backoff_ns(self._attempts), mailbox.every_ns)
        self._well()
        return mailbox.every_ns

    def failing(self) -> bool:
        """Whether it has failed for some time."""
        return bool(self._failing_ns) and self._clock.monotonic_ns() - self._failing_ns >= FAILING_NS

    def hear(self, raw: bytes) -> None:
        """Act on a mail, or refuse it; returns when that is durable. An automatic answer is nobody's: it is left alone."""
        reply = read_reply(raw)
        if reply.automatic:
            log.info("a mail of %s answers by itself: left alone", reply.sender or "nobody")
            return
        with closing(self._reader()) as store:
            body = self._judged(store, reply)
        if body.action == REFUSED:
            log.warning("a reply of %s is refused: %s", reply.sender or "nobody", body.comment)
        self._ask(ACTION, body).result(timeout=ANSWER_S)

    def _judged(self, store: StateStore, reply: Reply) -> ActionBody:
        _, people, pins = self._settings()
        page = answered(store, reply)
        alarm, mail = page.alarm if page is not None else "", digest(reply)
        person, target = next(
            (
                (person, target)
                for person in people.values()
                for way in person.ways
                for target in way.targets
                if reply.sender and target.partition("/")[2].casefold() == reply.sender
            ),
            (None, ""),
        )
        known_as = ActionBody(REFUSED, alarm, reply.sender or "nobody", STRANGER, mail=mail)
        if known(store, mail):  # its first coming was answered; what is on record of each later one has a number of its own
            again = f"{mail}-{self._clock.now_ns()}"
            return msgspec.structs.replace(known_as, comment=AGAIN, mail=again)
        if person is None:
            return known_as
        refused = msgspec.structs.replace(known_as, person=person.id, address=target)
        since = self._clock.now_ns() - LOCKED_NS
        if person.id not in pins:
            return msgspec.structs.replace(refused, comment=NO_PIN)
        if wrong_pins(store, person.id, since, WRONG) >= WRONG_MAX:
            return msgspec.structs.replace(refused, comment=LOCKED)
        if not self._passwords.check(reply.pin, pins[person.id].reveal()):
            return msgspec.structs.replace(refused, comment=WRONG)
        if page is None:
            return msgspec.structs.replace(refused, comment=NO_PAGE)
        if risen_since(store, page):
            return msgspec.structs.replace(refused, comment=RISEN)
        comment = "by mail" + (f": {reply.comment}" if reply.comment else "")
        return ActionBody(ACKNOWLEDGE, alarm, person.name, comment, person=person.id, mail=mail, address=target)

    def _well(self) -> None:
        self.failure, self._attempts, self._failing_ns = "", 0, 0


@contextmanager
def _opened(mailbox: Mailbox) -> Iterator[imaplib.IMAP4]:
    """Signed in, with the folder selected."""
    context = ssl.create_default_context()
    server: imaplib.IMAP4
    if mailbox.security == "tls":
        server = imaplib.IMAP4_SSL(mailbox.host, mailbox.port, ssl_context=context, timeout=TIMEOUT_S)
    else:
        server = imaplib.IMAP4(mailbox.host, mailbox.port, timeout=TIMEOUT_S)
    try:
        if mailbox.security == "starttls":
            server.starttls(ssl_context=context)
        server.login(mailbox.username, mailbox.password.reveal())
        status, said = server.select(f'"{mailbox.folder}"')
        if status != "OK":
            raise imaplib.IMAP4.error(f"folder {mailbox.folder}: {said}")
        yield server
    finally:
        with suppress(OSError, imaplib.IMAP4.error):
            server.logout()


def _unseen(server: imaplib.IMAP4) -> Iterator[tuple[str, bytes]]:
    """Each mail that nobody has seen: its number, and what it says, as far as that matters."""
    _, found = server.uid("SEARCH", "UNSEEN")
    for uid in (found[0] or b"").decode().split():
        _, parts = server.uid("FETCH", uid, f"(BODY.PEEK[]<0.{SIZE_MAX}>)")
        for part in parts:
            if isinstance(part, tuple):
                yield uid, part[1]
