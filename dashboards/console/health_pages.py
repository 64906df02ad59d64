"""The pages of the system's health and of the key figures of alarms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from alerts.lifecycle.kpis import Kpis
from alerts.people.permissions import READ
from dashboards.access import Gate
from dashboards.console.frame import shown, surroundings
from dashboards.console.view import THIN_SPACE
from dashboards.monitor import Monitor

PERCENT = 100


@dataclass(frozen=True, slots=True)
class Target:
    """One figure against its target (ISA-18.2, IEC 62682, EEMUA 191): `value` is good up to `good`, and can be managed up to `most`."""

    name: str
    value: float
    good: float
    most: float | None = None
    percent: bool = False
    decimals: int = 0

    @property
    def verdict(self) -> str:
        if self.value <= self.good:
            return "within"
        return "manageable" if self.most is not None and self.value <= self.most else "beyond"

    def goal(self, value: float) -> str:
        """What the figure is held against."""
        return f"{PERCENT * value:g}\u00a0%" if self.percent else f"{value:g}"

    def text(self, value: float) -> str:
        if self.percent:
            return f"{PERCENT * value:.{1 if PERCENT * value < 10 else 0}f}\u00a0%"
        return f"{value:,.{self.decimals if value < 10 else 0}f}".replace(",", THIN_SPACE)


def targets(kpis: Kpis) -> list[Target]:
    """The figures that have a target, for one person who answers."""
    return [
        Target("per_day", kpis.per_day, 144, 288, decimals=1),
        Target("per_hour", kpis.per_hour, 6, 12, decimals=1),
        Target("per_10m", kpis.per_10m, 1, 2, decimals=2),
        Target("peak_10m", kpis.peak_10m, 10),
        Target("busy_10m", kpis.busy_10m_ratio, 0.01, percent=True),
        Target("busy_hours", kpis.busy_1h_ratio, 0.01, percent=True),
        Target("flood", kpis.flood_ratio, 0.01, percent=True),
        Target("frequent", kpis.frequent_ratio, 0.01, 0.05, percent=True),
        Target("chattering", len(kpis.chattering), 0),
        Target("stale", kpis.stale, 4),
    ]


SPLIT = {"critical": "< 1 %", "high": "5 %", "medium": "15 %", "low": "80 %"}
"""Usual shares of the priorities."""


def gates() -> list[Gate]:
    return [Gate("/health", health_page, READ), Gate("/kpis", kpis_page, READ)]


async def health_page(request: Request) -> Response:
    return await shown(request, "health.html", _health)


async def kpis_page(request: Request) -> Response:
    return await shown(request, "kpis.html", _kpis)


def _health(request: Request) -> dict[str, Any]:
    monitor: Monitor = request.app.state.monitor
    return surroundings(request) | {"health": monitor.health(), "counts": monitor.counts()}


def _kpis(request: Request) -> dict[str, Any]:
    monitor: Monitor = request.app.state.monitor
    found = monitor.kpis()
    return surroundings(request) | {"kpis": found, "targets": targets(found), "split": SPLIT}
