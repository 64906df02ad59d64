"""Those who are shown what stands: a real Alertmanager, beacons over a real broker, a dead man's switch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from alerts.channels import DeliveryError
from alerts.duty.oncall import DEADMAN, load_oncall
from alerts.signals import Alertmanager, Beacon, Deadman, Signal, Standing
from facility.problems import ConfigurationError
from ingest.mqtt.link import Connection
from service.clock import SystemClock
from service.configuration.configuration import load_configuration
from service.pages.beacon import Publisher
from service.pages.signalling import FAILING_AFTER_NS, Showing, standing_in
from service.pipeline import Pipeline
from tests.support.alertmanager import RealAlertmanager, needs_alertmanager
from tests.support.archive_data import example_configuration
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.night import Night
from tests.support.pages import page
from tests.support.watched import HandClock

SECOND_NS = 10**9
ALARM = Standing("A1", "dp", "action", "high", "cp1.dp", "cp1", page().at_ns, active=True, acknowledged=False, page=page())


def until(true: Callable[[], object], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.05)


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    now = datetime.fromtimestamp(SystemClock().now_ns() / 1e9 - 120, ZoneInfo("Europe/Stockholm"))
    here = Night(tmp_path, "", f"{now:%Y-%m-%dT%H:%M}")
    yield here
    here.close()


def showing(here: Night, signal: Signal) -> Showing:
    """What stands in that night, shown to a signal."""
    return Showing("it", signal, lambda at: standing_in(here.store, here.paging.page, at), lambda: "", here.clock)


# Alertmanager


@needs_alertmanager
def test_alertmanager_is_shown_what_fires_and_what_is_over(night: Night, tmp_path: Path) -> None:
    with RealAlertmanager(tmp_path / "am") as server:
        shown = showing(night, Alertmanager(server.url))
        shown.look()
        assert server.alerts() == []
        night.reading("cp1.dp", 5.0)
        shown.look()
        (alert,) = server.alerts()
        assert alert["labels"] == {
            "alertname": "dp", "alarm": "A1", "point": "cp1.dp", "room": "cp1", "level": "action", "severity": "high",
            "site": "lab", "environment": "validation",
        }  # fmt: skip
        assert alert["annotations"]["summary"] == "validation ACTION high: cp1, cp1.dp 5 Pa below 10 Pa"
        assert alert["status"]["state"] in ("active", "unprocessed")

        night.acknowledge("Anna")
        shown.look()
        assert len(server.alerts()) == 1, "the condition lasts, whoever has seen it"
        night.tick(10 * SECOND_NS)
        night.reading("cp1.dp", 15.0)
        shown.look()
        until(lambda: server.alerts() == [])


@needs_alertmanager
def test_alertmanager_that_forgot_is_shown_again(night: Night, tmp_path: Path) -> None:
    with RealAlertmanager(tmp_path / "am") as server:
        shown = showing(night, Alertmanager(server.url))
        night.reading("cp1.dp", 5.0)
        shown.look()
        server.kill()
        night.tick(61 * SECOND_NS)
        shown.look()
        assert shown.why.startswith(f"alertmanager 127.0.0.1:{server.port}: ")
        server.start()
        assert server.alerts() == []
        night.tick(61 * SECOND_NS)
        shown.look()
        assert [alert["labels"]["alarm"] for alert in server.alerts()] == ["A1"]
        assert shown.why == ""


@needs_alertmanager
def test_an_alarm_that_rises_fires_once(night: Night, tmp_path: Path) -> None:
    with RealAlertmanager(tmp_path / "am") as server:
        shown = showing(night, Alertmanager(server.url))
        for value, severity in ((11.0, "low"), (5.0, "high")):
            night.reading("cp1.dp", value)
            shown.look()
            until(partial(lambda wanted: [alert["labels"]["severity"] for alert in server.alerts()] == [wanted], severity))
            night.tick(20 * SECOND_NS)


# Beacons


def listener(connection: Connection, topic: str) -> tuple[Client, list[str]]:
    """Whoever reads what a beacon is told, and all that it heard."""
    heard: list[str] = []

    def on_message(client: Client, userdata: object, message: MQTTMessage) -> None:
        heard.append(message.payload.decode())

    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = on_message
    client.on_connect = lambda client, *_: client.subscribe(topic, 1)
    client.connect(connection.host, connection.port)
    client.loop_start()
    return client, heard


@needs_mosquitto
def test_a_beacon_is_kept_at_what_the_worst_alarm_asks_for(night: Night, tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        connection = Connection("127.0.0.1", broker.port, "renrum-lab")
        beacon = Beacon("tower/1", (("off", "0"), ("steady", "1"), ("flashing", "2"), ("lost", "?")))
        publisher = Publisher("tower", beacon, connection)
        shown = showing(night, Beacon(beacon.topic, beacon.payloads, publish=publisher.publish))
        shown.look()
        client, heard = listener(connection, "tower/1")
        until(lambda: heard == ["0"])  # retained: it was said before
        night.reading("cp1.dp", 5.0)
        shown.look()
        until(lambda: heard[-1] == "2")
        night.acknowledge("Anna")
        shown.look()
        until(lambda: heard[-1] == "1")
        night.tick(10 * SECOND_NS)
        night.reading("cp1.dp", 15.0)
        shown.look()
        until(lambda: heard[-1] == "0")
        publisher.close()
        until(lambda: heard[-1] == "?")
        client.disconnect()
        client.loop_stop()


@needs_mosquitto
def test_a_beacon_hears_that_renrum_died_and_that_it_is_back(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        connection = Connection("127.0.0.1", broker.port, "renrum-lab")
        publisher = Publisher("tower", Beacon("tower/1"), connection)
        publisher.publish("tower/1", b"steady")
        client, heard = listener(connection, "tower/1")
        until(lambda: heard == ["steady"])
        link: Any = publisher._client.socket()
        link.shutdown(2)  # as when the process is killed
        until(lambda: heard[-1] == "lost")
        until(publisher._client.is_connected)
        publisher.publish("tower/1", b"steady")
        until(lambda: heard[-1] == "steady")
        publisher.close()
        client.disconnect()
        client.loop_stop()


def test_a_beacon_without_a_broker_says_so() -> None:
    publisher = Publisher("tower", Beacon("tower/1"), Connection("127.0.0.1", 1, "renrum-lab"))
    publisher._answered.set()
    with pytest.raises(DeliveryError, match=r"beacon tower/1 over 127\.0\.0\.1:1: not connected\. Check the broker"):
        publisher.publish("tower/1", b"off")
    publisher.close()


@pytest.mark.parametrize(
    ("priorities", "rooms", "state"),
    [((), (), "flashing"), (("critical",), (), "off"), (("high",), ("cp*",), "flashing"), ((), ("lab*",), "off")],
)
def test_a_beacon_may_be_for_some_alarms(priorities: tuple[str, ...], rooms: tuple[str, ...], state: str) -> None:
    assert Beacon("tower/1", priorities=priorities, rooms=rooms).state([ALARM]) == state


# Dead man's switch


@contextmanager
def counting() -> Iterator[tuple[str, list[str]]]:
    """A server that keeps the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/ping/s3cret", asked
    finally:
        server.shutdown()
        server.server_close()


