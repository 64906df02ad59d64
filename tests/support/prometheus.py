"""A real Prometheus for one test, with the shipped configuration and alerts, only much quicker; and promtool."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import pytest

SHIPPED = Path(__file__).parents[2] / "deploy" / "prometheus"
BINARY, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
needs_prometheus = pytest.mark.skipif(BINARY is None, reason="prometheus is not installed (apt install prometheus)")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (apt install prometheus)")


def promtool(*arguments: str, given: bytes | None = None) -> None:
    """Run promtool; fails with its words when it finds anything."""
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], input=given, capture_output=True, cwd=SHIPPED, timeout=60, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


class Prometheus:
    """Scrapes `target` (host:port) and evaluates the shipped alerts four times a second, without their `for`; inside `with`."""

    def __init__(self, folder: Path, target: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        configuration = (SHIPPED / "prometheus.yml").read_text()
        configuration = re.sub(r"(scrape_interval|evaluation_interval|scrape_timeout): \S+", r"\1: 250ms", configuration)
        (folder / "prometheus.yml").write_text(configuration.replace("127.0.0.1:8480", target))
        (folder / "alerts.yml").write_text(re.sub(r"\n +for: \S+", "", (SHIPPED / "alerts.yml").read_text()))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        assert BINARY is not None
        flags = [f"--web.listen-address=127.0.0.1:{self.port}", f"--storage.tsdb.path={self.folder}/tsdb"]
        command = [BINARY, f"--config.file={self.folder}/prometheus.yml", *flags]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self.until(lambda: self.get("status/runtimeinfo") is not None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def get(self, path: str) -> Any:
        """The data of an answer of its API, None while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}", timeout=5) as answer:
                return json.load(answer)["data"]
        except (urllib.error.URLError, ConnectionError):
            return None

    def firing(self, severity: str = "") -> set[str]:
        """The names of alerts that fire, of one severity or of all."""
        labels = [alert["labels"] for alert in self.get("alerts")["alerts"] if alert["state"] == "firing"]
        return {label["alertname"] for label in labels if severity in ("", label["severity"])}

    def value(self, expression: str) -> float | None:
        """Of an expression with one result; None without any."""
        found = self.get(f"query?query={quote(expression)}")["result"]
        return float(found[0]["value"][1]) if found else None

    def until(self, true: Any, within_s: float = 20.0) -> None:
        deadline = time.monotonic() + within_s
        while not true():
            assert self._process is not None
            assert self._process.poll() is None, f"it ended: {(self.folder / 'log').read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"not within {within_s} s; firing: {self.get('alerts')}"
            time.sleep(0.05)
