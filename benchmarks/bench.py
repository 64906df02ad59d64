"""Where and how large a benchmark runs."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, slots=True)
class Bench:
    """`folder` lies on the disk that is measured and is emptied afterwards; `tiny` runs only show that a benchmark works."""

    folder: Path
    tiny: bool = False

    def size(self, full: int, tiny: int) -> int:
        return tiny if self.tiny else full

    def place(self, name: str) -> Path:
        """A folder of that name, made if it is not there."""
        place = self.folder / name
        place.mkdir(parents=True, exist_ok=True)
        return place


def machine(folder: Path) -> str:
    """The machine in a line: what the figures depend on."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        cpu = next((line.partition(": ")[2] for line in cpuinfo.read_text().splitlines() if line.startswith("model name")), cpu)
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}, NumPy {np.__version__}"
    return f"{os.cpu_count()} × {cpu}; {system}; write and fsync of 4 kB: {_fsync_ms(folder):.2f} ms"


def _fsync_ms(folder: Path) -> float:
    path = folder / "fsync"
    took = []
    with path.open("wb", buffering=0) as file:
        for _ in range(50):
            begun = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            took.append(time.perf_counter() - begun)
    path.unlink()
    return sorted(took)[25] * 1e3
