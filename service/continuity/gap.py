"""What InfluxDB knows of the time between a backup and the failure, and what stays unknown."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alerts.record.audit import SYSTEM
from facility.own import OWN, without_own
from facility.reading import QUALITIES
from facility.site import Facility
from facility.times import format_time
from historian.influx import Influx, InfluxUnavailable, explained
from historian.lines import id_of
from historian.queries.flux import BUCKET, PIVOT, stored, text
from historian.schema import ALARM, READING, ROOM_STATE, Measurement
from ingest.message import Message

ROWS = 200_000
"""About so many readings are asked for at a time."""
DAY_NS, HOUR_NS, SECOND_NS = 86_400 * 10**9, 3600 * 10**9, 10**9
MISSED_PERIODS = 3
"""A point that said nothing for so many of its periods has a gap."""
_ELEMENTS = 2_000


@dataclass(frozen=True, slots=True)
class Row:
    """A reading as InfluxDB has it: time and `received` int ns UTC, value nan where there is none."""

    point: str
    time: int
    value: float
    quality: int
    received: int


@dataclass(frozen=True, slots=True)
class Span:
    """A point of which nothing is known between two times, int ns UTC."""

    point: str
    start: int
    end: int


class Gap:
    """What was received after `since` (int ns UTC, the backup's newest entry), as InfluxDB has it at `until`. All raise InfluxFault.

    Late readings are found that were measured up to `late_ns` before `since`.
    """

    def __init__(self, influx: Influx, facility: Facility, since: int, until: int, late_ns: int = DAY_NS) -> None:
        self._influx, self.facility, self._since, self._until = influx, facility, since, until
        self._late_ns = late_ns
        self._ahead_ns = max((point.max_ahead_ns for point in facility.points), default=0)

    def readings(self) -> Iterator[list[Row]]:
        """Readings in pieces by their time, each in the order of arrival."""
        width = _width(self.facility)
        for start, end in (
            (at, min(at + width, hour + HOUR_NS)) for hour in dict.fromkeys(self._hours()) for at in range(hour, hour + HOUR_NS, width)
        ):
            flux = f"""{self._stored(READING, start, end, "value", "quality", "received")}
    |> {PIVOT}
    |> filter(fn: (r) => r.received > {self._since})
    |> group()"""
            found = [
                Row(id_of(row["point"]), _ns(row["_time"]), float(row.get("value") or "nan"), int(row["quality"]), int(row["received"]))
                for row in self._rows(flux)
            ]
            if found:
                yield sorted(found, key=lambda row: (row.received, row.point, row.time))

    def states(self) -> list[tuple[str, int, str]]:
        """States of rooms and zones that came since: place, time, state."""
        flux = f"""{self._stored(ROOM_STATE, self._since - self._late_ns, self._until + self._ahead_ns, "state", "received")}
    |> {PIVOT}
    |> filter(fn: (r) => r.received > {self._since})
    |> group()"""
        return sorted(((id_of(row["place"]), _ns(row["_time"]), row["state"]) for row in self._rows(flux)), key=lambda row: row[1:])

    def actions(self) -> list[str]:
        """What people did to alarms since, in words: it is gone with the old journal, and is to be done again."""
        flux = f"""{self._stored(ALARM, self._since, self._until, "alarm", "transition", "actor", "comment")}
    |> {PIVOT}
    |> group()
    |> sort(columns: ["_time"])"""
        return [
            f"{row['_time']} {row['actor']}: {row['transition']} {row['alarm']}, {row['rule']} at {id_of(row['point'])}"
            + (f" ({row['comment']})" if row.get("comment") else "")
            for row in self._rows(flux)
            if row.get("actor") not in (None, "", SYSTEM)
        ]

    def _hours(self) -> Iterator[int]:
        """The hours in which something was measured that came after `since`: asked day by day, as a gap may be long and mostly empty."""
        start, end = self._since - self._late_ns, self._until + self._ahead_ns
        for day in range(start, end, DAY_NS):
            flux = f"""{self._stored(READING, day, min(day + DAY_NS, end), "received", where=f"r._value > {self._since}")}
    |> aggregateWindow(every: 1h, fn: count, createEmpty: false, timeSrc: "_start")
    |> group()
    |> keep(columns: ["_time"])
    |> unique(column: "_time")"""
            yield from sorted(_ns(row["_time"]) // HOUR_NS * HOUR_NS for row in self._rows(flux))

    def _stored(self, measurement: Measurement, start: int, end: int, *names: str, where: str = "") -> str:
        bounds = {"start": f"time(v: {start})", "stop": f"time(v: {end})"}
        found = stored(measurement, self.facility.site.id, *names, where=where, **bounds)
        return found.replace(BUCKET, text(self._influx.target.bucket))

    def _rows(self, flux: str) -> Iterator[dict[str, str]]:
        """The rows of an answer by column; a table with other columns has a head of its own."""
        target = self._influx.target
        with explained(target):
            answer = self._influx.stream(flux)
            columns: list[str] = []
            for cells in csv.reader(io.TextIOWrapper(answer, "utf-8", newline="")):
                if not cells:
                    columns = []
                elif not columns:
                    columns = cells
                else:
                    row = dict(zip(columns, cells, strict=False))
                    if row.get("error"):
                        raise InfluxUnavailable(f"{target.url}: {row['error']}")
                    yield row


def messages(facility: Facility, rows: Sequence[Row]) -> Iterator[Message]:
    """Rows as the messages that would have brought them, those of a point together."""
    places = {point.id: point.place for point in facility.points}
    by_point: dict[str, list[dict[str, object]]] = {}
    for row in rows:
        if row.point.startswith(OWN):
            continue  # what the service measured of itself, nobody sent
        value = row.value if math.isfinite(row.value) else None
        by_point.setdefault(row.point, []).append({"time": format_time(row.time), "value": value, "quality": QUALITIES[row.quality]})
    for point, elements in by_point.items():
        topic = f"renrum/{facility.site.id}/{places.get(point, 'unknown')}/{point}"
        for start in range(0, len(elements), _ELEMENTS):
            yield Message(topic, json.dumps(elements[start : start + _ELEMENTS]).encode())


def state_messages(facility: Facility, states: Sequence[tuple[str, int, str]]) -> Iterator[Message]:
    """States of places as the messages that would have brought them."""
    for place, time, state in states:
        body = {"time": format_time(time), "state": state}
        yield Message(f"renrum/{facility.site.id}/{place}/occupancy", json.dumps(body).encode())


def unknown_spans(facility: Facility, known: Mapping[str, NDArray[np.int64]], since: int, until: int) -> list[Span]:
    """Where a point with a period said nothing for several of them between two times, int ns UTC; `known` are its times there."""
    found = []
    for point in without_own(facility).measured:
        if not point.period_ns or point.on_change or (point.retired_ns is not None and point.retired_ns <= since):
            continue
        times = np.sort(known.get(point.id, np.empty(0, np.int64)))
        edges = np.concatenate([[since], times[(times > since) & (times < until)], [until]])
        holes = np.flatnonzero(np.diff(edges) > MISSED_PERIODS * point.period_ns)
        found += [Span(point.id, int(edges[hole]), int(edges[hole + 1])) for hole in holes.tolist()]
    return found


def _width(facility: Facility) -> int:
    """The time in ns in which about ROWS readings are measured, an hour at most."""
    periods = [point.period_ns for point in facility.points if point.period_ns and not point.on_change and point.retired_ns is None]
    rate = sum(SECOND_NS / period for period in periods) or 1.0
    return int(min(max(ROWS / rate, 1.0) * SECOND_NS, HOUR_NS))


def _ns(text: str) -> int:
    return int(np.datetime64(text.removesuffix("Z"), "ns").astype(np.int64))
