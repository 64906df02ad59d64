"""What rooms and zones were: their states, which way the air flows between them, which points there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from historian.queries.flux import BEGINNING, CHOSEN_GRADES, CHOSEN_ROOMS, PIVOT, START, Query, among, pattern, query, rows, stored, words
from historian.schema import POINT_INFO, READING, ROOM_STATE

NO_GRADE = "none"


def points(site: str) -> Query:
    """The ids of the points in the chosen rooms and grades, for the variable `point`: as they were configured last."""
    flux = f"""
{stored(POINT_INFO, site, "room", "grade", start=BEGINNING)}
    |> last()
    |> group()
    |> pivot(rowKey: ["point"], columnKey: ["_field"], valueColumn: "_value")
    |> map(fn: (r) => ({{point: r.point, room: r.room, grade: if r.grade == "" then "{NO_GRADE}" else r.grade}}))
    |> filter(fn: (r) => {CHOSEN_ROOMS} and {CHOSEN_GRADES})
    |> map(fn: (r) => ({{_value: r.point}}))
    |> sort(columns: ["_value"])
"""
    return query("points", flux, site=site)


def occupancy(site: str, places: Mapping[str, tuple[str, str, str]]) -> Query:
    """The states of rooms and zones over time; `places` gives name, room and state until the first message (empty for none) by id."""
    condition = f"r.place =~ /^{pattern(places)}$/"
    rooms = {place: facts[1] for place, facts in places.items()}
    beginnings = [{"place": place, "_value": state} for place, (_, _, state) in places.items() if state]
    flux = f"""
names = {words({place: facts[0] for place, facts in places.items()})}
rooms = {words(rooms)}
configured = {rows(beginnings)}
    |> map(fn: (r) => ({{_time: {BEGINNING}, _value: r._value, place: r.place}}))
before = {stored(ROOM_STATE, site, "state", where=condition, start=BEGINNING, stop=START)}
    |> last()
    |> map(fn: (r) => ({{_time: r._time, _value: r._value, place: r.place}}))
at_start = union(tables: [configured, before])
    |> group(columns: ["place"])
    |> sort(columns: ["_time"])
    |> last(column: "_value")
    |> map(fn: (r) => ({{_time: {START}, _value: r._value, place: r.place}}))
inside = {stored(ROOM_STATE, site, "state", where=condition)}
    |> map(fn: (r) => ({{_time: r._time, _value: r._value, place: r.place}}))

union(tables: [at_start, inside])
    |> map(fn: (r) => ({{r with room: dict.get(dict: rooms, key: r.place, default: r.place)}}))
    |> filter(fn: (r) => {CHOSEN_ROOMS})
    |> map(fn: (r) => ({{_time: r._time, _value: r._value, series: dict.get(dict: names, key: r.place, default: r.place)}}))
    |> group(columns: ["series"])
    |> sort(columns: ["_time"])
"""
    return query("occupancy", flux, ["array", "dict"], site=site, places=places)


def _differences(site: str, pairs: Mapping[str, tuple[str, str]]) -> str:
    """The newest good or uncertain pressure difference of each pair; `pairs` gives the place and the one that it is measured against."""
    return f"""places = {words({point: pair[0] for point, pair in pairs.items()})}
against = {words({point: pair[1] for point, pair in pairs.items()})}
newest = {stored(READING, site, "value", "quality", where=among(pairs))}
    |> {PIVOT}
    |> filter(fn: (r) => exists r.value and r.quality < 2)
    |> last(column: "value")
    |> group()
    |> map(fn: (r) => ({{
        point: r.point, time: r._time, value: r.value,
        place: dict.get(dict: places, key: r.point, default: ""), other: dict.get(dict: against, key: r.point, default: ""),
    }}))"""


def cascade(site: str, pairs: Mapping[str, tuple[str, str]]) -> Query:
    """Which way the air flows now between each place and the one that its pressure is measured against."""
    flux = f"""
{_differences(site, pairs)}

newest
    |> map(fn: (r) => ({{
        from: if r.value < 0.0 then r.other else r.place, to: if r.value < 0.0 then r.place else r.other,
        value: r.value, way: if r.value < 0.0 then "reversed" else if r.value == 0.0 then "none" else "as designed",
        time: r.time, point: r.point,
    }}))
    |> sort(columns: ["from", "to", "point"])
"""
    return query("cascade", flux, ["dict"], site=site, pairs=pairs)


def cascade_edges(site: str, pairs: Mapping[str, tuple[str, str]]) -> Query:
    """The same as arrows of a node graph, from the higher pressure to the lower."""
    flux = f"""
{_differences(site, pairs)}

newest
    |> map(fn: (r) => ({{
        id: r.point, source: if r.value < 0.0 then r.other else r.place, target: if r.value < 0.0 then r.place else r.other,
        mainstat: if r.value < 0.0 then -r.value else r.value,
    }}))
    |> sort(columns: ["id"])
"""
    return query("cascade_edges", flux, ["dict"], site=site, pairs=pairs)


def cascade_nodes(places: Sequence[tuple[str, str]]) -> Query:
    """The places of the node graph, each with its name and grade; the name is its id, as edges name it."""
    records = [{"id": name, "title": name, "subtitle": grade} for name, grade in places]
    return query("cascade_nodes", rows(records), ["array"], places=places)
