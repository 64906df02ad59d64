"""A small site on a real data folder, its steps taken by hand, with the service's Monitor on it: no broker, no threads, a clock to turn."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from alerts.alarms import Alarms, Answer
from alerts.escalation.escalation import Escalation
from alerts.ledger import Applied, Ledger
from alerts.lifecycle.surroundings import stays_of
from alerts.pages.page import Page
from alerts.record.store import StateStore
from dashboards.counts import LinkCounts, StepCounts
from dashboards.monitor import UNCHANGED, ApplyAnswered
from dashboards.views import PointView
from facility.times import format_time, parse_time
from ingest.admission.intake import Intake
from ingest.journal.entries import (
    ACTION,
    CONFIGURATION,
    DELIVERY,
    RECORD,
    STEP,
    ActionBody,
    Body,
    ConfigurationBody,
    DeliveryBody,
    RecordBody,
    StepBody,
    encode,
)  # fmt: skip
from ingest.journal.journal import Journal
from ingest.message import Message
from ingest.series.recollection import Recollection
from ingest.series.series import Series
from rules.excursion import Excursion
from service.configuration.configuration import load_configuration
from service.configuration.judging import Judges
from service.console.monitor import ServiceMonitor
from service.console.occupying import Occupying
from service.health.vitals import Vitals
from service.pages.paging import Paging
from service.readmitting import Readmitting

SECOND = 10**9
MINUTE = 60 * SECOND
START = parse_time("2026-11-21T07:00:00Z")
FILES = {
    "renrum.yaml": "{environment: validation, facility: facility.yaml, limits: limits.csv, rules: rules.yaml, oncall: oncall.yaml,"
    " mqtt: {url: embedded}}",
    "oncall.yaml": "channels: {sink: {kind: local, file: pages}}",
    "limits.csv": "quantity,occupancy,level,below,above,basis\ntemperature,in_operation,action,18,22,\ntemperature,at_rest,action,17,23,\n",
    "rules.yaml": """rules:
  - id: dp
    kind: limit
    select: {quantity: differential_pressure}
    levels: {alert: {below: 12, priority: medium}, action: {below: 10, priority: critical}}
    sop: SOP-14
    text: {sv: Stäng dörren., en: Close the door.}
  - {id: temp, kind: limit, select: {quantity: temperature}, level: action, above: limits, below: limits, text: Ring.}
  - {id: silent, kind: stale, after: 60s, priority: low}
  - {id: faulty, kind: quality, priority: low}
""",
    "facility.yaml": """site: {id: lab, name: Laboratory, timezone: Europe/Stockholm}
rooms:
  - id: cp1
    name: Cell processing 1
    grade: B
    clean_up: 20m
    points:
      - {id: cp1.dp, name: Pressure, quantity: differential_pressure, unit: Pa, period: 10s, range: [-100, 100], resolution: 0.1}
      - {id: cp1.temp, quantity: temperature, unit: degC, period: 30s}
      - {id: cp1.old, quantity: temperature, unit: degC, period: 30s, retired: "2026-01-01T00:00:00Z"}
    zones:
      - id: bsc1
        name: Cabinet 1
        grade: A
        type: bsc
        points: [{id: bsc1.temp, quantity: temperature, unit: degC, period: 30s}]
  - id: cor1
    name: Corridor
    points: [{id: cor1.dp, quantity: differential_pressure, unit: Pa, period: 10s}]
