"""`renrum users`: who may sign in, with which role; tokens for programs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import click

from alerts.people.office import ONE_TIME_NS, Office, OfficeRefused, On
from alerts.people.people import HOUR_NS
from alerts.people.permissions import ROLES
from alerts.people.register import FILE, PeopleUnavailable, Register
from facility.secret import Secret
from facility.times import format_time
from service.cli.listing import Column, Listing, out_option
from service.cli.lookups import data_dir_of, place_options
from service.cli.options import Refusal, Span, actor, configuration_path, json_option
from service.clock import SystemClock

USERS = (
    Column("id", shown=1), Column("name", "prose", 1), Column("role", shown=1), Column("state", shown=1),
    Column("signed_in", "time", 2), Column("created", "time", 3),
)  # fmt: skip
TOKENS = (
    Column("name", shown=1),
    Column("role", shown=1),
    Column("state", shown=1),
    Column("expires", "time", 2),
    Column("made", "time", 3),
)
YEAR_NS = 365 * 24 * HOUR_NS
Command = TypeVar("Command", bound=Callable[..., Any])
role_argument = click.argument("role", metavar="ROLE")
role_option = click.option("--role", required=True, metavar="ROLE", help=f"One of {', '.join(ROLES)}.")
reason_option = click.option("--reason", default="", metavar="TEXT", help="Why: it stands in the audit trail.")


@contextmanager
def register_of(config: Path | None, data_dir: Path | None) -> Iterator[Register]:
    """The people.db, opened; what is wrong ends the command with a sentence."""
    folder = data_dir or data_dir_of(configuration_path(config, os.environ))
    if not folder.is_dir():
        raise Refusal(f"There is no {folder} yet: start the service once, it makes the first administrator (http.users: required).")
    try:
        with closing(Register(folder / FILE)) as register:
            yield register
    except OfficeRefused as refused:
        raise Refusal(str(refused)) from None
    except PeopleUnavailable as error:
        raise Refusal(f"{error}. Run this as the user of the service.") from None


@contextmanager
def office_of(config: Path | None, data_dir: Path | None, reason: str) -> Iterator[tuple[Office, On]]:
    """Where rights are changed, and on whose behalf: the machine's user, whose name goes on record."""
    with register_of(config, data_dir) as register:
        yield Office(register, SystemClock().now_ns), On(actor(), "", reason)


@click.group()
def users() -> None:
    """Who may sign in, with which role; tokens for programs.

    Works beside a running service and without one. What is changed counts from the next request on, and stands in the audit trail as
    soon as the service runs.

    \b
    Examples:
      renrum users list
      renrum users add karin --name "Karin Ek" --role operator
      renrum users token add prometheus --role viewer
    """


@users.command("list")
@place_options
@out_option
@json_option
def list_users(config: Path | None, data_dir: Path | None, out: Path | None, as_json: bool) -> None:
    """List users, also those that are disabled.

    \b
    Examples:
      renrum users list
      renrum users list --out users.csv
    """
    with register_of(config, data_dir) as register:
        now = SystemClock().now_ns()
        rows = [
            (user.id, user.name, user.role, _state(user.disabled, user.one_time_until, now), user.signed_in, user.created)
            for user in register.users()
        ]
    Listing("users", USERS, ZoneInfo("UTC"), rows, "No users yet: the service makes the first when it starts.").give(out, as_json)


