"""`renrum apply` to a running service on a real broker: under load, refused, killed at the commit points, and proved afterwards."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from facility.times import format_time, parse_time
from ingest.journal.entries import CONFIGURATION
from ingest.journal.journal import JournalReader
from service.applied import in_force
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.service import Service, renrum
from tests.support.verifying import wrong
from tests.test_sources_service import post
from tests.test_sparkplug_service import Plant, births, edge

pytestmark = needs_mosquitto
PATH = "/api/v1/configuration/apply"
POINTS = ("a.t0", "a.t1", "a.t2")
FACILITY = """
site: {id: lab, name: Laboratory}
rooms:
  - id: a
    name: Room A
    points:
"""
ROW = "      - {id: %s, quantity: temperature, unit: degC, range: [-50, 150]}\n"
RULES = "rules:\n  - {id: warm, kind: limit, level: action, priority: critical, above: %s, select: {quantity: temperature}}\n"
SOURCES = """
sources:
  - id: plant
    kind: json
    topic: plant/{tag}
    time: received
    readings:
      - {point: "a.{tag}", value: $.v}
"""
SINK = {"kind": "local", "file": "pages.jsonl"}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as running:
        yield running


def site(folder: Path, broker: Mosquitto, **more: Any) -> Service:
    example = folder / "example"
    example.mkdir(parents=True)
    (example / "facility.yaml").write_text(FACILITY + "".join(ROW % point for point in POINTS[:2]))
    (example / "rules.yaml").write_text(RULES % 50)
    service = Service(folder / "site", example, broker.url, **more)
    settings = json.loads(service.config.read_text())
    settings["mqtt"]["client_id"] = f"renrum-{folder.name}"
    service.config.write_text(json.dumps(settings))
    return service


class Load:
    """Readings of the points over and over, half of them above 50, every fifth a second late; `stop` gives how many there were."""

    def __init__(self, broker: Mosquitto, points: tuple[str, ...]) -> None:
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        self._points, self._stop, self.sent = points, threading.Event(), 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            for point in self._points:
                late = 10**9 if number % 5 == 0 else 0
                body = {"time": format_time(time.time_ns() - late), "value": 40 + number % 20}
                self._client.publish(f"renrum/lab/a/{point}", json.dumps(body), qos=1).wait_for_publish(10)
                self.sent += 1
            number += 1
            time.sleep(0.02)

    def stop(self) -> int:
        self._stop.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()
        return self.sent


def apply(service: Service, reason: str = "requalified", **more: Any) -> tuple[int, Any]:
    status, answer = post(service.url, PATH, {"reason": reason, "by": "Anna", **more})
    return status, answer


def rules(service: Service, above: float) -> None:
    (service.folder / "rules.yaml").write_text(RULES % above)


def test_everything_follows_under_load_and_what_happened_is_proved(tmp_path: Path, broker: Mosquitto) -> None:
    with site(tmp_path, broker) as service:
        service.until_listening()
        load = Load(broker, POINTS[:2])
        service.until(lambda: service.sums.stored > 50)
        for above in (55, 45, 57):
            rules(service, above)
            status, answer = apply(service)
            assert (status, answer["result"]) == (200, "applied")
            assert answer["changes"][0]["what"] == "rule warm above"
            time.sleep(0.3)
        points = json.loads(_get(service, "/api/v1/points"))["points"]
        assert {limit["above"] for point in points for limit in point["limits"]} == {57.0}

        # another point, another topic, another channel, all at once
        (service.folder / "facility.yaml").write_text(FACILITY + "".join(ROW % point for point in POINTS))
        (service.folder / "sources.yaml").write_text(SOURCES)
        settings = json.loads(service.config.read_text())
        service.config.write_text(json.dumps(settings | {"sources": "sources.yaml"}))
        night = {"kind": "local", "file": "night.jsonl"}
        (service.folder / "oncall.yaml").write_text(json.dumps({"channels": {"night": night}}))
        rules(service, 54)
        before = service.links("drained")
        status, answer = apply(service, change="CR-9")
        assert status == 200, answer
        moment = parse_time(answer["at"])
        service.until(lambda: service.links("drained") > before)  # a session for the new topics
        client = Client(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        client.publish("plant/t2", b'{"v": 99}', qos=1).wait_for_publish(10)
        client.disconnect()
        client.loop_stop()
        night_file = service.folder / "night.jsonl"
        service.until(lambda: night_file.exists() and "a.t2" in night_file.read_text())
        sent = load.stop() + 1
        service.until(lambda: service.sums.received >= sent and service.judged and not service.unsent)
        sums = service.sums
        assert (sums.received, sums.lost, set(sums.in_quarantine) - {"conflict"}) == (sent, 0, set())
        query = f"select count(*) from outbox join alarms on alarms.id = outbox.alarm where target = 'sink' and raised_at > {moment}"
        assert service._state(query) == [(0,)], "the channel that is gone gets nothing any more"
        points = json.loads(_get(service, "/api/v1/points"))["points"]
        assert {point["id"]: [limit["above"] for limit in point["limits"]] for point in points}["a.t2"] == [54.0]
        audit = service._state("select actor, object, old, new, reason from audit where action = 'configuration value' order by seq")
        assert ("Anna", "rule warm above", "55 degC", "45 degC", "requalified") in audit
        assert any(reason == "CR-9: requalified" and what == "a.t2" for _, what, _, _, reason in audit)
        service.stop()
    assert wrong(service.data_dir) == {}
    kept = service._state("select count(*) from excursions where closed_by = 'configuration'")
    assert kept[0][0] > 0
    assert len(in_force(service.data_dir)) == 5


def test_what_is_refused_changes_nothing(tmp_path: Path, broker: Mosquitto) -> None:
    with site(tmp_path, broker) as service:
        service.until_listening()
        settings = json.loads(service.config.read_text())
        rules(service, 60)
        for changed, key in (
            ({"environment": "demo"}, "environment"),
            ({"data_dir": "./other"}, "data_dir"),
            ({"mqtt": {"url": "mqtt://127.0.0.1:1"}}, "mqtt"),
            ({"http": {"port": 1234}}, "http"),
            ({"evaluate_every": "5s"}, "evaluate_every"),
        ):
            service.config.write_text(json.dumps(settings | changed))
            status, answer = apply(service)
            assert status == 422
            assert answer["detail"].startswith(f"{key} is changed, which a running service cannot follow")
            assert "stop it" in answer["detail"]
        service.config.write_text(json.dumps(settings))
        facility = (service.folder / "facility.yaml").read_text()
        (service.folder / "facility.yaml").write_text(facility.replace("id: lab", "id: other"))
        assert "site.id" in apply(service)[1]["detail"]
        (service.folder / "facility.yaml").write_text(facility)
        (service.folder / "rules.yaml").write_text((RULES % 60).replace("above", "abvoe"))
        status, answer = apply(service)
        assert status == 422
        assert "abvoe" in answer["detail"]
        rules(service, 61)
        status, answer = apply(service, expect="0" * 64)
        assert (status, answer["type"]) == (409, "urn:renrum:problem:files-changed")
        status, answer = apply(service, reason=" ")
        assert status == 400
        status, shown = apply(service, dry_run=True)
        assert (status, shown["result"], len(shown["changes"])) == (200, "shown", 1)
        assert len(in_force(service.data_dir)) == 1

        said = renrum("apply", "--config", service.config, "--url", service.url, "--reason", "by hand", "--yes", "--json")
        assert said.returncode == 0, said.stderr
        assert json.loads(said.stdout)["digest"] == shown["digest"]
        rules(service, 50)
        status, answer = apply(service, reason="back again")
        assert (status, answer["result"]) == (200, "applied")
        assert apply(service)[1]["result"] == "unchanged"
        service.stop()
    bodies = [body for _, body in in_force(service.data_dir)]
    assert [body.reason for body in bodies] == ["applied on start", "by hand", "back again"]
    assert bodies[0].hash == bodies[2].hash
    assert wrong(service.data_dir) == {}


@pytest.mark.parametrize("point", ["journalled", "stepped", "applied", "committed", "projected"])
def test_killed_while_it_takes_force(point: str, tmp_path: Path, broker: Mosquitto) -> None:
    with site(tmp_path, broker) as service:
        service.until_listening()
        load = Load(broker, POINTS[:2])
        service.until(lambda: service.sums.stored > 20)
        service.stop()
        rules(service, 45)
        service.hooks = ("--die-after", f"configuration:{point}")
        service.start()
        service.until(lambda: service.running)
        rules(service, 55)
        with suppress(OSError):  # whatever the socket says of a peer that was killed
            apply(service)
        assert service.died() == -9
        with closing(JournalReader(service.data_dir / "journal.db")) as journal:
            assert len(list(journal.entries(kinds=(CONFIGURATION,)))) == 3
        service.hooks = ()
        service.start()
        service.until(lambda: service.running)
        sent = load.stop()
        service.until(lambda: service.sums.received >= sent and service.judged and not service.unsent)
        service.stop()
    assert service.sums.lost == 0
    assert [body.reason for _, body in in_force(service.data_dir)] == ["applied on start", "applied on start", "requalified"]
    assert wrong(service.data_dir) == {}


def _get(service: Service, path: str) -> bytes:
    with urllib.request.urlopen(service.url.rstrip("/") + path, timeout=10) as answer:
        found: bytes = answer.read()
        return found


def test_edge_nodes_are_asked_for_their_births_again(tmp_path: Path, broker: Mosquitto) -> None:
    with Plant(tmp_path, broker.url) as plant, edge(broker) as node:
        births(plant, 1)
        node.data("plc", {"Env/rh": 46.0})
        plant.until(lambda: plant.sums.stored >= 3)
        facility = plant.folder / "facility.yaml"
        row = "      - {id: cp1.cycle, quantity: level, unit: '%', period: 1s}\n"
        facility.write_text(facility.read_text() + row)
        sources = plant.folder / "sources.yaml"
        line = '      - {node: ahu1, device: plc, metric: Cycle, point: cp1.cycle, unit: "%"}\n'
        sources.write_text(sources.read_text().replace('      - {node: "+"', f'{line}      - {{node: "+"'))
        status, answer = apply(plant)
        assert status == 200, answer
        births(plant, 2)
        node.data("plc", {"Cycle": 7.0, "Env/rh": 47.0})
        query = "select count(*) from excursions where cleared is null"
        plant.until(lambda: b"7.0" in _get(plant, "/api/v1/readings?point=cp1.cycle"))
        assert plant.sums.quarantined.total() == 0
        assert plant._state(query) == [(0,)], "the pause is no silence of an instrument"
        plant.stop()
    assert wrong(plant.data_dir) == {}
