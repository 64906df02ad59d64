"""Particles by grade, on a logarithmic scale, beside alert levels and action limits."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as d

from dashboards.grafana.look import quantity_text
from dashboards.grafana.outline import Outline
from dashboards.grafana.overview import occupancy
from dashboards.grafana.page import Cell, Section, page
from dashboards.grafana.panels import LOGARITHMIC, trend
from dashboards.trend_links import PARTICLES
from historian.queries.places import NO_GRADE


def particles(outline: Outline) -> d.Dashboard:
    """A section for each grade, a panel for each size; the limits of a grade depend on what goes on in the room."""
    sections = []
    for grade in sorted(outline.grades):
        points = outline.points(*LOGARITHMIC, where=lambda point, grade=grade: (point.grade or NO_GRADE) == grade)  # type: ignore[misc]
        title = "No grade" if grade == NO_GRADE else f"Grade {grade}" if grade != "CNC" else grade
        groups = outline.by_measure(points)
        cells = tuple(Cell(trend(outline, group, f"{title}: {quantity_text(quantity)}"), 12, 9) for (quantity, _), group in groups.items())
        sections.append(Section(title, cells))
    return page(
        outline,
        PARTICLES,
        "Particles",
        "Particle concentrations by grade, on a logarithmic scale. Which line holds depends on the state of the room.",
        [*sections, Section("States", (Cell(occupancy(outline), 24, 7),))],
        time="now-8h",
    )
