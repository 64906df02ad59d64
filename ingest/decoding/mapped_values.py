"""What stands in a foreign payload, as time, value, quality and unit: what a mapping says of them, carried out."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import lcm

from facility.sources.json import Clock, MappedReading, QualityMap, Target
from facility.sources.json_sections import scalar_text
from facility.sources.paths import ABSENT, JsonPath
from facility.times import epoch_ns, parse_time
from facility.units import Conversion
from ingest.arrivals import Raw, Reason
from ingest.decoding import fields
from ingest.decoding.instant import Instants
from ingest.decoding.topics import NotUnderstood

Stamp = Callable[[], int]
"""The next time of reception, int ns UTC: each is later than the one before, so that two readings never share one."""
EPOCH_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_NUMERIC = re.compile(r"[+-]?\d{1,25}(\.\d{1,25})?", re.ASCII)
_BAD = 2
_OPC_DA = {0b11: 0, 0b01: 1, 0b00: 2}
_OPC_UA = {0b00: 0, 0b01: 1, 0b10: 2, 0b11: 2}


def text_of(found: object) -> str | None:
    """A scalar as mappings write it (5.0 is 5), None for anything else."""
    if isinstance(found, fields.Number):
        return scalar_text(float(found)) if len(found) < 16 else str(found)
    if isinstance(found, bool):
        return scalar_text(found)
    return found if isinstance(found, str) else None


def same(found: object, texts: frozenset[str] | dict[str, int]) -> bool:
    """Whether a scalar is one of those that a mapping lists."""
    text = text_of(found)
    return text is not None and text in texts


# Time


def time_of(clock: Clock, message: object, element: object, stamp: Stamp | None, instants: Instants) -> int:
    """Int ns UTC; that of reception where none was sent and the mapping says so; `stamp` is None where that says nothing."""
    for path in clock.paths:
        found = path.find(message, element)
        if found is not ABSENT and found is not None:
            return _instant(clock, path, found, instants)
    if not clock.received:
        raise NotUnderstood(Reason.TIME_MISSING, f"no time at {' or '.join(path.text for path in clock.paths)}")
    if stamp is None:
        raise NotUnderstood(Reason.TIME_MISSING, "a retained message without a time: how long the broker has kept it is not known")
    return stamp()


def _instant(clock: Clock, path: JsonPath, found: object, instants: Instants) -> int:
    if not isinstance(found, str):
        raise NotUnderstood(Reason.TIME_INVALID, f"{path.text} is {fields.kind(found)}, no time")
    try:
        if clock.format in ("auto", "epoch") and (isinstance(found, fields.Number) or _NUMERIC.fullmatch(found)):
            return _epoch(found, clock.unit)
        if isinstance(found, fields.Number) or clock.format == "epoch":
            raise ValueError(f"in the format {clock.format}, not {found}")
        if "%" in clock.format:
            return _by_pattern(found, clock)
        return instants.of(found) if clock.zone is None else parse_time(found, clock.zone)
    except ValueError as error:
        raise NotUnderstood(Reason.TIME_INVALID, f"{path.text} must be {error}") from None


def _epoch(text: str, unit: str | None) -> int:
    if not _NUMERIC.fullmatch(text):
        raise ValueError(f"a plain number of seconds, ms, µs or ns since 1970, not {text[:40]}")
    number = Decimal(text)
    if unit is None:
        return epoch_ns(number)
    time = int(number * EPOCH_NS[unit])
    if abs(time) >= 2**63:
        raise ValueError(f"a time in the years 1678 to 2261, not {text} {unit}")
    return time


def _by_pattern(text: str, clock: Clock) -> int:
    try:
        moment = datetime.strptime(text, clock.format)
    except (ValueError, OverflowError):
        raise ValueError(f"in the format {clock.format}, not {text[:60]!r}") from None
    if moment.tzinfo is None:
        return parse_time(moment.isoformat(), clock.zone)
    passed = moment - datetime(1970, 1, 1, tzinfo=timezone(timedelta(0)))
    time = (passed // timedelta(microseconds=1)) * 1000
    if abs(time) >= 2**63:
        raise ValueError(f"a time in the years 1678 to 2261, not {text[:60]!r}")
    return time


# Quality


def quality_of(quality: QualityMap | None, message: object, element: object) -> int:
    """0 good, 1 uncertain, 2 bad."""
    if quality is None:
        return 0
    found = quality.path.find(message, element)
    if found is ABSENT or found is None:
        if quality.missing is None:
            raise NotUnderstood(Reason.QUALITY_UNKNOWN, f"nothing at {quality.path.text}, and the mapping does not say what that means")
        return quality.missing
    text = text_of(found)
    code = quality.by_text.get(text) if text is not None else None
    if code is None and quality.codes is not None and text is not None:
        code = _coded(text, quality)
    if code is None:
        code = quality.otherwise
    if code is None:
        shown = fields.kind(found) if text is None else repr(text)
        raise NotUnderstood(Reason.QUALITY_UNKNOWN, f"{quality.path.text} is {shown}, which the mapping does not know")
    return code


def _coded(text: str, quality: QualityMap) -> int | None:
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        return None
    number = int(text)
    if quality.codes == "bits":
        return _BAD if number & ~quality.ignored_bits else 0
    if quality.codes == "opc_da":
        return _OPC_DA.get(number >> 6 & 0b11)  # OPC DA 3.0, 6.8: bits 6 and 7; 0b10 is not used
    return _OPC_UA[number >> 30 & 0b11] if number < 1 << 32 else None  # OPC UA part 4, 7.39: the two highest of 32


# Value


def value_of(own: MappedReading, target: Target, unit: str, message: object, element: object, row: int) -> tuple[float, bool, Raw | None]:
    """The value in `unit`, whether it is one that means a fault, and what was received where the value does not say it."""
    if own.count is not None:
        value, raw = _counted(own, unit, message, element, row)
        return value, False, raw
    assert own.value is not None
    found = own.value.find(message, element)
    number, received = _number(own, found)
    scaling = _scaling(own.scale if target.scale is None else target.scale, own.offset if target.offset is None else target.offset)
    sent_unit = _unit(own.unit if target.unit is None else target.unit, message, element)
    value = scaling.of(number)
    if sent_unit and sent_unit != unit:
        value = fields.converted(value, sent_unit, unit)
    plain = received == number and value == number and sent_unit in ("", unit)
    return value, same(found, own.bad_values), None if plain else Raw(row, received, sent_unit)


def _number(own: MappedReading, found: object) -> tuple[float, float | str | None]:
    assert own.value is not None
    if found is ABSENT:
        raise NotUnderstood(Reason.VALUE_MISSING, f"nothing at {own.value.text}")
    if not own.values or found is None:
        return fields.number(own.value.text, found)
    text = text_of(found)
    if text is None or text not in own.values:
        shown = fields.kind(found) if text is None else repr(text)
        raise NotUnderstood(Reason.VALUE_INVALID, f"{own.value.text} is {shown}; the mapping knows {', '.join(own.values)}")
    return own.values[text], str(found) if isinstance(found, str) else text


def _counted(own: MappedReading, unit: str, message: object, element: object, row: int) -> tuple[float, Raw]:
    """Particles per m3 from a count in a volume, in the point's unit."""
    assert own.count is not None
    found = own.count.find(message, element)
    if found is ABSENT:
        raise NotUnderstood(Reason.VALUE_MISSING, f"nothing at {own.count.text}")
    count, _ = fields.number(own.count.text, found)
    if isinstance(own.volume, JsonPath):
        sampled = own.volume.find(message, element)
        if sampled is ABSENT:
            raise NotUnderstood(Reason.VALUE_MISSING, f"a count, but no volume at {own.volume.text}")
        volume, _ = fields.number(own.volume.text, sampled)
    else:
        assert own.volume is not None
        volume = own.volume
    volume_l = fields.converted(volume, own.volume_unit, "L")
    if not volume_l > 0.0:
        raise NotUnderstood(Reason.VALUE_INVALID, f"the volume is {volume}; it must be above 0")
    return fields.converted(count * 1000.0 / volume_l, "1/m3", unit), Raw(row, None, "", count, volume_l)


def _unit(unit: JsonPath | str | None, message: object, element: object) -> str:
    """The unit that was sent, empty for the point's own."""
    if not isinstance(unit, JsonPath):
        return unit or ""
    found = unit.find(message, element)
    if found is ABSENT or found is None:
        return ""
    if not isinstance(found, str) or isinstance(found, fields.Number):
        raise NotUnderstood(Reason.UNIT_UNKNOWN, f"{unit.text} is {fields.kind(found)}, not a text")
    return found


@lru_cache(maxsize=1024)
def _scaling(scale: float, offset: float) -> Conversion:
    """number × scale + offset as one fraction of whole numbers where these are decimals: 208 × 0.1 is 20.8, not 20.800000000000001."""
    times, plus = Fraction(repr(scale)), Fraction(repr(offset))
    divisor = lcm(times.denominator, plus.denominator)
    parts = (times * divisor, plus * divisor, Fraction(divisor))
    if any(abs(part) >= fields.EXACT for part in parts):
        return Conversion(scale, offset, 1.0)
    return Conversion(*(float(part) for part in parts))
