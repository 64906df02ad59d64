"""The file of the journal, byte by byte: header, schema, pages, write-ahead log."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from ingest.journal.flaw import Flaw, Flaws, Progress, unwatched
from ingest.journal.inspection import connect
from ingest.journal.journal import FORMAT, SCHEMA
from ingest.journal.page_digests import digest, digests_file, recorded
from ingest.journal.pages import MAGIC, Pages, Walk, sequence_row
from ingest.journal.snapshot import FilePages, LoggedPages, read_log

_COMMITS, _SEQUENCE = repr(b"commits"), repr(b"sqlite_sequence")
_SCHEMA_ROWS = (
    "select rowid, type, name, tbl_name, rootpage, sql, typeof(type) || typeof(name) || typeof(tbl_name) || typeof(sql)"
    " from sqlite_schema order by rowid"
)


@dataclass(slots=True)
class FileReport:
    """What was examined: pages in the database, frames in its log, bytes that mean nothing and of which no digest tells."""

    pages: int = 0
    frames: int = 0
    unchecked_bytes: int = 0
    flaws: Flaws = field(default_factory=Flaws)

    def add(self, other: FileReport) -> None:
        """What was examined of another file."""
        self.pages, self.frames = self.pages + other.pages, self.frames + other.frames
        self.unchecked_bytes += other.unchecked_bytes
        for flaw in other.flaws:
            self.flaws.add(flaw)


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
    except (sqlite3.Error, UnicodeDecodeError) as error:
        report.flaws.add(Flaw(f"SQLite cannot read it: {error}", file=path.name))
        with path.open("rb") as file:
            _header(FilePages(file, path.name), report)
    return report


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
        divided = _examine(alone, roots, report, progress)
        _compare(path, alone, divided, {}, report)
        return
    with log_file:
        log = read_log(log_path, log_file, alone.size, report.flaws)
        if log is None:
            divided = _examine(alone, roots, report, progress)
            _compare(path, alone, divided, {}, report)
            return
        report.frames = log.frames
        newest = LoggedPages(alone, log_file, log)
        divided = _examine(newest, roots, report, progress)
        beneath = {number: alone.size for number in log.images if number <= alone.count}
        images = {number: {digest(newest.image(at)) for at in log.images[number]} for number in beneath}
        _compare(path, alone, {number: room for number, room in divided.items() if number not in log.newest} | beneath, images, report)


def _examine(pages: Pages, roots: dict[str, int], report: FileReport, progress: Progress) -> dict[int, int]:
    """Check what the pages themselves can tell; the rooms that they cannot tell about, in bytes by page."""
    _header(pages, report)
    if isinstance(pages, FilePages) and pages.bytes != pages.count * pages.size:
        what = f"{pages.bytes - pages.count * pages.size} bytes after the last whole page"
        report.flaws.add(Flaw(what, file=pages.name, offset=pages.count * pages.size))
    walk = Walk(pages, report.flaws, progress)
    walk.visit(roots.values())
    _sequence(pages, roots, walk, report.flaws)
    report.pages += walk.visited
    return walk.divided


def _compare(path: Path, alone: FilePages, rooms: dict[int, int], images: dict[int, set[bytes]], report: FileReport) -> None:
    """Pages of the file are as the last checkpoint left them, or as one that was under way did: as in the log (`images`)."""
    for _ in range(3):  # a service may be at its checkpoint
        left = recorded(path)
        wrong = {number for number in rooms if digest(alone.page(number)) not in images.get(number, set()) | {left.get(number)}}
        if not wrong:
            return
    if not left:
        report.unchecked_bytes = sum(rooms[number] for number in wrong)
        return
    for number in sorted(wrong):
        file, offset = alone.place(number)
        what = f"the page is not as the last checkpoint left it: {digests_file(path).name} has another digest"
        report.flaws.add(Flaw(what, file=file, page=number, offset=offset))


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
