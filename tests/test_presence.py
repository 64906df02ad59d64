"""Two services of one site on one real Mosquitto: the second refuses to listen and to page, and never the only one."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

from ingest.journal.entries import LINK, LinkBody, decode
from ingest.journal.journal import JournalReader
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.pump import Pump, messages_of
from tests.support.recordings import SOLARCAST
from tests.support.service import Service

pytestmark = needs_mosquitto


def instance(service: Service) -> dict[str, Any]:
    """What /readyz says of other instances."""
    try:
        with urllib.request.urlopen(f"{service.url}readyz", timeout=5) as answer:
            document = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            document = json.load(error)
    found: dict[str, Any] = next(check for check in document["checks"] if check["name"] == "instance")
    return found


def metric(service: Service, name: str) -> float:
    with urllib.request.urlopen(f"{service.url}metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def links(service: Service) -> list[str]:
    with closing(JournalReader(service.data_dir / "journal.db")) as reader:
        bodies = [decode(entry) for entry in reader.entries(kinds=(LINK,))]
    return [body.event for body in bodies if isinstance(body, LinkBody)]


def test_a_restored_machine_started_beside_the_living_one(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, Service(tmp_path / "first", SOLARCAST.example, broker.url) as first:
        first.until_listening()
        with Service(tmp_path / "second", SOLARCAST.example, broker.url) as second:
            second.until(lambda: "instance second" in second.log)
            sent = messages_of(SOLARCAST)
            pump = Pump(broker.port, sent, 2.0).start()
            pump.join()
            first.until_stored(SOLARCAST.stored(tmp_path / "stored").total())
            assert first.pages
            assert instance(first)["ok"]
            assert metric(first, "renrum_other_instance") == 0
            assert not instance(second)["ok"]
            assert "does not page" in instance(second)["words"]
            assert metric(second, "renrum_other_instance") == 1
            assert (second.sums.received, second.pages, links(second)) == (0, [], ["instance_second"])
            assert "disconnected" not in links(first)
            # A restart of the first one, also by a kill, is no reason to take over.
            first.kill()
            first.start()
            first.until_listening()
            time.sleep(1.0)
            assert (instance(first)["ok"], links(second)) == (True, ["instance_second"])


def test_a_single_one_starts_at_once_however_it_ended(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker", "autosave_interval 1") as broker, Service(tmp_path / "only", SOLARCAST.example, broker.url) as only:
        for end in ("kill", "stop", "kill"):
            begun = time.monotonic()
            only.until_listening()
            assert time.monotonic() - begun < 5.0
            only.kill() if end == "kill" else only.stop()
            only.start()
        only.until_listening()
        # A power cut for both: the broker keeps a word of it and says no goodbye for it.
        broker.stop()
        only.kill()
        broker.start()
        only.start()
        only.until_listening()
        assert instance(only)["ok"]
        assert not any(event.startswith("instance") for event in links(only))


def test_a_broker_that_lets_nobody_tell_leaves_the_service_in_doubt_and_it_listens(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite renrum/+/+/+\ntopic deny renrum/+/$marker/here/#\n")
    with Mosquitto(tmp_path / "broker", f"acl_file {acl}") as broker, Service(tmp_path / "only", SOLARCAST.example, broker.url) as only:
        only.until_listening()
        assert instance(only)["ok"]
