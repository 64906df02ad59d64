"""An installation as `renrum init --production` writes it, on free ports: its broker and its service."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner, Result
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from service.cli import main
from tests.support.mosquitto import Mosquitto
from tests.support.service import Service


def init(folder: Path, *arguments: str) -> Result:
    """`renrum init FOLDER --production …`."""
    return CliRunner().invoke(main, ["init", str(folder), "--production", *arguments])


class ProductionBroker(Mosquitto):
    """Mosquitto with the very files of a production folder; only paths and the port are those of the test."""

    def __init__(self, folder: Path, files: Path) -> None:
        super().__init__(folder)
        self._files = files

    def configuration(self) -> str:
        text = (self._files / "mosquitto.conf").read_text("utf-8")
        for shipped, here in {
            "/etc/mosquitto/renrum/": f"{self._files}/",
            "listener 8883\n": f"listener {self.port} 127.0.0.1\n",
            "/var/lib/mosquitto/": f"{self.folder}/",
            "log_dest stderr": f"log_dest file {self.folder}/log",
        }.items():
            assert shipped in text
            text = text.replace(shipped, here)
        return text + ("user root\n" if os.geteuid() == 0 else "")


class Installed(Service):
    """The service of a production folder at a broker; the console on a free port."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self.folder, self.hooks = folder, ()
        self.config = folder / "renrum.yaml"
        self.data_dir = folder / "data"
        self.log_file = folder / "log"
        self._pid = None
        self._begun = 0
        text = self.config.read_text("utf-8")
        assert "mqtts://localhost:8883" in text
        self.config.write_text(text.replace("localhost:8883", f"localhost:{broker.port}").replace("port: 8480", "port: 0"), "utf-8")


def trusting(folder: Path) -> ssl.SSLContext:
    """What a client has that got `tls/ca.pem` and nothing else."""
    return ssl.create_default_context(cafile=str(folder / "tls/ca.pem"))


class Instrument:
    """A gateway that speaks MQTT 5, in which a broker says no."""

    def __init__(self, folder: Path, port: int, account: str, password: str) -> None:
        self.client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.tls_set_context(trusting(folder))
        self.client.username_pw_set(account, password)
        self.client.max_inflight_messages_set(500)
        self.answers: list[ReasonCode] = []
        self.topics: list[str] = []
        self._answered = threading.Semaphore(0)
        self.client.on_connect = lambda *answer: self._hear(answer[3])
        self.client.on_publish = lambda *answer: self._hear(answer[3])
        self.client.on_subscribe = lambda *answer: self._hear(answer[3][0])
        self.client.on_message = lambda _client, _data, message: self.topics.append(message.topic)
        self.client.connect("localhost", port)
        self.client.loop_start()

    def _hear(self, answer: ReasonCode) -> None:
        self.answers.append(answer)
        self._answered.release()

    def told(self) -> str:
        """The broker's next word, such as `Success` or `Not authorized`."""
        assert self._answered.acquire(timeout=10)
        return str(self.answers[-1])


@contextmanager
def instrument(folder: Path, port: int, account: str = "gateway1", password: str | None = None) -> Iterator[Instrument]:
    """Connected, or told why not."""
    secret = folder / "secrets" / ("mqtt" if account == "renrum" else f"mqtt-{account}")
    one = Instrument(folder, port, account, secret.read_text().strip() if password is None else password)
    try:
        yield one
    finally:
        one.client.disconnect()
        one.client.loop_stop()
