"""The console: readable without scripts, live with them, usable without a mouse, honest when it cannot know."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from starlette.testclient import TestClient

from alerts.lifecycle.lifecycle import ACKNOWLEDGED, NORMAL, UNACKNOWLEDGED
from dashboards.app import build_app
from dashboards.console.view import in_order, tiles, value_text
from dashboards.events import EventHub
from dashboards.verdict import Verdict
from tests.support.browser import Server, browser, needs_chromium
from tests.support.monitor import ALARMS, PLACES, POINTS, FakeMonitor, alarm

HERE = "http://127.0.0.1:8480"
NEW = alarm("a8", "pal1.dp", "alert", "medium", UNACKNOWLEDGED, 0, direction="below", limit=12.0, peak=11.4)


def words(html: str) -> str:
    """What a page says, without its markup."""

    class Text(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.found: list[str] = []

        def handle_data(self, text: str) -> None:
            self.found.append(text)

    parser = Text()
    parser.feed(html)
    return re.sub(r"\s+", " ", " ".join(parser.found))


@pytest.fixture
def monitor() -> FakeMonitor:
    return FakeMonitor()


@pytest.fixture
def client(monitor: FakeMonitor) -> TestClient:
    return TestClient(build_app(monitor), HERE)


def test_the_page_says_what_where_how_bad_since_when_and_what_to_do(client: TestClient) -> None:
    said = words(client.get("/").text)
    for part in (
        "3 alarms need acknowledgement",
        "Pressure to airlock below action limit",
        "Safety cabinet 1",
        "6.2 Pa , action limit 10.0 Pa",
        "08:37:10 , raised 08:38:10",
        "Stop open handling.",
        "SOP-EM-014",
        "Acknowledged by Karin Ek at 08:02:10",
        "184 213 readings received = 183 960 stored + 241 duplicate + 12 quarantined",
        "The sum closes.",
        "Europe/Stockholm (UTC+01:00)",
    ):
        assert part in said


@pytest.mark.parametrize(("environment", "note"), [("demo", "simulated"), ("validation", "nothing shown here belongs to a batch record")])
def test_what_is_not_production_says_so_in_words(environment: str, note: str) -> None:
    said = words(TestClient(build_app(FakeMonitor(environment)), HERE).get("/").text)
    assert note in said
    assert note not in words(TestClient(build_app(FakeMonitor("production")), HERE).get("/").text)


def test_a_sum_that_does_not_close_is_said(client: TestClient, monitor: FakeMonitor) -> None:
    monitor.sums = replace(monitor.sums, stored=monitor.sums.stored - 1)
    assert "The sum does not close" in words(client.get("/").text)


def test_a_form_without_scripts_acknowledges_and_says_what_is_recorded(client: TestClient) -> None:
    ours = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
    reply = client.post("/alarms/a7/acknowledge", data={"by": "Sara Lind", "comment": "Låst & stängt"}, headers=ours)
    assert reply.status_code == 200
    assert "Recorded: acknowledged by Sara Lind at 08:41:10." in words(reply.text)
    assert "Låst & stängt" in words(reply.text)
    late = client.post("/alarms/a7/acknowledge", data={"by": "Ola Berg"}, headers=ours)
    assert "Sara Lind acknowledged this alarm already, at 08:41:10. Nothing was recorded for you." in words(late.text)
    nameless = client.post("/alarms/a6/acknowledge", data={"by": ""}, headers=ours)
    assert nameless.status_code == 400
    assert "by: found" in words(nameless.text)


def test_what_people_and_files_bring_in_is_text_not_markup(client: TestClient, monitor: FakeMonitor) -> None:
    nasty = '<script>alert("x")</script>'
    monitor.alarm_views["a7"] = replace(monitor.alarm_views["a7"], text=nasty, point_name=nasty, comment=nasty, acknowledged=monitor.at)
    for path in ("/", "/alarms/a7"):
        page = client.get(path).text
        assert nasty not in page
        assert nasty in words(page)
        assert not re.search(r'<[^>]+\son\w+=|<[^>]+\sstyle=|<script(?! src="/static/)', page), "the content security policy forbids it"


def test_health_shows_the_newest_verify_with_who_and_when(client: TestClient, monitor: FakeMonitor) -> None:
    assert "Not yet done." in words(client.get("/health").text)
    monitor.verified = Verdict(monitor.at - 3_600_000_000_000, False, "excursions WRONG: excursion E1 <b>", "karin")
    said = words(client.get("/health").text)
    assert "Not in order" in said
    assert "by karin" in said
    assert "excursions WRONG: excursion E1 &lt;b&gt;" in client.get("/health").text
    monitor.verified = Verdict(monitor.at, True, "journal ok", "")
    assert "by the nightly run" in words(client.get("/health").text)


def test_an_unknown_alarm_or_part_is_a_page_that_leads_back(client: TestClient) -> None:
    reply = client.get("/alarms/a99", headers={"Accept": "text/html"})
    assert reply.status_code == 404
    assert "There is no alarm" in reply.text
    assert 'href="/"' in reply.text
    assert client.get("/parts/nothing").status_code == 404


def test_alarms_stand_with_what_needs_a_person_first() -> None:
    assert [view.id for view in in_order(ALARMS)] == ["a7", "a6", "a2", "a4"]
    assert in_order([replace(ALARMS[0], state=ACKNOWLEDGED), ALARMS[3]])[0] is ALARMS[3]


def test_rooms_hold_their_zones_and_show_the_worst_state() -> None:
    rooms = tiles(PLACES, POINTS)
    assert [(room.place.id, room.state) for room in rooms] == [
        ("cp1", "action"), ("cp2", "normal"), ("pal1", "normal"), ("prep", "stale"), ("cryo", "no_data"),
    ]  # fmt: skip
    assert [zone.place.id for zone in rooms[0].zones] == ["bsc1", "inc1"]


@pytest.mark.parametrize(
    ("value", "quantity", "resolution", "text"),
    [
        (None, "temperature", None, "–"),
        (float("nan"), "temperature", None, "–"),
        (-0.04, "differential_pressure", None, "0.0"),
        (-187.34, "temperature", None, "−187.3"),
        (20.456, "temperature", 0.01, "20.46"),
        (352_000.0, "particles_0_5um", None, "352\u202f000"),
        (0.0, "door", None, "Closed"),
        (0.001234, "ozone", None, "0.001234"),
        (1234.6, "ozone", None, "1\u202f235"),
        (1e300, "ozone", None, "1e+300"),
    ],
)
def test_values_have_sensible_decimals(value: float | None, quantity: str, resolution: float | None, text: str) -> None:
    assert value_text(value, quantity, resolution) == text


def test_a_value_beyond_a_limit_never_looks_equal_to_it() -> None:
    assert value_text(9.996, "differential_pressure", None, 10.0) == "9.996"
    assert value_text(8.2, "differential_pressure", None, 10.0) == "8.2"


# ---- in a browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as launched:
        yield launched


@pytest.fixture
def server(monitor: FakeMonitor) -> Iterator[Server]:
    with Server(build_app(monitor)) as server:
        yield server
        monitor.events.close()


@pytest.fixture
def page(chromium: Browser, server: Server) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(server.url)
    expect(page.locator("body")).to_have_attribute("data-live", "live")
    yield page
    context.close()


def press_until(page: Page, key: str, selector: str) -> None:
    for _ in range(60):
        page.keyboard.press(key)
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{key} never reached {selector}")


@needs_chromium
def test_an_alarm_is_acknowledged_with_the_keyboard_alone(page: Page, monitor: FakeMonitor) -> None:
    item = page.locator("#alarm-a7")
    press_until(page, "Tab", "#alarm-a7 summary")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px", "the focus is not visible"
    page.keyboard.press("Enter")
    expect(item.get_by_label("Your name")).to_be_focused()
    page.keyboard.type("Sara Lind")
    page.keyboard.press("Tab")
    page.keyboard.type("Door was open")
    # what happens meanwhile must not disturb the typing
    monitor.raise_alarm(replace(monitor.alarm_views["a7"], peak=5.4))
    expect(item).to_contain_text("5.4")
    monitor.raise_alarm(NEW)
    expect(page.locator("#alarm-a8")).to_be_visible()
    expect(item.get_by_label("Comment")).to_be_focused()
    page.keyboard.type(" too long")
    page.keyboard.press("Enter")
    expect(item).to_contain_text("Acknowledged by Sara Lind at 08:41:10")
    expect(item).to_have_attribute("data-state", "acknowledged")
    expect(page.locator("#said")).to_contain_text("Recorded: acknowledged by Sara Lind")
    expect(page.locator("#said")).to_be_focused()
    expect(page.locator("h1")).to_contain_text("3 alarms need acknowledgement")
    assert monitor.alarm_views["a7"].comment == "Door was open too long"
    # the name is remembered for the next one
    page.locator("#alarm-a6 summary").press("Enter")
    expect(page.locator("#alarm-a6").get_by_label("Your name")).to_have_value("Sara Lind")


@needs_chromium
def test_who_was_faster_is_said(page: Page, monitor: FakeMonitor) -> None:
    item = page.locator("#alarm-a6")
    item.locator("summary").click()
    item.get_by_label("Your name").fill("Ola Berg")
    # recorded without an event: this page cannot know yet
    found = monitor.alarm_views["a6"]
    monitor.alarm_views["a6"] = replace(found, state=ACKNOWLEDGED, acknowledged=monitor.at, acknowledged_by="Sara Lind")
    item.get_by_role("button", name="Acknowledge").click()
    said = "Sara Lind acknowledged this alarm already, at 08:41:10. Nothing was recorded for Ola Berg."
    expect(page.locator("#said")).to_have_text(said)


@needs_chromium
@pytest.mark.parametrize(
    ("locale", "button", "said"),
    [
        ("en-GB", "Acknowledge", "Not recorded: This alarm is over and needs no acknowledgement. Nothing was recorded."),
        ("sv-SE", "Kvittera", "Inte registrerat: Larmet är över och behöver inte kvitteras."),
    ],
)
def test_why_nothing_was_recorded_is_said_in_the_readers_language(
    chromium: Browser, server: Server, monitor: FakeMonitor, locale: str, button: str, said: str
) -> None:
    page = chromium.new_page(locale=locale)
    page.goto(server.url)
    expect(page.locator("body")).to_have_attribute("data-live", "live")
    item = page.locator("#alarm-a6")
    item.locator("summary").click()
    item.locator('input[name="by"]').fill("Ola Berg")
    monitor.alarm_views["a6"] = replace(monitor.alarm_views["a6"], state=NORMAL)  # without an event: this page cannot know yet
    item.get_by_role("button", name=button).click()
    expect(item.locator(".answer")).to_have_text(said)
    page.close()


@needs_chromium
def test_values_states_and_new_alarms_arrive_live(page: Page, monitor: FakeMonitor) -> None:
    row = page.locator('[data-point="pal1.dp"]')
    monitor.tell("pal1.dp", 14.26)
    expect(row.locator(".value")).to_have_text("14.3")
    monitor.tell("pal1.dp", 11.4, "alert")
    expect(row).to_have_attribute("data-state", "alert")
    expect(row).to_contain_text("Alert")
    monitor.raise_alarm(NEW)
    expect(page.locator("#announce")).to_have_text("New alarm, medium priority, alert: Pressure to corridor, Personnel airlock 1")
    expect(page).to_have_title(re.compile(r"^\(4\) ATMP Centre"))
    assert page.locator("#alarm-a8").count() == 1


@needs_chromium
def test_rooms_that_were_fetched_before_a_reading_do_not_hide_it(chromium: Browser, server: Server, monitor: FakeMonitor) -> None:
    page = chromium.new_page()

    def overtaken(route: Route) -> None:
        answer = route.fetch()
        monitor.tell("pal1.dp", 14.26)
        page.wait_for_function("""document.querySelector('[data-point="pal1.dp"] .value').textContent === "14.3" """)
        route.fulfill(response=answer)

    page.route("**/parts/rooms", overtaken, times=1)
    with page.expect_response("**/parts/rooms"):
        page.goto(server.url)
    page.wait_for_timeout(200)
    expect(page.locator('[data-point="pal1.dp"] .value')).to_have_text("14.3")
    page.close()


@needs_chromium
def test_a_page_that_lost_the_service_says_so(page: Page, server: Server, monitor: FakeMonitor) -> None:
    expect(page.locator("#stale")).to_be_hidden()
    monitor.events.close()
    server.stop()
    expect(page.locator("#stale")).to_be_visible()
    expect(page.locator("#stale")).to_have_text("This page is not live. What it shows may be out of date since 08:41:10.")
    expect(page.locator("#link-words")).to_have_text("Not live")


@needs_chromium
def test_a_page_comes_back_by_itself_with_what_happened_meanwhile(page: Page, monitor: FakeMonitor) -> None:
    closed, monitor.events = monitor.events, EventHub("next", monitor.text_of)
    monitor.alarm_views["a8"] = NEW
    closed.close()
    expect(page.locator("#stale")).to_be_visible()
    expect(page.locator("body")).to_have_attribute("data-live", "live")
    expect(page.locator("#stale")).to_be_hidden()
    expect(page.locator("#alarm-a8")).to_be_visible()


@needs_chromium
def test_a_service_that_no_longer_judges_is_shown_though_it_still_answers(chromium: Browser, server: Server, monitor: FakeMonitor) -> None:
    monitor.alive = False
    page = chromium.new_page()
    page.goto(server.url)
    expect(page.locator("#stale")).to_contain_text("The service reports a failure")
    expect(page.locator("#system")).to_contain_text("no step for 42 s")
    page.close()


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_without_scrolling_sideways_and_text_has_contrast(
    chromium: Browser, server: Server, monitor: FakeMonitor, scheme: str
) -> None:
    monitor.excursion_rows[0] = replace(monitor.excursion_rows[0], rule="a-rule-with-a-very-long-name-that-nobody-shortened.alert")
    context = chromium.new_context(viewport={"width": 375, "height": 812}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    for path in ("/", "/alarms/a7"):
        page.goto(server.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") == 375
        assert page.evaluate(LOW_CONTRAST) == []
    context.close()


@needs_chromium
def test_without_scripts_the_page_is_complete_and_says_that_it_stands_still(chromium: Browser, server: Server) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(server.url)
    expect(page.locator(".connection")).to_have_text(re.compile(r"Not live\s+As of 08:41:10 Load again"))
    item = page.locator("#alarm-a7")
    item.locator("summary").click()
    item.get_by_label("Your name").fill("Sara Lind")
    item.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text("Recorded: acknowledged by Sara Lind at 08:41:10.")).to_be_visible()
    context.close()


LOW_CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (e) => {
    for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0) return c; }
    return [255, 255, 255];
  };
  const low = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.closest(".hidden, .skip, svg, noscript")) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) low.push(e.className + ": " + e.textContent.trim().slice(0, 40));
  }
  return low;
}"""
