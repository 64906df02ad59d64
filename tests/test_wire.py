"""What publishers encode is what the service decodes."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from facility.site import Facility, Place, Point, Site
from facility.wire import Published, encode_reading, encode_readings, encode_state, occupancy_topic, topic_of
from ingest.arrivals import StateArrival
from ingest.decode import Decoder
from ingest.message import Message

POINT = Point("bsc1.p05", "particles_0_5um", "1/m3", "cp1", zone="bsc1")
FACILITY = Facility(Site("lab", "Lab"), (Place("cp1", "One"), Place("bsc1", "Bench", parent="cp1")), (POINT,))
TOPIC = topic_of("lab", POINT)
TIMES = st.integers(0, 2**62)


def decoder(accept_simulated: bool = False) -> Decoder:
    return Decoder(FACILITY, {POINT.id: 0}, accept_simulated)


def test_topics() -> None:
    assert TOPIC == "renrum/lab/cp1/bsc1.p05"
    assert occupancy_topic("lab", "bsc1") == "renrum/lab/bsc1/occupancy"


@given(st.lists(st.tuples(TIMES, st.floats(), st.sampled_from(["good", "uncertain", "bad"]), st.integers(0, 2**63 - 1)), min_size=1))
def test_readings_survive_the_wire(rows: list[tuple[int, float, str, int]]) -> None:
    published = [Published(time, value, quality=quality, sequence=sequence) for time, value, quality, sequence in rows]
    arrivals = decoder().decode([Message(TOPIC, encode_readings(published), 1)])
    assert arrivals.time == [reading.time for reading in published]
    assert arrivals.sequence == [reading.sequence for reading in published]
    for sent, got in zip(rows, arrivals.value, strict=True):
        assert math.isnan(got) if math.isnan(sent[1]) else got == sent[1]


def test_counts_and_truths_survive_the_wire() -> None:
    published = (Published(1, count=3, volume_l=28.3), Published(2, True))
    arrivals = decoder().decode([Message(TOPIC, encode_reading(reading)) for reading in published])
    assert arrivals.value == [3 * 1000 / 28.3, 1.0]


def test_what_is_simulated_says_so() -> None:
    payload = encode_reading(Published(1, 2.0, origin="simulator"))
    assert decoder(accept_simulated=True).decode([Message(TOPIC, payload)]).value == [2.0]
    assert [piece.reason for piece in decoder().decode([Message(TOPIC, payload)]).quarantine] == ["simulated"]


@given(TIMES)
def test_states_survive_the_wire(time: int) -> None:
    message = Message(occupancy_topic("lab", "bsc1"), encode_state(time, "at_rest", "replay"))
    assert decoder(accept_simulated=True).decode([message]).states == [StateArrival("bsc1", time, "at_rest", 0)]
