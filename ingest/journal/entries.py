"""What the journal's entries say: the body of each kind, and readings as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from facility.reading import Readings
from ingest.arrivals import Quarantined, Raw
from ingest.journal.journal import Entry, JournalUnavailable

INGEST, STEP, LINK, CLOCK, CONFIGURATION, ACTION, DELIVERY, SERVICE, PEOPLE, SOURCE, RECORD = (
    "ingest", "step", "link", "clock", "configuration", "action", "delivery", "service", "people", "source", "record",
)  # fmt: skip
CHECKPOINT, SEAL, FILE = "checkpoint", "seal", "file"


class State(msgspec.Struct, array_like=True, frozen=True):
    """A room's or zone's state message: place id, time in int ns UTC, occupancy."""

    place: str
    time: int
    state: str


class ReadmissionNote(msgspec.Struct, array_like=True, frozen=True):
    """Who had records taken in again and why, by which filter; `records` are taken out of quarantine: entry, index, the reason there."""

    by: str
    reason: str
    filter: str
    records: list[tuple[int, int, str]]


class SayingNote(msgspec.Struct, array_like=True, frozen=True):
    """Who said from the console what goes on in a room, and why; the state before comes back at `until_ns`, None for never by itself."""

    by: str
    reason: str
    until_ns: int | None = None
    before: str = ""


class IngestBody(msgspec.Struct, array_like=True, frozen=True):
    """One batch: the sums, the columns of the stored readings (little endian), and everything else that it held.

    `origin` is empty for what came over MQTT, else says how it came: `recovered` from the historian after a restore,
    `readmitted` from quarantine, where `readmission` says more; `console` for a room's state that a person gave, where `said` does.
    """

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
    origin: str = ""
    readmission: ReadmissionNote | None = None
    said: SayingNote | None = None


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


class Changed(msgspec.Struct, array_like=True, frozen=True):
    """One value of a configuration that is another than before, in words; empty for none."""

    what: str
    old: str
    new: str


class ConfigurationBody(msgspec.Struct, frozen=True):
    """A configuration took force: the hash of what judges, the semantics number, numbers of points that are new, its files whole.

    `by`, `reason` and `change` (the id of a change request) say who put it in force and why; `changes` what is another value than before.
    Where it is signed, `meaning` says what for, `signed_ns` when (int ns UTC), and `digest` (hex) is over what was signed.
    """

    hash: str
    semantics: int
    points: dict[str, int]
    entry: dict[str, Any]
    by: str = ""
    reason: str = ""
    change: str = ""
    changes: list[Changed] = []
    meaning: str = ""
    signed_ns: int = 0
    digest: str = ""


class ActionBody(msgspec.Struct, frozen=True):
    """Somebody did something to an alarm or a point: why, and until when; or took over a duty: who, instead of whom, from when until when.

    Times are int ns UTC. Where it is signed, `meaning` says what for, and `digest` (hex) is over what was signed. `mail` is the digest
    of the mail that said so, `address` the target by which its sender is answered.
    """

    action: str
    target: str
    by: str
    comment: str = ""
    until_ns: int | None = None
    from_ns: int | None = None
    person: str = ""
    instead_of: str = ""
    mail: str = ""
    address: str = ""
    meaning: str = ""
    digest: str = ""


class RecordBody(msgspec.Struct, frozen=True):
    """Somebody put something on an excursion's record, or reviewed the audit trail (alerts/remarks.py says what `words` hold).

    Where it is signed, `meaning` says what for, and `digest` (hex) is over what was signed.
    """

    action: str
    target: str
    by: str
    words: dict[str, str] = {}
    meaning: str = ""
    digest: str = ""


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


class PeopleBody(msgspec.Struct, frozen=True):
    """Somebody signed in or failed to, or rights changed, at `at_ns`: event `number` of the people.db with the id `register`."""

    register: str
    number: int
    at_ns: int
    event: str
    target: str
    by: str
    old: str = ""
    new: str = ""
    source: str = ""
    reason: str = ""


class SourceBody(msgspec.Struct, frozen=True):
    """A source that announces its life: `event` is born, died or gap; `points` are the numbers of those that it speaks for.

    `lost` messages are missing where there was a gap. `source` is group/node or group/node/device; the death of a node is that of its
    devices too.
    """

    source: str
    event: str
    points: list[int] = []
    lost: int = 0
    detail: str = ""


class CheckpointBody(msgspec.Struct, frozen=True):
    """A nightly verify found everything right up to the step at entry `seq`, and left what it evaluated in a file of this SHA-256, hex."""

    seq: int
    sha256: str


class SealBody(msgspec.Struct, frozen=True):
    """The entries from `first` to `last` are sealed: `sha256`, hex, is that of the manifest of `day` (a date, UTC)."""

    day: str
    first: int
    last: int
    sha256: str


class FileBody(msgspec.Struct, frozen=True):
    """A file of the journal begins with this entry: `before` is the hash of the entry before it, which ends another file."""

    before: bytes


Body = (
    IngestBody
    | StepBody
    | LinkBody
    | ClockBody
    | ConfigurationBody
    | ActionBody
    | RecordBody
    | DeliveryBody
    | ServiceBody
    | PeopleBody
    | SourceBody
    | CheckpointBody
    | SealBody
    | FileBody
)
_KINDS: dict[str, type[Body]] = {
    INGEST: IngestBody,
    STEP: StepBody,
    LINK: LinkBody,
    CLOCK: ClockBody,
    CONFIGURATION: ConfigurationBody,
    ACTION: ActionBody,
    DELIVERY: DeliveryBody,
    SERVICE: ServiceBody,
    PEOPLE: PeopleBody,
    SOURCE: SourceBody,
    RECORD: RecordBody,
    CHECKPOINT: CheckpointBody,
    SEAL: SealBody,
    FILE: FileBody,
}
_NO_SEQUENCE = b"\xff" * 8
"""-1: none."""
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


def gathered(entries: Sequence[Entry], bodies: Sequence[IngestBody]) -> Readings:
    """The stored readings of ingest entries one after the other, column by column: entries may be many and small."""
    counts = [entry.readings for entry in entries]
    sequences = (body.sequence or _NO_SEQUENCE * count for body, count in zip(bodies, counts, strict=True))
    return Readings(
        point=np.frombuffer(b"".join(body.point for body in bodies), "<u4").astype(np.uint32, copy=False),
        time=np.frombuffer(b"".join(body.time for body in bodies), "<i8"),
        value=np.frombuffer(b"".join(body.value for body in bodies), "<f8"),
        quality=np.frombuffer(b"".join(body.quality for body in bodies), "u1"),
        received=np.repeat(np.array([entry.at for entry in entries], np.int64), counts),
        heard=np.repeat(np.array([entry.heard for entry in entries], np.int64), counts),
        sequence=np.frombuffer(b"".join(sequences), "<i8"),
    )
