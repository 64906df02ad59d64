"""Sparkplug B, its payloads: bytes by hand, every datatype, and whatever else may come."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.edge import BOOLEAN, DOUBLE, REBIRTH, metric, payload
from tests.support.sparkplug import MS, NUMBERS, Bench, reasons, rows


@pytest.fixture
def bench() -> Bench:
    return Bench()


# The bytes


def test_a_payload_written_by_hand() -> None:
    # timestamp 1 = 1500; metric 2: name 1 "Door", timestamp 3 = 1000, datatype 4 = 11, boolean 14 = true; seq 3 = 0
    by_hand = bytes.fromhex("08dc0b120d0a04446f6f7218e807200b70011800")
    bench = Bench()
    arrivals = bench.say("NBIRTH", by_hand)
    assert (arrivals.point, arrivals.time, arrivals.value) == ([NUMBERS["door"]], [1_000_000_000], [1.0])
    assert by_hand == payload(metric("Door", at_ms=1000, datatype=BOOLEAN, bool=True), at_ms=1500) + bytes.fromhex("1800")


def test_a_rebirth_request_is_an_ncmd_without_sequence_number() -> None:
    bench = Bench()
    [request] = [message for message in bench.host.outgoing() if "/NCMD/" in message.topic]
    at = payload(at_ms=MS)
    name = b"\x0a\x14Node Control/Rebirth"
    own = name + b"\x18" + at[1:] + b"\x20\x0b\x70\x01"
    assert (request.payload, request.qos, request.retain) == (at + b"\x12" + bytes([len(own)]) + own, 0, False)


@pytest.mark.parametrize(
    ("datatype", "value", "read"),
    [
        (1, {"int": 0xFFFFFFFE}, -2), (1, {"int": 0xFE}, -2), (1, {"int": 127}, 127),
        (2, {"int": 0xFFFF8000}, -32768), (2, {"int": 0x8000}, -32768),
        (3, {"int": 0xFFFFFFFF}, -1), (4, {"long": 2**64 - 5}, -5), (8, {"int": 7}, 7),
        (5, {"int": 255}, 255), (6, {"int": 65535}, 65535), (7, {"int": 2**32 - 1}, 2**32 - 1), (7, {"long": 2**32 - 1}, 2**32 - 1),
        (8, {"long": 2**64 - 1}, float(2**64 - 1)), (9, {"float": 0.5}, 0.5), (10, {"double": 1e-9}, 1e-9), (11, {"bool": True}, 1),
        (12, {"string": "14.60"}, 14.6), (14, {"string": "3"}, 3), (13, {"long": MS}, MS),
    ],
)  # fmt: skip
def test_values_by_datatype(bench: Bench, datatype: int, value: dict[str, Any], read: float) -> None:
    arrivals = bench.say("NBIRTH", payload(metric("Door", datatype=datatype, at_ms=MS, **value), seq=0))
    assert rows(arrivals) == [("door", 0, read, 0)]


def test_what_the_column_cannot_say_is_kept_as_sent(bench: Bench) -> None:
    arrivals = bench.say("NBIRTH", payload(metric("Door", datatype=8, at_ms=MS, long=2**64 - 1), seq=0))
    assert arrivals.raw[0].value == "18446744073709551615"
    arrivals = bench.say("NBIRTH", payload(metric("Door", datatype=12, at_ms=MS, string="14.60"), seq=0))
    assert arrivals.raw[0].value == "14.60"
    arrivals = bench.say("NBIRTH", payload(metric("Door", datatype=10, at_ms=MS, null=True), seq=0))
    assert arrivals.value[0] != arrivals.value[0]
    assert arrivals.raw[0].value is None


@pytest.mark.parametrize(
    ("piece", "reason"),
    [
        (metric("Door", datatype=16, at_ms=MS, bytes=b""), "datatype_unsupported"),
        (metric("Door", datatype=19, at_ms=MS) + struct.pack("BBB", 0x92, 1, 0), "datatype_unsupported"),
        (metric("Door", datatype=22, at_ms=MS, bytes=b"\1"), "datatype_unsupported"),
        (metric("Door", datatype=99, at_ms=MS, int=1), "datatype_unsupported"),
        (metric("Door", datatype=5, at_ms=MS, int=256), "value_invalid"),
        (metric("Door", datatype=1, at_ms=MS, int=0xFFFFFF00), "value_invalid"),
        (metric("Door", datatype=4, at_ms=MS, int=7), "value_invalid"),
        (metric("Door", datatype=9, at_ms=MS, string="1"), "value_invalid"),
        (metric("Door", datatype=12, at_ms=MS, string="open"), "value_invalid"),
        (metric("Door", datatype=12, at_ms=MS) + b"\x7a\x01\xff", "value_invalid"),
        (metric("Door", datatype=9, at_ms=MS), "value_missing"),
        (metric("Door", datatype=9, at_ms=2**63, float=1), "time_invalid"),
        (metric("Door", datatype=9, float=1), "time_missing"),
        (metric("Door", datatype=9, at_ms=MS, float=1, transient=True), "transient"),
        (metric("Door", datatype=9, at_ms=MS, float=1, props={"Quality": 64}), "quality_unknown"),
        (metric("Door", datatype=9, at_ms=MS, float=1, props={"engUnit": "furlong"}), "unit_unknown"),
        (metric("Door", datatype=9, at_ms=MS, float=1, props={"engUnit": "Pa"}), "unit_mismatch"),
        (metric("Env/co2", datatype=9, at_ms=MS, float=1), ""),
    ],
)  # fmt: skip
def test_a_metric_that_is_not_understood_goes_to_quarantine_by_itself(bench: Bench, piece: bytes, reason: str) -> None:
    arrivals = bench.say("NBIRTH", payload(piece, metric("Other", datatype=9, at_ms=MS, float=1), seq=0))
    assert reasons(arrivals) == ([reason] if reason else [])
    assert rows(arrivals) == []
    assert arrivals.ignored_keys == {"Other": 1} | ({} if reason else {"Env/co2": 1})


def test_quality_is_what_opc_codes_say(bench: Bench) -> None:
    for code, quality in ((192, 0), (0, 2), (500, 2)):
        arrivals = bench.say("NBIRTH", payload(metric("Door", datatype=11, at_ms=MS, bool=True, props={"Quality": code}), seq=0))
        assert rows(arrivals) == [("door", 0, 1.0, quality)]


def test_an_engineering_unit_is_converted_and_the_file_knows_better(bench: Bench) -> None:
    fahrenheit = metric("Room/Temperature", 1, MS, DOUBLE, {"engUnit": "degF"}, double=212.0)
    kilopascal = metric("Room/Pressure", 2, MS, DOUBLE, {"engUnit": "bar"}, double=0.0155)
    bench.born()
    arrivals = bench.say("DBIRTH", payload(fahrenheit, kilopascal, at_ms=MS, seq=2), "plc")
    assert arrivals.value == pytest.approx([100.0, 15.5])
    assert [(raw.value, raw.unit) for raw in arrivals.raw] == [(212.0, "degF"), (0.0155, "kPa")]
    # Data says neither name, type nor unit.
    assert bench.data(3, value=32.0).value == pytest.approx([0.0])


def test_a_pattern_gives_the_point_and_a_point_that_is_not_there_is_told(bench: Bench) -> None:
    bench.say("NBIRTH", payload(seq=0), node="ahu")
    values = metric("Env/rh", datatype=9, at_ms=MS, float=45.0), metric("Env/co2", datatype=9, at_ms=MS, float=1.0)
    arrivals = bench.say("DBIRTH", payload(*values, seq=1), "plc2", "ahu")
    assert rows(arrivals) == [("ahu.rh", 0, 45.0, 0)]
    assert reasons(arrivals) == ["point_unknown"]


def test_a_point_that_another_living_metric_reports_is_taken(bench: Bench) -> None:
    bench.say("NBIRTH", payload(seq=0), node="ahu")
    rh = payload(metric("Env/rh", 1, MS, DOUBLE, double=45.0), seq=1)
    bench.say("DBIRTH", rh, "one", "ahu")
    assert reasons(bench.say("DBIRTH", payload(metric("Env/rh", 2, MS, DOUBLE, double=46.0), seq=2), "two", "ahu")) == ["point_taken"]
    bench.say("DDEATH", payload(seq=3), "one", "ahu")
    assert rows(bench.say("DBIRTH", payload(metric("Env/rh", 2, MS, DOUBLE, double=46.0), seq=4), "two", "ahu"))


# Whatever comes


_names = st.sampled_from(["Door", "Room/Temperature", "Room/Pressure", "Env/rh", "bdSeq", REBIRTH, "", "Other"])
_values = st.one_of(
    st.builds(lambda value: {"int": value}, st.integers(0, 2**32 - 1)),
    st.builds(lambda value: {"long": value}, st.integers(0, 2**64 - 1)),
    st.builds(lambda value: {"double": value}, st.floats()),
    st.builds(lambda value: {"string": value}, st.text(max_size=5)),
    st.just({}),
)
_numbers = st.one_of(st.none(), st.integers(0, 3), st.integers(0, 2**64 - 1))


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    def one() -> bytes:
        props = draw(st.sampled_from([None, None, {"Quality": 0}, {"Quality": 7}, {"engUnit": "degF"}, {"engUnit": "x"}]))
        flags: Callable[[], bool] = lambda: draw(st.integers(0, 9)) == 0  # noqa: E731
        datatype = draw(st.one_of(st.none(), st.integers(0, 35)))
        value = draw(_values)
        return metric(draw(_names), draw(_numbers), draw(_numbers), datatype, props, flags(), flags(), flags(), **value)

    data = payload(*(one() for _ in range(draw(st.integers(0, 4)))), at_ms=draw(_numbers), seq=draw(_numbers))
    if draw(st.booleans()):
        return data
    mutated = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(mutated)))
        mutated[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=3))
    return bytes(mutated)


_kinds = st.sampled_from(["NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH"])


@given(st.lists(st.tuples(_kinds, payloads(), st.booleans()), max_size=12))
def test_no_payload_is_lost_or_makes_it_fail(told: list[tuple[str, bytes, bool]]) -> None:
    bench = Bench()
    alive: dict[str, list[str]] = {}
    for kind, data, durable in told:
        arrivals = bench.say(kind, data, "plc" if kind[0] == "D" else "", durable=durable)
        assert len(arrivals.time) == len(arrivals.parts) == len(arrivals.value)
        assert all(-(2**63) <= time < 2**63 for time in arrivals.time)
        if kind == "DDATA" and not any(source.endswith("plc") for source in alive):
            assert not arrivals.point
            assert reasons(arrivals) in ([], ["before_birth"], ["not_sparkplug"])
        for event, source, points in bench.said:
            if event == "died":
                alive = {name: kept for name, kept in alive.items() if name != source and not name.startswith(f"{source}/")}
            elif event == "born":
                alive[source] = points
        bench.said.clear()
        bench.clock.pass_s(1)
        assert all(part() for part in arrivals.parts.values())
        if bench.host.due():
            bench.batch(durable=durable)
    json.dumps([body.detail for body in bench.host.said])
