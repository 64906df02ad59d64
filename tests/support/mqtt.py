"""Both sides of a broker for tests: a sink in memory behind a running session, and an instrument that publishes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from ingest.journal.journal import JournalUnavailable
from ingest.message import Message
from ingest.mqtt.link import Connection
from ingest.mqtt.session import LinkEvent, Session

TOPIC = "renrum/lab/cp1/cp1.temp"


class Recorder:
    """A sink in memory that can be out of order, slow or broken."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.messages: list[Message] = []
        self.events: list[LinkEvent] = []
        self.heard: list[int] = []
        self.unavailable = threading.Event()
        self.broken = threading.Event()
        self.offered: list[int] = []

    def accept(self, messages: Sequence[Message], heard_ns: int) -> None:
        self.offered.append(len(messages))
        if self.broken.is_set():
            raise ZeroDivisionError("a fault of the sink")
        if self.unavailable.is_set():
            raise JournalUnavailable("disk full")
        self.messages += messages
        self.payloads += [message.payload for message in messages]
        self.heard.append(heard_ns)

    def link(self, event: LinkEvent, heard_ns: int) -> None:
        if self.unavailable.is_set():
            raise JournalUnavailable("disk full")
        self.events.append(event)
        self.heard.append(heard_ns)

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


@contextmanager
def running(settings: Connection, sink: Recorder, expect_session: bool = False, check_queue: bool = False) -> Iterator[Session]:
    session = Session(settings, "lab", sink, time.monotonic_ns, expect_session=expect_session, check_queue=check_queue)
    stop = threading.Event()
    thread = threading.Thread(target=session.run, args=(stop,))
    thread.start()
    try:
        yield session
    finally:
        stop.set()
        session.wake()
        thread.join(10)
        assert not thread.is_alive()
        assert sink.heard == sorted(sink.heard)


@contextmanager
def publisher(port: int) -> Iterator[Callable[[Sequence[bytes]], None]]:
    client = Client(CallbackAPIVersion.VERSION2, "instrument")
    client.connect("127.0.0.1", port)
    client.loop_start()

    def publish(payloads: Sequence[bytes]) -> None:
        for sent in [client.publish(TOPIC, payload, qos=1) for payload in payloads]:
            sent.wait_for_publish(10)

    try:
        yield publish
    finally:
        client.disconnect()
        client.loop_stop()


def eventually(true: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


def numbered(first: int, last: int) -> list[bytes]:
    return [str(number).encode() for number in range(first, last)]
