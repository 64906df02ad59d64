"""STATE: what a host application says of itself, so that edge nodes know whether anybody listens."""

from __future__ import annotations

import json
from collections.abc import Callable

from facility.sources.sparkplug import NAMESPACE
from ingest.message import Message, Outgoing

MS_NS = 1_000_000


class State:
    """The retained message of one host id; says nothing when that is empty. `now_ns` is the wall clock (int ns UTC)."""

    def __init__(self, host_id: str, now_ns: Callable[[], int]) -> None:
        self.topic = f"{NAMESPACE}/STATE/{host_id}" if host_id else ""
        self._now_ns = now_ns
        self._since_ms = 0
        self._subscribed = self._to_say = False

    def will(self) -> Outgoing | None:
        """A connection begins: what the broker says of us when it is lost."""
        self._since_ms = self._now_ns() // MS_NS
        self._subscribed = self._to_say = False
        return self._message(False, self._since_ms) if self.topic else None

    def say_online(self) -> None:
        """Our subscriptions stand."""
        self._subscribed = self._to_say = True

    def heard(self, message: Message) -> bool:
        """Whether the message is about us; that we are offline is not true."""
        if message.topic != self.topic:
            return False
        try:
            said = json.loads(message.payload)
        except (ValueError, RecursionError):
            said = None
        if self._subscribed and isinstance(said, dict) and said.get("online") is False:
            self._to_say = True
        return True

    def outgoing(self) -> list[Outgoing]:
        """Online, with the timestamp of the will, when that is to be said."""
        if not self.topic or not self._to_say:
            return []
        self._to_say = False
        return [self._message(True, self._since_ms)]

    def farewell(self) -> list[Outgoing]:
        """We leave of our own will."""
        return [self._message(False, self._now_ns() // MS_NS)] if self.topic and self._subscribed else []

    def _message(self, online: bool, at_ms: int) -> Outgoing:
        payload = json.dumps({"online": online, "timestamp": at_ms}, separators=(",", ":"))
        return Outgoing(self.topic, payload.encode(), qos=1, retain=True)
