"""A known history of a small facility as plain rows, and the way that it takes: through the journal and the feed into InfluxDB."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from facility.site import OCCUPANCIES, Facility
from historian.influx import Influx as Connection
from historian.judged import Row as JudgedRow
from historian.lines import line
from historian.schema import POINT_INFO
from ingest.journal.entries import ConfigurationBody, State
from tests.support.fed import Installed, drain, readings_of, target_of
from tests.support.influx import Influx

SECOND_NS = 10**9
MINUTE_NS, HOUR_NS, DAY_NS = 60 * SECOND_NS, 3600 * SECOND_NS, 86_400 * SECOND_NS
BEGIN = 1_774_656_000 * SECOND_NS  # 2026-03-28T00:00:00Z, the day before summer time begins in Stockholm
END = BEGIN + 3 * DAY_NS
Row = dict[str, Any]


@dataclass
class History:
    """Rows by measurement: `time` in ns, tags and fields by name; an absent one is None. `points`: the newest configuration."""

    facility: Facility
    readings: list[Row] = field(default_factory=list)
    points: list[Row] = field(default_factory=list)
    states: list[Row] = field(default_factory=list)
    excursions: list[Row] = field(default_factory=list)
    alarms: list[Row] = field(default_factory=list)

    @cached_property
    def minutes(self) -> list[Row]:
        return self._windows(MINUTE_NS)

    @cached_property
    def hours(self) -> list[Row]:
        return self._windows(HOUR_NS)

    def _windows(self, width_ns: int) -> list[Row]:
        """Readings in windows of one width, as the feed aggregates them."""
        held: dict[tuple[str, int], list[Row]] = {}
        for row in self.readings:
            held.setdefault((row["point"], row["time"] // width_ns * width_ns), []).append(row)
        found = []
        for (point, time), rows in held.items():
            values = [row["value"] for row in rows if row["quality"] < 2]
            ends = {"min": min(values), "mean": sum(values) / len(values), "max": max(values)} if values else {}
            worst = max(row["quality"] for row in rows)
            found.append({"point": point, "time": time, "count": len(values), "total": len(rows), "worst": worst} | ends)
        return found


def history(facility: Facility, seed: int = 5) -> History:
    """Three days: readings close together for an hour, then each few minutes; a bad and a silent while, states, excursions, alarms."""
    chance = random.Random(seed)
    made = History(facility)
    for point in facility.points:
        made.points.append({"point": point.id, "time": BEGIN - DAY_NS, "room": point.room, "grade": point.grade or ""})
        made.readings += list(_readings(point.id, point.quantity, chance))
    for place in facility.places[:3]:
        for time in sorted(chance.sample(range(BEGIN - DAY_NS, END, 7 * MINUTE_NS), 9)):
            made.states.append({"place": place.id, "time": time, "state": chance.choice(OCCUPANCIES), "received": time + 5})
    _add_excursions(made, chance)
    return made


def _readings(point: str, quantity: str, chance: random.Random) -> Iterable[Row]:
    base = {"differential_pressure": 2.0, "door": 0.0}.get(quantity, 20.0)
    early = [BEGIN + n * 20 * SECOND_NS for n in range(180)]
    later = [BEGIN + HOUR_NS + n * 9 * MINUTE_NS for n in range(400)]
    for time in early + later:
        quality = chance.choices((0, 1, 2), (90, 5, 5))[0]
        value = chance.randrange(2) if quantity == "door" else base + chance.randrange(-40, 40) / 8
        no_number = quality == 2 and chance.random() < 0.5
        yield {"point": point, "time": time, "value": None if no_number else float(value), "quality": quality, "received": time + 1000}


def _add_excursions(made: History, chance: random.Random) -> None:
    """Excursions open and over, before, in and after the three days, some revised; alarms through their life."""
    for number in range(1, 90):
        point = chance.choice(made.facility.points)
        onset = BEGIN - 30 * DAY_NS + chance.randrange(34 * 24 * 60) * MINUTE_NS + number
        ended = None if chance.random() < 0.3 else onset + chance.randrange(1, 5000) * SECOND_NS
        level = chance.choice(("alert", "action", "technical"))
        row = {
            "point": point.id, "rule": f"rule-{number % 7}", "revision": 0, "time": onset, "id": f"E{number}", "status": "current",
            "level": level,
            "room": point.room, "zone": point.zone or "", "occupancy": "in_operation", "raised": onset + 10, "ended": ended,
            "cleared": ended, "peak": None if level == "technical" else 27.5, "limit": None if level == "technical" else 25.0,
            "readings": number, "late": False, "unit": point.unit, "closed_by": "", "config": "c0ffee", "updated": onset + 20,
        }  # fmt: skip
        made.excursions.append(row)
        if number % 9 == 0:
            row["status"] = "revised"
            made.excursions.append(row | {"status": "current", "revision": 1, "late": True, "peak": 28.5})
        _add_alarm(made, row, chance)


def _add_alarm(made: History, excursion: Mapping[str, Any], chance: random.Random) -> None:
    about = {"point": excursion["point"], "rule": excursion["rule"], "alarm": f"A{excursion['id'][1:]}", "level": excursion["level"]}
    about |= {"priority": "high", "actor": "", "comment": ""}
    time = excursion["raised"]
    made.alarms.append(about | {"time": time, "transition": "raise", "from": "normal", "to": "unacknowledged"})
    if chance.random() < 0.6:
        time += chance.randrange(1, 4000) * SECOND_NS
        by = {"actor": "Anna Berg", "comment": 'door, "left" open'}
        made.alarms.append(about | by | {"time": time, "transition": "acknowledge", "from": "unacknowledged", "to": "acknowledged"})
        if excursion["ended"] is not None:
            later = max(time + SECOND_NS, excursion["ended"])
            made.alarms.append(about | {"time": later, "transition": "return", "from": "acknowledged", "to": "normal"})


class _Judged:
    """Implements historian.judged.Judged: the excursions and the transitions of a history."""

    def __init__(self, made: History) -> None:
        self._excursions = [JudgedRow(n, row["time"], row) for n, row in enumerate(made.excursions, 1)]
        self._transitions = [JudgedRow(n, row["time"], row) for n, row in enumerate(sorted(made.alarms, key=lambda row: row["time"]), 1)]

    def excursions(self, after: int, limit: int) -> Sequence[JudgedRow]:
        return self._excursions[after : after + limit]

    def transitions(self, after: int, limit: int) -> Sequence[JudgedRow]:
        return self._transitions[after : after + limit]

    def newest(self) -> tuple[int, int]:
        return len(self._excursions), len(self._transitions)


class _Kept(Installed):
    """A journal of the history's facility."""

    def __init__(self, folder: Path, made: History) -> None:
        self._facility = made.facility
        super().__init__(folder, [point.id for point in made.facility.points])
        self.judged = _Judged(made)

    def configure(self) -> None:
        self.at = BEGIN - DAY_NS
        super().configure()

    def facility_of(self, body: ConfigurationBody) -> Facility:
        return self._facility


