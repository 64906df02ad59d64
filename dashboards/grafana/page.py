"""A dashboard from its panels: the grid, the variables, excursions as annotations on every panel, links to the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard as d
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as dm

from dashboards.grafana.look import LEVEL, LEVEL_COLOURS
from dashboards.grafana.outline import Outline
from dashboards.grafana.sources import FLUX_SOURCE, Flux
from historian.queries import events, places
from historian.queries.places import NO_GRADE

GRID_WIDTH = 24
TAG = "renrum"


@dataclass(frozen=True, slots=True)
class Cell:
    """A panel with its width and height in units of the grid."""

    panel: Any
    width: int = 12
    height: int = 8


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the panels under it, laid from left to right; without panels it is left out."""

    title: str
    cells: tuple[Cell, ...]


def page(
    outline: Outline, uid: str, title: str, description: str, sections: Iterable[Section], *,
    time: str = "now-24h", variables: Sequence[Builder[dm.VariableModel]] | None = None, annotated: bool = True,
) -> d.Dashboard:  # fmt: skip
    """The dashboard of some sections; `variables` are room, grade and point unless given."""
    built = (
        d.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone(outline.facility.site.timezone)
        .time(time, "now")
        .refresh("1m")
        .tooltip(dm.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(d.DashboardLink("Dashboards").type(dm.DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True).keep_time(True))
        .link(d.DashboardLink("Console").type(dm.DashboardLinkType.LINK).icon("external link").url(outline.console))
        .variables(list(standard_variables(outline) if variables is None else variables))
    )
    if annotated:
        built.annotations([_annotation(outline, level) for level in LEVEL_COLOURS])
    _lay(built, sections)
    _without_interval(built.build())
    return built


def _without_interval(model: dm.Dashboard) -> None:
    """The SDK gives every variable what only variables of intervals have, which Grafana's own types refuse."""
    assert model.templating is not None
    for variable in model.templating.list_val or ():
        variable.auto = variable.auto_min = variable.auto_count = None


def _lay(built: d.Dashboard, sections: Iterable[Section]) -> None:
    number, top = 0, 0
    for section in sections:
        if not section.cells:
            continue
        number += 1
        built.with_row(d.Row(section.title).id(number).grid_pos(dm.GridPos(h=1, w=GRID_WIDTH, x=0, y=top)))
        left, top, lowest = 0, top + 1, 0
        for cell in section.cells:
            if left + cell.width > GRID_WIDTH:
                left, top, lowest = 0, top + lowest, 0
            number += 1
            built.with_panel(cell.panel.id(number).grid_pos(dm.GridPos(h=cell.height, w=cell.width, x=left, y=top)))
            left, lowest = left + cell.width, max(lowest, cell.height)
        top += lowest


def standard_variables(outline: Outline, one_room: bool = False) -> tuple[Builder[dm.VariableModel], ...]:
    """Rooms and grades of the facility, and the points in those that are chosen."""
    room = _choice("room", "Room", [(outline.place_name(place.id), place.id) for place in outline.rooms], one=one_room)
    grade = _choice("grade", "Grade", [("No grade" if grade == NO_GRADE else grade, grade) for grade in outline.grades])
    point = (
        d.QueryVariable("point")
        .label("Point")
        .datasource(FLUX_SOURCE)
        .query({"query": places.points(outline.site).flux, "refId": "points"})
        .refresh(dm.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .current(_all())
    )
    return room, grade, point


def _choice(name: str, label: str, options: Sequence[tuple[str, str]], one: bool = False) -> d.CustomVariable:
    """A variable with a fixed list of (text, value)."""
    written = ", ".join(f"{_escaped(text)} : {_escaped(value)}" for text, value in options)
    variable = d.CustomVariable(name).label(label).values(written).multi(not one).include_all(not one)
    listed = [dm.VariableOption(False, text, value) for text, value in options]
    if one:
        listed[:1] = [dm.VariableOption(True, text, value) for text, value in options[:1]]
        return variable.options(listed).current(listed[0]) if listed else variable
    return variable.options([dm.VariableOption(True, "All", "$__all"), *listed]).current(_all())


def _all() -> dm.VariableOption:
    return dm.VariableOption(True, ["All"], ["$__all"])


def _escaped(text: str) -> str:
    r"""As the list of a custom variable wants it.

    >>> _escaped("Cell processing, left")
    'Cell processing\\, left'
    """
    return text.replace(",", "\\,").replace(" : ", ": ")


def _annotation(outline: Outline, level: str) -> d.AnnotationQuery:
    query = events.marks(outline.site, outline.names, level, outline.console)
    return (
        d.AnnotationQuery()
        .name(f"{LEVEL[level]} excursions")
        .datasource(FLUX_SOURCE)
        .enable(level != "technical")
        .icon_color(LEVEL_COLOURS[level])
        .target(Flux(query, "Anno"))
    )
