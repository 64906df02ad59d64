"""A beacon's connection to the broker, beside that of the readings."""

from __future__ import annotations

import threading
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from alerts.channels import DeliveryError
from alerts.signals.beacon import LOST, Beacon
from ingest.mqtt.link import Connection

TAKEN_S = 5.0


class Publisher:
    """Publishes retained messages over a connection that is made when needed; the broker says `lost` when it breaks."""

    def __init__(self, name: str, beacon: Beacon, connection: Connection) -> None:
        version = MQTTProtocolVersion.MQTTv5 if connection.protocol == "5" else MQTTProtocolVersion.MQTTv311
        self._client = Client(CallbackAPIVersion.VERSION2, f"{connection.client_id}-beacon-{name}", protocol=version)
        if connection.username is not None:
            self._client.username_pw_set(connection.username, connection.password)
        if connection.tls:
            self._client.tls_set(connection.ca_file, connection.cert_file, connection.key_file)
        self._beacon, self._connection = beacon, connection
        self._client.will_set(beacon.topic, beacon.payload(LOST), qos=1, retain=True)
        self._client.reconnect_delay_set(1, 5)
        self._answered = threading.Event()
        self._why = ""
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = lambda *_: self._answered.clear()
        self._opened = False

    def publish(self, topic: str, payload: bytes) -> None:
        """Return when the broker has it; raises DeliveryError."""
        at = f"{self._connection.host}:{self._connection.port}"
        try:
            if not self._opened:
                self._client.connect_async(self._connection.host, self._connection.port, keepalive=10)
                self._client.loop_start()
                self._opened = True
            # Asked of one that is not connected, it would be kept for later, when it may be long untrue.
            self._answered.wait(TAKEN_S)
            if not self._client.is_connected():
                raise DeliveryError(f"beacon {topic} over {at}: {self._why or 'not connected'}", "Check the broker")
            taken = self._client.publish(topic, payload, qos=1, retain=True)
            taken.wait_for_publish(TAKEN_S)
            if not taken.is_published():
                raise DeliveryError(f"beacon {topic} over {at}: the broker does not confirm it", "May the account write there?")
        except (OSError, ValueError, RuntimeError) as error:
            raise DeliveryError(f"beacon {topic} over {at}: {error}", "Check the broker") from None

    def close(self) -> None:
        """Say that nobody looks after the beacon any more, and go."""
        if not self._opened:
            return
        if self._client.is_connected():
            self._client.publish(self._beacon.topic, self._beacon.payload(LOST), qos=1, retain=True).wait_for_publish(1.0)
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._why = f"the broker refuses: {reason}" if reason.is_failure else ""
        self._answered.set()
