"""Excursions and alarms: what stands, what was, how often and how fast people answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from historian.queries.flux import CHOSEN_POINTS, PIVOT, START, STOP, Query, among, query, stored, text, words
from historian.schema import ALARM, EXCURSION

LOOK_BACK, LOOK_BACK_OPEN = "35d", "366d"
"""How long before the time shown an excursion or alarm may have begun and still be found there; the other where only open ones count."""
_BEFORE = f"date.sub(from: {START}, d: {LOOK_BACK})"


def _excursions(site: str, *fields: str, start: str = START, where: str = CHOSEN_POINTS) -> str:
    """Current excursions by onset, one row each, in one table."""
    return f"""{stored(EXCURSION, site, "status", *fields, where=where, start=start)}
    |> {PIVOT}
    |> group()
    |> filter(fn: (r) => r.status == "current")"""


_OVERLAPS = f"not exists r.ended or r.ended > int(v: {START})"


def excursions(site: str, names: Mapping[str, str], points: Sequence[str] | None = None) -> Query:
    """Current excursions that overlap the time shown, the newest first; `names` are those of the points by id, `points` to choose among."""
    where = CHOSEN_POINTS if points is None else among(points)
    fields = ("id", "level", "room", "ended", "peak", "limit", "unit", "occupancy", "readings", "late")
    flux = f"""
names = {words(names)}

{_excursions(site, *fields, start=_BEFORE, where=where)}
    |> filter(fn: (r) => {_OVERLAPS})
    |> map(fn: (r) => ({{
        onset: r._time, level: r.level, name: dict.get(dict: names, key: r.point, default: r.point), rule: r.rule,
        peak: r.peak, limit: r.limit, unit: r.unit, ended: time(v: r.ended), readings: r.readings, occupancy: r.occupancy,
        late: r.late, revision: int(v: r.revision), excursion: r.id, alarm: "A" + strings.trimPrefix(v: r.id, prefix: "E"), point: r.point,
        room: r.room,
    }}))
    |> sort(columns: ["onset", "excursion"], desc: true)
    |> limit(n: 1000)
"""
    return query("excursions", flux, ["date", "dict", "strings"], site=site, names=names, points=points)


def marks(site: str, names: Mapping[str, str], level: str, console: str) -> Query:
    """Current excursions of a level as annotations, each with a link to its alarm in the console at the address `console`."""
    link = '"<a href=\\"{console}/alarms/A" + strings.trimPrefix(v: r.id, prefix: "E") + "\\">Alarm in the console</a>"'
    flux = f"""
names = {words(names)}

{_excursions(site, "id", "level", "ended", start=_BEFORE)}
    |> filter(fn: (r) => r.level == {text(level)} and ({_OVERLAPS}))
    |> map(fn: (r) => ({{
        time: r._time, timeEnd: if exists r.ended then time(v: r.ended) else {STOP},
        title: dict.get(dict: names, key: r.point, default: r.point),
        text: {link.replace("{console}", text(console)[1:-1])},
        tags: r.level + "," + r.rule,
    }}))
    |> sort(columns: ["time", "title"])
    |> limit(n: 500)
"""
    return query("marks", flux, ["date", "dict", "strings"], site=site, names=names, level=level, console=console)


def begun(site: str, level: str) -> Query:
    """How many excursions of a level began in the time shown."""
    flux = f"""
{_excursions(site, "level")}
    |> filter(fn: (r) => r.level == {text(level)})
    |> count(column: "status")
    |> map(fn: (r) => ({{_value: r.status}}))
"""
    return query("begun", flux, site=site, level=level)


def standing(site: str, level: str) -> Query:
    """How many excursions of a level are open at the end of the time shown."""
    start = f"date.sub(from: {STOP}, d: {LOOK_BACK_OPEN})"
    flux = f"""
{_excursions(site, "level", "ended", start=start)}
    |> filter(fn: (r) => r.level == {text(level)} and (not exists r.ended or r.ended > int(v: {STOP})))
    |> count(column: "status")
    |> map(fn: (r) => ({{_value: r.status}}))
"""
    return query("standing", flux, ["date"], site=site, level=level)


def per_day(site: str, zone: str) -> Query:
    """How many excursions began on each day of the time zone, by level."""
    flux = f"""
option location = timezone.location(name: {text(zone)})

