from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facility.times import format_time, parse_time
from ingest.admission.readmission import merged
from ingest.arrivals import Arrivals, Reason
from ingest.decode import Decoder
from ingest.message import Message
from tests.support.shapes import BMS, COUNTERS, FLAT, LORAWAN, MESSAGES, PRESSURE, READINGS, SAMPLE, TAGS, UPLINK, decoder, messages, site

RECEIVED = parse_time("2026-11-21T08:00:00Z")
IDS = ("dp-b101", "b101.temp", "b101.rh", "bsc1.p05", "bsc1.p50", "ln2-04.temp", "ln2-04.level")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    return decoder(tmp_path_factory.mktemp("site"))


@pytest.fixture
def one(tmp_path: Path) -> Callable[..., Arrivals]:
    """Decode payloads on the topic `x` by a source with the given keys and reading."""

    def decoded(reading: str, *payloads: object, keys: str = "time: $.t", retained: bool = False) -> Arrivals:
        indented = "".join(f"    {key}\n" for key in keys.split("\n"))
        text = f"sources:\n  - id: one\n    kind: json\n    topic: x\n{indented}    readings:\n      - {reading}\n"
        sent = [payload if isinstance(payload, bytes) else json.dumps(payload).encode() for payload in payloads]
        return decoder(tmp_path, text).decode([Message("x", payload, 1, retained) for payload in sent], RECEIVED)

    return decoded


def rows(arrivals: Arrivals) -> set[tuple[str, str, float]]:
    return {
        (IDS[point], format_time(time), value) for point, time, value in zip(arrivals.point, arrivals.time, arrivals.value, strict=True)
    }


def reasons(arrivals: Arrivals) -> list[str]:
    return [piece.reason for piece in arrivals.quarantine]


def test_the_four_shapes(shapes: Decoder) -> None:
    arrivals = shapes.decode(messages(), RECEIVED)
    assert rows(arrivals) == READINGS
    assert not arrivals.quarantine
    assert arrivals.quality == [0] * 7
    by_point = dict(zip((IDS[point] for point in arrivals.point), arrivals.sequence, strict=True))
    assert by_point["dp-b101"] == 5123
    assert by_point["ln2-04.temp"] == by_point["ln2-04.level"] == 812
    counted = {raw.row: (raw.count, raw.volume_l) for raw in arrivals.raw}
    assert sorted(counted.values()) == [(0.0, 28.3), (3.0, 28.3)]


def test_what_is_not_understood_of_an_array_is_the_message_with_that_element_alone(shapes: Decoder) -> None:
    payload = TAGS.replace(b'"v":41.2', b'"v":"wet"').replace(b"]}", b',{"id":"AHU9.T","v":1.50},{"id":"AHU1.B101.SP","v":3}]}')
    arrivals = shapes.decode([Message(BMS, payload, 1)], RECEIVED)
    assert rows(arrivals) == {("b101.temp", "2025-03-02T07:41:08Z", 20.84)}
    assert reasons(arrivals) == [Reason.VALUE_INVALID, Reason.POINT_UNKNOWN]
    kept = b'{"timestamp": 1740901270000, "values": [{"id": "AHU9.T", "v": 1.50}]}'
    assert arrivals.quarantine[1].payload == kept, "its digits are those that were sent"
    assert arrivals.ignored_keys == {"AHU1.B101.SP": 1}
    again = shapes.decode([Message(BMS, kept, 1)], RECEIVED)
    assert [piece.payload for piece in again.quarantine] == [kept], "it can be taken in again by itself"


