"""What each named query must return, computed from the rows themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from historian.queries.flux import Query
from historian.queries.places import NO_GRADE
from historian.queries.trends import Facts
from tests.support.known_history import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, History, Row


@dataclass(frozen=True)
class View:
    """What is chosen on a dashboard: the time shown in ns, the width of a window, points, rooms, grades."""

    start: int
    stop: int
    every_ns: int
    points: tuple[str, ...]
    rooms: tuple[str, ...]
    grades: tuple[str, ...]

    def holds(self, row: Row) -> bool:
        return bool(self.start <= row["time"] < self.stop)


def computed(query: Query, history: History, view: View) -> list[Row]:
    """The rows that the query must return; `_time` and other times in ns."""
    return COMPUTE[query.name](history, view, **query.asked)


def _windows(history: History, view: View) -> list[Row]:
    rows = history.minutes if view.every_ns < 600 * SECOND_NS else history.hours
    return [row for row in rows if view.holds(row)]


def _series(rows: Iterable[Row], view: View, series: dict[str, str], field: str, function: Callable[[list[Any]], Any]) -> list[Row]:
    """A field of windowed rows in wider windows."""
    held: dict[tuple[str, int], list[Any]] = {}
    for row in rows:
        if row["point"] in series and row["point"] in view.points and row.get(field) is not None:
            window = max(view.start, row["time"] // view.every_ns * view.every_ns)
            held.setdefault((row["point"], window), []).append(row[field])
    return [{"_time": time, "_value": function(values), "series": series[point]} for (point, time), values in held.items()]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _readings(history: History, view: View, site: str, series: dict[str, str], of: str) -> list[Row]:
    if view.every_ns < 10 * SECOND_NS:
        return [
            {"_time": row["time"], "_value": row["value"], "series": series[row["point"]]}
            for row in history.readings
            if row["point"] in series and row["point"] in view.points and view.holds(row) and row["quality"] < 2
        ]
    return _series(_windows(history, view), view, series, of, FUNCTIONS[of])


def _extremes(history: History, view: View, site: str, series: dict[str, str]) -> list[Row]:
    if view.every_ns < 10 * SECOND_NS:
        return []
    found = []
    for name in ("min", "max"):
        named = {point: f"{text} · {name}" for point, text in series.items()}
        found += _series(_windows(history, view), view, named, name, FUNCTIONS[name])
    return found


def _bad(history: History, view: View, site: str, series: dict[str, str]) -> list[Row]:
    rows = [row | {"bad": row["total"] - row["count"]} for row in _windows(history, view)]
    return [row for row in _series(rows, view, series, "bad", sum) if row["_value"]]


def _limit_lines(history: History, view: View, lines: dict[str, tuple[float, tuple[str, ...]]]) -> list[Row]:
    return [
        {"_time": time, "_value": value, "series": name}
        for name, (value, points) in lines.items()
        if set(points) & set(view.points)
        for time in (view.start, view.stop)
    ]


def _newest(history: History, view: View, points: Iterable[str]) -> dict[str, Row]:
    rows = [row for row in history.readings if row["point"] in points and row["point"] in view.points and view.holds(row)]
    return {row["point"]: row for row in sorted(rows, key=lambda row: row["time"])}


def _latest(history: History, view: View, site: str, points: dict[str, Facts]) -> list[Row]:
    found = [
        points[point]._asdict()
        | {"value": row["value"], "quality": ("good", "uncertain", "bad")[row["quality"]], "time": row["time"], "point": point}
        for point, row in _newest(history, view, points).items()
    ]
    return sorted(found, key=lambda row: (row["place"], row["name"], row["point"]))


def _span(history: History, view: View, site: str, points: dict[str, Facts]) -> list[Row]:
    found = []
    for point, facts in points.items():
        rows = [row for row in _windows(history, view) if row["point"] == point and point in view.points]
        if rows:
            total, usable = sum(row["total"] for row in rows), sum(row["count"] for row in rows)
            ends = {"least": min(row["min"] for row in rows if "min" in row), "most": max(row["max"] for row in rows if "max" in row)}
            found.append(facts._asdict() | ends | {"readings": total, "bad": total - usable, "point": point})
    return sorted(found, key=lambda row: (row["place"], row["name"], row["point"]))


def _points(history: History, view: View, site: str) -> list[Row]:
    newest = {row["point"]: row for row in sorted(history.points, key=lambda row: row["time"]) if row["time"] < view.stop}
    chosen = [point for point, row in newest.items() if row["room"] in view.rooms and (row["grade"] or NO_GRADE) in view.grades]
    return [{"_value": point} for point in sorted(chosen)]


def _occupancy(history: History, view: View, site: str, places: dict[str, tuple[str, str, str]]) -> list[Row]:
    found = []
    for place, (name, room, configured) in places.items():
        told = sorted((row["time"], row["state"]) for row in history.states if row["place"] == place and row["time"] < view.stop)
        before = [state for time, state in told if time < view.start]
        opening = before[-1] if before else configured
        rows = ([(view.start, opening)] if opening else []) + [(time, state) for time, state in told if time >= view.start]
        found += [{"_time": time, "_value": state, "series": name} for time, state in rows if room in view.rooms]
    return found


def _differences(history: History, view: View, pairs: dict[str, tuple[str, str]]) -> Iterable[tuple[str, Row, str, str]]:
    good = History(history.facility, [row for row in history.readings if row["quality"] < 2])
    for point, row in _newest(good, view, pairs).items():
        here, other = pairs[point]
        yield point, row, *((other, here) if row["value"] < 0 else (here, other))


def _cascade(history: History, view: View, site: str, pairs: dict[str, tuple[str, str]]) -> list[Row]:
    found = []
    for point, row, high, low in _differences(history, view, pairs):
        way = "reversed" if row["value"] < 0 else "as designed" if row["value"] > 0 else "none"
        found.append({"from": high, "to": low, "value": row["value"], "way": way, "time": row["time"], "point": point})
    return sorted(found, key=lambda row: (row["from"], row["to"], row["point"]))


def _cascade_edges(history: History, view: View, site: str, pairs: dict[str, tuple[str, str]]) -> list[Row]:
    found = [
        {"id": point, "source": high, "target": low, "mainstat": abs(row["value"])}
        for point, row, high, low in _differences(history, view, pairs)
    ]
    return sorted(found, key=lambda row: row["id"])


def _cascade_nodes(history: History, view: View, places: list[tuple[str, str]]) -> list[Row]:
    return [{"id": name, "title": name, "subtitle": grade} for name, grade in places]


def _current(history: History, view: View, start: int, points: Iterable[str] | None = None) -> list[Row]:
    return [
        row
        for row in history.excursions
        if row["status"] == "current"
        and start <= row["time"] < view.stop
        and row["point"] in view.points
        and (points is None or row["point"] in points)
    ]


def _overlapping(history: History, view: View, points: Iterable[str] | None = None) -> list[Row]:
    rows = _current(history, view, view.start - 35 * DAY_NS, points)
    return [row for row in rows if row["ended"] is None or row["ended"] > view.start]


def _excursions(history: History, view: View, site: str, names: dict[str, str], points: tuple[str, ...] | None) -> list[Row]:
    same = ("level", "rule", "peak", "limit", "unit", "ended", "readings", "occupancy", "late", "revision", "point", "room")
    found = [
        {name: row[name] for name in same}
        | {"onset": row["time"], "name": names[row["point"]], "excursion": row["id"], "alarm": f"A{row['id'][1:]}"}
        for row in _overlapping(history, view, points)
    ]
    return sorted(found, key=lambda row: (row["onset"], row["excursion"]), reverse=True)


def _marks(history: History, view: View, site: str, names: dict[str, str], level: str, console: str) -> list[Row]:
    found = [
        {
            "time": row["time"], "timeEnd": view.stop if row["ended"] is None else row["ended"], "title": names[row["point"]],
            "text": f'<a href="{console}/alarms/A{row["id"][1:]}">Alarm in the console</a>', "tags": f"{level},{row['rule']}",
        }
        for row in _overlapping(history, view)
        if row["level"] == level
    ]  # fmt: skip
    return sorted(found, key=lambda row: (row["time"], row["title"]))


def _counted(rows: list[Row]) -> list[Row]:
    return [{"_value": len(rows)}] if rows else []


def _begun(history: History, view: View, site: str, level: str) -> list[Row]:
    return _counted([row for row in _current(history, view, view.start) if row["level"] == level])


def _standing(history: History, view: View, site: str, level: str) -> list[Row]:
    rows = _current(history, view, view.stop - 366 * DAY_NS)
    return _counted([row for row in rows if row["level"] == level and (row["ended"] is None or row["ended"] > view.stop)])


def _per_day(history: History, view: View, site: str, zone: str) -> list[Row]:
    found: dict[tuple[str, int], int] = {}
    for row in _current(history, view, view.start):
        local = datetime.fromtimestamp(row["time"] // SECOND_NS, UTC).astimezone(ZoneInfo(zone))
        midnight = datetime(local.year, local.month, local.day, tzinfo=ZoneInfo(zone))
        key = (row["level"], max(view.start, int(midnight.timestamp()) * SECOND_NS))
        found[key] = found.get(key, 0) + 1
    return [{"series": level, "_time": time, "_value": count} for (level, time), count in found.items()]


def _worst_points(history: History, view: View, site: str, names: dict[str, str], rooms: dict[str, str]) -> list[Row]:
    found: dict[str, Row] = {}
    for row in _current(history, view, view.start):
        until = view.stop if row["ended"] is None else min(view.stop, row["ended"])
        entry = found.setdefault(
            row["point"], {"name": names[row["point"]], "number": 0, "seconds": 0.0, "point": row["point"], "room": rooms[row["point"]]}
        )
        entry["number"] += 1
        entry["seconds"] += (until - row["time"]) / SECOND_NS
    return sorted(found.values(), key=lambda row: (-row["number"], -row["seconds"]))[:10]


def _last_transitions(history: History, view: View, start: int) -> list[Row]:
    rows = [row for row in history.alarms if start <= row["time"] < view.stop and row["point"] in view.points]
    return list({row["alarm"]: row for row in sorted(rows, key=lambda row: row["time"])}.values())


def _alarms(history: History, view: View, site: str, names: dict[str, str], rooms: dict[str, str]) -> list[Row]:
    same = ("level", "priority", "rule", "actor", "comment", "alarm", "point")
    found = [
        {name: row[name] for name in same}
        | {"since": row["time"], "state": row["to"], "name": names[row["point"]], "room": rooms[row["point"]]}
        for row in _last_transitions(history, view, view.start - 35 * DAY_NS)
    ]
    return sorted(found, key=lambda row: (row["since"], row["alarm"]), reverse=True)


def _alarms_standing(history: History, view: View, site: str, state: str) -> list[Row]:
    return _counted([row for row in _last_transitions(history, view, view.stop - 366 * DAY_NS) if row["to"] == state])


def _answered(history: History, view: View, site: str) -> list[Row]:
    rows = [row for row in history.alarms if view.start - 35 * DAY_NS <= row["time"] < view.stop and row["point"] in view.points]
    found = []
    for _, life in groupby(sorted(rows, key=lambda row: (row["alarm"], row["time"])), key=lambda row: row["alarm"]):
        times = {row["transition"]: row["time"] for row in life}
        if "raise" in times and times.get("acknowledge", 0) >= view.start:
            found.append({"_time": times["acknowledge"], "_value": (times["acknowledge"] - times["raise"]) / SECOND_NS})
    return sorted(found, key=lambda row: (row["_time"], row["_value"]))


COMPUTE: dict[str, Callable[..., list[Row]]] = {
    "readings": _readings, "extremes": _extremes, "bad": _bad, "limit_lines": _limit_lines, "latest": _latest, "span": _span,
    "points": _points, "occupancy": _occupancy, "cascade": _cascade, "cascade_edges": _cascade_edges, "cascade_nodes": _cascade_nodes,
    "excursions": _excursions, "marks": _marks, "begun": _begun, "standing": _standing, "per_day": _per_day, "worst_points": _worst_points,
    "alarms": _alarms, "alarms_standing": _alarms_standing, "answered": _answered,
}  # fmt: skip
FUNCTIONS: dict[str, Callable[[list[Any]], Any]] = {"mean": _mean, "max": max, "min": min}
WIDTHS = {"raw": 2 * SECOND_NS, "minutes": MINUTE_NS, "hours": HOUR_NS, "days": 12 * HOUR_NS}
