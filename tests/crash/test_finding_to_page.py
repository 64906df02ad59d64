"""Killed at each point between a finding and its page: no page is lost, and one that comes twice is known by its key."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from facility.times import format_time
from tests.support.hooked import POINTS, TELLING
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.proof import Proof
from tests.support.pump import Pump, Sent
from tests.support.service import Service

pytestmark = needs_mosquitto
DEATHS = ("none", *POINTS, *TELLING)
ROOMS = 4


def site(folder: Path) -> Path:
    """An air handler for each death, with its rooms."""
    folder.mkdir()
    systems, rooms = [], []
    for number in range(len(DEATHS)):
        names = [f"r{number}x{room}" for room in range(ROOMS)]
        systems.append(f"  - {{id: ahu{number}, serves: [{', '.join(names)}]}}\n")
        rooms += [f"  - {{id: {name}, points: [{{id: {name}.t, quantity: temperature, unit: degC, period: 1s}}]}}\n" for name in names]
    text = "site: {id: plant, name: Plant}\nsystems:\n" + "".join(systems) + "rooms:\n" + "".join(rooms)
    (folder / "facility.yaml").write_text(text)
    (folder / "rules.yaml").write_text("rules:\n  - {id: warm, kind: limit, level: action, priority: high, above: 25}\n")
    return folder


def test_killed_at_each_point_from_the_finding_to_its_page(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, Service(tmp_path / "site", site(tmp_path / "example"), broker.url) as service:
        for number, death in enumerate(DEATHS):
            armed = tmp_path / f"armed-{number}"
            service.hooks = () if death == "none" else ("--write-at", "1", "--die-once", f"{armed}:{death}")
            service.kill()
            service.start()
            service.until_listening()
            armed.touch()
            rooms = [f"r{number}x{room}" for room in range(ROOMS)]
            body = f'{{"time": "{format_time(time.time_ns())}", "value": 30}}'.encode()
            Pump(broker.port, [Sent(f"renrum/plant/{room}/{room}.t", body, 0) for room in rooms], 0.1).start().join()
            if death != "none":
                assert service.died() == -9, death
                service.hooks = ()
                service.start()
            service.until_stored(ROOMS * (number + 1))
            service.until(lambda number=number: told_of(service, number) and not service.unsent)  # type: ignore[misc]
        service.stop()
        pages = service.pages
        proof = Proof(service.data_dir)
        assert proof.holds(tmp_path / "again", pages) == ROOMS * len(DEATHS)
    keys: dict[object, set[object]] = {}
    for page in pages:
        keys.setdefault(page["id"], set()).add(page["key"])
    assert all(len(found) == 1 for found in keys.values()), "a page that comes twice is the same page"
    twice = Counter(page["id"] for page in pages)
    assert max(twice.values()) <= 2
    assert len(pages) - len(twice) <= 2, "only what was sent and not yet known to be"


def told_of(service: Service, number: int) -> bool:
    return any(f"r{number}x" in page["text"] for page in service.pages)
