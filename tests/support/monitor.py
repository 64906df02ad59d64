"""A Monitor of a made-up site, held in memory and moved by hand: what the API, the console and their tests are shown."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from alerts.lifecycle.kpis import SPAN_NS, Annunciations, Kpis, kpis_of
from alerts.lifecycle.lifecycle import ACKNOWLEDGED, NORMAL, RETURNED, UNACKNOWLEDGED
from dashboards.console.view import in_order, needs_somebody, value_text
from dashboards.counts import Counts, IngestCounts, JournalCounts, LinkCounts, StepCounts, Sums, TargetCounts
from dashboards.events import EventHub
from dashboards.monitor import (
    ACCEPTED,
    ALREADY,
    CLOSED,
    UNCHANGED,
    UNKNOWN,
    Acknowledgement,
    ActAnswered,
    ActAsked,
    ApplyAnswered,
    ApplyAsked,
)
from dashboards.standing import GroupView, StandingView
from dashboards.verdict import Verdict
from dashboards.views import (
    STANDING,
    AlarmQuery,
    AlarmView,
    AuditEntry,
    AuditQuery,
    Check,
    Columns,
    ConfigurationView,
    ExcursionQuery,
    Health,
    Identity,
    Item,
    Latest,
    LimitInForce,
    Page,
    PlaceView,
    PointNow,
    PointView,
)
from facility.times import parse_time
from ingest.admission.readmission import Readmitted, Wanted
from ingest.histogram import Distribution
from rules.excursion import CURRENT, Excursion
from tests.support.duty import FakeDesk
from tests.support.keeper import FakeKeeper
from tests.support.trends import FakeTrends

SECOND = 10**9
MINUTE = 60 * SECOND
NOW = parse_time("2026-11-21T07:41:10Z")

PLACES = (
    PlaceView("cp1", "Cell processing 1", "B"),
    PlaceView("bsc1", "Safety cabinet 1", "A", "bsc", "cp1"),
    PlaceView("inc1", "Incubator 1", None, "incubator", "cp1"),
    PlaceView("cp2", "Cell processing 2", "B", occupancy="at_rest"),
    PlaceView("pal1", "Personnel airlock 1", "C", "airlock"),
    PlaceView("prep", "Preparation", "C"),
    PlaceView("cryo", "Cryostorage", "CNC"),
    PlaceView("ln2a", "Dewar A", None, "ln2", "cryo"),
)


def limit(level: str, above: float | None = None, below: float | None = None) -> LimitInForce:
    return LimitInForce(f"{level}-limit", level, above, below)


def point(  # the columns of one row below
    id: str,
    quantity: str,
    unit: str,
    room: str,
    zone: str | None,
    value: float,
    *limits: LimitInForce,
    name: str = "",
    state: str = "normal",
) -> PointView:
    latest = Latest(NOW - 4 * SECOND, value, "good", NOW - 3 * SECOND)
    return PointView(id, name, quantity, unit, room, zone, None, None, 10 * SECOND, latest, limits, state, NOW - 5 * MINUTE)


DP = (limit("alert", below=12.0), limit("action", below=10.0))
POINTS = (
    point("cp1.dp", "differential_pressure", "Pa", "cp1", None, 8.35, *DP, name="Pressure to airlock", state="action"),
    point("cp1.temp", "temperature", "degC", "cp1", None, 20.42, limit("action", 22.0, 18.0)),
    point("cp1.rh", "relative_humidity", "%", "cp1", None, 44.6, limit("action", 60.0, 30.0)),
    point("cp1.p05", "particles_0_5um", "1/m3", "cp1", None, 41230.0, limit("action", 352000.0)),
    point("cp1.door", "door", "1", "cp1", None, 0.0, name="Door to airlock"),
    point("bsc1.p05", "particles_0_5um", "1/m3", "cp1", "bsc1", 1410.0, limit("alert", 1200.0), limit("action", 3520.0), state="alert"),
    point("bsc1.p50", "particles_5_0um", "1/m3", "cp1", "bsc1", 0.0, limit("action", 29.0)),
    point("bsc1.vel", "air_velocity", "m/s", "cp1", "bsc1", 0.447, limit("action", 0.54, 0.36)),
    point("inc1.co2", "co2", "%", "cp1", "inc1", 5.02, limit("action", 5.5, 4.5)),
    point("inc1.temp", "temperature", "degC", "cp1", "inc1", 37.04, limit("action", 37.5, 36.5)),
    point("cp2.dp", "differential_pressure", "Pa", "cp2", None, 15.2, *DP, name="Pressure to airlock"),
    point("cp2.temp", "temperature", "degC", "cp2", None, 20.1, limit("action", 22.0, 18.0)),
    point("cp2.p05", "particles_0_5um", "1/m3", "cp2", None, 212.0, limit("action", 3520.0)),
    point("pal1.dp", "differential_pressure", "Pa", "pal1", None, 14.8, *DP, name="Pressure to corridor"),
    point("pal1.door", "door", "1", "pal1", None, 1.0, name="Door to corridor"),
    point("prep.temp", "temperature", "degC", "prep", None, 20.7, limit("action", 23.0, 17.0)),
    point("prep.rh", "relative_humidity", "%", "prep", None, 47.2, limit("action", 60.0, 30.0), state="stale"),
    point("cryo.o2", "oxygen", "%", "cryo", None, 20.8, limit("action", below=19.5), name="Oxygen in room air"),
    point("ln2a.temp", "temperature", "degC", "cryo", "ln2a", -187.3, limit("action", -150.0), name="Vapour temperature"),
    replace(point("ln2a.level", "level", "%", "cryo", "ln2a", 0.0, limit("action", below=20.0)), latest=None, state="no_data"),
)


def alarm(id: str, of: str, level: str, priority: str, state: str, minutes: float, **more: object) -> AlarmView:
    """An alarm at one of the points, raised so many minutes ago."""
    at = next(point for point in POINTS if point.id == of)
    raised = NOW - int(minutes * MINUTE)
    values: dict[str, object] = {
        "id": id, "state": state, "since": raised, "rule": f"{at.quantity}-{level}", "kind": "limit", "level": level, "priority": priority,
        "point": of, "room": at.room, "zone": at.zone, "quantity": at.quantity, "unit": at.unit, "onset": raised - MINUTE, "raised": raised,
        "point_name": at.name, "excursion": f"x-{id}",
    }  # fmt: skip
    return AlarmView(**values | more)  # type: ignore[arg-type]


ALARMS = (
    alarm(
        "a7", "cp1.dp", "action", "critical", UNACKNOWLEDGED, 3, direction="below", limit=10.0, peak=6.21,
        text="Stop open handling. Close the door to the airlock; call facility services if the pressure does not come back in 2 minutes.",
        sop="SOP-EM-014",
    ),
    alarm("a6", "bsc1.p05", "alert", "high", UNACKNOWLEDGED, 1.5, direction="above", limit=1200.0, peak=1410.0,
          text="Check for interventions and gowning; note them in the batch record."),
    alarm("a4", "prep.rh", "technical", "medium", ACKNOWLEDGED, 42, kind="stale", text="Check the transmitter's supply and its gateway.",
          acknowledged=NOW - 39 * MINUTE, acknowledged_by="Karin Ek", comment="Gateway is being replaced, back at 09:00."),
    alarm("a2", "cp2.temp", "alert", "low", RETURNED, 130, direction="above", limit=21.5, peak=21.9, returned=NOW - 95 * MINUTE),
)  # fmt: skip


def excursion(
    id: str, of: str, level: str, onset_min: float, lasted_min: float | None, peak: float | None, limit: float | None
) -> Excursion:
    at = next(point for point in POINTS if point.id == of)
    onset = NOW - int(onset_min * MINUTE)
    over = None if lasted_min is None else onset + int(lasted_min * MINUTE)
    return Excursion(
        f"{at.quantity.replace('_', '-')}.{level}", of, level, onset, onset + MINUTE, over, over, peak, 12, id=id, zone=at.zone or "",
        room=at.room, occupancy="in_operation", limit=limit, unit=at.unit, config="3f9a2c",
    )  # fmt: skip


EXCURSIONS = (
    excursion("x1", "cp2.temp", "alert", 131, 36, 21.9, 21.5),
    excursion("x2", "prep.rh", "technical", 43, None, None, None),
    excursion("x3", "bsc1.p05", "alert", 2.5, None, 1410.0, 1200.0),
    excursion("x4", "cp1.dp", "action", 4, None, 6.21, 10.0),
)


class FakeMonitor:
    """Implements dashboards.monitor.Monitor; the attributes may be set by a test, `tell` moves a point and publishes it."""

    def __init__(self, environment: str = "demo") -> None:
        self.identity = Identity(environment, "flemingsberg", "ATMP Centre", "Europe/Stockholm", "0.1.0", "3f9a2c77d01b44aa")
        self.at = NOW
        self.place_views: tuple[PlaceView, ...] = PLACES
        self.point_views = {point.id: point for point in POINTS}
        self.alarm_views = {alarm.id: alarm for alarm in ALARMS}
        self.excursion_rows = list(EXCURSIONS)
        self.audit_entries = [
            AuditEntry(1, NOW - 3600 * SECOND, "renrum", "configuration applied", "3f9a2c77d01b44aa", reason="start"),
            AuditEntry(2, NOW - 39 * MINUTE, "Karin Ek", "acknowledged", "a4", reason="Gateway is being replaced, back at 09:00."),
        ]
        self.sums = Sums(184_213, 183_960, 241, {"conflict": 9, "unknown_point": 3}, known_lost=2)
        self.alive, self.ready = True, True
        self.verified: Verdict | None = None
        self.failure: Exception | None = None
        self.asked: list[ApplyAsked] = []
        self.answers = ApplyAnswered(UNCHANGED)
        self.desk = FakeDesk(NOW)
        self.acts: list[ActAsked] = []
        self.acted = ActAnswered(UNKNOWN)
        self.events = EventHub(f"{NOW:x}", self.text_of)
        self.trends = FakeTrends(lambda: self.point_views)
        self.keeper = FakeKeeper(lambda: self.excursion_rows, self.now)
        self._lock = threading.Lock()

    def text_of(self, point: str, value: float | None) -> str:
        view = self.point_views[point]
        return value_text(value, view.quantity, view.resolution)

    def now(self) -> int:
        return self.at

    def places(self) -> Sequence[PlaceView]:
        return self.place_views

    def points(self) -> Sequence[PointView]:
        self._fail()
        return list(self.point_views.values())

    def readings(self, point: str, start: int | None, end: int | None, limit: int) -> Columns | None:
        view = self.point_views.get(point)
        if view is None:
            return None
        times = [NOW - second * SECOND for second in range(600, 0, -10)]
        times = [time for time in times if (start is None or time >= start) and (end is None or time < end)][:limit]
        values = [float("nan") if n == 3 else 20.0 + n / 100 for n in range(len(times))]
        quality = ["bad" if n == 3 else "good" for n in range(len(times))]
        return Columns(view.unit, times, values, quality, [time + SECOND for time in times])

    def excursions(self, query: ExcursionQuery, limit: int, cursor: str | None = None) -> Page[Excursion]:
        rows = [
            row for row in self.excursion_rows
            if query.include_all or row.status == CURRENT
            if query.end is None or row.onset < query.end
            if query.start is None or row.ended is None or row.ended > query.start
            if query.room in (None, row.room)
            if query.point in (None, row.point)
        ]  # fmt: skip
        rows.sort(key=lambda row: (row.onset, row.rule, row.point), reverse=query.newest_first)
        return paged(rows, limit, cursor)

    def alarms(self, query: AlarmQuery, limit: int, cursor: str | None = None) -> Page[AlarmView]:
        held = {"shelved": lambda a: a.shelved, "suppressed": lambda a: a.suppressed, "out_of_service": lambda a: a.out_until}
        chosen = [
            alarm for alarm in self.alarm_views.values()
            if alarm.state in query.states and (not query.flag or held[query.flag](alarm))
            if query.room in ("", alarm.room) and query.group in ("", alarm.group)
        ]  # fmt: skip
        found = paged(sorted(chosen, key=lambda alarm: -alarm.raised), limit, cursor)
        return replace(found, total=len(chosen))

    def standing(self, limit: int) -> StandingView:
        alarms = [alarm for alarm in self.alarm_views.values() if alarm.state in STANDING]
        groups = {}
        for id in {alarm.group for alarm in alarms if alarm.group}:
            members = [alarm for alarm in alarms if alarm.group == id]
            groups[id] = GroupView(id, "system", "Air handler 1", len(members), sum(map(needs_somebody, members)))
        return StandingView(len(alarms), sum(map(needs_somebody, alarms)), tuple(in_order(alarms)[:limit]), groups)

    def alarm(self, alarm_id: str) -> AlarmView | None:
        return self.alarm_views.get(alarm_id)

    def readmit(self, wanted: Wanted, *, by: str, reason: str, dry_run: bool = False) -> Readmitted:
        self._fail()
        return Readmitted()

    def apply(self, asked: ApplyAsked) -> ApplyAnswered:
        self._fail()
        self.asked.append(asked)
        return self.answers

    def acknowledge(self, alarm_id: str, *, by: str, comment: str) -> Acknowledgement:
        self._fail()
        with self._lock:
            found = self.alarm_views.get(alarm_id)
            if found is None:
                return Acknowledgement(UNKNOWN)
            if found.acknowledged is not None:
                return Acknowledgement(ALREADY, found, found.acknowledged_by, found.acknowledged, found.comment)
            if found.state == NORMAL:
                return Acknowledgement(CLOSED, found)
            state = ACKNOWLEDGED if found.state == UNACKNOWLEDGED else NORMAL
            after = replace(found, state=state, since=self.at, acknowledged=self.at, acknowledged_by=by, comment=comment)
            self.alarm_views[alarm_id] = after
            self.audit_entries.append(AuditEntry(len(self.audit_entries) + 1, self.at, by, "acknowledged", alarm_id, reason=comment))
        self.events.alarm(after)
        return Acknowledgement(ACCEPTED, after, by, self.at, comment)

    def kpis(self, start: int | None = None, end: int | None = None) -> Kpis:
        told = Annunciations(np.array([self.at - 10**9], np.int64), [("dp-low", "cp1.dp")], ["high"])
        end = self.at if end is None else end
        return kpis_of(told, end - SPAN_NS if start is None else start, end, [], [90 * 10**9])

    def act(self, asked: ActAsked) -> ActAnswered:
        self._fail()
        self.acts.append(asked)
        return self.acted

    def audit(self, start: int | None, end: int | None, limit: int, cursor: str | None = None) -> Page[AuditEntry]:
        return self.trail(AuditQuery(start, end), limit, cursor)

    def trail(self, query: AuditQuery, limit: int, cursor: str | None = None) -> Page[AuditEntry]:
        chosen = [
            entry for entry in self.audit_entries
            if (query.start is None or entry.at >= query.start) and (query.end is None or entry.at < query.end)
            if query.about in ("", entry.subject)
            if query.words.lower() in f"{entry.actor} {entry.action} {entry.subject} {entry.detail} {entry.reason}".lower()
        ]  # fmt: skip
        return paged(chosen[::-1] if query.newest_first else chosen, limit, cursor)

    def configurations(self) -> Sequence[ConfigurationView]:
        changes = (("cp1.dp action below", "9", "10"), ("cp1.temp alert above", "", "21.5"))
        first = ConfigurationView(NOW - 86_400 * SECOND, "11aa22bb33cc44dd", files=("facility.yaml", "rules.yaml"))
        return first, ConfigurationView(
            NOW - 3600 * SECOND, self.identity.config, "Karin Ek", "Qualified anew", "CR-7", changes, first.files, "approval", "5a" * 32
        )

    def health(self) -> Health:
        steps = Check("judgement", self.alive, "last step 0.4 s ago" if self.alive else "no step for 42 s: restart the service")
        link = Check("broker", self.ready, "connected and drained" if self.ready else "not connected since 07:39: is the broker running?")
        return Health((steps, Check("journal", True, "last commit 0.2 s ago")), (link,), self.verified)

    def counts(self) -> Counts:
        return Counts(
            sums=self.sums,
            config=self.identity.config,
            failing={"journal": False, "steps": False, "series": False, "state": False, "console": False},
            threads={"ingest": True, "steps": True},
            link=LinkCounts(True, True, heard_s=86_000.5, events={"connected": 1}),
            ingest=IngestCounts(messages=9_100),
            journal=JournalCounts(9_120, Distribution(((0.005, 8_000), (0.05, 9_100), (0.5, 9_119)), 9_120, 38.4)),
            steps=StepCounts(7_201, lag_s=0.2, age_s=0.4),
            points={"normal": 12},
            excursions_open={"action": 1, "alert": 1, "technical": 1},
            alarms={("critical", UNACKNOWLEDGED): 2, ("medium", RETURNED): 1, ("medium", ACKNOWLEDGED): 1},
            kpis=self.kpis(),
            pages={"sink": TargetCounts(attempts=5, sent=4)},
        )

    def raise_alarm(self, alarm: AlarmView) -> None:
        """A new or changed alarm, published."""
        self.alarm_views[alarm.id] = alarm
        self.events.alarm(alarm)

    def tell(self, point: str, value: float, state: str = "normal", seconds: int = 1) -> None:
        """Move the clock by `seconds` and a point to a new reading, and publish both."""
        self.at += seconds * SECOND
        latest = Latest(self.at, value, "good", self.at)
        self.point_views[point] = replace(self.point_views[point], latest=latest, state=state)
        self.events.readings([PointNow(point, latest, state)], self.at)

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


def paged(rows: Sequence[Item], limit: int, cursor: str | None) -> Page[Item]:
    """A page of rows already in order; the cursor is `after-N`."""
    start = 0
    if cursor is not None:
        if not cursor.startswith("after-"):
            raise ValueError(cursor)
        start = int(cursor.removeprefix("after-"))
    more = start + limit < len(rows)
    return Page(tuple(rows[start : start + limit]), f"after-{start + limit}" if more else None)
