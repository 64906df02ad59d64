"""Signing in and out, sessions, bearer tokens: who asks."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from alerts.people.lockout import REMEMBERED_MAX, LockOut
from alerts.people.passwords import ALLOWED, Passwords, weakness
from alerts.people.permissions import PERMISSIONS, may
from alerts.people.register import Event, PeopleUnavailable, Register, Token, User
from facility.secret import Secret

HOUR_NS = 3600 * 10**9
PLACE_NS = 90 * 24 * HOUR_NS
"""So long after a sign-in from an address, that address counts as a usual one of the person."""
PLACES_MAX = 20
ID_MAX = 64
PREFIX = "renrum_"
UNKNOWN = "an unknown user"
"""What the records say for a name that nobody has: people type their password into the wrong field."""
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

log = logging.getLogger(__name__)


class SignInRefused(Exception):
    """Wrong name or password: which of the two is not said. With `wait_s` it was not even looked at, and may be tried again then."""

    def __init__(self, wait_s: int = 0) -> None:
        super().__init__("wait" if wait_s else "wrong name or password")
        self.wait_s = wait_s


class PasswordRefused(Exception):
    """A new password that cannot be taken; the text says why."""


@dataclass(frozen=True, slots=True)
class Who:
    """Whoever asks: a person (with `session`), a program, or, where there are no users, anybody.

    `label` is the name in the records. `must_change`: signed in with a one-time password, and may do nothing but change it. `language` is
    the one that a person chose for the console, empty for none.
    """

    id: str
    label: str
    role: str
    kind: str = "person"
    must_change: bool = False
    session: bytes = b""
    language: str = ""

    def may(self, permission: str) -> bool:
        return self.kind == ANYBODY or (may(self.role, permission) and not self.must_change)

    @property
    def permissions(self) -> list[str]:
        """What the role allows, sorted."""
        return sorted(PERMISSIONS.get(self.role, ()))


PERSON, PROGRAM, ANYBODY = "person", "program", "anybody"
EVERYONE = Who("", "", "", ANYBODY)
"""Who asks where there are no users."""


class People:
    """Knows who asks. Any thread may call; `now_ns` is UTC. All raise PeopleUnavailable when people.db cannot be used."""

    def __init__(
        self,
        register: Register,
        now_ns: Callable[[], int],
        *,
        idle_ns: int = HOUR_NS // 2,
        at_most_ns: int = 12 * HOUR_NS,
        passwords: Passwords | None = None,
    ) -> None:
        self.register, self.now_ns = register, now_ns
        self._idle_ns, self._at_most_ns = idle_ns, at_most_ns
        self.passwords = passwords or Passwords()
        self.lockout = LockOut()

    # Sessions

    def sign_in(self, id: str, password: Secret, source: str, replaces: str = "") -> Secret:
        """A new session's token, for the right name and password; `replaces` is the token of a session that ends with it.

        Raises SignInRefused, TooBusy.
        """
        user = self._prove(id.strip().casefold()[:ID_MAX], password, source)
        token, at = secrets.token_urlsafe(32), self.now_ns()
        with self.register.change():
            write = self.register.write
            write("delete from sessions where hash = ? or begun < ?", _hash(replaces), at - self._at_most_ns)
            write("insert into sessions values (?,?,?,?,?)", _hash(token), user.id, at, at, source)
            write("update users set signed_in = ? where id = ?", at, user.id)
            write("insert or replace into places values (?,?,?)", user.id, source, at)
            write(
                "delete from places where user = ? and (at < ? or source not in"
                " (select source from places where user = ? order by at desc limit ?))",
                user.id, at - PLACE_NS, user.id, PLACES_MAX,
            )  # fmt: skip
            self.register.note(Event(at, "signed in", f"user {user.id}", user.label, "", user.role, source))
        return Secret(token)

    def of_session(self, token: str, *, active: bool = True) -> Who | None:
        """Whose session it is, None when it is over; `active` when the person did something, so that it goes on."""
        return self.of_hash(_hash(token), active=active) if token else None

    def of_hash(self, hash: bytes, *, active: bool = False) -> Who | None:
        """As `of_session`, for a session that is known already."""
        rows = self.register.rows(
            "select u.id, u.name, u.role, u.one_time_until, s.begun, s.seen, coalesce(l.language, '')"
            " from sessions s join users u on u.id = s.user left join languages l on l.user = u.id where s.hash = ? and not u.disabled",
            hash,
        )
        if not rows:
            return None
        id, name, role, one_time_until, begun, seen, language = rows[0]
        at = self.now_ns()
        if at - seen > self._idle_ns or at - begun > self._at_most_ns:
            return None
        if active and at - seen > self._idle_ns // 30:  # not a write for each request
            self._touch(hash, at)
        return Who(id, f"{name} ({id})", role, PERSON, one_time_until is not None, hash, language)

    def choose_language(self, who: Who, language: str) -> None:
        """The language of the console for a person, in whatever browser."""
        with self.register.change():
            self.register.write("insert or replace into languages values (?, ?)", who.id, language)

    def sign_out(self, who: Who, source: str) -> None:
        """End the session."""
        at = self.now_ns()
        with self.register.change():
            if self.register.write("delete from sessions where hash = ?", who.session):
                self.register.note(Event(at, "signed out", f"user {who.id}", who.label, source=source))

    def confirm(self, who: Who, password: Secret, source: str) -> bool:
        """Whether it is the password of who is signed in; failures count as those of signing in. Raises SignInRefused to wait, TooBusy."""
        try:
            self._prove(who.id, password, source)
        except SignInRefused as refused:
            if refused.wait_s:
                raise
            return False
        return True

    def change_password(self, who: Who, old: Secret, new: Secret, source: str) -> Secret:
        """The token of a new session, as all the person's sessions end; raises SignInRefused, PasswordRefused, TooBusy."""
        if fault := weakness(new, who.id):
            raise PasswordRefused(f"The new password cannot be taken: {fault}. Allowed: {ALLOWED}.")
        user = self._prove(who.id, old, source)
        if new == old:
            raise PasswordRefused(f"The new password is the old one. Allowed: {ALLOWED}.")
        kept, token, at = self.passwords.hash(new), secrets.token_urlsafe(32), self.now_ns()
        with self.register.change():
            change = "update users set password = ?, one_time_until = null where id = ? and password = ? and not disabled"
            if not self.register.write(change, kept, who.id, user.password):  # an administrator was faster
                raise SignInRefused
            self.register.write("delete from sessions where user = ?", who.id)
            self.register.write("insert into sessions values (?,?,?,?,?)", _hash(token), who.id, at, at, source)
            self.register.note(Event(at, "password changed", f"user {who.id}", who.label, source=source))
        return Secret(token)

    def recall(self) -> None:
        """Count the failed sign-ins that wait in people.db to be journalled, as if this process had seen them."""
        failed: list[Event] = []
        for event in self.register.events(REMEMBERED_MAX):
            if event.event == "sign-in failed":
                failed.append(event)
            elif event.event in ("password reset", "password changed"):
                failed = [one for one in failed if one.target != event.target]
            elif event.event == "signed in":
                failed = [one for one in failed if (one.target, one.source) != (event.target, event.source)]
        for event in failed:
            id = event.target.removeprefix("user ")
            self.lockout.failed(_account(id, self.register.user(id)), self._place(id, event.source), event.source, event.at)

    # Programs

    def of_token(self, token: str) -> Who | None:
        """The program that a bearer token was made for; None when it is unknown, revoked or expired."""
        return self._program(self.register.token(_hash(token))) if token.startswith(PREFIX) else None

    def still(self, who: Who) -> Who | None:
        """The one who asked a while ago, as of now; None when the session is over, the token void."""
        if who.kind == PERSON:
            return self.of_hash(who.session)
        return self._program(next((token for token in self.register.tokens() if token.name == who.id), None))

    def _program(self, found: Token | None) -> Who | None:
        if found is None or found.revoked is not None or found.expires <= self.now_ns():
            return None
        return Who(found.name, f"token {found.name}", found.role, PROGRAM)

    def _prove(self, id: str, password: Secret, source: str) -> User:
        """The user of the right name and password; everything else is refused, counted and on record."""
        user = self.register.user(id)
        account, place = _account(id, user), self._place(id, source)
        wait = self.lockout.waits(account, place, source, self.now_ns())
        if wait:
            raise SignInRefused(-(-wait // 10**9))
        right = self.passwords.check(password, user.password if user else None)
        at = self.now_ns()
        fault = "wrong password"
        if user is not None and right:
            now = self.register.user(id)  # as it is after the quarter of a second that checking took
            fault = _unusable(now, at)
            if now is not None and not fault and now.password == user.password:
                self.lockout.forget(account, place)
                return self._renew(now, password)
        self._record_failure(user, account, place, source, fault or "the password was changed meanwhile", at)
        raise SignInRefused

    def _place(self, id: str, source: str) -> str:
        """The source where it is a usual one of the person; else empty."""
        return source if self.register.rows("select 1 from places where user = ? and source = ?", id, source) else ""

    def _record_failure(self, user: User | None, account: str, place: str, source: str, fault: str, at: int) -> None:
        wait = self.lockout.failed(account, place, source, at)
        by, target = (user.label, f"user {user.id}") if user else (UNKNOWN, "")
        with self.register.change():
            self.register.note(Event(at, "sign-in failed", target, by, source=source, reason=fault if user else "no such user"))
            if wait:
                reach = "from this address" if place else "from addresses that are new to it"
                self.register.note(Event(at, "locked out", target, by, "", f"for {wait // 10**9} s, {reach}", source, "failed sign-ins"))

    def _renew(self, user: User, password: Secret) -> User:
        """Hash anew what was hashed with weaker parameters; that can wait for the next sign-in."""
        if not self.passwords.outdated(user.password):
            return user
        kept = self.passwords.hash(password)
        with self.register.change():
            self.register.write("update users set password = ? where id = ? and password = ?", kept, user.id, user.password)
        return replace(user, password=kept)

    def _touch(self, hash: bytes, at: int) -> None:
        try:
            with self.register.change():
                self.register.write("update sessions set seen = ? where hash = ?", at, hash)
        except PeopleUnavailable as error:  # a full disk must not sign out who is looking at it
            log.warning("%s; sessions end earlier than they should", error)


def _account(id: str, user: User | None) -> str:
    # a new password, as an administrator gives, is a new account to guess at: nobody waits for the failures with the old one
    return f"{id} {user.password if user else ''}"


def _unusable(user: User | None, at: int) -> str:
    if user is None or user.disabled:
        return "the user is disabled"
    if user.one_time_until is not None and user.one_time_until <= at:
        return "the one-time password has expired"
    return ""


def is_user_id(text: str) -> bool:
    """Whether a text can be a user's id.

    >>> is_user_id("karin.ek"), is_user_id("Karin")
    (True, False)
    """
    return _ID.fullmatch(text) is not None


def _hash(token: str) -> bytes:
    # 256 bits of chance need no slow hash
    return hashlib.sha256(token.encode()).digest()
