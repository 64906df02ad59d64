"""One connection to the broker: a paho client from CONNECT to its loss.

A packet id means something only on the connection it came on: acknowledged on a later one it could take away a message that nobody stored.
So every connection is a Link of its own, and what is left of an old one can acknowledge nothing.
"""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ingest.message import Message, Outgoing

NEVER_EXPIRES = 0xFFFFFFFF
READ_MESSAGES = 1000
HANG_UP_S = 1.0
READ_BYTES = 64 * 1024 * 1024
_VERSIONS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
_NO_SUCH_VERSION = "Unsupported protocol version"


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach the broker; `client_id` names the persistent session and must be the same at every start.

    `protocol` auto tries MQTT 5 and falls back to 3.1.1. `receive_maximum` bounds what the broker sends ahead of our acknowledgement.
    The session expires `expiry_s` seconds after we left (MQTT 5; never by default: the broker's own limit on queued messages bounds it).
    After a loss we try again after `retry_first_s`, doubled each time up to `retry_last_s`.
    """

    host: str
    port: int = 1883
    client_id: str = "renrum"
    tls: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    receive_maximum: int = 1000
    keepalive_s: int = 30
    expiry_s: int = NEVER_EXPIRES
    retry_first_s: float = 1.0
    retry_last_s: float = 30.0


class Link:
    """Reads and writes one connection; what happens on it is collected in its attributes, for the session to act on.

    It subscribes to `filters`, of which the first must be granted, and no longer to those `dropped`; the broker publishes `will` when it
    is lost.
    `messages` and `markers` were read, `unacked` holds the packet ids of both in the order of arrival; `connected`, `session_present`,
    `subscribed` follow the handshake; `refused` says why the broker refused us (`refused_version`: the protocol), `complaints` what it
    did not grant, `lost` why the connection is gone. Callbacks record and never raise.
    """

    def __init__(
        self,
        settings: Connection,
        version: str,
        filters: Sequence[str],
        marker_levels: str = "$",
        clean: bool = False,
        wake: socket.socket | None = None,
        dropped: Sequence[str] = (),
        will: Outgoing | None = None,
    ) -> None:
        self.settings = settings
        self.version = version
        self.messages: list[Message] = []
        self.markers: list[Message] = []
        self.unacked: list[int] = []
        self.bytes_held = 0
        self.connected = self.session_present = self.subscribed = self.refused_version = False
        self.refused = self.lost = ""
        self.complaints: list[str] = []
        self.published = 0
        self._needs_attention = False
        self._filters, self._dropped = tuple(filters), tuple(dropped)
        self._marker_levels = marker_levels
        self._clean = clean
        self._selector = selectors.DefaultSelector()
        self._listens_for = 0
        if wake is not None:
            self._selector.register(wake, selectors.EVENT_READ)
        self._sent: dict[int, str] = {}
        self._client = self._new_client()
        if will is not None:
            self._client.will_set(will.topic, will.payload, will.qos, will.retain)
        if settings.tls:
            self._client.tls_set(settings.ca_file, settings.cert_file, settings.key_file)

    def _new_client(self) -> Client:
        settings = self.settings
        client = Client(
            CallbackAPIVersion.VERSION2,
            settings.client_id,
            clean_session=None if self.version == "5" else self._clean,
            protocol=_VERSIONS[self.version],
            reconnect_on_failure=False,
            manual_ack=True,
        )
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        # With this callback paho queues what it has to send, instead of a system call for each acknowledgement in the middle of reading.
        client.on_socket_register_write = _later
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        return client

    def open(self) -> None:
        """Open the socket and send CONNECT; an OSError when the broker cannot be reached. Blocks for paho's 5 s at most."""
        properties = None
        if self.version == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 0 if self._clean else self.settings.expiry_s
            properties.ReceiveMaximum = self.settings.receive_maximum
        self._client.connect_async(
            self.settings.host, self.settings.port, self.settings.keepalive_s, clean_start=self._clean, properties=properties
        )
        self._client.reconnect()

    def wait(self, timeout_s: float) -> None:
        """Until there is something to read or to write, `wake` has a byte, or the time is up."""
        connection = self._client.socket()
        if isinstance(connection, socket.socket):
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._client.want_write() else 0)
            if wanted != self._listens_for:
                self._selector.modify(connection, wanted)
                self._listens_for = wanted
            if getattr(connection, "pending", int)():  # TLS has decrypted more than was read: the socket itself will not say so
                return
        self._selector.select(timeout_s)

    def read(self, most: int = READ_MESSAGES) -> None:
        """Take what is there until it is empty, `most` messages were read, or something other than a message needs attention."""
        messages = self.messages
        most += len(messages)
        self._needs_attention = bool(self.lost)
        while not self._needs_attention and len(messages) < most and self.bytes_held < READ_BYTES:
            before = len(messages)
            self._client.loop_read()
            if len(messages) == before:
                break

    def write(self) -> None:
        """Send what is queued, as far as the socket takes it."""
        if not self.lost and self._client.want_write():
            self._client.loop_write()

    def keep_alive(self) -> None:
        """Pings and their time-outs; call it every second or so."""
        if not self.lost:
            self._client.loop_misc()

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> None:
        sent = self._client.publish(topic, payload, qos, retain)
        self._sent[sent.mid] = topic

    def acknowledge(self) -> None:
        """PUBACK everything read so far, in the order in which it came, and let it go."""
        if not self.lost:
            for mid in self.unacked:
                self._client.ack(mid, 1)
            self.write()
        self.unacked.clear()
        self.messages.clear()
        self.bytes_held = 0

    def close(self, reason: str, farewell: Sequence[Outgoing] = ()) -> None:
        """Say goodbye and close; what was not acknowledged the broker sends again to the next Link of the session."""
        self._client.on_disconnect = None
        if not self.lost:
            self.lost = reason
            for message in farewell:
                self.publish(*message)
            with self._hanging_up() if farewell else nullcontext():
                self._client.disconnect()
                self._client.loop_write()
        self.connected = False
        self._client._sock_close()  # no public way closes at once when the goodbye could not be written
        self._selector.close()

    @contextmanager
    def _hanging_up(self) -> Iterator[None]:
        """Wait until the broker has closed too.

        paho closes its socket with the goodbye; what the broker sent meanwhile then resets the connection, and one that is reset before the
        goodbye is read is lost in the broker's eyes: it would publish the will.
        """
        connection = self._client.socket()
        if not isinstance(connection, socket.socket):
            yield
            return
        with socket.socket(fileno=os.dup(connection.fileno())) as kept:
            yield
            with suppress(OSError):
                kept.settimeout(HANG_UP_S)
                for _ in range(READ_MESSAGES):
                    if not kept.recv(65_536):
                        break

    def _on_connect(self, client: Client, userdata: Any, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None) -> None:
        self._needs_attention = True
        if reason.is_failure:
            self.refused = str(reason)
            self.refused_version = self.refused == _NO_SUCH_VERSION
            return
        self.connected = True
        self.session_present = flags.session_present
        if self._dropped:  # the session at the broker keeps what an earlier configuration subscribed to
            client.unsubscribe(list(self._dropped))
        if self._filters:
            client.subscribe([(topic_filter, 1) for topic_filter in self._filters])

    def _on_subscribe(self, client: Client, userdata: Any, mid: int, reasons: list[ReasonCode], properties: Properties | None) -> None:
        self._needs_attention = True
        for topic_filter, reason in zip(self._filters, reasons, strict=False):
            if reason.is_failure:
                self.complaints.append(f"the broker refuses the subscription to {topic_filter}: {reason}")
            elif reason.value < 1:
                self.complaints.append(f"the broker grants {topic_filter} with QoS 0 only, so it keeps nothing for us")
        # Of a source that is refused people hear; the rest must be heard all the same. The first filter is our own.
        self.subscribed = not reasons[0].is_failure

    def _on_publish(self, client: Client, userdata: Any, mid: int, reason: ReasonCode, properties: Properties | None) -> None:
        self.published += 1
        topic = self._sent.pop(mid, self._marker_levels)
        if reason.is_failure:
            self._needs_attention = True
            self.complaints.append(f"the broker refuses what we publish to {topic}: {reason}")

    def _on_message(self, client: Client, userdata: Any, received: MQTTMessage) -> None:
        try:
            topic = received.topic
        except UnicodeDecodeError:
            topic = received._topic.decode("utf-8", "backslashreplace")  # to quarantine, where it can be seen
        payload = bytes(received.payload)
        if received.mid:
            self.unacked.append(received.mid)
        if topic.startswith(self._marker_levels):
            self.markers.append(Message(topic, payload, received.mid))
            self._needs_attention = True
            return
        self.messages.append(Message(topic, payload, received.mid, received.retain))
        self.bytes_held += len(payload)

    def _on_disconnect(
        self, client: Client, userdata: Any, flags: DisconnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._needs_attention = True
        who = "the broker closed" if flags.is_disconnect_packet_from_server else "lost"
        self.lost = self.refused or f"{who}: {reason}"
        self.connected = False

    def _on_socket_open(self, client: Client, userdata: Any, connection: Any) -> None:
        self._listens_for = selectors.EVENT_READ
        self._selector.register(connection, selectors.EVENT_READ)

    def _on_socket_close(self, client: Client, userdata: Any, connection: Any) -> None:
        self._selector.unregister(connection)


def _later(client: Client, userdata: Any, connection: Any) -> None:
    """Written by `Link.write` and, when the socket is full, as soon as it takes more."""
