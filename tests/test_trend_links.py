"""From the console into Grafana: which dashboard, at which time, of which point; nothing where there is no Grafana."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.testclient import TestClient

from dashboards.app import build_app
from dashboards.trend_links import CASCADE, CLIMATE, PARTICLES, ROOM, STORAGE, TrendLinks
from facility.files import Files
from service.settings.settings import read_settings
from tests.support.monitor import ALARMS, PLACES, POINTS, FakeMonitor

HERE, GRAFANA = "http://127.0.0.1:8480", "https://grafana.example.org"
MINUTE_MS = 60_000
BY_ID = {point.id: point for point in POINTS}
LINKS = TrendLinks(GRAFANA, BY_ID, {place.id: place for place in PLACES})


def asked(url: str) -> tuple[str, dict[str, str]]:
    """The path of an address and what it asks for."""
    parts = urlsplit(url)
    return parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()}


def hrefs(html: str) -> list[str]:
    return [unescape(url) for url in re.findall(r'href="([^"]*)"', html) if url.startswith(GRAFANA)]


@pytest.mark.parametrize("point", POINTS, ids=[point.id for point in POINTS])
def test_each_point_has_the_dashboard_of_its_quantity(point: object) -> None:
    known = next(known for known in POINTS if known is point)
    stored = known.zone in ("inc1", "ln2a")
    expected = {
        "differential_pressure": CASCADE, "particles_0_5um": PARTICLES, "particles_5_0um": PARTICLES, "temperature": CLIMATE,
        "relative_humidity": CLIMATE,
    }.get(known.quantity, ROOM)  # fmt: skip
    path, shown = asked(LINKS.of(known.id, 10**18, None))
    assert path == f"/d/{STORAGE if stored else expected}"
    assert (shown["var-room"], shown["var-point"]) == (known.room, known.id)


def test_the_time_shown_begins_before_the_onset_and_ends_after_the_end() -> None:
    point = POINTS[0].id
    _, over = asked(LINKS.of(point, 10**18, 10**18 + 3600 * 10**9))
    assert (int(over["from"]), int(over["to"])) == (10**12 - 30 * MINUTE_MS, 10**12 + 90 * MINUTE_MS)
    assert asked(LINKS.of(point, 10**18, None))[1]["to"] == "now"


def test_a_point_that_nobody_configured_has_no_trend() -> None:
    assert LINKS.of("gone", 10**18, None) == ""


def test_alarms_rooms_and_excursions_in_the_console_link_to_their_trends() -> None:
    client = TestClient(build_app(FakeMonitor(), grafana=GRAFANA), HERE)
    alarm = ALARMS[0]
    (link,) = hrefs(client.get(f"/alarms/{alarm.id}").text)
    assert link == LINKS.of(alarm.point, alarm.onset, alarm.returned)
    home = hrefs(client.get("/").text)
    assert {asked(url)[1]["var-room"] for url in home if "var-point" not in url} == {
        place.id for place in PLACES if place.parent is None
    } & {point.room for point in POINTS}
    assert any("var-point" in url for url in home)


def test_without_grafana_there_is_no_link() -> None:
    client = TestClient(build_app(FakeMonitor()), HERE)
    for page in ("/", f"/alarms/{ALARMS[0].id}"):
        assert "/d/renrum" not in client.get(page).text


@pytest.mark.parametrize(("url", "kept"), [("https://g.example.org/", "https://g.example.org"), ("g.example.org", None)])
def test_the_setting_is_an_address(tmp_path: Path, url: str, kept: str | None) -> None:
    text = "environment: demo\nfacility: f\nrules: r\noncall: o\nmqtt: {url: embedded}\n"
    (tmp_path / "renrum.yaml").write_text(f"{text}grafana: {{url: {url}}}\n")
    files, name = Files.around(tmp_path / "renrum.yaml")
    read = read_settings(files, name, {})
    if kept is None:
        assert any("address" in str(problem) for problem in read.problems)
    else:
        assert (read.settings.grafana, read.problems) == (kept, ())
