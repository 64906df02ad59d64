"""A start noted, and the console's socket."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

STARTED = "started_s"


def listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        words = f"the console cannot listen on {host} port {port}: {error.strerror or error}. Give another `http.port`"
        raise OSError(words) from error


def note_start(folder: Path, took_ns: int) -> None:
    """Keep how long a start took, for `doctor`; a disk that refuses is left alone."""
    with suppress(OSError):
        (folder / STARTED).write_text(f"{took_ns / 1e9:.3f}\n", "utf-8")


def last_start_s(folder: Path) -> float | None:
    """How long the last start took, in s; None where nothing is known of it."""
    try:
        return float((folder / STARTED).read_text("utf-8"))
    except (OSError, ValueError):
        return None
