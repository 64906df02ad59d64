"""Who gets in over HTTP, and the ways in that attackers try."""

from __future__ import annotations

import asyncio
import json
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.types import Message

from alerts.people.passwords import Passwords
from alerts.people.register import PeopleUnavailable
from dashboards import events
from dashboards.access import local_path
from dashboards.security import Guard
from facility.secret import Secret
from tests.support.monitor import FakeMonitor
from tests.support.people import BY, HERE, PASSWORD, Staff, client_of, signed_in, staff_in

API = "/api/v1"
HTML = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
FORM = {**HTML, "Content-Type": "application/x-www-form-urlencoded"}


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


# Signing in


def test_who_signs_in_is_who_acknowledges_and_no_other_name_is_taken(client: TestClient, staff: Staff, monitor: FakeMonitor) -> None:
    signed_in(client, "operator")
    me = client.get(f"{API}/session").json()
    assert (me["kind"], me["label"], me["role"]) == ("person", "Operator Ek (operator)", "operator")
    assert me["permissions"] == ["acknowledge", "audit", "comment", "occupancy", "read", "reset", "shelve", "swap"]
    other = client.post(f"{API}/alarms/a7/acknowledge", json={"by": "Karin Ek", "comment": ""})
    assert other.status_code == 400
    assert "recorded for Operator Ek (operator)" in other.json()["detail"]
    reply = client.post(f"{API}/alarms/a7/acknowledge", json={"comment": "Door was open"})
    assert reply.json()["acknowledged_by"] == "Operator Ek (operator)"
    assert monitor.audit_entries[-1].actor == "Operator Ek (operator)"
    page = client.get("/alarms/a6").text
    assert 'name="by"' not in page
    assert "Operator Ek (operator)" in page


