"""What systemd and a container's health check are told, by a service that runs."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.alive import main
from service.cli.init import example_files
from service.pipeline import Pipeline
from service.production.authority import Authority, certificate_pem, key_pem, new_key
from service.supervised import READY, is_stuck, tell

MINUTE_NS = 60 * 10**9
ROOT = Path(__file__).parents[1]


@pytest.fixture
def outlet(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket at which systemd listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(30)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        yield listener


def heard(outlet: socket.socket, process: int) -> bytes:
    """The next word of a process; what its children say, such as the built-in broker, systemd does not heed either (NotifyAccess=main)."""
    while True:
        word, credentials, _, _ = outlet.recvmsg(100, socket.CMSG_SPACE(12))
        if struct.unpack("3i", credentials[0][2])[0] == process:
            return word


def test_without_systemd_nothing_is_said() -> None:
    tell(READY, {})
    tell(READY, {"NOTIFY_SOCKET": "/no/such/socket"})


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is on Linux only")
def test_a_service_says_that_it_is_ready_and_that_it_stops(tmp_path: Path, outlet: socket.socket) -> None:
    for name, content in example_files():
        (tmp_path / name).write_bytes(content.replace(b"port: 8480", b"port: 0"))
    command = [sys.executable, "-c", "from service.cli import main; main()", "run", "--config", str(tmp_path)]
    environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE) as service:
        try:
            assert heard(outlet, service.pid) == b"READY=1"
            service.terminate()
            assert heard(outlet, service.pid) == b"STOPPING=1"
            assert service.wait(30) == 0
        finally:
            service.kill()


@pytest.mark.parametrize(
    ("alive", "age_ns", "step_failure", "ingest_failure", "stuck"),
    [
        (True, 1, "", "", False),
        (False, 1, "", "", True),
        (True, 2 * MINUTE_NS, "", "", True),
        (True, 2 * MINUTE_NS, "disk full", "", False),
        (True, 2 * MINUTE_NS, "", "disk full", False),
    ],
)
def test_a_new_start_is_asked_for_only_where_it_helps(
    alive: bool, age_ns: int, step_failure: str, ingest_failure: str, stuck: bool
) -> None:
    now = 10**15
    pipeline = SimpleNamespace(
        receiver=SimpleNamespace(vitals=SimpleNamespace(alive=alive, failure=ingest_failure)),
        stepper=SimpleNamespace(vitals=SimpleNamespace(ended_ns=now - age_ns, failure=step_failure)),
        configuration=SimpleNamespace(settings=SimpleNamespace(evaluate_every_ns=10**9)),
    )
    assert is_stuck(cast(Pipeline, pipeline), now) == stuck


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def console(tmp_path: Path) -> Iterator[str]:
    """HTTPS with a certificate of an authority that nobody here knows."""
    authority, key = Authority.new("test", 1_700_000_000 * 10**9), new_key()
    (tmp_path / "c.pem").write_bytes(certificate_pem(authority.issue(["em.example.org"], key, 1_700_000_000 * 10**9)))
    (tmp_path / "c.key").write_bytes(key_pem(key))
    server = HTTPServer(("127.0.0.1", 0), _Health)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c.pem", tmp_path / "c.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_health_check_asks_whatever_the_certificate(console: str) -> None:
    assert main(f"{console}/healthz") == 0


def test_the_health_check_says_no(console: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(f"{console}/readyz") == 1
    assert "503" in capsys.readouterr().err


def test_the_health_check_says_no_where_nobody_answers() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert main(f"https://127.0.0.1:{free.getsockname()[1]}/healthz") == 1
