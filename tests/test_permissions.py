"""Who may what over HTTP: every end point of the OpenAPI document by every role, with a session, a token and nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Mount
from starlette.testclient import TestClient

from alerts.people.permissions import KNOWN, OPEN, PERMISSIONS, PERSON, ROLES, TABLE, may
from dashboards import events
from dashboards.access import Gate
from facility.secret import Secret
from tests.support.monitor import FakeMonitor
from tests.support.people import PASSWORD, Staff, client_of, signed_in, staff_in

API = "/api/v1"
HTML = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
FORM = {**HTML, "Content-Type": "application/x-www-form-urlencoded"}
ASKERS = [("none", ""), *(("session", role) for role in ROLES), *(("token", role) for role in ROLES if role != "administrator")]


@pytest.fixture
def staff(tmp_path: Path) -> Iterator[Staff]:
    with staff_in(tmp_path) as staff:
        yield staff


@pytest.fixture
def monitor() -> FakeMonitor:
    return FakeMonitor()


@pytest.fixture
def client(monitor: FakeMonitor, staff: Staff) -> TestClient:
    return client_of(monitor, staff)


def operations(client: TestClient, staff: Staff) -> list[tuple[str, str, str]]:
    """Method, path and permission of everything that the OpenAPI document describes."""
    headers = {"Authorization": f"Bearer {staff.tokens['viewer']}"}
    paths = client.get(f"{API}/openapi.json", headers=headers).json()["paths"]
    return [(method, path, described["x-permission"]) for path, methods in paths.items() for method, described in methods.items()]


@pytest.mark.parametrize(("way", "role"), ASKERS)
def test_each_role_may_what_the_table_says_at_every_end_point_and_nothing_else(
    client: TestClient, staff: Staff, monkeypatch: pytest.MonkeyPatch, way: str, role: str
) -> None:
    async def nothing(*_: object) -> Any:
        return
        yield

    monkeypatch.setattr(events, "stream", nothing)  # it would never end
    found, expected = {}, {}
    for method, path, permission in operations(client, staff):
        headers = {"Authorization": f"Bearer {staff.tokens[role]}"} if way == "token" else {"Sec-Fetch-Site": "same-origin"}
        client.cookies.clear()
        if way == "session":
            client.cookies.set("renrum", staff.people.sign_in(role, Secret(PASSWORD), "10.0.0.9").reveal())
        url = path.replace("{id}", "a7" if "alarms" in path else "nobody")
        reply = client.request(method, url, headers=headers, json={} if method not in ("get", "delete") else None)
        found[method, path] = {401: "who?", 403: "no"}.get(reply.status_code, "yes")
        expected[method, path] = (
            "yes" if permission == OPEN
            else "who?" if way == "none"
            else "yes" if permission == KNOWN or (permission == PERSON and way == "session") or may(role, permission)
            else "no"
        )  # fmt: skip
        if reply.status_code in (401, 403):
            assert reply.headers["content-type"] == "application/problem+json"
    assert found == expected
    assert len(found) > 20


@pytest.mark.parametrize(("way", "role"), ASKERS)
def test_the_pages_ask_for_the_same_rights(client: TestClient, staff: Staff, way: str, role: str) -> None:
    headers = dict(HTML)
    if way == "session":
        signed_in(client, role)
    elif way == "token":
        headers["Authorization"] = f"Bearer {staff.tokens[role]}"
    seen = {path: client.get(path, headers=headers).status_code for path in ("/", "/alarms/a7", "/parts/alarms")}
    assert seen == dict.fromkeys(seen, 303 if way == "none" else 200)
    reply = client.post("/alarms/a7/acknowledge", content="comment=seen", headers=headers | FORM)
    assert reply.status_code == (303 if way == "none" or may(role, "acknowledge") else 403)
    assert ("said=accepted" in reply.headers.get("location", "")) == (way != "none" and may(role, "acknowledge"))
    assert client.get("/static/console.css").status_code == 200


def test_every_route_is_a_gate_with_a_permission_that_there_is(client: TestClient) -> None:
    routes = client.app.routes  # type: ignore[attr-defined]
    known = {OPEN, KNOWN, PERSON, *set().union(*PERMISSIONS.values())}
    assert [route.path for route in routes if not isinstance(route, Gate)] == ["/static"]
    assert [route.path for route in routes if isinstance(route, Mount)] == ["/static"]
    assert {route.permission for route in routes if isinstance(route, Gate)} == known
    assert {route.path for route in routes if isinstance(route, Gate) and route.permission == OPEN} == {
        "/healthz", "/readyz", "/login", "/language", f"{API}/session",
    }  # fmt: skip


def test_the_document_names_the_schemes_and_the_permission(client: TestClient, staff: Staff) -> None:
    document = client.get(f"{API}/openapi.json", headers={"Authorization": f"Bearer {staff.tokens['viewer']}"}).json()
    assert document["components"]["securitySchemes"].keys() == {"session", "token"}
    acknowledge = document["paths"][f"{API}/alarms/{{id}}/acknowledge"]["post"]
    assert acknowledge["x-permission"] == "acknowledge"
    assert acknowledge["security"] == [{"session": []}, {"token": []}]
    assert {"401", "403"} <= acknowledge["responses"].keys()
    assert document["paths"]["/healthz"]["get"]["security"] == []


def test_the_manual_shows_the_table_that_the_code_has() -> None:
    text = (Path(__file__).parent.parent / "docs" / "people.md").read_text()
    rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if re.match(r"\| `?\w+`? +\| .*(yes|–)", line)
    ]
    manual = {row[0]: [cell == "yes" for cell in row[1:5]] for row in rows}
    code = {line.split()[0]: [word == "yes" for word in line.split()[1:5]] for line in TABLE.strip().splitlines()[1:]}
    assert manual == code


def test_without_users_anybody_may_do_everything_and_nobody_signs_in(monitor: FakeMonitor) -> None:
    client = client_of(monitor, None)
    assert client.get(f"{API}/points").status_code == 200
    assert client.get(f"{API}/session").json()["kind"] == "anybody"
    assert client.post(f"{API}/session", json={"user": "karin", "password": "x"}).json()["type"].endswith("no-users")
    assert client.get("/login").status_code == client.get(f"{API}/users").status_code == 409
    assert "Sign out" not in client.get("/").text
