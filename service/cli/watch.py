"""`renrum watch`."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from alerts.channels import Channel
from alerts.channels.delivery import OutboxItem, deliver
from alerts.duty.oncall import OnCall, load_oncall
from alerts.pages.page import TEST, Letterhead, notice
from facility.document import did_you_mean, one_of
from facility.files import Unreadable
from facility.secret import Secret, read_secret
from facility.site import Site
from service.cli.options import Refusal, Span
from service.cli.run import log_to_stderr
from service.clock import Clock, SystemClock
from service.continuity.watching import Service, Watch

TOKEN = "RENRUM_WATCH_TOKEN"  # the name of a variable


@click.command()
@click.argument("url")
@click.option("--oncall", type=click.Path(path_type=Path), required=True, help="An oncall.yaml with the channels to tell people by.")
@click.option("--to", multiple=True, metavar="CHANNEL", help="Only this channel of it, or several times.  [default: all]")
@click.option("--every", type=Span(), default="10s", show_default=True, help="How often to ask.")
@click.option("--after", type=Span(), default="1m", show_default=True, help="Silent for so long, and people are told.")
@click.option("--remind", type=Span(), default="30m", show_default=True, help="How often they are told again.")
@click.option("--token-file", type=click.Path(path_type=Path), help=f"A file with a token, else ${TOKEN}; not needed for /healthz itself.")
@click.option("--ca-file", type=click.Path(path_type=Path), help="The authority of its certificate, if it is your own.")
@click.option("--name", help="What the site is called in the pages.  [default: the address]")
@click.option("--timezone", default="UTC", show_default=True, help="For the times in the pages.")
@click.option("--test", is_flag=True, help="Send a test page to every channel, ask the service once, and end.")
def watch(
    url: str, oncall: Path, to: tuple[str, ...], every: int, after: int, remind: int, token_file: Path | None, ca_file: Path | None,
    name: str | None, timezone: str, test: bool,
) -> None:  # fmt: skip
    """On a second machine: page when the service at URL is silent, remind while it is, and say when it is back.

    It asks URL/healthz, and takes for silence whatever is not a new answer that all is well: no answer, one of an ill service, an old one,
    somebody else's. Stops on SIGTERM or Ctrl-C.

    \b
    Examples:
      renrum watch https://em.example.org:8480 --ca-file ca.pem --oncall /etc/renrum-watch/oncall.yaml
      renrum watch http://192.0.2.7:8480 --oncall oncall.yaml --to duty-phone --remind 15m
      renrum watch https://em.example.org --oncall oncall.yaml --test
    """
    host = _host_of(url)
    if not host:
        raise Refusal(f"URL: found {url!r}; allowed: the address of the console, such as https://em.example.org.")
    if ca_file is not None and not ca_file.is_file():
        raise Refusal(f"--ca-file: there is no file {ca_file}.")
    known = load_oncall(oncall, os.environ)
    channels = _channels(known, oncall, to)
    letterhead = Letterhead("watch", Site(_id_of(host), name or host, _zone(timezone)), url)
    clock = SystemClock()
    log_to_stderr(False)
    service = Service(url, _token(token_file), ca_file)
    if test:
        sys.exit(0 if _test(channels, letterhead, clock) & _answers(service) else 1)
    watching = Watch(url, service.ask, channels, letterhead, clock, _spawn, after, remind, language=known.roster.language_of)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    click.echo(f"watching {url}; {', '.join(channels)} hear of it when it is silent for {after / 1e9:g} s", err=True)
    watching.run(stop, every / 1e9)


def _host_of(url: str) -> str:
    """The machine of a web address; empty where it is none."""
    try:
        address = urlsplit(url)
        return address.hostname or "" if address.scheme in ("http", "https") and address.port != 0 else ""
    except ValueError:  # a bracket that is not closed, a port that is no number
        return ""


def _channels(found_in: OnCall, oncall: Path, to: tuple[str, ...]) -> dict[str, Channel]:
    known = dict(found_in.channels)
    chosen: dict[str, Channel] = {}
    for wanted in to:
        found = {target: channel for target, channel in known.items() if target == wanted or target.startswith(f"{wanted}/")}
        if not found:
            hint = did_you_mean(wanted, tuple(known)) or f"There are {one_of(tuple(known))}."
            raise Refusal(f"--to: there is no channel {wanted!r} in {oncall}. {hint}")
        chosen |= found
    if not (chosen or known):
        raise Refusal(f"{oncall} has no channel: nobody would be told.")
    return chosen or known


def _test(channels: dict[str, Channel], letterhead: Letterhead, clock: Clock) -> bool:
    """Whether every channel took a test page."""
    page = notice(TEST, f"A test of the watch on {letterhead.public_url}", letterhead=letterhead, at=clock.now_ns())
    well = True
    for target, channel in channels.items():
        result = deliver(OutboxItem(0, page, target), channel, clock.now_ns)
        click.echo(f"{target}: {'delivered' if result.ok else result.detail}")
        well &= result.ok
    return well


def _answers(service: Service) -> bool:
    """Whether the service lives, so that the watch does not begin with a false page."""
    wrong, _ = service.ask()
    click.echo(f"{service.url}: {wrong or 'answers'}")
    return not wrong


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise Refusal(f"--timezone: found {name!r}; allowed: a name such as Europe/Stockholm.") from None
    return name


def _token(path: Path | None) -> Secret | None:
    if text := os.environ.get(TOKEN):
        return Secret(text)
    if path is None:
        return None
    try:
        return read_secret(path)
    except Unreadable as error:
        raise Refusal(f"--token-file: found {error}.") from None


def _spawn(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="page", daemon=True).start()


def _id_of(host: str) -> str:
    return re.sub(r"[^a-z0-9-]", "-", host.lower()) or "site"
