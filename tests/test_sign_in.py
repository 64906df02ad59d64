"""Signing in for real: a running service, its journal and its audit trail; a browser driven by its keyboard."""

from __future__ import annotations

import logging
import shutil
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.sync_api import Browser, expect

from alerts.record.store import StateStore
from dashboards import events
from dashboards.app import build_app
from ingest.journal.entries import PEOPLE, decode
from ingest.journal.journal import JournalReader
from service.attendance import Attendance
from service.cli import main
from service.clock import SystemClock
from service.configuration.configuration import load_configuration
from service.pipeline import Pipeline
from service.running import NotDone, running_service
from tests.support.archive_data import lived
from tests.support.browser import Server, browser, needs_chromium
from tests.support.monitor import FakeMonitor
from tests.support.mqtt import eventually
from tests.support.people import PASSWORD, Staff, staff_in

SAME_SITE = {"Sec-Fetch-Site": "same-origin"}
CLIENTS: list[httpx2.Client] = []


# The service


@contextmanager
def running(config: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(load_configuration(config, {}), SystemClock())
    pipeline.start()
    try:
        yield pipeline
    finally:
        pipeline.stop()


def site(folder: Path) -> Path:
    """A configuration with users, on a data_dir with alarms that stand."""
    place = lived(folder)
    place.close()
    text = place.config.read_text()
    place.config.write_text(text[: text.index("\nhttp:")] + "\nhttp: {port: 0, users: required}\n")
    return place.config


@pytest.fixture(autouse=True)
def clients() -> Iterator[list[httpx2.Client]]:
    """Those that a test opened, closed at its end."""
    yield CLIENTS
    while CLIENTS:
        CLIENTS.pop().close()


def client_of(pipeline: Pipeline, user: str = "", password: str = "") -> httpx2.Client:
    client = httpx2.Client(base_url=f"{pipeline.url}api/v1/", headers=SAME_SITE)
    CLIENTS.append(client)
    if user:
        reply = client.post("session", json={"user": user, "password": password})
        assert reply.status_code == 200, reply.text
    return client


def hired(admin: httpx2.Client, pipeline: Pipeline, id: str, name: str, password: str) -> httpx2.Client:
    first = admin.post("users", json={"id": id, "name": name, "role": "operator"}).json()["secret"]
    client = client_of(pipeline, id, first)
    assert client.post("session/password", json={"old_password": first, "new_password": password}).status_code == 204
    return client


def audit(data_dir: Path) -> list[tuple[str, str, str, str, str, str]]:
    with closing(StateStore(data_dir / "state.db", readonly=True)) as store:
        return [tuple(row) for row in store.rows("select actor, action, object, old, new, reason from audit order by seq")]


def test_from_the_first_start_to_an_acknowledgement_all_is_on_record_without_a_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    config = site(tmp_path / "site")
    with running(config) as pipeline:
        data_dir = pipeline.configuration.settings.data_dir
        assert pipeline.first_password is not None
        secrets = [pipeline.first_password.reveal(), "seven green bottles", "hanging on the wall", "six green bottles too"]
        admin = client_of(pipeline, "admin", secrets[0])
        assert admin.get("points").status_code == 403, "not before the password is changed"
        assert admin.post("session/password", json={"old_password": secrets[0], "new_password": secrets[1]}).status_code == 204
        karin, ola = hired(admin, pipeline, "karin", "Karin Ek", secrets[2]), hired(admin, pipeline, "ola", "Ola Berg", secrets[3])
        secrets += [str(client.cookies["renrum"]) for client in (admin, karin, ola)]
        assert client_of(pipeline).post("session", json={"user": "karin", "password": "a failed guess"}).status_code == 401
        alarm = karin.get("alarms").json()["alarms"][0]["id"]
        barrier, replies = threading.Barrier(2), []

        def acknowledge(client: httpx2.Client) -> None:
            barrier.wait()
            replies.append(client.post(f"alarms/{alarm}/acknowledge", json={"comment": "seen"}))

        threads = [threading.Thread(target=acknowledge, args=(client,)) for client in (karin, ola)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        won, lost = sorted(replies, key=lambda reply: reply.status_code)
        assert (won.status_code, lost.status_code) == (200, 409)
        assert lost.json()["acknowledged_by"] == won.json()["acknowledged_by"]
        eventually(lambda: not pipeline.people or not pipeline.people.register.events())
    rows = audit(data_dir)
    assert [row[0] for row in rows if row[1:3] == ("acknowledge", alarm)] == [won.json()["acknowledged_by"]]
    people = [row for row in rows if row[2].startswith("user ")]
    assert [(row[0], row[1], row[2]) for row in people] == [
        ("renrum", "user added", "user admin"),
        ("Administrator (admin)", "signed in", "user admin"),
        ("Administrator (admin)", "password changed", "user admin"),
        ("Administrator (admin)", "user added", "user karin"),
        ("Karin Ek (karin)", "signed in", "user karin"),
        ("Karin Ek (karin)", "password changed", "user karin"),
        ("Administrator (admin)", "user added", "user ola"),
        ("Ola Berg (ola)", "signed in", "user ola"),
        ("Ola Berg (ola)", "password changed", "user ola"),
        ("Karin Ek (karin)", "sign-in failed", "user karin"),
    ]
    assert people[3][3:] == ("", "Karin Ek, operator", "from 127.0.0.1")
    assert people[-1][5] == "wrong password; from 127.0.0.1"
    found = [
        (str(path), secret) for path in (tmp_path / "site").rglob("*") if path.is_file()
        for content in [path.read_bytes()] for secret in [*secrets, "a failed guess"] if secret.encode() in content
    ]  # fmt: skip
    assert found == []
    said = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("http"))  # our client says all
    assert "service" in {record.name.split(".")[0] for record in caplog.records}
    assert not [secret for secret in secrets if secret in said]
    verified = CliRunner().invoke(main, ["verify", "--config", str(config)])
    assert verified.exit_code == 0, verified.output

    # while it is stopped, and at its next start
    assert CliRunner().invoke(main, ["users", "disable", "karin", "--reason", "left", "--config", str(config)]).exit_code == 0
    with running(config) as pipeline:
        assert pipeline.first_password is None
        eventually(lambda: any(row[1] == "user disabled" for row in audit(data_dir)))
        reply = client_of(pipeline).post("session", json={"user": "karin", "password": secrets[2]})
        assert reply.status_code == 401
        CliRunner().invoke(main, ["users", "role", "ola", "supervisor", "--config", str(config)])
        assert client_of(pipeline, "ola", secrets[3]).get("session").json()["role"] == "supervisor"
    by, action, target, old, new, reason = next(row for row in audit(data_dir) if row[1] == "user disabled")
    assert (action, target, old, new, reason) == ("user disabled", "user karin", "enabled", "disabled", "left")
    assert by.endswith("at the command line")
    assert CliRunner().invoke(main, ["verify", "--config", str(config)]).exit_code == 0


def test_an_event_that_was_journalled_twice_is_one_row(tmp_path: Path) -> None:
    config = site(tmp_path / "site")
    with running(config) as pipeline:
        people, data_dir = pipeline.people, pipeline.configuration.settings.data_dir
        assert people is not None
        eventually(lambda: not people.register.events())
        # as after a crash between the journal and the register
        (entry,) = [decode(entry) for entry in pipeline.journal.reader().entries(kinds=(PEOPLE,))]
        pipeline.stepper.ask(PEOPLE, entry).result(10)
    with closing(JournalReader(data_dir / "journal.db")) as reader:
        assert len(list(reader.entries(kinds=(PEOPLE,)))) == 2
    assert [row[1] for row in audit(data_dir) if row[2] == "user admin"] == ["user added"]
    assert CliRunner().invoke(main, ["verify", "--config", str(config)]).exit_code == 0


def test_what_happens_after_an_older_people_db_was_put_back_is_on_record_too(tmp_path: Path) -> None:
    config = site(tmp_path / "site")
    data_dir = load_configuration(config, {}).settings.data_dir

    def sign_in_wrongly(times: int) -> None:
        with running(config) as pipeline:
            for _ in range(times):
                assert client_of(pipeline).post("session", json={"user": "admin", "password": "a failed guess"}).status_code == 401

    sign_in_wrongly(1)
    shutil.copy(data_dir / "people.db", tmp_path / "people.db")
    sign_in_wrongly(3)
    for file in data_dir.glob("people.db*"):
        file.unlink()
    shutil.copy(tmp_path / "people.db", data_dir / "people.db")
    sign_in_wrongly(2)
    assert [row[1] for row in audit(data_dir)].count("sign-in failed") == 6
    assert CliRunner().invoke(main, ["verify", "--config", str(config)]).exit_code == 0


def test_what_cannot_be_journalled_waits_and_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with staff_in(tmp_path) as staff:
        before = staff.events()

        def full(_kind: str, _body: Any) -> Any:
            raise TimeoutError

        attendance = Attendance(staff.register, full)
        attendance.settle()
        attendance.settle()
        assert staff.events() == before
        assert caplog.text.count("wait in people.db") == 1


def test_proxy_headers_count_from_a_trusted_proxy_only(tmp_path: Path) -> None:
    config = site(tmp_path / "site")
    forged = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    for trusted, source, cookie in (((), "127.0.0.1", "renrum"), (("127.0.0.1/32",), "203.0.113.7", "__Host-renrum")):
        configuration = load_configuration(config, {})
        http = replace(configuration.settings.http, trusted_proxies=trusted)
        pipeline = Pipeline(replace(configuration, settings=replace(configuration.settings, http=http)), SystemClock())
        pipeline.start()
        try:
            if pipeline.first_password is not None:
                password = pipeline.first_password.reveal()
            assert pipeline.people is not None
            reply = client_of(pipeline).post("session", json={"user": "admin", "password": password}, headers=forged)
            assert reply.headers["set-cookie"].startswith(f"{cookie}=")
            assert {row[0] for row in pipeline.people.register.rows("select source from sessions order by begun desc limit 1")} == {source}
        finally:
            pipeline.stop()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "renrum under test")])
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(begun).not_valid_after(begun + timedelta(days=36_500)).add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "key.pem"


