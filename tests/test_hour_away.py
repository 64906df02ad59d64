"""The shipped Mosquitto keeps an hour of messages while the service is away, takes more at the same rate, and all of it arrives."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from facility.facility_file import load_facility
from tests.support.mosquitto import needs_mosquitto
from tests.support.production import Installed, Instrument, ProductionBroker, init, instrument

POINTS, PERIOD_S = 400, 30
HOUR = POINTS * 3600 // PERIOD_S
RATE = POINTS / PERIOD_S
"""Messages a second."""
WHILE_QUEUED_S = 2.0


def described(folder: Path) -> list[str]:
    """A site with so many points; their topics."""
    assert init(folder, "--data-dir", str(folder / "data"), "--site", "lab").exit_code == 0
    (folder / "points.csv").write_text(
        "id,quantity,unit,period\n" + "".join(f"t{number:03},temperature,degC,{PERIOD_S}s\n" for number in range(POINTS))
    )
    room = "{id: cp1, name: Cell processing, grade: B, points_file: points.csv}"
    (folder / "facility.yaml").write_text(f"site: {{id: lab, name: Lab, timezone: Europe/Stockholm}}\nrooms: [{room}]\n")
    (folder / "rules.yaml").write_text(
        "rules: [{id: warm, kind: limit, select: {quantity: temperature}, level: action, above: 30, on_delay: 60s}]\n"
    )
    return [f"renrum/lab/cp1/{point.id}" for point in load_facility(folder / "facility.yaml").points]


def publish(gateway: Instrument, topics: list[str], first: int, count: int, begin: datetime, per_s: float = 0.0) -> list[float]:
    """Send messages number `first` and on; with a rate, the seconds each waited for the broker's word."""
    waits = []
    started = time.monotonic()
    for number in range(first, first + count):
        at = begin + timedelta(seconds=number // POINTS * PERIOD_S)
        payload = json.dumps({"time": at.isoformat(), "value": 21.5, "unit": "degC", "seq": number // POINTS})
        told = gateway.client.publish(topics[number % POINTS], payload, qos=1)
        if per_s:
            sent = time.monotonic()
            told.wait_for_publish(30)
            waits.append(time.monotonic() - sent)
            time.sleep(max(0.0, started + (number - first + 1) / per_s - time.monotonic()))
        elif number % 2000 == 1999:
            told.wait_for_publish(30)
    told.wait_for_publish(30)
    return waits


@needs_mosquitto
@pytest.mark.timeout(180)
def test_an_hour_away(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    topics = described(folder)
    begin = datetime.now(UTC) - timedelta(hours=1, minutes=10)
    with ProductionBroker(tmp_path / "broker", folder / "mosquitto") as broker, Installed(folder, broker) as service:
        service.until_listening()
        service.stop()
        with instrument(folder, broker.port) as gateway:
            gateway.told()
            publish(gateway, topics, 0, HOUR, begin)
            more = int(RATE * WHILE_QUEUED_S)
            waits = publish(gateway, topics, HOUR, more, begin, per_s=RATE)
            assert {answer.value for answer in gateway.answers} == {0}
        assert max(waits) < 1.0, sorted(waits)[-5:]
        # SIGTERM, as at an upgrade of the broker: the queue is on disk
        broker.stop()
        broker.start()
        service.start()
        service.until_stored(HOUR + more, within_s=60)
        sums = service.sums
        assert (sums.received, sums.stored, sums.duplicates, sum(sums.quarantined.values())) == (HOUR + more, HOUR + more, 0, 0)
        service.stop()
    assert "dropped" not in (tmp_path / "broker/log").read_text()
