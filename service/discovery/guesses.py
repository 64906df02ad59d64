"""Guesses from names and values: what a point measures, where the time stands. Every guess is marked as one for a person to confirm."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from facility.quantities import QUANTITIES, fitting_units
from facility.sections import is_id
from facility.times import epoch_ns
from facility.units import dimension, unit_name
from ingest.decoding import fields
from ingest.decoding.instant import Instants

_BY_NAME = (
    (r"(p|cnt|pc|n)?_?(0[._]?5)(_?um)?|p05", "particles_0_5um", "1/m3"),
    (r"(p|cnt|pc|n)?_?(5[._]?0)(_?um)?|p50|5", "particles_5_0um", "1/m3"),
    (r"t|tmp|temp(erature)?|.*temp(erature)?", "temperature", "degC"),
    (r"rh|hum(idity)?|.*humidity", "relative_humidity", "%"),
    (r"dp|pd|press(ure)?|diff.*|.*pressure", "differential_pressure", "Pa"),
    (r"vel(ocity)?|air_?(flow|velocity|speed)", "air_velocity", "m/s"),
    (r"co2.*", "co2", "%"),
    (r"o2.*|oxygen", "oxygen", "%"),
    (r"level.*|lvl|.*_level", "level", "%"),
    (r"door|open|.*_door", "door", "1"),
)
_BY_DIMENSION = {
    "temperature": "temperature", "pressure": "differential_pressure", "speed": "air_velocity", "ratio": "relative_humidity",
    "number concentration": "particles_0_5um",
}  # fmt: skip
TIMES = re.compile(r"t|ts|time|timestamp|date(time)?|(sampled|measured|received|created)_?(at|on)|utc", re.IGNORECASE)
SEQUENCES = re.compile(r"seq(uence)?(_?n(o|um(ber)?))?|f_?cnt|counter|msg_?(id|no)", re.IGNORECASE)
QUALITIES = re.compile(r"q|qual(ity)?|status(_?(bits|code))?|state|ok|valid|good", re.IGNORECASE)
UNITS = re.compile(r"units?|uom|.+_units?", re.IGNORECASE)
NAMES = re.compile(r"id|name|tag|key|device(_?(id|name|eui))?|dev_?eui|sensor(_?(id|name))?|point|um|size|channel", re.IGNORECASE)
ASIDE = re.compile(
    r"batt(ery)?.*|rssi|snr|lo?ra.*|fw|firmware|version|volume(_?l)?|flow.*|sample.*|duration.*|lat|lon|alt|uptime|port|f_?port|rev",
    re.IGNORECASE,
)
"""What instruments send beside readings."""
LONGEST = 100
"""Characters of a name; a longer one is no name."""
_NICE_S = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600)
_EARLIEST_NS, _LATEST_NS = 946_684_800 * 10**9, 4_102_444_800 * 10**9  # the years 2000 to 2100


@dataclass(frozen=True, slots=True)
class Guess:
    """What a point seems to measure; `declared` when the quantity is one that the site has to declare with its unit."""

    quantity: str
    unit: str
    declared: bool = False


def measured(name: str, unit: str = "") -> Guess:
    """What a value of this name, in this unit where one was sent, seems to measure."""
    known = unit_name(unit) if unit and dimension(unit) is not None else ""
    last = name.lower().split()[-1:]
    for part in [*last, *reversed(re.split(r"[.\s/:-]+", name.lower()))]:
        for pattern, quantity, usual in _BY_NAME:
            if re.fullmatch(pattern, part) and (not known or known in QUANTITIES[quantity].units):
                return Guess(quantity, known or usual)
    likely = _BY_DIMENSION.get(dimension(known) or "") if known else None
    if likely is not None:
        return Guess(likely, known)
    slug = re.sub(r"[^a-z0-9]+", "_", re.split(r"[.\s/:]+", name.lower())[-1]).strip("_")
    slug = slug if slug[:1].isalpha() else f"quantity_{slug}".rstrip("_")
    if fitting_units(slug) is not None:
        return Guess(slug, QUANTITIES[slug].unit)
    return Guess(slug, known or "1", declared=True)


def period(interval_s: float | None) -> str:
    """How often a point seems to report, as a duration."""
    if interval_s is None:
        return "60s"
    seconds = min(_NICE_S, key=lambda nice: abs(nice - interval_s) / nice)
    return f"{seconds}s" if seconds % 60 else f"{seconds // 60}m" if seconds % 3600 else f"{seconds // 3600}h"


def point_id(name: str) -> str:
    """An id made of a foreign name."""
    text = re.sub(r"[\s/+#*?\[\]$\x00-\x1f\x7f]+", ".", name).strip(".")[:LONGEST]
    return text if is_id(text) else f"{text or 'unnamed'}.1"


def is_time(value: object) -> bool:
    """Whether a value can be a time of our days."""
    try:
        if isinstance(value, fields.Number):
            number = fields.integer(value)
            return number is not None and _EARLIEST_NS < epoch_ns(number) < _LATEST_NS
        return isinstance(value, str) and _EARLIEST_NS < Instants().of(value) < _LATEST_NS
    except ValueError:
        return False


def member(path: str, name: str) -> str:
    """The path of an object's member; empty where no path in a template can say it."""
    if not name or len(name) > LONGEST or re.search(r"['{}]", name):
        return ""
    return f"{path}.{name}" if re.fullmatch(r"""[^\s.*\[\]"]+""", name) else f"{path or '@'}['{name}']"


def leaves(value: object, path: str) -> Iterator[tuple[str, str, object]]:
    """Path, name and value of everything in nested objects that is no object and no array, in their order."""
    if not isinstance(value, dict):
        return
    for name, item in value.items():
        place = member(path, name)
        if not place:
            continue
        if isinstance(item, dict):
            yield from leaves(item, place)
        elif not isinstance(item, list):
            yield place, name, item


def first(found: Iterable[tuple[str, str, object]], pattern: re.Pattern[str]) -> tuple[str, str, object] | None:
    """The first leaf whose name matches; one that is called a name before others."""
    matching = [leaf for leaf in found if pattern.fullmatch(leaf[1])]
    return next((leaf for leaf in matching if "name" in leaf[1].lower()), matching[0] if matching else None)
