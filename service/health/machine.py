"""What the machine gives the service: room on the disk of the data_dir, and its clock."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from dashboards.counts import MachineCounts
from ingest.journal.files import files_of

JOURNAL = "journal.db"
DATABASES = (JOURNAL, "series.db", "state.db")


def machine_of(data_dir: Path, now_ns: int, clock_steps: int) -> MachineCounts:
    """The counts; `now_ns` is the wall clock's, UTC. What a disk does not tell is None, or missing."""
    free = size = None
    with suppress(OSError):
        disk = os.statvfs(data_dir)
        free, size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    sizes = {name: _bytes(data_dir / name) for name in DATABASES}
    logs = {name: _bytes(data_dir / f"{name}-wal") or 0 for name in DATABASES}
    with suppress(OSError):  # the journal goes on in a file each day
        journal = files_of(data_dir / JOURNAL)
        sizes[JOURNAL] = sum(_bytes(path) or 0 for _, path in journal) if journal else None
        logs[JOURNAL] = sum(_bytes(path.with_name(f"{path.name}-wal")) or 0 for _, path in journal)
    return MachineCounts(
        disk_free=free,
        disk_size=size,
        ballast=None if free is None else _bytes(data_dir / "ballast") or 0,
        files={name: number + logs[name] for name, number in sizes.items() if number is not None},
        clock_s=now_ns / 1e9,
        clock_steps=clock_steps,
    )


def _bytes(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
