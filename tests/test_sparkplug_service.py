"""Sparkplug B with the whole service on a real broker: births, data, deaths, lost numbers, late data, and a service that is killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from facility.reading import Readings
from ingest.journal.entries import CONFIGURATION, INGEST, SOURCE, ConfigurationBody, SourceBody, decode, ingest_body, readings_of
from ingest.journal.journal import JournalReader
from tests.support.edge import EdgeNode, now_ms, until
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.service import Service, renrum

pytestmark = needs_mosquitto

FACILITY = """
site: {id: lab, name: Laboratory}
rooms:
  - id: cp1
    name: Cell processing 1
    grade: B
    points:
      - {id: cp1.temp, quantity: temperature, unit: degC, period: 1s}
      - {id: cp1.rh, quantity: relative_humidity, unit: "%", period: 1s}
      - {id: cp1.dp, quantity: differential_pressure, unit: Pa, period: 1s}
"""
RULES = """
rules:
  - {id: silent, kind: stale, after: 10m, select: {}}
  - {id: warm, kind: limit, level: action, above: 25, select: {quantity: temperature}}
"""
SOURCES = """
sources:
  - id: plant
    kind: sparkplug
    group: plant
    host_id: renrum
    reorder: 500ms
    rebirth_every: 1s
    birth_within: 3s
    metrics:
      - {node: ahu1, device: plc, metric: Room/Temperature, point: cp1.temp, unit: degC}
      - {node: "+", device: "+", metric: "Env/{what}", point: "cp1.{what}"}