def fed(folder: Path, made: History, server: Influx) -> None:
    """Journal the history and let the feed write it; one older configuration of the points lies there already."""
    older = {"name": "", "room": "elsewhere", "zone": "", "grade": "D", "quantity": "", "unit": ""}
    site = made.facility.site.id
    lines = [line(POINT_INFO, {"point": row["point"], "site": site}, older, row["time"] - 90 * DAY_NS) for row in made.points]
    server.write(b"".join(lines).decode())
    numbers = {point.id: number for number, point in enumerate(made.facility.points)}
    with _Kept(folder, made) as kept, Connection(target_of(server)) as connection:
        for chunk in _chunks(sorted(made.readings, key=lambda row: row["time"]), 500):
            values = [math.nan if row["value"] is None else row["value"] for row in chunk]
            columns = ([row[name] for row in chunk] for name in ("time", "quality", "received"))
            time, quality, received = columns
            kept.arrive(readings_of([numbers[row["point"]] for row in chunk], time, values, quality, received), max(received))
        kept.arrive(readings_of([], [], []), END, [State(row["place"], row["time"], row["state"]) for row in made.states])
        kept.write_series()
        drain(kept.feed(connection))


def _chunks(rows: list[Row], size: int) -> Iterable[list[Row]]:
    return (rows[begin : begin + size] for begin in range(0, len(rows), size))
