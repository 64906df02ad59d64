"""The service killed at each point where what it knows and what it wrote could come apart; and computed again from the journal alone."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

from tests.support.hooked import POINTS
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.proof import Proof, judged_state
from tests.support.pump import Pump, messages_of
from tests.support.recordings import chance, sawtooth
from tests.support.service import Service

pytestmark = needs_mosquitto
EVERY_STEP = ("--write-at", "1")
"""The series is written with every step, so that its commits are hit too."""
SILENT = "  - {id: silent, kind: stale, select: {point: r.t0}, after: 2s, priority: critical}\n"


def test_killed_at_every_point_of_a_commit(tmp_path: Path) -> None:
    dice = chance()
    recording = sawtooth(tmp_path / "example")
    sent = messages_of(recording)
    deaths = [(point, number) for point in POINTS for number in (1, dice.randint(2, 9))]
    dice.shuffle(deaths)
    print(deaths)
    with Mosquitto(tmp_path / "broker") as broker, Service(tmp_path / "site", recording.example, broker.url) as service:
        service.until_listening()
        service.stop()
        portion = len(sent) // len(deaths) + 1
        for index, (point, number) in enumerate(deaths):
            service.hooks = (*EVERY_STEP, "--die", f"{point}:{number}")
            service.start()
            pump = Pump(broker.port, sent[index * portion : (index + 1) * portion], 0.3).start()
            assert service.died() == -9, f"{point}:{number}"
            pump.join()
        service.hooks = EVERY_STEP
        service.start()
        expected = recording.stored(tmp_path / "stored")
        service.until_stored(expected.total())
        service.stop()
        proof = Proof(service.data_dir)
        assert proof.readings == expected
        alarms = proof.holds(tmp_path / "again", service.pages)
        assert alarms == len(proof.excursions) == 160
        assert proof.excursions == recording.judged(tmp_path / "offline")


def test_state_and_series_that_were_deleted_are_computed_again(tmp_path: Path) -> None:
    recording = sawtooth(tmp_path / "example", points=2, readings=100)
    expected = recording.stored(tmp_path / "stored")
    with Mosquitto(tmp_path / "broker") as broker:
        service = Service(tmp_path / "site", recording.example, broker.url, rules=SILENT, hooks=EVERY_STEP)
        with service:
            service.until_listening()
            Pump(broker.port, messages_of(recording), 0.5).start().join()
            service.until_stored(expected.total())
            service.until(lambda: any("silent" in page["text"] for page in service.pages))
            acknowledge(service, service.pages[0]["alarm"])
            service.until(lambda: not service.unsent)
            service.stop()
            before, told = judged_state(service.data_dir / "state.db"), len(service.pages)
            for file in [*service.data_dir.glob("state.db*"), *service.data_dir.glob("series.db*")]:
                file.unlink()
            service.start()
            service.until_listening()
            # Everything once more: what was computed again knows all of it.
            Pump(broker.port, messages_of(recording), 0.5).start().join()
            service.until(lambda: service.sums.duplicates >= expected.total())
            service.stop()
        after = judged_state(service.data_dir / "state.db")
        for table in ("excursions", "alarms", "audit"):
            assert [row for row in before[table] if row not in after[table]] == []
        assert len(after["alarms"]) == len(before["alarms"])
        assert len(service.pages) == told, "told again"
        proof = Proof(service.data_dir)
        assert proof.readings == expected
        proof.holds(tmp_path / "again", service.pages)


def acknowledge(service: Service, alarm: str) -> None:
    """As a program does it."""
    body = json.dumps({"by": "Anna", "comment": "seen"}).encode()
    address = f"{service.url}api/v1/alarms/{alarm}/acknowledge"
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
