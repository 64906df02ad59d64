"""A hundred thousand random and mutated payloads through a real broker into the running service."""

from __future__ import annotations

import json
import random
from pathlib import Path

from facility.site import OCCUPANCIES
from facility.times import format_time
from service.clock import SystemClock
from simulators.broker import Broker
from simulators.outlet import Outlet
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.proof import Proof
from tests.support.recordings import chance
from tests.support.service import Service
from tests.test_decode import DP, OCCUPANCY, P05, TEMP, mutated, pieces_in

MESSAGES = 100_000
FACILITY = """
site: {id: lab, name: Lab, timezone: UTC}
rooms:
  - id: cp1
    name: Processing 1
    points:
      - {id: cp1.temp, quantity: temperature, unit: degC, period: 1s}
      - {id: cp1.dp, quantity: differential_pressure, unit: Pa, period: 1s}
    zones:
      - {id: bsc1, grade: A, type: bsc, points: [{id: bsc1.p05, quantity: particles_0_5um, unit: 1/m3, period: 1s}]}
"""
RULES = """
rules:
  - {id: warm, kind: limit, select: {point: cp1.temp}, level: alert, above: 14, off_delay: 2m}
  - {id: particles, kind: limit, level: action, select: {quantity: particles_0_5um}, above: annex1, off_delay: 2m}
  - {id: faulty, kind: quality, off_delay: 2m}
"""
TOPICS = (TEMP, TEMP, DP, P05, OCCUPANCY, "renrum/lab/cp1/batch", "renrum/lab/cp1/cp9.temp", "renrum/lab/$marker/not-ours")

pytestmark = needs_mosquitto


def test_a_hundred_thousand_payloads_are_stored_or_duplicates_or_in_quarantine(tmp_path: Path) -> None:
    dice = chance()
    example = tmp_path / "example"
    example.mkdir()
    (example / "facility.yaml").write_text(FACILITY)
    (example / "rules.yaml").write_text(RULES)
    with Mosquitto(tmp_path / "broker") as broker, Service(tmp_path / "site", example, broker.url, evaluate_every="1s") as service:
        service.until_listening()
        expected = publish(broker.port, dice)
        service.until(lambda: service.sums.received >= expected, 60.0)
        service.until(lambda: not service.unsent, 30.0)
        service.stop()
        log = service.log
    proof = Proof(service.data_dir)
    sums = proof.sums
    print(sums)
    assert sums.received == expected
    assert sums.received == sums.stored + sums.duplicates + sums.quarantined.total()
    assert min(sums.stored, sums.duplicates, sums.quarantined.total()) > 1000
    assert proof.holds(tmp_path / "again", service.pages) > 0
    assert "Traceback" not in log
    assert "error of its own" not in log


def publish(port: int, chance: random.Random) -> int:
    """Publish them, and count the pieces that they hold without the decoder."""
    pieces = 0
    topic, payload = TEMP, b""
    with Outlet(Broker("127.0.0.1", port), SystemClock(), in_flight=1000) as outlet:
        for _ in range(MESSAGES):
            if chance.random() < 0.9:  # else the last one again
                topic, payload = chance.choice(TOPICS), sensible(chance)
                if chance.random() < 0.6:
                    payload = mutated(payload, chance)
            outlet.publish(topic, payload)
            pieces += 0 if "$marker" in topic else pieces_in(topic, payload)
    return pieces


def sensible(chance: random.Random) -> bytes:
    """One or more readings or a state of ten minutes, in any order."""
    time = 1795246870 + chance.randrange(600_000) / 1000
    value = chance.choice([12, 14.6, "16.25", True, None])
    return json.dumps(
        chance.choice([
            {"time": time, "value": value},
            {"time": format_time(int(time * 1000) * 10**6), "value": value, "quality": "uncertain", "seq": chance.randrange(10**6)},
            {"time": int(time * 1000), "count": chance.randrange(9), "volume_l": 28.3, "origin": "simulator"},
            [{"time": time}, {"time": time + 1, "value": value, "fw": "1"}, {"time": time + 2, "value": 15}],
            {"time": time, "state": chance.choice(OCCUPANCIES)},
        ])
    ).encode()  # fmt: skip
