"""A night at a small site on a real journal and a clock to turn: steps are taken when something is due, pages are carried and collected.

`told` compares what people got with what they should have got: a page too many fails it like one too few.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from alerts.alarms import Answer
from alerts.escalation.drills import DRILL
from alerts.ledger import Ledger
from alerts.record.store import StateStore
from facility.times import format_time, parse_time
from ingest.admission.intake import Intake
from ingest.journal.entries import ACTION, CONFIGURATION, DELIVERY, ActionBody, ConfigurationBody, DeliveryBody, encode
from ingest.journal.journal import Journal
from ingest.message import Message
from ingest.series.recollection import Recollection
from ingest.series.series import Series
from service.configuration.configuration import Configuration, load_configuration
from service.configuration.judging import Judges
from service.pages.paging import Paging
from service.stepping import Request, Stepper
from tests.support.watched import HandClock

TICK_NS = 60 * 10**9
HERE = ZoneInfo("Europe/Stockholm")
FILES = {
    "renrum.yaml": "{environment: validation, facility: facility.yaml, rules: rules.yaml, oncall: oncall.yaml, mqtt: {url: embedded}}",
    "facility.yaml": """site: {id: lab, name: Laboratory, timezone: Europe/Stockholm}
rooms:
  - id: cp1
    points:
      - {id: cp1.dp, quantity: differential_pressure, unit: Pa, period: 10s}
      - {id: cp1.temp, quantity: temperature, unit: degC, period: 30s}
""",
    "rules.yaml": """rules:
  - id: dp
    kind: limit
    select: {quantity: differential_pressure}
    levels: {alert: {below: 12, priority: low}, action: {below: 10, priority: high}}
  - {id: temp, kind: limit, select: {quantity: temperature}, level: action, priority: critical, above: 25}
""",
}
PEOPLE = """
channels:
  sink: {kind: local, file: sink}
  anna-sms: {kind: local, file: anna}
  anna-voice: {kind: local, file: anna2}
  bo-sms: {kind: local, file: bo}
  qa-sms: {kind: local, file: qa}
people:
  - {id: anna, reach: [anna-sms, anna-voice]}
  - {id: bo, reach: [bo-sms]}
  - {id: qa, reach: [qa-sms]}
rotations:
  duty: {members: [anna, bo], start: 2026-01-05, handover: "Mon 08:00"}
