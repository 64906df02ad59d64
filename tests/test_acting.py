"""Shelving, resetting, out of service, rooms' states: over HTTP and by the console's forms, down to the journal (acting_api.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from dashboards.app import build_app
from facility.times import format_time
from service.cli import main
from tests.support.people import PASSWORD, client_of, signed_in, staff_in
from tests.support.verifying import verify
from tests.support.watched import FILES, MINUTE, SECOND, Watched, fall, point

RULES = """rules:
  - {id: dp, kind: limit, select: {quantity: differential_pressure}, below: 10, priority: high, latch: true, suppress: [cleaning, shutdown]}
  - {id: temp, kind: limit, select: {quantity: temperature}, level: action, above: 22, priority: critical, realarm: 30m}
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """After each story, what is stored is what comes out when the journal is evaluated again."""
    monkeypatch.setitem(FILES, "rules.yaml", RULES)
    watched = Watched(tmp_path)
    yield watched
    result = verify(watched.folder)
    watched.close()
    assert result.exit_code == 0, result.stdout


@pytest.fixture
def client(site: Watched) -> Iterator[TestClient]:
    with TestClient(build_app(site.monitor), "http://127.0.0.1:8480", follow_redirects=False) as client:
        yield client


def post(client: TestClient, path: str, status: int = 200, **body: object) -> dict[str, Any]:
    reply = client.post(f"/api/v1{path}", json={"by": "Karin", **body})
    assert reply.status_code == status, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


def shown(client: TestClient, query: str = "") -> list[tuple[str, str]]:
    return [(alarm["id"], alarm["state"]) for alarm in client.get(f"/api/v1/alarms{query}").json()["alarms"]]


def test_shelve_and_unshelve(site: Watched, client: TestClient) -> None:
    fall(site, 8.0)
    until = format_time(site.clock.at + 30 * MINUTE)
    alarm = post(client, "/alarms/A1/shelve", until=until, reason="filter change, WO 17")
    assert (alarm["state"], alarm["annunciated"]) == ("unacknowledged", False)
    assert (alarm["shelved"]["until"], alarm["shelved"]["by"], alarm["shelved"]["reason"]) == (until, "Karin", "filter change, WO 17")
    assert shown(client, "?flag=shelved") == [("A1", "unacknowledged")]
    assert shown(client, "?flag=suppressed") == []
    faster = post(client, "/alarms/A1/shelve", 409, by="Åke", reason="me too")
    assert (faster["by"], faster["type"]) == ("Karin", "urn:renrum:problem:already-done")
    assert "Karin did this already" in faster["detail"]
    page = client.get("/alarms/A1").text
    assert "Shelved until" in page
    assert "filter change, WO 17" in page
    assert "Take off the shelf" in page
    assert post(client, "/alarms/A1/unshelve")["shelved"] is None
    assert post(client, "/alarms/A1/unshelve", 409, by="Åke")["by"] == "Karin"
    rows = client.get("/api/v1/audit").json()["entries"]
    said = [(row["action"], row["actor"], row["reason"]) for row in rows if row["action"] in ("shelve", "unshelve", "annunciate")]
    assert said[0] == ("shelve", "Karin", "filter change, WO 17")
    assert [action for action, *_ in said] == ["shelve", "unshelve", "annunciate"]


def test_a_critical_alarm_is_shelved_with_a_signature(site: Watched, tmp_path: Path) -> None:
    site.send("cp1.temp", 25.0)
    site.step(3 * SECOND)
    with staff_in(tmp_path) as staff:
        operator = signed_in(client_of(site.monitor, staff), "operator")

        def shelve(**body: str) -> int:
            return operator.post("/api/v1/alarms/A1/shelve", json={"reason": "probe in ice water", **body}).status_code

        assert (shelve(), shelve(password="guessed")) == (409, 403)
        form = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}
        assert 'name="password"' in operator.get("/alarms/A1", headers=form).text
        assert shelve(password=PASSWORD) == 200
        rows = operator.get("/api/v1/audit").json()["entries"]
    (row,) = [row for row in rows if row["action"] == "shelve"]
    assert row["actor"] == "Operator Ek (operator)"
    assert "probe in ice water — signed as 'responsibility', " in row["reason"]


