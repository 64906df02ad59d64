"""The instance that is challenged: the composed service on a folder, a broker, a journal and a sink of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from alerts.channels import Local
from alerts.duty.load import ONE_BY_ONE
from alerts.duty.oncall import OnCall
from alerts.record.store import StateStore
from facility.own import OWN, without_own
from facility.wire import Published, encode_readings, encode_state, occupancy_topic, topic_of
from ingest.journal.entries import INGEST, ingest_body, readings_of
from ingest.journal.journal import JournalReader
from ingest.mqtt.broker import mosquitto_binary
from rules.excursion import Excursion
from service.applied import journalled
from service.challenge.hastened import Hastened
from service.clock import SystemClock
from service.configuration.configuration import Configuration
from service.pipeline import Pipeline
from service.settings.http import Http
from service.settings.settings import Mqtt
from simulators.broker import parse_broker
from simulators.outlet import Outlet

ORIGIN = "challenge"
EVALUATE_EVERY_NS = 200_000_000
BATCH = 100
"""Readings in a message."""
PATIENCE_S = 120.0
"""How long nothing may move before the instance is taken to hang."""


class Hangs(Exception):
    """The instance did not do what it was waited for; the words say what."""


@dataclass(frozen=True, slots=True)
class Received:
    """A stored reading as the journal has it: int ns UTC, and of listening time."""

    point: str
    time: int
    received: int
    heard: int


def own(configuration: Configuration, folder: Path) -> Configuration:
    """The configuration with all that reaches outside replaced: folder, broker, recipients, console, historian, foreign sources."""
    settings = replace(
        configuration.settings,
        environment="validation", data_dir=folder, mqtt=Mqtt(embedded=True, client_id="renrum-challenge"), http=Http(port=0),
        historian=None, grafana="", sources="", evaluate_every_ns=EVALUATE_EVERY_NS, apply="on_start",
    )  # fmt: skip
    return replace(configuration, settings=settings, sources=(), oncall=OnCall({"sink": Local(folder / "pages.jsonl")}))


class Instance:
    """Runs inside `with`. Everything but `clock` is driven from one thread."""

    def __init__(self, configuration: Configuration, folder: Path, clock: Hastened) -> None:
        self.configuration = own(configuration, folder)
        self.folder, self.clock = folder, clock
        self.broker_kind = "Mosquitto" if mosquitto_binary() else "amqtt (built in)"
        self.pipeline = Pipeline(self.configuration, clock, limits=ONE_BY_ONE)  # as each is looked for
        self.pipeline.measures_itself = False  # it is told what it measured
        self.sent = 0

    def __enter__(self) -> Self:
        self.pipeline.start()
        try:
            self._outlet = Outlet(parse_broker(self.pipeline.mqtt_url), SystemClock()).__enter__()
            self.until(lambda: self._session_drained(), "listens to its broker")
        except BaseException:
            self.pipeline.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._outlet.__exit__(kind, error, trace)
        finally:
            self.pipeline.stop()

    def _session_drained(self) -> bool:
        session = self.pipeline.receiver.session
        return session is not None and session.drained

    # Sending

    def state(self, time: int, state: str, places: Sequence[str] | None = None) -> None:
        """Tell rooms and zones (by id; None: every one) their occupancy from `time` on."""
        facility = self.configuration.facility
        for place in [place.id for place in without_own(facility).places] if places is None else places:
            self._outlet.publish(occupancy_topic(facility.site.id, place), encode_state(time, state, ORIGIN), 0, retain=True)
            self.sent += 1
        self._outlet.drain()

    def send(self, point: str, readings: Sequence[Published]) -> None:
        """Publish readings of a point in their order; what the service measures of itself is journalled as if it had."""
        facility, pipeline = self.configuration.facility, self.pipeline
        if point.startswith(OWN):
            number, heard = pipeline.stepper.ledger.number_of[point], pipeline.receiver.heard_ns()
            values = [(number, nan if one.value is None else one.value) for one in readings]
            pipeline.intake.measure(values, [one.time for one in readings], heard)
            return
        topic = topic_of(facility.site.id, facility.point_by_id[point])
        for first in range(0, len(readings), BATCH):
            part = readings[first : first + BATCH]
            self._outlet.publish(topic, encode_readings(replace(one, origin=ORIGIN) for one in part), len(part))
            self.sent += len(part)

    def wait(self, seconds: float) -> None:
        """Let real time pass; the session confirms meanwhile that it listens, which a hastened clock wants more often."""
        end = self.clock.real_ns() + int(seconds * 1e9)
        while (left := end - self.clock.real_ns()) > 0:
            if self.pipeline.receiver.session is not None:
                self.pipeline.receiver.session.wake()
            self._outlet.wait(min(0.05, left / 1e9))

    def until(self, true: Callable[[], bool], what: str) -> None:
        """Wait for it; raises Hangs."""
        moved, seen = self.clock.real_ns(), (-1, -1)
        while not true():
            now = self.clock.real_ns()
            progress = self.pipeline.intake.sums.received, self.pipeline.stepper.ledger.cursor
            if progress != seen:
                moved, seen = now, progress
            elif now - moved > PATIENCE_S * 1e9:
                raise Hangs(f"within {PATIENCE_S:.0f} s nothing moved, while it was waited for that the instance {what}")
            self.wait(0.05)

    def settle(self) -> None:
        """Until all that was sent is received, judged, and told."""
        self._outlet.drain()
        pipeline = self.pipeline
        self.until(lambda: pipeline.intake.sums.received >= self.sent, "receives what was sent")
        for _ in range(2):  # a step that is under way shows neither
            self.until(lambda: pipeline.stepper.ledger.cursor >= pipeline.intake.cursor and not self._settling(), "judges what it received")
            self.wait(2 * EVALUATE_EVERY_NS / 1e9)
        self.until(lambda: not pipeline.unsent(), "tells of what it found")

    def _settling(self) -> bool:
        return self.pipeline.stepper.ledger.judgement.wakes_at(self.clock.now_ns(), 0)[1]

    # What came of it

    def _state(self) -> StateStore:
        return StateStore(self.folder / "state.db", readonly=True)

    def excursions(self) -> list[Excursion]:
        """All rows, those revised and superseded too."""
        with closing(self._state()) as store:
            return store.excursions()

    def alarm_of(self) -> dict[str, str]:
        """The alarm of each excursion, by the excursion's id."""
        with closing(self._state()) as store:
            members = dict(store.rows("select excursion, alarm from members"))
            return dict(store.rows("select excursion, id from alarms")) | members

    def pages(self) -> list[dict[str, Any]]:
        """What lies in the sink."""
        file = self.folder / "pages.jsonl"
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []

    def received(self, after: int) -> list[Received]:
        """Stored readings of the journal's entries after one, in its order."""
        with closing(self.pipeline.journal.reader()) as reader:
            names = {number: point for _, body in journalled(reader) for point, number in body.points.items()}
            found = []
            for entry in reader.entries(after, kinds=(INGEST,)):
                readings = readings_of(entry, ingest_body(entry))
                pairs = zip(readings.point.tolist(), readings.time.tolist(), strict=True)
                found += [Received(names[point], time, entry.at, entry.heard) for point, time in pairs]
            return found

    @property
    def cursor(self) -> int:
        """The journal's newest entry."""
        return self.pipeline.journal.head.seq


def head_of(folder: Path) -> tuple[int, str]:
    """The number and the hash of the journal's last entry: who has them can show that the journal was not changed since."""
    with closing(JournalReader(folder / "journal.db")) as reader:
        last = reader.entry(reader.issued())
    return (last.seq, last.hash.hex()) if last is not None else (0, "")
