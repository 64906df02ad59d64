"""One connection that publishes at QoS 1 and knows what was acknowledged; driven by its caller, without a thread."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol, Self

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from facility.problems import so_many
from simulators.broker import Broker, BrokerUnreachable

SECOND_NS = 1_000_000_000
CONNECT_S = 10.0
"""How long a broker may take to answer a CONNECT."""
NO_SUBSCRIBER = 0x10


class Clock(Protocol):
    """What publishing needs of time."""

    def monotonic_ns(self) -> int:
        """Nanoseconds that only grow."""

    def sleep(self, seconds: float) -> None:
        """Let time pass."""


class Outlet:
    """A publishing connection, a context manager.

    At most `in_flight` messages are unacknowledged, fewer when the broker says so. A lost connection is made again, and what was not
    acknowledged is sent again, for `patience_s`; then, or when the broker refuses a message, BrokerUnreachable. It speaks MQTT 5, whose
    acknowledgements say what became of a message, or 3.1.1 where the broker knows no other.
    """

    def __init__(self, broker: Broker, clock: Clock, *, in_flight: int = 200, patience_s: float = 60.0, client_id: str = "") -> None:
        self.broker = broker
        self._clock, self._wish, self._limit = clock, max(1, in_flight), max(1, in_flight)
        self._patience_ns, self._client_id = int(patience_s * SECOND_NS), client_id
        self._open: dict[int, int] = {}
        self._connected = False
        self._refusal: str | None = None
        self._client = self._new_client(MQTTProtocolVersion.MQTTv5)
        self.readings = 0
        """Readings in acknowledged messages."""
        self.messages = 0
        """Acknowledged messages."""
        self.unheard = 0
        """Acknowledged messages that nobody subscribes to, as far as the broker tells (MQTT 5)."""
        self.reconnects = 0

    def __enter__(self) -> Self:
        try:
            self._connect()
        except (OSError, _NoAnswer):
            # A broker that knows 3.1.1 only may say so, or just hang up.
            self._client = self._new_client(MQTTProtocolVersion.MQTTv311)
            try:
                self._connect()
            except (OSError, _NoAnswer) as error:
                raise BrokerUnreachable(
                    f"no connection to {self.broker} ({error}); check the address, the password and the broker"
                ) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.drain()
        finally:
            self._client.disconnect()
            self._client.loop(0.0)

    def publish(self, topic: str, payload: bytes, readings: int = 1, retain: bool = False) -> None:
        """Send one message that holds so many readings; waits while too many are unacknowledged."""
        while len(self._open) >= self._limit:
            self._turn(1.0)
        sent = self._client.publish(topic, payload, qos=1, retain=retain)
        if sent.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN, MQTTErrorCode.MQTT_ERR_CONN_LOST):
            raise BrokerUnreachable(f"the message to {topic} could not be sent ({sent.rc.name}); make the batches smaller")
        self._open[sent.mid] = readings

    def wait(self, seconds: float) -> None:
        """Let time pass while acknowledgements come in."""
        end = self._clock.monotonic_ns() + int(seconds * SECOND_NS)
        while (left := end - self._clock.monotonic_ns()) > 0:
            self._turn(min(left / SECOND_NS, 1.0))

    def drain(self) -> None:
        """Wait until everything is acknowledged."""
        end = self._clock.monotonic_ns() + self._patience_ns
        while self._open:
            before = len(self._open)
            self._turn(0.2)
            if len(self._open) < before:
                end = self._clock.monotonic_ns() + self._patience_ns
            elif self._clock.monotonic_ns() > end:
                raise BrokerUnreachable(f"{self.broker} does not acknowledge {self._unconfirmed()}; look at the broker's log")

    def _turn(self, timeout_s: float) -> None:
        code = self._client.loop(timeout_s)
        if self._refusal is not None:
            raise BrokerUnreachable(f"{self.broker} refused a message ({self._refusal}); check what this user may publish")
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or not self._connected:
            self._reconnect()

    def _reconnect(self) -> None:
        end = self._clock.monotonic_ns() + self._patience_ns
        delay_s = 0.1
        while True:
            try:
                self._connect(again=True)
            except (OSError, _NoAnswer) as error:
                if self._clock.monotonic_ns() > end:
                    counts = f"acknowledged: {so_many(self.readings, 'reading')}, not: {self._unconfirmed()}"
                    remedy = "play the recording again: what is stored already counts as duplicate"
                    raise BrokerUnreachable(f"the connection to {self.broker} is lost ({error}); {counts}; {remedy}") from None
                self._clock.sleep(delay_s)
                delay_s = min(delay_s * 2, 2.0)
            else:
                self.reconnects += 1
                return

    def _connect(self, again: bool = False) -> None:
        """Connect and await the broker's answer; raises OSError or _NoAnswer."""
        self._connected = False
        if again:
            self._client.reconnect()
        else:
            self._client.connect(self.broker.host, self.broker.port, keepalive=30)
        end = self._clock.monotonic_ns() + int(CONNECT_S * SECOND_NS)
        while not self._connected:
            code = self._client.loop(0.2)
            if self._refusal is not None:
                refusal, self._refusal = self._refusal, None
                raise _NoAnswer(refusal)
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS or self._clock.monotonic_ns() > end:
                raise _NoAnswer("the broker does not answer")

    def _unconfirmed(self) -> str:
        return f"{so_many(sum(self._open.values()), 'reading')} in {so_many(len(self._open), 'message')}"

    def _new_client(self, protocol: MQTTProtocolVersion) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, self._client_id, protocol=protocol)
        client.max_inflight_messages_set(0)  # bounded here
        if self.broker.username is not None:
            client.username_pw_set(self.broker.username, self.broker.password)
        if self.broker.tls:
            client.tls_set()
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        return client

    def _on_connect(self, _client: Client, _: Any, _flags: ConnectFlags, reason: ReasonCode, properties: Properties | None) -> None:
        if reason.is_failure:
            self._refusal = str(reason)
            return
        self._limit = min(self._wish, getattr(properties, "ReceiveMaximum", 65_535))
        self._connected = True

    def _on_disconnect(self, _client: Client, _: Any, _flags: DisconnectFlags, _reason: ReasonCode, _properties: Properties | None) -> None:
        self._connected = False

    def _on_publish(self, _client: Client, _: Any, mid: int, reason: ReasonCode, _properties: Properties) -> None:
        readings = self._open.pop(mid, 0)
        if reason.is_failure:
            self._refusal = str(reason)
            return
        self.readings += readings
        self.messages += 1
        self.unheard += reason.value == NO_SUBSCRIBER


class _NoAnswer(Exception):
    pass
