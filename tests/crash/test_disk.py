"""A disk that is full or cannot be written: nothing acknowledged is lost, somebody is told, and it goes on by itself."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from urllib.request import urlopen

import pytest

from service.health.watch import JOURNAL
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.mount import failing_disk, small_disk
from tests.support.proof import Proof
from tests.support.pump import Pump, messages_of
from tests.support.recordings import sawtooth
from tests.support.service import Service
from tests.support.webhook import Hook, webhook_server

pytestmark = needs_mosquitto


def channels(hook: Hook) -> dict[str, dict[str, str]]:
    """Beside the sink, one that needs no disk."""
    return {"sink": {"kind": "local", "file": "pages.jsonl"}, "duty": {"kind": "webhook", "url": hook.url}}


def problems(hook: Hook) -> list[object]:
    """What the emergency pages so far were about."""
    return [posted.body["facts"].get("problem") for posted in list(hook.posted) if posted.body["kind"] == "service"]


@pytest.mark.parametrize("killed", [False, True], ids=["goes on by itself", "is killed meanwhile"])
def test_a_full_disk(killed: bool, tmp_path: Path) -> None:
    recording = sawtooth(tmp_path / "example")
    sent = messages_of(recording)
    third = len(sent) // 3
    with small_disk(tmp_path / "site" / "disk", 64) as disk, webhook_server() as hook, Mosquitto(tmp_path / "broker") as broker:
        service = Service(
            tmp_path / "site", recording.example, broker.url, data_dir="./disk/data", channels=channels(hook), evaluate_every="200ms"
        )
        with service:
            service.until_listening()
            Pump(broker.port, sent[:third], 0.5).start().join()
            service.until_stored(third)
            assert (service.data_dir / "ballast").exists()
            disk.fill()
            Pump(broker.port, sent[third : 2 * third], 1.0).start().join()
            service.until(lambda: JOURNAL in problems(hook))
            service.until(lambda: "nothing is acknowledged" in service.log)
            assert not (service.data_dir / "ballast").exists()
            stored = Proof(service.data_dir).readings.total()
            time.sleep(1.5)  # a try or two
            assert Proof(service.data_dir).readings.total() == stored
            if killed:
                service.kill()
            disk.free()
            if killed:
                service.start()
            Pump(broker.port, sent[2 * third :], 0.5).start().join()
            expected = recording.stored(tmp_path / "stored")
            service.until_stored(expected.total())
            service.stop()
        proof = Proof(service.data_dir)
        assert proof.readings == expected
        assert proof.holds(tmp_path / "again", service.pages) == 160
        assert proof.excursions == recording.judged(tmp_path / "offline")
        assert problems(hook).count(JOURNAL) == 1, "paged once, not at every try"


@pytest.mark.parametrize("killed", [False, True], ids=["goes on by itself", "is killed meanwhile"])
def test_a_mount_that_turns_read_only(killed: bool, tmp_path: Path) -> None:
    """The kernel does that under open files after an error; an administrator checks the disk and mounts it again."""
    recording = sawtooth(tmp_path / "example")
    sent = messages_of(recording)
    third = len(sent) // 3
    with failing_disk(tmp_path / "site" / "disk", 64) as disk, webhook_server() as hook, Mosquitto(tmp_path / "broker") as broker:
        service = Service(
            tmp_path / "site", recording.example, broker.url, data_dir="./disk/data", channels=channels(hook), evaluate_every="200ms"
        )
        with service:
            service.until_listening()
            Pump(broker.port, sent[:third], 0.5).start().join()
            service.until_stored(third)
            disk.fail()
            Pump(broker.port, sent[third : 2 * third], 1.0).start().join()
            service.until(lambda: JOURNAL in problems(hook))
            service.until(lambda: "nothing is acknowledged" in service.log)
            assert Proof(service.data_dir).readings.total() == third
            if killed:
                service.kill()
            disk.mend()
            assert Proof(service.data_dir).readings.total() == third
            if killed:
                service.start()
            Pump(broker.port, sent[2 * third :], 0.5).start().join()
            expected = recording.stored(tmp_path / "stored")
            service.until_stored(expected.total())
            answered = json.loads(urlopen(f"{service.url}api/v1/excursions?limit=1000", timeout=10).read())
            offline = recording.judged(tmp_path / "offline")
            assert len(answered["excursions"]) == len(offline)
            service.stop()
        proof = Proof(service.data_dir)
        assert proof.readings == expected
        assert proof.holds(tmp_path / "again", service.pages) == 160
        assert proof.excursions == offline
        assert problems(hook).count(JOURNAL) == 1, "paged once, not at every try"


def test_a_start_on_a_read_only_mount_says_so_and_changes_nothing(tmp_path: Path) -> None:
    recording = sawtooth(tmp_path / "example", points=1, readings=20)
    with small_disk(tmp_path / "site" / "disk", 32) as disk, Mosquitto(tmp_path / "broker") as broker:
        with Service(tmp_path / "site", recording.example, broker.url, data_dir="./disk/data") as service:
            service.until_listening()
            Pump(broker.port, messages_of(recording), 0.2).start().join()
            service.kill()
            disk.remount("ro")
            service.start()
            assert service.died() == 2
            assert "cannot start: " in service.log
            assert "Read-only file system" in service.log
            assert "Traceback" not in service.log
            disk.remount("rw")
            service.start()
            service.until_stored(20)
            service.stop()
        assert Proof(service.data_dir).readings == recording.stored(tmp_path / "stored")


@pytest.mark.parametrize("refusing", ["journal", "state", "series", "journal state series"])
def test_a_database_that_refuses_to_be_written(refusing: str, tmp_path: Path) -> None:
    recording = sawtooth(tmp_path / "example")
    sent = messages_of(recording)
    third = len(sent) // 3
    file = tmp_path / "readonly"
    with webhook_server() as hook, Mosquitto(tmp_path / "broker") as broker:
        hooks = ("--readonly", str(file), "--write-at", "1")
        with Service(tmp_path / "site", recording.example, broker.url, channels=channels(hook), hooks=hooks) as service:
            service.until_listening()
            Pump(broker.port, sent[:third], 0.3).start().join()
            service.until_stored(third)
            file.write_text(refusing)
            Pump(broker.port, sent[third : 2 * third], 1.0).start().join()
            service.until(lambda: "attempt to write a readonly database" in service.log)
            if "journal" in refusing:
                service.until(lambda: JOURNAL in problems(hook))
                assert service.sums.stored < 2 * third
            else:
                service.until(lambda: Proof(service.data_dir).readings.total() == 2 * third)
            file.unlink()
            Pump(broker.port, sent[2 * third :], 0.3).start().join()
            expected = recording.stored(tmp_path / "stored")
            service.until_stored(expected.total())
            service.stop()
        proof = Proof(service.data_dir)
        assert proof.readings == expected
        assert proof.holds(tmp_path / "again", service.pages) == 160
        assert Counter(proof.excursions) == Counter(recording.judged(tmp_path / "offline"))
