"""What verifies of a data_dir found: the service's own of each night, and those that people run."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from dashboards.verdict import Verdict
from facility.times import format_time
from service.continuity.manifest import put

FILE, BY_HAND = "verified.json", "verified-by-hand.json"
SECOND_NS = 10**9
READABLE = 0o644
"""The service shows what a person with other rights left; the data_dir itself is closed to others."""


class Verified(msgspec.Struct, frozen=True):
    """What a verify found: when (int ns UTC), whether all was well, its exit code and its words; `by` whom, empty for the service."""

    began_ns: int
    ended_ns: int
    ok: bool
    exit_code: int
    words: str
    by: str = ""


def keep(data_dir: Path, found: Verified) -> None:
    """In place of the one before, of the service or by hand; OSError."""
    path = data_dir / (BY_HAND if found.by else FILE)
    put(path, msgspec.json.encode(found), READABLE)
    with suppress(OSError):  # who may do that is root, whose files the service does not have in its folder
        owner = data_dir.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def verified_last(data_dir: Path) -> Verified | None:
    """What the service's own last one found; None before the first, and where it cannot be read."""
    return _read(data_dir / FILE)


def verified_newest(data_dir: Path) -> Verified | None:
    """The newest of all; None before the first."""
    found = [one for one in (_read(data_dir / FILE), _read(data_dir / BY_HAND)) if one is not None]
    return max(found, key=lambda one: one.ended_ns, default=None)


def _read(path: Path) -> Verified | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Verified)
    except (OSError, msgspec.DecodeError):
        return None


def verdict_of(data_dir: Path) -> Verdict | None:
    """The newest, as the console shows it."""
    found = verified_newest(data_dir)
    return None if found is None else Verdict(found.ended_ns, found.ok, found.words, found.by)


def words_of(verified: Verified) -> str:
    """For a line of `doctor`."""
    by = f", by {verified.by}" if verified.by else ""
    return f"{format_time(verified.ended_ns)}{by}, after {(verified.ended_ns - verified.began_ns) / SECOND_NS:,.0f} s: {verified.words}"


def words_from(exit_code: int, output: bytes, errors: bytes) -> str:
    """What a person wants to know of a verify, in one line, from what its process wrote."""
    try:
        return words_in(json.loads(output))
    except (ValueError, KeyError, TypeError):
        last = errors.decode(errors="replace").strip().splitlines()[-1:]
        return f"it ended with {exit_code}: {''.join(last) or 'without a word'}"


def words_in(document: dict[str, object]) -> str:
    """The same from its document; KeyError, TypeError where it is none."""
    parts = {name: part for name, part in document.items() if isinstance(part, dict)}
    return "; ".join(f"{name} {'ok' if part['ok'] else 'WRONG'}: {_first(part)}" for name, part in parts.items())


def _first(part: dict[str, object]) -> object:
    flaws = part.get("flaws")
    return flaws[0]["what"] if isinstance(flaws, list) and flaws else part["checked"]
