"""What a verify found, as the console shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verify found: when it ended (int ns UTC), whether all was well, in words; `by` whom, empty for the nightly one."""

    at: int
    ok: bool
    words: str
    by: str = ""
