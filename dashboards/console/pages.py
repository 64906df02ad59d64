"""What people open in a browser: every page of the console, each behind its permission."""

from __future__ import annotations

from starlette.routing import BaseRoute

from dashboards.console import acts, alarm_pages, duty_page, frame, overview, room_page


def routes() -> list[BaseRoute]:
    return [*frame.gates(), *alarm_pages.gates(), *room_page.gates(), *duty_page.gates(), *acts.gates(), *overview.routes()]
