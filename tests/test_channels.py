from __future__ import annotations

import json
import logging
import os
import socket
import threading
from pathlib import Path

import pytest

from alerts.channels import DeliveryError, Email, Local, Webhook, redacted
from alerts.channels.apprise import Apprise
from alerts.channels.post import retry_after_ns
from alerts.pages.page import LATE, Page
from facility.secret import Secret
from tests.support.pages import page
from tests.support.smtp import certificate, smtp_server
from tests.support.webhook import Answer, webhook_server

PASSWORD = "pa/ss wörd"
ANNA = "anna@site.test"


def mail(port: int, recipient: str = ANNA, **settings: object) -> Email:
    usual = {"host": "127.0.0.1", "port": port, "sender": "Renrum <em@site.test>", "security": "none", "recipient": recipient}
    return Email(**usual | settings)  # type: ignore[arg-type]


def refused(send: object, told: Page) -> DeliveryError:
    with pytest.raises(DeliveryError) as raised:
        send(told)  # type: ignore[operator]
    return raised.value


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_mail_arrives_whole_and_a_repeat_is_recognisable() -> None:
    text = "Gör så här: stäng dörren ≥ 5 min\n" + "x" * 2000 + "\n"
    told = Page("7-raised", "7", "raised", page().at_ns, "demo ACTION: Kylrum åäö °C", text)
    with smtp_server() as server, server.collector as collector:
        collector.expect(ANNA, "7-raised", times=2)
        mail(server.port).send(told)
        mail(server.port).send(told)
    (_, first), (_, second) = server.mails
    assert first["Subject"] == told.subject
    assert first.get_content().replace("\r\n", "\n") == told.text
    assert first["To"] == ANNA
    assert first["Message-ID"] == second["Message-ID"] == f"<{told.key}@site.test>"
    assert first["Date"] == "Sat, 21 Nov 2026 07:46:30 -0000"


@pytest.mark.parametrize(("answer", "permanent"), [("550 5.1.1 no such mailbox", True), ("451 4.7.1 greylisted", False)])
def test_a_mail_server_says_whether_a_refusal_is_final(answer: str, permanent: bool) -> None:
    with smtp_server() as server, server.collector as collector:
        collector.expect("bo@site.test", "17-raised")
        server.recipient_answers[ANNA] = answer
        error = refused(mail(server.port).send, page())
        mail(server.port, "bo@site.test").send(page())  # the refusal is that recipient's alone
        assert error.permanent is permanent
        assert ANNA in error.problem
        assert answer in error.problem
        server.data_answer = answer
        assert refused(mail(server.port, "bo@site.test").send, page()).permanent is permanent


def test_what_goes_wrong_after_the_mail_is_taken_does_not_send_it_again() -> None:
    with smtp_server() as server, server.collector as collector:
        server.quit_answer = "421 leaving in anger"
        collector.expect(ANNA, "17-raised")
        mail(server.port).send(page())


