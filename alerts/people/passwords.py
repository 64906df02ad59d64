"""Passwords: argon2id, one at a time, and what they have to be like."""

from __future__ import annotations

import secrets
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from facility.secret import Secret

LENGTH_MIN, LENGTH_MAX = 12, 256
ALLOWED = f"{LENGTH_MIN} to {LENGTH_MAX} characters, without the user id in it, and not the one before"
WAITING_MAX = 4
_LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
_GROUPS, _GROUP = 4, 5


class TooBusy(Exception):
    """So many passwords wait to be checked that one more would only add to it; ask again in a second."""


class Passwords:
    """Hashes and checks, one at a time: each takes a quarter of a second and 64 MiB, which must never be many times that.

    Call it from a thread that may wait, never from an event loop. It raises TooBusy when more than WAITING_MAX wait already.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._one = threading.Lock()
        self._count = threading.Lock()
        self._waiting = 0
        self._nobodys = self._hasher.hash(secrets.token_urlsafe())

    def hash(self, password: Secret) -> str:
        """The argon2id hash to keep."""
        with self._turn():
            return self._hasher.hash(_normal(password))

    def check(self, password: Secret, kept: str | None) -> bool:
        """Whether it is the one that `kept` was made from; None (no such person) costs the same time and is never right."""
        with self._turn():
            try:
                self._hasher.verify(kept or self._nobodys, _normal(password))
                return kept is not None
            except (VerificationError, InvalidHashError):
                return False

    def outdated(self, kept: str) -> bool:
        """Whether a hash was made with parameters that are no longer ours."""
        return self._hasher.check_needs_rehash(kept)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._count:
            if self._waiting > WAITING_MAX:
                raise TooBusy
            self._waiting += 1
        try:
            with self._one:
                yield
        finally:
            with self._count:
                self._waiting -= 1


def weakness(password: Secret, user: str) -> str:
    """Why a new password cannot be taken; empty when it can. Length is what counts: no rules about kinds of characters."""
    text = _normal(password)
    if not LENGTH_MIN <= len(text) <= LENGTH_MAX:
        return f"it has {len(text)} characters"
    if len(user) > 3 and user.casefold() in text.casefold():
        return "the user id is in it"
    if len(set(text)) < 5:
        return "it repeats a few characters"
    return ""


def one_time() -> Secret:
    """A password for the first sign-in, easy to read out: 99 bits."""
    groups = ("".join(secrets.choice(_LETTERS) for _ in range(_GROUP)) for _ in range(_GROUPS))
    return Secret("-".join(groups))


def _normal(password: Secret) -> str:
    # the same password typed on another keyboard may be other code points
    return unicodedata.normalize("NFKC", password.reveal())