def test_what_is_not_understood_of_a_wide_message_is_the_whole_message_once(shapes: Decoder) -> None:
    payload = UPLINK.replace(b"-181.4", b'"cold"').replace(b"62,", b'"full",')
    arrivals = shapes.decode([Message(LORAWAN, payload, 1)], RECEIVED)
    assert not rows(arrivals)
    (piece,) = arrivals.quarantine
    assert (piece.payload, piece.reason) == (payload, Reason.VALUE_INVALID)
    assert "cold" in piece.detail
    assert "full" in piece.detail
    half = shapes.decode([Message(LORAWAN, UPLINK.replace(b"62,", b'"full",'), 1)], RECEIVED)
    assert rows(half) == {("ln2-04.temp", "2025-03-02T07:40:58Z", -181.4)}
    assert len(half.quarantine) == 1


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        (PRESSURE, b"", Reason.NOT_JSON),
        (PRESSURE, b"\xff", Reason.NOT_JSON),
        (PRESSURE, FLAT[:-1], Reason.NOT_JSON),
        (PRESSURE, b"[" * 100_000, Reason.NOT_JSON),
        (PRESSURE, b" " * (1024 * 1024 + 1), Reason.TOO_LARGE),
        (PRESSURE, b"7", Reason.POINT_UNKNOWN),
        (PRESSURE, FLAT.replace(b'"ts"', b'"when"'), Reason.TIME_MISSING),
        (PRESSURE, FLAT.replace(b"2025-03-02T07:41:10.250Z", b"2025-03-02T07:41:10"), Reason.TIME_INVALID),
        (PRESSURE, FLAT.replace(b"07:41", b"24:00"), Reason.TIME_INVALID),
        (PRESSURE, FLAT.replace(b'"OK"', b'"MAYBE"'), Reason.QUALITY_UNKNOWN),
        (PRESSURE, FLAT.replace(b'"status"', b'"state"'), Reason.QUALITY_UNKNOWN),
        (PRESSURE, FLAT.replace(b'"Pa"', b'"furlong"'), Reason.UNIT_UNKNOWN),
        (PRESSURE, FLAT.replace(b'"Pa"', b'"degC"'), Reason.UNIT_MISMATCH),
        (PRESSURE, FLAT.replace(b"5123", b"-1"), Reason.SEQUENCE_INVALID),
        (PRESSURE, FLAT.replace(b"DP-B101", b"DP-B999"), Reason.POINT_UNKNOWN),
        (PRESSURE, FLAT.replace(b'"device":"DP-B101",', b""), Reason.POINT_UNKNOWN),
        (PRESSURE, FLAT.replace(b'"metrics":{', b'"metrics":{"dp":3,'), Reason.KEY_REPEATED),
        (COUNTERS, b'{"volume_l": 0, "device": "PC-A03", "mode": "cumulative", "counts": [{"um": 0.5, "n": 3}]}', Reason.VALUE_INVALID),
        (COUNTERS, SAMPLE.replace(b'"counts"', b'"count"'), Reason.NOT_MAPPED),
        (COUNTERS, SAMPLE.replace(b"cumulative", b"differential"), Reason.NOT_MAPPED),
        (BMS, TAGS.replace(b'"values"', b'"value"'), Reason.VALUE_MISSING),
        (BMS, b'{"values":[]}', Reason.NOT_MAPPED),
        (BMS, b'{"values": [7]}', Reason.POINT_UNKNOWN),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_lies_whole_in_quarantine(shapes: Decoder, topic: str, payload: bytes, reason: Reason) -> None:
    arrivals = shapes.decode([Message(topic, payload, 1)], RECEIVED)
    assert not arrivals.point
    assert reasons(arrivals) == [reason]
    assert arrivals.quarantine[0].payload == payload
    assert arrivals.quarantine[0].topic == topic
    assert arrivals.readings_received == 1


def test_what_is_nested_deeper_than_we_write_stays_the_whole_message(shapes: Decoder) -> None:
    payload = b'{"values":[{"id":"nobody","v":1,"x":' + b"[" * 700 + b"]" * 700 + b"}]}"
    arrivals = shapes.decode([Message(BMS, payload, 1)], RECEIVED)
    assert [(piece.payload, piece.reason) for piece in arrivals.quarantine] == [(payload, Reason.POINT_UNKNOWN)]


@pytest.mark.parametrize(
    ("sent", "clock", "time"),
    [
        (1740901268, "$.t", "2025-03-02T07:41:08Z"),
        (1740901268000, "$.t", "2025-03-02T07:41:08Z"),
        ("1740901268000", "$.t", "2025-03-02T07:41:08Z"),
        (1740901268.25, "$.t", "2025-03-02T07:41:08.25Z"),
        (86400, "{path: $.t, unit: s}", "1970-01-02T00:00:00Z"),
        (174090126825, "{path: $.t, unit: ms}", "1975-07-08T22:22:06.825Z"),
        ("2025-03-02T08:41:08+01:00", "$.t", "2025-03-02T07:41:08Z"),
        ("2025-07-02T08:41:08", "{path: $.t, zone: Europe/Stockholm}", "2025-07-02T06:41:08Z"),
        ("02.07.2025 08:41:08", "{path: $.t, format: '%d.%m.%Y %H:%M:%S', zone: Europe/Stockholm}", "2025-07-02T06:41:08Z"),
        ("02.07.2025 08:41:08.5 +0200", "{path: $.t, format: '%d.%m.%Y %H:%M:%S.%f %z'}", "2025-07-02T06:41:08.5Z"),
    ],
)
def test_times(one: Callable[..., Arrivals], sent: object, clock: str, time: str) -> None:
    arrivals = one("{point: b101.temp, value: $.v}", {"t": sent, "v": 20}, keys=f"time: {clock}")
    assert rows(arrivals) == {("b101.temp", time, 20.0)}, arrivals.quarantine


