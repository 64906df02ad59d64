"""All files of a Grafana installation: dashboards and provisioning, as bytes that depend on the configuration alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard as Model

from dashboards.grafana.cascade import cascade
from dashboards.grafana.climate import climate
from dashboards.grafana.events import excursions
from dashboards.grafana.outline import Outline
from dashboards.grafana.overview import overview
from dashboards.grafana.particles import particles
from dashboards.grafana.pipeline import pipeline
from dashboards.grafana.room import room
from dashboards.grafana.storage import storage
from dashboards.grafana.target import FOLDER, FOLDER_UID, GRAFANA_VERSION, INFLUXDB, PROMETHEUS, TOKEN_VARIABLE

DASHBOARDS: tuple[Callable[[Outline], Dashboard], ...] = (overview, room, cascade, particles, climate, excursions, storage, pipeline)


@dataclass(frozen=True, slots=True)
class Sources:
    """How Grafana reaches what it shows: addresses, organisation, bucket, and the file with its token, else it is in the environment.

    `folder` is where Grafana finds the built files.
    """

    influxdb_url: str
    org: str
    bucket: str
    prometheus_url: str
    token_file: str = ""
    folder: str = "/etc/grafana/renrum"


def models(outline: Outline) -> tuple[Model, ...]:
    """The dashboards, as the SDK's values."""
    return tuple(dashboard(outline).build() for dashboard in DASHBOARDS)


def files(outline: Outline, sources: Sources) -> dict[str, bytes]:
    """The content of each file by its path in the folder that is built."""
    found = {f"dashboards/{model.uid}.json": _json(model) for model in models(outline)}
    found["provisioning/datasources/renrum.yaml"] = _yaml(_datasources(sources))
    found["provisioning/dashboards/renrum.yaml"] = _yaml(_providers(sources))
    return found


def _json(model: Model) -> bytes:
    return (json.dumps(model, cls=JSONEncoder, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _yaml(content: Mapping[str, Any]) -> bytes:
    """JSON is YAML; a first line says where it comes from."""
    head = f"# Written by `renrum dashboards build` for Grafana {GRAFANA_VERSION}; the next build overwrites it.\n"
    return (head + json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _datasources(sources: Sources) -> dict[str, Any]:
    token = f"$__file{{{sources.token_file}}}" if sources.token_file else f"$__env{{{TOKEN_VARIABLE}}}"
    return {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "Renrum InfluxDB", "uid": INFLUXDB, "type": "influxdb", "access": "proxy", "url": sources.influxdb_url,
                "editable": False,
                "jsonData": {"version": "Flux", "organization": sources.org, "defaultBucket": sources.bucket},
                "secureJsonData": {"token": token},
            },
            {
                "name": "Renrum Prometheus", "uid": PROMETHEUS, "type": "prometheus", "access": "proxy", "url": sources.prometheus_url,
                "editable": False, "jsonData": {"httpMethod": "POST", "prometheusType": "Prometheus"},
            },
        ],
    }  # fmt: skip


def _providers(sources: Sources) -> dict[str, Any]:
    provider = {
        "name": "renrum", "orgId": 1, "folder": FOLDER, "folderUid": FOLDER_UID, "type": "file", "disableDeletion": False,
        "allowUiUpdates": False, "updateIntervalSeconds": 30, "options": {"path": f"{sources.folder}/dashboards"},
    }  # fmt: skip
    return {"apiVersion": 1, "providers": [provider]}
