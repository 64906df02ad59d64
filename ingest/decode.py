"""MQTT payloads to columns: what the wire format calls a reading and an occupancy, and for everything else the reason why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Union

import msgspec

from facility.site import OCCUPANCIES, Facility
from facility.sources.source import Source
from ingest.arrivals import Arrivals, Quarantined, Raw, Reason, StateArrival
from ingest.decoding import fields
from ingest.decoding.fields import Fields
from ingest.decoding.instant import Instants
from ingest.decoding.mapped import MappedDecoder
from ingest.decoding.topics import LARGEST_PAYLOAD_BYTES, Addressed, NotUnderstood, Topics, refuse_large
from ingest.message import Message
from ingest.sparkplug.again import Again
from ingest.sparkplug.host import Host

READING_KEYS = ("time", "value", "unit", "quality", "seq", "count", "volume_l", "origin")
STATE_KEYS = ("time", "state", "origin")
COUNT_UNIT = "1/m3"
_QUALITY = {None: 0, "": 0, "good": 0, "uncertain": 1, "bad": 2}
_LITRES_PER_M3 = 1000.0


class _Plain(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The usual reading, decoded strictly; whatever is written otherwise is read by fields.py."""

    time: Union[str, int, float]  # noqa: UP007 (msgspec reads the annotation, also on 3.11)
    value: float
    unit: Union[str, None] = None  # noqa: UP007
    quality: Union[str, None] = None  # noqa: UP007
    seq: Union[int, None] = None  # noqa: UP007
    origin: Union[str, None] = None  # noqa: UP007


class Decoder:
    """Decodes batches of messages for one facility.

    `number_of` gives each point's number in the journal; with `accept_simulated` false, what carries `origin` goes to quarantine.
    """

    def __init__(
        self,
        facility: Facility,
        number_of: Mapping[str, int],
        accept_simulated: bool,
        sources: Sequence[Source] = (),
        sparkplug: Host | Again | None = None,
    ) -> None:
        self._sparkplug = sparkplug
        self._topics = Topics(facility, number_of)
        self._mapped = MappedDecoder(sources, facility, number_of)
        self.stamped_ns = 0
        """The last time of reception that a reading got."""
        self._accept_simulated = accept_simulated
        self._instants = Instants()
        self._strict = msgspec.json.Decoder(Union[_Plain, list[_Plain]])  # noqa: UP007

    def decode(self, messages: Sequence[Message], received_ns: int = 0) -> Arrivals:
        """Everything that the messages hold, each piece once: a row, a room state, or quarantined. No payload makes it raise.

        `received_ns` is when they came (int ns UTC), for sources whose readings carry no time.
        """
        arrivals = Arrivals()
        self.stamped_ns = received_ns - 1
        points = self._topics.points
        for index, message in enumerate(messages):
            addressed = points.get(message.topic)
            if addressed is None or not self._plain(addressed, message.payload, index, arrivals):
                self._patient(addressed, message, index, arrivals)
        return arrivals

    def _stamp(self) -> int:
        """The time of reception; no two readings get the same, as those of one point would be one."""
        self.stamped_ns += 1
        return self.stamped_ns

    # The fast path: all of a message or nothing of it. What it understands, the patient path would have read the same.

    def _plain(self, addressed: Addressed, payload: bytes, index: int, arrivals: Arrivals) -> bool:
        if len(payload) > LARGEST_PAYLOAD_BYTES:
            return False
        try:
            decoded = self._strict.decode(payload)
            readings = decoded if isinstance(decoded, list) else [decoded]
            rows = [self._row(addressed, reading) for reading in readings]
        except (ValueError, RecursionError, NotUnderstood):
            return False
        # JSON libraries let the last of two equal keys win. Each key and text that was decoded has two quotes; more show a repeated key.
        if not rows or payload.count(b'"') != sum(_quotes(reading) for reading in readings):
            return False
        for reading, (time, value, quality, sequence) in zip(readings, rows, strict=True):
            if reading.unit and reading.unit != addressed.point.unit:
                arrivals.raw.append(Raw(len(arrivals.point), reading.value, reading.unit))
            arrivals.add(addressed.number, time, value, quality, sequence, index)
        return True

    def _row(self, addressed: Addressed, reading: _Plain) -> tuple[int, float, int, int]:
        """Time, value, quality, sequence; a ValueError or NotUnderstood sends the whole message to the patient path, which says why."""
        time = self._instants.of(reading.time)
        value = reading.value
        sequence = -1 if reading.seq is None else reading.seq
        quality = _QUALITY.get(reading.quality, -1)
        usual = -fields.EXACT < value < fields.EXACT and quality >= 0 and time < addressed.retired_ns
        if not usual or not (reading.seq is None or 0 <= sequence < 2**63) or (reading.origin is not None and not self._accept_simulated):
            raise ValueError
        if reading.unit and reading.unit != addressed.point.unit:
            value = fields.converted(value, reading.unit, addressed.point.unit)
        return time, value, quality, sequence

    # The patient path: each element by itself.

    def _patient(self, addressed: Addressed | None, message: Message, index: int, arrivals: Arrivals) -> None:
        place = self._topics.places.get(message.topic)
        if addressed is None and place is None:
            if self._sparkplug is not None and self._sparkplug.take(message, index, arrivals):
                return
            if self._mapped.take(message, index, arrivals, self._stamp):
                return
        try:
            if addressed is None and place is None:
                raise self._topics.why_unknown(message.topic)
            refuse_large(message.payload)
            elements = fields.split(message.payload)
        except NotUnderstood as why:
            arrivals.quarantine.append(Quarantined(message.topic, message.payload, why.reason, why.detail))
            return
        for payload, element in elements:
            try:
                if addressed is not None:
                    self._reading(addressed, element, index, arrivals)
                elif place is not None:
                    self._state(place, element, index, arrivals)
            except NotUnderstood as why:
                arrivals.quarantine.append(Quarantined(message.topic, payload, why.reason, why.detail))

    def _reading(self, addressed: Addressed, element: object, index: int, arrivals: Arrivals) -> None:
        found = fields.fields_of(element, READING_KEYS, arrivals.ignored_keys)
        self._refuse_simulated(found)
        time = self._time(found)
        if time >= addressed.retired_ns:
            raise NotUnderstood(Reason.POINT_UNKNOWN, f"{addressed.point.id} was retired before the time of this reading")
        quality = _quality(found)
        sequence = fields.sequence(found.get("seq"))
        row = len(arrivals.point)
        value, raw = _value(found, addressed.point.unit, row)
        if raw is not None:
            arrivals.raw.append(raw)
        arrivals.add(addressed.number, time, value, quality, sequence, index)

    def _state(self, place: str, element: object, index: int, arrivals: Arrivals) -> None:
        found = fields.fields_of(element, STATE_KEYS, arrivals.ignored_keys)
        self._refuse_simulated(found)
        time = self._time(found)
        state = found.get("state")
        if not isinstance(state, str) or state not in OCCUPANCIES:
            raise NotUnderstood(Reason.STATE_UNKNOWN, f"state is {state!r}; allowed: {', '.join(OCCUPANCIES)}")
        arrivals.states.append(StateArrival(place, time, str(state), index))

    def _refuse_simulated(self, found: Fields) -> None:
        if "origin" in found and not self._accept_simulated:
            raise NotUnderstood(Reason.SIMULATED, f"origin {found['origin']!r}: this service takes nothing that is simulated or replayed")

    def _time(self, found: Fields) -> int:
        time = found.get("time")
        if time is None:
            raise NotUnderstood(Reason.TIME_MISSING, "no time")
        number = fields.integer(time)
        if number is None and (isinstance(time, fields.Number) or not isinstance(time, str)):
            shown = time if isinstance(time, str) else repr(time)
            raise NotUnderstood(Reason.TIME_INVALID, f"time is {shown}, neither a text nor an epoch number")
        try:
            return self._instants.of(str(time) if number is None else number)
        except ValueError as error:
            raise NotUnderstood(Reason.TIME_INVALID, f"time must be {error}") from None