@pytest.mark.parametrize(
    ("sent", "clock"),
    [
        ("2025-10-26T02:30:00", "{path: $.t, zone: Europe/Stockholm}"),  # the clocks show it twice
        ("2025-03-30T02:30:00", "{path: $.t, zone: Europe/Stockholm}"),  # never
        ("26.10.2025 02:30", "{path: $.t, format: '%d.%m.%Y %H:%M', zone: Europe/Stockholm}"),
        ("2025-03-02", "{path: $.t, format: '%d.%m.%Y', zone: UTC}"),
        (1740901268, "{path: $.t, format: iso}"),
        ("2025-03-02T07:41:08Z", "{path: $.t, format: epoch}"),
        (True, "$.t"),
        ({"s": 1}, "$.t"),
        (10**40, "$.t"),
        ("1e400", "$.t"),
    ],
)
def test_times_that_are_none(one: Callable[..., Arrivals], sent: object, clock: str) -> None:
    assert reasons(one("{point: b101.temp, value: $.v}", {"t": sent, "v": 20}, keys=f"time: {clock}")) == [Reason.TIME_INVALID]


def test_the_time_of_reception_only_where_the_source_says_so(one: Callable[..., Arrivals]) -> None:
    reading = "{point: b101.temp, value: $.v}"
    assert reasons(one(reading, {"v": 20})) == [Reason.TIME_MISSING]
    arrivals = one(reading, {"v": 20}, {"v": 21}, {"v": 20}, keys="time: received")
    assert arrivals.time == [RECEIVED, RECEIVED + 1, RECEIVED + 2], "readings of one point do not share a time"
    fallback = one(reading, {"v": 20, "t": 1740901268}, {"v": 20}, keys="time: {path: $.t, missing: received}")
    assert fallback.time == [1740901268 * 10**9, RECEIVED]
    assert reasons(one(reading, {"v": 20}, keys="time: received", retained=True)) == [Reason.TIME_MISSING]


@pytest.mark.parametrize(
    ("quality", "sent", "code"),
    [
        ("{path: $.q, good: [OK, 1], bad: [2], otherwise: uncertain}", "OK", 0),
        ("{path: $.q, good: [OK, 1], bad: [2], otherwise: uncertain}", 1.0, 0),
        ("{path: $.q, good: [OK, 1], bad: [2], otherwise: uncertain}", 2, 2),
        ("{path: $.q, good: [OK, 1], bad: [2], otherwise: uncertain}", [], 1),
        ("{path: $.q, good: true, bad: false}", True, 0),
        ("{path: $.q, good: true, bad: false, missing: bad}", None, 2),
        ("{path: $.q, codes: opc_da}", 192, 0),
        ("{path: $.q, codes: opc_da}", 216, 0),
        ("{path: $.q, codes: opc_da}", 64, 1),
        ("{path: $.q, codes: opc_da}", 24, 2),
        ("{path: $.q, codes: opc_da, uncertain: 216}", 216, 1),
        ("{path: $.q, codes: opc_ua}", 0, 0),
        ("{path: $.q, codes: opc_ua}", 0x408F0000, 1),
        ("{path: $.q, codes: opc_ua}", 0x80000000, 2),
        ("{path: $.q, codes: bits, ignore_bits: [4, 5]}", 0b110000, 0),
        ("{path: $.q, codes: bits, ignore_bits: [4, 5]}", 0b110010, 2),
        ("{path: $.q, codes: opc_da}", 128, None),
        ("{path: $.q, codes: bits}", -1, None),
        ("{path: $.q, good: [OK]}", "ok", None),
    ],
)
def test_qualities(one: Callable[..., Arrivals], quality: str, sent: object, code: int | None) -> None:
    arrivals = one("{point: b101.temp, value: $.v}", {"t": 1740901268, "v": 20, "q": sent}, keys=f"time: $.t\nquality: {quality}")
    assert arrivals.quality == ([] if code is None else [code])
    assert reasons(arrivals) == ([Reason.QUALITY_UNKNOWN] if code is None else [])


