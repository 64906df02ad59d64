"""`renrum watch`: pages when the service is silent, reminds, says when it is back, and survives whatever answers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from alerts.channels import DeliveryError
from alerts.pages.page import Letterhead, Page
from facility.secret import Secret
from facility.site import Site
from service.continuity.watching import Service, Watch
from tests.support.continuity import command
from tests.support.nursery import ROOT
from tests.support.watched import SECOND, HandClock

MINUTE = 60 * SECOND


class Answering:
    """An HTTP server that gives `status` and `body`; asks with another token are refused where one is set."""

    def __init__(self) -> None:
        self.status, self.body, self.token = 200, b"", ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wrong = outer.token and self.headers.get("Authorization") != f"Bearer {outer.token}"
                self.send_response(401 if wrong else outer.status)
                self.end_headers()
                self.wfile.write(outer.body or well())

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def well() -> bytes:
    return json.dumps({"ok": True, "time": str(time.monotonic_ns()), "checks": []}).encode()


@pytest.fixture
def answering() -> Iterator[Answering]:
    server = Answering()
    yield server
    server.close()


class Phone:
    """Remembers pages; refuses as long as `broken`."""

    def __init__(self) -> None:
        self.pages: list[Page] = []
        self.broken = False

    def send(self, page: Page) -> None:
        if self.broken:
            raise DeliveryError("no network")
        self.pages.append(page)


def watching(ask: Callable[[], tuple[str, str]]) -> tuple[Watch, Phone, HandClock]:
    phone, clock = Phone(), HandClock()
    letterhead = Letterhead("watch", Site("lab", "Laboratory"), "https://em.example.org")
    return Watch("https://em.example.org", ask, {"phone": phone}, letterhead, clock, lambda work: work()), phone, clock


def looked(watch: Watch, clock: HandClock, minutes: float) -> None:
    for _ in range(round(minutes * 6)):
        clock.turn(10 * SECOND)
        watch.look()


def test_one_page_an_outage_then_reminders_then_it_is_back() -> None:
    wrong = [""]
    watch, phone, clock = watching(lambda: (wrong[0], ""))
    looked(watch, clock, 5)
    assert phone.pages == []
    wrong[0] = "it does not answer: timed out"
    looked(watch, clock, 0.5)
    assert phone.pages == []
    looked(watch, clock, 2)
    assert len(phone.pages) == 1
    assert "is silent: it does not answer" in phone.pages[0].text
    looked(watch, clock, 60)
    assert len(phone.pages) == 3
    wrong[0] = ""
    looked(watch, clock, 60)
    assert len(phone.pages) == 4
    assert "is back. It was silent for 62 min" in phone.pages[-1].text
    wrong[0] = "it does not answer: refused"
    looked(watch, clock, 2)
    assert len(phone.pages) == 5  # another outage, though the last reminder is not long ago


def test_a_blink_is_no_outage() -> None:
    wrong = [""]
    watch, phone, clock = watching(lambda: (wrong[0], ""))
    for wrong[0] in ("away", "", "away", "") * 5:
        looked(watch, clock, 0.5)
    assert phone.pages == []


def test_a_channel_that_fails_is_tried_again() -> None:
    wrong = ["away"]
    watch, phone, clock = watching(lambda: (wrong[0], ""))
    phone.broken = True
    looked(watch, clock, 5)
    phone.broken = False
    looked(watch, clock, 2)
    assert len(phone.pages) == 1
    wrong[0], phone.broken = "", True
    looked(watch, clock, 2)
    phone.broken = False
    looked(watch, clock, 5)
    assert ["is back" in page.text for page in phone.pages] == [False, True]


def test_an_old_answer_is_none() -> None:
    watch, phone, clock = watching(lambda: ("", "2026-11-21T07:00:00Z"))
    looked(watch, clock, 3)
    assert len(phone.pages) == 1
    assert "an old one" in phone.pages[0].text


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>", "not Renrum"),
        (200, b"[]", "not Renrum"),
        (200, b'{"ok": false, "checks": [{"name": "judgement", "ok": false, "words": "no step for 40 s"}]}', "judgement: no step for 40 s"),
        (503, b'{"ok": false, "checks": [{"name": "ingest", "ok": false, "words": "stopped"}]}', "ingest: stopped"),
        (500, b"oops", "it answers 500"),
        (200, b"\xff\xfe", "not Renrum"),
    ],
)
def test_what_is_no_good_answer(answering: Answering, status: int, body: bytes, words: str) -> None:
    answering.status, answering.body = status, body
    assert words in Service(answering.url).ask()[0]


def test_a_good_answer_a_token_and_nobody_there(answering: Answering) -> None:
    assert Service(answering.url).ask()[0] == ""
    answering.token = "let-me-in"
    assert "is the token right" in Service(answering.url).ask()[0]
    assert Service(answering.url + "/", Secret("let-me-in")).ask()[0] == ""
    answering.close()
    assert "does not answer" in Service(answering.url).ask()[0]
    assert "does not answer" in Service("https://127.0.0.1:9").ask()[0]


def test_as_a_process_on_a_real_outage(answering: Answering, tmp_path: Path) -> None:
    (tmp_path / "oncall.yaml").write_text("channels: {sink: {kind: local, file: pages.jsonl}, other: {kind: local, file: others}}\n")
    script = "from service.cli import main; main()"
    arguments = ["watch", answering.url, "--oncall", str(tmp_path / "oncall.yaml"), "--to", "sink", "--every", "50ms", "--after", "200ms"]
    process = subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    pages = tmp_path / "pages.jsonl"

    def told(count: int) -> list[str]:
        deadline = time.monotonic() + 20
        while not pages.exists() or pages.read_text().count("\n") < count:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        return [json.loads(line)["text"] for line in pages.read_text().splitlines()]

    try:
        answering.status = 503
        assert "is silent" in told(1)[0]
        answering.status = 200
        assert "is back" in told(2)[1]
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, said
    assert not (tmp_path / "others").exists()


def test_what_it_refuses_and_its_test_page(answering: Answering, tmp_path: Path) -> None:
    oncall = tmp_path / "oncall.yaml"
    oncall.write_text("channels: {sink: {kind: local, file: pages.jsonl}, hook: {kind: webhook, url: 'http://127.0.0.1:9/'}}\n")
    for arguments, words in (
        *(((url,), "the address of the console") for url in ("em.example.org", "http://[::1", "http://em.example.org:x")),
        (("http://x", "--to", "sinc"), "sink"),
        (("http://x", "--timezone", "Mars"), "--timezone"),
        (("http://x", "--ca-file", tmp_path / "none"), "--ca-file"),
    ):
        refused = command("watch", *arguments, "--oncall", oncall)
        assert (refused.exit_code, words in refused.output) == (2, True), refused.output
    passed = command("watch", answering.url, "--oncall", oncall, "--to", "sink", "--test")
    assert (passed.exit_code, f"{answering.url}: answers" in passed.output) == (0, True), passed.output
    answering.status = 503
    silent = command("watch", answering.url, "--oncall", oncall, "--to", "sink", "--test")
    assert (silent.exit_code, f"{answering.url}: it says that it is not well" in silent.output) == (1, True), silent.output
    assert "A test of the watch" in (tmp_path / "pages.jsonl").read_text()
    answering.status = 200
    failed = command("watch", answering.url, "--oncall", oncall, "--test")
    assert (failed.exit_code, "sink: delivered" in failed.output) == (1, True)
