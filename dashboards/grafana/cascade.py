"""The pressure cascade: which way the air flows between rooms, how strongly, and what doors did."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as d
from grafana_foundation_sdk.builders.nodegraph import EdgeOptions
from grafana_foundation_sdk.builders.nodegraph import Panel as NodeGraph
from grafana_foundation_sdk.builders.table import Panel as Table

from dashboards.grafana.look import ACTION, ALERT, DOOR, GOOD
from dashboards.grafana.outline import Outline
from dashboards.grafana.page import Cell, Section, page
from dashboards.grafana.panels import COLOURED, as_text, states, table, trend, value
from dashboards.grafana.sources import FLUX_SOURCE, Flux
from dashboards.trend_links import CASCADE
from facility.site import Point
from historian.queries import places, trends

WAYS = {"as designed": ("As designed", GOOD), "reversed": ("Reversed", ACTION), "none": ("No difference", ALERT)}


def cascade(outline: Outline) -> d.Dashboard:
    """Directions now as arrows and as a table, differences over time, doors."""
    points = outline.points("differential_pressure")
    between = {point.id: (outline.place_name(point.place), _other(outline, point)) for point in points}
    doors = outline.series(outline.points("door"))
    now = [Cell(_arrows(outline, between), 12, 12), Cell(_directions(outline, between), 12, 12)] if points else []
    openings = [Cell(states("Doors", trends.readings(outline.site, doors, "max"), DOOR), 24, 6)] if doors else []
    return page(
        outline,
        CASCADE,
        "Pressure cascade",
        "Which way the air flows between rooms. An arrow points from the higher pressure to the lower.",
        [
            Section("Direction at the end of the time shown", tuple(now)),
            Section("Differences", tuple(Cell(trend(outline, group), 24, 10) for group in outline.by_measure(points).values())),
            Section("Doors", tuple(openings)),
        ],
        time="now-8h",
    )


def _other(outline: Outline, point: Point) -> str:
    """The place on the low side; where the facility names none, the surroundings."""
    return outline.place_name(point.reference) if point.reference in outline.facility.place_by_id else "Surroundings"


def _arrows(outline: Outline, between: dict[str, tuple[str, str]]) -> NodeGraph:
    grades = {outline.place_name(place.id): place.grade or "" for place in outline.facility.places}
    nodes = [(name, grades.get(name, "")) for name in dict.fromkeys(name for pair in between.values() for name in pair)]
    return (
        NodeGraph()
        .title("Air flows")
        .description("Arrows point from the higher pressure to the lower; the number is the difference.")
        .datasource(FLUX_SOURCE)
        .with_target(Flux(places.cascade_nodes(nodes), "nodes"))
        .with_target(Flux(places.cascade_edges(outline.site, between), "edges"))
        .edges(EdgeOptions().main_stat_unit("suffix: Pa"))
    )


def _directions(outline: Outline, between: dict[str, tuple[str, str]]) -> Table:
    panel = table(
        "Directions",
        places.cascade(outline.site, between),
        {"from": "Air flows from", "to": "to", "value": "Difference as measured", "way": "Direction", "time": "Time", "point": "Point"},
    )
    panel.override_by_name("way", [COLOURED, as_text(WAYS)])
    return panel.override_by_name("value", [value("unit", "suffix: Pa")])
