"""What the HTTP API answers, as pydantic models: they write the JSON and describe it in OpenAPI.

Times are RFC 3339 texts in UTC; numbers that are not finite are null.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, WithJsonSchema

from alerts.lifecycle.kpis import Kpis
from dashboards import monitor as m
from dashboards import views as v
from dashboards.asked import AlarmState
from facility.times import format_time
from rules.excursion import Excursion

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)


class LatestAnswer(Answer):
    time: Time
    value: float | None
    quality: str
    received: Time


class LimitAnswer(Answer):
    rule: str
    level: str
    above: float | None
    below: float | None


class OutOfServiceAnswer(Answer):
    since: Time
    until: Time
    by: str
    reason: str

    @classmethod
    def of(cls, out: v.OutOfService | v.Shelf) -> Self:
        return cls(since=format_time(out.since), until=format_time(out.until), by=out.by, reason=out.reason)


class ShelfAnswer(OutOfServiceAnswer):
    """As long as an alarm is shelved."""


class PointAnswer(Answer):
    id: str
    name: str
    quantity: str
    unit: str
    room: str
    zone: str | None
    grade: str | None
    period_s: float | None
    state: str
    since: Time | None
    latest: LatestAnswer | None
    limits: list[LimitAnswer]
    out_of_service: OutOfServiceAnswer | None

    @classmethod
    def of(cls, point: v.PointView) -> Self:
        return cls(
            id=point.id, name=point.name, quantity=point.quantity, unit=point.unit, room=point.room, zone=point.zone, grade=point.grade,
            period_s=None if point.period_ns is None else point.period_ns / 1e9, state=point.state, since=time_text(point.since),
            latest=latest_answer(point.latest),
            limits=[LimitAnswer(rule=limit.rule, level=limit.level, above=limit.above, below=limit.below) for limit in point.limits],
            out_of_service=None if point.out_of_service is None else OutOfServiceAnswer.of(point.out_of_service),
        )  # fmt: skip


class PointsAnswer(Answer):
    points: list[PointAnswer]


class ReadingsAnswer(Answer):
    """Columns of one length, in time order."""

    point: str
    unit: str
    time: list[Time]
    value: list[float | None]
    quality: list[str]
    received: list[Time]
    next: Time | None


class ExcursionAnswer(Answer):
    rule: str
    point: str
    level: str
    onset: Time
    raised: Time
    ended: Time | None
    cleared: Time | None
    peak: float | None
    readings: int
    id: str
    revision: int
    status: str
    late: bool
    zone: str
    room: str
    occupancy: str
    limit: float | None
    unit: str
    closed_by: str
    config: str

    TIMES: ClassVar[tuple[str, ...]] = ("onset", "raised", "ended", "cleared")

    @classmethod
    def of(cls, excursion: Excursion) -> Self:
        row: dict[str, Any] = {name: getattr(excursion, name) for name in cls.model_fields}
        row |= {name: time_text(row[name]) for name in cls.TIMES}
        return cls(**row | {"peak": finite(excursion.peak), "limit": finite(excursion.limit)})


class ExcursionsAnswer(Answer):
    excursions: list[ExcursionAnswer]
    next: str | None


class AlarmAnswer(Answer):
    id: str
    state: AlarmState
    since: Time
    rule: str
    kind: str
    level: str
    priority: str
    point: str
    point_name: str
    room: str
    zone: str | None
    quantity: str
    unit: str
    direction: str
    limit: float | None
    peak: float | None
    onset: Time
    raised: Time
    returned: Time | None
    acknowledged: Time | None
    acknowledged_by: str
    comment: str
    text: str
    sop: str
    excursion: str
    late: bool
    annunciated: bool
    shelved: ShelfAnswer | None
    suppressed: str
    out_until: Time | None
    group: str

    TIMES: ClassVar[tuple[str, ...]] = ("since", "onset", "raised", "returned", "acknowledged", "out_until")

    @classmethod
    def of(cls, alarm: v.AlarmView) -> Self:
        row: dict[str, Any] = {name: getattr(alarm, name) for name in cls.model_fields}
        row |= {name: time_text(row[name]) for name in cls.TIMES}
        row["shelved"] = None if alarm.shelved is None else ShelfAnswer.of(alarm.shelved)
        return cls(**row | {"peak": finite(alarm.peak), "limit": finite(alarm.limit)})


class AlarmsAnswer(Answer):
    alarms: list[AlarmAnswer]
    next: str | None


class FrequentAnswer(Answer):
    rule: str
    point: str
    count: int


class KpisAnswer(Answer):
    """Key figures of alarm management (ISA-18.2) of [start, end), of what people were told; ratios are 0 to 1."""

    start: Time
    end: Time
    told: int
    told_per_day: float
    told_per_hour: float
    told_per_10m: float
    peak_10m: int
    busy_10m_ratio: float
    busy_1h_ratio: float
    flood_ratio: float
    frequent_ratio: float
    stale: int
    priorities: dict[str, float]
    answered_median_s: float | None
    answered_p95_s: float | None
    frequent: list[FrequentAnswer]
    chattering: list[FrequentAnswer]

    @classmethod
    def of(cls, kpis: Kpis) -> Self:
        def listed(found: tuple[tuple[tuple[str, str], int], ...]) -> list[FrequentAnswer]:
            return [FrequentAnswer(rule=rule, point=point, count=count) for (rule, point), count in found]

        def seconds(ns: int | None) -> float | None:
            return None if ns is None else ns / 1e9

        return cls(
            start=format_time(kpis.start), end=format_time(kpis.end), told=kpis.annunciated, told_per_day=kpis.per_day,
            told_per_hour=kpis.per_hour, told_per_10m=kpis.per_10m, peak_10m=kpis.peak_10m, busy_10m_ratio=kpis.busy_10m_ratio,
            busy_1h_ratio=kpis.busy_1h_ratio, flood_ratio=kpis.flood_ratio, frequent_ratio=kpis.frequent_ratio, stale=kpis.stale,
            priorities=kpis.priorities, answered_median_s=seconds(kpis.answered_median_ns), answered_p95_s=seconds(kpis.answered_p95_ns),
            frequent=listed(kpis.frequent), chattering=listed(kpis.chattering),
        )  # fmt: skip


class AuditEntryAnswer(Answer):
    number: int
    at: Time
    actor: str
    action: str
    subject: str
    detail: str
    reason: str


class AuditAnswer(Answer):
    entries: list[AuditEntryAnswer]
    next: str | None


class CheckAnswer(Answer):
    name: str
    ok: bool
    words: str

    @classmethod
    def of(cls, check: v.Check) -> Self:
        return cls(name=check.name, ok=check.ok, words=check.words)


class HealthAnswer(Answer):
    """`time` is the moment of looking, so that an answer that somebody kept is not taken for a new one."""

    ok: bool
    time: str
    checks: list[CheckAnswer]


class SumsAnswer(Answer):
    """received = stored + duplicate + quarantined, unless `closes` says that it does not."""

    received: int
    stored: int
    duplicate: int
    quarantined: int
    known_lost: int
    closes: bool


class LiveHealth(Answer):
    """The data of a `health` event."""

    time: Time
    alive: bool
    ready: bool
    checks: list[CheckAnswer]
    sums: SumsAnswer

    @classmethod
    def of(cls, monitor: m.Monitor) -> Self:
        health, sums = monitor.health(), monitor.counts().sums
        return cls(
            time=format_time(monitor.now()), alive=health.is_alive, ready=health.is_ready,
            checks=[CheckAnswer.of(check) for check in (*health.alive, *health.ready)],
            sums=SumsAnswer(
                received=sums.received, stored=sums.stored, duplicate=sums.duplicate, quarantined=sums.quarantined_total,
                known_lost=sums.known_lost, closes=sums.closes,
            ),
        )  # fmt: skip


class ReadingNow(Answer):
    """One row of a `readings` event; `text` is the value as the console shows it."""

    point: str
    time: Time | None
    value: float | None
    quality: str | None
    state: str
    text: str

    @classmethod
    def of(cls, now: v.PointNow, text_of: Callable[[str, float | None], str]) -> Self:
        value = None if now.latest is None else finite(now.latest.value)
        return cls(
            point=now.point, time=None if now.latest is None else format_time(now.latest.time), value=value,
            quality=None if now.latest is None else now.latest.quality, state=now.state, text=text_of(now.point, value),
        )  # fmt: skip


class ProblemAnswer(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str


def time_text(ns: int | None) -> str | None:
    return None if ns is None else format_time(ns)


def finite(value: float | None) -> float | None:
    """The value, or None where JSON has no way to write it."""
    return value if value is not None and math.isfinite(value) else None


def latest_answer(latest: v.Latest | None) -> LatestAnswer | None:
    if latest is None:
        return None
    return LatestAnswer(
        time=format_time(latest.time), value=finite(latest.value), quality=latest.quality, received=format_time(latest.received)
    )