@pytest.mark.parametrize(
    ("reading", "sent", "value", "quality"),
    [
        ("{point: b101.temp, value: $.v, scale: 0.1}", 208, 20.8, 0),
        ("{point: b101.temp, value: $.v, scale: 0.1, offset: -40}", 608, 20.8, 0),
        ("{point: b101.temp, value: $.v, unit: degF}", 212, 100.0, 0),
        ("{point: b101.temp, value: $.v, unit: $.u}", "20.5", 20.5, 0),
        ("{point: b101.temp, value: $.v, bad_values: [-32768, 6.5e4]}", -32768, -32768.0, 2),
        ("{point: b101.temp, value: $.v, bad_values: [-32768, 65000]}", 65000.0, 65000.0, 2),
        ("{point: b101.temp, value: $.v, values: {open: 1, closed: 0}}", "open", 1.0, 0),
        ("{point: b101.temp, value: $.v, values: {1: 0, 0: 1}}", 1, 0.0, 0),
        ("{point: b101.temp, value: $.v}", True, 1.0, 0),
    ],
)
def test_values(one: Callable[..., Arrivals], reading: str, sent: object, value: float, quality: int) -> None:
    arrivals = one(reading, {"t": 1740901268, "v": sent})
    assert arrivals.value == [value], arrivals.quarantine
    assert arrivals.quality == [quality]


@pytest.mark.parametrize(
    ("volume", "litres"), [("28.3", 28.3), ("$.l", 50.0), ("1, volume_unit: ft3", 28.316846592), ("0.1, volume_unit: m3", 100.0)]
)
def test_counts_in_a_volume(one: Callable[..., Arrivals], volume: str, litres: float) -> None:
    arrivals = one(f"{{point: bsc1.p05, count: $.n, volume: {volume}}}", {"t": 1740901268, "n": 3, "l": 50})
    assert arrivals.value == [3 * 1000 / litres], arrivals.quarantine
    assert [(raw.count, raw.volume_l) for raw in arrivals.raw] == [(3.0, litres)]


def test_a_text_that_the_mapping_does_not_know_is_no_value(one: Callable[..., Arrivals]) -> None:
    assert reasons(one("{point: b101.temp, value: $.v, values: {open: 1}}", {"t": 1, "v": "ajar"})) == [Reason.VALUE_INVALID]


def test_a_place_in_an_array_names_no_point_as_it_is_another_one_out_of_quarantine(one: Callable[..., Arrivals]) -> None:
    table = 'time: $.t\npoints: {"0": b101.temp, "1": b101.rh}'
    arrivals = one('{point: "{key}", each: $.d, value: .}', {"t": 1740901268, "d": [20, 41]}, keys=table)
    assert (rows(arrivals), reasons(arrivals)) == (set(), [Reason.POINT_UNKNOWN] * 2)
    assert "$.d[0]" in arrivals.quarantine[0].detail


def test_points_by_topic_by_key_and_by_table_with_units(one: Callable[..., Arrivals], tmp_path: Path) -> None:
    members = one('{point: "{key}", each: $.d, value: .}', {"t": 1740901268, "d": {"b101.temp": 20, "b101.rh": 41, "b101.x": 1}})
    assert rows(members) == {("b101.temp", "2025-03-02T07:41:08Z", 20.0), ("b101.rh", "2025-03-02T07:41:08Z", 41.0)}
    assert members.quarantine[0].payload == b'{"t": 1740901268, "d": {"b101.x": 1}}'
    ignored = one('{point: "{key}", each: $.d, value: .}', {"t": 1, "d": {"b101.x": 1}}, keys='time: $.t\nignore: ["*.x"]')
    assert (ignored.quarantine, ignored.ignored_keys) == ([], {"b101.x": 1})
    table = "time: $.t\npoints: {A: {point: b101.temp, unit: degF, scale: 0.1}, B: b101.rh}"
    both = one('{point: "{.id}", each: $, value: .v, time: .t}', [{"id": "A", "v": 2120, "t": 7}, {"id": "B", "v": 4, "t": 7}], keys=table)
    assert {(IDS[point], value) for point, value in zip(both.point, both.value, strict=True)} == {("b101.temp", 100.0), ("b101.rh", 4.0)}
    text = """\
sources:
  - id: one
    kind: json
    topic: "{room}/+/{what}"
    time: $.t
    readings: [{point: "{room}.{what}", value: $.v}]
"""
    arrivals = decoder(tmp_path, text).decode([Message("b101/x/temp", b'{"t":1740901268,"v":20}'), Message("b101/x/co2", b'{"t":1,"v":1}')])
    assert rows(arrivals) == {("b101.temp", "2025-03-02T07:41:08Z", 20.0)}
    assert reasons(arrivals) == [Reason.POINT_UNKNOWN]


