"""Who signs at the command line: the name, the password without echo, or from a file or the environment; never as an argument."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click

from alerts.people.passwords import ALLOWED, weakness
from alerts.people.people import PasswordRefused, People, SignInRefused, Who
from alerts.people.permissions import APPLY
from alerts.people.register import FILE, Register
from facility.files import Unreadable
from facility.secret import Secret, read_secret
from service.cli.options import Refusal, actor
from service.clock import Clock
from service.running import NotDone, Running

PASSWORD = "RENRUM_PASSWORD"  # the name of a variable
APPROVAL = "approval"


@dataclass(frozen=True, slots=True)
class Signer:
    """Where the name, the password and the meaning of a signature come from; what was not given is asked for."""

    user: str | None = None
    password_file: Path | None = None
    meaning: str | None = None

    @property
    def offered(self) -> bool:
        """Whether somebody is named or says what it means: then it is signed, also where no signature is needed."""
        return self.user is not None or self.meaning is not None

    @property
    def to_sign(self) -> str:
        """What a password is asked for."""
        return f"to sign, meaning {self.meaning or APPROVAL}"

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
            raise Refusal(f"--password-file: found {error}") from None
        if text := os.environ.get(PASSWORD):
            return Secret(text)
        if not sys.stdin.isatty():
            raise Refusal(f"There is nobody to ask for the password: give --password-file FILE, or {PASSWORD} in the environment.")
        return Secret(str(click.prompt(words, hide_input=True, err=True)))

    def own_password(self, label: str, user: str) -> Secret:
        """The password that somebody chooses in place of a one-time one; asked for twice, and again where it cannot be taken."""
        if not sys.stdin.isatty():
            raise Refusal(f"{label} has a one-time password: choose your own first, in the console or by this command at a terminal.")
        words = f"This is a one-time password. Choose your own ({ALLOWED}), for the console too"
        while fault := weakness(chosen := Secret(str(click.prompt(words, hide_input=True, confirmation_prompt=True, err=True))), user):
            click.echo(f"That cannot be taken: {fault}. The one-time password still holds.", err=True)
        return chosen


@contextmanager
def signed_in(service: Running, signer: Signer) -> Iterator[Running]:
    """The running service with a session of who is to sign, which ends at the end; raises NotDone."""
    name = signer.name()
    password = signer.password(f"Password of {name}")
    session, who = service.signed_in(name, password)
    try:
        if who["must_change_password"]:
            session = session.with_password(password, signer.own_password(who["label"], name))
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
        password = signer.password(f"Password of {name}, {signer.to_sign}")
        try:
            token = people.sign_in(name, password, source)
        except SignInRefused as refused:
            wait = f"Too many attempts failed. Try again in {refused.wait_s} s; this one was not looked at."
            raise Refusal(f"Not signed: {wait if refused.wait_s else 'wrong name or password.'} Nothing was applied.") from None
        who = people.of_session(token.reveal())
        assert who is not None
        try:
            if who.must_change:
                who = _with_password(people, who, password, signer.own_password(who.label, name), source)
            if not who.may(APPLY):
                needed = "this needs the permission 'apply', which supervisors and administrators have"
                raise Refusal(f"{who.label} is {who.role}, and {needed}. Nothing was applied.")
            yield who
        finally:
            people.sign_out(who, source)


def _with_password(people: People, who: Who, old: Secret, new: Secret, source: str) -> Who:
    try:
        changed = people.of_session(people.change_password(who, old, new, source).reveal())
    except PasswordRefused as refused:
        raise Refusal(str(refused)) from None
    assert changed is not None
    return changed
