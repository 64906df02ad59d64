"""A small site whose files are edited and put in force again."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from dashboards.monitor import ApplyAsked
from ingest.admission.prepared import Prepared
from ingest.journal.entries import CONFIGURATION, encode
from service.applying import body_of
from service.cli import main
from service.configuration.configuration import Configuration, load_configuration
from service.configuration.values import changes_between, line_of
from tests.support.archive_data import START, Installation

POINT = "cp1.dp"
FACILITY = """
site: {id: lab, name: Laboratory, timezone: Europe/Stockholm}
rooms:
  - id: cp1
    name: Cell processing 1
    grade: B
    points:
      - {id: cp1.dp, quantity: differential_pressure, unit: Pa, period: 1s, range: [-100, 100]}
      - {id: cp1.temp, quantity: temperature, unit: degC, period: 1s}
"""
RULES = """
rules:
  - {id: dp-low, kind: limit, level: action, below: limits, select: {quantity: differential_pressure}, text: {en: Close the doors.}}
  - {id: warm, kind: limit, level: action, above: 25, on_delay: 5m, select: {quantity: temperature}}
"""
LIMITS = "point,occupancy,level,below,above\ncp1.dp,,action,10,\n"
ONCALL = "channels: {sink: {kind: local, file: pages.jsonl}}\n"
MAIN = """
environment: validation
facility: facility.yaml
limits: limits.csv
rules: rules.yaml
oncall: oncall.yaml
data_dir: ./data
mqtt: {url: embedded}
http: {port: 0}
apply: on_start
"""
ASKED = ApplyAsked("anna", "requalified", "CR-7")


def written(folder: Path) -> Configuration:
    folder.mkdir(parents=True, exist_ok=True)
    files = {"facility.yaml": FACILITY, "rules.yaml": RULES, "limits.csv": LIMITS, "oncall.yaml": ONCALL, "renrum.yaml": MAIN}
    for name, text in files.items():
        (folder / name).write_text(text)
    return loaded(folder)


def loaded(folder: Path) -> Configuration:
    return load_configuration(folder / "renrum.yaml", {})


def edited(folder: Path, name: str, old: str, new: str) -> Configuration:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))
    return loaded(folder)


def told(old: Configuration, new: Configuration) -> list[str]:
    return [line_of(changed) for changed in changes_between(old.as_entry(), old.judge, new.as_entry(), new.judge)]


class Place(Installation):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, written)

    def apply(self, configuration: Configuration) -> None:
        """As a running service does it, between two steps."""
        old, self.configuration = self.configuration, configuration
        facility = configuration.facility
        added = {id_: len(self.number_of) + new for new, id_ in enumerate(p.id for p in facility.points if p.id not in self.number_of)}
        self.number_of |= added
        changes = changes_between(old.as_entry(), old.judge, configuration.as_entry(), configuration.judge)
        body = body_of(configuration, added, changes, "anna", "requalified", "CR-7")
        prepared = Prepared.of(facility, self.number_of, True, configuration.sources)
        self.intake.reconfigured(prepared, lambda: self.journal.append(CONFIGURATION, encode(body), self.at, self.at - START))

    def settle(self) -> None:
        self.step()
        self.write_series()
        self.close()


def run(*arguments: object, text: str = "") -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], input=text)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result
