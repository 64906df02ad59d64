"""What the journal's entries say: the body of each kind, and readings as columns."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from facility.reading import Readings
from ingest.arrivals import Quarantined, Raw
from ingest.journal import Entry, JournalUnavailable

INGEST, STEP, LINK, CLOCK, CONFIGURATION, ACTION, DELIVERY, SERVICE = (
    "ingest", "step", "link", "clock", "configuration", "action", "delivery", "service",
)  # fmt: skip


class State(msgspec.Struct, array_like=True, frozen=True):
    """A room's or zone's state message: place id, time in int ns UTC, occupancy."""

    place: str
    time: int
    state: str


class IngestBody(msgspec.Struct, array_like=True, frozen=True):
    """One batch: the sums, the columns of the stored readings (little endian), and everything else that it held."""

    received: int
    duplicates: int
    point: bytes
    time: bytes
    value: bytes
    quality: bytes
    sequence: bytes
    raw: list[Raw]
    states: list[State]
    quarantine: list[Quarantined]


class StepBody(msgspec.Struct, frozen=True):
    """A step was taken here: its clock is the entry's `at` and `heard`, its input every entry since the step before it."""

    number: int


class LinkBody(msgspec.Struct, frozen=True):
    """The link to the broker changed."""

    event: str
    detail: str = ""


class ClockBody(msgspec.Struct, frozen=True):
    """The wall clock was stepped by so many ns against the monotonic clock."""

    step_ns: int


class ConfigurationBody(msgspec.Struct, frozen=True):
    """A configuration took force: the hash of what judges, the semantics number, numbers of points that are new, its files whole."""

    hash: str
    semantics: int
    points: dict[str, int]
    entry: dict[str, Any]
    by: str = ""
    reason: str = ""


class ActionBody(msgspec.Struct, frozen=True):
    """Somebody did something to an alarm."""

    action: str
    target: str
    by: str
    comment: str = ""


class DeliveryBody(msgspec.Struct, frozen=True):
    """An attempt to deliver a page ended."""

    page: str
    target: str
    attempt: int
    at_ns: int
    ok: bool
    permanent: bool
    detail: str
    next_try_ns: int


class ServiceBody(msgspec.Struct, frozen=True):
    """The service started or stopped."""

    event: str
    version: str
    detail: str = ""


Body = IngestBody | StepBody | LinkBody | ClockBody | ConfigurationBody | ActionBody | DeliveryBody | ServiceBody
_KINDS: dict[str, type[Body]] = {
    INGEST: IngestBody,
    STEP: StepBody,
    LINK: LinkBody,
    CLOCK: ClockBody,
    CONFIGURATION: ConfigurationBody,
    ACTION: ActionBody,
    DELIVERY: DeliveryBody,
    SERVICE: ServiceBody,
}
_ENCODER = msgspec.msgpack.Encoder()
_DECODERS = {kind: msgspec.msgpack.Decoder(body) for kind, body in _KINDS.items()}


def encode(body: Body) -> bytes:
    return _ENCODER.encode(body)


def decode(entry: Entry) -> Body:
    """The body of an entry; JournalUnavailable when it was not written by a version that this one knows, or is damaged."""
    try:
        decoded: Body = _DECODERS[entry.kind].decode(entry.body)
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError) as error:
        words = f"entry {entry.seq} of the journal, {entry.kind!r}, cannot be read by this version; `renrum verify` says why"
        raise JournalUnavailable(words) from error
    return decoded


def ingest_body(entry: Entry) -> IngestBody:
    """As `decode`, of an ingest entry."""
    body = decode(entry)
    assert isinstance(body, IngestBody)
    return body


def readings_of(entry: Entry, body: IngestBody) -> Readings:
    """The stored readings of an ingest entry: received and heard are the entry's own."""
    count = entry.readings
    return Readings(
        point=np.frombuffer(body.point, "<u4").astype(np.uint32, copy=False),
        time=np.frombuffer(body.time, "<i8"),
        value=np.frombuffer(body.value, "<f8"),
        quality=np.frombuffer(body.quality, "u1"),
        received=np.full(count, entry.at),
        heard=np.full(count, entry.heard),
        sequence=np.frombuffer(body.sequence, "<i8") if body.sequence else np.full(count, -1),
    )