"""


class Night:
    """`broken` are targets that take no page; `restarts` lets the service start again after every step."""

    def __init__(self, folder: Path, oncall: str, begin: str, *, restarts: bool = False, people: str = PEOPLE) -> None:
        for name, text in {**FILES, "oncall.yaml": people + oncall}.items():
            (folder / name).write_text(text, encoding="utf-8")
        self.folder, self.data, self.restarts = folder, folder / "data", restarts
        self.data.mkdir()
        self.broken: set[str] = set()
        self.clock = HandClock()
        self.clock.at = self.time(begin)
        self.journal = Journal(self.data / "journal.db", durable=False)
        self.configuration = load_configuration(folder / "renrum.yaml", {})
        self.number_of = {point.id: number for number, point in enumerate(self.configuration.facility.points)}
        self.carried: list[tuple[int, str, str]] = []
        self._open()
        self.intake = Intake(self.journal, self.series.reader(), self.clock.now_ns)
        self.intake.configure(self.configuration.facility, self.number_of, accept_simulated=True)
        self.apply(self.configuration)

    @staticmethod
    def time(text: str) -> int:
        """A time of the site, to the minute."""
        return parse_time(f"{text}:00", HERE)

    def apply(self, configuration: Configuration) -> None:
        """A configuration takes force."""
        self.configuration = configuration
        entry = configuration.as_entry()
        self._write(CONFIGURATION, ConfigurationBody(configuration.judging_hash, 1, self.number_of, entry))

    def reading(self, point: str, value: float) -> None:
        """A reading of now; a step is taken."""
        body = json.dumps({"time": format_time(self.clock.at), "value": value}).encode()
        self.intake.accept([Message(f"renrum/lab/cp1/{point}", body, 0, False)], self.clock.at)
        self.tick(0)

    def act(self, body: ActionBody) -> Answer:
        """What somebody does now."""
        request = Request(ACTION, body)
        self.stepper._take([request])
        self._carry()
        answer = request.answer.result(timeout=0)
        assert answer is not None
        return answer

    def acknowledge(self, by: str, alarm: str = "A1") -> None:
        assert self.act(ActionBody("acknowledge", alarm, by)).result == "accepted"

    def swap(self, person: str, begin: str, end: str, instead_of: str = "") -> None:
        body = ActionBody("swap duty", "duty", "anna", "ill", self.time(end), self.time(begin), person, instead_of)
        assert self.act(body).result == "accepted"

    def drill(self, names: str) -> str:
        """A test, to be acknowledged within half an hour; its id."""
        return self.act(ActionBody(DRILL, names, "QA", until_ns=self.clock.at + 1800 * 10**9)).alarm

    def told(self, expected: dict[str, str], until: str) -> None:
        """Let time pass until then; exactly these targets got a page at these times (of the day)."""
        end = self.time(until)
        while self.clock.at < end:
            self.tick(min(TICK_NS, end - self.clock.at))
        found: dict[str, list[str]] = {}
        for at, target, _ in self.carried:
            found.setdefault(self.shown(at), []).append(target)
        self.carried = []
        assert {time: " ".join(sorted(targets)) for time, targets in found.items()} == expected

    @staticmethod
    def shown(at: int) -> str:
        return f"{datetime.fromtimestamp(at / 1e9, HERE):%H:%M}"

    def tick(self, ns: int = TICK_NS) -> None:
        """Time passes, a step is taken if anything is due, the pages in the outbox are carried."""
        self.clock.turn(ns)
        before = self.stepper.ledger.cursor
        self.stepper._take([])
        assert not self.stepper.vitals.failure, self.stepper.vitals.failure
        if self.restarts and self.stepper.ledger.cursor != before:
            self.restart()
        self._carry()

    def restart(self, *, compute: bool = False) -> None:
        """The service starts again; with `compute` without its state.db, which is computed again from the journal."""
        self.store.close()
        self.series.close()
        if compute:
            for path in self.data.iterdir():
                if path.name.startswith(("state.db", "series.db")):
                    path.unlink()
        self._open()
        self.stepper.catch_up()
        if compute:
            self.intake = Intake(self.journal, self.series.reader(), self.clock.now_ns)
            self.intake.configure(self.configuration.facility, self.number_of, accept_simulated=True)

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that telling people leaves behind."""
        names = ("alarms", "alarm_groups", "annunciations", "audit", "outbox", "escalations", "notices", "overrides", "drills", "replies")
        return {name: self.store.rows(f"select * from {name} order by 1") for name in names}

    def ended(self) -> list[str]:
        return [row[0] for row in self.store.rows("select ended from escalations order by unit")]

    def close(self) -> None:
        """The state that is computed again from the journal is the same: what was told, too."""
        kept = self.tables()
        self.restart(compute=True)
        assert self.tables() == kept
        for part in (self.journal, self.store, self.series):
            part.close()

    def _open(self) -> None:
        self.series = Series(self.data / "series.db")
        self.store = StateStore(self.data / "state.db", durable=False)
        memory = Recollection(self.series)
        judges = Judges()
        paging = self.paging = Paging(judges)
        ledger = Ledger(self.store, memory, paging.plan, paging.alarms(self.store))
        reader = self.journal.reader()
        ledger.load(reader)
        reader.close()
        self.stepper = Stepper(
            self.journal, memory, ledger, lambda: (memory, ledger), self.clock, TICK_NS, lambda: self.clock.at, lambda applied, at: None
        )

    def _write(self, kind: str, body: ConfigurationBody | DeliveryBody) -> None:
        self.journal.append(kind, encode(body), self.clock.at, self.clock.at)
        self.tick(0)

    def _carry(self) -> None:
        """Couriers that try each page once, now."""
        while rows := self.store.rows("select page_id, target, page from outbox where sent_at is null and attempts = 0 order by id"):
            for page, target, text in rows:
                ok = target not in self.broken
                if ok:
                    self.carried.append((self.clock.at, target, text))
                due = 0 if ok else self.clock.at + 10**18
                body = DeliveryBody(page, target, 1, self.clock.at, ok, False, "" if ok else "no answer", due)
                self.journal.append(DELIVERY, encode(body), self.clock.at, self.clock.at)
            self.stepper._take([])
            assert not self.stepper.vitals.failure, self.stepper.vitals.failure


def with_oncall(configuration: Configuration, folder: Path, oncall: str) -> Configuration:
    """The same configuration with another on-call file."""
    (folder / "oncall.yaml").write_text(PEOPLE + oncall, encoding="utf-8")
    return replace(load_configuration(folder / "renrum.yaml", {}), judging_hash=configuration.judging_hash)
