"""What a metric says: its value by datatype, its time, its quality, its unit; and why not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from facility.times import format_time
from ingest.arrivals import Raw, Reason
from ingest.decoding import fields
from ingest.decoding.topics import Addressed, NotUnderstood
from ingest.sparkplug.payload import Datatype, Metric, Payload

MS_NS = 1_000_000
UNIT_PROPERTIES = ("engUnit", "Engineering Units", "engineering_units", "EngUnit")
"""Names under which gateways send the engineering unit; the specification gives none."""
_LAST_MS = (2**63 - 1) // MS_NS
_QUALITY = {192: 0, 0: 2, 500: 2}
"""GOOD; BAD; STALE, which is no measurement of now."""
_WIDTH = {
    Datatype.INT8: (8, True), Datatype.INT16: (16, True), Datatype.INT32: (32, True), Datatype.INT64: (64, True),
    Datatype.UINT8: (8, False), Datatype.UINT16: (16, False), Datatype.UINT32: (32, False), Datatype.UINT64: (64, False),
    Datatype.DATETIME: (64, False),
}  # fmt: skip
_CARRIERS = {"int_value": 32, "long_value": 64}


@dataclass(frozen=True, slots=True)
class Definition:
    """What a birth says of a metric, and the point it reports (None: nobody's).

    `unit` is what is sent, empty for the point's own; `why` refuses every value of it.
    """

    name: str
    datatype: int
    addressed: Addressed | None = None
    unit: str = ""
    why: tuple[Reason, str] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A reading as columns, and what was received where they do not say it: `raw` has its row yet to be told."""

    number: int
    time: int
    value: float
    quality: int
    raw: Raw | None


def row_of(metric: Metric, definition: Definition, payload: Payload) -> Row:
    """The reading that a metric of ours holds; raises NotUnderstood."""
    if definition.why is not None:
        raise NotUnderstood(*definition.why)
    addressed = definition.addressed
    assert addressed is not None, "a metric of ours"
    if metric.is_transient:
        raise NotUnderstood(Reason.TRANSIENT, f"the source says that {definition.name} is not to be stored")
    if metric.HasField("datatype") and metric.datatype != definition.datatype:
        raise NotUnderstood(Reason.VALUE_INVALID, f"datatype {metric.datatype}, but it was born as {definition.datatype}")
    time = _time(metric, payload)
    if time >= addressed.retired_ns:
        raise NotUnderstood(Reason.POINT_UNKNOWN, f"{addressed.point.id} was retired before the time of this reading")
    quality = _quality(metric)
    sent, received = _value(metric, definition.datatype)
    unit = definition.unit if definition.unit != addressed.point.unit else ""
    value = fields.converted(sent, unit, addressed.point.unit) if unit else sent
    raw = None if not unit and received == sent else Raw(-1, received, unit)
    return Row(addressed.number, time, value, quality, raw)


def unit_of(metric: Metric) -> str:
    """The engineering unit among the properties, empty when there is none."""
    if not metric.HasField("properties"):
        return ""
    for key, value in zip(metric.properties.keys, metric.properties.values, strict=False):
        if key in UNIT_PROPERTIES and isinstance(value.string_value, str) and value.string_value:
            return value.string_value.strip()
    return ""


@lru_cache(maxsize=1024)  # whatever births say
def unit_fault(unit: str, target: str) -> tuple[Reason, str] | None:
    """Why a unit does not fit a point's."""
    try:
        fields.converted(0.0, unit, target)
    except NotUnderstood as why:
        return Reason(why.reason), why.detail
    return None


def _time(metric: Metric, payload: Payload) -> int:
    holder = next((holder for holder in (metric, payload) if holder.HasField("timestamp")), None)
    if holder is None:
        raise NotUnderstood(Reason.TIME_MISSING, "neither the metric nor the payload has a timestamp")
    if holder.timestamp > _LAST_MS:
        raise NotUnderstood(Reason.TIME_INVALID, f"{holder.timestamp} ms is after {format_time(_LAST_MS * MS_NS)}")
    return holder.timestamp * MS_NS


def _quality(metric: Metric) -> int:
    if not metric.HasField("properties"):
        return 0
    for key, value in zip(metric.properties.keys, metric.properties.values, strict=False):
        if key == "Quality":
            carrier = value.WhichOneof("value")
            code = value.long_value if carrier == "long_value" else value.int_value
            if carrier not in _CARRIERS or code not in _QUALITY:
                raise NotUnderstood(Reason.QUALITY_UNKNOWN, f"quality is {code if carrier in _CARRIERS else carrier}; allowed: 0, 192, 500")
            return _QUALITY[code]
    return 0


def _value(metric: Metric, datatype: int) -> tuple[float, float | str | None]:
    """The float64 of a value and what was received for it, in the manner of fields.number."""
    if metric.is_null:
        return math.nan, None
    carrier = metric.WhichOneof("value")
    if carrier is None:
        raise NotUnderstood(Reason.VALUE_MISSING, "neither a value nor is_null")
    if datatype in _WIDTH and carrier in _CARRIERS:
        return _integer(getattr(metric, carrier), _CARRIERS[carrier], *_WIDTH[Datatype(datatype)])
    if datatype in (Datatype.FLOAT, Datatype.DOUBLE) and carrier in ("float_value", "double_value"):
        value = metric.float_value if carrier == "float_value" else metric.double_value
        return value, value if math.isfinite(value) else repr(value)
    if datatype == Datatype.BOOLEAN and carrier == "boolean_value":
        value = float(metric.boolean_value)
        return value, value
    if datatype in (Datatype.STRING, Datatype.TEXT) and carrier == "string_value":
        return fields.number("value", metric.string_value)
    name = Datatype(datatype).name.lower() if datatype in set(Datatype) else f"datatype {datatype}"
    if datatype in _WIDTH or Datatype.FLOAT <= datatype <= Datatype.TEXT:
        raise NotUnderstood(Reason.VALUE_INVALID, f"born as {name}, but sent as {carrier}")
    raise NotUnderstood(Reason.DATATYPE_UNSUPPORTED, f"{name} is no number")


def _integer(sent: int, carrier: int, width: int, signed: bool) -> tuple[float, float | str]:
    """Integers travel unsigned; a negative one in two's complement of its own width or of what carries it."""
    number = sent
    if signed and width > carrier:
        raise NotUnderstood(Reason.VALUE_INVALID, f"a signed number of {width} bits in {carrier}: whether it is negative is not known")
    if signed and sent >= 2**carrier - 2 ** (width - 1):
        number = sent - 2**carrier
    elif sent >= 2**width:
        raise NotUnderstood(Reason.VALUE_INVALID, f"{sent} does not fit {width} bits")
    elif signed and sent >= 2 ** (width - 1):
        number = sent - 2**width
    value = float(number)
    return value, value if int(value) == number else str(number)
