"""Who has which rights: users and tokens made, changed, taken away. Every change is on record with who made it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from alerts.people.passwords import Passwords, one_time
from alerts.people.people import HOUR_NS, PREFIX, is_user_id
from alerts.people.permissions import ADMINISTRATOR, ROLES
from alerts.people.register import Event, Register, User
from facility.document import did_you_mean, one_of
from facility.secret import Secret
from facility.times import format_time

ONE_TIME_NS = 72 * HOUR_NS
"""A one-time password that nobody used is worthless after this."""
NAME_MAX = 100
TOKEN_NS_MAX = 2 * 366 * 24 * HOUR_NS
FIRST = "admin"


class OfficeRefused(Exception):
    """What was asked for cannot be done; the text says what was found, what is allowed, what to do."""


@dataclass(frozen=True, slots=True)
class On:
    """On whose behalf, from where, why."""

    by: str
    source: str = ""
    reason: str = ""


class Office:
    """Changes a register; `now_ns` is UTC. Raises OfficeRefused, and PeopleUnavailable when people.db cannot be used."""

    def __init__(self, register: Register, now_ns: Callable[[], int], passwords: Callable[[], Passwords] = Passwords) -> None:
        self._register, self._now_ns = register, now_ns
        self._passwords = passwords

    def first_administrator(self, by: str) -> Secret | None:
        """Where there are no users yet: an administrator, whose one-time password it returns."""
        if self._register.users():
            return None
        return self.add(FIRST, "Administrator", ADMINISTRATOR, On(by, reason="the first start with users"))

    def add(self, id: str, name: str, role: str, on: On) -> Secret:
        """A new user; the one-time password, which is kept nowhere."""
        name = " ".join(name.split())
        if not is_user_id(id):
            raise OfficeRefused(f"user id: found {id!r}; allowed: up to 64 of a-z 0-9 . _ - with a letter or digit first.")
        if not 0 < len(name) <= NAME_MAX or not name.isprintable():
            raise OfficeRefused(f"name: found {name!r}; allowed: the full name of the person, at most {NAME_MAX} characters.")
        _known_role(role)
        password = one_time()
        kept, at = self._passwords().hash(password), self._now_ns()
        with self._register.change():
            if self._register.user(id):
                raise OfficeRefused(f"There is a user {id!r} already. Ids are never used again: the records name people by them.")
            self._register.write("insert into users values (?,?,?,?,?,0,?,null)", id, name, role, kept, at + ONE_TIME_NS, at)
            self._note(at, "user added", f"user {id}", on, "", f"{name}, {role}")
        return password

    def set_role(self, id: str, role: str, on: On) -> None:
        """Another role, in force from the next request on."""
        _known_role(role)
        with self._register.change():
            user = self._user(id)
            if user.role == role:
                raise OfficeRefused(f"{user.label} is {role} already.")
            self._keep_an_administrator(user)
            self._register.write("update users set role = ? where id = ?", role, id)
            self._note(self._now_ns(), "role changed", f"user {id}", on, user.role, role)

    def disable(self, id: str, on: On) -> None:
        """The person may no longer sign in, and all sessions end."""
        with self._register.change():
            user = self._user(id)
            if user.disabled:
                raise OfficeRefused(f"{user.label} is disabled already.")
            self._keep_an_administrator(user)
            self._register.write("update users set disabled = 1 where id = ?", id)
            self._register.write("delete from sessions where user = ?", id)
            self._note(self._now_ns(), "user disabled", f"user {id}", on, "enabled", "disabled")

    def enable(self, id: str, on: On) -> None:
        """The person may sign in again, with the password of before."""
        with self._register.change():
            user = self._user(id)
            if not user.disabled:
                raise OfficeRefused(f"{user.label} is not disabled.")
            self._register.write("update users set disabled = 0 where id = ?", id)
            self._note(self._now_ns(), "user enabled", f"user {id}", on, "disabled", "enabled")

    def reset_password(self, id: str, on: On) -> Secret:
        """A one-time password; the old one is void and all sessions end."""
        self._user(id)
        password = one_time()
        kept, at = self._passwords().hash(password), self._now_ns()
        with self._register.change():
            self._register.write("update users set password = ?, one_time_until = ? where id = ?", kept, at + ONE_TIME_NS, id)
            self._register.write("delete from sessions where user = ?", id)
            self._note(at, "password reset", f"user {id}", on)
        return password

    def add_token(self, name: str, role: str, lasts_ns: int, on: On) -> Secret:
        """A bearer token for a program; it is shown this once and kept as a hash."""
        if not is_user_id(name):
            raise OfficeRefused(f"token name: found {name!r}; allowed: up to 64 of a-z 0-9 . _ - with a letter or digit first.")
        if not 0 < lasts_ns <= TOKEN_NS_MAX:
            raise OfficeRefused("A token lasts at most two years; make another one then.")
        _known_role(role)
        if role == ADMINISTRATOR:
            raise OfficeRefused("A token cannot be administrator: rights are given by people. Allowed: viewer, operator, supervisor.")
        token, at = PREFIX + secrets.token_urlsafe(32), self._now_ns()
        with self._register.change():
            if any(known.name == name for known in self._register.tokens()):
                raise OfficeRefused(f"There is a token {name!r} already. Names are never used again: the records name programs by them.")
            hashed = hashlib.sha256(token.encode()).digest()
            self._register.write("insert into tokens values (?,?,?,?,?,null)", name, hashed, role, at, at + lasts_ns)
            self._note(at, "token made", f"token {name}", on, "", f"{role}, until {format_time(at + lasts_ns)}")
        return Secret(token)

    def revoke_token(self, name: str, on: On) -> None:
        """From the next request on it is worth nothing."""
        with self._register.change():
            found = {token.name: token for token in self._register.tokens()}
            if name not in found:
                raise OfficeRefused(f"There is no token {name!r}. {_hint(name, found)}")
            if found[name].revoked is not None:
                raise OfficeRefused(f"The token {name!r} is revoked already.")
            at = self._now_ns()
            self._register.write("update tokens set revoked = ? where name = ?", at, name)
            self._note(at, "token revoked", f"token {name}", on, found[name].role, "revoked")

    def _note(self, at: int, event: str, target: str, on: On, old: str = "", new: str = "") -> None:
        self._register.note(Event(at, event, target, on.by, old, new, on.source, on.reason))

    def _user(self, id: str) -> User:
        user = self._register.user(id)
        if user is None:
            raise OfficeRefused(f"There is no user {id!r}. {_hint(id, (known.id for known in self._register.users()))}")
        return user

    def _keep_an_administrator(self, user: User) -> None:
        others = [other for other in self._register.users() if other.role == ADMINISTRATOR and not other.disabled and other.id != user.id]
        if user.role == ADMINISTRATOR and not user.disabled and not others:
            raise OfficeRefused(f"{user.label} is the only administrator: make another one first.")


def _known_role(role: str) -> None:
    if role not in ROLES:
        raise OfficeRefused(f"role: found {role!r}; allowed: {one_of(ROLES)}. {did_you_mean(role, ROLES)}".rstrip())


def _hint(name: str, known: Iterable[str]) -> str:
    names = tuple(known)
    return did_you_mean(name, names) or (f"There are {one_of(names)}." if names else "There are none yet.")
