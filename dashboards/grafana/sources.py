"""Queries as Grafana's panels hold them: Flux for InfluxDB, PromQL for Prometheus."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import DataSourceRef

from dashboards.grafana.target import INFLUXDB, PROMETHEUS
from historian.queries.flux import Query

FLUX_SOURCE = DataSourceRef("influxdb", INFLUXDB)
PROMETHEUS_SOURCE = DataSourceRef("prometheus", PROMETHEUS)


class Flux(Dataquery, Builder[Dataquery]):
    """A named Flux query; `ref` tells the queries of one panel apart. The SDK has none for InfluxDB."""

    def __init__(self, query: Query, ref: str = "A") -> None:
        self.query = query
        self.ref = ref

    def build(self) -> Dataquery:
        return self

    def to_json(self) -> dict[str, Any]:
        return {"refId": self.ref, "datasource": FLUX_SOURCE, "query": self.query.flux}


class Prom(Dataquery, Builder[Dataquery]):
    """A PromQL expression; `legend` names its series, `instant` asks for the newest value only."""

    def __init__(self, expression: str, legend: str = "", ref: str = "A", instant: bool = False) -> None:
        self.expression, self.legend, self.ref, self.instant = expression, legend, ref, instant

    def build(self) -> Dataquery:
        return self

    def to_json(self) -> dict[str, Any]:
        return {
            "refId": self.ref, "datasource": PROMETHEUS_SOURCE, "expr": self.expression, "legendFormat": self.legend or "__auto",
            "instant": self.instant, "range": not self.instant, "format": "time_series", "editorMode": "code",
        }  # fmt: skip