def test_what_is_refused_says_why(site: Watched, client: TestClient) -> None:
    site.send("cp1.temp", 25.0)
    site.step(3 * SECOND)
    assert post(client, "/alarms/A1/shelve", 409, reason="test")["detail"] == (
        "A critical alarm is shelved with a signature only. Nothing was changed."
    )
    assert post(client, "/alarms/A1/reset", 409)["title"] == "Not possible now"
    assert post(client, "/alarms/A9/shelve", 404, reason="x")["type"].endswith("unknown-alarm")
    assert post(client, "/points/nowhere/out_of_service", 404, reason="x", until="2027-01-01T00:00:00Z")["type"].endswith("unknown-point")
    assert post(client, "/rooms/nowhere/occupancy", 404, reason="x", state="cleaning")["type"].endswith("unknown-room")
    for path in ("/alarms/A1/shelve", "/points/cp1.dp/out_of_service", "/rooms/cp1/occupancy"):
        assert "reason" in post(client, path, 400, until="2027-01-01T00:00:00Z", state="cleaning")["detail"]
    early = format_time(site.clock.at - 1)
    assert "future" in post(client, "/points/cp1.dp/out_of_service", 409, until=early, reason="x")["detail"]
    assert "future" in post(client, "/rooms/cp1/occupancy", 409, until=early, reason="x", state="cleaning")["detail"]


def test_a_latched_alarm_is_reset(site: Watched, client: TestClient) -> None:
    fall(site, 8.0, 15.0)
    assert shown(client) == [("A1", "latched_unacknowledged")]
    post(client, "/alarms/A1/acknowledge", comment="seen")
    assert shown(client, "?state=latched_acknowledged") == [("A1", "latched_acknowledged")]
    assert "Reset" in client.get("/alarms/A1").text
    reply = client.post("/alarms/A1/reset", data={"by": "Karin", "alarm": "A1"}, headers={"origin": "http://127.0.0.1:8480"})
    assert (reply.status_code, reply.headers["location"]) == (303, "/alarms/A1?said=done")
    assert shown(client, "?state=normal") == [("A1", "normal")]


def test_a_point_out_of_service_is_shown_marked_and_listed(site: Watched, client: TestClient) -> None:
    fall(site, 8.0)
    until = format_time(site.clock.at + 60 * MINUTE)
    done = post(client, "/points/cp1.dp/out_of_service", until=until, reason="calibration")
    assert (done["action"], done["by"], done["until"]) == ("out_of_service", "Karin", until)
    assert post(client, "/points/cp1.dp/out_of_service", 409, by="Åke", until=until, reason="me too")["by"] == "Karin"
    (listed,) = client.get("/api/v1/points?out_of_service=true").json()["points"]
    assert (listed["id"], listed["out_of_service"]["by"], listed["out_of_service"]["reason"]) == ("cp1.dp", "Karin", "calibration")
    fall(site, 7.0)
    assert [excursion.closed_by for excursion in site.store.excursions()] == ["out_of_service"]
    now = format_time(site.clock.at)
    latest = point(site.monitor, "cp1.dp").latest
    assert latest is not None
    assert latest.value == 7.0
    assert "Out of service until" in client.get("/").text
    explained = CliRunner().invoke(main, ["explain", "cp1.dp", "--config", str(site.folder.parent / "renrum.yaml"), "--at", now])
    assert explained.exit_code == 0, explained.output
    assert "It was out of service from 2026-11-21 08:00:01 until 2026-11-21 09:00:01, by Karin: calibration." in explained.output
    assert "no alarm: the point was out of service" in explained.output
    post(client, "/points/cp1.dp/return")
    assert client.get("/api/v1/points?out_of_service=true").json()["points"] == []
    fall(site, 7.0)
    assert [excursion.closed_by for excursion in site.store.excursions()] == ["out_of_service", ""]


def test_a_room_is_said_to_be_cleaned_for_an_hour(site: Watched, client: TestClient) -> None:
    until = format_time(site.clock.at + 60 * MINUTE)
    assert post(client, "/rooms/cp1/occupancy", state="cleaning", until=until, reason="weekly")["by"] == "Karin"
    site.step()
    assert next(place for place in site.monitor.places() if place.id == "cp1").occupancy == "cleaning"
    faster = post(client, "/rooms/cp1/occupancy", 409, by="Åke", state="cleaning", until=until, reason="weekly")
    assert faster["by"] == "Karin"
    fall(site, 8.0)
    (alarm,) = client.get("/api/v1/alarms?flag=suppressed").json()["alarms"]
    assert (alarm["id"], alarm["suppressed"], alarm["annunciated"]) == ("A1", "cleaning", False)
    assert site.store.rows("select * from outbox") == []
    site.step(60 * MINUTE)
    assert next(place for place in site.monitor.places() if place.id == "cp1").occupancy == "in_operation"
    assert [row[0] for row in site.store.rows("select page_id from outbox")] == ["A1-raised-1"]
    (entry,) = [entry for entry in site.journal.reader().entries(kinds=("ingest",)) if b"weekly" in entry.body]
    assert entry.readings == 0
    assert site.intake.sums.lost == 0
