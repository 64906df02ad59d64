"""Who signs at the command line: the name, the password without echo, or from a file or the environment; never as an argument."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click

from alerts.people.people import People, SignInRefused, Who
from alerts.people.permissions import APPLY
from alerts.people.register import FILE, Register
from facility.files import Unreadable
from facility.secret import Secret, read_secret
from service.cli.options import Refusal, actor
from service.clock import Clock
from service.running import NotDone, Running

PASSWORD = "RENRUM_PASSWORD"  # the name of a variable
APPROVAL = "approval"
MUST_CHANGE = "{label} has a one-time password, and signs with one of the own only: sign in to the console, choose it, then do this again."


@dataclass(frozen=True, slots=True)
class Signer:
    """Where the name, the password and the meaning of a signature come from; what was not given is asked for."""

    user: str | None = None
    password_file: Path | None = None
    meaning: str | None = None

    def name(self) -> str:
        """The user id of who signs."""
        if self.user is not None:
            return self.user
        if not sys.stdin.isatty():
            raise Refusal(f"It takes a person: give --user NAME, and the password with --password-file FILE or in {PASSWORD}.")
        return str(click.prompt("User", err=True)).strip()

    def password(self, words: str) -> Secret:
        """The password: from the file, the environment, else asked for in these words."""
        try:
            if self.password_file is not None:
                return read_secret(self.password_file)
        except Unreadable as error:
            raise Refusal(f"--password-file: {error}") from None
        if text := os.environ.get(PASSWORD):
            return Secret(text)
        if not sys.stdin.isatty():
            raise Refusal(f"There is nobody to ask for the password: give --password-file FILE, or {PASSWORD} in the environment.")
        return Secret(str(click.prompt(words, hide_input=True, err=True)))


@contextmanager
def signed_in(service: Running, signer: Signer) -> Iterator[Running]:
    """The running service with a session of who is to sign, which ends at the end; raises NotDone."""
    name = signer.name()
    session, who = service.signed_in(name, signer.password(f"Password of {name}"))
    try:
        if who["must_change_password"]:
            raise Refusal(MUST_CHANGE.format(label=who["label"]))
        yield session
    finally:
        with suppress(NotDone):  # it ends by itself
            session.sign_out()


@contextmanager
def proven(data_dir: Path, clock: Clock, signer: Signer) -> Iterator[Who]:
    """Who signs beside a stopped service, by its people.db: counted, made to wait and on record as when it runs.

    Raises PeopleUnavailable.
    """
    with closing(Register(data_dir / FILE)) as register:
        people, source = People(register, clock.now_ns), actor()
        people.recall()
        name = signer.name()
        try:
            token = people.sign_in(name, signer.password(f"Password of {name}, to sign"), source)
        except SignInRefused as refused:
            wait = f"Too many attempts failed. Try again in {refused.wait_s} s; this one was not looked at."
            raise Refusal(f"Not signed: {wait if refused.wait_s else 'wrong name or password.'} Nothing was applied.") from None
        who = people.of_session(token.reveal())
        assert who is not None
        try:
            if who.must_change:
                raise Refusal(MUST_CHANGE.format(label=who.label))
            if not who.may(APPLY):
                needed = "this needs the permission 'apply', which supervisors and administrators have"
                raise Refusal(f"{who.label} is {who.role}, and {needed}. Nothing was applied.")
            yield who
        finally:
            people.sign_out(who, source)
