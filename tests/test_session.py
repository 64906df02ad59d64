"""The session against a real Mosquitto: nothing is acknowledged before it is stored, and nothing that was not acknowledged is lost."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from ingest.listening import REACH_NS, SECOND_NS, Listening
from ingest.mqtt.link import Connection, Link
from ingest.mqtt.marker import INTERVAL_NS, PATIENCE_NS, Marker
from ingest.mqtt.probe import broker_keeps_queue
from ingest.mqtt.session import Session
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.mqtt import TOPIC, Recorder, eventually, numbered, publisher, running

Protocol = Literal["5", "3.1.1"]
both_protocols = pytest.mark.parametrize("protocol", ["5", "3.1.1"])


def settings_for(port: int, protocol: Literal["auto", "5", "3.1.1"] = "auto") -> Connection:
    return Connection("127.0.0.1", port, client_id="renrum-test", protocol=protocol, retry_first_s=0.05, retry_last_s=0.4)


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.mqtt.session.STORE_AGAIN_NS", SECOND_NS // 5)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "mosquitto") as broker:
        yield broker


def read_without_acknowledging(settings: Connection, count: int) -> list[bytes]:
    """What a service does that is killed before it could store: reads, and vanishes without a word."""
    link = Link(settings, "3.1.1" if settings.protocol == "3.1.1" else "5", ("renrum/lab/+/+",))
    link.open()
    deadline = time.monotonic() + 5
    while len(link.messages) < count and time.monotonic() < deadline:
        link.write()
        link.wait(0.05)
        link.read()
    payloads = [message.payload for message in link.messages]
    link._client._sock_close()
    link.close("killed")
    return payloads


@needs_mosquitto
@both_protocols
def test_what_comes_with_qos_0_is_handed_on_once(broker: Mosquitto, protocol: Protocol) -> None:
    sink = Recorder()
    with running(settings_for(broker.port, protocol), sink), publisher(broker.port) as publish:
        eventually(lambda: "drained" in sink.kinds)
        hasty = Client(CallbackAPIVersion.VERSION2, "hasty")
        hasty.connect("127.0.0.1", broker.port)
        hasty.publish(TOPIC, b"hasty", qos=0)
        hasty.loop_write()
        eventually(lambda: b"hasty" in sink.payloads)
        publish(numbered(0, 3))
        eventually(lambda: len(sink.payloads) >= 4)
        hasty.disconnect()
    assert sink.payloads == [b"hasty", *numbered(0, 3)]


@needs_mosquitto
@both_protocols
def test_messages_arrive_in_order_and_once(broker: Mosquitto, protocol: Protocol) -> None:
    sink = Recorder()
    with running(settings_for(broker.port, protocol), sink) as session, publisher(broker.port) as publish:
        eventually(lambda: session.drained)
        publish(numbered(0, 500))
        eventually(lambda: len(sink.payloads) >= 500)
        assert session.connected
        assert session.protocol == protocol
        assert 0 < session.heard(time.monotonic_ns()) < 60 * SECOND_NS
    assert sink.payloads == numbered(0, 500)
    assert sink.kinds == ["connected", "drained", "disconnected"]
    assert f"MQTT {protocol}, session new" in sink.events[0].detail
    assert {message.topic for message in sink.messages} == {TOPIC}


@needs_mosquitto
@both_protocols
def test_what_was_read_but_not_acknowledged_comes_again(broker: Mosquitto, protocol: Protocol) -> None:
    settings = settings_for(broker.port, protocol)
    with running(settings, Recorder()) as session:
        eventually(lambda: session.drained)
    with publisher(broker.port) as publish:
        publish(numbered(0, 30))
        assert read_without_acknowledging(settings, 30) == numbered(0, 30)
        publish(numbered(30, 60))
    sink = Recorder()
    with running(settings, sink, expect_session=True):
        eventually(lambda: "drained" in sink.kinds)
        assert sink.payloads == numbered(0, 60)  # all of it before the queue counts as drained
    assert "session_lost" not in sink.kinds
    again = Recorder()
    with running(settings, again):
        eventually(lambda: "drained" in again.kinds)
    assert again.payloads == []


@needs_mosquitto
@both_protocols
def test_while_the_journal_is_unavailable_nothing_is_acknowledged_or_lost(broker: Mosquitto, protocol: Protocol) -> None:
    settings = settings_for(broker.port, protocol)
    sink = Recorder()
    with publisher(broker.port) as publish:
        with running(settings, sink) as session:
            eventually(lambda: session.drained)
            sink.unavailable.set()
            publish(numbered(0, 100))
            eventually(lambda: len(sink.offered) >= 2)
            assert session.connected
            assert not session.drained
            heard_ns = session.heard(time.monotonic_ns())
            publish(numbered(100, 150))
            eventually(lambda: len(sink.offered) >= 3)
            assert session.heard(time.monotonic_ns()) == heard_ns  # who cannot store does not listen
        assert sink.payloads == []
        later = Recorder()
        later.unavailable.set()
        with running(settings, later) as session:  # stopped meanwhile: the broker still has it all
            time.sleep(0.2)
            assert not session.drained
            later.unavailable.clear()
            eventually(lambda: session.drained)
            assert later.payloads == numbered(0, 150)
    again = Recorder()
    with running(settings, again):
        eventually(lambda: "drained" in again.kinds)
    assert again.payloads == []  # acknowledged once it was stored


@needs_mosquitto
def test_the_receive_maximum_bounds_what_is_in_memory(broker: Mosquitto) -> None:
    settings = replace(settings_for(broker.port, "5"), receive_maximum=10)
    sink = Recorder()
    with running(settings, sink) as session, publisher(broker.port) as publish:
        eventually(lambda: session.drained)
        sink.unavailable.set()
        publish(numbered(0, 200))
        eventually(lambda: len(sink.offered) >= 3)
        assert max(sink.offered) == 10
        sink.unavailable.clear()
        eventually(lambda: len(sink.payloads) == 200)
        eventually(lambda: session.drained)
    assert sink.payloads == numbered(0, 200)


@needs_mosquitto
def test_the_link_stays_alive_while_nothing_can_be_stored(broker: Mosquitto) -> None:
    settings = replace(settings_for(broker.port), keepalive_s=1)
    sink = Recorder()
    with running(settings, sink) as session, publisher(broker.port) as publish:
        eventually(lambda: session.drained)
        sink.unavailable.set()
        publish([b"1"])
        time.sleep(2.5)  # the broker drops a client that is silent for one and a half times its keep-alive
        sink.unavailable.clear()
        eventually(lambda: session.drained)
    assert sink.kinds == ["connected", "drained", "drained", "disconnected"]


@needs_mosquitto
def test_the_link_lost_while_nothing_can_be_stored_is_taken_up_again(broker: Mosquitto) -> None:
    sink = Recorder()
    with running(settings_for(broker.port), sink) as session, publisher(broker.port) as publish:
        eventually(lambda: session.drained)
        sink.unavailable.set()
        publish(numbered(0, 20))
        eventually(lambda: sum(sink.offered) > 0)
        broker.stop()
        eventually(lambda: not session.connected)
        broker.start()
        sink.unavailable.clear()
        eventually(lambda: session.drained)
    assert sink.payloads[:20] == numbered(0, 20)
    assert set(sink.payloads[20:]) <= set(numbered(0, 20))  # redelivered: the acknowledgement was of the lost link


@needs_mosquitto
def test_an_error_of_the_sink_ends_the_run_and_acknowledges_nothing(broker: Mosquitto) -> None:
    settings = settings_for(broker.port)
    sink = Recorder()
    session = Session(settings, "lab", sink, time.monotonic_ns, check_queue=False)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            session.run(threading.Event())
        except ZeroDivisionError as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    eventually(lambda: session.drained)
    sink.broken.set()
    with publisher(broker.port) as publish:
        publish([b"1", b"2"])
    thread.join(10)
    assert len(failures) == 1
    assert not session.connected
    after = Recorder()
    with running(settings, after):
        eventually(lambda: after.payloads == [b"1", b"2"])


@needs_mosquitto
@both_protocols
def test_a_restarted_broker_is_found_again(broker: Mosquitto, protocol: Protocol) -> None:
    sink = Recorder()
    with running(settings_for(broker.port, protocol), sink) as session:
        eventually(lambda: session.drained)
        broker.stop()
        eventually(lambda: "disconnected" in sink.kinds)
        heard_ns = session.heard(time.monotonic_ns())
        assert not session.drained
        time.sleep(0.2)
        assert session.heard(time.monotonic_ns()) == heard_ns
        broker.start()
        eventually(lambda: session.drained)
        with publisher(broker.port) as publish:
            publish([b"after"])
        eventually(lambda: sink.payloads == [b"after"])
    kinds = sink.kinds
    assert kinds.count("connect_failed") <= 1  # the same reason is told once, however often it is tried
    assert [kind for kind in kinds if kind != "connect_failed"] == ["connected", "drained", "disconnected"] * 2
    assert sink.events[-3].detail.endswith("session present")


@needs_mosquitto
def test_a_broker_that_lost_the_session_is_told(broker: Mosquitto) -> None:
    sink = Recorder()
    with running(settings_for(broker.port), sink) as session:
        eventually(lambda: session.drained)
        broker.kill()  # before it saved anything
        eventually(lambda: "disconnected" in sink.kinds)
        broker.start()
        eventually(lambda: session.drained)
    assert "session_lost" in sink.kinds
    assert sink.kinds.index("session_lost") > sink.kinds.index("disconnected")


@needs_mosquitto
def test_a_broker_that_was_never_there_is_told_once_with_where_and_why() -> None:
    sink = Recorder()
    with running(settings_for(1), sink):
        eventually(lambda: sink.kinds != [])
        time.sleep(0.3)
    assert sink.kinds == ["connect_failed"]
    assert "127.0.0.1:1" in sink.events[0].detail
    assert "refused" in sink.events[0].detail


@needs_mosquitto
def test_a_wrong_password_is_told_without_showing_it(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, anonymous=False) as broker:
        settings = replace(settings_for(broker.port), username="renrum", password="hush-hush")
        sink = Recorder()
        with running(settings, sink):
            eventually(lambda: sink.kinds != [])
        assert "uthori" in sink.events[0].detail
        assert "hush-hush" not in repr(sink.events) + repr(settings)


@needs_mosquitto
def test_a_refused_subscription_is_told(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic readwrite other/#\n")
    with Mosquitto(tmp_path / "mosquitto", more=f"acl_file {tmp_path / 'acl'}") as broker:
        sink = Recorder()
        with running(settings_for(broker.port), sink) as session:
            eventually(lambda: "refused" in sink.kinds)
            assert not session.drained
    refusals = [event.detail for event in sink.events if event.kind == "refused"]
    assert "refuses" in refusals[0]


@needs_mosquitto
@pytest.mark.parametrize(("protocol", "told"), [("5", "refused"), ("3.1.1", "not_delivering")])  # 3.1.1 cannot say that it refuses
def test_a_broker_that_does_not_bring_the_marker_back_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: Protocol, told: str
) -> None:
    monkeypatch.setattr("ingest.mqtt.marker.PATIENCE_NS", SECOND_NS // 5)
    (tmp_path / "acl").write_text("topic read renrum/#\n")
    with Mosquitto(tmp_path / "mosquitto", more=f"acl_file {tmp_path / 'acl'}") as broker:
        sink = Recorder()
        with running(settings_for(broker.port, protocol), sink) as session:
            eventually(lambda: sink.kinds.count("connected") >= 2)
            assert not session.drained
            assert session.heard(time.monotonic_ns()) == 0
    assert told in sink.kinds
    assert all("$marker" in event.detail for event in sink.events if event.kind == told)


@needs_mosquitto
def test_the_start_up_check_finds_that_mosquitto_keeps_a_queue(broker: Mosquitto) -> None:
    sink = Recorder()
    with running(settings_for(broker.port), sink, check_queue=True):
        eventually(lambda: "queue_kept" in sink.kinds)
    assert sink.payloads == []  # what the check publishes is nobody's reading


def test_the_start_up_check_says_when_it_could_not_find_out() -> None:
    kept, words = broker_keeps_queue(settings_for(1), "5", "lab", time.monotonic_ns)
    assert not kept
    assert "could not be found out" in words


@needs_mosquitto
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls(tmp_path: Path) -> None:  # the warning: paho leaves the socket of a failed handshake to the garbage collector
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    request = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {certificate} -days 2 -subj /CN=localhost"
    try:
        subprocess.run([*request.split(), "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    with Mosquitto(tmp_path / "mosquitto", more=f"certfile {certificate}\nkeyfile {key}") as broker:
        sink = Recorder()
        with running(replace(settings_for(broker.port), tls=True, ca_file=str(certificate)), sink) as session:
            eventually(lambda: session.drained)
            sender = Client(CallbackAPIVersion.VERSION2)
            sender.tls_set(str(certificate))
            sender.connect("127.0.0.1", broker.port)
            sender.loop_start()
            for payload in numbered(0, 300):
                sender.publish(TOPIC, payload, qos=1)
            eventually(lambda: sink.payloads == numbered(0, 300))
            sender.disconnect()
            sender.loop_stop()
        untrusted = Recorder()
        with running(replace(settings_for(broker.port), tls=True), untrusted):
            eventually(lambda: untrusted.kinds == ["connect_failed"])
        assert "certificate" in untrusted.events[0].detail


def test_a_marker_drains_once_and_then_proves_delivery() -> None:
    marker = Marker("lab", "renrum")
    assert marker.topic == "renrum/lab/$marker/renrum"
    assert not marker.due(0)
    marker.begin(100)
    assert marker.due(100)
    first = marker.next_payload(100)
    assert not marker.due(101)
    assert not marker.came_back(b"of an earlier connection", 100)
    assert (marker.lag_ns(100), marker.lag_ns(107)) == (0, 7)
    assert marker.came_back(first, 105)
    assert marker.lag_ns(200) == 5
    assert marker.drained
    assert not marker.overdue(10**15)
    assert marker.due(100 + INTERVAL_NS)
    second = marker.next_payload(100 + INTERVAL_NS)
    assert marker.lag_ns(100 + INTERVAL_NS + 50) == 50, "one that is out longer than the last took"
    assert not marker.came_back(second, 100 + INTERVAL_NS)  # drained already
    assert not marker.came_back(second, 100 + INTERVAL_NS)
    assert marker.lag_ns(0) == 0
    marker.stop()
    assert marker.lag_ns(0) is None


def test_a_marker_that_does_not_come_back_is_overdue_unless_others_do() -> None:
    marker = Marker("lab", "renrum")
    marker.begin(0)
    marker.next_payload(0)
    assert not marker.overdue(PATIENCE_NS)
    assert marker.overdue(PATIENCE_NS + 1)
    marker.traffic(PATIENCE_NS)
    assert not marker.overdue(2 * PATIENCE_NS)
    marker.stop()
    assert not marker.overdue(10**15)


@given(st.lists(st.tuples(st.sampled_from(["start", "stop", "confirm", "at"]), st.integers(0, 5 * SECOND_NS))), st.integers(0, 10**18))
def test_listening_time_never_goes_back_nor_faster_than_the_clock(steps: list[tuple[str, int]], heard_ns: int) -> None:
    listening = Listening(heard_ns)
    now = 0
    for step, later_ns in steps:
        before = listening.at(now)
        now += later_ns
        getattr(listening, step)(now)
        assert before <= listening.at(now) <= before + min(later_ns, REACH_NS)


def test_a_hang_is_not_listening() -> None:
    listening = Listening()
    listening.start(0)
    listening.confirm(SECOND_NS)
    assert listening.at(100 * SECOND_NS) == SECOND_NS + REACH_NS
    listening.stop(100 * SECOND_NS)
    assert listening.at(200 * SECOND_NS) == SECOND_NS + REACH_NS
