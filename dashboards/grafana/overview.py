"""The whole facility: does anything stand, where, and does everything report?"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as d
from grafana_foundation_sdk.builders.statetimeline import Panel as StateTimeline

from dashboards.grafana.look import ACTION, ALARM_STATE, ALERT, LEVEL, LEVEL_COLOURS, OCCUPANCY, OCCUPANCY_COLOURS
from dashboards.grafana.outline import Outline
from dashboards.grafana.page import Cell, Section, page
from dashboards.grafana.panels import COLOURED, POINT_IN_ROOM, as_text, colours_of, link, number, states, table, value
from dashboards.trend_links import OVERVIEW
from facility.site import Place
from historian.queries import events, places, trends

QUALITY = {"good": "good", "uncertain": "uncertain", "bad": "bad"}
_QUALITY_COLOURS = {"uncertain": ALERT, "bad": ACTION, "good": "text"}


def overview(outline: Outline) -> d.Dashboard:
    """What stands now, the states of rooms, the newest reading of every point."""
    site = outline.site
    tallies = [
        Cell(number(f"{word} excursions open", events.standing(site, level), LEVEL_COLOURS[level]), 4, 4) for level, word in LEVEL.items()
    ]
    for state, colour in (("unacknowledged", ACTION), ("returned", ALERT), ("acknowledged", ALERT)):
        query = events.alarms_standing(site, state)
        tallies.append(Cell(number(f"Alarms: {ALARM_STATE[state].lower()}", query, colour), 4, 4))
    newest = table(
        "Newest readings",
        trends.latest(site, outline.facts(outline.facility.points)),
        {"place": "Place", "name": "Point", "value": "Value", "unit": "Unit", "quality": "Quality", "time": "Time", "point": "Id"},
        hidden=("room",),
    )
    newest.override_by_name("quality", [COLOURED, as_text(colours_of(QUALITY, _QUALITY_COLOURS))])
    newest.override_by_name("place", [value("links", [link("Room", POINT_IN_ROOM)])])
    return page(
        outline,
        OVERVIEW,
        f"{outline.facility.site.name}: overview",
        "Does anything stand, where, and does everything report?",
        [
            Section("Now", tuple(tallies)),
            Section("Rooms", (Cell(occupancy(outline), 24, 8),)),
            Section("Points", (Cell(newest, 24, 16),)),
        ],
    )


def occupancy(outline: Outline) -> StateTimeline:
    """States of rooms, and of zones that have their own."""
    shown = {place.id: (outline.place_name(place.id), place.parent or place.id, _until_told(place)) for place in outline.facility.places}
    return states("States of rooms and zones", places.occupancy(outline.site, shown), colours_of(OCCUPANCY, OCCUPANCY_COLOURS))


def _until_told(place: Place) -> str:
    """A zone without messages of its own has its room's state: then it has no line of its own."""
    return "" if place.parent else place.occupancy
