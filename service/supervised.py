"""What systemd hears of the service: that it is ready, that it is not stuck, that it stops. Without systemd nothing is said."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress

from service.pipeline import Pipeline

READY, ALIVE, STOPPING = "READY=1", "WATCHDOG=1", "STOPPING=1"
BEAT_S = 20.0
"""A third of the unit's WatchdogSec, or less."""
STUCK_NS = 60 * 10**9


def tell(state: str, environment: Mapping[str, str]) -> None:
    """Send a state to the socket that systemd names in NOTIFY_SOCKET (sd_notify(3)); a lost word is never an error of ours."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as outlet:
        outlet.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)


def is_stuck(pipeline: Pipeline, monotonic_ns: int) -> bool:
    """Whether only a new start helps: ingest has ended, or no step ends though none fails.

    What fails, such as a full disk, is told in the log, pages from memory and goes on by itself; a new start would forget whom to page.
    """
    ingest, steps = pipeline.receiver.vitals, pipeline.stepper.vitals
    late = monotonic_ns - steps.ended_ns > STUCK_NS + 3 * pipeline.configuration.settings.evaluate_every_ns
    return not ingest.alive or (late and not steps.failure and not ingest.failure)
