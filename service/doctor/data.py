"""What `renrum doctor` looks at in a data_dir: room, journal, clock, sums, pages. It changes nothing there."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from alerts.record.kept import sums_from
from alerts.record.store import StateUnavailable
from facility.problems import so_many
from facility.times import format_time
from ingest.journal.files import bytes_of, files_of, there_is
from service.applied import is_signed
from service.configuration.configuration import Configuration
from service.doctor.installation import Finding, Verdict
from service.opening import last_start_s
from service.stored.archive import JOURNAL, SERIES, STATE, Archive, ArchiveUnavailable, JournalUnavailable
from service.verified import verified_newest, words_of

FREE_BYTES_MIN = 500_000_000
"""Below that a busy site is full within hours, and nothing is acknowledged on a full disk."""
DAYS_LEFT_SOON, DAYS_LEFT_NOW = 30, 7
AHEAD_NS_MAX = 10**9
_DAY_NS = 86_400 * 10**9
_YOUNG_NS = 600 * 10**9
_WRITES = ((JOURNAL, "journal"), (SERIES, "series"), (STATE, "state"))


def data_dir(folder: Path) -> Finding:
    """Whether the service can write there."""
    if not folder.exists():
        above = next(parent for parent in folder.parents if parent.exists())
        if not os.access(above, os.W_OK | os.X_OK):
            return Finding(
                "data_dir", "problem", f"{folder} is not there and cannot be made in {above}", "Make it, owned by the service's user."
            )
        return Finding("data_dir", "warning", f"{folder} is not there yet", "The service makes it at its first start.")
    if not folder.is_dir():
        return Finding("data_dir", "problem", f"{folder} is not a folder", "Name another `data_dir`.")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        remedy = "Run this as the service's user; give that user the folder, on a file system that is mounted for writing."
        return Finding("data_dir", "problem", f"{folder} cannot be written by this user", remedy)
    owner = folder.stat().st_uid
    foreign = [file.name for file in folder.iterdir() if file.stat().st_uid != owner]
    if foreign:
        words = f"{', '.join(foreign)} in {folder} belong to another user than the folder"
        return Finding("data_dir", "problem", words, f"chown --reference={folder} the files; run every command as the service's user.")
    return Finding("data_dir", "ok", f"{folder} can be written")


def holdings(folder: Path, configuration: Configuration | None, now: int) -> Iterator[Finding]:
    """Disk, journal, clock, sums and pages; `now` is int ns UTC."""
    if not there_is(folder / JOURNAL):
        if folder.is_dir():
            yield _disk(folder, None)
        return
    try:
        with Archive(folder) as archive:
            yield _disk(folder, archive)
            yield _journal(folder, archive)
            yield _clock(archive, now)
            if configuration is not None:
                yield _in_force(archive, configuration)
            yield _conservation(archive)
            yield _pages(archive, configuration)
            yield _nightly(folder)
            yield from _sealed(folder)
            yield from _restart(folder)
    except (ArchiveUnavailable, JournalUnavailable, StateUnavailable, sqlite3.Error) as error:
        yield Finding("journal", "problem", str(error), "Run this as the service's user; `renrum verify` names what is damaged.")


def bytes_a_day(folder: Path, archive: Archive) -> float | None:
    """How fast the disk fills; None for a journal under ten minutes old.

    The newest day's share, by entries, of the databases' size; once days leave them, what a sealed day takes.
    """
    sealed = _sealed_a_day(folder)
    if sealed and files_of(folder / JOURNAL)[0][0] > 1:
        return sealed
    extent = archive.extent()
    if extent is None or extent[1] - extent[0] < _YOUNG_NS:
        return None
    span_ns = min(_DAY_NS, extent[1] - extent[0])
    entries = archive.head.seq - archive.before(extent[1] - span_ns)
    return _size(folder) * entries / archive.head.seq * _DAY_NS / span_ns


def _sealed_a_day(folder: Path) -> float:
    """What the newest sealed days take, a week of them at most; 0 where there are none."""
    from ingest.journal.sealed import FOLDER, sealed_days  # its library takes a while to load

    days = sealed_days(folder / FOLDER)[-7:] if (folder / FOLDER).is_dir() else []
    return sum(kept.bytes for day in days for kept in day.manifest.files.values()) / max(len(days), 1)


def _nightly(folder: Path) -> Finding:
    """What the newest verify found, the service's own or one by hand."""
    last = verified_newest(folder)
    if last is None:
        return Finding("verify", "ok", "not yet done by the service: it does so each night, unless `nightly: {begin: never}`")
    remedy = "" if last.ok else "`renrum verify` names what is wrong, with what to do."
    return Finding("verify", "ok" if last.ok else "problem", words_of(last), remedy)


def _sealed(folder: Path) -> Iterator[Finding]:
    from ingest.journal.sealed import FOLDER, sealed_days

    days = sealed_days(folder / FOLDER) if (folder / FOLDER).is_dir() else []
    if days:
        size = sum(kept.bytes for day in days for kept in day.manifest.files.values())
        words = (
            f"{so_many(len(days), 'day')}, the newest {days[-1].manifest.day}, {size_text(size)}, {size_text(_sealed_a_day(folder))} a day"
        )
        yield Finding("sealed", "ok", words)


def _restart(folder: Path) -> Iterator[Finding]:
    took_s = last_start_s(folder)
    if took_s is not None:
        yield Finding("restart", "ok", f"the last start took {took_s:,.1f} s")


