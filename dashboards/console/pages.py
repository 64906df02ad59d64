"""What people open in a browser: every page of the console, each behind its permission."""

from __future__ import annotations

from starlette.routing import BaseRoute

from dashboards.console import (
    acts,
    alarm_pages,
    audit_page,
    configuration_page,
    duty_page,
    excursion_pages,
    frame,
    health_pages,
    overview,
    people_page,
    room_page,
)


def routes() -> list[BaseRoute]:
    gated = (frame, alarm_pages, excursion_pages, room_page, duty_page, audit_page, health_pages, configuration_page, people_page, acts)
    return [*(gate for module in gated for gate in module.gates()), *overview.routes()]
