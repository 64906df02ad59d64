"""The Sparkplug B payload: protobuf messages by the field table of the specification, version 3.0, chapter 6.

The messages are built when this is imported, so that there is no generated code; protobuf's C parser reads them. What is not looked into
(data sets, templates, metadata) is bytes or unknown, and kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from importlib import import_module
from typing import Any, Protocol

REBIRTH = "Node Control/Rebirth"
BD_SEQ = "bdSeq"
COMPRESSED = "SPBV1.0_COMPRESSED"
_FIELDS = {
    "PropertyValue": (
        "1 type uint32", "2 is_null bool", "3 int_value uint32", "4 long_value uint64", "5 float_value float", "6 double_value double",
        "7 boolean_value bool", "8 string_value string", "9 propertyset_value bytes", "10 propertysets_value bytes",
        "11 extension_value bytes",
    ),
    "PropertySet": ("1 keys string*", "2 values PropertyValue*"),
    "Metric": (
        "1 name string", "2 alias uint64", "3 timestamp uint64", "4 datatype uint32", "5 is_historical bool", "6 is_transient bool",
        "7 is_null bool", "9 properties PropertySet", "10 int_value uint32", "11 long_value uint64", "12 float_value float",
        "13 double_value double", "14 boolean_value bool", "15 string_value string", "16 bytes_value bytes", "17 dataset_value bytes",
        "18 template_value bytes", "19 extension_value bytes",
    ),
    "Payload": ("1 timestamp uint64", "2 metrics Metric*", "3 seq uint64", "4 uuid string", "5 body bytes"),
}  # fmt: skip


class Datatype(IntEnum):
    """What a metric holds; those that are no number, truth or text end in quarantine."""

    UNKNOWN = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14
    UUID = 15
    DATASET = 16
    BYTES = 17
    FILE = 18
    TEMPLATE = 19


class PropertyValue(Protocol):
    type: int
    is_null: bool
    int_value: int
    long_value: int
    string_value: str | bytes

    def WhichOneof(self, name: str, /) -> str | None: ...  # noqa: N802


class PropertySet(Protocol):
    @property
    def keys(self) -> Sequence[str]: ...
    @property
    def values(self) -> Sequence[PropertyValue]: ...


class Metric(Protocol):
    """A metric; a field that is not there reads as 0, empty or false, and HasField tells. A text that is no UTF-8 is bytes."""

    name: str | bytes
    alias: int
    timestamp: int
    datatype: int
    is_historical: bool
    is_transient: bool
    is_null: bool
    int_value: int
    long_value: int
    float_value: float
    double_value: float
    boolean_value: bool
    string_value: str | bytes

    @property
    def properties(self) -> PropertySet: ...
    def HasField(self, name: str, /) -> bool: ...  # noqa: N802
    def WhichOneof(self, name: str, /) -> str | None: ...  # noqa: N802
    def CopyFrom(self, other: Metric, /) -> None: ...  # noqa: N802


class Metrics(Protocol):
    def add(self) -> Metric: ...
    def __iter__(self) -> Iterator[Metric]: ...
    def __len__(self) -> int: ...


class Payload(Protocol):
    timestamp: int
    seq: int
    uuid: str | bytes

    @property
    def metrics(self) -> Metrics: ...
    def HasField(self, name: str, /) -> bool: ...  # noqa: N802
    def SerializeToString(self) -> bytes: ...  # noqa: N802


def _classes() -> dict[str, Any]:
    """protobuf's runtime has no types: it is reached from here only."""
    descriptors = import_module("google.protobuf.descriptor_pb2")
    pool = import_module("google.protobuf.descriptor_pool").DescriptorPool()
    factory = import_module("google.protobuf.message_factory")
    field = descriptors.FieldDescriptorProto
    file = descriptors.FileDescriptorProto(name="sparkplug_b", package="sparkplug_b", syntax="proto2")
    for message, lines in _FIELDS.items():
        described = file.message_type.add(name=message)
        described.oneof_decl.add(name="value")
        for line in lines:
            number, name, kind = line.split()
            own = described.field.add(name=name, number=int(number))
            own.label = field.LABEL_REPEATED if kind.endswith("*") else field.LABEL_OPTIONAL
            if (kind := kind.rstrip("*")) in _FIELDS:
                own.type, own.type_name = field.TYPE_MESSAGE, f".sparkplug_b.{kind}"
            else:
                own.type = field.Type.Value(f"TYPE_{kind.upper()}")
            if name.endswith("_value"):
                own.oneof_index = 0
        if not any(own.HasField("oneof_index") for own in described.field):
            del described.oneof_decl[:]
    pool.Add(file)
    return {message: factory.GetMessageClass(pool.FindMessageTypeByName(f"sparkplug_b.{message}")) for message in _FIELDS}


_Payload: Any = _classes()["Payload"]
_DecodeError: type[Exception] = import_module("google.protobuf.message").DecodeError


def parse(data: bytes) -> Payload:
    """The payload; ValueError when it is none."""
    try:
        payload: Payload = _Payload.FromString(data)
    except _DecodeError as error:
        raise ValueError(f"no Sparkplug B payload: {error}") from None
    if payload.uuid == COMPRESSED:
        raise ValueError("a compressed payload: let the edge node publish without compression")
    return payload


def new_payload(timestamp_ms: int) -> Payload:
    """A payload without metrics and without a sequence number."""
    payload: Payload = _Payload(timestamp=timestamp_ms)
    return payload


def only(payload: Payload, metric: Metric, name: str, datatype: int) -> bytes:
    """A payload with one metric of it, and the name and datatype that only its birth gave."""
    part = new_payload(payload.timestamp)
    if payload.HasField("seq"):
        part.seq = payload.seq
    own = part.metrics.add()
    own.CopyFrom(metric)
    own.name, own.datatype = name, datatype
    return part.SerializeToString()


def rebirth_request(timestamp_ms: int) -> bytes:
    """What an NCMD says to have everything born again."""
    request = new_payload(timestamp_ms)
    metric = request.metrics.add()
    metric.name, metric.datatype, metric.timestamp, metric.boolean_value = REBIRTH, Datatype.BOOLEAN, timestamp_ms, True
    return request.SerializeToString()
