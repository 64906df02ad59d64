"""facility/units.py and quantities.py: conversion, and what fits what."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facility.quantities import QUANTITIES, fitting_units, near_quantity
from facility.units import _UNITS, UnknownUnit, conversion, dimension, unit_name, units_of

FINITE = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("source", "target", "value", "expected"),
    [
        ("degF", "degC", 212.0, 100.0),
        ("K", "degC", 273.15, 0.0),
        ("degC", "K", 0.0, 273.15),
        ("mbar", "Pa", 0.146, 14.6),
        ("kPa", "Pa", 0.0125, 12.5),
        ("1/ft3", "1/m3", 1.0, 35.31466672148859),
        ("1/L", "1/m3", 3.52, 3520.0),
        ("ppm", "%", 50_000.0, 5.0),
        ("1", "%", 0.45, 45.0),
        ("ft/min", "m/s", 100.0, 0.508),
        ("°C", "degC", 21.5, 21.5),
        ("%RH", "%", 41.2, 41.2),
    ],
)
def test_known_conversions(source: str, target: str, value: float, expected: float) -> None:
    assert conversion(source, target).of(value) == pytest.approx(expected, rel=1e-15)


@given(FINITE, st.sampled_from([(a, b) for a in _UNITS for b in units_of(dimension(a) or "")]))
def test_there_and_back_is_the_same(value: float, units: tuple[str, str]) -> None:
    there, back = conversion(*units), conversion(*reversed(units))
    assert back.of(there.of(value)) == pytest.approx(value, rel=1e-12, abs=1e-9)


@given(st.floats(allow_nan=False))
def test_the_same_unit_changes_no_bit(value: float) -> None:
    kept = conversion("Pa", "Pa").of(value)
    assert kept == value
    assert math.copysign(1, kept) == math.copysign(1, value)


def test_columns_convert_like_single_values() -> None:
    values = np.array([0.146, 21.3, -5.0])
    to = conversion("mbar", "Pa")
    assert to.of(values).tolist() == [to.of(float(value)) for value in values]


@pytest.mark.parametrize(("source", "target"), [("degC", "Pa"), ("Pascals", "Pa"), ("furlong", "cubit")])
def test_what_does_not_convert_says_what_does(source: str, target: str) -> None:
    with pytest.raises(UnknownUnit) as refused:
        conversion(source, target)
    assert target in str(refused.value)


def test_an_unknown_unit_is_itself() -> None:
    assert conversion("NTU", "NTU").of(3.0) == 3.0
    assert unit_name(" NTU ") == "NTU"


def test_every_quantity_has_units_that_convert() -> None:
    for quantity in QUANTITIES.values():
        assert quantity.unit == quantity.units[0]
        assert all(dimension(unit) for unit in quantity.units)
    assert fitting_units("temperature") == ("degC", "K", "degF")
    assert fitting_units("turbidity") is None
    assert fitting_units("turbidity", "NTU") == ("NTU",)
    assert fitting_units("lift", "mm") == ("m", "cm", "mm", "um")


def test_a_misspelt_quantity_is_recognised() -> None:
    assert near_quantity("temperatur") == "temperature"
    assert near_quantity("power") is None