def _quotes(reading: _Plain) -> int:
    return (
        4
        + 2 * (type(reading.time) is str)
        + 4 * ((reading.unit is not None) + (reading.quality is not None) + (reading.origin is not None))
        + 2 * (reading.seq is not None)
    )


def _quality(found: Fields) -> int:
    text = found.get("quality")
    if text is not None and not isinstance(text, str):
        text = repr(text)
    quality = _QUALITY.get(text)
    if quality is None or isinstance(text, fields.Number):
        raise NotUnderstood(Reason.QUALITY_UNKNOWN, f"quality is {text!r}; allowed: good, uncertain, bad")
    return quality


def _value(found: Fields, unit: str, row: int) -> tuple[float, Raw | None]:
    """The value in `unit`, and what was received where the value alone does not say it."""
    sent_unit = found.get("unit") or ""
    if not isinstance(sent_unit, str) or isinstance(sent_unit, fields.Number):
        raise NotUnderstood(Reason.UNIT_UNKNOWN, f"unit is {sent_unit!r}, not a text")
    counted = found.get("count") is not None or found.get("volume_l") is not None
    if "value" not in found:
        return _count(found, unit, sent_unit, row)
    number, received = fields.number("value", found["value"])
    value = fields.converted(number, sent_unit, unit) if sent_unit and sent_unit != unit else number
    if not counted:
        plain = received == number and sent_unit in ("", unit)
        return value, None if plain else Raw(row, received, sent_unit)
    count, volume_l = (_optional(name, found.get(name)) for name in ("count", "volume_l"))
    return value, Raw(row, received, sent_unit, count, volume_l)


def _count(found: Fields, unit: str, sent_unit: str, row: int) -> tuple[float, Raw]:
    """Particles per m3 from a count in a volume, in the point's unit. A unit that came with it is kept; the volume needs none."""
    if "count" not in found or "volume_l" not in found:
        raise NotUnderstood(Reason.VALUE_MISSING, "neither value nor count with volume_l")
    count, _ = fields.number("count", found["count"])
    volume_l, _ = fields.number("volume_l", found["volume_l"])
    if volume_l <= 0.0:
        raise NotUnderstood(Reason.VALUE_INVALID, f"volume_l is {volume_l}; it must be above 0")
    value = fields.converted(count * _LITRES_PER_M3 / volume_l, COUNT_UNIT, unit)
    return value, Raw(row, None, sent_unit, count, volume_l)


def _optional(name: str, found: object) -> float | None:
    return None if found is None else fields.number(name, found)[0]
