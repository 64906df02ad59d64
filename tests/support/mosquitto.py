"""A real Mosquitto for one test: own port on the loopback, own configuration and queue, killed or stopped as the test likes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

BINARY = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")
needs_mosquitto = pytest.mark.skipif(BINARY is None, reason="mosquitto is not installed (apt install mosquitto)")


class Mosquitto:
    """Runs inside `with`; `more` are further lines of configuration. A restart keeps the port and what was persisted."""

    def __init__(self, folder: Path, more: str = "", anonymous: bool = True) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = _free_port()
        self._more = more
        self._anonymous = anonymous
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        assert BINARY is not None
        configuration = self.folder / "mosquitto.conf"
        configuration.write_text(self.configuration())
        self._process = subprocess.Popen([BINARY, "-c", str(configuration)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            assert self._process.poll() is None, f"mosquitto ended: {(self.folder / 'log').read_text()[-500:]}"
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=0.2).close()
                return
            except OSError:
                assert time.monotonic() < deadline, "mosquitto does not listen"
                time.sleep(0.02)

    def configuration(self) -> str:
        """The text of its mosquitto.conf."""
        lines = [
            f"listener {self.port} 127.0.0.1",
            f"allow_anonymous {str(self._anonymous).lower()}",
            "persistence true",
            f"persistence_location {self.folder}/",
            "max_queued_messages 1000000",
            "max_inflight_messages 1000",
            f"log_dest file {self.folder}/log",
            *(["user root"] if os.geteuid() == 0 else []),
            self._more,
        ]
        return "\n".join(lines) + "\n"

    def stop(self) -> None:
        """SIGTERM: sessions and queues are saved."""
        self._end(kill=False)

    def kill(self) -> None:
        """SIGKILL: what was not saved is lost, as in a power cut."""
        self._end(kill=True)

    def _end(self, kill: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            process.kill()
        else:
            process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
