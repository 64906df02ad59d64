"""The MQTT session: one thread reads, has it stored, and only then acknowledges."""

from __future__ import annotations

import selectors
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from ingest.journal.journal import JournalUnavailable
from ingest.listening import SECOND_NS, Listening
from ingest.message import Message, Outgoing
from ingest.mqtt.link import READ_MESSAGES, Connection, Link
from ingest.mqtt.marker import PATIENCE_NS, Marker
from ingest.mqtt.probe import broker_keeps_queue

TURN_S = 0.5
STORE_AGAIN_NS = SECOND_NS
HANDSHAKE_NS = 5 * SECOND_NS


@dataclass(frozen=True, slots=True)
class LinkEvent:
    """What happened to the link to the broker, for the journal; `detail` says more to a person.

    `kind` is connect_failed, connected, session_lost, drained, disconnected, not_delivering, refused, queue_kept or queue_not_kept.
    """

    kind: str
    detail: str = ""


class Sink(Protocol):
    """Where messages become durable. Both raise JournalUnavailable when nothing was stored; the call is then repeated."""

    def accept(self, messages: Sequence[Message], heard_ns: int) -> None: ...

    def link(self, event: LinkEvent, heard_ns: int) -> None: ...


class Companion(Protocol):
    """Who else speaks over the session, besides listening: the host application of Sparkplug B."""

    def connecting(self) -> Outgoing | None:
        """A connection is about to be made; returns what the broker publishes when it is lost."""

    def subscribed(self) -> None:
        """The subscriptions stand."""

    def outgoing(self) -> Sequence[Outgoing]:
        """What is to be published now."""

    def farewell(self) -> Sequence[Outgoing]:
        """What is published before the connection is closed in good order."""

    def due(self) -> bool:
        """Whether the sink is to be called though there is no message."""


class Stop(Protocol):
    """What ends a session: a threading.Event is one."""

    def is_set(self) -> bool: ...


