"""Excursions and alarms: the list, the numbers, how fast people answered."""

from __future__ import annotations

from collections.abc import Iterable

from grafana_foundation_sdk.builders import common as c
from grafana_foundation_sdk.builders import dashboard as d
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries
from grafana_foundation_sdk.models import common as cm

from dashboards.grafana.look import ACTION as RED
from dashboards.grafana.look import ALARM_STATE, ALERT, GOOD, LEVEL, LEVEL_COLOURS, LINE, OCCUPANCY, UNSURE
from dashboards.grafana.outline import Outline
from dashboards.grafana.page import Cell, Section, page
from dashboards.grafana.panels import COLOURED, POINT_IN_ROOM, as_text, colours_of, fixed, link, number, plain_trend, table, value
from dashboards.grafana.sources import FLUX_SOURCE, Flux
from dashboards.trend_links import EVENTS
from facility.site import Point
from historian.queries import events

_STATE_COLOURS = {"unacknowledged": RED, "returned": ALERT, "acknowledged": LINE, "normal": GOOD}


def excursions(outline: Outline) -> d.Dashboard:
    """Numbers first, then days and points, then the lists."""
    site = outline.site
    numbers = [
        Cell(number(f"{word} excursions begun", events.begun(site, level), LEVEL_COLOURS[level]), 4, 4) for level, word in LEVEL.items()
    ]
    numbers += [
        Cell(number("Acknowledged after, median", events.answered(site), unit="s", reduce="median"), 4, 4),
        Cell(number("Acknowledged after, longest", events.answered(site), unit="s", reduce="max"), 4, 4),
        Cell(number("Alarms unacknowledged", events.alarms_standing(site, "unacknowledged"), RED), 4, 4),
    ]
    return page(
        outline,
        EVENTS,
        "Excursions and alarms",
        "What was out of limits, what stands, and how fast people answered. The console and its records count; this is a copy to look at.",
        [
            Section("Numbers of the time shown", tuple(numbers)),
            Section("Where and when", (Cell(_days(outline)), Cell(_worst(outline)))),
            Section("Excursions", (Cell(excursion_table(outline), 24, 11),)),
            Section("Alarms", (Cell(_alarms(outline), 24, 11),)),
        ],
        time="now-7d",
    )


def excursion_table(outline: Outline, points: Iterable[Point] | None = None) -> Table:
    """Excursions that overlap the time shown, each with a link to its alarm in the console; of the chosen among `points` or all."""
    panel = table(
        "Excursions",
        events.excursions(outline.site, outline.names, None if points is None else tuple(point.id for point in points)),
        {
            "onset": "Onset", "level": "Level", "name": "Where", "rule": "Rule", "peak": "Worst", "limit": "Limit", "unit": "Unit",
            "ended": "Ended", "readings": "Readings", "occupancy": "State of the room", "late": "Late", "revision": "Revision",
            "alarm": "Alarm",
        },
        hidden=("excursion", "point", "room"),
    )  # fmt: skip
    panel.override_by_name("level", [COLOURED, as_text(colours_of(LEVEL, LEVEL_COLOURS))])
    panel.override_by_name("occupancy", [as_text(colours_of(OCCUPANCY, {}))])
    panel.override_by_name("ended", [value("noValue", "Open")])
    return _linked(outline, panel)


def _alarms(outline: Outline) -> Table:
    panel = table(
        "Alarms, each in its newest state",
        events.alarms(outline.site, outline.names, outline.room_of),
        {
            "since": "Since", "state": "State", "level": "Level", "priority": "Priority", "name": "Where", "rule": "Rule", "actor": "By",
            "comment": "Comment", "alarm": "Alarm",
        },
        hidden=("point", "room"),
    )  # fmt: skip
    panel.override_by_name("state", [COLOURED, as_text(colours_of(ALARM_STATE, _STATE_COLOURS))])
    panel.override_by_name("level", [COLOURED, as_text(colours_of(LEVEL, LEVEL_COLOURS))])
    return _linked(outline, panel)


def _linked(outline: Outline, panel: Table) -> Table:
    panel.override_by_name("alarm", [value("links", [link("Alarm in the console", f"{outline.console}/alarms/${{__value.raw}}")])])
    return panel.override_by_name("name", [value("links", [link("Trend", POINT_IN_ROOM)])])


def _days(outline: Outline) -> TimeSeries:
    panel = (
        plain_trend("Excursions begun on each day", "none")
        .datasource(FLUX_SOURCE)
        .with_target(Flux(events.per_day(outline.site, outline.facility.site.timezone)))
        .draw_style(cm.GraphDrawStyle.BARS)
        .fill_opacity(70)
        .stacking(c.StackingConfig().mode(cm.StackingMode.NORMAL))
        .decimals(0)
    )
    for level, colour in LEVEL_COLOURS.items():
        panel.override_by_regexp(f"/{level}/", [fixed(colour)])
    return panel


def _worst(outline: Outline) -> Table:
    panel = table(
        "Points with the most excursions",
        events.worst_points(outline.site, outline.names, outline.room_of),
        {"name": "Where", "number": "Excursions", "seconds": "Out of limits"},
        hidden=("point", "room"),
    )
    return panel.override_by_name("seconds", [value("unit", "s"), fixed(UNSURE)])
