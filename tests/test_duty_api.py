"""Who is on duty over HTTP and in the console, and swapping it: on a real journal, and on a made-up site for the pages."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from starlette.testclient import TestClient

from alerts.alarms import Answer as Outcome
from alerts.duty.roster import Roster, Schedule
from alerts.duty.rotation import Cycle
from dashboards.app import build_app
from ingest.journal.entries import ActionBody, Body
from service.duty.drilling import Drilling
from tests.support.monitor import FakeMonitor
from tests.support.people import HERE, Staff, client_of, signed_in, staff_in
from tests.support.verifying import verify
from tests.support.watched import FILES, Watched

API = "/api/v1/oncall"
SWAP = {"rotation": "duty", "person": "bo", "from": "2026-11-21T08:00:00", "to": "2026-11-21T20:00:00", "reason": "ill", "by": "Anna"}
FORM = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
ONCALL = """
channels: {sink: {kind: local, file: pages}}
people: [{id: anna, name: Anna Berg, reach: [sink]}, {id: bo, name: Bo Lind, reach: [sink]}]
rotations: {duty: {members: [anna, bo], start: 2026-11-16, handover: "Mon 08:00"}}
policies: {p: {steps: [{to: duty}], repeat: 15m}}
routes: [{policy: p}]
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """Saturday, 21 November 2026, 08:00 at the site; Anna has the duty until Monday."""
    monkeypatch.setitem(FILES, "oncall.yaml", ONCALL)
    watched = Watched(tmp_path)
    yield watched
    result = verify(watched.folder)
    watched.close()
    assert result.exit_code == 0, result.stdout


def asking(site: Watched) -> TestClient:
    return TestClient(build_app(site.monitor), base_url=HERE, headers={"Sec-Fetch-Site": "same-origin"})


def test_now_and_next(site: Watched) -> None:
    found = asking(site).get(API).json()
    assert found["duties"] == [
        {"rotation": "duty", "person": "anna", "name": "Anna Berg", "until": "2026-11-23T07:00:00Z", "instead_of": None, "next": "bo"}
    ]
    later = asking(site).get(API, params={"at": "2026-11-24T12:00:00"}).json()
    assert (later["at"], later["duties"][0]["person"]) == ("2026-11-24T11:00:00Z", "bo")


def test_a_swap_counts_at_once_is_audited_and_outlives_a_restart(site: Watched) -> None:
    reply = asking(site).post(f"{API}/overrides", json=SWAP)
    assert reply.status_code == 200, reply.text
    duty = reply.json()["duties"][0]
    assert (duty["person"], duty["until"], duty["instead_of"], duty["next"]) == ("bo", "2026-11-21T19:00:00Z", "anna", "anna")
    assert reply.json()["swaps"][0] == {
        "rotation": "duty", "person": "bo", "from": "2026-11-21T07:00:00Z", "to": "2026-11-21T19:00:00Z", "instead_of": "",
        "reason": "ill", "by": "Anna", "at": "2026-11-21T07:00:00Z",
    }  # fmt: skip
    row = site.store.rows("select actor, action, object, new, reason from audit order by seq desc limit 1")
    assert row == [("Anna", "swap duty", "rotation duty", "bo from 2026-11-21T07:00:00Z until 2026-11-21T19:00:00Z", "ill")]
    assert asking(site).get(API, params={"at": "2026-11-22T12:00:00"}).json()["duties"][0]["person"] == "anna"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"rotation": "dutty"}, "Did you mean duty?"),
        ({"person": "cecilia"}, "person: found 'cecilia'"),
        ({"instead_of": "cecilia"}, "instead_of"),
        ({"to": "2026-11-21T08:00:00"}, "after `from`"),
        ({"from": "2026-11-20T08:00:00", "to": "2026-11-21T07:00:00"}, "not yet past"),
        ({"to": "2028-11-21T08:00:00"}, "oncall.yaml"),
        ({"to": "tomorrow"}, "a time such as"),
        ({"whom": "x"}, "whom"),
    ],
)
def test_a_swap_that_means_nothing_is_refused_and_leaves_nothing(site: Watched, changed: dict[str, str], says: str) -> None:
    reply = asking(site).post(f"{API}/overrides", json=SWAP | changed)
    assert reply.status_code == 400
    assert says in reply.text
    assert site.store.rows("select count(*) from overrides") == [(0,)]


