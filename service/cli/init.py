"""`renrum init`."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import click

from facility.problems import so_many
from service.cli.options import Refusal

_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]+")
_OF_PRODUCTION = ("host", "broker", "listen", "data_dir", "site", "name", "timezone", "account", "containers", "owner")


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--force", is_flag=True, help="Write into a folder that is not empty; files of the same names are replaced.")
@click.option("--production", is_flag=True, help="Secrets, certificates and the broker's files too; completes a folder, replaces nothing.")
@click.option("--host", metavar="NAME", callback=lambda *given: _checked(_is_host, "a host name or address", *given),
              help="What people and instruments call this machine.  [default: its own name]")  # fmt: skip
@click.option("--broker", metavar="NAME", callback=lambda *given: _checked(_is_host, "a host name or address", *given),
              help="How the service reaches the broker, on port 8883.  [default: localhost]")  # fmt: skip
@click.option("--listen", metavar="ADDRESS", callback=lambda *given: _checked(_is_host, "an address, such as 0.0.0.0", *given),
              help="Address that the console listens on; 0.0.0.0 for all.  [default: 127.0.0.1]")  # fmt: skip
@click.option("--data-dir", metavar="DIR", help="Where the journal is to be, on a local disk.  [default: /var/lib/renrum]")
@click.option("--site", metavar="ID", callback=lambda *given: _checked(_is_id, "an id as in facility.yaml", *given),
              help="The site's id, as it stands in topics.")  # fmt: skip
@click.option("--name", metavar="TEXT", help="The site's name, as people read it.")
@click.option("--timezone", metavar="ZONE", callback=lambda *given: _checked(_is_zone, "a time zone, such as Europe/Stockholm", *given),
              help="The site's time zone.")  # fmt: skip
@click.option("--account", metavar="NAME", multiple=True, help="An account at the broker for a gateway; several times for several.")
@click.option("--containers", is_flag=True, help="For deploy/compose.yaml, where the services reach each other by name.")
@click.option("--owner", metavar="USER", help="The account that the service is to run as, and that all files are given to.  [default: you]")
def init(folder: Path, force: bool, production: bool, **options: object) -> None:
    """Write a commented, working example configuration into DIR.

    With --production: a configuration for a site, with random passwords, a small certificate authority with the certificates of broker and
    console, and the broker's files. Run again, it adds what is missing, such as a new --account, and never touches what is there.

    \b
    Examples:
      renrum init site
      renrum check --config site
      sudo renrum init /etc/renrum --production --owner renrum --host em.example.org --site huddinge
      sudo renrum init /etc/renrum --production --account gateway2
    """
    given = [name for name in _OF_PRODUCTION if options[name]]
    if production:
        if force:
            raise click.UsageError("--production never replaces a file: delete the one that is to be made anew, without --force.")
        _production(folder, options)
        return
    if given:
        raise click.UsageError(f"--{given[0].replace('_', '-')} goes with --production.")
    if folder.exists() and any(folder.iterdir()) and not force:
        raise click.UsageError(f"{folder} is not empty; choose another folder, or --force to replace what is there.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in example_files():
            (folder / file[0]).write_bytes(file[1])
    except OSError as error:
        raise Refusal(f"{folder} cannot be written: {error.strerror}") from None
    for name, _ in example_files():
        click.echo(f"wrote {folder / name}")
    click.echo(f"Next: renrum check --config {folder / 'renrum.yaml'}")


def example_files() -> list[tuple[str, bytes]]:
    """Name and content of each file of the example configuration."""
    example = files("service") / "example"
    found = [(file.name, file.read_bytes()) for file in example.iterdir() if file.is_file() and not file.name.startswith(("_", "."))]
    return sorted(entry for entry in found if not entry[0].endswith((".py", ".pyc")))


def _production(path: Path, options: dict[str, object]) -> None:
    from service.clock import SystemClock  # cryptography is slow to load
    from service.production.accounts import GATEWAY_ACCOUNT, is_account_name
    from service.production.folder import CannotComplete, Folder, Wanted
    from service.production.steps import next_steps

    def text(name: str, default: str = "") -> str:
        return str(options[name] or default)

    named = options["account"]
    # an account that was taken away, or whose secret was handed over, is not made anew by the next renewal
    first = () if (path / "renrum.yaml").exists() else (GATEWAY_ACCOUNT,)
    gateways = tuple(str(name) for name in named) if isinstance(named, tuple) and named else first
    for name in gateways:
        if not is_account_name(name):
            raise click.UsageError(f"--account {name!r}: allowed are letters, digits, dot, dash and underscore, at most 64.")
    known = _known(path)
    containers = bool(options["containers"]) or (path / "compose.env").exists()
    wanted = Wanted(
        host=text("host", known.get("host") or socket.getfqdn()),
        broker=text("broker", known.get("broker") or ("mosquitto" if containers else "localhost")),
        listen=text("listen", "127.0.0.1"),
        data_dir=text("data_dir", "/var/lib/renrum"),
        site=text("site"),
        name=text("name"),
        timezone=text("timezone"),
        accounts=gateways,
        containers=containers,
    )
    owner = _owner(text("owner"), path)
    if containers and owner[0] == 0:
        raise click.UsageError("The containers run as the files' owner, and never as root: name another with --owner USER.")
    folder = Folder(path, owner, SystemClock().now_ns())
    try:
        folder.complete(wanted, example_files())
    except CannotComplete as error:
        raise Refusal(str(error)) from None
    except OSError as error:
        raise Refusal(f"{error.filename or path} cannot be written: {error.strerror}") from None
    for name in folder.written:
        click.echo(f"wrote {path / name}")
    if folder.kept:
        click.echo(f"kept {so_many(len(folder.kept), 'file')} that were there")
    click.echo(next_steps(path, wanted, folder.written))


def _known(path: Path) -> dict[str, str]:
    """What a folder's renrum.yaml says already, so that a certificate made anew is for the same names."""
    from urllib.parse import urlsplit

    from facility.files import Files, Unreadable
    from service.settings.settings import read_settings

    try:
        settings = read_settings(Files(path), "renrum.yaml", {}).settings
    except Unreadable:
        return {}
    return {"host": urlsplit(settings.http.public_url).hostname or "", "broker": settings.mqtt.host}


def _owner(name: str, path: Path) -> tuple[int, int]:
    """The user and group that files are given to: the named one, else the folder's, else whoever runs this."""
    import pwd

    if not name:
        there = path.stat() if path.exists() else None
        return (there.st_uid, there.st_gid) if there is not None and os.geteuid() == 0 else (os.geteuid(), os.getegid())
    try:
        entry = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        if name.isdigit():
            return int(name), int(name)
        raise click.UsageError(f"--owner {name!r}: there is no such user; `useradd --system {name}` makes one.") from None
    return entry.pw_uid, entry.pw_gid


def _checked(
    is_right: Callable[[str], bool], allowed: str, ctx: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    if value is not None and not is_right(value):
        raise click.BadParameter(f"found {value!r}; allowed: {allowed}.", ctx, parameter)
    return value


def _is_host(text: str) -> bool:
    return _HOST.fullmatch(text) is not None


def _is_id(text: str) -> bool:
    from facility.sections import is_id

    return is_id(text)


def _is_zone(text: str) -> bool:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError):
        return False
    return True
