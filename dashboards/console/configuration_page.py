"""The configuration as a page: what is in force, the limits of each point now, and what changed value by value."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from alerts.people.permissions import READ
from dashboards.access import Gate
from dashboards.console.frame import shown, surroundings
from dashboards.monitor import Monitor


def gates() -> list[Gate]:
    return [Gate("/configuration", configuration_page, READ)]


async def configuration_page(request: Request) -> Response:
    return await shown(request, "configuration.html", _configuration)


def _configuration(request: Request) -> dict[str, Any]:
    monitor: Monitor = request.app.state.monitor
    return surroundings(request) | {"chapters": monitor.configurations()[::-1]}
