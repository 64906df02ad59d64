"""Options that several commands share."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from facility.durations import parse_duration
from facility.problems import ConfigurationError, Problem
from simulators.broker import Broker, parse_broker

HERE = Path("renrum.yaml")
VARIABLE = "RENRUM_CONFIG"
SYSTEM = Path("/etc/renrum/renrum.yaml")
PASSWORD = "RENRUM_MQTT_PASSWORD"  # the name of a variable
GIVEN_PATH = click.Path(path_type=Path, readable=False)
"""For --config and --data-dir: that they cannot be read is said when they are read, with what to do."""

Command = TypeVar("Command", bound=Callable[..., Any])


def configuration_path(given: Path | None, environment: Mapping[str, str]) -> Path:
    """The renrum.yaml to use: the one given, else ./renrum.yaml, $RENRUM_CONFIG, /etc/renrum/renrum.yaml; raises ConfigurationError."""
    if given is not None:
        # A folder stands for its renrum.yaml: there is one configuration in a folder.
        return given / HERE if os.path.isdir(given) else given
    if os.path.isfile(HERE):  # not where it cannot be seen: `sudo -u renrum` in somebody's private folder
        return HERE
    if named := environment.get(VARIABLE):
        return configuration_path(Path(named), environment)
    if _may_be(SYSTEM):
        return SYSTEM
    hint = "`renrum init DIR` writes an example; name it with --config DIR/renrum.yaml."
    raise ConfigurationError([Problem(str(HERE), 0, "", "no configuration", f"./{HERE}, ${VARIABLE} or {SYSTEM}", hint)])


def _may_be(path: Path) -> bool:
    """Whether a file is there, or lies where this user may not look: reading it then says so."""
    try:
        return path.is_file()
    except PermissionError:
        return True


def _chosen(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> Path:
    return configuration_path(value, os.environ)


def config_option(command: Command) -> Command:
    """`--config PATH`: gives the command a `config` that is the path of its renrum.yaml."""
    option = click.option(
        "--config",
        type=GIVEN_PATH,
        callback=_chosen,
        help=f"The renrum.yaml to use.  [default: ./{HERE}, ${VARIABLE}, {SYSTEM}]",
    )
    return option(command)


def json_option(command: Command) -> Command:
    """`--json`: gives the command `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)


def actor() -> str:
    """Who acts at the command line, for the record: the machine's user, by number in a container that has no name for it."""
    try:
        return f"{getpass.getuser()} at the command line"
    except (KeyError, OSError):
        return f"user {os.getuid()} at the command line"


class Span(click.ParamType[int]):
    """A duration above zero, in ns."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            span_ns = parse_duration(str(value)).of(None)
        except ValueError:
            span_ns = 0
        if span_ns <= 0:
            self.fail(f"found {value!r}; allowed: a duration above 0 such as 30s, 5m, 2h, 1d.", param, ctx)
        return span_ns


class Url(click.ParamType[Broker]):
    """A broker's address; its password comes from the environment rather than from a command line that others can read."""

    name = "url"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Broker:
        if isinstance(value, Broker):
            return value
        try:
            return parse_broker(str(value), os.environ.get(PASSWORD))
        except ValueError as error:
            self.fail(f"allowed: {error}.", param, ctx)


def unwritable(error: OSError, folder: Path) -> str:
    """Why a folder cannot be used, and what to do where this user may not."""
    if not error.strerror:
        return str(error)
    hint = ". Make the folder, give it to the user who runs this, and try again." if isinstance(error, PermissionError) else ""
    return f"{error.filename or folder}: {error.strerror}{hint}"


class Refusal(click.ClickException):
    """It cannot be done as asked: bad usage, nothing to look at, nobody to talk to. Exit code 2; 1 is for an answer that is no."""

    exit_code = 2


@contextmanager
def fraction_bar(label: str) -> Iterator[Callable[[float], None]]:
    """A progress bar on standard error when that is a terminal; it is told the fraction done."""
    with click.progressbar(length=1000, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        yield lambda done: bar.update(max(0, int(done * 1000) - bar.pos))
