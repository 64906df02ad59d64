"""Storage units: incubators, refrigerators, freezers, liquid nitrogen."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as d

from dashboards.grafana.events import excursion_table
from dashboards.grafana.outline import Outline
from dashboards.grafana.page import Cell, Section, page
from dashboards.grafana.panels import span_table, trend
from dashboards.trend_links import STORAGE, STORAGE_TYPES

TYPES = {
    "incubator": "Incubators", "fridge": "Refrigerators", "freezer_20": "Freezers −20 °C", "freezer_80": "Freezers −80 °C",
    "ln2": "Liquid nitrogen",
}  # fmt: skip


def storage(outline: Outline) -> d.Dashboard:
    """A section for each kind of unit, then the extremes and the excursions of the time shown."""
    sections = []
    for kind in STORAGE_TYPES:
        points = outline.points(where=lambda point, kind=kind: point.type == kind and point.quantity != "door")  # type: ignore[misc]
        sections.append(Section(TYPES[kind], tuple(Cell(trend(outline, group)) for group in outline.by_measure(points).values())))
    units = outline.points(where=lambda point: point.type in STORAGE_TYPES)
    summary = (Cell(span_table(outline, units), 12, 9), Cell(excursion_table(outline, units), 12, 9)) if units else ()
    return page(
        outline,
        STORAGE,
        "Storage units",
        "What each storage unit measured, beside its limits, with its extremes and excursions.",
        [*sections, Section("In the time shown", summary)],
        time="now-7d",
    )
