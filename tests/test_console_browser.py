"""The pages beside the overview in a browser: without barriers, on a phone and a desktop; trends under the pointer; pages that grow old."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.axe import barriers, needs_axe
from tests.support.browser import Server, browser, needs_chromium
from tests.support.monitor import FakeMonitor
from tests.support.people import PASSWORD, Staff, client_of, staff_in

PAGES = (
    "/", "/alarms", "/alarms?which=every", "/alarms/a7", "/rooms/cp1", "/rooms/cryo?span=d7", "/excursions", "/excursions/x1", "/oncall",
    "/audit", "/health", "/kpis", "/configuration", "/people", "/password",
)  # fmt: skip


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


@needs_chromium
@needs_axe
@pytest.mark.parametrize(("language", "scheme", "width"), [("en", "light", 1280), ("sv", "dark", 375)])
def test_no_page_has_a_grave_barrier_or_scrolls_sideways(
    chromium: Browser, monitor: FakeMonitor, staff: Staff, language: str, scheme: str, width: int
) -> None:
    app = client_of(monitor, staff).app
    with Server(app) as server:
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, locale=language, bypass_csp=True,  # type: ignore[arg-type]
        )  # fmt: skip
        page = context.new_page()
        for role in ("supervisor", "administrator"):
            page.goto(f"{server.url}/login")
            assert barriers(page) == []
            page.locator("#user").fill(role)
            page.locator("#password").fill(PASSWORD)
            page.locator("main button").click()
            page.wait_for_url(f"{server.url}/")
            for path in PAGES if role == "supervisor" else ("/people",):
                page.goto(server.url + path)
                assert page.locator("html").get_attribute("lang") == language
                page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
                assert (path, barriers(page)) == (path, [])
                assert (path, page.evaluate("document.documentElement.scrollWidth")) == (path, width)
            context.clear_cookies()
        monitor.events.close()
        context.close()


@needs_chromium
def test_a_trend_is_read_under_the_pointer_and_zoomed_by_dragging(chromium: Browser, monitor: FakeMonitor) -> None:
    with Server(client_of(monitor, None).app) as server:
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        faults: list[str] = []
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{server.url}/rooms/cp1")
        plot = page.locator('[id="trend-cp1.temp"] svg.plot')
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40)
        expect(page.locator('[id="trend-cp1.temp"] .readout')).to_contain_text("°C")
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 40)
        page.mouse.up()
        page.wait_for_url("**/rooms/cp1?from=*")
        expect(page.locator(".span-words")).to_contain_text("04:41:10 to 06:41:1")
        assert faults == [], "neither an error nor a refusal by the content security policy"
        monitor.events.close()
        page.close()


@needs_chromium
def test_a_page_says_that_something_happened_since_and_that_it_lost_the_service(chromium: Browser, monitor: FakeMonitor) -> None:
    with Server(client_of(monitor, None).app) as server:
        page = chromium.new_page()
        page.goto(f"{server.url}/alarms")
        expect(page.locator("body")).to_have_attribute("data-live", "live")
        monitor.raise_alarm(replace(monitor.alarm_views["a7"], peak=5.0))
        expect(page.locator("#changed")).to_be_visible()
        page.locator("#changed a").click()
        expect(page.locator("#alarm-a7")).to_contain_text("5.0")
        monitor.events.close()
        server.stop()
        expect(page.locator("#stale")).to_be_visible(timeout=20_000)
        page.close()
