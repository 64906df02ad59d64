"""The baseline: the fastest loop around paho that acknowledges every message and does nothing else."""

from __future__ import annotations

import selectors
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.mqtt.link import Connection

READ_AT_ONCE = 100


class BareLoop:
    """A client of a persistent session that is driven by hand; `received` counts what was acknowledged."""

    def __init__(self, connection: Connection, version: str, topic_filter: str) -> None:
        self._connection, self._version, self._filter = connection, version, topic_filter
        self.received = self.subscribed = 0
        five = version == "5"
        protocol = MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            connection.client_id,
            clean_session=None if five else False,
            protocol=protocol,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        # With this callback paho queues acknowledgements and we write them after reading: faster than one write in the middle of each read.
        self._client.on_socket_register_write = _later

    def subscribe(self) -> None:
        """Make the session, so that the broker keeps a queue for it, and leave."""
        self._open()
        self._client.subscribe(self._filter, qos=1)
        self._loop(lambda: not self.subscribed)

    def drain(self, count: int) -> None:
        """Read and acknowledge so many messages, and leave."""
        self._open()
        self._loop(lambda: self.received < count)

    def _open(self) -> None:
        if self._version == "3.1.1":
            self._client.connect(self._connection.host, self._connection.port)
            return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self._connection.expiry_s
        properties.ReceiveMaximum = self._connection.receive_maximum
        self._client.connect(self._connection.host, self._connection.port, clean_start=False, properties=properties)

    def _loop(self, more: Any) -> None:
        client = self._client
        with selectors.DefaultSelector() as selector:
            selector.register(client.socket(), selectors.EVENT_READ)  # type: ignore[arg-type]
            while more():
                if client.want_write():
                    client.loop_write()
                selector.select(1.0)
                before, upto = -1, self.received + READ_AT_ONCE
                while before < self.received < upto:
                    before = self.received
                    client.loop_read()
        client.loop_write()
        client.disconnect()
        client.loop_write()

    def _on_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        client.ack(message.mid, 1)
        self.received += 1

    def _on_subscribe(self, *_: Any) -> None:
        self.subscribed += 1


def _later(client: Client, userdata: Any, connection: Any) -> None:
    """Written when there is nothing more to read."""
