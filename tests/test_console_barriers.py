"""Every page of the console in Chromium, phone and desktop, light and dark, in both languages: axe-core finds no barrier, and it fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from alerts.lifecycle.lifecycle import LATCHED_ACKNOWLEDGED, LATCHED_UNACKNOWLEDGED, UNACKNOWLEDGED
from dashboards.views import OutOfService, Shelf
from tests.support.axe import barriers, needs_axe
from tests.support.browser import Server, browser, needs_chromium
from tests.support.monitor import NOW, FakeMonitor, alarm
from tests.support.people import PASSWORD, Staff, client_of, staff_in

PAGES = (
    "/", "/alarms", "/alarms?which=every&room=cp1", "/alarms?group=G1", "/alarms?which=shelved", "/alarms/a7", "/alarms/a6", "/alarms/a2",
    "/alarms/a9", "/rooms/cp1", "/rooms/cryo?span=d7", "/excursions", "/excursions/x1", "/oncall", "/oncall/tests/T1", "/audit", "/health",
    "/kpis", "/configuration", "/people", "/password", "/alarms/none", "/no/such/page",
)  # fmt: skip
HOUR_NS = 3600 * 10**9
LONG = "Preparation of media and buffers with Donaudampfschifffahrtsgesellschaftskapitänsmützenaufbewahrungsraum"
SMALL = """() => [...document.querySelectorAll("button, select, input:not([type=hidden]), summary, nav a, .tap")]
  .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 43.5)
  .map((one) => one.outerHTML.slice(0, 120))"""
"""What is pressed with a finger, and lower than 44 px."""


@pytest.fixture
def staff(tmp_path: Path) -> Iterator[Staff]:
    with staff_in(tmp_path) as staff:
        yield staff


@pytest.fixture
def monitor() -> FakeMonitor:
    return FakeMonitor()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as launched:
        yield launched


def everything_stands(monitor: FakeMonitor) -> None:
    """Alarms of each state and with each flag, a large group, a point out of service, a long name, a test of the duty."""
    monitor.desk.test(("facility",), 600 * 10**9, "Karin Ek")
    views = monitor.alarm_views
    views["a6"] = replace(views["a6"], state=LATCHED_ACKNOWLEDGED, acknowledged=NOW, acknowledged_by="Karin Ek", returned=NOW)
    views["a4"] = replace(views["a4"], shelved=Shelf(NOW + HOUR_NS, NOW, "Karin Ek", "Transmitter is replaced"))
    latched: dict[str, object] = {"direction": "above", "limit": 37.5, "peak": 37.51, "returned": NOW}
    views["a9"] = alarm("a9", "inc1.temp", "action", "high", LATCHED_UNACKNOWLEDGED, 9, **latched)
    for id in (f"g{number}" for number in range(30)):
        views[id] = alarm(id, "cp2.dp", "action", "high", UNACKNOWLEDGED, 5, direction="below", limit=10.0, peak=9.0, group="G1")
    out = OutOfService(NOW, NOW + HOUR_NS, "Karin Ek", "Calibration")
    monitor.point_views["ln2a.temp"] = replace(monitor.point_views["ln2a.temp"], out_of_service=out)
    monitor.place_views = tuple(replace(place, name=LONG) if place.id == "prep" else place for place in monitor.place_views)


@needs_chromium
@needs_axe
@pytest.mark.parametrize(
    ("language", "scheme", "width"), [("en", "light", 1280), ("sv", "dark", 375), ("en", "dark", 1280), ("sv", "light", 375)]
)
def test_no_page_has_a_grave_barrier_or_scrolls_sideways(
    chromium: Browser, monitor: FakeMonitor, staff: Staff, language: str, scheme: str, width: int
) -> None:
    everything_stands(monitor)
    colours_only = (language, scheme) in (("en", "dark"), ("sv", "light"))  # all else is as in the other colours
    app = client_of(monitor, staff).app
    with Server(app) as server:
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, locale=language, bypass_csp=True,  # type: ignore[arg-type]
        )  # fmt: skip
        page = context.new_page()
        for role in ("supervisor", "administrator"):
            page.goto(f"{server.url}/login")
            assert barriers(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") == width
            page.locator("#user").fill(role)
            page.locator("#password").fill(PASSWORD)
            page.locator("main button").click()
            page.wait_for_url(f"{server.url}/")
            for path in PAGES if role == "supervisor" else ("/people",):
                page.goto(server.url + path)
                assert page.locator("html").get_attribute("lang") == language
                page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
                assert (path, barriers(page, colours_only)) == (path, [])
                assert (path, page.evaluate("document.documentElement.scrollWidth")) == (path, width)
                assert (path, page.evaluate(SMALL)) == (path, [])
            context.clear_cookies()
        monitor.events.close()
        context.close()
