"""The HTTP API as a program meets it: answers, refusals, limits, what a foreign web site cannot do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from dashboards.api import OPERATIONS
from dashboards.app import build_app
from dashboards.monitor import MonitorUnavailable
from dashboards.operation import PREFIX
from dashboards.views import Latest, point_state
from tests.support.monitor import FakeMonitor

HERE = "http://127.0.0.1:8480"


@pytest.fixture
def monitor() -> FakeMonitor:
    return FakeMonitor()


@pytest.fixture
def client(monitor: FakeMonitor) -> Iterator[TestClient]:
    with TestClient(build_app(monitor, public_url="https://em.example.org"), HERE, raise_server_exceptions=False) as client:
        yield client


def get(client: TestClient, path: str, status: int = 200) -> Any:
    reply = client.get(PREFIX + path)
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == ("application/json" if status < 400 else "application/problem+json")
    return json.loads(reply.text, parse_constant=pytest.fail)


def test_points_have_their_latest_reading_limits_and_state(client: TestClient) -> None:
    points = get(client, "/points")["points"]
    assert len(points) == 20
    assert points[0] == {
        "id": "cp1.dp", "name": "Pressure to airlock", "quantity": "differential_pressure", "unit": "Pa", "room": "cp1", "zone": None,
        "grade": None, "period_s": 10.0, "state": "action", "since": "2026-11-21T07:36:10Z",
        "latest": {"time": "2026-11-21T07:41:06Z", "value": 8.35, "quality": "good", "received": "2026-11-21T07:41:07Z"},
        "limits": [
            {"rule": "alert-limit", "level": "alert", "above": None, "below": 12.0},
            {"rule": "action-limit", "level": "action", "above": None, "below": 10.0},
        ],
        "out_of_service": None,
    }  # fmt: skip
    assert {point["zone"] for point in get(client, "/points?room=cryo")["points"]} == {None, "ln2a"}
    assert "did you mean cryo?" in get(client, "/points?room=cyro", 404)["detail"]


def test_readings_are_columns_with_null_for_nan_and_a_next_that_leads_to_the_end(client: TestClient) -> None:
    first = get(client, "/readings?point=cp1.temp&limit=25")
    assert first["unit"] == "degC"
    assert first["value"][2:5] == [20.02, None, 20.04]
    assert first["quality"][3] == "bad"
    times, answer = first["time"], first
    while answer["next"]:
        answer = get(client, f"/readings?point=cp1.temp&limit=25&cursor={answer['next']}")
        times += answer["time"]
    assert len(times) == len(set(times)) == 60
    assert times == sorted(times)


def test_a_time_may_be_local_or_carry_a_plus_that_was_not_escaped(client: TestClient) -> None:
    for start in ("2026-11-21T08:40:00", "2026-11-21T08:40:00+01:00", "2026-11-21T08:40:00%2B01:00", "2026-11-21T07:40:00Z"):
        assert get(client, f"/readings?point=cp1.temp&start={start}&end=2026-11-21T07:41:00Z")["time"][0] == "2026-11-21T07:40:00Z", start


@pytest.mark.parametrize(
    ("query", "parameter", "words"),
    [
        ("/readings", "point", "required"),
        ("/readings?point=cp1.temp&strat=2026-11-21T08:40:00Z", "strat", "did you mean start?"),
        ("/readings?point=cp1.temp&start=yesterday", "start", "2026-11-21T07:41:10.250Z"),
        ("/readings?point=cp1.temp&start=2026-10-25T02:30:00", "start", "02:30"),
        ("/readings?point=cp1.temp&limit=0", "limit", "greater than or equal to 1"),
        ("/readings?point=cp1.temp&limit=100001", "limit", "less than or equal to 100000"),
        ("/alarms?state=unacknowledged,loud", "state.1", "'acknowledged'"),
        ("/excursions?all=perhaps", "all", "boolean"),
        ("/excursions?start=2026-11-21T08:00:00Z&end=2026-11-21T07:00:00Z", "body", "not before the start"),
    ],
)
def test_a_bad_parameter_is_named_with_what_was_found_and_what_is_allowed(
    client: TestClient, query: str, parameter: str, words: str
) -> None:
    problem = get(client, query, 400)
    assert problem["type"] == "urn:renrum:problem:bad-parameter"
    assert [error["parameter"] for error in problem["errors"]] == [parameter]
    assert problem["errors"][0]["found"]
    assert words in problem["errors"][0]["allowed"]
    assert {"title", "status", "detail"} <= problem.keys()


def test_a_parameter_given_twice_and_a_foreign_cursor_are_refused(client: TestClient) -> None:
    assert "given twice" in get(client, "/alarms?limit=1&limit=2", 400)["detail"]
    assert "cursor" in get(client, "/alarms?cursor=mine", 400)["detail"]


def test_excursions_are_filtered_and_paged(client: TestClient) -> None:
    answer = get(client, "/excursions?limit=3")
    assert [row["id"] for row in answer["excursions"]] == ["x1", "x2", "x4"]
    assert answer["excursions"][1]["ended"] is None
    assert [row["id"] for row in get(client, f"/excursions?limit=3&cursor={answer['next']}")["excursions"]] == ["x3"]
    assert [row["id"] for row in get(client, "/excursions?room=prep")["excursions"]] == ["x2"]


def test_alarms_without_a_state_are_those_that_are_not_done(client: TestClient) -> None:
    assert [alarm["id"] for alarm in get(client, "/alarms")["alarms"]] == ["a6", "a7", "a4", "a2"]
    assert [alarm["id"] for alarm in get(client, "/alarms?state=returned,acknowledged")["alarms"]] == ["a4", "a2"]


def test_acknowledging_names_the_person_and_tells_the_next_one_who_was_faster(client: TestClient, monitor: FakeMonitor) -> None:
    url = f"{PREFIX}/alarms/a7/acknowledge"
    reply = client.post(url, json={"by": " Sara Lind ", "comment": "Door was open"})
    assert reply.status_code == 200
    assert reply.json()["state"] == "acknowledged"
    assert reply.json()["acknowledged_by"] == "Sara Lind"
    late = client.post(url, json={"by": "Ola Berg"})
    assert late.status_code == 409
    assert late.json()["type"] == "urn:renrum:problem:already-acknowledged"
    assert late.json()["acknowledged_by"] == "Sara Lind"
    assert "Nothing was recorded for Ola Berg" in late.json()["detail"]
    assert monitor.alarm_views["a7"].comment == "Door was open"
    assert get(client, "/audit?limit=1&cursor=after-2")["entries"][0]["actor"] == "Sara Lind"


def test_acknowledging_what_is_unknown_or_over_is_said(client: TestClient) -> None:
    assert client.post(f"{PREFIX}/alarms/a99/acknowledge", json={"by": "Sara"}).status_code == 404
    assert client.post(f"{PREFIX}/alarms/a2/acknowledge", json={"by": "Sara"}).json()["state"] == "normal"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"[" * 10_000, 400),
        (b"\xff", 400),
        (b"{}", 400),
        (b'{"by": "  "}', 400),
        (b'{"by": "Sara\\u0007"}', 400),
        (b'{"by": "Sara", "coment": "x"}', 400),
        (b'{"by": "' + b"x" * 200 + b'"}', 400),
        (b'{"by": "' + b"x" * 20_000 + b'"}', 413),
    ],
)
def test_a_body_that_cannot_be_used_is_a_problem_and_acknowledges_nothing(
    client: TestClient, monitor: FakeMonitor, content: bytes, status: int
) -> None:
    reply = client.post(f"{PREFIX}/alarms/a7/acknowledge", content=content, headers={"Content-Type": "application/json"})
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert monitor.alarm_views["a7"].state == "unacknowledged"


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Sec-Fetch-Site": "same-origin", "Content-Type": FORM}, True),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:3000", "Content-Type": FORM}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": HERE, "Content-Type": "application/json"}, False),
        ({"Sec-Fetch-Site": "none", "Content-Type": FORM}, False),
        ({"Origin": HERE, "Content-Type": FORM}, True),
        ({"Origin": "https://em.example.org", "Content-Type": FORM}, True),
        ({"Origin": "http://evil.example", "Content-Type": "application/json"}, False),
        ({"Origin": "null", "Content-Type": FORM}, False),
        ({"Content-Type": FORM}, False),
        ({"Content-Type": "text/plain"}, False),
        ({}, False),
    ],
)
def test_a_foreign_page_cannot_acknowledge(client: TestClient, monitor: FakeMonitor, headers: dict[str, str], allowed: bool) -> None:
    reply = client.post("/alarms/a7/acknowledge", content=b"by=Mallory", headers=headers, follow_redirects=False)
    assert reply.status_code == (303 if allowed else 403)
    assert (monitor.alarm_views["a7"].acknowledged is not None) == allowed


def test_a_preflight_is_not_answered_with_leave(client: TestClient) -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    reply = client.options(f"{PREFIX}/alarms/a7/acknowledge", headers=headers)
    assert not [name for name in reply.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8480", 200),
        ("127.0.0.1", 200),
        ("[::1]:8480", 200),
        ("em.example.org", 200),
        ("EM.example.org:443", 200),
        ("evil.example:8480", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
        ("[", 421),
    ],
)
def test_only_a_loopback_or_the_public_name_is_served(client: TestClient, host: str, status: int) -> None:
    assert client.get(f"{PREFIX}/points", headers={"Host": host}).status_code == status


@pytest.mark.parametrize("path", ["/", "/alarms/a7", "/static/console.js", f"{PREFIX}/points", "/healthz", "/nowhere"])
def test_every_answer_carries_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store")


def test_health_and_readiness_name_what_is_wrong(client: TestClient, monitor: FakeMonitor) -> None:
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
    monitor.ready = False
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503
    assert [check["words"] for check in client.get("/readyz").json()["checks"] if not check["ok"]] == [
        "not connected since 07:39: is the broker running?"
    ]
    monitor.alive = False
    assert client.get("/healthz").status_code == 503


def test_metrics_are_those_that_dashboards_rely_on(client: TestClient) -> None:
    reply = client.get("/metrics")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }
    assert samples["renrum_readings_received_total",] == 184_213
    assert samples["renrum_readings_quarantined_total", "conflict"] == 9
    received, stored, duplicate = (samples[f"renrum_readings_{name}_total",] for name in ("received", "stored", "duplicate"))
    assert received == stored + duplicate + sum(value for key, value in samples.items() if key[0] == "renrum_readings_quarantined_total")
    assert samples["renrum_journal_append_seconds_bucket", "0.05"] == 9_100
    assert samples["renrum_journal_append_seconds_count",] == samples["renrum_journal_entries_total",] == 9_120
    assert samples["renrum_link_up",] == 1
    assert samples["renrum_excursions_open", "action"] == 1
    assert samples["renrum_alarms", "medium", "returned"] == 1
    assert samples["renrum_readings_known_lost_total",] == 2
    assert "openmetrics" in client.get("/metrics", headers={"Accept": "application/openmetrics-text"}).headers["content-type"]


def test_openapi_describes_every_route_and_only_references_what_it_holds(client: TestClient) -> None:
    document = get(client, "/openapi.json")
    assert document["openapi"].startswith("3.1")
    served = {
        (route.path, method.lower())
        for route in client.app.routes  # type: ignore[attr-defined]
        for method in getattr(route, "methods", None) or ()
        if (route.path.startswith("/api/") or route.path in ("/healthz", "/readyz", "/metrics")) and method != "HEAD"
    }
    assert served == {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert len(served) == len(OPERATIONS)
    references = set(json.dumps(document).split('"#/components/schemas/')[1:])
    assert {reference.split('"')[0] for reference in references} <= document["components"]["schemas"].keys()
    readings = document["paths"][f"{PREFIX}/readings"]["get"]["parameters"]
    assert [parameter["name"] for parameter in readings if parameter["required"]] == ["point"]


def test_errors_are_problems_for_programs_and_pages_for_people(client: TestClient, monitor: FakeMonitor) -> None:
    assert "openapi.json" in get(client, "/nothing", 404)["detail"]
    assert client.delete(f"{PREFIX}/points").status_code == 403
    assert client.put(f"{PREFIX}/points", json={}).json()["status"] == 405
    monitor.failure = MonitorUnavailable("The state database cannot be read: the disk is full. Free some space.")
    assert "Free some space" in get(client, "/points", 503)["detail"]
    assert "Free some space" in client.get("/", headers={"Accept": "text/html"}).text
    monitor.failure = RuntimeError("secret internals")
    reply = client.get(f"{PREFIX}/points")
    assert reply.status_code == 500
    assert "secret" not in reply.text
    assert "Traceback" not in reply.text


def test_the_state_of_a_point_is_the_worst_that_holds() -> None:
    good, bad = Latest(0, 1.0, "good", 0), Latest(0, None, "bad", 0)
    assert point_state([], good) == "normal"
    assert point_state([], bad) == "bad"
    assert point_state([], None) == "no_data"
    assert point_state([("technical", "stale")], good) == "stale"
    assert point_state([("technical", "stale"), ("action", "limit"), ("alert", "limit")], bad) == "action"
