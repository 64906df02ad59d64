"""What the session hands on: one MQTT message, as it came."""

from __future__ import annotations

from typing import NamedTuple


class Message(NamedTuple):
    """One PUBLISH: `mid` is the packet identifier to acknowledge, 0 for QoS 0; `retained` marks the broker's kept copy.

    A named tuple, not a dataclass: one is made for every message, and it costs a third.
    """

    topic: str
    payload: bytes
    mid: int = 0
    retained: bool = False


class Outgoing(NamedTuple):
    """A message of ours to publish."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