def test_over_tls_the_cookie_is_secure(tmp_path: Path) -> None:
    config = site(tmp_path / "site")
    cert, _ = certificate(config.parent)
    users = "users: required, tls: {cert_file: cert.pem, key_file: key.pem}"
    config.write_text(config.read_text().replace("users: required", users))
    with running(config) as pipeline:
        assert pipeline.url.startswith("https://127.0.0.1:")
        assert pipeline.first_password is not None
        with httpx2.Client(base_url=pipeline.url, headers=SAME_SITE, verify=ssl.create_default_context(cafile=cert)) as client:
            reply = client.post("api/v1/session", json={"user": "admin", "password": pipeline.first_password.reveal()})
            assert reply.status_code == 200
            assert "__Host-renrum=" in reply.headers["set-cookie"]
            assert "; Secure" in reply.headers["set-cookie"]
            assert client.get("api/v1/session").json()["id"] == "admin"


def test_a_password_goes_to_an_address_whose_certificate_is_for_its_name(tmp_path: Path) -> None:
    config = site(tmp_path / "site")
    certificate(config.parent)
    users = "users: required, tls: {cert_file: cert.pem, key_file: key.pem}"
    config.write_text(config.read_text().replace("users: required", users))
    settings = load_configuration(config, {}).settings
    with running(config) as pipeline:
        assert running_service(settings, pipeline.url, None).get("/healthz")
        with pytest.raises(NotDone, match="certificate"):
            running_service(settings, pipeline.url.replace("127.0.0.1", "localhost"), None).get("/healthz")
    assert not running_service(settings, None, None).trust.check_hostname  # on this machine it is the very certificate


