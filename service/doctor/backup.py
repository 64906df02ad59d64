"""What `renrum doctor` says of the backups of a data_dir."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from facility.problems import so_many
from facility.times import format_time
from service.continuity.restore import REPORT
from service.continuity.shipping import BROKEN, STOPPED, Standing, lag_words, standings
from service.doctor.installation import Finding

SECOND_NS = 10**9
FOLLOWED_NS = 60 * SECOND_NS
"""A follower that was not heard of for so long has ended, or hangs on its target."""
ONCE_NS = 2 * 86_400 * SECOND_NS
"""A backup of now and then is old after two days."""


def backups(data_dir: Path, environment: str, now: int) -> Iterator[Finding]:
    """One line a target; `now` is int ns UTC."""
    try:
        known = standings(data_dir)
    except OSError as error:
        yield Finding("backup", "problem", f"{error.filename}: {error.strerror}", "Run this as the service's user.")
        return
    if not known:
        production = environment == "production"
        remedy = "Ship it to another machine: renrum backup --follow TARGET." if production else ""
        yield Finding("backup", "warning" if production else "ok", _never(data_dir), remedy)
    for standing in known:
        yield _followed(standing, now) if standing.follows else _once(standing, now)


def _never(data_dir: Path) -> str:
    """No backup was made of this data_dir; one that was restored came out of the last of the data_dir before."""
    try:
        restored = msgspec.json.decode((data_dir / REPORT).read_bytes(), type=Restored)
    except (OSError, msgspec.DecodeError):
        return "this data_dir was never backed up"
    whence = f" from {restored.backup}" if restored.backup else ""
    return (
        f"no backup since this data_dir was restored{whence}: the last one, written {restored.backup_written},"
        f" has {so_many(restored.entries, 'entry')} up to {restored.newest}"
    )


class Restored(msgspec.Struct, frozen=True):
    """Of the report of a restore what tells of the backup."""

    backup_written: str
    entries: int
    newest: str
    backup: str = ""


def _followed(standing: Standing, now: int) -> Finding:
    words = f"{standing.target} {lag_words(standing, now)}"
    if standing.state == BROKEN:
        return Finding(
            "backup", "problem", f"{words}: {standing.detail}", "Do what it says; `renrum verify` names what is wrong with a journal."
        )
    silent_ns = now - standing.looked_at
    if standing.state == STOPPED or silent_ns > FOLLOWED_NS:
        ended = "was stopped" if standing.state == STOPPED else "has ended or hangs"
        words = (
            f"{standing.target}: `renrum backup --follow` {ended} {silent_ns / 1e9:,.0f} s ago; it has {so_many(standing.entries, 'entry')}"
        )
        return Finding("backup", "problem", words, "Start it again; it ships what is missing.")
    if now - standing.shipped_at > FOLLOWED_NS:
        return Finding(
            "backup", "problem", f"{words}: {standing.detail}", "Mount or repair the target; it ships what is missing by itself."
        )
    if standing.detail:
        return Finding("backup", "warning", f"{words}: {standing.detail}", "Wait, and look again.")
    return Finding("backup", "ok", words)


def _once(standing: Standing, now: int) -> Finding:
    shipped = format_time(standing.shipped_at - standing.shipped_at % SECOND_NS)
    words = f"{standing.target} has {so_many(standing.entries, 'entry')} as of {shipped}"
    if now - standing.shipped_at > ONCE_NS:
        remedy = "Run `renrum backup` each night, or --follow; delete its file in data_dir/backups when it is no more."
        return Finding("backup", "warning", words, remedy)
    return Finding("backup", "ok", words)
