"""A real InfluxDB 2 for tests: `influxd` on a free port of the loopback, or the server that RENRUM_TEST_INFLUX_URL names.

The server of RENRUM_TEST_INFLUX_URL is used with RENRUM_TEST_INFLUX_TOKEN (all access) and RENRUM_TEST_INFLUX_ORG; each test makes
buckets of its own there and removes them. It is never killed: tests that do so need `influxd` itself.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BINARY = shutil.which("influxd") or shutil.which("influxd", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
URL = os.environ.get("RENRUM_TEST_INFLUX_URL", "")
needs_influx = pytest.mark.skipif(not (BINARY or URL), reason="no InfluxDB: influxd is not on PATH, RENRUM_TEST_INFLUX_URL is not set")
needs_influxd = pytest.mark.skipif(BINARY is None, reason="influxd is not on PATH (the test kills and restarts it)")


class Influx:
    """One organisation and one bucket with an all-access token: `url`, `org`, `bucket`, `token`. A restart keeps port and data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bucket = f"em-{uuid.uuid4().hex[:8]}"
        self.url = URL.rstrip("/")
        self.org = os.environ.get("RENRUM_TEST_INFLUX_ORG", "site")
        self.token = os.environ.get("RENRUM_TEST_INFLUX_TOKEN", "")
        self.own = not self.url
        self._process: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """Start or find the server and make the bucket."""
        if self.own:
            self.url = f"http://127.0.0.1:{_free_port()}"
            self.start()
            body = {"username": "tests", "password": "only-for-tests", "org": self.org, "bucket": self.bucket}
            self.token = self.ask("POST", "/api/v2/setup", body)["auth"]["token"]
        else:
            self.new_bucket(self.bucket)

    def close(self) -> None:
        if self.own:
            self.kill()
        else:
            for bucket in self.ask("GET", f"/api/v2/buckets?org={self.org}&name={self.bucket}")["buckets"]:
                self.ask("DELETE", f"/api/v2/buckets/{bucket['id']}")

    def start(self) -> None:
        """Start our own server and wait until it answers."""
        assert BINARY is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        arguments = [
            *("--http-bind-address", self.url.removeprefix("http://")),
            *("--bolt-path", f"{self.folder}/influxd.bolt", "--sqlite-path", f"{self.folder}/influxd.sqlite"),
            *("--engine-path", f"{self.folder}/engine"),
            *("--reporting-disabled", "--ui-disabled", "--log-level", "warn"),
        ]
        environment = os.environ | {"INFLUXD_CONFIG_PATH": str(self.folder)}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([BINARY, *arguments], env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while True:
            assert self._process.poll() is None, f"influxd ended: {(self.folder / 'log').read_text()[-1000:]}"
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=1) as answer:
                    if json.load(answer)["status"] == "pass":
                        return
            except (OSError, ValueError):
                pass
            assert time.monotonic() < deadline, "influxd does not answer"
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL: as in a power cut."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM: an orderly end."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Accept connections and answer nothing, until `thaw`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, method: str, path: str, body: object = None, token: str | None = None) -> Any:
        """The answer of the HTTP API; urllib.error.HTTPError when it says no."""
        headers = {"Content-Type": "application/json"}
        if token or self.token:
            headers["Authorization"] = f"Token {token or self.token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def new_bucket(self, name: str, retention_s: int = 0) -> None:
        """One more bucket; `retention_s` 0 keeps for ever."""
        org_id = self.ask("GET", f"/api/v2/orgs?org={self.org}")["orgs"][0]["id"]
        rules = [{"type": "expire", "everySeconds": retention_s}] if retention_s else []
        self.ask("POST", "/api/v2/buckets", {"orgID": org_id, "name": name, "retentionRules": rules})

    def write(self, lines: str) -> None:
        """Write line protocol with ns times."""
        path = f"/api/v2/write?org={self.org}&bucket={self.bucket}&precision=ns"
        request = urllib.request.Request(self.url + path, lines.encode(), {"Authorization": f"Token {self.token}"}, method="POST")
        urllib.request.urlopen(request, timeout=30).close()

    def query(self, flux: str) -> list[dict[str, str]]:
        """The rows of a Flux query as texts by column; `bucket` stands for the name of the bucket in quotes."""

        headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/vnd.flux", "Accept": "application/csv"}
        text = flux.replace("bucket: bucket", f'bucket: "{self.bucket}"')
        request = urllib.request.Request(f"{self.url}/api/v2/query?org={self.org}", text.encode(), headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                tables = answer.read().decode().replace("\r\n", "\n").split("\n\n")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{error.code}: {error.read().decode()}\n{text}") from None
        return [row for table in tables for row in csv.DictReader(io.StringIO(table))]

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def influx_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    """One server for the tests of a module, which must not kill it."""
    yield from _served(tmp_path_factory.mktemp("influx"))


@pytest.fixture
def influx(tmp_path: Path) -> Iterator[Influx]:
    """A server of the test's own, to kill, freeze and start again."""
    yield from _served(tmp_path / "influx")


def _served(folder: Path) -> Iterator[Influx]:
    if not (BINARY or URL):
        pytest.skip("no InfluxDB: influxd is not on PATH, RENRUM_TEST_INFLUX_URL is not set")
    server = Influx(folder)
    try:
        server.open()
        yield server
    finally:
        server.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
