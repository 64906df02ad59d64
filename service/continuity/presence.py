"""The guard's ears and voice: a connection of its own to the broker, beside that of the readings."""

from __future__ import annotations

import json
import logging
import platform
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from ingest.mqtt.link import Connection
from service.clock import Clock
from service.continuity.guard import BEAT_NS, SECOND, SECOND_NS, Guard, Other

log = logging.getLogger(__name__)


class Presence:
    """Says every two seconds that this instance lives, and hears who else does; `healthy` says whether it is worth living.

    Nothing here stops or delays the service: what goes wrong leaves the guard in doubt, and in doubt it pages. `changed` is told the words
    of each new state of the guard but the first good one.
    """

    def __init__(
        self, connection: Connection, site: str, clock: Clock, healthy: Callable[[], bool], changed: Callable[[str, str], None]
    ) -> None:
        self._connection, self._clock, self._healthy, self._changed = connection, clock, healthy, changed
        self._folder = f"renrum/{site}/$marker/here"
        self.guard = Guard(uuid4().hex, clock.now_ns(), clock.monotonic_ns())
        self._topic = f"{self._folder}/{self.guard.run}"
        self._count = 0
        self._told = "unknown"
        self._client = self._new_client()

    def run(self, stop: threading.Event) -> None:
        """Beat until stopped; then say goodbye."""
        opened = False
        while not stop.is_set():
            if not opened:
                opened = self._open()
            elif self._healthy() and not self.guard.silent:
                self._beat()
            at = self._clock.monotonic_ns()
            if opened and self._client.is_connected() and self.guard.unanswered(at):
                self._cut_off(f"what we publish below {self._folder} does not come back: may the account write and read there?")
            for dead in self.guard.look(at):
                self._client.publish(f"{self._folder}/{dead}", b"", qos=1, retain=True)
            self._tell()
            stop.wait(BEAT_NS / SECOND_NS if opened else 0.5)
        self._close(opened)

    def _open(self) -> bool:
        try:
            settings = self._connection
            self._client.connect_async(settings.host, settings.port, keepalive=10)
            self._client.loop_start()
        except (OSError, ValueError) as error:
            self.guard.cut_off(self._clock.monotonic_ns(), str(error))
            return False
        return True

    def _close(self, opened: bool) -> None:
        if opened:
            self._client.publish(self._topic, b"", qos=1, retain=True)
            self._client.disconnect()
            self._client.loop_stop()

    def _new_client(self) -> Client:
        settings = self._connection
        version = MQTTProtocolVersion.MQTTv5 if settings.protocol == "5" else MQTTProtocolVersion.MQTTv311
        client = Client(CallbackAPIVersion.VERSION2, f"{settings.client_id}-here-{self.guard.run[:8]}", protocol=version)
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password)
        if settings.tls:
            client.tls_set(settings.ca_file, settings.cert_file, settings.key_file)
        client.will_set(self._topic, b"", qos=1, retain=True)
        client.reconnect_delay_set(1, 5)
        client.on_connect = self._on_connect
        client.on_connect_fail = lambda *_: self._cut_off("the broker cannot be reached")
        client.on_disconnect = lambda *arguments: self._cut_off("the connection to the broker is lost")
        client.on_subscribe = lambda *_: self._beat()  # it comes back after all that the broker keeps
        client.on_message = self._on_message
        return client

    def _beat(self) -> None:
        if self._client.is_connected():
            self._count += 1
            guard = self.guard
            beat = {"run": guard.run, "host": platform.node(), "began": guard.began, "active": guard.active, "beat": self._count}
            self._client.publish(self._topic, json.dumps(beat).encode(), qos=1, retain=True)

    def _cut_off(self, why: str) -> None:
        self.guard.cut_off(self._clock.monotonic_ns(), why)

    def _on_connect(self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._cut_off(f"the broker refuses: {reason}")
            return
        self._beat()  # before asking: of two that start at once, one at least hears of the other
        client.subscribe(f"{self._folder}/+", qos=1)

    def _on_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        at = self._clock.monotonic_ns()
        try:
            if not message.payload:
                return  # it said goodbye, or its connection broke: if it lives, it is heard again
            beat = json.loads(message.payload)
            other = Other(str(beat["run"]), str(beat["host"])[:100], int(beat["began"]), bool(beat["active"]))
        except (ValueError, KeyError, TypeError):
            return  # a stranger's: it says nothing of an instance
        if other.run == self.guard.run:
            if not message.retain:
                self.guard.asked(at)
        else:
            self.guard.heard(other, message.retain, at)
        self._tell()

    def _tell(self) -> None:
        state = self.guard.state
        if state != self._told:
            before, self._told = self._told, state
            if state == SECOND:  # who waits is nobody that others wait for
                self._client.publish(self._topic, b"", qos=1, retain=True)
            if (before, state) != ("unknown", "alone"):
                self._changed(state, self.guard.words)
