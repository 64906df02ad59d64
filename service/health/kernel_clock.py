"""What Linux knows of its own clock: whether something keeps it to a source of time, and how far it is off."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

_NANO, _UNSYNCHRONISED = 0x2000, 0x0040


class _Timex(ctypes.Structure):
    """struct timex of linux/timex.h, as far as it is asked for; the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_byte * 256),
    )


@dataclass(frozen=True, slots=True)
class KernelClock:
    """Whether a time service says that it keeps the clock, and what is still to be made up for, in seconds."""

    synchronised: bool
    offset_s: float


def kernel_clock() -> KernelClock | None:
    """As the kernel says it; None where it does not (another system than Linux, or it is not let)."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    asked = _Timex()
    if adjtimex(ctypes.byref(asked)) < 0:
        return None
    scale = 1e-9 if asked.status & _NANO else 1e-6
    return KernelClock(not asked.status & _UNSYNCHRONISED, asked.offset * scale)
