"""Temperature and humidity of rooms."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as d

from dashboards.grafana.outline import Outline, stores
from dashboards.grafana.page import Cell, Section, page
from dashboards.grafana.panels import span_table, trend
from dashboards.trend_links import CLIMATE

QUANTITIES = ("temperature", "relative_humidity")


def climate(outline: Outline) -> d.Dashboard:
    """Trends with their limits, and the extremes of the time shown."""
    points = outline.points(*QUANTITIES, where=lambda point: not stores(point))
    return page(
        outline,
        CLIMATE,
        "Temperature and humidity",
        "Temperature and relative humidity of rooms, beside their limits.",
        [
            Section("Trends", tuple(Cell(trend(outline, group), 24, 10) for group in outline.by_measure(points).values())),
            Section("In the time shown", (Cell(span_table(outline, points), 24, 9),) if points else ()),
        ],
    )
