"""Payloads to readings: everything that is understood is exact, everything else lies in quarantine with its reason, and the sum closes."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from facility.site import Facility, Place, Point, Site
from facility.times import format_time, parse_time
from ingest.arrivals import Arrivals, Raw, Reason, StateArrival
from ingest.decode import Decoder
from ingest.decoding.instant import Instants
from ingest.decoding.topics import LARGEST_PAYLOAD_BYTES, Addressed
from ingest.message import Message

TIME = "2026-11-21T07:41:10.250Z"
TIME_NS = parse_time(TIME)
FACILITY = Facility(
    Site("lab", "Lab"),
    places=(Place("cp1", "Processing 1"), Place("bsc1", "Bench", grade="A", type="bsc", parent="cp1"), Place("cp2", "Processing 2")),
    points=(
        Point("cp1.temp", "temperature", "degC", "cp1"),
        Point("cp1.dp", "differential_pressure", "Pa", "cp1"),
        Point("bsc1.p05", "particles_0_5um", "1/m3", "cp1", zone="bsc1"),
        Point("bsc1.pl", "particles_0_5um", "1/L", "cp1", zone="bsc1"),
        Point("cp1.old", "temperature", "degC", "cp1", retired_ns=TIME_NS),
    ),
)
NUMBERS = {point.id: 10 + number for number, point in enumerate(FACILITY.points)}
TEMP, DP, P05 = "renrum/lab/cp1/cp1.temp", "renrum/lab/cp1/cp1.dp", "renrum/lab/bsc1/bsc1.p05"
OCCUPANCY = "renrum/lab/cp1/occupancy"


def decode(payload: bytes | Mapping[str, Any] | list[Any], topic: str = TEMP, accept_simulated: bool = True) -> Arrivals:
    encoded = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Decoder(FACILITY, NUMBERS, accept_simulated).decode([Message(topic, encoded, 1)])


def reading(**fields: Any) -> dict[str, Any]:
    return {"time": TIME, "value": 21.5} | fields


def test_a_plain_reading_becomes_a_row() -> None:
    arrivals = decode({"time": TIME, "value": 21.5, "unit": "degC", "quality": "uncertain", "seq": 5123})
    assert (arrivals.point, arrivals.time, arrivals.value) == ([10], [TIME_NS], [21.5])
    assert (arrivals.quality, arrivals.sequence, arrivals.source) == ([1], [5123], [0])
    assert (arrivals.raw, arrivals.quarantine, arrivals.readings_received) == ([], [], 1)


def test_rows_keep_the_order_and_the_message_that_they_came_in() -> None:
    first = json.dumps([reading(value=1), reading(value=2)]).encode()
    messages = [Message(TEMP, first, 1), Message(DP, json.dumps(reading(value=3)).encode(), 2)]
    arrivals = Decoder(FACILITY, NUMBERS, True).decode(messages)
    assert (arrivals.value, arrivals.point, arrivals.source) == ([1.0, 2.0, 3.0], [10, 10, 11], [0, 0, 1])


@pytest.mark.parametrize(
    "sent",
    [TIME, "2026-11-21T08:41:10.25+01:00", TIME_NS, TIME_NS // 10**3, TIME_NS // 10**6, TIME_NS / 10**9, "2026-11-21T07:41:10.2500000009Z"],
)
def test_the_same_instant_in_any_form(sent: object) -> None:
    decoder = Decoder(FACILITY, NUMBERS, True)
    message = Message(TEMP, json.dumps(reading(time=sent)).encode(), 1)
    assert decoder.decode([message, message]).time == [TIME_NS, TIME_NS]  # the second from the remembered minute


@pytest.mark.parametrize(("sent", "value", "kept"), [
    (b"true", 1.0, None),
    (b"false", 0.0, None),
    (b"-0.0", 0.0, None),
    (b'"21.50"', 21.5, "21.50"),
    (b'" +1e3 "', 1000.0, " +1e3 "),
    (b"1e301", 1e301, None),
    (b"9007199254740992", 2.0**53, None),
    (b"9007199254740993", 2.0**53, "9007199254740993"),
])  # fmt: skip
def test_values_that_are_numbers(sent: bytes, value: float, kept: str | None) -> None:
    arrivals = decode(b'{"time":"%s","value":%s}' % (TIME.encode(), sent))
    assert (arrivals.value, arrivals.quarantine) == ([value], [])
    assert arrivals.raw == ([] if kept is None else [Raw(0, kept)])


@pytest.mark.parametrize(("sent", "value", "kept"), [
    (b"null", math.nan, None), (b"NaN", math.nan, "NaN"), (b"Infinity", math.inf, "Infinity"), (b"-Infinity", -math.inf, "-Infinity"),
    (b"1e999", math.inf, "1e999"), (b'"nan"', math.nan, "nan"), (b'"-INF"', -math.inf, "-INF"), (b"1" * 400, math.inf, "1" * 400),
])  # fmt: skip
def test_what_is_no_finite_value_is_kept_as_received(sent: bytes, value: float, kept: str | None) -> None:
    arrivals = decode(b'{"time":"%s","value":%s}' % (TIME.encode(), sent))
    assert repr(arrivals.value[0]) == repr(value)
    assert arrivals.raw == [Raw(0, kept)]


def test_a_unit_is_converted_and_what_was_sent_is_kept() -> None:
    arrivals = decode([reading(value=212, unit="degF"), reading(value=0.5, unit="°C"), reading(unit="")])
    assert arrivals.value == [100.0, 0.5, 21.5]
    assert arrivals.raw == [Raw(0, 212.0, "degF"), Raw(1, 0.5, "°C")]


def test_a_particle_counter_may_send_count_and_volume() -> None:
    arrivals = decode([{"time": TIME, "count": 3, "volume_l": 28.3}, reading(value=7, count=1, volume_l=28.3)], P05)
    assert arrivals.value == [3 * 1000 / 28.3, 7.0]
    assert arrivals.raw == [Raw(0, None, "", 3.0, 28.3), Raw(1, 7.0, "", 1.0, 28.3)]
    assert decode({"time": TIME, "count": 50, "volume_l": 50}, "renrum/lab/cp1/bsc1.pl").value == [1.0]


@pytest.mark.parametrize(("payload", "reason"), [
    (b"", Reason.NOT_JSON),
    (b"14.6 Pa", Reason.NOT_JSON),
    (b"\xff\xfe", Reason.NOT_JSON),
    (b"[" * 100_000, Reason.NOT_JSON),
    (b'{"x":' * 50_000, Reason.NOT_JSON),
    (b'[{"time":1,"value":1},', Reason.NOT_JSON),
    (b'[{"time":1,"value":1}] x', Reason.NOT_JSON),
    (b"[]", Reason.NOT_AN_OBJECT),
    (b"14.6", Reason.NOT_AN_OBJECT),
    (b"null", Reason.NOT_AN_OBJECT),
    (b'{"time":"%s","value":1,"value":2}' % TIME.encode(), Reason.KEY_REPEATED),
    (b'{"time":"%s","value":1,"valu\\u0065":2}' % TIME.encode(), Reason.KEY_REPEATED),
    (b'{"time":"%s","value":1,"qualty":"bad"}' % TIME.encode(), Reason.KEY_UNKNOWN),
    (b'{"time":"%s","value":1,"Unit":"Pa"}' % TIME.encode(), Reason.KEY_UNKNOWN),
    (b'{"value":1}', Reason.TIME_MISSING),
    (b'{"time":null,"value":1}', Reason.TIME_MISSING),
    (b'{"time":true,"value":1}', Reason.TIME_INVALID),
    (b'{"time":{},"value":1}', Reason.TIME_INVALID),
    (b'{"time":"","value":1}', Reason.TIME_INVALID),
    (b'{"time":"2026-11-21T07:41:10","value":1}', Reason.TIME_INVALID),
    (b'{"time":"2026-11-21T24:00:00Z","value":1}', Reason.TIME_INVALID),
    (b'{"time":"2026-11-21T23:59:60Z","value":1}', Reason.TIME_INVALID),
    (b'{"time":"9999-11-21T23:59:50Z","value":1}', Reason.TIME_INVALID),
    (b'{"time":1e400,"value":1}', Reason.TIME_INVALID),
    (b'{"time":NaN,"value":1}', Reason.TIME_INVALID),
    (b'{"time":%s,"value":1}' % (b"9" * 30), Reason.TIME_INVALID),
    (b'{"time":"\\ud800","value":1}', Reason.TIME_INVALID),
    (b'{"time":1}', Reason.VALUE_MISSING),
    (b'{"time":1,"count":3}', Reason.VALUE_MISSING),
    (b'{"time":1,"count":3,"volume_l":0}', Reason.VALUE_INVALID),
    (b'{"time":1,"value":"ERR"}', Reason.VALUE_INVALID),
    (b'{"time":1,"value":""}', Reason.VALUE_INVALID),
    (b'{"time":1,"value":"1_000"}', Reason.VALUE_INVALID),
    (b'{"time":1,"value":"1,5"}', Reason.VALUE_INVALID),
    (b'{"time":1,"value":[1]}', Reason.VALUE_INVALID),
    (b'{"time":1,"value":1,"quality":"GOOD"}', Reason.QUALITY_UNKNOWN),
    (b'{"time":1,"value":1,"quality":0}', Reason.QUALITY_UNKNOWN),
    (b'{"time":1,"value":1,"quality":["bad"]}', Reason.QUALITY_UNKNOWN),
    (b'{"time":1,"value":1,"unit":"furlong"}', Reason.UNIT_UNKNOWN),
    (b'{"time":1,"value":1,"unit":7}', Reason.UNIT_UNKNOWN),
    (b'{"time":1,"value":1,"unit":"Pa"}', Reason.UNIT_MISMATCH),
    (b'{"time":1,"count":1,"volume_l":1}', Reason.UNIT_MISMATCH),
    (b'{"time":1,"value":1,"seq":-1}', Reason.SEQUENCE_INVALID),
    (b'{"time":1,"value":1,"seq":1.5}', Reason.SEQUENCE_INVALID),
    (b'{"time":1,"value":1,"seq":"1"}', Reason.SEQUENCE_INVALID),
    (b'{"time":1,"value":1,"seq":true}', Reason.SEQUENCE_INVALID),
    (b'{"time":1,"value":1,"seq":9223372036854775808}', Reason.SEQUENCE_INVALID),
    (b" " * (LARGEST_PAYLOAD_BYTES + 1), Reason.TOO_LARGE),
])  # fmt: skip
def test_what_cannot_be_understood_lies_whole_in_quarantine(payload: bytes, reason: Reason) -> None:
    arrivals = decode(payload)
    assert [(piece.topic, piece.payload, piece.reason) for piece in arrivals.quarantine] == [(TEMP, payload, reason)]
    assert arrivals.readings_received == 1
    assert arrivals.quarantine[0].detail
    arrivals.quarantine[0].detail.encode()


@pytest.mark.parametrize(("topic", "reason"), [
    ("renrum/lab/cp1/cp1.humidity", Reason.POINT_UNKNOWN),
    ("renrum/lab/cp1/cp1.old", Reason.POINT_UNKNOWN),
    ("renrum/lab/cp2/cp1.temp", Reason.PLACE_MISMATCH),
    ("renrum/lab/bsc1/cp1.temp", Reason.PLACE_MISMATCH),
    ("renrum/lab/cp9/cp1.temp", Reason.PLACE_UNKNOWN),
    ("renrum/lab/cp9/occupancy", Reason.PLACE_UNKNOWN),
    ("renrum/lab/bsc1/batch", Reason.TOPIC_UNKNOWN),
    ("renrum/other/cp1/cp1.temp", Reason.TOPIC_UNKNOWN),
    ("renrum/lab/cp1.temp", Reason.TOPIC_UNKNOWN),
    ("\\xff", Reason.TOPIC_UNKNOWN),
])  # fmt: skip
def test_topics_that_lead_nowhere(topic: str, reason: Reason) -> None:
    arrivals = decode(reading(), topic)
    assert [piece.reason for piece in arrivals.quarantine] == [reason]


def test_a_point_in_a_zone_is_reached_under_room_and_zone() -> None:
    assert decode(reading(), P05).point == decode(reading(), "renrum/lab/cp1/bsc1.p05").point == [12]


def test_a_late_reading_from_before_the_retirement_counts() -> None:
    assert decode(reading(time=format_time(TIME_NS - 1)), "renrum/lab/cp1/cp1.old").point == [14]


def test_an_array_splits_and_only_its_bad_elements_are_quarantined() -> None:
    arrivals = decode(b'[ {"time": 1, "value": 1}, {"time" : 2},\n {"time": 3, "value": 3}, [4], {"time": 5, "value": "\xc3\xa5"} ]')
    assert arrivals.time == [10**9, 3 * 10**9]
    assert [piece.payload for piece in arrivals.quarantine] == [b'{"time" : 2}', b"[4]", b'{"time": 5, "value": "\xc3\xa5"}']
    assert arrivals.readings_received == 5


def test_keys_of_the_instrument_are_passed_over_and_counted() -> None:
    arrivals = decode([reading(fw="1.2", batt=3.1), reading(fw={"a": [1]})])
    assert arrivals.value == [21.5, 21.5]
    assert arrivals.ignored_keys == {"fw": 2, "batt": 1}


def test_what_carries_origin_is_quarantined_unless_accepted() -> None:
    assert decode(reading(origin="simulator")).value == [21.5]
    for payload in (reading(origin="simulator"), reading(origin=None), reading(origin="x", fw=1)):
        assert [piece.reason for piece in decode(payload, accept_simulated=False).quarantine] == [Reason.SIMULATED]
    state = {"time": TIME, "state": "at_rest", "origin": "replay"}
    assert [piece.reason for piece in decode(state, OCCUPANCY, accept_simulated=False).quarantine] == [Reason.SIMULATED]


def test_occupancy_of_a_room_or_zone() -> None:
    assert decode({"time": TIME, "state": "at_rest"}, OCCUPANCY).states == [StateArrival("cp1", TIME_NS, "at_rest", 0)]
    assert decode({"time": TIME, "state": "cleaning"}, "renrum/lab/bsc1/occupancy").states[0].place == "bsc1"


@pytest.mark.parametrize(("payload", "reason"), [
    (b"", Reason.NOT_JSON),
    (b'{"time":1,"state":"asleep"}', Reason.STATE_UNKNOWN),
    (b'{"time":1}', Reason.STATE_UNKNOWN),
    (b'{"state":"at_rest"}', Reason.TIME_MISSING),
    (b'{"time":"2026-11-21T07:41:10","state":"at_rest"}', Reason.TIME_INVALID),
    (b'{"time":1,"state":["at_rest"]}', Reason.STATE_UNKNOWN),
    (b'{"time":1,"state":"at_rest","state":"cleaning"}', Reason.KEY_REPEATED),
])  # fmt: skip
def test_occupancy_that_cannot_be_understood_counts_one(payload: bytes, reason: Reason) -> None:
    arrivals = decode(payload, OCCUPANCY)
    assert ([piece.reason for piece in arrivals.quarantine], arrivals.readings_received) == ([reason], 1)


HOSTILE = {
    "a number of a million digits": b'{"time":1,"value":%s}' % (b"1" * 10**6),
    "a text of nearly a number": b'{"time":1,"value":"%sx"}' % (b"1" * 10**6),
    "a time of a million digits": b'{"time":"2026-11-21T07:41:10.%sZ","value":[]}' % (b"1" * 10**6),
    "a hundred thousand keys": b'{"a":1,"a":1%s}' % b"".join(b',"%d":1' % number for number in range(90_000)),
    "thirty thousand objects with a key each": b"[%s]" % b",".join(b'{"v%d":1}' % number for number in range(30_000)),
    "a million spaces": b" " * 10**6 + b"x",
    "a comma a byte": b"[" + b"1," * 100_000 + b"1]",
    "open brackets": b'[{"time":1,"value":1},' + b"[" * 10**6,
}


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=list(HOSTILE))
def test_no_payload_holds_the_thread_up(payload: bytes) -> None:
    started = time.process_time()
    arrivals = decode(payload)
    assert time.process_time() - started < 5
    assert arrivals.readings_received == pieces_in(TEMP, payload)
    assert len(arrivals.ignored_keys) <= 101


class PatientDecoder(Decoder):
    """Without the fast path."""

    def _plain(self, addressed: Addressed, payload: bytes, index: int, arrivals: Arrivals) -> bool:
        return False


def columns(arrivals: Arrivals) -> dict[str, Any]:
    return asdict(arrivals) | {"value": [repr(0.0 if value == 0 else value) for value in arrivals.value]}


ELEMENTS = st.fixed_dictionaries(
    {
        "time": st.one_of(
            st.datetimes().map(lambda time: time.isoformat() + "Z"),
            st.just(TIME),
            st.integers(-(10**20), 10**20),
            st.floats(),
            st.text(max_size=4),
        ),
        "value": st.one_of(st.floats(), st.integers(), st.integers(-(2**80), 2**80), st.booleans(), st.none(), st.text(max_size=4)),
    },
    optional={
        "unit": st.sampled_from(["degC", "degF", "K", "Pa", "°C", "", "x", None, 'a"b']),
        "quality": st.sampled_from(["good", "uncertain", "bad", "", None, "x"]),
        "seq": st.one_of(st.integers(-1, 2**63), st.none(), st.just(1.0)),
        "origin": st.sampled_from(["simulator", None]),
        "count": st.integers(0, 100),
        "volume_l": st.floats(0, 100),
        "fw": st.text(max_size=2),
    },
)
PAYLOADS = st.one_of(ELEMENTS, st.lists(ELEMENTS, max_size=4)).map(lambda payload: json.dumps(payload).encode())


@given(st.lists(PAYLOADS, max_size=4), st.booleans())
@example([b'{"time":1.5e3,"value":-0,"seq":-0}'], True)
def test_the_fast_path_reads_what_the_patient_path_reads(payloads: list[bytes], accept_simulated: bool) -> None:
    messages = [Message(TEMP, payload, 1) for payload in payloads]
    fast = Decoder(FACILITY, NUMBERS, accept_simulated).decode(messages)
    patient = PatientDecoder(FACILITY, NUMBERS, accept_simulated).decode(messages)
    assert columns(fast) == columns(patient)


@given(st.lists(st.tuples(st.integers(0, 59), st.text("0123456789.,:+-Zz٣ ", max_size=12)), max_size=5))
def test_a_remembered_minute_reads_what_the_full_parser_reads(endings: list[tuple[int, str]]) -> None:
    instants = Instants()
    instants.of("2026-11-21T07:41:00Z")
    for second, ending in endings:
        for text in (f"2026-11-21T07:41:{second:02d}{ending}", f"2026-11-21T07:41:{second:02d}.{ending}Z", f"2026-11-21T07:41:{ending}Z"):
            try:
                expected = parse_time(text)
            except ValueError:
                with pytest.raises(ValueError, match=r"\S"):
                    instants.of(text)
            else:
                assert instants.of(text) == expected


@given(st.sampled_from([TEMP, P05, OCCUPANCY, "renrum/lab/cp1/batch"]), st.binary(max_size=60))
def test_any_bytes_are_received_once(topic: str, payload: bytes) -> None:
    assert decode(payload, topic).readings_received == pieces_in(topic, payload)


def pieces_in(topic: str, payload: bytes) -> int:
    """How many pieces a message holds, counted without the decoder: elements of an array that can be split, else one."""
    if topic not in (TEMP, DP, P05, OCCUPANCY):
        return 1
    try:
        content = json.loads(payload.decode("utf-8-sig"), parse_int=str)
    except (ValueError, RecursionError):
        return 1
    return len(content) if isinstance(content, list) and content else 1


_INSERTED = (b'"', b"{", b"]", b",", b":", b"null", b"NaN", b"\\ud800", b"-", b"e999", b"1" * 50, b"\xc3")


def mutated(payload: bytes, chance: random.Random) -> bytes:
    """Some of it random, the rest the payload with a few bytes changed, removed, doubled or put in, or as it is."""
    if chance.random() < 0.1:
        return chance.randbytes(chance.randrange(40))
    content = bytearray(payload)
    for _ in range(chance.randint(0, 4)):
        place = chance.randrange(len(content) + 1)
        kind = chance.randrange(5)
        if kind == 0:
            content[place : place + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            del content[place : place + chance.randint(1, 8)]
        elif kind == 2:
            content[place:place] = content[place : place + chance.randint(1, 30)]
        elif kind == 3:
            content[place:place] = chance.choice(_INSERTED)
        else:
            content = content[:place] or bytearray(b"x")
    return bytes(content)


def test_a_hundred_thousand_mutated_payloads_neither_crash_nor_get_lost() -> None:
    seed = 20261121
    chance = random.Random(seed)
    seeds = [
        b'{"time":"2026-11-21T07:41:10.250Z","value":14.6,"unit":"degC","quality":"good","seq":5123}',
        b'{"time":1795246870,"count":3,"volume_l":28.3,"origin":"simulator"}',
        b'[{"time":1795246870.25,"value":"14.6"},{"time":1795246871,"value":true,"fw":"1"},{"time":1795246872,"value":null}]',
        b'{"time":"2026-11-21T07:41:10+01:00","state":"at_rest"}',
    ]
    topics = [TEMP, DP, P05, OCCUPANCY, "renrum/lab/cp1/batch"]
    decoder = Decoder(FACILITY, NUMBERS, accept_simulated=True)
    reasons, rows = set(), 0
    for _ in range(100):
        messages = [Message(chance.choice(topics), mutated(chance.choice(seeds), chance)) for _ in range(1000)]
        arrivals = decoder.decode(messages)
        assert arrivals.readings_received == sum(pieces_in(message.topic, message.payload) for message in messages), f"seed {seed}"
        assert len({len(column) for column in (arrivals.point, arrivals.time, arrivals.value, arrivals.quality, arrivals.sequence)}) == 1
        rows += len(arrivals.point)
        reasons |= {piece.reason for piece in arrivals.quarantine}
        for piece in arrivals.quarantine:
            piece.detail.encode()
    assert rows > 10_000
    elsewhere = {Reason.TOO_LARGE, Reason.SIMULATED, Reason.PLACE_UNKNOWN, Reason.PLACE_MISMATCH, Reason.POINT_UNKNOWN}
    of_sources = set(list(Reason)[list(Reason).index(Reason.NOT_MAPPED) :])
    assert reasons >= set(Reason) - elsewhere - of_sources