def test_an_absent_or_silent_mail_server_is_worth_another_try() -> None:
    assert not refused(mail(unused_port()).send, page()).permanent
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = refused(mail(silent.getsockname()[1], timeout_s=0.2).send, page())
    assert not error.permanent
    assert "timed out" in error.problem


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_over_tls_checks_the_certificate(security: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, trusted = certificate(tmp_path)
    with smtp_server(login=("em", PASSWORD), tls=context, security=security) as server, server.collector as collector:
        secure = mail(server.port, host="localhost", security=security, username="em", password=Secret(PASSWORD))
        error = refused(secure.send, page())
        assert "certificate not accepted" in error.problem
        assert not error.permanent
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        collector.expect(ANNA, "17-raised")
        secure.send(page())
        wrong_name = refused(mail(server.port, security=security).send, page())
        assert "certificate not accepted" in wrong_name.problem


def test_mail_is_not_sent_in_the_clear_when_the_server_offers_no_tls() -> None:
    with smtp_server() as server, server.collector:
        assert "STARTTLS" in refused(mail(server.port, security="starttls").send, page()).problem


@pytest.mark.parametrize("password", ["plain-ascii", PASSWORD])
def test_mail_logs_in_with_any_password(password: str) -> None:
    with smtp_server(login=("em", password)) as server, server.collector as collector:
        collector.expect(ANNA, "17-raised")
        mail(server.port, username="em", password=Secret(password)).send(page())


def test_a_login_that_fails_leaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    plain = "AGVtAHBhL3NzIHfDtnJk"  # base64 of "\0em\0" and the password
    with smtp_server(login=("em", "another")) as server, server.collector:
        server.login_answer = f"535 5.7.8 not accepted: {plain} cGEvc3Mgd8O2cmQ= pa%2Fss+w%C3%B6rd"
        channel = mail(server.port, username="em", password=Secret(PASSWORD))
        error = refused(channel.send, page())
    assert error.permanent
    assert "535" in error.problem
    logged = [record.getMessage() for record in caplog.records if record.name != "mail.log"]  # that one is the server's
    said = f"{error} {error!r} {channel!r} {logged}"
    assert not [form for form in (PASSWORD, plain, "cGEvc3Mgd8O2cmQ", "pa%2Fss", "w%C3%B6rd") if form in said]


def test_a_webhook_gets_the_page_as_json() -> None:
    with webhook_server() as server, server.collector as collector:
        collector.expect("/hook", "17-raised")
        Webhook(server.url, Secret("t0ken")).send(page())
    (posted,) = server.posted
    assert posted.headers["Authorization"] == "Bearer t0ken"
    assert posted.headers["Idempotency-Key"] == page().key
    assert posted.headers["Content-Type"] == "application/json"
    assert posted.body == json.loads(json.dumps(page().document()))
    assert posted.body["time"] == "2026-11-21T07:46:30.25Z"


@pytest.mark.parametrize(
    ("status", "permanent"), [(301, True), (400, True), (401, True), (408, False), (410, True), (429, False), (500, False), (503, False)]
)
def test_a_webhooks_status_says_whether_a_refusal_is_final(status: int, permanent: bool) -> None:
    with webhook_server() as server, server.collector:
        server.answer = Answer(status, {"Retry-After": "120", "Location": server.url + "/elsewhere"}, "why not")
        error = refused(Webhook(server.url).send, page())
    assert error.permanent is permanent
    assert error.retry_after_ns == 120 * 10**9
    assert f"answered {status} why not" in error.problem
    assert len(server.posted) == 1, "redirects are not followed, and retries are the outbox' business"


def test_retry_after_is_seconds_or_a_date() -> None:
    sent = "Sat, 21 Nov 2026 07:41:10 GMT"
    assert retry_after_ns("7") == 7 * 10**9
    assert retry_after_ns("Sat, 21 Nov 2026 07:43:10 GMT", sent) == 120 * 10**9
    assert retry_after_ns("Sat, 21 Nov 2026 07:43:10 GMT") is None
    assert retry_after_ns(sent, "Sat, 21 Nov 2026 07:43:10 GMT") == 0
    assert retry_after_ns("soon", sent) is None
    assert retry_after_ns("") is None


def test_a_webhook_that_is_absent_or_hangs_is_worth_another_try() -> None:
    assert not refused(Webhook(f"http://127.0.0.1:{unused_port()}/x").send, page()).permanent
    hold = threading.Event()
    with webhook_server() as server:
        server.answer = Answer(hold=hold)
        assert "timed out" in refused(Webhook(server.url, timeout_s=0.2).send, page()).problem
        hold.set()


def test_a_webhook_leaks_neither_its_token_nor_its_address(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with webhook_server() as server, server.collector:
        server.answer = Answer(403, body="no, T0KEN-in-path with sup3r/t0ken and keyInQuery%21 and keyInQuery!")
        channel = Webhook(Secret(f"http://127.0.0.1:{server.port}/services/T0ken-in-path?key=keyInQuery%21"), Secret("sup3r/t0ken"))
        error = refused(channel.send, page())
        server.answer = Answer()
        server.collector.expect(server.posted[0].path, "17-raised")
        channel.send(page())
    dead = Webhook(Secret(f"http://127.0.0.1:{unused_port()}/services/T0ken-in-path?key=keyInQuery%21"), Secret("sup3r/t0ken"))
    said = f"{error} {error!r} {channel!r} {refused(dead.send, page())} {caplog.text}".lower()
    assert f"127.0.0.1:{server.port} answered 403" in said
    assert not [secret for secret in ("t0ken-in-path", "sup3r", "t0ken", "keyinquery") if secret in said]


@pytest.mark.parametrize("url", ["", "nonsense", "http://[", "ftp://127.0.0.1/s3cret-path"])
def test_a_webhook_with_a_broken_address_says_so(url: str) -> None:
    error = refused(Webhook(url).send, page())
    assert error.problem
    assert "s3cret" not in str(error)


def test_apprise_delivers_to_a_real_service() -> None:
    with webhook_server() as server, server.collector as collector:
        collector.expect("/hook", "")
        Apprise(Secret(server.url.replace("http:", "json:"))).send(page())
    (posted,) = server.posted
    assert posted.body["title"] == page().subject
    assert posted.body["message"].strip() == page().text.strip()
    assert posted.body["type"] == "failure"


def test_apprise_tells_of_failure_and_leaks_nothing(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    with webhook_server() as server, server.collector:
        server.answer = Answer(500, body="t0kenpath")
        address = f"json://bob:pw%21@127.0.0.1:{server.port}/t0kenpath?+X-Key=hdrs3cret"
        channel = Apprise(Secret(address))
        error = refused(channel.send, page())
    absent = refused(Apprise(Secret(f"json://bob:pw%21@127.0.0.1:{unused_port()}/t0kenpath?+X-Key=hdrs3cret")).send, page())
    unknown = refused(Apprise(Secret("nosuch://hdrs3cret@t0kenpath")).send, page())
    assert unknown.permanent
    assert not error.permanent
    assert len(error.problem) > len("apprise: ")
    captured = capfd.readouterr()
    said = f"{error} {error!r} {absent} {unknown} {channel!r} {caplog.text} {captured.out} {captured.err}"
    assert not [secret for secret in ("t0kenpath", "hdrs3cret", "pw%21", "pw!") if secret in said]


def test_apprise_knows_an_address_that_it_cannot_use_without_sending() -> None:
    assert Apprise("json://127.0.0.1/x").understood()
    assert not Apprise("nosuch://x").understood()
    assert not Apprise("").understood()


def test_the_local_sink_holds_one_line_a_page(tmp_path: Path) -> None:
    sink = Local(tmp_path / "new" / "pages.jsonl")
    sink.send(page("1"))
    with sink.file.open("ab") as file:
        file.write(b'{"cut off by a cra')
    sink.send(page("2"))
    first, torn, second = sink.file.read_text().splitlines()
    assert json.loads(first)["alarm"] == "1"
    assert json.loads(second) == json.loads(json.dumps(page("2").document()))
    assert "cut off" in torn


def test_the_local_sink_keeps_lines_whole_when_several_write(tmp_path: Path) -> None:
    sink = Local(tmp_path / "pages.jsonl")

    def write(writer: int) -> None:
        for number in range(10):
            sink.send(page(f"{writer}-{number}"))

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len({json.loads(line)["alarm"] for line in sink.file.read_text().splitlines() if line}) == 40


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_told_and_worth_another_try() -> None:
    error = refused(Local(Path("/dev/full")).send, page())
    assert not error.permanent
    assert os.strerror(28) in error.problem


def test_redaction_finds_a_secret_in_any_dress() -> None:
    assert redacted("a B%21c b\n  c YiFj", "b!c") == "a *** b c ***"
    assert redacted("nothing to hide", "") == "nothing to hide"
    assert len(redacted("x" * 1000)) == 300


def test_late_pages_go_the_same_way() -> None:
    with webhook_server() as server, server.collector as collector:
        collector.expect("/hook", "9-late")
        Webhook(server.url).send(Page("9-late", "9", LATE, 1, "late", "late\n"))
