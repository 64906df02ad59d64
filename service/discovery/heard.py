"""Listening to a broker with a client of its own: it only reads, keeps no session, and takes nothing from the service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import uuid4

from ingest.message import Message
from ingest.mqtt.link import Connection, Link

TOPICS_MAX = 20_000
"""More topics than this are counted, not kept."""
SAMPLE_BYTES = 64 * 1024
_NO_MARKER = "\0"  # no topic begins with it


class NotHeard(Exception):
    """The broker could not be listened to; the text says why, and what to do."""


@dataclass(slots=True)
class Topic:
    """What was heard on a topic: `sample` is the newest payload; `first_ns`, `last_ns` monotonic, of messages that were not retained."""

    name: str
    count: int = 0
    retained: int = 0
    unacknowledged: int = 0
    sample: bytes = b""
    first_ns: int = 0
    last_ns: int = 0

    @property
    def interval_s(self) -> float | None:
        """The mean time from one live message to the next, None before the second."""
        live = self.count - self.retained
        return (self.last_ns - self.first_ns) / 1e9 / (live - 1) if live > 1 else None


@dataclass(slots=True)
class Heard:
    """Everything that was heard; `left_out` counts messages on topics beyond TOPICS_MAX."""

    topics: dict[str, Topic] = field(default_factory=dict)
    left_out: int = 0

    def add(self, message: Message, monotonic_ns: int) -> None:
        """Take up one message."""
        topic = self.topics.get(message.topic)
        if topic is None:
            if len(self.topics) >= TOPICS_MAX:
                self.left_out += 1
                return
            topic = self.topics[message.topic] = Topic(message.topic)
        topic.count += 1
        topic.sample = message.payload[:SAMPLE_BYTES]
        topic.unacknowledged += message.mid == 0 and not message.retained
        if message.retained:
            topic.retained += 1
            return
        topic.first_ns = topic.first_ns or monotonic_ns
        topic.last_ns = monotonic_ns


def listen(settings: Connection, version: str, topic_filter: str, seconds: float, monotonic_ns: Callable[[], int], heard: Heard) -> None:
    """Listen for so many seconds; raises NotHeard, and what was heard before stays."""
    connection = Connection(
        settings.host, settings.port, f"renrum-discover-{uuid4().hex[:12]}", settings.tls, settings.ca_file, settings.cert_file,
        settings.key_file, settings.username, settings.password,
    )  # fmt: skip
    where = f"{settings.host}:{settings.port}"
    link = Link(connection, version, (topic_filter,), _NO_MARKER, clean=True)
    begun = monotonic_ns()
    try:
        link.open()
        while monotonic_ns() - begun < seconds * 1e9:
            link.write()
            link.wait(0.2)
            link.read()
            link.keep_alive()
            for message in link.messages:
                heard.add(message, monotonic_ns())
            link.acknowledge()
            if link.refused or link.lost:
                raise NotHeard(f"{where}: {link.refused or link.lost}")
            if link.complaints and not link.subscribed:
                raise NotHeard(f"{where}: {link.complaints[0]}. --topic FILTER asks for less.")
    except (OSError, ValueError) as error:
        raise NotHeard(f"{where} cannot be reached: {error}. Is `mqtt.url`, or --url, the broker's address?") from None
    finally:
        link.close("done")
    if not link.subscribed:
        raise NotHeard(f"{where}: the broker does not answer")
