"""A data_dir on the example configuration, filled by the real intake and ledger, without broker and threads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from alerts.ledger import Ledger
from alerts.record.store import StateStore
from facility.times import format_time, parse_time
from ingest.admission.intake import Intake
from ingest.journal.entries import ACTION, CONFIGURATION, STEP, ActionBody, ConfigurationBody, StepBody, encode
from ingest.journal.journal import Journal
from ingest.message import Message
from ingest.series.recollection import Recollection
from ingest.series.series import Series
from service.cli.init import example_files
from service.configuration.configuration import Configuration, load_configuration
from service.configuration.judging import Judges
from service.pages.paging import Paging

START = parse_time("2026-11-20T08:00:00Z")
SECOND_NS = 10**9


def example_configuration(folder: Path) -> Configuration:
    """The example configuration, written into a folder that appears."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in example_files():
        (folder / name).write_bytes(content)
    return load_configuration(folder / "renrum.yaml", {})


class Installation:
    """A service's data_dir, and what has arrived and been judged there so far; `at` is its clock, int ns UTC."""

    def __init__(self, folder: Path, written: Callable[[Path], Configuration] = example_configuration) -> None:
        self.folder = folder
        self.configuration = written(folder)
        self.config = folder / "renrum.yaml"
        self.data_dir = self.configuration.settings.data_dir
        self.data_dir.mkdir()
        self.at = START
        self.journal = Journal(self.data_dir / "journal.db", durable=False)
        self.series = Series(self.data_dir / "series.db")
        self.store = StateStore(self.data_dir / "state.db")
        self.memory = Recollection(self.series)
        paging = Paging(Judges())
        self.ledger = Ledger(self.store, self.memory, paging.plan, paging.alarms(self.store))
        self.intake = Intake(self.journal, self.series.reader(), lambda: self.at)
        self.number_of: dict[str, int] = {}
        self._reader = self.journal.reader()
        self.configure(self.configuration)

    def configure(self, configuration: Configuration) -> None:
        """Put a configuration in force."""
        facility = configuration.facility
        points = {id_: len(self.number_of) + new for new, id_ in enumerate(p.id for p in facility.points if p.id not in self.number_of)}
        self.number_of |= points
        body = ConfigurationBody(configuration.judging_hash, 1, points, configuration.as_entry())
        self.journal.append(CONFIGURATION, encode(body), self.at, self.at - START)
        self.intake.configure(facility, self.number_of, True, configuration.sources)

    def send(self, topic: str, *readings: dict[str, object] | bytes) -> None:
        """Messages that arrive together, a second after those before; the topic is below renrum/<site>."""
        self.at += SECOND_NS
        site = self.configuration.facility.site.id
        payloads = [reading if isinstance(reading, bytes) else json.dumps(reading).encode() for reading in readings]
        self.intake.accept([Message(f"renrum/{site}/{topic}", payload, 0, False) for payload in payloads], self.at - START)

    def read(self, point: str, value: object, seconds: float, **others: object) -> None:
        """One reading, measured so many seconds after START."""
        room = self.configuration.facility.point_by_id[point].place
        self.send(f"{room}/{point}", {"time": format_time(START + round(seconds * SECOND_NS)), "value": value, **others})

    def occupancy(self, place: str, state: str, seconds: float) -> None:
        self.send(f"{place}/occupancy", {"time": format_time(START + round(seconds * SECOND_NS)), "state": state})

    def acknowledge(self, alarm: str) -> None:
        self.journal.append(ACTION, encode(ActionBody("acknowledge", alarm, "anna", "on my way")), self.at, self.at - START)

    def step(self) -> None:
        """Judge what arrived since the last step."""
        self.journal.append(STEP, encode(StepBody(0)), self.at, self.at - START)
        self.ledger.apply(list(self._reader.entries(self.ledger.cursor)))

    def write_series(self) -> None:
        self.memory.write(all_of_it=True)

    def close(self) -> None:
        for part in (self._reader, self.journal, self.series, self.store):
            part.close()


def lived(folder: Path) -> Installation:
    """An installation with a day's life in ten minutes: an excursion that ended, one that stands, states, bad values, quarantine."""
    place = Installation(folder)
    place.occupancy("cp1", "at_rest", -3600)
    for second in range(0, 60, 2):
        place.read("cp1.dp1.dp", 15.0 if second < 20 or second > 40 else 5.25, second)
        place.read("inc1.temp", 37.0, second)
    place.occupancy("cp1", "in_operation", 61)
    place.write_series()
    place.step()
    place.write_series()
    for second in range(62, 100, 2):
        place.read("inc1.temp", 39.1, second)
    place.read("inc1.temp", 98.6, 101, unit="degF")
    place.read("inc1.co2", "NaN", 101)
    place.read("inc1.co2", 25.0, 102)  # outside the range
    place.read("inc1.co2", 5.0, 103, quality="uncertain")
    place.read("inc1.co2", 5.0, 50.123456789)  # late
    place.send("cp1/cp1.dp1.dp", b"\xff\x00", b'{"time": "yesterday", "value": 1}')
    place.send("cp9/cp9.temp", {"time": format_time(START), "value": 1})
    place.read("inc1.temp", 38.0, 0)  # conflict
    place.step()
    return place