def test_two_people_at_once_get_one_acknowledgement_and_one_honest_answer(staff: Staff, monitor: FakeMonitor) -> None:
    clients = [signed_in(client_of(monitor, staff), user) for user in ("operator", "supervisor")]
    barrier, replies = threading.Barrier(2), []

    def acknowledge(client: TestClient) -> None:
        barrier.wait()
        replies.append(client.post(f"{API}/alarms/a7/acknowledge", json={}))

    threads = [threading.Thread(target=acknowledge, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    first, second = sorted(replies, key=lambda reply: reply.status_code)
    assert (first.status_code, second.status_code) == (200, 409)
    assert second.json()["acknowledged_by"] == first.json()["acknowledged_by"] == monitor.alarm_views["a7"].acknowledged_by
    assert [entry.subject for entry in monitor.audit_entries].count("a7") == 1


@pytest.mark.parametrize(
    ("base", "name", "secure"),
    [(HERE, "renrum", False), ("https://127.0.0.1:8480", "__Host-renrum", True), ("http://em.example.org", "__Host-renrum", True)],
)
def test_the_cookie_is_out_of_reach_of_scripts_other_sites_and_listeners(
    staff: Staff, monitor: FakeMonitor, base: str, name: str, secure: bool
) -> None:
    reply = client_of(monitor, staff, base).post(f"{API}/session", json={"user": "viewer", "password": PASSWORD})
    pair, *flags = (part.strip().lower() for part in reply.headers["set-cookie"].split(";"))
    assert pair.startswith(f"{name.lower()}=")
    assert set(flags) == {"httponly", "path=/", "samesite=strict", *(["secure"] if secure else [])}
    assert reply.headers["cache-control"] == "no-store"


def test_a_session_that_was_planted_before_is_not_the_one_that_signs_in(client: TestClient, staff: Staff) -> None:
    planted = staff.people.sign_in("viewer", Secret(PASSWORD), "203.0.113.7").reveal()
    for cookie in (planted, "made-up-by-an-attacker"):
        client.cookies.clear()
        reply = client.post(f"{API}/session", json={"user": "operator", "password": PASSWORD}, headers={"Cookie": f"renrum={cookie}"})
        assert f"renrum={cookie}" not in reply.headers["set-cookie"]
        client.cookies.clear()
        assert client.get(f"{API}/session", headers={"Cookie": f"renrum={cookie}"}).status_code == 401


def test_signing_out_ends_the_session_for_whoever_kept_the_cookie(client: TestClient) -> None:
    kept = signed_in(client, "viewer").cookies["renrum"]
    reply = client.delete(f"{API}/session", headers={"Sec-Fetch-Site": "same-origin"})
    assert reply.status_code == 204
    assert 'renrum="";' in reply.headers["set-cookie"]
    assert client.get(f"{API}/points", headers={"Cookie": f"renrum={kept}"}).status_code == 401


@pytest.mark.parametrize("path", [f"{API}/session", "/login", "/logout", "/password", f"{API}/users", f"{API}/alarms/a7/acknowledge"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_foreign_page_can_post_nothing_in_the_name_of_who_is_signed_in(
    client: TestClient, monitor: FakeMonitor, path: str, site: str
) -> None:
    signed_in(client, "supervisor")
    for headers in ({"Sec-Fetch-Site": site}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert client.post(path, content=b"x=1", headers=headers | {"Content-Type": FORM["Content-Type"]}).status_code == 403
    assert client.get(f"{API}/session").status_code == 200, "still signed in"
    assert monitor.alarm_views["a7"].acknowledged is None


@pytest.mark.parametrize("given", ["Basic b3BlcmF0b3I6eA==", "Bearer", "Bearer renrum_made_up", "Bearer  ", "bearer x" * 200, "renrum_x"])
def test_a_bad_token_is_refused_even_beside_a_good_session(client: TestClient, given: str) -> None:
    signed_in(client, "operator")
    reply = client.get(f"{API}/points", headers={"Authorization": given})
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == 'Bearer realm="Renrum"'


def test_a_token_is_no_way_to_a_session_of_its_own(client: TestClient, staff: Staff) -> None:
    headers = {"Authorization": f"Bearer {staff.tokens['operator']}"}
    assert client.delete(f"{API}/session", headers=headers).status_code == 403
    body = {"old_password": PASSWORD, "new_password": "a new and long one"}
    assert client.post(f"{API}/session/password", json=body, headers=headers).status_code == 403


def test_brute_force_meets_a_wait_that_is_told_and_the_right_password_does_not_pass_it(client: TestClient) -> None:
    def attempt(password: str) -> Any:
        return client.post(f"{API}/session", json={"user": "operator", "password": password})

    codes = [attempt(f"guess {n}").status_code for n in range(7)]
    assert codes == [401] * 5 + [429] * 2
    reply = attempt(PASSWORD)
    assert reply.status_code == 429
    assert reply.headers["retry-after"] == "30"


def test_an_unknown_name_costs_the_same_and_is_told_the_same(client: TestClient, staff: Staff) -> None:
    checked: list[str | None] = []

    class Counting(Passwords):
        def check(self, password: Secret, kept: str | None) -> bool:
            checked.append(kept)
            return super().check(password, kept)

    staff.people.passwords = Counting(PasswordHasher(time_cost=2, memory_cost=8192, parallelism=1))
    staff.register.write("update users set password = ?", staff.people.passwords.hash(Secret(PASSWORD)))
    took: dict[str, list[float]] = {"operator": [], "nobody": []}
    said = []
    for _ in range(4):
        for user, times in took.items():
            begun = time.perf_counter()
            said.append(client.post(f"{API}/session", json={"user": user, "password": "wrong"}).text)
            times.append(time.perf_counter() - begun)
    assert len(set(said)) == 1
    assert [kept is None for kept in checked] == [False, True] * 4
    known, unknown = (statistics.median(times) for times in took.values())
    assert 1 / 3 < unknown / known < 3


@pytest.mark.parametrize(
    "next",
    [
        "//evil.example", "https://evil.example/", "\\\\evil.example", "/\\evil.example", "/%09/evil.example".replace("%09", "\t"),
        "javascript:alert(1)", "evil.example", "", "http:evil.example", " //evil.example", "///evil.example", "/a\r\nSet-Cookie: x=1",
    ],
)  # fmt: skip
def test_signing_in_leads_nowhere_but_here(client: TestClient, next: str) -> None:
    assert local_path(next) == "/"
    reply = client.post("/login", data={"user": "viewer", "password": PASSWORD, "next": next}, headers=HTML)
    assert (reply.status_code, reply.headers["location"]) == (303, "/")
    page = client.get("/login", params={"next": next}, headers=HTML | {"Sec-Fetch-Site": "cross-site"}).text
    assert "evil" not in page
    assert "javascript:" not in page


def test_who_is_not_signed_in_is_led_to_the_page_and_back(client: TestClient) -> None:
    led = client.get("/alarms/a7?said=x", headers=HTML)
    assert (led.status_code, led.headers["location"]) == (303, "/login?next=%2Falarms%2Fa7%3Fsaid%3Dx")
    assert 'value="/alarms/a7?said=x"' in client.get(led.headers["location"], headers=HTML).text
    back = client.post("/login", data={"user": "viewer", "password": PASSWORD, "next": "/alarms/a7?said=x"}, headers=HTML)
    assert back.headers["location"] == "/alarms/a7?said=x"
    form = client.post("/alarms/a7/acknowledge", content="", headers=FORM | {"Cookie": "", "Referer": f"{HERE}/alarms/a7"})
    assert form.status_code in (303, 403)


def test_a_refused_sign_in_says_why_on_the_page_and_shows_no_password(client: TestClient) -> None:
    reply = client.post("/login", data={"user": "<b>viewer", "password": "my secret"}, headers=HTML)
    assert reply.status_code == 401
    assert "Wrong name or password." in reply.text
    assert "&lt;b&gt;viewer" in reply.text
    assert "my secret" not in reply.text


def test_a_one_time_password_leads_to_its_change_and_to_nothing_else(client: TestClient, staff: Staff) -> None:
    first = staff.office.add("karin", "Karin Ek", "operator", BY).reveal()
    signed_in(client, "karin", first)
    assert client.get("/", headers=HTML).headers["location"] == "/password"
    assert client.get(f"{API}/points").json()["type"].endswith("change-password")
    assert client.get(f"{API}/session").json()["must_change_password"]
    before = client.cookies["renrum"]

    def change(old: str, new: str, again: str) -> Any:
        return client.post("/password", data={"old_password": old, "new_password": new, "again_password": again}, headers=HTML)

    assert "in two ways" in change(first, "a new and long one", "another").text
    assert "present password is wrong" in change("wrong", "a new and long one", "a new and long one").text
    assert "12 to 256" in change(first, "short", "short").text
    assert change(first, "a new and long one", "a new and long one").headers["location"] == "/"
    assert client.cookies["renrum"] != before
    assert client.get("/", headers=HTML).status_code == 200


def test_an_administrator_gives_and_takes_rights_and_it_is_on_record(client: TestClient, staff: Staff) -> None:
    signed_in(client, "administrator")
    staff.register.write("delete from events")
    made = client.post(f"{API}/users", json={"id": "ola", "name": "Ola Berg", "role": "viewer", "reason": "new in QA"})
    assert made.status_code == 201
    assert client.patch(f"{API}/users/ola", json={"role": "supervisor"}).json()["role"] == "supervisor"
    assert client.patch(f"{API}/users/ola", json={"disabled": True}).json()["disabled"]
    assert client.post(f"{API}/users/ola/reset_password", json={}).json()["secret"] != made.json()["secret"]
    token = client.post(f"{API}/tokens", json={"name": "mes", "role": "viewer", "days": 30}).json()["secret"]
    assert client.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert client.delete(f"{API}/tokens/mes", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 204
    assert client.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert [user["id"] for user in client.get(f"{API}/users").json()["users"]] == [
        "administrator",
        "ola",
        "operator",
        "supervisor",
        "viewer",
    ]
    assert client.get(f"{API}/tokens").json()["tokens"][-1]["revoked"]
    assert client.patch(f"{API}/users/administrator", json={"role": "viewer"}).status_code == 409
    events = staff.register.events()
    assert [event.event for event in events] == [
        "user added", "role changed", "user disabled", "password reset", "token made", "token revoked",
    ]  # fmt: skip
    assert {event.by for event in events} == {"Administrator Ek (administrator)"}
    assert {event.source for event in events} == {"testclient"}
    assert events[0].reason == "new in QA"


def test_of_two_changes_asked_for_at_once_both_are_made_or_none(client: TestClient, staff: Staff) -> None:
    signed_in(client, "administrator")
    before = staff.register.events()
    refused = client.patch(f"{API}/users/operator", json={"role": "viewer", "disabled": False})
    assert (refused.status_code, refused.json()["detail"]) == (409, "Operator Ek (operator) is not disabled.")
    assert [user.role for user in staff.register.users() if user.id == "operator"] == ["operator"]
    assert staff.register.events() == before
    both = client.patch(f"{API}/users/operator", json={"role": "viewer", "disabled": True}).json()
    assert (both["role"], both["disabled"]) == ("viewer", True)


@pytest.mark.parametrize(
    "body", [{"user": "viewer", "password": 123456789}, {"user": "viewer", "password": "secret-" * 200}, {"password": "x"}]
)
def test_a_body_that_cannot_be_used_is_told_without_the_password(client: TestClient, body: dict[str, Any]) -> None:
    reply = client.post(f"{API}/session", json=body)
    assert reply.status_code == 400
    assert "12345" not in reply.text
    assert "secret-" not in reply.text


def test_when_too_many_sign_in_or_the_register_is_gone_it_is_said(
    client: TestClient, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    staff.people.passwords._waiting = 99
    reply = client.post(f"{API}/session", json={"user": "viewer", "password": PASSWORD})
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    signed = staff.tokens["viewer"]

    def gone(*_: object) -> Any:
        raise PeopleUnavailable("cannot read people.db: disk I/O error")

    monkeypatch.setattr(staff.register, "rows", gone)
    assert client.get(f"{API}/points", headers={"Authorization": f"Bearer {signed}"}).status_code == 503
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/healthz", {}, 200),
        ("/readyz", {}, 200),
        ("/metrics", {}, 421),
        ("/login", {}, 421),
        ("/metrics", {"Authorization": "Bearer {viewer}"}, 200),
        ("/metrics", {"Authorization": "Bearer made-up"}, 401),
    ],
)
def test_probes_and_tokens_may_use_any_name_of_the_host_and_browsers_may_not(
    client: TestClient, staff: Staff, monitor: FakeMonitor, path: str, headers: dict[str, str], status: int
) -> None:
    given = {name: value.format(**staff.tokens) for name, value in headers.items()} | {"Host": "renrum.internal:8480"}
    assert client.get(path, headers=given).status_code == status
    assert client_of(monitor, None).get(path, headers=given).status_code == 421
    assert client_of(monitor, staff, host="renrum.internal").get("/login", headers=given).status_code == 200


def test_a_write_without_a_host_is_refused_even_where_any_host_is_taken() -> None:
    sent: list[Message] = []

    async def ask() -> None:
        async def receive() -> Message:
            return {"type": "http.request"}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/healthz", "headers": [(b"origin", b"http://evil.example")], "scheme": "http"}
        await Guard(Starlette(), users=True)(scope, receive, send)

    asyncio.run(ask())
    assert sent[0]["status"] == 403


# Live events


async def heard(monitor: FakeMonitor, allowed: Any, seconds: float) -> list[str]:
    kinds: list[str] = []

    async def listen() -> None:
        async for event in events.stream(monitor, "", allowed):
            kinds.append(event.event or "")

    await asyncio.wait_for(listen(), seconds)
    return kinds


def test_live_events_end_with_the_session(staff: Staff, monitor: FakeMonitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.05)
    who = staff.people.of_session(staff.people.sign_in("viewer", Secret(PASSWORD), "10.0.0.9").reveal())
    assert who is not None
    asked = []

    def allowed() -> bool:
        asked.append(staff.people.still(who) is not None)
        if len(asked) == 3:
            staff.office.disable("viewer", BY)
        return asked[-1]

    assert asyncio.run(heard(monitor, allowed, 10)) == ["health"] * 4
    assert asked == [True, True, True, False]
    assert monitor.events.listeners == 0


def test_the_endpoint_asks_whether_the_session_goes_on(client: TestClient, staff: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    async def nothing(_monitor: object, _last: str, allowed: Any) -> Any:
        given.append(allowed)
        return
        yield

    monkeypatch.setattr(events, "stream", nothing)
    token = {"Authorization": f"Bearer {staff.tokens['operator']}"}
    assert client.get(f"{API}/events", headers=token).status_code == 200
    signed_in(client, "viewer")
    assert client.get(f"{API}/events").status_code == 200
    assert [allowed() for allowed in given] == [True, True]
    staff.office.revoke_token("for-operator", BY)
    staff.wait(31 * 60)
    assert [allowed() for allowed in given] == [False, False]


def test_a_problem_is_json_that_names_its_type(client: TestClient) -> None:
    problem = json.loads(client.get(f"{API}/points").text)
    assert problem["type"] == "urn:renrum:problem:sign-in"
    assert {"title", "status", "detail"} <= problem.keys()