def test_optional_values_and_messages_that_are_none(one: Callable[..., Arrivals]) -> None:
    keys = "time: $.t\nignore_when: {$.type: [join, status]}"
    reading = "{point: b101.temp, value: $.v, optional: true}\n      - {point: b101.rh, value: $.h, optional: true}"
    arrivals = one(reading, {"t": 1740901268, "h": 40}, {"type": "join"}, {"t": 1740901268}, keys=keys)
    assert rows(arrivals) == {("b101.rh", "2025-03-02T07:41:08Z", 40.0)}
    assert reasons(arrivals) == [Reason.NOT_MAPPED], "a join is passed over; what nothing applies to is not"
    assert arrivals.ignored_keys == {"one": 1}


def test_native_topics_are_read_as_ever(shapes: Decoder) -> None:
    arrivals = shapes.decode([Message("renrum/lab/b101/b101.temp", b'{"time":1740901268,"value":20}'), Message("nobody/knows", b"{}")])
    assert rows(arrivals) == {("b101.temp", "2025-03-02T07:41:08Z", 20.0)}
    assert reasons(arrivals) == [Reason.TOPIC_UNKNOWN]


def test_a_retired_point_takes_nothing_any_more(tmp_path: Path) -> None:
    from tests.support.shapes import FACILITY, SOURCES

    facility, sources = site(tmp_path, SOURCES, FACILITY.replace("period: 10s}", "period: 10s, retired: 2025-03-01T00:00:00Z}"))
    numbers = {point.id: number for number, point in enumerate(facility.points)}
    assert reasons(Decoder(facility, numbers, True, sources).decode([Message(PRESSURE, FLAT)])) == [Reason.POINT_UNKNOWN]


# Laws

LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8) | st.sampled_from(
    ["OK", "Pa", "2025-03-02T07:41:10Z", "DP-B101", "PC-A03", "AHU1.B101.T", "LN2-04", "cumulative", "x.SP"]
)  # fmt: skip
KEY = st.text(max_size=3) | st.sampled_from(
    ["device", "ts", "metrics", "dp", "dp_unit", "status", "seq", "counts", "um", "n", "volume_l", "status_bits", "mode", "values", "id",
     "v", "q", "t", "timestamp", "deviceInfo", "deviceName", "time", "fCnt", "object", "temp", "level_pct"]
)  # fmt: skip
ANYTHING = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=6), max_leaves=24)


@given(st.lists(st.tuples(st.sampled_from(MESSAGES), ANYTHING, st.data()), max_size=6))
def test_no_payload_crashes_and_every_sum_closes(shapes: Decoder, drawn: list[tuple[tuple[str, bytes], object, st.DataObject]]) -> None:
    sent = []
    for (topic, payload), other, data in drawn:
        message = json.loads(payload)
        at = data.draw(st.sampled_from([None, *message]))
        if at is None:
            message = other
        else:
            message[at] = other
        sent.append(Message(topic, json.dumps(message).encode(), 1))
    whole = shapes.decode(sent, RECEIVED)
    assert whole.readings_received == len(whole.point) + len(whole.quarantine)
    assert len({len(column) for column in (whole.point, whole.time, whole.value, whole.quality, whole.sequence, whole.source)}) == 1
    for piece in whole.quarantine:
        piece.detail.encode()
        again = shapes.decode([Message(piece.topic, piece.payload, 1)], RECEIVED)
        assert again.quarantine, "what was not understood is not understood by itself either"
    for row in range(len(whole.point)):
        assert isinstance(whole.parts[row](), bytes)
    apart = merged(shapes.decode([message], RECEIVED) for message in sent)
    assert (apart.point, apart.time, apart.quality, apart.source) == (whole.point, whole.time, whole.quality, whole.source)
    assert [piece.reason for piece in apart.quarantine] == [piece.reason for piece in whole.quarantine]


@given(st.binary(max_size=60), st.sampled_from(MESSAGES), st.integers(0, 200), st.integers(0, 12))
def test_no_damaged_payload_crashes(shapes: Decoder, noise: bytes, message: tuple[str, bytes], at: int, cut: int) -> None:
    topic, payload = message
    arrivals = shapes.decode([Message(topic, payload[:at] + noise + payload[at + cut :], 1)], RECEIVED)
    assert arrivals.readings_received >= 1 or arrivals.ignored_keys
