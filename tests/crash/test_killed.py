"""The two shipped recordings over a real Mosquitto, the service killed again and again: nothing lost, nothing twice, judged as offline."""

from __future__ import annotations

import csv
import random
import time
from pathlib import Path

import pytest

from ingest.journal.entries import CLOCK, STEP, ClockBody, decode
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.proof import Proof, Recording
from tests.support.pump import Pump, messages_of, partly_late
from tests.support.recordings import NAB, SOLARCAST, chance
from tests.support.service import Service, renrum

KILLS = 10
HOUR_S = 3600

pytestmark = needs_mosquitto


@pytest.mark.parametrize("recording", [SOLARCAST, NAB], ids=["solarcast", "nab"])
def test_killed_ten_times_at_random_moments(recording: Recording, tmp_path: Path) -> None:
    dice = chance()
    with Mosquitto(tmp_path / "broker") as broker, Service(tmp_path / "site", recording.example, broker.url) as service:
        service.until_listening()
        pump = Pump(broker.port, messages_of(recording), 15.0).start()
        for _ in range(KILLS):
            kill_at_random(service, dice)
        pump.join()
        proved(service, recording, tmp_path)
        as_people_prove_it(service, tmp_path)


def test_with_late_readings_a_broker_that_restarts_and_a_clock_that_steps(tmp_path: Path) -> None:
    dice = chance()
    clock = tmp_path / "clock"
    clock.write_text("0")
    sent = partly_late(messages_of(SOLARCAST), dice)
    hooks = ("--clock", str(clock))
    with Mosquitto(tmp_path / "broker") as broker, Service(tmp_path / "site", SOLARCAST.example, broker.url, hooks=hooks) as service:
        service.until_listening()
        pump = Pump(broker.port, sent, 20.0).start()
        for offset in (HOUR_S, -HOUR_S, 0):
            service.until(lambda: service.running)
            clock.write_text(str(offset))
            steps_go_on(service)
            if offset < 0:  # APScheduler waits for the hour that it has already had
                service.until(lambda: "scheduling again" in service.log, 10.0)
            kill_at_random(service, dice)
            broker.stop()
            time.sleep(dice.uniform(0.0, 0.5))
            broker.start()
            kill_at_random(service, dice)
        for _ in range(KILLS - 6):
            kill_at_random(service, dice)
        pump.join()
        proof = proved(service, SOLARCAST, tmp_path)
    bodies = [decode(entry) for entry in proof.entries if entry.kind == CLOCK]
    steps_s = [round(body.step_ns / 1e9) for body in bodies if isinstance(body, ClockBody)]
    assert steps_s[:3] == [HOUR_S, -2 * HOUR_S, HOUR_S]


def kill_at_random(service: Service, chance: random.Random) -> None:
    """While it starts, while it takes in what was queued, or while it runs."""
    if chance.random() < 0.6:
        service.until(lambda: service.running)
        steps = service.newest(STEP).seq
        service.until(lambda: service.newest(STEP).seq > steps)
    time.sleep(chance.uniform(0.0, 1.0))
    service.kill()
    service.start()


def steps_go_on(service: Service) -> None:
    """Three more steps are recorded: neither the schedule nor the journal waits for the wall clock."""
    for _ in range(3):
        steps = service.newest(STEP).seq
        service.until(lambda steps=steps: service.newest(STEP).seq > steps, 10.0)  # type: ignore[misc]


def proved(service: Service, recording: Recording, folder: Path) -> Proof:
    """Wait for the end; stored are the readings of the recording, and the excursions are those of the offline replay."""
    expected = recording.stored(folder / "stored")
    service.until_stored(expected.total())
    service.stop()
    proof = Proof(service.data_dir)
    assert proof.readings == expected
    assert proof.holds(folder / "again", service.pages) > 0
    # Silence is judged by when readings were received, and that the recording does not say.
    offline = [row for row in recording.judged(folder / "offline") if row.rule != "silent"]
    assert [row for row in proof.excursions if row.rule != "silent"] == offline
    return proof


def as_people_prove_it(service: Service, folder: Path) -> None:
    """With commands alone: `verify` says identical, and what is exported gives the same excursions when it is replayed."""
    verified = renrum("verify", "--config", service.config)
    assert verified.returncode == 0, verified.stdout
    assert "identical" in verified.stdout
    exported, replayed, live = (folder / name for name in ("exported.csv", "replayed.csv", "live.csv"))
    for arguments in (
        ("export", "--config", service.config, "--out", exported),
        ("replay", exported, "--config", service.config, "--out", replayed),
        ("excursions", "--config", service.config, "--out", live),
    ):
        done = renrum(*arguments)
        assert done.returncode == 0, done.stderr
    assert excursions_in(live) == excursions_in(replayed)


def excursions_in(file: Path) -> list[dict[str, str]]:
    """Without the columns that arrival decides; `config` is compared too."""
    with file.open() as rows:
        return [{name: cell for name, cell in row.items() if name not in ("id", "revision", "late")} for row in csv.DictReader(rows)]
