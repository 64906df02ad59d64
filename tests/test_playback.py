"""Playback: a recording over MQTT arrives whole, in order, at the pace asked for, also over a broker's restart."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from facility.recording import read_recording
from facility.site import Facility, Place, Point, Site
from facility.times import format_time, parse_time
from simulators.broker import Broker, BrokerUnreachable
from simulators.outlet import Outlet
from simulators.playback import Played, play, retiming
from tests.support.mosquitto import Mosquitto, needs_mosquitto

S = 10**9
T0 = parse_time("2026-01-01T00:00:00Z")
FACILITY = Facility(
    Site("lab", "Laboratory"),
    places=(Place("cp1", "CP 1"),),
    points=(Point("cp1.dp", "differential_pressure", "Pa", "cp1"), Point("cp1.temp", "temperature", "degC", "cp1")),
)


class RealClock:
    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Recorder:
    """Stands for an outlet: keeps what is published and when, on a clock that only its waits move."""

    def __init__(self) -> None:
        self.now = 0
        self.sent: list[tuple[int, str, Any, bool]] = []
        self.readings = self.messages = self.unheard = self.reconnects = 0
        self.drained = False

    def monotonic_ns(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += int(seconds * S)

    wait = sleep

    def publish(self, topic: str, payload: bytes, readings: int = 1, retain: bool = False) -> None:
        self.sent.append((self.now, topic, json.loads(payload), retain))
        self.readings += readings
        self.messages += 1

    def drain(self) -> None:
        self.drained = True


def recording(path: Path, rows: list[str], columns: str = "time,point,value,quality,unit") -> Path:
    file = path / "r.csv"
    file.write_text("\n".join([columns, *rows]) + "\n")
    return file


def played(file: Path, **options: Any) -> tuple[Recorder, Played]:
    recorder = Recorder()
    result = play(read_recording(file), recorder, FACILITY, recorder, **options)  # type: ignore[arg-type]
    assert recorder.drained
    return recorder, result


def test_rows_become_messages_that_say_they_are_a_replay(tmp_path: Path) -> None:
    file = recording(
        tmp_path,
        [
            "2026-01-01T00:00:00Z,cp1.dp,14.6,,",
            "2026-01-01T00:00:01Z,cp1.temp,68,uncertain,degF",
            "2026-01-01T00:00:02Z,cp1/occupancy,at_rest,,",
            "2026-01-01T00:00:02Z,cp1.dp,NaN,bad,",
            "2026-01-01T00:00:02Z,elsewhere,1,,",
            "2026-01-01T00:00:02Z,attic/occupancy,at_rest,,",
            "never,cp1.dp,1,,",
        ],
    )
    recorder, result = played(file, speed=0)
    assert [(topic, payload, retain) for _, topic, payload, retain in recorder.sent] == [
        ("renrum/lab/cp1/cp1.dp", {"time": "2026-01-01T00:00:00Z", "value": 14.6, "origin": "replay"}, False),
        (
            "renrum/lab/cp1/cp1.temp",
            {"time": "2026-01-01T00:00:01Z", "value": 68.0, "unit": "degF", "quality": "uncertain", "origin": "replay"},
            False,
        ),
        ("renrum/lab/cp1/occupancy", {"time": "2026-01-01T00:00:02Z", "state": "at_rest", "origin": "replay"}, True),
        ("renrum/lab/cp1/cp1.dp", {"time": "2026-01-01T00:00:02Z", "value": None, "quality": "bad", "origin": "replay"}, False),
    ]
    assert (result.readings, result.states, result.rejected) == (3, 1, 1)
    assert result.unknown == {"elsewhere": 1, "attic/occupancy": 1}
    assert (result.at, result.done) == (T0 + 2 * S, 1.0)


def test_the_pace_is_that_of_arrival(tmp_path: Path) -> None:
    rows = [
        "2026-01-01T00:00:00Z,cp1.dp,1,2026-01-01T00:00:00Z",
        "2026-01-01T00:00:30Z,cp1.dp,2,2026-01-01T00:01:00Z",
        "2026-01-01T00:00:10Z,cp1.dp,3,2026-01-01T00:02:00Z",
        "2026-01-01T00:00:20Z,cp1.dp,4,2026-01-01T00:02:00Z",
    ]
    recorder, _ = played(recording(tmp_path, rows, "time,point,value,received"), speed=60)
    assert [(at / S, payload["value"]) for at, _, payload, _ in recorder.sent] == [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0), (2.0, 4.0)]
    assert [payload["time"][17:19] for _, _, payload, _ in recorder.sent] == ["00", "30", "10", "20"]


def test_batches_hold_what_is_due_together_and_no_state_overtakes(tmp_path: Path) -> None:
    rows = [f"2026-01-01T00:00:0{number}Z,cp1.{'dp' if number % 2 else 'temp'},{number},," for number in range(8)]
    rows.insert(6, "2026-01-01T00:00:05Z,cp1/occupancy,at_rest,,")
    recorder, result = played(recording(tmp_path, rows), speed=0, batch=2)
    sent = [
        (topic.rsplit("/")[-1], [r["value"] for r in payload] if isinstance(payload, list) else payload)
        for _, topic, payload, _ in recorder.sent
    ]
    assert [values for name, values in sent if name == "cp1.dp"][:1] == [[1.0, 3.0]]
    at = [name for name, _ in sent].index("occupancy")
    values = [value for name, part in sent[:at] for value in (part if isinstance(part, list) else [part["value"]])]
    assert sorted(values) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert (result.readings, result.states) == (8, 1)
    slow, _ = played(recording(tmp_path, rows), speed=1, batch=100)
    assert all(isinstance(payload, dict) for _, _, payload, _ in slow.sent), "readings that are not due together wait for nobody"


@pytest.mark.parametrize("speed", [0.5, 1.0, 60.0, 0.0])
def test_retimed_readings_keep_their_distances_and_are_never_ahead_of_the_clock(tmp_path: Path, speed: float) -> None:
    rows = [f"{format_time(T0 + at * S)},cp1.dp,{at},," for at in (0, 10, 7, 50, 120)]
    start = parse_time("2030-05-01T12:00:00Z")
    shift = retiming((T0, T0 + 120 * S), start, speed)
    recorder, _ = played(recording(tmp_path, rows), speed=speed, shift_ns=shift)
    times = [parse_time(payload["time"]) for _, _, payload, _ in recorder.sent]
    assert [(late - early) // S for early, late in pairwise(times)] == [10, -3, 43, 70]
    assert all(moment <= start + at for moment, (at, *_) in zip(times, recorder.sent, strict=True))
    if speed >= 1:
        assert times[-1] == start + recorder.sent[-1][0], "it ends now"


def test_progress_is_told_and_a_speed_below_nought_refused(tmp_path: Path) -> None:
    file = recording(tmp_path, ["2026-01-01T00:00:00Z,cp1.dp,1,,", "2026-01-01T00:01:00Z,cp1.dp,1,,"])
    seen: list[Played] = []
    played(file, speed=1, progress=seen.append)
    assert [progress.readings for progress in seen] == [1, 2, 2]
    assert seen[-1].done == 1.0
    with pytest.raises(ValueError, match="speed"):
        played(file, speed=-1)


# Over a real broker


class Listener:
    """A durable subscriber in a thread of its own."""

    def __init__(self, port: int) -> None:
        self.values: list[float] = []
        self.states: list[dict[str, Any]] = []
        self.ready = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, "listener", clean_session=False, protocol=mqtt.MQTTv311)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe("renrum/#", qos=1) and None
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.on_message = self._on_message
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.ready.wait(10)

    def _on_message(self, _client: mqtt.Client, _: Any, message: mqtt.MQTTMessage) -> None:
        payload = json.loads(message.payload)
        if message.topic.endswith("/occupancy"):
            self.states.append(payload)
        else:
            self.values += [reading["value"] for reading in (payload if isinstance(payload, list) else [payload])]

    def holds(self, count: int) -> bool:
        end = time.monotonic() + 20
        while len(set(self.values)) < count and time.monotonic() < end:
            time.sleep(0.02)
        return len(set(self.values)) == count


@contextmanager
def listening(port: int) -> Iterator[Listener]:
    listener = Listener(port)
    try:
        yield listener
    finally:
        listener.client.disconnect()
        listener.client.loop_stop()


def numbered(path: Path, count: int) -> Path:
    return recording(path, [f"{format_time(T0 + number * S)},cp1.dp,{number},," for number in range(count)])


@needs_mosquitto
@pytest.mark.parametrize("batch", [1, 50])
def test_every_reading_arrives_once_and_in_order(tmp_path: Path, batch: int) -> None:
    with Mosquitto(tmp_path / "broker") as broker, listening(broker.port) as listener:
        clock = RealClock()
        with Outlet(Broker("127.0.0.1", broker.port), clock, in_flight=30) as outlet:
            result = play(read_recording(numbered(tmp_path, 1000)), outlet, FACILITY, clock, speed=0, batch=batch)
        assert (result.readings, result.messages, result.unheard) == (1000, 1000 // batch, 0)
        assert listener.holds(1000)
        assert listener.values == [float(number) for number in range(1000)]


@needs_mosquitto
def test_a_broker_that_restarts_costs_no_reading(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, listening(broker.port) as listener:
        clock = RealClock()
        restarted = False

        def restart(progress: Played) -> None:
            nonlocal restarted
            if progress.readings > 800 and not restarted:
                restarted = True
                broker.stop()
                broker.start()

        with Outlet(Broker("127.0.0.1", broker.port), clock, in_flight=100) as outlet:
            result = play(read_recording(numbered(tmp_path, 3000)), outlet, FACILITY, clock, speed=0, progress=restart)
        assert restarted
        assert (result.readings, result.reconnects) == (3000, 1)
        assert listener.holds(3000)


@needs_mosquitto
def test_nobody_listening_is_told_and_states_are_retained(tmp_path: Path) -> None:
    file = recording(tmp_path, ["2026-01-01T00:00:00Z,cp1.dp,1,,", "2026-01-01T00:00:00Z,cp1/occupancy,at_rest,,"])
    with Mosquitto(tmp_path / "broker") as broker:
        clock = RealClock()
        with Outlet(Broker("127.0.0.1", broker.port), clock) as outlet:
            result = play(read_recording(file), outlet, FACILITY, clock, speed=0)
        assert (result.messages, result.unheard) == (2, 2)
        with listening(broker.port) as listener:
            end = time.monotonic() + 10
            while not listener.states and time.monotonic() < end:
                time.sleep(0.02)
            assert listener.states == [{"time": "2026-01-01T00:00:00Z", "state": "at_rest", "origin": "replay"}]


@needs_mosquitto
def test_a_refused_message_and_a_refused_user_end_the_playback(tmp_path: Path) -> None:
    rights = tmp_path / "rights"
    rights.write_text("topic read #\n")
    clock = RealClock()
    with (
        Mosquitto(tmp_path / "broker", f"acl_file {rights}") as broker,
        pytest.raises(BrokerUnreachable, match=r"refused a message \(Not authorized\)"),
        Outlet(Broker("127.0.0.1", broker.port), clock) as outlet,
    ):
        play(read_recording(numbered(tmp_path, 3)), outlet, FACILITY, clock, speed=0)
    with (
        Mosquitto(tmp_path / "closed", anonymous=False) as broker,
        pytest.raises(BrokerUnreachable, match=r"no connection to .*[Nn]ot authorized"),
        Outlet(Broker("127.0.0.1", broker.port), clock),
    ):
        pass


@needs_mosquitto
def test_a_broker_that_stays_away_ends_the_playback_with_the_counts(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        clock = RealClock()

        def stop(progress: Played) -> None:
            if progress.readings > 800:
                broker.stop()

        with (
            pytest.raises(BrokerUnreachable, match=r"is lost .* acknowledged: "),
            Outlet(Broker("127.0.0.1", broker.port), clock, patience_s=0.3) as outlet,
        ):
            play(read_recording(numbered(tmp_path, 3000)), outlet, FACILITY, clock, speed=0, progress=stop)


def test_no_broker_at_all() -> None:
    with pytest.raises(BrokerUnreachable, match=r"no connection to mqtt://127\.0\.0\.1:9"), Outlet(Broker("127.0.0.1", 9), RealClock()):
        pass