{_excursions(site, "level")}
    |> map(fn: (r) => ({{_time: r._time, _value: 1, series: r.level}}))
    |> group(columns: ["series"])
    |> sort(columns: ["_time"])
    |> aggregateWindow(every: 1d, fn: sum, createEmpty: false, timeSrc: "_start")
    |> keep(columns: ["_time", "_value", "series"])
"""
    return query("per_day", flux, ["timezone"], site=site, zone=zone)


def worst_points(site: str, names: Mapping[str, str], rooms: Mapping[str, str]) -> Query:
    """The ten points with the most excursions that began in the time shown, and how long these lasted together, in seconds."""
    flux = f"""
names = {words(names)}
rooms = {words(rooms)}

{_excursions(site, "ended")}
    |> map(fn: (r) => ({{
        point: r.point, number: 1,
        until: if exists r.ended and r.ended < int(v: {STOP}) then r.ended else int(v: {STOP}), onset: int(v: r._time),
    }}))
    |> map(fn: (r) => ({{point: r.point, number: r.number, seconds: float(v: r.until - r.onset) / 1000000000.0
    }}))
    |> group(columns: ["point"])
    |> reduce(identity: {{number: 0, seconds: 0.0}}, fn: (r, accumulator) => ({{
        number: accumulator.number + r.number, seconds: accumulator.seconds + r.seconds,
    }}))
    |> group()
    |> map(fn: (r) => ({{
        name: dict.get(dict: names, key: r.point, default: r.point), number: r.number, seconds: r.seconds, point: r.point,
        room: dict.get(dict: rooms, key: r.point, default: ""),
    }}))
    |> sort(columns: ["point"])
    |> sort(columns: ["number", "seconds"], desc: true)
    |> limit(n: 10)
"""
    return query("worst_points", flux, ["dict"], site=site, names=names, rooms=rooms)


def _alarms(site: str, *fields: str, start: str = _BEFORE) -> str:
    return f"""{stored(ALARM, site, "alarm", *fields, where=CHOSEN_POINTS, start=start)}
    |> {PIVOT}
    |> group(columns: ["alarm"])
    |> sort(columns: ["_time"])"""


def alarms(site: str, names: Mapping[str, str], rooms: Mapping[str, str]) -> Query:
    """Each alarm with a transition up to the end of the time shown, in the state that the newest gave it: the newest first."""
    flux = f"""
names = {words(names)}
rooms = {words(rooms)}

{_alarms(site, "transition", "to", "actor", "level", "priority", "comment")}
    |> last(column: "to")
    |> group()
    |> map(fn: (r) => ({{
        since: r._time, state: r.to, level: r.level, priority: r.priority, name: dict.get(dict: names, key: r.point, default: r.point),
        rule: r.rule, actor: r.actor, comment: r.comment, alarm: r.alarm, point: r.point,
        room: dict.get(dict: rooms, key: r.point, default: ""),
    }}))
    |> sort(columns: ["since", "alarm"], desc: true)
    |> limit(n: 1000)
"""
    return query("alarms", flux, ["date", "dict"], site=site, names=names, rooms=rooms)


def alarms_standing(site: str, state: str) -> Query:
    """How many alarms are in a state at the end of the time shown."""
    start = f"date.sub(from: {STOP}, d: {LOOK_BACK_OPEN})"
    flux = f"""
{_alarms(site, "to", start=start)}
    |> last(column: "to")
    |> group()
    |> filter(fn: (r) => r.to == {text(state)})
    |> count(column: "to")
    |> map(fn: (r) => ({{_value: r.to}}))
"""
    return query("alarms_standing", flux, ["date"], site=site, state=state)


def answered(site: str) -> Query:
    """How long it took, in seconds, until each alarm acknowledged in the time shown was acknowledged."""
    flux = f"""
{_alarms(site, "transition")}
    |> reduce(identity: {{raised: 0, acknowledged: 0}}, fn: (r, accumulator) => ({{
        raised: if r.transition == "raise" then int(v: r._time) else accumulator.raised,
        acknowledged: if r.transition == "acknowledge" then int(v: r._time) else accumulator.acknowledged,
    }}))
    |> group()
    |> filter(fn: (r) => r.raised > 0 and r.acknowledged >= int(v: {START}))
    |> map(fn: (r) => ({{_time: time(v: r.acknowledged), _value: float(v: r.acknowledged - r.raised) / 1000000000.0}}))
    |> sort(columns: ["_time", "_value"])
"""
    return query("answered", flux, ["date"], site=site)
