"""Who was told of an alarm, and who is next: on a real journal, over HTTP and on the alarm's page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from dashboards.app import build_app
from facility.times import format_time
from tests.support.people import HERE
from tests.support.watched import FILES, MINUTE, SECOND, Watched, fall

ONCALL = """
channels:
  sink: {kind: local, file: pages}
  wall: {kind: local, file: wall}
people: [{id: anna, name: Anna Berg, reach: [sink]}, {id: bo, name: Bo Lind, reach: [wall]}]
policies: {p: {steps: [{to: anna}, {after: 10m, to: bo}]}}
routes: [{policy: p}]
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setitem(FILES, "oncall.yaml", ONCALL)
    watched = Watched(tmp_path)
    yield watched
    watched.close()


def test_an_alarm_says_who_was_told_with_what_result_and_who_is_next(site: Watched) -> None:
    with TestClient(build_app(site.monitor), HERE, headers={"Sec-Fetch-Site": "same-origin"}) as client:
        fall(site, 8.0)
        (alarm,) = (one["id"] for one in client.get("/api/v1/alarms").json()["alarms"] if one["level"] == "action")
        path = f"/api/v1/alarms/{alarm}/pages"
        found = client.get(path).json()
        (anna,) = found["told"]
        assert (anna["person"], anna["way"], anna["attempts"], anna["tried"], anna["sent"]) == ("Anna Berg", "sink", 0, None, None)
        assert found["next"] == ["Bo Lind"]
        assert found["due"] == format_time(site.clock.at + 10 * MINUTE)
        (page,) = {row[0] for row in site.store.rows("select page_id from outbox where alarm = ?", (alarm,))}
        site.deliver(page, ok=False)
        site.step()
        shown = _words(client.get(f"/alarms/{alarm}").text)
        assert re.search(r"Anna Berg · sink · not taken, last tried [\d:]{8}: no route", shown)
        assert "Next, unless somebody acknowledges: at 08:10:01 Bo Lind" in shown
        site.deliver(page, ok=True, attempt=2)
        site.step(10 * MINUTE)
        site.step()
        found = client.get(path).json()
        assert [(one["person"], one["attempts"], one["sent"] is not None) for one in found["told"]] == [
            ("Anna Berg", 2, True), ("Bo Lind", 0, False),
        ]  # fmt: skip
        assert found["due"] is None
        assert found["next"] == []
        assert "tries: 2" in _words(client.get(f"/alarms/{alarm}").text)
        assert client.get("/api/v1/alarms/A99/pages").status_code == 404


def test_who_acknowledges_ends_it_and_where_nobody_is_chosen_everyone_is_told(site: Watched) -> None:
    with TestClient(build_app(site.monitor), HERE, headers={"Sec-Fetch-Site": "same-origin"}) as client:
        fall(site, 8.0)
        (alarm,) = (one["id"] for one in client.get("/api/v1/alarms").json()["alarms"] if one["level"] == "action")
        client.post(f"/api/v1/alarms/{alarm}/acknowledge", json={"by": "Bo Lind"})
        site.step(SECOND)
        found = client.get(f"/api/v1/alarms/{alarm}/pages").json()
        assert (len(found["told"]), found["due"], found["next"]) == (1, None, [])


def test_without_routes_everyone_is_told(tmp_path: Path) -> None:
    site = Watched(tmp_path)
    with TestClient(build_app(site.monitor), HERE) as client:
        fall(site, 8.0)
        alarm = client.get("/api/v1/alarms").json()["alarms"][0]["id"]
        found = client.get(f"/api/v1/alarms/{alarm}/pages").json()
        assert [(one["person"], one["way"]) for one in found["told"]] == [("", "sink")]
        assert "Everyone · sink · not tried yet" in _words(client.get(f"/alarms/{alarm}").text)
    site.close()


def test_what_joins_a_group_says_when_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = "systems: [{id: ahu1, name: Air handler 1, serves: [cp1, cor1]}]\nrooms:"
    monkeypatch.setitem(FILES, "facility.yaml", FILES["facility.yaml"].replace("rooms:", served, 1))
    site = Watched(tmp_path)
    with TestClient(build_app(site.monitor), HERE) as client:
        fall(site, 8.0)
        begun = site.clock.at
        site.send("cor1.dp", 8.0)
        site.step()
        alarm = next(one["id"] for one in client.get("/api/v1/alarms").json()["alarms"] if one["point"] == "cor1.dp")
        path = f"/api/v1/alarms/{alarm}/pages"
        found = client.get(path).json()
        assert (found["told"], found["update"]) == ([], format_time(begun + 2 * MINUTE))
        assert "Nobody was told. Told with the others of group G1 at 08:02:01" in _words(client.get(f"/alarms/{alarm}").text)
        site.step(2 * MINUTE)
        found = client.get(path).json()
        assert ([one["way"] for one in found["told"]], found["update"]) == (["sink"], None)
    site.close()


def _words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))