class Session:
    """Owns the connection to the broker and is driven by the one thread that calls `run`.

    A batch is acknowledged when `sink.accept` has returned for it. While the journal is unavailable the batch is kept, nothing is
    acknowledged and the sink is asked again every second; the receive maximum holds the broker back, so at most that and one read are in
    memory. Should the link break meanwhile, it is taken up again when there is a place for what it brings. Whatever else the sink raises
    ends `run` without an acknowledgement. `heard_ns` continues the listening time of earlier runs; `expect_session` says that the broker
    should know us already. It subscribes to the topics of the site and to `filters`, and no longer to those `dropped`.
    `connected`, `drained`, `protocol`, `heard` and `wake` may be used from any thread.
    """

    def __init__(
        self,
        settings: Connection,
        site: str,
        sink: Sink,
        monotonic_ns: Callable[[], int],
        heard_ns: int = 0,
        expect_session: bool = False,
        check_queue: bool = True,
        filters: Sequence[str] = (),
        dropped: Sequence[str] = (),
        companion: Companion | None = None,
    ) -> None:
        self._settings = settings
        self._site = site
        self._sink = sink
        self._now = monotonic_ns
        self._listening = Listening(heard_ns)
        self._marker = Marker(site, settings.client_id)
        self._expect_session = expect_session
        self._check_queue = check_queue
        self._filters = (f"renrum/{site}/+/+", *filters)
        self._dropped = tuple(dropped)
        self._companion = companion
        self._version = "3.1.1" if settings.protocol == "3.1.1" else "5"
        self._version_known = settings.protocol != "auto"
        self._link: Link | None = None
        self._greeted = self._begun = False
        self._opened_ns = 0
        self._failures = 0
        self._failure_told = ""
        self._next_open_ns = monotonic_ns()
        self._store_again_ns: int | None = None
        self._events: deque[LinkEvent] = deque()
        self._wake_here, self._wake_there = socket.socketpair()
        self._wake_here.setblocking(False)
        self._wake_there.setblocking(False)
        self._asleep = selectors.DefaultSelector()
        self._asleep.register(self._wake_here, selectors.EVENT_READ)

    @property
    def connected(self) -> bool:
        """Whether the broker accepted us and the link stands."""
        link = self._link
        return link is not None and link.connected

    @property
    def drained(self) -> bool:
        """Whether all that the broker had queued when we came has been read and stored."""
        return self._marker.drained

    @property
    def lag_ns(self) -> int | None:
        """How long a message takes from the broker to the journal now; None while that is not known."""
        return self._marker.lag_ns(self._now())

    @property
    def protocol(self) -> str:
        """The protocol version in use, `5` or `3.1.1`."""
        return self._version

    def heard(self, monotonic_ns: int) -> int:
        """Listening time in ns."""
        return self._listening.at(monotonic_ns)

    def wake(self) -> None:
        """Have `run` look at `stop` at once."""
        with suppress(OSError):  # full of earlier calls, or `run` has ended: either way there is nobody to wake
            self._wake_there.send(b"\0")

    def run(self, stop: Stop) -> None:
        """Connect, read, store, acknowledge, until `stop` is set. A session runs once."""
        ended = "ended by an error of ours"
        try:
            while not stop.is_set():
                self._turn()
            self._store()  # of what was read last, the broker keeps nothing that came with QoS 0
            ended = "we hang up: the service stops, or listens otherwise from now on"
        finally:
            self._drop_link(ended)
            self._asleep.close()
            self._wake_here.close()
            self._wake_there.close()
        with suppress(JournalUnavailable):  # then the journal ends before this; the next start's entries say that we were away
            self._flush_events()

    def _turn(self) -> None:
        if not self._store():
            self._stand_still()
            return
        self._listening.confirm(self._now())
        link = self._link
        if link is None:
            self._open()
            return
        self._note(link)
        if self._link is None or self._events:
            return
        self._mark(link)
        if self._companion is not None and self._begun:
            for message in self._companion.outgoing():
                link.publish(*message)
        link.write()
        link.wait(TURN_S)
        self._drain_wake()
        link.read()
        link.keep_alive()

    def _store(self) -> bool:
        """All that was read and noticed is made durable and acknowledged; False while the journal is unavailable."""
        if self._store_again_ns is not None and self._now() < self._store_again_ns:
            return False
        link = self._link
        try:
            self._flush_events()
            if link is not None and (link.messages or (self._companion is not None and self._companion.due())):
                self._sink.accept(link.messages, self.heard(self._now()))
        except JournalUnavailable:
            self._store_again_ns = self._now() + STORE_AGAIN_NS
            self._listening.stop(self._now())
            self._marker.stop()
            return False
        if link is not None and (link.unacked or link.messages):  # these without those: all of them came with QoS 0
            self._marker.traffic(self._now())
            link.acknowledge()
        if self._store_again_ns is not None:
            self._store_again_ns = None
            if link is not None and self._begun:
                self._marker.begin(self._now())  # the broker has queued meanwhile: not drained until it comes back
        return True

    def _flush_events(self) -> None:
        while self._events:
            self._sink.link(self._events[0], self.heard(self._now()))
            self._events.popleft()

    def _stand_still(self) -> None:
        """Keep the link alive and hold what it brings, up to the bound."""
        link = self._link
        room = 0 if link is None or link.lost else self._settings.receive_maximum + READ_MESSAGES - len(link.messages)
        if link is None or room <= 0:
            self._sleep(TURN_S)
            return
        link.write()
        link.wait(TURN_S)
        self._drain_wake()
        link.read(room)
        link.keep_alive()

    # The link

    def _open(self) -> None:
        wait_ns = self._next_open_ns - self._now()
        if wait_ns > 0:
            self._sleep(min(wait_ns / SECOND_NS, TURN_S))
            return
        self._greeted = self._begun = False
        self._opened_ns = self._now()
        link = None
        try:
            will = self._companion.connecting() if self._companion is not None else None
            link = Link(
                self._settings, self._version, self._filters, self._marker.levels, wake=self._wake_here, dropped=self._dropped, will=will
            )
            self._link = link
            link.open()
        except (OSError, ValueError) as error:
            self._drop_link(f"{self._settings.host}:{self._settings.port}: {error}", reachable=False)

    def _note(self, link: Link) -> None:
        """Tell and act on what happened on the link since the last turn; all that was read before it is stored."""
        now = self._now()
        while link.complaints:
            self._tell("refused", link.complaints.pop(0))
        if link.connected and not self._greeted:
            self._greet(link)
        if link.subscribed and not self._begun:
            self._begun = True
            self._marker.begin(now)
            if self._companion is not None:
                self._companion.subscribed()
        for marker in link.markers:
            if self._marker.came_back(marker.payload, now):
                self._listening.start(now)
                self._failures = 0
                self._tell("drained")
                self._judge_queue()
        link.markers.clear()
        if link.lost:
            self._drop_link(link.lost)
        elif not self._begun and now - self._opened_ns > HANDSHAKE_NS:
            self._drop_link("the broker does not answer" if not self._greeted else "the broker grants no subscription")
        elif self._marker.overdue(now):
            hint = "may the account publish and read below $marker?"
            self._tell("not_delivering", f"a message to ourselves is not back after {PATIENCE_NS // SECOND_NS} s; {hint}")
            self._drop_link("connected, but not delivering")

    def _greet(self, link: Link) -> None:
        self._greeted = self._version_known = True
        self._failure_told = ""
        self._tell("connected", f"MQTT {link.version}, session {'present' if link.session_present else 'new'}")
        if self._expect_session and not link.session_present:
            self._tell("session_lost", "the broker did not know our session: what it had queued for us is lost, except what it retained")
        self._expect_session = True

    def _mark(self, link: Link) -> None:
        if self._marker.due(self._now()):
            link.publish(self._marker.topic, self._marker.next_payload(self._now()))

    def _judge_queue(self) -> None:
        """Once, when there is nothing else to do: does this broker keep a queue for us at all?"""
        if self._check_queue:
            self._check_queue = False
            kept, words = broker_keeps_queue(self._settings, self._version, self._site, self._now)
            self._tell("queue_kept" if kept else "queue_not_kept", words)

    def _drop_link(self, reason: str, reachable: bool = True) -> None:
        link = self._link
        if link is None:
            return
        self._listening.stop(self._now())
        self._marker.stop()
        link.close(reason, self._companion.farewell() if self._companion is not None and self._begun else ())
        self._link = None
        if self._greeted:
            self._tell("disconnected", reason)
        elif reason != self._failure_told:  # the same reason at every attempt is told once
            self._failure_told = reason
            self._tell("connect_failed", reason)
        if self._other_version(link, reachable):
            return
        delay_s = min(self._settings.retry_first_s * 2 ** min(self._failures, 30), self._settings.retry_last_s)
        self._failures += 1
        self._next_open_ns = self._now() + int(delay_s * SECOND_NS)

    def _other_version(self, link: Link, reachable: bool) -> bool:
        """With protocol auto, try 3.1.1 at once where MQTT 5 was refused, in words or by hanging up; True when that is to be done."""
        if self._settings.protocol != "auto" or (self._version_known and not link.refused_version):
            return False
        if link.version == "5" and reachable and (link.refused_version or not link.refused):
            self._version = "3.1.1"
            return True
        self._version = "5"
        return False

    def _tell(self, kind: str, detail: str = "") -> None:
        self._events.append(LinkEvent(kind, detail))

    # Waiting

    def _sleep(self, timeout_s: float) -> None:
        self._asleep.select(timeout_s)
        self._drain_wake()

    def _drain_wake(self) -> None:
        with suppress(BlockingIOError):
            self._wake_here.recv(4096)
