"""Units of measurement and how to get from one to another."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from math import gcd
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Value = TypeVar("Value", float, NDArray[np.float64])


class UnknownUnit(ValueError):
    """A unit that is not known, or that does not measure the same thing."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """`value * multiplier / divisor + addend / divisor` in float64, in an order that keeps exact what can be exact."""

    multiplier: float = 1.0
    addend: float = 0.0
    divisor: float = 1.0

    @property
    def scale(self) -> float:
        return self.multiplier / self.divisor

    @property
    def offset(self) -> float:
        return self.addend / self.divisor

    def of(self, value: Value) -> Value:
        """The value, or float64 array, in the other unit; unchanged to the last bit when the units are the same."""
        if not self.addend and self.multiplier == self.divisor:
            return value
        return (value * self.multiplier + self.addend) / self.divisor


@dataclass(frozen=True, slots=True)
class _Unit:
    """A unit as `(value * up + shift) / down` of its dimension's base unit, in whole numbers."""

    dimension: str
    up: int = 1
    down: int = 1
    shift: int = 0


_FOOT3_E12 = 28_316_846_592  # a cubic foot is exactly 0.028316846592 m3
_UNITS = {
    # number concentration, base 1/m3
    "1/m3": _Unit("number concentration"),
    "1/L": _Unit("number concentration", up=1000),
    "1/ft3": _Unit("number concentration", up=10**12, down=_FOOT3_E12),
    # temperature, base degC
    "degC": _Unit("temperature"),
    "K": _Unit("temperature", up=100, down=100, shift=-27_315),
    "degF": _Unit("temperature", up=5, down=9, shift=-160),
    # pressure, base Pa
    "Pa": _Unit("pressure"),
    "hPa": _Unit("pressure", up=100),
    "kPa": _Unit("pressure", up=1000),
    "mbar": _Unit("pressure", up=100),
    "bar": _Unit("pressure", up=100_000),
    "mmH2O": _Unit("pressure", up=980_665, down=100_000),
    "inH2O": _Unit("pressure", up=24_908_891, down=100_000),
    "mmHg": _Unit("pressure", up=133_322_387_415, down=10**9),
    "psi": _Unit("pressure", up=6_894_757_293_168, down=10**9),
    # ratio, base %
    "%": _Unit("ratio"),
    "1": _Unit("ratio", up=100),
    "ppm": _Unit("ratio", down=10_000),
    # speed, base m/s
    "m/s": _Unit("speed"),
    "cm/s": _Unit("speed", down=100),
    "km/h": _Unit("speed", up=10, down=36),
    "ft/min": _Unit("speed", up=508, down=100_000),
    # length, base m
    "m": _Unit("length"),
    "cm": _Unit("length", down=100),
    "mm": _Unit("length", down=1000),
    "um": _Unit("length", down=10**6),
    # volume, base L
    "L": _Unit("volume"),
    "mL": _Unit("volume", down=1000),
    "m3": _Unit("volume", up=1000),
    "ft3": _Unit("volume", up=_FOOT3_E12, down=10**9),
    # flow, base m3/h
    "m3/h": _Unit("flow"),
    "m3/s": _Unit("flow", up=3600),
    "L/min": _Unit("flow", up=6, down=100),
    "L/s": _Unit("flow", up=36, down=10),
    # span of time, base s
    "s": _Unit("time"),
    "ms": _Unit("time", down=1000),
    "min": _Unit("time", up=60),
    "h": _Unit("time", up=3600),
    # electricity, base the unit itself
    "V": _Unit("voltage"),
    "mV": _Unit("voltage", down=1000),
    "A": _Unit("current"),
    "mA": _Unit("current", down=1000),
    "W": _Unit("power"),
    "kW": _Unit("power", up=1000),
    "Hz": _Unit("frequency"),
    "lx": _Unit("illuminance"),
}  # fmt: skip
_SPELLINGS = {
    "#/m3": "1/m3", "/m3": "1/m3", "1/m³": "1/m3", "m-3": "1/m3", "particles/m3": "1/m3", "counts/m3": "1/m3",
    "#/L": "1/L", "/L": "1/L", "1/l": "1/L", "particles/L": "1/L",
    "#/ft3": "1/ft3", "/ft3": "1/ft3", "1/ft³": "1/ft3", "particles/ft3": "1/ft3", "counts/ft3": "1/ft3",
    "°C": "degC", "C": "degC", "Cel": "degC", "celsius": "degC", "°F": "degF", "F": "degF", "fahrenheit": "degF", "kelvin": "K",
    "pa": "Pa", "pascal": "Pa", "inWC": "inH2O", "inwg": "inH2O", "mmWC": "mmH2O",
    "%RH": "%", "%rH": "%", "% RH": "%", "%rh": "%", "percent": "%", "%vol": "%", "vol%": "%",
    "": "1", "bool": "1", "state": "1", "fpm": "ft/min", "µm": "um", "μm": "um", "l": "L", "ml": "mL", "m³": "m3", "m³/h": "m3/h",
    "l/min": "L/min", "l/s": "L/s",
}  # fmt: skip


def unit_name(text: str) -> str:
    """The one spelling of a unit: `°C` is `degC`; an unknown unit is left as it is."""
    return _SPELLINGS.get(text.strip(), text.strip())


def dimension(unit: str) -> str | None:
    """What a unit measures, None when the unit is not known."""
    known = _UNITS.get(unit_name(unit))
    return None if known is None else known.dimension


def units_of(dimension: str) -> tuple[str, ...]:
    """The known units of a dimension, its base unit first."""
    return tuple(name for name, unit in _UNITS.items() if unit.dimension == dimension)


@lru_cache(maxsize=1024)
def conversion(source: str, target: str) -> Conversion:
    """How to get from one unit to another; raises UnknownUnit, which says what is allowed.

    >>> conversion("degF", "degC").of(212.0)
    100.0
    """
    source_name, target_name = unit_name(source), unit_name(target)
    if source_name == target_name:
        return Conversion()
    from_, to = _UNITS.get(source_name), _UNITS.get(target_name)
    if to is None:
        raise UnknownUnit(f"{target}, and nothing else: it is not a unit with known conversions")
    if from_ is None or from_.dimension != to.dimension:
        allowed = ", ".join(units_of(to.dimension))
        near = get_close_matches(source_name, units_of(to.dimension), 1)
        raise UnknownUnit(f"a unit of {to.dimension}: {allowed}" + (f" (did you mean {near[0]}?)" if near else ""))
    # base = (v * f.up + f.shift) / f.down and target = (base * t.down - t.shift) / t.up, brought to one fraction
    multiplier = from_.up * to.down
    addend = from_.shift * to.down - to.shift * from_.down
    divisor = from_.down * to.up
    common = gcd(multiplier, addend, divisor)
    return Conversion(multiplier / common, addend / common, divisor / common)
