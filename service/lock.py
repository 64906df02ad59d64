"""One service on a data_dir at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from service.clock import Clock, SystemClock

LOCK_FILE = "lock"
"""In the data_dir. The file stays behind after a service ended; what counts is the kernel's lock on it, which dies with its process."""

RESTORING = "restoring"
"""In a data_dir that `renrum restore` has begun and not finished."""

_ATTEMPTS = 5
_PAUSE_S = 0.05
"""`holder_of` holds the lock for a moment to look; a service that starts in that moment must not be turned away."""


class DataDirInUse(Exception):
    """Another process holds the data_dir; `pid` is it, None when it did not say."""

    def __init__(self, path: Path, pid: int | None) -> None:
        self.path, self.pid = path, pid
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(
            f"{path} is in use by {holder}: one service writes to a data_dir at a time. "
            "Stop that one first, or give this one another `data_dir`."
        )


class RestoreUnfinished(OSError):
    """A data_dir of which only a part was restored."""


class DataDirLock:
    """Holds a data_dir for this process, as a context manager; makes the folder when it is missing.

    Entering raises DataDirInUse when another process (or this one, elsewhere) holds it, RestoreUnfinished when `renrum restore` was
    interrupted there (not with `to_restore`), and OSError when the folder cannot be made or written. The lock is an flock: the kernel
    frees it when the process ends in whatever way, so nothing is to be cleaned up after a crash.
    """

    def __init__(self, path: str | os.PathLike[str], clock: Clock | None = None, *, to_restore: bool = False) -> None:
        self.path = Path(path)
        self._to_restore = to_restore
        self._clock = clock or SystemClock()
        self._descriptor: int | None = None

    def __enter__(self) -> DataDirLock:
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._take(descriptor)
            if not self._to_restore and (self.path / RESTORING).exists():
                raise RestoreUnfinished(f"{self.path} is only partly restored. Run the same `renrum restore` again: it begins anew.")
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _take(self, descriptor: int) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if attempt == _ATTEMPTS - 1:
                    raise DataDirInUse(self.path, _pid_in(descriptor)) from None
                self._clock.sleep(_PAUSE_S)
            else:
                return


def holder_of(path: str | os.PathLike[str]) -> DataDirInUse | None:
    """Who holds the data_dir, None when nobody does; changes nothing. Raises OSError when the lock file cannot be read."""
    try:
        descriptor = os.open(Path(path) / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return DataDirInUse(Path(path), _pid_in(descriptor))
    else:
        return None
    finally:
        os.close(descriptor)


@contextmanager
def turn_in(path: Path) -> Iterator[None]:
    """One nightly verify at a time, which seals and leaves a checkpoint: that of a service that was killed may be at it still. OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _pid_in(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None
