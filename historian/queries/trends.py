"""Readings over time: raw when zoomed in, else the minutes or hours that the feed has aggregated, so that a year opens fast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from historian.queries.flux import EVERY, PIVOT, START, STOP, Query, among, query, rows, stored, words
from historian.schema import HOUR, MINUTE, READING


class Facts(NamedTuple):
    """What is said of a point in a table: names of its place and of itself, its unit, the id of its room."""

    place: str
    name: str
    unit: str
    room: str


RAW_BELOW_S, MINUTES_BELOW_S = 10, 600
"""The width of a window from which minutes, and from which hours are read: at most ten rows fall into one."""


def _source(site: str, fields: tuple[str, ...], function: str, where: str) -> str:
    """Fields of the aggregates, by windows of the width that the panel has pixels for."""
    hours = stored(HOUR, site, *fields, where=where).replace(f'"{HOUR.name}"', "measurement")
    return f'{hours}\n    |> aggregateWindow(every: {EVERY}, fn: {function}, createEmpty: false, timeSrc: "_start")'


_CHOICE = f"""width = int(v: {EVERY})
raw = width < int(v: {RAW_BELOW_S}s)
measurement = if width < int(v: {MINUTES_BELOW_S}s) then "{MINUTE.name}" else "{HOUR.name}\""""


def readings(site: str, series: Mapping[str, str], of: str = "mean") -> Query:
    """The readings of points, named by `series` (point id -> name): good and uncertain ones, or `of` (mean, min, max) of each window.

    A window's mean is that of the means of its minutes or hours.
    """
    where = among(series)
    flux = f"""
names = {words(series)}
{_CHOICE}
single = {stored(READING, site, "value", "quality", where=where)}
    |> {PIVOT}
    |> filter(fn: (r) => exists r.value and r.quality < 2)
    |> map(fn: (r) => ({{_time: r._time, _value: r.value, point: r.point}}))
windows = {_source(site, (of,), of, where)}
    |> map(fn: (r) => ({{_time: r._time, _value: r._value, point: r.point}}))
chosen = if raw then single else windows

chosen
    |> map(fn: (r) => ({{_time: r._time, _value: r._value, series: dict.get(dict: names, key: r.point, default: r.point)}}))
    |> group(columns: ["series"])
"""
    return query("readings", flux, ["dict"], site=site, series=series, of=of)


def extremes(site: str, series: Mapping[str, str]) -> Query:
    """The smallest and the largest of each window, once the readings themselves are not shown any more."""
    where = among(series)
    flux = f"""
names = {words(series)}
{_CHOICE.replace("measurement = if", 'measurement = if raw then "none" else if')}
least = {_source(site, ("min",), "min", where)}
most = {_source(site, ("max",), "max", where)}

union(tables: [least, most])
    |> map(fn: (r) => ({{
        _time: r._time, _value: r._value, series: dict.get(dict: names, key: r.point, default: r.point) + " · " + r._field,
    }}))
    |> group(columns: ["series"])
    |> sort(columns: ["_time"])
"""
    return query("extremes", flux, ["dict"], site=site, series=series)


def bad(site: str, series: Mapping[str, str]) -> Query:
    """How many readings of bad quality each window holds."""
    where = among(series)
    flux = f"""
names = {words(series)}
{_CHOICE}
sums = {_source(site, ("total", "count"), "sum", where)}
    |> {PIVOT}
    |> filter(fn: (r) => r.total > r.count)

sums
    |> map(fn: (r) => ({{
        _time: r._time, _value: r.total - r.count, series: dict.get(dict: names, key: r.point, default: r.point),
    }}))
    |> group(columns: ["series"])
"""
    return query("bad", flux, ["dict"], site=site, series=series)


def limit_lines(lines: Mapping[str, tuple[float, tuple[str, ...]]]) -> Query:
    """Horizontal lines by name, each with its value and the points that it holds for; drawn where one of them is chosen."""
    points = dict.fromkeys(point for _, held in lines.values() for point in held)
    records: list[dict[str, str | float]] = [
        {"series": name, "_value": value, "point": point} for name, (value, held) in lines.items() for point in held
    ]
    flux = f"""
lines = {rows(records)}
    |> filter(fn: (r) => {among(points)})
    |> group(columns: ["series"])
    |> limit(n: 1)

union(tables: [
    lines |> map(fn: (r) => ({{_time: {START}, _value: r._value, series: r.series}})),
    lines |> map(fn: (r) => ({{_time: {STOP}, _value: r._value, series: r.series}})),
])
    |> sort(columns: ["_time"])
"""
    return query("limit_lines", flux, ["array"], lines=lines)


def _facts(points: Mapping[str, Facts]) -> str:
    columns = {name: words({point: getattr(facts, name) for point, facts in points.items()}) for name in ("place", "name", "unit", "room")}
    return "\n".join(f"{name}s = {literal}" for name, literal in columns.items())


def latest(site: str, points: Mapping[str, Facts]) -> Query:
    """The newest reading of each point. A bad one may have no value."""
    flux = f"""
{_facts(points)}

{stored(READING, site, "value", "quality", where=among(points))}
    |> last()
    |> {PIVOT}
    |> group()
    |> filter(fn: (r) => exists r.quality)
    |> map(fn: (r) => ({{
        place: dict.get(dict: places, key: r.point, default: ""), name: dict.get(dict: names, key: r.point, default: r.point),
        value: r.value, unit: dict.get(dict: units, key: r.point, default: ""),
        quality: if r.quality == 0 then "good" else if r.quality == 1 then "uncertain" else "bad",
        time: r._time, point: r.point, room: dict.get(dict: rooms, key: r.point, default: ""),
    }}))
    |> sort(columns: ["place", "name", "point"])
"""
    return query("latest", flux, ["dict"], site=site, points=points)


def span(site: str, points: Mapping[str, Facts]) -> Query:
    """Least and greatest value, readings and bad readings of each point in the time shown, from the minutes, or hours of a long time."""
    where = among(points)

    def total(field: str, function: str) -> str:
        return stored(HOUR, site, field, where=where).replace(f'"{HOUR.name}"', "measurement") + f"\n    |> {function}()"

    flux = f"""
{_facts(points)}
{_CHOICE}
least = {total("min", "min")}
    |> map(fn: (r) => ({{point: r.point, _field: "least", _value: r._value}}))
most = {total("max", "max")}
    |> map(fn: (r) => ({{point: r.point, _field: "most", _value: r._value}}))
number = {total("total", "sum")}
    |> map(fn: (r) => ({{point: r.point, _field: "number", _value: float(v: r._value)}}))
usable = {total("count", "sum")}
    |> map(fn: (r) => ({{point: r.point, _field: "usable", _value: float(v: r._value)}}))

union(tables: [least, most, number, usable])
    |> group()
    |> pivot(rowKey: ["point"], columnKey: ["_field"], valueColumn: "_value")
    |> map(fn: (r) => ({{
        place: dict.get(dict: places, key: r.point, default: ""), name: dict.get(dict: names, key: r.point, default: r.point),
        least: r.least, most: r.most, unit: dict.get(dict: units, key: r.point, default: ""),
        readings: int(v: r.number), bad: int(v: r.number - r.usable), point: r.point,
        room: dict.get(dict: rooms, key: r.point, default: ""),
    }}))
    |> sort(columns: ["place", "name", "point"])
"""
    return query("span", flux, ["dict"], site=site, points=points)
