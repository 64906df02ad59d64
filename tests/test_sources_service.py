from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from facility.times import format_time, parse_time
from ingest.admission.readmission import READMITTED
from ingest.journal.entries import INGEST, ingest_body, readings_of
from ingest.journal.journal import JournalReader
from service.stored.archive import Archive
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.service import Service, renrum
from tests.support.shapes import BMS, FACILITY, FLAT, MESSAGES, PRESSURE, READINGS, RULES, SOURCES, TAGS
from tests.support.verifying import wrong

pytestmark = needs_mosquitto
WITHOUT_RH = SOURCES.replace("      AHU1.B101.RH: b101.rh\n", "")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("broker")) as running:
        yield running


def site(folder: Path, broker: Mosquitto, sources: str = SOURCES) -> Service:
    """The service on the site of the four shapes, not started."""
    example = folder / "example"
    example.mkdir(parents=True)
    (example / "facility.yaml").write_text(FACILITY)
    (example / "rules.yaml").write_text(RULES)
    service = Service(folder / "site", example, broker.url)
    settings = json.loads(service.config.read_text())
    settings["mqtt"]["client_id"] = f"renrum-{folder.name}"
    service.config.write_text(json.dumps(settings | {"sources": "sources.yaml"}))
    (service.folder / "sources.yaml").write_text(sources)
    return service


def publish(broker: Mosquitto, messages: Sequence[tuple[str, bytes]], qos: int = 1) -> None:
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for topic, payload in messages:
        client.publish(topic, payload, qos=qos).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def stored(service: Service) -> set[tuple[str, str, float]]:
    """Everything in the journal: point, time, value."""
    found = set()
    with Archive(service.data_dir) as archive:
        ids = {number: id_ for id_, number in archive.number_of.items()}
    with closing(JournalReader(service.data_dir / "journal.db")) as journal:
        for entry in journal.entries(kinds=(INGEST,)):
            readings = readings_of(entry, ingest_body(entry))
            for point, time, value in zip(readings.point.tolist(), readings.time.tolist(), readings.value.tolist(), strict=True):
                found.add((ids[point], format_time(time), value))
    return found


def post(url: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    request = urllib.request.Request(f"{url.rstrip('/')}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_the_four_shapes_from_broker_to_journal_and_back_after_a_kill(tmp_path: Path, broker: Mosquitto) -> None:
    with site(tmp_path, broker, WITHOUT_RH) as service:
        service.until_listening()
        publish(broker, MESSAGES)
        publish(broker, [(PRESSURE, FLAT)], qos=0)  # what is published with QoS 0 is read too
        service.until(lambda: service.sums.received == 8 and service.judged)
        sums = service.sums
        assert (sums.stored, sums.duplicates, sums.in_quarantine) == (6, 1, {"point_unknown": 1})
        service.kill()
        publish(broker, [(PRESSURE, FLAT.replace(b"41:10.250", b"41:20.250"))])  # the broker keeps it for us
        (service.folder / "sources.yaml").write_text(SOURCES)
        service.start()
        service.until_stored(7)

        said = renrum("quarantine", "readmit", "point=b101.rh", "--reason", "table completed", "--json", "--config", service.config,
                      "--url", service.url)  # fmt: skip
        assert said.returncode == 0, said.stderr
        assert json.loads(said.stdout)["records"] == {"stored": 1, "duplicate": 0, "refused": 0}
        service.kill()  # what was answered is durable
        service.start()
        service.until(lambda: service.running and service.sums.stored == 8 and service.judged)
        assert stored(service) == READINGS | {("dp-b101", "2025-03-02T07:41:20.25Z", 14.6)}
        said = renrum("quarantine", "readmit", "all", "--reason", "again", "--config", service.config, "--url", service.url)
        assert "1 record, 1 of them taken in before: 0 stored, 1 duplicate" in said.stdout
        service.stop()
    sums = service.sums
    assert (sums.received, sums.stored, sums.duplicates, sums.in_quarantine.total(), sums.lost) == (9, 8, 1, 0, 0)
    assert wrong(service.data_dir) == {}
    audit = service._state(f"select actor, reason from audit where action = '{READMITTED}'")
    assert [reason for _, reason in audit] == ["table completed"]
    assert "at the command line" in audit[0][0]


def test_programs_readmit_over_http_and_a_removed_source_is_heard_no_more(tmp_path: Path, broker: Mosquitto) -> None:
    with site(tmp_path, broker, WITHOUT_RH) as service:
        service.until_listening()
        publish(broker, [(BMS, TAGS)])
        service.until(lambda: service.sums.received == 2 and service.judged)
        path = "/api/v1/quarantine/readmit"
        asked = {"filter": ["point_unknown"], "reason": "try", "by": "Anna", "dry_run": True}
        assert post(service.url, path, asked)[1]["refused"] == {"point_unknown": 1}
        for body, words in (
            ({"filter": ["reasn=x"], "reason": "x", "by": "Anna"}, "found 'reasn=x'"),
            ({"filter": [], "reason": "x", "by": "Anna"}, "found nothing"),
            ({"filter": ["all"], "reason": " ", "by": "Anna"}, "why they are taken in"),
            ({"filter": ["all"], "by": "Anna"}, "reason"),
            ({"filter": ["all"], "reason": "x"}, "by"),
        ):
            status, problem = post(service.url, path, body)
            assert status == 400
            assert words in json.dumps(problem)
        service.stop()
        (service.folder / "sources.yaml").write_text("sources: []\n")
        service.start()
        service.until_listening()
        publish(broker, [(BMS, TAGS), ("renrum/lab/b101/b101.rh", b'{"time": 1740901269, "value": 41}')])
        service.until(lambda: service.sums.received == 3 and service.judged)
        service.stop()
    assert service.sums.received == 3, "the session at the broker let go of the topic"
    assert wrong(service.data_dir) == {}


def test_a_reading_of_a_source_raises_an_alarm(tmp_path: Path, broker: Mosquitto) -> None:
    with site(tmp_path, broker) as service:
        service.until_listening()
        begun, low = parse_time("2026-01-01T00:00:00Z"), FLAT.replace(b"14.6", b"4.6")
        at = [format_time(begun + second * 10**9).encode() for second in (0, 10, 20)]
        publish(broker, [(PRESSURE, low.replace(b"2025-03-02T07:41:10.250Z", time)) for time in at])
        service.until(lambda: bool(service.pages))
        assert "dp-b101" in json.dumps(service.pages[0])
        service.stop()
    assert wrong(service.data_dir) == {}
