"""The quantities that are known, and the units that fit them."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from facility.units import dimension, units_of


@dataclass(frozen=True, slots=True)
class Quantity:
    """A measurable quantity: its first unit is the one that shipped limit tables use."""

    name: str
    units: tuple[str, ...]

    @property
    def unit(self) -> str:
        return self.units[0]


def _of(name: str, *dimensions: str) -> Quantity:
    return Quantity(name, tuple(unit for dimension in dimensions for unit in units_of(dimension)))


QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        _of("particles_0_5um", "number concentration"),
        _of("particles_5_0um", "number concentration"),
        _of("temperature", "temperature"),
        _of("relative_humidity", "ratio"),
        _of("differential_pressure", "pressure"),
        _of("air_velocity", "speed"),
        _of("co2", "ratio"),
        _of("oxygen", "ratio"),
        _of("level", "ratio", "length", "volume"),
        Quantity("door", ("1",)),
    )
}
"""By name; particles are cumulative counts per volume, a door is 1 when open."""


def fitting_units(quantity: str, declared: str | None = None) -> tuple[str, ...] | None:
    """The units that fit a quantity, None when any does: a quantity of the site's own without a unit known here.

    `declared` is the unit that the site gave its own quantity.
    """
    known = QUANTITIES.get(quantity)
    if known is not None:
        return known.units
    if declared is None:
        return None
    measured = dimension(declared)
    return (declared,) if measured is None else units_of(measured)


@lru_cache(1024)
def near_quantity(name: str) -> str | None:
    """The known quantity that a name is so close to that it looks misspelt."""
    return next(iter(get_close_matches(name, QUANTITIES, 1, 0.85)), None)
