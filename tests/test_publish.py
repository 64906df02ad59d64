"""Simulated readings over a real broker (simulators/publish.py)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from facility.facility_file import load_facility
from facility.site import Facility
from simulators.broker import Broker, parse_broker
from simulators.chunk import GARBLED, Chunk
from simulators.cleanroom import Simulation
from simulators.load import facility_text, load_site, publish_load
from simulators.outlet import Outlet
from simulators.publish import publish
from simulators.scenario import load_scenario, parse_scenario
from tests.support.mosquitto import Mosquitto, needs_mosquitto

START = 1_795_246_870 * 10**9
SECOND = 10**9
FACILITY = load_facility(Path(__file__).parent.parent / "service" / "example" / "facility.yaml")


class RealClock:
    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Listener:
    """All that a broker passes on, as (topic, payload)."""

    def __init__(self, broker: Broker) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _client, _userdata, message: self.heard.append((message.topic, bytes(message.payload)))
        self._client.connect(broker.host, broker.port)
        self._client.subscribe("renrum/#", qos=1)
        self._client.loop_start()
        deadline = time.monotonic() + 5
        while not self._client.is_connected():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.1)

    def messages(self, count: int) -> list[tuple[str, bytes]]:
        deadline = time.monotonic() + 5
        while len(self.heard) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        self._client.loop_stop()
        return self.heard


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Mosquitto(tmp_path / "mosquitto") as mosquitto:
        yield Broker("127.0.0.1", mosquitto.port)


def simulated(seconds: int) -> tuple[Facility, list[Chunk]]:
    return FACILITY, list(Simulation(FACILITY, load_scenario("demo"), 1, START).until(START + seconds * SECOND))


@needs_mosquitto
def test_every_message_is_counted_when_acknowledged_and_says_that_it_is_simulated(broker: Broker) -> None:
    facility, chunks = simulated(30)
    listener = Listener(broker)
    with Outlet(broker, RealClock()) as outlet:
        told = publish(chunks, outlet, facility, RealClock(), start_ns=START, speed=0)
    heard = listener.messages(told.messages)
    assert told.readings == told.messages == len(heard) == sum(map(len, chunks))
    payloads, unintelligible = [], 0
    for topic, payload in heard:
        try:
            payloads.append((topic, msgspec.json.decode(payload)))
        except msgspec.DecodeError:
            unintelligible += 1
            assert topic == "renrum/flemingsberg/pal1/pal1.climate.temp"
    assert unintelligible == 1
    assert {payload["origin"] for _, payload in payloads} == {"simulator"}
    pressures = [payload for topic, payload in payloads if topic == "renrum/flemingsberg/cp1/cp1.dp1.dp"]
    assert [payload["seq"] for payload in pressures] == list(range(15))
    assert {payload["unit"] for payload in pressures} == {"Pa"}
    counts = [payload for topic, payload in payloads if topic == "renrum/flemingsberg/cp1/bsc1.p05"]
    assert all("value" not in payload and payload["volume_l"] > 0 and isinstance(payload["count"], int) for payload in counts)
    humidities = [payload["quality"] for topic, payload in payloads if topic.endswith("st1.climate.rh")]
    assert set(humidities) == {"good", "bad"}
    assert len(payloads) - len({json.dumps(payload) + topic for topic, payload in payloads}) == 2, "duplicates are the same to the byte"


@needs_mosquitto
def test_each_element_of_an_array_counts(broker: Broker) -> None:
    facility, chunks = simulated(30)
    with Outlet(broker, RealClock()) as outlet:
        told = publish(chunks, outlet, facility, RealClock(), start_ns=START, speed=0, batch=10)
    assert told.readings == sum(map(len, chunks))
    assert told.messages < told.readings / 3


@needs_mosquitto
def test_readings_go_out_at_the_pace_that_is_asked_for(broker: Broker) -> None:
    facility, chunks = simulated(30)
    begun = time.monotonic()
    with Outlet(broker, RealClock()) as outlet:
        publish(chunks, outlet, facility, RealClock(), start_ns=START, speed=30)
    assert 0.9 < time.monotonic() - begun < 2.5


@needs_mosquitto
def test_a_simulation_without_end_stops_when_told_to(broker: Broker) -> None:
    simulation = Simulation(FACILITY, load_scenario("demo"), 1, START)
    end = time.monotonic() + 0.5
    with Outlet(broker, RealClock()) as outlet:
        told = publish(
            simulation.until(START + 10**18), outlet, FACILITY, RealClock(), start_ns=START, speed=10, stop=lambda: time.monotonic() > end
        )
    assert told.readings == outlet.readings > 10
    assert time.monotonic() - end < 1.5


@pytest.mark.parametrize("speed", [-1.0, float("nan"), float("inf")])
def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        publish([], Outlet(Broker("127.0.0.1"), RealClock()), FACILITY, RealClock(), start_ns=START, speed=speed)


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("mqtt://127.0.0.1", Broker("127.0.0.1", 1883)),
        ("mqtts://b.example.org", Broker("b.example.org", 8883, tls=True)),
        ("mqtt://u:p%40ss@host:1999", Broker("host", 1999, "u", "p@ss")),
        ("mqtt://u@host", Broker("host", 1883, "u", "from elsewhere")),
    ],
)
def test_a_brokers_address_is_read(url: str, broker: Broker) -> None:
    assert parse_broker(url, "from elsewhere" if broker.username and ":p" not in url else None) == broker


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1", "http://host", "mqtt://", "mqtt://host:port", "mqtt://host:0", "mqtt://host/topic", "mqtt://host:99999"]
)
def test_what_is_no_brokers_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="a URL such as"):
        parse_broker(url)


def test_a_password_is_never_shown() -> None:
    assert "secret" not in f"{parse_broker('mqtt://u:secret@host')!r} {parse_broker('mqtt://u:secret@host')}"


@needs_mosquitto
def test_states_of_rooms_are_kept_by_the_broker_and_stand_between_the_readings(broker: Broker) -> None:
    scenario = parse_scenario("events: [{kind: occupancy, place: cp1, state: cleaning, at: 5s, for: 5s}]", "s.yaml")
    chunks = list(Simulation(FACILITY, scenario, 1, START).until(START + 20 * SECOND))
    listener = Listener(broker)
    with Outlet(broker, RealClock()) as outlet:
        told = publish(chunks, outlet, FACILITY, RealClock(), start_ns=START, speed=0)
    heard = listener.messages(told.messages)
    places = [row for row, (topic, _) in enumerate(heard) if topic == "renrum/flemingsberg/cp1/occupancy"]
    assert [msgspec.json.decode(heard[row][1])["state"] for row in places] == ["cleaning", "in_operation"]
    assert 0 < places[0] < places[1] < len(heard) - 1
    assert told.readings == told.messages - 2
    assert Listener(broker).messages(1)[0][1] == heard[places[1]][1]


# Load


@needs_mosquitto
def test_load_is_what_it_says_that_it_sent(broker: Broker) -> None:
    facility = load_site(50, SECOND // 10)
    listener = Listener(broker)
    with Outlet(broker, RealClock()) as outlet:
        sent = publish_load(outlet, facility, RealClock(), start_ns=START, gap_ns=SECOND // 10, duration_ns=2 * SECOND, batch=5)
    heard = listener.messages(sent.messages)
    assert (sent.points, sent.each, sent.readings, sent.messages) == (50, 20, 1000, 200) == (50, 20, 1000, len(heard))
    assert 1.9 < sent.seconds < 5
    readings: dict[str, list[dict[str, object]]] = {}
    for topic, payload in heard:
        readings.setdefault(topic, []).extend(msgspec.json.decode(payload))
    assert set(readings) == {f"renrum/load/r0/r0.p{number}" for number in range(50)}
    for own in readings.values():
        assert [reading["seq"] for reading in own] == list(range(20))
        assert [reading["time"] for reading in own] == [START + number * SECOND // 10 for number in range(20)]
        assert {reading["origin"] for reading in own} == {"simulator"}


def test_the_facility_of_a_load_is_one_that_a_service_reads(tmp_path: Path) -> None:
    made = load_site(250, SECOND)
    (tmp_path / "facility.yaml").write_text(facility_text(made), "utf-8")
    read = load_facility(tmp_path / "facility.yaml")
    assert [(p.id, p.quantity, p.unit, p.room, p.period_ns) for p in read.points] == [
        (p.id, p.quantity, p.unit, p.room, p.period_ns) for p in made.points
    ]


def test_an_unintelligible_reading_comes_instead_of_the_good_one() -> None:
    scenario = parse_scenario("events: [{kind: garble, point: bsc1.p05, at: 0s, for: 20s}]", "s.yaml")
    chunk = Chunk.concatenate(list(Simulation(FACILITY, scenario, 1, START).until(START + 20 * SECOND)))
    assert (chunk.kind == GARBLED).sum() == 4
    assert (chunk.kind[chunk.point == [point.id for point in FACILITY.points].index("bsc1.p05")] == GARBLED).all()
