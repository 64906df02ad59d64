"""A small disk of its own for a test, which can be filled up and made read-only; only root can have one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


class Disk:
    """A mounted tmpfs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"
        self._stop: threading.Event | None = None
        self._thread: threading.Thread | None = None

    def fill(self) -> None:
        """Take all room there is, and all that is freed later, until `free`."""
        self._stop = stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_full, args=(stop,), daemon=True)
        self._take()
        self._thread.start()

    def free(self) -> None:
        assert self._stop is not None
        assert self._thread is not None
        self._stop.set()
        self._thread.join(5)
        self._filler.unlink()

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", self.path], check=True)

    def _keep_full(self, stop: threading.Event) -> None:
        while not stop.wait(0.05):
            self._take()

    def _take(self) -> None:
        with suppress(OSError), self._filler.open("ab", buffering=0) as filler:
            for size in (1 << 20, 1 << 12):
                with suppress(OSError):
                    while True:
                        filler.write(bytes(size))


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[Disk]:
    """A disk mounted at `path` while the context lasts; the test is skipped where that cannot be had."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a disk of its own needs Linux and root")
    path.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", path], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "-l", path], check=True)
