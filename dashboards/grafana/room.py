"""One room: all its quantities over time, with their limits, its states, its doors, its excursions."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as d

from dashboards.grafana.events import excursion_table
from dashboards.grafana.look import DOOR
from dashboards.grafana.outline import Outline
from dashboards.grafana.overview import occupancy
from dashboards.grafana.page import Cell, Section, page, standard_variables
from dashboards.grafana.panels import bad_readings, states, trend
from dashboards.trend_links import ROOM
from historian.queries import trends


def room(outline: Outline) -> d.Dashboard:
    """Trends of the chosen room; a quantity that it does not have shows no data."""
    measured = outline.by_measure(outline.points(where=lambda point: point.quantity != "door"))
    doors = outline.series(outline.points("door"))
    openings = [Cell(states("Doors", trends.readings(outline.site, doors, "max"), DOOR), 24, 6)] if doors else []
    return page(
        outline,
        ROOM,
        "Room",
        "All that is measured in one room and its zones, beside its limits.",
        [
            Section("States", (Cell(occupancy(outline), 24, 5), *openings)),
            Section("Trends", tuple(Cell(trend(outline, points)) for points in measured.values())),
            Section("Quality and excursions", (Cell(bad_readings(outline, outline.facility.points)), Cell(excursion_table(outline)))),
        ],
        time="now-8h",
        variables=standard_variables(outline, one_room=True),
    )
