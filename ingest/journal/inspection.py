"""journal.db examined: the chain of its entries, then its file byte by byte."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facility.problems import so_many
from ingest.journal.entries import INGEST, decode, ingest_body
from ingest.journal.entry import GENESIS, Entry, Head, JournalUnavailable, chained, read_only
from ingest.journal.files import files_of
from ingest.journal.flaw import Flaw, Flaws, Progress, unwatched
from ingest.journal.reader import holds_nothing

SLICE = 512
_WIDTHS = {"point": 4, "time": 8, "value": 8, "quality": 1}
_COLUMNS = "seq, kind, at, heard, readings, body, hash, typeof(kind) || typeof(body) || typeof(hash)"
_TYPES = (int, bytes, int, int, int, bytes, bytes, bytes)


@dataclass(frozen=True, slots=True)
class Witness:
    """What another file remembers of the journal: that entry `seq` has this hash."""

    seq: int
    hash: bytes
    file: str


@dataclass(slots=True)
class Chain:
    """What the entries were found to be; those before entry `first` are sealed, and looked at elsewhere. `last` is the newest."""

    first: int = 1
    last: int = 0
    entries: int = 0
    readings: int = 0
    steps: int = 0
    head: bytes = GENESIS
    flaws: Flaws = field(default_factory=Flaws)


def connect(path: Path) -> sqlite3.Connection:
    """A connection that only reads; texts come as they are stored, so that no broken one hides its row."""
    connection = read_only(path)
    connection.text_factory = bytes
    return connection


def inspect_chain(path: Path, witness: Witness | None = None, progress: Progress = unwatched, before: Head | None = None) -> Chain:
    """Follow the hash chain over all entries of all files; never raises for what is wrong with them.

    `before` is the newest entry before the first file, of the sealed days unless given.
    """
    chain = Chain()
    links = _Links(chain, witness)
    files = [(first, file) for first, file in files_of(path) if first == 1 or not holds_nothing(file, first)] or [(1, path)]
    if files[0][0] > 1:
        chain.first = files[0][0]
        links.begin(before or _sealed_before(path, chain))
    for position, (_, file) in enumerate(files):
        try:
            with closing(connect(file)) as connection:
                last, issued = connection.execute(
                    "select (select max(seq) from commits), (select seq from sqlite_sequence where name = 'commits')"
                ).fetchone()
                for row in _rows(connection, int(last or 0), chain.flaws, links.seq):
                    links.follow(row)
                    if chain.entries % SLICE == 0:
                        progress(chain.entries, int(last or 0))
                links.end(last or 0, issued, newest=position == len(files) - 1)
                chain.last = int(last or 0)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            chain.flaws.add(Flaw(f"SQLite cannot read it: {error}", file=file.name))
    return chain


def _sealed_before(path: Path, chain: Chain) -> Head | None:
    """The newest entry before the first file, as the sealed days have it: their own check looks whether they are right."""
    from ingest.journal.sealed import SealedDays  # its library takes a while to load

    with suppress(JournalUnavailable):
        for entry in SealedDays.beside(path).entries(chain.first - 2, chain.first - 1):
            return Head(entry.seq, entry.at, entry.heard, entry.hash)
    chain.flaws.add(Flaw(f"entries up to {chain.first - 1} are in no file, and in no sealed day", entry=chain.first - 1))
    return None


def _rows(connection: sqlite3.Connection, last: int, flaws: Flaws, after: int = 0) -> Iterator[tuple[Any, ...]]:
    """All rows up to entry `last`, in slices that are read transactions of their own; what cannot be read is named and passed over."""
    while after < last:
        before = after
        try:
            with closing(connection.execute(f"select {_COLUMNS} from commits where seq > ? order by seq limit {SLICE}", (after,))) as rows:
                for row in rows:
                    after = max(after + 1, row[0]) if isinstance(row[0], int) and row[0] <= last else after + 1
                    yield row
            if after == before:
                return
        except (sqlite3.Error, UnicodeDecodeError) as error:
            first = after + 1
            after = _unreadable_up_to(connection, first, last)
            which = f"entry {first}" if after == first else f"entries {first} to {after}"
            flaws.add(Flaw(f"{which} cannot be read: {error}", entry=first))


def _unreadable_up_to(connection: sqlite3.Connection, seq: int, last: int) -> int:
    """The last of the entries from `seq` on that cannot be read."""
    while seq < last:
        try:
            connection.execute(f"select {_COLUMNS} from commits where seq = ?", (seq + 1,)).fetchall()
        except (sqlite3.Error, UnicodeDecodeError):
            seq += 1
        else:
            break
    return seq


class _Links:
    """Checks one entry after the other. A flawed one is named once: the next may follow from its hash as stored or as computed."""

    def __init__(self, chain: Chain, witness: Witness | None) -> None:
        self.chain, self.witness = chain, witness
        self.before: tuple[bytes, ...] | None = (GENESIS,)
        self.seq = self.at = self.heard = 0
        self.witnessed = False

    def begin(self, head: Head | None) -> None:
        """Begin after an entry of which another file tells; None where nobody does."""
        self.before = None if head is None else (head.hash,)
        self.seq, self.at, self.heard = (self.chain.first - 1, 0, 0) if head is None else (head.seq, head.at, head.heard)

    def follow(self, row: tuple[Any, ...]) -> None:
        chain = self.chain
        seq, kind, at, heard, readings, body, stored, types = row
        chain.entries += 1
        sound = types == b"textblobblob" and all(type(value) is wanted for value, wanted in zip(row, _TYPES, strict=True))
        name = kind.decode(errors="replace") if isinstance(kind, bytes) else repr(kind)
        if not sound or len(stored) != len(GENESIS) or len(kind) >= 1 << 16 or name.encode() != kind:
            self._flaw(seq, name, at, "it was altered: a column is not of its type")
            self.before, self.seq = None, max(seq, self.seq)
            return
        entry = Entry(seq, name, at, heard, readings, body, stored)
        expected = self.seq + 1
        if seq != expected and self._fits(entry, expected):
            self._flaw(expected, name, at, f"its number was altered to {seq}")
            seq = expected
        elif seq > expected:
            missing = f"entry {expected} is" if seq == expected + 1 else f"entries {expected} to {seq - 1} are"
            self._flaw(expected, "", None, f"{missing} missing")
            self.before = None
        elif seq < expected:
            self._flaw(seq, name, at, f"it stands after entry {self.seq}")
        self._link(entry, seq)
        self.seq = seq

    def end(self, last: int, issued: object, *, newest: bool = True) -> None:
        """The end of a file: nothing may be missing behind it."""
        if (issued or 0) != last:
            if isinstance(issued, int) and issued > last:
                missing = f"entry {issued} is" if issued == last + 1 else f"entries {last + 1} to {issued} are"
                self._flaw(last + 1, "", None, f"{missing} missing at the end: numbers were given out up to {issued}")
            else:
                self._flaw(last, "", None, f"sqlite_sequence says that numbers were given out up to {issued}, not {last}: it was altered")
        witness = self.witness
        if newest and witness is not None and witness.seq > last and not (isinstance(issued, int) and issued >= witness.seq):
            self._flaw(last + 1, "", None, f"entries up to {witness.seq} are missing at the end: {witness.file} has seen them")

    def _fits(self, entry: Entry, seq: int) -> bool:
        columns = (entry.kind, entry.at, entry.heard, entry.readings, entry.body)
        return any(chained(before, seq, *columns) == entry.hash for before in self.before or ())

    def _link(self, entry: Entry, seq: int) -> None:
        columns = (entry.kind, entry.at, entry.heard, entry.readings, entry.body)
        computed = [chained(before, seq, *columns) for before in self.before or ()]
        intact = self.before is None or entry.hash in computed
        if not intact:
            what = "it does not match its hash: it was altered"
            if self.seq and len(self.before or ()) == 1:
                what += f", or entry {self.seq} was replaced together with its hash"
            self._flaw(seq, entry.kind, entry.at, what)
        elif self.witness is not None and seq == self.witness.seq and entry.hash != self.witness.hash:
            self._flaw(seq, entry.kind, entry.at, f"{self.witness.file} remembers another hash: it, or what stands before it, was replaced")
        else:
            self._meaning(entry)
        self.before = (entry.hash,) if intact else (entry.hash, *computed)
        self.chain.head = entry.hash

    def _meaning(self, entry: Entry) -> None:
        """What an intact entry must say besides."""
        chain = self.chain
        for name, value, least in (("at", entry.at, self.at), ("heard", entry.heard, self.heard)):
            if value < least and self.seq:
                self._flaw(entry.seq, entry.kind, entry.at, f"`{name}` {value} is below {least}, that of an entry before it")
        self.at, self.heard = entry.at, entry.heard
        chain.readings += entry.readings
        chain.steps += entry.kind == "step"
        if wrong := unreadable(entry):
            self._flaw(entry.seq, entry.kind, entry.at, wrong)

    def _flaw(self, seq: int, kind: str, at: object, what: str) -> None:
        self.chain.flaws.add(Flaw(what, entry=seq, kind=kind, at=at if isinstance(at, int) else None))


def unreadable(entry: Entry) -> str:
    """Why this version cannot read an entry's body; empty when it can."""
    try:
        if entry.kind != INGEST:
            decode(entry)
            return "" if entry.readings == 0 else f"it claims {so_many(entry.readings, 'reading')}, which a {entry.kind} has not"
        body = ingest_body(entry)
    except JournalUnavailable as error:
        if isinstance(error.__cause__, KeyError):
            return f"this version knows no entries of the kind {entry.kind!r}. Use the version of Renrum that wrote it"
        return f"its body cannot be read ({error.__cause__}). Use the version of Renrum that wrote it"
    for name, width in (_WIDTHS | ({"sequence": 8} if body.sequence else {})).items():
        if (size := len(getattr(body, name))) != width * entry.readings:
            return f"{so_many(entry.readings, 'reading')}, but {so_many(size, 'byte')} in the column `{name}`"
    return ""