@users.command()
@click.argument("id")
@click.option("--name", required=True, metavar="TEXT", help="Full name, as the records show it.")
@role_option
@reason_option
@place_options
@json_option
def add(id: str, name: str, role: str, reason: str, config: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Add a user. The one-time password for the first sign-in is printed.

    \b
    Examples:
      renrum users add karin --name "Karin Ek" --role operator
      renrum users add ola --name "Ola Berg" --role supervisor --reason "new in QA" --config site/renrum.yaml
    """
    with office_of(config, data_dir, reason) as (office, on):
        _issue_password(id, office.add(id, name, role, on), as_json)


@users.command()
@click.argument("id")
@role_argument
@reason_option
@place_options
def role(id: str, role: str, reason: str, config: Path | None, data_dir: Path | None) -> None:
    """Give a user another role. It is one of viewer, operator, supervisor, administrator.

    \b
    Examples:
      renrum users role karin supervisor
      renrum users role karin operator --reason "back from leave"
    """
    with office_of(config, data_dir, reason) as (office, on):
        office.set_role(id, role, on)
    click.echo(f"{id} is {role} from the next request on.")


@users.command()
@click.argument("id")
@reason_option
@place_options
def disable(id: str, reason: str, config: Path | None, data_dir: Path | None) -> None:
    """Let a user sign in no more, and end all sessions. Users are never deleted: the records name them.

    \b
    Examples:
      renrum users disable karin --reason "left the company"
    """
    with office_of(config, data_dir, reason) as (office, on):
        office.disable(id, on)
    click.echo(f"{id} is disabled, and signed out everywhere.")


@users.command()
@click.argument("id")
@reason_option
@place_options
def enable(id: str, reason: str, config: Path | None, data_dir: Path | None) -> None:
    """Let a disabled user sign in again. The password is that of before.

    \b
    Examples:
      renrum users enable karin
    """
    with office_of(config, data_dir, reason) as (office, on):
        office.enable(id, on)
    click.echo(f"{id} may sign in again.")


@users.command("reset-password")
@click.argument("id")
@reason_option
@place_options
@json_option
def reset_password(id: str, reason: str, config: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Void a user's password. All sessions end, waits for failed sign-ins too; a one-time password is printed.

    \b
    Examples:
      renrum users reset-password karin
      renrum users reset-password admin --config /etc/renrum/renrum.yaml
    """
    with office_of(config, data_dir, reason) as (office, on):
        _issue_password(id, office.reset_password(id, on), as_json)


@users.group()
def token() -> None:
    """Tokens by which programs sign in. They go with a request as `Authorization: Bearer TOKEN`.

    \b
    Examples:
      renrum users token add prometheus --role viewer
      renrum users token list
    """


@token.command("list")
@place_options
@out_option
@json_option
def list_tokens(config: Path | None, data_dir: Path | None, out: Path | None, as_json: bool) -> None:
    """List tokens by name, also those that are revoked or expired. The tokens themselves are kept nowhere.

    \b
    Examples:
      renrum users token list
    """
    with register_of(config, data_dir) as register:
        now = SystemClock().now_ns()
        rows = [
            (
                known.name,
                known.role,
                "revoked" if known.revoked else "expired" if known.expires <= now else "valid",
                known.expires,
                known.made,
            )
            for known in register.tokens()
        ]
    Listing("tokens", TOKENS, ZoneInfo("UTC"), rows, "No tokens yet.").give(out, as_json)


@token.command("add")
@click.argument("name")
@role_option
@click.option("--expires", "lasts_ns", type=Span(), default=YEAR_NS, help="It lasts so long, such as 90d.  [default: 365d]")
@reason_option
@place_options
@json_option
def add_token(
    name: str, role: str, lasts_ns: int, reason: str, config: Path | None, data_dir: Path | None, as_json: bool
) -> None:  # fmt: skip
    """Make a token for a program, and print it this once.

    \b
    Examples:
      renrum users token add prometheus --role viewer
      renrum users token add mes --role operator --expires 90d > mes.token
    """
    with office_of(config, data_dir, reason) as (office, on):
        secret = office.add_token(name, role, lasts_ns, on)
    if as_json:
        click.echo(json.dumps({"name": name, "token": secret.reveal()}))
        return
    click.echo(f"Token {name} ({role}), shown this once:", err=True)
    click.echo(secret.reveal())


@token.command()
@click.argument("name")
@reason_option
@place_options
def revoke(name: str, reason: str, config: Path | None, data_dir: Path | None) -> None:
    """Make a token worthless, from the next request on.

    \b
    Examples:
      renrum users token revoke mes --reason "was in a ticket"
    """
    with office_of(config, data_dir, reason) as (office, on):
        office.revoke_token(name, on)
    click.echo(f"{name} is revoked.")


def _issue_password(id: str, password: Secret, as_json: bool) -> None:
    now = SystemClock().now_ns()
    until = format_time(now - now % 10**9 + ONE_TIME_NS)
    if as_json:
        click.echo(json.dumps({"id": id, "one_time_password": password.reveal(), "until": until}))
        return
    click.echo(f"One-time password of {id}, shown this once and valid until {until}; it must be changed at the first sign-in:", err=True)
    click.echo(password.reveal())


def _state(disabled: bool, one_time_until: int | None, now: int) -> str:
    if disabled:
        return "disabled"
    if one_time_until is None:
        return "active"
    return "one-time password" if one_time_until > now else "one-time password expired"
