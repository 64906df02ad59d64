"""facility/times.py: times as people and instruments write them."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facility.times import epoch_ns, format_time, parse_time

STOCKHOLM = ZoneInfo("Europe/Stockholm")


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01T00:00:00.9999999999999Z", 999_999_999),
        ("1970-01-01t01:00:00+01:00", 0),
        ("1969-12-31 23:59:59.5z", -500_000_000),
        ("1970-01-01T00:00:00,25Z", 250_000_000),
        ("2024-02-29T12:00:00Z", 1_709_208_000_000_000_000),
    ],
)
def test_a_time_is_read_to_the_nanosecond(text: str, ns: int) -> None:
    assert parse_time(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T24:00:00Z", "2026-11-21T23:59:60Z", "2026-02-30T00:00:00Z", "2026-11-21", "2026-11-21T07:41Z", "", "now",
        "2026-11-21T07:41:10", "2026-11-21T07:41:10+24:00", "2026-11-21T07:41:10+01:60", "0001-01-01T00:00:00Z", "9999-01-01T00:00:00Z",
        "٢٠٢٦-11-21T07:41:10Z", "2026-11-21T07:41:10Z ",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not "):
        parse_time(text)


def test_a_time_without_offset_is_the_sites() -> None:
    assert format_time(parse_time("2026-07-01T12:00:00", STOCKHOLM)) == "2026-07-01T10:00:00Z"
    assert format_time(parse_time("2026-12-01T12:00:00", STOCKHOLM)) == "2026-12-01T11:00:00Z"
    assert parse_time("2026-07-01T12:00:00Z", STOCKHOLM) == parse_time("2026-07-01T12:00:00Z")


@pytest.mark.parametrize(("text", "happens"), [("2026-10-25T02:30:00", "twice"), ("2026-03-29T02:30:00", "never")])
def test_a_local_time_that_is_not_one_moment_is_refused(text: str, happens: str) -> None:
    with pytest.raises(ValueError, match=happens):
        parse_time(text, STOCKHOLM)


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_every_moment_survives_its_text(ns: int) -> None:
    assert parse_time(format_time(ns)) == ns


@pytest.mark.parametrize(
    ("number", "ns"),
    [
        (0, 0),
        (1_740_901_268, 1_740_901_268 * 10**9),
        (1740901268.1, 1_740_901_268_100_000_000),
        (1_740_901_268_123, 1_740_901_268_123_000_000),
        (1_740_901_268_123_456, 1_740_901_268_123_456_000),
        (1_740_901_268_123_456_789, 1_740_901_268_123_456_789),
        (-1, -(10**9)),
        (10**11 - 1, (10**11 - 1) * 10**9 if (10**11 - 1) * 10**9 < 2**63 else None),
        (10**11, 10**17),
    ],
)
def test_an_epoch_time_tells_its_unit_by_its_size(number: float, ns: int | None) -> None:
    if ns is None:
        with pytest.raises(ValueError, match="years"):
            epoch_ns(number)
    else:
        assert epoch_ns(number) == ns


@pytest.mark.parametrize("number", [float("nan"), float("inf"), True, 2**63, 1e300])
def test_what_is_no_epoch_time_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="not "):
        epoch_ns(number)
