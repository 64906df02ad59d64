"""A small site, an excursion in it, and the page of that excursion."""

from __future__ import annotations

from dataclasses import replace

from alerts.pages.page import Letterhead, Page, render
from facility.site import Facility, Place, Point, Site
from rules.excursion import Excursion
from rules.rule import Bound, Rule

SECOND_NS = 10**9
ONSET_NS = 1_795_246_870_250_000_000  # 2026-11-21T07:41:10.25Z
SITE = Site("flemingsberg", "ATMP Centre", "Europe/Stockholm")
LETTERHEAD = Letterhead("demo", SITE, "https://em.example.org/")
FACILITY = Facility(
    SITE,
    places=(Place("cp1", "Cell processing 1", "B"), Place("bsc1", "Cabinet 1", "A", "bsc", parent="cp1")),
    points=(
        Point("cp1.dp", "differential_pressure", "Pa", "cp1", grade="B", resolution=0.1),
        Point("bsc1.p05", "particles_0_5um", "1/m3", "cp1", zone="bsc1", name="Particles 0.5 um", grade="A", type="bsc"),
    ),
)
DO = {"en": "Close the doors of cp1. Stop open work."}
PRESSURE = Rule("dp-low", "limit", level="action", priority="high", below=Bound(10.0), text=DO, sop="SOP-17")
LOW = Excursion(
    "dp-low", "cp1.dp", "action", onset=ONSET_NS, raised=ONSET_NS + 60 * SECOND_NS, peak=9.96, limit=10.0, unit="Pa",
    room="cp1", occupancy="in_operation",
)  # fmt: skip


def page(alarm: str = "17", **changes: object) -> Page:
    """The page of an alarm five minutes and twenty seconds after its onset."""
    excursion = replace(LOW, **changes)  # type: ignore[arg-type]
    return render(excursion, alarm=alarm, rule=PRESSURE, facility=FACILITY, letterhead=LETTERHEAD, at=ONSET_NS + 320 * SECOND_NS)
