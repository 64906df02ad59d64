"""A real Alertmanager for one test, on a free port of the loopback."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

BINARY = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
needs_alertmanager = pytest.mark.skipif(BINARY is None, reason="alertmanager is not installed (apt install prometheus-alertmanager)")


class RealAlertmanager:
    """Runs inside `with`; it tells nobody. It forgets what it was shown when it is killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "alertmanager.yml").write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        assert BINARY is not None
        flags = [f"--web.listen-address=127.0.0.1:{self.port}", f"--storage.path={self.folder}/data", "--cluster.listen-address="]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([BINARY, f"--config.file={self.folder}/alertmanager.yml", *flags], stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while self._get("status") is None:
            assert self._process.poll() is None, f"it ended: {(self.folder / 'log').read_text()[-2000:]}"
            assert time.monotonic() < deadline, "alertmanager does not answer"
            time.sleep(0.05)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def alerts(self) -> list[dict[str, Any]]:
        """Those that fire."""
        found = self._get("alerts")
        assert isinstance(found, list)
        return found

    def _get(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(f"{self.url}/api/v2/{path}", timeout=5) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError):
            return None
