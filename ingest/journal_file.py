"""The file of the journal, byte by byte: header, schema, pages, write-ahead log."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from ingest.flaw import Flaw, Flaws, Progress, unwatched
from ingest.inspection import connect
from ingest.journal import FORMAT, SCHEMA, digest_file, file_digest
from ingest.pages import HEADER, INTERIOR, LEAF, MAGIC, Pages, Walk, sequence_row
from ingest.snapshot import FilePages, LoggedPages, read_log

_COMMITS, _SEQUENCE = repr(b"commits"), repr(b"sqlite_sequence")
_SCHEMA_ROWS = (
    "select rowid, type, name, tbl_name, rootpage, sql, typeof(type) || typeof(name) || typeof(tbl_name) || typeof(sql)"
    " from sqlite_schema order by rowid"
)


@dataclass(slots=True)
class FileReport:
    """What was examined: pages in the database, frames in its log, bytes of left-overs that mean nothing and cannot be checked."""

    pages: int = 0
    frames: int = 0
    leftover_bytes: int = 0
    flaws: Flaws = field(default_factory=Flaws)


def inspect_file(path: Path, progress: Progress = unwatched) -> FileReport:
    """Examine journal.db and its log, also beside the service that writes them; never raises for what is wrong with them.

    One read transaction holds the pages still meanwhile; a running service's log is kept from starting over and grows until it ends.
    """
    report = FileReport()
    try:
        with closing(connect(path)) as connection, path.open("rb") as file:
            connection.execute("begin")
            schema = _schema(connection, report, path)
            found = [row[0].decode() for row in connection.execute("pragma integrity_check(20)")]
            for line in found if found != ["ok"] else ():
                report.flaws.add(Flaw(f"SQLite's own check: {line}", file=path.name))
            _walk(path, file, _roots(schema), report, progress)
            if report.leftover_bytes:
                _at_rest(path, report)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        report.flaws.add(Flaw(f"SQLite cannot read it: {error}", file=path.name))
        with path.open("rb") as file:
            _header(FilePages(file, path.name), report)
    return report


def _at_rest(path: Path, report: FileReport) -> None:
    """Bytes that mean nothing are as they were when the service stopped, where it stopped in order."""
    try:
        stopped = digest_file(path).read_text()
    except FileNotFoundError:
        return
    if len(stopped) < 64:  # killed while it was written
        return
    if file_digest(path) == stopped:
        report.leftover_bytes = 0
    elif not report.flaws:
        what = "it was changed since the service stopped, in bytes that mean nothing: its digest is another"
        report.flaws.add(Flaw(what, file=path.name))


def _schema(connection: sqlite3.Connection, report: FileReport, path: Path) -> list[tuple[Any, ...]]:
    """The tables, which must be the journal's and no others."""
    schema = connection.execute(_SCHEMA_ROWS).fetchall()
    if schema != _expected_schema():
        report.flaws.add(Flaw("its schema is not the journal's: tables were altered, added or removed", file=path.name))
    return schema


@cache
def _expected_schema() -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.text_factory = bytes
        fresh.execute(SCHEMA)
        return fresh.execute(_SCHEMA_ROWS).fetchall()


def _roots(schema: list[tuple[Any, ...]]) -> dict[str, int]:
    """The first page of each table."""
    return {repr(name): root for _, _, name, _, root, *_ in schema if isinstance(root, int) and root > 0}


def _walk(path: Path, file: BinaryIO, roots: dict[str, int], report: FileReport, progress: Progress) -> None:
    alone = FilePages(file, path.name)
    log_path = path.with_name(f"{path.name}-wal")
    try:
        log_file = log_path.open("rb")
    except FileNotFoundError:
        _examine(alone, roots, report, progress)
        return
    with log_file:
        log = read_log(log_path, log_file, alone.size, report.flaws)
        if log is None:
            _examine(alone, roots, report, progress)
            return
        report.frames = log.frames
        newest = LoggedPages(alone, log_file, log)
        _examine(newest, roots, report, progress)
        _examine_beneath(alone, newest, roots, report)


def _examine(pages: Pages, roots: dict[str, int], report: FileReport, progress: Progress) -> None:
    _header(pages, report)
    if isinstance(pages, FilePages) and pages.bytes != pages.count * pages.size:
        what = f"{pages.bytes - pages.count * pages.size} bytes after the last whole page"
        report.flaws.add(Flaw(what, file=pages.name, offset=pages.count * pages.size))
    walk = Walk(pages, report.flaws, progress)
    walk.visit(roots.values())
    _sequence(pages, roots, walk, report.flaws)
    report.pages += walk.visited
    report.leftover_bytes += walk.leftover_bytes


