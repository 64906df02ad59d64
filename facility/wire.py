"""The wire format for those who publish: topics, and payloads as the service reads them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from facility.site import Point
from facility.times import format_time

_JSON = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Published:
    """One reading as it is published: `time` int ns UTC, `value` in `unit` (empty: the point's own).

    A value that is nan is sent as null, an infinity as text. A particle counter may give `count` and `volume_l` and no value. `origin`
    names the simulator or replay that made it up.
    """

    time: int
    value: float | bool | None = None
    unit: str = ""
    quality: str = ""
    sequence: int = -1
    count: float | None = None
    volume_l: float | None = None
    origin: str = ""


def topic_of(site: str, point: Point) -> str:
    """The topic of a point's readings: `renrum/<site>/<room>/<point>`."""
    return f"renrum/{site}/{point.room}/{point.id}"


def occupancy_topic(site: str, place: str) -> str:
    """The topic of a room's or zone's occupancy; publish it retained, so that who comes later knows the state."""
    return f"renrum/{site}/{place}/occupancy"


def encode_reading(reading: Published) -> bytes:
    """The payload of one reading.

    >>> encode_reading(Published(1795246870250000000, 14.6, unit="Pa", sequence=5123))
    b'{"time":"2026-11-21T07:41:10.25Z","value":14.6,"unit":"Pa","seq":5123}'
    """
    return _JSON.encode(_fields(reading))


def encode_readings(readings: Iterable[Published]) -> bytes:
    """The payload of several readings of one point, in the order given."""
    return _JSON.encode([_fields(reading) for reading in readings])


def encode_state(time: int, state: str, origin: str = "") -> bytes:
    """The payload of an occupancy that holds from `time` (int ns UTC) on."""
    fields = {"time": format_time(time), "state": state}
    return _JSON.encode(fields | {"origin": origin} if origin else fields)


def _fields(reading: Published) -> dict[str, object]:
    fields: dict[str, object] = {"time": format_time(reading.time)}
    if reading.count is None:
        fields["value"] = _json_number(reading.value)
    else:
        fields |= {"count": reading.count, "volume_l": reading.volume_l}
    optional = {"unit": reading.unit, "quality": reading.quality, "origin": reading.origin}
    fields |= {name: text for name, text in optional.items() if text}
    if reading.sequence >= 0:
        fields["seq"] = reading.sequence
    return fields


def _json_number(value: float | None) -> float | str | None:
    """JSON knows neither; null is no number at all, so an infinity keeps its sign as text."""
    if value is None or math.isnan(value):
        return None
    return value if math.isfinite(value) else repr(value)