def test_the_duty_is_swapped_in_the_console_by_a_form(site: Watched) -> None:
    client = asking(site)
    page = client.get("/oncall").text
    assert "<strong>Anna Berg</strong>" in page
    assert 'value="2026-11-21T08:00"' in page
    fields = {"by": "Anna", "rotation": "duty", "person": "bo", "from": "2026-11-21T08:00", "to": "2026-11-21T20:00"}
    reply = client.post("/oncall/swap", data=fields, headers=FORM, follow_redirects=False)
    assert (reply.status_code, reply.headers["location"]) == (303, "/oncall?said=swapped")
    page = client.get("/oncall?said=swapped").text
    assert "<strong>Bo Lind</strong>" in page
    assert "instead of Anna Berg" in page
    refused = client.post("/oncall/swap", data=fields | {"to": "x"}, headers=FORM)
    assert refused.status_code == 400
    assert "a time such as" in refused.text


def test_who_may_not_swap_sees_no_form(tmp_path: Path) -> None:
    with staff_in(tmp_path) as staff:
        for role, allowed in (("viewer", False), ("operator", True), ("supervisor", True), ("administrator", False)):
            client = _client(staff)
            signed_in(client, role)
            assert ("Swap a duty" in client.get("/oncall", headers={"Accept": "text/html"}).text) == allowed
            body = "rotation=facility&person=bo&from=2026-11-21T08%3A00&to=2026-11-22T08%3A00"
            assert client.post("/oncall/swap", content=body, headers=FORM).status_code == (303 if allowed else 403)


def _client(staff: Staff) -> TestClient:
    return client_of(FakeMonitor(), staff)


def test_a_test_is_sent_acknowledged_once_and_listed(site: Watched) -> None:
    client = asking(site)
    sent = client.post(f"{API}/tests", json={"to": ["duty"], "within_s": 600, "by": "QA"}).json()
    assert (sent["state"], sent["to"], sent["deadline"]) == ("sent", ["duty"], "2026-11-21T07:10:00Z")
    assert client.post(f"{API}/tests", json={"to": ["duti"], "by": "QA"}).status_code == 400
    done = client.post(f"{API}/tests/{sent['id']}/acknowledge", json={"by": "Anna"}).json()
    assert (done["state"], done["acknowledged_by"]) == ("acknowledged", "Anna")
    again = client.post(f"{API}/tests/{sent['id']}/acknowledge", json={"by": "Bo"})
    assert (again.status_code, again.json()["test"]["acknowledged_by"]) == (409, "Anna")
    assert client.post(f"{API}/tests/A1/acknowledge", json={"by": "Bo"}).status_code == 404
    assert [test["id"] for test in client.get(API).json()["tests"]] == [sent["id"]]
    assert sent["id"] in client.get("/oncall").text


def test_a_test_that_is_missed_says_so_and_can_still_be_acknowledged_by_its_page(site: Watched) -> None:
    client = asking(site)
    sent = client.post(f"{API}/tests", json={"to": ["duty"], "within_s": 60, "by": "QA"}).json()
    site.step(61 * 10**9)
    page = f"/oncall/tests/{sent['id']}"
    assert client.get(f"{API}/tests/{sent['id']}").json()["state"] == "missed"
    assert "find out why" in client.get(page).text
    reply = client.post(f"{page}/acknowledge", data={"by": "Anna"}, headers=FORM, follow_redirects=False)
    assert (reply.status_code, reply.headers["location"]) == (303, f"{page}?said=acknowledged")
    assert "Acknowledged too late by Anna" in client.get(page).text
    late = client.post(f"{page}/acknowledge", data={"by": "Bo"}, headers=FORM)
    assert late.status_code == 409
    assert "Nothing was recorded for Bo." in late.text
    assert client.get("/oncall/tests/T99").status_code == 404


def test_a_scheduled_test_is_asked_for_once_at_its_time(site: Watched) -> None:
    schedule = Schedule(("duty",), Cycle(("",), datetime(1970, 1, 5, 9), timedelta(days=1), ZoneInfo("Europe/Stockholm")), 600 * 10**9)
    roster = Roster(test=schedule)
    asked: list[ActionBody] = []

    def ask(kind: str, body: Body) -> Future[Outcome | None]:
        assert isinstance(body, ActionBody)
        asked.append(body)
        answer: Future[Outcome | None] = Future()
        answer.set_result(site._act(body))
        return answer

    drilling = Drilling(lambda: roster, site.store.reader, ask, site.clock)
    drilling.settle()
    assert asked == []
    site.clock.turn(3600 * 10**9)
    for _ in range(3):
        drilling.settle()
        site.clock.turn(20 * 10**9)
    assert [(body.action, body.target, body.by) for body in asked] == [("test on-call", "duty", "renrum")]
    site.clock.turn(26 * 3600 * 10**9)  # the service was down at nine
    drilling.settle()
    assert len(asked) == 1
