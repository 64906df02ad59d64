"""The embedded broker, of both kinds, and the configuration that we ship for a real one."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest

from ingest.mqtt import broker as broker_module
from ingest.mqtt.broker import BrokerFailed, EmbeddedBroker
from ingest.mqtt.link import Connection
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.mqtt import Recorder, eventually, numbered, publisher, running

SHIPPED = Path(__file__).parent.parent / "deploy" / "mosquitto" / "mosquitto.conf"


def port_of(broker: EmbeddedBroker) -> int:
    return urlsplit(broker.url).port or 0


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def settings_for(broker: EmbeddedBroker, protocol: Literal["auto", "3.1.1"]) -> Connection:
    return Connection("127.0.0.1", port_of(broker), client_id="renrum-test", protocol=protocol)


@pytest.mark.parametrize("kind", [pytest.param("mosquitto", marks=needs_mosquitto), "amqtt"])
def test_readings_pass_through_the_embedded_broker(tmp_path: Path, kind: Literal["mosquitto", "amqtt"]) -> None:
    sink = Recorder()
    with EmbeddedBroker(tmp_path, kind=kind) as broker:
        assert broker.kind == kind
        with running(settings_for(broker, broker.protocol), sink) as session, publisher(port_of(broker)) as publish:
            eventually(lambda: session.drained)
            publish(numbered(0, 100))
            eventually(lambda: len(sink.payloads) == 100)
    assert sink.payloads == numbered(0, 100)
    assert not listens(port_of(broker))


# Before Python 3.11.3 asyncio leaves a connection open whose handler failed, as amqtt's does, and warns when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_session_falls_back_to_mqtt_3_with_amqtt_and_finds_that_it_keeps_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ingest.mqtt.session.HANDSHAKE_NS", 10**9
    )  # amqtt does not answer an MQTT 5 CONNECT; a second is enough to see that
    sink = Recorder()
    with EmbeddedBroker(tmp_path, kind="amqtt") as broker, running(settings_for(broker, "auto"), sink, check_queue=True) as session:
        eventually(lambda: "queue_not_kept" in sink.kinds)
        assert session.protocol == "3.1.1"
    assert sink.kinds[:3] == ["connect_failed", "connected", "drained"]
    assert "Traceback" not in "".join(capfd.readouterr())


def test_without_mosquitto_amqtt_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "mosquitto_binary", lambda: None)
    assert EmbeddedBroker(tmp_path).kind == "amqtt"
    with pytest.raises(BrokerFailed, match="install it"):
        EmbeddedBroker(tmp_path, kind="mosquitto")


@pytest.mark.parametrize("kind", [pytest.param("mosquitto", marks=needs_mosquitto), "amqtt"])
def test_a_port_that_is_taken_meanwhile_is_left_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Literal["mosquitto", "amqtt"]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken: int = other.getsockname()[1]
        free: Callable[[], int] = broker_module._free_port
        ports = iter([taken, taken])
        monkeypatch.setattr(broker_module, "_free_port", lambda: next(ports, 0) or free())
        with EmbeddedBroker(tmp_path, kind=kind) as broker:
            assert port_of(broker) != taken
            assert listens(port_of(broker))
        with pytest.raises(BrokerFailed, match=rf"127\.0\.0\.1:{taken}"):
            EmbeddedBroker(tmp_path, port=taken, kind=kind).__enter__()


@needs_mosquitto
def test_the_broker_of_a_killed_run_is_ended_and_its_queue_taken_over(tmp_path: Path) -> None:
    orphaned = EmbeddedBroker(tmp_path, kind="mosquitto")
    orphaned.__enter__()
    with EmbeddedBroker(tmp_path, kind="mosquitto") as broker:
        assert listens(port_of(broker))
        assert not listens(port_of(orphaned))
    orphaned.__exit__(None, None, None)


@needs_mosquitto
def test_the_shipped_configuration_keeps_a_long_queue_over_a_restart(tmp_path: Path) -> None:
    lines = [line.split("#")[0].split() for line in SHIPPED.read_text().splitlines()]
    given = {words[0]: words[1] for words in lines if words}
    assert given["allow_anonymous"] == "false"
    assert int(given["max_queued_messages"]) >= 1_000_000
    assert given["max_queued_bytes"] == "0"
    assert given["persistence"] == "true"
    # What a test bench lacks is left out, and what the test sets itself.
    away = {
        *("certfile", "keyfile", "tls_version", "password_file", "acl_file"),
        *("listener", "allow_anonymous", "persistence", "persistence_location", "log_dest", "max_queued_messages", "max_inflight_messages"),
    }
    rest = "\n".join(" ".join(words) for words in lines if words and words[0] not in away)
    with Mosquitto(tmp_path, more=rest) as broker:
        assert listens(broker.port)


@needs_mosquitto
def test_the_shipped_access_list_lets_the_service_work_and_an_instrument_only_publish(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    for user in ("renrum", "instruments"):
        create = [] if passwords.exists() else ["-c"]
        try:
            subprocess.run(["mosquitto_passwd", *create, "-b", str(passwords), user, "secret"], check=True, capture_output=True)
        except FileNotFoundError:
            pytest.skip("mosquitto_passwd is not installed")
    access = SHIPPED.with_name("acl")
    more = f"password_file {passwords}\nacl_file {access}"
    with Mosquitto(tmp_path / "mosquitto", more=more, anonymous=False) as broker:
        settings = Connection("127.0.0.1", broker.port, client_id="renrum-test", username="renrum", password="secret")
        sink = Recorder()
        with running(settings, sink, check_queue=True) as session:
            eventually(lambda: session.drained and "queue_kept" in sink.kinds)
        assert "refused" not in sink.kinds
