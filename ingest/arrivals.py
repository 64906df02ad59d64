"""What one batch of messages holds, before admission: columns of readings, room states, and what could not be understood."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class Reason(StrEnum):
    """Why decoding puts a piece into quarantine; admission has its own reasons besides."""

    NOT_JSON = "not_json"
    """No JSON at all, no UTF-8, nested too deep, or an array that breaks off: counts one, since it cannot be split."""
    NOT_AN_OBJECT = "not_an_object"
    """JSON, but neither an object nor an array of objects; also an empty array."""
    KEY_REPEATED = "key_repeated"
    """A key stands twice in one object: which of the two is meant is not known."""
    KEY_UNKNOWN = "key_unknown"
    """A key that looks like a misspelt one of ours: `qualty: bad` must not become a good reading."""
    TIME_MISSING = "time_missing"
    TIME_INVALID = "time_invalid"
    """Neither RFC 3339 with an offset nor an epoch number, or outside the years 1677 to 2262 that int64 nanoseconds hold."""
    VALUE_MISSING = "value_missing"
    """Neither `value` nor `count` with `volume_l`."""
    VALUE_INVALID = "value_invalid"
    QUALITY_UNKNOWN = "quality_unknown"
    UNIT_UNKNOWN = "unit_unknown"
    UNIT_MISMATCH = "unit_mismatch"
    """A known unit of another quantity than the point's."""
    SEQUENCE_INVALID = "sequence_invalid"
    """`seq` is no integer from 0 to 2**63 - 1."""
    TOPIC_UNKNOWN = "topic_unknown"
    POINT_UNKNOWN = "point_unknown"
    """No such point, or one that was retired before the reading's time."""
    PLACE_UNKNOWN = "place_unknown"
    PLACE_MISMATCH = "place_mismatch"
    """The point is known, but stands in another room than the topic says."""
    STATE_UNKNOWN = "state_unknown"
    SIMULATED = "simulated"
    """It carries `origin`, and this service does not accept what is simulated or replayed."""
    NOT_MAPPED = "not_mapped"
    """A message of a source in sources.yaml to which none of its readings applies."""
    TOO_LARGE = "too_large"
    """The payload is over 1 MiB."""
    NOT_SPARKPLUG = "not_sparkplug"
    """No Sparkplug B payload, on a topic of its namespace."""
    BEFORE_BIRTH = "before_birth"
    """Sparkplug data whose metrics are not known for certain: no birth since we came, after a death, or one may have been missed."""
    METRIC_UNKNOWN = "metric_unknown"
    """An alias or a name that the birth did not have: the message is whole in quarantine."""
    DATATYPE_UNSUPPORTED = "datatype_unsupported"
    """A data set, template, array, or bytes: no number."""
    TRANSIENT = "transient"
    """A metric that its source says is not to be stored."""
    POINT_TAKEN = "point_taken"
    """Another living metric reports this point."""
    RETAINED = "retained"
    """Kept by the broker, where nothing may be: nobody knows how old it is."""


@dataclass(frozen=True, slots=True)
class Raw:
    """What the instrument sent for row `row`, where the columns do not say it already.

    `value` is its number in `unit`, its text where that was no plain number (`"14.60"`, `NaN`, 2**53 + 1), or None for null and for
    a count; `unit` is empty when none was sent; `count` particles were counted in `volume_l` litres.
    """

    row: int
    value: float | str | None
    unit: str = ""
    count: float | None = None
    volume_l: float | None = None


@dataclass(frozen=True, slots=True)
class StateArrival:
    """The occupancy `state` of a room or zone from `time` (int ns UTC) on; `message` indexes the batch."""

    place: str
    time: int
    state: str
    message: int


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What could not be understood, whole: `payload` is the message, or of an array the one element; `reason` is a Reason.

    `point` is that of a reading that was understood, but not admitted.
    """

    topic: str
    payload: bytes
    reason: str
    detail: str
    point: str = ""


@dataclass(slots=True)
class Arrivals:
    """The content of one batch, a list per column, in order of arrival.

    `point` journal numbers; `time` int ns UTC; `value` in the point's unit, nan where none was finite; `quality` 0, 1, 2 as received
    (admission makes a reading bad that has no finite value); `sequence` -1 for none; `source` the index of the row's message.
    `ignored_keys` counts keys that are not ours, so that they can be shown: an instrument's `fw` or `batt` is passed over, not lost unseen.
    """

    point: list[int] = field(default_factory=list)
    time: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)
    sequence: list[int] = field(default_factory=list)
    source: list[int] = field(default_factory=list)
    raw: list[Raw] = field(default_factory=list)
    states: list[StateArrival] = field(default_factory=list)
    quarantine: list[Quarantined] = field(default_factory=list)
    parts: dict[int, Callable[[], bytes]] = field(default_factory=dict)
    """By row of a mapped message, what gives the part of it that holds this reading."""
    ignored_keys: dict[str, int] = field(default_factory=dict)

    def add(self, point: int, time: int, value: float, quality: int, sequence: int, source: int) -> None:
        """Append a row."""
        self.point.append(point)
        self.time.append(time)
        self.value.append(value)
        self.quality.append(quality)
        self.sequence.append(sequence)
        self.source.append(source)

    @property
    def readings_received(self) -> int:
        """Rows, room states and quarantined pieces: each is received once and ends stored, duplicate or quarantined, so the sum closes."""
        return len(self.point) + len(self.states) + len(self.quarantine)