def test_a_dead_mans_switch_is_told_only_while_all_is_well() -> None:
    clock, wrong = HandClock(), [""]
    with counting() as (url, asked):
        shown = Showing(DEADMAN, Deadman(url), lambda at: [], lambda: wrong[0], clock)
        for _ in range(120):
            shown.look()
            clock.turn(SECOND_NS)
        assert len(asked) == 2
        wrong[0] = "no step for 60 s"
        for _ in range(300):
            shown.look()
            clock.turn(SECOND_NS)
        assert len(asked) == 2
        wrong[0] = ""
        shown.look()
        assert asked == ["/ping/s3cret"] * 3


def test_a_signal_that_takes_nothing_is_tried_again_and_is_failing_after_a_while() -> None:
    clock = HandClock()
    with counting() as (url, _):
        pass
    shown = Showing(DEADMAN, Deadman(url), lambda at: [], lambda: "", clock)
    shown.look()
    assert "dead man's switch 127.0.0.1:" in shown.why
    assert "s3cret" not in shown.why
    assert not shown.failing()
    clock.turn(FAILING_AFTER_NS)
    shown.look()
    assert shown.failing()


# The service


def test_the_service_shows_what_stands_and_says_when_it_goes(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    example_configuration(folder)
    with counting() as (url, asked):
        (folder / "secret").write_text(url)
        text = (folder / "oncall.yaml").read_text().replace("channels:", "channels:\n  tower: {kind: beacon, topic: tower/1}", 1)
        (folder / "oncall.yaml").write_text(text + "\ndeadman: {url_file: secret, every: 1s}\n")
        pipeline = Pipeline(load_configuration(folder / "renrum.yaml", {}), SystemClock())
        pipeline.start()
        client, heard = listener(pipeline.connection, "tower/1")
        until(lambda: heard and heard[-1] == "off" and asked)
        assert not pipeline.signalling.failing()
        pipeline.stop()
        client.loop_stop()


# Configuration


def test_signals_are_read_and_get_no_pages(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("https://ping.example.org/uuid\n")
    (tmp_path / "oncall.yaml").write_text(
        "channels:\n"
        "  sink: {kind: local, file: sink}\n"
        "  am: {kind: alertmanager, url: 'http://127.0.0.1:9093'}\n"
        "  tower: {kind: beacon, topic: site/tower, priority: [critical, high], payloads: {flashing: blink}}\n"
        "deadman: {url_file: url, every: 2m}\n"
    )
    oncall = load_oncall(tmp_path / "oncall.yaml")
    assert oncall.everyone == ("sink",)
    assert set(oncall.signals) == {"am", "tower", DEADMAN}
    tower = oncall.signals["tower"]
    assert isinstance(tower, Beacon)
    assert tower.payload("flashing") == b"blink"
    assert oncall.signals[DEADMAN].every_ns == 120 * SECOND_NS
    assert "uuid" not in repr(oncall)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{am: {kind: alertmanager}}", "no address"),
        ("{tower: {kind: beacon, topic: renrum/lab/tower}}", "not below renrum/"),
        ("{tower: {kind: beacon, topic: a/+/b}}", r"a topic without \+ and #"),
        ("{tower: {kind: beacon, topic: a, priority: [urgent]}}", "urgent"),
        ("{tower: {kind: beacon, topic: a}}\npeople: [{id: anna, reach: [tower]}]", "the id of a channel"),
        ("{}\ndeadman: {}", "no address"),
    ],
)
def test_what_is_wrong_with_signals_is_said(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "oncall.yaml").write_text(f"channels: {text}\n")
    with pytest.raises(ConfigurationError, match=says):
        load_oncall(tmp_path / "oncall.yaml")
