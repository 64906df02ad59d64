"""A real VictoriaMetrics on a free port of the loopback, and `vmalert -replay` over what is imported there."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import pytest

BINARY, VMALERT = shutil.which("victoria-metrics"), shutil.which("vmalert")
needs_vmalert = pytest.mark.skipif(
    BINARY is None or VMALERT is None, reason="victoria-metrics and vmalert are not installed (apt install victoria-metrics)"
)
MOST = 100_000
"""Samples of a series in one query."""


class Victoria:
    """Runs inside `with`; `url` is its address. Times are epoch seconds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.url = f"http://{self._address}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        assert BINARY is not None
        flags = [f"-httpListenAddr={self._address}", f"-storageDataPath={self.folder}/data", "-retentionPeriod=100y", "-loggerLevel=WARN"]
        limits = [f"-search.maxPointsPerTimeseries={MOST}", "-search.maxQueryDuration=10m", "-memory.allowedBytes=512MB"]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen([BINARY, *flags, *limits], stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, "victoria-metrics does not answer"
            time.sleep(0.05)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            self.ask("/health")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def ask(self, path: str, body: bytes | None = None) -> bytes:
        with urllib.request.urlopen(urllib.request.Request(self.url + path, body), timeout=120) as answer:
            content: bytes = answer.read()
        return content

    def take(self, name: str, series: Iterable[tuple[str, Sequence[int], Sequence[float]]]) -> None:
        """Import a metric: of each `point` its times and values."""
        for point, at, values in series:
            said = {"metric": {"__name__": name, "point": point}, "timestamps": [1000 * second for second in at], "values": list(values)}
            self.ask("/api/v1/import", json.dumps(said).encode() + b"\n")
        self.ask("/internal/force_flush")

    def replay(self, rules: Path, start: int, end: int, period: int) -> None:
        """Have vmalert judge what lies between, both included, at every `period`, in one query a rule, and write its alerts here."""
        assert VMALERT is not None
        first, last = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second)) for second in (start, end))
        where = [f"-rule={rules}", f"-datasource.url={self.url}", f"-remoteWrite.url={self.url}", "-loggerLevel=WARN"]
        how = [f"-replay.timeFrom={first}", f"-replay.timeTo={last}", f"-replay.maxDatapointsPerQuery={MOST}", "-replay.rulesDelay=0s"]
        command = [VMALERT, *where, *how, f"-datasource.queryStep={period}s", "-replay.disableProgressBar"]
        done = subprocess.run(command, capture_output=True, timeout=600, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr).decode()[-2000:]

    def firing(self) -> dict[tuple[str, str], list[int]]:
        """When each alert fired for each point."""
        self.ask("/internal/force_flush")
        found: dict[tuple[str, str], list[int]] = {}
        for line in self.ask("/api/v1/export?match[]=" + quote('ALERTS{alertstate="firing"}')).splitlines():
            series = json.loads(line)
            found[series["metric"]["alertname"], series["metric"]["point"]] = [stamp // 1000 for stamp in series["timestamps"]]
        return found