def _disk(folder: Path, archive: Archive | None) -> Finding:
    free = shutil.disk_usage(folder).free
    growth = None if archive is None else bytes_a_day(folder, archive)
    words = f"{size_text(free)} free"
    if growth is None:
        words += "; the journal is too young to tell how fast it grows"
    days = free / growth if growth else float("inf")
    if growth:
        words += f"; about {size_text(growth)} a day, {days:,.0f} days left"
    verdict: Verdict = "ok"
    if days < DAYS_LEFT_NOW or free < FREE_BYTES_MIN:
        verdict = "problem"
    elif days < DAYS_LEFT_SOON:
        verdict = "warning"
    remedy = "" if verdict == "ok" else "Make room or enlarge the disk: when it is full, nothing is acknowledged any more."
    return Finding("disk", verdict, words, remedy)


def _journal(folder: Path, archive: Archive) -> Finding:
    head, issued = archive.head, archive.journal.issued()
    sizes = ", ".join(f"{noun} {size_text(_size(folder, name))}" for name, noun in _WRITES if _size(folder, name))
    if issued > head.seq and archive.journal.entry(issued) is None:  # what a running service appended meanwhile is there
        words = f"entries {head.seq + 1} to {issued} are gone from the end of {folder / JOURNAL}"
        return Finding("journal", "problem", words, "Keep the file as it is, and let `renrum verify` name all that is missing.")
    if not head.seq:
        return Finding("journal", "ok", f"empty ({sizes})")
    return Finding(
        "journal", "ok", f"{so_many(head.seq, 'entry')}, the newest of {format_time(head.at)}, head {head.hash.hex()[:16]} ({sizes})"
    )


def _clock(archive: Archive, now: int) -> Finding:
    ahead = archive.head.at - now
    if ahead > AHEAD_NS_MAX:
        words = f"it is {format_time(now)} here, but the newest entry is of {format_time(archive.head.at)}, {ahead / 1e9:,.0f} s later"
        remedy = "Set the clock (NTP). Until it has caught up, readings are stamped with that later time."
        return Finding("clock", "problem", words, remedy)
    return Finding("clock", "ok", f"{format_time(now - now % 10**9)}, not before the newest entry")


def _in_force(archive: Archive, configuration: Configuration) -> Finding:
    if not archive.configurations:
        return Finding("in force", "warning", "the journal holds no configuration yet", "The service puts one in force when it starts.")
    entry, body = archive.configurations[-1]
    since = f"{body.hash[:16]} since {format_time(entry.at)}"
    if body.hash != configuration.judging_hash:
        words = f"{since}; the files are {configuration.judging_hash[:16]}, which judges otherwise"
        restart = "" if is_signed(body.entry) else ", and so does a restart"
        return Finding("in force", "warning", words, f"`renrum apply` puts the files in force{restart}.")
    if is_signed(body.entry) and body.entry != configuration.as_entry():
        words = f"{since}; the files say other than that, though they judge the same"
        return Finding("in force", "warning", words, "`renrum apply` puts the files in force.")
    return Finding("in force", "ok", f"{since}, as in the files")


def _without_state() -> tuple[str, str]:
    return "not known: there is no state.db", "The service computes it from the journal when it next starts; until then nobody is paged."


def _conservation(archive: Archive) -> Finding:
    if not (archive.data_dir / STATE).is_file():
        return Finding("sums", "warning", *_without_state())
    if (text := archive.state.get("sums")) is None:
        return Finding("sums", "ok", "no step was taken yet")
    sums = sums_from(text)
    quarantined = sums.in_quarantine.total()
    words = f"received {sums.received:,} = stored {sums.stored:,} + duplicate {sums.duplicates:,} + quarantined {quarantined:,}"
    if sums.lost:
        remedy = "This is a fault of Renrum: keep the data_dir, run `renrum verify`, and report it."
        return Finding("sums", "problem", f"{words} does not close: {sums.lost:,} are missing", remedy)
    share = quarantined / sums.received if sums.received else 0
    if share > 0.01:
        remedy = "`renrum quarantine --summary` shows the reasons."
        return Finding("sums", "warning", f"{words}; {share:.0%} of all lies in quarantine", remedy)
    return Finding("sums", "ok", words)


def _pages(archive: Archive, configuration: Configuration | None) -> Finding:
    if not (archive.data_dir / STATE).is_file():
        return Finding("pages", "warning", *_without_state())
    if configuration is not None and (stranded := archive.state.waiting_for_others(configuration.oncall.channels)):
        words = f"{so_many(sum(stranded.values()), 'page')} for {', '.join(stranded)}, which is no channel any more: nobody delivers them"
        return Finding("pages", "problem", words, "Give that channel back until they are delivered, or tell people by other means.")
    waiting, oldest, refused = archive.state.rows(
        "select count(*), min(queued_at), coalesce(sum(attempts > 0), 0) from outbox where sent_at is null"
    )[0]
    if refused:
        details = [row[0] for row in archive.state.rows("select distinct target from outbox where sent_at is null and attempts > 0")]
        words = (
            f"{so_many(refused, 'page')} could not be delivered yet, to {', '.join(details)}; the oldest waits since {format_time(oldest)}"
        )
        return Finding("pages", "problem", words, "Correct those channels; delivery is tried until it succeeds.")
    return Finding("pages", "ok", f"{waiting} wait for delivery" if waiting else "all delivered")


def _size(folder: Path, *names: str) -> int:
    """Bytes of databases, by default all, with the newest commits beside them."""
    total = 0
    for name in names or (name for name, _ in _WRITES):
        total += bytes_of(folder / name) if name == JOURNAL else sum(file.stat().st_size for file in folder.glob(f"{name}*"))
    return total


def size_text(size: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"