def _sequence(pages: Pages, roots: dict[str, int], walk: Walk, flaws: Flaws) -> None:
    """sqlite_sequence has one row, which says how many entries there are."""
    table, last = roots.get(_SEQUENCE), walk.last.get(roots.get(_COMMITS, 0))
    if table is None or last is None or last < 2:
        return
    page, row = pages.page(table), sequence_row("commits", last)
    if not page.endswith(row) or int.from_bytes(page[3:5], "big") != 1:
        file, start = pages.place(table)
        what = f"sqlite_sequence does not say that {last} numbers were given out, and nothing else"
        flaws.add(Flaw(what, file=file, page=table, offset=start + pages.size - len(row)))


def _examine_beneath(alone: FilePages, newest: LoggedPages, roots: dict[str, int], report: FileReport) -> None:
    """The file under its log is what the last checkpoint left: whole in itself, and saying nothing else than what came after it.

    Nothing is said where a checkpoint is under way or was interrupted: some pages are then old and others new, and none of them counts
    before the log is copied over them again.
    """
    for _ in range(3):
        changed = alone.changed_ns()
        if alone.count < max(roots.values(), default=0):
            return  # made, and nothing copied to it from the log yet
        beneath = FileReport()
        _examine(alone, roots, beneath, unwatched)
        new, old = set[int](), set[int]()
        for number, images in newest.log.images.items():
            if number <= alone.count:
                page = alone.page(number)
                (new if any(newest.image(at) == page for at in images) else old).add(number)
        _compare(alone, newest, old - {roots.get(_SEQUENCE, 0)}, beneath.flaws)
        if alone.changed_ns() == changed:
            break
    else:
        return
    if not (new and old and max(new) < min(old)):
        for flaw in beneath.flaws:
            report.flaws.add(flaw)


def _compare(alone: FilePages, newest: LoggedPages, old: set[int], flaws: Flaws) -> None:
    """What was added to a leaf since then lies before what was there, which did not move; a page of a long record is written once."""
    for number in sorted(old):
        before, after = alone.page(number), newest.page(number)
        base = HEADER if number == 1 else 0
        if before[base] == INTERIOR:
            continue
        start = int.from_bytes(before[base + 5 : base + 7], "big") if before[base] == LEAF else 0
        if before[start:] != after[start:]:
            at = next(i for i in range(start, len(before)) if before[i] != after[i])
            file, offset = alone.place(number)
            flaws.add(Flaw(f"{before[at]:#04x}, where the log has {after[at]:#04x}", file=file, page=number, offset=offset + at))


def _header(pages: Pages, report: FileReport) -> None:
    """The file's first hundred bytes: most are fixed, and those that are not stand there twice."""
    page = pages.page(1)
    size = 1 if pages.size == 65536 else pages.size
    fixed = (
        (0, MAGIC, "the file's format"),
        (16, struct.pack(">H", size), "the page size"),
        (18, b"\2\2", "that it is written with a log"),
        (20, bytes([0, 64, 32, 32]), "the division of pages"),
        (28, struct.pack(">I", pages.count), f"the number of pages, which is {pages.count}"),
        (32, bytes(8), "free pages, of which there are none"),
        (40, struct.pack(">II", 1, 4), "the number and format of the schema"),
        (48, bytes(8), "what is not used"),
        (56, struct.pack(">I", 1), "that texts are UTF-8"),
        (60, struct.pack(">I", FORMAT), "the journal's format"),
        (64, bytes(4), "what is not used"),
        (68, page[96:100], "the SQLite that wrote it, as at byte 96"),
        (72, bytes(20), "what is not used"),
        (92, page[24:28], "the count of changes, as at byte 24"),
    )
    file, start = pages.place(1)
    for at, expected, what in fixed:
        if page[at : at + len(expected)] != expected:
            wrong = next(i for i in range(len(expected)) if page[at + i] != expected[i])
            said = f"{page[at + wrong]:#04x} in the header, expected {expected[wrong]:#04x}: {what}"
            report.flaws.add(Flaw(said, file=file, page=1, offset=start + at + wrong))
