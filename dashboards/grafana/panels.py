"""The panels that several dashboards share: trends with their limits, tables, numbers, states over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import common as c
from grafana_foundation_sdk.builders import dashboard as d
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.statetimeline import Panel as StateTimeline
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries
from grafana_foundation_sdk.models import common as cm
from grafana_foundation_sdk.models import dashboard as dm

from alerts.pages.wording import unit_text
from dashboards.grafana.limits import labelled
from dashboards.grafana.look import LEVEL_COLOURS, UNSURE, quantity_text
from dashboards.grafana.outline import Outline
from dashboards.grafana.sources import FLUX_SOURCE, Flux
from dashboards.trend_links import EVENTS, ROOM
from facility.site import Point
from historian.queries import trends
from historian.queries.flux import Query

LOGARITHMIC = ("particles_0_5um", "particles_5_0um")
SERIES = "${__field.labels.series}"
_LIMIT_REFS = {"action": "ActionLimits", "alert": "AlertLevels", "technical": "OtherLimits"}


def value(id: str, value: object) -> dm.DynamicConfigValue:
    """One property of an override."""
    return dm.DynamicConfigValue(id, value)


def fixed(colour: str) -> dm.DynamicConfigValue:
    return value("color", {"mode": "fixed", "fixedColor": colour})


COLOURED = value("custom.cellOptions", {"type": "color-text"})
POINT_IN_ROOM = f"/d/{ROOM}?${{__url_time_range}}&var-room=${{__data.fields.room}}&var-point=${{__data.fields.point}}"
THESE_EXCURSIONS = f"/d/{EVENTS}?${{__url_time_range}}&${{room:queryparam}}&${{grade:queryparam}}&${{point:queryparam}}"
_DOTTED = value("custom.lineStyle", {"fill": "dot", "dash": [1, 3]})
_DASHED = value("custom.lineStyle", {"fill": "dash", "dash": [10, 6]})
_NOT_IN_LEGEND = value("custom.hideFrom", {"legend": True, "tooltip": False, "viz": False})


def link(title: str, url: str) -> dict[str, object]:
    """A data link, in the same tab."""
    return {"title": title, "url": url, "targetBlank": False}


def steps(*pairs: tuple[float | None, str]) -> d.ThresholdsConfig:
    """Colours from a value on; the first from the lowest."""
    return d.ThresholdsConfig().mode(dm.ThresholdsMode.ABSOLUTE).steps([dm.Threshold(at, colour) for at, colour in pairs])


def texts(words: Mapping[str, tuple[str, str]]) -> list[dm.ValueMapping]:
    """What values are shown as: word and colour."""
    options = {key: dm.ValueMappingResult(word, colour, None, index) for index, (key, (word, colour)) in enumerate(words.items())}
    return [dm.ValueMap(options)]


def trend(outline: Outline, points: Sequence[Point], title: str = "") -> TimeSeries:
    """Points of one quantity and unit over time, their extremes once windows are shown, the limits that rules hold against them."""
    quantity, unit = points[0].quantity, points[0].unit
    series = outline.series(points)
    shown = unit_text(unit)
    panel = (
        plain_trend(title or quantity_text(quantity), f"suffix: {shown}" if shown else "none")
        .datasource(FLUX_SOURCE)
        .with_target(Flux(trends.readings(outline.site, series), "Readings"))
        .with_target(Flux(trends.extremes(outline.site, series), "Extremes"))
        .override_by_query("Extremes", [fixed(UNSURE), _DOTTED, _NOT_IN_LEGEND])
        .data_links([d.DashboardLink("Excursions and alarms").url(THESE_EXCURSIONS)])
    )
    places = {point.id: outline.place_name(point.place) for point in points}
    for level, ref in _LIMIT_REFS.items():
        lines = labelled([line for line in outline.lines if line.level == level], quantity, unit, places)
        if lines:
            panel.with_target(Flux(trends.limit_lines(lines), ref))
            panel.override_by_query(ref, [fixed(LEVEL_COLOURS[level]), value("custom.lineWidth", 2), _DASHED])
    if quantity in LOGARITHMIC:
        # zero counts have no place on the scale: they lie on its foot
        panel.scale_distribution(c.ScaleDistributionConfig().type(cm.ScaleDistribution.SYMLOG).log(10).linear_threshold(1)).min(0)
    return panel


def plain_trend(title: str, unit: str) -> TimeSeries:
    """Lines over time, named by the label `series` or by the legend of their query."""
    return (
        TimeSeries()
        .title(title)
        .unit(unit)
        .display_name(SERIES)
        .color_scheme(d.FieldColor().mode(dm.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .line_width(1)
        .fill_opacity(0)
        .show_points(cm.VisibilityMode.NEVER)
        .legend(c.VizLegendOptions().display_mode(cm.LegendDisplayMode.LIST).placement(cm.LegendPlacement.BOTTOM).show_legend(True))
        .tooltip(c.VizTooltipOptions().mode(cm.TooltipDisplayMode.MULTI).sort(cm.SortOrder.NONE))
    )


def number(title: str, query: Query, colour: str = "", unit: str = "none", reduce: str = "lastNotNull") -> Stat:
    """One number; with a colour it takes that from 1 on."""
    return (
        Stat()
        .title(title)
        .datasource(FLUX_SOURCE)
        .with_target(Flux(query))
        .unit(unit)
        .no_value("0" if unit == "none" else "–")
        .graph_mode(cm.BigValueGraphMode.NONE)
        .reduce_options(c.ReduceDataOptions().values(False).calcs([reduce]))
        .thresholds(steps((None, "text"), *([(1, colour)] if colour else [])))
    )


def table(title: str, query: Query, names: Mapping[str, str], hidden: Sequence[str] = ()) -> Table:
    """Rows of a query; `names` gives the heads of its columns."""
    panel = Table().title(title).datasource(FLUX_SOURCE).with_target(Flux(query)).filterable(True)
    for column, name in names.items():
        panel.override_by_name(column, [value("displayName", name)])
    for column in hidden:
        panel.override_by_name(column, [value("custom.hidden", True)])
    return panel


def states(title: str, query: Query, words: Mapping[str, tuple[str, str]]) -> StateTimeline:
    """States over time, a line for each series."""
    return (
        StateTimeline()
        .title(title)
        .datasource(FLUX_SOURCE)
        .with_target(Flux(query))
        .display_name(SERIES)
        .mappings(texts(words))
        .color_scheme(d.FieldColor().mode(dm.FieldColorModeId.THRESHOLDS))
        .thresholds(steps((None, UNSURE)))
        .show_value(cm.VisibilityMode.AUTO)
        .merge_values(True)
        .fill_opacity(70)
    )


def colours_of(words: Mapping[str, str], colours: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Words with their colours, by value."""
    return {key: (word, colours.get(key, UNSURE)) for key, word in words.items()}


def as_text(words: Mapping[str, tuple[str, str]]) -> dm.DynamicConfigValue:
    """Mappings as a property of an override."""
    return value("mappings", [mapping.to_json() for mapping in texts(words)])


def span_table(outline: Outline, points: Sequence[Point]) -> Table:
    """The extremes of points in the time shown."""
    return table(
        "Extremes",
        trends.span(outline.site, outline.facts(points)),
        {
            "place": "Place", "name": "Point", "least": "Least", "most": "Greatest", "unit": "Unit", "readings": "Readings", "bad": "Bad",
            "point": "Id",
        },
        hidden=("room",),
    )  # fmt: skip


def bad_readings(outline: Outline, points: Sequence[Point]) -> TimeSeries:
    """How many readings of bad quality there were."""
    query = trends.bad(outline.site, outline.series(points))
    panel = plain_trend("Readings of bad quality", "none").datasource(FLUX_SOURCE).with_target(Flux(query))
    return panel.draw_style(cm.GraphDrawStyle.BARS).fill_opacity(70).decimals(0)
