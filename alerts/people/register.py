"""`people.db`: users, tokens and sessions, kept apart from the journal, which goes to verifiers and backups and holds no secret.

Whatever changes here writes what happened into `events` in the same transaction; the service moves events from there into the journal
(service/attendance.py). So nothing happens without a trace, whoever does it, whether the service runs or not.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

FILE = "people.db"
FORMAT = 1
_SCHEMA = """
create table meta (key text primary key, value) without rowid;
create table users (
    id text primary key, name text not null, role text not null, password text not null, one_time_until integer, disabled integer not null,
    created integer not null, signed_in integer
) without rowid;
create table sessions (
    hash blob primary key, user text not null references users, begun integer not null, seen integer not null, source text not null
) without rowid;
create table tokens (
    name text primary key, hash blob not null unique, role text not null, made integer not null, expires integer not null, revoked integer
) without rowid;
create table places (user text not null, source text not null, at integer not null, primary key (user, source)) without rowid;
create table events (
    number integer primary key autoincrement, at integer not null, event text not null, target text not null, by text not null,
    old text not null, new text not null, source text not null, reason text not null
);
"""
_LANGUAGES = "create table if not exists languages (user text primary key references users, language text not null) without rowid"
"""Came later: versions that do not know it are not disturbed by it."""


class PeopleUnavailable(Exception):
    """people.db could not be read or written; nothing of the call was done."""


@dataclass(frozen=True, slots=True)
class User:
    """A person; `one_time_until` while the password is a one-time one, int ns UTC; `signed_in` the last time, None for never."""

    id: str
    name: str
    role: str
    password: str
    one_time_until: int | None
    disabled: bool
    created: int
    signed_in: int | None

    @property
    def label(self) -> str:
        """As the records name the person."""
        return f"{self.name} ({self.id})"


@dataclass(frozen=True, slots=True)
class Token:
    """What a program shows instead of a password; times int ns UTC."""

    name: str
    role: str
    made: int
    expires: int
    revoked: int | None


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to accounts, without secrets; `number` is given by the register."""

    at: int
    event: str
    target: str
    by: str
    old: str = ""
    new: str = ""
    source: str = ""
    reason: str = ""
    number: int = 0


class Register:
    """An open people.db, readable by its owner only; any thread may call. Raises PeopleUnavailable."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        try:
            # made with its rights before anything is in it: SQLite gives its journal files the same
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            path.chmod(0o600)
            if os.geteuid() == 0:  # made by root for a service that is not: it belongs to the owner of the folder
                owner = path.parent.stat()
                os.chown(path, owner.st_uid, owner.st_gid)
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = full")
            self._connection.execute("pragma secure_delete = on")
            self._connection.execute("pragma foreign_keys = on")
            with self.change():
                if not self._connection.execute("select 1 from sqlite_schema where name = 'meta'").fetchone():
                    for statement in _SCHEMA.split(";\n"):
                        self._connection.execute(statement)
                    self._connection.execute("insert into meta values ('format', ?), ('id', ?)", (FORMAT, secrets.token_hex(8)))
                self._connection.execute(_LANGUAGES)
        except (OSError, sqlite3.Error) as error:
            raise PeopleUnavailable(f"cannot open {path}: {error}") from error
        found = self._one("select value from meta where key = 'format'")
        if found != FORMAT:
            self.close()
            raise PeopleUnavailable(f"{path} has format {found}, this version reads format {FORMAT}. Use the version that wrote it")
        self.id = str(self._one("select value from meta where key = 'id'"))

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def change(self) -> Iterator[None]:
        """All or nothing; within another change it is a part of that."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            try:
                self._connection.execute("begin immediate")
                yield
                self._connection.execute("commit")
            except sqlite3.Error as error:
                with suppress(sqlite3.Error):
                    self._connection.execute("rollback")
                raise PeopleUnavailable(f"cannot write {self.path}: {error}") from error
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("rollback")
                raise

    def write(self, statement: str, *values: object) -> int:
        """Within `change`: how many rows it changed."""
        with self._lock:
            return self._connection.execute(statement, values).rowcount

    def rows(self, query: str, *values: object) -> list[Any]:
        with self._lock:
            try:
                return self._connection.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise PeopleUnavailable(f"cannot read {self.path}: {error}") from error

    def users(self) -> list[User]:
        """All, by id."""
        return [_user(row) for row in self.rows("select * from users order by id")]

    def user(self, id: str) -> User | None:
        rows = self.rows("select * from users where id = ?", id)
        return _user(rows[0]) if rows else None

    def tokens(self) -> list[Token]:
        """All, by name, the revoked and expired ones too."""
        return [Token(*row) for row in self.rows("select name, role, made, expires, revoked from tokens order by name")]

    def token(self, hash: bytes) -> Token | None:
        rows = self.rows("select name, role, made, expires, revoked from tokens where hash = ?", hash)
        return Token(*rows[0]) if rows else None

    def note(self, event: Event) -> None:
        """Within `change`: what happened, to be journalled."""
        self.write("insert into events values (null,?,?,?,?,?,?,?,?)", *astuple(event)[:-1])

    def events(self, limit: int = 100) -> list[Event]:
        """The oldest events that are not journalled yet."""
        rows = self.rows("select at, event, target, by, old, new, source, reason, number from events order by number limit ?", limit)
        return [Event(*row) for row in rows]

    def journalled(self, numbers: Sequence[int]) -> None:
        """These events lie in the journal: they are no longer needed here."""
        with self.change():
            for number in numbers:
                self.write("delete from events where number = ?", number)

    def _one(self, query: str) -> object:
        rows = self.rows(query)
        return rows[0][0] if rows else None


class NoRegister(Register):
    """In the place of a people.db that cannot be opened: it knows nobody, lets nobody in, and every question is answered with `why`."""

    def __init__(self, path: Path, why: str) -> None:
        self.path, self.id, self._why = path, "", why

    def close(self) -> None:
        """Nothing is open."""

    @contextmanager
    def change(self) -> Iterator[None]:
        raise PeopleUnavailable(self._why)
        yield

    def rows(self, query: str, *values: object) -> list[Any]:
        raise PeopleUnavailable(self._why)


def _user(row: Sequence[Any]) -> User:
    id, name, role, password, one_time_until, disabled, created, signed_in = row
    return User(id, name, role, password, one_time_until, bool(disabled), created, signed_in)
