"""A small disk of its own for a test, which can be filled up and made read-only; only root can have one."""

from __future__ import annotations

import os
import shutil
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


class FailingDisk:
    """An ext4 in a file, which the kernel makes read-only under whoever writes there, as it does after an error of the medium."""

    def __init__(self, image: Path, path: Path) -> None:
        self._image, self.path = image, path
        self._device = _attached(image, path)

    def fail(self) -> None:
        Path(f"/sys/fs/ext4/{self._device}/trigger_fs_error").write_text("1")

    def mend(self) -> None:
        """What an administrator does: copy the disk to a sound one, check that, and mount it in the same place."""
        self.detach()
        # Another device: the old one stays as it is while somebody has files open there.
        self._image = Path(shutil.copy(self._image, self._image.with_suffix(".copy")))
        checked = subprocess.run(["e2fsck", "-fy", self._image], capture_output=True, text=True, check=False)
        assert checked.returncode <= 1, checked.stdout + checked.stderr
        self._device = _attached(self._image, self.path)

    def detach(self) -> None:
        subprocess.run(["umount", "-l", self.path], check=True)


@contextmanager
def failing_disk(path: Path, megabytes: int) -> Iterator[FailingDisk]:
    """Such a disk mounted at `path` while the context lasts; the test is skipped where that cannot be had."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a disk of its own needs Linux and root")
    if not (shutil.which("mkfs.ext4") and Path("/sys/fs/ext4").exists()):
        pytest.skip("a disk that fails needs ext4 and its tools (e2fsprogs)")
    path.mkdir(parents=True)
    image = path.with_name(f"{path.name}.img")
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    disk = FailingDisk(image, path)
    try:
        yield disk
    finally:
        disk.detach()


def _attached(image: Path, path: Path) -> str:
    """Mount an image; the name of its device."""
    mounted = subprocess.run(["mount", "-o", "loop,errors=remount-ro", image, path], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
    found = subprocess.run(["findmnt", "-no", "SOURCE", path], capture_output=True, text=True, check=True)
    return Path(found.stdout.strip()).name