# The browser


@pytest.fixture
def staff(tmp_path: Path) -> Iterator[Staff]:
    with staff_in(tmp_path) as staff:
        yield staff


@pytest.fixture
def monitor() -> FakeMonitor:
    return FakeMonitor()


@pytest.fixture
def url(monitor: FakeMonitor, staff: Staff) -> Iterator[str]:
    with Server(build_app(monitor, people=staff.people)) as server:
        yield server.url
        monitor.events.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as launched:
        yield launched


@needs_chromium
@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_from_the_link_in_a_page_to_the_acknowledgement_by_keyboard(
    chromium: Browser, url: str, monitor: FakeMonitor, scripts: bool
) -> None:
    page = chromium.new_context(java_script_enabled=scripts).new_page()
    page.goto(f"{url}/alarms/a7")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_label("User id")).to_be_focused()
    page.keyboard.type("operator")
    page.keyboard.press("Tab")
    page.keyboard.type("a wrong one")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Wrong name or password.")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/alarms/a7")
    expect(page.get_by_text("Operator Ek (operator)")).to_be_visible()
    expect(page.get_by_label("Your name")).to_have_count(0)
    page.get_by_label("Comment").focus()
    page.keyboard.type("Door was open")
    page.keyboard.press("Enter")
    expect(page.locator(".said.good")).to_contain_text("acknowledged by Operator Ek (operator)")
    assert monitor.alarm_views["a7"].acknowledged_by == "Operator Ek (operator)"
    page.get_by_role("button", name="Sign out").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/login")
    page.go_back()
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


