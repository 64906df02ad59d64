"""A recording's messages, prepared at once and published in portions, in order or with a part of them late."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from facility.reading import GOOD, QUALITIES
from facility.wire import Published, encode_reading, topic_of
from service.clock import SystemClock
from simulators.broker import Broker
from simulators.outlet import Outlet
from simulators.playback import ORIGIN
from tests.support.proof import Recording

SECOND_NS = 10**9


@dataclass(frozen=True)
class Sent:
    """One message."""

    topic: str
    payload: bytes
    time: int


def messages_of(recording: Recording) -> list[Sent]:
    """One message a reading, in the order of the rows."""
    facility = recording.facility
    topics = {point.id: topic_of(facility.site.id, point) for point in facility.points}
    sent = []
    for chunk in recording.chunks():
        columns = (chunk.point, chunk.time, chunk.value, chunk.quality, chunk.unit)
        for point, time, value, quality, unit in zip(*(column.tolist() for column in columns), strict=True):
            said = QUALITIES[quality] if quality != GOOD else ""
            reading = Published(time, value, chunk.units[unit], said, origin=ORIGIN)
            sent.append(Sent(topics[chunk.names[point]], encode_reading(reading), time))
    return sent


def partly_late(sent: Sequence[Sent], chance: random.Random, share: float = 0.1, up_to_ns: int = 600 * SECOND_NS) -> list[Sent]:
    """The same messages, a share of them held back by up to `up_to_ns` of the recording's time; rows of one reading keep their order."""
    delay: dict[tuple[str, int], int] = {}
    for message in sent:
        delay.setdefault((message.topic, message.time), chance.randrange(1, up_to_ns + 1) if chance.random() < share else 0)
    return sorted(sent, key=lambda message: message.time + delay[message.topic, message.time])


class Pump:
    """Publishes on a thread of its own over one connection that outlives the broker; `join` raises what went wrong."""

    def __init__(self, port: int, sent: Sequence[Sent], seconds: float) -> None:
        self._port, self._sent, self._pause_s = port, sent, seconds / max(1, len(sent))
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.published = 0

    def start(self) -> Pump:
        self._thread.start()
        return self

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def join(self, within_s: float = 60.0) -> None:
        self._thread.join(within_s)
        assert not self._thread.is_alive(), "still publishing"
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            with Outlet(Broker("127.0.0.1", self._port), SystemClock(), client_id="instruments") as outlet:
                for message in self._sent:
                    outlet.publish(message.topic, message.payload)
                    self.published += 1
                    if self.published % 10 == 0:
                        outlet.wait(10 * self._pause_s)
        except BaseException as error:
            self._error = error
