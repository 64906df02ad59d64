"""The historian's thread in a running pipeline: InfluxDB there, away, wrong, and never answering."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from facility.secret import Secret
from historian.influx import Influx as Connection
from historian.influx import InfluxFault, InfluxMisconfigured, InfluxUnavailable, LinesRefused, TooMuch, fault_of
from historian.target import Target
from service.clock import SystemClock
from service.doctor.historian import historian
from service.health.health import health_of
from service.health.vitals import Vitals
from service.historian import feeding
from service.historian.feeding import Feeding
from tests.support.archive_data import Installation, lived
from tests.support.fed import target_of
from tests.support.influx import Influx, influx, needs_influxd

__all__ = ["influx"]


class Answering:
    """An HTTP server that gives every write the next of its answers: status, headers, body; then 204."""

    def __init__(self, *answers: tuple[int, dict[str, str], bytes]) -> None:
        self.answers = list(answers)
        self.asked: list[float] = []

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                server.asked.append(time.monotonic())
                status, headers, body = server.answers.pop(0) if server.answers else (204, {}, b"")
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextmanager
def served(answering: Answering) -> Iterator[Target]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), answering.handler())
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield Target(f"http://127.0.0.1:{server.server_port}", "site", "em", Secret("token"))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind", "words", "wait_s"),
    [
        (503, {"Retry-After": "7"}, b'{"message":"busy"}', InfluxUnavailable, "busy", 7.0),
        (500, {}, b'{"message":"no space left on device"}', InfluxUnavailable, "no space left", 0.0),
        (503, {"Retry-After": "99999999"}, b"", InfluxUnavailable, "503", 3600.0),
        (503, {"Retry-After": "soon"}, b"<html>", InfluxUnavailable, "<html>", 0.0),
        (401, {}, b'{"message":"unauthorized access"}', InfluxMisconfigured, "token_file", None),
        (404, {}, b'{"message":"bucket not found"}', InfluxMisconfigured, "no bucket 'em'", None),
        (413, {}, b"", TooMuch, "413", None),
        (400, {}, b'{"message":"unable to parse"}', LinesRefused, "unable to parse", None),
        (422, {}, b'{"message":"field type conflict"}', LinesRefused, "conflict", None),
    ],
)
def test_what_an_answer_means(
    status: int, headers: dict[str, str], body: bytes, kind: type[InfluxFault], words: str, wait_s: float | None
) -> None:
    with served(Answering((status, headers, body))) as target, Connection(target) as connection, pytest.raises(kind, match=words) as raised:
        connection.write(b"m v=1 1\n")
    assert getattr(raised.value, "retry_after_s", None) == wait_s
    assert "token" not in str(raised.value).replace("token_file", "").replace("the token", "")


def test_retry_after_may_be_a_date() -> None:
    headers = {"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    fault = fault_of(429, b"", headers, Target("http://127.0.0.1:1", "site", "em"))
    assert isinstance(fault, InfluxUnavailable)
    assert fault.retry_after_s == 30.0


def test_no_server_no_answer() -> None:
    nowhere = Target("http://127.0.0.1:9", "site", "em", Secret("t"))
    with Connection(nowhere) as connection, pytest.raises(InfluxUnavailable, match="does not answer"):
        connection.write(b"m v=1 1\n")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Installation]:
    place = lived(tmp_path / "site")
    yield place
    place.close()


@contextmanager
def running(place: Installation, target: Target) -> Iterator[Feeding]:
    stop, feed = threading.Event(), Feeding(target, place.data_dir, place.configuration, SystemClock())
    thread = threading.Thread(target=feed.run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield feed
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def until(true: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@needs_influxd
def test_down_up_frozen_killed_and_in_the_end_all_is_there(place: Installation, influx: Influx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "LONGEST_WAIT_S", 0.5)
    monkeypatch.setattr(feeding, "PAUSE_S", 0.05)
    monkeypatch.setattr(feeding, "PATIENCE_S", 1.0)
    influx.kill()
    with running(place, target_of(influx)) as feed:
        until(lambda: bool(feed.vitals().failure))
        assert "does not answer" in feed.vitals().failure
        assert feed.vitals().lag_s > 0
        influx.start()
        until(lambda: feed.vitals().lag_s == 0 and not feed.vitals().failure)
        influx.freeze()
        for second in range(105, 110):
            place.read("inc1.temp", 37.0, second)
        until(lambda: feed.vitals().lag_s > 0)
        influx.thaw()
        until(lambda: feed.vitals().lag_s == 0 and not feed.vitals().failure)
    received = 'from(bucket: bucket) |> range(start: 0) |> filter(fn: (r) => r._field == "received")'
    written = influx.query(f"{received} |> count() |> group() |> sum()")
    states = influx.query('from(bucket: bucket) |> range(start: 0) |> filter(fn: (r) => r._field == "state")')
    stored = sum(entry.readings for entry in place.journal.reader().entries())
    assert int(written[0]["_value"]) == stored + len(states)


def test_a_wrong_token_is_said_loudly_and_mends_itself(
    place: Installation, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "FIRST_WAIT_S", 0.05)
    unauthorized: tuple[int, dict[str, str], bytes] = (401, {}, b'{"message":"unauthorized access"}')
    with served(Answering(unauthorized, unauthorized)) as target, running(place, target) as feed:
        until(lambda: dict(feed.vitals().errors).get("misconfigured", 0) == 2)
        until(lambda: feed.vitals().lag_s == 0 and not feed.vitals().failure)
        assert (feed.vitals().refused, feed.vitals().misconfigured) == (0, False)
    said = [record.message for record in caplog.records if "token_file" in record.message]
    assert len(said) == 1


def test_a_token_that_is_not_there_is_waited_for(place: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "FIRST_WAIT_S", 0.05)
    monkeypatch.setattr(feeding, "LONGEST_WAIT_S", 0.1)
    file = place.data_dir / "token"
    with served(Answering()) as target, running(place, replace(target, token=None, token_file=file)) as feed:
        until(lambda: dict(feed.vitals().errors).get("misconfigured", 0) >= 2)
        vitals = feed.vitals()
        assert (vitals.misconfigured, str(file) in vitals.failure, "historian setup" in vitals.failure) == (True, True, True)
        ready = health_of(replace(Vitals(), historian=vitals), now_ns=0, evaluate_every_ns=10**9, config="").ready
        check = next(check for check in ready if check.name == "historian")
        assert (check.ok, str(file) in check.words) == (False, True)
        until(lambda: feed.vitals().lag_s > 0)
        found = next(historian(feed._target, place.data_dir, 0))
        assert (found.verdict, str(file) in found.words) == ("problem", True)
        file.write_text("token\n")
        until(lambda: feed.vitals().written > 0 and feed.vitals().lag_s == 0 and not feed.vitals().failure)


def test_a_damaged_historian_db_begins_anew(place: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "FIRST_WAIT_S", 0.01)
    (place.data_dir / "historian.db").write_bytes(b"no database" * 500)
    with served(Answering()) as target, running(place, target) as feed:
        until(lambda: feed.vitals().written > 0 and feed.vitals().lag_s == 0 and not feed.vitals().failure)
        assert dict(feed.vitals().errors) == {"own": 1}


def test_a_server_that_says_when_is_not_asked_before(place: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "FIRST_WAIT_S", 0.01)
    answering = Answering((503, {"Retry-After": "1"}, b""))
    with served(answering) as target, running(place, target) as feed:
        until(lambda: feed.vitals().written > 0)
        assert answering.asked[1] - answering.asked[0] >= 1.0
