"""The dashboards of the example site for tests, what stands in them, and a query filled in as Grafana does it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import as_file, files
from typing import Any

from dashboards.grafana.build import Sources, models
from dashboards.grafana.build import files as built
from dashboards.grafana.outline import Outline
from dashboards.grafana.sources import Flux
from facility.times import format_time
from historian.queries import places
from historian.queries.flux import Query, pattern
from service.configuration.configuration import Configuration, load_configuration
from tests.support.computed import View

CONSOLE = "https://em.example.org"
SOURCES = Sources("http://influxdb:8086", "site", "em", "http://prometheus:9090")


@cache
def configuration() -> Configuration:
    with as_file(files("service") / "example") as folder:
        return load_configuration(folder / "renrum.yaml", {})


@cache
def outline() -> Outline:
    made = configuration()
    return Outline.of(made.facility, made.rules, made.tables, CONSOLE)


@cache
def dashboards() -> dict[str, dict[str, Any]]:
    """Each dashboard as Grafana reads it, by uid."""
    found = [json.loads(content) for name, content in built(outline(), SOURCES).items() if name.startswith("dashboards/")]
    return {dashboard["uid"]: dashboard for dashboard in found}


@cache
def queries() -> dict[str, Query]:
    """Every Flux query of every dashboard, of panels, annotations and variables, by its text."""
    found = {query.flux: query for query in (places.points(outline().site), *_targets())}
    return dict(sorted(found.items()))


def _targets() -> Iterator[Query]:
    for model in models(outline()):
        held = [target for panel in model.panels or () for target in getattr(panel, "targets", None) or ()]
        held += [annotation.target for annotation in (model.annotations.list_val or ())]
        yield from (target.query for target in held if isinstance(target, Flux))


def texts(dashboard: dict[str, Any]) -> Iterator[str]:
    """Every Flux text in a dashboard's JSON, wherever it stands."""

    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("query"), str) and "refId" in value:
                yield value["query"]
            for inner in value.values():
                yield from walk(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner)

    yield from walk(dashboard)


def filled(flux: str, view: View, bucket: str) -> str:
    """The text as Grafana sends it: first the dashboard's variables, then those of its InfluxDB data source."""
    for name, values in (("point", view.points), ("room", view.rooms), ("grade", view.grades)):
        flux = flux.replace(f"${{{name}:regex}}", pattern(values))
    own = {
        "timeRangeStart": format_time(view.start), "timeRangeStop": format_time(view.stop), "windowPeriod": _go_duration(view.every_ns),
        "defaultBucket": f'"{bucket}"',
    }  # fmt: skip
    for name, text in own.items():
        flux = flux.replace(f"v.{name}", text)
    return flux


def _go_duration(width_ns: int) -> str:
    """A duration as Go writes it: 12h0m0s, 1m0s, 2s."""
    hours, minutes, seconds = width_ns // 3_600_000_000_000, width_ns // 60_000_000_000 % 60, width_ns // 1_000_000_000 % 60
    return f"{hours}h{minutes}m{seconds}s" if hours else f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
