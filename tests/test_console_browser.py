"""The pages beside the overview in a browser: trends under the pointer; pages that grow old."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, expect

from dashboards.monitor import ACCEPTED, ActAnswered
from tests.support.browser import Server, browser, needs_chromium
from tests.support.monitor import FakeMonitor
from tests.support.people import client_of


@pytest.fixture
def monitor() -> FakeMonitor:
    return FakeMonitor()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as launched:
        yield launched


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
def test_a_finger_zooms_sideways_and_a_tap_reads(chromium: Browser, monitor: FakeMonitor) -> None:
    with Server(client_of(monitor, None).app) as server:
        context = chromium.new_context(viewport={"width": 375, "height": 812}, has_touch=True, is_mobile=True)
        page = context.new_page()
        page.goto(f"{server.url}/rooms/cp1")
        plot = page.locator('[id="trend-cp1.temp"] svg.plot')
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        assert box is not None
        y = box["y"] + 40
        page.touchscreen.tap(box["x"] + box["width"] * 0.5, y)
        expect(page.locator('[id="trend-cp1.temp"] .readout')).to_contain_text("°C")
        assert "from=" not in page.url
        finger = context.new_cdp_session(page)

        def touch(kind: str, *at: float) -> None:
            points = [{"x": at[0], "y": at[1]}] if at else []
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        touch("touchStart", box["x"] + box["width"] * 0.5, y)
        for part in (0.55, 0.6, 0.65, 0.7, 0.75):
            touch("touchMove", box["x"] + box["width"] * part, y + 2)
        touch("touchEnd")
        page.wait_for_url("**/rooms/cp1?from=*")
        monitor.events.close()
        context.close()


@needs_chromium
def test_a_page_says_that_something_happened_since_and_that_it_lost_the_service(chromium: Browser, monitor: FakeMonitor) -> None:
    with Server(client_of(monitor, None).app) as server:
        page = chromium.new_page()
        page.goto(f"{server.url}/alarms")
        expect(page.locator("body")).to_have_attribute("data-live", "live")
        monitor.raise_alarm(replace(monitor.alarm_views["a7"], peak=5.0))
        expect(page.locator("#changed")).to_be_visible()
        page.get_by_role("button", name="Dismiss").click()
        expect(page.locator("#changed")).to_be_hidden()
        monitor.raise_alarm(replace(monitor.alarm_views["a7"], peak=5.0))
        page.locator("#changed a").click()
        expect(page.locator("#alarm-a7")).to_contain_text("5.0")
        page.goto(f"{server.url}/alarms/a7?said=done")
        expect(page.locator("body")).to_have_attribute("data-live", "live")
        monitor.raise_alarm(monitor.alarm_views["a7"])
        page.wait_for_timeout(300)
        expect(page.locator("#changed")).to_be_hidden()
        monitor.raise_alarm(monitor.alarm_views["a6"])
        expect(page.locator("#changed")).to_be_visible()
        monitor.events.close()
        server.stop()
        expect(page.locator("#stale")).to_be_visible(timeout=20_000)
        page.close()


@needs_chromium
def test_an_alarm_is_shelved_with_the_keyboard_alone_and_what_was_typed_outlives_what_happens(
    chromium: Browser, monitor: FakeMonitor
) -> None:
    monitor.acted = ActAnswered(ACCEPTED)
    with Server(client_of(monitor, None).app) as server:
        page = chromium.new_page()
        page.goto(f"{server.url}/alarms/a6")
        expect(page.locator("body")).to_have_attribute("data-live", "live")
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent.trim()") == "Shelve":
                break
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        expect(page.locator("#shelve-by")).to_be_focused()
        page.keyboard.type("Sara Lind")
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == "shelve-reason":
                break
        page.keyboard.type("Filter change,")
        before = page.locator("#shelve-reason").bounding_box()
        monitor.raise_alarm(replace(monitor.alarm_views["a7"], peak=5.0))
        expect(page.locator("#changed")).to_be_visible()
        expect(page.locator("#shelve-reason")).to_be_focused()
        assert page.locator("#shelve-reason").bounding_box() == before, "nothing under the finger moves"
        page.keyboard.type(" WO 17")
        page.keyboard.press("Enter")
        page.wait_for_url(f"{server.url}/alarms/a6?said=done")
        assert [(one.action, one.target, one.by, one.reason) for one in monitor.acts] == [
            ("shelve", "a6", "Sara Lind", "Filter change, WO 17")
        ]
        monitor.events.close()
        page.close()