""",
}


class HandClock:
    """Time that only `turn` moves."""

    def __init__(self) -> None:
        self.at, self.monotonic = START, 1000 * SECOND

    def now_ns(self) -> int:
        return self.at

    def monotonic_ns(self) -> int:
        return self.monotonic

    def sleep(self, seconds: float) -> None:
        self.turn(round(seconds * SECOND))

    def turn(self, ns: int) -> None:
        self.at += ns
        self.monotonic += ns


class Watched:
    """The data folder, what fills it, and `monitor`; `vitals` and `refusal` (what acting raises) are set by a test."""

    def __init__(self, folder: Path) -> None:
        for name, text in FILES.items():
            (folder / name).write_text(text, encoding="utf-8")
        self.configuration = load_configuration(folder / "renrum.yaml", {})
        self.folder = folder / "data"
        self.folder.mkdir()
        self.clock = HandClock()
        self.journal = Journal(self.folder / "journal.db", durable=False)
        self.series = Series(self.folder / "series.db")
        self.store = StateStore(self.folder / "state.db")
        self.memory = Recollection(self.series)
        judges = Judges()
        judges.know(self.configuration.as_entry(), self.configuration.judge)
        self.paging = paging = Paging(judges)
        alarms = Alarms(self.store, self._pages, Escalation(self.store, paging), briefly=paging.briefly)
        self.ledger = Ledger(self.store, self.memory, paging.plan, alarms)
        self.intake = Intake(self.journal, self.series.reader(), self.clock.now_ns)
        self.occupying = Occupying(self.intake.say, self.store.reader, self._heard, lambda: None)
        facility = self.configuration.facility
        self.number_of = {point.id: number for number, point in enumerate(facility.points)}
        self.intake.configure(facility, self.number_of, accept_simulated=True)
        self.refusal: Exception | None = None
        self.page_kind = ""
        self.vitals = Vitals(config=self.configuration.judging_hash, ingest_alive=True, link=LinkCounts(True, True), steps=StepCounts(1))
        self._reader = self.journal.reader()
        entry = self.configuration.as_entry()
        self.append(CONFIGURATION, ConfigurationBody(self.configuration.judging_hash, 1, self.number_of, entry, reason="start"))
        self._apply()
        self.monitor = self.watch()

    def watch(self) -> ServiceMonitor:
        """A monitor on what is stored, as at a start."""
        return ServiceMonitor(
            configuration=self.configuration,
            number_of=self.number_of,
            clock=self.clock,
            store=self.store.reader,
            series=self.series.reader,
            journal=self.journal.reader,
            readmit=Readmitting(self.intake, self.journal.reader, None, lambda: None),
            act=self._act,
            keep=self._keep,
            apply=lambda asked: ApplyAnswered(UNCHANGED),
            occupy=self.occupying,
            vitals=self._vitals,
            version="0.1.0",
        )

    def send(self, point: str, *values: object, at: int | None = None, every: int = SECOND, **more: object) -> None:
        """Readings of a point in one message, the first measured `at` ns after START (now), `every` ns apart."""
        first = self.clock.at if at is None else START + at
        room = self.configuration.facility.point_by_id[point].place
        rows = [{"time": format_time(first + i * every), "value": value, **more} for i, value in enumerate(values)]
        self.intake.accept([Message(f"renrum/lab/{room}/{point}", json.dumps(rows).encode(), 0, False)], self._heard())

    def occupy(self, place: str, state: str) -> None:
        """A state message about a place, from now on."""
        body = json.dumps({"time": format_time(self.clock.at), "state": state}).encode()
        self.intake.accept([Message(f"renrum/lab/{place}/occupancy", body, 0, False)], self._heard())

    def step(self, after: int = SECOND) -> Applied:
        """Let time pass, take a step and tell the monitor."""
        self.clock.turn(after)
        self.occupying.elapse(stays_of(self.store), self.clock.at)
        applied = self._apply()
        self.monitor.after_step(applied, self.clock.at)
        return applied

    def deliver(self, page: str, *, ok: bool, attempt: int = 1) -> None:
        """An attempt to deliver a page ended."""
        found = [row for row in self.store.rows("select page_id, target, id from outbox") if row[0] == page]
        assert found, page
        fields = {"page": page, "target": found[0][1], "item": found[0][2], "attempt": attempt, "at_ns": self.clock.at, "ok": ok}
        fields |= {"permanent": False, "detail": "" if ok else "no route", "next_try_ns": 0}
        self.append(DELIVERY, DeliveryBody(**{name: fields[name] for name in DeliveryBody.__struct_fields__}))

    def append(self, kind: str, body: Body) -> int:
        return self.journal.append(kind, encode(body), self.clock.at, self._heard()).seq

    def close(self) -> None:
        for part in (self.monitor, self._reader, self.journal, self.series, self.store):
            part.close()

    def _apply(self) -> Applied:
        step = self.append(STEP, StepBody(0))
        return self.ledger.apply(list(self._reader.entries(self.ledger.cursor, step)))

    def _act(self, body: ActionBody) -> Answer:
        if self.refusal is not None:
            raise self.refusal
        seq = self.append(ACTION, body)
        return self.step().answers[seq]

    def _keep(self, body: RecordBody) -> Answer:
        seq = self.append(RECORD, body)
        return self.step().answers[seq]

    def _vitals(self) -> Vitals:
        ended = self.vitals.step_ended_ns or self.clock.monotonic
        return replace(self.vitals, sums=self.intake.sums, step_ended_ns=ended)

    def _pages(self, excursion: Excursion, alarm: str, at: int) -> list[tuple[str, Page]]:
        return [(target, replace(page, kind=self.page_kind or page.kind)) for target, page in self.paging.pages(excursion, alarm, at)]

    def _heard(self) -> int:
        return self.clock.at - START


def fall(site: Watched, *values: float) -> None:
    """The pressure of cp1, a reading a second, a step after each."""
    for value in values:
        site.send("cp1.dp", value)
        site.step()
        site.monitor.settle()


def point(monitor: ServiceMonitor, id: str) -> PointView:
    """A point as the monitor shows it."""
    return next(view for view in monitor.points() if view.id == id)
