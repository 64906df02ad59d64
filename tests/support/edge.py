"""An edge node that speaks Sparkplug B, with an encoder of its own: none of the code that reads it is in it."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

REBIRTH = "Node Control/Rebirth"
FLOAT, DOUBLE, BOOLEAN, INT64 = 9, 10, 11, 4
_VALUES = {"int": (10, 0), "long": (11, 0), "float": (12, 5), "double": (13, 1), "bool": (14, 0), "string": (15, 2), "bytes": (16, 2)}


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def fielded(number: int, wire: int, value: Any) -> bytes:
    """One field: varint (wire 0), fixed64 (1), bytes (2), fixed32 (5)."""
    key = varint(number << 3 | wire)
    if wire == 2:
        data = value.encode() if isinstance(value, str) else value
        return key + varint(len(data)) + data
    return key + {0: lambda: varint(int(value)), 1: lambda: struct.pack("<d", value), 5: lambda: struct.pack("<f", value)}[wire]()


def properties(values: Mapping[str, int | str]) -> bytes:
    """A property set of Int32 and texts."""
    keys = b"".join(fielded(1, 2, key) for key in values)
    kinds = {int: lambda value: fielded(1, 0, 3) + fielded(3, 0, value), str: lambda value: fielded(1, 0, 12) + fielded(8, 2, value)}
    return keys + b"".join(fielded(2, 2, kinds[type(value)](value)) for value in values.values())


def metric(
    name: str | bytes = "",
    alias: int | None = None,
    at_ms: int | None = None,
    datatype: int | None = None,
    props: Mapping[str, int | str] | None = None,
    historical: bool = False,
    transient: bool = False,
    null: bool = False,
    **value: Any,
) -> bytes:
    """A metric; its value as int=, long=, float=, double=, bool=, string= or bytes=."""
    parts = [fielded(1, 2, name)] if name else []
    parts += [fielded(number, 0, given) for number, given in ((2, alias), (3, at_ms), (4, datatype)) if given is not None]
    parts += [fielded(number, 0, 1) for number, given in ((5, historical), (6, transient), (7, null)) if given]
    parts += [fielded(9, 2, properties(props))] if props else []
    parts += [fielded(*_VALUES[kind], given) for kind, given in value.items()]
    return b"".join(parts)


def payload(*metrics: bytes, at_ms: int | None = None, seq: int | None = None) -> bytes:
    head = [fielded(number, 0, given) for number, given in ((1, at_ms), (3, seq)) if given is not None]
    return b"".join([*head, *(fielded(2, 2, own) for own in metrics)])


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class EdgeNode:
    """A node with devices whose metrics are float64; inside `with` it is connected and born.

    `devices` gives the values by device (empty for the node's own) and metric name. Aliases are given at each birth, from `first_alias` on.
    It is born again when it is asked, unless `deaf`.
    """

    port: int
    group: str
    node: str
    devices: dict[str, dict[str, float]]
    first_alias: int = 0
    deaf: bool = False
    bd_seq: int = 0
    seq: int = 0
    rebirths: int = 0
    states: list[bytes] = field(default_factory=list)
    _aliases: dict[tuple[str, str], int] = field(default_factory=dict)
    _client: Client | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.die()

    # Its life

    def connect(self) -> None:
        client = Client(CallbackAPIVersion.VERSION2, f"edge-{self.node}")
        client.will_set(self._topic("NDEATH"), self._death(), qos=1)
        client.on_message = self._commanded
        client.connect("127.0.0.1", self.port)
        for topic in (self._topic("NCMD"), "spBv1.0/STATE/+"):
            client.subscribe(topic, qos=1)
        client.loop_start()
        self._client = client
        self.birth()

    def birth(self) -> None:
        """NBIRTH, then a DBIRTH for every device."""
        with self._lock:
            self.seq = 0
            self._aliases = {}
            own = [metric("bdSeq", datatype=INT64, long=self.bd_seq), metric(REBIRTH, datatype=BOOLEAN, bool=False)]
            self._publish("NBIRTH", payload(*own, *self._born(""), at_ms=now_ms(), seq=self._number()))
            for device in filter(None, self.devices):
                self.device_birth(device)

    def device_birth(self, device: str) -> None:
        self._publish("DBIRTH", payload(*self._born(device), at_ms=now_ms(), seq=self._number()), device)

    def device_death(self, device: str) -> None:
        self._publish("DDEATH", payload(at_ms=now_ms(), seq=self._number()), device)

    def vanish(self) -> None:
        """The connection breaks: the broker publishes the death."""
        assert self._client is not None
        self._client.loop_stop()
        connection = self._client.socket()
        assert connection is not None
        connection.close()  # type: ignore[union-attr, unused-ignore]
        self._client = None
        self.bd_seq = (self.bd_seq + 1) % 256

    def die(self) -> None:
        """It leaves in good order, its death published by itself."""
        if self._client is not None:
            self._client.publish(self._topic("NDEATH"), self._death(), qos=1).wait_for_publish(5)
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None
            self.bd_seq = (self.bd_seq + 1) % 256

    # Its data

    def data(self, device: str, values: Mapping[str, float], at_ms: int | None = None, historical: bool = False, skip: int = 0) -> None:
        """New values, by alias; `skip` messages before it are lost on the way."""
        with self._lock:
            for _ in range(skip):
                self._number()
            at_ms = now_ms() if at_ms is None else at_ms
            metrics = []
            for name, value in values.items():
                self.devices[device][name] = value
                metrics.append(metric(alias=self._aliases[device, name], at_ms=at_ms, historical=historical, double=value))
            self._publish("DDATA" if device else "NDATA", payload(*metrics, at_ms=now_ms(), seq=self._number()), device)

    def _born(self, device: str) -> list[bytes]:
        metrics = []
        for name, value in self.devices.get(device, {}).items():
            alias = self._aliases[device, name] = self.first_alias + len(self._aliases)
            metrics.append(metric(name, alias, now_ms(), DOUBLE, double=value))
        return metrics

    def _death(self) -> bytes:
        return payload(metric("bdSeq", datatype=INT64, long=self.bd_seq), at_ms=now_ms())

    def _number(self) -> int:
        number, self.seq = self.seq, (self.seq + 1) % 256
        return number

    def _topic(self, kind: str, device: str = "") -> str:
        return "/".join(["spBv1.0", self.group, kind, self.node, *([device] if device else [])])

    def _publish(self, kind: str, data: bytes, device: str = "") -> None:
        if self._client is not None:
            self._client.publish(self._topic(kind, device), data, qos=0)

    def _commanded(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        if "/STATE/" in message.topic:
            self.states.append(bytes(message.payload))
        elif REBIRTH.encode() in message.payload:
            self.rebirths += 1
            if not self.deaf:
                self.birth()


def until(true: Callable[[], bool], within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)