@needs_chromium
def test_on_the_overview_the_form_asks_for_no_name(chromium: Browser, url: str, monitor: FakeMonitor) -> None:
    page = signed_in_page(chromium, url, "operator")
    page.locator("#open-a7").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#comment-a7")).to_be_focused()
    page.keyboard.type("On my way")
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("Recorded: acknowledged by Operator Ek (operator)")
    assert monitor.alarm_views["a7"].comment == "On my way"
    viewer = signed_in_page(chromium, url, "viewer")
    expect(viewer.get_by_text("Viewer Ek (viewer)")).to_be_visible()
    expect(viewer.locator("details.acknowledge")).to_have_count(0)


@needs_chromium
def test_a_link_in_a_web_mail_leads_who_is_signed_in_to_the_alarm(chromium: Browser, url: str) -> None:
    page = signed_in_page(chromium, url, "operator")
    page.goto("about:blank")
    mail = url.replace("127.0.0.1", "localhost")  # another site than 127.0.0.1
    page.route(f"{mail}/mail", lambda route: route.fulfill(body=f'<a href="{url}/alarms/a7">open</a>', content_type="text/html"))
    page.goto(f"{mail}/mail")
    page.get_by_text("open").click()
    page.wait_for_url(f"{url}/alarms/a7")
    expect(page.get_by_text("Operator Ek (operator)")).to_be_visible()


@needs_chromium
def test_a_page_whose_session_ends_goes_to_the_sign_in_page(
    chromium: Browser, url: str, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.2)
    page = signed_in_page(chromium, url, "operator")
    expect(page.locator("#link-words")).to_have_text("Live")
    staff.wait(31 * 60)
    page.wait_for_url(f"{url}/login?next=%2F", timeout=15_000)


def signed_in_page(chromium: Browser, url: str, user: str, **context: Any) -> Any:
    page = chromium.new_context(**context).new_page()
    page.goto(f"{url}/login")
    page.get_by_label("User id").fill(user)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{url}/")
    return page


def test_a_damaged_people_db_stops_no_alarm_and_lets_nobody_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = site(tmp_path / "site")
    people = config.parent / "data" / "people.db"
    people.write_bytes(b"no database" * 500)
    with running(config) as pipeline:
        assert pipeline.first_password is None
        anybody = client_of(pipeline)
        for reply in (
            anybody.get("points"),
            anybody.get("points", headers={"Authorization": "Bearer renrum_x"}),
            anybody.post("alarms/A1/acknowledge", json={"comment": "seen"}),
            anybody.post("session", json={"user": "admin", "password": "whatever it was"}),
        ):
            assert reply.status_code in (401, 503), reply.text
        assert httpx2.get(f"{pipeline.url}healthz").status_code == 200
        eventually(lambda: pipeline.stepper.vitals.steps > 0 and not pipeline.stepper.vitals.failure)
    assert people.read_bytes() == b"no database" * 500
    assert "Nobody can sign in" in caplog.text