"""


class Plant(Service):
    """The service with a source of Sparkplug B."""

    def __init__(self, folder: Path, broker_url: str) -> None:
        example = folder / "example"
        example.mkdir(parents=True)
        (example / "facility.yaml").write_text(FACILITY)
        (example / "rules.yaml").write_text(RULES)
        super().__init__(folder / "service", example, broker_url)
        (self.folder / "sources.yaml").write_text(SOURCES)
        self.config.write_text(json.dumps(json.loads(self.config.read_text()) | {"sources": "sources.yaml"}))

    def told(self, event: str) -> list[str]:
        """The sources of which the journal has such an event, in order."""
        return [body.source for body in self.events if body.event == event]

    @property
    def events(self) -> list[SourceBody]:
        try:
            with closing(JournalReader(self.data_dir / "journal.db")) as reader:
                bodies = [decode(entry) for entry in reader.entries(kinds=(SOURCE,))]
        except Exception:
            return []
        return [body for body in bodies if isinstance(body, SourceBody)]

    def silent(self) -> list[tuple[str, bool]]:
        """Points of stale excursions, and whether they are open."""
        query = "select point, cleared is null from excursions where rule = 'silent' and status = 'current' order by onset, point"
        rows = self._state(query)
        return [(point, bool(standing)) for point, standing in rows]

    def values(self, point: str) -> list[float]:
        """Its stored values, in order of arrival."""
        with closing(JournalReader(self.data_dir / "journal.db")) as reader:
            [configuration] = [decode(entry) for entry in reader.entries(kinds=(CONFIGURATION,))]
            batches = [readings_of(entry, ingest_body(entry)) for entry in reader.entries(kinds=(INGEST,))]
        assert isinstance(configuration, ConfigurationBody)
        readings = Readings.concatenate(batches)
        values: list[float] = readings.value[readings.point == configuration.points[point]].tolist()
        return values

    def proven(self) -> None:
        done = renrum("verify", "--config", self.config)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def plant(tmp_path: Path, broker: Mosquitto) -> Iterator[Plant]:
    with Plant(tmp_path, broker.url) as plant:
        plant.until_listening()
        yield plant


def edge(broker: Mosquitto, first_alias: int = 0) -> EdgeNode:
    devices = {"plc": {"Room/Temperature": 20.0, "Env/rh": 45.0, "Cycle": 3.0}}
    return EdgeNode(broker.port, "plant", "ahu1", devices, first_alias)


def births(plant: Plant, count: int) -> None:
    plant.until(lambda: plant.told("born").count("plant/ahu1/plc") >= count)


def test_a_death_is_stale_at_once_and_a_birth_ends_it(plant: Plant, broker: Mosquitto) -> None:
    with edge(broker) as node:
        births(plant, 1)
        node.data("plc", {"Room/Temperature": 21.5, "Env/rh": 46.0})
        plant.until(lambda: plant.sums.stored >= 4)
        node.vanish()
        plant.until(lambda: plant.silent() == [("cp1.rh", True), ("cp1.temp", True)])
        assert plant.told("died") == ["plant/ahu1"]
        node.connect()
        plant.until(lambda: plant.silent() == [("cp1.rh", False), ("cp1.temp", False)])
        node.device_death("plc")
        plant.until(lambda: [standing for _, standing in plant.silent()] == [False, False, True, True])
        node.device_birth("plc")
        plant.until(lambda: not any(standing for _, standing in plant.silent()))
        plant.until(lambda: plant.judged and not plant.unsent)
        assert set(plant.values("cp1.temp")) == {20.0, 21.5}
    plant.stop()
    plant.proven()


def test_a_gap_is_counted_and_a_rebirth_asked_for(plant: Plant, broker: Mosquitto) -> None:
    with edge(broker) as node:
        births(plant, 1)
        asked = node.rebirths
        node.data("plc", {"Env/rh": 47.0}, skip=3)
        until(lambda: node.rebirths > asked)
        births(plant, 2)
        assert [body.lost for body in plant.events if body.event == "gap"] == [3]
        assert 47.0 in plant.values("cp1.rh")
        assert plant.silent() == []


def test_buffered_data_is_late_data(plant: Plant, broker: Mosquitto) -> None:
    with edge(broker) as node:
        births(plant, 1)
        plant.until(lambda: plant.sums.stored >= 2 and plant.judged)
        begun = now_ms() - 600_000
        for second, value in enumerate([24.0, 26.0, 27.0, 24.5]):
            node.data("plc", {"Room/Temperature": value}, at_ms=begun + 1000 * second, historical=True)
        plant.until(lambda: plant._state("select peak, late from excursions where rule = 'warm' and cleared is not null") == [(27.0, 1)])
        assert plant.sums.quarantined.total() == 0
    plant.stop()
    plant.proven()


def test_a_killed_service_maps_no_alias_of_before(plant: Plant, broker: Mosquitto) -> None:
    with edge(broker) as node:
        births(plant, 1)
        node.data("plc", {"Room/Temperature": 22.0, "Env/rh": 48.0})
        plant.until(lambda: plant.sums.stored >= 4)
        plant.kill()
        until(lambda: json.loads(node.states[-1])["online"] is False)
        # While nobody listens the aliases change places: what was the temperature is the humidity now.
        node.devices["plc"] = {"Env/rh": 50.0, "Room/Temperature": 23.0, "Cycle": 4.0}
        node.birth()
        node.deaf = True
        plant.start()
        plant.until_listening()
        node.data("plc", {"Env/rh": 51.0})
        plant.until(lambda: plant.sums.quarantined["before_birth"] == 1)
        node.deaf = False
        node.data("plc", {"Env/rh": 52.0})
        births(plant, 2)
        node.data("plc", {"Env/rh": 53.0})
        plant.until(lambda: 53.0 in plant.values("cp1.rh"))
        assert set(plant.values("cp1.temp")) == {20.0, 22.0, 23.0}
        assert set(plant.values("cp1.rh")) <= {45.0, 48.0, 50.0, 52.0, 53.0}
        until(lambda: json.loads(node.states[-1])["online"] is True)
        assert plant.silent() == []
    plant.stop()
    plant.proven()


def test_who_does_not_come_back_while_we_are_away_is_dead_after_a_while(plant: Plant, broker: Mosquitto) -> None:
    with edge(broker) as node:
        births(plant, 1)
        plant.until(lambda: plant.judged and plant.sums.stored >= 2)
        plant.kill()
        node.vanish()
        plant.start()
        plant.until_listening()
        assert plant.silent() == []
        plant.until(lambda: plant.silent() == [("cp1.rh", True), ("cp1.temp", True)])
    plant.stop()
    plant.proven()


def test_the_service_says_whether_it_is_online(plant: Plant, broker: Mosquitto) -> None:
    with edge(broker) as node:
        until(lambda: len(node.states) > 0)
        online = json.loads(node.states[-1])
        assert online["online"] is True
        assert abs(online["timestamp"] - now_ms()) < 60_000
        plant.stop()
        until(lambda: json.loads(node.states[-1])["online"] is False)
        assert json.loads(node.states[-1])["timestamp"] > online["timestamp"]
        plant.start()
        plant.until_listening()
        until(lambda: json.loads(node.states[-1])["online"] is True)
        plant.kill()
        until(lambda: json.loads(node.states[-1])["online"] is False)
        assert json.loads(node.states[-1])["timestamp"] == json.loads(node.states[-2])["timestamp"]
