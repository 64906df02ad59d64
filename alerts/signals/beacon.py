"""A beacon, a light tower say, by MQTT: one retained message that says off, steady or flashing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from alerts.signals.standing import Standing

OFF, STEADY, FLASHING, LOST = "off", "steady", "flashing", "lost"
STATES = (OFF, STEADY, FLASHING, LOST)

Publish = Callable[[str, bytes], None]
"""Publishes a payload on a topic, retained, QoS 1; raises DeliveryError."""


@dataclass(frozen=True, slots=True)
class Beacon:
    """`topic` is kept at one of `payloads`, by the worst of the alarms with one of `priorities` in a room that matches one of `rooms`.

    flashing: one lasts that nobody has acknowledged. steady: those that last are acknowledged, or one is over and nobody has acknowledged.
    lost: Renrum does not look after it any more; the broker says so when the connection is lost. Empty `priorities` or `rooms`: all.
    """

    topic: str
    payloads: tuple[tuple[str, str], ...] = tuple((state, state) for state in STATES)
    priorities: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()
    publish: Publish | None = field(default=None, repr=False, compare=False)
    every_ns: int = 10 * 10**9
    """Soon, since the broker said `lost` of a connection that broke and is back."""

    def show(self, standing: Sequence[Standing], at: int) -> None:
        """Publish the state."""
        assert self.publish is not None, "a beacon needs somebody who publishes"
        self.publish(self.topic, self.payload(self.state(standing)))

    def payload(self, state: str) -> bytes:
        """What the beacon understands by a state."""
        return dict(self.payloads)[state].encode()

    def state(self, standing: Sequence[Standing]) -> str:
        """off, steady or flashing."""
        mine = [one for one in standing if self._shows(one)]
        if any(one.active and not one.acknowledged for one in mine):
            return FLASHING
        return STEADY if mine else OFF

    def _shows(self, one: Standing) -> bool:
        in_room = not self.rooms or any(fnmatchcase(one.room, glob) for glob in self.rooms)
        return in_room and (not self.priorities or one.priority in self.priorities)
